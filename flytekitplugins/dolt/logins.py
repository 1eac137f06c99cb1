"""Logging in without telling the password: which answers may be given to a server that has not proved who it is.

A MySQL server says how a client is to log in, and may change its mind. Some ways answer a challenge, so that the
password stays here; others hand it over, in the clear or locked with a key that the peer itself has sent, and whoever
takes a port or a name would only have to ask. `asked_for` tells them apart. `relay` is for a driver that cannot be told
so: it passes its connections on and reads along until they are logged in. `engine` is the only caller.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CHALLENGES = ("", "mysql_native_password", "caching_sha2_password", "client_ed25519")
"""The ways to log in that begin with the answer to a challenge; "" is that of servers that name none."""

_FAST_WAY_DONE = b"\x01\x03"
_PIECE_BYTES = 1 << 18


def asked_for(packet: bytes) -> str | None:
    """Return the name of what a server asks for with a packet that it sends during the login, or None.

    None is what may be answered: a challenge, and the word that the login was taken or refused.
    """
    kind, rest = packet[:1], packet[1:]
    if kind == b"\xfe":  # another way, please; with nothing behind it, that of MySQL 4
        way = rest.partition(b"\0")[0].decode("ascii", "replace") or "mysql_old_password"
        return None if way in CHALLENGES else way
    if kind == b"\x01" and packet != _FAST_WAY_DONE:
        return "the password itself after a challenge"
    return None


class Relay:
    """A port of this machine that leads to a server."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self.port: int = self._listener.getsockname()[1]
        self.refused: str | None = None
        """What the server asked for and did not get."""

        threading.Thread(target=self._accept, name="dolt relay", daemon=True).start()

    def close(self) -> None:
        """Close the port and every connection."""
        with self._lock:
            self._is_closed = True
            for end in (self._listener, *self._open):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits there
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._pass_on, args=(client,), name="dolt relay", daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with suppress(OSError), client, self._connect() as there:
            with self._lock:
                if self._is_closed:
                    return
                self._open += [client, there]
            try:
                if self._log_in(client, there):
                    _pump(client, there)
            finally:
                with self._lock:
                    self._open = [end for end in self._open if end not in (client, there)]

    def _log_in(self, client: socket.socket, there: socket.socket) -> bool:
        """Pass the login on, packet by packet, and say whether it came to its end without more than challenges."""
        for sock in (client, there):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(_packet(there))
        there.sendall(_packet(client))
        while True:
            packet = _packet(there)
            said = packet[4:]
            self.refused = self.refused or asked_for(said)
            if self.refused is not None:
                return False
            client.sendall(packet)
            if said[:1] in (b"\0", b"\xff"):
                return True
            if said[:1] == b"\xfe":
                there.sendall(_packet(client))
            elif said != _FAST_WAY_DONE:
                return False  # no word of a login


def _pump(client: socket.socket, there: socket.socket) -> None:
    others = {client: there, there: client}
    while True:
        for sender in select.select([client, there], [], [])[0]:
            part = sender.recv(_PIECE_BYTES)
            if not part:
                return
            others[sender].sendall(part)


def _packet(sender: socket.socket) -> bytes:
    header = _exactly(sender, 4)
    return header + _exactly(sender, int.from_bytes(header[:3], "little"))


def _exactly(sender: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = sender.recv(size - len(parts))
        if not part:
            raise ConnectionResetError
        parts += part
    return bytes(parts)


@contextmanager
def relay(connect: Callable[[], socket.socket]) -> Iterator[Relay]:
    """Give a relay to where ``connect`` leads, until the end of the block."""
    opened = Relay(connect)
    try:
        yield opened
    finally:
        opened.close()
