"""The rows of a MySQL server as Arrow columns, taken straight from the connection's stream in large pieces.

PyMySQL sends the statement and reads the description of its columns; from there on this module reads, and finds the
values of all rows of a piece at once with array arithmetic, so that no Python object is made per value. Every value
stays what the server printed; what it means is said in `columns`. Nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..doltdb import driver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]

PIECE_BYTES = 1 << 20
"""How much is asked of the stream at once."""
_LONGEST_PACKET = 0xFFFFFF  # a row of this length goes on in the next packet
_NULL, _TWO, _THREE, _EIGHT, _ERROR, _END = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0xFE
_LONG_VALUE = 200
"""Bytes from which on values are longer, on average, than it takes to pick them one by one."""
_MORE_RESULTS = 8  # a bit of the status in the packet that ends a result


@dataclass
class Rows:
    """Some rows, not yet taken apart: the bytes, and where in them each row begins and ends."""

    data: Bytes
    starts: Places
    ends: Places

    def __len__(self) -> int:
        return len(self.starts)


def pieces(
    connection: driver.Connection, *, take_apart: Callable[[Rows], list[pa.Array]]
) -> Generator[list[pa.Array], None, None]:
    """Give the rows of the waiting result piece by piece, each as ``take_apart`` makes an array for each column.

    A piece is about a megabyte of rows, or one row where that is longer. Who stops before the last piece finds the
    connection closed, because the rest of the rows is still on its way.

    Raises:
        driver.Error: what the server says in the middle of the rows, or that it went away.
    """
    try:
        for rows in _all_rows(connection.stream):
            yield take_apart(rows)
    except BaseException:
        connection.hang_up()
        raise
    connection.forget_rows()


def whole(connection: driver.Connection) -> list[pa.Array]:
    """Return the rows that the driver has read itself, as the server printed them, as arrays of raw bytes."""
    rows = connection.rows()
    values = zip(*rows, strict=True) if rows else ([] for _ in connection.columns())
    return [pa.array(list(column), pa.large_binary()) for column in values]


def _all_rows(stream: Any) -> Iterator[Rows]:
    rest, ended = b"", False
    while not ended:
        more = _read(stream, _lacking(rest))
        buffer = rest + more if rest else more
        rows, used, ended = _packets(buffer)
        if len(rows):
            yield rows
        rest = buffer[used:]
        if not ended and rest[:3] == b"\xff\xff\xff":
            row, rest = _long_row(stream, rest)
            yield row
            rows, used, ended = _packets(rest)
            if len(rows):
                yield rows
            rest = rest[used:]
    if rest[4] == _END and len(rest) >= 9 and rest[7] & _MORE_RESULTS:
        raise driver.NotSupportedError("the statement gives more than one result")


def _lacking(rest: bytes) -> int:
    """Return how many bytes are still to come of the packet that begins ``rest``; at least one."""
    return max(1, 4 + int.from_bytes(rest[:3], "little") - len(rest))


def _read(stream: Any, at_least: int) -> bytes:
    """Return the next bytes of the stream, waiting for each part as long as the connection's own timeout says."""
    parts: list[bytes] = []
    while at_least > 0:
        try:
            found: bytes = stream.read1(PIECE_BYTES)
        except OSError as error:
            raise driver.OperationalError(
                driver.LOST, f"Lost connection to MySQL server during query ({error})"
            ) from error
        if not found:
            raise driver.OperationalError(driver.LOST, "Lost connection to MySQL server during query")
        parts.append(found)
        at_least -= len(found)
    return b"".join(parts)


def _packets(buffer: bytes) -> tuple[Rows, int, bool]:
    """Return the whole rows in ``buffer``, how many bytes were used up, and whether the result ends there."""
    starts: list[int] = []
    note = starts.append
    place, size, last, ended = 0, len(buffer), 0, False
    while place + 5 <= size:
        length = buffer[place] | buffer[place + 1] << 8 | buffer[place + 2] << 16
        after = place + 4 + length
        if after > size or length == _LONGEST_PACKET:
            break
        first = buffer[place + 4]
        if first == _ERROR:
            driver.raise_from(buffer[place + 4 : after])
        if first == _END and length < 9:
            ended = True
            break
        note(place)
        place = last = after
    begins = np.array(starts, np.int64)
    ends = np.append(begins[1:], last) if starts else begins
    return Rows(np.frombuffer(buffer, np.uint8), begins + 4, ends), place, ended


def _long_row(stream: Any, rest: bytes) -> tuple[Rows, bytes]:
    """Return a row that is longer than one packet, and what was read after it."""
    row = bytearray()
    while True:
        while len(rest) < 4 or len(rest) < 4 + int.from_bytes(rest[:3], "little"):
            rest += _read(stream, _lacking(rest))
        length = int.from_bytes(rest[:3], "little")
        row += rest[4 : 4 + length]
        rest = rest[4 + length :]
        if length < _LONGEST_PACKET:
            break
    data = np.frombuffer(bytes(row), np.uint8)
    return Rows(data, np.array([0], np.int64), np.array([len(data)], np.int64)), rest


def taken_apart(rows: Rows, count: int) -> list[pa.Array]:
    """Return the rows as ``count`` arrays of raw bytes, one for a column."""
    arrays, place = [], rows.starts
    for _ in range(count):
        begin, length, valid = values(rows.data, place)
        arrays.append(array(rows.data, begin, length, valid))
        place = begin + length
    if not np.array_equal(place, rows.ends):
        raise driver.InternalError("Malformed row packet")
    return arrays


def values(data: Bytes, place: Places) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Return where the value at each place begins, how long it is, and whether there is one."""
    first = data[place]
    begin, length, valid = place + 1, first.astype(np.int64), first != _NULL
    length[~valid] = 0
    for mark, size in ((_TWO, 2), (_THREE, 3), (_EIGHT, 8)):
        chosen = np.flatnonzero(first == mark)
        if len(chosen):
            digits = data[begin[chosen][:, None] + np.arange(size)].astype(np.int64)
            length[chosen] = (digits << (8 * np.arange(size))).sum(axis=1)
            begin[chosen] += size
    return begin, length, valid


def array(data: Bytes, begin: Places, length: Places, valid: NDArray[np.bool_]) -> pa.Array:
    """Return the values that begin there, of those lengths, as an array of bytes."""
    offsets = np.zeros(len(length) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    bitmap = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(_picked(data, begin, length, offsets))]
    return pa.Array.from_buffers(pa.large_binary(), len(length), buffers)


def _picked(data: Bytes, begin: Places, length: Places, offsets: Places) -> Bytes:
    """Return the bytes of all values, one after the other."""
    if offsets[-1] > _LONG_VALUE * len(length):  # for each byte its place, as below, would take 16 times the memory
        ranges = zip(begin.tolist(), (begin + length).tolist(), strict=True)
        return np.concatenate([data[first:last] for first, last in ranges])
    # The place of each byte: a run of ones, which jumps at the begin of each value.
    picked: Bytes = data[np.repeat(begin - offsets[:-1], length) + np.arange(offsets[-1])]
    return picked
