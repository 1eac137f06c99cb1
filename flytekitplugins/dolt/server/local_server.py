"""The life of a local ``dolt sql-server``: attach to the one that runs, or start a private one, and let go in time.

A repository folder can be opened by one Dolt process only, so all processes of this package on a machine share one
server for it. Each holds a shared lock on the ``.dolt`` folder while it uses the server (no file is made for that); the
private server's supervisor ends it when nobody does. A process lets go at its exit, and after `IDLE_S` seconds without
use, so that the user's own ``dolt checkout`` works in the next terminal. A server that somebody else runs in that
folder is used and left alone. Nothing here speaks SQL; `repository.connections` does.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...doltdb.hiding import hide
from ...doltdb.redaction import Environment, Password
from ..errors import DiskFull, DoltError, RepositoryBusy, RepositoryDamaged, RepositoryReadOnly, ServerFailed
from . import binary, files, proofs

IDLE_S = float(os.environ.get("FLYTE_DOLT_IDLE_S", "5"))
"""Seconds without use after which this process lets go of a server."""

ONE_START_S = 5.0
"""Seconds that one start may take at least, whatever the deadline, so that the server can say why it does not serve."""

START_TIMEOUT_S = 30.0
"""Seconds a start may take in all, waiting for another process to let go of the repository included."""

_LOCKED = "locked by another dolt process"  # Dolt says so of each repository that it could not load, whatever the cause
_NOT_LOADED = re.compile(rf"failed to load database .*?with error: (?![^|]*{_LOCKED})")
_PORT_TAKEN = "already in use"
_OLD_FORMATS = ("__LD_1__", "7.18")
_NOT_FOR_SERVERS = ("DOLT_", "_FSEC_")
"""How variables begin that no server inherits: Dolt's settings, and the secrets that Flyte gives to a task."""
_SUPERVISOR = Path(__file__).with_name("supervisor.py")

_NOT_IN_YAML = re.compile("[$\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML does not take as it is, and the sign behind which Dolt looks for the name of a variable."""
_MOST_LOGGED = 2**20
_PANIC = re.compile(r"caught panic:\s*(?:\\n|\n)?(.+?)(?:\\n|\n|\"\s*$)", re.MULTILINE)
"""What vitess logs, in one line with its breaks written out, before it drops the connection."""
_END_BY_PANIC = re.compile(r"^panic: (.+)$", re.MULTILINE)
"""What Go prints before the process ends."""
_NO_SPACE = "no space left"
_DOLT_FILES = (".dolt/config.json", ".dolt/repo_state.json", ".dolt/noms/manifest", ".dolt/noms/LOCK")
"""What Dolt opens in a repository while it starts, and would wait at forever if it were a FIFO."""

# Dolt counts nothing and sends nothing home. What a repository's own `config.json` has under "sqlserver.global" would
# be set in the server: where to copy each commit to, from where to pull, how SQL is read. Settings here come after the
# repository's, and one that makes no sense has Dolt set none of them, the repository's included; `config.yaml` sets
# that variable all the same. The others are for a Dolt that should pass over the senseless one.
_SETTINGS = {
    "metrics.disabled": "true",
    "versioncheck.disabled": "true",
    "sqlserver.global.max_connections": "none of the repository's settings",
    "sqlserver.global.dolt_replicate_to_remote": "",
    "sqlserver.global.dolt_read_replica_remote": "",
    "sqlserver.global.dolt_replication_remote_url_template": "",
    "sqlserver.global.dolt_override_schema": "",
}
_SAID_OF_SETTINGS = ("failed to load persisted global variables", "unable to persist system variable defaults")
"""What Dolt logs about that, and is of no use to who looks for a failure."""

_NOTICE = re.compile(r"([0-9]{1,10}):([0-9]{1,5}):(\S{1,200})\s*")


@dataclass(frozen=True)
class Address:
    """Where a server of this machine listens and how to log in (the password is for this user's eyes only)."""

    pid: int
    port: int
    password: str
    folder: Path | None = None
    """The private folder of a server that is proved to be the one of this repository; None is one of the user's own,
    which has to be asked before it is told anything."""

    user = "__dolt_local_user__"
    host = "127.0.0.1"

    def __repr__(self) -> str:
        return f"Address({self.host}:{self.port}, pid {self.pid})"


class _Lease:
    """This process's hold on the server of one repository folder."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self.address: Address | None = None
        self.environment = Environment()
        self.on_release: list[Callable[[], None]] = []
        self._held: int | None = None
        self._alone: int | None = None
        """The thread that is alone on the server, or waits to be."""
        self._identity: proofs.Identity | None = None
        self._users: list[int] = []
        """The thread of each use."""
        self._used_at = 0.0
        self._timer: threading.Timer | None = None

    def enter(self, timeout_s: float) -> Address:
        me = threading.get_ident()
        with self.lock:
            self._changed.wait_for(lambda: self._alone in (None, me))
            if self.address is not None and not self._is_current(self.address):
                self.release()
            if self.address is None:
                self._attach(timeout_s)
            assert self.address is not None  # noqa: S101  # for the type checker: _attach raises otherwise
            self._users.append(me)
            return self.address

    def _is_current(self, address: Address) -> bool:
        """Whether the same folder, with the same store, is there still, and the server has what it finds it by."""
        if self._identity != proofs.identity(self.repository):
            return False
        if address.folder is not None and not os.path.isdir(f"{address.folder}/{proofs.SERVED}"):  # noqa: PTH112
            return False
        return self._alone is not None or bool(self._users) or not _is_shut(self.repository)

    def leave(self, thread: int) -> None:
        with self.lock:
            self._users.remove(thread)
            self._changed.notify_all()
            self._used_at = time.monotonic()
            if self._timer is None and self.address is not None:
                self._wait_until_idle(IDLE_S)

    def _wait_until_idle(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._release_if_idle)
        self._timer.daemon = True
        self._timer.start()

    def _release_if_idle(self) -> None:
        with self.lock:
            self._timer = None
            if self.address is None:
                return
            remaining = IDLE_S if self._users else self._used_at + IDLE_S - time.monotonic()
            if remaining > 0:
                self._wait_until_idle(remaining)
            else:
                self.release()

    def release(self) -> None:
        """Close what is open and let go of the lock; the supervisor does the rest."""
        with self.lock:
            for close in self.on_release:
                close()
            self.on_release.clear()
            if self._held is not None:
                os.close(self._held)
            self._held = self._identity = self.address = None

    def _attach(self, timeout_s: float) -> None:
        began = time.monotonic()
        while not self._is_attached(began + timeout_s):
            self.release()  # a server whose folder is elsewhere now ends when nobody holds that, ourselves included
            _let_go_of_the_same(self)
            if time.monotonic() >= began + timeout_s:
                raise _moved(self.repository, time.monotonic() - began)
            time.sleep(0.02)

    def _is_attached(self, deadline: float) -> bool:
        """Find the repository's server or start one; false while one that serves it by another path is in the way."""
        if self._look(fcntl.LOCK_SH, deadline):
            return True
        if self.address is not None or _is_in_the_way(self.repository):
            return False
        self.release()
        return self._look(fcntl.LOCK_EX, deadline)

    def _look(self, kind: int, deadline: float) -> bool:
        """Take the locks of who starts (EX) or only looks for (SH) a server, in their order, and do that."""
        gate = (
            None
            if self._alone is not None
            else _lock(self.repository / ".dolt" / "noms", kind, deadline, self.repository)
        )
        try:
            self._held = _lock(self.repository / ".dolt", fcntl.LOCK_SH, deadline, self.repository)
            self.address = running(self.repository)  # somebody may have been faster
            if self.address is None and (kind == fcntl.LOCK_EX or self._alone is not None):
                self.address = _start(self.repository, deadline)
            self._identity = proofs.identity(self.repository)
            return self.address is not None and proofs.is_at(self.repository, self._held)
        except BaseException:
            self.release()
            raise
        finally:
            if gate is not None:
                os.close(gate)

    @contextmanager
    def alone(self, timeout_s: float) -> Iterator[None]:
        """Have nobody else use the repository inside the block, in which a server is started anew."""
        deadline, me = time.monotonic() + timeout_s, threading.get_ident()
        if self._alone == me:  # the server that was started for that has ended, too
            self.release()
            yield
            return
        with self.lock:
            self._changed.wait_for(lambda: self._alone is None)
            self._alone = me  # other threads of this process wait for it to be over, other processes at the gate
        gate = None
        try:
            with self.lock:
                if self.address is not None and _answers(self.address):  # one that others have started by now
                    self._changed.wait_for(lambda: set(self._users) <= {me}, timeout_s)
                self.release()
            gate = _lock(self.repository / ".dolt" / "noms", fcntl.LOCK_EX, deadline, self.repository)
            self._wait_until_left(deadline)
            yield
        finally:
            if gate is not None:
                os.close(gate)
            with self.lock:
                self._alone = None
                self._changed.notify_all()

    def _wait_until_left(self, deadline: float) -> None:
        """Wait until no process uses a server of the repository, and none that this package started runs."""
        while True:
            os.close(_lock(self.repository / ".dolt", fcntl.LOCK_EX, deadline, self.repository))
            found = running(self.repository)
            if found is None or found.folder is None:  # one of the user's own is nobody's to end
                return
            time.sleep(0.005)

    def let_go_if(self, identity: proofs.Identity | None) -> None:
        """Let go of a server that nobody uses, if this is the folder that it serves by another path."""
        if self.lock.acquire(blocking=False):  # who has it uses it
            try:
                is_here = self._identity is not None and identity is not None and self._identity[0] == identity[0]
                if is_here and not self._users:
                    self.release()
            finally:
                self.lock.release()


_leases: dict[Path, _Lease] = {}
_uses_lock = threading.Lock()


def _lease_of(repository: Path) -> _Lease:
    with _uses_lock:
        found = _leases.get(repository)
        if found is None:
            found = _leases[repository] = _Lease(repository)
        return found


def _let_go_of_the_same(lease: _Lease) -> None:
    identity = proofs.identity(lease.repository)
    for other in list(_leases.values()):
        if other is not lease:
            other.let_go_if(identity)


def _moved(repository: Path, waited_s: float) -> RepositoryBusy:
    return RepositoryBusy(
        f"Cannot open the repository {str(repository)!r}: the server that has it open was started for a folder that "
        f"was renamed, moved or exchanged since, or lost its own files, and is still used after {waited_s:.0f} s. Wait "
        "for the programs that used the repository before, or end them.",
        path=repository,
        waited_s=waited_s,
    )


@contextmanager
def using(repository: Path, *, timeout_s: float = START_TIMEOUT_S) -> Iterator[Address]:
    """Give the address of ``repository``'s server, starting one if none runs, and keep it alive inside the block.

    ``repository`` is the resolved folder that holds ``.dolt``. The first use in a process costs about 0.2 s, later
    ones microseconds.

    Raises:
        RepositoryBusy: a lock was not free within ``timeout_s`` seconds.
        RepositoryReadOnly: the folder cannot be opened.
        ServerFailed: the server could not be started.
        BinaryNotFound, BinaryUnsupported: there is no ``dolt`` to start.
    """
    use, thread = _lease_of(repository), threading.get_ident()
    address = use.enter(timeout_s)
    try:
        yield address
    finally:
        use.leave(thread)


def is_private(folder: Path) -> bool:
    """Whether ``folder``, from which a server loads files, is that of a server which this package started."""
    return folder.parent.name.startswith(proofs.FOLDER_PREFIX)


def log_size(folder: Path) -> int:
    """Return how much the server that loads files from ``folder`` has logged; 0 if its log is not readable here."""
    try:
        return _log_beside(folder).stat().st_size if is_private(folder) else 0
    except OSError:
        return 0


def panicked(folder: Path, *, since: int) -> str | None:
    """Return what that server has logged about a panic since its log had this size: Go's first line of it."""
    found = _PANIC.search(_logged(folder, since))
    return found[1].strip() if found is not None else None


def _logged(folder: Path, since: int) -> str:
    if not is_private(folder):
        return ""
    try:
        with _log_beside(folder).open("rb") as log:
            log.seek(since)
            return log.read(_MOST_LOGGED).decode(errors="replace")
    except OSError:
        return ""


@dataclass(frozen=True)
class Panic:
    """What a private server logged when a statement made it panic."""

    repository: Path
    said: str
    """Go's first line of it."""
    ended: bool
    """Whether it ended the server, and not only the session."""


_ended: dict[Path, Panic] = {}
"""What ended servers, by the folders they loaded files from; those are removed when nobody uses them any more."""


def panic_since(repository: Path, folder: Path, since: int) -> Panic | None:
    """Return what the server of ``repository`` that loads files from ``folder`` has logged about a panic.

    That is, since its log had this size. The log of a server that ended is there for some seconds, or until its last
    user lets go. That a full disk ended it is no panic.
    """
    said = _logged(folder, since)
    caught, ended = _PANIC.search(said), _END_BY_PANIC.search(said)
    if ended is not None and _NO_SPACE not in said:
        _ended[folder] = Panic(repository, ended[1].strip(), ended=True)
    if ended is not None or folder in _ended:
        return _ended.get(folder)
    return Panic(repository, caught[1].strip(), ended=False) if caught is not None else None


def alone(repository: Path, *, timeout_s: float = START_TIMEOUT_S) -> AbstractContextManager[None]:
    """Have this thread be the only one that uses ``repository`` inside the block, on a server that is started anew.

    Others who want to use it wait; afterwards they share that server, if it is there still.

    Raises:
        RepositoryBusy: others did not stop using it in time.
    """
    return _lease_of(repository).alone(timeout_s)


def _log_beside(folder: Path) -> Path:
    return folder.parent / "server.log"


def on_release(repository: Path, close: Callable[[], None]) -> None:
    """Call ``close`` once, just before this process lets go of the server of ``repository``."""
    _lease_of(repository).on_release.append(close)


def prepare(repository: Path, environment: Environment) -> None:
    """Give a server that is started for ``repository`` these environment variables: where credentials are, say.

    One that this process has started with others is replaced.
    """
    use = _lease_of(repository)
    if use.environment != environment:
        use.environment = environment
        replace(repository)


def passwords(repository: Path) -> tuple[str, ...]:
    """Return what the server of ``repository`` logs in with elsewhere, which it may repeat in what it says."""
    found = _lease_of(repository).environment.get("DOLT_REMOTE_PASSWORD")
    return (found,) if found else ()


def release(repository: Path) -> None:
    """Let go of the server of ``repository`` now: it is gone, or about to be needed by somebody else."""
    _lease_of(repository).release()


def replace(repository: Path) -> None:
    """Let go of the server of ``repository`` and give it a moment to end, so that the next use starts another.

    One that others use goes on: their next failure is followed by the same.
    """
    use = _lease_of(repository)
    address = use.address
    use.release()
    if address is not None:
        _await_end(repository, address.pid, time.monotonic() + 2)


def running(repository: Path) -> Address | None:
    """Return the address of the server that runs in exactly this folder, or None.

    The folder's own notice, and never that of a folder above it, says where to look; a copy of the folder has it, too.
    What is there counts if it is proved to be the server of this folder by `proofs`.
    """
    try:
        address = noticed(repository)
    except (OSError, ValueError):
        return None
    if not proofs.is_open(repository) or not _answers(address):
        return None
    found = proofs.noted(address.pid)
    if found is None:
        is_the_users = proofs.holds(address.pid, repository) is not False and not proofs.lacks_its_folder(address.pid)
        return address if is_the_users else None
    if not proofs.serves(found.folder, address.pid, repository):
        return None
    return Address(address.pid, address.port, address.password, found.folder)


def is_served_by(repository: Path, address: Address) -> bool:
    """Whether the private server that was found there is the one of this very folder still."""
    return address.folder is not None and proofs.serves(address.folder, address.pid, repository)


def _is_in_the_way(repository: Path) -> bool:
    try:
        return proofs.is_in_the_way(noticed(repository).pid, repository)
    except (OSError, ValueError):
        return False


def noticed(repository: Path) -> Address:
    """Return the address that the folder's notice gives; whether somebody listens there is not asked.

    Raises:
        OSError: there is no notice, or no file that can be read.
        ValueError: it is none of Dolt's.
    """
    found = _NOTICE.fullmatch(files.read_small(repository / ".dolt" / "sql-server.info"))
    address = Address(int(found[1]), int(found[2]), Password(found[3])) if found is not None else None
    if address is None or address.pid < 1 or not 1 <= address.port <= 65535:
        raise ValueError("it does not name a process, a port and a password")
    return address


def _answers(address: Address) -> bool:
    try:
        os.kill(address.pid, 0)
        with socket.create_connection((address.host, address.port), timeout=5) as connection:
            return bool(connection.recv(1))
    except (OSError, OverflowError):
        return False


def _start(repository: Path, deadline: float) -> Address:
    refuse_strange_files(repository)
    address = None
    while address is None:
        address = _try_start(repository, binary.find(), deadline)
    return address


def _is_shut(repository: Path) -> bool:
    """Whether somebody starts a server of the repository, or wants to be alone on one."""
    try:
        gate = os.open(f"{repository}/.dolt/noms", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(gate)
    return False


def refuse_strange_files(repository: Path) -> None:
    """Refuse a repository whose files are something else, before Dolt, which would wait at a FIFO, opens it.

    Raises:
        RepositoryDamaged: it says which one is what.
    """
    for file in _opened_by_dolt(repository):
        kind = files.strange_kind(file)
        if kind is not None:
            raise RepositoryDamaged(
                f"Cannot open the repository {str(repository)!r}: {str(file.relative_to(repository))!r} in it is "
                f"{kind}, where Dolt has a file. Find out who put it there, and restore the repository from a clone.",
                path=repository,
            )


def _opened_by_dolt(repository: Path) -> Iterator[Path]:
    """Give what has to be a file, and what cannot hold rows; the files that do may be links to files elsewhere."""
    yield from (repository / name for name in _DOLT_FILES)
    with suppress(OSError), os.scandir(repository / ".dolt" / "noms") as found:
        for entry in found:
            if not entry.is_file() and not entry.is_dir() and Path(entry.path).exists():
                yield Path(entry.path)


def _try_start(repository: Path, dolt: Path, deadline: float) -> Address | None:
    """Start a server and wait for it; None means "try again", because a port or the repository was taken."""
    _sweep()
    folder, lock = _private_folder()
    try:
        port = _free_port()
        _configure(folder, repository, port)
        with _supervise(dolt, repository, folder) as process:
            address = _await(process, repository, port, max(deadline, time.monotonic() + ONE_START_S))
            if address is not None:
                return address
        log = hide(_tail(folder / "server.log"), passwords(repository))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
    if _PORT_TAKEN in log and time.monotonic() < deadline:
        return None
    reason = _why_not(repository, dolt, log)
    if isinstance(reason, RepositoryBusy) and time.monotonic() < deadline:
        time.sleep(0.05)
        return None
    raise reason


def _why_not(repository: Path, dolt: Path, log: str) -> DoltError:
    """Return the error for what a server that did not start has said at last."""
    if "read-only file system" in log or "permission denied" in log:
        return RepositoryReadOnly(
            f"Cannot open the repository {str(repository)!r}: its folder cannot be written to, which Dolt needs even "
            "for reading. Copy it to a writable folder, or fix its permissions.",
            path=repository,
        )
    if _NO_SPACE in log:
        return DiskFull(
            f"Cannot open the repository {str(repository)!r}: no space is left there or in the temporary folder. Free "
            "some, and try again.",
            path=repository,
        )
    if "corrupted journal" in log or "data loss detected" in log:
        return RepositoryDamaged(
            f"Cannot open the repository {str(repository)!r}: Dolt says that its stored data is not whole. Stop "
            f"writing to it and run `dolt fsck` there. The end of the log: {log}",
            path=repository,
        )
    if _LOCKED in log and not _NOT_LOADED.search(log):
        return RepositoryBusy(
            f"Cannot open the repository {str(repository)!r}: another dolt process holds it, and did not let go in "
            "time. Wait for it, or stop it; a `dolt sql-server` of yours must be started in that very folder.",
            path=repository,
        )
    return _of_old_format(repository) or ServerFailed(
        f"Cannot start a dolt sql-server for {str(repository)!r} with {str(dolt)!r}. Its log ends: {log or '(empty)'}",
        path=repository,
    )


def _of_old_format(repository: Path) -> ServerFailed | None:
    """Return the error if what is stored there is of Dolt before 1.0; Dolt itself panics, and logs nothing of use."""
    try:
        stored_as = files.read_small(repository / ".dolt" / "noms" / "manifest").split(":")[1]
    except (OSError, ValueError, IndexError):
        return None
    if stored_as not in _OLD_FORMATS:
        return None
    return ServerFailed(
        f"Cannot open the repository {str(repository)!r}: it is stored in the format {stored_as} of Dolt before "
        "1.0, which Dolt no longer reads. Copy the folder, and run `dolt migrate` in the copy with an earlier "
        "release of Dolt 1 that still has this command.",
        path=repository,
    )


def _private_folder() -> tuple[Path, int]:
    """Make a folder for a server, and lock it until the server's supervisor does; who sweeps leaves it alone then."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=proofs.FOLDER_PREFIX))  # mode 0700
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if folder.exists():
            return folder, lock
        os.close(lock)  # somebody swept it in between


def _configure(folder: Path, repository: Path, port: int) -> None:
    (folder / ".dolt").mkdir()
    (folder / ".dolt" / "config_global.json").write_text(json.dumps(_SETTINGS))
    (folder / "data").mkdir(mode=0o700)
    # What is served is a folder that has nothing but the repository's `.dolt` in it. Of the repository's own folder
    # Dolt would open, and lock, every repository that lies inside it, too.
    served = folder / proofs.SERVED / repository.name
    served.mkdir(parents=True)
    (served / ".dolt").symlink_to(repository / ".dolt")
    proofs.note(folder, repository)
    text = json.dumps(_settings(folder, repository, port), ensure_ascii=False)  # JSON is YAML, whatever the paths hold
    escaped = _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    (folder / "config.yaml").write_text(escaped, "utf-8")


def _settings(folder: Path, repository: Path, port: int) -> dict[str, object]:
    return {
        "log_level": "warning",
        "behavior": {
            "autocommit": True,
            "event_scheduler": "OFF",  # else events that came with a clone would run
            "auto_gc_behavior": {"enable": False},  # collecting garbage under a writer is the user's decision
        },
        "listener": {"host": Address.host, "port": port, "max_connections": 1000},
        "data_dir": str(folder / proofs.SERVED / repository.name),
        "cfg_dir": str(folder / "cfg"),
        "privilege_file": str(folder / "privileges.db"),
        "branch_control_file": str(folder / "branch_control.db"),
        "system_variables": {
            "secure_file_priv": str(folder / "data"),  # SQL reads and writes files here only
            # Clients that prefer the socket that a server reports go there, and Dolt reports one that it does not open,
            # by default where anybody may: so it is a path at which nobody but us can. (The listener's own setting
            # opens one and reports the default all the same.)
            "socket": str(folder / "no-socket"),
            "dolt_stats_enabled": 0,  # they would be collected into a folder inside the user's repository
            "dolt_stats_memory_only": 1,
        },
    }


_COLLECTS = {"DOLT_GC_SAFEPOINT_CONTROLLER_CHOICE": "session_aware"}
"""Has a collection of garbage wait for sessions and keep what they hold, as where Dolt collects by itself.

Else it ends them all; and a write that is ended as the first one after it leaves a journal without a root, which the
next start takes for an empty store (seen with SQL alone, too).
"""


@contextmanager
def _supervise(dolt: Path, repository: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    private = {"HOME": str(folder), "DOLT_ROOT_PATH": str(folder), "TMPDIR": str(folder)}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_FOR_SERVERS)}
    # The last whatever the repository's own settings say of metrics.
    kept |= {**private, **_COLLECTS, "DOLT_DISABLE_EVENT_FLUSH": "1", "DOLT_EVENTS_EMITTER": "null"}
    process = subprocess.Popen(  # noqa: S603  # our own script, arguments are paths
        [sys.executable, "-I", "-S", str(_SUPERVISOR), str(dolt), str(repository), str(folder)],
        env=Environment({**kept, **_lease_of(repository).environment}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in one user's terminal is not for a server that others share
        cwd="/",
    )
    with process:
        yield process


def _await(process: subprocess.Popen[bytes], repository: Path, port: int, deadline: float) -> Address | None:
    assert process.stdout is not None  # noqa: S101  # for the type checker: a pipe was asked for
    while time.monotonic() < deadline:
        address = running(repository)
        if address is not None and address.port == port:
            return address
        if select.select([process.stdout], [], [], 0.005)[0]:
            return None  # "exited", or the supervisor itself is gone
    return None


def _sweep() -> None:
    """Remove private folders whose supervisor was killed; a living one, or who starts one, has its folder locked."""
    for folder in Path(tempfile.gettempdir()).glob(proofs.FOLDER_PREFIX + "*"):
        with suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)


def _lock(folder: Path, kind: int, deadline: float, repository: Path) -> int:
    """Open ``folder`` and lock it, waiting until ``deadline``; folders can be locked without making a file."""
    began = time.monotonic()
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RepositoryReadOnly(
            f"Cannot open the repository {str(repository)!r}: {error.strerror}. Fix its permissions.", path=repository
        ) from error
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.005)
                continue
            os.close(fd)
            waited = time.monotonic() - began
            raise RepositoryBusy(
                f"Cannot open the repository {str(repository)!r}: another process is starting or stopping its server "
                f"since {waited:.0f} s. Try again; `python -m flytekitplugins.dolt doctor` says more.",
                path=repository,
                waited_s=waited,
            ) from None
        except OSError as error:
            os.close(fd)
            raise ServerFailed(
                f"Cannot lock {str(folder)!r}: {error.strerror}. The file system must support flock on folders; "
                "network file systems often do not: use a server there.",
                path=repository,
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path, lines: int = 10) -> str:
    try:
        said = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return " | ".join([line for line in said if not any(words in line for words in _SAID_OF_SETTINGS)][-lines:])


def _at_exit() -> None:
    """Let go of every server, and give those that nobody else uses a moment to be gone when the shell prompts again."""
    waiting = []
    for use in list(_leases.values()):
        if use.address is not None:
            waiting.append((use.repository, use.address.pid))
            use.release()
    deadline = time.monotonic() + 0.5
    for repository, pid in waiting:
        _await_end(repository, pid, deadline)


def _await_end(repository: Path, pid: int, deadline: float) -> None:
    """Wait until the folder's notice does not name the server with this ``pid`` any more, or the time is over."""
    while time.monotonic() < deadline:
        try:
            if noticed(repository).pid != pid:
                return
        except (OSError, ValueError):
            return
        time.sleep(0.005)


def _reset_after_fork() -> None:
    """In a forked child: drop what belongs to the parent. Closing a copied descriptor does not unlock the parent's."""
    global _uses_lock
    _uses_lock = threading.Lock()
    for use in _leases.values():
        if use._held is not None:
            os.close(use._held)
            use._held = None  # a block that was open at the fork must not close another's descriptor
    _leases.clear()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_reset_after_fork)
