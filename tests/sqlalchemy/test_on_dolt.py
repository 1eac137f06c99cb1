"""A task on Dolt: databases with a branch or commit, AS OF, one commit with the execution's id, and what was read."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pymysql
import pytest
from pods import Cluster, counted
from servers import PASSWORD, Server
from sql_tasks import run, task_on, uri

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, connections, execution
from flytekitplugins.sqlalchemy.errors import (
    DatabaseNotFound,
    InvalidTask,
    ReadOnlyRefused,
    StatementFailed,
    UncommittedChanges,
)

FIRST, SECOND, ON_BRANCH = 1, 2, 3
"""What the table holds at its first and second commit, and on the branch."""


class History:
    """A table with two commits on main, and a third on the branch run/x, which starts at the first."""

    def __init__(self, server: Server) -> None:
        self.server = server
        server.sql("call dolt_checkout('main')", "call dolt_reset('--hard')", "drop table if exists told, other")
        server.sql("create table told (id int primary key, v int)", "create table other (id int primary key)")
        server.sql(f"insert into told values (1, {FIRST})", "call dolt_commit('-Am', 'first')")
        server.sql("call dolt_branch('-f', 'run/x')")
        self.first = self.head("main")
        server.sql(f"update told set v = {SECOND}", "call dolt_commit('-Am', 'second')")
        self.second = self.head("main")
        server.sql(f"update told set v = {ON_BRANCH}", "call dolt_commit('-Am', 'third')", database="db/run/x")
        self.on_branch = self.head("run/x")
        if not server.sql("select 1 from dolt_tags where tag_name = 'v1'"):
            server.sql(f"call dolt_tag('v1', '{self.first}')")

    def head(self, branch: str) -> str:
        """Return the newest commit of a branch."""
        ((found,),) = self.server.sql(f"select dolt_hashof('{branch}')")
        return str(found)

    def log(self, branch: str) -> list[tuple[Any, ...]]:
        """Return hashes and messages of a branch, the newest first."""
        return list(self.server.sql("select commit_hash, message from dolt_log", database=f"db/{branch}"))


@pytest.fixture
def told(dolt_server: Server) -> History:
    """Give a server with such a history."""
    return History(dolt_server)


def test_databases_with_a_revision(told: History) -> None:
    """The database may name a branch (with slashes), a commit or a step back, and the frame says what was read."""
    for name, value, commit, branch in (
        ("db", SECOND, told.second, "main"),
        ("db/main", SECOND, told.second, "main"),
        ("db/run/x", ON_BRANCH, told.on_branch, "run/x"),
        (f"db/{told.first}", FIRST, told.first, None),
        ("db/main~1", FIRST, told.first, None),
    ):
        frame = run(told.server, "select v from told", database=name)
        assert frame["v"].tolist() == [value]
        assert (frame.attrs["dolt_commit"], frame.attrs["dolt_branch"]) == (commit, branch)
        assert frame.attrs["dolt_uncommitted_changes"] is False


@pytest.mark.parametrize("name", ["db/nope", "db/RUN/x", "nope/main", "db/" + "0" * 32, "db/main~99"])
def test_databases_that_are_not_there(told: History, name: str) -> None:
    """A branch or commit that is not there is an error of its own, also where only the case is wrong."""
    with pytest.raises(DatabaseNotFound, match=r"[Bb]ranch|commit"):
        run(told.server, "select v from told", database=name)


def test_writing_on_a_branch_and_on_a_commit(told: History) -> None:
    """A task on a branch changes that branch only; one on a commit is refused."""
    run(told.server, "update told set v = 9", database="db/run/x", output=None)
    assert told.server.sql("select v from told", database="db/run/x") in ([(9,)], ((9,),))
    assert told.server.sql("select v from told") in ([(SECOND,)], ((SECOND,),))
    with pytest.raises(ReadOnlyRefused, match="read-only"):
        run(told.server, "update told set v = 9", database=f"db/{told.first}", output=None)


@pytest.mark.parametrize("written", ["{{ .inputs.r }}", "'{{ .inputs.r }}'", "dolt_hashof({{ .inputs.r }})"])
def test_as_of_a_bound_revision(told: History, written: str) -> None:
    """AS OF takes a branch, commit, tag or step back as a value, and the frame says which commits these are."""
    query = f"select v from told as of {written}"
    for revision, value, commit in (
        ("main", SECOND, told.second),
        ("run/x", ON_BRANCH, told.on_branch),
        (told.first, FIRST, told.first),
        ("main~1", FIRST, told.first),
        ("HEAD^", FIRST, told.first),
    ):
        frame = run(told.server, query, inputs={"r": (str, revision)})
        assert frame["v"].tolist() == [value]
        assert frame.attrs["dolt_as_of"] == {revision: commit}
        assert frame.attrs["dolt_commit"] == told.second


def test_as_of_two_revisions_and_a_tag(told: History) -> None:
    """Two revisions in one query are both named; a tag is its commit; Arrow's metadata says the same."""
    query = "select a.v as x, b.v as y from told as of {{ .inputs.a }} as a, told as of 'run/x' as b"
    frame = run(told.server, query, inputs={"a": (str, "HEAD~1")})
    assert frame.to_dict("list") == {"x": [FIRST], "y": [ON_BRANCH]}
    assert frame.attrs["dolt_as_of"] == {"HEAD~1": told.first, "run/x": told.on_branch}
    assert (
        b"HEAD~1"
        in run(told.server, query, inputs={"a": (str, "HEAD~1")}, output=pa.Table).schema.metadata[b"dolt_as_of"]
    )
    ((tagged,),) = told.server.sql("select dolt_hashof('v1')")
    found = run(told.server, "select count(*) as n from dolt_log as of 'v1'")
    assert found.attrs["dolt_as_of"] == {"v1": tagged}


def test_as_of_a_moment_and_a_hostile_revision(told: History) -> None:
    """A datetime in timestamp() reads that moment; what is no revision is refused, and nothing else happens."""
    query = "select v from told as of timestamp({{ .inputs.at }})"
    later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
    frame = run(told.server, query, inputs={"at": (dt.datetime, later)})
    assert frame["v"].tolist() == [SECOND]
    assert "dolt_as_of" not in frame.attrs
    for revision in ("nope", "x'; drop table told; -- ", "main' as of 'main", "", "%s", told.first[:8]):
        with pytest.raises((DatabaseNotFound, StatementFailed), match="task"):
            run(told.server, "select v from told as of {{ .inputs.r }}", inputs={"r": (str, revision)})
    assert told.head("main") == told.second


def test_as_of_is_noted_as_it_was_read(told: History) -> None:
    """While somebody else commits, rows and the note are both of the moment when the transaction began."""
    where = connections.target_of(uri(told.server), connect_args={}, secrets={}, connect_timeout_s=10, timeout_s=60)
    with connections.connect(where) as session:
        told.server.sql("update told set v = 7", "call dolt_commit('-Am', 'meanwhile')")
        for revision, value, commit in (("main", SECOND, told.second), ("main~1", FIRST, told.first)):
            sql = f"select v from told as of '{revision}'"
            assert session.rows(sql)[0][0] == value
            assert execution._as_of(session, sql) == {"dolt_as_of": {revision: commit}}
        assert session.rows("select dolt_hashof('HEAD')")[0][0] == told.second
    assert told.head("main") != told.second


def test_one_commit_with_the_id_of_the_execution(told: History) -> None:
    """A writing task with a message makes one commit on its branch; values in the message are plain text."""
    inputs = {"v": (int, 8), "why": (str, "it's 100% {{ .inputs.v }} \\"), "day": (dt.date, dt.date(2020, 1, 2))}
    run(
        told.server,
        "update told set v = {{ .inputs.v }}",
        inputs=inputs,
        output=None,
        database="db/run/x",
        dolt_commit_message="set {{ .inputs.v }}: {{ .inputs.why }} on {{ .inputs.day }}",
    )
    (_, message), (before, _), *_ = told.log("run/x")
    assert before == told.on_branch
    subject, _, execution_id = message.partition("\n\n")
    assert subject == "set 8: it's 100% {{ .inputs.v }} \\ on 2020-01-02"
    assert execution_id == "Generated by Flyte execution id: ex:local:local:local"
    assert told.server.sql("select v from told as of 'run/x'") in ([(8,)], ((8,),))
    assert told.head("main") == told.second


def test_ddl_is_committed_too(told: History) -> None:
    """A new table is part of the commit."""
    told.server.sql("drop table if exists fresh")
    run(told.server, "create table fresh (id int primary key)", output=None, dolt_commit_message="a table")
    assert told.log("main")[0][1].startswith("a table\n\n")
    assert told.server.sql("select count(*) from fresh as of 'HEAD'") in ([(0,)], ((0,),))
    run(told.server, "drop table fresh", output=None, dolt_commit_message="no table")
    assert told.log("main")[0][1].startswith("no table\n\n")


def test_a_table_that_dolt_ignores(told: History) -> None:
    """Its rows are the task's work, be it in a commit before or new; one of somebody else's stays out."""
    told.server.sql("create table gen_a (id int primary key)")
    told.server.sql("insert into dolt_ignore values ('gen_%', true)")
    told.server.sql("call dolt_add('--force', 'gen_a', 'dolt_ignore')")
    told.server.sql("call dolt_commit('-m', 'ignored')")
    for number in (1, 2):
        run(told.server, f"insert into gen_a values ({number})", output=None, dolt_commit_message=f"row {number}")
        assert told.log("main")[0][1].startswith(f"row {number}\n\n")
        assert told.server.sql("select count(*) from gen_a as of 'HEAD'") in ([(number,)], ((number,),))
    told.server.sql("create table gen_c (id int primary key)")
    run(told.server, "create table gen_b (id int primary key)", output=None, dolt_commit_message="new")
    assert told.log("main")[0][1].startswith("new\n\n")
    assert told.server.sql("select count(*) from gen_b as of 'HEAD'") in ([(0,)], ((0,),))
    with pytest.raises(pymysql.MySQLError, match="gen_c"):
        told.server.sql("select count(*) from gen_c as of 'HEAD'")
    told.server.sql("drop table gen_c")


@pytest.mark.parametrize("statement", ["update told set v = v", "delete from told where id = 99", "select 1 as a"])
def test_nothing_changed_makes_no_commit(told: History, statement: str) -> None:
    """A statement that leaves all as it was makes no commit, and is no error."""
    run(told.server, statement, output=None, dolt_commit_message="nothing")
    assert told.head("main") == told.second


def test_a_failed_statement_makes_no_commit(told: History) -> None:
    """After an error there is neither a commit nor a change."""
    with pytest.raises(StatementFailed, match="duplicate primary key"):
        run(told.server, "insert into told values (2, 2), (1, 1)", output=None, dolt_commit_message="no")
    assert told.head("main") == told.second
    assert not told.server.sql("select * from dolt_status")


@pytest.mark.parametrize("change", ["insert into other values (1)", "update told set v = 99", "drop table other"])
def test_the_changes_of_others_are_not_swept_in(told: History, change: str) -> None:
    """On a branch with uncommitted changes nothing is run, the changes stay, and the error names the tables."""
    told.server.sql(change)
    before = told.server.sql("select * from dolt_status")
    with pytest.raises(UncommittedChanges, match="'main'.*'(other|told)'"):
        run(told.server, "insert into told values (5, 5)", output=None, dolt_commit_message="mine")
    assert told.server.sql("select * from dolt_status") == before
    assert told.head("main") == told.second
    assert run(told.server, "select v from told").attrs["dolt_uncommitted_changes"] is True


def test_changes_made_meanwhile_are_not_swept_in(told: History) -> None:
    """What another session changes while the statement runs is not in the task's commit, and is not lost."""
    where = connections.target_of(uri(told.server), connect_args={}, secrets={}, connect_timeout_s=10, timeout_s=60)
    order = execution.RunRequest(task="t", template="insert into told values (5, 5)", dolt_commit_message="mine")
    steps = execution._Runner(order, where, {})
    with connections.connect(where) as session:
        notes = steps._before(session)
        session.rows(order.template)
        told.server.sql("insert into other values (1)")
        steps._commit(session, execution.RunResult(1, notes=notes))
    changed = told.server.sql("select table_name from dolt_diff where commit_hash = dolt_hashof('HEAD')")
    assert list(changed) == [("told",)]
    assert [name for (name,) in told.server.sql("select table_name from dolt_status")] == ["other"]
    assert told.server.sql("select count(*) from other") in ([(1,)], ((1,),))


def test_the_log_says_what_was_read_and_made(told: History, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the commit that was read, or the one that was made."""
    with caplog.at_level(logging.INFO, logger="flytekit"):
        run(told.server, "select v from told", name="reads")
        run(told.server, "update told set v = 5", name="writes", output=None, dolt_commit_message="five")
    said = [record.getMessage() for record in caplog.records]
    assert f"Task 'reads': dolt_commit is {told.second}" in said
    assert f"Task 'writes': dolt_commit is {told.head('main')}" in said
    assert told.head("main") != told.second


def test_a_commit_message_elsewhere(mariadb: Server) -> None:
    """On another server a commit message is refused before anything is changed, and an empty one when it is written."""
    mariadb.sql("drop table if exists told", "create table told (id int)")
    with pytest.raises(InvalidTask, match="Dolt"):
        run(mariadb, "insert into told values (1)", output=None, dolt_commit_message="x")
    assert not mariadb.sql("select * from told")
    for options in ({"dolt_commit_message": " "}, {"dolt_commit_message": "x", "read_only": True}):
        with pytest.raises(InvalidTask, match="dolt_commit_message"):
            SQLAlchemyConfig(uri="mysql://localhost/db", **options)  # type: ignore[arg-type]


def test_a_frame_of_two_branches(told: History) -> None:
    """Tasks on two branches at once do not see each other's rows."""
    main = task_on(told.server, "select v from told", name="on-main", database="db/main")
    branch = task_on(told.server, "select v from told", name="on-branch", database="db/run/x")
    both = pd.concat([main(), branch()])
    assert both["v"].tolist() == [SECOND, ON_BRANCH]
    assert PASSWORD not in str(both.attrs)


@pytest.mark.slow
def test_a_commit_from_a_pod_carries_its_execution(told: History, tmp_path: Path) -> None:
    """A task that runs from its template commits with the id of the cluster's execution."""
    from flytekit.models.security import Secret

    cluster = Cluster(tmp_path, secrets={("db", "password"): PASSWORD}, environment=counted())
    where = uri(told.server).replace(uri(told.server).split("@")[0], "mysql://user")
    task = task_on(
        where,
        "update told set v = {{ .inputs.v }}",
        inputs={"v": (int, 0)},
        output=None,
        dolt_commit_message="set {{ .inputs.v }}",
        secret_connect_args={"password": Secret(group="db", key="password")},
    )
    assert cluster.run(task, "f7", v=6) == ()
    assert told.log("main")[0][1] == "set 6\n\nGenerated by Flyte execution id: ex:animals:testing:f7"
