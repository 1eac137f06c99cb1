"""Differences of tables with shapes or vectors could not be shown, and conflicts in one with vectors ended raw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flytekitplugins.dolt import Changes, DoltConfig, diff, merge, pin, read, write
from flytekitplugins.dolt.errors import MergeConflict, SchemaMismatch
from flytekitplugins.dolt.server import procedures

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

KINDS: dict[str, tuple[str, list[str], list[str]]] = {
    "shapes": (
        "geometry",
        ["POINT(0.1, 1e-20)", "ST_GeomFromText('LINESTRING(1 2,3 4)')", "ST_GeomFromText('POINT(1 2)', 4326)"],
        ["POINT(0.1 1e-20)", "LINESTRING(1 2,3 4)", "SRID=4326;POINT(1 2)"],
    ),
    "vectors": (
        "vector(2)",
        [f"STRING_TO_VECTOR('[{each}]')" for each in ("0.1, 2", "16777217, 1", "-3, 4")],
        ["[0.1, 2]", "[16777216, 1]", "[-3, 4]"],
    ),
}


@pytest.fixture(params=["1", "0"], ids=["natively", "by SQL"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(procedures.SWITCH, request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, dolt: Dolt) -> tuple[str, list[str], list[str]]:
    """Make a table of such values, change one, add one, and remove one; give the type, the values and their texts."""
    found = kind, (one, two, three), _ = KINDS[request.param]
    dolt(
        "sql",
        "-q",
        f"create table t (id int primary key, v {kind}, n int); insert into t values (1, {one}, 1), (2, {two}, 2);"
        "call dolt_commit('-Am', 'one'); call dolt_branch('side');"
        f"update t set v = {three} where id = 1; delete from t where id = 2; insert into t values (3, {two}, 3);"
        "insert into t values (4, null, 4); call dolt_commit('-Am', 'two')",
    )
    return found


@pytest.mark.usefixtures("_ways")
def test_differences_show_them_as_text(repo: Path, config: Config, kind: tuple[str, list[str], list[str]]) -> None:
    """Exactly, with the system of reference where there is one; changes of a table can be read, too."""
    one, two, three = kind[2]
    found = diff("HEAD~1", "HEAD", db_path=repo, table="t")
    assert (found.added, found.modified, found.removed) == (2, 1, 1)
    for frame in (found.rows, read(config("t", changes=Changes(since="HEAD~1")))):
        assert frame is not None
        rows = frame.astype(object).where(frame.notna(), None).sort_values("id")
        told = rows[["id", "diff_type", "v", "before_v"]].values.tolist()
        assert told == [
            [1, "modified", three, one],
            [2, "removed", two, None],
            [3, "added", two, None],
            [4, "added", None, None],
        ]


def test_differences_over_another_key_and_type(repo: Path, dolt: Dolt, kind: tuple[str, list[str], list[str]]) -> None:
    """Where all rows of both sides are read they are text, too."""
    dolt("sql", "-q", "alter table t drop primary key, add primary key (id, n); call dolt_commit('-Am', 'three')")
    rows: Any = diff("HEAD~1", "HEAD", db_path=repo, table="t").rows
    assert {text for text in rows["v"].tolist() if isinstance(text, str)} == {kind[2][1], kind[2][2]}


def test_conflicts_are_counted(repo: Path, dolt: Dolt, kind: tuple[str, list[str], list[str]]) -> None:
    """A merge of rows that both have changed is a conflict, which a side can settle."""
    dolt("checkout", "side")
    dolt("sql", "-q", f"update t set v = {kind[1][1]} where id = 1; call dolt_commit('-am', 'theirs')")
    dolt("checkout", "main")
    with pytest.raises(MergeConflict, match="'t' has 1 conflicting row.*no frame can hold") as raised:
        merge("side", into="main", db_path=repo)
    assert [conflict.count for conflict in raised.value.conflicts] == [1]
    merge("side", into="main", db_path=repo, strategy="theirs")
    told = dolt("sql", "-r", "csv", "-q", f"select v = {kind[1][1]} as same from t where id = 1")
    assert told.split()[-1] in ("1", "true")


@pytest.mark.usefixtures("_ways")
def test_a_table_of_vectors_is_read_and_kept(config: Config, dolt: Dolt) -> None:
    """Vectors are text, in whole tables and parts; what cannot be written back is refused."""
    dolt("sql", "-q", "create table v (id int primary key, v vector(2)); insert into v values (2, null)")
    dolt("sql", "-q", "insert into v values (1, string_to_vector('[0.1, 2]')); call dolt_commit('-Am', 'theirs')")
    table = config("v")
    rows = read(table)
    assert rows["v"].tolist()[:1] == ["[0.1, 2]"]
    assert rows["v"].isna().tolist() == [False, True]
    assert [part["v"].tolist()[0] for part in pin(table).iter(1)][:1] == ["[0.1, 2]"]
    with pytest.raises(SchemaMismatch, match="'v' is text in the frame and VECTOR"):
        write(table, rows)
