"""Rows that refer to rows which are not there, asked for without Dolt where Dolt 1.83 cannot be asked.

That is where a table with a foreign key has a VIRTUAL column before it: `DOLT_VERIFY_CONSTRAINTS` misses such rows, and
builds the table's indexes anew, by the wrong column, so that rows are not found by them any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model.naming import lowered
from ..model.sql_text import quote
from ..repository.connections import Connection
from .reading import describe

_FOREIGN_KEYS = (
    "SELECT table_name, constraint_name, referenced_table_name, column_name, referenced_column_name"
    " FROM information_schema.key_column_usage WHERE constraint_schema = DATABASE()"
    " AND referenced_table_name IS NOT NULL ORDER BY table_name, constraint_name, ordinal_position"
)


@dataclass(frozen=True)
class Orphans:
    """Rows of a table that refer to none of another."""

    table: str
    columns: tuple[str, ...]
    parent: str
    count: int

    def __str__(self) -> str:
        columns = ", ".join(map(repr, self.columns))
        return f"{self.count} rows of {self.table!r} refer by {columns} to rows that are not in {self.parent!r}"


def dolt_can_verify(connection: Connection) -> bool:
    """Whether no table with a foreign key has generated columns, in the state that the connection is on."""
    return not any(_computes(connection, table) for table in {table for table, _, _ in _foreign_keys(connection)})


def find(connection: Connection) -> list[Orphans]:
    """Return where there are such rows in tables that differ from the branch's head, or in those that refer to them."""
    changed = {lowered(str(name)) for (name,) in connection.query("SELECT table_name FROM dolt_status")}
    found = [
        Orphans(table, tuple(column for column, _ in pairs), parent, _count(connection, table, parent, pairs))
        for (table, _, parent), pairs in _foreign_keys(connection).items()
        if not changed.isdisjoint((lowered(table), lowered(parent)))
    ]
    return [each for each in found if each.count]


def _foreign_keys(connection: Connection) -> dict[tuple[str, str, str], list[tuple[str, str]]]:
    """Return the pairs of columns of each foreign key, by its table, its name, and the table that it refers to."""
    keys: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for table, name, parent, column, parents in connection.query(_FOREIGN_KEYS):
        keys.setdefault((table, name, parent), []).append((column, parents))
    return keys


def _computes(connection: Connection, table: str) -> bool:
    existing = describe(connection, table)
    return existing is not None and existing.computes


def _count(connection: Connection, table: str, parent: str, pairs: list[tuple[str, str]]) -> int:
    given = " AND ".join(f"c.{quote(column)} IS NOT NULL" for column, _ in pairs)
    same = " AND ".join(f"p.{quote(parents)} = c.{quote(column)}" for column, parents in pairs)
    lacking = f"NOT EXISTS (SELECT 1 FROM {quote(parent)} p WHERE {same})"
    return int(connection.query(f"SELECT COUNT(*) FROM {quote(table)} c WHERE {given} AND {lacking}")[0][0])
