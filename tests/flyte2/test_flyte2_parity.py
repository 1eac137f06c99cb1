"""The cases that hold for both SDKs, run by Flyte 2; tests/flyte/test_both_sdks.py runs them by flytekit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flyte
import parity
import pytest
from flyte.io import DataFrame

import flyteplugins.dolt
from flyteplugins.dolt import DoltConfig, dolt_frame

ONE_REPOSITORY = True
env = flyte.TaskEnvironment(name="parity")


class Flyte2:
    """Flyte 2, as the cases use an SDK."""

    dataset = DataFrame
    names = flyteplugins.dolt
    header = 'import flyte\ntask = flyte.TaskEnvironment(name="launched").task\n'

    def task(self, function: Callable[..., Any]) -> Any:
        return env.task(function)

    parent = task

    def run(self, entity: Any, **inputs: Any) -> Any:
        outputs = tuple(flyte.with_runcontext(mode="local").run(entity, **inputs).outputs())
        return outputs[0] if outputs else None

    def ours(self, config: DoltConfig) -> Any:
        return dolt_frame(config)

    def at(self, uri: str, frame: Any = None) -> Any:
        return DataFrame(uri=uri) if frame is None else DataFrame.wrap_df(frame, uri=uri)

    def address(self, dataset: Any) -> str:
        return str(dataset.uri)

    def opened(self, dataset: Any, kind: type[Any]) -> Any:
        return dataset.open(kind).all_sync()

    def launched(self, script: Path, table: str) -> str:
        program = str(Path(sys.executable).with_name("flyte"))
        argv = [program, "run", "--local", script.name, "rows", "--table", table]
        done = subprocess.run(argv, cwd=script.parent, capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr


@pytest.mark.parametrize("case", parity.CASES, ids=lambda case: f"{case.door}: {case.form}")
def test_with_flyte_2(case: parity.Case, repo: Path, tmp_path: Path) -> None:
    """Each case ends as it says, or as it says for Flyte 2."""
    assert parity.outcome(case, Flyte2(), parity.Where(repo, tmp_path)) == case.of(flyte2=True)
