"""The options of a config: which values each takes, and which one holds where a config says it twice.

`configs` asks for them, and writers and readers get them from it by `DoltConfig.options`. What an option does stands at
the field of that name, and where it is done.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import InvalidConfig

if TYPE_CHECKING:
    from .configs import DoltConfig

_ALLOWED: dict[str, tuple[Any, ...] | type[float] | None] = {
    "primary_key": None,
    "mode": ("replace", "append", "upsert", "delete"),
    "on_schema_change": ("refuse", "evolve", "replace"),
    "index": ("drop", "refuse", "keep"),
    "on_moved": ("merge", "replace"),
    "keep_order": (True, False),
    "lock_timeout_s": float,
    "triggers": ("refuse", "run"),
    "order_by": None,
    "columns": None,
}
"""The values that each option allows; None stands for a list of column names, float for seconds."""


def chosen(config: DoltConfig) -> dict[str, Any]:
    """Return the options that ``config`` sets, be it as fields or in ``io_args``, with names as lists.

    Raises:
        InvalidConfig: ``io_args`` has an unknown entry, or one that differs from the field of that name; a value is
            none of those that the option allows.
    """
    args = dict(config.io_args or {})
    unknown = [name for name in args if name not in _ALLOWED]
    if unknown:
        raise InvalidConfig(
            f"Cannot use {config!r}: io_args has {', '.join(map(repr, unknown))}. Known are {', '.join(_ALLOWED)}."
        )
    found: dict[str, Any] = {}
    for name in _ALLOWED:
        own, given = getattr(config, name), args.get(name)
        if own is None and given is None:
            continue
        own, given = _checked(config, name, own), _checked(config, name, given)
        if own is not None and given is not None and own != given:
            raise InvalidConfig(f"Cannot use {config!r}: {name} and io_args[{name!r}] differ. Keep one of them.")
        found[name] = own if own is not None else given
    return found


def _checked(config: DoltConfig, name: str, value: Any) -> Any:
    allowed = _ALLOWED[name]
    if value is None:
        return None
    if isinstance(allowed, type):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise InvalidConfig(f"Cannot use {config!r}: {name} must be a number of seconds, 0 or more.")
        return allowed(value)
    if allowed is not None:
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
