"""A task that reads a table, changes it and returns it loses nothing that others wrote to it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
from flytekit import map_task, task, workflow
from flytekit.core.context_manager import ExecutionState, FlyteContext, FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.core.identifier import Identifier, ResourceType, WorkflowExecutionIdentifier

from flytekitplugins.dolt import DoltConfig, DoltTable, MergeBranch, NewBranch, dolt_frame, pin, read, write
from flytekitplugins.dolt.errors import MergeConflict, TableMoved
from flytekitplugins.dolt.repository import refs

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

THREE = pd.DataFrame({"id": [1, 2, 3], "v": [10, 20, 30]})


@pytest.fixture
def main(config: Config) -> DoltConfig:
    """A table with a key and three rows."""
    main = config("t", primary_key=["id"])
    write(main, THREE)
    return main


def elsewhere(work: Callable[[], object]) -> None:
    """Do something as somebody else does: in a thread without a task."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised again below
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]


def somebody_adds(config: DoltConfig, *ids: int) -> None:
    """Let somebody else add rows to the table."""
    other = DoltConfig(config.db_path, "t", primary_key=["id"], mode="upsert")
    elsewhere(lambda: write(other, pd.DataFrame({"id": ids, "v": [10 * key for key in ids]})))


def ids(config: DoltConfig) -> list[int]:
    return [int(key) for key in read(config)["id"]]


def without(frame: pd.DataFrame, key: int) -> pd.DataFrame:
    return frame[frame["id"] != key].reset_index(drop=True)


def test_an_input_that_moved(main: DoltConfig) -> None:
    """The row that the task removes goes, the one that came meanwhile stays, in one commit of the task's."""

    @task
    def clean(table: DoltTable) -> DoltTable:
        frame = without(table.data, 1)
        somebody_adds(main, 4)
        return DoltTable(config=main, data=frame)

    table = clean(table=DoltTable(config=main))
    assert ids(main) == [2, 3, 4]
    newest, theirs, *_ = refs.log(Path(main.db_path))
    assert table.commit is not None
    assert (newest.hash, newest.parents) == (table.commit.hash, (theirs.hash,))
    assert "Flyte-Write-Key: " in str(newest.message)
    assert [int(key) for key in table.data["id"]] == [2, 3, 4]  # read from the commit, not what the task had


def test_what_the_task_reads_itself(main: DoltConfig) -> None:
    """`read` and `pin` in a task's code count as inputs do, and so does `write` there."""

    @task
    def clean(how: str) -> None:
        frame = without(read(main) if how == "read" else pin(main).data, 1)
        somebody_adds(main, 4)
        write(main, frame)

    for how in ("read", "pin"):
        write(main, THREE)
        clean(how=how)
        assert ids(main) == [2, 3, 4]


def test_plain_frames(main: DoltConfig) -> None:
    """A frame in a signature is read and written as a table is."""

    def clean(frame: Any) -> Any:
        somebody_adds(main, 4)
        return without(frame, 1)

    kind = Annotated[pd.DataFrame, dolt_frame(main)]
    clean.__annotations__ = {"frame": kind, "return": kind}
    task(clean)(frame=main)
    assert ids(main) == [2, 3, 4]


def test_rows_that_both_changed(main: DoltConfig) -> None:
    """The task fails with the rows, and nothing is written; it does not run again by itself with the same input."""

    @task
    def double(table: DoltTable) -> DoltTable:
        frame = table.data.assign(v=table.data["v"] * 2)
        other = DoltConfig(main.db_path, "t", primary_key=["id"], mode="upsert")
        elsewhere(lambda: write(other, pd.DataFrame({"id": [2], "v": [21]})))
        return DoltTable(config=main, data=frame)

    with pytest.raises(MergeConflict) as caught:
        double(table=DoltTable(config=main))
    (conflict,) = caught.value.conflicts
    assert conflict.rows == ({"base": {"id": 2, "v": 20}, "ours": {"id": 2, "v": 21}, "theirs": {"id": 2, "v": 40}},)
    assert read(main)["v"].tolist() == [10, 21, 30]


@pytest.mark.parametrize(
    "part", [{"columns": ["id"]}, {"tablename": None, "sql": "select * from t where id > 1"}], ids=["columns", "sql"]
)
def test_a_part_that_was_read(main: DoltConfig, part: dict[str, Any]) -> None:
    """It does not say what the task changes: refused where the table moved, replaced where it did not."""
    source = DoltConfig(main.db_path, **{"tablename": "t", **part})

    @task
    def rebuild(table: DoltTable, moves: bool, on_moved: str) -> DoltTable:
        frame = pd.DataFrame({"id": table.data["id"], "v": 0})
        if moves:
            somebody_adds(main, 4)
        target = DoltConfig(main.db_path, "t", primary_key=["id"], on_moved=on_moved or None)
        return DoltTable(config=target, data=frame)

    with pytest.raises(TableMoved, match="part"):
        rebuild(table=DoltTable(config=source), moves=True, on_moved="")
    assert ids(main) == [1, 2, 3, 4]
    rebuild(table=DoltTable(config=source), moves=True, on_moved="replace")
    rebuild(table=DoltTable(config=source), moves=False, on_moved="")
    assert set(read(main)["v"]) == {0}


def test_two_states_that_were_read(main: DoltConfig) -> None:
    """Which of them the frame was made from is not known."""

    @task
    def mix(table: DoltTable) -> DoltTable:
        first = table.data
        somebody_adds(main, 4)
        second = read(main)
        return DoltTable(config=main, data=without(pd.concat([first, second]).drop_duplicates(), 1))

    with pytest.raises(TableMoved, match="more than one"):
        mix(table=DoltTable(config=main))
    assert ids(main) == [1, 2, 3, 4]


def test_tables_that_are_only_passed_on(main: DoltConfig) -> None:
    """Rows that were never looked at are no basis: the task makes the table from something else."""

    @task
    def rebuild(table: DoltTable) -> DoltTable:
        somebody_adds(main, 4)
        return DoltTable(config=main, data=pd.DataFrame({"id": [9], "v": [90]}))

    rebuild(table=DoltTable(config=main))
    assert ids(main) == [9]


def test_a_fixed_input_gives_the_same_table_again(main: DoltConfig) -> None:
    """An input of before the task began, as a cache or a relaunched workflow gives, is replaced by what follows."""
    fixed = pin(main)

    @task
    def clean(table: DoltTable) -> DoltTable:
        return DoltTable(config=main, data=without(table.data, 1))

    clean(table=fixed)
    somebody_adds(main, 4)
    clean(table=fixed)
    assert ids(main) == [2, 3]


def test_merging_a_fixed_input(main: DoltConfig) -> None:
    """Who asks for it has changes merged, of whatever age the input is."""
    fixed = pin(main)
    somebody_adds(main, 4)
    target = DoltConfig(main.db_path, "t", primary_key=["id"], on_moved="merge")

    @task
    def clean(table: DoltTable) -> DoltTable:
        return DoltTable(config=target, data=without(table.data, 1))

    clean(table=fixed)
    assert ids(main) == [2, 3, 4]


def test_the_past_and_other_branches(main: DoltConfig) -> None:
    """Putting back what was, and promoting what a branch has, replace the table as they say."""
    somebody_adds(main, 4)

    @task
    def put_back(table: DoltTable) -> DoltTable:
        frame = table.data
        somebody_adds(main, 5)
        return DoltTable(config=main, data=frame)

    put_back(table=DoltTable(config=DoltConfig(main.db_path, "t", as_of="main~1")))
    assert ids(main) == [1, 2, 3]
    run = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=NewBranch("run/1", base="main"))
    write(run, pd.DataFrame({"id": [7], "v": [70]}))
    put_back(table=DoltTable(config=run))
    assert ids(main) == [7]


def test_a_merge_from_what_was_read(main: DoltConfig) -> None:
    """`MergeBranch` in a task starts at what it read, so its changes meet those of others."""
    merged = DoltConfig(main.db_path, "t", primary_key=["id"], branch_conf=MergeBranch("run/1", into="main"))

    @task
    def clean(table: DoltTable) -> DoltTable:
        frame = without(table.data, 1)
        somebody_adds(main, 4)
        return DoltTable(config=merged, data=frame)

    clean(table=DoltTable(config=main))
    assert ids(main) == [2, 3, 4]


def test_two_tasks_of_one_local_workflow(main: DoltConfig) -> None:
    """Each changes what was there when the workflow began: both changes are there."""

    @task
    def drop(table: DoltTable, key: int) -> DoltTable:
        return DoltTable(config=main, data=without(table.data, key))

    @workflow
    def both(table: DoltTable) -> tuple[DoltTable, DoltTable]:
        return drop(table=table, key=1), drop(table=table, key=2)

    both(table=DoltTable(config=main))
    assert ids(main) in ([3], [1, 3])  # by whether the second finds the table at its new commit, or at the first


def test_a_map_task_does_as_before(main: DoltConfig) -> None:
    """Each index replaces the table: what another index of the same map wrote is no work of others."""

    @task
    def alone(table: DoltTable, key: int) -> DoltTable:
        return DoltTable(config=main, data=table.data[table.data["id"] == key].reset_index(drop=True))

    @workflow
    def each(tables: list[DoltTable], keys: list[int]) -> list[DoltTable]:
        return map_task(alone)(table=tables, key=keys)

    each(tables=[pin(main)] * 3, keys=[1, 2, 3])
    assert len(ids(main)) == 1


# ------------------------------------------------------------------------------------------------------ on a cluster


@contextmanager
def pod(execution: str, node: str, index: int = 0) -> Iterator[FlyteContext]:
    """Have the context of a task that runs on a cluster, as one index of a map task."""
    base = FlyteContextManager.current_context()
    assert base.user_space_params is not None
    assert base.execution_state is not None
    builder = base.user_space_params.builder()
    builder.execution_id = WorkflowExecutionIdentifier("proj", "dev", execution)
    builder.task_id = Identifier(ResourceType.TASK, "proj", "dev", "my.task", "v1")
    builder.output_metadata_prefix = f"s3://x/{execution}/{node}/data/0/{index}/0"
    state = base.execution_state.with_params(mode=ExecutionState.Mode.TASK_EXECUTION, user_space_params=builder.build())
    with FlyteContextManager.with_context(base.with_execution_state(state)) as ctx:
        yield ctx


def taken(ctx: FlyteContext, table: DoltTable) -> DoltTable:
    """Return what a task gets for an input."""
    literal = TypeEngine.to_literal(ctx, table, DoltTable, TypeEngine.to_literal_type(DoltTable))
    found = TypeEngine.to_python_value(ctx, literal, DoltTable)
    assert isinstance(found, DoltTable)
    return found


def returned(ctx: FlyteContext, config: DoltConfig, frame: pd.DataFrame) -> None:
    """Return a table from a task."""
    table = DoltTable(config=config, data=frame)
    TypeEngine.to_literal(ctx, table, DoltTable, TypeEngine.to_literal_type(DoltTable))


@pytest.mark.parametrize(
    ("other", "left"),
    [(("e", "n1", 1), [1]), (("e", "n2", 0), [1, 4]), (("f", "n1", 1), [1, 4])],
    ids=["another index of the map", "another node", "another execution"],
)
def test_pods_that_write_the_same_table(main: DoltConfig, other: tuple[str, str, int], left: list[int]) -> None:
    """What the same node wrote is replaced as before, as a retry does; what others wrote is kept."""
    with pod("e", "n1") as ctx:
        frame = without(without(taken(ctx, DoltTable(config=main)).data, 2), 3)

        def elses() -> None:
            with pod(*other) as beside:
                seen = taken(beside, DoltTable(config=main)).data
                returned(beside, main, pd.concat([seen, pd.DataFrame({"id": [4], "v": [40]})], ignore_index=True))

        elsewhere(elses)
        returned(ctx, main, frame)
    assert ids(main) == left


def test_own_work_and_that_of_others(main: DoltConfig) -> None:
    """Where both came after what was read it is not clear what the frame changes."""
    with pod("e", "n1") as ctx:
        frame = taken(ctx, DoltTable(config=main)).data
        returned(ctx, main, without(frame, 1))
        somebody_adds(main, 4)
        with pytest.raises(TableMoved, match="own"):
            returned(ctx, main, without(frame, 2))
    assert ids(main) == [2, 3, 4]
