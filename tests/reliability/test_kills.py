"""Processes are killed at random moments: what was acknowledged stays, no table is half written, nothing is left."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ways
import writers
from factor import FACTOR, SEED
from leftovers import GONE_WITHIN_S, dolt, left
from waiting import eventually
from writers import ROWS, Writer

from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server

pytestmark = pytest.mark.serial
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's parent-death signal")

START_WITHIN_S = 2.0
AFTERWARDS = 8
"""Times that one who survives the blow writes both tables after it."""


def write_past(say: Callable[..., None], repo: str, me: str, struck: str, first: int) -> None:
    """Do what `write_both` does until the blow has come, which so never comes too late, and `AFTERWARDS` times more."""
    number, left = 0, AFTERWARDS
    while left:
        left -= Path(struck).exists()
        writers.write_both(say, repo, f"{me}.{number}", 1, first + number)
        number += 1


def strike(victim: str, repo: Path, writer: Writer) -> None:
    """Kill the server, its supervisor, or the process that writes."""
    pid = writer.process.pid
    if victim in ("server", "supervisor"):
        address = local_server.running(repo)
        assert address is not None
        pid = address.pid
        if victim == "supervisor":
            pid = int(Path(f"/proc/{address.pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def check(repo: Path, told: list[list[str]], known: str) -> str:
    """Hold the repository against what was acknowledged since commit ``known``; return the new head."""
    began = time.monotonic()
    with refs.connect(repo) as connection:
        assert time.monotonic() - began < START_WITHIN_S
        log = refs.log(repo)
        hashes = [commit.hash for commit in log]
        new = hashes[: hashes.index(known)]
        assert [hash_ for hash_, *_ in told] == [hash_ for hash_ in reversed(new) if hash_ in {t[0] for t in told}]
        # Of the writer that was killed, the last commit may be there without its being told so; no other.
        assert len(new) - len(told) in (0, 1)
        for hash_ in new:
            rows = connection.query(f"SELECT COUNT(*), COUNT(DISTINCT generation) FROM whole AS OF '{hash_}'")
            assert rows == [(ROWS, 1)], hash_
        doubled = "SELECT writer, number FROM log GROUP BY writer, number HAVING COUNT(*) > 1"
        if any(kind == "log" for *_, kind in told):
            assert connection.query(doubled) == []
        scratch = "SELECT name FROM dolt_branches WHERE name LIKE 'flyte-tmp/%%'"
        assert connection.query(scratch) == []
        assert connection.query("SELECT * FROM dolt_status") == []
    return hashes[0]


@on_linux
@pytest.mark.slow
@pytest.mark.timeout(300 * FACTOR)
@pytest.mark.parametrize("victim", ["server", "supervisor", "worker", "task"])
def test_killed_at_random_moments(repo: Path, temp: Path, tmp_path: Path, victim: str) -> None:
    """Ten kills each: no acknowledged commit is lost, no table half written, fsck is clean, the next start is quick."""
    seed = SEED + len(victim)
    moments = random.Random(seed)
    work = writers.run_tasks if victim == "task" else writers.write_both
    head = refs.branches(repo)["main"]
    local_server.release(repo)
    for number in range(10 * FACTOR):
        moment_s = moments.uniform(0, 0.4)
        name = f"seed {seed} round {number} after {moment_s:.3f} s"
        survives = victim in ("server", "supervisor")
        file, struck = tmp_path / f"{number}.txt", tmp_path / f"{number}.struck"
        if survives:
            writer = writers.start(write_past, file, str(repo), f"w{number}", str(struck), number * 1000)
        else:
            writer = writers.start(work, file, str(repo), f"w{number}", 1000, number * 1000)
        assert writer.has_told(1), name
        time.sleep(moment_s)  # not waited for anything: this is the moment of the blow
        strike(victim, repo, writer)
        struck.touch()
        if survives:
            assert writer.ended_well(), name
            assert len(writer.told()) >= 2 * AFTERWARDS, name
        writer.process.join()
        assert eventually(lambda: left(temp) == [], within_s=GONE_WITHIN_S), (name, left(temp))
        assert "flyte-tmp/" not in dolt(repo, "branch"), name
        dolt(repo, "fsck")
        assert writer.ways() == {ways.expected()}, name
        head = check(repo, writer.told(), head)
        local_server.release(repo)
