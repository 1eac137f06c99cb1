"""A remote in a folder, the machines that clone it, and what a fresh `dolt clone` of it says that it holds.

The clones of each machine (a pod with a disk of its own) are in a folder of their own. What a test claims is asked of
the `dolt` command line in a new clone, which knows nothing of this package.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dolt_program
import pytest

from flytekitplugins.dolt import DoltConfig, Remote, create_repository
from flytekitplugins.dolt.server import local_server


@dataclass
class RemoteFolder:
    """A remote, and the folder in which its machines and what looks at it are."""

    folder: Path
    machines: list[Path] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path, *, branch: str = "main") -> RemoteFolder:
        """Push a new repository with one branch to the remote ``folder / "remote"``."""
        remote = cls(folder)
        first = create_repository(folder / "first", name="Ann", email="ann@x.org")
        if branch != "main":
            dolt("branch", "-m", "main", branch, cwd=first)
        dolt("remote", "add", "origin", remote.url, cwd=first)
        dolt("push", "origin", branch, cwd=first)
        return remote

    @property
    def path(self) -> Path:
        """The folder that the URL names."""
        return self.folder / "remote"

    @property
    def url(self) -> str:
        """What a config says to get there."""
        return f"file://{self.path}"

    def config(self, table: str | None = "log", *, remote: Remote | None = None, **options: Any) -> DoltConfig:
        """Return a config for a table there."""
        return DoltConfig("foo", table, remote_conf=remote or Remote(self.url), **options)

    def machine(self, name: str) -> Path:
        """Return the folder of the clones of a machine."""
        folder = self.folder / name
        if folder not in self.machines:
            self.machines.append(folder)
        return folder

    @contextmanager
    def on(self, name: str) -> Iterator[Path]:
        """Be on that machine inside the block."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLYTE_DOLT_CLONES", str(self.machine(name)))
            yield self.folder / name

    @contextmanager
    def cloned(self) -> Iterator[Path]:
        """Give a new clone as a user makes one."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            dolt("clone", self.url, "clone", cwd=Path(folder))
            yield Path(folder) / "clone"

    def values(self, query: str) -> list[Any]:
        """Return the first column of what the ``dolt`` command line answers in a new clone."""
        with self.cloned() as clone:
            return values(clone, query)

    def commits(self, branch: str = "main") -> list[str]:
        """Return the hashes of a branch of the remote, newest first."""
        return self.values(f"SELECT commit_hash FROM dolt_log('remotes/origin/{branch}')")

    def rows(self, branch: str = "main", *, table: str = "log") -> list[int]:
        """Return the numbers in a table of the remote."""
        return self.values(f"SELECT number FROM `{table}` AS OF 'remotes/origin/{branch}' ORDER BY number")

    def let_go(self) -> None:
        """Let go of the servers of all clones."""
        for machine in self.machines:
            for clone in clones(machine):
                local_server.release(clone.resolve())


def dolt(*args: str, cwd: Path) -> str:
    """Run the ``dolt`` command line and return what it prints."""
    done = dolt_program.run(*args, cwd=cwd)
    assert done.returncode == 0, f"dolt {' '.join(args)}: {done.stdout}{done.stderr}"
    return done.stdout


def values(repository: Path, query: str) -> list[Any]:
    """Return the first column of what the ``dolt`` command line answers to a query."""
    rows = json.loads(dolt("sql", "-r", "json", "-q", query, cwd=repository) or "{}").get("rows", [])
    return [next(iter(row.values())) for row in rows]


def clones(machine: Path) -> list[Path]:
    """Return the clones that a machine has."""
    return sorted(dolt.parent for dolt in machine.glob("*/[!.]*/.dolt"))


def is_shallow(clone: Path) -> bool:
    """Whether a clone lacks the history before what it has."""
    return (clone / ".dolt" / "noms" / "ghostObjects.txt").exists()
