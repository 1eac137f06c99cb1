"""Python values as what a driver can bind: the few that drivers get wrong are turned into what the server means.

Pure: no connection, no Flyte.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import uuid
from decimal import Decimal
from typing import Any, TypeGuard

from .errors import InvalidValue

_PLAIN = (bool, int, float, str, bytes, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any]]:
    """Say whether a value stands for several, as in ``IN``."""
    return isinstance(value, (list, tuple, set, frozenset))


def bindable(name: str, value: object, *, dialect: str) -> object:
    """Return what the driver of ``dialect`` is given for the value of input ``name``.

    Times with a zone are moments: servers without zones get them in UTC, which is the zone of the task's session.

    Raises:
        InvalidValue: values of this type have no counterpart in SQL.
    """
    plain = _plain(name, value)
    if isinstance(plain, dt.datetime) and plain.tzinfo is not None and dialect != "postgresql":
        plain = plain.astimezone(dt.timezone.utc).replace(tzinfo=None)
    if dialect != "postgresql":
        _assert_is_number(name, plain, infinite=dialect == "sqlite")
    return _for_sqlite(name, plain) if dialect == "sqlite" else plain


def _assert_is_number(name: str, value: object, *, infinite: bool) -> None:
    """Refuse what is no number in most SQL; ``infinite`` floats are in some."""
    if not isinstance(value, (float, Decimal)) or math.isfinite(value):
        return
    if not (infinite and isinstance(value, float) and math.isinf(value)):
        raise InvalidValue(f"Input {name!r} is no finite number, and SQL has no other. Give None for NULL.", name=name)


def as_text(name: str, value: object) -> str | None:
    """Return the value as a text within a quoted text, None for None.

    Raises:
        InvalidValue: the value is no text, and cannot be part of one.
    """
    plain = _plain(name, value)
    if plain is None or isinstance(plain, str):
        return plain
    if isinstance(plain, bytes):
        raise InvalidValue(f"Input {name!r} is bytes, which cannot be part of a text.", name=name)
    if isinstance(plain, dt.datetime):
        moment = plain if plain.tzinfo is None else plain.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return moment.isoformat(" ")
    return format(plain, "f") if isinstance(plain, Decimal) else str(plain)


def _plain(name: str, value: object) -> object:
    if isinstance(value, enum.Enum):
        return _plain(name, value.value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if value is None or type(value) in _PLAIN:
        return value
    for kind in _PLAIN:  # a pandas Timestamp, numpy's str_ and float64, and other subclasses
        if isinstance(value, kind):
            return value.to_pydatetime() if hasattr(value, "to_pydatetime") else _of_kind(kind, value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return json.dumps(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a numpy number
        return _plain(name, value.item())
    raise InvalidValue(
        f"Input {name!r} is a {type(value).__name__}, which cannot be a value in SQL. Give a text, number, date, time, "
        "bytes, None, or a list of these.",
        name=name,
    )


def _of_kind(kind: type, value: Any) -> object:
    return kind(value) if kind in (int, float, str, bytes, Decimal) else value


def _for_sqlite(name: str, value: object) -> object:
    """Return what SQLite's own functions expect for what it has no type for."""
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        raise InvalidValue(f"Input {name!r} is a duration, which SQLite has no type for. Give seconds.", name=name)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidValue(f"Input {name!r} is too large for SQLite's integers of 64 bits. Give a text.", name=name)
    return format(value, "f") if isinstance(value, Decimal) else value
