"""The doors of the private server: which socket is gone to, and as whom, and what the user who only reads may do."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dolt_server import DoltServer

from flytekitplugins.dolt import DoltConfig, create_repository, diff, read, write
from flytekitplugins.dolt.errors import DoltError, QueryRefused
from flytekitplugins.dolt.repository import connections
from flytekitplugins.dolt.repository.refs import connect
from flytekitplugins.dolt.server import local_server, procedures
from flytekitplugins.doltdb import driver

ROWS = pd.DataFrame({"id": range(2500), "name": "x"})


@pytest.fixture(autouse=True)
def _by_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows go by SQL, through the transport whose doors these are."""
    monkeypatch.setenv(procedures.SWITCH, "0")


LISTENER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    client = listener.accept()[0]
    print("somebody", flush=True)
    client.close()
"""


@contextmanager
def somebodys_socket() -> Iterator[tuple[str, list[str]]]:
    """Have another process listen on a socket; give its path, and a list that has its clients when the block ends."""
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as folder:  # a socket's path must be short
        path, seen = f"{folder}/mysql.sock", list[str]()
        argv = [sys.executable, "-I", "-S", "-c", LISTENER, path]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
            try:
                assert listener.stdout is not None
                assert listener.stdout.readline() == "ready\n"
                yield path, seen
            finally:
                listener.kill()
                seen += listener.communicate()[0].split()


def read_in_every_form(path: Path) -> None:
    """Read and write in each way that fetches rows in bulk."""
    config = DoltConfig(str(path), "t", primary_key=["id"])
    first = write(config, ROWS)
    write(config, ROWS.assign(name="y"))  # which compares with what is there, on a scratch branch
    assert len(read(config)) == 2500
    assert len(read(DoltConfig(str(path), sql="select id, name from t"))) == 2500
    assert first.commit is not None
    there = first.at(first.commit)
    assert sum(map(len, there.iter(batch_rows=1000))) == 2500
    with there.open(columns=["name"]) as batches:
        assert set(batches.read_all()["name"].to_pylist()) == {"x"}
    assert diff(first, config).modified == 2500


def reported(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the private server report a socket at ``path``, as Dolt reports one in the temporary folder by itself."""
    real = local_server._settings

    def settings(*places: Any) -> dict[str, Any]:
        found: dict[str, Any] = real(*places)
        return found | {"system_variables": found["system_variables"] | {"socket": path}}

    monkeypatch.setattr(local_server, "_settings", settings)


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the users to whom rows are sent in bulk."""
    found: list[str] = []
    real = driver.Connection.query

    def noted(self: Any, sql: str, unbuffered: bool = False) -> int:
        if unbuffered:
            found.append(self.user.decode())
        return real(self, sql, unbuffered)

    monkeypatch.setattr(driver.Connection, "query", noted)
    return found


# ------------------------------------------------------------------------------------------------------ which socket


def test_nobody_goes_to_a_socket_that_the_private_server_reports(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens where the server says that its socket is sees nobody, whatever is read."""
    with somebodys_socket() as (path, seen):
        reported(path, monkeypatch)
        read_in_every_form(repo)
        with connect(repo) as connection:
            assert connection.query("SELECT @@socket") == [(path,)]
    assert seen == []


def test_nobody_goes_to_a_socket_that_a_server_of_the_users_reports(tmp_path: Path) -> None:
    """So it is where a server of the user's own runs in the folder."""
    with somebodys_socket() as (path, seen), DoltServer(tmp_path / "foo", variables={"socket": path}) as own:
        read_in_every_form(own.folder)
        local_server.release(own.folder)
    assert seen == []


def test_the_private_server_reports_a_socket_that_nobody_else_can_make(repo: Path) -> None:
    """It lies in the folder that only this user can look into, and there is none."""
    with connect(repo) as connection:
        ((path,),) = connection.query("SELECT @@socket")
    assert local_server.is_private(Path(path))
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert not Path(path).exists()


@pytest.mark.parametrize("name", ["a # b", "a: b", "${HOME}", "$$", 'it\'s "q" {a}', "\x7f\u2028 😀", "l" * 150])
def test_a_temporary_folder_of_any_name(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Its path is in the server's settings as it is, however long, and no part of it is taken for something else."""
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    assert read(DoltConfig(str(repo), "t"))["n"].tolist() == [1]
    with connect(repo) as connection:
        assert str(connection.shared_folder()).startswith(f"{tmp_path / name}/")


@pytest.mark.parametrize("name", ["${HOME}", "a$$b", "$x"])
def test_a_repository_with_a_name_of_a_variable(tmp_path: Path, name: str) -> None:
    """Dolt would put the variable's value there, and serve another folder."""
    (tmp_path / name).mkdir()
    path = create_repository(tmp_path / name / "foo", name="Ann", email="ann@x.org")
    write(DoltConfig(str(path), "t"), pd.DataFrame({"n": [1]}))
    assert read(DoltConfig(str(path), "t"))["n"].tolist() == [1]
    local_server.release(path)


# ----------------------------------------------------------------------------------------------------------- as whom


def test_rows_are_fetched_as_the_user_who_may_only_read(repo: Path, logins: list[str]) -> None:
    """Of all that is read in bulk nothing is read as the superuser."""
    read_in_every_form(repo)
    assert len(logins) >= 6
    assert set(logins) == {"flyte_reader"}


def test_files_of_rows_are_written_for_the_same_user(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read natively is not read as the superuser, either."""
    monkeypatch.delenv(procedures.SWITCH)
    users = []
    real = connections.Connection.query

    def noted(self: connections.Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        if any(procedure in sql for procedure in procedures.THAT_READ):
            users.append(self.endpoint.user)
        return real(self, sql, *parameters)

    monkeypatch.setattr(connections.Connection, "query", noted)
    read_in_every_form(repo)
    assert set(users) <= {"flyte_reader"}


def test_that_user_sees_what_the_session_is_on(repo: Path) -> None:
    """A commit, a branch with uncommitted rows, and the branch that is checked out."""
    config = DoltConfig(str(repo), "t")
    commit = write(config, pd.DataFrame({"n": [1]})).commit
    assert commit is not None
    with connect(repo) as connection:
        connection.execute("CALL DOLT_BRANCH('other')")
        for place, count in ((commit.hash, 1), ("other", 2), (None, 1)):
            with connection.at(place):
                if place == "other":
                    connection.execute("INSERT INTO t VALUES (2)")
                with connection.arrow_batches("SELECT user() u FROM t", batch_rows=9) as batches:
                    users = [user for batch in batches for user in batch["u"].to_pylist()]
            assert users == ["flyte_reader@localhost"] * count


def test_a_server_of_the_users_own_is_logged_in_to_as_before(tmp_path: Path, logins: list[str]) -> None:
    """No user is made there."""
    with DoltServer(tmp_path / "foo") as own:
        read_in_every_form(own.folder)
        assert ("flyte_reader",) not in own.sql("SELECT user FROM mysql.user")
        local_server.release(own.folder)
    assert set(logins) == {local_server.Address.user}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the statements that are sent."""
    found: list[str] = []
    for name in ("execute", "query"):
        monkeypatch.setattr(connections.Connection, name, _noting(found, getattr(connections.Connection, name)))
    return found


def _noting(found: list[str], real: Callable[..., Any]) -> Callable[..., Any]:
    def noted(self: connections.Connection, sql: str, *values: Any, **options: Any) -> Any:
        found.append(sql)
        return real(self, sql, *values, **options)

    return noted


def test_the_user_is_made_once_for_a_server(repo: Path, statements: list[str]) -> None:
    """Further sessions of a process ask nothing for it, another process one thing."""
    config = DoltConfig(str(repo), "t")
    write(config, pd.DataFrame({"n": [1]}))
    read(config)
    assert len([sql for sql in statements if "USER" in sql]) == 1
    statements.clear()
    with connect(repo), connect(repo) as second, second.arrow_batches("SELECT 1", batch_rows=1):
        pass
    read(DoltConfig(str(repo), sql="select n from t"))
    assert [sql for sql in statements if "flyte_reader" in sql or "mysql.user" in sql] == []
    connections._readers.clear()  # as in another process
    read(config)
    assert [sql for sql in statements if "USER" in sql or "mysql.user" in sql] == [
        "SELECT authentication_string = %s AND select_priv = 'Y' FROM mysql.user WHERE user = %s"
    ]


# -------------------------------------------------------------------------------------------------- what it may do

# fmt: off
DENIED = [
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE t", "SELECT 1 INTO OUTFILE '{out}'", "SELECT 1 INTO DUMPFILE '{out}'",
    "DROP USER flyte_reader@localhost", "RENAME USER flyte_reader@localhost TO x@localhost", "CREATE ROLE r",
    "SET PASSWORD FOR flyte_reader@localhost = 'x'", "ALTER USER __dolt_local_user__@localhost IDENTIFIED BY 'x'",
    "GRANT ALL ON *.* TO flyte_reader@localhost", "REVOKE SELECT ON *.* FROM flyte_reader@localhost",
    "KILL QUERY 1", "SHOW PROCESSLIST", "FLUSH PRIVILEGES", "LOCK TABLES t WRITE", "CREATE TEMPORARY TABLE x (n INT)",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
    "INSERT INTO dolt_branch_control VALUES ('%', '%', '%', '%', 'admin')", "DELETE FROM dolt_branch_control",
    "UPDATE mysql.user SET user = 'x'", "CALL DOLT_CLONE('file:///x')", "CALL DOLT_BACKUP('sync-url', 'file:///x')",
    "CALL DOLT_FETCH()", "CALL DOLT_PULL()", "CALL DOLT_STATS_STOP()", "CALL DOLT_PURGE_DROPPED_DATABASES()",
    "CALL DOLT_UNDROP('x')", "CALL DOLT_UPDATE_COLUMN_TAG('t', 'n', 7)", "START REPLICA",
    "SET GLOBAL secure_file_priv = ''", "SET GLOBAL socket = '/tmp/x'",
]
# fmt: on


def test_what_that_user_is_denied(repo: Path, tmp_path: Path) -> None:
    """Neither rights nor files nor other sessions are to be had from a statement that got through."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    denied = "(?i)command denied|access denied|secure-file-priv|syntax error|read only variable"
    with connect(repo) as connection, connection.read_only_session() as reading:
        for statement in DENIED:
            with pytest.raises(DoltError, match=denied):
                reading.execute(statement.format(out=tmp_path / "out"))
        assert reading.query("SELECT n FROM t") == [(1,)]
    assert not (tmp_path / "out").exists()


# What Dolt 1.83 lets every user do, and what no right takes away: there, what a query may be is the only guard.
LEFT = [
    "SET GLOBAL max_connections = 7",
    "SET @@GLOBAL.dolt_transaction_commit = 1",
    "SET PERSIST max_connections = 7",
    "ALTER USER flyte_reader@localhost IDENTIFIED BY 'x'",
    "SELECT user, authentication_string FROM mysql.user",
    "SELECT * FROM information_schema.processlist",
    "SELECT GET_LOCK('x', 0)",
    "ANALYZE TABLE t",
    "PREPARE s FROM 'SET GLOBAL max_connections = 7'",
    "EXPLAIN SET GLOBAL max_connections = 7",
    "SELECT 1; SET GLOBAL max_connections = 7",
    "SELECT 1 /*! ; SET GLOBAL max_connections = 7 */; SET PERSIST max_connections = 7",
]


@pytest.mark.parametrize("statement", LEFT)
def test_what_dolt_lets_that_user_do_is_never_sent(repo: Path, statement: str) -> None:
    """Variables of the server, its own password, and what only looks harmless: refused before, and nothing changes."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    before = _kept(repo)
    with pytest.raises(QueryRefused, match="^Cannot run the query "):
        read(DoltConfig(str(repo), sql=statement))
    assert _kept(repo) == before


def _kept(repo: Path) -> tuple[object, ...]:
    with connect(repo) as connection:
        variables = connection.query("SELECT @@GLOBAL.max_connections, @@GLOBAL.dolt_transaction_commit")
        users = connection.query("SELECT user, authentication_string FROM mysql.user")
    users = sorted(user for user in users if user[0] != "flyte_reader")
    return variables, users, (repo / ".dolt" / "config.json").read_text()


def test_its_password_is_set_again(repo: Path) -> None:
    """If a statement gave it another password all the same, the next process does not stay outside."""
    config = DoltConfig(str(repo), "t")
    write(config, pd.DataFrame({"n": [1]}))
    with connect(repo) as connection, connection.read_only_session() as reading:
        reading.execute("ALTER USER flyte_reader@localhost IDENTIFIED BY 'x'")
        reading.close()
    connections._readers.clear()  # as in another process
    assert read(config)["n"].tolist() == [1]
