"""
.. currentmodule:: flytekitplugins.dolt

Versioned data inside Flyte workflows, on Dolt: a task's frame becomes a commit, and comes back.

.. autosummary::
   :template: custom.rst
   :toctree: generated/

   DoltConfig
   DoltTable
   NewBranch
   MergeBranch
   SerialBranch
   Remote
   Secret
   Commit
   secret_requests
   allow_callbacks
   write
   read
   pin
   diff
   TableDiff
   Ago
   Changes
   versions
   first_appeared
   restore
   merge
   tag
   tags
   delete_tag
   run_branches
   delete_run_branches
   create_repository
   dolt_frame
   dolt_uri
   from_uri
   content_hash
   resolve
"""

from __future__ import annotations

import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

from . import execution, schema, structured
from .credentials import read as _read_secret
from .credentials import requested as _requested_secrets
from .credentials import secret_requests
from .errors import DoltError
from .moments import Ago
from .schema import (
    LAST_CONSUMED,
    Branch,
    CallbackMeta,
    Changes,
    Commit,
    DoltConfig,
    DoltMeta,
    DoltTable,
    MergeBranch,
    NewBranch,
    Remote,
    Secret,
    SerialBranch,
)
from .structured import dolt_frame
from .transformer import DoltTableTransformer, arrived, has_news, register, taken, to_be_tried_again
from .trust import allow_callbacks
from .uri import dolt_uri, from_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import pandas as pd
    from pyarrow import RecordBatchReader

    from .binary import create_repository
    from .caching import content_hash
    from .diffs import TableDiff, diff
    from .frames import pin, read, write
    from .history import (
        delete_run_branches,
        delete_tag,
        first_appeared,
        restore,
        run_branches,
        tag,
        tags,
        versions,
    )
    from .lineages import commits_of, execution_of, lineage
    from .merging import DoltTests, merge
    from .pinning import resolve

__all__ = [
    "LAST_CONSUMED",
    "Ago",
    "Branch",
    "CallbackMeta",
    "Changes",
    "Commit",
    "DoltConfig",
    "DoltError",
    "DoltMeta",
    "DoltTable",
    "DoltTests",
    "MergeBranch",
    "NewBranch",
    "Remote",
    "Secret",
    "SerialBranch",
    "TableDiff",
    "allow_callbacks",
    "commits_of",
    "content_hash",
    "create_repository",
    "delete_run_branches",
    "delete_tag",
    "diff",
    "dolt_frame",
    "dolt_uri",
    "execution_of",
    "first_appeared",
    "from_uri",
    "lineage",
    "merge",
    "pin",
    "read",
    "resolve",
    "restore",
    "run_branches",
    "secret_requests",
    "tag",
    "tags",
    "versions",
    "write",
]

# Loaded at first use: `import flytekit` imports this package, and must not pay for pandas, Arrow and a driver.
_LAZY = {
    "TableDiff": "diffs",
    "DoltTests": "merging",
    "content_hash": "caching",
    "create_repository": "binary",
    "commits_of": "lineages",
    "execution_of": "lineages",
    "lineage": "lineages",
    "delete_run_branches": "history",
    "delete_tag": "history",
    "diff": "diffs",
    "first_appeared": "history",
    "merge": "merging",
    "pin": "frames",
    "read": "frames",
    "resolve": "pinning",
    "restore": "history",
    "run_branches": "history",
    "tag": "history",
    "tags": "history",
    "versions": "history",
    "write": "frames",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _resolve_postponed(table: DoltTable) -> None:
    if table.postponed:
        from .frames import resolve

        with to_be_tried_again():
            found = resolve(table)
        table.config = found.config
        table.written(found.commit)  # type: ignore[arg-type]  # that is what resolve gives


def _fetch(table: DoltTable) -> pd.DataFrame:
    from .frames import fetch

    _resolve_postponed(table)
    with to_be_tried_again():
        frame = fetch(table)
    execution.note_read(table)
    return frame


def _scan(table: DoltTable, batch_rows: int, columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    from .frames import scan

    _resolve_postponed(table)
    execution.note_read(table)
    return _to_be_tried_again(scan(table, batch_rows=batch_rows, columns=columns))


def _to_be_tried_again(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    with to_be_tried_again():
        yield from parts


def _reader(
    table: DoltTable, batch_rows: int, columns: Sequence[str] | None
) -> AbstractContextManager[RecordBatchReader]:
    from .frames import reader

    _resolve_postponed(table)
    execution.note_read(table)
    return reader(table, batch_rows=batch_rows, columns=columns)


def _warn_of_conflicts() -> None:
    """Say so if an earlier plugin, whose files have the same names as some of ours, is installed as well."""
    if not any(_is_installed(name) for name in ("flytekitplugins-dolt", "flytekitplugins-sqlalchemy")):
        return
    from .doctor import conflicting_distributions

    for conflict in conflicting_distributions():
        warnings.warn(conflict, stacklevel=3)


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


# The earlier plugin's name for it, at both places where that has it.
DoltTableNameTransformer = schema.DoltTableNameTransformer = DoltTableTransformer

Secret.read = staticmethod(_read_secret)
Secret.requested = staticmethod(_requested_secrets)
DoltTable.fetch = staticmethod(_fetch)
DoltTable.scan = staticmethod(_scan)
DoltTable.reader = staticmethod(_reader)
DoltTable.has_news = staticmethod(has_news)
DoltTable.arrived = staticmethod(arrived)
DoltTable.taken = staticmethod(taken)
DoltTable.sign = staticmethod(execution.sign)
DoltTable.guard = staticmethod(to_be_tried_again)
register()
structured.register()
_warn_of_conflicts()
