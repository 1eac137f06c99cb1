"""Which way rows go: as files that our procedures on the server write, or by SQL. The one place that chooses.

Files are for private servers whose program has the procedures in the version that is known here: whole tables in the
order of storage, queries, rows that differ between two commits, and rows that are put into tables or deleted by key.
Everything else goes by SQL, and so does what the server answers "use SQL" to. Whoever calls has to make the same of
rows that came either way.
``FLYTE_DOLT_NATIVE=0`` in the environment has all go by SQL.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConnectionLost, DoltError, attempted
from ..repository.connections import Connection
from ..server import procedures
from . import rows_file
from .progress import shown

if TYPE_CHECKING:
    import pyarrow as pa

    from .fitting import TableSchema

logger = logging.getLogger(__name__)

Mode = Literal["replace", "append", "upsert", "delete"]
Sides = Literal["after", "both"]
"""Whether rows that differ have what they are, or also what they were."""

_USE_SQL = "flyte: use SQL: "
_FEW = 8
"""A table that has so many times the columns that are asked for is read by SQL."""


@dataclass(frozen=True)
class Way:
    """Which way rows went into a table, or out of it."""

    by_sql: str | None = None
    """Why they go by SQL; None where they went natively."""
    rows: int = 0
    """How many went natively: of keys, how many there were."""

    def __str__(self) -> str:
        return "natively" if self.by_sql is None else f"by SQL: {self.by_sql}"


def whole_table(
    connection: Connection,
    table: str,
    existing: TableSchema,
    *,
    columns: Sequence[str],
    order: Sequence[str],
    limit: int | None,
) -> pa.Table | None:
    """Return ``columns`` of all rows in the types of `rows_file`, or None where they are to be read by SQL.

    They come in the order of storage, which is that of the key where there is one. ``order`` is by what they are to be
    sorted, and ``limit`` how many are wanted.
    """
    why = unavailable(connection) or _unfit(existing, columns, order, limit)
    if why is None:
        try:
            _, rows = _fetched(connection, "CALL flyte_export(%s, %s)", table)
        except (DoltError, OSError, rows_file.DamagedFile) as error:
            why = _said(table, error)
        else:
            if rows.column_names == list(existing.sql_types):
                logger.debug("Read %d rows of table %r natively.", rows.num_rows, table)
                return rows.select(list(columns))
            why = "it was changed in this moment"
    logger.debug("Read table %r by SQL: %s.", table, why)
    return None


def query(connection: Connection, statement: str) -> pa.Table | None:
    """Return the rows of a query in the types of `rows_file`, or None where they are to be read by SQL.

    An error of the query's own is found again by SQL, whose words are those that are known.

    Raises:
        ConnectionLost: the server, or its handler of this session, ended; ``in_query`` is set.
    """
    why = unavailable(connection)
    if why is None:
        try:
            _, rows = _fetched(connection, "CALL flyte_query(%s, %s)", statement)
        except (DoltError, OSError, rows_file.DamagedFile) as error:
            why = _asks_for_sql(error)
            if why is None and isinstance(error, ConnectionLost):
                error.in_query = True
                raise
            why = why or str(error)
        else:
            logger.debug("Read %d rows of the query %r natively.", rows.num_rows, statement)
            return rows
    logger.debug("Read the query %r by SQL: %s", statement, why)
    return None


def differing(
    connection: Connection,
    table: str,
    before: str,
    after: str,
    *,
    kinds: Sequence[str],
    sides: Sides,
    limit: int | None,
) -> tuple[tuple[int, ...], pa.Table] | None:
    """Return how many rows of a table differ between two commits, and the first ``limit`` of these ``kinds``.

    The numbers are those of added, modified and removed rows, and of all rows before and after. A row has its kind, all
    columns as they are after, and, of both sides, all as they were before, in the types of `rows_file`. They come in
    the order of the key. None is where they are to be read by SQL: without a key, or with another schema, too.
    """
    why = unavailable(connection)
    if why is None:
        most = -1 if limit is None else limit
        call = "CALL flyte_diff(%s, %s, %s, %s, %s, %s, %s)"
        try:
            counts, rows = _fetched(connection, call, before, after, table, ",".join(kinds), sides, most)
        except (DoltError, OSError, rows_file.DamagedFile) as error:
            why = _said(table, error)
        else:
            logger.debug("Compared table %r natively: %d rows.", table, rows.num_rows)
            return counts, rows
    logger.debug("Compare table %r by SQL: %s.", table, why)
    return None


def put(connection: Connection, table: str, rows: pa.Table, *, mode: Mode, existing: TableSchema | None) -> Way:
    """Put rows into a table, inside the session's transaction; by SQL means that nothing was done, and SQL has to.

    ``replace`` makes them all that the table has, ``append`` adds them, ``upsert`` puts each in the place of that of
    its key, ``delete`` takes those out whose keys they are. ``existing`` is what the table looks like, but for columns
    that were added since; None is one that was just made of the columns of ``rows`` and a key.

    Raises:
        DoltError: the server can do it neither way: its disk is full, say, or it went away.
        NeedsBranch: SQL has to, and only rows may change; nothing was done.
    """
    done, why = 0, unavailable(connection) or _unfit_for_rows(rows, mode, existing)
    if why is None:
        try:
            done = _import(connection, table, rows, mode)
        except DoltError as error:
            why = _asks_for_sql(error)
            if why is None:
                raise
        except (rows_file.NotCarried, OSError) as error:
            why = str(error)
    if why is not None:
        connection.refuse_changes()  # before anything is read for what SQL would do
    way = Way(why, done)
    said = "Deleted by %d keys from table %r %s." if mode == "delete" else "Wrote %d rows into table %r %s."
    logger.debug(said, rows.num_rows, table, way)
    return way


def unavailable(connection: Connection) -> str | None:
    """Say why nothing goes natively on this connection; None means that it may."""
    why = procedures.unknown(connection.rows_version())
    if why is None and connection.shared_folder() is None:
        return "the server shares no folder with us"
    return why


def _unfit(existing: TableSchema, columns: Sequence[str], order: Sequence[str], limit: int | None) -> str | None:
    """Say why what is asked for of a table is read by SQL."""
    if not existing.statement.startswith("CREATE TABLE "):
        return "it is a view"
    if limit is not None:
        return f"no more than {limit} rows are asked for"
    if list(order) not in ([], list(existing.key)):
        return f"it is sorted by {', '.join(order)}"
    if len(existing.columns) >= _FEW * len(columns):
        return f"{len(columns)} of {len(existing.columns)} columns are asked for"
    others = (name for name in existing.sql_types if name not in columns)
    long = next((name for name in others if _is_long(existing.sql_types[name])), None)
    return None if long is None else f"column {long!r} is not asked for"


def _is_long(sql_type: str) -> bool:
    return sql_type.partition(" ")[0].endswith(("text", "blob", "json"))


_RULES = re.compile(r"^  CONSTRAINT |^  `.* (AUTO_INCREMENT|GENERATED ALWAYS|ON UPDATE)\b", re.MULTILINE)


def _unfit_for_rows(rows: pa.Table, mode: Mode, existing: TableSchema | None) -> str | None:
    """Say why rows are put into a table, or deleted, by SQL; the server looks again, and for more."""
    if existing is None:
        return None
    found = _RULES.search(existing.statement)
    if found is not None:
        return f"the table has {found[1] or 'CONSTRAINT'}"
    wanted = existing.key if mode == "delete" else [column.name for column in existing.columns]
    lacking = next((name for name in wanted if name not in rows.column_names), None)
    return None if lacking is None else f"of the table's columns the rows have no {lacking!r}"


def _said(table: str, error: Exception) -> str:
    """Return the reason that the server gives for SQL; any other fault is a warning, and no reason not to read."""
    why = _asks_for_sql(error)
    if why is None:
        logger.warning("Table %r could not be read natively, and is read by SQL: %s", table, error)
    return str(error).rstrip(".") if why is None else why


def _asks_for_sql(error: Exception) -> str | None:
    """Return the reason that the server gives for SQL, None for other errors."""
    said = str(getattr(error, "server_message", ""))
    return said.removeprefix(_USE_SQL) if said.startswith(_USE_SQL) else None


def _fetched(connection: Connection, call: str, *arguments: object) -> tuple[tuple[Any, ...], pa.Table]:
    """Return what a procedure answers, and the rows that it puts into a file, as the user who may only read."""
    try:
        with connection.read_only_session() as reader, shown(attempted()) as progress, _file(reader) as path:
            (answer,) = reader.query(call, *arguments, str(path))
            rows = rows_file.read(path)
            progress.advance(rows.num_rows, rows.nbytes)
            return answer, rows
    except ConnectionLost:
        connection.forget_reader()
        raise


@contextmanager
def _file(connection: Connection) -> Iterator[Path]:
    """Give where a file may be made that the server reads or writes, too; it is gone after the block."""
    folder = connection.shared_folder()
    if folder is None:
        raise OSError("the folder of the server's files is gone")
    path = folder / f"{secrets.token_hex(8)}.rows"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _import(connection: Connection, table: str, rows: pa.Table, mode: Mode) -> int:
    with shown(attempted()) as progress, _file(connection) as path:
        progress.advance(rows.num_rows, rows.nbytes)
        rows_file.write(path, rows)
        if connection.rows_commit is not None:
            return connection.rows_commit.put(table, path, mode)
        ((done,),) = connection.query("CALL flyte_import(%s, %s, %s)", table, str(path), mode)
        connection.said_changed = connection.said_changed or done > 0
        return int(done)
