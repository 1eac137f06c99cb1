"""The task `resolve`, which gives a query or table its commit. A file of its own: importing it makes a Flyte task.

Whoever uses it in a workflow registers it with the workflow; whoever does not, never imports this.
"""

from typing import Annotated

from flytekit import task

from .caching import content_hash
from .frames import resolve as resolved
from .schema import DoltConfig, DoltTable


@task  # type: ignore[untyped-decorator]  # flytekit has no types
def resolve(config: DoltConfig) -> Annotated[DoltTable, content_hash]:
    """Return the table or query of ``config`` at the commit that its branch has now.

    For use in workflows, before a cached task: ``cached(table=resolve(config=query))``. A table's content decides
    whether the cached task runs again, a query's commit.
    """
    return resolved(DoltTable(config=config))
