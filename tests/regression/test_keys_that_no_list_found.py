"""Rows are removed and completed by keys of the types FLOAT and TIME, alone and with others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, merge, read, write
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

KEYS: dict[str, tuple[str, list[str], pd.Series[Any]]] = {
    "float": ("k float PRIMARY KEY", ["k"], pd.Series([0.1, 0.2], dtype="float32")),
    "time": ("k time(6) PRIMARY KEY", ["k"], pd.Series([dt.time(1, 2, 3), dt.time(2)])),
    "time and text": ("k time(6), c varchar(9), PRIMARY KEY (k, c)", ["k", "c"], pd.Series([dt.time(1), dt.time(2)])),
    "float and text": ("k float, c varchar(9), PRIMARY KEY (k, c)", ["k", "c"], pd.Series([0.1, 0.2], dtype="float32")),
}


@pytest.mark.parametrize(("columns", "key", "values"), KEYS.values(), ids=KEYS)
def test_they_are_found(
    repo: Path, config: Callable[..., DoltConfig], columns: str, key: list[str], values: pd.Series[Any]
) -> None:
    """A conflicting row that is said to be removed goes, and an upsert that lacks a column keeps what is there."""
    with connect(repo) as connection:
        connection.execute(f"CREATE TABLE t (v int, {columns})")
        connection.execute("CALL DOLT_COMMIT('-Am', 'made')")
    keys = pd.DataFrame({"k": values, "c": ["a", "b"]})[key]

    def put(numbers: list[int], **options: Any) -> None:
        write(config("t", mode="upsert", **options), keys.assign(v=pd.Series(numbers, dtype="int32")))

    put([1, 2])
    put([4, 2], branch_conf=NewBranch("side"))
    put([3, 2])
    write(config("t", mode="upsert"), keys)
    assert sorted(read(config("t"))["v"]) == [2, 3]
    merge("side", into="main", db_path=repo, resolve=keys.iloc[:1].assign(diff_type="removed"))
    assert read(config("t"))["v"].tolist() == [2]
