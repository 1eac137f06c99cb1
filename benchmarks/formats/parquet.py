"""Parquet files, by pyarrow: one for each version."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .arrow_rows import as_arrow, changed, holds_just, upserted
from .versioned_table import VersionedTable


class ParquetFiles(VersionedTable):
    """A whole file for each version, with pyarrow's defaults (snappy, dictionaries).

    Its best way: there is no other that keeps versions without a table format above. An upsert reads the newest file,
    puts the rows in and writes the next; changed rows are found by comparing two files column by column. No lock, no
    log, no schema.
    """

    name = "Parquet files"

    def __init__(self, folder: Path, like: pd.DataFrame) -> None:
        super().__init__(folder, like)
        self._newest = 0

    def write_first(self, frame: pd.DataFrame) -> None:
        self._write(as_arrow(frame))

    def upsert(self, rows: pd.DataFrame) -> None:
        self._write(upserted(self._table(self.version()), as_arrow(rows)))

    def write_unchanged(self, frame: pd.DataFrame) -> None:
        if not holds_just(self._table(self.version()), frame):
            raise AssertionError(f"{self.name} does not find the frame unchanged")

    def version(self) -> str:
        return str(self._newest)

    def read(self) -> pd.DataFrame:
        return self.read_version(self.version())

    def read_version(self, version: str) -> pd.DataFrame:
        return self._table(version).to_pandas()

    def changed_rows(self, before: str, after: str) -> pd.DataFrame:
        return changed(self._table(before), self._table(after)).to_pandas()

    def _write(self, table: pa.Table) -> None:
        self._newest += 1
        pq.write_table(table, self._file(self.version()))

    def _table(self, version: str) -> pa.Table:
        return pq.read_table(self._file(version))

    def _file(self, version: str) -> Path:
        return self.folder / f"{version}.parquet"
