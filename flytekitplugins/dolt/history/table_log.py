"""The commits that changed one table: which they are, and whether the table was there. Walks commits, never rows."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

from ..errors import InvalidConfig, InvalidName, TableNotFound, close_names
from ..model import provenance, timepoints
from ..model.configs import Commit, DoltConfig
from ..model.naming import lowered
from ..repository import active_content, refs, table_names
from ..repository.connections import Connection
from ..tables import reading
from . import revisions


def table_of(config: DoltConfig) -> str:
    """Return the table that ``config`` names; a query has no log of its own."""
    config.check()
    if config.tablename is None:
        raise InvalidConfig(f"Cannot look into the past of {config!r}: it is a query. Give a config with a tablename.")
    return config.tablename


def with_branch(commit: Commit, branch: str | None) -> Commit:
    """Return the commit as one that was found on ``branch``."""
    return Commit(commit.hash, branch, commit.parents, commit.author, commit.date, commit.message)


def respelt(connection: Connection, config: DoltConfig, commit: Commit) -> DoltConfig:
    """Return ``config`` with the name under which its table or view is stored at ``commit``, if it is there.

    Raises:
        InvalidConfig: it is a view, and the changes of a table are asked for.
    """
    if config.tablename is None:
        return config
    find = table_names.find if config.changes is None else table_names.find_table
    if table_names.is_listed(commit.hash):
        found = find(connection, config.tablename, commit=commit.hash)
    else:
        with refs.at_commit(connection, commit):
            found = find(connection, config.tablename)
    name = found.name if isinstance(found, table_names.Named) else found
    return config if name in (None, config.tablename) else replace(config, tablename=name)


def changes(connection: Connection, table: str, head: Commit) -> Iterator[Commit]:
    """Give the commits of the line of ``head`` that changed ``table``, newest first, however it was spelt then.

    Raises:
        InvalidConfig: it is a view at ``head``.
    """
    name: str | None = _spelling(connection, table, head.hash)
    start = head.hash
    while name is not None:
        oldest = yield from _changes(connection, name, start)
        if oldest is None or not oldest.parents:
            return
        start, before = oldest.parents[0], name
        name = stored(connection, table, start)
        if name == before:
            return


def _changes(connection: Connection, name: str, head: str) -> Generator[Commit, None, Commit | None]:
    """Give the commits of the line that changed the table of just this name, and return the last of them."""
    touched = {commit.hash for commit in refs.walk(connection, head, table=name)}
    last = None
    for commit in revisions.line(connection, head):
        if not touched:
            break
        if commit.hash in touched:
            touched.remove(commit.hash)
            last = commit
            if len(commit.parents) < 2 or _differs(connection, name, commit):
                yield commit
    return last


def _spelling(connection: Connection, table: str, head: str) -> str:
    """Return as what a table is stored at ``head``, or, where it is not there, as what it was before."""
    with refs.at_commit(connection, Commit(head)):
        found = table_names.find_table(connection, table)
    if found is not None or refs.walk(connection, head, table=table, limit=1):
        return found or table
    with refs.at_commit(connection, Commit(head)):
        names = connection.query("SELECT DISTINCT table_name FROM dolt_diff")
    return next((str(name) for (name,) in names if lowered(str(name)) == lowered(table)), table)


def stored(connection: Connection, table: str, commit: str) -> str | None:
    """Return as what a table is stored at ``commit``, or None where there is none; of two, it is the one spelt so."""
    with refs.at_commit(connection, Commit(commit)):
        try:
            found = table_names.find(connection, table)
        except InvalidName:  # only its rows could not be told from the other's
            return table
    return None if found is None or found.is_view else found.name


def last_change(connection: Connection, table: str, at: Commit) -> Commit | None:
    """Return the commit that made ``table`` what it is at ``at``, or None where it never was there.

    Where a merge took the table as the other side had it, that is a commit of the other side.
    """
    if any(write.table.casefold() == table.casefold() for write in provenance.parse(at.message).writes):
        return at  # it says so itself, and no commit is made for what changes nothing
    start: Commit | None = at
    found = None
    while start is not None:
        found = next(changes(connection, table, start), None)
        start = None if found is None else _taken_from(connection, table, found)
    return found


def _taken_from(connection: Connection, table: str, commit: Commit) -> Commit | None:
    """Return the parent, other than the first, whose table a merge took as it was; None where there is none."""
    others = commit.parents[1:]
    here = table_hash(connection, table, commit.hash) if others else None
    return next((Commit(other) for other in others if table_hash(connection, table, other) == here), None)


def _differs(connection: Connection, table: str, merge: Commit) -> bool:
    """Whether a merge changed the table on the branch that was merged into."""
    return table_hash(connection, table, merge.hash) != table_hash(connection, table, merge.parents[0])


def table_hash(connection: Connection, table: str, commit: str) -> str | None:
    """Return the hash of a table's schema and rows at ``commit``, or None where there is no such table."""
    name = stored(connection, table, commit)
    with refs.at_commit(connection, Commit(commit)):
        return None if name is None else active_content.hash_of_table(connection, name)


def first_commit(connection: Connection, table: str, head: Commit) -> Commit | None:
    """Return the first commit of the line of ``head`` that has the table."""
    for commit in reversed(list(changes(connection, table, head))):
        if table_hash(connection, table, commit.hash) is not None:
            return commit
    return None


def never_there(connection: Connection, table: str, head: Commit) -> TableNotFound:
    """Return the error for a table that no commit up to ``head`` ever had."""
    known = _tables(connection, head)
    where = f"branch {head.branch!r}" if head.branch else f"commit {head.hash} and before"
    return TableNotFound(
        f"Cannot find table {table!r}: {where} never had one of that name.{close_names(table, known)} The tables there "
        f"are {', '.join(map(repr, known)) or 'none'}.",
        table=table,
        close=known,
    )


def _tables(connection: Connection, commit: Commit) -> list[str]:
    with refs.at_commit(connection, commit):
        return reading.table_names(connection)


def check_was_there(connection: Connection, config: DoltConfig, commit: Commit) -> None:
    """Raise unless the config's table or view exists at ``commit``, to which its ``as_of`` was resolved.

    Raises:
        TableNotFound: it did not exist then; the message says when it first appeared.
    """
    table = config.tablename
    if table is None:
        return
    with refs.at_commit(connection, commit):
        if table_names.find(connection, table) is not None:
            return
    head = refs.head_of(connection, config.policy)
    known = _tables(connection, commit)
    absent = f"Cannot read table {table!r} as of {config.as_of!r}, which is commit {commit.hash}: it is not there."
    with refs.at_commit(connection, head):
        now = table_names.find(connection, table)
    if now is not None and now.is_view:  # whose past nobody tells
        raise TableNotFound(f"{absent} On branch {head.branch!r} it is a view now.", table=table, close=known)
    first = first_commit(connection, table, head)
    if first is None:
        raise never_there(connection, table, head)
    raise TableNotFound(
        f"{absent}{close_names(table, known)} On branch {head.branch!r} it first appeared with commit {first.hash} of "
        f"{timepoints.utc_text(first.date)}.",
        table=table,
        close=known,
        first=first.hash,
    )
