"""How far the columns of a table have moved: the distributions of two tables compared, column by column.

Numbers, times and durations are compared by the Kolmogorov-Smirnov statistic, the greatest distance between the two
distribution functions; text, categories, flags and all else by the total variation distance, half the sum of the
differences of all shares. Both go from 0, the same, to 1, nothing in common. The statistic is computed in integers, so
equal tables have exactly 0, in whatever order their rows are.

A missing value (NULL, NaN) is in neither: the two measures compare the values that are there, and the shares of missing
values stand beside them. Where only one side has values at all the measure is 1, where neither has any it is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from ...doltdb.fields import described
from ..errors import close_names
from ..model import notebooks
from . import charts
from .columns import (
    EXACT,
    EXACT_ROWS,
    ColumnProfile,
    arrow_of,
    drawn_rows,
    of_counts,
    profile_of,
    profile_of_column,
    taken,
)
from .counting import ORDERED, Counted, Kind, Values, counted, most_frequent, values_of

if TYPE_CHECKING:
    import pandas as pd

Measure: TypeAlias = Literal["Kolmogorov-Smirnov", "total variation"]

BINS = 20
"""The most bins of a histogram."""

CATEGORIES = 20
"""The most categories that are counted one by one, and the most new or gone values that are named."""

PSI_BINS = 10
"""How many bins the population stability index of numbers and times has, if there are as many values."""

CONFIDENCE = 0.95
"""How sure the bound of an error is."""


@described
@dataclass(frozen=True)
class ColumnShift:
    """How far one column has moved from ``before`` to ``after``."""

    name: str
    """The column. Example: ``column.name``."""
    kind: Kind
    """What it holds after, or held before where it has no values any more. Example: ``column.kind``."""
    before: ColumnProfile | None
    """What it held before; None of a new column. Example: ``column.before``."""
    after: ColumnProfile | None
    """What it holds after; None of a column that is gone. Example: ``column.after``."""
    measure: Measure
    """What `value` is: ``Kolmogorov-Smirnov`` or ``total variation``. Example: ``column.measure``."""
    value: float
    """The measure, from 0 (the same) to 1 (nothing in common). 1 where only one side has values, or the two are of
    different kinds; 0 where neither has any. Example: ``column.value``."""
    psi: float | None = None
    """The population stability index: the sum over common bins of (a - b) * ln(a / b), where b and a are the shares of
    the bin before and after. Half a row is added to each bin, so that none is empty. Bins are of numbers and times the
    tenths of all values of both sides, of all else the values themselves. None where a side has no values.
    Example: ``column.psi``."""
    error: float = 0.0
    """How far ``value`` may be from that of all rows, with 95 % confidence; 0.0 where all rows were compared. See
    `error_of`. Example: ``column.error``."""

    edges: tuple[Any, ...] = ()
    """The n+1 edges of the n bins of the histogram, of numbers and times. A bin holds what is at least its lower and
    below its upper edge, the last one also its upper edge; infinities are in the first and the last. One value alone
    has one bin. Example: ``column.edges``."""
    categories: tuple[str, ...] = ()
    """The values that are counted one by one, as text, at most 20, most frequent first (by the sum of both shares); of
    text, categories and flags. Example: ``column.categories``."""
    before_counts: tuple[int, ...] = ()
    """How many values each bin or category had, in the rows that were compared. Example: ``column.before_counts``."""
    after_counts: tuple[int, ...] = ()
    """How many values each bin or category has. Example: ``column.after_counts``."""
    before_rest: int = 0
    """How many values were none of ``categories``. Example: ``column.before_rest``."""
    after_rest: int = 0
    """How many values are none of ``categories``. Example: ``column.after_rest``."""
    new_values: tuple[str, ...] = ()
    """Values that were not there before, as text, most frequent first, at most 20; of text, categories and flags.
    Example: ``column.new_values``."""
    gone_values: tuple[str, ...] = ()
    """Values that are not there any more, likewise. Example: ``column.gone_values``."""
    new_count: int = 0
    """How many different values were not there before, of every kind. Example: ``column.new_count``."""
    gone_count: int = 0
    """How many different values are not there any more. Example: ``column.gone_count``."""

    missing_before: float | None = None
    """Which share of the rows had no value, from 0 to 1; None of a new column. Example: ``column.missing_before``."""
    missing_after: float | None = None
    """Which share of the rows has no value; None of a column that is gone. Example: ``column.missing_after``."""

    @property
    def is_sampled(self) -> bool:
        """Whether only a sample of the rows was compared."""
        return self.error > 0

    def __str__(self) -> str:
        sampled = f" ± {self.error:.3f} (sampled)" if self.is_sampled else ""
        return f"{self.name}: {self.measure} {self.value:.3f}{sampled}"


@described
@dataclass(frozen=True)
class Shift:
    """How far the columns of a table have moved."""

    columns: tuple[ColumnShift, ...]
    """One for each column of either side, the one that has moved most first, equal ones in their order.
    Example: ``found.columns``."""
    added: tuple[str, ...]
    """Columns that were not there before. Example: ``found.added``."""
    removed: tuple[str, ...]
    """Columns that are not there any more. Example: ``found.removed``."""
    retyped: tuple[str, ...]
    """Columns of both sides whose type is not what it was; they are compared all the same, by their values.
    Example: ``found.retyped``."""
    rows_before: int
    """How many rows there were. Example: ``found.rows_before``."""
    rows_after: int
    """How many rows there are. Example: ``found.rows_after``."""

    def __getitem__(self, name: str) -> ColumnShift:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{name!r}: there is no such column.{close_names(name, [each.name for each in self.columns])}")

    def __iter__(self) -> Iterator[ColumnShift]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __str__(self) -> str:
        moved = sum(1 for column in self.columns if column.value > 0)
        return (
            f"{moved} of {len(self.columns)} columns have shifted; {self.rows_before:,} rows, now {self.rows_after:,}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a frame for people, a row for each column, with its name as the index."""
        import pandas as pd

        rows = [_row(column) for column in self.columns]
        frame: pd.DataFrame = pd.DataFrame(rows, index=pd.Index([each.name for each in self.columns], name="column"))
        return frame

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the columns as pictures and as rows, the one that has moved most first."""
        return notebooks.block(str(self), charts.multiples(self), notebooks.facts(self.to_frame().reset_index()))


def _row(column: ColumnShift) -> dict[str, Any]:
    return {
        "kind": column.kind,
        "measure": column.measure,
        "value": column.value,
        "error": column.error,
        "psi": column.psi,
        "missing before": column.missing_before,
        "missing after": column.missing_after,
        "mean before": column.before.mean if column.before is not None else None,
        "mean after": column.after.mean if column.after is not None else None,
        "new values": column.new_count,
        "gone values": column.gone_count,
    }


# ---------------------------------------------------------------------------------------------------------- two tables


def shift_of(
    before: pd.DataFrame | pa.Table | None,
    after: pd.DataFrame | pa.Table | None,
    *,
    types: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    sample: int | None = EXACT_ROWS,
    seed: int = 0,
) -> Shift:
    """Return how far the columns have moved from one frame to another.

    Args:
        before: the rows as they were; None where there was no table.
        after: the rows as they are; None where there is no table any more.
        types: what the types of columns are called before and after, by name; None of a name is what Arrow calls it.
        sample: of more rows than this, as many are drawn from each side; None compares all.
        seed: what the rows are drawn with. Both sides are drawn alike, so equal tables stay equal.
    """
    old, new = (
        Side() if frame is None else Side.of(frame, types=names, sample=sample, seed=seed)
        for frame, names in zip((before, after), types, strict=True)
    )
    return between(old, new)


class Columns(Protocol):
    """The columns of a table, which may be made when they are asked for. A table of Arrow has them, too."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the column of a name."""


@dataclass(frozen=True)
class Side:
    """One of two tables that are compared; without anything it is one that is not there."""

    rows: int = 0
    """How many rows the table has."""
    compared: Columns = field(default_factory=lambda: pa.table({}))
    """The rows that are compared: all, or a sample of them; with ``chosen``, all. One column after the other is asked
    for."""
    types: Mapping[str, str] = field(default_factory=dict)
    """What the types of columns are called, by name; of the others it is what Arrow calls them."""
    profiles: Mapping[str, ColumnProfile] | None = None
    """What the columns of all rows hold, where ``compared`` is a sample; None where it is all rows."""
    chosen: np.ndarray[Any, Any] | None = None
    """The numbers, ascending, of the rows of ``compared`` that are compared; None is all."""

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame | pa.Table,
        *,
        types: Mapping[str, str] | None = None,
        sample: int | None = None,
        seed: int = 0,
    ) -> Side:
        """Return a frame as a side; of more than ``sample`` rows as many are drawn."""
        table, names = arrow_of(frame), types or {}
        drawn = drawn_rows(table.num_rows, sample, seed)
        if drawn is None:
            return cls(table.num_rows, table, names)
        whole = profile_of(table, types=names, sample=sample, seed=seed)
        return cls(table.num_rows, table.take(pa.array(drawn.rows)), names, {each.name: each for each in whole})

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(self.compared.column_names)

    def column(self, name: str) -> pa.ChunkedArray | None:
        """Return a column of ``compared``; None where there is none of that name."""
        return self.compared.column(name) if name in self.names else None

    def values(self, name: str, column: pa.ChunkedArray | None) -> Values:
        """Return the values of a column in the rows that are compared; none of a column that is not there."""
        if column is None:
            return values_of(pa.nulls(0), self.types.get(name))
        return values_of(column if self.chosen is None else taken(column, self.chosen), self.types.get(name))

    def profile(
        self, name: str, column: pa.ChunkedArray | None, values: Values, found: Counted | None
    ) -> ColumnProfile | None:
        """Return what a column of all rows holds; ``found`` are its values where they were counted already."""
        if column is None:
            return None
        if self.profiles is not None:
            return self.profiles[name]
        if self.chosen is not None:
            return profile_of_column(name, column, type_text=self.types.get(name))
        own = found if found is not None else counted([values])
        assert own is not None  # noqa: S101  # for the type checker: one column always has one kind
        return of_counts(name, values, own)

    def drawn(self, counts: np.ndarray[Any, Any], profile: ColumnProfile | None) -> tuple[int, int] | None:
        """Return how many values were drawn and how many different ones there are; None where all are compared."""
        is_whole = self.profiles is None and self.chosen is None
        return None if is_whole or profile is None else (int(counts.sum()), profile.distinct)


def between(old: Side, new: Side) -> Shift:
    """Return how far the columns have moved from one side to the other."""
    names = [*new.names, *(name for name in old.names if name not in new.names)]
    found = [_compared(name, old, new) for name in names]
    return Shift(
        tuple(sorted(found, key=lambda column: -column.value)),
        added=tuple(name for name in new.names if name not in old.names),
        removed=tuple(name for name in old.names if name not in new.names),
        retyped=tuple(
            each.name for each in found if each.before and each.after and each.before.type != each.after.type
        ),
        rows_before=old.rows,
        rows_after=new.rows,
    )


def _compared(name: str, old: Side, new: Side) -> ColumnShift:
    columns = old.column(name), new.column(name)
    if _is_unchanged(name, columns, old, new):
        return _unchanged(name, columns[0], old, new)
    was, now = (side.values(name, column) for side, column in zip((old, new), columns, strict=True))
    found = counted([was, now])
    alone = [None if found is None or was.type != now.type else found.of(number) for number in (0, 1)]
    before, after = old.profile(name, columns[0], was, alone[0]), new.profile(name, columns[1], now, alone[1])
    return _measured(name, _kind(was, now), found, (old, before), (new, after))


def _is_unchanged(name: str, columns: tuple[Any, Any], old: Side, new: Side) -> bool:
    """Whether a column has the same values of the same type in the same rows, which takes a look at each value."""
    if old is new:
        return True
    if old.types.get(name) != new.types.get(name) or not _are_same_rows(old.chosen, new.chosen):
        return False
    before, after = columns
    return before is not None and after is not None and bool(before.equals(after))


def _are_same_rows(old: np.ndarray[Any, Any] | None, new: np.ndarray[Any, Any] | None) -> bool:
    return old is new or (old is not None and new is not None and np.array_equal(old, new))


def _unchanged(name: str, column: pa.ChunkedArray | None, old: Side, new: Side) -> ColumnShift:
    """Return the shift of a column that is the same on both sides, whose values are counted once."""
    values = old.values(name, column)
    found = counted([values])
    assert found is not None  # noqa: S101  # for the type checker: one column always has one kind
    before = old.profile(name, column, values, found)
    is_shared = old.profiles is None and new.profiles is None
    after = before if is_shared else new.profile(name, column, values, found)
    return _measured(name, values.kind, replace(found, counts=found.counts * 2), (old, before), (new, after))


def _measured(
    name: str,
    kind: Kind,
    found: Counted | None,
    earlier: tuple[Side, ColumnProfile | None],
    later: tuple[Side, ColumnProfile | None],
) -> ColumnShift:
    """Return the shift of a column whose values were counted on both sides, if they have anything in common."""
    (old, before), (new, after) = earlier, later
    missing: dict[str, Any] = {
        "missing_before": None if before is None else before.missing_share,
        "missing_after": None if after is None else after.missing_share,
    }
    if found is None:
        return ColumnShift(name, kind, before, after, "total variation", 1.0, **missing)
    counts = found.counts
    return ColumnShift(
        name,
        kind,
        before,
        after,
        "Kolmogorov-Smirnov" if kind in ORDERED else "total variation",
        distance(kind, *counts),
        psi=psi_of(kind, *counts),
        error=error_of(kind, (old.drawn(counts[0], before), new.drawn(counts[1], after))),
        **missing,
        **(_histogram(kind, found) if kind in ORDERED else _categories(kind, found)),
        **_news(kind, found),
    )


def _kind(before: Values, after: Values) -> Kind:
    """Return what a column holds after; before, where it has no values any more."""
    return before.kind if len(before.present) and not len(after.present) else after.kind


def distance(kind: Kind, before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    """Return the measure of a kind for how often each value was and is there, by the order of values."""
    was, now = int(before.sum()), int(after.sum())
    if not was or not now:
        return 1.0 if was or now else 0.0
    if kind in ORDERED:
        before, after = np.cumsum(before), np.cumsum(after)
        return int(np.abs(before * now - after * was).max()) / (was * now)
    return int(np.abs(before * now - after * was).sum()) / (2 * was * now)


def psi_of(kind: Kind, before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float | None:
    """Return the population stability index of a kind; None where a side has no values."""
    if not before.sum() or not after.sum():
        return None
    if kind in ORDERED:
        before, after = _in_tenths(before, after)
    bins = len(before)
    was, now = ((side + 0.5) / (side.sum() + 0.5 * bins) for side in (before, after))
    return float(np.sum((now - was) * np.log(now / was)))


def _in_tenths(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Return the counts in bins that hold a tenth of the values of both sides each, as far as values can be parted."""
    upto = np.cumsum(before + after)
    ranks = [-(-number * int(upto[-1]) // PSI_BINS) for number in range(1, PSI_BINS)]
    starts = np.unique([0, *(np.searchsorted(upto, ranks) + 1)])
    starts = starts[starts < len(upto)]
    return [np.add.reduceat(side, starts) for side in (before, after)]


# --------------------------------------------------------------------------------------------------------------- error


def error_of(kind: Kind, sides: tuple[tuple[int, int] | None, tuple[int, int] | None]) -> float:
    """Return how far a measure may be off, with 95 % confidence, where values were drawn.

    Of each side it takes how many values were drawn and how many different ones the whole has; None where all were
    compared. For the Kolmogorov-Smirnov statistic it is the inequality of Dvoretzky, Kiefer and Wolfowitz with the
    constant of Massart (1990): sqrt(ln(2 / d) / (2 n)). For the total variation it is that of Weissman et al. (2003),
    "Inequalities for the L1 deviation of the empirical distribution": sqrt((k ln 2 + ln(1 / d)) / (2 n)) for k
    values. Where both sides were drawn each takes half of what may go wrong, and the errors add up. Both
    speak of independent draws; rows are drawn without replacement, which errs less.
    """
    drawn = [side for side in sides if side is not None]
    wrong = (1 - CONFIDENCE) / max(1, len(drawn))
    return min(1.0, sum(_bound(kind, taken, distinct, wrong) for taken, distinct in drawn))


def _bound(kind: Kind, taken: int, distinct: int, wrong: float) -> float:
    if not taken:
        return 1.0
    odds = math.log(2 / wrong) if kind in ORDERED else distinct * math.log(2) + math.log(1 / wrong)
    return math.sqrt(odds / (2 * taken))


# ---------------------------------------------------------------------------------------------------------------- bins


def _histogram(kind: Kind, found: Counted) -> dict[str, Any]:
    """Return the edges of bins of one width, and how many values each holds before and after."""
    edges = _edges(kind, found)
    if not edges:
        return {}
    inner = [found.below(edge) for edge in edges[1:-1]]
    cuts = [0, *inner, len(found.values)]
    upto = [np.concatenate([[0], np.cumsum(counts)]) for counts in found.counts]
    before, after = (tuple(int(n) for n in np.diff(side[cuts])) for side in upto)
    shown = tuple(found.shown(edge) for edge in edges)
    return {"edges": shown, "before_counts": before, "after_counts": after}


def _edges(kind: Kind, found: Counted) -> list[Any]:
    """Return edges as they are counted, ascending; none where there is no finite value."""
    places = _finite(found)
    if places is None:
        return []
    low, high = found.at(places[0]), found.at(places[1])
    if isinstance(low, int) and isinstance(high, int):
        return _of_integers(low, high) if kind == "number" else _of_times(low, high)
    if Decimal in (type(low), type(high)) and type(low) is not type(high):
        low, high = float(low), float(high)  # two types in which it was counted before and after
    if low == high:
        return [low, high]
    return _of_decimals(low, high) if isinstance(low, Decimal) else _of_floats(low, high)


def _of_decimals(low: Decimal, high: Decimal) -> list[Decimal]:
    with localcontext(EXACT):
        return [low + (high - low) * number / BINS for number in range(BINS + 1)]


def _of_floats(low: Any, high: Any) -> list[Any]:
    shares = np.arange(1, BINS) / BINS
    inner = float(low) * (1 - shares) + float(high) * shares  # so the width of all of them cannot overflow
    return [low, *(edge for edge in np.unique(inner).tolist() if low < edge < high), high]


def _of_integers(low: int, high: int) -> list[int]:
    """Return edges between which equally many integers lie, one each where they are few."""
    width = -(-(high - low + 1) // BINS)
    bins = -(-(high - low + 1) // width)
    return [low + width * number for number in range(bins + 1)]


def _of_times(low: int, high: int) -> list[int]:
    """Return edges that are times as well, so none is above the last value."""
    bins = max(1, min(BINS, high - low))
    return [low + (high - low) * number // bins for number in range(bins + 1)]


def _finite(found: Counted) -> tuple[int, int] | None:
    """Return the positions of the least and the greatest value that is no infinity; None where there is none."""
    first, last = 0, len(found.values) - 1
    while first <= last and found.at(first) == -math.inf:
        first += 1
    while last >= first and found.at(last) == math.inf:
        last -= 1
    return (first, last) if first <= last else None


def _categories(kind: Kind, found: Counted) -> dict[str, Any]:
    if kind == "other":
        return {}
    before, after = found.counts
    weights = before / max(1, before.sum()) + after / max(1, after.sum())
    places = most_frequent(found, most=CATEGORIES, weights=weights)
    return {
        "categories": tuple(str(found.show(place)) for place in places),
        "before_counts": tuple(int(before[place]) for place in places),
        "after_counts": tuple(int(after[place]) for place in places),
        "before_rest": int(before.sum() - before[places].sum()),
        "after_rest": int(after.sum() - after[places].sum()),
    }


def _news(kind: Kind, found: Counted) -> dict[str, Any]:
    before, after = found.counts
    new, gone = np.where(before == 0, after, 0), np.where(after == 0, before, 0)
    counts = {"new_count": int(np.count_nonzero(new)), "gone_count": int(np.count_nonzero(gone))}
    if kind in ORDERED or kind == "other":
        return counts
    named = {
        name: tuple(str(found.show(place)) for place in most_frequent(found, most=CATEGORIES, weights=weights))
        for name, weights in (("new_values", new), ("gone_values", gone))
    }
    return {**counts, **named}
