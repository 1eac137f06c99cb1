"""What stands against a merge: rows that both sides have changed, schemas that do not meet, constraints that break.

They are read on the branch that holds the merge, in the transaction that made it. Where Dolt cannot show the rows of a
table, or breaks on merging them, the three states of the table are compared here. What is done about conflicts is the
business of `resolving`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...doltdb.redaction import visible
from ..codec import result_columns
from ..codec.notes import Note, Notes
from ..errors import ConnectionLost, DoltError, QueryFailed
from ..model.configs import Commit
from ..model.sql_text import literal, quote
from ..repository import refs
from ..repository.connections import Connection
from ..tables import reading
from ..tables.reading import ReadResult
from .note_merging import MergeSides

if TYPE_CHECKING:
    import pandas as pd

    from ..tables.fitting import TableSchema

SHOWN = 5
"""How many conflicting rows of a table an error carries as values; all are in the frame."""

SIDES = {"base": "base_", "ours": "our_", "theirs": "their_"}
"""The states of a row, and what stands before the names of their columns."""

ADVICE = {
    "rows": 'Take one side with strategy="ours" or "theirs", or say with resolve= how the conflicting rows shall be.',
    "schema": "No strategy= and no rows can settle a schema: give the table the same columns, key and types on one "
    "side as on the other, and merge again.",
    "constraints": "No strategy= and no resolve= mends rows that break a constraint: change them on one side, and "
    "merge again.",
}
"""What to do about conflicts, by their kind."""


@dataclass(frozen=True)
class Conflict:
    """What stands against a merge in one table."""

    table: str
    kind: str
    """``rows``, ``schema`` or ``constraints``."""
    count: int
    """How many rows (or, for a schema, columns or keys) are in conflict."""
    rows: tuple[dict[str, dict[str, Any]], ...] = ()
    """The first of them, each with what ``base``, ``ours`` and ``theirs`` have; None values where a side has no row."""
    description: str = ""
    key: tuple[str, ...] = ()
    """The columns that name a row; empty where the table has no primary key."""
    found: ReadResult | None = field(default=None, compare=False, repr=False)
    """All of the conflicting rows, as they were read."""

    @property
    def frame(self) -> pd.DataFrame | None:
        """All conflicting rows, made anew each time; None where the conflict is not one of rows.

        First come the key's columns, then ``base_``, ``our_`` and ``their_`` for each of the other columns, in the
        dtypes that the table has on that side, and last ``our_diff_type`` and ``their_diff_type``: ``added``,
        ``modified`` or ``removed``. A table without a key has the columns of all three sides and how often each has
        the row: ``base_cardinality``, ``our_cardinality``, ``their_cardinality``. Where the table has a column of one
        of these names, ``_`` stands before that of the frame. Generated columns are left out.
        """
        return None if self.found is None else self.found.to_frame()

    def __str__(self) -> str:
        said = f": {self.description}" if self.description else ""
        first = f", first {_row_text(self.rows[0])}" if self.rows else ""
        what = {"rows": "conflicting rows", "schema": "schema conflicts", "constraints": "rows that break a constraint"}
        return visible(f"table {self.table!r} has {self.count} {what[self.kind]}{said}{first}", lines=False)


def _row_text(row: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{side} {dict(values)!r}" for side, values in row.items())[:500]


def advice(found: Sequence[Conflict]) -> str:
    """Return what to do about these conflicts."""
    return " ".join(words for kind, words in ADVICE.items() if kind in {conflict.kind for conflict in found})


# ------------------------------------------------------------------------------------------------------ in a merge


def of_merge(connection: Connection, sides: MergeSides) -> Iterator[Conflict]:
    """Give what Dolt has found while it merged ``sides``, where the connection is."""
    for name, description in connection.query("SELECT table_name, description FROM dolt_schema_conflicts"):
        yield Conflict(str(name), "schema", 1, description=str(description))
    for name, count in connection.query("SELECT `table`, num_conflicts FROM dolt_conflicts"):
        if count:
            yield _of_rows(connection, str(name), int(count), sides)
    yield from of_constraints(connection)


def of_constraints(connection: Connection) -> Iterator[Conflict]:
    """Give the rows that Dolt has found to break a constraint, where the connection is."""
    for name, count in connection.query("SELECT `table`, num_violations FROM dolt_constraint_violations"):
        rows = _that_break(connection, str(name))
        plain = [{k: v for k, v in row.items() if k not in ("from_root_ish", "violation_info")} for row in rows]
        kinds = sorted({str(row["violation_type"]) for row in rows})
        yield Conflict(str(name), "constraints", int(count), tuple({"theirs": row} for row in plain), ", ".join(kinds))


def _that_break(connection: Connection, table: str) -> list[dict[str, Any]]:
    """Return rows that break a constraint; none where Dolt 1.83 cannot give them, as behind a VIRTUAL column."""
    try:
        return _dicts(connection, f"SELECT * FROM {quote(f'dolt_constraint_violations_{table}')} LIMIT {SHOWN}")
    except QueryFailed:
        return []


def trapped(connection: Connection, sides: MergeSides) -> list[Conflict]:
    """Return the conflicts in tables with stored generated columns, which Dolt 1.83 cannot merge: its server ends.

    To be asked before the merge.
    """
    tables = [name for name in (*sides.changed, *sides.new_on_both) if _stores_generated(connection, name, sides)]
    if not tables:
        return []
    asked = "SELECT `table`, num_data_conflicts FROM DOLT_PREVIEW_MERGE_CONFLICTS_SUMMARY(%s, %s)"
    try:
        with connection.at(None):
            found = {str(name): int(count or 0) for name, count in connection.query(asked, sides.ours, sides.theirs)}
    except QueryFailed as error:  # as the merge itself would, if it did not break
        return [of_refusal(error.server_message, sides)]
    conflicting = [table for table in tables if found.get(table)]
    return [_compared(connection, name, found[name], sides, _schemas(connection, name, sides)) for name in conflicting]


_CONSTRAINT = re.compile(r"^  CONSTRAINT `((?:[^`]|``)*)` ", re.M)


def of_lost_constraints(connection: Connection, tables: Sequence[str], sides: MergeSides) -> Iterator[Conflict]:
    """Give the merged tables that lack a foreign key or check that a side has added.

    Dolt 1.83 drops a foreign key without a word when the other side has dropped the table that it refers to.
    """
    for table in tables:
        merged = reading.describe(connection, table)
        known = {side: _constraints(schema) for side, schema in _schemas(connection, table, sides).items()}
        lost = (known["ours"] | known["theirs"]) - known["base"] - _constraints(merged)
        if lost:
            names = ", ".join(map(repr, sorted(lost)))
            said = f"the merge would lose {names}: the other side has taken away what it needs"
            yield Conflict(table, "schema", len(lost), description=said)


def _constraints(schema: TableSchema | None) -> set[str]:
    return set() if schema is None else set(_CONSTRAINT.findall(schema.statement))


def of_refusal(said: str, sides: MergeSides) -> Conflict:
    """Return the conflict that Dolt has seen where it does not even begin to merge, from its own words."""
    words = set(re.findall(r"[^\s'\"`,:;()]+", said))
    named = [name for name in (*sides.changed, *sides.new_on_both, "dolt_procedures", "dolt_schemas") if name in words]
    return Conflict(max(named, key=len, default="?"), "schema", 1, description=said)


# ------------------------------------------------------------------------------------------------------ their rows


def _of_rows(connection: Connection, table: str, count: int, sides: MergeSides) -> Conflict:
    if table == "dolt_procedures":
        said = "both sides have a procedure of one name, which Dolt cannot show"
        return Conflict(table, "schema", count, description=said)
    schemas = _schemas(connection, table, sides)
    if any(schema is not None and _generated(schema) for schema in schemas.values()):
        return _compared(connection, table, count, sides, schemas)  # Dolt 1.83 shows values of other columns there
    key = _key_of(schemas)
    types = {kind for schema in schemas.values() if schema is not None for kind in schema.sql_types.values()}
    if any(map(result_columns.is_vector, types)):  # the driver can read no such value
        return Conflict(table, "rows", count, description="of vectors, which no frame can hold", key=key)
    rows = tuple(_conflicting_rows(connection, table))
    if any(map(result_columns.is_geometry, types)):
        return Conflict(table, "rows", count, rows, description="of shapes, which no frame can hold", key=key)
    if _stored_in_different_ways(schemas):
        compared = _compared(connection, table, count, sides, schemas)
        said = "the sides do not have the same columns"
        return compared if compared.count == count else Conflict(table, "rows", count, rows, description=said, key=key)
    try:
        found = _read(connection, table, key, schemas, sides)
    except ConnectionLost:
        raise
    except DoltError as error:  # such as a date that no frame holds: the rest of what is known helps more
        return Conflict(table, "rows", count, rows, description=f"no frame can hold them ({error})", key=key)
    return Conflict(table, "rows", count, rows, key=key, found=found)


def _conflicting_rows(connection: Connection, table: str) -> Iterator[dict[str, dict[str, Any]]]:
    system = quote(f"dolt_conflicts_{table}")
    ours = {"our_diff_type", "our_cardinality", "their_diff_type", "their_cardinality", "base_cardinality"}
    for row in _dicts(connection, f"SELECT * FROM {system} LIMIT {SHOWN}"):
        yield {
            side: {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix) and k not in ours}
            for side, prefix in SIDES.items()
        }


def _dicts(connection: Connection, statement: str) -> list[dict[str, Any]]:
    names = [found.name for found in connection.describe(statement)]
    return [dict(zip(names, row, strict=True)) for row in connection.query(statement)]


def _schemas(connection: Connection, table: str, sides: MergeSides) -> dict[str, TableSchema | None]:
    found = {}
    for side in ("ours", "theirs", "base"):
        with refs.at_commit(connection, Commit(getattr(sides, side))):
            found[side] = reading.describe(connection, table)
    return found


def _key_of(schemas: Mapping[str, TableSchema | None]) -> tuple[str, ...]:
    return next((schema.key for schema in schemas.values() if schema is not None), ())


def _notes(schemas: Mapping[str, TableSchema | None]) -> dict[str, Mapping[str, Note]]:
    """Return what each side has noted about its columns; a column that is not on a side is as on another."""
    own = {s: Notes.from_comment(t.comment)[0].columns if t is not None else {} for s, t in schemas.items()}
    everything = {**own["base"], **own["theirs"], **own["ours"]}
    has = {s: t.sql_types if t is not None else {} for s, t in schemas.items()}
    return {s: {n: note for n, note in {**everything, **own[s]}.items() if n in own[s] or n not in has[s]} for s in own}


@dataclass(frozen=True)
class _Rows:
    """Conflicting rows as the three sides have them, row by row."""

    sides: dict[str, pa.Table]
    beside: dict[str, pa.ChunkedArray]
    """What is known beside the table's own columns."""


def _read(
    connection: Connection, table: str, key: Sequence[str], schemas: Mapping[str, TableSchema | None], sides: MergeSides
) -> ReadResult:
    """Return the conflicting rows that Dolt shows to any session: those in a transaction are seen by itself only."""
    system = f"DOLT_PREVIEW_MERGE_CONFLICTS({literal(sides.ours)}, {literal(sides.theirs)}, {literal(table)})"
    shown = [found.name for found in connection.describe(f"SELECT * FROM {system} LIMIT 1")]
    aliases = [f"c{i}" for i in range(len(shown))]  # since columns of the table may be called as those of Dolt
    columns = dict(zip(aliases, _placed(shown), strict=True))
    types = {alias: _type(place, schemas) for alias, place in columns.items() if place.side}
    arrow = reading.select(connection, f"(SELECT * FROM {system}) AS d ({', '.join(aliases)})", types)
    own: dict[str, dict[str, pa.ChunkedArray]] = {side: {} for side in SIDES}
    beside = {}
    for alias in types:
        place = columns[alias]
        if place.is_own:
            own[place.side][place.name] = arrow.column(alias)
        else:
            beside[SIDES[place.side] + place.name] = arrow.column(alias)
    rows = _Rows({side: pa.table(values) for side, values in own.items()}, beside)
    return _joined(rows, key, _notes(schemas))


@dataclass(frozen=True)
class _Place:
    """What a column is that Dolt shows of a conflict."""

    side: str
    """One of `SIDES`, or nothing."""
    name: str
    is_own: bool
    """Whether it is one of the table's."""


def _placed(shown: Sequence[str]) -> list[_Place]:
    """Return what the columns are: those of base, ours and theirs, each of the two with a diff_type behind, and others.

    The table itself may have columns of the same names; then the last one is Dolt's.
    """
    last = shown.index("dolt_conflict_id")
    kinds = {last - 1, max(i for i, name in enumerate(shown[: last - 1]) if name == "our_diff_type")}
    places = []
    for position, name in enumerate(shown):
        side = next((side for side, prefix in SIDES.items() if name.startswith(prefix)), "")
        places.append(_Place(side, name.removeprefix(SIDES.get(side, "")), position < last and position not in kinds))
    return places


def _type(place: _Place, schemas: Mapping[str, TableSchema | None]) -> str:
    """Return the SQL type of a column; Dolt shows those that another side has added or renamed on each side."""
    if not place.is_own:
        return "varchar(16)" if place.name == "diff_type" else "bigint unsigned"
    found = (schemas[side] for side in (place.side, "theirs", "ours", "base"))
    has = [schema.sql_types for schema in found if schema is not None]
    return next(types[place.name] for types in has if place.name in types)


def _joined(rows: _Rows, key: Sequence[str], notes: Mapping[str, Mapping[str, Note]]) -> ReadResult:
    """Return one row for each conflict: the key, the other columns of all sides, and what is known beside."""
    own = dict.fromkeys(name for side in ("ours", "theirs", "base") for name in rows.sides[side].column_names)
    columns: dict[str, pa.ChunkedArray] = {}
    noted: dict[str, Note] = {}
    taken = {name.casefold() for name in own}

    def put(name: str, values: pa.ChunkedArray, note: Note | None) -> None:
        while name.casefold() in taken:
            name = f"_{name}"
        taken.add(name.casefold())
        columns[name] = values
        if note is not None:
            noted[name] = note

    for name in key:
        columns[name] = _first_of([rows.sides[side].column(name) for side in ("ours", "theirs", "base")])
        if name in notes["ours"]:
            noted[name] = notes["ours"][name]
    for name in own:
        for side, prefix in SIDES.items():
            if name not in key and name in rows.sides[side].column_names:
                put(prefix + name, rows.sides[side].column(name), notes[side].get(name))
    for name, values in rows.beside.items():
        put(name, values, None)
    return ReadResult(pa.table(columns), Notes(noted))


def _first_of(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return of each row the first value that there is, in the type of the first column where all fit it."""
    import pyarrow.compute as pc

    try:
        return pc.coalesce(*(column.cast(columns[0].type) for column in columns))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pc.coalesce(*(column.cast(pa.string()) for column in columns))


# --------------------------------------------------------------------------------------------- tables that Dolt cannot


def _generated(schema: TableSchema) -> set[str]:
    return {column.name for column in schema.columns if column.generated}


_STORED = re.compile(r" GENERATED ALWAYS AS .* STORED\b", re.I)


def _stores_generated(connection: Connection, table: str, sides: MergeSides) -> bool:
    schemas = _schemas(connection, table, sides)
    return any(t is not None and _generated(t) and _STORED.search(t.statement) for t in schemas.values())


def _stored_in_different_ways(schemas: Mapping[str, TableSchema | None]) -> bool:
    """Whether a column has other types or another place on the sides: Dolt 1.83 takes all their rows for the base's."""
    columns = [list(schema.sql_types.items()) for schema in schemas.values() if schema is not None]
    types = {tuple(kind for _, kind in each) for each in columns}
    is_moved = any(each != columns[0] and dict(each) == dict(columns[0]) for each in columns)
    return len(types) > 1 or is_moved


def _compared(
    connection: Connection, table: str, count: int, sides: MergeSides, schemas: Mapping[str, TableSchema | None]
) -> Conflict:
    """Return the conflict in a table whose rows Dolt does not show right, from its three states."""
    key = _key_of(schemas)
    if not key:
        return Conflict(table, "rows", count)
    states = {side: _state(connection, table, getattr(sides, side), schemas[side]) for side in SIDES}
    if not states["base"].column_names:  # both sides have made the table
        states["base"] = states["ours"].slice(0, 0)
    found = list(_conflicting(states, key))
    conflict = of_rows(table, key, found, {side: state.schema for side, state in states.items()}, _notes(schemas))
    return replace(conflict, count=conflict.count or count)


def of_rows(
    table: str,
    key: tuple[str, ...],
    found: Sequence[dict[str, _Row]],
    types: Mapping[str, pa.Schema],
    notes: Mapping[str, Mapping[str, Note]],
) -> Conflict:
    """Return the conflict of rows that are known, each as ``base``, ``ours`` and ``theirs`` have it, or None."""
    rows = _Rows(
        {side: pa.Table.from_pylist([row[side] or {} for row in found], types[side]) for side in SIDES},
        {f"{SIDES[side]}diff_type": _kinds(found, side) for side in ("ours", "theirs")},
    )
    nothing = dict.fromkeys(types["ours"].names)
    first = tuple({side: values or nothing for side, values in row.items()} for row in found[:SHOWN])
    return Conflict(table, "rows", len(found), first, key=key, found=_joined(rows, key, notes))


def _conflicting(states: Mapping[str, pa.Table], key: Sequence[str]) -> Iterator[dict[str, _Row]]:
    rows = {side: _by_key(state, key) for side, state in states.items()}
    for each in {**rows["ours"], **rows["theirs"], **rows["base"]}:
        row = {side: rows[side].get(each) for side in SIDES}
        if _conflicts(**row):
            yield row


def _kinds(found: Sequence[dict[str, _Row]], side: str) -> pa.ChunkedArray:
    return pa.chunked_array([[_kind(row["base"], row[side]) for row in found]], pa.string())


def _by_key(state: pa.Table, key: Sequence[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in key): row for row in state.to_pylist()}


def _state(connection: Connection, table: str, commit: str, schema: TableSchema | None) -> pa.Table:
    if schema is None:
        return pa.table({})
    types = {name: kind for name, kind in schema.sql_types.items() if name not in _generated(schema)}
    with refs.at_commit(connection, Commit(commit)):
        return reading.select(connection, quote(table), types)


_Row = dict[str, Any] | None


def _conflicts(base: _Row, ours: _Row, theirs: _Row) -> bool:
    """Whether both sides have changed a row, in ways that do not meet cell by cell."""
    if ours == theirs or base in (ours, theirs):
        return False
    if base is None or ours is None or theirs is None:
        return True
    names = {*base, *ours, *theirs}
    return any(len({repr(row.get(name)) for row in (base, ours, theirs)}) == 3 for name in names)


def _kind(base: _Row, side: _Row) -> str:
    if base is None:
        return "added"
    return "removed" if side is None else "modified"
