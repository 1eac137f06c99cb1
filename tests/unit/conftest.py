"""Tests that need nothing but Python: there is no `dolt` for them, and one that starts a server or asks one fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVERS = {"dolt", "mariadbd", "postgres"}
_met: list[str] | None = None
"""What was refused in the test that runs; None outside of these tests."""


def _refuse(event: str, args: tuple[object, ...]) -> None:
    if _met is None:
        return
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        program = os.fsdecode(args[0])  # type: ignore[arg-type]
        if Path(program).name in SERVERS:
            _met.append(program)
    elif event == "socket.connect":
        _met.append(f"a connection to {args[1]}")
    else:
        return
    if _met:
        raise AssertionError(f"a test of tests/unit needs {_met[-1]}")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Hide every `dolt`, and give the list of the programs and servers that the test was kept from."""
    global _met
    folders = os.environ.get("PATH", "").split(os.pathsep)
    monkeypatch.setenv("PATH", os.pathsep.join(name for name in folders if not Path(name, "dolt").exists()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "no-cache"))
    monkeypatch.delenv("DOLT_BIN", raising=False)
    _met = met = []
    yield met
    _met = None
    assert met == [], "it belongs into another folder than tests/unit"
