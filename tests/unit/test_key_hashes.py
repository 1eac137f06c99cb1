"""Rows drawn by their keys: evenly, whatever the keys look like, and the same keys of every state of a table."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from flytekitplugins.dolt.profiles.key_hashes import drawn, hashes

ROWS = 40_000
LEAST = 1e-4
"""Below this a fair draw is not believed in; seeds are given, so that the numbers are the same each time."""

_NUMBERS = np.arange(ROWS)

KEYS: dict[str, Callable[[], list[pa.Array]]] = {
    "numbers in a row": lambda: [pa.array(_NUMBERS)],
    "negative numbers": lambda: [pa.array(-_NUMBERS)],
    "multiples of a power of two": lambda: [pa.array(_NUMBERS * 2**20)],
    "unsigned, at the upper end": lambda: [pa.array(np.uint64(2**64 - 1) - _NUMBERS.astype(np.uint64))],
    "floats": lambda: [pa.array(_NUMBERS / 4)],
    "decimals": lambda: [pa.array([Decimal(number).scaleb(-2) for number in range(ROWS)], pa.decimal128(12, 2))],
    "wide decimals": lambda: [pa.array(_NUMBERS).cast(pa.decimal256(60, 0))],
    "dates": lambda: [pa.array(_NUMBERS.astype(np.int32)).view(pa.date32())],
    "moments, one each day": lambda: [pa.array(_NUMBERS * 86_400 * 10**6).view(pa.timestamp("us"))],
    "spans of time": lambda: [pa.array(_NUMBERS * 10**6).view(pa.duration("us"))],
    "texts with one prefix": lambda: [
        pa.array([f"https://example.org/customers/{number:08}" for number in range(ROWS)])
    ],
    "texts of different lengths": lambda: [pa.array([f"{number}" + "x" * (number % 23) for number in range(ROWS)])],
    "bytes": lambda: [pa.array([number.to_bytes(4, "little") for number in range(ROWS)])],
    "two columns": lambda: [pa.array(_NUMBERS // 250), pa.array(_NUMBERS % 250)],
    "a flag and a text": lambda: [pa.array(_NUMBERS % 2 == 0), pa.array([f"k{number // 2}" for number in range(ROWS)])],
}


@pytest.mark.parametrize("keys", KEYS)
def test_each_row_has_the_same_chance(keys: str) -> None:
    """Of keys that are alike all hashes differ, they are spread evenly, and so are the rows that are drawn."""
    key = KEYS[keys]()
    for seed in (0, 1, 2**40):
        found = hashes(key, seed=seed)
        assert len(np.unique(found)) == ROWS
        for bits in (0, 56):  # the lowest and the highest
            spread = np.bincount(((found >> np.uint64(bits)) & np.uint64(255)).astype(int), minlength=256)
            assert stats.chisquare(spread).pvalue > LEAST
        rows = drawn([key], rows=ROWS // 10, of=ROWS, seed=seed)
        assert stats.binomtest(len(rows), ROWS, 0.1).pvalue > LEAST
        assert stats.chisquare(np.bincount(rows * 50 // ROWS, minlength=50)).pvalue > LEAST
        assert (
            stats.chisquare(np.bincount(rows % 64, minlength=64), np.bincount(_NUMBERS % 64) * len(rows) / ROWS)[1]
            > LEAST
        )


@pytest.mark.parametrize("keys", KEYS)
def test_the_rows_of_two_seeds_have_nothing_to_do_with_each_other(keys: str) -> None:
    """A seed draws the same rows again, and of what another one draws as many as of all rows."""
    key = KEYS[keys]()
    first, again, other = (drawn([key], rows=ROWS // 4, of=ROWS, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    both = len(np.intersect1d(first, other))
    assert stats.binomtest(both, len(first), len(other) / ROWS).pvalue > LEAST


def test_a_key_is_drawn_wherever_its_row_stands_and_in_whatever_batch() -> None:
    """Neither the rows around it nor where an array begins say anything; more rows are wanted: the same, and others."""
    texts = pa.array([f"key {number}" for number in range(1_000)])
    numbers = pa.array(range(1_000))
    whole = drawn([[texts, numbers]], rows=300, of=1_000, seed=1)
    parts = [[texts.slice(at, 7), numbers.slice(at, 7)] for at in range(0, 1_000, 7)]
    assert np.array_equal(drawn(parts, rows=300, of=1_000, seed=1), whole)
    assert set(whole) < set(drawn(parts, rows=400, of=1_000, seed=1))
    backwards = [texts.take(pa.array(range(999, -1, -1))), numbers.take(pa.array(range(999, -1, -1)))]
    assert np.array_equal(np.sort(999 - drawn([backwards], rows=300, of=1_000, seed=1)), whole)
    assert len(drawn([], rows=1, of=2, seed=0)) == 0


def test_equal_keys_of_types_of_another_width_have_one_hash() -> None:
    """A column of integers that has become wider, or floats that have, draws the same rows; -0.0 is 0.0."""
    for narrow, wide in ((pa.int8(), pa.int64()), (pa.uint16(), pa.uint64()), (pa.float32(), pa.float64())):
        few = pa.array([0, 1, 100], narrow)
        assert np.array_equal(hashes([few], seed=3), hashes([few.cast(wide)], seed=3))
    minus, plus = (hashes([pa.array([zero])], seed=0) for zero in (-0.0, 0.0))
    assert minus == plus


def test_texts_are_hashed_to_their_last_byte() -> None:
    """Texts that differ in length, in their last byte, or in where one column ends and the next begins differ."""
    texts = ["", "a", "a\0", "a" * 8, "a" * 9, "a" * 16, "a" * 15 + "b", "ä", "a" * 3_000, "a" * 2_999 + "b"]
    assert len(np.unique(hashes([pa.array(texts)], seed=0))) == len(texts)
    split = [pa.array(["ab", "a", ""]), pa.array(["c", "bc", "abc"])]
    assert len(np.unique(hashes(split, seed=0))) == 3


@pytest.mark.parametrize("values", [["a", "bc"], [Decimal("1.5"), Decimal("2.5")]])
def test_what_lies_behind_the_rows_does_not_matter(values: list[object]) -> None:
    """A buffer of Arrow's may end in bytes that belong to no row."""
    column = pa.array(values)
    validity, first, *rest = column.buffers()
    longer = pa.py_buffer(first.to_pybytes() + b"xyz")
    odd = pa.Array.from_buffers(column.type, len(column), [validity, longer, *rest])
    np.testing.assert_array_equal(hashes([odd], seed=1), hashes([column], seed=1))
