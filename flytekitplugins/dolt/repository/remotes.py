"""Repositories that are cloned: brought up to date on this machine, read and written there, and pushed.

`publish` is the way of every write: fetch, write on the head that the remote has, push; when somebody else's push was
faster, once more on the new head, so that the result is that of one writer after the other. The clones (see `clones`)
are this package's own and are reset as needed; a repository of the user's is never touched. `frames` is the caller.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ..errors import (
    BranchNotFound,
    ConnectionLost,
    DoltError,
    HeadMoved,
    InvalidConfig,
    OutcomeUnknown,
    QueryFailed,
    RevisionNotFound,
    ShallowClone,
    attempting,
    close_names,
)
from ..model import runtime, trust
from ..model.configs import Branch, Commit, DoltConfig, NewBranch, Secret, SerialBranch
from ..model.location import Location
from ..model.naming import SCRATCH_PREFIX
from . import clones, publishing, refs
from .clones import CloneSource
from .connections import Connection, connect
from .publishing import WriteResult

Where: TypeAlias = "str | os.PathLike[str] | DoltConfig"
"""A repository: its folder or address, or a config, which knows of a remote and of a password, too."""

MAX_ATTEMPTS = 30
"""How often a write is done again because another push was faster, before giving up."""

_REMOTE = "origin"


# ------------------------------------------------------------------------------------------------- what a config says


def origin_of(config: DoltConfig) -> CloneSource | None:
    """Return the remote that is cloned, or None where the repository at `db_path` itself is meant."""
    return CloneSource.of(config.remote_conf, config.db_path) if config.remote_conf is not None else None


def locate(config: DoltConfig) -> Location:
    """Return the folder or server that ``config`` means.

    Raises:
        InvalidConfig: it has a ``remote_conf``, and only tables are pushed there.
    """
    if config.remote_conf is not None:
        raise InvalidConfig(
            f"Cannot do that on {str(origin_of(config))!r}: only writes of tables are pushed to a remote, and no tags. "
            "Use the folder or the server itself, without remote_conf."
        )
    secret = Secret.of(config.secret) if config.secret is not None else None
    replicas = config.read_from or ()
    return refs.locate(
        config.db_path,
        password=None
        if secret is None
        else lambda: runtime.current().secret(secret, trust.servers(config.db_path, replicas)),
        read_from=replicas,
    )


def named_location(where: Where) -> Location:
    """Return the folder or server that a path or URL names, or that a config of a table there means."""
    return locate(where) if isinstance(where, DoltConfig) else refs.locate(where)


def location_to_read(where: Where) -> Location:
    """Return where a repository can be looked at: as `named_location`, and of a remote an up to date whole clone."""
    return location_of(where) if isinstance(where, DoltConfig) else refs.locate(where)


def location_of(config: DoltConfig) -> Location:
    """Return where the repository that ``config`` means can be looked at: its own place, or an up to date whole clone.

    What is written to a clone stays there; only `publish` pushes.
    """
    origin = origin_of(config)
    return locate(config) if origin is None else mirrored(origin)


def location_at(config: DoltConfig, commit: Commit, *, history: bool) -> Location:
    """Return where ``commit`` of the repository that ``config`` means can be read; see `holding`."""
    origin = origin_of(config)
    return locate(config) if origin is None else holding(origin, commit, history=history)


# ------------------------------------------------------------------------------------------------------------- verbs


def resolve(origin: CloneSource, policy: Branch | None, *, history: bool) -> Commit:
    """Return the head that the branch of ``policy`` has on the remote now.

    ``history`` says whether what is going to be read needs more than that very commit.

    Raises:
        BranchNotFound: the remote has no such branch.
        RepositoryNotFound, AccessDenied, ConnectionLost, UntrustedServer: the remote cannot be used.
    """
    branch = refs.branch_of(policy) or origin.remote.branch
    if history or clones.has_whole(origin):
        return _head(origin, clones.whole(origin), branch)
    try:
        return _head(origin, clones.shallow(origin, branch), branch)
    except QueryFailed:
        return _head(origin, clones.whole(origin), branch)  # Dolt cannot always bring a shallow clone up to date


def holding(origin: CloneSource, commit: Commit, *, history: bool) -> Path:
    """Return a clone that has ``commit``, fetching it if need be; a shallow one is enough without ``history``.

    Raises:
        RevisionNotFound: the remote does not have it (any more).
    """
    if not history and not clones.has_whole(origin):
        shallow = _shallow_holding(origin, commit)
        if shallow is not None:
            return shallow
    clone = clones.whole(origin)
    for branch in (commit.branch, None):
        if _has(clone, commit):
            return clone
        _fetch(origin, clone, branch)
    if _has(clone, commit):
        return clone
    raise RevisionNotFound(
        f"Cannot read at commit {commit.hash}: the remote {str(origin)!r} does not hold it. It may be another "
        "repository, or the commit was on a branch that is deleted.",
        revision=commit.hash,
    )


def _shallow_holding(origin: CloneSource, commit: Commit) -> Path | None:
    """Return a shallow clone that has ``commit``, if one does: that of the default branch, or of the commit's own."""
    if commit.branch is not None and clones.has_shallow(origin, None):
        clone = clones.shallow(origin, None)
        if _has(clone, commit):
            return clone
    with suppress(BranchNotFound, QueryFailed):
        clone = clones.shallow(origin, commit.branch)
        if _has(clone, commit) or (_fetch(origin, clone, commit.branch) and _has(clone, commit)):
            return clone
    return None


def mirrored(origin: CloneSource) -> Path:
    """Return a whole clone, every branch of which is what it is on the remote now.

    What an interrupted or rejected write has left there is no part of the remote, and is removed.
    """
    clone = clones.whole(origin)
    _fetch(origin, clone, None)
    with connect(clone) as connection:
        tracked, local = _tracked(connection), _local(connection)
        has_default = connection.active_branch() in tracked
        if has_default:
            for branch in sorted(name for name in {*tracked, *local} if tracked.get(name) != local.get(name)):
                _mirror(connection, clone, branch)
    if not has_default:  # the remote has another one since, which a new clone finds out
        clones.remove(origin, clone)
        return mirrored(origin)
    return clone


def _mirror(connection: Connection, clone: Path, branch: str) -> None:
    with clones.branch_lock(clone, branch, publishing.LOCK_TIMEOUT_S):
        head = _tracked(connection).get(branch)  # once more: who held the lock may have pushed
        if head is not None:
            _point(connection, branch, head)
        else:
            _remove(connection, branch)


def publish(
    origin: CloneSource,
    policy: Branch | None,
    write: Callable[[Path, Branch], WriteResult],
    *,
    lock_timeout_s: float = publishing.LOCK_TIMEOUT_S,
) -> WriteResult:
    """Run ``write`` in a clone whose branch is at the remote's head, and push that branch; all once more when it moved.

    ``write`` gets the clone and the policy to write with, and may be called again. Nothing is pushed when it changed
    nothing on an existing branch.

    Raises:
        BranchNotFound: the remote does not have the branch (or the base of a new one).
        HeadMoved: other pushes won `MAX_ATTEMPTS` times in a row.
        OutcomeUnknown: the connection broke while pushing, and the remote could not be asked afterwards.
        RepositoryBusy: another process of this machine held the branch for ``lock_timeout_s`` seconds.
    """
    if not isinstance(policy, (NewBranch, SerialBranch, type(None))):
        raise InvalidConfig(
            f"Cannot push with {policy!r}: only NewBranch and SerialBranch are offered with a remote. Write on the "
            "branch, and merge where the repository is."
        )
    clone = clones.whole(origin)
    branch = refs.branch_of(policy) or _default(origin, clone)
    sent = _Sent()
    with clones.branch_lock(clone, branch, lock_timeout_s):
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 6)))  # noqa: S311  # jitter, no secret
            exists = _asked(origin, clone, branch, sent)
            landed = _landed(clone, branch, sent) if exists else None
            if landed is not None:
                return WriteResult(Commit(landed, branch=branch), changed=True)
            _start(clone, branch, branch if exists else _base(origin, clone, branch, policy))
            try:
                written = write(clone, SerialBranch(branch))
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
    except (HeadMoved, ConnectionLost) as error:
        sent.is_last_lost = isinstance(error, ConnectionLost)
        return False
    with connect(clone) as connection:  # "up to date" is no error, whatever it was that was pushed
        return _leads_to(connection, commit, _tracked(connection)[branch])


def _asked(origin: CloneSource, clone: Path, branch: str, sent: _Sent) -> bool:
    """Fetch the branch, and say whether the remote has it; who cannot find out what a push has done says so."""
    try:
        return _fetch(origin, clone, branch)
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
    """Return the commit of ours that the remote's branch has after all."""
    with connect(clone) as connection:
        head = _tracked(connection)[branch]
        return next((commit for commit in reversed(sent.commits) if _leads_to(connection, commit, head)), None)


def _base(origin: CloneSource, clone: Path, branch: str, policy: Branch | None) -> str:
    """Return the branch from which a missing one starts, which is fetched."""
    if not isinstance(policy, NewBranch):
        raise _no_branch(origin, clone, branch, "write to")
    base = policy.base or _default(origin, clone)
    if not _fetch(origin, clone, base):
        raise _no_branch(origin, clone, base, f"start {branch!r} from")
    return base


def _start(clone: Path, branch: str, source: str) -> None:
    """Bring the clone's branch, and no other, to where ``source`` is on the remote: itself, or what it starts from."""
    with connect(clone) as connection:
        tracked = _tracked(connection)
        if source != branch:
            publishing.refuse_double(branch, {*tracked, *_local(connection)} - {branch})
        _point(connection, branch, tracked[source])


# -------------------------------------------------------------------------------------------------- fetching, pushing


def _fetch(origin: CloneSource, clone: Path, branch: str | None) -> bool:
    """Fetch a branch, or all, and forget those that are gone; return whether the remote has it."""
    what = "the branches" if branch is None else f"branch {branch!r}"
    with attempting(f"fetch {what} of {str(origin)!r}"):
        arguments = [*clones.login(origin), *(["--prune", _REMOTE] if branch is None else [_REMOTE, branch])]
        with connect(clone) as connection:
            try:
                connection.execute(f"CALL DOLT_FETCH({_marks(arguments)})", *arguments)
            except RevisionNotFound:
                return False
            return branch is None or branch in _tracked(connection)


def _push(origin: CloneSource, clone: Path, branch: str) -> None:
    arguments = [*clones.login(origin), _REMOTE, branch]
    with connect(clone) as connection:
        with attempting(f"push branch {branch!r} to {str(origin)!r}"):
            connection.execute(f"CALL DOLT_PUSH({_marks(arguments)})", *arguments)


def _marks(arguments: list[str]) -> str:
    return ", ".join(["%s"] * len(arguments))


def _tracked(connection: Connection) -> dict[str, str]:
    """Return the branches of the remote, as the last fetch found them."""
    prefix = f"remotes/{_REMOTE}/"
    rows = connection.query("SELECT name, hash FROM dolt_remote_branches")
    return {str(name).removeprefix(prefix): str(head) for name, head in rows if str(name).startswith(prefix)}


def _local(connection: Connection) -> dict[str, str]:
    rows = connection.query("SELECT name, hash FROM dolt_branches")
    return {str(name): str(head) for name, head in rows if not str(name).startswith(SCRATCH_PREFIX)}


def _point(connection: Connection, branch: str, head: str) -> None:
    """Make our clone's ``branch`` be at ``head``, whatever an interrupted or rejected write has left there."""
    if _local(connection).get(branch) != head:
        connection.execute("CALL DOLT_BRANCH('-f', %s, %s)", branch, head)


def _remove(connection: Connection, branch: str) -> None:
    """Remove from our clone a branch that an interrupted or rejected write has left there."""
    if branch in _local(connection):
        connection.execute("CALL DOLT_BRANCH('-D', %s)", branch)


def _leads_to(connection: Connection, commit: str, head: str) -> bool:
    """Whether ``commit`` is ``head`` or one of those before it."""
    if _holds(connection, commit):
        rows = connection.query("SELECT DOLT_MERGE_BASE(%s, %s)", commit, head)
        return bool(rows == [(commit,)])
    return False


def _has(clone: Path, commit: Commit) -> bool:
    with connect(clone) as connection:
        return _holds(connection, commit.hash)


def _holds(connection: Connection, commit: str) -> bool:
    try:
        connection.use(commit)
        connection.query("SHOW TABLES")  # a shallow clone may know but its name
    except (RevisionNotFound, ShallowClone, QueryFailed):
        return False
    finally:
        connection.use(None)
    return True


def _head(origin: CloneSource, clone: Path, branch: str | None) -> Commit:
    name = branch or _default(origin, clone)
    if not _fetch(origin, clone, name):
        raise _no_branch(origin, clone, name, "read")
    with connect(clone) as connection:
        return Commit(_tracked(connection)[name], branch=name)


def _default(origin: CloneSource, clone: Path) -> str:
    if origin.remote.branch is not None:
        return origin.remote.branch
    with connect(clone) as connection:
        return connection.active_branch()


def _no_branch(origin: CloneSource, clone: Path, branch: str, verb: str) -> BranchNotFound:
    is_whole = clones.is_whole(origin, clone)
    if is_whole:  # into a shallow one the histories of all would come
        with suppress(DoltError):
            _fetch(origin, clone, None)
    with connect(clone) as connection:
        known = sorted(name for name in _tracked(connection) if name != branch)
    listed = f"{'The branches are' if is_whole else 'Known here are'} {', '.join(map(repr, known))}"
    return BranchNotFound(
        f"Cannot {verb} branch {branch!r}: {str(origin)!r} has none of that name.{close_names(branch, known)} "
        f"{listed}. A task that writes makes one with NewBranch({branch!r}).",
        branch=branch,
        close=known,
    )
