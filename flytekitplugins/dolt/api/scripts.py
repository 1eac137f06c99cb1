"""Reading and writing for scripts and notebooks, and for a task's own code: `read`, `write`, `pin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidConfig
from ..model import messages, naming, provenance, runtime
from .table import DoltTable, fetch, resolve, store

if TYPE_CHECKING:
    import pandas as pd

    from ..codec.arrow_tables import Streams
    from ..model.configs import DoltConfig

SCRIPT_MESSAGE = "Written by flytekitplugins.dolt"
"""First line of a commit made outside Flyte, unless the caller gives a message."""


def write(
    config: DoltConfig,
    frame: pd.DataFrame | Streams,
    *,
    message: str | None = None,
    key: str | None = None,
    consumed: DoltTable | None = None,
    based_on: DoltTable | None = None,
) -> DoltTable:
    """Commit ``frame`` as the whole content of the table that ``config`` names, and return the reference to it.

    ``frame`` is a pandas DataFrame, a `pyarrow.Table`, a Polars DataFrame or LazyFrame, or anything else that gives
    Arrow's C stream; what does not come from pandas does not go through it.
    With another ``mode`` of the config its rows are added, put by key, or say which rows are deleted; ``missing_keys``
    of the reference then counts the keys that the table did not have.
    Equal content makes no commit; the reference then names the head as it was. Zero rows are data: the table exists.
    ``key`` is a word of yours that names this write: when one of the newest commits of the branch has it (how many is
    `writing.LOOK_BACK`), the write was done before: nothing is written, and the reference names that commit.
    ``consumed`` is a pinned table of `Changes` that are in ``frame``; outside a task the commit learns of it by that.
    ``based_on`` is the table, at the commit that it was read at, from which ``frame`` was made: where others have
    changed it since, the frame's changes are put on the newest rows. What a task itself reads need not be named.
    ``message`` is the first line, instead of the package's own; what the config's ``message`` says stands below it.
    Lines in either that could be read as trailers are quoted. Inside a task the message goes on with what is known of
    it, as that of an output does (see docs/lineage.md).

    Raises:
        InvalidConfig: the config names a query, or contradicts itself.
        UnsupportedFrame, SchemaMismatch, ConstraintViolated: the frame does not fit; nothing was changed.
        UncommittedChanges: the user's own work on that branch stands in the way; nothing was changed.
        MergeConflict: others have changed the same rows since they were read; nothing was changed.
        TableMoved: others have changed the table since, and it cannot be said what the frame changes.
        DoltError: one of the others, see `flytekitplugins.dolt.errors`.
    """
    table = DoltTable(config=config, data=frame)  # type: ignore[arg-type]
    config.check()
    basis = runtime.current().basis(config) if based_on is None else _given_basis(config, based_on)
    signed = runtime.current().commit_message(config, message)
    if signed is None:
        signed = _script_message(config, message, consumed)
    with runtime.current().retryable():
        written = store(table, message=signed, key=key, basis=basis)
    assert written.commit is not None  # noqa: S101  # for the type checker: that is what store does
    runtime.current().note_written(written.commit)
    return written


def _given_basis(config: DoltConfig, table: DoltTable) -> runtime.Basis:
    """Return the basis that the user names for a frame that ``config`` writes.

    Raises:
        InvalidConfig: it is not all of the same table at a commit, or the rows of the table stay anyway.
    """
    found = None
    if not isinstance(table, DoltTable) or table.commit is None:
        found = "it is at no commit. Give what pin(config) or write(config, frame) returned"
    elif table.config.sql or table.config.changes or table.config.options().get("columns"):
        found = "it is only a part of a table. Give the whole one, as pin(config) returns it"
    elif _named(table.config) != _named(config):
        found = "it is another table. Give the one that is written"
    elif config.options().get("mode", "replace") != "replace":
        found = "what others have put there stays anyway with this mode. Leave based_on out"
    if found is not None or table.commit is None:
        raise InvalidConfig(f"Cannot write with {config!r} based on {table!r}: {found}.")
    return runtime.Basis([runtime.RowsRead(table.commit.hash, table.commit.branch)], is_given=True)


def _named(config: DoltConfig) -> tuple[str, str]:
    return provenance.address_of(config), naming.lowered(config.tablename or "")


def _script_message(config: DoltConfig, message: str | None, consumed: DoltTable | None) -> str:
    why = messages.rendered(config.message, None) if config.message else None
    if not message:
        message, why = why or SCRIPT_MESSAGE, None
    return provenance.compose(message, _origin(config, consumed), why=why)


def _origin(config: DoltConfig, consumed: DoltTable | None) -> provenance.Provenance:
    if consumed is None:
        return provenance.Provenance()
    if consumed.commit is None or consumed.config.changes is None:
        raise InvalidConfig(f"Cannot note that {consumed!r} was consumed: give what pin(config) returns for changes.")
    return provenance.Provenance(
        writes=(provenance.WriteRecord(str(config.tablename), config.options().get("mode", "replace")),),
        consumed=(provenance.consumed_by(config, consumed.config, consumed.commit.hash),),
    )


def read(config: DoltConfig) -> pd.DataFrame:
    """Return the rows of the table or query that ``config`` names, as its branch has them now.

    Raises:
        BranchNotFound, TableNotFound, QueryFailed: there is nothing to read there.
        DoltError: one of the others, see `flytekitplugins.dolt.errors`.
    """
    return fetch(pin(config))


def pin(config: DoltConfig) -> DoltTable:
    """Return the table or query that ``config`` names as a reference to one commit, with nothing fetched yet.

    It is what a task gets for an input: the branch (or ``as_of``) is resolved now, and never again.

    Raises:
        BranchNotFound, RevisionNotFound, ShallowClone: there is no such commit.
        TableNotFound: the table did not exist at ``as_of``; the message says when it first appeared.
    """
    with runtime.current().retryable():
        return resolve(DoltTable(config=config))
