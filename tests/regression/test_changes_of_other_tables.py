"""What the server remembers of a write is told of another table with the same bytes as that one reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from flytekitplugins.dolt import Commit, DoltConfig, DoltError, write
from flytekitplugins.dolt.history import diffs
from flytekitplugins.dolt.repository import connections
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.server import procedures

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def committed(connection: Connection, *statements: str) -> Commit:
    """Run statements, commit all, and return the commit."""
    for statement in statements:
        connection.execute(statement)
    return Commit(str(connection.query("CALL DOLT_COMMIT('-A', '-m', 'by hand')")[0][0]))


def both_ways(connection: Connection, table: str, before: Commit, after: Commit) -> tuple[pa.Table, pa.Table]:
    """Return the rows that differ as SQL and as the server's comparison finds them."""
    found = []
    for switch in ("0", "1"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(procedures.SWITCH, switch)
            found.append(diffs.read(connection, table, before, after).arrow)
    return found[0], found[1]


@pytest.mark.parametrize(
    ("written", "other", "was", "now", "the_same"),
    [
        ("DOUBLE", "BIGINT", 0.0, -0.0, "-9223372036854775808"),
        ("VARCHAR(9) COLLATE utf8mb4_0900_ai_ci", "VARCHAR(9) COLLATE utf8mb4_0900_bin", "a", "A", "'A'"),
    ],
)
def test_equal_values_of_one_type_are_others_of_another(
    repo: Path, config: Config, written: str, other: str, was: object, now: object, the_same: str
) -> None:
    """The trees of both tables have the same hashes: in one the values are equal, in the other they are not."""
    with connections.connect(repo) as connection:
        tables = [
            statement
            for name, kind in (("written", written), ("other", other))
            for statement in (
                f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, v {kind})",
                f"INSERT INTO {name} VALUES (1, '{was if was else 0}'), (2, NULL)",
            )
        ]
        before = committed(connection, *tables)
        write(config("written", mode="upsert"), pd.DataFrame({"id": [1], "v": [now]}))
        after = committed(connection, f"UPDATE other SET v = {the_same} WHERE id = 1")
        by_sql, found = both_ways(connection, "other", before, after)
        assert found.num_rows == 1
        assert found.equals(by_sql)


def test_deleted_keys_are_those_that_were_stored(repo: Path, config: Config) -> None:
    """A key of -0.0 deletes the row with 0.0."""
    with connections.connect(repo) as connection:
        before = committed(connection, "CREATE TABLE t (id DOUBLE PRIMARY KEY)", "INSERT INTO t VALUES (0), (1)")
        after = write(config("t", mode="delete"), pd.DataFrame({"id": [-0.0]})).commit
        assert after is not None
        by_sql, found = both_ways(connection, "t", before, after)
        assert repr(found["id"].to_pylist()) == repr(by_sql["id"].to_pylist()) == "[0.0]"


def test_refused_keys_are_told_of_no_other_table(repo: Path, config: Config) -> None:
    """To append A where a is the same key is refused; in another table it is another key, with the same trees."""
    with connections.connect(repo) as connection:
        before = committed(
            connection,
            "CREATE TABLE one (id VARCHAR(9) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, v BIGINT)",
            "CREATE TABLE other (id VARCHAR(9) COLLATE utf8mb4_0900_bin PRIMARY KEY, v BIGINT)",
            "INSERT INTO one VALUES ('a', 1)",
            "INSERT INTO other VALUES ('a', 1)",
        )
        with pytest.raises(DoltError):
            write(config("one", mode="append"), pd.DataFrame({"id": ["A"], "v": [2]}))
        after = committed(connection, "UPDATE other SET id = 'A', v = 2")
        by_sql, found = both_ways(connection, "other", before, after)
        assert found["diff_type"].to_pylist() == ["added", "removed"]
        assert found.equals(by_sql)
