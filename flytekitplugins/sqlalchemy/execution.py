"""One run of a task's statement: render it, connect, run it in one transaction, keep its rows or their number.

What is run is a `RunRequest`, which is all that the serialised task says. On Dolt a run also says which commit it read,
and makes one commit if that was asked for. It knows no Flyte.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..doltdb.attempts import attempted, attempting
from ..doltdb.hiding import replaced, spellings
from . import effects, results, templates
from .connections import Phase, Session, Target, connect, stop, translated
from .errors import (
    ConnectionLost,
    InvalidTask,
    InvalidValue,
    OutcomeUnknown,
    ReadOnlyRefused,
    SQLTaskError,
    StatementFailed,
    StatementTimedOut,
    SyntaxRefused,
    TransactionConflict,
    UncommittedChanges,
    UnreadableResult,
)
from .values import as_text, bindable, is_list

_LONGEST_SHOWN = 2000
_LONGEST_REPEATED = 10_000  # characters of a value that a server may repeat
_SHORTEST_PIECE = 16  # of a value that a server repeats in part; words of its own are shorter
_AS_OF = re.compile(r"\bas\s+of\s+((?:dolt_)?hashof\s*\(\s*)?('(?:[^'\\]|\\.|'')*')", re.IGNORECASE | re.ASCII)
_REVISION = re.compile(r"(?:refs/heads/|heads/)?([^~^]*)(.*)", re.DOTALL)
_STREAMED = ("select", "values", "table", "(")


@dataclass(frozen=True)
class RunRequest:
    """What is to be run."""

    task: str
    """The task's name, for messages."""
    template: str
    read_only: bool = False
    dolt_commit_message: str | None = None
    execution: str = ""
    """Flyte's id of the execution, for the commit."""
    columns: tuple[str, ...] = ()
    """Columns that the output has to have; none given: any."""
    most_digits: int = results.MOST_DIGITS
    """Digits of the widest DECIMAL that the reader of the file knows."""


@dataclass
class RunResult:
    """What came of it."""

    rows: int
    """Rows in the file; without one, rows that the statement affected (-1: the server does not say)."""
    columns: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """On Dolt: ``dolt_commit``, ``dolt_branch``, ``dolt_uncommitted_changes``, ``dolt_as_of``."""
    uncommitted: list[str] = field(default_factory=list)
    """On Dolt: tables whose rows are in no commit after a statement that may have changed some."""


def run(order: RunRequest, *, where: Target, inputs: Mapping[str, object], file: Path | None) -> RunResult:
    """Run the statement and write its rows as Parquet to ``file``, or run it for its effect if there is none.

    The transaction is committed when all rows are there; whatever fails before leaves nothing behind.

    Raises:
        SQLTaskError: one of its kinds, naming the task, the server and the query as it was written.
    """
    runner = _Runner(order, where, inputs)
    with attempting(f"run task {order.task!r} on {where.name}"), runner.explained():
        runner.check()
        try:
            with connect(where, read_only=order.read_only) as session:
                return runner.statement(session, file)
        except ConnectionLost as error:
            if not runner.is_dropped_again():
                raise
            raise StatementFailed(
                f"the server drops the connection whenever it is to run the statement ({str(error).rstrip('.')}), and "
                "answers otherwise. Write it in other words; the server's log may say why",
                code=None,
                server_message="",
            ) from None


class _Runner:
    """What the steps of one run share."""

    def __init__(self, order: RunRequest, where: Target, inputs: Mapping[str, object]) -> None:
        self.order, self.where, self.inputs = order, where, inputs
        self.phase: Phase = "read"
        self.sent: templates.Rendered | None = None
        """A statement that only reads and has not been answered yet, on Dolt."""
        self.language = templates.grammar(where.dialect)
        self.ignored: dict[str, str] = {}
        """On Dolt, where a commit is to be made: the hashes of tables in no commit that dolt_ignore names."""

    def check(self) -> None:
        """Refuse before anything is sent what would be refused anyway."""
        if self.order.read_only and self._effect() not in ("reads", "calls"):
            raise ReadOnlyRefused("the task is read_only, and its statement is not known as one that only reads")
        if self.order.read_only and self.order.dolt_commit_message is not None:
            raise InvalidTask("a read_only task makes no commit: leave dolt_commit_message out")

    def _check_in_session(self) -> None:
        """Refuse what only the session tells: there it is known what is code."""
        self.check()
        missing = templates.placeholders(self.order.template, self.language) - self.inputs.keys()
        if missing:
            raise InvalidTask(templates.not_given(missing))
        if templates.has_several(self.order.template, self.language):
            raise SyntaxRefused(
                "the query has several statements, and a task runs one. Make a task of each",
                code=None,
                server_message="",
            )

    def statement(self, session: Session, file: Path | None) -> RunResult:
        """Run it on a session, and commit."""
        self.language = templates.grammar(
            self.where.dialect, sql_mode=session.sql_mode, is_dolt=session.is_dolt, utf8=session.is_utf8
        )
        self._check_in_session()
        rendered = self._rendered(session)
        with self._translated(session):
            notes = self._before(session)
            sql = _with_values(session, rendered) if session.speaks_wire else ""
            self._assert_fits(session, sql)
            if not self.order.read_only and self._effect() != "reads":
                self.phase = "write"
            if session.is_dolt and self.phase == "read":
                self.sent = rendered
            if file:
                outcome = self._to_file(session, rendered, sql, file=file, notes=notes)
            else:
                outcome = self._for_effect(session, rendered)
            outcome.notes = {**notes, **outcome.notes}
            if not self.order.read_only:
                self._note_uncommitted(session, outcome)
                self._commit(session, outcome)
        return outcome

    def _effect(self) -> effects.Effect:
        return effects.effect(self.order.template, self.language)

    def _rendered(self, session: Session) -> templates.Rendered:
        dialect = session.connection.dialect
        style = dialect.paramstyle
        parts = templates.parse(self.order.template, self.language)
        used = templates.placeholders(self.order.template, self.language)
        values = {name: _bindable(name, self.inputs[name], self.where.dialect) for name in used}
        marks = dialect.identifier_preparer
        opened, closed = marks.initial_quote, marks.final_quote
        return templates.render(
            parts,
            values,
            paramstyle=style,
            quote=lambda name: f"{opened}{name.replace(closed, closed * 2)}{closed}",
            arrays=self.where.dialect == "postgresql",
        )

    def _assert_fits(self, session: Session, sql: str) -> None:
        """Refuse what is too large for the server, which would only hang up."""
        size, most = len(sql.encode()), session.most_bytes
        if most is not None and size >= most:
            raise StatementFailed(
                f"the statement with its values has {size} bytes, and the server takes less than its "
                f"max_allowed_packet of {most}. Raise that on the server, or give smaller values",
                code=None,
                server_message="",
            )

    def _to_file(
        self, session: Session, rendered: templates.Rendered, sql: str, *, file: Path, notes: dict[str, Any]
    ) -> RunResult:
        notes = {**notes, **(_as_of(session, sql) if session.is_dolt else {})}
        with (
            results.Spool(file, notes=notes) as spool,
            contextlib.closing(self._batches(session, rendered, sql)) as batches,
        ):
            spool.take(results.narrowed(self._answered(batches), digits=self.order.most_digits))
            self._assert_columns(list(spool.schema.names))
            spool.finish()
        return RunResult(spool.rows, list(spool.schema.names), notes)

    def _answered(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.sent = None
            yield batch

    def is_dropped_again(self) -> bool:
        """Say whether Dolt, which has not answered a statement that reads, drops it on a fresh session, too.

        It does so where a statement panics its handler; a lost connection would be the next one's luck.
        """
        if self.sent is None:
            return False
        try:
            with connect(self.where, read_only=self.order.read_only) as session:
                with self._translated(session):
                    _executed(session, self.sent, streamed=True).close()
        except ConnectionLost:
            return True
        except SQLTaskError:
            return False
        return False

    def _batches(
        self, session: Session, rendered: templates.Rendered, sql: str
    ) -> Generator[pa.RecordBatch, None, None]:
        if not session.speaks_wire:
            return results.from_driver(_executed(session, rendered, streamed=self._is_streamed()))
        is_call = self._code().startswith("call")
        return results.from_procedure(session, sql) if is_call else results.from_stream(session, sql)

    def _assert_columns(self, given: list[str]) -> None:
        if not given:
            raise InvalidTask("the statement gives no rows: give the task output_schema_type=None")
        missing = [name for name in self.order.columns if name not in given]
        if missing:
            raise UnreadableResult(
                f"the output's type declares the columns {', '.join(map(repr, missing))}, which the query lacks",
                columns=missing,
            )

    def _for_effect(self, session: Session, rendered: templates.Rendered) -> RunResult:
        with contextlib.closing(_executed(session, rendered, streamed=self._is_streamed())) as result:
            if not result.returns_rows:
                return RunResult(result.rowcount)
            for _ in result.partitions(results.ROWS_AT_ONCE):
                """PostgreSQL does what a streamed statement does only as its rows are fetched."""
        return RunResult(-1)

    def _is_streamed(self) -> bool:
        """Say whether a cursor on the server's side can take the statement."""
        code = self._code()
        return code.startswith(_STREAMED) or (
            code.startswith("with") and not re.search(r"\b(insert|update|delete|merge)\b", code)
        )

    def _code(self) -> str:
        return templates.code(self.order.template, self.language).lstrip(templates.BLANKS).lower()

    def _before(self, session: Session) -> dict[str, Any]:
        """Return what is read, on Dolt, and see that a commit would hold the task's own work only."""
        if not session.is_dolt:
            if self.order.dolt_commit_message is not None:
                raise InvalidTask("dolt_commit_message is for Dolt, and this server is none")
            return {}
        if not self.where.url.database or self.where.url.database in ("information_schema", "mysql"):
            return {}
        head, branch = session.rows("SELECT dolt_hashof('HEAD'), active_branch()")[0]
        dirty = [str(name) for (name,) in session.rows("SELECT DISTINCT table_name FROM dolt_status")] if branch else []
        if dirty and self.order.dolt_commit_message is not None:
            raise UncommittedChanges(
                f"the branch {branch!r} has uncommitted changes in {', '.join(map(repr, dirty))}, which would be swept "
                "into the task's commit. Commit or discard them first, or give the task a branch of its own",
                tables=dirty,
            )
        if branch and self.order.dolt_commit_message is not None:
            self.ignored = _ignored(session)
        return {"dolt_commit": head, "dolt_branch": branch, "dolt_uncommitted_changes": bool(dirty)}

    def _note_uncommitted(self, session: Session, outcome: RunResult) -> None:
        """Note, on Dolt, the tables that the statement has changed and in no commit."""
        if self.phase == "read" or "dolt_branch" not in outcome.notes or self.order.dolt_commit_message is not None:
            return
        found = session.rows("SELECT DISTINCT table_name FROM dolt_status")
        outcome.uncommitted = sorted(str(name) for (name,) in found)

    def _commit(self, session: Session, outcome: RunResult) -> None:
        if self.phase != "read" or self.order.dolt_commit_message is not None:
            self.phase = "commit"
        if self.order.dolt_commit_message is None:
            session.connection.commit()
            return
        message = f"{self.order.dolt_commit_message}\n\nGenerated by Flyte execution id: {self.order.execution}"
        session.rows("CALL dolt_add('-A')")
        # Tables that dolt_ignore names are left out, also those in a commit; what differs there is the task's own work.
        left = [str(name) for (name,) in session.rows("SELECT DISTINCT table_name FROM dolt_status WHERE NOT staged")]
        for name in left + self._own_ignored(session):
            session.rows("CALL dolt_add('--force', %s)", name)
        made = session.rows("CALL dolt_commit('-m', %s, '--skip-empty')", message)
        if made:  # else nothing had changed; either way the transaction is over, and no later failure can undo it
            outcome.notes["dolt_commit"] = made[0][0]

    def _own_ignored(self, session: Session) -> list[str]:
        """Return the tables that dolt_ignore names and that this statement has made.

        Raises:
            UncommittedChanges: it has changed one that was in no commit before.
        """
        changed = [name for name, state in _ignored(session).items() if self.ignored.get(name) != state]
        shared = [name for name in changed if name in self.ignored]
        if shared:
            raise UncommittedChanges(
                f"the statement changes {', '.join(map(repr, shared))}, which dolt_ignore names: what was in no commit "
                "before would be swept into the task's commit. Commit it once, by CALL dolt_add('--force', ...), or "
                "leave dolt_commit_message out",
                tables=shared,
            )
        return changed

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add the task, the server and the query to each error of this package, and take values out of its words."""
        try:
            yield
        except SQLTaskError as error:
            said = str(error)
            if not said.startswith("Cannot "):
                said = f"Cannot {attempted()}: {said.rstrip('.')}."
            query = self.order.template.strip()
            shown = query if len(query) <= _LONGEST_SHOWN else f"{query[:_LONGEST_SHOWN]} ..."
            error.args = (f"{self.where.shown(self._scrubbed(said))} Query: {shown}",)
            if "server_message" in error.__dict__:
                error.__dict__["server_message"] = self._scrubbed(str(error.__dict__["server_message"]))
            error.__cause__ = error.__context__ = None  # a driver's own error may repeat values and passwords
            raise

    @contextmanager
    def _translated(self, session: Session) -> Iterator[None]:
        """Turn what drivers raise into errors of this package, and end on the server what took too long."""
        raised: tuple[type[Exception], ...] = (DBAPIError, *_driver_errors(session))
        try:
            yield
        except UnicodeEncodeError as error:
            raise InvalidValue(
                f"the connection's character set, {error.encoding}, has no {error.object[error.start]!a}", name=""
            ) from None
        except raised as error:
            found = translated(error, self.where, phase=self.phase)
            if isinstance(found, TransactionConflict) and self._effect() == "anything" and self.phase == "write":
                found = _half_done(found)
            if isinstance(found, StatementTimedOut):
                stop(session)
            raise self._advised(found) from None

    def _advised(self, error: SQLTaskError) -> SQLTaskError:
        """Return the error with the advice that most need who paste names into templates of other plugins."""
        names = templates.meant_as_names(self.order.template, self.language) if isinstance(error, SyntaxRefused) else []
        if names:
            shown = ", ".join(f"{{{{ .inputs.{name} | identifier }}}}" for name in names)
            error.args = (f"{error} A value cannot be the name of a table: write {shown} for that.",)
        return error

    def _scrubbed(self, text: str) -> str:
        """Return ``text`` with the placeholders of values in place of the values that a server repeats."""
        for name, value in self.inputs.items():
            forms = {form for one in (value if is_list(value) else [value]) for form in _forms(name, one)}
            text = replaced(text, forms, f"{{{{ .inputs.{name} }}}}", shortest=_SHORTEST_PIECE)
        return text


def _ignored(session: Session) -> dict[str, str]:
    """Return the hashes of the tables in no commit that dolt_ignore names."""
    if not session.rows("SELECT 1 FROM dolt_ignore WHERE ignored LIMIT 1"):
        return {}
    names = [str(name) for (name,) in session.rows("SELECT DISTINCT table_name FROM dolt_status_ignored WHERE ignored")]
    return {name: str(session.rows("SELECT dolt_hashof_table(%s)", name)[0][0]) for name in names}


def _half_done(conflict: TransactionConflict) -> OutcomeUnknown:
    """Return the error for a conflict within a statement that may have committed a part of its work by itself."""
    said = str(conflict.__dict__["server_message"]).rstrip(".")
    return OutcomeUnknown(
        f"Cannot {attempted()}: another transaction was in the way ({said}). What the statement did before may be "
        "kept, if it commits by itself as DDL and procedures can: look before you try again."
    )


def _forms(name: str, value: object) -> set[str]:
    """Return how a server may print a value."""
    try:
        text = value.hex() if isinstance(value, bytes) else as_text(name, value)
    except SQLTaskError:
        return set()
    return set() if text is None else spellings(text[:_LONGEST_REPEATED])


def _bindable(name: str, value: object, dialect: str) -> object:
    if is_list(value):
        return [bindable(name, element, dialect=dialect) for element in value]
    return bindable(name, value, dialect=dialect)


def _with_values(session: Session, rendered: templates.Rendered) -> str:
    """Return the statement as PyMySQL sends it, each value as a literal that PyMySQL makes for this very session."""
    if not rendered.values:
        return rendered.sql
    with contextlib.closing(session.raw.cursor()) as cursor:
        return str(cursor.mogrify(rendered.sql, _parameters(session, rendered)))


def _executed(session: Session, rendered: templates.Rendered, *, streamed: bool) -> Any:
    options: dict[str, Any] = {"stream_results": streamed, "max_row_buffer": results.ROWS_AT_ONCE}
    if not rendered.values:
        options["no_parameters"] = True
    connection = session.connection.execution_options(**options)
    return connection.exec_driver_sql(rendered.sql, _parameters(session, rendered) if rendered.values else None)


def _parameters(session: Session, rendered: templates.Rendered) -> Any:
    if session.connection.dialect.paramstyle in ("pyformat", "named"):
        return {f"p{number}": value for number, value in enumerate(rendered.values, start=1)}
    return tuple(rendered.values)


def _driver_errors(session: Session) -> tuple[type[Exception], ...]:
    """Return what the driver raises where SQLAlchemy is not in between."""
    error = getattr(session.connection.dialect.dbapi, "Error", None)
    return (error,) if isinstance(error, type) else ()


def _as_of(session: Session, sql: str) -> dict[str, Any]:
    """Return which commits the query's AS OF meant, by the revision that stands there."""
    found: dict[str, Any] = {}
    for by_function, literal in dict.fromkeys(_AS_OF.findall(sql)):
        with contextlib.suppress(SQLAlchemyError):  # a time, or 'as of' within a text: then there is no commit to name
            revision = str(session.rows(f"SELECT {literal}".replace("%", "%%"))[0][0])
            exact = revision if by_function else _as_of_the_transaction(session, revision)
            found[revision] = session.rows("SELECT dolt_hashof(%s)", exact)[0][0]
    return {"dolt_as_of": found} if found else {}


def _as_of_the_transaction(session: Session, revision: str) -> str:
    """Return the revision with a commit for its branch: AS OF reads branches as they were when the transaction began.

    Unlike the table of branches, the function dolt_hashof tells what they are by now.
    """
    branch, steps = _REVISION.fullmatch(revision).groups()  # type: ignore[union-attr]  # it matches every text
    heads = session.rows("SELECT hash FROM dolt_branches WHERE name = %s", branch)
    return f"{heads[0][0]}{steps}" if heads else revision
