"""What the tests of Flyte 2 share. They are run by tools/test_flyte2.sh, in environments that have it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

if not list(metadata.distributions(name="flyte")):  # the folder tests/flyte could be taken for a package of that name
    collect_ignore_glob = ["test_*.py"]
else:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Flyte's own modules, when they are imported
        import flyte
        import flyte.io

    @pytest.fixture(scope="session", autouse=True)
    def _initialised(_own_home: None) -> None:
        """Have Flyte 2 run tasks here, with its cache in the home of the tests."""
        flyte.init()

    @pytest.fixture
    def run() -> Callable[..., Any]:
        """Give a function that runs a task locally and returns its output, or a tuple of them."""

        def run(task: Any, **inputs: Any) -> Any:
            outputs = tuple(flyte.with_runcontext(mode="local").run(task, **inputs).outputs())
            return outputs[0] if len(outputs) == 1 else outputs

        return run

    @pytest.fixture
    def saves(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """Give the list of the tables that were stored, also where that made no commit."""
        from flytekitplugins.dolt.api import frames

        found: list[str] = []
        real = frames.commit_table

        def noted(config: Any, *args: Any, **options: Any) -> Any:
            found.append(config.tablename)
            return real(config, *args, **options)

        monkeypatch.setattr(frames, "commit_table", noted)
        return found

    @pytest.fixture
    def container(tmp_path: Path) -> Any:
        """Give the place where tasks run as in containers."""
        from actions import Container

        folder = tmp_path / "container"
        folder.mkdir()
        return Container(folder)
