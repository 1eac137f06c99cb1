"""The line on the terminal: only on a terminal, only when it takes long, gone afterwards."""

from __future__ import annotations

import io
import re

import pytest
from waiting import eventually

from flytekitplugins.dolt.tables import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(terminal: io.StringIO, line: str) -> None:
    is_there = eventually(lambda: re.search(line, terminal.getvalue()) is not None, within_s=10)
    assert is_there, f"{line!r} never came: {terminal.getvalue()!r}"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.01)
    monkeypatch.setattr(progress, "EVERY_S", 0.01)


@pytest.mark.usefixtures("quick")
def test_it_says_what_and_how_much_and_leaves_nothing() -> None:
    """Rows, bytes and seconds are shown while it lasts, and the line is wiped at the end."""
    terminal = Terminal()
    with progress.shown("write table 't'", to=terminal) as shown:
        shown.advance(65_536, 4_200_000)
        wait_for(terminal, r"write table 't': 65,536 rows, 4\.2 MB, \d+ s")
    assert terminal.getvalue().endswith(" \r")


@pytest.mark.usefixtures("quick")
def test_it_is_quiet_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to what is no terminal, or when it is switched off; not even a thread is started."""
    monkeypatch.setattr(progress.threading, "Thread", None)
    pipe = io.StringIO()
    with progress.shown("read", to=pipe):
        pass
    monkeypatch.setenv("FLYTE_DOLT_PROGRESS", "0")
    terminal = Terminal()
    with progress.shown("read", to=terminal):
        pass
    assert pipe.getvalue() == terminal.getvalue() == ""


def test_what_is_quick_shows_nothing() -> None:
    """Two seconds pass before anything appears."""
    terminal = Terminal()
    with progress.shown("read", to=terminal) as shown:
        shown.advance(1, 1)
    assert terminal.getvalue() == ""
