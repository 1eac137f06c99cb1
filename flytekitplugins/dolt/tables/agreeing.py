"""Rows that are added to a table mean what its other rows mean: units, zones, levels, and the types that are noted.

A duration is stored as a number, a time with a zone as one without, a list as text: beside rows of another meaning they
would come back as something else. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ..codec import arrow_tables, nested_types, pandas_frames
from ..codec.notes import LISTS, UNFIT, Note, Notes, field_from_text, field_to_text, meaning
from ..codec.pandas_frames import Encoded
from .bad_rows import converts, first_bad, positions, shown


@dataclass(frozen=True)
class Disagreement:
    """What stands against a column that means something else than the table's."""

    text: str
    """That in words."""
    wider: Note | None = None
    """What could be noted about the table's column for it to hold the frame's values as well."""


def agree(added: Encoded, before: Notes, held: Sequence[str]) -> tuple[Encoded, dict[str, Disagreement]]:
    """Return rows to be added, in which numbers and texts mean what they mean in the table's other rows.

    Durations are given the table's unit, and texts that are no levels of a category without an order become some.

    Args:
        added: the rows.
        before: the table's notes.
        held: the columns that have values already.

    Returns:
        The rows, and what stands against columns that mean something else or order their levels otherwise.
    """
    there, problems, columns = set(held), {}, added.arrow.columns
    noted = dict(added.notes.columns)
    for position, name in enumerate(added.arrow.column_names):
        column = columns[position]
        if name not in there or column.null_count == len(column):
            continue
        old, new = before.columns.get(name, Note()), noted.get(name, Note())
        counted = in_unit_of(old, new, column)
        if counted is None:
            problems[name] = Disagreement(_contradiction(old, new, column), _wider(old, new, column))
        else:
            columns[position] = counted
        if old.levels is not None and not old.ordered and new.levels is None:
            values = column.unique().drop_null().to_pylist()
            if {type(value) for value in values} == {type(level) for level in old.levels or values}:
                noted[name] = Note(levels=tuple(values), of=old.of)
    arrow = pa.Table.from_arrays(columns, names=added.arrow.column_names)
    return Encoded(arrow, replace(added.notes, columns=noted)), problems


def in_unit_of(old: Note, new: Note, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return the column as the table's rows are to be read, or None where that cannot be."""
    given, wanted = meaning(new), meaning(old)
    if given == wanted:
        return None if _orders_otherwise(old, new) else column
    if given is None or wanted is None or given[0] != wanted[0]:
        return None
    try:
        return _converted(old, given, wanted, column)
    except UNFIT:  # finer than the table's unit or too long for it; other lists
        return None


def _converted(old: Note, given: tuple[str, str], wanted: tuple[str, str], column: pa.ChunkedArray) -> pa.ChunkedArray:
    if given[0] == "durations":
        return column.cast(pa.duration(given[1])).cast(pa.duration(wanted[1])).cast(pa.int64())
    if wanted[1] and old.in_arrow is not None:
        return pandas_frames.respelt(column, old.in_arrow)
    return column


def _wider(old: Note, new: Note, column: pa.ChunkedArray) -> Note | None:
    """Return the table's note with a nested type that also holds the frame's values, or None where there is none."""
    told, given, wanted = old.type or old.arrow, meaning(new), meaning(old)
    if told is None or given is None or wanted is None or not given[0] == wanted[0] == LISTS:
        return None
    there = field_from_text(told)
    try:
        kind = new.in_arrow or pa.array(pandas_frames.nested_values(column)).type
        wider = nested_types.wider(there.type, kind)
    except UNFIT:  # plain text, or values of no one type
        return None
    if wider is None:
        return None
    text = field_to_text(there.with_type(wider))
    note = replace(old, type=old.type and text, arrow=old.arrow and text)
    return note if holds(column, note) else None


def _orders_otherwise(old: Note, new: Note) -> bool:
    """Whether both have ordered levels, and those of the frame do not stand in that order in the table's."""
    if not (old.ordered and new.ordered):
        return False
    grown = iter(dict.fromkeys([*(old.levels or ()), *(new.levels or ())]))
    return not all(level in grown for level in new.levels or ())


def _contradiction(old: Note, new: Note, column: pa.ChunkedArray) -> str:
    if _orders_otherwise(old, new):
        ours, theirs = list(new.levels or ()), list(old.levels or ())
        return f"has levels in the order {ours!r} in the frame and {theirs!r} in the table"
    bad = _contradicting(old, new, column)
    return f"has {_meant(new)} in the frame and {_meant(old)} in the table, with {shown(bad, column)}"


def _contradicting(old: Note, new: Note, column: pa.ChunkedArray) -> list[int]:
    given, wanted = meaning(new), meaning(old)
    if given is None or wanted is None or given[0] != wanted[0]:
        return positions(pc.is_valid(column))
    return first_bad(column, converts(lambda part: _converted(old, given, wanted, part)))


def _meant(note: Note) -> str:
    found = meaning(note)
    if found is None:
        return "plain values"
    what, unit = found
    return f"{what} ({unit})" if unit else what


def holds(column: pa.ChunkedArray, note: Note) -> bool:
    """Whether values come back as it is noted, at each door."""
    return pandas_frames.holds(column, note) and arrow_tables.holds(column, note)


def not_kept(column: pa.ChunkedArray, note: Note) -> str | None:
    """Say which of the values that are added are not of the type that is noted about a column; None if all are."""
    if column.null_count == len(column) or holds(column, note):
        return None
    bad = first_bad(column, lambda part: part.null_count == len(part) or holds(part, note))
    return f"has {shown(bad, column)} that {_noted_type(note)}, which the table notes of it, does not hold"


def _noted_type(note: Note) -> str:
    if note.levels is not None:
        return f"the category of {', '.join(map(repr, note.levels[:3]))}{', ...' if len(note.levels) > 3 else ''}"
    told = note.type or note.arrow
    return str(note.dtype) if note.dtype is not None or told is None else str(field_from_text(told).type)
