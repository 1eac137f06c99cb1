"""Arrow and Polars frames go in and come back equal without pandas, and read the same for who uses pandas."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, api, errors, read, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.codec import arrow_tables, pandas_frames

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
D = decimal.Decimal
NOON = dt.datetime(2020, 7, 1, 12, 0, 0, 123456)

SMALL: dict[str, tuple[list[Any], pa.DataType]] = (
    {}
    if not hasattr(pa, "decimal32")  # before pyarrow 19
    else {
        "decimal32": ([D("1.50"), None], pa.decimal32(5, 2)),
        "decimal64": ([D("-123456789012.25"), None], pa.decimal64(14, 2)),
    }
)
LATIN = pa.array(["caf\u00e9".encode("latin-1")], pa.binary()).cast(pa.string(), safe=False)
UNION = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])

COLUMNS: dict[str, tuple[list[Any], pa.DataType]] = {
    "int8": ([-128, 127, None], pa.int8()),
    "uint64": ([0, 2**64 - 1, None], pa.uint64()),
    "float16": ([0.5, None], pa.float16()),
    "float32": ([0.1, None], pa.float32()),
    "float64": ([0.1, 1e300, None], pa.float64()),
    "bool": ([True, False, None], pa.bool_()),
    "string": (["", "NULL", "é😀", None], pa.string()),
    "binary": ([b"", b"\0\xff", None], pa.binary()),
    "fixed binary": ([b"abcd", None], pa.binary(4)),
    "date32": ([dt.date(1000, 1, 1), dt.date(9999, 12, 31), None], pa.date32()),
    "date64": ([dt.date(2020, 1, 1), None], pa.date64()),
    "time32": ([dt.time(1, 2, 3), None], pa.time32("s")),
    "time64": ([dt.time(23, 59, 59, 999999), None], pa.time64("us")),
    "time64 ns": ([dt.time(1, 2, 3), None], pa.time64("ns")),
    "timestamp": ([NOON, None], pa.timestamp("us")),
    "timestamp s": ([NOON.replace(microsecond=0), None], pa.timestamp("s")),
    "timestamp ns": ([NOON, None], pa.timestamp("ns")),
    "timestamp zone": ([NOON.replace(tzinfo=dt.timezone.utc), None], pa.timestamp("ms", "Europe/Berlin")),
    "duration": ([dt.timedelta(days=-1, microseconds=1), None], pa.duration("ns")),
    "decimal128": ([D("1.50"), None], pa.decimal128(10, 2)),
    **SMALL,
    "decimal256": ([D("1." + "1" * 30), None], pa.decimal256(60, 30)),
    "list": ([[1, None], [], None], pa.list_(pa.int64())),
    "struct": ([{"a": 1, "b": "x"}, None], pa.struct({"a": pa.int64(), "b": pa.string()})),
    "fixed list": ([[1, 2], None], pa.list_(pa.int64(), 2)),
    "null": ([None, None], pa.null()),
    "dictionary": (["x", "y", "x", None], pa.dictionary(pa.int8(), pa.string())),
    "dictionary of int": ([7, 8, None], pa.dictionary(pa.int32(), pa.int64())),
}


def arrow_read(config: DoltConfig) -> pa.Table:
    """Return what a reader that wants Arrow gets."""
    return frames.load(pinned(api.pin(config))).to_arrow()


@pytest.fixture
def wide() -> pa.Table:
    """Give a table with one column of each type, NULL behind its values."""
    columns = {name: pa.array([*values, *[None] * (4 - len(values))], kind) for name, (values, kind) in COLUMNS.items()}
    return pa.table({"row": pa.array(range(4)), **columns})


def test_each_arrow_type_comes_back_equal(config: Config, wide: pa.Table) -> None:
    """Values, NULLs and the exact type survive, and an unchanged second write makes no commit."""
    conf = config("t", primary_key=["row"])
    first = write(conf, wide)
    back = arrow_read(conf)
    for name in wide.column_names:
        assert back.schema.field(name) == wide.schema.field(name)
        assert back[name].equals(wide[name]), name
    assert write(conf, back).commit == first.commit


def test_pandas_reads_what_arrow_itself_would_give_it(config: Config, wide: pa.Table) -> None:
    """A table written as Arrow reads in pandas as `to_pandas` has it; integers and booleans with NULL are nullable."""
    write(config("t", primary_key=["row"]), wide)
    read_back, plain = read(config("t")), wide.to_pandas(date_as_object=True)
    for name, (_, kind) in COLUMNS.items():
        got, expected = read_back[name], plain[name]
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            expected = wide.select([name]).to_pandas(types_mapper={kind: got.dtype}.get)[name]
        if pa.types.is_nested(kind):
            assert got.tolist() == wide[name].to_pylist()
        elif pa.types.is_dictionary(kind):
            assert got.dropna().tolist() == expected.dropna().tolist()
            assert got.cat.categories.tolist() == expected.cat.categories.tolist()
        else:
            pd.testing.assert_series_equal(got, expected)


@pytest.mark.parametrize("count", [0, 3])
def test_pandas_passes_over_no_note_that_is_for_arrow(
    config: Config, wide: pa.Table, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With and without rows and NULL, nothing is said in the log of a type that pandas has no other name for."""
    write(config("t", primary_key=["row"]), wide.slice(0, count))
    assert read(config("t")).shape == (count, wide.num_columns)
    assert [found.message for found in caplog.records if "Passed over" in found.message] == []


def test_zeros_are_looked_for_in_the_texts_that_are_there(config: Config) -> None:
    """Not in those that a slice leaves out, nor in what lies in the place of a missing one; in each chunk."""
    texts = pa.chunked_array([pa.array(["a\0", "b", "c"]), pa.array([], pa.string()), pa.array(["d", "e\0"])])
    covered = pa.StringArray.from_buffers(
        3, *pa.array(["f", "g", "\0"]).buffers()[1:], pa.array([3], pa.int8()).buffers()[1]
    )
    ends, data = pa.array(["h", "i\0"]).buffers()[1:]
    longer = pa.StringArray.from_buffers(2, pa.py_buffer(ends.to_pybytes()[:12] + b"xyz"), data)
    for good in (texts.slice(1, 3), pa.chunked_array([covered]), pa.chunked_array([longer.slice(0, 1)])):
        write(config("t"), pa.table({"v": good}))
        assert arrow_read(config("t"))["v"].to_pylist() == good.to_pylist()
    for bad, row in ((texts, 0), (texts.slice(1), 3), (texts.slice(4), 0), (pa.chunked_array([longer]), 1)):
        with pytest.raises(errors.UnsupportedFrame, match=f"'v': the text in row {row} has a NUL"):
            write(config("t"), pa.table({"v": bad}))


FRAME = pd.DataFrame(
    {
        "row": [0, 1],
        "i": pd.Series([1, None], dtype="Int16"),
        "f": pd.Series([0.5, None], dtype="float32"),
        "s": ["x", None],
        "c": pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True),
        "t": pd.Series([NOON, None]).astype("datetime64[ns]"),
        "z": pd.Series([NOON, None]).dt.tz_localize("Asia/Tokyo").astype("datetime64[ms, Asia/Tokyo]"),
        "d": pd.to_timedelta([1, None], "s").astype("timedelta64[ms]"),
        "j": [[1, "x"], {"a": None}],
        "dec": [D("1.5"), None],
    }
)


def test_arrow_reads_what_pandas_wrote(config: Config) -> None:
    """Nullable integers, categories, zones and durations of pandas have Arrow types; mixed lists are JSON text."""
    write(config("t", primary_key=["row"]), FRAME)
    back = arrow_read(config("t"))
    assert dict(zip(back.column_names, map(str, back.schema.types), strict=True)) == {
        "row": "int64",
        "i": "int16",
        "f": "float",
        "s": "string",
        "c": "dictionary<values=string, indices=int32, ordered=1>",
        "t": "timestamp[ns]",
        "z": "timestamp[ms, tz=Asia/Tokyo]",
        "d": "duration[ms]",
        "j": "string",
        "dec": "decimal256(65, 1)",
    }
    assert back["i"].to_pylist() == [1, None]
    assert back["c"].to_pylist() == ["b", "a"]
    assert back["z"].to_pylist()[0] == FRAME["z"][0]
    assert back["j"].to_pylist() == ['[1,"x"]', '{"a":null}']


POLARS = {
    "i": pl.Series([1, None], dtype=pl.Int32),
    "s": pl.Series(["a", None]),
    "b": pl.Series([b"\0", None]),
    "time": pl.Series([dt.time(1, 2, 3), None]),
    "dt": pl.Series([NOON, None]),
    "ms": pl.Series([NOON.replace(microsecond=0), None], dtype=pl.Datetime("ms")),
    "zone": pl.Series([NOON, None]).dt.replace_time_zone("Europe/Berlin"),
    "date": pl.Series([NOON.date(), None]),
    "span": pl.Series([dt.timedelta(seconds=-1), None]),
    "dec": pl.Series([D("1.50"), None], dtype=pl.Decimal(20, 2)),
    "list": pl.Series([["x"], None]),
    "struct": pl.Series([{"a": 1}, None]),
    "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
    "null": pl.Series([None, None], dtype=pl.Null),
    "cat": pl.Series(["x", None], dtype=pl.Categorical),
    "enum": pl.Series(["x", None], dtype=pl.Enum(["y", "x"])),
    "f32": pl.Series([0.1, None], dtype=pl.Float32),
    "f": pl.Series([0.1, None]),
    "bool": pl.Series([True, None]),
}


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_each_polars_type_comes_back_equal(config: Config, lazy: bool) -> None:
    """A Polars frame, eager or lazy, comes back with its schema and values."""
    frame = pl.DataFrame({"row": [0, 1], **POLARS})
    write(config("t", primary_key=["row"]), frame.lazy() if lazy else frame)  # type: ignore[arg-type]
    back = pl.from_arrow(arrow_read(config("t")))
    assert isinstance(back, pl.DataFrame)
    assert back.schema == frame.schema
    for name in frame.columns:
        assert back[name].equals(frame[name]), name


@pytest.mark.skipif(int(pd.__version__.split(".")[0]) < 3, reason="text of pandas 2 is object, which is kept with it")
def test_one_table_is_the_same_whoever_writes_it(config: Config) -> None:
    """Equal values of plain types written as pandas, Arrow and Polars are one content: only the first commits."""
    frame = pd.DataFrame({"row": [0, 1], "s": ["x", "y"], "f": [0.5, 1.5], "d": [NOON.date(), NOON.date()]})
    conf = config("t", primary_key=["row"])
    commits = {
        write(conf, given).commit  # type: ignore[arg-type]
        for given in (frame, pa.table(frame), pl.from_pandas(frame), pl.from_pandas(frame).lazy())
    }
    assert len(commits) == 1


def test_a_reader_is_read_once_though_the_write_is_done_again(config: Config, dolt: Dolt) -> None:
    """What gives its rows only once is written whole even where another writer makes the write start anew."""
    reader = pa.RecordBatchReader.from_batches(
        pa.schema({"a": pa.int64()}), [pa.record_batch({"a": [1]}), pa.record_batch({"a": [2, 3]})]
    )
    write(config("t"), reader)
    assert dolt("sql", "-r", "csv", "-q", "select sum(a), count(*) from t").split()[1] == "6,3"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pa.table({"v": [1.0, float("nan")]}), "'v'.*row 1.*NaN"),
        (pl.DataFrame({"v": [float("inf")]}), "'v'.*row 0.*inf.*SQL"),
        (
            pl.DataFrame({"v": pl.Series([1], dtype=pl.Int128)}),
            "'v' of dtype Int128.*128 bits.*Cast",
        ),
        (
            pl.DataFrame({"v": pl.Series([[1]], dtype=pl.List(pl.Int128))}),
            "'v'.*Int128.*Cast",
        ),
        (pl.DataFrame({"v": [object()]}, schema={"v": pl.Object}), "'v' of dtype Object.*Python objects.*text"),
        (pl.LazyFrame({"v": [object()]}, schema={"v": pl.Object}), "'v' of dtype Object"),
        (pl.DataFrame({"v": ["a\0"]}), "text.*row 0.*NUL"),
        (pa.table({"v": LATIN}), r"'v'.*row 0.*caf\\xe9.*UTF-8"),
        (pa.table({"v": LATIN.dictionary_encode()}), r"'v'.*row 0.*caf\\xe9.*UTF-8"),
        (pa.table({"v": pa.ListArray.from_arrays([0, 1], LATIN)}), "'v'.*utf-8"),
        (pa.table({"v": UNION}), "'v'.*union"),
        (pa.table({"v": pa.ListArray.from_arrays([0, 2], UNION)}), "'v'.*union"),
        (
            pa.table({"v": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])}),
            "'v'.*duplicate",
        ),
        (pa.table({"v": pa.array([1], pa.time64("ns"))}), "lose"),
        (pa.table([[1], [2]], names=["v", "V"]), "case"),
        (pa.table([[1], [2]], names=["\u00b5g", "\u03bcg"]), "only in letters.*xb5g.*u03bcg"),
        (pa.table({}), "columns"),
    ],
    ids=[
        "nan",
        "infinity",
        "int128",
        "int128 in lists",
        "objects",
        "lazy objects",
        "nul",
        "latin-1",
        "latin-1 levels",
        "latin-1 in lists",
        "union",
        "union in lists",
        "a name twice in a structure",
        "nanoseconds",
        "names",
        "mu",
        "empty",
    ],
)
def test_what_sql_cannot_hold_is_refused(config: Config, frame: Any, message: str) -> None:
    """A value without an exact SQL value stops the write, with the column, the row and what to do."""
    with pytest.raises(errors.UnsupportedFrame, match=message):
        write(config("t"), frame)


def test_what_speaks_no_arrow_is_refused(config: Config) -> None:
    """A list of rows is no frame."""
    with pytest.raises(errors.UnsupportedFrame, match="list.*pandas DataFrame"):
        write(config("t"), [[1]])  # type: ignore[arg-type]


def test_a_note_that_fits_no_more_is_passed_over(config: Config, dolt: Dolt) -> None:
    """Where others changed values, a type that no longer holds them gives way to what the table says."""
    write(config("t"), pa.table({"v": pa.array(["x"]).dictionary_encode()}))
    write(config("u"), pd.DataFrame({"v": pd.Categorical(["x"])}))
    for table in ("t", "u"):
        dolt("sql", "-q", f"insert into {table} values ('new'); call dolt_commit('-am', 'more')")
    assert sorted(arrow_read(config("t"))["v"].to_pylist()) == ["new", "x"]
    assert arrow_read(config("u")).schema == pa.schema({"v": pa.string()})


def test_the_order_of_rows_is_kept_where_asked(config: Config) -> None:
    """`keep_order` works for Arrow, too."""
    write(config("t", keep_order=True), pa.table({"v": [3, 1, 2]}))
    assert arrow_read(config("t")).to_pydict() == {"v": [3, 1, 2]}


def test_arrow_takes_no_detour_through_pandas(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow is written and read where frames of pandas could not be."""
    monkeypatch.delattr(pandas_frames, "encode")
    monkeypatch.delattr(pandas_frames, "decode")
    write(config("t"), pa.table({"a": [1, 2]}))
    assert arrow_read(config("t")).num_rows == 2


def test_other_frames_are_left_to_codec() -> None:
    """Pandas frames, though they speak Arrow, keep the rules of pandas; what is no frame is nothing."""
    assert arrow_tables.table_of(pd.DataFrame({"a": [1]})) is None
    assert arrow_tables.table_of(None) is None
