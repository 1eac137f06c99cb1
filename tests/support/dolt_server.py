"""A `dolt sql-server` of a test's own, as an operator runs one: with a user, certificates and a log; killed, restarted.

It keeps its port from start to start. What it was asked stands in its log, statement by statement; what it holds is
asked of the `dolt` command line, which knows nothing of this package.
"""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dolt_program
import pymysql
from certificates import Signed
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, Secret, create_repository
from flytekitplugins.dolt.server import binary

USER, PASSWORD = "flyte", "pa55:w@rd/with signs"
SECRET = Secret("shop", "password")
VARIABLE = "_FSEC_SHOP_PASSWORD"
"""Where a local run finds the secret."""


_PORTS = range(10_000, 32_768)
"""None of those from which the kernel gives one to who asks for any, and to connections, while a server is starting."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class DoltServer:
    """The server of the repository in ``folder``, for which its database is named; it runs inside the block."""

    folder: Path
    certificate: Signed | None = None
    """What it proves its name with; without one it offers no TLS."""

    host: str = "127.0.0.1"
    """The address that its users know; one that is not loopback has it listen on all."""

    listener: dict[str, object] = field(default_factory=dict)
    """Further settings of its listener."""

    behavior: dict[str, object] = field(default_factory=dict)
    """What else is set of how it behaves."""

    variables: dict[str, object] = field(default_factory=dict)
    """System variables that it starts with."""

    grants: Sequence[str] = ("ALL",)
    """What `USER` may do with the database."""

    operator: Signed | None = None
    """The certificate that its operator shows, if it asks for one."""

    port: int = field(default_factory=free_port)

    remotes_port: int = 0
    """Where it is a remote to clone from and to push to; 0 is nowhere."""

    data: Path | None = None
    """The folder where it finds and makes databases; without one it is that of the repository."""

    log_level: str = "debug"
    """What it writes into its log; at "debug", also what it was asked."""

    def __enter__(self) -> DoltServer:
        if not binary.is_repository(self.folder):
            create_repository(self.folder, name="Ann", email="ann@x.org")
        self.start()
        self.add_user(USER, PASSWORD, *self.grants)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        address = self.host if self.host == "127.0.0.1" else "0.0.0.0"
        listener = {"host": address, "port": self.port, **self.listener}
        if self.certificate is not None:
            listener |= {"tls_cert": str(self.certificate.certificate), "tls_key": str(self.certificate.key)}
        settings = {"log_level": self.log_level, "listener": listener, "behavior": self.behavior}
        settings["system_variables"] = self.variables
        if self.data is not None:
            settings["data_dir"] = str(self.data)
        if self.remotes_port:
            settings["remotesapi"] = {"port": self.remotes_port}
        self._settings.write_text(json.dumps(settings))  # JSON is YAML, too
        self._run()
        assert eventually(self._answers, within_s=60), self.log[-2000:]

    def _run(self, *before: str) -> None:
        command = [*before, str(binary.find()), "sql-server", "--config", str(self._settings)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @contextmanager
    def restarted(self, after_s: float) -> Iterator[None]:
        """Have it killed after a while, inside the block, and started again; by a process that no thread here holds."""
        old, script = self.process, 'sleep "$1"; kill -9 "$2"; shift 2; exec "$@"'
        self._run("sh", "-c", script, "sh", str(after_s), str(old.pid))
        over = threading.Event()
        watching = threading.Thread(target=self._run_until, args=(over,))
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()
            old.wait(60)
            assert eventually(self._answers, within_s=60), self.log[-2000:]

    def _run_until(self, over: threading.Event) -> None:
        """Run it again, should it end: a server that was not given the processor as it took its lock does so."""
        while not over.wait(0.1):
            if self.process.poll() is not None:
                self._run()

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        self.process.terminate()
        self.process.wait(60)

    def kill(self) -> None:
        """End it from one moment to the next."""
        self.process.kill()
        self.process.wait(30)

    def _answers(self) -> bool:
        if self.process.poll() is not None:  # one that was killed holds the folder for a moment more
            assert "is locked by another dolt process" in self.log[-300:], self.log[-2000:]
            self._run()
        try:
            self.sql("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as the operator does, and return its rows."""
        with closing(self.operated()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def operated(self) -> pymysql.connections.Connection[Any]:
        """Return a session of its operator's."""
        tls: dict[str, Any] = {"ssl_disabled": True}
        if self.certificate is not None:
            tls = {"ssl": ssl._create_unverified_context()}
        if self.operator is not None:
            tls["ssl"].load_cert_chain(self.operator.certificate, self.operator.key)
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=self.database, autocommit=None, **tls
        )

    def add_user(self, name: str, password: str, *grants: str) -> None:
        """Let somebody in, who may do with the database what ``grants`` says."""
        self.sql(f"CREATE USER '{name}'@'%%' IDENTIFIED BY %s", password)
        for grant in grants:
            self.sql(f"GRANT {grant} ON `{self.database}`.* TO '{name}'@'%'")

    @property
    def database(self) -> str:
        """The name under which the repository is served."""
        return self.folder.name

    def url(self, options: str = "", *, host: str | None = None, user: str = USER, port: int | None = None) -> str:
        """Return what a config says to get there."""
        return f"mysql+pymysql://{user}@{host or self.host}:{port or self.port}/{self.database}{options}"

    def config(self, table: str | None = "log", *, at: str | None = None, **options: Any) -> DoltConfig:
        """Return a config for a table there, with the user's secret; ``at`` is another URL."""
        return DoltConfig(at or self.url(), table, **{"secret": SECRET, **options})

    def dolt(self, *args: str) -> str:
        """Run the ``dolt`` command line in the repository and return what it prints."""
        done = dolt_program.run(*args, cwd=self.folder)
        assert done.returncode == 0, f"dolt {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout

    def values(self, query: str) -> list[Any]:
        """Return the first column of what the ``dolt`` command line answers to a query."""
        rows = json.loads(self.dolt("sql", "-r", "json", "-q", query) or "{}").get("rows", [])
        return [next(iter(row.values())) for row in rows]

    @property
    def connections(self) -> list[int]:
        """The numbers of the sessions that it has now, without the one that asks."""
        asked = "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = %s"
        return sorted(number for (number,) in self.sql(asked, USER))

    @property
    def statements(self) -> list[str]:
        """What it was asked since its first start."""
        return [
            json.loads(f'"{text}"') for text in re.findall(r'"Starting query".* query="((?:[^"\\]|\\.)*)"', self.log)
        ]

    @property
    def log(self) -> str:
        """What it wrote into its log since its first start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def _settings(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.yaml")
