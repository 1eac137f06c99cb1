"""Measuring memory: each rival in a process of its own, by the peaks that Linux keeps for it and for its server.

The client's figure is the peak of the resident memory during the job, less what was there before and less the frame
that a read returns. The server's is the peak itself; for a rival that starts processes, the largest of theirs.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from . import frames
from .rivals import EarlierShort, Ours, Rival, place


@dataclass(frozen=True)
class Peak:
    """Memory of one job by one rival, in bytes."""

    job: str
    rival: str
    client_bytes: int
    dolt_bytes: int
    frame_bytes: int


def in_own_process(kind: type[Rival], *, rows: int, columns: int) -> list[Peak]:
    """Return the peaks of writing (anew, unchanged, 1 % changed) and reading, measured in a new process."""
    argv = [
        sys.executable,
        "-m",
        "benchmarks",
        "--memory-of",
        kind.name,
        "--rows",
        str(rows),
        "--columns",
        str(columns),
    ]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return [Peak(**peak) for peak in json.loads(done.stdout.splitlines()[-1])]


def here(kind: type[Rival], *, rows: int, columns: int) -> str:
    """Return the peaks of writing and reading in this process as JSON."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, place(Path(folder)) as it:
        frame = frames.frame(rows, columns, seed=1)
        small = frames.frame(100, columns, seed=0)
        if "write" not in kind.jobs:
            Ours(it, frame).write(frame)
        rival = kind(it, frame)
        if "write" in kind.jobs:
            rival.write(small)  # what is loaded at first use is not the job's
        rival.read()
        pid = None if issubclass(kind, EarlierShort) else it.address.pid
        size = int(frame.memory_usage(deep=True).sum())
        peaks = []
        for job, written in (("write", frame), ("unchanged", frame), ("scattered", frames.scattered(frame, seed=2))):
            if job in kind.jobs:
                peaks.append(_peak(job, kind, partial(rival.write, written), pid, size))
        if "read" in kind.jobs:
            peaks.append(_peak("read", kind, rival.read, pid, size))
        return json.dumps([asdict(peak) for peak in peaks])


def _peak(
    job: str, kind: type[Rival], work: Callable[[], pd.DataFrame | None], server: int | None, frame_bytes: int
) -> Peak:
    give_back()
    reset_peak("self")
    if server is not None:
        reset_peak(str(server))
    before = status("self", "VmRSS")
    kept = work()
    grown = status("self", "VmHWM") - before
    returned = 0 if kept is None else int(kept.memory_usage(deep=True).sum())
    dolt = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    peak = dolt if server is None else status(str(server), "VmHWM")
    return Peak(job, kind.name, max(0, grown - returned), peak, frame_bytes)


def give_back() -> None:
    """Return freed memory to the system, or the job would use it again and seem to need none."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)


def reset_peak(process: str) -> None:
    """Let Linux forget the peak of a process's memory; ``process`` is its number, or "self"."""
    with suppress(PermissionError):  # then the peak is that of the whole life
        Path(f"/proc/{process}/clear_refs").write_text("5")


def status(process: str, name: str) -> int:
    """Return a figure of Linux's about a process, in bytes: VmRSS is its memory now, VmHWM the peak."""
    text = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{name}:"))
