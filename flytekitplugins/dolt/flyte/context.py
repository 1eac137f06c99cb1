"""Who runs: what Flyte knows of the execution that makes a commit, and what it read before, as the commit's message.

Reads flytekit's context only; it never looks at rows, and asks no server. Cheap to import, because ``import flytekit``
does so.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import uuid
import weakref
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from typing import TYPE_CHECKING, Any

from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.base_task import PythonTask
from flytekit.core.context_manager import ExecutionState, FlyteContextManager

from ..errors import QueryRefused
from ..model.runtime import Basis, RowsRead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


def is_compiling(ctx: FlyteContext) -> bool:
    """Whether the body of a workflow runs to find its nodes; a dynamic task compiles with rows that are there."""
    return ctx.compilation_state is not None and not is_in_task(ctx)


class TaskRun:
    """One run of one task in this process: numbers its writes, notes its reads, and is its identity locally."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        now = datetime.now(timezone.utc)
        self.began = now.replace(microsecond=now.microsecond // 1000 * 1000)  # Dolt keeps milliseconds of a commit
        self._lock = threading.Lock()
        self._writes: dict[str, int] = {}
        self._reads: dict[ReadRecord, None] = {}
        self._consumed: dict[tuple[str, str], dict[Consumed, None]] = {}
        self._resolved: set[tuple[str, str]] = set()
        self._rows: dict[tuple[str, str], dict[RowsRead, None]] = {}
        self._written: set[str] = set()

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

    def resolve(self, config: DoltConfig, commit: str) -> None:
        """Remember that a branch was at ``commit`` after the task began."""
        from ..model import provenance

        with self._lock:
            self._resolved.add((provenance.address_of(config), commit))

    def take_rows(self, config: DoltConfig, tables: Iterable[str], commit: Commit, *, is_whole: bool) -> None:
        """Remember that the task has rows of ``tables`` as a branch had them at ``commit``."""
        from ..model import naming, provenance

        place = provenance.address_of(config)
        with self._lock:
            since = None if (place, commit.hash) in self._resolved else self.began
            read = RowsRead(commit.hash, commit.branch, is_whole, since)
            for table in tables:
                self._rows.setdefault((place, naming.lowered(table)), {})[read] = None

    def rows(self, config: DoltConfig) -> tuple[RowsRead, ...]:
        """Return what the task has of the table that ``config`` names."""
        with self._lock:
            return tuple(self._rows.get(_target(config), {}))

    def wrote(self, commit: str) -> None:
        """Remember a commit that the task made."""
        with self._lock:
            self._written.add(commit)

    def written(self) -> frozenset[str]:
        """Return the commits that the task has made until now."""
        with self._lock:
            return frozenset(self._written)

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


def note_resolved(config: DoltConfig, commit: Commit, *, ctx: FlyteContext | None = None) -> None:
    """Remember that the branch of ``config`` was at ``commit`` after the running task began."""
    ctx = ctx or FlyteContextManager.current_context()
    if is_in_task(ctx) and config.as_of is None:
        _execution(ctx).resolve(config, commit.hash)


def note_rows(
    config: DoltConfig, commit: Commit, columns: Sequence[str] | None, *, ctx: FlyteContext | None = None
) -> None:
    """Remember that the running task has rows of ``config`` at ``commit``; those of the past are no branch's own."""
    ctx = ctx or FlyteContextManager.current_context()
    if not is_in_task(ctx) or config.as_of is not None or (config.changes and config.changes.until):
        return
    is_whole = not (columns or config.sql or config.changes or config.options().get("columns"))
    _execution(ctx).take_rows(config, _tables(config), commit, is_whole=is_whole)


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
    from ..model import messages, provenance

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
        why=messages.rendered(config.message, _inputs(ctx)) if config.message else None,
    )


def _inputs(ctx: FlyteContext) -> dict[str, Any] | None:
    """Return the inputs of the task that runs in this context, as the task got them; None where none does."""
    found = _by_parameters.get(ctx.user_space_params) if ctx.user_space_params is not None else None
    return None if found is None else dict(found.inputs or {})


def _execution_name(ctx: FlyteContext) -> str:
    parameters = ctx.user_space_params
    found = parameters.execution_id if parameters is not None else None
    return f"ex:{found.project}:{found.domain}:{found.name}" if found is not None else "ex:::"


def _plugin() -> str | None:
    try:
        return f"{_DISTRIBUTION} {metadata.version(_DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        return None  # run from its sources


def _tables(config: DoltConfig) -> list[str]:
    """Return the tables that ``config`` reads as its branch has them."""
    if config.sql is None:
        return [str(config.tablename)]
    return [read.table for read in _reads(config, "") if read.table is not None and not read.commit]


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
    branch = config.branch_conf.to_dict() if config.branch_conf is not None else ""
    target = f"{config.tablename}@{branch}@{os.fspath(config.db_path)}"
    running = _execution(ctx)
    node_and_index = re.sub(r"/data/\d+", "/data", _output_prefix(ctx)[0])  # whichever attempt of the whole node
    place = f"{_execution_name(ctx)} {node_and_index}" if node_and_index else running.id
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{place} {target} {running.ordinal(target)}").hex
