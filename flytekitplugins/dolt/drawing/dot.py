"""A graph in the language of Graphviz. Pure.

A text stands in double quotes; in these a quote, a backslash and the ``&`` of an entity mean something, and nothing
else does. The whole names stand in tooltips. Source: https://graphviz.org/doc/info/lang.html
"""

from __future__ import annotations

from collections.abc import Iterator

from ..model import notebooks
from . import labels
from .graphs import MAX_NAME, Graph, Node

_SHAPES = {
    "table": "shape=cylinder",
    "execution": 'shape=box, style="rounded"',
    "commit": "shape=octagon",
    "gap": 'shape=box, style="dashed"',
}


def text(graph: Graph) -> str:
    """Return the graph, which ends with a line break."""
    return "\n".join([*_lines(graph), ""])


def _lines(graph: Graph) -> Iterator[str]:
    names = {node.key: f"n{number}" for number, node in enumerate(graph.nodes)}
    kinds = {node.key: node.kind for node in graph.nodes}
    below = "\\n".join(map(escaped, (graph.title, *graph.notes)))
    yield "digraph lineage {"
    yield f'  graph [rankdir=LR, fontname="sans-serif", label="{below}"];'
    yield '  node [fontname="sans-serif", fontsize=11];'
    for node in graph.nodes:
        yield _node(names[node.key], node)
    for edge in graph.edges:
        look = " [style=dashed]" if kinds[edge.source] == "gap" else ""
        yield f"  {names[edge.source]} -> {names[edge.target]}{look};"
    yield "}"


def _node(name: str, node: Node) -> str:
    said = "\\n".join(escaped(line) for line in (labels.name(node), labels.mark(node)) if line)
    tip = "\\n".join(map(escaped, labels.about(node).split("\n")))
    wide = ", penwidth=3" if node.is_start else ""
    return f'  {name} [{_SHAPES[node.kind]}, label="{said}", tooltip="{tip}"{wide}];'


def escaped(words: str) -> str:
    r"""Return text as it stands between the quotes.

    >>> print(escaped('a "b" \\N &lt;'))
    a \"b\" \\N &amp;lt;
    """
    shown = notebooks.shown(words, MAX_NAME)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
