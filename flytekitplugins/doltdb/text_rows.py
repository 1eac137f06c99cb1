"""The rows of a MySQL server as Arrow columns, taken straight from the connection's stream in large pieces.

PyMySQL sends the statement and reads the description of its columns; from there on this module reads, and finds the
values of all rows of a piece at once with array arithmetic, so that no Python object is made per value. Every value
stays what the server printed; what it means is said by who asks. Nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from . import driver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]

PIECE_BYTES = 1 << 22
"""How many bytes of rows are taken apart at once, where no row is longer."""
_HEADER = 4  # of a packet: three bytes for its length, one that counts the packets
_LONGEST_PACKET = 0xFFFFFF  # a row of this length goes on in the next packet
_NULL, _TWO, _THREE, _EIGHT, _ERROR, _END = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0xFE
_MANY = 50  # bytes that may begin an error; so many are a blob's
_TRIES = 6  # to tell headers of rows from what looks like one
_LONGEST_END = 9  # bytes of a packet from which on it is a row, though it begins as an end does
_MORE_RESULTS = 8  # a bit of the status in the packet that ends a result


@dataclass
class Rows:
    """Some rows, not yet taken apart: the bytes, and where in them each row begins and ends.

    The bytes are overwritten by the next rows.
    """

    data: Bytes
    starts: Places
    ends: Places

    def __len__(self) -> int:
        return len(self.starts)


def pieces(
    connection: driver.Connection, *, take_apart: Callable[[Rows], list[pa.Array]]
) -> Generator[list[pa.Array], None, None]:
    """Give the rows of the waiting result piece by piece, each as ``take_apart`` makes an array for each column.

    A piece is some megabytes of rows, or one row where that is longer. Who stops before the last piece finds the
    connection closed, because the rest of the rows is still on its way.

    Raises:
        driver.Error: what the server says in the middle of the rows, or that it went away.
    """
    try:
        for rows in _all_rows(connection):
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


def _all_rows(connection: driver.Connection) -> Iterator[Rows]:
    with _loss_is_told():
        rest = connection.taken_early()
    buffer, stream, ended = bytearray(), connection.stream, False
    while not ended:
        # At least the packet that has begun fits in; its length may be known by now.
        size = max(PIECE_BYTES, len(rest), _HEADER + int.from_bytes(rest[:3], "little"))
        if len(buffer) != size:
            buffer = bytearray(size)
        buffer[: len(rest)] = rest
        begins, done, filled, ended = _fill(stream, buffer, len(rest))
        if done:
            yield Rows(np.frombuffer(buffer, np.uint8), begins + _HEADER, np.append(begins[1:], done))
        rest = bytes(memoryview(buffer)[done:filled])
        if not ended and _is_long(rest[:3]):
            row, rest = _long_row(stream, rest)
            yield row
    if rest[4] == _END and len(rest) >= 9 and rest[7] & _MORE_RESULTS:
        raise driver.NotSupportedError("the statement gives more than one result")


def _fill(stream: Any, buffer: bytearray, filled: int) -> tuple[Places, int, int, bool]:
    """Read behind the bytes that are there until the buffer is full, a row of several packets begins, or all end.

    Returns where whole rows begin, where what is behind them does, how many bytes there are, and whether all end.
    """
    begins, done, ended = _packets(buffer, 0, filled)
    parts, ends, looked = [begins], set[int](), done
    while not (ended or filled == len(buffer) or _is_long(buffer[done : min(filled, done + 3)])):
        filled += _read_into(stream, memoryview(buffer)[filled:])
        ends |= _ends_of_errors(buffer, max(looked, done + _HEADER), filled)
        looked = filled
        has_end = filled in ends or buffer.find(_END, max(done, filled - _LONGEST_END), filled) >= 0
        if has_end or filled == len(buffer) or len(ends) >= _MANY:
            begins, done, ended = _packets(buffer, done, filled)
            parts.append(begins)
            ends, looked = set(), done
    return np.concatenate(parts), done, filled, ended


def _is_long(begin: bytes | bytearray) -> bool:
    """Whether a packet that begins so is only the first part of a row."""
    return int.from_bytes(begin, "little") == _LONGEST_PACKET


def _ends_of_errors(buffer: bytearray, place: int, size: int) -> set[int]:
    """Return where errors would end that begin from ``place`` on; there are few, or enough to look at the rows.

    A server sends a few rows at a time, and it costs less to look at many. Nothing follows an error, so one that may
    have come shows by its end, where all that has arrived ends; and no text has a byte as errors begin with.
    """
    ends: set[int] = set()
    found = buffer.find(_ERROR, place, size)
    while found >= 0 and len(ends) < _MANY:
        ends.add(found + int.from_bytes(buffer[found - _HEADER : found - 1], "little"))
        found = buffer.find(_ERROR, found + 1, size)
    return ends


def _read_into(stream: Any, room: memoryview) -> int:
    """Read what there is into ``room``, waiting for it as long as the connection's own timeout says; return how much.

    Raises:
        driver.OperationalError: nothing comes any more.
    """
    with _loss_is_told():
        found: int = stream.readinto(room)
    if not found:
        raise driver.OperationalError(driver.LOST, "Lost connection to MySQL server during query")
    return found


@contextmanager
def _loss_is_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise driver.OperationalError(driver.LOST, f"Lost connection to MySQL server during query ({error})") from error


def _packets(buffer: bytearray, place: int, size: int) -> tuple[Places, int, bool]:
    """Return where whole rows begin in ``buffer`` from ``place`` on, where what is behind them does, and if all end.

    Raises:
        driver.Error: a packet says so.
    """
    short, place = _short_rows(np.frombuffer(buffer, np.uint8)[:size], place)
    starts: list[int] = []
    note, ended = starts.append, False
    while place + _HEADER < size:
        length = buffer[place] | buffer[place + 1] << 8 | buffer[place + 2] << 16
        after = place + _HEADER + length
        if after > size or length == _LONGEST_PACKET:
            break
        first = buffer[place + _HEADER]
        if first == _ERROR:
            driver.raise_from(bytes(buffer[place + _HEADER : after]))
        if first == _END and length < _LONGEST_END:
            ended = True
            break
        note(place)
        place = after
    return np.concatenate([short, np.array(starts, np.int64)]), place, ended


def _short_rows(data: Bytes, place: int) -> tuple[Places, int]:
    """Return where rows of less than 64 KiB begin, as far as they lie side by side from ``place`` on; and the end.

    It is several times faster than to go from each to the next. The third byte of their length is a zero, and text has
    none, so those that may be headers are few more than those that are. The others drop out because nothing ends where
    they begin; where they are in a chain of their own, one by one, so a blob of zeros is left to who asks.
    """
    nothing, ahead = np.empty(0, np.int64), data[place:]
    if len(ahead) <= _HEADER or ahead[2] or ahead[_HEADER] >= _END:
        return nothing, place
    heads = np.flatnonzero(ahead[2:-2] == 0)
    after = heads + _HEADER + ahead[heads] + (ahead[heads + 1].astype(np.int64) << 8)
    kept = after <= len(ahead)
    begins = np.zeros(len(ahead) + 1, np.bool_)  # of packets, where another ends
    for _ in range(_TRIES):
        heads, after = heads[kept], after[kept]
        if not len(heads) or heads[0] != 0:
            return nothing, place
        if np.array_equal(heads[1:], after[:-1]):
            break
        begins[0] = begins[after] = True
        kept = begins[heads]
        begins[after] = False
    wrong = np.flatnonzero((after[:-1] != heads[1:]) | (ahead[heads[1:] + _HEADER] >= _END))
    count = wrong[0] + 1 if len(wrong) else len(heads)
    return heads[:count] + place, place + int(after[count - 1])


def _long_row(stream: Any, rest: bytes) -> tuple[Rows, bytes]:
    """Return a row that is longer than one packet, and what was read after it."""
    row = bytearray()
    while True:
        while len(rest) < _HEADER or len(rest) < _HEADER + int.from_bytes(rest[:3], "little"):
            rest += _read(stream, _lacking(rest))
        length = int.from_bytes(rest[:3], "little")
        row += rest[_HEADER : _HEADER + length]
        rest = rest[_HEADER + length :]
        if length < _LONGEST_PACKET:
            break
    data = np.frombuffer(row, np.uint8)
    return Rows(data, np.array([0], np.int64), np.array([len(data)], np.int64)), rest


def _lacking(rest: bytes) -> int:
    """Return how many bytes are still to come of the packet that begins ``rest``; at least one."""
    return max(1, _HEADER + int.from_bytes(rest[:3], "little") - len(rest))


def _read(stream: Any, at_least: int) -> bytes:
    """Return the next bytes of the stream: so many, and none after them."""
    buffer, filled = bytearray(at_least), 0
    while filled < at_least:
        filled += _read_into(stream, memoryview(buffer)[filled:])
    return bytes(buffer)


def taken_apart(rows: Rows, count: int) -> list[pa.Array]:
    """Return the rows as ``count`` arrays of raw bytes, one for a column.

    Raises:
        driver.InternalError: the rows have another form.
    """
    arrays, place = [], rows.starts
    try:
        for _ in range(count):
            begin, length, valid = values(rows.data, place)
            arrays.append(array(rows.data, begin, length, valid))
            place = begin + length
    except IndexError as error:
        raise driver.InternalError("Malformed row packet") from error
    if not np.array_equal(place, rows.ends):
        raise driver.InternalError("Malformed row packet")
    return arrays


def values(data: Bytes, place: Places) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Return where the value at each place begins, how long it is, and whether there is one."""
    first = data[place]
    begin, length, valid = place + 1, first.astype(np.int64), first != _NULL
    if len(first) == 0 or first.max() < _NULL:
        return begin, length, valid
    length[~valid] = 0
    for mark, size in ((_TWO, 2), (_THREE, 3), (_EIGHT, 8)):
        chosen = np.flatnonzero(first == mark)
        if len(chosen):
            there = begin[chosen]
            length[chosen] = sum(data[there + byte].astype(np.int64) << 8 * byte for byte in range(size))
            begin[chosen] = there + size
    return begin, length, valid


def array(data: Bytes, begin: Places, length: Places, valid: NDArray[np.bool_]) -> pa.Array:
    """Return the values that begin there, of those lengths, as an array of bytes; each begins behind the one before.

    Raises:
        driver.InternalError: one does not, or goes on behind the end.
    """
    count = len(begin)
    if count == 0:
        return pa.array([], pa.large_binary())
    # To Arrow, all that lies between two values is a value, too: every other one is taken, in one copy.
    offsets = np.empty(2 * count + 1, np.int64)
    offsets[:-1:2], offsets[1::2], offsets[-1] = begin, begin + length, len(data)
    if begin[0] < 0 or (offsets[1:] < offsets[:-1]).any():
        raise driver.InternalError("Malformed row packet")
    both = pa.Array.from_buffers(pa.large_binary(), 2 * count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return both.take(pa.array(np.arange(0, 2 * count, 2), mask=None if valid.all() else ~valid))
