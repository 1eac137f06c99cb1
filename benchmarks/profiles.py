"""What profiles and shifts of a table cost: of all rows, and with a sample, in time and in the processor's time.

Where the two meet is where a table is better sampled; the bounds that are used unless asked otherwise are EXACT_ROWS
and EXACT_ROWS_NATIVELY. ``FLYTE_DOLT_NATIVE=0`` measures rows that go by SQL.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from flytekitplugins.dolt import DoltConfig, create_repository, diff, profile, write
from flytekitplugins.dolt.server import local_server

SAMPLE = 5_000
"""How many rows are drawn where not all are read."""

ROWS = (10_000, 100_000, 1_000_000)
"""How many rows the tables have."""


@dataclass(frozen=True)
class Cost:
    """What one job took with a table."""

    job: str
    rows: int
    seconds: float
    """The median of the rounds."""
    least: float
    """The shortest round, in seconds."""
    cpu_s: float
    """The least time of the processor in a round, of this process and of the server, in seconds."""
    load: float
    """How many processes wanted the processor in the last minute before the end, on average."""

    def __str__(self) -> str:
        times = f"{self.seconds:9.3f} ({self.least:.3f}) s  {self.cpu_s:9.3f} s of CPU"
        return f"  {self.job:<24}{self.rows:>12,} rows  {times}  load {self.load:.1f}"


def measured(rows: int, rounds: int) -> list[Cost]:
    """Return what each job takes with a table of so many rows and five columns, of which 1 % then change."""
    with tempfile.TemporaryDirectory() as folder, local_server.using(_repository(folder)) as server:
        config = DoltConfig(str(Path(folder) / "foo"), "t", primary_key=["id"])
        before = _frame(rows)
        old, new = write(config, before), write(config, _changed(before))
        moved = diff(old, new, limit=0)
        jobs: dict[str, Callable[[], object]] = {
            "profile, exact": lambda: profile(new, sample=None),
            "profile, sampled": lambda: profile(new, sample=SAMPLE),
            "shift, exact": lambda: moved.shift(sample=None),
            "shift, sampled": lambda: moved.shift(sample=SAMPLE),
            "shift of one, exact": lambda: moved.shift(columns=["number"], sample=None),
        }
        return [_cost(job, rows, work, rounds, server.pid) for job, work in jobs.items()]


def _repository(folder: str) -> Path:
    return create_repository(Path(folder).resolve() / "foo")


def _cost(job: str, rows: int, work: Callable[[], object], rounds: int, server: int) -> Cost:
    times, cpu = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time() + _cpu_s(server)
        work()
        times.append(time.perf_counter() - began)
        cpu.append(time.process_time() + _cpu_s(server) - used)
    return Cost(job, rows, statistics.median(times), min(times), min(cpu), os.getloadavg()[0])


def _cpu_s(process: int) -> float:
    """Return the time of the processor that a process has used, in seconds, as Linux counts it in ``/proc``."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _frame(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "number": random.normal(size=rows),
            "count": random.integers(0, 1_000, rows),
            "kind": random.choice(["red", "green", "blue"], rows),
            "name": [f"name {number}" for number in random.integers(0, rows, rows)],
        }
    )


def _changed(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    rows = np.random.default_rng(1).choice(len(frame), len(frame) // 100, replace=False)
    changed.loc[rows, "number"] += 1.0
    return changed
