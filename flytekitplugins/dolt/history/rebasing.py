"""A table that others changed between its being read and being written: their rows stay, or the write is refused.

A frame that replaces a table was often made from the rows that the table had. Where the table still has them, it is
replaced. Where it does not, what the frame changes in the rows that were read is put on the rows as they are now: the
frame is committed on a scratch branch at the commit that was read, and merged from there, row by row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ..codec.notes import Notes
from ..codec.pandas_frames import ROW_COLUMN
from ..errors import MergeConflict, RevisionNotFound, ShallowClone, TableMoved, attempted, attempting
from ..model import provenance
from ..model.configs import Commit, MergeBranch, SerialBranch
from ..repository import refs, table_names
from ..repository.connections import Connection, connect
from ..repository.scratch_branches import Scratch
from ..tables import reading, row_changes
from . import conflicts, diffs, merging, publishing, revisions, table_log
from .conflicts import SIDES, Conflict

if TYPE_CHECKING:
    from ..model.location import Location
    from ..model.runtime import Basis, RowsRead
    from ..tables.fitting import TableSchema
    from ..tables.writing import TableWrite

_Row = dict[str, object] | None

_NOBODY = "flyte <flyte@localhost>"
"""Author of the commit on a scratch branch that nobody ever sees."""


@dataclass(frozen=True)
class Rebased:
    """Work that replaces a table, done so that what others put there since ``basis`` was read is not lost."""

    rows: TableWrite
    basis: Basis
    branch: str | None
    """The branch that is written; None is the one that is checked out."""
    on_moved: str | None
    """What is done where the table has moved: ``merge``, ``replace``, or what fits the case."""

    def apply(self, connection: Connection) -> int | None:
        """Replace the table, or change its newest rows as the frame changes those that were read.

        Returns how many rows the table has to have now, or None where that cannot be said.

        Raises:
            TableMoved: the table has moved, and it cannot be said which changes the frame makes.
            MergeConflict: a row was changed by the frame and by others; nothing is written.
        """
        head = _head(connection)
        if self.on_moved == "replace" or all(read.commit == head for read in self.basis.reads):
            return self.rows.apply(connection)
        states = list(self._states(connection, head))
        oldest = max(states, key=lambda state: len(state.later), default=None)
        if oldest is None or not oldest.later:
            return self.rows.apply(connection)
        later = list(_of_table(connection, self.rows.table, oldest))
        own = [commit for commit in later if _is_own(self.basis, commit)]
        if later and len(own) == len(later):  # another index of the same map task, or this task itself
            return self.rows.apply(connection)
        if self.on_moved is None:
            self._refuse_unclear([state.read for state in states], own, head)
        self._change(connection, oldest.read.commit, head)
        return None

    def _states(self, connection: Connection, head: str) -> Iterator[_State]:
        """Give the states of this branch that were read, and what came after them."""
        now = _hash(connection, self.rows.table, head)
        with connection.at(None):
            branch = self.branch or connection.active_branch()
        for read in self.basis.reads:
            if read.branch != branch and not self.basis.is_given:
                continue
            if read.commit == head or _hash(connection, self.rows.table, read.commit) == now:
                yield _State(read, ())
                continue
            later = _later(connection, read.commit, head)
            if later is None and self.basis.is_given:
                raise self._error([read], head, f"commit {read.commit} is not of this branch")
            if later is not None and (self.on_moved == "merge" or not _is_older(read, later)):
                yield _State(read, later)

    def _refuse_unclear(self, reads: Sequence[RowsRead], own: Sequence[Commit], head: str) -> None:
        """Raise unless everything that was read of the table is one state of it, after which only others wrote."""
        if own:
            raise self._error(reads, head, f"commit {own[0].hash} since is this task's own")
        if not all(read.is_whole for read in reads):
            raise self._error(reads, head, "only a part of it was read")
        if len({read.commit for read in reads}) > 1:
            raise self._error(reads, head, "it was read at more than one commit")

    def _change(self, connection: Connection, base: str, head: str) -> None:
        """Put what the frame changes in the rows of commit ``base`` on those of ``head``, where the connection is."""
        here = connection.active_branch()
        before, now = (_table(connection, self.rows.table, commit) for commit in (base, head))
        self._refuse_other_columns([before, now], base, head)
        given = set(self.rows.rows.arrow.column_names)
        if before is None or not _are_all_columns(given, before):
            raise self._error([base], head, "the frame has other columns", can_merge=False)
        with Scratch(connection, base):
            self.rows.change(connection)
            self._refuse_other_columns([now, reading.describe(connection, self.rows.table)], base, head)
            commit = publishing.commit_all(connection, f"Change {self.rows.table}", _NOBODY)
            if commit is not None:
                with connection.at(here):
                    self._merge(connection, base, head, commit)

    def _refuse_other_columns(self, tables: Sequence[TableSchema | None], base: str, head: str) -> None:
        found = None
        if None in tables:
            found = "it was not there" if tables[0] is None else "it is gone"
        elif not all(table.key and table.key != (ROW_COLUMN,) for table in tables if table is not None):
            found = "it has no primary key, by which rows could be told apart"
        elif len({_columns(table) for table in tables if table is not None}) > 1:
            found = "its columns or its key are others"
        if found is not None:
            raise self._error([base], head, found, can_merge=False)

    def _merge(self, connection: Connection, base: str, head: str, commit: str) -> None:
        with connection.at(None):
            into = self.branch or connection.active_branch()
        with attempting(f"put the changes of table {self.rows.table!r} on branch {into!r}"):
            table = table_names.find_table(connection, self.rows.table) or self.rows.table
            both = _changed_by_both(connection, table, base, head, commit)
            if both is not None:
                raise self._conflict(base, into, both)
            try:
                merging.merge_here(connection, commit, f"changes since {base}", into, squash=True)
            except MergeConflict as error:
                raise self._conflict(base, into, *error.conflicts) from error
            connection.execute("COMMIT")  # the scratch branch beside goes before this one is committed

    def _conflict(self, base: str, into: str, *found: Conflict) -> MergeConflict:
        return MergeConflict(
            f"Cannot {attempted()}: since commit {base}, which was read, others have changed what the frame changes; "
            f"{'; '.join(map(str, found))}. Nothing was written. Read the table again and write then, or give "
            "DoltConfig(on_moved='replace') to drop what others did.",
            branch=into,
            into=into,
            conflicts=found,
        )

    def _error(self, reads: Sequence[RowsRead | str], head: str, found: str, *, can_merge: bool = True) -> TableMoved:
        commits = list(dict.fromkeys(read if isinstance(read, str) else read.commit for read in reads))
        where = f"branch {self.branch!r}" if self.branch else "the checked-out branch"
        merged = "DoltConfig(on_moved='merge') to put the frame's changes on the newest rows, or " if can_merge else ""
        return TableMoved(
            f"Cannot replace table {self.rows.table!r} on {where}: it was read at "
            f"commit {', '.join(commits)}, others have changed it since, and {found}. Nothing was written. Read it "
            f"again and write then, or give {merged}DoltConfig(on_moved='replace') to drop what others did.",
            table=self.rows.table,
            read_at=commits,
            head=head,
        )


def _are_all_columns(given: Collection[str], table: TableSchema) -> bool:
    """Whether these are the columns of a table; those that are generated may be there, as they were read, or not."""
    needed = {column.name for column in table.columns if not column.generated}
    return needed <= set(given) <= {column.name for column in table.columns}


@dataclass(frozen=True)
class _State:
    """A state of the table that was read."""

    read: RowsRead
    later: Sequence[Commit]
    """The commits of the branch since, newest first; none where the table still is what it was."""


def start(place: Location, policy: MergeBranch, basis: Basis) -> str | None:
    """Return the commit that a missing branch of ``policy`` starts from: what was read, where ``into`` had it.

    None is the head of ``into``.
    """
    with connect(place) as connection:
        into = refs.head_of(connection, SerialBranch(policy.into))
        reads = [read for read in basis.reads if read.is_whole and (basis.is_given or read.branch == into.branch)]
        commits = {read.commit for read in reads}
        if len(commits) != 1:
            return None
        commit = commits.pop()
        return commit if commit == into.hash or _later(connection, commit, into.hash) is not None else None


def _is_older(read: RowsRead, later: Sequence[Commit]) -> bool:
    """Whether the branch had moved on before the task began, which is given the same rows again on purpose."""
    return read.since is not None and revisions.made_at(later[-1]) < read.since


def _is_own(basis: Basis, commit: Commit) -> bool:
    """Whether the same work made the commit: the running task, a former attempt, or another index of its map."""
    made = provenance.parse(commit.message).execution
    return commit.hash in basis.written or (made is not None and (made.id, made.node) == basis.node)


def _head(connection: Connection) -> str:
    return str(connection.query("SELECT DOLT_HASHOF('HEAD')")[0][0])


def _hash(connection: Connection, table: str, commit: str) -> str | None:
    try:
        return table_log.table_hash(connection, table, commit)
    except RevisionNotFound:
        return None


def _table(connection: Connection, table: str, commit: str) -> TableSchema | None:
    with refs.at_commit(connection, Commit(commit)):
        return reading.describe(connection, table)


def _columns(table: TableSchema) -> tuple[object, ...]:
    return table.key, tuple((column.name, column.sql_type, column.nullable) for column in table.columns)


def _later(connection: Connection, commit: str, head: str) -> list[Commit] | None:
    """Return the states that a branch has shown after ``commit``, newest first; None if it never showed that."""
    found: list[Commit] = []
    # Not on a revision, where Dolt 1.83 lets only those with rights on all databases call a function for rows.
    with suppress(ShallowClone), connection.at(None):
        for each in revisions.line(connection, head):
            if each.hash == commit:
                return found
            found.append(each)
            if len(found) >= publishing.LOOK_BACK:
                break
    return None


def _of_table(connection: Connection, table: str, state: _State) -> Iterator[Commit]:
    """Give those commits after a state that changed the table."""
    older = [*(commit.hash for commit in state.later[1:]), state.read.commit]
    for commit, before in zip(state.later, older, strict=True):
        if _hash(connection, table, commit.hash) != _hash(connection, table, before):
            yield commit


def _changed_by_both(connection: Connection, table: str, base: str, ours: str, theirs: str) -> Conflict | None:
    """Return the rows that both sides have changed since ``base``, and that are not the same on both now."""
    existing = _table(connection, table, base)
    assert existing is not None  # noqa: S101  # for the type checker: its columns were compared
    sides = [diffs.read(connection, table, Commit(base), Commit(side)).arrow for side in (ours, theirs)]
    matched = row_changes.pairs(*(side.select(list(existing.key)) for side in sides))
    both = matched.filter(pc.and_(pc.is_valid(matched["old"]), pc.is_valid(matched["new"])))
    first, second = sides[0].take(both["old"]), sides[1].take(both["new"])
    now = [first.column_names[0], *(name for name in first.column_names if name in existing.sql_types)]
    differs = row_changes.differing(first.select(now), second.select(now))
    first, second = first.filter(differs), second.filter(differs)
    if not first.num_rows:
        return None
    names = [name for name in first.column_names if name in existing.sql_types]
    rows = [
        {"base": before, "ours": ours, "theirs": theirs}
        for (before, ours), (_, theirs) in zip(_rows(first, existing), _rows(second, existing), strict=True)
    ]
    types, notes = first.select(names).schema, Notes.from_comment(existing.comment)[0].columns
    return conflicts.of_rows(table, existing.key, rows, dict.fromkeys(SIDES, types), dict.fromkeys(SIDES, notes))


def _rows(changed: pa.Table, existing: TableSchema) -> Iterator[tuple[_Row, _Row]]:
    """Give changed rows as they were and as they are; None where there is no row."""
    kind, *others = changed.column_names
    names = [name for name in others if name in existing.sql_types]
    before = [name for name in others if name not in existing.sql_types]
    outside = [name for name in names if name not in existing.key]
    for row in changed.to_pylist():
        now = {name: row[name] for name in names}
        if row[kind] == "modified":
            yield {**now, **{name: row[old] for name, old in zip(outside, before, strict=True)}}, now
        else:
            yield (now, None) if row[kind] == "removed" else (None, now)
