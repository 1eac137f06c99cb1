"""How conflicting rows of a merge are settled: by taking one side, or by rows that the caller gives.

Rows that are not in conflict are merged as ever. Rows that are given go into the table as those of an upsert do, so in
its types, units and zones; what a schema or a constraint has against the merge no row settles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa

from ..codec import pandas_frames
from ..errors import InvalidConfig, MergeConflict, QueryFailed, SchemaMismatch, TableNotFound, attempted, close_names
from ..model.configs import KINDS, Commit
from ..model.naming import lowered
from ..model.sql_text import quote
from ..repository import refs
from ..repository.connections import Connection
from ..tables import reading, writing
from .conflicts import Conflict
from .note_merging import MergeSides

if TYPE_CHECKING:
    import pandas as pd

Strategy: TypeAlias = Literal["ours", "theirs"]
"""Which side's rows conflicting rows become: ``ours`` is the branch that is merged into."""

NAMED = 5
"""How many rows an error names."""


@dataclass(frozen=True)
class Resolution:
    """What the caller of a merge wants to become of conflicting rows."""

    default: Strategy | None = None
    strategies: Mapping[str, Strategy] = field(default_factory=dict)
    """The side by table."""
    rows: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """The rows as they shall be, by table."""
    alone: pd.DataFrame | None = None
    """Those of the one table that has conflicts."""

    @classmethod
    def asked(
        cls,
        strategy: Strategy | Mapping[str, Strategy] | None,
        resolve: pd.DataFrame | Mapping[str, pd.DataFrame] | None,
    ) -> Resolution:
        """Return what the two arguments say.

        Raises:
            InvalidConfig: they say nothing that can be done.
        """
        sides = strategy if isinstance(strategy, Mapping) else {None: strategy}
        for side in sides.values():
            if side not in ("ours", "theirs", None):
                raise InvalidConfig(f"Cannot merge with strategy={side!r}: it is 'ours' or 'theirs'.")
        given = resolve if isinstance(resolve, Mapping) else {}
        for table, frame in given.items():
            _refuse_no_frame(frame, f"for table {table!r}")
        alone = None if resolve is None or isinstance(resolve, Mapping) else _refuse_no_frame(resolve, "")
        if isinstance(strategy, Mapping):
            return cls(None, dict(strategy), given, alone)
        return cls(strategy, {}, given, alone)

    def spelled(self, connection: Connection, sides: MergeSides) -> Resolution:
        """Return the same with the tables' names as they are stored.

        Raises:
            TableNotFound: there is no such table on either side.
            InvalidConfig: two names mean one table.
        """
        if not self.strategies and not self.rows:
            return self
        known: dict[str, str] = {"dolt_schemas": "dolt_schemas"}
        for commit in (sides.theirs, sides.ours):
            known |= {lowered(name): name for name in refs.table_hashes(connection, Commit(commit))}
        spell = {name: _stored(name, known) for name in (*self.strategies, *self.rows)}
        if len(set(spell.values())) < len(self.strategies) + len(self.rows):
            raise InvalidConfig(
                f"Cannot {attempted()}: strategy= and resolve= name a table twice among {', '.join(map(repr, spell))}. "
                "Say once what becomes of its conflicts."
            )
        return replace(
            self,
            strategies={spell[name]: side for name, side in self.strategies.items()},
            rows={spell[name]: frame for name, frame in self.rows.items()},
        )

    def side(self, table: str) -> Strategy | None:
        """Return whose rows those of a table become."""
        return self.strategies.get(table, self.default)

    def settle(self, connection: Connection, found: Sequence[Conflict]) -> Settled:
        """Settle conflicts in the transaction that made them, as far as they can be; `Settled.put` does the rest.

        Raises:
            MergeConflict: rows were given that are not the ones in conflict.
            InvalidConfig, SchemaMismatch, UnsupportedFrame: rows were given that the table cannot take.
        """
        frames = self._frames(found)
        if any(conflict.kind != "rows" for conflict in found):
            return Settled(list(found))
        left = [conflict for conflict in found if conflict.table not in frames and not self.side(conflict.table)]
        if left:
            return Settled(left)
        _refuse_unasked(frames, found)
        given, sides = [], {}
        for conflict in found:
            frame = frames.get(conflict.table)
            sides[conflict.table] = "ours" if frame is not None else self.side(conflict.table)
            if frame is not None:
                given.append(_given(connection, conflict, frame))
        for conflict in found:
            _take(connection, conflict, sides[conflict.table] or "ours")
        return Settled([], given)

    def _frames(self, found: Sequence[Conflict]) -> Mapping[str, pd.DataFrame]:
        """Return the rows that were given, by table."""
        if self.alone is None:
            return self.rows
        tables = [conflict.table for conflict in found if conflict.kind == "rows"]
        if len(tables) == 1:
            return {tables[0]: self.alone}
        raise InvalidConfig(
            f"Cannot {attempted()}: rows in conflict are in {len(tables)} tables, "
            f"{', '.join(map(repr, tables)) or 'none'}, and resolve= is one frame. Give it by table, as "
            "resolve={table: frame}."
        )


@dataclass(frozen=True)
class GivenRows:
    """Rows that take the place of those in conflict in one table."""

    write: writing.TableWrite
    deleted: pa.Table
    """The keys of rows that shall not be there."""


@dataclass(frozen=True)
class Settled:
    """What has become of conflicts."""

    left: list[Conflict]
    """Those that stand against the merge still."""
    given: Sequence[GivenRows] = ()

    def put(self, connection: Connection) -> None:
        """Put the rows that were given into the merged tables.

        Raises:
            SchemaMismatch, ConstraintViolated: they do not fit.
        """
        connection.execute("COMMIT")
        for rows in self.given:
            if rows.deleted.num_rows:
                writing.delete_rows(connection, rows.write.table, rows.deleted)
                connection.execute("COMMIT")
            if rows.write.rows.arrow.num_rows:
                rows.write.apply(connection)


def _refuse_no_frame(frame: Any, where: str) -> pd.DataFrame:
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return frame
    raise InvalidConfig(
        f"Cannot merge with a {type(frame).__name__} as resolve= {where}: it is a pandas DataFrame, or one by table."
    )


def _stored(name: str, known: Mapping[str, str]) -> str:
    found = known.get(lowered(str(name)))
    if found is None:
        raise TableNotFound(
            f"Cannot {attempted()}: there is no table {name!r} on either side.{close_names(str(name), known.values())}",
            table=str(name),
            close=sorted(known.values()),
        )
    return found


def _take(connection: Connection, conflict: Conflict, side: Strategy) -> None:
    """Make the conflicting rows of a table those of one side."""
    try:
        connection.execute("CALL DOLT_CONFLICTS_RESOLVE(%s, %s)", f"--{side}", conflict.table)
    except QueryFailed as error:  # the two sides have other columns
        if side == "theirs":
            raise MergeConflict(
                f"Cannot {attempted()}: Dolt cannot take the rows of theirs in {conflict.table!r} "
                f"({error.server_message}). Both branches are as they were. Say with resolve= how they shall be.",
                conflicts=(conflict,),
            ) from error
        connection.execute(f"DELETE FROM {quote(f'dolt_conflicts_{conflict.table}')}")  # they are those of ours


# -------------------------------------------------------------------------------------------------- rows that are given


def _refuse_unasked(frames: Mapping[str, pd.DataFrame], found: Sequence[Conflict]) -> None:
    """Raise if rows are given for tables in which none is in conflict."""
    asked = {conflict.table for conflict in found}
    surplus = {table: _records(frame) for table, frame in frames.items() if table not in asked and len(frame)}
    if surplus:
        raise MergeConflict(
            f"Cannot {attempted()}: resolve= has rows for {', '.join(map(repr, surplus))}, where none is in conflict. "
            "Both branches are as they were. Leave them out; other rows are changed by a write.",
            conflicts=tuple(found),
            surplus=surplus,
        )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _given(connection: Connection, conflict: Conflict, frame: pd.DataFrame) -> GivenRows:
    """Return what puts ``frame`` in the place of the rows in conflict.

    Raises:
        InvalidConfig: rows of this table cannot be named.
        SchemaMismatch: it has not the columns of the table.
        MergeConflict: it has not the rows that are in conflict.
        UnsupportedFrame: it cannot be stored exactly.
    """
    table, found = conflict.table, conflict.found
    if not conflict.key or found is None:
        why = "has no primary key" if not conflict.key else "cannot be shown"
        raise InvalidConfig(
            f"Cannot {attempted()}: table {table!r} {why}, so resolve= cannot say which rows are meant. Take "
            f'strategy={{{table!r}: "ours"}} or "theirs".'
        )
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame = frame.reset_index(drop=True)
    removed = _removed(connection, conflict, frame)
    keys = _keys(conflict, found, frame)
    _refuse_other_rows(conflict, found, keys)
    _refuse_outdated(conflict, found, frame, keys)
    beside = {*found.arrow.column_names, _free_diff_type(connection, table)} - set(conflict.key)
    rows = frame.loc[[not gone for gone in removed], [name for name in frame.columns if name not in beside]]
    options = writing.WriteOptions(mode="upsert")
    deleted = keys.filter(pa.array(removed, pa.bool_()))
    return GivenRows(writing.TableWrite.of(table, rows.reset_index(drop=True), options), deleted)


def _free_diff_type(connection: Connection, table: str) -> str:
    schema = reading.describe(connection, table)
    names = {column.name.casefold() for column in schema.columns} if schema is not None else set()
    name = "diff_type"
    while name in names:
        name = f"_{name}"
    return name


def _removed(connection: Connection, conflict: Conflict, frame: pd.DataFrame) -> list[bool]:
    """Return which rows shall be deleted; refuse a frame that lacks a column of the others, or the key."""
    name = _free_diff_type(connection, conflict.table)
    removed = [str(kind) == "removed" for kind in _kinds(conflict, frame, name)]
    schema = reading.describe(connection, conflict.table)
    wanted = [] if schema is None else [column.name for column in schema.columns if not column.generated]
    needed = conflict.key if all(removed) else wanted
    lacks = [column for column in needed if column not in frame.columns]
    if lacks:
        raise SchemaMismatch(
            f"Cannot {attempted()}: resolve= lacks {', '.join(map(repr, lacks))} of table {conflict.table!r}. Give "
            f"all of its columns, {', '.join(map(repr, wanted))}; for rows that shall be deleted the key and "
            f"{name}='removed' do.",
            table=conflict.table,
            problems=lacks,
        )
    return removed


def _kinds(conflict: Conflict, frame: pd.DataFrame, name: str) -> list[Any]:
    """Return what is said of each row; refuse other words than those that mean something."""
    kinds: list[Any] = frame[name].tolist() if name in frame.columns else [None] * len(frame)
    unknown = [kind for kind in kinds if not _is_missing(kind) and kind not in KINDS]
    if unknown:
        raise InvalidConfig(
            f"Cannot {attempted()}: resolve= has {unknown[0]!r} as {name} of a row of table {conflict.table!r}. Give "
            "'removed' for one that shall be deleted; others take 'added', 'modified' or no value."
        )
    return kinds


def _is_missing(kind: object) -> bool:
    return kind is None or str(kind) in ("", "nan", "<NA>", "NaT")


def _keys(conflict: Conflict, found: reading.ReadResult, frame: pd.DataFrame) -> pa.Table:
    """Return the keys of the given rows in the types of the table."""
    arrow = pandas_frames.encode(frame[list(conflict.key)]).arrow
    wanted = found.arrow.select(list(conflict.key)).schema
    try:
        return arrow.select(wanted.names).cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise SchemaMismatch(
            f"Cannot {attempted()}: the key's values in resolve= are none of table {conflict.table!r}: {error}. "
            "Give them in the table's types.",
            table=conflict.table,
            problems=list(conflict.key),
        ) from error


def _tuples(keys: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in keys.columns), strict=True))


def _refuse_other_rows(conflict: Conflict, found: reading.ReadResult, keys: pa.Table) -> None:
    """Raise unless the keys are just those in conflict, each once."""
    given, there = _tuples(keys), _tuples(found.arrow.select(list(conflict.key)))
    has, asked = set(given), set(there)
    wrong = {"missing": [key for key in there if key not in has], "surplus": [key for key in given if key not in asked]}
    twice = len(given) - len(has)
    if not any(wrong.values()) and not twice:
        return
    words = {"missing": "lacks {} rows in conflict", "surplus": "has {} rows that are in no conflict"}
    said = [f"{words[what].format(len(keys))}, {_named(conflict, keys)}" for what, keys in wrong.items() if keys]
    said += [f"has {twice} rows twice"] if twice else []
    raise MergeConflict(
        f"Cannot {attempted()}: resolve= for table {conflict.table!r} {' and '.join(said)}. Both branches are as they "
        "were. Give each row that is in conflict once, and no other.",
        conflicts=(conflict,),
        **{what: {conflict.table: _as_records(conflict, keys)} for what, keys in wrong.items() if keys},
    )


def _named(conflict: Conflict, keys: Sequence[tuple[Any, ...]]) -> str:
    named = [", ".join(f"{n}={v!r}" for n, v in zip(conflict.key, key, strict=True)) for key in keys[:NAMED]]
    more = f" and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
    return "; ".join(f"({one})" for one in named) + more


def _refuse_outdated(conflict: Conflict, found: reading.ReadResult, frame: pd.DataFrame, keys: pa.Table) -> None:
    """Raise if the frame shows another base, ours or theirs than what is in conflict now."""
    given, now = _tuples(keys), found.to_frame()
    at = {key: position for position, key in enumerate(_tuples(found.arrow.select(list(conflict.key))))}
    now = now.iloc[[at[key] for key in given]]
    moved = set()
    for name in now.columns.intersection(frame.columns).difference(list(conflict.key)):
        compared = zip(given, frame[name].tolist(), now[name].tolist(), strict=True)
        moved |= {key for key, shown, is_now in compared if not _same(shown, is_now)}
    if moved:
        rows = [key for key in given if key in moved]
        raise MergeConflict(
            f"Cannot {attempted()}: in {len(rows)} rows of table {conflict.table!r}, {_named(conflict, rows)}, the "
            "conflict is another one than resolve= shows: one side was changed meanwhile. Both branches are as they "
            "were. Look at the conflict again, and merge with new rows.",
            conflicts=(conflict,),
            outdated={conflict.table: _as_records(conflict, rows)},
        )


def _as_records(conflict: Conflict, keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(conflict.key, key, strict=True)) for key in keys]


def _same(a: Any, b: Any) -> bool:
    """Whether two cells of frames show the same."""
    import pandas as pd

    if pd.api.types.is_scalar(a) and pd.api.types.is_scalar(b) and pd.isna(a) and pd.isna(b):
        return True
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # cells that are lists or arrays
        return repr(a) == repr(b)
