"""Which rows of a keyed table differ from a frame: the rows to put, and the keys to delete. Pure.

The table's rows arrive in key order, batch by batch, and are never held as a whole. Where a stretch of the table has
the same keys as the frame, the columns are compared as Arrow arrays; only where keys differ is that stretch joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_MAX_CHANGED = 0.4
"""Share of changed rows from which writing all rows is cheaper (putting a row costs more than loading it)."""


@dataclass(frozen=True)
class RowDelta:
    """What makes the table equal to the frame."""

    put: pa.Table
    """Whole rows that are new or different."""
    delete: pa.Table
    """Keys of rows that the frame does not have."""

    @property
    def count(self) -> int:
        """How many rows are touched."""
        return int(self.put.num_rows + self.delete.num_rows)


class DeltaUnavailable(Exception):  # never leaves this package
    """The table's rows did not come in the order in which Arrow sorts their keys, or too many of them differ."""


def find(old: Iterable[pa.RecordBatch], new: pa.Table, key: Sequence[str]) -> RowDelta:
    """Return what has to change in the table whose rows are ``old`` for it to hold exactly the rows of ``new``.

    Args:
        old: the table's rows in the order of ``key``, in the columns and types of ``new``.
        new: the frame's rows, in any order; keys are unique.
        key: the key's columns in the order of the key.

    Raises:
        DeltaUnavailable: that cannot be said, or is not worth it; write the whole table.
    """
    new = _sorted(new, key)
    put: list[pa.Table] = []
    delete: list[pa.Table] = []
    at = touched = 0
    last: tuple[object, ...] | None = None
    for batch in old:
        table = pa.Table.from_batches([batch])
        if not table.num_rows:
            continue
        if not _ascends(table, key) or (last is not None and last >= _key_at(table, key, 0)):
            raise DeltaUnavailable
        last = _key_at(table, key, table.num_rows - 1)
        until = _after(new, key, last, at, at + table.num_rows)
        changes = _stretch(table, new.slice(at, until - at), key)
        at = until
        touched += changes.count
        if touched > _MAX_CHANGED * max(new.num_rows, 1000):
            raise DeltaUnavailable
        put.append(changes.put)
        delete.append(changes.delete)
    put.append(new.slice(at))
    rows = pa.concat_tables(put)
    return RowDelta(rows, pa.concat_tables(delete) if delete else rows.select(list(key)).slice(0, 0))


def _sorted(table: pa.Table, key: Sequence[str]) -> pa.Table:
    if _ascends(table, key):
        return table
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in key]))


def _ascends(table: pa.Table, key: Sequence[str]) -> bool:
    """Whether the keys rise from row to row; for a key of several columns an honest "not known" is no."""
    if table.num_rows < 2:
        return True
    earlier, later = table.slice(0, table.num_rows - 1), table.slice(1)
    undecided = None
    for name in key:
        left, right = earlier.column(name), later.column(name)
        falls = pc.greater(left, right) if undecided is None else pc.and_(undecided, pc.greater(left, right))
        if pc.any(falls).as_py():
            return False
        equal = pc.equal(left, right)
        undecided = equal if undecided is None else pc.and_(undecided, equal)
    return not pc.any(undecided).as_py()


def _key_at(table: pa.Table, key: Sequence[str], row: int) -> tuple[object, ...]:
    return tuple(table.column(name)[row].as_py() for name in key)


def _after(table: pa.Table, key: Sequence[str], last: tuple[object, ...], start: int, guess: int) -> int:
    """Return the first row of ``table`` behind the key ``last``; ``guess`` is where it is when nothing has changed."""
    low, high = start, table.num_rows
    if start < guess <= high and _key_at(table, key, guess - 1) == last:
        return guess
    while low < high:
        middle = (low + high) // 2
        if _key_at(table, key, middle) <= last:
            low = middle + 1
        else:
            high = middle
    return low


def _stretch(old: pa.Table, new: pa.Table, key: Sequence[str]) -> RowDelta:
    """Compare the rows of one stretch of keys."""
    keys = list(key)
    if old.num_rows == new.num_rows and all(_same(old.column(name), new.column(name)) for name in keys):
        return RowDelta(new.filter(differing(old, new)), old.select(keys).slice(0, 0))
    matched = pairs(old.select(keys), new.select(keys))
    gone, fresh = pc.is_null(matched["new"]), pc.is_null(matched["old"])
    both = matched.filter(pc.invert(pc.or_(gone, fresh)))
    kept = new.take(both["new"])
    changed = kept.filter(differing(old.take(both["old"]), kept))
    return RowDelta(
        pa.concat_tables([changed, new.take(matched.filter(fresh)["new"])]),
        old.take(matched.filter(gone)["old"]).select(keys),
    )


def pairs(old: pa.Table, new: pa.Table) -> pa.Table:
    """Return row numbers ``old`` and ``new`` of equal keys, null where there is no partner."""
    names = [f"k{i}" for i in range(old.num_columns)]
    sides = []
    for side, table in (("old", old), ("new", new)):
        columns = [_joinable(column) for column in table.columns]
        columns.append(pa.chunked_array([pa.array(range(table.num_rows), pa.int64())]))
        sides.append(pa.Table.from_arrays(columns, names=[*names, side]))
    return sides[0].join(sides[1], keys=names, join_type="full outer")


def _joinable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_decimal(column.type) else column


def differing(old: pa.Table, new: pa.Table) -> pa.ChunkedArray:
    """Return for each row whether any column differs."""
    masks = [mask for mask in _column_masks(old, new) if mask is not None]
    if not masks:
        return pa.chunked_array([pa.array([False] * new.num_rows, pa.bool_())])
    result = masks[0]
    for mask in masks[1:]:
        result = pc.or_(result, mask)
    return result


def _column_masks(old: pa.Table, new: pa.Table) -> Iterator[pa.ChunkedArray | None]:
    for name in new.column_names:
        left, right = comparable(old.column(name)), comparable(new.column(name))
        if left.equals(right):
            yield None
            continue
        equal = pc.fill_null(pc.equal(left, right), False)
        yield pc.invert(pc.or_(equal, pc.and_(pc.is_null(left), pc.is_null(right))))


def _same(old: pa.ChunkedArray, new: pa.ChunkedArray) -> bool:
    return bool(comparable(old).equals(comparable(new)))


def comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floats by their bits: 0.0 and -0.0 are equal numbers, and different contents."""
    if not pa.types.is_floating(column.type):
        return column
    bits = pa.int64() if column.type == pa.float64() else pa.int32()
    return pa.chunked_array([chunk.view(bits) for chunk in column.chunks], bits)
