"""Columns that are written in one type and then in another: the values are equal at every door, or one typed refusal.

A first frame makes the table; a second one, of any library and type, is appended, upserted or put in its place; two
such branches are merged. Whatever was accepted is there as it was given, read as pandas, Arrow, Polars and in parts.
What was refused has changed nothing.
"""

from __future__ import annotations

import json
import logging
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import schemas
from factor import FACTOR
from hypothesis import HealthCheck, event, given, settings

from flytekitplugins.dolt import (
    DoltConfig,
    NewBranch,
    Repository,
    SerialBranch,
    create_repository,
    errors,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.api.typed_frames import to_polars
from flytekitplugins.dolt.codec import notes
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.repository.refs import branches

pytestmark = pytest.mark.slow

REFUSED = (errors.UnsupportedFrame, errors.SchemaMismatch)
IDS = st.integers(0, 6)
GONE = ("gone",)
Rows = dict[int, schemas.Meaning]
"""What a table holds: the meaning of ``c`` by ``id``."""


@dataclass(frozen=True)
class Part:
    """A frame that is written, and how."""

    kind: str
    frame: Any
    mode: str
    on_schema_change: str
    lacks: bool
    """Whether it has no column ``c``."""

    def __repr__(self) -> str:
        return f"<{self.mode}, {self.on_schema_change}: {self.kind} {schemas.meanings(self.frame)}>"


@st.composite
def parts(draw: st.DrawFn, *, first: bool = False) -> Part:
    """Draw a frame of 0 to 4 rows in a type of any library; later ones sometimes lack the column."""
    kind = draw(st.sampled_from(tuple(schemas.COLUMNS)))
    found = schemas.COLUMNS[kind]
    ids = draw(st.lists(IDS, min_size=0 if draw(st.integers(0, 9)) == 0 else 1, max_size=4, unique=True))
    lacks = not first and draw(st.integers(0, 14)) == 0
    column = None if lacks else found.column(draw(st.lists(found.cells, min_size=len(ids), max_size=len(ids))))
    frame = schemas.frame_of(found.door, ids, column)
    if first:
        return Part(kind, frame, "replace", "replace", lacks)
    mode = draw(st.sampled_from(["append", "upsert", "replace"]))
    change = draw(st.sampled_from(["refuse", "evolve", *(["replace"] if mode == "replace" else [])]))
    return Part(kind, frame, mode, change, lacks)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one repository for all examples."""
    return create_repository(tmp_path_factory.mktemp("schemas") / "foo", name="A", email="a@b.c")


def put(path: Path, part: Part, policy: Any = None) -> bool:
    """Write a part, and say whether it was accepted; if it was not, nothing has changed."""
    config = DoltConfig(
        str(path), "t", primary_key=["id"], mode=part.mode, on_schema_change=part.on_schema_change, branch_conf=policy
    )
    before = branches(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write(config, part.frame)
    except REFUSED as error:
        assert_helpful(error)
    except errors.ConstraintViolated as error:
        if part.mode != "append":  # only there a key may be taken
            raise AssertionError(f"{error}") from error
    else:
        return True
    assert branches(path) == before
    return False


def assert_helpful(error: errors.DoltError) -> None:
    """A refusal says what is wrong in words of its own, not in those of a library."""
    said = str(error)
    assert said.startswith("Cannot ")
    assert not any(word in said for word in ("ArrowInvalid", "panicked", "Traceback", "pyarrow.lib", "Series"))


def rows_after(before: Rows, part: Part) -> Rows:
    """Return what the table holds when a part was accepted: id and meaning."""
    given = dict(schemas.meanings(part.frame))
    if part.mode == "replace":
        return given
    if part.lacks:
        given = {number: before.get(number) for number in given}
    return {**before, **given}


@contextmanager
def no_note_passed_over() -> Iterator[None]:
    """Have the block fail where a note does not fit the values: all of them were written here."""
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    notes._said.clear()
    notes.logger.addHandler(handler)
    try:
        yield
    finally:
        notes.logger.removeHandler(handler)
    assert not said, said[0].getMessage()


@no_note_passed_over()
def check(path: Path, expected: Rows, policy: Any = None) -> None:
    """Assert that each door gives these values."""
    config = DoltConfig(str(path), "t", branch_conf=policy)
    table = pin(config)
    found = frames.load(pinned(table))
    in_parts = [schemas.meanings(part) for part in table.iter(batch_rows=2)]
    doors = {
        "pandas": schemas.meanings(found.to_frame()),
        "iter": [row for part in in_parts for row in part],
        "arrow": schemas.meanings(found.to_arrow()),
    }
    try:
        doors["polars"] = schemas.meanings(to_polars(found))
    except errors.DoltError:
        event("Polars has no such type")
    for door, rows in doors.items():
        assert len(rows) == len(expected), door
        for number, cell in rows:
            assert is_same(cell, expected[number], door), f"{door}: {cell} instead of {expected[number]} in {number}"


def is_same(found: Any, wanted: Any, door: str) -> bool:
    """Whether a value is the one that was given, as far as the door has a type for it."""
    if found == wanted or (door == "polars" and (found, wanted) == (("struct", ()), ("list", ()))):  # an empty map
        return True
    if isinstance(found, tuple) and found[0] == "str" and wanted is not None and wanted[0] in ("list", "struct"):
        return door != "pandas" and schemas.meaning(json.loads(found[1])) == wanted  # Python's own objects, as JSON
    return bool(wanted is not None and wanted[0] == "UUID" and found == ("str", wanted[1]) and door != "pandas")


@pytest.mark.timeout(300 * FACTOR)
@given(first=parts(first=True), second=parts())
@settings(
    max_examples=200 if FACTOR == 1 else 3500, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
def test_rows_of_another_type(path: Path, first: Part, second: Part) -> None:
    """What is put into a table of another type is there at every door, or refused, and then nothing has changed."""
    if not put(path, first):
        event("first refused")
        return
    rows = rows_after({}, first)
    check(path, rows)
    accepted = put(path, second)
    event(f"{second.mode} {'accepted' if accepted else 'refused'}")
    check(path, rows_after(rows, second) if accepted else rows)
    check_what_was_read(path)


def check_what_was_read(path: Path) -> None:
    """Assert that a frame that was read can be put back, changes no value, and is no change the second time."""
    config = DoltConfig(str(path), "t")
    rows = dict(schemas.meanings(read(config)))
    commits = [write(config, read(config)).commit for _ in range(2)]
    assert commits[0] == commits[1]
    assert dict(schemas.meanings(read(config))) == rows


@pytest.mark.timeout(300 * FACTOR)
@given(base=parts(first=True), ours=parts(), theirs=parts())
@settings(
    max_examples=100 if FACTOR == 1 else 1500, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
def test_branches_of_other_types(path: Path, base: Part, ours: Part, theirs: Part) -> None:
    """Two branches that each put rows of their own type into a table meet: all values as given, or a MergeConflict."""
    if not put(path, base):
        event("first refused")
        return
    rows = rows_after({}, base)
    names = [f"{side}/{uuid.uuid4().hex}" for side in ("ours", "theirs")]
    try:
        if not (put(path, ours, NewBranch(names[0])) and put(path, theirs, NewBranch(names[1]))):
            event("a side refused")
            return
        is_new = "replace" in (ours.on_schema_change, theirs.on_schema_change)
        is_gone = any(side.lacks and side.on_schema_change == "replace" for side in (ours, theirs))
        sides = (rows_after(rows, ours), rows_after(rows, theirs))
        merge(path, names, rows, *sides, is_new=is_new, is_gone=is_gone)
    finally:
        with connect(path) as connection:
            for name in branches(path).keys() & set(names):
                connection.execute("CALL DOLT_BRANCH('-D', %s)", name)


def merge(path: Path, names: list[str], base: Rows, ours: Rows, theirs: Rows, *, is_new: bool, is_gone: bool) -> None:
    """Merge two branches.

    ``is_new`` says whether a side may have made the table again, in another type, and ``is_gone`` whether without the
    column, which is gone then with what the other side's new rows have in it.
    """
    into, source = names
    before = branches(path)
    expected = merged_rows(base, ours, theirs)
    try:
        Repository(path).merge(source, into=into)
    except errors.MergeConflict as conflict:
        event(f"conflict of {sorted({each.kind for each in conflict.conflicts})}")
        assert branches(path) == before
        return
    event("merged")
    if expected is None and is_new:
        return  # to Dolt the values of a column that was dropped and made again have not changed
    assert expected is not None, "both sides have changed a row in two ways"
    there = read(DoltConfig(str(path), "t", branch_conf=SerialBranch(into)))
    if is_gone and "c" not in there:
        assert set(there["id"]) == expected.keys()
        return
    check(path, expected, SerialBranch(into))


def merged_rows(base: Rows, ours: Rows, theirs: Rows) -> Rows | None:
    """Return the rows of both sides, or None where both have made different things of one."""
    merged = {}
    for number in base.keys() | ours.keys() | theirs.keys():
        before, left, right = (side.get(number, GONE) for side in (base, ours, theirs))
        if left not in (before, right) and right != before:
            return None
        found = right if left == before else left
        if found != GONE:
            merged[number] = found
    return merged
