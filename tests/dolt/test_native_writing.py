"""Rows that are written as files are stored as SQL stores them, to the byte, and refused with the same errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from stored_frames import FRAMES
from stored_types import NAMES, every_type

from flytekitplugins.dolt import DoltConfig, NewBranch, pin, read, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import procedures
from flytekitplugins.dolt.tables import native

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
WAYS = {"sql": "0", "native": "1"}


@pytest.fixture(autouse=True)
def _natively(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows go natively where a test says nothing else."""
    monkeypatch.delenv(procedures.SWITCH, raising=False)


@pytest.fixture
def went(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Give a function that returns what was said of each table that was written since it was last called."""
    caplog.set_level(logging.DEBUG, native.__name__)

    def said() -> list[str]:
        found = [
            r.getMessage()
            for r in caplog.records
            if r.name == native.__name__ and r.msg.startswith(("Wrote", "Deleted"))
        ]
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
    by_sql_twice = 0 if kind == "empty" or "keep_order" in options else 1  # the one that has equal rows put
    assert_half_natively(went(), times=0 if kind == "empty" else len(steps), by_sql_twice=by_sql_twice)


def assert_half_natively(said: list[str], *, times: int, by_sql_twice: int = 0) -> None:
    """Find that of the writes so many went natively, as many by SQL as that was wanted, and no other.

    Those that put equal rows are done once more by SQL, as nothing tells that from rows that the server forgot.
    """
    natively = [words for words in said if words.endswith("natively.")]
    by_sql = [words for words in said if f"{procedures.SWITCH} is 0" in words]
    assert len(natively) + by_sql_twice == len(by_sql) >= times
    assert sorted(natively + by_sql) == sorted(said)


CARRIED = {
    "TINYINT(1)": "1",
    "YEAR": "2024",
    "FLOAT": "-0.1",
    "VARCHAR(300)": "'no NUL'",
    "JSON": """'{"a": [1, 2.5]}'""",
    "TIME": "'23:59:59'",
    "TIME(6)": "'23:59:59.999999'",
    **{kind: "-7" for kind in NAMES if kind.startswith("DECIMAL(") and int(kind[8:10].rstrip(",")) > 38},
}
"""For types of which other values go by SQL (spans of time, decimals of 256 bits), or are refused."""

BY_SQL = ("BIT(7)", "BIT(64)", "VARCHAR(30) CHARACTER SET latin1")
"""The types that are read natively and written by SQL: bits are binary in a frame, and text is stored otherwise."""


@pytest.mark.parametrize("mode", ["replace", "append", "upsert"])
def test_every_type_is_stored_as_by_sql(
    repo: Path, config: Config, monkeypatch: pytest.MonkeyPatch, went: Callable[[], list[str]], mode: str
) -> None:
    """Each type on the list goes natively into a table that is there, in the types in which it was read."""
    with refs.connect(repo) as connection:
        every_type(connection, " PRIMARY KEY")
        for kind in BY_SQL:
            connection.execute(f"ALTER TABLE every DROP COLUMN {NAMES[kind]}")
        for kind, value in CARRIED.items():
            connection.execute(f"UPDATE every SET {NAMES[kind]} = {value} WHERE id > 0")
            connection.execute(f"UPDATE every SET {NAMES[kind]} = NULL WHERE id = 0")
        connection.query("CALL DOLT_COMMIT('-Am', 'every')")
    rows = frames.load(pinned(pin(config("every")))).to_arrow()
    if mode == "append":
        rows = rows.set_column(0, "id", pc.add(rows["id"], 100).cast(rows["id"].type))
    rows = rows.take(list(range(len(rows)))[::-1])
    for branch, switch in WAYS.items():
        monkeypatch.setenv(procedures.SWITCH, switch)
        write(config("every", branch_conf=NewBranch(branch), mode=mode), rows)
    assert_half_natively(went(), times=1)
    assert hash_of(repo, "native", "every") == hash_of(repo, "sql", "every") is not None


def test_many_rows_are_stored_as_by_sql(repo: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many that SQL sends only those that differ; keys in no order."""
    rows = pd.DataFrame({"k": range(5000), "v": [f"row {n}" for n in range(5000)]}).sample(frac=1, random_state=1)
    some = rows.assign(v=rows["v"].where(rows["k"] % 100 > 0, "changed"))
    key = {"primary_key": ["k"]}
    written_both_ways(repo, monkeypatch, config, [(rows, key), (some, key), (some.iloc[10:], key), (rows, key)])


def large_rows() -> pd.DataFrame:
    """Return rows by ascending key, some with long texts, whose file is so large that the server takes it in halves."""
    rows = pd.DataFrame({"k": range(12_000), "v": [f"{n:x}" * 110 for n in range(12_000)]})
    rows["w"] = rows["k"].map(dict.fromkeys((0, 5999, 6000, 11999), "long" * 1000))
    return rows


OUT_OF_PLACE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "all in order": lambda rows: rows,
    "the halves overlap": lambda rows: rows.iloc[[*range(5_999), 6_000, 5_999, *range(6_001, 12_000)]],
    "unsorted in the second half": lambda rows: rows.iloc[[*range(11_998), 11_999, 11_998]],
    "a key of both halves": lambda rows: rows.assign(k=rows["k"].replace(6_000, 5_999)),
    "a key twice in the first half": lambda rows: rows.assign(k=rows["k"].replace(8, 7)),
    "null in the second half": lambda rows: rows.assign(v=rows["v"].mask(rows["k"] == 11_000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OUT_OF_PLACE)
def test_large_files_are_stored_as_by_sql(
    repo: Path, config: Config, dolt: Dolt, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A first write in halves has the same tree; what is out of place is found wherever it stands."""
    dolt("sql", "-q", "create table t (k bigint primary key, v varchar(500) not null, w longtext)")
    dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
    frame = OUT_OF_PLACE[kind](large_rows()).reset_index(drop=True)
    found = []
    for branch, switch in WAYS.items():
        monkeypatch.setenv(procedures.SWITCH, switch)
        try:
            write(config("t", branch_conf=NewBranch(branch), mode="append"), frame)
            found.append((None, hash_of(repo, branch)))
        except DoltError as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]
    assert (found[0][0] is None) == (kind in ("all in order", "the halves overlap", "unsorted in the second half"))


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


MOMENTS = pd.to_datetime(["1000-01-01", "1969-12-31 23:59:59.999999", "2024-02-29 12:00"], format="ISO8601")
KEYS: dict[str, tuple[str, dict[str, object]]] = {
    "integers": ("k bigint", {"k": [-(2**63), 0, 2**63 - 1]}),
    "unsigned": ("k bigint unsigned", {"k": np.array([0, 1, 2**64 - 1], np.uint64)}),
    "booleans": ("k tinyint(1)", {"k": [False, True]}),
    "floats": ("k float", {"k": np.array([0.1, 16777216, -1e-7], np.float32)}),
    "doubles": ("k double", {"k": [0.1, 1e300, -5e-324]}),
    "zeros": ("k double", {"k": [-0.0, 1.0]}),
    "small zeros": ("k float", {"k": np.array([-0.0, 1.0], np.float32)}),
    "decimals": ("k decimal(30,4)", {"k": [Decimal("-0.0001"), Decimal("12345678901234567890.5"), Decimal(0)]}),
    "text": ("k varchar(9)", {"k": ["a", "A", "ä ", "", "NULL", "\\N\t'"]}),
    "text of others": ("k varchar(9) collate utf8mb4_0900_ai_ci", {"k": ["Ann", "bob", "É"]}),
    "fixed text": ("k char(4)", {"k": ["a", "abcd", "É"]}),
    "bytes": ("k varbinary(4)", {"k": [b"", b"\x00", b"\xffab"]}),
    "fixed bytes": ("k binary(3)", {"k": [b"\x00\x00\x00", b"abc"]}),
    "days": ("k date", {"k": [date(1000, 1, 1), date(2024, 2, 29)]}),
    "moments": ("k datetime(6)", {"k": MOMENTS.as_unit("us")}),
    "spans": ("k time(6)", {"k": pd.to_timedelta([0, -1, 90_000_000_000], "us")}),
    "times of day": ("k time(6)", {"k": [time(0), time(23, 59, 59, 999_999)]}),
    "enums": ("k enum('a','b','')", {"k": ["a", "b"]}),
    "sets": ("k set('a','b')", {"k": ["a", "a,b"]}),
    "bits": ("k bit(9)", {"k": [1, 256]}),
    "years": ("k year", {"k": [1901, 2155]}),
    "several": (
        "b varchar(5), k float, c date",
        {"k": [0.5, 0.5, 1], "b": ["x", "y", "x"], "c": [date(2024, 1, 1)] * 3},
    ),
}


def rows_deleted(repo: Path, patch: pytest.MonkeyPatch, config: Config, keys: object) -> tuple[object, object]:
    """Delete rows by SQL and natively, each on a branch of its own, and return what became of each."""
    found = []
    for branch, switch in WAYS.items():
        patch.setenv(procedures.SWITCH, switch)
        try:
            deleted = write(config("t", mode="delete", branch_conf=NewBranch(branch)), keys)
            found.append((deleted.missing_keys, hash_of(repo, branch)))
        except DoltError as error:
            found.append((type(error), str(error)))
    return found[0], found[1]


@pytest.mark.parametrize("kind", KEYS)
def test_rows_are_deleted_as_by_sql(
    repo: Path,
    config: Config,
    dolt: Dolt,
    monkeypatch: pytest.MonkeyPatch,
    went: Callable[[], list[str]],
    kind: str,
) -> None:
    """Keys of each type, in another order than they are stored; then those that are gone, with one that is not."""
    columns, values = KEYS[kind]
    frame = pd.DataFrame(values).assign(v=7)
    key = [name for name in frame.columns if name != "v"]
    dolt("sql", "-q", f"create table t ({columns}, v int, primary key ({', '.join(key)}), index (v))")
    dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
    write(config("t", mode="append"), frame)
    went()
    some = frame[key].iloc[:0:-1].reset_index(drop=True)
    one, other = rows_deleted(repo, monkeypatch, config, some)
    assert one == other
    assert one[0] == 0
    assert f"{procedures.SWITCH} is 0" in went()[0]
    one, other = rows_deleted(repo, monkeypatch, config, frame[key].iloc[::-1].reset_index(drop=True))
    assert one == other
    assert one[0] == len(some)
    assert len(read(config("t", branch_conf=NewBranch("native")))) == 0
    by_sql = kind in ("spans", "bits")  # which are sent as text and as bytes
    assert [said for said in went() if said.startswith("Deleted")][-1].endswith("natively.") != by_sql


EQUAL_KEYS: dict[str, tuple[str, list[object], int]] = {
    "written in another way": ("varchar(9) collate utf8mb4_0900_ai_ci", ["ANN"], 0),
    "minus zero": ("double", [0.0], 0),
    "not there": ("varchar(9)", ["Zoe", "ann"], 2),
    "none": ("varchar(9)", [], 0),
}


@pytest.mark.parametrize("kind", EQUAL_KEYS)
def test_keys_are_those_of_the_table(
    repo: Path, config: Config, dolt: Dolt, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The table says which keys are equal; those that no row has are counted, either way."""
    sql_type, keys, missing = EQUAL_KEYS[kind]
    dolt("sql", "-q", f"create table t (k {sql_type} primary key, v int); call dolt_commit('-Am', 'made')")
    there = pd.Series([-0.0, 2.0] if sql_type == "double" else ["Ann", "Bob"])
    write(config("t", mode="append"), pd.DataFrame({"k": there, "v": 1}))
    one, other = rows_deleted(repo, monkeypatch, config, pd.DataFrame({"k": pd.Series(keys, dtype=there.dtype)}))
    assert one == other
    assert one[0] == missing


@pytest.mark.parametrize("keys", [["ann", "ANN"], ["Ann", "Ann"], ["a name that is too long"], [None, "Ann"], [7]])
def test_bad_keys_are_refused_as_by_sql(
    repo: Path, config: Config, dolt: Dolt, monkeypatch: pytest.MonkeyPatch, keys: list[object]
) -> None:
    """Keys that are there twice, as the table compares them, and what the column cannot hold: the same error."""
    columns = "k varchar(9) collate utf8mb4_0900_ai_ci primary key, v int"
    dolt("sql", "-q", f"create table t ({columns}); insert into t values ('Ann', 1), ('Bob', 2)")
    dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
    one, other = rows_deleted(repo, monkeypatch, config, pd.DataFrame({"k": keys}))
    assert one == other
    assert isinstance(one[0], type)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("create table other (k int primary key, t int, foreign key (t) references t (k))", "foreign keys"),
        ("create trigger tr after insert on t for each row set @a = 1", "triggers"),
        ("alter table t add constraint positive check (v > 0)", "CONSTRAINT"),
    ],
)
def test_rows_of_tables_with_rules_are_deleted_by_sql(
    repo: Path, config: Config, dolt: Dolt, went: Callable[[], list[str]], made: str, why: str
) -> None:
    """The log names the reason; the rows are gone."""
    dolt("sql", "-q", f"create table t (k int primary key, v int); insert into t values (1, 1), (2, 2); {made}")
    dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
    assert write(config("t", mode="delete"), pd.DataFrame({"k": [1, 9]})).missing_keys == 1
    assert why in went()[0]
    assert read(config("t"))["k"].tolist() == [2]


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
