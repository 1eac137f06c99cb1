"""Frames to Arrow columns with SQL types, and back. Pure: no connection, no Flyte, nothing is read from anywhere.

`encode` gives each column of a frame in an Arrow type whose values an SQL type holds exactly, and notes what SQL types
cannot carry (the pandas dtype, category levels, time zone, index). `decode` turns Arrow columns and those notes into an
equal frame; without notes, columns come back as their SQL types say. What has no exact SQL value is refused.

The rules: NaN, NaT, NA and None are all NULL, and NULL comes back as the missing value of the column's dtype; infinity
has no SQL value; an index of plain row numbers (0, 1, 2, ...) is not stored, a named one is stored as columns and
restored, any other is refused.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from .errors import UnsupportedFrame

if TYPE_CHECKING:
    import pandas as pd

ROW_COLUMN = "_flyte_row"
"""Name of the column that keeps the frame's own row order, where that is asked for."""

NOTES_MARK = "flytekitplugins.dolt "
"""What our part of a table's comment starts with; the rest of it is JSON."""

_MAX_NAME = 64  # bytes in UTF-8: where MySQL counts characters, Dolt 1.83 does not
_MAX_VARCHAR = 4096
_VARCHAR_BUDGET = 16_000  # characters in all text columns of a row together: MySQL allows 65,535 bytes, 4 a character
_MAX_NOTES = 60_000  # bytes; Dolt was seen to keep a table comment of that size
_OLDEST_YEAR, _NEWEST_YEAR = 1000, 9999  # what DATE and DATETIME hold


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return ``text`` as an SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True)
class SqlType:
    """An SQL type taken apart: ``decimal(10,2)``, ``bigint unsigned``, ``varchar(20)``."""

    base: str
    size: int | None = None
    scale: int | None = None
    unsigned: bool = False

    @classmethod
    def parse(cls, text: str) -> SqlType:
        """Return the type that ``text`` names; what follows the type itself (a collation) is left out."""
        match = re.match(r"(\w+)(?:\s*\((\d+)(?:\s*,\s*(\d+))?\))?", text.strip().lower())
        if match is None:
            return cls(text)
        base, size, scale = match.groups()
        return cls(base, int(size) if size else None, int(scale) if scale else None, " unsigned" in text.lower())


@dataclass(frozen=True)
class Notes:
    """What SQL types cannot carry, kept in the table's comment, so that it is versioned, merged and cloned with it."""

    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per column what differs from the rule: ``dtype``, ``arrow`` (a type), ``levels`` and ``ordered``, or ``json``;
    ``type`` is the Arrow type of a column that came from Arrow or Polars, which pandas passes over."""
    index: tuple[str, ...] = ()
    """Columns that are the frame's index."""
    order: tuple[str, ...] = ()
    """The frame's order of columns, where it is not the table's."""
    rows: bool = False
    """Whether `ROW_COLUMN` keeps the order of rows."""

    def to_comment(self, own: str = "") -> str:
        """Return a table comment: the user's ``own`` text, and behind it what there is to note."""
        given = {k: v for k, v in vars(self).items() if v}
        text = (
            NOTES_MARK + json.dumps(given, separators=(",", ":"), ensure_ascii=False, sort_keys=True) if given else ""
        )
        return "\n".join(part for part in (own, text) if part)

    @classmethod
    def from_comment(cls, comment: str) -> tuple[Notes, str]:
        """Return what a table comment notes, and the user's own text in front of it."""
        own, _, last = comment.rpartition("\n")  # the notes are one line; names and levels in them may hold the mark
        if not last.startswith(NOTES_MARK):
            return cls(), comment
        try:
            given = json.loads(last.removeprefix(NOTES_MARK))
        except ValueError:
            return cls(), comment
        if not isinstance(given, dict):
            return cls(), comment
        columns = given.get("columns", {})
        return (
            cls(columns, tuple(given.get("index", ())), tuple(given.get("order", ())), bool(given.get("rows"))),
            own,
        )


@dataclass(frozen=True)
class Encoded:
    """A frame as Arrow columns in storable types, and what has to be noted about it."""

    arrow: pa.Table
    notes: Notes


def stored_as(encoded: Encoded, arrow: pa.Table) -> Notes:
    """Return the notes of a frame whose columns are stored in other types than a new table would give them."""
    columns = {name: dict(note) for name, note in encoded.notes.columns.items()}
    for name in arrow.column_names:
        given, stored = encoded.arrow.column(name).type, arrow.column(name).type
        if given != stored and name not in columns and not pa.types.is_decimal(given):
            columns[name] = {"dtype": default_dtype(given)}
    return Notes(columns, encoded.notes.index, encoded.notes.order, encoded.notes.rows)


def merged(before: Notes, added: Notes, held: Sequence[str]) -> Notes:
    """Return the notes of a table to which rows with the notes ``added`` are added; it has values in ``held`` already.

    The table's own notes hold; columns that are new bring theirs, and categories grow by the levels that they lack.
    """
    columns = {name: dict(note) for name, note in before.columns.items() if name in held}
    for name, note in added.columns.items():
        if name not in held:
            columns[name] = dict(note)
        elif "levels" in note and "levels" in columns.get(name, {}):
            levels = columns[name]["levels"]
            columns[name]["levels"] = levels + [level for level in note["levels"] if level not in levels]
    return Notes(columns, before.index, before.order, before.rows)


def meant_type(note: Mapping[str, Any]) -> pa.DataType | None:
    """Return the Arrow type that a note of pandas' speaks of, or None where the stored column says it all."""
    dtype = str(note.get("dtype", ""))
    if "zone" in note:
        return pa.timestamp("us", note["zone"])
    if "unit" in note:
        return pa.duration(note["unit"])
    family, _, inside = dtype.rstrip("]").partition("[")
    if family == "timedelta64":
        return pa.duration(inside)
    if family == "datetime64":
        unit, _, zone = inside.partition(", ")
        return pa.timestamp(unit, zone or None)
    return pa.type_for_alias(dtype.lower()) if dtype.lower().startswith(("int", "uint", "float")) else None


Meaning = tuple[str, str]
"""What a stored number or text stands for that its SQL type does not say, and in which unit."""


def meaning(note: Mapping[str, Any]) -> Meaning | None:
    """Return what the values of a column mean beyond its SQL type, or None where that says it all."""
    told = note.get("type") or note.get("arrow")
    try:
        kind = field_from_text(told).type if told else meant_type(note)
    except ValueError:  # no note of ours; reading passes over it, too
        return None
    if kind is not None and pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind is not None and pa.types.is_nested(kind):
        return "lists or dictionaries", str(kind)
    if "json" in note:
        return "lists or dictionaries", ""
    if kind is not None and pa.types.is_duration(kind):
        return "durations", kind.unit
    if kind is not None and pa.types.is_timestamp(kind) and kind.tz is not None:
        return "times with a time zone", ""
    return None


# ------------------------------------------------------------------------------------------------ frame to Arrow


def encode(frame: pd.DataFrame, *, index: str = "refuse", keep_order: bool = False) -> Encoded:
    """Return ``frame`` in storable Arrow columns. Zero rows are data too: the columns are there.

    Args:
        frame: the frame; column names are non-empty strings of at most 64 bytes that differ in more than case.
        index: ``"refuse"`` an unnamed index that is not 0, 1, 2, ..., or ``"drop"`` it.
        keep_order: whether to add `ROW_COLUMN` with the position of each row.

    Raises:
        UnsupportedFrame: a name, dtype, value or index cannot be stored exactly.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UnsupportedFrame(
            f"Cannot store a {type(frame).__name__}: it is neither a pandas DataFrame nor a table of Arrow or Polars, "
            "nor anything else that gives Arrow's C stream. Make a frame of it first, as pd.DataFrame(...) does."
        )
    levels = _index_names(frame, index)
    if levels:
        frame = _with_index_as_columns(frame, levels)
    check_names(list(frame.columns))
    arrays, noted = {}, {}
    for position, name in enumerate(frame.columns):
        arrays[name], note = _encode_column(name, frame.iloc[:, position])
        if note:
            noted[name] = note
    return encoded(arrays, noted, index=levels, keep_order=keep_order)


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
    notes = Notes(columns=noted, index=tuple(index), rows=keep_order)
    if len(notes.to_comment().encode()) > _MAX_NOTES:
        raise UnsupportedFrame(
            f"Cannot store the frame: what has to be noted about its columns takes over {_MAX_NOTES} bytes, mostly "
            "the levels of categories. Store large categories as text, with .astype(str)."
        )
    return Encoded(pa.table(dict(arrays)), notes)


def _index_names(frame: pd.DataFrame, unnamed: str) -> list[str]:
    import pandas as pd

    names: list[Any] = list(frame.index.names)
    if all(isinstance(name, str) and name for name in names):
        return names
    if isinstance(frame.index, pd.MultiIndex) or names != [None]:
        raise UnsupportedFrame(
            f"Cannot store the frame: the names of its index are {names!r}, and each has to be a non-empty string. "
            "Name them with .rename_axis(...), or call .reset_index()."
        )
    if unnamed == "drop" or len(frame) == 0 or frame.index.equals(pd.RangeIndex(len(frame))):
        return []
    raise UnsupportedFrame(
        f"Cannot store the frame: its index has no name and is not 0, 1, 2, ... (it starts {list(frame.index[:3])!r}), "
        "so it may be data. Call .reset_index(drop=True) to leave it out, name it with .rename_axis(...) to keep it, "
        "or say io_args={'index': 'drop'} in the config."
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


def check_names(names: Sequence[Any]) -> None:
    """Raise unless each name can be that of a column beside the others.

    Raises:
        UnsupportedFrame: they cannot; the message lists all that is wrong.
    """
    if not names:
        raise UnsupportedFrame("Cannot store the frame: it has no columns. Give it one; rows are not needed.")
    problems = []
    for name in names:
        if not isinstance(name, str):
            problems.append(f"the name {name!r} is no string ({type(name).__name__})")
        elif (
            not name.strip()
            or len(name.encode(errors="replace")) > _MAX_NAME
            or name != name.rstrip()
            or re.search(r"[\0\ud800-\udfff]", name)
        ):
            problems.append(f"the name {name!r} is empty, over 64 bytes, ends with a space or is no valid text")
        elif "İ" in name:  # its small letter does not lead back to it, and Dolt 1.83 goes by small letters
            problems.append(f"the name {name!r} has the letter 'İ', and Dolt loses the values of such a column")
        elif name == ROW_COLUMN:
            problems.append(f"the name {name!r} is taken for the order of rows")
    texts = [name for name in names if isinstance(name, str)]
    folded: dict[str, str] = {}
    for name in texts:
        other = folded.setdefault(name.lower(), name)
        if texts.count(name) > 1:
            problems.append(f"the name {name!r} is there {texts.count(name)} times")
        elif other != name:
            problems.append(f"the names {other!r} and {name!r} differ only in case, which SQL does not tell apart")
    if problems:
        unique = list(dict.fromkeys(problems))
        raise UnsupportedFrame(f"Cannot store the frame: {'; '.join(unique)}. Rename the columns.", columns=unique)


Note = dict[str, Any]


def _encode_column(name: str, column: pd.Series[Any]) -> tuple[pa.ChunkedArray, Note]:
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, (pd.IntervalDtype, pd.PeriodDtype, pd.SparseDtype)) or dtype.kind == "c":
        raise unsupported(name, dtype, "there is no SQL type for it", "Convert it to numbers, text or dates")
    if isinstance(dtype, pd.CategoricalDtype):
        return _encode_category(name, column)
    if str(dtype) == "object":
        return _encode_objects(name, column)
    if isinstance(dtype, pd.ArrowDtype):
        array, _ = storable(name, _chunked(name, column), dtype)
        return array, {"arrow": field_to_text(pa.field("", dtype.pyarrow_dtype))}
    array, note = storable(name, _chunked(name, column), dtype)
    return array, note or _dtype_note(dtype, array)


def _dtype_note(dtype: Any, stored: pa.ChunkedArray) -> Note:
    """Note the dtype if the stored column alone would come back in another one."""
    import pandas as pd

    if isinstance(dtype, pd.StringDtype):
        return {"dtype": f"string[{dtype.storage}]"} if dtype.na_value is pd.NA else {}
    return {} if str(dtype) == default_dtype(stored.type) else {"dtype": str(dtype)}


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
        raise unsupported(
            name, column.dtype, str(error).rstrip("."), "Give the column one type, as .astype(...) does"
        ) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def storable(name: str, column: pa.ChunkedArray, dtype: Any) -> tuple[pa.ChunkedArray, Note]:
    """Return the column in an Arrow type that an SQL type holds exactly, and a note where pandas would not know it.

    ``dtype`` is pandas' name of the column's type, for the note and for messages.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return storable(name, column.cast(kind.value_type), dtype)
    if pa.types.is_floating(kind):
        return _finite(name, column.cast(pa.float64())), {}
    if pa.types.is_timestamp(kind):
        naive = column if kind.tz is None else pc.local_timestamp(column.cast(pa.timestamp(kind.unit, "UTC")))
        return _dated(name, _in_microseconds(name, naive)), {
            "dtype": _zoned(kind, dtype)
        } if kind.tz is not None else {}
    if pa.types.is_date(kind):
        return _dated(name, column.cast(pa.date32())), {}
    if pa.types.is_time(kind):
        return _in_microseconds(name, column), {}
    if pa.types.is_duration(kind):
        return column.cast(pa.int64()), {"dtype": f"timedelta64[{kind.unit}]"}
    if _is_text(kind):
        return _clean_text(name, column.cast(pa.string())), {}
    if pa.types.is_null(kind):
        return column, {}
    if kind in _INTEGERS or pa.types.is_boolean(kind):
        return column, {}
    if pa.types.is_decimal(kind):
        return _decimals(name, column, dtype), {}
    if _is_bytes(kind):
        return column.cast(pa.binary()), {}
    if pa.types.is_nested(kind):
        return _as_json(name, column.to_pylist()), {"json": True}
    raise unsupported(
        name, dtype, f"there is no exact SQL type for Arrow's {kind}", "Convert it to numbers, text or dates"
    )


def _zoned(kind: pa.TimestampType, dtype: Any) -> str:
    """Return a dtype with a time zone as text from which pandas can make it; those of dateutil print a file's path."""
    text = str(dtype)
    return (
        text
        if re.fullmatch(r"[\w/+:-]+", text.partition(", ")[2].rstrip("]"))
        else f"datetime64[{kind.unit}, {kind.tz}]"
    )


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
        json.dumps(levels, ensure_ascii=False).encode()  # those that no row has are noted, too
    except ValueError as error:
        raise unsupported(name, column.dtype, str(error), "Mend the text") from error
    stored, _ = storable(name, array, column.dtype)
    note: Note = {"levels": levels, "ordered": bool(column.cat.ordered)}
    if categories.dtype != _default_text_dtype():
        note["of"] = str(categories.dtype)
    return stored, note


def _encode_objects(name: str, column: pd.Series[Any]) -> tuple[pa.ChunkedArray, Note]:
    import pandas as pd

    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "mixed" and _all_are(column, (list, dict)):
        values = [value if isinstance(value, (list, dict)) else None for value in column]
        return _as_json(name, values), {"json": True}
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
        return stored, {}  # they come back as these objects anyway
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return stored, {"dtype": "object", "zone": array.type.tz}
    if pa.types.is_duration(array.type):
        return stored, {"dtype": "object", "unit": array.type.unit}
    return stored, {"dtype": "object"}


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


def unsupported(name: str, dtype: Any, found: str, advice: str) -> UnsupportedFrame:
    """Return the error for a column of a type that cannot be stored."""
    return UnsupportedFrame(f"Cannot store column {name!r} of dtype {dtype}: {found}. {advice}.", columns=[name])


def _finite(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    row = first(pc.is_inf(column))
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


def _dated(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    years = pc.year(column)
    row = first(pc.or_(pc.less(years, _OLDEST_YEAR), pc.greater(years, _NEWEST_YEAR)))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: row {row} is in the year {years[row].as_py()}, and SQL dates go from 1000 "
            "to 9999.",
            columns=[name],
        )
    return column


def _clean_text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    row = first(pc.match_substring(column, "\0"))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: the text in row {row} has a NUL character. Remove it, or store bytes.",
            columns=[name],
        )
    return column


def _decimals(name: str, column: pa.ChunkedArray, dtype: Any) -> pa.ChunkedArray:
    """Return decimals in the widest type of their scale, so that the column's type does not hang on today's values."""
    kind = column.type
    if kind.scale < 0:
        kind = pa.decimal256(min(76, kind.precision - kind.scale), 0)
    if kind.scale > 30 or kind.precision > 65 or kind.precision - kind.scale > 65:
        raise unsupported(name, dtype, f"it needs {kind}", "SQL decimals have 65 digits, 30 of them behind the point")
    if str(dtype) == "object":
        kind = pa.decimal256(65, kind.scale)
    return column.cast(kind)


def _as_json(name: str, values: Sequence[Any]) -> pa.ChunkedArray:
    """Return lists and dictionaries as JSON text from which exactly the same values come back."""
    texts: list[str | None] = []
    for row, value in enumerate(values):
        if value is None:
            texts.append(None)
            continue
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            text.encode()
        except (TypeError, ValueError) as error:
            raise _no_json(name, row, value, str(error)) from error
        if json.loads(text) != value:
            raise _no_json(name, row, value, "it would come back as something else")
        texts.append(text)
    return _clean_text(name, pa.chunked_array([pa.array(texts, pa.string())]))


def _no_json(name: str, row: int, value: Any, found: str) -> UnsupportedFrame:
    return UnsupportedFrame(
        f"Cannot store column {name!r}: {str(value)[:60]!r} in row {row} has no exact JSON form ({found}). Use lists "
        "and dictionaries of text, finite numbers, booleans and None, with text as keys.",
        columns=[name],
    )


def first(mask: pa.ChunkedArray) -> int | None:
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
    longest = pc.max(pc.utf8_length(column) if _is_text(kind) else pc.binary_length(column)).as_py() or 0
    if longest <= width:
        return f"varchar({width})" if _is_text(kind) else f"varbinary({width})"
    if key:
        raise UnsupportedFrame(
            f"Cannot use column {name!r} in the primary key: it has a value of {longest} characters, and {width} fit "
            "into this table's key. Use another key.",
            columns=[name],
        )
    return "longtext" if _is_text(kind) else "longblob"


# ------------------------------------------------------------------------------------------------ Arrow to frame


def decode(table: pa.Table, notes: Notes) -> pd.DataFrame:
    """Return Arrow columns as a frame, with all that was noted about them restored.

    A note that does not fit the column any more (the table was changed by others) is passed over.
    """
    if notes.order and set(notes.order) == set(table.column_names):
        table = table.select(list(notes.order))
    notes = Notes({name: _for_pandas(note) for name, note in notes.columns.items()}, notes.index)
    # All at once, because columns converted one by one would be read-only views of Arrow's memory.
    frame: pd.DataFrame = _plain(table, notes).to_pandas(date_as_object=True)
    for position, name in enumerate(table.column_names):
        restored = _restored(table.column(position), notes.columns.get(name, {}))
        if restored is not None:
            frame.isetitem(position, restored)
    return frame.set_index(list(notes.index)) if notes.index and set(notes.index) <= set(frame.columns) else frame


def _for_pandas(note: Mapping[str, Any]) -> Note:
    return {what: value for what, value in note.items() if what != "type"}


def _plain(table: pa.Table, notes: Notes) -> pa.Table:
    """Return the table with those columns made trivial that `_restored` replaces anyway, to convert them only once."""
    empty = pa.nulls(table.num_rows, pa.int8()).fill_null(0)
    for position, name in enumerate(table.column_names):
        column = table.column(position)
        if notes.columns.get(name) or (column.null_count and _nullable_dtype(column.type) is not None):
            table = table.set_column(position, name, empty)
    return table


def _nullable_dtype(kind: pa.DataType) -> Any:
    import pandas as pd

    if pa.types.is_boolean(kind):
        return pd.BooleanDtype()
    if not pa.types.is_integer(kind):
        return None
    return getattr(pd, f"{'U' if pa.types.is_unsigned_integer(kind) else ''}Int{kind.bit_width}Dtype")()


def _restored(column: pa.ChunkedArray, note: Mapping[str, Any]) -> Any:
    """Return the column as pandas has it where the plain conversion is not right, else None."""
    if note:
        try:
            return _noted(column, note)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, ValueError, KeyError):
            pass  # the column is of another type by now; it comes back as that says
    nullable = _nullable_dtype(column.type)
    if column.null_count and nullable is not None:
        return _as_dtype(column, nullable)
    return column.to_pandas().copy() if note else None


def _noted(column: pa.ChunkedArray, note: Mapping[str, Any]) -> Any:
    import pandas as pd

    if "arrow" in note:
        kind = field_from_text(note["arrow"]).type
        return pd.array(as_arrow(column, kind), dtype=pd.ArrowDtype(kind))
    if "levels" in note:
        return _as_category(column, note)
    if "json" in note:
        return pd.Series([None if text is None else json.loads(text) for text in column.to_pylist()], dtype=object)
    dtype = note["dtype"]
    if dtype == "object":
        return _as_objects(column, note)
    if dtype.startswith("timedelta64["):
        return _as_duration(column, dtype[12:-1]).to_pandas().astype(dtype)
    if dtype.startswith("datetime64["):
        return _as_datetimes(column, dtype)
    return _as_dtype(column, pd.api.types.pandas_dtype(dtype))


def _as_dtype(column: pa.ChunkedArray, dtype: Any) -> Any:
    """Return the column in a pandas dtype; a value that this would change is an error."""
    import pandas as pd

    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        wanted = getattr(dtype, "numpy_dtype", None)
        storable = column if wanted is None or wanted == "object" else _exact(column, pa.from_numpy_dtype(wanted))
        return dtype.__from_arrow__(storable)  # type: ignore[attr-defined]  # each dtype we note has it
    if column.null_count and dtype.kind in "iub":
        raise ValueError("there is no missing value in this dtype")
    return _exact(column, pa.from_numpy_dtype(dtype)).to_pandas().astype(dtype)


def _exact(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if not pa.types.is_floating(kind) or not pa.types.is_floating(column.type):
        return column.cast(kind)
    narrow = column.cast(kind, safe=False)
    if not narrow.cast(column.type).equals(column):
        raise ValueError("somebody else put a number of more digits there")
    return narrow


def _as_duration(column: pa.ChunkedArray, unit: str) -> pa.ChunkedArray:
    # The table's column may be a narrower integer, which Arrow makes no duration of.
    return column.cast(pa.int64()).cast(pa.duration(unit))


def as_arrow(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a stored column in the Arrow type that it was given in."""
    if pa.types.is_nested(kind):
        values = [None if text is None else json.loads(text) for text in column.to_pylist()]
        return pa.chunked_array([pa.array(values, kind)])
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pc.assume_timezone(column, "UTC").cast(kind)
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_duration(kind):
        return _as_duration(column, kind.unit)
    if pa.types.is_null(kind) and column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    return column.cast(kind)


def _as_category(column: pa.ChunkedArray, note: Mapping[str, Any]) -> Any:
    import pandas as pd

    levels = pd.Index(note["levels"], dtype=note.get("of") or _default_text_dtype())
    values = pd.Series(column.to_pylist(), dtype=object)
    known = set(levels.tolist())
    if any(value not in known for value in values if value is not None):
        raise ValueError("a value is no level: somebody else added it")
    return pd.Categorical(values, categories=levels, ordered=note["ordered"])


def _as_objects(column: pa.ChunkedArray, note: Mapping[str, Any]) -> Any:
    import pandas as pd

    if "zone" in note:
        column = pc.assume_timezone(column, "UTC").cast(pa.timestamp("us", note["zone"]))
    if "unit" in note:
        column = _as_duration(column, note["unit"])
    return pd.Series(column.to_pylist(), dtype=object)


def _as_datetimes(column: pa.ChunkedArray, dtype: str) -> Any:
    import pandas as pd

    wanted = pd.api.types.pandas_dtype(dtype)
    moments = column.cast(pa.timestamp(dtype[11:].rstrip("]").partition(",")[0]))
    if isinstance(wanted, pd.DatetimeTZDtype):
        return moments.to_pandas().dt.tz_localize("UTC").dt.tz_convert(wanted.tz).astype(wanted)
    return moments.to_pandas().astype(wanted)


def field_to_text(found: pa.Field) -> str:
    """Return an Arrow type, with the metadata of its field and without the name, as text for a note."""
    return base64.b64encode(pa.schema([found.with_name("")]).serialize().to_pybytes()).decode()


def field_from_text(text: str) -> pa.Field:
    """Return the field that `field_to_text` wrote down."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))).field(0)
