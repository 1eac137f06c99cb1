"""A statement that panics the server fails for good and says why; a connection that is only lost may be tried again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pymysql
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "reliability"))
sys.path.insert(0, str(Path(__file__).parents[1] / "sqlalchemy"))
import servers
import ways
from letting_go import let_go
from proxy import between
from users_server import users_server

from flytekitplugins.dolt import DoltConfig, api, read, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.errors import TRANSIENT, ConnectionLost, QueryFailed, from_server, without_stack
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server
from flytekitplugins.dolt.tables import reading
from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask
from flytekitplugins.sqlalchemy.errors import ConnectionLost as TaskConnectionLost
from flytekitplugins.sqlalchemy.errors import StatementFailed

PANICKING = "select default from users"
WHY = "default column is a placeholder node"


@pytest.fixture
def users(repo: Path) -> DoltConfig:
    """Give the config of a table in a repository."""
    config = DoltConfig(str(repo), "users", primary_key=["id"])
    write(config, pd.DataFrame({"id": [1, 2]}))
    return config


def test_a_statement_that_panics_the_server_is_not_tried_again(users: DoltConfig) -> None:
    """The error is permanent, one line of Dolt's own says why, the statement ran once, and the server serves on."""
    with connect(Path(users.db_path)):  # its log goes with the server
        folder = _shared_folder(users)
        before = local_server.log_size(folder)
        with pytest.raises(
            QueryFailed, match=rf"(?s)^Cannot run the query '{PANICKING}': .*panicked \({WHY}[^\n]*\)"
        ) as found:
            read(DoltConfig(users.db_path, sql=PANICKING))
        assert not isinstance(found.value, TRANSIENT)
        assert ".go:" not in str(found.value)
        assert (folder.parent / "server.log").read_bytes()[before:].count(b"caught panic") == 1
    assert len(read(users)) == 2


def _shared_folder(config: DoltConfig) -> Path:
    with connect(Path(config.db_path)) as connection:
        folder = connection.shared_folder()
    assert folder is not None
    return folder


def test_panics_of_others_are_not_taken_for_ours(users: DoltConfig) -> None:
    """A panic that was logged before, or that dropped the connection of somebody else, is not a reason of ours."""
    with pytest.raises(QueryFailed, match="panicked"):
        read(DoltConfig(users.db_path, sql=PANICKING))
    assert read(DoltConfig(users.db_path, sql="select count(*) as n from users")).n[0] == 2
    if ways.expected() == ways.BY_SQL:
        return  # those rows come over a session of their own, which is made anew
    with connect(Path(users.db_path)) as connection, pytest.raises(ConnectionLost, match="broke") as found:
        connection.close()
        reading.query(connection, "select 1")
    assert found.value.in_query  # which alone makes nothing permanent


def test_a_panic_where_the_log_is_not_ours_is_found_by_trying(users: DoltConfig) -> None:
    """On somebody else's server a statement that loses the connection each time, while others do not, is at fault."""
    folder = Path(users.db_path)
    let_go(folder)
    with users_server(folder):
        with pytest.raises(QueryFailed, match="dropped the connection each of the 3 times .* answers otherwise"):
            read(DoltConfig(users.db_path, sql=PANICKING))
        assert read(DoltConfig(users.db_path, sql="select count(*) as n from users")).n[0] == 2
        local_server.release(folder)


def test_a_lost_connection_stays_one(users: DoltConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut once in the midst of a query, it is read again; cut for good, that may be tried again later."""
    sql = "select id, cast('10:00:00' as time) as told from users"  # a time is read on the session that is asked
    query = api.pin(DoltConfig(users.db_path, sql=sql))
    with _cut(users, monkeypatch, times=2):
        assert len(frames.load(pinned(query)).to_frame()) == 2
    with _cut(users, monkeypatch, times=99, closes=True), pytest.raises(ConnectionLost):
        frames.load(pinned(query))


@contextmanager
def _cut(config: DoltConfig, monkeypatch: pytest.MonkeyPatch, *, times: int, closes: bool = False) -> Iterator[None]:
    """Cut the connection before each statement with "told" in it, and if wanted let nobody in afterwards."""
    left = [times]
    with between(Path(config.db_path), monkeypatch) as proxy:

        def rule(statement: str) -> Any:
            if "told" not in statement or not left[0]:
                return "pass"
            left[0] -= 1
            proxy.is_open = proxy.is_open and not closes
            return "cut before"

        proxy.rule = rule
        yield
    assert left[0] < times


def test_a_stack_trace_is_cut_to_what_it_is_about(users: DoltConfig) -> None:
    """What Go prints below a panic is nobody's help, however its lines are broken; messages without one are whole."""
    with connect(Path(users.db_path)) as connection, connection.at(_head(users)):
        with pytest.raises(QueryFailed, match=r"panic recovered: [^\n]*'[^\n]*$") as found:
            connection.query("SELECT * FROM dolt_backups")
    assert "goroutine" not in str(found.value) + found.value.server_message  # type: ignore[attr-defined]
    raw = "panic recovered: oh\ngoroutine 1 [running]:\nruntime/debug.Stack()\n\truntime/debug/stack.go:26 +0x5e\n"
    for message in (
        raw,
        raw.replace("\n", "\\n"),
        "oh\nruntime/panic.go:860 (0x491499)\n",
        "oh\nmain.f(...)\n\t/x.go:1",
    ):
        assert without_stack(message) in ("panic recovered: oh", "oh")
        assert "\n" not in str(from_server(1105, message))
    for message in ("two\nlines", "a goroutine 5", "near 'f()\nfrom x'", "file x.go:12 is absent", ""):
        assert without_stack(message) == message


def _head(config: DoltConfig) -> str:
    commit = api.pin(config).commit
    assert commit is not None
    return commit.hash


# ------------------------------------------------------------------------------------------------- SQLAlchemyTask


@pytest.fixture(scope="module")
def dolt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """Give a `dolt sql-server` with a table."""
    with servers.dolt(tmp_path_factory.mktemp("dolt")) as found:
        found.sql("create table users (id int primary key)")
        yield found


def _task(found: servers.Server, query: str) -> SQLAlchemyTask:
    uri = f"mysql://{servers.USER}@127.0.0.1:{found.port}/{servers.DATABASE}"
    config = SQLAlchemyConfig(uri=uri, connect_args={"password": servers.PASSWORD})
    return SQLAlchemyTask(name="a-task", query_template=query, task_config=config, output_schema_type=pd.DataFrame)


def test_a_task_whose_statement_panics_dolt_fails_for_good(dolt_server: servers.Server) -> None:
    """It is no recoverable error, and names the statement."""
    with pytest.raises(StatementFailed, match=f"drops the connection whenever it is to run .* Query: {PANICKING}"):
        _task(dolt_server, PANICKING)()


def test_a_task_that_loses_its_connection_once_may_be_repeated(dolt_server: servers.Server) -> None:
    """A session that was ended in the middle of a statement is a lost connection, and the statement is not at fault."""
    task = _task(dolt_server, "select count(*) as n from users /* told */")
    real, ended = pymysql.connections.Connection.query, []

    def query(self: Any, sql: Any, unbuffered: bool = False) -> Any:
        if "told" in str(sql) and not ended:
            ended.append(sql)
            self._force_close()
        return real(self, sql, unbuffered)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pymysql.connections.Connection, "query", query)
        with pytest.raises(TaskConnectionLost, match="Try again"):
            task()
    assert ended
    assert task().n[0] == 0
