"""Rows of tables and queries, on a connection that is given: read them as Arrow, write a frame as them.

What is read and which commit or branch it is on was decided before (`repository`); what a value looks like in SQL is
decided in `codec` and `rows`, whether a frame fits in `gate`, which rows differ in `changes`. So this file is the
traffic: ask what is there, fetch or send rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from . import arrow as arrow_tables
from . import changes, codec, gate, obeyed, results, rows, server, writing
from .codec import Notes, quote
from .engine import Connection
from .errors import (
    ConnectionLost,
    ConstraintViolated,
    DoltError,
    QueryFailed,
    SchemaMismatch,
    TableNotFound,
    close_names,
)
from .progress import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

SchemaChange = Literal["refuse", "evolve", "replace"]
Mode = Literal["replace", "append", "upsert"]

_BATCH_ROWS = 65_536
_BLANKS = " \t\r\n"
_MIN_ROWS_TO_COMPARE = 2000
"""Below this many rows, writing them all is quicker than finding out which ones differ."""


@dataclass(frozen=True)
class Read:
    """Rows as they arrived, and what was noted about them when they were written."""

    arrow: pa.Table
    notes: Notes

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a frame."""
        return codec.decode(self.arrow, self.notes)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table, in the types that were written."""
        return arrow_tables.decode(self.arrow, self.notes)


@dataclass(frozen=True)
class WriteOptions:
    """How a frame is put into a table."""

    key: tuple[str, ...] | None = None
    """Primary key of a table that is created; None makes one without. An existing table has to have just this key."""
    mode: Mode = "replace"
    """``replace`` all rows, ``append`` to them, or ``upsert``: put each row by its key, and keep the others."""
    on_schema_change: SchemaChange = "refuse"
    """What happens when the frame does not fit the table: ``refuse``, ``evolve`` the table, ``replace`` it."""
    index: Literal["refuse", "drop"] = "refuse"
    """What happens to an unnamed index that is not 0, 1, 2, ..."""
    keep_order: bool = False
    """Whether the order of rows is kept, in a column of its own."""


# ---------------------------------------------------------------------------------------------------------- read


def read(
    connection: Connection,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    order_by: Sequence[str] = (),
    limit: int | None = None,
) -> Read:
    """Return the rows of ``table`` in the revision the connection is on, at most ``limit`` of them.

    Without ``order_by`` they come in key order, or, without a key, in one stable order.

    Raises:
        TableNotFound: there is no such table at that revision.
        SchemaMismatch: it has no column of a name in ``columns`` or ``order_by``.
    """
    plan = _plan_read(connection, table, columns, order_by)
    if limit is not None:
        plan = replace(plan, rest=f"{plan.rest} LIMIT {int(limit)}")
    return Read(_arrow(connection, quote(table), plan), plan.notes)


def select(
    connection: Connection,
    source: str,
    columns: Mapping[str, str],
    *,
    where: str = "TRUE",
    limit: int | None = None,
    attempt: str,
) -> pa.Table:
    """Return columns of ``source``, which is what stands behind FROM, as they are stored.

    ``columns`` gives the SQL type of each; ``limit`` is the most rows that are returned, and None is all.
    """
    rest = f" FROM {source} WHERE {where}{'' if limit is None else f' LIMIT {int(limit)}'}"
    wanted = [_nullable(results.wanted(column)) for column in columns.items()]
    return _arrow(connection, source, _ReadPlan(attempt, rest, wanted, list(columns), _times(columns), Notes()))


def _nullable(want: results.Wanted) -> results.Wanted:
    """Ask for a column in a way that lets it be NULL.

    Dolt announces a NOT NULL column as such even where a diff or an outer join has no value for it, and the fast
    transport believes that.
    """
    return results.Wanted(f"IF(TRUE, {want.select}, NULL)", want.arrow)


def _arrow(connection: Connection, source: str, plan: _ReadPlan) -> pa.Table:
    if _has_spans(connection, source, plan):
        return results.from_text(*connection.text_rows(plan.plain, attempt=plan.attempt))
    return results.restored(_fetched(connection, plan.statement, plan.attempt), plan.wanted, plan.names)


@contextmanager
def stream(
    connection: Connection,
    table: str,
    *,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    order_by: Sequence[str] = (),
    holding: Holding | None = None,
) -> Iterator[Iterator[Read]]:
    """Give the rows of ``table`` as `read` does, ``batch_rows`` at a time, without holding them all.

    ``holding`` is that of who makes frames of them: notes that do not fit all values are left out of every part then,
    which is found out by reading the columns in doubt before.
    """
    plan = _plan_read(connection, table, columns, order_by)
    if holding is not None:
        plan = replace(plan, notes=_holding(connection, table, plan.notes, plan.doubtful, holding))
    if _has_spans(connection, quote(table), plan):
        yield iter([read(connection, table, columns=columns, order_by=order_by)])
        return
    with connection.arrow_batches(plan.statement, batch_rows=batch_rows, attempt=plan.attempt) as batches:
        yield (
            Read(results.restored(pa.Table.from_batches([batch]), plan.wanted, plan.names), plan.notes)
            for batch in batches
        )


Holding = Callable[[pa.Table, Notes], Notes]
"""`codec.holding` or that of `arrow`."""


def settled(connection: Connection, table: str, *, columns: Sequence[str] | None, holding: Holding) -> Notes:
    """Return the notes of a table that fit all its values, so that each part of it is read in the same types."""
    plan = _plan_read(connection, table, columns, ())
    return _holding(connection, table, plan.notes, plan.doubtful, holding)


def _holding(connection: Connection, table: str, notes: Notes, names: Sequence[str], holding: Holding) -> Notes:
    if names:
        with stream(connection, table, batch_rows=_BATCH_ROWS, columns=names) as parts:
            for part in parts:
                notes = holding(part.arrow, notes)
    return notes


@dataclass(frozen=True)
class _ReadPlan:
    attempt: str
    rest: str
    """The statement from its FROM on."""
    wanted: Sequence[results.Wanted]
    names: Sequence[str]
    times: Sequence[str]
    """Columns of the type TIME."""
    notes: Notes
    doubtful: Sequence[str] = ()
    """Columns about which only the values say whether the notes fit."""

    @property
    def statement(self) -> str:
        """The statement, with casts where the fast transport needs them."""
        return f"SELECT {', '.join(want.select for want in self.wanted)}{self.rest}"

    @property
    def plain(self) -> str:
        """The statement without casts, for the transport that prints everything as text."""
        return f"SELECT {', '.join(map(quote, self.names))}{self.rest}"


def _has_spans(connection: Connection, source: str, plan: _ReadPlan) -> bool:
    """Whether a TIME column holds something else than a time of day, which the fast transport cannot carry."""
    if not plan.times:
        return False
    conditions = " OR ".join(f"{quote(name)} < '00:00:00' OR {quote(name)} >= '24:00:00'" for name in plan.times)
    return bool(connection.rows(f"SELECT 1 FROM {source} WHERE {conditions} LIMIT 1", attempt=plan.attempt))


def _plan_read(connection: Connection, table: str, columns: Sequence[str] | None, order_by: Sequence[str]) -> _ReadPlan:
    attempt = f"read table {table!r}"
    existing = describe(connection, table)
    if existing is None:
        known = [name for (name,) in connection.rows("SHOW TABLES", attempt=attempt)]
        raise TableNotFound(
            f"Cannot {attempt} at {connection.revision!r}: there is no such table.{close_names(table, known)} The "
            f"tables there are {', '.join(map(repr, known)) or 'none'}.",
            table=table,
            close=known,
        )
    sql_types = existing.sql_types
    check_columns(table, [*(columns or ()), *order_by], list(sql_types))
    notes = Notes.from_comment(existing.comment, table=table)[0]
    if columns is None:
        names = [name for name in sql_types if not (notes.rows and name == codec.ROW_COLUMN)] or list(sql_types)
    else:
        names = list(columns)
        notes = replace(notes, index=notes.index if set(notes.index) <= set(names) else (), order=())
    order_by = order_by or ([codec.ROW_COLUMN] if notes.rows and codec.ROW_COLUMN in sql_types else ())
    wanted = [results.wanted((name, sql_types[name])) for name in names]
    ordered = f" ORDER BY {', '.join(map(quote, order_by))}" if order_by else ""
    rest = f" FROM {quote(table)}{ordered}"
    times = _times({name: sql_types[name] for name in names})
    return _ReadPlan(attempt, rest, wanted, names, times, notes, gate.doubtful(notes, existing.columns, names))


def _times(columns: Mapping[str, str]) -> list[str]:
    return [name for name, sql_type in columns.items() if codec.SqlType.parse(sql_type).base == "time"]


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


def query(connection: Connection, sql: str, *, attempt: str | None = None) -> Read:
    """Return the rows of one SQL statement, run in the revision the connection is on.

    It is sent as it is: whether it only reads is the business of `queries`. ``attempt`` completes "Cannot ...".

    Raises:
        QueryFailed, TableNotFound, RevisionNotFound: the server refused it.
    """
    attempt = attempt or f"run the query {sql!r}"
    with telling_panics(connection, attempt=attempt):
        return _query(connection, sql.strip(_BLANKS).rstrip(f";{_BLANKS}"), attempt)


@contextmanager
def telling_panics(connection: Connection, *, attempt: str) -> Iterator[None]:
    """Let what runs a statement of the user's say for good that the server cannot run it.

    A statement that panics the server's handler has its connection dropped, each time; a private server's log says so.

    Raises:
        QueryFailed: that was it.
        ConnectionLost: the connection was lost, for a reason that cannot be told here.
    """
    folder = connection.shared_folder()
    since = server.log_size(folder) if folder is not None else 0
    try:
        yield
    except ConnectionLost as error:
        said = server.panicked(folder, since=since) if folder is not None else None
        if said is None:
            raise
        raise QueryFailed(
            f"Cannot {attempt}: the server panicked ({said.rstrip('.')}) and dropped the connection, as it would each "
            "time. Write the query in other words.",
            code=0,
            server_message=said,
        ) from error


def _query(connection: Connection, statement: str, attempt: str) -> Read:
    try:
        # A line of its own, so that a comment at the end of the statement does not swallow the parenthesis; and not
        # LIMIT 0, for which Dolt answers a subquery without any columns.
        fields = connection.describe(f"SELECT * FROM (\n{statement}\n) AS q WHERE FALSE", attempt=attempt)
    except ConnectionLost as error:
        error.in_query = True
        raise
    except DoltError:
        fields = []  # SHOW, DESCRIBE and doubled names cannot stand in a subquery; a wrong statement fails again
    names = [found.name for found in fields]
    wanted = [results.wanted(found) for found in fields]
    exact = all(want.select == quote(name) for want, name in zip(wanted, names, strict=True))
    if fields and exact and not _needs_text(fields, statement):
        try:
            return Read(results.restored(_fetched(connection, statement, attempt), wanted, names), Notes())
        except QueryFailed as error:
            if error.code:  # the server's word; the transport has none, and gives up where a column is announced wrong
                raise
    try:
        fields, printed = connection.text_rows(statement, attempt=attempt)
    except ConnectionLost as error:
        error.in_query = True
        raise
    try:
        return Read(results.from_text(fields, printed), Notes())
    except pa.ArrowInvalid:  # EXPLAIN announces numbers and prints the word NULL
        texts = [replace(found, wire="VAR_STRING", binary=False) for found in fields]
        return Read(results.from_text(texts, printed), Notes())


def _fetched(connection: Connection, statement: str, attempt: str) -> pa.Table:
    batches = []
    with (
        shown(attempt) as progress,
        connection.arrow_batches(statement, batch_rows=_BATCH_ROWS, attempt=attempt) as arriving,
    ):
        for batch in arriving:
            progress.advance(batch.num_rows, batch.nbytes)
            batches.append(batch)
    return pa.Table.from_batches(batches)


_PADS_WITH_NULL = re.compile(r"\b(left|right|full|outer)\b|dolt_", re.IGNORECASE)


def _may_lie(fields: Sequence[results.Field], statement: str) -> bool:
    """Whether a column may be announced NOT NULL and hold NULL, on which the fast transport breaks."""
    return any(found.not_null for found in fields) and _PADS_WITH_NULL.search(statement) is not None


def _needs_text(fields: Sequence[results.Field], statement: str) -> bool:
    """Whether a column holds what the fast transport cannot carry: a span of time, nothing but NULL, or a lie."""
    return any(found.wire in ("TIME", "NULL") for found in fields) or _may_lie(fields, statement)


# --------------------------------------------------------------------------------------------------------- write


def statements(options: WriteOptions) -> frozenset[str]:
    """Return the kinds of statements that `write` may send for these options."""
    return writing.STATEMENTS if options.mode != "append" else writing.STATEMENTS - {"DELETE"}


def write(connection: Connection, table: str, frame: pd.DataFrame | pa.Table, options: WriteOptions) -> int | None:
    """Put ``frame`` into ``table`` on the branch the connection is on, creating the table if it is missing.

    Returns how many rows the table has to have now, or None where that cannot be said, or not be asked without reading
    them all: of an upsert, and of a table without a key.

    Raises:
        UnsupportedFrame: the frame cannot be stored exactly.
        SchemaMismatch: it does not fit the existing table.
        ConstraintViolated: its rows break a key or another constraint.
    """
    if isinstance(frame, pa.Table):
        encoded = arrow_tables.encode(frame, keep_order=options.keep_order)
    else:
        encoded = codec.encode(frame, index=options.index, keep_order=options.keep_order)
    existing = describe(connection, table)
    if existing is not None and options.on_schema_change == "replace" and not _fits(encoded, existing, table, options):
        connection.run(f"DROP TABLE {quote(table)}", attempt=f"replace table {table!r}")
        existing = None
    if options.mode == "upsert" and not (options.key if existing is None else existing.key):
        raise SchemaMismatch(
            f"Cannot upsert into {table!r}: it has no primary key, so rows cannot be told apart. Use mode='append' or "
            "'replace', or give a new table a primary_key.",
            table=table,
            problems=["no primary key"],
        )
    rows = encoded.arrow.num_rows
    if existing is None:
        _create(connection, table, encoded, options)
        return rows if options.key or options.keep_order else None
    before = _rewrite(connection, table, encoded, existing, options)
    return before + rows if existing.key and before is not None else None


def _fits(encoded: codec.Encoded, existing: gate.Existing, table: str, options: WriteOptions) -> bool:
    try:
        gate.fit(encoded.arrow, existing.columns, table=table, new_types={})
        if options.key is not None:
            gate.check_same_key(options.key, existing.columns, table=table)
    except SchemaMismatch:
        return False
    return True


def _create(connection: Connection, table: str, encoded: codec.Encoded, options: WriteOptions) -> None:
    arrow = encoded.arrow
    key = options.key or ((codec.ROW_COLUMN,) if options.keep_order else ())
    gate.check_key(arrow, key, table=table)
    types = codec.sql_types(arrow, key)
    lines = [f"{quote(name)} {types[name]}{' NOT NULL' if name in key else ''}" for name in arrow.column_names]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(map(quote, key))})")
    comment = encoded.notes.to_comment()
    connection.run(f"CREATE TABLE {quote(table)} ({', '.join(lines)})", attempt=f"create table {table!r}")
    if comment:  # in a statement of its own: Dolt 1.83 forgets a COMMENT behind a PRIMARY KEY (...) clause
        _comment(connection, table, comment)
    attempt = f"write table {table!r}"
    _within_constraints(connection, attempt, lambda: _append(connection, table, arrow, attempt=attempt))


def _rewrite(
    connection: Connection, table: str, encoded: codec.Encoded, existing: gate.Existing, options: WriteOptions
) -> int | None:
    """Put the rows into a table that is there, and return how many stay in it beside them, if that is known."""
    attempt = f"write table {table!r}"
    stay: int | None = 0
    before = Notes()
    if options.key is not None:
        gate.check_same_key(options.key, existing.columns, table=table)
    held = [column.name for column in existing.columns]
    if options.mode != "replace":
        # With a key Dolt knows the number; without one it would read all rows.
        some = "COUNT(*)" if existing.key else "1"
        found = connection.rows(f"SELECT {some} FROM {quote(table)} LIMIT 1", attempt=attempt)
        there = int(found[0][0]) if found else 0
        stay = there if options.mode == "append" else None
        if not there:
            held = [name for name in held if name not in encoded.arrow.column_names]
        before = _notes(table, existing)[0]
        encoded, before = _agreeing(connection, table, encoded, before, held)
    fitted = gate.fit(
        encoded.arrow,
        existing.columns,
        table=table,
        new_types=codec.sql_types(encoded.arrow, ()) if options.on_schema_change == "evolve" else {},
        evolve=options.on_schema_change == "evolve",
        partial=options.mode == "append",  # by upsert, rows that are there would lose what they have
    )
    gate.check_key(fitted.arrow, [] if options.mode == "append" else existing.key, table=table)
    for statement in fitted.alterations:
        connection.run(statement, attempt=attempt)
    _note(
        connection,
        table,
        codec.Encoded(encoded.arrow, codec.stored_as(encoded, fitted.arrow)),
        existing,
        options,
        before=before,
        held=held,
        altered=bool(fitted.alterations),
    )
    _fill(connection, table, fitted, existing, options.mode)
    return stay


def _notes(table: str, existing: gate.Existing) -> tuple[Notes, str]:
    """Return what is noted about an existing table and fits its columns, and the user's own text."""
    notes, own = Notes.from_comment(existing.comment, table=table)
    return gate.fitting(notes, existing.columns), own


def _agreeing(
    connection: Connection, table: str, encoded: codec.Encoded, before: Notes, held: Sequence[str]
) -> tuple[codec.Encoded, Notes]:
    """Return rows to be added as the table's others are to be read, and by which notes those are.

    Only where they contradict each other it is asked whether the table's values are what its comment says.
    """
    try:
        arrow = gate.agree(encoded, before, held, table=table)
    except SchemaMismatch:
        kept = before
        for holding in (codec.holding, arrow_tables.holding):
            kept = _holding(connection, table, kept, [name for name in held if name in kept.columns], holding)
        if kept == before:
            raise
        before, arrow = kept, gate.agree(encoded, kept, held, table=table)
    return replace(encoded, arrow=arrow), before


def _fill(connection: Connection, table: str, fitted: gate.Fitted, existing: gate.Existing, mode: str) -> None:
    """Put the rows into the table as ``mode`` says, whose columns are as they have to be by now."""
    attempt = f"write table {table!r}"
    if any(column.counts for column in existing.columns):
        # Else the server would put a number of its own for a 0 of the frame's.
        sql_mode = "CONCAT_WS(',', @@GLOBAL.sql_mode, 'NO_AUTO_VALUE_ON_ZERO')"
        connection.run(f"SET sql_mode = {sql_mode}", attempt=attempt)
    if mode == "append":
        _within_constraints(connection, attempt, lambda: _append(connection, table, fitted.arrow, attempt=attempt))
    elif mode == "upsert":
        _rewriting(connection, table, attempt, lambda: _put(connection, table, fitted.arrow, existing, attempt))
    else:
        _replace(connection, table, fitted, existing, attempt)


def _note(
    connection: Connection,
    table: str,
    encoded: codec.Encoded,
    existing: gate.Existing,
    options: WriteOptions,
    *,
    before: Notes,
    held: Sequence[str],
    altered: bool,
) -> None:
    """Bring the table's comment up to date; a text of the user's own in it stays.

    ``held`` are the columns that have values already, for which the table's notes, ``before``, go on to hold where rows
    are added.
    """
    own = Notes.from_comment(existing.comment, table=table)[1]
    stored = [column.name for column in existing.columns]
    if options.mode == "replace":
        given = encoded.arrow.column_names
        after = stored + [name for name in given if name not in stored]
        notes = encoded.notes
        notes = notes if given == after else replace(notes, order=_without_rows(given))
    else:
        notes = codec.merged(before, encoded.notes, held)
    comment = notes.to_comment(own)
    # Dolt 1.83 forgets the comment of a table whose columns are modified.
    if comment != existing.comment or (altered and comment):
        _comment(connection, table, comment)


def _comment(connection: Connection, table: str, comment: str) -> None:
    statement = f"ALTER TABLE {quote(table)} COMMENT={codec.literal(comment)}"
    connection.run(statement, attempt=f"note the types of table {table!r}")


def _without_rows(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name != codec.ROW_COLUMN)


def _replace(connection: Connection, table: str, fitted: gate.Fitted, existing: gate.Existing, attempt: str) -> None:
    """Make the frame the table's whole content: by what differs where that can be found out, else all anew."""
    found = None
    if not fitted.alterations and existing.key and fitted.arrow.num_rows >= _MIN_ROWS_TO_COMPARE:
        found = _differences(connection, table, fitted.arrow, existing)

    def work() -> None:
        if found is None:
            connection.run(f"DELETE FROM {quote(table)}", attempt=attempt)
            _append(connection, table, fitted.arrow, attempt=attempt)
        else:
            _delete(connection, table, existing.key, found.delete, attempt)
            _put(connection, table, found.put, existing, attempt)

    if found is None or found.count:
        _rewriting(connection, table, attempt, work)


def _within_constraints(connection: Connection, attempt: str, work: Callable[[], None]) -> None:
    """Do ``work`` in one transaction, which the commit ends; where a foreign key forbids it, ask at the end."""
    connection.run("START TRANSACTION", attempt=attempt)
    try:
        work()
    except ConstraintViolated as error:
        if "foreign key" not in str(error).lower():
            raise
        connection.run("ROLLBACK", attempt=attempt)
        _with_keys_asked_at_the_end(connection, attempt, work)


def _rewriting(connection: Connection, table: str, attempt: str, work: Callable[[], None]) -> None:
    """Do ``work``, which deletes rows that it puts back a moment later, so that no other table notices.

    A foreign key forbids that, or, with ON DELETE CASCADE or SET NULL, takes the other table's rows along.
    """
    refers = "SELECT 1 FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()"
    if connection.rows(f"{refers} AND LOWER(referenced_table_name) = LOWER(%s) LIMIT 1", table, attempt=attempt):
        _with_keys_asked_at_the_end(connection, attempt, work)
    else:
        _within_constraints(connection, attempt, work)


def _with_keys_asked_at_the_end(connection: Connection, attempt: str, work: Callable[[], None]) -> None:
    connection.run("SET foreign_key_checks = 0", attempt=attempt)
    try:
        connection.run("START TRANSACTION", attempt=attempt)
        work()
        connection.run("COMMIT", attempt=attempt)
    finally:
        connection.run("SET foreign_key_checks = 1", attempt=attempt)
    connection.run("CALL DOLT_VERIFY_CONSTRAINTS('--all')", attempt=attempt)


def _differences(connection: Connection, table: str, new: pa.Table, existing: gate.Existing) -> changes.Changes | None:
    """Return what differs between the table and the frame, or None where writing it all is better."""
    if not existing.sorts_as_arrow or any(column.generated for column in existing.columns):
        return None
    schema = new.schema
    try:
        with stream(connection, table, batch_rows=_BATCH_ROWS, columns=new.column_names) as old:
            return changes.find(
                (batch for part in old for batch in _in_schema(part.arrow, schema).to_batches()), new, existing.key
            )
    except (changes.OutOfOrder, pa.ArrowInvalid):
        return None


def _in_schema(arrow: pa.Table, schema: pa.Schema) -> pa.Table:
    for name in schema.names:
        if pa.types.is_boolean(schema.field(name).type) and not pa.types.is_boolean(arrow.schema.field(name).type):
            raise changes.OutOfOrder  # somebody put other numbers than 0 and 1 there
    return arrow.select(schema.names).cast(schema).combine_chunks()


def _delete(connection: Connection, table: str, key: Sequence[str], keys: pa.Table, attempt: str) -> None:
    for condition in rows.key_lists(key, keys):
        connection.run(f"DELETE FROM {quote(table)} WHERE {condition}", attempt=attempt)


def _put(connection: Connection, table: str, arrow: pa.Table, existing: gate.Existing, attempt: str) -> None:
    """Insert or overwrite rows by key."""
    if existing.unique:
        # REPLACE would delete any row that shares a value of another unique index, without a word.
        _delete(connection, table, existing.key, arrow.select(list(existing.key)), attempt)
        _append(connection, table, arrow, attempt=attempt)
    else:
        _append(connection, table, arrow, attempt=attempt, replacing=True)


def _append(connection: Connection, table: str, arrow: pa.Table, *, attempt: str, replacing: bool = False) -> None:
    if not arrow.num_rows:
        return
    folder = connection.shared_folder()
    with shown(attempt) as progress:
        progress.advance(arrow.num_rows, arrow.nbytes)
        if folder is not None:
            clause, lines = rows.load_clause(arrow), rows.lines(arrow)
            connection.load(table, clause, lines, folder=folder, replacing=replacing, attempt=attempt)
        else:
            for statement in rows.insert_statements(table, arrow, replacing=replacing):
                connection.run(statement, attempt=attempt)


def describe(connection: Connection, table: str) -> gate.Existing | None:
    """Return what a table looks like in the revision the connection is on, or None when there is none of that name.

    Raises:
        TableRedirected: at that commit, the name means a table of somewhere else.
    """
    attempt = f"describe table {table!r}"
    obeyed.refuse_reading(connection, table)
    try:
        shown = connection.rows(f"SHOW FULL COLUMNS FROM {quote(table)}", attempt=attempt)
        statement = connection.rows(f"SHOW CREATE TABLE {quote(table)}", attempt=attempt)[0][1]
    except TableNotFound:
        return None
    return gate.Existing.parse(shown, statement)
