"""Rows that refer to none were published, and indexes broken, where a VIRTUAL column stands before the foreign key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, merge, read, restore, write
from flytekitplugins.dolt.errors import ConstraintViolated
from flytekitplugins.dolt.repository import refs

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]


@pytest.fixture(autouse=True)
def _tables(dolt: Dolt) -> None:
    dolt(
        "sql",
        "-q",
        "create table parent (k int primary key); insert into parent values (1), (2);"
        "create table child (id int primary key, twice int generated always as (a * 2), a int,"
        " foreign key (a) references parent (k)); insert into child (id, a) values (1, 1), (2, null);"
        "create table tree (id int primary key, twice int generated always as (a * 2), a int,"
        " foreign key (a) references tree (id)); call dolt_commit('-Am', 'theirs')",
    )


@pytest.mark.parametrize(
    ("table", "options", "rows"),
    [
        ("child", {"mode": "append"}, {"id": [3], "a": [500]}),
        ("child", {"mode": "upsert"}, {"id": [1], "a": [500]}),
        ("child", {}, {"id": [1], "a": [500]}),
        ("parent", {"mode": "delete"}, {"k": [1]}),
        ("parent", {}, {"k": [2]}),
        ("tree", {"mode": "append"}, {"id": [1, 2], "a": [2, 3]}),
    ],
)
def test_a_row_that_refers_to_none_is_refused(
    repo: Path, config: Config, table: str, options: dict[str, Any], rows: dict[str, list[int]]
) -> None:
    """Whichever of the two tables is written; nothing is published."""
    before = refs.branches(repo)
    with pytest.raises(ConstraintViolated, match=r"rows of '(child|tree)'|'child' refer"):
        write(config(table, **options), pd.DataFrame(rows))
    assert refs.branches(repo) == before


def test_rows_that_refer_to_some_are_taken(config: Config) -> None:
    """Also to each other, in one frame, and to none where they have no value."""
    write(config("child", mode="append"), pd.DataFrame({"id": [3, 4], "a": pd.array([2, None], dtype="Int64")}))
    assert read(config("child"))["id"].tolist() == [1, 2, 3, 4]
    write(config("tree", mode="append"), pd.DataFrame({"id": [1, 2], "a": [2, 1]}))
    assert read(config("tree"))["twice"].tolist() == [4, 2]
    write(config("parent"), pd.DataFrame({"k": [1, 2, 3]}))
    write(config("parent", mode="delete"), pd.DataFrame({"k": [3]}))
    assert read(config("parent"))["k"].tolist() == [1, 2]
    for key in (1, 2):  # by the index of the foreign key
        assert len(read(DoltConfig(config("t").db_path, sql=f"select * from child where a = {key}"))) == 1


def test_a_table_that_is_put_back(repo: Path, config: Config, dolt: Dolt) -> None:
    """Where its rows would refer to none it is refused."""
    dolt("sql", "-q", "delete from child; delete from parent where k = 1; call dolt_commit('-am', 'less')")
    before = refs.branches(repo)
    with pytest.raises(ConstraintViolated, match="'child'"):
        restore(config("child"), as_of="HEAD~1")
    assert refs.branches(repo) == before


@pytest.mark.parametrize("how", ["put back", "merged"])
def test_rows_that_come_from_other_commits_are_found_by_index(config: Config, dolt: Dolt, how: str) -> None:
    """A table that is put back or merged has its indexes."""
    side = config("child", mode="append", branch_conf="side")
    write(side, pd.DataFrame({"id": [3], "a": [2]}))
    write(config("other"), pd.DataFrame({"n": [1]}))
    if how == "merged":
        merge("side", into="main", db_path=side.db_path)
    else:
        restore(config("child"), as_of="side")
    found = read(DoltConfig(side.db_path, sql="select id, a from child where a in (1, 2) order by a"))
    assert found.values.tolist() == [[1, 1], [3, 2]]
