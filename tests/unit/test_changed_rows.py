"""Which rows differ: put and delete turn the old rows into the new ones, and touch no row that is the same."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

from flytekitplugins.dolt.tables import row_changes

KEYS = {
    "one": st.integers(-3, 30).map(lambda k: (k, 0, "")),
    "three": st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["", "a", "B", "é", "😀", "z"])),
}


VALUES = st.sampled_from([None, 0.0, -0.0, 1.5])


def rows(key: str) -> st.SearchStrategy[dict[tuple[Any, ...], Any]]:
    return st.dictionaries(KEYS[key], VALUES, max_size=25)


def table(content: dict[tuple[Any, ...], Any]) -> pa.Table:
    columns = list(zip(*content, strict=True)) or [(), (), ()]
    return pa.table(
        {
            "a": pa.array(columns[0], pa.int64()),
            "b": pa.array(columns[1], pa.int64()),
            "c": pa.array(columns[2], pa.string()),
            "v": pa.array(list(content.values()), pa.float64()),
        }
    )


def as_rows(arrow: pa.Table) -> dict[tuple[Any, ...], str]:
    return {tuple(row[:-1]): repr(row[-1]) for row in zip(*(c.to_pylist() for c in arrow.columns), strict=True)}


@pytest.mark.parametrize("key", [["a", "b", "c"], ["c", "a", "b"]], ids=",".join)
@given(old=rows("three"), new=rows("three"), size=st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_put_and_delete_turn_the_old_rows_into_the_new(key: list[str], old: Any, new: Any, size: int) -> None:
    """Applied to the old rows, the changes give the new ones, and no row is touched that is the same."""
    before, after = as_rows(table(old)), as_rows(table(new))
    ordered = table(old).sort_by([(name, "ascending") for name in key])
    try:
        found = row_changes.find(ordered.to_batches(max_chunksize=size), table(new), key)
    except row_changes.DeltaUnavailable:
        pytest.fail("so few rows are never too many")
    result = dict(before)
    gone = as_rows(found.delete.select(["a", "b", "c"]).append_column("v", pa.nulls(found.delete.num_rows)))
    for row in gone:
        del result[row]
    put = as_rows(found.put)
    assert all(before.get(row) != value for row, value in put.items())
    assert len(put) == found.put.num_rows
    result.update(put)
    assert result == after


def test_rows_in_another_order_are_noticed() -> None:
    """A table that does not come in the key's order is not compared, but written anew."""
    arrow = table({(2, 0, ""): 1.0, (1, 0, ""): 1.0})
    with pytest.raises(row_changes.DeltaUnavailable, match="^$"):
        row_changes.find(arrow.to_batches(), arrow, ["a", "b", "c"])
