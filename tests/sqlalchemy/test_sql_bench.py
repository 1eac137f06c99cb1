"""The benchmark of SQLAlchemyTask works: every reader gives what was stored, on both servers, and is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_quick_benchmark_measures_everybody_on_both_servers() -> None:
    """`python -m benchmarks --quick --only sql` compares each frame with what was stored, and prints a line of each."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks", "--quick", "--only", "sql"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    for place in ("MariaDB", "Dolt"):
        assert done.stdout.count(f"a select by SQLAlchemyTask on {place}") == 2
    for reader in ("this plugin", "raw: connectorx text", "raw: PyMySQL bytes", "pandas read_sql (PyMySQL)"):
        assert done.stdout.count(f"    {reader} ") == 4
