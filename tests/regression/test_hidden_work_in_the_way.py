"""A user's merge in progress, or a table hidden by ``dolt_ignore``, looked like other writers or an unknown failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, errors, read, server, write

Config = Callable[..., DoltConfig]


def test_an_ignored_table(config: Config, dolt: Callable[..., str]) -> None:
    """A table of the same name that is in no commit is kept, and named."""
    dolt("sql", "-q", "insert into dolt_ignore values ('gen_%', true); call dolt_commit('-Am', 'ignore')")
    dolt("sql", "-q", "create table gen_t (n int primary key, mine int); insert into gen_t values (7, 8)")
    with pytest.raises(errors.UncommittedChanges, match="that is in no commit, since dolt_ignore names it"):
        write(config("gen_t"), pd.DataFrame({"n": [1]}))
    assert dolt("sql", "-r", "csv", "-q", "select n, mine from gen_t") == "n,mine\n7,8\n"


@pytest.mark.parametrize("ends", ["conflict", "nothing"])
def test_a_merge_in_progress(repo: Path, config: Config, dolt: Callable[..., str], ends: str) -> None:
    """Nothing is written under a merge that has not ended, and it stays as it is."""
    write(config("t"), pd.DataFrame({"n": [1]}))
    write(config("o", primary_key=["id"]), pd.DataFrame({"id": [1], "v": [1]}))
    server.release(repo)
    dolt("checkout", "-b", "side")
    dolt("sql", "-q", "update o set v = 2; call dolt_commit('-am', 'side')")
    dolt("checkout", "main")
    dolt(
        "sql",
        "-q",
        f"{'update o set v = 3' if ends == 'conflict' else 'create table p (n int)'}; call dolt_commit('-Am', 'main')",
    )
    dolt("merge", "--no-commit", "side", ok=False)
    if ends == "nothing":
        dolt("reset")
        dolt("checkout", "o")
    before = dolt("status")
    assert "still merging" in before or "unmerged tables" in before
    with pytest.raises(errors.UncommittedChanges, match="you are in the middle of a merge there"):
        write(config("t"), pd.DataFrame({"n": [2]}))
    write(config("t", branch_conf=NewBranch("mine")), pd.DataFrame({"n": [2]}))
    assert read(config("t")).n.tolist() == [1]
    server.release(repo)
    assert dolt("status") == before
