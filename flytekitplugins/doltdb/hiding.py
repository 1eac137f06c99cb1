"""Texts that must not be seen, such as passwords, kept out of what servers, drivers and programs say.

They repeat a text in their own spelling: quoted, escaped, encoded for a URL, cut off in the middle. All of these count
as the text itself. Where an address or a value may hold a password is known to `redaction`. Pure.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST_WITHIN_WORDS = 3
"""Characters of the shortest text that is hidden within words, too."""
_SHORTEST_PIECE = 8


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with stars for each of the secrets, whichever way it is spelled.

    >>> hide("no login for s%2Fx as 's/x' or 's/xyz'", ["s/xyz", "s/x"])
    "no login for *** as '***' or '***'"
    """
    forms = {form for secret in secrets for form in spellings(str(secret))}
    text = replaced(text, forms, MASK)
    for form in forms:
        if 0 < len(form) < _SHORTEST_WITHIN_WORDS:  # a letter or two: only where it stands for itself
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text


def spellings(text: str) -> set[str]:
    """Return how a URL, a server or a driver may spell ``text``."""
    in_url = {quote(text, safe=safe, errors="replace") for safe in ("", "/", " +", " +/")}
    escaped = text.replace("\\", "\\\\")
    in_quotes = {text.replace("'", "''"), escaped.replace("'", "\\'"), escaped.replace('"', '\\"')}
    in_line = text.replace("\n", "\\n")
    as_code = {repr(text)[1:-1], repr(text.encode(errors="replace"))[2:-1], json.dumps(text)[1:-1], html.escape(text)}
    return {text, quote_plus(text, errors="replace"), in_line, *in_url, *in_quotes, *as_code}


def replaced(text: str, forms: Iterable[str], by: str, *, shortest: int = _SHORTEST_PIECE) -> str:
    """Return ``text`` with ``by`` for each of the forms, and for pieces of one that are at least ``shortest`` long.

    >>> replaced("unknown database 'a_very_lo...'", ["a_very_long_name"], "***")
    "unknown database '***...'"
    """
    known = sorted((form for form in forms if len(form) >= _SHORTEST_WITHIN_WORDS), key=len, reverse=True)
    if not known:
        return text
    for form in known:
        text = text.replace(form, by)
    said = set(_pieces(text, shortest))
    pieces = {piece for form in known for piece in _pieces(form, shortest) if piece in said}
    if not pieces:
        return text
    within = [False] * len(text)
    for place, piece in enumerate(_pieces(text, shortest)):
        if piece in pieces:
            within[place : place + shortest] = [True] * shortest
    groups = groupby(zip(text, within, strict=True), key=lambda pair: pair[1])
    return "".join(by if hidden else "".join(character for character, _ in pairs) for hidden, pairs in groups)


def _pieces(text: str, length: int) -> Iterator[str]:
    return (text[place : place + length] for place in range(len(text) - length + 1))
