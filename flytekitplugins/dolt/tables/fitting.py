"""Whether a frame fits the table that exists, decided before a row is sent. Pure.

`fit` compares columns, types and values with what the table can hold. What fits comes back in the table's types; what
does not is either listed, all of it at once, or, where the config asks for it, turned into the ALTER statements that
make it fit.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..codec.notes import Note, Notes, meaning
from ..codec.pandas_frames import Encoded, SqlType, first_true_index, json_value, negative_zeros
from ..errors import ConstraintViolated, SchemaMismatch, UnsupportedFrame
from ..model import naming
from ..model.sql_text import literal, quote
from . import agreeing
from .bad_rows import converts, first_bad, positions, shown

_MEDIUM = {False: (-(2**23), 2**23 - 1), True: (0, 2**24 - 1)}
_TEXT_BYTES = {"tinytext": 2**8 - 1, "text": 2**16 - 1, "mediumtext": 2**24 - 1, "longtext": 2**32 - 1}
_LONGEST_VALUE = 2**31 - 1  # of text and bytes in Arrow, whose offsets have 32 bits
_BLOB_BYTES = {"tinyblob": 2**8 - 1, "blob": 2**16 - 1, "mediumblob": 2**24 - 1, "longblob": 2**32 - 1}
_INTEGERS = {
    **{
        (name, False): kind
        for name, kind in zip(
            ("tinyint", "smallint", "mediumint", "int", "bigint"),
            (pa.int8(), pa.int16(), pa.int32(), pa.int32(), pa.int64()),
            strict=True,
        )
    },
    **{
        (name, True): kind
        for name, kind in zip(
            ("tinyint", "smallint", "mediumint", "int", "bigint"),
            (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint32(), pa.uint64()),
            strict=True,
        )
    },
}
_OTHERS = {
    "double": pa.float64(),
    "float": pa.float32(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us"),
    "time": pa.time64("us"),
    "year": pa.int16(),
    **dict.fromkeys(("char", "varchar", "enum", *_TEXT_BYTES), pa.string()),
    **dict.fromkeys(("binary", "varbinary", *_BLOB_BYTES), pa.binary()),
}
_FAMILIES: tuple[tuple[str, Callable[[pa.DataType], bool]], ...] = (
    ("boolean", pa.types.is_boolean),
    ("integer", pa.types.is_integer),
    ("float", pa.types.is_floating),
    ("decimal", pa.types.is_decimal),
    ("timestamp", pa.types.is_timestamp),
    ("date", pa.types.is_date),
    ("time", pa.types.is_time),
    ("text", pa.types.is_string),
    ("bytes", pa.types.is_binary),
)


@dataclass(frozen=True)
class Column:
    """A column of an existing table, as ``SHOW FULL COLUMNS`` gives it."""

    name: str
    sql_type: str
    nullable: bool
    key: bool
    default: str | None = None
    """The default as SQL text, or None."""
    extra: str = ""
    comment: str = ""
    collation: str | None = None
    generated: bool = False
    """Whether the server computes the values, so that none may be given."""

    @property
    def counts(self) -> bool:
        """Whether the server numbers the rows here that give no value."""
        return "auto_increment" in self.extra.lower()

    @property
    def compares_by(self) -> str | None:
        """The collation of text: Dolt says a column's own one with its type, and elsewhere the table's."""
        return self.sql_type.partition(" COLLATE ")[2] or self.collation

    @property
    def compares_as_bytes(self) -> bool:
        """Whether two values are equal here only if they are the same."""
        return self.compares_by in (None, "binary", "utf8mb4_0900_bin", "utf8mb4_bin")

    @property
    def may_be_left_out(self) -> bool:
        """Whether appended rows get a value here without giving one."""
        return self.generated or self.default is not None or self.counts


# Before it stands no text but the values of an enum; the words may be those of a comment or a default, too.
_GENERATED = re.compile(
    r"^  `((?:[^`]|``)*)` (?:\w+\('(?:[^']|'')*'(?:,'(?:[^']|'')*')*\))?[^'\n]* GENERATED ALWAYS AS ", re.M
)


@dataclass(frozen=True)
class TableSchema:
    """A table as it is: what a frame has to fit, and what must survive a rewrite of its rows."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns of the primary key, in its order; empty where there is none."""
    unique: bool
    """Whether there is a unique index beside the primary key."""
    comment: str
    statement: str = ""
    """Its CREATE TABLE statement."""

    @classmethod
    def parse(cls, told: Sequence[Sequence[Any]], statement: str) -> TableSchema:
        """Return the table that the rows of ``SHOW FULL COLUMNS`` and the text of ``SHOW CREATE TABLE`` describe."""
        generated = {_name(text) for text in _GENERATED.findall(statement)}
        key = re.search(r"^  PRIMARY KEY \((.*?)\),?$", statement, re.M | re.S)
        names = re.findall(r"`((?:[^`]|``)*)`", key.group(1)) if key else []
        columns = (
            Column(name, kind, null == "YES", pri == "PRI", default, extra, comment, collation, name in generated)
            for name, kind, collation, null, pri, default, extra, _, comment in told
        )
        return cls(
            tuple(columns),
            tuple(map(_name, names)),
            "\n  UNIQUE KEY " in statement,
            _comment(statement.rpartition("\n")[2]),
            statement,
        )

    @property
    def computes(self) -> bool:
        """Whether there are generated columns."""
        return any(column.generated for column in self.columns)

    @property
    def sql_types(self) -> dict[str, str]:
        """The SQL type of each column."""
        return {column.name: column.sql_type for column in self.columns}

    def depends_on(self, name: str) -> bool:
        """Whether a key, index, constraint or generated column may go by the type of a column."""
        others = [line for line in self.statement.split("\n") if not line.startswith(f"  {quote(name)} ")]
        return any(quote(name) in line for line in others)

    @property
    def sorts_as_arrow(self) -> bool:
        """Whether the order of the key is the order in which Arrow sorts it: for text, by code point."""
        return all(
            c.compares_by in (None, "utf8mb4_0900_bin", "utf8mb4_bin") for c in self.columns if c.name in self.key
        )


def _name(quoted: str) -> str:
    return quoted.replace("``", "`")


_ESCAPED = re.compile(r"\\(.)|''")
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a"}


def _comment(options: str) -> str:
    """Return the text of ``COMMENT='...'`` at the end of a CREATE TABLE statement."""
    _, mark, text = options.partition(" COMMENT='")
    if not mark:
        return ""
    return _ESCAPED.sub(lambda m: _UNESCAPED.get(m[1], m[1]) if m[1] else "'", text.removesuffix("'"))


@dataclass(frozen=True)
class FittedRows:
    """A frame in the types of the table, and the statements without which it would not fit."""

    arrow: pa.Table
    alterations: tuple[str, ...]
    outgrown: tuple[str, ...] = ()
    """Columns about which something was noted that no longer holds, and that goes."""


@dataclass(frozen=True)
class Asked:
    """What was asked for, as far as it says what may be done to make a frame fit."""

    evolve: bool = False
    """Whether to add missing columns to the table and widen types that are too narrow, instead of refusing."""
    adds: bool = False
    """Whether rows are added, so that columns may be missing: new rows get NULL or the default there."""
    empty: frozenset[str] = frozenset()
    """Columns of the table without any value, which take the type of the frame's."""
    notes: Mapping[str, Note] = field(default_factory=dict)
    """What the frame's columns mean beyond their types."""
    in_double: Callable[[str], bool] = lambda _: True
    """Says of an integer column whether the values that stay in it are exact as DOUBLE."""
    kept: Mapping[str, Note] = field(default_factory=dict)
    """What is noted about columns of the table whose values stay, and has to go on to hold."""
    is_kept: Callable[[str], bool] = lambda _: True
    """Says of a column whether the table's own values are what is noted about them: others may have written both."""
    disagreeing: Mapping[str, agreeing.Disagreement] = field(default_factory=dict)
    """What stands against columns that mean something else than in the table."""


def fit(
    arrow: pa.Table, existing: Sequence[Column], *, table: str, new_types: dict[str, str], asked: Asked | None = None
) -> FittedRows:
    """Return the frame's columns in the types of ``existing``, in the frame's order.

    ``new_types`` are the SQL types that the frame's columns would get in a new table; they are needed for what is not
    just to fit.

    Raises:
        SchemaMismatch: something does not fit; every column is listed, with its first three bad rows.
    """
    asked = asked or Asked()
    missing = _missing(existing, set(arrow.column_names), adds=asked.adds)
    problems = [f"column {column.name!r} ({column.sql_type}) is missing" for column in missing]
    found = dict(_fit_columns(arrow, existing, table, new_types, asked))
    problems += [f"column {name!r} {text}" for name, each in found.items() for text in each.problems]
    problems += _renamed(existing, arrow.column_names, asked)
    if problems:
        could_evolve = not missing and not asked.evolve and all(each.can_evolve for each in found.values())
        raise _misfit(table, problems, could_evolve=could_evolve, replaces=not asked.adds)
    return FittedRows(
        pa.table({name: each.column for name, each in found.items()}),
        alterations=tuple(each.alteration for each in found.values() if each.alteration is not None),
        outgrown=tuple(name for name, each in found.items() if each.is_outgrown),
    )


@dataclass(frozen=True)
class _FittedColumn:
    column: pa.ChunkedArray
    alteration: str | None = None
    """The statement without which it would not fit."""
    problems: Sequence[str] = ()
    """What stands against it, in words."""
    can_evolve: bool = True
    """Whether it would fit a table that may be changed."""
    is_outgrown: bool = False
    """Whether what is noted about the table's column no longer holds."""


def _fit_columns(
    arrow: pa.Table, existing: Sequence[Column], table: str, new_types: Mapping[str, str], asked: Asked
) -> Iterator[tuple[str, _FittedColumn]]:
    by_name = {column.name: column for column in existing}
    folded = {naming.folded(name): name for name in by_name}
    for name, column in zip(arrow.column_names, arrow.columns, strict=True):
        into, same = by_name.get(name), folded.get(naming.folded(name))
        if into is None and same is not None:
            problem = f"is spelt {same!a} in the table, and SQL does not tell the two apart: rename it"
            yield name, _FittedColumn(column, problems=[problem], can_evolve=False)
        elif into is None or not into.generated:
            yield name, _fit_column(column, into, name, table, new_types.get(name), asked)


def _fit_column(
    column: pa.ChunkedArray, into: Column | None, name: str, table: str, new_type: str | None, asked: Asked
) -> _FittedColumn:
    if into is None and asked.evolve:
        return _FittedColumn(column, f"ALTER TABLE {quote(table)} ADD COLUMN {quote(name)} {new_type}")
    if into is None:
        return _FittedColumn(column, problems=["is not in the table"])
    if name in asked.disagreeing:
        found = asked.disagreeing[name]
        return _FittedColumn(column, problems=[found.text], can_evolve=found.wider is not None)
    fitted, altered, problems = _fit_or_alter(column, into, new_type, asked)
    if problems:
        return _FittedColumn(fitted, problems=problems, can_evolve=_widened(column, into, None, asked) is not None)
    alteration = _modify(table, into, altered) if altered else None
    lost = agreeing.not_kept(fitted, asked.kept[name]) if name in asked.kept else None
    if lost and asked.is_kept(name) and not asked.evolve:
        return _FittedColumn(fitted, problems=[lost])
    return _FittedColumn(fitted, alteration, is_outgrown=lost is not None)


def _misfit(table: str, problems: list[str], *, could_evolve: bool, replaces: bool) -> SchemaMismatch:
    advice = _advice(could_evolve=could_evolve, replaces=replaces)
    said = f"Cannot store the frame in {table!r}, nothing was written: {'; '.join(problems)}. {advice}"
    return SchemaMismatch(said, table=table, problems=problems)


def _advice(*, could_evolve: bool, replaces: bool) -> str:
    options = [
        *(["on_schema_change='evolve' (add columns, widen types)"] if could_evolve else []),
        *([f"{'' if could_evolve else 'on_schema_change='}'replace' (a new table)"] if replaces else []),
    ]
    first = "Give the frame the table's columns and types"
    if not options:
        return f"{first}, or write to another table."
    return f"{first}, write to another table, or ask for {' or '.join(options)} in the config."


def _fit_or_alter(
    column: pa.ChunkedArray, into: Column, new_type: str | None, asked: Asked
) -> tuple[pa.ChunkedArray, str | None, list[str]]:
    """Return a column as it is stored, the type that the table's has to get for that, and what stands against it."""
    note = asked.notes.get(into.name, Note())
    if (
        not asked.adds
        and note.dtype == "object"
        and column.null_count < len(column)
        and is_of_another_type(column, into)
    ):
        # No dtype says which kind of number these objects were.
        return column, None, [f"holds {_family(column.type)} objects in the frame and is {into.sql_type} in the table"]
    takes = into.name in asked.empty and family_differs(column, into, note)
    fitted, found = (column, ["takes"]) if takes else _fit(column, into, note)
    if not found:
        return fitted, None, []
    wider = None
    if into.name in asked.empty:
        wider = new_type
    elif asked.evolve:
        wider = _widened(column, into, new_type, asked)
    if wider is None:
        return fitted, None, found
    fitted, found = _fit(column, Column(into.name, wider, into.nullable, into.key))
    return fitted, wider, found


def family_differs(column: pa.ChunkedArray, into: Column, note: Note) -> bool:
    """Whether the frame has values of another family than the table's column."""
    wanted = _arrow_type(into.sql_type)
    if wanted is None or column.null_count == len(column) or holds_spans(into, note):
        return False
    return _family(column.type) != _family(wanted)


def is_of_another_type(column: pa.ChunkedArray, into: Column) -> bool:
    """Whether a column that fits was made for values of another family than the table has: numbers, or none at all."""
    wanted = _arrow_type(into.sql_type)
    if wanted is None or pa.types.is_null(column.type):
        return False
    families = {_family(column.type), _family(wanted)}
    return families == {"integer", "float"} or (column.null_count == len(column) and len(families) > 1)


def holds_spans(into: Column, note: Note) -> bool:
    """Whether durations go into a TIME column, which holds spans of time as well."""
    found = meaning(note)
    return SqlType.parse(into.sql_type).base == "time" and found is not None and found[0] == "durations"


def retypable(encoded: Encoded, existing: TableSchema, known: Notes) -> Iterator[Column]:
    """Give the columns that could take the frame's type if they have no value: nothing else depends on theirs."""
    by_name = {column.name: column for column in existing.columns}
    for name, column in zip(encoded.arrow.column_names, encoded.arrow.columns, strict=True):
        into = by_name.get(name)
        if into is None or column.null_count == len(column) or not into.nullable or into.may_be_left_out:
            continue
        old, new = known.columns.get(name, Note()), encoded.notes.columns.get(name, Note())
        if holds_spans(into, new):
            continue
        misfits = family_differs(column, into, new) or bool(_fit(column, into, new)[1])
        differs = misfits or meaning(old) != meaning(new)
        if differs and not existing.depends_on(name):
            yield into


def is_untyped(note: Note | None) -> bool:
    """Whether a column was made of one without a type: of nothing but None."""
    if note is None:
        return False
    return note.dtype == "object" or (note.in_arrow is not None and pa.types.is_null(note.in_arrow))


def _missing(existing: Sequence[Column], given: set[str], *, adds: bool) -> list[Column]:
    absent = (column for column in existing if column.name not in given and not column.generated)
    return [column for column in absent if not (adds and (column.nullable or column.may_be_left_out))]


def _renamed(existing: Sequence[Column], given: Sequence[str], asked: Asked) -> list[str]:
    """Say where the frame lacks a column and brings one that the table lacks: its name was changed, it seems."""
    there, brought = {column.name for column in existing}, set(given)
    added = [name for name in given if name not in there]
    lacks = [c.name for c in existing if c.name not in brought and not c.may_be_left_out]
    if not (asked.evolve and asked.adds and added and lacks):
        return []
    return [
        f"column {lacks[0]!r} is missing and {added[0]!r} is new, as if it was renamed: give it the table's name with "
        f".rename(columns={{{added[0]!r}: {lacks[0]!r}}}), or, if it is another one, set frame[{lacks[0]!r}], too"
    ]


def fitting(notes: Notes, existing: Sequence[Column]) -> Notes:
    """Return a table's notes without those that speak of other types than its columns have, whatever stands there."""
    types = {column.name: _arrow_type(column.sql_type) or pa.string() for column in existing}
    return notes.without(
        [name for name, note in notes.columns.items() if name in types and not note.speaks_of(types[name])]
    )


def doubtful(notes: Notes, existing: Sequence[Column], names: Sequence[str]) -> list[str]:
    """Return those of the columns ``names`` about which only their values say whether the notes fit."""
    types = {column.name: _arrow_type(column.sql_type) for column in existing}
    return [name for name in names if name in notes.columns and notes.columns[name].hangs_on_values(types.get(name))]


def spans(added: Encoded, existing: Sequence[Column]) -> list[str]:
    """Return the TIME columns into which durations go."""
    return [c.name for c in existing if holds_spans(c, added.notes.columns.get(c.name, Note()))]


def held(added: Encoded, existing: Sequence[Column], empty: Sequence[str]) -> list[str]:
    """Return the columns whose values say what others in them have to mean: not those that are ``empty``, nor spans."""
    passed_over = {*empty, *spans(added, existing)}
    return [column.name for column in existing if column.name not in passed_over]


def check_key(arrow: pa.Table, key: Sequence[str], *, table: str) -> None:
    """Raise unless each key column is there and has no missing value, and no key is there twice.

    Raises:
        UnsupportedFrame: a key column or value is missing; the first bad row is named.
        ConstraintViolated: a key is there twice; the first two rows with it are named.
    """
    absent = [name for name in key if name not in arrow.column_names]
    if absent:
        raise UnsupportedFrame(
            f"Cannot store the frame in {table!r}: the primary key names {', '.join(map(repr, absent))}, and the frame "
            f"has the columns {', '.join(map(repr, arrow.column_names))}. Name one of these, or add the column.",
            columns=absent,
        )
    if not key:
        return
    for name in key:
        row = first_true_index(pc.is_null(arrow.column(name)))
        if row is not None:
            raise UnsupportedFrame(
                f"Cannot store the frame in {table!r}: the key column {name!r} has no value in row {row}. Fill it in, "
                "or choose another primary_key.",
                columns=[name],
            )
    found = duplicate_key(arrow, key)
    if found is not None:
        raise ConstraintViolated(
            f"Cannot store the frame in {table!r}: the key {found} is there more than once. Remove the duplicates, or "
            "choose another primary_key.",
            columns=list(key),
        )


def duplicate_key(arrow: pa.Table, key: Sequence[str]) -> str | None:
    """Return the first key that is there twice, with its first two rows, in words; None where there is none."""
    keys = arrow.select(list(key))
    for place, column in enumerate(keys.columns):
        if pa.types.is_floating(column.type):  # to the database 0.0 and -0.0 are one key
            keys = keys.set_column(place, keys.column_names[place], pc.add(column, 0.0))
    if _ascends(keys):  # what sorted rows need no table of all keys for, which is as large as the frame
        return None
    is_double = keys.group_by(list(key)).aggregate([]).num_rows < keys.num_rows
    return _first_duplicate(keys) if is_double else None


def _ascends(keys: pa.Table) -> bool:
    """Whether each row is greater than the one before; False, too, where that cannot be said."""
    ascends: pa.ChunkedArray | None = None
    try:
        for column in reversed(keys.columns):
            before, after = column.slice(0, keys.num_rows - 1), column.slice(1)
            later = ascends
            ascends = pc.less(before, after)
            if later is not None:
                ascends = pc.or_(ascends, pc.and_(pc.equal(before, after), later))
    except pa.ArrowNotImplementedError:  # of types that have no order
        return False
    return ascends is not None and pc.all(ascends, skip_nulls=False, min_count=0).as_py() is True


def equal_keys(arrow: pa.Table, key: Sequence[str]) -> str | None:
    """Return the first two rows whose keys are equal without regard to case, accents and signs of zero, in words.

    That is what collations may hold equal; whether the table's does, only the server can say.
    """
    if not key or not set(key) <= set(arrow.column_names):
        return None
    seen: dict[tuple[object, ...], int] = {}
    rows = list(zip(*(arrow.column(name).to_pylist() for name in key), strict=True))
    for row, values in enumerate(rows):
        first = seen.setdefault(tuple(map(_loosely, values)), row)
        if first != row:
            return " and ".join(f"{_shown_key(key, rows[each])} (row {each})" for each in (first, row))
    return None


def _loosely(value: object) -> object:
    if isinstance(value, str):
        parts = unicodedata.normalize("NFKD", value.casefold())
        return "".join(char for char in parts if not unicodedata.combining(char)).rstrip(" ")
    return value


def _shown_key(key: Sequence[str], values: Sequence[object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in zip(key, values, strict=True))


def _first_duplicate(keys: pa.Table) -> str:
    seen: dict[tuple[object, ...], int] = {}
    for row, values in enumerate(zip(*(column.to_pylist() for column in keys.columns), strict=True)):
        if values in seen:
            return f"{_shown_key(keys.column_names, values)} (rows {seen[values]} and {row})"
        seen[values] = row
    return "unknown"


def check_same_key(asked: Sequence[str], existing: Sequence[Column], *, table: str) -> None:
    """Raise unless the table's primary key has just the columns ``asked`` for.

    Raises:
        SchemaMismatch: it has another key, or none.
    """
    if {column.name for column in existing if column.key} != set(asked):
        has = ", ".join(repr(column.name) for column in existing if column.key) or "none"
        raise SchemaMismatch(
            f"Cannot store the frame in {table!r}: the table's primary key is {has}, and {list(asked)!r} is asked for. "
            "Leave primary_key out to keep the table's own, or ask for on_schema_change='replace'.",
            table=table,
            problems=[f"primary key is {has}"],
        )


def _arrow_type(sql_type: str) -> pa.DataType | None:
    """Return the Arrow type whose values a column holds exactly, or None where no frame can be written to it."""
    parsed = SqlType.parse(sql_type)
    if parsed.base == "tinyint" and parsed.size == 1:
        return pa.bool_()
    if parsed.base == "decimal":
        return pa.decimal256(parsed.size or 10, parsed.scale or 0)
    return _INTEGERS.get((parsed.base, parsed.unsigned)) or _OTHERS.get(parsed.base)


@lru_cache(maxsize=1000)
def _family(kind: pa.DataType) -> str:
    return next((name for name, belongs in _FAMILIES if belongs(kind)), str(kind))


def _fit(column: pa.ChunkedArray, into: Column, note: Note | None = None) -> tuple[pa.ChunkedArray, list[str]]:
    """Return the column as ``into`` holds it, and what stands against that."""
    if column.null_count and not into.nullable:
        return column, [f"has no value in {shown(positions(pc.is_null(column)))}, and is NOT NULL"]
    wanted = _arrow_type(into.sql_type)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), wanted or pa.string())]), []
    given = _family(column.type)
    as_printed = _as_server_reads(column, into, note or Note())
    if as_printed is not None:
        bad = positions(pc.and_(pc.is_valid(column), pc.is_null(as_printed)))
        return as_printed, [f"has {shown(bad, column)} that {into.sql_type} cannot hold"] if bad else []
    if wanted is not None and given == _family(wanted):
        return _fit_in_family(column, into, wanted)
    as_wanted = _as_numbers(column, wanted)
    bad = positions(pc.and_(pc.is_valid(column), pc.is_null(as_wanted)))
    if wanted is None or bad:
        return column, [f"is {given} in the frame and {into.sql_type} in the table, with {shown(bad, column)}"]
    return _fit_in_family(as_wanted, into, wanted)


def _fit_in_family(column: pa.ChunkedArray, into: Column, wanted: pa.DataType) -> tuple[pa.ChunkedArray, list[str]]:
    try:
        fitted = column if column.type == wanted else column.cast(wanted, safe=column.type != pa.float64())
    except pa.ArrowInvalid:
        bad = first_bad(column, converts(lambda part: part.cast(wanted)))
        return column, [f"has {shown(bad, column)} that {into.sql_type} cannot hold"]
    losses = _losses(column, fitted, into)
    if losses is not None and pc.any(losses).as_py():
        return column, [f"has {shown(positions(losses), column)} that {into.sql_type} cannot hold"]
    return fitted, []


def _as_server_reads(column: pa.ChunkedArray, into: Column, note: Note) -> pa.ChunkedArray | None:
    """Return values for a type that Arrow does not have, as they were read, in the form that the server takes.

    What it does not hold is null. None is returned for all other types, and where the frame has other values.
    """
    found = meaning(note)
    if found is not None and holds_spans(into, note):
        spans = column.cast(pa.duration(found[1])).cast(pa.int64())
        return _each(spans, lambda count: _span(count * 1_000_000 // _A_SECOND[found[1]], count, found[1]))
    as_read = found is None and _READ_AS.get(SqlType.parse(into.sql_type).base) == _family(column.type)
    return _each(column, _converter(into.sql_type)) if as_read else None


_READ_AS = {"bit": "integer", "set": "text", "json": "text"}


def _converter(sql_type: str) -> Callable[[Any], str | bytes | None]:
    """Return what makes of a value that was read the one that is sent, or None of one that the type does not hold."""
    kind = SqlType.parse(sql_type)
    if kind.base == "bit":
        limit = 2 ** (kind.size or 1)
        return lambda number: number.to_bytes(8, "big") if 0 <= number < limit else None
    if kind.base == "set":
        places = {member: place for place, member in enumerate(_members(sql_type))}
        return lambda text: text if _is_set(text, places) else None
    return lambda text: text if _is_json(text) else None


def _each(column: pa.ChunkedArray, convert: Callable[[Any], str | bytes | None]) -> pa.ChunkedArray:
    """Return the values converted, each different one once; all are text, or all bytes."""
    known = {value: convert(value) for value in column.unique().to_pylist() if value is not None}
    found = [None if value is None else known[value] for value in column.to_pylist()]
    kind = pa.binary() if any(isinstance(value, bytes) for value in known.values()) else pa.string()
    return pa.chunked_array([pa.array(found, kind)])


_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LONGEST_SPAN = (838 * 3600 + 59 * 60 + 59) * 10**6


def _span(micros: int, count: int, unit: str) -> str | None:
    """Return a span of time as TIME shows it, or None where it is too long or too fine for that."""
    if abs(micros) > _LONGEST_SPAN or micros * _A_SECOND[unit] != count * 10**6:
        return None
    seconds, rest = divmod(abs(micros), 10**6)
    return f"{'-' if micros < 0 else ''}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:06}"


def _members(sql_type: str) -> list[str]:
    return [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", sql_type)]


def _is_set(text: str, places: Mapping[str, int]) -> bool:
    """Whether a text is what a SET shows: members of it, each once, in its order."""
    members = text.split(",") if text else []
    found = [places.get(member, -1) for member in members]
    return -1 not in found and all(one < next_one for one, next_one in pairwise(found))


def _is_json(text: str) -> bool:
    """Whether a JSON column holds just the value that a text is, in whatever spelling."""
    try:
        value = json_value(text)
        json.dumps(value, ensure_ascii=False).encode()  # of half a surrogate pair Dolt makes U+FFFD
    except (ValueError, RecursionError):
        return False
    return all(map(_is_json_number, _numbers(value)))


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numbers(each)


def _is_json_number(number: float) -> bool:
    """Whether Dolt 1.83 gives back just this number of a JSON text, all of which it holds as doubles.

    Whole ones are printed in full where they have 64 bits, and others with the fewest digits that tell them apart.
    """
    try:
        held = float(number)
    except OverflowError:
        return False
    if held == 0:
        return math.copysign(1, held) > 0
    has_64_bits = -(2.0**63) <= held < 2.0**63
    return not isinstance(number, int) or number == (int(held) if has_64_bits else int(Decimal(repr(held))))


def _as_numbers(column: pa.ChunkedArray, wanted: pa.DataType | None) -> pa.ChunkedArray:
    """Return whole numbers in the other family of numbers, and null for what is of no other family."""
    families = (_family(column.type), None if wanted is None else _family(wanted))
    if families == ("float", "integer"):
        return _integers(column, wanted)
    return _floats(column) if families == ("integer", "float") else pa.chunked_array([pa.nulls(len(column))])


def _integers(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Return floats as integers, and null where there is none of just that value: -0.0 is none."""
    bits = wanted.bit_width - pa.types.is_signed_integer(wanted)
    low, above = (-(2.0**bits) if pa.types.is_signed_integer(wanted) else 0.0), 2.0**bits
    floats = column.cast(pa.float64())
    in_range = pc.and_(pc.greater_equal(floats, low), pc.less(floats, above))
    exact = pc.and_(pc.and_(in_range, pc.equal(pc.trunc(floats), floats)), pc.invert(negative_zeros(floats)))
    return pc.if_else(exact, floats, pa.scalar(None, pa.float64())).cast(wanted, safe=False)


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return integers as floats, and null where there is none of just that value."""
    floats = column.cast(pa.float64(), safe=False)
    above = 2.0 ** (column.type.bit_width - pa.types.is_signed_integer(column.type))
    back = pc.if_else(pc.less(floats, above), floats, 0.0).cast(column.type, safe=False)
    return pc.if_else(pc.equal(back, column), floats, pa.scalar(None, pa.float64()))


def _losses(column: pa.ChunkedArray, fitted: pa.ChunkedArray, into: Column) -> pa.ChunkedArray | None:
    """Return which rows' values the column cannot hold although its Arrow type could; None where none can be lost."""
    parsed = SqlType.parse(into.sql_type)
    if parsed.base == "mediumint":
        low, high = _MEDIUM[parsed.unsigned]
        return pc.or_(pc.less(fitted, low), pc.greater(fitted, high))
    if parsed.base == "year":
        return pc.or_(pc.less(fitted, 1901), pc.greater(fitted, 2155))
    if parsed.base == "float":
        return pc.not_equal(fitted.cast(pa.float64()), column)
    if parsed.base in ("datetime", "timestamp", "time"):
        return _times_lost(fitted.cast(pa.int64()), parsed)
    if parsed.base == "enum":
        return pc.and_(pc.is_valid(fitted), pc.invert(pc.is_in(fitted, pa.array(_members(into.sql_type), pa.string()))))
    return _of_another_length(fitted, parsed)


_TIMESTAMPS = (10**6, 2**31 * 10**6)
"""From when and until before when a TIMESTAMP can be, in microseconds since 1970."""


def _times_lost(micros: pa.ChunkedArray, kind: SqlType) -> pa.ChunkedArray | None:
    """Return which times are finer than the type, or beyond it; None where none can be."""
    step = 10 ** (6 - (kind.size or 0))
    too_fine = None if step == 1 else pc.not_equal(pc.multiply(pc.divide(micros, step), step), micros)
    if kind.base != "timestamp":
        return too_fine
    beyond = _beyond_timestamps(micros)
    return beyond if too_fine is None else pc.or_(beyond, too_fine)


def _beyond_timestamps(micros: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.or_(pc.less(micros, _TIMESTAMPS[0]), pc.greater_equal(micros, _TIMESTAMPS[1]))


def _of_another_length(fitted: pa.ChunkedArray, kind: SqlType) -> pa.ChunkedArray | None:
    """Return which texts or bytes the type cannot hold for their length; None where there are none."""
    size = kind.size or 1
    if kind.base == "binary":  # what is shorter comes back filled up with zeros
        return pc.not_equal(pc.binary_length(fitted), size)
    if kind.base in ("char", "varchar"):
        if (pc.max(pc.binary_length(fitted)).as_py() or 0) <= size:  # counted faster than characters
            return None
        return pc.greater(pc.utf8_length(fitted), size)
    limit = {"varbinary": size, **_TEXT_BYTES, **_BLOB_BYTES}.get(kind.base)
    if limit is None or limit > _LONGEST_VALUE:
        return None
    return pc.greater(pc.binary_length(fitted), limit)


def _widened(column: pa.ChunkedArray, into: Column, new_type: str | None, asked: Asked) -> str | None:
    """Return a type that holds what is in the table and what is in the frame, or None where there is none."""
    wanted = _arrow_type(into.sql_type)
    if wanted is None or (column.null_count and not into.nullable):
        return None
    old, new = SqlType.parse(into.sql_type), SqlType.parse(new_type or into.sql_type)
    given, stored = _family(column.type), _family(wanted)
    if {given, stored} <= {"integer", "float"}:
        return _wider_number(column, into, given, asked)
    if given != stored:
        return None
    if given == "decimal":
        return _wider_decimal(old, new)
    if given in ("text", "bytes"):
        longest = "longtext" if given == "text" else "longblob"
        return new_type if new.base == longest or (new.size or 0) > (old.size or 2**32) else longest
    return _finer_time(column, old) if given in ("timestamp", "time") else None


def _finer_time(column: pa.ChunkedArray, old: SqlType) -> str | None:
    if old.base == "timestamp" and pc.any(_beyond_timestamps(column.cast(pa.int64()))).as_py():
        return None
    return f"{old.base}(6)"


def _wider_number(column: pa.ChunkedArray, into: Column, given: str, asked: Asked) -> str | None:
    old = SqlType.parse(into.sql_type)
    if old.base in ("float", "double"):
        return "double" if given == "float" or old.base == "float" else None
    if given == "integer":
        return _wider_integer(column, old)
    return "double" if old.base != "bigint" or asked.in_double(into.name) else None


def _wider_integer(column: pa.ChunkedArray, old: SqlType) -> str | None:
    limits = pc.min_max(column).as_py()
    negative = not old.unsigned or (limits["min"] is not None and limits["min"] < 0)
    if not negative:
        return "bigint unsigned"
    fits = limits["max"] is None or limits["max"] < 2**63
    return "bigint" if fits and not (old.unsigned and old.base == "bigint") else None


def _wider_decimal(old: SqlType, new: SqlType) -> str:
    scale = max(old.scale or 0, new.scale or 0)
    digits = max((old.size or 10) - (old.scale or 0), (new.size or 10) - (new.scale or 0))
    return f"decimal({min(65, digits + scale)},{scale})"


def _modify(table: str, column: Column, sql_type: str) -> str:
    parts = [f"ALTER TABLE {quote(table)} MODIFY COLUMN {quote(column.name)} {sql_type}"]
    _, collate, collation = column.sql_type.partition(" COLLATE ")  # Dolt says it here, and elsewhere the table's
    if collate:
        parts.append(f"COLLATE {collation}")
    if not column.nullable:
        parts.append("NOT NULL")
    if column.counts:
        parts.append("AUTO_INCREMENT")
    if column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    if column.comment:
        parts.append(f"COMMENT {literal(column.comment)}")
    return " ".join(parts)
