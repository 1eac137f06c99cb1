"""Where the repository of a config is, and the clones of remotes, which are brought up to date to be read.

The clones (see `clones`) are this package's own and are reset as needed; a repository of the user's is never touched.
What is written to a clone stays there; only `history.pushing` pushes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from ..errors import (
    BranchNotFound,
    DoltError,
    InvalidConfig,
    QueryFailed,
    RevisionNotFound,
    ShallowClone,
    attempting,
    close_names,
)
from ..model import runtime, trust
from ..model.configs import Branch, Commit, DoltConfig, Secret
from ..model.location import Location
from . import branch_locks, clones, refs
from .clones import CloneSource
from .connections import Connection, connect

Where: TypeAlias = "str | os.PathLike[str] | DoltConfig"
"""A repository: its folder or address, or a config, which knows of a remote and of a password, too."""

REMOTE = "origin"
"""What a clone calls the repository that it was made of."""


# ------------------------------------------------------------------------------------------------- what a config says


def origin_of(config: DoltConfig) -> CloneSource | None:
    """Return the remote that is cloned, or None where the repository at `db_path` itself is meant."""
    return CloneSource.of(config.remote_conf, config.db_path) if config.remote_conf is not None else None


def locate(config: DoltConfig) -> Location:
    """Return the folder or server that ``config`` means.

    Raises:
        InvalidConfig: it has a ``remote_conf``.
    """
    if config.remote_conf is not None:
        raise InvalidConfig(
            f"Cannot do that on {str(origin_of(config))!r}: writes of tables, merges and deletions of branches are "
            "pushed to a remote, and neither tags nor restored tables. Use the folder or the server itself, without "
            "remote_conf."
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


def origin_to_push(where: Where) -> CloneSource | None:
    """Return the remote that what is changed is pushed to, or None where it is changed in place."""
    return origin_of(where) if isinstance(where, DoltConfig) else None


def location_of(config: DoltConfig) -> Location:
    """Return where the repository of ``config`` can be looked at: its own place, or an up to date whole clone."""
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
        fetch(origin, clone, branch)
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
        if _has(clone, commit) or (fetch(origin, clone, commit.branch) and _has(clone, commit)):
            return clone
    return None


def mirrored(origin: CloneSource) -> Path:
    """Return a whole clone, every branch of which is what it is on the remote now.

    What an interrupted or rejected write has left there is no part of the remote, and is removed.
    """
    clone = clones.whole(origin)
    fetch(origin, clone, None)
    with connect(clone) as connection:
        there, here = tracked(connection), refs.heads(connection)
        has_default = connection.active_branch() in there
        if has_default:
            for branch in sorted(name for name in {*there, *here} if there.get(name) != here.get(name)):
                _mirror(connection, clone, branch)
    if not has_default:  # the remote has another one since, which a new clone finds out
        clones.remove(origin, clone)
        return mirrored(origin)
    return clone


def _mirror(connection: Connection, clone: Path, branch: str) -> None:
    with clones.branch_lock(clone, branch, branch_locks.TIMEOUT_S):
        head = tracked(connection).get(branch)  # once more: who held the lock may have pushed
        if head is not None:
            point(connection, branch, head)
        else:
            _remove(connection, branch)


# -------------------------------------------------------------------------------------------------- fetching, pushing


def fetch(origin: CloneSource, clone: Path, branch: str | None) -> bool:
    """Fetch a branch, or all, and forget those that are gone; return whether the remote has it."""
    what = "the branches" if branch is None else f"branch {branch!r}"
    with attempting(f"fetch {what} of {str(origin)!r}"):
        arguments = [*clones.login(origin), *(["--prune", REMOTE] if branch is None else [REMOTE, branch])]
        with connect(clone) as connection:
            try:
                connection.execute(f"CALL DOLT_FETCH({marks(arguments)})", *arguments)
            except RevisionNotFound:
                return False
            return branch is None or branch in tracked(connection)


def marks(arguments: list[str]) -> str:
    """Return the marks of bound parameters for the arguments of a procedure."""
    return ", ".join(["%s"] * len(arguments))


def tracked(connection: Connection) -> dict[str, str]:
    """Return the branches of the remote, as the last fetch found them."""
    prefix = f"remotes/{REMOTE}/"
    rows = connection.query("SELECT name, hash FROM dolt_remote_branches")
    return {str(name).removeprefix(prefix): str(head) for name, head in rows if str(name).startswith(prefix)}


def point(connection: Connection, branch: str, head: str) -> None:
    """Make our clone's ``branch`` be at ``head``, whatever an interrupted or rejected write has left there."""
    if refs.heads(connection).get(branch) != head:
        connection.execute("CALL DOLT_BRANCH('-f', %s, %s)", branch, head)


def _remove(connection: Connection, branch: str) -> None:
    """Remove from our clone a branch that an interrupted or rejected write has left there."""
    if branch in refs.heads(connection):
        connection.execute("CALL DOLT_BRANCH('-D', %s)", branch)


def _has(clone: Path, commit: Commit) -> bool:
    with connect(clone) as connection:
        return holds(connection, commit.hash)


def holds(connection: Connection, commit: str) -> bool:
    """Whether a clone has the rows of a commit, and not just its name."""
    try:
        with connection.at(commit):
            connection.query("SHOW TABLES")  # a shallow clone may know but its name
    except (RevisionNotFound, ShallowClone, QueryFailed):
        return False
    return True


def _head(origin: CloneSource, clone: Path, branch: str | None) -> Commit:
    name = branch or default_branch(origin, clone)
    if not fetch(origin, clone, name):
        raise no_branch(origin, clone, name, "read")
    with connect(clone) as connection:
        return Commit(tracked(connection)[name], branch=name)


def default_branch(origin: CloneSource, clone: Path) -> str:
    """Return the branch that is meant where none is named: that of the config, or the one the remote was cloned at."""
    if origin.remote.branch is not None:
        return origin.remote.branch
    with connect(clone) as connection:
        return connection.active_branch()


def no_branch(origin: CloneSource, clone: Path, branch: str, verb: str) -> BranchNotFound:
    """Return the error for a branch that the remote does not have, with the names that it has."""
    is_whole = clones.is_whole(origin, clone)
    if is_whole:  # into a shallow one the histories of all would come
        with suppress(DoltError):
            fetch(origin, clone, None)
    with connect(clone) as connection:
        known = sorted(name for name in tracked(connection) if name != branch)
    listed = f"{'The branches are' if is_whole else 'Known here are'} {', '.join(map(repr, known))}"
    return BranchNotFound(
        f"Cannot {verb} branch {branch!r}: {str(origin)!r} has none of that name.{close_names(branch, known)} "
        f"{listed}. A task that writes makes one with NewBranch({branch!r}).",
        branch=branch,
        close=known,
    )
