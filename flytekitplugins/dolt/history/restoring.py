"""A table put back to what it was at an earlier commit, as a new commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.sql_text import quote
from ..repository import table_names
from ..tables import reading
from . import integrity, publishing
from .publishing import Statements, WriteJob, WriteResult

if TYPE_CHECKING:
    from ..model.configs import Branch, Commit
    from ..model.location import Location
    from ..repository.connections import Connection


def put_back(place: Location, policy: Branch | None, table: str, old: Commit, *, message: str) -> WriteResult:
    """Make the table what it was at the commit ``old``, rows and schema; equal content makes no commit.

    Raises:
        ConstraintViolated: rows, there or in tables that refer to it, would break a constraint; nothing was changed.
        SchemaMismatch: nobody could use it, since it needs another table that is gone; nothing was changed.
        DoltError: as `publishing.write`.
    """

    def work(connection: Connection) -> None:
        stored = table_names.find_table(connection, table)
        if stored is not None and stored != table:  # in the commit that is gone back to it is spelt in another way
            connection.execute(f"DROP TABLE {quote(stored)}")
        if reading.describe(connection, table) is None:
            # Dolt's own way wants the table to be there; it is replaced whole a moment later.
            connection.execute(f"CREATE TABLE {quote(table)} (n INT)")
        connection.execute("CALL DOLT_CHECKOUT(%s, '--', %s)", old.hash, table)
        integrity.refuse_broken(connection)

    return publishing.write(place, policy, WriteJob(table, message, work, Statements(kinds=())))
