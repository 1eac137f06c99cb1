"""The server with a password that a page starts, writes to and looks at, in one shell as a reader has it."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pages
import pytest

from flytekitplugins.dolt.server import binary

PAGE, THIS = Path(__file__).parents[2] / "docs" / "clusters.md", "tests/docs/test_server_to_try.py"
SHELL = (
    f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\npython() {{ {shlex.quote(sys.executable)} -W ignore \"$@\"; }}\n"
)


@pytest.mark.slow
def test_it_is_started_written_to_and_looked_at(tmp_path: Path) -> None:
    """The blocks run one after the other, on a port that is free here; nothing is left running."""
    start, program, look = (block for block in pages.blocks(PAGE.read_text()) if block.run_by == THIS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (tmp_path / "stock.py").write_text(program.text.replace("3307", port))
    listens = "timeout 60 bash -c 'until (: </dev/tcp/127.0.0.1/3307) 2>/dev/null; do sleep 0.05; done'\n"
    script = f"{start.text}{listens}python stock.py\n{look.text}wait\n".replace("3307", port)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{binary.find().parent}"
    done = subprocess.run(
        ["bash", "-ec", SHELL + script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(program.expected).strip()
    assert "  +2 ~0 -0  stock.count of ex:local:local:local  stock of 2026-02-01" in lines[1]
    assert lines[-1] == "All is well."
