"""A key that is there twice is found whatever the order of the rows, and one that is not never is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flytekitplugins.dolt.tables import fitting

NUMBERS = st.integers(0, 5)


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6), st.booleans())
def test_two_columns(rows: list[tuple[int, int]], is_sorted: bool) -> None:
    rows = sorted(rows) if is_sorted else rows
    keys = pa.table({"a": pa.array([a for a, _ in rows], pa.int64()), "b": [str(b) for _, b in rows]})
    is_double = any(count > 1 for count in Counter(rows).values())
    assert (fitting.duplicate_key(keys, ["a", "b"]) is not None) == is_double


@pytest.mark.parametrize(
    ("values", "is_double"),
    [
        ([-0.0, 0.0], True),
        ([1.0, 2.0, 1.0], True),
        ([1.0, float("nan"), float("nan")], True),
        ([float("nan"), 1.0], False),
        ([1, None, 1], True),
        ([b"a", b"b"], False),
        ([b"a", b"b", b"b"], True),
        ([False, True], False),
        ([True, True], True),
    ],
)
def test_one_column(values: list[Any], is_double: bool) -> None:
    assert (fitting.duplicate_key(pa.table({"k": values}), ["k"]) is not None) == is_double
