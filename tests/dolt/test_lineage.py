"""Lineage without a service: what commits were made of and used for, through branches and repositories."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, create_repository, merge, pin, write
from flytekitplugins.dolt.api.table import store
from flytekitplugins.dolt.errors import InvalidConfig, RepositoryNotFound, RevisionNotFound
from flytekitplugins.dolt.history.lineage_graphs import graph
from flytekitplugins.dolt.history.lineages import commits_of, execution_of, lineage
from flytekitplugins.dolt.model.provenance import Execution, Provenance, ReadRecord, WriteRecord, compose
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.server import local_server

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]


def made(config: DoltConfig, value: int = 1, *reads: ReadRecord, run: str = "ex:p:d:n") -> str:
    """Commit a table as a task would that had read ``reads``; return the commit's hash."""
    mode = config.mode or "replace"
    assert config.tablename is not None
    origin = Provenance(execution=Execution(run, task="t"), writes=(WriteRecord(config.tablename, mode),), reads=reads)
    table = store(DoltTable(config, pd.DataFrame({"a": [value]})), message=compose(None, origin))
    assert table.commit is not None
    return table.commit.hash


def read(commit: str, table: str, place: object = ".") -> ReadRecord:
    return ReadRecord(commit, str(place), table=table)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """Give a second repository."""
    path = create_repository(tmp_path / "bar", name="a", email="b@c")
    yield path
    local_server.release(path)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give the list of the statements that are sent meanwhile."""
    sent: list[str] = []
    rows, run = connections.Connection.query, connections.Connection.execute

    def note(original: Callable[..., object]) -> Callable[..., object]:
        def noted(self: connections.Connection, sql: str, *args: object, **kwargs: object) -> object:
            sent.append(sql)
            return original(self, sql, *args, **kwargs)

        return noted

    with monkeypatch.context() as patch:
        patch.setattr(connections.Connection, "query", note(rows))
        patch.setattr(connections.Connection, "execute", note(run))
        yield sent


def test_a_workflow_can_be_walked_up_and_down(config: Config, repo: Path) -> None:
    """From the last table of a workflow lineage leads to the first, and back, with the tasks that made them."""

    @task
    def first() -> DoltTable:
        return DoltTable(data=pd.DataFrame({"a": [1]}), config=config("one"))

    @task
    def second(table: DoltTable) -> DoltTable:
        return DoltTable(data=table.data + 1, config=config("two", branch_conf=NewBranch("run/1")))

    @task
    def third(table: DoltTable, old: DoltTable) -> DoltTable:
        return DoltTable(data=table.data + old.data, config=config("three"))

    @workflow
    def wf() -> tuple[DoltTable, DoltTable]:
        one = first()
        return one, third(table=second(table=one), old=one)

    one, three = wf()
    up = lineage(three, direction="up")
    assert [step.tables for step in up.sources] == [("one",), ("two",)]
    assert [step.origin.execution.task.split(".")[-1] for step in up.steps] == ["third", "first", "second"]
    assert {(link.read.table, link.made == three.commit.hash) for link in up.above} == {
        ("one", True),
        ("two", True),
        ("one", False),
    }
    down = lineage(one.commit, db_path=repo, direction="down")
    assert {step.tables for step in down.results} == {("two",), ("three",)}
    assert down.gaps == up.gaps == ()
    both = lineage(lineage(three).sources[1].commit.hash, db_path=str(repo))
    assert ([s.tables for s in both.sources], [s.tables for s in both.results]) == ([("one",)], [("three",)])


def test_the_writer_of_a_table_is_found_behind_newer_commits(config: Config, repo: Path, dolt: Dolt) -> None:
    """A read names the newest commit; who wrote the table is an older one, also when others were made by hand."""
    wrote = made(config("t"))
    by_hand = [made(config("u"))]
    for number in range(3):
        dolt("sql", "-q", f"create table h{number} (a int); insert into h{number} values (1)")
        dolt("commit", "-Am", f"by hand {number}")
        by_hand.append(refs.resolve(repo, None).hash)
    head = by_hand[-1]
    result = made(config("out"), 1, read(head, "t"), read(head, "h1"))
    found = lineage(result, db_path=repo)
    assert {(link.read.table, link.of) for link in found.above} == {("t", wrote), ("h1", by_hand[2])}
    assert [step.commit.hash for step in lineage(wrote, db_path=repo).results] == [result]
    assert lineage(by_hand[1], db_path=repo).results == ()


def test_a_merge_passes_a_table_on(config: Config, repo: Path, dolt: Dolt) -> None:
    """Behind a merge the writer is found on the side that the table came from; rows mixed by it are the merge's."""
    made(DoltConfig(str(repo), "both", primary_key=["a"]), 1)
    made(config("base"))
    there = made(config("side", branch_conf=NewBranch("dev")), 2)
    made(DoltConfig(str(repo), "both", mode="append", branch_conf=NewBranch("dev")), 2)
    here = made(config("main"), 3)
    made(DoltConfig(str(repo), "both", mode="append"), 3)
    dolt("sql", "-q", "call dolt_merge('dev', '-m', 'merged')")
    merge = refs.resolve(repo, None).hash
    assert len(refs.log(repo, limit=1)[0].parents) == 2
    result = made(config("out"), 1, read(merge, "side"), read(merge, "main"), read(merge, "both"))
    links = {link.read.table: link.of for link in lineage(result, db_path=repo).above if link.made == result}
    assert links == {"side": there, "main": here, "both": merge}


def test_a_table_is_followed_from_the_commit_that_wrote_it(config: Config, repo: Path, dolt: Dolt) -> None:
    """A table at a commit of another table, or at a merge that took it as it was, has the lineage of its own writer."""
    made(config("source"))
    there = made(config("t", branch_conf=NewBranch("run/1")), 2, read(refs.resolve(repo, None).hash, "source"))
    made(config("log"))
    merge("run/1", into="main", db_path=repo)
    made(config("log", mode="append"), 2)
    found = lineage(pin(config("t")))
    assert (found.start.commit.hash, [step.tables for step in found.sources]) == (there, [("source",)])
    assert lineage(refs.resolve(repo, None).hash, db_path=repo).start.tables == ("log",)
    assert lineage(pin(DoltConfig(str(repo), sql="select * from t"))).start.tables == ("log",)


def test_rows_that_a_merge_put_together_come_from_both_sides(config: Config, repo: Path) -> None:
    """A merge of rows of both sides was made of both; one that took a table as it was is passed by."""
    keyed = DoltConfig(str(repo), "t", mode="upsert", primary_key=["a"])
    first = made(keyed, 1)
    there = made(replace(keyed, branch_conf=NewBranch("run/1")), 2)
    here = made(keyed, 3)
    mixed = merge("run/1", into="main", db_path=repo).hash
    result = made(config("out"), 1, read(mixed, "t"))
    found = lineage(result, db_path=repo)
    assert {(link.made, link.of) for link in found.above} == {
        (result, mixed),
        *((mixed, side) for side in (there, here)),
        *((side, first) for side in (there, here)),
    }
    assert lineage(pin(keyed)).start.commit.hash == mixed
    assert [node.name for node in graph(found).nodes if node.kind == "commit"] == ["Merge run/1 into main"]
    assert f"t: {mixed[:8]} commit" in str(found)


def test_a_merge_by_its_name_was_made_of_what_it_brought(config: Config, repo: Path) -> None:
    """Not of what was on its branch before."""
    made(config("here"))
    there = made(config("t", branch_conf=NewBranch("run/1")), 2)
    made(config("here"), 3)
    merged = merge("run/1", into="main", db_path=repo).hash
    found = lineage("main", db_path=repo)
    assert found.start.commit.hash == merged
    assert [(link.made, link.of, link.read.table) for link in found.above] == [(merged, there, "t")]
    assert sorted(node.kind for node in graph(found).nodes) == ["commit", "execution", "table"]


def test_an_append_is_also_made_of_what_was_there(config: Config, repo: Path) -> None:
    """Appending and upserting keep earlier rows, so the earlier writer is a source; replacing does not."""
    first = made(config("t"), 1)
    second = made(config("t", mode="append"), 2)
    third = made(config("t"), 3)
    assert [step.commit.hash for step in lineage(second, db_path=repo).sources] == [first]
    assert [step.commit.hash for step in lineage(first, db_path=repo).results] == [second]
    assert lineage(third, db_path=repo).sources == ()


def test_it_goes_through_repositories(config: Config, repo: Path, other: Path) -> None:
    """Up and down it goes through the repositories that it is given; each commit once."""
    a = made(config("a"))
    b = made(DoltConfig(str(other), "b"), 1, read(a, "a", repo))
    c = made(config("c"), 1, read(b, "b", other))
    d = made(DoltConfig(str(other), "d"), 1, read(c, "c", repo), read(b, "b"))
    up = lineage(d, db_path=other, direction="up", repositories=[repo])
    assert [step.commit.hash for step in up.sources] == [b, c, a]
    assert [Path(step.repository) for step in up.sources] == [other, repo, repo]
    assert lineage(a, db_path=repo, direction="down").results == ()
    down = lineage(a, db_path=repo, direction="down", repositories=[other])
    assert [step.commit.hash for step in down.results] == [b, c, d]
    assert "in " + str(other) in str(down)


def test_a_clone_answers_for_its_origin(config: Config, repo: Path, dolt: Dolt, tmp_path: Path) -> None:
    """A clone knows the lineage of what it holds, also of what was read from a place that is not there any more."""
    a = made(config("a"))
    b = made(config("b"), 1, read(a, "a"))
    c = made(config("c"), 1, read(a, "a", "/nowhere/else"))
    dolt("remote", "add", "origin", f"file://{tmp_path}/remote")
    dolt("push", "origin", "main")
    dolt("clone", f"file://{tmp_path}/remote", "clone", cwd=tmp_path)
    try:
        for result in (b, c):
            assert [step.commit.hash for step in lineage(result, db_path=tmp_path / "clone").sources] == [a]
    finally:
        local_server.release(tmp_path / "clone")


def test_what_cannot_be_followed_is_said(config: Config, repo: Path, other: Path, tmp_path: Path) -> None:
    """Places that only a commit names, a lost commit and an unknown query are gaps with a reason."""
    made(config("t"))
    head = refs.resolve(repo, None).hash
    reads = [
        read("0" * 32, "gone", tmp_path / "missing"),
        read("1" * 32, "there", "mysql://host/db"),
        read("2" * 32, "lost", other),
        read("3" * 32, "lost"),
        ReadRecord(head, ".", query="0123456789abcdef"),
        read(head, "never"),
    ]
    found = lineage(made(config("out"), 1, *reads), db_path=repo, repositories=[other])
    assert {(gap.read.name, gap.why) for gap in found.gaps} == {
        ("gone", "repository"),
        ("there", "repository"),
        ("lost", "commit"),
        ("query:0123456789abcdef", "tables"),
        ("never", "tables"),
    }
    assert len(found.gaps) == 6
    assert str(found).count("name it with repositories=[...]") == 2
    assert found.sources == ()
    lost = next(gap for gap in lineage(found.start.commit, db_path=repo).gaps if gap.read.table == "lost")
    assert (lost.read.repository, lost.why) == (str(other), "repository")


def test_a_collected_branch_is_said(config: Config, repo: Path, dolt: Dolt) -> None:
    """The commit of a deleted branch is found while Dolt still holds it, and is a gap once it is collected."""
    lost = made(config("t", branch_conf=NewBranch("dev")))
    result = made(config("out"), 1, read(lost, "t"))
    dolt("branch", "-D", "dev")
    assert [step.commit.hash for step in lineage(result, db_path=repo).sources] == [lost]
    assert execution_of(lost, repo) == Execution("ex:p:d:n", task="t")
    dolt("gc")
    local_server.release(repo)
    found = lineage(result, db_path=repo)
    assert (found.sources, [gap.why for gap in found.gaps]) == ((), ["commit"])
    with pytest.raises(RevisionNotFound, match=lost):
        lineage(lost, db_path=repo)
    with pytest.raises(RevisionNotFound, match=lost):
        execution_of(lost, repo)


def test_a_shallow_clone_ends_with_a_gap(config: Config, repo: Path, dolt: Dolt, tmp_path: Path) -> None:
    """Where history was not cloned, the walk ends and says so."""
    a = made(config("a"))
    made(config("b"), 1, read(a, "a"))
    c = made(config("c"), 1, read(a, "a"), read(refs.resolve(repo, None).hash, "b"))
    dolt("remote", "add", "origin", f"file://{tmp_path}/remote")
    dolt("push", "origin", "main")
    dolt("clone", "--depth", "1", f"file://{tmp_path}/remote", "shallow", cwd=tmp_path)
    try:
        found = lineage(c, db_path=tmp_path / "shallow")
        assert (found.sources, {gap.why for gap in found.gaps}) == ((), {"commit"})
        assert len(found.gaps) == 2
    finally:
        local_server.release(tmp_path / "shallow")


def test_two_repositories_that_feed_each_other_end(config: Config, repo: Path, other: Path) -> None:
    """Tables that are made of each other in turn, again and again, are walked once each, in both directions."""
    hashes = [made(config("ping"), 0)]
    for number in range(1, 20):
        here, there = (config("ping"), repo) if number % 2 == 0 else (DoltConfig(str(other), "pong"), other)
        source = "pong" if number % 2 == 0 else "ping"
        hashes.append(made(here, number, read(hashes[-1], source, other if there == repo else repo)))
    found = lineage(hashes[10], db_path=repo, repositories=[other])
    assert [step.commit.hash for step in found.sources] == hashes[9::-1]
    assert [step.commit.hash for step in found.results] == hashes[11:]


def test_the_limit_cuts_and_says_so(config: Config, repo: Path) -> None:
    """With a limit the nearest commits are given and the result says that there is more."""
    hashes = [made(config("t"), 0)]
    hashes += [made(config("t", mode="append"), number) for number in range(1, 6)]
    found = lineage(hashes[-1], db_path=repo, limit=3)
    assert ([step.commit.hash for step in found.sources], found.is_whole) == (hashes[4:2:-1], False)
    assert str(found).endswith("(cut off: there is more)")
    assert lineage(hashes[-1], db_path=repo).is_whole


def test_it_is_text_and_json(config: Config, repo: Path) -> None:
    """As text it is a tree in which nothing hides; as a dictionary it goes through JSON."""
    a = made(config("a"))
    b = made(config("b"), 1, read(a, "a"), read("0" * 32, "\x1b[2Jevil\n", "/no\x07where"))
    c = made(config("c"), 1, read(b, "b"), read(a, "a"))
    found = lineage(c, db_path=repo)
    lines = str(found).splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith(f"{c[:8]} c  ")
    assert lines[1] == "was made of"
    assert [line[:7] for line in lines[2:]] == ["├─ a: " + a[0], "└─ b: " + b[0], "   ├─ ?", "   └─ a"]
    assert json.loads(json.dumps(found.to_dict()))["start"] == c
    assert str(lineage(a, db_path=repo)).splitlines()[1] == "was used for"


def test_the_arguments_have_to_make_sense(config: Config, repo: Path, tmp_path: Path) -> None:
    """A table without a commit, a missing repository and an unknown direction are refused in words."""
    made(config("t"))
    with pytest.raises(InvalidConfig, match="db_path="):
        lineage("0" * 32)
    with pytest.raises(InvalidConfig, match="commit"):
        lineage(DoltTable(config=config("t")))
    with pytest.raises(InvalidConfig, match="'up'.*'down'.*'both'"):
        lineage("main", db_path=repo, direction="sideways")  # type: ignore[arg-type]
    with pytest.raises(RepositoryNotFound, match="folder"):
        lineage("main", db_path=repo, repositories=[tmp_path / "missing"])
    for nothing in ("0" * 32, "nope"):
        with pytest.raises(RevisionNotFound, match=nothing):
            lineage(nothing, db_path=repo)
    assert lineage("main", db_path=repo).start.tables == ("t",)


def test_executions_and_commits_find_each_other(config: Config, repo: Path, dolt: Dolt) -> None:
    """All commits of an execution are found on every branch, by its id or name; and from a commit its execution."""
    a = made(config("a"), run="ex:p:d:run1")
    made(config("b"), run="ex:p:d:run2")
    c = made(config("c", branch_conf=NewBranch("dev")), run="ex:p:d:run1")
    dolt("sql", "-q", "create table h (a int)")
    dolt("commit", "-Am", "Generated by Flyte execution id: ex:local:local:local")
    for name in ("ex:p:d:run1", "run1", "p:d:run1"):
        assert [step.commit.hash for step in commits_of(name, repo)] == [a, c]
    assert commits_of("run", repo) == commits_of("", repo) == ()
    assert [step.commit.message for step in commits_of("ex:local:local:local", repo)] == [
        "Generated by Flyte execution id: ex:local:local:local"
    ]
    assert execution_of(c, repo) == Execution("ex:p:d:run1", task="t")
    assert execution_of("main", repo) == Execution("ex:local:local:local")
    first = refs.log(repo)[-1]
    assert execution_of(first, repo) is None


@pytest.mark.slow
def test_hundreds_of_commits_cost_the_same_beside_any_table(
    repo: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph of 300 commits takes the same few statements beside 10 rows and beside a million, by hand or by us."""
    counts = []
    for path, rows in ((repo, 10), (other, 1_000_000)):
        write(DoltConfig(str(path), "big"), pd.DataFrame({"a": range(rows)}))
        with connections.connect(refs.locate(path)) as connection, connection.at("main"):
            connection.execute("CREATE TABLE small (a INT PRIMARY KEY)")
            head = ""
            for number in range(300):
                reads = (read(head, "small"),) if head and number % 2 else ()
                origin = Provenance(execution=Execution("ex:p:d:n"), writes=(WriteRecord("small"),), reads=reads)
                message = compose(None, origin) if number % 3 else "by hand"
                connection.execute("INSERT INTO small VALUES (%s)", number)
                ((head,),) = connection.query("CALL DOLT_COMMIT('-A', '-m', %s)", message)
        with counted(monkeypatch) as sent:
            found = lineage(head, db_path=path)
            assert len(found.sources) == 1
            assert len(commits_of("ex:p:d:n", path)) == 200
            assert lineage(refs.log(refs.locate(path))[301], db_path=path, direction="down").gaps == ()
        assert not [sql for sql in sent if "`big`" in sql or "`small`" in sql]
        counts.append(len(sent))
    assert counts[0] == counts[1] < 40
