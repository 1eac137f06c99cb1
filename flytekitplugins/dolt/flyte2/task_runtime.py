"""Flyte 2 as the runtime of what reads and writes: the running task, its secrets, its retries."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ...doltdb.redaction import Password
from ..api.table import DoltTable
from ..errors import SecretNotFound
from ..model import runtime
from ..model.configs import Commit, DoltConfig, Secret
from . import context, faults, secrets, values

if TYPE_CHECKING:
    from collections.abc import Sequence


class Flyte2Runtime(runtime.Runtime):
    """What Flyte 2 knows of the task that runs in this context; outside a task it answers as a script's runtime."""

    platform = "flyte"

    def nearness(self) -> int:
        """Say how near a task of Flyte 2 is."""
        return context.nearness()

    def secret_value(self, secret: Secret) -> Password:
        """Return the value of ``secret``, where Flyte 2 keeps it; of a script, also where scripts do."""
        try:
            return secrets.value(secret)
        except SecretNotFound as missing:
            try:
                return super().secret_value(secret)
            except SecretNotFound:
                raise missing from None

    def requested_secrets(self) -> list[Secret] | None:
        """Return the secrets that this program's tasks ask for; None where none runs."""
        return secrets.requested()

    def retryable(self) -> AbstractContextManager[None]:
        """Return a context in which a permanent fault is an error after which Flyte 2 does not run the task again."""
        return faults.marked()

    def commit_message(self, config: DoltConfig, first_line: str | None) -> str | None:
        """Return ``first_line`` and the trailers of the running task; None outside a task.

        It has no write key: which write of a task's code this one is cannot be known when it runs again.
        """
        now = context.in_task()
        return context.message(now, config, first=first_line) if now is not None else None

    def note_resolved(self, config: DoltConfig, commit: Commit) -> None:
        """Remember that a branch was at ``commit`` while the running task works."""
        now = context.in_task()
        if now is not None:
            now.attempt.run.note_resolved(config, commit)

    def note_read(self, config: DoltConfig, commit: Commit, *, columns: Sequence[str] | None = None) -> None:
        """Remember what the running task has read, for the commits that it makes."""
        now = context.in_task()
        if now is not None:
            now.attempt.run.note_read(config, commit)
            now.attempt.run.note_rows(config, commit, columns)

    def note_written(self, commit: Commit) -> None:
        """Remember that the running task made ``commit``."""
        now = context.in_task()
        if now is not None:
            now.attempt.run.wrote(commit.hash)

    def basis(self, config: DoltConfig) -> runtime.Basis | None:
        """Return what the running task has read of the table that it writes with ``config``; None outside a task."""
        now = context.in_task()
        return values.basis(now, config) if now is not None else None

    def resolve_in_task(self, table: DoltTable) -> DoltTable | None:
        """Return a table that a task made itself, at the commit that the task found first; None outside a task."""
        now = context.in_task()
        if now is None:
            return None
        with faults.marked():
            return values.resolved(now, table)

    def as_read(self, table: DoltTable) -> DoltTable:
        """Return a table that a task made itself at the commit at which the task has read it, or as it is."""
        now = context.running()
        if table.commit is not None or now is None:
            return table
        return now.attempt.resolved.get(table.to_json(), table)

    def stale_reference(self) -> str:
        """Return that Flyte's cache may name a commit of a repository that is not there any more."""
        return (
            "If the repository was removed or made anew since, the reference may come from Flyte's cache, which names "
            "the old one: give the cached task another version, or run it without the cache."
        )

    def resolve_nested(self, table: DoltTable) -> DoltTable:
        """Return a table that came inside another value; one without a commit gets it when its rows are looked at.

        It is called in the event loop, in which no server is asked.
        """
        now = context.running()
        if now is not None and table.commit is None:
            table.resolution_failed = True
        return values.arrived(table)
