"""What Flyte's ways of running meet: tasks that fail half way, map tasks, threads, children, waiting in vain."""

from __future__ import annotations

import multiprocessing
import os
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import writers
from flytekit import map_task, task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from pods import Cluster, PodFailed

from flytekitplugins.dolt import DoltConfig, DoltTable, api, read
from flytekitplugins.dolt.repository import branch_locks, refs

pytestmark = pytest.mark.slow

Config = Callable[..., DoltConfig]

PODS = textwrap.dedent(
    """
    import pandas as pd
    from flytekit import task
    from flytekitplugins.dolt import DoltConfig, DoltTable, write

    @task
    def add(conf: DoltConfig) -> DoltTable:
        return DoltTable(conf, pd.DataFrame({"n": [1]}))

    @task
    def two(first: DoltConfig, second: DoltConfig, good: bool) -> tuple[DoltTable, DoltTable]:
        frame = pd.DataFrame({"n": [1]})
        return DoltTable(first, frame), DoltTable(second, frame if good else frame.assign(n=[object()]))

    @task
    def inside(conf: DoltConfig) -> int:
        write(conf, pd.DataFrame({"n": [1]}))
        return 1
    """
)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Give pods."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    return Cluster(folder)


def literals(**inputs: object) -> dict[str, object]:
    """Return inputs as a cluster stores them."""
    ctx = FlyteContextManager.current_context()
    kinds = {name: type(value) for name, value in inputs.items()}
    return {
        name: TypeEngine.to_literal(ctx, value, kinds[name], TypeEngine.to_literal_type(kinds[name]))
        for name, value in inputs.items()
    }


def test_a_second_output_that_fails_is_not_written_and_the_first_not_twice(cluster: Cluster, config: Config) -> None:
    """The first attempt leaves the first table's commit and an error; the second finds it, and adds the other one."""
    two = cluster.image("two_outputs", PODS).two
    first, second = config("first", mode="append"), config("second", mode="append")
    with pytest.raises(PodFailed, match="'n'") as caught:
        cluster.pod(two, "f1", literals(first=first, second=second, good=False), attempt=0)
    assert not caught.value.recoverable
    assert read(first)["n"].tolist() == [1]
    cluster.pod(two, "f1", literals(first=first, second=second, good=True), attempt=1)
    assert read(first)["n"].tolist() == [1]
    assert read(second)["n"].tolist() == [1]


@pytest.mark.parametrize("name", ["add", "inside"])
def test_waiting_in_vain_asks_flyte_to_try_again(cluster: Cluster, config: Config, repo: Path, name: str) -> None:
    """A branch that somebody holds is a RECOVERABLE error for the platform, also out of a task's own `write`."""
    entity = getattr(cluster.image(f"busy_{name}", PODS), name)
    busy = config("t", lock_timeout_s=0.5)
    with (
        refs.connect(repo) as connection,
        branch_locks.held(connection, "main", timeout_s=5, place=repo),
        pytest.raises(PodFailed, match="writer|holds") as caught,
    ):
        cluster.pod(entity, "f1", literals(conf=busy))
    assert caught.value.recoverable
    cluster.pod(entity, "f1", literals(conf=busy), attempt=1)
    assert read(busy)["n"].tolist() == [1]


@task
def add_part(part: int, path: str) -> DoltTable:
    """Append a row that names the part."""
    return DoltTable(DoltConfig(path, "parts", mode="append"), pd.DataFrame({"part": [part]}))


def test_a_map_task_appends_every_part_once(repo: Path) -> None:
    """Each index is a write of its own, in one line of commits."""

    @workflow
    def wf(path: str) -> list[DoltTable]:
        return map_task(add_part)(part=list(range(12)), path=[path] * 12)

    tables = wf(path=str(repo))
    assert len({table.commit.hash for table in tables if table.commit is not None}) == 12
    assert sorted(read(DoltConfig(str(repo), "parts"))["part"]) == list(range(12))
    assert len(refs.log(repo)) == 1 + 12


def test_threads_write_one_after_the_other(config: Config, repo: Path) -> None:
    """Twelve threads that begin at once make twelve commits."""
    barrier = threading.Barrier(12)

    def add(number: int) -> str:
        barrier.wait(30)
        table = api.write(config("t", mode="append"), pd.DataFrame({"n": [number]}))
        return str(table.commit)

    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(add, range(12)))) == 12
    assert sorted(read(config("t"))["n"]) == list(range(12))
    assert len(refs.log(repo)) == 1 + 12


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes_write_beside_their_parent(
    config: Config, repo: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child started in any way while its parent uses the repository writes all it has to, as does the parent."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(writers.__file__).parent), str(Path.cwd())]))
    api.write(config("t", mode="append"), writers.rows_of("row", 9, 0))
    context = multiprocessing.get_context(method)
    children = [
        context.Process(target=writers.write_quietly, args=(str(tmp_path / f"{me}"), str(repo), me)) for me in range(3)
    ]
    for child in children:
        child.start()
    api.write(config("t", mode="append"), writers.rows_of("row", 9, 1))
    for child in children:
        child.join(200)
    assert [child.exitcode for child in children] == [0, 0, 0]
    found = read(config("t"))
    assert sorted(zip(found["writer"], found["number"], strict=True)) == [
        *((me, number) for me in range(3) for number in range(3)),
        (9, 0),
        (9, 1),
    ]
