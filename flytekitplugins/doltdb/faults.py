"""Tables of faults: what a server says, which error that is, and what the user can do about it.

Each plugin has a table and errors of its own; how a row is found, and what its message says, is the same. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from .attempts import attempted

_E = TypeVar("_E", bound=Exception)


class Fault(Generic[_E]):
    """One row of a table; no dataclass, which would cost each start of flytekit a millisecond.

    Args:
        codes: the server's codes, parted by bars; one may be empty, for errors that have none. None stands for any.
        text: a pattern of what the server says, in any case; empty for anything.
        error: the class of the error.
        advice: what the user can do, as a sentence.
    """

    def __init__(self, codes: str | None, text: str, error: Callable[..., _E], advice: str) -> None:
        self.codes = codes
        self.text = text
        self.error = error
        self.advice = advice

    def matches(self, code: object, message: str) -> bool:
        """Whether this is the row for what the server said."""
        known = "" if code is None else str(code)
        is_code = self.codes is None or known in self.codes.split("|")
        return is_code and re.search(self.text, message, re.IGNORECASE) is not None


def known_error(faults: Iterable[Fault[_E]], code: object, message: str) -> _E | None:
    """Return the error of the first row that matches, about what is attempted now; None where there is no such row."""
    for fault in faults:
        if fault.matches(code, message):
            said = message.strip().rstrip(".")
            return fault.error(f"Cannot {attempted()}: {said}. {fault.advice}", code=code, server_message=message)
    return None
