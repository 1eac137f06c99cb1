"""The order of rows that have no key: by their values, column by column, the same on every machine.

Dolt keeps such rows by a hash of theirs. Numbers and times are sorted by value, text, JSON and bytes by bytes whatever
the collation, ordered categories by level; what is missing comes last. Both forms, in Arrow and for a server's ORDER
BY, give the same order. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..model.sql_text import literal, quote
from .notes import Notes

_AS_BYTES = ("char", "varchar", "text", "tinytext", "mediumtext", "longtext", "json", "enum", "set")


def sort_columns(names: Sequence[str], notes: Notes) -> list[str]:
    """Return columns in the order in which they are compared: that of the frame."""
    first = [name for name in notes.order if name in names]
    return [*first, *(name for name in names if name not in first)]


def sorted_rows(rows: pa.Table, notes: Notes) -> pa.Table:
    """Return rows as they are stored in order of their values.

    >>> sorted_rows(pa.table({"a": [2, None, 1]}), Notes())["a"].to_pylist()
    [1, 2, None]
    """
    return rows if rows.num_rows < 2 else rows.take(_order(rows, notes))


def is_sorted(rows: pa.Table, notes: Notes) -> bool:
    """Whether rows are in that order already."""
    if rows.num_rows < 2:
        return True
    return bool(np.array_equal(_order(rows, notes), np.arange(rows.num_rows)))


def _order(rows: pa.Table, notes: Notes) -> pa.Array:
    """Return where each row of the sorted ones is; equal rows stay as they are."""
    names = sort_columns(rows.column_names, notes)
    keys = pa.table(
        [_comparable(rows.column(name), _levels(notes, name)) for name in names], list(map(str, range(len(names))))
    )
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])


def _levels(notes: Notes, name: str) -> Sequence[object] | None:
    note = notes.columns.get(name)
    return note.levels if note is not None and note.ordered else None


def _comparable(column: pa.ChunkedArray, levels: Sequence[object] | None) -> pa.ChunkedArray:
    """Return what a column is compared by."""
    if levels is not None:
        try:
            return pc.index_in(column, pa.array(levels).cast(column.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            return column  # the levels are not of the stored values
    if pa.types.is_boolean(column.type):
        return column.cast(pa.uint8())
    if pa.types.is_duration(column.type):
        return column.cast(pa.int64())
    return column


def order_terms(sql_types: Mapping[str, str], names: Sequence[str], notes: Notes) -> list[str]:
    """Return the terms of an ORDER BY that gives the order of `sorted_rows`.

    >>> order_terms({"a": "int", "b": "varchar(9)"}, ["a", "b"], Notes())
    ['`a` IS NULL', '`a`', '`b` IS NULL', 'CAST(`b` AS BINARY)']
    """
    return [term for name in sort_columns(names, notes) for term in _terms(name, sql_types[name], _levels(notes, name))]


def _terms(name: str, sql_type: str, levels: Sequence[object] | None) -> Iterator[str]:
    column = quote(name)
    yield f"{column} IS NULL"
    if levels is not None and all(isinstance(level, str) for level in levels):
        yield f"FIELD({column}, {', '.join(literal(str(level)) for level in levels)})"
    elif sql_type.lower().partition("(")[0].split(" ")[0] in _AS_BYTES:
        yield f"CAST({column} AS BINARY)"
    else:
        yield column
