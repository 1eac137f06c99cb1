"""Files of rows, as our procedures on the server write and read them: read as Arrow without a copy, and written.

The format is described in ``native/rowsfile.go``; its types are there in ``types.go`` and here in `TYPES`.
"""

from __future__ import annotations

import ctypes
import decimal
import json
import mmap
import re
import struct
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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

_NAMES = {kind: name for name, kind in TYPES.items() if name != "json"} | {pa.time64("us"): "duration[us]"}
_LIBC = ctypes.CDLL(None)
_MAGIC = b"DOLTROW1"
_ALIGN = 64
_BATCH_ROWS = 1 << 16
_LARGE = 16 << 20
"""From how many bytes on a file's pages are let go; below that they are not worth a word to the kernel."""
_MOST_DIGITS = 38
_EXACT = decimal.Context(prec=80)
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
        mapped = _Mapped(source.read_buffer())
    if mapped.size >= _LARGE:
        _mapped[id(mapped)] = mapped
    whole = pa.foreign_buffer(mapped.address, mapped.size, mapped)
    try:
        return _table(whole)
    except (struct.error, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DamagedFile(f"the file of rows is damaged: {error!r}") from error


class _Mapped:
    """The memory that a file is mapped to; it lives as long as any buffer of the file's rows."""

    def __init__(self, content: pa.Buffer) -> None:
        self._content = content
        self.address: int = content.address
        self.size: int = content.size


_mapped: weakref.WeakValueDictionary[int, _Mapped] = weakref.WeakValueDictionary()
"""Those of large files, by their ids."""


def let_go(values: pa.Array | pa.ChunkedArray) -> None:
    """Have values that lie in a file not count as this process's memory until they are read again.

    What lies elsewhere is left alone.
    """
    there = list(_mapped.values())
    for piece in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
        for buffer in filter(None, piece.buffers() if there else ()):
            if any(0 <= buffer.address - file.address <= file.size - buffer.size for file in there):
                start = buffer.address - buffer.address % mmap.PAGESIZE
                _advise(start, buffer.address + buffer.size - start)


def _advise(address: int, size: int) -> None:
    """Tell the kernel that pages of a mapped file are not needed; on Linux it finds them again in the file."""
    if sys.platform == "linux":
        _LIBC.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


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


class NotCarried(ValueError):
    """Rows of a type, or with a value, that a file of rows does not have."""


def write(path: Path, rows: pa.Table) -> None:
    """Write ``rows`` to a file at ``path``, a batch after the other, most buffers without a copy.

    A time of day goes as the duration since midnight, decimals with no more digits than they need.

    Raises:
        NotCarried: there is a type or a decimal that such a file does not have; there is no file then.
        OSError: the file cannot be written.
    """
    rows = _carried(rows)
    columns = [{"name": field.name, "type": _name(field.type)} for field in rows.schema]
    header = json.dumps({"columns": columns}).encode()
    with pa.OSFile(str(path), "wb") as file:
        _put(file, _MAGIC + struct.pack("<I", len(header)) + header)
        for batch in rows.to_batches(max_chunksize=_BATCH_ROWS):
            if batch.num_rows:
                _put_batch(file, batch)
        file.write(struct.pack("<2Q", 0, rows.num_rows))


def _carried(rows: pa.Table) -> pa.Table:
    """Return rows in types that a file has."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_decimal(field.type):
            rows = rows.set_column(at, field.name, _fewest_digits(field.name, rows.column(at)))
        elif field.type not in _NAMES:
            raise NotCarried(f"column {field.name!r} is of the type {field.type}")
    return rows


def _fewest_digits(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    scale = column.type.scale
    limits = [limit for limit in pc.min_max(column).as_py().values() if limit is not None]
    digits = max((len(str(int(limit.copy_abs().scaleb(scale, _EXACT)))) for limit in limits), default=1)
    if digits > _MOST_DIGITS or not 0 <= scale <= _MOST_DIGITS:
        raise NotCarried(f"column {name!r} has a decimal of {digits} digits")
    return column.cast(pa.decimal128(max(digits, scale, 1), scale))


def _name(kind: pa.DataType) -> str:
    return f"decimal128({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else _NAMES[kind]


def _put(file: pa.NativeFile, piece: bytes | pa.Buffer) -> None:
    file.write(piece)
    file.write(bytes(-len(piece) % _ALIGN))


def _put_batch(file: pa.NativeFile, batch: pa.RecordBatch) -> None:
    numbers, buffers = [batch.num_rows], []
    for column in batch.columns:
        found = [_validity(column), *_values(column)]
        numbers += [column.null_count, *map(len, found)]
        buffers += found
    _put(file, struct.pack(f"<{len(numbers)}Q", *numbers))
    for buffer in buffers:
        _put(file, buffer)


def _validity(column: pa.Array) -> bytes | pa.Buffer:
    return _bits(column.buffers()[0], column) if column.null_count else b""


def _bits(buffer: pa.Buffer, column: pa.Array) -> bytes | pa.Buffer:
    """Return the bits of a column's rows, the first one at the beginning of a byte."""
    start, rest = divmod(column.offset, 8)
    if rest == 0:
        return buffer.slice(start, -(-len(column) // 8))
    bits = np.unpackbits(np.frombuffer(buffer, np.uint8)[start:], count=rest + len(column), bitorder="little")
    return np.packbits(bits[rest:], bitorder="little").tobytes()


def _values(column: pa.Array) -> list[bytes | pa.Buffer]:
    """Return the buffers behind the validity: what belongs to the column's rows, with offsets from 0."""
    _, *buffers = column.buffers()
    if pa.types.is_boolean(column.type):
        return [_bits(buffers[0], column)]
    if not _has_offsets(column.type):
        width = column.type.bit_width // 8
        return [buffers[0].slice(column.offset * width, len(column) * width)]
    offsets = np.frombuffer(buffers[0], np.int32, column.offset + len(column) + 1)[column.offset :]
    first, last = int(offsets[0]), int(offsets[-1])
    data = buffers[1].slice(first, last - first) if buffers[1] is not None else b""
    return [(offsets - first if first else offsets).tobytes(), data]


def _type(name: str) -> pa.DataType:
    decimal = _DECIMAL.fullmatch(name)
    return DECIMALS[decimal[1]](int(decimal[2]), int(decimal[3])) if decimal else TYPES[name]


def _has_offsets(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _aligned(at: int) -> int:
    return -(-at // _ALIGN) * _ALIGN
