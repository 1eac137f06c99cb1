"""What is attempted, said once by the code that knows it: the X of errors like "Cannot X: found Y", raised below.

It is a context variable, so it passes through functions without a parameter, and each thread has its own. Do not put a
block around a `yield` whose caller goes on with something else: errors of the caller would name the block's attempt.
"""

from __future__ import annotations

from contextvars import ContextVar

_attempted: ContextVar[str] = ContextVar("attempted", default="use the repository")


class attempting:  # noqa: N801  # used as a statement, as contextlib's are
    """Say what is attempted while a block runs: it completes the sentence "Cannot ..." of an error raised in it.

    The innermost one counts, and each thread has its own.

    >>> with attempting("read table 't'"):
    ...     print(f"Cannot {attempted()}: it is not there.")
    Cannot read table 't': it is not there.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._before = _attempted.get()
        _attempted.set(self._what)

    def __exit__(self, *_: object) -> None:
        _attempted.set(self._before)


def attempted() -> str:
    """Return what is attempted now, as `attempting` said."""
    return _attempted.get()
