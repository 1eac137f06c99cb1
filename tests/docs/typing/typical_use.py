"""What a user writes with this package, annotated; tests/docs/test_typing.py has type checkers read it, and runs it."""

from __future__ import annotations

import pandas as pd
from typing_extensions import assert_type

from flytekitplugins.dolt import (
    Commit,
    DoltConfig,
    DoltError,
    DoltTable,
    NewBranch,
    SerialBranch,
    TableDiff,
    create_repository,
    diff,
    read,
    write,
)
from flytekitplugins.dolt.errors import BranchNotFound, SchemaMismatch


def configs(path: str) -> list[DoltConfig]:
    """Name a table on each kind of branch, and a query."""
    return [
        DoltConfig(db_path=path, tablename="users"),
        DoltConfig(db_path=path, tablename="users", branch_conf=SerialBranch("main"), primary_key=["name"]),
        DoltConfig(db_path=path, tablename="users", branch_conf=NewBranch("run/1", base="main"), mode="upsert"),
        DoltConfig(path, sql="select * from users where count > 5", branch_conf="run/1"),
    ]


def populate(config: DoltConfig, a: int) -> DoltTable:
    """Return a table with rows, as a task does."""
    return DoltTable(config, pd.DataFrame({"name": ["George", "Alice"], "count": [a, 2 * a]}))


def names(table: DoltTable) -> list[str]:
    """Use the rows of a table, as a task does that takes one."""
    assert_type(table.data, pd.DataFrame)
    assert_type(table.commit, Commit | None)
    return [str(name) for name in table.data["name"]]


def change(table: DoltTable) -> DoltTable:
    """Put other rows into a table, and return it."""
    table.data = table.data.head(1)
    return table


def parts(table: DoltTable) -> int:
    """Count the rows of a table that is larger than memory."""
    with table.open(1000, columns=["name"]) as reader:
        return sum(int(batch.num_rows) for batch in reader) + sum(len(frame) for frame in table.iter(1000))


def script(path: str) -> str:
    """Write and read without Flyte, and meet errors."""
    repository = create_repository(path)
    config = DoltConfig(str(repository), "users", primary_key=["name"])
    table = write(config, pd.DataFrame({"name": ["George"], "count": [1]}), message="First users")
    assert_type(read(config), pd.DataFrame)
    try:
        write(config, pd.DataFrame({"name": ["George"], "count": ["many"]}))
    except SchemaMismatch as error:
        print(error)
    try:
        read(DoltConfig(str(repository), "users", branch_conf=SerialBranch("nope")))
    except (BranchNotFound, DoltError) as error:
        print(error)
    return table.commit.hash if table.commit is not None else "never"


def compare(config: DoltConfig, before: str, after: str) -> int:
    """Ask what changed between two states."""
    changes = diff(config, after, db_path=config.db_path)
    assert_type(changes, TableDiff)
    return changes.changed + (0 if diff(before, config).rows is None else 1)


if __name__ == "__main__":
    import sys

    print(script(sys.argv[1]))
