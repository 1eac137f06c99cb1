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
   Repository
   Secret
   Commit
   secret_requests
   allow_callbacks
   write
   read
   pin
   diff
   TableDiff
   profile
   Shift
   Ago
   Changes
   versions
   versions_frame
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

from .api.uri import dolt_uri, from_uri
from .errors import DoltError
from .model.timepoints import Ago
from .model.trust import allow_callbacks
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

if TYPE_CHECKING:
    from .api.profiling import profile
    from .api.repository import Repository
    from .api.scripts import pin, read, write
    from .api.versions import first_appeared, restore, versions, versions_frame
    from .flyte.cache import content_hash
    from .flyte.dataframes import dolt_frame
    from .flyte.secrets import secret_requests
    from .flyte.value_types import DoltTableTransformer
    from .history.diffs import TableDiff, diff
    from .history.lineages import commits_of, execution_of, lineage
    from .history.merging import DoltTests, merge
    from .history.run_branches import delete_run_branches, run_branches
    from .history.tagging import delete_tag, tag, tags
    from .pinning import resolve
    from .profiles.columns import ColumnProfile, TableProfile
    from .profiles.shifts import ColumnShift, Shift
    from .server.binary import create_repository

    DoltTableNameTransformer = DoltTableTransformer

__all__ = [
    "LAST_CONSUMED",
    "Ago",
    "Branch",
    "CallbackMeta",
    "Changes",
    "ColumnProfile",
    "ColumnShift",
    "Commit",
    "DoltConfig",
    "DoltError",
    "DoltMeta",
    "DoltTable",
    "DoltTests",
    "MergeBranch",
    "NewBranch",
    "Remote",
    "Repository",
    "Secret",
    "SerialBranch",
    "Shift",
    "TableDiff",
    "TableProfile",
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
    "profile",
    "read",
    "resolve",
    "restore",
    "run_branches",
    "secret_requests",
    "tag",
    "tags",
    "versions",
    "versions_frame",
    "write",
]

# Loaded at first use: `import flytekit` imports this package, and must not pay for pandas, Arrow and a driver.
_LAZY = {
    "Repository": "api.repository",
    "ColumnProfile": "profiles.columns",
    "ColumnShift": "profiles.shifts",
    "Shift": "profiles.shifts",
    "TableDiff": "history.diffs",
    "TableProfile": "profiles.columns",
    "DoltTests": "history.merging",
    "content_hash": "flyte.cache",
    "create_repository": "server.binary",
    "commits_of": "history.lineages",
    "execution_of": "history.lineages",
    "lineage": "history.lineages",
    "delete_run_branches": "history.run_branches",
    "delete_tag": "history.tagging",
    "diff": "history.diffs",
    "dolt_frame": "flyte.dataframes",
    "first_appeared": "api.versions",
    "merge": "history.merging",
    "pin": "api.scripts",
    "profile": "api.profiling",
    "read": "api.scripts",
    "resolve": "pinning",
    "restore": "api.versions",
    "run_branches": "history.run_branches",
    "secret_requests": "flyte.secrets",
    "tag": "history.tagging",
    "tags": "history.tagging",
    "versions": "api.versions",
    "versions_frame": "api.versions",
    "write": "api.scripts",
}


def __getattr__(name: str) -> Any:
    if name == "DoltTableNameTransformer":  # the earlier plugin's name for it
        from . import schema

        return schema.DoltTableNameTransformer
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, which completion then offers, also those that are not loaded yet."""
    return sorted(__all__)


def _warn_of_conflicts() -> None:
    """Say so if an earlier plugin, whose files have the same names as some of this package's, is installed as well."""
    if not any(_is_installed(name) for name in ("flytekitplugins-dolt", "flytekitplugins-sqlalchemy")):
        return
    from .cli.doctor import conflicting_distributions

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
if hasattr(sys.modules.get("flyte"), "TaskEnvironment"):  # else Flyte 2 does it by its entry point
    from . import flyte2

    flyte2.register()
