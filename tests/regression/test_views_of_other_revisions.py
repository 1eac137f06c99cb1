"""A view of a commit that looks at a branch has the columns that the branch has now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flytekitplugins.dolt import DoltConfig, read
from flytekitplugins.dolt.repository import connections

ONE_REPOSITORY = True


@pytest.mark.parametrize("source", ["`{database}/main`.t", "t AS OF 'main'"])
def test_they_are_described_anew(repo: Path, config: Callable[..., DoltConfig], source: str) -> None:
    """What it looks like at the commit is no fact of the commit, so it is not kept."""
    with connections.connect(repo) as connection:
        looked_at = source.format(database=connection.database)
        connection.execute("CREATE TABLE t (id INT PRIMARY KEY, was INT)")
        connection.execute("INSERT INTO t VALUES (1, 2)")
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'the table')")
        connection.execute(f"CREATE VIEW v AS SELECT * FROM {looked_at}")
        commit = str(connection.query("CALL DOLT_COMMIT('-A', '-m', 'the view')")[0][0])
        assert list(read(config("v", as_of=commit))) == ["id", "was"]
        connection.execute("ALTER TABLE t RENAME COLUMN was TO `is`")
        connection.execute("ALTER TABLE t ADD COLUMN more INT")
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'other columns')")
    assert list(read(config("v", as_of=commit))) == ["id", "is", "more"]
