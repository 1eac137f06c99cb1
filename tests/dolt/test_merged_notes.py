"""Values keep their meaning when branches are merged: units, zones, levels and the user's own comment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, merge, read, write
from flytekitplugins.dolt.errors import MergeConflict
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.repository.refs import branches
from flytekitplugins.dolt.tables import reading, writing

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def frame(ids: list[int], values: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": ids, "v": values})


def spans(*seconds: int, unit: str) -> pd.Series:
    return pd.Series(pd.to_timedelta(list(seconds), unit="s")).dt.as_unit(unit)


def in_zone(zone: str, *days: int) -> pd.Series:
    return pd.Series(pd.to_datetime([f"2024-06-{day:02}" for day in days])).dt.as_unit("us").dt.tz_localize(zone)


def categories(*values: str) -> pd.Series:
    return pd.Series(pd.Categorical(list(values), categories=sorted(set(values))))


def comment(connection: Connection) -> str:
    found = reading.describe(connection, "t")
    assert found is not None
    return found.comment


@pytest.fixture
def table(config: Config) -> Callable[..., DoltConfig]:
    """Give a function that makes configs of one table with a key."""
    return lambda **options: config("t", primary_key=["id"], **options)


@pytest.mark.parametrize(
    ("before", "rewritten", "added"),
    [
        (spans(60, unit="us"), spans(60, unit="s"), spans(60, unit="us")),
        (in_zone("UTC", 1), in_zone("Europe/Berlin", 1), in_zone("UTC", 2)),
        (pd.Series(["a"]), categories("a"), pd.Series(["b"])),
    ],
    ids=["units", "zones", "categories"],
)
def test_rows_under_two_notes_are_a_conflict(
    repo: Path, table: Config, before: pd.Series, rewritten: pd.Series, added: pd.Series
) -> None:
    """A column rewritten in another unit or zone on one branch, and added to on the other: no value changes."""
    write(table(), frame([1], before))
    write(table(branch_conf=NewBranch("side"), on_schema_change="replace"), frame([1], rewritten))
    write(table(mode="append"), frame([2], added))
    heads = branches(repo)
    with pytest.raises(MergeConflict, match="'v'") as caught:
        merge("side", db_path=repo, into="main")
    assert [(conflict.table, conflict.kind, conflict.count) for conflict in caught.value.conflicts] == [
        ("t", "schema", 1)
    ]
    assert branches(repo) == heads


def test_levels_unite(repo: Path, table: Config) -> None:
    """Levels that each side has added are both there."""
    write(table(), frame([1], categories("a")))
    write(table(branch_conf=NewBranch("side"), mode="append"), frame([2], categories("b")))
    write(table(mode="append"), frame([3], categories("c")))
    merge("side", db_path=repo, into="main")
    found = read(table())
    assert found.v.tolist() == ["a", "b", "c"]
    assert sorted(found.v.cat.categories) == ["a", "b", "c"]


def test_a_new_column_keeps_its_zone(repo: Path, table: Config) -> None:
    """A column that one side adds has its note after the merge, whichever side it is; rows of the other have none."""
    write(table(), frame([1], [1]))
    wider = frame([2], [2]).assign(at=in_zone("Europe/Berlin", 2))
    write(table(branch_conf=NewBranch("side"), mode="append", on_schema_change="evolve"), wider)
    write(table(mode="append"), frame([3], [3]))
    merge("side", db_path=repo, into="main")
    found = read(table())
    assert str(found["at"].dtype) == "datetime64[us, Europe/Berlin]"
    assert found["at"].isna().tolist() == [True, False, True]
    assert found["at"][1] == pd.Timestamp("2024-06-02", tz="Europe/Berlin")


def test_the_users_own_comment_stays(repo: Path, table: Config) -> None:
    """What the user has written into the comment on the merged branch is there afterwards, before the notes."""
    write(table(), frame([1], categories("a")))
    write(table(branch_conf=NewBranch("side"), mode="append"), frame([2], categories("b")))
    with connect(repo) as connection, connection.at("side"):
        writing.set_comment(connection, "t", f"prices\n{comment(connection)}")
        connection.execute("CALL DOLT_COMMIT('-am', 'say what it is')")
    write(table(mode="append"), frame([3], categories("c")))
    merge("side", db_path=repo, into="main")
    with connect(repo) as connection:
        assert comment(connection).startswith("prices\n")
    assert sorted(read(table()).v.cat.categories) == ["a", "b", "c"]
