"""Fixtures on real parts: a Dolt repository in a fresh folder, the `dolt` command line, and nothing left running.

A test is marked with the name of its folder. The names of test files are unique: Flyte's tasks take theirs from them.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import hypothesis
import measured_supervisor
import pytest
import ways
from factor import FACTOR

from flytekitplugins.dolt import DoltConfig, DoltError, create_repository
from flytekitplugins.dolt.errors import BinaryNotFound
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.server import binary, builder, local_server

Dolt = Callable[..., str]
TESTS = Path(__file__).parent

# What CI says of a change depends on the change alone, and not on what else runs; `make nightly` looks for what nobody
# has found yet.
hypothesis.settings.register_profile("same each time", derandomize=True, deadline=None)
if FACTOR == 1:
    hypothesis.settings.load_profile("same each time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of the folder that it is in."""
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])


def pytest_report_header() -> list[str]:
    """Name what was tested with, so that a report can be compared with another one."""
    names = ("flytekit", "flyte", "pandas", "pyarrow", "sqlalchemy")
    packages = (f"{name} {_version(name)}" for name in names)
    programs = f"with: Dolt {_dolt_version()}, MariaDB {_mariadb_version()}"
    return [programs, f"with: {', '.join(packages)}", f"with: rows {ways.expected()}"]


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _dolt_version() -> str:
    try:
        found = binary.find()
    except DoltError:
        return "not found"
    return f"{'.'.join(map(str, binary.version(found)))} ({found}, {platform.machine()})"


def _mariadb_version() -> str:
    program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return "not found"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60).stdout
    return said.split("Ver ")[-1].split()[0]


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the temp directory of this test and of the processes it starts."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the session a home of its own, so that no test reads or changes the developer's Dolt settings."""
    home = tmp_path_factory.mktemp("home")
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", cache)
        with suppress(BinaryNotFound):  # the tests that need none pass without
            patch.setenv("DOLT_BIN", str(binary.find()))
        patch.setenv("NO_COLOR", "1")
        yield


ABOUT_THE_SUPERVISOR = ("test_server", "test_kills", "test_killed_parents")
"""The files of tests in which its lines are counted: that costs each start of a server a tenth of a second."""


@pytest.fixture(scope="module", autouse=True)
def _supervisor_is_measured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count the supervisor's lines, too, where the lines of everything else are counted."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ or request.module.__name__ not in ABOUT_THE_SUPERVISOR:
        yield
        return
    import coverage

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(measured_supervisor.SUPERVISOR, str(local_server._SUPERVISOR))
        patch.setenv(measured_supervisor.PACKAGES, str(Path(coverage.__file__).parent.parent))
        patch.setattr(local_server, "_SUPERVISOR", Path(measured_supervisor.__file__))
        yield


@pytest.fixture(scope="session")
def _new_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository that is as `create_repository` makes one, to be copied: Dolt takes a tenth of a second."""
    folder = tmp_path_factory.mktemp("new") / "foo"
    return create_repository(folder, name="Bojack Horseman", email="bojack@horseman.com")


@pytest.fixture
def repo(request: pytest.FixtureRequest, tmp_path: Path, _new_repository: Path) -> Iterator[Path]:
    """Give a new repository with an identity; the server that a test started on it is let go afterwards.

    In files that say ``ONE_REPOSITORY = True`` it is the same for all tests, made empty after each: that saves them
    the start of a server.
    """
    if getattr(request.module, "ONE_REPOSITORY", False):
        path = request.getfixturevalue("_one_repository")
        yield path
        make_empty(path)
        return
    path = tmp_path / "foo"
    shutil.copytree(_new_repository, path)
    yield path
    local_server.release(path)


@pytest.fixture(scope="module")
def _one_repository(tmp_path_factory: pytest.TempPathFactory, _new_repository: Path) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("one") / "foo"
    shutil.copytree(_new_repository, path)
    yield path
    local_server.release(path)


def make_empty(path: Path) -> None:
    """Take a repository back to its first commit, without tables, other branches and tags."""
    with connections.connect(path) as connection:
        first = connection.query("SELECT commit_hash FROM dolt_log ORDER BY date LIMIT 1")[0][0]
        connection.execute("CALL DOLT_RESET('--hard', %s)", first)
        connection.execute("CALL DOLT_CLEAN()")
        for (branch,) in connection.query("SELECT name FROM dolt_branches WHERE name <> active_branch()"):
            connection.execute("CALL DOLT_BRANCH('-D', %s)", branch)
        for (tag,) in connection.query("SELECT tag_name FROM dolt_tags"):
            connection.execute("CALL DOLT_TAG('-d', %s)", tag)


@pytest.fixture
def dolt(repo: Path) -> Dolt:
    """Give a function that runs the user's ``dolt`` in the repository and returns what it prints."""

    def run(*args: str, cwd: Path = repo, ok: bool = True) -> str:
        for _ in range(5):
            done = subprocess.run([str(binary.find()), *args], cwd=cwd, capture_output=True, text=True, timeout=60)
            # So says a `dolt` that was not given the processor for 100 ms as it took its lock, which nobody else had.
            if "database is read only" not in done.stderr:
                break
        assert not ok or done.returncode == 0, f"dolt {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout + (done.stderr if not ok else "")

    return run


@pytest.fixture
def config(repo: Path) -> Callable[..., DoltConfig]:
    """Give a function that makes a config for the repository: ``config("users", branch_conf=...)``."""

    def make(tablename: str | None = None, **options: object) -> DoltConfig:
        return DoltConfig(db_path=str(repo), tablename=tablename, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the statements by which clones are brought up to date."""
    found: list[str] = []
    real = connections.Connection.execute

    def noted(self: connections.Connection, statement: str, *values: object, **options: Any) -> Any:
        found.extend([statement] if "DOLT_FETCH" in statement else [])
        return real(self, statement, *values, **options)

    monkeypatch.setattr(connections.Connection, "execute", noted)
    return found


@pytest.fixture
def our_program() -> None:
    """Leave a test out where somebody's setting has another Dolt serve than the one that this package builds."""
    if binary.find() != builder.binary_path():
        pytest.skip("another dolt is found before the one of the builder")


@pytest.fixture
def connection(repo: Path) -> Iterator[connections.Connection]:
    """Give a connection of the server's owner, on the checked-out branch."""
    with refs.connect(repo) as connection:
        yield connection
