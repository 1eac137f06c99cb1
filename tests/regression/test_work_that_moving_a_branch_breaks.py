"""An uncommitted collation of the database was lost, and rows that break a rule left a table published in half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, NewBranch, errors, merge, read, write

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

WORK = {
    "collation": ("alter database collate utf8mb4_0900_ai_ci", "collation"),
    "rows": (
        "set foreign_key_checks = 0; insert into child values (9, 99); set dolt_force_transaction_commit = 1;"
        " call dolt_verify_constraints()",
        "'child'",
    ),
}


@pytest.fixture(params=WORK)
def work(request: pytest.FixtureRequest, repo: Path, config: Config, dolt: Dolt) -> str:
    """Do work that is in no commit, on the branch that is checked out; give what an error has to say of it."""
    dolt(
        "sql",
        "-q",
        "create table p (id int primary key); create table t (id int primary key, v int);"
        "create table child (id int primary key, p int, foreign key (p) references p (id));"
        "insert into p values (1); call dolt_commit('-Am', 'theirs')",
    )
    write(config("t", mode="append", branch_conf=NewBranch("side")), pd.DataFrame({"id": [7], "v": [7]}))
    let_go(repo)
    statements, told = WORK[request.param]
    dolt("sql", "-q", statements)
    return told


def state(repo: Path, dolt: Dolt) -> list[str]:
    """Return what is committed, what is not, and what each of that is."""
    let_go(repo)
    hashes = ", ".join(f"dolt_hashof_db('{root}')" for root in ("HEAD", "STAGED", "WORKING"))
    return [dolt("status"), dolt("diff"), dolt("sql", "-q", f"select dolt_hashof('main'), {hashes}")]


@pytest.mark.parametrize("moves", ["write", "merge"])
def test_it_stops_what_would_move_the_branch(repo: Path, config: Config, dolt: Dolt, work: str, moves: str) -> None:
    """The error names it, and branch, staged and uncommitted work are as before; other branches can be written to."""
    before = state(repo, dolt)
    with pytest.raises(errors.UncommittedChanges, match=work):
        if moves == "write":
            write(config("t", mode="append"), pd.DataFrame({"id": [8], "v": [8]}))
        else:
            merge("side", into="main", db_path=str(repo))
    assert state(repo, dolt) == before
    write(config("t", mode="append", branch_conf=NewBranch("side")), pd.DataFrame({"id": [8], "v": [8]}))
    assert read(config("t", as_of="side"))["id"].tolist() == [7, 8]
    assert state(repo, dolt) == before
