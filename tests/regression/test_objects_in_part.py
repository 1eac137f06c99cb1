"""Of dates, times and durations in object columns a part was dropped without a word, or a driver's error came out."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, errors, read, write

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

NAIVE, ZONED = pd.Timestamp("2020-06-01 12:00"), pd.Timestamp("2020-06-01 12:00", tz="Europe/Berlin")
DAY = datetime.date(2020, 6, 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([ZONED, NAIVE], "times.*zone"),
        ([NAIVE, None, ZONED], "times.*zone"),
        ([DAY, NAIVE.to_pydatetime()], "date, datetime"),
        ([NAIVE.to_pydatetime(), DAY], "date, datetime"),
        ([datetime.time(1, 2, tzinfo=datetime.timezone.utc)], "times.*zone"),
        ([pd.Timestamp("2020-06-01 12:00:00.000000001")], "nanoseconds"),
        ([pd.Timedelta(1, "ns")], "nanoseconds"),
        ([np.datetime64("2020-06-01")], "'v'"),
        ([Decimal("Infinity"), Decimal(1)], "'v'"),
        ([["\ud800"]], "JSON"),
        ([{"\ud800": 1}], "JSON"),
    ],
    ids=str,
)
def test_what_would_come_back_in_part_is_refused(config: Config, values: list[Any], words: str) -> None:
    """The whole frame is refused, with the column's name."""
    with pytest.raises(errors.UnsupportedFrame, match=words):
        write(config("t"), pd.DataFrame({"v": pd.Series(values, dtype=object)}))


@pytest.mark.parametrize(
    "values",
    [[ZONED, None], [NAIVE, NAIVE.to_pydatetime()], [DAY, None], [datetime.time(1, 2, 3, 4)], [pd.Timedelta(1, "us")]],
    ids=str,
)
def test_what_is_of_one_kind_is_kept(config: Config, values: list[Any]) -> None:
    """Missing values and pandas' own classes among the others do not matter."""
    frame = pd.DataFrame({"v": pd.Series(values, dtype=object)})
    write(config("t", keep_order=True), frame)
    assert read(config("t")).v.tolist() == frame.v.tolist()


def test_zones_of_dateutil(config: Config) -> None:
    """A zone that pandas prints as a file's path came back as no zone, in another hour."""
    column = pd.Series([NAIVE]).dt.tz_localize("dateutil/Europe/Berlin")
    write(config("t"), pd.DataFrame({"v": column}))
    back = read(config("t")).v
    assert back.tolist() == column.tolist()
    assert str(back.dtype).endswith("s, Europe/Berlin]")  # pandas 2 makes nanoseconds of them
