"""The one table that says what the server's words mean, each row provoked on a real server.

A server that words a refusal differently after an upgrade is found here, and not by a user who gets QueryFailed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dolt_program
import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, api, create_repository, errors
from flytekitplugins.dolt.errors import (
    ConstraintViolated,
    DoltError,
    HeadMoved,
    InvalidName,
    QueryFailed,
    RepositoryDamaged,
    RepositoryReadOnly,
    RevisionNotFound,
    SchemaMismatch,
    TableNotFound,
    TagExists,
    UncommittedChanges,
    attempting,
    from_server,
)
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.server import binary, local_server

SETUP = (
    "CREATE TABLE t (id INT PRIMARY KEY, v INT, s VARCHAR(3) NOT NULL, u INT UNIQUE, tiny TINYINT, at DATETIME,"
    " price DECIMAL(4,2), CHECK (v < 100))",
    "INSERT INTO t VALUES (1, 1, 'a', 1, NULL, NULL, NULL)",
    "CREATE TABLE child (id INT PRIMARY KEY, t_id INT, FOREIGN KEY (t_id) REFERENCES t (id))",
    "INSERT INTO child VALUES (1, 1)",
    "CALL DOLT_COMMIT('-A', '-m', 'set up')",
    "CALL DOLT_BRANCH('ahead')",
    "USE `{database}/ahead`",
    "UPDATE t SET v = 2",
    "CALL DOLT_COMMIT('-a', '-m', 'ahead')",
    "USE `{database}`",
    "CALL DOLT_BRANCH('behind')",
    "CALL DOLT_BRANCH('aside')",
    "USE `{database}/aside`",
    "INSERT INTO t VALUES (9, 9, 'i', 9, NULL, NULL, NULL)",
    "CALL DOLT_COMMIT('-a', '-m', 'aside')",
    "USE `{database}`",
    "CALL DOLT_BRANCH('childless')",
    "USE `{database}/childless`",
    "DELETE FROM child",
    "DELETE FROM t",
    "CALL DOLT_COMMIT('-a', '-m', 'childless')",
    "USE `{database}`",
)

# What is done, on the branch `main`, and the words of `_FAULTS` that the last statement brings out.
PROVOKED: list[tuple[type[DoltError], str, tuple[str, ...]]] = [
    (RevisionNotFound, "database not found", ("USE `{database}/nope`",)),
    (TableNotFound, "table not found", ("SELECT * FROM nope",)),
    (RevisionNotFound, "branch not found", ("SELECT * FROM t AS OF 'nope'",)),
    (RevisionNotFound, "target commit not found", (f"SELECT * FROM t AS OF '{'0' * 32}'",)),
    (RevisionNotFound, "invalid ancestor spec", ("SELECT * FROM t AS OF 'HEAD~100'",)),
    (RevisionNotFound, "invalid ref spec", ("SELECT DOLT_HASHOF('nope')",)),
    (RevisionNotFound, "not a valid branch or hash", ("SELECT * FROM t AS OF 'a b'",)),
    (InvalidName, "is an invalid branch name", ("CALL DOLT_BRANCH('a b')",)),
    (InvalidName, "not a valid user tag name", ("CALL DOLT_TAG('a b')",)),
    (TagExists, "^already exists$", ("CALL DOLT_TAG('v1')", "CALL DOLT_TAG('v1')")),
    (UncommittedChanges, "local changes would be stomped", ("UPDATE t SET v = 3", "CALL DOLT_MERGE('ahead')")),
    (UncommittedChanges, "uncommitted changes", ("UPDATE t SET v = 3", "CALL DOLT_REBASE('-i', 'behind')")),
    (
        HeadMoved,
        "not possible to fast-forward",
        (
            "UPDATE t SET v = 3",
            "CALL DOLT_COMMIT('-a', '-m', 'main')",
            "CALL DOLT_MERGE('--ff-only', 'aside')",
        ),
    ),
    (ConstraintViolated, "duplicate (primary|unique) key", ("INSERT INTO t (id, s) VALUES (1, 'a')",)),
    (ConstraintViolated, "duplicate (primary|unique) key", ("INSERT INTO t (id, s, u) VALUES (2, 'a', 1)",)),
    (
        ConstraintViolated,
        "constraint violations",
        (
            "INSERT INTO child VALUES (2, 1)",
            "CALL DOLT_COMMIT('-a', '-m', 'main')",
            "CALL DOLT_MERGE('childless')",
        ),
    ),
    (ConstraintViolated, "non-nullable", ("INSERT INTO t (id, s) VALUES (2, NULL)",)),
    (ConstraintViolated, "foreign key violation", ("INSERT INTO child VALUES (2, 77)",)),
    (ConstraintViolated, "foreign key violation", ("DELETE FROM t",)),
    (ConstraintViolated, "check constraint .* violated", ("INSERT INTO t (id, s, v) VALUES (2, 'a', 100)",)),
    (SchemaMismatch, "is too large for column", ("INSERT INTO t (id, s) VALUES (2, 'long')",)),
    (SchemaMismatch, "out of range", ("INSERT INTO t (id, s, tiny) VALUES (2, 'a', 1000)",)),
    (SchemaMismatch, "out of range", ("INSERT INTO t (id, s, price) VALUES (2, 'a', 99999)",)),
    (SchemaMismatch, "is not a valid value for", ("INSERT INTO t (id, s, v) VALUES (2, 'a', 'x')",)),
    (SchemaMismatch, "incorrect .* value", ("INSERT INTO t (id, s, at) VALUES (2, 'a', 'yesterday')",)),
]

# Words that have a test of their own below, or cannot be brought about, with the reason.
ELSEWHERE = {
    "shallow clone": "needs a shallow clone, see test_revisions.py",
    "ghost commit": "needs a shallow clone, see test_revisions.py",
    "performed an online garbage collection": "a warm connection meets it, see test_servers.py",
    "access denied": "needs a server with users, see test_servers.py",
    "unauthenticated": "said by a remote that is a server, see test_remotes.py",
    "permission_?denied": "said by a remote that is a server, see test_remotes.py",
    "must set DOLT_REMOTE_PASSWORD": "needs a remote with a user, see test_remotes.py",
    r"\[(remote )?rejected\]": "needs two clones, see test_remotes.py",
    "contains no dolt data": "needs a remote, see test_remotes.py",
    "desc = database not found": "said by a remote that is a server, see test_remotes.py",
    "unknown url scheme": "needs a remote, see test_remotes.py",
    "x509: ": "needs a remote with a certificate, see test_remotes.py",
    "tls: ": "needs a remote with a certificate, see test_remotes.py",
    "no such host": "needs a remote, see test_remotes.py",
    "connection refused": "needs a remote, see test_remotes.py",
    "connection reset": "needs a remote that hangs up, see test_remotes.py",
    "i/o timeout": "needs a remote that falls silent",
    "code = unavailable": "needs a remote, see test_remotes.py",
    "error reading from server": "needs a remote that is stopped in the very moment",
    "dangling commit parent closure": "needs a remote that is cut off late in a push, see test_remotes.py",
    "command denied to user": "needs a server with users, see test_servers.py",
    "does not have the correct permissions on branch": "needs a server with users, see test_servers.py",
    "does not allow insecure connections": "needs a server with TLS, see test_servers.py",
    "not committed an active merge": "needs a merge in progress, see regression/test_hidden_work_in_the_way.py",
    "serialization failure": "needs two connections",
    "optimistic lock failed": "needs two connections",
    "cannot fast forward from": "needs a result, not an error",
    "dataset head is not ancestor": "Dolt says so when two connections move one branch in the same millisecond",
    "timed out reading database manifest": "needs a remote that is locked, see test_remotes.py",
    "server is set to read only mode": "needs a server that is started so, see test_servers.py",
    "database is read only": "needs a repository that another process holds",
    "read-only file system": "needs a file system that turns read-only under a running server",
    "no space left on device": "needs a full disk, see tests/reliability/test_disk.py",
    "duplicate entry": "MySQL's words, kept for servers that follow it",
    "checksum error": "needs a damaged table file, see the test with one",
    "corrupted journal": "said by a server that does not start, see the test with a damaged journal",
    "data loss detected": "said by a server that does not start, see the test with a damaged journal",
}


def alternatives() -> set[str]:
    """Return the words of the table, row by row and alternative by alternative."""
    return {
        words for fault in errors._FAULTS for words in re.split(r"\|(?![^(]*\))", fault.text)
    }  # a bar inside parentheses does not part


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = create_repository(tmp_path_factory.mktemp("set_up") / "foo")
    with connect(path) as connection:
        for statement in SETUP:
            connection.execute(statement.format(database=connection.database))
    yield path
    local_server.release(path)


@pytest.fixture
def connection(set_up: Path) -> Iterator[Connection]:
    """Give a connection on `main`, which afterwards is what it was."""
    with connect(set_up) as connection:
        head = connection.query("SELECT DOLT_HASHOF('HEAD')")[0][0]
        yield connection
        connection.execute(f"USE `{connection.database}`")
        connection.execute("CALL DOLT_RESET('--hard', %s)", head)


def test_every_row_of_the_table_is_accounted_for() -> None:
    """Each alternative of each row is provoked below, or has a reason why it is not."""
    provoked = {words for _, words, _ in PROVOKED}
    assert provoked | set(ELSEWHERE) == alternatives()
    assert not provoked & set(ELSEWHERE)


def provoke(connection: Connection, statements: tuple[str, ...]) -> None:
    *before, last = (statement.format(database=connection.database) for statement in statements)
    for statement in before:
        connection.execute(statement)
    connection.execute(last)


@pytest.mark.parametrize(("error", "words", "statements"), PROVOKED, ids=lambda value: str(value)[-60:])
def test_server_words_become_their_class(
    connection: Connection, error: type[DoltError], words: str, statements: tuple[str, ...]
) -> None:
    """What the real server says becomes the class of its row, with what was tried, what was said and what to do."""
    with pytest.raises(error, match="try it") as caught, attempting("try it"):
        provoke(connection, statements)
    said = caught.value
    assert type(said) is error
    assert re.search(words, said.server_message, re.IGNORECASE)
    fault = next(fault for fault in errors._FAULTS if fault.matches(said.code, said.server_message))
    assert words in fault.text
    assert said.args[0] == f"Cannot try it: {said.server_message.strip().rstrip('.')}. {fault.advice}"
    assert type(said.__cause__).__module__.startswith("pymysql")


def test_conflicting_transactions(connection: Connection, set_up: Path) -> None:
    """Of two transactions that change the same row, the second is HeadMoved (1213)."""
    with connect(set_up) as other:
        for one in (connection, other):
            one.execute("START TRANSACTION")
        connection.execute("UPDATE t SET v = 10")
        other.execute("UPDATE t SET v = 20")
        connection.execute("COMMIT")
        with (
            pytest.raises(HeadMoved, match="commit second.*serialization failure") as caught,
            attempting("commit second"),
        ):
            other.execute("COMMIT")
    assert caught.value.code == 1213


def test_two_that_move_a_branch_by_force(connection: Connection, set_up: Path) -> None:
    """Of two that move one branch at the same moment, one is HeadMoved; they try until that moment is met."""
    lost: list[HeadMoved] = []
    others: list[Exception] = []
    deadline = time.monotonic() + 60

    def move(target: str) -> None:
        with connect(set_up) as own:
            while not lost and not others and time.monotonic() < deadline:
                try:
                    with attempting("move it"):
                        own.execute("CALL DOLT_BRANCH('-f', 'contested', %s)", target)
                except HeadMoved as error:
                    lost.append(error)
                except Exception as error:  # noqa: BLE001  # the test's own thread shows it
                    others.append(error)

    movers = [threading.Thread(target=move, args=(target,)) for target in ("ahead", "aside")]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    connection.execute("CALL DOLT_BRANCH('-D', 'contested')")
    assert not others
    assert "optimistic lock failed" in lost[0].server_message


def test_fast_forward_to_the_past_is_no_error(connection: Connection) -> None:
    """Merging what is already there is told in a result; the row for these words is for other ways to say so."""
    assert connection.query("CALL DOLT_MERGE('--ff-only', 'behind')")[0][2] == 0


def test_held_repository_is_read_only_to_others(set_up: Path, tmp_path: Path) -> None:
    """What Dolt says when another process holds the repository is RepositoryReadOnly."""
    copied = tmp_path / "foo"
    let_go(set_up)
    shutil.copytree(set_up, copied)
    with dolt_program.holding(copied):
        done = subprocess.run(
            [binary.find(), "sql", "-q", "create table x (n int)"], cwd=copied, capture_output=True, text=True
        )
    said = done.stderr.strip()
    assert done.returncode != 0
    with pytest.raises(RepositoryReadOnly, match="database is read only"):
        raise from_server(1105, said)


def test_damaged_journal(tmp_path: Path) -> None:
    """A repository whose storage is not whole is RepositoryDamaged, and says how to look at it."""
    path = create_repository(tmp_path / "foo")
    api.write(DoltConfig(str(path), "t"), pd.DataFrame({"n": range(1000)}))
    let_go(path)
    flip(path / ".dolt" / "noms" / ("v" * 32), at=0.5)
    with pytest.raises(RepositoryDamaged, match=r"dolt fsck.*data loss detected"):
        api.read(DoltConfig(str(path), "t"))
    local_server.release(path)


def test_damaged_table_file(tmp_path: Path) -> None:
    """Rows whose stored bytes are not whole are RepositoryDamaged where the server says so, and never come as data."""
    path = create_repository(tmp_path / "foo")
    api.write(DoltConfig(str(path), "t"), pd.DataFrame({"n": range(50_000)}))
    let_go(path)
    dolt_program.run("gc", cwd=path).check_returncode()
    table_file = max((path / ".dolt" / "noms" / "oldgen").iterdir(), key=lambda file: file.stat().st_size)
    flip(table_file, at=0.3)
    with pytest.raises(DoltError, match="'t'"):  # in the midst of rows the server only hangs up
        api.read(DoltConfig(str(path), "t"))
    with connect(path) as connection, pytest.raises(RepositoryDamaged, match=r"checksum error.*dolt fsck"):
        connection.query("SELECT sum(n) FROM t")
    local_server.release(path)


def flip(file: Path, *, at: float) -> None:
    """Change one byte of a file, at that part of its length."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    file.chmod(0o600)
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "statement",
    ["SELEKT 1", "SELECT nope FROM t", "INSERT INTO t (id) VALUES (2)", "SELECT 1 FROM t GROUP BY", "CALL nope()"],
)
def test_other_words_are_query_failed(connection: Connection, statement: str) -> None:
    """What no row knows is QueryFailed, with the server's code and whole words."""
    with pytest.raises(QueryFailed, match=r"try it.*\(code \d+\)") as caught, attempting("try it"):
        connection.execute(statement)
    assert repr(caught.value.server_message) in str(caught.value)
