"""What this plugin and raw Dolt have in common: a repository of their own, whose server is running."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from ..rivals import place
from .versioned_table import VersionedTable


class ServedTable(VersionedTable):
    """A table on ``main`` of a new repository; the commits are its versions."""

    def __init__(self, folder: Path, like: pd.DataFrame) -> None:
        super().__init__(folder, like)
        self._open = ExitStack()
        self._place = self._open.enter_context(place(folder))

    @property
    def stored(self) -> Path:
        return self._place.repository / ".dolt"

    @property
    def server(self) -> int | None:
        return self._place.address.pid

    def version(self) -> str:
        self._place.rows("ROLLBACK")  # the session goes on seeing what it saw, until its transaction ends
        return str(self._place.rows("SELECT hash FROM dolt_branches WHERE name = 'main'")[0][0])

    def close(self) -> None:
        self._open.close()
