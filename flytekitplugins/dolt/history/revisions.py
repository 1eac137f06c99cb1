"""What names a state of the repository, resolved to the one commit that it means: `resolve`, the only door.

Nothing is read here but the graph of commits, so the time goes with the number of commits walked and never with the
size of tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeAlias

from ..errors import BranchNotFound, RevisionNotFound, ShallowClone, attempted, attempting, close_names
from ..model import timepoints
from ..model.configs import Commit, DoltConfig
from ..model.naming import SCRATCH_PREFIX, is_hash
from ..model.timepoints import Ago
from ..repository import refs

if TYPE_CHECKING:
    from ..repository.connections import Connection

Revision: TypeAlias = str | datetime | date | timedelta | Ago
"""What a user can name a state with."""

_SHORT_HASH = re.compile(r"[0-9a-v]{4,31}\Z")
_ANCESTOR = re.compile(r"(.+?)((?:~\d*|\^\d*)+)\Z")
_FIRST_PAGE = 256


@dataclass(frozen=True)
class _Refs:
    """The names that the repository has for commits."""

    branches: dict[str, str]
    tags: dict[str, str]
    remotes: dict[str, str]


def resolve(connection: Connection, revision: Revision, *, on: str | None = None) -> Commit:
    """Return the commit that ``revision`` names.

    As text it is, in this order: a branch (also ``refs/heads/x``), a tag (also ``refs/tags/x``), a remote branch
    (``origin/x``), a whole hash, ``HEAD``, an ancestor of any of these (``main~1``, ``HEAD^2~3``), a point in time
    (see `moments`), or the first four or more characters of a hash. A point in time is the state that the branch
    showed then: the newest of its commits, along first parents, that is not younger.

    Args:
        connection: a connection; it stays where it is.
        revision: text, a datetime, a date, a timedelta (back from now), or `Ago`.
        on: the branch that ``HEAD`` and points in time refer to; None is the one that the connection is on.

    Raises:
        RevisionNotFound: there is nothing of that name, it is ambiguous, or the branch did not exist then.
        ShallowClone: it lies before the history that this clone has.
        BranchNotFound: ``on`` is no branch.
    """
    text = timepoints.to_text(revision)
    known = _known(connection, text)
    if known is not None:
        return known
    refs = _refs(connection)
    found = _by_name(connection, refs, text, on) or _ancestor(connection, refs, text, on)
    if found is None:
        moment = timepoints.parse(text, now=datetime.now(timezone.utc))
        found = (
            _by_prefix(connection, text)
            if moment is None
            else _at_time(connection, _start(connection, refs, on), moment)
        )
    if found is None:
        raise _unknown(refs, text)
    return found


def first_question(config: DoltConfig) -> str | None:
    """Return what `of_config` asks first, for `connect`; None where that depends."""
    has_own = config.as_of is not None or config.changes is not None
    return None if has_own or refs.branch_of(config.policy) is not None else refs.ACTIVE_HEAD


def of_config(connection: Connection, config: DoltConfig) -> Commit:
    """Return the commit that ``config`` reads now: that of its ``as_of`` (or ``until``), or the head of its branch.

    Raises:
        BranchNotFound, RevisionNotFound, ShallowClone: there is none.
    """
    wanted = config.as_of or (config.changes.until if config.changes is not None else None)
    if wanted is None:
        return refs.head_of(connection, config.policy)
    return resolve(connection, wanted, on=refs.branch_of(config.policy))


def _known(connection: Connection, text: str) -> Commit | None:
    """Return the head of a branch, or a commit by its hash, without a look at all the others; None is no answer yet."""
    if is_hash(text):
        if text not in connection.seen_commits:
            if _existing(connection, text, text).hash != text:  # a tag may have that name
                return None
            connection.saw_commit(text)
        return Commit(text)
    branch = text.removeprefix("refs/heads/")
    head = None if branch == "HEAD" or branch.startswith(SCRATCH_PREFIX) else refs.find_head(connection, branch)
    return None if head is None else Commit(head, branch=branch)


def _refs(connection: Connection) -> _Refs:
    rows = connection.query(
        "SELECT 'b', name, hash FROM dolt_branches UNION ALL SELECT 't', tag_name, tag_hash FROM dolt_tags"
        " UNION ALL SELECT 'r', name, hash FROM dolt_remote_branches",
    )
    kinds: dict[str, dict[str, str]] = {"b": {}, "t": {}, "r": {}}
    for kind, name, hash_ in rows:
        if not name.startswith(SCRATCH_PREFIX):
            kinds[kind][name] = str(hash_)
    return _Refs(kinds["b"], kinds["t"], kinds["r"])


def _by_name(connection: Connection, refs: _Refs, text: str, on: str | None) -> Commit | None:
    branch = text.removeprefix("refs/heads/")
    if branch in refs.branches:
        return Commit(refs.branches[branch], branch=branch)
    tag = refs.tags.get(text.removeprefix("refs/tags/"))
    remote = refs.remotes.get(text) or refs.remotes.get(f"remotes/{text.removeprefix('refs/remotes/')}")
    if tag or remote:
        return Commit(str(tag or remote))
    if text == "HEAD":
        return _start(connection, refs, on)
    return _existing(connection, text, text) if is_hash(text) else None


def _start(connection: Connection, refs: _Refs, on: str | None) -> Commit:
    """Return the head of the branch ``on``, or where the connection is."""
    if on is None:
        head, branch = connection.query("SELECT DOLT_HASHOF('HEAD'), active_branch()")[0]
        return Commit(str(head), branch=branch)
    if on not in refs.branches:
        raise BranchNotFound(
            f"Cannot look back on branch {on!r}: there is none of that name.{close_names(on, refs.branches)} The "
            f"branches are {', '.join(map(repr, sorted(refs.branches)))}.",
            branch=on,
            close=sorted(refs.branches),
        )
    return Commit(refs.branches[on], branch=on)


def _ancestor(connection: Connection, refs: _Refs, text: str, on: str | None) -> Commit | None:
    match = _ANCESTOR.match(text)
    if match is None:
        return None
    base = _by_name(connection, refs, match[1], on) or _by_prefix(connection, match[1])
    if base is None:
        raise _unknown(refs, match[1], whole=text)
    found = _existing(connection, f"{base.hash}{match[2]}", text)
    return Commit(found.hash, branch=base.branch if "^" not in match[2] else None)


def _existing(connection: Connection, spec: str, text: str) -> Commit:
    try:
        with attempting(f"find revision {text!r}"):
            rows = connection.query("SELECT DOLT_HASHOF(%s)", spec)
    except RevisionNotFound as error:
        if is_hash(text):
            found = "the repository does not hold that commit. It may be another clone, or it was on a branch that is "
            found += "deleted and collected"
        else:
            found = "there are not so many ancestors. `dolt log` lists them"
        raise RevisionNotFound(f"Cannot find revision {text!r}: {found}.", revision=text) from error
    return Commit(str(rows[0][0]))


def _by_prefix(connection: Connection, text: str) -> Commit | None:
    if not _SHORT_HASH.match(text):
        return None
    with attempting(f"find revision {text!r}"):
        query = "SELECT DISTINCT commit_hash FROM dolt_commits WHERE commit_hash LIKE %s LIMIT 4"
        found = [str(name) for (name,) in connection.query(query, f"{text}%")]
        if len(found) > 1:
            raise RevisionNotFound(
                f"Cannot {attempted()}: several commits start with that, {', '.join(found[:3])}"
                f"{' ...' * (len(found) > 3)}. Give more characters.",
                revision=text,
                close=found,
            )
        return Commit(found[0]) if found else None


def _unknown(refs: _Refs, text: str, *, whole: str | None = None) -> RevisionNotFound:
    if text in ("WORKING", "STAGED"):
        found = "uncommitted rows are no commit, and would be other ones a moment later. Commit them first"
        return RevisionNotFound(f"Cannot find revision {whole or text!r}: {found}.", revision=whole or text)
    known = [*refs.branches, *refs.tags]
    return RevisionNotFound(
        f"Cannot find revision {whole or text!r}: no branch, tag or commit is called {text!r}, and it is no point in "
        f"time, as '2024-05-07 12:38' and Ago(days=30) are.{close_names(text, known)} "
        f"The branches are {', '.join(map(repr, sorted(refs.branches)))}"
        + (f", the tags {', '.join(map(repr, sorted(refs.tags)))}." if refs.tags else "."),
        revision=whole or text,
        close=known,
    )


# ---------------------------------------------------------------------------------------------------- points in time


def line(connection: Connection, head: str) -> Iterator[Commit]:
    """Give the commits that lead to ``head`` along first parents, newest first: the states that a branch has shown.

    Raises:
        ShallowClone: the line goes on before what this clone has.
    """
    wanted: str | None = head
    given = 0
    for page in _pages(connection, head):
        commits = {commit.hash: commit for commit in page}
        while wanted in commits:
            commit = commits.pop(wanted)
            yield commit
            given += 1
            wanted = commit.parents[0] if commit.parents else None
        if wanted is None:
            return
    raise ShallowClone(
        f"Cannot look back beyond {given} commits from {head}: this is a shallow clone, and commit {wanted} is not in "
        "it. Make a whole clone, with `dolt clone` without --depth.",
        revision=wanted,
    )


def _pages(connection: Connection, head: str) -> Iterator[list[Commit]]:
    """Give the first commits of the log, then more of them, then all: each page starts at the head again."""
    size = _FIRST_PAGE
    while True:
        page = refs.walk(connection, head, limit=size)
        yield page
        if len(page) < size:
            return
        size *= 8


def made_at(commit: Commit) -> datetime:
    """Return when a commit that `line` gave was made, in UTC."""
    assert commit.date is not None  # noqa: S101  # for the type checker: the log has it
    return commit.date


def _at_time(connection: Connection, start: Commit, moment: datetime) -> Commit:
    commit = start
    for commit in line(connection, start.hash):
        if made_at(commit) <= moment:
            return replace(commit, branch=start.branch)
    where = f"branch {start.branch!r}" if start.branch else f"commit {start.hash}"
    raise RevisionNotFound(
        f"Cannot find what {where} was at {moment.isoformat()}: its history begins with commit {commit.hash} of "
        f"{timepoints.utc_text(commit.date)}. Give a later time.",
        revision=moment.isoformat(),
        first=commit.hash,
    )
