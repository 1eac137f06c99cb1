"""Frames of the kinds of columns that there are, each with a key ``k``."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd

FRAMES: dict[str, pd.DataFrame] = {
    "plain": pd.DataFrame({"k": [3, 1, 2], "v": [0.5, None, -1e300], "t": ["b", None, ""], "b": [True, False, True]}),
    "nullable": pd.DataFrame({"k": [1, 2], "i": pd.array([1, None], "Int8"), "b": pd.array([None, True], "boolean")}),
    "times": pd.DataFrame(
        {
            "k": [1, 2],
            "zone": pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Zurich"),
            "ns": pd.to_datetime(["2024-01-01 00:00:00.123456", None]),
            "span": pd.to_timedelta(["900h", None]),
            "day": [date(2024, 2, 29), None],
        }
    ),
    "categories": pd.DataFrame({"k": [1, 2, 3], "c": pd.Categorical(["b", None, "a"], ["b", "c", "a"], ordered=True)}),
    "nested": pd.DataFrame({"k": [1, 2], "l": [[1, 2], None], "d": [{"a": 1}, {"a": None}], "x": [b"\x00", b""]}),
    "decimals": pd.DataFrame({"k": [1, 2], "d": [Decimal("1.50"), Decimal("-99.25")]}),
    "unsigned": pd.DataFrame({"k": np.array([2**64 - 1, 0], np.uint64), "f": np.array([0.1, -0.0], np.float32)}),
    "empty": pd.DataFrame({"k": pd.Series([], dtype="int64"), "t": pd.Series([], dtype="object")}),
}
