"""The check of a merge was sent as it was, so one that wrote changed what was merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, errors, merge, read, write
from flytekitplugins.dolt.repository import refs

Config = Callable[..., DoltConfig]


@pytest.mark.parametrize("check", ["DELETE FROM users", "SELECT 1; DELETE FROM users", "CALL DOLT_BRANCH('pwned')"])
def test_a_check_only_reads(config: Config, repo: Path, check: str) -> None:
    """A check that is not one statement that only reads stops the merge, in SQL and through a function."""
    write(config("users"), pd.DataFrame({"id": [1]}))
    write(config("users", branch_conf=NewBranch("run/1")), pd.DataFrame({"id": [1, 2]}))
    before = refs.branches(repo)
    with pytest.raises(errors.QueryRefused, match="query"):
        merge("run/1", db_path=repo, checks=[check])
    with pytest.raises(errors.ChecksFailed, match="query"):
        merge("run/1", db_path=repo, checks={"own": lambda query: query(check).empty})
    assert refs.branches(repo) == before


def test_a_check_sees_the_merged_result(config: Config, repo: Path) -> None:
    """A name behind the database's own is that of the result, too; what other branches have can be asked for."""
    write(config("users"), pd.DataFrame({"id": [1]}))
    write(config("users", branch_conf=NewBranch("run/1")), pd.DataFrame({"id": [1, 2]}))
    checks = ["SELECT COUNT(*) AS n FROM foo.users HAVING n <> 2", "SELECT * FROM users AS OF 'main' WHERE id = 2"]
    merge("run/1", db_path=repo, checks=checks)
    assert sorted(read(config("users"))["id"]) == [1, 2]
