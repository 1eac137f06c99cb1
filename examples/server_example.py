"""The parts of a map task append to one table of a running `dolt sql-server`, as many pods of a cluster do.

    $ python server_example.py 6
    Running server_example.py main...
    6 parts, 6 commits, 6 rows, sum of squares 55

It starts a server of its own beside itself and stops it at the end. With `SERVER_URL` in the environment it goes to
yours, `mysql+pymysql://user@host:3306/database`, with the password that is in `_FSEC_EXAMPLE_PASSWORD`, and writes to a
new branch there. On a cluster the password is the secret with group `example` and key `password`, which each task asks
for. docs/clusters.md says more.
"""

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from typing import Iterator, List

import pandas as pd
from flytekit import map_task, task, workflow

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    NewBranch,
    Secret,
    binary,
    create_repository,
    read,
    secret_requests,
    versions,
)

SERVER_URL = os.environ.get("SERVER_URL")
PASSWORD = Secret("example", "password") if SERVER_URL else None
REQUESTS = secret_requests(DoltConfig(db_path=SERVER_URL, tablename="squares", secret=PASSWORD)) if SERVER_URL else []


@task(secret_requests=REQUESTS)
def square(part: int, conf: DoltConfig) -> DoltTable:
    """Return the row of one part, which is appended in a commit of its own."""
    return DoltTable(data=pd.DataFrame({"part": [part], "square": [part**2]}), config=conf)


@task(secret_requests=REQUESTS)
def total(appended: List[DoltTable], conf: DoltConfig) -> str:
    """Say what is there when all parts are done."""
    rows, commits = read(conf), {table.commit.hash for table in appended}
    assert commits == {table.commit.hash for table in versions(conf, last=len(appended))}
    return f"{len(appended)} parts, {len(commits)} commits, {len(rows)} rows, sum of squares {rows['square'].sum()}"


@workflow
def wf(parts: List[int], conf: DoltConfig) -> str:
    appended = map_task(functools.partial(square, conf=conf))(part=parts)
    return total(appended=appended, conf=conf)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run `dolt sql-server` in a new repository and give its URL; on loopback its root user needs no password."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "served")
    shutil.rmtree(folder, ignore_errors=True)
    create_repository(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(binary.find()), "sql-server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield f"mysql+pymysql://root@127.0.0.1:{port}/served"
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    parts = list(range(int(sys.argv[1]) if len(sys.argv) > 1 else 6))
    with contextlib.nullcontext(SERVER_URL) if SERVER_URL else server() as url:
        branch = NewBranch(f"run/{uuid.uuid4().hex[:8]}")
        squares = DoltConfig(db_path=url, tablename="squares", mode="append", branch_conf=branch, secret=PASSWORD)
        print(wf(parts=parts, conf=squares))
