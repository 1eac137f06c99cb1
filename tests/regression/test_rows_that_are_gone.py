"""Rows that a frame had no more stayed in a large table whose key was one column of times."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, read, write
from flytekitplugins.dolt.tables import writing

MOMENT = datetime.datetime(1969, 12, 31, 23, 59, 0, 1)
KEYS: dict[str, Callable[[int], Any]] = {
    "integers": lambda n: 2**53 + n,
    "unsigned integers": lambda n: 2**64 - 1 - n,
    "floats": lambda n: n / 10,
    "decimals": lambda n: Decimal("12345678901234567890.0001") + n,
    "text": lambda n: f"É{n:05}",
    "bytes": lambda n: n.to_bytes(3, "big"),
    "dates": lambda n: MOMENT.date() + datetime.timedelta(days=n),
    "datetimes": lambda n: MOMENT + datetime.timedelta(microseconds=n),
    "times": lambda n: (MOMENT + datetime.timedelta(microseconds=n)).time(),
    "durations": lambda n: datetime.timedelta(microseconds=n - 100),
}


@pytest.mark.parametrize("key", [["k"], ["k", "n"]], ids=["one", "two"])
@pytest.mark.parametrize("kind", KEYS)
def test_they_are_deleted(config: Callable[..., DoltConfig], kind: str, key: Sequence[str]) -> None:
    """A table holds the frame and nothing else, whatever the type of its key; also where only differences are sent."""
    rows = writing._MIN_ROWS_TO_COMPARE + 10
    made = sorted(KEYS[kind](n) for n in range(rows))
    frame = pd.DataFrame({"k": pd.Series(made), "n": range(rows)})
    write(config("t", primary_key=list(key)), frame)
    rest = frame.drop(index=[1, 5, 100]).reset_index(drop=True)
    write(config("t"), rest)
    pd.testing.assert_frame_equal(read(config("t")), rest)
