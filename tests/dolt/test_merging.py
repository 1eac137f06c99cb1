"""Merging: three-way and whole, or not at all, with the conflict told and both branches as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, DoltTests, MergeBranch, NewBranch, merge, read, write
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    ChecksFailed,
    InvalidConfig,
    MergeConflict,
    RevisionNotFound,
    UncommittedChanges,
)
from flytekitplugins.dolt.history.merging import Check
from flytekitplugins.dolt.model.naming import SCRATCH_PREFIX
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
RUN = NewBranch("run/1")


def put(config: DoltConfig, **rows: object) -> DoltTable:
    return write(config, pd.DataFrame(rows))


def heads(repo: Path) -> dict[str, str]:
    """Return every branch's head, scratch branches included."""
    with connect(repo) as connection:
        return dict(connection.query("SELECT name, hash FROM dolt_branches"))


def sql(repo: Path, *statements: str, on: str | None = None) -> None:
    """Run statements on a branch, and commit all."""
    with connect(repo) as connection, connection.at(on):
        for statement in statements:
            connection.execute(statement)
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--author', 'A <a@b.c>')")


@pytest.fixture
def base(config: Config, repo: Path) -> DoltConfig:
    """Give a table of two rows on main, and a branch `run/1` beside it."""
    table = config("t", primary_key=["id"])
    put(table, id=[1, 2], v=[1, 2])
    sql(repo, "call dolt_branch('run/1')", "create table other (n int)")
    return table


class TestMergeBranch:
    def test_both_sides_are_in_the_result(self, base: DoltConfig, config: Config, repo: Path) -> None:
        """Rows that main got meanwhile stay; the merge commit has main first, then the run's commit."""
        put(base, id=[1, 2, 3], v=[1, 2, 3])
        table = put(config("t", branch_conf=MergeBranch("run/1", into="main")), id=[1, 2], v=[1, 9])
        assert read(base).to_dict("list") == {"id": [1, 2, 3], "v": [1, 9, 3]}
        newest = refs.log(repo, "main", limit=1)[0]
        assert table.commit is not None
        assert (table.commit.hash, table.commit.branch) == (newest.hash, "main")
        assert newest.parents[1] == heads(repo)["run/1"]
        assert str(newest.message).startswith("Merge run/1 into main\n\nWritten by flytekitplugins.dolt")
        assert read(config("t", branch_conf=MergeBranch("run/1", into="main"))).v.tolist() == [1, 9, 3]

    def test_a_conflict_leaves_both_branches(self, base: DoltConfig, config: Config, repo: Path) -> None:
        """The error has tables, counts, and the rows of both sides and their base; nothing has moved."""
        put(base, id=[1, 2], v=[1, 7])
        before = heads(repo)
        with pytest.raises(MergeConflict, match="'t' .*1 ") as caught:
            put(config("t", branch_conf=MergeBranch("run/1", into="main")), id=[1, 2], v=[1, 8])
        (conflict,) = caught.value.conflicts
        assert (conflict.table, conflict.kind, conflict.count) == ("t", "rows", 1)
        assert conflict.rows == ({"base": {"id": 2, "v": 2}, "ours": {"id": 2, "v": 7}, "theirs": {"id": 2, "v": 8}},)
        assert heads(repo) == before
        assert not any(name.startswith(SCRATCH_PREFIX) for name in before)

    def test_a_new_branch_starts_from_into(self, base: DoltConfig, config: Config) -> None:
        """A missing branch is made of what it will be merged into."""
        put(config("t", branch_conf=MergeBranch("run/new", into="main"), mode="append"), id=[5], v=[5])
        assert read(base).id.tolist() == [1, 2, 5]

    def test_the_same_again_changes_nothing(self, base: DoltConfig, config: Config, repo: Path) -> None:
        """A repeated run makes neither a commit nor a merge."""
        run = config("t", branch_conf=MergeBranch("run/1", into="main"))
        first = put(run, id=[1], v=[1])
        before = heads(repo)
        assert put(run, id=[1], v=[1]).commit == first.commit
        assert heads(repo) == before

    def test_it_travels_through_a_workflow(self, base: DoltConfig, config: Config) -> None:
        """As a policy of a config it comes through a literal, and the next task reads the merged table."""

        @task
        def fill(conf: DoltConfig) -> DoltTable:
            return DoltTable(config=conf, data=pd.DataFrame({"id": [1, 2, 6], "v": [1, 2, 6]}))

        @task
        def count(table: DoltTable) -> int:
            return len(table.data)

        @workflow
        def wf(conf: DoltConfig) -> int:
            return count(table=fill(conf=conf))

        assert wf(conf=config("t", branch_conf=MergeBranch("run/1", into="main"))) == 3
        assert read(base).id.tolist() == [1, 2, 6]

    def test_into_itself_is_refused(self) -> None:
        """A branch is not merged into itself."""
        with pytest.raises(InvalidConfig, match="itself"):
            MergeBranch("main", into="main")

    def test_into_nothing_is_refused(self, base: DoltConfig, config: Config) -> None:
        """What is merged into has to be there."""
        with pytest.raises(BranchNotFound, match="'nope'"):
            put(config("t", branch_conf=MergeBranch("run/1", into="nope")), id=[1], v=[1])


class TestConflicts:
    def test_a_broken_constraint(self, base: DoltConfig, repo: Path) -> None:
        """Both sides are right alone, and the result has a child without its parent."""
        sql(repo, "create table c (id int primary key, t_id bigint, foreign key (t_id) references t (id))")
        sql(repo, "call dolt_branch('drop')", "insert into c values (1, 2)")
        sql(repo, "delete from t where id = 2", on="drop")
        before = heads(repo)
        with pytest.raises(MergeConflict, match="'c' .*1 .*foreign key") as caught:
            merge("drop", db_path=repo)
        assert [(c.table, c.kind, c.count) for c in caught.value.conflicts] == [("c", "constraints", 1)]
        assert heads(repo) == before

    def test_another_schema(self, base: DoltConfig, repo: Path) -> None:
        """One column cannot have two types."""
        sql(repo, "alter table t modify v varchar(9)", on="run/1")
        sql(repo, "alter table t modify v double")
        with pytest.raises(MergeConflict, match="schema conflicts"):
            merge("run/1", db_path=repo)

    def test_the_users_work_is_in_the_way(self, base: DoltConfig, config: Config, repo: Path) -> None:
        """Uncommitted rows in a table that the merge changes stop it; in another table they stay."""
        put(config("t", branch_conf=RUN), id=[1], v=[1])
        with connect(repo) as connection:
            connection.execute("INSERT INTO other VALUES (1)")
        merge("run/1", db_path=repo)
        put(config("t", branch_conf=RUN), id=[1], v=[3])
        with connect(repo) as connection:
            assert connection.query("SELECT * FROM other") == [(1,)]
            connection.execute("INSERT INTO t VALUES (9, 9)")
        with pytest.raises(UncommittedChanges, match="'t'"):
            merge("run/1", db_path=repo)
        with connect(repo) as connection:
            assert connection.query("SELECT id FROM t ORDER BY id") == [(1,), (9,)]


class TestChecks:
    @pytest.fixture
    def audited(self, base: DoltConfig, config: Config) -> DoltConfig:
        """Give the config of a run's branch with one row below zero."""
        run = config("t", branch_conf=RUN)
        put(run, id=[1, 2, 3], v=[1, 2, -3])
        return run

    def test_what_passes_is_published(self, audited: DoltConfig, base: DoltConfig, repo: Path) -> None:
        """All kinds of checks see the merged result, and then it is on main."""
        sql(repo, "insert into dolt_tests values ('rows', 'g', 'select * from t', 'expected_rows', '>=', '3')")
        checks = {
            "no zero": "select * from t where v = 0",
            "enough": lambda query: len(query("select * from t")) == 3,
            "tests": DoltTests("g"),
        }
        commit = merge("run/1", db_path=repo, into="main", checks=checks, message="Publish it")
        assert read(base).v.tolist() == [1, 2, -3]
        newest = refs.log(repo, limit=1)[0]
        assert (newest.hash, newest.message) == (commit.hash, "Publish it")

    @pytest.mark.parametrize("check", ["select * from t where v < 0", DoltTests("g"), lambda query: False], ids=str)
    def test_one_check_stands_alone(self, audited: DoltConfig, repo: Path, check: Check) -> None:
        """It need not be in a list; the characters of a text are no checks."""
        sql(repo, "insert into dolt_tests values ('few', 'g', 'select * from t', 'expected_rows', '<', '3')")
        with pytest.raises(ChecksFailed, match="1 of 1"):
            merge("run/1", db_path=repo, checks=check)

    def test_what_fails_is_kept(self, audited: DoltConfig, base: DoltConfig, repo: Path) -> None:
        """Every failed check is named with its reason; main and the branch are as they were."""
        sql(repo, "insert into dolt_tests values ('few', 'g', 'select * from t', 'expected_rows', '<', '3')")
        before = heads(repo)

        def none_below_zero(query: Callable[[str], pd.DataFrame]) -> bool:
            return bool((query("select v from t").v >= 0).all())

        def with_words(query: Callable[[str], pd.DataFrame]) -> None:
            assert query("select 1 one").one[0] == 2, "one is not two"

        checks = [
            none_below_zero,
            with_words,
            "select id, v from t where v < 0",
            DoltTests("g"),
            "select * from t where 0",
        ]
        with pytest.raises(ChecksFailed, match="4 of 5") as caught:
            merge("run/1", db_path=repo, checks=checks)
        failed = caught.value.failed
        assert failed["none_below_zero"] == "returned False"
        assert failed["with_words"].startswith("failed: one is not two")
        assert failed["select id, v from t where v < 0"] == "found 1 rows, first {'id': 3, 'v': -3}"
        assert "few" in failed["dolt_tests g"]
        assert heads(repo) == before
        assert read(audited).v.tolist() == [1, 2, -3]

    def test_merged_already(self, audited: DoltConfig, repo: Path) -> None:
        """The second merge of the same changes nothing."""
        assert merge("run/1", db_path=repo).hash == merge("run/1", db_path=repo).hash

    def test_an_unknown_branch(self, base: DoltConfig, repo: Path) -> None:
        """It is said, on either side."""
        with pytest.raises(RevisionNotFound, match="'run/1'"):
            merge("run/11", db_path=repo)
        with pytest.raises(BranchNotFound, match="'mian'"):
            merge("run/1", db_path=repo, into="mian")
