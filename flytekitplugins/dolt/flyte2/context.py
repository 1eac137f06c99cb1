"""Who runs: what Flyte 2 tells of the action that makes a commit, as the commit's trailers and the write's key.

It reads `flyte.ctx` and asks no server. That says nothing of the task itself, so a task is noted when it is executed.
"""

from __future__ import annotations

import functools
import os
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import flyte
from flyte.types import TypeEngine

from ..api import task_run
from ..api.task_run import TaskRun
from ..errors import DoltError
from ..model.by_identity import ByIdentity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from flyte.extend import TaskTemplate
    from flyte.models import ActionID, TaskContext

    from ..api.table import DoltTable
    from ..model.configs import DoltConfig
    from ..model.provenance import Execution

_IN_A_POD = ("ACTION_NAME", "RUN_NAME")
"""The variables by which a pod learns what it runs."""


@dataclass
class Attempt:
    """One attempt of one action in this process, or the script around a local run."""

    run: TaskRun = field(default_factory=TaskRun)
    inputs: dict[str, Any] | None = None
    """The inputs of the task, once they are converted; what is converted later are results of other tasks."""
    resolved: dict[str, DoltTable] = field(default_factory=dict)
    """To which commit a table without one was resolved, so that looking again sees the same."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    task: TaskTemplate[Any, Any, Any] | None = None
    """What runs, once it does; None of a kind of task that executes itself in a way of its own."""


@dataclass(frozen=True)
class Running:
    """What runs here and now."""

    execution: Execution
    place: str
    """The same for each attempt of this action, another for every other action."""
    attempt: Attempt
    is_in_task: bool
    """False for the script around a local run, of which Flyte 2 makes an action, too."""
    is_local: bool
    is_handing_on: bool
    """Whether a task converts what it gives to another one, and not what it returns."""


# Flyte 2 makes one report for each attempt, which the scopes within it share; nothing else is the same in all of them.
_attempts: ByIdentity[Attempt] = ByIdentity()

_local_runs: ByIdentity[str] = ByIdentity()
"""Tells local runs apart, to which their author may give one name and one start. All that runs in one shares the place
of its raw data, an object that Flyte 2 makes anew for each."""


def running() -> Running | None:
    """Return what runs in the context of this thread; None where nothing of Flyte 2's does."""
    tctx = flyte.ctx()
    if not tctx:
        return None
    from ..model.provenance import Execution

    action: ActionID = tctx.task_action or tctx.action  # a traced function has an action of its own
    is_local = tctx.mode == "local"
    names = (action.project or "local", action.domain or "local", action.run_name)
    attempt = _attempts.of_or(tctx.report, Attempt)
    execution = Execution(
        id="ex:" + ":".join(str(name) for name in names),
        task=attempt.task.name if attempt.task is not None else None,
        task_version=None if is_local else tctx.version or None,
        node=action.name,
        attempt=None if is_local else os.environ.get("FLYTE_ATTEMPT_NUMBER", "0"),
        plugin=task_run.plugin(),
    )
    return Running(
        execution=execution,
        place=f"{execution.id} {action.name}{_of_this_run(tctx) if is_local else ''}",
        attempt=attempt,
        is_in_task=not (is_local and action.name == action.run_name),
        is_local=is_local,
        is_handing_on=tctx.in_driver_literal_conversion,
    )


def _of_this_run(tctx: TaskContext) -> str:
    return f" {_local_runs.of_or(tctx.raw_data_path, lambda: uuid.uuid4().hex)}"


def in_task() -> Running | None:
    """Return what runs here if it is a task."""
    now = running()
    return now if now is not None and now.is_in_task else None


def nearness() -> int:
    """Say how near a task of Flyte 2 is: 2 runs here, 1 may run elsewhere in this process, 0 none does."""
    if flyte.ctx():
        return 2
    return 1 if len(_attempts) else 0


def is_of_flyte() -> bool:
    """Whether Flyte 2 has started this process or what runs in it; otherwise it is a script of somebody's."""
    return nearness() > 0 or all(name in os.environ for name in _IN_A_POD)


def message(now: Running, config: DoltConfig, *, first: str | None = None, write_key: str | None = None) -> str:
    """Return the commit message: one line for people, then the trailers with all that is known for sure."""
    run = now.attempt.run if now.is_in_task else None
    inputs = now.attempt.inputs if now.is_in_task else None
    return task_run.message(now.execution, config, run=run, inputs=inputs, first=first, write_key=write_key)


def write_key(now: Running, config: DoltConfig, content: str | None = None) -> str:
    """Return what is the same for every attempt of this very write; to be asked once for each, in the writes' order.

    What a task hands on may be written in any order (`asyncio.gather`), so there the ``content`` counts, too, as it
    does in the names that Flyte 2 gives to actions: writes that share a key are of the same rows.
    """
    part = "" if content is None else f" {content}"
    return task_run.write_key(now.attempt.run, config, place=now.place, part=part)


def watch_inputs() -> None:
    """Have Flyte 2 tell which values are the inputs of the task that begins: the first that it converts for it."""
    original: Callable[..., Awaitable[dict[str, Any]]] = TypeEngine.literal_map_to_kwargs

    @functools.wraps(original)
    async def literal_map_to_kwargs(cls: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        now = running()
        if now is None or now.attempt.inputs is not None:
            return await original(*args, **kwargs)
        _watch_tasks()
        try:
            now.attempt.inputs = await original(*args, **kwargs)
        except Exception as error:
            ours = _ours(error)
            if ours is None or not now.is_in_task:
                raise
            now.attempt.inputs = {}
            return _WrongInputs(ours)
        return now.attempt.inputs

    TypeEngine.literal_map_to_kwargs = classmethod(literal_map_to_kwargs)


@functools.cache
def _watch_tasks() -> None:
    """Have Flyte 2 tell which task runs, from when its function does: its name, and whether anybody sees its report.

    `flyte.extend` takes 0.1 s to import, so this waits for the first task.
    """
    from flyte.extend import AsyncFunctionTaskTemplate

    kind: Any = AsyncFunctionTaskTemplate
    original: Callable[..., Awaitable[Any]] = kind.execute

    @functools.wraps(original)
    async def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        now = running()
        if now is not None:
            now.attempt.task = self
        return await original(self, *args, **kwargs)

    kind.execute = execute


def _ours(error: BaseException | None) -> DoltError | None:
    """Return the error of ours of which Flyte 2 has made its own; None if there is none."""
    while error is not None and not isinstance(error, DoltError):
        error = error.__cause__ or error.__context__
    return error


class _WrongInputs(dict[str, Any]):
    """Inputs of which one could not be converted: whoever gives them to the task's function gets the error.

    Flyte 2 writes an error file for what goes wrong there, and repeats the task if that may help; for what goes wrong
    while inputs are converted it does neither.
    """

    def __init__(self, error: DoltError) -> None:
        super().__init__()
        self._error = error

    def __iter__(self) -> Iterator[str]:
        raise self._error

    def keys(self) -> Any:
        """Raise the error: it is what ``**`` asks for."""
        raise self._error
