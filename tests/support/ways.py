"""Which way rows are put into tables, natively or by SQL: the way that is expected here, and the one that they went.

What `tables.native` says of each write in its log is noted, so that a test of kills or full disks knows what it tested.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.server import binary, builder, procedures
from flytekitplugins.dolt.tables import native

NATIVELY, BY_SQL = "natively", "by SQL"


def expected() -> str:
    """Return the way of rows here: by SQL where that is wanted, or where a `dolt` serves that others have built."""
    try:
        is_ours = binary.find() == builder.binary_path()
    except DoltError:
        is_ours = False
    return NATIVELY if is_ours and os.environ.get(procedures.SWITCH) != "0" else BY_SQL


class _Noting(logging.Handler):
    def __init__(self, note: Callable[[str], object]) -> None:
        super().__init__(logging.DEBUG)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("Wrote"):
            self._note(NATIVELY if record.getMessage().endswith(f"{NATIVELY}.") else BY_SQL)


@contextmanager
def noted(note: Callable[[str], object]) -> Iterator[None]:
    """Call ``note`` with the way of each write of this process inside the block."""
    noting, level = _Noting(note), native.logger.level
    native.logger.addHandler(noting)
    native.logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        native.logger.setLevel(level)
        native.logger.removeHandler(noting)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Give how many writes of this process went which way, inside the block."""
    found: Counter[str] = Counter()
    with noted(lambda way: found.update([way])):
        yield found


def told(file: Path) -> set[str]:
    """Return the ways that a process has noted in a file, one to a line."""
    return set(file.read_text().split("\n")[:-1]) if file.exists() else set()
