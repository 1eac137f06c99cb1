"""Many rows are put into a table or read from it, which takes the server a while, and something happens meanwhile.

The server is killed in the middle, or Dolt collects its garbage beside several writers. Whichever way rows go, a table
is old or new as a whole, `dolt fsck` finds nothing, and no file is left where rows wait.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import ways
import writers
from factor import FACTOR
from leftovers import left
from letting_go import is_sound
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, api
from flytekitplugins.dolt.errors import TRANSIENT, ConnectionLost
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server

pytestmark = pytest.mark.slow

ROWS = 300_000 if ways.expected() == ways.NATIVELY else 30_000
"""So many that the server is busy with them for longer than it takes to look at what it does."""

PUTS = {ways.NATIVELY: "CALL flyte_commit_rows", ways.BY_SQL: "LOAD DATA"}
READS = {ways.NATIVELY: "CALL flyte_export", ways.BY_SQL: "SELECT `n`"}

WRITERS, COMMITS, PART = 4, 5 * FACTOR, 5_000


def frame(generation: int, rows: int = ROWS) -> pd.DataFrame:
    """Return rows that each say the same number, in an order that is not that of their keys."""
    random = np.random.default_rng(generation)
    return pd.DataFrame({"n": random.permutation(rows), "x": random.random(rows), "generation": generation})


def killed_while(repo: Path, begins: str, looks: int, running: Future[Any]) -> None:
    """Kill the server when it was seen so often at a statement that begins like this; not if that is over before."""
    asked = "SELECT 1 FROM information_schema.processlist WHERE command = 'Query' AND info LIKE %s"
    seen = 0
    with refs.connect(repo) as connection:

        def is_time() -> bool:
            nonlocal seen
            seen += len(connection.query(asked, f"{begins}%"))
            return seen >= looks or running.done()

        server = local_server.running(repo)
        assert server is not None
        assert eventually(is_time, within_s=120)
        os.kill(server.pid, signal.SIGKILL)


def generation(repo: Path) -> int:
    """Return the number that all rows of the table say."""
    with refs.connect(repo) as connection:
        ((count, least, most),) = connection.query("SELECT COUNT(*), MIN(generation), MAX(generation) FROM t")
        assert (count, least) == (ROWS, most)
        return int(most)


@pytest.mark.parametrize("is_done_again", [False, True])
def test_a_server_that_is_killed_while_it_takes_rows(
    repo: Path, temp: Path, monkeypatch: pytest.MonkeyPatch, is_done_again: bool
) -> None:
    """The table is as it was and the error says so, or the write is done again, and is one commit."""
    monkeypatch.setattr(publishing, "MAX_LOST", 2 if is_done_again else 1)
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    with ways.counted() as went:
        api.write(config, frame(0))
    assert set(went) == {ways.expected()}
    old, lost = 0, 0
    for new, looks in enumerate((1, 5, 20), 1):
        log = refs.log(repo)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(api.write, config, frame(new))
            killed_while(repo, PUTS[ways.expected()], looks, running)
        lost += running.exception() is not None
        if running.exception() is None:
            old = new
            assert refs.log(repo)[1:] == log
        else:
            assert isinstance(running.exception(), ConnectionLost)
            assert refs.log(repo) == log
        assert generation(repo) == old
        assert is_sound(repo)
        assert eventually(lambda: left(temp) == [], within_s=20), left(temp)
    assert lost == 0 if is_done_again else lost > 0


def test_a_server_that_is_killed_while_it_gives_rows(repo: Path, temp: Path) -> None:
    """The read gives all rows, from the next server; no file of the first one is left."""
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    expected = frame(0)
    api.write(config, expected)
    for looks in (1, 3):
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(api.read, config)
            killed_while(repo, READS[ways.expected()], looks, running)
        found = running.result().sort_values("n", ignore_index=True)
        pd.testing.assert_frame_equal(found, expected.sort_values("n", ignore_index=True))
        assert is_sound(repo)
        assert eventually(lambda: left(temp) == [], within_s=20), left(temp)


def put(say: Callable[..., None], repo: str, me: int) -> None:
    """Replace the own table, and add rows to that of all, by turns; try again as Flyte does."""
    own = DoltConfig(repo, f"own{me}", primary_key=["n"])
    of_all = DoltConfig(repo, "all", primary_key=["writer", "generation", "n"], mode="append")
    for number in range(COMMITS):
        rows = frame(number, PART)
        for config, brought in ((own, rows), (of_all, rows.assign(writer=me))):
            written = None
            while written is None:
                with suppress(*TRANSIENT):
                    written = api.write(config, brought, key=f"{me}-{number}-{config.tablename}").commit
            say(written.hash)


@pytest.mark.timeout(300 * FACTOR)
def test_garbage_is_collected_beside_writers(repo: Path, tmp_path: Path) -> None:
    """In the middle of what they do: no row is lost, no session is ended, and each write is one commit."""
    go = tmp_path / "go"
    started = [writers.start(put, tmp_path / f"{me}.txt", str(repo), me, go=go) for me in range(WRITERS)]
    go.touch()
    collections = 0

    def is_time() -> bool:  # they get on in between
        told = sum(len(writer.told()) for writer in started)
        return told >= WRITERS * collections or not any(writer.process.is_alive() for writer in started)

    while any(writer.process.is_alive() for writer in started):
        assert eventually(is_time, within_s=120)
        with refs.connect(repo) as connection:
            connection.query("CALL DOLT_GC()" if collections % 2 else "CALL DOLT_GC('--full')")
        collections += 1
    assert [writer.ended_well() for writer in started] == [True] * WRITERS
    assert set().union(*(writer.ways() for writer in started)) == {ways.expected()}
    assert collections > COMMITS
    log = refs.log(repo)
    told = {hash_ for writer in started for (hash_,) in writer.told()}
    assert {commit.hash for commit in log[:-1]} == told
    assert len(log) == 1 + 2 * WRITERS * COMMITS
    assert all(commit.parents == (older.hash,) for commit, older in pairwise(log))
    found = api.read(DoltConfig(str(repo), "all"))
    assert found.groupby(["writer", "generation"]).size().tolist() == [PART] * WRITERS * COMMITS
    last = frame(COMMITS - 1, PART).sort_values("n", ignore_index=True)
    for me in range(WRITERS):
        pd.testing.assert_frame_equal(api.read(DoltConfig(str(repo), f"own{me}", order_by=["n"])), last)
    assert is_sound(repo)
