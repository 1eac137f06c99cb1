"""Plain frames as tables in every shape that Flyte has for values: inside others, mapped, chosen, from outside."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.
import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import pandas as pd
import pytest
from flytekit import LaunchPlan, conditional, dynamic, eager, map_task, task, workflow
from flytekit.types.structured import StructuredDataset
from pydantic import BaseModel

from flytekitplugins.dolt import DoltConfig, dolt_frame, dolt_uri, write

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]


@dataclass
class Box:
    frame: StructuredDataset


class Model(BaseModel):
    frame: StructuredDataset


@task
def count(frame: pd.DataFrame) -> int:
    return len(frame)


def held(dolt: Dolt, query: str) -> list[str]:
    """Return the lines that the user's `dolt` prints for a query, without the header."""
    return dolt("sql", "-r", "csv", "-q", query).split()[1:]


@pytest.fixture
def given(config: Config) -> StructuredDataset:
    """Give a dataset of two rows by its address, as it comes from outside."""
    write(config("given"), pd.DataFrame({"a": [1, 2]}))
    return StructuredDataset(uri=dolt_uri(config("given")))


@pytest.mark.parametrize("kind", [Box, Model])
def test_inside_dataclasses_and_models(config: Config, dolt: Dolt, kind: Any) -> None:
    """A dataset in a value is committed with it, read with it, and can be taken out of it."""

    @task
    def make() -> kind:  # type: ignore[valid-type]
        return kind(frame=StructuredDataset(dataframe=pd.DataFrame({"a": [1, 2]}), uri=dolt_uri(config("t"))))

    @task
    def inside(value: kind) -> int:  # type: ignore[valid-type]
        return len(value.frame.open(pd.DataFrame).all())  # type: ignore[attr-defined]

    @workflow
    def wf() -> tuple[int, int]:
        made = make()
        return inside(value=made), count(frame=made.frame)

    assert tuple(wf()) == (2, 2)
    assert dolt("sql", "-r", "csv", "-q", "select a from t order by a").split() == ["a", "1", "2"]
    assert "ex:local:local:local" in dolt("log", "-n", "1")


def test_a_bare_frame_in_a_dataclass_is_refused(config: Config, dolt: Dolt) -> None:
    """Neither lost nor pickled in silence: the error names the field, and nothing is written."""

    @dataclass
    class Bare:
        frame: Annotated[pd.DataFrame, dolt_frame(config("t"))]

    @task
    def make() -> Bare:
        return Bare(pd.DataFrame({"a": [1]}))

    with pytest.raises(Exception, match="frame.*DataFrame.*Bare is not serializable"):
        make()
    assert dolt("log", "--oneline").count("\n") == 1


def test_map_tasks_append_to_one_table_and_read_their_own(config: Config, dolt: Dolt) -> None:
    """Each part is one commit to the same table; the reader of a part sees the state that this part made."""
    parts = config("parts", mode="append")

    @task
    def part(n: int) -> Annotated[pd.DataFrame, dolt_frame(parts)]:
        return pd.DataFrame({"n": [n]})

    @task
    def scaled(n: int, frame: pd.DataFrame) -> int:
        return n * len(frame)

    @workflow
    def wf() -> tuple[list[int], list[int]]:
        written = map_task(part)(n=[5, 6, 7])
        return map_task(count)(frame=written), map_task(partial(scaled, frame=part(n=8)))(n=[1, 10])

    counts, whole = wf()
    assert sorted(counts) == [1, 2, 3]
    assert whole == [4, 40]
    assert held(dolt, "select n from parts order by n") == ["5", "6", "7", "8"]
    assert held(dolt, "select count(*) from dolt_diff_parts") == ["4"]


def test_named_outputs_unions_and_conditions(config: Config, dolt: Dolt) -> None:
    """Of several outputs each is a table; a Union tells a frame from other values; a condition chooses between them."""

    class Two(NamedTuple):
        one: Annotated[pd.DataFrame, dolt_frame(config("one"))]
        two: Annotated[pd.DataFrame, dolt_frame(config("two"))]

    @task
    def both() -> Two:
        return Two(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1, 2]}))

    @task
    def either(n: int) -> Annotated[pd.DataFrame, dolt_frame(config("u"))] | int:
        return pd.DataFrame({"a": range(n)}) if n else 0

    @task
    def name(value: pd.DataFrame | int) -> str:
        return type(value).__name__

    @workflow
    def chosen(n: int) -> int:
        made = both()
        return conditional("size").if_(n == 1).then(count(frame=made.one)).else_().then(count(frame=made.two))

    @workflow
    def told(n: int) -> str:
        return name(value=either(n=n))

    assert [chosen(n=1), chosen(n=2)] == [1, 2]
    assert [told(n=0), told(n=3)] == ["int", "DataFrame"]
    assert held(dolt, "select count(*) from one union all select count(*) from two") == ["1", "2"]
    assert held(dolt, "select a from u order by a") == ["0", "1", "2"]


def test_tasks_and_workflows_that_make_others(config: Config, dolt: Dolt, given: StructuredDataset) -> None:
    """A frame goes through dynamic and eager tasks, and out of a workflow within another, by its commit."""
    made = Annotated[pd.DataFrame, dolt_frame(config("made"))]

    @task
    def make(n: int) -> made:  # type: ignore[valid-type]
        return pd.DataFrame({"a": range(n)})

    @dynamic
    def grown(frame: pd.DataFrame) -> made:  # type: ignore[valid-type]
        return make(n=len(frame) + 1)

    @workflow
    def inner(frame: pd.DataFrame) -> pd.DataFrame:
        return grown(frame=frame)

    @workflow
    def outer(frame: pd.DataFrame) -> int:
        return count(frame=inner(frame=frame))

    @eager
    async def by_hand(frame: StructuredDataset) -> int:
        return count(frame=make(n=count(frame=frame) + 2))

    assert outer(frame=given) == 3
    assert asyncio.run(by_hand(frame=given)) == 4
    assert held(dolt, "select a from made order by a") == ["0", "1", "2", "3"]
    assert held(dolt, "select count(*) from made as of 'HEAD~1'") == ["3"]


def test_from_outside(config: Config, dolt: Dolt, given: StructuredDataset) -> None:
    """An address is a default of a workflow, and a fixed input of a launch plan."""

    @workflow
    def wf(frame: StructuredDataset = given) -> int:
        return count(frame=frame)

    plan = LaunchPlan.get_or_create(wf, "fixed_frame", fixed_inputs={"frame": given})
    assert [wf(), plan()] == [2, 2]
    write(config("given"), pd.DataFrame({"a": [1, 2, 3]}))
    assert [wf(), plan()] == [3, 3]
    assert held(dolt, "select count(*) from given") == ["3"]
