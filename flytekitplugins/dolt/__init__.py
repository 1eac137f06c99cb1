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

import sys
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

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
from .trust import allow_callbacks
from .uri import dolt_uri, from_uri

if TYPE_CHECKING:
    from .api import pin, read, write
    from .binary import create_repository
    from .diffs import TableDiff, diff
    from .flyte.cache import content_hash
    from .flyte.dataframes import dolt_frame
    from .flyte.secrets import secret_requests
    from .flyte.value_types import DoltTableTransformer
    from .history import delete_run_branches, first_appeared, restore, run_branches, versions
    from .lineages import commits_of, execution_of, lineage
    from .merging import DoltTests, merge
    from .pinning import resolve
    from .tagging import delete_tag, tag, tags

    DoltTableNameTransformer = DoltTableTransformer

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
    "content_hash": "flyte.cache",
    "create_repository": "binary",
    "commits_of": "lineages",
    "execution_of": "lineages",
    "lineage": "lineages",
    "delete_run_branches": "history",
    "delete_tag": "tagging",
    "diff": "diffs",
    "dolt_frame": "flyte.dataframes",
    "first_appeared": "history",
    "merge": "merging",
    "pin": "api",
    "read": "api",
    "resolve": "pinning",
    "restore": "history",
    "run_branches": "history",
    "secret_requests": "flyte.secrets",
    "tag": "tagging",
    "tags": "tagging",
    "versions": "history",
    "write": "api",
}


def __getattr__(name: str) -> Any:
    if name == "DoltTableNameTransformer":  # the earlier plugin's name for it
        from . import schema

        return schema.DoltTableNameTransformer
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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


_warn_of_conflicts()
if "flytekit" in sys.modules:  # else flytekit does it by the entry point when it is imported
    from . import flyte as flyte
