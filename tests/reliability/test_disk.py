"""The disk fails: a full one, a full temporary folder. Old or new, and typed."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ways
from letting_go import is_left, is_sound
from remote_folder import RemoteFolder, clones
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, api, create_repository, errors
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server

pytestmark = pytest.mark.slow

SMALL_BYTES = 16 * 2**20
FRAME = pd.DataFrame({"n": [1, 2]})


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 16 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, *, but: int) -> Path:
    """Fill a file system until only ``but`` bytes are left."""
    free = os.statvfs(place)
    filler = place / "filler"
    with filler.open("wb") as file:
        file.write(b"x" * (free.f_bavail * free.f_frsize - but))
    return filler


def large(seed: int, rows: int = 150_000) -> pd.DataFrame:
    """Return a frame that does not compress."""
    random = np.random.default_rng(seed)
    return pd.DataFrame({"n": np.arange(rows), "x": random.random(rows), "y": random.integers(0, 2**62, rows)})


def unsorted(seed: int, rows: int = 400_000) -> pd.DataFrame:
    """Return so many rows, with keys in no order, that the server sorts them in files."""
    random = np.random.default_rng(seed)
    text = pd.Series(random.integers(0, 2**62, rows)).astype(str)
    return pd.DataFrame({"n": random.permutation(rows), "t": text + text + text + text + text})


def waiting_rows(repo: Path) -> list[str]:
    """Return the files of rows that are in the server's folder."""
    with refs.connect(repo) as connection:
        folder = connection.shared_folder()
        assert folder is not None
        return [path.name for path in folder.iterdir() if path.suffix in (".rows", ".tsv")]


@pytest.mark.parametrize(
    ("left", "rows"),
    [(100_000, large), (600_000, large), (1_500_000, large), (3_000_000, large), (10_000_000, unsorted)],
)
def test_a_full_disk_leaves_the_old_table(small: Path, left: int, rows: Callable[[int], pd.DataFrame]) -> None:
    """Wherever in a write the space ends: one typed error, the branch as it was; when there is space, all goes on."""
    if rows is unsorted and ways.expected() == ways.BY_SQL:
        pytest.skip("rows that go by SQL are not sorted in files")
    repo = create_repository(small / "foo", name="A", email="a@b.c")
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    api.write(config, FRAME)
    before = refs.log(repo)
    filler = fill(small, but=left)
    with ways.counted() as went, pytest.raises((errors.DiskFull, errors.ConnectionLost), match=r"no space|server"):
        api.write(DoltConfig(str(repo), "t", primary_key=["n"], on_schema_change="replace"), rows(left))
    assert set(went) <= {ways.expected()}
    with suppress(errors.DiskFull):  # the server has ended, and what it has to repair first finds no space
        assert waiting_rows(repo) == []
    filler.unlink()
    assert waiting_rows(repo) == []
    assert refs.log(repo) == before
    assert api.read(config)["n"].tolist() == [1, 2]
    api.write(config, pd.DataFrame({"n": [1, 2, 3]}))
    assert api.read(config)["n"].tolist() == [1, 2, 3]
    with refs.connect(repo) as connection:
        assert connection.query("SELECT * FROM dolt_status") == []
    assert is_sound(repo)


def left_to_repair(small: Path, config: DoltConfig, repo: Path) -> Path:
    """Write, kill the server and fill the disk, until what is left needs space; return what fills it.

    It seldom needs none: where the server was just done when the blow came.
    """
    for number in range(10):
        with local_server.using(repo) as address:
            api.write(config, FRAME.assign(n=FRAME["n"] + number))
            os.kill(address.pid, signal.SIGKILL)
            assert eventually(lambda pid=address.pid: not Path(f"/proc/{pid}").exists(), within_s=20)
        filler = fill(small, but=0)
        try:
            refs.log(repo)
        except errors.DiskFull:
            return filler
        local_server.release(repo)
        filler.unlink()
    raise AssertionError("there was never anything to repair")


def test_a_killed_server_on_a_full_disk(small: Path) -> None:
    """What a killed server left has to be repaired first, for which there is no space: said at once, nothing lost."""
    repo = create_repository(small / "foo", name="A", email="a@b.c")
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    filler = left_to_repair(small, config, repo)
    began = time.monotonic()
    with pytest.raises(errors.DiskFull, match="no space"):
        refs.log(repo)
    assert time.monotonic() - began < local_server.START_TIMEOUT_S
    filler.unlink()
    first = api.read(config)["n"].min()
    assert api.read(config)["n"].tolist() == [first, first + 1]
    assert is_sound(repo)


def test_a_full_temporary_folder_is_said(repo: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rows wait for the server is no space: the error names the place, and nothing was written."""
    monkeypatch.setenv("TMPDIR", str(small))
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    api.write(config, FRAME)
    before = refs.log(repo)
    filler = fill(small, but=500_000)
    with pytest.raises(errors.DiskFull, match="TMPDIR"):
        api.write(DoltConfig(str(repo), "other", primary_key=["n"]), large(1))
    assert refs.log(repo) == before
    assert waiting_rows(repo) == []
    filler.unlink()
    with ways.counted() as went:
        api.write(DoltConfig(str(repo), "other", primary_key=["n"]), large(1, rows=2_000))
    assert set(went) == {ways.expected()}
    assert len(refs.log(repo)) == len(before) + 1
    assert is_sound(repo)


def test_a_read_into_a_full_temporary_folder(repo: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows that go natively wait for us is no space: they come by SQL, all of them, and nothing is left there."""
    monkeypatch.setenv("TMPDIR", str(small))
    monkeypatch.setattr(tempfile, "tempdir", str(small))
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    api.write(config, large(1))
    query = DoltConfig(str(repo), sql="SELECT * FROM t ORDER BY n")
    filler = fill(small, but=500_000)
    for asked in (config, query):
        pd.testing.assert_frame_equal(api.read(asked), large(1))
    assert waiting_rows(repo) == []
    filler.unlink()
    pd.testing.assert_frame_equal(api.read(config), large(1))
    assert is_sound(repo)


def test_a_clone_that_does_not_fit(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for a clone is DiskFull, leaves no part of one, and when there is space the next read makes it."""
    remote = RemoteFolder.made(tmp_path)
    with remote.on("other"):
        api.write(remote.config("t"), large(1))
    remote.let_go()
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(small / "clones"))
    filler = fill(small, but=1_000_000)
    with pytest.raises(errors.DiskFull, match="no space left on device"):
        api.read(remote.config("t"))
    assert clones(small / "clones") == []
    filler.unlink()
    pd.testing.assert_frame_equal(api.read(remote.config("t", order_by=["n"])), large(1))
    for clone in clones(small / "clones"):
        assert is_left(clone)
