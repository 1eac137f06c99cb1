"""The verbs of versions: resolve, branches, log, status, and the one way in which anything is ever written.

`write` lets work happen on a scratch branch that starts at the target's head, commits it there, and moves the target
forward to that very commit. Nothing is checked out, so what the user has in the working set stays; nobody sees half a
table; and when another writer was faster the work is done again on the new head, so that the result is always that of
one writer after the other. The only file with Dolt's procedures and system tables in it.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import binary, places
from .engine import Connection, connect
from .errors import (
    BranchNotFound,
    ConnectionLost,
    DoltError,
    HeadMoved,
    OutcomeUnknown,
    RepositoryBusy,
    RepositoryNotFound,
    RepositoryReadOnly,
    RevisionNotFound,
    UncommittedChanges,
    close_names,
)
from .places import Place, ServerPlace
from .schema import SCRATCH_PREFIX, Branch, Commit, NewBranch, SerialBranch

LOCK_TIMEOUT_S = 60.0
"""Seconds to wait for another writer of the same branch."""

MAX_ATTEMPTS = 20
"""How often work is done again because the head moved, before giving up."""

DEFAULT_AUTHOR = "Flyte <flyte@localhost>"
"""Author of a commit where the user has told Dolt no name and email."""


def locate(
    db_path: str | os.PathLike[str], *, password: Callable[[], str] | None = None, read_from: Sequence[str] = ()
) -> Place:
    """Return where ``db_path`` is: the resolved folder of a repository, or the server that a URL names.

    ``password`` is asked for a server only, and ``read_from`` are the URLs of its replicas.

    Raises:
        InvalidConfig: it is a URL, and none of a server.
        RepositoryNotFound: there is no repository in exactly this folder (one in a folder above does not count).
        RepositoryReadOnly: this user may not write there, which Dolt needs even for reading.
    """
    if isinstance(db_path, str) and places.is_url(db_path):
        return places.server(db_path, password=password() if password is not None else "", read_from=read_from)
    path = Path(db_path).expanduser()
    repository = path.resolve()
    if not binary.is_repository(repository):
        above = next((p for p in repository.parents if binary.is_repository(p)), None)
        if not repository.exists():
            found = "there is no such folder"
        elif above is not None:
            found = f"it is only a folder inside the repository {str(above)!r}"
        else:
            found = "it is not a Dolt repository"
        raise RepositoryNotFound(
            f"Cannot open {str(db_path)!r} as a Dolt repository: {found}. Make one there with `dolt init`, or with "
            "flytekitplugins.dolt.create_repository(path).",
            path=repository,
        )
    if not os.access(repository / ".dolt" / "noms", os.W_OK | os.X_OK):
        raise RepositoryReadOnly(
            f"Cannot open the repository {str(repository)!r}: this user may not write to its folder, which Dolt needs "
            "even for reading. Copy it to a writable folder, or mend its permissions.",
            path=repository,
        )
    return repository


def resolve(repository: Place, policy: Branch | None) -> Commit:
    """Return the head of the branch that ``policy`` names; reading never makes a branch.

    Raises:
        BranchNotFound: there is no such branch.
    """
    with connect(repository) as connection:
        return head_of(connection, policy)


def head_of(connection: Connection, policy: Branch | None) -> Commit:
    """Return the head of the branch that ``policy`` names, on a connection that is there already.

    Raises:
        BranchNotFound: there is no such branch.
    """
    branch = _branch_of(policy) or connection.active_branch(attempt="find the checked-out branch")
    head = _head(connection, branch)
    if head is None:
        raise _no_branch(connection, branch, "read")
    return Commit(head, branch=branch)


def branches(repository: Place) -> dict[str, str]:
    """Return the name and head of every branch, this package's scratch branches left out."""
    with connect(repository) as connection:
        return _heads(connection)


def log(repository: Place, revision: str | None = None, *, limit: int | None = None) -> list[Commit]:
    """Return the commits that lead to ``revision``, newest first.

    ``revision`` is a branch, tag or hash; None is the checked-out branch. ``limit`` is the most that are returned.

    Raises:
        RevisionNotFound: there is nothing of this name.
    """
    attempt = f"read the log of {revision or 'the checked-out branch'!r}"
    with connect(repository) as connection:
        branch = connection.active_branch(attempt=attempt)
        known = _heads(connection)
        start = known.get(revision or branch, revision or branch)
        rows = connection.rows(
            "SELECT l.commit_hash, l.parents, l.committer, l.email,"
            " DATE_FORMAT(l.date, '%%Y-%%m-%%dT%%H:%%i:%%s.%%f'), l.message"
            f" FROM DOLT_LOG(%s, '--parents') l{'' if limit is None else f' LIMIT {int(limit)}'}",
            start,
            attempt=attempt,
        )
        own = revision if revision in known else branch if revision is None else None
        return [
            Commit(
                hash_,
                branch=own,
                parents=tuple(parents.split(", ")) if parents else (),
                author=f"{name} <{email}>",
                date=f"{date}Z",
                message=message,
            )
            for hash_, parents, name, email, date, message in rows
        ]


@contextmanager
def at(repository: Place, commit: Commit) -> Iterator[Connection]:
    """Give a read-only connection on which every table is as ``commit`` left it.

    Raises:
        RevisionNotFound: the repository does not hold that commit (any more).
    """
    for replica in _replicas(repository):
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(connect(replica, patience_s=0))
                connection.use(commit.hash, attempt=f"read at commit {commit.hash}")
            except (RevisionNotFound, RepositoryNotFound, ConnectionLost):
                continue  # it lags behind or is away; the next one, and in the end the primary, has what it lacks
            yield connection
            return
    with connect(repository) as connection:
        use(connection, commit)
        yield connection


def _replicas(repository: Place) -> Sequence[ServerPlace]:
    """Return the replicas in any order, so that many readers spread over them."""
    replicas = repository.replicas if isinstance(repository, ServerPlace) else ()
    return random.sample(replicas, len(replicas))


def use(connection: Connection, commit: Commit) -> None:
    """Put a connection on ``commit``, where every table is as that commit left it, and read-only.

    Raises:
        RevisionNotFound: the repository does not hold that commit (any more).
    """
    try:
        connection.use(commit.hash, attempt=f"read at commit {commit.hash}")
    except RevisionNotFound as error:
        raise RevisionNotFound(
            f"Cannot read at commit {commit.hash}: the repository {connection.database!r} does not hold it. It may be "
            "another clone, or the commit was on a branch that is deleted and collected.",
            revision=commit.hash,
        ) from error


@dataclass(frozen=True)
class Written:
    """What `write` did."""

    commit: Commit
    """The commit that holds the result: a new one, or the head as it was when nothing changed."""
    changed: bool


def write(
    repository: Place,
    *,
    table: str,
    policy: Branch | None,
    message: str,
    work: Callable[[Connection], None],
    lock_timeout_s: float = LOCK_TIMEOUT_S,
) -> Written:
    """Run ``work`` on a scratch branch, and move the branch of ``policy`` forward to one commit with its changes.

    ``work`` gets a connection on the scratch branch and may be called again when the head has moved; it must change
    ``table`` only and keep nothing of the connection. The author is the repository's or the user's Dolt identity.

    Raises:
        BranchNotFound: the branch (or the base of a new one) does not exist.
        UncommittedChanges: the user's work on the target branch stands in the way; nothing was changed.
        RepositoryBusy: another writer held the branch for ``lock_timeout_s`` seconds.
        HeadMoved: other writers, which do not use this package's lock, won `MAX_ATTEMPTS` times in a row.
        ConnectionLost: the server went away before the branch was moved.
        OutcomeUnknown: the server went away while the branch was being moved.
    """
    author = binary.identity(None if isinstance(repository, ServerPlace) else repository) or DEFAULT_AUTHOR
    with connect(repository) as connection:
        target = _target(connection, policy)
        with _locked(connection, repository, target.branch, lock_timeout_s):
            for attempt in range(MAX_ATTEMPTS):
                if attempt:
                    time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 5)))  # noqa: S311  # jitter, no secret
                try:
                    return _write_once(connection, target, table, message, author, work)
                except HeadMoved:
                    continue
    raise HeadMoved(
        f"Cannot commit table {table!r} to branch {target.branch!r}: the branch moved under each of {MAX_ATTEMPTS} "
        "attempts. Somebody writes to it without pause; give the task a NewBranch(...) of its own.",
        branch=target.branch,
        attempts=MAX_ATTEMPTS,
    )


def differs(repository: Place, commit: Commit, *, work: Callable[[Connection], None]) -> bool:
    """Whether ``work``, done on ``commit``, would change anything; nothing is kept of it."""
    attempt = f"compare with commit {commit.hash}"
    with connect(repository) as connection, _Scratch(connection, commit.hash):
        work(connection)
        connection.run("CALL DOLT_ADD('-A', '--force')", attempt=attempt)
        return bool(connection.rows("SELECT 1 FROM dolt_status LIMIT 1", attempt=attempt))


@dataclass(frozen=True)
class _Target:
    branch: str
    base: str | None
    """Where a missing branch starts; None when the branch has to exist."""


def _target(connection: Connection, policy: Branch | None) -> _Target:
    branch = _branch_of(policy)
    if isinstance(policy, NewBranch):
        base = policy.base or connection.active_branch(attempt="find the checked-out branch")
        return _Target(policy.branch, base)
    return _Target(branch or connection.active_branch(attempt="find the checked-out branch"), None)


def _branch_of(policy: Branch | None) -> str | None:
    if policy is None:
        return None
    if isinstance(policy, (NewBranch, SerialBranch)):
        return policy.branch
    raise TypeError(f"no rule for the branch policy {policy!r}")


def _write_once(
    connection: Connection,
    target: _Target,
    table: str,
    message: str,
    author: str,
    work: Callable[[Connection], None],
) -> Written:
    start, exists = _start(connection, target)
    if exists:
        # Asked before the work, to refuse early; moving the branch asks again.
        connection.use(target.branch, attempt=f"look at the working set of branch {target.branch!r}")
        _refuse_if_in_the_way(connection, target.branch, table, head=start)
    with _Scratch(connection, start) as scratch:
        work(connection)
        commit = _commit(connection, message, author, attempt=f"commit table {table!r}")
        if not exists:
            scratch.become(target.branch, commit or start)
        elif commit is not None:
            _fast_forward(connection, target.branch, start, scratch.name, commit, table)
    return Written(Commit(commit or start, branch=target.branch), changed=commit is not None)


def _start(connection: Connection, target: _Target) -> tuple[str, bool]:
    """Return the commit to start from, and whether the target branch is there already."""
    head = _head(connection, target.branch)
    if head is not None:
        return head, True
    if target.base is None:
        raise _no_branch(connection, target.branch, "write to")
    head = _head(connection, target.base)
    if head is None:
        raise _no_branch(connection, target.base, f"start {target.branch!r} from")
    return head, False


class _Scratch:
    """A branch of our own at ``start``, with the connection on it inside the block, and gone afterwards."""

    def __init__(self, connection: Connection, start: str) -> None:
        self.name = f"{SCRATCH_PREFIX}{uuid.uuid4().hex}"
        self._connection = connection
        self._start = start
        self._became: str | None = None

    def __enter__(self) -> _Scratch:
        attempt = "make a scratch branch"
        self._connection.run("CALL DOLT_BRANCH(%s, %s)", self.name, self._start, attempt=attempt)
        self._connection.use(self.name, attempt=attempt)
        return self

    def become(self, branch: str, commit: str) -> None:
        """Make this branch the new ``branch``: it gets that name, or the name is taken and nothing happens."""
        attempt = f"create branch {branch!r}"
        self._connection.use(None, attempt=attempt)
        try:
            self._connection.run("CALL DOLT_BRANCH('-m', %s, %s)", self.name, branch, attempt=attempt)
            self._became = branch
        except ConnectionLost as error:
            raise OutcomeUnknown(
                f"Cannot say whether branch {branch!r} was created at commit {commit}: the server went away. Look "
                "whether `dolt branch -v` shows it; if it does not, run the task again.",
                commit=commit,
                branch=branch,
            ) from error
        except DoltError as error:
            if _head(self._connection, branch) is not None:
                raise HeadMoved(f"Cannot {attempt}: another writer was faster.", branch=branch) from error
            raise

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._became is not None:
            return
        # A branch that stays behind harms nobody; what was raised or returned before says all that matters.
        with suppress(DoltError):
            if failure is not None or self._connection.revision == self.name:
                self._connection.use(None, attempt="leave the scratch branch")
            if failure is not None:
                self._connection.run("ROLLBACK", attempt="undo")
            self._connection.run("CALL DOLT_BRANCH('-D', %s)", self.name, attempt="remove a scratch branch")


def _commit(connection: Connection, message: str, author: str, *, attempt: str) -> str | None:
    """Commit everything on the scratch branch and return the hash, or None when nothing is different."""
    save = "CALL DOLT_COMMIT('-A', '--skip-empty', '--author', %s, '-m', %s)"
    rows = connection.rows(save, author, message, attempt=attempt)
    if not rows:
        # Nothing is different, or the user's dolt_ignore names the table: it was asked for by name, so it is taken.
        connection.run("CALL DOLT_ADD('-A', '--force')", attempt=attempt)
        rows = connection.rows(save.replace("'-A', ", ""), author, message, attempt=attempt)
    # Dolt's commit leaves the transaction open, and the connection would go on seeing the branches of its beginning.
    connection.run("COMMIT", attempt=attempt)
    return str(rows[0][0]) if rows else None


def _fast_forward(connection: Connection, branch: str, start: str, scratch: str, commit: str, table: str) -> None:
    """Move ``branch`` from ``start`` to ``commit``, which ``scratch`` points to, or change nothing."""
    attempt = f"publish table {table!r} on branch {branch!r}"
    try:
        connection.use(branch, attempt=attempt)
        connection.run("START TRANSACTION", attempt=attempt)
        _refuse_if_in_the_way(connection, branch, table, head=start)
    except RevisionNotFound as error:
        raise HeadMoved(f"Cannot {attempt}: the branch was deleted meanwhile.", branch=branch) from error
    try:
        connection.run("CALL DOLT_MERGE('--ff-only', %s)", scratch, attempt=attempt)
        connection.run("COMMIT", attempt=attempt)
    except ConnectionLost as error:
        raise OutcomeUnknown(
            f"Cannot say whether table {table!r} was published on branch {branch!r}: the server went away while the "
            f"branch was moved to commit {commit}. Look whether `dolt log` shows that commit there; if it does not, "
            "run the task again.",
            commit=commit,
            branch=branch,
        ) from error
    except UncommittedChanges as error:
        _refuse_if_in_the_way(connection, branch, table, head=start)
        # The working set is clean now: what Dolt saw was another writer half way through moving the branch.
        raise HeadMoved(f"Cannot {attempt}: another writer was faster.", branch=branch) from error


def _refuse_if_in_the_way(connection: Connection, branch: str, table: str, *, head: str) -> None:
    """Raise if the user's work on ``branch``, where the connection is, would be lost or swept in by moving it.

    Staged tables stop every write: Dolt unstages them when the branch moves, and no other way keeps them. A branch that
    is not at ``head`` (any more) is HeadMoved, also when it was set back, over which Dolt would move it forward again.
    """
    # One question for all of it, because the branch must be just this one: Dolt finds branches without regard to case.
    found = connection.rows(
        "SELECT active_branch(), DOLT_HASHOF('HEAD'), s.table_name, s.staged, s.status"
        " FROM (SELECT 1) one LEFT JOIN dolt_status s ON TRUE",
        attempt=f"look at the working set of branch {branch!r}",
    )
    if found[0][0] != branch:
        raise BranchNotFound(
            f"Cannot write to branch {branch!r}: Dolt opens {found[0][0]!r} for it, whose name differs in case only. "
            "Rename one of them.",
            branch=branch,
        )
    if found[0][1] != head:
        raise HeadMoved(f"Cannot commit table {table!r} to branch {branch!r}: it was moved meanwhile.", branch=branch)
    status = [row[2:] for row in found if row[2] is not None]
    staged = sorted({name for name, is_staged, _ in status if is_staged})
    # Dolt 1.83 fails to move a branch under a dropped or renamed table: "chunk 000... required but not found".
    dirty = sorted(
        {name for name, _, kind in status if name.casefold() == table.casefold() or kind in ("deleted", "renamed")}
    )
    state = "staged" if staged else "uncommitted" if dirty else None
    if state:
        tables = staged or dirty
        raise UncommittedChanges(
            f"Cannot commit table {table!r} to branch {branch!r}: it has {state} changes of yours in "
            f"{', '.join(map(repr, tables))}, which would be lost or mixed in. Commit or reset them, or give the task "
            "a NewBranch(...) to write to.",
            branch=branch,
            tables=tables,
        )


@contextmanager
def _locked(connection: Connection, repository: Place, branch: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock of ``branch`` on its server; it is let go with the connection, whatever happens."""
    name = hashlib.sha256(f"{connection.database}/{branch}".encode()).hexdigest()[:40]
    attempt = f"lock branch {branch!r}"
    # Dolt rounds to whole seconds, and short waits to none.
    if connection.rows("SELECT GET_LOCK(%s, %s)", name, math.ceil(timeout_s), attempt=attempt) != [(1,)]:
        raise RepositoryBusy(
            f"Cannot write to branch {branch!r} of {str(repository)!r}: another writer holds it for more than "
            f"{timeout_s:g} s. Wait for it, or give the task a NewBranch(...) of its own.",
            path=repository,
            waited_s=timeout_s,
        )
    yield
    # Not in a finally: a connection that is left by an error is closed, and the server lets go by itself.
    with suppress(ConnectionLost):
        connection.rows("SELECT RELEASE_LOCK(%s)", name, attempt=attempt)


def _head(connection: Connection, branch: str) -> str | None:
    rows = connection.rows(
        "SELECT name, hash FROM dolt_branches WHERE name = %s", branch, attempt=f"find branch {branch!r}"
    )
    return next((str(found) for name, found in rows if name == branch), None)


def _heads(connection: Connection) -> dict[str, str]:
    rows = connection.rows("SELECT name, hash FROM dolt_branches", attempt="list the branches")
    return {name: found for name, found in rows if not name.startswith(SCRATCH_PREFIX)}


def _no_branch(connection: Connection, branch: str, verb: str) -> BranchNotFound:
    known = _heads(connection)
    return BranchNotFound(
        f"Cannot {verb} branch {branch!r}: there is none of that name.{close_names(branch, known)} The branches are "
        f"{', '.join(map(repr, sorted(known)))}. A task that writes makes one with NewBranch({branch!r}).",
        branch=branch,
        close=sorted(known),
    )
