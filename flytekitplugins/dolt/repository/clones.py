"""The clones of remotes on this machine: where they are, made, opened, locked, and removed when nobody uses them.

There is one for each remote, login and kind: whole, or shallow with nothing but a branch's head. They are this
package's own, in a folder that only this user can look into. What is fetched into them is up to `remotes`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...doltdb.redaction import Environment, Password
from ..errors import (
    AccessDenied,
    BranchNotFound,
    CommandFailed,
    QueryFailed,
    RepositoryBusy,
    RepositoryDamaged,
    RepositoryNotFound,
    RepositoryReadOnly,
    ServerFailed,
    attempted,
    attempting,
    from_server,
)
from ..model import runtime, trust
from ..model.configs import Remote
from ..model.location import without_password
from ..server import binary, local_server
from .connections import connect

CLONE_TIMEOUT_S = 3600.0
"""Seconds that a clone may take."""

UNUSED_S = 24 * 3600.0
"""Seconds after which a clone that nobody used is removed, when the next one is made."""

_ENDING_S = 5.0
"""Seconds in which the server of a clone that we let go of is gone."""

_OURS = re.compile("[0-9a-f]{24}")
_NOT_FOR_DATABASES = ("information_schema", "mysql")
_SILENT = {"metrics.disabled": "true", "versioncheck.disabled": "true"}
_WHOLE = "whole"


@dataclass(frozen=True)
class CloneSource:
    """A remote, and the name of the database that its clones are."""

    remote: Remote
    name: str

    @classmethod
    def of(cls, remote: Remote, db_path: str | os.PathLike[str]) -> CloneSource:
        """Return the origin for a config's ``remote_conf`` and ``db_path``, whose last part is the name."""
        name = re.sub(r"[^\w.-]", "_", Path(db_path).name).strip(".")
        return cls(remote, f"{name}_" if name in _NOT_FOR_DATABASES else name or "repository")

    def __str__(self) -> str:
        return without_password(self.remote.url)


def whole(origin: CloneSource) -> Path:
    """Return the clone that has the histories of branches, ready for use; it is made if it is missing or damaged.

    Raises:
        BranchNotFound: the remote has not the branch that its ``remote_conf`` names.
        RepositoryNotFound, AccessDenied, ConnectionLost, UntrustedServer: the remote cannot be used.
        RepositoryReadOnly: others may write where the clone would be.
        RepositoryBusy: another process holds what is left of a damaged clone, or is making this one for too long.
    """
    return _cloned(origin, _WHOLE, origin.remote.branch, [])


def has_whole(origin: CloneSource) -> bool:
    """Whether there is a whole clone already."""
    return binary.is_repository(_folder(origin, _WHOLE))


def is_whole(origin: CloneSource, clone: Path) -> bool:
    """Whether ``clone`` is the whole one."""
    return clone == _folder(origin, _WHOLE)


def shallow(origin: CloneSource, branch: str | None) -> Path:
    """Return a clone of nothing but the head of ``branch`` (None: the default one), and what was fetched since.

    Raises:
        DoltError: as for `whole`.
    """
    return _cloned(origin, _shallow_kind(branch), branch, ["--depth", "1"])


def has_shallow(origin: CloneSource, branch: str | None) -> bool:
    """Whether there is such a shallow clone already."""
    return binary.is_repository(_folder(origin, _shallow_kind(branch)))


def remove(origin: CloneSource, clone: Path) -> None:
    """Remove a clone, so that the next use makes it again.

    Raises:
        RepositoryBusy: another process has it open.
    """
    with _clone_lock(origin, clone):
        _discard(origin, clone)


def login(origin: CloneSource) -> list[str]:
    """Return how Dolt's commands and procedures are told who logs in."""
    return ["--user", origin.remote.user] if origin.remote.user else []


def _shallow_kind(branch: str | None) -> str:
    return f"shallow {branch or ''}"


def _cloned(origin: CloneSource, kind: str, branch: str | None, options: list[str]) -> Path:
    """Return the clone of this kind, ready for use; one that is missing or damaged is made."""
    folder = _folder(origin, kind)
    _make_private(origin, folder.parent)
    if binary.is_repository(folder):
        _prepare(origin, folder)
        if _opens(folder):
            return folder
    with _clone_lock(origin, folder):
        if not binary.is_repository(folder) or not _opens(folder):
            _sweep(folder.parent.parent)
            _discard(origin, folder)
            for unfinished in folder.parent.glob(".new-*"):  # nobody clones while we hold the lock
                shutil.rmtree(unfinished, ignore_errors=True)
            _clone(origin, folder, branch, options)
    _prepare(origin, folder)
    return folder


def _opens(clone: Path) -> bool:
    """Whether Dolt can open the clone. Its files may have been removed, as cleaners of temporary folders do."""
    try:
        with connect(clone):
            return True
    except (ServerFailed, RepositoryDamaged, QueryFailed):
        return False


def _discard(origin: CloneSource, clone: Path) -> None:
    """Remove what is left of a damaged clone; all that was in it is on the remote, or was never there."""
    local_server.release(clone)
    deadline = time.monotonic() + _ENDING_S
    while clone.exists() and not _remove_unused(clone, clone):
        if time.monotonic() > deadline:
            raise RepositoryBusy(
                f"Cannot clone {str(origin)!r} again: the clone {str(clone)!r} is out of date or damaged, and another "
                "process has it open. Wait for that process, or end it.",
                path=clone,
                waited_s=_ENDING_S,
            )
        time.sleep(0.01)


def _clone(origin: CloneSource, folder: Path, branch: str | None, options: list[str]) -> None:
    _refuse_missing_folder(origin)
    if branch is not None:
        options = [*options, "--branch", branch]
    with attempting(f"clone {str(origin)!r}"):
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as new:
            argv = ["clone", *options, "--single-branch", *login(origin), "--", origin.remote.url, folder.name]
            try:
                binary.make(argv, folder=Path(new), timeout_s=CLONE_TIMEOUT_S, env=_environment(origin, folder))
            except CommandFailed as error:
                said = " ".join(str(getattr(error, "stderr", "")).split())
                if branch is not None and re.search(r"branch not found|unknown branch|invalid ref spec", said):
                    raise BranchNotFound(
                        f"Cannot {attempted()}: it has no branch {branch!r} ({said}). Check the branch.",
                        branch=branch,
                        close=[],
                    ) from error
                raise from_server(1105, said or error.args[0]) from error
            (Path(new) / folder.name).rename(folder)


def _refuse_missing_folder(origin: CloneSource) -> None:
    """Say that the folder of a ``file://`` remote has none; Dolt would make folders when it looks for one."""
    if not origin.remote.url.lower().startswith("file://"):
        return
    folder = Path(unquote(urlsplit(origin.remote.url).path))
    found = None
    if folder.is_absolute() and not folder.exists():
        found = "there is no such folder. Check the URL, or push a repository there with `dolt push`"
    elif folder.is_dir() and not os.path.lexists(folder / "manifest"):
        found = "that folder contains no Dolt data. Check the URL, or push a repository there with `dolt push`"
        if binary.is_repository(folder):
            found = "it is a repository to work in, and no remote. Give the folder as db_path, without remote_conf"
    if found is not None:
        raise RepositoryNotFound(f"Cannot clone {str(origin)!r}: {found}.", path=folder)
    _refuse_strange_files(origin, folder)


def _refuse_strange_files(origin: CloneSource, folder: Path) -> None:
    strange = next(
        (file for file in folder.glob("*") if not file.is_file() and not file.is_dir() and file.exists()), None
    )
    if strange is not None:
        raise RepositoryDamaged(
            f"Cannot clone {str(origin)!r}: {strange.name!r} in it is neither a file nor a folder, and Dolt would wait "
            "at it. Find out who put it there.",
            path=folder,
        )


def _prepare(origin: CloneSource, folder: Path) -> None:
    """Note that the clone is in use, and let its server find the credentials."""
    with suppress(OSError):
        os.utime(folder.parent / ".lock")
    local_server.prepare(folder, _environment(origin, folder))


def _environment(origin: CloneSource, folder: Path) -> Environment:
    """Return what Dolt needs to log in: the user's home and Dolt's credentials there, and the password if there is one.

    Dolt's own settings are a copy, so that nothing is counted, sent, or written to the user's home.
    """
    root = folder.parent / ".root"
    home = Path(os.environ.get("DOLT_ROOT_PATH") or os.path.expanduser("~")) / ".dolt"
    settings = {}
    with suppress(OSError, ValueError):
        settings = json.loads((home / "config_global.json").read_text("utf-8"))
    (root / ".dolt").mkdir(parents=True, exist_ok=True)
    _put(root / ".dolt" / "config_global.json", json.dumps({**settings, **_SILENT}))
    _link(root / ".dolt" / "creds", home / "creds")
    found = {"HOME": os.path.expanduser("~"), "DOLT_ROOT_PATH": str(root), "DOLT_DISABLE_EVENT_FLUSH": "1"}
    if not origin.remote.user:
        return Environment(found)
    password = _password(origin.remote)
    if password is None:
        return Environment(found)
    if ":" in password:
        raise AccessDenied(
            f"Cannot log in at {str(origin)!r}: the password has a ':' in it, at which Dolt cuts it off. Give "
            "that user another password."
        )
    return Environment(found, DOLT_REMOTE_PASSWORD=password)


def _password(remote: Remote) -> Password | None:
    targets = trust.remote(remote.url)
    found: Password | None = None
    if remote.secret is not None:
        found = runtime.current().secret(remote.secret, targets)
    elif "DOLT_REMOTE_PASSWORD" in os.environ:
        trust.check_login(None, targets, requested=runtime.current().requested_secrets)
        found = Password(os.environ["DOLT_REMOTE_PASSWORD"])
    trust.check_protected(targets)
    return found


def _put(file: Path, text: str) -> None:
    """Make the file's content ``text``; a process that reads it meanwhile finds the old or the new, never a part."""
    with suppress(OSError):
        if file.read_text("utf-8") == text:
            return
    new = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
    new.write_text(text, "utf-8")
    new.replace(file)


def _link(link: Path, target: Path) -> None:
    """Make ``link`` lead to the folder ``target`` if there is one; the home may be another than last time."""
    with suppress(FileExistsError):  # another process was faster
        if link.is_symlink() and link.readlink() != target:
            link.unlink(missing_ok=True)
        if target.is_dir() and not link.is_symlink():
            link.symlink_to(target)


def _folder(origin: CloneSource, kind: str) -> Path:
    """Return where the clone of this kind is; it is for one login, so that nobody works with that of another."""
    root = Path(os.environ.get("FLYTE_DOLT_CLONES") or Path(tempfile.gettempdir()) / f"flyte-dolt-clones-{os.getuid()}")
    remote = origin.remote
    key = f"{remote.url}\n{remote.user}\n{remote.secret}\n{remote.branch}\n{origin.name}\n{kind}"
    return root.resolve() / hashlib.sha256(key.encode()).hexdigest()[:24] / origin.name


def _make_private(origin: CloneSource, folder: Path) -> None:
    """Make the folder of a clone, and refuse it where somebody else could have put something there."""
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = part.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise RepositoryReadOnly(
                f"Cannot clone {str(origin)!r} into {str(part)!r}: others may write to that folder. Remove it, or set "
                "FLYTE_DOLT_CLONES to a folder that is this user's own.",
                path=part,
            )


def _sweep(root: Path) -> None:
    """Remove clones that nobody has used for long; what else is in the folder stays."""
    for folder in root.iterdir():
        with suppress(OSError):
            if _OURS.fullmatch(folder.name) and time.time() - (folder / ".lock").stat().st_mtime > UNUSED_S:
                clones = [dolt.parent for dolt in folder.glob("[!.]*/.dolt")]
                _remove_unused(clones[0] if clones else folder, folder)


def _remove_unused(clone: Path, folder: Path) -> bool:
    """Remove ``folder`` unless ``clone`` in it is in use, which `local_server` shows by a lock on its ``.dolt``."""
    with ExitStack() as stack:
        with suppress(FileNotFoundError):
            held = os.open(clone / ".dolt", os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, held)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        with tempfile.TemporaryDirectory(prefix=".old-", dir=folder.parent, ignore_cleanup_errors=True) as old:
            folder.rename(Path(old) / folder.name)  # at once: a server that is about to end may still write there
    return True


@contextmanager
def _clone_lock(origin: CloneSource, clone: Path) -> Iterator[None]:
    """Let one process of this machine at a time make or remove a clone."""
    with attempting(f"clone {str(origin)!r}"), _locked(clone.parent / ".lock", CLONE_TIMEOUT_S):
        yield


@contextmanager
def branch_lock(clone: Path, branch: str, timeout_s: float) -> Iterator[None]:
    """Let one writer of this machine at a time bring ``branch`` of the clone to the remote."""
    name = hashlib.sha256(branch.encode()).hexdigest()[:24]
    with ExitStack() as stack:
        with attempting(f"write to branch {branch!r} of the clone {str(clone)!r}"):
            stack.enter_context(_locked(clone.parent / f".branch-{name}", timeout_s))
        yield


@contextmanager
def _locked(file: Path, timeout_s: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    while (fd := _try_lock(file)) is None:
        if time.monotonic() > deadline:
            raise RepositoryBusy(
                f"Cannot {attempted()}: another process of this machine has been at it for {timeout_s:g} s. Wait "
                "for it, or give the task a NewBranch(...) of its own.",
                path=file.parent,
                waited_s=timeout_s,
            )
        time.sleep(0.01)
    try:
        yield
    finally:
        os.close(fd)


def _try_lock(file: Path) -> int | None:
    """Return the open and locked file, or None where another has it; a file that was removed meanwhile locks nobody."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == file.stat().st_ino:
            os.utime(fd)  # whose clone is being made is in use
            return fd
    os.close(fd)
    return None
