"""Rows that the server takes from a file: what is stored is byte for byte what the same rows are by SQL."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rows_files import written

from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.server import binary, builder
from flytekitplugins.dolt.tables import load_data

ONE_REPOSITORY = True
MODES = ["replace", "append", "upsert", "delete"]


@pytest.fixture(autouse=True)
def _our_program() -> None:
    """Leave the tests out where somebody's setting has another Dolt serve."""
    if binary.find() != builder.binary_path():
        pytest.skip("another dolt is found before the one of the builder")


@pytest.fixture
def connection(repo: Path) -> Iterator[Connection]:
    """Give a connection of the server's owner, on the checked-out branch."""
    with refs.connect(repo) as connection:
        yield connection


def folder_of(connection: Connection) -> Path:
    """Return the folder from which the server takes files."""
    folder = connection.shared_folder()
    assert folder is not None
    return folder


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
        for condition in load_data.key_lists(rows.column_names, rows):
            connection.execute(f"DELETE FROM t WHERE {condition}")
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
        list(map(decimal.Decimal, ["0", "-0.01", "99999999.99", "1.5"])),
    ),
    ("DECIMAL(10,2)", pa.decimal128(5, 2), list(map(decimal.Decimal, ["0", "-0.01", "999.99", "1.5"]))),
    ("DECIMAL(38,0)", pa.decimal128(38, 0), [decimal.Decimal(n) for n in ("9" * 38, "-" + "9" * 38, 2**64 - 1, 2**64)]),
    ("DECIMAL(38,30)", pa.decimal128(38, 30), [decimal.Decimal("1e-30"), decimal.Decimal("-99999999." + "9" * 30)]),
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


KEYS: list[tuple[str, pa.DataType, Sequence[object]]] = [
    ("INT", pa.int32(), [5, -1, 0, 2**31 - 1, -(2**31)]),
    ("BIGINT UNSIGNED", pa.uint64(), [5, 2**64 - 1, 0]),
    ("VARCHAR(20)", pa.string(), ["b", "B", "a", "", "é", "e"]),
    ("VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", pa.string(), ["b", "C", "a", "É", "f"]),
    ("DECIMAL(5,1)", pa.decimal128(5, 1), [decimal.Decimal(d) for d in ("-10", "5", "0.5", "-0.5", "0")]),
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
            "price": None if i % 4 == 0 else decimal.Decimal(i) / 4,
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
