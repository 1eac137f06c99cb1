"""Frames in and out as a config says: `DoltTable`, read, write, pin, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .scripts import pin, read, write

__all__ = ["pin", "read", "write"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import scripts

        return getattr(scripts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
