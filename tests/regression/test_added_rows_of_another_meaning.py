"""Rows were added to columns whose stored numbers and texts mean something else, and came back as other values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, errors, read, write

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

SECOND = pd.Series([pd.Timedelta(1, "s")])
NOON = pd.Series(pd.to_datetime(["2020-06-01 12:00"]))
LISTS = pd.Series([[1, 2]])


def levels(*names: str) -> pd.Series[Any]:
    """Return one row with the last of some ordered levels."""
    return pd.Series(pd.Categorical([names[-1]], categories=names, ordered=True))


def lists(kind: str, value: object) -> pd.Series[Any]:
    """Return one row with a list of Arrow's."""
    dtype = pa.list_(pa.type_for_alias(kind))
    return pd.Series(pd.array(pa.array([[value]], dtype), dtype=pd.ArrowDtype(dtype)))


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("arrow", [False, True], ids=["numpy", "arrow"])
def test_durations_are_given_the_tables_unit(config: Config, mode: str, unit: str, arrow: bool) -> None:
    """A second is a second, in whatever unit the table and the frame count."""
    dtype: Any = pd.ArrowDtype(pa.duration(unit)) if arrow else f"timedelta64[{unit}]"
    write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1], "v": SECOND.astype("timedelta64[us]")}))
    write(config("t", mode=mode), pd.DataFrame({"id": [2], "v": SECOND.astype(dtype)}))
    assert read(config("t")).v.tolist() == [pd.Timedelta(1, "s")] * 2
    assert str(read(config("t")).v.dtype) == "timedelta64[us]"


@pytest.mark.parametrize(
    ("there", "added", "words"),
    [
        (
            SECOND.astype("timedelta64[s]"),
            pd.Series([pd.Timedelta(1, "ms")]),
            r"durations \(.*\).*durations \(s\)",
        ),
        (SECOND, pd.Series([5]), "plain values.*durations"),
        (pd.Series([5]), SECOND, r"durations \(.*\).*plain values"),
        (NOON.dt.tz_localize("Europe/Berlin"), NOON, "plain values.*times with a time zone"),
        (NOON, NOON.dt.tz_localize("Europe/Berlin"), "times with a time zone.*plain values"),
        (LISTS, pd.Series(["1"]), "plain values.*lists or dictionaries"),
        (pd.Series(["1"]), LISTS, "lists or dictionaries.*plain values"),
        (lists("int64", 1), lists("string", "x"), r"string>\).*int64>"),
        (lists("int64", 1), pd.Series([["x"]]), "lists or dictionaries.*int64>"),
        (levels("low", "mid"), levels("high", "mid", "low"), r"levels.*\['high'.*'mid'.*'low'"),
    ],
    ids=["finer", "number", "to numbers", "no zone", "zone", "text", "to text", "lists", "objects", "levels"],
)
def test_another_meaning_is_refused(config: Config, there: Any, added: Any, words: str) -> None:
    """What would come back as something else is not added, and the table is as it was."""
    commit = write(config("t"), pd.DataFrame({"v": there})).commit
    with pytest.raises(errors.SchemaMismatch, match=words):
        write(config("t", mode="append"), pd.DataFrame({"v": added}))
    assert write(config("t"), pd.DataFrame({"v": there})).commit == commit


@pytest.mark.parametrize("added", [LISTS, lists("int32", 1)], ids=["objects", "narrower"])
def test_lists_that_fit(config: Config, added: Any) -> None:
    """Lists whose values are of the table's type are added to it."""
    write(config("t"), pd.DataFrame({"v": lists("int64", 7)}))
    write(config("t", mode="append"), pd.DataFrame({"v": added}))
    assert sorted(map(list, read(config("t")).v)) == sorted([list(added[0]), [7]])


def test_zones_may_differ(config: Config) -> None:
    """A moment is the same in every zone, and comes back in the table's."""
    berlin, tokyo = NOON.dt.tz_localize("Europe/Berlin"), NOON.dt.tz_localize("Asia/Tokyo")
    write(config("t"), pd.DataFrame({"v": berlin}))
    write(config("t", mode="append"), pd.DataFrame({"v": tokyo}))
    assert sorted(read(config("t")).v) == sorted([berlin[0], tokyo[0]])


def test_missing_values_mean_nothing(config: Config) -> None:
    """A column without any value goes with everything."""
    write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1], "v": SECOND}))
    write(config("t", mode="append"), pd.DataFrame({"id": [2], "v": [None]}))
    assert read(config("t")).v.isna().tolist() == [False, True]


@pytest.mark.parametrize("added", [LISTS, levels("a", "b"), pd.Series(["x"], dtype="string")], ids=str)
def test_first_rows_say_what_they_mean(config: Config, added: Any) -> None:
    """A table without rows takes on what the first ones mean."""
    frame = pd.DataFrame({"v": added})
    write(config("t"), pd.DataFrame({"v": pd.Series([], dtype=object)}))
    write(config("t", mode="append"), frame)
    pd.testing.assert_frame_equal(read(config("t")), frame)


def test_ordered_levels_grow(config: Config) -> None:
    """Levels that go on where the table's end are no contradiction."""
    write(config("t"), pd.DataFrame({"v": levels("low", "mid")}))
    write(config("t", mode="append"), pd.DataFrame({"v": levels("low", "mid", "high")}))
    assert read(config("t")).v.cat.categories.tolist() == ["low", "mid", "high"]
