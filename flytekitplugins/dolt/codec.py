"""Frames to SQL columns and rows, and back. Pure: no connection, no Flyte, nothing is read from anywhere.

A frame becomes a `Plan`: Arrow columns, each with the SQL type that holds all its values exactly, as a CREATE TABLE
statement, as tab-separated lines for LOAD DATA, or as VALUES text. `plan` either fits a frame to the columns of an
existing table or refuses it whole. On the way back `select_list` says how to ask for each column so that the transport
changes nothing, and `frame` makes pandas columns from what arrived.

The rules: NaN and None are both NULL, and NULL comes back as pandas has it for the column's type (an integer or boolean
column with NULLs comes back as ``Int64`` or ``boolean``); infinity has no SQL value and is refused; row numbers (an
unnamed integer index) are not stored, any other index is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from .errors import SchemaMismatch, UnsupportedFrame

if TYPE_CHECKING:
    import pandas as pd

BINARY_CHARSET = 63
"""The character set number by which MySQL marks bytes."""

_CHUNK_ROWS = 64 * 1024
_MAX_NAME = 64
_MAX_VARCHAR = 4096
_VARCHAR_BUDGET = 16_000  # characters in all text columns of a row together: MySQL allows 65,535 bytes, 4 a character
_OLDEST_YEAR, _NEWEST_YEAR = 1000, 9999  # what DATE and DATETIME hold


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True)
class Field:
    """A column of a result, as the server announces it."""

    name: str
    wire: str
    """MySQL's name of the type on the wire, for example ``LONGLONG`` or ``NEWDECIMAL``."""
    unsigned: bool
    binary: bool
    length: int
    scale: int


@dataclass(frozen=True)
class Column:
    """A column of an existing table, as ``SHOW COLUMNS`` gives it."""

    name: str
    sql_type: str
    nullable: bool
    key: bool


@dataclass(frozen=True)
class SqlType:
    """An SQL type taken apart: ``decimal(10,2)``, ``bigint unsigned``, ``varchar(20)``."""

    base: str
    size: int | None = None
    scale: int | None = None
    unsigned: bool = False

    @classmethod
    def parse(cls, text: str) -> SqlType:
        """Return the type that ``text`` names; what follows the type itself (a collation) is left out."""
        match = re.match(r"(\w+)(?:\s*\((\d+)(?:\s*,\s*(\d+))?\))?", text.strip().lower())
        if match is None:
            return cls(text)
        base, size, scale = match.groups()
        return cls(base, size and int(size), scale and int(scale), " unsigned" in text.lower())


_INTEGERS = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "tinyint unsigned",
    pa.uint16(): "smallint unsigned",
    pa.uint32(): "int unsigned",
    pa.uint64(): "bigint unsigned",
}
_INTEGER_OF = {("mediumint", False): pa.int32(), ("mediumint", True): pa.uint32()} | {
    (SqlType.parse(text).base, SqlType.parse(text).unsigned): arrow for arrow, text in _INTEGERS.items()
}
_MEDIUM_LIMITS = {False: (-(2**23), 2**23 - 1), True: (0, 2**24 - 1)}
_TEXT_BYTES = {"tinytext": 2**8 - 1, "text": 2**16 - 1, "mediumtext": 2**24 - 1, "longtext": 2**32 - 1}
_BLOB_BYTES = {"tinyblob": 2**8 - 1, "blob": 2**16 - 1, "mediumblob": 2**24 - 1, "longblob": 2**32 - 1}


@dataclass(frozen=True)
class Plan:
    """A frame ready to be stored: Arrow columns under their names, and the SQL type of each."""

    arrow: pa.Table
    sql_types: tuple[str, ...]
    key: tuple[str, ...]

    def create(self, table: str) -> str:
        """Return the CREATE TABLE statement."""
        lines = [
            f"{quote(name)} {sql_type}{' NOT NULL' if name in self.key else ''}"
            for name, sql_type in zip(self.arrow.column_names, self.sql_types, strict=True)
        ]
        if self.key:
            lines.append(f"PRIMARY KEY ({', '.join(map(quote, self.key))})")
        return f"CREATE TABLE {quote(table)} ({', '.join(lines)})"

    def load_clause(self) -> str:
        """Return what follows ``INTO TABLE t`` in the LOAD DATA statement for `lines`."""
        names, sets = [], []
        for number, name in enumerate(self.arrow.column_names):
            if _needs_marks(self.arrow.column(name)):
                names.append(f"@c{number}")
                sets.append(f"{quote(name)} = {_unmarked(f'@c{number}', self.arrow.column(name).type)}")
            else:
                names.append(quote(name))
        clause = f"CHARACTER SET utf8mb4 ({', '.join(names)})"
        return f"{clause} SET {', '.join(sets)}" if sets else clause

    def lines(self) -> Iterator[pa.Buffer]:
        """Give the rows as tab-separated lines, some 64 thousand to a buffer, NULL as ``\\N``."""
        marked = [_needs_marks(column) for column in self.arrow.columns]
        for batch in self.arrow.to_batches(max_chunksize=_CHUNK_ROWS):
            fields = [
                _marked_field(column) if marks else _field(column)
                for column, marks in zip(batch.columns, marked, strict=True)
            ]
            yield from _joined(fields, "\t", "\n")

    def values(self) -> Iterator[str]:
        """Give each row as ``('a','b',NULL)``: every value is a string literal, which the server converts exactly."""
        for batch in self.arrow.to_batches(max_chunksize=_CHUNK_ROWS):
            literals = [_literal(column) for column in batch.columns]
            for row in zip(*(column.to_pylist() for column in literals), strict=True):
                yield f"({','.join(row)})"


def plan(frame: pd.DataFrame, *, key: Sequence[str] | None, existing: Sequence[Column] | None, table: str) -> Plan:
    """Say how ``frame`` is stored in ``table``: anew when ``existing`` is None, else fitted to those columns.

    The plan's columns are in the frame's order. Zero rows are data too: the table exists and has its columns.

    Raises:
        UnsupportedFrame: a name, dtype, value or index cannot be stored exactly.
        SchemaMismatch: the frame does not fit the existing columns; every misfit is listed.
    """
    arrow = _to_arrow(frame)
    _check_key(arrow, key, existing, table)
    if existing is not None:
        return Plan(_fitted(arrow, existing, table), tuple(_types_of(arrow, existing)), ())
    texts = sum(_is_text(column.type) for column in arrow.columns)
    sql_types = tuple(_sql_type(name, arrow.column(name), texts) for name in arrow.column_names)
    return Plan(arrow, sql_types, tuple(key or ()))


# ---------------------------------------------------------------------------------------------- frame to Arrow


def _to_arrow(frame: Any) -> pa.Table:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UnsupportedFrame(
            f"Cannot store a {type(frame).__name__}: DoltTable data is a pandas DataFrame. Convert it first."
        )
    _check_names(list(frame.columns))
    _check_index(frame)
    arrays = [_column_to_arrow(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    return pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])


def _check_names(names: Sequence[Any]) -> None:
    problems = []
    if not names:
        problems.append("it has no columns")
    for name in names:
        if not isinstance(name, str):
            problems.append(f"the name {name!r} is a {type(name).__name__}, not a string")
        elif not name or len(name) > _MAX_NAME or name != name.rstrip() or "\0" in name:
            problems.append(f"the name {name!r} is empty, over 64 characters, or ends with a space")
    folded: dict[str, str] = {}
    for name in (name for name in names if isinstance(name, str)):
        other = folded.setdefault(name.casefold(), name)
        if names.count(name) > 1:
            problems.append(f"the name {name!r} is there {names.count(name)} times")
        elif other != name:
            problems.append(f"the names {other!r} and {name!r} differ only in case, which SQL does not tell apart")
    if problems:
        unique = list(dict.fromkeys(problems))
        raise UnsupportedFrame(f"Cannot store the frame: {'; '.join(unique)}. Rename the columns.", columns=unique)


def _check_index(frame: pd.DataFrame) -> None:
    import pandas as pd

    index = frame.index
    if isinstance(index, pd.MultiIndex) or index.name is not None or not _is_row_number(index):
        named = ", ".join(repr(name) for name in index.names if name is not None)
        raise UnsupportedFrame(
            f"Cannot store the frame: its index ({named or type(index).__name__}) holds data, and an SQL table has "
            "columns only. Call .reset_index() to keep it as columns, or .reset_index(drop=True) to leave it out."
        )


def _is_row_number(index: pd.Index[Any]) -> bool:
    import pandas as pd

    return isinstance(index, pd.RangeIndex) or pd.api.types.is_integer_dtype(index.dtype) or len(index) == 0


def _column_to_arrow(name: str, column: pd.Series[Any]) -> pa.ChunkedArray:
    try:
        array = pa.Array.from_pandas(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise UnsupportedFrame(
            f"Cannot store column {name!r} of dtype {column.dtype}: {str(error).rstrip('.')}. Give the column one "
            "type, for example with .astype(...).",
            columns=[name],
        ) from error
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return _storable(name, chunked, str(column.dtype))


def _storable(name: str, column: pa.ChunkedArray, dtype: str) -> pa.ChunkedArray:
    """Return the column in one of the Arrow types that have an SQL type, with the same values."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _storable(name, column.cast(kind.value_type), dtype)
    if pa.types.is_floating(kind):
        return _finite(name, column.cast(pa.float64()))
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return _dated(name, _in_microseconds(name, column))
    if pa.types.is_date(kind):
        return _dated(name, column.cast(pa.date32()))
    if _is_text(kind) or pa.types.is_null(kind):
        return _without_nul(name, column.cast(pa.string()))
    if kind in _INTEGERS or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return column
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    raise UnsupportedFrame(
        f"Cannot store column {name!r} of dtype {dtype} (Arrow {kind}): it has no exact SQL type here. Convert it to "
        "numbers, text, dates or naive datetimes.",
        columns=[name],
    )


def _finite(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    row = _first(pc.is_inf(column))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: row {row} is {column[row].as_py()}, and SQL has no infinity. Replace it, "
            "for example with None.",
            columns=[name],
        )
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _in_microseconds(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: {str(error).rstrip('.')}, and DATETIME ends at microseconds. Round it with "
            '.dt.floor("us") or store it as an integer.',
            columns=[name],
        ) from error


def _dated(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    years = pc.year(column)
    row = _first(pc.or_(pc.less(years, _OLDEST_YEAR), pc.greater(years, _NEWEST_YEAR)))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: row {row} is in the year {years[row].as_py()}, and SQL dates go from 1000 "
            "to 9999.",
            columns=[name],
        )
    return column


def _without_nul(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    row = _first(pc.match_substring(column, "\0"))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: the text in row {row} has a NUL character in it. Remove it, or store bytes.",
            columns=[name],
        )
    return column


def _first(mask: pa.ChunkedArray) -> int | None:
    """Return the position of the first true value, or None."""
    found: int = pc.index(mask, True).as_py()
    return found if found >= 0 else None


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


# ------------------------------------------------------------------------------------------- Arrow to SQL types


def _sql_type(name: str, column: pa.ChunkedArray, texts: int) -> str:
    """Return the SQL type for a new column; it depends on the dtype, and on values only where they are very long."""
    kind = column.type
    if kind in _INTEGERS:
        return _INTEGERS[kind]
    if pa.types.is_boolean(kind):
        return "tinyint(1)"
    if pa.types.is_floating(kind):
        return "double"
    if pa.types.is_timestamp(kind):
        return "datetime(6)"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_decimal(kind) and kind.precision <= 65 and 0 <= kind.scale <= 30:
        return f"decimal({kind.precision},{kind.scale})"
    if _is_text(kind):
        width = min(_MAX_VARCHAR, _VARCHAR_BUDGET // texts)
        return f"varchar({width})" if _longest(column, pc.utf8_length) <= width else "longtext"
    if pa.types.is_binary(kind):
        return "longblob"
    raise UnsupportedFrame(f"Cannot store column {name!r}: SQL has no type for Arrow {kind}.", columns=[name])


def _longest(column: pa.ChunkedArray, measure: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> int:
    return pc.max(measure(column)).as_py() or 0


def _arrow_type(sql_type: str) -> pa.DataType | None:
    """Return the Arrow type whose values an existing column holds exactly, or None where that is not known here."""
    parsed = SqlType.parse(sql_type)
    if parsed.base == "tinyint" and parsed.size == 1:
        return pa.bool_()
    if (parsed.base, parsed.unsigned) in _INTEGER_OF:
        return _INTEGER_OF[parsed.base, parsed.unsigned]
    if parsed.base == "decimal":
        return pa.decimal256(parsed.size or 10, parsed.scale or 0)
    return {
        "double": pa.float64(),
        "float": pa.float32(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us"),
        "timestamp": pa.timestamp("us"),
        **dict.fromkeys(("char", "varchar", *_TEXT_BYTES), pa.string()),
        **dict.fromkeys(("binary", "varbinary", *_BLOB_BYTES), pa.binary()),
    }.get(parsed.base)


# ------------------------------------------------------------------------------------ fitting an existing table


def _check_key(arrow: pa.Table, key: Sequence[str] | None, existing: Sequence[Column] | None, table: str) -> None:
    absent = [name for name in key or () if name not in arrow.column_names]
    if absent:
        raise UnsupportedFrame(
            f"Cannot store the frame in {table!r}: the primary_key names {', '.join(map(repr, absent))}, and the frame "
            f"has the columns {', '.join(map(repr, arrow.column_names))}.",
            columns=absent,
        )
    for name in key or ():
        row = _first(pc.is_null(arrow.column(name)))
        if row is not None:
            raise UnsupportedFrame(
                f"Cannot store the frame in {table!r}: the key column {name!r} has no value in row {row}.", columns=[name]
            )
    if key is not None and existing is not None and {c.name for c in existing if c.key} != set(key):
        has = ", ".join(repr(c.name) for c in existing if c.key) or "no key"
        raise SchemaMismatch(
            f"Cannot store the frame in {table!r}: the table's primary key is {has}, and {list(key)!r} is asked for. "
            "Leave primary_key out to keep the table's own.",
            table=table,
            problems=[f"primary key is {has}"],
        )


def _types_of(arrow: pa.Table, existing: Sequence[Column]) -> Iterator[str]:
    by_name = {column.name: column.sql_type for column in existing}
    return (by_name[name] for name in arrow.column_names)


def _fitted(arrow: pa.Table, existing: Sequence[Column], table: str) -> pa.Table:
    """Return the columns in the types of the existing table, having listed every reason why that may not be exact."""
    problems: list[str] = []
    by_name = {column.name: column for column in existing}
    problems += [f"column {c.name!r} ({c.sql_type}) is missing" for c in existing if c.name not in arrow.column_names]
    problems += [f"column {n!r} is not in the table" for n in arrow.column_names if n not in by_name]
    columns = []
    for name in arrow.column_names:
        if name in by_name:
            column, found = _fit(arrow.column(name), by_name[name])
            columns.append(column)
            problems += [f"column {name!r} {text}" for text in found]
    if problems:
        raise SchemaMismatch(
            f"Cannot store the frame in {table!r}, nothing was written: {'; '.join(problems)}. Give the frame the "
            "table's columns and types, or write to another table.",
            table=table,
            problems=problems,
        )
    return pa.Table.from_arrays(columns, names=arrow.column_names)


def _fit(column: pa.ChunkedArray, into: Column) -> tuple[pa.ChunkedArray, list[str]]:
    """Return the column as ``into`` holds it, and what stands against that."""
    row = _first(pc.is_null(column))
    if row is not None and not into.nullable:
        return column, [f"has no value in row {row}, and is NOT NULL"]
    wanted = _arrow_type(into.sql_type)
    if column.null_count == len(column):
        return column, []
    if wanted is None or _family(column.type) != _family(wanted):
        return column, [f"is {column.type} in the frame and {into.sql_type} in the table"]
    try:
        fitted = column.cast(wanted)
    except pa.ArrowInvalid as error:
        return column, [f"does not fit {into.sql_type}: {str(error).rstrip('.')}"]
    return fitted, _losses(column, fitted, SqlType.parse(into.sql_type))


def _family(kind: pa.DataType) -> str:
    families: tuple[tuple[str, Callable[[pa.DataType], bool]], ...] = (
        ("boolean", pa.types.is_boolean),
        ("integer", pa.types.is_integer),
        ("float", pa.types.is_floating),
        ("decimal", pa.types.is_decimal),
        ("timestamp", pa.types.is_timestamp),
        ("date", pa.types.is_date),
        ("text", _is_text),
        ("bytes", pa.types.is_binary),
    )
    return next((name for name, belongs in families if belongs(kind)), str(kind))


def _losses(column: pa.ChunkedArray, fitted: pa.ChunkedArray, into: SqlType) -> list[str]:
    """Say which value an existing column could not hold although its Arrow type could."""
    row = None
    if into.base == "mediumint":
        low, high = _MEDIUM_LIMITS[into.unsigned]
        row = _first(pc.or_(pc.less(fitted, low), pc.greater(fitted, high)))
    elif into.base == "float":
        row = _first(pc.not_equal(fitted.cast(pa.float64()), column))
    elif into.base in ("datetime", "timestamp"):
        step = 10 ** (6 - (into.size or 0))
        micros = fitted.cast(pa.int64())
        row = _first(pc.not_equal(pc.multiply(pc.floor(pc.divide(pc.cast(micros, pa.float64()), step)), step), micros))
    elif into.base in ("char", "varchar"):
        row = _first(pc.greater(pc.utf8_length(fitted), into.size or 1))
    elif into.base in ("binary", "varbinary"):
        row = _first(pc.greater(pc.binary_length(fitted), into.size or 1))
    elif into.base in _TEXT_BYTES or into.base in _BLOB_BYTES:
        row = _first(pc.greater(pc.binary_length(fitted), (_TEXT_BYTES | _BLOB_BYTES)[into.base]))
    return [f"has a value in row {row} that {into.base}({into.size or ''}) cannot hold"] if row is not None else []


# ---------------------------------------------------------------------------------------------- rows as text


def _text(column: pa.Array) -> pa.Array:
    """Return each value as the text from which the server makes exactly that value; bytes as hexadecimal digits."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.string())
    if pa.types.is_binary(kind):
        digits = [None if value is None else value.hex() for value in column.to_pylist()]
        return pa.array(digits, pa.string())
    return column.cast(pa.string())


def _field(column: pa.Array) -> pa.Array:
    text = _text(column)
    return pc.fill_null(_escaped(text) if _is_text(column.type) else text, "\\N")


def _marked_field(column: pa.Array) -> pa.Array:
    text = _text(column)
    marked = pc.binary_join_element_wise("=", _escaped(text), "")
    return pc.fill_null(marked, "!")


def _needs_marks(column: pa.ChunkedArray) -> bool:
    """Whether LOAD DATA needs help: it reads the very text ``NULL`` as no value, and bytes go as digits."""
    if pa.types.is_binary(column.type):
        return True
    return _is_text(column.type) and bool(pc.any(pc.equal(column, "NULL")).as_py())


def _unmarked(variable: str, kind: pa.DataType) -> str:
    value = f"SUBSTRING({variable}, 2)"
    return f"IF({variable} = '!', NULL, {f'UNHEX({value})' if pa.types.is_binary(kind) else value})"


_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"))


def _escaped(text: pa.Array) -> pa.Array:
    for character, escape in _ESCAPES:
        if pc.any(pc.match_substring(text, character)).as_py():
            text = pc.replace_substring(text, character, escape)
    return text


def _joined(fields: list[pa.Array], separator: str, end: str) -> Iterator[pa.Buffer]:
    lines = pc.binary_join_element_wise(*fields, separator) if len(fields) > 1 else fields[0]
    lines = pc.binary_join_element_wise(lines, "", end)
    for chunk in lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]:
        # The lines stand one behind the other in the data buffer already: no copy into one text.
        offsets = pa.Array.from_buffers(pa.int32(), len(chunk) + 1, [None, chunk.buffers()[1]], offset=chunk.offset)
        start, stop = offsets[0].as_py(), offsets[len(chunk)].as_py()
        if stop > start:
            yield chunk.buffers()[2].slice(start, stop - start)


def _literal(column: pa.Array) -> pa.Array:
    text = _text(column)
    if pa.types.is_binary(column.type):
        literal = pc.binary_join_element_wise("UNHEX('", text, "')", "")
    else:
        if _is_text(column.type):
            text = pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), "'", "\\'")
        literal = pc.binary_join_element_wise("'", text, "'", "")
    return pc.fill_null(literal, "NULL")


def insert_statements(table: str, columns: Sequence[str], values: Iterator[str], *, size: int = 1 << 20) -> Iterator[str]:
    """Give INSERT statements of about ``size`` characters for rows that are SQL text already."""
    head = f"INSERT INTO {quote(table)} ({', '.join(map(quote, columns))}) VALUES "
    batch: list[str] = []
    length = 0
    for value in values:
        batch.append(value)
        length += len(value)
        if length > size:
            yield head + ",".join(batch)
            batch, length = [], 0
    if batch:
        yield head + ",".join(batch)


# ------------------------------------------------------------------------------------------------- way back


@dataclass(frozen=True)
class Wanted:
    """How one column is asked for, and what it is when it has arrived."""

    select: str
    """The expression in the select list."""
    arrow: pa.DataType | None
    """The Arrow type to give it afterwards; None leaves it as it arrives."""


def wanted(fields: Sequence[Field], columns: Sequence[Column] = ()) -> list[Wanted]:
    """Say how to ask for result columns ``fields`` so that no value changes on the way.

    ``columns`` are the table's own, where the result is a table: they tell a boolean from a small integer.
    """
    booleans = {c.name for c in columns if SqlType.parse(c.sql_type) == SqlType("tinyint", 1)}
    return [_wanted(field, field.name in booleans) for field in fields]


def _wanted(field: Field, boolean: bool) -> Wanted:
    name = quote(field.name)
    if boolean:
        return Wanted(name, pa.bool_())
    if field.wire == "NEWDECIMAL":  # the transport wants all values at one scale and has no more than 128 bits
        precision = max(1, field.length - (1 if field.scale else 0) - (0 if field.unsigned else 1))
        return Wanted(f"CAST({name} AS CHAR)", pa.decimal256(min(precision, 76), field.scale))
    if field.wire in ("TIME", "JSON", "BIT", "GEOMETRY"):
        return Wanted(f"CAST({name} AS CHAR)", None)
    return Wanted(name, pa.binary() if field.binary and field.wire.endswith(("BLOB", "STRING", "VARCHAR")) else None)


def restored(arrived: pa.Table, plan: Sequence[Wanted], names: Sequence[str]) -> pa.Table:
    """Return the columns that arrived, under their names and in their types."""
    columns = []
    for column, want in zip(arrived.columns, plan, strict=True):
        if want.arrow is None:
            columns.append(column)
        elif pa.types.is_boolean(want.arrow):
            small = pc.all(pc.less_equal(pc.abs_checked(column.cast(pa.int16())), 1)).as_py() is not False
            columns.append(column.cast(pa.bool_()) if small else column)
        else:
            columns.append(column.cast(want.arrow))
    return pa.Table.from_arrays(columns, names=list(names))


def from_text(fields: Sequence[Field], rows: Sequence[tuple[bytes | None, ...]]) -> pa.Table:
    """Return rows that the server printed as an Arrow table in the types of ``fields``."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
    arrays = [_from_text(field, pa.array(values, pa.binary())) for field, values in zip(fields, columns, strict=True)]
    return pa.Table.from_arrays(arrays, names=[field.name for field in fields])


_WIRE_TYPES = {
    "TINY": (pa.int8(), pa.uint8()),
    "SHORT": (pa.int16(), pa.uint16()),
    "INT24": (pa.int32(), pa.uint32()),
    "LONG": (pa.int32(), pa.uint32()),
    "LONGLONG": (pa.int64(), pa.uint64()),
    "FLOAT": (pa.float32(), pa.float32()),
    "DOUBLE": (pa.float64(), pa.float64()),
    "DATE": (pa.date32(), pa.date32()),
    "DATETIME": (pa.timestamp("us"), pa.timestamp("us")),
    "TIMESTAMP": (pa.timestamp("us"), pa.timestamp("us")),
    "YEAR": (pa.int16(), pa.int16()),
}


def _from_text(field: Field, values: pa.Array) -> pa.Array:
    if field.binary and field.wire.endswith(("BLOB", "STRING", "VARCHAR")):
        return values
    text = values.cast(pa.string())
    if field.wire == "NEWDECIMAL":
        want = _wanted(field, False).arrow
        return text.cast(want)
    return text.cast(_WIRE_TYPES[field.wire][field.unsigned]) if field.wire in _WIRE_TYPES else text


def frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as a frame; integers and booleans with NULLs keep their values in nullable dtypes."""
    import pandas as pd

    nullable = {
        kind: getattr(pd, f"{'U' if pa.types.is_unsigned_integer(kind) else ''}Int{kind.bit_width}Dtype")()
        for kind in _INTEGERS
    } | {pa.bool_(): pd.BooleanDtype()}
    # All at once, because columns converted one by one would be read-only views of Arrow's memory.
    converted: pd.DataFrame = table.to_pandas()
    for position, column in enumerate(table.columns):
        if column.null_count and column.type in nullable:
            converted.isetitem(position, column.to_pandas(types_mapper=nullable.get))
    return converted
