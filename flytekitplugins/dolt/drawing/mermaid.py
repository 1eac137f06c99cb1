"""A graph as a flowchart in the text of Mermaid, as GitHub and many wikis draw it. Pure.

A label stands in quotes, and what is not a letter, a digit or a sign without meaning is written as its number
(``#60;``), so no text ends a label, begins a comment, a directive or a tag. Mermaid has no titles for boxes without
links, so what was cut off stands whole in a comment. Source: https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

from collections.abc import Iterator

from ..model import notebooks
from . import labels
from .graphs import MAX_NAME, Graph, Node

MAX_BYTES = 50_000
"""What Mermaid takes, unless a page says otherwise (``maxTextSize``); it takes 500 edges."""

_SHAPES = {
    "table": ('[("', '")]'),
    "execution": ('(["', '"])'),
    "commit": ('{{"', '"}}'),
    "gap": ('["', '"]'),
}


def text(graph: Graph) -> str:
    """Return the flowchart, which ends with a line break."""
    return "\n".join([*_lines(graph), ""])


def _lines(graph: Graph) -> Iterator[str]:
    names = {node.key: f"n{number}" for number, node in enumerate(graph.nodes)}
    kinds = {node.key: node.kind for node in graph.nodes}
    yield "flowchart LR"
    yield f"  accTitle: {escaped(graph.title)}"
    yield f"  accDescr: {escaped(graph.counted())}"
    for node in graph.nodes:
        yield from _node(names[node.key], node)
    for number, note in enumerate(graph.notes):
        yield f'  note{number}["{escaped(note)}"]:::note'
    for edge in graph.edges:
        arrow = "-.->" if kinds[edge.source] == "gap" else "-->"
        yield f"  {names[edge.source]} {arrow} {names[edge.target]}"
    yield "  classDef start stroke-width:4px"
    yield "  classDef gap stroke-dasharray:5 4"
    yield "  classDef note fill:none,stroke:none"


def _node(name: str, node: Node) -> Iterator[str]:
    first, second = labels.name(node), labels.mark(node)
    opened, closed = _SHAPES[node.kind]
    look = ":::start" if node.is_start else ":::gap" if node.kind == "gap" else ""
    if "…" in first or "…" in second:
        yield f"  %% {name} is {escaped(node.title)}"
    said = "<br/>".join(escaped(line) for line in (first, second) if line)
    yield f"  {name}{opened}{said}{closed}{look}"


def escaped(words: str) -> str:
    """Return text in which nothing means anything to Mermaid.

    >>> escaped('a "b" %%{x}')
    'a #34;b#34; #37;#37;#123;x#125;'
    """
    shown = notebooks.shown(words, MAX_NAME)
    return "".join(sign if sign.isalnum() or sign in " ,.…→_" else _numbered(sign) for sign in shown)


def _numbered(sign: str) -> str:
    """Return a sign as its number, with a joiner of no width behind one that would begin a line break or a picture.

    Mermaid decodes numbers before it looks for a backslash with an n, for formulas in dollars and for ``fa:`` names.
    """
    return f"#{ord(sign)};" + ("#8288;" if sign in "\\$:" else "")
