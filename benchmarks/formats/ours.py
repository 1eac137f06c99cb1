"""This plugin, as a task uses it, its server running."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flytekitplugins.dolt import Changes, Commit, DoltConfig, DoltTable, read, write

from ..frames import KEY
from .served import ServedTable


class Ours(ServedTable):
    """`write` and `read` with a primary key, on the repository's own branch.

    Its best way is the only one: a frame that is written again is compared by the plugin, changed rows are read by
    ``changes``. The server runs, and has its user who may only read, which the first read on it makes.
    """

    name = "this plugin"

    def __init__(self, folder: Path, like: pd.DataFrame) -> None:
        super().__init__(folder, like)
        self._repository = str(self._place.repository)
        self._config = DoltConfig(db_path=self._repository, tablename="t", primary_key=[KEY])
        read(DoltConfig(db_path=self._repository, sql="SELECT 1 AS one"))

    def write_first(self, frame: pd.DataFrame) -> None:
        write(self._config, frame)

    def upsert(self, rows: pd.DataFrame) -> None:
        write(DoltConfig(db_path=self._repository, tablename="t", mode="upsert"), rows)

    def write_unchanged(self, frame: pd.DataFrame) -> None:
        write(self._config, frame)

    def read(self) -> pd.DataFrame:
        return read(self._config)

    def read_version(self, version: str) -> pd.DataFrame:
        data = DoltTable(config=self._config).at(Commit(version)).data
        assert data is not None
        return data

    def changed_rows(self, before: str, after: str) -> pd.DataFrame:
        changes = Changes(since=before, until=after, kinds=("added", "modified"), before_values=False)
        found = read(DoltConfig(db_path=self._repository, tablename="t", changes=changes))
        del found["diff_type"]
        return found
