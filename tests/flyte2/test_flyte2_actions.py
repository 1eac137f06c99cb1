"""Tasks of Flyte 2 through the entry point of their containers: chained, killed and repeated, and what they report."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from actions import DOMAIN, PROJECT, RUN, VERSION, ActionFailed, Container, value
from flyteidl2.core.literals_pb2 import Binary, Literal, Scalar

from flytekitplugins.dolt.model.provenance import Provenance, parse
from flytekitplugins.dolt.repository import refs
from flyteplugins.dolt import DoltConfig, DoltTable, SerialBranch, read, write

pytestmark = pytest.mark.slow  # each action is a process that imports Flyte
Config = Callable[..., DoltConfig]

TASKS = """
import os
from pathlib import Path
from typing import Annotated

import flyte
import pandas as pd
from flyteplugins.dolt import DoltConfig, DoltTable, dolt_frame
from flyteplugins.dolt import NewBranch
from flytekitplugins.dolt.flyte2 import values
from flytekitplugins.dolt.errors import ConnectionLost

REPO = {repo!r}
env = flyte.TaskEnvironment(name="c")
ours = dolt_frame(DoltConfig(REPO, "frames"))
real = values.show

async def killed(table):
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        os._exit(9)
    await real(table)

@env.task
async def make(a: int) -> DoltTable:
    return DoltTable(DoltConfig(REPO, "t"), pd.DataFrame({{"a": [a]}}))

@env.task(report=True)
async def double(table: DoltTable) -> DoltTable:
    return DoltTable(DoltConfig(REPO, "u"), table.data * 2)

@env.task
async def as_frame(table: DoltTable) -> Annotated[pd.DataFrame, ours]:
    return table.data

@env.task
def total(frame: Annotated[pd.DataFrame, ours]) -> int:
    return int(frame["a"].sum())

@env.task(report=True)
async def dies(a: int) -> DoltTable:
    values.show = killed
    return DoltTable(DoltConfig(REPO, "t", mode="append"), pd.DataFrame({{"a": [a]}}))

@env.task
async def wrong() -> DoltTable:
    return DoltTable(DoltConfig(REPO, "t"), pd.DataFrame({{"a": [object()]}}))

@env.task
async def lost() -> DoltTable:
    from flytekitplugins.dolt.api import frames
    def gone(*args, **options):
        raise ConnectionLost("Cannot write: the server went away.")
    frames.commit_table = gone
    return DoltTable(DoltConfig(REPO, "t"), pd.DataFrame({{"a": [1]}}))

@env.task
async def look(table: DoltTable) -> int:
    return len(table.data)
"""


@pytest.fixture
def tasks(container: Container, repo: Path) -> Any:
    """Give the module of tasks in the image; each has a name of its own, since Python keeps modules."""
    name = f"image_{abs(hash(str(repo)))}"
    return container.image(name, TASKS.format(repo=str(repo)))


def newest(repo: Path) -> Provenance:
    return parse(refs.log(repo, "main", limit=1)[0].message)


def test_tasks_in_a_chain(container: Container, tasks: Any, repo: Path, config: Config) -> None:
    """What one action writes the next one reads at its commit, and the log says who did what from what."""
    made = container.run(tasks.make, "n1", a=3)["o0"]
    doubled = container.run(tasks.double, "n2", table=made)["o0"]
    assert value(doubled, DoltTable).data["a"].tolist() == [6]
    found = newest(repo)
    assert (found.execution.id, found.execution.node) == (f"ex:{PROJECT}:{DOMAIN}:{RUN}", "n2")
    assert (found.execution.task_version, found.execution.attempt, found.execution.task) == (VERSION, "0", "c.double")
    assert [(read.table, read.commit) for read in found.reads] == [("t", value(made, DoltTable).commit.hash)]
    report = (container.folder / "n2-0" / "out" / "report.html").read_text()
    assert "Dolt: u" in report
    framed = container.run(tasks.as_frame, "n3", table=doubled)["o0"]
    assert framed.scalar.structured_dataset.uri.startswith("dolt://")
    assert container.run(tasks.total, "n4", frame=framed)["o0"].scalar.primitive.integer == 6


def test_a_task_that_is_killed_after_its_commit_writes_once(
    container: Container, tasks: Any, repo: Path, config: Config
) -> None:
    """The second attempt finds the commit of the first one by the key of the write."""
    before = len(refs.log(repo, "main"))
    with pytest.raises(ActionFailed, match="exited with 9"):
        container.run(tasks.dies, "n1", a=1)
    assert len(refs.log(repo, "main")) == before + 1
    again = container.run(tasks.dies, "n1", attempt=1, a=1)["o0"]
    assert len(refs.log(repo, "main")) == before + 1
    assert value(again, DoltTable).commit.hash == refs.log(repo, "main", limit=1)[0].hash
    assert read(config("t"))["a"].tolist() == [1]
    container.run(tasks.dies, "n2", attempt=1, a=1)
    assert read(config("t"))["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("task", "code", "recoverable"), [("wrong", "UnsupportedFrame", False), ("lost", "ConnectionLost", True)]
)
def test_errors_of_outputs_are_in_the_error_file(
    container: Container, tasks: Any, task: str, code: str, *, recoverable: bool
) -> None:
    """The code is our class, and whether Flyte runs the task again is what the class says."""
    with pytest.raises(ActionFailed) as caught:
        container.run(getattr(tasks, task), "n1")
    assert (caught.value.code, caught.value.recoverable) == (code, recoverable)
    assert caught.value.message.startswith("Cannot")


def test_an_error_of_an_input_is_in_the_error_file(container: Container, tasks: Any, config: Config) -> None:
    """Flyte writes none for what goes wrong while inputs are converted, so it is raised in the body."""
    with pytest.raises(ActionFailed, match="nosuch") as caught:
        container.run(tasks.look, "n1", table=DoltTable(config("t", branch_conf=SerialBranch("nosuch"))))
    assert (caught.value.code, caught.value.recoverable) == ("BranchNotFound", False)


def test_an_error_of_a_frame_is_in_the_error_file(container: Container, tasks: Any, config: Config) -> None:
    """A frame is read before the task's code runs, and the error is one of the task's all the same."""
    with pytest.raises(ActionFailed, match="nosuch") as caught:
        container.run(tasks.total, "n1", frame=DoltTable(config("t", branch_conf=SerialBranch("nosuch"))))
    assert (caught.value.code, caught.value.recoverable) == ("BranchNotFound", False)


def test_a_malformed_input_is_in_the_error_file(container: Container, tasks: Any) -> None:
    """What does not describe a table is refused as any other wrong input is."""
    malformed = Literal(scalar=Scalar(binary=Binary(value=b"\xc1", tag="msgpack")))
    with pytest.raises(ActionFailed, match="Cannot read a literal as a DoltTable") as caught:
        container.run(tasks.look, "n1", table=malformed)
    assert (caught.value.code, caught.value.recoverable) == ("InvalidConfig", False)


def test_an_action_has_only_what_it_was_given(container: Container, tasks: Any, config: Config) -> None:
    """Nothing of this process is in the container: HOME and the working folder are its own."""
    write(config("t"), pd.DataFrame({"a": [1, 2]}))
    container.run(tasks.look, "n1", table=DoltTable(config("t")))
    assert (container.folder / "n1-0" / "home").is_dir()
    assert os.environ["HOME"] != str(container.folder / "n1-0" / "home")
