"""Rows into a frame, piece by piece: what a session's statement gives, as one Parquet file of exact types.

At no time are more rows in memory than one piece holds. From MySQL, MariaDB and Dolt pieces come straight from the
stream (`text_rows`) with the types that the server announces (`columns`); from other servers as Python values, whose
types are those of the driver's or of the values. It knows no Flyte.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..doltdb import text_rows
from . import prepared
from .columns import arrow_type, converted
from .errors import UnreadableResult

if TYPE_CHECKING:
    from sqlalchemy.engine import CursorResult

    from ..doltdb.wire_types import Column
    from .connections import Session

ROWS_AT_ONCE = 2_000
"""Rows of a piece, where they come one by one."""

# PostgreSQL's numbers of types whose values have one Arrow type, or only a text; others are known by their values.
_POSTGRES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    17: pa.binary(),
    19: pa.string(),
    20: pa.int64(),
    21: pa.int64(),
    23: pa.int64(),
    25: pa.string(),
    26: pa.int64(),
    114: pa.string(),
    142: pa.string(),
    650: pa.string(),
    700: pa.float32(),
    701: pa.float64(),
    790: pa.string(),
    829: pa.string(),
    869: pa.string(),
    1042: pa.string(),
    1043: pa.string(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
    1186: pa.duration("us"),
    1266: pa.string(),
    1560: pa.string(),
    1562: pa.string(),
    2950: pa.string(),
    3802: pa.string(),
}
_POSTGRES_NUMERIC = 1700
MOST_DIGITS = 76
"""Digits of the widest DECIMAL that Arrow holds."""


def assert_distinct(names: Sequence[str]) -> None:
    """Refuse a result with two columns of one name.

    Raises:
        UnreadableResult: there are some.
    """
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UnreadableResult(
            f"several columns are called {', '.join(map(repr, twice))}, and a frame has one of each name. Give them "
            "names of their own with AS.",
            columns=twice,
        )


def from_stream(session: Session, sql: str) -> Generator[pa.RecordBatch, None, None]:
    """Run a statement on PyMySQL's connection and give its rows from the stream; at least one batch, maybe empty."""
    number = None if session.is_dolt else prepared.with_floats(session.raw, sql)
    if number is None:
        session.raw.query(sql, unbuffered=True)
    else:
        session.raw.run_prepared(number)
    described = session.raw.columns()

    def take_apart(rows: text_rows.Rows) -> list[pa.Array]:
        is_text = number is None
        return text_rows.taken_apart(rows, len(described)) if is_text else prepared.taken_apart(rows, described)

    schema = pa.schema([(column.name, arrow_type(column)) for column in described])
    try:
        assert_distinct(schema.names)
        yield pa.RecordBatch.from_pylist([], schema=schema)
    except BaseException:
        session.raw.hang_up()
        raise
    if described:
        with contextlib.closing(text_rows.pieces(session.raw, take_apart=take_apart)) as pieces:
            for piece in pieces:
                yield _batch(described, piece)


def from_procedure(session: Session, sql: str) -> Generator[pa.RecordBatch, None, None]:
    """Run a CALL on PyMySQL's connection and give the rows of its first result, which has to be the only one."""
    raw = session.raw
    with raw.printing():
        raw.query(sql)
        described, arrays = raw.columns(), text_rows.whole(raw) if raw.columns() else []
        while raw.has_more_results:
            raw.next_result()
            if raw.columns():
                raise UnreadableResult("the procedure gives several results, and a frame is made of one.", columns=[])
    assert_distinct([column.name for column in described])
    yield _batch(described, arrays)


def _batch(described: Sequence[Column], arrays: Sequence[pa.Array]) -> pa.RecordBatch:
    values = [converted(column, array) for column, array in zip(described, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(values, names=[column.name for column in described])


def from_driver(result: CursorResult[Any]) -> Generator[pa.RecordBatch, None, None]:
    """Give the rows of a statement that SQLAlchemy ran; at least one batch, maybe empty."""
    if not result.returns_rows:
        return
    with contextlib.closing(result):  # a cursor on the server's side is not closed by a failure
        described = result.cursor.description if result.cursor else []
        names = [str(column[0]) for column in described]
        assert_distinct(names)
        is_postgres = result.context.dialect.name == "postgresql"
        types = [_announced(column) if is_postgres else None for column in described]
        yield _typed(names, types, [])
        for rows in result.partitions(ROWS_AT_ONCE):
            yield _typed(names, types, rows)


def _announced(column: Any) -> pa.DataType | None:
    """Return the type that PostgreSQL's description of a column means, or None if only the values tell."""
    code, precision, scale = column[1], column[4], column[5]
    if code == _POSTGRES_NUMERIC and precision and 0 <= (scale or 0) <= precision <= MOST_DIGITS:
        return pa.decimal128(precision, scale or 0) if precision <= 38 else pa.decimal256(precision, scale or 0)
    return _POSTGRES.get(code) if isinstance(code, int) else None


def _typed(names: Sequence[str], types: Sequence[pa.DataType | None], rows: Sequence[Any]) -> pa.RecordBatch:
    values = zip(*rows, strict=True) if rows else ([] for _ in names)
    arrays = [_array(name, kind, list(column)) for name, kind, column in zip(names, types, values, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def _array(name: str, kind: pa.DataType | None, values: list[Any]) -> pa.Array:
    if kind is not None and pa.types.is_string(kind):
        values = [None if value is None else str(value) for value in values]
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise UnreadableResult(
            f"column {name!r} has values that one column of a frame cannot hold exactly ({error}). Cast it in the "
            "query.",
            columns=[name],
        ) from None


def narrowed(batches: Iterable[pa.RecordBatch], *, digits: int) -> Iterator[pa.RecordBatch]:
    """Give the batches with DECIMALs of at most so many ``digits``, for readers that know no wider ones.

    Raises:
        UnreadableResult: a value has more.
    """
    for batch in batches:
        schema = pa.schema([pa.field(column.name, _narrow(column.type, digits)) for column in batch.schema])
        yield batch if schema == batch.schema else _as(batch, schema)


def _narrow(kind: pa.DataType, digits: int) -> pa.DataType:
    wide = pa.types.is_decimal(kind) and kind.precision > digits
    return pa.decimal128(digits, min(kind.scale, digits)) if wide else kind


class Spool:
    """A Parquet file that is written batch by batch.

    Where a later batch needs a wider type, or has the first missing value of an integer column, what is there already
    is written again, piece by piece: readers find types and metadata in the file's head only.
    """

    def __init__(self, path: Path, *, notes: Mapping[str, object]) -> None:
        self.rows = 0
        self.schema = pa.schema([])
        self._path = path
        self._notes = notes
        self._with_nulls: set[str] = set()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def take(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Append the batches."""
        for batch in batches:
            nulls = self._with_nulls | _with_missing(batch)
            schema = _wide_enough(self.schema, batch.schema)
            changed = schema != self.schema or nulls != self._with_nulls
            self.schema, self._with_nulls = schema, nulls
            if len(batch):
                self._open(again=changed).write_batch(_as(batch, self._full_schema()))
                self.rows += len(batch)

    def finish(self) -> None:
        """Write the file of a result without rows, too."""
        self._open(again=False)

    def _open(self, *, again: bool) -> pq.ParquetWriter:
        if self._writer is not None and not again:
            return self._writer
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._full_schema())
            return self._writer
        self._writer.close()
        old = self._path.rename(self._path.with_suffix(".narrow"))
        self._writer = pq.ParquetWriter(self._path, self._full_schema())
        with pq.ParquetFile(old) as file:
            for group in range(file.num_row_groups):  # one piece each; iter_batches would put many into one
                for batch in file.read_row_group(group).to_batches():
                    self._writer.write_batch(_as(batch, self._full_schema()))
        old.unlink()
        return self._writer

    def _full_schema(self) -> pa.Schema:
        """Return the schema with what pandas needs to know, and the notes for ``attrs`` and metadata."""
        said = {"pandas": json.dumps(_pandas_metadata(self.schema, self._with_nulls))}
        if self._notes:
            said |= {"PANDAS_ATTRS": json.dumps(self._notes)}
            said |= {key: json.dumps(v) if isinstance(v, dict) else str(v) for key, v in self._notes.items()}
        return self.schema.with_metadata(said)


def _with_missing(batch: pa.RecordBatch) -> set[str]:
    """Return the columns with missing values whose pandas dtype depends on that."""
    found = zip(batch.schema, batch.columns, strict=True)
    return {f.name for f, a in found if a.null_count and (pa.types.is_integer(f.type) or pa.types.is_boolean(f.type))}


def _wide_enough(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    if not schema.names or schema == other:
        return other
    try:
        return pa.unify_schemas([schema, other], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UnreadableResult(
            f"a column changes its type from row to row ({error}). Cast it in the query.", columns=[]
        ) from None


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch with the types of the schema; what they cannot hold exactly is refused."""
    try:
        return batch.cast(schema)
    except pa.ArrowInvalid as error:
        raise UnreadableResult(
            f"a column has values that one column of a frame cannot hold exactly ({error}). Cast it in the query.",
            columns=[],
        ) from None


def _pandas_metadata(schema: pa.Schema, with_nulls: set[str]) -> dict[str, object]:
    """Return the metadata by which integers and booleans stay what they are in pandas, beside missing values."""

    def column(entry: pa.Field) -> dict[str, object]:
        dtype = "object"
        if entry.name in with_nulls:
            integer = "UInt64" if pa.types.is_unsigned_integer(entry.type) else "Int64"
            dtype = "boolean" if pa.types.is_boolean(entry.type) else integer
        return {
            "name": entry.name,
            "field_name": entry.name,
            "pandas_type": "empty" if dtype == "object" else dtype.lower(),
            "numpy_type": dtype,
            "metadata": None,
        }

    creator = {"library": "pyarrow", "version": pa.__version__}
    columns = [column(entry) for entry in schema]
    return {
        "index_columns": [],
        "column_indexes": [],
        "columns": columns,
        "creator": creator,
        "pandas_version": "2.0.0",
    }
