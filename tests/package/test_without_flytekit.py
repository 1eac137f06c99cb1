"""Scripts read, write, compare and merge where flytekit cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("flytekit", "flyteidl", "dataclasses_json", "marshmallow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""

SCRIPT = """
import pandas as pd
from flytekitplugins.dolt import (
    DoltConfig, DoltTable, NewBranch, Repository, Secret, create_repository, diff, merge, read, restore, tag,
    versions, write
)
from flytekitplugins.dolt.model import runtime

create_repository("foo")
config = DoltConfig("foo", "t", primary_key=["id"])
first = write(config, pd.DataFrame({"id": [1, 2], "n": [1, 1]}))
write(DoltConfig("foo", "t", branch_conf=NewBranch("run/1")), pd.DataFrame({"id": [1, 2], "n": [1, 2]}))
merge("run/1", db_path="foo")
print(read(config)["n"].tolist(), DoltTable.from_json(first.to_json()).data["n"].tolist())
print(diff(first, config).modified, len(versions(config)), tag("v1", config).name)
print(Repository("foo").branches().keys() == {"main", "run/1"})
print(restore(config, first).data["n"].tolist(), DoltTable(config).data["n"].tolist())
print(runtime.current().secret(Secret("group", "key")))
try:
    from flytekitplugins.dolt import dolt_frame
except ImportError as error:
    print(error)
"""


def run(code: str, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "_FSEC_GROUP_KEY": "s3cret"}
    argv = [sys.executable, "-c", BLOCKED + code, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_needs_no_flytekit(tmp_path: Path) -> None:
    """All that scripts do works without it; what is for tasks only is an ImportError that names it."""
    assert run(SCRIPT, tmp_path).splitlines() == [
        "[1, 2] [1, 1]",
        "1 2 v1",
        "True",
        "[1, 1] [1, 1]",
        "s3cret",
        "No module named 'flytekit'",
    ]


@pytest.mark.parametrize("command", [["log"], ["versions", "t"], ["diff", "HEAD^", "HEAD"]])
def test_the_command_line_needs_no_flytekit(tmp_path: Path, command: list[str]) -> None:
    """Looking at a repository from the command line works without it."""
    make = "import pandas as pd; from flytekitplugins.dolt import DoltConfig, create_repository, write\n"
    run(f"{make}create_repository('foo'); write(DoltConfig('foo', 't'), pd.DataFrame({{'id': [1]}}))", tmp_path)
    code = "import runpy; runpy.run_module('flytekitplugins.dolt', run_name='__main__', alter_sys=True)"
    assert run(code, tmp_path, *command, "--db", "foo")
