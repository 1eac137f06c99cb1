"""What is confidential among a driver's arguments. Pure: no connection, no Flyte.

It is left out of templates, and hidden in messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..doltdb.redaction import is_secret_by_name

_WITHIN = re.compile(r"\b(?:password|passwd|pwd)\s*=\s*(\{[^}]*\}|'[^']*'|[^\s;&]+)", re.IGNORECASE)


def confidential(value: object, *, named: bool = False) -> Iterator[str]:
    """Give the confidential texts within a driver's arguments, however deep they stand.

    >>> list(confidential({"ssl": {"ca": "/ca.pem", "password": "s3cret"}, "dsn": "host=h password=hidden"}))
    ['s3cret', 'hidden']
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from confidential(inner, named=named or is_secret_by_name(str(key)))
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
