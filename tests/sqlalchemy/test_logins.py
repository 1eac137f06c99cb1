"""Passwords stay here: a server that has not proved who it is gets answers to its challenges, and no file."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
import pytest
from certificates import Authority
from servers import PASSWORD, USER, Server
from sql_tasks import run, uri
from thief import Thief, listening

from flytekitplugins.sqlalchemy import logins
from flytekitplugins.sqlalchemy.connections import parsed, target_of
from flytekitplugins.sqlalchemy.errors import InvalidTask, SQLTaskError, StatementFailed, UntrustedServer

FULL = b"\x01\x04"
"""What follows an answer by which caching_sha2_password wants the password itself."""

WAYS: dict[str, dict[str, Any]] = {
    "clear": {"switches_to": "mysql_clear_password"},
    "dialog": {"switches_to": "dialog"},
    "sha256": {"switches_to": "sha256_password"},
    "sha256 at once": {"greets_with": "sha256_password", "switches_to": "sha256_password"},
    "old": {"switches_to": "mysql_old_password"},
    "full": {"greets_with": "caching_sha2_password", "goes_on": FULL},
    "switched to full": {"switches_to": "caching_sha2_password", "goes_on": FULL},
    "unknown": {"switches_to": "\x1b[2Jplease"},
}
UNPROVED: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "in the clear": {"ssl_disabled": True},
    "TLS with anybody": {"ssl": {"cipher": "DEFAULT"}},
    "TLS that is not verified": {"ssl": {"ca": "CA", "check_hostname": False, "verify_mode": "none"}},
    "an authority of everybody": {"ssl": {"verify_mode": "required"}},
}


def address_of(thief: Thief, options: str = "") -> str:
    """Return the URI that leads to the thief."""
    return f"mysql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{thief.port}/db{options}"


def given(arguments: dict[str, Any], authority: Authority) -> dict[str, Any]:
    """Return the arguments with the authority's file in them."""
    tls = arguments.get("ssl")
    if isinstance(tls, dict) and "ca" in tls:
        return {**arguments, "ssl": {**tls, "ca": str(authority.ca)}}
    return arguments


@pytest.mark.parametrize("how", UNPROVED)
@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_only_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, how: str) -> None:
    """Whatever it asks for beyond a challenge, with TLS or without, it is refused and has nothing of the password."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with listening(Thief(**WAYS[way], certificate=authority.sign("else.example"))) as thief:
        with pytest.raises(UntrustedServer, match=r"asks for more than the answer.*was not sent\. Use TLS with") as no:
            run(address_of(thief), "select 1 as a", connect_args=given(UNPROVED[how], authority))
        assert thief.heard
        assert thief.logins == 0
        assert PASSWORD.encode() not in thief.has
        assert PASSWORD not in str(no.value)
        assert "\x1b" not in str(no.value)


def test_a_server_without_tls_where_it_was_asked_for(tmp_path: Path) -> None:
    """It gets no login at all."""
    authority = Authority(tmp_path)
    with listening(Thief(**WAYS["clear"])) as thief:
        with pytest.raises(StatementFailed, match="SSL is required"):
            run(address_of(thief, f"?ssl_ca={authority.ca}"), "select 1 as a")
        assert thief.heard == []


@pytest.mark.parametrize("options", ["?ssl_ca={ca}", "?ssl_ca={ca}&ssl_check_hostname=false"])
@pytest.mark.parametrize("way", ["clear", "sha256 at once", "full"])
def test_a_server_that_has_proved_who_it_is(tmp_path: Path, way: str, options: str) -> None:
    """Behind TLS with the certificate that was asked for, these ways are open, as for tokens of a cloud."""
    authority = Authority(tmp_path)
    signed = authority.sign("127.0.0.1" if "check" not in options else "else.example")
    with listening(Thief(**WAYS[way], certificate=signed)) as thief:
        with pytest.raises(InvalidTask, match="the driver refuses"):  # it has no word of SQL
            run(address_of(thief, options.format(ca=authority.ca)), "select 1 as a")
        assert thief.logins > 0
        assert PASSWORD.encode() in thief.has


def test_a_known_key_may_lock_the_password() -> None:
    """Who gives the server's own key sends the password to nobody else."""
    key = Thief.public_key()
    with listening(Thief(**WAYS["full"])) as thief:
        with pytest.raises(InvalidTask, match="the driver refuses"):
            run(address_of(thief), "select 1 as a", connect_args={"server_public_key": key, "ssl_disabled": True})
        assert PASSWORD.encode() in thief.has


@pytest.mark.parametrize("way", [{}, {"switches_to": "caching_sha2_password", "goes_on": b"\x01\x03"}])
def test_a_challenge_is_answered(way: dict[str, Any]) -> None:
    """The ways of every day, in which the password stays here, let in."""
    with listening(Thief(**way)) as thief:
        with pytest.raises(InvalidTask, match="the driver refuses"):
            run(address_of(thief), "select 1 as a")
        assert thief.logins > 0
        assert PASSWORD.encode() not in thief.has


def test_a_way_of_the_tasks_own() -> None:
    """A handler that the task brings along answers by itself; `dialog` it does not, where the driver answers."""
    with listening(Thief(switches_to="dialog")) as thief:
        with pytest.raises(UntrustedServer, match="dialog"):
            run(address_of(thief), "select 1 as a", connect_args={"auth_plugin_map": {"dialog": Handler}})
        assert PASSWORD.encode() not in thief.has
    with listening(Thief(switches_to="kerberos")) as thief:
        with pytest.raises(InvalidTask, match="the driver refuses"):
            run(address_of(thief), "select 1 as a", connect_args={"auth_plugin_map": {"kerberos": Handler}})
        assert thief.logins > 0
        assert b"a ticket" in thief.has


class Handler:
    """Answers with a ticket."""

    def __init__(self, connection: pymysql.connections.Connection[Any]) -> None:
        self.connection = connection

    def authenticate(self, _packet: object) -> object:
        """Send it, and return what comes back."""
        self.connection.write_packet(b"a ticket")  # type: ignore[attr-defined]
        return self.connection._read_packet()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("options", ["", "?local_infile=1"])
def test_no_file_is_sent(tmp_path: Path, options: str) -> None:
    """A server that answers a statement with the wish for a file gets none, even where files may be sent."""
    (tmp_path / "private").write_text("diary")
    with listening(Thief(wants=str(tmp_path / "private"))) as thief:
        with pytest.raises(StatementFailed, match=r"asks for a file of this machine\. .*local_infile"):
            run(address_of(thief, options), "select 1 as a")
        assert thief.logins > 0
        assert b"diary" not in thief.has


# ---------------------------------------------------------------------------------------------------------- PostgreSQL


@contextmanager
def postgres_that_asks(heard: list[bytes]) -> Iterator[int]:
    """Speak PostgreSQL's protocol so far as to ask for a password in the clear, and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    with client, suppress(OSError):
                        client.settimeout(20)
                        if client.recv(8)[4:] == struct.pack(">I", 80877103):  # TLS, please
                            client.sendall(b"N")
                        client.recv(1000)
                        client.sendall(b"R" + struct.pack(">II", 8, 3))
                        heard.append(client.recv(1000))

        threading.Thread(target=talk, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_postgres_that_only_asks() -> None:
    """PostgreSQL's own library refuses a password in the clear, too."""
    heard: list[bytes] = []
    with postgres_that_asks(heard) as port:
        with pytest.raises(UntrustedServer, match=r"cleartext password.*was not sent\. Use TLS with a verified"):
            run(f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/db", "select 1 as a")
    assert PASSWORD.encode() not in b"".join(heard)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", {"require_auth": "!password"}),
        ("?sslmode=require", {"require_auth": "!password"}),
        ("?sslmode=verify-ca", {"require_auth": "!password"}),
        ("?sslmode=verify-ca&sslrootcert=ca.pem", {}),
        ("?sslmode=verify-full", {}),
        ("?require_auth=password", {}),
    ],
)
def test_what_the_library_is_told(options: str, asked: dict[str, str]) -> None:
    """It is where no certificate is verified, and whoever says what he means is asked nothing."""
    assert logins.options(parsed(f"postgresql+psycopg://u@h/d{options}"), {}) == asked


# ---------------------------------------------------------------------------------------- options of the URI's query


@pytest.mark.parametrize("charset", ["utf16", "UTF16", "utf16le", "utf32", "ucs2", "utf-8", "klingon", "0"])
def test_a_charset_in_which_nothing_can_be_said(mariadb: Server, charset: str) -> None:
    """It is a fault of the config, and named."""
    for where, arguments in ((f"{uri(mariadb)}?charset={charset}", {}), (uri(mariadb), {"charset": charset})):
        with pytest.raises(InvalidTask, match=rf"no statement can be sent in the charset '{charset}'\. Take it out"):
            run(where, "select 1 as a", connect_args=arguments)


@pytest.mark.parametrize("charset", ["utf8", "utf8mb4", "latin1", "gbk"])
def test_a_charset_of_every_day(mariadb: Server, charset: str) -> None:
    """It goes on as before."""
    assert run(f"{uri(mariadb)}?charset={charset}", "select 'a' as a")["a"].tolist() == ["a"]


@pytest.mark.parametrize(
    "options",
    [
        "connect_timeout=soon", "connect_timeout=0", "read_timeout=-1", "compress=perhaps", "compress=1", "port=x",
        "client_flag=99999999999999", "conv=x", "cursorclass=x", "ssl=x", "auth_plugin_map=x", "charset=a&charset=b",
        "local_infile=perhaps", "colour=red", "ssl_cipher=none", "ssl_capath=/no/such",
    ],
)  # fmt: skip
def test_an_option_that_the_driver_does_not_take(mariadb: Server, options: str) -> None:
    """Whatever PyMySQL raises then, the task fails with an error of ours, and without the password."""
    with pytest.raises(SQLTaskError, match="^Cannot ") as caught:
        run(f"{uri(mariadb)}?{options}", "select 1 as a")
    assert PASSWORD not in str(caught.value)


def test_a_charset_from_a_secret_is_not_shown() -> None:
    """The message has stars for what came from a secret."""
    with pytest.raises(InvalidTask, match=r"in the charset '\*\*\*'"):
        target_of("mysql://u@h/d", connect_args={}, secrets={"charset": "sesame"}, connect_timeout_s=1, timeout_s=1)
