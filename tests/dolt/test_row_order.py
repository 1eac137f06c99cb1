"""Rows of a table without a key come in the order of their values, on every machine and by every door."""

from __future__ import annotations

import decimal
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, DoltTable, diff, pin, read, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.api.uri import dolt_uri, from_uri
from flytekitplugins.dolt.codec.notes import Note, Notes
from flytekitplugins.dolt.codec.row_order import sorted_rows
from flytekitplugins.dolt.errors import RowOrderWarning
from flytekitplugins.dolt.repository.connections import connect

Config = Callable[..., DoltConfig]

COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "numbers": (pd.Series([3, -1, 2, 10]), [-1, 2, 3, 10]),
    "floats": (pd.Series([1.5, -2.25, 1e300, 0.0]), [-2.25, 0.0, 1.5, 1e300]),
    "booleans": (pd.Series([True, False]), [False, True]),
    "text": (pd.Series(["b", "B", "ä", "a", "Z", ""]), ["", "B", "Z", "a", "b", "ä"]),
    "bytes": (pd.Series([b"\xff", b"\x00", b"a"]), [b"\x00", b"a", b"\xff"]),
    "times": (
        pd.Series(pd.to_datetime(["2024-02-01", "2023-01-01"])),
        list(pd.to_datetime(["2023-01-01", "2024-02-01"])),
    ),
    "dates": (pd.Series([date(2024, 2, 1), date(2023, 1, 1)]), [date(2023, 1, 1), date(2024, 2, 1)]),
    "spans": (pd.Series(pd.to_timedelta([5, -5], unit="h")), list(pd.to_timedelta([-5, 5], unit="h"))),
    "decimals": (
        pd.Series([decimal.Decimal("10.5"), decimal.Decimal("9.25")]),
        [decimal.Decimal("9.25"), decimal.Decimal("10.5")],
    ),
    "levels in an order": (
        pd.Series(pd.Categorical(["low", "high", "mid"], ["low", "mid", "high"], ordered=True)),
        ["low", "mid", "high"],
    ),
    "levels in none": (pd.Series(pd.Categorical(["low", "high"], ["low", "high"])), ["high", "low"]),
    "lists": (pd.Series([[2], [1, 3]]), [[1, 3], [2]]),
    "missing": (pd.Series(["x", None, "a"]), ["a", "x", None]),
}


def values(frame: pd.DataFrame) -> list[Any]:
    return [None if isinstance(v, float) and np.isnan(v) else v for v in frame["v"].tolist()]


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_kind_of_value(config: Config, kind: str) -> None:
    """Read whole, in parts and as Arrow, the rows come in one order."""
    column, expected = COLUMNS[kind]
    table = config("t")
    write(table, pd.DataFrame({"v": column}))
    assert values(read(table)) == expected
    parts = list(frames.iter_frames(pinned(pin(table)), batch_rows=1, columns=None))
    assert [value for part in parts for value in values(part)] == expected
    whole = frames.load(pinned(pin(table))).arrow
    with frames.open_reader(pinned(pin(table)), batch_rows=1, columns=None) as reader:
        assert reader.read_all().to_pydict() == whole.to_pydict()


def test_columns_are_compared_in_the_frames_order(config: Config, repo: Path) -> None:
    """The first column decides, equal ones the next; of a part of the columns those that are read."""
    table = config("t")
    write(table, pd.DataFrame({"a": [2, 1, 1], "b": ["x", "z", "y"]}))
    assert read(table).to_dict("list") == {"a": [1, 1, 2], "b": ["y", "z", "x"]}
    assert read(config("t", columns=["b"])).b.tolist() == ["x", "y", "z"]
    with connect(repo) as connection:
        connection.execute("INSERT INTO t VALUES (0, 'w')")
        connection.execute("CALL DOLT_COMMIT('-am', 'by hand', '--author', 'A <a@b.c>')")
    assert read(table).a.tolist() == [0, 1, 1, 2]


def test_the_databases_collation_does_not_matter(config: Config, repo: Path) -> None:
    """Text is compared by its bytes, also where the table's own collation has no case."""
    with connect(repo) as connection:
        connection.execute("CREATE TABLE t (v VARCHAR(9) COLLATE utf8mb4_0900_ai_ci, e ENUM('b', 'a'), j JSON)")
        connection.execute(
            """INSERT INTO t VALUES ('b', 'a', '{"b": 1}'), ('A', 'b', '[1]'), ('a', 'b', '[1]'), ('B', 'a', '1')"""
        )
        connection.execute("CALL DOLT_COMMIT('-Am', 'by hand', '--author', 'A <a@b.c>')")
    assert read(config("t")).v.tolist() == ["A", "B", "a", "b"]
    assert read(config("t", columns=["e", "v"])).v.tolist() == ["B", "b", "A", "a"]
    for columns in (["j", "v"], ["v", "e", "j"], ["e", "j", "v"]):
        whole = read(config("t", columns=columns))
        parts = frames.iter_frames(pinned(pin(config("t", columns=columns))), batch_rows=2, columns=None)
        assert pd.concat(parts, ignore_index=True).equals(whole)


def test_order_by_wins(config: Config) -> None:
    """Columns that are named, a kept order and a key decide; with no columns named it is the order of storage."""
    frame = pd.DataFrame({"id": [3, 1, 2], "v": ["a", "b", "c"]})
    write(config("t"), frame)
    assert read(config("t", order_by=["v"])).v.tolist() == ["a", "b", "c"]
    assert sorted(read(config("t", order_by=[])).v.tolist()) == ["a", "b", "c"]
    write(config("kept", keep_order=True), frame)
    assert read(config("kept")).id.tolist() == [3, 1, 2]
    write(config("keyed", primary_key=["v"]), frame)
    assert read(config("keyed")).v.tolist() == ["a", "b", "c"]


def test_what_differs_is_in_that_order(config: Config, repo: Path) -> None:
    """So are the changed rows of such a table."""
    write(config("t"), pd.DataFrame({"v": [5, 7, 1]}))
    write(config("t"), pd.DataFrame({"v": [9, 7, 4, 2]}))
    found = diff("HEAD~1", "HEAD", table="t", db_path=repo).rows
    assert found is not None
    assert list(zip(found["v"], found["diff_type"], strict=True)) == [
        (1, "removed"),
        (2, "added"),
        (4, "added"),
        (5, "removed"),
        (9, "added"),
    ]


def test_another_order_than_the_frames_is_said_once(config: Config) -> None:
    """A frame that comes back in another order is one warning for its table, with what to give."""
    frame = pd.DataFrame({"v": [2, 1]})
    with pytest.warns(RowOrderWarning, match=r"'t'.*primary_key.*keep_order.*order_by"):
        write(config("t"), frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(config("t"), frame[::-1].assign(w=1)[["v"]].reset_index(drop=True))
        write(config("t"), frame)
        write(config("sorted"), pd.DataFrame({"v": [1, 2, 2]}))
        write(config("keyed", primary_key=["v"]), frame)
        write(config("kept", keep_order=True), frame)
        write(config("any", order_by=[]), frame)
        write(config("by", order_by=["v"]), frame)
        write(config("added", mode="append"), frame)


def test_parts_that_commit_in_reverse(config: Config) -> None:
    """Each part's table has its own row, whatever was written before it; the row is found by its value."""
    commits = {}
    for part in (3, 2, 1):
        made = write(config("squares", mode="append"), pd.DataFrame({"part": [part], "square": [part**2]}))
        commits[part] = made.commit
    tables = {part: read(config("squares", as_of=commits[part])).set_index("part") for part in (1, 2, 3)}
    assert [len(table) for table in tables.values()] == [3, 2, 1]
    assert [int(table.at[part, "square"]) for part, table in tables.items()] == [1, 4, 9]


def test_storage_order_travels(repo: Path) -> None:
    """An empty list of columns stays one in a literal and in an address."""
    config = DoltConfig(str(repo), "t", order_by=[])
    assert DoltConfig.from_dict(config.to_dict()).order_by == []
    assert from_uri(dolt_uri(DoltTable(config))).config.order_by == []


def test_a_view_has_its_own_order(config: Config, repo: Path) -> None:
    """What a view sorts stays as it sorts it."""
    write(config("t"), pd.DataFrame({"v": [1, 3, 2]}))
    with connect(repo) as connection:
        connection.execute("CREATE VIEW backwards AS SELECT v FROM t ORDER BY v DESC")
        connection.execute("CALL DOLT_COMMIT('-Am', 'a view', '--author', 'A <a@b.c>')")
    assert read(config(sql="SELECT * FROM backwards")).v.tolist() == [3, 2, 1]


def test_levels_that_are_not_those_of_the_values() -> None:
    """A note that does not fit the stored values does not stop the sort."""
    rows = pa.table({"v": [2, 1]})
    assert sorted_rows(rows, Notes({"v": Note(levels=("b", "a"), ordered=True)}))["v"].to_pylist() == [1, 2]
