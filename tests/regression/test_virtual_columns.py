"""Tables with VIRTUAL columns, which end Dolt 1.83 when rows are replaced or cells counted, are written otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, merge, read, write
from flytekitplugins.dolt.history import note_merging
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server

Dolt = Callable[..., str]

FIRST = "(id int primary key, twice int generated always as (v * 2), v int)"
MIDDLE = "(id int primary key, v int, twice int generated always as (v * 2), s text)"


@pytest.fixture(params=[FIRST, MIDDLE], ids=["first", "in the middle"])
def table(request: pytest.FixtureRequest, repo: Path, dolt: Dolt) -> DoltConfig:
    """Give a table with a VIRTUAL column and the rows 1 and 2."""
    dolt("sql", "-q", f"create table t {request.param}; insert into t (id, v) values (1, 1), (2, 2)")
    dolt("commit", "-Am", "a table")
    return DoltConfig(str(repo), "t", mode="upsert")


@pytest.fixture(autouse=True)
def _one_server(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """See that no server ended."""
    started: list[local_server.Address] = []
    real = local_server._try_start
    monkeypatch.setattr(local_server, "_try_start", lambda *places: started.append(real(*places)) or started[-1])
    yield
    assert len(started) <= 1
    assert started in ([], [local_server.running(repo)])


def rows(config: DoltConfig) -> list[tuple[int, int, int]]:
    """Return key, value and what is computed of it."""
    frame = read(config)
    return sorted(zip(frame["id"], frame["v"], frame["twice"], strict=True))


def test_rows_are_put_by_their_key(table: DoltConfig) -> None:
    """One that is there is changed, one that is not is added, and the others stay; equal ones are no commit."""
    frame = pd.DataFrame({"id": [1, 3], "v": [6, 3]})
    first = write(table, frame)
    assert rows(table) == [(1, 6, 12), (2, 2, 4), (3, 3, 6)]
    assert write(table, frame).commit == first.commit


def test_branches_are_merged(table: DoltConfig, repo: Path) -> None:
    """Each side's rows are there, also where the notes of the two sides have to be merged."""
    side = NewBranch("side")
    write(DoltConfig(table.db_path, "t", mode="upsert", branch_conf=side), pd.DataFrame({"id": [1], "v": [7]}))
    write(table, pd.DataFrame({"id": [2], "v": [8]}))
    merge("side", into="main", db_path=str(repo))
    assert rows(table) == [(1, 7, 14), (2, 8, 16)]


def test_new_rows_of_a_side_are_seen(table: DoltConfig, repo: Path) -> None:
    """Added or changed rows are, removed ones are none."""
    with connect(repo) as connection:
        heads = [refs.head_of(connection, None).hash]
        for statement in ("UPDATE t SET v = 9 WHERE id = 1", "DELETE FROM t WHERE id = 1"):
            connection.execute(statement)
            connection.execute("CALL DOLT_COMMIT('-Am', 'changed')")
            heads.append(refs.head_of(connection, None).hash)
        base, changed, removed = heads
        found = [
            note_merging._has_new_rows(connection, "t", *between, computes=True)
            for between in ((base, changed), (changed, removed), (base, base))
        ]
    assert found == [True, False, False]
