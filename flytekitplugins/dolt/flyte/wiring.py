"""What is wired to an input or output of another type: read as the one thing it can mean, or refused in one line.

A table or its reference where a plain frame is declared is that table's rows. None, and a config or frame where a table
is declared, are refused in words that say what to write; flytekit's own words show the literal instead. flytekit has no
place for either, so its functions are wrapped. Unions are left to flytekit, which tries their variants one by one.
"""

from __future__ import annotations

import functools
import typing
from types import NoneType
from typing import TYPE_CHECKING, Any

from flytekit.core.context_manager import FlyteContext
from flytekit.core.type_engine import TypeTransformerFailedError, UnionTransformer, get_underlying_type
from flytekit.extend import TypeEngine
from flytekit.models.literals import Literal
from flytekit.models.types import LiteralType
from flytekit.types.structured.structured_dataset import StructuredDatasetTransformerEngine

from ..api.table import DoltTable
from ..model.configs import DoltConfig
from . import dataframes, value_types

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _refuse_none(value: object, declared: Any, expected: LiteralType | None) -> None:
    if value is not None or expected is None or expected.union_type is not None:
        return
    wanted = _wanted(declared)
    if wanted is not None:
        kind, example = wanted
        raise TypeTransformerFailedError(
            f"Cannot use None where {kind} is declared: a return is missing, or nothing was given. Give {example}, or "
            "declare Optional[...] where there may be none."
        )


def _wanted(declared: Any) -> tuple[str, str] | None:
    """Return what errors call a type of ours and how one is made; None for the types of others."""
    if declared is DoltTable:
        return "a DoltTable", "DoltTable(config, frame)"
    if declared is DoltConfig:
        return "a DoltConfig", "DoltConfig(db_path=..., tablename=...)"
    if any(isinstance(part, dataframes.DoltFrame) for part in getattr(declared, "__metadata__", ())):
        return f"{dataframes.title_of(declared)} of dolt_frame(...)", "a frame"
    return None


def _refuse_config(declared: Any) -> typing.NoReturn:
    raise TypeTransformerFailedError(
        f"Cannot use a DoltConfig where {dataframes.title_of(declared)} is declared: it says where rows are, and is no "
        "frame. Give DoltTable(config), whose rows are read there."
    )


def _as_dataset(lv: Literal, declared: Any) -> Literal:
    """Return the literal of a table as that of a dataset at the table's address; any other as it is."""
    if value_types.kind_of(lv) == "DoltConfig":
        _refuse_config(declared)
    return dataframes.at_address(lv)


def _given_as_dataset(ctx: FlyteContext, value: Any, declared: Any, expected: LiteralType | None) -> Literal | None:
    """Return the literal of a table that is given in place of a frame, its data being committed first; else None."""
    if expected is not None and expected.structure is not None:  # a variant of a Union
        return None
    if isinstance(value, DoltConfig):
        _refuse_config(declared)
    if not isinstance(value, DoltTable):
        return None
    return dataframes.address_of(DoltTable.from_dict(TypeEngine.get_transformer(DoltTable).packed(ctx, value)))


def register() -> None:
    """Wrap what flytekit asks for literals and values; the second call changes nothing."""
    if getattr(TypeEngine.to_literal_checks, "of_dolt", False):
        return
    _wrap_checks()
    _wrap_frames()
    _wrap_unions()


def _wrap_checks() -> None:
    original: Callable[..., None] = TypeEngine.to_literal_checks

    @functools.wraps(original)
    def to_literal_checks(cls: Any, python_val: Any, python_type: Any, expected: LiteralType) -> None:
        _refuse_none(python_val, python_type, expected)
        original(python_val, python_type, expected)

    to_literal_checks.of_dolt = True  # type: ignore[attr-defined]
    TypeEngine.to_literal_checks = classmethod(to_literal_checks)


def _wrap_frames() -> None:
    engine = StructuredDatasetTransformerEngine
    write: Callable[..., Awaitable[Literal]] = engine.async_to_literal
    read: Callable[..., Awaitable[Any]] = engine.async_to_python_value

    @functools.wraps(write)
    async def async_to_literal(self: Any, ctx: Any, python_val: Any, python_type: Any, expected: Any) -> Literal:
        found = _given_as_dataset(ctx, python_val, python_type, expected)
        return found if found is not None else await write(self, ctx, python_val, python_type, expected)

    @functools.wraps(read)
    async def async_to_python_value(self: Any, ctx: Any, lv: Literal, expected_python_type: Any) -> Any:
        return await read(self, ctx, _as_dataset(lv, expected_python_type), expected_python_type)

    engine.async_to_literal = async_to_literal
    engine.async_to_python_value = async_to_python_value


def _wrap_unions() -> None:
    original: Callable[..., Awaitable[Any]] = UnionTransformer.async_to_python_value

    @functools.wraps(original)
    async def async_to_python_value(self: Any, ctx: Any, lv: Literal, expected_python_type: Any) -> Any:
        variants = set(typing.get_args(get_underlying_type(expected_python_type))) - {NoneType}
        before = dataframes.one_of_several.set(len(variants) > 1)
        try:
            return await original(self, ctx, lv, expected_python_type)
        finally:
            dataframes.one_of_several.reset(before)

    UnionTransformer.async_to_python_value = async_to_python_value
