"""A table with a FULLTEXT index could not be written or restored: the tables with its words were taken for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, read, restore, write
from flytekitplugins.dolt.repository.connections import connect

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

WRITES: list[tuple[dict[str, Any], dict[str, list[Any]], list[int]]] = [
    ({"mode": "append"}, {"id": [3], "text": ["green moon"]}, [2, 3]),
    ({"mode": "upsert"}, {"id": [1, 3], "text": ["a moon", "none"]}, [1, 2]),
    ({"mode": "delete"}, {"id": [2]}, []),
    ({}, {"id": [2, 4], "text": ["none", "moon"]}, [4]),
]


@pytest.fixture
def notes(config: Config, dolt: Dolt) -> Callable[..., DoltConfig]:
    """Make a table with an index of words, and give its configs."""
    dolt(
        "sql",
        "-q",
        "create table `my_notes` (id int primary key, text text, fulltext key `x y` (text));"
        "insert into `my_notes` values (1, 'red sun'), (2, 'blue moon'); call dolt_commit('-Am', 'theirs')",
    )
    return lambda **options: config("MY_notes", **options)


def found(repo: Path, word: str) -> list[int]:
    """Return the rows that the index finds."""
    with connect(repo) as connection:
        question = "SELECT id FROM `my_notes` WHERE MATCH (`text`) AGAINST (%s) ORDER BY id"
        return [key for (key,) in connection.query(question, word)]


@pytest.mark.parametrize(("options", "rows", "with_moon"), WRITES, ids=["append", "upsert", "delete", "replace"])
def test_each_mode_writes_rows_and_words(
    repo: Path, notes: Callable[..., DoltConfig], options: dict[str, Any], rows: dict[str, Any], with_moon: list[int]
) -> None:
    """The index finds what is there then, and is that of the same rows put by SQL."""
    write(notes(**options), pd.DataFrame(rows))
    assert found(repo, "moon") == with_moon


def test_a_state_of_before_comes_back(repo: Path, notes: Callable[..., DoltConfig]) -> None:
    """Rows and words are those of then."""
    first = hashes(repo)
    write(notes(), pd.DataFrame({"id": [1], "text": ["moon"]}))
    assert hashes(repo) != first
    restore(notes(), as_of="HEAD~1")
    assert (hashes(repo), found(repo, "moon"), found(repo, "sun")) == (first, [2], [1])
    assert read(notes())["text"].tolist() == ["red sun", "blue moon"]


def hashes(repo: Path) -> str:
    with connect(repo) as connection:
        return str(connection.query("SELECT dolt_hashof_db('HEAD')")[0][0])
