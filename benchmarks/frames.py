"""The frames that are measured: the same for the same seed, with values that neither compress nor repeat.

Every column but the key is drawn anew for another seed, so a write of the next frame changes all rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

KEY = "id"
CHANGED_SHARE = 0.01

_START = np.datetime64("2001-01-01", "us")
_SPAN_US = 20 * 365 * 86_400 * 1_000_000


def frame(rows: int, columns: int, *, seed: int) -> pd.DataFrame:
    """Return a frame with an int64 key, then in turn float64, text of 12 characters, datetime64[us] and bool."""
    random = np.random.default_rng(seed)
    makers: tuple[Callable[[], object], ...] = (
        lambda: random.random(rows),
        lambda: pd.array(_texts(random, rows), dtype="str"),
        lambda: _START + random.integers(0, _SPAN_US, rows).astype("timedelta64[us]"),
        lambda: random.random(rows) < 0.5,
    )
    names = ["x", "s", "t", "b", *(f"c{number}" for number in range(5, columns))]
    drawn = {name: makers[number % len(makers)]() for number, name in enumerate(names[: columns - 1])}
    drawn_frame: pd.DataFrame = pd.DataFrame({KEY: np.arange(rows, dtype="int64"), **drawn})
    return drawn_frame


def scattered(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the frame with 1 % of its rows changed, anywhere in it."""
    random = np.random.default_rng(seed)
    return _changed(frame, random.choice(len(frame), _how_many(frame), replace=False))


def together(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the frame with 1 % of its rows changed, one behind the other."""
    count = _how_many(frame)
    start = int(np.random.default_rng(seed).integers(0, len(frame) - count))
    return _changed(frame, np.arange(start, start + count))


def _changed(frame: pd.DataFrame, positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pd.DataFrame:
    values = frame["x"].to_numpy(copy=True)
    values[positions] += 1.0
    changed: pd.DataFrame = frame.assign(x=values)
    return changed


def _how_many(frame: pd.DataFrame) -> int:
    return max(1, int(len(frame) * CHANGED_SHARE))


def _texts(random: np.random.Generator, rows: int) -> list[str]:
    return [f"{number:012x}" for number in random.integers(0, 16**12, rows)]
