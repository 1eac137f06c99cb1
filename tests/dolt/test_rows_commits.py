"""Where a write changes rows alone they become a commit without a branch, published in one step or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from letting_go import is_sound
from proxy import Proxy, between
from rows_files import as_user, folder_of, written

from flytekitplugins.dolt import DoltConfig, NewBranch, api
from flytekitplugins.dolt.api import scripts
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    ConstraintViolated,
    DoltError,
    HeadMoved,
    QueryFailed,
    TagExists,
    UncommittedChanges,
    WriteNotVerified,
)
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.model.configs import SerialBranch
from flytekitplugins.dolt.repository import refs, scratch_branches
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.repository.rows_commits import NeedsBranch, RowsCommit, fast_forward
from flytekitplugins.dolt.server import procedures
from flytekitplugins.dolt.tables import writing

pytestmark = pytest.mark.usefixtures("our_program", "natively")
ONE_REPOSITORY = True

Dolt = Callable[..., str]
AUTHOR = "Ann <ann@example.com>"
ONE, TWO = pd.DataFrame({"id": [1], "v": ["a"]}), pd.DataFrame({"id": [1, 2], "v": ["b", "c"]})
THREE = pd.DataFrame({"id": [3], "v": ["d"]})


@pytest.fixture
def natively(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows go natively in each lane."""
    monkeypatch.delenv(procedures.SWITCH, raising=False)


def put(repo: Path, frame: pd.DataFrame, *, message: str | None = None, **options: Any) -> refs.Commit:
    done = api.write(DoltConfig(str(repo), "t", primary_key=["id"], **options), frame, message=message).commit
    assert done is not None
    return done


def rows(repo: Path, revision: str = "main") -> list[tuple[object, ...]]:
    with refs.connect(repo) as connection:
        return connection.query(f"SELECT id, v FROM t AS OF '{revision}' ORDER BY id")


def ask(repo: Path, sql: str) -> list[tuple[object, ...]]:
    with refs.connect(repo) as connection:
        return connection.query(sql)


@contextmanager
def said(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give what is said to the server inside the block."""
    with between(repo, monkeypatch) as proxy:
        assert isinstance(proxy, Proxy)
        yield proxy.statements


def is_without_branch(statements: list[str]) -> bool:
    """Whether a write was published without a branch of its own."""
    published = [word for word in ("flyte_fast_forward", "DOLT_MERGE") if any(word in said for said in statements)]
    assert len(published) == 1
    return published == ["flyte_fast_forward"] and not any("DOLT_BRANCH" in said for said in statements)


# ---------------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize("mode", ["replace", "append", "upsert", "delete"])
def test_it_is_the_commit_that_a_branch_gives(repo: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """The same table, author, message and parent as by SQL, to the byte."""
    frame = {"append": THREE, "delete": ONE, "upsert": TWO.assign(v="z")}.get(mode, THREE)
    hashes, commits = [], []
    for branch, switch in {"sql": "0", "native": "1"}.items():
        monkeypatch.setenv(procedures.SWITCH, switch)
        start = put(repo, TWO if mode != "append" else ONE, branch_conf=NewBranch(branch))
        with said(repo, monkeypatch) as statements:
            put(repo, frame, mode=mode, branch_conf=NewBranch(branch), message="later")
        assert is_without_branch(statements) == (switch == "1")
        (commit,) = refs.log(repo, branch, limit=1)
        assert commit.parents == (start.hash,)
        commits.append((commit.author, commit.message))
        with refs.connect(repo) as connection, connection.at(branch):
            hashes.append(connection.query("SELECT DOLT_HASHOF_DB('HEAD'), DOLT_HASHOF_DB('WORKING')"))
            assert connection.query("SELECT * FROM dolt_status") == []
    assert hashes[0] == hashes[1]
    assert hashes[0][0][0] == hashes[0][0][1]
    assert commits[0] == commits[1]


def test_statements_of_a_warm_write(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checked-out branch, its lock, its state, the commit, the move; nothing else."""
    put(repo, ONE)
    put(repo, TWO)
    with said(repo, monkeypatch) as statements:
        put(repo, ONE)  # the proxy's session is new
        statements.clear()
        put(repo, TWO)
    calls = [said for said in statements if not said.startswith(("USE", "ROLLBACK"))]
    kinds = [
        "active_branch()",
        "GET_LOCK",
        "dolt_status",
        "CALL flyte_commit_rows",
        "CALL flyte_fast_forward",
        "RELEASE",
    ]
    assert [kind for kind, call in zip(kinds, calls, strict=True) if kind not in call] == []


def test_unchanged_frame_makes_no_commit(repo: Path) -> None:
    """The head stays where it is."""
    head = put(repo, TWO)
    assert put(repo, TWO).hash == head.hash
    assert refs.branches(repo)["main"] == head.hash


def test_several_puts_are_one_commit(repo: Path) -> None:
    """Work that deletes rows and then puts others is seen as one step from where it began."""
    start = put(repo, TWO)

    def work(connection: Connection) -> int | None:
        options = writing.WriteOptions(key=("id",), mode="delete")
        assert writing.RowDeletion("t", ONE, options).apply(connection) == 1
        assert connection.query("SELECT id FROM t") == [(2,)]
        return writing.TableWrite.of("t", THREE, writing.WriteOptions(mode="upsert")).apply(connection)

    job = publishing.WriteJob("t", "both", work, puts_rows=True)
    done = publishing.write(repo, None, job)
    (commit,) = refs.log(repo, limit=1)
    assert (commit.hash, commit.parents, commit.message) == (done.commit.hash, (start.hash,), "both")
    assert rows(repo) == [(2, "c"), (3, "d")]


@pytest.mark.parametrize("first", ["column", "rows"])
def test_work_that_does_more_is_done_on_a_branch(repo: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """It is begun again there, whatever it had done; nothing of the first time is published."""
    start = put(repo, ONE)
    calls: list[str | None] = []

    def work(connection: Connection) -> None:
        calls.append(connection.revision)
        steps = {
            "column": lambda: connection.execute("ALTER TABLE t ADD COLUMN n int"),
            "rows": lambda: writing.TableWrite.of("t", THREE, writing.WriteOptions(mode="append")).apply(connection),
        }
        for name in sorted(steps, key=lambda name: name != first):
            steps[name]()

    with said(repo, monkeypatch) as statements:
        publishing.write(repo, None, publishing.WriteJob("t", "more", work, puts_rows=True))
    assert not any("flyte_fast_forward" in said for said in statements)
    assert calls[0] == start.hash
    assert len(calls) == 2
    assert str(calls[1]).startswith("flyte-tmp/")
    assert ask(repo, "SELECT id, v, n FROM t ORDER BY id") == [(1, "a", None), (3, "d", None)]
    (commit,) = refs.log(repo, limit=1)
    assert commit.parents == (start.hash,)
    assert set(refs.branches(repo)) == {"main"}


def test_count_of_rows_is_compared(repo: Path) -> None:
    """What has not as many rows as the work says is not published."""
    start = put(repo, ONE)

    def work(connection: Connection) -> int:
        writing.TableWrite.of("t", THREE, writing.WriteOptions(mode="append")).apply(connection)
        return 3

    with pytest.raises(WriteNotVerified, match="2 rows instead of 3"):
        publishing.write(repo, None, publishing.WriteJob("t", "wrong", work, puts_rows=True))
    assert refs.branches(repo)["main"] == start.hash


def test_errors_are_those_of_sql(repo: Path) -> None:
    """What the procedure leaves to SQL is refused by that, with its words, and nothing was changed."""
    put(repo, ONE)
    with pytest.raises(ConstraintViolated, match="1"):
        put(repo, ONE, mode="append")
    assert rows(repo) == [(1, "a")]
    assert set(refs.branches(repo)) == {"main"}


def test_tag_that_another_commit_has(repo: Path, dolt: Dolt) -> None:
    """It is asked before the branch is moved."""
    head = put(repo, ONE)
    dolt("tag", "v1", "HEAD~1")
    with pytest.raises(TagExists, match="Cannot give the new commit the tag 'v1'"):  # a commit that nobody finds
        put(repo, TWO, tag="v1")
    with pytest.raises(TagExists, match=f"Cannot give commit {head.hash} the tag 'v1'"):
        put(repo, ONE, tag="v1")
    assert refs.branches(repo)["main"] == head.hash
    dolt("tag", "-d", "v1")


# ------------------------------------------------------------------------------------------------- the user and others


WORK = {
    "rows": "INSERT INTO u VALUES (2)",
    "table": "CREATE TABLE mine (id int)",
    "ignored": "CREATE TABLE tmp_mine (id int)",
    "column": "ALTER TABLE u ADD COLUMN n int",
}


@pytest.mark.parametrize("kind", WORK)
def test_work_of_the_user_stays(repo: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What is in no commit is kept, in no commit; so a branch is needed, also where Dolt's status does not show it."""
    ask(repo, "CREATE TABLE u (id int PRIMARY KEY)")
    ask(repo, "INSERT INTO dolt_ignore VALUES ('tmp_%', true)")
    ask(repo, "CALL DOLT_COMMIT('-A', '-m', 'u')")
    put(repo, ONE)
    ask(repo, WORK[kind])
    tables, status = ask(repo, "SHOW TABLES"), ask(repo, "SELECT * FROM dolt_status")
    assert bool(status) == (kind != "ignored")
    with said(repo, monkeypatch) as statements:
        put(repo, TWO)
    assert not is_without_branch(statements)
    assert (ask(repo, "SHOW TABLES"), ask(repo, "SELECT * FROM dolt_status")) == (tables, status)
    assert rows(repo) == [(1, "b"), (2, "c")]
    assert ask(repo, "SELECT COUNT(*) FROM dolt_diff WHERE commit_hash = DOLT_HASHOF('HEAD')") == [(1,)]


def overtaken(monkeypatch: pytest.MonkeyPatch, by: Callable[[], object], *, times: int = 1) -> list[str]:
    """Have something happen between the commit and the move; return the commits that were to be published."""
    seen: list[str] = []

    def late(connection: Connection, branch: str, start: str, commit: str) -> None:
        seen.append(commit)
        if len(seen) <= times:
            by()
        fast_forward(connection, branch, start, commit)

    monkeypatch.setattr(publishing, "fast_forward", late)
    return seen


def test_moved_head_is_redone_on_the_new_one(repo: Path, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's commit of this moment stays, with ours after it."""
    put(repo, ONE)
    seen = overtaken(
        monkeypatch, lambda: dolt("sql", "-q", "insert into t values (9, 'x'); call dolt_commit('-am', 'meanwhile')")
    )
    put(repo, THREE, mode="append")
    assert len(seen) == 2
    assert rows(repo) == [(1, "a"), (3, "d"), (9, "x")]
    assert [commit.message for commit in refs.log(repo, limit=2)] == [scripts.SCRIPT_MESSAGE, "meanwhile"]


def test_every_race_lost(repo: Path, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is HeadMoved in the end, and nothing of ours is there."""
    monkeypatch.setattr(publishing, "MAX_ATTEMPTS", 3)
    put(repo, ONE)
    seen = overtaken(
        monkeypatch, lambda: dolt("sql", "-q", "call dolt_commit('--allow-empty', '-m', 'meanwhile')"), times=99
    )
    with pytest.raises(HeadMoved, match="3 attempts") as caught:
        put(repo, THREE, mode="append")
    assert (len(seen), caught.value.branch) == (3, "main")
    assert rows(repo) == [(1, "a")]


def test_branch_that_was_set_back_meanwhile(repo: Path, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commits that were dropped do not come back with ours."""
    first = put(repo, ONE, branch_conf=NewBranch("b"))
    put(repo, TWO, branch_conf=SerialBranch("b"))
    seen = overtaken(monkeypatch, lambda: dolt("branch", "-f", "b", first.hash))
    put(repo, THREE, mode="append", branch_conf=SerialBranch("b"))
    assert len(seen) == 2
    assert rows(repo, "b") == [(1, "a"), (3, "d")]


def test_branch_that_was_deleted_meanwhile(repo: Path, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not made again."""
    put(repo, ONE, branch_conf=NewBranch("b"))
    overtaken(monkeypatch, lambda: dolt("branch", "-D", "b"))
    with pytest.raises(BranchNotFound, match="'b'"):
        put(repo, TWO, branch_conf=SerialBranch("b"))
    assert set(refs.branches(repo)) == {"main"}


def test_work_of_the_user_that_began_meanwhile(repo: Path, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept where it is in another table, and stops the write where it is in this one."""
    ask(repo, "CREATE TABLE u (id int PRIMARY KEY)")
    ask(repo, "CALL DOLT_COMMIT('-A', '-m', 'u')")
    put(repo, ONE)
    seen = overtaken(monkeypatch, lambda: dolt("sql", "-q", "insert into u values (5)"))
    put(repo, TWO)
    assert len(seen) == 1
    assert (rows(repo), ask(repo, "SELECT * FROM u")) == ([(1, "b"), (2, "c")], [(5,)])
    assert ask(repo, "SELECT COUNT(*) FROM u AS OF 'HEAD'") == [(0,)]
    ask(repo, "CALL DOLT_CHECKOUT('u')")
    head = refs.branches(repo)["main"]
    overtaken(monkeypatch, lambda: dolt("sql", "-q", "insert into t values (7, 'mine')"))
    with pytest.raises(UncommittedChanges, match="'t'"):
        put(repo, ONE)
    assert refs.branches(repo)["main"] == head
    assert ask(repo, "SELECT v FROM t WHERE id = 7") == [("mine",)]


@pytest.mark.parametrize("moved", [True, False])
def test_move_that_somebody_ended(repo: Path, monkeypatch: pytest.MonkeyPatch, *, moved: bool) -> None:
    """The branch says whether it was moved before, as KILL QUERY and `dolt_gc()` may come when it is done."""
    put(repo, ONE)

    def ended(*arguments: Any) -> None:
        if moved:
            fast_forward(*arguments)
        raise QueryFailed("Cannot publish.", server_message="context canceled", code=1105)

    monkeypatch.setattr(publishing, "fast_forward", ended)
    if moved:
        assert put(repo, TWO).hash == refs.branches(repo)["main"]
    else:
        with pytest.raises(QueryFailed, match="Cannot publish"):
            put(repo, TWO)
    assert rows(repo) == ([(1, "b"), (2, "c")] if moved else [(1, "a")])


def test_rows_for_sql_are_not_compared_twice(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQL has to do is known before the table is read for it, so that only the branch reads it."""
    ask(repo, "CREATE TABLE t (id bigint PRIMARY KEY, v longtext, CHECK (id > 0))")
    ask(repo, "CALL DOLT_COMMIT('-A', '-m', 't')")
    many = pd.DataFrame({"id": range(1, 5001), "v": "a"})
    put(repo, many)
    compared: list[str | None] = []

    def comparing(connection: Connection, *arguments: Any) -> Any:
        compared.append(connection.revision)
        return differences(connection, *arguments)

    differences = writing._differences
    monkeypatch.setattr(writing, "_differences", comparing)
    put(repo, many.assign(v="b"))
    assert [str(revision).startswith("flyte-tmp/") for revision in compared] == [True]


@pytest.mark.parametrize("how", ["CALL DOLT_GC()", "CALL DOLT_GC('--shallow')"])
def test_garbage_is_collected_meanwhile(repo: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A commit to which nothing leads is garbage: it is made once more then, and the store is whole."""
    put(repo, ONE)
    seen = overtaken(monkeypatch, lambda: ask(repo, how))
    put(repo, TWO)
    assert len(seen) == len(set(seen)) >= 1
    assert rows(repo) == [(1, "b"), (2, "c")]
    assert is_sound(repo)


def test_a_commit_that_is_not_published_is_nowhere(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a branch nor the log has it, and no file is left."""
    head = put(repo, ONE)

    def broken(*_: object) -> None:
        raise RuntimeError("stop")

    monkeypatch.setattr(publishing, "fast_forward", broken)
    with pytest.raises(RuntimeError, match="stop"):
        put(repo, TWO)
    assert refs.branches(repo) == {"main": head.hash}
    with refs.connect(repo) as connection:
        assert [path.name for path in folder_of(connection).iterdir()] == []


# ------------------------------------------------------------------------------------------------------ who is writing


def test_who_writes_is_found(repo: Path) -> None:
    """A file says who holds the lock while there is no branch that does; those of writers that are gone are swept."""
    with refs.connect(repo) as connection, refs.connect(repo) as other:
        with scratch_branches.announced(connection, "ex:proj:dev:abc"):
            owner = scratch_branches.owner(other, connection.number)
            assert owner is not None
            assert owner.task == "ex-proj-dev-abc"
            assert scratch_branches.owner(other, other.number) is None
            (file,) = folder_of(connection).glob("writer-*")
            dead = file.with_name(file.name.replace(f"-{connection.number}%2F", "-999999%2F"))
            dead.touch()
        assert not file.exists()
        scratch_branches.YOUNG_S, young = 0.0, scratch_branches.YOUNG_S
        try:
            scratch_branches.sweep(other)
        finally:
            scratch_branches.YOUNG_S = young
        assert list(folder_of(other).glob("writer-*")) == []


# ------------------------------------------------------------------------------------------------------- the procedures


@contextmanager
def file_of(connection: Connection, frame: pd.DataFrame) -> Iterator[str]:
    """Give the path of a file with the rows of a frame."""
    columns = pa.schema({"id": pa.int64(), "v": pa.string()})
    path = written(folder_of(connection) / "some.rows", pa.Table.from_pandas(frame, columns, preserve_index=False))
    try:
        yield str(path)
    finally:
        path.unlink()


COMMITS = "CALL flyte_commit_rows('t', %s, %s, %s, %s, %s)"
MOVES = "CALL flyte_fast_forward(%s, %s, %s)"


def test_what_the_procedures_refuse(repo: Path) -> None:
    """A branch in the place of a commit, names in the place of hashes, commits that do not follow, other files."""
    first, head = put(repo, ONE).hash, put(repo, TWO).hash
    before = refs.branches(repo)
    with refs.connect(repo) as connection, file_of(connection, THREE) as path:
        good = (path, "append", head, AUTHOR, "x")
        with pytest.raises(QueryFailed, match="not a database at a commit"):
            connection.query(COMMITS, *good)
        with connection.at("main"), pytest.raises(QueryFailed, match="not a database at a commit"):
            connection.query(COMMITS, *good)
        with connection.at(head):
            for wrong in [
                ("/etc/passwd", *good[1:]),
                (path, "sideways", *good[2:]),
                (*good[:2], "main", *good[3:]),
                (*good[:2], "0" * 32, *good[3:]),
                (*good[:3], "nobody", "x"),
                (*good[:4], ""),
            ]:
                with pytest.raises(DoltError):
                    connection.query(COMMITS, *wrong)
            ((count, commit, there),) = connection.query(COMMITS, *good)
            assert (count, there) == (1, 3)
            for wrong in [("main", first, commit), ("main", head, head), ("main", head, "main"), ("main", "x", commit)]:
                with pytest.raises(DoltError):
                    connection.query(MOVES, *wrong)
            for wrong in [("Main", head, commit), ("none", head, commit), ("main", head, "0" * 32)]:
                assert connection.query(MOVES, *wrong) == [("elsewhere",)]
            assert refs.branches(repo) == before
            assert connection.query(MOVES, "main", head, commit) == [("",)]
            assert connection.query(MOVES, "main", head, commit) == [("elsewhere",)]
    assert rows(repo) == [(1, "b"), (2, "c"), (3, "d")]


def test_other_tables_differ(repo: Path) -> None:
    """Rows of a commit make none that follows another one from which more differs."""
    ask(repo, "CREATE TABLE u (id int PRIMARY KEY)")
    ask(repo, "CALL DOLT_COMMIT('-A', '-m', 'u')")
    head = put(repo, ONE).hash
    ask(repo, "INSERT INTO u VALUES (1)")
    ask(repo, "CALL DOLT_COMMIT('-am', 'more')")
    ((other,),) = ask(repo, "SELECT DOLT_HASHOF('HEAD')")
    with refs.connect(repo) as connection, file_of(connection, THREE) as path, connection.at(str(other)):
        with pytest.raises(QueryFailed, match='"u" differs'):
            connection.query(COMMITS, path, "append", head, AUTHOR, "x")


@pytest.mark.parametrize(
    "setting", ["@@SESSION.gpgsign = 1", "@@GLOBAL.dolt_commit_verification_groups = '*'"], ids=["signed", "tested"]
)
def test_commits_that_are_signed_or_tested(repo: Path, setting: str) -> None:
    """They are made by DOLT_COMMIT."""
    head = put(repo, ONE).hash
    name = setting.partition(" ")[0]
    with refs.connect(repo) as connection, file_of(connection, THREE) as path:
        ((held,),) = connection.query(f"SELECT {name}")
        connection.execute(f"SET {setting}")
        try:
            with connection.at(head), pytest.raises(QueryFailed, match="use SQL: commits are"):
                connection.query(COMMITS, path, "append", head, AUTHOR, "x")
        finally:
            connection.execute(f"SET {name} = %s", held)


def test_merge_that_is_under_way(repo: Path, dolt: Dolt) -> None:
    """A branch in the middle of a merge is not moved, though all its tables are as in its head."""
    dolt("branch", "b")
    dolt("sql", "-q", "call dolt_checkout('b'); create table u (id int); call dolt_commit('-Am', 'u')")
    head = put(repo, ONE).hash
    begins = "call dolt_merge('--no-commit', '--no-ff', 'b'); call dolt_reset('u'); drop table u"
    dolt("sql", "-q", f"set autocommit = 0; {begins}; commit")
    try:
        with refs.connect(repo) as connection, file_of(connection, THREE) as path, connection.at(head):
            ((_, commit, _),) = connection.query(COMMITS, path, "append", head, AUTHOR, "x")
            assert connection.query(MOVES, "main", head, commit) == [("uncommitted",)]
        with pytest.raises(UncommittedChanges):
            put(repo, TWO)
    finally:
        dolt("sql", "-q", "call dolt_merge('--abort')")


def test_who_may(repo: Path) -> None:
    """The reader may do neither; a right to execute is not one to the table, nor one to write to the branch."""
    head = put(repo, ONE).hash
    place = refs.locate(str(repo))
    with refs.connect(place) as connection, file_of(connection, THREE) as path:
        good = (path, "append", head, AUTHOR, "x")
        with connection.at(head):
            ((_, commit, _),) = connection.query(COMMITS, *good)
            with connection.read_only_session() as reader:
                for call, arguments in [(COMMITS, good), (MOVES, ("main", head, commit))]:
                    with pytest.raises(DoltError, match="denied"):
                        reader.query(call, *arguments)
        base, branches = connection.database, "dolt_branch_control"
        connection.execute("CREATE USER some@localhost IDENTIFIED BY 'x'")
        for procedure in ("flyte_commit_rows", "flyte_fast_forward"):
            connection.execute(f"GRANT EXECUTE ON PROCEDURE `{base}`.{procedure} TO some@localhost")
        held = connection.query(f"SELECT * FROM {branches}")
        connection.execute(f"DELETE FROM {branches} WHERE user = '%'")
        try:
            with closing(as_user(connection, "some")) as session:
                with session.at(head), pytest.raises(DoltError, match="denied"):
                    session.query(COMMITS, *good)
                with pytest.raises(DoltError, match="permissions"):
                    session.query(MOVES, "main", head, commit)
            assert refs.branches(repo)["main"] == head
            connection.execute(f"INSERT INTO {branches} VALUES ('%', 'main', 'some', '%', 'write')")
            with closing(as_user(connection, "some")) as session:
                assert session.query(MOVES, "main", head, commit) == [("",)]
        finally:
            connection.execute(f"DELETE FROM {branches} WHERE user = 'some'")
            for row in held:
                connection.execute(f"INSERT IGNORE INTO {branches} VALUES (%s, %s, %s, %s, %s)", *row)
            connection.execute("DROP USER some@localhost")


def test_nothing_else_is_said_inside(repo: Path) -> None:
    """Where rows are to be a commit, other changes are not sent; reading is as anywhere."""
    head = put(repo, ONE).hash
    with refs.connect(repo) as connection:
        with RowsCommit(connection, head, author=AUTHOR):
            for tried in (
                lambda: connection.execute("DROP TABLE t"),
                lambda: connection.execute_ahead("DROP TABLE t"),
                lambda: connection.query("CALL DOLT_BRANCH('x')"),
                lambda: connection.load("t", "", [], folder=folder_of(connection)),
                lambda: scratch_branches.Scratch(connection, head).__enter__(),
            ):
                with pytest.raises(NeedsBranch):
                    tried()
            assert connection.query("SELECT id FROM t") == [(1,)]
        assert [path.name for path in folder_of(connection).iterdir()] == []
        assert connection.revision is None
        connection.execute("CALL DOLT_BRANCH('x')")
    assert set(refs.branches(repo)) == {"main", "x"}
