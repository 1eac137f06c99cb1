"""The one way in which anything is written: on a scratch branch, then by moving the target, the user's work intact.

What the user has in the repository is set up with the user's own `dolt`; what the working set holds is compared by
Dolt's own hashes, so "nothing was touched" means every byte of it.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dolt_program
import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import Branch, Commit, DoltConfig, NewBranch, SerialBranch, api, create_repository, errors
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    DoltError,
    HeadMoved,
    InvalidName,
    RepositoryBusy,
    RepositoryNotFound,
    RevisionNotFound,
    SchemaMismatch,
    TableNotFound,
    UncommittedChanges,
)
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.history.publishing import WriteJob, WriteResult, write
from flytekitplugins.dolt.repository import refs as repository_module
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.repository.refs import branches, locate, log
from flytekitplugins.dolt.server import local_server

Dolt = Callable[..., str]
Work = Callable[[Connection], None]


def numbers(table: str, *values: int) -> Work:
    """Return the work that makes ``values`` the rows of ``table``."""

    def work(connection: Connection) -> None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS `{table}` (n INT PRIMARY KEY)")
        connection.execute(f"DELETE FROM `{table}`")
        for value in values:
            connection.execute(f"INSERT INTO `{table}` VALUES (%s)", value)

    return work


def put(repo: Path, table: str, *values: int, policy: Branch | None = None, message: str = "put") -> WriteResult:
    return write(repo, policy, WriteJob(table, message, numbers(table, *values)))


def ask(repo: Path, sql: str, *parameters: object, on: str | None = None) -> list[tuple[object, ...]]:
    """Return the rows of a statement, on the checked-out branch or another revision."""
    with connect(repo) as connection, connection.at(on):
        return connection.query(sql, *parameters)


def values(repo: Path, table: str, on: str | None = None) -> list[object]:
    return [row[0] for row in ask(repo, f"SELECT n FROM `{table}` ORDER BY n", on=on)]


@dataclass(frozen=True)
class State:
    """What a user can see of a repository, by hashes."""

    head: object
    staged: object
    working: object
    status: tuple[object, ...]
    branches: tuple[object, ...]


def state(repo: Path) -> State:
    """Return the state of the checked-out branch and the heads of all branches, scratch branches included."""
    ((head, named, staged, working),) = ask(repo, "SELECT DOLT_HASHOF('HEAD'), @@foo_head, @@foo_staged, @@foo_working")
    assert head == named
    status = ask(repo, "SELECT table_name, staged, status FROM dolt_status ORDER BY table_name, staged")
    heads = ask(repo, "SELECT name, hash FROM dolt_branches ORDER BY name")
    return State(head, staged, working, tuple(status), tuple(heads))


def scratch_branches(repo: Path) -> list[object]:
    return [row[0] for row in ask(repo, "SELECT name FROM dolt_branches WHERE name LIKE 'flyte-tmp/%%'")]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository with two committed tables, `users` and `others`, and a branch `other`; tests get copies."""
    path = create_repository(
        tmp_path_factory.mktemp("made") / "foo", name="Bojack Horseman", email="bojack@horseman.com"
    )
    statements = (
        "create table users (n int primary key); insert into users values (1), (2)",
        "create table others (n int primary key); insert into others values (7)",
        "call dolt_commit('-A', '-m', 'the user''s own', '--author', 'Bojack Horseman <bojack@horseman.com>')",
        "call dolt_branch('other')",
    )
    dolt_program.run("sql", "-q", "; ".join(statements), cwd=path).check_returncode()
    return path


@pytest.fixture
def repo(made_once: Path, tmp_path: Path) -> Iterator[Path]:
    """Give a copy of that repository, which saves the test its half second of `dolt`."""
    path = tmp_path / "foo"
    shutil.copytree(made_once, path)
    yield path
    local_server.release(path)


WORK_OF_THE_USER = {
    "clean": (),
    "unstaged": ("insert into others values (8)",),
    "staged": ("insert into others values (8)", "call dolt_add('others')"),
    "untracked": ("create table fresh (n int primary key)", "insert into fresh values (1)"),
    "same table": ("insert into users values (3)",),
    "same table staged": ("insert into users values (3)", "call dolt_add('users')"),
    "staged and unstaged": (
        "insert into others values (8)",
        "call dolt_add('others')",
        "insert into others values (9)",
        "delete from users where n = 1",
    ),
    "dropped": ("drop table others",),
    "renamed": ("rename table others to elsewhere",),
    "altered": ("alter table others add column m int",),
}


def users_work(dolt: Dolt, kind: str) -> None:
    """Leave uncommitted work of ``kind`` on the checked-out branch, with the user's own `dolt`."""
    if WORK_OF_THE_USER[kind]:
        dolt("sql", "-q", "; ".join(WORK_OF_THE_USER[kind]))


def changed_tables(repo: Path) -> list[object]:
    """Return the tables that the head of the checked-out branch changes."""
    return [row[0] for row in ask(repo, "SELECT table_name FROM dolt_diff WHERE commit_hash = DOLT_HASHOF('HEAD')")]


# -------------------------------------------------------------------------------------------- another branch


@pytest.mark.parametrize("policy", [SerialBranch("other"), NewBranch("run/1")], ids=["existing", "new"])
@pytest.mark.parametrize("kind", WORK_OF_THE_USER)
def test_write_to_another_branch_leaves_the_checked_out_one(
    repo: Path, dolt: Dolt, kind: str, policy: SerialBranch | NewBranch
) -> None:
    """HEAD, STAGED and WORKING of the checked-out branch are the same by their hashes after a write to another one."""
    users_work(dolt, kind)
    before = state(repo)
    written = put(repo, "users", 10, 11, policy=policy)
    after = state(repo)
    assert (after.head, after.staged, after.working, after.status) == (
        before.head,
        before.staged,
        before.working,
        before.status,
    )
    assert set(after.branches) - set(before.branches) == {(policy.branch, written.commit.hash)}
    assert values(repo, "users", on=policy.branch) == [10, 11]
    assert values(repo, "others", on=policy.branch) == [7]


def test_write_to_another_branch_keeps_the_checkout_of_the_command_line(repo: Path, dolt: Dolt) -> None:
    """The user's `dolt` is on the same branch as before, with the same status and table."""
    users_work(dolt, "staged and unstaged")

    def seen() -> list[list[str]]:
        commands = (("status",), ("branch",), ("sql", "-r", "csv", "-q", "select * from users"))
        return [sorted(dolt(*command).splitlines()) for command in commands]  # `dolt status` has no order of tables

    before = seen()
    put(repo, "users", 10, policy=SerialBranch("other"))
    assert seen() == before


# ------------------------------------------------------------------------------------- the checked-out branch


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("clean", None),
        ("unstaged", SerialBranch()),
        ("untracked", SerialBranch("main")),
        ("altered", NewBranch("main")),
    ],
)
def test_write_to_the_checked_out_branch(repo: Path, dolt: Dolt, kind: str, policy: Branch | None) -> None:
    """HEAD and the written table move; every other table's uncommitted content stays and is not committed."""
    users_work(dolt, kind)
    before = state(repo)
    tables = [row[0] for row in ask(repo, "SHOW TABLES") if row[0] != "users"]
    content = {table: ask(repo, f"SELECT DOLT_HASHOF_TABLE('{table}')") for table in tables}
    written = put(repo, "users", 10, 11, policy=policy)
    after = state(repo)
    assert after.head == written.commit.hash != before.head
    assert after.status == before.status
    assert values(repo, "users") == [10, 11]
    assert [row[0] for row in ask(repo, "SHOW TABLES") if row[0] != "users"] == tables
    assert {table: ask(repo, f"SELECT DOLT_HASHOF_TABLE('{table}')") for table in tables} == content
    assert changed_tables(repo) == ["users"]


@pytest.mark.parametrize(
    ("kind", "tables", "word"),
    [
        ("staged", ["others"], "staged"),
        ("same table staged", ["users"], "staged"),
        ("staged and unstaged", ["others"], "staged"),
        ("same table", ["users"], "uncommitted"),
    ],
)
def test_work_of_the_user_in_the_way(repo: Path, dolt: Dolt, kind: str, tables: list[str], word: str) -> None:
    """Staged tables, or the same table with uncommitted rows, are UncommittedChanges, and all stays as it was."""
    users_work(dolt, kind)
    before = state(repo)
    names = re.escape(", ".join(map(repr, tables)))
    with pytest.raises(UncommittedChanges, match=f"'users'.*'main'.*{word}.*{names}.*NewBranch") as caught:
        put(repo, "users", 10)
    assert caught.value.tables == tables
    assert caught.value.branch == "main"
    assert state(repo) == before


@pytest.mark.parametrize("kind", ["dropped", "renamed"])
def test_table_that_the_user_dropped(repo: Path, dolt: Dolt, kind: str) -> None:
    """Dolt cannot move a branch under an uncommitted DROP or RENAME, so these are UncommittedChanges, too, and stay."""
    users_work(dolt, kind)
    before = state(repo)
    with pytest.raises(UncommittedChanges, match="NewBranch"):
        put(repo, "users", 10)
    assert state(repo) == before


def test_untracked_table_of_the_same_name(repo: Path, dolt: Dolt) -> None:
    """A table that the user has made but not committed is not written over."""
    users_work(dolt, "untracked")
    before = state(repo)
    with pytest.raises(UncommittedChanges, match="'fresh'"):
        put(repo, "fresh", 5)
    assert state(repo) == before
    assert values(repo, "fresh") == [1]


def test_same_table_in_other_letters(repo: Path, dolt: Dolt) -> None:
    """Dolt finds tables without regard to case, so a dirty table in other letters is in the way, too."""
    users_work(dolt, "same table")
    before = state(repo)
    with pytest.raises(UncommittedChanges, match="'users'"):
        put(repo, "USERS", 5)
    assert state(repo) == before


def test_work_that_appears_while_writing(repo: Path, dolt: Dolt) -> None:
    """Work that the user begins in the same table while ours is done is found at the publishing, and kept."""

    def work(connection: Connection) -> None:
        numbers("users", 10)(connection)
        dolt("sql", "-q", "insert into users values (3)")

    head = branches(repo)
    with pytest.raises(UncommittedChanges, match="'users'"):
        write(repo, None, WriteJob("users", "late", work))
    assert branches(repo) == head
    assert values(repo, "users") == [1, 2, 3]
    assert scratch_branches(repo) == []


def test_uncommitted_work_on_the_other_branch(repo: Path, dolt: Dolt) -> None:
    """Uncommitted rows on the target are in the way even when the target is not checked out."""
    with connect(repo) as connection, connection.at("other"):
        connection.execute("INSERT INTO users VALUES (3)")
    with pytest.raises(UncommittedChanges, match="'other'.*'users'"):
        put(repo, "users", 10, policy=SerialBranch("other"))
    assert values(repo, "users", on="other") == [1, 2, 3]
    put(repo, "others", 10, policy=SerialBranch("other"))
    assert values(repo, "users", on="other") == [1, 2, 3]
    assert ask(repo, "SELECT count(*) FROM users AS OF 'other'") == [(2,)]


# ------------------------------------------------------------------------------------------------ names of branches


def test_unknown_branch(repo: Path) -> None:
    """Writing to a branch that does not exist changes nothing, and the error offers what is close and what there is."""
    before = state(repo)
    with pytest.raises(BranchNotFound, match="'othr'.*'other'") as caught:
        put(repo, "users", 1, policy=SerialBranch("othr"))
    assert "The branches are 'main', 'other'." in str(caught.value)
    assert "NewBranch('othr')" in str(caught.value)
    assert (caught.value.branch, caught.value.close) == ("othr", ["main", "other"])
    assert state(repo) == before


def test_branch_names_that_are_taken(repo: Path) -> None:
    """Every name that the policies take can be written to and read from, and is the branch's very name in Dolt."""
    names = [
        *("a", "run/a_is_2", "a/b/c/d", "2024-05-07T12.38", "#1", "a@b", "a{b}", "1", "_", "a-", "heads", "main2"),
        *("it's", 'say"', "a`b", "a;b", "a,b", "a(b)", "a$b", "a&b", "a%b", "%s", "a|b", "<a>", "a!b", "a=b", "a+b"),
        *("0123456789abcdefghijklmnopqrstuvw", "w" * 32, "x" * 200, "flyte-tmp", "a.locks"),
    ]
    for number, name in enumerate(names):
        written = put(repo, "t", number, policy=NewBranch(name))
        assert written.commit.branch == name
        assert api.read(DoltConfig(str(repo), "t", branch_conf=SerialBranch(name)))["n"].tolist() == [number]
    assert set(branches(repo)) == {"main", "other", *names}


@pytest.mark.parametrize("order", [("run/x", "RUN/X"), ("RUN/X", "run/x")])
@pytest.mark.parametrize("policy", [SerialBranch, NewBranch])
def test_branches_that_differ_in_case(
    repo: Path, dolt: Dolt, order: tuple[str, str], policy: Callable[[str], Branch]
) -> None:
    """Of two branches whose names differ in case only, exactly the one that was asked for is written, or none."""
    for name in order:
        dolt("branch", name)
    written = []
    for number, name in enumerate(order):
        before = branches(repo)
        # Dolt opens only one of the two by its name; the other is refused, see Connection.use.
        with suppress(BranchNotFound):
            commit = put(repo, "users", number, policy=policy(name)).commit
            written.append(name)
            before[name] = commit.hash
            assert ask(repo, f"SELECT n FROM users AS OF '{commit.hash}'") == [(number,)]
        assert branches(repo) == before
    assert written
    assert scratch_branches(repo) == []


def test_branch_in_other_letters_is_not_there(repo: Path) -> None:
    """A branch name in other letters is another branch: not written to, not read, and offered as a close one."""
    before = branches(repo)
    with pytest.raises(BranchNotFound, match="'other'"):
        put(repo, "users", 5, policy=SerialBranch("Other"))
    with pytest.raises(BranchNotFound, match="'other'"):
        api.read(DoltConfig(str(repo), "users", branch_conf=SerialBranch("Other")))
    assert branches(repo) == before


def test_new_branch_in_other_letters(repo: Path) -> None:
    """NewBranch never goes on with a branch whose name differs in case: it makes its own, or is refused."""
    before = branches(repo)
    with suppress(BranchNotFound, InvalidName):
        before["OTHER"] = put(repo, "users", 5, policy=NewBranch("OTHER")).commit.hash
    assert branches(repo) == before
    assert scratch_branches(repo) == []


# ------------------------------------------------------------------------------------------------ new branches


def test_new_branch_is_created_once(repo: Path) -> None:
    """NewBranch makes the branch at the checked-out head, and goes on with it afterwards."""
    head = branches(repo)["main"]
    first = put(repo, "users", 1, policy=NewBranch("run/1")).commit
    second = put(repo, "users", 2, policy=NewBranch("run/1")).commit
    assert [(c.hash, c.parents) for c in log(repo, "run/1", limit=2)] == [
        (second.hash, (first.hash,)),
        (first.hash, (head,)),
    ]
    assert branches(repo)["main"] == head
    assert first.branch == second.branch == "run/1"


def test_new_branch_without_a_change(repo: Path) -> None:
    """When the work changes nothing, the branch is made all the same, at the head it would have started from."""
    written = put(repo, "users", 1, 2, policy=NewBranch("run/1"))
    assert not written.changed
    assert branches(repo)["run/1"] == branches(repo)["main"] == written.commit.hash


def test_new_branch_from_a_base(repo: Path) -> None:
    """base= names the branch whose head a new branch starts from, and means nothing once the branch is there."""
    on_other = put(repo, "others", 70, policy=SerialBranch("other")).commit
    first = put(repo, "users", 1, policy=NewBranch("run/1", base="other")).commit
    assert log(repo, "run/1", limit=1)[0].parents == (on_other.hash,)
    second = put(repo, "users", 2, policy=NewBranch("run/1", base="main")).commit
    assert log(repo, "run/1", limit=1)[0].parents == (first.hash,)
    third = put(repo, "users", 3, policy=NewBranch("run/1", base="gone")).commit
    assert [commit.hash for commit in log(repo, "run/1", limit=3)] == [third.hash, second.hash, first.hash]


def test_new_branch_from_an_unknown_base(repo: Path) -> None:
    """A base that does not exist is BranchNotFound, and no branch is made."""
    before = state(repo)
    with pytest.raises(BranchNotFound, match="'run/1'.*'othe'.*'other'"):
        put(repo, "users", 1, policy=NewBranch("run/1", base="othe"))
    assert state(repo) == before


def test_failed_work_makes_no_branch(repo: Path) -> None:
    """NewBranch makes no branch when the work fails."""
    before = state(repo)
    with pytest.raises(TableNotFound, match="table not found: nope"):
        write(
            repo,
            NewBranch("run/1"),
            WriteJob("users", "x", lambda connection: connection.execute("DELETE FROM nope") and None),
        )
    assert state(repo) == before


def test_reading_never_makes_a_branch(repo: Path) -> None:
    """Reading from a branch that does not exist is BranchNotFound under every policy, and makes none."""
    before = state(repo)
    for policy in (NewBranch("run/1"), NewBranch("run/1", base="main"), SerialBranch("run/1")):
        for source in ({"tablename": "users"}, {"sql": "select * from users"}):
            with pytest.raises(BranchNotFound, match="'run/1'"):
                api.read(DoltConfig(str(repo), **source, branch_conf=policy))
    assert state(repo) == before


def test_checked_out_branch_is_followed(repo: Path, dolt: Dolt) -> None:
    """No policy means the branch that the user has checked out now, also when it changed since the last use."""
    on_main = put(repo, "users", 1).commit
    let_go(repo)
    dolt("checkout", "other")
    on_other = put(repo, "users", 2).commit
    assert (on_main.branch, on_other.branch) == ("main", "other")
    assert branches(repo) == {"main": on_main.hash, "other": on_other.hash}
    assert put(repo, "t", 1, policy=NewBranch("run/1")).commit.branch == "run/1"
    assert log(repo, "run/1", limit=1)[0].parents == (on_other.hash,)


# ------------------------------------------------------------------------------------------------------- commits


def test_unchanged_content_makes_no_commit(repo: Path, dolt: Dolt) -> None:
    """Work whose result is what was there returns the head, whatever way it took."""
    users_work(dolt, "unstaged")
    before = state(repo)
    written = put(repo, "users", 2, 1)
    assert written == WriteResult(Commit(str(before.head), branch="main"), changed=False)
    nothing = write(repo, None, WriteJob("users", "x", lambda connection: None))
    assert nothing == written
    assert state(repo) == before


def test_log_tells_who_when_and_what(repo: Path, dolt: Dolt) -> None:
    """log gives each commit's hash, parents, author as the user's identity, time in UTC and whole message."""
    began = datetime.now(timezone.utc)
    message = "First line\n\nFlyte-Execution: ex:a:b:c\nFlyte-Task: t"
    first = put(repo, "users", 1, message=message).commit
    second = put(repo, "users", 2, message="second").commit
    newest, older, users_own, initial = log(repo)
    assert (newest.hash, newest.parents, newest.message, newest.branch) == (
        second.hash,
        (first.hash,),
        "second",
        "main",
    )
    assert (older.hash, older.parents, older.message) == (first.hash, (users_own.hash,), message)
    assert users_own.message == "the user's own"
    assert (initial.parents, users_own.parents) == ((), (initial.hash,))
    assert {commit.author for commit in (newest, older, users_own, initial)} == {
        "Bojack Horseman <bojack@horseman.com>"
    }
    assert newest.date is not None
    assert abs((newest.date - began).total_seconds()) < 60
    assert newest.date.utcoffset() == timedelta(0)
    assert re.fullmatch(r"[0-9a-v]{32}", newest.hash)


def test_log_of_revisions(repo: Path, dolt: Dolt) -> None:
    """log starts at a branch, tag, hash or ancestor, names the branch if one was asked for, and stops at the limit."""
    first = put(repo, "users", 1, policy=SerialBranch("other")).commit
    put(repo, "users", 2, policy=SerialBranch("other"))
    dolt("tag", "v1", first.hash)
    assert [commit.hash for commit in log(repo, "v1")] == [commit.hash for commit in log(repo, first.hash)]
    assert [commit.branch for commit in log(repo, "other")] == ["other"] * 4
    assert [commit.branch for commit in log(repo, first.hash)] == [None] * 3
    assert log(repo, "other", limit=1)[0].parents == (first.hash,)
    assert [commit.hash for commit in log(repo, "other~1", limit=1)] == [first.hash]
    assert log(repo, limit=0) == []
    with pytest.raises(RevisionNotFound, match="'nope'.*branch not found"):
        log(repo, "nope")


def test_log_of_a_merge(repo: Path, dolt: Dolt) -> None:
    """A merge commit has both parents, the branch's own one first."""
    ours = put(repo, "users", 1).commit
    theirs = put(repo, "others", 1, policy=SerialBranch("other")).commit
    dolt("sql", "-q", "call dolt_merge('other', '-m', 'both')")
    assert log(repo, limit=1)[0].parents == (ours.hash, theirs.hash)


def test_author_without_an_identity(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user told Dolt no name, Flyte is the author."""
    (repo / ".dolt" / "config.json").write_text("{}")
    monkeypatch.setenv("DOLT_ROOT_PATH", str(tmp_path))
    put(repo, "users", 1)
    assert log(repo, limit=1)[0].author == "Flyte <flyte@localhost>"


def test_written_commit_is_the_head_and_is_readable(repo: Path) -> None:
    """The commit that write returns is the branch's head, holds the rows, and stays readable when the branch moves."""
    written = put(repo, "users", 5).commit
    assert branches(repo)["main"] == written.hash
    put(repo, "users", 6)
    with repository_module.at(repo, written) as connection:
        assert connection.query("SELECT n FROM users") == [(5,)]
        with pytest.raises(DoltError, match="read-only"):
            connection.execute("INSERT INTO users VALUES (9)")


def test_commit_of_another_repository(repo: Path) -> None:
    """Reading at a commit that the repository does not hold is RevisionNotFound, and says so."""
    with pytest.raises(RevisionNotFound, match="clone") as caught:
        with repository_module.at(repo, Commit("0" * 32)):
            pass
    assert caught.value.revision == "0" * 32


# ------------------------------------------------------------------------------------------------ scratch branches


class _Broken(Exception):
    """Raised by work that fails."""


def _raise(error: BaseException) -> Work:
    def work(connection: Connection) -> None:
        numbers("users", 5, 6)(connection)
        raise error

    return work


@pytest.mark.parametrize("error", [_Broken("boom"), KeyboardInterrupt("stop"), SystemExit("end")])
def test_failing_work_leaves_nothing(repo: Path, error: BaseException) -> None:
    """Work that raises leaves every branch, the working set and no scratch branch, and its error arrives as it is."""
    before = state(repo)
    for policy in (None, SerialBranch("other"), NewBranch("run/1")):
        with pytest.raises(type(error), match=r"boom|stop|end") as caught:
            write(repo, policy, WriteJob("users", "x", _raise(error)))
        assert caught.value is error
    assert state(repo) == before


def test_no_scratch_branch_is_left(repo: Path, dolt: Dolt) -> None:
    """Success, no change, a refusal and a frame that does not fit all leave no scratch branch; nobody lists them."""
    put(repo, "users", 1)
    put(repo, "users", 1)
    put(repo, "users", 1, policy=NewBranch("run/1"))
    assert scratch_branches(repo) == []
    with pytest.raises(SchemaMismatch, match="users"):
        api.write(DoltConfig(str(repo), "users"), pd.DataFrame({"n": ["text"]}))
    users_work(dolt, "staged")
    with pytest.raises(UncommittedChanges, match="staged"):
        put(repo, "users", 3)
    seen = []
    write(
        repo,
        SerialBranch("other"),
        WriteJob("users", "look", lambda connection: seen.append((scratch_branches(repo), set(branches(repo))))),
    )
    ((during, listed),) = seen
    assert len(during) == 1
    assert listed == {"main", "other", "run/1"}
    assert scratch_branches(repo) == []


@pytest.mark.parametrize("times", [1, 3])
def test_branch_that_the_server_made_half(repo: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Dolt says "optimistic lock failed" when a worker of its own is in its way; the branch is there by then."""
    lost = lose(monkeypatch, "CALL DOLT_BRANCH(%s, %s)", times=times)
    put(repo, "users", 4)
    assert len(lost) == times
    assert values(repo, "users") == [4]
    assert scratch_branches(repo) == []


def test_branch_that_the_server_never_makes(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it goes on like this, nothing is written and nothing is left."""
    before = state(repo)
    lost = lose(monkeypatch, "CALL DOLT_BRANCH(%s, %s)", times=1000)
    with pytest.raises(HeadMoved, match="users"):
        put(repo, "users", 4)
    assert len(lost) < 1000
    assert state(repo) == before


def test_new_branch_whose_last_step_failed(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is on the new branch when Dolt gives up afterwards: it is not written a second time."""
    lost = lose(monkeypatch, "CALL DOLT_BRANCH(%s, %s)", times=1, branch="run/1")
    done = write(repo, NewBranch("run/1"), WriteJob("users", "more", appended))
    assert len(lost) == 1
    assert done.changed
    assert branches(repo)["run/1"] == done.commit.hash
    assert values(repo, "users", on="run/1") == [1, 2, 3]
    assert len(log(repo, "run/1")) == len(log(repo, "main")) + 1
    assert scratch_branches(repo) == []


def appended(connection: Connection) -> None:
    connection.execute("INSERT INTO users SELECT MAX(n) + 1 FROM users")


def lose(monkeypatch: pytest.MonkeyPatch, statement: str, *, times: int, branch: str | None = None) -> list[str]:
    """Let the server run ``statement``, of ``branch`` if given, and then say that it lost; list those times."""
    lost: list[str] = []
    run, run_ahead = Connection.execute, Connection.execute_ahead
    said = "optimistic lock failed on database Root update"

    def is_meant(sql: str, parameters: tuple[object, ...]) -> bool:
        return sql == statement and len(lost) < times and branch in (None, *parameters[:1])

    def execute(connection: Connection, sql: str, *parameters: object) -> int:
        affected = run(connection, sql, *parameters)
        if is_meant(sql, parameters):
            lost.append(sql)
            raise errors.from_server(1105, said)
        return affected

    def execute_ahead(connection: Connection, sql: str, *parameters: object) -> None:
        run_ahead(connection, sql, *parameters)
        if is_meant(sql, parameters):
            lost.append(sql)
            run_ahead(connection, f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{said}'")

    monkeypatch.setattr(Connection, "execute", execute)
    monkeypatch.setattr(Connection, "execute_ahead", execute_ahead)
    return lost


def test_work_sees_the_head_and_not_the_working_set(repo: Path, dolt: Dolt) -> None:
    """Work starts from what is committed on its target, never from what the user has not committed."""
    users_work(dolt, "unstaged")
    seen = []
    write(
        repo, None, WriteJob("users", "look", lambda connection: seen.extend(connection.query("SELECT n FROM others")))
    )
    assert seen == [(7,)]


# ---------------------------------------------------------------------------------------------------- other writers


class Racing:
    """Work that is overtaken: before each of the first ``times`` results, somebody else moves the target."""

    def __init__(self, overtake: Callable[[int], object], *, times: int = 1) -> None:
        self.overtake, self.times, self.calls = overtake, times, 0
        self.seen: list[list[tuple[object, ...]]] = []

    def __call__(self, connection: Connection) -> None:
        self.calls += 1
        self.seen.append(connection.query("SELECT n FROM others ORDER BY n"))
        numbers("users", 100)(connection)
        if self.calls <= self.times:
            self.overtake(self.calls)


def test_moved_head_is_redone_on_the_new_one(repo: Path, dolt: Dolt) -> None:
    """When the user commits with their own `dolt` meanwhile, the work is done again on that commit, and both stay."""

    def users_commit(call: int) -> None:
        dolt("sql", "-q", "insert into others values (8); call dolt_commit('-am', 'meanwhile')")

    work = Racing(users_commit)
    written = write(repo, None, WriteJob("users", "ours", work))
    assert work.calls == 2
    assert work.seen == [[(7,)], [(7,), (8,)]]
    ours, meanwhile, _ = log(repo, limit=3)
    assert (ours.hash, ours.message, ours.parents) == (written.commit.hash, "ours", (meanwhile.hash,))
    assert meanwhile.message == "meanwhile"
    assert values(repo, "others") == [7, 8]
    assert values(repo, "users") == [100]
    assert changed_tables(repo) == ["users"]
    assert state(repo).status == ()


def test_same_table_committed_meanwhile(repo: Path, dolt: Dolt) -> None:
    """When somebody commits to the same table meanwhile, the result is ours after theirs, not a mixture."""
    work = Racing(lambda call: dolt("sql", "-q", "insert into users values (9); call dolt_commit('-am', 'meanwhile')"))
    write(repo, None, WriteJob("users", "ours", work))
    assert [commit.message for commit in log(repo, limit=2)] == ["ours", "meanwhile"]
    assert values(repo, "users") == [100]
    assert ask(repo, "SELECT n FROM users AS OF 'HEAD~' ORDER BY n") == [(1,), (2,), (9,)]


def test_branch_set_back_meanwhile(repo: Path, dolt: Dolt) -> None:
    """When the user sets the branch back meanwhile, the work is done again there: dropped commits do not come back."""
    dropped = put(repo, "others", 70, policy=SerialBranch("other")).commit
    work = Racing(lambda call: dolt("branch", "-f", "other", "main"))
    write(repo, SerialBranch("other"), WriteJob("users", "ours", work))
    assert work.calls == 2
    assert dropped.hash not in [commit.hash for commit in log(repo, "other")]
    assert values(repo, "others", on="other") == [7]


def test_branch_deleted_meanwhile(repo: Path, dolt: Dolt) -> None:
    """When the target is deleted meanwhile, it is not made again; the error says what happened."""
    work = Racing(lambda call: dolt("branch", "-D", "other"))
    with pytest.raises(BranchNotFound, match="'other'"):
        write(repo, SerialBranch("other"), WriteJob("users", "ours", work))
    assert set(branches(repo)) == {"main"}
    assert scratch_branches(repo) == []


def test_new_branch_created_meanwhile(repo: Path, dolt: Dolt) -> None:
    """When somebody else creates the new branch first, the work is done again on theirs."""

    def create(call: int) -> None:
        dolt("branch", "run/1")
        with connect(repo) as connection, connection.at("run/1"):
            connection.execute("INSERT INTO others VALUES (8)")
            connection.execute("CALL DOLT_COMMIT('-am', 'meanwhile')")

    work = Racing(create)
    write(repo, NewBranch("run/1"), WriteJob("users", "ours", work))
    assert [commit.message for commit in log(repo, "run/1", limit=2)] == ["ours", "meanwhile"]
    assert values(repo, "others", on="run/1") == [7, 8]


def test_every_race_lost(repo: Path, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> None:
    """After MAX_ATTEMPTS lost races it is HeadMoved, with the others' commits whole and none of ours."""
    monkeypatch.setattr(publishing, "MAX_ATTEMPTS", 3)
    work = Racing(
        lambda call: dolt("sql", "-q", f"insert into others values ({10 + call}); call dolt_commit('-am', '{call}')"),
        times=99,
    )
    with pytest.raises(HeadMoved, match="3.*NewBranch") as caught:
        write(repo, None, WriteJob("users", "ours", work))
    assert (caught.value.branch, caught.value.attempts, work.calls) == ("main", 3, 3)
    assert [commit.message for commit in log(repo, limit=3)] == ["3", "2", "1"]
    assert values(repo, "users") == [1, 2]
    assert state(repo).status == ()
    assert scratch_branches(repo) == []


@pytest.fixture
def busy(repo: Path) -> Iterator[threading.Event]:
    """Have another writer in the middle of its work on `main`, until the event is set."""
    inside, go_on = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        numbers("users", 50)(connection)
        inside.set()
        assert go_on.wait(timeout=60)

    writer = threading.Thread(target=write, args=(repo, None, WriteJob("users", "first", work)))
    writer.start()
    assert inside.wait(timeout=60)
    yield go_on
    go_on.set()
    writer.join()


def test_wait_for_another_writer_is_bounded(repo: Path, busy: threading.Event) -> None:
    """A second writer of the branch waits as long as it was told to and is then RepositoryBusy; others do not wait."""
    began = time.monotonic()
    with pytest.raises(RepositoryBusy, match=r"0\.3 s") as caught:
        write(repo, None, WriteJob("users", "second", numbers("users", 60), lock_timeout_s=0.3))
    assert 0.2 < time.monotonic() - began < 10
    assert (caught.value.path, caught.value.waited_s) == (repo, 0.3)
    put(repo, "users", 60, policy=SerialBranch("other"))
    put(repo, "users", 60, policy=NewBranch("run/1"))
    assert values(repo, "users") == [1, 2]


def test_second_writer_goes_on_when_the_first_is_done(repo: Path, busy: threading.Event) -> None:
    """A second writer of the branch waits for the first one and then does its work once, on the first one's commit."""
    calls = []

    def work(connection: Connection) -> None:
        calls.append(1)
        numbers("users", 60)(connection)

    second = threading.Thread(target=write, args=(repo, None, WriteJob("users", "second", work)))
    second.start()
    busy.set()
    second.join()
    assert [commit.message for commit in log(repo, limit=2)] == ["second", "first"]
    assert calls == [1]


def test_lock_of_a_failed_writer_is_let_go(repo: Path) -> None:
    """A writer that failed, in any way, holds nobody up."""
    for error in (_Broken("boom"), KeyboardInterrupt("stop")):
        with pytest.raises(type(error), match=r"boom|stop"):
            write(repo, None, WriteJob("users", "x", _raise(error)))
        write(repo, None, WriteJob("users", "y", numbers("users", 1), lock_timeout_s=20))


# ------------------------------------------------------------------------------------------------ hostile names, texts


def test_ignored_table_is_committed(repo: Path, dolt: Dolt) -> None:
    """A table that dolt_ignore covers is committed when it is written, and other ignored ones stay out."""
    dolt("sql", "-q", "insert into dolt_ignore values ('gen_%', true)")
    dolt("commit", "-Am", "ignore")
    dolt("sql", "-q", "create table gen_mine (n int primary key)")
    written = put(repo, "gen_theirs", 1)
    assert written.changed
    assert changed_tables(repo) == ["gen_theirs"]
    assert ("gen_mine",) in ask(repo, "SHOW TABLES")
    assert put(repo, "gen_theirs", 2).changed


HOSTILE_TEXTS = [
    *("-m", "--amend", "-am", "--", "--author=x", "--allow-empty", "-h"),
    *(
        "it's",
        'say "x"',
        "`back`",
        "a\\b",
        "\\",
        "\\'",
        "'; DROP TABLE users; --",
        "%s %(a)s %% {}",
        "/* x */",
        "$(id)",
    ),
    *("🐎 naïve 日本", "a\u202eb", "first\n\nsecond\nKey: value", "tab\there", "x" * 20_000),
]


def test_messages_arrive_verbatim(repo: Path) -> None:
    """A commit message is stored as it is, and is no option, no SQL and no pattern to anybody."""
    for number, message in enumerate(HOSTILE_TEXTS):
        put(repo, "users", number, message=message)
    assert [commit.message for commit in log(repo)][-3::-1] == HOSTILE_TEXTS
    assert {commit.author for commit in log(repo)} == {"Bojack Horseman <bojack@horseman.com>"}


def test_authors_arrive_verbatim(repo: Path) -> None:
    """The user's name and address are stored as they are."""
    people = [
        ("-m", "--amend"),
        ('O\'Brien "x"', "o'b@x"),
        ("日本 🐎", "ü@x"),
        ("a`b\\", "%s@x"),
        ("--author", "'; --"),
    ]
    for number, (name, email) in enumerate(people):
        (repo / ".dolt" / "config.json").write_text(json.dumps({"user.name": name, "user.email": email}))
        put(repo, "users", number)
        assert log(repo, limit=1)[0].author == f"{name} <{email}>"


def test_table_names_arrive_verbatim(repo: Path) -> None:
    """Every table name that is taken is the table's very name, is written alone, and reads back."""
    names = ["select", "a-b", "a.b", "$x", "x$", "日本", "ümlaut", "123", "1a", "x" * 64, "a--b", "order", "DEFAULT"]
    for number, name in enumerate(names):
        config = DoltConfig(str(repo), name)
        api.write(config, pd.DataFrame({"n": [number]}))
        assert api.read(config)["n"].tolist() == [number]
        assert changed_tables(repo) == [name]
    assert {row[0] for row in ask(repo, "SHOW TABLES")} == {"users", "others", *names}


def test_dolts_own_tables_are_refused(repo: Path) -> None:
    """A table under Dolt's own prefix is refused, and nothing is left of the attempt."""
    before = state(repo)
    for name in ("dolt_log", "dolt_ignore", "DOLT_x", "dolt_branches"):
        with pytest.raises(DoltError, match=name):
            api.write(DoltConfig(str(repo), name), pd.DataFrame({"n": [1]}))
    assert state(repo) == before


# ----------------------------------------------------------------------------------------------------------- places


def test_folder_that_is_no_repository(repo: Path, tmp_path: Path) -> None:
    """A folder that is missing, is no repository, or lies inside one, is RepositoryNotFound with how to make one."""
    (repo / "below").mkdir()
    for path, found in [
        (tmp_path / "missing", "there is no such folder"),
        (tmp_path, "it is not a Dolt repository"),
        (repo / "below", "it is only a folder inside the repository"),
    ]:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(RepositoryNotFound, match=rf"{found}.*create_repository\(path\)") as caught:
            locate(path)
        assert caught.value.path == path
        assert sorted(tmp_path.rglob("*")) == before


def test_repository_is_found_by_link_and_relative_path(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link and a relative path lead to the same repository, and so to the same server."""
    (tmp_path / "link").symlink_to(repo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {locate(place) for place in ("link", "foo", "./link/../foo", "~/foo", repo)} == {repo.resolve()}
