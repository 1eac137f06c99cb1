"""Flyte's cache and tables: a hash of what a table holds.

Flyte takes a value that came before for the same, and does not run a cached task again. A literal of this package names
a commit, so that is right, if stricter than need be: `content_hash` makes equal rows the same value, whichever commit
or branch has them. A query without a commit is always the same value, though its rows change: `unpinned_inputs` warns
of it, and the task `resolve` (in `pinning`) gives it a commit.
"""

from __future__ import annotations

from typing import Any

from flytekit.core.hash import HashMethod

from ..api.table import DoltTable
from ..errors import InvalidConfig
from .dataframes import table_of

STALE_REFERENCE = (
    "If the repository was removed or made anew since, the reference may come from Flyte's cache, which names the old "
    "one: clear it with `pyflyte local-cache clear`, or on a cluster give the cached task another cache_version."
)
"""What an error says where a repository has not what a table refers to."""


def content_digest(value: Any) -> str:
    """Return a text that is the same for equal content of a table, in any commit, branch or clone of the repository.

    ``value`` is a `DoltTable` that has a commit, or a frame that a task wrote through `dolt_frame` or a dataset. A
    table is hashed by what Dolt keeps for it: columns, keys, comments and rows. A query is hashed by its text, and
    a view by its name, with the commit, because what it reads of the history cannot be told from its text.

    Raises:
        InvalidConfig: no commit holds the value.
    """
    from ..api import content

    table = value if isinstance(value, DoltTable) else table_of(value)
    if table is None or table.commit is None:
        raise InvalidConfig(
            f"Cannot hash the content of {table if table is not None else type(value).__name__!r}: no commit holds it. "
            "Hash what a task returns as a DoltTable or with dolt_frame(config), or what the task resolve returned."
        )
    return content.digest(table)


content_hash: HashMethod[Any] = HashMethod(content_digest)
"""Annotation by which a cached task takes equal content for the same: ``-> Annotated[DoltTable, content_hash]``."""
