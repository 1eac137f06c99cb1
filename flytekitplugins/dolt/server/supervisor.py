"""The small process that owns one local ``dolt sql-server`` and ends it with its last user.

It is run as a script (``python -I supervisor.py DOLT REPOSITORY FOLDER``) and imported by nobody, so it uses the
standard library only. Every process that uses the server holds a shared lock on the repository's ``.dolt`` folder; the
supervisor waits for the exclusive one. It gets it when the last user has let go or died, however it died, and then
stops the server, removes the private folder and exits. Nothing is polled and no signal from a parent is needed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

STOP_TIMEOUT_S = 10.0
"""How long the server may take to stop by itself before it is killed."""

LOG_KEPT_S = 10.0
"""How long the log of a server that died by itself stays readable while it still has users."""

SWEEP_TIMEOUT_S = 5.0
"""How long removing what killed writers left may take."""

_PR_SET_PDEATHSIG = 1


_NEEDS_A_WRITER = (
    "SELECT CONCAT('need', 'ed') FROM dolt_branches b JOIN dolt_branches s ON s.hash = b.hash"
    " WHERE s.name = '{0}' AND b.name <> s.name AND b.dirty"
)


class _Stop(Exception):
    """Raised by a signal handler to leave the wait for the lock."""


class _Server:
    """The one child of this process."""

    def __init__(self, dolt: str, repository: Path, folder: Path, opened: int) -> None:
        self.returncode: int | None = None
        self._repository, self._folder = repository, folder
        self._opened = opened
        """The repository's `.dolt`, wherever it is called now."""
        self.pid = os.fork()
        if self.pid == 0:
            _become_server(dolt, repository, folder)

    def poll(self) -> int | None:
        """Return the exit code, or None while the server runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def stop(self) -> None:
        """Ask the server to stop, insist after a while, and remove the notice that a killed server leaves."""
        if self.poll() is None:
            if not _is_at(self._repository, self._opened):  # or the server would remove the notice of another's
                for link in self._folder.glob("served/*/.dolt"):
                    link.unlink()
            deadline, ask_at = time.monotonic() + STOP_TIMEOUT_S, 0.0
            while self.poll() is None:
                now = time.monotonic()
                if now >= ask_at:  # more than once, because Dolt loses a SIGTERM that comes while it starts
                    os.kill(self.pid, signal.SIGTERM if now < deadline else signal.SIGKILL)
                    ask_at = now + 0.1
                time.sleep(0.002)
        with suppress(OSError):
            if _begins_with("sql-server.info", f"{self.pid}:".encode(), self._opened):
                os.unlink("sql-server.info", dir_fd=self._opened)


def _is_at(repository: Path, opened: int) -> bool:
    """Whether an opened folder is the repository's `.dolt` still, and was neither renamed nor exchanged."""
    try:
        return os.path.samestat((repository / ".dolt").stat(), os.fstat(opened))
    except OSError:
        return False


def _begins_with(file: str, words: bytes, folder: int) -> bool:
    """Whether a file begins so; anything but a regular file does not, and is not waited for, as a FIFO would be."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and os.read(fd, len(words)) == words
    finally:
        os.close(fd)


def _become_server(dolt: str, repository: Path, folder: Path) -> NoReturn:
    try:
        if sys.platform == "linux":  # elsewhere a killed supervisor leaves its server to the next user
            # Survives exec; a supervisor killed in between has changed our parent, which is looked at afterwards.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == 1:
                os._exit(1)
        log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(repository)
        argv = [dolt, "sql-server", "--config", str(folder / "config.yaml"), "--skip-root-user-initialization"]
        os.execv(dolt, argv)  # noqa: S606  # no shell is wanted
    except BaseException as error:  # noqa: BLE001  # whatever it is, this copy of the process must end here
        os.write(2, f"cannot run {dolt}: {error}\n".encode())
    os._exit(127)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Stop


def main(dolt: str, repository: Path, folder: Path) -> None:
    """Detach from the caller, run the server, and end it when nobody uses it."""
    if os.fork():
        os._exit(0)  # the caller reaps this one at once and has no child to care for
    users = os.open(repository / ".dolt", os.O_RDONLY | os.O_DIRECTORY)
    alive = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(alive, fcntl.LOCK_SH)  # says to later starts that this folder is in use
    signal.signal(signal.SIGTERM, _stop)
    server = _Server(dolt, repository, folder, users)

    def notice_death(_signal: int, _frame: FrameType | None) -> None:
        if server.poll() is not None:
            raise _Stop

    try:
        signal.signal(signal.SIGCHLD, notice_death)
        notice_death(0, None)  # it may have died before the handler was there
        fcntl.flock(users, fcntl.LOCK_EX)
    except _Stop:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if server.poll() is not None:
        _keep_log(users, folder)
    if _is_at(repository, users):
        _remove_scratch_branches(dolt, repository, folder)
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _remove_scratch_branches(dolt: str, repository: Path, folder: Path) -> None:
    """Remove the branches of writers that were killed: each writer marks its own in the folder while it works.

    The command line goes through the server as long as that runs. What it cannot remove, a later writer does; that is
    also left the branch of a commit whose publishing may have been cut in half, which takes more to fix.
    """
    marks = sorted((folder / "data").glob("scratch-*"))
    if not marks:
        return
    # Only now: a server's start would wait for these.
    from subprocess import DEVNULL, SubprocessError, run
    from urllib.parse import unquote

    deadline = time.monotonic() + SWEEP_TIMEOUT_S
    for mark in marks:
        name, left_s = unquote(mark.name.removeprefix("scratch-")), deadline - time.monotonic()
        if not name.startswith("flyte-tmp/") or not name.isascii() or left_s <= 0:
            continue
        if not all(letter.isalnum() or letter in "_-/" for letter in name):
            continue  # not made here, and it goes into a statement
        with suppress(OSError, SubprocessError):
            asked = run(  # noqa: S603  # the name is checked, no shell is used
                [dolt, "sql", "-r", "csv", "-q", _NEEDS_A_WRITER.format(name)],
                cwd=repository,
                stdin=DEVNULL,
                capture_output=True,
                timeout=left_s,
                check=False,
            )
            if asked.returncode == 0 and b"needed" not in asked.stdout:
                argv = [dolt, "branch", "-D", name]
                run(argv, cwd=repository, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, timeout=left_s, check=False)  # noqa: S603


def _keep_log(users: int, folder: Path) -> None:
    """Tell the starting process, and leave the log to be read until nobody can want it or its reader removed it."""
    with suppress(OSError):
        os.write(1, b"exited\n")
    deadline = time.monotonic() + LOG_KEPT_S
    while time.monotonic() < deadline and folder.exists():
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
