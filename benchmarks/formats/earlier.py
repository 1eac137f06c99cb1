"""The earlier plugin's way: a CSV file and `dolt` commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..commands import EarlierCommands
from ..rivals import create
from .versioned_table import VersionedTable


class EarlierWay(VersionedTable):
    """The fewest commands that do what the earlier plugin did: 3 for a write, 1 for a read (it started 12 and 7).

    Its best way is kinder than it was: a primary key, ``-u`` for an upsert, dolt_diff() for changed rows, no reports
    of use, and a table that its user made before, of types that keep the values; by itself it cut float64 to 32 bits.
    A frame that is written again is imported again, as it cannot know.
    """

    name = "earlier way"
    slow = True

    def __init__(self, folder: Path, like: pd.DataFrame) -> None:
        super().__init__(folder, like)
        self._commands = EarlierCommands(folder, all_calls=False)
        self._commands.run_sql(create("t", like))

    @property
    def stored(self) -> Path:
        return self._commands.repository / ".dolt"

    def write_first(self, frame: pd.DataFrame) -> None:
        self._commands.import_rows(frame, "-u")

    def upsert(self, rows: pd.DataFrame) -> None:
        self._commands.import_rows(rows, "-u")

    def write_unchanged(self, frame: pd.DataFrame) -> None:
        self._commands.import_rows(frame, "-r")

    def version(self) -> str:
        return self._commands.head()

    def read(self) -> pd.DataFrame:
        return self._commands.query("SELECT * FROM t")

    def read_version(self, version: str) -> pd.DataFrame:
        return self._commands.query(f"SELECT * FROM t AS OF '{version}'")

    def changed_rows(self, before: str, after: str) -> pd.DataFrame:
        wanted = ", ".join(f"to_{name} AS {name}" for name in self.columns)
        differing = f"dolt_diff('{before}', '{after}', 't')"
        return self._commands.query(f"SELECT {wanted} FROM {differing} WHERE diff_type <> 'removed'")
