"""The earlier plugin's way to Dolt: a CSV file, and a `dolt` process for each step, in a repository of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from flytekitplugins.dolt import create_repository
from flytekitplugins.dolt.server import binary

from .frames import KEY


class EarlierCommands:
    """The table ``t`` in a new repository below ``folder``, written and read by commands.

    ``all_calls`` starts as many processes as the earlier plugin did (12 for a write, 7 for a read); without it they are
    as few as can be (3 and 1).
    """

    def __init__(self, folder: Path, *, all_calls: bool) -> None:
        self.repository = create_repository(folder / "repository", name="Bench", email="bench@localhost")
        self._file = folder / "t.csv"
        self._dolt = str(binary.find())
        self._all_calls = all_calls
        self._head: str | None = None

    def head(self) -> str:
        """Return the newest commit."""
        if self._head is None:
            self._head = self._run("log", "-n", "1", "--oneline").split()[0]
        return self._head

    def import_rows(self, frame: pd.DataFrame, mode: str) -> None:
        """Write a frame into the table and commit; ``mode`` is ``dolt table import``'s: -c, -r (replace) or -u."""
        self._head = None
        frame.to_csv(self._file, index=False)
        load = ("table", "import", mode, "--pk", KEY, "--file-type", "csv", "t", str(self._file))
        if not self._all_calls:
            self._run(*load)
            self._run("add", ".")
            self._run("commit", "-m", "write", "--skip-empty")
            return
        with self._on_branch():
            self._ask("HASHOF('HEAD')")
            self._run("ls", "--verbose")
            self._run(*load)
            self._run("sql", "-r", "csv", "-q", "CALL DOLT_ADD('.')")
            self._run("sql", "-r", "csv", "-q", "SELECT * FROM dolt_status")
            self._run("sql", "-r", "csv", "-q", "CALL DOLT_COMMIT('-m', 'write', '--skip-empty')")
            self._ask("HASHOF('HEAD')")
            self._ask("active_branch()")

    def run_sql(self, statement: str) -> None:
        """Run a statement; what it changes goes into the next commit."""
        self._run("sql", "-q", statement)

    def query(self, sql: str) -> pd.DataFrame:
        """Return the rows of one SELECT."""
        if not self._all_calls:
            return self._fetched(sql)
        with self._on_branch():
            found = self._fetched(sql)
            self._ask("HASHOF('HEAD')")
            self._ask("active_branch()")
        return found

    def _fetched(self, sql: str) -> pd.DataFrame:
        with self._file.open("wb") as file:
            self._run("sql", "-r", "csv", "-q", sql, into=file)
        return pd.read_csv(self._file, float_precision="round_trip")

    @contextmanager
    def _on_branch(self) -> Iterator[None]:
        self._ask("HASHOF('HEAD')")
        self._ask("active_branch()")
        self._run("checkout", "main")
        yield
        self._run("checkout", "main")

    def _ask(self, expression: str) -> None:
        self._run("sql", "-r", "csv", "-q", f"SELECT {expression}")

    def _run(self, *args: str, into: Any = subprocess.PIPE) -> str:
        # Dolt reports its use to its makers unless told not to, which is not to be measured here.
        env = os.environ | {"DOLT_DISABLE_EVENT_FLUSH": "1", "NO_COLOR": "1"}
        done = subprocess.run(
            [self._dolt, *args], cwd=self.repository, env=env, stdout=into, stderr=subprocess.PIPE, check=False
        )
        if done.returncode:
            raise RuntimeError(f"dolt {' '.join(args)}: {done.stderr.decode()} {(done.stdout or b'').decode()}")
        return (done.stdout or b"").decode()
