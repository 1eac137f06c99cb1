"""What differs in one table between two states of a repository: counts, schema, and the rows, as values.

Dolt finds the rows by comparing the two trees of rows where they differ only, so the time goes with the change and not
with the table. How a revision is named is decided in `revisions`, how rows look as a frame in `codec`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ...doltdb.redaction import visible
from ..codec import row_order
from ..codec.notes import Note, Notes
from ..errors import InvalidConfig, QueryFailed, TableNotFound, attempting, close_names
from ..model import notebooks, provenance
from ..model.configs import KINDS, LAST_CONSUMED, Changes, Commit, DoltConfig, TableRef
from ..model.location import refuses_passwords
from ..model.sql_text import literal, quote
from ..repository import refs, remotes
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from ..tables import reading, row_changes
from . import publishing, revisions
from .revisions import Revision

if TYPE_CHECKING:
    import pandas as pd

    from ..tables.fitting import TableSchema

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


@dataclass(frozen=True)
class TableDiff:
    """What differs in one table between two commits.

    >>> print(TableDiff("rabbits", None, None, added=3, modified=1, removed=0, rows_before=2, rows_after=5))
    rabbits: 3 added, 1 modified, 0 removed
    """

    table: str
    before: Commit | None
    """The state that is compared with; None where there was none."""
    after: Commit | None

    added: int
    modified: int
    """Rows of the same key with other values. A table without a key has none: its rows are added or removed."""
    removed: int

    rows_before: int | None
    """How many rows the table had; None where it did not exist."""
    rows_after: int | None

    columns: tuple[ColumnChange, ...] = ()
    """Columns that are new, gone, or of another type; empty when the table itself is new or gone."""
    key_before: tuple[str, ...] = ()
    key_after: tuple[str, ...] = ()
    """Columns of the primary key. Where it has changed rows cannot be paired: all are removed, and all are added."""
    create_before: str | None = None
    """The table's CREATE TABLE statement; None where it did not exist."""
    create_after: str | None = None

    rows: pd.DataFrame | None = field(default=None, compare=False)
    """The first changed rows, all of them unless there was a limit. ``diff_type`` is ``added``, ``modified`` or
    ``removed``; then come the table's columns with the row as it is after, or, where it was removed, as it was; then
    ``before_<column>`` for each column outside the key, filled for modified rows. See `read` for the rest."""

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

    def __str__(self) -> str:
        counts = f"{self.added} added, {self.modified} modified, {self.removed} removed"
        news = [str(change) for change in self.columns]
        if self.create_before is None and self.create_after is not None:
            news.append("the table is new")
        if self.create_before is not None and self.create_after is None:
            news.append("the table is gone")
        if self.create_before and self.create_after and self.key_before != self.key_after:
            news.append(f"the key is now {', '.join(self.key_after) or 'none'}")
        return visible("; ".join([f"{self.table}: {counts}", *news]), lines=False)

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
        return between(connection, place.table, old, new, limit=limit)


def last_change(table: TableRef | DoltConfig, *, limit: int | None = None) -> TableDiff:
    """Return what the commit that ``table`` is at changed in it, compared with that commit's first parent.

    Raises:
        TableNotFound: the table is not there, and was not before.
    """
    place = _table_ref([table], None, None)
    with connect(place.repository) as connection:
        after = _commit(connection, table)
        assert after is not None  # noqa: S101  # for the type checker: a table resolves to something
        return between(connection, place.table, parent(connection, after), after, limit=limit)


@refuses_passwords
def changed_tables(before: Commit | Revision | None, after: Commit | Revision | None, *, db_path: Where) -> list[str]:
    """Return the names of the tables that differ between two states, gone and new ones included.

    Raises:
        RevisionNotFound: there is no such state.
    """
    with connect(remotes.location_to_read(db_path)) as connection:
        commits = [_commit(connection, side) for side in (before, after)]
        old, new = ({} if commit is None else refs.table_hashes(connection, commit) for commit in commits)
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


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
    names = {table} if table is not None else {config.tablename for config in given} - {None}
    if len(places) != 1 or len(names) != 1:
        found = f"{len(places)} repositories" if len(places) != 1 else f"{len(names)} tables"
        raise InvalidConfig(
            f"Cannot compare {sides!r}: they name {found}, and it takes one table of one repository. Give db_path= and "
            "table=, or configs that agree."
        )
    (place,), (name,) = places, names
    assert name is not None  # noqa: S101  # for the type checker: None was taken out
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
        since = revisions.resolve(connection, changes.since, on=refs.branch_of(config.branch_conf)).hash
    else:
        since = None
    return replace(config, changes=Changes(since, changes.until, changes.kinds, changes.into))


def last_consumed(config: DoltConfig) -> str | None:
    """Return up to which commit the changes of ``config`` are in the table that its ``into`` names, or None.

    The newest commit of that table's branch that says so counts. A branch that a write would create counts as the one
    it would start from.
    """
    into = config.changes.into if config.changes is not None else None
    assert into is not None  # noqa: S101  # for the type checker: `Changes` has seen to it
    wanted = provenance.consumed_by(into, config, "")
    with connect(remotes.location_of(into)) as connection:
        head = publishing.start_of(connection, into.branch_conf)
        terms = provenance.search_terms(wanted, str(into.tablename))
        query = "SELECT message FROM DOLT_LOG(%s) WHERE INSTR(message, %s) AND INSTR(message, %s)"
        for limit in (" LIMIT 8", ""):  # the first will do, unless other repositories have tables of that name
            rows = connection.query(query + limit, head, *terms)
            for (message,) in rows:
                for found in provenance.parse(message).consumed:
                    if (found.table, found.repository) == (wanted.table, wanted.repository):
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
        old, new = (_side(connection, table, commit) for commit in (before, after))
        if old.existing is None and new.existing is None:
            raise _no_table(connection, table, before, after)
        counts, pairs = _compared(connection, table, old, new, KINDS, limit)
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
            rows=_joined(pairs, old, new, with_before=True).to_frame(),
        )


def _side(connection: Connection, table: str, commit: Commit | None) -> _Side:
    if commit is None:
        return _Side(None, None, None)
    with refs.at_commit(connection, commit):
        existing = reading.describe(connection, table)
        if existing is None:
            return _Side(commit, None, None)
        rows = int(connection.query(f"SELECT COUNT(*) FROM {quote(table)}")[0][0])
        return _Side(commit, existing, rows)


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


def read(
    connection: Connection,
    table: str,
    before: Commit | None,
    after: Commit | None,
    *,
    kinds: Sequence[str] = KINDS,
    limit: int | None = None,
) -> reading.ReadResult:
    """Return the rows of ``table`` that differ, as `TableDiff.rows` describes them.

    Columns of both schemas are there: where a row has no value for one it is NULL. A column whose type has changed has
    the new type where the old values fit into it, else it is text. Where the table has a column ``diff_type`` or
    ``before_x`` of its own, the added one has underscores in front. Where there was no table before, the columns are
    those of later changes.

    Raises:
        TableNotFound: neither state has the table.
    """
    with attempting(f"read what differs in table {table!r}"):
        old, new = (_side(connection, table, commit) for commit in (before, after))
        if old.existing is None and new.existing is None:
            raise _no_table(connection, table, before, after)
        _, pairs = _compared(connection, table, old, new, kinds, limit)
        if old.existing is None:
            old = replace(new, rows=0)
            pairs = replace(pairs, before=_nulls(pairs.after.schema, pairs.after.num_rows))
        return _joined(pairs, old, new, with_before="modified" in kinds)


def _compared(
    connection: Connection, table: str, old: _Side, new: _Side, kinds: Sequence[str], limit: int | None
) -> tuple[dict[str, int], _Pairs]:
    """Return how many rows of each kind differ, and the first of those in ``kinds``.

    Dolt 1.83 compares the trees of rows whatever their keys are: across other key columns it takes rows for equal that
    are not, across other types of them it reads one key with the type of the other; and it follows a renamed table
    where the name was asked for. So it is asked only where name and key are the same.
    """
    if old.existing is None or new.existing is None or old.key != new.key:
        counts = {"added": new.rows or 0, "modified": 0, "removed": old.rows or 0}
        return counts, _unpaired(connection, table, old, new, kinds, limit)
    # Not on a revision, where Dolt 1.83 lets only those with rights on all databases call a function for rows.
    with connection.at(None):
        hides = _holds_unequal_equal(old, new) and _hash(connection, table, old) != _hash(connection, table, new)
        found = None if hides else _counts(connection, table, old, new)
        if found is not None:
            return found, _paired(connection, table, old, new, kinds, limit)
    pairs = _matched(connection, table, old, new)
    counts = {kind: pc.sum(pc.equal(pairs.kinds, kind)).as_py() or 0 for kind in KINDS}
    return counts, _chosen(pairs, kinds, limit)


def _chosen(pairs: _Pairs, kinds: Sequence[str], limit: int | None) -> _Pairs:
    wanted = pc.is_in(pairs.kinds, pa.array(kinds, pa.string()))
    before, after = (part.filter(wanted).slice(0, limit) for part in (pairs.before, pairs.after))
    return _Pairs(pairs.kinds.filter(wanted).slice(0, before.num_rows), before, after)


def _holds_unequal_equal(old: _Side, new: _Side) -> bool:
    """Whether a collation may hold texts equal that are not, as ``ann`` and ``Ann``: Dolt's diff leaves these out."""
    columns = [column for side in (old, new) if side.existing is not None for column in side.existing.columns]
    return bool(new.key) and not all(column.compares_as_bytes for column in columns)


def _hash(connection: Connection, table: str, side: _Side) -> str | None:
    if side.commit is None:
        return None
    with refs.at_commit(connection, side.commit):
        return refs.hash_of_table(connection, table)


def _counts(connection: Connection, table: str, old: _Side, new: _Side) -> dict[str, int] | None:
    """Return what Dolt counts, or None where the types of the key are others, and it should not be asked for rows."""
    assert old.commit is not None and new.commit is not None  # noqa: S101, PT018  # for the type checker
    try:
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


def _paired(
    connection: Connection, table: str, old: _Side, new: _Side, kinds: Sequence[str], limit: int | None
) -> _Pairs:
    assert old.commit is not None and new.commit is not None  # noqa: S101, PT018  # for the type checker
    to, of = [f"to_{name}" for name in new.types], [f"from_{name}" for name in old.types]
    columns = {
        "diff_type": "varchar(16)",
        **dict(zip(to, new.types.values(), strict=True)),
        **dict(zip(of, old.types.values(), strict=True)),
    }
    source = f"DOLT_DIFF({literal(old.commit.hash)}, {literal(new.commit.hash)}, {literal(table)})"
    # The function adds these to the table's own, and a name that is there twice cannot be asked for.
    ours = [*to, "to_commit", "to_commit_date", *of, "from_commit", "from_commit_date", "diff_type"]
    folded = [name.casefold() for name in ours]
    if len(set(folded)) < len(folded):
        names = _told_apart(ours)
        source = f"(SELECT * FROM {source}) AS d ({', '.join(map(quote, names))})"
    where = "TRUE" if set(kinds) == set(KINDS) else f"diff_type IN ({', '.join(literal(kind) for kind in kinds)})"
    arrow = reading.select(connection, source, columns, where=where, limit=limit)
    return _Pairs(
        arrow.column("diff_type"),
        arrow.select(of).rename_columns(list(old.types)),
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


def _unpaired(
    connection: Connection, table: str, old: _Side, new: _Side, kinds: Sequence[str], limit: int | None
) -> _Pairs:
    """Take all old rows for removed, and all new ones for added."""
    removed = _whole(connection, table, old, limit if "removed" in kinds else 0)
    left = None if limit is None else limit - removed.num_rows
    added = _whole(connection, table, new, left if "added" in kinds else 0)
    return _Pairs(
        pa.chunked_array([pa.array(["removed"] * removed.num_rows + ["added"] * added.num_rows, pa.string())]),
        pa.concat_tables([removed, _nulls(removed.schema, added.num_rows)]),
        pa.concat_tables([_nulls(added.schema, removed.num_rows), added]),
    )


def _matched(connection: Connection, table: str, old: _Side, new: _Side) -> _Pairs:
    """Pair all rows of both sides by key ourselves: for a key whose columns have other types."""
    before, after = (_whole(connection, table, side, None) for side in (old, new))
    keys = [_of_one_type(before.column(name), after.column(name)) for name in new.key]
    matched = row_changes.pairs(
        *(pa.table(dict(zip(new.key, columns, strict=True))) for columns in zip(*keys, strict=True))
    )
    before, after = before.take(matched["old"]), after.take(matched["new"])
    kinds = pc.if_else(
        pc.is_null(matched["old"]), "added", pc.if_else(pc.is_null(matched["new"]), "removed", "modified")
    )
    differs = pc.or_(pc.not_equal(kinds, "modified"), _differing(before, after, new.key))
    return _Pairs(kinds.filter(differs), before.filter(differs), after.filter(differs))


def _differing(before: pa.Table, after: pa.Table, key: Sequence[str]) -> pa.ChunkedArray:
    """Return for each pair of rows whether a column outside the key differs; one that is new or gone was NULL."""
    names = dict.fromkeys(name for name in [*after.column_names, *before.column_names] if name not in key)
    nothing = pa.nulls(before.num_rows)
    sides = [
        _of_one_type(*(side.column(name) if name in side.column_names else nothing for side in (before, after)))
        for name in names
    ]
    was, now = (pa.table(dict(zip(names, columns, strict=True))) for columns in zip(*sides, strict=True))
    return row_changes.differing(was, now)


def _whole(connection: Connection, table: str, side: _Side, limit: int | None) -> pa.Table:
    if side.commit is None or side.existing is None:
        return pa.table({})
    with refs.at_commit(connection, side.commit):
        return reading.select(connection, quote(table), side.types, limit=limit)


def _nulls(schema: pa.Schema, rows: int) -> pa.Table:
    return pa.Table.from_arrays([pa.nulls(rows, kind) for kind in schema.types], schema=schema)


def _joined(pairs: _Pairs, old: _Side, new: _Side, *, with_before: bool) -> reading.ReadResult:
    names = [*_in_order(new), *(name for name in _in_order(old) if name not in new.types)]
    removed = pc.equal(pairs.kinds, "removed")
    columns = {_free("diff_type", names): pairs.kinds}
    columns |= {name: _row_values(pairs, name, removed) for name in names}
    notes = {**old.notes.columns, **new.notes.columns}
    if with_before and new.key == old.key and new.key:
        before, noted = _before(pairs, old, names)
        columns, notes = columns | before, notes | noted
    rows = pa.table(columns)
    if not old.key and not new.key:
        rows = row_order.sorted_rows(rows, Notes(notes, order=tuple(names)))
    return reading.ReadResult(rows, Notes(notes))


def _before(pairs: _Pairs, old: _Side, names: Sequence[str]) -> tuple[dict[str, pa.ChunkedArray], dict[str, Note]]:
    """Return what the columns of modified rows held before, under names that are free, and the notes about it."""
    columns: dict[str, pa.ChunkedArray] = {}
    notes: dict[str, Note] = {}
    modified = pc.equal(pairs.kinds, "modified")
    for name in names:
        if name in old.types and name not in old.key:
            was, free = pairs.before.column(name), _free(f"before_{name}", names)
            columns[free] = pc.if_else(modified, was, pa.scalar(None, was.type))
            notes |= {free: old.notes.columns[name]} if name in old.notes.columns else {}
    return columns, notes


def _in_order(side: _Side) -> list[str]:
    names = list(side.types)
    return list(side.notes.order) if set(side.notes.order) == set(names) else names


def _row_values(pairs: _Pairs, name: str, removed: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of one column as they are, or, in removed rows, as they were."""
    if name not in pairs.before.column_names:
        return pairs.after.column(name)
    was = pairs.before.column(name)
    if name not in pairs.after.column_names:
        return pc.if_else(removed, was, pa.scalar(None, was.type))
    now = pairs.after.column(name)
    if was.type != now.type:
        was, now = _of_one_type(was, now)
    return pc.if_else(removed, was, now)


def _of_one_type(was: pa.ChunkedArray, now: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    try:
        return was.cast(now.type), now
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _as_text(was), _as_text(now)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_binary(column.type):
        return pa.chunked_array([pa.array([v if v is None else v.hex() for v in column.to_pylist()], pa.string())])
    return column.cast(pa.string())


def _free(name: str, taken: Sequence[str]) -> str:
    folded: Mapping[str, None] = dict.fromkeys(each.casefold() for each in taken)
    while name.casefold() in folded:
        name = f"_{name}"
    return name
