"""A `dolt sql-server` as a user starts it in a repository's folder: it cannot read the plugin's files."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flytekitplugins.dolt import binary, server


@contextmanager
def users_server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``dolt sql-server`` in ``folder`` as its user would, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [str(binary.find()), "sql-server", "-H", "127.0.0.1", "-P", str(port)]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while server.running(folder) is None:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.02)
            yield process
        finally:
            process.terminate()
