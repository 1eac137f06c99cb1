"""Tables of Arrow, Polars and whatever else speaks Arrow to storable columns, and back: the pair to `codec`.

`encode` notes the Arrow type of each column that SQL cannot carry, and beside it what pandas has to know, so that one
table reads the same through either. Missing values are NULL; NaN, which is a value here and none in SQL, is refused.
The metadata of a schema and the width of text offsets (`large_string`, `string_view`) are no values and are not kept.
Pure: no connection, no Flyte, and neither pandas nor Polars is imported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UnsupportedFrame
from ..model import naming
from . import pandas_frames
from .notes import UNFIT, Note, field_from_text, field_to_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from .notes import Notes
    from .pandas_frames import Encoded

_PANDAS_DTYPES = {pa.float16(): "float16", pa.float32(): "float32", pa.null(): "object"}
_WIDTHS = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


class Streams(Protocol):
    """What speaks Arrow's C stream interface: tables and readers of Arrow, Polars, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the stream as a capsule."""
        ...


def table_of(frame: Any) -> pa.Table | None:
    """Return a frame that is not pandas' as an Arrow table (a lazy one is computed, a reader read), or None.

    Raises:
        UnsupportedFrame: it has a type that Arrow does not know.
    """
    kind = type(frame)
    if any(base.__module__.partition(".")[0] == "pandas" for base in kind.__mro__):
        return None
    is_polars = kind.__module__.startswith("polars.") and hasattr(frame, "collect_schema")
    if not is_polars and not hasattr(frame, "__arrow_c_stream__"):
        return None
    try:
        if is_polars:
            # Not by its stream: the first versions have none, and the text in later ones is new to older Arrows.
            frame = frame.collect() if hasattr(frame, "collect") else frame
            _refuse_foreign(frame.schema)
            frame = frame.to_arrow()
        return frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnsupportedFrame(
            f"Cannot store a {kind.__module__}.{kind.__name__}: {str(error).rstrip('.')}. Convert that column first."
        ) from error


_FOREIGN = {
    "Object": ("Python objects, which Polars gives away as addresses in memory", "Make it text"),
    "Int128": ("integers of 128 bits, and SQL's have 64", "Cast it to Int64, Decimal or String"),
    "UInt128": ("integers of 128 bits, and SQL's have 64", "Cast it to UInt64, Decimal or String"),
}
"""Types of Polars that Arrow does not have, by their names: what they are and what to do."""


def _refuse_foreign(schema: Mapping[str, Any]) -> None:
    """Raise where a frame of Polars has a column that is something else in Arrow, at any depth."""
    for name, dtype in schema.items():
        inner = [dtype]
        while inner:
            found = inner.pop()
            kind = type(found).__name__ if not isinstance(found, type) else found.__name__
            if kind in _FOREIGN:
                what, advice = _FOREIGN[kind]
                raise pandas_frames.unsupported(name, dtype, f"it holds {what}", advice)
            inner += [field.dtype for field in getattr(found, "fields", ())]
            inner += [found.inner] if getattr(found, "inner", None) is not None else []


def encode(table: pa.Table, *, index: str | None = None, keep_order: bool = False) -> Encoded:
    """Return ``table`` in storable columns, with notes from which its types come back.

    ``index`` says what becomes of the unnamed index of a pandas frame, which Arrow has as a column.

    Raises:
        UnsupportedFrame: a name, type or value cannot be stored exactly.
    """
    table, levels = _unnamed_index(table, index)
    pandas_frames.check_names(table.column_names)
    arrays, noted = pandas_frames.each_column(
        table.column_names, lambda name: _encode_column(table.schema.field(name), table.column(name))
    )
    return pandas_frames.encoded(arrays, noted, index=levels, keep_order=keep_order)


def some_columns(table: pa.Table, names: Collection[str]) -> pa.Table:
    """Return the columns that Dolt takes for one of ``names``."""
    wanted = {naming.folded(name) for name in names}
    return table.select([at for at, name in enumerate(table.column_names) if naming.folded(name) in wanted])


def _unnamed_index(table: pa.Table, index: str | None) -> tuple[pa.Table, list[str]]:
    """Return the table without the column of integers that is a frame's unnamed index, or that one as the index."""
    name = pandas_frames.UNNAMED_INDEX
    is_there = table.num_columns > 1 and table.column_names.count(name) == 1
    if not is_there or not pa.types.is_integer(table.schema.field(name).type):
        return table, []
    if index == "keep":
        return table, [name]
    column = table.column(name)
    if index != "drop" and len(column) and not column.cast(pa.int64()).equals(_counted(len(column))):
        first = column.slice(0, 3).to_pylist()
        pandas_frames.leave_out(first, index, advice="rename its column", integers=True)
    return table.drop_columns([name]), []


def _counted(rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(range(rows), pa.int64())])


def _encode_column(field: pa.Field, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Note]:
    name, kind = field.name, field.type
    pandas_frames.check_depth(name, kind)
    _refuse_nan(name, column)
    if pa.types.is_dictionary(kind):
        pandas_frames.refuse_nested_levels(name, kind, kind)
        value_type = _WIDTHS.get(kind.value_type, kind.value_type)  # Arrow cannot take from views
        chunks = column.unify_dictionaries().chunks
        _check_levels(name, chunks, value_type)
        values = [chunk.dictionary.cast(value_type).take(chunk.indices) for chunk in chunks]
        stored, _ = pandas_frames.storable(name, pa.chunked_array(values, value_type), kind)
        note = _levels_note(chunks[0].dictionary if chunks else None, stored, ordered=kind.ordered)
        kind = pa.dictionary(kind.index_type, value_type, ordered=kind.ordered)
    else:
        stored, note = pandas_frames.storable(name, column, _pandas_dtype(kind))
        note = note or (Note(dtype=_pandas_dtype(kind)) if _is_new_to_pandas(kind) else Note())
    # Polars tells an Enum by the metadata of its field.
    told = {key: value for key, value in (field.metadata or {}).items() if key.startswith(b"_PL_ENUM")}
    if told or pa.types.is_null(kind) or _WIDTHS.get(kind, kind) != _natural(stored.type):
        note = replace(note, type=field_to_text(pa.field("", kind, metadata=told or None)))
    return stored, note


def _check_levels(name: str, chunks: Sequence[pa.DictionaryArray], value_type: pa.DataType) -> None:
    """Raise where a level is no valid text, also one that no row has; it would be noted."""
    if pa.types.is_string(value_type):
        for levels in {id(chunk.dictionary): chunk.dictionary for chunk in chunks}.values():
            pandas_frames.check_text(name, pa.chunked_array([levels]))


def _refuse_nan(name: str, column: pa.ChunkedArray) -> None:
    if not pa.types.is_floating(column.type):
        return
    row = pandas_frames.first_true_index(pc.is_nan(column.cast(pa.float64())))
    if row is not None:
        raise UnsupportedFrame(
            f"Cannot store column {name!r}: row {row} is NaN, which is a value in Arrow and Polars, and SQL has no "
            "NaN. Make it null, in Polars with .fill_nan(None).",
            columns=[name],
        )


def _pandas_dtype(kind: pa.DataType) -> str:
    """Return pandas' name of the type that `to_pandas` gives, where the stored column alone would not lead to it."""
    if pa.types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]" if kind.tz is None else f"datetime64[{kind.unit}, {kind.tz}]"
    return _PANDAS_DTYPES.get(kind, str(kind))


def _is_new_to_pandas(kind: pa.DataType) -> bool:
    return kind in _PANDAS_DTYPES or (pa.types.is_timestamp(kind) and kind != pa.timestamp("us"))


def _levels_note(levels: pa.Array | None, stored: pa.ChunkedArray, *, ordered: bool) -> Note:
    values = () if levels is None else tuple(levels.drop_null().to_pylist())
    if pa.types.is_string(stored.type):
        return Note(levels=values, ordered=bool(ordered))
    if all(isinstance(value, (bool, int, float)) for value in values):
        of = _PANDAS_DTYPES.get(stored.type, pandas_frames.default_dtype(stored.type))
        return Note(levels=values, ordered=bool(ordered), of=of)
    return Note()


# --------------------------------------------------------------------------------------------------------- back


def decode(table: pa.Table, notes: Notes) -> pa.Table:
    """Return stored columns in the Arrow types that they were given in; those of pandas in the types pandas means.

    Lists and dictionaries that came from pandas have no Arrow type, and come back as their JSON text. A note that does
    not fit the column (any more) is passed over, and said in the log: the table was changed by others, or its comment.
    """
    if notes.order and set(notes.order) == set(table.column_names):
        table = table.select(list(notes.order))
    fields, columns, unfit = [], [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        note = notes.columns.get(name)
        found = _noted(column, note) if note else None
        if found is None and note and _field(column, note) is not None:
            unfit.append(name)
        field, restored = found or _plain(column)
        fields.append(field.with_name(name))
        columns.append(restored)
    notes.without(unfit)
    return pa.table(columns, schema=pa.schema(fields))


def holding(table: pa.Table, notes: Notes) -> Notes:
    """Return the notes without those that `decode` would pass over for these columns."""
    found = [
        (name, column, notes.columns[name])
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name in notes.columns
    ]
    return notes.without(
        [name for name, column, note in found if _field(column, note) is not None and _noted(column, note) is None]
    )


def holds(column: pa.ChunkedArray, note: Note) -> bool:
    """Whether `decode` gives a column as it is noted."""
    return _field(column, note) is None or _noted(column, note) is not None


def _plain(column: pa.ChunkedArray) -> tuple[pa.Field, pa.ChunkedArray]:
    kind = _natural(column.type)
    return pa.field("", kind), column.cast(kind)


def _noted(column: pa.ChunkedArray, note: Note) -> tuple[pa.Field, pa.ChunkedArray] | None:
    """Return the column as it is noted, or None where nothing is noted for Arrow or the values are others."""
    field = _field(column, note)
    if field is None or not note.speaks_of(column.type):
        return None
    try:
        return field, _restored(column, field.type, note)
    except UNFIT:
        return None


def _field(column: pa.ChunkedArray, note: Note) -> pa.Field | None:
    """Return the type that a note speaks of, or None where the stored column says it all."""
    told = note.type or note.arrow
    if told is not None:
        return _enum_or_plain(field_from_text(told), note)
    if note.levels is not None:
        return pa.field("", pa.dictionary(pa.int32(), _type_of_levels(column, note), ordered=note.ordered))
    kind = note.in_arrow
    return None if kind is None else pa.field("", kind)


def _type_of_levels(column: pa.ChunkedArray, note: Note) -> pa.DataType:
    """Return the type of a category's levels; a column of numbers may be too narrow for one that no row has."""
    of = (note.of or "").removesuffix("[pyarrow]").lower()
    is_number = of.startswith(("int", "uint", "float", "double", "halffloat"))
    return pa.type_for_alias(of) if is_number else _natural(column.type)


def _enum_or_plain(field: pa.Field, note: Note) -> pa.Field:
    """Return the field with only what Polars notes about an Enum, and that only where its categories have the levels.

    Polars takes its word for it: it breaks off where the text is none of its own, and a value that is in the levels and
    in no category would be null.
    """
    told = {name: text for name, text in (field.metadata or {}).items() if name.startswith(b"_PL_ENUM")}
    try:
        is_enum = pa.types.is_dictionary(field.type) and note.levels is not None
        if is_enum and all(set(note.levels or ()) <= _categories(text) for text in told.values()):
            return field.with_metadata(told)
    except ValueError:
        pass  # somebody else's text
    return field.remove_metadata()


def _categories(text: bytes) -> set[str]:
    """Return the categories of an Enum from ``length;text`` for each of them.

    Raises:
        ValueError: it is something else.
    """
    found: list[str] = []
    while text:
        length, _, text = text.partition(b";")
        if not length.isdigit() or len(length) > 9 or len(text) < int(length):
            raise ValueError("it is no list of categories")
        found.append(text[: int(length)].decode())
        text = text[int(length) :]
    if len(set(found)) < len(found):
        raise ValueError("a category is there twice")
    return set(found)


def _restored(column: pa.ChunkedArray, kind: pa.DataType, note: Note) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(kind) or note.levels is None:
        return pandas_frames.as_arrow(column, kind)
    levels = pa.array(note.levels, kind.value_type)
    if levels.to_pylist() != list(note.levels):
        raise ValueError("the levels are not of that type")
    values = pandas_frames.as_arrow(column, kind.value_type)
    positions = pc.index_in(values, value_set=levels).cast(kind.index_type)
    if positions.null_count != column.null_count:
        raise ValueError("a value is no level: somebody else added it")
    chunks = [pa.DictionaryArray.from_arrays(chunk, levels, ordered=kind.ordered) for chunk in positions.chunks]
    return pa.chunked_array(chunks, kind)


def _natural(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a stored column comes back without a note."""
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return pa.decimal128(kind.precision, kind.scale)
    return _WIDTHS.get(kind, kind)
