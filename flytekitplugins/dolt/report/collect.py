"""What a deck shows of a table, asked of its repository: the commit, what it changed, how the table grew.

Bounded in rows and statements, so that a deck costs little beside what it shows; looks only. `flyte` calls it for
tasks with decks switched on, `page` turns the answer into a page.
"""

from __future__ import annotations

import dataclasses

from ..api import versions
from ..api.table import DoltTable
from ..errors import attempting
from ..history import diffs, table_log
from ..model.configs import Commit, DoltConfig
from ..model.sql_text import quote
from ..repository import refs, remotes, table_names
from ..repository.connections import connect
from .page import MAX_ROWS, Card, Size

VERSIONS = 12
"""How many versions of a table the line of its sizes goes back."""


def card(table: DoltTable) -> Card:
    """Return what is shown of ``table``, which has to be at a commit.

    Raises:
        DoltError: the repository cannot be asked, or does not hold that commit (any more).
    """
    with attempting(f"show table {table.config.tablename!r}"):
        at = table.commit
        assert at is not None  # noqa: S101  # for the type checker: the caller has looked
        where, given, table = _where(table.config), table, _at_hand(table, at)
        config, commit = table.config, _whole(table.config, at)
        if config.tablename is None:
            return Card("query", where, commit, query=config.sql)
        if _is_view(config, at):
            return Card(config.tablename, where, commit)
        return Card(
            config.tablename,
            where,
            commit,
            change=diffs.last_change(table, limit=MAX_ROWS),
            history=_sizes(config, at),
            changed_by=_last_change(config, commit),
            wrote_nothing=given.wrote_nothing,
            missing_keys=given.missing_keys,
        )


def _is_view(config: DoltConfig, at: Commit) -> bool:
    with refs.at(remotes.location_of(config), at) as connection:
        found = table_names.find(connection, str(config.tablename))
    return found is not None and found.is_view


def _where(config: DoltConfig) -> str:
    origin = remotes.origin_of(config)
    return str(config.db_path) if origin is None else str(origin)


def _at_hand(table: DoltTable, at: Commit) -> DoltTable:
    """Return the table as one of the clone where its repository is a remote, which is fetched once at most for that.

    The clone of the task that wrote it holds the commit already, and nothing is fetched then.
    """
    origin = remotes.origin_of(table.config)
    if origin is None:
        return table
    clone = remotes.holding(origin, at, history=True)
    return DoltTable(config=dataclasses.replace(table.config, db_path=str(clone), remote_conf=None)).at(at)


def _whole(config: DoltConfig, at: Commit) -> Commit:
    (commit,) = refs.log(remotes.location_of(config), at.hash, limit=1)
    return dataclasses.replace(commit, branch=at.branch)


def _last_change(config: DoltConfig, at: Commit) -> Commit | None:
    with connect(remotes.location_of(config)) as connection:
        return table_log.last_change(connection, str(config.tablename), at)


def _sizes(config: DoltConfig, at: Commit) -> tuple[Size, ...]:
    pinned = dataclasses.replace(config, as_of=at.hash, branch_conf=None, changes=None)
    commits = [found.commit for found in versions.versions(pinned, last=VERSIONS) if found.commit is not None]
    sizes = []
    with connect(remotes.location_of(config)) as connection:
        for commit in reversed(commits):
            counted = f"SELECT COUNT(*) FROM {quote(str(config.tablename))} AS OF %s"
            ((rows,),) = connection.query(counted, commit.hash)
            sizes.append(Size(commit.hash, commit.date, int(rows)))
    return tuple(sizes)
