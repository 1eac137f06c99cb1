"""The options of a config: which values each takes, and which one holds where a config says it twice.

`configs` asks for them, and writers and readers get them from it by `DoltConfig.options`. What an option does stands at
the field of that name, and where it is done.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from ..errors import InvalidConfig

if TYPE_CHECKING:
    from .configs import DoltConfig

_KINDS: dict[str, type[Any]] = {
    "primary_key": list,
    "mode": str,
    "on_schema_change": str,
    "index": str,
    "on_moved": str,
    "keep_order": bool,
    "lock_timeout_s": float,
    "triggers": str,
    "order_by": list,
    "columns": list,
}
"""The kind of each option: a list of column names, seconds, yes or no, or one of the texts that its field allows."""


def chosen(config: DoltConfig) -> dict[str, Any]:
    """Return the options that ``config`` sets, be it as fields or in ``io_args``, with names as lists.

    Raises:
        InvalidConfig: ``io_args`` has an unknown entry, or one that differs from the field of that name; a value is
            none of those that the option allows.
    """
    args = dict(config.io_args or {})
    unknown = [name for name in args if name not in _KINDS]
    if unknown:
        raise InvalidConfig(
            f"Cannot use {config!r}: io_args has {', '.join(map(repr, unknown))}. Known are {', '.join(_KINDS)}."
        )
    found: dict[str, Any] = {}
    for name in _KINDS:
        own, given = getattr(config, name), args.get(name)
        if own is None and given is None:
            continue
        own, given = _checked(config, name, own), _checked(config, name, given)
        if own is not None and given is not None and own != given:
            raise InvalidConfig(f"Cannot use {config!r}: {name} and io_args[{name!r}] differ. Keep one of them.")
        found[name] = own if own is not None else given
    return found


def _checked(config: DoltConfig, name: str, value: Any) -> Any:
    kind = _KINDS[name]
    if value is None:
        return None
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise InvalidConfig(f"Cannot use {config!r}: {name} must be a number of seconds, 0 or more.")
        return float(value)
    if kind is not list:
        allowed = (True, False) if kind is bool else _choices(config, name)
        if value not in allowed:
            raise InvalidConfig(f"Cannot use {config!r}: {name} is one of {', '.join(map(repr, allowed))}.")
        return value
    names = [value] if isinstance(value, str) else list(value)
    if (
        (not names and name != "order_by")
        or not all(isinstance(item, str) for item in names)
        or len(set(names)) < len(names)
    ):
        raise InvalidConfig(f"Cannot use {config!r}: {name} must be a list of different column names.")
    return names


def _choices(config: DoltConfig, name: str) -> tuple[str, ...]:
    """Return the texts that the field of that name is declared to take."""
    declared = get_args(type(config).__dataclass_fields__[name].type)
    return next(get_args(part) for part in declared if get_origin(part) is Literal)
