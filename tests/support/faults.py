"""Faults for the tests of the SQLAlchemy plugin: what an error has to say, and what must not be left behind."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from canaries import texts_of
from flytekit.exceptions.user import FlyteRecoverableException
from proxy import Relay
from servers import DATABASE, PASSWORD, USER, Server
from waiting import eventually

from flytekitplugins.sqlalchemy.errors import SQLTaskError


@contextmanager
def relayed(server: Server) -> Iterator[tuple[Relay, Server]]:
    """Give a relay in front of the server, and the server as it is reached through it."""
    relay = Relay(server.port)
    try:
        yield relay, replace(server, port=relay.port)
    finally:
        relay.close()


@contextmanager
def refused(kind: type[SQLTaskError], match: str, *, query: str, at: str, recoverable: bool) -> Iterator[Any]:
    """Expect an error of this kind that says what each has to say, and holds nothing that it must not."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    error = caught.value
    said = str(error)
    assert type(error) is kind
    assert said.startswith("Cannot ")
    assert f"Query: {query.strip()}" in said
    assert at in said
    assert isinstance(error, FlyteRecoverableException) == recoverable
    assert_hidden(error, [PASSWORD])
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, copy.__dict__) == (kind, error.args, error.__dict__)


def assert_hidden(error: BaseException, secrets: list[str]) -> None:
    """See that an error and whatever hangs on it holds none of the secrets, in no spelling that matters."""
    seen = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        at = at.__cause__ or at.__context__
    shown = [str(one) + repr(one) + repr(one.__dict__) for one in seen]
    shown += ["".join(traceback.format_exception(error)), repr(pickle.dumps(error))]
    shown += [text for _, text in texts_of(error)]  # with the variables of all frames but those of tests
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), secret.replace("'", "''"), repr(secret)[1:-1]):
            assert form not in "\n".join(shown)


def address(server: Server) -> str:
    """Return the server's address as errors name it."""
    return f"{USER}@127.0.0.1:{server.port}"


def sessions(server: Server) -> list[Any]:
    """Return the other sessions of the tests' user on a server of MySQL's kind, as it lists them itself."""
    rows = server.sql("show full processlist")
    return [row for row in rows if row[1] == USER and not str(row[7]).lower().startswith("show full")]


@contextmanager
def nothing_left(server: Server, *, within_s: float = 30) -> Iterator[None]:
    """See that the block leaves no connection, here or on the server, and no thread."""
    before, threads = _sockets(), _threads()
    yield
    assert eventually(lambda: _threads() <= threads, within_s=within_s), _threads() - threads
    assert eventually(lambda: _sockets() <= before, within_s=within_s), _sockets() - before
    if server.kind != "postgresql" and server.process.poll() is None:
        assert eventually(lambda: not sessions(server), within_s=within_s), sessions(server)


def _threads() -> set[threading.Thread]:
    """Return the threads that keep a process alive; those of flytekit and of relays do not."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def _sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(descriptor))
    return {name for name in found if name.startswith("socket:")}


@contextmanager
def silent() -> Iterator[int]:
    """Give a port at which somebody takes connections and never says anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def psql(server: Server) -> Iterator[psycopg.Connection[Any]]:
    """Give a session with PostgreSQL for what a test prepares and checks."""
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
    ) as connection:
        yield connection


@contextmanager
def host_rules(admin: psycopg.Connection[Any], more: str) -> Iterator[None]:
    """Put rules of who may come from where before PostgreSQL's own, inside the block."""
    (name,) = admin.execute("show hba_file").fetchone() or ("",)
    before = Path(name).read_text()
    try:
        Path(name).write_text(more + before)
        admin.execute("select pg_reload_conf()")
        yield
    finally:
        Path(name).write_text(before)
        admin.execute("select pg_reload_conf()")
