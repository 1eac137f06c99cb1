"""Writing to a remote: fetch, write on the head that it has, push; and deleting a branch there.

When somebody else's push was faster, all is done once more on the new head, so that the result is that of one writer
after the other.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import (
    ConnectionLost,
    DoltError,
    HeadMoved,
    InvalidConfig,
    OutcomeUnknown,
    RepositoryBusy,
    RevisionNotFound,
    UncommittedChanges,
    attempting,
)
from ..model.configs import Branch, Commit, NewBranch, SerialBranch
from ..repository import branch_locks, clones, refs, remotes
from ..repository.clones import CloneSource
from ..repository.connections import Connection, connect
from . import publishing, revisions
from .publishing import WriteJob, WriteResult

MAX_ATTEMPTS = 30
"""How often a write is done again because another push was faster, before giving up."""


def publish(origin: CloneSource, policy: Branch | None, job: WriteJob) -> WriteResult:
    """Do the job in a clone whose branch is at the remote's head, and push that branch; all once more when it moved.

    Nothing is pushed when it changed nothing on an existing branch.

    Raises:
        BranchNotFound: the remote does not have the branch (or the base of a new one).
        HeadMoved: other pushes won `MAX_ATTEMPTS` times in a row.
        OutcomeUnknown: the connection broke while pushing, and the remote could not be asked afterwards.
        RepositoryBusy: another process of this machine held the branch for the job's ``lock_timeout_s`` seconds.
    """
    if not isinstance(policy, (NewBranch, SerialBranch, type(None))):
        raise InvalidConfig(
            f"Cannot push with {policy!r}: only NewBranch and SerialBranch are offered with a remote. Write with "
            "NewBranch, and then merge(branch, db_path=config)."
        )
    clone = clones.whole(origin)
    branch = refs.branch_of(policy) or remotes.default_branch(origin, clone)
    sent = _Sent()
    with clones.branch_lock(clone, branch, job.lock_timeout_s):
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 6)))  # noqa: S311  # jitter, no secret
            exists = _asked(origin, clone, branch, sent)
            landed = _landed(clone, branch, sent) if exists else None
            if landed is not None:
                return WriteResult(Commit(landed, branch=branch), changed=True)
            _start(clone, branch, branch if exists else _base(origin, clone, branch, policy))
            try:
                written = publishing.write(clone, SerialBranch(branch), job)
            except OutcomeUnknown:
                continue  # whether it is in our clone or not, nobody has seen it
            if exists and not written.changed:
                return written
            if _pushed(origin, clone, branch, written.commit.hash, sent):
                return replace(written, commit=replace(written.commit, branch=branch))
    raise HeadMoved(
        f"Cannot push branch {branch!r} to {str(origin)!r}: each of {MAX_ATTEMPTS} attempts failed, mostly because "
        "another push was faster. Give the task a NewBranch(...) of its own.",
        branch=branch,
        attempts=MAX_ATTEMPTS,
    )


def delete(origin: CloneSource, branch: str, head: str) -> bool:
    """Delete a branch of the remote if its head there is still ``head``, and say whether it was deleted.

    One on which somebody has uncommitted work on the remote's server is left.
    Dolt has no deletion that asks once more for the head: who pushes between the look and the deletion loses that.

    Raises:
        RepositoryBusy: another process of this machine held the branch.
        ConnectionLost: the remote went away; the branch may be deleted.
    """
    clone = clones.whole(origin)
    with clones.branch_lock(clone, branch, branch_locks.TIMEOUT_S):
        if not remotes.fetch(origin, clone, branch):
            return False
        with connect(clone) as connection:
            if remotes.tracked(connection)[branch] != head:
                return False
        try:
            with attempting(f"delete branch {branch!r} of {str(origin)!r}"):
                _send(origin, clone, f":{branch}")
        except UncommittedChanges:  # of somebody who works on it, where a server has the remote
            return False
    return True


@dataclass
class _Sent:
    """What one write has pushed until now, and was not told to be there."""

    commits: list[str] = field(default_factory=list)
    is_last_lost: bool = False
    """Whether the answer to the last push was lost; otherwise it was a no."""


def _pushed(origin: CloneSource, clone: Path, branch: str, commit: str, sent: _Sent) -> bool:
    """Push the branch, and say whether the remote has taken it; if not, note what is to be looked for there."""
    sent.commits.append(commit)
    try:
        _push(origin, clone, branch)
    except (HeadMoved, ConnectionLost, RepositoryBusy) as error:
        sent.is_last_lost = isinstance(error, ConnectionLost)
        return False
    with connect(clone) as connection:  # "up to date" is no error, whatever it was that was pushed
        return _leads_to(connection, commit, remotes.tracked(connection)[branch])


def _asked(origin: CloneSource, clone: Path, branch: str, sent: _Sent) -> bool:
    """Fetch the branch, and say whether the remote has it; who cannot find out what a push has done says so."""
    try:
        return remotes.fetch(origin, clone, branch)
    except DoltError as error:
        if not sent.is_last_lost:
            raise
        raise OutcomeUnknown(
            f"Cannot say whether commit {sent.commits[-1]} was pushed to branch {branch!r} of {str(origin)!r}: the "
            "connection broke. Look whether that commit is there; if it is not, run the task again.",
            commit=sent.commits[-1],
            branch=branch,
        ) from error


def _landed(clone: Path, branch: str, sent: _Sent) -> str | None:
    """Return which of the pushed commits the remote's branch has after all."""
    with connect(clone) as connection:
        head = remotes.tracked(connection)[branch]
        return next((commit for commit in reversed(sent.commits) if _leads_to(connection, commit, head)), None)


def _base(origin: CloneSource, clone: Path, branch: str, policy: Branch | None) -> str:
    """Return the branch from which a missing one starts, which is fetched, or the commit."""
    if not isinstance(policy, NewBranch):
        raise remotes.no_branch(origin, clone, branch, "write to")
    base = policy.base or remotes.default_branch(origin, clone)
    try:
        if remotes.fetch(origin, clone, base):
            return base
        with connect(clone) as connection:
            return revisions.resolve(connection, base).hash
    except RevisionNotFound as error:
        raise remotes.no_branch(origin, clone, base, f"start {branch!r} from") from error


def _start(clone: Path, branch: str, source: str) -> None:
    """Bring the clone's branch, and no other, to a commit, or to where the branch ``source`` is on the remote."""
    with connect(clone) as connection:
        tracked = remotes.tracked(connection)
        if source != branch:
            refs.refuse_double(branch, {*tracked, *refs.heads(connection)} - {branch})
        remotes.point(connection, branch, tracked.get(source, source))


def _push(origin: CloneSource, clone: Path, branch: str) -> None:
    with attempting(f"push branch {branch!r} to {str(origin)!r}"):
        _send(origin, clone, branch)


def _send(origin: CloneSource, clone: Path, what: str) -> None:
    arguments = [*clones.login(origin), remotes.REMOTE, what]
    with connect(clone) as connection:
        connection.execute(f"CALL DOLT_PUSH({remotes.marks(arguments)})", *arguments)


def _leads_to(connection: Connection, commit: str, head: str) -> bool:
    """Whether ``commit`` is ``head`` or one of those before it."""
    if remotes.holds(connection, commit):
        rows = connection.query("SELECT DOLT_MERGE_BASE(%s, %s)", commit, head)
        return bool(rows == [(commit,)])
    return False
