"""Flyte as the runtime of what reads and writes: the running task, its secrets, its retries."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from flytekit.core.context_manager import FlyteContextManager

from ...doltdb.redaction import Password
from ..api.table import DoltTable
from ..model import runtime
from ..model.configs import Commit, DoltConfig, Secret
from . import context, secrets, value_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.audits import Audit


class FlyteRuntime(runtime.Runtime):
    """What flytekit knows of the task that runs on this thread; outside a task it answers as a script's runtime."""

    platform = "flytekit"

    def nearness(self) -> int:
        """Say how near a task or a compilation of flytekit is."""
        ctx = FlyteContextManager.current_context()
        if context.is_executing(ctx) or ctx.compilation_state is not None:
            return 2
        return 1 if context.running_tasks() else 0

    def secret_value(self, secret: Secret) -> Password:
        """Return the value of ``secret``, from where Flyte mounts it or, in a local run, from the environment."""
        return secrets.value(secret)

    def requested_secrets(self) -> list[Secret] | None:
        """Return the secrets that the running task asks for; None where none runs, in no process of a pod."""
        return secrets.requested()

    def retryable(self) -> AbstractContextManager[None]:
        """Return a context in which a passing fault is an error after which Flyte runs the task again."""
        return value_types.retryable()

    def commit_message(self, config: DoltConfig, first_line: str | None) -> str | None:
        """Return ``first_line`` and the trailers of the running task; None outside a task."""
        return context.commit_message(config, first_line)

    def note_resolved(self, config: DoltConfig, commit: Commit) -> None:
        """Remember that a branch was at ``commit`` while the running task works."""
        context.note_resolved(config, commit)

    def note_read(self, config: DoltConfig, commit: Commit, *, columns: Sequence[str] | None = None) -> None:
        """Remember what the running task has read, for the commits that it makes."""
        context.note_read(config, commit)
        context.note_rows(config, commit, columns)

    def note_written(self, commit: Commit) -> None:
        """Remember that the running task made ``commit``."""
        context.note_written(commit)

    def show_audit(self, audit: Audit) -> None:
        """Show what a merge was checked for in the running task's deck, if it has one."""
        from . import decks

        decks.show_audit(audit)

    def basis(self, config: DoltConfig) -> runtime.Basis | None:
        """Return what the running task has read of the table that it writes with ``config``; None outside a task."""
        return context.basis(config)

    def resolve_in_task(self, table: DoltTable) -> DoltTable | None:
        """Return a table that a task made itself, at the commit that the task found first; None outside a task."""
        return value_types.resolve_in_task(table)

    def as_read(self, table: DoltTable) -> DoltTable:
        """Return a table that a task made itself at the commit at which the task has read it, or as it is."""
        return value_types.task_inputs.as_read(FlyteContextManager.current_context(), table)

    def is_compiling(self) -> bool:
        """Whether the body of a workflow runs to find its nodes, before any task does."""
        return context.is_compiling(FlyteContextManager.current_context())

    def stale_reference(self) -> str:
        """Return that Flyte's cache may name a commit of a repository that is not there any more."""
        from . import cache

        return cache.STALE_REFERENCE

    def resolve_nested(self, table: DoltTable) -> DoltTable:
        """Return a table that came inside another value at its commit; what is wrong is raised when it is read."""
        return value_types.resolve_nested(table)
