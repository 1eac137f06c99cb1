"""How deep a value is nested, found out without recursion: what arrives may be nested deeper than Python follows.

How deep that is hangs on the version of Python and on who calls, so there are limits of our own, well below it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...doltdb.patterns import pattern

MAX_CELL = 500
"""How deep lists and dictionaries in a column of a frame may be nested."""

MAX_CONFIG = 50
"""How deep a config, a table or an address may be nested."""

# One without an end goes to the end of the text, or looking for one would start again behind each of its quotes.
_IN_QUOTES = r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)'
_STRING = pattern(_IN_QUOTES, re.DOTALL)
_TOKEN = pattern(rf"{_IN_QUOTES}|[\[{{]|[\]}}]", re.DOTALL)
_BRACKET = pattern(r"[\[{]|[\]}]")


def is_deep(text: str, most: int) -> bool:
    """Whether JSON text is nested over ``most`` deep; of other text it is the same question of its brackets."""
    if text.count("[") + text.count("{") <= most:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > most:
            return True
    return False


def cut(text: str, most: int) -> str:
    """Return JSON text with null in the place of all that is nested over ``most`` deep."""
    if not is_deep(text, most):
        return text
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == most + 1:
                kept.append(text[start : token.start()] + "null")
        elif token[0] in "]}":
            depth -= 1
            if depth == most:
                start = token.end()
    return "".join([*kept, text[start:]])


def is_nested_deep(value: object, most: int) -> bool:
    """Whether lists and dictionaries are nested over ``most`` deep; one that holds itself is."""
    level = _holders([value])
    for _ in range(most):
        level = _holders(inner for each in level for inner in (each.values() if isinstance(each, Mapping) else each))
        if not level:
            return False
    return True


def _holders(values: Iterable[Any]) -> list[Any]:
    """Return those values that may hold others, each of them once."""
    return list({id(each): each for each in values if isinstance(each, (Mapping, list, tuple))}.values())
