"""The past of a table: its versions, its first appearance, and restoring it.

Walks commits, never rows, but for `restore`, which puts a table back as a new commit through the one way of writing.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import InvalidConfig, attempting
from ..history import restoring, revisions, table_log
from ..history.revisions import Revision
from ..model import runtime
from ..model.configs import Commit, DoltConfig
from ..repository import remotes
from ..repository.connections import connect
from .table import DoltTable

__all__ = ["first_appeared", "restore", "versions"]

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
    with attempting(f"list the versions of table {config.tablename!r}"):
        table = table_log.table_of(config)
        if last < 1:
            raise InvalidConfig(f"Cannot return the last {last} versions of {table!r}: ask for one or more.")
        with connect(remotes.location_of(config)) as connection:
            head = revisions.of_config(connection, config)
            found: list[Commit] = []
            for commit in table_log.changes(connection, table, head):
                if table_log.table_hash(connection, table, commit.hash) is not None:
                    found.append(commit)
                if len(found) == last:
                    break
            if not found:
                raise table_log.never_there(connection, table, head)
        return [DoltTable(config=config).at(table_log.with_branch(commit, head.branch)) for commit in found]


def first_appeared(config: DoltConfig) -> Commit:
    """Return the first commit on the config's branch that has the table.

    Raises:
        TableNotFound: the table never was on that branch.
    """
    with attempting(f"find where table {config.tablename!r} appeared"):
        table = table_log.table_of(config)
        with connect(remotes.location_of(config)) as connection:
            head = revisions.of_config(connection, config)
            commit = table_log.first_commit(connection, table, head)
            if commit is None:
                raise table_log.never_there(connection, table, head)
        return table_log.with_branch(commit, head.branch)


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
        ConstraintViolated: rows, there or in tables that refer to it, would break a constraint; nothing was changed.
        SchemaMismatch: a table that it refers to is gone; nothing was changed.
        DoltError: as `flytekitplugins.dolt.write`.
    """
    with attempting(f"restore table {config.tablename!r}"):
        table, given = table_log.table_of(config), config.as_of if as_of is None else as_of
        if given is None:
            raise InvalidConfig(f"Cannot restore table {table!r}: it is not said to which state. Give as_of=.")
        place = remotes.locate(config)
        past, target, first = _config_at(config, given), _config_at(config, None), message or SCRIPT_MESSAGE
        with runtime.current().retryable():
            with connect(place) as connection:
                old = revisions.of_config(connection, past)
                table_log.check_was_there(connection, past, old)
            words = runtime.current().commit_message(target, first) or first
            written = restoring.put_back(place, config.branch_conf, table, old, message=words)
        return DoltTable(config=target).at(written.commit)


def _config_at(config: DoltConfig, as_of: Revision | Commit | DoltTable | None) -> DoltConfig:
    if isinstance(as_of, DoltTable):
        if as_of.commit is None:
            raise InvalidConfig(f"Cannot restore to {as_of!r}: it is at no commit. Take one of versions(config).")
        as_of = as_of.commit
    return replace(config, as_of=as_of)
