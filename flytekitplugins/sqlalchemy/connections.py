"""Sessions with a server: where it is, with which login, and what a session is told before the task's statement.

A `Target` is where to connect, with secrets in it that its ``name`` and its messages never show. `connect` gives one
session in one transaction: never pooled, with timeouts, and tried again only while nothing of the task's was sent. What
servers and drivers say becomes an error of this package here and nowhere else. It knows no Flyte.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ..doltdb import driver
from ..doltdb.attempts import attempted, attempting
from ..doltdb.hiding import MASK, hide
from ..doltdb.redaction import discreet
from . import logins
from .errors import (
    ConnectionLost,
    DatabaseNotFound,
    DriverMissing,
    InvalidTask,
    OutcomeUnknown,
    ServerUnreachable,
    SQLTaskError,
    StatementTimedOut,
    from_server,
)
from .hiding import confidential

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext

ATTEMPTS_TO_CONNECT = 3
_PAUSE_S = 0.5
_LOGGERS_WITH_SECRETS = ("psycopg", "sqlalchemy.engine.Engine", "sqlalchemy.pool.impl.NullPool")
_STEPS_BETWEEN_QUESTIONS = 10_000
_MYSQL = ("mysql", "mariadb")
_SERVER_INFO_QUERY = "SELECT @@sql_mode, @@version_comment, version(), connection_id(), @@max_allowed_packet"
# PyMySQL's and MySQL's codes for "nobody there any more", and for a server that takes no more connections just now.
_GONE = {0, 2002, 2003, 2005, 2006, 2013, 2055, 1053, 1927, 3169, 4031}
_BUSY = {1040, 1203, 1226, "53300"}
_REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""How drivers refuse options that they do not like, beside errors of their own; PyMySQL lets through what it meets."""

_URL_PARTS = {
    "username": "username",
    "user": "username",
    "password": "password",
    "passwd": "password",
    "host": "host",
    "port": "port",
    "database": "database",
    "db": "database",
    "dbname": "database",
}

Phase = Literal["connect", "read", "write", "commit"]
"""What was going on when something failed: it decides what a lost connection means."""


@dataclass(frozen=True)
class Target:
    """Where and how to connect."""

    url: URL = field(repr=False)
    connect_args: Mapping[str, Any] = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False, default=())
    """What came from secrets, and every password: never to be shown."""
    secret_parts: frozenset[str] = frozenset()
    """The parts of the URL that came from secrets."""
    connect_timeout_s: float = 10
    timeout_s: float | None = None

    @property
    def dialect(self) -> str:
        """The kind of server, as SQLAlchemy calls it."""
        return self.url.get_backend_name()

    @property
    def name(self) -> str:
        """The server's address for people, without passwords and secrets."""
        url = without_password(self.url).set(query={})
        stars: dict[str, Any] = dict.fromkeys(self.secret_parts - {"password", "port"}, MASK)
        if "port" in self.secret_parts:
            url = url._replace(port=None)
        return url.set(**stars).render_as_string().replace(quote(MASK), MASK)

    def shown(self, text: str) -> str:
        """Return ``text`` with stars for everything hidden."""
        return hide(text, self.hidden)


@discreet
def _parts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given of the parts of a URL, by SQLAlchemy's names."""
    parts = {_URL_PARTS[name]: value for name, value in given.items() if name in _URL_PARTS}
    return parts | {"port": _port(parts["port"])} if "port" in parts else parts


@discreet
def target_of(
    uri: str,
    *,
    connect_args: Mapping[str, Any],
    secrets: Mapping[str, str],
    connect_timeout_s: float,
    timeout_s: float | None,
) -> Target:
    """Return where ``uri`` leads, with ``connect_args`` and ``secrets`` (by the same names) put in.

    Names of parts of a URL (user, password, host, port, database) replace those of the URI; others go to the driver.

    Raises:
        InvalidTask: the URI is none, or the port is no number.
    """
    both = {**connect_args, **secrets}
    url = with_driver(parsed(uri)).set(**_parts(both))
    arguments = {k: v for k, v in both.items() if k not in _URL_PARTS}
    for key, value in _timeouts(url, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s).items():
        if key not in url.query:
            arguments.setdefault(key, value)
    arguments |= logins.options(url, arguments)
    if url.drivername.endswith("+pymysql") and url.password is not None and not str(url.password).isascii():
        arguments["password"] = str(url.password).encode()  # PyMySQL would send Latin-1, servers compare UTF-8
    hidden = (*secrets.values(), *([str(url.password)] if url.password else []), *confidential([url.query, arguments]))
    secret_parts = frozenset(_URL_PARTS[key] for key in secrets if key in _URL_PARTS)
    _check_charset(url, arguments, hidden)
    return Target(url, arguments, hidden, secret_parts, connect_timeout_s, timeout_s)


def _check_charset(url: URL, arguments: Mapping[str, Any], hidden: tuple[str, ...]) -> None:
    """Refuse a character set that PyMySQL does not know, or in which no server takes statements, as UTF-16."""
    asked = arguments.get("charset") or url.query.get("charset")
    if not asked or not url.drivername.endswith("+pymysql"):
        return
    known = isinstance(asked, str) and driver.knows_charset(asked)
    if not known or str(asked).lower().startswith(("ucs2", "utf16", "utf32")):
        raise InvalidTask(
            hide(
                f"Cannot connect: no statement can be sent in the charset {asked!r}. Take it out: utf8mb4 is the ",
                hidden,
            )
            + "default, and frames come out the same."
        )


def _port(given: object) -> int:
    if not str(given).strip().isdecimal():
        raise InvalidTask("Cannot connect: the port is no number. It is not shown, because it may be a secret.")
    return int(str(given))


def parsed(uri: str) -> URL:
    """Return the parts of a URI.

    Raises:
        InvalidTask: it is none; the message does not repeat it, since it may hold a password.
    """
    with contextlib.suppress(ArgumentError, ValueError):  # whose words may hold the password
        return sqlalchemy.make_url(uri)
    raise InvalidTask(
        "Cannot use the uri: it is no database URL. Write dialect://user@host:port/database, with special characters "
        "as %XX; an error of the parser is not shown, because it may hold the password."
    )


def without_password(url: URL) -> URL:
    """Return the URL without its password, which `URL.set` cannot take away: there None means "as it is"."""
    return url._replace(password=None)


def with_driver(url: URL) -> URL:
    """Return the URL with the driver to use when it names none: PyMySQL for MySQL, what is installed for PostgreSQL."""
    if url.drivername in _MYSQL:
        return url.set(drivername=f"{url.drivername}+pymysql")
    if url.drivername == "postgresql":
        for driver in ("psycopg", "psycopg2"):
            if importlib.util.find_spec(driver) is not None:
                return url.set(drivername=f"postgresql+{driver}")
    return url


@discreet
def quoter(uri: str) -> Callable[[str], str]:
    """Return what quotes a name as the URI's kind of server wants it.

    Raises:
        DriverMissing: SQLAlchemy knows no such server.
    """
    with attempting("quote a name"):
        url = with_driver(parsed(uri))
        try:
            return url.get_dialect()().identifier_preparer.quote_identifier
        except NoSuchModuleError:
            raise _no_dialect(url) from None


def _timeouts(url: URL, *, connect_timeout_s: float, timeout_s: float | None) -> dict[str, Any]:
    """Return the driver's own names for the timeouts; empty for drivers that are not known here."""
    driver = url.drivername.partition("+")[2] or url.drivername
    connecting = max(1, math.ceil(connect_timeout_s))
    if driver in ("pymysql", "mysqldb"):
        reading = None if timeout_s is None else max(1, math.ceil(timeout_s))
        waits = {} if reading is None else {"read_timeout": reading, "write_timeout": reading}
        return {"connect_timeout": connecting, **waits}
    if driver in ("psycopg", "psycopg2"):  # libpq has no timeout for a network that lost the server: two minutes
        return {"connect_timeout": connecting, "keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 6}
    return {"timeout": connecting} if url.get_backend_name() == "sqlite" else {}


@dataclass
class Session:
    """One connection in one transaction, and what its server is."""

    connection: Connection
    target: Target
    is_dolt: bool = False
    sql_mode: str = ""
    thread: int | None = None
    """MySQL's number of the connection."""
    most_bytes: int | None = None
    """How long a statement may be for a server of MySQL's kind."""

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        return self.connection.connection.dbapi_connection

    @property
    def speaks_wire(self) -> bool:
        """Whether rows can be read from PyMySQL's stream."""
        return self.target.url.drivername.endswith("+pymysql") and getattr(self.raw, "encoding", "") == "utf8"

    @property
    def is_utf8(self) -> bool:
        """Whether the driver sends texts in UTF-8, as far as it says."""
        return str(getattr(self.raw, "encoding", "utf8")) in ("utf8", "utf-8")

    def rows(self, sql: str, *parameters: object) -> list[Any]:
        """Run a statement that is not the task's; parameters are marked as the driver does it."""
        result = self.connection.exec_driver_sql(sql, parameters or None)
        return list(result) if result.returns_rows else []


@contextmanager
def connect(where: Target, *, read_only: bool = False) -> Iterator[Session]:
    """Give a session that has begun its transaction; it is undone unless the block commits.

    Raises:
        ServerUnreachable: nobody answered, several times.
        AccessDenied: the login was refused.
        DatabaseNotFound: there is no such database, branch or commit.
    """
    with _redacted_logging(where):
        kept = _Kept(_engine(where))
        if where.dialect == "postgresql":
            sqlalchemy.event.listen(kept.engine, "handle_error", _close_cursor)
        session = _opened(kept, where, read_only=read_only)
        try:
            yield session
        finally:
            _close(session)
            kept.engine.dispose()


@dataclass(frozen=True)
class _Kept:
    """An engine, which shows its URL wherever it is a variable of a traceback that is printed with them."""

    engine: Engine = field(repr=False)


def _close_cursor(failure: ExceptionContext) -> None:
    """Close the cursor of a connection that broke, which SQLAlchemy leaves to psycopg, and psycopg warns of."""
    cursor = getattr(failure.execution_context, "cursor", None)
    if failure.is_disconnect and cursor is not None:
        cursor.close()


@contextmanager
def _redacted_logging(where: Target) -> Iterator[None]:
    """Take what is hidden out of what SQLAlchemy and psycopg log at DEBUG: their own view of a connection, and rows."""

    def scrub(record: logging.LogRecord) -> bool:
        record.msg, record.args = where.shown(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = where.shown(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True

    try:
        for name in _LOGGERS_WITH_SECRETS:
            logging.getLogger(name).addFilter(scrub)
        yield
    finally:
        for name in _LOGGERS_WITH_SECRETS:
            logging.getLogger(name).removeFilter(scrub)


def _close(session: Session) -> None:
    """Close the connection, which undoes what was not committed; one that is broken already is only let go."""
    with contextlib.suppress(SQLAlchemyError):
        if not getattr(session.raw, "open", True) or getattr(session.raw, "closed", False):
            session.connection.invalidate()
        session.connection.close()


def _engine(where: Target) -> Engine:
    try:
        engine = sqlalchemy.create_engine(
            where.url,
            connect_args={**where.connect_args, **_connect_read_timeout(where)},
            poolclass=sqlalchemy.pool.NullPool,
            hide_parameters=True,
            echo=False,
            skip_autocommit_rollback=False,
        )
    except NoSuchModuleError:
        raise _no_dialect(where.url) from None
    except ImportError as error:
        raise DriverMissing(
            f"Cannot {attempted()}: the driver of {where.url.drivername!r} is not installed ({error}). Install it, in "
            "the task's container image too, or name another driver in the uri."
        ) from None
    except (ArgumentError, *_REFUSALS) as error:
        raise _refused(error, where) from None
    logins.keep_passwords(engine)
    return engine


def _refused(error: Exception, where: Target) -> InvalidTask:
    return InvalidTask(
        f"Cannot {attempted()}: the driver refuses uri or connect_args: {where.shown(str(error)).rstrip('.')}. "
        "Correct them, or install what it says is missing."
    )


def _connect_read_timeout(where: Target) -> dict[str, Any]:
    """Return how long PyMySQL is to wait for a server's greeting, for which it has no timeout of its own."""
    if not where.url.drivername.endswith("+pymysql") or "read_timeout" in where.url.query:
        return {}
    patience = where.connect_args.get("read_timeout")
    connecting = max(1, math.ceil(where.connect_timeout_s))
    return {"read_timeout": connecting if patience is None else min(connecting, patience)}


def _no_dialect(url: URL) -> DriverMissing:
    return DriverMissing(
        f"Cannot {attempted()}: SQLAlchemy has no dialect or driver {url.drivername!r}. Correct the uri, or install "
        "the package that brings it."
    )


def _opened(kept: _Kept, where: Target, *, read_only: bool) -> Session:
    """Connect and tell the session how to be; a connection that breaks meanwhile is tried again."""
    for number in range(1, ATTEMPTS_TO_CONNECT + 1):
        try:
            connection = kept.engine.connect()
            try:
                return _prepared(connection, where, read_only=read_only)
            except BaseException:
                connection.close()
                raise
        except DBAPIError as error:
            found = translated(error, where, phase="connect")
            if not isinstance(found, ServerUnreachable) or number == ATTEMPTS_TO_CONNECT:
                raise found from None  # the driver's error may hold what is not to be shown
        except SQLTaskError:
            raise
        except (struct.error, *_REFUSALS) as error:
            raise _refused(error, where) from None
        except Exception as error:  # noqa: BLE001  # whatever it is, the driver's frames hold the password
            said = where.shown(f"{type(error).__name__}: {error}").rstrip(".")
            raise InvalidTask(
                f"Cannot {attempted()}: the driver cannot talk with what answers there ({said}). Correct the uri."
            ) from None
        time.sleep(_PAUSE_S * number)
    raise AssertionError("the loop returns or raises")


def _prepared(connection: Connection, where: Target, *, read_only: bool) -> Session:
    session = Session(connection, where)
    if where.dialect in _MYSQL:
        _prepare_mysql(session, read_only=read_only)
    elif where.dialect == "postgresql":
        session.rows("SET TIME ZONE 'UTC'")
        if where.timeout_s is not None:
            session.rows(f"SET statement_timeout = {math.ceil(where.timeout_s * 1000)}")
        if read_only:
            session.rows("SET TRANSACTION READ ONLY")
        _keep_json_as_text(session)
    elif where.dialect == "sqlite":
        if read_only:
            session.rows("PRAGMA query_only = ON")
        _limit_sqlite(session)
    elif read_only:
        raise InvalidTask(
            f"Cannot {attempted()}: read_only is offered for MySQL, MariaDB, Dolt, PostgreSQL and SQLite only."
        )
    return session


def _prepare_mysql(session: Session, *, read_only: bool) -> None:
    where = session.target
    mode, comment, version, thread, most = session.rows(_SERVER_INFO_QUERY)[0]
    session.sql_mode, session.is_dolt = str(mode), str(comment) == "Dolt"
    session.thread, session.most_bytes = int(thread), int(most)
    # PyMySQL takes Dolt's greeting for "autocommit is off already" and never says so, and every statement would stay.
    session.rows("SET autocommit = 0")
    if "time_zone" not in str(where.connect_args.get("init_command", "")):
        session.rows("SET time_zone = '+00:00'")
    if where.timeout_s is not None and not session.is_dolt:
        if "mariadb" in str(version).lower():
            session.rows(f"SET max_statement_time = {max(where.timeout_s, 0.001)}")
        else:
            session.rows(f"SET max_execution_time = {math.ceil(where.timeout_s * 1000)}")
    if read_only and not session.is_dolt:
        session.rows("SET SESSION TRANSACTION READ ONLY")
    session.rows("START TRANSACTION READ ONLY" if read_only else "START TRANSACTION")
    if session.is_dolt and "/" in str(where.url.database or ""):
        _assert_branch(session)
    if _connect_read_timeout(where):
        session.raw.set_read_timeout(where.connect_args.get("read_timeout"))


def _assert_branch(session: Session) -> None:
    """Refuse another branch than the one asked for: Dolt looks for branches without regard to case."""
    asked = str(session.target.url.database).partition("/")[2]
    (active,) = session.rows("SELECT active_branch()")[0]
    if active is not None and active != asked:
        raise DatabaseNotFound(
            f"Cannot {attempted()}: there is no branch {asked!r}, and Dolt would have taken {active!r}. Branch names "
            "are case-sensitive.",
            code=None,
            server_message="",
        )


def _limit_sqlite(session: Session) -> None:
    """Have SQLite, which has no timeout for statements, ask now and then whether it took too long."""
    timeout_s = session.target.timeout_s
    if timeout_s is not None and hasattr(session.raw, "set_progress_handler"):
        until = time.monotonic() + timeout_s
        session.raw.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_QUESTIONS)


def _keep_json_as_text(session: Session) -> None:
    if session.target.url.drivername.endswith("+psycopg"):
        from psycopg.types.json import set_json_loads

        set_json_loads(lambda text: text if isinstance(text, str) else bytes(text).decode(), context=session.raw)


def stop(session: Session) -> None:
    """Tell the server of a session that took too long to end its statement, as far as it can be told."""
    if session.thread is None:
        return
    with attempting("end a statement"):
        kept = _Kept(_engine(session.target))
        with contextlib.suppress(SQLAlchemyError), kept.engine.connect() as connection:
            connection.exec_driver_sql(f"KILL {session.thread:d}")


def translated(error: Exception, where: Target, *, phase: Phase) -> SQLTaskError:
    """Return the error for what a driver raised; the caller raises it ``from None``, since causes are printed."""
    original = getattr(error, "orig", None) or error
    code, message = _code_and_message(original)
    message = where.shown(message)
    gone = _is_gone(error, code, where) or (phase == "connect" and code in _BUSY)
    found = from_server(code, message)
    timed_out = isinstance(original, TimeoutError) or (gone and "timed out" in message)
    if gone or timed_out or isinstance(found, StatementTimedOut):
        found = _interrupted(message, where, phase=phase, timed_out=timed_out or not gone)
    return found


def _interrupted(message: str, where: Target, *, phase: Phase, timed_out: bool) -> SQLTaskError:
    """Return the error for an answer that did not come, or not in time: whether work was kept depends on the phase."""
    if timed_out and phase in ("read", "write"):
        return StatementTimedOut(
            f"Cannot {attempted()}: no answer within {where.timeout_s} s. Make the query faster, or raise timeout_s of "
            "the config."
            f"{' What commits by itself, as DDL and procedures can, may be kept.' if phase == 'write' else ''}",
            timeout_s=where.timeout_s,
        )
    return _lost(message, phase=phase)


def _code_and_message(original: BaseException) -> tuple[object, str]:
    """Return the code and the words of a driver's error."""
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    first = original.args[0] if original.args else None
    if isinstance(first, int):  # the MySQL drivers; PyMySQL has a sqlstate beside
        return first, " ".join(str(word) for word in original.args[1:])
    diag = getattr(original, "diag", None)  # psycopg's, whose text repeats the line of the statement
    parts = [getattr(diag, f"message_{part}", None) for part in ("primary", "detail", "hint")]
    said = ". ".join(part.rstrip(".") for part in parts if part) or str(original)
    return state, " ".join(said.split())


def _is_gone(error: Exception, code: object, where: Target) -> bool:
    if isinstance(code, int):
        return code in _GONE
    if isinstance(code, str):
        return code.startswith("08") or code in ("57P01", "57P02", "57P03")
    original = getattr(error, "orig", None) or error
    if getattr(error, "connection_invalidated", False):
        return True
    if where.dialect == "sqlite" or type(original).__name__ not in ("OperationalError", "InterfaceError"):
        return False
    text = str(original).lower()
    refused = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf", "method requirement")
    lost = ("connection", "server closed", "could not translate", "resolve", "already closed")
    return not any(word in text for word in refused) and any(word in text for word in lost)


def _lost(message: str, *, phase: Phase) -> SQLTaskError:
    said = message.strip().rstrip(".") or "the connection broke"
    if phase == "connect":
        return ServerUnreachable(
            f"Cannot {attempted()}: there was no connection ({said}); tried {ATTEMPTS_TO_CONNECT} times. Check host, "
            "port and network, and whether the server is well.",
            attempts=ATTEMPTS_TO_CONNECT,
        )
    if phase == "read":
        return ConnectionLost(f"Cannot {attempted()}: the server went away while rows were read ({said}). Try again.")
    return OutcomeUnknown(
        f"Cannot {attempted()}: the server went away while the statement "
        f"{'ran' if phase == 'write' else 'was committed'} ({said}). It may have been done or not: "
        "look before you try again."
    )
