"""Those who are measured: the plugin, the floors below it, and what people used before it.

A rival can write a whole frame as one version, and read the newest or the first one back. All that use the server share
one private server and one repository, each with a table of its own; the earlier plugin's way, which needs the
repository for itself, has its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import connectorx
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pymysql
import sqlalchemy
from sqlalchemy.dialects import mysql

from flytekitplugins.dolt import Commit, DoltConfig, DoltTable, create_repository, read, write
from flytekitplugins.dolt.server import local_server

from .commands import EarlierCommands
from .frames import KEY

WRITES = ("write", "unchanged", "scattered", "together")
READS = ("read", "older")
JOBS = WRITES + READS

_SQL_TYPES = {"i": "bigint", "f": "double", "M": "datetime(6)", "b": "tinyint(1)"}
_ALCHEMY_TYPES: dict[str, Any] = {
    "i": mysql.BIGINT(),
    "f": mysql.DOUBLE(),
    "M": mysql.DATETIME(fsp=6),
    "b": mysql.TINYINT(1),
}


@dataclass(frozen=True)
class Place:
    """A temporary folder with a repository in it, and an open connection to the private server of that repository."""

    folder: Path
    repository: Path
    address: local_server.Address
    raw: pymysql.connections.Connection[Any]
    first_start_s: float

    def rows(self, sql: str) -> tuple[tuple[Any, ...], ...]:
        """Run one statement and return its rows."""
        with self.raw.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchall())

    def url(self, scheme: str, options: str) -> str:
        """Return the address of the repository's database as drivers want it."""
        at = self.address
        return f"{scheme}://{at.user}:{at.password}@{at.host}:{at.port}/{self.repository.name}?{options}"


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Give a fresh repository in ``folder`` and keep its server alive inside the block."""
    repository = create_repository(folder.resolve() / "bench", name="Bench", email="bench@localhost")
    began = time.perf_counter()
    try:
        with local_server.using(repository) as address:
            first_start_s = time.perf_counter() - began
            with _connected(address, repository.name) as raw:
                yield Place(folder, repository, address, raw, first_start_s)
    finally:
        local_server.release(repository)
        _await_end(repository)


def _connected(address: local_server.Address, database: str) -> pymysql.connections.Connection[Any]:
    return pymysql.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        database=database,
        ssl_disabled=True,
        autocommit=None,
    )


def _await_end(repository: Path) -> None:
    """Wait until the server has let go of its folder, which is about to be removed."""
    deadline = time.monotonic() + 30
    while (repository / ".dolt" / "sql-server.info").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


class Rival:
    """Base of the rivals; each says by ``jobs`` what it takes part in."""

    name: ClassVar[str]
    jobs: ClassVar[tuple[str, ...]] = JOBS
    slow: ClassVar[bool] = False
    """Takes part in a few rounds only, or the run would be about nothing else."""
    exact: ClassVar[bool] = True
    """All columns come back as they were; otherwise only the key and the text are looked at."""
    reads_of: ClassVar[str | None] = None
    """Whose table it reads; None is its own."""

    def __init__(self, place: Place, like: pd.DataFrame) -> None:
        self.place = place
        self.like = like

    @property
    def stored(self) -> Path:
        """The folder that grows with each version."""
        return self.place.repository / ".dolt"

    def head(self) -> str | None:
        """Return the newest version, or None where there are none."""
        # After DOLT_COMMIT in a transaction a session goes on seeing that state, until it ends the transaction.
        self.place.rows("ROLLBACK")
        return str(self.place.rows("SELECT hash FROM dolt_branches WHERE name = 'main'")[0][0])

    def write(self, frame: pd.DataFrame) -> None:
        """Make the frame the newest version."""
        raise NotImplementedError

    def read(self) -> pd.DataFrame:
        """Return the newest version."""
        raise NotImplementedError

    def older(self, version: str) -> pd.DataFrame:
        """Return the version of that name."""
        raise NotImplementedError


class Ours(Rival):
    """The plugin itself, warm."""

    name = "this plugin"

    def __init__(self, place: Place, like: pd.DataFrame) -> None:
        super().__init__(place, like)
        self._config = DoltConfig(db_path=str(place.repository), tablename="ours", primary_key=[KEY])

    def write(self, frame: pd.DataFrame) -> None:
        write(self._config, frame)

    def read(self) -> pd.DataFrame:
        return read(self._config)

    def older(self, version: str) -> pd.DataFrame:
        data = DoltTable(config=self._config).at(Commit(version)).data
        assert data is not None
        return data


class RawWrite(Rival):
    """The floor of writing: one file, one transaction, straight on main, knowing its values and checking none."""

    name = "raw: LOAD DATA"
    jobs = WRITES

    def __init__(self, place: Place, like: pd.DataFrame) -> None:
        super().__init__(place, like)
        place.rows(create("raw", like))
        place.rows("CALL DOLT_COMMIT('-Am', 'table')")
        self._file = Path(place.rows("SELECT @@secure_file_priv")[0][0]) / "bench.tsv"

    def write(self, frame: pd.DataFrame) -> None:
        write_tsv(self._file, frame)
        self.place.rows("START TRANSACTION")
        self.place.rows("DELETE FROM raw")
        self.place.rows(f"LOAD DATA INFILE '{self._file}' INTO TABLE raw ({', '.join(frame.columns)})")
        self.place.rows("CALL DOLT_COMMIT('-Am', 'write', '--skip-empty')")
        self._file.unlink()

    def read(self) -> pd.DataFrame:
        return as_frame(_connectorx(self.place, select(self.like, "raw"), "binary"), self.like)


class RawRead(Rival):
    """The floor of reading by one transport: one SELECT of the plugin's own table, then Arrow to pandas."""

    jobs = READS
    reads_of = Ours.name

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of one SELECT."""
        raise NotImplementedError

    def read(self) -> pd.DataFrame:
        return as_frame(self.fetch(select(self.like, "ours")), self.like)

    def older(self, version: str) -> pd.DataFrame:
        return as_frame(self.fetch(select(self.like, f"ours AS OF '{version}'")), self.like)


class BinaryRead(RawRead):
    """Through connectorx in the binary protocol."""

    name = "raw: connectorx binary"

    def fetch(self, sql: str) -> pa.Table:
        return _connectorx(self.place, sql, "binary")


class TextRead(RawRead):
    """Through connectorx in the text protocol."""

    name = "raw: connectorx text"

    def fetch(self, sql: str) -> pa.Table:
        return _connectorx(self.place, sql, "text")


class HalvesRead(RawRead):
    """Through two connections at once, half of the keys each: not a single state if somebody writes meanwhile."""

    name = "raw: connectorx, halves"

    def fetch(self, sql: str) -> pa.Table:
        middle = len(self.like) // 2
        return _connectorx(self.place, [f"{sql} WHERE {KEY} < {middle}", f"{sql} WHERE {KEY} >= {middle}"], "text")


class BytesRead(RawRead):
    """Through the connection that is open already: what the server printed, parsed by Arrow."""

    name = "raw: PyMySQL bytes"

    def fetch(self, sql: str) -> pa.Table:
        raw = self.place.raw
        kept, raw.decoders, raw.use_unicode = raw.decoders, {}, False
        try:
            columns = zip(*self.place.rows(sql), strict=True)
            return pa.table(dict(zip(self.like.columns, (pa.array(c, pa.binary()) for c in columns), strict=True)))
        finally:
            raw.decoders, raw.use_unicode = kept, True


class EarlierShort(Rival):
    """The earlier plugin's way at its shortest: a CSV file, and one `dolt` process for each step that has to be."""

    name = "earlier way, shortest"
    jobs = ("write", "unchanged", *READS)  # it imports the whole table whatever changed in it
    slow = True
    exact = False  # it makes 32-bit FLOAT of float64, text of datetimes and integers of booleans
    all_calls: ClassVar[bool] = False

    def __init__(self, place: Place, like: pd.DataFrame) -> None:
        super().__init__(place, like)
        self._commands = EarlierCommands(place.folder / type(self).__name__, all_calls=self.all_calls)
        self._mode = "-c"

    @property
    def stored(self) -> Path:
        return self._commands.repository / ".dolt"

    def head(self) -> str | None:
        return self._commands.head()

    def write(self, frame: pd.DataFrame) -> None:
        self._commands.import_rows(frame, self._mode)
        self._mode = "-r"

    def read(self) -> pd.DataFrame:
        return self._commands.query("SELECT * FROM t")

    def older(self, version: str) -> pd.DataFrame:
        return self._commands.query(f"SELECT * FROM t AS OF '{version}'")


class Earlier(EarlierShort):
    """The earlier plugin's way with as many `dolt` processes as it really started: 12 for a write, 7 for a read."""

    name = "earlier way, all its calls"
    all_calls = True


class Pandas(Rival):
    """pandas' own way to a database, with a commit behind it and types that keep the values."""

    name = "pandas to_sql (PyMySQL)"
    jobs = ("write",)
    slow = True

    def __init__(self, place: Place, like: pd.DataFrame) -> None:
        super().__init__(place, like)
        place.rows(create("pandas", like))
        place.rows("CALL DOLT_COMMIT('-Am', 'table')")
        self._engine = sqlalchemy.create_engine(
            place.url("mysql+pymysql", "charset=utf8mb4"), connect_args={"ssl_disabled": True}
        )
        self._types = {name: _ALCHEMY_TYPES.get(like[name].dtype.kind, mysql.VARCHAR(12)) for name in like.columns}

    def write(self, frame: pd.DataFrame) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM pandas")
            frame.to_sql("pandas", connection, if_exists="append", index=False, dtype=self._types, chunksize=10_000)
            connection.exec_driver_sql("CALL DOLT_COMMIT('-Am', 'write', '--skip-empty')")

    def read(self) -> pd.DataFrame:
        with self._engine.connect() as connection:
            return pd.read_sql(select(self.like, "pandas"), connection)


class PandasRead(Rival):
    """pandas' own way to read, of the plugin's own table."""

    name = "pandas read_sql (PyMySQL)"
    jobs = READS
    slow = True
    reads_of = Ours.name

    def __init__(self, place: Place, like: pd.DataFrame) -> None:
        super().__init__(place, like)
        url = place.url("mysql+pymysql", "charset=utf8mb4")
        self._engine = sqlalchemy.create_engine(url, connect_args={"ssl_disabled": True})

    def read(self) -> pd.DataFrame:
        return self._query(select(self.like, "ours"))

    def older(self, version: str) -> pd.DataFrame:
        return self._query(select(self.like, f"ours AS OF '{version}'"))

    def _query(self, sql: str) -> pd.DataFrame:
        with self._engine.connect() as connection:
            return pd.read_sql(sql, connection)


class Parquet(Rival):
    """A file: the yardstick of what the rows weigh, without versions, server or SQL."""

    name = "Parquet file"
    jobs = ("write", "read")

    @property
    def stored(self) -> Path:
        return self.place.folder / "parquet"

    def head(self) -> str | None:
        return None

    def write(self, frame: pd.DataFrame) -> None:
        self.stored.mkdir(exist_ok=True)
        frame.to_parquet(self.stored / "t.parquet")

    def read(self) -> pd.DataFrame:
        return pd.read_parquet(self.stored / "t.parquet")


RAW_READS: tuple[type[RawRead], ...] = (BinaryRead, TextRead, HalvesRead, BytesRead)
RIVALS: tuple[type[Rival], ...] = (Ours, RawWrite, *RAW_READS, EarlierShort, Earlier, Pandas, PandasRead, Parquet)


def write_tsv(file: Path, frame: pd.DataFrame) -> None:
    """Write the frame as LOAD DATA reads it, nothing escaped."""
    with file.open("wb") as out:
        for start in range(0, len(frame), 100_000):
            out.write(_tsv(frame.iloc[start : start + 100_000]))


def read_text(place: Place, sql: str) -> pa.Table:
    """Return the rows of one SELECT, by connectorx in the text protocol."""
    return _connectorx(place, sql, "text")


def _connectorx(place: Place, sql: str | list[str], protocol: Literal["binary", "text"]) -> pa.Table:
    url = place.url("mysql", "ssl-mode=disabled")
    return connectorx.read_sql(url, sql, return_type="arrow", protocol=protocol)


def create(table: str, like: pd.DataFrame) -> str:
    """Return the statement that makes a table for such a frame."""
    types = ", ".join(f"{name} {_SQL_TYPES.get(like[name].dtype.kind, 'varchar(12)')}" for name in like.columns)
    return f"CREATE TABLE {table} ({types}, PRIMARY KEY ({KEY}))"


def select(like: pd.DataFrame, table: str) -> str:
    """Return the statement that reads the columns of such a frame."""
    return f"SELECT {', '.join(like.columns)} FROM {table}"


def _tsv(frame: pd.DataFrame) -> pa.Buffer:
    texts = [_text(pa.Array.from_pandas(frame[name])) for name in frame.columns]
    texts[-1] = pc.binary_join_element_wise(texts[-1], "", "\n")
    return pc.binary_join_element_wise(*texts, "\t").buffers()[2]


def _text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return (whole.cast(pa.int8()) if pa.types.is_boolean(whole.type) else whole).cast(pa.string())


def as_frame(table: pa.Table, like: pd.DataFrame) -> pd.DataFrame:
    """Return what a transport brought as a frame: bytes are parsed, 0 and 1 are booleans where they were."""
    for number, name in enumerate(table.column_names):
        column = table.column(number)
        if pa.types.is_binary(column.type):
            table = table.set_column(number, name, _parsed(column.cast(pa.string()), like[name].dtype.kind))
        elif like[name].dtype.kind == "b":
            table = table.set_column(number, name, column.cast(pa.bool_()))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _parsed(text: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    if kind == "b":
        return pc.equal(text, "1")
    wanted = {"i": pa.int64(), "f": pa.float64(), "M": pa.timestamp("us")}.get(kind)
    return text if wanted is None else text.cast(wanted)
