"""Strict readers of drawn lineages: each takes one format as it is written here, and nothing besides."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

SVG = "{http://www.w3.org/2000/svg}"
JOINER = "\u2060"
_MERMAID_TEXT = r"(?:[^\W]|[ ,.…→]|#\d+;|<br/>)*"
_DOT_STRING = r'"(?:[^"\\\n]|\\.)*"'


@dataclass
class Drawn:
    """What a reader found: nodes by their names, with the lines of their labels, and edges between names."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Comments, tooltips, titles and notes."""


def read_mermaid(text: str) -> Drawn:
    """Return what a flowchart has; a line of another form fails."""
    found = Drawn()
    first, *lines = text.removesuffix("\n").split("\n")
    assert first == "flowchart LR"
    for line in lines:
        if match := re.fullmatch(r"  (n\d+) (?:-->|-\.->) (n\d+)", line):
            found.edges.append((match[1], match[2]))
        elif match := re.fullmatch(
            rf'  ((?:n|note)\d+)(?:\[\("({_MERMAID_TEXT})"\)\]|\(\["({_MERMAID_TEXT})"\]\)'
            rf'|\{{\{{"({_MERMAID_TEXT})"\}}\}}|\["({_MERMAID_TEXT})"\])(?::::(?:start|gap|note))?',
            line,
        ):
            words = next(group for group in match.groups()[1:] if group is not None)
            lines_of = [_without_numbers(part) for part in words.split("<br/>")]
            if match[1].startswith("note"):
                found.said += lines_of
            else:
                found.nodes[match[1]] = lines_of
        elif match := re.fullmatch(rf"  (?:accTitle:|accDescr:|%% n\d+ is) ({_MERMAID_TEXT})", line):
            found.said.append(_without_numbers(match[1]))
        else:
            assert re.fullmatch(r"  classDef (start|gap|note) [a-z-]+:\S+( \d)?(,[a-z-]+:\S+)*", line), line
    return found


def _without_numbers(words: str) -> str:
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), words).replace(JOINER, "")


def read_dot(text: str) -> Drawn:
    """Return what a graph of Graphviz has; a line of another form fails."""
    found = Drawn()
    lines = text.removesuffix("\n").split("\n")
    assert (lines[0], lines[-1]) == ("digraph lineage {", "}")
    value = rf"(?:[a-z]+|[A-Z]+|\d+|{_DOT_STRING})"
    for line in lines[1:-1]:
        if match := re.fullmatch(r"  (n\d+) -> (n\d+)(?: \[style=dashed\])?;", line):
            found.edges.append((match[1], match[2]))
            continue
        match = re.fullmatch(rf"  (n\d+|graph|node) \[({value}={value}(?:, {value}={value})*)\];", line)
        assert match, line
        given = dict(re.findall(rf"(\w+)=({value})", match[2]))
        if match[1].startswith("n") and match[1] != "node":
            found.nodes[match[1]] = _dot_lines(given["label"])
            found.said += _dot_lines(given["tooltip"])
        elif match[1] == "graph":
            found.said += _dot_lines(given["label"])
    return found


def _dot_lines(quoted: str) -> list[str]:
    parts = re.split(r"(\\.|&amp;)", quoted[1:-1])
    meant = {"\\n": "\n", '\\"': '"', "\\\\": "\\", "&amp;": "&"}
    assert all(part in meant for part in parts[1::2])
    assert not any(set(part) & set('"\\&\n') for part in parts[::2])
    return "".join(meant.get(part, part) for part in parts).split("\n")


# --------------------------------------------------------------------------------------------------------------- SVG


@dataclass(frozen=True)
class Box:
    """A node of a picture."""

    kinds: frozenset[str]
    lines: tuple[str, str]
    title: str
    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether two boxes share a point."""
        apart = self.x + self.width < other.x or other.x + other.width < self.x
        return not (apart or self.y + self.height < other.y or other.y + other.height < self.y)

    def has_within(self, x: float, y: float) -> bool:
        """Whether a point is in the box and not on its frame."""
        return self.x + 8 < x < self.x + self.width - 8 and self.y + 1 < y < self.y + self.height - 1


@dataclass(frozen=True)
class Picture:
    """A picture as it is to be seen."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[tuple[float, float], ...], ...]
    """Points on each line, from its left end to its right one."""
    title: str
    description: str
    texts: tuple[str, ...]
    width: float
    height: float


def read_svg(text: str) -> Picture:
    """Return what a picture has, if it is XML of a few harmless elements and attributes."""
    root = ET.fromstring(text)
    allowed = {"svg", "title", "desc", "style", "rect", "text", "g", "path", "polygon"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name.endswith("href")]
    return Picture(
        tuple(_box(group) for group in root.iter(f"{SVG}g") if "node" in group.get("class", "").split()),
        tuple(_points(path.get("d", "")) for path in root.iter(f"{SVG}path")),
        root.findtext(f"{SVG}title") or "",
        root.findtext(f"{SVG}desc") or "",
        tuple(element.text or "" for element in root.iter(f"{SVG}text")),
        float(root.get("width", "")),
        float(root.get("height", "")),
    )


def _box(group: ET.Element) -> Box:
    first, second = (element.text or "" for element in group.iter(f"{SVG}text"))
    kinds = frozenset(group.get("class", "").split()) - {"node"}
    title = group.findtext(f"{SVG}title") or ""
    frame = next(element for element in group if element.get("class") == "box")
    if frame.tag == f"{SVG}polygon":
        points = [tuple(map(float, point.split(","))) for point in frame.get("points", "").split()]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return Box(kinds, (first, second), title, min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    x, y, width, height = (float(frame.get(name, "")) for name in ("x", "y", "width", "height"))
    return Box(kinds, (first, second), title, x, y, width, height)


def _points(way: str) -> tuple[tuple[float, float], ...]:
    """Return points along a line, without its arrow's head."""
    points: list[tuple[float, float]] = []
    for command, given in re.findall(r"([MCHL])([-\d. ]+)", way[: way.rindex("M")]):
        numbers = list(map(float, given.split()))
        if command == "M":
            points.append((numbers[0], numbers[1]))
        elif command == "H":
            (x, y), to = points[-1], numbers[0]
            points += [(x + (to - x) * step / 10, y) for step in range(1, 11)]
        else:
            (x0, y0), (x1, y1, x2, y2, x3, y3) = points[-1], numbers
            for t in (step / 10 for step in range(1, 11)):
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                points.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return tuple(points)


def check_places(picture: Picture) -> None:
    """Check that no box is on another, that each line goes from box to box through none, and that all is seen."""
    for number, box in enumerate(picture.boxes):
        assert 0 < box.x < box.x + box.width < picture.width
        assert 0 < box.y < box.y + box.height < picture.height
        assert not [other for other in picture.boxes[:number] if box.overlaps(other)]
    for line in picture.edges:
        assert not [point for point in line for box in picture.boxes if box.has_within(*point)]
        assert all(0 < x < picture.width and 0 < y < picture.height for x, y in line)
        for x, y in (line[0], line[-1]):
            assert any(_touches(box, x, y) for box in picture.boxes), (x, y)


def _touches(box: Box, x: float, y: float) -> bool:
    on_a_side = min(abs(x - box.x), abs(x - box.x - box.width)) <= box.height / 2
    return on_a_side and box.y <= y <= box.y + box.height
