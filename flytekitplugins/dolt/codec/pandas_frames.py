"""Frames to Arrow columns with SQL types, and back. Pure: no connection, no Flyte, nothing is read from anywhere.

`encode` gives each column of a frame in an Arrow type whose values an SQL type holds exactly, and notes what SQL types
cannot carry (the pandas dtype, category levels, time zone, index). `decode` turns Arrow columns and those notes into an
equal frame; without notes, columns come back as their SQL types say. What has no exact SQL value is refused.

The rules: NaN, NaT, NA and None are all NULL, and NULL comes back as the missing value of the column's dtype; infinity
has no SQL value; an index of plain row numbers (0, 1, 2, ...) is not stored, a named one is stored as columns and
restored; of others, one of integers, which sorting and filtering leave, is dropped with a warning, the rest refused.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UnsupportedFrame, warn
from ..model import naming
from ..model.nesting import MAX_CELL, is_deep
from . import nested_types
from .notes import (
    ARROW_TEXT,
    FREQUENCY,
    MAX_READ,
    NOTES_MARK,
    UNFIT,
    Note,
    Notes,
    Unreadable,
    arrow_zone,
    field_from_text,
    field_to_text,
    parts_of,
)

# Those of `notes` are known from here, too.
__all__ = ["NOTES_MARK", "Note", "Notes", "decode", "encode", "field_from_text", "field_to_text"]

if TYPE_CHECKING:
    import pandas as pd

ROW_COLUMN = "_flyte_row"
"""Name of the column that keeps the frame's own row order, where that is asked for."""

UNNAMED_INDEX = "__index_level_0__"
"""Name of the column that keeps an unnamed index, where that is asked for; Arrow calls it so."""

_MAX_NAME = 64  # bytes in UTF-8: where MySQL counts characters, Dolt 1.83 does not
_MAX_VARCHAR = 4096
_VARCHAR_BUDGET = 16_000  # characters in all text columns of a row together: MySQL allows 65,535 bytes, 4 a character
_MAX_NOTES = 60_000  # bytes; Dolt was seen to keep a table comment of that size
_FEW_ROWS = 10_000  # below that, threads cost more than they save
_MANY_BYTES = 64 << 20  # from there on memory matters more than the one thread that converts column by column
_OLDEST_YEAR, _NEWEST_YEAR = 1000, 9999  # what DATE and DATETIME hold


@dataclass(frozen=True)
class SqlType:
    """An SQL type taken apart: ``decimal(10,2)``, ``bigint unsigned``, ``varchar(20)``."""

    base: str
    size: int | None = None
    scale: int | None = None
    unsigned: bool = False

    @classmethod
    @lru_cache(maxsize=1000)
    def parse(cls, text: str) -> SqlType:
        """Return the type that ``text`` names; what follows the type itself (a collation) is left out."""
        match = re.match(r"(\w+)(?:\s*\((\d+)(?:\s*,\s*(\d+))?\))?", text.strip().lower())
        if match is None:
            return cls(text)
        base, size, scale = match.groups()
        return cls(base, int(size) if size else None, int(scale) if scale else None, " unsigned" in text.lower())


@dataclass(frozen=True)
class Encoded:
    """A frame as Arrow columns in storable types, and what has to be noted about it."""

    arrow: pa.Table
    notes: Notes


def stored_as(encoded: Encoded, arrow: pa.Table) -> Notes:
    """Return the notes of a frame whose columns are stored in other types than a new table would give them."""
    columns = dict(encoded.notes.columns)
    types = dict(zip(encoded.arrow.column_names, encoded.arrow.schema.types, strict=True))
    for name, stored in zip(arrow.column_names, arrow.schema.types, strict=True):
        given = types[name]
        if given != stored and name not in columns and _has_dtype(given):
            columns[name] = Note(dtype=default_dtype(given))
        if name in columns and not columns[name].speaks_of(stored):
            del columns[name]  # it is of a column without any value, which is in the table's type then
    return replace(encoded.notes, columns=columns)


def _has_dtype(kind: pa.DataType) -> bool:
    """Whether pandas has a dtype of its own for values that are stored as ``kind``."""
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(is_number or pa.types.is_boolean(kind) or pa.types.is_timestamp(kind))


def merged(before: Notes, added: Notes, held: Sequence[str]) -> Notes:
    """Return the notes of a table to which rows with the notes ``added`` are added; it has values in ``held`` already.

    The table's own notes hold; columns that are new bring theirs, and categories grow by the levels that they lack.
    """
    there = set(held)
    columns = {name: note for name, note in before.columns.items() if name in there}
    for name, note in added.columns.items():
        old = columns.get(name)
        if name not in there:
            columns[name] = note
        elif old is not None and old.levels is not None and note.levels is not None:
            columns[name] = replace(old, levels=tuple(dict.fromkeys([*old.levels, *note.levels])))
    return replace(before, columns=columns)


# ------------------------------------------------------------------------------------------------ frame to Arrow


def encode(frame: pd.DataFrame, *, index: str | None = None, keep_order: bool = False) -> Encoded:
    """Return ``frame`` in storable Arrow columns. Zero rows are data too: the columns are there.

    Args:
        frame: the frame; column names are non-empty strings of at most 64 bytes that differ in more than case.
        index: ``"drop"``, ``"refuse"`` or ``"keep"`` an unnamed index that is not 0, 1, 2, ...; None drops one of
            integers with a warning, and refuses others.
        keep_order: whether to add `ROW_COLUMN` with the position of each row.

    Raises:
        UnsupportedFrame: a name, dtype, value or index cannot be stored exactly.
    """
    check_frame(frame)
    levels = _index_names(frame, index)
    above, freq = _name_of_columns(frame), _frequency(frame) if levels else ""
    if levels == [UNNAMED_INDEX]:
        frame = frame.rename_axis(UNNAMED_INDEX)
    if levels:
        frame = _with_index_as_columns(frame, levels)
    check_names(list(frame.columns))
    columns = {name: frame.iloc[:, position] for position, name in enumerate(frame.columns)}
    arrays, noted = each_column(columns, lambda name: _encode_column(name, columns[name]))
    found = encoded(arrays, noted, index=levels, keep_order=keep_order)
    return replace(found, notes=replace(found.notes, name=above, freq=freq))


def check_frame(frame: object) -> None:
    """Raise unless ``frame`` is a pandas frame.

    Raises:
        UnsupportedFrame: it is something else.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UnsupportedFrame(
            f"Cannot store a {type(frame).__name__}: it is neither a pandas DataFrame nor a table of Arrow or Polars, "
            "nor anything else that gives Arrow's C stream. Make a frame of it first, as pd.DataFrame(...) does."
        )


def some_columns(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Return the columns and levels of the index that Dolt takes for one of ``names``; other levels are left out.

    Raises:
        UnsupportedFrame: it is no frame.
    """
    check_frame(frame)
    wanted = {naming.folded(name) for name in names}
    if UNNAMED_INDEX in names and list(frame.index.names) == [None]:
        frame = frame.rename_axis(UNNAMED_INDEX)
    kept: pd.DataFrame = frame.loc[
        :, [isinstance(name, str) and naming.folded(name) in wanted for name in frame.columns]
    ]
    levels = enumerate(frame.index.names)
    others = [at for at, name in levels if not (isinstance(name, str) and naming.folded(name) in wanted)]
    return kept.reset_index(level=others, drop=True) if others else kept


def each_column(
    names: Iterable[str], encode: Callable[[str], tuple[pa.ChunkedArray, Note]]
) -> tuple[dict[str, pa.ChunkedArray], dict[str, Note]]:
    """Return what ``encode`` makes of each column, and what has to be noted.

    Raises:
        UnsupportedFrame: columns cannot be stored; the message says of all of them why.
    """
    arrays, noted = {}, {}
    problems: list[UnsupportedFrame] = []
    for name in names:
        try:
            arrays[name], note = encode(name)
        except UnsupportedFrame as error:
            problems.append(error)
            continue
        if note:
            noted[name] = note
    if len(problems) == 1:
        raise problems[0]
    if problems:
        columns = [name for error in problems for name in error.columns]
        raise UnsupportedFrame("\n".join(map(str, problems)), columns=columns)
    return arrays, noted


def encoded(
    arrays: Mapping[str, pa.ChunkedArray], noted: Mapping[str, Note], *, index: Sequence[str] = (), keep_order: bool
) -> Encoded:
    """Return storable columns with their notes as one, and with `ROW_COLUMN` where the order of rows is kept.

    Raises:
        UnsupportedFrame: the notes are too large for a table's comment.
    """
    if keep_order:
        rows = len(next(iter(arrays.values())))
        arrays = {**arrays, ROW_COLUMN: pa.chunked_array([pa.array(range(rows), pa.int64())])}
    for name, note in noted.items():
        try:
            note.check()
        except Unreadable as error:
            raise unsupported(
                name, arrays[name].type, f"its note would not be read again ({error})", "Convert it to another type"
            ) from error
    notes = Notes(columns=noted, index=tuple(index), rows=keep_order)
    if len(notes.to_comment().encode()) > _MAX_NOTES:
        notes = notes.shorter()
    if len(notes.to_comment().encode()) > _MAX_NOTES:
        raise _too_much(notes)
    return Encoded(pa.table(dict(arrays)), notes)


def check_size(notes: Notes) -> None:
    """Raise where the notes, to which levels of added rows have come, would not be read any more.

    Raises:
        UnsupportedFrame: they would not.
    """
    if len(notes.to_comment()) > MAX_READ:
        raise _too_much(notes, MAX_READ)


def _too_much(notes: Notes, most: int = _MAX_NOTES) -> UnsupportedFrame:
    sizes = {name: len(Notes({name: note}).to_comment().encode()) for name, note in notes.columns.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    advice = "Use types that SQL has, as int64 and float64, or fewer columns."
    if notes.columns[largest].levels is not None:
        advice = "Store large categories as text, with .astype(str)."
    return UnsupportedFrame(
        f"Cannot store the frame: what has to be noted about its columns takes {sum(sizes.values())} bytes, and "
        f"{most} can be kept; {len(sizes)} columns have notes, and the longest is that of {largest!r} with "
        f"{sizes[largest]} bytes. {advice}",
        columns=[largest],
    )


def _index_names(frame: pd.DataFrame, unnamed: str | None) -> list[str]:
    import pandas as pd

    names: list[Any] = list(frame.index.names)
    if all(isinstance(name, str) and name for name in names):
        return names
    if isinstance(frame.index, pd.MultiIndex) or names != [None]:
        raise UnsupportedFrame(
            f"Cannot store the frame: the names of its index are {names!r}, and each has to be a non-empty string. "
            "Name them with .rename_axis(...), or call .reset_index()."
        )
    if unnamed == "keep":
        return [UNNAMED_INDEX]
    if unnamed != "drop" and len(frame) and not frame.index.equals(pd.RangeIndex(len(frame))):
        integers = pd.api.types.is_integer_dtype(frame.index.dtype)
        leave_out(list(frame.index[:3]), unnamed, advice="name it with .rename_axis(...)", integers=integers)
    return []


def _name_of_columns(frame: pd.DataFrame) -> str:
    name = frame.columns.name
    return name if isinstance(name, str) and name.isprintable() else ""


def _frequency(frame: pd.DataFrame) -> str:
    """Return the frequency of the index, where its name says all of it: a calendar of holidays has none."""
    from pandas.tseries.frequencies import to_offset

    freq = getattr(frame.index, "freq", None)
    text = str(getattr(freq, "freqstr", ""))
    try:
        return text if text and FREQUENCY.fullmatch(text) and to_offset(text) == freq else ""
    except ValueError:
        return ""


def leave_out(first: Sequence[Any], index: str | None, *, advice: str, integers: bool) -> None:
    """Warn that an unnamed index is not stored, or refuse it, as ``index`` says; None refuses all but integers.

    ``first`` are its first values, and ``advice`` says how else it could be stored.
    """
    found = f"its index has no name and is not 0, 1, 2, ... (it starts {first!r})"
    if integers and index is None:
        warn(
            f"The index of a frame is not stored: {found}. To store it, {advice} or say index='keep' in the config; "
            "index='drop' leaves it out without this warning.",
        )
        return
    raise UnsupportedFrame(
        f"Cannot store the frame: {found}, so it may be data. Call .reset_index(drop=True) to leave it out, or "
        f"{advice} to keep it. In the config, index='drop' and index='keep' do so."
    )


def _with_index_as_columns(frame: pd.DataFrame, levels: Sequence[str]) -> pd.DataFrame:
    both = [name for name in levels if name in frame.columns]
    if both or len(set(levels)) < len(levels):
        raise UnsupportedFrame(
            f"Cannot store the frame: the index names {list(levels)!r} are not all different from each other and from "
            "the columns. Rename the index with .rename_axis(...).",
            columns=both,
        )
    flat: pd.DataFrame = frame.reset_index()
    return flat


def _problem_of(name: Any) -> str | None:
    """Say why a name cannot be that of a column, whatever the others are; None where it can."""
    if not isinstance(name, str):
        return f"the name {name!r} is no string ({type(name).__name__})"
    is_long = len(name.encode(errors="replace")) > _MAX_NAME
    if not name.strip() or is_long or name != name.rstrip() or re.search(r"[\0\ud800-\udfff]", name):
        return f"the name {name!r} is empty, over 64 bytes, ends with a space or is no valid text"
    if "İ" in name:  # its small letter does not lead back to it, and Dolt 1.83 goes by small letters
        return f"the name {name!r} has the letter 'İ', and Dolt loses the values of such a column"
    return f"the name {name!r} is taken for the order of rows" if name == ROW_COLUMN else None


def check_names(names: Sequence[Any]) -> None:
    """Raise unless each name can be that of a column beside the others.

    Raises:
        UnsupportedFrame: they cannot; the message lists all that is wrong.
    """
    if not names:
        raise UnsupportedFrame("Cannot store the frame: it has no columns. Give it one; rows are not needed.")
    problems = [found for found in map(_problem_of, names) if found is not None]
    counts = Counter(name for name in names if isinstance(name, str))
    folded: dict[str, str] = {}
    for name, count in counts.items():
        other = folded.setdefault(naming.folded(name), name)
        if count > 1:
            problems.append(f"the name {name!r} is there {count} times")
        elif other != name:
            how = "only in case" if other.lower() == name.lower() else f"only in letters ({other!a}, {name!a})"
            problems.append(f"the names {other!r} and {name!r} differ {how}, which SQL does not tell apart")
    if problems:
        unique = list(dict.fromkeys(problems))
        raise UnsupportedFrame(f"Cannot store the frame: {'; '.join(unique)}. Rename the columns.", columns=unique)


def _encode_column(name: str, column: pd.Series[Any]) -> tuple[pa.ChunkedArray, Note]:
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):
        check_depth(name, dtype.pyarrow_dtype)
    if isinstance(dtype, (pd.IntervalDtype, pd.PeriodDtype, pd.SparseDtype)) or dtype.kind == "c":
        raise unsupported(name, dtype, "there is no SQL type for it", "Convert it to numbers, text or dates")
    if isinstance(dtype, pd.CategoricalDtype):
        return _encode_category(name, column)
    if str(dtype) == "object":
        return _encode_objects(name, column)
    if isinstance(dtype, pd.ArrowDtype):
        array, _ = storable(name, _chunked(name, column), dtype)
        return array, Note(arrow=field_to_text(pa.field("", dtype.pyarrow_dtype)))
    array, note = storable(name, _chunked(name, column), dtype)
    return array, note or _dtype_note(dtype, array)


def check_depth(name: str, kind: pa.DataType) -> None:
    """Raise where a type is nested too deep for a note of it to be read back; before it is printed or converted.

    Raises:
        UnsupportedFrame: it is.
    """
    try:
        for _ in parts_of(kind):
            pass
    except Unreadable as error:
        raise unsupported(name, "a nested Arrow type", str(error), "Store it as JSON text") from error


def _dtype_note(dtype: Any, stored: pa.ChunkedArray) -> Note:
    """Note the dtype if the stored column alone would come back in another one."""
    import pandas as pd

    if isinstance(dtype, pd.StringDtype):
        return Note(dtype=f"string[{dtype.storage}]") if dtype.na_value is pd.NA else Note()
    return Note() if str(dtype) == default_dtype(stored.type) else Note(dtype=str(dtype))


def _default_text_dtype() -> Any:
    return pa.array(["x"]).to_pandas().dtype  # object in pandas 2, str from pandas 3 on


def default_dtype(kind: pa.DataType) -> str:
    """Return the dtype in which a column without NULLs and without a note comes back."""
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_timestamp(kind):
        return "datetime64[us]"
    return {pa.float64(): "float64", pa.float32(): "float32"}.get(kind, str(kind))


def _chunked(name: str, column: pd.Series[Any]) -> pa.ChunkedArray:
    try:
        array = pa.Array.from_pandas(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError) as error:
        large = _large_integers(column)
        if large is not None:
            return large
        found, advice = _reason(column) or (str(error).rstrip("."), "Give the column one type, as .astype(...) does")
        raise unsupported(name, column.dtype, found, advice) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _large_integers(column: pd.Series[Any]) -> pa.ChunkedArray | None:
    """Return integers of which one needs 64 bits without a sign; Arrow finds no type for them beside a missing one."""
    given = [None if _is_missing(value) else value for value in column]
    if all(value is None or (type(value) is int and 0 <= value < 2**64) for value in given):
        return pa.chunked_array([pa.array(given, pa.uint64())])
    return None


def _reason(column: pd.Series[Any]) -> tuple[str, str] | None:
    """Say what Arrow cannot take in a column and what to do, or None where only Arrow knows."""
    for row, value in enumerate(column):
        found = _problem_of_value(row, value)
        if found is not None:
            return found
    return _spread(column)


def _problem_of_value(row: int, value: Any) -> tuple[str, str] | None:
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        return f"the text in row {row} has half a surrogate pair, which is no valid text", "Remove it"
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"row {row} is {value}, which is over 64 bits", "Store it as Decimal or as text"
    if isinstance(value, decimal.Decimal) and value.is_infinite():
        return f"row {row} is {value}, and SQL has no infinity", "Replace it, for example with None"
    offset = value.utcoffset() if isinstance(value, datetime.datetime) and not _is_missing(value) else None
    if offset is not None and offset % datetime.timedelta(minutes=1):
        return f"row {row} has the offset {offset}, and offsets are whole minutes", "Convert it to UTC"
    return None


def _spread(column: pd.Series[Any]) -> tuple[str, str] | None:
    integers = [(row, value) for row, value in enumerate(column) if isinstance(value, int)]
    large = next((each for each in integers if each[1] >= 2**63), None)
    negative = next((each for each in integers if each[1] < 0), None)
    if large is None or negative is None:
        return None
    return (
        f"row {large[0]} is {large[1]} and row {negative[0]} is {negative[1]}, and no type of 64 bits holds both",
        "Store it as Decimal or as text",
    )


def _moments(name: str, column: pa.ChunkedArray, dtype: Any) -> tuple[pa.ChunkedArray, Note]:
    kind = column.type
    naive = column if kind.tz is None else pc.local_timestamp(column.cast(pa.timestamp(kind.unit, "UTC")))
    note = Note(dtype=_zoned(name, kind, dtype)) if kind.tz is not None else Note()
    return _assert_date_range(name, _in_microseconds(name, naive)), note


def storable(name: str, column: pa.ChunkedArray, dtype: Any) -> tuple[pa.ChunkedArray, Note]:
    """Return the column in an Arrow type that an SQL type holds exactly, and a note where pandas would not know it.

    ``dtype`` is pandas' name of the column's type, for the note and for messages.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        refuse_nested_levels(name, kind, dtype)
        return storable(name, column.cast(kind.value_type), dtype)
    if pa.types.is_floating(kind):
        return _finite(name, column.cast(pa.float64())), Note()
    if pa.types.is_timestamp(kind):
        return _moments(name, column, dtype)
    if pa.types.is_date(kind):
        return _assert_date_range(name, column.cast(pa.date32())), Note()
    if pa.types.is_time(kind):
        return _in_microseconds(name, column), Note()
    if pa.types.is_duration(kind):
        return column.cast(pa.int64()), Note(dtype=f"timedelta64[{kind.unit}]")
    if _is_text(kind):
        check_text(name, column)
        return _assert_no_nul(name, column.cast(pa.string())), Note()
    if kind in _INTEGERS or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column, Note()
    if pa.types.is_decimal(kind):
        return _decimals(name, column, dtype), Note()
    if _is_bytes(kind):
        return column.cast(pa.binary()), Note()
    if pa.types.is_nested(kind):
        return _nested(name, column, dtype), Note(json=True)
    raise unsupported(
        name, dtype, f"there is no exact SQL type for Arrow's {kind}", "Convert it to numbers, text or dates"
    )


def _nested(name: str, column: pa.ChunkedArray, dtype: Any) -> pa.ChunkedArray:
    """Return values of a nested Arrow type as JSON text, from which the very values come back in that type."""
    kind = column.type
    if any(pa.types.is_union(part) for part in (kind, *(part.type for part in parts_of(kind)))):
        raise unsupported(name, dtype, "a union has no exact SQL type", "Store each of its types in a column")
    try:
        values = column.to_pylist()
    except ValueError as error:  # text that is no UTF-8, or a structure with a name twice
        raise unsupported(name, dtype, str(error).rstrip("."), "Fix these values, or store them as bytes") from error
    stored = _as_json(name, values)
    try:
        back = as_arrow(stored, kind)
    except UNFIT as error:
        raise unsupported(
            name, dtype, f"its values would not come back ({str(error).rstrip('.')})", "Store them as JSON text"
        ) from error
    row = next((row for row, (old, new) in enumerate(zip(values, back.to_pylist(), strict=True)) if old != new), None)
    if row is not None:
        raise unsupported(name, dtype, f"row {row} would come back as something else", "Store it as JSON text")
    return stored


def _zoned(name: str, kind: pa.TimestampType, dtype: Any) -> str:
    """Return a dtype with a time zone as text from which pandas can make it, whatever the zone prints."""
    zone = getattr(dtype, "tz", None)
    if zone is None:
        return str(dtype)
    text = _zone_text(name, zone, kind.tz, dtype)
    return f"datetime64[{kind.unit}, {'UTC' if text[0] in '+-' else ''}{text}]"


def _zone_text(name: str, zone: datetime.tzinfo, spelled: str, dtype: Any) -> str:
    """Return the name or offset of a zone; names that programs gave to an offset (``IST``) may be those of another.

    ``spelled`` is the name that Arrow has for it.
    """
    known = getattr(zone, "key", None) or getattr(zone, "zone", None)  # of zoneinfo, of pytz
    if isinstance(known, str):
        return known
    offset = zone.utcoffset(None)
    if offset is not None:
        minutes = abs(offset) // datetime.timedelta(minutes=1)
        sign = "-" if offset < datetime.timedelta(0) else "+"
        return f"{sign}{minutes // 60:02}:{minutes % 60:02}" if offset else "UTC"
    if str(getattr(zone, "_filename", "")).endswith(spelled):  # of dateutil
        return spelled
    raise unsupported(name, dtype, f"its zone {zone} has no name to find it by", "Convert it to a zone of zoneinfo")


def _zone_of_first(name: str, column: pd.Series[Any], spelled: str) -> str:
    zone = next(value.tzinfo for value in column if not _is_missing(value))
    return _zone_text(name, zone, spelled, column.dtype)


def _encode_category(name: str, column: pd.Series[Any]) -> tuple[pa.ChunkedArray, Note]:
    categories = column.cat.categories
    levels = categories.tolist()
    if categories.dtype.kind not in "iufb" and not all(isinstance(level, str) for level in levels):
        raise unsupported(
            name, column.dtype, f"its levels are {categories.dtype}", "Levels can be text, numbers or booleans"
        )
    kind = None if categories.dtype.kind not in "iufb" else pa.from_numpy_dtype(categories.to_numpy().dtype)
    try:
        array = pa.chunked_array([pa.array(column.astype(object).tolist(), kind or pa.string(), from_pandas=True)])
        _to_json(levels).encode()  # those that no row has are noted, too
    except ValueError as error:
        raise unsupported(name, column.dtype, str(error), "Fix the text") from error
    stored, _ = storable(name, array, column.dtype)
    of = None if categories.dtype == _default_text_dtype() else _level_dtype(name, categories.dtype)
    return stored, Note(levels=tuple(levels), ordered=bool(column.cat.ordered), of=of)


def _level_dtype(name: str, dtype: Any) -> str:
    """Return a dtype of levels as text that means this very one: pandas prints several alike."""
    import pandas as pd

    if dtype == pd.ArrowDtype(pa.string()):
        return ARROW_TEXT
    for text in (str(dtype), f"string[{getattr(dtype, 'storage', '')}]"):
        try:
            if pd.api.types.pandas_dtype(text) == dtype:
                return text
        except (TypeError, ValueError, ImportError):
            continue
    raise unsupported(name, dtype, "its levels are of a dtype without a name", "Make them text, with .astype(str)")


def _encode_objects(name: str, column: pd.Series[Any]) -> tuple[pa.ChunkedArray, Note]:
    import pandas as pd

    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "mixed" and (found := _encode_nested_or_uuids(name, column)) is not None:
        return found
    if kind == "mixed-integer-float" and _all_are(column, (float,)):
        kind = "floating"  # pandas 2 says the other of floats with None among them
    if kind in ("mixed", "mixed-integer", "mixed-integer-float", "complex", "interval", "period", "unknown-array"):
        raise _mixed(name, column)
    if kind in _MOMENTS:
        _check_moments(name, column)
    array = _chunked(name, column)
    if pa.types.is_nested(array.type):
        raise _mixed(name, column)
    stored, _ = storable(name, array, column.dtype)
    if kind in ("date", "time", "decimal", "bytes"):
        return stored, Note()  # they come back as these objects anyway
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return stored, Note(dtype="object", zone=_zone_of_first(name, column, array.type.tz))
    if pa.types.is_duration(array.type):
        return stored, Note(dtype="object", unit=array.type.unit)
    return stored, Note(dtype="object")


def _encode_nested_or_uuids(name: str, column: pd.Series[Any]) -> tuple[pa.ChunkedArray, Note] | None:
    """Return lists, arrays and dictionaries as JSON, UUIDs as text, and None for a column of anything else."""
    import numpy as np

    if _all_are(column, (uuid.UUID,)):
        texts = [None if _is_missing(value) else str(value) for value in column]
        return pa.chunked_array([pa.array(texts, pa.string())]), Note(uuid=True)
    if _all_are(column, (list, dict, np.ndarray)):
        values = [_without_arrays(value) if isinstance(value, (list, dict, np.ndarray)) else None for value in column]
        return _as_json(name, values), Note(json=True)
    return None


def _without_arrays(value: Any) -> Any:
    """Return the list that an array is, as `read_parquet` gives it, with lists for the arrays in it."""
    if hasattr(value, "dtype") and value.ndim and value.dtype.kind in "biufUO":
        return [_without_arrays(each) for each in value] if value.dtype.kind == "O" else value.tolist()
    if type(value) is list and any(hasattr(each, "dtype") for each in value):
        return [_without_arrays(each) for each in value]
    if type(value) is dict and any(hasattr(each, "dtype") for each in value.values()):
        return {key: _without_arrays(each) for key, each in value.items()}
    return value


_MOMENTS = ("date", "datetime", "datetime64", "time", "timedelta", "timedelta64")


def _check_moments(name: str, column: pd.Series[Any]) -> None:
    """Raise where Arrow would drop a part of a value without a word: its time of day, its zone, its nanoseconds."""
    values = [value for value in column if not _is_missing(value)]
    if len({isinstance(value, datetime.datetime) for value in values}) > 1:
        raise _mixed(name, column)
    zoned = {getattr(value, "tzinfo", None) is not None for value in values}
    if len(zoned) > 1:
        raise unsupported(name, column.dtype, "some of its times have a zone and others have none", "Give all the same")
    if True in zoned and isinstance(values[0], datetime.time):
        raise unsupported(name, column.dtype, "its times of day have a zone, and SQL has none there", "Remove it")
    for value in values:
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
            raise unsupported(name, column.dtype, f"{value} ends in nanoseconds", "Round it to microseconds")


def _all_are(column: Iterable[Any], kinds: tuple[type, ...]) -> bool:
    found = False
    for value in column:
        if isinstance(value, kinds):
            found = True
        elif not _is_missing(value):
            return False
    return found


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _mixed(name: str, column: pd.Series[Any]) -> UnsupportedFrame:
    kinds = sorted({type(value).__name__ for value in column if not _is_missing(value)})
    return unsupported(
        name,
        column.dtype,
        f"its values are of the types {', '.join(kinds)}",
        "Give the column one type, as .astype(...) does",
    )


def refuse_nested_levels(name: str, kind: pa.DictionaryType, dtype: Any) -> None:
    """Raise where the levels of a dictionary are lists or structures, which Arrow makes no dictionary of again.

    Raises:
        UnsupportedFrame: they are.
    """
    if pa.types.is_nested(kind.value_type):
        raise unsupported(name, dtype, f"its levels are {kind.value_type}", "Store the values, without a dictionary")


def unsupported(name: str, dtype: Any, found: str, advice: str) -> UnsupportedFrame:
    """Return the error for a column of a type that cannot be stored."""
    return UnsupportedFrame(f"Cannot store column {name!r} of dtype {dtype}: {found}. {advice}.", columns=[name])


def _finite(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    row = first_true_index(pc.is_inf(column))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: row {row} is {column[row].as_py()}, and SQL has no infinity. Replace it, "
            "for example with None.",
            columns=[name],
        )
    missing = pc.is_nan(column)
    return pc.if_else(missing, pa.scalar(None, pa.float64()), column) if pc.any(missing).as_py() else column


def _in_microseconds(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    wanted = pa.timestamp("us") if pa.types.is_timestamp(column.type) else pa.time64("us")
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid as error:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: {str(error).rstrip('.')}, and SQL times end at microseconds. Round it with "
            '.dt.floor("us"), or store it as an integer.',
            columns=[name],
        ) from error


def _assert_date_range(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    ends = [pc.year(end).as_py() for end in pc.min_max(column).values()]
    if all(year is None or _OLDEST_YEAR <= year <= _NEWEST_YEAR for year in ends):
        return column
    years = pc.year(column)
    row = first_true_index(pc.or_(pc.less(years, _OLDEST_YEAR), pc.greater(years, _NEWEST_YEAR)))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: row {row} is in the year {years[row].as_py()}, and SQL dates go from 1000 "
            "to 9999.",
            columns=[name],
        )
    return column


def check_text(name: str, column: pa.ChunkedArray) -> None:
    """Raise unless all texts of a column are valid; Arrow takes any bytes for text unless it is asked.

    Raises:
        UnsupportedFrame: one is not.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        texts = column.cast(pa.large_binary()).to_pylist()
        row = next((row for row, text in enumerate(texts) if text is not None and not _is_utf8(text)), 0)
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: the text in row {row} is {texts[row][:40]!r}, which is no UTF-8. Read it "
            "in the encoding that it has, for example latin-1, or store bytes.",
            columns=[name],
        ) from error


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _assert_no_nul(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    row = first_true_index(pc.match_substring(column, "\0")) if any(map(_holds_nul, column.chunks)) else None
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: the text in row {row} has a NUL character. Remove it, or store bytes.",
            columns=[name],
        )
    return column


def _holds_nul(texts: pa.StringArray) -> bool:
    """Whether the bytes of the texts have a zero among them, maybe in the place of a missing one.

    They are looked at as one stretch of memory, which takes a thirtieth of looking into each text.
    """
    import numpy as np

    _, ends, data = texts.buffers()
    if not len(texts) or data is None:
        return False
    at = np.frombuffer(ends, np.int32, texts.offset + len(texts) + 1)  # a buffer may end in other bytes
    held = np.frombuffer(data, np.uint8)[at[texts.offset] : at[-1]]
    return bool(held.size) and not held.min()


def _decimals(name: str, column: pa.ChunkedArray, dtype: Any) -> pa.ChunkedArray:
    """Return decimals in the widest type of their scale, so that the column's type does not hang on today's values."""
    kind = column.type
    if kind.scale < 0:
        kind = pa.decimal256(min(76, kind.precision - kind.scale), 0)
    if kind.scale > 30 or kind.precision > 65 or kind.precision - kind.scale > 65:
        raise unsupported(name, dtype, f"it needs {kind}", "SQL decimals have 65 digits, 30 of them behind the point")
    if str(dtype) == "object":
        kind = pa.decimal256(65, kind.scale)
    return column.cast(wide_decimal(kind))


def wide_decimal(kind: pa.DataType) -> pa.DataType:
    """Return a decimal type with 128 bits or more in the place of Arrow's smaller ones."""
    return pa.decimal128(kind.precision, kind.scale) if kind.bit_width < 128 else kind


def _as_json(name: str, values: Sequence[Any]) -> pa.ChunkedArray:
    """Return lists and dictionaries as JSON text from which exactly the same values come back."""
    texts: list[str | None] = []
    for row, value in enumerate(values):
        if value is None:
            texts.append(None)
            continue
        try:
            text = _to_json(value)
            text.encode()
            same = not is_deep(text, MAX_CELL) and json.loads(text) == value
        except RecursionError:
            text, same = "", False
        except (TypeError, ValueError) as error:
            raise _no_json(name, row, str(value), str(error)) from error
        if not text or is_deep(text, MAX_CELL):
            raise _no_json(name, row, f"a {type(value).__name__}", f"it is nested over {MAX_CELL} deep")
        if not same:
            raise _no_json(name, row, str(value), "it would come back as something else")
        texts.append(text)
    return _assert_no_nul(name, pa.chunked_array([pa.array(texts, pa.string())]))


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _from_json(text: str | None) -> Any:
    """Return the list or dictionary that a text is, or None for None.

    Raises:
        ValueError, RecursionError: it is none, or its values are not those that stand in the text.
    """
    if text is None:
        return None
    if is_deep(text, MAX_CELL):
        raise ValueError(f"it is nested over {MAX_CELL} deep")
    value = json.loads(text)
    if not isinstance(value, (list, dict)):
        raise ValueError("it is no list or dictionary")
    if _to_json(value) != text:  # written by others: with spaces, or with what Python would change
        value = json.loads(text, object_pairs_hook=_once_each, parse_float=_exact_float)
    return value


def json_value(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError, RecursionError: it is none, has a name twice, a number that no float is, or is nested too deep.
    """
    if is_deep(text, MAX_CELL):
        raise ValueError(f"it is nested over {MAX_CELL} deep")
    return json.loads(text, object_pairs_hook=_once_each, parse_float=_exact_float, parse_constant=_exact_float)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _exact_float(text: str) -> float:
    if decimal.Decimal(text) != decimal.Decimal(repr(float(text))):
        raise ValueError(f"{text} has more digits than a float")
    return float(text)


def _no_json(name: str, row: int, shown: str, found: str) -> UnsupportedFrame:
    return UnsupportedFrame(
        f"Cannot store column {name!r}: {shown[:60]!r} in row {row} has no exact JSON form ({found}). Use lists "
        "and dictionaries of text, finite numbers, booleans and None, with text as keys.",
        columns=[name],
    )


def first_true_index(mask: pa.ChunkedArray) -> int | None:
    """Return the position of the first true value, or None."""
    found: int = pc.index(mask, True).as_py()
    return found if found >= 0 else None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _has_length(kind: pa.DataType) -> bool:
    """Whether values of this type are stored as text or bytes; a column without any value is stored as text."""
    return bool(_is_text(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


# -------------------------------------------------------------------------------------------- Arrow to SQL types

_INTEGERS = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "tinyint unsigned",
    pa.uint16(): "smallint unsigned",
    pa.uint32(): "int unsigned",
    pa.uint64(): "bigint unsigned",
}


def sql_types(arrow: pa.Table, key: Sequence[str]) -> dict[str, str]:
    """Return the SQL type for each column of a new table; it hangs on values only where they are very long.

    Raises:
        UnsupportedFrame: a key column is too long for a key.
    """
    texts = sum(_has_length(column.type) for column in arrow.columns)
    width = min(_MAX_VARCHAR, _VARCHAR_BUDGET // max(texts, 1))
    return {name: _sql_type(name, arrow.column(name), width, name in key) for name in arrow.column_names}


def _sql_type(name: str, column: pa.ChunkedArray, width: int, key: bool) -> str:
    kind = column.type
    if kind in _INTEGERS:
        return _INTEGERS[kind]
    if pa.types.is_boolean(kind):
        return "tinyint(1)"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if not _has_length(kind):
        return {
            pa.float64(): "double",
            pa.timestamp("us"): "datetime(6)",
            pa.date32(): "date",
            pa.time64("us"): "time(6)",
        }[kind]
    if pa.types.is_null(kind):
        return f"varchar({width})"
    longest = _longest(column, width)
    if longest <= width:
        return f"varchar({width})" if _is_text(kind) else f"varbinary({width})"
    if key:
        raise UnsupportedFrame(
            f"Cannot use column {name!r} in the primary key: it has a value of {longest} characters, and {width} fit "
            "into this table's key. Use another key.",
            columns=[name],
        )
    return "longtext" if _is_text(kind) else "longblob"


def _longest(column: pa.ChunkedArray, width: int) -> int:
    """Return the greatest length of a value, which is asked of text only where its bytes are more than ``width``."""
    most = int(pc.max(pc.binary_length(column)).as_py() or 0)
    return most if most <= width or not _is_text(column.type) else int(pc.max(pc.utf8_length(column)).as_py())


# ------------------------------------------------------------------------------------------------ Arrow to frame


LetGo: TypeAlias = Callable[["pa.Array | pa.ChunkedArray"], None]
"""Says of values that they need not be kept in memory for who reads them again, if at all."""


def decode(table: pa.Table, notes: Notes, *, let_go: LetGo | None = None) -> pd.DataFrame:
    """Return Arrow columns as a frame, with all that was noted about them restored.

    A note that does not fit the column (any more) is passed over, and said in the log: the table was changed by others,
    or its comment was. ``let_go`` is called with what of a large table has a copy in the frame.
    """
    if notes.order and set(notes.order) == set(table.column_names):
        table = table.select(list(notes.order))
    noted = {name: _for_pandas(note) for name, note in notes.columns.items()}
    frame = _converted(_plain(table, noted), let_go)
    unfit = []
    for position, name in enumerate(table.column_names):
        column = table.column(position)
        restored, fits = _as_it_was(column, noted.get(name))
        if not fits:
            unfit.append(name)
        if restored is not None:
            frame.isetitem(position, restored)
            if let_go is not None:
                let_go(column)
    notes.without(unfit)
    return _with_axes(frame, notes)


def _as_it_was(column: pa.ChunkedArray, note: Note | None) -> tuple[Any, bool]:
    """Return a column as it was noted, None where it is right already, and whether the note fits."""
    restored, nullable = _noted(column, note) if note else None, _nullable(column)
    if restored is not None:
        return restored, True
    fits = not note  # a note may say nothing to pandas
    if nullable is not None:
        return _as_dtype(column, nullable), fits
    return (None, True) if fits else (column.to_pandas().copy(), False)


def _converted(table: pa.Table, let_go: LetGo | None) -> pd.DataFrame:
    """Return plain columns as a frame: all at once, or, of a large table whose memory can be let go, piece by piece."""
    # Not column by column where they are small: that would be read-only views of Arrow's memory.
    at_once: pd.DataFrame
    if let_go is None or table.nbytes < _MANY_BYTES:
        at_once = table.to_pandas(date_as_object=True, use_threads=table.num_rows > _FEW_ROWS)
        return at_once
    import numpy as np
    import pandas as pd

    empty = table.schema.empty_table().to_pandas(date_as_object=True)
    parts: dict[int, Any] = {}
    for position, (column, dtype) in enumerate(zip(table.columns, empty.dtypes, strict=True)):
        if isinstance(dtype, np.dtype) and dtype.kind != "O":
            parts[position] = _copied(column, dtype, let_go)
        else:
            parts[position] = table.select([position]).to_pandas(date_as_object=True).iloc[:, 0]
            let_go(column)
    for column in table.columns:  # with each piece the kernel may have taken some of its neighbours into memory
        let_go(column)
    frame: pd.DataFrame = pd.DataFrame(parts, copy=False)
    frame.columns = empty.columns
    return frame


def _copied(column: pa.ChunkedArray, dtype: Any, let_go: LetGo) -> Any:
    """Return a column of numbers, moments or booleans as an array of NumPy's; at a time one piece is in memory."""
    import numpy as np

    values, at = np.empty(len(column), dtype), 0
    for piece in column.chunks:
        values[at : at + len(piece)] = piece.to_numpy(zero_copy_only=False)
        at += len(piece)
        let_go(piece)
    return values


def _with_axes(frame: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    """Return the frame with its index, and with the name of its columns."""
    if notes.index and set(notes.index) <= set(frame.columns):
        frame = frame.set_index(list(notes.index))
        frame.index = _with_frequency(frame.index, notes.freq)
        frame = frame.rename_axis(None) if notes.index == (UNNAMED_INDEX,) else frame
    return frame.rename_axis(columns=notes.name) if notes.name else frame


def _with_frequency(index: pd.Index[Any], freq: str) -> pd.Index[Any]:
    """Return the index with its frequency, or as it is where rows were added or left out that do not keep to it."""
    import pandas as pd

    if not freq or not isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        return index
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an older pandas spelt some frequencies in another way
            found: pd.Index[Any] = type(index)(index, freq=freq)
    except (TypeError, ValueError):
        return index
    return found


def holding(table: pa.Table, notes: Notes) -> Notes:
    """Return the notes without those that `decode` would pass over for these columns."""
    columns = zip(table.column_names, table.columns, strict=True)
    found = [(name, column, _for_pandas(notes.columns.get(name, Note()))) for name, column in columns]
    return notes.without([name for name, column, note in found if note and _noted(column, note) is None])


def holds(column: pa.ChunkedArray, note: Note) -> bool:
    """Whether `decode` gives a column as it is noted."""
    note = _for_pandas(note)
    return not note or _noted(column, note) is not None


def _for_pandas(note: Note) -> Note:
    return replace(note, type=None)


def _plain(table: pa.Table, noted: Mapping[str, Note]) -> pa.Table:
    """Return the table with those columns made trivial that `decode` replaces anyway, to convert them only once."""
    empty = pa.chunked_array([pa.nulls(table.num_rows, pa.int8()).fill_null(0)])
    columns = [
        empty if noted.get(name) or _nullable(column) is not None else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _nullable(column: pa.ChunkedArray) -> Any:
    """Return the dtype that has a missing value where that of NumPy has none and one is needed, else None."""
    return _nullable_dtype(column.type) if column.null_count else None


def _nullable_dtype(kind: pa.DataType) -> Any:
    import pandas as pd

    if pa.types.is_boolean(kind):
        return pd.BooleanDtype()
    if not pa.types.is_integer(kind):
        return None
    return getattr(pd, f"{'U' if pa.types.is_unsigned_integer(kind) else ''}Int{kind.bit_width}Dtype")()


def _noted(column: pa.ChunkedArray, note: Note) -> Any:
    """Return the column as it is noted, or None where its values are others."""
    try:
        return _restored(column, note) if note.speaks_of(column.type) else None
    except UNFIT:
        return None


def _restored(column: pa.ChunkedArray, note: Note) -> Any:
    import pandas as pd

    if note.arrow is not None:
        kind = field_from_text(note.arrow).type
        return pd.array(as_arrow(column, kind), dtype=pd.ArrowDtype(kind))
    if note.levels is not None:
        return _as_category(column, note)
    if note.json:
        return pd.Series([_from_json(text) for text in column.to_pylist()], dtype=object)
    if note.uuid:
        return _as_uuids(column)
    dtype = str(note.dtype)
    if dtype == "object":
        return _as_objects(column, note)
    if dtype.startswith("timedelta64["):
        return _with_nulls_of(column, _as_duration(column, dtype[12:-1]).to_pandas().astype(dtype))
    if dtype.startswith("datetime64["):
        return _with_nulls_of(column, _as_datetimes(column, dtype))
    return _as_dtype(column, pd.api.types.pandas_dtype(dtype))


def _with_nulls_of(column: pa.ChunkedArray, restored: pd.Series[Any]) -> pd.Series[Any]:
    if int(restored.isna().sum()) != column.null_count:
        raise ValueError("the lowest of all numbers stands for no value in pandas")
    return restored


def _as_dtype(column: pa.ChunkedArray, dtype: Any) -> Any:
    """Return the column in a pandas dtype; a value that this would change is an error."""
    import pandas as pd

    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        wanted = getattr(dtype, "numpy_dtype", None)
        storable = column if wanted is None or wanted == "object" else _exact(column, pa.from_numpy_dtype(wanted))
        return dtype.__from_arrow__(storable)  # type: ignore[attr-defined]  # each dtype we note has it
    if column.null_count and dtype.kind in "iub":
        return _as_dtype(column, _nullable_dtype(pa.from_numpy_dtype(dtype)))
    return _exact(column, pa.from_numpy_dtype(dtype)).to_pandas().astype(dtype)


def _exact(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the column in another type of its family; a value that this would change is an error."""
    if column.type == kind:
        return column
    found = column.cast(kind, safe=not pa.types.is_floating(kind))
    if pa.types.is_integer(kind) and column.type == pa.float64() and pc.any(negative_zeros(column)).as_py():
        raise ValueError("there is a -0.0, and no integer is")
    if not found.cast(column.type).equals(column):
        raise ValueError("there are values that this type does not hold")
    return found


def negative_zeros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which values of a column of doubles are -0.0, which is equal to 0.0."""
    return pc.and_(pc.equal(column, 0.0), pc.less(pc.divide(1.0, column), 0.0))


def _as_duration(column: pa.ChunkedArray, unit: str) -> pa.ChunkedArray:
    # The table's column may be a narrower integer, which Arrow makes no duration of.
    return _exact(column, pa.int64()).cast(pa.duration(unit))


def as_arrow(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a stored column in the Arrow type that it was given in.

    Raises:
        ValueError, one of the others in `notes.UNFIT`: it has values that are not of that type, or would change in it.
    """
    if column.null_count == len(column) and (pa.types.is_null(kind) or pa.types.is_null(column.type)):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    _check_size(column, kind)
    if pa.types.is_nested(kind):
        return _as_nested(column, kind)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pc.assume_timezone(_exact(column, pa.timestamp(kind.unit)), "UTC").cast(kind)
    if pa.types.is_dictionary(kind):
        return as_arrow(column, kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_duration(kind):
        return _as_duration(column, kind.unit)
    return _exact(column, kind)


def _as_nested(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    values = nested_values(column)
    has_maps = any(pa.types.is_map(part) for part in (kind, *(field.type for field in parts_of(kind))))
    if has_maps and any(_has_map_entries(kind, value) for value in values):
        raise ValueError("JSON has no form for the entries of a map")
    found = pa.array(values, kind)
    back = found.to_pylist()
    # Arrow takes true for 1.0 among floats and -0.0 for the integer 0, and so does Python's ==.
    is_doubtful = pc.any(pc.match_substring_regex(column, "true|false|-0")).as_py()
    if back != values or (is_doubtful and _differ(back, values)) or nested_types.lacks_values(found):
        raise ValueError("there are values that this type does not hold")
    return pa.chunked_array([found])


def nested_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the lists and dictionaries that a column of texts is.

    Raises:
        ValueError, RecursionError: a text is none.
    """
    return [_from_json(text) for text in column.to_pylist()]


def respelt(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return lists and dictionaries as the texts that the same values have in another type.

    Raises:
        ValueError, one of the others in `notes.UNFIT`: there are values that the type does not hold.
    """
    texts = [None if value is None else _to_json(value) for value in as_arrow(column, kind).to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _has_map_entries(kind: pa.DataType, value: Any) -> bool:
    """Whether a value has something in the place of a map's entries; where that is None, Arrow ends the process."""
    if not value or not pa.types.is_nested(kind):
        return False
    if pa.types.is_map(kind):
        return True
    if pa.types.is_struct(kind):
        fields = [kind.field(position) for position in range(kind.num_fields)]
        return isinstance(value, dict) and any(_has_map_entries(each.type, value.get(each.name)) for each in fields)
    inner = kind.value_type
    return isinstance(value, list) and any(_has_map_entries(inner, each) for each in value)


def _differ(back: Any, values: Any) -> bool:
    """Whether equal values have a boolean in one place and a number in the other, or zeros of another sign."""
    if isinstance(values, list):
        return any(map(_differ, back, values))
    if isinstance(values, dict):
        return any(_differ(back[name], value) for name, value in values.items())
    if isinstance(back, bool) is not isinstance(values, bool):
        return True
    return values == 0 and math.copysign(1, back) != math.copysign(1, values)


_MAX_SLOTS = 2**26


def _check_size(column: pa.ChunkedArray, kind: pa.DataType) -> None:
    """Raise where missing values would take up far more memory than there is data: a type may say any fixed size."""
    slots = _slots(kind)
    if slots == 1:
        return
    missing = column.null_count
    if pa.types.is_nested(kind):
        missing += pc.sum(pc.count_substring(column, "null")).as_py() or 0
    if missing * slots > max(_MAX_SLOTS, 64 * column.nbytes):
        raise ValueError("a missing value of this type is too large")


def _slots(kind: pa.DataType) -> int:
    """Return how many values a missing value of a type takes up."""
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    if pa.types.is_dictionary(kind):
        return _slots(kind.value_type)
    inner = max((_slots(kind.field(position).type) for position in range(kind.num_fields)), default=1)
    return int(kind.list_size) * inner if pa.types.is_fixed_size_list(kind) else inner


def _as_category(column: pa.ChunkedArray, note: Note) -> Any:
    import numpy as np
    import pandas as pd

    given, of = list(note.levels or ()), note.of or _default_text_dtype()
    is_text = str(of).startswith(("obj", "str"))
    of = pd.ArrowDtype(pa.string()) if of == ARROW_TEXT else of
    with np.errstate(all="ignore"):
        levels = pd.Index(given, dtype=of)
    if is_text and not all(isinstance(level, str) for level in given):
        raise ValueError("the levels are no texts")
    if [(type(level), level) for level in levels.tolist()] != [(type(level), level) for level in given]:
        raise ValueError("the levels are not of that type")
    if _has_length(column.type):
        positions = pc.index_in(column.cast(pa.string()), value_set=pa.array(given, pa.string()))
        if positions.null_count != column.null_count:
            raise ValueError("a value is no level: somebody else added it")
        codes = positions.fill_null(-1).to_numpy()
        return pd.Categorical.from_codes(codes, categories=levels, ordered=note.ordered)
    values = pd.Series(column.to_pylist(), dtype=object)
    known = set(given)
    if any(value not in known for value in values if value is not None):
        raise ValueError("a value is no level: somebody else added it")
    return pd.Categorical(values, categories=levels, ordered=note.ordered)


def _as_uuids(column: pa.ChunkedArray) -> Any:
    import pandas as pd

    texts = column.to_pylist()
    values = [None if text is None else uuid.UUID(text) for text in texts]
    if [None if value is None else str(value) for value in values] != texts:
        raise ValueError("a UUID is spelt in another way")
    return pd.Series(values, dtype=object)


def _as_objects(column: pa.ChunkedArray, note: Note) -> Any:
    import pandas as pd

    if note.zone is not None:
        column = pc.assume_timezone(column, "UTC").cast(pa.timestamp("us", arrow_zone(note.zone)))
    if note.unit is not None:
        column = _as_duration(column, note.unit)
        column.cast(pa.duration("us"))  # an error where objects would end in nanoseconds, which are refused
    return pd.Series(column.to_pylist(), dtype=object)


def _as_datetimes(column: pa.ChunkedArray, dtype: str) -> Any:
    import pandas as pd

    wanted = pd.api.types.pandas_dtype(dtype)
    moments = _exact(column, pa.timestamp(dtype[11:].rstrip("]").partition(",")[0]))
    if isinstance(wanted, pd.DatetimeTZDtype):
        return moments.to_pandas().dt.tz_localize("UTC").dt.tz_convert(wanted.tz).astype(wanted)
    return moments.to_pandas().astype(wanted)
