"""Results of queries as exact Arrow columns: by what the server announces, and by the SQL types of a table's columns.

`from_text` gives each printed value the type that is announced; what only a table's own definition says, as that a
small integer is a boolean, is added by `restored`. Pure: `tables.reading` does the asking, and what the columns become
in a frame is up to `pandas_frames`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ...doltdb.wire_types import EXACT, INTEGERS, Column, read_bits, read_times
from ..errors import QueryFailed, attempted
from ..model.sql_text import quote
from .pandas_frames import SqlType


def wanted(sql_type: str) -> pa.DataType | None:
    """Return the Arrow type of a table's column of this SQL type, where its values allow it; None as it arrives."""
    parsed = SqlType.parse(sql_type)
    if parsed == SqlType("tinyint", 1):
        return pa.bool_()
    if parsed.base == "decimal":
        return pa.decimal256(parsed.size or 10, parsed.scale or 0)
    if parsed.base == "time":
        return pa.time64("us")
    if parsed.base == "json":
        return pa.string()
    return pa.binary() if parsed.base.endswith(("binary", "blob")) else None


def term(name: str, sql_type: str) -> str:
    """Return how a column of a table stands in a select list."""
    column = quote(name)
    if is_geometry(sql_type):
        return f"CONCAT(IF(ST_SRID({column}) = 0, '', CONCAT('SRID=', ST_SRID({column}), ';')), ST_AsWKT({column}))"
    if is_vector(sql_type):
        return f"VECTOR_TO_STRING({column})"
    # Dolt 1.83 prints JSON as it came in, and text that is made of it in one form.
    return f"CAST({column} AS CHAR)" if SqlType.parse(sql_type).base == "json" else column


def is_geometry(sql_type: str) -> bool:
    """Whether a column's type is one of those for shapes and places."""
    base = SqlType.parse(sql_type).base
    return base.startswith(("geom", "point", "linestring", "polygon", "multi"))


def is_vector(sql_type: str) -> bool:
    """Whether a column's type is that of vectors."""
    return SqlType.parse(sql_type).base == "vector"


def restored(arrived: pa.Table, types: Sequence[pa.DataType | None], names: Sequence[str]) -> pa.Table:
    """Return the columns that arrived, under their names and in their types; see `wanted`.

    A time of day has to be one: only the caller knows of rows that are not there.
    """
    columns = [_restored(column, kind) for column, kind in zip(arrived.columns, types, strict=True)]
    return pa.Table.from_arrays(columns, names=list(names))


def _restored(column: pa.ChunkedArray, kind: pa.DataType | None) -> pa.ChunkedArray:
    if kind == pa.string():
        return _with_escapes(column)
    if kind is None or column.type == kind:
        return column
    if pa.types.is_boolean(kind):
        return column.cast(kind) if _is_zero_or_one(column) else column
    if pa.types.is_time(kind) and pa.types.is_duration(column.type):
        return column.cast(pa.int64()).cast(kind)
    try:
        return column.cast(kind) if pa.types.is_decimal(column.type) else column.cast(pa.string()).cast(kind)
    except pa.ArrowInvalid:  # values of another definition of the table
        return column


_CONTROL = "[\x00-\x1f]"


def _with_escapes(json_texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts of a JSON column as JSON: Dolt 1.83 prints most control characters as they are."""
    if not pc.any(pc.match_substring_regex(json_texts, _CONTROL)).as_py():
        return json_texts
    escaped = [
        None if text is None else re.sub(_CONTROL, lambda found: f"\\u{ord(found[0]):04x}", text)
        for text in json_texts.to_pylist()
    ]
    return pa.chunked_array([pa.array(escaped, pa.string())])


def _is_zero_or_one(column: pa.ChunkedArray) -> bool:
    limits = pc.min_max(column).as_py()
    return limits["min"] is None or (limits["min"] >= 0 and limits["max"] <= 1)


def joined(parts: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return parts of one result, of which there is at least one, as a table; decimals with the most places of any."""
    columns = [_joined([part.column(at) for part in parts]) for at in range(parts[0].num_columns)]
    return pa.Table.from_arrays(columns, names=parts[0].schema.names)


def _joined(arrays: Sequence[pa.Array]) -> pa.ChunkedArray:
    kinds = {array.type for array in arrays}
    if len(kinds) > 1:
        widest = pa.decimal256(76, max(kind.scale for kind in kinds))
        arrays = [array.cast(widest) for array in arrays]
    return pa.chunked_array(arrays)


def _is_bytes_on_the_wire(found: Column) -> bool:
    return found.binary and found.wire.endswith(("BLOB", "STRING", "VARCHAR"))


def _decimal_on_the_wire(found: Column) -> pa.DataType:
    """Return the widest type of the scale: Dolt 1.83 announces fewer digits than there are for ``qty * 0.5``."""
    return _widest(found.digits, found.scale)


def _widest(digits: int, scale: int) -> pa.DataType:
    return pa.decimal256(38 if digits <= 38 else 76, scale)


def from_file(rows: pa.Table, types: Sequence[pa.DataType | None]) -> pa.Table:
    """Return a table's columns that came as a file of rows as they would have come by SQL; see `wanted`."""
    return restored(rows, types_from_file(rows, types), rows.column_names)


def types_from_file(rows: pa.Table, types: Sequence[pa.DataType | None]) -> list[pa.DataType | None]:
    """Return what `restored` makes of each column of a file of rows: none is a time of day where one cannot be."""
    spans = [at for at, column in enumerate(rows.columns) if pa.types.is_duration(column.type)]
    if all(_are_times_of_day(rows.column(at)) for at in spans):
        return list(types)
    return [None if at in spans else kind for at, kind in enumerate(types)]


def from_file_of_query(rows: pa.Table) -> pa.Table:
    """Return a query's columns that came as a file of rows as they would have come by SQL."""
    kinds = [_widest(kind.precision, kind.scale) if pa.types.is_decimal(kind) else kind for kind in rows.schema.types]
    return pa.Table.from_arrays(
        [column.cast(kind) for column, kind in zip(rows.columns, kinds, strict=True)], names=rows.column_names
    )


_A_DAY = 24 * 3600 * 10**6
"""In microseconds."""


def _are_times_of_day(spans: pa.ChunkedArray) -> bool:
    limits = pc.min_max(spans.cast(pa.int64())).as_py()
    return limits["min"] is None or (limits["min"] >= 0 and limits["max"] < _A_DAY)


_TYPES = {**EXACT, "YEAR": pa.int16()}


def from_text(fields: Sequence[Column], arrived: Sequence[pa.Array], *, first_row: int = 0) -> pa.RecordBatch:
    """Return columns that the server printed, as arrays of bytes, in the types of ``fields``.

    TIME is a duration here: SQL's TIME goes from -838 to 838 hours. ``first_row`` is the number of the first row in the
    whole result.

    Raises:
        QueryFailed: a value has no such type, with its column and row.
    """
    arrays = [_from_text(found, raw, first_row) for found, raw in zip(fields, arrived, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[found.name for found in fields])


def _from_text(found: Column, raw: pa.Array, first_row: int) -> pa.Array:
    if found.wire == "BIT":
        return read_bits(raw)
    if _is_bytes_on_the_wire(found):
        return raw.cast(pa.binary())
    kind = _printed_type(found)
    try:
        return _parsed(raw.cast(pa.string()), kind)
    except pa.ArrowInvalid as error:
        raise _no_value(found, raw, kind, first_row) from error


def _printed_type(found: Column) -> pa.DataType:
    if found.wire == "NEWDECIMAL":
        return _decimal_on_the_wire(found)
    if found.wire in INTEGERS:
        return INTEGERS[found.wire][found.unsigned]
    return _TYPES.get(found.wire, pa.string())


def _parsed(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return printed values in their type; decimals with more places than announced get a type with all of these."""
    if pa.types.is_duration(kind):
        return read_times(text)
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        if not pa.types.is_decimal(kind):
            raise
        places = pc.max(pc.utf8_length(pc.replace_substring_regex(text, r"^[^.]*\.?", ""))).as_py() or 0
        return text.cast(pa.decimal256(76, max(places, kind.scale)))


def _no_value(found: Column, raw: pa.Array, kind: pa.DataType, first_row: int) -> QueryFailed:
    """Return the error for a column with a value that has none in a frame; it says which one."""
    row = next((row for row in range(len(raw)) if not _is_a(raw[row : row + 1], kind)), 0)
    value = raw[row].as_py()
    shown = repr(value[:60])[2:-1] if isinstance(value, bytes) else repr(value)
    what = "no valid text" if pa.types.is_string(kind) else f"no {kind} that a frame can hold"
    said = f"column {found.name!r} has '{shown}' in row {first_row + row}, which is {what}"
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
