"""What names a state of the repository, resolved to the one commit that it means: `resolve`, the only door.

Nothing is read here but the graph of commits; rows are the business of `tables`. Called by everything that takes a
revision from a user: configs with ``as_of``, `diffs`, `history`, and ``AS OF`` inside queries.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import RevisionNotFound
from .schema import Commit

if TYPE_CHECKING:
    from .engine import Connection

_HASH = re.compile(r"[0-9a-v]{32}\Z")


def resolve(connection: Connection, revision: str) -> Commit:
    """Return the commit that ``revision`` names.

    Raises:
        RevisionNotFound: there is nothing of that name.
    """
    attempt = f"find revision {revision!r}"
    rows = connection.rows("SELECT name, hash FROM dolt_branches", attempt=attempt)
    branch = next((found for name, found in rows if name == revision), None)
    if branch is not None:
        return Commit(str(branch), branch=revision)
    if _HASH.match(revision):
        if not connection.rows("SELECT 1 FROM dolt_commits WHERE commit_hash = %s", revision, attempt=attempt):
            raise RevisionNotFound(f"Cannot {attempt}: the repository does not hold it.", revision=revision)
        return Commit(revision)
    return Commit(str(connection.rows("SELECT DOLT_HASHOF(%s)", revision, attempt=attempt)[0][0]))
