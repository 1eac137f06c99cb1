"""Warns of a cached task whose input has no commit: Flyte takes it for the same value though its rows may change."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from . import context

if TYPE_CHECKING:
    from flytekit.core.context_manager import FlyteContext

    from ..api.table import DoltTable


def warn_if_cached(ctx: FlyteContext, table: DoltTable) -> None:
    """Warn, locally, that the cached task that runs was given a query or table without a commit."""
    task = context.local_task(ctx)
    if task is not None and getattr(getattr(task, "metadata", None), "cache", False):
        what = "a query" if table.config.sql is not None else f"table {table.config.tablename!r}"
        warnings.warn(
            f"The cached task {task.name} was given {what} without a commit. Flyte will take it for the same value the "
            "next time, and give back today's result though the rows may have changed. Pin it first, in the workflow: "
            "flytekitplugins.dolt.resolve(config=...) returns it with its commit.",
            UserWarning,
            stacklevel=2,
        )
