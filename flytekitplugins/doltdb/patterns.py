"""Regular expressions that are compiled when they are first used: ``import flytekit`` is not to wait for them."""

from __future__ import annotations

import re
from typing import Any, cast


class _Later:
    """A pattern, as soon as somebody asks it for something."""

    def __init__(self, text: str, flags: int) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    r"""Return what behaves as ``re.compile(text, flags)``, and is not compiled yet.

    >>> pattern(r"\d+").search("a 12").group()
    '12'
    """
    return cast("re.Pattern[str]", _Later(text, flags))
