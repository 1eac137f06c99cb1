"""Waiting for what happens in another process, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(is_so: Callable[[], bool], *, within_s: float) -> bool:
    """Whether ``is_so`` becomes true before the deadline."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
