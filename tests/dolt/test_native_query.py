"""The result of a query as a file of rows, written by the server: what SQL gives after all decoding."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from rows_files import as_user, folder_of
from statements import STATEMENTS
from stored_types import NAMES, VALUES, every_type

from flytekitplugins.dolt import create_repository
from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.server import local_server, procedures
from flytekitplugins.dolt.tables import reading, rows_file

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True


def natively(connection: Connection, sql: str) -> pa.Table:
    """Return the rows of a query by way of a file, of which nothing stays."""
    path = folder_of(connection) / "query.rows"
    try:
        (found,) = connection.query("CALL flyte_query(%s, %s)", sql, str(path))
        rows = rows_file.read(path)
    finally:
        path.unlink(missing_ok=True)
    assert found == (len(rows),)
    rows.validate(full=True)
    return rows


def decoded(rows: pa.Table) -> pa.Table:
    """Return the rows in the types of today's reading, which has decimals in 256 bits."""
    columns = [
        column.cast(pa.decimal256(38, column.type.scale)) if pa.types.is_decimal128(column.type) else column
        for column in rows.columns
    ]
    return pa.table(columns, names=rows.column_names)


def assert_same(connection: Connection, sql: str) -> pa.Table:
    """Compare a query's rows, names and types with those that it gives by SQL."""
    found, expected = decoded(natively(connection, sql)), reading.query(connection, sql).arrow
    assert found.column_names == expected.column_names, sql
    assert found.schema.types == expected.schema.types, sql
    assert found.to_pydict() == expected.to_pydict() or found.equals(expected), sql
    return found


def refused(connection: Connection, sql: str, why: str) -> None:
    """Find that a query is refused for a reason, and leaves no file."""
    path = folder_of(connection) / "refused.rows"
    try:
        with pytest.raises(DoltError, match=why):
            connection.query("CALL flyte_query(%s, %s)", sql, str(path))
        assert not path.exists(), sql
    finally:
        path.unlink(missing_ok=True)


def test_every_type_is_as_sql_gives_it(connection: Connection) -> None:
    """Each type alone and all together, with limits, empty ones and NULL; none is guessed from the values."""
    every_type(connection, " PRIMARY KEY")
    assert_same(connection, "SELECT * FROM every")
    assert_same(connection, "SELECT * FROM every WHERE FALSE")
    for function in ("MAX", "COUNT", "ANY_VALUE"):
        assert_same(connection, f"SELECT {', '.join(f'{function}({name})' for name in NAMES.values())} FROM every")
    for kind in VALUES:
        assert assert_same(connection, f"SELECT {NAMES[kind]} FROM every")[0].null_count == 1, kind


def test_types_of_a_file_are_those_of_the_result(connection: Connection) -> None:
    """A column has the type in the file that an export of it has; decimals have all the digits that there may be."""
    every_type(connection, "")
    found = natively(connection, "SELECT * FROM every")
    for kind, (name, _) in VALUES.items():
        expected = rows_file._type(name)
        if pa.types.is_decimal(expected):
            widest = (pa.decimal128, 38) if pa.types.is_decimal128(expected) else (pa.decimal256, 76)
            expected = widest[0](widest[1], expected.scale)
        assert found[NAMES[kind]].type == expected, kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TINYINT", "BIGINT"),
        ("INT UNSIGNED", "INT"),
        ("INT", "DOUBLE"),
        ("FLOAT", "DOUBLE"),
        ("DECIMAL(39,2)", "BIGINT UNSIGNED"),
        ("DECIMAL(38,0)", "DECIMAL(38,30)"),
        ("DATE", "DATETIME(6)"),
        ("DATETIME", "VARCHAR(300)"),
        ("TIME", "TIME(6)"),
        ("YEAR", "INT"),
        ("JSON", "TEXT"),
        ("BIT(7)", "INT"),
        ("VARCHAR(300)", "LONGTEXT"),
        ("BINARY(4)", "BLOB"),
        ("TIMESTAMP", "TINYINT(1)"),
    ],
)
def test_unions_of_types(connection: Connection, one: str, other: str) -> None:
    """They have the type that the server announces for both."""
    every_type(connection, " PRIMARY KEY")
    assert_same(connection, f"SELECT {NAMES[one]} FROM every UNION ALL SELECT {NAMES[other]} FROM every")


EXPRESSIONS = """
1 | 1 = 1 | TRUE AND NULL | NULL | NULL IS NULL | -1 | 255 | 65536 | 2147483648 | 18446744073709551615 | 1.5 | 1e0
1.50 | -0e0 | 1 + 1.5 | 5 DIV 2 | 5 % 3 | 5.5 % 2 | 1 << 3 | ROUND(1.234, 2) | POW(2, 3) | RAND(1)
1 / 3 | -1 / 3 | 7 / 0 | 1.5 / 7 | 1 / 3 / 7 | 1e0 / 3 | 1 / 3e0 | -2 / 3 * 3 | SUM(1) / 3 | 1 / 3 + 1 | -(1 / 3)
ROUND(1 / 3, 2) | CAST(1 AS DECIMAL(39, 2)) | CAST('-12345678901234567890123456789012345.5' AS DECIMAL(65, 30))
IF(1, 1 / 3, 2) | 1234567890123456789012345678901234567890123456 | -0.123456789012345678901234567890 | AVG(1 / 3)
IFNULL(NULL, 1 / 3) | 0 / -3 | 99999999999999999999999999999999999999 + 1 | 99999999999999999999 * 99999999999999999999
MAX(1 / 3) | GREATEST(1, 2.5) | NULL + 1 | CAST(1 AS UNSIGNED) | CAST(1.5 AS FLOAT) | CAST(1 AS DECIMAL(10, 3))
CAST('-12.5' AS DECIMAL(38, 10)) | COALESCE(NULL, 1) | IF(1, 2, 'x') | IFNULL(NULL, 1.5)
CASE WHEN 1 THEN 1 ELSE 2e0 END | CONCAT('a', 1) | UPPER('é') | LENGTH('ab') | HEX('a') | x'00ff' | b'101'
UNHEX('ff') | _binary 'a' | CHAR(65) | CAST('a' AS BINARY) | CAST('a' AS BINARY(3)) | CAST('a' AS CHAR(3))
CAST('2020-01-01' AS DATE) | CAST('2020-01-01' AS DATETIME) | CAST('2020-01-01 01:02:03.4' AS DATETIME(3))
TIME('10:00:00.5') | TIMEDIFF('10:00', '19:00') | DATE_ADD('2020-01-01', INTERVAL 1 DAY) | LAST_DAY('2020-01-01')
FROM_UNIXTIME(0) | TIMESTAMP('2020-01-01 10:00:00.000001') | CURDATE() | YEAR('2020-01-01')
EXTRACT(YEAR FROM '2020-01-01') | CAST(2020 AS YEAR) | JSON_OBJECT('a', 1.5, 'b', 'é')
JSON_EXTRACT('{"a": [1]}', '$.a') | CAST('null' AS JSON) | JSON_UNQUOTE('"a"') | JSON_TYPE('1') | COUNT(*) | SUM(1)
SUM(1.5) | AVG(1.25) | MAX('a') | MIN(1.5) | STD(1) | BIT_AND(1) | GROUP_CONCAT('a') | JSON_ARRAYAGG(1)
ROW_NUMBER() OVER () | (SELECT 1) | EXISTS (SELECT 1) | 1 IN (SELECT 1) | @@version | @nothing
DOLT_HASHOF('HEAD')
""".replace("\n", " | ").strip(" |")


def test_expressions_have_the_type_that_is_announced(connection: Connection) -> None:
    """Values of whatever Go type the engine has for them; each alone, named by its text and by a name."""
    for expression in EXPRESSIONS.split(" | "):
        assert_same(connection, f"SELECT {expression}")
        assert_same(connection, f"SELECT {expression} AS `a name`")


def test_enum_and_set_are_text(connection: Connection) -> None:
    """As SQL prints them, in whatever character set they are declared."""
    connection.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('é', 'b'), s SET('x', 'y'), l ENUM('é') CHARSET latin1)"
    )
    connection.execute("INSERT INTO t VALUES (1, 'é', 'x,y', 'é'), (2, 'b', '', NULL), (3, NULL, NULL, NULL)")
    assert assert_same(connection, "SELECT * FROM t ORDER BY id")["s"].to_pylist() == ["x,y", "", None]


SHOP = [
    "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(9), city VARCHAR(9), born DATETIME(6), note VARCHAR(90))",
    "INSERT INTO customers VALUES (1, 'Ann', 'Rome', '2020-01-01', '{}'), (2, 'Bob', NULL, '2020-01-02', '{\"a\": 1}')",
    "INSERT INTO customers VALUES (3, 'it''s', 'Oslo', NULL, '{\"a\": [1, 2], \"tags\": [\"x\"]}')",
    "CREATE TABLE orders (id INT PRIMARY KEY, customer INT, amount DOUBLE, day DATETIME(6), paid TINYINT(1))",
    "INSERT INTO orders VALUES (1, 1, 10.5, '2024-01-01', 1), (2, 1, 20, '2024-02-02', 0), (3, 2, 55, NULL, NULL)",
    "CREATE VIEW big AS SELECT * FROM orders WHERE amount > 15",
    "CREATE TABLE `odd name; --` (`a b` INT PRIMARY KEY, `sel``ect` INT)",
    "INSERT INTO `odd name; --` VALUES (1, NULL)",
    "CALL DOLT_COMMIT('-Am', 'one')",
    "CALL DOLT_TAG('v1')",
    "CALL DOLT_BRANCH('run/1')",
    "INSERT INTO orders VALUES (4, 3, 1, '2024-05-05', NULL)",
    "CALL DOLT_COMMIT('-Am', 'two')",
]


@pytest.fixture
def shop(connection: Connection) -> Iterator[Connection]:
    """Give tables, a view, a branch, a tag and two commits."""
    for statement in SHOP:
        connection.query(statement)
    yield connection
    connection.query("CALL DOLT_BRANCH('-D', 'run/1')")
    connection.query("CALL DOLT_TAG('-d', 'v1')")


def test_all_statements_of_the_tests_of_queries(shop: Connection) -> None:
    """Joins, windows, CTEs, views, AS OF, Dolt's own tables: the same rows, or left to SQL; and SHOW is no query."""
    left: dict[str, int] = {}
    same = 0
    for sql in (statement.replace("shop", shop.database) for statement in STATEMENTS):
        if sql.lower().startswith(("show", "describe", "desc ", "explain")):
            refused(shop, sql, "flyte: no query that only reads")
            continue
        try:
            natively(shop, sql)
        except DoltError as error:
            if "flyte: use SQL: " in str(error):
                left[sql] = same
                continue
            with pytest.raises(type(error)):
                reading.query(shop, sql)
            continue
        assert_same(shop, sql)
        same += 1
    assert same > 130
    assert len(left) < 8, list(left)


def test_no_rows_have_columns(connection: Connection) -> None:
    """An empty result, and one with nothing but NULL, has the types of any other."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, v TEXT, d DECIMAL(5, 2))")
    found = natively(connection, "SELECT * FROM t")
    assert found.schema == pa.schema([("id", pa.int32()), ("v", pa.string()), ("d", pa.decimal128(38, 2))])
    connection.execute("INSERT INTO t (id) VALUES (1), (2)")
    assert assert_same(connection, "SELECT v, d, NULL AS n FROM t").to_pydict() == {
        name: [None, None] for name in "vdn"
    }
    assert_same(connection, "SELECT a.v, b.id, b.d FROM t a LEFT JOIN t b ON b.id = a.id + 1 ORDER BY a.id")


def test_names_are_those_of_sql(connection: Connection) -> None:
    """Doubled ones, ones that have to be quoted, and texts of expressions."""
    connection.execute('CREATE TABLE t (id INT PRIMARY KEY, `a "b" <é> &` INT)')
    connection.execute("INSERT INTO t VALUES (1, 2)")
    for sql in (
        "SELECT id, id, t.id FROM t",
        "SELECT * FROM t a JOIN t b USING (id)",
        "SELECT a.*, b.* FROM t a, t b",
        'SELECT *, id+1, ID, t . id, `a "b" <é> &` FROM t',
        "SELECT 1 AS ``",
        "SELECT id AS id FROM t UNION SELECT 7 AS other",
    ):
        assert_same(connection, sql)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT POINT(1, 2) AS odd", "odd.*point"),
        (f"SELECT 1{'0' * 46} AS odd", "odd.*76 digits"),
        (f"SELECT -1{'0' * 46} AS odd UNION SELECT 1", "odd.*76 digits"),
        ("SELECT d AS odd FROM t", "odd.*0000-00-00"),
        ("SELECT CAST(d AS DATETIME) AS odd FROM t", "odd.*0000-00-00"),
        ("SELECT 'a text'", "a text.*subquery"),
        ("SELECT v AS odd FROM t UNION SELECT b FROM t", "odd.*varbinary.*subquery"),
        ("SELECT * FROM dolt_query_diff('SELECT 1', 'SELECT 2')", "dolt_query_diff"),
    ],
)
def test_what_is_not_exact_is_left_to_sql(connection: Connection, sql: str, why: str) -> None:
    """The error has one form, names the column, and no file is there."""
    connection.execute("SET SESSION sql_mode = ''")
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, d DATE, v VARCHAR(9), b VARBINARY(9))")
    connection.execute("INSERT INTO t VALUES (1, '0000-00-00', 'é', 'b')")
    connection.execute("SET SESSION sql_mode = @@GLOBAL.sql_mode")
    refused(connection, sql, f"flyte: use SQL: .*{why}")


def test_quotients_have_all_their_digits(connection: Connection) -> None:
    """Of columns of any numbers, a quotient is announced with 65 digits; NULL where it is by 0."""
    connection.execute("CREATE TABLE t (a INT PRIMARY KEY, b BIGINT, d DECIMAL(10, 2), w DECIMAL(65, 30), f DOUBLE)")
    connection.execute(
        "INSERT INTO t VALUES (1, 3, 0.07, 0.000000000000000000000000000001, 0.3), (-2, 7, -9.99, NULL, 1e9),"
        f" (3, 0, 0, {'9' * 35}.{'9' * 30}, -7), (4, {2**63 - 1}, NULL, -{'9' * 35}, 0), (0, {-(2**63)}, 1, 1, 1)"
    )
    names = "abdwf"
    for one in names:
        for other in names:
            assert_same(connection, f"SELECT {one} / {other} AS q, -({one} / {other}) AS n FROM t ORDER BY a")
        assert_same(connection, f"SELECT SUM({one}) / COUNT(*) AS m, AVG({one} / 3) AS a FROM t")
    assert natively(connection, "SELECT a / b AS q FROM t")["q"].type == pa.decimal256(76, 4)


def test_more_places_than_announced(connection: Connection) -> None:
    """Dolt 1.83 announces fewer places than there are in a product; none is lost by it."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, q DECIMAL(10, 2))")
    connection.execute("INSERT INTO t VALUES (1, 1.25), (2, 3)")
    for sql in ("SELECT q * 0.5 AS h FROM t", "SELECT q * q AS h FROM t", "SELECT id * 1.5 AS h FROM t"):
        try:
            natively(connection, sql)
        except DoltError as error:
            assert "flyte: use SQL: " in str(error)  # noqa: PT017
        else:
            assert_same(connection, sql)


def test_a_session_in_another_character_set(connection: Connection) -> None:
    """The server would print text in it."""
    connection.execute("SET SESSION character_set_results = 'latin1'")
    try:
        refused(connection, "SELECT 'é' AS e", "flyte: use SQL: .*latin1")
    finally:
        connection.execute("SET SESSION character_set_results = 'utf8mb4'")


def test_it_is_what_the_session_sees(connection: Connection) -> None:
    """At a commit, on a branch, at another one by AS OF, and with what the transaction alone has."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    (first,) = connection.query("SELECT DOLT_HASHOF('HEAD')")[0]
    connection.query("CALL dolt_branch('other')")
    ids = "SELECT id FROM t ORDER BY id"
    with connection.at("other"):
        connection.execute("INSERT INTO t VALUES (2)")
        connection.query("CALL dolt_commit('-Am', 'two')")
        connection.execute("INSERT INTO t VALUES (3)")
        assert natively(connection, ids)["id"].to_pylist() == [1, 2, 3]
        assert natively(connection, "SELECT id FROM t AS OF 'HEAD' ORDER BY id")["id"].to_pylist() == [1, 2]
        assert natively(connection, f"SELECT id FROM t AS OF '{first}'")["id"].to_pylist() == [1]
    with connection.at(first):
        assert natively(connection, ids)["id"].to_pylist() == [1]
        assert natively(connection, "SELECT id FROM t AS OF 'other' ORDER BY id")["id"].to_pylist() == [1, 2]
        with connection.read_only_session() as reader:
            assert natively(reader, f"SELECT id, USER() AS u, '{first}' AS h FROM t").to_pylist() == [
                {"id": 1, "u": "flyte_reader@localhost", "h": first}
            ]
    connection.execute("START TRANSACTION")
    connection.execute("INSERT INTO t VALUES (4)")
    assert natively(connection, ids)["id"].to_pylist() == [1, 4]
    connection.execute("ROLLBACK")
    assert natively(connection, ids)["id"].to_pylist() == [1]
    connection.query("CALL dolt_branch('-D', 'other')")


def test_a_transaction_goes_on(connection: Connection) -> None:
    """A query neither commits nor ends the transaction that it is asked in, whether it is answered or refused."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    with closing(_another(connection)) as other:
        connection.execute("START TRANSACTION")
        connection.execute("INSERT INTO t VALUES (1)")
        natively(connection, "SELECT * FROM t")
        refused(connection, "DELETE FROM t", "flyte: no query that only reads")
        refused(connection, "SELECT * FROM missing", "missing")
        assert other.query("SELECT * FROM t") == []
        connection.execute("COMMIT")
        assert other.query("SELECT * FROM t") == [(1,)]


def _another(connection: Connection) -> Connection:
    return Connection(connections._open(connection.endpoint), connection.endpoint, connection.database)


def numbers(connection: Connection) -> None:
    """Make a table of ten rows, of which a join has as many as are wanted."""
    connection.execute("CREATE TABLE ten (n INT PRIMARY KEY)")
    connection.execute("INSERT INTO ten VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")


def test_many_rows_come_in_many_batches(connection: Connection) -> None:
    """More rows than a batch has, in the order that is asked for, with NULLs that begin in the middle."""
    numbers(connection)
    found = natively(
        connection,
        "SELECT i, IF(i % 1000 = 999, NULL, CONCAT('row ', i)) AS v, i / 8e0 AS d FROM (SELECT a.n * 10000 + b.n * 1000"
        " + c.n * 100 + d.n * 10 + e.n AS i FROM ten a, ten b, ten c, ten d, ten e WHERE a.n < 7) q ORDER BY i",
    )
    assert found["i"].to_pylist() == list(range(70_000))
    assert found["v"].to_pylist() == [None if i % 1000 == 999 else f"row {i}" for i in range(70_000)]
    assert found["d"].to_pylist() == [i / 8 for i in range(70_000)]
    assert found["i"].num_chunks > 1


ENDLESS = f"SELECT a.n FROM ten a{''.join(f', ten b{i}' for i in range(9))}"


def killed(connection: Connection, running: Connection, number: int) -> None:
    """End the query of a session from another one."""
    connection.query(f"KILL QUERY {number}")


def cut(_: Connection, running: Connection, __: int) -> None:
    """Drop a session's socket."""
    running._raw._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]


@pytest.mark.parametrize("ends", [killed, cut])
def test_a_cancelled_query_leaves_no_file(
    connection: Connection, ends: Callable[[Connection, Connection, int], None]
) -> None:
    """It ends with its session, in the middle of a batch, too; what it had written is gone."""
    numbers(connection)
    path = folder_of(connection) / "cancelled.rows"
    with closing(_another(connection)) as running:
        (number,) = running.query("SELECT CONNECTION_ID()")[0]
        asking = threading.Thread(target=_failing, args=(running, path))
        asking.start()
        _wait_for(path.exists)
        ends(connection, running, number)
        asking.join(30)
        assert not asking.is_alive()
        _wait_for(lambda: not path.exists())
    _wait_for(lambda: not [row for row in connection.query("SHOW PROCESSLIST") if "cancelled.rows" in str(row)])


def _failing(running: Connection, path: Path) -> None:
    with pytest.raises(DoltError):
        running.query("CALL flyte_query(%s, %s)", ENDLESS, str(path))


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_error_between_rows_leaves_no_file(connection: Connection) -> None:
    """Rows that were written before it are gone with the file."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, v BIGINT)")
    connection.execute("INSERT INTO t VALUES (1, 1), (2, -9223372036854775808)")
    refused(connection, "SELECT -v FROM t ORDER BY id", "out of range")


def test_files_are_new_and_inside_the_folder(connection: Connection, tmp_path: Path) -> None:
    """Nothing outside is made or changed, and nothing that is there inside."""
    folder = folder_of(connection)
    (folder / "there").write_text("kept")
    (folder / "out").symlink_to(tmp_path)
    try:
        for path in [
            str(folder / "there"),
            f"{folder}/out/made",
            f"{folder}/../made",
            str(tmp_path / "made"),
            "made",
            "",
        ]:
            with pytest.raises(DoltError):
                connection.query("CALL flyte_query('SELECT 1', %s)", path)
        assert (folder / "there").read_text() == "kept"
        assert sorted(found.name for found in folder.iterdir()) == ["out", "there"]
        assert list(tmp_path.glob("made")) == []
    finally:
        (folder / "there").unlink()
        (folder / "out").unlink()


def test_a_query_has_the_rights_of_its_user(connection: Connection) -> None:
    """Who may execute the procedure reads the tables that they may select from, and no other, by whatever way."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("CREATE TABLE other (id INT PRIMARY KEY)")
    place = connection.database
    connection.execute("CREATE USER some@localhost IDENTIFIED BY 'x'")
    connection.execute(f"GRANT SELECT ON `{place}`.t TO some@localhost")
    try:
        with closing(as_user(connection, "some")) as session:
            refused(session, "SELECT * FROM t", "denied")
            connection.execute(f"GRANT EXECUTE ON `{place}`.* TO some@localhost")
            refused(session, "SELECT * FROM t", "denied")
            connection.execute(f"GRANT EXECUTE ON PROCEDURE `{place}`.flyte_query TO some@localhost")
            assert natively(session, "SELECT COUNT(*) AS n FROM t")["n"].to_pylist() == [0]
            for sql in (
                "SELECT * FROM other",
                "SELECT (SELECT COUNT(*) FROM other)",
                "SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM other)",
                "WITH o AS (SELECT * FROM other) SELECT * FROM o",
                "SELECT 1 UNION SELECT id FROM other",
                "TABLE other",
                "SELECT * FROM mysql.user",
                "SELECT * FROM other AS OF 'HEAD'",
            ):
                refused(session, sql, "denied")
    finally:
        connection.execute("DROP USER some@localhost")


def test_the_reading_user_may_execute_three_procedures(connection: Connection) -> None:
    """Where the server's program is ours, it reads natively, and has no other procedure."""
    assert connection.rows_version() == procedures.VERSION
    with connection.read_only_session() as reader:
        rights = sorted(str(right) for (right,) in connection.query("SHOW GRANTS FOR 'flyte_reader'@'localhost'"))
        assert [right.partition(" TO ")[0] for right in rights] == [
            f"GRANT EXECUTE ON PROCEDURE `{connection.database}`.`flyte_diff`",
            f"GRANT EXECUTE ON PROCEDURE `{connection.database}`.`flyte_export`",
            f"GRANT EXECUTE ON PROCEDURE `{connection.database}`.`flyte_query`",
            "GRANT SELECT ON *.*",
        ]
        assert natively(reader, "SELECT USER() AS u")["u"].to_pylist() == ["flyte_reader@localhost"]
        for procedure in ("flyte_rows_version()", "dolt_branch('x')", "dolt_gc()"):
            with pytest.raises(DoltError, match="denied"):
                reader.query(f"CALL {procedure}")


def test_whatever_the_repository_is_called(tmp_path: Path) -> None:
    """The right is one on procedures of the database, whose name is that of the folder, and holds at its revisions."""
    (tmp_path / "It's A`b é.x").mkdir()
    path = create_repository(tmp_path / "It's A`b é.x", name="Ann", email="ann@x.org")
    with refs.connect(path) as connection:
        (head,) = connection.query("SELECT DOLT_HASHOF('HEAD')")[0]
        for place in (None, "main", head):
            with connection.at(place), connection.read_only_session() as reader:
                assert natively(reader, "SELECT DATABASE() AS d")["d"].to_pylist() == [
                    path.name if place is None else f"{path.name}/{place}"
                ]
    local_server.release(path)


def test_another_dolt_has_nothing_to_execute(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server does not answer for our procedures, the reading user is made as ever."""
    monkeypatch.setattr(procedures, "ASKS_VERSION", "CALL flyte_nothing_version()")
    monkeypatch.setattr(connections, "_rows_versions", {})
    monkeypatch.setattr(connections, "_readers", {})
    monkeypatch.setattr(connections, "_READER", "flyte_other")
    try:
        assert connection.rows_version() is None
        login = connection._reader_login()
        rights = connection.query("SHOW GRANTS FOR 'flyte_other'@'localhost'")
        assert [str(right).partition(" TO ")[0] for (right,) in rights] == ["GRANT SELECT ON *.*"]
        with closing(Connection(connections._open(login), login, connection.database)) as reader:
            assert reader.query("SELECT 1") == [(1,)]
            refused(reader, "SELECT 1", "denied")
    finally:
        connection.execute("DROP USER IF EXISTS flyte_other@localhost")
