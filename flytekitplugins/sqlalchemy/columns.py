"""What a MySQL server prints as exact Arrow columns: which type a column has, and its values as that type.

Pure: no connection, no Flyte. `wire_types` has what both plugins agree on. The other one reads tables of Dolt, and
their types; here any query of any server of the family has to be read, without a table whose types could be asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from ..doltdb.wire_types import EXACT, INTEGERS, Column, read_bits, read_times
from .errors import UnreadableResult

_INTEGERS = {*INTEGERS, "YEAR"}
_TEXTS = {"VARCHAR", "VAR_STRING", "STRING", "TINY_BLOB", "MEDIUM_BLOB", "LONG_BLOB", "BLOB", "ENUM", "SET"}
_DATES = {"DATE", "NEWDATE", "DATETIME", "TIMESTAMP"}
_TYPES = {**EXACT, "JSON": pa.string(), "NULL": pa.null()}


def arrow_type(column: Column) -> pa.DataType:
    """Return the Arrow type that holds every value of the column exactly.

    All integers are as wide as there are, so that arithmetic in a frame does not overflow where SQL does not.
    """
    wire = column.wire
    if wire in _INTEGERS:
        return pa.uint64() if wire == "LONGLONG" and column.unsigned else pa.int64()
    if wire in ("DECIMAL", "NEWDECIMAL"):
        return _decimal(column)
    if wire == "BIT":
        return pa.bool_() if column.length == 1 else pa.uint64()
    if wire in _TEXTS:
        return pa.binary() if column.binary else pa.string()
    return _TYPES.get(wire, pa.binary())


def _decimal(column: Column) -> pa.DataType:
    digits = column.digits
    return pa.decimal128(digits, column.scale) if digits <= 38 else pa.decimal256(digits, column.scale)


def converted(column: Column, raw: pa.Array) -> pa.Array:
    """Return the values of ``raw`` (bytes, as printed, or numbers) with the type that `arrow_type` says.

    A DECIMAL that the server announced too narrow comes with the type that it needs.

    Raises:
        UnreadableResult: there is a value that no Arrow type holds, such as the date 0000-00-00.
    """
    target = arrow_type(column)
    if raw.type == target:
        return raw
    if pa.types.is_binary(target):
        return raw.cast(target)
    if column.wire == "BIT":
        return read_bits(raw).cast(target)
    try:
        text = raw.cast(pa.string())
        return _READERS.get(target.id, pc.cast)(text, target)
    except pa.ArrowInvalid as error:
        raise _unreadable(column, raw, error) from None


def _read_decimals(text: pa.Array, target: pa.DataType) -> pa.Array:
    try:
        return text.cast(target)
    except pa.ArrowInvalid:  # an expression whose scale the server did not know
        from decimal import Decimal

        return pa.array([None if v is None else Decimal(v) for v in text.to_pylist()])


def _read_dates(text: pa.Array, target: pa.DataType) -> pa.Array:
    # Dolt prints the years before 1000 with fewer digits.
    return _since_year_one(pc.utf8_lpad(text, 10, "0"), target)


def _read_datetimes(text: pa.Array, target: pa.DataType) -> pa.Array:
    if not pc.all(pc.match_substring_regex(text, r"^\d{4}-")).as_py():
        day = pc.split_pattern(text, " ", max_splits=1)
        day, rest = pc.list_element(day, 0), pc.list_element(day, 1)
        text = pc.binary_join_element_wise(pc.utf8_lpad(day, 10, "0"), rest, " ")
    return _since_year_one(text, target)


def _since_year_one(text: pa.Array, target: pa.DataType) -> pa.Array:
    """Return the dates of texts; the year 0, which Arrow has and Python and pandas have not, is none."""
    if pc.any(pc.starts_with(text, "0000-")).as_py():
        raise pa.ArrowInvalid("the year 0")
    return text.cast(target)


def _read_nothing(text: pa.Array, target: pa.DataType) -> pa.Array:
    return pa.nulls(len(text), target)


_READERS: dict[int, Callable[[pa.Array, pa.DataType], pa.Array]] = {
    pa.decimal128(1).id: _read_decimals,
    pa.decimal256(1).id: _read_decimals,
    pa.duration("us").id: lambda text, _target: read_times(text),
    pa.date32().id: _read_dates,
    pa.timestamp("us").id: _read_datetimes,
    pa.null().id: _read_nothing,
}


def _unreadable(column: Column, raw: pa.Array, error: Exception) -> UnreadableResult:
    name = column.name
    if column.wire in _DATES:
        zeros, nothing = (pc.match_substring_regex(raw, pattern) for pattern in (rb"^0000-|-00", rb"^0000-00-00"))
        if pc.any(zeros).as_py():
            wanted = f"cast({name} as char) for the text"
            if not pc.any(pc.and_not(zeros, nothing)).as_py():
                wanted = f"nullif({name}, '0000-00-00') for missing values, or {wanted}"
            return UnreadableResult(
                f"column {name!r} has a date with zeros, such as 0000-00-00, which no frame can hold. Select {wanted}.",
                columns=[name],
            )
    return UnreadableResult(f"column {name!r} has a value that cannot be read: {error}.", columns=[name])
