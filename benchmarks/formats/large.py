"""The large job: ten million rows written and read by the plugin, and what memory that takes here and in the server.

It is repeated with other rows in the same process on the same server, so that one sees whether anything grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from .. import frames, memory
from .meters import Cost, measured
from .ours import Ours
from .work import check

ROWS = 10_000_000
COLUMNS = 5
WARMING_ROWS = 1_000


@dataclass(frozen=True)
class Large:
    """One job of one repetition."""

    job: str
    turn: int
    cost: Cost
    frame_bytes: int
    client_bytes: int
    """Peak of this process's memory beyond what it had before, and beyond the frame that a read returns."""
    server_bytes: int
    """Peak of the server's memory during the job, as Linux counts it (RSS)."""


def repeat(rows: int, times: int) -> Iterator[Large]:
    """Write and read ``rows`` rows ``times`` times, and give each when it is done, compared with what was written."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        table = Ours(Path(folder).resolve(), frames.frame(0, COLUMNS, seed=0))
        try:
            table.write_first(frames.frame(WARMING_ROWS, COLUMNS, seed=0))
            table.read()
            for turn in range(times):
                yield from _written_and_read(table, frames.frame(rows, COLUMNS, seed=turn + 1), turn)
        finally:
            table.close()


def _written_and_read(table: Ours, frame: pd.DataFrame, turn: int) -> tuple[Large, Large]:
    wrote, _ = _peak("write", turn, lambda: table.write_first(frame), table, frame)
    read, found = _peak("read", turn, table.read, table, frame)
    assert found is not None
    check(table.name, found, frame)
    return wrote, read


def _peak(
    job: str, turn: int, work: Callable[[], pd.DataFrame | None], table: Ours, frame: pd.DataFrame
) -> tuple[Large, pd.DataFrame | None]:
    server = str(table.server)
    memory.give_back()
    for process in ("self", server):
        memory.reset_peak(process)
    before = memory.status("self", "VmRSS")
    cost, found = measured(work, table.server)
    peak, served = memory.status("self", "VmHWM") - before, memory.status(server, "VmHWM")
    returned = 0 if found is None else _bytes_of(found)
    return Large(job, turn, cost, _bytes_of(frame), max(0, peak - returned), served), found


def _bytes_of(frame: pd.DataFrame) -> int:
    return int(frame.memory_usage(deep=True).sum())
