"""What every rival can do: one table with a key, whose versions are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import pandas as pd


class VersionedTable(ABC):
    """One rival's table in an empty folder. A row belongs to its key, `frames.KEY`; rows may come back in any order."""

    name: ClassVar[str]
    slow: ClassVar[bool] = False
    """Takes part in the first rounds only, or the run would be about nothing else."""

    def __init__(self, folder: Path, like: pd.DataFrame) -> None:
        """Make what stands before the first write (a repository, a catalog) for frames with the columns of ``like``."""
        self.folder = folder
        self.columns = list(like.columns)

    @property
    def stored(self) -> Path:
        """The folder that grows with each version."""
        return self.folder

    @property
    def server(self) -> int | None:
        """The process that serves the table, or None where it is this one, or processes that it starts."""
        return None

    @abstractmethod
    def write_first(self, frame: pd.DataFrame) -> None:
        """Make the table, with these rows as its first version."""

    @abstractmethod
    def upsert(self, rows: pd.DataFrame) -> None:
        """Make a version in which these rows are added, or stand in place of those with their keys."""

    @abstractmethod
    def write_unchanged(self, frame: pd.DataFrame) -> None:
        """Find out that the table holds just these rows (in the order of their keys), and make no version."""

    @abstractmethod
    def version(self) -> str:
        """Return the name of the newest version."""

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """Return the rows of the newest version."""

    @abstractmethod
    def read_version(self, version: str) -> pd.DataFrame:
        """Return the rows of the version of that name."""

    @abstractmethod
    def changed_rows(self, before: str, after: str) -> pd.DataFrame:
        """Return the rows of version ``after`` that were not there, or were others, in version ``before``."""

    def close(self) -> None:  # noqa: B027  # most have nothing to let go of
        """Let go of the folder."""
