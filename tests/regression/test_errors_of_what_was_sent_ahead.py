"""What fails of a statement that was sent ahead is said as it is, and not taken for a fault of the next one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from dolt_server import PASSWORD, VARIABLE, DoltServer
from pymysql import connect as operated

from flytekitplugins.dolt import DoltConfig, read, write
from flytekitplugins.dolt.errors import ConnectionLost, QueryFailed, RevisionNotFound, TableNotFound
from flytekitplugins.dolt.repository import active_content, table_names
from flytekitplugins.dolt.repository.connections import Connection, connect

NO_COMMIT = "0" * 32


def asks(connection: Connection) -> object:
    return connection.query("SELECT 1")


def changes(connection: Connection) -> object:
    return connection.execute("SET @there = 1")


def looks_for_a_table(connection: Connection) -> object:
    return table_names.find(connection, "t", commit=NO_COMMIT)


def looks_for_triggers(connection: Connection) -> None:
    active_content.refuse_writing(connection, NO_COMMIT, "t", events=(), triggers="refuse")


@pytest.mark.parametrize("following", [asks, changes, looks_for_a_table, looks_for_triggers])
@pytest.mark.parametrize(
    ("name", "start", "error", "said"),
    [
        ("new", NO_COMMIT, RevisionNotFound, "target commit not found"),
        ("main", "main", QueryFailed, "'main' already exists"),
    ],
)
def test_a_branch_that_cannot_be_made(
    connection: Connection,
    following: Callable[[Connection], object],
    name: str,
    start: str,
    error: type[Exception],
    said: str,
) -> None:
    """The next statement raises what the server says of the branch, also on the way to that branch."""
    connection.execute_ahead("CALL DOLT_BRANCH(%s, %s)", name, start)
    with connection.at("new", at_once=False), pytest.raises(error, match=said):
        following(connection)


def test_a_session_that_breaks_with_answers_owed(repo: Path) -> None:
    """Each statement after that says that it is lost."""
    with pytest.raises(ConnectionLost), connect(repo) as connection:
        with connection.at("main"):
            connection.query("SELECT 1")
        connection.execute_ahead("START TRANSACTION")  # goes back first: two answers
        connection._raw._sock.shutdown(socket.SHUT_RDWR)
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                connection.query("SELECT 1")
        connection.query("SELECT 1")


def test_a_use_that_ends_with_a_statement_that_fails(repo: Path) -> None:
    """It is that use which raises, and not the next one of the session."""
    with pytest.raises(TableNotFound, match="nothing"), connect(repo) as connection:
        connection.execute_ahead("INSERT INTO nothing VALUES (1)")
    with connect(repo) as connection:
        assert connection.query("SELECT 1") == [(1,)]


def test_a_replica_that_has_lost_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come from the primary, also where a session of the replica has seen the commit."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    shared = f"file://{tmp_path}/shared"
    for folder in ("primary", "replica", "shared"):
        (tmp_path / folder).mkdir()
    with DoltServer(tmp_path / "primary" / "shop") as primary:
        table = DoltConfig(primary.url(), "t", secret=primary.config().secret, primary_key=["id"])
        commit = write(table, pd.DataFrame({"id": [1]})).commit
        assert commit is not None
        primary.sql("CALL DOLT_REMOTE('add', 'shared', %s)", shared)
        primary.sql("CALL DOLT_PUSH('shared', 'main')")
        with DoltServer(tmp_path / "replica" / "shop", data=tmp_path / "replica") as replica:
            replica.sql("GRANT ALL ON *.* TO 'flyte'@'%%'")
            for statement in ("DROP DATABASE shop", f"CALL DOLT_CLONE('{shared}', 'shop')"):
                operator(replica, statement)
            assert read(replica.config("t", as_of=commit.hash))["id"].tolist() == [1]
            for statement in ("DROP DATABASE shop", "CREATE DATABASE shop"):
                operator(replica, statement)
            found = read(primary.config("t", as_of=commit.hash, read_from=[replica.url()]))
            assert found["id"].tolist() == [1]


def operator(server: DoltServer, statement: str) -> None:
    with operated(host="127.0.0.1", port=server.port, user="root", autocommit=None) as session:
        session.cursor().execute(statement)
