"""Finds, checks and installs the `dolt` binary, runs its command line, and makes repositories with it.

`find` only looks: what is missing is built by `install`, when the user asks for it. Nothing here speaks SQL or starts a
server; `server` takes the path from `find`. Importing this module is cheap and starts no process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...doltdb.hiding import hide
from ...doltdb.redaction import Environment
from ..errors import BinaryNotFound, BinaryUnsupported, BuildFailed, CommandFailed, InvalidConfig, RepositoryReadOnly
from ..model.location import refuses_passwords
from . import builder, files, releases

__all__ = [
    "Candidate",
    "candidates",
    "create_repository",
    "find",
    "identity",
    "install",
    "install_release",
    "is_repository",
    "run",
    "version",
]

OLDEST = (1, 83, 0)
"""The oldest `dolt` release that this package was tried with."""

DEFAULT_IDENTITY = {"user.name": "Flyte", "user.email": "flyte@localhost"}
"""Who commits in a new repository when neither the caller nor Dolt's configuration says."""

HOW_TO_GET_DOLT = (
    f"Get one with `python -m flytekitplugins.dolt install` (it builds dolt {builder.DOLT_VERSION} from its sources, "
    "or fetches one of Dolt's releases with --release), with the official installer, `sudo bash -c 'curl -L "
    "https://github.com/dolthub/dolt/releases/latest/download/install.sh | sudo bash'`, or with `brew install dolt`; "
    "or set DOLT_BIN to the path of one."
)

_BREAKS_IDENTITY = re.compile(r"[<>\x00-\x1f\x7f]")
_REMEMBERED_BINARIES = 20
_ASK_VERSION_TIMEOUT_S = 60.0
_MISSED_LOCK = "database is read only"
_TRIES_TO_MAKE = 5

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Candidate:
    """One place where `find` looks for `dolt`, and what is there."""

    origin: str
    """The place in words, such as ``"on PATH"``."""
    path: Path | None
    """The binary, None when the place is empty."""
    explicit: bool
    """True for a setting of the user's: it is used or refused, never passed over."""
    version: Version | None = None
    """What it says it is, None when it does not run."""
    problem: str | None = None
    """Why it cannot be used, a clause; None when it can."""


def find() -> Path:
    """Return the absolute path of the first `dolt` that fits; nothing is downloaded or built.

    Looked at in this order: the environment variable ``DOLT_BIN``; the path that was given to ``doltcli``; beside the
    running Python; on ``PATH``; in this user's cache folder, what was installed there last. The first two are
    somebody's word: an unfit binary there is an error. The others are passed over when unfit.

    Raises:
        BinaryNotFound: there is none, or the one that was asked for is not there; the message says how to get one.
        BinaryUnsupported: there are some, and none can be used; the message gives each one's reason.
    """
    unfit: list[Candidate] = []
    for candidate in candidates():
        if candidate.problem is None and candidate.path is not None:
            return candidate.path
        if candidate.explicit:
            raise _refusal(candidate)
        if candidate.path is not None:
            unfit.append(candidate)
    if not unfit:
        raise BinaryNotFound(
            "Cannot find the dolt binary: it is not beside this Python, not on PATH and not in this package's cache "
            f"folder. {HOW_TO_GET_DOLT}"
        )
    reasons = "; ".join(f"{str(c.path)!r} ({c.origin}) {c.problem}" for c in unfit)
    raise BinaryUnsupported(
        f"Cannot use any dolt binary of this machine: {reasons}. {HOW_TO_GET_DOLT}",
        path=unfit[0].path,
        version=unfit[0].version,
    )


def candidates() -> Iterator[Candidate]:
    """Yield every place that `find` looks at, in its order, each checked when it is its turn.

    Settings that are not made are left out, empty places are not. A binary that is met twice is yielded twice.
    """
    for origin, setting in _settings():
        yield _checked(origin, _setting_path(setting), explicit=True, missing=f"{setting!r} is not there")
    beside = Path(sys.executable).parent / "dolt"
    yield _checked("beside this Python", beside if beside.is_file() else None)
    on_path = shutil.which("dolt")
    yield _checked("on PATH", None if on_path is None else Path(on_path).absolute())
    yield _checked("in the cache folder", _in_cache())


def _in_cache() -> Path | None:
    """Return what was installed last: a release of Dolt's own, or what is built of our sources as they are now."""
    with contextlib.suppress(OSError):  # a user without a home has no cache folder
        last = releases.installed() or builder.binary_path()
        return last if last.is_file() else None
    return None


def _settings() -> Iterator[tuple[str, str]]:
    chosen = os.environ.get("DOLT_BIN", "")
    if chosen:
        yield "DOLT_BIN", chosen
    # Only looked up, never imported: code that called doltcli's set_dolt_path has imported it.
    doltcli_path = getattr(sys.modules.get("doltcli.utils"), "DOLT_PATH", "dolt")
    if doltcli_path != "dolt":
        yield "doltcli.utils.DOLT_PATH", str(doltcli_path)


def _setting_path(setting: str) -> Path | None:
    """Read a setting as a shell would: a bare word is looked up on ``PATH``, anything else is a path."""
    found = shutil.which(setting) if os.sep not in setting else os.path.expanduser(setting)
    return Path(found).absolute() if found is not None and Path(found).exists() else None


def _checked(origin: str, path: Path | None, *, explicit: bool = False, missing: str = "is not there") -> Candidate:
    if path is None:
        return Candidate(origin, None, explicit, problem=missing)
    try:
        found = version(path)
    except BinaryUnsupported as error:
        return Candidate(origin, path, explicit, problem=str(getattr(error, "problem", error)))
    return Candidate(origin, path, explicit, version=found, problem=_unfit(found))


def _unfit(found: Version) -> str | None:
    said = ".".join(str(part) for part in found)
    if found < OLDEST:
        return f"is version {said}, older than 1.83"
    if found[:2] == (2, 0):
        return f"is version {said}, and 2.0.x cannot read text back after its column was widened (2.1 and newer can)"
    return None


def _refusal(candidate: Candidate) -> BinaryNotFound | BinaryUnsupported:
    if candidate.path is None:
        return BinaryNotFound(
            f"Cannot use the dolt binary that {candidate.origin} names: {candidate.problem}. Fix or unset "
            f"{candidate.origin}. {HOW_TO_GET_DOLT}"
        )
    return BinaryUnsupported(
        f"Cannot use the dolt binary that {candidate.origin} names: {str(candidate.path)!r} {candidate.problem}. "
        f"Fix or unset {candidate.origin}. {HOW_TO_GET_DOLT}",
        path=candidate.path,
        version=candidate.version,
    )


def version(path: Path) -> Version:
    """Return the version that the binary at ``path`` says it is.

    Starting it costs 0.2 s, so the answer is remembered in this user's cache folder until the file changes.

    Raises:
        BinaryUnsupported: it cannot be run, or does not answer as `dolt` does.
    """
    memory = _VersionMemory(path)
    known = memory.recall()
    if known is not None:
        return known
    found = _ask_version(path)
    memory.keep(found)
    return found


class _VersionMemory:
    """The version of one binary, kept in a file beside the binaries that `install` builds.

    The file only saves time: when it is broken, gone or not writable, the binary is asked again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self) -> Version | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            entry = self._entries()[self._key()]
            if entry["stamp"] == self._stamp():
                major, minor, patch = entry["version"]
                return int(major), int(minor), int(patch)
        return None

    def keep(self, found: Version) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            try:
                entries = self._entries()
            except (OSError, ValueError):
                entries = {}
            entries.pop(self._key(), None)
            kept = dict(list(entries.items())[1 - _REMEMBERED_BINARIES :])
            kept[self._key()] = {"stamp": self._stamp(), "version": list(found)}
            _write_whole(self._file(), json.dumps(kept))

    def _file(self) -> Path:
        return builder.cache_folder() / "versions.json"

    def _entries(self) -> dict[str, dict[str, list[int]]]:
        read = json.loads(self._file().read_text("utf-8"))
        if not isinstance(read, dict):
            raise ValueError("not an object")
        return read

    def _key(self) -> str:
        return str(self._path.resolve())

    def _stamp(self) -> list[int]:
        found = self._path.stat()
        return [found.st_mtime_ns, found.st_size]


def _write_whole(file: Path, text: str) -> None:
    """Replace ``file`` in one step, so that a reader finds the old text or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=file.name, dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as sink:
            sink.write(text)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _ask_version(path: Path) -> Version:
    try:
        with _private_root() as env:
            said = _start([str(path), "version"], cwd=None, env=env, timeout_s=_ASK_VERSION_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_dolt(path, f"cannot be run ({error})") from error
    answer = re.search(r"^dolt version (\d+)\.(\d+)\.(\d+)", said.stdout, re.MULTILINE)
    if said.returncode != 0 or answer is None:
        words = (said.stdout + said.stderr).strip()[:200]
        raise _not_dolt(path, f"answers `version` with {words!r} and status {said.returncode}, which dolt does not")
    return int(answer[1]), int(answer[2]), int(answer[3])


def _not_dolt(path: Path, problem: str) -> BinaryUnsupported:
    return BinaryUnsupported(
        f"Cannot use {str(path)!r} as dolt: it {problem}. {HOW_TO_GET_DOLT}", path=path, version=None, problem=problem
    )


def run(
    args: Sequence[str],
    *,
    cwd: Path | None = None,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run `dolt` with ``args`` in ``cwd`` and return what it wrote to standard output.

    It sees the user's own environment and Dolt configuration, with what ``env`` changes in it, and no standard input.

    Raises:
        BinaryNotFound, BinaryUnsupported: as `find`.
        CommandFailed: it could not be started, failed, or took longer than ``timeout_s`` seconds and was stopped.
    """
    return _run([str(find()), *args], cwd=cwd, env=Environment({**os.environ, **(env or {})}), timeout_s=timeout_s)


def make(args: Sequence[str], *, folder: Path, timeout_s: float, env: Mapping[str, str]) -> None:
    """Run `dolt` with ``args`` in an empty folder, where it makes a repository, as `run` does.

    Dolt waits 100 ms for a repository's lock, also of one that it has just made, and takes it for read-only then. On a
    machine that gives it no processor for so long that time is over though nobody has the lock, so it is made anew.

    Raises:
        BinaryNotFound, BinaryUnsupported, CommandFailed: as of `run`.
    """
    argv = [str(find()), *args]
    for left in reversed(range(_TRIES_TO_MAKE)):
        try:
            _run(argv, cwd=folder, env=Environment({**os.environ, **env}), timeout_s=timeout_s)
        except CommandFailed as error:
            if not left or _MISSED_LOCK not in error.stderr:
                raise
            for begun in folder.iterdir():
                shutil.rmtree(begun)
        else:
            return


def _run(argv: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], timeout_s: float) -> str:
    done = _outcome(argv, cwd=cwd, env=env, timeout_s=timeout_s)
    if isinstance(done, CommandFailed):
        raise done
    return done


def _outcome(argv: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], timeout_s: float) -> str | CommandFailed:
    """Return what `dolt` wrote, or why it failed.

    It is raised elsewhere: a frame of this function, or of `subprocess`, would show what must not be seen.
    """
    returncode, stderr = None, ""
    try:
        done = _start(argv, cwd=cwd, env=env, timeout_s=timeout_s)
    except subprocess.TimeoutExpired as error:
        found = f"it was not done after {timeout_s:g} s and was stopped. Give it more time, or see what else uses that"
        found, stderr = f"{found} repository", _text(error.stderr)
    except OSError as error:
        found = str(error)
    else:
        if done.returncode == 0:
            return done.stdout
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").rstrip(".")
        found = f"it ended with status {done.returncode} and said: {said}"
        returncode, stderr = done.returncode, done.stderr
    secrets = [env.get("DOLT_REMOTE_PASSWORD", "")]  # which `dolt` may repeat
    return CommandFailed(
        f"Cannot run `dolt {' '.join(argv[1:])}` in {str(cwd or Path.cwd())!r}: {hide(found, secrets)}.",
        argv=list(argv),
        returncode=returncode,
        stderr=hide(stderr, secrets),
    )


@contextlib.contextmanager
def _private_root(configured: dict[str, str] | None = None) -> Iterator[Environment]:
    with builder.private_root(configured) as env:
        env = Environment(env)
        yield env


def _start(
    argv: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _text(output: str | bytes | None) -> str:
    return output.decode("utf-8", errors="replace") if isinstance(output, bytes) else output or ""


def is_repository(path: str | os.PathLike[str]) -> bool:
    """Say whether ``path`` itself, not a folder above it, is a Dolt repository."""
    return os.path.isfile(Path(path) / ".dolt" / "noms" / "manifest")


@refuses_passwords
def create_repository(path: str | os.PathLike[str], *, name: str | None = None, email: str | None = None) -> Path:
    """Make a Dolt repository at ``path``, with its folders, and return its absolute path.

    A repository that is there already is returned as it is. Other files in the folder stay. The repository appears
    whole or not at all, also when two processes make it at once. Dolt's global configuration is read, never written:
    ``init.defaultbranch`` names the first branch, ``main`` when it is not set.

    Args:
        path: the folder.
        name: who commits in this repository; given together with ``email`` or not at all. Without them it is Dolt's
            own identity of this user, and ``Flyte <flyte@localhost>`` for what that lacks.
        email: that person's address.

    Raises:
        InvalidConfig: a file is in the way, the place is inside a ``.dolt`` folder, or only one of name and email.
        RepositoryReadOnly: this user may not write there.
        CommandFailed: ``dolt init`` failed.
    """
    given = _given_identity(name, email)
    folder = Path(os.path.abspath(path))
    if is_repository(folder):
        return folder
    _make_folder(folder)
    with tempfile.TemporaryDirectory(prefix=".dolt-init-", dir=folder) as scratch:
        _init(Path(scratch), given)
        try:
            (Path(scratch) / ".dolt").rename(folder / ".dolt")
        except OSError as error:
            if not is_repository(folder):  # else another process was faster, and its repository is as good
                raise InvalidConfig(
                    f"Cannot create a Dolt repository at {str(folder)!r}: its '.dolt' is there already and holds no "
                    "repository. Move that away, or choose another folder."
                ) from error
    return folder


def _given_identity(name: str | None, email: str | None) -> dict[str, str] | None:
    if name is None and email is None:
        return None
    for word, value in (("name", name), ("email", email)):
        if not value or not value.strip() or _BREAKS_IDENTITY.search(value):
            raise InvalidConfig(
                f"Cannot create a Dolt repository with {word}={value!r}: give both name and email, or neither, in one "
                "line each and without '<' and '>'."
            )
    return {"user.name": name or "", "user.email": email or ""}


def _make_folder(folder: Path) -> None:
    cannot = f"Cannot create a Dolt repository at {str(folder)!r}"
    if ".dolt" in folder.resolve().parts:
        raise InvalidConfig(f"{cannot}: that is inside a '.dolt' folder, which is Dolt's own. Choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidConfig(f"{cannot}: a file is there, or in place of a folder above it. Choose another.") from error
    except OSError as error:
        raise _not_writable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(folder, None)


def _not_writable(folder: Path, error: OSError | None) -> RepositoryReadOnly:
    said = "this user may not write there" if error is None else error.strerror or str(error)
    return RepositoryReadOnly(
        f"Cannot create a Dolt repository at {str(folder)!r}: {said}. Choose a folder that this user can write to.",
        path=folder,
    )


def _init(scratch: Path, given: dict[str, str] | None) -> None:
    """Run ``dolt init`` in ``scratch`` under a copy of the user's configuration: no home is needed, none is written."""
    configured = _read_config(_global_config())
    args = ["init"]
    who = given or {key: _clean(configured.get(key, "")) or default for key, default in DEFAULT_IDENTITY.items()}
    if given is not None or any(not _clean(configured.get(key, "")) for key in DEFAULT_IDENTITY):
        args += ["--name", who["user.name"], "--email", who["user.email"]]
    with _private_root(configured) as env:
        make(args, folder=scratch, timeout_s=60, env=env)


def identity(repository: Path | None) -> str | None:
    """Return who commits in ``repository`` by Dolt's configuration, as ``Name <email>``; None when that is incomplete.

    As in Dolt, each of the two comes from the repository's own configuration, else from the user's global one; for a
    repository that is not on this machine (None) from the latter only. No process is started. Characters that would
    break the form are left out.
    """
    own = _read_config(repository / ".dolt" / "config.json") if repository is not None else {}
    configured = {**_read_config(_global_config()), **own}
    name, email = (_clean(configured.get(key, "")) for key in DEFAULT_IDENTITY)
    return f"{name} <{email}>" if name and email else None


def _clean(text: str) -> str:
    return " ".join(_BREAKS_IDENTITY.sub(" ", text).split())


def _global_config() -> Path:
    """Return where Dolt keeps this user's configuration, which may be a link; the file need not exist."""
    root = os.environ.get("DOLT_ROOT_PATH") or os.environ.get("HOME") or os.path.expanduser("~")
    return Path(os.path.realpath(Path(root) / ".dolt" / "config_global.json"))


def _read_config(file: Path) -> dict[str, str]:
    """Read one of Dolt's configuration files; a missing or broken one says nothing. Empty values say nothing either."""
    try:
        read = json.loads(files.read_small(file))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    return {str(key): value for key, value in read.items() if isinstance(value, str) and value}


def install(*, progress: Callable[[str], None] = builder.report) -> Path:
    """Build the pinned `dolt` into this user's cache folder, unless it is there, and return its path.

    It takes 3 to 8 minutes the first time, and the network; ``progress`` gets a line of words every ten seconds.

    Raises:
        BuildFailed: a tool, the network or the build failed; the message ends with the tail of the log.
    """
    try:
        built = builder.build(progress=progress)
    except builder.BuildError as error:
        raise BuildFailed(str(error)) from error
    releases.forget()
    return built


def install_release(version: str, *, sha256: str | None = None, progress: Callable[[str], None]) -> Path:
    """Take a release of Dolt's own into this user's cache folder, unless it is there, and return its `dolt`.

    It is fetched over HTTPS and held against the SHA-256 that the release's description gives, or against ``sha256``.
    Rows go by SQL with it. `find` returns it where no place before the cache folder has one, until `install` is called.

    Raises:
        InvalidConfig: ``version`` or ``sha256`` cannot be read.
        BinaryUnsupported: that version cannot be used; nothing is fetched.
        ReleaseFailed: it cannot be had, or is not what its digest says.
    """
    wanted = releases.parse(version)
    problem = _unfit(wanted)
    if problem is not None:
        raise BinaryUnsupported(
            f"Cannot take release {version} of Dolt: it {problem}. Take {builder.DOLT_VERSION}, or 2.1.0 or newer.",
            version=wanted,
        )
    return releases.fetch(wanted, sha256=sha256, progress=progress)
