"""Conflicting rows of sides whose columns have other types or places: Dolt's preview takes them all for the base's.

It fails then, or shows bytes of one type, or one column, as those of another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, merge, write
from flytekitplugins.dolt.errors import MergeConflict
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

LONGER = ("ALTER TABLE t MODIFY COLUMN b DOUBLE",)
NEW = ("ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b BIGINT")
MOVED = ("ALTER TABLE t MODIFY COLUMN b INT AFTER id",)
LESS = ("ALTER TABLE t DROP COLUMN a",)
MORE = ("ALTER TABLE t ADD COLUMN n INT DEFAULT 9 FIRST",)

CASES = {
    "another type on both sides": (LONGER, LONGER),
    "a new column of the same name on both sides": (NEW, NEW),
    "columns in another order": (MOVED, ()),
    "a column that ours lacks": (LESS, ()),
    "a column that theirs lacks": ((), LESS),
    "a column more on both": (MORE, MORE),
}


@pytest.mark.parametrize(("ours", "theirs"), CASES.values(), ids=CASES)
def test_values_of_each_side(repo: Path, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    """The error shows each side's own values, of the one row that both have changed."""
    with connect(repo) as connection:
        connection.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
        connection.execute("INSERT INTO t VALUES (1, 10, 100), (2, 20, 200)")
        connection.execute("CALL DOLT_COMMIT('-Am', 'base')")
        connection.execute("CALL DOLT_BRANCH('side')")
        for branch, changes, value in (("main", ours, 5), ("side", theirs, 7)):
            with connection.at(branch):
                for change in (*changes, f"UPDATE t SET b = {value} WHERE id = 1"):
                    connection.execute(change)
                connection.execute("CALL DOLT_COMMIT('-Am', 'changed')")
    with pytest.raises(MergeConflict) as caught:
        merge("side", db_path=repo)
    (conflict,) = caught.value.conflicts
    assert (conflict.kind, conflict.count) == ("rows", 1)
    (shown,) = conflict.rows
    assert [shown[side]["b"] for side in ("base", "ours", "theirs")] == [100, 5, 7]
    frame = caught.value.frames["t"]
    assert frame[["id", "base_b", "our_b", "their_b"]].to_numpy().tolist() == [[1, 100, 5, 7]]


def test_text_without_values_that_became_times(repo: Path, config: Config) -> None:
    """A column without any value takes the type of the first frame that has one; both sides do."""
    write(
        config("t", primary_key=["id"]), pd.DataFrame({"id": pd.Series(dtype="int64"), "c": pd.Series(dtype="object")})
    )
    day = pd.Timestamp("2024-01-01")
    for branch, values in (("a", [pd.NaT, day]), ("b", [day])):
        frame = pd.DataFrame({"id": range(1, len(values) + 1), "c": pd.Series(values, dtype="datetime64[s]")})
        write(config("t", primary_key=["id"], mode="append", branch_conf=NewBranch(branch)), frame)
    with pytest.raises(MergeConflict) as caught:
        merge("b", into="a", db_path=repo)
    frame = caught.value.frames["t"]
    assert frame[["id", "their_c"]].to_numpy().tolist() == [[1, day]]
    assert frame.our_c.isna().tolist() == [True]
