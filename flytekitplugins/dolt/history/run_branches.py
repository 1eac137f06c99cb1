"""Branches that old runs have left behind: listed and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..errors import InvalidConfig, attempting
from ..model.configs import Commit
from ..model.location import Location, refuses_passwords
from ..model.naming import SCRATCH_PREFIX
from ..repository import branch_locks, remotes
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from . import pushing

__all__ = ["RunBranch", "delete_run_branches", "run_branches"]


@dataclass(frozen=True)
class RunBranch:
    """A branch that a run has left behind."""

    name: str
    head: Commit
    """Its newest commit, with the date."""
    kept: str | None = None
    """Why it is not deleted; None where it can be."""


@refuses_passwords
def run_branches(db_path: Where, *, older_than: timedelta = timedelta(0), prefix: str = "run/") -> list[RunBranch]:
    """Return the branches under ``prefix`` whose newest commit is older than ``older_than``, oldest first.

    Each says whether `delete_run_branches` would leave it, and why: it is checked out, or has uncommitted work. Of a
    remote the default branch counts as checked out, and uncommitted work cannot be seen.
    """
    _check_prefix(prefix)
    with connect(remotes.location_to_read(db_path)) as connection:
        return _run_branches(connection, older_than, prefix)


@refuses_passwords
def delete_run_branches(db_path: Where, *, older_than: timedelta, prefix: str = "run/") -> list[RunBranch]:
    """Delete the branches under ``prefix`` whose newest commit is older than ``older_than``, and return them.

    The checked-out branch and branches with uncommitted work are left, whatever their age. What no other branch or tag
    leads to can be read by its hash until Dolt collects its garbage, and is gone then; tag what has to stay. On a
    remote what somebody pushes to such a branch at that very moment is lost with it.

    Raises:
        InvalidConfig: ``prefix`` is empty, or reaches into this package's own branches.
    """
    with attempting(f"delete branches under {prefix!r}"):
        _check_prefix(prefix)
        origin, place = remotes.origin_to_push(db_path), remotes.location_to_read(db_path)
        with connect(place) as connection:
            candidates = [branch for branch in _run_branches(connection, older_than, prefix) if branch.kept is None]
            if origin is None:
                return [branch for branch in candidates if _deleted(connection, place, branch, older_than, prefix)]
        return [branch for branch in candidates if pushing.delete(origin, branch.name, branch.head.hash)]


def _check_prefix(prefix: str) -> None:
    if not prefix or prefix.startswith(SCRATCH_PREFIX) or SCRATCH_PREFIX.startswith(prefix):
        raise InvalidConfig(f"Cannot take the branches under {prefix!r}: give a prefix of your own, such as 'run/'.")


def _run_branches(connection: Connection, older_than: timedelta, prefix: str) -> list[RunBranch]:
    with attempting(f"list the branches under {prefix!r}"):
        checked_out = connection.active_branch()
        before = datetime.now(timezone.utc).replace(tzinfo=None) - older_than
        rows = connection.query("SELECT name, hash, latest_commit_date, dirty FROM dolt_branches")
        found = []
        for name, head, date, dirty in sorted(rows, key=lambda row: (row[2], row[0])):
            if name.startswith(prefix) and date <= before:
                kept = "it is checked out" if name == checked_out else "it has uncommitted work" if dirty else None
                found.append(
                    RunBranch(str(name), Commit(str(head), str(name), date=date.replace(tzinfo=timezone.utc)), kept)
                )
        return found


def _deleted(connection: Connection, place: Location, branch: RunBranch, older_than: timedelta, prefix: str) -> bool:
    """Delete the branch under its lock if it is still what it was, and say whether it was deleted."""
    with branch_locks.held(connection, branch.name, timeout_s=branch_locks.TIMEOUT_S, place=place):
        if branch not in _run_branches(connection, older_than, prefix):
            return False
        connection.execute("CALL DOLT_BRANCH('-D', %s)", branch.name)
    return True
