"""Measuring one job: seconds on the wall, and of processors here and in the server."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What a job took, in seconds."""

    wall_s: float
    client_cpu_s: float
    """This process, with all its threads."""
    server_cpu_s: float
    """The server's process, or those that the job started."""


def measured(work: Callable[[], T], server: int | None, *, collects: bool = True) -> tuple[Cost, T]:
    """Do the work once and return its cost with what it returned; ``server`` is a process of this user, or None.

    Garbage of others is collected before, unless the caller does that.
    """
    if collects:
        gc.collect()
    commands, there = _commands_cpu_s(), _server_cpu_s(server)
    here, began = time.process_time(), time.perf_counter()
    result = work()
    wall_s, client_cpu_s = time.perf_counter() - began, time.process_time() - here
    server_cpu_s = _server_cpu_s(server) - there + _commands_cpu_s() - commands
    return Cost(wall_s, client_cpu_s, server_cpu_s), result


def bytes_in(folder: Path) -> int:
    """Return the size of all files in a folder."""
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            # A server removes files of its own while we look.
            file = Path(where) / name
            total += file.stat().st_size if file.exists() else 0
    return total


def _server_cpu_s(pid: int | None) -> float:
    """Return what the process has used: Linux's clock of it, as clock_getcpuclockid(3) would name it."""
    return 0.0 if pid is None else time.clock_gettime((~pid << 3) | 2)


def _commands_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
