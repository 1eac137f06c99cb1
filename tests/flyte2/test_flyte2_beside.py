"""Flyte 2 beside flytekit in one process: workflows of both, one after the other, on one repository."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import flyte
import pandas as pd
import pytest
from flyte.types import TypeEngine

from flytekitplugins.dolt.model import runtime
from flytekitplugins.dolt.model.provenance import Provenance, parse
from flytekitplugins.dolt.repository import refs
from flyteplugins.dolt import DoltConfig, DoltTable, dolt_uri, read, write

flytekit = pytest.importorskip("flytekit")
from flytekit import task, workflow  # noqa: E402

from flytekitplugins.dolt import dolt_frame as dolt_frame_of_flytekit  # noqa: E402

Config = Callable[..., DoltConfig]
env = flyte.TaskEnvironment(name="beside")


def origin(repo: Path) -> Provenance:
    return parse(refs.log(repo, "main", limit=1)[0].message)


@task
def old_add(table: DoltTable) -> DoltTable:
    return DoltTable(table.config, table.data + 1)


@workflow
def old_workflow(table: DoltTable) -> DoltTable:
    return old_add(table=table)


@env.task
async def new_add(table: DoltTable) -> DoltTable:
    return DoltTable(table.config, table.data + 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_workflows_of_both_take_turns(run: Callable[..., Any], config: Config, repo: Path) -> None:
    """Each says in its commit who it is, and reads what the other has written."""
    table = write(config("t"), pd.DataFrame({"a": [0]}))
    for turn in range(2):
        table = old_workflow(table=table)
        assert origin(repo).execution.task == "test_flyte2_beside.old_add"
        table = run(new_add, table=table)
        assert (origin(repo).execution.task, origin(repo).execution.id.count(":")) == ("beside.new_add", 3)
        assert table.data["a"].tolist() == [2 * (turn + 1)]
    assert [read.table for read in origin(repo).reads] == ["t"]


def test_the_nearest_task_decides_who_answers(run: Callable[..., Any], config: Config) -> None:
    """In a task of the one platform its runtime is the current one; in none flytekit's is."""
    found: list[str] = []

    @env.task
    async def new() -> None:
        found.append(runtime.current().platform)

    @task
    def old() -> None:
        found.append(runtime.current().platform)

    run(new)
    old()
    found.append(runtime.current().platform)
    assert found == ["flyte", "flytekit", "flytekit"]


def test_the_annotation_for_flytekit_is_obeyed(run: Callable[..., Any], config: Config) -> None:
    """Flyte 2 does not look at it, and would store the frame as Parquet in silence."""
    declared = Annotated[pd.DataFrame, dolt_frame_of_flytekit(config("t"))]

    @env.task
    async def make() -> declared:
        return pd.DataFrame({"a": [1]})

    @env.task
    async def take(frame: declared) -> int:
        return int(frame["a"].sum())

    @env.task
    async def both() -> int:
        return await take(await make())

    assert run(both) == 1
    assert read(config("t"))["a"].tolist() == [1]
    given = DoltTable(config("t"))
    literal = asyncio.run(TypeEngine.to_literal(given, declared, TypeEngine.to_literal_type(declared)))
    assert literal.scalar.structured_dataset.uri == dolt_uri(given)
