"""Rows that are written as files are stored as SQL stores them, to the byte, and refused with the same errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from stored_frames import FRAMES

from flytekitplugins.dolt import DoltConfig, NewBranch, read, write
from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import procedures
from flytekitplugins.dolt.tables import native

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
WAYS = {"sql": "0", "native": "1"}


@pytest.fixture
def went(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Give a function that returns what was said of each table that was written since it was last called."""
    caplog.set_level(logging.DEBUG, native.__name__)

    def said() -> list[str]:
        found = [r.getMessage() for r in caplog.records if r.name == native.__name__ and r.msg.startswith("Wrote")]
        caplog.clear()
        return found

    return said


def hash_of(repo: Path, branch: str, table: str = "t") -> str | None:
    """Return Dolt's hash of a table on a branch: of its columns, keys, comment and rows."""
    with refs.connect(repo) as connection, connection.at(branch):
        return refs.hash_of_table(connection, table)


def written_both_ways(
    repo: Path, patch: pytest.MonkeyPatch, config: Config, frames: list[tuple[pd.DataFrame, dict[str, object]]]
) -> None:
    """Write frames one after the other, by SQL on one branch and natively on another, and find the same there."""
    for frame, options in frames:
        for branch, switch in WAYS.items():
            patch.setenv(procedures.SWITCH, switch)
            write(config("t", branch_conf=NewBranch(branch), **options), frame.reset_index(drop=True))
        assert hash_of(repo, "native") == hash_of(repo, "sql")
    assert hash_of(repo, "native") is not None


@pytest.mark.parametrize("options", [{"primary_key": ["k"]}, {}, {"keep_order": True}], ids=["key", "none", "order"])
@pytest.mark.parametrize("kind", FRAMES)
def test_frames_are_stored_as_by_sql(
    repo: Path,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    went: Callable[[], list[str]],
    kind: str,
    options: dict[str, object],
) -> None:
    """A new table, its rows in another order, some of them, added ones, put ones and none."""
    frame = FRAMES[kind]
    more = frame.iloc[:1].assign(k=frame["k"].iloc[:1] * 0 + 77)
    steps = [(frame, options), (frame.iloc[::-1], options), (frame.iloc[1:], options)]
    steps += [(more, {**options, "mode": "append"})] if len(frame) and "keep_order" not in options else []
    steps += [(frame.iloc[:2], {**options, "mode": "upsert"})] if "primary_key" in options else []
    written_both_ways(repo, monkeypatch, config, [*steps, (frame.iloc[:0], options)])
    for said in went():
        assert said.endswith("natively.") or f"{procedures.SWITCH} is 0" in said


def test_many_rows_are_stored_as_by_sql(repo: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many that SQL sends only those that differ; keys in no order."""
    rows = pd.DataFrame({"k": range(5000), "v": [f"row {n}" for n in range(5000)]}).sample(frac=1, random_state=1)
    some = rows.assign(v=rows["v"].where(rows["k"] % 100 > 0, "changed"))
    key = {"primary_key": ["k"]}
    written_both_ways(repo, monkeypatch, config, [(rows, key), (some, key), (some.iloc[10:], key), (rows, key)])


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (", CONSTRAINT positive CHECK (v > 0)", "CONSTRAINT"),
        (", n INT AUTO_INCREMENT UNIQUE", "AUTO_INCREMENT"),
        (", w INT AS (v + 1) STORED", "GENERATED"),
        (", at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "ON UPDATE"),
        (", w INT DEFAULT 5", "columns"),
    ],
)
def test_tables_with_rules_go_by_sql(
    repo: Path, config: Config, dolt: Dolt, went: Callable[[], list[str]], columns: str, why: str
) -> None:
    """The log names the reason; the rows are there."""
    dolt("sql", "-q", f"create table t (k int primary key, v int{columns}); call dolt_commit('-Am', 'made')")
    frame = pd.DataFrame({"k": [1, 2], "v": [3, 4]})
    write(config("t", mode="append"), frame)
    (said,) = went()
    assert why in said
    assert read(config("t"))["v"].tolist() == [3, 4]


BAD = {
    "a key that the table has": ("v int", {"k": [1], "v": [1]}),
    "null where there may be none": ("v int not null", {"k": [2], "v": pd.array([None], "Int64")}),
    "a text that is too long": ("v varchar(3)", {"k": [2], "v": ["four"]}),
    "a number out of range": ("v tinyint", {"k": [2], "v": [300]}),
    "a value of a unique index": ("v int unique", {"k": [2], "v": [7]}),
    "a text that is no number of an enum": ("v enum('a', '7')", {"k": [2], "v": ["b"]}),
}


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_rows_are_refused_as_by_sql(
    repo: Path, config: Config, dolt: Dolt, monkeypatch: pytest.MonkeyPatch, kind: str, mode: str
) -> None:
    """The same class of error with the same words, or none; the table is what it is by SQL."""
    column, rows = BAD[kind]
    dolt("sql", "-q", f"create table t (k int primary key, {column}); insert into t values (1, '7')")
    dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
    frame = pd.DataFrame(rows)
    if mode == "replace" and "unique" in column:
        frame = pd.concat([frame, frame.assign(k=3)], ignore_index=True)
    found = []
    for branch, switch in WAYS.items():
        monkeypatch.setenv(procedures.SWITCH, switch)
        try:
            write(config("t", branch_conf=NewBranch(branch), mode=mode), frame)
            found.append((None, hash_of(repo, branch)))
        except DoltError as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]


def test_nothing_is_left_in_the_folder(repo: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after rows that were taken, nor after those that were refused or interrupted."""
    write(config("t", primary_key=["k"]), pd.DataFrame({"k": [1], "v": ["a"]}))
    with pytest.raises(DoltError):
        write(config("t", mode="append"), pd.DataFrame({"k": [1], "v": ["b"]}))

    def interrupt(path: Path, rows: object) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(native.rows_file, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(config("t"), pd.DataFrame({"k": [1], "v": ["c"]}))
    with refs.connect(repo) as connection:
        folder = connection.shared_folder()
        assert folder is not None
        assert list(folder.iterdir()) == []
    assert read(config("t"))["v"].tolist() == ["a"]
