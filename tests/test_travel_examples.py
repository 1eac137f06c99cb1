"""The examples of time travel, merging and incremental work, run as a reader runs them, twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
TRAVEL = """\
newest: Alice, Bojack, Diane, George, Stephanie, Sugar Maple
versions: [6, 5, 4, 3, 2]
added: Diane
a month ago: Alice, George
"""
PUBLISHED = """\
run/good: published, lowest price 3
run/bad: kept, main still has the lowest price 3
"""
INCREMENTAL = """\
[(2, 30)]
[(1, 30), (2, 30)]
[(1, 30), (2, 30)]
"""


def run(name: str, folder: Path) -> tuple[str, str]:
    shutil.copy(EXAMPLES / f"{name}_example.py", folder)
    done = subprocess.run(
        [sys.executable, f"{name}_example.py"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "printed"), [("time_travel", TRAVEL), ("write_audit_publish", PUBLISHED), ("incremental", INCREMENTAL)]
)
def test_an_example_prints_what_it_says(tmp_path: Path, name: str, printed: str) -> None:
    """Each of the uses gives the rows that its words promise; the four of time travel give them again."""
    out, err = run(name, tmp_path)
    assert out == f"Running {name}_example.py main...\n{printed}"
    if name == "write_audit_publish":
        assert "1 of 2 checks did not pass, 'no price below zero' found 1 rows" in err
    if name == "time_travel":
        assert run(name, tmp_path)[0] == out
