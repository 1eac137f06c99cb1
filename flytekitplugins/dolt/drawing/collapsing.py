"""Makes a graph small enough for one glance: versions become ranges, executions become counts, the far is left out.

What was done is said in the graph's notes. Pure.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .graphs import Edge, Graph, Node

COLLAPSE_OVER = 24
"""Nodes up to which each version and each execution has a box of its own."""

_SIZES = (100, 60, 30, 15, 8, 4, 1)
"""Numbers of nodes that are tried, until the text is small enough."""

EDGES_PER_NODE = 4

_UNITS = {"table": "versions", "execution": "runs", "commit": "commits", "gap": "versions"}


def fitted(graph: Graph, draw: Callable[[Graph], str], most: int) -> str:
    """Return what ``draw`` makes of the graph, of as many nodes as ``most`` bytes have room for."""
    whole = collapsed(graph) if len(graph.nodes) > COLLAPSE_OVER else graph
    for nodes in _SIZES:
        text = draw(nearest(whole, nodes))
        if len(text.encode()) <= most:
            break
    return text


def collapsed(graph: Graph) -> Graph:
    """Return the graph with one node for all versions of a table, and for executions of a task with the same tables."""
    into = _groups(graph)
    gathered: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        gathered[into[node.key]].append(node)
    nodes = tuple(_one(key, group) for key, group in gathered.items())
    edges = tuple(dict.fromkeys(Edge(into[edge.source], into[edge.target]) for edge in graph.edges))
    return replace(graph, nodes=nodes, edges=edges, notes=(*_said(graph.nodes, nodes), *graph.notes))


def _groups(graph: Graph) -> dict[str, str]:
    """Return the key of the new node of each old one."""
    tables = {node.key: f"{node.kind} {node.family}" for node in graph.nodes if node.kind in ("table", "gap")}
    ins: dict[str, set[str]] = defaultdict(set)
    outs: dict[str, set[str]] = defaultdict(set)
    for edge in graph.edges:
        ins[edge.target].add(tables.get(edge.source, ""))
        outs[edge.source].add(tables.get(edge.target, ""))
    makers = {
        node.key: repr((node.kind, node.family, sorted(ins[node.key]), sorted(outs[node.key])))
        for node in graph.nodes
        if node.key not in tables
    }
    return tables | makers


def _one(key: str, group: Sequence[Node]) -> Node:
    """Return the node that stands for a group; of one alone that node, under the new key."""
    first = group[0]
    if len(group) == 1:
        return replace(first, key=key)
    names = dict.fromkeys(node.name for node in group)
    count = sum(node.count for node in group)
    days = sorted(f"{node.when:%Y-%m-%d}" for node in group if node.when is not None)
    by_age = sorted(group, key=lambda node: str(node.when))
    return replace(
        first,
        key=key,
        name=first.name if len(names) == 1 else f"{first.name} and {len(names) - 1:,} more",
        mark=f"{count:,} {_UNITS[first.kind]}" + (f" to {days[-1]}" if days else ""),
        about=(*([f"{days[0]} to {days[-1]}"] if days else []), f"{by_age[0].mark} to {by_age[-1].mark}"),
        is_start=any(node.is_start for node in group),
        count=count,
    )


def _said(before: Sequence[Node], after: Sequence[Node]) -> Iterable[str]:
    for kinds, words in ((("table", "gap"), "versions of tables"), (("execution", "commit"), "executions and commits")):
        old, new = (sum(node.kind in kinds for node in nodes) for nodes in (before, after))
        if old != new:
            yield f"{old:,} {words} are drawn as {new:,} {'box' if new == 1 else 'boxes'}."


def nearest(graph: Graph, most: int) -> Graph:
    """Return the part of the graph next to the start, of at most that many nodes."""
    order = _from_start(graph)
    kept = set(order[:most])
    while sum(edge.source in kept and edge.target in kept for edge in graph.edges) > EDGES_PER_NODE * most:
        kept = set(order[: len(kept) - 1])
    left_out = len(graph.nodes) - len(kept)
    if not left_out:
        return graph
    return replace(
        graph,
        nodes=tuple(node for node in graph.nodes if node.key in kept),
        edges=tuple(edge for edge in graph.edges if edge.source in kept and edge.target in kept),
        notes=(f"{left_out:,} boxes that are further away are not drawn.", *graph.notes),
    )


def _from_start(graph: Graph) -> list[str]:
    """Return the keys of all nodes, those first that are fewest edges from the start."""
    beside: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        beside[edge.source].append(edge.target)
        beside[edge.target].append(edge.source)
    starts = [node.key for node in graph.nodes if node.is_start]
    seen, queue = dict.fromkeys(starts), deque(starts)
    while queue:
        for key in beside[queue.popleft()]:
            if key not in seen:
                seen[key] = None
                queue.append(key)
    return list(seen | dict.fromkeys(node.key for node in graph.nodes))
