"""Results of queries as exact Arrow columns: how each column is asked for, and what it is when it has arrived.

Some SQL types have no exact form of their own on the way, so they are asked for as text (`wanted`) and get their type
back afterwards (`restored`); what a server prints is read by `from_text`. Pure: `tables.reading` does the asking,
and what the columns become in a frame is up to `pandas_frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ...doltdb.wire_types import EXACT, INTEGERS, Column, read_bits, read_times
from ..errors import QueryFailed, attempted
from ..model.sql_text import quote
from .pandas_frames import SqlType


@dataclass(frozen=True)
class ColumnRequest:
    """How one column is asked for, and what it is when it has arrived."""

    select: str
    """The expression in the select list."""
    arrow: pa.DataType | None
    """The Arrow type to give it afterwards; None leaves it as it arrives."""
    printed: str = ""
    """The expression where everything comes as text; nothing is the plain column."""


def wanted(column: Column | tuple[str, str]) -> ColumnRequest:
    """Say how to ask for a column so that no value changes on the way.

    ``column`` is a result's column as the server announces it, or name and SQL type of a table's column. Only the SQL
    type tells a boolean from a small integer.
    """
    name, kind, decimal = _kind_on_the_wire(column) if isinstance(column, Column) else _kind_in_the_table(*column)
    if kind == "decimal":  # the transport wants all values at one scale and has no more than 128 bits
        return ColumnRequest(f"CAST({quote(name)} AS CHAR)", decimal)
    if kind == "bits":  # as a number, which is what a query's printed bits are read as
        return ColumnRequest(f"CAST({quote(name)} AS UNSIGNED)", pa.uint64())
    if kind == "text":  # these have no exact form of their own on the way
        return ColumnRequest(f"CAST({quote(name)} AS CHAR)", None, f"CAST({quote(name)} AS CHAR)")
    return ColumnRequest(quote(name), {"boolean": pa.bool_(), "bytes": pa.binary()}.get(kind))


def _kind_on_the_wire(found: Column) -> tuple[str, str, pa.DataType | None]:
    if found.wire == "NEWDECIMAL":
        return found.name, "decimal", _decimal_on_the_wire(found)
    if found.wire == "BIT":
        return found.name, "bits", None
    if found.wire in ("JSON", "GEOMETRY"):
        return found.name, "text", None
    return found.name, "bytes" if _is_bytes_on_the_wire(found) else "", None


def _is_bytes_on_the_wire(found: Column) -> bool:
    return found.binary and found.wire.endswith(("BLOB", "STRING", "VARCHAR"))


def _decimal_on_the_wire(found: Column) -> pa.DataType:
    """Return the widest type of the scale: Dolt 1.83 announces fewer digits than there are for ``qty * 0.5``."""
    return _widest(found.digits, found.scale)


def _widest(digits: int, scale: int) -> pa.DataType:
    return pa.decimal256(38 if digits <= 38 else 76, scale)


def is_geometry(sql_type: str) -> bool:
    """Whether a column's type is one of those for shapes and places."""
    base = SqlType.parse(sql_type).base
    return base.startswith(("geom", "point", "linestring", "polygon", "multi"))


def _kind_in_the_table(name: str, sql_type: str) -> tuple[str, str, pa.DataType | None]:
    parsed = SqlType.parse(sql_type)
    if parsed == SqlType("tinyint", 1):
        return name, "boolean", None
    if parsed.base == "decimal":
        return name, "decimal", pa.decimal256(parsed.size or 10, parsed.scale or 0)
    if parsed.base == "bit":
        return name, "bits", None
    if parsed.base == "json":
        return name, "text", None
    return name, "bytes" if parsed.base.endswith(("binary", "blob")) else "", None


def restored(arrived: pa.Table, plan: Sequence[ColumnRequest], names: Sequence[str]) -> pa.Table:
    """Return the columns that arrived, under their names and in their types."""
    columns = []
    for column, want in zip(arrived.columns, plan, strict=True):
        if want.arrow is None:
            columns.append(column)
        elif pa.types.is_boolean(want.arrow):
            columns.append(column.cast(pa.bool_()) if _is_zero_or_one(column) else column)
        else:
            columns.append(_parsed(column, want.arrow))
    return pa.Table.from_arrays(columns, names=list(names))


def from_file(rows: pa.Table, plan: Sequence[ColumnRequest]) -> pa.Table:
    """Return columns that came as a file of rows as they would have come by SQL: by `restored`, or by `from_text`.

    By text they come where a span of time is no time of day.
    """
    of_times = [pa.types.is_duration(column.type) for column in rows.columns]
    if not all(map(_are_times_of_day, rows.select([at for at, is_time in enumerate(of_times) if is_time]).columns)):
        kinds = [_printed(want.arrow, kind) for want, kind in zip(plan, rows.schema.types, strict=True)]
        return rows.cast(pa.schema(list(zip(rows.column_names, kinds, strict=True))))
    columns = [
        column.cast(pa.int64()).cast(pa.time64("us")) if is_time else column
        for column, is_time in zip(rows.columns, of_times, strict=True)
    ]
    return restored(pa.Table.from_arrays(columns, names=rows.column_names), plan, rows.column_names)


def from_file_of_query(rows: pa.Table) -> pa.Table:
    """Return a query's columns that came as a file of rows as they would have come by SQL."""
    kinds = [_widest(kind.precision, kind.scale) if pa.types.is_decimal(kind) else kind for kind in rows.schema.types]
    return pa.Table.from_arrays(
        [column.cast(kind) for column, kind in zip(rows.columns, kinds, strict=True)], names=rows.column_names
    )


def _printed(wanted: pa.DataType | None, kind: pa.DataType) -> pa.DataType:
    return _widest(wanted.precision, wanted.scale) if wanted is not None and pa.types.is_decimal(wanted) else kind


_A_DAY = 24 * 3600 * 10**6
"""In microseconds."""


def _are_times_of_day(spans: pa.ChunkedArray) -> bool:
    limits = pc.min_max(spans.cast(pa.int64())).as_py()
    return limits["min"] is None or (limits["min"] >= 0 and limits["max"] < _A_DAY)


def _is_zero_or_one(column: pa.ChunkedArray) -> bool:
    limits = pc.min_max(column).as_py()
    return limits["min"] is None or (limits["min"] >= 0 and limits["max"] <= 1)


_TYPES = {**EXACT, "YEAR": pa.int16()}


def from_text(fields: Sequence[Column], rows: Sequence[tuple[bytes | None, ...]]) -> pa.Table:
    """Return rows that the server printed as an Arrow table in the types of ``fields``.

    TIME is a duration here: SQL's TIME goes from -838 to 838 hours.
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
    arrays = [_from_text(found, values) for found, values in zip(fields, columns, strict=True)]
    return pa.Table.from_arrays(arrays, names=[found.name for found in fields])


def _from_text(found: Column, values: Sequence[bytes | None]) -> pa.Array:
    raw = pa.array(values, pa.binary())
    if found.wire == "BIT":
        return read_bits(raw)
    if _is_bytes_on_the_wire(found):
        return raw
    if found.wire == "TIME":
        return read_times(raw.cast(pa.string()))
    kind = pa.string()
    if found.wire == "NEWDECIMAL":
        kind = _decimal_on_the_wire(found)
    elif found.wire in INTEGERS:
        kind = INTEGERS[found.wire][found.unsigned]
    elif found.wire in _TYPES:
        kind = _TYPES[found.wire]
    try:
        return _parsed(raw.cast(pa.string()), kind)
    except pa.ArrowInvalid as error:
        raise _no_value(found, raw, kind) from error


def _parsed(text: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return printed values in their type; decimals with more places than announced get a type with all of these."""
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        if not pa.types.is_decimal(kind) or not pa.types.is_string(text.type):
            raise
        places = pc.max(pc.utf8_length(pc.replace_substring_regex(text, r"^[^.]*\.?", ""))).as_py() or 0
        return text.cast(pa.decimal256(76, max(places, kind.scale)))


def _no_value(found: Column, raw: pa.Array, kind: pa.DataType) -> QueryFailed:
    """Return the error for a column with a value that has none in a frame; it says which one."""
    row = next((row for row in range(len(raw)) if not _is_a(raw[row : row + 1], kind)), 0)
    value = raw[row].as_py()
    shown = repr(value[:60])[2:-1] if isinstance(value, bytes) else repr(value)
    what = "no valid text" if pa.types.is_string(kind) else f"no {kind} that a frame can hold"
    said = f"column {found.name!r} has '{shown}' in row {row}, which is {what}"
    return QueryFailed(
        f"Cannot {attempted()}: {said}. Leave that column out, with columns=[...] or in the query, or make it text or "
        f"bytes in a query, by CAST({quote(found.name)} AS CHAR) or HEX({quote(found.name)}).",
        code=0,
        server_message=said,
    )


def _is_a(one: pa.Array, kind: pa.DataType) -> bool:
    try:
        _parsed(one.cast(pa.string()), kind)
    except pa.ArrowInvalid:
        return False
    return True
