"""PyMySQL: the one file that imports it, and the only one that knows which of its parts are not public.

Both plugins get their connections from here. What they need beyond the public API (the columns as the server announces
them, values as it printed them, the stream of rows, prepared statements, timeouts) are methods of `Connection` with
plain names, so a new version of PyMySQL is held against this file alone. What an error means is not said here.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import pymysql.charset
import pymysql.connections
from pymysql.constants import CR, FIELD_TYPE, FLAG
from pymysql.err import Error as Error
from pymysql.err import InterfaceError as InterfaceError
from pymysql.err import InternalError as InternalError
from pymysql.err import MySQLError as MySQLError
from pymysql.err import NotSupportedError as NotSupportedError
from pymysql.err import OperationalError as OperationalError
from pymysql.err import raise_mysql_exception
from pymysql.protocol import FieldDescriptorPacket

from . import logins
from .wire_types import BINARY_CHARSET, Column

NO_TLS = CR.CR_SSL_CONNECTION_ERROR
"""The driver's code for a server that offers no TLS where it was asked for."""
LOST = CR.CR_SERVER_LOST
"""The code for a connection that broke."""
SENT_AHEAD = "sent_ahead"
"""The attribute of errors that says that another statement failed than the one which raised: one sent ahead of it."""
_WANTS_PASSWORD, _WANTS_FILE = CR.CR_AUTH_PLUGIN_CANNOT_LOAD, 2068
_MOST_BUFFERED = 1 << 17  # bytes; more than a buffered file reads at once
_QUERY, _PREPARE, _EXECUTE, _CLOSE = 0x03, 0x16, 0x17, 0x19
_WIRE_NAMES = {
    code: name for name, code in vars(FIELD_TYPE).items() if isinstance(code, int) and name not in ("CHAR", "INTERVAL")
}


class PasswordWanted(OperationalError):
    """The server asks for the password itself, and has not proved who it is; it was not sent."""


@dataclass(frozen=True)
class Prepared:
    """A statement that the server has prepared."""

    number: int
    """The server's number of it."""
    parameters: int
    columns: list[Column]


def knows_charset(name: str) -> bool:
    """Whether the driver knows a character set of this name."""
    return pymysql.charset.charset_by_name(name) is not None


def raise_from(packet: bytes) -> NoReturn:
    """Raise what the server says in a packet that is an error.

    Raises:
        Error: always.
    """
    raise_mysql_exception(packet)


def logged_in(
    host: str, port: int, *, user: str, password: str, tls: ssl.SSLContext | None, has_authority: bool, timeout_s: float
) -> Connection:
    """Return a connection over TCP, with ``tls`` or in the clear.

    ``has_authority`` says whether ``tls`` knows the one authority that signs for this server; see `Connection`.
    ``timeout_s`` holds until the server has let us in; statements may take as long as they need.
    """
    connection = Connection(
        host=host,
        port=port,
        user=user,
        password=password.encode(),  # the driver would send Latin-1, servers compare UTF-8
        charset="utf8mb4",
        connect_timeout=timeout_s,
        read_timeout=timeout_s,  # the other one ends with the TCP handshake
        ssl_disabled=tls is None,  # on loopback asking for it costs 60 ms a connection
        ssl=tls,
        # PyMySQL takes Dolt's greeting for "autocommit is off" and never says so; the server's own setting is on, and
        # transactions are opened in words where they are wanted.
        autocommit=None,
        defer_connect=True,
    )
    connection.has_authority = has_authority
    connection.connect()
    connection.set_read_timeout(None)
    return connection


class Connection(pymysql.connections.Connection):
    """A connection that answers challenges, and hands passwords and files to a server only that proved who it is.

    The proof is a verified certificate for the name of the host, or one of an authority that was named for it.
    """

    has_authority = False
    """Whether the certificate is verified by authorities that the user named, not by all that the machine knows."""

    _waiting: bytes | None = None
    """What is sent together with more that is to come; None is nothing of that kind."""
    _owed = 0
    """How many answers have not been looked at."""

    ctx: ssl.SSLContext
    _auth_plugin_map: Mapping[str, Any]
    _auth_plugin_name: str
    _next_seq_id: int
    _read_timeout: float | None
    _result: Any
    _rfile: Any
    _sock: socket.socket
    _ssl_required: bool

    # ------------------------------------------------------------------------------------------------------ the login

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        self.has_authority = isinstance(sslp, ssl.SSLContext) or bool(sslp.get("ca") or sslp.get("capath"))
        context: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
        return context

    @property
    def is_proved(self) -> bool:
        """Whether the server needs a certificate that only the one that is meant can have."""
        if not self._ssl_required:
            return False
        return self.ctx.verify_mode == ssl.CERT_REQUIRED and (self.ctx.check_hostname or self.has_authority)

    def _request_authentication(self) -> None:
        if self.is_proved:
            super()._request_authentication()  # type: ignore[misc]
            return
        self._local_infile = False  # the server says which file, whatever the statement said
        if self._auth_plugin_name not in logins.CHALLENGES:  # no more than what the server would like best
            self._auth_plugin_name = ""
        vars(self)["_read_packet"] = self._read_login_packet  # not for good: it is called for every row, too
        try:
            super()._request_authentication()  # type: ignore[misc]
        finally:
            del vars(self)["_read_packet"]

    def _read_login_packet(self, *kind: Any) -> Any:
        packet = super()._read_packet(*kind)  # type: ignore[no-untyped-call]
        asked = logins.asked_for(
            packet.get_all_data(), handled=self._auth_plugin_map, knows_key=bool(self.server_public_key)
        )
        if asked is not None:
            raise PasswordWanted(
                _WANTS_PASSWORD, f"the server asks for more than the answer to a challenge ({asked[:80]!r})"
            )
        return packet

    # --------------------------------------------------------------------------------------------- statements and rows

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        """Send a statement, and read its rows unless they are ``unbuffered``."""
        try:
            affected: int = super().query(sql, unbuffered)
        except RuntimeError as error:  # so the driver refuses to send one
            raise OperationalError(_WANTS_FILE, "the server asks for a file of this machine") from error
        return affected

    def columns(self) -> list[Column]:
        """Return the columns of the last statement's result; none for a statement without rows."""
        result = self._result  # the flags and charset are not in the public description
        return _described(result.fields) if result is not None and result.description else []

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last statement, which was not unbuffered."""
        return list(self._result.rows or ())

    def rows_of_each(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Send statements together, before the first is answered, and return the rows of each.

        All are run, also those behind one that fails, which is raised when all have been answered.
        """
        with self._together():
            for statement in statements:
                self._command(_QUERY, statement)
        found: list[list[tuple[Any, ...]]] = []
        failed: Error | None = None
        for _ in statements:
            self._next_seq_id = 1  # an answer's packets are counted on from those of its statement
            try:
                self._read_query_result()  # type: ignore[attr-defined]
            except Error as error:
                if not self.open:  # nothing more comes
                    raise
                failed = failed or error
            else:
                found.append(self.rows())
        if failed is not None:
            raise failed
        return found

    def send_ahead(self, statements: Sequence[str]) -> None:
        """Send statements that give no rows; answers are looked at, and errors raised, before the next one is sent."""
        with self._together():
            for statement in statements:
                self._command(_QUERY, statement)
        self._owed = len(statements)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Have what is written in the block sent at its end, in one piece."""
        self._waiting = b""
        try:
            yield
        finally:
            waiting, self._waiting = self._waiting, None
        self._write_bytes(waiting)

    def _write_bytes(self, data: bytes) -> None:
        if self._waiting is None:
            super()._write_bytes(data)  # type: ignore[misc]
        else:
            self._waiting += data

    @property
    def has_more_results(self) -> bool:
        """Whether the last statement gives another result, which `next_result` reads."""
        return bool(self._result.has_next)

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Have values of results that are asked for in the block come as the server printed them, in bytes."""
        decoders, self.decoders = self.decoders, {}
        use_unicode, self.use_unicode = self.use_unicode, False
        try:
            yield
        finally:
            self.decoders, self.use_unicode = decoders, use_unicode

    @property
    def stream(self) -> Any:
        """The bytes that the server sends, as a file without a buffer; what `taken_early` gives stands before them."""
        return self._rfile.raw

    def taken_early(self) -> bytes:
        """Return what the driver has read of the rows of an unbuffered result, and will not look at any more."""
        early: bytes = self._rfile.read1(_MOST_BUFFERED)  # from the server only if there is nothing in the buffer
        return early

    def forget_rows(self) -> None:
        """Take the waiting result from the driver, which would read on where the `stream` was left."""
        if self._result is not None:
            self._result.unbuffered_active, self._result.connection = False, None

    def hang_up(self) -> None:
        """Close the connection at once: without a word to the server, or a look at rows that are on their way."""
        self.forget_rows()
        self._force_close()  # type: ignore[attr-defined]

    # ---------------------------------------------------------------------------------------------- prepared statements

    def prepare(self, sql: str) -> Prepared:
        """Have the server prepare a statement.

        Raises:
            Error: what the server says of the statement.
        """
        self._command(_PREPARE, sql)
        number, columns, parameters = struct.unpack_from("<IHH", self._packet().get_all_data(), 1)
        described: list[Any] = []
        for count in (parameters, columns):
            described = [self._packet(FieldDescriptorPacket) for _ in range(count)]
            if count:
                self._packet()
        return Prepared(number, parameters, _described(described))

    def run_prepared(self, number: int) -> None:
        """Run a prepared statement, and leave its rows waiting in the `stream`."""
        self._command(_EXECUTE, struct.pack("<IBI", number, 0, 1))
        self._read_query_result(unbuffered=True)  # type: ignore[attr-defined]

    def forget_prepared(self, number: int) -> None:
        """Tell the server that a prepared statement is not needed any more."""
        self._command(_CLOSE, struct.pack("<I", number))

    def _command(self, command: int, content: str | bytes) -> None:
        self._execute_command(command, content)

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self.see_done()
        super()._execute_command(command, sql)  # type: ignore[misc]

    def see_done(self) -> None:
        """Wait for what was sent ahead.

        Raises:
            Error: what the server says of it; marked with `SENT_AHEAD`.
        """
        while self._owed and self.open:  # nothing more comes where it broke, which the next statement says
            self._owed -= 1
            self._next_seq_id = 1
            try:
                self._read_query_result()  # type: ignore[attr-defined]
            except Error as error:
                vars(error)[SENT_AHEAD] = True
                raise

    def _packet(self, *kind: Any) -> Any:
        return self._read_packet(*kind)  # type: ignore[no-untyped-call]

    # ------------------------------------------------------------------------------------------------------- the socket

    def set_read_timeout(self, seconds: float | None) -> None:
        """Wait so long for each answer from now on; None waits as long as it takes."""
        self._read_timeout = seconds

    def keep_alive(self, options: Mapping[str, int]) -> None:
        """Have the kernel look whether the server is still there, by options of TCP of these names."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):  # not on every system
                self._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _described(fields: Iterable[Any]) -> list[Column]:
    return [
        Column(
            name=found.name,
            wire=_WIRE_NAMES.get(found.type_code, str(found.type_code)),
            unsigned=bool(found.flags & FLAG.UNSIGNED),
            binary=found.charsetnr == BINARY_CHARSET,
            length=found.length,
            scale=found.scale,
        )
        for found in fields
    ]
