"""What SQLAlchemyTask's select costs on MariaDB and on a Dolt server, beside the transports below and pandas above it.

The task is measured as a whole, from the call to the frame: connection, session, rows, the Parquet file that Flyte
carries, and reading it back. The others make a connection and read, and are spared all that Flyte does.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import connectorx
import pandas as pd
import pyarrow as pa
import pymysql
import sqlalchemy

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask

from . import frames
from .measure import READ_TURNS, Results, Run, Shape, check, timed
from .rivals import Ours, PandasRead, as_frame, create, select

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
import servers  # those that the tests start, each private to a folder

SERVERS = {"SQLAlchemyTask on MariaDB": servers.mariadb, "SQLAlchemyTask on Dolt": servers.dolt}


@dataclass(frozen=True)
class Reader:
    """Somebody who reads the table of a server as a frame; each time on a new connection, as a task has to."""

    server: servers.Server
    like: pd.DataFrame
    name: ClassVar[str]
    exact: ClassVar[bool] = True

    @property
    def uri(self) -> str:
        """The server's URI, without a driver."""
        login = f"{servers.USER}:{quote(servers.PASSWORD, safe='')}"
        return f"mysql://{login}@127.0.0.1:{self.server.port}/{servers.DATABASE}"

    @property
    def sql(self) -> str:
        """The statement."""
        return select(self.like, "bench")

    def read(self) -> pd.DataFrame:
        """Return the rows."""
        raise NotImplementedError


class Task(Reader):
    """The task, as it runs locally and in a container."""

    name = Ours.name

    @cached_property
    def task(self) -> SQLAlchemyTask:
        """The task, made once."""
        return SQLAlchemyTask("bench", self.sql, SQLAlchemyConfig(uri=self.uri), output_schema_type=pd.DataFrame)

    def read(self) -> pd.DataFrame:
        return self.task()


class ReadSql(Reader):
    """pandas' way, which was the earlier plugin's."""

    name = PandasRead.name

    def read(self) -> pd.DataFrame:
        engine = sqlalchemy.create_engine(self.uri.replace("mysql:", "mysql+pymysql:"), poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            return pd.read_sql(self.sql, connection)


class Connectorx(Reader):
    """The fastest transport that knows the types, in the text protocol."""

    name = "raw: connectorx text"

    def read(self) -> pd.DataFrame:
        url = f"{self.uri}?ssl-mode=disabled"
        return as_frame(connectorx.read_sql(url, self.sql, return_type="arrow", protocol="text"), self.like)


class Undecoded(Reader):
    """PyMySQL's rows as bytes, parsed by Arrow."""

    name = "raw: PyMySQL bytes"

    def read(self) -> pd.DataFrame:
        with closing(_connected(self.server)) as connection, connection.cursor() as cursor:
            connection.decoders, connection.use_unicode = {}, False
            cursor.execute(self.sql)
            columns = zip(*cursor.fetchall(), strict=True)
            arrays = (pa.array(column, pa.binary()) for column in columns)
            return as_frame(pa.table(dict(zip(self.like.columns, arrays, strict=True))), self.like)


READERS: tuple[type[Reader], ...] = (Task, ReadSql, Connectorx, Undecoded)


def interleaved(shape: Shape, *, folder: Path, say: Callable[[str], None]) -> Results:
    """Let every reader read in each round, on one server after the other, starting with another one each time."""
    results = Results(shape)
    frame = frames.frame(shape.rows, shape.columns, seed=0)
    for job, start in SERVERS.items():
        if start is servers.mariadb and not shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin"):
            say("no MariaDB on this machine: left out")
            continue
        say(f"{job}: filling the table")
        with _filled(start, folder, frame) as server:
            readers = [kind(server, frame) for kind in READERS]
            for reader in readers:
                check(reader, reader.read(), frame)
            for number in range(shape.rounds * READ_TURNS):
                say(f"{job}, {shape}, turn {number + 1} of {shape.rounds * READ_TURNS}")
                results.runs += [Run(job, r.name, number, timed(r.read), 0) for r in _turn(readers, number)]
    return results


def _turn(readers: list[Reader], number: int) -> list[Reader]:
    start = number % len(readers)
    return readers[start:] + readers[:start]


@contextmanager
def _filled(start: Callable[[Path], Any], folder: Path, frame: pd.DataFrame) -> Iterator[servers.Server]:
    place = folder / start.__name__
    place.mkdir()
    with start(place) as server:
        server.sql(create("bench", frame))
        engine = sqlalchemy.create_engine("mysql+pymysql://", creator=lambda: _connected(server))
        frame.to_sql("bench", engine, if_exists="append", index=False, chunksize=10_000)
        engine.dispose()
        if server.kind == "dolt":
            server.sql("call dolt_commit('-Am', 'rows')")
        yield server


def _connected(server: servers.Server) -> pymysql.connections.Connection[Any]:
    return pymysql.connect(
        host="127.0.0.1",
        port=server.port,
        user=servers.USER,
        password=servers.PASSWORD,
        database=servers.DATABASE,
        ssl_disabled=True,
    )
