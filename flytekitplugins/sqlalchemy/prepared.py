"""Results with FLOATs from MySQL and MariaDB, exactly: as a prepared statement they come as bytes and not as text.

In text these servers print six digits of a FLOAT, so that 16777216 is 16777200. Other columns lose nothing in text, and
are turned into what the server would have printed, so that `columns` reads them as ever. Dolt prints FLOATs exactly and
is not asked. `results` asks `with_floats`, and reads with `taken_apart` what `execute` has begun.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pymysql import err
from pymysql.constants import FIELD_TYPE as T
from pymysql.constants import FLAG
from pymysql.protocol import FieldDescriptorPacket

from .wire import Column, Rows, array, values

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymysql.connections import Connection

    from .wire import Bytes, Places

_PREPARE, _EXECUTE, _CLOSE = 0x16, 0x17, 0x19
_AS_MANY_DIGITS_AS_NEEDED = 31
"""What a column without a fixed number of decimals has in their place."""
_NOT_OFFERED = {1047, 1235, 1295, 1461}
"""The codes for a statement that cannot be prepared, and for a server that has no or no more prepared statements."""
_FIXED = {T.TINY: "i1", T.SHORT: "i2", T.YEAR: "i2", T.INT24: "i4", T.LONG: "i4", T.LONGLONG: "i8"}
_FLOATS = {T.FLOAT: "f4", T.DOUBLE: "f8"}
_MOMENTS = (T.DATE, T.NEWDATE, T.DATETIME, T.TIMESTAMP)


def with_floats(connection: Connection[Any], sql: str) -> int | None:
    """Prepare a statement, and return its number if its rows have FLOATs that would lose digits, else None.

    Raises:
        pymysql.err.Error: what the server says of the statement.
    """
    raw: Any = connection
    raw._execute_command(_PREPARE, sql)
    try:
        number, columns, parameters = struct.unpack_from("<IHH", raw._read_packet().get_all_data(), 1)
    except err.Error as error:
        if error.args[0] in _NOT_OFFERED:
            return None
        raise
    for count in (parameters, columns):
        described = [raw._read_packet(FieldDescriptorPacket) for _ in range(count)]
        if count:
            raw._read_packet()
    if not parameters and any(c.type_code == T.FLOAT and c.scale >= _AS_MANY_DIGITS_AS_NEEDED for c in described):
        return int(number)
    raw._execute_command(_CLOSE, struct.pack("<I", number))
    return None


def execute(connection: Connection[Any], number: int) -> None:
    """Run a prepared statement, and leave its rows waiting on the connection."""
    raw: Any = connection
    raw._execute_command(_EXECUTE, struct.pack("<IBI", number, 0, 1))
    raw._read_query_result(unbuffered=True)


def taken_apart(rows: Rows, columns: list[Column]) -> list[pa.Array]:
    """Return the rows as an array for each column: numbers of FLOAT and DOUBLE, and else bytes as they are printed.

    Raises:
        pymysql.err.InternalError: the rows are not what the columns say.
    """
    bits = rows.starts + 1
    place = bits + (len(columns) + 9) // 8
    arrays = []
    for position, column in enumerate(columns, start=2):
        valid = (rows.data[bits + position // 8] >> (position % 8)) & 1 == 0
        found, place = _column(rows.data, place, valid, column)
        arrays.append(found)
    if not np.array_equal(place, rows.ends):
        raise err.InternalError("Malformed row packet")
    return arrays


def _column(data: Bytes, place: Places, valid: NDArray[np.bool_], column: Column) -> tuple[pa.Array, Places]:
    """Return the values of one column, and where in each row the next one begins."""
    code = column.type_code
    if code in _FLOATS:
        numbers, after = _numbers(data, place, valid, _FLOATS[code])
        return pa.array(numbers, mask=~valid), after
    if code in _FIXED:
        kind = _FIXED[code].replace("i", "u") if column.flags & FLAG.UNSIGNED else _FIXED[code]
        numbers, after = _numbers(data, place, valid, kind)
        return pa.array(numbers, mask=~valid).cast(pa.string()).cast(pa.large_binary()), after
    begin, length = place.copy(), np.zeros(len(place), np.int64)
    begin[valid], length[valid], _ = values(data, place[valid])
    found = array(data, begin, length, valid)
    if code in _MOMENTS or code == T.TIME:
        read = _time if code == T.TIME else _date if code in (T.DATE, T.NEWDATE) else _datetime
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
