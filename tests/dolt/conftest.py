"""Fixtures of the tests on remotes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_folder import RemoteFolder


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteFolder]:
    """Give a new remote with an empty branch `main`; the test is on the machine "here"."""
    made = RemoteFolder.made(tmp_path)
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(made.machine("here")))
    yield made
    made.let_go()
