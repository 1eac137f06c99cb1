"""The server says that a statement is done, and forgets it: the write is done once more, or is an error.

So it may be, with Dolt 1.83, while somebody renames or deletes a branch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, api
from flytekitplugins.dolt.errors import TableNotFound, WriteNotVerified
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import Connection

ROWS = pd.DataFrame({"id": [1, 2, 3], "v": [1.5, 2.5, 3.5]})
OTHERS = pd.DataFrame({"id": [2, 3], "v": [20.5, 30.5]})


@pytest.fixture
def table(repo: Path) -> DoltConfig:
    """Write a table, and leave another that is not committed: so that rows alone take the way of all others."""
    config = DoltConfig(str(repo), "t", primary_key=["id"])
    api.write(config, ROWS)
    with refs.connect(repo) as connection:
        connection.execute("CREATE TABLE work (a INT)")
    return config


def forget_rows(patch: pytest.MonkeyPatch, *, times: int) -> list[str]:
    """Let the server forget what a write did in its transaction, so often; list those times."""
    forgotten: list[str] = []
    real = publishing.commit_all

    def commit_all(connection: Connection, message: str, author: str) -> str | None:
        if len(forgotten) < times:
            connection.execute("ROLLBACK")
            forgotten.append(message)
        return real(connection, message, author)

    patch.setattr(publishing, "commit_all", commit_all)
    return forgotten


def forget(patch: pytest.MonkeyPatch, statement: str, *, times: int) -> list[str]:
    """Let statements that begin so be forgotten, so often; list those times."""
    forgotten: list[str] = []
    real = Connection.execute

    def execute(connection: Connection, sql: str, *parameters: object) -> int:
        if sql.startswith(statement) and len(forgotten) < times:
            forgotten.append(sql)
            return 0
        return real(connection, sql, *parameters)

    patch.setattr(Connection, "execute", execute)
    return forgotten


@pytest.mark.parametrize("mode", ["upsert", "append", "replace"])
def test_rows_are_put_once_more(repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Before, an upsert that was forgotten said that it changed nothing."""
    before = len(refs.log(repo))
    frame = OTHERS.assign(id=[8, 9]) if mode == "append" else OTHERS
    forgotten = forget_rows(monkeypatch, times=1)
    api.write(replace(table, mode=mode), frame)
    assert len(forgotten) == 1
    assert len(refs.log(repo)) == before + 1
    kept = {"replace": ROWS.head(0), "upsert": ROWS.head(1), "append": ROWS}[mode]
    pd.testing.assert_frame_equal(api.read(table), pd.concat([kept, frame], ignore_index=True))


def test_deletion_is_done_once_more(repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the rows."""
    forgotten = forget_rows(monkeypatch, times=1)
    api.write(replace(table, mode="delete"), OTHERS[["id"]])
    assert len(forgotten) == 1
    pd.testing.assert_frame_equal(api.read(table), ROWS.head(1))


def test_rows_that_are_forgotten_again_are_an_error(
    repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is published then."""
    before = refs.branches(repo)
    forgotten = forget_rows(monkeypatch, times=2)
    with pytest.raises(WriteNotVerified, match="3 rows instead of 5"):
        api.write(replace(table, mode="append"), OTHERS.assign(id=[8, 9]))
    assert len(forgotten) == 2
    assert refs.branches(repo) == before


def test_equal_rows_are_no_change(repo: Path, table: DoltConfig) -> None:
    """To put rows that are there is no error, and makes no commit."""
    before = refs.log(repo)
    api.write(replace(table, mode="upsert"), ROWS.head(2))
    assert refs.log(repo) == before


@pytest.mark.parametrize("times", [1, 2])
def test_table_is_made_once_more(repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """What eight writers on branches of their own were told now and then: the table that was just made is not there."""
    config = replace(table, tablename="new")
    before = refs.branches(repo)
    forgotten = forget(monkeypatch, "CREATE TABLE `new`", times=times)
    if times == 1:
        api.write(config, ROWS)
        pd.testing.assert_frame_equal(api.read(config), ROWS)
    else:
        with pytest.raises(TableNotFound, match="new"):
            api.write(config, ROWS)
        assert refs.branches(repo) == before
    assert len(forgotten) == times


def test_notes_are_made_once_more(repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table's comment says of its columns: without it these categories came back as text."""
    config = replace(table, tablename="new")
    frame = ROWS.assign(c=pd.Categorical(["b", "a", "b"]))
    forgotten = forget(monkeypatch, "ALTER TABLE `new` COMMENT", times=1)
    api.write(config, frame)
    assert len(forgotten) == 1
    pd.testing.assert_frame_equal(api.read(config), frame)


def test_columns_are_made_once_more(repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wider type the numbers would be refused, or cut."""
    frame = ROWS.assign(id=["one", "two", "three"], w=[1, 2, 3])
    config = replace(table, tablename="words", on_schema_change="evolve", primary_key=["w"])
    api.write(config, frame.assign(id=["1", "2", "3"]))
    forgotten = forget(monkeypatch, "ALTER TABLE `words` ", times=1)
    longer = frame.assign(id=["x" * 300, "two", "three"], new=[True, False, True])
    api.write(config, longer)
    assert len(forgotten) == 1
    pd.testing.assert_frame_equal(api.read(config)[list(longer.columns)], longer)


def test_what_is_not_forgotten_is_done_once(repo: Path, table: DoltConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the table's name is written in another case than it is stored in: a column cannot be added twice."""
    said: list[str] = []
    real = Connection.execute

    def execute(connection: Connection, sql: str, *parameters: object) -> int:
        said.append(sql)
        return real(connection, sql, *parameters)

    monkeypatch.setattr(Connection, "execute", execute)
    frame = ROWS.assign(n=[1, 2, 3], c=pd.Categorical(["b", "a", "b"]))
    api.write(replace(table, tablename="T", on_schema_change="evolve"), frame)
    altered = [sql for sql in said if sql.startswith("ALTER TABLE")]
    assert len(altered) == len(set(altered)) == 3  # two columns, and what is noted of one
    pd.testing.assert_frame_equal(api.read(table), frame)
