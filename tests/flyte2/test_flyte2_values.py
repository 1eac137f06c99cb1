"""Tables, configs and policies as values of Flyte 2's tasks, in every shape, in local runs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import flyte
import pandas as pd
import pydantic
import pytest
from flyte.types import TypeEngine

from flytekitplugins.dolt.errors import DoltError, InvalidConfig, NotInTask
from flytekitplugins.dolt.repository import refs
from flyteplugins.dolt import Commit, DoltConfig, DoltTable, NewBranch, SerialBranch, allow_callbacks, diff, read, write

ONE_REPOSITORY = True
Run = Callable[..., Any]
Config = Callable[..., DoltConfig]
env = flyte.TaskEnvironment(name="values")


def frame(*numbers: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(numbers)})


def commits(repo: Path, branch: str = "main") -> int:
    return len(refs.log(repo, branch))


@env.task
async def write_one(config: DoltConfig, a: int) -> DoltTable:
    return DoltTable(config, frame(a))


@env.task
def add_one(table: DoltTable) -> DoltTable:
    return DoltTable(table.config, table.data.assign(a=table.data["a"] + 1))


@env.task
async def commit_of(table: DoltTable) -> str:
    return str(table.commit.hash)


@env.task
async def pipeline(config: DoltConfig) -> tuple[DoltTable, DoltTable, str]:
    first = await write_one(config, 1)
    second = await add_one.aio(first)
    return first, second, await commit_of(second)


def test_a_table_goes_from_task_to_task_at_its_commit(run: Run, config: Config) -> None:
    """What a task returns is a commit, what the next one takes is that very commit."""
    first, second, told = run(pipeline, config=config("t"))
    assert (first.data["a"].tolist(), second.data["a"].tolist()) == ([1], [2])
    assert told == second.commit.hash != first.commit.hash
    assert diff(first, second).modified + diff(first, second).added > 0


def test_a_reference_that_is_passed_on_is_not_written(run: Run, config: Config, saves: list[str]) -> None:
    """A parent gives the table on as it got it."""
    run(pipeline, config=config("t"))
    assert saves == ["t", "t"]


def test_an_unchanged_table_makes_no_commit(run: Run, config: Config, repo: Path) -> None:
    """Equal rows are the same commit."""
    first = run(write_one, config=config("t"), a=1)
    before = commits(repo)
    assert run(write_one, config=config("t"), a=1).commit == first.commit
    assert commits(repo) == before


def test_a_table_without_a_commit_is_resolved_when_the_task_starts(run: Run, config: Config) -> None:
    """What names a branch is read at the commit that this has then."""
    written = write(config("t"), frame(1))
    assert run(commit_of, table=DoltTable(config("t"))) == written.commit.hash


@env.task
async def optional(table: DoltTable | None, other: DoltTable | None = None) -> DoltTable | None:
    return table if other is None else other


@env.task
async def listed(config: DoltConfig, n: int) -> list[DoltTable]:
    return [DoltTable(dataclasses.replace(config, tablename=f"t{i}"), frame(i)) for i in range(n)]


@env.task
async def named(tables: dict[str, DoltTable]) -> dict[str, DoltTable]:
    return {name.upper(): table for name, table in tables.items()}


@dataclasses.dataclass
class Report:
    table: DoltTable
    rows: int


class Model(pydantic.BaseModel):
    table: DoltTable
    rows: int


@env.task
async def in_a_dataclass(report: Report) -> Report:
    return dataclasses.replace(report, rows=len(report.table.data))


@env.task
async def in_a_model(model: Model) -> Model:
    return Model(table=model.table, rows=len(model.table.data))


def test_optional(run: Run, config: Config) -> None:
    """A table or None, whichever way it is written."""
    written = write(config("t"), frame(1))
    assert run(optional, table=None) is None
    assert run(optional, table=written).commit == written.commit
    assert run(optional, table=None, other=DoltTable(config("t"))).commit == written.commit


def test_lists_and_dicts(run: Run, config: Config) -> None:
    """Each table in a list or dict is written, and comes back."""
    tables = run(listed, config=config(), n=12)
    assert [table.data["a"].tolist() for table in tables] == [[i] for i in range(12)]
    assert run(named, tables={"x": tables[0]})["X"].commit == tables[0].commit


@pytest.mark.parametrize("pinned", [True, False])
def test_dataclasses_and_models(run: Run, config: Config, *, pinned: bool) -> None:
    """A table in another value comes at its commit, or gets one when its rows are looked at."""
    written = write(config("t"), frame(1, 2))
    table = written if pinned else DoltTable(config("t"))
    assert run(in_a_dataclass, report=Report(table, 0)).rows == 2
    found = run(in_a_model, model=Model(table=table, rows=0))
    assert (found.rows, found.table.commit) == (2, written.commit)


def test_rows_in_another_value_are_refused(run: Run, config: Config) -> None:
    """They would be lost, so it is said what to do instead."""
    with pytest.raises(InvalidConfig, match="not written yet.*write"):
        run(in_a_dataclass, report=Report(DoltTable(config("t"), frame(1)), 0))


def test_defaults(run: Run, config: Config) -> None:
    """A default table and config are what a call leaves out."""
    written, asked, place = write(config("t"), frame(1)), DoltTable(config("t")), config("t")

    @env.task
    async def with_defaults(table: DoltTable = asked, where: DoltConfig = place) -> str:
        return f"{table.commit.hash} {table.data['a'].tolist()} {where.tablename}"

    assert run(with_defaults) == f"{written.commit.hash} [1] t"


@env.task
async def settings(
    config: DoltConfig, new: NewBranch, serial: SerialBranch
) -> tuple[DoltConfig, NewBranch, SerialBranch]:
    return config, new, serial


def test_configs_and_policies_come_back_equal(run: Run, config: Config) -> None:
    """They are values like any other."""
    given = config("t", branch_conf=NewBranch("run/1"), primary_key=["a"]), NewBranch("b"), SerialBranch("main")
    assert run(settings, config=given[0], new=given[1], serial=given[2]) == given


def test_a_branch_policy_decides_where_rows_go(run: Run, config: Config, repo: Path) -> None:
    """An output goes to the branch that its config says."""
    table = run(write_one, config=config("t", branch_conf=NewBranch("run/1")), a=1)
    assert table.commit.branch == "run/1"
    assert len(refs.log(repo, "run/1")) == commits(repo) + 1


@env.task
async def mapped_part(table: DoltTable, i: int) -> DoltTable:
    return DoltTable(dataclasses.replace(table.config, tablename=f"part{i}"), table.data * i)


@env.task
def over_a_map(table: DoltTable, n: int) -> list[DoltTable]:
    return list(flyte.map(mapped_part, [table] * n, range(n)))


@flyte.trace
async def traced_step(config: DoltConfig, a: int) -> DoltTable:
    return DoltTable(config, frame(a))


@env.task
async def with_a_trace(config: DoltConfig) -> DoltTable:
    return await traced_step(config, 7)


def test_map_and_trace(run: Run, config: Config) -> None:
    """Tasks over a list, and steps within a task, give and take tables."""
    written = write(config("t"), frame(1))
    assert [table.data["a"].tolist() for table in run(over_a_map, table=written, n=3)] == [[0], [1], [2]]
    assert run(with_a_trace, config=config("step")).data["a"].tolist() == [7]


@env.task
async def anything(config: DoltConfig) -> Any:
    return {"table": DoltTable(config, frame(1))}


@env.task
async def any_reference(table: DoltTable) -> Any:
    assert table.data["a"].tolist() == [1]
    return table


def test_rows_are_not_pickled(run: Run, config: Config) -> None:
    """Where no type is declared Flyte pickles: rows that no commit holds are refused, others are left out."""
    with pytest.raises(InvalidConfig, match="not written yet.*write"):
        run(anything, config=config("t"))
    found = run(any_reference, table=write(config("t"), frame(1)))
    assert not found.is_loaded
    assert found.data["a"].tolist() == [1]


def test_a_table_outside_a_task_is_not_stored(config: Config) -> None:
    """Rows are committed while something runs."""
    kind = TypeEngine.to_literal_type(DoltTable)
    with pytest.raises(NotInTask, match="no task is running.*write"):
        asyncio.run(TypeEngine.to_literal(DoltTable(config("t"), frame(1)), DoltTable, kind))


@pytest.mark.parametrize(("given", "said"), [(DoltConfig("foo", "t"), "a DoltConfig"), (frame(1), "a DataFrame")])
def test_what_is_no_table_is_refused_in_one_line(given: object, said: str) -> None:
    """The rows of a frame are not in the message."""
    kind = TypeEngine.to_literal_type(DoltTable)
    with pytest.raises(TypeError, match=f"Cannot use {said} where a DoltTable is declared") as caught:
        asyncio.run(TypeEngine.to_literal(given, DoltTable, kind))
    assert "\n" not in str(caught.value)


def test_the_types_are_known_again() -> None:
    """From the type of a literal Flyte finds the class, alone and within others."""
    guessed = {kind: TypeEngine.guess_python_type(TypeEngine.to_literal_type(kind)) for kind in (DoltTable, DoltConfig)}
    assert list(guessed) == list(guessed.values())
    for kind in (DoltTable | None, list[DoltTable], dict[str, DoltTable]):
        guess: Any = TypeEngine.guess_python_type(TypeEngine.to_literal_type(kind))
        assert DoltTable in get_args(guess)


_threads: list[threading.Thread] = []


def note_thread(entry: dict[str, object]) -> None:
    _threads.append(threading.current_thread())


allow_callbacks(note_thread)


def test_no_event_loop_waits_for_dolt(run: Run, config: Config) -> None:
    """Rows are written in threads, and not where Flyte runs coroutines."""
    from flytekitplugins.dolt.schema import CallbackMeta

    loops: list[threading.Thread] = []

    @env.task
    async def both(table: DoltTable) -> DoltTable:
        loops.append(threading.current_thread())
        return DoltTable(config("out", meta_conf=CallbackMeta(note_thread)), frame(2))

    _threads.clear()
    run(both, table=DoltTable(config("in"), frame(1)))
    assert len(_threads) == 1
    assert not set(_threads) & set(loops)


LEFT_FOR_LATER = """
import asyncio, sys, flyte.io
from flytekitplugins.dolt.flyte2 import values

def is_loaded():
    return object.__getattribute__(sys.modules["pyarrow"], "__class__").__name__ != "_LazyModule"

print(is_loaded(), asyncio.run(values.in_thread(is_loaded)))
"""


def test_no_thread_is_the_first_to_use_a_module_that_flyte_left_for_later() -> None:
    """Flyte's conversions use it at the same time, and found that pyarrow has no Table."""
    done = subprocess.run([sys.executable, "-c", LEFT_FOR_LATER], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "True"], done.stdout + done.stderr


SCRIPT = """
import flyte
from flyteplugins.dolt import DoltTable

env = flyte.TaskEnvironment(name="cli")

@env.task
async def rows(table: DoltTable, n: int) -> str:
    return f"rows: {table.data['a'].tolist() * n}"
"""


def test_the_command_line_takes_json(tmp_path: Path, config: Config) -> None:
    """`flyte run --local` reads a table from JSON."""
    write(config("t"), frame(4))
    (tmp_path / "cli.py").write_text(SCRIPT)
    program = str(Path(sys.executable).with_name("flyte"))
    table = json.dumps({"config": config("t").to_dict()})
    argv = [program, "run", "--local", "cli.py", "rows", "--table", table, "--n", "2"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert "rows: [4, 4]" in done.stdout, done.stdout + done.stderr


def test_what_a_script_reads_it_reads_as_before(config: Config) -> None:
    """Outside of tasks the border answers as a script's runtime."""
    assert isinstance(write(config("t"), frame(1)).commit, Commit)
    assert read(config("t"))["a"].tolist() == [1]
    with pytest.raises(DoltError, match="nosuch"):
        read(config("t", branch_conf=SerialBranch("nosuch")))
