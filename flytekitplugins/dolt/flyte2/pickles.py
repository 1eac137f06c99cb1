"""Keeps rows out of pickles: what Flyte 2 has no type for, as `Any`, it pickles, with whatever is in it.

A table within such a value travels as the reference that it is, or is refused where no commit holds its rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flyte.types import FlytePickle, TypeEngine

from ..model import runtime
from .faults import marked


def register() -> None:
    """Have Flyte 2 say when it pickles a value that is going to another task."""
    transformer: Any = type(TypeEngine._REGISTRY[FlytePickle])  # looked up: Flyte 2 is looking for types, with a lock
    transformer.to_literal = _travelling(transformer.to_literal)
    pickle: Any = FlytePickle
    pickle.to_pickle = staticmethod(_travelling(FlytePickle.to_pickle))


def _travelling(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def pickled(*args: Any, **kwargs: Any) -> Any:
        token = runtime.travelling.set(True)
        try:
            with marked():
                return await original(*args, **kwargs)
        finally:
            runtime.travelling.reset(token)

    return pickled
