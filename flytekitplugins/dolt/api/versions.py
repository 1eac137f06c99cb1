"""The past of a table: its versions, its first appearance, and restoring it.

Walks commits, never rows, but for `restore`, which puts a table back as a new commit through the one way of writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InvalidConfig, attempting
from ..history import diffs, restoring, revisions, table_log
from ..history.revisions import Revision
from ..model import provenance, runtime
from ..model.configs import Commit, DoltConfig, refuse_other_than_config
from ..model.provenance import Execution
from ..repository import refs, remotes, table_names
from ..repository.connections import Connection, connect
from .table import DoltTable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Version", "described", "first_appeared", "restore", "versions", "versions_frame"]

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
        InvalidConfig: the config is none or names no table, or ``last`` is below 1.
        TableNotFound: the table never was on that branch.
        InvalidConfig: it is a view.
    """
    refuse_other_than_config(config)
    with attempting(f"list the versions of table {config.tablename!r}"):
        table = _table_to_list(config, last)
        with connect(remotes.location_of(config)) as connection:
            found = _newest(connection, config, table, last)
            names = [table_log.stored(connection, table, commit.hash) for commit in found]
        spelt = [config if name == table else replace(config, tablename=name) for name in names]
        return [DoltTable(config=own).at(commit) for own, commit in zip(spelt, found, strict=True)]


def _table_to_list(config: DoltConfig, last: int) -> str:
    table = table_log.table_of(config)
    if last < 1:
        raise InvalidConfig(f"Cannot return the last {last} versions of {table!r}: ask for one or more.")
    return table


def _newest(connection: Connection, config: DoltConfig, table: str, last: int) -> list[Commit]:
    head = revisions.of_config(connection, config)
    found: list[Commit] = []
    for commit in table_log.changes(connection, table, head):
        if table_log.table_hash(connection, table, commit.hash) is not None:
            found.append(table_log.with_branch(commit, head.branch))
        if len(found) == last:
            break
    if not found:
        raise table_log.never_there(connection, table, head)
    return found


@dataclass(frozen=True)
class Version:
    """What one commit did to a table, and who made it."""

    commit: Commit
    execution: Execution | None
    """The execution that changed the table so; None where it was none of Flyte. Of a merge that took the table as the
    other branch had it, it is the one that changed it there."""
    added: int
    modified: int
    removed: int
    """Rows, compared with the commit before."""

    @property
    def task(self) -> str | None:
        """The full name of the task, where it was one."""
        return self.execution.task if self.execution is not None else None

    @property
    def line(self) -> str:
        """The line of the commit's message that says why: what an author wrote, or its first one."""
        return provenance.line_of(self.commit.message)


def described(config: DoltConfig, commits: Sequence[Commit]) -> list[Version]:
    """Return what each of the commits, which changed the config's table, did to it."""
    with connect(remotes.location_of(config)) as connection:
        return [_described(connection, table_log.table_of(config), commit) for commit in commits]


def _described(connection: Connection, table: str, commit: Commit) -> Version:
    before = Commit(commit.parents[0]) if commit.parents else None
    change = diffs.between(connection, table, before, commit, limit=0)
    made = table_log.last_change(connection, table, commit) if len(commit.parents) > 1 else commit
    running = provenance.parse((made or commit).message).execution
    return Version(commit, running, change.added, change.modified, change.removed)


def versions_frame(config: DoltConfig, *, last: int = 5) -> pd.DataFrame:
    """Return the newest versions of a table as a frame for people, newest first; they are those of `versions`.

    Its columns are ``commit`` (the hash), ``date`` (``datetime64[us, UTC]``), ``task`` and ``execution`` (who changed
    the table; missing where that was not Flyte), ``added``, ``modified`` and ``removed`` (numbers of rows, int64) and
    ``message`` (the line that says why). Texts are of the dtype ``string``.

    Raises:
        InvalidConfig: the config is none or names no table, or ``last`` is below 1.
        TableNotFound: the table never was on that branch.
    """
    import pandas as pd

    refuse_other_than_config(config)
    with attempting(f"list the versions of table {config.tablename!r}"):
        table = _table_to_list(config, last)
        with connect(remotes.location_of(config)) as connection:
            commits = _newest(connection, config, table, last)
            found = [_described(connection, table, commit) for commit in commits]
    columns: dict[str, tuple[Any, list[Any]]] = {
        "commit": ("string", [each.commit.hash for each in found]),
        "date": ("datetime64[us, UTC]", [each.commit.date for each in found]),
        "task": ("string", [each.task for each in found]),
        "execution": ("string", [each.execution.id if each.execution is not None else None for each in found]),
        "added": ("int64", [each.added for each in found]),
        "modified": ("int64", [each.modified for each in found]),
        "removed": ("int64", [each.removed for each in found]),
        "message": ("string", [each.line for each in found]),
    }
    series: dict[str, Any] = {name: pd.Series(values, dtype=dtype) for name, (dtype, values) in columns.items()}
    frame: pd.DataFrame = pd.DataFrame(series)
    return frame


def first_appeared(config: DoltConfig) -> Commit:
    """Return the first commit on the config's branch that has the table.

    Raises:
        TableNotFound: the table never was on that branch.
    """
    refuse_other_than_config(config)
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
    refuse_other_than_config(config)
    with attempting(f"restore table {config.tablename!r}"):
        table, given = table_log.table_of(config), config.as_of if as_of is None else as_of
        if given is None:
            raise InvalidConfig(f"Cannot restore table {table!r}: it is not said to which state. Give as_of=.")
        place = remotes.locate(config)
        past, target, first = _config_at(config, given), _config_at(config, None), message or SCRIPT_MESSAGE
        target = replace(target, message=None)  # which says why the task writes it, and that is not why it is put back
        with runtime.current().retryable():
            with connect(place) as connection:
                old = revisions.of_config(connection, past)
                table_log.check_was_there(connection, past, old)
                with refs.at_commit(connection, old):
                    table = table_names.find_table(connection, table) or table
            target = replace(target, tablename=table)
            words = runtime.current().commit_message(target, first)
            words = words or provenance.compose(first, provenance.Provenance())
            written = restoring.put_back(place, config.policy, table, old, message=words)
        return DoltTable(config=replace(_config_at(config, None), tablename=table)).at(written.commit)


def _config_at(config: DoltConfig, as_of: Revision | Commit | DoltTable | None) -> DoltConfig:
    if isinstance(as_of, DoltTable):
        if as_of.commit is None:
            raise InvalidConfig(f"Cannot restore to {as_of!r}: it is at no commit. Take one of versions(config).")
        as_of = as_of.commit
    return replace(config, as_of=as_of)
