"""The life of the private server: it starts when needed, serves this machine's user only, and leaves nothing behind.

Every test gives the private folders a temp directory of its own, so that "nothing is left" can be said exactly: no
process that names that directory, and nothing in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dolt_program
import pandas as pd
import pymysql
import pytest
from users_server import users_server
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, api, create_repository
from flytekitplugins.dolt.errors import (
    ConnectionLost,
    DoltError,
    RepositoryBusy,
    RepositoryReadOnly,
    ServerFailed,
    attempting,
)
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server

Dolt = Callable[..., str]

pytestmark = [pytest.mark.usefixtures("temp"), pytest.mark.serial]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, or needs Linux's parent-death signal")

GONE_WITHIN_S = 2.0
"""How soon after its last user a server, its supervisor and its folder have to be gone."""

PRELUDE = """\
import os, signal, sys
from pathlib import Path
import pandas as pd
from flytekitplugins.dolt import DoltConfig, errors, api
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server
repo = Path(sys.argv[1])
def put(table, *values):
    return api.write(DoltConfig(str(repo), table), pd.DataFrame({"n": list(values)})).commit.hash
def say(*words):
    print(*words, flush=True)
"""


@contextmanager
def script(code: str, *args: object, wrapper: tuple[str, ...] = (), **env: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process of its own, killed at the end of the block if it still runs."""
    argv = [*wrapper, sys.executable, "-c", PRELUDE + code, *map(str, args)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | env
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> list[str]:
    """Return the words of the next line that a script says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the script ended before it said anything"
    return line.split()


def told(process: subprocess.Popen[str], line: str = "") -> None:
    """Send a line to a script."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def processes(word: str) -> dict[int, str]:
    """Return the command lines of the living processes that have ``word`` in theirs; a zombie has none."""
    told_by_ps = subprocess.run(["ps", "-ewwo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    lines = (line.strip().partition(" ") for line in told_by_ps.splitlines())
    return {int(pid): args for pid, _, args in lines if word in args}


def folders(temp: Path) -> set[Path]:
    """Return the private folders; flytekit and dolt itself put other things into the temp directory."""
    return set(temp.glob("flyte-dolt-*"))


def left(temp: Path) -> list[str]:
    """Return what is there of private servers: their processes, then their folders."""
    return [*processes(str(temp)).values(), *map(str, folders(temp))]


def assert_gone(temp: Path, *, within_s: float = GONE_WITHIN_S) -> None:
    """Wait until nothing of private servers is left; say what it was when the time is over."""
    began = time.monotonic()
    if not eventually(lambda: left(temp) == [], within_s=within_s):
        still = left(temp)
        later = eventually(lambda: left(temp) == [], within_s=20)
        pytest.fail(
            f"after {within_s} s: {still}, " + (f"gone after {time.monotonic() - began:.1f} s" if later else "for good")
        )


def put(repo: Path, table: str, *values: int) -> str:
    """Write one column of numbers to the checked-out branch and return the commit's hash."""
    commit = api.write(DoltConfig(str(repo), table), pd.DataFrame({"n": list(values)})).commit
    assert commit is not None
    return commit.hash


def scratch_branches(repo: Path) -> list[tuple[object, ...]]:
    """Return the scratch branches that are left."""
    with refs.connect(repo) as connection:
        return connection.query("SELECT name FROM dolt_branches WHERE name LIKE 'flyte-tmp/%%'")


def running(repo: Path) -> local_server.Address:
    address = local_server.running(repo)
    assert address is not None, "no server runs"
    return address


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def listing(folder: Path) -> dict[str, str]:
    """Return every path below ``folder`` with its kind and permissions; links are not followed."""
    return {str(path.relative_to(folder)): oct(path.lstat().st_mode) for path in sorted(folder.rglob("*"))}


def sockets_of(pid: int) -> set[str]:
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(fd)
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    return inodes


def listens(pid: int) -> list[tuple[str, int]]:
    """Return the addresses on which a process listens, as the kernel tells them."""
    inodes, found = sockets_of(pid), []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                if state == "0A" and rest[5] in inodes:
                    host, _, port = local.partition(":")
                    raw = bytes.fromhex(host)
                    shown = socket.inet_ntoa(raw[::-1]) if len(raw) == 4 else f"tcp6:{host}"
                    found.append((shown, int(port, 16)))
    return found


# ------------------------------------------------------------------------------------------------- start and share


def test_starts_at_first_use_and_is_reused(repo: Path, temp: Path) -> None:
    """Nothing runs before the first use; every later use of the process talks to the same server."""
    assert local_server.running(repo) is None
    assert left(temp) == []
    put(repo, "t", 1)
    first = running(repo)
    put(repo, "t", 2)
    with local_server.using(repo) as address:
        assert address == first == running(repo)
    assert len(folders(temp)) == 1


def test_threads_share_one_server(repo: Path, temp: Path) -> None:
    """Threads whose first uses happen at once start one server between them."""
    together, found = threading.Barrier(8), []

    def use() -> None:
        together.wait()
        with local_server.using(repo) as address:
            found.append(address)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {running(repo)}
    assert len(folders(temp)) == 1


def test_outlives_the_thread_that_started_it(repo: Path) -> None:
    """A server started from a short-lived thread serves on when that thread has ended."""
    thread = threading.Thread(target=put, args=(repo, "t", 0))
    thread.start()
    thread.join()
    started = running(repo)
    for number in range(1, 11):
        put(repo, "t", number)
        assert running(repo) == started


def test_address_does_not_show_the_password(repo: Path) -> None:
    """The password of the server is not in the text of the address, nor in any command line."""
    with local_server.using(repo) as address:
        assert len(address.password) > 20
        assert address.password not in f"{address!r} {address}"
        assert processes(address.password) == {}


def test_attaches_to_a_server_of_another_process(repo: Path, temp: Path) -> None:
    """A second process uses the server of the first one, and the server ends with the last of them."""
    with script("put('theirs', 1); say(local_server.running(repo).pid); input()", repo) as other:
        (theirs,) = heard(other)
        put(repo, "ours", 2)
        assert running(repo).pid == int(theirs)
    assert put(repo, "ours", 3)
    assert running(repo).pid == int(theirs)
    local_server.release(repo)
    assert_gone(temp)


# ---------------------------------------------------------------------------------------------------------- privacy


@on_linux
def test_listens_on_loopback_only(repo: Path) -> None:
    """The server listens on one port of 127.0.0.1, on no unix socket, and its supervisor on nothing."""
    put(repo, "t", 1)
    address = running(repo)
    assert listens(address.pid) == [("127.0.0.1", address.port)]
    assert listens(parent_of(address.pid)) == []
    unix = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    assert sockets_of(address.pid).isdisjoint(unix)


def test_folder_is_private(repo: Path, temp: Path) -> None:
    """The private folder is in the temp directory and closed to others, and so are the notice and the file folder."""
    put(repo, "t", 1)
    (folder,) = folders(temp)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert oct((folder / "data").stat().st_mode & 0o777) == "0o700"
    assert oct((repo / ".dolt" / "sql-server.info").stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("user", ["root", "__dolt_local_user__", "event_scheduler", "mysql", ""])
@pytest.mark.parametrize("password", ["", "root", "x"])
def test_no_login_without_the_password(repo: Path, user: str, password: str) -> None:
    """No account can be used without the secret in the notice."""
    with local_server.using(repo) as address:
        with pytest.raises(pymysql.err.OperationalError, match=r"Access denied|No authentication methods"):
            pymysql.connect(host=address.host, port=address.port, user=user, password=password, ssl_disabled=True)


def test_sql_reads_no_file_outside(repo: Path, temp: Path) -> None:
    """LOAD_FILE gives NULL for files of the system, of the repository, and beside the server's file folder."""
    beside = temp / "beside.txt"
    beside.write_text("secret")
    with refs.connect(repo) as connection:
        data = connection.shared_folder()
        assert data is not None
        sibling = data.with_name("data2")
        sibling.mkdir()
        (sibling / "file").write_text("secret")
        (data / "own").write_text("own")
        forbidden = [
            "/etc/passwd",
            str(beside),
            str(repo / ".dolt" / "sql-server.info"),
            str(data.parent / "privileges.db"),
            f"{data}/../privileges.db",
            str(sibling / "file"),
        ]
        found = {path: connection.query("SELECT LOAD_FILE(%s)", path)[0][0] for path in [*forbidden, str(data / "own")]}
    assert found == dict.fromkeys(forbidden) | {str(data / "own"): b"own"}


def test_sql_loads_and_writes_no_file_outside(repo: Path, temp: Path) -> None:
    """LOAD DATA of a file elsewhere, or of the client's, and INTO OUTFILE elsewhere are refused, and make no file."""
    outside = temp / "out.txt"
    loads = "LOAD DATA {} INFILE '/etc/passwd' INTO TABLE t"
    with refs.connect(repo) as connection:
        data = connection.shared_folder()
        assert data is not None
        connection.execute("CREATE TABLE t (s TEXT)")
        for statement in (
            loads.format(""),
            loads.format("LOCAL"),
            f"SELECT 1 INTO OUTFILE '{outside}'",
            f"SELECT 1 INTO DUMPFILE '{outside}'",
            f"SELECT 1 INTO OUTFILE '{data}/../out.txt'",
            f"SELECT 1 INTO OUTFILE '{repo}/out.txt'",
        ):
            with pytest.raises(DoltError, match=r"secure-file-priv|secure_file_priv|local_infile"):
                connection.execute(statement)
        assert connection.query("SELECT count(*) FROM t") == [(0,)]
    assert not outside.exists()
    assert not (data.parent / "out.txt").exists()
    assert not (repo / "out.txt").exists()


# ------------------------------------------------------------------------------------------------- leaving no trace


def test_leaves_nothing_in_the_users_folder(repo: Path, temp: Path, dolt: Dolt) -> None:
    """After the release the folder holds the same files and folders as before; only the server's uuid may be new."""
    dolt("sql", "-q", "create table mine (n int)")  # what any use of Dolt makes is there now
    dolt("commit", "-Am", "mine")
    before = listing(repo)
    config = json.loads((repo / ".dolt" / "config.json").read_text())
    put(repo, "t", 1, 2, 3)
    assert set(listing(repo)) - set(before) <= {".dolt/sql-server.info"} | _chunk_files(repo)
    assert (repo / ".dolt" / "sql-server.info").exists()
    local_server.release(repo)
    assert_gone(temp)
    assert {k: v for k, v in listing(repo).items() if k not in _chunk_files(repo)} == {
        k: v for k, v in before.items() if k not in _chunk_files(repo)
    }
    gained = json.loads((repo / ".dolt" / "config.json").read_text())
    assert {k: v for k, v in gained.items() if "server_uuid" not in k} == config
    assert len(gained) <= len(config) + 1


def test_leaves_nothing_in_the_temp_directory(repo: Path, temp: Path) -> None:
    """After the release the temp directory holds what it held before, the server's own temporary files included."""
    local_server.release(repo)
    before = set(temp.iterdir())
    put(repo, "t", 1)
    local_server.release(repo)
    assert_gone(temp)
    assert set(temp.iterdir()) == before


def _chunk_files(repo: Path) -> set[str]:
    """Return the paths of Dolt's own storage, of which it may make more whenever anybody commits."""
    noms = repo / ".dolt" / "noms"
    return {str(path.relative_to(repo)) for path in noms.iterdir() if path.is_file() and len(path.name) >= 32}


def test_stops_when_the_process_ends(repo: Path, temp: Path, dolt: Dolt) -> None:
    """When a script that wrote has ended, its server is gone and the user's checkout works at once."""
    notice = repo / ".dolt" / "sql-server.info"
    with script("import time; put('t', 1); say(time.monotonic())", repo) as writer:
        (said,) = heard(writer)
        assert writer.wait(timeout=60) == 0
        if notice.exists():  # on a machine on which that takes more than the moment for which the script waits
            assert time.monotonic() - float(said) > 0.5
            assert eventually(lambda: not notice.exists(), within_s=GONE_WITHIN_S)
    dolt("checkout", "-b", "x")
    assert_gone(temp)


def test_stops_when_idle_and_starts_again(repo: Path, temp: Path) -> None:
    """A process that lives on lets go of an idle server, and gets another at its next use."""
    with script(
        "while True: put('t', int(input())); say(local_server.running(repo).pid)", repo, FLYTE_DOLT_IDLE_S="1"
    ) as user:
        began = time.monotonic()
        told(user, "1")
        (first,) = heard(user)
        used = time.monotonic()
        assert eventually(lambda: left(temp) == [], within_s=10)
        assert time.monotonic() - began > 1
        assert time.monotonic() - used < 1 + GONE_WITHIN_S
        assert user.poll() is None
        told(user, "2")
        assert heard(user) != [first]


def test_is_not_idle_while_in_use(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A use that lasts longer than the idle time keeps its server."""
    monkeypatch.setattr(local_server, "IDLE_S", 0.1)
    with local_server.using(repo) as address:
        put(repo, "t", 1)
        assert not eventually(lambda: local_server.running(repo) is None, within_s=0.5)
        assert running(repo) == address
    assert eventually(lambda: local_server.running(repo) is None, within_s=GONE_WITHIN_S)


# --------------------------------------------------------------------------------------------------- sudden deaths


def test_killed_only_user(repo: Path, temp: Path) -> None:
    """When the only user is killed, server, supervisor and folder are gone within two seconds."""
    with script("put('t', 1); say('written'); input()", repo) as user:
        assert heard(user) == ["written"]
        assert left(temp) != []
        user.kill()
        assert_gone(temp)
    assert not (repo / ".dolt" / "sql-server.info").exists()
    assert put(repo, "t", 2)


def test_killed_starter_while_another_commits(repo: Path) -> None:
    """The end of the process that started the server costs another one, which is committing, nothing."""
    starter_code = "put('t', 1); say(local_server.running(repo).pid); input()"
    writer_code = """
say('ready'); input()
for n in range(30):
    say(put('w', n), local_server.running(repo).pid)
"""
    # However long the writer takes to begin, the starter has not let go of an idle server by then.
    with script(starter_code, repo, FLYTE_DOLT_IDLE_S="600") as starter, script(writer_code, repo) as writer:
        (pid,) = heard(starter)
        heard(writer)
        told(writer)
        told_so_far = [heard(writer) for _ in range(5)]
        starter.kill()
        told_so_far += [heard(writer) for _ in range(25)]
        assert writer.wait(timeout=60) == 0
    assert {word for _, word in told_so_far} == {pid}
    published = [commit.hash for commit in refs.log(repo)]
    assert [hash_ for hash_, _ in reversed(told_so_far)] == published[:30]


@pytest.mark.slow
@pytest.mark.parametrize("waits", [True, False], ids=["until gone", "not at all"])
def test_fifteen_killed_users_leave_nothing(repo: Path, temp: Path, waits: bool) -> None:
    """Fifteen times a user starts a server and is killed: no process or folder is left, no commit is lost."""
    users = """
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        say(put('t', int(line)), os.getpid())
        signal.pause()
    os.waitpid(child, 0)
"""
    hashes = []
    with script(users, repo) as parent:
        for number in range(15):
            told(parent, str(number))
            hash_, user = heard(parent)
            hashes.append(hash_)
            os.kill(int(user), signal.SIGKILL)
            if waits:
                assert_gone(temp)
        assert_gone(temp)
    assert [commit.hash for commit in refs.log(repo, limit=15)] == hashes[::-1]


def _assert_no_process(temp: Path) -> None:
    began = time.monotonic()
    if not eventually(lambda: processes(str(temp)) == {}, within_s=GONE_WITHIN_S):
        still = processes(str(temp))
        eventually(lambda: processes(str(temp)) == {}, within_s=20)
        pytest.fail(f"after {GONE_WITHIN_S} s: {still}; {time.monotonic() - began:.1f} s later {processes(str(temp))}")


@pytest.mark.slow
def test_killed_while_starting(repo: Path, temp: Path) -> None:
    """A user that is killed at any moment of the start leaves no process, and no obstacle for the next use."""
    users = """
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        say(os.getpid())
        put('t', 1)
        signal.pause()
    os.waitpid(child, 0)
"""
    with script(users, repo) as parent:
        for step in range(12):
            told(parent, "go")
            (user,) = heard(parent)
            time.sleep(step * 0.02)  # not waited for anything: this is the moment of the blow
            os.kill(int(user), signal.SIGKILL)
            _assert_no_process(temp)
    assert put(repo, "t", 2)


@on_linux
def test_killed_supervisor(repo: Path) -> None:
    """Without its supervisor a server goes away, too, and the next use starts anew with nothing lost."""
    first = put(repo, "t", 1)
    old = running(repo)
    os.kill(parent_of(old.pid), signal.SIGKILL)
    assert eventually(lambda: str(old.pid) not in map(str, processes("sql-server")), within_s=GONE_WITHIN_S)
    put(repo, "t", 2)
    assert running(repo) != old
    assert first in [commit.hash for commit in refs.log(repo)]


@on_linux
def test_folder_of_a_killed_supervisor_is_swept(repo: Path, temp: Path, tmp_path: Path) -> None:
    """The next start removes the folder that a killed supervisor left, and never that of a living one."""
    put(repo, "t", 1)
    (orphan,) = folders(temp)
    os.kill(parent_of(running(repo).pid), signal.SIGKILL)
    assert eventually(lambda: local_server.running(repo) is None, within_s=GONE_WITHIN_S)
    assert orphan.exists()
    put(repo, "t", 2)
    (living,) = folders(temp)
    assert living != orphan
    other = create_repository(tmp_path / "other")
    put(other, "t", 1)
    local_server.release(other)
    assert living.exists()
    put(repo, "t", 3)


def test_killed_server_between_uses(repo: Path) -> None:
    """A server that was killed is replaced by the next use, without an error."""
    first = put(repo, "t", 1)
    old = running(repo)
    os.kill(old.pid, signal.SIGKILL)
    second = put(repo, "t", 2)
    assert running(repo) != old
    assert [commit.hash for commit in refs.log(repo, limit=2)] == [second, first]


def test_killed_server_during_a_use(repo: Path) -> None:
    """A server that is killed in the middle of the work costs nothing: the work is done again on a new one, once."""
    first = put(repo, "t", 1)
    killed: list[int] = []

    def work(connection: refs.Connection) -> None:
        connection.execute("CREATE TABLE half (n INT)")
        if not killed:
            killed.append(running(repo).pid)
            os.kill(killed[0], signal.SIGKILL)
        connection.execute("ALTER TABLE half ADD COLUMN m INT")

    written = publishing.write(repo, None, publishing.WriteJob("half", "half", work))
    assert killed
    assert [commit.hash for commit in refs.log(repo, limit=2)] == [written.commit.hash, first]
    assert scratch_branches(repo) == []


def test_server_that_is_killed_each_time(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server is killed under every attempt it is ConnectionLost, the branch stays, the next write works."""
    monkeypatch.setattr(publishing, "MAX_LOST", 2)
    first = put(repo, "t", 1)
    killed = []

    def work(connection: refs.Connection) -> None:
        killed.append(running(repo).pid)
        os.kill(killed[-1], signal.SIGKILL)
        connection.execute("CREATE TABLE whole (n INT)")

    with attempting("write the other half"), pytest.raises(ConnectionLost, match="the other half"):
        publishing.write(repo, None, publishing.WriteJob("half", "half", work))
    assert len(set(killed)) == 2
    assert refs.branches(repo) == {"main": first}
    second = put(repo, "t", 2)
    assert [commit.hash for commit in refs.log(repo, limit=2)] == [second, first]


def test_killed_server_during_a_read(repo: Path) -> None:
    """A server that is killed while rows arrive is ConnectionLost, never a shorter table, and the next read works."""
    config = DoltConfig(str(repo), "t")
    # Much more than sockets and readers hold on the way, so that most of it is still on the server.
    table = api.write(config, pd.DataFrame({"n": range(100_000), "text": ["x" * 600] * 100_000}))
    rows = api.pin(config).iter(batch_rows=1000)
    assert len(next(rows)) == 1000
    os.kill(running(repo).pid, signal.SIGKILL)
    with pytest.raises(ConnectionLost, match="'t'"):
        list(rows)
    assert api.pin(config).commit == table.commit
    assert len(api.read(config)) == 100_000


def test_deleted_private_folder(repo: Path, temp: Path) -> None:
    """When somebody empties the temp directory under a running server, writes still work."""
    put(repo, "t", 1)
    for folder in folders(temp):
        shutil.rmtree(folder)
    put(repo, "t", 2)
    assert api.read(DoltConfig(str(repo), "t"))["n"].tolist() == [2]


# ---------------------------------------------------------------------------------------------- the user's own server


def every_kind() -> pd.DataFrame:
    """Return a frame with the corners of what is stored, in a given order of rows."""
    return pd.DataFrame(
        {
            "id": [1, 2, 3],
            "big": pd.array([2**63 - 1, -(2**63), None], dtype="Int64"),
            "real": [0.1, -1e308, float("nan")],
            "text": ['it\'s "quoted" `x` \\ %s', "🐎 naïve\n\ttab", None],
            "raw": [b"\0\xff'\\", b"", None],
            "truth": pd.array([True, False, None], dtype="boolean"),
            "at": pd.to_datetime(["2024-02-29 23:59:59.999999", "1970-01-01 00:00:00.000000", None]),
        }
    )


def test_uses_a_server_of_the_user_and_leaves_it_running(repo: Path, temp: Path, tmp_path: Path) -> None:
    """A server that the user runs in the folder is used, without files, with the same values, and is not stopped."""
    frame = every_kind()
    with users_server(repo) as process:
        api.write(DoltConfig(str(repo), "t", primary_key=["id"]), frame)
        assert running(repo).pid == process.pid
        assert folders(temp) == set()
        with refs.connect(repo) as connection:
            assert connection.shared_folder() is None
            inserted = connection.query("SELECT DOLT_HASHOF_TABLE('t')")
        read = api.read(DoltConfig(str(repo), "t"))
        local_server.release(repo)
        assert process.poll() is None
        assert running(repo).pid == process.pid
    other = create_repository(tmp_path / "other")
    api.write(DoltConfig(str(other), "t", primary_key=["id"]), frame)
    with refs.connect(other) as connection:
        assert connection.shared_folder() is not None
        assert connection.query("SELECT DOLT_HASHOF_TABLE('t')") == inserted
    loaded = api.read(DoltConfig(str(other), "t"))
    local_server.release(other)
    pd.testing.assert_frame_equal(read, loaded)
    assert read["big"].tolist()[:2] == [2**63 - 1, -(2**63)]
    assert read["text"].tolist()[:2] == frame["text"].tolist()[:2]
    assert read["at"].tolist()[:2] == frame["at"].tolist()[:2]


def test_server_of_the_user_that_ended_is_replaced(repo: Path) -> None:
    """When the user stops the server that was in use, the next write starts a private one."""
    with users_server(repo) as process:
        put(repo, "t", 1)
    put(repo, "t", 2)
    assert running(repo).pid != process.pid
    assert len(refs.log(repo)) == 3


# ------------------------------------------------------------------------------------------------------------ notices


def test_notice_of_a_folder_above_is_not_used(repo: Path) -> None:
    """A repository inside another one has its own server, whatever runs above it."""
    inner = create_repository(repo / "below" / "inner")
    put(repo, "outer", 1)
    assert local_server.running(inner) is None
    put(inner, "inner", 2)
    assert running(inner) != running(repo)
    local_server.release(inner)
    assert len(refs.log(repo)) == 2


@pytest.mark.parametrize(
    "notice",
    [
        "999999999:3306:0f1e2d3c-dead",
        "{own_pid}:1:0f1e2d3c-port-closed",
        "garbage",
        "",
        "1:2",
        "a:b:c",
        "-5:-5:x",
        "0:0:x",
        "{own_pid}:99999999:x",
        "{own_pid}:" + "9" * 30 + ":x",
        "9" * 30 + ":3306:x",
        "\ud8ff",
    ],
)
def test_stale_notice_is_ignored(repo: Path, notice: str) -> None:
    """A notice that a killed server or an accident left does not keep the next use from starting a server."""
    text = notice.format(own_pid=os.getpid())
    (repo / ".dolt" / "sql-server.info").write_bytes(
        text.encode("utf-16" if "\ud8ff" in text else "utf-8", "surrogatepass")
    )
    assert local_server.running(repo) is None
    put(repo, "t", 1)
    assert running(repo).pid != os.getpid()


def test_stale_notice_whose_port_now_is_another_server(repo: Path, tmp_path: Path) -> None:
    """A notice that happens to name a living process and a port that another repository's server has now is ignored."""
    other = create_repository(tmp_path / "other")
    put(other, "t", 1)
    (repo / ".dolt" / "sql-server.info").write_text(f"{os.getpid()}:{running(other).port}:0f1e2d3c")
    try:
        put(repo, "t", 2)
        assert running(repo).port != running(other).port
    finally:
        local_server.release(other)


# ------------------------------------------------------------------------------------------------------------ locks


def test_repository_held_by_another_dolt(repo: Path, temp: Path) -> None:
    """While another dolt process holds the repository, RepositoryBusy comes in time, says why, and leaves nothing."""
    with dolt_program.holding(repo):
        began = time.monotonic()
        with pytest.raises(RepositoryBusy, match="process") as caught:
            with local_server.using(repo, timeout_s=1.0):
                pass
        # The last start, which may begin just before the time is over, is given some seconds to say why it fails.
        assert 0.9 < time.monotonic() - began < 1.0 + local_server.ONE_START_S + GONE_WITHIN_S
        assert caught.value.path == repo
        assert str(repo) in str(caught.value)
        assert_gone(temp)
    assert put(repo, "t", 1)


def test_repository_let_go_in_time(repo: Path) -> None:
    """A use waits for another dolt process, and goes on when that one has ended."""
    with dolt_program.holding(repo) as holder:
        done = threading.Timer(0.5, holder.communicate)
        done.start()
        assert put(repo, "t", 1)
        done.join()


@pytest.mark.parametrize("folder", [".dolt", ".dolt/noms"])
def test_lock_held_by_another_start(repo: Path, folder: str) -> None:
    """While another process starts or stops the server, the wait is bounded and its end is RepositoryBusy."""
    fd = os.open(repo / folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(RepositoryBusy, match="process") as caught:
            with local_server.using(repo, timeout_s=1):
                pass
        waited_s = time.monotonic() - began
        assert 1 <= waited_s < 10
        assert 0.5 < caught.value.waited_s <= waited_s  # for this one of the locks, of which there are some
    finally:
        os.close(fd)
    assert put(repo, "t", 1)


def _denied(how: str, repo: Path) -> tuple[str, ...]:
    """Return the command under which a process cannot write to ``repo``."""
    if how == "mount":
        mount = f"mount --bind '{repo}' '{repo}' && mount -o remount,ro,bind '{repo}' && exec \"$@\""
        return ("unshare", "--mount", "sh", "-c", mount, "sh")
    for path in [repo, *repo.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    # Root may write everywhere as long as it has its capabilities.
    return () if os.getuid() else ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


@pytest.mark.parametrize("how", ["permissions", "mount"])
def test_folder_that_cannot_be_written(repo: Path, temp: Path, how: str) -> None:
    """A repository that this user cannot write to is RepositoryReadOnly at every door, with what to do about it."""
    code = """
for door in (lambda: put('t', 1), lambda: api.read(DoltConfig(str(repo), sql='select 1')), use):
    try:
        door()
    except errors.RepositoryReadOnly as error:
        say(error)
"""
    use = """
def use():
    with local_server.using(repo):
        pass
"""
    wrapper = _denied(how, repo)
    if wrapper and subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip(f"this machine does not let us run {wrapper[0]}")
    try:
        with script(use + code, repo, wrapper=wrapper) as denied:
            said, _ = denied.communicate(timeout=60)
    finally:
        for path in [repo, *repo.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert len(said.splitlines()) == 3, said
    for line in said.splitlines():
        assert line.startswith(f"Cannot open the repository {str(repo)!r}: ")
        assert "Copy it to a writable folder" in line
    assert denied.returncode == 0
    assert_gone(temp)
    with pytest.raises(RepositoryReadOnly, match="permissions"), local_server.using(repo / "missing"):
        pass


# ------------------------------------------------------------------------------------------- forks and new folders


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
def test_forked_child_has_connections_of_its_own(repo: Path, ending: str) -> None:
    """A forked child reads and writes on its own connections, and its end does not disturb its parent."""
    code = f"""
put('before', 1)
with refs.connect(repo) as kept:
    ask = lambda: kept.query('SELECT CONNECTION_ID()')
    mine, served_by = ask(), local_server.running(repo)
put('warm', 1)
child = os.fork()
if child == 0:
    with refs.connect(repo) as own:
        assert own.query('SELECT CONNECTION_ID()') != mine
    put('child', *range(5))
    assert api.read(DoltConfig(str(repo), 'before'))['n'].tolist() == [1]
    {ending}
for n in range(10):
    put('parent', n)
assert os.waitpid(child, 0)[1] == 0
with refs.connect(repo) as kept:
    assert kept.query('SELECT CONNECTION_ID()') == mine
put('after', 1)
assert local_server.running(repo) == served_by
say('done')
"""
    # The parent keeps its connection, however long the child takes.
    with script(code, repo, FLYTE_DOLT_IDLE_S="600") as parent:
        assert heard(parent) == ["done"]
        assert parent.wait(timeout=60) == 0
    assert len(refs.log(repo)) == 1 + 2 + 1 + 10 + 1


def test_forked_child_outlives_its_parent(repo: Path, temp: Path) -> None:
    """A server stays as long as a forked child of the process that started it uses it, and ends with the child."""
    code = """
put('t', 1)
if os.fork() == 0:
    put('child', 1)
    served_by = local_server.running(repo)
    say(os.getpid())
    os.read(0, 1)
    put('child', 2)
    assert local_server.running(repo) == served_by
    say('done')
    os.read(0, 1)
    os._exit(0)
signal.pause()
"""
    with script(code, repo) as parent:
        (child,) = heard(parent)
        try:
            parent.kill()
            told(parent)
            assert heard(parent) == ["done"]
        finally:
            os.kill(int(child), signal.SIGKILL)
        assert_gone(temp)


def test_folder_made_anew_is_served_fresh(repo: Path, temp: Path) -> None:
    """A repository that was deleted and made anew under its old path is served by a new server, for everybody."""
    put(repo, "old", 1)
    old = running(repo)
    shutil.rmtree(repo)
    create_repository(repo)
    fresh = put(repo, "new", 2)
    assert [commit.hash for commit in refs.log(repo, limit=1)] == [fresh]
    assert len(refs.log(repo)) == 2
    assert eventually(lambda: old.pid not in processes("sql-server"), within_s=GONE_WITHIN_S)
    assert running(repo) != old
    with script("say(put('theirs', 3), local_server.running(repo).pid)", repo) as other:
        assert heard(other)[1] == str(running(repo).pid)
    assert eventually(lambda: len(folders(temp)) == 1, within_s=GONE_WITHIN_S)


def test_folder_deleted_under_the_server(repo: Path, temp: Path) -> None:
    """When the repository is deleted, the server that served it ends at the release and nothing is made again."""
    put(repo, "t", 1)
    shutil.rmtree(repo)
    local_server.release(repo)
    assert_gone(temp)
    assert not repo.exists()


def test_folder_with_a_hostile_name(tmp_path: Path, temp: Path) -> None:
    """A path with quotes, spaces, colons, hashes and other scripts' letters is served as it is."""
    path = create_repository(tmp_path / "2024-05-07T12:38 @home #1" / 'it\'s; a "naïve" {repository} – `ü`')
    first = put(path, "t", 1)
    assert refs.branches(path) == {"main": first}
    local_server.release(path)
    assert_gone(temp)


@pytest.mark.parametrize("name", ["a:b", "a@b", "mysql", "information_schema"])
def test_folder_whose_database_cannot_be_reached(tmp_path: Path, temp: Path, name: str) -> None:
    """A folder whose name Dolt can make no reachable database of is refused with the reason, and nothing is left."""
    path = create_repository(tmp_path / name)
    with pytest.raises(ServerFailed, match="':'.*'@'"):
        put(path, "t", 1)
    local_server.release(path)
    assert_gone(temp)
