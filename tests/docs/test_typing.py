"""What type checkers say of a user's program: both of the usual ones accept it, and it also runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "docs" / "typing" / "typical_use.py"


def check(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python in the project's folder."""
    return subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_mypy_accepts_it_strictly() -> None:
    """A user with mypy's strict mode has nothing to ignore; of an installed package mypy reports nothing itself."""
    silent = "--follow-imports=silent"  # here the package is a folder, and not installed as it is at a user's
    done = check("mypy", "--strict", "--config-file=", silent, "--python-version=3.10", str(PROGRAM))
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_accepts_it() -> None:
    """A user whose editor asks pyright sees no error; its standard mode is the default of pyright itself."""
    done = check("basedpyright", "--level", "error", str(PROGRAM))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout


MISTAKES = {
    "DoltConfig(db_path=1)": "arg-type",
    "DoltTable(DoltConfig('foo'), 'rows')": "arg-type",
    "NewBranch('b', 'base')": "misc|call-arg",
    "read('foo')": "arg-type",
}
"""Expressions that would fail, and the codes by which mypy may name each."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the lines that mypy prints of a program for each mistake, ``mistake0.py`` for the first."""
    folder = tmp_path_factory.mktemp("mistakes")
    names = "DoltConfig, DoltTable, NewBranch, read"
    for number, wrong in enumerate(MISTAKES):
        program = folder / f"mistake{number}.py"
        program.write_text(f"from flytekitplugins.dolt import {names}\nprint({wrong})\n")
    done = check("mypy", "--strict", "--config-file=", *(str(program) for program in sorted(folder.iterdir())))
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("wrong", MISTAKES)
def test_a_mistake_is_found(said: list[str], wrong: str) -> None:
    """The annotations are exact enough to refuse what would fail."""
    of_it = [line for line in said if f"mistake{[*MISTAKES].index(wrong)}.py:2: error:" in line]
    assert any(f"[{code}]" in line for line in of_it for code in MISTAKES[wrong].split("|")), said


def test_it_runs(tmp_path: Path) -> None:
    """What is checked is no mere form: the program writes and reads."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "foo")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()[-1]) == 32
    assert "Cannot" in done.stdout


def test_both_packages_say_that_they_are_typed() -> None:
    """Without the file py.typed a type checker ignores every annotation."""
    for package in ("dolt", "sqlalchemy"):
        folder = ROOT / "flytekitplugins" / package
        assert (folder / "py.typed").is_file()
