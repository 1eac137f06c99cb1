"""Rewriting a table deleted rows of others that refer to it with ON DELETE CASCADE, or set their references to NULL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, errors, read, write

MADE = (
    "create table t (id int primary key, v int, up int, foreign key (up) references t (id) on delete cascade);"
    "insert into t values (1, 1, null), (2, 2, 1);"
    "create table child (id int primary key, t int, foreign key (t) references t (id) on delete {});"
    "insert into child values (1, 1), (2, 2); call dolt_commit('-Am', 'theirs')"
)


@pytest.mark.parametrize("action", ["cascade", "set null"])
@pytest.mark.parametrize("mode", ["replace", "upsert"])
@pytest.mark.parametrize("unique", [False, True], ids=["plain", "unique"])
def test_they_stay(
    repo: Path, dolt: Callable[..., str], config: Callable[..., DoltConfig], action: str, mode: str, unique: bool
) -> None:
    """Rows that are put back are never missed by other tables, nor by the table's own."""
    dolt("sql", "-q", MADE.format(action))
    if unique:
        dolt("sql", "-q", "alter table t add unique key (v); call dolt_commit('-Am', 'unique')")
    frame = pd.DataFrame({"id": [1, 2], "v": [20, 10], "up": pd.Series([None, 1], dtype="Int64")})
    write(config("t", mode=mode), frame)
    assert read(config("t")).v.tolist() == [20, 10]
    assert read(config("t")).up.tolist() == [pd.NA, 1]
    assert read(config("child")).t.tolist() == [1, 2]


def test_a_row_that_is_gone_is_refused(repo: Path, dolt: Callable[..., str], config: Callable[..., DoltConfig]) -> None:
    """Nobody asked for the end of the other table's row, and the connection asks for keys again afterwards."""
    dolt("sql", "-q", MADE.format("cascade"))
    frame = pd.DataFrame({"id": [1], "v": [10], "up": pd.Series([None], dtype="Int64")})
    before = dolt("log", "-n", "1")
    with pytest.raises(errors.ConstraintViolated, match="constraint violations"):
        write(config("t"), frame)
    assert dolt("log", "-n", "1") == before
    with pytest.raises(errors.ConstraintViolated, match="oreign key violation|constraint violations"):
        write(config("child", mode="append"), pd.DataFrame({"id": [3], "t": [99]}))
    assert read(config("child")).t.tolist() == [1, 2]
