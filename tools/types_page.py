"""Writes docs/types.md: what becomes of each dtype, found out by asking the codec. `--check` only compares.

The table is made by running `codec.encode`, `codec.sql_types` and `codec.decode` on one small column of each kind, so the
page cannot say anything that the code does not do. Round trips through a real server are held by the tests.
"""

from __future__ import annotations

import datetime as dt
import decimal
import sys
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from flytekitplugins.dolt.codec import pandas_frames
from flytekitplugins.dolt.errors import UnsupportedFrame
from flytekitplugins.dolt.tables import fitting

PAGE = Path(__file__).parent.parent / "docs" / "types.md"

D = decimal.Decimal
NOON = pd.Timestamp("2020-01-01 12:00")


def arrow(values: list[Any], kind: pa.DataType) -> Any:
    """Return a pandas column backed by Arrow."""
    return pd.array(pa.array(values, kind), dtype=pd.ArrowDtype(kind))


STORED: dict[str, Any] = {
    "`int8` ... `int64`": pd.Series([1], dtype="int64"),
    "`uint8` ... `uint64`": pd.Series([1], dtype="uint64"),
    "`Int8` ... `UInt64` (nullable)": pd.Series([1, None], dtype="Int64"),
    "`float64`": pd.Series([0.5, None]),
    "`float16`, `float32`": pd.Series([0.5], dtype="float32"),
    "`Float32`, `Float64` (nullable)": pd.Series([0.5, None], dtype="Float64"),
    "`bool`": pd.Series([True]),
    "`boolean` (nullable)": pd.Series([True, None], dtype="boolean"),
    "`str` (pandas 3)": pd.Series(["x"]),
    "`object` of text": pd.Series(["x", None], dtype=object),
    "`string` (nullable)": pd.Series(["x", None], dtype="string[pyarrow]"),
    "text of more than 4,096 characters": pd.Series(["x" * 5000]),
    "`object` of int, float or bool": pd.Series([1, None], dtype=object),
    "`datetime64[us]`": pd.Series([NOON]).astype("datetime64[us]"),
    "`datetime64` in s, ms, ns": pd.Series([NOON]).astype("datetime64[ns]"),
    "`datetime64` with a time zone": pd.Series([NOON])
    .dt.tz_localize("Europe/Berlin")
    .astype("datetime64[us, Europe/Berlin]"),
    "`object` of `date`": pd.Series([dt.date(2020, 1, 1)]),
    "`object` of `time`": pd.Series([dt.time(12)]),
    "`timedelta64`": pd.Series([pd.Timedelta(1, "s")]).astype("timedelta64[us]"),
    "`object` of `Decimal`": pd.Series([D("1.50")]),
    "`object` of `bytes`": pd.Series([b"x"]),
    "bytes of more than 4,096": pd.Series([b"x" * 5000]),
    "`category` of text, numbers, booleans": pd.Series(pd.Categorical(["b", "a"], categories=["b", "a"])),
    "`object` of `UUID`": pd.Series([uuid.UUID(int=1)]),
    "`object` of lists and dictionaries": pd.Series([[1, {"a": None}]]),
    "`int64[pyarrow]` and the other numbers": pd.Series(arrow([1, None], pa.int64())),
    "`string[pyarrow]` backed by Arrow": pd.Series(arrow(["x"], pa.string())),
    "`timestamp[us, tz][pyarrow]`": pd.Series(arrow([NOON], pa.timestamp("us", "Asia/Tokyo"))),
    "`decimal128(10, 2)[pyarrow]`": pd.Series(arrow([D("1.50")], pa.decimal128(10, 2))),
    "`list`, `struct` of Arrow": pd.Series(arrow([[1]], pa.list_(pa.int64()))),
}

REFUSED: dict[str, Any] = {
    "infinity": pd.Series([float("inf")]),
    "text with NUL": pd.Series(["a\0b"]),
    "nanoseconds that are not zero": pd.Series([pd.Timestamp("2020-01-01 00:00:00.000000001")]),
    "years before 1000": pd.Series([dt.date(999, 1, 1)]),
    "several types in one column": pd.Series([1, "x"], dtype=object),
    "complex numbers": pd.Series([1j]),
    "intervals": pd.Series(pd.interval_range(0, 1)),
    "periods": pd.Series(pd.period_range("2020", periods=1, freq="D")),
    "sparse columns": pd.Series(pd.arrays.SparseArray([0, 1])),
    "tuples and sets": pd.Series([(1, 2)]),
    "text that is no text": pd.Series(["\ud800"], dtype=object),
    "integers of more than 64 bits": pd.Series([2**64], dtype=object),
    "decimals of more than 30 places": pd.Series([D("0." + "1" * 31)]),
}

HEAD = """\
# Types

**What becomes of a column when it is stored, and what comes back?**

Made by `python tools/types_page.py` out of the code itself; do not edit.

Every value comes back exactly, or the whole frame is refused with the column, the first bad row and what to do. NaN, NaT,
NA and None are all NULL, and NULL comes back as the missing value of the column's dtype. Objects come back in Python's own
classes (`datetime` for `Timestamp`, `int` for `numpy.int8`, a list for an array in a cell), and moments of several zones in that of the first.

| column | SQL type | noted | comes back as |
|---|---|---|---|
"""

MIDDLE = """
*Noted* is what SQL types cannot carry: the dtype, the levels of a category, the time zone, the index. It is kept in the
comment of the table (behind a comment of your own, if there is one), so it is versioned, merged and cloned with the table;
other programs do not mind it. A table without notes, made by somebody else, reads as its SQL types say. On Dolt 1.83 an
`ALTER TABLE ... MODIFY COLUMN` by somebody else drops the comment, and the table then reads so, too.

A comment may come from anywhere, so a note is only followed where it is one that this package writes and every value of the
column comes back equal from what it asks for. Any other note is passed over for its column alone: the column comes as SQL has
it, the log says so once for each table, and the table can be read and written as before.

The width of text is the same for all columns of a table: 16,000 characters, divided by the number of columns of text or
bytes, and at most 4,096. Longer values make the column LONGTEXT or LONGBLOB.

A time zone comes back as the zone that it is, by its name (`zoneinfo`, pytz, dateutil) or as its offset; a name that a program
gave to an offset (`IST`) is not kept. Where Polars has no type for a column, it gets the same values in another: decimals of 38
digits, moments in UTC for those of an offset; a value that has none there is an error with its row. Columns of a query have
types that follow from the query alone (decimals: 38 digits), and all parts of a table have the same types. A value in a table of
others that no frame can hold (`0000-00-00`, years before 1000, shapes) is an error with its column and row; `columns=` reads
the others. Differences (`diff`, `Changes`) show shapes as text, and a column of VECTOR is always read as text, which cannot be written back.

## Refused

| column | what the error says |
|---|---|
"""

TAIL = """
## Names, index, order

Column names are non-empty strings of at most 64 bytes (in UTF-8) that differ in more than case; spaces, reserved words, quotes
and all scripts are fine. Letters that Dolt folds to one are the same letter: `\u00b5` (micro) and `\u03bc` (mu), `\u03c3` and `\u03c2`.

A named index (of any number of levels) is stored as columns, which may be the primary key, and comes back as the index. An
unnamed index is not stored if it is 0, 1, 2, ...; one of other integers, as a filter, sort or `concat` leaves it, is dropped
with a warning, and any other unnamed index is refused. `index="drop"` drops each without a word, `index="refuse"` refuses each,
`index="keep"` stores it in a column `__index_level_0__` and brings it back. So it is with a column of integers of that name in
a table of Arrow.

The name of the columns (`frame.columns.name`, a printable text, as a pivot gives it) and the `freq` of an index of times or spans
are noted and come back; a `freq` does while it holds for the rows that are read, and one with a calendar of its own does not.
Not stored are a frame's `attrs`: a load time there would make a commit with each run.

A table with a primary key reads in the order of the key. One without is sorted by its values, column by column in the frame's order:
numbers and times by value, text, JSON and bytes by bytes whatever the collation, ordered categories by level, missing values last.
`order_by=[...]` chooses, and `order_by=[]` is the order of storage, in which `iter` and `open` stream; else the server sorts a table without
a key for them, and holds all of it. A query has the order of its own ORDER BY and no other.
`keep_order=True` keeps the frame's own order in a column `_flyte_row`; a row inserted in the middle then changes all rows
behind it, in diffs and on disk.

## Existing tables

A frame has to fit the table that is there: no column more, each of the table's type, each value held exactly. A narrower type
is fine as long as every value fits (int64 into `int`, text into `varchar(20)`), floats that are whole numbers (and NaN) fit
integers, integers fit floats, and a column without any value fits everything. A column of the table in whose rows no value is
yet takes the type of the first frame that has one. `on_schema_change="evolve"` adds columns and widens types, `"replace"` makes
a new table. Keys, indexes, constraints and comments survive a rewrite.

What was read of a column of JSON, SET, BIT or of TIME with spans in it can be written back, and other values of that form can be
written. Durations are refused where TIME would give them back as times of day: where no value of the table's is beyond a day; and times of day
where one is, as all TIME columns of a table are durations then. A JSON
column keeps the value of a text, in Dolt's own spelling; integers that no double holds (as from 2^53 + 1 on) are refused there, as Dolt would
round them.

`append` and `upsert` keep the table's dtypes, noted ones too, and refuse values that these do not hold; `"evolve"` lets the note go
then. A column of integers that gets a missing value comes back in the nullable dtype of its size. `replace` takes the dtypes of the
frame, and needs every column, because what it lacks would be lost. In rows that are added, a column that the frame lacks has its default or
NULL, and rows that an upsert finds keep what they have in it. With `"evolve"` a frame that lacks a column and brings a new one
is refused, as one whose column was renamed.

`mode="delete"` looks at the columns of the key only, which have to be as those of rows that are put: of the table's types, with a
value in each row, and no key twice. The notes of a table stay when rows go ([deleting rows](shapes.md#deleting-rows)).

Rows that are added (`mode="append"` or `"upsert"`) have to mean what the rows mean that are there: durations are given the
table's unit, times with and without a zone, lists and text, durations and plain numbers do not mix, and ordered levels go
on behind the table's. Texts become levels of a category without an order, and have to be levels of one with an order.
Lists and structures are taken where each value is exact in the table's Arrow type, and read in that; a field more or less, a
boolean among numbers, -0.0 among integers, or a missing value where the type has none, is not. With `on_schema_change="evolve"`
the type is widened where there is one for both: lists of `int32` and `int64`, of integers and floats, a field of a finer type. The rows of tables that refer to this one stay, also
with `ON DELETE CASCADE`: a row that they refer to cannot be left out. A write that would start triggers of the
table is refused, or lets them run with `triggers="run"`; see [clusters](clusters.md#triggers).

Next: [Plain dataframes](dataframes.md)
"""


def stored_row(label: str, series: Any) -> str:
    """Return the line for one kind of column."""
    frame = pd.DataFrame({"v": series})
    encoded = pandas_frames.encode(frame)
    sql_type = pandas_frames.sql_types(encoded.arrow, ())["v"]
    back = pandas_frames.decode(encoded.arrow, encoded.notes)
    pd.testing.assert_frame_equal(back, frame)
    fitting.fit(encoded.arrow, [fitting.Column("v", sql_type, True, False)], table="t", new_types={})
    note = ", ".join(encoded.notes.columns["v"].told()) if "v" in encoded.notes.columns else "-"
    return f"| {label} | `{sql_type.upper()}` | {note} | `{back.v.dtype}` |\n"


def refused_row(label: str, series: Any) -> str:
    """Return the line for one kind of column that cannot be stored."""
    try:
        pandas_frames.encode(pd.DataFrame({"v": series}))
    except UnsupportedFrame as error:
        return f"| {label} | {str(error).replace('|', ' ')} |\n"
    raise AssertionError(f"{label} is not refused")


def page() -> str:
    """Return the whole page."""
    stored = "".join(stored_row(label, series) for label, series in STORED.items())
    refused = "".join(refused_row(label, series) for label, series in REFUSED.items())
    return HEAD + stored + MIDDLE + refused + TAIL


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/types.md is not what the code does any more: run python tools/types_page.py")
