"""The border to Flyte: tables, configs and branch policies as literals, and execution ids as commit messages.

A `DoltTable` that a task returns is committed here; one that a task takes is resolved to a commit here, once, when the
task starts. What travels is a small canonical msgpack value (config and commit, never rows, paths of temporary files or
times), so it can serve as a cache key. It must stay cheap to import, because ``import flytekit`` does so.
"""

from __future__ import annotations

import logging
import threading
import typing
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgpack
from dataclasses_json import global_config
from flytekit.core.context_manager import FlyteContext, FlyteContextManager
from flytekit.core.type_engine import TypeTransformerFailedError
from flytekit.exceptions.base import FlyteRecoverableException
from flytekit.exceptions.system import FlyteDownloadDataException, FlyteUploadDataException
from flytekit.exceptions.user import FlyteRecoverableException as UserRecoverableException
from flytekit.extend import TypeEngine, TypeTransformer
from flytekit.models.literals import Binary, Literal, Scalar
from flytekit.models.types import LiteralType, SimpleType
from google.protobuf.json_format import MessageToDict

from ..api.table import DoltTable, has_unsaved_rows, resolve
from ..api.table import store as store_rows
from ..errors import TRANSIENT, DoltError, InvalidConfig, NotInTask
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
from .unpinned_inputs import warn_if_cached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

logger = logging.getLogger(__name__)

_MSGPACK = "msgpack"
_TAG = "flytekitplugins.dolt"
_T = TypeVar("_T", DoltTable, DoltConfig, Branch, Meta, Changes, Remote, Secret)


class _ValueTransformer(TypeTransformer[_T]):
    """A value with ``to_dict`` and ``from_dict`` as a STRUCT literal that holds msgpack."""

    def __init__(self, t: type[_T]) -> None:
        super().__init__(name=t.__name__, t=t)

    def get_literal_type(self, t: type[_T]) -> LiteralType:
        """Return STRUCT, tagged so that `guess_python_type` knows it again."""
        return LiteralType(simple=SimpleType.STRUCT, metadata={_TAG: self.python_type.__name__})

    def guess_python_type(self, literal_type: LiteralType) -> type[_T]:
        """Return the type that `get_literal_type` tagged.

        Raises:
            ValueError: it is no type of this package, which tells flytekit to ask the next transformer.
        """
        if literal_type.simple == SimpleType.STRUCT and (literal_type.metadata or {}).get(_TAG) == self.name:
            found: type[_T] = self.python_type
            return found
        raise ValueError(f"it is not a {self.name}")  # without the type, which is slow to print

    def schema_match(self, schema: dict[str, Any]) -> bool:
        """Whether a JSON schema, within that of a dataclass or pydantic model, is the one of this type."""
        return bool(self.python_type.has_json_schema(schema))

    def to_literal(self, ctx: FlyteContext, python_val: _T, python_type: type[_T], expected: LiteralType) -> Literal:
        """Return the value as a literal with sorted keys, so that equal values are equal bytes.

        Raises:
            TypeError: it is a value of another type, which tells a Union to try its next variant.
            DoltError: it cannot travel; in a Union it is raised out of what is returned.
        """
        if not self.takes(python_val, expected):
            raise TypeError(f"{python_val!r} is not a {self.name}")
        try:
            packed = msgpack.packb(with_sorted_keys(self.packed(ctx, python_val)))
        except DoltError as error:
            return raise_or_defer(error, expected)
        return Literal(scalar=Scalar(binary=Binary(value=packed, tag=_MSGPACK)))

    def packed(self, ctx: FlyteContext, value: _T) -> dict[str, Any]:
        """Return what travels."""
        return value.to_dict()

    def takes(self, value: object, expected: LiteralType) -> bool:
        """Whether ``value`` can be written as this type."""
        return isinstance(value, self.python_type)

    def to_python_value(self, ctx: FlyteContext, lv: Literal, expected_python_type: type[_T]) -> _T:
        """Return the value that a literal holds; literals of the earlier plugin (a JSON struct) are read too."""
        value: _T = self.python_type.from_dict(_payload(lv, self.name))
        return value

    def from_binary_idl(self, binary_idl_object: Binary, expected_python_type: type[_T]) -> _T:
        """Return the value that flytekit took out of a larger one (an attribute of a dataclass)."""
        value: _T = self.python_type.from_dict(_unpacked(binary_idl_object, self.name))
        return value


class DoltConfigTransformer(_ValueTransformer[DoltConfig]):
    """A `DoltConfig`; a table without data counts as one, and so does its literal."""

    def __init__(self) -> None:
        super().__init__(DoltConfig)

    def assert_type(self, t: type[DoltConfig], v: Any) -> None:
        """Accept a `DoltTable` where a config is declared, if it has no data: it is a query, which is all config."""
        if not _is_query(v):
            super().assert_type(t, v)

    def takes(self, value: object, expected: LiteralType) -> bool:
        """Whether ``value`` is a config; in a Union (whose variants have a tag) a query is left to `DoltTable`."""
        return super().takes(value, expected) or (_is_query(value) and expected.structure is None)

    def to_python_value(self, ctx: FlyteContext, lv: Literal, expected_python_type: type[DoltConfig]) -> DoltConfig:
        """Return the config, also out of the literal of a table."""
        payload = _payload(lv, self.name)
        config = DoltConfig.from_dict(payload.get("config", payload))
        if "commit" not in payload:  # what a table at a commit is compared by names that, too
            warn_if_cached(ctx, config)
        return config


class DoltTableTransformer(_ValueTransformer[DoltTable]):
    """A `DoltTable`: its data is committed on the way out, its commit is fixed on the way in."""

    def __init__(self) -> None:
        super().__init__(DoltTable)

    def assert_type(self, t: type[DoltTable], v: Any) -> None:
        """Refuse what is no table, and say how to make one; flytekit's own words hold the whole frame instead.

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

    def packed(self, ctx: FlyteContext, value: DoltTable) -> dict[str, Any]:
        """Commit the table's data if no commit holds it yet, and return the reference to the commit.

        Raises:
            NotInTask: there is data to store, and no task is running.
            DoltError: it could not be stored; nothing was changed.
        """
        # Of a table that only names a branch, what the task has read may have been changed, as that of an input.
        table = value if value.is_assigned else task_inputs.as_read(ctx, value)
        if has_unsaved_rows(table):
            store(ctx, table)
            return table.to_dict()
        return value.to_dict()

    def to_python_value(self, ctx: FlyteContext, lv: Literal, expected_python_type: type[DoltTable]) -> DoltTable:
        """Return the table at the commit its literal names; a query without one is resolved now, once.

        Raises:
            DoltError: the repository, the branch or the config is not as it should be.
        """
        payload = _payload(lv, self.name)
        table = DoltTable.from_dict(payload if "config" in payload else {"config": payload})
        if not context.is_executing(ctx):
            return table
        with error_in_literal(lv):
            return resolved(ctx, table)

    def to_html(self, ctx: FlyteContext, python_val: DoltTable, expected_python_type: type[DoltTable]) -> str:
        """Return what a deck shows: the commit, what it changed in the table, how the table grew.

        A deck never fails a task: what goes wrong here is logged, and said on the page.
        """
        from ..report import page

        if python_val.commit is None:
            return page.note(f"{python_val!r}: no commit holds it.")
        try:
            from ..report import collect

            return page.page(collect.card(python_val))
        except Exception as error:  # noqa: BLE001  # whatever it is, the task's work is done and committed
            logger.warning("Cannot show %r in a deck: %s", python_val, error)
            return page.note(f"{python_val!r}. Nothing more can be shown: {error}")


def store(ctx: FlyteContext, table: DoltTable) -> None:
    """Commit the table's data as the output of what runs in ``ctx``.

    Raises:
        NotInTask: nothing runs.
        DoltError: it could not be stored; nothing was changed.
    """
    _refuse_unless_executing(ctx, table)
    key = context.write_key(ctx, table.config)
    with retryable(FlyteUploadDataException):
        message = context.message(ctx, table.config, write_key=key)
        store_rows(table, message=message, key=key, basis=context.basis(table.config, ctx=ctx))
    assert table.commit is not None  # noqa: S101  # for the type checker: that is what store does
    context.note_written(table.commit, ctx=ctx)


def resolved(ctx: FlyteContext, table: DoltTable) -> DoltTable:
    """Return the table at its commit, found out now if it has none, and note that what runs in ``ctx`` reads it."""
    is_new = table.commit is None
    if is_new:
        warn_if_cached(ctx, table)
    with retryable(FlyteDownloadDataException):
        table = resolve(table)
    assert table.commit is not None  # noqa: S101  # for the type checker: that is what resolve gives
    if is_new:
        context.note_resolved(table.config, table.commit, ctx=ctx)
    context.note_read(table.config, table.commit, ctx=ctx)
    return table


class _Resolved:
    """To which commit a table without one was resolved in a task, so that looking again sees the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: weakref.WeakKeyDictionary[Any, dict[str, DoltTable]] = weakref.WeakKeyDictionary()

    def table(self, ctx: FlyteContext, table: DoltTable) -> DoltTable:
        if table.commit is not None or not context.is_executing(ctx) or ctx.user_space_params is None:
            return resolved(ctx, table)
        known, key = self._of_task(ctx), table.to_json()
        if key not in known:
            known[key] = resolved(ctx, table)
        return known[key]

    def as_read(self, ctx: FlyteContext, table: DoltTable) -> DoltTable:
        """Return the table at the commit at which the task has read it, or as it is where it has not."""
        if table.commit is not None or ctx.user_space_params is None:
            return table
        return self._of_task(ctx).get(table.to_json(), table)

    def _of_task(self, ctx: FlyteContext) -> dict[str, DoltTable]:
        with self._lock:
            return self._tables.setdefault(ctx.user_space_params, {})


task_inputs = _Resolved()


def resolve_in_task(table: DoltTable) -> DoltTable | None:
    """Return, at its commit, a table that a task has without Flyte having handed it over; None outside a task.

    So is the default of an input, which flytekit leaves to Python when a task runs locally.
    """
    ctx = FlyteContextManager.current_context()
    if not context.is_in_task(ctx):
        return None
    with retryable():
        return task_inputs.table(ctx, table)


def resolve_nested(table: DoltTable) -> DoltTable:
    """Return a table that came inside another value as one that came by itself.

    Code that unpacks the other value hides the errors of that, so what is wrong is raised when the rows are looked at.
    """
    ctx = FlyteContextManager.current_context()
    if not context.is_executing(ctx):
        return table
    try:
        return resolved(ctx, table)
    except DoltError as error:
        logger.warning("Cannot resolve %r yet: %s", table, error)
        table.resolution_failed = True
        return table


class _Refused(Literal):
    """What stands for a literal that could not be made, and raises the reason when it is looked at."""

    def __init__(self, error: DoltError) -> None:
        super().__init__()
        self._error = error

    @property
    def collection(self) -> Any:
        raise self._error

    def to_flyte_idl(self) -> Any:
        raise self._error


def raise_or_defer(error: DoltError, expected: LiteralType) -> Literal:
    """Raise ``error``, in a Union a moment later.

    flytekit tries all variants of a Union (it marks them), and of what they raise it says no more than that none fits.
    It looks at the literal afterwards, so the error gets through by way of that.
    """
    if expected is None or expected.structure is None:
        raise error
    return _Refused(error)


@contextmanager
def error_in_literal(lv: Literal) -> Iterator[None]:
    """Write an error into the literal that it is about: in a Union flytekit drops the one and shows the other."""
    try:
        yield
    except DoltError as error:
        lv.set_metadata({**(lv.metadata or {}), "error": str(error)})
        raise


@contextmanager
def retryable(recoverable: type[FlyteRecoverableException] = UserRecoverableException) -> Iterator[None]:
    """Raise what may go away by itself as the same error that is a ``recoverable`` one as well.

    flytekit asks the platform to run a task again only after exceptions of its own: of the conversions of inputs and
    outputs `FlyteDownloadDataException` and `FlyteUploadDataException`, of a task's own code, which is the default,
    `FlyteRecoverableException`. Code that catches this package's error catches it as before.
    """
    try:
        yield
    except TRANSIENT as error:
        kind = type(error)
        if isinstance(error, FlyteRecoverableException):
            raise
        # flytekit asks for the time when it reports the error; its own constructor, which is not run, would set it.
        body = {"__module__": kind.__module__, "__doc__": kind.__doc__, "_timestamp": None}
        both = type(kind.__name__, (kind, recoverable), body)
        raise both(str(error), **vars(error)) from error


def _is_query(value: object) -> bool:
    return isinstance(value, DoltTable) and not value.is_assigned


def _refuse_unless_executing(ctx: FlyteContext, table: DoltTable) -> None:
    if not context.is_executing(ctx):
        raise NotInTask(
            f"Cannot store {table!r}: no task is running (Flyte is compiling or registering), and data is committed "
            "while tasks run only. Return it from a task, or store it with flytekitplugins.dolt.write(config, frame) "
            "and pass on what that returns."
        )


def kind_of(lv: Literal) -> str | None:
    """Return of which class the value in a literal is, a table or a config; None for whatever else."""
    if lv is None or lv.scalar is None or (lv.scalar.binary is None and lv.scalar.generic is None):
        return None
    try:
        found = _payload(lv, "DoltTable")
    except InvalidConfig:
        return None
    return "DoltTable" if "config" in found else "DoltConfig" if "db_path" in found else None


def table_in(lv: Literal) -> DoltTable:
    """Return the table that a literal of the kind ``DoltTable`` refers to, with nothing resolved."""
    return DoltTable.from_dict(_payload(lv, "DoltTable"))


def _payload(lv: Literal, name: str) -> Mapping[str, Any]:
    scalar = lv.scalar if lv is not None else None
    payload: Any = None
    if scalar is not None and scalar.binary is not None and scalar.binary.tag == _MSGPACK:
        payload = _unpacked(scalar.binary, name)
    elif scalar is not None and scalar.generic is not None:
        payload = _within_depth(lambda: MessageToDict(scalar.generic), name)
    if not isinstance(payload, dict):
        raise InvalidConfig(f"Cannot read {lv} as a {name}: it is neither a msgpack nor a struct literal.")
    return payload


def _unpacked(binary: Binary, name: str) -> Any:
    return _within_depth(lambda: msgpack.unpackb(binary.value), name)


def _within_depth(read: Callable[[], Any], name: str) -> Any:
    try:
        return read()
    except (ValueError, RecursionError) as error:  # msgpack's own errors are ValueErrors
        raise InvalidConfig(
            f"Cannot read a literal as a {name}: {str(error) or type(error).__name__}. Pass one that a task returned."
        ) from None


def register() -> None:
    """Make the types known to flytekit; the second call changes nothing."""
    transformers: list[TypeTransformer[Any]] = [DoltTableTransformer(), DoltConfigTransformer()]
    transformers += [_ValueTransformer(policy) for policy in (Branch, SerialBranch, NewBranch, MergeBranch)]
    transformers += [_ValueTransformer(t) for t in (Meta, DoltMeta, CallbackMeta, Changes, Remote, Secret)]
    for transformer in transformers:
        TypeEngine.register_additional_type(transformer, transformer.python_type, override=True)
        _read_on_the_command_line(transformer.python_type)


def _read_on_the_command_line(kind: Any) -> None:
    """Have ``pyflyte run`` read values of this package within a dataclass, for which it takes dataclasses_json."""

    def listed(values: list[Any]) -> list[Any]:
        return [kind.from_dict(value) for value in values]

    def named(values: dict[str, Any]) -> dict[str, Any]:
        return {name: kind.from_dict(value) for name, value in values.items()}

    decoders: dict[Any, Any] = global_config.decoders
    decoders |= {kind: kind.from_dict, kind | None: kind.from_dict}  # equal to Optional[kind]
    decoders |= dict.fromkeys((list[kind], typing.List[kind]), listed)  # noqa: UP006  # as users may write it
    decoders |= dict.fromkeys((dict[str, kind], typing.Dict[str, kind]), named)  # noqa: UP006
