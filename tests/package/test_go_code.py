"""Our Go package: formatted, and tested, as Go does it.

Only the files that do not need Dolt's packages are compiled here; the others are compiled by the builder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flytekitplugins.dolt.server import builder

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go here")

FORMAT = ["rowsfile.go", "types.go", "rowsfile_test.go"]


def go(*argv: str, tmp_path: Path) -> str:
    """Run a tool of Go in the package's folder, with the settings that the builder has, and return what it says."""
    env = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off", "TMPDIR": str(tmp_path)}
    done = subprocess.run(argv, cwd=builder.MODULE, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_formatted(tmp_path: Path) -> None:
    """Gofmt would change nothing."""
    assert go("gofmt", "-l", ".", tmp_path=tmp_path) == ""


def test_the_format_of_rows_files_passes_its_tests(tmp_path: Path) -> None:
    """What is written is read, and what is cut off or damaged is refused, by tests in Go."""
    assert go("go", "test", "-vet=off", "-trimpath", *FORMAT, tmp_path=tmp_path).startswith("ok")
