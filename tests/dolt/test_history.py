"""The past of a table: its versions, its return, its names; and the branches that runs have left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from flytekit import map_task, task, workflow

from flytekitplugins.dolt import (
    CallbackMeta,
    DoltConfig,
    DoltTable,
    MergeBranch,
    NewBranch,
    delete_run_branches,
    delete_tag,
    first_appeared,
    read,
    restore,
    run_branches,
    tag,
    tags,
    versions,
    write,
)
from flytekitplugins.dolt.errors import (
    InvalidConfig,
    InvalidName,
    RevisionNotFound,
    TableNotFound,
    TagExists,
)
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def put(config: DoltConfig, *ids: int) -> DoltTable:
    return write(config, pd.DataFrame({"id": ids}))


@pytest.fixture
def t(config: Config) -> DoltConfig:
    """Give the config of a table with a key and three versions, with another table's commits between them."""
    table = config("t", primary_key=["id"])
    put(table, 1)
    put(config("other"), 1)
    put(table, 1, 2)
    put(config("other"), 2)
    put(table, 3)
    return table


class TestVersions:
    def test_newest_first_and_only_those_of_the_table(self, t: DoltConfig) -> None:
        """Commits of other tables are passed over; each version is pinned and reads as it was."""
        assert [table.data.id.tolist() for table in versions(t, last=2)] == [[3], [1, 2]]
        assert [len(table.data) for table in versions(t)] == [1, 2, 1]

    def test_as_of_is_where_they_begin(self, t: DoltConfig) -> None:
        """The past has its own last versions."""
        t.as_of = "HEAD~1"
        assert [table.data.id.tolist() for table in versions(t)] == [[1, 2], [1]]

    def test_a_merge_is_one_version(self, t: DoltConfig, config: Config) -> None:
        """What happened on the branch is not a state of main; the merge is."""
        run = config("t", branch_conf=NewBranch("run/1"))
        put(run, 3, 4)
        run.branch_conf = MergeBranch("run/1")
        put(run, 3, 4, 5)
        assert [table.data.id.tolist() for table in versions(t, last=2)] == [[3, 4, 5], [3]]

    def test_flytekit_maps_over_them(self, t: DoltConfig) -> None:
        """A list of pinned tables is the input of a map task."""

        @task
        def last_versions(config: DoltConfig) -> list[DoltTable]:
            return versions(config, last=3)

        @task
        def count(table: DoltTable) -> int:
            return len(table.data)

        @workflow
        def wf(config: DoltConfig) -> list[int]:
            return map_task(count)(table=last_versions(config=config))

        assert wf(config=t) == [1, 2, 1]

    def test_what_never_was_is_refused(self, t: DoltConfig, config: Config) -> None:
        """A table of no version, a query and no versions are no question."""
        with pytest.raises(TableNotFound, match="'main'"):
            versions(config("tt"))
        with pytest.raises(InvalidConfig, match="query"):
            versions(config(sql="select 1"))
        with pytest.raises(InvalidConfig, match="one"):
            versions(t, last=0)

    def test_it_first_appeared(self, t: DoltConfig, config: Config) -> None:
        """The first commit that has the table, also when it was gone for a while."""
        first = versions(t)[-1].commit
        assert first is not None
        assert first_appeared(t).hash == first.hash
        with pytest.raises(TableNotFound, match="never"):
            first_appeared(config("nope"))


class TestRestore:
    def test_a_function_that_only_code_knows_is_no_hindrance(self, config: Config) -> None:
        """Restoring takes the config as it is, and sends it nowhere."""
        first = put(config("t"), 1)
        put(config("t"), 2)
        restore(config("t", meta_conf=CallbackMeta(lambda entry: None)), first)
        assert read(config("t")).id.tolist() == [1]

    def test_the_past_comes_back_as_a_new_commit(self, t: DoltConfig, repo: Path) -> None:
        """Rows and schema are those of the version, and the history has one commit more."""
        before = refs.log(repo)
        oldest = versions(t)[-1]
        table = restore(t, oldest, message="Back to the beginning")
        assert table.data.id.tolist() == read(t).id.tolist() == [1]
        after = refs.log(repo)
        assert after[1:] == before
        assert after[0].message == "Back to the beginning"
        assert restore(t, oldest).commit == table.commit

    def test_a_dropped_table_comes_back(self, t: DoltConfig, repo: Path) -> None:
        """A table that is gone is restored with its key."""
        with connect(repo) as connection:
            connection.execute("DROP TABLE t")
            connection.execute("CALL DOLT_COMMIT('-A', '-m', 'gone')")
        restore(t, "HEAD~1")
        assert read(t).id.tolist() == [3]
        put(t, 4)

    def test_onto_another_branch(self, t: DoltConfig, config: Config) -> None:
        """Only the config's branch is written to."""
        run = config("t", branch_conf=NewBranch("run/1"))
        restore(run, versions(t)[1])
        assert (read(run).id.tolist(), read(t).id.tolist()) == ([1, 2], [3])

    def test_to_nowhere_is_refused(self, t: DoltConfig, config: Config) -> None:
        """No state, and a state without the table, are said."""
        with pytest.raises(InvalidConfig, match="state"):
            restore(t)
        with pytest.raises(TableNotFound, match="commit"):
            restore(t, "HEAD~5")
        with pytest.raises(InvalidConfig, match="commit"):
            restore(t, DoltTable(config=t))


class TestTags:
    def test_a_write_gives_its_commit_a_name(self, config: Config, repo: Path) -> None:
        """The tag is on the commit, and the same write again is no error."""
        release = config("t", tag="release/1")
        table = put(release, 1)
        assert put(release, 1).commit == table.commit
        assert table.commit is not None
        assert [(found.name, found.commit.hash) for found in tags(repo)] == [("release/1", table.commit.hash)]
        assert read(config("t", as_of="release/1")).id.tolist() == [1]

    def test_a_taken_tag_stops_the_write(self, config: Config, repo: Path) -> None:
        """A tag is for ever: the other write is refused before anything is published."""
        put(config("t", tag="v1"), 1)
        before = refs.log(repo)
        with pytest.raises(TagExists, match="'v1'"):
            put(config("t", tag="v1"), 2)
        assert refs.log(repo) == before

    def test_tags_are_made_listed_and_deleted(self, t: DoltConfig, repo: Path) -> None:
        """By hand, on a version or a revision, with a message."""
        tag("old", versions(t)[-1], message="the first")
        tag("old", versions(t)[-1])
        tag("new", db_path=repo)
        assert [(found.name, found.message) for found in tags(repo)] == [("new", ""), ("old", "the first")]
        with pytest.raises(TagExists, match="name"):
            tag("old", db_path=repo)
        assert delete_tag("old", db_path=repo).message == "the first"
        with pytest.raises(RevisionNotFound, match="none"):
            delete_tag("old", db_path=repo)
        for wrong in ("a b", "HEAD", "", "-x"):
            with pytest.raises(InvalidName, match="tag"):
                tag(wrong, db_path=repo)
        with pytest.raises(InvalidConfig, match="table"):
            tag("x")


class TestRunBranches:
    def test_old_ones_go_and_the_rest_stays(self, t: DoltConfig, config: Config, repo: Path) -> None:
        """By age and prefix; never the checked-out branch, never one with uncommitted work."""
        for name in ("run/1", "run/2", "mine"):
            put(config("t", branch_conf=NewBranch(name)), 9)
        with connect(repo) as connection, connection.at("run/2"):
            connection.execute("INSERT INTO t VALUES (77)")
        assert delete_run_branches(repo, older_than=timedelta(hours=1)) == []
        listed = {branch.name: branch.kept for branch in run_branches(repo)}
        assert listed == {"run/1": None, "run/2": "it has uncommitted work"}
        assert [branch.name for branch in delete_run_branches(repo, older_than=timedelta(0))] == ["run/1"]
        assert set(refs.branches(repo)) == {"main", "mine", "run/2"}
        assert [branch.kept for branch in run_branches(repo, prefix="main")] == ["it is checked out"]
        assert delete_run_branches(repo, older_than=timedelta(0), prefix="main") == []

    @pytest.mark.parametrize("prefix", ["", "flyte-tmp/", "fly"])
    def test_a_prefix_is_needed(self, repo: Path, prefix: str) -> None:
        """All branches, or those that writers are using, are not to be asked for."""
        with pytest.raises(InvalidConfig, match="prefix"):
            delete_run_branches(repo, older_than=timedelta(0), prefix=prefix)
