"""A diff in a repository that keeps of each table only what leads to its rows, as after `dolt gc`, and in a clone."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, diff, write
from flytekitplugins.dolt.server import procedures

pytestmark = pytest.mark.usefixtures("our_program")


@pytest.mark.parametrize("rows", [2, 20_000], ids=["one node", "a tree"])
@pytest.mark.parametrize("where", ["collected", "cloned"])
def test_rows_that_differ_are_found_where_roots_lie_in_their_tables_alone(
    repo: Path,
    tmp_path: Path,
    dolt: Callable[..., str],
    where: str,
    rows: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dolt keeps the root of a table's rows in the table, and a walk that asked for it apart ended in a panic."""
    monkeypatch.delenv(procedures.SWITCH, raising=False)
    config = DoltConfig(str(repo), "t", primary_key=["id"], mode="upsert")
    before = write(config, pd.DataFrame({"id": range(rows), "a": range(rows)}))
    after = write(config, pd.DataFrame({"id": [1, rows], "a": [-1, -1]}))
    let_go(repo)
    if where == "collected":
        dolt("gc")
    else:
        (tmp_path / "remote").mkdir()
        dolt("remote", "add", "origin", f"file://{tmp_path}/remote")
        dolt("push", "origin", "main")
        dolt("clone", f"file://{tmp_path}/remote", "bar", cwd=tmp_path)
        config.db_path = str(tmp_path / "bar")
        before, after = (type(table)(config).at(table.commit) for table in (before, after))
    with caplog.at_level(logging.WARNING):
        found = diff(before, after)
        assert (found.added, found.modified, found.removed) == (1, 1, 0)
        assert found.rows["id"].tolist() == [1, rows]
    assert "read by SQL" not in caplog.text
