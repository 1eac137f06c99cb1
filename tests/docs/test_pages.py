"""Every command and every output that README, docs and examples show, run as it stands there."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pages
import pytest

from flytekitplugins.dolt.server import binary

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
OF_FLYTE2 = ("flyte2.md", "flyte2_example.py")
"""What tests/flyte2/test_flyte2_page.py runs, where Flyte 2 is."""

RUN = [
    page
    for page in PAGES
    if page.name not in OF_FLYTE2 and any(block.runs_here for block in pages.blocks(page.read_text()))
]


def environment(home: Path) -> dict[str, str]:
    """Return what a reader has in the shell: `dolt` and `python` on PATH, a home and an identity of their own."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{binary.find().parent}"
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, Path(pages.__file__).parent))),
        "HOME": str(home),
        "PYTHONWARNINGS": "ignore",
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """Its blocks run one after the other, and each prints what stands below it."""
    folder = tmp_path / "reader"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(Path(pages.__file__)), str(page), str(folder)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout.splitlines()[-1])
    for block, printed in zip(pages.blocks(page.read_text()), outputs, strict=True):
        if block.expected is not None and printed is not None:
            difference = difflib.unified_diff(
                pages.told_apart_by(block.expected), pages.told_apart_by(printed), "page", "run"
            )
            assert pages.agree(printed, block.expected), f"{page}:{block.line}\n" + "\n".join(difference)


def test_what_is_not_run_stands_in_one_list() -> None:
    """Each block that is left out gives its reason, and docs/not-run.md lists page, first line and reason of all."""
    left_out = sorted(
        f"| {page.relative_to(ROOT)} | `{block.text.splitlines()[0]}` | {block.not_run} |"
        for page in PAGES
        for block in pages.blocks(page.read_text())
        if block.not_run is not None
    )
    page = (ROOT / "docs" / "not-run.md").read_text().replace(r"\|", "|")
    listed = re.findall(r"^\| .* \| `.*` \| .* \|$", page, re.MULTILINE)
    assert sorted(listed) == left_out
    assert len(left_out) <= 15


def test_what_another_test_runs_stands_there() -> None:
    """A block that names a test file is run by it, which takes it out of the page or has each of its commands."""
    for page in PAGES:
        for block in pages.blocks(page.read_text()):
            if block.run_by is not None:
                test = (ROOT / block.run_by).read_text()
                if "if block.run_by == THIS" in test:
                    continue
                commands = [line.partition("  #")[0].strip() for line in block.text.splitlines()]
                assert [line for line in commands if line and line not in test] == [], f"{page}:{block.line}"


EXAMPLES = sorted(ROOT.glob("examples/*_example.py"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each.name not in OF_FLYTE2], ids=lambda example: example.name
)
def test_an_example_prints_what_its_docstring_shows(example: Path, tmp_path: Path) -> None:
    """Each command is run in turn, in a folder with the examples in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("foo", "__pycache__"))
    shown = pages.sessions(example)
    assert shown, f"{example.name} shows no command"
    for command, expected in shown:
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=tmp_path / "examples",
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if (
            example.name == "quickstart_example.py"
        ):  # tests/docs/test_examples.py compares it, whatever the order of its rows
            continue
        assert pages.agree(done.stdout, expected), f"{command}\n{done.stdout}"


def test_every_example_stands_in_the_index() -> None:
    """examples/README.md is the list of them."""
    index = (ROOT / "examples" / "README.md").read_text()
    assert [example.name for example in EXAMPLES if f"]({example.name})" not in index] == []
