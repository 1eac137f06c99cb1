"""Which way rows go: as files that our procedures on the server write, or by SQL. The one place that chooses.

Files are for private servers whose program has the procedures in the version that is known here, and for whole tables
in the order of storage; everything else goes by SQL, and so does what the server answers "use SQL" to. Whoever calls
has to make the same of rows that came either way. ``FLYTE_DOLT_NATIVE=0`` in the environment has all go by SQL.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ConnectionLost, DoltError, attempted
from ..repository.connections import Connection
from ..server import procedures
from . import rows_file
from .progress import shown

if TYPE_CHECKING:
    import pyarrow as pa

    from .fitting import TableSchema

logger = logging.getLogger(__name__)

_USE_SQL = "flyte: use SQL: "
_FEW = 8
"""A table that has so many times the columns that are asked for is read by SQL."""


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
            rows = _exported(connection, table)
        except (DoltError, OSError, rows_file.DamagedFile) as error:
            why = _said(table, error)
        else:
            if rows.column_names == list(existing.sql_types):
                logger.debug("Read %d rows of table %r natively.", rows.num_rows, table)
                return rows.select(list(columns))
            why = "it was changed in this moment"
    logger.debug("Read table %r by SQL: %s.", table, why)
    return None


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
    others = {name: kind for name, kind in existing.sql_types.items() if name not in columns}
    if len(existing.columns) >= _FEW * len(columns):
        return f"{len(columns)} of {len(existing.columns)} columns are asked for"
    long = [name for name, kind in others.items() if kind.partition(" ")[0].endswith(("text", "blob", "json"))]
    return f"column {long[0]!r} is not asked for" if long else None


def _said(table: str, error: Exception) -> str:
    """Return the reason that the server gives for SQL; any other fault is a warning, and no reason not to read."""
    said = str(getattr(error, "server_message", error))
    _, found, why = said.partition(_USE_SQL)
    if not found:
        logger.warning("Table %r could not be read natively, and is read by SQL: %s", table, error)
    return why.rstrip(".") if found else said.rstrip(".")


def _exported(connection: Connection, table: str) -> pa.Table:
    try:
        with connection.read_only_session() as reader, shown(attempted()) as progress:
            rows = _fetched(reader, "CALL flyte_export(%s, %s)", table)
            progress.advance(rows.num_rows, rows.nbytes)
            return rows
    except ConnectionLost:
        connection.forget_reader()
        raise


def _fetched(reader: Connection, call: str, *arguments: object) -> pa.Table:
    """Return the rows that a procedure puts into a file, whose path is its last argument."""
    folder = reader.shared_folder()
    if folder is None:
        raise OSError("the folder of the server's files is gone")
    path = folder / f"{secrets.token_hex(8)}.rows"
    try:
        reader.query(call, *arguments, str(path))
        return rows_file.read(path)
    finally:
        path.unlink(missing_ok=True)
