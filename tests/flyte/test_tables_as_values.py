"""Tables are values: no alias of a config, rows or an error, and what was fetched is no new data."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flytekit import dynamic, task, workflow

from flytekitplugins.dolt import Changes, DoltConfig, DoltTable, NewBranch, errors, pin, read, run_branches, write
from flytekitplugins.dolt.api.table import has_unsaved_rows

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
ONE = pd.DataFrame({"id": [1], "n": [10]})


@task
def rows_of(table: DoltTable) -> int:
    return len(table.data)


@pytest.fixture
def stored(config: Config) -> DoltConfig:
    """Give the config of a table with one row."""
    conf = config("t", primary_key=["id"])
    write(conf, ONE)
    return conf


def log(conf: DoltConfig) -> list[str]:
    """Return the hashes of the commits of the checked-out branch."""
    return read(DoltConfig(conf.db_path, sql="select commit_hash from dolt_log"))["commit_hash"].tolist()


class TestConfigs:
    def test_a_config_that_is_used_again(self, config: Config, repo: Path) -> None:
        """Each table keeps the branch that its config named when the table was made."""

        @task
        def sweep(conf: DoltConfig) -> list[DoltTable]:
            found = []
            for rate in (1, 2, 3):
                conf.branch_conf = NewBranch(f"run/{rate}")
                found.append(DoltTable(conf, pd.DataFrame({"id": [0], "rate": [rate]})))
            return found

        tables = sweep(conf=config("rates", primary_key=["id"]))
        assert [table.commit.branch for table in tables if table.commit] == ["run/1", "run/2", "run/3"]
        assert [table.data["rate"].tolist() for table in tables] == [[1], [2], [3]]
        assert sorted(branch.name for branch in run_branches(repo)) == ["run/1", "run/2", "run/3"]

    def test_what_becomes_of_the_config_that_was_given(self, config: Config) -> None:
        """Neither its fields nor the lists in them are shared, in whatever way the table got it."""
        given = config("t", primary_key=["id"], io_args={"columns": ["id"]})
        table, assigned = DoltTable(given), DoltTable(config("other"))
        assigned.config = given
        given.tablename = "u"
        given.primary_key.append("n")  # type: ignore[union-attr]
        given.io_args["columns"].append("n")  # type: ignore[index]
        for kept in (table.config, assigned.config):
            assert kept == config("t", primary_key=["id"], io_args={"columns": ["id"]})
        table.config.tablename = "v"
        assert (given.tablename, table.config.tablename, assigned.config.tablename) == ("u", "v", "t")

    def test_a_config_that_is_none(self, config: Config) -> None:
        """What cannot be copied is kept for the check to say; a config of another config is a copy, too."""
        params: Any = {"x": (n for n in [1])}
        with pytest.raises(errors.InvalidConfig, match="'x'"):
            DoltTable(config(sql="select :x", params=params)).config.check()
        inner = config("t", changes=Changes(since="main", into=config("u")))
        kept = DoltTable(inner).config
        assert kept == inner
        assert kept.changes.into is not inner.changes.into  # type: ignore[union-attr]


class TestRows:
    def test_in_a_script(self, stored: DoltConfig) -> None:
        """A table without a commit reads the rows as they are now, and is at their commit from then on."""
        table = DoltTable(stored)
        assert table.commit is None
        pd.testing.assert_frame_equal(table.data, ONE)
        assert table.commit == pin(stored).commit
        write(stored, ONE.assign(n=11))
        assert table.data["n"].tolist() == [10]
        assert DoltTable(stored).data["n"].tolist() == [11]

    def test_a_table_that_is_not_there_yet(self, stored: DoltConfig) -> None:
        """It raises, and is not at a commit where it is not; later it reads what there is then."""
        later = DoltTable(DoltConfig(stored.db_path, "later"))
        with pytest.raises(errors.TableNotFound, match="'later'"):
            _ = later.data
        assert later.commit is None
        write(later.config, ONE)
        assert later.data["n"].tolist() == [10]

    @pytest.mark.parametrize("way", ["data of a pinned one", "data", "iter", "open"])
    def test_while_a_workflow_is_compiled(self, stored: DoltConfig, way: str) -> None:
        """No rows are read in the body of a workflow, which runs before any task has."""
        table, loose = pin(stored), DoltTable(stored)

        @workflow
        def wf() -> int:
            if way == "iter":
                list(table.iter())
            elif way == "open":
                with table.open() as reader:
                    reader.read_all()
            else:
                _ = loose.data if way == "data" else table.data
            return rows_of(table=loose)

        with pytest.raises(errors.NotInTask, match="'t'"):
            wf()
        assert (table.is_loaded, loose.commit) == (False, None)

    def test_in_a_dynamic_task(self, stored: DoltConfig) -> None:
        """Its body runs with the rows that are there, and reads them."""

        @dynamic
        def twice(table: DoltTable) -> int:
            assert table.data["n"].tolist() == [10]
            return rows_of(table=table)

        assert twice(table=DoltTable(stored)) == 1


class TestWhatWasFetched:
    @pytest.mark.parametrize("options", [{"tablename": "t"}, {"tablename": "t", "as_of": "main"}])
    def test_a_table_is_passed_on(self, stored: DoltConfig, options: dict[str, Any]) -> None:
        """Looking at the rows makes no new data of them: the table is passed on at its commit."""

        @task
        def look(table: DoltTable) -> DoltTable:
            len(table.data)
            return table

        before = log(stored)
        table = DoltTable(DoltConfig(stored.db_path, **options))
        assert look(table=table).commit == pin(stored).commit
        assert log(stored) == before

    def test_a_query_that_never_gives_the_same(self, stored: DoltConfig) -> None:
        """Its rows are not read again to see whether they were changed; a change is still seen."""
        table = pin(DoltConfig(stored.db_path, sql="select rand() r, cast(n as decimal(5, 2)) d from t"))
        assert table.data["d"].tolist() == [Decimal("10.00")]
        assert not has_unsaved_rows(table)
        table.data["d"] = [Decimal("10.01")]
        assert has_unsaved_rows(table)

    def test_rows_that_a_task_changes_of_a_table_of_its_own(self, stored: DoltConfig) -> None:
        """They are written when it is returned, as those of an input; one that was only looked at stays as it is."""
        shared = DoltTable(stored)

        @task
        def change(n: int) -> DoltTable:
            if n:
                shared.data["n"] = [n]
            return shared

        assert change(n=0).commit is None
        changed = change(n=12)
        assert read(stored)["n"].tolist() == [12]
        assert changed.commit == pin(stored).commit
        assert (shared.commit, shared.is_loaded) == (None, False)


class TestWiring:
    def test_a_table_for_a_task_that_takes_a_frame(self, stored: DoltConfig) -> None:
        """The frame is the table's rows."""

        @task
        def use(df: pd.DataFrame) -> int:
            return len(df)

        @task
        def make(conf: DoltConfig) -> DoltTable:
            return DoltTable(conf)

        @workflow
        def wf(conf: DoltConfig) -> int:
            return use(df=make(conf=conf))

        assert wf(conf=stored) == len(read(stored))


def test_rows_under_the_config_of_another_table(config: Callable[..., DoltConfig]) -> None:
    """A table that gets the config of another one is written there; its commit is none of that table."""
    write(config("users"), pd.DataFrame({"a": [1, 2]}))

    @task
    def copied(table: DoltTable) -> DoltTable:
        assert len(table.data) == 2
        table.config = config("copy")
        return table

    assert copied(table=DoltTable(config("users"))).data["a"].tolist() == [1, 2]
    assert read(config("copy"))["a"].tolist() == [1, 2]
