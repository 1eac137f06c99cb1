"""Our errors as Flyte 2's: what stays wrong is not tried again, what may pass by itself is.

Flyte 2 repeats a task after every error but its own `NonRecoverableError`, so it is the permanent ones that are marked.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import flyte
from flyte.errors import BaseRuntimeError, CustomError, NonRecoverableError, RuntimeUserError
from flyte.types import TypeEngine

from ..errors import TRANSIENT, DoltError

_in_variants: ContextVar[list[DoltError] | None] = ContextVar("in_variants", default=None)
"""What went wrong while the variants of a Union were tried; None where none is."""


@contextmanager
def marked() -> Iterator[None]:
    """Raise an error of ours as the same error that is one of Flyte 2's as well, while a task runs.

    Its class is in the error file as the code. Code that catches this package's error catches it as before.
    """
    try:
        yield
    except DoltError as error:
        if not flyte.ctx() or isinstance(error, BaseRuntimeError):
            raise
        both = _both(error)
        tried = _in_variants.get()
        if tried is not None:
            tried.append(both)
        raise both from error


def _both(error: DoltError) -> DoltError:
    kind = type(error)
    base = RuntimeUserError if isinstance(error, TRANSIENT) else NonRecoverableError
    body = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__init__": DoltError.__init__}
    facts = {**vars(error), "code": kind.__name__, "kind": "user", "worker": None}
    found: DoltError = type(kind.__name__, (kind, base), body)(str(error), **facts)
    return found


def register() -> None:
    """Have Flyte 2 see what is permanent, also where it was raised without a mark, and within a Union."""
    original: Callable[..., Any] = CustomError.from_exception

    @functools.wraps(original)
    def from_exception(cls: Any, e: Exception) -> Any:
        if isinstance(e, DoltError) and not isinstance(e, TRANSIENT):
            found = NonRecoverableError(str(e), type(e).__name__)
            found.__cause__ = e
            return found
        return original(e)

    CustomError.from_exception = classmethod(from_exception)
    _watch_unions()


def _watch_unions() -> None:
    """Have a Union whose variants all fail raise the error of ours, of which Flyte 2 says that no variant fits."""
    kind: Any = type(TypeEngine._REGISTRY[typing.Union])  # looked up: Flyte 2 is looking for types, and holds a lock
    for name in ("to_literal", "to_python_value"):
        setattr(kind, name, _telling(getattr(kind, name)))


def _telling(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def tried(self: Any, *args: Any, **kwargs: Any) -> Any:
        errors: list[DoltError] = []
        token = _in_variants.set(errors)
        try:
            return await original(self, *args, **kwargs)
        except TypeError as error:
            if not errors:
                raise
            raise errors[0] from error
        finally:
            _in_variants.reset(token)

    return tried
