"""A state machine against a plain model: write, branch, merge, tag, restore and travel, in any order, agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from factor import FACTOR
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from flytekitplugins.dolt import (
    DoltConfig,
    NewBranch,
    SerialBranch,
    create_repository,
    merge,
    read,
    restore,
    tag,
    versions,
    write,
)
from flytekitplugins.dolt.errors import MergeConflict, TagExists
from flytekitplugins.dolt.server import local_server

Rows = dict[int, int]
VALUE = st.sampled_from([None, 0, 1, 2])
ROWS = st.tuples(VALUE, VALUE, VALUE, VALUE).map(lambda row: {k: v for k, v in enumerate(row) if v is not None})
RUNS = itertools.count()


@dataclass(frozen=True)
class Node:
    """A commit of the model."""

    hash: str
    rows: tuple[tuple[int, int], ...]
    parents: tuple[Node, ...] = ()

    def ancestors(self) -> set[Node]:
        return {self}.union(*(parent.ancestors() for parent in self.parents))


def merged(base: Rows, ours: Rows, theirs: Rows) -> Rows | None:
    """Return the three-way merge by key, or None where both sides have changed a row to something different."""
    result: Rows = {}
    for key in {*base, *ours, *theirs}:
        was, mine, other = base.get(key), ours.get(key), theirs.get(key)
        if mine != other and was not in (mine, other):
            return None
        value = mine if mine == other or other == was else other
        if value is not None:
            result[key] = value
    return result


class Travel(RuleBasedStateMachine):
    """One run, on branches of its own in a repository that all runs share."""

    path: Path
    branches = Bundle("branches")

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"m{next(RUNS)}"
        self.heads: dict[str, Node] = {}
        self.tags: dict[str, Node] = {}
        self.seen: list[Node] = []

    def config(self, branch: str, **options: object) -> DoltConfig:
        return DoltConfig(str(self.path), "t", branch_conf=SerialBranch(branch), **options)  # type: ignore[arg-type]

    def move(self, branch: str, hash_: str, rows: Rows, *more: Node) -> None:
        """Note a commit on a branch; the head's own hash again means that nothing was different."""
        head = self.heads[branch]
        node = Node(hash_, tuple(sorted(rows.items())), (head, *more))
        if hash_ == head.hash:
            assert head.rows == node.rows
        else:
            self.heads[branch] = node
            self.seen.append(node)

    @initialize(target=branches, rows=ROWS)
    def first(self, rows: Rows) -> str:
        branch = f"{self.prefix}/main"
        config = DoltConfig(str(self.path), "t", branch_conf=NewBranch(branch, base="main"), primary_key=["id"])
        self.heads[branch] = Node(self.put(config, rows), tuple(sorted(rows.items())))
        self.seen.append(self.heads[branch])
        return branch

    def put(self, config: DoltConfig, rows: Rows) -> str:
        frame = pd.DataFrame({"id": [*rows], "v": [*rows.values()]}, dtype="int64")
        commit = write(config, frame).commit
        assert commit is not None
        return commit.hash

    @rule(branch=branches, rows=ROWS)
    def replace(self, branch: str, rows: Rows) -> None:
        self.move(branch, self.put(self.config(branch), rows), rows)

    @rule(branch=branches, rows=ROWS)
    def upsert(self, branch: str, rows: Rows) -> None:
        after = dict(self.heads[branch].rows) | rows
        self.move(branch, self.put(self.config(branch, mode="upsert"), rows), after)

    @rule(target=branches, base=branches, rows=ROWS)
    def branch(self, base: str, rows: Rows) -> str:
        branch = f"{self.prefix}/{len(self.heads)}"
        config = DoltConfig(str(self.path), "t", branch_conf=NewBranch(branch, base=base))
        self.heads[branch] = self.heads[base]
        self.move(branch, self.put(config, rows), rows)
        return branch

    @rule(source=branches, into=branches)
    def merge(self, source: str, into: str) -> None:
        theirs, ours = self.heads[source], self.heads[into]
        common = theirs.ancestors() & ours.ancestors()
        best = [node for node in common if not any(node in other.ancestors() - {other} for other in common)]
        if len(best) != 1:
            return  # where branches were merged crosswise there are several bases, and each tool chooses its own
        expected = dict(ours.rows)
        if theirs not in ours.ancestors():
            found = merged(dict(best[0].rows), dict(ours.rows), dict(theirs.rows))
            if found is None:
                with pytest.raises(MergeConflict, match="branches") as caught:
                    merge(source, into=into, db_path=self.path)
                assert [conflict.table for conflict in caught.value.conflicts] == ["t"]
                return
            expected = found
        self.move(into, merge(source, into=into, db_path=self.path).hash, expected, theirs)

    @rule(base=branches, here=ROWS, there=ROWS)
    def diverge_and_merge(self, base: str, here: Rows, there: Rows) -> None:
        """Both sides change something since one state: the usual case, which single rules seldom come to."""
        side = self.branch(base, there)
        self.upsert(base, here)
        self.merge(side, base)

    @rule(branch=branches, name=st.sampled_from("abc"))
    def tag(self, branch: str, name: str) -> None:
        full, head = f"{self.prefix}/{name}", self.heads[branch]
        if self.tags.get(full, head) != head:
            with pytest.raises(TagExists, match="tag"):
                tag(full, self.config(branch))
        else:
            tag(full, self.config(branch))
            self.tags[full] = head

    @rule(branch=branches, data=st.data())
    def restore(self, branch: str, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(self.seen))
        commit = restore(self.config(branch), old.hash).commit
        assert commit is not None
        self.move(branch, commit.hash, dict(old.rows))

    @rule(branch=branches, data=st.data())
    def travel(self, branch: str, data: st.DataObject) -> None:
        line = [self.heads[branch]]
        while line[-1].parents:
            line.append(line[-1].parents[0])
        back = data.draw(st.integers(0, len(line) - 1))
        old = data.draw(st.sampled_from(self.seen))
        wanted = {f"HEAD~{back}": line[back], old.hash: old, old.hash[:16]: old} | self.tags
        for revision, node in wanted.items():
            assert self.rows(self.config(branch, as_of=revision)) == node.rows, revision

    @rule(branch=branches)
    def versions(self, branch: str) -> None:
        line = [self.heads[branch]]
        while line[-1].parents:
            line.append(line[-1].parents[0])
        kept = [node.hash for node, older in itertools.pairwise(line) if node.rows != older.rows]
        found = versions(self.config(branch), last=3)
        assert [table.commit.hash for table in found if table.commit] == [*kept, line[-1].hash][:3]

    def rows(self, config: DoltConfig) -> tuple[tuple[int, int], ...]:
        frame = read(config)
        return tuple(sorted(zip(frame.id.tolist(), frame.v.tolist(), strict=True)))

    @invariant()
    def branches_are_as_in_the_model(self) -> None:
        for branch, head in self.heads.items():
            assert self.rows(self.config(branch)) == head.rows


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    path = create_repository(tmp_path / "foo", name="A", email="a@b.c")
    yield path
    local_server.release(path)


@pytest.mark.slow
@pytest.mark.timeout(1800 * FACTOR)
def test_the_repository_agrees_with_a_plain_model(shared: Path) -> None:
    """In each run of up to a dozen steps, every branch, tag and ancestor holds what a few dictionaries say."""
    Travel.path = shared
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    options = settings(max_examples=20 * FACTOR, stateful_step_count=12, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Travel, settings=options)
