"""Which server answers: that of this very folder, however the folder was nested, copied, renamed or exchanged."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dolt_program
import pandas as pd
import pytest
from letting_go import is_locked, let_go
from thief import Thief, listening
from users_server import users_server
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, create_repository, pin, read, write
from flytekitplugins.dolt.errors import ConnectionLost, DoltError, RepositoryBusy
from flytekitplugins.dolt.repository import connections
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server, proofs

KERNELS = ["tells", pytest.param("does not", id="does not tell, as on macOS")]


@pytest.fixture
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the kernel tell what files processes have open, or not."""
    if request.param == "tells" and sys.platform != "linux":
        pytest.skip("only Linux does")
    if request.param != "tells":
        monkeypatch.setattr(proofs, "_PROC", tmp_path / "no-proc")
    return str(request.param)


def put(folder: Path, *values: int) -> None:
    """Make ``values`` the rows of the table `t`."""
    write(DoltConfig(str(folder), "t"), pd.DataFrame({"n": list(values)}))


def rows(folder: Path) -> list[int]:
    """Return the rows of the table `t`, asked anew."""
    found: list[int] = read(DoltConfig(str(folder), "t"))["n"].tolist()
    return found


def address_of(folder: Path) -> local_server.Address:
    """Return where the folder's server is, which runs."""
    found = local_server.running(folder)
    assert found is not None
    return found


def database_names(folder: Path) -> set[str]:
    """Return what the folder's server has to offer."""
    with connect(folder) as connection:
        return {str(name) for (name,) in connection.query("SHOW DATABASES")} - {"information_schema", "mysql"}


@contextmanager
def used_by_another(folder: Path) -> Iterator[None]:
    """Hold the folder's server as another process does that uses it."""
    held = os.open(folder / ".dolt", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        yield
    finally:
        os.close(held)


def assert_busy(folder: Path, timeout_s: float = 0.5) -> None:
    """See that the folder cannot be had for the time being, and that this is said of it."""
    with pytest.raises(RepositoryBusy) as busy, local_server.using(folder, timeout_s=timeout_s):
        pass
    assert str(folder) in str(busy.value)
    assert busy.value.path == folder


# ----------------------------------------------------------------------------------------------------------- nested


def test_a_repository_inside_another_is_served_beside_it(repo: Path) -> None:
    """Each by a server of its own, which knows that one only, while the other is being read."""
    inner = create_repository(repo / "inner", name="Ann", email="ann@x.org")
    put(repo, 1)
    assert database_names(repo) == {repo.name}
    assert not is_locked(inner / ".dolt" / "noms" / "LOCK")
    with pin(DoltConfig(str(repo), "t")).open() as reader:
        put(inner, 2)
        put(inner, 2, 3)
        assert database_names(inner) == {"inner"}
        assert reader.read_all()["n"].to_pylist() == [1]
    assert (rows(repo), rows(inner)) == ([1], [2, 3])
    assert address_of(repo).pid != address_of(inner).pid
    local_server.release(inner)


def test_half_a_repository_inside_another(repo: Path) -> None:
    """What an interrupted ``dolt init`` left in a folder below is no business of the repository's."""
    (repo / "sub" / ".dolt" / "noms").mkdir(parents=True)
    (repo / "sub" / ".dolt" / "noms" / "LOCK").touch()
    put(repo, 1)
    put(repo, 2)
    assert rows(repo) == [2]
    assert [path.name for path in (repo / "sub" / ".dolt").rglob("*")] == ["noms", "LOCK"]


def test_a_repository_whose_store_is_on_another_disk(repo: Path, tmp_path: Path) -> None:
    """A `.dolt` that is a link is followed."""
    (repo / ".dolt").rename(tmp_path / "elsewhere")
    (repo / ".dolt").symlink_to(tmp_path / "elsewhere")
    put(repo, 1)
    assert rows(repo) == [1]
    assert address_of(repo).folder is not None


# ---------------------------------------------------------------------------------------------------------- renamed


@pytest.mark.parametrize("kernel", KERNELS, indirect=True)
def test_a_folder_that_is_renamed_while_its_server_runs(repo: Path, tmp_path: Path, kernel: str) -> None:
    """At its new place it is read and written as ever, by a server that was started for that, and nothing is left."""
    put(repo, 1)
    before = address_of(repo)
    renamed = repo.rename(tmp_path / "bar")
    assert local_server.running(renamed) is None
    assert rows(renamed) == [1]
    put(renamed, 2)
    assert (rows(renamed), database_names(renamed)) == ([2], {"bar"})
    assert address_of(renamed).pid != before.pid
    assert not repo.exists()
    folder = before.folder
    assert folder is not None
    assert eventually(lambda: not folder.exists(), within_s=20)
    local_server.release(renamed)


def test_a_renamed_folder_whose_server_others_use(repo: Path, tmp_path: Path) -> None:
    """It is busy as long as they do, and then it is served."""
    put(repo, 1)
    with used_by_another(repo):
        renamed = repo.rename(tmp_path / "bar")
        assert_busy(renamed)
    assert rows(renamed) == [1]
    local_server.release(renamed)


def test_a_renamed_folder_with_another_in_its_place(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are what they are, and the end of the first server takes nothing from the second."""
    monkeypatch.setattr(local_server, "IDLE_S", 60)  # however long the first server takes to end
    put(repo, 1)
    first = address_of(repo)
    renamed = repo.rename(tmp_path / "bar")
    shutil.copytree(renamed, repo)
    with used_by_another(renamed):  # so that the first server still runs
        put(repo, 2)
        second = address_of(repo)
        assert second.pid != first.pid
        assert rows(repo) == [2]
    assert rows(renamed) == [1]
    assert eventually(lambda: not (first.folder or repo).exists(), within_s=20)
    assert (rows(repo), address_of(repo)) == ([2], second)
    assert not (renamed / ".dolt" / "sql-server.info").read_text().startswith(f"{first.pid}:")
    local_server.release(renamed)


def test_a_store_that_is_exchanged_under_its_server(repo: Path, tmp_path: Path) -> None:
    """A backup that is put back is what is read then, though `.dolt` is the same folder."""
    put(repo, 1)
    assert local_server.running(repo) is not None
    shutil.copytree(repo / ".dolt" / "noms", tmp_path / "backup")
    put(repo, 2)
    shutil.rmtree(repo / ".dolt" / "noms")
    shutil.copytree(tmp_path / "backup", repo / ".dolt" / "noms")
    assert rows(repo) == [1]
    put(repo, 3)
    assert rows(repo) == [3]


# ----------------------------------------------------------------------------------------------------------- copied


@pytest.mark.parametrize("kernel", KERNELS, indirect=True)
def test_a_copy_that_names_the_server_of_the_original(repo: Path, tmp_path: Path, kernel: str) -> None:
    """It is another repository: busy while a `dolt` holds it, served by another server then."""
    put(repo, 1)
    copy = tmp_path / "copy"
    shutil.copytree(repo, copy)
    assert local_server.noticed(copy) == local_server.noticed(repo)
    with dolt_program.holding(copy):
        assert local_server.running(copy) is None
        assert_busy(copy)
    put(copy, 2)
    assert (rows(repo), rows(copy)) == ([1], [2])
    assert address_of(copy).pid != address_of(repo).pid
    local_server.release(copy)


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel tells")
def test_a_copy_that_names_a_server_of_the_users(repo: Path, tmp_path: Path) -> None:
    """The original's server is not asked for it, while a `dolt` holds the copy, either."""
    with users_server(repo):
        put(repo, 1)
        copy = tmp_path / "copy"
        shutil.copytree(repo, copy)
        with dolt_program.holding(copy):
            assert local_server.running(copy) is None
            assert_busy(copy)
        put(copy, 2)
        assert (rows(repo), rows(copy)) == ([1], [2])
        local_server.release(copy)
        local_server.release(repo)


# --------------------------------------------------------------------------------------------------- who is attached to


@pytest.mark.parametrize("kernel", KERNELS, indirect=True)
def test_another_process_finds_the_same_server(repo: Path, kernel: str) -> None:
    """By what is noted outside of the repository, wherever its own temporary folder is."""
    code = f"""
import sys, tempfile
from pathlib import Path
from flytekitplugins.dolt import DoltConfig, read
from flytekitplugins.dolt.server import local_server, proofs
proofs._PROC = Path({str(proofs._PROC)!r})
repo = Path(sys.argv[1])
print(read(DoltConfig(str(repo), "t"))["n"].tolist(), local_server.running(repo).pid)
"""
    put(repo, 1)
    elsewhere = repo.parent / "other temporary"
    elsewhere.mkdir()
    argv = [sys.executable, "-c", code, str(repo)]
    env = {**os.environ, "TMPDIR": str(elsewhere)}
    with used_by_another(repo):  # however long that process takes to start
        pid = address_of(repo).pid
        said = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["[1]", str(pid)]
    assert list(elsewhere.glob("flyte-dolt-*")) == []


def test_a_session_that_is_logged_in_elsewhere_is_sent_nothing(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the proof fails after the login, the server is looked for once more, and then it is an error."""
    put(repo, 1)
    connections.disconnect(repo)
    sent: list[str] = []
    real = connections.Connection._send
    monkeypatch.setattr(
        connections.Connection, "_send", lambda self, sql, *values: (sent.append(sql), real(self, sql, *values))[1]
    )
    monkeypatch.setattr(local_server, "is_served_by", lambda *_: False)
    with pytest.raises(ConnectionLost):
        rows(repo)
    assert sent == []


# --------------------------------------------------------------------------------------------------- the user's own


def test_a_server_of_the_users_is_asked_first_for_what_only_it_knows(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question, of each session, before any other statement."""
    asked: list[tuple[int, str]] = []
    for name in ("query", "execute"):
        real = getattr(connections.Connection, name)

        def noted(self: connections.Connection, sql: str, *values: object, _real: object = real) -> object:
            asked.append((self.number, sql))
            return _real(self, sql, *values)  # type: ignore[operator]

        monkeypatch.setattr(connections.Connection, name, noted)
    with users_server(repo):
        with connect(repo), connect(repo):
            pass
        local_server.release(repo)
    first = dict(reversed(asked))
    assert len(first) == 2
    assert all("authentication_string" in sql for sql in first.values())


@pytest.mark.parametrize("kernel", KERNELS, indirect=True)
def test_a_server_that_lets_everybody_in_is_none_of_the_folders(repo: Path, kernel: str) -> None:
    """What listens where a notice says, and does not know its password, hears one question and nothing more."""
    put(repo, 1)
    let_go(repo)
    lock = os.open(repo / ".dolt" / "noms" / "LOCK", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so this very process is the one that has the repository open
        with listening(Thief()) as thief:
            (repo / ".dolt" / "sql-server.info").write_text(f"{os.getpid()}:{thief.port}:a-secret")
            with pytest.raises(RepositoryBusy, match=str(thief.port)):
                read(DoltConfig(str(repo), "t"))
            sent = [packet for packet in thief.heard if packet[:1] == b"\x03"]
    finally:
        os.close(lock)
    (login, question) = sent
    assert login.startswith(b"\x03SET NAMES ")  # the driver's own
    assert b"authentication_string" in question
    assert rows(repo) == [1]


def test_a_folder_that_is_renamed_under_a_server_of_the_users(repo: Path, tmp_path: Path) -> None:
    """It is busy until that server is stopped, by whoever started it."""
    with users_server(repo) as server:
        put(repo, 1)
        renamed = repo.rename(tmp_path / "bar")
        with pytest.raises(DoltError) as found:
            rows(renamed)
        assert isinstance(found.value, RepositoryBusy)
        assert str(renamed) in str(found.value)
        assert server.poll() is None
    assert rows(renamed) == [1]
    local_server.release(renamed)
