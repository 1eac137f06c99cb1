"""A line on the terminal while something takes long: what, how many rows, how many bytes, since when.

Quiet when standard error is no terminal, when ``FLYTE_DOLT_PROGRESS=0`` is set, and for the first two seconds. `tables`
says what happens; a small thread keeps the seconds moving while the server works.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ...doltdb.redaction import visible

QUIET_S = 2.0
"""Seconds after which a line appears at all."""

EVERY_S = 0.5
"""Seconds between two states of the line."""


class Progress:
    """What has been done so far; `advance` may be called from any thread."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._rows = self._bytes = 0

    def advance(self, rows: int, size: int) -> None:
        """Count ``rows`` more rows, and ``size`` more bytes."""
        self._rows += rows
        self._bytes += size

    def __str__(self) -> str:
        """Return the line, for example ``writing table 't': 65,536 rows, 4.2 MB, 3 s``."""
        counts = [f"{self._rows:,} rows", f"{self._bytes / 1e6:.1f} MB"] if self._rows else []
        seconds = f"{time.monotonic() - self._began:.0f} s"
        return visible(f"{self._what}: {', '.join([*counts, seconds])}", lines=False)


@contextmanager
def shown(what: str, *, to: TextIO | None = None) -> Iterator[Progress]:
    """Give a `Progress`, and show it on ``to`` (standard error) for as long as the block takes."""
    progress = Progress(what)
    stream = to if to is not None else sys.stderr
    if os.environ.get("FLYTE_DOLT_PROGRESS") == "0" or stream is None or not stream.isatty():
        yield progress
        return
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(progress, stream, done), daemon=True)
    ticker.start()
    try:
        yield progress
    finally:
        done.set()
        ticker.join()


def _tick(progress: Progress, stream: TextIO, done: threading.Event) -> None:
    width = 0
    wait = QUIET_S
    while not done.wait(wait):
        line = str(progress)
        stream.write("\r" + line.ljust(width))
        stream.flush()
        width, wait = len(line), EVERY_S
    if width:
        stream.write("\r" + " " * width + "\r")
        stream.flush()
