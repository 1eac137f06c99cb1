"""A lineage as the graph that is drawn: tables at commits, the executions between them, and what was not followed.

Values in, values out; how it is drawn is `drawing`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..drawing.graphs import Edge, Graph, Node
from ..model import provenance, timepoints
from ..model.naming import lowered

if TYPE_CHECKING:
    from ..model.provenance import Execution
    from .lineages import Gap, Lineage, Link, Step

_LONGEST_NAME = 20
"""Names of executions and nodes that flytekit gives are no longer; ids and actions of local runs of Flyte 2 are."""

_WHY = {"repository": "elsewhere", "commit": "commit is gone", "tables": "writer unknown"}


def graph(found: Lineage) -> Graph:
    """Return what is drawn of a lineage.

    The commits of one node of one execution are one box; where the node is not known, as in local runs, each commit
    is one.
    """
    drawing = _Drawing(found)
    links = dict.fromkeys((*found.above, *found.below))
    for step in found.steps:
        drawing.add_step(step)
    for link in links:
        drawing.add_link(link)
    for gap in found.gaps:
        drawing.add_gap(gap)
    what = ", ".join(found.start.tables) or "the commit"
    return Graph(
        f"Lineage of {what} at {found.start.commit.hash[:8]}",
        tuple(drawing.nodes.values()),
        tuple(drawing.edges),
        tuple(_notes(found)),
    )


def _notes(found: Lineage) -> Iterator[str]:
    if not found.is_whole:
        yield "It is cut off at the limit of commits: there is more."
    if found.gaps:
        reads = "1 read was" if len(found.gaps) == 1 else f"{len(found.gaps):,} reads were"
        yield f"{reads} not followed."


class _Drawing:
    """The nodes and edges so far, each once."""

    def __init__(self, found: Lineage) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}
        self._start, self._home = found.start.commit.hash, found.start.repository
        self._steps = {step.commit.hash: step for step in found.steps}

    def add_step(self, step: Step) -> None:
        maker = self._maker(step)
        for table in step.tables:
            self._join(maker, self._table(step, table))

    def add_link(self, link: Link) -> None:
        of = self._steps[link.of]
        table = self._table(of, link.read.name)
        self._join(self._maker(of), table)
        self._join(table, self._maker(self._steps[link.made]))

    def add_gap(self, gap: Gap) -> None:
        read = gap.read
        family = f"{gap.why} {read.repository} {read.name}"
        node = Node(
            key=f"gap {read.commit} {family}",
            kind="gap",
            name=read.name,
            mark=f"{read.commit[:8]} · {_WHY[gap.why]}",
            family=family,
            about=(str(gap),),
        )
        self._join(node, self._maker(self._steps[gap.made]))

    def _join(self, source: Node, target: Node) -> None:
        for node in (source, target):
            self.nodes.setdefault(node.key, node)
        self.edges.setdefault(Edge(source.key, target.key))

    def _maker(self, step: Step) -> Node:
        running = step.origin.execution
        node = _commit(step) if running is None else _execution(step, running)
        if step.commit.hash == self._start and not step.tables:
            node = replace(node, is_start=True)
        return self.nodes.setdefault(node.key, node)

    def _table(self, step: Step, table: str) -> Node:
        commit = step.commit
        away = step.repository != self._home
        folder = step.repository.rstrip("/").rpartition("/")[2]
        return Node(
            key=f"table {commit.hash} {lowered(table)}",
            kind="table",
            name=table,
            mark=f"{commit.hash[:8]} in {folder}" if away else commit.hash[:8],
            family=f"{step.repository}\n{lowered(table)}",
            when=commit.date,
            about=(f"commit {commit.hash}", *([f"in {step.repository}"] if away else []), *_moment(step)),
            is_start=commit.hash == self._start and table in step.tables,
        )


def _execution(step: Step, running: Execution) -> Node:
    known = running.node is not None
    own = (running.id, running.task, running.node, running.attempt) if known else (step.commit.hash,)
    name = _short(running.id.rpartition(":")[2] or running.id)
    node = _short(running.node or "")
    return Node(
        key=f"execution {own!r}",
        kind="execution",
        name=running.task or f"execution {name}",
        mark=" ".join(part for part in (name if running.task or not node else "", node) if part),
        family=running.task or "",
        when=step.commit.date,
        about=(str(running), *_moment(step)),
    )


def _short(name: str) -> str:
    """Return the start of a name that Flyte 2 has drawn; the whole one stands in the tooltip."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:8]}…"


def _commit(step: Step) -> Node:
    return Node(
        key=f"commit {step.commit.hash}",
        kind="commit",
        name=provenance.line_of(step.commit.message) or "commit",
        mark=step.commit.hash[:8],
        when=step.commit.date,
        about=(f"commit {step.commit.hash}", f"by {step.commit.author}", *_moment(step)),
    )


def _moment(step: Step) -> Iterator[str]:
    if step.commit.date is not None:
        yield f"{timepoints.utc_text(step.commit.date)}"
