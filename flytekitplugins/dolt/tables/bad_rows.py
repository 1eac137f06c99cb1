"""Which rows of a column are at fault, and how an error shows them: the first three, with their values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from ..codec.notes import UNFIT

MOST = 3
"""How many bad rows of a column an error names."""


def positions(mask: pa.ChunkedArray) -> list[int]:
    """Return where a column of booleans is true."""
    return pc.indices_nonzero(mask).to_pylist()  # type: ignore[no-any-return]


def first_bad(column: pa.ChunkedArray, is_good: Callable[[pa.ChunkedArray], bool]) -> list[int]:
    """Return the first rows that make ``is_good`` false, which is asked of parts of the column, by halving."""
    return list(islice(_bad(column, is_good, 0), MOST + 1))


def converts(convert: Callable[[pa.ChunkedArray], object]) -> Callable[[pa.ChunkedArray], bool]:
    """Return what says of a part of a column whether it can be converted."""

    def is_good(part: pa.ChunkedArray) -> bool:
        try:
            convert(part)
        except UNFIT:
            return False
        return True

    return is_good


def _bad(column: pa.ChunkedArray, is_good: Callable[[pa.ChunkedArray], bool], start: int) -> Iterator[int]:
    if is_good(column):
        return
    half = len(column) // 2
    if half == 0:
        yield start
        return
    yield from _bad(column.slice(0, half), is_good, start)
    yield from _bad(column.slice(half), is_good, start + half)


def shown(rows: Sequence[int], column: pa.ChunkedArray | None = None) -> str:
    """Return the first rows for people, with their values where a column is given."""
    said = [f"row {row}" if column is None else f"{_short(column[row])} in row {row}" for row in rows[:MOST]]
    return ", ".join(said) + (" and more" if len(rows) > MOST else "")


def _short(value: pa.Scalar) -> str:
    text = str(value.as_py())
    return repr(text if len(text) <= 40 else text[:37] + "...")
