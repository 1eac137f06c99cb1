"""Measuring times: rivals take turns, so that a busy minute of the machine falls on all of them alike.

Ratios are medians of the ratios within each round, which the drift of a shared machine moves least. What a rival stored
is read back and compared outside the measured time, and every write must have made a new version, or none when nothing
was changed.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from . import frames
from .formats.meters import bytes_in
from .rivals import READS, WRITES, Ours, Rival, place

READ_TURNS = 3
"""How often everybody reads in one round; the slow ones read once."""


@dataclass(frozen=True)
class Shape:
    """A frame's size, and how often everything is done with it."""

    rows: int
    columns: int
    rounds: int
    slow_rounds: int
    """Rounds of the rivals that take long; the first ones."""

    def __str__(self) -> str:
        return f"{self.rows:,} rows x {self.columns} columns"


@dataclass(frozen=True)
class Run:
    """One job, done once by one rival."""

    job: str
    rival: str
    round: int
    seconds: float
    growth_bytes: int


@dataclass
class Results:
    """All runs with one shape."""

    shape: Shape
    first_start_s: float = 0.0
    runs: list[Run] = field(default_factory=list)

    def rivals(self, job: str) -> list[str]:
        """Return who did the job, the plugin first and the others from the fastest on."""
        found = {run.rival for run in self.runs if run.job == job}
        return sorted(found, key=lambda name: (name != Ours.name, self.median_s(job, name)))

    def seconds(self, job: str, rival: str) -> dict[int, float]:
        """Return the time of each round."""
        return {run.round: run.seconds for run in self.runs if (run.job, run.rival) == (job, rival)}

    def median_s(self, job: str, rival: str) -> float:
        """Return the median time."""
        return statistics.median(self.seconds(job, rival).values())

    def growth_bytes(self, job: str, rival: str) -> float:
        """Return the median of what was added on disk."""
        return statistics.median(run.growth_bytes for run in self.runs if (run.job, run.rival) == (job, rival))

    def ratio(self, job: str, rival: str) -> float:
        """Return how many times as long as ``rival`` the plugin takes: the median of the rounds that both were in."""
        ours, theirs = self.seconds(job, Ours.name), self.seconds(job, rival)
        return statistics.median(ours[number] / theirs[number] for number in ours if number in theirs)


def interleaved(
    shape: Shape, kinds: Sequence[type[Rival]], jobs: Sequence[str], *, folder: Path, say: Callable[[str], None]
) -> Results:
    """Let every rival do every job in each round, starting with another one each time."""
    with place(folder) as here:
        results = Results(shape, here.first_start_s)
        # Each has values of its own: Dolt stores equal rows once, so the second writer of a frame would do less.
        oldest = {kind.name: frames.frame(shape.rows, shape.columns, seed=seed) for seed, kind in enumerate(kinds)}
        rivals = [kind(here, oldest[kind.name]) for kind in kinds]
        first = {rival.name: _first_version(rival, oldest[rival.reads_of or rival.name]) for rival in rivals}
        newest = dict(oldest)
        for number in range(shape.rounds):
            say(f"{shape}, round {number + 1} of {shape.rounds}")
            for job in jobs:
                for turn, rival in _turns(rivals, job, number, shape):
                    if job in WRITES:
                        seed = (number + 1) * len(kinds) + kinds.index(type(rival))
                        newest[rival.name] = _next(job, newest[rival.name], seed=seed)
                        results.runs.append(_write(rival, job, newest[rival.name], turn))
                    else:
                        whose = rival.reads_of or rival.name
                        results.runs.append(_read(rival, job, first[whose], oldest[whose], turn))
    return results


def _turns(rivals: Sequence[Rival], job: str, number: int, shape: Shape) -> Iterator[tuple[int, Rival]]:
    """Give who is next in a round, with the number of the turn; reading is short, so there are more turns of it."""
    times = READ_TURNS if job in READS else 1
    slow_turns = range(0, shape.slow_rounds * times, times)
    for turn in range(number * times, (number + 1) * times):
        found = [r for r in rivals if job in r.jobs and (not r.slow or turn in slow_turns)]
        start = turn % len(found)
        yield from ((turn, rival) for rival in found[start:] + found[:start])


def _next(job: str, newest: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return what a job writes after ``newest``."""
    if job == "write":
        return frames.frame(len(newest), newest.shape[1], seed=seed)
    if job == "scattered":
        return frames.scattered(newest, seed=seed)
    return frames.together(newest, seed=seed) if job == "together" else newest


def _first_version(rival: Rival, frame: pd.DataFrame) -> str | None:
    """Write a first version, check that exactly it comes back, and return its name; all is warm afterwards."""
    if "write" in rival.jobs:
        rival.write(frame)
    check(rival, rival.read(), frame)
    return rival.head()


def _write(rival: Rival, job: str, frame: pd.DataFrame, number: int) -> Run:
    before, size = rival.head(), bytes_in(rival.stored)
    seconds = timed(lambda: rival.write(frame))
    after, growth = rival.head(), bytes_in(rival.stored) - size
    if before is not None and (before == after) is not (job == "unchanged"):
        raise AssertionError(f"{rival.name}, {job}: the newest version was {before} and is {after}")
    if number == 0:
        check(rival, rival.read(), frame)
    return Run(job, rival.name, number, seconds, growth)


def _read(rival: Rival, job: str, first: str | None, oldest: pd.DataFrame, number: int) -> Run:
    if job == "read":
        return Run(job, rival.name, number, timed(rival.read), 0)
    assert first is not None
    if number == 0:
        check(rival, rival.older(first), oldest)
    return Run(job, rival.name, number, timed(lambda: rival.older(first)), 0)


def check(rival: Rival, found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Raise unless ``found`` is ``expected``, so that nobody wins by doing less.

    Raises:
        AssertionError: rows, columns or values differ.
    """
    names = list(expected.columns) if rival.exact else ["id", "s"]
    found = found.sort_values("id", ignore_index=True)[names]
    try:
        pd.testing.assert_frame_equal(found.astype(expected[names].dtypes.to_dict()), expected[names])
    except AssertionError as error:
        raise AssertionError(f"{rival.name} gives back something else than it was given: {error}") from None


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes, its result dropped afterwards."""
    gc.collect()
    began = time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - began
    del kept
    return seconds
