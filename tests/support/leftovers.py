"""What a killed process may leave behind, and the repository that it leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import dolt_program

GONE_WITHIN_S = 2.0
"""How soon after its owner nothing of a private server is left."""


def left(temp: Path) -> list[str]:
    """Return the processes and folders of private servers that are there."""
    lines = subprocess.run(["ps", "-ewwo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [*(line for line in lines.splitlines() if str(temp) in line), *map(str, temp.glob("flyte-dolt-*"))]


def dolt(repo: Path, *args: str) -> str:
    """Run the command line in the repository, whose server is gone, and return what it prints."""
    done = dolt_program.run(*args, cwd=repo)
    assert done.returncode == 0, f"dolt {args}: {done.stdout}{done.stderr}"
    return done.stdout
