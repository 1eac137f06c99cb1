"""A user's merge in progress or hidden table looked like other writers, and uncommitted foreign keys were lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, NewBranch, errors, read, write

Config = Callable[..., DoltConfig]


def test_an_ignored_table(config: Config, dolt: Callable[..., str]) -> None:
    """A table of the same name that is in no commit is kept, and named."""
    dolt("sql", "-q", "insert into dolt_ignore values ('gen_%', true); call dolt_commit('-Am', 'ignore')")
    dolt("sql", "-q", "create table gen_t (n int primary key, mine int); insert into gen_t values (7, 8)")
    with pytest.raises(errors.UncommittedChanges, match="dolt_ignore"):
        write(config("gen_t"), pd.DataFrame({"n": [1]}))
    assert dolt("sql", "-r", "csv", "-q", "select n, mine from gen_t") == "n,mine\n7,8\n"


@pytest.mark.parametrize("ends", ["conflict", "nothing"])
def test_a_merge_in_progress(repo: Path, config: Config, dolt: Callable[..., str], ends: str) -> None:
    """Nothing is written under a merge that has not ended, and it stays as it is."""
    write(config("t"), pd.DataFrame({"n": [1]}))
    write(config("o", primary_key=["id"]), pd.DataFrame({"id": [1], "v": [1]}))
    let_go(repo)
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
    with pytest.raises(errors.UncommittedChanges, match="merge"):
        write(config("t"), pd.DataFrame({"n": [2]}))
    write(config("t", branch_conf=NewBranch("mine")), pd.DataFrame({"n": [2]}))
    assert read(config("t")).n.tolist() == [1]
    let_go(repo)
    assert dolt("status") == before


@pytest.mark.parametrize(
    ("work", "table"),
    [
        ("alter table o add constraint f foreign key (v) references p (id)", "o"),
        ("alter table child drop foreign key c", "child"),
        ("create table n (id int primary key, foreign key (id) references p (id))", "n"),
    ],
    ids=["added", "dropped", "new table"],
)
def test_uncommitted_foreign_keys(config: Config, dolt: Callable[..., str], work: str, table: str) -> None:
    """Dolt would lose them with any commit on the branch, so they stop the write and are named."""
    dolt(
        "sql",
        "-q",
        "create table p (id int primary key, v int); create table o (id int primary key, v int);"
        "create table child (id int primary key, p int, constraint c foreign key (p) references p (id));"
        "insert into p values (1, 1); call dolt_commit('-Am', 'theirs')",
    )
    dolt("sql", "-q", work)
    before = dolt("schema", "show")
    with pytest.raises(errors.UncommittedChanges, match=f"foreign key.*'{table}'"):
        write(config("t"), pd.DataFrame({"n": [2]}))
    assert dolt("schema", "show") == before
    write(config("t", branch_conf=NewBranch("mine")), pd.DataFrame({"n": [2]}))
    assert dolt("schema", "show") == before


def test_other_work_on_tables_with_foreign_keys(config: Config, dolt: Callable[..., str]) -> None:
    """Uncommitted rows there are kept, and do not stop a write."""
    dolt(
        "sql",
        "-q",
        "create table p (id int primary key, `a,\nb` int);"
        "create table child (id int primary key, p int, constraint c foreign key (p) references p (id));"
        "insert into p values (1, 1); call dolt_commit('-Am', 'theirs')",
    )
    dolt("sql", "-q", "insert into child values (5, 1); create view seen as select * from p")
    before = dolt("diff", "-r", "sql")
    write(config("t"), pd.DataFrame({"n": [2]}))
    assert dolt("diff", "-r", "sql") == before
    assert "REFERENCES `p`" in dolt("schema", "show", "child")
