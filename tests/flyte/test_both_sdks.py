"""The cases that hold for both SDKs, run by flytekit; tests/flyte2/test_flyte2_parity.py runs them by Flyte 2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flytekit
import parity
import pytest
from flytekit.types.structured import StructuredDataset

import flytekitplugins.dolt
from flytekitplugins.dolt import DoltConfig, dolt_frame

ONE_REPOSITORY = True
PAGE = Path(__file__).parents[2] / "docs" / "flyte2.md"


class Flytekit:
    """flytekit, as the cases use an SDK."""

    dataset = StructuredDataset
    names = flytekitplugins.dolt
    header = "from flytekit import task\n"

    def task(self, function: Callable[..., Any]) -> Any:
        function.__module__ = __name__  # flytekit takes functions within functions from modules of tests alone
        return flytekit.task(function)

    def parent(self, function: Callable[..., Any]) -> Any:
        return flytekit.workflow(function)

    def run(self, entity: Any, **inputs: Any) -> Any:
        return entity(**inputs)

    def ours(self, config: DoltConfig) -> Any:
        return dolt_frame(config)

    def at(self, uri: str, frame: Any = None) -> Any:
        return StructuredDataset(dataframe=frame, uri=uri)

    def address(self, dataset: Any) -> str:
        return str(dataset.literal.uri)

    def opened(self, dataset: Any, kind: type[Any]) -> Any:
        return dataset.open(kind).all()

    def launched(self, script: Path, table: str) -> str:
        argv = [str(Path(sys.executable).with_name("pyflyte")), "run", script.name, "rows", "--table", table]
        done = subprocess.run(argv, cwd=script.parent, capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr


@pytest.mark.parametrize("case", parity.CASES, ids=lambda case: f"{case.door}: {case.form}")
def test_with_flytekit(case: parity.Case, repo: Path, tmp_path: Path) -> None:
    """Each case ends as it says."""
    assert parity.outcome(case, Flytekit(), parity.Where(repo, tmp_path)) == case.of(flyte2=False)


def test_the_page_has_a_row_for_each_case() -> None:
    """What differs is there with its reason, and no row is without a case."""
    assert parity.rows_of(PAGE.read_text()) == parity.table()
    assert all(bool(case.reason) is bool(case.differs) for case in parity.CASES)
    assert len({(case.door, case.form) for case in parity.CASES}) == len(parity.CASES)
