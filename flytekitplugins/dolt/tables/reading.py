"""Rows of tables and queries as Arrow, read on a connection that is given.

Which commit or branch the connection is on was decided before. `result_columns` says how each column is asked for and
what it is on arrival.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from ..codec import arrow_tables, pandas_frames, result_columns, row_order
from ..codec.pandas_frames import Notes
from ..errors import (
    ConnectionLost,
    QueryFailed,
    SchemaMismatch,
    TableNotFound,
    attempted,
    attempting,
    close_names,
)
from ..model.configs import KINDS
from ..model.sql_text import quote
from ..repository import active_content
from ..repository.connections import Connection
from ..repository.hosts import Endpoint
from ..server import local_server
from . import fitting, native, rows_file
from .progress import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

BATCH_ROWS = 65_536
_BLANKS = " \t\r\n"


@dataclass(frozen=True)
class ReadResult:
    """Rows as they arrived, and what was noted about them when they were written."""

    arrow: pa.Table
    notes: Notes

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a frame."""
        return pandas_frames.decode(self.arrow, self.notes, let_go=rows_file.let_go)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table, in the types that were written."""
        return arrow_tables.decode(self.arrow, self.notes)


def read(
    connection: Connection,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    order_by: Sequence[str] | None = None,
    limit: int | None = None,
) -> ReadResult:
    """Return the rows of ``table`` in the revision the connection is on, at most ``limit`` of them.

    They come in the order of ``order_by``, where nothing in it is the order of storage. None is the order that was
    kept, that of the key, or, where there is neither, that of the values in the columns that are read.

    Raises:
        TableNotFound: there is no such table at that revision.
        SchemaMismatch: it has no column of a name in ``columns`` or ``order_by``.
    """
    with attempting(f"read table {table!r}"):
        plan = _plan_read(connection, table, columns, order_by)
        rows = _natively(connection, table, plan, limit=limit)
        if rows is None:
            if limit is not None:
                plan = _of_one_type(connection, table, plan)
                plan = replace(plan, rest=f"{plan.rest} LIMIT {int(limit)}")
            rows = _arrow(connection, quote(table), plan)
        return ReadResult(row_order.sorted_rows(rows, plan.sort_notes) if plan.by_value else rows, plan.notes)


class StoredColumns:
    """The columns of a table that came natively, of which one is made and in memory at a time."""

    def __init__(self, rows: pa.Table, types: Mapping[str, pa.DataType | None], plan: _ReadPlan) -> None:
        assert plan.existing is not None  # noqa: S101  # for the type checker: it is a plan for a table
        self.existing: fitting.TableSchema = plan.existing
        self.notes: Notes = plan.notes
        self._rows, self._types, self._last = rows, types, ""

    @property
    def num_rows(self) -> int:
        """How many rows the table has."""
        return int(self._rows.num_rows)

    @property
    def column_names(self) -> list[str]:
        """The columns that were asked for, in the order of `ReadResult.to_arrow`."""
        order = self.notes.order
        return list(order) if order and set(order) == set(self._types) else list(self._types)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column as it was written; that which was asked for before is let go of."""
        if self._last:
            rows_file.let_go(self._rows.column(self._last))
        self._last = name
        found = result_columns.restored(self._rows.select([name]), [self._types[name]], [name])
        return ReadResult(found, self.notes).to_arrow().column(name)

    def keys(self) -> Iterator[list[pa.Array]]:
        """Give the columns of the key, in the types of files of rows, a batch of rows after the other."""
        key = list(self.existing.key)
        for batch in self._rows.select(key).to_batches():
            yield batch.columns
        for name in key:
            rows_file.let_go(self._rows.column(name))


def stored(connection: Connection, table: str, *, columns: Sequence[str] | None = None) -> StoredColumns | None:
    """Return the columns of ``table`` that `read` gives, in the order of storage; None where they have to go by SQL.

    Raises:
        TableNotFound, SchemaMismatch: as of `read`.
    """
    with attempting(f"read table {table!r}"):
        plan = _plan_read(connection, table, columns, [])
        assert plan.existing is not None  # noqa: S101  # as above
        names = [*plan.names, *(name for name in plan.existing.key if name not in plan.names)]
        rows = native.whole_table(connection, table, plan.existing, columns=names, order=plan.order, limit=None)
        if rows is None:
            return None
        types = result_columns.types_from_file(rows.select(list(plan.names)), plan.types)
        return StoredColumns(rows, dict(zip(plan.names, types, strict=True)), plan)


def select(
    connection: Connection, source: str, columns: Mapping[str, str], *, where: str = "TRUE", limit: int | None = None
) -> pa.Table:
    """Return columns of ``source``, which is what stands behind FROM, as they are stored.

    ``columns`` gives the SQL type of each; ``limit`` is the most rows that are returned, and None is all.
    """
    rest = f" FROM {source} WHERE {where}{'' if limit is None else f' LIMIT {int(limit)}'}"
    plan = _ReadPlan(rest, *_asked(list(columns), columns), times_of(columns), Notes())
    plan = _with_spans(connection, source, plan)
    rows = native.query(connection, plan.statement)
    return result_columns.restored(
        _fetched(connection, plan.statement) if rows is None else rows, plan.types, plan.names
    )


@dataclass(frozen=True)
class Differing:
    """The rows of a table that differ between two commits."""

    counts: Sequence[int]
    """How many were added, modified and removed in all."""
    rows: tuple[int, int]
    """How many rows the table had before, and has after."""
    kinds: pa.ChunkedArray
    """What happened to each row that was fetched: ``added``, ``modified`` or ``removed``."""
    before: pa.Table
    """What it was, NULL where it was added; without columns where that was not asked for."""
    after: pa.Table
    """What it is, NULL where it was removed."""


def differing(
    connection: Connection,
    table: str,
    before: str,
    after: str,
    *,
    sql_types: Mapping[str, str],
    kinds: Sequence[str],
    sides: native.Sides = "both",
    limit: int | None = None,
) -> Differing | None:
    """Return the rows of ``table`` that differ between two commits; None where SQL has to be asked for them.

    ``sql_types`` are its columns, the same at both; ``sides`` says whether the rows have what they were, too. The
    values are those that `select` gives of ``dolt_diff()``.
    """
    if times_of(sql_types) and (limit is not None or len(kinds) < len(KINDS)):
        return None  # rows that are not asked for may hold spans of time
    found = native.differing(connection, table, before, after, kinds=kinds, sides=sides, limit=limit)
    if found is None:
        return None
    (*counts, had, has), arrived = found
    names, wanted = list(sql_types), [result_columns.wanted(sql_type) for sql_type in sql_types.values()]
    rows = result_columns.from_file(arrived, [None, *wanted, *(wanted if sides == "both" else ())])
    now, was = rows.columns[1 : 1 + len(names)], rows.columns[1 + len(names) :]
    before = pa.table(was, names=names) if was else pa.table({})
    return Differing(counts, (had, has), rows.column(0), before, pa.table(now, names=names))


def _asked(
    names: Sequence[str], sql_types: Mapping[str, str]
) -> tuple[list[str], list[pa.DataType | None], Sequence[str]]:
    """Return terms, types and names of columns for a plan."""
    terms = [result_columns.term(name, sql_types[name]) for name in names]
    return terms, [result_columns.wanted(sql_types[name]) for name in names], names


def _natively(connection: Connection, table: str, plan: _ReadPlan, *, limit: int | None = None) -> pa.Table | None:
    """Return the rows that a plan asks for as `_arrow` does, without SQL; None where they have to go by it."""
    assert plan.existing is not None  # noqa: S101  # for the type checker: it is a plan for a table
    rows = native.whole_table(connection, table, plan.existing, columns=plan.names, order=plan.order, limit=limit)
    if rows is None:
        return None
    found = result_columns.from_file(rows, plan.types)
    for column in rows.columns:  # the kernel has mapped more than was looked at
        rows_file.let_go(column)
    return found


def _arrow(connection: Connection, source: str, plan: _ReadPlan) -> pa.Table:
    plan = _with_spans(connection, source, plan)
    return result_columns.restored(_fetched(connection, plan.statement), plan.types, plan.names)


def _of_one_type(connection: Connection, table: str, plan: _ReadPlan) -> _ReadPlan:
    """Return the plan with each column in the type that all values of the table have, whatever part of them is read."""
    types = list(plan.types)
    for position, (name, kind) in enumerate(zip(plan.names, plan.types, strict=True)):
        if kind == pa.bool_():
            others = f"SELECT 1 FROM {quote(table)} WHERE {quote(name)} NOT IN (0, 1) LIMIT 1"
            if connection.query(others):
                types[position] = None
    return replace(plan, types=types)


@contextmanager
def stream(
    connection: Connection,
    table: str,
    *,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    order_by: Sequence[str] | None = None,
    holding: Holding | None = None,
) -> Iterator[Iterator[ReadResult]]:
    """Give the rows of ``table`` as `read` does, ``batch_rows`` at a time, without holding them all.

    Rows that have to come in the order of their values are sorted by the server, which holds all of them for that; an
    ``order_by`` with nothing in it streams them as they are stored.

    ``holding`` is that of who makes frames of them: notes that do not fit all values are left out of every part then,
    which is found out by reading the columns in doubt before.
    """
    with attempting(f"read table {table!r}"):
        plan = _plan_read(connection, table, columns, order_by)
        if holding is not None:
            plan = replace(plan, notes=kept_notes(connection, table, plan.notes, plan.doubtful, holding))
        rows = _natively(connection, table, replace(plan, order=[*plan.order, *plan.by_value]))
        if rows is not None:
            yield _parts(rows, plan.notes, batch_rows)
            return
        plan = _of_one_type(connection, table, plan)
        if plan.by_value:
            plan = replace(plan, rest=f"{plan.rest} ORDER BY {', '.join(plan.by_value)}")
        plan = _with_spans(connection, quote(table), plan)
        with connection.arrow_batches(plan.statement, batch_rows=batch_rows) as batches:
            yield (_part(plan, batch) for batch in batches)


def _parts(rows: pa.Table, notes: Notes, batch_rows: int) -> Iterator[ReadResult]:
    for start in range(0, max(rows.num_rows, 1), batch_rows):
        yield ReadResult(rows.slice(start, batch_rows), notes)


def _part(plan: _ReadPlan, batch: pa.RecordBatch) -> ReadResult:
    return ReadResult(result_columns.restored(pa.Table.from_batches([batch]), plan.types, plan.names), plan.notes)


Holding = Callable[[pa.Table, Notes], Notes]
"""`codec.holding` or that of `arrow`."""


def settled(connection: Connection, table: str, *, columns: Sequence[str] | None, holding: Holding) -> Notes:
    """Return the notes of a table that fit all its values, so that each part of it is read in the same types."""
    with attempting(f"read table {table!r}"):
        plan = _plan_read(connection, table, columns, [])
        return kept_notes(connection, table, plan.notes, plan.doubtful, holding)


def kept_notes(connection: Connection, table: str, notes: Notes, names: Sequence[str], holding: Holding) -> Notes:
    """Return the notes that fit the values of all columns in ``names``, which are read for that."""
    if names:
        with stream(connection, table, batch_rows=BATCH_ROWS, columns=names, order_by=[]) as parts:
            for part in parts:
                notes = holding(part.arrow, notes)
    return notes


@dataclass(frozen=True)
class _ReadPlan:
    rest: str
    """The statement from its FROM on."""
    terms: Sequence[str]
    """The select list."""
    types: Sequence[pa.DataType | None]
    """What `result_columns.restored` makes of the columns."""
    names: Sequence[str]
    times: Sequence[str]
    """Columns of the type TIME."""
    notes: Notes
    doubtful: Sequence[str] = ()
    """Columns about which only the values say whether the notes fit."""
    by_value: Sequence[str] = ()
    """Where the rows have no order of their own: what the server would sort them by."""
    sort_notes: Notes = field(default_factory=Notes)
    """All notes of the table, also where only some columns are read."""
    existing: fitting.TableSchema | None = None
    """The table, where it is all of one that is read."""
    order: Sequence[str] = ()
    """The columns by which it is sorted."""

    @property
    def statement(self) -> str:
        """The statement as it is sent."""
        return f"SELECT {', '.join(self.terms)}{self.rest}"


def have_spans(connection: Connection, source: str, times: Sequence[str]) -> bool:
    """Whether one of these TIME columns of ``source`` holds something else than a time of day.

    All of them are read as spans of time then.
    """
    conditions = " OR ".join(f"{quote(name)} < '00:00:00' OR {quote(name)} >= '24:00:00'" for name in times)
    return bool(connection.query(f"SELECT 1 FROM {source} WHERE {conditions} LIMIT 1"))


def _with_spans(connection: Connection, source: str, plan: _ReadPlan) -> _ReadPlan:
    """Return the plan with TIME columns as spans of time, where one of them holds something else than a time of day."""
    if not plan.times or not have_spans(connection, source, plan.times):
        return plan
    types = [None if name in plan.times else kind for name, kind in zip(plan.names, plan.types, strict=True)]
    return replace(plan, types=types)


def _plan_read(
    connection: Connection, table: str, columns: Sequence[str] | None, order_by: Sequence[str] | None
) -> _ReadPlan:
    existing = describe(connection, table)
    if existing is None:
        raise _no_such_table(connection, table)
    sql_types = existing.sql_types
    check_columns(table, [*(columns or ()), *(order_by or ())], list(sql_types))
    noted = Notes.from_comment(existing.comment, table=table)[0]
    names, notes = _chosen(columns, list(sql_types), noted)
    chosen = {name: sql_types[name] for name in names}
    _refuse_shapes(table, chosen)
    by_value: Sequence[str] = ()
    if order_by is None:
        order_by = _order_that_was_kept(existing, noted)
        by_value = () if order_by else _order_of_values(existing, names, noted)
    ordered = f" ORDER BY {', '.join(map(quote, order_by))}" if order_by else ""
    rest = f" FROM {quote(table)}{ordered}"
    doubtful = fitting.doubtful(notes, existing.columns, names)
    asked = _asked(names, chosen)
    return _ReadPlan(rest, *asked, times_of(chosen), notes, doubtful, by_value, noted, existing, order_by)


def _order_that_was_kept(existing: fitting.TableSchema, notes: Notes) -> Sequence[str]:
    return [pandas_frames.ROW_COLUMN] if notes.rows and pandas_frames.ROW_COLUMN in existing.sql_types else []


def _order_of_values(existing: fitting.TableSchema, names: Sequence[str], notes: Notes) -> Sequence[str]:
    """Return what sorts a table that has no key; nothing for one that has, and for a view."""
    if existing.key or not existing.statement.startswith("CREATE TABLE "):
        return ()
    return row_order.order_terms(existing.sql_types, names, notes)


def _refuse_shapes(table: str, sql_types: Mapping[str, str]) -> None:
    """Raise if there is a column of geometry, for which there is no value in frames.

    Raises:
        SchemaMismatch: there is.
    """
    found = {name: sql_type for name, sql_type in sql_types.items() if result_columns.is_geometry(sql_type)}
    if found:
        name = next(iter(found))
        told = ", ".join(f"{name!r} is of the type {sql_type}" for name, sql_type in found.items())
        raise SchemaMismatch(
            f"Cannot {attempted()}: in all rows {told}, which no frame can hold. Leave it out, with columns=[...], or "
            f"read it as text by a query, with ST_AsWKT({quote(name)}).",
            table=table,
            problems=list(found),
        )


def table_names(connection: Connection) -> list[str]:
    """Return the names of the tables and views in the revision the connection is on."""
    return [str(name) for (name,) in connection.query("SHOW TABLES")]


def _no_such_table(connection: Connection, table: str) -> TableNotFound:
    known = table_names(connection)
    return TableNotFound(
        f"Cannot {attempted()} at {connection.revision!r}: there is no such table.{close_names(table, known)} The "
        f"tables there are {', '.join(map(repr, known)) or 'none'}.",
        table=table,
        close=known,
    )


def _chosen(columns: Sequence[str] | None, there: list[str], notes: Notes) -> tuple[list[str], Notes]:
    """Return the columns to read, all of the user's where none are asked for, and the notes that hold then."""
    if columns is None:
        return [name for name in there if not (notes.rows and name == pandas_frames.ROW_COLUMN)] or there, notes
    index = notes.index if set(notes.index) <= set(columns) else ()
    return list(columns), replace(notes, index=index, order=())


def columns_of(existing: fitting.TableSchema, columns: Sequence[str] | None) -> list[str]:
    """Return the columns that `read` gives of a table of which these are asked for."""
    return _chosen(columns, list(existing.sql_types), Notes.from_comment(existing.comment)[0])[0]


def times_of(columns: Mapping[str, str]) -> list[str]:
    """Return the TIME columns of those with these SQL types."""
    return [name for name, sql_type in columns.items() if pandas_frames.SqlType.parse(sql_type).base == "time"]


def check_columns(table: str, asked: Sequence[str], known: Sequence[str]) -> None:
    """Raise unless all columns in ``asked`` are ``known``.

    Raises:
        SchemaMismatch: one is not.
    """
    absent = [name for name in asked if name not in known]
    if absent:
        raise SchemaMismatch(
            f"Cannot read {', '.join(map(repr, absent))} from table {table!r}: it has the columns "
            f"{', '.join(map(repr, known))}.{close_names(absent[0], known)}",
            table=table,
            problems=absent,
        )


def part_of_query(sql: str, *, columns: Sequence[str] | None = None, limit: int | None = None) -> str:
    """Return the query that gives only some columns, or only the first rows, of what ``sql`` gives."""
    if columns is None and limit is None:
        return sql
    selected = "*" if columns is None else ", ".join(map(quote, columns))
    most = "" if limit is None else f" LIMIT {int(limit)}"
    return f"SELECT {selected} FROM ({sql}) AS q{most}"


def query(connection: Connection, sql: str) -> ReadResult:
    """Return the rows of one SQL statement, run in the revision the connection is on.

    It is sent as it is: whether it only reads is the business of `queries`.

    Raises:
        QueryFailed, TableNotFound, RevisionNotFound: the server refused it.
    """
    with telling_panics(connection):
        try:
            statement = sql.strip(_BLANKS).rstrip(f";{_BLANKS}")
            rows = native.query(connection, statement)
            if rows is not None:
                return ReadResult(result_columns.from_file_of_query(rows), Notes())
            return _query(connection, statement)
        except SchemaMismatch as error:  # the same words as for rows that are written, of a value of the query's
            said = getattr(error, "server_message", None)
            if said is None:
                raise
            raise QueryFailed(
                f"Cannot {attempted()}: Dolt says {said!r}. Change the query, so that no value leaves the range of its "
                "type.",
                code=getattr(error, "code", 0),
                server_message=said,
            ) from error


@contextmanager
def telling_panics(connection: Connection) -> Iterator[None]:
    """Let what runs a statement of the user's say for good that the server cannot run it.

    A statement that panics the server's handler has its connection dropped, each time; a private server's log says so.

    Raises:
        QueryFailed: that was it.
        ConnectionLost: the connection was lost, for a reason that cannot be told here.
    """
    folder = connection.shared_folder()
    since = local_server.log_size(folder) if folder is not None else 0
    repeats, connection.repeats_after_panics = connection.repeats_after_panics, False
    try:
        yield
    except ConnectionLost as error:
        said = local_server.panicked(folder, since=since) if folder is not None else None
        if said is None:
            raise
        raise QueryFailed(
            f"Cannot {attempted()}: the server panicked ({said.rstrip('.')}) and dropped the connection, as it would "
            "each time. Write the query in other words.",
            code=0,
            server_message=said,
        ) from error
    finally:
        connection.repeats_after_panics = repeats


def _query(connection: Connection, statement: str) -> ReadResult:
    try:
        return ReadResult(_fetched(connection, statement), Notes())
    except ConnectionLost as error:
        error.in_query = True
        raise
    except QueryFailed as error:  # EXPLAIN announces numbers and prints the word NULL
        if error.code or _SHOWS.match(statement) is None:
            raise
    fields, printed = connection.text_rows(statement)
    texts = [replace(found, wire="VAR_STRING", binary=False) for found in fields]
    return ReadResult(pa.Table.from_batches([result_columns.from_text(texts, printed)]), Notes())


def _fetched(connection: Connection, statement: str) -> pa.Table:
    batches = []
    with (
        shown(attempted()) as progress,
        connection.arrow_batches(statement) as arriving,
    ):
        for batch in arriving:
            progress.advance(batch.num_rows, batch.nbytes)
            batches.append(batch)
    return result_columns.joined(batches)


_SHOWS = re.compile(r"\s*(explain|describe|desc|show)\b", re.IGNORECASE)


_KEPT = 256
_at_commits: dict[tuple[Endpoint, str, str, str], fitting.TableSchema] = {}
"""What tables look like, by the server, its database, the commit and the name: there they do not change."""


def describe(connection: Connection, table: str) -> fitting.TableSchema | None:
    """Return what a table looks like in the revision the connection is on, or None when there is none of that name.

    What it looks like at a commit is asked once.

    Raises:
        TableRedirected: at that commit, the name means a table of somewhere else.
    """
    active_content.refuse_reading(connection, table)
    commit = connection.looks_as
    if commit is None:
        return _described(connection, table)
    asked = connection.endpoint, connection.database, commit, table
    found = _at_commits.get(asked) or _described(connection, table)
    if found is not None and _stays(found):
        if len(_at_commits) >= _KEPT:
            _at_commits.clear()
        _at_commits[asked] = found
    return found


def take_over(connection: Connection, before: str, after: str, table: str) -> None:
    """Know of a table at one commit what is known of it at another, from which it differs in rows alone."""
    endpoint, database = connection.endpoint, connection.database
    found = _at_commits.get((endpoint, database, before, table))
    if found is not None:
        _at_commits[endpoint, database, after, table] = found


def _stays(found: fitting.TableSchema) -> bool:
    """Whether a commit says all of it: no view, which may look at a branch, and no counter, which goes on with rows."""
    return found.statement.startswith("CREATE TABLE ") and " AUTO_INCREMENT" not in found.statement


def _described(connection: Connection, table: str) -> fitting.TableSchema | None:
    try:
        shown, created = connection.queries(
            f"SHOW FULL COLUMNS FROM {quote(table)}", f"SHOW CREATE TABLE {quote(table)}"
        )
    except TableNotFound:
        return None
    return fitting.TableSchema.parse(shown, created[0][1])
