"""Latency of small frames: the plugin beside raw statements on one warm connection to the same server."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import frames
from ..rivals import BytesRead, Ours, RawWrite, Rival, TextRead, place
from .meters import measured
from .runs import Run, Runs
from .work import check

ROWS = 1_000
GROUP = f"latency, {ROWS:,} rows"
WRITE = "write new values into all rows"
READ = "read"


def compare(rounds: int, runs: Runs, say: Callable[[str], None]) -> None:
    """Let the plugin and raw Dolt write and read in turns; each read is of the plugin's table, and is compared."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, place(Path(folder)) as here:
        frame = frames.frame(ROWS, 5, seed=0)
        ours = Ours(here, frame)
        writers: list[Rival] = [ours, RawWrite(here, frame)]
        readers: list[Rival] = [ours, TextRead(here, frame), BytesRead(here, frame)]
        for number in range(-1, rounds):  # the first one warms
            say(f"{GROUP}, round {number + 1} of {rounds}")
            ours_now = frames.frame(ROWS, 5, seed=number + 2)
            theirs_now = frames.frame(ROWS, 5, seed=number + 2 + rounds)  # Dolt stores equal rows once
            gc.collect()  # not before each job: it walks over all objects, and nothing is warm after that
            for writer in _in_turn(writers, number):
                given = ours_now if writer is ours else theirs_now
                cost, _ = measured(partial(writer.write, given), here.address.pid, collects=False)
                _keep(runs, Run(GROUP, WRITE, writer.name, number, cost))
            check(RawWrite.name, writers[1].read(), theirs_now)
            here.rows("ROLLBACK")  # the raw connection goes on seeing what it saw, until its transaction ends
            for reader in _in_turn(readers, number):
                cost, found = measured(reader.read, here.address.pid, collects=False)
                check(reader.name, found, ours_now)
                _keep(runs, Run(GROUP, READ, reader.name, number, cost))


def _in_turn(rivals: list[Rival], number: int) -> list[Rival]:
    start = number % len(rivals)
    return rivals[start:] + rivals[:start]


def _keep(runs: Runs, run: Run) -> None:
    if run.turn >= 0:
        runs.runs.append(run)
