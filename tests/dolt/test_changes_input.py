"""Changes as an input: what differs between two states, and incremental work that misses and repeats nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from flytekit import task, workflow

from flytekitplugins.dolt import (
    LAST_CONSUMED,
    Changes,
    DoltConfig,
    DoltTable,
    NewBranch,
    create_repository,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.errors import InvalidConfig, RevisionNotFound, SchemaMismatch, TableNotFound
from flytekitplugins.dolt.server import local_server

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def put(config: DoltConfig, **rows: object) -> DoltTable:
    return write(config, pd.DataFrame(rows))


class TestChanges:
    def test_the_rows_of_the_last_commit(self, config: Config) -> None:
        """Only what the newest commit did is read, of the kinds that are asked for."""
        put(config("t", primary_key=["id"]), id=[1, 2], v=[1, 2])
        put(config("t"), id=[2, 3], v=[9, 3])
        all_kinds = read(config("t", changes=Changes(since="HEAD~1")))
        assert all_kinds.diff_type.tolist() == ["removed", "modified", "added"]
        added = read(config("t", changes=Changes(since="HEAD~1", kinds=("added",))))
        assert added.to_dict("records") == [{"diff_type": "added", "id": 3, "v": 3}]

    def test_both_ends_are_fixed_once(self, config: Config) -> None:
        """A pinned table of changes gives the same rows for ever, also when it has travelled."""
        first = put(config("t", primary_key=["id"]), id=[1])
        put(config("t"), id=[1, 2])
        table = pin(config("t", changes=Changes(since="HEAD~1")))
        put(config("t"), id=[1, 2, 3])
        again = DoltTable.from_dict(table.to_dict())
        assert again.data is not None
        assert again.data.id.tolist() == [2]
        assert again.config.changes is not None
        assert first.commit is not None
        assert again.config.changes.since == first.commit.hash

    def test_since_a_branch_a_table_and_nothing(self, config: Config) -> None:
        """What is compared with can be a branch, a table at a commit, or nothing at all."""
        first = put(config("t", primary_key=["id"]), id=[1])
        run = config("t", branch_conf=NewBranch("run/1"))
        put(run, id=[1, 2])
        run.changes = Changes(since="main")
        assert read(run).id.tolist() == [2]
        run.changes = Changes(since=first, until="main")
        assert len(read(run)) == 0
        run.changes = Changes()
        assert read(run).id.tolist() == [1, 2]

    def test_a_new_column_in_between(self, config: Config) -> None:
        """Columns of both schemas are in the frame."""
        put(config("t", primary_key=["id"]), id=[1], v=[1])
        put(config("t", on_schema_change="evolve"), id=[1, 2], v=[1, 2], w=["x", "y"])
        found = read(config("t", changes=Changes(since="HEAD~1")))
        assert found[["diff_type", "id", "w"]].to_dict("list") == {
            "diff_type": ["modified", "added"],
            "id": [1, 2],
            "w": ["x", "y"],
        }
        chosen = read(config("t", changes=Changes(since="HEAD~1"), columns=["v"]))
        assert list(chosen.columns) == ["diff_type", "v", "before_v"]

    def test_each_run_has_the_same_columns(self, config: Config) -> None:
        """The first run, before which there was no table, one without news and a later one look alike."""
        put(config("t", primary_key=["id"]), id=[1, 2], v=["a", "b"])
        first = read(config("t", changes=Changes()))
        assert first.drop(columns="before_v").to_dict("list") == {
            "diff_type": ["added", "added"],
            "id": [1, 2],
            "v": ["a", "b"],
        }
        assert first.before_v.isna().all()
        empty = read(config("t", changes=Changes(since="HEAD")))
        put(config("t"), id=[1, 2], v=["a", "c"])
        later = read(config("t", changes=Changes(since="HEAD~1")))
        assert [list(found.columns) for found in (empty, later)] == [list(first.columns)] * 2
        assert later.before_v.tolist() == ["b"]
        only_added = read(config("t", changes=Changes(kinds=("added",))))
        assert list(only_added.columns) == ["diff_type", "id", "v"]

    def test_what_makes_no_sense_is_refused(self, config: Config) -> None:
        """Each contradiction is one error, before anything is read."""
        with pytest.raises(InvalidConfig, match="added, modified, removed"):
            Changes(kinds=("new",))
        with pytest.raises(InvalidConfig, match=r"'added'.*text.*\('added',\)"):
            Changes(kinds="added")  # type: ignore[arg-type]
        with pytest.raises(InvalidConfig, match="before_values='no'"):
            Changes(before_values="no")  # type: ignore[arg-type]
        with pytest.raises(InvalidConfig, match="table"):
            Changes(since=LAST_CONSUMED)
        with pytest.raises(InvalidConfig, match="table"):
            config(sql="select 1", changes=Changes()).check()
        with pytest.raises(InvalidConfig, match="twice"):
            config("t", as_of="HEAD", changes=Changes(until="HEAD")).check()
        put(config("t"), id=[1])
        with pytest.raises(InvalidConfig, match="changes"):
            put(config("t", changes=Changes()), id=[1])
        with pytest.raises(RevisionNotFound, match="'nope'"):
            read(config("t", changes=Changes(since="nope")))
        with pytest.raises(TableNotFound, match="'u'"):
            read(config("u", changes=Changes()))
        with pytest.raises(SchemaMismatch, match="'x'.*'t'"):
            read(config("t", changes=Changes(), columns=["x"]))
        with pytest.raises(InvalidConfig, match="changed"):
            next(pin(config("t", changes=Changes())).iter())


class TestConsumer:
    @pytest.fixture
    def parts(self, config: Config) -> tuple[DoltConfig, DoltConfig, DoltConfig]:
        """Give the configs of a source, of a log that is appended to, and of the source's unread changes."""
        source, sink = config("orders", primary_key=["id"]), config("log", mode="append")
        put(source, id=[1, 2])
        unread = config("orders", changes=Changes(since=LAST_CONSUMED, kinds=("added",), into=sink))
        return source, sink, unread

    def test_each_change_is_consumed_once(self, parts: tuple[DoltConfig, DoltConfig, DoltConfig]) -> None:
        """Run after run a task gets what is new, and what comes in while it runs is for the next run."""
        source, sink, unread = parts

        @task
        def consume(changed: DoltTable, into: DoltConfig, late: bool) -> DoltTable:
            if late:
                put(source, id=[1, 2, 3, 4])
            return DoltTable(data=changed.data[["id"]], config=into)

        @workflow
        def wf(changed: DoltTable, into: DoltConfig, late: bool) -> DoltTable:
            return consume(changed=changed, into=into, late=late)

        for late, expected in ((True, [1, 2]), (False, [1, 2, 3, 4]), (False, [1, 2, 3, 4])):
            wf(changed=DoltTable(config=unread), into=sink, late=late)
            assert sorted(read(DoltConfig(sink.db_path, "log")).id) == expected

    def test_a_failure_between_reading_and_writing_loses_nothing(
        self, parts: tuple[DoltConfig, DoltConfig, DoltConfig]
    ) -> None:
        """The position is in the commit that holds the rows: no commit, no step forward."""
        source, sink, unread = parts

        @task
        def consume(changed: DoltTable, into: DoltConfig, fail: bool) -> DoltTable:
            frame = changed.data[["id"]]
            if fail:
                raise ValueError("killed here")
            return DoltTable(data=frame, config=into)

        @workflow
        def wf(changed: DoltTable, into: DoltConfig, fail: bool) -> DoltTable:
            return consume(changed=changed, into=into, fail=fail)

        with pytest.raises(ValueError, match="killed here"):
            wf(changed=DoltTable(config=unread), into=sink, fail=True)
        put(source, id=[1, 2, 3])
        wf(changed=DoltTable(config=unread), into=sink, fail=False)
        wf(changed=DoltTable(config=unread), into=sink, fail=False)
        assert sorted(read(DoltConfig(sink.db_path, "log")).id) == [1, 2, 3]

    def test_scripts_say_what_they_consumed(self, parts: tuple[DoltConfig, DoltConfig, DoltConfig]) -> None:
        """Without Flyte the write is told; a position of another source or sink is not taken for it."""
        source, sink, unread = parts
        changed = pin(unread)
        assert changed.data is not None
        write(sink, changed.data[["id"]], consumed=changed)
        assert len(read(unread)) == 0
        put(source, id=[1, 2, 5])
        assert read(unread).id.tolist() == [5]
        other = DoltConfig(sink.db_path, "other")
        unread.changes = Changes(since=LAST_CONSUMED, kinds=("added",), into=other)
        assert len(read(unread)) == 3
        with pytest.raises(InvalidConfig, match="pin"):
            write(sink, changed.data[["id"]], consumed=DoltTable(config=source))

    def test_the_sink_may_be_elsewhere(self, parts: tuple[DoltConfig, DoltConfig, DoltConfig], tmp_path: Path) -> None:
        """The position is in the repository of the sink, and goes back with its branch."""
        _, _, unread = parts
        elsewhere = create_repository(tmp_path / "bar", name="A", email="a@b.c")
        sink = DoltConfig(str(elsewhere), "log", mode="append", branch_conf=NewBranch("reports"))
        unread.changes = Changes(since=LAST_CONSUMED, into=sink)
        changed = pin(unread)
        assert changed.data is not None
        write(sink, changed.data[["id"]], consumed=changed)
        assert len(read(unread)) == 0
        unread.changes = Changes(since=LAST_CONSUMED, into=DoltConfig(str(elsewhere), "log"))
        assert len(read(unread)) == 2
        local_server.release(elsewhere)
