"""Repositories that are cloned: into this machine's scratch space, written there, and pushed.

`publish` is the way of every write: fetch, write on the head that the remote has, push; when somebody else's push was
faster, once more on the new head, so that the result is that of one writer after the other. The clones are this
package's own and are reset as needed; a repository of the user's is never touched. `frames` is the caller.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from . import binary, repository, server, writing
from .engine import Connection, connect
from .errors import (
    BranchNotFound,
    CommandFailed,
    ConnectionLost,
    DoltError,
    HeadMoved,
    InvalidConfig,
    OutcomeUnknown,
    QueryFailed,
    RepositoryBusy,
    RepositoryReadOnly,
    RevisionNotFound,
    close_names,
    from_server,
)
from .places import Place, without_password
from .schema import Branch, Commit, DoltConfig, NewBranch, Remote, Secret, SerialBranch
from .writing import Written

MAX_ATTEMPTS = 30
"""How often a write is done again because another push was faster, before giving up."""

CLONE_TIMEOUT_S = 3600.0
"""Seconds that a clone may take."""

UNUSED_S = 24 * 3600.0
"""Seconds after which a clone that nobody used is removed, when the next one is made."""

_REMOTE = "origin"
_SILENT = {"metrics.disabled": "true", "versioncheck.disabled": "true"}


@dataclass(frozen=True)
class Origin:
    """A remote, and the name of the database that its clones are."""

    remote: Remote
    name: str

    @classmethod
    def of(cls, remote: Remote, db_path: str | os.PathLike[str]) -> Origin:
        """Return the origin for a config's ``remote_conf`` and ``db_path``, whose last part is the name."""
        name = re.sub(r"[^\w.-]", "_", Path(db_path).name).strip(".")
        return cls(remote, name or "repository")

    def __str__(self) -> str:
        return without_password(self.remote.url)


# ------------------------------------------------------------------------------------------------- what a config says


def origin_of(config: DoltConfig) -> Origin | None:
    """Return the remote that is cloned, or None where the repository at `db_path` itself is meant."""
    return Origin.of(config.remote_conf, config.db_path) if config.remote_conf is not None else None


def locate(config: DoltConfig) -> Place:
    """Return the folder or server that ``config`` means.

    Raises:
        InvalidConfig: it has a ``remote_conf``, and only tables are pushed there.
    """
    if config.remote_conf is not None:
        raise InvalidConfig(
            f"Cannot do that with {config!r}: only writes of tables are pushed to a remote. Use the folder or the "
            "server itself, without remote_conf."
        )
    secret = Secret.of(config.secret) if config.secret is not None else None
    return repository.locate(
        config.db_path,
        password=None if secret is None else lambda: Secret.read(secret),
        read_from=config.read_from or (),
    )


def place_of(config: DoltConfig) -> Place:
    """Return where the repository that ``config`` means can be looked at: its own place, or an up to date whole clone.

    What is written to a clone stays there; only `publish` pushes.
    """
    origin = origin_of(config)
    return locate(config) if origin is None else mirrored(origin)


# ------------------------------------------------------------------------------------------------------------- verbs


def resolve(origin: Origin, policy: Branch | None, *, history: bool) -> Commit:
    """Return the head that the branch of ``policy`` has on the remote now.

    ``history`` says whether what is going to be read needs more than that very commit.

    Raises:
        BranchNotFound: the remote has no such branch.
        RepositoryNotFound, AccessDenied, ConnectionLost, UntrustedServer: the remote cannot be used.
    """
    branch = repository.branch_of(policy) or origin.remote.branch
    clone = _existing(origin) if not history else None
    if clone is None:
        clone = _whole(origin) if history else _shallow(origin, branch)
    try:
        return _head(origin, clone, branch)
    except QueryFailed:
        return _head(origin, _whole(origin), branch)  # Dolt cannot always bring a shallow clone up to date


def holding(origin: Origin, commit: Commit, *, history: bool) -> Path:
    """Return a clone that has ``commit``, fetching it if need be; a shallow one is enough without ``history``.

    Raises:
        RevisionNotFound: the remote does not have it (any more).
    """
    whole = _existing(origin)
    if whole is None and not history:
        with suppress(BranchNotFound, QueryFailed):
            shallow = _shallow(origin, commit.branch)
            if _has(shallow, commit) or (_fetch(origin, shallow, commit.branch) and _has(shallow, commit)):
                return shallow
    clone = whole or _whole(origin)
    for branch in (commit.branch, None):
        if _has(clone, commit):
            return clone
        _fetch(origin, clone, branch)
    if _has(clone, commit):
        return clone
    raise RevisionNotFound(
        f"Cannot read at commit {commit.hash}: the remote {str(origin)!r} does not hold it. It may be another "
        "repository, or the commit was on a branch that is deleted.",
        revision=commit.hash,
    )


def mirrored(origin: Origin) -> Path:
    """Return a whole clone, every branch of which is what it is on the remote now."""
    clone = _whole(origin)
    _fetch(origin, clone, None)
    with connect(clone) as connection:
        for branch, head in _tracked(connection).items():
            with _branch_lock(clone, branch, writing.LOCK_TIMEOUT_S):
                _point(connection, branch, head)
    return clone


def publish(
    origin: Origin,
    policy: Branch | None,
    write: Callable[[Path, Branch], Written],
    *,
    lock_timeout_s: float = writing.LOCK_TIMEOUT_S,
) -> Written:
    """Run ``write`` in a clone whose branch is at the remote's head, and push that branch; all once more when it moved.

    ``write`` gets the clone and the policy to write with, and may be called again. Nothing is pushed when it changed
    nothing on an existing branch.

    Raises:
        BranchNotFound: the remote does not have the branch (or the base of a new one).
        HeadMoved: other pushes won `MAX_ATTEMPTS` times in a row.
        OutcomeUnknown: the connection broke while pushing, and the remote could not be asked afterwards.
        RepositoryBusy: another process of this machine held the branch for ``lock_timeout_s`` seconds.
    """
    if not isinstance(policy, (NewBranch, SerialBranch, type(None))):
        raise InvalidConfig(
            f"Cannot push with {policy!r}: only NewBranch and SerialBranch are offered with a remote. Write on the "
            "branch, and merge where the repository is."
        )
    clone = _whole(origin)
    branch = repository.branch_of(policy) or _default(origin, clone)
    sent: list[str] = []
    with _branch_lock(clone, branch, lock_timeout_s):
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 6)))  # noqa: S311  # jitter, no secret
            own = _prepared(origin, clone, branch, policy, sent)
            if isinstance(own, Written):
                return own
            written = write(clone, own)
            if not written.changed and isinstance(own, SerialBranch):
                return written
            sent.append(written.commit.hash)
            with suppress(HeadMoved, ConnectionLost):
                _push(origin, clone, branch)
                return replace(written, commit=replace(written.commit, branch=branch))
    raise HeadMoved(
        f"Cannot push branch {branch!r} to {str(origin)!r}: each of {MAX_ATTEMPTS} attempts failed, mostly because "
        "another push was faster. Give the task a NewBranch(...) of its own.",
        branch=branch,
        attempts=MAX_ATTEMPTS,
    )


def _prepared(
    origin: Origin, clone: Path, branch: str, policy: Branch | None, sent: list[str]
) -> SerialBranch | NewBranch | Written:
    """Bring the clone's branch to the remote's head, and say how to write; or what an earlier push has achieved."""
    try:
        exists = _fetch(origin, clone, branch)
    except ConnectionLost as error:
        if not sent:
            raise
        raise OutcomeUnknown(
            f"Cannot say whether commit {sent[-1]} was pushed to branch {branch!r} of {str(origin)!r}: the connection "
            "broke. Look whether that commit is there; if it is not, run the task again.",
            commit=sent[-1],
            branch=branch,
        ) from error
    with connect(clone) as connection:
        if exists:
            head = _tracked(connection)[branch]
            landed = [commit for commit in sent if _leads_to(connection, commit, head)]
            if landed:
                return Written(Commit(landed[-1], branch=branch), changed=True)
            _point(connection, branch, head)
            return SerialBranch(branch)
        if not isinstance(policy, NewBranch):
            raise _no_branch(origin, clone, branch, "write to")
        base = policy.base or _default(origin, clone)
        if not _fetch(origin, clone, base):
            raise _no_branch(origin, clone, base, f"start {branch!r} from")
        _point(connection, base, _tracked(connection)[base])
        _remove(connection, branch)
        return NewBranch(branch, base=base)


# -------------------------------------------------------------------------------------------------- fetching, pushing


def _fetch(origin: Origin, clone: Path, branch: str | None) -> bool:
    """Fetch a branch, or all; return whether the remote has it."""
    what = "the branches" if branch is None else f"branch {branch!r}"
    attempt = f"fetch {what} of {str(origin)!r}"
    arguments = [*_login(origin), _REMOTE, *([branch] if branch is not None else [])]
    with connect(clone) as connection:
        try:
            connection.run(f"CALL DOLT_FETCH({_marks(arguments)})", *arguments, attempt=attempt)
        except RevisionNotFound:
            return False
        return branch is None or branch in _tracked(connection)


def _push(origin: Origin, clone: Path, branch: str) -> None:
    arguments = [*_login(origin), _REMOTE, branch]
    with connect(clone) as connection:
        attempt = f"push branch {branch!r} to {str(origin)!r}"
        connection.run(f"CALL DOLT_PUSH({_marks(arguments)})", *arguments, attempt=attempt)


def _login(origin: Origin) -> list[str]:
    return ["--user", origin.remote.user] if origin.remote.user else []


def _marks(arguments: list[str]) -> str:
    return ", ".join(["%s"] * len(arguments))


def _tracked(connection: Connection) -> dict[str, str]:
    """Return the branches of the remote, as the last fetch found them."""
    prefix = f"remotes/{_REMOTE}/"
    rows = connection.rows("SELECT name, hash FROM dolt_remote_branches", attempt="list the remote's branches")
    return {str(name).removeprefix(prefix): str(head) for name, head in rows if str(name).startswith(prefix)}


def _local(connection: Connection) -> dict[str, str]:
    rows = connection.rows("SELECT name, hash FROM dolt_branches", attempt="list the clone's branches")
    return {str(name): str(head) for name, head in rows}


def _point(connection: Connection, branch: str, head: str) -> None:
    """Make our clone's ``branch`` be at ``head``, whatever an interrupted or rejected write has left there."""
    if _local(connection).get(branch) != head:
        connection.run("CALL DOLT_BRANCH('-f', %s, %s)", branch, head, attempt=f"reset the clone's branch {branch!r}")


def _remove(connection: Connection, branch: str) -> None:
    """Remove from our clone a branch that an interrupted or rejected write has left there."""
    if branch in _local(connection):
        connection.run("CALL DOLT_BRANCH('-D', %s)", branch, attempt=f"remove the clone's branch {branch!r}")


def _leads_to(connection: Connection, commit: str, head: str) -> bool:
    """Whether ``commit`` is ``head`` or one of those before it."""
    if _holds(connection, commit):
        rows = connection.rows("SELECT DOLT_MERGE_BASE(%s, %s)", commit, head, attempt="look for what was pushed")
        return bool(rows == [(commit,)])
    return False


def _has(clone: Path, commit: Commit) -> bool:
    with connect(clone) as connection:
        return _holds(connection, commit.hash)


def _holds(connection: Connection, commit: str) -> bool:
    try:
        connection.use(commit, attempt=f"look for commit {commit}")
    except (RevisionNotFound, QueryFailed):  # in a shallow clone it may be known by name only
        return False
    finally:
        connection.use(None, attempt="go back")
    return True


def _head(origin: Origin, clone: Path, branch: str | None) -> Commit:
    name = branch or _default(origin, clone)
    if not _fetch(origin, clone, name):
        raise _no_branch(origin, clone, name, "read")
    with connect(clone) as connection:
        return Commit(_tracked(connection)[name], branch=name)


def _default(origin: Origin, clone: Path) -> str:
    if origin.remote.branch is not None:
        return origin.remote.branch
    with connect(clone) as connection:
        return connection.active_branch(attempt="find the default branch")


def _no_branch(origin: Origin, clone: Path, branch: str, verb: str) -> BranchNotFound:
    with suppress(DoltError):
        _fetch(origin, clone, None)
    with connect(clone) as connection:
        known = sorted(name for name in _tracked(connection) if name != branch)
    return BranchNotFound(
        f"Cannot {verb} branch {branch!r}: {str(origin)!r} has none of that name.{close_names(branch, known)} The "
        f"branches are {', '.join(map(repr, known))}. A task that writes makes one with NewBranch({branch!r}).",
        branch=branch,
        close=known,
    )


# ------------------------------------------------------------------------------------------------------------ clones


def _existing(origin: Origin) -> Path | None:
    """Return the whole clone, if there is one already."""
    folder = _folder(origin, "whole")
    return _prepare(origin, folder) if binary.is_repository(folder) else None


def _whole(origin: Origin) -> Path:
    return _cloned(origin, _folder(origin, "whole"), origin.remote.branch, [])


def _shallow(origin: Origin, branch: str | None) -> Path:
    """Return a clone of nothing but the head of ``branch``, as it was when it was first asked for."""
    return _cloned(origin, _folder(origin, f"shallow {branch or ''}"), branch, ["--depth", "1"])


def _cloned(origin: Origin, folder: Path, branch: str | None, options: list[str]) -> Path:
    if not binary.is_repository(folder):
        with _locked(folder.parent / "lock", CLONE_TIMEOUT_S, f"clone {str(origin)!r}"):
            if not binary.is_repository(folder):
                _sweep(folder.parent.parent)
                _clone(origin, folder, branch, options)
    return _prepare(origin, folder)


def _clone(origin: Origin, folder: Path, branch: str | None, options: list[str]) -> None:
    if branch is not None:
        options = [*options, "--branch", branch]
    attempt = f"clone {str(origin)!r}"
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as new:
        argv = ["clone", *options, "--single-branch", *_login(origin), "--", origin.remote.url, folder.name]
        try:
            binary.run(argv, cwd=Path(new), env=_environment(origin, folder), timeout_s=CLONE_TIMEOUT_S)
        except CommandFailed as error:
            said = " ".join(str(getattr(error, "stderr", "")).split())
            if branch is not None and re.search(r"remote branch not found|branch not found|unknown branch", said):
                raise BranchNotFound(
                    f"Cannot {attempt}: it has no branch {branch!r} ({said}).", branch=branch, close=[]
                ) from error
            raise from_server(1105, said or "no words", attempt=attempt) from error
        (Path(new) / folder.name).rename(folder)


def _prepare(origin: Origin, folder: Path) -> Path:
    """Note that the clone is in use, and let its server find the credentials."""
    with suppress(OSError):
        os.utime(folder.parent / "lock")
    server.prepare(folder, _environment(origin, folder))
    return folder


def _environment(origin: Origin, folder: Path) -> dict[str, str]:
    """Return what Dolt needs to log in: the user's home and Dolt's credentials there, and the password if there is one.

    Dolt's own settings are a copy, so that nothing is counted, sent, or written to the user's home.
    """
    root = folder.parent / "root"
    (root / ".dolt").mkdir(parents=True, exist_ok=True)
    home = Path(os.environ.get("DOLT_ROOT_PATH") or os.path.expanduser("~")) / ".dolt"
    settings = {}
    with suppress(OSError, ValueError):
        settings = json.loads((home / "config_global.json").read_text("utf-8"))
    (root / ".dolt" / "config_global.json").write_text(json.dumps({**settings, **_SILENT}), "utf-8")
    if (home / "creds").is_dir():
        with suppress(FileExistsError):
            (root / ".dolt" / "creds").symlink_to(home / "creds")
    found = {"HOME": os.path.expanduser("~"), "DOLT_ROOT_PATH": str(root), "DOLT_DISABLE_EVENT_FLUSH": "1"}
    password = Secret.read(origin.remote.secret) if origin.remote.secret else os.environ.get("DOLT_REMOTE_PASSWORD")
    return found | ({"DOLT_REMOTE_PASSWORD": password} if password is not None else {})


def _folder(origin: Origin, kind: str) -> Path:
    """Return where the clone of this kind is, in a folder that nobody else can look into."""
    root = Path(os.environ.get("FLYTE_DOLT_CLONES") or Path(tempfile.gettempdir()) / f"flyte-dolt-clones-{os.getuid()}")
    key = f"{origin.remote.url}\n{origin.remote.user}\n{origin.remote.branch}\n{origin.name}\n{kind}"
    folder = root.resolve() / hashlib.sha256(key.encode()).hexdigest()[:24]
    for part in (root, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = part.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise RepositoryReadOnly(
                f"Cannot clone {str(origin)!r} into {str(part)!r}: others may write to that folder. Remove it, or set "
                "FLYTE_DOLT_CLONES to a folder that is this user's own.",
                path=part,
            )
    return folder / origin.name


def _sweep(root: Path) -> None:
    """Remove clones that nobody has used for long; one in use has its ``.dolt`` locked by `server`."""
    for lock in root.glob("*/lock"):
        with suppress(OSError):
            if time.time() - lock.stat().st_mtime < UNUSED_S:
                continue
            for dolt in lock.parent.glob("*/.dolt"):
                held = os.open(dolt, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent, ignore_errors=True)
                finally:
                    os.close(held)


@contextmanager
def _branch_lock(clone: Path, branch: str, timeout_s: float) -> Iterator[None]:
    """Let one writer of this machine at a time bring ``branch`` of the clone to the remote."""
    name = hashlib.sha256(branch.encode()).hexdigest()[:24]
    with _locked(clone.parent / f"branch-{name}", timeout_s, f"write to branch {branch!r} of the clone {str(clone)!r}"):
        yield


@contextmanager
def _locked(file: Path, timeout_s: float, attempt: str) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RepositoryBusy(
                        f"Cannot {attempt}: another process of this machine has been at it for {timeout_s:g} s. Wait "
                        "for it, or give the task a NewBranch(...) of its own.",
                        path=file.parent,
                        waited_s=timeout_s,
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)
