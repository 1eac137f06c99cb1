"""The disk fails: a full one, a full temporary folder. Old or new, and typed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from letting_go import is_left
from remote_folder import RemoteFolder, clones

from flytekitplugins.dolt import DoltConfig, api, create_repository, errors
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import binary, local_server

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


def fsck(repo: Path) -> str:
    """Let Dolt look at everything that is stored; its server has to be gone."""
    done = subprocess.run([str(binary.find()), "fsck"], cwd=repo, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("left", [100_000, 600_000, 1_500_000, 3_000_000])
def test_a_full_disk_leaves_the_old_table(small: Path, left: int) -> None:
    """Wherever in a write the space ends: one typed error, the branch as it was; when there is space, all goes on."""
    repo = create_repository(small / "foo", name="A", email="a@b.c")
    config = DoltConfig(str(repo), "t", primary_key=["n"])
    api.write(config, FRAME)
    before = refs.log(repo)
    filler = fill(small, but=left)
    with pytest.raises((errors.DiskFull, errors.ConnectionLost), match=r"no space|server"):
        api.write(DoltConfig(str(repo), "t", primary_key=["n"], on_schema_change="replace"), large(left))
    filler.unlink()
    assert refs.log(repo) == before
    assert api.read(config)["n"].tolist() == [1, 2]
    api.write(config, pd.DataFrame({"n": [1, 2, 3]}))
    assert api.read(config)["n"].tolist() == [1, 2, 3]
    with refs.connect(repo) as connection:
        assert connection.query("SELECT * FROM dolt_status") == []
    local_server.release(repo)
    assert "No problems found" in fsck(repo)


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
    filler.unlink()
    api.write(DoltConfig(str(repo), "other", primary_key=["n"]), large(1, rows=2_000))
    assert len(refs.log(repo)) == len(before) + 1
    local_server.release(repo)


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
