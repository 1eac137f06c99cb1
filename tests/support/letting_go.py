"""Letting go of the servers that the library started, whether they have ended, and what they have left."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from waiting import eventually

from flytekitplugins.dolt.server import binary, local_server


def let_go(repository: Path) -> None:
    """Let go of the server of a repository and wait until it has ended, so that others can open the repository."""
    assert is_left(repository)


def is_left(repository: Path) -> bool:
    """Let go of the server of a repository, and say whether it has ended."""
    local_server.release(repository.resolve())
    notice = repository / ".dolt" / "sql-server.info"
    return eventually(lambda: not notice.exists() and not is_locked(repository / ".dolt"), within_s=60)


def is_sound(repository: Path) -> bool:
    """Let go of the server of a repository, and say whether `dolt fsck` finds all that is stored as it has to be."""
    let_go(repository)
    return "No problems found" in binary.run(["fsck", "--quiet"], cwd=repository)


def is_locked(path: Path) -> bool:
    """Whether another process holds a lock on a file or folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False
