"""The `dolt` program as its user runs it, on a machine that is busy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from letting_go import is_locked

from flytekitplugins.dolt.server import binary

TRIES = 5
"""How often a program is started that was not given the processor for 100 ms while it took its lock.

That long Dolt waits for a lock, which nobody else needs to have: the time is over all the same.
"""

_NO_LOCK = ("database is read only", "timed out reading database manifest")
"""What it says then, before it has changed anything: of a repository, and of a remote in a folder."""


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, and once more where it had no lock."""
    for _ in range(TRIES):
        done = subprocess.run([str(binary.find()), *args], cwd=cwd, capture_output=True, text=True, timeout=60)
        if not any(words in done.stderr for words in _NO_LOCK):
            break
    return done


@contextmanager
def holding(repository: Path) -> Iterator[subprocess.Popen[str]]:
    """Have the repository held by a ``dolt sql`` that waits for more statements."""
    with ExitStack() as stack:
        for _ in range(TRIES):
            holder = stack.enter_context(_asked(repository))
            if is_locked(repository / ".dolt" / "noms" / "LOCK"):
                break
            holder.kill()
        assert is_locked(repository / ".dolt" / "noms" / "LOCK")
        yield holder


@contextmanager
def _asked(repository: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a ``dolt sql`` that has answered, so that it has its lock if it gets one."""
    with subprocess.Popen(
        [str(binary.find()), "sql"],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("select 1;\n")
            process.stdin.flush()
            assert process.stdout.readline(), "it ended"
            yield process
        finally:
            process.kill()
