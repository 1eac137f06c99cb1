"""What is known of objects that cannot be keys, such as frames: kept by identity for as long as each of them lives."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_V = TypeVar("_V")


class ByIdentity(Generic[_V]):
    """A value for each of some objects. Keeps no object alive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[int, tuple[weakref.ref[Any], _V]] = {}

    def note(self, each: Any, value: _V) -> None:
        """Remember ``value`` for the object ``each``, in place of one that was there."""
        with self._lock:
            self._put(each, value)

    def of(self, each: Any) -> _V | None:
        """Return what was noted of ``each``, or None."""
        with self._lock:
            found = self._values.get(id(each))
        return found[1] if found is not None and found[0]() is each else None

    def of_or(self, each: Any, make: Callable[[], _V]) -> _V:
        """Return what was noted of ``each``; where there is nothing, what ``make`` returns, which is noted then."""
        with self._lock:
            found = self._values.get(id(each))
            return found[1] if found is not None and found[0]() is each else self._put(each, make())

    def __len__(self) -> int:
        return len(self._values)

    def _put(self, each: Any, value: _V) -> _V:
        key = id(each)
        self._values[key] = weakref.ref(each, lambda _: self._values.pop(key, None)), value
        return value
