"""A table's comment may come from anywhere: whatever it notes, no value changes and nothing breaks."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, DoltTable, api, errors, read, write
from flytekitplugins.dolt.api import frames, typed_frames
from flytekitplugins.dolt.api.table import pinned, resolve
from flytekitplugins.dolt.codec import arrow_tables, notes, pandas_frames
from flytekitplugins.dolt.codec.pandas_frames import NOTES_MARK, Notes, field_to_text
from flytekitplugins.dolt.model.sql_text import literal
from flytekitplugins.dolt.tables import agreeing, reading

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
D = decimal.Decimal
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)

STORED: dict[str, pa.ChunkedArray] = {
    name: pa.chunked_array([pa.array(values, kind)])
    for name, values, kind in (
        ("text", ["xyz", "1", "NULL", "é", None], pa.string()),
        ("jsons", ['{"a": 1, "a": 2}', "[true]", "[1.00000000000000000001]", "[]", None], pa.string()),
        ("numbers", [300, -1, 2**40, -(2**63), None], pa.int64()),
        ("few", [0, 1, 2, 1, None], pa.int8()),
        ("floats", [0.1, 1e300, -1.5, 0.0, None], pa.float64()),
        ("flags", [True, False, True, False, None], pa.bool_()),
        ("decimals", [D("1.25"), D("-99999999.99"), D(0), D(1), None], pa.decimal256(10, 2)),
        (
            "days",
            [dt.date(1000, 1, 1), dt.date(9999, 12, 31), dt.date(2020, 2, 29), dt.date(1970, 1, 1), None],
            pa.date32(),
        ),
        (
            "moments",
            [LAST, dt.datetime(1000, 1, 1), dt.datetime(2020, 1, 1, 0, 0, 0, 1), LAST, None],
            pa.timestamp("us"),
        ),
        ("clock", [dt.time(23, 59, 59, 999999), dt.time(0), dt.time(1), dt.time(2), None], pa.time64("us")),
        ("bytes", [b"\0\xff", b"", b"abc", b"x", None], pa.binary()),
        ("empty", [None] * 5, pa.string()),
    )
}
"""What stands in the table, by kind of column, in the types in which it arrives."""


def told(kind: pa.DataType, **metadata: str) -> str:
    """Return an Arrow type as a note has it."""
    return field_to_text(pa.field("", kind, metadata=metadata or None))


def deep_type() -> str:
    kind = pa.list_(pa.int64())
    for _ in range(150):
        kind = pa.list_(kind)
    return told(kind)


def two_types() -> str:
    return base64.b64encode(pa.schema({"a": pa.int8(), "b": pa.int8()}).serialize().to_pybytes()).decode()


DTYPES = [
    "U1", "S1", "V8", "U1000000000", "V999999999", "S2147483647", "<U1", "|S5", "a3", "c8", "complex128", "O", "i4",
    "f4", "int", "float", "uint", "Int", "M8[s]", "m8[s]", "datetime64", "datetime64[D]", "datetime64[Y]",
    "datetime64[ps]",
    "datetime64[25s]", "timedelta64", "timedelta64[D]", "timedelta64[W]", "category", "period[D]", "interval",
    "interval[int64, right]", "Sparse[int64, 0]", "Sparse", "void", "record", "i4,i4", "(2,3)f8", "1000000000f8",
    "3int8", "geometry", "json", "int64 ", " int64", "INT64", "int128", "float128", "longdouble", "string[nonsense]",
    "string[pyarrow_numpy]", "list<int64>[pyarrow]", "", "x" * 10_000, "\ud800", "int64\n", "str", "null",
    "datetime64[us, ../../etc/passwd]", "datetime64[us, /etc/localtime]", "datetime64[us, dateutil//etc/passwd]",
    "datetime64[us, dateutil/Europe/Berlin]", "datetime64[us, Nowhere/City]", "datetime64[us, UTC+99:99]",
    "datetime64[us, tzlocal()]", "datetime64[us, Europe]", "datetime64[us, Europe/../Europe/Berlin]",
]  # fmt: skip
LIES = [
    "int8", "uint64", "Int8", "UInt64", "float16", "float32", "Float32", "bool", "boolean", "string[python]",
    "string[pyarrow]", "datetime64[s]", "datetime64[ms]", "datetime64[ns]", "datetime64[ns, UTC]",
    "datetime64[s, Asia/Tokyo]", "datetime64[us, UTC+05:30]", "timedelta64[s]", "timedelta64[ns]", "object",
]  # fmt: skip
TYPES = {
    **{str(kind): kind for kind in (
        pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.string(), pa.large_binary(),
        pa.binary(3), pa.date64(), pa.time32("s"), pa.timestamp("s"), pa.timestamp("ns", "Asia/Tokyo"),
        pa.duration("s"),
        pa.decimal128(3, 1), pa.decimal256(76, 30), pa.month_day_nano_interval(), pa.list_(pa.int8()),
        pa.list_(pa.float64()), pa.list_(pa.timestamp("s")), pa.list_(pa.binary()), pa.list_(pa.decimal128(38, 0)),
        pa.struct({"a": pa.int64()}), pa.struct({}), pa.map_(pa.string(), pa.int64()),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int8(), pa.float32()), pa.dictionary(pa.int8(), pa.binary()), pa.list_view(pa.int64()),
        pa.dense_union([pa.field("a", pa.int8())]), pa.run_end_encoded(pa.int32(), pa.string()),
        pa.timestamp("us", "../../etc/passwd"), pa.timestamp("us", "Nowhere/City"), pa.timestamp("us", "UTC+05:30"),
    )},
    "a fixed list of any size": pa.list_(pa.int64(), 2**31 - 1),
    "a fixed binary of any size": pa.binary(2**31 - 1),
    "a list of those": pa.list_(pa.list_(pa.int64(), 2**30)),
}  # fmt: skip
TEXTS = {
    "nothing": "", "a word": "no type", "zeros": "A" * 400, "no base64": "\u00e9", "huge": "A" * 50_000,
    "two types": two_types(),
    "a deep type": deep_type(), "an extension": told(pa.int64(), **{"ARROW:extension:name": "arrow.py_extension_type"}),
    "an Enum of others": told(pa.dictionary(pa.uint8(), pa.string()), _PL_ENUM_VALUES2="1;y"),
    "no Enum": told(pa.dictionary(pa.uint8(), pa.string()), _PL_ENUM_VALUES="99999999999;a"),
    "an Enum inside": told(pa.list_(pa.field("x", pa.string(), metadata={"_PL_ENUM_VALUES": "x"}))),
}  # fmt: skip
PARTS: dict[str, Any] = {
    **{f"dtype {value!r:.40}": {"dtype": value} for value in (1, None, True, [], {}, 1.5, *DTYPES, *LIES)},
    **{f"{name} {what}": {name: text} for name in ("type", "arrow") for what, text in TEXTS.items()},
    **{f"type {what}": {"type": told(kind)} for what, kind in TYPES.items()},
    **{f"arrow {what}": {"arrow": told(kind)} for what, kind in TYPES.items()},
    **{f"levels {value!r:.40}": {"levels": value, "ordered": True} for value in (
        "xyz", {}, 1, None, [None], [[1]], [1, "xyz"], ["xyz", "xyz"], [1, True], [2**70], [-(2**63) - 1], ["\ud800"],
        ["xyz"], ["1", "xyz", "NULL", "é"], [300, -1, 2**40, -(2**63)], [0, 1, 2], [False, True],
        [0.1, 1e300, -1.5, 0.0],
        [1.0, 0.0, 2.0], [],
    )},
    **{f"levels of {of!r:.40}": {"levels": levels, "ordered": False, "of": of} for levels, of in (
        (["1", "xyz", "NULL", "é"], "int64"), ([0, 1, 2], "str"), ([0, 1, 2], "bool"), ([0, 1, 2], "float16"),
        ([0, 1, 2], "Int8"), ([0.1, 1e300, -1.5, 0.0], "float32"), ([300, -1, 2**40, -(2**63)], "int8"),
        (["xyz"], "U1"),
        (["xyz"], "M8[ns]"), (["xyz"], 1), (["xyz"], "category"), ([0, 1, 2], "int64[pyarrow]"),
        ([False, True], "object"),
    )},
    **{f"ordered {value!r}": {"levels": ["xyz"], "ordered": value} for value in (1, "yes", None, [])},
    **{f"json {value!r}": {"json": value} for value in (True, 1, "true", False, None, [])},
    **{f"zone {value!r}": {"dtype": "object", "zone": value} for value in (
        "../../etc/passwd", "/etc/passwd", "Nowhere", 1, None, "UTC", "+05:30", "UTC-11:00", "+99:99", "x" * 1000,
        "posixrules",
    )},
    **{f"unit {value!r}": {"dtype": "object", "unit": value} for value in ("s", "ns", "D", "generic", 1, None, [])},
    "an unknown part": {"dtype": "object", "run": "rm -rf /"},
    "only an unknown part": {"__class__": "os.system"},
    "two at once": {"dtype": "object", "json": True},
    "all at once": {"levels": ["xyz"], "ordered": True, "dtype": "object", "arrow": told(pa.string())},
    "a zone of no object": {"zone": "UTC"},
    "order without levels": {"ordered": True},
    **{f"no note {value!r}": value for value in (None, 1, "x", [], True, {}, [["dtype", "U1"]])},
}  # fmt: skip
RAW = {
    "a note there twice": '{"columns":{"text":{"dtype":"object"},"text":{"dtype":"U1"}}}',
    "a part there twice": '{"columns":{"text":{"dtype":"object","dtype":"U1"}}}',
    "columns there twice": '{"columns":{},"columns":{"text":{"dtype":"U1"}}}',
    "NaN": '{"columns":{"floats":{"levels":[NaN],"ordered":false}}}',
    "Infinity": '{"columns":{"floats":{"levels":[Infinity,-Infinity],"ordered":false}},"rows":Infinity}',
    "1e999": '{"columns":{"floats":{"levels":[1e999],"ordered":false}}}',
    "deep": '{"columns":' * 100_000 + "1" + "}" * 100_000,
    "deep lists": '{"columns":{"text":{"levels":' + "[" * 100_000 + "]" * 100_000 + "}}}",
    "deep without an end": '{"columns":' + "[" * 100_000,
    "quotes without an end": '{"columns":' + "[" * 100 + '"' + '\\"' * 10_000,
    "digits": '{"columns":{"numbers":{"levels":[' + "9" * 5000 + "]}}}",
    "many columns": json.dumps({"columns": {f"c{n}": {"dtype": "U1"} for n in range(5000)}}),
    "no JSON": "{",
    "a list": "[]",
    "a number": "1e5",
    "null": "null",
    "no line": "",
    **{f"columns {value}": f'{{"columns":{value}}}' for value in ("null", "1", "[]", '"x"', "true")},
    **{
        f"{what} {value}": f'{{"{what}":{value}}}'
        for what in ("index", "order")
        for value in (
            "null",
            "1",
            '"text"',
            '{"text":1}',
            "[1]",
            "[[]]",
            '["text","text"]',
            '["gone"]',
            '["\\ud800"]',
            "[null]",
        )
    },
    **{f"rows {value}": f'{{"rows":{value}}}' for value in ("1", '"yes"', "[]", "null", "true")},
    **{f"name {value}": f'{{"name":{value}}}' for value in ("1", "[]", "null", '"\\ud800"', '"<script>"', '"text"')},
    **{
        f"freq {value}": f'{{"index":["times"],"freq":{value}}}'
        for value in ("1", "[]", "null", '"x"', '"D"', '"999999999D"', '"-1D"', '"0D"', '"C"', '"W-XXX"', '"__class__"')
    },
    "unknown": '{"version":99,"run":"rm -rf /"}',
    "no such columns": '{"columns":{"gone":{"dtype":"object"},"":{"dtype":"object"},"\\ud800":{"json":true}}}',
    "a surrogate": '{"columns":{"text":{"levels":["\\ud800"],"ordered":true,"of":"\\ud800"}}}',
}


COMMENTS = {
    **{what: NOTES_MARK + json.dumps({"columns": dict.fromkeys(STORED, noted)}) for what, noted in PARTS.items()},
    **{what: NOTES_MARK + line for what, line in RAW.items()},
}
"""Each hostile comment, the notes of single columns about every column."""


def lost(name: str, again: pandas_frames.Encoded, noted: Notes) -> bool:
    """Whether a column that was decoded, and encoded again, is another one than that which is stored."""
    stored, back = STORED[name], again.arrow.column(name)
    if stored.null_count == len(stored):
        return back.null_count != len(back)
    old, new = (found.columns.get(name, pandas_frames.Note()) for found in (noted, again.notes))
    counted = agreeing.in_unit_of(old, new, back)
    back = back if counted is None else counted
    return nature(back) != nature(stored) or not back.cast(stored.type).equals(stored)


def nature(column: pa.ChunkedArray) -> str:
    """Return the family of a column's type; a whole number is the same one in a column of floats."""
    found = notes.family(column.type)
    return "number" if found in ("integer", "float") else found


@pytest.fixture(autouse=True)
def _nothing_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_said", set())


def test_the_corpus_is_large() -> None:
    """There are more than 150 hostile comments, and each of most of them is about every kind of column."""
    assert len(COMMENTS) >= 250


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
def test_no_value_changes(comment: str, caplog: pytest.LogCaptureFixture) -> None:
    """What pandas, Arrow and Polars get, encoded again, is what is stored; the log has two lines at the most."""
    stored = pa.table(STORED)
    for _ in range(2):
        found, _ = Notes.from_comment(comment, table="t")
        frame = pandas_frames.decode(stored, found).reset_index(drop=not set(found.index) & set(STORED))
        table = arrow_tables.decode(stored, found)
        polars = typed_frames.to_polars(
            reading.ReadResult(stored.drop_columns(["decimals"]), found)  # they are too long for it
        )
        for back in (pandas_frames.encode(frame), arrow_tables.encode(table), arrow_tables.encode(as_arrow(polars))):
            assert [name for name in back.arrow.column_names if lost(name, back, found)] == []
    assert set(frame.columns) == set(table.column_names) == set(STORED)
    assert len(caplog.records) <= 2
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


def as_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return a frame with those types in which Polars has columns of another one."""
    table = frame.to_arrow()
    for position, (name, kind) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        if name == "days" and not pa.types.is_date(kind):
            table = table.set_column(position, name, table.column(name).cast(pa.date32()))
    return table


@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
def test_each_part_of_a_read_is_the_same(comment: str) -> None:
    """Whatever stands in one part only, all parts come in the same types once the notes hold for all of them."""
    found, _ = Notes.from_comment(comment, table="t")
    stored = pa.table(
        {name: column.drop_null() if column.null_count < 5 else column.slice(1) for name, column in STORED.items()}
    )
    parts = [stored.slice(start, 1) for start in range(4)]
    for holding, decode in ((pandas_frames.holding, pandas_frames.decode), (arrow_tables.holding, arrow_tables.decode)):
        settled = found
        for part in parts:
            settled = holding(part, settled)
        schemas = [decode(part, settled) for part in parts]
        kinds = [dict(part.dtypes.astype(str)) if isinstance(part, pd.DataFrame) else part.schema for part in schemas]
        assert all(kind == kinds[0] for kind in kinds)


def test_one_bad_note_loses_no_other() -> None:
    """The notes of the other columns hold, and so does what is noted about the table."""
    noted = {"bad": {"dtype": "U1"}, "deep": None, "good": {"dtype": "float32"}}
    line = json.dumps({"columns": noted, "index": ["good"], "order": 1}).replace("null", "[" * 9000 + "]" * 9000)
    found, own = Notes.from_comment(f"mine\n{NOTES_MARK}{line}")
    assert (dict(found.columns), found.index, found.order, own) == (
        {"good": pandas_frames.Note(dtype="float32")},
        ("good",),
        (),
        "mine",
    )


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log names table, column and what is wrong, once however often the table is read."""
    for _ in range(3):
        Notes.from_comment(NOTES_MARK + '{"columns":{"a":{"dtype":"U1"}}}', table="t")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flytekitplugins.dolt.codec.notes", logging.WARNING)
    assert "the comment of table 't' notes about 'a' (its 'dtype' is 'U1')" in record.getMessage()


@pytest.mark.parametrize(
    "line",
    [
        '{"columns":{"c":{"levels":["b","a"],"ordered":false},"v":{"dtype":"float32"}},"index":["v"]}',
        '{"columns":{"v":{"dtype":"object","zone":"Europe/Berlin"},"w":{"dtype":"object","unit":"us"}}}',
        '{"columns":{"v":{"dtype":"datetime64[ns, UTC+05:30]"},"w":{"json":true}},"rows":true}',
        '{"columns":{"v":{"levels":[1,2],"of":"int64","ordered":true}},"order":["b","a"]}',
        json.dumps({"columns": {"v": {"arrow": told(pa.duration("ms"))}}}, separators=(",", ":")),
        json.dumps({"columns": {"v": {"dtype": "float32", "type": told(pa.float32())}}}, separators=(",", ":")),
    ],
)
def test_notes_of_earlier_versions_are_read(line: str, caplog: pytest.LogCaptureFixture) -> None:
    """What this package has ever written is understood whole, and written again as it was."""
    found, own = Notes.from_comment(f"mine\n{NOTES_MARK}{line}")
    assert found.to_comment(own) == f"mine\n{NOTES_MARK}{line}"
    assert caplog.records == []


@pytest.fixture
def theirs(config: Config, dolt: Dolt, tmp_path: Path) -> Callable[[str], DoltConfig]:
    """Give a function that puts a comment on a table in which there is a column of each kind."""
    types = "id int primary key, text varchar(20), numbers bigint, floats double, flags tinyint(1), days date"
    types = f"{types}, moments datetime(6)"
    rows = "(1, 'xyz', 300, 0.1, 1, '2020-01-01', '2020-01-01 00:00:00.000001'), (2, '1', -1, 1e300, 0, null, null)"
    dolt("sql", "-q", f"create table t ({types}); insert into t values {rows}; call dolt_commit('-Am', 'theirs')")

    read(config("t"))  # the server runs now; without one this Dolt's command line fails at such an ALTER

    def say(comment: str) -> DoltConfig:
        file = tmp_path / "comment.sql"
        file.write_text(f"alter table t comment={literal('mine' + chr(10) + comment)};")
        dolt("sql", "--file", str(file))
        dolt("commit", "-am", "said")
        return config("t")

    return say


ROWS = [
    (1, "xyz", 300, 0.1, True, dt.date(2020, 1, 1), pd.Timestamp("2020-01-01 00:00:00.000001")),
    (2, "1", -1, 1e300, False, None, pd.NaT),
]
WHOLE = [
    "deep",
    "deep lists",
    "no JSON",
    "a surrogate",
    "Infinity",
    "columns []",
    'order ["text","text"]',
    "many columns",
]
WRONG = {
    "text": {"dtype": "U1"},
    "numbers": {"dtype": "bool"},
    "floats": {"type": told(pa.decimal128(3, 1))},
    "flags": {"levels": ["x"], "ordered": True},
    "days": {"dtype": "datetime64[s, ../../etc/passwd]"},
    "moments": {"dtype": "datetime64[s]"},
}
LYING = {name: {"json": True} if name == "text" else {"levels": [7], "ordered": True} for name in WRONG}


@pytest.mark.parametrize(
    "line",
    [*(RAW[name] for name in WHOLE), json.dumps({"columns": WRONG}), json.dumps({"columns": LYING})],
    ids=[*WHOLE, "wrong", "lying"],
)
def test_the_table_stays_readable_and_writable(theirs: Callable[[str], DoltConfig], config: Config, line: str) -> None:
    """Every way to read gives what SQL holds, every way to write works, and the user's own text stays."""
    table = DoltTable(config=theirs(NOTES_MARK + line))
    seen = list(map(tuple, read(table.config).astype(object).itertuples(index=False)))
    assert [[v for v in row if not pd.isna(v)] for row in seen] == [[v for v in row if not pd.isna(v)] for row in ROWS]
    resolved = resolve(table)
    back = frames.load(pinned(resolved)).to_arrow()
    assert back["text"].to_pylist() == ["xyz", "1"]
    for kind in (pl.DataFrame, pl.LazyFrame):
        polars = typed_frames.frame_of(resolved, kind, None).lazy().filter(pl.col("id") > 0).collect()
        assert polars["text"].to_list() == ["xyz", "1"]
    parts = list(frames.iter_frames(pinned(resolved), batch_rows=1, columns=None))
    assert [value for part in parts for value in part.text] == ["xyz", "1"]
    with frames.open_reader(pinned(resolved), batch_rows=1, columns=None) as reader:
        assert reader.read_all()["numbers"].to_pylist() == [300, -1]
    more = read(table.config).head(1).assign(id=3, text="new", numbers=5)
    write(config("t", mode="append"), more)
    write(config("t", mode="upsert"), more.assign(text="changed"))
    assert read(config("t", order_by=["id"])).text.tolist() == ["xyz", "1", "changed"]
    write(config("t"), more)
    assert read(table.config).text.tolist() == ["new"]
    with frames._at(pinned(resolve(table))) as connection:
        shown = connection.query("select table_comment from information_schema.tables where table_name='t'")
    assert str(shown[0][0]).startswith("mine")


def test_parts_of_a_table_that_others_changed(config: Config, dolt: Dolt) -> None:
    """A row far behind that is no level makes all parts plain text; where all rows fit, all parts are categories."""
    frame = pd.DataFrame(
        {"id": range(6), "v": pd.Categorical(list("aabbab")), "n": pd.Series([1.5] * 6, dtype="float32")}
    )
    write(config("t", primary_key=["id"]), frame)
    for expected in ("category", "str" if pd.__version__ >= "3" else "object"):
        parts = list(frames.iter_frames(pinned(api.pin(config("t"))), batch_rows=2, columns=None))
        assert [str(part.v.dtype) for part in parts] == [expected] * len(parts)
        assert {str(part.n.dtype) for part in parts} == {"float32"}
        assert len(parts) > 1
        dolt("sql", "-q", "insert ignore into t values (7, 'new', 1); call dolt_commit('-am', 'x', '--allow-empty')")


def test_no_file_is_opened_for_a_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone that is a path is refused by its letters, before anything looks for it."""
    opened: list[object] = []
    monkeypatch.setattr("builtins.open", lambda path, *_, **__: opened.append(path))
    monkeypatch.setattr(os, "stat", lambda path, *_, **__: opened.append(path))
    for zone in ("../../etc/passwd", "/etc/passwd", "dateutil//etc/passwd", "Europe/../../etc", "tzdata.zi"):
        with pytest.raises(notes.Unreadable, match="its 'dtype' is"):
            notes.Note.parse({"dtype": f"datetime64[us, {zone}]"})
    assert opened == []


def test_levels_that_cannot_be_noted_are_refused() -> None:
    """JSON has no infinity, also where no row has it."""
    with pytest.raises(errors.UnsupportedFrame, match="Cannot store column 'v' of dtype category"):
        pandas_frames.encode(pd.DataFrame({"v": pd.Categorical([1.0], categories=[1.0, float("inf")])}))
