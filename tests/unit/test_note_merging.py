"""What of the notes of two sides holds for the rows of both."""

from __future__ import annotations

import pytest

from flytekitplugins.dolt.codec.notes import Note, Notes
from flytekitplugins.dolt.history.note_merging import Side, merged_notes

SECONDS, MICROS = Note(dtype="timedelta64[s]"), Note(dtype="timedelta64[us]")
BERLIN, PARIS = Note(dtype="datetime64[us, Europe/Berlin]"), Note(dtype="datetime64[us, Europe/Paris]")


def levels(*names: str, ordered: bool = False) -> Note:
    return Note(levels=names, ordered=ordered)


def side(note: Note | None, *, rows: bool = True, columns: tuple[str, ...] = ("id", "c")) -> Side:
    """Return a table with a note about its column ``c``; ``rows`` says whether it has got rows since the base."""
    return Side(Notes({} if note is None else {"c": note}), "", frozenset(columns), rows)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (side(MICROS), side(MICROS), side(MICROS), MICROS),
        (side(MICROS), side(SECONDS), side(MICROS, rows=False), SECONDS),
        (side(MICROS), side(MICROS, rows=False), side(SECONDS), SECONDS),
        (side(MICROS), side(SECONDS), side(SECONDS), SECONDS),
        (side(None), side(BERLIN), side(None, rows=False), BERLIN),
        (side(levels("a")), side(levels("a", "b")), side(levels("a", "c")), levels("a", "b", "c")),
        (side(levels("a")), side(levels("a")), side(levels("a", "c")), levels("a", "c")),
        (
            side(levels("a", "c", ordered=True)),
            side(levels("a", "c", ordered=True)),
            side(levels("a", "b", "c", ordered=True)),
            levels("a", "b", "c", ordered=True),
        ),
        (side(None, columns=("id",)), side(None, columns=("id",)), side(BERLIN), BERLIN),
        (side(None, columns=("id",)), side(BERLIN), side(None, columns=("id",)), BERLIN),
        (side(BERLIN), side(None, columns=("id",)), side(BERLIN), BERLIN),
    ],
)
def test_a_note_for_the_rows_of_both(base: Side, ours: Side, theirs: Side, merged: Note) -> None:
    """What one side has changed wins where no row of the other means something else; levels unite."""
    notes, problems = merged_notes(base, ours, theirs)
    assert problems == []
    assert dict(notes.columns) == {"c": merged}


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        (side(MICROS), side(SECONDS), side(MICROS)),
        (side(MICROS), side(MICROS), side(SECONDS)),
        (side(BERLIN), side(PARIS), side(None)),
        (side(None), side(BERLIN), side(None)),
        (side(levels("a")), side(levels("a")), side(None)),
        (side(levels("a")), side(levels("a", ordered=True)), side(levels("a"))),
        (side(levels("a", ordered=True)), side(levels("a", "b", ordered=True)), side(levels("a", "c", ordered=True))),
        (side(None, columns=("id",)), side(BERLIN), side(PARIS)),
    ],
)
def test_rows_of_two_meanings(base: Side, ours: Side, theirs: Side) -> None:
    """Where rows of both sides would stand in one column with one of two meanings, the column is named."""
    _, problems = merged_notes(base, ours, theirs)
    assert len(problems) == 1
    assert "'c'" in problems[0]


def test_the_index_of_one_side() -> None:
    """An index, its frequency, the name of the columns, their order and a kept order of rows are merged as wholes."""

    def table(**notes: object) -> Side:
        return Side(Notes(**notes), "", frozenset({"a", "b"}), True)  # type: ignore[arg-type]

    notes, problems = merged_notes(table(), table(), table(index=("a",), order=("b", "a")))
    assert (notes.index, notes.order, problems) == (("a",), ("b", "a"), [])
    notes, problems = merged_notes(table(), table(name="kind"), table(freq="D"))
    assert (notes.name, notes.freq, problems) == ("kind", "D", [])
    _, problems = merged_notes(table(), table(index=("a",)), table(index=("b",)))
    assert len(problems) == 1
    _, problems = merged_notes(table(), table(rows=True), table())
    assert len(problems) == 1
