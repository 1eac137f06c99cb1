"""Whether tables that come from other commits are whole where they arrive: keys, constraints, counters, descriptions.

Dolt takes such tables as they are. So a merge, and a table that is put back, ask here before anything is published;
rows that are written go through the server's own checks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ConstraintViolated, QueryFailed, SchemaMismatch, attempted
from ..model.naming import lowered
from ..model.sql_text import quote
from ..repository.connections import Connection
from ..tables import orphans, reading
from . import conflicts
from .conflicts import Conflict


def refuse_broken(connection: Connection) -> None:
    """Raise unless all tables that differ from the head of the branch the connection is on are whole; have them count.

    Raises:
        SchemaMismatch: one cannot be described.
        ConstraintViolated: rows, here or in tables that refer to them, break a constraint.
    """
    tables = changed_tables(connection)
    for conflict in undescribable(connection, tables):
        raise SchemaMismatch(
            f"Cannot {attempted()}: table {conflict.table!r} could not be used, {conflict.description}. Nothing was "
            "changed. Put back the tables or columns first that it needs, or take another state.",
            table=conflict.table,
            problems=[conflict.description],
        )
    count_on(connection, tables)
    broken = broken_constraints(connection)
    if broken:
        raise ConstraintViolated(
            f"Cannot {attempted()}: {'; '.join(map(str, broken))}. Nothing was changed. Change these rows first, or "
            "put back the tables that they refer to.",
            tables=[conflict.table for conflict in broken],
        )


def changed_tables(connection: Connection) -> list[str]:
    """Return the names of the tables of users' that differ from the branch's head, without those that are gone."""
    changed = {str(name) for (name,) in connection.query("SELECT table_name FROM dolt_status")}
    there = connection.query("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
    return sorted(str(name) for name, _ in there if name in changed)


def undescribable(connection: Connection, tables: Sequence[str]) -> list[Conflict]:
    """Return the tables that nobody could read, or no row could be put into, each with the reason."""
    there = {lowered(name) for name in reading.table_names(connection)}
    found = []
    for table in tables:
        problem = _problem(connection, table, there)
        if problem is not None:
            found.append(Conflict(table, "schema", 1, description=problem))
    return found


_REFERS = re.compile(r"^  CONSTRAINT `(?:[^`]|``)*` FOREIGN KEY \(.*\) REFERENCES `((?:[^`]|``)*)` \(", re.M)


def _problem(connection: Connection, table: str, there: set[str]) -> str | None:
    try:
        schema = reading.describe(connection, table)
        connection.query(f"SELECT * FROM {quote(table)} LIMIT 0")
    except QueryFailed as error:
        return f"Dolt says {error.server_message!r} of it"
    if schema is None:
        return None
    referred = [name.replace("``", "`") for name in _REFERS.findall(schema.statement)]
    gone = [name for name in referred if lowered(name) not in there]
    return f"its foreign key refers to table {gone[0]!r}, which is not there" if gone else None


_COUNTER = re.compile(r" AUTO_INCREMENT=(\d+)")


def count_on(connection: Connection, tables: Sequence[str]) -> None:
    """Have the server number new rows of these tables from where the tables themselves say.

    The server keeps the counters in memory, and knows none of a table that was dropped. It lowers none.
    """
    for table in tables:
        schema = reading.describe(connection, table)
        counter = (
            None if schema is None else _COUNTER.search(schema.statement.rpartition("\n")[2].partition(" COMMENT=")[0])
        )
        if counter is not None and schema is not None and any(column.counts for column in schema.columns):
            connection.execute(f"ALTER TABLE {quote(table)} AUTO_INCREMENT={counter[1]}")


def _unseen(connection: Connection) -> list[Conflict]:
    """Return the rows that refer to none, where Dolt would not find them."""
    if orphans.dolt_can_verify(connection):
        return []
    return [Conflict(each.table, "constraints", each.count, (), str(each)) for each in orphans.find(connection)]


def broken_constraints(connection: Connection) -> list[Conflict]:
    """Return what breaks a constraint because of what differs from the branch's head: unique and foreign keys, checks.

    The open transaction is committed before.
    """
    connection.execute("COMMIT")
    connection.execute("START TRANSACTION")
    try:
        unseen = _unseen(connection)
        if not connection.query("CALL DOLT_VERIFY_CONSTRAINTS()")[0][0]:
            return unseen
        return [*unseen, *conflicts.of_constraints(connection)]
    finally:
        connection.execute("ROLLBACK")  # also where all is well: Dolt 1.83 gives tables the comments of the head
