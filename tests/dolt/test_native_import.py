"""Rows that the server takes from a file: what is stored is byte for byte what the same rows are by SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from factor import FACTOR
from hypothesis import HealthCheck, given, settings
from letting_go import is_sound
from rows_files import folder_of, written
from waiting import eventually

from flytekitplugins.dolt.errors import DoltError, HeadMoved
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.tables import load_data
from flytekitplugins.doltdb.redaction import Password

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True
MODES = ["replace", "append", "upsert", "delete"]


def import_(
    connection: Connection, rows: pa.Table, mode: str, table: str = "t", types: dict[str, str] | None = None
) -> int:
    """Import ``rows`` by way of a file, of which nothing stays, and return what is answered."""
    path = written(folder_of(connection) / "import.rows", rows, types=types, batch_rows=1000)
    try:
        ((answer,),) = connection.query("CALL flyte_import(%s, %s, %s)", table, str(path), mode)
        return answer
    finally:
        path.unlink()


def by_sql(connection: Connection, rows: pa.Table, mode: str) -> None:
    """Do with SQL what an import is to do to the table ``t``."""
    if mode == "replace":
        connection.execute("DELETE FROM t")
    if mode == "delete":
        same = " AND ".join(f"{name} = %s" for name in rows.column_names)
        for row in rows.to_pylist():
            connection.execute(f"DELETE FROM t WHERE {same}", *row.values())
        return
    for statement in load_data.insert_statements("t", rows, replacing=mode == "upsert"):
        connection.execute(statement)


def hashes(connection: Connection) -> tuple[Any, ...]:
    """Return the hashes of the table ``t`` and of the whole working set."""
    return connection.query("SELECT DOLT_HASHOF_TABLE('t'), DOLT_HASHOF_DB('WORKING')")[0]


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Take back what the block changes."""
    connection.execute("START TRANSACTION")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def assert_same(connection: Connection, rows: pa.Table, mode: str, *, types: dict[str, str] | None = None) -> None:
    """Find that an import stores what SQL does, whatever the order in which rows come."""
    before = hashes(connection)
    with undone(connection):
        by_sql(connection, rows, mode)
        expected = hashes(connection)
        values = connection.query("SELECT * FROM t")
    with undone(connection):
        found = import_(connection, rows, mode, types=types)
        assert hashes(connection) == expected
        assert connection.query("SELECT * FROM t") == values
        assert found == rows.num_rows
    assert hashes(connection) == before


def assert_refused(connection: Connection, rows: pa.Table, mode: str, why: str, **named: Any) -> None:
    """Find that an import is left to SQL for a reason, and that it changes nothing."""
    before, content = hashes(connection), connection.query("SELECT * FROM t")
    with pytest.raises(DoltError, match=f"flyte: use SQL: .*{why}"):
        import_(connection, rows, mode, **named)
    assert hashes(connection) == before
    assert connection.query("SELECT * FROM t") == content


def integers(bits: int, *, signed: bool) -> list[int]:
    """Return the limits of a type and what lies around zero."""
    return [-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1] if signed else [0, 1, 2 ** (bits - 1), 2**bits - 1]


US = pa.timestamp("us")
D = Decimal
KINDS: list[tuple[str, pa.DataType, Sequence[object]]] = [
    ("TINYINT(1)", pa.bool_(), [True, False]),
    ("TINYINT(1)", pa.int8(), [0, 1, -128, 127]),
    ("TINYINT", pa.int8(), integers(8, signed=True)),
    ("TINYINT UNSIGNED", pa.uint8(), integers(8, signed=False)),
    ("SMALLINT", pa.int16(), integers(16, signed=True)),
    ("SMALLINT UNSIGNED", pa.uint16(), integers(16, signed=False)),
    ("MEDIUMINT", pa.int32(), integers(24, signed=True)),
    ("MEDIUMINT UNSIGNED", pa.uint32(), integers(24, signed=False)),
    ("INT", pa.int32(), integers(32, signed=True)),
    ("INT UNSIGNED", pa.uint32(), integers(32, signed=False)),
    ("BIGINT", pa.int64(), integers(64, signed=True)),
    ("BIGINT UNSIGNED", pa.uint64(), integers(64, signed=False)),
    ("INT", pa.int64(), integers(32, signed=True)),
    ("TINYINT UNSIGNED", pa.int64(), integers(8, signed=False)),
    ("SMALLINT UNSIGNED", pa.bool_(), [True, False]),
    ("BIGINT", pa.uint8(), integers(8, signed=False)),
    ("FLOAT", pa.float32(), [0.1, 0.0, -0.0, 3.4028233e38, 1.4e-45, 16777216.0, -1e-7]),
    ("DOUBLE", pa.float64(), [0.1, 0.0, -0.0, 1.7976931348623157e308, 5e-324, 1e23, -9007199254740993.0]),
    (
        "DECIMAL(10,2)",
        pa.decimal128(10, 2),
        list(map(D, ["0", "-0.01", "99999999.99", "1.5"])),
    ),
    ("DECIMAL(10,2)", pa.decimal128(5, 2), list(map(D, ["0", "-0.01", "999.99", "1.5"]))),
    ("DECIMAL(38,0)", pa.decimal128(38, 0), [D(n) for n in ("9" * 38, "-" + "9" * 38, 2**64 - 1, 2**64)]),
    ("DECIMAL(38,30)", pa.decimal128(38, 30), [D("1e-30"), D("-99999999." + "9" * 30)]),
    (
        "DECIMAL(65,0)",
        pa.decimal256(65, 0),
        [D(n) for n in ("9" * 65, "-" + "9" * 65, 0, -1, 2**64, 2**128, -(2**192))],
    ),
    ("DECIMAL(65,30)", pa.decimal256(65, 30), [D("1e-30"), D("-" + "9" * 35 + "." + "9" * 30), D(7)]),
    ("DECIMAL(50,2)", pa.decimal256(10, 2), [D("0.01"), D("-99999999.99")]),
    ("DECIMAL(10,2)", pa.decimal256(9, 2), [D("0.01"), D("-9999999.99")]),
    ("DECIMAL(65,2)", pa.decimal128(38, 2), [D("9" * 36), D("-0.01")]),
    ("CHAR(5)", pa.string(), ["", "a", "é😀", " b", "b  ", "NULL"]),
    ("VARCHAR(300)", pa.string(), ["", "a", " é😀 ", "x" * 300, "😀" * 300, "\0\n\t\\'", "NULL"]),
    ("VARCHAR(9) COLLATE utf8mb4_0900_ai_ci", pa.string(), ["", "a", "A", "é", "É "]),
    ("TEXT", pa.string(), ["", "a", "é😀", "é" * 32767]),
    ("TINYTEXT", pa.string(), ["", "x" * 255]),
    ("LONGTEXT", pa.string(), ["", "a", "long " * 60_000]),
    ("BINARY(4)", pa.binary(), [b"", b"\0\xff\0", b"abcd", b"\0" * 4]),
    ("VARBINARY(40)", pa.binary(), [b"", b"\0\xff\0", b"\xfe" * 40]),
    ("BLOB", pa.binary(), [b"", b"\0\xff\0", b"\xfe" * 65_535]),
    ("LONGBLOB", pa.binary(), [b"", b"\0\xff" * 100_000]),
    ("DATE", pa.date32(), [dt.date(1000, 1, 1), dt.date(1969, 12, 31), dt.date(2024, 2, 29), dt.date(9999, 12, 31)]),
    ("DATETIME", US, [dt.datetime(1000, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(9999, 12, 31, 23)]),
    ("DATETIME(3)", US, [dt.datetime(2024, 2, 29, 1, 2, 3, 456_000), dt.datetime(1969, 12, 31, 23, 59, 59, 999_000)]),
    ("DATETIME(6)", US, [dt.datetime(1000, 1, 1, 0, 0, 0, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)]),
    ("TIMESTAMP", US, [dt.datetime(1970, 1, 1, 0, 0, 1), dt.datetime(2038, 1, 19, 3, 14, 7)]),
    ("TIMESTAMP(6)", US, [dt.datetime(2001, 2, 3, 4, 5, 6, 7), dt.datetime(2024, 7, 1, 2, 3, 4)]),
    ("TIME(6)", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999_999), dt.time(12, 34, 56, 1)]),
    ("TIME", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59), dt.time(1, 2, 3, 700_000)]),
    ("YEAR", pa.int16(), [1901, 2155, 2024]),
    ("ENUM('a','b','é')", pa.string(), ["a", "é", "b"]),
    ("SET('a','b','é')", pa.string(), ["a", "é,a", "b"]),
    ("JSON", pa.string(), ["null", "{}", '{"b": [1, 2.5, null, "é"], "a": {"c": true}}', '"text"', "1e300", "[ 1 ,2]"]),
    ("JSON", pa.string(), ["[" + ",".join(str(n) for n in range(9000)) + "]", '{"k": "' + "v" * 9000 + '"}']),
]


@pytest.mark.parametrize(("kind", "arrow", "values"), KINDS, ids=[f"{kind}-{arrow}" for kind, arrow, _ in KINDS])
def test_a_type_is_stored_as_by_sql(
    connection: Connection, kind: str, arrow: pa.DataType, values: Sequence[object]
) -> None:
    """Limits, empty ones and NULL, in and out of line."""
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY, v {kind})")
    rows = pa.table({"id": pa.array(range(len(values) + 2), pa.int32()), "v": pa.array([*values, None, None], arrow)})
    assert_same(connection, rows, "replace")
    assert_same(connection, rows.filter(rows["v"].is_valid()), "append")


def test_the_zone_and_mode_of_the_session_move_nothing(connection: Connection) -> None:
    """A TIMESTAMP is stored as it is written, in whatever zone a session is."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP, d DATETIME)")
    moments = pa.array([dt.datetime(2001, 2, 3, 4, 5, 6), dt.datetime(2024, 7, 1)], US)
    rows = pa.table({"id": pa.array([1, 2], pa.int32()), "at": moments, "d": moments})
    connection.execute("SET SESSION time_zone = '+05:00', sql_mode = ''")
    try:
        assert_same(connection, rows, "replace")
    finally:
        connection.execute("SET SESSION time_zone = @@GLOBAL.time_zone, sql_mode = @@GLOBAL.sql_mode")


KEYS: list[tuple[str, pa.DataType, Sequence[object]]] = [
    ("INT", pa.int32(), [5, -1, 0, 2**31 - 1, -(2**31)]),
    ("BIGINT UNSIGNED", pa.uint64(), [5, 2**64 - 1, 0]),
    ("VARCHAR(20)", pa.string(), ["b", "B", "a", "", "é", "e"]),
    ("VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", pa.string(), ["b", "C", "a", "É", "f"]),
    ("DECIMAL(5,1)", pa.decimal128(5, 1), [D(d) for d in ("-10", "5", "0.5", "-0.5", "0")]),
    ("DECIMAL(65,1)", pa.decimal256(65, 1), [D("-1e50"), D("5"), D("1e60"), D("-0.5"), D("0")]),
    ("DOUBLE", pa.float64(), [-1.5, 1e9, 0.0, -1e-9]),
    ("DATE", pa.date32(), [dt.date(2024, 1, 2), dt.date(1999, 1, 1)]),
    ("DATETIME(6)", US, [dt.datetime(2024, 1, 2), dt.datetime(1969, 1, 1)]),
    ("TIME(6)", pa.time64("us"), [dt.time(1), dt.time(0, 0, 0, 1)]),
    ("VARBINARY(9)", pa.binary(), [b"\xff", b"\0", b""]),
    ("BINARY(3)", pa.binary(), [b"\xff", b"\0", b"abc"]),
    ("YEAR", pa.int16(), [2024, 1999]),
    ("ENUM('b','a')", pa.string(), ["a", "b"]),
]


@pytest.mark.parametrize(("kind", "arrow", "values"), KEYS, ids=[kind for kind, _, _ in KEYS])
def test_the_order_of_the_key_is_that_of_the_table(
    connection: Connection, kind: str, arrow: pa.DataType, values: Sequence[object]
) -> None:
    """The key may be of any type, in another order than the columns, and the rows come in no order."""
    connection.execute(f"CREATE TABLE t (note TEXT, b INT, a {kind}, PRIMARY KEY (a, b))")
    keys = [(b, value) for b in (7, -1, 0) for value in values]
    rows = pa.table(
        {
            "b": pa.array([b for b, _ in keys], pa.int32()),
            "note": [f"note {b}" for b, _ in keys],
            "a": pa.array([value for _, value in keys], arrow),
        }
    )
    assert_same(connection, rows, "replace")
    by_sql(connection, rows.slice(0, 4), "append")
    assert_same(connection, rows.slice(4), "append")
    assert_same(connection, rows.slice(4, 3), "replace")


INDEXED = """CREATE TABLE t (
    id INT PRIMARY KEY, name VARCHAR(20) COLLATE utf8mb4_0900_ai_ci, n INT, d DOUBLE,
    at DATETIME(6), price DECIMAL(9,2),
    KEY by_name (name, n), UNIQUE KEY once (n), UNIQUE KEY pair (at, price), KEY by_d (d)
)"""
SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("name", pa.string()),
        ("n", pa.int32()),
        ("d", pa.float64()),
        ("at", US),
        ("price", pa.decimal128(9, 2)),
    ]
)


def indexed_rows(ids: Sequence[int], *, shift: int = 0) -> pa.Table:
    """Return rows with NULLs in indexed columns, of which ``n`` is unique."""

    def of(i: int) -> dict[str, object]:
        return {
            "id": i,
            "name": None if i % 5 == 0 else f"Name {(i + shift) % 7}",
            "n": None if i % 3 == 0 else i + shift,
            "d": (i + shift) / 8,
            "at": dt.datetime(2024, 1, 1) + dt.timedelta(hours=i % 50),
            "price": None if i % 4 == 0 else D(i) / 4,
        }

    return pa.Table.from_pylist([of(i) for i in ids], schema=SCHEMA)


@pytest.mark.parametrize("mode", MODES[:3])
def test_indexes_are_built_as_by_sql(connection: Connection, mode: str) -> None:
    """Also of a unique one the rows with NULL; into an empty table and into one with rows."""
    connection.execute(INDEXED)
    assert_same(connection, indexed_rows(range(3000)), mode)
    by_sql(connection, indexed_rows([*range(200), *range(5000, 5300)]), "append")
    ids = range(300, 2000) if mode == "append" else [*range(100, 150), 5299, *range(9000, 9100), 5001]
    assert_same(connection, indexed_rows(ids), mode)


def test_rows_that_are_put_by_key_move_in_the_indexes(connection: Connection) -> None:
    """Values that are new, gone, equal for a collation only, or taken over from another row."""
    connection.execute(INDEXED)
    by_sql(connection, indexed_rows(range(2000)), "append")
    assert_same(connection, indexed_rows(range(0, 2000, 10), shift=100_000), "upsert")
    rows = indexed_rows([1, 2, 4, 7]).to_pylist()
    for row in rows:
        row["name"] = None if row["name"] is None else str(row["name"]).upper()
        row["d"] = -0.0
    rows[0]["n"], rows[1]["n"] = None, 77_777
    assert_same(connection, pa.Table.from_pylist(rows, schema=SCHEMA), "upsert")


def test_rows_are_deleted_by_key(connection: Connection) -> None:
    """The answer is how many there were; keys that no row has are passed over."""
    connection.execute(INDEXED)
    by_sql(connection, indexed_rows(range(2000)), "append")
    keys = pa.table({"id": pa.array([1999, 5, 6, 7, 1000], pa.int32())})
    assert_same(connection, keys, "delete")
    with undone(connection):
        more = pa.table({"id": pa.array([*range(-10, 1990), 10_000], pa.int32())})
        assert import_(connection, more, "delete") == 1990
        assert connection.query("SELECT COUNT(*), MIN(id) FROM t") == [(10, 1990)]
        assert import_(connection, more, "delete") == 0
        assert import_(connection, pa.table({"id": pa.array(range(2000), pa.int32())}), "delete") == 10
        assert import_(connection, keys, "delete") == 0
        empty = hashes(connection)
    with undone(connection):
        connection.execute("DELETE FROM t")
        assert hashes(connection) == empty


def test_a_unique_index_that_was_added_later(connection: Connection) -> None:
    """Dolt leaves rows with NULL out of such an index; what changes in it is what changes by SQL."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, n INT, v INT)")
    rows = pa.table({name: pa.array([1, 2, 3, 4, 5], pa.int32()) for name in ("id", "n", "v")})
    rows = rows.set_column(1, "n", pa.array([1, None, None, 4, None], pa.int32()))
    by_sql(connection, rows.slice(0, 4), "append")
    connection.execute("ALTER TABLE t ADD UNIQUE KEY (n)")
    connection.execute("ALTER TABLE t ADD KEY (v)")
    assert_same(connection, rows.slice(4), "append")
    assert_same(connection, rows, "upsert")
    assert_same(connection, rows.set_column(1, "n", rows["v"]), "upsert")
    assert_same(connection, rows.select(["id"]).slice(0, 3), "delete")
    assert_same(connection, rows, "replace")


@pytest.mark.parametrize("mode", MODES)
def test_no_rows(connection: Connection, mode: str) -> None:
    """A file without rows is one."""
    connection.execute(INDEXED)
    none = indexed_rows([]).select(["id"] if mode == "delete" else SCHEMA.names)
    assert_same(connection, none, mode)
    by_sql(connection, indexed_rows(range(10)), "append")
    assert_same(connection, none, mode)


def test_tables_are_found_as_sql_finds_them(connection: Connection) -> None:
    """Without regard to case, on the session's branch, beside other statements of its transaction."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    connection.query("CALL dolt_branch('other')")
    rows = pa.table({"id": pa.array([3, 1, 2], pa.int32())})
    with connection.at("other"):
        assert import_(connection, rows, "replace", table="T") == 3
        connection.query("CALL dolt_commit('-Am', 'two')")
    assert connection.query("SELECT * FROM t") == []
    assert connection.query("SELECT * FROM t AS OF 'other'") == [(1,), (2,), (3,)]
    with undone(connection):
        connection.execute("INSERT INTO t VALUES (7)")
        import_(connection, rows, "append")
        connection.execute("DELETE FROM t WHERE id = 2")
        assert connection.query("SELECT * FROM t") == [(1,), (3,), (7,)]
    assert connection.query("SELECT * FROM t") == []
    connection.query("CALL dolt_branch('-D', 'other')")


KEYED = "CREATE TABLE t (id INT PRIMARY KEY, v {})"
SAME_KEYS = [
    ("INT", pa.int32(), [1, 2, 1]),
    ("VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", pa.string(), ["b", "É", "e"]),
    ("VARCHAR(20) COLLATE utf8mb4_general_ci", pa.string(), ["x", "X"]),
    ("DOUBLE", pa.float64(), [0.0, 1.0, -0.0]),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "arrow", "keys"), SAME_KEYS)
def test_a_key_that_is_there_twice_is_left_to_sql(
    connection: Connection, mode: str, kind: str, arrow: pa.DataType, keys: Sequence[object]
) -> None:
    """By the collation of the key, whether the rows are in its order or not."""
    connection.execute(f"CREATE TABLE t (id {kind} PRIMARY KEY)")
    rows = pa.table({"id": pa.array(keys, arrow)})
    assert_refused(connection, rows, mode, "twice")
    connection.execute("INSERT INTO t VALUES ('7')")
    assert_refused(connection, rows, mode, "twice")


@pytest.mark.parametrize(("kind", "arrow", "keys"), SAME_KEYS[1:])
def test_a_key_that_is_written_in_another_way(
    connection: Connection, kind: str, arrow: pa.DataType, keys: Sequence[object]
) -> None:
    """Which of two equal keys stays is for SQL to say; to delete it, either does."""
    connection.execute(f"CREATE TABLE t (id {kind} PRIMARY KEY, v {kind}, UNIQUE KEY (v))")
    one, other = (pa.table({name: pa.array([key], arrow) for name in ("id", "v")}) for key in keys[-2:])
    if isinstance(keys[0], float):
        one = pa.table({name: pa.array([0.0]) for name in ("id", "v")})
    by_sql(connection, one, "append")
    assert_refused(connection, other, "append", "key of another")
    assert_refused(connection, other, "upsert", "another way")
    assert_same(connection, one, "upsert")
    assert_same(connection, other, "replace")
    if not isinstance(keys[0], float):
        assert_same(connection, other.select(["id"]), "delete")


def test_rows_that_are_added_have_new_keys(connection: Connection) -> None:
    """One that the table has is left to SQL, which names it."""
    connection.execute(KEYED.format("INT"))
    by_sql(connection, pa.table({"id": [1, 2, 3], "v": [1, 2, 3]}), "append")
    rows = pa.table({"id": pa.array([9, 2], pa.int32()), "v": pa.array([9, 2], pa.int32())})
    assert_refused(connection, rows, "append", "key of another")
    assert_refused(connection, pa.table({"id": rows["id"].slice(1), "v": rows["v"].slice(1)}), "append", "another")


@pytest.mark.parametrize("mode", MODES[:3])
def test_unique_indexes(connection: Connection, mode: str) -> None:
    """A value that is there twice is left to SQL, in the file or beside what the table has; NULL is no value."""
    connection.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_0900_ai_ci, b INT, UNIQUE (a, b))"
    )

    def rows(*values: tuple[int, str | None, int | None]) -> pa.Table:
        ids, a, b = zip(*values, strict=True)
        return pa.table({"id": pa.array(ids, pa.int32()), "a": pa.array(a, pa.string()), "b": pa.array(b, pa.int32())})

    assert_refused(connection, rows((1, "é", 1), (2, "x", 1), (3, "E", 1)), mode, "unique")
    assert_same(connection, rows((1, "é", 1), (2, None, 1), (3, None, 1), (4, "e", None), (5, "e", None)), mode)
    by_sql(connection, rows((1, "a", 1), (2, "b", 1), (3, "c", 3)), "append")
    new = rows((7, "x", 1), (8, "x", 2), (9, "B", 1))
    if mode == "replace":
        assert_same(connection, new, mode)
    else:
        assert_refused(connection, new, mode, "unique")
        assert_refused(connection, new.slice(2), mode, "unique")
        assert_same(connection, new.slice(0, 2), mode)
    if mode == "upsert":
        assert_refused(connection, rows((2, "A", 1)), mode, "unique")
        with undone(connection):  # values that change places, which SQL does one row after the other
            import_(connection, rows((1, "b", 1), (2, "a", 1)), mode)
            found = hashes(connection)
        with undone(connection):
            connection.execute("DELETE FROM t WHERE id < 3")
            by_sql(connection, rows((1, "b", 1), (2, "a", 1)), "append")
            assert hashes(connection) == found


WRONG: list[tuple[str, pa.DataType, object, str]] = [
    ("INT NOT NULL", pa.int32(), None, "NULL"),
    ("TINYINT", pa.int32(), 128, "out of range"),
    ("TINYINT", pa.int8(), None, ""),
    ("TINYINT UNSIGNED", pa.int8(), -1, "out of range"),
    ("INT UNSIGNED", pa.int64(), 2**32, "out of range"),
    ("BIGINT", pa.uint64(), 2**63, "out of range"),
    ("MEDIUMINT", pa.int32(), 2**23, "out of range"),
    ("MEDIUMINT", pa.int64(), -(2**23) - 1, "out of range"),
    ("MEDIUMINT UNSIGNED", pa.uint32(), 2**24, "out of range"),
    ("FLOAT", pa.float32(), float("inf"), "value"),
    ("FLOAT", pa.float32(), 3.4028234663852886e38, "value"),
    ("DOUBLE", pa.float64(), float("nan"), "value"),
    ("DOUBLE", pa.float64(), float("-inf"), "value"),
    ("DOUBLE", pa.float32(), 0.5, "double"),
    ("FLOAT", pa.float64(), 0.5, "float"),
    ("INT", pa.float64(), 1.0, "int"),
    ("DECIMAL(5,2)", pa.decimal128(6, 2), D("1"), "decimal"),
    ("DECIMAL(5,2)", pa.decimal128(5, 1), D("1"), "decimal"),
    ("DECIMAL(60,2)", pa.int32(), 1, "decimal"),
    ("DECIMAL(60,2)", pa.decimal256(61, 2), D("1"), "decimal"),
    ("DECIMAL(60,2)", pa.decimal256(60, 3), D("1"), "decimal"),
    ("VARCHAR(3)", pa.string(), "abcd", "too long"),
    ("CHAR(3)", pa.string(), "éééé", "too long"),
    ("TINYTEXT", pa.string(), "é" * 128, "too long"),
    ("VARBINARY(3)", pa.binary(), b"abcd", "too long"),
    ("BINARY(3)", pa.binary(), b"abcd", "too long"),
    ("TINYBLOB", pa.binary(), b"x" * 256, "too long"),
    ("VARCHAR(9) CHARACTER SET latin1", pa.string(), "a", "latin1"),
    ("TEXT", pa.binary(), b"abc", "text"),
    ("DATE", pa.date32(), -719_163, "out of range"),
    ("DATE", pa.date32(), 2_932_897, "out of range"),
    ("DATETIME(6)", US, -(10**17), "value"),
    ("TIME(6)", pa.duration("us"), 838 * 3600 * 10**6 + 3599 * 10**6 + 1, "value"),
    ("DATE", US, dt.datetime(2024, 1, 1), "date"),
    ("DATETIME", US, dt.datetime(2024, 1, 1, 0, 0, 0, 150_000), "value"),
    ("DATETIME(3)", US, dt.datetime(2024, 1, 1, 0, 0, 0, 1), "value"),
    ("TIMESTAMP", US, dt.datetime(1970, 1, 1), "value"),
    ("TIMESTAMP", US, dt.datetime(2038, 1, 19, 3, 14, 8), "value"),
    ("YEAR", pa.int16(), 0, "year"),
    ("YEAR", pa.int16(), 99, "year"),
    ("ENUM('a')", pa.string(), "c", "text"),
    ("ENUM('a')", pa.string(), "", "text"),
    ("SET('a')", pa.string(), "a,c", "text"),
    ("JSON", pa.string(), "{", "text"),
    ("BIT(3)", pa.uint64(), 1, "bit"),
    ("POINT", pa.binary(), b"", "point"),
]


@pytest.mark.parametrize(("kind", "arrow", "value", "why"), WRONG)
def test_values_that_sql_refuses_or_changes(
    connection: Connection, kind: str, arrow: pa.DataType, value: object, why: str
) -> None:
    """Each is left to SQL, also behind good rows, and nothing has changed."""
    connection.execute(KEYED.format(kind))
    rows = pa.table({"id": pa.array([0, 1], pa.int32()), "v": pa.array([value, value], arrow)})
    if why:
        assert_refused(connection, rows, "replace", f"v.*{why}")
    else:
        assert_same(connection, rows, "replace")


def test_text_that_is_none(connection: Connection) -> None:
    """Bytes that are no UTF-8, those that are it only together with the next value's, and too many for a row."""
    connection.execute(KEYED.format("VARCHAR(16000)"))
    long = pa.table({"id": pa.array([1], pa.int32()), "v": ["😀" * 16_000]})
    assert_refused(connection, long, "replace", "row has 64001 bytes")
    for parts in ([b"\xff", b"a"], [b"\xc3", b"\xa9"]):
        text = pa.array(parts, pa.binary()).view(pa.string())
        assert_refused(connection, pa.table({"id": pa.array([1, 2], pa.int32()), "v": text}), "replace", "v.*UTF-8")


TABLES = {
    "unique.*primary key": "CREATE TABLE t (id INT, v INT UNIQUE)",
    "CHECK": "CREATE TABLE t (id INT PRIMARY KEY, v INT, CHECK (v > 0))",
    "AUTO_INCREMENT": "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
    "generated": "CREATE TABLE t (id INT PRIMARY KEY, v INT AS (id + 1))",
    "v.*generated": "CREATE TABLE t (id INT PRIMARY KEY, v INT AS (id + 1) STORED)",
    "ON UPDATE": "CREATE TABLE t (id INT PRIMARY KEY, v TIMESTAMP DEFAULT NOW() ON UPDATE NOW())",
    "columns": "CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT DEFAULT 7)",
    "no column.*V": "CREATE TABLE t (id INT PRIMARY KEY, V INT)",
    "index.*part": "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), KEY part (v(3)))",
    "index.*words": "CREATE TABLE t (id INT PRIMARY KEY, v TEXT, FULLTEXT KEY words (v))",
    "foreign": "CREATE TABLE t (id INT PRIMARY KEY, v INT, FOREIGN KEY (v) REFERENCES t (id))",
}


@pytest.mark.parametrize("why", TABLES)
def test_tables_for_which_the_engine_works(connection: Connection, why: str) -> None:
    """What is more to do than to store rows and indexes is left to SQL."""
    connection.execute(TABLES[why])
    assert_refused(
        connection, pa.table({"id": pa.array([1], pa.int32()), "v": pa.array([1], pa.int32())}), "append", why
    )


def test_rules_of_others(connection: Connection) -> None:
    """A table to which another refers, and one in a database with triggers."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    rows = pa.table({"id": pa.array([1], pa.int32())})
    connection.execute("CREATE TABLE child (id INT PRIMARY KEY REFERENCES t (id), FOREIGN KEY (id) REFERENCES t (id))")
    assert_refused(connection, rows, "replace", "foreign keys")
    connection.execute("DROP TABLE child")
    connection.execute("CREATE TRIGGER early BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1")
    assert_refused(connection, rows, "replace", "triggers")
    connection.execute("DROP TRIGGER early")
    assert_same(connection, rows, "replace")


def test_only_stored_tables_that_can_be_written(connection: Connection) -> None:
    """A view, a system table, one of this session alone, one at a commit, and none at all are SQL's."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    ((head,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
    connection.execute("CREATE VIEW seen AS SELECT 1 AS id")
    connection.execute("CREATE TEMPORARY TABLE passing (id INT PRIMARY KEY)")
    rows = pa.table({"id": pa.array([1], pa.int32())})
    for name in ("seen", "passing", "dolt_log", "dolt_ignore", "missing", ""):
        assert_refused(connection, rows, "replace", "", table=name)
    assert_refused(connection, rows, "merge", "merge")
    with connection.at(str(head)), pytest.raises(DoltError):
        import_(connection, rows, "replace")
    connection.execute("DROP TEMPORARY TABLE passing")
    connection.execute("DROP VIEW seen")


def numbers(*of: tuple[int, int]) -> pa.Table:
    """Return rows of an ``id`` and a ``v``."""
    return pa.Table.from_pylist(
        [{"id": key, "v": value} for key, value in of], schema=pa.schema([("id", pa.int32()), ("v", pa.int32())])
    )


@pytest.mark.parametrize("changed", [2, 1])
def test_sessions_beside_each_other(connection: Connection, changed: int) -> None:
    """Rows of two transactions meet as they do by SQL: other rows are both kept, the same row is refused."""
    connection.execute(KEYED.format("INT"))
    by_sql(connection, numbers((1, 1), (2, 2)), "append")
    with closing(Connection(connections._open(connection.endpoint), connection.endpoint, connection.database)) as other:
        other.execute("START TRANSACTION")
        other.query("SELECT * FROM t")
        import_(connection, numbers((1, 10), (3, 30)), "upsert")
        import_with(other, connection, numbers((changed, 20), (4, 40)), "upsert")
        if changed == 1:
            with pytest.raises(HeadMoved):
                other.execute("COMMIT")
            other.execute("ROLLBACK")
            assert connection.query("SELECT * FROM t") == [(1, 10), (2, 2), (3, 30)]
        else:
            other.execute("COMMIT")
            assert connection.query("SELECT * FROM t") == [(1, 10), (2, 20), (3, 30), (4, 40)]


def test_files_that_are_damaged_or_outside(connection: Connection, tmp_path: Path) -> None:
    """A file that was cut off anywhere, one outside of the folder or behind a link, and none, change nothing."""
    connection.execute(KEYED.format("VARCHAR(9)"))
    rows = pa.table({"id": pa.array(range(50), pa.int32()), "v": [f"v {i}" for i in range(50)]})
    by_sql(connection, rows.slice(9), "append")
    before = hashes(connection)
    folder = folder_of(connection)
    whole = written(tmp_path / "whole", rows, batch_rows=20).read_bytes()
    (folder / "link").symlink_to(tmp_path / "whole")
    (folder / "cut").touch()
    try:
        for length in (0, 7, 70, 200, len(whole) // 2, len(whole) - 1):
            (folder / "cut").write_bytes(whole[:length])
            with pytest.raises(DoltError, match="flyte: the rows file"):
                connection.query("CALL flyte_import('t', %s, 'replace')", str(folder / "cut"))
        (folder / "cut").write_bytes(whole + b"\0")
        for path in (folder / "cut", folder / "link", folder / "none", tmp_path / "whole", folder, ""):
            with pytest.raises(DoltError):
                connection.query("CALL flyte_import('t', %s, 'replace')", str(path))
        assert hashes(connection) == before
        (folder / "cut").write_bytes(whole)
        assert connection.query("CALL flyte_import('t', %s, 'replace')", str(folder / "cut")) == [(50,)]
    finally:
        (folder / "link").unlink()
        (folder / "cut").unlink()


def as_user(connection: Connection, user: str) -> Connection:
    """Return a session of another user, whose password is ``x``, in the same place."""
    login = replace(connection.endpoint, user=user, password=Password("x"))
    return Connection(connections._open(login), login, connection.database)


def test_who_may_import(connection: Connection) -> None:
    """A right to write is not enough, nor one to execute all procedures, nor this one alone; a branch may be closed."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    rows = pa.table({"id": pa.array([1], pa.int32())})
    place = connection.database
    writes, calls = f"INSERT, UPDATE, DELETE ON `{place}`.t", f"EXECUTE ON PROCEDURE `{place}`.flyte_import"
    rights = {
        "writes": ["SELECT, INSERT, UPDATE, DELETE ON *.*"],
        "executes_all": ["SELECT, INSERT, UPDATE, DELETE ON *.*", f"EXECUTE ON `{place}`.*"],
        "executes_it": [calls, f"INSERT, UPDATE ON `{place}`.t"],
        "both_rights": [calls, writes],
    }
    for user, has in rights.items():
        connection.execute(f"CREATE USER {user}@localhost IDENTIFIED BY 'x'")
        for right in has:
            connection.execute(f"GRANT {right} TO {user}@localhost")
    branches = "dolt_branch_control"
    held = connection.query(f"SELECT * FROM {branches}")
    try:
        for user in ("writes", "executes_all", "executes_it"):
            with closing(as_user(connection, user)) as session, pytest.raises(DoltError, match="denied"):
                import_with(session, connection, rows)
        connection.execute(f"DELETE FROM {branches} WHERE user = '%'")
        with closing(as_user(connection, "both_rights")) as session, pytest.raises(DoltError, match="permissions"):
            import_with(session, connection, rows)
        assert connection.query("SELECT * FROM t") == []
        connection.execute(f"INSERT INTO {branches} VALUES ('%', '%', 'both_rights', '%', 'write')")
        with closing(as_user(connection, "both_rights")) as session:
            import_with(session, connection, rows)
        assert connection.query("SELECT * FROM t") == [(1,)]
    finally:
        connection.execute(f"DELETE FROM {branches} WHERE user = 'both_rights'")
        for row in held:
            connection.execute(f"INSERT IGNORE INTO {branches} VALUES (%s, %s, %s, %s, %s)", *row)
        for user in rights:
            connection.execute(f"DROP USER {user}@localhost")


def import_with(session: Connection, owner: Connection, rows: pa.Table, mode: str = "append") -> None:
    """Import ``rows`` as the user of a session."""
    path = written(folder_of(owner) / "mine.rows", rows)
    try:
        session.query("CALL flyte_import('t', %s, %s)", str(path), mode)
    finally:
        path.unlink()


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, pa.Table, pa.Table, str]:
    """Return a table's definition, the rows that it has, rows to import and the mode."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    key_kind, key_type, keys = draw(st.sampled_from(KEYS))
    indexed = [i for i, (kind, *_) in enumerate(kinds) if "TEXT" not in kind and "BLOB" not in kind and kind != "JSON"]
    chosen = (
        draw(st.lists(st.lists(st.sampled_from(indexed), min_size=1, max_size=2, unique=True), max_size=2))
        if (indexed)
        else []
    )
    lines = [f"a {key_kind}", "b INT", *(f"c{i} {kind}" for i, (kind, *_) in enumerate(kinds))]
    lines += [f"KEY k{n} ({', '.join(f'c{i}' for i in columns)})" for n, columns in enumerate(chosen)]
    first = draw(st.permutations(["a", "b"]))
    lines.append(f"PRIMARY KEY ({', '.join(first)})")

    def rows() -> pa.Table:
        found = draw(
            st.lists(
                st.tuples(
                    st.sampled_from(keys),
                    st.integers(-3, 3),
                    *(st.none() | st.sampled_from(values) for *_, values in kinds),
                ),
                max_size=12,
                unique_by=lambda row: row[:2],
            )
        )
        types = [key_type, pa.int32(), *(arrow for _, arrow, _ in kinds)]
        names = ["a", "b", *(f"c{i}" for i in range(len(kinds)))]
        columns = list(zip(*found, strict=True)) or [()] * len(names)
        return pa.table({name: pa.array(c, t) for name, c, t in zip(names, columns, types, strict=True)})

    return f"CREATE TABLE t ({', '.join(lines)})", rows(), rows(), draw(st.sampled_from(MODES))


@given(case=cases())
@settings(max_examples=60 * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_table_the_mode_and_the_rows(
    connection: Connection, case: tuple[str, pa.Table, pa.Table, str]
) -> None:
    """What is stored, and the indexes of it, is what SQL stores; or SQL is asked for, and nothing has changed."""
    definition, there, rows, mode = case
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(definition)
    by_sql(connection, there, "append")
    before = hashes(connection)
    found = None
    with undone(connection), suppress(DoltError):
        import_(connection, rows.select(["a", "b"]) if mode == "delete" else rows, mode)
        found = hashes(connection)
    assert hashes(connection) == before
    known = set(zip(there["a"].to_pylist(), there["b"].to_pylist(), strict=True))
    given_keys = list(zip(rows["a"].to_pylist(), rows["b"].to_pylist(), strict=True))
    if mode == "append" and not known.isdisjoint(given_keys):
        assert found is None
    elif mode == "delete":
        kept = [key not in given_keys for key in zip(there["a"].to_pylist(), there["b"].to_pylist(), strict=True)]
        left = there.filter(pa.array(kept, pa.bool_()))
        with undone(connection):
            by_sql(connection, left, "replace")
            assert hashes(connection) == found
    else:
        with undone(connection):
            by_sql(connection, rows, mode)
            assert hashes(connection) == found


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_tables_without_a_key(connection: Connection, mode: str) -> None:
    """Rows that are there more than once, in the file, in the table and in both, and an index."""
    kinds = [("INT", pa.int32(), [1, 2]), *KINDS[1::3]]
    columns = "".join(f", c{i} {kind}" for i, (kind, *_) in enumerate(kinds))
    connection.execute(f"CREATE TABLE t (n INT{columns}, KEY (c0, n))")

    def rows(numbers: Sequence[int]) -> pa.Table:
        arrays = [
            pa.array([None if n % 7 == 6 else values[n % len(values)] for n in numbers], arrow)
            for _, arrow, values in kinds
        ]
        return pa.table({"n": pa.array(numbers, pa.int32()), **{f"c{i}": array for i, array in enumerate(arrays)}})

    assert_same(connection, rows([*range(30), *range(10), 3, 3, 6, 6]), mode)
    by_sql(connection, rows([1, 2, 3, 3, 6, 40]), "append")
    assert_same(connection, rows([*range(30), *range(10), 3, 3, 6, 6]), mode)
    assert_same(connection, rows([]), mode)
    with undone(connection):
        connection.execute("DELETE FROM t WHERE n = 3")
        assert import_(connection, rows([3, 3, 3]), "append") == 3
        assert connection.query("SELECT COUNT(*) FROM t WHERE n = 3") == [(3,)]
    for refused in ("upsert", "delete"):
        assert_refused(connection, rows([1]), refused, "no primary key")


def many_rows(count: int) -> pa.Table:
    """Return rows whose keys come in no order, so that they are sorted in files."""
    return pa.table(
        {
            "id": pa.array([i * 7919 % count for i in range(count)], pa.int32()),
            "v": pa.array([f"value {i % 1000}, and what makes it long" * 3 for i in range(count)]),
        }
    )


def test_more_rows_than_are_sorted_in_memory(connection: Connection) -> None:
    """They wait in files, of which none is left, and so do the keys of an index."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(700), KEY (v))")
    rows = many_rows(150_000)
    ordered = rows.sort_by("id")
    with undone(connection):
        assert import_(connection, ordered, "replace") == rows.num_rows
        expected = hashes(connection)
    with undone(connection):
        assert import_(connection, rows, "replace") == rows.num_rows
        assert hashes(connection) == expected
        assert connection.query("SELECT COUNT(*), COUNT(DISTINCT v) FROM t FORCE INDEX (v)") == [(150_000, 1000)]
        import_(connection, ordered.slice(0, 100_000).select(["id"]), "delete")
        assert connection.query("SELECT COUNT(*), MIN(id) FROM t") == [(50_000, 100_000)]
        import_(connection, ordered.slice(0, 100_000), "append")
        assert hashes(connection) == expected


def test_a_session_that_is_ended_changes_nothing(repo: Path) -> None:
    """Whatever an import has done by then; the next one works, and the repository is whole."""
    rows = many_rows(120_000)
    ended = 0
    with refs.connect(repo) as owner:
        owner.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(700), KEY (v))")
        before = hashes(owner)
        path = written(folder_of(owner) / "many.rows", rows)
        call = f"CALL flyte_import('t', '{path}', 'replace')"
        for moment in (1, 50, 200, 400):  # so many looks at what the server does
            with closing(Connection(connections._open(owner.endpoint), owner.endpoint, owner.database)) as session:
                ((number,),) = session.query("SELECT CONNECTION_ID()")
                with ThreadPoolExecutor(1) as pool:
                    running = pool.submit(session.query, call)
                    seen = 0
                    while seen < moment and not running.done():
                        asked = "SELECT 1 FROM information_schema.processlist WHERE id = %s AND info LIKE 'CALL%%'"
                        seen += len(owner.query(asked, number))
                    owner.execute(f"KILL {number}")
                    ended += running.exception() is not None
            there = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
            assert eventually(lambda: owner.query(there, number) == [], within_s=60)  # noqa: B023
            if hashes(owner) != before:  # it was done, or ended while the server stored that it was
                assert moment > 1 or running.exception() is None
                assert owner.query("SELECT COUNT(*), COUNT(DISTINCT v) FROM t FORCE INDEX (v)") == [(120_000, 1000)]
                owner.execute("DELETE FROM t")
                assert hashes(owner) == before
        assert ended > 0
        assert owner.query(call) == [(120_000,)]
        path.unlink()
        owner.query("CALL dolt_commit('-Am', 'many')")
    assert is_sound(repo)
