"""The classes that users write and read, at the import path that they always had. Nothing is defined here."""

from __future__ import annotations

from typing import Any

from .api.table import DoltTable
from .model.configs import (
    LAST_CONSUMED,
    Branch,
    CallbackMeta,
    Changes,
    Commit,
    DoltConfig,
    DoltMeta,
    MergeBranch,
    Meta,
    NewBranch,
    Remote,
    Secret,
    SerialBranch,
)

__all__ = [
    "LAST_CONSUMED",
    "Branch",
    "CallbackMeta",
    "Changes",
    "Commit",
    "DoltConfig",
    "DoltMeta",
    "DoltTable",
    "MergeBranch",
    "Meta",
    "NewBranch",
    "Remote",
    "Secret",
    "SerialBranch",
]


def __getattr__(name: str) -> Any:
    if name == "DoltTableNameTransformer":  # the earlier plugin's name for it, at the place where that has it
        from .flyte.value_types import DoltTableTransformer

        return DoltTableTransformer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
