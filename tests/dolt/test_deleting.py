"""Rows are deleted by their keys: just these, by the rules of other writes, as one commit or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, MergeBranch, NewBranch, diff, errors, read, write
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
MAKERS = {"pandas": pd.DataFrame, "arrow": pa.table, "polars": pl.DataFrame, "lazy": pl.LazyFrame}


@pytest.fixture
def people(config: Config) -> Config:
    """Give a function that makes configs of a table with three rows."""
    frame = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"]})
    write(config("people", primary_key=["id"]), frame)
    return lambda **options: config("people", **options)


def sql(repo: Path, *statements: str) -> None:
    """Do as somebody else would, and commit it."""
    with connect(repo) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("CALL DOLT_COMMIT('-Am', 'theirs')")


def ids(config: DoltConfig) -> list[Any]:
    return read(config)["id"].tolist()


@pytest.mark.parametrize("kind", MAKERS)
def test_rows_go_by_key(repo: Path, people: Config, kind: str) -> None:
    """Rows with these keys are gone, in one commit that says so; keys that are not there are counted."""
    written = write(people(mode="delete"), MAKERS[kind]({"id": [3, 1, 9]}))
    assert read(people()).to_dict("list") == {"id": [2], "name": ["b"]}
    assert written.missing_keys == 1
    commit, before = refs.log(repo, limit=2)
    assert written.commit is not None
    assert (commit.hash, commit.parents) == (written.commit.hash, (before.hash,))
    found = diff("HEAD~1", "HEAD", table="people", db_path=repo)
    assert (found.added, found.modified, found.removed) == (0, 0, 2)


def test_other_columns_are_not_looked_at(people: Config) -> None:
    """They may hold anything, also what could not be stored, and columns that the table lacks."""
    frame = pd.DataFrame(
        {"name": [object(), {1, 2}], 7: [1, 2], "id": [1, 8], "new": [0, 0]}, index=pd.Index([5, 3], name="i")
    )
    assert write(people(mode="delete"), frame).missing_keys == 1
    assert read(people()).to_dict("list") == {"id": [2, 3], "name": ["b", "c"]}


def test_nothing_to_delete(repo: Path, people: Config) -> None:
    """No commit is made for keys that are not there, or for no keys."""
    before = refs.log(repo)
    written = write(people(mode="delete"), pd.DataFrame({"id": [7, 8]}))
    assert (written.commit.hash, written.missing_keys) == (before[0].hash, 2)
    assert write(people(mode="delete"), pd.DataFrame({"id": pd.Series([], dtype="int64")})).missing_keys == 0
    assert refs.log(repo) == before


def test_all_rows_can_go(people: Config) -> None:
    """The table stays, with its columns and dtypes."""
    frame = read(people())
    write(people(mode="delete"), frame)
    assert read(people()).dtypes.to_dict() == frame.dtypes.to_dict()
    assert len(read(people())) == 0


def test_what_is_noted_stays(config: Config) -> None:
    """Dtypes, levels and the index of the rows that stay are those of before."""
    frame = pd.DataFrame(
        {
            "k": pd.Categorical(["x", "y", "z"]),
            "small": np.array([1, 2, 3], "int8"),
            "d": pd.to_timedelta([1, 2, 3], "s"),
        }
    ).set_index("k")
    write(config("t", primary_key=["k"]), frame)
    write(config("t", mode="delete"), frame.iloc[[1]])
    pd.testing.assert_frame_equal(read(config("t")), frame.iloc[[0, 2]])


KEYS: dict[str, Any] = {
    "float": np.array([0.1, 0.25, 7.7], "float32"),
    "double": [0.1, 1e300, -2.5],
    "bool_": pd.Series([True, False]),
    "text": ["a", "A", "ä "],
    "bytes": [b"a", b"\0", b"ab"],
    "decimal": pd.Series([1, 2, 3], dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
    "time": pd.Series([0, 1_000_001, 3_600_000_000], dtype=pd.ArrowDtype(pa.time64("us"))),
    "date": pd.Series([0, 1, 20_000], dtype=pd.ArrowDtype(pa.date32())),
    "moment": pd.to_datetime(["2024-01-01 00:00:00.0", "2024-01-01 00:00:00.000001", "1999-12-31 00:00:00.0"]).as_unit(
        "us"
    ),
    "zoned": pd.to_datetime(["2024-01-01", "2024-06-01", "1999-12-31"]).as_unit("us").tz_localize("Europe/Berlin"),
    "span": pd.to_timedelta([1, 2, 3], "s"),
    "uint64": np.array([0, 1, 2**64 - 1], "uint64"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_each_type_of_key(config: Config, kind: str) -> None:
    """A key is found whatever its type: the first and last go, and what is between stays."""
    frame = pd.DataFrame({"k": KEYS[kind]})
    frame["v"] = range(len(frame))
    write(config("t", primary_key=["k"]), frame)
    assert write(config("t", mode="delete"), frame.iloc[[0, -1]]).missing_keys == 0
    assert read(config("t"))["v"].tolist() == list(range(1, len(frame) - 1))


@pytest.mark.parametrize("kind", ["enum('a','b','c')", "set('a','b','c')", "char(3)", "varbinary(3)", "bit(9)", "year"])
def test_types_of_others(repo: Path, config: Config, kind: str) -> None:
    """What was read of a table of somebody else's says which rows go."""
    values = (
        "(1), (2), (4)"
        if kind.startswith("bit")
        else "(2001), (2002), (2003)"
        if kind == "year"
        else "('a'), ('b'), ('c')"
    )
    sql(repo, f"create table t (k {kind} primary key)", f"insert into t values {values}")
    frame = read(config("t"))
    write(config("t", mode="delete"), frame.iloc[[0, 2]])
    assert read(config("t"))["k"].tolist() == [frame["k"][1]]


def test_a_key_of_several_columns(config: Config) -> None:
    """All of its columns count, in whatever order."""
    frame = pd.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "x"], "v": [1, 2, 3]})
    write(config("t", primary_key=["b", "a"]), frame)
    assert write(config("t", mode="delete", primary_key=["a", "b"]), frame.assign(v=0).iloc[:1]).missing_keys == 0
    assert write(config("t", mode="delete"), pd.DataFrame({"b": ["y"], "a": [2]})).missing_keys == 1
    assert read(config("t"))["v"].tolist() == [3, 2]


@pytest.mark.parametrize(
    ("frame", "error", "told"),
    [
        (pd.DataFrame({"name": ["a"]}), errors.SchemaMismatch, "'id'.*missing"),
        (pd.DataFrame({"ID": [1]}), errors.SchemaMismatch, "'id'.*'ID'"),
        (pd.DataFrame({"id": ["x"]}), errors.SchemaMismatch, "'id'.*text.*'x' in row 0"),
        (pd.DataFrame({"id": [1.5, 2]}), errors.SchemaMismatch, "'id'.*'1.5' in row 0"),
        (pd.DataFrame({"id": [None, 1]}), errors.SchemaMismatch, "'id'.*row 0"),
        (pd.DataFrame({"id": [1, 2, 1]}), errors.ConstraintViolated, "id=1 \\(rows 0 and 2\\)"),
        ([1, 2], errors.UnsupportedFrame, "list"),
    ],
    ids=["missing", "case", "text", "fraction", "null", "twice", "list"],
)
def test_keys_that_do_not_fit(repo: Path, people: Config, frame: Any, error: type[Exception], told: str) -> None:
    """The error names column and row, and nothing is changed."""
    before = refs.log(repo)
    with pytest.raises(error, match=f"(?s)Cannot.*{told}"):
        write(people(mode="delete"), frame)
    assert refs.log(repo) == before
    assert ids(people()) == [1, 2, 3]


def test_keys_that_the_table_holds_equal(repo: Path, config: Config) -> None:
    """A collation decides which row a key means; two that it holds equal are refused."""
    sql(
        repo,
        "create table t (id varchar(9) collate utf8mb4_0900_ai_ci primary key)",
        "insert into t values ('Ann'), ('Bob')",
    )
    with pytest.raises(errors.ConstraintViolated, match="'ann'.*'ANN'"):
        write(config("t", mode="delete"), pd.DataFrame({"id": ["ann", "ANN"]}))
    assert write(config("t", mode="delete"), pd.DataFrame({"id": ["ann"]})).missing_keys == 0
    assert ids(config("t")) == ["Bob"]


def test_tables_without_a_key(repo: Path, config: Config) -> None:
    """Their rows cannot be told apart, also where their order is kept in a column of its own."""
    write(config("t"), pd.DataFrame({"id": [1]}))
    write(config("kept", keep_order=True), pd.DataFrame({"id": [1]}))
    before = refs.log(repo)
    for name in ("t", "kept"):
        with pytest.raises(errors.SchemaMismatch, match=f"'{name}'.*no primary key"):
            write(config(name, mode="delete"), pd.DataFrame({"id": [1]}))
    with pytest.raises(errors.TableNotFound, match="'kep'.*'kept'"):
        write(config("kep", mode="delete"), pd.DataFrame({"id": [1]}))
    assert refs.log(repo) == before


@pytest.mark.parametrize("action", ["restrict", "cascade", "set null"])
def test_rows_that_others_refer_to(repo: Path, people: Config, config: Config, action: str) -> None:
    """They stay, and so do the others' rows; what nobody refers to can go."""
    sql(
        repo,
        "create table pets (id int primary key, owner bigint)",
        f"alter table pets add foreign key (owner) references people (id) on delete {action}",
        "insert into pets values (1, 2)",
    )
    before = refs.log(repo)
    with pytest.raises(errors.ConstraintViolated, match="'people'.*'pets'"):
        write(people(mode="delete"), pd.DataFrame({"id": [1, 2]}))
    assert refs.log(repo) == before
    write(people(mode="delete"), pd.DataFrame({"id": [1]}))
    assert ids(people()) == [2, 3]
    assert read(config("pets"))["owner"].tolist() == [2]


def test_rows_that_refer_to_each_other(repo: Path, config: Config) -> None:
    """They can go together, in whatever order."""
    sql(
        repo,
        "create table t (id int primary key, up int, foreign key (up) references t (id))",
        "insert into t values (1, null), (2, 1), (3, 2)",
    )
    with pytest.raises(errors.ConstraintViolated, match="'t'"):
        write(config("t", mode="delete"), pd.DataFrame({"id": [1, 2]}))
    write(config("t", mode="delete"), pd.DataFrame({"id": [2, 3]}))
    assert ids(config("t")) == [1]


def test_triggers(repo: Path, people: Config, config: Config) -> None:
    """One that would start refuses the write, or is let run."""
    sql(
        repo,
        "create table gone (id bigint primary key)",
        "create trigger tr after delete on people for each row insert into gone values (old.id)",
    )
    with pytest.raises(errors.TriggersRefused, match="'tr'"):
        write(people(mode="delete"), pd.DataFrame({"id": [1]}))
    assert ids(people()) == [1, 2, 3]
    write(people(mode="delete", triggers="run"), pd.DataFrame({"id": [1]}))
    assert (ids(people()), ids(config("gone"))) == ([2, 3], [1])


def test_branches(people: Config) -> None:
    """A new branch starts where it is told to, and a merge takes the deletion along."""
    frame = pd.DataFrame({"id": [1]})
    write(people(mode="delete", branch_conf=NewBranch("run/1")), frame)
    assert (ids(people()), ids(people(branch_conf=NewBranch("run/1")))) == ([1, 2, 3], [2, 3])
    write(people(mode="upsert"), pd.DataFrame({"id": [4], "name": ["d"]}))
    write(people(mode="delete", branch_conf=MergeBranch("run/2", into="main")), frame)
    assert ids(people()) == [2, 3, 4]


def test_what_goes_with_it(people: Config) -> None:
    """Options for rows that are put are refused; another key than the table's is, too."""
    frame = pd.DataFrame({"id": [1]})
    for options in ({"keep_order": True}, {"on_schema_change": "evolve"}, {"on_schema_change": "replace"}):
        with pytest.raises(errors.InvalidConfig, match="delete|keep_order"):
            write(people(mode="delete", **options), frame)
    with pytest.raises(errors.SchemaMismatch, match="primary key is 'id'"):
        write(people(mode="delete", primary_key=["name"]), frame)
    assert ids(people()) == [1, 2, 3]


def test_it_is_written_once(repo: Path, people: Config) -> None:
    """A write under a key that was used is not done again; a table of dolt_ignore is committed all the same."""
    write(people(mode="delete"), pd.DataFrame({"id": [1]}), key="k1")
    write(people(mode="upsert"), pd.DataFrame({"id": [1], "name": ["back"]}))
    write(people(mode="delete"), pd.DataFrame({"id": [1]}), key="k1")
    assert ids(people()) == [1, 2, 3]
    assert len(refs.log(repo)) == 4


def test_a_key_that_is_generated(repo: Path, config: Config) -> None:
    """Nobody gives its values, so a frame cannot say which rows are meant."""
    with connect(repo) as connection:
        connection.execute("CREATE TABLE g (a int, k int GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY)")
        connection.execute("INSERT INTO g (a) VALUES (1)")
        connection.execute("CALL DOLT_COMMIT('-Am', 'made')")
    with pytest.raises(errors.SchemaMismatch, match="generated"):
        write(config("g", mode="delete"), pd.DataFrame({"k": [2]}))
    assert read(config("g"))["k"].tolist() == [2]
