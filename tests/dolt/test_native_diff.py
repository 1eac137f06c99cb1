"""The rows that differ between two commits as a file of rows, which the server finds in the trees: as dolt_diff()."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from factor import SEED
from rows_files import as_user, folder_of
from stored_types import NAMES, VALUES, every_type

from flytekitplugins.dolt.codec import result_columns
from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.tables import rows_file

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True

KINDS = ("added", "modified", "removed")
CALL = "CALL flyte_diff(%s, %s, %s, %s, %s, %s, %s)"


def committed(connection: Connection, *statements: str) -> str:
    """Run statements, commit all, and return the commit."""
    for statement in statements:
        connection.execute(statement)
    ((made,),) = connection.query("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--allow-empty')")
    return str(made)


def differing(
    connection: Connection, before: str, after: str, *, kinds: tuple[str, ...] = KINDS, most: int = -1, table: str = "t"
) -> tuple[dict[str, int], pa.Table]:
    """Return how many rows differ, and those by way of a file, of which nothing stays."""
    path = folder_of(connection) / "diff.rows"
    ((*counts, had, has),) = connection.query(CALL, before, after, table, ",".join(kinds), "both", most, str(path))
    try:
        rows = rows_file.read(path)
    finally:
        path.unlink()
    rows.validate(full=True)
    for revision, count in ((before, had), (after, has)):
        if revision != "WORKING":
            assert connection.query(f"SELECT COUNT(*) FROM `{table}` AS OF '{revision}'") == [(count,)]
    return dict(zip(KINDS, counts, strict=True)), rows


def by_sql(connection: Connection, before: str, after: str, table: str = "t") -> pa.Table:
    """Return the rows of dolt_diff() as SQL prints them, in the types that it announces; JSON as text with blanks."""
    described = connection.query(f"SHOW COLUMNS FROM `{table}`")
    columns = [(f"{side}{name}", kind) for side in ("to_", "from_") for name, kind, *_ in described]
    terms = [f"CAST(`{name}` AS CHAR) `{name}`" if kind == "json" else f"`{name}`" for name, kind in columns]
    statement = f"SELECT diff_type, {', '.join(terms)} FROM DOLT_DIFF('{before}', '{after}', '{table}')"
    return result_columns.from_text(*connection.text_rows(statement))


def assert_same(connection: Connection, before: str, after: str, table: str = "t") -> pa.Table:
    """Compare what differs with what SQL prints of it, there and back: rows, order, types and counts."""
    for old, new in ((after, before), (before, after)):
        counts, found = differing(connection, old, new, table=table)
        expected = by_sql(connection, old, new, table)
        assert found.column_names == expected.column_names
        for name in found.column_names:
            kind = expected.schema.field(name).type
            assert found[name].cast(kind).to_pylist() == expected[name].to_pylist(), name
        kinds = Counter(found["diff_type"].to_pylist())
        assert counts == {kind: kinds[kind] for kind in KINDS}
    return found


def test_every_type_is_as_sql_gives_it(connection: Connection) -> None:
    """Each type goes to NULL and back, and from each value to another; rows come and go, too."""
    every_type(connection, " PRIMARY KEY")
    start = committed(connection)
    for name in NAMES.values():
        connection.execute(f"UPDATE every SET {name} = NULL WHERE id = 0")
    ((last,),) = connection.query("SELECT MAX(id) FROM every")
    nulls = ", ".join(f"a.{name} = b.{name}" for name in NAMES.values())
    connection.execute(f"UPDATE every a JOIN every b ON b.id = 1 SET {nulls} WHERE a.id = {last}")
    connection.execute("UPDATE every SET id = id + 100 WHERE id IN (2, 3)")
    end = committed(connection)
    found = assert_same(connection, start, end, "every")
    assert Counter(found["diff_type"].to_pylist()) == {"added": 2, "modified": 2, "removed": 2}
    for kind, (name, _) in VALUES.items():
        for side in ("to_", "from_"):
            assert found[side + NAMES[kind]].type == rows_file._type(name), kind
            assert 0 < found[side + NAMES[kind]].null_count < 6, kind


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("VARCHAR(20)", "'b', 'B', 'a', '', 'é', 'zz'"),
        ("VARCHAR(20) COLLATE utf8mb4_bin", "'b', 'B', 'a', '', 'é'"),
        ("VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", "'b', 'C', 'a', 'É'"),
        ("DECIMAL(5,1)", "-10, 5, 0.5, -0.5"),
        ("DECIMAL(65,1)", f"-1{'0' * 50}, 5, 1{'0' * 60}, -0.5"),
        ("DOUBLE", "-1.5, 1e9, 0, -1e-9"),
        ("BIGINT UNSIGNED", "0, 18446744073709551615, 9223372036854775808, 7"),
        ("DATE", "'2024-01-02', '1999-01-01'"),
        ("TIME", "'01:00:00', '-01:00:00'"),
        ("VARBINARY(9)", "x'ff', x'00', ''"),
    ],
)
def test_the_order_is_that_of_the_key(connection: Connection, kind: str, keys: str) -> None:
    """The key may be of any type and in another order than the columns; all of it is there on both sides."""
    rows = [f"('note {b}', {b}, {key})" for key in keys.split(", ") for b in (7, -1, 0)]
    empty = committed(connection, f"CREATE TABLE t (note TEXT, b INT, a {kind}, PRIMARY KEY (a, b))")
    full = committed(connection, f"INSERT INTO t VALUES {', '.join(rows)}")
    changed = committed(
        connection,
        "UPDATE t SET note = CONCAT(note, '!') WHERE b = 7",
        "DELETE FROM t WHERE b = -1",
        "UPDATE t SET b = 5 WHERE b = 0",
    )
    assert len(assert_same(connection, empty, full)) == len(rows)
    assert len(assert_same(connection, full, changed)) == len(rows) // 3 * 4


def test_a_key_that_collates_as_the_old_one_is_that_row(connection: Connection) -> None:
    """Where Dolt holds two keys equal it pairs their rows under the old one, and so is it here."""
    before = committed(
        connection,
        "CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, n INT)",
        "INSERT INTO t VALUES ('ann', 1), ('bob', 2), ('cem', 3)",
    )
    after = committed(connection, "DELETE FROM t", "INSERT INTO t VALUES ('Ann', 1), ('BOB', 5), ('cem', 3)")
    assert assert_same(connection, before, after)["to_n"].to_pylist() == [5]


def numbers(rows: int) -> str:
    """Return a query for the numbers below ``rows``."""
    digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 "
    digits += "UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
    places = " + ".join(f"{name}.n * {10**power}" for power, name in enumerate("abcde"))
    tables = ", ".join(f"{digits} {name}" for name in "abcde")
    return f"SELECT i FROM (SELECT {places} AS i FROM {tables}) all_of_them WHERE i < {rows}"


@pytest.mark.slow
def test_many_rows(connection: Connection) -> None:
    """Few changes, many, whole stretches that come and go, and a table that is all new, in trees of several levels."""
    start = committed(
        connection,
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), d DOUBLE)",
        f"INSERT INTO t SELECT 2 * i, IF(i % 100 = 99, NULL, CONCAT('row ', i)), i / 8 FROM ({numbers(50_000)}) q",
    )
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    some = ", ".join(str(2 * chance.randrange(50_000)) for _ in range(40))
    low = chance.randrange(40_000)
    for change in (
        [f"UPDATE t SET d = d + 1 WHERE id IN ({some})"],
        [f"UPDATE t SET v = CONCAT(v, ' and more') WHERE id IN ({some})", f"DELETE FROM t WHERE id = {2 * low}"],
        [f"DELETE FROM t WHERE id BETWEEN {low} AND {low + 30_000}"],
        [f"INSERT INTO t SELECT 2 * i + 1, 'between', NULL FROM ({numbers(30_000)}) q WHERE i % 7 = 0"],
        [f"INSERT INTO t SELECT -1 - i, NULL, i FROM ({numbers(20_000)}) q"],
        ["UPDATE t SET d = -d WHERE id % 200 = 0"],
        ["UPDATE t SET v = LEFT(v, 5)"],
        ["DELETE FROM t WHERE id > 100"],
        ["DELETE FROM t"],
    ):
        end = committed(connection, *change)
        assert len(assert_same(connection, start, end)) > 0
        start, before = end, start
        assert len(assert_same(connection, before, before)) == 0


@pytest.mark.slow
def test_more_rows_than_a_batch_holds(connection: Connection) -> None:
    """Many batches, with NULLs that begin in the middle of one."""
    empty = committed(connection, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))")
    full = committed(connection, f"INSERT INTO t SELECT i, IF(i = 69000, NULL, i) FROM ({numbers(70_000)}) q")
    counts, found = differing(connection, empty, full)
    assert counts == {"added": 70_000, "modified": 0, "removed": 0}
    assert found["to_id"].to_pylist() == list(range(70_000))
    assert found["to_v"].to_pylist() == [None if i == 69_000 else str(i) for i in range(70_000)]
    assert (found["from_id"].null_count, found["from_v"].null_count) == (70_000, 70_000)
    assert found["to_id"].num_chunks > 1


def test_kinds_and_a_limit_are_for_the_rows_alone(connection: Connection) -> None:
    """All are counted; the rows are the first of those kinds."""
    before = committed(
        connection,
        "CREATE TABLE t (id INT PRIMARY KEY, n INT)",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
    )
    after = committed(
        connection,
        "UPDATE t SET n = -n WHERE id IN (2, 4)",
        "DELETE FROM t WHERE id IN (1, 3)",
        "INSERT INTO t VALUES (0, 0), (9, 9)",
    )
    whole = ["added", "removed", "modified", "removed", "modified", "added"]
    for kinds in (KINDS, ("added", "modified"), ("removed",), ("modified", "added"), ()):
        for most in (-1, 0, 1, 2, 3, 100):
            counts, found = differing(connection, before, after, kinds=kinds, most=most)
            assert counts == {"added": 2, "modified": 2, "removed": 2}
            wanted = [kind for kind in whole if kind in kinds]
            assert found["diff_type"].to_pylist() == (wanted if most < 0 else wanted[:most])


def test_zero_and_negative_zero_are_equal_as_for_dolt(connection: Connection) -> None:
    """A row of which nothing but the sign of a zero changed is none; one that changed more has it."""
    before = committed(
        connection,
        "CREATE TABLE t (id INT PRIMARY KEY, x DOUBLE, n INT)",
        "INSERT INTO t VALUES (1, 0.0, 1), (2, 0.0, 1)",
    )
    after = committed(connection, "DELETE FROM t", "INSERT INTO t VALUES (1, -0.0, 1), (2, -0.0, 2)")
    assert assert_same(connection, before, after)["to_id"].to_pylist() == [2]


def test_it_is_asked_on_a_commit_and_on_a_branch(connection: Connection) -> None:
    """Wherever the session is; revisions may be named as in dolt_diff(), the working set, too."""
    before = committed(connection, "CREATE TABLE t (id INT PRIMARY KEY)")
    after = committed(connection, "INSERT INTO t VALUES (1)")
    connection.execute("INSERT INTO t VALUES (2)")
    for place in (None, "main", before):
        with connection.at(place):
            assert differing(connection, before, after)[1]["to_id"].to_pylist() == [1]
    assert differing(connection, "HEAD~1", "HEAD")[1]["to_id"].to_pylist() == [1]
    assert differing(connection, before, "WORKING")[1]["to_id"].to_pylist() == [1, 2]


REFUSED = {
    "no key": (["CREATE TABLE t (n INT)"], ["INSERT INTO t VALUES (1)"], "no key"),
    "another type": (["CREATE TABLE t (id INT PRIMARY KEY, n INT)"], ["ALTER TABLE t MODIFY n BIGINT"], "schema"),
    "a longer text": (
        ["CREATE TABLE t (id INT PRIMARY KEY, n VARCHAR(9))"],
        ["ALTER TABLE t MODIFY n VARCHAR(10)"],
        "schema",
    ),
    "a new column": (["CREATE TABLE t (id INT PRIMARY KEY)"], ["ALTER TABLE t ADD n INT"], "schema"),
    "a lost column": (["CREATE TABLE t (id INT PRIMARY KEY, n INT)"], ["ALTER TABLE t DROP n"], "schema"),
    "a renamed column": (
        ["CREATE TABLE t (id INT PRIMARY KEY, n INT)"],
        ["ALTER TABLE t RENAME COLUMN n TO m"],
        "schema",
    ),
    "exchanged names": (
        ["CREATE TABLE t (id INT PRIMARY KEY, n INT, m INT)"],
        [
            "ALTER TABLE t RENAME COLUMN n TO x",
            "ALTER TABLE t RENAME COLUMN m TO n",
            "ALTER TABLE t RENAME COLUMN x TO m",
        ],
        "schema",
    ),
    "another collation": (
        ["CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_bin PRIMARY KEY)"],
        ["DROP TABLE t", "CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY)"],
        "schema",
    ),
    "another key": (
        ["CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b))"],
        ["ALTER TABLE t DROP PRIMARY KEY", "ALTER TABLE t ADD PRIMARY KEY (b, a)"],
        "schema",
    ),
    "a new table": ([], ["CREATE TABLE t (id INT PRIMARY KEY)"], "no stored table"),
    "a lost table": (["CREATE TABLE t (id INT PRIMARY KEY)"], ["DROP TABLE t"], "no stored table"),
    "a view": (["CREATE VIEW t AS SELECT 1 AS id"], [], "no stored table"),
    "an ENUM": (["CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a'))"], ["INSERT INTO t VALUES (1, 'a')"], 'column "e"'),
    "a year 1": (
        ["CREATE TABLE t (id INT PRIMARY KEY, d DATE)"],
        ["INSERT INTO t VALUES (1, '0001-01-01')"],
        "to_d.*0001-01-01",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_exact_is_left_to_sql(connection: Connection, case: str) -> None:
    """Other schemas, no key, no table, and values that no frame has; nothing is left behind."""
    first, second, why = REFUSED[case]
    before, after = committed(connection, *first), committed(connection, *second)
    refused(connection, f"flyte: use SQL: .*{why}", before, after)
    connection.execute("DROP VIEW IF EXISTS t")


def refused(connection: Connection, why: str, *asked: str) -> None:
    """Find that a comparison is refused for a reason, and leaves no file."""
    path = folder_of(connection) / "refused.rows"
    try:
        with pytest.raises(DoltError, match=why):
            connection.query(CALL, *asked, "t", ",".join(KINDS), "both", -1, str(path))
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)


def test_a_revision_that_is_not_there(connection: Connection) -> None:
    """Neither side may be missing, and no text is taken for one."""
    there = committed(connection, "CREATE TABLE t (id INT PRIMARY KEY)")
    for missing in ("a" * 32, "no-branch", "", "HEAD~999", "'; DROP TABLE t; --"):
        refused(connection, "(?i)(invalid|not found|commit|ref)", missing, there)
        refused(connection, "(?i)(invalid|not found|commit|ref)", there, missing)
    assert connection.query("SELECT COUNT(*) FROM t") == [(0,)]


def test_files_are_new_and_inside_the_folder(connection: Connection, tmp_path: Path) -> None:
    """Nothing outside is made or changed, and nothing that is there inside."""
    there = committed(connection, "CREATE TABLE t (id INT PRIMARY KEY)")
    folder = folder_of(connection)
    (folder / "there").write_text("kept")
    (folder / "out").symlink_to(tmp_path)
    try:
        for path in (f"{folder}/there", f"{folder}/out/made", f"{folder}/../made", "made.rows", f"{tmp_path}/made", ""):
            with pytest.raises(DoltError):
                connection.query(CALL, there, there, "t", "added", "both", -1, path)
        assert (folder / "there").read_text() == "kept"
        assert sorted(found.name for found in folder.iterdir()) == ["out", "there"]
        assert not (tmp_path / "made").exists()
        assert not (folder.parent / "made").exists()
    finally:
        for name in ("out", "there"):
            (folder / name).unlink()


def test_who_may_select_and_execute_it_may_compare(connection: Connection) -> None:
    """Both rights are needed: that to SELECT from the table, and that to execute this very procedure."""
    connection.execute("CREATE TABLE other (id INT PRIMARY KEY)")
    there = committed(connection, "CREATE TABLE t (id INT PRIMARY KEY)")
    place, path = connection.database, folder_of(connection) / "mine.rows"
    rights = {
        "selects": ["SELECT ON *.*"],
        "executes_all": ["SELECT ON *.*", f"EXECUTE ON `{place}`.*"],
        "executes_others": ["SELECT ON *.*", f"EXECUTE ON PROCEDURE `{place}`.flyte_export"],
        "executes_it": [f"EXECUTE ON PROCEDURE `{place}`.flyte_diff", f"SELECT ON `{place}`.other"],
        "both_rights": [f"EXECUTE ON PROCEDURE `{place}`.flyte_diff", f"SELECT ON `{place}`.t"],
    }
    for user, given in rights.items():
        connection.execute(f"CREATE USER {user}@localhost IDENTIFIED BY 'x'")
        for right in given:
            connection.execute(f"GRANT {right} TO {user}@localhost")
    asked = (there, there, "t", "added", "both", -1, str(path))
    try:
        for user in rights:
            with closing(as_user(connection, user)) as session:
                if user == "both_rights":
                    assert session.query(CALL, *asked) == [(0, 0, 0, 0, 0)]
                    continue
                with pytest.raises(DoltError, match="denied"):
                    session.query(CALL, *asked)
                assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
        for user in rights:
            connection.execute(f"DROP USER {user}@localhost")
