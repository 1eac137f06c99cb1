"""Tables, configs and branch policies as literals of Flyte 2, and back.

A `DoltTable` that a task returns, or gives to another one, is committed here; one that a task takes is resolved to a
commit here, once, when the task starts. What travels is what flytekit's border has: a small canonical msgpack value.
Whatever asks a server does so in a thread, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import msgpack
from flyte.types import TypeEngine, TypeTransformer, TypeTransformerFailedError
from flyteidl2.core.literals_pb2 import Binary, Literal, Scalar
from flyteidl2.core.types_pb2 import LiteralType, SimpleType, TypeStructure
from google.protobuf.json_format import MessageToDict

from ..api.table import DoltTable, has_unsaved_rows, resolve
from ..api.table import store as store_rows
from ..errors import DoltError, InvalidConfig, NotInTask
from ..model import runtime
from ..model.by_identity import ByIdentity
from ..model.configs import (
    Branch,
    CallbackMeta,
    Changes,
    DoltConfig,
    DoltMeta,
    MergeBranch,
    Meta,
    NewBranch,
    Remote,
    Secret,
    SerialBranch,
)
from ..model.serialization import with_sorted_keys
from . import context
from .faults import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .context import Running

logger = logging.getLogger(__name__)

_MSGPACK = "msgpack"
_TAG = "flytekitplugins.dolt"
_R = TypeVar("_R")
_T = TypeVar("_T", DoltTable, DoltConfig, Branch, Meta, Changes, Remote, Secret)


class _ValueTransformer(TypeTransformer[_T]):
    """A value with ``to_dict`` and ``from_dict`` as a STRUCT literal that holds msgpack."""

    def __init__(self, t: type[_T]) -> None:
        super().__init__(t.__name__, t)

    def get_literal_type(self, t: Any) -> LiteralType:
        """Return STRUCT, tagged so that `guess_python_type` knows it again."""
        kind = LiteralType(simple=SimpleType.STRUCT, structure=TypeStructure(tag=self.name))
        kind.metadata.update({_TAG: self.name})
        return kind

    def guess_python_type(self, literal_type: LiteralType) -> type[_T]:
        """Return the type that `get_literal_type` tagged.

        Raises:
            ValueError: it is no type of this package, which tells Flyte to ask the next transformer.
        """
        if literal_type.structure.tag != self.name:
            raise ValueError(f"it is not a {self.name}")
        found: type[_T] = self.python_type
        return found

    def schema_match(self, schema: dict[str, Any]) -> bool:
        """Whether a JSON schema, within that of a dataclass or pydantic model, is the one of this type."""
        return bool(self.python_type.has_json_schema(schema))

    def assert_type(self, t: Any, v: Any) -> None:
        """Refuse what is no value of this type, in one line without the value.

        Raises:
            TypeTransformerFailedError: it is none.
        """
        if not isinstance(v, self.python_type):
            raise TypeTransformerFailedError(f"Cannot use a {type(v).__name__} where a {self.name} is declared.")

    async def to_literal(self, python_val: Any, python_type: Any, expected: LiteralType) -> Literal:
        """Return the value as a literal with sorted keys, so that equal values are equal bytes.

        Raises:
            TypeTransformerFailedError: it is a value of another type, which tells a Union to try its next variant.
            DoltError: it cannot travel.
        """
        self.assert_type(python_type, python_val)
        with marked():
            payload = await self.packed(python_val)
        return Literal(scalar=Scalar(binary=Binary(value=msgpack.packb(with_sorted_keys(payload)), tag=_MSGPACK)))

    async def packed(self, value: Any) -> dict[str, Any]:
        """Return what travels."""
        fields: dict[str, Any] = value.to_dict()
        return fields

    async def to_python_value(self, lv: Literal, expected_python_type: Any) -> Any:
        """Return the value that a literal holds."""
        return self.python_type.from_dict(_payload(lv, self.name))

    def from_binary_idl(self, binary_idl_object: Binary, expected_python_type: Any) -> Any:
        """Return the value that Flyte took out of a larger one (an attribute of a dataclass)."""
        return self.python_type.from_dict(_unpacked(binary_idl_object, self.name))


class DoltConfigTransformer(_ValueTransformer[DoltConfig]):
    """A `DoltConfig`; a table without data counts as one, and so does its literal."""

    def __init__(self) -> None:
        super().__init__(DoltConfig)

    def assert_type(self, t: Any, v: Any) -> None:
        """Accept a `DoltTable` where a config is declared, if it has no data: it is a query, which is all config."""
        if not (isinstance(v, DoltTable) and not v.is_assigned):
            super().assert_type(t, v)

    async def to_python_value(self, lv: Literal, expected_python_type: Any) -> DoltConfig:
        """Return the config, also out of the literal of a table."""
        payload = _payload(lv, self.name)
        return DoltConfig.from_dict(payload.get("config", payload))


class DoltTableTransformer(_ValueTransformer[DoltTable]):
    """A `DoltTable`: its data is committed on the way out, its commit is fixed on the way in."""

    def __init__(self) -> None:
        super().__init__(DoltTable)

    def assert_type(self, t: Any, v: Any) -> None:
        """Refuse what is no table, and say how to make one; Flyte's own words hold the whole frame instead.

        Raises:
            TypeTransformerFailedError: it is none.
        """
        if isinstance(v, DoltConfig):
            raise TypeTransformerFailedError(
                "Cannot use a DoltConfig where a DoltTable is declared: it says where rows are, and brings none. Give "
                "DoltTable(config, frame) to store a frame, or DoltTable(config) for rows that are stored."
            )
        if not isinstance(v, DoltTable):
            raise TypeTransformerFailedError(
                f"Cannot use a {type(v).__name__} where a DoltTable is declared: it does not say where its rows are. "
                "Give DoltTable(config, frame), or DoltTable(config) for rows that are stored; or declare "
                "Annotated[pandas.DataFrame, dolt_frame(config)] and give a plain frame."
            )

    async def packed(self, value: DoltTable) -> dict[str, Any]:
        """Commit the table's data if no commit holds it yet, and return the reference to the commit.

        Raises:
            NotInTask: there is data to store, and no task is running.
            DoltError: it could not be stored; nothing was changed.
        """
        return (await stored(value)).to_dict()

    async def to_literal(self, python_val: Any, python_type: Any, expected: LiteralType) -> Literal:
        """Return the reference; with `content_hash` in the annotation what the table holds is the literal's hash."""
        literal = await super().to_literal(python_val, python_type, expected)
        if has_content_hash(python_type):
            literal.hash = await content_digest(DoltTable.from_dict(_payload(literal, self.name)))
        return literal

    async def to_python_value(self, lv: Literal, expected_python_type: Any) -> DoltTable:
        """Return the table at the commit its literal names; a query without one is resolved now, once.

        What is wrong is raised when the rows are looked at, in the task's own code: Flyte 2 writes no error file for
        what goes wrong with an input.
        """
        payload = _payload(lv, self.name)
        table = DoltTable.from_dict(payload if "config" in payload else {"config": payload})
        now = context.running()
        if now is None or not now.is_in_task or table.commit is not None:
            return arrived(table)
        try:
            return await in_thread(resolved, now, table)
        except DoltError as error:
            logger.warning("Cannot resolve %r yet: %s", table, error)
            table.resolution_failed = True
            return table


class _ContentHash(DoltTableTransformer):
    """What `content_hash` is: a `DoltTable` whose content is what a cached task compares."""

    def __repr__(self) -> str:
        return "content_hash"

    def __hash__(self) -> int:
        return hash(_ContentHash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ContentHash)


content_hash = _ContentHash()
"""Annotation by which a cached task takes equal content for the same: ``-> Annotated[DoltTable, content_hash]``."""


def has_content_hash(declared: Any) -> bool:
    """Whether an annotation asks for a hash of the content."""
    return get_origin(declared) is not None and any(isinstance(each, _ContentHash) for each in get_args(declared))


async def content_digest(table: DoltTable) -> str:
    """Return a text that is the same for equal content of a table at its commit, in any commit, branch or clone.

    Raises:
        InvalidConfig: no commit holds it.
    """
    from ..api import content

    with marked():
        return await in_thread(content.digest, table)


# ---------------------------------------------------------------------------------------------------- write and read


async def in_thread(act: Callable[..., _R], *args: Any) -> _R:
    """Return what ``act`` does, in a thread, so that the event loop goes on.

    What Flyte 2 leaves to be imported when it is used, as Arrow, is imported before: where two threads are the first to
    use such a module, Python up to 3.11.8 and 3.12.1 shows half of it to one of them.

    Source: https://github.com/python/cpython/issues/114763
    """
    for library in ("pandas", "pyarrow"):
        getattr(sys.modules.get(library), "__version__", None)
    return await asyncio.to_thread(act, *args)


_locks: ByIdentity[threading.Lock] = ByIdentity()
"""One for each table that is being stored: one that is given to two tasks at once is written once."""


async def stored(table: DoltTable) -> DoltTable:
    """Commit the table's data, if no commit holds it, as what runs now, and return the table that travels.

    Raises:
        NotInTask: there is data to store, and no task is running.
        DoltError: it could not be stored; nothing was changed.
    """
    if not (table.is_assigned or table.is_loaded) and table.commit is not None:
        return table
    now = context.running()
    # Here, and not in the thread: outputs come in the order in which the task returns them.
    key = context.write_key(now, table.config) if now is not None and not now.is_handing_on else None
    written = await in_thread(_store, now, table, key)
    if written is not None and now is not None and not now.is_handing_on and _has_report(now):
        await show(written)
    return table if written is None else written


def _store(now: Running | None, given: DoltTable, key: str | None) -> DoltTable | None:
    """Store a table if there is something to store, and return the table that was stored; else None."""
    # Of a table that only names a branch, what the task has read may have been changed, as that of an input.
    table = given if given.is_assigned else runtime.current().as_read(given)
    with _locks.of_or(given, threading.Lock):
        if not has_unsaved_rows(table):
            return None
        if now is None:
            raise NotInTask(
                f"Cannot store {table!r}: no task is running, and data is committed while tasks run only. Return it "
                "from a task, or store it with flyteplugins.dolt.write(config, frame) and pass on what that returns."
            )
        if key is None:
            key = context.write_key(now, table.config, _content_of(table))
        message = context.message(now, table.config, write_key=key)
        store_rows(table, message=message, key=key, basis=basis(now, table.config))
    if table.commit is not None and now.is_in_task:
        now.attempt.run.wrote(table.commit.hash)
    return table


def _content_of(table: DoltTable) -> str:
    from ..api import content

    frame, digest = content.digest_of_frame(table.data)
    if frame is not table.data:  # it gave its rows once only
        table.data = frame
    return digest


def basis(now: Running, config: DoltConfig) -> runtime.Basis | None:
    """Return what the running task has read of the table that it writes with ``config``; None outside a task."""
    if not now.is_in_task:
        return None
    node = None if now.is_local else (now.execution.id, now.execution.node)
    return runtime.Basis(now.attempt.run.rows(config), now.attempt.run.written(), node)


def resolved(now: Running, table: DoltTable) -> DoltTable:
    """Return a table at the commit that its branch has now, or had when the task first asked; noted as read."""
    if table.commit is None:
        key = table.to_json()
        with now.attempt.lock:
            if key not in now.attempt.resolved:
                now.attempt.resolved[key] = resolve(table)
            table = now.attempt.resolved[key]
    return arrived(table)


def arrived(table: DoltTable) -> DoltTable:
    """Note that the running task takes a table as input; what other tasks give back it has read when it looks at it."""
    now = context.in_task()
    if now is not None and table.commit is not None and now.attempt.inputs is None:
        now.attempt.run.note_read(table.config, table.commit)
    return table


def _has_report(now: Running) -> bool:
    """Whether somebody may see the report: Flyte 2 gives each task one, and shows those that are asked for."""
    return now.attempt.task is None or now.attempt.task.report


async def show(table: DoltTable) -> None:
    """Add the table's page to the task's report; Flyte 2 has written the report when outputs are converted.

    It never fails a task: what goes wrong here is logged.
    """
    import flyte.report

    from ..report import collect, page

    try:
        shown = await in_thread(lambda: page.page(collect.card(table)))
        flyte.report.get_tab(f"Dolt: {table.config.tablename}").replace(shown)
        await flyte.report.flush.aio()
    except Exception as error:  # noqa: BLE001  # whatever it is, the task's work is done and committed
        logger.warning("Cannot show %r in a report: %s", table, error)


# ------------------------------------------------------------------------------------------------------------ payload


def _payload(lv: Literal, name: str) -> Mapping[str, Any]:
    payload: Any = None
    if lv.scalar.HasField("binary") and lv.scalar.binary.tag == _MSGPACK:
        payload = _unpacked(lv.scalar.binary, name)
    elif lv.scalar.HasField("generic"):
        payload = MessageToDict(lv.scalar.generic)
    if not isinstance(payload, dict):
        raise InvalidConfig(f"Cannot read a literal as a {name}: it is neither a msgpack nor a struct literal.")
    return payload


def _unpacked(binary: Binary, name: str) -> Any:
    try:
        return msgpack.unpackb(binary.value)
    except (ValueError, RecursionError) as error:  # msgpack's own errors are ValueErrors
        raise InvalidConfig(
            f"Cannot read a literal as a {name}: {str(error) or type(error).__name__}. Pass one that a task returned."
        ) from None


def register() -> None:
    """Make the types known to Flyte 2."""
    others: Any = (Branch, SerialBranch, NewBranch, MergeBranch, Meta, DoltMeta, CallbackMeta, Changes, Remote, Secret)
    transformers: list[TypeTransformer[Any]] = [DoltTableTransformer(), DoltConfigTransformer()]
    for transformer in transformers + [_ValueTransformer(other) for other in others]:
        TypeEngine.register_additional_type(transformer, transformer.python_type, override=True)
