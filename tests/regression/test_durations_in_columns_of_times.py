"""Durations within a day that went into a TIME column came back as times of day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, read, write
from flytekitplugins.dolt.errors import SchemaMismatch
from flytekitplugins.dolt.repository import refs

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
SECOND, LONG = pd.Timedelta("1s"), pd.Timedelta("100h")


def times(*values: dt.time) -> pa.Table:
    return pa.table({"id": pa.array(range(len(values)), pa.int64()), "c": pa.array(values, pa.time64("us"))})


def durations(*values: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": range(7, 7 + len(values)), "c": pd.Series(values, dtype="timedelta64[us]")})


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
@pytest.mark.parametrize("stored", [times(), times(dt.time(1))], ids=["no rows", "times"])
def test_they_are_refused(repo: Path, config: Config, stored: pa.Table, mode: str) -> None:
    """With the column's name; the table stays as it was, and no commit is made."""
    first = write(config("t", primary_key=["id"]), stored)
    with pytest.raises(SchemaMismatch, match="'c'.*durations.*TIME") as caught:
        write(config("t", mode=mode), durations(SECOND, None))
    assert len(caught.value.problems) == 1
    assert refs.branches(repo)["main"] == first.commit.hash
    assert read(config("t"))["c"].tolist() == stored["c"].to_pylist()


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_beside_one_beyond_a_day_they_are_durations(config: Config, mode: str) -> None:
    """Then the column is read as durations, and what was read can be written back."""
    write(config("t", primary_key=["id"]), times())
    write(config("t", mode=mode), durations(SECOND, LONG))
    assert read(config("t"))["c"].tolist() == [SECOND, LONG]
    more = durations(SECOND).assign(id=[20])
    if mode != "replace":
        write(config("t", mode=mode), more)
        assert read(config("t"))["c"].tolist() == [SECOND, LONG, SECOND]
    found = read(config("t"))
    assert write(config("t"), found).commit == write(config("t"), found).commit


def test_missing_ones_and_new_tables_are_none_of_it(config: Config) -> None:
    """A column without any value goes into any; a table that is made anew has numbers and a note."""
    write(config("t", primary_key=["id"]), times(dt.time(1)))
    write(config("t", mode="append"), durations(None))
    assert read(config("t"))["c"].tolist() == [dt.time(1), None]
    write(config("t", on_schema_change="replace"), durations(SECOND))
    assert read(config("t"))["c"].tolist() == [SECOND]


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_times_of_day_among_durations_are_refused(repo: Path, config: Config, mode: str) -> None:
    """A column whose values come as durations takes none; what is missing goes in, and the table stays as it was."""
    write(config("t", primary_key=["id"]), times())
    first = write(config("t", mode="append"), durations(SECOND, LONG))
    other = pd.DataFrame({"id": [30], "c": [dt.time(1)]})
    if mode == "replace":  # nothing of the table's stays, so they come back as what they are
        write(config("t", mode=mode), other)
        assert read(config("t"))["c"].tolist() == [dt.time(1)]
        return
    with pytest.raises(SchemaMismatch, match="'c' holds times of day.*TIME"):
        write(config("t", mode=mode), other)
    assert refs.branches(repo)["main"] == first.commit.hash
    write(config("t", mode=mode), other.assign(c=[None]))
    assert read(config("t"))["c"].tolist()[:2] == [SECOND, LONG]


def test_times_of_day_beside_a_column_of_durations_are_refused(repo: Path, config: Config, dolt: Any) -> None:
    """All TIME columns of a table come as one kind, so one that has both is refused, and durations in both are not."""
    dolt(
        "sql", "-q", "create table both_kinds (id int primary key, a time(6), b time(6)); call dolt_commit('-Am', 'x')"
    )
    mixed = pd.DataFrame({"id": [1], "a": [dt.time(1)], "b": [LONG]})
    for mode in ("replace", "append"):
        with pytest.raises(SchemaMismatch, match="'a' holds times of day"):
            write(config("both_kinds", mode=mode), mixed)
    write(config("both_kinds"), mixed.assign(a=[SECOND]))
    assert read(config("both_kinds"))[["a", "b"]].values.tolist() == [[SECOND, LONG]]
