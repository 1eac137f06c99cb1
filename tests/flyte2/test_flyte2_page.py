"""The page and the example of Flyte 2, run as they stand there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def output_of(argv: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Its programs print what stands below them."""
    page = ROOT / "docs" / "flyte2.md"
    said = output_of([sys.executable, pages.__file__, str(page), str(tmp_path)], tmp_path)
    found = pages.blocks(page.read_text())
    outputs = json.loads(said.splitlines()[-1])
    assert [block.expected is not None for block in found] == [True, True, False]
    for block, printed in zip(found, outputs, strict=True):
        assert not block.runs_here or pages.agree(printed, block.expected), printed


def test_the_example_prints_what_its_docstring_shows(tmp_path: Path) -> None:
    """Each command is run in turn."""
    example = ROOT / "examples" / "flyte2_example.py"
    shutil.copy(example, tmp_path)
    ((command, expected),) = pages.sessions(example)
    assert command == f"python {example.name}"
    assert pages.agree(output_of([sys.executable, example.name], tmp_path), expected)
