"""A server that wants passwords: it greets as MySQL does, asks for a login as it was told to, and keeps what comes.

It is what takes a port, or what a name leads to, and no stand-in for Dolt: after the login it knows no statement.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from certificates import Signed
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_SALT = b"0123456789abcdefghij"
_TLS = 0x800
_CAPABILITIES = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000  # protocol 4.1, transactions, plugins, a database
_OK = b"\0\0\0\x02\0\0\0"
_TAKEN = b"\x01\x03"
_FILE_PLEASE = b"\xfb"
_KEY = rsa.generate_private_key(65537, 2048)
_PUBLIC_KEY = _KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


@dataclass
class Thief:
    """Listens on loopback, inside `listening`."""

    greets_with: str = "mysql_native_password"
    """The way to log in that its greeting names."""

    switches_to: str | None = None
    """The way that it asks for then; None keeps the first."""

    goes_on: bytes = b""
    """What it says to the answer, as an authentication that takes more than one."""

    certificate: Signed | None = None
    """What it proves a name with; without one it offers no TLS."""

    says: bytes = b""
    """What it says instead of a greeting."""

    wants: str | None = None
    """The file that it asks for when it is sent a SELECT."""

    port: int = 0
    logins: int = 0
    heard: list[bytes] = field(default_factory=list)
    """Every packet that came, after TLS."""

    @staticmethod
    def public_key() -> bytes:
        """Return the key that it sends."""
        return _PUBLIC_KEY

    @property
    def has(self) -> bytes:
        """All that came, with what was encrypted for its key beside."""
        opened = []
        for packet in self.heard:
            with suppress(ValueError):
                message = _KEY.decrypt(packet, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
                opened.append(bytes(byte ^ _SALT[at % len(_SALT)] for at, byte in enumerate(message)))
        return b"\n".join([*self.heard, *opened])

    def serve(self, client: socket.socket) -> None:
        """Talk with one client to its end."""
        talk = _Talk(self, client)
        with suppress(OSError, EOFError):
            talk.run()
        talk.client.close()  # which TLS may be around by now


@contextmanager
def listening(thief: Thief) -> Iterator[Thief]:
    """Let it take connections, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thief.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    client.settimeout(20)
                    threading.Thread(target=thief.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield thief
        finally:
            listener.shutdown(socket.SHUT_RDWR)


class _Talk:
    """One client."""

    def __init__(self, thief: Thief, client: socket.socket) -> None:
        self.thief, self.client, self.number = thief, client, 0

    def run(self) -> None:
        thief = self.thief
        self._say(thief.says or self._greeting())
        answer = self._hear()
        if thief.certificate is not None and len(answer) == 32:
            answer = self._behind_tls(thief.certificate)
        way = thief.greets_with
        if thief.switches_to is not None:
            way = thief.switches_to
            self._say(b"\xfe" + way.encode() + b"\0" + (b"\x05Password: " if way == "dialog" else _SALT + b"\0"))
            self._hear()
        if thief.goes_on:
            self._say(thief.goes_on)
            if thief.goes_on != _TAKEN:
                self._hear()
        if (thief.goes_on or way == "sha256_password") and self._last in (b"\x01", b"\x02"):  # please, your key
            self._say(b"\x01" + _PUBLIC_KEY)
            self._hear()
        thief.logins += 1
        self._say(_OK)
        self._statements()

    def _statements(self) -> None:
        while True:
            self.number = 0
            asked = self._hear()[1:7].lower() == b"select"
            self._say(_FILE_PLEASE + self.thief.wants.encode() if self.thief.wants and asked else _OK)

    def _greeting(self) -> bytes:
        bits = _CAPABILITIES | (_TLS if self.thief.certificate is not None else 0)
        low, high = bits & 0xFFFF, bits >> 16
        middle = struct.pack("<HBHHB10x", low, 45, 2, high, len(_SALT) + 1)
        name = self.thief.greets_with.encode() + b"\0"
        return b"\x0a8.0.36\0" + struct.pack("<I", 7) + _SALT[:8] + b"\0" + middle + _SALT[8:] + b"\0" + name

    def _behind_tls(self, signed: Signed) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed.certificate, signed.key)
        self.client = context.wrap_socket(self.client, server_side=True)
        return self._hear()

    def _say(self, payload: bytes) -> None:
        self.client.sendall(struct.pack("<I", len(payload))[:3] + bytes([self.number]) + payload)
        self.number += 1

    def _hear(self) -> bytes:
        header = self._exactly(4)
        self.number = header[3] + 1
        self._last = self._exactly(int.from_bytes(header[:3], "little"))
        self.thief.heard.append(self._last)
        return self._last

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.client.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
        return found
