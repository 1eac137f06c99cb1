"""Logging in without telling the password to whoever asks: a server may choose the way, and may be anybody.

Where no verified certificate proves who the server is, a driver may answer its challenges and no more. PyMySQL is told
so by a session class of ours, PostgreSQL's library by an option of its own. Other drivers go by their own rules.
"""

from __future__ import annotations

import importlib
import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pymysql

import sqlalchemy

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

_CHALLENGES = ("", "mysql_native_password", "caching_sha2_password", "client_ed25519")
_ASKS_FOR_PASSWORD, _WANTS_FILE = 2059, 2068  # MySQL's own codes for such ways to log in, and for such files
_FAST_WAY_DONE, _IN_FULL = b"\x01\x03", b"\x01\x04"
_LIBPQ = {"psycopg": ("psycopg.pq", "version"), "psycopg2": ("psycopg2.extensions", "libpq_version")}
_OLDEST_LIBPQ = 160000
"""The first version of PostgreSQL's library that can be told which ways to log in are meant."""


def keep_passwords(engine: Engine) -> None:
    """Have an engine whose driver is PyMySQL hand passwords and files to a server only that proved who it is."""
    if engine.url.drivername.endswith("+pymysql"):
        sqlalchemy.event.listen(
            engine, "do_connect", lambda _dialect, _record, args, options: _Session(*args, **options)
        )


def options(url: URL, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells PostgreSQL's library the same; empty for other drivers, and for those that are too old."""
    asked = {**url.query, **given}
    module, version = _LIBPQ.get(url.drivername.partition("+")[2], ("", ""))
    if not module or "require_auth" in asked:
        return {}
    mode = asked.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode == "verify-full" or (mode == "verify-ca" and (asked.get("sslrootcert") or "PGSSLROOTCERT" in os.environ)):
        return {}
    try:
        known = getattr(importlib.import_module(module), version)()
    except ImportError:  # which is said when the engine is made
        return {}
    return {"require_auth": "!password"} if known >= _OLDEST_LIBPQ else {}


class _Session(pymysql.connections.Connection):
    """A session that answers challenges, and hands passwords and files to a server only that proved who it is."""

    _has_authority = False

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        self._has_authority = isinstance(sslp, ssl.SSLContext) or bool(sslp.get("ca") or sslp.get("capath"))
        context: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
        return context

    @property
    def _is_proved(self) -> bool:
        """Whether the server needs a certificate that only the one that is meant can have."""
        if not vars(self)["_ssl_required"]:
            return False
        context: ssl.SSLContext = vars(self)["ctx"]
        return context.verify_mode == ssl.CERT_REQUIRED and (context.check_hostname or self._has_authority)

    def _request_authentication(self) -> None:
        if self._is_proved:
            super()._request_authentication()  # type: ignore[misc]
            return
        self._local_infile = False  # the server says which file, whatever the statement said
        wished = vars(self).get("_auth_plugin_name", "")  # no more than what the server would like best
        self._auth_plugin_name = wished if wished in _CHALLENGES else ""
        vars(self)["_read_packet"] = self._read_login_packet  # not for good: it is called for every row, too
        try:
            super()._request_authentication()  # type: ignore[misc]
        finally:
            del vars(self)["_read_packet"]

    def _read_login_packet(self, *kind: Any) -> Any:
        packet = super()._read_packet(*kind)  # type: ignore[no-untyped-call]
        asked = self._asked_for(packet.get_all_data())
        if asked is not None:
            raise pymysql.err.OperationalError(
                _ASKS_FOR_PASSWORD, f"the server asks for more than the answer to a challenge ({asked[:80]!r})"
            )
        return packet

    def _asked_for(self, packet: bytes) -> str | None:
        kind, rest = packet[:1], packet[1:]
        if kind == b"\xfe":  # another way, please; with nothing behind it, that of MySQL 4
            way = rest.partition(b"\0")[0].decode("ascii", "replace") or "mysql_old_password"
            of_the_task = way != "dialog" and way in (vars(self)["_auth_plugin_map"] or ())
            return None if way in _CHALLENGES or of_the_task else way
        if packet == _IN_FULL and vars(self)["server_public_key"]:  # the password is locked with the known key
            return None
        if kind == b"\x01" and packet != _FAST_WAY_DONE:
            return "the password itself after a challenge"
        return None

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        try:
            affected: int = super().query(sql, unbuffered)
        except RuntimeError as error:  # so the driver refuses to send one
            raise pymysql.err.OperationalError(
                _WANTS_FILE,
                "the server asks for a file of this machine, which it gets with local_infile and after it has proved "
                "with a certificate who it is",
            ) from error
        return affected
