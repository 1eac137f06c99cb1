"""Servers for the tests: MariaDB, Dolt, PostgreSQL, each with a private port and folder, stopped by its own handle."""

from __future__ import annotations

import atexit
import logging
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
from dolt_server import DoltServer, free_port

USER, PASSWORD, DATABASE = "user", "pa55:w@rd/secret", "db"
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Server:
    """One server that runs for the tests."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]

    def sql(self, *statements: str, database: str | None = DATABASE) -> list[tuple[Any, ...]]:
        """Run statements one by one, committed; return the rows of the last. For what a test prepares and checks."""
        with closing(
            pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user=USER,
                password=PASSWORD,
                database=database,
                autocommit=None,
                ssl_disabled=True,
                read_timeout=60,
            )
        ) as connection:
            with connection.cursor() as cursor:
                if self.kind == "dolt":
                    cursor.execute("SET autocommit = 1")
                for statement in statements:
                    cursor.execute(statement)
                rows = list(cursor.fetchall())
            connection.commit()
        return rows


@contextmanager
def running(command: Sequence[str], *, folder: Path, port: int, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server and wait until its port answers; stop it afterwards."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, **options)
    try:
        _wait_for(process, port=port, log=log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], *, port: int, log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-2000:]
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"no answer on port {port}: {log.read_text()[-2000:]}")


@contextmanager
def mariadb(folder: Path, *options: str) -> Iterator[Server]:
    """Give a MariaDB with a fresh data folder, the user and the database."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    install, daemon = shutil.which("mariadb-install-db", path=path), shutil.which("mariadbd", path=path)
    assert install is not None
    assert daemon is not None, "no MariaDB on this machine: tools/install_programs.sh installs it"
    data, port = folder / "data", free_port()
    me = pwd.getpwuid(os.getuid()).pw_name
    subprocess.run(
        [
            install,
            "--no-defaults",
            f"--datadir={data}",
            f"--user={me}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    socket_file = _short_socket()
    command = [daemon, "--no-defaults", f"--datadir={data}", f"--user={me}", f"--port={port}"]
    command += ["--bind-address=127.0.0.1", f"--socket={socket_file}", "--innodb-buffer-pool-size=64M"]
    command += ["--skip-name-resolve", "--character-set-server=utf8mb4", *options]
    try:
        with running(command, folder=folder, port=port) as process:
            _create_user(port, root="root", password="")
            yield Server("mariadb", port, process)
    finally:
        shutil.rmtree(Path(socket_file).parent, ignore_errors=True)


def _short_socket() -> str:
    # A socket's path must be short, which pytest's folders are not.
    return str(Path(tempfile.mkdtemp(prefix="sql-")) / "s")


def _create_user(port: int, *, root: str, password: str) -> None:
    with closing(
        pymysql.connect(host="127.0.0.1", port=port, user=root, password=password, autocommit=None)
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
            cursor.execute(f"CREATE USER '{USER}'@'%%' IDENTIFIED BY %s", (PASSWORD,))
            cursor.execute(f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION")


@contextmanager
def dolt(folder: Path) -> Iterator[Server]:
    """Give a `dolt sql-server` with a fresh database and the user, everything private to its folder."""
    data = folder / "data"
    data.mkdir()
    with DoltServer(data / DATABASE, data=data, log_level="warning") as server:
        _create_user(server.port, root="root", password="")
        yield Server("dolt", server.port, server.process)


def _postgres_programs() -> str:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return str(programs[-1] if programs else Path(shutil.which("postgres") or "/nowhere/postgres").parent)


def has_postgres() -> bool:
    """Say whether PostgreSQL's programs are on this machine."""
    return Path(_postgres_programs(), "initdb").exists()


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """Give a PostgreSQL with a fresh data folder; it refuses to run as root, so then as another user of the machine."""
    found = _postgres_programs()
    home, port = Path(_short_socket()).parent, free_port()
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        nobody = pwd.getpwnam("postgres" if any(u.pw_name == "postgres" for u in pwd.getpwall()) else "nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": home}
    secret = home / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    try:
        subprocess.run(
            [
                *(f"{found}/initdb", "-D", f"{home}/data", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}"),
                *("-E", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            timeout=120,
            **as_user,
        )
        command = [f"{found}/postgres", "-D", f"{home}/data", "-p", str(port), "-h", "127.0.0.1", "-k", str(home)]
        with running(command, folder=folder, port=port, **as_user) as process:
            _create_database(port)
            yield Server("postgresql", port, process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _create_database(port: int) -> None:
    import psycopg

    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with psycopg.connect(
                host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
            ) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
            return
        except psycopg.OperationalError:  # it listens before it is ready
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def for_a_page() -> None:
    """Start MariaDB and Dolt, with their URIs in the environment, until this interpreter ends; for a page."""
    import flytekit  # noqa: F401  # which sets up its log when it is imported

    logging.getLogger("flytekit").setLevel(logging.CRITICAL)  # it prints errors that a page shows a second time
    stack = ExitStack()
    atexit.register(stack.close)
    for name, server in (("MARIADB_URI", mariadb), ("DOLT_URI", dolt)):
        found = stack.enter_context(server(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        os.environ[name] = f"mysql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{found.port}/{DATABASE}"


if __name__ == "__main__":  # by hand: python tests/support/servers.py mariadb
    with tempfile.TemporaryDirectory() as place, globals()[sys.argv[1]](Path(place)) as server:
        print(server.port, server.process.pid, flush=True)
        server.process.wait()
