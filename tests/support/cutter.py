"""A TCP proxy on loopback that cuts a connection in the middle of what the server sends, once or for good.

It knows nothing of what it passes on, so it counts the pieces that arrive.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cutter:
    """Passes everything on but one piece of an answer, the one with the number `at`, whose connection it resets."""

    def __init__(self, port: int) -> None:
        self.at = 0
        """The number of the piece that is lost, counted from when this was set; 0 is none."""

        self.passed = 0
        self.was_used = False
        self.is_for_good = False
        """Whether nobody gets through any more once a piece was lost."""

        self._lock = threading.Lock()
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, number: int, *, for_good: bool = False) -> None:
        """Lose the piece of that number from now on."""
        with self._lock:
            self.at, self.passed, self.was_used, self.is_for_good = number, 0, False, for_good

    @property
    def is_open(self) -> bool:
        """Whether somebody gets through."""
        return not (self.is_for_good and self.was_used)

    def close(self) -> None:
        """Take no new connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                if not self.is_open:
                    client.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pump, args=(client, there, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(there, client, True), daemon=True).start()

    def _pump(self, sender: socket.socket, receiver: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while part := sender.recv(65536):
                if (is_answer and self._is_lost()) or not self.is_open:
                    break
                receiver.sendall(part)
        for end in (sender, receiver):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _is_lost(self) -> bool:
        with self._lock:
            self.passed += 1
            is_lost = self.passed == self.at and not self.was_used
            self.was_used |= is_lost
            return is_lost


@contextmanager
def between(port: int) -> Iterator[Cutter]:
    """Give a proxy before a port, until the end of the block."""
    cutter = Cutter(port)
    try:
        yield cutter
    finally:
        cutter.close()
