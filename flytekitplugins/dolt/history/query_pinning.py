"""What the moving parts of a query mean now: branches, tags and times become the hashes of commits, for good.

The repository is asked once, when a task starts (`pin`); the statement that comes out means the same forever, and is
what a literal carries. `query.moving_parts` finds the parts and knows no server; nothing here reads rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import RevisionNotFound, attempted
from ..model.sql_text import literal
from ..query import statements, validation
from ..repository import active_content

if TYPE_CHECKING:
    from ..model.configs import Commit
    from ..query.moving_parts import Reference
    from ..query.validation import Query
    from ..repository.connections import Connection

_HEAD = re.compile(r"^HEAD(?=[~^]|\Z)", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def pin(connection: Connection, commit: Commit, sql: str, given: Mapping[str, object] | None = None) -> Query:
    """Return the query that ``sql`` is at ``commit``, where ``connection`` is, with nothing in it that moves.

    What is pinned already stays as it is.

    Raises:
        QueryRefused: it is not one statement that only reads.
        RevisionNotFound: it names a revision, or a time before any commit, that the repository does not hold.
        TableRedirected: it may read rows of somewhere else than these commits.
    """
    query = validation.parse(sql, database=connection.database, given=given)
    if query.double_quoted:
        _check_double_quotes(connection, sql)
    if not query.references and not query.fixed:
        _refuse_elsewhere(connection, commit, query.sql)
        return query
    pinned = query.pinned(_Now(connection, commit).meanings(query))
    _refuse_elsewhere(connection, commit, pinned)
    left = validation.names(pinned)
    return validation.parse(
        pinned,
        database=connection.database,
        given={name: value for name, value in (given or {}).items() if name in left},
    )


def _refuse_elsewhere(connection: Connection, commit: Commit, sql: str) -> None:
    """Raise if a pinned query may read rows of somewhere else than the commits that it names."""
    for revision in dict.fromkeys([commit.hash, *validation.commits(sql)]):
        try:
            found = active_content.rules_at(connection, revision)
        except RevisionNotFound:  # a text that only looks like a commit
            continue
        if found:
            tables = validation.plain_tables(sql, own=commit.hash, commit=revision)
            with connection.at(revision):
                active_content.refuse_query(connection, found, tables, where=f"at commit {revision}")


def _check_double_quotes(connection: Connection, sql: str) -> None:
    """Refuse texts in double quotes where the server takes them for names, which end elsewhere.

    Asked for the mode of new sessions, too: rows in bulk come through one.
    """
    for modes in connection.query("SELECT @@SESSION.sql_mode, @@GLOBAL.sql_mode")[0]:
        if {"ANSI_QUOTES", "ANSI"} & set(str(modes).upper().split(",")):
            raise statements.refused(
                sql,
                "it has double quotes, which hold names on this server (its sql_mode is ANSI_QUOTES)",
                "Write texts in single quotes, and names in backticks",
                piece='"',
            )


class _Now:
    """The repository at one moment: the same name is the same commit throughout a query."""

    def __init__(self, connection: Connection, commit: Commit) -> None:
        self._connection = connection
        self._commit = commit
        self._hashes: dict[str, str] = {}
        self._clock: tuple[str, str, str] | None = None

    def meanings(self, query: Query) -> list[str]:
        return [self._meaning(reference) for reference in query.references]

    def _meaning(self, reference: Reference) -> str:
        kind, names = reference.kind, reference.names
        if kind == "query":
            assert reference.inner is not None  # noqa: S101  # for the type checker: this kind has one
            return literal(reference.inner.pinned(self.meanings(reference.inner)))
        if kind == "branch":
            return literal(self._commit.branch) if self._commit.branch is not None else "NULL"
        if kind in ("clock", "day", "timer", "epoch"):
            return self._time(kind, *names)
        if kind == "time":
            return literal(self._at_time(*names))
        hashes = [self._hash(name) for name in names]
        if kind == "merge_base":
            return literal(self._merge_base(*hashes))
        if kind == "state":
            return literal(self._state(*hashes))
        if reference.dots == "...":  # Dolt cannot look for the common commit where no branch is
            hashes[0] = self._merge_base(*hashes)
        return literal(("^" if kind == "without" else "") + "..".join(hashes))

    def _hash(self, name: str) -> str:
        """Return the commit that ``AS OF`` finds under this name."""
        if name not in self._hashes:
            # At a commit, HEAD is that of the checked-out branch to Dolt 1.83.
            meant = _HEAD.sub(self._commit.hash, name)
            rows = self._connection.query("SELECT commit_hash FROM dolt_log AS OF %s LIMIT 1", meant)
            self._hashes[name] = str(rows[0][0])
        return self._hashes[name]

    def _at_time(self, expression: str) -> str:
        """Return the last commit before the time, or of the name, that an SQL expression gives.

        Not asked with AS OF, which looks from the head of the checked-out branch and not from the commit.
        """
        value = self._connection.query(f"SELECT {expression}")[0][0]
        if not isinstance(value, datetime) and not _TIME.match(str(value)):
            return self._hash(str(value))
        with self._connection.at(None):  # on a revision this takes rights on all databases
            rows = self._connection.query(
                "SELECT commit_hash FROM DOLT_LOG(%s) WHERE date <= CAST(%s AS DATETIME(6)) LIMIT 1",
                self._commit.hash,
                str(value),
            )
        if not rows:
            raise RevisionNotFound(
                f"Cannot {attempted()}: there is no commit as early as {expression}. Name a later time.",
                revision=expression,
            )
        return str(rows[0][0])

    def _merge_base(self, left: str, right: str) -> str:
        with self._connection.at(None):
            found = self._connection.query("SELECT DOLT_MERGE_BASE(%s, %s)", left, right)
        return str(found[0][0])

    def _state(self, commit: str) -> str:
        with self._connection.at(commit):
            found = self._connection.query("SELECT DOLT_HASHOF_DB()")
        return str(found[0][0])

    def _time(self, kind: str, zone: str, digits: str) -> str:
        here, utc, epoch = self._clock or self._look_at_the_clock()
        now = (utc if zone else here).ljust(26, "0")
        end = 20 + int(digits) if int(digits) else 19
        precision = f"({digits})" if int(digits) else ""
        return {
            "clock": f"CAST('{now[:end]}' AS DATETIME{precision})",
            "day": f"CAST('{now[:10]}' AS DATE)",
            "timer": f"CAST('{now[11:end]}' AS TIME{precision})",
            "epoch": epoch,
        }[kind]

    def _look_at_the_clock(self) -> tuple[str, str, str]:
        asked = "SELECT CAST(NOW(6) AS CHAR), CAST(UTC_TIMESTAMP(6) AS CHAR), CAST(UNIX_TIMESTAMP() AS CHAR)"
        here, utc, epoch = self._connection.query(asked)[0]
        self._clock = str(here), str(utc), str(epoch)
        return self._clock
