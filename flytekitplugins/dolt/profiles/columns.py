"""What a column holds, as numbers: rows, missing and distinct values, range and spread, and what is frequent. Pure.

Missing is what has no value: NULL, and NaN, NaT, NA and None, which tables hold as NULL. Infinities are values. The
same rows in another order have the same profile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...doltdb.fields import described
from ..errors import InvalidConfig, close_names
from ..model import notebooks
from .counting import ORDERED, Counted, Kind, Values, counted, most_frequent, values_of

if TYPE_CHECKING:
    import pandas as pd

EXACT_ROWS = 1_000_000
"""Up to how many rows everything is exact; of more, this many are drawn for what takes an order of all values."""

EXACT_ROWS_NATIVELY = 4_000_000
"""The same where a column at a time is in memory, as rows come natively."""


def check_asked(columns: object, sample: object) -> None:
    """Refuse what does not say which columns, or of how many rows.

    Raises:
        InvalidConfig: ``columns`` is one text, or ``sample`` is neither None nor a number of one row or more.
    """
    if isinstance(columns, str):
        raise InvalidConfig(f"Cannot look at columns={columns!r}: it is one text. Give a list, [{columns!r}].")
    if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 1):
        raise InvalidConfig(f"Cannot take a sample of {sample!r} rows: give one or more, or None for all rows.")


PERCENT = (5, 25, 50, 75, 95)
"""Which quantiles a profile has, in percent."""

EXACT = Context(prec=200)
"""How decimals are summed: with so many digits that none is lost."""

MOST_FREQUENT = 10
"""How many frequent values a profile has at most."""


@dataclass(frozen=True)
class Sample:
    """What was drawn where not all rows were looked at."""

    seed: int
    """The seed that the rows were drawn with: the same seed draws the same rows of the same table."""
    rows: int
    """How many rows were drawn."""
    of: int
    """How many rows there are."""


@described
@dataclass(frozen=True)
class ColumnProfile:
    """What one column holds. A field is None where it does not apply to the column's kind, or there is no value."""

    name: str
    """The column. Example: ``column.name``."""
    type: str
    """The type of the column: that of SQL where it was read from a table, else that of Arrow.
    Example: ``column.type``."""
    kind: Kind
    """What the column holds: ``number``, ``time``, ``text``, ``flag`` or ``other``. Example: ``column.kind``."""
    rows: int
    """How many rows there are, missing values included. Example: ``column.rows``."""
    missing: int
    """How many rows have no value: NULL, or NaN. Example: ``column.missing``."""
    distinct: int
    """How many different values there are; a missing value is none. Example: ``column.distinct``."""
    minimum: Any = None
    """The least value, of numbers and times, as Python has it: int, float, Decimal, date, datetime, time, timedelta.
    Example: ``column.minimum``."""
    maximum: Any = None
    """The greatest value, of numbers and times. Example: ``column.maximum``."""
    mean: float | None = None
    """The mean of numbers; infinite where one infinity is among them, None where both are.
    Example: ``column.mean``."""
    quantiles: tuple[tuple[float, Any], ...] | None = None
    """Pairs of a share and the least value that at least this share of the values does not exceed, of numbers and
    times. So each is a value of the column ("inverted_cdf" of numpy). Example: ``column.quantiles``."""
    frequent: tuple[tuple[Any, int], ...] | None = None
    """Values and how many rows have each, the most frequent first, equal ones by value; of text, categories (as text)
    and flags, at most ten. Example: ``column.frequent``."""
    shortest: int | None = None
    """The length of the shortest text, in characters. Example: ``column.shortest``."""
    longest: int | None = None
    """The length of the longest text, in characters. Example: ``column.longest``."""
    mean_length: float | None = None
    """The mean length of the texts, in characters. Example: ``column.mean_length``."""
    sampled: Sample | None = None
    """What `quantiles` were taken of where that was not all rows; all other fields are exact.
    Example: ``column.sampled``."""

    @property
    def missing_share(self) -> float:
        """Which share of the rows has no value, from 0 to 1; 0 of no rows."""
        return self.missing / self.rows if self.rows else 0.0


@described
@dataclass(frozen=True)
class TableProfile:
    """What the columns of a table hold."""

    rows: int
    """How many rows there are. Example: ``found.rows``."""
    columns: tuple[ColumnProfile, ...]
    """One for each column, in their order. Example: ``found.columns``."""

    def __getitem__(self, name: str) -> ColumnProfile:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{name!r}: there is no such column.{close_names(name, [each.name for each in self.columns])}")

    def __iter__(self) -> Iterator[ColumnProfile]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {len(self.columns)} columns"

    def to_frame(self) -> pd.DataFrame:
        """Return a frame for people, a row for each column, with its name as the index.

        Values of columns stand in it as objects, each of its own type: integers beside floats are not rounded.
        """
        import pandas as pd

        rows = [_row(column) for column in self.columns]
        index = pd.Index([each.name for each in self.columns], name="column")
        values: pd.DataFrame = pd.DataFrame(rows, index=index, dtype=object)
        frame: pd.DataFrame = values.astype({name: "int64" for name in ("missing", "distinct") if name in values})
        return frame

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row for each column."""
        return notebooks.block(str(self), notebooks.facts(self.to_frame().reset_index()))


def _row(column: ColumnProfile) -> dict[str, Any]:
    quantiles = {f"{share:.0%}": value for share, value in column.quantiles or ()}
    return {
        "type": column.type,
        "kind": column.kind,
        "missing": column.missing,
        "distinct": column.distinct,
        "minimum": column.minimum,
        **{f"{percent}%": quantiles.get(f"{percent}%") for percent in PERCENT},
        "maximum": column.maximum,
        "mean": column.mean,
        "most frequent": column.frequent[0][0] if column.frequent else None,
    }


# ---------------------------------------------------------------------------------------------------------- from Arrow


def arrow_of(frame: pd.DataFrame | pa.Table) -> pa.Table:
    """Return a frame as a table of Arrow; the levels of its index that have names come first, as columns.

    A column that Arrow has no type for comes as text, each value as Python writes it.
    """
    if isinstance(frame, pa.Table):
        return frame
    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(level=named) if named else frame
    columns = [_arrow(frame.iloc[:, place]) for place in range(frame.shape[1])]
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])


def _arrow(column: pd.Series[Any]) -> pa.ChunkedArray:
    try:
        found = pa.array(column, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        found = _objects(column)
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def _objects(column: pd.Series[Any]) -> pa.Array:
    """Return objects of several types, or of one that Arrow does not have."""
    values = [None if missing else value for value, missing in zip(column, column.isna(), strict=True)]
    there = [value for value in values if value is not None]
    if not there:
        return pa.nulls(len(values))
    if {type(value) for value in there} == {int}:
        with suppress(pa.ArrowInvalid):  # integers of more than 64 bits
            return pa.array([None if value is None else Decimal(value) for value in values], pa.decimal256(76, 0))
    return pa.array([None if value is None else repr(value) for value in values], pa.large_string())


def profile_of(
    frame: pd.DataFrame | pa.Table,
    *,
    types: Mapping[str, str] | None = None,
    sample: int | None = EXACT_ROWS,
    seed: int = 0,
) -> TableProfile:
    """Return what the columns of a frame hold.

    Args:
        frame: the rows, as pandas or Arrow have them.
        types: what the type of a column is called, by name; of the others it is what Arrow calls it.
        sample: of more rows than this, as many are drawn for the quantiles; None takes all. Everything else is of all
            rows anyway.
        seed: what the rows are drawn with.
    """
    table = arrow_of(frame)
    drawn = drawn_rows(table.num_rows, sample, seed)
    columns = tuple(
        profile_of_column(name, column, type_text=(types or {}).get(name), drawn=drawn)
        for name, column in zip(table.column_names, table.columns, strict=True)
    )
    return TableProfile(table.num_rows, columns)


@dataclass(frozen=True)
class Drawn:
    """Rows that were drawn of a table: which, and how."""

    rows: np.ndarray[Any, Any]
    sample: Sample


def drawn_rows(rows: int, sample: int | None, seed: int) -> Drawn | None:
    """Return which of so many rows are drawn, without replacement, each with the same chance; None is all of them."""
    if sample is None or rows <= sample:
        return None
    entropy = seed if seed >= 0 else (-seed, 1)  # numpy takes no negative number
    chosen = np.random.default_rng(entropy).choice(rows, size=sample, replace=False, shuffle=False)
    return Drawn(np.sort(chosen), Sample(seed, sample, rows))


def taken(column: pa.ChunkedArray, rows: np.ndarray[Any, Any]) -> pa.ChunkedArray:
    """Return rows of a column by their numbers, which ascend; piece by piece, so that no text is too long."""
    found, start = [], 0
    for chunk in column.chunks:
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(chunk))]
        found.append(chunk.take(pa.array(here - start)))
        start += len(chunk)
    return pa.chunked_array(found, column.type)


def profile_of_column(
    name: str, column: pa.ChunkedArray, *, type_text: str | None = None, drawn: Drawn | None = None
) -> ColumnProfile:
    """Return what one column holds; its quantiles are those of the rows that were drawn."""
    values = values_of(column, type_text)
    found = counted([values])
    assert found is not None  # noqa: S101  # for the type checker: one column always has one kind
    profile = of_counts(name, values, found)
    if drawn is None or profile.quantiles is None:
        return profile
    part = counted([values_of(column.take(pa.array(drawn.rows)), values.type)])
    assert part is not None  # noqa: S101  # as above
    return replace(profile, quantiles=quantiles_of(part), sampled=drawn.sample)


def of_counts(name: str, values: Values, found: Counted) -> ColumnProfile:
    """Return what a column holds whose values were counted."""
    (counts,) = found.counts
    places = np.flatnonzero(counts)
    plain = ColumnProfile(name, values.type, values.kind, values.rows, values.missing, len(places))
    if not len(places):
        return plain
    if values.kind in ORDERED:
        return replace(
            plain,
            minimum=found.show(int(places[0])),
            maximum=found.show(int(places[-1])),
            mean=_mean(found, counts) if values.kind == "number" else None,
            quantiles=quantiles_of(found),
        )
    if values.kind == "other":
        return plain
    plain = replace(plain, frequent=_frequent(found, counts))
    return replace(plain, **_lengths(values.present)) if values.is_text else plain


def quantiles_of(found: Counted) -> tuple[tuple[float, Any], ...] | None:
    """Return the quantiles of values that were counted; None of none."""
    (counts,) = found.counts
    upto = np.cumsum(counts)
    total = int(upto[-1]) if len(upto) else 0
    if not total:
        return None
    ranks = [-(-percent * total // 100) for percent in PERCENT]  # rounded up, in integers
    places = np.searchsorted(upto, ranks)
    return tuple((percent / 100, found.show(int(place))) for percent, place in zip(PERCENT, places, strict=True))


def _mean(found: Counted, counts: np.ndarray[Any, Any]) -> float | None:
    places = np.flatnonzero(counts)
    often = counts[places]
    total = int(often.sum())
    if not isinstance(found.values, np.ndarray):
        pairs = [(found.at(place), count) for place, count in zip(places.tolist(), often.tolist(), strict=True)]
        return _mean_of_objects(pairs, total)
    values = found.values[places]
    if values.dtype.kind != "f":
        return float(_sum_of_integers(values, often) / total)
    with np.errstate(invalid="ignore"):
        mean = float(np.sum(values * (often / total)))
    return None if math.isnan(mean) else mean


def _sum_of_integers(values: np.ndarray[Any, Any], often: np.ndarray[Any, Any]) -> int:
    """Return the exact sum: of the upper and the lower halves, neither of which overflows below 2**31 rows."""
    upper, lower = (half.astype(np.int64) for half in (values >> 32, values & 0xFFFFFFFF))
    return (int(np.sum(upper * often)) << 32) + int(np.sum(lower * often))


def _mean_of_objects(pairs: Sequence[tuple[Any, int]], total: int) -> float | None:
    if {type(value) for value, _ in pairs} == {Decimal}:
        with localcontext(EXACT):
            return float(sum((value * count for value, count in pairs), Decimal(0)) / total)
    with np.errstate(invalid="ignore"):
        mean = float(np.sum(np.array([float(value) * (count / total) for value, count in pairs])))
    return None if math.isnan(mean) else mean


def _frequent(found: Counted, counts: np.ndarray[Any, Any]) -> tuple[tuple[Any, int], ...]:
    places = most_frequent(found, most=MOST_FREQUENT, weights=counts)
    return tuple((found.show(place), int(counts[place])) for place in places)


def _lengths(texts: pa.Array) -> dict[str, Any]:
    lengths = pc.utf8_length(texts)
    bounds = pc.min_max(lengths).as_py()
    return {"shortest": bounds["min"], "longest": bounds["max"], "mean_length": pc.sum(lengths).as_py() / len(texts)}
