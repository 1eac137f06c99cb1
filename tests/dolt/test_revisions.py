"""What names a state: each way means one commit, on the graph of a real repository, and what means none is said."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dolt_program
import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import (
    Ago,
    DoltConfig,
    DoltTable,
    NewBranch,
    SerialBranch,
    api,
    create_repository,
    read,
    versions,
    write,
)
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    InvalidConfig,
    RevisionNotFound,
    ShallowClone,
    TableNotFound,
)
from flytekitplugins.dolt.history import revisions
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server
from flytekitplugins.dolt.tables import reading

Dolt = Callable[..., str]
DAYS = {"created": "2024-01-10", "grown": "2024-02-10", "other": "2024-03-10"}


@dataclass(frozen=True)
class Graph:
    """A repository whose commits have known dates: main of three commits, and a side branch merged into it."""

    path: Path
    commits: dict[str, str]

    def config(self, **options: object) -> DoltConfig:
        return DoltConfig(str(self.path), None if "sql" in options else "t", **options)  # type: ignore[arg-type]

    def resolve(self, revision: object, on: str | None = None) -> str:
        """Return the name of the commit that a revision means."""
        with connect(self.path) as connection:
            found = revisions.resolve(connection, revision, on=on)  # type: ignore[arg-type]
        return next(name for name, hash_ in self.commits.items() if hash_ == found.hash)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    path = create_repository(tmp_path_factory.mktemp("graph") / "foo", name="A", email="a@b.c")
    commits: dict[str, str] = {}
    with connect(path) as connection:

        def commit(name: str, day: str, *statements: str) -> None:
            for statement in statements:
                connection.execute(statement)
            arguments = (name, f"{day}T12:00:00")
            save = "CALL DOLT_COMMIT('-A', '-m', %s, '--author', 'A <a@b.c>', '--date', %s)"
            commits[name] = connection.query(save, *arguments)[0][0]

        commit("created", DAYS["created"], "create table u (n int)", "insert into u values (1)")
        commit("grown", DAYS["grown"], "create table t (id int primary key)", "insert into t values (1)")
        connection.execute("CALL DOLT_BRANCH('side')")
        commit("other", DAYS["other"], "insert into u values (2)")
        with connection.at("side"):
            commit("aside", "2024-02-20", "insert into t values (7)")
        connection.execute("CALL DOLT_MERGE('side', '--author', 'A <a@b.c>')")
        connection.execute("CALL DOLT_COMMIT('--amend', '--date', '2024-04-10T12:00:00', '-m', 'merged')")
        commits["merged"] = connection.query("SELECT DOLT_HASHOF('HEAD')")[0][0]
        connection.execute("CALL DOLT_TAG('v1', %s)", commits["grown"])
        connection.execute("CALL DOLT_TAG('2024-01-01')")
    return Graph(path, commits)


@pytest.fixture
def graph(made_once: Graph, tmp_path: Path) -> Iterator[Graph]:
    """Give a copy, which the test may change."""
    path = tmp_path / "foo"
    shutil.copytree(made_once.path, path)
    yield Graph(path, made_once.commits)
    local_server.release(path)


class TestNames:
    @pytest.mark.parametrize(
        ("revision", "expected"),
        [
            ("main", "merged"),
            ("refs/heads/main", "merged"),
            ("HEAD", "merged"),
            ("HEAD~1", "other"),
            ("HEAD^", "other"),
            ("HEAD^2", "aside"),
            ("HEAD^2~1", "grown"),
            ("main~2", "grown"),
            ("main~~", "grown"),
            ("side", "aside"),
            ("side~1", "grown"),
            ("v1", "grown"),
            ("refs/tags/v1", "grown"),
            ("v1~1", "created"),
            ("2024-01-01", "merged"),
        ],
    )
    def test_names_and_ancestors(self, made_once: Graph, revision: str, expected: str) -> None:
        """Branches, tags and HEAD mean their commit, with ~ and ^ the one before; a name is first of all a name."""
        assert made_once.resolve(revision) == expected

    def test_hashes_whole_and_abbreviated(self, made_once: Graph) -> None:
        """A hash means its commit, and so do its first characters if no other commit has them."""
        for name, hash_ in made_once.commits.items():
            assert made_once.resolve(hash_) == made_once.resolve(hash_[:12]) == name
            assert name == "created" or made_once.resolve(f"{hash_[:12]}^") != name

    def test_an_ambiguous_abbreviation_is_refused(self, graph: Graph) -> None:
        """The error names the commits that start with it."""
        with connect(graph.path) as connection:
            seen: dict[str, str] = {}
            for number in range(400):
                connection.execute("INSERT INTO u VALUES (%s)", number)
                made = connection.query("CALL DOLT_COMMIT('-am', 'x')")[0][0]
                if made[:2] in seen:
                    seen["both"] = made[:2]
                    break
                seen[made[:2]] = made
            query = "SELECT commit_hash FROM dolt_commits WHERE commit_hash LIKE %s"
            assert len(connection.query(query, f"{seen['both']}%")) > 1
            short = revisions._SHORT_HASH
            try:
                revisions._SHORT_HASH = revisions.re.compile(
                    r"[0-9a-v]{2,31}\Z"
                )  # four of the same take too long to find
                with pytest.raises(RevisionNotFound, match="commits"):
                    revisions.resolve(connection, seen["both"])
            finally:
                revisions._SHORT_HASH = short

    def test_head_is_that_of_the_branch_in_question(self, graph: Graph) -> None:
        """HEAD of a config is the head of its own branch, whatever is checked out."""
        assert graph.resolve("HEAD", on="side") == "aside"
        table = api.pin(graph.config(branch_conf=SerialBranch("side"), as_of="HEAD~1"))
        assert table.commit is not None
        assert (table.commit.hash, table.commit.branch) == (graph.commits["grown"], "side")

    def test_a_remote_branch(self, graph: Graph, tmp_path: Path) -> None:
        """What was fetched from a remote is named as Dolt names it."""
        with connect(graph.path) as connection:
            connection.execute("CALL DOLT_REMOTE('add', 'origin', %s)", f"file://{tmp_path}/remote")
            connection.execute("CALL DOLT_PUSH('origin', 'side')")
        for name in ("origin/side", "remotes/origin/side", "refs/remotes/origin/side", "origin/side~1"):
            assert graph.resolve(name) == ("grown" if "~" in name else "aside")

    @pytest.mark.parametrize(
        ("revision", "words"),
        [
            ("mian", "'main'"),
            ("yesterday", "'2024-05-07 12:38'"),
            ("mian~1", "'mian'"),
            ("", "''"),
            ("0" * 32, "commit"),
            ("abcd", "'abcd'"),
            ("HEAD~99", "ancestors"),
            ("HEAD^3", "ancestors"),
            ("WORKING", "uncommitted"),
            ("'; DROP TABLE t; --", "is called"),
            ("-x", "is called"),
            ("MAIN", "'MAIN'"),
            ("main@{1}", "is called"),
        ],
    )
    def test_what_is_nothing_is_refused(self, made_once: Graph, revision: str, words: str) -> None:
        """Each says what was looked for, and nothing is guessed."""
        with pytest.raises(RevisionNotFound, match=words):
            made_once.resolve(revision)


class TestTime:
    @pytest.mark.parametrize(
        ("when", "expected"),
        [
            (datetime(2024, 1, 10, 12), "created"),
            (datetime(2024, 2, 10, 11, 59, 59), "created"),
            (datetime(2024, 2, 10, 12, tzinfo=timezone.utc), "grown"),
            (datetime(2024, 2, 10, 13, 30, tzinfo=timezone(timedelta(hours=2))), "created"),
            (date(2024, 2, 9), "created"),
            (date(2024, 2, 10), "grown"),
            ("2024-02-10", "grown"),
            ("2024-02-10T11:00:00Z", "created"),
            (datetime(2024, 3, 1), "grown"),
            (datetime(2024, 4, 1), "other"),
            (datetime(2031, 1, 1), "merged"),
            (timedelta(microseconds=1), "merged"),
            (Ago(seconds=1), "merged"),
        ],
    )
    def test_a_time_is_the_state_that_the_branch_showed_then(
        self, made_once: Graph, when: object, expected: str
    ) -> None:
        """Naive is UTC, a date is its end, and what was merged later was not there yet: 20 February is not on main."""
        assert made_once.resolve(when) == expected

    def test_another_branch_was_elsewhere(self, made_once: Graph) -> None:
        """The time is looked up on the branch in question."""
        assert made_once.resolve(datetime(2024, 3, 20), on="side") == "aside"

    def test_months_go_back_by_the_calendar(self, made_once: Graph) -> None:
        """Ago and its text mean the same commit as the moment that they mean."""
        now = datetime.now(timezone.utc)
        months = (now.year - 2024) * 12 + now.month - 3
        expected = made_once.resolve(Ago(months=months).before(now))
        assert made_once.resolve(Ago(months=months)) == made_once.resolve(f"{months} months ago") == expected
        assert expected in ("grown", "other")

    def test_before_the_beginning_is_refused(self, made_once: Graph) -> None:
        """The error says where the history begins."""
        with pytest.raises(RevisionNotFound, match=r"'main'.*1999.*\w{32}"):
            made_once.resolve(datetime(1999, 1, 1))

    def test_on_no_branch(self, made_once: Graph) -> None:
        """A branch that is not there has no past."""
        with pytest.raises(BranchNotFound, match="'sid'.*'side'"):
            made_once.resolve(datetime(2024, 1, 1), on="sid")


class TestConfig:
    def test_a_table_and_a_query_are_read_as_of(self, graph: Graph) -> None:
        """as_of holds for tables and for all tables of a query."""
        assert read(graph.config())["id"].tolist() == [1, 7]
        assert read(graph.config(as_of="HEAD~1"))["id"].tolist() == [1]
        query = "select (select count(*) from t) t, (select count(*) from u) u"
        assert read(graph.config(sql=query, as_of="v1")).to_dict("records") == [{"t": 1, "u": 1}]
        assert read(graph.config(sql=query, as_of=datetime(2024, 3, 20))).to_dict("records") == [{"t": 1, "u": 2}]

    def test_a_table_of_the_query_may_name_its_own(self, graph: Graph) -> None:
        """AS OF in the query wins over as_of for that table."""
        query = "select (select count(*) from t) t, (select count(*) from u as of 'main') u"
        assert read(graph.config(sql=query, as_of="v1")).to_dict("records") == [{"t": 1, "u": 2}]

    def test_the_commit_is_fixed_once(self, graph: Graph) -> None:
        """After it is resolved, the branch may move: the reference keeps its commit, also as a dictionary."""
        table = api.pin(graph.config(as_of="HEAD~1"))
        write(graph.config(), pd.DataFrame({"id": [9]}))
        assert DoltTable.from_dict(table.to_dict()).data.id.tolist() == [1]

    @pytest.mark.parametrize(
        "given", ["v1", datetime(2024, 3, 1, 12), date(2024, 3, 1), timedelta(hours=1), Ago(months=1)]
    )
    def test_it_travels_as_text(self, given: object) -> None:
        """A config comes back equal, as text that needs no local time."""
        config = DoltConfig("foo", "t", as_of=given)
        assert DoltConfig.from_dict(config.to_dict()) == config
        assert isinstance(config.to_dict()["as_of"], str)

    def test_it_may_be_assigned_later(self, graph: Graph) -> None:
        """A plain dataclass: what is assigned counts as what is given."""
        config = graph.config()
        config.as_of = date(2024, 3, 20)
        assert config.to_dict()["as_of"] == "2024-03-20T23:59:59.999999+00:00"
        assert read(config).id.tolist() == [1]

    def test_before_the_table_existed(self, graph: Graph) -> None:
        """The error says when it first appeared, at once and not when the rows are touched."""
        grown = graph.commits["grown"]
        with pytest.raises(TableNotFound, match=f"{grown}.*2024-02-10T12:00:00") as caught:
            api.pin(graph.config(as_of="2024-01-15"))
        assert caught.value.first == grown
        with pytest.raises(TableNotFound, match="'main'"):
            api.pin(DoltConfig(str(graph.path), "tt", as_of="HEAD"))

    def test_a_missing_branch_is_said(self, graph: Graph) -> None:
        """HEAD of a branch that was never made is no commit; a hash needs no branch."""
        config = graph.config(branch_conf=NewBranch("run/1"), as_of="HEAD")
        with pytest.raises(BranchNotFound, match="'run/1'"):
            read(config)
        config.as_of = graph.commits["grown"]
        assert read(config).id.tolist() == [1]

    def test_the_past_is_not_written(self, graph: Graph) -> None:
        """A config with as_of stores nothing, and the error says what does."""
        with pytest.raises(InvalidConfig, match="restore"):
            write(graph.config(as_of="HEAD"), pd.DataFrame({"id": [1]}))

    @pytest.mark.parametrize(("wrong", "words"), [(7, "int")])
    def test_what_is_no_revision_is_refused(self, wrong: object, words: str) -> None:
        """A number names nothing."""
        with pytest.raises(InvalidConfig, match=words):
            DoltConfig("foo", "t", as_of=wrong)

    def test_empty_is_refused(self) -> None:
        """An empty text is a mistake, and not the present."""
        with pytest.raises(InvalidConfig, match="as_of"):
            DoltConfig("foo", "t", as_of=" ").check()


class TestWhatIsGone:
    def test_a_vanished_branch(self, graph: Graph, dolt_in: Callable[[Path], Dolt]) -> None:
        """A branch that was deleted is an error with the names that are there; its commits still read by hash."""
        dolt_in(graph.path)("branch", "-D", "side")
        with pytest.raises(RevisionNotFound, match="'side'"):
            graph.resolve("side")
        with pytest.raises(BranchNotFound, match="'side'"):
            read(graph.config(branch_conf=SerialBranch("side")))
        assert graph.resolve(graph.commits["aside"]) == "aside"

    def test_a_garbage_collected_hash(self, graph: Graph, dolt_in: Callable[[Path], Dolt]) -> None:
        """A commit that no branch led to is gone after a collection, and the reference to it says so."""
        lost = write(graph.config(branch_conf=NewBranch("run/1")), pd.DataFrame({"id": [5]}))
        dolt = dolt_in(graph.path)
        dolt("branch", "-D", "run/1")
        assert lost.commit is not None
        assert DoltTable.from_dict(lost.to_dict()).data.id.tolist() == [5]
        let_go(graph.path)
        dolt("gc")
        with pytest.raises(RevisionNotFound, match="clone"):
            graph.resolve(lost.commit.hash)
        with pytest.raises(RevisionNotFound, match="clone"):
            _ = DoltTable.from_dict(lost.to_dict()).data
        with pytest.raises(RevisionNotFound, match="commit"):
            read(graph.config(as_of=lost.commit.hash))

    def test_a_collection_under_a_running_server(self, graph: Graph) -> None:
        """The private server ends no session then: neither one in use, nor the one that asked for it."""
        with connect(graph.path) as connection:
            number = connection.number
            with connect(graph.path) as other:
                other.execute("CALL DOLT_GC()")
                assert other.query("SELECT COUNT(*) FROM t") == [(2,)]
            assert connection.query("SELECT id FROM t ORDER BY id") == [(1,), (7,)]
            assert connection.number == number
        assert read(graph.config()).id.tolist() == [1, 7]


def test_what_a_commit_holds_is_asked_once(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither whether it is there nor what its tables look like changes; on a branch both are asked for again."""
    commit = graph.commits["grown"]
    with connect(graph.path) as connection, connection.at(None):
        asked: list[str] = []
        ask, ask_each = connection.query, connection.queries
        monkeypatch.setattr(connection, "query", lambda *said: asked.append(said[0]) or ask(*said))
        monkeypatch.setattr(connection, "queries", lambda *said: asked.extend(said) or ask_each(*said))
        for expected in (3, 0):
            asked.clear()
            assert revisions.resolve(connection, commit).hash == commit
            with connection.at(commit):
                assert reading.describe(connection, "t") is not None
            assert len([said for said in asked if "HASHOF" in said or said.startswith("SHOW")]) == expected
        for number in range(2):
            asked.clear()
            name = f"added_{number}"
            connection.execute(f"ALTER TABLE t ADD COLUMN {name} INT")
            found = reading.describe(connection, "t")
            assert found is not None
            assert found.columns[-1].name == name
        connection.execute("CALL DOLT_RESET('--hard')")


@pytest.fixture
def dolt_in() -> Callable[[Path], Dolt]:
    """Give a function that gives the user's `dolt` in a folder."""

    def within(path: Path) -> Dolt:
        def run(*args: str) -> str:
            done = dolt_program.run(*args, cwd=path)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    return within


@pytest.fixture
def shallow(graph: Graph, dolt_in: Callable[[Path], Dolt], tmp_path: Path) -> Iterator[Path]:
    """Give a clone that has the newest commit only."""
    with connect(graph.path) as connection:
        connection.execute("CALL DOLT_REMOTE('add', 'origin', %s)", f"file://{tmp_path}/remote")
        write(graph.config(), pd.DataFrame({"id": [1, 7, 8]}))
        connection.execute("CALL DOLT_PUSH('origin', 'main')")
    dolt_in(tmp_path)("clone", "--depth", "1", f"file://{tmp_path}/remote", "shallow")
    yield tmp_path / "shallow"
    local_server.release(tmp_path / "shallow")


class TestShallowClone:
    def test_what_is_there_is_read(self, shallow: Path) -> None:
        """The newest state is whole."""
        config = DoltConfig(str(shallow), "t")
        assert read(config).id.tolist() == [1, 7, 8]
        config.as_of = timedelta(microseconds=1)
        assert read(config).id.tolist() == [1, 7, 8]

    @pytest.mark.parametrize("what", ["HEAD~1", "HEAD^", "hash", "2024-02-20"])
    def test_what_is_not_there_is_named(self, graph: Graph, shallow: Path, what: str) -> None:
        """Each way into the missing past is one error that says how to get it."""
        config = DoltConfig(str(shallow), "t", as_of=graph.commits["merged"] if what == "hash" else what)
        with pytest.raises(ShallowClone, match="shallow clone"):
            read(config)

    def test_a_reference_into_the_missing_past(self, graph: Graph, shallow: Path) -> None:
        """A table pinned in another clone is the same error, when its rows are touched."""
        reference = {"config": {"db_path": str(shallow), "tablename": "t"}, "commit": {"hash": graph.commits["merged"]}}
        with pytest.raises(ShallowClone, match="shallow clone"):
            _ = DoltTable.from_dict(reference).data

    def test_versions_need_the_past(self, shallow: Path) -> None:
        """What walks the history says that it ends."""
        with pytest.raises(ShallowClone, match="shallow clone"):
            versions(DoltConfig(str(shallow), "t"), last=2)


@pytest.mark.slow
@pytest.mark.serial
def test_a_thousand_commits_are_walked_whatever_the_tables_size(repo: Path) -> None:
    """Looking back over 1,000 commits takes as long beside 200,000 rows as beside 10: it never reads rows."""

    def commits(number: int) -> None:
        with connect(repo) as connection:
            for n in range(number):
                connection.execute("INSERT INTO small VALUES (%s)", n)
                connection.execute("CALL DOLT_COMMIT('-A', '-m', 'x')")
            connection.execute("DELETE FROM small")

    def seconds(config: DoltConfig) -> float:
        def once() -> float:
            begin = time.perf_counter()
            api.pin(config)
            assert len(versions(DoltConfig(config.db_path, config.tablename), last=2)) == 2
            return time.perf_counter() - begin

        return min(once() for _ in range(5))

    small = DoltConfig(str(repo), "t", primary_key=["id"])
    with connect(repo) as connection:
        connection.execute("CREATE TABLE small (n INT)")
    for first in (9, 10):
        write(small, pd.DataFrame({"id": range(first)}))
    commits(1000)
    before = seconds(DoltConfig(str(repo), "t", as_of="HEAD~1000"))
    timed = seconds(DoltConfig(str(repo), "t", as_of=datetime.now(timezone.utc)))
    big = DoltConfig(str(repo), "big", primary_key=["id"])
    for first in (199_999, 200_000):
        write(big, pd.DataFrame({"id": range(first)}))
    commits(1000)
    after = seconds(DoltConfig(str(repo), "big", as_of="HEAD~1000"))
    assert before < 1
    assert timed < 1
    assert after < 3 * before + 0.1, f"{before:.3f} s with 10 rows and 1,002 commits, {after:.3f} s with 200,000 rows"
