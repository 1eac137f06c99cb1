"""The rows of a table as a frame of the class that is asked for: pandas', Arrow's, or one of Polars'.

The borders to platforms ask it; it knows none of them. Cheap to import: the libraries of frames are met when they are
there.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedFrame, attempted, attempting
from ..model import runtime
from .table import DoltTable, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from ..codec.notes import Notes
    from ..tables.reading import ReadResult

LIBRARIES = {"pandas": ("DataFrame",), "pyarrow": ("Table",), "polars": ("DataFrame", "LazyFrame")}
"""The classes of frames that are read and written, by the module that they are in."""


def frame_of(table: DoltTable, kind: type[Any], columns: Sequence[str] | None) -> Any:
    """Return the rows of a table at its commit as a frame of the class ``kind``; only ``columns`` are asked for."""
    from . import frames

    if kind.__module__.partition(".")[0] == "polars":
        return _polars(table, columns or None, lazy=kind.__name__ == "LazyFrame")
    with runtime.current().retryable():
        found = frames.load(pinned(table), columns=columns or None)
    return found.to_frame() if kind.__module__.partition(".")[0] == "pandas" else found.to_arrow()


def to_polars(found: ReadResult) -> Any:
    """Return rows as a frame of Polars, without the notes about columns that it cannot have in their types."""
    import polars

    arrow = _for_polars(found.to_arrow())
    noted = [name for name in arrow.column_names if name in found.notes.columns]
    unknown = [name for name in noted if not _goes_into_polars(arrow.column(name))]
    if unknown:
        notes = found.notes.without(unknown, reason="Polars has no such type")
        arrow = _for_polars(replace(found, notes=notes).to_arrow())
    strange = [name for name in arrow.column_names if not _goes_into_polars(arrow.column(name))]
    if strange:
        kinds = ", ".join(f"{name!r} ({arrow.schema.field(name).type})" for name in strange)
        raise UnsupportedFrame(
            f"Cannot {attempted()} as a frame of Polars: it has no type for the columns {kinds}. Leave them out, with "
            "columns=[...], or read them as a frame of pandas or Arrow.",
            columns=strange,
        )
    return polars.from_arrow(arrow)


def _for_polars(arrow: pa.Table) -> pa.Table:
    """Return the columns in types that Polars has where others hold the same values.

    Decimals get 38 digits, and moments of a zone that Polars does not know (an offset) are the same moments in UTC.
    That hangs on the types only, so that parts of a table are of the same types.
    """
    import pyarrow as pa

    for position, field in enumerate(arrow.schema):
        kind = field.type
        if pa.types.is_decimal(kind) and kind.bit_width != 128:
            column = _decimals_for_polars(field.name, arrow.column(position), pa.decimal128(38, kind.scale))
        elif pa.types.is_timestamp(kind) and kind.tz and not _goes_into_polars(arrow.column(position)):
            column = arrow.column(position).cast(pa.timestamp(kind.unit, "UTC"))
        elif pa.types.is_date64(kind):  # of which Polars makes moments
            column = arrow.column(position).cast(pa.date32())
        else:
            continue
        arrow = arrow.set_column(position, field.name, column)
    return arrow


def _decimals_for_polars(name: str, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        sizes = pc.utf8_length(pc.replace_substring_regex(column.cast(pa.string()), "[-.]", ""))
        row = max(0, pc.index(pc.greater(sizes, 38), True).as_py())
        raise UnsupportedFrame(
            f"Cannot {attempted()} as a frame of Polars: column {name!r} has {column[row]} in row {row}, and "
            "decimals of Polars have 38 digits. Leave that column out, with columns=[...], or read it as a frame of "
            "pandas or Arrow.",
            columns=[name],
        ) from error


def _goes_into_polars(column: Any) -> bool:
    import polars
    import pyarrow as pa

    try:
        if column.type == pa.duration("s"):
            column.cast(pa.duration("ms"))  # as Polars does it, which does not look whether the numbers get too large
        # Not without rows: for a time zone that it does not know Polars panics then. And no slice: of lists of one size
        # Polars takes the length of the whole for that of the part.
        first = pa.array([0][: len(column)], pa.int64())
        one = pa.nulls(1, column.type) if pa.types.is_timestamp(column.type) else column.take(first)
        polars.from_arrow(pa.table({"v": one}))
    except BaseException as error:  # it has errors of many kinds for types that it does not know
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return False
    return True


def _polars(table: DoltTable, columns: Sequence[str] | None, *, lazy: bool) -> Any:
    from . import frames

    def load(names: Sequence[str] | None, limit: int | None = None, notes: Notes | None = None) -> Any:
        with runtime.current().retryable():
            found = frames.load(pinned(table), columns=names, limit=limit)
        found = found if notes is None else replace(found, notes=replace(found.notes, columns=notes.columns))
        with attempting(f"read table {table.config.tablename!r}" if table.config.sql is None else "run the query"):
            return to_polars(found)

    if not lazy:
        return load(columns)
    if table.config.sql is not None or table.config.changes is not None:
        return load(columns).lazy()
    try:
        from polars.io.plugins import register_io_source
    except ImportError:  # an older Polars, which takes no sources of others
        return load(columns).lazy()

    with runtime.current().retryable():
        notes = frames.settled(pinned(table), columns=columns)

    def source(names: list[str] | None, where: Any, limit: int | None, batch: int | None) -> Iterator[Any]:
        found = load(names or columns, limit if where is None else None, notes)
        _check_same(schema, found.schema)
        found = found if where is None else found.filter(where)
        yield found if limit is None else found.head(limit)

    pure: dict[str, Any] = {"is_pure": True} if "is_pure" in inspect.signature(register_io_source).parameters else {}
    schema = load(columns, 0, notes).schema
    return register_io_source(source, schema=schema, **pure)


def _check_same(announced: Any, found: Any) -> None:
    """Raise if rows are of other types than was said before they were read.

    Raises:
        UnsupportedFrame: they are.
    """
    others = [name for name, kind in found.items() if announced[name] != kind]
    if others:
        kinds = ", ".join(f"{name!r} is {found[name]} and not {announced[name]}" for name in others)
        raise UnsupportedFrame(
            f"Cannot read as a LazyFrame: {kinds}, which only its values say. Read it as a polars.DataFrame.",
            columns=others,
        )
