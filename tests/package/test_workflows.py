"""The workflows of the forge: they say when and where, and the Makefile says what."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from flytekitplugins.dolt.server import builder

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(workflow: Path) -> dict[str, Any]:
    """Return the jobs of a workflow by name."""
    found = yaml.safe_load(workflow.read_text())["jobs"]
    assert isinstance(found, dict)
    return found


def test_there_are_workflows_for_changes_and_for_releases() -> None:
    """No more, and no fewer."""
    assert [workflow.name for workflow in WORKFLOWS] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_only_calls_targets_of_the_makefile(workflow: Path) -> None:
    """What it runs can be run by anybody; make knows how."""
    commands = [step["run"] for job in jobs(workflow).values() for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        target = re.fullmatch(r"(?:sudo )?make ([a-z-]+)", command)
        assert target is not None, command
        plan = subprocess.run(["make", "--dry-run", target[1]], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert plan.returncode == 0, plan.stderr


def test_changes_are_tested_on_each_python_that_is_supported() -> None:
    """Those of the classifiers in setup.py."""
    said = re.findall(r"Programming Language :: Python :: (3\.\d+)", (ROOT / "setup.py").read_text())
    assert jobs(ROOT / ".github" / "workflows" / "ci.yml")["test"]["strategy"]["matrix"]["python"] == said


def test_the_extra_takes_the_dolt_that_is_built() -> None:
    """`[bin]` is a publication of the pinned release; the version of the wheel says which."""
    assert f'"bin": ["flytekitplugins-doltdb-bin=={builder.DOLT_VERSION}.*"]' in (ROOT / "setup.py").read_text()
    assert 'version=f"{builder.DOLT_VERSION}.post{POST}"' in (ROOT / "packaging" / "dolt-bin" / "setup.py").read_text()
