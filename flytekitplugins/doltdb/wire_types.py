"""Columns of results as servers of MySQL's family announce them, and what both plugins make of them in Arrow.

Types go by the protocol's own names. Each plugin has types of its own beside these: how wide an integer is, what a
YEAR, a BIT(1) or a date before the year 1000 becomes, and from when on a DECIMAL has 256 bits. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

BINARY_CHARSET = 63
"""The character set number by which MySQL marks bytes."""

INTEGERS = {
    "TINY": (pa.int8(), pa.uint8()),
    "SHORT": (pa.int16(), pa.uint16()),
    "INT24": (pa.int32(), pa.uint32()),
    "LONG": (pa.int32(), pa.uint32()),
    "LONGLONG": (pa.int64(), pa.uint64()),
}
"""The narrowest types of integers, with a sign and without."""

EXACT = {
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "NEWDATE": pa.date32(),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIME": pa.duration("us"),
}
"""Types that have just one counterpart. TIME is a duration: SQL's goes from -838 to 838 hours."""

_MOST_DIGITS = 76
_TIME = r"^(?P<sign>-?)(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)(?:\.(?P<f>\d{1,6}))?$"


@dataclass(frozen=True)
class Column:
    """A column of a result, as the server announces it."""

    name: str
    wire: str
    """MySQL's name of the type on the wire, for example ``LONGLONG`` or ``NEWDECIMAL``."""
    unsigned: bool
    binary: bool
    length: int
    scale: int

    @property
    def digits(self) -> int:
        """How many digits a DECIMAL has; ``length`` counts the sign and the point as well."""
        signs = (0 if self.unsigned else 1) + (1 if self.scale else 0)
        return min(max(self.length - signs, self.scale, 1), _MOST_DIGITS)


def read_bits(raw: pa.Array) -> pa.Array:
    """Return what was printed of BIT columns as numbers.

    >>> read_bits(pa.array([b"AB", None])).to_pylist()
    [16706, None]
    """
    found = raw.dictionary_encode()
    numbers = pa.array([int.from_bytes(value, "big") for value in found.dictionary.to_pylist()], pa.uint64())
    return numbers.take(found.indices)


def read_times(text: pa.Array) -> pa.Array:
    """Return what was printed of TIME columns as durations.

    >>> read_times(pa.array(["-838:59:58.5", None])).cast(pa.int64()).to_pylist()
    [-3020398500000, None]

    Raises:
        pa.ArrowInvalid: a text is no time.
    """
    parts = pc.extract_regex(text, _TIME)
    if parts.null_count != text.null_count:
        raise pa.ArrowInvalid("not a time")
    hours, minutes, seconds = (pc.cast(pc.struct_field(parts, name), pa.int64()) for name in "hms")
    fraction = pc.cast(pc.utf8_rpad(pc.coalesce(pc.struct_field(parts, "f"), ""), 6, "0"), pa.int64())
    total = pc.add(
        pc.multiply(pc.add(pc.multiply(pc.add(pc.multiply(hours, 60), minutes), 60), seconds), 10**6), fraction
    )
    negative = pc.equal(pc.struct_field(parts, "sign"), "-")
    return pc.if_else(negative, pc.negate(total), total).cast(pa.duration("us"))
