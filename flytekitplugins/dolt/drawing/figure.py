"""A graph as a part of an HTML page: the drawing, and its edges as a table for those who do not see it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import notebooks
from . import collapsing, svg
from .graphs import Graph

MAX_EDGES = 100
"""The most rows of the table."""


def figure(graph: Graph, most: int) -> str:
    """Return the HTML, of at most about ``most`` bytes; wide drawings are scrolled."""
    return collapsing.fitted(graph, _figure, most)


def _figure(graph: Graph) -> str:
    return (
        f'<figure style="margin:0"><div style="overflow-x:auto">{svg.inline(graph)}</div>'
        f"<details><summary>{len(graph.edges):,} edges as a table</summary>"
        f"<table><thead><tr><th>from</th><th>to</th></tr></thead><tbody>{''.join(_rows(graph))}</tbody></table>"
        "</details></figure>"
    )


def _rows(graph: Graph) -> Iterator[str]:
    titles = {node.key: node.title for node in graph.nodes}
    for edge in graph.edges[:MAX_EDGES]:
        yield f"<tr><td>{notebooks.text(titles[edge.source])}</td><td>{notebooks.text(titles[edge.target])}</td></tr>"
    if len(graph.edges) > MAX_EDGES:
        yield f'<tr><td colspan="2">and {len(graph.edges) - MAX_EDGES:,} more</td></tr>'
