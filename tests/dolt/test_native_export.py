"""A whole table as a file of rows, written by the server: the same rows that SQL gives, and for nobody else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from rows_files import as_user, folder_of
from stored_types import NAMES, VALUES, every_type

from flytekitplugins.dolt.codec import result_columns
from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.tables import rows_file

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True


def exported(connection: Connection, table: str) -> pa.Table:
    """Return the rows of ``table`` by way of a file, of which nothing stays."""
    path = folder_of(connection) / "export.rows"
    (found,) = connection.query("CALL flyte_export(%s, %s)", table, str(path))
    try:
        rows = rows_file.read(path)
    finally:
        path.unlink()
    assert found == (len(rows),)
    rows.validate(full=True)
    return rows


def by_sql(connection: Connection, statement: str) -> pa.Table:
    """Return the rows that SQL prints, in the types that it announces."""
    return result_columns.from_text(*connection.text_rows(statement))


def assert_same(connection: Connection, table: str) -> pa.Table:
    """Compare an export with what SQL prints, in SQL's order and types; JSON as text, with blanks in it."""
    columns = [
        f"CAST(`{name}` AS CHAR) `{name}`" if kind == "json" else f"`{name}`"
        for name, kind, *_ in connection.query(f"SHOW COLUMNS FROM `{table}`")
    ]
    found, expected = exported(connection, table), by_sql(connection, f"SELECT {', '.join(columns)} FROM `{table}`")
    assert found.column_names == expected.column_names
    for name in found.column_names:
        assert found[name].cast(expected.schema.field(name).type).to_pylist() == expected[name].to_pylist(), name
    return found


def test_every_type_is_as_sql_gives_it(connection: Connection) -> None:
    """Limits, empty ones, NULL, and what is stored apart from its row; none is of a type that was not meant."""
    every_type(connection, " PRIMARY KEY")
    found = assert_same(connection, "every")
    for kind, (name, values) in VALUES.items():
        column = found[NAMES[kind]]
        assert column.type == rows_file._type(name), kind
        assert column.null_count == 1, kind
        assert len(column) > len(values), kind


def test_every_type_without_a_key(connection: Connection) -> None:
    """Rows that are there more than once are exported as often, beside each other as SQL has them."""
    every_type(connection, "")
    connection.execute("INSERT INTO every SELECT * FROM every WHERE id < 3")
    connection.execute("INSERT INTO every SELECT * FROM every WHERE id < 2")
    found = assert_same(connection, "every")
    assert found["id"].to_pylist().count(1) == 4
    assert found["id"].to_pylist().count(2) == 2


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("VARCHAR(20)", "'b', 'B', 'a', '', 'é'"),
        ("VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", "'b', 'C', 'a', 'É'"),
        ("DECIMAL(5,1)", "-10, 5, 0.5, -0.5"),
        ("DECIMAL(65,1)", f"-1{'0' * 50}, 5, 1{'0' * 60}, -0.5"),
        ("DOUBLE", "-1.5, 1e9, 0, -1e-9"),
        ("DATE", "'2024-01-02', '1999-01-01'"),
        ("TIME", "'01:00:00', '-01:00:00'"),
        ("VARBINARY(9)", "x'ff', x'00', ''"),
    ],
)
def test_the_order_is_that_of_the_clustered_index(connection: Connection, kind: str, keys: str) -> None:
    """The key may be of any type and in another order than the columns."""
    connection.execute(f"CREATE TABLE t (note TEXT, b INT, a {kind}, PRIMARY KEY (a, b))")
    rows = [f"('note {b}', {b}, {key})" for key in keys.split(", ") for b in (7, -1, 0)]
    connection.execute(f"INSERT INTO t VALUES {', '.join(rows)}")
    assert_same(connection, "t")


def test_many_rows_come_in_many_batches(connection: Connection) -> None:
    """Trees of several levels, more rows than a batch has, and NULLs that begin in the middle of one."""
    connection.execute("CREATE TABLE ten (n INT PRIMARY KEY)")
    connection.execute("INSERT INTO ten VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), d DOUBLE)")
    connection.execute(
        "INSERT INTO t SELECT i, IF(i % 1000 = 999, NULL, CONCAT('row ', i)), i / 8 FROM (SELECT a.n * 10000"
        " + b.n * 1000 + c.n * 100 + d.n * 10 + e.n AS i FROM ten a, ten b, ten c, ten d, ten e WHERE a.n < 7) numbers"
    )
    found = exported(connection, "t")
    assert found["id"].to_pylist() == list(range(70_000))
    assert found["v"].to_pylist() == [None if i % 1000 == 999 else f"row {i}" for i in range(70_000)]
    assert found["d"].to_pylist() == [i / 8 for i in range(70_000)]
    assert found["id"].num_chunks > 1


def test_no_rows_are_a_table_with_columns(connection: Connection) -> None:
    """Tables are found without regard to case, as SQL finds them."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
    assert exported(connection, "T").schema == pa.schema([("id", pa.int32()), ("v", pa.string())])


def test_it_is_the_table_that_the_session_sees(connection: Connection) -> None:
    """At a commit, on a branch, with what is not committed, and with what the transaction alone has."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    (first,) = connection.query("SELECT DOLT_HASHOF('HEAD')")[0]
    connection.query("CALL dolt_branch('other')")
    with connection.at("other"):
        connection.execute("INSERT INTO t VALUES (2)")
        connection.query("CALL dolt_commit('-Am', 'two')")
        connection.execute("INSERT INTO t VALUES (3)")
        assert exported(connection, "t")["id"].to_pylist() == [1, 2, 3]
    with connection.at(first):
        assert exported(connection, "t")["id"].to_pylist() == [1]
    connection.execute("START TRANSACTION")
    connection.execute("INSERT INTO t VALUES (4)")
    assert exported(connection, "t")["id"].to_pylist() == [1, 4]
    connection.execute("ROLLBACK")
    assert exported(connection, "t")["id"].to_pylist() == [1]
    connection.query("CALL dolt_branch('-D', 'other')")


def test_a_table_of_another_branch(connection: Connection) -> None:
    """A name may stand for a table of another branch; what is exported is what SQL reads under it."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.query("CALL dolt_commit('-Am', 'one')")
    connection.query("CALL dolt_branch('other')")
    connection.execute("INSERT INTO t VALUES (2)")
    connection.execute("INSERT INTO dolt_nonlocal_tables VALUES ('away', 'other', 't', 'immediate')")
    assert assert_same(connection, "away")["id"].to_pylist() == [1]
    connection.execute("DELETE FROM dolt_nonlocal_tables")
    connection.query("CALL dolt_branch('-D', 'other')")


def test_the_zone_of_the_session_moves_nothing(connection: Connection) -> None:
    """Dolt prints a TIMESTAMP as it is stored, in whatever zone a session is."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP)")
    connection.execute("INSERT INTO t VALUES (1, '2001-02-03 04:05:06')")
    connection.execute("SET SESSION time_zone = '+05:00'")
    assert_same(connection, "t")
    connection.execute("SET SESSION time_zone = @@GLOBAL.time_zone")


def test_columns_that_came_and_went(connection: Connection) -> None:
    """Rows that were stored before a column was have its default, or NULL."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, gone INT, v INT)")
    connection.execute("INSERT INTO t VALUES (1, 2, 3), (2, 3, 4)")
    connection.execute("ALTER TABLE t ADD COLUMN first VARCHAR(9) DEFAULT 'new' FIRST")
    connection.execute("ALTER TABLE t ADD COLUMN last INT, DROP COLUMN gone")
    connection.execute("INSERT INTO t VALUES ('x', 3, 5, 6)")
    assert_same(connection, "t")


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("ENUM('a', 'b')", "'a'", "enum"),
        ("SET('a', 'b')", "'a,b'", "set"),
        ("POINT", "POINT(1, 2)", "point"),
        ("INT AS (id + 1)", "DEFAULT", "computed"),
        ("DATE", "'0000-00-00'", "0000-00-00"),
        ("DATE", "'0999-12-31'", "0999-12-31"),
        ("DATETIME", "'0000-00-00'", "years"),
        ("DATETIME", "'0999-12-31 23:59:59'", "years"),
    ],
)
def test_what_is_not_exact_is_left_to_sql(connection: Connection, kind: str, value: str, why: str) -> None:
    """The error has one form, names the column, and no file is there."""
    connection.execute("SET SESSION sql_mode = ''")
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY, odd {kind})")
    connection.execute(f"INSERT INTO t (id, odd) VALUES (1, {value})")
    connection.execute("SET SESSION sql_mode = @@GLOBAL.sql_mode")
    refused(connection, "t", f"flyte: use SQL: .*odd.*{why}")


def refused(connection: Connection, table: str, why: str) -> None:
    """Find that an export is refused for a reason, and leaves no file."""
    path = folder_of(connection) / "refused.rows"
    try:
        with pytest.raises(DoltError, match=why):
            connection.query("CALL flyte_export(%s, %s)", table, str(path))
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)


def test_only_stored_tables(connection: Connection) -> None:
    """A view, a system table, one of this session alone, and none at all are SQL's."""
    connection.execute("CREATE VIEW seen AS SELECT 1 AS one")
    connection.execute("CREATE TEMPORARY TABLE passing (id INT PRIMARY KEY)")
    for name in ("seen", "passing", "dolt_log", "dolt_ignore", "missing", ""):
        refused(connection, name, "flyte: use SQL: ")
    connection.execute("DROP TEMPORARY TABLE passing")
    connection.execute("DROP VIEW seen")


def test_files_are_new_and_inside_the_folder(connection: Connection, tmp_path: Path) -> None:
    """Nothing outside is made or changed, by whatever name, and nothing that is there inside."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    folder = folder_of(connection)
    (folder / "there").write_text("kept")
    (folder / "link").symlink_to(tmp_path / "made")
    (folder / "out").symlink_to(tmp_path)
    (folder / "there2").symlink_to("there")
    bad = ["there", "link", "out/made", "there2", "../made", "there/x", ".", "", "no/folder"]
    try:
        for path in [*(f"{folder}/{name}" for name in bad), "made.rows", str(tmp_path / "made"), ""]:
            with pytest.raises(DoltError):
                connection.query("CALL flyte_export('t', %s)", path)
        assert (folder / "there").read_text() == "kept"
        assert sorted(found.name for found in folder.iterdir()) == ["link", "out", "there", "there2"]
        assert not (tmp_path / "made").exists()
        assert not (folder.parent / "made").exists()
    finally:
        for name in ("link", "out", "there", "there2"):
            (folder / name).unlink()


def test_who_may_select_and_execute_it_may_export(connection: Connection) -> None:
    """Both rights are needed: that to SELECT from the table, and that to execute this very procedure."""
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    connection.execute("CREATE TABLE other (id INT PRIMARY KEY)")
    place, path = connection.database, folder_of(connection) / "mine.rows"
    rights = {
        "selects": ["SELECT ON *.*"],
        "executes_all": ["SELECT ON *.*", f"EXECUTE ON `{place}`.*"],
        "executes_it": [f"EXECUTE ON PROCEDURE `{place}`.flyte_export", f"SELECT ON `{place}`.other"],
        "both_rights": [f"EXECUTE ON PROCEDURE `{place}`.flyte_export", f"SELECT ON `{place}`.t"],
    }
    for user, given in rights.items():
        connection.execute(f"CREATE USER {user}@localhost IDENTIFIED BY 'x'")
        for right in given:
            connection.execute(f"GRANT {right} TO {user}@localhost")
    try:
        for user in ("selects", "executes_all", "executes_it"):
            with closing(as_user(connection, user)) as session, pytest.raises(DoltError, match="denied"):
                session.query("CALL flyte_export('t', %s)", str(path))
            assert not path.exists()
        with closing(as_user(connection, "both_rights")) as session:
            assert session.query("CALL flyte_export('t', %s)", str(path)) == [(0,)]
    finally:
        path.unlink(missing_ok=True)
        for user in rights:
            connection.execute(f"DROP USER {user}@localhost")
