"""The jobs that all do, taking turns, so that a busy minute of the machine falls on everybody alike.

Each round begins with empty folders and the same rows for all. Whatever is read is compared with what was written,
outside the measured time, and an unchanged frame must not make a version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from .. import frames
from ..measure import Shape
from .meters import bytes_in, measured
from .runs import Run, Runs
from .versioned_table import VersionedTable

READ_TURNS = 3
"""How often everybody reads in one round; the slow ones read once."""
VERSIONS = 10
TEN_VERSIONS = "7 more upserts; disk: 10 versions"
WARMING_ROWS = 1_000


class Frames:
    """The rows of one round: a first version, and the versions that upserts make of it."""

    def __init__(self, rows: int, columns: int, *, seed: int) -> None:
        self.first = frames.frame(rows, columns, seed=seed)
        self.newest = self.first
        self.upserts: list[pd.DataFrame] = []
        for number in range(1, VERSIONS):
            change = frames.scattered if number % 2 else frames.together
            version = change(self.newest, seed=seed * VERSIONS + number)
            self.upserts.append(version[version["x"] != self.newest["x"]])
            self.newest = version
            if number == 2:
                self.third = version


@dataclass(frozen=True)
class Step:
    """One job, as one rival does it."""

    job: str
    work: Callable[[], pd.DataFrame | None]
    expected: pd.DataFrame | None = None
    """What the work must return; None for one that writes."""
    whole_disk: bool = False
    """What lies on disk at the end is told, not what was added."""


def compare(shape: Shape, kinds: Sequence[type[VersionedTable]], runs: Runs, say: Callable[[str], None]) -> None:
    """Let every rival do every job in each round, starting with another one each time, and add the runs to ``runs``."""
    say(f"{shape}, warming")
    quick = [kind for kind in kinds if not kind.slow]
    _round(quick, Frames(WARMING_ROWS, shape.columns, seed=0), str(shape), -1, Runs())
    for number in range(shape.rounds):
        say(f"{shape}, round {number + 1} of {shape.rounds}")
        taking_part = [kind for kind in kinds if number < shape.slow_rounds or not kind.slow]
        _round(taking_part, Frames(shape.rows, shape.columns, seed=number + 1), str(shape), number, runs)


def check(name: str, found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Raise unless ``found`` holds the rows of ``expected``, in whatever order, so that nobody wins by doing less.

    Raises:
        AssertionError: rows, columns or values differ.
    """
    found = found.sort_values(frames.KEY, ignore_index=True)[list(expected.columns)]
    expected = expected.reset_index(drop=True)
    try:
        pd.testing.assert_frame_equal(found.astype(expected.dtypes.to_dict()), expected)
    except AssertionError as error:
        raise AssertionError(f"{name} gives back something else than it was given: {error}") from None


def _round(kinds: Sequence[type[VersionedTable]], rows: Frames, group: str, number: int, runs: Runs) -> None:
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, ExitStack() as closing:
        tables = []
        for kind in kinds:
            own = Path(folder).resolve() / kind.__name__
            own.mkdir()
            tables.append(kind(own, rows.first))
            closing.callback(tables[-1].close)
        lives = [_life(table, rows, ten_versions=number == 0) for table in tables]
        # All lives have the same steps in the same order.
        for at, steps in enumerate(zip(*lives, strict=True)):
            start = (number + at) % len(tables)  # another one begins each time
            pairs = list(zip(tables, steps, strict=True))
            _take_turns(pairs[start:] + pairs[:start], group, number, runs)


def _take_turns(pairs: Sequence[tuple[VersionedTable, Step]], group: str, number: int, runs: Runs) -> None:
    for repeat in range(READ_TURNS):
        for table, step in pairs:
            reads = step.expected is not None
            if repeat == 0 or (reads and not table.slow):
                turn = number * READ_TURNS + repeat
                runs.runs.append(_run(table, step, group, turn))


def _run(table: VersionedTable, step: Step, group: str, turn: int) -> Run:
    before = 0 if step.whole_disk or step.expected is not None else bytes_in(table.stored)
    cost, found = measured(step.work, table.server)
    if step.expected is None:
        return Run(group, step.job, table.name, turn, cost, bytes_in(table.stored) - before)
    assert found is not None
    check(f"{table.name}, {step.job}:", found, step.expected)
    return Run(group, step.job, table.name, turn, cost)


def _life(table: VersionedTable, rows: Frames, *, ten_versions: bool) -> Iterator[Step]:
    """Give the jobs of one table in a round; what stands between them is done before the next and not measured."""
    yield Step("first write", lambda: table.write_first(rows.first))
    first = table.version()
    yield Step("upsert 1 %, scattered", lambda: table.upsert(rows.upserts[0]))
    second = table.version()
    yield Step("changed rows, scattered", lambda: table.changed_rows(first, second), rows.upserts[0])
    yield Step("upsert 1 %, together", lambda: table.upsert(rows.upserts[1]))
    third = table.version()
    yield Step("changed rows, together", lambda: table.changed_rows(second, third), rows.upserts[1])
    yield Step("write unchanged frame", lambda: table.write_unchanged(rows.third))
    if table.version() != third or len({first, second, third}) != 3:
        raise AssertionError(f"{table.name}: the versions are {first}, {second}, {third} and then {table.version()}")
    yield Step("read newest", table.read, rows.third)
    yield Step("read first version", lambda: table.read_version(first), rows.first)
    if ten_versions:
        yield Step(TEN_VERSIONS, lambda: _upsert_all(table, rows.upserts[2:]), whole_disk=True)
        check(table.name, table.read(), rows.newest)


def _upsert_all(table: VersionedTable, upserts: Sequence[pd.DataFrame]) -> None:
    for rows in upserts:
        table.upsert(rows)
