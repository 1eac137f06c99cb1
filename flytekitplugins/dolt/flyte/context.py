"""Who runs: what Flyte knows of the execution that makes a commit, and what it read before, as the commit's message.

Reads flytekit's context only; it never looks at rows, and asks no server. Cheap to import, because ``import flytekit``
does so.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import uuid
import weakref
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from flytekit.core.context_manager import ExecutionState, FlyteContextManager

from ..errors import QueryRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from flytekit.core.context_manager import FlyteContext

    from ..model.configs import Commit, DoltConfig
    from ..model.provenance import Consumed, ReadRecord

_DISTRIBUTION = "flytekitplugins-doltdb"

_IN_A_POD = "FLYTE_INTERNAL_EXECUTION_ID"

_ON_A_CLUSTER = {
    ExecutionState.Mode.TASK_EXECUTION,
    ExecutionState.Mode.DYNAMIC_TASK_EXECUTION,
    ExecutionState.Mode.EAGER_EXECUTION,
}


def is_executing(ctx: FlyteContext) -> bool:
    """Whether something runs: while it compiles or registers, flytekit has no execution mode."""
    return ctx.execution_state is not None and ctx.execution_state.mode is not None


class TaskRun:
    """One run of one task in this process: numbers its writes, notes its reads, and is its identity locally."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._writes: dict[str, int] = {}
        self._reads: dict[ReadRecord, None] = {}
        self._consumed: dict[tuple[str, str], dict[Consumed, None]] = {}

    def ordinal(self, target: str) -> int:
        """Return how many writes to ``target`` there were before this one."""
        with self._lock:
            number = self._writes.get(target, 0)
            self._writes[target] = number + 1
            return number

    def note(self, reads: list[ReadRecord]) -> None:
        """Remember what was read; again and again is once."""
        with self._lock:
            self._reads.update(dict.fromkeys(reads))

    def consume(self, config: DoltConfig, commit: str) -> None:
        """Remember that changes up to ``commit`` go into a table, if the config says into which."""
        from ..model import provenance

        if config.changes is not None and config.changes.into is not None:
            into = config.changes.into
            with self._lock:
                lines = self._consumed.setdefault(_target(into), {})
                lines[provenance.consumed_by(into, config, commit)] = None

    def consumed(self, config: DoltConfig) -> tuple[Consumed, ...]:
        """Return what was consumed to be written with ``config``."""
        with self._lock:
            return tuple(self._consumed.get(_target(config), {}))

    def reads(self, here: str) -> tuple[ReadRecord, ...]:
        """Return what was read until now, with the repository ``here`` under its short name."""
        from ..model import provenance

        with self._lock:
            found = list(self._reads)
        return tuple(replace(read, repository=provenance.HERE) if read.repository == here else read for read in found)


def _target(config: DoltConfig) -> tuple[str, str]:
    """Return what is the same for all configs of one table, however its name is spelt."""
    from ..model import naming, provenance

    return provenance.address_of(config), naming.lowered(config.tablename or "")


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
        _execution(ctx).note(_reads(config, commit.hash))
        _execution(ctx).consume(config, commit.hash)


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
        plugin=_plugin(),
    )
    mode = config.options().get("mode", "replace")
    return provenance.compose(
        first,
        provenance.Provenance(
            execution=running,
            writes=(provenance.WriteRecord(config.tablename, mode),) if config.tablename else (),
            reads=_execution(ctx).reads(provenance.address_of(config)) if is_in_task(ctx) else (),
            write_key=write_key,
            consumed=_execution(ctx).consumed(config) if is_in_task(ctx) else (),
        ),
    )


def _execution_name(ctx: FlyteContext) -> str:
    parameters = ctx.user_space_params
    found = parameters.execution_id if parameters is not None else None
    return f"ex:{found.project}:{found.domain}:{found.name}" if found is not None else "ex:::"


def _plugin() -> str | None:
    try:
        return f"{_DISTRIBUTION} {metadata.version(_DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        return None  # run from its sources


def _reads(config: DoltConfig, commit: str) -> list[ReadRecord]:
    """Return what reading ``config`` at ``commit`` reads: its table, or the tables that its query names."""
    from ..model import provenance

    place = provenance.address_of(config)
    if config.sql is None:
        return [provenance.ReadRecord(commit, place, table=config.tablename)]
    from ..query import validation  # loads a parser

    query = provenance.digest(config.sql)
    try:
        sources = validation.sources(config.sql)
    except QueryRefused:
        sources = ()
    reads = [
        provenance.ReadRecord(source.commit or commit, place, table=source.table, query=query) for source in sources
    ]
    return reads or [provenance.ReadRecord(commit, place, query=query)]


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
    """Return the task that runs locally in this context, None where none does.

    flytekit gives every local task the same made-up name, so the task is that whose ``dispatch_execute`` is under way
    with the parameters of this context: on this thread for a task's own code, on another one for conversions.
    """
    return next((task for task, parameters in _dispatched() if parameters is ctx.user_space_params), None)


def running_tasks() -> list[Any]:
    """Return the task that runs in the context of this thread; in a thread that has none, all that are under way."""
    mine = local_task(FlyteContextManager.current_context())
    return [mine] if mine is not None else [task for task, _ in _dispatched()]


def is_of_flyte() -> bool:
    """Whether Flyte has started this process or what runs in this thread; otherwise it is a script of somebody's."""
    return _IN_A_POD in os.environ or is_executing(FlyteContextManager.current_context())


def _dispatched() -> Iterator[tuple[Any, Any]]:
    """Give each task whose ``dispatch_execute`` is under way in this process, and the parameters it runs with.

    Those of this thread come first: what other threads do meanwhile is looked at only as far as it is needed.
    """
    frames = sys._current_frames()
    for innermost in (frames.pop(threading.get_ident()), *frames.values()):
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code.co_name == "dispatch_execute":
                local = frame.f_locals
                yield local.get("self"), getattr(local.get("exec_ctx"), "user_space_params", None)
            frame = frame.f_back


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
    branch = config.branch_conf.to_dict() if config.branch_conf is not None else ""
    target = f"{config.tablename}@{branch}@{os.fspath(config.db_path)}"
    running = _execution(ctx)
    node_and_index = re.sub(r"/data/\d+", "/data", _output_prefix(ctx)[0])  # whichever attempt of the whole node
    place = f"{_execution_name(ctx)} {node_and_index}" if node_and_index else running.id
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{place} {target} {running.ordinal(target)}").hex
