"""The two lines of a box: what they say, how wide they are at most, and where they are cut. Pure.

No font is asked. Widths are those of DejaVu Sans Bold, which is among the widest in use, rounded up; in another font
a line is narrower.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime

from ..model import notebooks
from .graphs import MAX_NAME, Node

NAME_PX, MARK_PX = 13, 11
"""Sizes of the two lines."""

MAX_WIDTH = 200
"""The widest line of a box, in pixels; a wider one is cut."""

_NARROW = frozenset("ijlIfrt.,:;'|!()[]{}-_`/\\\" ")
_BROAD = frozenset("mwMW@%&…→~=+<>#·")


def name(node: Node) -> str:
    """Return the first line: the name, of a task its end, which says most; a gap has a question mark."""
    text = notebooks.shown(node.name, MAX_NAME)
    if node.kind == "gap":
        text = f"? {text}"
    return _last_parts(text) if node.kind == "execution" else cut(text, NAME_PX)


def _last_parts(text: str) -> str:
    """Return a dotted name with as many of its last parts as have room."""
    parts = text.split(".")
    for first in range(len(parts)):
        kept = ("…" if first else "") + ".".join(parts[first:])
        if width(kept, NAME_PX) <= MAX_WIDTH:
            return kept
    return cut(parts[-1], NAME_PX, end=True)


def mark(node: Node) -> str:
    """Return the second line: which version, or which execution and on which day, or how many."""
    day = _day(node.when) if node.kind in ("execution", "commit") and node.count == 1 else ""
    return cut(notebooks.shown(" · ".join(part for part in (node.mark, day) if part), MAX_NAME), MARK_PX)


def about(node: Node) -> str:
    """Return all there is to say, on lines of bounded length."""
    lines = [node.title, *(notebooks.shown(line, MAX_NAME) for line in node.about)]
    return "\n".join(dict.fromkeys(lines))


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment is not None else ""


def width(text: str, size: int) -> float:
    """Return how wide a line is at most, in pixels; the smaller sizes are not bold."""
    return size * sum(map(_em, text)) * (0.94 if size < NAME_PX else 1.0)


def _em(sign: str) -> float:
    if sign in _NARROW:
        return 0.5
    if sign in _BROAD:
        return 1.12
    if sign.isascii():
        return 0.86 if sign.isupper() else 0.72
    if unicodedata.category(sign) in ("Mn", "Me"):
        return 0.0
    return 1.4 if unicodedata.east_asian_width(sign) in "WF" else 1.1


def cut(text: str, size: int, *, end: bool = False) -> str:
    """Return as much of a line as has room, its beginning or its end, with an ellipsis for the rest."""
    if width(text, size) <= MAX_WIDTH:
        return text
    room, kept = MAX_WIDTH - width("…", size), 0
    for sign in reversed(text) if end else text:
        room -= width(sign, size)
        if room < 0:
            break
        kept += 1
    return f"…{text[len(text) - kept :]}" if end else f"{text[:kept]}…"
