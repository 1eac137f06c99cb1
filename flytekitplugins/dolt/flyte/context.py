"""Who runs: what Flyte knows of the execution that makes a commit, and what it read before, as the commit's message.

Reads flytekit's context only; it never looks at rows, and asks no server. Cheap to import, because ``import flytekit``
does so.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.base_task import PythonTask
from flytekit.core.context_manager import ExecutionState, FlyteContextManager

from ..api import task_run
from ..api.task_run import TaskRun
from ..model.runtime import Basis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flytekit.core.context_manager import FlyteContext

    from ..model.configs import Commit, DoltConfig

_IN_A_POD = "FLYTE_INTERNAL_EXECUTION_ID"

_ON_A_CLUSTER = {
    ExecutionState.Mode.TASK_EXECUTION,
    ExecutionState.Mode.DYNAMIC_TASK_EXECUTION,
    ExecutionState.Mode.EAGER_EXECUTION,
}


def is_executing(ctx: FlyteContext) -> bool:
    """Whether something runs: while it compiles or registers, flytekit has no execution mode."""
    return ctx.execution_state is not None and ctx.execution_state.mode is not None


def is_compiling(ctx: FlyteContext) -> bool:
    """Whether the body of a workflow runs to find its nodes; a dynamic task compiles with rows that are there."""
    return ctx.compilation_state is not None and not is_in_task(ctx)


# flytekit hands the same parameters object to every conversion of one task execution, and another to the next.
_executions: weakref.WeakKeyDictionary[Any, TaskRun] = weakref.WeakKeyDictionary()
_executions_lock = threading.Lock()


def _execution(ctx: FlyteContext) -> TaskRun:
    with _executions_lock:
        return _executions.setdefault(ctx.user_space_params, TaskRun())


def note_read(config: DoltConfig, commit: Commit, *, ctx: FlyteContext | None = None) -> None:
    """Remember for the commits of the running task that it read ``config`` at ``commit``; outside a task, do nothing.

    ``ctx`` is flytekit's context; None is the one of this thread, which a thread that the author started lacks.
    """
    ctx = ctx or FlyteContextManager.current_context()
    if is_in_task(ctx):
        _execution(ctx).note_read(config, commit)


def note_resolved(config: DoltConfig, commit: Commit, *, ctx: FlyteContext | None = None) -> None:
    """Remember that the branch of ``config`` was at ``commit`` after the running task began."""
    ctx = ctx or FlyteContextManager.current_context()
    if is_in_task(ctx):
        _execution(ctx).note_resolved(config, commit)


def note_rows(
    config: DoltConfig, commit: Commit, columns: Sequence[str] | None, *, ctx: FlyteContext | None = None
) -> None:
    """Remember that the running task has rows of ``config`` at ``commit``; those of the past are no branch's own."""
    ctx = ctx or FlyteContextManager.current_context()
    if is_in_task(ctx):
        _execution(ctx).note_rows(config, commit, columns)


def note_written(commit: Commit, *, ctx: FlyteContext | None = None) -> None:
    """Remember that the running task made ``commit``."""
    ctx = ctx or FlyteContextManager.current_context()
    if is_in_task(ctx):
        _execution(ctx).wrote(commit.hash)


def basis(config: DoltConfig, *, ctx: FlyteContext | None = None) -> Basis | None:
    """Return what the running task has read of the table that it writes with ``config``; None outside a task."""
    ctx = ctx or FlyteContextManager.current_context()
    if not is_in_task(ctx):
        return None
    running = _execution(ctx)
    node = None if _is_local(ctx) else (_execution_name(ctx), _node(ctx))  # all local runs have the same name
    return Basis(running.rows(config), running.written(), node)


def message(ctx: FlyteContext, config: DoltConfig, *, write_key: str | None = None) -> str:
    """Return the commit message: one line for people, then Git-style trailers with all that is known for sure."""
    return _message(ctx, config, None, write_key)


def commit_message(config: DoltConfig, first: str | None) -> str | None:
    """Return the message of a commit that a task's own code makes: ``first``, then the trailers; None outside a task.

    It has no write key: which write of a task's code this one is cannot be known when it runs again.
    """
    ctx = FlyteContextManager.current_context()
    return _message(ctx, config, first, None) if is_in_task(ctx) else None


def _message(ctx: FlyteContext, config: DoltConfig, first: str | None, write_key: str | None) -> str:
    from ..model import provenance

    task = ctx.user_space_params.task_id if not _is_local(ctx) else None
    running = provenance.Execution(
        id=_execution_name(ctx),
        task=_task_name(ctx),
        task_version=(task.version or None) if task is not None else None,
        node=_node(ctx),
        attempt=_attempt(ctx),
        plugin=task_run.plugin(),
    )
    run = _execution(ctx) if is_in_task(ctx) else None
    return task_run.message(running, config, run=run, inputs=_inputs(ctx), first=first, write_key=write_key)


def _inputs(ctx: FlyteContext) -> dict[str, Any] | None:
    """Return the inputs of the task that runs in this context, as the task got them; None where none does."""
    found = _by_parameters.get(ctx.user_space_params) if ctx.user_space_params is not None else None
    return None if found is None else dict(found.inputs or {})


def _execution_name(ctx: FlyteContext) -> str:
    parameters = ctx.user_space_params
    found = parameters.execution_id if parameters is not None else None
    return f"ex:{found.project}:{found.domain}:{found.name}" if found is not None else "ex:::"


def _is_local(ctx: FlyteContext) -> bool:
    return ctx.execution_state is None or ctx.execution_state.mode not in _ON_A_CLUSTER


def is_in_task(ctx: FlyteContext) -> bool:
    """Whether a task runs in this context, and not only the workflow or script around it."""
    if ctx.user_space_params is None or not is_executing(ctx):
        return False
    return not _is_local(ctx) or _local_task(ctx) is not None


def _task_name(ctx: FlyteContext) -> str | None:
    if _is_local(ctx):
        return _local_task(ctx)
    task = ctx.user_space_params.task_id
    return task.name if task is not None else None


def _local_task(ctx: FlyteContext) -> str | None:
    """Return the name of the task that runs locally in this context, None where none does."""
    return str(getattr(local_task(ctx), "name", None) or "") or None


def local_task(ctx: FlyteContext) -> Any:
    """Return the task that runs locally in this context, None where none does."""
    found = _by_parameters.get(ctx.user_space_params) if ctx.user_space_params is not None else None
    return None if found is None else found.task


def running_tasks() -> list[Any]:
    """Return the task that runs in the context of this thread; in a thread that has none, all that are under way."""
    mine = local_task(FlyteContextManager.current_context())
    return [mine] if mine is not None else [found.task for found in list(_under_way)]


def is_of_flyte() -> bool:
    """Whether Flyte has started this process or what runs in this thread; otherwise it is a script of somebody's."""
    return _IN_A_POD in os.environ or is_executing(FlyteContextManager.current_context())


class _Dispatched:
    """A task that is under way in this process, and its inputs once they are converted."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.inputs: dict[str, Any] | None = None
        self._parameters: weakref.ref[Any] | None = None
        self._before: _Dispatched | None = None

    def begin(self, parameters: Any) -> None:
        """Be what runs with these execution parameters."""
        self._parameters, self._before = weakref.ref(parameters), _by_parameters.get(parameters)
        _by_parameters[parameters] = self

    def end(self) -> None:
        """Let that be which ran with them before, if any did."""
        parameters = self._parameters() if self._parameters is not None else None
        if parameters is not None and self._before is not None:
            _by_parameters[parameters] = self._before
        elif parameters is not None:
            _by_parameters.pop(parameters, None)


_under_way: list[_Dispatched] = []
_innermost: ContextVar[_Dispatched | None] = ContextVar("innermost", default=None)
_by_parameters: weakref.WeakKeyDictionary[Any, _Dispatched] = weakref.WeakKeyDictionary()


def watch_tasks() -> None:
    """Have flytekit's tasks tell when they begin and end, and the execution parameters that they run with.

    It gives every local task the same made-up name, and keeps nowhere which task a context belongs to.
    """
    if getattr(PythonTask.dispatch_execute, "of_dolt", False):
        return
    PythonTask.dispatch_execute = _telling_when_it_ends(PythonTask.dispatch_execute)
    for kind in (PythonTask, ArrayNodeMapTask):
        kind._literal_map_to_python_input = _telling_inputs(kind._literal_map_to_python_input)


def _telling_when_it_ends(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def dispatch_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = _Dispatched(self)
        _under_way.append(found)
        token = _innermost.set(found)
        try:
            return original(self, *args, **kwargs)
        finally:
            _innermost.reset(token)
            _under_way.remove(found)
            found.end()

    dispatch_execute.of_dolt = True  # type: ignore[attr-defined]
    return dispatch_execute


def _telling_inputs(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def _literal_map_to_python_input(self: Any, literal_map: Any, ctx: FlyteContext) -> Any:
        found = _innermost.get()
        if found is None or found.task is not self or ctx.user_space_params is None:
            return original(self, literal_map, ctx)
        found.begin(ctx.user_space_params)
        found.inputs = original(self, literal_map, ctx)
        return found.inputs

    return _literal_map_to_python_input


def _output_prefix(ctx: FlyteContext) -> tuple[str, str]:
    """Return where the outputs of this node (and map index) go, and the attempt; both empty where it is not known.

    Flyte writes the outputs of a node to ``.../<execution>/<node>/data/<attempt>``, those of one index of a map task
    to ``.../<node>/data/<attempt>/<index>/<attempt>``.
    """
    prefix = getattr(ctx.user_space_params, "output_metadata_prefix", None)
    if _is_local(ctx) or not prefix:
        return "", ""
    place, _, attempt = str(prefix).rstrip("/").rpartition("/")
    return place, attempt


def _node(ctx: FlyteContext) -> str | None:
    before, data, _ = (_output_prefix(ctx)[0] + "/").rpartition("/data/")
    return before.rpartition("/")[2] if data else None


def _attempt(ctx: FlyteContext) -> str | None:
    attempt = _output_prefix(ctx)[1]
    return attempt if attempt.isdigit() else None


def write_key(ctx: FlyteContext, config: DoltConfig) -> str:
    """Return what is the same for every attempt of this very write, and different for every other write.

    To be asked once for each write: the second one of a task to the same target has another key. A local run is never
    tried again by flytekit, so its keys are its own.
    """
    running = _execution(ctx)
    node_and_index = re.sub(r"/data/\d+", "/data", _output_prefix(ctx)[0])  # whichever attempt of the whole node
    place = f"{_execution_name(ctx)} {node_and_index}" if node_and_index else running.id
    return task_run.write_key(running, config, place=place)
