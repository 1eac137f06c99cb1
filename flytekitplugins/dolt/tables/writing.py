"""A frame into a table, written on a connection that is given.

What a value looks like in SQL is decided in `pandas_frames` and `load_data`, whether a frame fits in `fitting`, which
rows differ in `row_changes`. So this file is the traffic: ask what is there, send rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ..codec import arrow_tables, pandas_frames, row_order
from ..codec.pandas_frames import Note, Notes
from ..errors import (
    ConstraintViolated,
    RowOrderWarning,
    SchemaMismatch,
    TableNotFound,
    attempted,
    attempting,
    close_names,
    warn,
)
from ..model import naming
from ..model.sql_text import literal, quote
from ..repository import table_names
from ..repository.connections import Connection
from . import agreeing, fitting, load_data, native, orphans, reading, row_changes
from .progress import shown
from .reading import BATCH_ROWS, describe, kept_notes, stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

SchemaChange = Literal["refuse", "evolve", "replace"]
Mode = Literal["replace", "append", "upsert", "delete"]
_T = TypeVar("_T")

STATEMENTS = frozenset({"INSERT", "DELETE"})
"""The kinds of statements that put rows into tables here, and so start triggers."""

_MIN_ROWS_TO_COMPARE = 2000
"""Below this many rows, writing them all is quicker than finding out which ones differ."""


@dataclass(frozen=True)
class WriteOptions:
    """How a frame is put into a table."""

    key: tuple[str, ...] | None = None
    """Primary key of a table that is created; None makes one without. An existing table has to have just this key."""
    mode: Mode = "replace"
    """``replace`` all rows, ``append`` to them, ``upsert``: put each row by its key, and keep the others; or ``delete``
    the rows whose keys are given."""
    on_schema_change: SchemaChange = "refuse"
    """What happens when the frame does not fit the table: ``refuse``, ``evolve`` the table, ``replace`` it."""
    index: Literal["drop", "refuse", "keep"] | None = None
    """What happens to an unnamed index that is not 0, 1, 2, ...; None drops one of integers with a warning."""
    keep_order: bool = False
    """Whether the order of rows is kept, in a column of its own."""
    is_order_chosen: bool = False
    """Whether it was said in which order the rows are read, so that nobody expects that of the frame."""


# ---------------------------------------------------------------------------------------------------------- read


def statements(options: WriteOptions) -> frozenset[str]:
    """Return the kinds of statements that a write may send for these options."""
    without = {"append": {"DELETE"}, "delete": {"INSERT"}}
    return STATEMENTS - without.get(options.mode, set())


@dataclass
class TableWrite:
    """Rows that go into one table, encoded once, however often they are written."""

    table: str
    rows: pandas_frames.Encoded
    options: WriteOptions
    went: native.Way | None = field(default=None, compare=False)
    """Which way they went when they were last written; None before, and where there were none."""

    @classmethod
    def of(cls, table: str, frame: pd.DataFrame | pa.Table, options: WriteOptions) -> TableWrite:
        """Return what puts ``frame`` into ``table``.

        Raises:
            UnsupportedFrame: the frame cannot be stored exactly.
        """
        with attempting(f"write table {table!r}"):
            if isinstance(frame, pa.Table):
                return cls(
                    table, arrow_tables.encode(frame, index=options.index, keep_order=options.keep_order), options
                )
            encoded = pandas_frames.encode(frame, index=options.index, keep_order=options.keep_order)
            return cls(table, encoded, options)

    def apply(self, connection: Connection) -> int | None:
        """Write the rows on the branch the connection is on, creating the table if it is missing.

        Returns how many rows the table has to have now, or None where that cannot be said, or not be asked without
        reading them all: of an upsert, and of a table without a key.

        Raises:
            SchemaMismatch: they do not fit the existing table.
            ConstraintViolated: they break a key or another constraint.
        """
        rows, self.went = _apply(connection, self.table, self.rows, self.options)
        return rows

    def change(self, connection: Connection) -> None:
        """Make the rows of a table with a key those of the frame, in the table's types, and keep what is noted of it.

        The frame has to have the table's columns.

        Raises:
            SchemaMismatch: they do not fit the existing table.
            ConstraintViolated: they break a key or another constraint.
        """
        with attempting(f"write table {self.table!r}"):
            existing = describe(connection, self.table)
            assert existing is not None  # noqa: S101  # for the type checker: it was read
            columns = {name: note for name, note in self.rows.notes.columns.items() if name in existing.key}
            part = pandas_frames.Encoded(
                self.rows.arrow.select(list(existing.key)), replace(self.rows.notes, columns=columns)
            )
            gone = _other_keys(connection, self.table, _fitted_keys(connection, self.table, part, existing), existing)
            if gone.num_rows:
                _delete_keys(connection, self.table, gone, existing)
            options = replace(self.options, mode="upsert", on_schema_change="refuse")
            _, self.went = _apply(connection, self.table, self.rows, options)


@dataclass
class RowDeletion:
    """Rows that go out of one table: those whose keys a frame has. Its other columns are not looked at."""

    table: str
    frame: pd.DataFrame | pa.Table
    options: WriteOptions
    missing: int | None = None
    """How many of the keys the table did not have when `apply` last looked; None before."""
    went: native.Way | None = field(default=None, compare=False)
    """Which way the rows went then."""

    def apply(self, connection: Connection) -> int:
        """Delete the rows on the branch the connection is on, and return how many the table has to have now.

        Raises:
            TableNotFound: there is no such table.
            UnsupportedFrame, SchemaMismatch: the keys do not fit the table's, or it has none.
            ConstraintViolated: a key is there twice, or rows of other tables refer to one that would go.
        """
        with attempting(f"delete rows from table {self.table!r}"):
            existing = _with_key(connection, self.table)
            keys = _keys(connection, self.table, self.frame, existing, self.options)
            found, self.went = _delete_keys(connection, self.table, keys, existing)
            self.missing = keys.num_rows - found
            return _count(connection, self.table, existing)


def _apply(
    connection: Connection, table: str, encoded: pandas_frames.Encoded, options: WriteOptions
) -> tuple[int | None, native.Way | None]:
    """Write rows, and return how many the table has to have now, and which way they went."""
    with attempting(f"write table {table!r}"):
        existing = describe(connection, table)
        if (
            existing is not None
            and options.on_schema_change == "replace"
            and not _fits(encoded, existing, table, options)
        ):
            table = table_names.find_table(connection, table) or table  # it keeps its name
            connection.execute(f"DROP TABLE {quote(table)}")
            existing = None
        if not (options.key if existing is None else existing.key):
            _without_key(connection, table, encoded, options)
        rows = encoded.arrow.num_rows
        if existing is None:
            way = _create(connection, table, encoded, options)
            return rows if options.key or options.keep_order else None, way
        before, way = _rewrite(connection, table, encoded, existing, options)
        return before + rows if existing.key and before is not None else None, way


_warned: set[tuple[int, str, str]] = set()
"""The tables of which it was said that their rows come back in another order."""


def _without_key(connection: Connection, table: str, encoded: pandas_frames.Encoded, options: WriteOptions) -> None:
    """Refuse to upsert into a table without a key; say once that its rows have another order than the frame's."""
    if options.mode == "upsert":
        raise SchemaMismatch(
            f"Cannot upsert into {table!r}: it has no primary key, so rows cannot be told apart. Use mode='append' "
            "or 'replace', or give a new table a primary_key.",
            table=table,
            problems=["no primary key"],
        )
    name = (connection.local_port, connection.database, table)
    if options.mode != "replace" or options.keep_order or options.is_order_chosen or name in _warned:
        return
    if not row_order.is_sorted(encoded.arrow, encoded.notes):
        _warned.add(name)
        warn(
            f"Table {table!r} has no primary key, so its rows come back in the order of their values and not in that "
            "of the frame. Give its config a primary_key, keep_order=True or an order_by; order_by=[] says that the "
            "order does not matter.",
            RowOrderWarning,
        )


def _fits(encoded: pandas_frames.Encoded, existing: fitting.TableSchema, table: str, options: WriteOptions) -> bool:
    try:
        fitting.fit(encoded.arrow, existing.columns, table=table, new_types={})
        if options.key is not None:
            fitting.check_same_key(options.key, existing.columns, table=table)
    except SchemaMismatch:
        return False
    held = {column.name: column for column in existing.columns}
    return not any(fitting.is_of_another_type(encoded.arrow[name], held[name]) for name in encoded.arrow.column_names)


def _create(
    connection: Connection, table: str, encoded: pandas_frames.Encoded, options: WriteOptions
) -> native.Way | None:
    arrow = encoded.arrow
    key = options.key or ((pandas_frames.ROW_COLUMN,) if options.keep_order else ())
    fitting.check_key(arrow, key, table=table)
    types = pandas_frames.sql_types(arrow, key)
    lines = [f"{quote(name)} {types[name]}{' NOT NULL' if name in key else ''}" for name in arrow.column_names]
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(map(quote, key))})")
    comment = encoded.notes.to_comment()
    connection.execute(f"CREATE TABLE {quote(table)} ({', '.join(lines)})")
    if comment:  # in a statement of its own: Dolt 1.83 forgets a COMMENT behind a PRIMARY KEY (...) clause
        set_comment(connection, table, comment)
    return _within_constraints(connection, lambda: _append(connection, table, arrow))


def _rewrite(
    connection: Connection,
    table: str,
    encoded: pandas_frames.Encoded,
    existing: fitting.TableSchema,
    options: WriteOptions,
) -> tuple[int | None, native.Way | None]:
    """Put the rows into a table that is there; return how many stay beside them, if known, and which way they went."""
    if options.key is not None:
        fitting.check_same_key(options.key, existing.columns, table=table)
    known = _notes(table, existing)[0]
    empty = _without_values(connection, table, encoded, existing, known)
    held = fitting.held(encoded, existing.columns, empty)
    start = _Start(encoded, held)
    if options.mode != "replace":
        evolve = options.on_schema_change == "evolve"
        start = _start_beside(connection, table, encoded, existing, known, held, evolve=evolve)
    encoded, before = start.rows, start.before
    asked = fitting.Asked(
        evolve=options.on_schema_change == "evolve",
        adds=options.mode != "replace",
        empty=frozenset(empty),
        notes=encoded.notes.columns,
        in_double=lambda name: options.mode == "replace" or _in_double(connection, table, name),
        kept=_kept(before, encoded.notes, start.held),
        is_kept=lambda name: _that_hold(connection, table, before, [name]) == before,
        disagreeing=start.disagreeing,
    )
    new_types = pandas_frames.sql_types(encoded.arrow, ()) if asked.evolve or empty else {}
    fitted = fitting.fit(encoded.arrow, existing.columns, table=table, new_types=new_types, asked=asked)
    fitting.check_key(fitted.arrow, [] if options.mode == "append" else existing.key, table=table)
    for statement in fitted.alterations:
        _alter(connection, statement)
    stored = pandas_frames.Encoded(encoded.arrow, pandas_frames.stored_as(encoded, fitted.arrow))
    before = before.forgetting(fitted.outgrown)
    altered = bool(fitted.alterations)
    _note(connection, table, stored, existing, options, before=before, held=start.held, altered=altered)
    with _naming_equal_keys(table, fitted.arrow, existing.key, appends=options.mode == "append"):
        way = _fill(connection, table, fitted, existing, options.mode)
    _refuse_times_of_another_kind(connection, table, encoded, existing)
    return {"replace": 0, "append": start.there, "upsert": None}[options.mode], way


def _refuse_times_of_another_kind(
    connection: Connection, table: str, encoded: pandas_frames.Encoded, existing: fitting.TableSchema
) -> None:
    """Refuse what TIME columns would give back as another kind, after it was put there: durations, or times of day.

    Nothing says which they are but whether a value of the table's is no time of day: then all are durations.
    """
    times = reading.times_of(existing.sql_types)
    given = [name for name in times if name in encoded.arrow.column_names and _has_values(encoded.arrow[name])]
    if not given:
        return
    spans, beyond = fitting.spans(encoded, existing.columns), reading.have_spans(connection, quote(table), times)
    held, as_what = ("times of day", "durations") if beyond else ("durations, all within a day,", "times of day")
    wrong = [name for name in given if (name in spans) is not beyond]
    if not wrong:
        return
    why = ", where TIME holds values beyond a day" if beyond else ""
    problems = [f"column {name!r} holds {held} and is TIME in the table{why}" for name in wrong]
    raise SchemaMismatch(
        f"Cannot store the frame in {table!r}, nothing was written: {'; '.join(problems)}, which gives such values "
        f"back as {as_what}. Make them {as_what} or numbers, write to another table, or replace the whole one "
        "with on_schema_change='replace'.",
        table=table,
        problems=problems,
    )


def _has_values(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count < len(column))


@dataclass(frozen=True)
class _Start:
    """What is known of a table before rows are put into it."""

    rows: pandas_frames.Encoded
    held: Sequence[str]
    """The columns that have values, which say what others in them have to mean."""
    before: Notes = field(default_factory=Notes)
    """What is noted about the rows that stay."""
    there: int = 0
    """How many rows there are; without a key, whether there are any."""
    disagreeing: Mapping[str, agreeing.Disagreement] = field(default_factory=dict)
    """What stands against columns of the frame that mean something else."""


def _start_beside(
    connection: Connection,
    table: str,
    encoded: pandas_frames.Encoded,
    existing: fitting.TableSchema,
    known: Notes,
    held: Sequence[str],
    *,
    evolve: bool,
) -> _Start:
    """Return what is known of a table whose rows stay beside those that are put into it."""
    there = _count(connection, table, existing)
    held = held if there else [name for name in held if name not in encoded.arrow.column_names]
    rows, before, disagreeing = _agreeing(connection, table, encoded, known, held, evolve=evolve)
    return _Start(rows, held, before, there, disagreeing)


def _count(connection: Connection, table: str, existing: fitting.TableSchema) -> int:
    """Return the number of a table's rows, which Dolt knows with a key; without one, whether there are any."""
    some = "COUNT(*)" if existing.key else "1"
    found = connection.query(f"SELECT {some} FROM {quote(table)} LIMIT 1")
    return int(found[0][0]) if found else 0


def _kept(before: Notes, added: Notes, held: Sequence[str]) -> dict[str, Note]:
    """Return what is noted about the values that stay, where the rows to be added have not the same noted."""
    after = pandas_frames.merged(before, added, held).columns
    given = {name: replace(note, levels=after[name].levels) for name, note in added.columns.items() if name in after}
    return {name: after[name] for name in held if name in before.columns and after[name] != given.get(name)}


def _without_values(
    connection: Connection, table: str, encoded: pandas_frames.Encoded, existing: fitting.TableSchema, known: Notes
) -> list[str]:
    """Return the columns of a table in whose rows no value is yet, of those to which the frame brings another type.

    They take that type. A table without rows keeps the types that it was made with, but where it was made of a column
    that had none.
    """
    found = []
    for column in fitting.retypable(encoded, existing, known):
        name = quote(column.name)
        if connection.query(f"SELECT 1 FROM {quote(table)} WHERE {name} IS NOT NULL LIMIT 1"):
            continue
        untyped = fitting.is_untyped(known.columns.get(column.name))
        if untyped or connection.query(f"SELECT 1 FROM {quote(table)} LIMIT 1"):
            found.append(column.name)
    return found


def _in_double(connection: Connection, table: str, name: str) -> bool:
    """Whether all integers in a column are exact as doubles."""
    limit = 2**53
    beyond = f"{quote(name)} > {limit} OR {quote(name)} < -{limit}"
    return not connection.query(f"SELECT 1 FROM {quote(table)} WHERE {beyond} LIMIT 1")


def _notes(table: str, existing: fitting.TableSchema) -> tuple[Notes, str]:
    """Return what is noted about an existing table and fits its columns, and the user's own text."""
    notes, own = Notes.from_comment(existing.comment, table=table)
    return fitting.fitting(notes, existing.columns), own


def _agreeing(
    connection: Connection,
    table: str,
    encoded: pandas_frames.Encoded,
    before: Notes,
    held: Sequence[str],
    *,
    evolve: bool,
) -> tuple[pandas_frames.Encoded, Notes, dict[str, agreeing.Disagreement]]:
    """Return rows to be added as the table's others are to be read, by which notes those are, and what contradicts.

    Only where they contradict each other it is asked whether the table's values are what its comment says, and whether
    they are of a wider type.
    """
    agreed, problems = agreeing.agree(encoded, before, held)
    if problems:
        kept = _that_hold(connection, table, before, held)
        if kept != before:
            before = kept
            agreed, problems = agreeing.agree(encoded, kept, held)
    for name, found in problems.items():
        if found.wider is not None and not _is_all(connection, table, name, found.wider):
            problems[name] = replace(found, wider=None)
    wider = {name: found.wider for name, found in problems.items() if found.wider is not None}
    if evolve and wider:
        before = replace(before, columns={**before.columns, **wider})
        agreed, problems = agreeing.agree(encoded, before, held)
    return agreed, before, problems


def _is_all(connection: Connection, table: str, name: str, note: Note) -> bool:
    """Whether all values in a column of the table are what could be noted about it."""
    with stream(connection, table, batch_rows=BATCH_ROWS, columns=[name], order_by=[]) as parts:
        return all(agreeing.holds(part.arrow.column(name), note) for part in parts)


def _that_hold(connection: Connection, table: str, notes: Notes, names: Sequence[str]) -> Notes:
    """Return the notes without those about columns in ``names`` whose values in the table are something else."""
    for holding in (pandas_frames.holding, arrow_tables.holding):
        notes = kept_notes(connection, table, notes, [name for name in names if name in notes.columns], holding)
    return notes


@contextmanager
def _naming_equal_keys(table: str, arrow: pa.Table, key: Sequence[str], *, appends: bool = False) -> Iterator[None]:
    """Name two rows whose keys the table holds equal, where it refuses them for that; the server names one key.

    Of rows that are appended, and have keys of their own, one has the key of a row that is there.
    """
    try:
        yield
    except ConstraintViolated as error:
        found = fitting.equal_keys(arrow, key) if "duplicate" in str(error) else None
        if found is None and appends and "duplicate primary key" in str(error):
            raise ConstraintViolated(
                f"Cannot append to {table!r}: it has a row of that key ({vars(error).get('server_message')}). Leave "
                "such rows out, or use mode='upsert', which overwrites them.",
                columns=list(key),
            ) from error
        if found is None:
            raise
        raise ConstraintViolated(
            f"Cannot store the frame in {table!r}: the table holds the keys of two rows equal, {found}. Remove one of "
            "them, or choose another primary_key or a collation that tells them apart.",
            columns=list(key),
        ) from error


def _fill(
    connection: Connection, table: str, fitted: fitting.FittedRows, existing: fitting.TableSchema, mode: str
) -> native.Way | None:
    """Put the rows into the table as ``mode`` says, whose columns are as they have to be by now."""
    if any(column.counts for column in existing.columns):
        # Else the server would put a number of its own for a 0 of the frame's.
        sql_mode = "CONCAT_WS(',', @@GLOBAL.sql_mode, 'NO_AUTO_VALUE_ON_ZERO')"
        connection.execute(f"SET sql_mode = {sql_mode}")
    if mode == "append":
        return _within_constraints(connection, lambda: _append(connection, table, fitted.arrow, existing))
    if mode != "upsert":
        return _replace(connection, table, fitted, existing)
    why = None
    given = set(fitted.arrow.column_names)
    if not existing.sorts_as_arrow:  # rows of keys that the table holds equal are refused
        why = "the table may hold keys equal that are written in other ways"
    elif lacking := [c.name for c in existing.columns if c.name not in given and not c.generated]:
        why = f"of the table's columns the rows have no {lacking[0]!r}"
    if why is None:
        return _put(connection, table, fitted.arrow, existing)
    _put_some_columns(connection, table, fitted.arrow)
    return native.Way(native.unavailable(connection) or why)


def _note(
    connection: Connection,
    table: str,
    encoded: pandas_frames.Encoded,
    existing: fitting.TableSchema,
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
        notes = pandas_frames.merged(before, encoded.notes, held)
        pandas_frames.check_size(notes)
    comment = notes.to_comment(own)
    # Dolt 1.83 forgets the comment of a table whose columns are modified.
    if comment != existing.comment or (altered and comment):
        set_comment(connection, table, comment)


def set_comment(connection: Connection, table: str, comment: str) -> None:
    """Make ``comment`` the table's, on the branch the connection is on."""
    _alter(connection, f"ALTER TABLE {quote(table)} COMMENT={literal(comment)}")


def _alter(connection: Connection, statement: str) -> None:
    """Change what a table looks like; once more where nothing is different, as the server may have forgotten it.

    It does, without a word, where somebody renames or deletes a branch at that moment (seen with Dolt 1.83). Rows would
    go into columns of the old types then.
    """
    everything = "SELECT DOLT_HASHOF_DB('WORKING')"  # not of the table alone, which is found as it is stored only
    before = connection.query(everything)
    connection.execute(statement)
    if connection.query(everything) == before:
        connection.execute(statement)


def _without_rows(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name != pandas_frames.ROW_COLUMN)


def _replace(
    connection: Connection, table: str, fitted: fitting.FittedRows, existing: fitting.TableSchema
) -> native.Way:
    """Make the frame the table's whole content: by SQL send only what differs where that can be found out."""
    way = _natively(connection, table, fitted.arrow, mode="replace", existing=existing)
    if way.by_sql is None:
        return way
    found = None
    if not fitted.alterations and existing.key and fitted.arrow.num_rows >= _MIN_ROWS_TO_COMPARE:
        found = _differences(connection, table, fitted.arrow, existing)

    def work() -> None:
        connection.execute(f"DELETE FROM {quote(table)}")
        _load(connection, table, fitted.arrow)

    if found is None:
        _rewriting(connection, table, work)
    elif found.count:
        _exchange(connection, table, found.delete, found.put, existing)
    return way


def _natively(
    connection: Connection, table: str, arrow: pa.Table, *, mode: native.Mode, existing: fitting.TableSchema
) -> native.Way:
    """Put rows into a table, or delete some, in a transaction of their own, unless SQL has to do it."""
    if native.unavailable(connection) is None:
        _begin(connection)
    return native.put(connection, table, arrow, mode=mode, existing=existing)


def _begin(connection: Connection) -> None:
    """Begin a transaction, which the commit ends; rows that are to be a commit by themselves need none."""
    if connection.rows_commit is None:
        connection.execute_ahead("START TRANSACTION")


def _within_constraints(connection: Connection, work: Callable[[], _T]) -> _T:
    """Do ``work`` in one transaction, which the commit ends; where a foreign key forbids it, ask at the end."""
    _begin(connection)
    try:
        return work()
    except ConstraintViolated as error:
        if "foreign key" not in str(error).lower():
            raise
        connection.execute("ROLLBACK")
        return _with_keys_asked_at_the_end(connection, work)


def _rewriting(connection: Connection, table: str, work: Callable[[], None]) -> None:
    """Do ``work``, which deletes rows that it puts back a moment later, so that no other table notices.

    A foreign key forbids that, or, with ON DELETE CASCADE or SET NULL, takes the other table's rows along.
    """
    refers = "SELECT 1 FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()"
    if connection.query(f"{refers} AND LOWER(referenced_table_name) = LOWER(%s) LIMIT 1", table):
        _with_keys_asked_at_the_end(connection, work)
    else:
        _within_constraints(connection, work)


def _with_keys_asked_at_the_end(connection: Connection, work: Callable[[], _T]) -> _T:
    connection.execute("SET foreign_key_checks = 0")
    try:
        connection.execute("START TRANSACTION")
        done = work()
        connection.execute("COMMIT")
    finally:
        connection.execute("SET foreign_key_checks = 1")
    _refuse_orphans(connection)
    return done


def _refuse_orphans(connection: Connection) -> None:
    """Raise if rows refer to rows that are not there, here or in tables that refer to this one."""
    if orphans.dolt_can_verify(connection):
        connection.execute("CALL DOLT_VERIFY_CONSTRAINTS('--all')")
        return
    lacking = orphans.find(connection)
    if lacking:
        raise ConstraintViolated(
            f"Cannot {attempted()}: {'; '.join(map(str, lacking))}, as a foreign key has it. Fix the rows, here or in "
            "the tables that refer to them.",
            columns=[column for each in lacking for column in each.columns],
        )


def _differences(
    connection: Connection, table: str, new: pa.Table, existing: fitting.TableSchema
) -> row_changes.RowDelta | None:
    """Return what differs between the table and the frame, or None where writing it all is better."""
    if not existing.sorts_as_arrow or existing.computes:
        return None
    schema = new.schema
    try:
        with stream(connection, table, batch_rows=BATCH_ROWS, columns=new.column_names) as old:
            return row_changes.find(
                (batch for part in old for batch in _in_schema(part.arrow, schema).to_batches()), new, existing.key
            )
    except (row_changes.DeltaUnavailable, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _in_schema(arrow: pa.Table, schema: pa.Schema) -> pa.Table:
    for name in schema.names:
        if pa.types.is_boolean(schema.field(name).type) and not pa.types.is_boolean(arrow.schema.field(name).type):
            raise row_changes.DeltaUnavailable  # somebody put other numbers than 0 and 1 there
    return arrow.select(schema.names).cast(schema).combine_chunks()


def _put(connection: Connection, table: str, arrow: pa.Table, existing: fitting.TableSchema) -> native.Way:
    """Insert or overwrite rows by key."""
    way = _natively(connection, table, arrow, mode="upsert", existing=existing)
    if way.by_sql is not None:
        _exchange(connection, table, arrow.select(list(existing.key)).slice(0, 0), arrow, existing)
    return way


def _exchange(connection: Connection, table: str, gone: pa.Table, put: pa.Table, existing: fitting.TableSchema) -> None:
    """Delete the rows that have the keys ``gone``, and insert or overwrite others, by SQL."""
    # REPLACE would delete any row that shares a value of another unique index, without a word. Of a table with VIRTUAL
    # columns it ends Dolt 1.83 where a key is there already.
    replacing = not existing.unique and not existing.computes
    if not replacing:
        gone = pa.concat_tables([gone, put.select(list(existing.key))])
    if not gone.num_rows:
        _rewriting(connection, table, lambda: _load(connection, table, put, replacing=replacing))
        return
    with _beside(connection, gone, existing) as beside:

        def work() -> None:
            _delete(connection, table, beside, existing.key)
            _load(connection, table, put, replacing=replacing)

        _rewriting(connection, table, work)


@contextmanager
def _beside(connection: Connection, keys: pa.Table, existing: fitting.TableSchema) -> Iterator[str]:
    """Give a table of keys, gone after a block that ends well; with it ends what the block began.

    The server finds all of them only as values of the table's own types: it finds no FLOAT, TIME or BIT in a list of
    texts.
    """
    beside = f"flyte_tmp_{secrets.token_hex(8)}"
    types = {column.name: _full_type(column) for column in existing.columns}
    lines = [f"{quote(name)} {types[name]}" for name in existing.key]
    key = ", ".join(map(quote, existing.key))
    connection.execute(f"CREATE TABLE {beside} ({', '.join(lines)}, PRIMARY KEY ({key}))")
    _within_constraints(connection, lambda: _append(connection, beside, keys))
    yield beside
    connection.execute("COMMIT")
    connection.execute(f"DROP TABLE {beside}")


def _same_key(one: str, other: str, key: Sequence[str]) -> str:
    return " AND ".join(f"{one}.{quote(name)} = {other}.{quote(name)}" for name in key)


def _delete(connection: Connection, table: str, beside: str, key: Sequence[str]) -> None:
    """Delete the rows whose keys are in the table ``beside``."""
    # Not of a join: Dolt 1.83 refuses that where there are triggers, also if they may run.
    same = _same_key(beside, quote(table), key)
    connection.execute(f"DELETE FROM {quote(table)} WHERE EXISTS (SELECT 1 FROM {beside} WHERE {same})")


def _put_some_columns(connection: Connection, table: str, arrow: pa.Table) -> None:
    """Insert or overwrite rows by key that lack columns: rows that are there keep what they have in these.

    The rows go to a table beside, are completed there by the server, which compares keys as the table does, and take
    the place of those of their keys. No value of the other columns comes here, so none can change on the way.
    """
    existing = describe(connection, table)
    assert existing is not None  # noqa: S101  # for the type checker: it was there before
    beside, completed, was_there = *(f"flyte_tmp_{secrets.token_hex(8)}" for _ in range(2)), "flyte_tmp_was_there"
    given = arrow.column_names
    others = [column.name for column in existing.columns if column.name not in given and not column.generated]
    lines = [f"{quote(c.name)} {_full_type(c)}" for c in existing.columns if c.name in {*given, *others}]
    key = ", ".join(map(quote, existing.key))
    for made in (beside, completed):
        connection.execute(f"CREATE TABLE {made} ({', '.join(lines)}, {was_there} int, PRIMARY KEY ({key}))")
    _within_constraints(connection, lambda: _append(connection, beside, arrow))
    _complete(connection, (beside, completed, table), given, others, was_there, existing)
    signed = _with_minus_zero(connection, f"{completed} s", "s", existing.columns)

    def put(names: Sequence[str], which: str) -> None:
        columns, values = ", ".join(map(quote, names)), ", ".join(_kept_value("s", name, signed) for name in names)
        connection.execute(f"INSERT INTO {quote(table)} ({columns}) SELECT {values} FROM {completed} s WHERE {which}")

    def work() -> None:
        _delete(connection, table, completed, existing.key)
        put([*given, *others], f"{was_there} = 1")
        put(given, f"{was_there} IS NULL")

    _rewriting(connection, table, work)
    connection.execute("COMMIT")
    for made in (beside, completed):
        connection.execute(f"DROP TABLE {made}")


def _complete(
    connection: Connection,
    tables: tuple[str, str, str],
    given: Sequence[str],
    others: Sequence[str],
    was_there: str,
    existing: fitting.TableSchema,
) -> None:
    """Put rows of the first table into the second, with the other columns of those of their keys in the third."""
    # Not by UPDATE of a join, which in Dolt 1.83 puts 0.0 for -0.0 where the first table has one row.
    beside, completed, table = tables
    joined = f"{beside} s LEFT JOIN {quote(table)} t ON {_same_key('s', 't', existing.key)}"
    is_there = f"t.{quote(existing.key[0])} IS NOT NULL"
    kept = {
        **_copied(connection, f"{beside} s", "s", [column for column in existing.columns if column.name in given]),
        **_copied(connection, joined, "t", [column for column in existing.columns if column.name in others]),
    }
    columns, values = ", ".join(map(quote, kept)), ", ".join(kept.values())
    connection.execute(
        f"INSERT INTO {completed} ({columns}, {was_there}) SELECT {values}, IF({is_there}, 1, NULL) FROM {joined}"
    )


def _copied(connection: Connection, source: str, table: str, columns: Sequence[fitting.Column]) -> dict[str, str]:
    """Return the expressions that copy columns of ``table``, which is in the FROM clause ``source``, by their names."""
    signed = _with_minus_zero(connection, source, table, columns)
    return {column.name: _kept_value(table, column.name, signed) for column in columns}


def _with_minus_zero(connection: Connection, source: str, table: str, columns: Sequence[fitting.Column]) -> set[str]:
    """Return those columns of ``table``, which is in the FROM clause ``source``, in whose values -0.0 is."""
    floats = [c.name for c in columns if c.sql_type.startswith(("float", "double")) and not c.generated]
    conditions = {name: _is_minus_zero(f"{table}.{quote(name)}") for name in floats}
    return {
        name
        for name, is_there in conditions.items()
        if connection.query(f"SELECT 1 FROM {source} WHERE {is_there} LIMIT 1")
    }


def _is_minus_zero(value: str) -> str:
    return f"{value} = 0 AND ATAN2({value}, -1) < 0"


def _kept_value(table: str, name: str, signed: Collection[str]) -> str:
    """Return the expression that copies a column's values; Dolt 1.83 makes 0.0 of -0.0, but where it comes as text."""
    value = f"{table}.{quote(name)}"
    return f"CASE WHEN {_is_minus_zero(value)} THEN '-0' ELSE {value} END" if name in signed else value


# -------------------------------------------------------------------------------------------------------------- delete


def _with_key(connection: Connection, table: str) -> fitting.TableSchema:
    """Return what a table looks like whose rows can be told apart.

    Raises:
        TableNotFound: there is no such table.
        SchemaMismatch: it has no primary key of the user's.
    """
    existing = describe(connection, table)
    if existing is None:
        known = reading.table_names(connection)
        raise TableNotFound(
            f"Cannot {attempted()}: there is no such table on that branch.{close_names(table, known)} The tables there "
            f"are {', '.join(map(repr, known)) or 'none'}.",
            table=table,
            close=known,
        )
    found = None
    if existing.key in ((), (pandas_frames.ROW_COLUMN,)):
        found = "no primary key"
    elif any(column.generated for column in existing.columns if column.name in existing.key):
        found = "a primary key that is generated"
    if found is not None:
        raise SchemaMismatch(
            f"Cannot {attempted()}: it has {found}, so a frame cannot say which rows are meant. Write the rows that "
            "stay with mode='replace'.",
            table=table,
            problems=[found],
        )
    return existing


def _keys(
    connection: Connection,
    table: str,
    frame: pd.DataFrame | pa.Table,
    existing: fitting.TableSchema,
    options: WriteOptions,
) -> pa.Table:
    """Return the keys of a frame in the types of the table, by the rules of rows that are put by key.

    Raises:
        UnsupportedFrame: a key cannot be stored.
        SchemaMismatch: a column of the key is missing or does not fit; ``primary_key`` is not the table's.
        ConstraintViolated: a key is there twice.
    """
    try:
        if options.key is not None:
            fitting.check_same_key(options.key, existing.columns, table=table)
        columns = [column for column in existing.columns if column.name in existing.key]
        keys = _fitted_keys(connection, table, _encoded_keys(frame, columns, table), existing)
    except SchemaMismatch as error:
        raise SchemaMismatch(
            f"Cannot {attempted()}, nothing was deleted: {'; '.join(error.problems)}. Give the frame the columns of "
            f"the table's key ({', '.join(map(repr, existing.key))}) in the table's types; others are optional.",
            table=table,
            problems=error.problems,
        ) from error
    found = fitting.duplicate_key(keys, existing.key)
    if found is not None:
        raise ConstraintViolated(
            f"Cannot {attempted()}: the frame has the key {found} more than once. Remove the duplicates.",
            columns=list(existing.key),
        )
    return keys


def _fitted_keys(
    connection: Connection, table: str, encoded: pandas_frames.Encoded, existing: fitting.TableSchema
) -> pa.Table:
    columns = [column for column in existing.columns if column.name in existing.key]
    held = fitting.held(encoded, columns, ())
    start = _start_beside(connection, table, encoded, existing, _notes(table, existing)[0], held, evolve=False)
    asked = fitting.Asked(
        adds=True,
        notes=start.rows.notes.columns,
        kept=_kept(start.before, start.rows.notes, start.held),
        is_kept=lambda name: _that_hold(connection, table, start.before, [name]) == start.before,
        disagreeing=start.disagreeing,
    )
    return fitting.fit(start.rows.arrow, columns, table=table, new_types={}, asked=asked).arrow


def _encoded_keys(frame: pd.DataFrame | pa.Table, key: Sequence[fitting.Column], table: str) -> pandas_frames.Encoded:
    """Return the columns of a frame that are those of the key; nothing is asked of the others."""
    names = [column.name for column in key]
    if isinstance(frame, pa.Table):
        arrow = arrow_tables.some_columns(frame, names)
        _refuse_absent(key, arrow.column_names, table)
        return arrow_tables.encode(arrow)
    part = pandas_frames.some_columns(frame, names)
    _refuse_absent(key, [name for name in (*part.columns, *part.index.names) if isinstance(name, str)], table)
    return pandas_frames.encode(part)


def _refuse_absent(key: Sequence[fitting.Column], given: Sequence[str], table: str) -> None:
    """Raise if columns of the key are not given, or under a name that SQL takes for the same."""
    folded = {naming.folded(name): name for name in given}
    problems = [
        f"key column {column.name!r} ({column.sql_type}) is "
        + (f"spelt {folded[naming.folded(column.name)]!a}" if naming.folded(column.name) in folded else "missing")
        for column in key
        if column.name not in given
    ]
    if problems:
        raise SchemaMismatch("; ".join(problems), table=table, problems=problems)


def _other_keys(connection: Connection, table: str, keys: pa.Table, existing: fitting.TableSchema) -> pa.Table:
    """Return the keys of a table's rows that are not among ``keys``."""
    types = {name: existing.sql_types[name] for name in keys.column_names}
    there = reading.select(connection, quote(table), types).cast(keys.schema)
    matched = row_changes.pairs(there, keys)
    return there.take(matched.filter(pc.is_null(matched["new"]))["old"])


def delete_rows(connection: Connection, table: str, keys: pa.Table) -> None:
    """Delete the rows that have the keys, which are as they are read of the table, on the connection's branch.

    Raises:
        ConstraintViolated: rows of other tables refer to one that would go.
    """
    existing = describe(connection, table)
    assert existing is not None  # noqa: S101  # for the type checker: the keys are of its rows
    columns = [column for column in existing.columns if column.name in existing.key]
    _delete_keys(connection, table, fitting.fit(keys, columns, table=table, new_types={}).arrow, existing)


def _delete_keys(
    connection: Connection, table: str, keys: pa.Table, existing: fitting.TableSchema
) -> tuple[int, native.Way]:
    """Delete the rows that have the keys, and return how many there were, and which way they went."""
    way = _natively(connection, table, keys, mode="delete", existing=existing)
    if way.by_sql is None:
        return way.rows, way
    with _naming_equal_keys(table, keys, existing.key), _beside(connection, keys, existing) as beside:
        same = _same_key(beside, quote(table), existing.key)
        found = int(connection.query(f"SELECT COUNT(*) FROM {quote(table)} JOIN {beside} ON {same}")[0][0])
        if found:
            with _naming_referring_tables(connection, table):
                _rewriting(connection, table, lambda: _delete(connection, table, beside, existing.key))
    return found, way


@contextmanager
def _naming_referring_tables(connection: Connection, table: str) -> Iterator[None]:
    """Name the tables whose rows refer to rows that would be gone, where the server refuses that."""
    try:
        yield
    except ConstraintViolated as error:
        names = connection.query(
            "SELECT DISTINCT table_name FROM information_schema.referential_constraints"
            " WHERE constraint_schema = DATABASE() AND LOWER(referenced_table_name) = LOWER(%s) ORDER BY 1",
            table,
        )
        if not names:
            raise
        raise ConstraintViolated(
            f"Cannot {attempted()}, nothing was deleted: rows of {', '.join(repr(str(name)) for (name,) in names)} "
            "refer to rows that would be gone, and are kept, also with ON DELETE CASCADE. Delete those rows first.",
            columns=[],
        ) from error


def _full_type(column: fitting.Column) -> str:
    """Return a column's type with the collation by which it compares text."""
    if column.collation is None or " COLLATE " in column.sql_type:
        return column.sql_type
    return f"{column.sql_type} COLLATE {column.collation}"


def _append(
    connection: Connection, table: str, arrow: pa.Table, existing: fitting.TableSchema | None = None
) -> native.Way | None:
    """Add rows to a table; where it is not given it was just made, of columns and a key alone."""
    if not arrow.num_rows:
        return None
    way = native.put(connection, table, arrow, mode="append", existing=existing)
    if way.by_sql is not None:
        _load(connection, table, arrow)
    return way


def _load(connection: Connection, table: str, arrow: pa.Table, *, replacing: bool = False) -> None:
    """Add rows to a table by SQL; with ``replacing``, those of the same key are overwritten."""
    if not arrow.num_rows:
        return
    folder = connection.shared_folder()
    with shown(attempted()) as progress:
        progress.advance(arrow.num_rows, arrow.nbytes)
        if folder is not None:
            apart = _told_apart(connection, table, load_data.with_empty_text(arrow))
            clause, lines = load_data.load_clause(arrow, told_apart=apart), load_data.lines(arrow, told_apart=apart)
            connection.load(table, clause, lines, folder=folder, replacing=replacing)
        else:
            for statement in load_data.insert_statements(table, arrow, replacing=replacing):
                connection.execute(statement)


def _told_apart(connection: Connection, table: str, names: Sequence[str]) -> set[str]:
    """Return those of the columns in which LOAD DATA would take an empty text for no value."""
    if not names:
        return set()
    types = {name: str(kind).lower() for name, kind, *_ in connection.query(f"SHOW COLUMNS FROM {quote(table)}")}
    return {name for name in names if types[name].startswith(("enum", "set"))}
