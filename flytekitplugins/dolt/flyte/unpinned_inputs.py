"""Warns of a cached task whose input has no commit: Flyte takes it for the same value though its rows may change."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from ..model.configs import DoltConfig
from ..model.naming import is_hash
from . import context

if TYPE_CHECKING:
    from flytekit.core.context_manager import FlyteContext

    from ..api.table import DoltTable


def warn_if_cached(ctx: FlyteContext, given: DoltTable | DoltConfig) -> None:
    """Warn, locally, that the cached task that runs was given a query, a table or a config without a commit.

    One whose ``as_of`` is a commit's whole hash means the same rows for ever.
    """
    task = context.local_task(ctx)
    if task is None or not getattr(getattr(task, "metadata", None), "cache", False):
        return
    config = given if isinstance(given, DoltConfig) else given.config
    if config.as_of is not None and is_hash(str(config.as_of)):
        return
    what = "a query" if config.sql is not None else f"table {config.tablename!r}"
    if given is config:
        what, then = f"the config of {what}", "Where it reads with it, Flyte"
    else:
        then = "Flyte"
    warnings.warn(
        f"The cached task {task.name} was given {what} without a commit. {then} will take it for the same value the "
        "next time, and give back today's result though the rows may have changed. Pin it first, in the workflow: "
        "flytekitplugins.dolt.resolve(config=...) returns it with its commit, as a DoltTable.",
        UserWarning,
        stacklevel=2,
    )
