"""What a user of plain files does himself, as fast as Arrow can."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..frames import KEY


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    """Return the frame's columns; what is not copied is shared."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def upserted(table: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the table with rows added, or put in place of those with their keys, in the order of the keys."""
    kept = table.filter(pc.invert(pc.is_in(table[KEY], value_set=rows[KEY].combine_chunks())))
    return pa.concat_tables([kept, rows.select(table.column_names).cast(table.schema)]).sort_by(KEY)


def changed(before: pa.Table, after: pa.Table) -> pa.Table:
    """Return the rows of ``after`` that ``before`` has not, or has with other values. No value is NULL."""
    if not before[KEY].equals(after[KEY]):
        place = pc.index_in(after[KEY], value_set=before[KEY].combine_chunks())
        before = before.take(place)
    same: pa.Array | None = None
    for name in after.column_names:
        # A key that was not there is NULL by now, and so is the comparison of what stood beside it.
        equal = pc.fill_null(pc.equal(before[name], after[name]), False)
        same = equal if same is None else pc.and_(same, equal)
    return after.filter(pc.invert(same))


def holds_just(found: pa.Table, frame: pd.DataFrame) -> bool:
    """Return whether these are the frame's rows, which stand in the order of their keys."""
    given = as_arrow(frame)
    found = found.select(given.column_names)
    if not found[KEY].equals(given[KEY]):
        found = found.sort_by(KEY)
    return bool(found.cast(given.schema).equals(given))
