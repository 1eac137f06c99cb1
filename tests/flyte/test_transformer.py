"""The border to Flyte: what travels, what is committed when, and which words the commit carries."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from flytekit import dynamic, task, workflow
from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.core.identifier import Identifier, ResourceType, WorkflowExecutionIdentifier
from flytekit.models.literals import Literal, Scalar
from google.protobuf.struct_pb2 import Struct

from flytekitplugins.dolt import Branch, DoltConfig, DoltTable, NewBranch, SerialBranch, read, write
from flytekitplugins.dolt.api.table import resolve
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.schema import Commit

Config = Callable[..., DoltConfig]


def commits(repo: Path, branch: str = "main") -> list[Commit]:
    """Return the commits of a branch without the one that `dolt init` makes."""
    return refs.log(repo, branch)[:-1]


def through_flyte(value: object, kind: type, mode: ExecutionState.Mode | None = None) -> typing.Any:
    """Return what a task of the given type gets when another returned ``value``."""
    ctx = FlyteContextManager.current_context()
    if mode is not None:
        assert ctx.execution_state is not None
        ctx = ctx.with_execution_state(ctx.execution_state.with_params(mode=mode)).build()
    literal = TypeEngine.to_literal(ctx, value, kind, TypeEngine.to_literal_type(kind))
    literal = Literal.from_flyte_idl(literal.to_flyte_idl())
    return TypeEngine.to_python_value(ctx, literal, kind)


class TestValuesTravel:
    def test_values_work_inside_a_dataclass_of_the_user(self, config: Config) -> None:
        """A user's own dataclass may hold configs, policies and references, and an attribute of it can be passed on."""
        reference = write(config("t"), pd.DataFrame({"a": [1, 2]}))

        @task
        def make(r: DoltTable, c: DoltConfig) -> Bundle:
            return Bundle(table=r, config=c, branch=NewBranch("run/1"), any_branch=SerialBranch("dev"))

        @task
        def use(bundle: Bundle) -> str:
            kinds = [type(bundle.branch).__name__, type(bundle.any_branch).__name__, str(bundle.config.tablename)]
            return " ".join([*kinds, str(bundle.table.data["a"].sum())])

        @task
        def use_part(table: DoltTable, c: DoltConfig) -> str:
            return f"{table.data['a'].max()} {c.tablename}"

        @workflow
        def wf(r: DoltTable, c: DoltConfig) -> tuple[str, str]:
            bundle = make(r=r, c=c)
            return use(bundle=bundle), use_part(table=bundle.table, c=bundle.config)

        assert wf(r=reference, c=config("t")) == ("NewBranch SerialBranch t 3", "2 t")

    def test_unsaved_data_inside_a_dataclass_is_refused(self, config: Config, repo: Path) -> None:
        """Data that no commit holds is never lost in silence inside another value."""

        @task
        def make() -> Bundle:
            table = DoltTable(config=config("t"), data=pd.DataFrame({"a": [1]}))
            return Bundle(table=table, config=config("t"), branch=NewBranch("x"))

        with pytest.raises(Exception, match="commit"):
            make()
        assert commits(repo) == []

    def test_literals_of_the_earlier_plugin_are_read(self, config: Config) -> None:
        """A JSON struct as the earlier plugin wrote it still gives a table."""
        write(config("t"), pd.DataFrame({"a": [7]}))
        struct = Struct()
        struct.update({"config": {"db_path": config().db_path, "tablename": "t", "sql": None}, "data": None})
        ctx = FlyteContextManager.current_context()
        table = TypeEngine.to_python_value(ctx, Literal(scalar=Scalar(generic=struct)), DoltTable)
        assert resolve(table).data["a"].tolist() == [7]


@dataclass
class Bundle:
    table: DoltTable
    config: DoltConfig
    branch: NewBranch
    any_branch: Branch = field(default_factory=SerialBranch)


class TestOutputs:
    def test_a_returned_table_is_committed_and_the_next_task_reads_that_commit(self, config: Config) -> None:
        """The next task reads the commit that was written, whatever happened to the branch since."""

        @task
        def produce() -> DoltTable:
            return DoltTable(data=pd.DataFrame({"a": [1, 2]}), config=config("t"))

        @task
        def disturb(after: DoltTable) -> DoltTable:
            write(config("t"), pd.DataFrame({"a": [99]}))
            return after

        @task
        def consume(table: DoltTable) -> list[int]:
            assert table.commit is not None
            return sorted(table.data["a"].tolist())

        @workflow
        def wf() -> list[int]:
            return consume(table=disturb(after=produce()))

        assert wf() == [1, 2]
        assert read(config("t"))["a"].tolist() == [99]

    def test_a_table_passed_on_writes_nothing_and_is_not_read(self, config: Config, repo: Path) -> None:
        """A reference that a task only passes on stays a reference."""
        reference = write(config("t"), pd.DataFrame({"a": [1]}))

        @task
        def pass_on(table: DoltTable) -> DoltTable:
            return table

        passed = pass_on(table=reference)
        assert passed.commit == reference.commit
        assert not passed.is_loaded
        assert len(commits(repo)) == 1

    def test_a_table_that_was_only_read_writes_nothing(self, config: Config, repo: Path) -> None:
        """Looking at the rows of a table is no change of it."""
        reference = write(config("t"), pd.DataFrame({"a": [1.5, None], "s": ["x", None]}))

        @task
        def look(table: DoltTable) -> DoltTable:
            assert len(table.data) == 2
            return table

        assert look(table=reference).commit == reference.commit
        assert len(commits(repo)) == 1

    def test_rows_changed_in_place_are_written(self, config: Config, repo: Path) -> None:
        """A frame that was changed in place is data like any other."""
        reference = write(config("t"), pd.DataFrame({"a": [1, 2]}))

        @task
        def change(table: DoltTable) -> DoltTable:
            table.data.loc[0, "a"] = 5
            return table

        assert sorted(change(table=reference).data["a"]) == [2, 5]
        assert len(commits(repo)) == 2

    def test_another_order_of_rows_is_no_change(self, config: Config, repo: Path) -> None:
        """Sorting the frame in memory does not make a commit."""
        reference = write(config("t"), pd.DataFrame({"a": [3, 1, 2]}))

        @task
        def sort(table: DoltTable) -> DoltTable:
            reverse = table.data["a"].tolist()[::-1]
            table.data.loc[:, "a"] = reverse
            return table

        assert sort(table=reference).commit == reference.commit
        assert len(commits(repo)) == 1

    def test_assigned_data_is_written(self, config: Config, repo: Path) -> None:
        """New data on a table that came in makes a new commit, to its own config."""
        reference = write(config("t"), pd.DataFrame({"a": [1]}))

        @task
        def assign(table: DoltTable) -> DoltTable:
            table.data = table.data.assign(a=2)
            return table

        assert assign(table=reference).data["a"].tolist() == [2]
        assert len(commits(repo)) == 2

    def test_equal_frames_written_twice_with_another_write_in_between_are_both_written(
        self, config: Config, repo: Path
    ) -> None:
        """flytekit remembers literals of equal values on one path; a write must not be skipped for that."""

        @task
        def produce(a: int) -> DoltTable:
            return DoltTable(data=pd.DataFrame({"a": [a]}), config=config("t"))

        for a in (1, 2, 1):
            produce(a=a)
        assert len(commits(repo)) == 3
        assert read(config("t"))["a"].tolist() == [1]

    def test_two_outputs_of_one_task_are_two_commits(self, config: Config, repo: Path) -> None:
        """Every output is a commit of its own."""

        @task
        def produce() -> tuple[DoltTable, DoltTable]:
            frame = pd.DataFrame({"a": [1]})
            return DoltTable(data=frame, config=config("t")), DoltTable(data=frame, config=config("u"))

        one, two = produce()
        assert one.commit != two.commit
        assert len(commits(repo)) == 2

    def test_a_dynamic_task_may_pass_data_to_a_task(self, config: Config) -> None:
        """Data that a dynamic task hands to another task is committed on the way."""

        @task
        def consume(table: DoltTable) -> int:
            return len(table.data)

        @dynamic
        def dyn(n: int) -> int:
            return consume(table=DoltTable(data=pd.DataFrame({"a": range(n)}), config=config("t")))

        @workflow
        def wf(n: int) -> int:
            return dyn(n=n)

        assert wf(n=3) == 3
        assert len(read(config("t"))) == 3

    def test_nothing_is_committed_while_flyte_compiles(self, config: Config, repo: Path) -> None:
        """A default value or a fixed input with data is refused, naming what to use instead."""
        table = DoltTable(data=pd.DataFrame({"a": [1]}), config=config("t"))

        @task
        def consume(table: DoltTable) -> int:
            return len(table.data)

        with pytest.raises(Exception, match=r"dolt\.write\(config.*frame\)"):

            @workflow
            def wf() -> int:
                return consume(table=table)

            wf.compile()
        assert commits(repo) == []

    def test_data_for_a_query_is_refused(self, config: Config) -> None:
        """A query cannot be written to."""

        @task
        def produce() -> DoltTable:
            return DoltTable(data=pd.DataFrame({"a": [1]}), config=config(sql="select 1"))

        with pytest.raises(Exception, match="sql"):
            produce()

    def test_the_frame_on_the_returned_object_is_not_exchanged(self, config: Config) -> None:
        """The object that the task returned keeps its frame, and now says in which commit it is."""
        made: list[DoltTable] = []

        @task
        def produce() -> DoltTable:
            made.append(DoltTable(data=pd.DataFrame({"a": [1]}), config=config("t")))
            return made[0]

        arrived = produce()
        assert made[0].commit is not None
        assert made[0].commit.hash == arrived.commit.hash
        assert made[0].data["a"].tolist() == [1]


class TestInputs:
    def test_a_query_is_resolved_once_when_the_task_starts(self, config: Config) -> None:
        """A query input says which commit it reads, and keeps to it while the task runs."""
        first = write(config("t"), pd.DataFrame({"a": [1]}))

        @task
        def consume(table: DoltTable) -> str:
            assert table.commit is not None
            write(config("t"), pd.DataFrame({"a": [2]}))
            return f"{table.commit.hash} {table.data['a'].tolist()}"

        assert consume(table=DoltTable(config=config(sql="select * from t"))) == f"{first.commit.hash} [1]"

    def test_a_missing_branch_is_refused_when_the_task_starts(self, config: Config) -> None:
        """Reading never makes a branch; the error offers names that are close."""
        write(config("t", branch_conf=NewBranch("run/one")), pd.DataFrame({"a": [1]}))

        @task
        def consume(table: DoltTable) -> int:
            return len(table.data)

        with pytest.raises(Exception, match="'run/on'.*'run/one'"):
            consume(table=DoltTable(config=config("t", branch_conf=NewBranch("run/on"))))


class TestCommitMessage:
    def test_locally_it_carries_the_execution_id_and_a_fresh_write_key(self, config: Config, repo: Path) -> None:
        """The first line names the execution; every task run has a write key of its own; nothing is made up."""

        @task
        def produce(a: int) -> DoltTable:
            return DoltTable(data=pd.DataFrame({"a": [a]}), config=config("t"))

        for a in (1, 2):
            produce(a=a)
        messages = [commit.message.splitlines() for commit in commits(repo) if commit.message]
        assert [m[0] for m in messages] == ["Generated by Flyte execution id: ex:local:local:local"] * 2
        keys = [[line for line in m if line.startswith("Flyte-Write-Key: ")] for m in messages]
        assert all(len(key) == 1 for key in keys)
        assert keys[0] != keys[1]
        unknown = ("Flyte-Node", "Flyte-Attempt", "Flyte-Task-Version")
        assert not any(line.startswith(unknown) for m in messages for line in m)

    def test_the_author_is_the_users_dolt_identity(self, config: Config, repo: Path) -> None:
        """The repository's own identity signs the commits."""
        write(config("t"), pd.DataFrame({"a": [1]}))
        assert commits(repo)[0].author == "Bojack Horseman <bojack@horseman.com>"

    @pytest.mark.parametrize(
        ("prefix", "node", "attempt"),
        [
            ("s3://b/metadata/propeller/p-d-abc/n0/data/0", "n0", "0"),
            ("s3://b/metadata/propeller/p-d-abc/n3/data/2", "n3", "2"),
            ("s3://b/metadata/propeller/p-d-abc/n1/data/0/7/1", "n1", "1"),
        ],
    )
    def test_on_a_cluster_it_names_task_node_and_attempt(
        self, config: Config, repo: Path, prefix: str, node: str, attempt: str
    ) -> None:
        """On a cluster the trailers say all that Flyte tells a task about itself."""
        on_a_cluster(config("t"), prefix)
        message = commits(repo)[0].message or ""
        assert message.splitlines()[0] == "Generated by Flyte execution id: ex:proj:dev:abc"
        assert {"Flyte-Task: my.task", f"Flyte-Node: {node}", f"Flyte-Attempt: {attempt}"} <= set(message.splitlines())

    def test_the_write_key_is_the_same_for_every_attempt_and_no_other_write(self, config: Config, repo: Path) -> None:
        """A retry writes nothing and gives the first commit; another node, map index, target or second write does."""
        places = ["n0/data/0", "n0/data/1", "n1/data/0", "n1/data/0/0/0", "n1/data/0/0/1", "n1/data/1/0/0"]
        places += ["n1/data/0/1/0"]
        stored = [
            commit
            for number, place in enumerate(places)
            for commit in on_a_cluster(config("t"), f"s3://b/p-d-abc/{place}", value=number)
        ]
        stored += on_a_cluster(config("u"), "s3://b/p-d-abc/n0/data/0", value=0, times=2)
        assert stored[0] == stored[1]
        assert stored[3] == stored[4] == stored[5]
        assert [c.hash for c in reversed(commits(repo))] == list(dict.fromkeys(stored))
        assert len(set(stored)) == 6
        lines = [line for c in commits(repo) for line in (c.message or "").splitlines()]
        assert len({line for line in lines if line.startswith("Flyte-Write-Key: ")}) == 6


def on_a_cluster(config: DoltConfig, prefix: str, *, value: int = 1, times: int = 1) -> list[str]:
    """Store a table as one task execution with the parameters that `pyflyte-execute` sets up does."""
    stored = []
    base = FlyteContextManager.current_context()
    assert base.user_space_params is not None
    assert base.execution_state is not None
    builder = base.user_space_params.builder()
    builder.execution_id = WorkflowExecutionIdentifier("proj", "dev", "abc")
    builder.task_id = Identifier(ResourceType.TASK, "proj", "dev", "my.task", "v1")
    builder.output_metadata_prefix = prefix
    state = base.execution_state.with_params(mode=ExecutionState.Mode.TASK_EXECUTION, user_space_params=builder.build())
    ctx = base.with_execution_state(state).build()
    kind = TypeEngine.to_literal_type(DoltTable)
    transformer = TypeEngine.get_transformer(DoltTable)
    for number in range(times):
        table = DoltTable(data=pd.DataFrame({"a": [value + 100 * number]}), config=config)
        transformer.to_literal(ctx, table, DoltTable, kind)
        assert table.commit is not None
        stored.append(table.commit.hash)
    return stored


def test_errors_reach_the_author_in_words(config: Config) -> None:
    """flytekit wraps what a transformer raises; the sentence of ours must survive that."""

    @task
    def produce() -> DoltTable:
        return DoltTable(data=pd.DataFrame({"a": [float("inf")]}), config=config("t"))

    with pytest.raises(Exception, match="'a'.*row 0.*inf"):
        produce()
    assert os.path.isdir(config().db_path)
