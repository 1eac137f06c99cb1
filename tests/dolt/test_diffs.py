"""What differs between two states: every row once, in the dtypes of the table, whatever happened to the schema."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flytekitplugins.dolt import (
    Changes,
    DoltConfig,
    DoltTable,
    NewBranch,
    TableDiff,
    create_repository,
    diff,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.errors import InvalidConfig, RevisionNotFound, TableNotFound
from flytekitplugins.dolt.history import diffs
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Rows = list[tuple[object, ...]]


def rows(found: TableDiff) -> Rows:
    """Return the rows of a diff as tuples, NULL as None."""
    assert found.rows is not None
    frame = found.rows.astype(object)
    return [tuple(frame.where(frame.notna(), None).loc[row]) for row in frame.index]


def sql(repo: Path, *statements: str) -> None:
    """Run statements on the checked-out branch, and commit all."""
    with connect(repo) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--author', 'A <a@b.c>')")


@pytest.fixture
def two(config: Config) -> tuple[DoltTable, DoltTable]:
    """Give a table at two commits: one row removed, one modified, one added, one as it was."""
    before = pd.DataFrame({"id": [1, 2, 3], "n": [10, 20, None], "s": ["a", "b", "c"]}).astype({"n": "Int64"})
    after = pd.DataFrame({"id": [2, 3, 4], "n": [20, 30, 40], "s": ["b", "c", "d"]}).astype({"n": "Int64"})
    return write(config("t", primary_key=["id"]), before), write(config("t"), after)


class TestDiff:
    def test_it_counts_and_gives_the_rows(self, two: tuple[DoltTable, DoltTable]) -> None:
        """Added, modified and removed rows are counted; a modified row has what it was beside what it is."""
        found = diff(*two)
        assert str(found) == "t: 1 added, 1 modified, 1 removed"
        assert (found.changed, found.rows_before, found.rows_after) == (3, 3, 3)
        assert (found.before, found.after) == (two[0].commit, two[1].commit)
        assert found.key_before == found.key_after == ("id",)
        assert (found.is_complete, found.is_empty) == (True, False)
        assert found.rows is not None
        assert list(found.rows.columns) == ["diff_type", "id", "n", "s", "before_n", "before_s"]
        assert rows(found) == [
            ("removed", 1, 10, "a", None, None),
            ("modified", 3, 30, "c", None, "c"),
            ("added", 4, 40, "d", None, None),
        ]

    def test_backwards_is_the_mirror(self, two: tuple[DoltTable, DoltTable]) -> None:
        """From the later to the earlier commit what was added is removed."""
        found = diff(two[1], two[0])
        assert (found.added, found.modified, found.removed) == (1, 1, 1)
        assert [(row[0], row[1]) for row in rows(found)] == [("added", 1), ("modified", 3), ("removed", 4)]

    def test_sides_can_be_named_in_many_ways(self, two: tuple[DoltTable, DoltTable], repo: Path) -> None:
        """Revisions as text, commits, configs and tables name the same states."""
        (old, new), config = (table.commit for table in two), two[1].config
        assert old is not None
        for found in (
            diff("HEAD~1", "HEAD", table="t", db_path=repo),
            diff("HEAD~1", config),
            diff(old, config),
            diff(old.hash, "main", table="t", db_path=str(repo)),
        ):
            assert (str(found.before), str(found.after), str(found)) == (str(old), str(new), str(diff(*two)))

    def test_a_limit_is_for_the_rows_alone(self, two: tuple[DoltTable, DoltTable]) -> None:
        """The counts are whole, the rows are the first ones, and it can be seen that some are left out."""
        found = diff(*two, limit=2)
        assert (found.changed, len(rows(found)), found.is_complete) == (3, 2, False)
        assert rows(diff(*two, limit=0)) == []

    def test_the_same_commit_twice_is_no_difference(self, two: tuple[DoltTable, DoltTable]) -> None:
        """Nothing differs from itself, and the frame has its columns all the same."""
        found = diff(two[1], two[1])
        assert (found.is_empty, found.is_complete, rows(found)) == (True, True, [])
        assert found.rows is not None
        assert list(found.rows.columns) == ["diff_type", "id", "n", "s", "before_n", "before_s"]

    def test_nothing_before_is_all_added(self, two: tuple[DoltTable, DoltTable], repo: Path) -> None:
        """A table that did not exist, be it at a commit or at none, has all its rows added; backwards, removed."""
        for nothing in (None, "HEAD~2"):
            found = diff(nothing, two[1], db_path=repo)
            assert (found.added, found.changed, found.rows_before, found.rows_after) == (3, 3, None, 3)
            assert str(found).endswith("the table is new")
            assert [row[0] for row in rows(found)] == ["added"] * 3
        gone = diff(two[1], "HEAD~2")
        assert (gone.removed, gone.changed, str(gone).endswith("the table is gone")) == (3, 3, True)
        assert [row[:2] for row in rows(gone)] == [("removed", 2), ("removed", 3), ("removed", 4)]

    def test_a_table_without_a_key_has_added_and_removed_rows(self, config: Config) -> None:
        """Rows are bags of values there: one more of the same is one added."""
        found = diff(
            write(config("t"), pd.DataFrame({"n": [1, 1, 2]})), write(config("t"), pd.DataFrame({"n": [1, 1, 1, 3]}))
        )
        assert (found.added, found.modified, found.removed) == (2, 0, 1)
        assert sorted(rows(found)) == [("added", 1), ("added", 3), ("removed", 2)]

    def test_branches_are_compared(self, config: Config) -> None:
        """Two runs on branches of their own differ in their rows."""
        write(config("t", primary_key=["id"]), pd.DataFrame({"id": [0]}))
        one, two = (config("t", branch_conf=NewBranch(f"run/{n}")) for n in (1, 2))
        write(one, pd.DataFrame({"id": [0, 1]}))
        write(two, pd.DataFrame({"id": [0, 2]}))
        assert rows(diff(one, two)) == [("removed", 1), ("added", 2)]

    def test_the_last_change_is_that_of_the_tables_commit(self, two: tuple[DoltTable, DoltTable]) -> None:
        """A pinned table tells what its commit did, also when newer commits are there."""
        assert diffs.last_change(two[0]).added == 3
        for last in (diffs.last_change(two[1]), diffs.last_change(two[1].config)):
            assert (str(last), str(last.before)) == (str(diff(*two)), str(two[0].commit))


class TestTypes:
    def test_rows_have_the_dtypes_of_the_table(self, config: Config) -> None:
        """What was noted about the frame holds for its changed rows as well: zones, categories, decimals, times."""
        frame = pd.DataFrame(
            {
                "id": [1, 2],
                "zoned": pd.to_datetime(["2024-01-01", "2024-06-01"]).tz_localize("Europe/Berlin"),
                "level": pd.Categorical(["low", "high"], categories=["low", "high"], ordered=True),
                "price": [Decimal("1.50"), Decimal("2.25")],
                "at": [datetime.time(1, 2, 3), datetime.time(23, 59, 59)],
                "flag": [True, False],
                "raw": [b"\x00\xff", b""],
                "tags": [["a"], ["b", "c"]],
                "text": ["tab\tquote'\\", "NULL"],
            }
        )
        table = write(config("t", primary_key=["id"]), frame)
        found = diffs.last_change(table)
        assert found.rows is not None
        pd.testing.assert_frame_equal(found.rows[list(frame.columns)], table.at(table.commit).data)  # type: ignore[arg-type]
        changed = write(config("t"), frame.assign(flag=[True, True]))
        (row,) = diffs.last_change(changed).rows.to_dict("records")  # type: ignore[union-attr]
        assert (row["diff_type"], row["id"], row["flag"], row["before_flag"]) == ("modified", 2, True, False)
        assert (row["level"], row["before_level"], row["price"]) == ("high", "high", Decimal("2.25"))
        assert row["before_zoned"] == frame.zoned[1]

    def test_spans_beyond_a_day_come_through(self, repo: Path) -> None:
        """SQL's TIME holds spans of 838 hours, which the fast way cannot carry."""
        sql(repo, "create table t (id int primary key, span time)", "insert into t values (1, '-26:00:00')")
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert rows(found) == [("added", 1, pd.Timedelta(hours=-26))]

    def test_columns_named_like_dolts_own_are_told_apart(self, repo: Path) -> None:
        """A column `commit` is not the commit, and one named `diff_type` or `before_x` keeps its name."""
        sql(
            repo,
            "create table t (id int primary key, `Commit` varchar(9), commit_date int, diff_type int, x int,"
            " before_x int)",
            "insert into t values (1, 'a', 2, 3, 4, 5)",
        )
        sql(repo, "update t set `Commit` = 'b', x = 6")
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert found.rows is not None
        (row,) = found.rows.to_dict("records")
        expected = {"_diff_type": "modified", "Commit": "b", "before_Commit": "a", "commit_date": 2, "diff_type": 3}
        assert {name: row[name] for name in expected} == expected
        assert (row["x"], row["_before_x"], row["before_x"], row["before_before_x"]) == (6, 4, 5, 5)


class TestSchema:
    def test_a_new_and_a_dropped_column(self, repo: Path) -> None:
        """Both columns are in the frame, and the change is named."""
        sql(repo, "create table t (id int primary key, old int)", "insert into t values (1, 5), (2, 6)")
        sql(
            repo,
            "alter table t add column new int",
            "update t set new = 9 where id = 1",
            "alter table t drop column old",
        )
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert [str(change) for change in found.columns] == ["new column 'new' int", "column 'old' int is gone"]
        assert "`old` int" in str(found.create_before)
        assert "`new` int" in str(found.create_after)
        assert ("modified", 1, 9, None, 5) in rows(found)

    def test_a_column_of_another_type(self, repo: Path) -> None:
        """Values take the new type where they fit it, and are text where they do not; before stays as it was."""
        sql(
            repo,
            "create table t (id int primary key, v int, w varchar(9))",
            "insert into t values (1, 5, '7'), (2, 6, 'x')",
        )
        sql(repo, "alter table t modify v varchar(9)", "delete from t where id = 2", "update t set v = 'five'")
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert found.columns == (diffs.ColumnChange("v", "int", "varchar(9)"),)
        assert rows(found) == [("modified", 1, "five", "7", 5, "7"), ("removed", 2, "6", "x", None, None)]
        sql(repo, "delete from t", "alter table t drop column v", "alter table t add column v datetime")
        gone = diff("HEAD~2", "HEAD", table="t", db_path=repo)
        assert [row[1:4] for row in rows(gone)] == [(1, "7", "5"), (2, "x", "6")]

    def test_another_key_makes_every_row_another(self, repo: Path) -> None:
        """Rows cannot be paired across keys, and Dolt, asked for the rows, would leave some out."""
        sql(repo, "create table t (id int primary key, v int)", "insert into t values (1, 1), (2, 2)")
        sql(repo, "alter table t drop primary key", "alter table t add primary key (v)", "insert into t values (3, 3)")
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert (found.added, found.modified, found.removed) == (3, 0, 2)
        assert str(found).endswith("the key is now v")
        assert rows(found) == [("removed", 1, 1), ("removed", 2, 2), ("added", 1, 1), ("added", 2, 2), ("added", 3, 3)]
        assert [row[0] for row in rows(diff("HEAD~1", "HEAD", table="t", db_path=repo, limit=3))] == [
            "removed",
            "removed",
            "added",
        ]

    @pytest.mark.parametrize(
        ("before", "after"),
        [("int", "bigint"), ("tinyint", "int"), ("varchar(9)", "longtext"), ("decimal(9,2)", "decimal(20,4)")],
    )
    def test_a_wider_key_column_is_the_same_key(self, repo: Path, before: str, after: str) -> None:
        """Dolt would read such keys with the wrong type (562954248388609 for 1); we pair the rows ourselves."""
        sql(repo, f"create table t (id {before} primary key, v int)", "insert into t values (1, 1), (2, 2), (4, 4)")
        sql(
            repo,
            f"alter table t modify id {after}",
            "alter table t add column w int",
            "insert into t values (3, 3, null)",
            "update t set v = 9 where id = 1",
            "delete from t where id = 4",
        )
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert (found.added, found.modified, found.removed) == (1, 1, 1)
        got = sorted((row[0], float(str(row[1])), *row[2:]) for row in rows(found))
        assert got == [("added", 3, 3, None, None), ("modified", 1, 9, None, 1), ("removed", 4, 4, None, None)]
        only = diff("HEAD~1", "HEAD", table="t", db_path=repo, limit=1)
        assert (only.changed, len(rows(only))) == (3, 1)

    def test_a_wider_column_without_a_key_is_another_row(self, repo: Path) -> None:
        """Without a key a row is its values, in their types."""
        sql(repo, "create table t (n int)", "insert into t values (1), (1)")
        sql(repo, "alter table t modify n bigint")
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert sorted(rows(found)) == [("added", 1), ("added", 1), ("removed", 1), ("removed", 1)]

    def test_a_renamed_table_is_one_gone_and_one_new(self, repo: Path) -> None:
        """Tables are told apart by name, whatever Dolt knows of their past."""
        sql(repo, "create table t (id int primary key)", "insert into t values (1)")
        sql(repo, "rename table t to u", "insert into u values (2)")
        assert diff("HEAD~1", "HEAD", table="t", db_path=repo).removed == 1
        assert diff("HEAD~1", "HEAD", table="u", db_path=repo).added == 2
        assert diffs.changed_tables("HEAD~1", "HEAD", db_path=repo) == ["t", "u"]


def test_changed_tables_are_all_of_them(repo: Path) -> None:
    """New, gone, changed in rows, in schema or in key; what is as it was is not there."""
    made = [
        f"create table {name} (id int primary key, v int)"
        for name in ("same", "rows_of", "schema_of", "key_of", "gone")
    ]
    sql(repo, *made)
    sql(
        repo,
        "insert into rows_of values (1, 1)",
        "alter table schema_of add column w int",
        "alter table key_of drop primary key",
        "drop table gone",
        "create table new (id int primary key)",
    )
    assert diffs.changed_tables("HEAD~1", "HEAD", db_path=repo) == ["gone", "key_of", "new", "rows_of", "schema_of"]
    assert diffs.changed_tables(None, "HEAD~1", db_path=repo) == ["gone", "key_of", "rows_of", "same", "schema_of"]
    assert diffs.changed_tables("HEAD", "HEAD", db_path=repo) == []


class TestBadInput:
    def test_an_unknown_table_is_refused(self, two: tuple[DoltTable, DoltTable], repo: Path) -> None:
        """The error offers what is there."""
        with pytest.raises(TableNotFound, match=r"'tt'.*\w{32}"):
            diff("HEAD~1", "HEAD", table="tt", db_path=repo)

    def test_an_unknown_revision_is_refused(self, two: tuple[DoltTable, DoltTable], repo: Path) -> None:
        """A branch that is not there and a hash that is not there are said."""
        for revision in ("nope", "0" * 32, "HEAD~99"):
            with pytest.raises(RevisionNotFound, match=f"'{revision}'"):
                diff(revision, "HEAD", table="t", db_path=repo)

    def test_two_repositories_are_refused(self, two: tuple[DoltTable, DoltTable], tmp_path: Path) -> None:
        """There is no diff between repositories."""
        other = create_repository(tmp_path / "bar", name="A", email="a@b.c")
        with pytest.raises(InvalidConfig, match="2 repositories"):
            diff(two[0], DoltConfig(str(other), "t"))

    def test_two_tables_and_no_table_are_refused(self, two: tuple[DoltTable, DoltTable], config: Config) -> None:
        """A diff is of one table: two names, or a query, are none."""
        with pytest.raises(InvalidConfig, match="2 tables"):
            diff(two[0], config("other"))
        with pytest.raises(InvalidConfig, match="0 tables"):
            diff(config(sql="select 1"), config(sql="select 1"))


@pytest.fixture(scope="module")
def scratchpad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one repository for many small tables."""
    path = create_repository(tmp_path_factory.mktemp("diffs") / "foo", name="A", email="a@b.c")
    yield path
    local_server.release(path)


KEYED = st.dictionaries(st.integers(0, 12), st.none() | st.integers(0, 3), max_size=12)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=KEYED, after=KEYED)
def test_a_diff_applied_to_the_old_rows_gives_the_new_ones(
    scratchpad: Path, before: dict[int, int | None], after: dict[int, int | None]
) -> None:
    """Whatever the two contents are, the changed rows are exactly what leads from one to the other."""
    config = DoltConfig(str(scratchpad), "t", primary_key=["id"])
    tables = [
        write(config, pd.DataFrame({"id": [*content], "v": [*content.values()]}).astype({"id": "int64", "v": "Int64"}))
        for content in (before, after)
    ]
    found = diff(*tables)
    state = dict(before)
    for kind, key, value, was in rows(found):
        if kind == "removed":
            assert state.pop(key) == value  # type: ignore[arg-type]
        elif kind == "added":
            assert key not in state
            state[key] = value  # type: ignore[index,assignment]
        else:
            assert state[key] == was != value  # type: ignore[index]
            state[key] = value  # type: ignore[index,assignment]
    assert state == after
    assert (len(before) + found.added - found.removed, found.rows_after) == (len(after), len(after))


def test_a_large_table_is_counted_without_its_rows(repo: Path, config: Config) -> None:
    """The counts of a small change in a large table fetch none of its rows."""
    frame = pd.DataFrame({"id": range(50_000), "v": 0})
    write(config("t", primary_key=["id"]), frame)
    write(config("t"), frame.assign(v=[1] * 3 + [0] * 49_997))
    found = diff("HEAD~1", "HEAD", table="t", db_path=repo, limit=1)
    assert (found.modified, found.changed, found.rows_after) == (3, 3, 50_000)
    assert refs.log(repo, limit=1)[0].hash == found.after.hash  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["id", "name"])
def test_texts_that_a_collation_holds_equal(config: Config, repo: Path, key: str) -> None:
    """A change of case alone is a change at every door, of the key, too; what a row was is there beside what it is."""
    sql(
        repo,
        "CREATE TABLE people (id bigint NOT NULL, name varchar(20) COLLATE utf8mb4_0900_ai_ci NOT NULL, x double,"
        f" PRIMARY KEY ({key}))",
        "INSERT INTO people VALUES (1, 'ann', 1), (2, 'bob', 1), (3, 'cem', 1)",
    )
    people = config("people")
    before = pin(people)
    after = write(people, pd.DataFrame({"id": [1, 2, 3], "name": ["Ann", "bob", "cém"], "x": [1.0, 1.0, 1.0]}))
    found = diff(before, after)
    assert (found.added - found.removed, found.is_empty) == (found.rows_after - found.rows_before, False)
    changed = read(config("people", changes=Changes(since=before.commit.hash)))
    if key == "id":
        assert (found.added, found.modified, found.removed) == (0, 2, 0)
        assert changed[["id", "name", "before_name"]].values.tolist() == [[1, "Ann", "ann"], [3, "cém", "cem"]]
    else:
        assert (found.added, found.modified, found.removed) == (2, 0, 2)
        assert sorted(changed["name"]) == ["Ann", "ann", "cem", "cém"]
    assert diff(after, after).is_empty
