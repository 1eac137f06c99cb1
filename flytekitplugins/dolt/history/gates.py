"""Bounds that a merge has to keep: how far columns may move, and which share of them may be missing.

The merged result is compared with what the target has. It is read where the merge was done, so nobody sees what a
bound refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import InvalidConfig, SchemaMismatch, attempted, close_names
from ..model.configs import Commit
from ..model.naming import lowered
from ..profiles import shifts
from ..profiles.shifts import ColumnShift, Shift, Side
from ..repository import active_content, refs, table_names
from ..repository.connections import Connection
from ..tables import profiling, reading
from . import integrity

MISSING = "share of missing values"
"""What is measured for a bound of missing values."""


@dataclass(frozen=True)
class Exceeded:
    """A bound that a merge does not keep."""

    table: str
    column: str
    measure: str
    """``Kolmogorov-Smirnov``, ``total variation``, or ``share of missing values``."""
    value: float
    """What was measured, from 0 to 1."""
    bound: float
    """What it may be at most."""
    error: float = 0.0
    """How far ``value`` may be off, with 95 % confidence, where rows were drawn; else 0.0."""

    @property
    def is_sampled(self) -> bool:
        """Whether it was measured on a sample of the rows."""
        return self.error > 0

    def __str__(self) -> str:
        sampled = f" (sampled, ± {self.error:.3g})" if self.is_sampled else ""
        return (
            f"column {self.column!r} of table {self.table!r}: {self.measure} {self.value:.6g}{sampled} is over "
            f"the bound {self.bound:g}"
        )


@dataclass(frozen=True)
class Bound:
    """What was measured for one bound, and whether that keeps it."""

    found: Exceeded
    """The measure, its value and the bound, as it would be told if it were exceeded."""
    passed: bool
    has_moved_from: bool = True
    """Whether there was something to move from."""

    def in_words(self, name: str) -> tuple[str, str, str, str, bool]:
        """Return how the bound is called, what was measured, the value, the bound, and whether it is kept."""
        found = self.found
        sampled = f" ± {found.error:.3g} (sampled)" if found.is_sampled else ""
        value = f"{found.value:.3g}{sampled}" if self.has_moved_from else "no values before"
        return name, f"{found.measure} of {found.table}.{found.column}", value, f"at most {found.bound:g}", self.passed


@dataclass(frozen=True)
class Measured:
    """What a merge was measured for: each bound by name, and the columns by table."""

    bounds: Mapping[str, Bound] = field(default_factory=dict)
    shifts: Mapping[str, Shift] = field(default_factory=dict)

    @property
    def exceeded(self) -> dict[str, Exceeded]:
        """The bounds that do not hold."""
        return {name: bound.found for name, bound in self.bounds.items() if not bound.passed}


@dataclass(frozen=True)
class Gates:
    """The bounds, by column: its name, or ``table.column`` where several tables that are merged have it."""

    max_shift: Mapping[str, float] = field(default_factory=dict)
    """The most that a column may move, from 0 to 1. A column without values on the target has nothing to move from, so
    it passes."""
    max_missing: Mapping[str, float] = field(default_factory=dict)
    """The greatest share of rows without a value in the merged result, from 0 to 1. Of a column that the merge takes
    away it is 1."""
    sample: int | None = None
    """Of tables with more rows than this about as many are drawn, and all are compared of a column whose bound the
    sample cannot decide; None compares all."""

    @classmethod
    def asked(cls, shift: Mapping[str, float] | None, missing: Mapping[str, float] | None, sample: int | None) -> Gates:
        """Return the bounds that were asked for, none where they are None; 0 for all columns is refused, not none."""
        return cls({} if shift is None else shift, {} if missing is None else missing, sample)

    def __post_init__(self) -> None:
        for name, bounds in (("max_shift", self.max_shift), ("max_missing", self.max_missing)):
            if not isinstance(bounds, Mapping):
                raise InvalidConfig(
                    f"Cannot merge with {name}={bounds!r}: give the bounds by column, {name}={{'price': 0.2}}."
                )
            for column, bound in bounds.items():
                if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 <= bound <= 1:
                    raise InvalidConfig(
                        f"Cannot merge with {name}={{{column!r}: {bound!r}}}: it is a share. Give a number from 0 to 1."
                    )
        if self.sample is not None and self.sample < 1:
            raise InvalidConfig(f"Cannot merge with sample={self.sample!r}: give one row or more, or None for all.")

    @property
    def names(self) -> dict[str, tuple[str, str]]:
        """The bounds as failures are named: the argument and the column."""
        both = (("max_shift", self.max_shift), ("max_missing", self.max_missing))
        return {f"{name} {column}": (name, column) for name, bounds in both for column in bounds}

    def measured(self, connection: Connection, rules: Sequence[active_content.Rule], *, where: str) -> Measured:
        """Return what the bounds are held against, on a scratch branch with a merge that has no commit yet.

        Raises:
            SchemaMismatch: no table has such a column, or several have it.
            TableRedirected: a name of a table leads elsewhere, as the ``rules`` say.
        """
        if not self.names:
            return Measured()
        ((start,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
        places = _places(connection, [column for _, column in self.names.values()], Commit(str(start)))
        active_content.refuse_query(connection, rules, {table for table, _ in places.values()}, where=where)
        found = {table: self._compared(connection, table, places, str(start)) for table, _ in places.values()}
        return Measured({name: self._held(found, places, *parts) for name, parts in self.names.items()}, found)

    def _compared(self, connection: Connection, table: str, places: Mapping[str, tuple[str, str]], start: str) -> Shift:
        """Return how far the columns have moved that bounds are about; of all rows, where a sample does not decide."""
        bounds = [
            (column, self.max_shift[name])
            for name, (of, column) in places.items()
            if of == table and name in self.max_shift
        ]
        moving = list(dict.fromkeys(column for column, _ in bounds))
        all_columns = list(dict.fromkeys(column for of, column in places.values() if of == table))
        found = _between(connection, table, start, moving, all_columns, self.sample)
        unsure = list(dict.fromkeys(column for column, bound in bounds if _is_unsure(found[column], bound)))
        whole = {name: _between(connection, table, start, [name], [name], None)[name] for name in unsure}
        return replace(found, columns=tuple(whole.get(column.name, column) for column in found))

    def _held(self, found: Mapping[str, Shift], places: Mapping[str, tuple[str, str]], gate: str, name: str) -> Bound:
        table, column = places[name]
        if gate == "max_missing":
            share, bound = _share_missing(found[table], column), self.max_missing[name]
            return Bound(Exceeded(table, column, MISSING, share, bound), passed=share <= bound)
        moved = found[table][column]
        bound, had = self.max_shift[name], _had_values(moved)
        measured = Exceeded(table, column, moved.measure, moved.value, bound, moved.error)
        return Bound(measured, passed=not had or moved.value <= bound, has_moved_from=had)


def _between(
    connection: Connection, table: str, start: str, before: Sequence[str], after: Sequence[str], sample: int | None
) -> Shift:
    """Return how far columns have moved from what the branch started with; ``before`` are those to read there."""
    with refs.at_commit(connection, Commit(start)):
        old = _side(connection, table, before, sample)
    return shifts.between(old, _side(connection, table, after, sample))


def _side(connection: Connection, table: str, columns: Sequence[str], sample: int | None) -> Side:
    there = [name for name in columns if name in _columns(connection, table)]
    return profiling.side(connection, table, columns=there, sample=sample, seed=0) if there else Side()


def _is_unsure(moved: ColumnShift, bound: float) -> bool:
    """Whether the measure of all rows may be on the other side of a bound than that of the rows that were drawn."""
    return moved.is_sampled and abs(moved.value - bound) <= moved.error


def _share_missing(found: Shift, column: str) -> float:
    """Return which share of rows has no value: all, where the column is gone."""
    shares = (each.missing_after for each in found if each.name == column)
    share = next(shares, None)
    return 1.0 if share is None else share


def _had_values(moved: ColumnShift) -> bool:
    return moved.before is not None and moved.before.missing < moved.before.rows


def _columns(connection: Connection, table: str) -> list[str]:
    existing = reading.describe(connection, table)
    return [] if existing is None else list(existing.sql_types)


def _places(connection: Connection, wanted: Sequence[str], start: Commit) -> dict[str, tuple[str, str]]:
    """Return the table and column that each name means: of a table that the merge changes, else of any other."""
    changed = [*integrity.changed_tables(connection), *_gone(connection, start)]
    known = dict(_known(connection, changed, start))
    if not set(wanted) <= {name for names in known.values() for name in names}:
        others = [name for name in reading.table_names(connection) if name not in changed]
        known |= dict(_known(connection, others, start))
    return {name: _place(name, known, changed) for name in wanted}


def _gone(connection: Connection, start: Commit) -> list[str]:
    """Return the tables that the merge takes away."""
    there = set(map(lowered, reading.table_names(connection)))
    with refs.at_commit(connection, start):
        return [name for name in reading.table_names(connection) if lowered(name) not in there]


def _known(
    connection: Connection, tables: Sequence[str], start: Commit
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Give each column, before the merge or after it, with the two names that it goes by."""
    for table in tables:
        columns = dict.fromkeys(_columns(connection, table))
        with refs.at_commit(connection, start):
            if table_names.find(connection, table) is not None:
                columns |= dict.fromkeys(_columns(connection, table))
        for column in columns:
            yield (table, column), (column, f"{table}.{column}")


def _place(name: str, known: Mapping[tuple[str, str], tuple[str, str]], changed: Sequence[str]) -> tuple[str, str]:
    meant = [place for place, names in known.items() if name in names]
    here = [place for place in meant if place[0] in changed] or meant
    if len(here) == 1:
        return here[0]
    names = [each for both in known.values() for each in both]
    found = (
        f"{len(here)} tables have it, {', '.join(repr(table) for table, _ in here)}. Name it as 'table.column'."
        if here
        else f"no table has such a column.{close_names(name, names)}"
    )
    raise SchemaMismatch(f"Cannot {attempted()} with a bound for column {name!r}: {found}", problems=[name])
