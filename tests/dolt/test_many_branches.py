"""What a repository with many branches costs: a read and a write to a new branch ask for no list of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pymysql
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, SerialBranch, read, write
from flytekitplugins.dolt.errors import BranchNotFound, InvalidName
from flytekitplugins.dolt.model.configs import Branch
from flytekitplugins.dolt.repository import refs, scratch_branches
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

ONE, TWO = pd.DataFrame({"id": [1]}), pd.DataFrame({"id": [1, 2]})


def config(repo: Path, branch: Branch | None = None, **options: Any) -> DoltConfig:
    return DoltConfig(str(repo), "t", primary_key=["id"], branch_conf=branch, **options)


def execute(repo: Path, *statements: str) -> None:
    with connect(repo) as connection:
        for statement in statements:
            connection.execute(statement)


def heads(repo: Path, names: Iterable[str]) -> list[str | None]:
    with connect(repo) as connection:
        return [refs.find_head(connection, name) for name in names]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the statements that are sent to the server, whoever sends them."""
    found: list[str] = []
    real = pymysql.connections.Connection.query

    def query(self: Any, sql: str | bytes, *options: Any, **named: Any) -> Any:
        found.append(sql if isinstance(sql, str) else sql.decode())
        return real(self, sql, *options, **named)

    monkeypatch.setattr(pymysql.connections.Connection, "query", query)
    return found


def test_no_list_of_branches_is_asked_for(repo: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Dolt looks at each branch's commit and working set for its table of branches, even where one name is wanted."""
    monkeypatch.setattr(scratch_branches, "LOOK_EVERY_S", float("inf"))  # but for what killed writers left, at first
    commit = write(config(repo), ONE).commit.hash
    work = {
        "read": lambda: read(config(repo)),
        "read of a branch": lambda: read(config(repo, SerialBranch("main"))),
        "read as of a branch": lambda: read(config(repo, as_of="main")),
        "read as of a commit": lambda: read(config(repo, as_of=commit)),
        "write": lambda: write(config(repo), TWO),
        "new branch": lambda: write(config(repo, NewBranch("new")), ONE),
        "new branch from another": lambda: write(config(repo, NewBranch("newer", base="new")), TWO),
        "write to a branch": lambda: write(config(repo, SerialBranch("new")), TWO),
    }
    asked = {}
    for name, one in work.items():
        statements.clear()
        one()
        assert statements
        asked[name] = [sql for sql in statements if "dolt_branches" in sql.lower()]
    assert asked == {name: [] for name in work}
    assert read(config(repo, SerialBranch("newer"))).id.tolist() == [1, 2]


def test_what_is_just_one_branch(repo: Path) -> None:
    """A head is that of the branch of just this name: not of a tag, an ancestor, or one in other letters."""
    first = write(config(repo), ONE).commit.hash
    second = write(config(repo), TWO).commit.hash
    execute(
        repo,
        f"CALL DOLT_BRANCH('Twice', '{first}')",
        f"CALL DOLT_BRANCH('tWICE', '{second}')",
        f"CALL DOLT_BRANCH('both', '{second}')",
        f"CALL DOLT_TAG('both', '{first}')",
        f"CALL DOLT_TAG('tagged', '{first}')",
        f"CALL DOLT_BRANCH('x.{{''\"%`', '{first}')",
    )
    try:
        found = heads(repo, ["Twice", "tWICE", "both", "x.{'\"%`"])
        assert found == [first, second, second, first]
        wrong = [
            "twice",
            "TWICE",
            "tagged",
            "BOTH",
            "main~1",
            "main^",
            "Main",
            "HEAD",
            first,
            "heads/main",
            "",
            "refs/heads/main",
            "a b",
            "x..y",
            "a@{0}",
            "m\u00e4in",
            "\udc80",
            "main\0",
        ]
        assert heads(repo, wrong) == [None] * len(wrong)
    finally:
        execute(repo, "CALL DOLT_TAG('-d', 'both')", "CALL DOLT_TAG('-d', 'tagged')")


def test_names_of_new_branches(repo: Path) -> None:
    """A new branch may have the name of a tag, and not that of a branch in other letters."""
    head = write(config(repo), ONE).commit.hash
    execute(repo, f"CALL DOLT_TAG('Tagged', '{head}')", "CALL DOLT_BRANCH('Other')")
    try:
        with pytest.raises(InvalidName, match="'Other'") as caught:
            write(config(repo, NewBranch("OTHER")), TWO)
        assert caught.value.name == "OTHER"
        with pytest.raises(BranchNotFound):
            read(config(repo, SerialBranch("OTHER")))
        write(config(repo, NewBranch("tagged")), TWO)
        assert read(config(repo, SerialBranch("tagged"))).id.tolist() == [1, 2]
        assert heads(repo, ["Other", "OTHER", "main"]) == [head, None, head]
    finally:
        execute(repo, "CALL DOLT_TAG('-d', 'Tagged')")
