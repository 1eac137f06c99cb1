"""Diffs between two schemas of a table: nothing is shown that never was, and the counts lead from one to the other."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factor import FACTOR
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from flytekitplugins.dolt import Changes, DoltConfig, DoltError, TableDiff, diff, read, write
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def sql(repo: Path, *statements: str) -> None:
    """Run statements on the checked-out branch, and commit all."""
    with connect(repo) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--allow-empty', '--author', 'A <a@b.c>')")


def last(repo: Path) -> TableDiff:
    """Return what the newest commit changed in the table `t`; the counts and the rows have to fit each other."""
    found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
    assert found.rows is not None
    assert found.added - found.removed == (found.rows_after or 0) - (found.rows_before or 0)
    kinds = found.rows[found.rows.columns[0]].tolist()
    assert [kinds.count(kind) for kind in ("added", "modified", "removed")] == [
        found.added,
        found.modified,
        found.removed,
    ]
    return found


def rows(frame: pd.DataFrame | None) -> list[tuple[object, ...]]:
    """Return rows as tuples, NULL as None."""
    assert frame is not None
    told = frame.astype(object)
    return list(told.where(told.notna(), None).itertuples(index=False, name=None))


class TestRetypedColumns:
    @pytest.mark.parametrize(
        ("was", "value", "now", "shown"),
        [
            ("int", "5", "date", "5"),
            ("date", "'2024-01-02'", "int", "2024-01-02"),
            ("int", "5", "tinyint(1)", "5"),
            ("bigint", "5", "datetime", "5"),
            ("datetime", "'2024-01-02 03:04:05'", "time", "2024-01-02 03:04:05"),
            ("datetime", "'2024-01-02 03:04:05'", "date", "2024-01-02 03:04:05"),
            ("time", "'01:02:03'", "bigint", "01:02:03"),
            ("time", "'-26:00:01'", "varchar(20)", "-26:00:01"),
            ("double", "0.1", "float", "0.1"),
            ("bigint", "9007199254740993", "double", "9007199254740993"),
            ("decimal(30,20)", "1.12345678901234567891", "double", "1.12345678901234567891"),
            ("decimal(30,20)", "0.0000000001", "int", "0.00000000010000000000"),
            ("varchar(9)", "'007'", "int", "007"),
            ("varchar(9)", "'nan'", "double", "nan"),
            ("varchar(9)", "'true'", "tinyint(1)", "true"),
            ("varbinary(9)", "x'ff00'", "varchar(9)", "ff00"),
        ],
    )
    def test_what_does_not_come_back_is_text(self, repo: Path, was: str, value: str, now: str, shown: str) -> None:
        """The old value as SQL prints it, never another one; the result names the column."""
        sql(repo, f"create table t (id int primary key, v {was})", f"insert into t values (1, {value}), (2, null)")
        sql(repo, "drop table t", f"create table t (id int primary key, v {now})")
        found = last(repo)
        assert rows(found.rows[["diff_type", "id", "v"]]) == [("removed", 1, shown), ("removed", 2, None)]  # type: ignore[index]
        assert found.as_text == ("v",)
        assert "'v' is shown as text" in str(found)
        with pytest.warns(UserWarning, match=r"'v'.*'t'"):
            changed = read(DoltConfig(str(repo), "t", changes=Changes(since="HEAD~1", kinds=("removed",))))
        assert changed["v"].tolist()[0] == shown

    @pytest.mark.parametrize(
        ("was", "value", "now", "shown"),
        [
            ("int", "5", "bigint", 5),
            ("int", "5", "double", 5.0),
            ("double", "5", "int", 5),
            ("int", "5", "decimal(9,2)", Decimal("5.00")),
            ("decimal(30,20)", "0.1", "double", 0.1),
            ("decimal(30,20)", "0.0000000001", "double", 1e-10),
            ("double", "0.1", "decimal(9,2)", Decimal("0.10")),
            ("float", "0.5", "double", 0.5),
            ("tinyint(1)", "1", "int", 1),
            ("varchar(9)", "'7'", "int", 7),
            ("int", "7", "varchar(9)", "7"),
            ("date", "'2024-01-02'", "datetime", pd.Timestamp("2024-01-02")),
            ("datetime", "'2024-01-02'", "date", datetime.date(2024, 1, 2)),
            ("datetime", "'2024-01-02 03:04:05'", "varchar(30)", "2024-01-02 03:04:05"),
            ("varchar(9)", "'a'", "varbinary(9)", b"a"),
            ("time", "'01:02:03'", "time(6)", datetime.time(1, 2, 3)),
        ],
    )
    def test_what_comes_back_is_of_the_new_type(
        self, repo: Path, was: str, value: str, now: str, shown: object
    ) -> None:
        """A value that is the same in the new type is shown in it."""
        sql(repo, f"create table t (id int primary key, v {was})", f"insert into t values (1, {value})")
        sql(repo, "drop table t", f"create table t (id int primary key, v {now})")
        found = last(repo)
        assert rows(found.rows[["diff_type", "id", "v"]]) == [("removed", 1, shown)]  # type: ignore[index]
        assert found.as_text == ()

    def test_spans_beside_times_of_day(self, repo: Path) -> None:
        """A column that held spans of time and holds times of day now has both, and so the other way."""
        sql(repo, "create table t (id int primary key, v time)", "insert into t values (1, '-01:00:00')")
        sql(repo, "delete from t", "insert into t values (2, '01:00:00')")
        hour = pd.Timedelta(hours=1)
        assert [row[:3] for row in rows(last(repo).rows)] == [("removed", 1, -hour), ("added", 2, hour)]
        back = diff("HEAD", "HEAD~1", table="t", db_path=repo)
        assert [row[:3] for row in rows(back.rows)] == [("added", 1, -hour), ("removed", 2, hour)]
        assert back.as_text == ()

    def test_only_removed_rows_decide(self, repo: Path) -> None:
        """What modified rows were stands in a column of its own, in the old type."""
        sql(repo, "create table t (id int primary key, v varchar(9))", "insert into t values (1, 'x'), (2, '7')")
        sql(
            repo,
            "drop table t",
            "create table t (id int primary key, v int)",
            "insert into t values (1, 5)",
        )
        found = last(repo)
        assert found.as_text == ()
        assert rows(found.rows) == [("modified", 1, 5, "x"), ("removed", 2, 7, None)]

    def test_what_is_noted_of_one_side_is_not_said_of_the_other(self, repo: Path, config: Config) -> None:
        """Numbers that were numbers are no durations, nor the other way; durations take the new unit."""
        spans = pd.to_timedelta([1, 2], unit="s")
        write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2], "v": [5, 6]}))
        write(config("t", on_schema_change="replace"), pd.DataFrame({"id": [2], "v": spans[:1].as_unit("s")}))
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert sorted(rows(found.rows)) == [("modified", 2, 1, 6), ("removed", 1, 5, None)]
        write(config("t", on_schema_change="replace"), pd.DataFrame({"id": [3], "v": spans[1:].as_unit("ms")}))
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert [row[:3] for row in rows(found.rows)] == [("removed", 2, spans[0]), ("added", 3, spans[1])]
        write(config("t", on_schema_change="replace"), pd.DataFrame({"id": [3], "v": [2001]}))
        found = diff("HEAD~1", "HEAD", table="t", db_path=repo)
        assert rows(found.rows) == [("modified", 3, 2001, spans[1])]


class TestRetypedKeys:
    @pytest.mark.parametrize(
        ("was", "values", "now", "again"),
        [
            ("varchar(9)", "'007', '7'", "int", "7"),
            ("double", "0.1, 0.5", "float", "0.5"),
            ("datetime", "'2024-01-02 03:04:05', '2024-01-02'", "date", "'2024-01-02'"),
            ("int", "5, 6", "date", "'1970-01-06'"),
            ("decimal(9,2)", "1.25, 2.00", "int", "2"),
        ],
    )
    def test_rows_are_not_paired_where_keys_would_change(
        self, repo: Path, was: str, values: str, now: str, again: str
    ) -> None:
        """One key that does not come back, or two that become one: all rows are removed, and all are added."""
        one, two = values.split(", ")
        sql(repo, f"create table t (id {was} primary key, v int)", f"insert into t values ({one}, 1), ({two}, 2)")
        sql(repo, "drop table t", f"create table t (id {now} primary key, v int)", f"insert into t values ({again}, 3)")
        found = last(repo)
        assert (found.added, found.modified, found.removed) == (1, 0, 2)
        assert sorted((row[0], row[2]) for row in rows(found.rows)) == [("added", 3), ("removed", 1), ("removed", 2)]

    @pytest.mark.parametrize(
        ("was", "one", "two", "now"),
        [
            ("varchar(9)", "'7'", "'8'", "int"),
            ("int", "7", "8", "varchar(9)"),
            ("datetime", "'2024-01-02'", "'2024-01-03'", "date"),
            ("double", "7", "8.0", "bigint"),
            ("float", "0.5", "0.25", "double"),
        ],
    )
    def test_rows_are_paired_where_all_keys_come_back(self, repo: Path, was: str, one: str, two: str, now: str) -> None:
        """Where each old key is one new key, rows of equal keys are the same row."""
        sql(repo, f"create table t (id {was} primary key, v int)", f"insert into t values ({one}, 1), ({two}, 2)")
        sql(repo, "drop table t", f"create table t (id {now} primary key, v int)", f"insert into t values ({one}, 3)")
        found = last(repo)
        assert (found.added, found.modified, found.removed) == (0, 1, 1)
        assert sorted((row[0], *row[2:]) for row in rows(found.rows)) == [("modified", 3, 1), ("removed", 2, None)]


class TestGeneratedColumns:
    @pytest.mark.parametrize("stored", ["stored", "virtual"])
    @pytest.mark.parametrize(
        "columns",
        ["id int primary key, v int, twice int {}", "id int primary key, twice int {}, v int"],
        ids=["last", "before another"],
    )
    def test_their_values_are_there(self, repo: Path, config: Config, stored: str, columns: str) -> None:
        """Wherever the column stands and whether it is stored or not; as changes, too."""
        made = columns.format(f"generated always as (v * 2) {stored}")
        sql(repo, f"create table t ({made})", "insert into t (id, v) values (1, 1), (2, 2), (3, 3)")
        sql(
            repo,
            "update t set v = 5 where id = 1",
            "delete from t where id = 2",
            "insert into t (id, v) values (4, 4)",
        )
        names = ["diff_type", "id", "v", "twice", "before_v", "before_twice"]
        expected = [("modified", 1, 5, 10, 1, 2), ("removed", 2, 2, 4, None, None), ("added", 4, 4, 8, None, None)]
        found = last(repo)
        assert rows(found.rows[names]) == expected  # type: ignore[index]
        assert rows(read(config("t", changes=Changes(since="HEAD~1")))[names]) == expected
        counted = diff("HEAD~1", "HEAD", table="t", db_path=repo, limit=0)
        assert (counted.changed, len(rows(counted.rows))) == (3, 0)
        assert diff("HEAD", "HEAD", table="t", db_path=repo).is_empty

    def test_another_expression_makes_other_values(self, repo: Path) -> None:
        """Rows whose stored columns are as they were have changed where their computed ones have."""
        made = "create table t (id int primary key, v int, w int generated always as (v * {}))"
        sql(repo, made.format(2), "insert into t (id, v) values (1, 1), (2, 0)")
        sql(repo, "alter table t drop column w", "alter table t add column w int generated always as (v * 3)")
        assert rows(last(repo).rows) == [("modified", 1, 1, 3, 1, 2)]

    def test_without_a_key(self, repo: Path) -> None:
        """Rows are removed and added as often as they are there less or more."""
        sql(
            repo,
            "create table t (w int generated always as (v * 2), v int, x double)",
            "insert into t (v, x) values (1, 0.0), (1, 0.0), (null, 1), (2, 2)",
        )
        sql(repo, "delete from t where v = 2", "insert into t (v, x) values (1, 0.0), (3, null)")
        assert sorted(rows(last(repo).rows), key=str) == [
            ("added", 2, 1, 0.0),
            ("added", 6, 3, None),
            ("removed", 4, 2, 2.0),
        ]


class TestChangesHaveTheSameColumns:
    NAMES = ("diff_type", "id", "v", "w", "before_v", "before_w")

    def test_in_each_run(self, repo: Path, config: Config) -> None:
        """The first, an empty one, over a new column, over another key, back again, and when the table is gone."""
        changes = lambda since: read(config("t", changes=Changes(since=since)))  # noqa: E731
        sql(repo, "create table t (id int, v int)", "insert into t values (1, 1)")
        sql(
            repo,
            "alter table t add primary key (id)",
            "alter table t add column w int",
            "insert into t values (2, 2, 2)",
        )
        for since in (None, "HEAD", "HEAD~1"):
            assert tuple(changes(since).columns) == self.NAMES
        sql(repo, "update t set w = 3")
        later = changes("HEAD~1")
        assert tuple(later.columns) == self.NAMES
        assert [row[-2:] for row in rows(later)] == [(1, None), (2, 2)]
        sql(repo, "drop table t")
        gone = read(config("t", changes=Changes(since="HEAD~1")))
        assert tuple(gone.columns) == self.NAMES
        assert gone["diff_type"].tolist() == ["removed", "removed"]


class TestSignsOfZero:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_alone_they_are_found(self, repo: Path, config: Config, dtype: str) -> None:
        """Where nothing else differs these rows are there, and nothing is unseen."""
        first, second = (pd.DataFrame({"id": [1, 2], "x": [x, 1.0]}).astype({"x": dtype}) for x in (0.0, -0.0))
        found = diff(write(config("t", primary_key=["id"]), first), write(config("t"), second))
        assert (str(found), found.unseen) == ("t: 0 added, 1 modified, 0 removed", ())
        assert [str(value) for value in rows(found.rows)[0]] == ["modified", "1", "-0.0", "0.0"]

    def test_in_a_key_alone(self, config: Config) -> None:
        """A key of another sign is a removed row and an added one."""
        before, after = (
            write(config("t", primary_key=["x"]), pd.DataFrame({"x": [x, 1.0], "n": [1, 2]})) for x in (0.0, -0.0)
        )
        found = diff(before, after)
        assert sorted((row[0], str(row[1])) for row in rows(found.rows)) == [("added", "-0.0"), ("removed", "0.0")]

    def test_beside_other_changes_the_columns_are_named(self, config: Config) -> None:
        """The rows are left out there, and the result names the columns of floats, and no other."""
        frame = pd.DataFrame({"id": [1, 2], "x": [0.0, 1.0], "n": [1, 2]})
        before = write(config("t", primary_key=["id"]), frame)
        found = diff(before, write(config("t"), frame.assign(x=[-0.0, 2.0])))
        assert (str(found), found.unseen) == ("t: 0 added, 1 modified, 0 removed", ("x",))
        assert [row[1] for row in rows(found.rows)] == [2]

    def test_without_a_key_nothing_is_unseen(self, config: Config) -> None:
        """A table without a key compares what is stored."""
        before, after = (
            write(config("t", order_by=[]), pd.DataFrame({"x": [x, y]})) for x, y in ((0.0, 1.0), (-0.0, 2.0))
        )
        found = diff(before, after)
        assert (str(found), found.unseen) == ("t: 2 added, 0 modified, 2 removed", ())


# ---------------------------------------------------------------------------------------------------- pairs of schemas

VALUES: dict[str, Sequence[str]] = {
    "tinyint(1)": ["0", "1", "5"],
    "int": ["0", "1", "5", "-7"],
    "bigint": ["0", "5", "9007199254740993"],
    "double": ["0", "0.5", "0.1", "5"],
    "float": ["0", "0.5", "0.1"],
    "decimal(9,2)": ["0", "0.5", "5", "1.25"],
    "decimal(30,20)": ["0.1", "5", "1.12345678901234567891"],
    "varchar(40)": ["'5'", "'007'", "'x'", "'X'", "''", "'2024-01-02'"],
    "varchar(40) collate utf8mb4_0900_ai_ci": ["'5'", "'x'", "'007'"],
    "varbinary(40)": ["'5'", "x'ff'", "x''"],
    "date": ["'2024-01-02'", "'1970-01-06'"],
    "datetime": ["'2024-01-02'", "'2024-01-02 03:04:05'"],
    "time": ["'03:04:05'", "'-26:00:00'"],
}
GENERATED = (
    "",
    "g varchar(60) generated always as (concat('g', v)) stored",
    "g int generated always as (length(concat('', v)))",
)
KEYS = ("", "primary key (id)", "primary key (v)", "primary key (id, v)")


@dataclass(frozen=True)
class Table:
    id: str
    v: str
    generated: str
    first: bool
    """Whether the generated column stands before the others."""
    key: str
    rows: Sequence[tuple[str, str]]

    @property
    def statements(self) -> list[str]:
        null = " not null" if self.key else ""
        columns = [f"id {self.id}{null}", f"v {self.v}{null}"]
        parts = [self.generated, *columns, self.key] if self.first else [*columns, self.generated, self.key]
        made = f"create table t ({', '.join(part for part in parts if part)})"
        return [made, *(f"insert ignore into t (id, v) values ({one}, {two})" for one, two in self.rows)]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    one, two = (draw(st.sampled_from(list(VALUES))) for _ in range(2))
    given_rows = draw(st.lists(st.tuples(st.sampled_from(VALUES[one]), st.sampled_from(VALUES[two])), max_size=4))
    generated = draw(st.sampled_from(GENERATED))
    return Table(one, two, generated, draw(st.booleans()), draw(st.sampled_from(KEYS)), given_rows)


def is_same(shown: Any, real: Any, text: Any) -> bool:
    """Whether a value of a diff is one that the table had, in another type or as SQL prints it."""
    if shown is None or real is None:
        return shown is None and real is None
    if isinstance(shown, str) and isinstance(real, (datetime.time, datetime.timedelta)):  # which Dolt casts to NULL
        return pd.Timedelta(shown) == pd.Timedelta(str(real))
    if isinstance(shown, str):
        is_day = isinstance(real, datetime.date) and not isinstance(real, datetime.datetime)  # printed with a time
        return shown == (str(real) if is_day else text) or (isinstance(real, bytes) and shown == real.hex())
    if isinstance(shown, bytes):
        return shown == real or shown == str(real).encode()
    if isinstance(shown, (bool, int, float, Decimal)):
        is_number = not isinstance(real, (datetime.date, datetime.time, datetime.timedelta))
        return is_number and float(shown) in (float(real), float(text or real))  # a FLOAT is printed shorter than it is
    if isinstance(shown, (pd.Timestamp, datetime.date)):
        return not isinstance(real, (int, float)) and pd.Timestamp(shown) == pd.Timestamp(str(real))
    return pd.Timedelta(str(shown)) == pd.Timedelta(str(real))


def state(repo: Path, revision: str) -> list[dict[str, tuple[object, object]]]:
    """Return the rows of the table: each value as `read` gives it, and as SQL prints it."""
    frame = read(DoltConfig(str(repo), "t", as_of=revision, order_by=[]))
    names = ", ".join(f"cast({name} as char)" for name in frame.columns)
    printed = read(DoltConfig(str(repo), sql=f"select {names} from t", as_of=revision))
    return [
        dict(zip(frame.columns, zip(values, texts, strict=True), strict=True))
        for values, texts in zip(rows(frame), rows(printed), strict=True)
    ]


def take(there: list[dict[str, tuple[object, object]]], shown: dict[str, object]) -> None:
    """Take a row that the table had, and that is the one that is shown, out of its rows."""
    for number, row in enumerate(there):
        if all(is_same(value, *row.get(name, (None, None))) for name, value in shown.items()):
            del there[number]
            return
    raise AssertionError(f"{shown} is none of {there}")


@pytest.mark.slow
@settings(max_examples=30 * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=tables(), after=tables())
def test_a_diff_leads_from_one_schema_to_the_other(repo: Path, before: Table, after: Table) -> None:
    """Whatever two tables of one name are: what is shown was there, and what is not shown is on both sides."""
    for table in (before, after):
        try:
            sql(repo, "drop table if exists t", *table.statements)
        except DoltError:  # Dolt does not take every one of these tables
            reject()
    found = last(repo)
    old, new = state(repo, "HEAD~1"), state(repo, "HEAD")
    names = list(dict.fromkeys(["id", "v", *(name for row in [*new, *old] for name in row)]))
    for row in found.rows.astype(object).where(found.rows.notna(), None).to_dict("records"):  # type: ignore[union-attr]
        shown = {name: row[name] for name in names}
        if row["diff_type"] != "removed":
            take(new, shown)
        if row["diff_type"] == "removed":
            take(old, shown)
        if row["diff_type"] == "modified":
            was = {name: row.get(f"before_{name}", row[name]) for name in names if old and name in old[0]}
            take(old, was)
    for left in new:
        take(old, {name: value for name, (value, _) in left.items() if old and name in old[0]})
    assert old == []


@pytest.mark.parametrize("name", ["w", "V"])
def test_a_column_under_another_name(config: Callable[..., DoltConfig], name: str) -> None:
    """One is gone and one is new: every row has changed, also where the values are the same."""
    write(config("t", primary_key=["id"]), pd.DataFrame({"id": [0, 1], "v": [1, 2]}))
    other = config("t", primary_key=["id"], on_schema_change="replace")
    write(other, pd.DataFrame({"id": [0, 1], name: [1, 3]}))
    found = diff("HEAD~1", "HEAD", table="t", db_path=other.db_path)
    if name == "w":
        assert (found.added, found.modified, found.removed) == (0, 2, 0)
        assert found.rows is not None
        assert found.rows["before_v"].tolist() == [1, 2]
        assert found.rows["w"].tolist() == [1, 3]
    else:  # SQL takes both for one name
        assert (found.added, found.removed) == (0, 0)
