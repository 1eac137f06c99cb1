"""A graph as SVG: boxes and lines alone, without script, link or font, in the colours that the reader prefers.

A table is a rectangle with a bar, an execution has round ends, another commit has cut corners, what was not followed
has a dashed frame, and what was asked about a thick one, so nothing is said by colour only. What there is to read
stands also in ``title`` and ``desc``. Pure.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from html import escape

from ..model import notebooks
from . import labels
from .graphs import Graph, Kind, Node
from .layout import Box, Layout, layout

MARGIN, PADDING = 20, 12
HEADING, FOOT_LINE = 44, 18
HEADING_PX, FOOT_PX = 15, 11
LEAST_WIDTH = 560
TIP, HALF_TIP = 6, 3
MAX_LINE = 120
"""Characters of the heading and of a note."""

LEAST_SCALE = 0.6
"""How much smaller a page may show it that has not the room; then it is scrolled."""

SENTENCES = 20
"""The most edges that the description has in words."""

_NAMESPACE = "http://www.w3.org/2000/svg"

_KINDS: tuple[tuple[Kind, str], ...] = (
    ("table", "table at a commit"),
    ("execution", "run of a task"),
    ("commit", "commit of no task"),
    ("gap", "not followed"),
)

_STYLE = """<style>
.dolt-lineage { color: #1c2430; --paper: #ffffff; --block: #f5f7f9; --table: #2f6fed; --execution: #1a7f4b;
  --commit: #8a5a00; --gap: #b3261e; --soft: #5b6776; font-family: system-ui, sans-serif }
@media (prefers-color-scheme: dark) { .dolt-lineage { color: #e4e9f0; --paper: #161b22; --block: #1f2630;
  --table: #7aa5ff; --execution: #5fd39a; --commit: #f0bd5c; --gap: #ff8f87; --soft: #99a5b3 } }
.dolt-lineage .paper { fill: var(--paper) } .dolt-lineage .box { fill: var(--block) }
.dolt-lineage text { fill: currentColor } .dolt-lineage .soft { fill: var(--soft) }
.dolt-lineage .edge { stroke: var(--soft) }
.dolt-lineage .table .box { stroke: var(--table) } .dolt-lineage .bar { fill: var(--table) }
.dolt-lineage .execution .box { stroke: var(--execution) } .dolt-lineage .commit .box { stroke: var(--commit) }
.dolt-lineage .gap .box { stroke: var(--gap) } .dolt-lineage .edge:hover { stroke: currentColor; stroke-width: 3 }
</style>"""


def document(graph: Graph) -> str:
    """Return the drawing as a file of its own."""
    picture = _Picture(graph).svg(f' xmlns="{_NAMESPACE}"')
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{picture}\n'


def inline(graph: Graph) -> str:
    """Return the drawing as an element of an HTML page, which is smaller where the page has not the room."""
    picture = _Picture(graph)
    least = round(picture.width * LEAST_SCALE)
    return picture.svg(f' style="width:100%;height:auto;max-width:{picture.width}px;min-width:{least}px"')


class _Picture:
    """A graph with its coordinates, and the size that it takes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        widths = {node.key: _box_width(node) for node in graph.nodes}
        self.places = layout(widths, [(edge.source, edge.target) for edge in graph.edges])
        self.foot = [notebooks.shown(note, MAX_LINE) for note in graph.notes]
        lines = [labels.width(_heading(graph), HEADING_PX), *(labels.width(line, FOOT_PX) for line in self.foot)]
        self.width = round(max(self.places.width, LEAST_WIDTH, *lines)) + 2 * MARGIN
        self.height = self.below + (len(self.foot) + 1) * FOOT_LINE + MARGIN

    @property
    def below(self) -> int:
        """Return where the legend stands."""
        return HEADING + self.places.height + FOOT_LINE + 8

    def svg(self, attributes: str) -> str:
        graph, places = self.graph, self.places
        name = f"lineage-{hashlib.sha256(repr(graph).encode('utf-8', 'replace')).hexdigest()[:12]}"
        said = ". ".join([graph.counted(), *graph.sentences(SENTENCES), *self.foot])
        return (
            f'<svg{attributes} class="dolt-lineage" role="img" aria-labelledby="{name}-title"'
            f' aria-describedby="{name}-desc" width="{self.width}" height="{self.height}"'
            f' viewBox="0 0 {self.width} {self.height}" color="#1c2430" font-family="sans-serif">'
            f'<title id="{name}-title">{escape(_heading(graph))}</title><desc id="{name}-desc">{escape(said)}</desc>'
            f'{_STYLE}<rect class="paper" width="{self.width}" height="{self.height}" fill="#ffffff"/>'
            f"{_text(MARGIN, 30, _heading(graph), HEADING_PX, bold=True)}"
            f"{''.join(_edges(graph, places))}{''.join(_boxes(graph, places))}"
            f"{''.join(_legend(graph, self.below))}{''.join(_notes(self.foot, self.below + FOOT_LINE + 8))}</svg>"
        )


def _heading(graph: Graph) -> str:
    return notebooks.shown(graph.title, MAX_LINE)


def _box_width(node: Node) -> float:
    widest = max(labels.width(labels.name(node), labels.NAME_PX), labels.width(labels.mark(node), labels.MARK_PX), 60)
    return widest + 2 * PADDING


def _text(
    x: float, y: float, words: str, size: int, *, bold: bool = False, kind: str = "", middle: bool = False
) -> str:
    more = ' font-weight="600"' if bold else ""
    more += ' text-anchor="middle"' if middle else ""
    more += f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="currentColor"{more}>{escape(words)}</text>'


# ------------------------------------------------------------------------------------------------------------- boxes


def _boxes(graph: Graph, places: Layout) -> Iterator[str]:
    for node in graph.nodes:
        box = places.boxes[node.key]
        x, y = box.x + MARGIN, box.y + HEADING
        start = " start" if node.is_start else ""
        yield (
            f'<g class="node {node.kind}{start}"><title>{escape(labels.about(node))}</title>'
            f"{_shape(node.kind, x, y, box.width, box.height, 3 if node.is_start else 1.5)}"
            f"{_text(x + box.width / 2, y + 20, labels.name(node), labels.NAME_PX, bold=True, middle=True)}"
            f"{_text(x + box.width / 2, y + 36, labels.mark(node), labels.MARK_PX, kind='soft', middle=True)}</g>"
        )


def _shape(kind: Kind, x: float, y: float, width: float, height: float, stroke: float) -> str:
    """Return the frame of a box, which tells kinds apart without colours."""
    look = f'class="box" fill="none" stroke="currentColor" stroke-width="{stroke:g}"'
    if kind == "commit":
        cut = height / 4
        right, low = width - cut, height - cut
        points = [(cut, 0.0), (right, 0.0), (width, cut), (width, low), (right, height), (cut, height), (0.0, low)]
        points.append((0.0, cut))
        return f'<polygon points="{" ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in points)}" {look}/>'
    round_by = height / 2 if kind == "execution" else 3
    dashed = ' stroke-dasharray="5 4"' if kind == "gap" else ""
    bar = f'<rect class="bar" x="{x:g}" y="{y:g}" width="6" height="{height:g}" rx="3" fill="currentColor"/>'
    frame = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round_by:g}" {look}{dashed}/>'
    return frame + (bar if kind == "table" else "")


# ------------------------------------------------------------------------------------------------------------- edges


def _edges(graph: Graph, places: Layout) -> Iterator[str]:
    nodes = {node.key: node for node in graph.nodes}
    names = {node.key: labels.name(node) for node in graph.nodes}
    for edge in graph.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        line = places.lines[edge.source, edge.target]
        first, last = (target, source) if line.is_reversed else (source, target)
        points = [(x + MARGIN, y + HEADING) for x, y in line.points]
        points[0] = _at_frame(points[0], first.kind, places.boxes[first.key], 1)
        points[-1] = _at_frame(points[-1], last.kind, places.boxes[last.key], -1)
        dashed = ' stroke-dasharray="5 4"' if source.kind == "gap" else ""
        words = escape(f"{names[edge.source]} → {names[edge.target]}")
        yield (
            f'<path class="edge" d="{_way(points)}{_tip(points, is_first=line.is_reversed)}" fill="none"'
            f' stroke="currentColor" stroke-width="1.5"{dashed}><title>{words}</title></path>'
        )


def _at_frame(point: tuple[int, int], kind: Kind, box: Box, side: int) -> tuple[int, int]:
    """Return the point moved to the frame where the box is not as wide as in its middle; ``side`` is 1 at its right."""
    x, y = point
    half = box.height / 2
    away = abs(y - HEADING - box.y - half)
    inset = 0.0
    if kind == "execution":
        inset = half - math.sqrt(max(0.0, half**2 - away**2))
    elif kind == "commit":
        inset = max(0.0, away - half / 2)
    return x - side * round(inset), y


def _way(points: Sequence[tuple[int, int]]) -> str:
    """Return a smooth line through the points."""
    x, y = points[0]
    parts = [f"M{x} {y}"]
    for number, (to_x, to_y) in enumerate(points[1:]):
        half = (x + to_x) // 2
        parts.append(f"C{half} {y} {half} {to_y} {to_x} {to_y}" if number % 2 == 0 else f"H{to_x}")
        x, y = to_x, to_y
    return "".join(parts)


def _tip(points: Sequence[tuple[int, int]], *, is_first: bool) -> str:
    """Return the arrow's head, at the first or at the last of the points."""
    (x, y), back = (points[0], TIP) if is_first else (points[-1], -TIP)
    return f"M{x + back} {y - HALF_TIP}L{x} {y}L{x + back} {y + HALF_TIP}"


# ------------------------------------------------------------------------------------------------- what stands below


def _legend(graph: Graph, y: float) -> Iterator[str]:
    x = float(MARGIN)
    shown = {node.kind for node in graph.nodes}
    for kind, words in _KINDS:
        if kind in shown:
            yield f'<g class="legend {kind}">{_shape(kind, x, y - 12, 30, 16, 1.5)}'
            yield f"{_text(x + 36, y, words, FOOT_PX, kind='soft')}</g>"
            x += 36 + labels.width(words, FOOT_PX) + 14


def _notes(foot: Sequence[str], y: float) -> Iterator[str]:
    for number, line in enumerate(foot):
        yield _text(MARGIN, y + number * FOOT_LINE, line, FOOT_PX, kind="note")
