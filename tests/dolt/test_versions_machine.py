"""A state machine against a plain model: two branches of a table, written, merged and altered in any order."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from factor import FACTOR
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, SerialBranch, create_repository, merge, read, restore
from flytekitplugins.dolt import write as write_table
from flytekitplugins.dolt.errors import ConstraintViolated, MergeConflict, TableMoved
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.schema import Commit
from flytekitplugins.dolt.server import local_server

Row = tuple[int, int]
Rows = dict[int, Row]

KEYS = st.sets(st.integers(0, 4), min_size=1, max_size=3)
ROWS = st.dictionaries(st.integers(0, 4), st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=4)
SIDES = st.sampled_from(["main", "dev"])
RUNS = itertools.count()


@dataclass(frozen=True)
class State:
    """A commit of the model."""

    hash: str
    rows: tuple[tuple[int, Row], ...]
    columns: tuple[str, str] = ("a", "b")
    kind: str = "bigint"
    """The type of the first column."""
    parents: tuple[State, ...] = ()

    def ancestors(self) -> set[State]:
        return {self}.union(*(parent.ancestors() for parent in self.parents))

    @property
    def schema(self) -> tuple[tuple[str, str], str]:
        return self.columns, self.kind


class Conflict(Exception):
    """Both sides of the model have changed the same."""


class NotesConflict(Exception):
    """Dtypes that are noted, which the model does not have, stand against each other."""


def told_of_notes(changed: Callable[[], Commit | None]) -> Commit | None:
    """Return the commit of a write that may be refused for what is noted of columns, and for nothing else.

    Raises:
        NotesConflict: it is.
    """
    try:
        return changed()
    except MergeConflict as error:
        if [conflict.kind for conflict in error.conflicts] == ["schema"]:
            raise NotesConflict from error
        raise


def merged_rows(base: Rows, ours: Rows, theirs: Rows, *, whole: bool) -> Rows:
    """Return a three-way merge by key, cell by cell, or, with ``whole``, row by row.

    Raises:
        Conflict: there is none.
    """
    result: Rows = {}
    for key in {*base, *ours, *theirs}:
        row = merged_row(base.get(key), ours.get(key), theirs.get(key), whole=whole)
        if row is not None:
            result[key] = row
    return result


def merged_row(base: Row | None, ours: Row | None, theirs: Row | None, *, whole: bool) -> Row | None:
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    if whole or base is None or ours is None or theirs is None:
        raise Conflict
    cells = [
        mine if mine == other or other == was else other if mine == was else None
        for was, mine, other in zip(base, ours, theirs, strict=True)
    ]
    if None in cells:
        raise Conflict
    return cells[0], cells[1]  # type: ignore[return-value]


class Versions(RuleBasedStateMachine):
    """One run, on two branches of its own in a repository that all runs share."""

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"v{next(RUNS)}"
        self.heads: dict[str, State] = {}
        self.seen: dict[str, list[State]] = {}

    def config(self, side: str, **options: object) -> DoltConfig:
        policy = SerialBranch(f"{self.prefix}/{side}")
        return DoltConfig(str(self.path), "t", primary_key=["id"], branch_conf=policy, **options)  # type: ignore[arg-type]

    def frame(self, side: str, rows: Rows) -> pd.DataFrame:
        """Return rows as a frame with the columns that the branch has now."""
        first, second = self.heads[side].columns
        values = sorted(rows.items())
        found = {"id": [k for k, _ in values], first: [r[0] for _, r in values], second: [r[1] for _, r in values]}
        return pd.DataFrame(found, dtype="int64")

    def move(
        self,
        side: str,
        commit: Commit | None,
        rows: Rows,
        *more: State,
        columns: tuple[str, str] | None = None,
        kind: str = "",
    ) -> None:
        """Note a commit on a branch; the head's own hash again means that nothing was different."""
        assert commit is not None
        head = self.heads[side]
        shape = (columns or head.columns, kind or head.kind)
        state = State(commit.hash, tuple(sorted(rows.items())), *shape, parents=(head, *more))
        if commit.hash == head.hash:
            assert (head.rows, head.schema) == (state.rows, state.schema)
        else:
            self.heads[side] = state
            self.seen[side].append(state)

    def write(self, side: str, rows: Rows, after: Rows, **options: object) -> None:
        self.move(side, write_table(self.config(side, **options), self.frame(side, rows)).commit, after)

    @initialize(rows=ROWS)
    def first(self, rows: Rows) -> None:
        start = State("", ())
        self.heads = {"main": start}
        for side, base in (("main", "main"), ("dev", f"{self.prefix}/main")):
            policy = NewBranch(f"{self.prefix}/{side}", base=base)
            config = DoltConfig(str(self.path), "t", primary_key=["id"], branch_conf=policy)
            commit = write_table(config, self.frame("main", rows)).commit
            assert commit is not None
            self.heads[side] = State(commit.hash, tuple(sorted(rows.items())))
            self.seen[side] = [self.heads[side]]
        self.heads["dev"] = self.heads["main"]

    @rule(side=SIDES, rows=ROWS)
    def replace(self, side: str, rows: Rows) -> None:
        self.write(side, rows, rows)

    @rule(side=SIDES, rows=ROWS)
    def append(self, side: str, rows: Rows) -> None:
        before = dict(self.heads[side].rows)
        if before.keys() & rows.keys():
            with pytest.raises(ConstraintViolated):
                self.write(side, rows, before, mode="append")
        else:
            self.write(side, rows, before | rows, mode="append")

    @rule(side=SIDES, rows=ROWS)
    def upsert(self, side: str, rows: Rows) -> None:
        self.write(side, rows, dict(self.heads[side].rows) | rows, mode="upsert")

    @rule(side=SIDES, keys=KEYS)
    def delete(self, side: str, keys: set[int]) -> None:
        left = {key: row for key, row in self.heads[side].rows if key not in keys}
        frame = pd.DataFrame({"id": sorted(keys)})
        self.move(side, write_table(self.config(side, mode="delete"), frame).commit, left)

    @rule(side=SIDES, rows=ROWS, data=st.data())
    def change_what_was_read(self, side: str, rows: Rows, data: st.DataObject) -> None:
        """Write what was made from an older state of the branch: both changes are there, or nothing is."""
        head, base = self.heads[side], data.draw(st.sampled_from(self.seen[side]))
        read_then = DoltTable(config=self.config(side)).at(Commit(base.hash, f"{self.prefix}/{side}"))

        def changed() -> Commit | None:
            return write_table(self.config(side), self.frame(side, rows), based_on=read_then).commit

        if (base.rows, base.schema) == (head.rows, head.schema):
            self.move(side, changed(), rows)
        elif base.schema != head.schema:
            with pytest.raises(TableMoved):
                changed()
        else:
            try:
                after = merged_rows(dict(base.rows), dict(head.rows), rows, whole=True)
            except Conflict:
                with pytest.raises(MergeConflict):
                    changed()
            else:
                with contextlib.suppress(NotesConflict):
                    self.move(side, told_of_notes(changed), after)

    @rule(source=SIDES)
    def merge(self, source: str) -> None:
        into = "dev" if source == "main" else "main"
        theirs, ours = self.heads[source], self.heads[into]
        common = theirs.ancestors() & ours.ancestors()
        best = [state for state in common if not any(state in other.ancestors() - {other} for other in common)]
        if len(best) != 1:
            return  # where branches were merged crosswise there are several bases, and each tool chooses its own
        base = best[0]
        if theirs in ours.ancestors():
            expected: Rows | None = dict(ours.rows)
        else:
            try:
                expected = merged_rows(dict(base.rows), dict(ours.rows), dict(theirs.rows), whole=False)
            except Conflict:
                expected = None
        names = f"{self.prefix}/{source}", f"{self.prefix}/{into}"
        try:
            commit = merge(names[0], into=names[1], db_path=self.path)
        except MergeConflict as error:
            # Dolt does not merge all changes of columns; what it does not merge changes nothing. The dtypes that are
            # noted, which this model does not have, may stand against each other, too.
            is_row = any(conflict.kind != "schema" for conflict in error.conflicts)
            assert expected is None or not is_row or not base.schema == ours.schema == theirs.schema
            return
        assert expected is not None
        columns = theirs.columns if ours.columns == base.columns else ours.columns
        kind = theirs.kind if ours.kind == base.kind else ours.kind
        self.move(into, commit, expected, theirs, columns=columns, kind=kind)

    @rule(side=SIDES, data=st.data())
    def restore(self, side: str, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from([*self.seen["main"], *self.seen["dev"]]))
        self.move(side, restore(self.config(side), old.hash).commit, dict(old.rows), columns=old.columns, kind=old.kind)

    @rule(side=SIDES, name=st.sampled_from("bcd"))
    def rename(self, side: str, name: str) -> None:
        first, second = self.heads[side].columns
        if name != second:
            commit = self.alter(side, f"RENAME COLUMN {second} TO {name}")
            self.move(side, commit, dict(self.heads[side].rows), columns=(first, name))

    @rule(side=SIDES, kind=st.sampled_from(["bigint", "double", "int"]))
    def retype(self, side: str, kind: str) -> None:
        if kind != self.heads[side].kind:
            commit = self.alter(side, f"MODIFY COLUMN {self.heads[side].columns[0]} {kind}")
            self.move(side, commit, dict(self.heads[side].rows), kind=kind)

    def alter(self, side: str, change: str) -> Commit:
        """Let somebody alter the table by SQL."""
        with connect(self.path) as connection, connection.at(f"{self.prefix}/{side}"):
            connection.execute(f"ALTER TABLE t {change}")
            ((commit,),) = connection.query("CALL DOLT_COMMIT('-Am', 'altered')")
            connection.execute("COMMIT")
        return Commit(str(commit))

    @invariant()
    def branches_are_as_in_the_model(self) -> None:
        for side, head in self.heads.items():
            frame = read(self.config(side))
            assert list(frame.columns) == ["id", *head.columns]
            assert dict(zip(frame["id"], zip(frame.iloc[:, 1], frame.iloc[:, 2], strict=True), strict=True)) == dict(
                head.rows
            )


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    path = create_repository(tmp_path / "foo", name="A", email="a@b.c")
    yield path
    local_server.release(path)


@pytest.mark.slow
@pytest.mark.timeout(1800 * FACTOR)
def test_any_order_of_steps_agrees_with_the_model(shared: Path) -> None:
    """Rows, columns and refusals are those of the model after each step."""
    machine = type("SharedVersions", (Versions,), {"path": shared})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20 * FACTOR,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a run of many steps takes long to be made shorter
            suppress_health_check=list(HealthCheck),
        ),
    )
