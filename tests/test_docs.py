"""What README and docs say is so: programs print what stands there, pages are true to the code."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flytekitplugins.dolt

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flytekitplugins" / "dolt"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_readmes_program_prints_what_the_readme_says(tmp_path: Path) -> None:
    """The complete program runs as it stands there; only the hash is another one. The one without Flyte runs, too."""
    readme = (ROOT / "README.md").read_text()
    program, without_flyte = blocks(readme, "python")
    (expected,) = blocks(readme, "text")
    assert len([line for line in program.splitlines() if line]) <= 16
    show = "print(sorted(frame['name']))"
    (tmp_path / "program.py").write_text(f"{program}\n{without_flyte}\n{show}\n")
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    printed = re.sub(r"commit [0-9a-v]{8}", "commit HASH", done.stdout)
    assert printed == re.sub(r"commit [0-9a-v]{8}", "commit HASH", expected) + "['Alice']\n"


def test_the_readmes_commands_are_there() -> None:
    """Every make target and every `python -m flytekitplugins.dolt ...` that README and docs name exists."""
    text = "".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        set(re.findall(r"`?make ([a-z]+)", "\n".join(re.findall(r"(?:`|^)make [a-z]+", text, re.MULTILINE)))) <= targets
    )
    for command in set(re.findall(r"python -m flytekitplugins\.dolt (\w+)", text)):
        done = subprocess.run(
            [sys.executable, "-m", "flytekitplugins.dolt", command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_page_of_types_is_what_the_code_does() -> None:
    """docs/types.md is made out of the codec, and nothing else."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "types_page.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_architecture_names_every_file() -> None:
    """The map has each module, and no module that is not there."""
    named = set(re.findall(r"`(\w+\.py)`", (ROOT / "docs" / "architecture.md").read_text()))
    assert named == {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}


def test_every_decision_is_listed() -> None:
    """The index of the decisions has each page under its number."""
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("0*.md"))
    assert re.findall(r"\((0\d+-[\w-]+\.md)\)", (folder / "README.md").read_text()) == pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """Each relative link names a file or folder."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["schema", "errors", "frames", "codec", "moments", "diffs", "history"])
def test_examples_in_docstrings_run(name: str) -> None:
    """What a docstring shows is what happens."""
    module = importlib.import_module(f"flytekitplugins.dolt.{name}")
    assert doctest.testmod(module).failed == 0


def test_every_environment_variable_is_documented() -> None:
    """A setting that the code reads stands in README or docs."""
    code = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    text = "".join(page.read_text() for page in PAGES)
    for variable in set(re.findall(r"FLYTE_DOLT_\w+|DOLT_BIN", code)):
        assert variable in text, variable


def test_the_changelog_starts_with_what_is_not_released() -> None:
    """Users find what is new at the top."""
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == "Unreleased"  # type: ignore[index]
    assert flytekitplugins.dolt.__doc__
