"""A table's columns, profiled and made ready to be compared, read on a connection that is given.

What is computed stands in `profiles`; here is decided what is read for it. Where rows come natively, the table is a
file that is mapped into memory, of which one column after the other is looked at, and everything is exact up to many
rows. Of more, the rows that are compared are drawn; what the columns hold is exact whatever their number.

By SQL a table of no more rows than are asked for is read whole. Of a larger one a sample of rows is read, which is what
is compared; the server counts what it counts as we do, and columns of other values (text that it folds, times of day,
JSON, bytes) are read one after the other. So what is in memory is the sample and one column at most.

The sample of a table with a key holds each row whose key, hashed together with the seed, is below a bound: each row has
the same chance, on its own, and the rows of the same keys are drawn from every state of the table. About as many rows
as are asked for are drawn. By SQL the server hashes (MD5), natively `key_hashes` does, so that they draw different
rows. Of a table without a key, and of a view, just as many are drawn by their number in the order of storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from ..codec import arrow_tables
from ..codec.notes import Notes
from ..errors import attempting
from ..model.sql_text import quote
from ..profiles import columns as column_profiles
from ..profiles import key_hashes
from ..profiles.columns import (
    EXACT_ROWS,
    EXACT_ROWS_NATIVELY,
    MOST_FREQUENT,
    ColumnProfile,
    Sample,
    TableProfile,
    drawn_rows,
)
from ..profiles.counting import ORDERED, Values, counted, values_of
from ..profiles.shifts import Side
from . import native, reading

if TYPE_CHECKING:
    from ..repository.connections import Connection
    from .fitting import TableSchema

_HASHES = 16**32
"""How many hashes there are, as MD5 gives them."""


Most: TypeAlias = int | Literal["auto"] | None
"""Of more rows than this as many are drawn; None compares all, and "auto" is as many as the way of rows allows."""


def side(connection: Connection, table: str, *, columns: Sequence[str] | None, sample: Most, seed: int) -> Side:
    """Return ``table``, in the revision the connection is on, as one of two that are compared.

    Raises:
        TableNotFound: there is no such table at that revision.
        SchemaMismatch: it has no column of a name in ``columns``.
    """
    with attempting(f"read table {table!r}"):
        found = _stored(connection, table, columns)
        if found is not None:
            most = EXACT_ROWS_NATIVELY if sample == "auto" else sample
            types = _types(found.existing, found.notes)
            return Side(found.num_rows, found, types, chosen=_chosen(found, most, seed))
        rows = _rows(connection, table, columns, EXACT_ROWS if sample == "auto" else sample, seed)
        if rows.drawn is None:
            return Side(rows.arrow.num_rows, rows.arrow, rows.types)
        return Side(rows.drawn.of, rows.arrow, rows.types, {each.name: each for each in _profiles(connection, rows)})


def profile(
    connection: Connection, table: str, *, columns: Sequence[str] | None, sample: int | None, seed: int
) -> TableProfile:
    """Return what the columns of ``table`` hold in the revision the connection is on.

    Raises:
        TableNotFound, SchemaMismatch: as of `side`.
    """
    with attempting(f"read table {table!r}"):
        found = _stored(connection, table, columns)
        if found is not None:
            return _natively(found)
        rows = _rows(connection, table, columns, sample, seed)
        if rows.drawn is None:
            return column_profiles.profile_of(rows.arrow, types=rows.types, sample=None)
        return TableProfile(rows.drawn.of, tuple(_profiles(connection, rows)))


def _types(existing: TableSchema, notes: Notes) -> dict[str, str]:
    """Return the SQL types of columns; of text that holds lists and dictionaries it says so."""
    noted = {name for name, note in notes.columns.items() if note.json}
    return {name: f"json in {sql_type}" if name in noted else sql_type for name, sql_type in existing.sql_types.items()}


# ------------------------------------------------------------------------------------------------------------ natively


def _stored(connection: Connection, table: str, columns: Sequence[str] | None) -> reading.StoredColumns | None:
    if native.unavailable(connection) is not None:
        return None
    return reading.stored(connection, table, columns=columns)


def _natively(found: reading.StoredColumns) -> TableProfile:
    types = _types(found.existing, found.notes)
    columns = (
        column_profiles.profile_of_column(name, found.column(name), type_text=types[name])
        for name in found.column_names
    )
    return TableProfile(found.num_rows, tuple(columns))


def _chosen(found: reading.StoredColumns, most: int | None, seed: int) -> np.ndarray[Any, Any] | None:
    """Return the numbers of the rows that are compared, where these are not all."""
    if most is None or found.num_rows <= most:
        return None
    if found.existing.key:
        return key_hashes.drawn(found.keys(), rows=most, of=found.num_rows, seed=seed)
    drawn = drawn_rows(found.num_rows, most, seed)
    return None if drawn is None else drawn.rows


# ---------------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True)
class _Rows:
    """Rows of a table that were read: all of them, or some that were drawn."""

    table: str
    existing: TableSchema
    arrow: pa.Table
    notes: Notes
    drawn: Sample | None = None
    """What was drawn; None where these are all rows."""

    @cached_property
    def types(self) -> dict[str, str]:
        """The SQL types of columns, as `_types` says them."""
        return _types(self.existing, self.notes)


def _rows(connection: Connection, table: str, columns: Sequence[str] | None, sample: int | None, seed: int) -> _Rows:
    existing = reading.describe(connection, table)
    if sample is not None and existing is not None:
        reading.check_columns(table, columns or (), list(existing.sql_types))
        ((count,),) = connection.query(f"SELECT COUNT(*) FROM {quote(table)}")
        if int(count) > sample:
            return _some_rows(connection, table, existing, columns, Sample(seed, sample, int(count)))
    found = reading.read(connection, table, columns=columns, order_by=[])
    assert existing is not None  # noqa: S101  # for the type checker: else reading has raised
    return _Rows(table, existing, found.to_arrow(), found.notes)


def _some_rows(
    connection: Connection, table: str, existing: TableSchema, columns: Sequence[str] | None, wanted: Sample
) -> _Rows:
    notes = reading.settled(connection, table, columns=columns, holding=arrow_tables.holding)
    arrow = (
        _by_key(connection, table, existing, columns, notes, wanted)
        if existing.key
        else _by_number(connection, table, columns, wanted)
    )
    return _Rows(table, existing, arrow, notes, replace(wanted, rows=arrow.num_rows))


def _by_key(
    connection: Connection,
    table: str,
    existing: TableSchema,
    columns: Sequence[str] | None,
    notes: Notes,
    wanted: Sample,
) -> pa.Table:
    key = ", ".join(map(quote, existing.key))
    bound = f"{_HASHES * wanted.rows // wanted.of:032x}"
    where = f"MD5(CONCAT_WS(',', '{int(wanted.seed)}', {key})) < '{bound}'"
    types = {name: existing.sql_types[name] for name in reading.columns_of(existing, columns)}
    return _decoded(reading.select(connection, quote(table), types, where=where), notes)


def _by_number(connection: Connection, table: str, columns: Sequence[str] | None, wanted: Sample) -> pa.Table:
    drawn = column_profiles.drawn_rows(wanted.of, wanted.rows, wanted.seed)
    chosen = np.arange(wanted.of) if drawn is None else drawn.rows
    found, start = [], 0
    with reading.stream(
        connection,
        table,
        batch_rows=reading.BATCH_ROWS,
        columns=columns,
        order_by=[],
        holding=arrow_tables.holding,
    ) as parts:
        for part in parts:
            here = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + part.arrow.num_rows)]
            found.append(part.to_arrow().take(pa.array(here - start)))
            start += part.arrow.num_rows
    return pa.concat_tables(found)


def _decoded(rows: pa.Table, notes: Notes) -> pa.Table:
    return reading.ReadResult(rows, notes).to_arrow()


# --------------------------------------------------------------------------------------------- counted by the server


def _profiles(connection: Connection, rows: _Rows) -> list[ColumnProfile]:
    """Return what the columns of all rows hold, of which some were drawn."""
    drawn = {
        name: values_of(column, rows.types.get(name))
        for name, column in zip(rows.arrow.column_names, rows.arrow.columns, strict=True)
    }
    by_sql = native.unavailable(connection) is not None
    asked = {n: values for n, values in drawn.items() if by_sql and _counts_as_we_do(rows.existing, n, values)}
    counts = _counts(connection, rows, asked)
    bounds = _bounds(connection, rows, [name for name, values in asked.items() if values.kind in ORDERED])
    return [
        _completed(connection, rows, values, replace(counts[name], **bounds.get(name, {})))
        if name in asked
        else _whole_column(connection, rows, name)
        for name, values in drawn.items()
    ]


def _whole_column(connection: Connection, rows: _Rows, name: str) -> ColumnProfile:
    whole = reading.read(connection, rows.table, columns=[name], order_by=[]).to_arrow()
    return column_profiles.profile_of_column(name, whole.column(name), type_text=rows.types[name])


def _completed(connection: Connection, rows: _Rows, values: Values, profile: ColumnProfile) -> ColumnProfile:
    """Return a profile with what its kind has beside counts and bounds; ``values`` are those that were drawn."""
    if values.kind in ORDERED:
        part = counted([values])
        assert part is not None  # noqa: S101  # for the type checker: one column always has one kind
        return replace(profile, quantiles=column_profiles.quantiles_of(part), sampled=rows.drawn)
    if not profile.distinct:
        return profile
    profile = replace(profile, frequent=_frequent(connection, rows, profile.name))
    return replace(profile, **_lengths(connection, rows.table, profile.name)) if values.is_text else profile


def _counts_as_we_do(existing: TableSchema, name: str, values: Values) -> bool:
    """Whether the server tells the values of a column apart as we do.

    It folds texts of some collations, and does not say so of views; Dolt 1.83 cannot count different values of the type
    TIME.
    """
    if values.kind == "other" or not existing.statement.startswith("CREATE TABLE "):
        return False
    (column,) = (each for each in existing.columns if each.name == name)
    is_folded = column.compares_by is not None and not column.compares_by.endswith("_bin")
    return not is_folded and not reading.times_of({name: column.sql_type})


def _counts(connection: Connection, rows: _Rows, columns: Mapping[str, Values]) -> dict[str, ColumnProfile]:
    """Return how many values columns have, and the mean of numbers."""
    if not columns or rows.drawn is None:
        return {}
    terms = [
        f"COUNT({quote(name)}), COUNT(DISTINCT {quote(name)}), {_sum_of(name, values.kind)}"
        for name, values in columns.items()
    ]
    (found,) = connection.query(f"SELECT {', '.join(terms)} FROM {quote(rows.table)}")
    total, profiles = rows.drawn.of, {}
    for place, (name, values) in enumerate(columns.items()):
        there, distinct, added = found[3 * place : 3 * place + 3]
        mean = None if added is None else float(added / there)  # the server's AVG rounds that of decimals
        missing = total - int(there)
        profiles[name] = ColumnProfile(name, values.type, values.kind, total, missing, int(distinct), mean=mean)
    return profiles


def _sum_of(name: str, kind: str) -> str:
    return f"SUM({quote(name)})" if kind == "number" else "NULL"


def _bounds(connection: Connection, rows: _Rows, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the least and the greatest values of columns, as Python has them."""
    if not names:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for bound, function in (("minimum", "MIN"), ("maximum", "MAX")):
        terms = ", ".join(f"{function}({quote(name)}) AS {quote(name)}" for name in names)
        values = _selected(connection, rows, names, f"SELECT {terms} FROM {quote(rows.table)}")
        for name in names:
            found.setdefault(name, {})[bound] = _python(values.column(name), rows.types[name])
    return found


def _python(column: pa.ChunkedArray, type_text: str) -> Any:
    """Return the one value of a column as a profile has it."""
    return column_profiles.profile_of_column("", column, type_text=type_text).minimum


def _frequent(connection: Connection, rows: _Rows, name: str) -> tuple[tuple[Any, int], ...]:
    own, count = quote(name), quote(f"{name}#")
    source = (
        f"SELECT {own}, COUNT(*) AS {count} FROM {quote(rows.table)} WHERE {own} IS NOT NULL GROUP BY {own} "
        f"ORDER BY {count} DESC, {own} LIMIT {MOST_FREQUENT}"
    )
    found = _selected(connection, rows, [name], source, {f"{name}#": "bigint"})
    values = values_of(found.column(name), rows.types[name]).present.to_pylist()
    pairs = zip(values, found.column(f"{name}#").to_pylist(), strict=True)
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _lengths(connection: Connection, table: str, name: str) -> dict[str, Any]:
    length = f"CHAR_LENGTH({quote(name)})"
    ((least, most, mean),) = connection.query(f"SELECT MIN({length}), MAX({length}), AVG({length}) FROM {quote(table)}")
    return {"shortest": int(least), "longest": int(most), "mean_length": float(mean)}


def _selected(
    connection: Connection,
    rows: _Rows,
    names: Sequence[str],
    source: str,
    others: Mapping[str, str] | None = None,
) -> pa.Table:
    """Return rows of a query in the types that columns of the table have."""
    types = {name: rows.existing.sql_types[name] for name in names} | dict(others or {})
    return _decoded(reading.select(connection, f"({source}) AS found", types), rows.notes)
