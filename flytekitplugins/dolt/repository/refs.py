"""What a repository holds: where it is, its branches and their log, and reading at a commit.

Reads only. A commit is read through Dolt's read-only revision databases,
so nothing is checked out.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ..errors import (
    BranchNotFound,
    ConnectionLost,
    InvalidName,
    RepositoryNotFound,
    RepositoryReadOnly,
    RevisionNotFound,
    attempting,
    close_names,
)
from ..model import location, trust
from ..model.configs import Branch, Commit, MergeBranch, NewBranch, SerialBranch
from ..model.location import Location, ServerLocation
from ..model.naming import SCRATCH_PREFIX
from ..server import binary
from . import active_content, hosts, table_names
from .connections import Connection, connect

AWAY_S = 10.0
"""Seconds for which a replica that did not answer is not asked again: a network may let each question wait."""

ACTIVE_HEAD = "SELECT active_branch(), DOLT_HASHOF('HEAD')"
"""What `head_of` asks of the checked-out branch."""

_BRANCHES = "refs/heads/"
_HEAD = "SELECT commit_hash, DOLT_HASHOF(%s) FROM dolt_log AS OF %s LIMIT 1"
_NO_BRANCH = re.compile(r"[^\x21-\x7e]|[~^]")
"""What no name of a branch has in it; with the last two, Dolt would look for a commit before its head."""

_away_since: dict[ServerLocation, float] = {}


@location.refuses_passwords
def locate(
    db_path: str | os.PathLike[str], *, password: Callable[[], str] | None = None, read_from: Sequence[str] = ()
) -> Location:
    """Return where ``db_path`` is: the resolved folder of a repository, or the server that a URL names.

    ``password`` is asked for a server only, and ``read_from`` are the URLs of its replicas.

    Raises:
        InvalidConfig: it is a URL, and none of a server.
        UntrustedInput: it is a URL that arrived, and asks for a connection in the clear.
        RepositoryNotFound: there is no repository in exactly this folder (one in a folder above does not count).
        RepositoryReadOnly: this user may not write there, which Dolt needs even for reading.
    """
    if isinstance(db_path, str) and location.is_url(db_path):
        trust.check_protected(trust.servers(db_path, read_from))
        return location.server(db_path, password=password() if password is not None else "", read_from=read_from)
    try:
        repository = Path(db_path).expanduser().resolve()
        found = None if binary.is_repository(repository) else _found_instead(repository)
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # too long, a loop of links, no such home, NUL, half a character
        repository, found = Path(db_path), f"no folder has that name ({error})"
    if found is not None:
        raise RepositoryNotFound(
            f"Cannot open {str(db_path)!r} as a Dolt repository: {found}. Make one there with `dolt init`, or with "
            "flytekitplugins.dolt.create_repository(path).",
            path=repository,
        )
    if not os.access(repository / ".dolt" / "noms", os.W_OK | os.X_OK):
        raise RepositoryReadOnly(
            f"Cannot open the repository {str(repository)!r}: this user may not write to its folder, which Dolt needs "
            "even for reading. Copy it to a writable folder, or fix its permissions.",
            path=repository,
        )
    return repository


def _found_instead(folder: Path) -> str:
    """Return what is there where no repository is."""
    above = next((p for p in folder.parents if binary.is_repository(p)), None)
    if not folder.exists():
        return "there is no such folder"
    if above is not None:
        return f"it is only a folder inside the repository {str(above)!r}"
    return "it is not a Dolt repository"


def resolve(repository: Location, policy: Branch | None) -> Commit:
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
    found = _named(connection, branch_of(policy))
    if found is None:
        raise no_branch(connection, branch_of(policy) or connection.active_branch(), "read")
    branch, head = found
    return Commit(head, branch=branch)


def branches(repository: Location) -> dict[str, str]:
    """Return the name and head of every branch, this package's scratch branches left out."""
    with connect(repository) as connection:
        return heads(connection)


def log(
    repository: Location, revision: str | None = None, *, table: str | None = None, limit: int | None = None
) -> list[Commit]:
    """Return the commits that lead to ``revision``, newest first; with ``table``, those that changed it.

    ``revision`` is a branch, tag or hash; None is the checked-out branch. ``limit`` is the most that are returned.

    Raises:
        RevisionNotFound: there is nothing of this name.
        ShallowClone: ``table`` is given, and the clone does not have all of its history.
    """
    with attempting(f"read the log of {revision or 'the checked-out branch'!r}"):
        with connect(repository) as connection:
            branch = connection.active_branch()
            known = heads(connection)
            start = known.get(revision or branch, revision or branch)
            own = revision if revision in known else branch if revision is None else None
            if table is not None:
                table = _stored(connection, table, start)
            found = walk(connection, start, table=table, limit=limit)
            return [replace(commit, branch=own) for commit in found]


def _stored(connection: Connection, table: str, revision: str) -> str:
    """Return as what a table is stored at a revision, or the name as it is where there is none there."""
    ((start,),) = connection.query("SELECT DOLT_HASHOF(%s)", revision)
    with connection.at(str(start)):
        return table_names.find_table(connection, table) or table


def walk(connection: Connection, *starts: str, table: str | None = None, limit: int | None = None) -> list[Commit]:
    """Return the commits that lead to any of ``starts``, newest first; with ``table``, those that changed it.

    Raises:
        RevisionNotFound: there is nothing of that name.
        ShallowClone: ``table`` is given, and the clone does not have all of its history.
    """
    places = ", ".join(["%s"] * len(starts))
    of_table = ", '--tables', %s" if table is not None else ""
    rows = connection.query(
        "SELECT l.commit_hash, l.parents, l.committer, l.email,"
        " DATE_FORMAT(l.date, '%%Y-%%m-%%dT%%H:%%i:%%s.%%f'), l.message"
        f" FROM DOLT_LOG({places}, '--parents'{of_table}) l{'' if limit is None else f' LIMIT {int(limit)}'}",
        *starts,
        *([] if table is None else [table]),
    )
    return [
        Commit(
            hash_,
            parents=tuple(parents.split(", ")) if parents else (),
            author=f"{name} <{email}>",
            date=datetime.fromisoformat(f"{date}+00:00"),
            message=message,
        )
        for hash_, parents, name, email, date, message in rows
    ]


@contextmanager
def at(repository: Location, commit: Commit, *, is_repeated: bool = False) -> Iterator[Connection]:
    """Give a read-only connection on which every table is as ``commit`` left it; ``is_repeated`` as of `connect`.

    Raises:
        RevisionNotFound: the repository does not hold that commit (any more).
    """
    for replica in _replicas(repository):
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(connect(replica, first_at=commit.hash, patience_s=0))
                stack.enter_context(connection.at(commit.hash))
            except (RevisionNotFound, RepositoryNotFound):
                continue  # it lags behind; the next one, and in the end the primary, has what it lacks
            except ConnectionLost:
                _away_since[replica] = time.monotonic()
                continue
            yield connection
            return
    with (
        connect(repository, first_at=commit.hash, is_repeated=is_repeated) as connection,
        at_commit(connection, commit),
    ):
        yield connection


def _replicas(repository: Location) -> Sequence[ServerLocation]:
    """Return the replicas in any order, so that many readers spread over them, without those that were just away."""
    replicas = hosts.host(repository).replicas
    lately = time.monotonic() - AWAY_S
    there = [replica for replica in replicas if _away_since.get(replica, lately) <= lately]
    return random.sample(there, len(there))


@contextmanager
def at_commit(connection: Connection, commit: Commit) -> Iterator[None]:
    """Have a connection on ``commit`` inside the block, where every table is as that commit left it, and read-only.

    Raises:
        RevisionNotFound: the repository does not hold that commit (any more).
    """
    with connection.at(commit.hash):
        yield


def hash_of_table(connection: Connection, table: str) -> str:
    """Return what Dolt names the content of ``table`` by, at the commit the connection is on.

    Raises:
        TableNotFound: there is no such table at that commit.
        InvalidConfig: it is a view.
    """
    rows = connection.query("SELECT DOLT_HASHOF_TABLE(%s)", table_names.find_table(connection, table) or table)
    return str(rows[0][0])


def table_hashes(connection: Connection, commit: Commit) -> dict[str, str]:
    """Return the hash of each table's schema and rows at a commit.

    Dolt's own summary of what differs leaves out tables whose key has changed.
    """
    with at_commit(connection, commit):
        listed = connection.query("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
        names = [str(name) for name, _ in listed]
        if not names:
            return {}
        found = connection.query(f"SELECT {', '.join(['DOLT_HASHOF_TABLE(%s)'] * len(names))}", *names)
    return dict(zip(names, map(str, found[0]), strict=True))


def branch_of(policy: Branch | None) -> str | None:
    """Return the branch that ``policy`` names; None is the one that the repository has checked out."""
    if policy is None:
        return None
    if isinstance(policy, (NewBranch, SerialBranch)):
        return policy.branch
    if isinstance(policy, MergeBranch):
        return policy.into  # where the result is
    raise TypeError(f"no rule for the branch policy {policy!r}")


def find_head(connection: Connection, branch: str) -> str | None:
    """Return the hash of a branch's head, or None when there is no branch of exactly this name."""
    found = _named(connection, branch)
    return None if found is None else found[1]


def _named(connection: Connection, branch: str | None) -> tuple[str, str] | None:
    """Return the name and head of a branch, of the checked-out one for None; None where there is none of that name.

    Dolt's table of branches looks at the commit and the working set of every branch, whatever is asked of it.
    """
    if branch is None:
        ((active, head),) = connection.query(ACTIVE_HEAD)
        return None if active is None else (str(active), str(head))
    if _NO_BRANCH.search(branch):
        return None
    try:
        rows = connection.query(_HEAD, branch, f"{_BRANCHES}{branch}")
    except RevisionNotFound:
        return None
    if len(rows) == 1 and rows[0][0] == rows[0][1]:
        return branch, str(rows[0][0])
    return _listed(connection, branch)  # another in other letters; or somebody else's table in the place of Dolt's


def _listed(connection: Connection, branch: str) -> tuple[str, str] | None:
    """Return what `_named` does, from the table of branches."""
    listed = "SELECT name, hash, DOLT_HASHOF(CONCAT(name, '')) FROM dolt_branches WHERE name = %s"
    for name, found, meant in connection.query(listed, branch):
        if branch == name:
            if found != meant:
                active_content.refuse_false_tables(connection)
            return branch, str(found)
    return None


def is_free(connection: Connection, branch: str) -> bool:
    """Whether Dolt, which looks without regard to case, knows nothing by the name of ``branch``; quick where it is."""
    try:
        connection.query("SELECT DOLT_HASHOF(%s)", branch)
    except RevisionNotFound:
        return True
    return False


def heads(connection: Connection) -> dict[str, str]:
    """Return the name and head of every branch, this package's scratch branches left out."""
    rows = connection.query("SELECT name, hash FROM dolt_branches")
    return {name: found for name, found in rows if not name.startswith(SCRATCH_PREFIX)}


def refuse_double(branch: str, known: Iterable[str]) -> None:
    """Raise if a branch's name differs from that of another in case only.

    Dolt would open the new one for both, and hide what the user has on the other.

    Raises:
        InvalidName: it does.
    """
    double = next((name for name in known if name.casefold() == branch.casefold()), None)
    if double is not None:
        raise InvalidName(
            f"Cannot create branch {branch!r}: there is {double!r}, whose name differs in case only, and Dolt "
            "does not tell them apart. Use another name.",
            name=branch,
        )


def no_branch(connection: Connection, branch: str, verb: str) -> BranchNotFound:
    """Return the error for a missing branch, with the names that there are."""
    known = heads(connection)
    return BranchNotFound(
        f"Cannot {verb} branch {branch!r}: there is none of that name.{close_names(branch, known)} The branches are "
        f"{', '.join(map(repr, sorted(known)))}. A task that writes makes one with NewBranch({branch!r}).",
        branch=branch,
        close=sorted(known),
    )
