"""The example of the SQLAlchemy plugin, run as a reader runs it: what it prints, and that it leaves nothing behind."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from servers import PASSWORD, Server
from sql_tasks import uri
from waiting import eventually

from flytekitplugins.dolt.server import binary

EXAMPLE = Path(__file__).parents[2] / "examples" / "sqlalchemy_example.py"


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the example with ``folder`` for all that it stores."""
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), *arguments],
        env={**os.environ, "TMPDIR": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def servers_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that were started for something in ``folder``."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            lines.append(file.read_bytes().replace(b"\0", b" ").decode())
    return [line for line in lines if f"{folder}/" in line]


def shown() -> str:
    """Return the output that the example's docstring shows."""
    head = ast.get_docstring(ast.parse(EXAMPLE.read_text())) or ""
    return textwrap.dedent(head.partition("$ python sqlalchemy_example.py\n")[2].partition("\n\n")[0] + "\n")


@pytest.mark.slow
def test_it_prints_what_its_docstring_shows_and_leaves_nothing(tmp_path: Path) -> None:
    """MariaDB and Dolt give the same frame, to the last digit; no server and no folder of theirs stays."""
    with start(tmp_path) as example:
        printed, said = example.communicate(timeout=120)
    assert printed == shown(), said
    assert servers_in(tmp_path) == []
    assert list(tmp_path.rglob("mariadb")) == []


@pytest.mark.slow
def test_servers_of_the_readers_own_are_used(mariadb: Server, dolt_server: Server, tmp_path: Path) -> None:
    """Given URIs, it starts nothing, works twice, and prints no password."""
    for _ in range(2):
        with start(tmp_path, uri(mariadb), uri(dolt_server), PATH="/nowhere") as example:
            printed, said = example.communicate(timeout=120)
        assert f"Running cheap_orders() on 127.0.0.1:{mariadb.port}/db, returns dataframe" in printed, said
        assert "The frames are equal: True" in printed
        assert PASSWORD not in printed + said


def test_without_mariadb_it_says_what_to_do(tmp_path: Path) -> None:
    """One sentence and a status of 1, no traceback."""
    blind = "import shutil, runpy; shutil.which = lambda *_, **__: None; runpy.run_path({!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", blind.format(str(EXAMPLE))],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "There is no MariaDB on this machine. Install it, or give the URIs of servers of yours.",
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_stopped_example_stops_its_servers(tmp_path: Path) -> None:
    """SIGTERM in the middle leaves no server and no folder, also where MariaDB forgets its own while it starts."""
    with start(tmp_path, DOLT_BIN=str(binary.find())) as example:
        assert eventually(lambda: any("--port=" in line for line in servers_in(tmp_path)), within_s=60)
        # Whoever starts a process is told of it a moment later: before that, the example has nothing to stop.
        assert eventually(lambda: any(log.stat().st_size for log in tmp_path.glob("*/mariadb.log")), within_s=60)
        example.send_signal(signal.SIGTERM)
        example.communicate(timeout=60)
    assert example.returncode != 0
    assert servers_in(tmp_path) == []
    assert list(tmp_path.rglob("mariadb")) == []
