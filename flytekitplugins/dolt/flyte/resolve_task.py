"""The task `resolve`, which gives a query or table its commit.

Who uses it in a workflow registers it under the name and loader path of the module that makes it, `pinning`.
"""

from typing import Annotated, Any

from flytekit import task

from ..api.table import DoltTable
from ..api.table import resolve as resolved
from ..model.configs import DoltConfig
from .cache import content_hash


def resolve(config: DoltConfig) -> Annotated[DoltTable, content_hash]:
    """Return the table or query of ``config`` at the commit that its branch has now.

    For use in workflows, before a cached task: ``cached(table=resolve(config=query))``. A table's content decides
    whether the cached task runs again, a query's commit.
    """
    return resolved(DoltTable(config=config))


def make_task(module: str) -> Any:
    """Return `resolve` as a Flyte task of ``module``, which is being imported and will hold it as ``resolve``."""
    resolve.__module__ = module
    return task(resolve)
