"""The error tree, and the table that turns what a server or driver says into it.

Every error of this package is a `SQLTaskError`. Its message is one finished sentence group in ``args[0]`` (flytekit
rewrites ``args`` and keeps only that): what was attempted, where, what was found, what to do. It names the query as its
author wrote it, never with values, and the server without its password. Facts for programs are attributes. Those that
may be tried again are marked as recoverable for Flyte, so that a task with ``retries`` is.

    SQLTaskError
    ├── InvalidTask         the task, its config or its template makes no sense     (also ValueError)
    ├── InvalidValue        an input cannot be a value or a name in SQL             (also ValueError)
    ├── DriverMissing       the URI's dialect or driver is not installed            (also ImportError)
    ├── SecretMissing       a secret of the config is not there                     (also LookupError)
    ├── ServerUnreachable   nobody answers, nothing was sent; recoverable           (also ConnectionError)
    ├── AccessDenied        login or permission refused                             (also PermissionError)
    ├── UntrustedServer     it wants the password itself, and proves no name        (also ConnectionError)
    ├── DatabaseNotFound    no such database, branch or commit                      (also LookupError)
    ├── TableNotFound       no such table or view                                   (also LookupError)
    ├── SyntaxRefused       the server cannot parse the query                       (also ValueError)
    ├── ReadOnlyRefused     a writing statement in a read-only task                 (also PermissionError)
    ├── UncommittedChanges  others' uncommitted work would be swept into a commit   (also RuntimeError)
    ├── StatementTimedOut   the server took too long                                (also TimeoutError)
    ├── TransactionConflict another transaction was first; recoverable              (also RuntimeError)
    ├── ConnectionLost      the server went away, nothing was kept; recoverable     (also ConnectionError)
    ├── OutcomeUnknown      the server went away, the work may be kept or not       (also ConnectionError)
    ├── UnreadableResult    rows that no frame holds exactly                        (also ValueError)
    └── StatementFailed     the server refused the query for another reason         (also ValueError)
"""

from __future__ import annotations

from flytekit.exceptions.user import FlyteRecoverableException

from ..doltdb.attempts import attempted
from ..doltdb.faults import Fault, known_error

__all__ = [
    "AccessDenied",
    "ConnectionLost",
    "DatabaseNotFound",
    "DriverMissing",
    "InvalidTask",
    "InvalidValue",
    "OutcomeUnknown",
    "ReadOnlyRefused",
    "SQLTaskError",
    "SecretMissing",
    "ServerUnreachable",
    "StatementFailed",
    "StatementTimedOut",
    "SyntaxRefused",
    "TableNotFound",
    "TransactionConflict",
    "UncommittedChanges",
    "UnreadableResult",
    "UntrustedServer",
]


class SQLTaskError(Exception):
    """Base of every error this package raises. ``args[0]`` is the whole message, facts are attributes."""

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(message)
        self.__dict__.update(facts)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InvalidTask(SQLTaskError, ValueError):
    """The task, its config or its template contradicts itself or asks for what is not offered."""


class InvalidValue(SQLTaskError, ValueError):
    """An input cannot travel as a value, or is no name that may stand in a query. Fact: ``name``, of the input."""


class DriverMissing(SQLTaskError, ImportError):
    """The dialect or driver that the URI names is not installed."""


class SecretMissing(SQLTaskError, LookupError):
    """A secret that the config names cannot be found where the task runs. Facts: ``group``, ``key``."""


class ServerUnreachable(SQLTaskError, FlyteRecoverableException, ConnectionError):
    """There was no connection, so nothing was sent. Fact: ``attempts``."""


class AccessDenied(SQLTaskError, PermissionError):
    """The server refuses the login, or the user lacks a permission. Facts: ``code``, ``server_message``."""


class UntrustedServer(SQLTaskError, ConnectionError):
    """The server asks for the password itself without having proved who it is; it was not sent.

    Facts: ``code``, ``server_message``.
    """


class DatabaseNotFound(SQLTaskError, LookupError):
    """No database (on Dolt: branch, tag or commit) of that name. Facts: ``code``, ``server_message``."""


class TableNotFound(SQLTaskError, LookupError):
    """No table or view of that name. Facts: ``code``, ``server_message``."""


class SyntaxRefused(SQLTaskError, ValueError):
    """The server cannot parse the query. Facts: ``code``, ``server_message``."""


class ReadOnlyRefused(SQLTaskError, PermissionError):
    """A statement that writes, in a task that only reads; nothing was changed."""


class UncommittedChanges(SQLTaskError, RuntimeError):
    """The branch has uncommitted changes of somebody else, which a commit would sweep in. Fact: ``tables``."""


class StatementTimedOut(SQLTaskError, TimeoutError):
    """The server took longer than the config's ``timeout_s``. Fact: ``timeout_s``."""


class TransactionConflict(SQLTaskError, FlyteRecoverableException, RuntimeError):
    """Another transaction was in the way; this one was undone. Facts: ``code``, ``server_message``."""


class ConnectionLost(SQLTaskError, FlyteRecoverableException, ConnectionError):
    """The connection broke while rows were read; nothing was kept."""


class OutcomeUnknown(SQLTaskError, ConnectionError):
    """The connection broke while a statement ran or was committed: its effect may be there or not."""


class UnreadableResult(SQLTaskError, ValueError):
    """The rows cannot be put into a frame exactly. Fact: ``columns``."""


class StatementFailed(SQLTaskError, ValueError):
    """The server refused the query. Facts: ``code``, ``server_message``."""


# MySQL's numbers, PostgreSQL's SQLSTATEs, and the texts of those who have neither (Dolt says 1105 for most things;
# SQLite, and a PostgreSQL that refuses the login, give no code at all). The tests provoke them on real servers.
_FAULTS: tuple[Fault[SQLTaskError], ...] = (
    Fault("1045|1698|28P01|28000", "", AccessDenied, "Check user and password."),
    Fault(
        "",
        'password authentication failed|no password supplied|pg_hba.conf|role ".*" does not exist',
        AccessDenied,
        "Check user and password.",
    ),
    Fault(
        "2059",
        "answer to a challenge",
        UntrustedServer,
        "It has not proved who it is, so the password was not sent. Use TLS with a verified certificate "
        "(?ssl_ca=/path/of/ca.pem at the end of the uri), or a user that is IDENTIFIED WITH mysql_native_password.",
    ),
    Fault(
        "2068",
        "",
        StatementFailed,
        "It gets one with local_infile, and after it has proved by a certificate who it is.",
    ),
    Fault(
        "",
        "authentication method requirement",
        UntrustedServer,
        "It has not proved who it is, so the password was not sent. Use TLS with a verified certificate "
        "(?sslmode=verify-full&sslrootcert=/path/of/ca.pem at the end of the uri), or have it ask by scram-sha-256.",
    ),
    Fault("", "invalid connection option", InvalidTask, "Correct uri and connect_args."),
    Fault("1129|1130|1820|1862|3118|4151", "", AccessDenied, "The server's administrator has to let this login in."),
    Fault("1044|1142|1143|1227|1370|42501", "", AccessDenied, "The user lacks a permission for this."),
    Fault("1105", "command denied|access denied", AccessDenied, "The user lacks a permission for this."),
    Fault("1049|3D000", "", DatabaseNotFound, "Check the database of the URI; on Dolt the branch, tag or commit, too."),
    Fault("", 'database ".*" does not exist|unable to open database', DatabaseNotFound, "Check the URI."),
    Fault(
        "1105",
        "database not found|branch not found|target commit not found|invalid ancestor spec|invalid ref spec|"
        "not a valid branch or hash",
        DatabaseNotFound,
        "Check the branch, tag or commit.",
    ),
    Fault("1146|42P01", "", TableNotFound, "Check the name and the database."),
    Fault("1105|", "table not found|no such table", TableNotFound, "Check the name and the database."),
    Fault("1064|1149|42601", "", SyntaxRefused, "Correct the query."),
    Fault("1105|", "syntax error", SyntaxRefused, "Correct the query."),
    Fault("1792|1836|25006", "", ReadOnlyRefused, "Set read_only=False, or connect to what may be changed."),
    Fault(
        "1290|1105|",
        "read-only option|is read-only|readonly database|detached head",
        ReadOnlyRefused,
        "Set read_only=False, or connect to a branch, file or server that may be changed.",
    ),
    Fault("1205|1213|1020|40001|40P01|55P03", "", TransactionConflict, "Try again."),
    Fault("", "database is locked|database table is locked", TransactionConflict, "Try again."),
    Fault("1969|3024", "", StatementTimedOut, "Make the query faster, or raise timeout_s of the config."),
    Fault("57014", "statement timeout", StatementTimedOut, "Make the query faster, or raise timeout_s of the config."),
    Fault("", "^interrupted$", StatementTimedOut, "Make the query faster, or raise timeout_s of the config."),
)


def from_server(code: object, message: str) -> SQLTaskError:
    """Return the error for what the server said (``code``, ``message``) of what is attempted now."""
    known = known_error(_FAULTS, code, message)
    if known is not None:
        return known
    said = message.strip().rstrip(".")
    numbered = "" if code is None else f" (code {code})"
    return StatementFailed(
        f"Cannot {attempted()}: the server says: {said}{numbered}.", code=code, server_message=message
    )
