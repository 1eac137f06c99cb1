"""Rows of the MySQL protocol, taken apart from bytes: every length that is written in its own way, cut anywhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flytekitplugins.doltdb import driver, text_rows

END = b"\x05\0\0\x07\xfe\0\0\2\0"
MORE = b"\x05\0\0\x07\xfe\0\0\x0a\0"
LONGEST = 0xFFFFFF


@dataclass
class Sent:
    """What a server has sent behind the columns, in parts of these lengths, again and again."""

    content: bytes
    lengths: list[int]
    place: int = 0
    calls: int = 0
    closed: list[str] = field(default_factory=list)

    @property
    def stream(self) -> Sent:
        return self

    def taken_early(self) -> bytes:
        return self.taken(1 << 17)

    def readinto(self, room: memoryview) -> int:
        assert len(room) > 0, "nothing was asked for"
        part = self.taken(len(room))
        room[: len(part)] = part
        return len(part)

    def taken(self, most: int) -> bytes:
        count = min(most, self.lengths[self.calls % len(self.lengths)])
        part = self.content[self.place : self.place + count]
        self.place, self.calls = self.place + len(part), self.calls + 1
        return part

    def hang_up(self) -> None:
        self.closed.append("hung up")

    def forget_rows(self) -> None:
        self.closed.append("forgotten")


def cell(value: bytes | None) -> bytes:
    """Return a value as the protocol writes it."""
    if value is None:
        return b"\xfb"
    for most, mark, form in (
        (250, b"", "<B"),
        (0xFFFF, b"\xfc", "<H"),
        (LONGEST, b"\xfd", "<I"),
        (1 << 40, b"\xfe", "<Q"),
    ):
        if len(value) <= most:
            return mark + struct.pack(form, len(value))[: 3 if mark == b"\xfd" else 8] + value
    raise AssertionError(len(value))


def packets(content: bytes, number: int = 0) -> bytes:
    """Return a row as packets, the last of which is shorter than the longest."""
    parts = [content[first : first + LONGEST] for first in range(0, len(content) + 1, LONGEST)]
    return b"".join(
        len(part).to_bytes(3, "little") + bytes([(number + more) % 256]) + part for more, part in enumerate(parts)
    )


def written(rows: list[list[bytes | None]], end: bytes = END) -> bytes:
    """Return all rows as packets, and what ends them."""
    return b"".join(packets(b"".join(map(cell, row)), number) for number, row in enumerate(rows)) + end


def taken(sent: Any, columns: int) -> Iterator[list[pa.Array]]:
    return text_rows.pieces(sent, take_apart=lambda rows: text_rows.taken_apart(rows, columns))


def values(sent: Sent, columns: int) -> list[list[bytes | None]]:
    return [list(row) for piece in taken(sent, columns) for row in zip(*(a.to_pylist() for a in piece), strict=True)]


CELLS = st.one_of(
    st.none(),
    st.binary(max_size=12),
    st.integers(0, 700).map(bytes),  # zeros, as the headers of short packets have
    st.sampled_from([b"\xfe\0\0\2\0", b"\xff\xff\xff", b"\x05\0\0\x07\xfe", END, b"x" * 250, b"x" * 251]),
)


@st.composite
def results(draw: st.DrawFn) -> tuple[int, list[list[bytes | None]]]:
    columns = draw(st.integers(1, 4))
    return columns, draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), max_size=30))


@settings(deadline=None)
@given(result=results(), lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=5), piece=st.integers(16, 4000))
def test_rows_come_as_they_were_sent(
    result: tuple[int, list[list[bytes | None]]], lengths: list[int], piece: int
) -> None:
    """Whatever is in them, however the network cuts them, and however little is taken apart at once."""
    columns, rows = result
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_rows, "PIECE_BYTES", piece)
        sent = Sent(written(rows), lengths)
        assert values(sent, columns) == rows
    assert sent.closed == ["forgotten"]
    assert sent.place == len(sent.content)


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 20_000])
def test_many_short_rows(rows: int) -> None:
    """They are found all at once; the count of packets begins again at zero after 256 of them."""
    told = [[b"%d" % n, None if n % 7 == 0 else b"", b"abc"] for n in range(rows)]
    assert values(Sent(written(told), [1 << 16]), 3) == told


@pytest.mark.parametrize("size", [0, 250, 251, 252, 255, 256, 0xFFFF, 0x10000, 0x10001])
def test_each_form_of_a_length(size: int) -> None:
    """Beside values of another form in the same column, and behind one of the same."""
    told = [[b"a", b"q" * size, None], [b"q" * size, b"b", b""], [None, None, b"q" * size]]
    assert values(Sent(written(told), [1 << 16]), 3) == told


# A row's packet is cut where it is longer than 16 MiB - 2; the value's own length takes 4 or 9 bytes of it.
@pytest.mark.parametrize("size", [LONGEST - 5, LONGEST - 4, LONGEST - 3, LONGEST - 1, LONGEST, 2 * LONGEST - 9])
def test_rows_of_several_packets(size: int) -> None:
    """A row that fills the longest packet goes on in the next one, which may be empty."""
    told: list[list[bytes | None]] = [[b"before"], [b"q" * size], [b"after"]]
    assert values(Sent(written(told), [1 << 30]), 1) == told
    assert values(Sent(written(told), [1 << 18]), 1) == told


def test_a_piece_has_a_bound() -> None:
    """So the memory that is needed does not depend on how many rows there are."""
    told: list[list[bytes | None]] = [[b"x" * 2000]] * 20_000
    pieces = list(taken(Sent(written(told), [1 << 16]), 1))
    assert sum(len(piece[0]) for piece in pieces) == 20_000
    assert max(piece[0].nbytes for piece in pieces) <= 1.1 * text_rows.PIECE_BYTES


@pytest.mark.parametrize("length", [1, 3, 10, 1 << 16])
@pytest.mark.parametrize("value", [b"1", b"\xff" * 99, b"\xfe\xff" * 9, b"q" * 70_000])
def test_an_error_among_the_rows(length: int, value: bytes) -> None:
    """What the server says is raised, however it comes in parts and whatever the rows before it hold."""
    error = packets(b"\xff" + struct.pack("<H", 1105) + b"#HY000row 2 is bad")
    sent = Sent(written([[value]] * 3, end=error), [length])
    with pytest.raises(driver.Error) as caught:
        list(taken(sent, 1))
    assert caught.value.args == (1105, "row 2 is bad")
    assert sent.closed == ["hung up"]


@pytest.mark.parametrize("between", [b"", b"\0" * 40, b"\xff" * 200, b"x" * 300])
def test_rows_up_to_64_kib_and_beyond(between: bytes) -> None:
    """Short and long ones in turns, also where blobs look as a row begins."""
    told: list[list[bytes | None]] = [
        [b"%d" % n, b"q" * size, between] for n, size in enumerate([9, 65_200, 300, 65_600, 3, 131_072, 250] * 9)
    ]
    assert values(Sent(written(told), [40_000]), 3) == told


@pytest.mark.parametrize("kept", [0, 2, 9, 30, 61])
def test_a_stream_that_ends_too_early(kept: int) -> None:
    """Wherever it breaks off, the connection was lost."""
    sent = Sent(written([[b"some text", b"x"]] * 4)[:kept], [7])
    with pytest.raises(driver.OperationalError) as caught:
        list(taken(sent, 2))
    assert caught.value.args[0] == driver.LOST
    assert sent.closed == ["hung up"]


def test_a_second_result() -> None:
    """It is refused, not taken for rows of the first."""
    with pytest.raises(driver.NotSupportedError):
        list(taken(Sent(written([[b"1"]], end=MORE), [1 << 16]), 1))


@pytest.mark.parametrize(
    "row",
    [
        b"\x01a",  # a value too few
        b"\x01a\x01b\x01c",  # one too many
        b"\x01a\x09b",  # longer than the row
        b"\x01a\xfd\xff\xff\x7f",  # longer than all that was sent
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01b",  # less than nothing, to who counts with a sign
        b"\xfe\xf0\xff\xff\xff\xff\xff\xff\xff\x01b",
        b"\xfc\x01",  # a length that is cut off
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_rows_that_are_none(row: bytes, before: int) -> None:
    """A length that does not fit is an error; nothing is read from where it points to."""
    sent = Sent(written([[b"1", b"2"]] * before, end=packets(row) + END), [1 << 16])
    with pytest.raises(driver.InternalError, match="Malformed"):
        list(taken(sent, 2))
    assert sent.closed == ["hung up"]


def test_who_stops_early_hangs_up() -> None:
    """The rest of the rows is on its way, and no statement could be answered behind them."""
    sent = Sent(written([[b"x" * 200]] * 20_000), [1 << 16])
    rows = taken(sent, 1)
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert sent.closed == ["hung up"]
