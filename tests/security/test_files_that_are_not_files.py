"""FIFOs, devices, links and nonsense where a repository has small files: nothing hangs, nothing leaks, no file is lost.

Who cuts the waiting short is pytest-timeout: a test that hangs fails.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
import pytest
from letting_go import let_go
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, Remote, create_repository, read, write
from flytekitplugins.dolt.cli import doctor
from flytekitplugins.dolt.errors import InvalidConfig, RepositoryDamaged, RepositoryNotFound, ServerFailed
from flytekitplugins.dolt.server import binary, files, local_server

Put = Callable[[Path], object]

SECRET = "root:$6$canary:19000:0:99999:7:::"

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("temp")]


def fifo(file: Path) -> None:
    os.mkfifo(file)


def link_to_fifo(file: Path) -> None:
    fifo(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def link_to_zeros(file: Path) -> None:
    file.symlink_to("/dev/zero")


def device(file: Path) -> None:
    try:
        os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this user may make no devices")


def listening(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # the path of a socket has 107 characters at most
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


def link_to_secret(file: Path) -> None:
    secret = file.with_name("shadow")
    secret.write_text(SECRET)
    file.symlink_to(secret)


def sparse(file: Path) -> None:
    with file.open("wb") as made:
        made.truncate(1 << 40)


def nothing(file: Path) -> None:
    file.touch()


STRANGE: list[Put] = [fifo, link_to_fifo, link_to_zeros, device, listening, link_to_secret]
NOTICES = [
    "1:3306",
    "1:99999999:pw",
    "1:0:pw",
    "0:{port}:pw",
    "-1:{port}:pw",
    "99999999999999999999:{port}:pw",
    "1:" + "9" * 5_000 + ":pw",
    "1:10.0.0.1#{port}:pw",
    "1:{port}:p\0w\n1:2:3",
    "\0" * 100,
    "１:{port}:pw",
    "\x1b[2J\x1b]0;evil\x07:{port}:pw",
]


@pytest.fixture
def notice(repo: Path) -> Path:
    """Give where a server's notice is, in a repository with a table and without a server."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"a": [1]}))
    let_go(repo)
    return repo / ".dolt" / "sql-server.info"


@contextmanager
def held(repo: Path) -> Iterator[None]:
    """Hold the lock of a repository inside the block, as a running Dolt does."""
    with (repo / ".dolt" / "noms" / "LOCK").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def rows(repo: Path) -> list[int]:
    frame = read(DoltConfig(str(repo), "t"))
    return [int(value) for value in frame["a"]]


# --------------------------------------------------------------------------------------------------- a server's notice


@pytest.mark.parametrize("put", [*STRANGE, sparse, nothing])
def test_what_is_no_notice_is_none_and_is_replaced(repo: Path, notice: Path, put: Put) -> None:
    """With a lock held or not it names no server; with it free the repository is read, and leaves a tidy end."""
    put(notice)
    with held(repo):
        assert local_server.running(repo) is None
    assert local_server.running(repo) is None
    assert rows(repo) == [1]
    local_server.release(repo)
    assert eventually(lambda: not os.path.lexists(notice), within_s=20)


def test_a_notice_that_makes_no_sense_leads_nowhere(repo: Path, notice: Path) -> None:
    """Numbers that are none or too large, other hosts, NUL: nobody is connected to; doctor shows none of the text."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, held(repo):
        for text in NOTICES:
            notice.write_text(text.replace("{port}", str(listener.getsockname()[1])))
            assert local_server.running(repo) is None
            seen = doctor.Diagnosis()
            doctor._examine_server(repo, seen, locked=True)
            assert seen.findings == ["  has a .dolt/sql-server.info that cannot be read: it is none of Dolt's"]
        listener.settimeout(0)
        with pytest.raises(BlockingIOError, match="unavailable"):
            listener.accept()


def test_a_folder_in_place_of_a_notice_is_said(repo: Path, notice: Path) -> None:
    """It may hold somebody's work and stays; the error names it, and nothing of our own settings."""
    notice.mkdir()
    with pytest.raises(ServerFailed, match=r"\.dolt/sql-server\.info") as caught:
        read(DoltConfig(str(repo), "t"))
    assert "persisted" not in str(caught.value)
    notice.rmdir()
    assert rows(repo) == [1]


@pytest.mark.parametrize("put", [*STRANGE, sparse])
def test_doctor_says_what_is_no_notice(repo: Path, notice: Path, put: Put) -> None:
    """It looks at the same things in a bounded time, and shows nothing of what they hold or lead to."""
    put(notice)
    seen = doctor.Diagnosis()
    doctor._examine_server(repo, seen, locked=False)
    assert seen.findings[0].startswith("  has a .dolt/sql-server.info that cannot be read: it is ")
    assert SECRET not in str(seen)


def test_a_link_as_notice_overwrites_no_file(repo: Path, notice: Path, tmp_path: Path) -> None:
    """A repository with a link for its notice does not have Dolt write a password into the user's own file."""
    precious = tmp_path / "bashrc"
    precious.write_text("export PATH")
    notice.symlink_to(precious)
    assert rows(repo) == [1]
    assert precious.read_text() == "export PATH"
    assert not notice.is_symlink()


def test_an_old_notice_does_not_open_the_new_one(repo: Path, notice: Path) -> None:
    """A notice that everybody may read, and a second name of it elsewhere, do not get the new server's password."""
    notice.write_text("1:1:old")
    notice.chmod(0o666)
    second = repo / "second"
    os.link(notice, second)
    assert rows(repo) == [1]
    found = notice.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_nlink) == (0o600, 1)
    assert second.read_text() == "1:1:old"


def test_the_supervisor_ends_beside_a_fifo(repo: Path, notice: Path, temp: Path) -> None:
    """A server that was killed while a FIFO stands for its notice is cleaned up behind all the same."""
    assert rows(repo) == [1]
    address = local_server.running(repo)
    assert address is not None
    notice.unlink()
    fifo(notice)
    os.kill(address.pid, signal.SIGKILL)
    local_server.release(repo)
    assert eventually(lambda: not list(temp.glob("flyte-dolt-*")), within_s=30)
    assert rows(repo) == [1]


# ------------------------------------------------------------------------------------------ what Dolt itself opens


@pytest.mark.parametrize("put", STRANGE)
@pytest.mark.parametrize("name", ["config.json", "repo_state.json", "noms/LOCK"])
def test_a_repository_with_strange_files_is_refused_at_once(repo: Path, notice: Path, name: str, put: Put) -> None:
    """Dolt, which would wait for ever at some, is not started; the sentence names the file, and not what is in it."""
    file = repo / ".dolt" / name
    file.unlink()
    put(file)
    with pytest.raises(RepositoryDamaged, match=rf"'\.dolt/{name}'") as caught:
        rows(repo)
    assert SECRET not in str(caught.value)
    if name == "config.json":
        assert binary.identity(repo) == binary.identity(None)
    report = doctor.Diagnosis()
    doctor._examine_repository(repo, report, usable=True)
    assert any(f"'.dolt/{name}'" in line for line in report.advice)
    assert SECRET not in str(report)


@pytest.mark.parametrize("put", [fifo, link_to_fifo, device, listening])
def test_a_strange_file_of_rows_is_refused_at_once(repo: Path, notice: Path, put: Put) -> None:
    """So is one beside those that hold the rows, which may be links, but to files only."""
    put(repo / ".dolt" / "noms" / ("v" * 32 + "x"))
    with pytest.raises(RepositoryDamaged, match="v{32}x"):
        rows(repo)


@pytest.mark.parametrize("put", [fifo, link_to_fifo, link_to_zeros, device, listening])
def test_without_a_manifest_there_is_no_repository(repo: Path, notice: Path, put: Put) -> None:
    """What is no file makes no folder a repository."""
    manifest = repo / ".dolt" / "noms" / "manifest"
    manifest.unlink()
    put(manifest)
    with pytest.raises(RepositoryNotFound, match="repository"):
        rows(repo)


# ------------------------------------------------------------------------------------------ what is legal every day


def test_folders_may_be_links(repo: Path, notice: Path, tmp_path: Path) -> None:
    """A repository behind a link, its `.dolt` or the stored rows on another disk: all goes on."""
    for number, part in enumerate((repo / ".dolt" / "noms", repo / ".dolt")):
        moved = tmp_path / f"disk{number}"
        part.rename(moved)
        part.symlink_to(moved)
    link = tmp_path / "link"
    link.symlink_to(repo)
    assert rows(link) == [1]
    assert local_server.running(repo) is not None
    local_server.release(repo)


def test_the_users_own_settings_may_be_a_link(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps Dolt's global configuration elsewhere, behind a link, commits under that name."""
    (tmp_path / "home" / ".dolt").mkdir(parents=True)
    (tmp_path / "kept.json").write_text('{"user.name": "Own", "user.email": "own@example.com"}')
    (tmp_path / "home" / ".dolt" / "config_global.json").symlink_to(tmp_path / "kept.json")
    monkeypatch.setenv("DOLT_ROOT_PATH", str(tmp_path / "home"))
    assert binary.identity(None) == "Own <own@example.com>"
    made = create_repository(tmp_path / "own")
    assert binary.identity(made) == "Own <own@example.com>"


# ----------------------------------------------------------------------------------------------------- one function


@pytest.mark.parametrize("put", [*STRANGE, sparse, Path.mkdir])
def test_only_small_regular_files_are_read(tmp_path: Path, put: Put) -> None:
    """Everything else is an OSError with a reason, at once, and without what is in it."""
    file = tmp_path / "file"
    put(file)
    with pytest.raises(OSError, match=r"it is (a|no|larger) ") as caught:
        files.read_small(file)
    assert caught.value.errno in (errno.EINVAL, errno.EFBIG)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_exchanged_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking and opening are two moments: what becomes a FIFO or a link in between is not waited for or followed."""
    for put in (fifo, link_to_secret):
        file = tmp_path / put.__name__
        put(file)
        with monkeypatch.context() as patch:
            patch.setattr(files, "strange_kind", lambda _: None)  # it was a file when it was looked at
            with pytest.raises(OSError, match="regular|symbolic links"):
                files.read_small(file)


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    """Up to the bound the text comes as it is, and one that is no text is said."""
    file = tmp_path / "file"
    file.write_text("ä" * (files.MAX_BYTES // 2))
    assert files.read_small(file) == "ä" * (files.MAX_BYTES // 2)
    file.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError, match="invalid start byte"):
        files.read_small(file)
    with pytest.raises(FileNotFoundError, match="No such file"):
        files.read_small(tmp_path / "missing")


@pytest.mark.parametrize("put", [fifo, link_to_fifo, link_to_zeros])
def test_certificates_are_files(tmp_path: Path, put: Put) -> None:
    """A config that names something else as a certificate is refused, without waiting."""
    put(tmp_path / "ca.pem")
    with pytest.raises(InvalidConfig, match=r"ca\.pem"):
        read(DoltConfig(f"mysql+pymysql://me@127.0.0.1:1/foo?ssl_ca={tmp_path / 'ca.pem'}", "t"))


@pytest.mark.parametrize("put", [fifo, link_to_fifo, link_to_zeros])
def test_a_remote_in_a_folder_is_of_files(tmp_path: Path, put: Put) -> None:
    """A folder that Dolt would wait at is not cloned."""
    folder = tmp_path / "remote"
    folder.mkdir()
    put(folder / "manifest")
    with pytest.raises(RepositoryDamaged, match="'manifest'"):
        read(DoltConfig("foo", "t", remote_conf=Remote(f"file://{folder}")))
