"""One writer at a time on a branch: a fair queue on the branch's server, and who stands at its front.

The queue is a row of named locks (`GET_LOCK`), so it works for threads, processes and machines alike, keeps nothing on
disk, and forgets a waiter whose connection ends. Place 0 is the lock itself. Who comes last takes the first free place
behind all others, and moves up place by place; nobody can overtake. The lock only saves needless work: what makes
concurrent writers right is that a branch moves only from the head that the work began at.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import ConnectionLost, DoltError, RepositoryBusy, attempting
from . import scratch_branches

if TYPE_CHECKING:
    from .connections import Connection

QUEUE_LENGTH = 64
"""Places in a queue; those who find it full wait for its last place, in no order."""

TIMEOUT_S = 60.0
"""Seconds to wait for another writer of the same branch."""

_POLL_S = 0.01


@contextmanager
def held(connection: Connection, branch: str, *, timeout_s: float, place: object) -> Iterator[None]:
    """Hold the lock of ``branch`` inside the block; it is let go with the connection, whatever happens.

    ``place`` names the repository in the error.

    Raises:
        RepositoryBusy: it was not free for ``timeout_s`` seconds; the message says who has it.
    """
    queue = _queue(connection, branch)
    with attempting(f"lock branch {branch!r}"):
        # The usual case in one statement: nobody is in front, nobody waits.
        free = "SELECT IF(IS_FREE_LOCK(%s), GET_LOCK(%s, 0), 0)"
        if connection.query(free, queue[1], queue[0]) != [(1,)]:
            began = time.monotonic()
            if not _wait(connection, queue, began + timeout_s):
                raise _busy(connection, branch, place, queue[0], timeout_s)
    yield
    # Not in a finally: a connection that is left by an error is closed, and the server lets go by itself.
    with suppress(ConnectionLost):
        connection.query("SELECT RELEASE_LOCK(%s)", queue[0])


def _queue(connection: Connection, branch: str) -> list[str]:
    name = hashlib.sha256(f"{connection.database}/{branch}".encode()).hexdigest()[:40]
    return [f"flyte-{name}-{number}" for number in range(QUEUE_LENGTH)]


def _wait(connection: Connection, queue: Sequence[str], deadline: float) -> bool:
    """Join the queue and move up to its front; False when the time is over."""
    place = _join(connection, queue, deadline)
    while place:
        step = "SELECT IF(GET_LOCK(%s, %s), RELEASE_LOCK(%s), 0)"
        if not _within(connection, step, queue[place - 1], deadline, queue[place]):
            return False
        place -= 1
    return place == 0


def _join(connection: Connection, queue: Sequence[str], deadline: float) -> int | None:
    """Take the first free place behind everybody, and return its number, or None when the time is over."""
    look = f"SELECT {', '.join(['IS_FREE_LOCK(%s)'] * len(queue))}"
    while True:
        (free,) = connection.query(look, *queue)
        place = max((number for number, is_free in enumerate(free) if not is_free), default=-1) + 1
        if place == len(queue):
            waited = _within(connection, "SELECT GET_LOCK(%s, %s)", queue[-1], deadline)
            return len(queue) - 1 if waited else None
        if connection.query("SELECT GET_LOCK(%s, 0)", queue[place]) == [(1,)]:
            return place
        if time.monotonic() > deadline:
            return None


def _within(connection: Connection, statement: str, lock: str, deadline: float, *rest: str) -> bool:
    """Run a ``statement`` that waits for ``lock`` until it answers 1; False when the time is over."""
    while True:
        # The server rounds to whole seconds, so what is less is waited for here.
        remaining = deadline - time.monotonic()
        if connection.query(statement, lock, max(0, int(remaining)), *rest) == [(1,)]:
            return True
        if deadline - time.monotonic() <= 0:
            return False
        if remaining < 1:
            time.sleep(_POLL_S)


def _busy(connection: Connection, branch: str, place: object, lock: str, timeout_s: float) -> RepositoryBusy:
    holder = _holder(connection, lock)
    return RepositoryBusy(
        f"Cannot write to branch {branch!r} of {str(place)!r}: another writer holds it for more than "
        f"{timeout_s:g} s ({holder}). Wait for it with a larger lock_timeout_s, or give the task a NewBranch(...) of "
        "its own.",
        path=place,
        waited_s=timeout_s,
        holder=holder,
    )


def _holder(connection: Connection, lock: str) -> str:
    """Return who holds ``lock``, in words, as far as the server knows."""
    try:
        ((number,),) = connection.query("SELECT IS_USED_LOCK(%s)", lock)
        if number is None:
            return "it was let go this moment, and others were first"
        owner = scratch_branches.owner(connection, int(number))
        if owner is not None:
            return str(owner)
        known = "SELECT user, host FROM information_schema.processlist WHERE id = %s"
        (user, host) = next(iter(connection.query(known, number)), ("unknown", "unknown"))
        return f"connection {number} of the server, user {user!r} from {host!r}"
    except DoltError:
        return "the server does not say who"
