"""Read, change, write: what others have put into a table between its being read and written is never lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, DoltTable, MergeBranch, NewBranch, pin, read, write
from flytekitplugins.dolt.errors import InvalidConfig, MergeConflict, TableMoved
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.schema import Commit

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

THREE = pd.DataFrame({"id": [1, 2, 3], "v": [10, 20, 30], "w": ["a", "b", "c"]})


@pytest.fixture
def main(config: Config) -> DoltConfig:
    """A table with a key and three rows."""
    main = config("t", primary_key=["id"])
    write(main, THREE)
    return main


def rows(config: DoltConfig) -> list[tuple[Any, ...]]:
    """Return the rows of a table as its branch has them now."""
    return list(read(config).itertuples(index=False, name=None))


def upsert(main: DoltConfig, *rows: tuple[Any, ...]) -> str:
    """Let somebody else put rows into the table; return the commit."""
    frame = pd.DataFrame(rows, columns=["id", "v", "w"])
    other = DoltConfig(main.db_path, "t", primary_key=["id"], mode="upsert")
    commit = write(other, frame).commit
    assert commit is not None
    return commit.hash


def head(config: DoltConfig) -> Commit:
    return refs.log(Path(config.db_path), limit=1)[0]


def without(table: DoltTable, key: int) -> pd.DataFrame:
    return table.data[table.data["id"] != key].reset_index(drop=True)


# ---------------------------------------------------------------------------------------------------------- in scripts


def test_the_changes_of_both_are_there(main: DoltConfig) -> None:
    """A row that was removed, one that was changed and one that was added, beside those that another wrote."""
    seen = pin(main)
    frame = without(seen, 1)
    frame.loc[frame["id"] == 2, "v"] = 21
    frame.loc[len(frame)] = [4, 40, "d"]
    before = upsert(main, (3, 30, "CC"), (5, 50, "e"))
    table = write(main, frame, based_on=seen, message="mine")
    assert rows(main) == [(2, 21, "b"), (3, 30, "CC"), (4, 40, "d"), (5, 50, "e")]
    last = head(main)
    assert table.commit is not None
    assert (last.hash, last.parents, last.message) == (table.commit.hash, (before,), "mine")


def test_a_table_that_stayed_is_replaced(main: DoltConfig) -> None:
    """Commits to other tables are no change of this one, and a change that was taken back is none, either."""
    seen = pin(main)
    write(DoltConfig(main.db_path, "other"), pd.DataFrame({"a": [1]}))
    upsert(main, (3, 31, "c"))
    upsert(main, (3, 30, "c"))
    write(main, without(seen, 1), based_on=seen)
    assert rows(main) == [(2, 20, "b"), (3, 30, "c")]


@pytest.mark.parametrize(
    ("theirs", "mine", "both"),
    [
        ((2, 21, "b"), (2, 22, "b"), [{"id": 2, "v": 20, "w": "b"}, {"id": 2, "v": 21, "w": "b"}]),
        ((2, 21, "b"), (2, 20, "B"), [{"id": 2, "v": 20, "w": "b"}, {"id": 2, "v": 21, "w": "b"}]),
        ((4, 40, "d"), (4, 41, "d"), [{"id": None, "v": None, "w": None}, {"id": 4, "v": 40, "w": "d"}]),
        ((2, 21, "b"), None, [{"id": 2, "v": 20, "w": "b"}, {"id": 2, "v": 21, "w": "b"}]),
    ],
    ids=["the same cell", "different cells", "the same new key", "removed and changed"],
)
def test_a_row_that_both_changed_is_a_conflict(
    main: DoltConfig, theirs: tuple[Any, ...], mine: tuple[Any, ...] | None, both: list[dict[str, Any]]
) -> None:
    """It names the rows as they were, as they are and as they would be, and nothing is written."""
    seen = pin(main)
    frame = without(seen, theirs[0])
    if mine is not None:
        frame.loc[len(frame)] = list(mine)
    before = upsert(main, theirs)
    with pytest.raises(MergeConflict) as caught:
        write(main, frame, based_on=seen)
    (conflict,) = caught.value.conflicts
    lost = dict.fromkeys(["id", "v", "w"]) if mine is None else dict(zip(["id", "v", "w"], mine, strict=True))
    assert (conflict.table, conflict.kind, conflict.count) == ("t", "rows", 1)
    assert conflict.rows == ({"base": both[0], "ours": both[1], "theirs": lost},)
    assert head(main).hash == before
    assert refs.branches(Path(main.db_path)).keys() == {"main"}


def test_equal_changes_are_no_conflict(main: DoltConfig) -> None:
    """Both removed, changed and added the same: the second has nothing to do, and makes no commit."""
    seen = pin(main)
    frame = without(seen, 1)
    frame.loc[frame["id"] == 2, "v"] = 21
    frame.loc[len(frame)] = [4, 40, "d"]
    before = write(main, frame).commit
    assert write(main, frame, based_on=seen).commit == before
    assert len(rows(main)) == 3


@pytest.mark.parametrize("branch", [None, NewBranch("dev", base="main")], ids=["main", "new branch"])
def test_a_frame_that_changes_nothing_keeps_what_others_did(main: DoltConfig, branch: NewBranch | None) -> None:
    """The frame is what was read: what others added and removed stays so."""
    seen = pin(main)
    upsert(main, (4, 40, "d"))
    there = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=branch)
    write(there, seen.data, based_on=seen)
    assert rows(there) == [*THREE.itertuples(index=False, name=None), (4, 40, "d")]


@pytest.mark.parametrize("how", ["other columns", "other type", "no key", "dropped", "another key"])
def test_a_table_that_became_another_is_refused(main: DoltConfig, how: str) -> None:
    """Rows are told apart by key and columns: where these differ nothing is written, and it is said why."""
    seen = pin(main)
    statements = {
        "other columns": "ALTER TABLE t ADD COLUMN x int",
        "other type": "ALTER TABLE t MODIFY COLUMN v double",
        "no key": "ALTER TABLE t DROP PRIMARY KEY",
        "dropped": "DROP TABLE t",
        "another key": "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, v)",
    }
    with connect(Path(main.db_path)) as connection:
        for statement in statements[how].split(", ADD"):
            connection.execute(
                statement if statement.startswith(("ALTER", "DROP")) else f"ALTER TABLE t ADD{statement}"
            )
        connection.execute("CALL DOLT_COMMIT('-Am', 'another')")
    before = head(main).hash
    assert seen.commit is not None
    for on_moved in (None, "merge"):
        config = DoltConfig(main.db_path, "t", primary_key=["id"], on_moved=on_moved)
        with pytest.raises(TableMoved, match="'t'.*on_moved='replace'") as caught:
            write(config, without(seen, 1), based_on=seen)
        assert (caught.value.table, caught.value.read_at, caught.value.head) == ("t", [seen.commit.hash], before)
        assert head(main).hash == before


def test_a_frame_with_other_columns_is_refused_where_the_table_moved(main: DoltConfig) -> None:
    """Where it has not moved the frame's new column is added."""
    config = DoltConfig(main.db_path, "t", primary_key=["id"], on_schema_change="evolve")
    seen = pin(main)
    wider = seen.data.assign(x=1.5)
    before = upsert(main, (4, 40, "d"))
    with pytest.raises(TableMoved):
        write(config, wider, based_on=seen)
    assert head(main).hash == before
    seen = pin(main)
    write(config, seen.data.assign(x=1.5), based_on=seen)
    assert read(main)["x"].tolist() == [1.5] * 4


def test_a_table_without_a_key(config: Config) -> None:
    """It is replaced while it is as it was read; once it moved its rows cannot be told apart."""
    plain = config("k", order_by=["v"])
    write(plain, pd.DataFrame({"v": [1, 2]}))
    seen = pin(plain)
    write(plain, pd.DataFrame({"v": [2]}), based_on=seen)
    write(config("k", mode="append"), pd.DataFrame({"v": [3]}))
    with pytest.raises(TableMoved, match="key"):
        write(plain, pd.DataFrame({"v": [1]}), based_on=seen)
    assert read(plain)["v"].tolist() == [2, 3]
    write(config("k", order_by=["v"], on_moved="replace"), pd.DataFrame({"v": [1]}), based_on=seen)
    assert read(plain)["v"].tolist() == [1]


@pytest.mark.parametrize(
    "values",
    [[20, 2], pd.array([20, 2], dtype="Int64"), [20.0, 2.0], pd.Series([20, 2], dtype=object)],
    ids=["other integers", "nullable", "whole floats", "objects"],
)
def test_the_frame_is_taken_in_the_tables_types(config: Config, values: Any) -> None:
    """As rows that are upserted are: a dtype that pandas has changed by itself is no conflict."""
    main = config("s")
    with connect(Path(main.db_path)) as connection:
        connection.execute("CREATE TABLE s (id int PRIMARY KEY, n int)")
        connection.execute("INSERT INTO s VALUES (1, 1), (2, 2)")
        connection.execute("CALL DOLT_COMMIT('-Am', 'made')")
    seen = pin(main)
    write(config("s", mode="append"), pd.DataFrame({"id": [3], "n": [3]}))
    write(main, seen.data.assign(n=values), based_on=seen)
    found = read(main)
    assert found["n"].tolist() == [20, 2, 3]
    assert str(found["n"].dtype).lower() == "int32"


def test_a_kept_order_is_no_key(config: Config) -> None:
    """Numbers of rows say nothing of which row is meant."""
    kept = config("o", keep_order=True)
    write(kept, pd.DataFrame({"v": [3, 1, 2]}))
    seen = pin(kept)
    write(kept, pd.DataFrame({"v": [3, 1, 2, 9]}))
    with pytest.raises(TableMoved, match="key"):
        write(kept, pd.DataFrame({"v": [1, 2]}), based_on=seen)
    assert read(kept)["v"].tolist() == [3, 1, 2, 9]


def test_what_does_not_meet_otherwise(config: Config, main: DoltConfig) -> None:
    """Both give the same value to a unique column: the error speaks of the write, and of no branch that is none."""
    with connect(Path(main.db_path)) as connection:
        connection.execute("ALTER TABLE t ADD UNIQUE KEY u (v)")
        connection.execute("CALL DOLT_COMMIT('-Am', 'unique')")
    seen = pin(main)
    before = upsert(main, (4, 40, "d"))
    frame = pd.concat([seen.data, pd.DataFrame({"id": [5], "v": [40], "w": ["e"]})], ignore_index=True)
    with pytest.raises(MergeConflict, match="on_moved='replace'") as caught:
        write(main, frame, based_on=seen)
    assert [(conflict.table, conflict.kind) for conflict in caught.value.conflicts] == [("t", "constraints")]
    assert head(main).hash == before


def test_replacing_whatever_is_there(main: DoltConfig) -> None:
    """`on_moved` may say so, and a write that names no basis says so as well."""
    seen = pin(main)
    upsert(main, (4, 40, "d"))
    write(DoltConfig(main.db_path, "t", primary_key=["id"], on_moved="replace"), without(seen, 1), based_on=seen)
    assert [row[0] for row in rows(main)] == [2, 3]
    upsert(main, (4, 40, "d"))
    write(main, without(seen, 2))
    assert [row[0] for row in rows(main)] == [1, 3]


def test_another_history(main: DoltConfig) -> None:
    """A commit of a branch that does not lead to the one that is written is no basis."""
    dev = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=NewBranch("dev", base="main"))
    seen = write(dev, without(pin(main), 1))
    before = head(main).hash
    with pytest.raises(TableMoved) as caught:
        write(main, without(seen, 2), based_on=seen)
    assert seen.commit is not None
    assert caught.value.read_at == [seen.commit.hash]
    assert head(main).hash == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "append"},
        {"mode": "upsert"},
    ],
    ids=str,
)
def test_modes_that_keep_rows_take_no_basis(main: DoltConfig, wrong: dict[str, Any]) -> None:
    """They keep what others did by themselves."""
    config = DoltConfig(main.db_path, "t", primary_key=["id"], **wrong)
    with pytest.raises(InvalidConfig, match="based_on"):
        write(config, THREE, based_on=pin(main))
    with pytest.raises(InvalidConfig, match="on_moved"):
        write(DoltConfig(main.db_path, "t", primary_key=["id"], on_moved="merge", **wrong), THREE)


@pytest.mark.parametrize("part", [{"columns": ["id"]}, {"tablename": "other"}, {"sql": "select * from t"}], ids=str)
def test_what_is_no_basis(main: DoltConfig, part: dict[str, Any]) -> None:
    """A part of a table, another table and a query say nothing of what the frame changes."""
    write(DoltConfig(main.db_path, "other"), THREE)
    given = {"tablename": None if "sql" in part else "t", **part}
    with pytest.raises(InvalidConfig):
        write(main, THREE, based_on=pin(DoltConfig(main.db_path, **given)))
    with pytest.raises(InvalidConfig):
        write(main, THREE, based_on=DoltTable(config=main))


def test_notes_are_merged_with_the_rows(config: Config) -> None:
    """A category's levels unite, as they do where branches are merged."""
    main = config("t", primary_key=["id"])
    write(main, pd.DataFrame({"id": [1, 2], "c": pd.Categorical(["a", "b"])}))
    seen = pin(main)
    frame = pd.DataFrame({"id": [1, 2, 3], "c": pd.Categorical(["a", "b", "x"])})
    write(config("t", primary_key=["id"], mode="upsert"), pd.DataFrame({"id": [4], "c": pd.Categorical(["y"])}))
    write(main, frame, based_on=seen)
    found = read(main)
    assert found["c"].tolist() == ["a", "b", "x", "y"]
    assert set(found["c"].cat.categories) == {"a", "b", "x", "y"}


def test_keys_that_the_table_holds_equal(config: Config) -> None:
    """Both add the same key in another spelling: a conflict, not two rows."""
    main = config("t", primary_key=["k"])
    with connect(Path(main.db_path)) as connection:
        connection.execute(
            "CREATE TABLE t (k varchar(20) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, v int) COLLATE utf8mb4_0900_ai_ci"
        )
        connection.execute("CALL DOLT_COMMIT('-Am', 'made')")
    append = config("t", mode="append")
    write(append, pd.DataFrame({"k": ["a"], "v": pd.Series([1], dtype="int32")}))
    seen = pin(main)
    write(append, pd.DataFrame({"k": ["Bob"], "v": pd.Series([2], dtype="int32")}))
    before = head(main).hash
    with pytest.raises(MergeConflict):
        write(main, pd.DataFrame({"k": ["a", "bob"], "v": pd.Series([1, 3], dtype="int32")}), based_on=seen)
    assert head(main).hash == before
    assert read(main)["k"].tolist() == ["a", "Bob"]


# ------------------------------------------------------------------------------------------------- where branches start


@pytest.mark.parametrize("kind", ["hash", "table", "tag", "ancestor"])
def test_a_new_branch_starts_at_any_state(main: DoltConfig, kind: str) -> None:
    """At a commit, a tag or a table that was read, which the policy keeps as text."""
    seen = pin(main)
    assert seen.commit is not None
    with connect(Path(main.db_path)) as connection:
        connection.execute("CALL DOLT_TAG('v1', 'main')")
    upsert(main, (4, 40, "d"))
    base = {"hash": seen.commit.hash, "table": seen, "tag": "v1", "ancestor": "main~1"}[kind]
    policy = NewBranch("dev", base=base)
    assert policy == NewBranch.from_dict(policy.to_dict())
    dev = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=policy)
    write(dev, without(seen, 1))
    assert refs.log(Path(main.db_path), "dev")[0].parents == (seen.commit.hash,)
    assert [row[0] for row in rows(dev)] == [2, 3]


def test_a_merge_starts_at_what_was_read(main: DoltConfig) -> None:
    """So rows that others put there meanwhile stay, and those that the frame lacks go."""
    seen = pin(main)
    upsert(main, (4, 40, "d"))
    merged = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=MergeBranch("run/1", into="main"))
    write(merged, without(seen, 1), based_on=seen)
    assert [row[0] for row in rows(main)] == [2, 3, 4]


def test_a_merge_of_what_was_read_elsewhere_publishes_nothing_else(main: DoltConfig) -> None:
    """What was read on dev is merged into main: other commits of dev do not come along."""
    dev = DoltConfig(main.db_path, "other", branch_conf=NewBranch("dev", base="main"))
    write(dev, pd.DataFrame({"secret": [1]}))
    seen = pin(DoltConfig(main.db_path, "t", branch_conf=NewBranch("dev")))
    merged = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=MergeBranch("run/1", into="main"))
    write(merged, without(seen, 1), based_on=seen)
    assert [row[0] for row in rows(main)] == [2, 3]
    with connect(Path(main.db_path)) as connection:
        assert connection.query("SHOW TABLES") == [("t",)]


@pytest.mark.parametrize("where", ["virtual", "stored"])
def test_generated_columns_may_be_in_the_frame(config: Config, dolt: Callable[..., str], where: str) -> None:
    """A frame that was made of all columns has what the server computes, too; that is computed anew."""
    dolt("sql", "-q", f"create table t (id int primary key, v int, g int generated always as (v + 1) {where})")
    dolt("sql", "-q", "insert into t (id, v) values (1, 1), (2, 2); call dolt_commit('-Am', 'theirs')")
    seen = pin(config("t"))
    mine = seen.data.assign(v=[10, 2])
    write(config("t", mode="append"), pd.DataFrame({"id": [3], "v": [3]}))
    write(config("t"), mine, based_on=seen)
    assert read(config("t")).values.tolist() == [[1, 10, 11], [2, 2, 3], [3, 3, 4]]
