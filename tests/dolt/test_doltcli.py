"""doltcli, Dolt's own Python wrapper of the command line, works on our repositories, and its path setting on us."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import doltcli
import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, NewBranch, write
from flytekitplugins.dolt.server import binary


@pytest.fixture
def cli(repo: Path, monkeypatch: pytest.MonkeyPatch, config: Callable[..., DoltConfig]) -> doltcli.Dolt:
    """Give doltcli's view of a repository in which two commits were made on two branches."""
    write(config("users"), pd.DataFrame({"name": ["Ann", None], "count": [1, 2]}))
    write(config("users", branch_conf=NewBranch("dev")), pd.DataFrame({"name": ["Bob"], "count": [3]}))
    let_go(repo)
    monkeypatch.setattr("doltcli.utils.DOLT_PATH", str(binary.find()))
    return doltcli.Dolt(str(repo))


def test_it_reads_what_was_written(cli: doltcli.Dolt) -> None:
    """Rows, branches, the log and the head are seen by doltcli as we wrote them."""
    rows = cli.sql("select name, count from users order by count", result_format="csv")
    assert rows == [{"name": "Ann", "count": "1"}, {"name": "", "count": "2"}]
    assert doltcli.read_rows(cli, "users", as_of="dev") == [{"name": "Bob", "count": "3"}]
    log = cli.sql("select message from dolt_log limit 1", result_format="csv")
    assert log[0]["message"].startswith("Written by flytekitplugins.dolt")


def test_its_path_setting_is_honoured() -> None:
    """`doltcli.set_dolt_path` tells this package, too, which dolt to use; a wrong one is an error that names it."""
    code = (
        "import os; os.environ.pop('DOLT_BIN', None); import doltcli; doltcli.set_dolt_path({path!r});"
        "from flytekitplugins.dolt.server import binary; print(binary.find())"
    )
    found = subprocess.run([sys.executable, "-c", code.format(path=str(binary.find()))], capture_output=True, text=True)
    assert found.stdout.strip() == str(binary.find()), found.stderr
    wrong = subprocess.run([sys.executable, "-c", code.format(path="/no/dolt")], capture_output=True, text=True)
    assert "doltcli" in wrong.stderr
    assert "/no/dolt" in wrong.stderr
