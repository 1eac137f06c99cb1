"""That a server is the one of this very folder: noted at its start, asked of the kernel, and never of the server.

A folder is copied with all that is in it, and renamed while its server runs; a port is somebody else's tomorrow. So
what a repository's own files say is only where to look. What counts is which folder and which lock file, by device and
inode, a private server was started for, which is noted in its private folder; that this lock is held; and, where the
kernel tells (Linux), that the process holds that very file. Nothing here speaks SQL.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from . import files

FOLDER_PREFIX = f"flyte-dolt-{os.getuid()}-"
"""How the private folder of a server is called."""

SERVED = "served"
"""The folder in that one which the server finds its repository in."""

_NOTE = "served.json"
_LOCK = Path(".dolt") / "noms" / "LOCK"
_PROC = Path("/proc")
_ASK_PS_TIMEOUT_S = 5.0

Inode: TypeAlias = tuple[int, int]
Identity: TypeAlias = tuple[Inode, Inode | None]
"""Device and inode of a repository's `.dolt` and of its store's lock file, which may not be there yet."""


@dataclass(frozen=True)
class Note:
    """What was noted when a private server was started."""

    folder: Path
    """The server's private folder, where this is noted."""
    repository: Path
    """The path that it was started for, which may lead elsewhere by now."""
    identity: Identity
    """What was there then."""

    @property
    def still_leads_there(self) -> bool:
        """Whether the server finds by that path what it was started for; what it opens anew, it opens by the path."""
        return identity(self.repository) == self.identity


def identity(repository: Path) -> Identity | None:
    """Return what tells this repository from each other one of this machine, or None where none is."""
    found = _inode(f"{repository}/.dolt")  # texts: this is asked before each use of a server
    return None if found is None else (found, _inode(f"{repository}/{_LOCK}"))


def is_at(repository: Path, fd: int) -> bool:
    """Whether an opened folder is the repository's `.dolt` still."""
    found = os.fstat(fd)
    return (found.st_dev, found.st_ino) == _inode(repository / ".dolt")


def _inode(path: Path | str) -> Inode | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


def note(folder: Path, repository: Path) -> None:
    """Note in its private folder for which repository a server is about to be started.

    Raises:
        OSError: the private folder cannot be written to.
    """
    with suppress(OSError):  # it is there, or Dolt will say why it cannot be made: else Dolt makes it after this
        os.close(os.open(repository / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    found = {"repository": os.fsdecode(repository), "identity": identity(repository)}
    (folder / _NOTE).write_text(json.dumps(found), "utf-8")


def noted(pid: int) -> Note | None:
    """Return what was noted for the private server that process ``pid`` is; None if it is none of this user's.

    The command line of the process only says where to look: a folder of this user's alone, which its supervisor holds.
    """
    folder = _private_folder_of(pid)
    return None if folder is None else _read(folder)


def _read(folder: Path) -> Note | None:
    try:
        found = folder.lstat()
        if not folder.name.startswith(FOLDER_PREFIX) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return None
        if not _is_locked(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW), fcntl.LOCK_EX):
            return None  # a killed supervisor's, which anybody may sweep
        told = json.loads(files.read_small(folder / _NOTE))
        dolt, lock = told["identity"]
        return Note(folder, Path(told["repository"]), (tuple(dolt), None if lock is None else tuple(lock)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def serves(folder: Path, pid: int, repository: Path) -> bool:
    """Whether process ``pid``, whose private folder is ``folder``, is the server of this very ``repository`` now."""
    found = _read(folder)
    if found is None or found.identity != identity(repository) or not found.still_leads_there:
        return False
    works_in = _inode(_PROC / str(pid) / "cwd")
    if works_in is not None and works_in != _inode(found.repository):
        return False
    return is_open(repository) and holds(pid, repository) is not False


def is_in_the_way(pid: int, repository: Path) -> bool:
    """Whether process ``pid`` is a private server that has this ``repository`` open, and may not be asked for it.

    The repository's folder was renamed while it ran, or its store was exchanged, or somebody removed the server's
    private folder. Its supervisor ends it with its last user.
    """
    found, here = noted(pid), identity(repository)
    if found is None:
        return lacks_its_folder(pid) and is_open(repository) and holds(pid, repository) is not False
    return here is not None and found.identity[0] == here[0] and not serves(found.folder, pid, repository)


def lacks_its_folder(pid: int) -> bool:
    """Whether process ``pid`` is a private server whose folder was removed, without which it finds nothing."""
    folder = _private_folder_of(pid)
    return folder is not None and folder.name.startswith(FOLDER_PREFIX) and not (folder / SERVED).is_dir()


def is_open(repository: Path) -> bool:
    """Whether a Dolt process has the repository open; while none has, a notice says nothing."""
    try:
        return _is_locked(files.open_regular(repository / _LOCK, os.O_RDWR), fcntl.LOCK_SH)
    except OSError:
        return False


def _is_locked(fd: int, kind: int) -> bool:
    """Whether somebody's lock on what was opened keeps us from one of this kind; it is closed."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def holds(pid: int, repository: Path) -> bool | None:
    """Whether process ``pid`` has the repository's lock file open; None where the kernel does not tell.

    Open and, as `is_open` says, locked: Dolt ends, or closes it, where it does not get the lock.
    """
    lock = _inode(repository / _LOCK)
    try:
        opened = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        is_told = _inode(_PROC / "self" / "fd") is not None and _inode(_PROC / str(pid)) is None
        return False if is_told else None
    return lock is not None and any(_inode(fd) == lock for fd in opened)


def _private_folder_of(pid: int) -> Path | None:
    """Return the folder of the configuration that a process was started with."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return _folder_told_by_ps(pid)
    for option, value in pairwise(words):
        if option == b"--config":
            return Path(os.fsdecode(value)).parent
    return None


def _folder_told_by_ps(pid: int) -> Path | None:
    try:
        argv = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
        said = subprocess.run(argv, capture_output=True, timeout=_ASK_PS_TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r" --config (.+)/config\.yaml --skip-root-user-initialization\s*\Z", os.fsdecode(said), re.DOTALL)
    return None if found is None else Path(found[1])
