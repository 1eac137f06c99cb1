"""A server that speaks as much of MySQL's protocol as it takes to be logged in to, and then is no friend."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CLIENT_FLAGS = 0x00000001 | 0x00000008 | 0x00000200 | 0x00002000 | 0x00008000 | 0x00080000
UTF8MB4 = 45


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def greeting() -> bytes:
    """Return what a server says first: it takes anybody's ``mysql_native_password``."""
    flags = struct.pack("<H", CLIENT_FLAGS & 0xFFFF), struct.pack("<H", CLIENT_FLAGS >> 16)
    salt = b"12345678", b"123456789012\0"
    start = b"\x0a8.0.33\0" + struct.pack("<I", 7) + salt[0] + b"\0" + flags[0] + bytes([UTF8MB4]) + b"\x02\0"
    return packet(0, start + flags[1] + bytes([21]) + bytes(10) + salt[1] + b"mysql_native_password\0")


def error(number: int, code: int, message: str) -> bytes:
    return packet(number, b"\xff" + struct.pack("<H", code) + b"#28000" + message.encode("utf-8", "replace"))


Answer = Callable[[socket.socket], None]
"""What is done with a client that has just connected."""


def refuses(code: int, message: str) -> Answer:
    """Return who reads the login and answers with an error."""

    def answer(client: socket.socket) -> None:
        client.sendall(greeting())
        client.recv(65536)
        client.sendall(error(2, code, message))

    return answer


def lets_in_and_refuses(code: int, message: str) -> Answer:
    """Return who takes the login, and answers each statement with an error."""

    def answer(client: socket.socket) -> None:
        client.sendall(greeting())
        client.recv(65536)
        client.sendall(packet(2, b"\0\0\0\x02\0\0\0"))
        while client.recv(65536):
            client.sendall(error(1, code, message))

    return answer


def hangs_up(client: socket.socket) -> None:
    """Say who one is, and be gone in the middle of the login."""
    client.sendall(greeting())
    client.recv(65536)


def says_nonsense(client: socket.socket) -> None:
    """Greet in a way that no driver is ready for."""
    client.sendall(packet(0, b"\x0a8.0.33\0\1"))
    client.recv(65536)


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """Give the port at which ``answer`` is done with each client, until the end of the block."""
    listener = socket.create_server(("127.0.0.1", 0))

    def attend(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            answer(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=attend, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
