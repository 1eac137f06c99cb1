"""What a config asks for, taken apart once: `WriteSpec` for a table that is written, `ReadSpec` for what is read.

A `DoltConfig` is for people: it can be changed and takes many forms. A spec is checked, complete and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InvalidConfig
from ..history.publishing import Statements
from ..repository import branch_locks
from ..tables import writing
from ..tables.writing import WriteOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..model.configs import Branch, Changes, DoltConfig


@dataclass(frozen=True)
class WriteSpec:
    """Which table is written, on which branch and how."""

    table: str
    policy: Branch | None
    options: WriteOptions
    statements: Statements
    on_moved: str | None
    tag: str | None
    lock_timeout_s: float

    @classmethod
    def of(cls, config: DoltConfig) -> WriteSpec:
        """Return what a write with ``config`` does.

        Raises:
            InvalidConfig: it only reads, or its options do not go together.
        """
        config.check()
        given = config.options()
        options = _write_options(config, given)
        return cls(
            _table_to_store(config),
            config.policy,
            options,
            Statements(writing.statements(options), triggers=given.get("triggers", "refuse")),
            given.get("on_moved"),
            config.tag,
            given.get("lock_timeout_s", branch_locks.TIMEOUT_S),
        )


def _table_to_store(config: DoltConfig) -> str:
    """Return the name of the table that is written; raise if the config only reads."""
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
    return config.tablename


def _write_options(config: DoltConfig, given: Mapping[str, Any]) -> WriteOptions:
    key = given.get("primary_key")
    names = ("mode", "on_schema_change", "index", "keep_order")
    chosen = {name: given[name] for name in names if name in given}
    options = WriteOptions(key=tuple(key) if key else None, is_order_chosen="order_by" in given, **chosen)
    if options.keep_order and options.mode != "replace":
        raise InvalidConfig(f"Cannot use {config!r}: keep_order goes with mode='replace' only. Leave one of them out.")
    if "on_moved" in given and options.mode != "replace":
        raise InvalidConfig(
            f"Cannot use {config!r}: on_moved goes with mode='replace' only. With "
            f"mode={options.mode!r} what others have written stays anyway. Leave it out."
        )
    if options.on_schema_change != "refuse" and options.mode == "delete":
        raise InvalidConfig(
            f"Cannot use {config!r}: on_schema_change={options.on_schema_change!r} is for rows that are put, and "
            "mode='delete' puts none. Leave one of them out."
        )
    if options.on_schema_change == "replace" and options.mode != "replace":
        raise InvalidConfig(
            f"Cannot use {config!r}: on_schema_change='replace' would drop the rows that mode={options.mode!r} keeps. "
            "Use 'evolve', or leave one of them out."
        )
    return options


@dataclass(frozen=True)
class ReadSpec:
    """What is read at a commit: a table, what has changed in it, or a query."""

    table: str | None
    """The table; None is a query."""
    sql: str | None
    params: Mapping[str, Any]
    columns: Sequence[str] | None
    """The columns to read, in this order; None is all."""
    order_by: Sequence[str] | None
    """Columns to read in the order of; nothing in it is the order of storage, None that of the key or the values."""
    changes: Changes | None
    """Which of the table's changes are read instead of its rows."""

    @classmethod
    def of(cls, config: DoltConfig, *, columns: Sequence[str] | None = None) -> ReadSpec:
        """Return what ``config`` reads; ``columns`` are asked for instead of the config's own."""
        given = config.options()
        return cls(
            config.tablename if config.sql is None else None,
            config.sql,
            config.params or {},
            columns or (given.get("columns") if config.sql is None else None),
            given.get("order_by"),
            config.changes,
        )
