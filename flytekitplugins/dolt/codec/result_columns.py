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
from ..model.sql_text import quote
from .pandas_frames import SqlType


@dataclass(frozen=True)
class ColumnRequest:
    """How one column is asked for, and what it is when it has arrived."""

    select: str
    """The expression in the select list."""
    arrow: pa.DataType | None
    """The Arrow type to give it afterwards; None leaves it as it arrives."""


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
        return ColumnRequest(f"CAST({quote(name)} AS CHAR)", None)
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
    return pa.decimal256(found.digits, found.scale)


def _kind_in_the_table(name: str, sql_type: str) -> tuple[str, str, pa.DataType | None]:
    parsed = SqlType.parse(sql_type)
    if parsed == SqlType("tinyint", 1):
        return name, "boolean", None
    if parsed.base == "decimal":
        return name, "decimal", pa.decimal256(parsed.size or 10, parsed.scale or 0)
    if parsed.base == "bit":
        return name, "bits", None
    if parsed.base in ("json", "geometry", "point", "linestring", "polygon") or "geom" in parsed.base:
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
            columns.append(column.cast(want.arrow))
    return pa.Table.from_arrays(columns, names=list(names))


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
    text = raw.cast(pa.string())
    if found.wire == "TIME":
        return read_times(text)
    if found.wire == "NEWDECIMAL":
        return text.cast(_decimal_on_the_wire(found))
    if found.wire in INTEGERS:
        return text.cast(INTEGERS[found.wire][found.unsigned])
    return text.cast(_TYPES[found.wire]) if found.wire in _TYPES else text
