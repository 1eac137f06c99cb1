"""Hundreds of frames through the real server: what is read equals what was written, or it was refused."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from factor import FACTOR
from hypothesis import HealthCheck, event, given, settings
from users_server import users_server

from flytekitplugins.dolt import DoltConfig, create_repository, errors, read, write
from flytekitplugins.dolt.server import local_server

pytestmark = pytest.mark.slow

HOSTILE = [
    "",
    "NULL",
    "\\N",
    "null",
    "\0",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "'; drop table t; --",
    "`",
    '"',
    "%s",
    "\\",
    "é😀",
    " x ",
]
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
NAMES = st.one_of(
    st.sampled_from(
        ["a", "b", "select", "a b", "größe", "A", "%s", "a`b", "@c0", "_flyte_row", "", "x" * 64, "x" * 65]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
MOMENTS = st.datetimes(dt.datetime(999, 12, 31), dt.datetime(9999, 12, 31)).map(lambda m: m.replace(fold=0))
FLOATS = st.floats(width=64)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def ints(dtype: str) -> st.SearchStrategy[int]:
    limits = np.iinfo(dtype.lower())
    return st.integers(int(limits.min), int(limits.max))


def series(
    dtype: Any, values: st.SearchStrategy[Any], *, nulls: bool = True
) -> Callable[[int], st.SearchStrategy[Any]]:
    cells = st.none() | values if nulls else values
    return lambda n: st.lists(cells, min_size=n, max_size=n).map(lambda v: pd.Series(v, dtype=dtype))


def arrow(kind: pa.DataType, values: st.SearchStrategy[Any]) -> Callable[[int], st.SearchStrategy[Any]]:
    return lambda n: st.lists(st.none() | values, min_size=n, max_size=n).map(
        lambda v: pd.Series(pd.array(pa.array(v, kind), dtype=pd.ArrowDtype(kind)))
    )


def category(ordered: bool) -> Callable[[int], st.SearchStrategy[Any]]:
    def make(n: int) -> st.SearchStrategy[Any]:
        levels = st.lists(TEXT | st.just("x"), min_size=1, max_size=4, unique=True)
        return levels.flatmap(
            lambda known: st.lists(st.none() | st.sampled_from(known), min_size=n, max_size=n).map(
                lambda v: pd.Series(pd.Categorical(v, categories=known, ordered=ordered))
            )
        )

    return make


def aware(zone: str) -> Callable[[int], st.SearchStrategy[Any]]:
    return lambda n: st.lists(st.none() | MOMENTS, min_size=n, max_size=n).map(
        lambda v: pd.Series(v, dtype="datetime64[us]").dt.tz_localize("UTC").dt.tz_convert(zone)
    )


COLUMNS: dict[str, Callable[[int], st.SearchStrategy[Any]]] = {
    **{
        d: series(d, ints(d), nulls=False)
        for d in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    **{d: series(d, ints(d)) for d in ("Int8", "Int32", "Int64", "UInt8", "UInt64")},
    "float64": series("float64", FLOATS),
    "float32": series("float32", st.floats(width=32)),
    "Float64": series("Float64", FLOATS.filter(lambda f: f == f)),
    "bool": series("bool", st.booleans(), nulls=False),
    "boolean": series("boolean", st.booleans()),
    "text": series(object, TEXT),
    "string": series("string", TEXT),
    "datetime64[us]": series("datetime64[us]", MOMENTS),
    "datetime64[ns]": series("datetime64[ns]", st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))),
    "Tokyo": aware("Asia/Tokyo"),
    "date": series(object, st.dates(dt.date(999, 12, 1))),
    "time": series(object, st.times().map(lambda t: t.replace(fold=0))),
    "timedelta": series("timedelta64[us]", st.timedeltas(dt.timedelta(-1e5), dt.timedelta(1e5))),
    "decimal": series(
        object, st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-1e20, max_value=1e20)
    ),
    "bytes": series(object, st.binary(max_size=12)),
    "category": category(ordered=False),
    "ordered": category(ordered=True),
    "json": series(object, st.lists(JSONS, max_size=3) | st.dictionaries(TEXT, JSONS, max_size=3)),
    "int64[pyarrow]": arrow(pa.int64(), ints("int64")),
    "string[pyarrow]": arrow(pa.string(), TEXT),
    "decimal[pyarrow]": arrow(pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
    "mixed": series(object, st.integers(-5, 5) | TEXT | st.floats()),
    "complex": series("complex128", st.complex_numbers(), nulls=False),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Draw a frame of 0 to 8 rows and 1 to 4 columns of any kind, good and bad names, duplicate rows included."""
    count = draw(st.integers(0, 8))
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4))
    columns = [draw(COLUMNS[kind](count)) for kind in kinds]
    names = draw(st.lists(NAMES, min_size=len(kinds), max_size=len(kinds), unique=draw(st.booleans())))
    if draw(st.integers(0, 3)):  # mostly good names, or there would be little to store
        names = [f"c{i}" for i in range(len(kinds))]
    frame = pd.concat(columns, axis=1)
    frame.columns = pd.Index(names)
    if count and draw(st.booleans()):
        frame = pd.concat([frame, frame.head(2)], ignore_index=True)
    return frame


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one repository for all examples."""
    return create_repository(tmp_path_factory.mktemp("round") / "foo", name="A", email="a@b.c")


def as_multiset(frame: pd.DataFrame) -> list[str]:
    """Return the rows in an order that hangs on nothing but their values."""
    return sorted(repr([_plain(value) for value in row]) for row in frame.itertuples(index=False, name=None))


def _plain(value: Any) -> Any:
    missing = value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)
    return None if missing else value.normalize() if isinstance(value, decimal.Decimal) else value


@given(frame=frames(), keep_order=st.booleans())
@settings(max_examples=300 * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))
def test_read_equals_written_or_a_typed_refusal(path: Path, frame: pd.DataFrame, keep_order: bool) -> None:
    """Values, dtypes and names come back; a second write makes no commit; a refusal is an UnsupportedFrame."""
    check(path, frame, keep_order=keep_order)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give one repository for all examples, served by the user's own server, which gets rows as INSERT statements."""
    path = create_repository(tmp_path_factory.mktemp("theirs") / "foo", name="A", email="a@b.c")
    with users_server(path):
        yield path
        local_server.release(path)


@given(frame=frames(), keep_order=st.booleans())
@settings(max_examples=150 * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_same_by_insert_statements(theirs: Path, frame: pd.DataFrame, keep_order: bool) -> None:
    """What is sent as INSERT statements, because the server cannot read our files, comes back just as exactly."""
    check(theirs, frame, keep_order=keep_order)


def check(path: Path, frame: pd.DataFrame, *, keep_order: bool) -> None:
    config = DoltConfig(str(path), "t", keep_order=keep_order, on_schema_change="replace")
    try:
        table = write(config, frame)
    except errors.UnsupportedFrame:
        event("refused")
        return
    event("stored")
    found = read(config)
    pd.testing.assert_series_equal(found.dtypes, frame.dtypes)
    if keep_order:
        pd.testing.assert_frame_equal(found, frame)
    else:
        assert as_multiset(found) == as_multiset(frame)
    assert write(config, frame).commit == table.commit
