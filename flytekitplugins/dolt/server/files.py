"""Small files that others may have put into a repository: opened so that nothing hangs, and read within a bound.

A repository comes from wherever its user got it, so what stands where Dolt keeps a file may be a FIFO, a device or a
link to something else. Only regular files are opened here, and the last part of a path is never followed as a link;
the folders above it may be links, as `.dolt` on another disk is. `supervisor`, which stands alone, has its own lines.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 1 << 20
"""The most that is read of one file; Dolt's own ones that are read here have some hundred bytes."""

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def strange_kind(file: Path) -> str | None:
    """Return in words what ``file`` is if it is there and is no regular file, else None.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        mode = os.lstat(file).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def open_regular(file: Path, flags: int = os.O_RDONLY) -> int:
    """Open an existing regular file without waiting for anybody, and return its descriptor.

    Raises:
        OSError: it is no regular file, is not there, or may not be opened.
    """
    kind = strange_kind(file)  # before opening, which already does something to some devices
    if kind is not None:
        raise OSError(errno.EINVAL, f"it is {kind}", str(file))
    fd = os.open(file, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):  # it was exchanged in between
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return fd


def read_small(file: Path) -> str:
    """Return the text of a regular file of at most `MAX_BYTES` bytes.

    Raises:
        OSError: it is no regular file, is larger, is not there, or may not be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open(open_regular(file), "rb") as source:  # a descriptor, no path
        content = source.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES} bytes", str(file))
    return content.decode("utf-8")
