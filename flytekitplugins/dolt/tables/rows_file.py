"""Files of rows, as our procedures on the server write them, read as Arrow without a copy.

The format is described in ``native/rowsfile.go``; its types are there in ``types.go`` and here in `TYPES`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

TYPES: dict[str, pa.DataType] = {
    **{str(kind): kind for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{str(kind): kind for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    "bool": pa.bool_(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "date32": pa.date32(),
    "timestamp[us]": pa.timestamp("us"),
    "duration[us]": pa.duration("us"),
    "string": pa.string(),
    "binary": pa.binary(),
    "json": pa.string(),
}
"""The types of columns by their names in a file, beside decimals."""

DECIMALS = {"decimal128": pa.decimal128, "decimal256": pa.decimal256}
"""The types of decimals; a column's name of them has digits and places, too: ``decimal128(10, 2)``."""

_MAGIC = b"DOLTROW1"
_ALIGN = 64
_DECIMAL = re.compile(r"(decimal\d+)\((\d+), (\d+)\)")


class DamagedFile(ValueError):
    """A file of rows that was cut off, or is none; nothing of it was used."""


def read(path: Path) -> pa.Table:
    """Return the rows of the file at ``path``, mapped into memory.

    The table holds on to the file's content, so the file itself may be removed as soon as this has returned.

    Raises:
        DamagedFile: the file is cut off, or no file of rows.
        OSError: it cannot be opened.
    """
    if path.stat().st_size == 0:  # which cannot be mapped
        raise DamagedFile("the file of rows is empty")
    with pa.memory_map(str(path)) as source:
        whole = source.read_buffer()
    try:
        return _table(whole)
    except (struct.error, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DamagedFile(f"the file of rows is damaged: {error!r}") from error


def _table(whole: pa.Buffer) -> pa.Table:
    view = memoryview(whole)
    if view[:8] != _MAGIC:
        raise ValueError(f"it starts with {bytes(view[:8])!r}")
    (length,) = struct.unpack_from("<I", view, 8)
    columns = json.loads(bytes(view[12 : 12 + length]))["columns"]
    fields = [pa.field(column["name"], _type(column["type"])) for column in columns]
    schema = pa.schema(fields)
    return pa.Table.from_batches(_batches(whole, view, _aligned(12 + length), schema), schema)


def _batches(whole: pa.Buffer, view: memoryview, at: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Give the batches from ``at`` on; the end of the file says how many rows there have to be."""
    counts = [1 + (3 if _has_offsets(kind) else 2) for kind in schema.types]
    head = struct.Struct(f"<{sum(counts)}Q")
    found = 0
    while True:
        (rows,) = struct.unpack_from("<Q", view, at)
        if rows == 0:
            break
        numbers = iter(head.unpack_from(view, at + 8))
        at = _aligned(at + 8 + head.size)
        arrays = []
        for kind, count in zip(schema.types, counts, strict=True):
            nulls, *lengths = (next(numbers) for _ in range(count))
            buffers: list[pa.Buffer | None] = []
            for length in lengths:
                if at + length > len(view):
                    raise ValueError(f"a buffer of {length} bytes at {at} is behind the end")
                buffers.append(whole.slice(at, length))
                at = _aligned(at + length)
            if nulls == 0:
                buffers[0] = None
            arrays.append(pa.Array.from_buffers(kind, rows, buffers, nulls))
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        found += rows
    (total,) = struct.unpack_from("<Q", view, at + 8)
    if total != found:
        raise ValueError(f"it says that it has {total} rows, and has {found}")


def _type(name: str) -> pa.DataType:
    decimal = _DECIMAL.fullmatch(name)
    return DECIMALS[decimal[1]](int(decimal[2]), int(decimal[3])) if decimal else TYPES[name]


def _has_offsets(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _aligned(at: int) -> int:
    return -(-at // _ALIGN) * _ALIGN
