"""Bounds of a merge: what moves or is missing too far is refused with its numbers, and nothing is merged."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, Repository, diff, merge, read, write
from flytekitplugins.dolt.cli import answers
from flytekitplugins.dolt.errors import ChecksFailed, InvalidConfig, SchemaMismatch, ShiftExceeded
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


@pytest.fixture
def prices(config: Config) -> DoltConfig:
    """Give a table on main, and on run/1 one in which a quarter of the prices has moved and a half is missing."""
    frame = pd.DataFrame({"id": range(8), "price": [1.0, 2, 3, 4, 5, 6, 7, 8], "city": list("aabbccdd")})
    write(config("prices", primary_key=["id"]), frame)
    moved = frame.assign(price=[1.0, 2, 3, 90, None, None, None, None], city=["a"] * 8)
    write(config("prices", primary_key=["id"], branch_conf=NewBranch("run/1")), moved)
    return config("prices")


def test_what_keeps_its_bounds_is_merged(prices: DoltConfig, repo: Path) -> None:
    """A bound that is just met holds; so do the checks beside it."""
    value = diff("main", "run/1", table="prices", db_path=repo).shift()["price"].value
    assert value == 0.375
    checks = {"some": lambda query: len(query("select * from prices")) == 8}
    merge("run/1", into="main", db_path=repo, checks=checks, max_shift={"price": value}, max_missing={"price": 0.5})
    assert read(prices)["price"].isna().sum() == 4


def test_what_moves_too_far_is_refused_with_its_numbers(prices: DoltConfig, repo: Path) -> None:
    """The error names column, measure, value and bound; both branches are as they were."""
    before = refs.branches(repo)
    with pytest.raises(ShiftExceeded, match=r"'price'.*Kolmogorov-Smirnov 0\.375.*0\.2.*'city'.*total variation"):
        merge("run/1", into="main", db_path=repo, max_shift={"price": 0.2, "prices.city": 0.7})
    with pytest.raises(ChecksFailed, match="2 of 2") as caught:
        Repository(str(repo)).merge("run/1", into="main", checks=["select * from prices"], max_missing={"price": 0.01})
    assert refs.branches(repo) == before
    error = caught.value
    assert isinstance(error, ShiftExceeded)
    (found,) = error.exceeded
    assert (found.table, found.column, found.measure) == ("prices", "price", "share of missing values")
    assert (found.value, found.bound, found.is_sampled) == (0.5, 0.01, False)
    assert sorted(error.failed) == ["max_missing price", "select * from prices"]
    assert pickle.loads(pickle.dumps(error)).exceeded == error.exceeded
    assert json.loads(answers.failure(error))["error"]["facts"]["exceeded"][0]["value"] == 0.5


def test_a_column_that_is_not_there_is_said_at_once(prices: DoltConfig, config: Config, repo: Path) -> None:
    """So is one that several changed tables have; no check runs before, and no bound is beyond a share."""
    ran: list[int] = []
    for name in ("prise", "prices.city2", "nothing.price"):
        with pytest.raises(SchemaMismatch, match=f"column '{name}'") as caught:
            merge("run/1", into="main", db_path=repo, checks=[lambda _: ran.append(1)], max_shift={name: 1})
        assert caught.value.problems == [name]
    write(config("others", branch_conf=NewBranch("run/1")), pd.DataFrame({"price": [1.0]}))
    with pytest.raises(SchemaMismatch, match=r"2 tables.*'others', 'prices'.*table\.column"):
        merge("run/1", into="main", db_path=repo, max_missing={"price": 1})
    for bound in (-0.1, 1.5, "0.1", True, float("nan")):
        with pytest.raises(InvalidConfig, match="'price'.*0 to 1"):
            merge("run/1", into="main", db_path=repo, max_shift={"price": bound})  # type: ignore[dict-item]
    for bounds in (0, 0.2, [("price", 0.2)]):
        with pytest.raises(InvalidConfig, match="by column, max_shift="):
            merge("run/1", into="main", db_path=repo, max_shift=bounds)  # type: ignore[arg-type]
        with pytest.raises(InvalidConfig, match="by column, max_missing="):
            merge("run/1", into="main", db_path=repo, max_missing=bounds)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="sample=0"):
        merge("run/1", into="main", db_path=repo, max_shift={"price": 1}, sample=0)
    assert ran == []
    assert read(prices)["price"].isna().sum() == 0


def test_what_has_nothing_to_move_from_passes(config: Config, repo: Path) -> None:
    """A new table, a new column and one without values have no shift; how much is missing is bound all the same."""
    write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1], "v": pd.array([None], "Int64")}))
    run = NewBranch("run/1")
    wider = config("t", primary_key=["id"], branch_conf=run, on_schema_change="replace")
    write(wider, pd.DataFrame({"id": [1], "v": [5], "w": [1]}))
    write(config("new", branch_conf=run), pd.DataFrame({"x": pd.array([1, None], "Int64")}))
    with pytest.raises(ShiftExceeded, match="'x' of table 'new': share of missing values 0.5"):
        merge("run/1", into="main", db_path=repo, max_missing={"x": 0.4})
    merge("run/1", into="main", db_path=repo, max_shift={"v": 0, "w": 0, "x": 0}, max_missing={"x": 0.5})


def test_a_column_that_a_merge_takes_away_has_moved_wholly(prices: DoltConfig, config: Config, repo: Path) -> None:
    """A bound for it is refused, whether the column is gone or its values are."""
    frame = read(prices).drop(columns="city")
    run = config("prices", primary_key=["id"], branch_conf=NewBranch("run/2"), on_schema_change="replace")
    write(run, frame)
    with pytest.raises(ShiftExceeded, match="'city'.*total variation 1 is over the bound 0.9"):
        merge("run/2", into="main", db_path=repo, max_shift={"city": 0.9})
    merge("run/2", into="main", db_path=repo, max_shift={"price": 0})


def test_a_bound_of_what_the_merge_does_not_change_holds(prices: DoltConfig, config: Config, repo: Path) -> None:
    """A column of another table is where it was."""
    write(config("log"), pd.DataFrame({"line": ["a"]}))
    merge("run/1", into="main", db_path=repo, max_shift={"line": 0, "id": 0}, max_missing={"line": 0})


def test_a_bound_may_be_held_against_a_sample(config: Config, repo: Path) -> None:
    """It is said then, with how far the number may be off; where that leaves it open all rows are compared."""
    frame = pd.DataFrame({"id": range(2000), "price": [float(n) for n in range(2000)]})
    write(config("t", primary_key=["id"]), frame)
    write(config("t", primary_key=["id"], branch_conf=NewBranch("run")), frame.assign(price=frame["price"] + 5000))
    found = {}
    for sample in (1, 500):
        with pytest.raises(ShiftExceeded) as caught:
            merge("run", into="main", db_path=repo, max_shift={"price": 0.2}, sample=sample)
        (found[sample],) = caught.value.exceeded
    assert [found[1].value, found[1].is_sampled, found[500].value] == [1, False, 1]
    assert "sampled" in str(found[500])
    assert 0 < found[500].error < 0.8


@pytest.mark.parametrize("sample", [1, 3, 100])
def test_what_a_sample_does_not_see_is_refused_all_the_same(config: Config, repo: Path, sample: int) -> None:
    """Of 500 rows two have a value, of which none may be drawn."""
    frame = pd.DataFrame({"id": range(500), "price": [1.0, 2.0] + [None] * 498})
    write(config("t", primary_key=["id"]), frame)
    run = config("t", primary_key=["id"], branch_conf=NewBranch("run"))
    write(run, frame.assign(price=frame["price"] + 100))
    with pytest.raises(ShiftExceeded, match="'price'.*Kolmogorov-Smirnov 1"):
        merge("run", into="main", db_path=repo, max_shift={"price": 0.9}, sample=sample)


def test_nothing_is_left_of_what_a_merge_takes_away(prices: DoltConfig, config: Config, repo: Path) -> None:
    """All values of a column that is gone are missing, and so are those of a table, beside others with that column."""
    run = config("prices", primary_key=["id"], branch_conf=NewBranch("run/2"), on_schema_change="replace")
    write(run, read(prices).drop(columns="city"))
    write(config("others"), pd.DataFrame({"price": [1.0]}))
    with connect(refs.locate(repo)) as connection:
        connection.execute("CALL DOLT_BRANCH('run/3', 'main')")
        with connection.at("run/3"):
            connection.execute("DROP TABLE prices")
            connection.execute("CALL DOLT_COMMIT('-Am', 'no prices')")
    for branch, column in (("run/2", "city"), ("run/3", "prices.city"), ("run/3", "price")):
        with pytest.raises(ShiftExceeded, match=r"of table 'prices': share of missing values 1 is over the bound 0\.9"):
            merge(branch, into="main", db_path=repo, max_missing={column: 0.9})
    with pytest.raises(ShiftExceeded, match="'price' of table 'prices': Kolmogorov-Smirnov 1 "):
        merge("run/3", into="main", db_path=repo, max_shift={"price": 0.9})
    merge("run/3", into="main", db_path=repo, max_missing={"price": 1})
