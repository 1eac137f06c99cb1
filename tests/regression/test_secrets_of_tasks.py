"""The private server, which other processes share, inherits no secret that Flyte gave to the task that started it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_server_inherits_no_secret(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the environment of a task is not in that of the server it starts, which may outlive it."""
    monkeypatch.setenv("_FSEC_SHOP_PASSWORD", "Tr0ub4dor")
    monkeypatch.setenv("HARMLESS", "Horse")
    refs.branches(repo)
    address = local_server.running(repo)
    assert address is not None
    inherited = Path(f"/proc/{address.pid}/environ").read_text()
    assert "Horse" in inherited
    assert "Tr0ub4dor" not in inherited
