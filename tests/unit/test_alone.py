"""What holds for the tests themselves: those of this folder need no `dolt`, and each file's name is its own."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from flytekitplugins.dolt.errors import BinaryNotFound
from flytekitplugins.dolt.server import binary

TESTS = Path(__file__).parents[1]


def test_there_is_no_dolt() -> None:
    """Neither setting, PATH nor cache has one; beside the running Python nobody should put one."""
    with pytest.raises(BinaryNotFound, match="dolt"):
        binary.find()


def test_whoever_starts_one_fails(refused: list[str], tmp_path: Path) -> None:
    """A `dolt` that is found all the same is not started."""
    program = tmp_path / "dolt"
    program.write_text("#!/bin/sh\ntouch started\n")
    program.chmod(0o755)
    with pytest.raises(AssertionError, match=str(program)):
        subprocess.run([program, "version"], cwd=tmp_path, check=True)
    assert not (tmp_path / "started").exists()
    assert refused == [str(program)]
    refused.clear()


def test_whoever_asks_a_server_fails(refused: list[str]) -> None:
    """A server that runs already is not asked either."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        with pytest.raises(AssertionError, match=str(listener.getsockname()[1])):
            client.connect(listener.getsockname())
    assert len(refused) == 1
    refused.clear()


def test_a_test_has_the_mark_of_its_folder(request: pytest.FixtureRequest) -> None:
    """`-m` chooses by folder."""
    assert request.node.get_closest_marker("unit") is not None
    assert request.node.get_closest_marker("dolt") is None


def test_each_test_file_has_a_name_of_its_own() -> None:
    """Flyte names tasks after their file, wherever that is, and pytest collects no two modules of one name."""
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
