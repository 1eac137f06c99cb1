"""Who may import whom: the contract holds, a breach of it fails, and no files import each other in a circle."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("flytekitplugins.dolt", "flytekitplugins.doltdb", "flytekitplugins.sqlalchemy")


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """Hold the packages in a folder against the contracts of the project."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)},
    )


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("model/naming.py", "from ..api import frames", "packages import downwards only"),
        ("errors.py", "from .model import configs", "packages import downwards only"),
        ("tables/fitting.py", "from . import writing", "within a package, files import downwards only: tables"),
        ("api/frames.py", "import flytekit", "only the border to Flyte imports flytekit"),
        ("flyte2/values.py", "import flytekit", "only the border to Flyte imports flytekit"),
        ("flyte/context.py", "import flyte", "only the border to Flyte 2 imports flyte, and it needs no flytekit"),
        ("flyte2/values.py", "from ..flyte import context", "packages import downwards only"),
        ("history/diffs.py", "import pymysql", "only one file knows PyMySQL"),
        ("../sqlalchemy/prepared.py", "from pymysql import err", "only one file knows PyMySQL"),
        ("../doltdb/logins.py", "from . import driver", "what both plugins use: files import downwards only"),
    ],
)
def test_an_import_that_points_up_breaks_the_contract(tmp_path: Path, file: str, line: str, contract: str) -> None:
    """One wrong import, also inside a function, is found and named by its contract."""
    for namespace in ("flytekitplugins", "flyteplugins"):
        shutil.copytree(ROOT / namespace, tmp_path / namespace)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken = tmp_path / "flytekitplugins" / "dolt" / file
    broken.write_text(f"{broken.read_text()}\n\ndef wrong() -> None:\n    {line}\n")
    said = contracts(tmp_path)
    assert said.returncode == 1, said.stdout + said.stderr
    assert f"{contract} BROKEN" in " ".join(said.stdout.split())


NOT_PUBLIC = {
    *("_execute_command", "_force_close", "_read_packet", "_read_query_result", "_read_timeout", "_result", "_rfile"),
    *("_sock", "_ssl_required", "decoders", "raise_mysql_exception", "unbuffered_active", "use_unicode"),
}
"""What one file uses of PyMySQL beyond its documented names."""


def test_one_file_knows_the_inside_of_the_driver() -> None:
    """No other file touches what is not public, on whatever object it stands."""
    users = {
        path.relative_to(ROOT / "flytekitplugins").as_posix()
        for path in (ROOT / "flytekitplugins").rglob("*.py")
        if "flyte" not in path.parts  # the border to Flyte has no connection, but decoders of JSON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in NOT_PUBLIC
    }
    assert users == {"doltdb/driver.py"}


def test_no_circle_of_imports_between_files() -> None:
    """Files can be put in an order in which each one imports only those before it, functions' own imports included."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    files = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(list(TopologicalSorter(files).static_order())) == len(files)
