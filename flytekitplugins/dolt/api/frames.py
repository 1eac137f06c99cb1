"""Frames in and out of a repository, as a `DoltConfig` says.

This is where a config is taken apart (which repository, which table, which branch policy); nothing below knows of
configs. Scripts and Flyte's tasks store and read through the same functions.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..codec import arrow_tables, pandas_frames
from ..errors import ConnectionLost, DoltError, InvalidConfig, QueryFailed, attempting
from ..history import diffs, merging, observers, revisions, table_log, tagging
from ..model.configs import Changes, Commit, DoltConfig, MergeBranch, Pinned
from ..repository import publishing, refs, remotes
from ..repository.connections import connect
from ..tables import reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    from ..model.configs import Branch
    from ..model.location import Location
    from ..repository.connections import Connection
    from ..repository.publishing import WriteResult


def commit_table(config: DoltConfig, frame: Any, *, message: str, key: str | None = None) -> Commit:
    """Commit ``frame`` to the table that ``config`` names, and return the commit.

    ``key`` names the write: one that the branch's log has already is not done again.
    """
    with attempting(f"write table {config.tablename!r}"):
        name = _table_to_store(config)
        options, tag = _write_options(config), config.tag
        if tag is not None:
            remotes.locate(config)  # a tag would not be pushed, so it is refused before anything is
        # Once for all attempts: a reader gives its rows only once, and a lazy frame is not computed again.
        streamed = arrow_tables.table_of(frame)
        rows = frame if streamed is None else streamed

        def work(connection: Connection) -> int | None:
            count = writing.write(connection, name, rows, options)
            if tag is not None:
                tagging.refuse_taken_tag(connection, tag)
            return count

        how: Any = {"table": name, "message": message, "work": work, "statements": _statements(config), "key": key}
        how["lock_timeout_s"] = config.options().get("lock_timeout_s", publishing.LOCK_TIMEOUT_S)

        def put(place: Location, policy: Branch | None) -> WriteResult:
            if isinstance(policy, MergeBranch):
                return merging.write(place, policy, **how)
            return publishing.write(place, policy=policy, **how)

        origin = remotes.origin_of(config)
        if origin is None:
            written = put(remotes.locate(config), config.branch_conf)
        else:
            written = remotes.publish(origin, config.branch_conf, put, lock_timeout_s=how["lock_timeout_s"])
        if tag is not None:
            tagging.tag_commit(tag, config, written.commit)
        observers.tell("save", Pinned(config, written.commit), changed=written.changed)
        return written.commit


def _table_to_store(config: DoltConfig) -> str:
    """Return the name of the table that is written; raise if the config only reads."""
    config.check()
    if config.tablename is None:
        raise InvalidConfig(
            f"Cannot store data with {config!r}: its sql is a query, which is only read. Give the config a tablename."
        )
    if config.changes is not None:
        raise InvalidConfig(f"Cannot store data with {config!r}: its changes are only read. Use a config without them.")
    if config.as_of is not None:
        raise InvalidConfig(
            f"Cannot store data with {config!r}: its as_of={config.as_of!r} is of the past, which is only read. Use a "
            "config without it, or restore(config, as_of) to put the past back."
        )
    observers.check(config)
    return config.tablename


def _location_at(config: DoltConfig, commit: Commit) -> Location:
    return remotes.location_at(config, commit, history=config.sql is not None or config.changes is not None)


def _write_options(config: DoltConfig) -> writing.WriteOptions:
    given = config.options()
    key = given.get("primary_key")
    names = ("mode", "on_schema_change", "index", "keep_order")
    options = writing.WriteOptions(key=tuple(key) if key else None, **{n: given[n] for n in names if n in given})
    if options.keep_order and options.mode != "replace":
        raise InvalidConfig(f"Cannot use {config!r}: keep_order goes with mode='replace' only. Leave one of them out.")
    if options.on_schema_change == "replace" and options.mode != "replace":
        raise InvalidConfig(
            f"Cannot use {config!r}: on_schema_change='replace' would drop the rows that mode={options.mode!r} keeps. "
            "Use 'evolve', or leave one of them out."
        )
    return options


def _statements(config: DoltConfig) -> publishing.Statements:
    """Return which statements a write with ``config`` sends, and what it says of triggers."""
    return publishing.Statements(
        writing.statements(_write_options(config)), triggers=config.options().get("triggers", "refuse")
    )


def _reading(config: DoltConfig) -> str:
    return f"read table {config.tablename!r}" if config.sql is None else f"run the query {config.sql!r}"


def resolve(config: DoltConfig) -> Pinned:
    """Return a table or query at one commit: that of ``as_of``, or the head of its branch as it is now.

    A query is checked, and what moves in it (``AS OF 'main'``, ``NOW()``) is replaced by what it means now.

    Raises:
        QueryRefused: the query is not one statement that only reads.
        BranchNotFound, RevisionNotFound, ShallowClone: there is no such commit.
        TableNotFound: the table did not exist at ``as_of``; the message says when it first appeared.
    """
    config.check()
    with attempting(_reading(config)):
        origin = remotes.origin_of(config)
        if origin is not None and config.changes is None and config.as_of is None and config.sql is None:
            return Pinned(config, remotes.resolve(origin, config.branch_conf, history=False))
        place = remotes.location_of(config)
        with connect(place) as connection:
            commit = revisions.of_config(connection, config)
            if config.changes is not None:
                config = diffs.fixed(connection, config)
            elif config.as_of is not None:
                table_log.check_was_there(connection, config, commit)
        if config.sql is not None:
            config = _pinned(place, commit, config)
        return Pinned(config, commit)


def _pinned(place: Location, commit: Commit, config: DoltConfig) -> DoltConfig:
    from ..history import query_pinning  # here, because they load a parser, which only queries need
    from ..query import validation

    assert config.sql is not None  # noqa: S101  # for the type checker: the caller asked
    with attempting(f"run the query {config.sql!r}"):
        with refs.at(place, commit) as connection, connection.reading() as session:
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
    lost: list[bool] = []

    def work() -> reading.ReadResult:
        try:
            return _loaded(table, columns, limit)
        except ConnectionLost as error:
            lost.append(error.in_query)
            raise

    try:
        with attempting(_reading(table.config)):
            return refs.reread(work)
    except ConnectionLost as error:
        if not all(lost) or not _answers(table):
            raise
        raise QueryFailed(
            f"Cannot run the query {table.config.sql!r}: the server dropped the connection each of the {len(lost)} "
            "times that it was to run it, and answers otherwise. Write it in other words; its log may say why.",
            code=0,
            server_message=str(error),
        ) from error


def _answers(table: Pinned) -> bool:
    """Whether the server that holds a table lets us in and answers."""
    try:
        with connect(_location_at(table.config, table.commit)):
            return True
    except DoltError:
        return False


def _loaded(table: Pinned, columns: Sequence[str] | None, limit: int | None) -> reading.ReadResult:
    config, options = table.config, table.config.options()
    with _at(table) as connection:
        if config.sql is not None:
            return _queried(connection, table.commit, config, columns=columns, limit=limit)
        assert config.tablename is not None  # noqa: S101  # for the type checker: the config was checked
        if config.changes is not None:
            return _changes(connection, table, config.changes, columns or options.get("columns"), limit)
        return reading.read(
            connection,
            config.tablename,
            columns=columns or options.get("columns"),
            order_by=options.get("order_by", ()),
            limit=limit,
        )


def settled(table: Pinned, *, columns: Sequence[str] | None) -> pandas_frames.Notes:
    """Return the notes that fit all values of a table at its commit, for who reads it in parts as Arrow."""
    with _at(table) as connection:
        return reading.settled(connection, str(table.config.tablename), columns=columns, holding=arrow_tables.holding)


def _changes(
    connection: Connection, table: Pinned, changes: Changes, columns: Sequence[str] | None, limit: int | None
) -> reading.ReadResult:
    since = Commit(changes.since) if changes.since is not None else None
    name = str(table.config.tablename)
    found = diffs.read(connection, name, since, table.commit, kinds=changes.kinds, limit=limit)
    if columns is None:
        return found
    there = found.arrow.column_names
    reading.check_columns(name, columns, there)
    kept = [there[0], *columns, *(f"before_{each}" for each in columns if f"before_{each}" in there)]
    return reading.ReadResult(found.arrow.select(list(dict.fromkeys(kept))), found.notes)


def _queried(
    connection: Connection, commit: Commit, config: DoltConfig, *, columns: Sequence[str] | None, limit: int | None
) -> reading.ReadResult:
    """Run a query, checked again because a literal can come from anywhere, as a user who may only read."""
    from ..history import query_pinning
    from ..query import validation

    sql, params = str(config.sql), config.params or {}
    with attempting(f"run the query {sql!r}"):
        with connection.reading() as session:
            query = query_pinning.pin(session, commit, sql, params)
            statement = reading.part_of_query(validation.bind(query, params), columns=columns, limit=limit)
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
    options = table.config.options()
    if table.config.tablename is None:
        raise InvalidConfig(
            f"Cannot read {table.config!r} in parts: it is a query. Use its data, or LIMIT in the query."
        )
    if table.config.changes is not None:
        raise InvalidConfig(f"Cannot read {table.config!r} in parts: it is what has changed. Use its data.")
    with (
        _at(table) as connection,
        reading.stream(
            connection,
            table.config.tablename,
            batch_rows=batch_rows,
            columns=columns or options.get("columns"),
            order_by=options.get("order_by", ()),
            holding=holding,
        ) as parts,
    ):
        observers.tell("load", table)
        yield parts


def table_hash(table: Pinned) -> str:
    """Return Dolt's own hash of a table at its commit: of its columns, keys, comments and rows."""
    with attempting(f"hash table {table.config.tablename!r}"):
        with _at(table) as connection:
            return refs.hash_of_table(connection, table.config.tablename or "")


@contextmanager
def _at(table: Pinned) -> Iterator[Connection]:
    with refs.at(_location_at(table.config, table.commit), table.commit) as connection:
        yield connection


def has_unsaved_rows(table: Pinned, frame: Any) -> bool:
    """Whether ``frame`` does not hold the rows of the table's commit any more; another order of them is no change."""
    name = table.config.tablename
    streamed = arrow_tables.table_of(frame)
    if streamed is None and load(table).to_frame().equals(frame):
        return False
    if name is None or table.config.changes is not None or table.config.as_of is not None:
        return True
    options = _write_options(table.config)
    options = replace(options, index=options.index or "drop")  # the write itself warns
    rows = frame if streamed is None else streamed
    return publishing.differs(
        _location_at(table.config, table.commit),
        table.commit,
        table=name,
        statements=_statements(table.config),
        work=lambda connection: writing.write(connection, name, rows, options),
    )
