"""Every column type with its limits, zero, NULL and nothing: exact values and dtypes, the same from either server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flytekit.types.schema import FlyteSchema
from flytekit.types.structured.structured_dataset import StructuredDataset
from servers import Server
from sql_tasks import run, uri

from flytekitplugins.sqlalchemy.errors import SyntaxRefused, UnreadableResult

BOTH = ("mariadb", "dolt")
TEXT_DTYPE = str(pd.Series(["a"]).dtype)
"""What pandas itself makes of texts: `object` before pandas 3."""
DTYPES = {"int64": "Int64", "uint64": "UInt64", "bool": "boolean"}
"""The dtypes of columns without missing values that are another one with them."""
POINT = bytes.fromhex("000000000101000000000000000000f03f0000000000000040")


@dataclass(frozen=True)
class Case:
    """A column type."""

    sql: str
    values: dict[str, Any]
    """SQL literals, and what they are in Python."""
    arrow: pa.DataType
    dtype: str
    """That of a column without missing values."""
    servers: tuple[str, ...] = BOTH
    """The kinds of servers that have the type, or these values of it."""

    def __str__(self) -> str:
        return self.sql if self.servers == BOTH else f"{self.sql} of {self.servers[0]}"

    def rows(self, count: int) -> list[tuple[str, Any]]:
        """Return ``count`` rows of literals and values: NULL second, the values in turn before and after."""
        found = list(self.values.items())
        return [found[0], ("NULL", None), *(found[number % len(found)] for number in range(1, count - 1))]


def integers(sql: str, *values: int, servers: tuple[str, ...] = BOTH) -> Case:
    """Return an integer type; all but BIGINT UNSIGNED are int64."""
    kind = "uint64" if sql == "bigint unsigned" else "int64"
    return Case(sql, {str(value): value for value in values}, getattr(pa, kind)(), kind, servers)


def decimals(sql: str, kind: pa.DataType, *values: str) -> Case:
    """Return a DECIMAL type."""
    return Case(sql, {f"'{value}'": Decimal(value) for value in values}, kind, "object")


def floats(sql: str, *values: str) -> Case:
    """Return FLOAT or DOUBLE; the values of a FLOAT are those of four bytes."""
    kind = pa.float32() if sql.startswith("float") else pa.float64()
    read = pa.array([float(value) for value in values], kind).to_pylist()
    return Case(sql, dict(zip(values, read, strict=True)), kind, str(kind.to_pandas_dtype()().dtype))


def moments(sql: str, *values: str, servers: tuple[str, ...] = BOTH) -> Case:
    """Return a type of points in time."""
    read = {f"'{value}'": dt.datetime.fromisoformat(value) for value in values}
    return Case(sql, read, pa.timestamp("us"), "datetime64[us]", servers)


def times(sql: str, **values: dt.timedelta) -> Case:
    """Return a TIME type."""
    return Case(sql, {f"'{text}'": value for text, value in values.items()}, pa.duration("us"), "timedelta64[us]")


def texts(sql: str, *values: str, servers: tuple[str, ...] = BOTH) -> Case:
    """Return a type of texts."""
    literals = {"'" + value.replace("\\", "\\\\").replace("'", "''") + "'": value for value in values}
    return Case(sql, literals, pa.string(), TEXT_DTYPE, servers)


def binaries(sql: str, values: Iterable[bytes], *, width: int = 0) -> Case:
    """Return a type of bytes; BINARY fills up to its width."""
    return Case(sql, {f"x'{v.hex()}'": v.ljust(width, b"\0") for v in values}, pa.binary(), "object")


LONGEST_TIME = dt.timedelta(hours=838, minutes=59, seconds=59)
INSTANT = dt.timedelta(microseconds=1)
CASES = [
    integers("tinyint", -128, 0, 127),
    integers("tinyint unsigned", 0, 255),
    integers("smallint", -32768, 0, 32767),
    integers("smallint unsigned", 0, 65535),
    integers("mediumint", -8388608, 0, 8388607),
    integers("mediumint unsigned", 0, 16777215),
    integers("int", -2147483648, 0, 2147483647),
    integers("int unsigned", 0, 4294967295),
    integers("int(7) zerofill", 0, 42, 4294967295, servers=("mariadb",)),
    integers("bigint", -9223372036854775808, -9007199254740993, 0, 9007199254740993, 9223372036854775807),
    integers("bigint unsigned", 0, 9223372036854775808, 18446744073709551615),
    integers("tinyint(1)", -128, 0, 1, 127),
    integers("bool", 0, 1),
    integers("year", 0, 1901, 2155),
    Case("bit(1)", {"b'0'": False, "b'1'": True}, pa.bool_(), "bool"),
    Case("bit(9)", {"b'0'": 0, "b'111111111'": 511}, pa.uint64(), "uint64"),
    Case("bit(64)", {"0": 0, "18446744073709551615": 18446744073709551615}, pa.uint64(), "uint64"),
    decimals("decimal(10, 2)", pa.decimal128(10, 2), "-99999999.99", "0", "0.01", "99999999.99"),
    decimals("decimal(38, 0)", pa.decimal128(38, 0), "-" + "9" * 38, "0", "9" * 38),
    decimals("decimal(30, 30)", pa.decimal128(30, 30), "-0." + "9" * 30, "0", "0." + "0" * 29 + "1"),
    decimals(
        "decimal(65, 30)",
        pa.decimal256(65, 30),
        *("-" + "9" * 35 + "." + "9" * 30, "0", "0." + "0" * 29 + "1", "9" * 35 + "." + "9" * 30),
    ),
    floats("float", "-3.4e38", "-0.1", "0", "1e-45", "0.1", "123456.789", "16777215", "3.4e38"),
    floats("float(9, 3)", "-123456.789", "0", "0.001"),
    floats("double", "-1.7976931348623157e308", "-0.1", "0", "5e-324", "0.1", "1e22", "1.7976931348623157e308"),
    Case(
        "date",
        {f"'{day}'": dt.date.fromisoformat(day) for day in ("0001-01-01", "0999-12-31", "2024-02-29", "9999-12-31")},
        pa.date32(),
        "object",
    ),
    moments("datetime", "0001-01-01 00:00:00", "0999-12-31 23:59:59", "1000-01-01 00:00:00", "9999-12-31 23:59:59"),
    moments("datetime(3)", "0011-01-01 00:00:00.001", "2024-02-29 12:00:00.120"),
    moments("datetime(6)", "0001-01-01 00:00:00.000001", "1969-12-31 23:59:59.1", "9999-12-31 23:59:59.999999"),
    moments("timestamp", "1970-01-01 00:00:01", "2038-01-19 03:14:07"),
    moments("timestamp(6)", "1970-01-01 00:00:01.000001", "2038-01-19 03:14:07.999999"),
    times(
        "time",
        **{"-838:59:59": -LONGEST_TIME, "-00:00:01": -dt.timedelta(seconds=1), "00:00:00": dt.timedelta()},
        **{"24:00:00": dt.timedelta(days=1), "838:59:59": LONGEST_TIME},
    ),
    times(
        "time(6)",
        **{
            "-838:59:58.999999": -LONGEST_TIME + dt.timedelta(seconds=1) - 999999 * INSTANT,
            "-00:00:00.000001": -INSTANT,
        },
        **{"00:00:00.5": 500000 * INSTANT, "838:59:58.999999": LONGEST_TIME - INSTANT},
    ),
    texts("char(4)", "", "é😀", "a'\\"),
    texts("char(4)", "a", servers=("mariadb",)),
    texts("varchar(100)", "", " a ", "NULL", "\\N", "e\u0301😀\U0010ffff", "a\0b\r\n\t\x1a", "%s ' \" ` \\'"),
    *(texts(f"{size}text", "", "😀", "a'b") for size in ("tiny", "", "medium", "long")),
    texts("varchar(9) character set latin1", "é"),
    texts("varchar(9) character set utf16", "é😀"),
    texts("varchar(9) character set utf8mb4 collate utf8mb4_bin", "é😀"),
    binaries("binary(4)", [b"", b"\0\xff", b"'\\\n\xfb"], width=4),
    binaries("varbinary(256)", [b"", bytes(range(256))]),
    *(binaries(f"{size}blob", [b"", bytes(range(251))]) for size in ("tiny", "", "medium", "long")),
    texts("json", '{"a": [1.0, null, "é😀"], "big": 12345678901234567890}', "null", servers=("mariadb",)),
    texts("json", '{"a":[null,"é😀"]}', "null", "[]", '"x"', servers=("dolt",)),
    texts("enum('', 'a', 'é😀')", "", "a", "é😀"),
    texts("set('a', 'b', 'é')", "", "a,é"),
    texts("uuid", "123e4567-e89b-12d3-a456-426655440000", servers=("mariadb",)),
    texts("inet6", "::", "2001:db8::ff00:42:8329", servers=("mariadb",)),
    texts("inet4", "0.0.0.0", "255.255.255.255", servers=("mariadb",)),
    Case("point", {"point(1, 2)": POINT}, pa.binary(), "object"),
    Case("geometry", {"st_geomfromtext('point(1 2)')": POINT}, pa.binary(), "object"),
]
PAIRS = [pytest.param(case, kind, id=f"{case.sql}-{kind}") for case in CASES for kind in case.servers]
COMMON = [case for case in CASES if case.servers == BOTH]


def plain(column: pd.Series) -> list[Any]:
    """Return the values of a column of a frame, None where one is missing."""
    return [None if pd.isna(value) else value for value in column]


ROWS = 1 + max(len(case.values) for case in CASES)
SELECTIONS = {"all": "", "full": "where id <> 1", "missing": "where id = 1", "empty": "where 1 = 0"}
"""Which rows are looked at: with NULL among the values, without NULL, only NULL, none."""


def wide_table(server: Server, cases: list[Case], where: str = "") -> str:
    """Make a table with a column of each type, and return the query for its rows."""
    columns = ", ".join(f"c{number} {case.sql} null" for number, case in enumerate(cases))
    literals = zip(*([literal for literal, _ in case.rows(ROWS)] for case in cases), strict=True)
    rows = ", ".join(f"({number}, {', '.join(row)})" for number, row in enumerate(literals))
    server.sql("drop table if exists wide", f"create table wide (id int primary key, {columns})")
    server.sql(f"insert into wide values {rows}")
    return f"select * from wide {where} order by id"


@pytest.fixture(scope="module")
def found(mariadb: Server, dolt_server: Server) -> dict[tuple[str, str], tuple[pa.Table, pd.DataFrame]]:
    """Give the table of all types as an Arrow table and as a frame, by kind of server and selection of rows."""
    results = {}
    for server in (mariadb, dolt_server):
        cases = [case for case in CASES if server.kind in case.servers]
        for selection, where in SELECTIONS.items():
            query = wide_table(server, cases, where)
            results[server.kind, selection] = (run(server, query, output=pa.Table), run(server, query))
    return results


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("case", "kind"), PAIRS)
def test_a_type(
    case: Case, kind: str, selection: str, found: dict[tuple[str, str], tuple[pa.Table, pd.DataFrame]]
) -> None:
    """Limits, zero and NULL arrive exactly, and the types do not depend on whether there are values."""
    name = f"c{[other for other in CASES if kind in other.servers].index(case)}"
    values = [value for _, value in case.rows(ROWS)]
    expected = {"all": values, "full": [values[0], *values[2:]], "missing": [None], "empty": []}[selection]
    table, frame = found[kind, selection]
    assert (table.schema.field(name).type, table[name].to_pylist()) == (case.arrow, expected)
    dtype = DTYPES.get(case.dtype, case.dtype) if None in expected else case.dtype
    assert (str(frame[name].dtype), plain(frame[name])) == (dtype, expected)


def test_what_comes_as_text_and_what_comes_as_bytes_is_the_same(mariadb: Server) -> None:
    """With a FLOAT in the rows they are read in another way, and every other column is what it is without it."""
    cases = [case for case in CASES if "mariadb" in case.servers]
    query = wide_table(mariadb, cases)
    table = run(mariadb, query, output=pa.Table)
    others = [f"c{number}" for number, case in enumerate(cases) if not case.sql.startswith("float")]
    text = run(mariadb, query.replace("*", ", ".join(others)), output=pa.Table)
    assert text.column_names == others
    assert text.equals(table.select(others))


def test_many_floats(server: Server) -> None:
    """A result of many pieces, with NULLs and texts of all lengths between, has every FLOAT and nothing else."""
    server.sql("drop table if exists digits", "create table digits (i int)")
    server.sql("insert into digits values " + ", ".join(f"({i})" for i in range(100)))
    query = (
        "select cast(n + 0.1 as float) as f, if(n % 3 = 0, null, cast(n / 7 as float)) as g, "
        "repeat('x', n % 300) as v, cast(n as signed) as n from (select a.i * 100 + b.i as n from digits a, digits b) "
        "as numbers order by n"
    )
    table = run(server, query, output=pa.Table)
    numbers = np.arange(10_000)
    assert table["n"].to_pylist() == numbers.tolist()
    assert np.array_equal(table["f"].to_numpy(), (numbers + 0.1).astype(np.float32))
    assert table["g"].is_null().to_pylist() == [n % 3 == 0 for n in range(10_000)]
    assert [len(v) for v in table["v"].to_pylist()] == [n % 300 for n in range(10_000)]


def test_floats_beside_what_is_refused(mariadb: Server) -> None:
    """Zero dates are refused beside a FLOAT as well, and a zero in one table's dates is not one of the time."""
    mariadb.sql("drop table if exists zeros", "create table zeros (d date, t datetime, f float)")
    mariadb.sql("set sql_mode = ''", "insert into zeros values ('0000-00-00', '2020-01-01', 0.1)")
    with pytest.raises(UnreadableResult, match="'d'.*date"):
        run(mariadb, "select d, f from zeros")
    (row,) = run(mariadb, "select t, f from zeros", output=pa.Table).to_pylist()
    assert row == {"t": dt.datetime(2020, 1, 1), "f": 0.10000000149011612}


def test_statements_that_cannot_be_prepared(mariadb: Server) -> None:
    """A statement that the server does not prepare is run as it is; a question mark is not taken for a parameter."""
    assert run(mariadb, "execute immediate 'select 1 as a'")["a"].tolist() == [1]
    with pytest.raises(SyntaxRefused, match="near '\\?'"):
        run(mariadb, "select cast(1 as float) as a where 1 = ?")


def test_a_server_that_prepares_nothing_more(mariadb: Server) -> None:
    """Where the server's room for prepared statements is used up, rows are read as text."""
    mariadb.sql("set global max_prepared_stmt_count = 0")
    try:
        row = run(mariadb, "select cast(1.5 as float) as a, 'é' as b", output=pa.Table).to_pylist()
    finally:
        mariadb.sql("set global max_prepared_stmt_count = default")
    assert row == [{"a": 1.5, "b": "é"}]


def test_both_servers_give_the_same(mariadb: Server, dolt_server: Server) -> None:
    """A table of all common types is the same frame and the same Arrow table from MariaDB and from Dolt."""
    query = wide_table(mariadb, COMMON)
    assert wide_table(dolt_server, COMMON) == query
    one, other = (run(server, query, output=pa.Table) for server in (mariadb, dolt_server))
    assert one.schema.names == other.schema.names
    assert one.equals(other)
    pd.testing.assert_frame_equal(run(mariadb, query), run(dolt_server, query))


@pytest.mark.parametrize("where", ["", "where 1 = 0"])
def test_every_kind_of_output_has_the_same_values(server: Server, where: str) -> None:
    """FlyteSchema, DataFrame, StructuredDataset, Arrow and Polars hold the same, with rows and without."""
    cases = [case for case in COMMON if not pa.types.is_decimal256(case.arrow)]
    query = wide_table(server, cases, where)
    table = run(server, query, output=pa.Table)
    assert table.schema.types == [pa.int64(), *(case.arrow for case in cases)]
    frame = run(server, query)
    pd.testing.assert_frame_equal(run(server, query, output=FlyteSchema).open().all(), frame)
    dataset = run(server, query, output=StructuredDataset)
    pd.testing.assert_frame_equal(dataset.open(pd.DataFrame).all(), frame)
    assert run(server, query, output=StructuredDataset).open(pa.Table).all().equals(table)
    assert run(server, query, output=pl.DataFrame).equals(pl.DataFrame(pl.from_arrow(table)))


def test_polars_gets_decimals_of_38_digits(server: Server) -> None:
    """Polars panics at wider ones: what fits into 38 digits is narrowed, what does not is refused by name."""
    query = "select cast('12345678.5' as decimal(65, 30)) as a, cast('7' as decimal(65, 0)) as b"
    frame = run(server, query, output=pl.DataFrame)
    assert frame.row(0) == (Decimal("12345678.5"), Decimal(7))
    assert frame.dtypes[0] == pl.Decimal(38, 30)
    with pytest.raises(UnreadableResult, match="column"):
        run(server, "select cast('123456789' as decimal(65, 30)) as a", output=pl.DataFrame)


@pytest.mark.parametrize("column", ["d", "t"])
def test_zero_dates_are_refused_with_advice_that_works(server: Server, column: str) -> None:
    """A date 0000-00-00 is an error that says how to select it, and doing that gives missing values."""
    server.sql("drop table if exists zeros", "create table zeros (id int primary key, d date, t datetime(6))")
    server.sql("set sql_mode = ''", "insert into zeros values (1, '0000-00-00', '0000-00-00'), (2, null, null)")
    advice = rf"nullif\({column}, '0000-00-00'\) for missing values, or cast\({column} as char\)"
    with pytest.raises(UnreadableResult, match=advice) as caught:
        run(server, f"select {column} from zeros")
    assert caught.value.columns == [column]  # type: ignore[attr-defined]
    found = run(server, f"select nullif({column}, '0000-00-00') as v from zeros")["v"]
    assert plain(found) == [None, None]


@pytest.mark.parametrize(
    ("literal", "servers"), [("0000-01-01", BOTH), ("2020-00-00", ("mariadb",)), ("2020-01-00", ("mariadb",))]
)
def test_dates_that_python_has_not(server: Server, literal: str, servers: tuple[str, ...]) -> None:
    """The year 0, and dates with zeros in part, are refused; on MariaDB the advice gives their text."""
    if server.kind not in servers:
        pytest.skip("Dolt takes no such date")
    server.sql("drop table if exists zeros", "create table zeros (d date, t datetime)")
    server.sql("set sql_mode = ''", f"insert into zeros values ('{literal}', '{literal}')")
    for column in ("d", "t"):
        with pytest.raises(UnreadableResult, match=rf"cast\({column}.*char\)"):
            run(server, f"select {column} from zeros")
    if server.kind == "mariadb":
        assert list(run(server, "select cast(d as char) as v from zeros")["v"]) == [literal]


def test_columns_of_one_name_are_refused(server: Server) -> None:
    """Two columns of one name are an error that names them, without a warning; names that differ in case are two."""
    with pytest.raises(UnreadableResult, match="'a'.*AS") as caught:
        run(server, "select 1 as a, 2 as b, 3 as a from (select 1 as x union select 2) as two")
    assert caught.value.columns == ["a"]  # type: ignore[attr-defined]
    assert run(server, "select 1 as a, 2 as A").to_dict("list") == {"a": [1], "A": [2]}


def test_names_of_columns_arrive(mariadb: Server, dolt_server: Server) -> None:
    """Spaces, dots, quotes, other scripts and 64 characters stay as they are in the names of columns."""
    names = ["a b", "a.b", "a'b", 'a"b', "a`b", "é", "名前", "n" * 64, "1", "select", "%s", ":x"]
    query = "select " + ", ".join(f"{number} as `{name.replace('`', '``')}`" for number, name in enumerate(names))
    for server in (mariadb, dolt_server):
        assert list(run(server, query).columns) == names


def test_expressions(server: Server) -> None:
    """Columns that are no table's have the types that the server announces, also where there is NULL only."""
    frame = run(server, "select null as a, 1 = 1 as b, 0.5 as c, 1e0 as d, 'x' as e, x'ff' as f, count(*) as g")
    assert [str(dtype) for dtype in frame.dtypes] == [
        *("object", "int64", "object", "float64", TEXT_DTYPE, "object", "int64")
    ]
    assert plain(frame.iloc[0]) == [None, 1, Decimal("0.5"), 1.0, "x", b"\xff", 1]


POSTGRES = [
    ("smallint", "-32768", -32768, pa.int64()),
    ("int", "2147483647", 2147483647, pa.int64()),
    ("bigint", "-9223372036854775808", -(2**63), pa.int64()),
    ("oid", "4294967295", 4294967295, pa.int64()),
    ("bool", "true", True, pa.bool_()),
    ("real", "0.1", 0.10000000149011612, pa.float32()),
    ("double precision", "5e-324", 5e-324, pa.float64()),
    ("numeric(10, 2)", "-99999999.99", Decimal("-99999999.99"), pa.decimal128(10, 2)),
    ("numeric(65, 30)", "9" * 35 + ".5", Decimal("9" * 35 + ".5"), pa.decimal256(65, 30)),
    ("text", "é😀", "é😀", pa.string()),
    ("varchar(3)", "a'\\", "a'\\", pa.string()),
    ("char(3)", "a", "a  ", pa.string()),
    ("bytea", "\\x00ff27", b"\0\xff'", pa.binary()),
    ("date", "0001-01-01", dt.date(1, 1, 1), pa.date32()),
    ("timestamp", "9999-12-31 23:59:59.999999", dt.datetime(9999, 12, 31, 23, 59, 59, 999999), pa.timestamp("us")),
    (
        "timestamptz",
        "2020-01-01 10:00:00+02",
        dt.datetime(2020, 1, 1, 8, tzinfo=dt.timezone.utc),
        pa.timestamp("us", "UTC"),
    ),
    ("time", "23:59:59.999999", dt.time(23, 59, 59, 999999), pa.time64("us")),
    ("timetz", "10:00:00+02", "10:00:00+02:00", pa.string()),
    ("interval", "-1 day 00:00:00.5", dt.timedelta(days=-1, microseconds=500000), pa.duration("us")),
    ("uuid", "123e4567-e89b-12d3-a456-426655440000", "123e4567-e89b-12d3-a456-426655440000", pa.string()),
    ("json", '{"a": 1.0,  "a": 2}', '{"a": 1.0,  "a": 2}', pa.string()),
    ("jsonb", '{"a": 12345678901234567890.10}', '{"a": 12345678901234567890.10}', pa.string()),
    ("inet", "10.0.0.1", "10.0.0.1", pa.string()),
    ("cidr", "10.0.0.0/8", "10.0.0.0/8", pa.string()),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03", pa.string()),
    ("bit(3)", "101", "101", pa.string()),
    ("xml", "<a/>", "<a/>", pa.string()),
    ("money", "$1.50", "$1.50", pa.string()),
]


@pytest.mark.parametrize(("sql", "literal", "value", "kind"), POSTGRES, ids=[case[0] for case in POSTGRES])
def test_a_type_of_postgres(postgres: Server, sql: str, literal: str, value: object, kind: pa.DataType) -> None:
    """A value and NULL arrive exactly, with one Arrow type, which an empty result has, too."""
    quoted = literal.replace("'", "''")
    query = f"select '{quoted}'::{sql} as v union all select null::{sql}"
    table = run(uri(postgres), f"select * from ({query}) as both_of_them", output=pa.Table)
    assert (table.schema.field("v").type, table["v"].to_pylist()) == (kind, [value, None])
    empty = run(uri(postgres), f"select null::{sql} as v where false", output=pa.Table)
    assert (empty.schema.field("v").type, len(empty)) == (kind, 0)


def test_numbers_of_postgres_that_no_column_holds(postgres: Server) -> None:
    """NUMERIC without limits is as wide as its values; NaN, which Arrow's decimals have not, is refused."""
    table = run(uri(postgres), "select * from (values (1.5), (1e40), (1e-20)) as three(v)", output=pa.Table)
    assert table["v"].to_pylist() == [Decimal("1.5"), Decimal("1e40"), Decimal("1e-20")]
    with pytest.raises(UnreadableResult, match="'v'"):
        run(uri(postgres), "select 'NaN'::numeric as v")


def test_types_of_sqlite() -> None:
    """SQLite's five kinds of values arrive exactly; a column of numbers and texts is refused."""
    query = "select 9223372036854775807 as a, 0.1 as b, 'é' as c, x'00ff' as d, null as e"
    (row,) = run("sqlite://", query, output=pa.Table).to_pylist()
    assert row == {"a": 2**63 - 1, "b": 0.1, "c": "é", "d": b"\0\xff", "e": None}
    assert list(run("sqlite://", f"{query} where 1 = 0").columns) == ["a", "b", "c", "d", "e"]
    with pytest.raises(UnreadableResult, match="'a'"):
        run("sqlite://", "select 1 as a union all select 'x'")
