"""Every type goes in and comes back equal, or is refused with the column, the row and what to do."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, errors, pin, read, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.errors import UnsupportedFrame

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
D = decimal.Decimal
TEXTS = [
    "",
    "NULL",
    None,
    "null",
    "\\N",
    "a\r\nb",
    "\r",
    "tab\there",
    "quote'\"`",
    "back\\slash",
    "\\",
    "é😀",
    " lead",
    "trail ",
]


def arrow(values: list[Any], kind: pa.DataType) -> pd.Series[Any]:
    return pd.Series(pd.array(pa.array(values, kind), dtype=pd.ArrowDtype(kind)))


def ints(dtype: str) -> list[int]:
    limits = np.iinfo(dtype.lower())
    return [int(limits.min), 0, int(limits.max)]


EXACT: dict[str, Any] = {
    **{
        d: pd.Series(ints(d), dtype=d)
        for d in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    **{
        d: pd.Series([*ints(d), None], dtype=d)
        for d in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    },
    "Int64 without NA": pd.Series([1, 2], dtype="Int64"),
    "Int64 of 2**53+1": pd.Series([2**53 + 1, None], dtype="Int64"),
    "float64": pd.Series([0.0, -0.0, 1 / 3, 5e-324, 1.7976931348623157e308, -1e-300, np.nan]),
    "float32": pd.Series([0.0, 1 / 3, 3.4028235e38, 1e-45, np.nan], dtype="float32"),
    "float16": pd.Series([0.5, 65504, np.nan], dtype="float16"),
    "Float64": pd.Series([1.5, None], dtype="Float64"),
    "Float32": pd.Series([1 / 3, None], dtype="Float32"),
    "bool": pd.Series([True, False]),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "boolean without NA": pd.Series([True, False], dtype="boolean"),
    "bool objects": pd.Series([True, None, False], dtype=object),
    "str": pd.Series(TEXTS, dtype="str" if pd.__version__ >= "3" else object),
    "text objects": pd.Series(TEXTS, dtype=object),
    "string[python]": pd.Series(TEXTS, dtype="string[python]"),
    "string[pyarrow]": pd.Series(TEXTS, dtype="string[pyarrow]"),
    "int objects": pd.Series([1, None, -(2**63)], dtype=object),
    "float objects": pd.Series([1.5, None], dtype=object),
    "only None": pd.Series([None, None], dtype=object),
    "datetime64[s]": pd.Series(np.array(["2020-01-01", "NaT", "9999-12-31T23:59:59"], dtype="datetime64[s]")),
    "datetime64[ms]": pd.Series(["2020-01-01 00:00:00.001", None], dtype="datetime64[ms]"),
    "datetime64[us]": pd.Series(np.array(["1000-01-01", "2020-01-01T12:34:56.789012", "NaT"], dtype="datetime64[us]")),
    "datetime64[ns]": pd.Series(["2020-01-01 12:34:56.789012", None], dtype="datetime64[ns]"),
    "datetime64[us, Europe/Berlin]": pd.Series(pd.to_datetime(["2020-07-01 00:00", "2020-10-25 00:30", None], utc=True))
    .astype("datetime64[us, UTC]")
    .dt.tz_convert("Europe/Berlin"),
    "datetime64[ns, UTC]": pd.Series(pd.to_datetime(["2020-07-01", None], utc=True)).astype("datetime64[ns, UTC]"),
    "datetime64[us, +05:30]": pd.Series(pd.to_datetime(["2020-07-01", None], utc=True)).dt.tz_convert("+05:30"),
    "datetime objects": pd.Series([dt.datetime(2020, 1, 1, 1, 2, 3, 4), None], dtype=object),
    "aware datetime objects": pd.Series(
        [dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), None], dtype=object
    ),
    "date": pd.Series([dt.date(1000, 1, 1), None, dt.date(9999, 12, 31)]),
    "time": pd.Series([dt.time(0), None, dt.time(23, 59, 59, 999999)]),
    "timedelta64[s]": pd.Series([1, None, -5], dtype="timedelta64[s]"),
    "timedelta64[ns]": pd.Series([1, None, -5], dtype="timedelta64[ns]"),
    "timedelta objects": pd.Series([dt.timedelta(days=-3, microseconds=1), None], dtype=object),
    "decimal": pd.Series([D("1.50"), None, D("-12345678901234567890.12")]),
    "decimal of 65 digits": pd.Series([D("9" * 35 + "." + "9" * 30)]),
    "bytes": pd.Series([bytes(range(256)), b"", None, b"NULL", b"\0"]),
    "category": pd.Series(pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"])),
    "ordered category": pd.Series(pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True)),
    "category of ints": pd.Series(pd.Categorical([3, 1, None], categories=[3, 1])),
    "category of objects": pd.Series(pd.Categorical(["x", None], categories=pd.Index(["y", "x"], dtype=object))),
    "category without levels": pd.Series(pd.Categorical([None, None])),
    "lists": pd.Series([[1, 2**60 + 1], [], None, [None, 1.5, True, "x"], [[1], {"a": None}]]),
    "dicts": pd.Series([{"a": 2**53 + 1, "b": [1.0, 1]}, {}, None]),
    "UUIDs": pd.Series([uuid.UUID(int=2**127 + 1), None, uuid.UUID(int=0)], dtype=object),
    "int64[pyarrow]": arrow([1, None, 2**63 - 1], pa.int64()),
    "uint64[pyarrow]": arrow([1, None, 2**64 - 1], pa.uint64()),
    "float[pyarrow]": arrow([0.5, None], pa.float32()),
    "double[pyarrow]": arrow([0.1, None, -0.0], pa.float64()),
    "bool[pyarrow]": arrow([True, None], pa.bool_()),
    "large_string[pyarrow]": arrow(TEXTS, pa.large_string()),
    "date32[pyarrow]": arrow([dt.date(2020, 1, 1), None], pa.date32()),
    "date64[pyarrow]": arrow([dt.date(2020, 1, 1), None], pa.date64()),
    "timestamp[ms][pyarrow]": arrow([dt.datetime(2020, 1, 1), None], pa.timestamp("ms")),
    "timestamp[us, tz][pyarrow]": arrow([dt.datetime(2020, 1, 1), None], pa.timestamp("us", "Asia/Tokyo")),
    "time32[s][pyarrow]": arrow([dt.time(1, 2, 3), None], pa.time32("s")),
    "duration[ms][pyarrow]": arrow([dt.timedelta(milliseconds=5), None], pa.duration("ms")),
    "decimal128[pyarrow]": arrow([D("1.50"), None], pa.decimal128(10, 2)),
    "binary[pyarrow]": arrow([b"\x00\xff", None], pa.binary()),
    "list[pyarrow]": arrow([[1, None], None, []], pa.list_(pa.int64())),
    "struct[pyarrow]": arrow([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    "dictionary[pyarrow]": arrow(["x", None, "y"], pa.dictionary(pa.int32(), pa.string())),
    "text over 64 KiB": pd.Series(["x" * 70_000, "é" * 40_000, "NULL", None]),
    "text over 16 MiB": pd.Series(["x" * (17 * 2**20)]),
    "16 MiB of bytes": pd.Series([bytes(range(256)) * 65_536]),
    "no rows of objects": pd.Series([], dtype=object),
    "no rows of int32": pd.Series([], dtype="int32"),
    "no rows of category": pd.Series(pd.Categorical([], categories=["a"])),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_written_column_reads_back_equal(config: Config, name: str) -> None:
    """A frame that is written comes back equal, dtypes included, and writing it again makes no commit."""
    series = EXACT[name]
    frame = pd.DataFrame({"k": range(len(series)), "v": series})
    table = write(config("t", primary_key=["k"]), frame)
    pd.testing.assert_frame_equal(read(config("t")), frame)
    assert write(config("t"), frame).commit == table.commit
    assert write(config("t"), read(config("t"))).commit == table.commit


REFUSED: dict[str, tuple[Any, str]] = {
    "infinity": (pd.Series([1.0, float("-inf")]), "'v'.*row 1.*-inf"),
    "NUL in text": (pd.Series(["a", "b\0c"]), "'v'.*row 1.*NUL"),
    "a lone surrogate": (pd.Series(["\ud800"], dtype=object), "'v'.*object.*row 0.*surrogate.*Remove"),
    "nanoseconds": (pd.Series([pd.Timestamp("2020-01-01 00:00:00.000000001")]), "'v'.*microseconds"),
    "the year 999": (pd.Series([dt.date(999, 1, 1)]), "'v'.*row 0.*999"),
    "the year 10000": (pd.Series([np.datetime64("10000-01-01")], dtype="datetime64[s]"), "row 0.*10000"),
    "int and str": (pd.Series([1, "x"], dtype=object), "'v'.*object.*int, str"),
    "int and float": (pd.Series([1, 1.5], dtype=object), "float, int"),
    "bool and int": (pd.Series([True, 1], dtype=object), "bool, int"),
    "an int over 64 bits": (
        pd.Series([1, 2**64], dtype=object),
        "'v'.*row 1 is 18446744073709551616.*64 bits.*Decimal",
    ),
    "ints that need 65 bits": (pd.Series([-1, 2**63], dtype=object), "'v'.*row 1.*row 0 is -1.*64 bits.*Decimal"),
    "an infinite Decimal": (pd.Series([D(1), D("Infinity")], dtype=object), "'v'.*row 1 is Infinity.*None"),
    "an offset with seconds": (
        pd.Series([pd.Timestamp("2020-01-01").tz_localize(dt.timezone(dt.timedelta(seconds=3601)))]),
        "'v'.*row 0.*1:00:01.*minutes.*UTC",
    ),
    "complex": (pd.Series([1j]), "complex128"),
    "interval": (pd.Series(pd.interval_range(0, 2)), r"interval\[int64, right\]"),
    "period": (pd.Series(pd.period_range("2020", periods=2, freq="D")), r"period\[D\]"),
    "sparse": (pd.Series(pd.arrays.SparseArray([0, 1])), r"Sparse\[int64, 0\]"),
    "tuples": (pd.Series([(1, 2)]), "tuple"),
    "a tuple in a list": (pd.Series([[(1,)]]), "JSON"),
    "a dict with int keys": (pd.Series([{1: 2}]), "JSON"),
    "NaN in a list": (pd.Series([[float("nan")]]), "JSON"),
    "a set": (pd.Series([{1}]), r"\bset\b"),
    "decimals of 31 places": (pd.Series([D("0." + "1" * 31)]), "65.*30"),
    "a category of dates": (
        pd.Series(pd.Categorical([dt.date(2020, 1, 1)])),
        "text, numbers.*booleans",
    ),
}


@pytest.mark.parametrize("arrow", [False, True])
def test_all_that_cannot_be_stored_is_said_at_once(config: Config, arrow: bool) -> None:
    """Whoever mends one column does not meet the next one at the next try."""
    frame = pd.DataFrame({"a": [0.5, np.inf], "b": [1, 2], "c": ["x\0", "y"]})
    with pytest.raises(UnsupportedFrame, match=r"'a': row 1 is inf(?s:.*)'c': the text in row 0 has a NUL") as caught:
        write(config("t"), pa.Table.from_pandas(frame, preserve_index=False) if arrow else frame)
    assert list(caught.value.columns) == ["a", "c"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_refused_whole(config: Config, name: str, dolt: Callable[..., str]) -> None:
    """The error names column and row, and the repository stays as it was."""
    series, words = REFUSED[name]
    before = dolt("log", "--oneline"), dolt("status")
    with pytest.raises(UnsupportedFrame, match=words):
        write(config("t"), pd.DataFrame({"k": 1, "v": series}))
    assert (dolt("log", "--oneline"), dolt("status")) == before


ZONES: dict[str, dt.tzinfo] = {
    "zoneinfo": zoneinfo.ZoneInfo("Europe/Berlin"),
    "an offset": dt.timezone(dt.timedelta(hours=-3)),
    "an offset with a name": dt.timezone(dt.timedelta(hours=5, minutes=30), "IST"),
    "an offset with the name of another zone": dt.timezone(dt.timedelta(hours=9), "EST"),
    "dateutil": dateutil.tz.gettz("Asia/Tokyo") or dt.timezone.utc,
    "an offset of dateutil": dateutil.tz.tzoffset("EST", 3600),
    "UTC of dateutil": dateutil.tz.tzutc(),
    "the machine's": dt.datetime.now().astimezone().tzinfo or dt.timezone.utc,
}


@pytest.mark.parametrize("dtype", ["object", "datetime64"])
@pytest.mark.parametrize("name", ZONES)
def test_a_moment_keeps_its_offset(config: Config, name: str, dtype: str) -> None:
    """Whatever its zone is called, a moment comes back as this moment with this offset, by pandas and by Arrow."""
    moment = dt.datetime(2024, 7, 1, 12, 0, 0, 5, ZONES[name])
    column = pd.Series([moment, None], dtype=object)
    write(config("t"), pd.DataFrame({"v": column if dtype == "object" else pd.DatetimeIndex(column)}))
    found = [read(config("t"))["v"], pd.Series(frames.load(pinned(pin(config("t")))).to_arrow()["v"].to_pylist())]
    for back in (values.dropna().iloc[0] for values in found):
        assert (back, back.utcoffset()) == (moment, moment.utcoffset())


def test_a_zone_without_a_name_is_refused(config: Config) -> None:
    """A type whose note could not be read again is no way to lose a zone."""
    for zone in ("IST", "X", "-0530"):
        with pytest.raises(UnsupportedFrame, match="'v'.*would not be read again.*Convert"):
            write(config("t"), pa.table({"v": pa.array([0], pa.timestamp("us", zone))}))


@pytest.mark.parametrize(
    "dtype", ["string[pyarrow]", "string[python]", pd.ArrowDtype(pa.string()), "int8", "float32", "bool"], ids=str
)
def test_levels_keep_their_dtype(config: Config, dtype: Any) -> None:
    """Dtypes that pandas prints alike are told apart."""
    values = {"int8": [1, 2], "float32": [0.5, 0.1], "bool": [True, False]}.get(str(dtype), ["a", "b"])
    frame = pd.DataFrame({"v": pd.Series(values, dtype=dtype).astype("category")})
    write(config("t", keep_order=True), frame)
    back = read(config("t"))
    assert back["v"].cat.categories.dtype == frame["v"].cat.categories.dtype
    pd.testing.assert_frame_equal(back, frame)


def test_many_columns_have_room_for_their_notes(config: Config) -> None:
    """Hundreds of columns whose types SQL does not have come back in them."""
    names = [f"f{number}" for number in range(350)]
    frame = pd.DataFrame({name: [1, 2] for name in names}).convert_dtypes(dtype_backend="pyarrow")
    write(config("t", keep_order=True), frame)
    pd.testing.assert_frame_equal(read(config("t")), frame)
    table = pa.table({name: pa.array([0.5], pa.float32()) for name in names})
    write(config("u"), table)
    assert frames.load(pinned(pin(config("u")))).to_arrow() == table


def test_notes_without_room_say_which_are_long(config: Config) -> None:
    """The error names the column and the number of bytes."""
    frame = pd.DataFrame({"k": [1], "v": pd.Categorical(["x0"], categories=[f"x{n}" for n in range(20_000)])})
    with pytest.raises(UnsupportedFrame, match=r"'v' with \d{6} bytes.*categories"):
        write(config("t"), frame)


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["a b", "select", "größe", "日本", "a`b", "a'b", 'a"b', "a,b", "%s", "a\nb", "x" * 64, "a.b", "-a", "@c0", "#"],
    )
    def test_any_name_goes(self, config: Config, name: str) -> None:
        """Spaces, reserved words, quotes and all scripts are good column names."""
        frame = pd.DataFrame({name: ["NULL", "b"], "other": [1, 2]})
        write(config("t", primary_key=[name]), frame)
        pd.testing.assert_frame_equal(read(config("t", order_by=["other"])), frame)

    @pytest.mark.parametrize("name", ["@c0", "@C0", "@c1", "@cc1", "@a", "@@a", "@"])
    @pytest.mark.parametrize(
        "values",
        [
            ["x", "y"],
            ["NULL", None],
            [b"", b"x"],
            [1, 2],
            [0.5, None],
            [True, False],
            [pd.Timestamp("2024-02-29 12:00:00.000001"), None],
            [[1], {}],
        ],
    )
    def test_a_name_like_that_of_a_variable(self, config: Config, name: str, values: list[Any]) -> None:
        """No value is taken from, or stored in, a variable of that name, whichever columns need help on their way."""
        for columns in ({"b": [b"", None], name: values}, {name: values, "b": [b"", None], "t": ["NULL", "u"]}):
            frame = pd.DataFrame({"k": [0, 1], **columns})
            write(config("t", primary_key=["k"], on_schema_change="replace"), frame)
            pd.testing.assert_frame_equal(read(config("t")), frame)

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            (["a", "a"], "'a'.*2 times"),
            (["a", "A"], "'a'.*'A'"),
            *((list(names), "differ only in .*tell apart") for names in ("\u00b5\u03bc", "σς", "Σς", "ſs", "Kk", "ẞß")),
            ([1, "a"], r"1.*\(int\)"),
            ([1.5, "a"], r"1.5.*\(float\)"),
            ([("a", "b"), "a"], r"\(tuple\)"),
            (["", "a"], "''"),
            (["a ", "b"], "space"),
            (["x" * 65, "a"], "64 bytes"),
            (["_flyte_row", "a"], "rows"),
        ],
    )
    def test_names_that_sql_cannot_hold_are_refused(self, config: Config, columns: list[Any], words: str) -> None:
        """Each bad name is listed."""
        frame = pd.DataFrame([[1, 2]])
        frame.columns = columns
        with pytest.raises(UnsupportedFrame, match=words):
            write(config("t"), frame)

    def test_no_columns_are_refused(self, config: Config) -> None:
        """SQL has no table without columns."""
        with pytest.raises(UnsupportedFrame, match="columns"):
            write(config("t"), pd.DataFrame(index=range(3)))


def test_arrays_in_cells_come_back_as_lists(config: Config) -> None:
    """What read_parquet makes of lists is stored as these lists; numbers that are no numbers of JSON are refused."""
    deep = np.array([np.array([1, 2]), np.array([3])], dtype=object)
    cells = pd.Series([np.array([0.5, 0.25], "float32"), None, deep, {"a": np.array(["x"])}], dtype=object)
    write(config("t", keep_order=True), pd.DataFrame({"v": cells}))
    assert read(config("t")).v.tolist() == [[0.5, 0.25], None, [[1, 2], [3]], {"a": ["x"]}]
    for array in (np.array([np.nan]), np.array(["2020-01-01"], "datetime64[ns]")):
        with pytest.raises(UnsupportedFrame, match="'v'.*row 0"):
            write(config("u"), pd.DataFrame({"v": pd.Series([array], dtype=object)}))


def test_uuids_and_text_do_not_mix(config: Config) -> None:
    """A column means the one or the other, and is never read as both."""
    write(config("t"), pd.DataFrame({"v": [uuid.UUID(int=1)]}))
    with pytest.raises(errors.SchemaMismatch, match="plain values.*UUIDs"):
        write(config("t", mode="append"), pd.DataFrame({"v": ["x"]}))


class TestIndex:
    @pytest.mark.parametrize(
        "frame",
        [
            pd.DataFrame({"v": [1, 2]}, index=pd.Index(["a", "b"], name="k")),
            pd.DataFrame(
                {"v": [1, 2]}, index=pd.date_range("2020-01-01", periods=2, name="day", unit="us").set_names("day")
            ),
            pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (1, "b")], names=["x", "y"])),
            pd.DataFrame({"v": [1, 2]}, index=pd.RangeIndex(5, 7, name="n")),
            pd.DataFrame({"v": [1, 2]}, index=pd.CategoricalIndex(["b", "a"], categories=["b", "a"], name="c")),
        ],
        ids=["text", "dates", "two levels", "named range", "categories"],
    )
    def test_a_named_index_is_kept_and_restored(self, config: Config, frame: pd.DataFrame) -> None:
        """A named index is stored as columns (and may be the key), and comes back as the index."""
        write(config("t", primary_key=list(frame.index.names)), frame)
        in_order = [frame.index.get_loc(key) for key in sorted(frame.index)]
        pd.testing.assert_frame_equal(read(config("t")), frame.iloc[in_order], check_freq=False)

    @pytest.mark.parametrize("arrow", [False, True], ids=["pandas", "arrow"])
    @pytest.mark.parametrize("how", ["filter", "sort", "sample", "concat", "drop_duplicates"])
    def test_row_numbers_that_are_left_are_dropped(self, config: Config, how: str, arrow: bool) -> None:
        """They are no data, and one warning shows the first of them; "drop" is silent, and "refuse" refuses."""
        frame = pd.DataFrame({"v": [3, 1, 1]})
        left = {
            "filter": lambda: frame[frame.v == 1],
            "sort": lambda: frame.sort_values("v"),
            "sample": lambda: frame.sample(2, random_state=1),
            "concat": lambda: pd.concat([frame, frame]),
            "drop_duplicates": lambda: frame.drop_duplicates(keep="last"),
        }[how]()
        given: Any = pa.Table.from_pandas(left, preserve_index=True) if arrow else left
        first = re.escape(repr(left.index[:3].tolist()))
        with pytest.warns(UserWarning, match=f"{first}.*index='keep'") as warned:
            write(config("t", order_by=[]), given)
        assert len(warned) == 1
        assert read(config("t")).columns.tolist() == ["v"]
        assert sorted(read(config("t")).v) == sorted(left.v)
        with pytest.raises(UnsupportedFrame, match=first):
            write(config("t", index="refuse"), given)
        write(config("t", index="drop"), given)

    @pytest.mark.parametrize("arrow", [False, True], ids=["pandas", "arrow"])
    def test_an_unnamed_index_can_be_kept(self, config: Config, arrow: bool) -> None:
        """It is stored as named ones are, and comes back without a name."""
        frame = pd.DataFrame({"v": [3, 1]}, index=[5, 7])
        write(config("t", index="keep"), pa.Table.from_pandas(frame, preserve_index=True) if arrow else frame)
        pd.testing.assert_frame_equal(read(config("t")).sort_index(), frame)

    def test_an_index_that_may_be_data_is_refused(self, config: Config) -> None:
        """Text and dates are no row numbers; they are not dropped in silence."""
        frame = pd.DataFrame({"v": [1, 2]}, index=["a", "b"])
        with pytest.raises(UnsupportedFrame, match=r"\['a', 'b'\].*reset_index\(drop=True\)"):
            write(config("t"), frame)
        write(config("u", index="keep"), frame)
        pd.testing.assert_frame_equal(read(config("u")).sort_index(), frame)

    def test_row_numbers_in_order_are_no_data(self, config: Config) -> None:
        """0, 1, 2, ... is what every read gives again."""
        write(config("t", primary_key=["v"]), pd.DataFrame({"v": [1, 2]}, index=[0, 1]))
        assert isinstance(read(config("t")).index, pd.RangeIndex)

    def test_an_index_named_like_a_column_is_refused(self, config: Config) -> None:
        """An SQL table has one column of a name."""
        frame = pd.DataFrame({"k": [1]}, index=pd.Index([1], name="k"))
        with pytest.raises(UnsupportedFrame, match="different"):
            write(config("t"), frame)


class TestOrder:
    def test_a_keyed_table_reads_in_key_order(self, config: Config) -> None:
        """Whatever order was written, rows come in the order of the key."""
        write(config("t", primary_key=["b", "a"]), pd.DataFrame({"a": [2, 1, 1], "b": ["x", "y", "x"]}))
        assert list(read(config("t")).itertuples(index=False, name=None)) == [(1, "x"), (2, "x"), (1, "y")]

    def test_order_by_chooses(self, config: Config) -> None:
        """order_by= sorts on the server."""
        write(config("t"), pd.DataFrame({"a": [2, 3, 1]}))
        assert read(config("t", order_by=["a"])).a.tolist() == [1, 2, 3]

    def test_the_frames_own_order_can_be_kept(self, config: Config) -> None:
        """keep_order=True gives back the very order, duplicates included, with and without a key."""
        frame = pd.DataFrame({"a": [2, 3, 1, 3], "b": list("xyzw")})
        write(config("t", keep_order=True), frame)
        pd.testing.assert_frame_equal(read(config("t")), frame)
        write(config("u", keep_order=True, primary_key=["b"]), frame)
        pd.testing.assert_frame_equal(read(config("u")), frame)

    def test_the_order_of_columns_is_kept(self, config: Config) -> None:
        """Columns come back in the order in which they were last written."""
        write(config("t"), pd.DataFrame({"a": [1], "b": [2]}))
        write(config("t"), pd.DataFrame({"b": [2], "a": [3]}))
        assert list(read(config("t")).columns) == ["b", "a"]

    def test_columns_can_be_chosen(self, config: Config) -> None:
        """columns= reads only those, in that order; an unknown one is an error that offers close names."""
        write(config("t"), pd.DataFrame({"aa": [1], "b": [2], "c": [3]}))
        assert list(read(config("t", columns=["c", "aa"])).columns) == ["c", "aa"]
        with pytest.raises(errors.SchemaMismatch, match="'aaa'.*'t'.*'aa'"):
            read(config("t", columns=["aaa"]))


class TestTablesOfOthers:
    def test_a_table_without_our_notes_reads_as_its_sql_types_say(
        self, config: Config, dolt: Callable[..., str]
    ) -> None:
        """What others made is read by SQL types alone."""
        dolt(
            "sql", "-q",
            "create table t (id int primary key, d decimal(10,2), t time, y year, e enum('a','b'), s set('a','b'),"
            " j json, m mediumint unsigned, c char(5), x text, f float, b bit(4), ts timestamp);"
            "insert into t values (1, 1.5, '12:34:56', 2020, 'b', 'a,b', '{\"a\": 1}', 7, 'c', 'x', 0.5, b'101',"
            " '2020-01-01 00:00:00'), (2, null, null, null, null, null, null, null, null, null, null, null, null);"
            "call dolt_commit('-Am', 'theirs')",
        )  # fmt: skip
        row = read(config("t")).iloc[0].to_dict()
        assert row == {
            "id": 1, "d": D("1.50"), "t": dt.time(12, 34, 56), "y": 2020, "e": "b", "s": "a,b", "j": '{"a": 1}', "m": 7,
            "c": "c", "x": "x", "f": 0.5, "b": 5, "ts": pd.Timestamp("2020-01-01"),
        }  # fmt: skip

    def test_a_column_is_the_same_by_its_table_and_by_a_query(self, config: Config, dolt: Callable[..., str]) -> None:
        """Bits, years and narrow integers have one type and one value, whichever way they are asked for."""
        dolt(
            "sql", "-q",
            "create table t (id int primary key, b1 bit(1), b8 bit(8), b64 bit(64), y year, ti tinyint,"
            " ut tinyint unsigned, s smallint, us smallint unsigned, m mediumint, um mediumint unsigned,"
            " u int unsigned, ub bigint unsigned);"
            "insert into t values (1, b'1', 200, 18446744073709551615, 2024, -3, 200, -300, 60000, -5, 9, 4294967295,"
            " 18446744073709551615), (2, 0, 0, 0, 1901, 0, 0, 0, 0, 0, 0, 0, 0),"
            " (3, null, null, null, null, null, null, null, null, null, null, null, null);"
            "call dolt_commit('-Am', 'theirs')",
        )  # fmt: skip
        table = read(config("t"))
        pd.testing.assert_frame_equal(table, read(config(sql="select * from t order by id")))
        assert table.b64.tolist()[:2] == [2**64 - 1, 0]

    def test_an_empty_text_of_an_enum_is_a_value(self, config: Config, dolt: Callable[..., str]) -> None:
        """'' and NULL stay apart in an ENUM, in each way to write."""
        dolt("sql", "-q", "create table t (k int primary key, e enum('', 'a'), c char(3))")
        dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
        columns = {name: pd.Series(["", None, "a"]) for name in ("e", "c")}
        frame = pd.DataFrame({"k": [1, 2, 3], **columns})
        write(config("t"), frame)
        write(config("t", mode="upsert"), frame.iloc[:1])
        write(config("t", mode="append"), frame.assign(k=[4, 5, 6]))
        held = dolt("sql", "-r", "csv", "-q", "select sum(e=''), sum(e='a'), sum(c='') from t").split()
        assert held[-1] == "2,2,2"
        back = read(config("t"))
        assert [value for value in back["e"].tolist() if isinstance(value, str)] == ["", "a"] * 2

    @pytest.mark.parametrize(
        ("column", "value", "words"),
        [
            ("date", "'0000-00-00'", "'v'.*0000-00-00.*row 1.*columns"),
            ("datetime", "'0001-01-01'", "'v'.*1-01-01.*row 1.*columns"),
            ("point", "point(1, 2)", "'v'.*point.*columns.*ST_AsWKT"),
        ],
    )
    def test_a_value_that_no_frame_holds_is_said(
        self, config: Config, dolt: Callable[..., str], column: str, value: str, words: str
    ) -> None:
        """The error names column and row, and the other columns can be read, whole and in parts."""
        dolt("sql", "-q", f"create table t (k int primary key, v {column})")
        dolt("sql", "-q", f"set sql_mode = ''; insert into t values (1, null), (2, {value})")
        dolt("sql", "-q", "call dolt_commit('-Am', 'made')")
        with pytest.raises(errors.DoltError, match=words):
            read(config("t"))
        with pytest.raises(errors.DoltError, match=words), pin(config("t")).open(10) as rows:
            rows.read_all()
        assert read(config("t", columns=["k"]))["k"].tolist() == [1, 2]

    def test_all_parts_of_a_boolean_column_are_of_one_type(self, config: Config, dolt: Callable[..., str]) -> None:
        """A 2 in TINYINT(1) makes all of it numbers, also where it comes last."""
        write(config("t", primary_key=["k"]), pd.DataFrame({"k": range(20), "v": [True] * 20}))
        dolt("sql", "-q", "update t set v = 2 where k = 19; call dolt_commit('-am', 'a two')")
        with pin(config("t")).open(5) as rows:
            assert rows.read_all()["v"].to_pylist() == [1] * 19 + [2]
        assert {str(part["v"].dtype) for part in pin(config("t")).iter(5)} == {"int8"}
        assert frames.load(pinned(pin(config("t"))), limit=1).arrow.schema.field("v").type == pa.int8()

    def test_types_of_a_query_do_not_hang_on_its_values(self, config: Config) -> None:
        """More digits than are announced change no type, and that of no other column."""
        for quantity in (9, 150, 10**12):
            write(config("t"), pd.DataFrame({"k": [quantity], "at": pd.to_datetime(["2024-01-01"])}))
            query = config(sql="select k, at, k * 0.5 as half, cast(k as decimal(40, 20)) * 1e0 as x from t")
            found = read(query)
            assert found.dtypes.astype(str).tolist() == ["int64", "datetime64[us]", "object", "float64"]
            assert found["half"].tolist() == [D(quantity) / 2]
            assert frames.load(pinned(pin(query))).to_arrow().schema.field("half").type == pa.decimal128(38, 1)

    def test_decimals_of_more_places_than_announced(self, config: Config) -> None:
        """A product keeps all its digits."""
        write(config("t"), pd.DataFrame({"a": [D("1.123456789012345678"), None]}))
        found = read(config(sql="select a * a as v, 1 as n from t"))
        with decimal.localcontext() as context:
            context.prec = 60
            assert D("1.123456789012345678") ** 2 in found["v"].tolist()
        assert found["n"].tolist() == [1, 1]

    def test_what_a_query_computes_out_of_range_is_said(self, config: Config) -> None:
        """The advice is about the query and not about a frame."""
        write(config("t"), pd.DataFrame({"a": [1]}))
        with pytest.raises(errors.QueryFailed, match="Inf.*Change the query"):
            read(config(sql="select 1e308 * 10 as x"))

    def test_times_beyond_a_day_are_durations(self, config: Config, dolt: Callable[..., str]) -> None:
        """SQL's TIME goes to 838 hours; such a column comes as durations, exactly, and in each part of it."""
        dolt("sql", "-q", "create table t (v time(6)); insert into t values ('-838:59:59'), ('00:00:00.000001');"
             "call dolt_commit('-Am', 'theirs')")  # fmt: skip
        found = set(read(config("t")).v)
        assert found == {pd.Timedelta(-(838 * 3600 + 59 * 60 + 59), "s"), pd.Timedelta(1, "us")}
        parts = list(pin(config("t")).iter(batch_rows=1))
        assert [len(part) for part in parts] == [1, 1]
        assert {part.v[0] for part in parts} == found

    def test_a_number_in_a_boolean_column_is_not_lost(self, config: Config, dolt: Callable[..., str]) -> None:
        """TINYINT(1) is a boolean as long as it holds 0 and 1 only."""
        dolt("sql", "-q", "create table t (v tinyint(1)); insert into t values (2), (0); call dolt_commit('-Am', 'x')")
        assert sorted(read(config("t")).v) == [0, 2]

    def test_notes_that_do_not_fit_any_more_are_passed_over(self, config: Config, dolt: Callable[..., str]) -> None:
        """A row that somebody adds with an unknown level makes the column plain text, and loses nothing."""
        write(config("t"), pd.DataFrame({"v": pd.Categorical(["a", "b"])}))
        dolt("sql", "-q", "insert into t values ('new'); call dolt_commit('-am', 'theirs')")
        assert sorted(read(config("t")).v) == ["a", "b", "new"]

    def test_a_comment_of_the_users_own_survives(self, config: Config, dolt: Callable[..., str]) -> None:
        """Our notes stand behind the user's comment and never replace it."""
        text = 'it\'s "theirs" \\ 100%'
        dolt(
            "sql", "-q", "create table t (v double) comment='it''s \"theirs\" \\\\ 100%'; call dolt_commit('-Am', 'x')"
        )
        frame = pd.DataFrame({"v": pd.Series([0.5], dtype="float32")})
        write(config("t"), frame)
        pd.testing.assert_frame_equal(read(config("t")), frame)
        asked = "select table_comment c from information_schema.tables where table_name = 't'"
        comment = json.loads(dolt("sql", "-r", "json", "-q", asked))["rows"][0]["c"]
        assert comment.startswith(f"{text}\nflytekitplugins.dolt ")
