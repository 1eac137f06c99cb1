"""A statement that makes the private server panic: done once more, alone, then final; all others go on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from letting_go import is_sound, let_go
from users_server import users_server
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, api, read, write
from flytekitplugins.dolt.errors import TRANSIENT, ConnectionLost, ServerFailed
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.server import local_server

# Whether Dolt answers before it panics, and whether a server is let go, is a matter of time on a busy machine.
pytestmark = pytest.mark.serial

Dolt = Callable[..., str]

PANICKING = "SELECT COUNT(rows_added), SLEEP(10) FROM DOLT_DIFF_STAT('a', 'b', 'doubled')"
"""Dolt looks for them in another goroutine, which may end the server after no row was sent: so the answer waits."""
WHY = r"panic: runtime error: index out of range \[1\] with length 1"

VIRTUAL = (
    "create table doubled (id int primary key, twice int generated always as (v * 2), v int);"
    "insert into doubled (id, v) values (1, 1); call dolt_commit('-Am', 'a'); call dolt_tag('a');"
    "update doubled set v = 5; call dolt_commit('-Am', 'b'); call dolt_tag('b')"
)


@pytest.fixture
def panicky(repo: Path, dolt: Dolt) -> Path:
    """Give a repository with a table that ends Dolt when its two commits are compared in one way."""
    dolt("sql", "-q", VIRTUAL)
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    return repo


def panic(repo: Path) -> None:
    """Run the statement as the library runs its own."""
    with connect(repo) as connection:
        connection.query(PANICKING)


def servers_used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the list of the processes that are started for the repository from now on."""
    found: list[int] = []
    real = local_server._start

    def noted(repository: Path, deadline: float) -> local_server.Address:
        address = real(repository, deadline)
        found.append(address.pid)
        return address

    monkeypatch.setattr(local_server, "_start", noted)
    return found


def test_it_is_repeated_once_on_a_fresh_server_and_is_final(panicky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to be repeated by Flyte, with the log's line, and what comes next works."""
    before = local_server.running(panicky)
    started = servers_used(monkeypatch)
    with pytest.raises(ServerFailed, match=WHY) as failed:
        panic(panicky)
    assert not isinstance(failed.value, TRANSIENT)
    assert failed.value.path == panicky  # type: ignore[attr-defined]
    assert len(started) == 1
    assert before is not None
    assert before.pid not in started
    assert read(DoltConfig(str(panicky), "t"))["n"].tolist() == [1]
    assert len(started) == 2


def test_a_write_is_repeated_as_a_whole_and_is_final(panicky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch stays as it is, no scratch branch is left, and the next write works."""
    started, tries = servers_used(monkeypatch), []
    head = refs.branches(panicky)

    def work(connection: Connection) -> None:
        tries.append(connection.local_port)
        connection.execute("CREATE TABLE half (n INT)")
        connection.query(PANICKING)

    with pytest.raises(ServerFailed, match=WHY):
        publishing.write(panicky, None, publishing.WriteJob("half", "half", work))
    assert len(tries) == 2
    assert len(started) == 1
    assert refs.branches(panicky) == head
    write(DoltConfig(str(panicky), "t"), pd.DataFrame({"n": [2]}))
    with connect(panicky) as connection:
        assert connection.query("SELECT name FROM dolt_branches WHERE name <> 'main'") == []


def test_one_that_panics_inside_of_what_is_repeated_alone(panicky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is alone already stays alone, and ends."""
    started = servers_used(monkeypatch)
    with local_server.alone(panicky), pytest.raises(ServerFailed, match=WHY):
        panic(panicky)
    assert len(started) == 2
    assert read(DoltConfig(str(panicky), "t"))["n"].tolist() == [1]


def test_a_panic_that_drops_the_session_only(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done once more, the server goes on, and then it is final, with the log's line."""
    wide = pd.DataFrame({f"c{number}": [number] for number in range(4200)})
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    with local_server.using(repo):  # else it would end when it had nothing to do for a while
        started, before = servers_used(monkeypatch), local_server.running(repo)
        with pytest.raises(ServerFailed, match="panic: tuple field maxIdx exceeds maximum") as failed:
            write(DoltConfig(str(repo), "wide"), wide)
        assert not isinstance(failed.value, TRANSIENT)
        assert started == []
        assert local_server.running(repo) == before
    assert read(DoltConfig(str(repo), "t"))["n"].tolist() == [1]


def test_others_in_flight_go_on(panicky: Path) -> None:
    """A statement of another thread, which was running when the server ended, gives what it would have given."""
    found: list[object] = []

    def ask() -> None:
        with connect(panicky) as connection:
            found.append(connection.query("SELECT 'asked', SLEEP(2)"))
            found.append(connection.query("SELECT n FROM t"))

    other = threading.Thread(target=ask)
    other.start()
    asked = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%''asked''%' AND command = 'Query'"

    def is_running() -> bool:
        with connect(panicky) as connection:
            return bool(connection.query(asked)[0][0] > 1)

    assert eventually(is_running, within_s=20)
    with pytest.raises(ServerFailed, match=WHY):
        panic(panicky)
    other.join()
    assert found == [[("asked", 0)], [(1,)]]


def test_a_write_in_flight_goes_on(panicky: Path) -> None:
    """It is done again, and is one commit."""
    head, panicked = refs.branches(panicky)["main"], []

    def work(connection: Connection) -> None:
        connection.execute("CREATE TABLE half (n INT)")
        if not panicked:
            panicked.append(True)
            with pytest.raises(ServerFailed, match=WHY):
                panic(panicky)
        connection.execute("ALTER TABLE half ADD COLUMN m INT")

    written = publishing.write(panicky, None, publishing.WriteJob("half", "half", work))
    assert [commit.hash for commit in refs.log(panicky, limit=2)] == [written.commit.hash, head]


WRITER = """
import sys
import pandas as pd
from flytekitplugins.dolt import DoltConfig, write
for number in range(12):
    write(DoltConfig(sys.argv[1], sys.argv[2], mode="append"), pd.DataFrame({"n": [number]}))
    print(number, flush=True)
"""


@pytest.mark.slow
def test_writers_in_other_processes_go_on(panicky: Path) -> None:
    """Each of their writes is one commit, whatever of them the panics met."""
    before = len(refs.log(panicky))
    argv = [sys.executable, "-c", WRITER, str(panicky)]
    writers = [
        subprocess.Popen([*argv, table], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for table in ("first", "second")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "0\n"
    for _ in range(2):
        with pytest.raises(ServerFailed, match=WHY):
            panic(panicky)
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    for table in ("first", "second"):
        assert sorted(read(DoltConfig(str(panicky), table))["n"]) == list(range(12))
    assert len(refs.log(panicky)) == before + 24
    assert is_sound(panicky)


def test_on_a_server_of_the_users_it_stays_a_lost_connection(panicky: Path) -> None:
    """Its log is not ours to read, nor is it ours to be started again."""
    let_go(panicky)
    with users_server(panicky) as server:
        with pytest.raises(ConnectionLost):
            panic(panicky)
        assert server.wait(timeout=20) != 0
    assert api.read(DoltConfig(str(panicky), "t"))["n"].tolist() == [1]
