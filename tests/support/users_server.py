"""A `dolt sql-server` as a user starts it in a repository's folder: it cannot read the plugin's files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dolt_program import TRIES
from dolt_server import free_port
from waiting import eventually

from flytekitplugins.dolt.server import binary, local_server


@contextmanager
def users_server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``dolt sql-server`` in ``folder`` as its user would, until the end of the block."""
    for _ in range(TRIES):
        argv = [str(binary.find()), "sql-server", "-H", "127.0.0.1", "-P", str(free_port())]
        with subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                assert eventually(
                    lambda: process.poll() is not None or local_server.running(folder) is not None,
                    within_s=60,
                )
                if process.poll() is None:
                    yield process
                    return
            finally:
                process.terminate()
    raise AssertionError("the server ended each time")
