"""A network that goes silent in the middle of a statement: reads waited for ever.

Each test runs in a network of its own, a namespace of the kernel, whose only link is taken down from one moment to the
next: nothing arrives any more, and nobody says so, as when a machine loses its power.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dolt_server
import pytest

SUPPORT = Path(dolt_server.__file__).parent
# The last three: whatever runs in there ends with it.
ALONE = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
CUT = "ip link set lo down"

PROGRAM = """
import os, subprocess, sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
from certificates import Authority
from dolt_server import PASSWORD, VARIABLE, DoltServer
from flytekitplugins.dolt import errors, read, write
from flytekitplugins.dolt.repository import connections

kind, folder = sys.argv[1], Path(sys.argv[2])
os.environ[VARIABLE] = PASSWORD
connections._SILENCE_S = 6
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
authority = Authority(folder)
certificate = authority.sign("127.0.0.1", name="server", good_for=timedelta(days=1)) if kind == "TLS" else None
with DoltServer(folder / "shop", certificate) as server:
    url = server.url(f"?ssl_ca={authority.ca}" if kind == "TLS" else "")
    numbers = server.config("numbers", at=url, primary_key=["n"])
    write(numbers, pd.DataFrame({"n": range(300)}))
    query = server.config(None, at=url, sql="SELECT COUNT(*) AS n FROM numbers a, numbers b, numbers c, numbers d")
    connections.CONNECT_TIMEOUT_S = 1
    subprocess.Popen(["sh", "-c", "sleep 2; CUT"])
    try:
        read(query)
    except errors.ConnectionLost as error:
        print(error)
    finally:
        server.kill()
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or subprocess.run([*ALONE, "ip", "link"], capture_output=True).returncode != 0,
    reason="no network of its own can be made here",
)
@pytest.mark.parametrize("kind", ["clear", "TLS"])
def test_it_is_noticed(tmp_path: Path, kind: str) -> None:
    """A read whose rows do not come any more is tried again, and then ConnectionLost."""
    done = subprocess.run(
        [*ALONE, sys.executable, "-c", PROGRAM.replace("CUT", CUT), kind, str(tmp_path)],
        cwd=SUPPORT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "Cannot connect to the dolt sql-server" in done.stdout, done.stdout + done.stderr
