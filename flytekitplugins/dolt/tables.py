"""Rows of tables and queries, on a connection that is given: read them as a frame, write a frame as them.

What is read and which commit or branch it is on was decided before (`repository`); what a value looks like in SQL is
decided in `codec`. So this file is the traffic between the two: ask for the columns, fetch or send the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from . import codec
from .engine import Connection
from .errors import DoltError, TableNotFound, close_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def read(connection: Connection, table: str) -> pa.Table:
    """Return all rows of ``table`` in the revision the connection is on; in key order, or in one stable order.

    Raises:
        TableNotFound: there is no such table at that revision.
    """
    attempt = f"read table {table!r}"
    columns = _columns(connection, table)
    if columns is None:
        known = [name for (name,) in connection.rows("SHOW TABLES", attempt=attempt)]
        raise TableNotFound(
            f"Cannot {attempt} at {connection.revision!r}: there is no such table.{close_names(table, known)} The "
            f"tables there are {', '.join(map(repr, known)) or 'none'}.",
            table=table,
            close=known,
        )
    fields = connection.describe(f"SELECT * FROM {codec.quote(table)} WHERE FALSE", attempt=attempt)
    wanted = codec.wanted(fields, columns)
    selected = ", ".join(want.select for want in wanted)
    arrived = connection.arrow(f"SELECT {selected} FROM {codec.quote(table)}", attempt=attempt)
    return codec.restored(arrived, wanted, [field.name for field in fields])


def query(connection: Connection, sql: str) -> pa.Table:
    """Return the rows of one SQL statement, run in the revision the connection is on.

    Raises:
        QueryFailed, TableNotFound, RevisionNotFound: the server refused it.
    """
    attempt = f"run the query {sql!r}"
    statement = sql.strip().rstrip(";").rstrip()
    try:
        # A line of its own, so that a comment at the end of the statement does not swallow the parenthesis; and not
        # LIMIT 0, for which Dolt answers a subquery without any columns.
        fields = connection.describe(f"SELECT * FROM (\n{statement}\n) AS q WHERE FALSE", attempt=attempt)
        names = [field.name for field in fields]
        wanted = codec.wanted(fields)
        if fields and all(want.select == codec.quote(name) for want, name in zip(wanted, names, strict=True)):
            return codec.restored(connection.arrow(statement, attempt=attempt), wanted, names)
    except DoltError:
        pass  # SHOW, DESCRIBE and doubled column names cannot stand in a subquery; a wrong statement fails again
    fields, rows = connection.text_rows(statement, attempt=attempt)
    return codec.from_text(fields, rows)


def write(connection: Connection, table: str, frame: pd.DataFrame, *, key: Sequence[str] | None) -> None:
    """Make ``frame`` the whole content of ``table`` on the branch the connection is on, creating it if it is missing.

    Raises:
        UnsupportedFrame: the frame cannot be stored exactly.
        SchemaMismatch: it does not fit the existing table.
        ConstraintViolated: its rows break a key or another constraint.
    """
    attempt = f"write table {table!r}"
    plan = codec.plan(frame, key=key, existing=_columns(connection, table), table=table)
    if _columns(connection, table) is None:
        connection.run(plan.create(table), attempt=attempt)
    connection.run("START TRANSACTION", attempt=attempt)
    connection.run(f"DELETE FROM {codec.quote(table)}", attempt=attempt)
    if plan.arrow.num_rows:
        _append(connection, table, plan, attempt)
    connection.run("COMMIT", attempt=attempt)


def _append(connection: Connection, table: str, plan: codec.Plan, attempt: str) -> None:
    folder = connection.shared_folder()
    if folder is not None:
        connection.load(table, plan.load_clause(), plan.lines(), folder=folder, attempt=attempt)
        return
    for statement in codec.insert_statements(table, plan.arrow.column_names, plan.values()):
        connection.run(statement, attempt=attempt)


def _columns(connection: Connection, table: str) -> list[codec.Column] | None:
    """Return the columns of an existing table, or None when there is none of that name."""
    try:
        rows = connection.rows(f"SHOW COLUMNS FROM {codec.quote(table)}", attempt=f"describe table {table!r}")
    except TableNotFound:
        return None
    return [codec.Column(name, kind, null == "YES", key == "PRI") for name, kind, null, key, *_ in rows]
