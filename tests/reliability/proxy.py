"""A TCP proxy on loopback between the engine and a real server, which cuts a connection at a chosen statement."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from flytekitplugins.dolt import engine, server

Verdict = Literal["pass", "cut before", "cut after"]
_COM_QUERY = 3


class Proxy:
    """Passes everything on, until `rule` says of a statement that its connection is to be cut.

    "cut before" loses the statement, "cut after" its answer. While `is_open` is false, nobody gets through at all.
    """

    def __init__(self, port: int) -> None:
        self.is_open = True
        self.statements: list[str] = []
        self.rule: Callable[[str], Verdict] = lambda statement: "pass"
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

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
                threading.Thread(target=self._pump_answers, args=(there, client), daemon=True).start()
                threading.Thread(target=self._pump_statements, args=(client, there), daemon=True).start()

    def _pump_answers(self, there: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := there.recv(65536):
                client.sendall(part)
        _cut(there, client)

    def _pump_statements(self, client: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while packet := _packet(client):
                verdict: Verdict = "pass"
                if packet[3] == 0 and packet[4] == _COM_QUERY:
                    statement = packet[5:].decode(errors="replace")
                    self.statements.append(statement)
                    verdict = self.rule(statement) if self.is_open else "cut before"
                if verdict != "cut before":
                    there.sendall(packet)
                if verdict != "pass":
                    break
        _cut(client, there)


def _packet(sender: socket.socket) -> bytes:
    """Return one whole packet of the MySQL protocol, or nothing at the end."""
    head = _exactly(sender, 4)
    return head + _exactly(sender, int.from_bytes(head[:3], "little")) if head else b""


def _exactly(sender: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = sender.recv(count - len(found))
        if not part:
            return b""
        found += part
    return found


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def between(repo: Path, patch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Have the engine of this process reach the repository's server through a proxy inside the block."""
    using = server.using
    with using(repo) as address:
        proxy = Proxy(address.port)

        @contextmanager
        def by_proxy(place: Path, **options: float) -> Iterator[server.Address]:
            with using(place, **options) as address:
                yield replace(address, port=proxy.port)

        with patch.context() as inside:
            inside.setattr(engine.server, "using", by_proxy)
            inside.setattr(engine.server, "release", lambda place: engine._pools.pop(place, None))
            try:
                yield proxy
            finally:
                proxy.close()
                engine._pools.pop(repo, None)
