"""Who runs the code that reads and writes: a script, or a task of a platform such as Flyte.

Reading, writing and merging ask the current runtime what they cannot know: the value of a secret, what a commit says of
the running task, how a passing fault is raised so that the platform runs the task again. `Runtime` is that of scripts
and notebooks. The border to a platform subclasses it and registers one instance when it is imported; it answers as
`Runtime` does while no task of its platform runs. Where two platforms are in one process, the nearest task decides.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...doltdb.redaction import Password
from ..errors import NotRegistered, SecretNotFound, UntrustedInput
from . import trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ..api.table import DoltTable
    from .audits import Audit
    from .configs import Commit, DoltConfig, Secret
    from .trust import Target


@dataclass(frozen=True)
class RowsRead:
    """Rows of one table that were read from a branch as it was then."""

    commit: str
    """Hash of the commit that they were read at."""
    branch: str | None
    is_whole: bool = True
    """Whether all rows and columns were read."""
    since: datetime | None = None
    """When the reader began, where the branch may have been further on already; None where this was its head."""


@dataclass(frozen=True)
class Basis:
    """What a frame that replaces a table was made from."""

    reads: Sequence[RowsRead]
    written: frozenset[str] = frozenset()
    """Hashes of the commits that the running task itself has made."""
    node: tuple[str, str | None] | None = None
    """Execution and node on a cluster, the same for each attempt and each index of a map task; None for local runs."""
    is_given: bool = False
    """Whether the user has said it, instead of its being what the running task has read."""


class Runtime:
    """The runtime of scripts and notebooks: no task, no retries, secrets from environment variables."""

    platform = ""
    """The module that starts tasks of this platform; none starts scripts."""

    def nearness(self) -> int:
        """Say how near a task of this platform is: 2 runs here, 1 runs elsewhere in this process, 0 none does."""
        return 0

    def secret(self, secret: Secret, targets: Sequence[Target] = ()) -> Password:
        """Return the value of ``secret``, which is going to be sent to ``targets``.

        Raises:
            SecretNotFound: it is not here.
            UntrustedInput: a value that arrived names a target, and nobody else does.
        """
        try:
            trust.check_login(secret, targets, requested=self.requested_secrets)
        except UntrustedInput:
            self.secret_value(secret)  # where there is nothing to be sent, that is what has to be said
            raise
        return self.secret_value(secret)

    def secret_value(self, secret: Secret) -> Password:
        """Return the value of ``secret``; a script has it in the variable in which Flyte's local runs look for it.

        Raises:
            SecretNotFound: it is not there.
        """
        parts = (secret.group, secret.version, secret.key)
        variable = "_FSEC_" + "_".join(part.upper() for part in parts if part)
        if variable not in os.environ:
            raise SecretNotFound(
                f"Cannot read the secret with group {secret.group!r} and key {secret.key!r}: it is not here. Set the "
                f"environment variable {variable}.",
                group=secret.group,
                key=secret.key,
            )
        return Password(os.environ[variable])

    def requested_secrets(self) -> list[Secret] | None:
        """Return the secrets that the running task asks for; None where no task runs."""
        return None

    def retryable(self) -> AbstractContextManager[None]:
        """Return a context in which a passing fault is raised so that the platform runs the task again."""
        return nullcontext()

    def commit_message(self, config: DoltConfig, first_line: str | None) -> str | None:
        """Return the message of a commit that the running task makes with ``config``; None where no task runs."""
        return None

    def note_resolved(self, config: DoltConfig, commit: Commit) -> None:
        """Remember that ``commit`` is what the branch of ``config`` has now, while the running task works."""

    def note_read(self, config: DoltConfig, commit: Commit, *, columns: Sequence[str] | None = None) -> None:
        """Remember that the running task has the rows of ``config`` at ``commit``, or only some ``columns``."""

    def note_written(self, commit: Commit) -> None:
        """Remember that the running task made ``commit``."""

    def show_audit(self, audit: Audit) -> None:
        """Show what a merge was checked for beside the running task."""

    def basis(self, config: DoltConfig) -> Basis | None:
        """Return what the running task has read of the table that it writes with ``config``; None where none runs."""
        return None

    def resolve_in_task(self, table: DoltTable) -> DoltTable | None:
        """Return, at its commit, a table that a task made itself; None where no task runs."""
        return None

    def as_read(self, table: DoltTable) -> DoltTable:
        """Return the table at the commit at which the running task has read it, or as it is where it has not."""
        return table

    def is_compiling(self) -> bool:
        """Whether a workflow is being compiled, in which no rows are there yet."""
        return False

    def stale_reference(self) -> str:
        """Return what else may be why a repository has not the commit that a table names, and what to do then."""
        return ""

    def resolve_nested(self, table: DoltTable) -> DoltTable:
        """Return a table that came inside another value as one that came by itself."""
        return table


travelling: ContextVar[bool] = ContextVar("travelling", default=False)
"""Whether what is pickled goes to another task as a value: then no rows are."""

_OF_A_SCRIPT = Runtime()
_registered: list[Runtime] = []
"""One for each platform whose border is imported."""

_instead: list[Runtime] = []
"""What is current whatever is registered."""


def current() -> Runtime:
    """Return the runtime of the task that runs; where none runs flytekit's, the other platform's, or that of scripts.

    Raises:
        NotRegistered: a platform is imported, and its border is not registered: tasks would not know our types.
    """
    if _instead:
        return _instead[-1]
    _refuse_unknown_platforms()
    if len(_registered) < 2:
        return _registered[0] if _registered else _OF_A_SCRIPT
    return max(_registered, key=lambda each: (each.nearness(), each.platform))


def _refuse_unknown_platforms() -> None:
    known = {each.platform for each in _registered}
    if "flytekit" in sys.modules and not known:
        raise NotRegistered(
            "Cannot read or write: flytekit was imported after flytekitplugins.dolt, and does not know of it, because "
            "the package is not installed: it has no entry point. Install it, or import flytekitplugins.dolt.flyte."
        )
    if "flyte" not in known and _flyte2_runs():
        raise NotRegistered(
            "Cannot read or write: a task of Flyte 2 runs, and Flyte 2 does not know of flytekitplugins.dolt: its "
            "entry point is missing, or failed, as Flyte's log says then. Install the package, or import "
            "flyteplugins.dolt."
        )


def _flyte2_runs() -> bool:
    context = getattr(sys.modules.get("flyte"), "ctx", None)
    return callable(context) and bool(context())


def register(runtime: Runtime) -> None:
    """Make ``runtime`` the one of its platform, in all threads of this process."""
    _registered[:] = [*(each for each in _registered if each.platform != runtime.platform), runtime]


@contextmanager
def registered(runtime: Runtime) -> Iterator[None]:
    """Have ``runtime`` the current one inside the block, in all threads of this process."""
    _instead.append(runtime)
    try:
        yield
    finally:
        _instead.remove(runtime)
