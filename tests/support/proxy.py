"""The TCP proxy on loopback between a test and a real server, which cuts a connection at a chosen moment.

`Proxy` cuts at a statement or after so many bytes of an answer, `Relay` does something within an answer, and `Cutter`
knows nothing of what it passes on, and loses one piece of an answer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import pytest

from flytekitplugins.dolt.repository import connections
from flytekitplugins.dolt.server import local_server

Verdict = Literal["pass", "cut before", "cut after"]
_COM_QUERY = 3


class Proxy:
    """Passes everything on, until `rule` says of a statement that its connection is to be cut.

    "cut before" loses the statement, "cut after" its answer. While `is_open` is false, nobody gets through at all.
    `answers_left` is the number of bytes after which an answer is cut, if it is not None, and `closes` says whether
    nobody gets through after that. What is encrypted is only passed on.
    """

    resets = False
    """Whether who is cut off is told so by a reset."""

    def __init__(self, port: int, *, is_encrypted: bool = False) -> None:
        self.is_open = True
        self.answers_left: int | None = None
        self.closes = False
        self._is_encrypted = is_encrypted
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
            while self.answers_left != 0 and (part := there.recv(65536)):
                client.sendall(self._allowed(part))
        if self.answers_left == 0:
            self.answers_left, self.is_open = None, not self.closes
        self._cut(there, client)

    def _allowed(self, part: bytes) -> bytes:
        if self.answers_left is not None:
            part = part[: self.answers_left]
            self.answers_left -= len(part)
        return part

    def _pump_statements(self, client: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self._is_encrypted and (part := client.recv(65536)) and self.is_open:
                there.sendall(part)
            while not self._is_encrypted and (packet := _packet(client)):
                verdict: Verdict = "pass"
                if packet[3] == 0 and packet[4] == _COM_QUERY:
                    statement = packet[5:].decode(errors="replace")
                    self.statements.append(statement)
                    verdict = self.rule(statement) if self.is_open else "cut before"
                if verdict == "cut after":
                    client.shutdown(socket.SHUT_WR)  # first, or the answer might be faster than the cut
                if verdict != "cut before":
                    there.sendall(packet)
                if verdict != "pass":
                    break
        self._cut(client, there)

    def _cut(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                if self.resets:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Relay(Proxy):
    """A proxy that does something in the middle of an answer: `fault` is called once so many bytes of it have passed.

    If it returns false, the connection is cut there; else the answer goes on.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.fault: Callable[[], bool] | None = None
        self._left = 0

    def expect(self, statement: str, fault: Callable[[], bool], *, after_bytes: int = 0) -> None:
        """Have the fault happen within the answer to the next statement that begins like this."""

        def rule(sent: str) -> Any:
            if sent.lower().startswith(statement.lower()):
                self.fault, self._left = fault, after_bytes
                self.rule = lambda later: "pass"
            return "pass"

        self.rule = rule

    def _pump_answers(self, there: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := there.recv(65536):
                self._left -= len(part)
                if self.fault is not None and self._left < 0:
                    fault, self.fault = self.fault, None
                    if not fault():
                        break
                client.sendall(part)
        self._cut(there, client)

    def sent(self, statement: str) -> int:
        """Return how many statements that begin like this went to the server."""
        return sum(1 for sent in self.statements if sent.lower().startswith(statement.lower()))


class Cutter(Proxy):
    """A proxy that loses one piece of an answer, the one with the number `at`, and resets its connection.

    It knows nothing of what it passes on, so it counts the pieces that arrive.
    """

    resets = True

    def __init__(self, port: int) -> None:
        super().__init__(port, is_encrypted=True)
        self.at = 0
        """The number of the piece that is lost, counted from when this was set; 0 is none."""

        self.passed = 0
        self.was_used = False
        self._lock = threading.Lock()

    def cut_at(self, number: int, *, for_good: bool = False) -> None:
        """Lose the piece of that number from now on; with ``for_good``, nobody gets through after that."""
        with self._lock:
            self.at, self.passed, self.was_used, self.closes, self.is_open = number, 0, False, for_good, True

    def _pump_answers(self, there: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (part := there.recv(65536)) and not self._is_lost() and self.is_open:
                client.sendall(part)
        self._cut(there, client)

    def _is_lost(self) -> bool:
        with self._lock:
            self.passed += 1
            is_lost = self.passed == self.at and not self.was_used
            self.was_used |= is_lost
            if is_lost:
                self.is_open = not self.closes
            return is_lost


class Once:
    """A rule that cuts at the first statement that contains ``word``, from the ``number``-th statement on."""

    def __init__(self, verdict: Verdict, *, word: str = "", number: int = 0) -> None:
        self.verdict, self.word, self.waiting = verdict, word, number
        self.was_used = False

    def __call__(self, statement: str) -> Verdict:
        self.waiting -= 1
        if self.was_used or self.waiting > 0 or self.word not in statement:
            return "pass"
        self.was_used = True
        return self.verdict


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


class Apart:
    """A proxy in a process of its own, so that nothing in this one holds it up."""

    def __init__(self, ours: Connection, port: int) -> None:
        self._ours = ours
        self.port = port

    def cut_after(self, count: int, *, and_close: bool = False) -> None:
        """Cut an answer after so many more bytes; with ``and_close``, nobody gets through after that."""
        self._ours.send((count, and_close))
        assert self._ours.recv() == (count, and_close)

    def has_cut(self) -> bool:
        """Whether an answer was cut since it was told to."""
        self._ours.send(None)
        return bool(self._ours.recv())


@contextmanager
def apart(target: int, *, is_encrypted: bool = False) -> Iterator[Apart]:
    """Give a proxy in front of the port ``target``, which runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, target, is_encrypted), daemon=True)
    process.start()
    try:
        yield Apart(ours, ours.recv())
    finally:
        process.terminate()
        process.join()
        process.close()
        ours.close()
        theirs.close()


def _serve(orders: Connection, target: int, is_encrypted: bool) -> None:
    proxy = Proxy(target, is_encrypted=is_encrypted)
    orders.send(proxy.port)
    while True:
        order = orders.recv()
        if order is None:
            orders.send(proxy.answers_left is None)
        else:
            proxy.answers_left, proxy.closes = order
            orders.send(order)


@contextmanager
def between(repo: Path, patch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Have the engine of this process reach the repository's server through a proxy inside the block."""
    using = local_server.using
    with using(repo) as address:
        proxy = Proxy(address.port)

        @contextmanager
        def by_proxy(place: Path, **options: float) -> Iterator[local_server.Address]:
            with using(place, **options) as address:
                yield replace(address, port=proxy.port)

        with patch.context() as inside:
            inside.setattr(connections.local_server, "using", by_proxy)
            inside.setattr(connections.local_server, "release", lambda place: connections._pools.pop(place, None))
            try:
                yield proxy
            finally:
                proxy.close()
                connections._pools.pop(repo, None)
