"""Results with FLOATs from MySQL and MariaDB, exactly: as a prepared statement they come as bytes and not as text.

In text these servers print six digits of a FLOAT, so that 16777216 is 16777200. Other columns lose nothing in text, and
are turned into what the server would have printed, which `columns` reads. Dolt prints FLOATs exactly and is not asked.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..doltdb import driver
from ..doltdb.text_rows import Rows, array, values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..doltdb.text_rows import Bytes, Places
    from ..doltdb.wire_types import Column

_AS_MANY_DIGITS_AS_NEEDED = 31
"""What a column without a fixed number of decimals has in their place."""
_NOT_OFFERED = {1047, 1235, 1295, 1461}
"""The codes for a statement that cannot be prepared, and for a server that has no or no more prepared statements."""
_FIXED = {"TINY": "i1", "SHORT": "i2", "YEAR": "i2", "INT24": "i4", "LONG": "i4", "LONGLONG": "i8"}
_FLOATS = {"FLOAT": "f4", "DOUBLE": "f8"}


def with_floats(connection: driver.Connection, sql: str) -> int | None:
    """Prepare a statement, and return its number if its rows have FLOATs that would lose digits, else None.

    Raises:
        driver.Error: what the server says of the statement.
    """
    try:
        found = connection.prepare(sql)
    except driver.Error as error:
        if error.args[0] in _NOT_OFFERED:
            return None
        raise
    loses = any(c.wire == "FLOAT" and c.scale >= _AS_MANY_DIGITS_AS_NEEDED for c in found.columns)
    if loses and not found.parameters:
        return found.number
    connection.forget_prepared(found.number)
    return None


def taken_apart(rows: Rows, columns: list[Column]) -> list[pa.Array]:
    """Return the rows as an array for each column: numbers of FLOAT and DOUBLE, and else bytes as they are printed.

    Raises:
        driver.InternalError: the rows are not what the columns say.
    """
    bits = rows.starts + 1
    place = bits + (len(columns) + 9) // 8
    arrays = []
    for position, column in enumerate(columns, start=2):
        valid = (rows.data[bits + position // 8] >> (position % 8)) & 1 == 0
        found, place = _column(rows.data, place, valid, column)
        arrays.append(found)
    if not np.array_equal(place, rows.ends):
        raise driver.InternalError("Malformed row packet")
    return arrays


def _column(data: Bytes, place: Places, valid: NDArray[np.bool_], column: Column) -> tuple[pa.Array, Places]:
    """Return the values of one column, and where in each row the next one begins."""
    wire = column.wire
    if wire in _FLOATS:
        numbers, after = _numbers(data, place, valid, _FLOATS[wire])
        return pa.array(numbers, mask=~valid), after
    if wire in _FIXED:
        kind = _FIXED[wire].replace("i", "u") if column.unsigned else _FIXED[wire]
        numbers, after = _numbers(data, place, valid, kind)
        return pa.array(numbers, mask=~valid).cast(pa.string()).cast(pa.large_binary()), after
    begin, length = place.copy(), np.zeros(len(place), np.int64)
    begin[valid], length[valid], _ = values(data, place[valid])
    found = array(data, begin, length, valid)
    read = _MOMENTS.get(wire)
    if read is not None:
        found = pa.array([v if v is None else read(v).encode() for v in found.to_pylist()], pa.large_binary())
    return found, begin + length


def _numbers(data: Bytes, place: Places, valid: NDArray[np.bool_], kind: str) -> tuple[NDArray[Any], Places]:
    size = int(kind[1:])
    numbers = np.zeros(len(place), f"<{kind}")
    raw = np.ascontiguousarray(data[place[valid][:, None] + np.arange(size)])
    numbers[valid] = raw.view(f"<{kind}").reshape(-1)
    return numbers, place + size * valid


def _date(packed: bytes) -> str:
    """Return a date as it is printed; trailing parts that are zero are left out in the packed form."""
    year, month, day = struct.unpack_from("<HBB", packed.ljust(4, b"\0"))
    return f"{year:04}-{month:02}-{day:02}"


def _datetime(packed: bytes) -> str:
    hour, minute, second, fraction = struct.unpack_from("<BBBI", packed.ljust(11, b"\0"), 4)
    return f"{_date(packed)} {hour:02}:{minute:02}:{second:02}.{fraction:06}"


def _time(packed: bytes) -> str:
    negative, days, hour, minute, second, fraction = struct.unpack_from("<BIBBBI", packed.ljust(12, b"\0"))
    return f"{'-' if negative else ''}{days * 24 + hour:02}:{minute:02}:{second:02}.{fraction:06}"


_MOMENTS = {"DATE": _date, "NEWDATE": _date, "DATETIME": _datetime, "TIMESTAMP": _datetime, "TIME": _time}
