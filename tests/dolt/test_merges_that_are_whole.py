"""What a merge or a restored table brings is whole before anybody sees it: keys, constraints, counters, columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, merge, read, restore, write
from flytekitplugins.dolt.errors import TRANSIENT, ConstraintViolated, MergeConflict, SchemaMismatch
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.repository.refs import branches

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def sql(repo: Path, *statements: str, on: str | None = None) -> str:
    """Run statements on a branch, commit all, and return the commit."""
    with connect(repo) as connection, connection.at(on):
        for statement in statements:
            connection.execute(statement)
        save = "CALL DOLT_COMMIT('-A', '-m', 'by hand', '--author', 'A <a@b.c>')"
        return str(connection.query(save)[0][0])


def fork(repo: Path, base: list[str], ours: list[str], theirs: list[str]) -> dict[str, str]:
    """Have main and `side` go apart after ``base``, and return all heads."""
    sql(repo, *base)
    with connect(repo) as connection:
        connection.execute("CALL DOLT_BRANCH('side')")
    sql(repo, *ours)
    sql(repo, *theirs, on="side")
    return branches(repo)


def hash_of(repo: Path, table: str, revision: str | None = None) -> str:
    with connect(repo) as connection, connection.at(revision):
        return str(connection.query("SELECT DOLT_HASHOF_TABLE(%s)", table)[0][0])


class TestRestored:
    def test_a_dropped_table_counts_on(self, repo: Path, config: Config) -> None:
        """Rows appended after a table was put back get the numbers after its own; what was put back is the same."""
        table = ["create table t (id int primary key auto_increment, v int)", "insert into t (v) values (1), (2)"]
        old = sql(repo, *table)
        before = hash_of(repo, "t")
        sql(repo, "drop table t")
        restore(config("t"), old)
        assert hash_of(repo, "t") == before
        write(config("t", mode="append"), pd.DataFrame({"v": [9]}))
        write(config("t", mode="append"), pd.DataFrame({"v": [10, 11]}))
        assert read(config("t")).to_dict("list") == {"id": [1, 2, 3, 4, 5], "v": [1, 2, 9, 10, 11]}

    def test_numbers_are_not_given_again(self, repo: Path, config: Config) -> None:
        """A table that goes back behind numbers that were given goes on after them."""
        old = sql(repo, "create table u (id int primary key auto_increment, v int)", "insert into u (v) values (1)")
        sql(repo, "insert into u (v) values (2), (3)")
        restore(config("u"), old)
        write(config("u", mode="append"), pd.DataFrame({"v": [9]}))
        assert read(config("u")).id.tolist() == [1, 4]

    def test_rows_that_others_refer_to(self, repo: Path, config: Config) -> None:
        """A table is not put back to before the rows that another one refers to now."""
        old = sql(repo, "create table p (id int primary key)", "insert into p values (1)")
        sql(repo, "insert into p values (2)", "create table c (id int primary key, p int references p (id))")
        sql(repo, "alter table c add foreign key (p) references p (id)", "insert into c values (7, 2)")
        heads = branches(repo)
        with pytest.raises(ConstraintViolated, match="'c' .*1 .*foreign key.*7") as caught:
            restore(config("p"), old)
        assert list(caught.value.tables) == ["c"]
        assert branches(repo) == heads
        assert read(config("p")).id.tolist() == [1, 2]

    def test_rows_that_refer_to_what_is_gone(self, repo: Path, config: Config) -> None:
        """A table whose rows refer to ones that are gone is not put back."""
        fk = "foreign key (p) references p (id)"
        sql(repo, "create table p (id int primary key)", "insert into p values (1), (2)")
        old = sql(repo, f"create table c (id int primary key, p int, {fk})", "insert into c values (7, 2)")
        sql(repo, "delete from c", "delete from p where id = 2")
        heads = branches(repo)
        with pytest.raises(ConstraintViolated, match="'c'"):
            restore(config("c"), old)
        assert branches(repo) == heads

    def test_a_table_that_refers_to_one_that_is_gone(self, repo: Path, config: Config) -> None:
        """Nobody could put a row into it, so it is not put back, with or without rows; after its parent it is."""
        fk = "foreign key (p) references p (id)"
        old = sql(repo, "create table p (id int primary key)", f"create table c (id int primary key, p int, {fk})")
        sql(repo, "drop table c", "drop table p")
        heads = branches(repo)
        with pytest.raises(SchemaMismatch, match="'c'.*'p'") as caught:
            restore(config("c"), old)
        assert caught.value.table == "c"
        assert branches(repo) == heads
        restore(config("p"), old)
        restore(config("c"), old)
        assert list(read(config("c")).columns) == ["id", "p"]

    def test_equal_content_makes_no_commit(self, repo: Path, config: Config) -> None:
        """Also of a table that counts and has a comment."""
        old = sql(
            repo, "create table t (id int primary key auto_increment) comment = 'mine'", "insert into t values ()"
        )
        heads = branches(repo)
        restore(config("t"), old)
        assert branches(repo) == heads


class TestMerged:
    def test_numbers_go_on_after_those_of_both_sides(self, repo: Path, config: Config) -> None:
        """A row appended after a merge gets a number that neither side has given."""
        base = ["create table w (id int primary key auto_increment, v int)", "insert into w (v) values (1)"]
        fork(repo, base, ["insert into w values (3, 3)"], ["insert into w values (9, 9)"])
        merge("side", db_path=repo)
        write(config("w", mode="append"), pd.DataFrame({"v": [10]}))
        assert read(config("w")).id.tolist() == [1, 3, 9, 10]

    def test_a_table_that_cannot_be_described(self, repo: Path, config: Config) -> None:
        """One side renames a column, the other adds one computed from it: that is a conflict of the schema."""
        heads = fork(
            repo,
            ["create table t (id int primary key, price int)", "insert into t values (1, 5)"],
            ["alter table t rename column price to cents"],
            ["alter table t add column twice int generated always as (price * 2) virtual"],
        )
        with pytest.raises(MergeConflict, match="'t'.*price") as caught:
            merge("side", db_path=repo)
        assert [(c.table, c.kind) for c in caught.value.conflicts] == [("t", "schema")]
        assert branches(repo) == heads
        assert read(config("t")).to_dict("list") == {"id": [1], "cents": [5]}

    @pytest.mark.parametrize(
        ("base", "ours", "theirs", "table"),
        [
            (
                "create table z (id int)",
                "create table n (id int primary key, a int)",
                "create table n (id int primary key, b text)",
                "n",
            ),
            (
                "create table t (id int primary key, v int)",
                "alter table t drop primary key, add primary key (id, v)",
                "insert into t values (3, 3)",
                "t",
            ),
            (
                "create table z (id int)",
                "create procedure p() select 1",
                "create procedure p() select 2",
                "dolt_procedures",
            ),
        ],
        ids=["made on both sides", "another key", "procedures"],
    )
    def test_what_dolt_refuses(self, repo: Path, base: str, ours: str, theirs: str, table: str) -> None:
        """It is a conflict of the schema in that table, whatever side is preferred."""
        heads = fork(repo, [base], [ours], [theirs])
        for strategy in (None, "ours"):
            with pytest.raises(MergeConflict, match=table) as caught:
                merge("side", db_path=repo, strategy=strategy)
            assert [(c.table, c.kind, c.count) for c in caught.value.conflicts] == [(table, "schema", 1)]
            assert caught.value.frames == {}
        assert branches(repo) == heads

    def test_a_foreign_key_that_would_be_lost(self, repo: Path) -> None:
        """One side drops a table, the other adds one that refers to it: that is a conflict of the schema."""
        heads = fork(
            repo,
            ["create table p (id int primary key)", "create table z (id int)"],
            ["drop table p"],
            ["create table c (id int primary key, p int, constraint refers foreign key (p) references p (id))"],
        )
        with pytest.raises(MergeConflict, match="'c'.*'refers'") as caught:
            merge("side", db_path=repo)
        assert [(c.table, c.kind, c.count) for c in caught.value.conflicts] == [("c", "schema", 1)]
        assert branches(repo) == heads

    def test_constraints_that_one_side_takes_away(self, repo: Path) -> None:
        """What a side drops on purpose is gone, and what a side adds is there, under a column's new name."""
        made = (
            "create table t (id int primary key, v int, w int, constraint a check (v > 0), constraint b check (w > 0))"
        )
        fork(
            repo,
            [made, "insert into t values (1, 1, 1)"],
            ["alter table t drop constraint a"],
            ["alter table t add constraint c check (id > 0)"],
        )
        merge("side", db_path=repo)
        with connect(repo) as connection:
            statement = str(connection.query("SHOW CREATE TABLE t")[0][1])
        assert [name for name in "abc" if f"CONSTRAINT `{name}`" in statement] == ["b", "c"]

    @pytest.mark.parametrize("kind", ["stored", "virtual"])
    def test_generated_columns_in_conflict(self, repo: Path, kind: str) -> None:
        """The conflict names the rows without the computed values, no run again helps, and the server lives on."""
        heads = fork(
            repo,
            [
                f"create table t (g int generated always as (v + 1) {kind}, id int primary key, v int, w int)",
                "insert into t (id, v, w) values (1, 1, 1), (2, 2, 2), (3, 3, 3)",
            ],
            ["update t set v = 5 where id = 1", "update t set w = 8 where id = 2", "delete from t where id = 3"],
            ["update t set v = 6 where id = 1", "update t set v = 9 where id = 2", "update t set v = 7 where id = 3"],
        )
        with connect(repo) as connection:
            server = connection.local_port
        with pytest.raises(MergeConflict, match="'t' .*2 ") as caught:
            merge("side", db_path=repo)
        assert not isinstance(caught.value, TRANSIENT)
        (conflict,) = caught.value.conflicts
        assert (conflict.kind, conflict.count) == ("rows", 2)
        assert conflict.rows[0] == {
            "base": {"id": 1, "v": 1, "w": 1},
            "ours": {"id": 1, "v": 5, "w": 1},
            "theirs": {"id": 1, "v": 6, "w": 1},
        }
        frame = caught.value.frames["t"]
        assert frame.id.tolist() == [1, 3]
        assert frame.their_v.tolist() == [6, 7]
        assert frame.our_diff_type.tolist() == ["modified", "removed"]
        assert "our_g" not in frame.columns
        assert branches(repo) == heads
        with connect(repo) as connection:
            assert connection.local_port == server

    @pytest.mark.parametrize("kind", ["stored", "virtual"])
    def test_a_table_with_generated_columns_that_both_sides_have_made(self, repo: Path, kind: str) -> None:
        """Its rows in conflict are shown, without a base."""
        made = f"create table n (id int primary key, v int, g int generated always as (v + 1) {kind})"
        heads = fork(
            repo,
            ["create table z (id int)"],
            [made, "insert into n (id, v) values (1, 5), (2, 2)"],
            [made, "insert into n (id, v) values (1, 6), (3, 3)"],
        )
        with pytest.raises(MergeConflict) as caught:
            merge("side", db_path=repo)
        frame = caught.value.frames["n"]
        assert (frame.id.tolist(), frame.our_v.tolist(), frame.their_v.tolist()) == ([1], [5], [6])
        assert frame.base_v.isna().all()
        assert frame.our_diff_type.tolist() == ["added"]
        assert branches(repo) == heads

    def test_a_stored_column_beside_what_dolt_refuses(self, repo: Path) -> None:
        """The refusal is what is told."""
        made = "create table g (id int primary key, v int, g int generated always as (v + 1) stored)"
        heads = fork(
            repo,
            [made, "insert into g (id, v) values (1, 1)", "create table t (id int primary key, v int)"],
            ["update g set v = 5", "alter table t drop primary key, add primary key (id, v)"],
            ["update g set v = 6", "insert into t values (3, 3)"],
        )
        with pytest.raises(MergeConflict) as caught:
            merge("side", db_path=repo)
        assert [(c.table, c.kind) for c in caught.value.conflicts] == [("t", "schema")]
        assert branches(repo) == heads

    @pytest.mark.parametrize("columns", ["v int, w int, {}", "v int, {}, w int", "{}, v int, w int"])
    @pytest.mark.parametrize("kind", ["stored", "virtual"])
    def test_generated_columns_without_a_conflict(self, repo: Path, kind: str, columns: str) -> None:
        """Other cells of one row meet, and the computed value is that of the merged row, wherever it stands."""
        columns = columns.format(f"g int generated always as (v + w) {kind}")
        made = [f"create table t (id int primary key, {columns})", "insert into t (id, v, w) values (1, 1, 1)"]
        fork(repo, made, ["update t set v = 5"], ["update t set w = 6"])
        merge("side", db_path=repo)
        with connect(repo) as connection:
            assert connection.query("SELECT v, w, g FROM t") == [(5, 6, 11)]

    def test_virtual_columns_in_a_conflict_that_is_settled(self, repo: Path, config: Config) -> None:
        """A side or rows settle it, and the value is computed of what was chosen."""
        made = "create table t (id int primary key, v int, w int, g int generated always as (v + 1) virtual)"
        start = [made, "insert into t (id, v, w) values (1, 1, 1), (2, 2, 2)"]
        fork(repo, start, ["update t set v = 5 where id = 1"], ["update t set v = 6 where id = 1"])
        merge("side", db_path=repo, strategy="theirs")
        with connect(repo) as connection:
            assert connection.query("SELECT * FROM t") == [(1, 6, 1, 7), (2, 2, 2, 3)]
        sql(repo, "update t set v = 8 where id = 1")
        sql(repo, "update t set v = 9 where id = 1", on="side")
        merge("side", db_path=repo, resolve=pd.DataFrame({"id": [1], "v": [70], "w": [71]}))
        assert read(config("t")).to_dict("list") == {"id": [1, 2], "v": [70, 2], "w": [71, 2], "g": [71, 3]}


def test_rows_that_dolt_cannot_show_are_counted(repo: Path) -> None:
    """Dolt 1.83 reads its list of rows that refer to none by the wrong columns where one before them is VIRTUAL."""
    parents = "CREATE TABLE parents (id INT PRIMARY KEY)"
    children = (
        "CREATE TABLE children (id INT PRIMARY KEY, next INT AS (id + 1) VIRTUAL, parent INT, last INT, "
        "FOREIGN KEY (parent) REFERENCES parents (id))"
    )
    heads = fork(
        repo,
        [parents, "INSERT INTO parents VALUES (1)", children],
        ["DELETE FROM parents"],
        ["INSERT INTO children (id, parent) VALUES (1, 1)"],
    )
    with pytest.raises(MergeConflict, match="'children' has 1 rows that break a constraint") as caught:
        merge("side", into="main", db_path=repo)
    assert [(found.table, found.kind, found.count) for found in caught.value.conflicts] == [
        ("children", "constraints", 1)
    ]
    assert branches(repo) == heads
