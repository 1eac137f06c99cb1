"""Run one query as a task on MariaDB and on a Dolt server, and get the same frame from both.

    $ python sqlalchemy_example.py
    Running sqlalchemy_example.py main...
    Running cheap_orders() on MariaDB, returns dataframe
       id    buyer price                  bought_at
    0   2  O'Brien  0.10 2026-02-01 12:00:00.000001
    1   3    Diane  4.50 2026-02-28 23:59:59.000000
    Running cheap_orders() on Dolt, returns dataframe
       id    buyer price                  bought_at
    0   2  O'Brien  0.10 2026-02-01 12:00:00.000001
    1   3    Diane  4.50 2026-02-28 23:59:59.000000
    The frames are equal: True
    Prices are exact: [Decimal('0.10'), Decimal('4.50')]

Both servers are private ones, started for it with all they store in a temporary folder, and stopped. MariaDB has to be
installed (Debian: ``mariadb-server``). To use servers of yours, which then have a table ``example_orders``, give URIs:
``python sqlalchemy_example.py mysql://user:password@host/db mysql://user:password@other-host/db/branch``.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import List

import pandas as pd
from flytekit import kwtypes

from flytekitplugins.dolt import binary, create_repository
from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask

CREATE = """
create table if not exists example_orders
    (id int primary key, buyer varchar(99), price decimal(9, 2), bought_at datetime(6))
"""
FILL = """
replace into example_orders values
    (1, 'George', 2.25, '2026-01-31 09:00:00'),
    (2, {{ .inputs.buyer }}, 0.1, '2026-02-01 12:00:00.000001'),
    (3, 'Diane', 4.5, '2026-02-28 23:59:59'),
    (4, 'Diane', 1234567.89, '2026-03-01 00:00:00')
"""
CHEAP = """
select * from example_orders
where buyer in ({{ .inputs.buyers }}) and price < {{ .inputs.limit }} and bought_at >= {{ .inputs.since }}
order by id
"""


def cheap_orders(uri: str) -> pd.DataFrame:
    """Make a table, fill it, and select from it: three tasks, each of which is one statement."""
    config = SQLAlchemyConfig(uri=uri)
    create = SQLAlchemyTask("create", CREATE, config, output_schema_type=None)
    fill = SQLAlchemyTask("fill", FILL, config, inputs=kwtypes(buyer=str), output_schema_type=None)
    select = SQLAlchemyTask(
        name="cheap_orders",
        query_template=CHEAP,
        task_config=config,
        inputs=kwtypes(buyers=List[str], limit=float, since=datetime),
        output_schema_type=pd.DataFrame,
    )
    create()
    fill(buyer="O'Brien")
    return select(buyers=["O'Brien", "Diane"], limit=100.0, since=datetime(2026, 2, 1, tzinfo=timezone.utc))


@contextmanager
def mariadb(folder: str):
    """Give the URI of a new MariaDB."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    install, daemon = shutil.which("mariadb-install-db", path=path), shutil.which("mariadbd", path=path)
    if not install or not daemon:
        sys.exit("There is no MariaDB on this machine. Install it, or give the URIs of servers of yours.")
    port, password = free_port(), secrets.token_hex()
    first = os.path.join(folder, "first.sql")
    with open(first, "w") as file:
        file.write(f"create database db;\nset password for root@localhost = password('{password}');\n")
    options = ["--no-defaults", f"--datadir={folder}/mariadb", f"--user={pwd.getpwuid(os.getuid()).pw_name}"]
    subprocess.run([install, *options, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    options += ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder}/socket", f"--init-file={first}"]
    with running([daemon, *options], port=port, log=f"{folder}/mariadb.log"):
        yield f"mysql://root:{password}@127.0.0.1:{port}/db"


@contextmanager
def dolt(folder: str):
    """Give the URI of a new Dolt server."""
    create_repository(f"{folder}/dolt/db")
    port, password = free_port(), secrets.token_hex()
    command = [binary.find(), "sql-server", "--host=127.0.0.1", f"--port={port}", f"--data-dir={folder}/dolt"]
    environment = {**os.environ, "DOLT_ROOT_PASSWORD": password, "DOLT_ROOT_HOST": "localhost"}
    with running(command, port=port, log=f"{folder}/dolt.log", cwd=folder, env=environment):
        yield f"mysql://root:{password}@127.0.0.1:{port}/db"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def running(command, *, port: int, log: str, **options):
    """Start a server, wait until it listens, and stop it in the end."""
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, **options)
    try:
        while not listens(port):
            if process.poll() is not None:
                with open(log) as file:
                    sys.exit(f"{command[0]} did not start:\n{file.read()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # MariaDB forgets a SIGTERM that comes while it starts
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped then, too
    if len(sys.argv) > 1:
        frames = {uri.rpartition("@")[2]: cheap_orders(uri) for uri in sys.argv[1:]}
    else:
        with tempfile.TemporaryDirectory() as folder, mariadb(folder) as one, dolt(folder) as other:
            frames = {"MariaDB": cheap_orders(one), "Dolt": cheap_orders(other)}
    for server, frame in frames.items():
        print(f"Running cheap_orders() on {server}, returns dataframe\n{frame}")
    first, *others = frames.values()
    print(f"The frames are equal: {all(frame.equals(first) for frame in others)}")
    print(f"Prices are exact: {first['price'].tolist()}")
