"""The error tree, and the one table that turns what a Dolt server says into it.

Every error of this package is a `DoltError`. Its message is one finished sentence group in ``args[0]`` (flytekit
rewrites ``args`` and keeps only that): what was attempted, what was found, what to do. Facts for programs are
attributes. Known failure and unknown outcome are different classes, because only the first may be retried.

    DoltError
    ├── BinaryNotFound        no usable ``dolt`` on this machine            (also FileNotFoundError)
    ├── BinaryUnsupported     a ``dolt`` was found, its version cannot do   (also RuntimeError)
    ├── BuildFailed           ``install`` could not build ``dolt``          (also RuntimeError)
    ├── ReleaseFailed         a release of Dolt's could not be taken        (also RuntimeError)
    ├── CommandFailed         a ``dolt`` command line call failed           (also RuntimeError)
    ├── RepositoryNotFound    the path is not a Dolt repository             (also LookupError)
    ├── RepositoryReadOnly    the repository cannot be opened for writing   (also PermissionError)
    ├── RepositoryBusy        somebody else holds a lock, waited in vain    (also TimeoutError)
    ├── DiskFull              no space is left where it was to be written  (also OSError)
    ├── RepositoryDamaged     Dolt says the stored data is not whole        (also RuntimeError)
    ├── UncommittedChanges    the user's own work is in the way             (also RuntimeError)
    ├── MergeConflict         two branches have changed the same            (also RuntimeError)
    ├── TableMoved            others changed what a frame was made from     (also RuntimeError)
    ├── ChecksFailed          a merge was refused by its own checks         (also RuntimeError)
    ├── ShiftExceeded         a merge was refused by a bound of a column    (also ChecksFailed)
    ├── HeadMoved             other writers won every race                  (also RuntimeError)
    ├── InvalidConfig         a DoltConfig or branch policy makes no sense  (also ValueError)
    ├── InvalidUri            a ``dolt://`` address that cannot be read     (also ValueError)
    ├── InvalidName           a branch or table name Dolt cannot hold       (also ValueError)
    ├── BranchNotFound        no such branch                                (also LookupError)
    ├── RevisionNotFound      no such commit, tag or other revision         (also LookupError)
    ├── ShallowClone          it lies before the history of this clone      (also LookupError)
    ├── TableNotFound         no such table at that revision                (also LookupError)
    ├── TableRedirected       the repository leads its name elsewhere       (also LookupError)
    ├── TriggersRefused       writing would start triggers of the table     (also PermissionError)
    ├── WriteNotVerified      the commit is not what was written            (also RuntimeError)
    ├── TagExists             the tag names another commit already          (also FileExistsError)
    ├── UnsupportedFrame      the frame cannot be stored exactly            (also ValueError)
    ├── SchemaMismatch        the frame does not fit the existing table     (also ValueError)
    ├── ConstraintViolated    a row breaks a key or constraint of the table (also ValueError)
    ├── QueryFailed           the server refused a statement                (also ValueError)
    ├── QueryRefused          a query is not one that only reads            (also ValueError)
    ├── ServerFailed          the server could not start, or said no        (also RuntimeError)
    ├── AccessDenied          a server or remote does not let this user in  (also PermissionError)
    ├── SecretNotFound        Flyte has no secret of that name here         (also LookupError)
    ├── UntrustedInput        a value asks for what only code may ask for   (also PermissionError)
    ├── UntrustedServer       no verified TLS connection with the server    (also ConnectionError)
    ├── ConnectionLost        the server went away, nothing was published   (also ConnectionError)
    ├── OutcomeUnknown        the server went away while publishing         (also ConnectionError)
    ├── NotInTask             Flyte asked to commit or read outside a task  (also RuntimeError)
    └── NotRegistered         flytekit is here and does not know our types  (also RuntimeError)
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from .history.conflicts import Conflict
    from .history.gates import Exceeded

from ..doltdb import redaction
from ..doltdb.attempts import attempted as attempted
from ..doltdb.attempts import attempting as attempting
from ..doltdb.faults import Fault, known_error
from ..doltdb.patterns import pattern

__all__ = [
    "AccessDenied",
    "BinaryNotFound",
    "BinaryUnsupported",
    "BranchNotFound",
    "BuildFailed",
    "ChecksFailed",
    "CommandFailed",
    "ConnectionLost",
    "ConstraintViolated",
    "DiskFull",
    "DoltError",
    "HeadMoved",
    "InvalidConfig",
    "InvalidName",
    "InvalidUri",
    "MergeConflict",
    "NotInTask",
    "NotRegistered",
    "OutcomeUnknown",
    "QueryFailed",
    "QueryRefused",
    "ReleaseFailed",
    "RepositoryBusy",
    "RepositoryDamaged",
    "RepositoryNotFound",
    "RepositoryReadOnly",
    "RevisionNotFound",
    "RowOrderWarning",
    "SchemaMismatch",
    "SecretNotFound",
    "ServerFailed",
    "ShallowClone",
    "ShiftExceeded",
    "TableMoved",
    "TableNotFound",
    "TableRedirected",
    "TagExists",
    "TriggersRefused",
    "UncommittedChanges",
    "UnsupportedFrame",
    "UntrustedInput",
    "UntrustedServer",
    "WriteNotVerified",
]


class DoltError(Exception):
    """Base of every error this package raises. ``args[0]`` is the whole message, facts are attributes.

    Neither shows a password that stands in an address.
    """

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(redaction.masked(message))
        self.__dict__.update(redaction.shown(facts))


class BinaryNotFound(DoltError, FileNotFoundError):
    """No usable ``dolt`` binary; the message names every way to get one."""


class BinaryUnsupported(DoltError, RuntimeError):
    """The ``dolt`` binary that was found has a version this package cannot use. Facts: ``path``, ``version``."""

    path: Path | None = None
    version: tuple[int, int, int] | None = None


class BuildFailed(DoltError, RuntimeError):
    """``python -m flytekitplugins.dolt install`` could not build ``dolt``; the message ends with its log's tail."""


class ReleaseFailed(DoltError, RuntimeError):
    """``install --release`` could not take a release of Dolt's own, or it is not what its SHA-256 says."""


class CommandFailed(DoltError, RuntimeError):
    """A ``dolt`` command line call failed. Facts: ``argv``, ``returncode``, ``stderr``."""

    argv: Sequence[str] = ()
    returncode: int | None = None
    stderr: str = ""


class RepositoryNotFound(DoltError, LookupError):
    """The path is not itself a Dolt repository. Fact: ``path``."""

    path: Path | str | None = None


class RepositoryReadOnly(DoltError, PermissionError):
    """The repository's folder or file system cannot be written to, or its server takes no writes. Fact: ``path``."""

    path: Path | str | None = None


class RepositoryBusy(DoltError, TimeoutError):
    """A lock on the repository or a branch was not free in time. Facts: ``path``, ``waited_s``, ``holder``."""

    path: Path | str | None = None
    waited_s: float | None = None
    holder: str | None = None


class DiskFull(DoltError, OSError):
    """No space is left where a commit or its rows were to be written; the branch is as it was."""


class RepositoryDamaged(DoltError, RuntimeError):
    """Dolt reports that stored data is not whole, or something else stands where it has a file."""


class UncommittedChanges(DoltError, RuntimeError):
    """The user's uncommitted or staged work would be lost or swept in. Facts: ``branch``, ``tables``."""

    branch: str | None = None
    tables: Sequence[str] = ()


class MergeConflict(DoltError, RuntimeError):
    """A merge has conflicts or breaks constraints; both branches are as they were.

    Facts: ``branch``, ``into``, ``conflicts`` (a tuple of `merging.Conflict`: table, kind, count, first rows, and all
    rows as a frame); ``missing``, ``surplus`` and ``outdated``: by table the keys of rows that ``resolve=`` lacks, that
    are in no conflict, and that are in another one than it shows.
    """

    branch: str | None = None
    into: str | None = None
    conflicts: Sequence[Conflict] = ()
    missing: Mapping[str, Sequence[Mapping[str, object]]] = MappingProxyType({})
    surplus: Mapping[str, Sequence[Mapping[str, object]]] = MappingProxyType({})
    outdated: Mapping[str, Sequence[Mapping[str, object]]] = MappingProxyType({})

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The conflicting rows of each table as base, ours and theirs, made anew each time; see `Conflict.frame`."""
        found = {conflict.table: conflict.frame for conflict in self.conflicts}
        return {table: frame for table, frame in found.items() if frame is not None}


class TableMoved(DoltError, RuntimeError):
    """Others have changed a table since the rows were read that a frame for it was made from; nothing was written.

    Facts: ``table``, ``read_at`` (hashes of the commits that were read), ``head`` (hash of the branch's head).
    """

    table: str | None = None
    read_at: Sequence[str] = ()
    head: str | None = None


class ChecksFailed(DoltError, RuntimeError):
    """Checks did not pass, so nothing was merged. Facts: ``branch``, ``into``, ``failed`` (reasons by name)."""

    branch: str | None = None
    into: str | None = None
    failed: Mapping[str, str] = MappingProxyType({})


class ShiftExceeded(ChecksFailed):
    """A column does not keep a bound of a merge, so nothing was merged.

    Facts: those of `ChecksFailed`, and ``exceeded``, with table, column, measure, value and bound of each.
    """

    exceeded: tuple[Exceeded, ...] = ()


class HeadMoved(DoltError, RuntimeError):
    """The branch moved under every attempt to publish. Facts: ``branch``, ``attempts``."""

    branch: str | None = None
    attempts: int | None = None


class InvalidConfig(DoltError, ValueError):
    """A `DoltConfig`, a branch policy or an argument contradicts itself or asks for what is not offered."""


class InvalidName(DoltError, ValueError):
    """A branch or table name that Dolt cannot hold, or that is refused to keep it safe. Fact: ``name``."""

    name: object = None


class InvalidUri(DoltError, ValueError):
    """A ``dolt://`` address that cannot be read, or not be written to. Fact: ``uri``."""

    uri: str | None = None


class BranchNotFound(DoltError, LookupError):
    """No branch of exactly that name (names are case-sensitive). Facts: ``branch``, ``close``."""

    branch: str | None = None
    close: Sequence[str] = ()


class RevisionNotFound(DoltError, LookupError):
    """No commit, tag, branch or ancestor of that name. Fact: ``revision``."""

    revision: str | None = None


class ShallowClone(DoltError, LookupError):
    """The revision lies before the history that a clone made with ``--depth`` has. Fact: ``revision``."""

    revision: str | None = None


class TableNotFound(DoltError, LookupError):
    """No table of that name at that revision. Facts: ``table``, ``close``."""

    table: str | None = None
    close: Sequence[str] = ()


class TableRedirected(DoltError, LookupError):
    """A row of ``dolt_nonlocal_tables`` leads the table's name elsewhere. Facts: ``table``, ``pattern``, ``target``."""

    table: str | None = None
    pattern: str | None = None
    target: str | None = None


class TriggersRefused(DoltError, PermissionError):
    """Writing would start triggers, which the config does not allow. Facts: ``table``, ``triggers`` (their names)."""

    table: str | None = None
    triggers: Sequence[str] = ()


class WriteNotVerified(DoltError, RuntimeError):
    """What was committed is not just what was written, so it was not published. Facts: ``table``, ``found``."""

    table: str | None = None
    found: str | None = None


class TagExists(DoltError, FileExistsError):
    """A tag of that name is there, on another commit. Facts: ``name``, ``commit``."""

    name: str | None = None
    commit: str | None = None


class UnsupportedFrame(DoltError, ValueError):
    """The frame holds something that cannot be stored and read back exactly. Fact: ``columns``."""

    columns: Sequence[object] = ()


class SchemaMismatch(DoltError, ValueError):
    """The frame does not fit the table that exists. Facts: ``table``, ``problems`` (one sentence per column)."""

    table: str | None = None
    problems: Sequence[str] = ()


class ConstraintViolated(DoltError, ValueError):
    """A row breaks a primary key, a NOT NULL, CHECK, UNIQUE or foreign key constraint; nothing was written.

    Fact: ``tables``, where rows of others than the one that is written do.
    """

    tables: Sequence[str] = ()


class QueryFailed(DoltError, ValueError):
    """The server refused a statement. Facts: ``code``, ``server_message``."""

    code: int = 0
    server_message: str = ""


class QueryRefused(DoltError, ValueError):
    """A query was not sent: it is not one statement that only reads what commits hold. Facts: ``sql``, ``found``.

    ``piece`` is the piece of the statement that is refused: "" where one is missing, None where it is not one piece.
    """

    sql: str | None = None
    found: str | None = None
    piece: str | None = None


class ServerFailed(DoltError, RuntimeError):
    """The ``dolt sql-server`` could not be started or did not behave; the message ends with the tail of its log."""


class AccessDenied(DoltError, PermissionError):
    """A server or remote does not know this user, the password is wrong, or the user lacks a right."""


class SecretNotFound(DoltError, LookupError):
    """Flyte has no secret of that name here: none is there, or the task did not ask. Facts: ``group``, ``key``."""

    group: str | None = None
    key: str | None = None


class UntrustedInput(DoltError, PermissionError):
    """A value that arrived names a place for a password, or a function, that the task's own code does not name.

    Facts: ``function``, or ``place`` and ``secret``.
    """

    function: str | None = None
    place: str | None = None
    secret: object = None


class UntrustedServer(DoltError, ConnectionError):
    """The server's certificate is no proof, or it offers no TLS; or it asks for the password itself without a proof."""


class ConnectionLost(DoltError, ConnectionError):
    """The connection to the server broke and the target branch was not touched."""

    in_query: bool = False
    """Whether it broke while a query of the user's ran, on a session that had answered just before."""
    in_use: bool = False
    """Whether it broke on a session that had answered just before, whatever that was used for."""
    panic: object = None
    """What the private server of a folder logged meanwhile about a panic of its own, if it did."""


class OutcomeUnknown(DoltError, ConnectionError):
    """The connection broke while a commit was being published: it may or may not be there.

    Facts: ``commit``, ``branch``, ``start`` (where the branch was before).
    """

    commit: str
    branch: str
    start: str


class NotInTask(DoltError, RuntimeError):
    """Flyte asked to store a `DoltTable` with data, or to read one, while it was compiling or registering."""


class NotRegistered(DoltError, RuntimeError):
    """flytekit is imported, and its border to this package is not: a task would not know a `DoltTable`."""


TRANSIENT = (HeadMoved, RepositoryBusy, ConnectionLost, OutcomeUnknown)
"""What may go away by itself: a task that is run again after one of these may succeed, and does not write twice."""


class RowOrderWarning(UserWarning):
    """Rows of a table without a primary key come back in another order than that of the frame that was written."""


def warn(message: str, category: type[UserWarning] = UserWarning) -> None:
    """Warn of what the first line outside of this package has led to."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("flytekitplugins."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def close_names(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'a' or 'b'?" for the known names closest to ``name``, or "" when none is close."""
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


# What Dolt 1.83 says, in the order in which it is tried. Nearly everything is code 1105 with only a text, so the texts
# are matched here and nowhere else; tests/dolt/test_errors.py provokes each row on the real server.
_FAULTS: tuple[Fault[DoltError], ...] = (
    Fault(
        None,
        r"access denied|unauthenticated|permission_?denied",
        AccessDenied,
        "Check the user's name and the secret with its password.",
    ),
    Fault(
        None,
        r"must set DOLT_REMOTE_PASSWORD",
        AccessDenied,
        "Say where the password is: Remote(url, user=..., secret=Secret(group, key)).",
    ),
    Fault(
        None,
        r"command denied to user|does not have the correct permissions on branch",
        AccessDenied,
        "Ask for that right, or use another user.",
    ),
    Fault(
        None,
        r"does not allow insecure connections",
        UntrustedServer,
        "Take ssl_disabled out of the URL, or, on loopback, add ?ssl_ca=/path/of/ca.pem.",
    ),
    Fault(
        None,
        r"shallow clone|ghost commit",
        ShallowClone,
        "This clone was made with --depth and lacks the history before: make a whole clone with `dolt clone`.",
    ),
    Fault(None, r"^already exists$", TagExists, "Take another name, or delete that tag first."),
    Fault(None, r"performed an online garbage collection", ConnectionLost, "Try again."),
    Fault("1049", r"database not found", RevisionNotFound, "Check the branch, tag or commit."),
    Fault("1146", r"table not found", TableNotFound, "Check the name (case matters) and the branch or revision."),
    Fault(
        None,
        r"branch not found|target commit not found|invalid ancestor spec|invalid ref spec|"
        r"not a valid branch or hash",
        RevisionNotFound,
        "Check the branch, tag or commit.",
    ),
    Fault(
        None,
        r"is an invalid branch name|not a valid user tag name",
        InvalidName,
        "Use letters, digits and - _ . / in branch names.",
    ),
    Fault(
        None,
        r"local changes would be stomped|uncommitted changes|not committed an active merge",
        UncommittedChanges,
        "Commit or discard that work, or write to another branch with NewBranch(...).",
    ),
    Fault(
        None,
        r"not possible to fast-forward|dataset head is not ancestor|"
        r"cannot fast forward from|optimistic lock failed",
        HeadMoved,
        "Another writer was faster.",
    ),
    Fault(None, r"\[(remote )?rejected\]", HeadMoved, "Another writer was faster."),
    Fault(
        None,
        r"contains no dolt data|desc = database not found",
        RepositoryNotFound,
        "Check the URL, or push a repository there with `dolt push`.",
    ),
    Fault(
        None,
        r"unknown url scheme",
        InvalidConfig,
        "A remote is file://, https://, http://, aws://, gs:// or az://.",
    ),
    Fault(None, r"x509: |tls: ", UntrustedServer, "Fix the certificate, or let this machine trust it."),
    Fault(
        None,
        r"no such host|connection refused|connection reset|i/o timeout|code = unavailable|error reading from server"
        r"|dangling commit parent closure",  # so Dolt 1.83 says of a commit that it was cut off from
        ConnectionLost,
        "Check the URL and the network, and try again.",
    ),
    Fault("1213", r"serialization failure", HeadMoved, "Another writer was faster."),
    Fault(None, r"timed out reading database manifest", RepositoryBusy, "Others hold its lock; try again."),
    Fault(
        None,
        r"server is set to read only mode",
        RepositoryReadOnly,
        "Write to another server of that database, its primary.",
    ),
    Fault(
        None,
        r"database is read only|read-only file system",
        RepositoryReadOnly,
        "Make the repository's folder writable for this user, or close the program that holds it.",
    ),
    Fault(
        None,
        r"duplicate (primary|unique) key|duplicate entry",
        ConstraintViolated,
        "Remove the duplicates, or choose another primary_key.",
    ),
    Fault(
        None, r"constraint violations", ConstraintViolated, "Fix the rows, here or in the tables that refer to them."
    ),
    Fault("1048", r"non-nullable", ConstraintViolated, "Fill in the missing values."),
    Fault(None, r"foreign key violation|check constraint .* violated", ConstraintViolated, "Fix the rows."),
    Fault(
        None,
        r"is too large for column|out of range|is not a valid value for|incorrect .* value",
        SchemaMismatch,
        "Give the frame the table's types, or write to another table.",
    ),
    Fault(
        None,
        r"no space left on device",
        DiskFull,
        "Free some space, and write again; nothing was published.",
    ),
    Fault(
        None,
        r"checksum error|corrupted journal|data loss detected",
        RepositoryDamaged,
        "Stop writing to it and run `dolt fsck` there.",
    ),
)


# What Go prints below the line that says what went wrong, line breaks written out or not.
_STACK = pattern(r"\s*(?:\n|\\n)\s*(?:goroutine \d+ \[|\S+\.(?:go|s):\d+|\S+\(\.{0,3}\)\s*(?:\n|\\n))")


def without_stack(message: str) -> str:
    r"""Return what a server said without the stack trace below it, if there is one.

    >>> without_stack("panic recovered: nil pointer\ngoroutine 102 [running]:\nruntime/debug.Stack()")
    'panic recovered: nil pointer'
    """
    found = _STACK.search(message)
    return message if found is None else message[: found.start()]


def from_server(code: int, message: str) -> DoltError:
    """Return the error for what the server said (``code``, ``message``) of what is attempted now.

    The caller raises the result ``from`` the driver's exception.
    """
    message = without_stack(message)
    known = known_error(_FAULTS, code, message)
    if known is not None:
        return known
    return QueryFailed(f"Cannot {attempted()}: Dolt says {message!r} (code {code}).", code=code, server_message=message)
