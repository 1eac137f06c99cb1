"""Programs for flytekit on Flyte 2, unchanged, by Flyte's own shim `flyte-migrate`: examples print what they show."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pages
import pytest

from flytekitplugins.dolt.server import binary

ROOT = Path(__file__).parents[2]
MIGRATED = ROOT / "tests" / "support" / "migrated.py"
EXAMPLES = (
    *("branch", "incremental", "many_writers", "pima_diabetes", "remote", "server", "sqlalchemy"),
    *("time_travel", "write_audit_publish"),
)
"""Those that run unchanged, beside the quickstart."""

REFUSED = {
    "dataframes": "'DataFrame' object has no attribute 'group_by'",  # it declares a plain Polars frame, and gets pandas
    "drift": "max() arg is an empty sequence",  # it looks for the file of flytekit's deck
}
"""Those that do not, and how they end, as docs/flyte2.md explains."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("flyte_migrate") is None, reason="flyte-migrate is not here"),
]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of an example's docstring in a copy of the examples, on Flyte 2 where it is a program of Python."""
    if not (folder / "examples").exists():
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("foo", "__pycache__"))
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PATH": f"{binary.find().parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-ec", command.replace("python ", f"{sys.executable} {MIGRATED} ")],
        cwd=folder / "examples",
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_its_docstring_shows(name: str, tmp_path: Path) -> None:
    """Each command is run in turn."""
    for command, expected in pages.sessions(ROOT / "examples" / f"{name}_example.py"):
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert pages.agree(done.stdout, expected), f"{command}\n{done.stdout}"


def test_the_quickstart_prints_the_three_rabbits(tmp_path: Path) -> None:
    """Its table has no key, so its rows may come in any order."""
    done = run("python quickstart_example.py 2", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {tuple(line.split()[1:]) for line in done.stdout.splitlines() if line[:1].isdigit()}
    assert rows == {("George", "2"), ("Alice", "4"), ("Sugar", "Maple", "6")}


def test_each_example_is_tried() -> None:
    """A new one for flytekit either runs on Flyte 2 or ends as docs/flyte2.md says."""
    there = {path.stem.removesuffix("_example") for path in (ROOT / "examples").glob("*_example.py")}
    assert there == {*EXAMPLES, *REFUSED, "quickstart", "flyte2"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_run_unchanged(name: str, tmp_path: Path) -> None:
    """It ends with the error that docs/flyte2.md explains."""
    command, _ = pages.sessions(ROOT / "examples" / f"{name}_example.py")[0]
    assert REFUSED[name] in run(command, tmp_path).stderr
