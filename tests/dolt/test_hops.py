"""The way of a table through the packages: no call goes up, and a write enters few of them."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest

import flytekitplugins.dolt
from flytekitplugins.dolt import DoltConfig, MergeBranch, NewBranch, Remote, read, write

ROOT = Path(flytekitplugins.dolt.__file__).parent
FRAME = pd.DataFrame({"id": [1, 2], "name": ["a", "b"]})
DECORATORS = {"location.py:checked", "redaction.py:discreet"}
"""What a decorator of a lower package wraps is called by whoever calls the decorated function."""

NOT_COUNTED = {"model", "errors", "doltdb"}
"""What every package may use: values, errors, and what both plugins share."""


def floors() -> dict[str, int]:
    """Return each package's floor, the lowest being 0, as the import contract has them."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    _, _, contract = project.partition('name = "packages import downwards only"')
    layers = re.findall(r'"(.*)"', contract.partition("layers = [")[2].partition("]")[0])
    return {name.strip(): floor for floor, layer in enumerate(reversed(layers)) for name in layer.split("|")}


@dataclass
class Hops:
    """Calls from one package into another."""

    entered: list[str] = field(default_factory=list)
    """The packages, in the order of the first call into each."""
    up: set[str] = field(default_factory=set)
    """The calls into a package that is not below the caller's, as "caller -> called"."""


def package_of(file: str) -> str | None:
    """Return the package that a file of the library is in; a file at the top is a package of its own.

    >>> package_of(str(ROOT / "codec" / "notes.py")), package_of(str(ROOT / "errors.py")), package_of("x.py")
    ('codec', 'errors', None)
    """
    if not file.startswith(f"{ROOT}{os.sep}"):
        return "doltdb" if file.startswith(f"{ROOT.parent / 'doltdb'}{os.sep}") else None
    return Path(file).relative_to(ROOT).parts[0].removesuffix(".py")


def named(frame: FrameType) -> str:
    """Return a function as "file:name"."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"


@contextmanager
def traced() -> Iterator[Hops]:
    """Note every call of this thread inside the block, those that go through other code as well."""
    found, floor = Hops(), floors()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name == "<module>" or frame.f_code.co_flags & inspect.CO_GENERATOR:
            return  # an import; or a generator that is asked for its next value, which is data
        called = package_of(frame.f_code.co_filename)
        above = frame.f_back
        while above is not None and (package_of(above.f_code.co_filename) is None or named(above) in DECORATORS):
            above = above.f_back
        if called is None or above is None:
            return
        caller = package_of(above.f_code.co_filename)
        if called not in found.entered:
            found.entered.append(called)
        if caller != called and floor.get(called, -1) >= floor.get(str(caller), len(floor)):
            found.up.add(f"{named(above)} -> {named(frame)}")

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


def counted(found: Hops) -> list[str]:
    """Return the packages that were entered and count."""
    return [name for name in found.entered if name not in NOT_COUNTED]


@pytest.fixture
def warm(repo: Path) -> DoltConfig:
    """Give a config of a repository whose server runs, and whose modules are imported."""
    config = DoltConfig(str(repo), "t", primary_key=["id"])
    write(config, FRAME[:1])
    read(config)
    return config


def test_a_write_goes_down(warm: DoltConfig) -> None:
    """A real write: at most seven packages, and no call that goes up."""
    with traced() as found:
        write(warm, FRAME)
    assert found.up == set()
    assert "tables" in counted(found)
    assert len(counted(found)) <= 7, found.entered


def test_a_read_goes_down(warm: DoltConfig) -> None:
    """A real read, of a table and of a query."""
    with traced() as found:
        frame = read(warm)
    assert frame.id.tolist() == [1]
    assert found.up == set()
    assert len(counted(found)) <= 7, found.entered
    with traced() as found:
        frame = read(DoltConfig(warm.db_path, sql="SELECT id FROM t"))
    assert frame.id.tolist() == [1]
    assert found.up == set()


@pytest.mark.parametrize("policy", [NewBranch("run/1"), MergeBranch("run/2")], ids=lambda policy: type(policy).__name__)
def test_branches_are_written_downwards(warm: DoltConfig, policy: Any) -> None:
    """So do writes to a branch of their own, and those that are merged."""
    with traced() as found:
        write(DoltConfig(warm.db_path, "t", branch_conf=policy), FRAME)
    assert found.up == set()
    assert len(counted(found)) <= 7, found.entered


def test_a_remote_is_written_downwards(warm: DoltConfig, tmp_path: Path, dolt: Callable[..., str]) -> None:
    """And those that are pushed."""
    url = f"file://{tmp_path / 'remote'}"
    dolt("remote", "add", "origin", url)
    dolt("push", "origin", "main")
    config = DoltConfig(str(tmp_path / "clones"), "t", remote_conf=Remote(url))
    with traced() as found:
        write(config, FRAME)
    assert read(config).id.tolist() == [1, 2]
    assert found.up == set()
    assert len(counted(found)) <= 7, found.entered


def test_a_call_that_goes_up_is_seen(warm: DoltConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracer sees one."""
    from flytekitplugins.dolt.api import frames
    from flytekitplugins.dolt.repository import refs

    names: dict[str, Any] = {"frames": frames, "config": warm, "real": refs.locate}
    calling_up = "def locate(*args, **options):\n    frames._reading(config)\n    return real(*args, **options)"
    exec(compile(calling_up, refs.__file__, "exec"), names)
    monkeypatch.setattr(refs, "locate", names["locate"])
    with traced() as found:
        write(warm, FRAME)
    assert found.up == {"refs.py:locate -> frames.py:_reading"}
