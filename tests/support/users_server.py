"""A `dolt sql-server` as a user starts it in a repository's folder: it cannot read the plugin's files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dolt_server import free_port
from waiting import eventually

from flytekitplugins.dolt.server import binary, local_server


@contextmanager
def users_server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``dolt sql-server`` in ``folder`` as its user would, until the end of the block."""
    argv = [str(binary.find()), "sql-server", "-H", "127.0.0.1", "-P", str(free_port())]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(
                lambda: process.poll() is not None or local_server.running(folder) is not None, within_s=20
            )
            assert process.poll() is None, "the server ended"
            yield process
        finally:
            process.terminate()
