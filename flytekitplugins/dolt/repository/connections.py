"""Connections to the Dolt server of a repository: statements, frames in bulk, and nothing about what they mean.

PyMySQL, which `doltdb.driver` knows, carries the verbs; rows in bulk are taken from its stream (`doltdb.text_rows`: no
Python object per value) and go out as a file that the server loads, or as INSERT statements where it cannot read our
files. Connections are kept warm
between uses and belong to no thread; each use starts on the checked-out branch and goes elsewhere by `Connection.at`,
never with a checkout.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NoReturn, TypeVar

import pyarrow as pa

from ...doltdb import driver, text_rows
from ...doltdb.redaction import Password, stripped, without_frames
from ...doltdb.wire_types import Column
from ..codec.result_columns import from_text, joined
from ..errors import (
    AccessDenied,
    ConnectionLost,
    DiskFull,
    DoltError,
    InvalidConfig,
    OutcomeUnknown,
    QueryFailed,
    RepositoryBusy,
    RevisionNotFound,
    ServerFailed,
    UntrustedServer,
    attempted,
    attempting,
    from_server,
)
from ..model.location import Location, Tls
from ..model.naming import is_hash
from ..model.sql_text import literal, quote
from ..server import files, local_server, procedures
from . import active_content, hosts
from .hosts import Endpoint
from .rows_commits import NeedsBranch, RowsCommit

CONNECT_TIMEOUT_S = 10
"""Seconds until a server that does not answer at all, or does not say a word then, is given up."""

_SILENCE_S = 60
"""Seconds after which a network that went silent is noticed, in the middle of a statement, too."""

PATIENCE_S = 4.0
"""Seconds for which somebody else's server is tried again: one that is restarted is back in a moment."""

ACTIVE_BRANCH = "SELECT active_branch()"
"""What `Connection.active_branch` asks."""

_KEPT_WARM = 8
_COMMITS_KEPT = 1_000
_OLDEST = (1, 83)
_GONE = {2002, 2003, 2006, 2013, 2055}  # codes of PyMySQL and MySQL for "there is nobody at the other end"
_NO_WORDS = (AssertionError, LookupError, RuntimeError, TypeError, ValueError, struct.error)
"""What the driver lets through when it cannot read what a server says, or lacks a package for it."""

_READS = re.compile(r"\s*(SELECT|SHOW|DESCRIBE)\b", re.IGNORECASE)
_LEAVES_NOTHING = re.compile(
    rf"{_READS.pattern}|\s*CALL\s+({'|'.join((*procedures.THAT_READ, *procedures.THAT_CHANGE_NO_BRANCH))})\b",
    re.IGNORECASE,
)
"""Statements after which no transaction is open, unless they fail: the server's own setting is autocommit."""
_LOCKS = re.compile(r"_LOCK", re.IGNORECASE)
_TAKES = re.compile(r"GET_LOCK", re.IGNORECASE)
_PUTS_ROWS = re.compile(r"\s*(LOAD DATA|INSERT|REPLACE|UPDATE|DELETE)\b", re.IGNORECASE)
_CHANGES_ROWS = re.compile(
    rf"{_LEAVES_NOTHING.pattern}|{_PUTS_ROWS.pattern}|\s*(START TRANSACTION|COMMIT|SET|USE)\b"
    r"|\s*CALL\s+(flyte_import|DOLT_COMMIT|DOLT_ADD)\b",
    re.IGNORECASE,
)
"""Statements after which each table looks as before, but for its rows."""
_T = TypeVar("_T")

_NO_TLS = "the server offers no TLS"
_UNKNOWN = Path()
_READER = "flyte_reader"


def _native_hash(password: str) -> str:
    """Return what a server keeps of a password."""
    return f"*{hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()}"  # noqa: S324  # as MySQL does


def _is_ours(folder: Path) -> bool:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o077


class Connection:
    """One session with the server, on one revision of one database: the checked-out branch, but inside `at`.

    What is attempted, as `errors.attempting` says, completes the sentence "Cannot ..." when the server refuses.
    """

    def __init__(
        self, raw: driver.Connection, endpoint: Endpoint, database: str, place: Location | None = None
    ) -> None:
        self._raw = raw
        self._endpoint = endpoint
        self._place = place
        """Where it can log in again; None is a session beside another."""
        self._is_bound = False
        """Whether the session may hold what another would not: a lock, a branch that is named for it."""
        self._may_be_in_transaction = True
        """Whether a transaction may be open, with its view of what there was when it began."""
        self._logged = endpoint.log_size()
        """What a private server had logged when this use of the session began; a panic is looked for after that."""
        self.repeats_after_panics = True
        """Whether a statement that only reads is sent once more after the server panicked."""
        self.database = database
        self._revision: str | None = None
        self._went_to: str | None = ""
        """Where the server's session is; if that is not `revision`, the next statement goes there first."""
        self.is_known = False
        """Whether it was asked if Dolt's own tables are its own here."""
        self.seen_commits: set[str] = set()
        """Commits that were found by their hash. One may be collected since, which the next statement about it says."""
        self._told: tuple[str, list[tuple[Any, ...]]] | None = None
        """What this use was to ask first, and the answer, until it asks that or something else."""
        self._began: tuple[str | None, str | None] = (None, None)
        """A branch of its own and where that began, while nothing but rows has changed there."""
        self.rows_commit: RowsCommit | None = None
        """What rows go to, where they are to be a commit and nothing else may change."""
        self.said_changed = False
        """Whether the server said of a statement, since this was last made false, that it changed rows."""
        self._folder: Path | None = _UNKNOWN
        self._reader: Connection | None = None

    def begins_as(self, commit: str) -> None:
        """Note that the branch that it is on was just made at a commit, and that it alone works on it."""
        self._began = (self._revision, commit)

    @property
    def looks_as(self) -> str | None:
        """The commit in which each table looks, but for its rows, as where the connection is; None is not known."""
        if self._revision is None or is_hash(self._revision):
            return self._revision
        branch, commit = self._began
        return commit if branch == self._revision else None

    def moves_on(self, commit: str) -> None:
        """Be on ``commit`` from now on, until the end of the innermost `at`."""
        self.saw_commit(commit)
        self._revision = commit

    def refuse_changes(self, sql: str = "") -> None:
        """Raise for a statement that changes something where only the rows of a `RowsCommit` may change.

        Raises:
            NeedsBranch: it does; it was not sent.
        """
        if self.rows_commit is not None and not _LEAVES_NOTHING.match(sql):
            raise NeedsBranch(sql)

    def _note_kind(self, sql: str) -> None:
        """Note what follows from sending a statement."""
        self.refuse_changes(sql)
        self._told = None
        if not _CHANGES_ROWS.match(sql):
            self._began = (None, None)

    def saw_commit(self, commit: str) -> None:
        """Note that the repository holds a commit; what was noted before goes when it is much."""
        if len(self.seen_commits) >= _COMMITS_KEPT:
            self.seen_commits.clear()
        self.seen_commits.add(commit)

    @property
    def number(self) -> int:
        """The server's number of this session; no other living one has it."""
        number: int = self._raw.thread_id()  # type: ignore[no-untyped-call]
        return number

    @property
    def endpoint(self) -> Endpoint:
        """Where it is logged in."""
        return self._endpoint

    @property
    def local_port(self) -> int:
        """The port of a server of this very machine, which no start has in common with another; else 0."""
        return self._endpoint.port if self._endpoint.shares_files else 0

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; ``%s`` marks bound parameters."""
        if self._told is not None and self._told[0] == sql and self._revision is None:
            (_, rows), self._told = self._told, None
            return rows

        def ask() -> list[tuple[Any, ...]]:
            with self._raw.cursor() as cursor:
                if self._goes_along(sql):
                    with self._translated():
                        statement = cursor.mogrify(sql, parameters or None)
                    return self._send_on_the_way(statement)[0]
                self._settle()
                with self._translated():
                    cursor.execute(sql, parameters or None)
                    return list(cursor.fetchall())

        return self._repeated(sql, ask)

    def queries(self, *statements: str) -> list[list[tuple[Any, ...]]]:
        """Run statements that only read, and return the rows of each.

        A server of this machine is sent all of them before it has answered the first: one wait instead of several.
        """

        def ask() -> list[list[tuple[Any, ...]]]:
            if self._goes_along(*statements):
                return self._send_on_the_way(*statements)
            self._settle()
            return self._send_each(statements)

        return self._repeated("; ".join(statements), ask)

    def execute(self, sql: str, *parameters: object) -> int:
        """Run one statement and return the number of rows it affected."""
        self._is_bound = self._may_be_in_transaction = True
        self._note_kind(sql)
        self._settle()
        affected = self._send(sql, *parameters)
        self.said_changed = self.said_changed or (affected > 0 and _PUTS_ROWS.match(sql) is not None)
        return affected

    def execute_ahead(self, sql: str, *parameters: object) -> None:
        """Run one statement as `execute` does, without waiting for it: what it would raise, the next one does.

        The next is sent when this one was answered, and not at all where it failed; so it is with what another session
        is asked by way of this one. Not for what is published: nobody would know what of two failed.
        """
        if not self._endpoint.shares_files:  # as of `queries`
            self.execute(sql, *parameters)
            return
        self._is_bound = self._may_be_in_transaction = True
        self._note_kind(sql)
        goes = [self._use_of(self._revision)] if self._is_elsewhere else []
        with self._translated(), self._raw.cursor() as cursor:
            self._raw.send_ahead([*goes, cursor.mogrify(sql, parameters or None)])
        self._went_to = self._revision

    def start_afresh(self, revision: str | None = None, *, asks: str | None = None) -> None:
        """Take no view of yesterday along from the last use; what answers is alive.

        ``revision`` is where this use goes first. The end of a transaction is asked for only where the last use may
        have left one; to go there is asked in any case else, for the answer. ``asks`` is what this use asks there
        first, which is sent along.
        """
        self._start_here()
        self._told = None
        statements = self._start(revision, asks)
        goes = any(each.startswith("USE ") for each in statements)
        try:
            *_, rows = self._send_each(statements)
        except (AccessDenied, RevisionNotFound):  # who is to be there is told when he goes, which he does at once then
            self._went_to = ""
            self.seen_commits.discard(str(revision))
            return
        self._may_be_in_transaction = False
        self._went_to = revision if goes else self._went_to
        self._told = (statements[-1], rows) if asks is not None and statements[-1] == asks else None

    def start_unasked(self) -> bool:
        """Do as `start_afresh` without a word to the server, where that can be; say whether it could."""
        if self._may_be_in_transaction or not self.is_known or not self._endpoint.shares_files:
            return False
        self._start_here()
        self._told = None
        return True

    def _start(self, revision: str | None, asks: str | None) -> list[str]:
        """Return the statements by which a use starts; there is one at least."""
        ends = ["ROLLBACK"] if self._may_be_in_transaction or not self.database else []
        if not self.database or (ends and not self._endpoint.shares_files):
            return ends
        along = [asks] if asks is not None and self._endpoint.shares_files else []
        return [*ends, self._use_of(revision), *along]

    def _start_on_the_way(self, revision: str | None) -> None:
        """Do as `start_afresh`, and be on ``revision`` from now on, but go there with the first statement."""
        if self._may_be_in_transaction:
            self.start_afresh(revision)
        else:
            self._start_here()
        self._revision = revision

    def _start_here(self) -> None:
        """Note what the log holds, and that a branch may have moved, where the session is."""
        self._logged = self._endpoint.log_size()
        self._went_to = "" if self._went_to is None or not is_hash(self._went_to) else self._went_to

    def _repeated(self, sql: str, ask: Callable[[], _T]) -> _T:
        """Return what ``ask`` gives; where the private server panics, ask it once more, and alone if it ended.

        Only a statement that reads, on a session that holds nothing: what writes is done again as a whole.

        Raises:
            ServerFailed: it panics again.
        """
        self._note_kind(sql)
        only_reads = _READS.match(sql) is not None and not _LOCKS.search(sql)
        self._is_bound = self._is_bound or not only_reads
        self._may_be_in_transaction = self._may_be_in_transaction or not _LEAVES_NOTHING.match(sql)
        if self._place is None or self._is_bound or not self.repeats_after_panics:
            return ask()
        panics = Panics()
        try:
            with panics.noticed():
                return ask()
        except ConnectionLost as error:
            if error.panic is None:
                raise
        with panics.noticed():
            self._log_in_again()
            return ask()

    def _log_in_again(self) -> None:
        assert self._place is not None  # noqa: S101  # for the type checker: the caller asked
        with hosts.host(self._place).reached() as endpoint:
            fresh = _acquire(self._place, endpoint)
        self.abandon()
        self._raw, self._endpoint, self.database = fresh._raw, fresh._endpoint, fresh.database
        self._went_to, self._folder, self._reader = fresh._went_to, fresh._folder, fresh._reader
        self._may_be_in_transaction = fresh._may_be_in_transaction
        self._logged = fresh._logged

    def _send(self, sql: str, *parameters: object) -> int:
        with self._translated(), self._raw.cursor() as cursor:
            affected: int = cursor.execute(sql, parameters or None)
            return affected

    def _send_each(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Send statements as `queries` does, and return the rows of each."""
        with self._translated():
            if self._endpoint.shares_files:
                return self._raw.rows_of_each(statements)
            # What stands between us and a server elsewhere may not bear a statement before the last one's answer.
            return [rows for statement in statements for rows in self._raw.rows_of_each([statement])]

    @property
    def revision(self) -> str | None:
        """The commit or branch that statements are about; None is the checked-out branch."""
        return self._revision

    @contextmanager
    def at(self, revision: str | None, *, at_once: bool = True) -> Iterator[Connection]:
        """Be on a commit (read-only), a branch (writable), or the checked-out branch (None) inside the block.

        Nothing is checked out. The server looks for branches without regard to case: `active_branch` says where one has
        landed. After the block the connection is where it was before; the next statement takes it there, as it does to
        one of `seen_commits`, and to any revision where not ``at_once``.

        Raises:
            RevisionNotFound: there is nothing of this name; raised by the next statement where that goes there.
        """
        before, self._revision = self._revision, revision
        try:
            if at_once and revision not in self.seen_commits:
                self._settle()
            yield self
        finally:
            self._revision = before

    def _settle(self) -> None:
        """Go to where the connection is meant to be."""
        if self._is_elsewhere:
            self._go(self._revision)

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the session is not where the connection is meant to be."""
        return self._went_to != self._revision and bool(self.database)

    def _goes_along(self, *statements: str) -> bool:
        """Whether there is somewhere to go, and these can be sent with the statement that goes there.

        They may be run twice, and where the connection was.
        """
        if not self._is_elsewhere or not self._endpoint.shares_files:
            return False
        return all(_LEAVES_NOTHING.match(each) and not _TAKES.search(each) for each in statements)

    def _send_on_the_way(self, *statements: str) -> list[list[tuple[Any, ...]]]:
        """Go to where the connection is meant to be, and return the rows of statements that are sent along.

        If it cannot go there they are run where it was, and what they gave is not looked at.
        """
        self.see_done()  # as of `_go`
        revision, self._went_to = self._revision, ""
        try:
            _, *found = self._send_each([self._use_of(revision), *statements])
        except (AccessDenied, RevisionNotFound):  # of going, or of a statement's own
            self._settle()
            return self._send_each(statements)
        self._went_to = revision
        return found

    def _go(self, revision: str | None) -> None:
        self.see_done()  # what that raises is not of going
        try:
            self._send(self._use_of(revision))
        except (AccessDenied, RevisionNotFound) as error:
            if revision is None:
                raise
            self._refuse_absent(revision, error)
        self._went_to = revision

    def _use_of(self, revision: str | None) -> str:
        """Return the statement that goes to a revision."""
        return f"USE {quote(self._name_of(revision))}"

    def _name_of(self, revision: str | None) -> str:
        """Return the name under which the server has a revision as a database."""
        return self.database if revision is None else f"{self.database}/{revision}"

    def _refuse_absent(self, revision: str, error: AccessDenied | RevisionNotFound) -> NoReturn:
        """Raise for a revision that is not there: to users with rights on one database only, Dolt says "denied"."""
        if isinstance(error, AccessDenied):
            self._send(self._use_of(None))  # denied, too, where they may not be here at all
            self._went_to = None
        if not is_hash(revision):
            raise from_server(1049, f"database not found: {self._name_of(revision)}") from error
        self.seen_commits.discard(revision)
        raise RevisionNotFound(
            f"Cannot read at commit {revision}: the repository {self.database!r} does not hold it. It may be another "
            "clone, or the commit was on a branch that is deleted and collected.",
            revision=revision,
        ) from error

    def active_branch(self) -> str:
        """Return the name of the branch that the connection is on."""
        branch: str = self.query(ACTIVE_BRANCH)[0][0]
        return branch

    def describe(self, sql: str) -> list[Column]:
        """Return names and types of the columns that a statement gives; the statement is run, so let it be cheap."""

        def ask() -> list[Column]:
            self._settle()
            with self._translated():
                self._raw.query(sql)
                return self._raw.columns()

        return self._repeated(sql, ask)

    @contextmanager
    def arrow_batches(self, sql: str, *, batch_rows: int | None = None) -> Iterator[Iterator[pa.RecordBatch]]:
        """Give the rows of a query as Arrow batches of ``batch_rows`` rows, through a session of its own.

        None leaves batches as they arrive. The session is on the same revision as this one, and its user may only read
        where we can make one. The types are those of `result_columns.from_text`. There is at least one batch, which
        may be empty.
        """
        session = self._beside()
        try:
            with session.at(self.revision):
                with session._translated():
                    session._raw.query(sql, unbuffered=True)
                with contextlib.closing(session._arriving()) as arriving:
                    yield arriving if batch_rows is None else _regrouped(arriving, batch_rows)
        finally:
            session.abandon()  # the rest of the rows may be on its way

    def see_done(self) -> None:
        """Wait for what was sent ahead: another session is to see what that did, or errors of the next are expected."""
        with self._translated():
            self._raw.see_done()

    def _beside(self) -> Connection:
        """Return another session, logged in for reading."""
        self.see_done()
        login = self._reader_login()
        try:
            session = Connection(_open(login), login, self.database)
        except ConnectionLost as error:
            error.panic = self._endpoint.panic_since(self._logged)
            raise
        session._logged = self._logged
        return session

    def _arriving(self) -> Generator[pa.RecordBatch, None, None]:
        """Give the waiting result as it arrives, an empty batch first."""
        columns, rows = self._raw.columns(), 0
        yield from_text(columns, [pa.array([], pa.large_binary())] * len(columns))
        if not columns:  # nothing is on its way then
            return
        with (
            self._translated(),
            contextlib.closing(
                text_rows.pieces(self._raw, take_apart=lambda found: text_rows.taken_apart(found, len(columns)))
            ) as pieces,
        ):
            for piece in pieces:
                yield from_text(columns, piece, first_row=rows)
                rows += len(piece[0])

    def text_rows(self, sql: str) -> tuple[list[Column], list[pa.Array]]:
        """Return the columns of a statement's result, and their values as the server printed them; all at once."""

        def ask() -> tuple[list[Column], list[pa.Array]]:
            self._settle()
            with self._translated(), self._raw.printing():
                self._raw.query(sql)
                return self._raw.columns(), text_rows.whole(self._raw)

        return self._repeated(sql, ask)

    @contextmanager
    def read_only_session(self) -> Iterator[Connection]:
        """Give a session on the same revision whose user may do nothing but SELECT.

        On a server that somebody else runs no users are made there, and the session is this one.
        """
        self.see_done()
        login = self._reader_login()
        if login is self._endpoint:
            yield self
            return
        if self._reader is None:
            self._reader = Connection(_open(login), login, self.database)
            self._reader._folder = self._file_folder()
        reader = self._reader
        reader._start_on_the_way(self.revision)
        try:
            yield reader
        finally:
            reader._revision = None
            if self.revision is not None and not is_hash(self.revision):
                with contextlib.suppress(DoltError):  # of a session that was cut the next one is told
                    reader._settle()  # nobody can rename or delete a branch that a session is on

    def forget_reader(self) -> None:
        """Have the next `read_only_session` log in anew: the one that there is was cut."""
        found, self._reader = self._reader, None
        if found is not None:
            found.abandon()

    def _reader_login(self) -> Endpoint:
        """Return how to log in for reading: on a private server as a user who may do nothing but SELECT."""
        if not self._endpoint.shares_files:
            return self._endpoint
        found = _readers.get(self._endpoint)
        if found is None:
            folder = self._file_folder()
            is_private = folder is not None and local_server.is_private(folder)
            found = self._made_reader() if is_private else self._endpoint
            _readers[self._endpoint] = _readers[found] = found
            _rows_versions[found] = self.rows_version()
        return found

    def _made_reader(self) -> Endpoint:
        """Make the user, whose password follows from the server's own, so that all processes know it."""
        password = Password(hashlib.sha256(f"{_READER}:{self._endpoint.password}".encode()).hexdigest())
        login = replace(self._endpoint, user=_READER, password=password)
        is_ready = "SELECT authentication_string = %s AND select_priv = 'Y' FROM mysql.user WHERE user = %s"
        found = self.query(is_ready, _native_hash(password), _READER)
        if found == [(1,)]:
            return login
        user = f"'{_READER}'@'localhost'"
        how = "ALTER USER" if found else "CREATE USER IF NOT EXISTS"  # it may have given itself another password
        self.execute(f"{how} {user} IDENTIFIED BY %s", password)
        if self.rows_version() == procedures.VERSION:
            for procedure in procedures.THAT_READ:
                self.execute(f"GRANT EXECUTE ON PROCEDURE {quote(self.database)}.{procedure} TO {user}")
        # At last, as it says that the user is ready; and not on this database alone: to Dolt 1.83 its revisions are
        # databases of their own to table functions.
        self.execute(f"GRANT SELECT ON *.* TO {user}")
        return login

    def rows_version(self) -> int | None:
        """Return the version of our procedures for files of rows; None is a server without them, or not our own.

        It is asked once, as the server's owner.
        """
        if self._endpoint in _rows_versions:
            return _rows_versions[self._endpoint]
        folder = self._file_folder() if self._endpoint.shares_files else None
        found = None
        if folder is not None and local_server.is_private(folder):
            with contextlib.suppress(QueryFailed):  # a Dolt that others have built has no such procedure
                ((found,),) = self.query(procedures.ASKS_VERSION)
        _rows_versions[self._endpoint] = found
        return found

    def shared_folder(self) -> Path | None:
        """Return the folder from which this server loads files and into which we may write, or None."""
        if not self._endpoint.shares_files:
            return None
        folder = self._file_folder()  # looked at each time: somebody may have removed it
        return folder if folder is not None and _is_ours(folder) else None

    def _file_folder(self) -> Path | None:
        if self._folder is _UNKNOWN:
            (folder,) = self.query("SELECT @@secure_file_priv")[0]
            self._folder = Path(folder) if folder else None
        return self._folder

    def load(
        self, table: str, columns: str, lines: Iterable[pa.Buffer], *, folder: Path, replacing: bool = False
    ) -> int:
        """Append tab-separated ``lines`` to ``table`` by a file in ``folder``; strict, all or nothing.

        ``columns`` is the column list with its ``SET`` clause, as `load_data.load_clause` gives it. With ``replacing``,
        rows of the same key are overwritten instead of refused. Returns the number of rows.
        """
        self.refuse_changes()
        how = "REPLACE " if replacing else ""
        with NamedTemporaryFile(dir=folder, suffix=".tsv") as file:
            try:
                for buffer in lines:
                    file.write(buffer)
                file.flush()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                with contextlib.suppress(OSError):
                    file.truncate(0)  # what could not be written is not tried again when the file is closed
                raise DiskFull(
                    f"Cannot {attempted()}: no space is left in {str(folder)!r}, where the rows wait for the server. "
                    "Free some, or set TMPDIR to a larger place.",
                    path=folder,
                ) from error
            # Not LOCAL: that means IGNORE to the server, and values would be changed in silence.
            statement = f"LOAD DATA INFILE {literal(file.name)} {how}INTO TABLE {quote(table)} {columns}"
            return self.execute(statement)

    def close(self) -> None:
        """Close the session."""
        if self._reader is not None:
            self._reader.close()
        with contextlib.suppress(driver.Error):
            self._raw.close()

    def abandon(self) -> None:
        """Drop the sockets without a word on them: they are those of another process."""
        if self._reader is not None:
            self._reader.abandon()
        self._raw.hang_up()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except driver.MySQLError as error:
            self._may_be_in_transaction = True
            if driver.SENT_AHEAD in vars(error):  # what goes there may be what failed
                self._went_to = ""
            stripped(error, *self._endpoint.passwords)
            found = _from_pymysql(error)
            if isinstance(found, ConnectionLost):
                found.panic = self._endpoint.panic_since(self._logged)
            raise found from error
        except UnicodeEncodeError as error:
            raise QueryFailed(
                f"Cannot {attempted()}: {error.object[error.start : error.end]!r} is half a character (a lone "
                "surrogate), which is no text. Take it out.",
                server_message="",
                code=0,
            ) from error


def _from_pymysql(error: driver.MySQLError) -> DoltError:
    code, *text = error.args or (0,)
    if not isinstance(code, int) or code in _GONE or isinstance(error, driver.InterfaceError):
        said = ": ".join(map(str, error.args)) or "connection closed"
        return ConnectionLost(f"Cannot {attempted()}: the connection to the dolt sql-server broke ({said}). Try again.")
    return from_server(code, " ".join(map(str, text)))


def _regrouped(arriving: Iterable[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Give the same rows in batches of so many, the last one of what is left; the first that arrives is empty."""
    empty = next(iter(arriving))
    waiting, count, given = [empty], 0, False
    for batch in arriving:
        waiting.append(batch)
        count += len(batch)
        if count >= batch_rows:
            together = joined(waiting).combine_chunks()
            ready = count - count % batch_rows
            yield from together.slice(0, ready).to_batches(max_chunksize=batch_rows)
            waiting, count, given = [empty, *together.slice(ready).to_batches()], count - ready, True
    if count or not given:
        yield from joined(waiting).combine_chunks().to_batches() or [empty]


def _open(endpoint: Endpoint) -> driver.Connection:
    tls = _tls_context(endpoint.tls) if endpoint.tls is not None else None
    try:
        raw = driver.logged_in(
            endpoint.host,
            endpoint.port,
            user=endpoint.user,
            password=endpoint.password,
            tls=tls,
            has_authority=endpoint.tls is not None and endpoint.tls.ca is not None,
            timeout_s=CONNECT_TIMEOUT_S,
        )
    except DoltError as error:
        raise without_frames(error)  # noqa: B904  # it is the same one
    except _NO_WORDS as error:
        raise ServerFailed(
            f"Cannot {attempted()}: what answers there does not log in as a MySQL server does ({error}). Check the URL."
        ) from stripped(error, *endpoint.passwords)
    except Exception as error:  # noqa: BLE001
        # Whatever it is: the driver's frames hold the password, and a traceback may show their variables.
        raise _not_connected(error, endpoint) from stripped(error, *endpoint.passwords)
    except BaseException as error:  # noqa: BLE001
        raise without_frames(error)  # noqa: B904
    if not endpoint.shares_files:
        raw.keep_alive(_silence())  # statements may take as long as they need, so the kernel finds out who is gone
    return raw


def _tls_context(tls: Tls) -> ssl.SSLContext:
    try:
        for path in filter(None, (tls.ca, tls.cert, tls.key)):
            os.close(files.open_regular(Path(path).resolve()))  # the reader of certificates would wait at a FIFO
        context = ssl.create_default_context(cafile=tls.ca)
        context.check_hostname = tls.verify_identity
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfig(
            f"Cannot {attempted()}: the certificates in {tls} cannot be read ({error}). Check the paths, which are "
            "those on the machine that runs the task."
        ) from error
    return context


def _not_connected(error: Exception, endpoint: Endpoint) -> DoltError:
    cause = getattr(error, "original_exception", None) or error
    if isinstance(error.__context__, ssl.SSLError):  # said with the first answer: that of TLS 1.3 to a client
        cause = error.__context__
    if isinstance(cause, ssl.SSLError):
        return _untrusted(str(getattr(cause, "verify_message", None) or cause.args[-1]).rstrip("."))
    if error.args[:1] == (driver.NO_TLS,):
        return _untrusted(_NO_TLS)
    if isinstance(error, driver.PasswordWanted):
        return _kept_password(str(error.args[1]))
    if isinstance(cause, socket.gaierror):
        return ConnectionLost(f"Cannot {attempted()}: there is no host of that name ({cause.strerror}). Check the URL.")
    if isinstance(cause, (ConnectionRefusedError, TimeoutError)):
        return ConnectionLost(f"Cannot {attempted()}: nobody answers there ({cause}). Check the URL, and that it runs.")
    stripped(error, *endpoint.passwords)  # the server may repeat one
    if not isinstance(error, driver.MySQLError):
        said = f"{type(error).__name__}: {error}".rstrip(".")
        return ServerFailed(f"Cannot {attempted()}: the driver cannot talk with it ({said}). Check the URL.")
    found = _from_pymysql(error)
    if isinstance(found, AccessDenied) and not endpoint.password:
        advice = "give the config secret=Secret(group, key), or the command line DOLT_PASSWORD"
        return AccessDenied(f"{found} None was sent: {advice}.", **vars(found))
    return found


def _untrusted(said: str) -> UntrustedServer:
    advice = (
        "Fix the server's certificate, or name the authority that signed it with ?ssl_ca=/path/of/ca.pem at the end "
        "of the URL."
    )
    if said == _NO_TLS:
        advice = "Give the server a certificate, or, in a network that is trusted, end the URL with ?ssl_disabled=true."
    if "alert" in said and "certificate" in said:
        advice = "Show the server a certificate that it takes: end the URL with ?ssl_cert=/path.pem&ssl_key=/path.key."
    return UntrustedServer(f"Cannot {attempted()}: no trusted connection with TLS is possible ({said}). {advice}")


def _kept_password(asked: str) -> UntrustedServer:
    return UntrustedServer(
        f"Cannot {attempted()}: {asked}, and has not proved with a certificate who it is, so the password was not "
        "sent. Use TLS with a verified certificate (?ssl_ca=/path/of/ca.pem at the end of the URL), or a user that is "
        "IDENTIFIED WITH mysql_native_password."
    )


def _silence() -> dict[str, int]:
    """Return when the kernel asks whether the other end is there and gives it up, by the names of its options."""
    probes = {"TCP_KEEPIDLE": _SILENCE_S // 2, "TCP_KEEPINTVL": _SILENCE_S // 6, "TCP_KEEPCNT": 3}
    return {**probes, "TCP_USER_TIMEOUT": _SILENCE_S * 1000}  # the last in milliseconds, the others in seconds


class _Pool:
    """Warm connections to one server; given out one by one, to any thread."""

    def __init__(self, place: Location, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._place = place
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._database: str | None = None

    def take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._open()

    def give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _KEPT_WARM:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        reader = _readers.pop(self.endpoint, self.endpoint)
        for endpoint in (self.endpoint, reader):
            _readers.pop(endpoint, None)
            _rows_versions.pop(endpoint, None)

    def _open(self) -> Connection:
        with attempting(f"connect to the dolt sql-server of {str(self._place)!r}"):
            connection = Connection(_open(self.endpoint), self.endpoint, "", self._place)
            try:
                self._prove(connection)
                if self._database is None:
                    self._database = self._check(connection)
            except BaseException:
                connection.close()
                raise
            connection.database = self._database
            return connection

    def _prove(self, connection: Connection) -> None:
        """Refuse, before any other statement, a server that is not the one of this very folder.

        Raises:
            ConnectionLost: our own ended, or its folder has moved, since it was found.
            RepositoryBusy: a server of the user's own does not know what only the one in this folder does.
        """
        if not self.endpoint.is_proved:
            _ask_for_proof(connection, self.endpoint, self._place)
        elif not hosts.host(self._place).is_still(self.endpoint):
            raise ConnectionLost(
                f"Cannot {attempted()}: it ended, or its folder was renamed or exchanged, a moment ago. Try again."
            )

    def _check(self, connection: Connection) -> str:
        """Refuse a server that is too old, and find the name under which it serves the repository."""
        try:
            ((version,),) = connection.query("SELECT dolt_version()")
        except (QueryFailed, ValueError) as error:
            raise ServerFailed(
                f"Cannot {attempted()}: it is a database server, but not Dolt's. Check the URL."
            ) from error
        if tuple(int(part) for part in str(version).split(".")[:2] if part.isdigit()) < _OLDEST:
            raise ServerFailed(
                f"Cannot {attempted()}: it runs Dolt {version}, and 1.83 or newer is needed. Upgrade it."
            )
        served = [name for (name,) in connection.query("SHOW DATABASES")]
        own = [name for name in served if name not in ("information_schema", "mysql")]
        database = hosts.host(self._place).database(own)
        if not self.endpoint.is_proved:
            _refuse_moved(connection, database, self._place)
        return database


def _refuse_moved(connection: Connection, database: str, place: Location) -> None:
    """Raise if a server of the user's own does not find the folder any more that it was started for."""
    try:
        connection.execute(f"USE {quote(database)}")
    except RevisionNotFound as error:
        raise RepositoryBusy(
            f"Cannot {attempted()}: it was started in a folder that was renamed or moved since, which Dolt does not "
            f"bear. Stop that server, and start it again in {str(place)!r}.",
            path=str(place),
        ) from error


def _ask_for_proof(connection: Connection, endpoint: Endpoint, place: Location) -> None:
    """Ask for what follows from the password, which a login does not tell who did not know it already."""
    asked = "SELECT authentication_string FROM mysql.user WHERE user = %s"
    try:
        knows_it = connection.query(asked, endpoint.user) == [(_native_hash(endpoint.password),)]
    except (QueryFailed, AccessDenied):
        knows_it = False
    if not knows_it:
        raise RepositoryBusy(
            f"Cannot {attempted()}: a dolt process holds the repository, and what listens on port {endpoint.port}, "
            "where .dolt/sql-server.info says that its server is, is not that one. Find out who holds it, and end it.",
            path=str(place),
        )


_readers: dict[Endpoint, Endpoint] = {}
"""How to log in for reading where this process knows it already, by how it is logged in."""

_rows_versions: dict[Endpoint, int | None] = {}
"""What `Connection.rows_version` answers, by how one is logged in."""

_pools: dict[Location, _Pool] = {}
_pools_lock = threading.Lock()


@contextmanager
def connect(
    place: Location,
    *,
    first_at: str | None = None,
    asks: str | None = None,
    patience_s: float = PATIENCE_S,
    is_repeated: bool = False,
) -> Iterator[Connection]:
    """Give a connection to the server of ``place``; for a resolved folder it is started if none runs there.

    The connection is on the checked-out (or the server's default) branch; `Connection.at` goes elsewhere. Who goes to a
    commit at once says so by ``first_at``, which saves a statement, and who asks something first by ``asks``, which
    saves a wait where that is just what `Connection.query` is given. It goes back to the warm ones when the block ends
    well, and is closed when it does not. Somebody else's server that does not answer is tried again for ``patience_s``
    seconds. A warm session is asked first whether it still answers; that of a private server is not where the block
    ``is_repeated`` by the caller once the connection is lost.

    Raises:
        ConnectionLost: the server cannot be reached, or went away twice in a row.
        AccessDenied, UntrustedServer, RepositoryNotFound: somebody else's server does not let us in, or is not what
            was expected.
    """
    where = hosts.host(place)
    with where.reached() as endpoint:
        try:
            connection = _acquire(place, endpoint, first_at=first_at, asks=asks, is_repeated=is_repeated)
        except ConnectionLost:
            disconnect(place)  # the server was killed or restarted, or its owner is gone
            connection = None
        if connection is not None:
            with _release_after(place, endpoint, connection):
                yield connection
            return
    with where.reached() as endpoint:
        connection = _patiently(place, endpoint, where.patience_s(patience_s))
        with _release_after(place, endpoint, connection):
            yield connection


class Panics:
    """What becomes of work under which a private server panics: it is done once more, and then it is at fault.

    Where a panic ends the server it takes all sessions with it, and who was to blame shows when it is done alone.
    """

    def __init__(self) -> None:
        self._before: local_server.Panic | None = None
        self._now: local_server.Panic | None = None

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Have a panic inside the block noticed; after one that ended the server, be alone on another inside it.

        Raises:
            ServerFailed: it is at fault, and was neither done nor half done.
            RepositoryBusy: others did not stop using the repository in time.
        """
        self._before, self._now = self._now, None
        with contextlib.ExitStack() as stack:
            if self._before is not None and self._before.ended:
                stack.enter_context(local_server.alone(self._before.repository))
            try:
                yield
            except (ConnectionLost, OutcomeUnknown) as error:
                self._now = getattr(error, "panic", None) or getattr(error.__cause__, "panic", None)
                if isinstance(error, ConnectionLost):
                    self.refuse(error)
                raise

    def refuse(self, error: Exception) -> None:
        """Raise what is final, if the work is at fault.

        Raises:
            ServerFailed: it is.
        """
        before, now = self._before, self._now
        if before is None or now is None or (now.ended and not before.ended):
            return
        raise ServerFailed(
            f"Cannot {attempted()}: it makes the dolt sql-server panic, as it did again when it was repeated"
            f"{' alone' if before.ended else ''}. That is a fault of Dolt's; do it in another way. Its log says: "
            f"panic: {now.said}",
            path=now.repository,
        ) from error


def disconnect(place: Location) -> None:
    """Close what is open to the server of a repository, and let go of it."""
    hosts.host(place).release()
    pool = _pools.get(place)
    if pool is not None:
        pool.close()


def _patiently(place: Location, endpoint: Endpoint, patience_s: float) -> Connection:
    deadline, pause_s = time.monotonic() + patience_s, 0.05
    while True:
        try:
            return _acquire(place, endpoint)
        except ConnectionLost:
            if time.monotonic() + pause_s >= deadline:
                raise
        time.sleep(pause_s)
        pause_s *= 2


def _acquire(
    place: Location,
    endpoint: Endpoint,
    *,
    first_at: str | None = None,
    asks: str | None = None,
    is_repeated: bool = False,
) -> Connection:
    connection = _pool(place, endpoint).take()
    with attempting(f"reach the dolt sql-server of {str(place)!r}"):
        try:
            if asks is not None or not is_repeated or not connection.start_unasked():
                connection.start_afresh(first_at, asks=asks)
            if not connection.is_known:
                active_content.refuse_false_tables(connection)
                connection.is_known = True
            connection._is_bound = False
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _release_after(place: Location, endpoint: Endpoint, connection: Connection) -> Iterator[None]:
    try:
        yield
        connection.see_done()  # it is no matter of the next use
    except BaseException as error:
        connection.close()  # the server drops its transaction and its locks
        if isinstance(error, ConnectionLost):
            error.in_use = True
        if isinstance(error, DiskFull):
            hosts.host(place).replace()
        raise
    _pool(place, connection.endpoint).give_back(connection)


def _pool(place: Location, endpoint: Endpoint) -> _Pool:
    with _pools_lock:
        pool = _pools.get(place)
        if pool is None or pool.endpoint != endpoint:
            pool = _pools[place] = _Pool(place, endpoint)
            hosts.host(place).on_release(pool.close)
        return pool


def _reset_after_fork() -> None:
    """In a forked child: the sockets are the parent's; they are dropped without a word on them."""
    global _pools_lock
    _pools_lock = threading.Lock()
    for pool in _pools.values():
        for connection in pool._idle:
            connection.abandon()
    _pools.clear()


os.register_at_fork(after_in_child=_reset_after_fork)
