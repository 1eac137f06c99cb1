"""What a warm session says: the statements of a read, and that the next user of a session sees what is there now."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ways
from proxy import between

from flytekitplugins.dolt import Changes, DoltConfig, read, write
from flytekitplugins.dolt.errors import (
    ConnectionLost,
    ConstraintViolated,
    DoltError,
    RevisionNotFound,
    TableNotFound,
    WriteNotVerified,
)
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.tables import reading

ONE_REPOSITORY = True

ONE, TWO = pd.DataFrame({"id": [1]}), pd.DataFrame({"id": [1, 2]})


def config(repo: Path, **options: Any) -> DoltConfig:
    return DoltConfig(str(repo), "t", primary_key=["id"], **options)


def counted(connection: Connection) -> int:
    ((count,),) = connection.query("SELECT COUNT(*) FROM t")
    return int(count)


def only_reads(connection: Connection) -> None:
    counted(connection)


def begins(connection: Connection) -> None:
    """Leave a transaction open, with its view of the table."""
    connection.execute("START TRANSACTION")
    counted(connection)


def fails_within_a_transaction(connection: Connection) -> None:
    begins(connection)
    with pytest.raises(TableNotFound):
        connection.query("SELECT * FROM nothing")


def commits(connection: Connection) -> None:
    """Make a commit, after which Dolt leaves a transaction open."""
    connection.execute("CREATE TABLE other (id int PRIMARY KEY)")
    connection.query("CALL DOLT_COMMIT('-Am', 'other')")


USES = [only_reads, begins, fails_within_a_transaction, commits]


@pytest.mark.skipif(ways.expected() != ways.NATIVELY, reason="by SQL each read logs in anew")
def test_statements_of_a_warm_read(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the branch is, and the rows; the reader stays at its commit. What the table looks like is known."""
    expected = [
        f"USE `{repo.name}`",
        r"SELECT active_branch\(\), DOLT_HASHOF\('HEAD'\)",
        r"CALL flyte_export\('t', .*\)",
    ]
    write(config(repo), ONE)
    with between(repo, monkeypatch) as proxy:
        assert read(config(repo)).equals(ONE)
        write(config(repo), TWO)
        proxy.statements.clear()
        assert read(config(repo)).equals(TWO)  # with it what the write may have left is over
        assert [said for said in proxy.statements if said.startswith("SHOW")] == []  # it looks as at the commit before
        for _ in range(2):
            proxy.statements.clear()
            assert read(config(repo)).equals(TWO)
            pairs = zip(expected, proxy.statements, strict=True)
            assert [said for pattern, said in pairs if re.fullmatch(pattern, said) is None] == []


@pytest.mark.parametrize("use", USES)
def test_the_next_user_of_a_session_sees_what_is_there_now(repo: Path, use: Callable[[Connection], None]) -> None:
    """Whatever the last use has left open, the same session then has no view of before."""
    write(config(repo), ONE)
    with connect(repo) as other:
        with connect(repo) as connection:
            use(connection)
        other.execute("INSERT INTO t VALUES (2)")
        other.execute("CALL DOLT_COMMIT('-am', 'two')")
        other.execute("COMMIT")
        with connect(repo) as again:
            assert again is connection
            assert counted(again) == 2


@pytest.mark.parametrize("first_at", ["branch", "commit"])
@pytest.mark.parametrize("use", USES)
def test_a_session_that_was_ended_meanwhile_is_not_given_out(
    repo: Path, use: Callable[[Connection], None], first_at: str
) -> None:
    """Who connects next has one that answers, wherever he goes first."""
    commit = write(config(repo), ONE).commit
    assert commit is not None
    place = commit.hash if first_at == "commit" else None
    with connect(repo) as other:
        with connect(repo) as connection:
            use(connection)
        other.execute(f"KILL {connection.number}")
    with connect(repo), connect(repo, first_at=place) as found, found.at(place):
        assert found is not connection
        assert counted(found) == 1


@pytest.mark.parametrize("kind", ["table", "query", "changes"])
def test_reads_on_sessions_that_were_ended(repo: Path, kind: str) -> None:
    """Nobody asks a warm session whether it still answers before a read, which is done again where it does not."""
    asked = {
        "table": config(repo),
        "query": DoltConfig(str(repo), sql="SELECT id FROM t ORDER BY id"),
        "changes": config(repo, changes=Changes("HEAD~1", "HEAD")),
    }[kind]
    write(config(repo), ONE)
    write(config(repo), TWO)
    expected = read(asked)
    for _ in range(3):
        with connect(repo) as first, connect(repo) as second:
            for (number,) in first.query("SELECT id FROM information_schema.processlist"):
                if number not in (first.number, second.number):
                    first.execute(f"KILL {number}")
            second.execute(f"KILL {first.number}")
        assert read(asked).equals(expected)


def test_several_statements_at_once(repo: Path) -> None:
    """Each gives its own rows, in their order; one that fails is told, and no answer is taken for another."""
    write(config(repo), TWO)
    with connect(repo) as connection:
        assert connection.queries("SELECT 1", "SELECT id FROM t ORDER BY id", "SELECT 'a', NULL") == [
            [(1,)],
            [(1,), (2,)],
            [("a", None)],
        ]
        for statements in (["SELECT 1", "SELECT * FROM nothing"], ["SELECT * FROM nothing", "SELECT id FROM t"]):
            with pytest.raises(TableNotFound, match="nothing"):
                connection.queries(*statements)
            assert connection.query("SELECT 5") == [(5,)]


def test_work_that_leaves_its_branch_is_not_published(repo: Path) -> None:
    """Where the session is then is asked, and not believed."""
    start = write(config(repo), ONE).commit

    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (2)")
        connection._send(f"USE `{repo.name}`")

    with pytest.raises(WriteNotVerified, match="the branch that it was written on was moved"):
        publishing.write(repo, None, publishing.WriteJob("t", "leaves", work))
    assert read(config(repo)).equals(ONE)
    with connect(repo) as connection:
        ((head,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
    assert start is not None
    assert head == start.hash


NOWHERE = "0" * 32


@pytest.mark.parametrize("ask", ["query", "queries"])
def test_what_is_sent_on_the_way_to_a_commit_that_is_gone(repo: Path, ask: str) -> None:
    """A commit that was seen is gone to with the first statement about it; if it was collected since, that is said."""
    write(config(repo), ONE)
    with connect(repo) as connection:
        connection.saw_commit(NOWHERE)
        with connection.at(NOWHERE):
            for _ in range(2):
                with pytest.raises(RevisionNotFound, match=f"Cannot read at commit {NOWHERE}: .* does not hold it"):
                    getattr(connection, ask)("SELECT COUNT(*) FROM t")
        assert counted(connection) == 1
        with pytest.raises(RevisionNotFound, match="does not hold it"), connection.at(NOWHERE):
            pytest.fail("it is not one of those that were seen any more")
        assert counted(connection) == 1


def test_a_lock_is_not_asked_for_on_the_way(repo: Path) -> None:
    """What leaves something behind is sent from the place where it is meant to be, and once."""
    write(config(repo), ONE)
    with connect(repo) as connection:
        connection.saw_commit(NOWHERE)
        with connection.at(NOWHERE), pytest.raises(RevisionNotFound):
            connection.query("SELECT GET_LOCK('one', 0)")
        assert connection.query("SELECT IS_FREE_LOCK('one')") == [(1,)]


def test_a_statement_that_fails_on_the_way(repo: Path) -> None:
    """Its own error is raised, and the session is where it was meant to be."""
    first = write(config(repo), ONE).commit
    write(config(repo), TWO)
    assert first is not None
    with connect(repo) as connection:
        connection.saw_commit(first.hash)
        with connection.at(first.hash):
            with pytest.raises(RevisionNotFound, match="no-such-branch"):
                connection.query("SELECT * FROM t AS OF %s", "no-such-branch")
            assert counted(connection) == 1
        assert counted(connection) == 2
        with connection.at(first.hash):
            with pytest.raises(TableNotFound):
                connection.query("SELECT * FROM nothing")
            assert counted(connection) == 1


def test_what_is_sent_ahead_is_told_by_the_next_statement(repo: Path) -> None:
    """It was done before the next is; where it failed the next is not sent, and the one behind that is."""
    write(config(repo), ONE)
    with connect(repo) as connection:
        connection.execute_ahead("INSERT INTO t VALUES (%s)", 2)
        assert counted(connection) == 2
        connection.execute_ahead("INSERT INTO t VALUES (2)")
        with pytest.raises(ConstraintViolated, match="duplicate primary key"):
            connection.execute("INSERT INTO t VALUES (3)")
        assert counted(connection) == 2
        connection.execute("DELETE FROM t WHERE id = 2")


def test_what_is_sent_ahead_to_a_branch_that_is_not_there(repo: Path) -> None:
    """It is done nowhere else: the next statement tells, and so does each one after it."""
    write(config(repo), ONE)
    with connect(repo) as connection:
        with connection.at("gone", at_once=False):
            connection.execute_ahead("START TRANSACTION")
            for statement in ("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)"):
                with pytest.raises(DoltError, match="database not found|START TRANSACTION"):
                    connection.execute(statement)
        assert counted(connection) == 1


def test_another_session_sees_what_was_sent_ahead(repo: Path) -> None:
    """A branch that was made so is there for the user who may only read, and for who reads in parts."""
    commit = write(config(repo), ONE).commit
    assert commit is not None
    with connect(repo) as connection:
        for number in range(20):
            connection.execute_ahead("CALL DOLT_BRANCH(%s, %s)", f"made{number}", commit.hash)
            with connection.at(f"made{number}", at_once=False):
                if number % 2:
                    with connection.read_only_session() as reader:
                        assert counted(reader) == 1
                else:
                    with connection.arrow_batches("SELECT id FROM t") as batches:
                        assert sum(len(batch) for batch in batches) == 1


def test_a_session_that_ends_behind_what_is_sent_ahead(repo: Path) -> None:
    """The connection is lost for the next statement, as if that had been sent."""
    write(config(repo), ONE)
    with pytest.raises(ConnectionLost), connect(repo) as connection:
        connection.execute_ahead(f"KILL {connection.number}")
        counted(connection)
    assert read(config(repo)).equals(ONE)


def altered_by_others(repo: Path) -> None:
    with connect(repo) as connection:
        connection.execute("ALTER TABLE t ADD COLUMN v int COMMENT 'theirs'")
        connection.execute("CALL DOLT_COMMIT('-am', 'alter')")
        connection.execute("COMMIT")


def altered_by_a_write(repo: Path) -> None:
    write(config(repo, mode="append", on_schema_change="evolve"), pd.DataFrame({"id": [7], "v": [7]}))


def altered_in_what_is_noted(repo: Path) -> None:
    write(config(repo), pd.DataFrame({"id": pd.array([1, 2, 3], "UInt8")}))


@pytest.mark.parametrize("alter", [altered_by_others, altered_by_a_write, altered_in_what_is_noted])
def test_a_table_that_looks_different_is_asked_about(repo: Path, alter: Callable[[Path], None]) -> None:
    """After writes of rows, at whose commits it was known: each commit has what the server says of it."""
    hashes = []
    for step in (lambda: write(config(repo), ONE), lambda: write(config(repo), TWO), lambda: alter(repo)):
        step()
        with connect(repo) as connection:
            hashes.append(str(connection.query("SELECT DOLT_HASHOF('HEAD')")[0][0]))
    now = read(config(repo))
    write(config(repo), now)
    write(config(repo, mode="append"), now.assign(id=now["id"] + 100))
    with connect(repo) as connection:
        hashes.append(str(connection.query("SELECT DOLT_HASHOF('HEAD')")[0][0]))
        said = []
        for commit in hashes:
            with connection.at(commit):
                known = reading.describe(connection, "t")
                assert known == reading._described(connection, "t")
                assert known is not None
                said.append(known.statement)
    assert len(set(said)) > 1


def test_a_table_that_counts_is_asked_about_each_time(repo: Path) -> None:
    """What comes next is in its statement, and goes on with its rows."""
    with connect(repo) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, v int)")
        connection.execute("CALL DOLT_COMMIT('-Am', 'empty')")
        connection.execute("COMMIT")
    for value in range(2):
        written = write(DoltConfig(str(repo), "t", mode="append"), pd.DataFrame({"v": [value]})).commit
        assert written is not None
        with connect(repo) as connection, connection.at(written.hash):
            known = reading.describe(connection, "t")
            assert known is not None
            assert f"AUTO_INCREMENT={value + 2}" in known.statement
