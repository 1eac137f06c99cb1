"""The notes of a table whose rows are merged: Dolt's merge keeps those of one side, and drops the other's.

Notes say what the stored values mean: a unit, a zone, the levels of a category. Where both sides have changed a table,
they are merged three-way, column by column, as the rows are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ..codec.notes import Note, Notes
from ..errors import ConnectionLost, DoltError
from ..model.configs import Commit
from ..repository import refs
from ..tables import reading, writing

if TYPE_CHECKING:
    from ..repository.connections import Connection

_T = TypeVar("_T")


@dataclass(frozen=True)
class Side:
    """A table at one of the three commits of a merge."""

    notes: Notes
    own: str
    """The user's own text in the table's comment."""
    columns: frozenset[str]
    has_new_rows: bool
    """Whether rows were added or changed since the base, or it is not known."""


@dataclass(frozen=True)
class MergeSides:
    """The three commits of a merge, and the tables that differ in all of them."""

    base: str
    ours: str
    """The commit that is merged into."""
    theirs: str
    """The commit that is merged."""
    changed: tuple[str, ...] = ()
    """Tables that both sides have changed, in different ways."""
    new_on_both: tuple[str, ...] = ()
    """Tables that both sides have made, in different ways."""

    @property
    def is_merged(self) -> bool:
        """Whether there is nothing to merge."""
        return self.base == self.theirs

    @classmethod
    def of(cls, connection: Connection, theirs: str) -> MergeSides:
        """Return the sides of a merge of the commit ``theirs`` into the head of the branch the connection is on."""
        ((ours, base),) = connection.query("SELECT DOLT_HASHOF('HEAD'), DOLT_MERGE_BASE('HEAD', %s)", theirs)
        if base is None or base in (ours, theirs):
            return cls(str(base), str(ours), theirs)
        was, here, there = (refs.table_hashes(connection, Commit(str(each))) for each in (base, ours, theirs))
        both = [name for name in here if name in there and here[name] != there[name]]
        changed = tuple(name for name in both if name in was and was[name] not in (here[name], there[name]))
        return cls(str(base), str(ours), theirs, changed, tuple(name for name in both if name not in was))


def merge_notes(connection: Connection, sides: MergeSides, *, put: bool = True) -> list[tuple[str, str]]:
    """Bring the notes of merged tables together, and return what cannot be.

    Args:
        connection: on a branch that holds the merged rows, in no commit yet.
        sides: what was merged.
        put: whether to put them into the tables; else it is only found out what cannot be.

    Returns:
        The tables that hold values of two meanings now, each with what is wrong, in words.
    """
    return [(table, wrong) for table in sides.changed for wrong in _merge_table(connection, table, sides, put=put)]


def _merge_table(connection: Connection, table: str, commits: MergeSides, *, put: bool) -> list[str]:
    three = (commits.base, commits.ours, commits.theirs)
    base, ours, theirs = (_side(connection, table, commits.base, commit) for commit in three)
    merged = reading.describe(connection, table)
    if merged is None or base is None or ours is None or theirs is None:
        return []
    notes, problems = merged_notes(base, ours, theirs)
    kept = {name: note for name, note in notes.columns.items() if name in merged.sql_types}
    comment = replace(notes, columns=kept).to_comment(_changed(base.own, ours.own, theirs.own))
    if put and not problems and comment != merged.comment:
        writing.set_comment(connection, table, comment)
    return problems


def _side(connection: Connection, table: str, base: str, commit: str) -> Side | None:
    with refs.at_commit(connection, Commit(commit)):
        found = reading.describe(connection, table)
    if found is None:
        return None
    notes, own = Notes.from_comment(found.comment, table=table)
    has_new_rows = commit != base and _has_new_rows(connection, table, base, commit, computes=found.computes)
    return Side(notes, own, frozenset(found.sql_types), has_new_rows)


def _has_new_rows(connection: Connection, table: str, base: str, commit: str, *, computes: bool) -> bool:
    asked = "SELECT rows_added + rows_modified FROM DOLT_DIFF_STAT(%s, %s, %s)"
    if computes:  # counting the cells of a table with VIRTUAL columns ends Dolt 1.83
        asked = "SELECT COUNT(*) FROM DOLT_DIFF(%s, %s, %s) WHERE diff_type <> 'removed'"
    try:
        with connection.at(None):
            return any(count for (count,) in connection.query(asked, base, commit, table))
    except ConnectionLost:
        raise
    except DoltError:  # of a table without a key, or whose key has changed, Dolt counts nothing
        return True


def merged_notes(base: Side, ours: Side, theirs: Side) -> tuple[Notes, list[str]]:
    """Return the notes that hold for the rows of both sides, and what cannot be said of them, in words.

    A change on one side wins, unless the other side has put in rows under the old note meanwhile. Levels unite.
    """
    columns, problems = {}, []
    for name in dict.fromkeys((*ours.notes.columns, *theirs.notes.columns, *base.notes.columns)):
        notes = [side.notes.columns.get(name, Note()) for side in (base, ours, theirs)]
        found = _merged(name, notes, (base, ours, theirs))
        if found is None:
            shown = " and ".join(f"{note.told() or 'nothing'}" for note in notes[1:])
            problems.append(f"column {name!r} is noted as {shown} on the two sides")
        elif found:
            columns[name] = found
    b, o, t = base.notes, ours.notes, theirs.notes
    if o.index != t.index and b.index not in (o.index, t.index):
        problems.append(f"its index is {list(o.index)} and {list(t.index)} on the two sides")
    if o.rows != t.rows:
        problems.append("its rows have a kept order on one side only")
    merged = replace(
        o,
        columns=columns,
        index=_changed(b.index, o.index, t.index),
        order=_changed(b.order, o.order, t.order),
        name=_changed(b.name, o.name, t.name),
        freq=_changed(b.freq, o.freq, t.freq),
    )
    return merged, problems


def _changed(base: _T, ours: _T, theirs: _T) -> _T:
    """Return what one side has changed; where both have, that of ours."""
    return theirs if ours == base else ours


def _merged(name: str, notes: Sequence[Note], sides: Sequence[Side]) -> Note | None:
    """Return the note of one column, or None where there is none for the values of both sides."""
    base, ours, theirs = notes
    if ours == theirs:
        return ours
    if not all(name in side.columns for side in sides[1:]):  # the column is new, or gone, on one side
        return ours if name in sides[1].columns else theirs
    if _differ_in_levels(ours, theirs):
        levels = _united(ours, theirs)
        return None if levels is None else replace(ours, levels=levels)
    was_there = name in sides[0].columns
    if was_there and ours == base and not sides[1].has_new_rows:
        return theirs
    return ours if was_there and theirs == base and not sides[2].has_new_rows else None


def _differ_in_levels(ours: Note, theirs: Note) -> bool:
    """Whether both are categories, and nothing else than their levels differs."""
    return None not in (ours.levels, theirs.levels) and replace(ours, levels=theirs.levels) == theirs


def _united(ours: Note, theirs: Note) -> tuple[object, ...] | None:
    """Return the levels of both, or None where each side has an order that the other's does not fit into."""
    first, second = ours.levels or (), theirs.levels or ()
    if not ours.ordered:
        return (*first, *(level for level in second if level not in first))
    return next(_in_one_order(first, second), None)


def _in_one_order(first: Sequence[object], second: Sequence[object]) -> Iterator[tuple[object, ...]]:
    """Give the longer of two orders if the other is a part of it."""
    for longer, shorter in ((first, second), (second, first)):
        if [level for level in longer if level in shorter] == list(shorter):
            yield tuple(longer)
