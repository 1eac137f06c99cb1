"""Tables of Arrow, Polars and whatever else speaks Arrow to storable columns, and back: the pair to `codec`.

`encode` notes the Arrow type of each column that SQL cannot carry, and beside it what pandas has to know, so that one
table reads the same through either. Missing values are NULL; NaN, which is a value here and none in SQL, is refused.
The metadata of a schema and the width of text offsets (`large_string`, `string_view`) are no values and are not kept.
Pure: no connection, no Flyte, and neither pandas nor Polars is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from . import codec
from .errors import UnsupportedFrame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Encoded, Note, Notes

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
            frame = (frame.collect() if hasattr(frame, "collect") else frame).to_arrow()
        return frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnsupportedFrame(
            f"Cannot store a {kind.__module__}.{kind.__name__}: {str(error).rstrip('.')}. Convert that column first."
        ) from error


def encode(table: pa.Table, *, keep_order: bool = False) -> Encoded:
    """Return ``table`` in storable columns, with notes from which its types come back.

    Raises:
        UnsupportedFrame: a name, type or value cannot be stored exactly.
    """
    codec.check_names(table.column_names)
    arrays, noted = {}, {}
    for field, column in zip(table.schema, table.columns, strict=True):
        arrays[field.name], note = _encode_column(field, column)
        if note:
            noted[field.name] = note
    return codec.encoded(arrays, noted, keep_order=keep_order)


def _encode_column(field: pa.Field, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Note]:
    name, kind = field.name, field.type
    _refuse_nan(name, column)
    if pa.types.is_dictionary(kind):
        value_type = _WIDTHS.get(kind.value_type, kind.value_type)  # Arrow cannot take from views
        chunks = column.unify_dictionaries().chunks
        values = [chunk.dictionary.cast(value_type).take(chunk.indices) for chunk in chunks]
        stored, _ = codec.storable(name, pa.chunked_array(values, value_type), kind)
        note = _levels_note(chunks[0].dictionary if chunks else None, stored, ordered=kind.ordered)
        kind = pa.dictionary(kind.index_type, value_type, ordered=kind.ordered)
    else:
        stored, note = codec.storable(name, column, _pandas_dtype(kind))
        note = note or ({"dtype": _pandas_dtype(kind)} if _is_new_to_pandas(kind) else {})
    # Polars tells an Enum by the metadata of its field.
    told = {key: value for key, value in (field.metadata or {}).items() if key.startswith(b"_PL_ENUM")}
    if told or pa.types.is_null(kind) or _WIDTHS.get(kind, kind) != _natural(stored.type):
        note["type"] = codec.field_to_text(pa.field("", kind, metadata=told or None))
    return stored, note


def _refuse_nan(name: str, column: pa.ChunkedArray) -> None:
    if not pa.types.is_floating(column.type):
        return
    row = codec.first(pc.is_nan(column.cast(pa.float64())))
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
    values = [] if levels is None else levels.drop_null().to_pylist()
    note: Note = {"levels": values, "ordered": bool(ordered)}
    if pa.types.is_string(stored.type):
        return note
    if all(isinstance(value, (bool, int, float)) for value in values):
        return note | {"of": _PANDAS_DTYPES.get(stored.type, codec.default_dtype(stored.type))}
    return {}


# --------------------------------------------------------------------------------------------------------- back


def decode(table: pa.Table, notes: Notes) -> pa.Table:
    """Return stored columns in the Arrow types that they were given in; those of pandas in the types pandas means.

    Lists and dictionaries that came from pandas have no Arrow type, and come back as their JSON text. A note that does
    not fit the column any more (the table was changed by others) is passed over.
    """
    if notes.order and set(notes.order) == set(table.column_names):
        table = table.select(list(notes.order))
    fields, columns = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        field, restored = _decode_column(column, notes.columns.get(name, {}))
        fields.append(field.with_name(name))
        columns.append(restored)
    return pa.table(columns, schema=pa.schema(fields))


def _decode_column(column: pa.ChunkedArray, note: Mapping[str, Any]) -> tuple[pa.Field, pa.ChunkedArray]:
    try:
        field = _noted_field(column, note)
        if field is not None:
            return field, _restored(column, field.type, note)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, TypeError, ValueError, KeyError):
        pass  # the column is of another type by now; it comes back as that says
    kind = _natural(column.type)
    return pa.field("", kind), column.cast(kind)


def _noted_field(column: pa.ChunkedArray, note: Mapping[str, Any]) -> pa.Field | None:
    """Return the type that a note speaks of, or None where the stored column says it all."""
    if "type" in note or "arrow" in note:
        return codec.field_from_text(note.get("type") or note["arrow"])
    if "levels" in note:
        return pa.field("", pa.dictionary(pa.int32(), _natural(column.type), ordered=note["ordered"]))
    kind = codec.meant_type(note)
    return None if kind is None else pa.field("", kind)


def _restored(column: pa.ChunkedArray, kind: pa.DataType, note: Mapping[str, Any]) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(kind) or "levels" not in note:
        return codec.as_arrow(column, kind)
    levels = pa.array(note["levels"], kind.value_type)
    values = column.cast(kind.value_type)
    positions = pc.index_in(values, value_set=levels).cast(kind.index_type)
    if positions.null_count != column.null_count:
        raise ValueError("a value is no level: somebody else added it")
    chunks = [pa.DictionaryArray.from_arrays(chunk, levels, ordered=kind.ordered) for chunk in positions.chunks]
    return pa.chunked_array(chunks, kind)


def _natural(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a stored column comes back without a note."""
    if pa.types.is_decimal256(kind) and kind.precision <= 38:
        return pa.decimal128(kind.precision, kind.scale)
    return _WIDTHS.get(kind, kind)
