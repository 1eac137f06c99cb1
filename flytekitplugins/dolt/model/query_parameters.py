"""Values bound to a query: which ones there can be, how they travel as plain values, and how they look in SQL.

Pure, and cheap to import. A value is turned into one SQL literal by its type and never pasted into the text of the
query; that same literal is what is sent. `configs` checks and stores values, `queries` puts them in their places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

_PLAIN_INTEGERS = range(-(2**63), 2**64)
"""What msgpack and JSON readers carry as a number; others travel as text."""


class UnsupportedValue(ValueError):
    """The value has no SQL literal of its own."""


def checked(value: object) -> object:
    """Return ``value`` as one of the known types, or as a list of them.

    Raises:
        UnsupportedValue: it is none: a dictionary, NaN, a list in a list, an object of another type.
    """
    if isinstance(value, (list, tuple)):
        return [_scalar(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if getattr(value, "ndim", None) == 0:  # a scalar of NumPy
        value = value.item()  # type: ignore[attr-defined]
    if not isinstance(value, _TYPES) or (value != value):
        raise UnsupportedValue(f"{value!r} ({type(value).__name__}) is no value that SQL has a literal for")
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        raise UnsupportedValue(f"{value!r} is no number to SQL")
    if isinstance(value, (datetime, time)) and value.utcoffset() is not None:
        if isinstance(value, time):
            raise UnsupportedValue(f"{value!r} has a time zone but no date")
        return value.astimezone(timezone.utc).replace(tzinfo=None)
    if isinstance(value, str):
        _check_text(value)
    return value


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnsupportedValue(f"{value!r} holds half a character (a lone surrogate)") from error


def to_plain(value: object) -> object:
    """Return ``value`` in the types of JSON; what JSON has no type for becomes a dictionary of its kind and text.

    >>> to_plain([Decimal("1.50"), b"a", "x", None])
    [{'decimal': '1.50'}, {'bytes': '61'}, 'x', None]
    """
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    value = _scalar(value)
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int):
        return int(value) if value in _PLAIN_INTEGERS else {"integer": str(int(value))}
    for kind, (of_type, write, _) in _KINDS.items():
        if isinstance(value, of_type):
            return {kind: write(value)}
    raise UnsupportedValue(f"{value!r} cannot travel")


def from_plain(value: object) -> object:
    """Return the value that `to_plain` turned into ``value``.

    Raises:
        UnsupportedValue: it comes from no value.
    """
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind, text = next(iter(value.items()), ("", ""))
    if len(value) != 1 or kind not in _KINDS:
        raise UnsupportedValue(f"{dict(value)!r} is no value that SQL has a literal for")
    try:
        return _KINDS[kind][2](text)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UnsupportedValue(f"{dict(value)!r} holds no {kind}") from error


def _seconds(value: timedelta) -> str:
    return str(value // timedelta(microseconds=1))


# Most special first: a datetime is a date, too.
_KINDS: dict[str, tuple[type, Callable[[Any], str], Callable[[str], object]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "microseconds": (timedelta, _seconds, lambda text: timedelta(microseconds=int(text))),
    "decimal": (Decimal, str, Decimal),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "integer": (int, str, int),
}
_TYPES = (type(None), bool, int, float, str, *(of_type for of_type, _, _ in _KINDS.values()))


def sql_literal(value: object, *, in_parentheses: bool = False) -> str:
    """Return ``value`` as SQL; a list in parentheses of its own, unless it stands alone in some already.

    An empty list becomes a subquery without rows: nothing is in it, and everything is not in it, NULL included.

    >>> sql_literal("it's"), sql_literal([1, None]), sql_literal(date(2024, 5, 7))
    ("'it''s'", '(1, NULL)', "CAST('2024-05-07' AS DATE)")
    """
    if isinstance(value, (list, tuple)):
        listed = ", ".join(_literal(_scalar(item)) for item in value) if value else "SELECT NULL FROM dual WHERE FALSE"
        return listed if in_parentheses else f"({listed})"
    return _literal(_scalar(value))


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    # Casts, because functions like TIMESTAMP('...') give texts in Dolt 1.83.
    if isinstance(value, timedelta):
        return f"CAST('{_clock(value)}' AS TIME(6))"
    if isinstance(value, datetime):
        return f"CAST('{value.isoformat(' ', 'microseconds')[:26]}' AS DATETIME(6))"
    if isinstance(value, time):
        return f"CAST('{value.isoformat('microseconds')}' AS TIME(6))"
    if isinstance(value, date):
        return f"CAST('{value.isoformat()}' AS DATE)"
    return _text(str(value))


def _number(value: float | Decimal) -> str:
    if isinstance(value, float):
        text = repr(float(value))
        text += "" if "e" in text else "e0"  # without an exponent it would be a DECIMAL
    else:
        text = format(value, "f") if isinstance(value, Decimal) else str(int(value))
    return f"({text})" if text.startswith("-") else text  # "1 -:n" must not become a comment


def _text(value: str) -> str:
    # Doubled, so that the text ends where it should whether or not the server takes backslashes for escapes.
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0")
    return f"'{escaped}'"


def _clock(value: timedelta) -> str:
    seconds, microseconds = divmod(abs(value) // timedelta(microseconds=1), 10**6)
    sign = "-" if value < timedelta(0) else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{microseconds:06}"


def canonical(values: Mapping[str, object]) -> dict[str, object]:
    """Return ``values`` as plain values in the order of their names, so that equal parameters are equal bytes."""
    return {name: to_plain(values[name]) for name in sorted(values)}


def restored(values: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that `canonical` made ``values`` of."""
    return {name: from_plain(value) for name, value in values.items()}
