"""What fails is a typed error, repeatable exactly where a repeat is safe; no write is sent twice, nothing stays."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psycopg
import pymysql
import pytest
import servers
from faults import address, host_rules, nothing_left, psql, refused, relayed, sessions, silent
from pods import Cluster, PodFailed, counted
from proxy import Relay
from servers import DATABASE, PASSWORD, USER, Server
from sql_tasks import run, task_on, uri
from waiting import eventually

from flytekitplugins.sqlalchemy import connections
from flytekitplugins.sqlalchemy.errors import (
    AccessDenied,
    ConnectionLost,
    DatabaseNotFound,
    DriverMissing,
    InvalidTask,
    OutcomeUnknown,
    ReadOnlyRefused,
    ServerUnreachable,
    SQLTaskError,
    StatementFailed,
    StatementTimedOut,
    SyntaxRefused,
    TableNotFound,
    TransactionConflict,
    UncommittedChanges,
)

ADD = "update counted set n = n + {{ .inputs.by }}"
BY: dict[str, Any] = {"by": (int, 1)}
CLOSED_PORT = 1
"""Nobody listens there; one that is free now may be another test's in a moment."""

MANY_ROWS = "select a.i, repeat('x', 1000) as x from digits a, digits b, digits c, digits d, digits e"


@pytest.fixture(scope="module", autouse=True)
def _flytekit_is_running() -> None:
    """Have flytekit make the sockets that it keeps, so that they are not taken for ours."""
    run("sqlite://", "select 1 as a")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once; how often and when is what is tested."""
    monkeypatch.setattr(connections, "_PAUSE_S", 0.01)


@pytest.fixture
def relay(server: Server) -> Iterator[tuple[Relay, Server]]:
    """Give a relay in front of each server in turn."""
    with relayed(server) as found:
        yield found


@pytest.fixture
def counter(server: Server) -> Callable[[], int]:
    """Make a table with one row, and give what tells its number."""
    server.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    server.sql("insert into counted values (1, 0)")
    if server.kind == "dolt":
        server.sql("call dolt_commit('-A', '-m', 'a counter', '--skip-empty')")
    return lambda: int(server.sql("select n from counted")[0][0])


def _in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[SQLTaskError]]:
    failed: list[SQLTaskError] = []

    def guarded() -> None:
        try:
            work()
        except SQLTaskError as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread, failed


# -- no session comes about -------------------------------------------------------------------------------------------


def test_nobody_listens_at_the_port(server: Server) -> None:
    """A closed port is an error that Flyte may try again, and tells how often it was tried."""
    there = replace(server, port=CLOSED_PORT)
    with (
        nothing_left(server),
        refused(ServerUnreachable, "3 times", query="select 1 as a", at=address(there), recoverable=True) as caught,
    ):
        run(there, "select 1 as a")
    assert caught.value.attempts == 3


def test_there_is_no_such_host(mariadb: Server) -> None:
    """A host that has no address is named, and may be tried again."""
    where = uri(mariadb).replace("127.0.0.1", "no-such-host.invalid")
    at = f"{USER}@no-such-host.invalid:{mariadb.port}"
    with refused(ServerUnreachable, "connection", query="select 1 as a", at=at, recoverable=True):
        run(where, "select 1 as a")


def test_a_server_that_never_greets_is_not_waited_for(mariadb: Server) -> None:
    """Who takes the connection and says nothing is given up after connect_timeout_s, whatever timeout_s says."""
    with silent() as port:
        there, began = replace(mariadb, port=port), time.monotonic()
        with refused(ServerUnreachable, "timed out", query="select 1 as a", at=address(there), recoverable=True):
            run(there, "select 1 as a", connect_timeout_s=1, timeout_s=3600)
        assert time.monotonic() - began < 60


def test_a_statement_may_be_slower_than_a_connection(server: Server) -> None:
    """Once the session is there, its statement has timeout_s and not what a connection may take."""
    assert run(server, "select sleep(1.5) as a", connect_timeout_s=1, timeout_s=20)["a"].tolist() == [0]


def test_the_password_is_wrong(server: Server) -> None:
    """A refused login comes at once and is not tried again."""
    with (
        nothing_left(server),
        refused(AccessDenied, "user.*password", query="select 1 as a", at=address(server), recoverable=False) as caught,
    ):
        run(uri(server, password="wrong"), "select 1 as a")
    assert caught.value.code == 1045
    assert "'wrong'" not in str(caught.value)


def test_there_is_no_such_database(server: Server) -> None:
    """An unknown database is named with the server."""
    with (
        nothing_left(server),
        refused(DatabaseNotFound, "nope", query="select 1 as a", at=f"{address(server)}/nope", recoverable=False),
    ):
        run(server, "select 1 as a", database="nope")


def test_there_is_no_such_branch(dolt_server: Server) -> None:
    """On Dolt a missing branch is a missing database."""
    with refused(DatabaseNotFound, "Dolt.*branch", query="select 1 as a", at=address(dolt_server), recoverable=False):
        run(dolt_server, "select 1 as a", database=f"{DATABASE}/run/nope")


def test_a_branch_in_other_letters_is_not_taken(dolt_server: Server) -> None:
    """Dolt looks for branches without regard to case; a task does not read from another one than was asked for."""
    dolt_server.sql("call dolt_branch('-f', 'Upper', 'main')")
    with refused(DatabaseNotFound, "case-sensitive", query="select 1 as a", at="db/upper", recoverable=False):
        run(dolt_server, "select 1 as a", database=f"{DATABASE}/upper")


def test_a_locked_account_is_refused(mariadb: Server) -> None:
    """An account that its administrator locked is a refused login with that advice."""
    mariadb.sql("create or replace user locked identified by 'x' account lock")
    where = f"mysql://locked:x@127.0.0.1:{mariadb.port}/db"
    with refused(AccessDenied, "administrator", query="select 1 as a", at="locked@", recoverable=False):
        run(where, "select 1 as a")


def test_a_server_that_is_full_may_be_tried_again(mariadb: Server) -> None:
    """Too many connections: nothing was sent, so the task may be repeated."""
    mariadb.sql("create or replace user limited identified by 'x'", "grant all on *.* to limited")
    mariadb.sql("alter user limited with max_user_connections 1")
    with closing(pymysql.connect(host="127.0.0.1", port=mariadb.port, user="limited", password="x")):
        where = f"mysql://limited:x@127.0.0.1:{mariadb.port}/db"
        with refused(ServerUnreachable, "3 times", query="select 1 as a", at="limited@", recoverable=True):
            run(where, "select 1 as a")


def test_a_missing_permission_is_named(server: Server) -> None:
    """A user who may not read the table gets an error of permissions, not one of logins."""
    server.sql("drop table if exists hers", "create table hers (a int)", "drop user if exists guest")
    server.sql("create user guest identified by 'x'", "create database if not exists others")
    server.sql("grant all on others.* to guest")
    where = f"mysql://guest:x@127.0.0.1:{server.port}/others"
    with refused(AccessDenied, "permission", query="select * from db.hers", at="guest@", recoverable=False):
        run(where, "select * from db.hers")


@pytest.mark.parametrize(
    ("scheme", "kind", "match"),
    [
        ("nosuchdialect://u@h/d", DriverMissing, "no dialect or driver 'nosuchdialect'"),
        ("mysql+mysqldb://u@h/d", DriverMissing, r"'mysql\+mysqldb'"),
    ],
)
def test_a_driver_that_is_not_there(scheme: str, kind: type[SQLTaskError], match: str) -> None:
    """An unknown dialect and a driver that is not installed are told apart, and name what is missing."""
    with refused(kind, match, query="select 1 as a", at="@h/d", recoverable=False):
        run(scheme, "select 1 as a")


def test_arguments_that_the_driver_refuses(mariadb: Server) -> None:
    """An argument that the driver does not know, and a certificate that is not there, are faults of the config."""
    for arguments, match in (({"colour": "red"}, "'colour'"), ({"ssl": {"ca": "/no/such.pem"}}, "No such file")):
        with refused(InvalidTask, match, query="select 1 as a", at=address(mariadb), recoverable=False):
            run(mariadb, "select 1 as a", connect_args=arguments)


# -- the server refuses the statement ---------------------------------------------------------------------------------


@pytest.fixture(params=["mariadb", "dolt_server", "postgres", "sqlite"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Give the URI of each kind of server in turn, and its address as errors name it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/f.db", f"{tmp_path}/f.db"
    server: Server = request.getfixturevalue(request.param)
    return uri(server), f"{address(server)}/{DATABASE}"


@pytest.mark.parametrize(
    ("query", "kind", "match"),
    [
        ("selec {{ .inputs.x }} as a", SyntaxRefused, "query"),
        ("select a from nope where b = '{{ .inputs.x }}'", TableNotFound, "nope"),
        ("select nope from (select 1 as a) as t where a = {{ .inputs.x }}", StatementFailed, "nope"),
        ("insert into nope (a) values ({{ .inputs.x }})", TableNotFound, "nope"),
    ],
)
def test_a_statement_is_refused(anywhere: tuple[str, str], query: str, kind: type[SQLTaskError], match: str) -> None:
    """A syntax error, a missing table and a missing column are typed errors of the query, without its values."""
    where, at = anywhere
    with refused(kind, match, query=query, at=at, recoverable=False) as caught:
        run(where, query, inputs={"x": (str, "a private value")})
    assert "private" not in str(caught.value) + repr(caught.value.__dict__)


def test_other_servers_refuse_the_login_or_the_database(postgres: Server, tmp_path: Path) -> None:
    """PostgreSQL and SQLite have no codes for these; their words are understood."""
    cases: list[tuple[str, type[SQLTaskError], str]] = [
        (uri(postgres, password="wrong"), AccessDenied, f"{address(postgres)}/{DATABASE}"),
        (uri(postgres, "nope"), DatabaseNotFound, f"{address(postgres)}/nope"),
        (f"sqlite:///{tmp_path}/no/folder.db", DatabaseNotFound, "no/folder.db"),
    ]
    for where, kind, at in cases:
        with refused(kind, "Check", query="select 1 as a", at=at, recoverable=False):
            run(where, "select 1 as a")


def test_postgres_turns_a_host_away(postgres: Server) -> None:
    """A host that PostgreSQL's own rules refuse is a refused login, and not a server that is not there."""
    where = uri(postgres).replace(f"{USER}:", "banned:")
    with psql(postgres) as admin, host_rules(admin, "host all banned 127.0.0.1/32 reject\n"):
        assert eventually(lambda: "pg_hba.conf" in _refusal(where), within_s=10)


def _refusal(where: str) -> str:
    with pytest.raises(AccessDenied, match="user.*password") as caught:
        run(where, "select 1 as a")
    return str(caught.value)


# -- the connection breaks --------------------------------------------------------------------------------------------


@pytest.fixture
def digits(server: Server) -> None:
    """Make the table of which `MANY_ROWS` makes 100 MB."""
    server.sql("create table if not exists digits (i int primary key)", "delete from digits")
    server.sql("insert into digits values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")


@pytest.mark.usefixtures("digits")
def test_the_connection_is_cut_while_rows_are_read(server: Server, relay: tuple[Relay, Server]) -> None:
    """A read that loses its connection in the middle keeps nothing, and may be repeated."""
    cut, there = relay
    cut.expect("select a.i", lambda: False, after_bytes=300_000)
    with (
        nothing_left(server),
        refused(ConnectionLost, "rows", query=MANY_ROWS, at=address(there), recoverable=True),
    ):
        run(there, MANY_ROWS)
    assert cut.sent("select a.i") == 1


@pytest.mark.parametrize("kind", ["mariadb", "dolt"])
def test_the_server_is_killed_while_rows_are_read(tmp_path: Path, kind: Literal["mariadb", "dolt"]) -> None:
    """SIGKILL of the server in the middle of the rows is a lost connection, which may be repeated."""
    with getattr(servers, kind)(tmp_path) as server, relayed(server) as (relay, there):
        server.sql("create table digits (i int primary key)")
        server.sql("insert into digits values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")

        def kill() -> bool:
            server.process.kill()
            server.process.wait()
            return True

        relay.expect("select a.i", kill, after_bytes=300_000)
        with (
            nothing_left(server),
            refused(ConnectionLost, "rows", query=MANY_ROWS, at=address(there), recoverable=True),
        ):
            run(there, MANY_ROWS)


def test_a_session_that_the_server_ends_is_a_lost_connection(server: Server) -> None:
    """KILL by an administrator in the middle of a read may be repeated as well."""
    query = "select sleep(30) as slept"
    thread, failed = _in_background(lambda: run(server, query))

    def is_killed() -> bool:
        found = [row[0] for row in sessions(server) if "sleep(30)" in str(row[7])]
        if found:
            server.sql(*(f"kill {number}" for number in found))
        return found != []

    assert eventually(is_killed, within_s=20)
    thread.join(timeout=20)
    # sleep is a function that the careful judgement does not take for reading
    assert [type(error) for error in failed] == [OutcomeUnknown]
    with nothing_left(server):
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("query", "kind", "recoverable"),
    [
        ("select count(*) as a from generate_series(1, 100000) x, generate_series(1, 100000) y", ConnectionLost, True),
        ("insert into lost select pg_sleep(30)::text", OutcomeUnknown, False),
    ],
)
def test_postgres_ends_a_session(postgres: Server, query: str, kind: type[SQLTaskError], recoverable: bool) -> None:
    """A session that PostgreSQL's administrator ends is judged like the others."""
    output = {} if recoverable else {"output": None}
    with psql(postgres) as admin:
        admin.execute("create table if not exists lost (a text)")
        with refused(kind, "away", query=query, at=address(postgres), recoverable=recoverable):
            with _ended(admin, query):
                run(uri(postgres), query, **output)
        assert admin.execute("select count(*) from lost").fetchone() == (0,)


@contextmanager
def _ended(admin: psycopg.Connection[Any], query: str) -> Iterator[None]:
    """End the session that runs this query, as soon as there is one."""
    found = "select pg_terminate_backend(pid) from pg_stat_activity where query like %s and pid <> pg_backend_pid()"
    thread, _ = _in_background(
        lambda: eventually(lambda: admin.execute(found, [f"%{query}"]).fetchone() is not None, within_s=20)
    )
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("verdict", ["cut before", "cut after"])
def test_a_write_that_loses_its_connection_is_not_sent_again(
    server: Server, relay: tuple[Relay, Server], counter: Callable[[], int], verdict: Literal["cut before", "cut after"]
) -> None:
    """A statement that was on its way may have been done, so nobody repeats it; here it was undone."""
    cut, there = relay
    cut.rule = lambda sent: verdict if sent.startswith("update counted") else "pass"
    with (
        nothing_left(server),
        refused(OutcomeUnknown, "statement", query=ADD, at=address(there), recoverable=False),
    ):
        run(there, ADD, inputs=BY, output=None)
    assert (cut.sent("update counted"), cut.sent("commit"), counter()) == (1, 0, 0)


@pytest.mark.parametrize(("verdict", "kept"), [("cut before", 0), ("cut after", 1)])
def test_a_commit_that_gets_no_answer_is_an_unknown_outcome(
    server: Server, relay: tuple[Relay, Server], counter: Callable[[], int], verdict: Any, kept: int
) -> None:
    """Whether COMMIT arrived cannot be known, so it is said, and nothing is done twice."""
    cut, there = relay
    cut.rule = lambda sent: verdict if sent == "COMMIT" else "pass"
    with (
        nothing_left(server),
        refused(OutcomeUnknown, "committed", query=ADD, at=address(there), recoverable=False),
    ):
        run(there, ADD, inputs=BY, output=None)
    assert cut.sent("update counted") == 1
    assert eventually(lambda: counter() == kept, within_s=10)


def test_a_late_answer_to_commit_is_an_unknown_outcome(
    server: Server, relay: tuple[Relay, Server], counter: Callable[[], int]
) -> None:
    """A timeout while committing is no timeout of the statement: what was committed may be there."""
    late, there = relay
    over = threading.Event()
    late.expect("commit", lambda: over.wait(30) and False)
    try:
        with refused(OutcomeUnknown, "committed", query=ADD, at=address(there), recoverable=False):
            run(there, ADD, inputs=BY, output=None, timeout_s=3)  # time enough for all that is sent before
    finally:
        over.set()
    assert (late.sent("update counted"), counter()) == (1, 1)


@pytest.mark.parametrize("kind", ["mariadb", "dolt"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_server_is_killed_during_the_commit(
    tmp_path: Path, kind: Literal["mariadb", "dolt"], moment: Literal["before", "after"]
) -> None:
    """SIGKILL as COMMIT is on its way, or once it was done: unknown, and in truth there once or not at all."""
    with getattr(servers, kind)(tmp_path) as server, relayed(server) as (relay, there):
        server.sql("create table counted (id int primary key, n int)", "insert into counted values (1, 0)")

        def kill() -> bool:
            server.process.kill()
            server.process.wait()
            return False

        if moment == "before":
            relay.rule = lambda sent: "pass" if sent != "COMMIT" or kill() else "cut before"
        else:
            relay.expect("commit", kill)
        with nothing_left(server):
            with refused(OutcomeUnknown, "committed", query=ADD, at=address(there), recoverable=False):
                run(there, ADD, inputs=BY, output=None)
            server.process.wait()  # the connection may break before the one who kills it knows that it has ended
        assert relay.sent("update counted") == 1
        with _started_again(server, tmp_path):
            assert server.sql("select n from counted")[0] == (int(moment == "after"),)


@contextmanager
def _started_again(server: Server, folder: Path) -> Iterator[None]:
    """Run a server again, on the same folder and port."""
    environment = {**os.environ, "HOME": str(folder), "DOLT_ROOT_PATH": str(folder), "DOLT_DISABLE_EVENT_FLUSH": "1"}
    with servers.running(server.process.args, folder=folder, port=server.port, env=environment):  # type: ignore[arg-type]
        yield


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_connection_is_tried_again_while_nothing_was_sent(
    server: Server, relay: tuple[Relay, Server], counter: Callable[[], int], times: int
) -> None:
    """Lost while the session is made ready: made anew, three times at most, and the write is sent once or never."""
    cut, there = relay
    broken: list[str] = []

    def rule(sent: str) -> Any:
        if sent.startswith("SET time_zone") and len(broken) < times:
            broken.append(sent)
            return "cut after"
        return "pass"

    cut.rule = rule
    with nothing_left(server):
        if times < 3:
            run(there, ADD, inputs=BY, output=None)
        else:
            with refused(ServerUnreachable, "3 times", query=ADD, at=address(there), recoverable=True):
                run(there, ADD, inputs=BY, output=None)
    assert (len(broken), cut.sent("update"), counter()) == (times, int(times < 3), int(times < 3))


class _Late(Relay):
    """A relay that turns away who comes first."""

    turned_away = 0

    def _accept(self) -> None:
        self._listener.accept()[0].close()
        self.turned_away += 1
        super()._accept()


def test_a_server_that_comes_late_is_reached(server: Server) -> None:
    """A connection that is refused at first is tried again before the task fails."""
    with closing(_Late(server.port)) as late:
        assert run(replace(server, port=late.port), "select 1 as a")["a"].tolist() == [1]
        assert late.turned_away == 1


# -- it takes too long ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["select sleep(60) as slept", "insert into counted select 2, sleep(60)", "update counted set n = sleep(60)"],
)
def test_a_statement_that_takes_too_long_is_ended_on_the_server(
    server: Server, counter: Callable[[], int], query: str
) -> None:
    """After timeout_s the task fails, and the server works on it no longer and keeps nothing of it."""
    began = time.monotonic()
    output = {} if query.startswith("select") else {"output": None}
    with (
        nothing_left(server, within_s=20),
        refused(StatementTimedOut, "timeout_s", query=query, at=address(server), recoverable=False) as caught,
    ):
        run(server, query, timeout_s=1, **output)
    assert caught.value.timeout_s == 1
    assert time.monotonic() - began < 50
    assert server.sql("select count(*), sum(n) from counted")[0] == (1, 0)


def test_postgres_ends_what_takes_too_long(postgres: Server) -> None:
    """PostgreSQL ends the statement by itself, and no session stays."""
    with refused(
        StatementTimedOut, "timeout_s", query="select pg_sleep(60) as a", at=address(postgres), recoverable=False
    ):
        run(uri(postgres), "select pg_sleep(60) as a", timeout_s=1)
    with psql(postgres) as admin:
        asked = (
            "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        assert eventually(lambda: admin.execute(asked).fetchone() == (0,), within_s=10)


def test_a_network_that_lost_postgres_is_noticed(postgres: Server) -> None:
    """The client has no timeout of its own there, so the kernel looks whether the server is alive."""
    place = connections.target_of(uri(postgres), connect_args={}, secrets={}, connect_timeout_s=9, timeout_s=9)
    with connections.connect(place) as session:
        with closing(socket.socket(fileno=os.dup(session.raw.fileno()))) as line:
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_sqlite_ends_what_takes_too_long() -> None:
    """SQLite has no timeout of its own; the task has."""
    query = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) as a from n"
    with refused(StatementTimedOut, "timeout_s", query=query, at="sqlite://", recoverable=False) as caught:
        run("sqlite://", query, timeout_s=0.5)
    assert caught.value.timeout_s == 0.5


# -- others are in the way --------------------------------------------------------------------------------------------


@contextmanager
def _transaction(server: Server, *statements: str) -> Iterator[Any]:
    with closing(
        pymysql.connect(host="127.0.0.1", port=server.port, user=USER, password=PASSWORD, database=DATABASE)
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute("begin")
            for statement in statements:
                cursor.execute(statement)
            yield cursor
        connection.rollback()


def test_a_lock_that_is_held_too_long_is_a_conflict(mariadb: Server) -> None:
    """A row that another transaction holds: the task is undone and may be repeated."""
    mariadb.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    mariadb.sql("insert into counted values (1, 0)")
    arguments = {"init_command": "set innodb_lock_wait_timeout = 1"}
    with _transaction(mariadb, "select * from counted for update"):
        with refused(TransactionConflict, "Lock wait", query=ADD, at=address(mariadb), recoverable=True) as caught:
            run(mariadb, ADD, inputs=BY, output=None, connect_args=arguments)
    assert caught.value.code == 1205
    assert mariadb.sql("select n from counted") == [(0,)]


def test_a_deadlock_is_a_conflict(mariadb: Server) -> None:
    """The task is the one that MariaDB undoes, since it had changed less; it may be repeated."""
    mariadb.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    mariadb.sql("insert into counted select seq, 0 from seq_1_to_2000")
    query = "update counted set n = n + 1 where id in (1, 2) order by id"
    with _transaction(mariadb, "update counted set n = 7 where id >= 2") as other:
        thread, failed = _in_background(lambda: run(mariadb, query, output=None))
        waiting = "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"
        # MariaDB renews that table only if nobody looked for a tenth of a second.
        assert eventually(lambda: time.sleep(0.2) or mariadb.sql(waiting) == [(1,)], within_s=20)
        other.execute("update counted set n = 7 where id = 1")
        thread.join(timeout=20)
    assert [(type(error), getattr(error, "code", None)) for error in failed] == [(TransactionConflict, 1213)]
    assert mariadb.sql("select max(n) from counted") == [(0,)]


def test_a_commit_that_came_too_late_is_a_conflict(dolt_server: Server) -> None:
    """On Dolt another transaction changed the same cell first: nothing of the task's is kept; it may be repeated."""
    dolt_server.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    dolt_server.sql("insert into counted values (1, 0)")
    with relayed(dolt_server) as (relay, there):

        def rule(sent: str) -> Any:
            if sent == "COMMIT":
                dolt_server.sql("update counted set n = 7")
            return "pass"

        relay.rule = rule
        with (
            nothing_left(dolt_server),
            refused(TransactionConflict, "again", query=ADD, at=address(there), recoverable=True),
        ):
            run(there, ADD, inputs=BY, output=None)
    assert dolt_server.sql("select n from counted")[0] == (7,)


def test_a_conflict_within_a_procedure_is_an_unknown_outcome(mariadb: Server) -> None:
    """A procedure may have committed a part of its work before the conflict, so it is not repeated."""
    mariadb.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    mariadb.sql("insert into counted values (1, 0), (2, 0)")
    mariadb.sql(
        "create or replace procedure twice() begin update counted set n = n + 1 where id = 1; commit; "
        "update counted set n = n + 1 where id = 2; end"
    )
    arguments = {"init_command": "set innodb_lock_wait_timeout = 1"}
    with _transaction(mariadb, "select * from counted where id = 2 for update"):
        with refused(OutcomeUnknown, "kept", query="call twice()", at=address(mariadb), recoverable=False):
            run(mariadb, "call twice()", output=None, connect_args=arguments)
    assert mariadb.sql("select n from counted order by id") == [(1,), (0,)]


def test_locks_of_other_servers_are_conflicts(postgres: Server, tmp_path: Path) -> None:
    """PostgreSQL's lock_timeout and a SQLite file that another process writes to may be tried again."""
    query = "update counted set n = n + 1"
    with psql(postgres) as admin:
        admin.execute("create table counted as select 0 as n")
        with admin.transaction():
            admin.execute("lock table counted")
            with refused(TransactionConflict, "again", query=query, at=address(postgres), recoverable=True):
                run(uri(postgres) + "?options=-c%20lock_timeout%3D300", query, output=None)
        admin.execute("drop table counted")
    file = tmp_path / "f.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("create table counted (n int)")
        other.execute("begin exclusive")
        with refused(TransactionConflict, "database is locked", query=query, at=str(file), recoverable=True):
            run(f"sqlite:///{file}", query, output=None, connect_timeout_s=1)


# -- a task that only reads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "insert into counted values (2, 0)",
        "create table more (a int)",
        "drop table counted",
        "truncate counted",
        "call dolt_commit('-Am', 'x')",
        "call dolt_branch('x')",
        "select 1 into outfile '/tmp/x'",
        "select n from counted for update",
        "explain analyze delete from counted",
    ],
)
def test_a_reading_task_refuses_before_it_connects(query: str) -> None:
    """What is not known to read is refused without a connection: here nobody listens."""
    with refused(ReadOnlyRefused, "reads", query=query, at="@127.0.0.1:1/db", recoverable=False):
        run("mysql://u@127.0.0.1:1/db", query, output=None, read_only=True)


def test_the_server_refuses_as_well(anywhere: tuple[str, str]) -> None:
    """The session of a reading task is read-only for its server, whatever is sent in it."""
    where, _ = anywhere
    run(where, "drop table if exists guarded", output=None)
    run(where, "create table guarded (a int)", output=None)
    place = connections.target_of(where, connect_args={}, secrets={}, connect_timeout_s=9, timeout_s=9)
    with connections.connect(place, read_only=True) as session:
        with pytest.raises(connections.DBAPIError, match="(?i)read.?only") as caught:
            session.rows("insert into guarded values (1)")
    found = connections.translated(caught.value, place, phase="read")
    assert type(found) is ReadOnlyRefused, found
    assert run(where, "select * from guarded", read_only=True).empty


def test_a_function_that_writes_is_refused_by_the_server(mariadb: Server, postgres: Server) -> None:
    """What the text does not show, a function with an effect, the server of a reading task does not let through."""
    mariadb.sql("drop table if exists noted", "create table noted (a int)")
    mariadb.sql(
        "create or replace function note() returns int modifies sql data "
        "begin insert into noted values (1); return 1; end"
    )
    with psql(postgres) as admin:
        admin.execute("create table if not exists noted (a int)")
        admin.execute(
            "create or replace function note() returns int language sql as 'insert into noted values (1) returning 1'"
        )
        for where in (uri(mariadb), uri(postgres)):
            with refused(ReadOnlyRefused, "read_only=False", query="select note() as a", at="@", recoverable=False):
                run(where, "select note() as a", read_only=True)
        assert mariadb.sql("select * from noted") == []
        assert admin.execute("select count(*) from noted").fetchone() == (0,)


def test_a_function_is_called_though_its_rows_are_not_wanted(mariadb: Server, postgres: Server) -> None:
    """A SELECT that is run for its effect has it once for each row, and it is kept."""
    mariadb.sql("drop table if exists noted", "create table noted (a int)")
    mariadb.sql(
        "create or replace function note() returns int modifies sql data "
        "begin insert into noted values (1); return 1; end"
    )
    run(mariadb, "select note() from (select 1 as a union all select 2) as t", output=None)
    assert mariadb.sql("select count(*) from noted") == [(2,)]
    with psql(postgres) as admin:
        admin.execute("create table if not exists noted (a int)")
        admin.execute(
            "create or replace function note() returns int language sql as 'insert into noted values (1) returning 1'"
        )
        run(uri(postgres), "select note() from generate_series(1, 2) as g", output=None)
        assert admin.execute("select count(*) from noted").fetchone() == (2,)
        admin.execute("drop table noted")


def test_a_commit_of_dolt_cannot_be_written_to(dolt_server: Server) -> None:
    """A database that is a commit takes no writes, and says so."""
    dolt_server.sql("create table if not exists guarded (a int)", "call dolt_commit('-A', '-m', 'x', '--skip-empty')")
    ((head,),) = dolt_server.sql("select dolt_hashof('HEAD')")
    query = "insert into guarded values (1)"
    with refused(ReadOnlyRefused, "connect", query=query, at=address(dolt_server), recoverable=False):
        run(dolt_server, query, database=f"{DATABASE}/{head}", output=None)


# -- a commit of Dolt -------------------------------------------------------------------------------------------------


def test_a_lost_answer_to_dolt_commit_is_an_unknown_outcome(dolt_server: Server) -> None:
    """The commit may be there, and here it is, once."""
    dolt_server.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    dolt_server.sql("insert into counted values (1, 0)", "call dolt_commit('-A', '-m', 'start', '--skip-empty')")
    with relayed(dolt_server) as (relay, there):
        relay.rule = lambda sent: "cut after" if sent.startswith("CALL dolt_commit") else "pass"
        with refused(OutcomeUnknown, "committed", query=ADD, at=address(there), recoverable=False):
            run(there, ADD, inputs=BY, output=None, dolt_commit_message="once only")
        assert (relay.sent("update"), relay.sent("call dolt_commit")) == (1, 1)
    found = "select count(*) from dolt_log where message like 'once only%%'"
    assert eventually(lambda: dolt_server.sql(found)[0] == (1,), within_s=10)


def test_others_changes_are_not_swept_into_a_commit(dolt_server: Server) -> None:
    """Uncommitted work of somebody else on the branch is named, and nothing is done, committed or lost."""
    dolt_server.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    dolt_server.sql("insert into counted values (1, 0)", "call dolt_commit('-A', '-m', 'start', '--skip-empty')")
    dolt_server.sql("create table theirs (a int)")
    try:
        with refused(UncommittedChanges, "'theirs'", query=ADD, at=address(dolt_server), recoverable=False) as caught:
            run(dolt_server, ADD, inputs=BY, output=None, dolt_commit_message="mine")
        assert caught.value.tables == ["theirs"]
        assert dolt_server.sql("select n from counted")[0] == (0,)
        assert dolt_server.sql("select table_name, staged from dolt_status")[0] == ("theirs", 0)
    finally:
        dolt_server.sql("drop table theirs")


@pytest.mark.parametrize(
    "message", ["-amend", "--all", "'; drop table counted; -- ", "é😀\n\nb \"'\\ %s :x", "a\0b", "x" * 200_000, " "]
)
def test_a_commit_message_is_a_value(dolt_server: Server, message: str) -> None:
    """An input in the message is text of it, whatever it looks like and however long it is."""
    dolt_server.sql("drop table if exists counted", "create table counted (id int primary key, n int)")
    dolt_server.sql("insert into counted values (1, 0)", "call dolt_commit('-A', '-m', 'start', '--skip-empty')")
    query = "update counted set n = n + 1 where '{{ .inputs.why }}' is not null"
    run(dolt_server, query, inputs={"why": (str, message)}, output=None, dolt_commit_message="{{ .inputs.why }}")
    ((found, parents),) = dolt_server.sql("select message, (select count(*) from counted) from dolt_log limit 1")
    assert found == f"{message}\n\nGenerated by Flyte execution id: ex:local:local:local".strip()
    assert parents == 1
    assert dolt_server.sql("select n from counted")[0] == (1,)


# -- as Flyte sees it -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flyte_is_told_what_may_be_repeated(mariadb: Server, tmp_path: Path) -> None:
    """A task in a pod of its own ends in an error that Flyte repeats exactly if nothing was sent."""
    cluster = Cluster(tmp_path, environment=counted())
    for where, recoverable in ((replace(mariadb, port=CLOSED_PORT), True), (mariadb, False)):
        plain = uri(where).replace(uri(where).partition("@")[0], f"mysql://{USER}")
        with pytest.raises(PodFailed, match="Query: select 1 as a") as caught:
            cluster.run(task_on(plain, "select 1 as a"), f"run{where.port}")
        assert caught.value.recoverable == recoverable, str(caught.value)
