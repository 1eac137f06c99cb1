"""What differs in one table between two states of a repository: counts, schema, and the rows, as values.

Dolt finds the rows by comparing the two trees of rows where they differ only, so the time goes with the change and not
with the table. How a revision is named is decided in `revisions`, how rows look as a frame in `codec`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ...doltdb.fields import described
from ...doltdb.redaction import visible
from ..codec import row_order
from ..codec.notes import Note, Notes, meaning
from ..codec.pandas_frames import SqlType
from ..errors import InvalidConfig, QueryFailed, TableNotFound, attempting, close_names, warn
from ..model import notebooks, provenance
from ..model.configs import KINDS, LAST_CONSUMED, Commit, DoltConfig, TableRef
from ..model.location import Location, refuses_passwords
from ..model.naming import lowered
from ..model.sql_text import literal, quote
from ..profiles import shifts
from ..profiles.columns import check_asked
from ..profiles.shifts import Shift, Side
from ..repository import active_content, refs, remotes, table_names
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from ..tables import agreeing, profiling, reading, retyped, row_changes
from . import publishing, revisions
from .revisions import Revision

if TYPE_CHECKING:
    import pandas as pd

    from ..tables.fitting import TableSchema
    from ..tables.native import Sides

__all__ = ["ColumnChange", "TableDiff", "changed_tables", "diff", "last_change"]


@dataclass(frozen=True)
class ColumnChange:
    """A column whose type is not what it was. Columns are told apart by name: a renamed one is gone, and one is new."""

    name: str
    before: str | None
    """The SQL type before, with NOT NULL where it is so; None for a new column."""
    after: str | None
    """The SQL type after; None for a column that is gone."""

    def __str__(self) -> str:
        if self.before is None:
            return f"new column {self.name!r} {self.after}"
        if self.after is None:
            return f"column {self.name!r} {self.before} is gone"
        return f"column {self.name!r} {self.before} is now {self.after}"


class _Located:
    """Knows where it was looked for; no field, since that may hold a password, and so is neither shown nor travels."""

    _place: Location | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_place"}


@described
@dataclass(frozen=True)
class TableDiff(_Located):
    """What differs in one table between two commits.

    >>> print(TableDiff("rabbits", None, None, added=3, modified=1, removed=0, rows_before=2, rows_after=5))
    rabbits: 3 added, 1 modified, 0 removed
    """

    table: str
    """The name of the table. Example: ``found.table``."""
    before: Commit | None
    """The state that is compared with; None where there was none. Example: ``found.before.hash``."""
    after: Commit | None
    """The state that is looked at; None where there was none. Example: ``found.after.hash``."""

    added: int
    """How many rows are new. Example: ``found.added``."""
    modified: int
    """Rows of the same key with other values. A table without a key has none: its rows are added or removed.
    Example: ``found.modified``."""
    removed: int
    """How many rows are gone. Example: ``found.removed``."""

    rows_before: int | None
    """How many rows the table had; None where it did not exist. Example: ``found.rows_before``."""
    rows_after: int | None
    """How many rows it has; None where it is gone. Example: ``found.rows_after``."""

    columns: tuple[ColumnChange, ...] = ()
    """Columns that are new, gone, or of another type; empty when the table itself is new or gone. Example:
    ``[change.name for change in found.columns]``."""
    key_before: tuple[str, ...] = ()
    """Columns of the primary key, as they were. Example: ``found.key_before``."""
    key_after: tuple[str, ...] = ()
    """Columns of the primary key. Where it has changed rows cannot be paired: all are removed, and all are added.
    Example: ``found.key_after``."""
    create_before: str | None = None
    """The table's CREATE TABLE statement as it was; None where it did not exist. Example: ``found.create_before``."""
    create_after: str | None = None
    """The table's CREATE TABLE statement; None where it is gone. Example: ``found.create_after``."""

    as_text: tuple[str, ...] = ()
    """Columns of `rows` that are text, as their type has changed, and the new one does not hold all values that removed
    rows had in the old one. Example: ``found.as_text``."""
    unseen: tuple[str, ...] = ()
    """Columns of floats in which 0.0 may have become -0.0, or back, in rows where nothing else changed: the database
    holds these equal, and such rows are neither counted nor given. Empty where every changed row was seen. Example:
    ``found.unseen``."""

    rows: pd.DataFrame | None = field(default=None, compare=False)
    """The first changed rows, all of them unless there was a limit. ``diff_type`` is ``added``, ``modified`` or
    ``removed``; then come the table's columns with the row as it is after, or, where it was removed, as it was; then
    ``before_<column>`` for each column outside the key, filled for modified rows. See `read` for the rest. Example:
    ``found.rows["diff_type"]``."""

    @property
    def changed(self) -> int:
        """How many rows were added, modified or removed."""
        return self.added + self.modified + self.removed

    @property
    def is_complete(self) -> bool:
        """Whether `rows` holds every changed row."""
        return self.rows is not None and len(self.rows) == self.changed

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs, neither rows nor schema."""
        return not self.changed and self.create_before == self.create_after

    def shift(
        self,
        *,
        columns: Sequence[str] | None = None,
        sample: profiling.Most = "auto",
        seed: int = 0,
        db_path: Where | None = None,
    ) -> Shift:
        """Return how far the columns have moved: the values of both states compared, column by column.

        It reads the table in both states, or once where they are equal. Where rows come natively one column of each
        state is in memory at a time, else all rows that are compared are.

        Args:
            columns: the columns to look at, of either state; None is all.
            sample: of a state with more rows than this about as many are drawn; None compares all. "auto" is 4,000,000
                where rows come natively, and 1,000,000 where they go by SQL.
            seed: what the rows are drawn with; the same seed draws the rows of the same keys from both states.
            db_path: the repository; None is where the difference was looked for. A difference that was pickled does not
                know it.

        Raises:
            InvalidConfig: it is not known where the repository is, ``columns`` is one text, or ``sample`` is below 1.
            SchemaMismatch: neither state has such a column.
        """
        check_asked(columns, None if sample == "auto" else sample)
        place = remotes.location_to_read(db_path) if db_path is not None else self._place
        if place is None:
            raise InvalidConfig(
                f"Cannot say how far table {self.table!r} has moved: it is not known where it is. Give db_path=."
            )
        with connect(place) as connection, attempting(f"compare table {self.table!r} of two commits"):
            return shift(connection, self.table, self.before, self.after, columns=columns, sample=sample, seed=seed)

    def __str__(self) -> str:
        counts = f"{self.added} added, {self.modified} modified, {self.removed} removed"
        news = [str(change) for change in self.columns]
        if self.create_before is None and self.create_after is not None:
            news.append("the table is new")
        if self.create_before is not None and self.create_after is None:
            news.append("the table is gone")
        if self.create_before and self.create_after and self.key_before != self.key_after:
            news.append(f"the key is now {', '.join(self.key_after) or 'none'}")
        news += [f"column {name!r} is shown as text" for name in self.as_text]
        return visible("; ".join([f"{self.table}: {counts}", *news]), lines=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the counts, and the first changed rows where they were fetched."""
        shown = [] if self.rows is None or self.rows.empty else [notebooks.table(self.rows, rows=self.changed)]
        return notebooks.block(str(self), *shown)


@refuses_passwords
def diff(
    before: TableRef | DoltConfig | Commit | Revision | None,
    after: TableRef | DoltConfig | Commit | Revision | None,
    *,
    table: str | None = None,
    db_path: Where | None = None,
    limit: int | None = None,
) -> TableDiff:
    """Return what differs in one table between two states of a repository.

    Each state is a table or config (its commit, or what it resolves to now), a commit, a revision as text (with
    ``db_path`` or a config on the other side), or None for "there was nothing yet".

    Args:
        before: the state to compare with.
        after: the state to look at.
        table: the table; None is the one that the configs name.
        db_path: folder or server of the repository, or a config of a table there; None is what the two name.
        limit: the most rows that are fetched (0 is none, and cheap); None is all. Counts are always whole.

    Raises:
        InvalidConfig: the two do not name one table of one repository.
        RevisionNotFound: there is no such state.
        TableNotFound: neither state has the table.
    """
    place = _table_ref([before, after], table, db_path)
    with connect(place.repository) as connection:
        old, new = (_commit(connection, side) for side in (before, after))
        return _at(place.repository, between(connection, place.table, old, new, limit=limit))


def _at(place: Location, found: TableDiff) -> TableDiff:
    object.__setattr__(found, "_place", place)  # it is frozen for others
    return found


def last_change(table: TableRef | DoltConfig, *, limit: int | None = None) -> TableDiff:
    """Return what the commit that ``table`` is at changed in it, compared with that commit's first parent.

    Raises:
        TableNotFound: the table is not there, and was not before.
    """
    place = _table_ref([table], None, None)
    with connect(place.repository) as connection:
        after = _commit(connection, table)
        assert after is not None  # noqa: S101  # for the type checker: a table resolves to something
        found = between(connection, place.table, parent(connection, after), after, limit=limit)
        return _at(place.repository, found)


@refuses_passwords
def changed_tables(before: Commit | Revision | None, after: Commit | Revision | None, *, db_path: Where) -> list[str]:
    """Return the names of the tables that differ between two states, gone and new ones included.

    Raises:
        RevisionNotFound: there is no such state.
    """
    with connect(remotes.location_to_read(db_path)) as connection:
        commits = [_commit(connection, side) for side in (before, after)]
        old, new = ({} if commit is None else refs.table_hashes(connection, commit) for commit in commits)
    stored = {lowered(name): name for name in (*old, *new)}
    was, now = ({lowered(name): found for name, found in side.items()} for side in (old, new))
    return sorted(name for key, name in stored.items() if was.get(key) != now.get(key))


@dataclass(frozen=True)
class _TableRef:
    repository: Any
    """What `repository.locate` returned."""
    table: str


def _table_ref(sides: Sequence[object], table: str | None, db_path: Where | None) -> _TableRef:
    configs = [side.config if isinstance(side, TableRef) else side for side in sides]
    given = [config for config in configs if isinstance(config, DoltConfig)]
    places = {remotes.location_of(config) for config in given}
    if db_path is not None:
        places.add(remotes.location_to_read(db_path))
    named = [table] if table is not None else [config.tablename for config in given]
    names = {lowered(name): name for name in named if name is not None}
    if len(places) != 1 or len(names) != 1:
        found = f"{len(places)} repositories" if len(places) != 1 else f"{len(names)} tables"
        raise InvalidConfig(
            f"Cannot compare {sides!r}: they name {found}, and it takes one table of one repository. Give db_path= and "
            "table=, or configs that agree."
        )
    (place,), (name,) = places, names.values()
    return _TableRef(place, name)


def _commit(connection: Connection, side: TableRef | DoltConfig | Commit | Revision | None) -> Commit | None:
    if side is None or isinstance(side, Commit):
        return side
    if isinstance(side, TableRef) and side.commit is not None:
        return side.commit
    if isinstance(side, (TableRef, DoltConfig)):
        config = side.config if isinstance(side, TableRef) else side
        config.check()
        return revisions.of_config(connection, config)
    return revisions.resolve(connection, side)


def parent(connection: Connection, commit: Commit) -> Commit | None:
    """Return the first parent of ``commit``, or None for the first commit of a repository."""
    rows = connection.query(
        "SELECT parent_hash FROM dolt_commit_ancestors WHERE commit_hash = %s AND parent_index = 0",
        commit.hash,
    )
    return Commit(str(rows[0][0])) if rows and rows[0][0] else None


# ------------------------------------------------------------------------------------------------- changes as an input


def fixed(connection: Connection, config: DoltConfig) -> DoltConfig:
    """Return a config with ``changes`` whose ``since`` is the commit that it means now.

    Raises:
        BranchNotFound, RevisionNotFound, ShallowClone: there is no such commit.
    """
    changes = config.changes
    assert changes is not None  # noqa: S101  # for the type checker: it is called for such configs only
    if changes.since == LAST_CONSUMED:
        since = last_consumed(config)
    elif changes.since is not None:
        since = revisions.resolve(connection, changes.since, on=refs.branch_of(config.policy)).hash
    else:
        since = None
    return replace(config, changes=replace(changes, since=since))


def last_consumed(config: DoltConfig) -> str | None:
    """Return up to which commit the changes of ``config`` are in the table that its ``into`` names, or None.

    The newest commit of that table's branch that says so counts. A branch that a write would create counts as the one
    it would start from.
    """
    into = config.changes.into if config.changes is not None else None
    assert into is not None  # noqa: S101  # for the type checker: `Changes` has seen to it
    wanted = provenance.consumed_by(into, config, "")
    with connect(remotes.location_of(into)) as connection:
        head = publishing.start_of(connection, into.policy)
        terms = provenance.search_terms(wanted, str(into.tablename))
        within = "INSTR(LOWER(message), LOWER(%s))"  # however the names of the two tables are spelt
        query = f"SELECT message FROM DOLT_LOG(%s) WHERE {within} AND {within}"
        for limit in (" LIMIT 8", ""):  # the first will do, unless other repositories have tables of that name
            rows = connection.query(query + limit, head, *terms)
            for (message,) in rows:
                for found in provenance.parse(message).consumed:
                    if lowered(found.table) == lowered(wanted.table) and found.repository == wanted.repository:
                        return found.commit
    return None


# ------------------------------------------------------------------------------------------------- one table, two sides


@dataclass(frozen=True)
class _Side:
    """The table in one of the two states."""

    commit: Commit | None
    existing: TableSchema | None
    """What it looks like; None where it does not exist."""
    rows: int | None
    """How many it has, once they were counted; None where it does not exist."""
    name: str | None = None
    """As what the table is stored."""

    @property
    def create(self) -> str | None:
        return self.existing.statement if self.existing is not None else None

    @property
    def types(self) -> dict[str, str]:
        return self.existing.sql_types if self.existing is not None else {}

    @property
    def key(self) -> tuple[str, ...]:
        return self.existing.key if self.existing is not None else ()

    @property
    def notes(self) -> Notes:
        return Notes.from_comment(self.existing.comment)[0] if self.existing is not None else Notes()


def between(
    connection: Connection, table: str, before: Commit | None, after: Commit | None, *, limit: int | None = None
) -> TableDiff:
    """Return what differs in ``table``."""
    with attempting(f"compare table {table!r} of two commits"):
        new, old = (_side(connection, table, commit) for commit in (after, before))  # it is at ``after`` often
        if old.existing is None and new.existing is None:
            raise _no_table(connection, table, before, after)
        table = new.name or old.name or table
        counts, pairs, old, new = _compared(connection, table, old, new, _Asked(limit=limit))
        columns = _columns(pairs, old, new)
        if new.key == old.key:
            columns += _before(pairs, old, new, [name for name in _names(old, new) if name in old.types])
        return TableDiff(
            table,
            before,
            after,
            **counts,
            rows_before=old.rows,
            rows_after=new.rows,
            columns=tuple(_column_changes(old, new)),
            key_before=old.key,
            key_after=new.key,
            create_before=old.create,
            create_after=new.create,
            as_text=_as_text(columns),
            unseen=pairs.unseen,
            rows=_result(columns, old, new).to_frame(),
        )


def shift(
    connection: Connection,
    table: str,
    before: Commit | None,
    after: Commit | None,
    *,
    columns: Sequence[str] | None = None,
    sample: profiling.Most = "auto",
    seed: int = 0,
) -> Shift:
    """Return how far the columns of ``table`` have moved between two commits; see `TableDiff.shift`."""
    schemas = [None if commit is None else _described(connection, table, commit) for commit in (before, after)]
    if schemas == [None, None]:
        raise _no_table(connection, table, before, after)
    known = [name for schema in schemas if schema is not None for name in schema.sql_types]
    reading.check_columns(table, columns or (), list(dict.fromkeys(known)))

    def read_side(commit: Commit | None, schema: TableSchema | None) -> Side:
        if commit is None or schema is None:
            return Side()
        wanted = None if columns is None else [name for name in columns if name in schema.sql_types]
        with refs.at_commit(connection, commit):
            return profiling.side(connection, table, columns=wanted, sample=sample, seed=seed)

    old = read_side(before, schemas[0])
    return shifts.between(old, old if _are_equal(connection, table, before, after) else read_side(after, schemas[1]))


def shift_between(
    before: Revision,
    after: Revision,
    *,
    table: str,
    db_path: Where,
    columns: Sequence[str] | None = None,
    sample: profiling.Most = "auto",
    seed: int = 0,
) -> tuple[str, Shift]:
    """Return as what a table is stored, and how far its columns have moved; rows that differ are not looked for.

    The rest is that of `diff` and `TableDiff.shift`.

    Raises:
        RevisionNotFound: there is no such state.
        TableNotFound: neither state has the table.
        SchemaMismatch: neither state has such a column.
    """
    place = _table_ref([before, after], table, db_path)
    with connect(place.repository) as connection, attempting(f"compare table {table!r} of two commits"):
        old, new = (_commit(connection, side) for side in (before, after))
        stored = [_side(connection, table, commit).name for commit in (new, old)]
        name = next((found for found in stored if found is not None), table)
        return name, shift(connection, name, old, new, columns=columns, sample=sample, seed=seed)


def _are_equal(connection: Connection, table: str, before: Commit | None, after: Commit | None) -> bool:
    """Whether a table is the same in two commits, as Dolt's own hash of it says."""
    hashes = set()
    for commit in (before, after):
        if commit is None:
            return False
        with refs.at_commit(connection, commit):
            hashes.add(active_content.hash_of_table(connection, table))
    return len(hashes) == 1 and None not in hashes


def _described(connection: Connection, table: str, commit: Commit) -> TableSchema | None:
    with refs.at_commit(connection, commit):
        return reading.describe(connection, table_names.find_table(connection, table) or table)


def _side(connection: Connection, table: str, commit: Commit | None) -> _Side:
    if commit is None:
        return _Side(None, None, None)
    with refs.at_commit(connection, commit):
        name = table_names.find_table(connection, table) or table
        existing = reading.describe(connection, name)
        return _Side(commit, existing, None, name if existing is not None else None)


def _counted(connection: Connection, side: _Side) -> _Side:
    """Return the side with the number of its rows."""
    if side.commit is None or side.name is None:
        return side
    with refs.at_commit(connection, side.commit):
        return replace(side, rows=int(connection.query(f"SELECT COUNT(*) FROM {quote(side.name)}")[0][0]))


def _no_table(connection: Connection, table: str, before: Commit | None, after: Commit | None) -> TableNotFound:
    last = after or before
    with refs.at_commit(connection, last) if last is not None else nullcontext():
        known = reading.table_names(connection)
    places = " nor at ".join(commit.hash for commit in (before, after) if commit is not None)
    return TableNotFound(
        f"Cannot compare table {table!r}: there is none of that name at {places or 'no commit'}."
        f"{close_names(table, known)}",
        table=table,
        close=known,
    )


def _column_changes(old: _Side, new: _Side) -> Iterator[ColumnChange]:
    if old.existing is None or new.existing is None:
        return
    before, after = (
        {c.name: c.sql_type + ("" if c.nullable else " NOT NULL") for c in side.columns}
        for side in (old.existing, new.existing)
    )
    for name in [*after, *(name for name in before if name not in after)]:
        if before.get(name) != after.get(name):
            yield ColumnChange(name, before.get(name), after.get(name))


# ------------------------------------------------------------------------------------------------------- rows as frame


@dataclass(frozen=True)
class _Pairs:
    """Changed rows: what happened to each, and what it was and is; missing sides are NULL."""

    kinds: pa.ChunkedArray
    before: pa.Table
    after: pa.Table
    unseen: tuple[str, ...] = ()
    """Columns in which a change of the sign of zero may be missing."""


@dataclass(frozen=True)
class _Asked:
    """Which of the rows that differ are asked for."""

    kinds: Sequence[str] = KINDS
    before_values: bool = True
    """Whether modified rows have what they were before."""
    limit: int | None = None
    """The most rows; None is all."""

    @property
    def sides(self) -> Sides:
        """Whether what rows were is needed: else they have what they are alone."""
        return "both" if self.before_values or "removed" in self.kinds else "after"


def read(
    connection: Connection,
    table: str,
    before: Commit | None,
    after: Commit | None,
    *,
    kinds: Sequence[str] = KINDS,
    before_values: bool = True,
    limit: int | None = None,
) -> reading.ReadResult:
    """Return the rows of ``table`` that differ, as `TableDiff.rows` describes them.

    Without ``before_values`` there are no columns of what modified rows were before.

    Columns of both schemas are there: where a row has no value for one it is NULL. A column whose type has changed has
    the new type where it holds all old values, else it is text, which is warned of. Where the table has a column
    ``diff_type`` or ``before_x`` of its own, the added one has underscores in front. Where there was no table before,
    or is none now, the columns are those of other changes.

    Raises:
        TableNotFound: neither state has the table.
    """
    with attempting(f"read what differs in table {table!r}"):
        new, old = (_side(connection, table, commit) for commit in (after, before))  # it is at ``after`` often
        if old.existing is None and new.existing is None:
            raise _no_table(connection, table, before, after)
        asked = _Asked(kinds, before_values or not old.types.keys() <= new.types.keys(), limit)  # gone ones have a type
        _, pairs, old, new = _compared(connection, new.name or table, old, new, asked)
        if old.existing is None:
            old = replace(new, rows=0)
            pairs = replace(pairs, before=_nulls(pairs.after.schema, pairs.after.num_rows))
        if new.existing is None:
            new = replace(old, rows=0)
            pairs = replace(pairs, after=_nulls(pairs.before.schema, pairs.before.num_rows))
        columns = _columns(pairs, old, new)
        if before_values and "modified" in kinds:
            columns += _before(pairs, old, new, _names(old, new))
        _warn_of_texts(table, columns, old, new)
        return _result(columns, old, new)


def _warn_of_texts(table: str, columns: Sequence[_Column], old: _Side, new: _Side) -> None:
    for name in _as_text(columns):
        warn(
            f"Column {name!r} of the changes of table {table!r} is text: it was {old.types[name]} and is "
            f"{new.types[name]}, which does not hold all values that removed rows had."
        )


def _compared(
    connection: Connection, table: str, old: _Side, new: _Side, asked: _Asked
) -> tuple[dict[str, int], _Pairs, _Side, _Side]:
    """Return how many rows of each kind differ, the first of those that are asked for, and the sides, rows counted."""
    natively = _natively(connection, table, old, new, asked) if _dolt_can_compare(old, new) else None
    if natively is None:
        old, new = (_counted(connection, side) for side in (old, new))
    else:
        old, new = (replace(side, rows=rows) for side, rows in zip((old, new), natively.rows, strict=True))
    found = _compared_by_dolt(connection, table, old, new, asked, natively) if _dolt_can_compare(old, new) else None
    counts, pairs = found or _compared_here(connection, table, old, new, asked)
    assert counts["added"] - counts["removed"] == (new.rows or 0) - (old.rows or 0)  # noqa: S101
    return counts, pairs, old, new


def _dolt_can_compare(old: _Side, new: _Side) -> bool:
    """Whether Dolt's own comparison is told of all that differs, and rightly.

    Dolt 1.83 compares the trees of rows whatever their keys are: across other key columns it takes rows for equal that
    are not, across other types of them it reads one key with the type of the other; and it follows a renamed table
    where the name was asked for. So it is asked only where name and key are the same. It leaves out rows that it holds
    equal, as ``ann`` and ``Ann`` in some collations. And it gives no value of a generated column that is not stored;
    where one of these stands before another column, counting ends with the connection.
    """
    if old.existing is None or new.existing is None or old.key != new.key or old.name != new.name:
        return False
    if old.types.keys() - new.types.keys() and new.types.keys() - old.types.keys():
        return False  # one may be the other renamed, which Dolt follows, and here each column is what its name says
    columns = [*old.existing.columns, *new.existing.columns]
    return not any(each.generated or (new.key and not each.compares_as_bytes) for each in columns)


def _compared_by_dolt(
    connection: Connection,
    table: str,
    old: _Side,
    new: _Side,
    asked: _Asked,
    natively: reading.Differing | None,
) -> tuple[dict[str, int], _Pairs] | None:
    """Return what Dolt found natively, or have it compare the two by SQL; None where its answer is not whole."""
    if natively is None:
        counts = _counts(connection, table, old, new)
    else:
        counts = dict(zip(KINDS, natively.counts, strict=True))
    if counts is None or not _tell_all(counts, old, new):
        return None
    if natively is None:
        pairs = _paired(connection, table, old, new, asked)
    else:
        pairs = _Pairs(natively.kinds, natively.before, natively.after)
    if asked.limit is None and len(pairs.kinds) != sum(counts[kind] for kind in asked.kinds):
        return None
    return counts, replace(pairs, unseen=_unseen(old, new))


def _tell_all(counts: Mapping[str, int], old: _Side, new: _Side) -> bool:
    """Whether counts lead from one side to the other, and are not those of signs of zero alone."""
    if not any(counts.values()) and old.create == new.create and _floats(new):
        return False
    return counts["added"] - counts["removed"] == (new.rows or 0) - (old.rows or 0)


def _natively(connection: Connection, table: str, old: _Side, new: _Side, asked: _Asked) -> reading.Differing | None:
    """Return what differs as the server's comparison of stored rows has it; None where SQL has to be asked."""
    assert old.commit is not None and new.commit is not None  # noqa: S101, PT018  # for the type checker
    if not new.key or list(old.types.items()) != list(new.types.items()):
        return None
    before, after = old.commit.hash, new.commit.hash
    return reading.differing(
        connection,
        table,
        before,
        after,
        sql_types=new.types,
        kinds=asked.kinds,
        sides=asked.sides,
        limit=asked.limit,
    )


def _unseen(old: _Side, new: _Side) -> tuple[str, ...]:
    """Return the columns in which Dolt does not see that 0.0 became -0.0; without a key it compares what is stored."""
    return tuple(name for name in _floats(new) if new.key and name in _floats(old))


def _floats(side: _Side) -> list[str]:
    return [name for name, sql_type in side.types.items() if SqlType.parse(sql_type).base in ("double", "float")]


def _compared_here(
    connection: Connection, table: str, old: _Side, new: _Side, asked: _Asked
) -> tuple[dict[str, int], _Pairs]:
    """Do the same without Dolt's comparison: all rows of both sides are read, unless the two are the same."""
    if old.existing is None or new.existing is None or old.key != new.key:
        counts = {"added": new.rows or 0, "modified": 0, "removed": old.rows or 0}
        return counts, _unpaired(connection, table, old, new, asked)
    if _hash(connection, old) == _hash(connection, new):
        return dict.fromkeys(KINDS, 0), _unpaired(connection, table, old, new, replace(asked, limit=0))
    pairs = _matched(connection, table, old, new) if new.key else _left_over(connection, table, old, new)
    if pairs is None:
        pairs = _unpaired(connection, table, old, new, _Asked())
    counts = {kind: pc.sum(pc.equal(pairs.kinds, kind)).as_py() or 0 for kind in KINDS}
    return counts, _chosen(pairs, asked)


def _chosen(pairs: _Pairs, asked: _Asked) -> _Pairs:
    wanted = pc.is_in(pairs.kinds, pa.array(asked.kinds, pa.string()))
    before, after = (part.filter(wanted).slice(0, asked.limit) for part in (pairs.before, pairs.after))
    return _Pairs(pairs.kinds.filter(wanted).slice(0, before.num_rows), before, after)


def _hash(connection: Connection, side: _Side) -> str | None:
    if side.commit is None or side.name is None:
        return None
    with refs.at_commit(connection, side.commit):
        return refs.hash_of_table(connection, side.name)


def _where_functions_are(connection: Connection) -> AbstractContextManager[Connection]:
    """Go from a revision to the branch: on one, Dolt 1.83 has only those call functions for rows who may do all."""
    return connection.at(None)


def _counts(connection: Connection, table: str, old: _Side, new: _Side) -> dict[str, int] | None:
    """Return what Dolt counts, or None where the types of the key are others, and it should not be asked for rows."""
    assert old.commit is not None and new.commit is not None  # noqa: S101, PT018  # for the type checker
    try:
        with _where_functions_are(connection):
            rows = connection.query(
                "SELECT rows_added, rows_modified, rows_deleted FROM DOLT_DIFF_STAT(%s, %s, %s)",
                old.commit.hash,
                new.commit.hash,
                table,
            )
    except QueryFailed as error:
        if "primary key set changed" in str(error):
            return None
        raise
    return dict(zip(KINDS, (int(n or 0) for n in (rows[0] if rows else (0, 0, 0))), strict=True))


def _paired(connection: Connection, table: str, old: _Side, new: _Side, asked: _Asked) -> _Pairs:
    assert old.commit is not None and new.commit is not None  # noqa: S101, PT018  # for the type checker
    to, of = [f"to_{name}" for name in new.types], [f"from_{name}" for name in old.types]
    columns = {"diff_type": "varchar(16)", **dict(zip(to, new.types.values(), strict=True))}
    if asked.sides == "both":
        columns |= dict(zip(of, old.types.values(), strict=True))
    source = f"DOLT_DIFF({literal(old.commit.hash)}, {literal(new.commit.hash)}, {literal(table)})"
    # The function adds these to the table's own, and a name that is there twice cannot be asked for.
    ours = [*to, "to_commit", "to_commit_date", *of, "from_commit", "from_commit_date", "diff_type"]
    folded = [name.casefold() for name in ours]
    if len(set(folded)) < len(folded):
        names = _told_apart(ours)
        source = f"(SELECT * FROM {source}) AS d ({', '.join(map(quote, names))})"
    where = f"diff_type IN ({', '.join(map(literal, asked.kinds))})" if set(asked.kinds) != set(KINDS) else "TRUE"
    with _where_functions_are(connection):
        arrow = reading.select(connection, source, columns, where=where, limit=asked.limit)
    return _Pairs(
        arrow.column("diff_type"),
        arrow.select(of).rename_columns(list(old.types)) if asked.sides == "both" else pa.table({}),
        arrow.select(to).rename_columns(list(new.types)),
    )


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return the names with a number behind each that was there before."""
    seen: dict[str, int] = {}
    told = []
    for name in names:
        count = seen[name.casefold()] = seen.get(name.casefold(), 0) + 1
        told.append(name if count == 1 else f"{name} {count}")
    return told


def _unpaired(connection: Connection, table: str, old: _Side, new: _Side, asked: _Asked) -> _Pairs:
    """Take all old rows for removed, and all new ones for added."""
    removed = _whole(connection, table, old, asked.limit if "removed" in asked.kinds else 0)
    left = None if asked.limit is None else asked.limit - removed.num_rows
    added = _whole(connection, table, new, left if "added" in asked.kinds else 0)
    return _as_unpaired(removed, added)


def _as_unpaired(removed: pa.Table, added: pa.Table) -> _Pairs:
    return _Pairs(
        pa.chunked_array([pa.array(["removed"] * removed.num_rows + ["added"] * added.num_rows, pa.string())]),
        pa.concat_tables([removed, _nulls(removed.schema, added.num_rows)]),
        pa.concat_tables([_nulls(added.schema, removed.num_rows), added]),
    )


def _matched(connection: Connection, table: str, old: _Side, new: _Side) -> _Pairs | None:
    """Pair all rows of both sides by key; None where an old key may be none of the new type, or two of them one."""
    before, after = (_whole(connection, table, side, None) for side in (old, new))
    keys = [_in_one_type(name, before.column(name), after.column(name), old, new) for name in new.key]
    if None in keys:
        return None
    was, now = (
        pa.table(dict(zip(new.key, map(row_changes.comparable, columns), strict=True)))
        for columns in zip(*filter(None, keys), strict=True)
    )
    matched = _by_key(row_changes.pairs(was, now), was, now)
    before, after = before.take(matched["old"]), after.take(matched["new"])
    kinds = pc.if_else(
        pc.is_null(matched["old"]), "added", pc.if_else(pc.is_null(matched["new"]), "removed", "modified")
    )
    differs = pc.or_(pc.not_equal(kinds, "modified"), _differing(before, after, old, new))
    return _Pairs(kinds.filter(differs), before.filter(differs), after.filter(differs))


def _by_key(matched: pa.Table, old: pa.Table, new: pa.Table) -> pa.Table:
    """Return the pairs of row numbers in the order of their keys."""
    columns = {
        str(place): pc.coalesce(new.column(name).take(matched["new"]), old.column(name).take(matched["old"]))
        for place, name in enumerate(new.column_names)
    }
    return matched.take(pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns]))


def _differing(before: pa.Table, after: pa.Table, old: _Side, new: _Side) -> pa.ChunkedArray:
    """Return for each pair of rows whether a column outside the key differs; one that is new or gone was NULL."""
    was, now = {}, {}
    for name in _names(old, new):
        if name in new.key:
            continue
        cast = None
        if name in old.types and name in new.types:
            cast = _in_one_type(name, before.column(name), after.column(name), old, new)
        was[name], now[name] = cast or _told_apart_unless_null(name, before, after)
    return row_changes.differing(pa.table(was), pa.table(now))


def _told_apart_unless_null(name: str, *sides: pa.Table) -> list[pa.ChunkedArray]:
    """Return the column of each side in a way that makes them equal only where both have no value."""
    return [
        pc.if_else(pc.is_valid(side.column(name)), str(number), pa.scalar(None, pa.string()))
        if name in side.column_names
        else pa.chunked_array([pa.nulls(side.num_rows, pa.string())])
        for number, side in enumerate(sides)
    ]


def _left_over(connection: Connection, table: str, old: _Side, new: _Side) -> _Pairs | None:
    """Return the rows of a table without a key that the other side does not have as often; None if types differ."""
    if old.types != new.types:
        return None
    before, after = (_whole(connection, table, side, None) for side in (old, new))
    was, now = (
        [*zip(*(row_changes.comparable(column).to_pylist() for column in part.columns), strict=True)]
        for part in (before, after)
    )
    removed, added = _beyond(was, Counter(now)), _beyond(now, Counter(was))
    return _as_unpaired(before.take(removed), after.take(added))


def _beyond(rows: Sequence[tuple[object, ...]], others: Counter[tuple[object, ...]]) -> list[int]:
    """Return the numbers of the rows that are left when each of the others has taken away one that is equal."""
    left = []
    for number, row in enumerate(rows):
        if others[row] > 0:
            others[row] -= 1
        else:
            left.append(number)
    return left


def _in_one_type(
    name: str, was: pa.ChunkedArray, now: pa.ChunkedArray, old: _Side, new: _Side
) -> tuple[pa.ChunkedArray, pa.ChunkedArray] | None:
    return retyped.in_one_type(was, now, of_one_column=old.types[name] == new.types[name])


def _whole(connection: Connection, table: str, side: _Side, limit: int | None) -> pa.Table:
    if side.commit is None or side.existing is None:
        return pa.table({})
    with refs.at_commit(connection, side.commit):
        return reading.select(connection, quote(table), side.types, limit=limit)


def _nulls(schema: pa.Schema, rows: int) -> pa.Table:
    return pa.Table.from_arrays([pa.nulls(rows, kind) for kind in schema.types], schema=schema)


@dataclass(frozen=True)
class _Column:
    """A column of the result."""

    name: str
    values: pa.ChunkedArray
    note: Note = field(default_factory=Note)
    is_text: bool = False
    """Whether these are text because they have no other type in common."""


def _result(columns: Sequence[_Column], old: _Side, new: _Side) -> reading.ReadResult:
    rows = pa.table({column.name: column.values for column in columns})
    notes = {column.name: column.note for column in columns if column.note}
    if not old.key and not new.key:
        rows = row_order.sorted_rows(rows, Notes(notes, order=tuple(_names(old, new))))
    return reading.ReadResult(rows, Notes(notes))


def _as_text(columns: Sequence[_Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.is_text)


def _names(old: _Side, new: _Side) -> list[str]:
    return [*_in_order(new), *(name for name in _in_order(old) if name not in new.types)]


def _in_order(side: _Side) -> list[str]:
    names = list(side.types)
    return list(side.notes.order) if set(side.notes.order) == set(names) else names


def _columns(pairs: _Pairs, old: _Side, new: _Side) -> list[_Column]:
    """Return what happened to the rows, and each column as it is, or, in removed rows, as it was."""
    names = _names(old, new)
    kinds = _Column(_free("diff_type", names), pairs.kinds)
    removed = pc.equal(pairs.kinds, "removed")
    return [kinds, *(_column(pairs, name, removed, old, new) for name in names)]


def _column(pairs: _Pairs, name: str, removed: pa.ChunkedArray, old: _Side, new: _Side) -> _Column:
    before, after = (side.notes.columns.get(name, Note()) for side in (old, new))
    if name not in pairs.before.column_names:
        return _Column(name, pairs.after.column(name), after)
    was = pairs.before.column(name)
    was = pc.if_else(removed, was, pa.scalar(None, was.type))
    if name not in pairs.after.column_names:
        return _Column(name, was, before)
    now = pairs.after.column(name)
    cast = _in_one_type(name, was, now, old, new)
    if cast is None:
        return _Column(name, pc.if_else(removed, *map(retyped.as_text, (was, now))), is_text=True)
    was, now = cast
    if was.null_count < len(was) and meaning(before) != meaning(after):
        counted = agreeing.in_unit_of(after, before, was)
        if counted is None:  # one note cannot speak of both: they come as SQL has them
            return _Column(name, pc.if_else(removed, was, now))
        was = counted
    return _Column(name, pc.if_else(removed, was, now), after)


def _before(pairs: _Pairs, old: _Side, new: _Side, names: Sequence[str]) -> list[_Column]:
    """Return what the columns outside the key held in modified rows before, under names that are free."""
    modified = pc.equal(pairs.kinds, "modified")
    columns = []
    for name in names if new.key else ():
        if name not in new.key:
            there, side = (pairs.before, old) if name in old.types else (pairs.after, new)
            kind = there.schema.field(name).type
            was = pairs.before.column(name) if name in old.types else pa.scalar(None, kind)
            values = pc.if_else(modified, was, pa.scalar(None, kind))
            columns.append(
                _Column(_free(f"before_{name}", _names(old, new)), values, side.notes.columns.get(name, Note()))
            )
    return columns


def _free(name: str, taken: Sequence[str]) -> str:
    folded: Mapping[str, None] = dict.fromkeys(each.casefold() for each in taken)
    while name.casefold() in folded:
        name = f"_{name}"
    return name
