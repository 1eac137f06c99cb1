"""Raw Dolt: what a script with an open connection does, on the same kind of server as the plugin's."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..rivals import as_frame, create, read_text, select, write_tsv
from .arrow_rows import as_arrow, holds_just
from .served import ServedTable


class RawDolt(ServedTable):
    """Writes are LOAD DATA and DOLT_COMMIT, straight on main, in one transaction; reads are connectorx's.

    Its best way: LOAD DATA is the fastest way in that SQL has, REPLACE makes an upsert of it; Arrow builds the file. Of
    the ways out, connectorx in the text protocol is the fastest from 100,000 rows on, and none is much faster below.
    dolt_diff() walks only what differs. A frame that is written again is read and compared, which is much less work
    than loading it. It knows its types, escapes nothing, checks nothing and takes no lock.
    """

    name = "raw Dolt"

    def __init__(self, folder: Path, like: pd.DataFrame) -> None:
        super().__init__(folder, like)
        self._like = like.head(0)
        self._file = Path(self._place.rows("SELECT @@secure_file_priv")[0][0]) / "bench.tsv"

    def write_first(self, frame: pd.DataFrame) -> None:
        self._place.rows(create("t", frame))
        self._load(frame, "")

    def upsert(self, rows: pd.DataFrame) -> None:
        self._load(rows, "REPLACE")

    def write_unchanged(self, frame: pd.DataFrame) -> None:
        if not holds_just(as_arrow(self.read()), frame):
            raise AssertionError(f"{self.name} does not find the frame unchanged")

    def read(self) -> pd.DataFrame:
        return self._fetched(select(self._like, "t"))

    def read_version(self, version: str) -> pd.DataFrame:
        return self._fetched(select(self._like, f"t AS OF '{version}'"))

    def changed_rows(self, before: str, after: str) -> pd.DataFrame:
        wanted = ", ".join(f"to_{name} AS {name}" for name in self.columns)
        differing = f"dolt_diff('{before}', '{after}', 't')"
        return self._fetched(f"SELECT {wanted} FROM {differing} WHERE diff_type <> 'removed'")

    def _load(self, frame: pd.DataFrame, replace: str) -> None:
        write_tsv(self._file, frame)
        self._place.rows("START TRANSACTION")
        self._place.rows(f"LOAD DATA INFILE '{self._file}' {replace} INTO TABLE t ({', '.join(frame.columns)})")
        self._place.rows("CALL DOLT_COMMIT('-Am', 'write')")
        self._file.unlink()

    def _fetched(self, sql: str) -> pd.DataFrame:
        return as_frame(read_text(self._place, sql), self._like)
