"""A process that started a private server is killed: the server ends with it, and what was acknowledged stays."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest
import ways
import writers
from factor import FACTOR, SEED
from leftovers import GONE_WITHIN_S, dolt, left
from waiting import eventually

from flytekitplugins.dolt.repository import refs

pytestmark = pytest.mark.serial


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's parent-death signal")
@pytest.mark.slow
@pytest.mark.timeout(300 * FACTOR)
def test_fifty_killed_parents(repo: Path, temp: Path, tmp_path: Path) -> None:
    """Fifty times a process starts a server and is killed while it writes: within two seconds nothing of it is left."""
    moments = random.Random(SEED)
    acknowledged = []
    went: set[str] = set()
    for number in range(50 * FACTOR):
        writer = writers.start(writers.write_both, tmp_path / f"{number}.txt", str(repo), f"w{number}", 1000, 0)
        assert eventually(lambda: left(temp) != [], within_s=30)
        time.sleep(moments.uniform(0, 0.5))  # not waited for anything: this is the moment of the blow
        writer.process.kill()
        writer.process.join()
        assert eventually(lambda: left(temp) == [], within_s=GONE_WITHIN_S), (number, left(temp))
        assert not (repo / ".dolt" / "sql-server.info").exists()
        assert "flyte-tmp/" not in dolt(repo, "branch"), number
        dolt(repo, "fsck")
        went |= writer.ways()
        acknowledged += [hash_ for hash_, *_ in writer.told()]
    log = {commit.hash for commit in refs.log(repo)}
    assert set(acknowledged) <= log
    assert went == {ways.expected()}
