"""What columns of tables hold and how far they have moved between commits: that of their frames, whatever is read."""

from __future__ import annotations

import datetime as dt
import logging
import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import ways
from scipy import stats

from flytekitplugins.dolt import DoltConfig, DoltTable, Shift, diff, pin, profile, read, write
from flytekitplugins.dolt.errors import InvalidConfig, SchemaMismatch, TableNotFound
from flytekitplugins.dolt.history.diffs import shift_between
from flytekitplugins.dolt.profiles.shifts import shift_of
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

KINDS = {
    "integer": "number",
    "unsigned": "number",
    "float": "number",
    "decimal": "number",
    "flag": "flag",
    "text": "text",
    "category": "text",
    "day": "time",
    "moment": "time",
    "zoned": "time",
    "time": "time",
    "duration": "time",
    "bytes": "other",
    "nested": "other",
}


def frame_of_all_types() -> pd.DataFrame:
    """Give a frame with a column of every kind, with and without missing values."""
    return pd.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "integer": [2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
            "unsigned": np.array([2**64 - 1, 0, 1, 1], "uint64"),
            "float": [0.1, np.nan, -2.5, 1e300],
            "decimal": [Decimal("1.10"), None, Decimal("-3.00"), Decimal("1.10")],
            "flag": pd.array([True, None, False, True], "boolean"),
            "text": ["a", None, "ä b", "a"],
            "category": pd.Categorical(["x", "y", None, "x"]),
            "day": [dt.date(2020, 1, 1), dt.date(9999, 12, 31), None, dt.date(2020, 1, 1)],
            "moment": pd.to_datetime(["2020-01-01 00:00", None, "2021-01-01 12:30", "2020-01-01 00:00"]),
            "zoned": pd.to_datetime([1, 2, None, 4], unit="s", utc=True).tz_convert("Asia/Tokyo"),
            "time": [dt.time(1), None, dt.time(23, 59, 59, 999999), dt.time(1)],
            "duration": pd.to_timedelta([1, None, -3, 400], "h"),
            "bytes": [b"a", None, b"\xff\x00", b"a"],
            "nested": [{"a": [1, 2]}, None, {"b": 1}, {"a": [1, 2]}],
            "nothing": pd.array([None] * 4, "Int64"),
        }
    )


def facts(found: Any) -> dict[str, Any]:
    """Give what a profile says, but for what the type is called."""
    return {name: value for name, value in vars(found).items() if name != "type"}


def test_a_table_of_all_types_has_the_profile_of_its_frame(config: Config) -> None:
    """A config, a table at a commit, a query, and the frame in pandas and Polars say the same of every column."""
    frame = frame_of_all_types()
    table = write(config("t", primary_key=["id"]), frame)
    found = profile(config("t"))
    assert {name: found[name].kind for name in KINDS} == KINDS
    assert found["integer"].type == "bigint"
    for other in (profile(table), profile(frame), profile(DoltTable(config("t"), data=frame))):
        assert [facts(column) for column in other] == [facts(column) for column in found]
    queried = profile(config(sql="SELECT `text`, `decimal` FROM t"))
    assert [facts(column) for column in queried] == [facts(found[name]) for name in ("text", "decimal")]
    polars = pl.DataFrame({"integer": frame["integer"].tolist()})
    assert facts(profile(polars)["integer"]) == facts(found["integer"])


def test_what_was_read_again_has_not_moved(config: Config) -> None:
    """All columns of all types are exactly 0 between two commits with the same rows, one of them in another table."""
    frame = frame_of_all_types()
    write(config("t", primary_key=["id"]), frame)
    first = pin(config("t")).commit
    write(config("other"), frame)
    same = diff(first, pin(config("t")).commit, table="t", db_path=config("t").db_path).shift()
    assert {column.value for column in same} == {0.0}
    assert same.rows_before == same.rows_after == 4
    read_back = shift_of(frame, read(config("t")).sample(frac=1, random_state=1))
    assert {column.value for column in read_back} == {0.0}


def test_a_change_is_that_of_the_frames(config: Config, repo: Path) -> None:
    """The shift of two commits is the shift of their frames, column by column, and names types as SQL does."""
    before = frame_of_all_types()
    after = before.iloc[:3].assign(text=["z", None, None], integer=[1, 2, 3])
    old, new = write(config("t", primary_key=["id"]), before), write(config("t", primary_key=["id"]), after)
    found, expected = diff(old, new).shift(), shift_of(before, after)
    assert isinstance(found, Shift)
    for column in expected:
        there = found[column.name]
        assert (there.value, there.psi, there.edges, there.categories) == (
            column.value,
            column.psi,
            column.edges,
            column.categories,
        ), column.name
        assert (there.before_counts, there.after_counts) == (column.before_counts, column.after_counts)
        assert facts(there.before) == facts(column.before)
        assert facts(there.after) == facts(column.after)
    assert found["text"].missing_after == pytest.approx(2 / 3)
    assert found.retyped == ()


def test_columns_that_come_go_and_change_their_type(config: Config, repo: Path) -> None:
    """They are named, and only columns that are asked for are read."""
    old = write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2], "a": [1, 2], "b": [1, 2]}))
    with connect(repo) as connection:
        connection.execute("ALTER TABLE t DROP COLUMN b, ADD COLUMN c INT, MODIFY COLUMN a DOUBLE")
        connection.execute("CALL DOLT_COMMIT('-am', 'by hand', '--author', 'A <a@b.c>')")
    found = diff(old, config("t")).shift()
    assert (found.added, found.removed, found.retyped) == (("c",), ("b",), ("a",))
    assert (found["a"].value, found["b"].value, found["c"].value) == (0.0, 1.0, 0.0)
    assert [column.name for column in diff(old, config("t")).shift(columns=["b", "a"])] == ["b", "a"]
    with pytest.raises(SchemaMismatch, match="'x'"):
        diff(old, config("t")).shift(columns=["x"])


def test_a_table_that_is_new_or_gone_is_compared_with_nothing(config: Config) -> None:
    """One side has no rows then."""
    new = write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2]}))
    found = diff(None, new).shift()
    assert (found.rows_before, found.rows_after, found["id"].value, found["id"].before) == (0, 2, 1.0, None)
    assert diff(new, None).shift()["id"].after is None


def test_a_difference_that_travelled_is_told_where_the_table_is(config: Config, repo: Path) -> None:
    """What was pickled does not know the repository, since that may have a password in it."""
    old = write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2]}))
    found = pickle.loads(pickle.dumps(diff(old, write(config("t"), pd.DataFrame({"id": [1, 3]})))))
    with pytest.raises(InvalidConfig, match="db_path"):
        found.shift()
    assert found.shift(db_path=repo)["id"].value == 0.5


def test_what_cannot_be_profiled_is_said(config: Config) -> None:
    """No such column, no such table, no rows at all to draw."""
    write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2]}))
    with pytest.raises(SchemaMismatch, match="'x'.*'id'"):
        profile(config("t"), columns=["x"])
    with pytest.raises(SchemaMismatch, match="'x'.*'id'"):
        profile(pa.table({"id": [1]}), columns=["x"])
    with pytest.raises(TableNotFound, match="'nowhere'"):
        profile(config("nowhere"))
    with pytest.raises(InvalidConfig, match="0 rows"):
        profile(config("t"), sample=0)
    with pytest.raises(InvalidConfig, match=r"columns='id'.*\['id'\]"):
        profile(config("t"), columns="id")
    for wrong in ("t", {"id": [1]}, None, pd.Series([1])):
        with pytest.raises(InvalidConfig, match=f"profile a {type(wrong).__name__}: .*DoltConfig"):
            profile(wrong)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="Did you mean 'id'"):
        profile(config("t"))["ids"]


def test_what_cannot_be_compared_is_said(config: Config) -> None:
    """A sample of no rows would find that nothing has moved."""
    old = write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2]}))
    found = diff(old, write(config("t"), pd.DataFrame({"id": [1, 3]})))
    for sample in (0, -1, "2", True):
        with pytest.raises(InvalidConfig, match=f"sample of {sample!r} rows"):
            found.shift(sample=sample)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match=r"columns='id'.*\['id'\]"):
        found.shift(columns="id")
    with pytest.raises(KeyError, match="Did you mean 'id'"):
        found.shift()["ids"]


@pytest.mark.parametrize("key", [["id"], ["text", "id"], []], ids=["keyed", "by text", "no key"])
@pytest.mark.parametrize("is_native", [True, False], ids=["natively", "by SQL"])
def test_what_is_counted_of_a_large_table_is_what_is_counted_in_memory(
    config: Config, key: list[str], is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more rows than are drawn all is exact, for every type, with a key and without; by SQL, all but quantiles."""
    if not is_native:
        monkeypatch.setenv("FLYTE_DOLT_NATIVE", "0")
    frame = pd.concat([frame_of_all_types()] * 10, ignore_index=True).assign(id=range(40))
    frame["text"] = frame["text"].fillna("") if key == ["text", "id"] else frame["text"]
    write(config("t", primary_key=key or None), frame)
    exact, drawn = profile(config("t"), sample=None), profile(config("t"), sample=20, seed=1)
    assert drawn.rows == 40
    for column in exact:
        there = drawn[column.name]
        assert there.mean == (None if column.mean is None else pytest.approx(column.mean, rel=1e-9))
        facts_drawn = facts(there) | {"mean": None, "quantiles": None, "sampled": None}
        assert facts_drawn == facts(column) | {"mean": None, "quantiles": None}, column.name
        assert (there.quantiles is None) == (column.quantiles is None)
    assert drawn == profile(config("t"), sample=20, seed=1)
    if ways.expected() == ways.NATIVELY:
        assert drawn == exact
        return
    sample = drawn["integer"].sampled
    assert sample is not None
    assert (sample.seed, sample.of) == (1, 40)
    assert sample.rows == 20 or (key and 8 <= sample.rows <= 32)


def test_a_sample_of_a_table_is_fair_and_within_its_bound(config: Config) -> None:
    """About as many rows as asked for are drawn, evenly over the keys; the same keys from both states."""
    random = np.random.default_rng(0)
    before = pd.DataFrame(
        {"id": range(20_000), "v": random.normal(size=20_000), "c": random.choice(list("abc"), 20_000)}
    )
    after = before.assign(v=before["v"] + 0.2, c=random.choice(list("abb"), 20_000))
    old, new = write(config("t", primary_key=["id"]), before), write(config("t"), after)
    exact, drawn = diff(old, new).shift(sample=None), diff(old, new).shift(sample=2_000, seed=4)
    for name in ("v", "c"):
        assert 0 < drawn[name].error < 0.15
        assert abs(exact[name].value - drawn[name].value) <= drawn[name].error
        assert (exact[name].error, exact[name].missing_after) == (0.0, drawn[name].missing_after)
    taken = sum(drawn["id"].after_counts)
    assert abs(taken - 2_000) < 5 * np.sqrt(2_000)
    assert drawn["id"].value == 0.0  # so are all keys of the one in the other
    assert stats.chisquare(drawn["id"].after_counts).pvalue > 0.001
    assert drawn["v"].after is not None
    assert drawn["v"].after.distinct == 20_000
    assert diff(old, new).shift(sample=2_000, seed=4) == drawn
    assert diff(old, old).shift(sample=2_000)["v"].value == 0.0


@pytest.mark.parametrize("key", [["id"], ["name", "part"], []], ids=["keyed", "by text", "no key"])
def test_rows_are_drawn_alike_from_every_state(config: Config, key: list[str]) -> None:
    """Also where the key is not asked for; of a column that has not moved the same rows are drawn of both states."""
    before = pd.DataFrame({"id": range(4_000), "part": [number % 4 for number in range(4_000)]})
    before = before.assign(name=[f"name {number // 4}" for number in range(4_000)], v=before["id"] * 0.5)
    old = write(config("t", primary_key=key or None), before)
    new = write(config("t"), before.assign(v=before["v"].where(before["id"] % 2 == 0, -1.0)))
    found = diff(old, new, limit=0)
    drawn = found.shift(columns=["name", "v"], sample=1_000, seed=3)
    assert drawn["name"].is_sampled
    if key:  # which keeps the order of rows
        assert drawn["name"].value == 0.0
    assert abs(drawn["v"].value - 0.5) <= drawn["v"].error
    assert abs(sum(drawn["v"].after_counts) - 1_000) < 5 * np.sqrt(1_000)
    assert drawn["v"].after == found.shift(sample=None)["v"].after or ways.expected() == ways.BY_SQL
    assert drawn == found.shift(columns=["name", "v"], sample=1_000, seed=3)
    assert drawn != found.shift(columns=["name", "v"], sample=1_000, seed=4)


@pytest.mark.parametrize("rows", [8, 12])
def test_how_many_rows_are_compared_goes_by_their_way(
    config: Config, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is asked for: up to a number natively, and up to another one by SQL."""
    monkeypatch.setattr("flytekitplugins.dolt.tables.profiling.EXACT_ROWS", 4)
    monkeypatch.setattr("flytekitplugins.dolt.tables.profiling.EXACT_ROWS_NATIVELY", 10)
    old = write(config("t", primary_key=["id"]), pd.DataFrame({"id": range(rows), "v": [1] * rows}))
    new = write(config("t"), pd.DataFrame({"id": range(rows), "v": [2] * rows}))
    most = 10 if ways.expected() == ways.NATIVELY else 4
    assert diff(old, new).shift()["v"].is_sampled == (rows > most)
    assert not diff(old, new).shift(sample=None)["v"].is_sampled


def test_a_shift_alone_does_not_look_for_rows_that_differ(
    config: Config, repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is that of `diff`, under the name that the table is stored as, without the walk through both states."""
    old = write(config("Prices", primary_key=["id"]), pd.DataFrame({"id": [1, 2]}))
    new = write(config("Prices"), pd.DataFrame({"id": [1, 3]}))
    assert old.commit is not None
    assert new.commit is not None
    expected = diff(old, new).shift()
    with caplog.at_level(logging.DEBUG, logger="flytekitplugins.dolt.tables.native"):
        found = shift_between(old.commit.hash, new.commit.hash, table="prices", db_path=repo)
    assert found == ("Prices", expected)
    assert not [record for record in caplog.records if record.msg.startswith("Compare")]
    with pytest.raises(TableNotFound, match="'nowhere'"):
        shift_between(old.commit.hash, new.commit.hash, table="nowhere", db_path=repo)


def test_texts_that_the_server_folds_are_told_apart(config: Config, repo: Path) -> None:
    """Whatever the collation of a column, and in a view, which has no key: a and A are two values."""
    with connect(repo) as connection:
        connection.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9) COLLATE utf8mb4_0900_ai_ci)")
        connection.execute("INSERT INTO t VALUES (1, 'a'), (2, 'A'), (3, 'ä'), (4, 'a')")
        connection.execute("CREATE VIEW w AS SELECT * FROM t")
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--author', 'A <a@b.c>')")
    for table in ("t", "w"):
        assert profile(config(table), sample=2)["v"].frequent == (("a", 2), ("A", 1), ("ä", 1))
        assert profile(config(table), sample=2).rows == 4
