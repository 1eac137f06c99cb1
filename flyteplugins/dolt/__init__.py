"""Versioned data inside tasks of Flyte 2, on Dolt: the names of `flytekitplugins.dolt`, in the form of Flyte 2.

>>> from flyteplugins.dolt import DoltConfig, DoltTable, dolt_frame
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flytekitplugins.dolt as _all
from flytekitplugins.dolt import flyte2 as _flyte2

if TYPE_CHECKING:
    from flytekitplugins.dolt import *  # noqa: F403
    from flytekitplugins.dolt.flyte2.frames import dolt_frame as dolt_frame
    from flytekitplugins.dolt.flyte2.secrets import secret_requests as secret_requests
    from flytekitplugins.dolt.flyte2.values import content_hash as content_hash

_OF_FLYTE_2 = {"content_hash": "values", "dolt_frame": "frames", "secret_requests": "secrets"}
_OF_FLYTEKIT = {"resolve"}

__all__ = sorted({*_all.__all__, *_OF_FLYTE_2} - _OF_FLYTEKIT)


def __getattr__(name: str) -> Any:
    if name in _OF_FLYTE_2:
        from importlib import import_module

        return getattr(import_module(f"{_flyte2.__name__}.{_OF_FLYTE_2[name]}"), name)
    if name in __all__:
        return getattr(_all, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, which completion then offers, also those that are not loaded yet."""
    return list(__all__)


_flyte2.register()
