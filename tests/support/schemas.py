"""Columns of one meaning in many types, for frames of pandas, Arrow and Polars, and their values told apart.

`COLUMNS` has a strategy for each type that people give a column. `meaning` says what a value is, whatever library holds
it: two values of one meaning are equal, and those of two are not.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

Cells = list[Any]


@dataclass(frozen=True)
class Kind:
    """A type that a column may have."""

    door: str
    """The library of its frames: ``pandas``, ``arrow`` or ``polars``."""
    cells: st.SearchStrategy[Any]
    """Its values, missing ones included where it has them."""
    column: Callable[[Cells], Any]
    """Makes a column of values."""


# ------------------------------------------------------------------------------------------------------------ values

EDGES = sorted(
    {
        0,
        1,
        -1,
        *(sign * 2**bits + by for bits in (7, 8, 15, 16, 31, 32, 53, 63) for sign in (1, -1) for by in (-1, 0, 1)),
    }
)
WHOLE = [0, 1, -1, 2, 100]
FLOATS = [0.0, -0.0, 1.0, 2.0, 0.5, 0.1, -3.0, 1e300, 5e-324, 2.0**24 + 1, 2.0**53, 2.0**63, float(np.float32(0.1))]
TEXTS = ["", "a", "A", "b", "x y", "1", "é", "'", "[1]", "null", "2024-01-01", "😀"]
BYTES = [b"", b"a", b"\0", b"\xff", b"abcd"]
MOMENTS = [
    dt.datetime(2024, 1, 1),
    dt.datetime(2024, 3, 31, 1, 30, 0, 1),
    dt.datetime(1970, 1, 1, 0, 0, 1),
    dt.datetime(1899, 12, 31, 23, 59, 59),
]
SPANS = [
    dt.timedelta(0),
    dt.timedelta(seconds=1),
    dt.timedelta(days=-3),
    dt.timedelta(microseconds=7),
    dt.timedelta(hours=800),
]
DAYS = [dt.date(2024, 1, 1), dt.date(1000, 1, 1), dt.date(9999, 12, 31)]
TIMES = [dt.time(0), dt.time(23, 59, 59), dt.time(1, 2, 3, 4)]
DECIMALS = [decimal.Decimal(text) for text in ("0", "1", "1.5", "-0.01", "123456.78", "1E+3")]
UUIDS = [uuid.UUID(int=number) for number in (0, 1, 2**127)]
LISTS: list[Any] = [[], [1], [1, 2], [None], [0, -1, 255]]
LISTS_OF_FLOATS: list[Any] = [[], [1.0], [0.5], [0.1], [None, 2.0], [-0.0]]
STRUCTS: list[Any] = [{"a": 1, "b": "x"}, {"a": None, "b": ""}, {"a": 300, "b": None}]
OBJECTS: list[Any] = [[], {}, [1, "x", None], {"a": [1.5, True]}, [[1], [2]], {"a": 1}]
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "+05:30")
UNITS = ("s", "ms", "us", "ns")


LISTS_BY_TYPE: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int8(), [[], [1], [None, -1]]),
    (pa.int64(), LISTS),
    (pa.float32(), [[], [0.5], [1.0, None]]),
    (pa.float64(), LISTS_OF_FLOATS),
    (pa.string(), [[], ["a"], [None, ""]]),
    (pa.bool_(), [[], [True], [False, None]]),
    (pa.timestamp("us"), [[MOMENTS[0]], [], [MOMENTS[1], None]]),
    (pa.timestamp("s"), [[MOMENTS[0]], [], [None]]),
    (pa.null(), [[], [None]]),
]


def some(values: Sequence[Any], *, missing: bool = True) -> st.SearchStrategy[Any]:
    """Return a strategy for ``values``, one in five missing where they may be."""
    known = st.sampled_from(values)
    return st.one_of(known, known, known, known, st.none()) if missing else known


def within(values: Sequence[int], dtype: str) -> list[int]:
    limits = np.iinfo(dtype.lower())
    return [value for value in values if limits.min <= value <= limits.max]


def is_float(value: float, bits: int) -> bool:
    with np.errstate(over="ignore"):
        return float(np.dtype(f"float{bits}").type(value)) == value


def in_step(values: Sequence[Any], unit: str) -> list[Any]:
    """Return the times or spans that are whole in a unit, without the long ones that nanoseconds do not hold."""
    step = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}[unit]
    return [
        value
        for value in values
        if (value.microsecond if isinstance(value, dt.datetime) else value.microseconds) % step == 0
    ]


# ------------------------------------------------------------------------------------------------------------- kinds


def of_pandas(dtype: Any, values: Sequence[Any], *, missing: bool = True) -> Kind:
    return Kind("pandas", some(values, missing=missing), lambda cells: pd.Series(cells, dtype=dtype))


def in_unit(dtype: str, unit: str, values: Sequence[Any]) -> Kind:
    return Kind("pandas", some(values), lambda cells: pd.Series(cells, dtype=f"{dtype}[us]").dt.as_unit(unit))


def of_pandas_arrow(kind: pa.DataType, values: Sequence[Any]) -> Kind:
    dtype = pd.ArrowDtype(kind)
    return Kind("pandas", some(values), lambda cells: pd.Series(pd.array(pa.array(cells, kind), dtype=dtype)))


def of_arrow(kind: pa.DataType, values: Sequence[Any]) -> Kind:
    return Kind("arrow", some(values), lambda cells: pa.chunked_array([_arrow(cells, kind)]))


def of_polars(dtype: Any, values: Sequence[Any]) -> Kind:
    return Kind("polars", some(values), lambda cells: pl.Series("c", cells, dtype=dtype, strict=True))


def _arrow(cells: Cells, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(cells, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(cells, kind)


def category(values: Sequence[Any], *, ordered: bool) -> Kind:
    levels = sorted(values)
    return Kind(
        "pandas", some(values), lambda cells: pd.Series(pd.Categorical(cells, categories=levels, ordered=ordered))
    )


def aware(unit: str, zone: str) -> Kind:
    def column(cells: Cells) -> Any:
        return pd.Series(cells, dtype="datetime64[us]").dt.as_unit(unit).dt.tz_localize("UTC").dt.tz_convert(zone)

    return Kind("pandas", some(in_step(MOMENTS, unit)), column)


def _kinds() -> Iterator[tuple[str, Kind]]:
    sized = [f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")]
    for dtype in sized:
        values = within([*WHOLE, *EDGES], dtype)
        name = f"{'U' if dtype[0] == 'u' else ''}Int{dtype.lstrip('uint')}"
        yield dtype, of_pandas(dtype, values, missing=False)
        yield name, of_pandas(name, values)
        yield f"{dtype}[pyarrow]", of_pandas_arrow(pa.type_for_alias(dtype), values)
        yield f"arrow {dtype}", of_arrow(pa.type_for_alias(dtype), values)
        yield f"polars {dtype}", of_polars(getattr(pl, name), values)
    yield "whole objects", of_pandas(object, [*WHOLE, 2**53 + 1])
    narrow = {bits: [value for value in FLOATS if is_float(value, bits)] for bits in (16, 32, 64)}
    for bits in (32, 64):
        yield f"float{bits}", of_pandas(f"float{bits}", narrow[bits])
        yield f"Float{bits}", of_pandas(f"Float{bits}", narrow[bits])
        yield f"polars float{bits}", of_polars(getattr(pl, f"Float{bits}"), narrow[bits])
    yield "float16", of_pandas("float16", narrow[16])
    for name, kind, bits in (
        ("halffloat", pa.float16(), 16),
        ("float", pa.float32(), 32),
        ("double", pa.float64(), 64),
    ):
        yield (
            f"arrow {name}",
            Kind("arrow", some(narrow[bits]), lambda cells, kind=kind: pa.chunked_array([_floats(cells, kind)])),
        )
    yield "double[pyarrow]", of_pandas_arrow(pa.float64(), narrow[64])
    truth = [True, False]
    yield "bool", of_pandas("bool", truth, missing=False)
    yield "boolean", of_pandas("boolean", truth)
    yield "bool[pyarrow]", of_pandas_arrow(pa.bool_(), truth)
    yield "arrow bool", of_arrow(pa.bool_(), truth)
    yield "polars bool", of_polars(pl.Boolean, truth)
    yield "text", of_pandas(object, TEXTS)
    yield "string", of_pandas("string", TEXTS)
    yield "string[pyarrow]", of_pandas("string[pyarrow]", TEXTS)
    yield "text in Arrow", of_pandas_arrow(pa.string(), TEXTS)
    yield "arrow text", of_arrow(pa.string(), TEXTS)
    yield "arrow levels", of_arrow(pa.dictionary(pa.int8(), pa.string()), TEXTS)
    yield "arrow levels of numbers", of_arrow(pa.dictionary(pa.int8(), pa.int64()), WHOLE)
    yield "polars text", of_polars(pl.String, TEXTS)
    yield "polars categorical", of_polars(pl.Categorical, TEXTS)
    yield "polars enum", of_polars(pl.Enum(TEXTS), TEXTS)
    yield "category", category(TEXTS, ordered=False)
    yield "ordered", category(TEXTS, ordered=True)
    yield "ordered by fewer", category(["a", "b"], ordered=True)
    yield "category of numbers", category(WHOLE, ordered=False)
    yield "category of floats", category([0.5, 1.0, 2.0], ordered=True)
    yield "bytes", of_pandas(object, BYTES)
    yield "arrow bytes", of_arrow(pa.binary(), BYTES)
    yield "arrow fixed bytes", of_arrow(pa.binary(4), [b"abcd", b"\0\0\0\0"])
    yield "polars bytes", of_polars(pl.Binary, BYTES)
    for unit in UNITS:
        moments, spans = in_step(MOMENTS, unit), in_step(SPANS, unit)
        yield f"datetime64[{unit}]", in_unit("datetime64", unit, moments)
        yield f"timedelta64[{unit}]", in_unit("timedelta64", unit, spans)
        yield f"arrow timestamp[{unit}]", of_arrow(pa.timestamp(unit), moments)
        yield f"arrow duration[{unit}]", of_arrow(pa.duration(unit), spans)
        yield (
            f"arrow instant[{unit}]",
            of_arrow(pa.timestamp(unit, "Europe/Berlin"), [m.replace(tzinfo=dt.timezone.utc) for m in moments]),
        )
        if unit != "s":
            yield f"polars datetime[{unit}]", of_polars(pl.Datetime(unit), moments)
            yield f"polars duration[{unit}]", of_polars(pl.Duration(unit), spans)
            yield (
                f"polars instant[{unit}]",
                of_polars(pl.Datetime(unit, "UTC"), [m.replace(tzinfo=dt.timezone.utc) for m in moments]),
            )
    for zone in ZONES:
        yield f"datetime64[us, {zone}]", aware("us", zone)
        yield f"datetime64[ns, {zone}]", aware("ns", zone)
    yield "moments as objects", of_pandas(object, MOMENTS)
    yield "spans as objects", of_pandas(object, SPANS)
    yield "days", of_pandas(object, DAYS)
    yield "arrow date32", of_arrow(pa.date32(), DAYS)
    yield "arrow date64", of_arrow(pa.date64(), DAYS)
    yield "polars date", of_polars(pl.Date, DAYS)
    yield "times", of_pandas(object, TIMES)
    yield "arrow time64", of_arrow(pa.time64("us"), TIMES)
    yield "arrow time32", of_arrow(pa.time32("s"), TIMES[:2])
    yield "polars time", of_polars(pl.Time, TIMES)
    yield "decimals", of_pandas(object, DECIMALS)
    for name, kind in (
        ("decimal(12,2)", pa.decimal128(12, 2)),
        ("decimal(6,0)", pa.decimal128(6, 0)),
        ("decimal256(50,4)", pa.decimal256(50, 4)),
    ):
        fitting = [
            value
            for value in DECIMALS
            if value == round(value, kind.scale) and abs(value) < 10 ** (kind.precision - kind.scale)
        ]
        yield f"arrow {name}", of_arrow(kind, fitting)
    yield "decimal(12,2)[pyarrow]", of_pandas_arrow(pa.decimal128(12, 2), DECIMALS)
    yield "polars decimal", of_polars(pl.Decimal(12, 2), DECIMALS)
    yield "uuids", of_pandas(object, UUIDS)
    yield "objects", of_pandas(object, OBJECTS)
    yield "lists as objects", of_pandas(object, [*LISTS, *LISTS_OF_FLOATS])
    yield "arrays as objects", Kind("pandas", st.sampled_from([[1, 2], [3, 4], [0, 0]]), _arrays)
    for inner, values in LISTS_BY_TYPE:
        yield f"arrow list<{inner}>", of_arrow(pa.list_(inner), values)
        if inner in (pa.int64(), pa.float64()):
            yield f"list<{inner}>[pyarrow]", of_pandas_arrow(pa.list_(inner), values)
    yield "polars list<int64>", of_polars(pl.List(pl.Int64), LISTS)
    yield "polars list<float64>", of_polars(pl.List(pl.Float64), LISTS_OF_FLOATS)
    yield "polars array<int64, 2>", of_polars(pl.Array(pl.Int64, 2), [[1, 2], [3, 4]])
    narrow_struct = pa.struct([("a", pa.int16()), ("b", pa.string())])
    yield "arrow struct", of_arrow(narrow_struct, STRUCTS)
    yield (
        "arrow struct with floats",
        of_arrow(pa.struct([("a", pa.float64()), ("b", pa.string())]), [{"a": 0.5, "b": "x"}, {"a": 1.0, "b": None}]),
    )
    yield (
        "arrow struct with more",
        of_arrow(
            pa.struct([("a", pa.int64()), ("b", pa.string()), ("z", pa.bool_())]), [{"a": 1, "b": "x", "z": True}]
        ),
    )
    yield "arrow map", of_arrow(pa.map_(pa.string(), pa.int64()), [[("a", 1)], [], [("b", None)]])
    yield "polars struct", of_polars(pl.Struct({"a": pl.Int64, "b": pl.String}), STRUCTS)
    yield "nothing as objects", of_pandas(object, [None])
    yield "nothing as floats", of_pandas("float64", [None])
    yield "arrow null", of_arrow(pa.null(), [None])
    yield "polars null", of_polars(pl.Null, [None])


def _floats(cells: Cells, kind: pa.DataType) -> pa.Array:
    return pa.array([None if cell is None else np.dtype(kind.to_pandas_dtype()).type(cell) for cell in cells], kind)


def _arrays(cells: Cells) -> Any:
    column = pd.Series([None] * len(cells), dtype=object)
    for row, cell in enumerate(cells):
        column.iat[row] = np.array(cell)
    return column


COLUMNS: dict[str, Kind] = dict(_kinds())


def frame_of(door: str, ids: Sequence[int], column: Any) -> Any:
    """Return a frame with the key column ``id``, and ``c`` where there is one."""
    if door == "pandas":
        return pd.DataFrame({"id": pd.Series(list(ids), dtype="int64"), **({} if column is None else {"c": column})})
    if door == "arrow":
        return pa.table({"id": pa.array(ids, pa.int64()), **({} if column is None else {"c": column})})
    return pl.DataFrame({"id": pl.Series("id", list(ids), dtype=pl.Int64), **({} if column is None else {"c": column})})


# ------------------------------------------------------------------------------------------------- what a value means

Meaning = Any


def meanings(frame: Any) -> list[tuple[int, Meaning]]:
    """Return id and meaning of each row's value; a frame without ``c`` has none there."""
    if isinstance(frame, pd.DataFrame):
        ids, cells = frame["id"].tolist(), _cells(frame["c"]) if "c" in frame else [None] * len(frame)
    elif isinstance(frame, pa.Table):
        ids = frame["id"].to_pylist()
        cells = _of_arrow(frame["c"]) if "c" in frame.column_names else [None] * len(ids)
    else:
        ids, cells = frame["id"].to_list(), frame["c"].to_list() if "c" in frame.columns else [None] * len(frame)
        if ids and "c" in frame.columns and frame["c"].dtype in (pl.Datetime("ns"), pl.Duration("ns")):
            cells = _of_arrow(pa.chunked_array([frame["c"].to_arrow()]))
    return [(number, meaning(cell)) for number, cell in zip(ids, cells, strict=True)]


def _cells(column: Any) -> Cells:
    return [column.iat[row] for row in range(len(column))]


def _of_arrow(column: Any) -> Cells:
    kind = column.type
    if pa.types.is_time(kind):
        column = column.cast(pa.time64("us"))
    return column.to_pylist()


def meaning(value: Any) -> Meaning:
    """Return what a value is, in a form that compares equal only to that of an equal one."""
    if (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and value != value)
    ):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "bool", bool(value)
    if isinstance(value, (int, float, decimal.Decimal, np.integer, np.floating)):
        return "number", _number(value)
    if isinstance(value, (dt.datetime, np.datetime64)):
        return _moment(pd.Timestamp(value))
    if isinstance(value, (dt.timedelta, np.timedelta64)):
        return "span", pd.Timedelta(value).as_unit("us").value, pd.Timedelta(value).nanoseconds
    if isinstance(value, (list, tuple, np.ndarray, pl.Series)):
        return "list", tuple(meaning(each) for each in value)
    if isinstance(value, dict):
        return "struct", tuple(sorted((str(name), meaning(each)) for name, each in value.items()))
    return type(value).__name__, value if isinstance(value, bytes) else str(value)


def _number(value: Any) -> Fraction | str:
    value = value.item() if isinstance(value, np.generic) else value
    return "-0" if isinstance(value, float) and str(value) == "-0.0" else Fraction(value)


def _moment(stamp: pd.Timestamp) -> Meaning:
    """Return a moment, or an instant without its zone, which is that of the column."""
    kind = "moment" if stamp.tzinfo is None else "instant"
    naive = stamp if stamp.tzinfo is None else stamp.tz_convert("UTC").tz_localize(None)
    return kind, int(naive.to_datetime64().astype("datetime64[us]").astype("int64")), naive.nanosecond
