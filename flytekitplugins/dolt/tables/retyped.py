"""Values of a column in another type, where they are the same values there, else as text. Pure.

Arrow casts the integer 5 to a day in 1970, and 0.1 to a number beside it. Here a value is only ever given in a type of
its own nature, and only if it comes back from there as it was.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..codec.notes import UNFIT, family
from .row_changes import comparable

_NUMBERS = {"boolean", "integer", "float", "decimal"}
_DAYS = {"date", "timestamp"}
_KINDS = (_NUMBERS, _DAYS, {"text", "bytes"}, *({"text", each} for each in ("integer", "float", "decimal", *_DAYS)))
"""Families of types between which a value may be the same."""
_A_DAY = 24 * 3600 * 10**6
"""In microseconds, in which SQL's times arrive."""


def in_one_type(
    was: pa.ChunkedArray, now: pa.ChunkedArray, *, of_one_column: bool = False
) -> tuple[pa.ChunkedArray, pa.ChunkedArray] | None:
    """Return both columns in the type of ``now``, or None where a value of ``was`` would not come back from it.

    ``of_one_column`` says that both have one SQL type, so that the type of either will do: TINYINT(1) and TIME arrive
    in a type that hangs on the values.
    """
    cast = _cast_there_and_back(was, now.type)
    if cast is not None:
        return cast, now
    cast = _cast_there_and_back(now, was.type) if of_one_column else None
    return None if cast is None else (was, cast)


def _cast_there_and_back(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if not _may_be_the_same(column.type, kind):
        return None
    try:
        cast = _cast(column, kind)
        back = _cast(cast, column.type)
    except UNFIT:
        return None
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(cast)).as_py():  # a text 'nan' is no missing number
        return None
    return cast if comparable(back).equals(comparable(column)) else None


def _may_be_the_same(kind: pa.DataType, other: pa.DataType) -> bool:
    if _is_time(kind) or _is_time(other):
        return _is_time(kind) and _is_time(other)
    return any({family(kind), family(other)} <= each for each in _KINDS)


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_time(kind) or pa.types.is_duration(kind))


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_string(kind):
        return as_text(column) if not pa.types.is_binary(column.type) else column.cast(kind)
    is_decimal, into_decimal = pa.types.is_decimal(column.type), pa.types.is_decimal(kind)
    if (is_decimal and pa.types.is_floating(kind)) or (into_decimal and not is_decimal):
        return as_text(column).cast(kind)  # Arrow's own ways round twice, or ask for the room of the largest integer
    if is_decimal and pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(kind)
    if _is_time(column.type):
        micros = column.cast(pa.int64())
        if pa.types.is_time(kind):  # which Arrow lets be any number
            limits = pc.min_max(micros).as_py()
            if limits["min"] < 0 or limits["max"] >= _A_DAY:
                raise ValueError("a span of time is no time of day")
        return micros.cast(kind)
    return column.cast(kind)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values as SQL prints them, bytes in hexadecimal digits."""
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int8()).cast(pa.string())
    if pa.types.is_binary(column.type):
        return _printed(column, bytes.hex)
    if pa.types.is_decimal(column.type):
        return _printed(column, "{:f}".format)
    if pa.types.is_duration(column.type):
        return _printed(column, _span)
    text = column.cast(pa.string())
    has_places = pa.types.is_time(column.type) or pa.types.is_timestamp(column.type)
    return pc.replace_substring_regex(text, r"\.0+$", "") if has_places else text


def _printed(column: pa.ChunkedArray, show: Callable[[Any], str]) -> pa.ChunkedArray:
    values = [None if value is None else show(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.string())])


def _span(value: datetime.timedelta) -> str:
    sign, seconds = ("-", -value) if value < datetime.timedelta() else ("", value)
    whole, rest = divmod(seconds, datetime.timedelta(seconds=1))
    places = f".{rest.microseconds:06d}" if rest else ""
    return f"{sign}{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{places}"
