"""The past of a table and of a repository: versions, first appearance, tags, restoring, and old run branches.

Walks commits, never rows, but for `restore`, which puts a table back as a new commit through the one way of writing.
Called by people and tasks; `frames` asks it when a table was not there yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from . import locks, remotes, repository, revisions, tables, writing
from .codec import quote
from .engine import Connection, connect
from .errors import InvalidConfig, InvalidName, RevisionNotFound, TableNotFound, TagExists, close_names
from .names import SCRATCH_PREFIX, check_branch_name
from .places import Place, refuses_passwords
from .remotes import Where
from .revisions import Revision
from .schema import Commit, DoltConfig, DoltTable

__all__ = [
    "RunBranch",
    "Tag",
    "delete_run_branches",
    "delete_tag",
    "first_appeared",
    "restore",
    "run_branches",
    "tag",
    "tags",
    "versions",
]

SCRIPT_MESSAGE = "Restored by flytekitplugins.dolt"
"""First line of the commit that `restore` makes, unless the caller gives a message."""


# ------------------------------------------------------------------------------------------------------------ versions


def versions(config: DoltConfig, *, last: int = 5) -> list[DoltTable]:
    """Return the newest versions of a table, newest first, each pinned to the commit that made it.

    A version is a commit of the branch's own line (of first parents) that changed the table and has it; commits that
    only changed other tables are passed over, and so are those of a branch that was merged: its merge is the version.
    ``as_of`` of the config is where the line begins.

    >>> versions(DoltConfig(db_path="foo", tablename="rabbits"), last=5)  # doctest: +SKIP
    [DoltTable('rabbits' in 'foo', at 3v1d8q0h), DoltTable('rabbits' in 'foo', at 9a27uhf6)]

    Raises:
        InvalidConfig: the config names no table, or ``last`` is below 1.
        TableNotFound: the table never was on that branch.
    """
    table = _table_of(config)
    if last < 1:
        raise InvalidConfig(f"Cannot return the last {last} versions of {table!r}: ask for one or more.")
    with connect(remotes.place_of(config)) as connection:
        head = revisions.of_config(connection, config)
        found: list[Commit] = []
        for commit in _changes(connection, table, head):
            if table_hash(connection, table, commit.hash) is not None:
                found.append(commit)
            if len(found) == last:
                break
        if not found:
            raise _never(connection, table, head)
    return [DoltTable(config=config).at(_on(commit, head.branch)) for commit in found]


def first_appeared(config: DoltConfig) -> Commit:
    """Return the first commit on the config's branch that has the table.

    Raises:
        TableNotFound: the table never was on that branch.
    """
    table = _table_of(config)
    with connect(remotes.place_of(config)) as connection:
        head = revisions.of_config(connection, config)
        commit = _first(connection, table, head)
        if commit is None:
            raise _never(connection, table, head)
    return _on(commit, head.branch)


def _table_of(config: DoltConfig) -> str:
    config.check()
    if config.tablename is None:
        raise InvalidConfig(f"Cannot look into the past of {config!r}: it is a query. Give a config with a tablename.")
    return config.tablename


def _on(commit: Commit, branch: str | None) -> Commit:
    return Commit(commit.hash, branch, commit.parents, commit.author, commit.date, commit.message)


def _changes(connection: Connection, table: str, head: Commit) -> Iterator[Commit]:
    """Give the commits of the line of ``head`` that changed ``table``, newest first."""
    attempt = f"look for the versions of table {table!r}"
    touched = {commit.hash for commit in repository.walk(connection, head.hash, table=table, attempt=attempt)}
    for commit in revisions.line(connection, head.hash):
        if not touched:
            return
        if commit.hash in touched:
            touched.remove(commit.hash)
            if len(commit.parents) < 2 or _differs(connection, table, commit):
                yield commit


def _differs(connection: Connection, table: str, merge: Commit) -> bool:
    """Whether a merge changed the table on the branch that was merged into."""
    return table_hash(connection, table, merge.hash) != table_hash(connection, table, merge.parents[0])


def table_hash(connection: Connection, table: str, commit: str) -> str | None:
    """Return the hash of a table's schema and rows at ``commit``, or None where there is no such table."""
    repository.use(connection, Commit(commit))
    try:
        attempt = f"look at table {table!r} at commit {commit}"
        return str(connection.rows("SELECT DOLT_HASHOF_TABLE(%s)", table, attempt=attempt)[0][0])
    except TableNotFound:
        return None


def _first(connection: Connection, table: str, head: Commit) -> Commit | None:
    for commit in reversed(list(_changes(connection, table, head))):
        if table_hash(connection, table, commit.hash) is not None:
            return commit
    return None


def _never(connection: Connection, table: str, head: Commit) -> TableNotFound:
    known = _tables(connection, head)
    where = f"branch {head.branch!r}" if head.branch else f"commit {head.hash} and before"
    return TableNotFound(
        f"Cannot find table {table!r}: {where} never had one of that name.{close_names(table, known)} The tables there "
        f"are {', '.join(map(repr, known)) or 'none'}.",
        table=table,
        close=known,
    )


def _tables(connection: Connection, commit: Commit) -> list[str]:
    repository.use(connection, commit)
    return [str(name) for (name,) in connection.rows("SHOW TABLES", attempt="list the tables")]


def check_was_there(connection: Connection, config: DoltConfig, commit: Commit) -> None:
    """Raise unless the config's table exists at ``commit``, to which its ``as_of`` was resolved.

    Raises:
        TableNotFound: it did not exist then; the message says when it first appeared.
    """
    table = config.tablename
    if table is None or table_hash(connection, table, commit.hash) is not None:
        return
    connection.use(None, attempt="go back to the checked-out branch")
    head = repository.head_of(connection, config.branch_conf)
    first = _first(connection, table, head)
    if first is None:
        raise _never(connection, table, head)
    known = _tables(connection, commit)
    raise TableNotFound(
        f"Cannot read table {table!r} as of {config.as_of!r}, which is commit {commit.hash}: it is not there."
        f"{close_names(table, known)} On branch {head.branch!r} it first appeared with commit {first.hash} of "
        f"{first.date}.",
        table=table,
        close=known,
        first=first.hash,
    )


# ------------------------------------------------------------------------------------------------------------- restore


def restore(
    config: DoltConfig, as_of: Revision | Commit | DoltTable | None = None, *, message: str | None = None
) -> DoltTable:
    """Put the table back, rows and schema, to what it was: as a new commit, so that nothing of the history is lost.

    Equal content makes no commit. Inside a task the message says which execution did it.

    Args:
        config: the table and the branch that is written to.
        as_of: the state to go back to: a revision, a commit, or a table at a commit; None is the config's ``as_of``.
        message: first line of the commit message.

    Raises:
        TableNotFound: the table did not exist then.
        UncommittedChanges: the user's own work on that branch stands in the way; nothing was changed.
        DoltError: as `flytekitplugins.dolt.write`.
    """
    table, given = _table_of(config), config.as_of if as_of is None else as_of
    if given is None:
        raise InvalidConfig(f"Cannot restore table {table!r}: it is not said to which state. Give as_of=.")
    place = remotes.locate(config)
    past, target = _config_at(config, given), _config_at(config, None)
    with DoltTable.guard():
        with connect(place) as connection:
            old = revisions.of_config(connection, past)
            check_was_there(connection, past, old)
        written = writing.write(
            place,
            table=table,
            policy=config.branch_conf,
            message=DoltTable.sign(DoltTable(config=target), message or SCRIPT_MESSAGE) or message or SCRIPT_MESSAGE,
            work=lambda connection: _put_back(connection, table, old),
            statements=writing.Statements(kinds=()),
        )
    return DoltTable(config=target).at(written.commit)


def _config_at(config: DoltConfig, as_of: Revision | Commit | DoltTable | None) -> DoltConfig:
    if isinstance(as_of, DoltTable):
        if as_of.commit is None:
            raise InvalidConfig(f"Cannot restore to {as_of!r}: it is at no commit. Take one of versions(config).")
        as_of = as_of.commit
    fields = {k: v for k, v in config.to_dict().items() if k != "as_of"}
    past: DoltConfig = DoltConfig.from_dict(fields)
    if as_of is not None:
        past.as_of = as_of.hash if isinstance(as_of, Commit) else as_of
    return past


def _put_back(connection: Connection, table: str, old: Commit) -> None:
    if tables.describe(connection, table) is None:
        # Dolt's own way wants the table to be there; it is replaced whole a moment later.
        connection.run(f"CREATE TABLE {quote(table)} (n INT)", attempt=f"restore table {table!r}")
    connection.run("CALL DOLT_CHECKOUT(%s, '--', %s)", old.hash, table, attempt=f"restore table {table!r}")


# ---------------------------------------------------------------------------------------------------------------- tags


@dataclass(frozen=True)
class Tag:
    """A name for one commit, for ever."""

    name: str
    commit: Commit
    message: str = ""


def check_tag_name(name: str) -> str:
    """Return ``name`` if Dolt can hold a tag of that name and it means nothing else; the rules of branches hold.

    Raises:
        InvalidName: it cannot.
    """
    try:
        return check_branch_name(name)
    except InvalidName as error:
        raise InvalidName(str(error).replace("as a branch name", "as the name of a tag", 1), name=name) from None


@refuses_passwords
def tag(
    name: str,
    table: DoltTable | DoltConfig | None = None,
    *,
    db_path: str | os.PathLike[str] | None = None,
    at: Revision = "HEAD",
    message: str = "",
) -> Tag:
    """Give a commit a name. The same name for the same commit again changes nothing.

    Args:
        name: letters, digits and - _ . / as in branch names, for example ``release/2024-05``.
        table: a table at a commit, or a config: the commit that it reads now.
        db_path: folder of the repository, where no table is given.
        at: the commit, where no table is given.
        message: why; kept with the tag.

    Raises:
        InvalidName: Dolt cannot hold that name.
        TagExists: another commit has that name.
    """
    config = table.config if isinstance(table, DoltTable) else table
    check_tag_name(name)
    if (config is None) == (db_path is None):
        raise InvalidConfig(f"Cannot make tag {name!r}: give either a table (or config), or db_path=.")
    place = remotes.locate(config) if config is not None else repository.locate(db_path)  # type: ignore[arg-type]
    with connect(place) as connection:
        if isinstance(table, DoltTable) and table.commit is not None:
            commit = table.commit
        else:
            commit = revisions.resolve(connection, at) if config is None else revisions.of_config(connection, config)
        return set_tag(connection, name, commit, author=writing.author_of(place), message=message)


def set_tag(connection: Connection, name: str, commit: Commit, *, author: str, message: str = "") -> Tag:
    """Make the tag on a connection; see `tag`."""
    attempt = f"make tag {name!r}"
    found = tagged(connection, name)
    if found is None:
        statement = "CALL DOLT_TAG('--author', %s, '-m', %s, %s, %s)"
        try:
            connection.run(statement, author, message, name, commit.hash, attempt=attempt)
            return Tag(name, Commit(commit.hash), message)
        except TagExists:
            found = tagged(connection, name)  # somebody made it in this moment
    if found is None or found.hash != commit.hash:
        raise _tag_exists(name, found, f"commit {commit.hash}")
    return Tag(name, found, message)


def tagged(connection: Connection, name: str) -> Commit | None:
    """Return the commit that a tag names, or None."""
    query = "SELECT tag_name, tag_hash FROM dolt_tags WHERE tag_name = %s"
    rows = connection.rows(query, name, attempt=f"look for tag {name!r}")
    return next((Commit(str(hash_)) for found, hash_ in rows if found == name), None)


def _tag_exists(name: str, found: Commit | None, wanted: str) -> TagExists:
    return TagExists(
        f"Cannot give {wanted} the tag {name!r}: it names commit {found.hash if found else '(unknown)'} already, and a "
        "tag is for ever. Take another name, or delete that tag first.",
        name=name,
        commit=found.hash if found else None,
    )


def refuse_taken_tag(connection: Connection, name: str) -> None:
    """Raise if the commit that is about to be made from what is on this branch cannot have the tag ``name``.

    Raises:
        TagExists: another commit has it.
    """
    found = tagged(connection, name)
    if found is None:
        return
    attempt = "see whether anything is different"
    changed = connection.rows("SELECT 1 FROM dolt_status LIMIT 1", attempt=attempt)
    head = str(connection.rows("SELECT DOLT_HASHOF('HEAD')", attempt=attempt)[0][0])
    if changed or found.hash != head:
        raise _tag_exists(name, found, "the new commit" if changed else f"commit {head}")


@refuses_passwords
def tags(db_path: Where) -> list[Tag]:
    """Return the tags of a repository, by name; a config of a table there brings the secret of a server."""
    with connect(remotes.place_named(db_path)) as connection:
        rows = connection.rows("SELECT tag_name, tag_hash, message FROM dolt_tags", attempt="list the tags")
    return [Tag(str(name), Commit(str(hash_)), str(message)) for name, hash_, message in sorted(rows)]


@refuses_passwords
def delete_tag(name: str, *, db_path: Where) -> Tag:
    """Remove a tag and return what it was; its commit stays.

    Raises:
        RevisionNotFound: there is no such tag.
    """
    found = next((known for known in tags(db_path) if known.name == name), None)
    if found is None:
        raise RevisionNotFound(
            f"Cannot delete tag {name!r}: there is none.{close_names(name, [t.name for t in tags(db_path)])}",
            revision=name,
        )
    with connect(remotes.place_named(db_path)) as connection:
        connection.run("CALL DOLT_TAG('-d', %s)", name, attempt=f"delete tag {name!r}")
    return found


# -------------------------------------------------------------------------------------------------------- run branches


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

    Each says whether `delete_run_branches` would leave it, and why: it is checked out, or has uncommitted work.
    """
    _check_prefix(prefix)
    with connect(remotes.place_named(db_path)) as connection:
        return _run_branches(connection, older_than, prefix)


@refuses_passwords
def delete_run_branches(db_path: Where, *, older_than: timedelta, prefix: str = "run/") -> list[RunBranch]:
    """Delete the branches under ``prefix`` whose newest commit is older than ``older_than``, and return them.

    The checked-out branch and branches with uncommitted work are left, whatever their age. What no other branch or tag
    leads to can be read by its hash until Dolt collects its garbage, and is gone then; tag what has to stay.

    Raises:
        InvalidConfig: ``prefix`` is empty, or reaches into this package's own branches.
    """
    _check_prefix(prefix)
    place = remotes.place_named(db_path)
    with connect(place) as connection:
        candidates = [branch for branch in _run_branches(connection, older_than, prefix) if branch.kept is None]
        return [branch for branch in candidates if _deleted(connection, place, branch, older_than, prefix)]


def _check_prefix(prefix: str) -> None:
    if not prefix or prefix.startswith(SCRATCH_PREFIX) or SCRATCH_PREFIX.startswith(prefix):
        raise InvalidConfig(f"Cannot take the branches under {prefix!r}: give a prefix of your own, such as 'run/'.")


def _run_branches(connection: Connection, older_than: timedelta, prefix: str) -> list[RunBranch]:
    attempt = f"list the branches under {prefix!r}"
    checked_out = connection.active_branch(attempt=attempt)
    before = datetime.now(timezone.utc).replace(tzinfo=None) - older_than
    rows = connection.rows("SELECT name, hash, latest_commit_date, dirty FROM dolt_branches", attempt=attempt)
    found = []
    for name, head, date, dirty in sorted(rows, key=lambda row: (row[2], row[0])):
        if name.startswith(prefix) and date <= before:
            kept = "it is checked out" if name == checked_out else "it has uncommitted work" if dirty else None
            found.append(RunBranch(str(name), Commit(str(head), str(name), date=f"{date.isoformat()}Z"), kept))
    return found


def _deleted(connection: Connection, place: Place, branch: RunBranch, older_than: timedelta, prefix: str) -> bool:
    """Delete the branch under its lock if it is still what it was, and say whether it was deleted."""
    with locks.held(connection, branch.name, timeout_s=writing.LOCK_TIMEOUT_S, place=place):
        if branch not in _run_branches(connection, older_than, prefix):
            return False
        connection.run("CALL DOLT_BRANCH('-D', %s)", branch.name, attempt=f"delete branch {branch.name!r}")
    return True
