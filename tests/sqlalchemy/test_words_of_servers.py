"""Each row of the table of errors is provoked on a real server, or has a reason; each class is met in a test."""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from faults import host_rules, psql
from servers import DATABASE, PASSWORD, USER, Server
from sql_tasks import run, uri
from waiting import eventually

from flytekitplugins.sqlalchemy import errors
from flytekitplugins.sqlalchemy.errors import (
    AccessDenied,
    DatabaseNotFound,
    ReadOnlyRefused,
    SQLTaskError,
    StatementFailed,
    SyntaxRefused,
    TableNotFound,
    TransactionConflict,
)

# Codes and words that other tests provoke, or that cannot be brought about here, with the reason.
ELSEWHERE = {
    "2059": "see test_logins.py, servers that only ask",
    "answer to a challenge": "see test_logins.py, servers that only ask",
    "2068": "see test_logins.py, no file is sent",
    "authentication method requirement": "see test_logins.py, a PostgreSQL that only asks",
    "1129": "MariaDB blocks a host after a hundred broken handshakes, and with it every test",
    "1130": "needs a server none of whose users may come from this machine",
    "1836": "MySQL's code for what MariaDB says with 1290",
    "3118": "MySQL's code for a locked account",
    "4151": "see test_failures.py, a locked account",
    "1862": "said to clients that cannot change a password; PyMySQL says that it can",
    "28P01": "psycopg gives no code where no session comes about",
    "28000": "psycopg gives no code where no session comes about",
    "3D000": "psycopg gives no code where no session comes about",
    "1149": "an old code of MySQL's for what is 1064",
    "database not found": "1.83.2 gives the code 1049 with it",
    "table not found": "1.83.2 gives the code 1146 with it",
    "1205": "see test_failures.py, a lock that is held too long",
    "1213": "see test_failures.py, a deadlock",
    "55P03": "see test_failures.py, locks of other servers",
    "database is locked": "see test_failures.py, locks of other servers",
    "database table is locked": "needs two connections of one process that share a cache",
    "1969": "see test_failures.py, what takes too long",
    "3024": "MySQL's code for what MariaDB says with 1969",
    "57014": "see test_failures.py, what takes too long",
    "statement timeout": "see test_failures.py, what takes too long",
    "^interrupted$": "see test_failures.py, what takes too long on SQLite",
    "pg_hba.conf": "see test_failures.py, a host that is turned away",
    "unable to open database": "see test_failures.py, other servers",
    "password authentication failed": "see test_failures.py, other servers",
    "invalid connection option": "see test_secrets.py, a refused argument",
    "readonly database": "see test_failures.py, the server refuses as well",
}


def alternatives() -> set[str]:
    """Return the codes and words of the table, each by itself; 1105 and no code at all say nothing."""
    found = {code for fault in errors._FAULTS for code in (fault.codes or "").split("|")}
    found |= {words for fault in errors._FAULTS for words in re.split(r"\|(?![^(]*\))", fault.text)}
    return found - {"", "1105"}


@pytest.fixture
def guest(mariadb: Server) -> str:
    """Make a user who may do next to nothing, and give the URI up to the database."""
    mariadb.sql("create or replace user guest identified by 'x'", "create or replace database theirs")
    mariadb.sql("create table theirs.t (a int)", "create or replace table narrow (a int, b int)")
    mariadb.sql("grant select, insert on theirs.* to guest", "grant select (a) on db.narrow to guest")
    mariadb.sql("create procedure theirs.p() select 1")
    return f"mysql://guest:x@127.0.0.1:{mariadb.port}"


@pytest.mark.parametrize(
    ("code", "database", "query", "kind"),
    [
        ("1044", "mysql", "select 1", AccessDenied),
        ("1142", "theirs", "insert into db.narrow values (1, 2)", AccessDenied),
        ("1143", "theirs", "select b from db.narrow", AccessDenied),
        ("1227", "theirs", "set global max_connections = 10", AccessDenied),
        ("1370", "theirs", "call p()", AccessDenied),
        ("1146", "theirs", "insert into nope values (1)", TableNotFound),
        ("1064", "theirs", "selec 1", SyntaxRefused),
    ],
)
def test_mariadb_says_no_to_a_guest(guest: str, code: str, database: str, query: str, kind: type[SQLTaskError]) -> None:
    """What a user may not do has a code of its own each time, and one class."""
    assert _said(f"{guest}/{database}", query, kind)[0] == code


def test_mariadb_says_no_to_a_login(mariadb: Server) -> None:
    """A wrong password, a login without one and an expired one are all refused logins."""
    mariadb.sql("create or replace user sock identified via unix_socket")
    mariadb.sql("create or replace user old identified by 'x' password expire")
    at = f"127.0.0.1:{mariadb.port}"
    found = [_said(f"mysql://{login}@{at}", "select 1", AccessDenied)[0] for login in (f"{USER}:no", "sock:x", "old:x")]
    assert found == ["1045", "1698", "1820"]


def test_mariadb_says_no_to_a_database(mariadb: Server) -> None:
    """A database that is not there has a code."""
    assert _said(uri(mariadb, "nope"), "select 1", DatabaseNotFound)[0] == "1049"


def test_mariadb_says_no_to_writing(mariadb: Server, guest: str) -> None:
    """A server that is read-only is told from one that may not write files, which has the same code."""
    mariadb.sql("set global read_only = 1")
    try:
        code, said = _said(f"{guest}/theirs", "insert into t values (1)", ReadOnlyRefused)
    finally:
        mariadb.sql("set global read_only = 0")
    assert (code, "read-only option" in said) == ("1290", True)
    assert _said(uri(mariadb), "select 1 into outfile '/nowhere/x'", StatementFailed)[0] == "1290"
    mariadb.sql(
        "create or replace function put() returns int modifies sql data "
        "begin insert into narrow values (1, 2); return 1; end"
    )
    assert _said(uri(mariadb), "select put()", ReadOnlyRefused, read_only=True)[0] == "1792"


def test_mariadb_says_no_to_an_old_snapshot(mariadb: Server) -> None:
    """A row that changed since the transaction's first look is a conflict, where MariaDB is set to notice."""
    mariadb.sql("create or replace table seen (a int primary key, n int)", "insert into seen values (1, 0), (2, 0)")
    mariadb.sql(
        "create or replace procedure late() begin declare n int; set innodb_snapshot_isolation = on; "
        "start transaction with consistent snapshot; do sleep(1); update seen set n = 1 where a = 1; end"
    )
    with closing(
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user=USER, password=PASSWORD, database="db")
    ) as c:
        c.cursor().execute("set innodb_snapshot_isolation = on")
        c.begin()
        c.cursor().execute("select * from seen")
        mariadb.sql("update seen set n = 7")
        with pytest.raises(pymysql.MySQLError, match="Record has changed") as caught:
            c.cursor().execute("update seen set n = 1")
    assert caught.value.args[0] == 1020
    found = errors.from_server(*caught.value.args)
    assert type(found) is TransactionConflict


def test_a_statement_that_an_administrator_ends_is_no_timeout(mariadb: Server) -> None:
    """KILL QUERY leaves the session; the task failed, and not because it was slow."""
    found: list[Any] = []
    query = "select a.seq as a from seq_1_to_1000000 a, seq_1_to_1000000 b where a.seq + b.seq < 0"
    thread = threading.Thread(target=lambda: found.append(_said(uri(mariadb), query, StatementFailed)))
    thread.start()
    running = "select id from information_schema.processlist where info like 'select a.seq%%'"
    assert eventually(lambda: bool(mariadb.sql(running)), within_s=20)
    mariadb.sql(f"kill query {mariadb.sql(running)[0][0]}")
    thread.join(timeout=20)
    assert [code for code, _ in found] == ["1317"]


@pytest.mark.parametrize(
    ("words", "query", "kind"),
    [
        ("syntax error", "selec 1", SyntaxRefused),
        ("branch not found", "select * from t as of 'nope'", DatabaseNotFound),
        ("target commit not found", "select * from t as of 'abcdefghijklmnopqrstuv0123456789'", DatabaseNotFound),
        ("invalid ancestor spec", "select * from t as of 'HEAD~99'", DatabaseNotFound),
        ("invalid ref spec", "select dolt_hashof('nope')", DatabaseNotFound),
        ("not a valid branch or hash", "select * from t as of 'a b'", DatabaseNotFound),
        ('column "nope" could not be found', "select nope from t", StatementFailed),
    ],
)
def test_dolt_says_no(dolt_server: Server, words: str, query: str, kind: type[SQLTaskError]) -> None:
    """Dolt has one code for most things; its words tell them apart."""
    dolt_server.sql("create table if not exists t (a int)", "call dolt_commit('-A', '-m', 't', '--skip-empty')")
    code, said = _said(uri(dolt_server), query, kind)
    assert (code, words in said) == ("1105", True)


def test_dolt_says_no_to_writing(dolt_server: Server) -> None:
    """A tag is read-only for rows, for tables and for commits."""
    dolt_server.sql("create table if not exists t (a int)", "call dolt_commit('-A', '-m', 't', '--skip-empty')")
    with suppress(pymysql.MySQLError):  # it is there already
        dolt_server.sql("call dolt_tag('a-tag')")
    for query, words in (
        ("insert into t values (1)", "is read-only"),
        ("create table z (a int)", "is read-only"),
        ("call dolt_commit('--allow-empty', '-m', 'x')", "detached head"),
    ):
        assert words in _said(uri(dolt_server, f"{DATABASE}/a-tag"), query, ReadOnlyRefused)[1]


def test_dolt_says_no_to_a_guest(dolt_server: Server) -> None:
    """A database, and a table, that are not for everybody."""
    dolt_server.sql("drop user if exists guest", "create user guest identified by 'x'")
    dolt_server.sql("create database if not exists theirs", "grant select on theirs.* to guest")
    guest = f"mysql://guest:x@127.0.0.1:{dolt_server.port}"
    found = [
        _said(f"{guest}/{database}", query, AccessDenied)
        for database, query in ((DATABASE, "select 1"), ("theirs", "create table t (a int)"))
    ]
    assert [code for code, _ in found] == ["1105", "1105"]
    assert "access denied" in found[0][1].lower()
    assert "command denied" in found[1][1].lower()


@pytest.mark.parametrize(
    ("code", "query", "kind"),
    [
        ("42P01", "select * from nope", TableNotFound),
        ("42601", "selec 1", SyntaxRefused),
        ("42501", "select * from hers", AccessDenied),
        ("25006", "insert into hers values (1)", ReadOnlyRefused),
        ("40001", "select conflict('40001')", TransactionConflict),
        ("40P01", "select conflict('40P01')", TransactionConflict),
        ("57014", "select conflict('57014')", StatementFailed),
    ],
)
def test_postgres_says_no(postgres: Server, code: str, query: str, kind: type[SQLTaskError]) -> None:
    """PostgreSQL's codes; a cancelled statement is none that took too long."""
    with psql(postgres) as admin:
        admin.execute("create table if not exists hers (a int)")
        admin.execute(
            "create or replace function conflict(code text) returns int language plpgsql as "
            "$$ begin raise exception 'as if' using errcode = code; end $$"
        )
        with suppress(psycopg.errors.DuplicateObject):
            admin.execute("create role nobody_else")
    settings = {"25006": "default_transaction_read_only%3Don", "42501": "role%3Dnobody_else"}
    options = f"?options=-c%20{settings[code]}" if code in settings else ""
    assert _said(uri(postgres) + options, query, kind)[0] == code


def test_postgres_says_no_to_a_login(postgres: Server) -> None:
    """Where PostgreSQL trusts everybody, a role that is not there; without a password, that it wants one."""
    with psql(postgres) as admin, host_rules(admin, "host all ghost 127.0.0.1/32 trust\n"):
        where = uri(postgres).replace(f"{USER}:", "ghost:")
        wanted = 'role "ghost" does not exist'
        assert eventually(lambda: wanted in _said(where, "select 1", AccessDenied)[1], within_s=10)
    where = f"postgresql://{USER}@127.0.0.1:{postgres.port}/{DATABASE}"
    assert "no password supplied" in _said(where, "select 1", AccessDenied)[1]
    assert 'database "nope" does not exist' in _said(uri(postgres, "nope"), "select 1", DatabaseNotFound)[1]


def test_sqlite_says_no(tmp_path: Path) -> None:
    """SQLite has words only; names that look like other faults are not taken for them."""
    where = f"sqlite:///{tmp_path}/f.db"
    with closing(sqlite3.connect(tmp_path / "f.db")) as file:
        file.execute("create table t (a int)")
    assert "no such table" in _said(where, "select * from connections", TableNotFound)[1]
    assert "syntax error" in _said(where, "selec 1", SyntaxRefused)[1]
    for name in ("read_only", "readonly", "connection", "interrupted"):
        assert f"no such column: {name}" in _said(where, f"select {name} from t", StatementFailed)[1]


def _said(where: str, query: str, kind: type[SQLTaskError], **config: Any) -> tuple[str, str]:
    """Run the query, expect this error, and return the server's code and words."""
    with pytest.raises(kind, match="'a-task'") as caught:
        run(where, query, output=None, **config)
    assert type(caught.value) is kind
    return str(caught.value.code), caught.value.server_message


def test_every_row_of_the_table_is_accounted_for() -> None:
    """Each code and each text of the table stands in a test of this file, or has a reason."""
    mine = Path(__file__).read_text().partition("def alternatives")[2]
    provoked = {words for words in alternatives() - set(ELSEWHERE) if words.replace("\\", "") in mine.replace("\\", "")}
    assert provoked | set(ELSEWHERE) == alternatives() | {'role ".*" does not exist', 'database ".*" does not exist'}
    assert set(ELSEWHERE) <= alternatives()


def test_every_error_is_met_in_a_test() -> None:
    """Each class that users can catch is expected by a test of a task."""
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    used = re.sub(r"^from flytekitplugins.sqlalchemy.errors import (\([^)]*\)|.*)$", "", text, flags=re.MULTILINE)
    assert [name for name in errors.__all__ if not re.search(rf"\b{name}\b", used)] == []
