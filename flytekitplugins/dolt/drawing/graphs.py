"""What is drawn: tables at commits, what made them, and the edges between. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..model import notebooks

Kind = Literal["table", "execution", "commit", "gap"]
"""``table``: one at a commit. ``execution``: the run of a task. ``commit``: one that no task made. ``gap``: a table
that was read and could not be followed."""

PLURALS = {"table": "tables", "execution": "executions", "commit": "other commits", "gap": "tables not followed"}

MAX_NAME = 300
"""Characters of a whole name, where it stands beside a drawing."""

MAX_WORD = 80
"""Characters of a name in a sentence."""


@dataclass(frozen=True)
class Node:
    """One box."""

    key: str
    """What edges call it; never shown."""
    kind: Kind
    name: str
    """What it is called: any text."""
    mark: str = ""
    """What tells it from others of that name: the commit, the execution."""
    family: str = ""
    """Equal for nodes that may become one: the versions of a table, the executions of a task."""
    when: datetime | None = None
    about: tuple[str, ...] = ()
    """All there is to say of it, line by line."""
    is_start: bool = False
    """Whether it is what was asked about."""
    count: int = 1
    """How many nodes it stands for."""

    @property
    def title(self) -> str:
        """Return its name and mark on one line, without control characters or passwords."""
        return notebooks.shown(f"{self.name} {self.mark}".strip(), MAX_NAME)


@dataclass(frozen=True)
class Edge:
    """A table that went into an execution, or came out of it."""

    source: str
    """Key of a node."""
    target: str
    """Key of another node."""


@dataclass(frozen=True)
class Graph:
    """What one drawing shows."""

    title: str
    nodes: tuple[Node, ...]
    """Those nearest to the start first; no two with one key."""
    edges: tuple[Edge, ...]
    """No two between the same nodes in the same direction."""
    notes: tuple[str, ...] = ()
    """What the drawing does not show, as sentences."""

    def counted(self) -> str:
        """Return how many boxes of each kind there are.

        >>> Graph("t", (Node("a", "table", "a"), Node("b", "table", "b"), Node("c", "commit", "c")), ()).counted()
        '2 tables, 1 other commit'
        """
        return ", ".join(_counted(kind, sum(n.kind == kind for n in self.nodes)) for kind in _kinds(self.nodes))

    def sentences(self, most: int) -> Iterable[str]:
        """Give the first edges in words."""
        titles = {node.key: notebooks.shown(node.title, MAX_WORD) for node in self.nodes}
        yield from (f"{titles[edge.source]} → {titles[edge.target]}" for edge in self.edges[:most])
        if len(self.edges) > most:
            yield f"and {len(self.edges) - most:,} more"


def _kinds(nodes: Iterable[Node]) -> list[Kind]:
    found = {node.kind for node in nodes}
    return [kind for kind in ("table", "execution", "commit", "gap") if kind in found]


def _counted(kind: Kind, count: int) -> str:
    words = PLURALS[kind]
    return f"{count:,} {words}" if count != 1 else f"1 {words.replace('tables', 'table').removesuffix('s')}"
