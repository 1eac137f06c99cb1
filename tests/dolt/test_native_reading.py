"""Rows that come as files are those that come by SQL: the same values in the same order and types, to every door."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from stored_frames import FRAMES
from stored_types import NAMES, VALUES, every_type
from users_server import users_server

from flytekitplugins.dolt import DoltConfig, pin, read, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.cli import doctor
from flytekitplugins.dolt.codec import pandas_frames
from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.server import binary, procedures
from flytekitplugins.dolt.tables import native, reading, rows_file

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


class Ways:
    """Has rows go by SQL or natively, and notes which way they went, and why."""

    def __init__(self, patch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
        self._patch = patch
        self._log = log
        patch.delenv(procedures.SWITCH, raising=False)
        log.set_level(logging.DEBUG, native.__name__)

    def by_sql(self) -> None:
        """Have all rows go by SQL from now on."""
        self._patch.setenv(procedures.SWITCH, "0")

    def natively(self) -> None:
        """Have rows go natively from now on where they can, and forget which way others went."""
        self._patch.delenv(procedures.SWITCH, raising=False)
        self._log.clear()

    @property
    def went(self) -> list[str]:
        """What was said of each table that was read natively, or tried to."""
        return [record.getMessage() for record in self._log.records if record.name == native.__name__]

    def assert_native(self, times: int = 1) -> None:
        """Find that so many tables were read natively, and none by SQL."""
        assert [said.rpartition(" ")[2] for said in self.went] == ["natively."] * times


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Ways:
    """Give what chooses and notes the way of rows."""
    return Ways(monkeypatch, caplog)


def both(ways: Ways, connection: Connection, table: str, **asked: object) -> reading.ReadResult:
    """Read a table by SQL and natively, find nothing that differs, and return it."""
    ways.by_sql()
    expected = reading.read(connection, table, **asked)  # type: ignore[arg-type]
    ways.natively()
    found = reading.read(connection, table, **asked)  # type: ignore[arg-type]
    assert_equal(found, expected)
    assert files(connection) == []
    return found


def assert_equal(found: reading.ReadResult, expected: reading.ReadResult) -> None:
    """Compare rows, their types and notes, and the frames that they become."""
    assert found.arrow.schema.equals(expected.arrow.schema, check_metadata=True)
    for name in expected.arrow.column_names:
        assert found.arrow[name].equals(expected.arrow[name]), name
    assert found.notes == expected.notes
    found.arrow.validate(full=True)
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame())
    pd.testing.assert_frame_equal(as_a_large_one(found), expected.to_frame())
    assert found.to_arrow().equals(expected.to_arrow(), check_metadata=True)


def as_a_large_one(found: reading.ReadResult) -> pd.DataFrame:
    """Return the frame as it is made of a table that is large, with each first value written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pandas_frames, "_MANY_BYTES", 0)
        frame = found.to_frame()
    for position in range(frame.shape[1] if len(frame) else 0):
        frame.iloc[0, position] = frame.iloc[0, position]
    return frame


def files(connection: Connection) -> list[Path]:
    """Return the files that are left in the folder of the server."""
    folder = connection.shared_folder()
    assert folder is not None
    return list(folder.iterdir())


@pytest.mark.parametrize("key", [" PRIMARY KEY", ""])
@pytest.mark.parametrize("spans", [False, True])
def test_every_type_comes_as_by_sql(ways: Ways, connection: Connection, key: str, spans: bool) -> None:
    """Each type on the list goes natively, with and without a key; a span of time changes the types of others."""
    every_type(connection, key)
    if not spans:
        for name in (NAMES["TIME"], NAMES["TIME(6)"]):
            connection.execute(f"UPDATE every SET {name} = '23:59:59.999999'")
    found = both(ways, connection, "every")
    ways.assert_native()
    assert found.arrow.num_rows == max(len(values) for _, values in VALUES.values()) + 1
    kind = pa.duration("us") if spans else pa.time64("us")
    assert found.arrow.schema.field(NAMES["TIME"]).type == kind


@pytest.mark.parametrize("options", [{"primary_key": ["k"]}, {}, {"keep_order": True}], ids=["key", "none", "order"])
@pytest.mark.parametrize("kind", FRAMES)
def test_frames_come_as_by_sql(ways: Ways, config: Config, kind: str, options: dict[str, object]) -> None:
    """As pandas, Arrow and Polars, whole and in parts, with what is noted of them and in their order."""
    table = pin(write(config("t", **options), FRAMES[kind]).config)
    ways.by_sql()
    expected = read(table.config), frames.load(pinned(table)).to_arrow()
    parts = [part for part in table.iter(2) if len(part)]
    ways.natively()
    found = read(table.config), frames.load(pinned(table)).to_arrow()
    ways.assert_native(times=2)
    pd.testing.assert_frame_equal(found[0], expected[0])
    assert found[1].equals(expected[1])
    assert found[1].schema.equals(expected[1].schema, check_metadata=True)
    if kind != "decimals":  # Polars has none of 256 bits
        assert pl.DataFrame(found[1]).equals(pl.DataFrame(expected[1]))
    for one, other in zip((part for part in table.iter(2) if len(part)), parts, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_any_bits_of_floats_come_as_by_sql(ways: Ways, connection: Connection) -> None:
    """SQL prints numbers; what is read from that is what is stored."""
    bits = np.random.default_rng(7).integers(0, 2**32, 3000, np.uint32).view(np.float32)
    wide = np.random.default_rng(8).integers(0, 2**63, 3000).view(np.float64)
    frame = pd.DataFrame({"f": bits, "d": wide})[np.isfinite(bits) & np.isfinite(wide)]
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, f FLOAT, d DOUBLE)")
    values = ", ".join(f"({f!r}, {d!r})" for f, d in zip(frame["f"].tolist(), frame["d"].tolist(), strict=True))
    connection.execute(f"INSERT INTO t (f, d) VALUES {values}")
    assert both(ways, connection, "t").arrow["d"].to_pylist() == frame["d"].tolist()
    ways.assert_native()


def test_the_order_is_that_of_the_key_or_of_the_values(ways: Ways, connection: Connection) -> None:
    """A key in another order than its columns, under a collation; without one, equal rows and missing values."""
    connection.execute("CREATE TABLE keyed (b INT, a VARCHAR(9) COLLATE utf8mb4_0900_ai_ci, PRIMARY KEY (a, b))")
    connection.execute("INSERT INTO keyed VALUES (1, 'b'), (0, 'B'), (2, 'a'), (-1, 'É'), (5, 'e'), (5, 'F')")
    assert both(ways, connection, "keyed").arrow["b"].to_pylist() == [2, 0, 1, -1, 5, 5]
    assert both(ways, connection, "keyed", order_by=["a", "b"]).arrow["b"].to_pylist() == [2, 0, 1, -1, 5, 5]
    ways.assert_native()
    connection.execute("CREATE TABLE loose (a INT, b TEXT)")
    connection.execute("INSERT INTO loose VALUES (2, 'x'), (NULL, 'y'), (1, NULL), (1, 'é'), (1, 'Z'), (2, 'x')")
    expected = [(1, "Z"), (1, "é"), (1, None), (2, "x"), (2, "x"), (None, "y")]
    found = both(ways, connection, "loose").arrow
    assert list(zip(found["a"].to_pylist(), found["b"].to_pylist(), strict=True)) == expected
    both(ways, connection, "loose", order_by=[])
    ways.assert_native()


def test_columns_that_are_asked_for(ways: Ways, connection: Connection) -> None:
    """Some columns, in any order, of a table that has not many more."""
    connection.execute("CREATE TABLE t (a INT PRIMARY KEY, b TINYINT(1), c VARCHAR(9), d DECIMAL(5, 1))")
    connection.execute("INSERT INTO t VALUES (2, 1, 'x', 1.5), (1, 0, NULL, NULL)")
    found = both(ways, connection, "t", columns=["d", "a"])
    ways.assert_native()
    assert found.arrow.to_pydict() == {"d": [None, Decimal("1.5")], "a": [1, 2]}


@pytest.mark.parametrize(
    ("columns", "asked", "why"),
    [
        ("", {"limit": 1}, "1 rows"),
        (", v INT", {"order_by": ["v"]}, "sorted by v"),
        (", v LONGTEXT", {"columns": ["id"]}, "'v' is not asked"),
        (", " + ", ".join(f"c{n} INT" for n in range(7)), {"columns": ["id"]}, "1 of 8"),
        (", v ENUM('a', 'b')", {}, "enum"),
        (", v INT AS (id + 1) STORED, w INT AS (id + 1)", {}, "computed"),
    ],
)
def test_what_goes_by_sql_says_why(
    ways: Ways, connection: Connection, columns: str, asked: dict[str, object], why: str
) -> None:
    """The log names the reason, and the rows are there."""
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY{columns})")
    connection.execute("INSERT INTO t (id) VALUES (1), (2)")
    found = both(ways, connection, "t", **asked)
    (said,) = ways.went
    assert "by SQL" in said
    assert why in said
    assert found.arrow["id"].to_pylist() == [1, 2][: asked.get("limit", 2)]  # type: ignore[misc]


def test_views_and_years_that_sql_alone_knows(ways: Ways, connection: Connection) -> None:
    """A view has no rows of its own; a year before 1000 is an error that names the value, either way."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME)")
    connection.execute("INSERT INTO t VALUES (1, '0999-01-01')")
    connection.execute("CREATE VIEW seen AS SELECT id FROM t")
    both(ways, connection, "seen")
    with pytest.raises(Exception, match=r"'at'.*999-01-01.*row 0"):
        reading.read(connection, "t")
    assert ["by SQL" in said for said in ways.went] == [True, True]
    connection.execute("DROP VIEW seen")


def test_parts_are_as_by_sql(ways: Ways, connection: Connection) -> None:
    """So many rows to each, and a part also of no rows; a number that is no boolean makes all parts numbers."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, b TINYINT(1), d DECIMAL(4, 1))")
    for rows in (0, 4, 5):
        values = ", ".join(f"({n}, {2 if n == 4 else 1}, {n})" for n in range(rows))
        if rows:
            connection.execute(f"REPLACE INTO t VALUES {values}")
        found = {}
        for way in (ways.by_sql, ways.natively):
            way()
            with reading.stream(connection, "t", batch_rows=2) as parts:
                found[way] = [part.arrow for part in parts]
        ways.assert_native()
        first, second = found.values()
        assert [part.to_pydict() for part in first if len(part) or not rows] == [part.to_pydict() for part in second]
        assert {str(part.schema) for part in first} == {str(part.schema) for part in second}
        assert files(connection) == []


def test_rows_of_no_key_in_parts_are_sorted_by_the_server(ways: Ways, connection: Connection) -> None:
    """Nobody has to hold them all here."""
    connection.execute("CREATE TABLE t (a INT)")
    connection.execute("INSERT INTO t VALUES (3), (1), (2)")
    with reading.stream(connection, "t", batch_rows=2) as parts:
        assert [part.arrow["a"].to_pylist() for part in parts] == [[1, 2], [3]]
    assert "sorted by" in ways.went[0]


QUERIES = [
    *(f"SELECT id, {name} FROM every ORDER BY id" for name in NAMES.values()),
    *(f"SELECT MAX({name}), COUNT({name}) FROM every" for name in NAMES.values()),
    "SELECT * FROM every WHERE id < 3",
    "SELECT * FROM every WHERE FALSE",
    "SELECT SUM(id), AVG(id), SUM(id) * 0.5, COUNT(*), 1.50, 1e0, TRUE, NULL FROM every",
    "SELECT id AS a, id AS a, 'x' FROM every ORDER BY id DESC LIMIT 2",
    "SELECT a.id, b.id FROM every a LEFT JOIN every b ON a.id = b.id + 2 ORDER BY a.id",
    "SELECT id FROM every UNION ALL SELECT 0.5",
    "WITH w AS (SELECT id FROM every) SELECT * FROM w ORDER BY id -- all",
    "SHOW TABLES",
    "DESCRIBE every",
    "EXPLAIN SELECT * FROM every",
]


def test_queries_come_as_by_sql(ways: Ways, connection: Connection) -> None:
    """Columns of each type, alone and in expressions; what SQL alone can say goes by SQL."""
    every_type(connection, " PRIMARY KEY")
    native_ones = 0
    for sql in QUERIES:
        ways.by_sql()
        expected = reading.query(connection, sql)
        ways.natively()
        found = reading.query(connection, sql)
        assert found.arrow.schema.equals(expected.arrow.schema), sql
        assert found.arrow.to_pylist() == expected.arrow.to_pylist() or found.arrow.equals(expected.arrow), sql
        native_ones += ways.went[0].endswith("natively.")
    assert native_ones > 2 * len(NAMES)
    assert files(connection) == []


@pytest.mark.parametrize("spans", [False, True])
def test_differences_come_as_by_sql(ways: Ways, connection: Connection, spans: bool) -> None:
    """Both sides of each changed row, in every type, and parts of them."""
    every_type(connection, " PRIMARY KEY")
    if not spans:
        for name in (NAMES["TIME"], NAMES["TIME(6)"]):
            connection.execute(f"UPDATE every SET {name} = '23:59:59.999999'")
    connection.query("CALL DOLT_COMMIT('-Am', 'one')")
    for name in NAMES.values():
        connection.execute(f"UPDATE every SET {name} = NULL WHERE id = 0")
    connection.execute("DELETE FROM every WHERE id = 1")
    connection.query("CALL DOLT_COMMIT('-Am', 'two')")
    existing = reading.describe(connection, "every")
    assert existing is not None
    columns = {f"{side}_{name}": kind for side in ("to", "from") for name, kind in existing.sql_types.items()}
    for where in ("TRUE", "diff_type = 'removed'", "diff_type = 'added'"):
        found = []
        for choose in (ways.by_sql, ways.natively):
            choose()
            found.append(reading.select(connection, "DOLT_DIFF('HEAD~1', 'HEAD', 'every')", columns, where=where))
        ways.assert_native()
        assert found[1].equals(found[0])
        assert found[1].schema.equals(found[0].schema, check_metadata=True)
    assert files(connection) == []


def test_a_wrong_query_is_refused_in_the_words_of_sql(ways: Ways, connection: Connection) -> None:
    """What is wrong is said by SQL, also where it is found in the middle of the rows."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    for sql in ("SELECT nothing FROM t", "SELECT * FROM missing", "SELECT FROM", "SELECT 1; SELECT 2"):
        said = []
        for way in (ways.by_sql, ways.natively):
            way()
            with pytest.raises(DoltError) as error:
                reading.query(connection, sql)
            said.append((type(error.value), str(error.value)))
        assert said[0] == said[1]


def test_it_is_the_state_that_is_meant(ways: Ways, connection: Connection) -> None:
    """A commit, a branch, and what is not committed; a transaction that is open is seen neither way."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    ((first,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
    connection.query("CALL dolt_branch('other')")
    with connection.at("other"):
        connection.execute("INSERT INTO t VALUES (2)")
        assert both(ways, connection, "t").arrow["id"].to_pylist() == [1, 2]
    with connection.at(first):
        assert both(ways, connection, "t").arrow["id"].to_pylist() == [1]
    connection.execute("START TRANSACTION")
    connection.execute("INSERT INTO t VALUES (4)")
    assert both(ways, connection, "t").arrow["id"].to_pylist() == [1]
    connection.execute("ROLLBACK")
    ways.assert_native()
    connection.query("CALL dolt_branch('-D', 'other')")


def test_a_branch_that_is_gone_stands_in_nobodys_way(ways: Ways, connection: Connection) -> None:
    """It can be deleted after it was read, and what is read next is read natively."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    for _ in range(2):
        connection.query("CALL dolt_branch('other')")
        with connection.at("other"):
            reading.read(connection, "t")
        connection.query("CALL dolt_branch('-D', 'other')")
        reading.read(connection, "t")
    ways.assert_native(times=4)


def test_names_that_sound_like_errors(ways: Ways, connection: Connection) -> None:
    """The server's reason for SQL is one, whatever words of the user's are in it."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, `access denied, connection refused` ENUM('a'))")
    both(ways, connection, "t")
    assert "enum" in ways.went[0]
    with pytest.raises(DoltError, match="nothing"):
        reading.query(connection, "SELECT nothing, `access denied, connection refused` FROM t")
    assert reading.query(connection, "SELECT `access denied, connection refused` FROM t").arrow.num_rows == 0


def test_a_read_within_that_of_a_query(ways: Ways, connection: Connection) -> None:
    """The session of those who may only read reads natively itself."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    with connection.read_only_session() as session:
        assert both(ways, session, "t").arrow.num_rows == 0
    ways.assert_native()


def test_a_session_that_was_cut_is_made_anew(ways: Ways, connection: Connection) -> None:
    """Rows come by SQL when the session for files was ended by somebody, and natively the next time."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    reading.read(connection, "t")
    with connection.read_only_session() as session:
        connection.execute(f"KILL {session.number}")
    assert reading.read(connection, "t").arrow["id"].to_pylist() == [1]
    assert reading.read(connection, "t").arrow["id"].to_pylist() == [1]
    assert [said.endswith("natively.") for said in ways.went] == [True, False, False, True]


@pytest.mark.parametrize("error", [rows_file.DamagedFile("cut"), OSError("gone")])
def test_a_file_that_cannot_be_read_is_no_reason_not_to_read(
    ways: Ways, connection: Connection, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The rows come by SQL, a warning says what was wrong, and the file is gone."""

    def fail(path: Path) -> pa.Table:
        assert path.exists()
        raise error

    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    monkeypatch.setattr(rows_file, "read", fail)
    assert reading.read(connection, "t").arrow.num_rows == 0
    assert str(error) in ways.went[0]
    assert files(connection) == []


@pytest.mark.usefixtures("ways")
def test_an_interrupted_read_leaves_no_file(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a file is read ends the read, and the file is gone."""

    def interrupt(path: Path) -> pa.Table:
        assert path.exists()
        raise KeyboardInterrupt

    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    monkeypatch.setattr(rows_file, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reading.read(connection, "t")
    assert files(connection) == []


def test_frames_outlive_the_server(ways: Ways, config: Config, repo: Path) -> None:
    """What was read stays as it was when its file and the server's folder are gone."""
    from letting_go import let_go

    frame = pd.DataFrame({"k": range(1000), "t": [f"row {n}" for n in range(1000)]})
    table = write(config("t", primary_key=["k"]), frame)
    ways.natively()
    arrow, back = frames.load(pinned(table)).to_arrow(), read(table.config)
    ways.assert_native(times=2)
    let_go(repo)
    back.loc[0, "t"] = "changed"
    assert arrow.to_pandas()["t"].tolist() == frame["t"].tolist()
    assert back["t"].tolist()[1:] == frame["t"].tolist()[1:]


def test_a_server_of_the_users_own_goes_by_sql(
    ways: Ways, config: Config, tmp_path: Path, dolt: Callable[..., str]
) -> None:
    """Whatever its program: it shares no folder with us, and nothing is granted on it."""
    own = tmp_path / "own"
    own.mkdir()
    dolt("init", "--name", "a", "--email", "a@b.c", cwd=own)
    dolt("sql", "-q", "create table t (id int primary key); insert into t values (1)", cwd=own)
    dolt("sql", "-q", "call dolt_commit('-Am', 'one')", cwd=own)
    with users_server(own):
        assert read(DoltConfig(str(own), "t"))["id"].tolist() == [1]
    assert ["by SQL" in said for said in ways.went] == [True]


def test_doctor_says_which_way_rows_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Natively with a program that has the procedures; by SQL with another one, or where that is wanted."""
    monkeypatch.delenv(procedures.SWITCH, raising=False)
    assert any("natively" in found for found in doctor.examine().findings)
    monkeypatch.setenv(procedures.SWITCH, "0")
    assert any("by SQL" in found and procedures.SWITCH in found for found in doctor.examine().findings)
    monkeypatch.delenv(procedures.SWITCH)
    other = tmp_path / "dolt"
    other.write_text(f'#!/bin/sh\n[ "$1" = sql ] && exit 1\nexec "{binary.find()}" "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("DOLT_BIN", str(other))
    assert any("by SQL" in found and "procedures" in found for found in doctor.examine().findings)
