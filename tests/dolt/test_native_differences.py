"""Changed rows that the server finds in the trees are those that SQL finds: the same at every door, in every type."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pytest
from factor import FACTOR
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from stored_types import NAMES, every_type
from test_round_trip import COLUMNS

from flytekitplugins.dolt import Changes, Commit, DoltConfig, TableDiff, create_repository, diff, errors, read, write
from flytekitplugins.dolt.history import diffs
from flytekitplugins.dolt.model.configs import KINDS
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.server import local_server, procedures
from flytekitplugins.dolt.tables import native, reading

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True

LATIN = NAMES["VARCHAR(30) CHARACTER SET latin1"]
T = TypeVar("T")
Config = Callable[..., DoltConfig]


class Said(logging.Handler):
    """Notes what is said of the way of rows that differ."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Compare"):
            self.lines.append(record.getMessage())


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    """Give what was said of the way of rows, which go natively where they can."""
    monkeypatch.delenv(procedures.SWITCH, raising=False)
    noting, level = Said(), native.logger.level
    native.logger.addHandler(noting)
    native.logger.setLevel(logging.DEBUG)
    yield noting
    native.logger.setLevel(level)
    native.logger.removeHandler(noting)


def both(said: Said, ask: Callable[[], T]) -> tuple[T, T, str]:
    """Return what is found by SQL and natively, and what was said of the second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(procedures.SWITCH, "0")
        expected = ask()
    said.lines.clear()
    found = ask()
    return expected, found, said.lines[-1] if said.lines else ""


def committed(connection: Connection, *statements: str) -> Commit:
    """Run statements, commit all, and return the commit."""
    for statement in statements:
        connection.execute(statement)
    return Commit(str(connection.query("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--allow-empty')")[0][0]))


def assert_same_changes(said: Said, connection: Connection, before: Commit, after: Commit, **asked: object) -> str:
    """Read changes by SQL and natively, find nothing that differs, and return what was said of the way."""
    expected, found, line = both(said, lambda: diffs.read(connection, "t", before, after, **asked))  # type: ignore[arg-type]
    assert found.arrow.schema.equals(expected.arrow.schema, check_metadata=True)
    assert found.arrow.equals(expected.arrow) or found.arrow.to_pylist() == expected.arrow.to_pylist()
    assert found.notes == expected.notes
    return line


def assert_same_diff(expected: TableDiff, found: TableDiff) -> None:
    """Find all of two differences equal, dtypes and all."""
    assert found == expected
    assert found.rows is not None
    assert expected.rows is not None
    pd.testing.assert_frame_equal(found.rows, expected.rows)


ASKED: Sequence[dict[str, object]] = [
    {},
    {"kinds": ("added", "modified")},
    {"kinds": ("removed",)},
    {"limit": 0},
    {"limit": 2},
]


@pytest.mark.parametrize("spans", [False, True])
def test_every_type_goes_natively_and_is_as_by_sql(said: Said, connection: Connection, spans: bool) -> None:
    """Whole and in part; with TIME, parts are asked for by SQL, since other rows may hold spans of time."""
    every_type(connection, " PRIMARY KEY")
    connection.execute("RENAME TABLE every TO t")
    connection.execute(f"ALTER TABLE t DROP COLUMN {LATIN}")  # whose collation holds texts equal
    if not spans:
        for name in (NAMES["TIME"], NAMES["TIME(6)"]):
            connection.execute(f"UPDATE t SET {name} = '23:59:59.999999'")
    before = committed(connection)
    for name in NAMES.values():
        if name == LATIN:
            continue
        connection.execute(f"UPDATE t SET {name} = NULL WHERE id = 0")
    after = committed(connection, "DELETE FROM t WHERE id IN (1, 4)", "UPDATE t SET id = 90 WHERE id = 2")
    for asked in ASKED:
        for old, new in ((before, after), (after, before)):
            line = assert_same_changes(said, connection, old, new, **asked)
            assert line.startswith("Compared table 't' natively") == (not asked)
    for name in (NAMES["TIME"], NAMES["TIME(6)"]):
        connection.execute(f"ALTER TABLE t DROP COLUMN {name}")
    start, end = (
        committed(connection),
        committed(connection, "DELETE FROM t WHERE id = 90", "UPDATE t SET id = 1 WHERE id = 0"),
    )
    for asked in ASKED:
        assert assert_same_changes(said, connection, start, end, **asked).startswith("Compared table 't' natively")


def test_booleans_are_as_the_rows_have_them(said: Said, connection: Connection) -> None:
    """A TINYINT(1) that holds 2 in a row that did not change is none that was read; each side has its own type."""
    before = committed(
        connection,
        "CREATE TABLE t (id INT PRIMARY KEY, a TINYINT(1), b TINYINT(1))",
        "INSERT INTO t VALUES (1, 2, 1), (2, 0, 2), (3, 1, 1)",
    )
    after = committed(connection, "UPDATE t SET a = 0, b = 1 WHERE id = 2", "UPDATE t SET b = 0 WHERE id = 3")
    assert assert_same_changes(said, connection, before, after).startswith("Compared table 't' natively")
    assert assert_same_changes(said, connection, after, before).startswith("Compared table 't' natively")


OTHERWISE = {
    "no key": (["CREATE TABLE t (n INT)", "INSERT INTO t VALUES (1)"], ["INSERT INTO t VALUES (2)"]),
    "a new table": ([], ["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]),
    "a lost table": (["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"], ["DROP TABLE t"]),
    "another type": (
        ["CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)"],
        ["ALTER TABLE t MODIFY n BIGINT", "UPDATE t SET n = 5"],
    ),
    "a new column": (
        ["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"],
        ["ALTER TABLE t ADD n INT", "UPDATE t SET n = 5"],
    ),
    "a renamed column": (
        ["CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)"],
        ["ALTER TABLE t RENAME COLUMN n TO m"],
    ),
    "another key": (
        ["CREATE TABLE t (id INT NOT NULL, n INT NOT NULL, PRIMARY KEY (id))", "INSERT INTO t VALUES (1, 1)"],
        ["ALTER TABLE t DROP PRIMARY KEY", "ALTER TABLE t ADD PRIMARY KEY (n)"],
    ),
    "an ENUM": (
        ["CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b'))", "INSERT INTO t VALUES (1, 'a')"],
        ["UPDATE t SET e = 'b'"],
    ),
    "the sign of zero": (
        ["CREATE TABLE t (id INT PRIMARY KEY, x DOUBLE)", "INSERT INTO t VALUES (1, 0.0)"],
        ["DELETE FROM t", "INSERT INTO t VALUES (1, -0.0)"],
    ),
    "a collation": (
        [
            "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9) COLLATE utf8mb4_0900_ai_ci)",
            "INSERT INTO t VALUES (1, 'a')",
        ],
        ["UPDATE t SET s = 'A'"],
    ),
    "a generated column": (
        ["CREATE TABLE t (id INT PRIMARY KEY, n INT AS (id + 1) STORED)", "INSERT INTO t (id) VALUES (1)"],
        ["INSERT INTO t (id) VALUES (2)"],
    ),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_everything_else_is_as_before(said: Said, connection: Connection, case: str) -> None:
    """Other schemas, no key, no table, types that files do not have: the same rows, whichever way."""
    before, after = (committed(connection, *statements) for statements in OTHERWISE[case])
    for old, new in ((before, after), (after, before)):
        assert_same_changes(said, connection, old, new)
        assert_same_diff(*both(said, lambda: diffs.between(connection, "t", old, new))[:2])  # noqa: B023


def test_a_read_of_changes_and_a_diff_go_natively(said: Said, config: Config) -> None:
    """So do both doors of users, with columns that are named like Dolt's own, and nothing is left in the folder."""
    frame = pd.DataFrame(
        {"id": [1, 2, 3], "commit": [0.5, 1.5, None], "diff_type": ["a", "b", None], "before_commit": 7}
    )
    before = write(config("t", primary_key=["id"]), frame)
    after = write(config("t"), frame.assign(commit=[0.5, 2.5, 1.0]))
    expected, found, line = both(said, lambda: diff(before, after))
    assert line.startswith("Compared table 't' natively")
    assert_same_diff(expected, found)
    changes = config("t", changes=Changes(since=before.commit.hash))  # type: ignore[union-attr]
    asked, given, line = both(said, lambda: read(changes))
    assert line.startswith("Compared table 't' natively")
    pd.testing.assert_frame_equal(given, asked)
    assert given["before_commit"].tolist() == [7, 7]


def test_where_the_procedure_fails_sql_is_asked(
    said: Said, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no reason of the server's for SQL is a warning, and SQL says what there is to say."""
    there = committed(connection, "CREATE TABLE t (id INT PRIMARY KEY)")
    found = reading.differing(connection, "t", "a" * 32, there.hash, sql_types={"id": "int"}, kinds=KINDS)
    assert found is None
    assert said.lines[-1].startswith("Compare table 't' by SQL: ")
    assert "'t' could not be read natively" in caplog.text


@st.composite
def versions(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw two frames with the same columns and a key, of which some rows are in both."""
    kinds = draw(st.lists(st.sampled_from(sorted(set(COLUMNS) - {"mixed", "complex"})), min_size=1, max_size=4))
    keys = [draw(st.lists(st.integers(0, 12), max_size=8, unique=True)) for _ in range(2)]
    drawn = []
    for ids in keys:
        columns = {f"c{place}": draw(COLUMNS[kind](len(ids))) for place, kind in enumerate(kinds)}
        drawn.append(pd.DataFrame({"id": pd.Series(ids, dtype="int64"), **columns}))
    before, after = drawn
    kept = before[~before["id"].isin(after["id"]) & (before["id"] % 2 == 0)]
    return before, pd.concat([after, kept], ignore_index=True) if len(kept) else after


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give one repository for all examples."""
    path = create_repository(tmp_path_factory.mktemp("differences") / "foo", name="A", email="a@b.c")
    yield path
    local_server.release(path)


@pytest.mark.slow
@settings(
    max_examples=60 * FACTOR,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=versions())
def test_whatever_changes(said: Said, place: Path, drawn: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Frames of any kind: what is found natively is what SQL finds, to the last dtype."""
    config = DoltConfig(str(place), "t", primary_key=["id"], on_schema_change="replace")
    try:
        before, after = (write(config, frame) for frame in drawn)
    except (errors.DoltError, ValueError) as error:
        event(type(error).__name__)
        return
    for old, new in ((before, after), (after, before)):
        expected, found, line = both(said, lambda: diff(old, new))  # noqa: B023
        event("natively" if line.startswith("Compared") else "by SQL")
        assert_same_diff(expected, found)


@pytest.mark.slow
@settings(
    max_examples=40 * FACTOR,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=versions())
def test_what_the_server_remembers_of_writes(said: Said, place: Path, drawn: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Rows that were put, added or deleted are told without a look at the trees; they are those that SQL finds."""
    first, rows = drawn
    config = DoltConfig(str(place), "u", primary_key=["id"], on_schema_change="replace")
    try:
        states = [write(config, first)]
        put = dataclasses.replace(config, mode="upsert", on_schema_change="refuse")
        states.append(write(put, rows))
        states.append(write(dataclasses.replace(put, mode="append"), rows.assign(id=rows["id"] + 100)))
        states.append(write(dataclasses.replace(put, mode="delete"), rows[["id"]].head(3)))
    except (errors.DoltError, ValueError) as error:
        event(type(error).__name__)
    for old, new in itertools.combinations(states, 2):
        for one, other in ((old, new), (new, old)):
            expected, found, line = both(said, lambda: diff(one, other))  # noqa: B023
            event("natively" if line.startswith("Compared") else "by SQL")
            assert_same_diff(expected, found)


@pytest.mark.parametrize("kinds", [KINDS, ("added", "modified"), ("modified",), ("removed",)])
def test_without_what_was_before(said: Said, config: Config, kinds: tuple[str, ...]) -> None:
    """The same rows and columns but for those, both ways; what removed rows were is what they have."""
    frame = pd.DataFrame({"id": [1, 2, 3], "x": [0.5, None, 1.5], "before_x": ["a", "b", None]})
    first = write(config("t", primary_key=["id"]), frame)
    write(config("t"), frame.tail(2).assign(id=[3, 4], before_x="c").reset_index(drop=True))
    changes = Changes(since=first, kinds=kinds, before_values=False)  # type: ignore[arg-type]
    assert Changes.from_dict(changes.to_dict()) == changes
    by_sql, found, line = both(said, lambda: read(config("t", changes=changes)))
    assert line.startswith("Compared table 't' natively")
    whole = read(config("t", changes=dataclasses.replace(changes, before_values=True)))
    assert list(found) == ["diff_type", "id", "x", "before_x"]
    assert set(found["diff_type"]) == set(kinds)
    for same in (by_sql, whole[list(found)]):
        pd.testing.assert_frame_equal(found, same)


KEYED = {
    "a key alone": pd.DataFrame({"id": [3, 1, 2]}),
    "text as the key": pd.DataFrame({"id": ["b", "a", "ä"], "x": [0.0, -0.0, None]}),
    "two keys": pd.DataFrame({"id": [1, 1, 2], "n": [2, 1, 1], "text": ["x" * 300_000, None, "y" * 300_000]}),
    "nothing but NULL": pd.DataFrame({"id": [1, 2, 3], "n": pd.array([None] * 3, dtype="Int64")}),
}


@pytest.mark.parametrize("mode", ["upsert", "append", "delete"])
@pytest.mark.parametrize("name", KEYED)
def test_few_rows_of_many(said: Said, config: Config, name: str, mode: str) -> None:
    """What one write changes of a table is remembered with all its values, also those that lie elsewhere."""
    frame = KEYED[name]
    key = [column for column in ("id", "n") if name == "two keys" or column == "id"]
    before = write(config("t", primary_key=key), frame.head(2))
    changed = frame.tail(2).assign(**{c: frame[c].iloc[0] for c in frame.columns.difference(key)})
    given = {"upsert": changed, "append": frame.tail(1), "delete": frame[key].head(1)}[mode]
    after = write(config("t", mode=mode), given.reset_index(drop=True))
    expected, found, line = both(said, lambda: diff(before, after))
    assert line.startswith("Compared table 't' natively")
    assert_same_diff(expected, found)
    assert found.rows is not None
    assert len(found.rows) > 0
