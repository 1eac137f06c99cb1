"""What a deck shows of a table, asked of its repository: the commit, what it changed, how the table grew.

Bounded in rows and statements, so that a deck costs little beside what it shows; looks only. `flyte` calls it for
tasks with decks switched on, `page` turns the answer into a page.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from ..api import versions
from ..api.table import DoltTable
from ..errors import attempting
from ..history import diffs, lineages, table_log
from ..history.lineages import Lineage
from ..model import provenance
from ..model.configs import Commit, DoltConfig
from ..model.sql_text import quote
from ..profiles import shifts
from ..profiles.columns import drawn_rows, taken
from ..repository import refs, remotes, table_names
from ..repository.connections import connect
from ..tables import profiling, reading
from .page import MAX_ROWS, Card, Size

if TYPE_CHECKING:
    from ..history.diffs import TableDiff
    from ..profiles.shifts import ColumnShift, Shift, Side
    from ..repository.connections import Connection

logger = logging.getLogger(__name__)

STEPS = 100
"""How many commits what a table was made of goes back."""

VERSIONS = 12
"""How many versions of a table the line of its sizes goes back."""

MAX_READ = 5_000_000
"""The most values of a table that are read natively to see how its columns have moved: rows by columns."""

MAX_READ_BY_SQL = 500_000
"""The most that are read by SQL."""

MAX_COMPARED = 250_000
"""The most of them that are compared; of more rows a part is drawn."""

LEAST_SAMPLE = 1_000
"""How many rows are drawn at least, however many columns there are."""

MAX_COLUMNS_COMPARED = 100
"""The most columns that are compared."""

LEAST_ROWS = 20
"""How many rows both states have to have: fewer are better read than drawn."""

LEAST_CHANGED = 0.01
"""The share of the rows that has to differ for columns to be compared."""


def card(table: DoltTable) -> Card:
    """Return what is shown of ``table``, which has to be at a commit.

    Raises:
        DoltError: the repository cannot be asked, or does not hold that commit (any more).
    """
    with attempting(f"show table {table.config.tablename!r}"):
        at = table.commit
        assert at is not None  # noqa: S101  # for the type checker: the caller has looked
        where, given, table = _where(table.config), table, _at_hand(table, at)
        config, commit = table.config, _whole(table.config, at)
        if config.tablename is None:
            return Card("query", where, commit, query=config.sql)
        if _is_view(config, at):
            return Card(config.tablename, where, commit)
        change = diffs.last_change(table, limit=MAX_ROWS)
        changed_by = _last_change(config, commit)
        return Card(
            config.tablename,
            where,
            commit,
            change=change,
            shift=shift_of_deck(config, change, given) if given.rows_went is not None else None,
            history=_sizes(config, at),
            changed_by=changed_by,
            lineage=_lineage(config, changed_by or commit),
            wrote_nothing=given.wrote_nothing,
            missing_keys=given.missing_keys,
            rows_went=given.rows_went,
        )


def shift_of_deck(config: DoltConfig, change: TableDiff, given: DoltTable) -> Shift | str | None:
    """Return how far the columns of a table that was just written have moved, or why that is not shown.

    It costs less than a second, and less than the rows that it reads: of large tables it is that of a sample.
    """
    rows = max(change.rows_before or 0, change.rows_after or 0)
    if change.is_empty or min(change.rows_before or 0, change.rows_after or 0) < LEAST_ROWS:
        return None
    if change.changed < LEAST_CHANGED * rows:
        return f"fewer than {LEAST_CHANGED:.0%} of the rows differ, so shifts of columns are not looked for"
    most = MAX_READ if given.rows_went == "natively" else MAX_READ_BY_SQL
    try:
        with connect(remotes.location_of(config)) as connection:
            return _compared(connection, change, most=most)
    except Exception as error:  # noqa: BLE001  # whatever it is, all else can be shown
        logger.warning("Cannot show how the columns of table %r have moved: %s", change.table, error)
        return f"how the columns have moved cannot be shown: {error}"


def _compared(connection: Connection, change: TableDiff, *, most: int) -> Shift | str:
    names = _columns(connection, change)
    rows = max(change.rows_before or 0, change.rows_after or 0)
    if rows * len(names) > most:
        return f"{rows:,} rows are more than are looked through for a deck: `diff(...).shift()` compares them"
    sample = max(MAX_COMPARED // len(names), LEAST_SAMPLE)
    sides = [_drawn(connection, change.table, commit, names, sample) for commit in (change.before, change.after)]
    found = shifts.between(*sides)
    if rows <= sample:
        return found
    return replace(found, columns=tuple(_with_error(column) for column in found.columns))


def _columns(connection: Connection, change: TableDiff) -> list[str]:
    """Return the columns that are compared, of either side, the first of many."""
    names: dict[str, None] = {}
    for commit in (change.after, change.before):
        assert commit is not None  # noqa: S101  # for the type checker: both sides have rows
        with refs.at_commit(connection, commit):
            existing = reading.describe(connection, change.table)
        names.update(dict.fromkeys([] if existing is None else existing.sql_types))
    return list(names)[:MAX_COLUMNS_COMPARED]


def _drawn(connection: Connection, table: str, commit: Commit | None, names: Sequence[str], sample: int) -> Side:
    assert commit is not None  # noqa: S101  # as above
    with refs.at_commit(connection, commit):
        existing = reading.describe(connection, table)
        there = [name for name in names if existing is not None and name in existing.sql_types]
        side = profiling.side(connection, table, columns=there, sample=None, seed=0)
    drawn = drawn_rows(side.rows, sample, 0)
    if drawn is None:
        return side
    return replace(side, compared=pa.table({name: taken(side.compared.column(name), drawn.rows) for name in there}))


def _with_error(column: ColumnShift) -> ColumnShift:
    """Return a shift of drawn rows with how far it may be from that of all rows."""
    sides = [(side.rows - side.missing, side.distinct) if side else None for side in (column.before, column.after)]
    return replace(column, error=shifts.error_of(column.kind, (sides[0], sides[1])))


def _is_view(config: DoltConfig, at: Commit) -> bool:
    with refs.at(remotes.location_of(config), at) as connection:
        found = table_names.find(connection, str(config.tablename))
    return found is not None and found.is_view


def _where(config: DoltConfig) -> str:
    origin = remotes.origin_of(config)
    return str(config.db_path) if origin is None else str(origin)


def _at_hand(table: DoltTable, at: Commit) -> DoltTable:
    """Return the table as one of the clone where its repository is a remote, which is fetched once at most for that.

    The clone of the task that wrote it holds the commit already, and nothing is fetched then.
    """
    origin = remotes.origin_of(table.config)
    if origin is None:
        return table
    clone = remotes.holding(origin, at, history=True)
    return DoltTable(config=dataclasses.replace(table.config, db_path=str(clone), remote_conf=None)).at(at)


def _whole(config: DoltConfig, at: Commit) -> Commit:
    (commit,) = refs.log(remotes.location_of(config), at.hash, limit=1)
    return dataclasses.replace(commit, branch=at.branch)


def _last_change(config: DoltConfig, at: Commit) -> Commit | None:
    with connect(remotes.location_of(config)) as connection:
        return table_log.last_change(connection, str(config.tablename), at)


def _lineage(config: DoltConfig, made: Commit) -> Lineage | None:
    """Return what a commit was made of; a commit that says that it read nothing costs no question."""
    origin = provenance.parse(made.message)
    if not origin.reads and all(write.mode == "replace" for write in origin.writes):
        return None
    return lineages.lineage(made, db_path=config, direction="up", limit=STEPS)


def _sizes(config: DoltConfig, at: Commit) -> tuple[Size, ...]:
    pinned = dataclasses.replace(config, as_of=at.hash, branch_conf=None, changes=None)
    commits = [found.commit for found in versions.versions(pinned, last=VERSIONS) if found.commit is not None]
    sizes = []
    with connect(remotes.location_of(config)) as connection:
        for commit in reversed(commits):
            counted = f"SELECT COUNT(*) FROM {quote(str(config.tablename))} AS OF %s"
            ((rows,),) = connection.query(counted, commit.hash)
            sizes.append(Size(commit.hash, commit.date, int(rows)))
    return tuple(sizes)
