"""What is confidential by its name, and how a confidential text is kept out of what people see.

Servers and drivers repeat names and texts in their own spelling: quoted, escaped, encoded for a URL, cut off in the
middle. All of these count as the text itself. Pure: no connection, no Flyte. `task` leaves out of a template what is
confidential, `connections` and `execution` take it out of messages.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
_CONFIDENTIAL = re.compile(
    r"pass(word|wd|phrase|code)?$|_pass|pwd$|secret|token|(private|api|access)_?key|credential", re.IGNORECASE
)
_WITHIN = re.compile(r"\b(?:password|passwd|pwd)\s*=\s*(\{[^}]*\}|'[^']*'|[^\s;&]+)", re.IGNORECASE)
SHORTEST_ANYWHERE = 3
"""Characters of the shortest text that is hidden within words, too."""
_SHORTEST_PIECE = 8


def is_confidential(name: str) -> bool:
    """Say whether what is called ``name`` is a password or the like.

    >>> is_confidential("sslpassword"), is_confidential("ssl_ca")
    (True, False)
    """
    return _CONFIDENTIAL.search(name) is not None


def confidential(value: object, *, named: bool = False) -> Iterator[str]:
    """Give the confidential texts within a driver's arguments, however deep they stand.

    >>> list(confidential({"ssl": {"ca": "/ca.pem", "password": "s3cret"}, "dsn": "host=h password=hidden"}))
    ['s3cret', 'hidden']
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from confidential(inner, named=named or is_confidential(str(key)))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from confidential(inner, named=named)
    elif named and value is not None and not isinstance(value, bool):
        yield value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    elif isinstance(value, str):
        yield from _WITHIN.findall(value)


def public(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that have nothing confidential in them.

    >>> public({"ssl_ca": "/ca.pem", "password": "s3cret"})
    {'ssl_ca': '/ca.pem'}
    """
    return {key: value for key, value in arguments.items() if not any(True for _ in confidential({key: value}))}


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with stars for each of the secrets, whichever way it is spelled.

    >>> hide("no login for s%2Fx as 's/x' or 's/xyz'", ["s/xyz", "s/x"])
    "no login for *** as '***' or '***'"
    """
    forms = {form for secret in secrets for form in spellings(secret)}
    text = replaced(text, forms, MASK)
    for form in forms:
        if 0 < len(form) < SHORTEST_ANYWHERE:  # a letter or two: only where it stands for itself
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text


def spellings(text: str) -> set[str]:
    """Return how a URL, a server or a driver may spell ``text``."""
    in_url = {quote(text, safe=safe, errors="replace") for safe in ("", "/", " +", " +/")}
    escaped = text.replace("\\", "\\\\")
    in_quotes = {text.replace("'", "''"), escaped.replace("'", "\\'"), text.replace("\n", "\\n")}
    as_code = {repr(text)[1:-1], repr(text.encode(errors="replace"))[2:-1], json.dumps(text)[1:-1], html.escape(text)}
    return {text, quote_plus(text, errors="replace"), *in_url, *in_quotes, *as_code}


def replaced(text: str, forms: Iterable[str], by: str, *, shortest: int = _SHORTEST_PIECE) -> str:
    """Return ``text`` with ``by`` for each of the forms, and for pieces of one that are at least ``shortest`` long.

    >>> replaced("unknown database 'a_very_lo...'", ["a_very_long_name"], "***")
    "unknown database '***...'"
    """
    known = sorted((form for form in forms if len(form) >= SHORTEST_ANYWHERE), key=len, reverse=True)
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
