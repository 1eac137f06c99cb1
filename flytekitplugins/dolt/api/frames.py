"""Frames in and out of a repository, as a `DoltConfig` says.

What a config asks for is taken apart in `specs`. Scripts and Flyte's tasks store and read through the same functions.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..codec import arrow_tables, pandas_frames
from ..errors import (
    ConnectionLost,
    DoltError,
    InvalidConfig,
    QueryFailed,
    RepositoryNotFound,
    RevisionNotFound,
    TableNotFound,
    attempting,
)
from ..history import diffs, merging, observers, publishing, pushing, rebasing, revisions, table_log, tagging
from ..model import runtime
from ..model.configs import Changes, Commit, DoltConfig, MergeBranch, Pinned
from ..profiles import columns as column_profiles
from ..repository import refs, remotes, table_names
from ..repository.connections import Panics, connect
from ..tables import profiling, reading
from ..tables.writing import RowDeletion, TableWrite
from .specs import ReadSpec, WriteSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    from ..history.publishing import WriteResult
    from ..model.location import Location
    from ..model.runtime import Basis
    from ..profiles.columns import TableProfile
    from ..repository.connections import Connection


logger = logging.getLogger(__name__)

REREADS = 2
"""How often what only reads is done again because the server went away in the midst of it, before giving up."""


def commit_table(
    config: DoltConfig, frame: Any, *, message: str, key: str | None = None, basis: Basis | None = None
) -> Stored:
    """Commit ``frame`` to the table that ``config`` names, and return the commit and what there is to say of it.

    ``key`` names the write: one that the branch's log has already is not done again. ``basis`` is what the frame was
    made from, for a table that others have changed since (see `rebasing`).
    """
    with attempting(f"write table {config.tablename!r}"):
        spec = WriteSpec.of(config)
        observers.check(config)
        if spec.tag is not None:
            remotes.locate(config)  # a tag would not be pushed, so it is refused before anything is
        rows = _rows(spec, frame)
        written = _published(config, spec, rows, message, key, basis)
        if spec.tag is not None:
            tagging.tag_commit(spec.tag, config, written.commit)
        config = _spelt(config, written)
        observers.tell("save", Pinned(config, written.commit), changed=written.changed)
        if not written.changed:
            logger.info(
                "Table %r on branch %r holds just these rows already: no commit was made for it, the head stays %s.",
                config.tablename,
                written.commit.branch,
                written.commit.hash,
            )
        missing = rows.missing if isinstance(rows, RowDeletion) else None
        return Stored(config, written, missing, str(rows.went) if rows.went is not None else None)


def _spelt(config: DoltConfig, written: WriteResult) -> DoltConfig:
    """Return the config with the name under which its table is stored."""
    if written.table is not None:
        return config if written.table == config.tablename else replace(config, tablename=written.table)
    with refs.at(_location_at(config, written.commit), written.commit) as connection:
        return table_log.respelt(connection, config, written.commit)


@dataclass(frozen=True)
class Stored:
    """What became of a frame that was written."""

    config: DoltConfig
    """That of the write, with the name under which the table is stored."""
    result: WriteResult
    missing: int | None = None
    """How many keys of a frame the table did not have, where its rows were to be deleted by them; else None."""
    rows_went: str | None = None
    """Which way the rows went, in words: ``natively``, or ``by SQL`` and why; None where none did."""


def _rows(spec: WriteSpec, frame: Any) -> TableWrite | RowDeletion:
    """Return what is written, encoded before any lock is held and once for all attempts.

    A reader gives its rows only once, and a lazy frame is not computed again. Which columns of a frame are keys to be
    deleted only the table can say, so they are encoded then.
    """
    streamed = arrow_tables.table_of(frame)
    given = frame if streamed is None else streamed
    if spec.options.mode == "delete":
        return RowDeletion(spec.table, given, spec.options)
    return TableWrite.of(spec.table, given, spec.options)


def _published(
    config: DoltConfig,
    spec: WriteSpec,
    rows: TableWrite | RowDeletion,
    message: str,
    key: str | None,
    basis: Basis | None,
) -> WriteResult:
    origin = remotes.origin_of(config)
    job = publishing.WriteJob(
        spec.table,
        message,
        _work(spec, rows, basis),
        spec.statements,
        puts_rows=True,
        key=key,
        tag=spec.tag,
        lock_timeout_s=spec.lock_timeout_s,
    )
    if origin is not None:
        return pushing.publish(origin, spec.policy, job)
    place = remotes.locate(config)
    if isinstance(spec.policy, MergeBranch):
        base = rebasing.start(place, spec.policy, basis) if basis is not None else None
        return merging.write(place, spec.policy, job, base=base)
    return publishing.write(place, spec.policy, job)


def _work(spec: WriteSpec, rows: TableWrite | RowDeletion, basis: Basis | None) -> publishing.Work:
    if basis is None or not basis.reads or not isinstance(rows, TableWrite) or spec.options.mode != "replace":
        return rows.apply
    policy = spec.policy
    branch = policy.branch if isinstance(policy, MergeBranch) else refs.branch_of(policy)
    return rebasing.Rebased(rows, basis, branch, spec.on_moved).apply


@contextmanager
def _telling_of_caches() -> Iterator[None]:
    """Have an error about a repository or commit that is gone say that a cache may still name it."""
    try:
        yield
    except (RepositoryNotFound, RevisionNotFound) as error:
        hint = runtime.current().stale_reference()
        if not hint or hint in str(error):
            raise
        raise type(error)(f"{error} {hint}", **vars(error)) from error


def _location_at(config: DoltConfig, commit: Commit) -> Location:
    with _telling_of_caches():
        return remotes.location_at(config, commit, history=config.sql is not None or config.changes is not None)


def _reading(config: DoltConfig) -> str:
    return f"read table {config.tablename!r}" if config.sql is None else f"run the query {config.sql!r}"


def resolve(config: DoltConfig) -> Pinned:
    """Return a table or query at one commit: that of ``as_of``, or the head of its branch as it is now.

    A query is checked, and what moves in it (``AS OF 'main'``, ``NOW()``) is replaced by what it means now.

    Raises:
        QueryRefused: the query is not one statement that only reads.
        BranchNotFound, RevisionNotFound, ShallowClone: there is no such commit.
        TableNotFound: the table did not exist at ``as_of``; the message says when it first appeared.
        ConnectionLost: the server cannot be reached, or went away again and again.
    """
    config.check()
    with attempting(_reading(config)):
        for again in reversed(range(REREADS + 1)):
            try:
                return _resolved(config, is_repeated=again == REREADS)
            except ConnectionLost as error:
                if not again or not error.in_use or error.in_query:
                    raise
    raise AssertionError("the last round returns or raises")


def _resolved(config: DoltConfig, *, is_repeated: bool) -> Pinned:
    origin = remotes.origin_of(config)
    if origin is not None and config.changes is None and config.as_of is None and config.sql is None:
        commit = remotes.resolve(origin, config.policy, history=False)
        with refs.at(_location_at(config, commit), commit) as connection:
            return Pinned(table_log.respelt(connection, config, commit), commit)
    place = remotes.location_of(config)
    with connect(place, asks=revisions.first_question(config), is_repeated=is_repeated) as connection:
        commit = revisions.of_config(connection, config)
        if config.changes is not None:
            config = diffs.fixed(connection, config)
        elif config.as_of is not None:
            table_log.check_was_there(connection, config, commit)
        config = table_log.respelt(connection, config, commit)
    if config.sql is not None:
        config = _pinned(place, commit, config)
    return Pinned(config, commit)


def _pinned(place: Location, commit: Commit, config: DoltConfig) -> DoltConfig:
    from ..history import query_pinning  # here, because they load a parser, which only queries need
    from ..query import validation

    assert config.sql is not None  # noqa: S101  # for the type checker: the caller asked
    with attempting(f"run the query {config.sql!r}"):
        with refs.at(place, commit) as connection, connection.read_only_session() as session:
            with reading.telling_panics(session):
                pinned = query_pinning.pin(session, commit, config.sql, config.params).sql
        kept = {name: value for name, value in (config.params or {}).items() if name in validation.names(pinned)}
        return replace(config, sql=pinned, params=kept or None)


def fetch(table: Pinned) -> pd.DataFrame:
    """Return the rows of a table or query at its commit."""
    observers.check(table.config)
    frame = load(table).to_frame()
    observers.tell("load", table)
    return frame


def profile(table: Pinned, *, columns: Sequence[str] | None, sample: int | None, seed: int) -> TableProfile:
    """Return what the columns of a table or query hold at its commit; see `flytekitplugins.dolt.profile`."""
    spec = ReadSpec.of(table.config, columns=columns)
    if spec.table is None or spec.changes is not None:
        rows = load(table, columns=columns).to_arrow()
        return column_profiles.profile_of(rows, sample=sample, seed=seed)
    with attempting(_reading(table.config)), _at(table) as connection:
        found = profiling.profile(connection, spec.table, columns=spec.columns, sample=sample, seed=seed)
    observers.tell("load", table)
    return found


def load(table: Pinned, *, columns: Sequence[str] | None = None, limit: int | None = None) -> reading.ReadResult:
    """Return the rows of a table or query at its commit, from which a frame of any kind is made.

    Args:
        table: a table or query at a commit.
        columns: the columns to ask for, in this order; None is those of the config.
        limit: the most rows to ask for; None is all.

    Raises:
        ConnectionLost: the server went away again and again.
        QueryFailed: the server refused the query, or drops the connection whenever it is to run it.
    """
    spec, lost = ReadSpec.of(table.config, columns=columns), []
    with attempting(_reading(table.config)):
        panics = Panics()
        for again in reversed(range(REREADS + 1)):
            try:
                with panics.noticed():
                    return _loaded(table, spec, limit, is_repeated=again == REREADS)
            except ConnectionLost as error:
                lost.append(error.in_query)
                if not again and all(lost) and _answers(table):
                    raise _always_dropped(spec, len(lost), error) from error
                if not again:
                    raise
    raise AssertionError("the last round returns or raises")


def _always_dropped(spec: ReadSpec, times: int, error: ConnectionLost) -> QueryFailed:
    return QueryFailed(
        f"Cannot run the query {spec.sql!r}: the server dropped the connection each of the {times} times that it was "
        "to run it, and answers otherwise. Write it in other words; its log may say why.",
        code=0,
        server_message=str(error),
    )


def _answers(table: Pinned) -> bool:
    """Whether the server that holds a table lets us in and answers."""
    try:
        with connect(_location_at(table.config, table.commit)):
            return True
    except DoltError:
        return False


def _loaded(table: Pinned, spec: ReadSpec, limit: int | None, *, is_repeated: bool) -> reading.ReadResult:
    with _at(table, is_repeated=is_repeated) as connection:
        if spec.table is None:
            return _queried(connection, table.commit, spec, limit=limit)
        if spec.changes is not None:
            return _changes(connection, table.commit, spec, spec.changes, limit)
        with _telling_of_uncommitted(connection, table):
            return reading.read(connection, spec.table, columns=spec.columns, order_by=spec.order_by, limit=limit)


@contextmanager
def _telling_of_uncommitted(connection: Connection, table: Pinned) -> Iterator[None]:
    """Have the error for a table that is not there say so where it is on the branch, and in no commit."""
    try:
        yield
    except TableNotFound as error:
        name, branch = str(table.config.tablename), table.commit.branch
        found = _uncommitted(connection, name, branch)
        if found is None:
            raise
        raise TableNotFound(
            f"{error} On branch {branch!r} there is {found!r}, in no commit: commit it with CALL dolt_commit('-Am', "
            "'...'); a SQLAlchemyTask does with SQLAlchemyConfig(dolt_commit_message=...).",
            table=name,
            close=[found],
        ) from None


def _uncommitted(connection: Connection, name: str, branch: str | None) -> str | None:
    """Return how a table is spelt that is on a branch and in no commit of it; None where there is none."""
    if branch is None:
        return None
    try:
        with connection.at(branch):
            found = table_names.find(connection, name)
            head = refs.find_head(connection, branch)
    except RevisionNotFound:
        return None
    if found is None or head is None:
        return None
    with connection.at(head):
        return found.name if table_names.find(connection, name) is None else None


def settled(table: Pinned, *, columns: Sequence[str] | None) -> pandas_frames.Notes:
    """Return the notes that fit all values of a table at its commit, for who reads it in parts as Arrow."""
    with _at(table) as connection:
        return reading.settled(connection, str(table.config.tablename), columns=columns, holding=arrow_tables.holding)


def _changes(
    connection: Connection, commit: Commit, spec: ReadSpec, changes: Changes, limit: int | None
) -> reading.ReadResult:
    since = Commit(changes.since) if changes.since is not None else None
    name = str(spec.table)
    found = diffs.read(
        connection, name, since, commit, kinds=changes.kinds, before_values=changes.before_values, limit=limit
    )
    if spec.columns is None:
        return found
    there = found.arrow.column_names
    reading.check_columns(name, spec.columns, there)
    kept = [there[0], *spec.columns, *(f"before_{each}" for each in spec.columns if f"before_{each}" in there)]
    return reading.ReadResult(found.arrow.select(list(dict.fromkeys(kept))), found.notes)


def _queried(connection: Connection, commit: Commit, spec: ReadSpec, *, limit: int | None) -> reading.ReadResult:
    """Run a query, checked again because a literal can come from anywhere, as a user who may only read."""
    from ..history import query_pinning
    from ..query import validation

    sql = str(spec.sql)
    with attempting(f"run the query {sql!r}"):
        with connection.read_only_session() as session:
            query = query_pinning.pin(session, commit, sql, spec.params)
            statement = reading.part_of_query(validation.bind(query, spec.params), columns=spec.columns, limit=limit)
            found = reading.query(session, statement)
        # SHOW TABLES names its column for the database, which to the server is the one at this commit.
        names = [name.removesuffix(f"/{commit.hash}") for name in found.arrow.column_names]
        return replace(found, arrow=found.arrow.rename_columns(names))


def iter_frames(table: Pinned, *, batch_rows: int, columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    """Give the rows of a table at its commit in frames of about ``batch_rows`` rows, all of the same dtypes."""
    with _parts(table, batch_rows, columns, holding=pandas_frames.holding) as parts:
        for part in parts:
            yield part.to_frame()


@contextmanager
def open_reader(table: Pinned, *, batch_rows: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatchReader]:
    """Give the rows of a table at its commit as Arrow batches of about ``batch_rows`` rows."""
    import pyarrow as pa

    with _parts(table, batch_rows, columns) as parts:
        first = next(parts).arrow
        batches = (batch for arrow in chain([first], (part.arrow for part in parts)) for batch in arrow.to_batches())
        yield pa.RecordBatchReader.from_batches(first.schema, batches)


@contextmanager
def _parts(
    table: Pinned, batch_rows: int, columns: Sequence[str] | None, *, holding: reading.Holding | None = None
) -> Iterator[Iterator[reading.ReadResult]]:
    spec = ReadSpec.of(table.config, columns=columns)
    if spec.table is None:
        raise InvalidConfig(
            f"Cannot read {table.config!r} in parts: it is a query. Use its data, or LIMIT in the query."
        )
    if spec.changes is not None:
        raise InvalidConfig(f"Cannot read {table.config!r} in parts: it is what has changed. Use its data.")
    with (
        _at(table) as connection,
        reading.stream(
            connection,
            spec.table,
            batch_rows=batch_rows,
            columns=spec.columns,
            order_by=spec.order_by,
            holding=holding,
        ) as parts,
    ):
        observers.tell("load", table)
        yield parts


def table_hash(table: Pinned) -> str | None:
    """Return Dolt's own hash of a table at its commit: of its columns, keys, comments and rows; None of a view."""
    name = table.config.tablename or ""
    with attempting(f"hash table {name!r}"):
        with _at(table) as connection:
            found = table_names.find(connection, name)
            return None if found is not None and found.is_view else refs.hash_of_table(connection, name)


@contextmanager
def _at(table: Pinned, *, is_repeated: bool = False) -> Iterator[Connection]:
    with ExitStack() as stack:
        with _telling_of_caches():
            place = _location_at(table.config, table.commit)
            connection = stack.enter_context(refs.at(place, table.commit, is_repeated=is_repeated))
        yield connection


def has_unsaved_rows(table: Pinned, frame: Any) -> bool:
    """Whether ``frame`` does not hold the rows of the table's commit any more; another order of them is no change."""
    name = table.config.tablename
    streamed = arrow_tables.table_of(frame)
    if streamed is None and load(table).to_frame().equals(frame):
        return False
    if name is None or table.config.changes is not None or table.config.as_of is not None:
        return True
    spec = WriteSpec.of(table.config)
    options = replace(spec.options, index=spec.options.index or "drop")  # the write itself warns
    rows = _rows(replace(spec, options=options), frame if streamed is None else streamed)
    place = _location_at(table.config, table.commit)
    return publishing.differs(place, table.commit, table=name, work=rows.apply, statements=spec.statements)
