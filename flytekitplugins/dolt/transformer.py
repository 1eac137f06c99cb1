"""The border to Flyte: tables, configs and branch policies as literals, and execution ids as commit messages.

A `DoltTable` that a task returns is committed here; one that a task takes is resolved to a commit here, once, when the
task starts. What travels is a small canonical msgpack value (config and commit, never rows, paths of ours or times), so
it can serve as a cache key. It must stay cheap to import, because ``import flytekit`` does so.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgpack
from flytekit.core.context_manager import FlyteContext
from flytekit.exceptions.base import FlyteRecoverableException
from flytekit.exceptions.system import FlyteDownloadDataException, FlyteUploadDataException
from flytekit.exceptions.user import FlyteRecoverableException as UserRecoverableException
from flytekit.extend import TypeEngine, TypeTransformer
from flytekit.models.literals import Binary, Literal, Scalar
from flytekit.models.types import LiteralType, SimpleType
from google.protobuf.json_format import MessageToDict

from . import execution
from .errors import TRANSIENT, InvalidConfig, NotInTask
from .schema import Branch, DoltConfig, DoltTable, MergeBranch, NewBranch, SerialBranch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)

_MSGPACK = "msgpack"
_TAG = "flytekitplugins.dolt"
_T = TypeVar("_T", DoltTable, DoltConfig, Branch)


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
            ValueError: it is no type of ours, which tells flytekit to ask the next transformer.
        """
        if literal_type.simple == SimpleType.STRUCT and (literal_type.metadata or {}).get(_TAG) == self.name:
            found: type[_T] = self.python_type
            return found
        raise ValueError(f"{literal_type} is not a {self.name}")

    def to_literal(self, ctx: FlyteContext, python_val: _T, python_type: type[_T], expected: LiteralType) -> Literal:
        """Return the value as a literal with sorted keys, so that equal values are equal bytes.

        Raises:
            TypeError: it is a value of another type, which tells a Union to try its next variant.
        """
        if not self.takes(python_val, expected):
            raise TypeError(f"{python_val!r} is not a {self.name}")
        packed = msgpack.packb(_sorted(python_val.to_dict()))
        return Literal(scalar=Scalar(binary=Binary(value=packed, tag=_MSGPACK)))

    def takes(self, value: object, expected: LiteralType) -> bool:
        """Whether ``value`` can be written as this type."""
        return isinstance(value, self.python_type)

    def to_python_value(self, ctx: FlyteContext, lv: Literal, expected_python_type: type[_T]) -> _T:
        """Return the value that a literal holds; literals of the earlier plugin (a JSON struct) are read too."""
        value: _T = self.python_type.from_dict(_payload(lv, self.name))
        return value

    def from_binary_idl(self, binary_idl_object: Binary, expected_python_type: type[_T]) -> _T:
        """Return the value that flytekit took out of a larger one (an attribute of a dataclass)."""
        value: _T = self.python_type.from_dict(msgpack.unpackb(binary_idl_object.value))
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
        return DoltConfig.from_dict(payload.get("config", payload))


class DoltTableTransformer(_ValueTransformer[DoltTable]):
    """A `DoltTable`: its data is committed on the way out, its commit is fixed on the way in."""

    def __init__(self) -> None:
        super().__init__(DoltTable)

    def to_literal(
        self, ctx: FlyteContext, python_val: DoltTable, python_type: type[DoltTable], expected: LiteralType
    ) -> Literal:
        """Commit the table's data if no commit holds it yet, and return the reference to the commit.

        Raises:
            NotInTask: there is data to store, and no task is running.
            DoltError: it could not be stored; nothing was changed.
        """
        if self.takes(python_val, expected) and _has_news(python_val):
            store(ctx, python_val)
        return super().to_literal(ctx, python_val, python_type, expected)

    def to_python_value(self, ctx: FlyteContext, lv: Literal, expected_python_type: type[DoltTable]) -> DoltTable:
        """Return the table at the commit its literal names; a query without one is resolved now, once.

        Raises:
            DoltError: the repository, the branch or the config is not as it should be.
        """
        payload = _payload(lv, self.name)
        table = DoltTable.from_dict(payload if "config" in payload else {"config": payload})
        return resolved(ctx, table) if execution.is_executing(ctx) else table

    def to_html(self, ctx: FlyteContext, python_val: DoltTable, expected_python_type: type[DoltTable]) -> str:
        """Return what a deck shows: the commit, what it changed in the table, how the table grew.

        A deck never fails a task: what goes wrong here is logged, and said on the page.
        """
        from . import deck

        if python_val.commit is None:
            return deck.note(f"{python_val!r}: no commit holds it.")
        try:
            from . import showing

            return deck.page(showing.card(python_val))
        except Exception as error:  # noqa: BLE001  # whatever it is, the task's work is done and committed
            logger.warning("Cannot show %r in a deck: %s", python_val, error)
            return deck.note(f"{python_val!r}. Nothing more can be shown: {error}")


def store(ctx: FlyteContext, table: DoltTable) -> None:
    """Commit the table's data as the output of what runs in ``ctx``.

    Raises:
        NotInTask: nothing runs.
        DoltError: it could not be stored; nothing was changed.
    """
    _refuse_unless_executing(ctx, table)
    from . import frames

    key = execution.write_key(ctx, table)
    with to_be_tried_again(FlyteUploadDataException):
        frames.store(table, message=execution.message(ctx, table, write_key=key), key=key)


def resolved(ctx: FlyteContext, table: DoltTable) -> DoltTable:
    """Return the table at its commit, found out now if it has none, and note that what runs in ``ctx`` reads it."""
    from . import frames

    if table.commit is None:
        from .caching import warn_if_cached

        warn_if_cached(ctx, table)
    with to_be_tried_again(FlyteDownloadDataException):
        table = frames.resolve(table)
    execution.note_read(table, ctx=ctx)
    return table


@contextmanager
def to_be_tried_again(recoverable: type[FlyteRecoverableException] = UserRecoverableException) -> Iterator[None]:
    """Raise what may go away by itself as the same error that is a ``recoverable`` one as well.

    flytekit asks the platform to run a task again only after exceptions of its own: of the conversions of inputs and
    outputs `FlyteDownloadDataException` and `FlyteUploadDataException`, of a task's own code, which is the default,
    `FlyteRecoverableException`. Whoever catches ours catches it as before.
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


def _has_news(table: DoltTable) -> bool:
    if table.is_assigned:
        return True
    if not table.is_loaded:
        return False
    from . import frames

    return frames.is_changed(table)


def _refuse_unless_executing(ctx: FlyteContext, table: DoltTable) -> None:
    if not execution.is_executing(ctx):
        raise NotInTask(
            f"Cannot store {table!r}: no task is running (Flyte is compiling or registering), and data is committed "
            "while tasks run only. Return it from a task, or store it with flytekitplugins.dolt.write(config, frame) "
            "and pass on what that returns."
        )


def _payload(lv: Literal, name: str) -> Mapping[str, Any]:
    scalar = lv.scalar if lv is not None else None
    payload: Any = None
    if scalar is not None and scalar.binary is not None and scalar.binary.tag == _MSGPACK:
        payload = msgpack.unpackb(scalar.binary.value)
    elif scalar is not None and scalar.generic is not None:
        payload = MessageToDict(scalar.generic)
    if not isinstance(payload, dict):
        raise InvalidConfig(f"Cannot read {lv} as a {name}: it is neither a msgpack nor a struct literal.")
    return payload


def _sorted(value: Any) -> Any:
    return {k: _sorted(value[k]) for k in sorted(value)} if isinstance(value, dict) else value


def register() -> None:
    """Make the types known to flytekit; the second call changes nothing."""
    transformers: list[TypeTransformer[Any]] = [DoltTableTransformer(), DoltConfigTransformer()]
    transformers += [_ValueTransformer(policy) for policy in (Branch, SerialBranch, NewBranch, MergeBranch)]
    for transformer in transformers:
        TypeEngine.register_additional_type(transformer, transformer.python_type, override=True)
