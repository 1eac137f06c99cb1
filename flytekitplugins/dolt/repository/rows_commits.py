"""Commits of rows alone: made of the commit that they follow, without a branch, and published in one step.

Our procedures in the server do it (`flyte_commit_rows`, `flyte_fast_forward`), so this is for private servers that have
them. Nobody sees such a commit before a branch is moved to it, and one that is left alone is garbage.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..errors import HeadMoved, attempted

if TYPE_CHECKING:
    from pathlib import Path

    from .connections import Connection


class NeedsBranch(Exception):
    """Something else than rows was to be changed, or stands in the way where the branch is; nothing was changed."""


class RowsCommit:
    """A commit that follows ``start``, with the connection on it inside the block: on ``start`` until it is made.

    Inside the block the connection only reads, but for the rows that go to `put`; everything else is `NeedsBranch`.
    """

    def __init__(self, connection: Connection, start: str, *, author: str) -> None:
        self.message = ""
        """What the commit says; to be set before rows are put."""
        self.commit: str | None = None
        """Its hash; None before it is made, and where nothing differs from ``start``."""
        self.rows: int | None = None
        """How many rows the table has there; None before, and of a table without a primary key."""
        self.is_made = False
        """Whether rows were put."""
        self._connection = connection
        self._start = start
        self._author = author
        self._position = ExitStack()

    def __enter__(self) -> RowsCommit:
        self._position.enter_context(self._connection.at(self._start, at_once=False))
        self._connection.rows_commit = self
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.rows_commit = None
        self._position.close()

    def put(self, table: str, file: Path, mode: str) -> int:
        """Put the rows of a file into a table, and return how many there are, or how many were deleted.

        Raises:
            QueryFailed: the server says why it has to be done by SQL, among others.
        """
        call = "CALL flyte_commit_rows(%s, %s, %s, %s, %s, %s)"
        arguments = table, str(file), mode, self._start, self._author, self.message
        ((done, commit, self.rows),) = self._connection.query(call, *arguments)
        self.commit, self.is_made = commit or None, True
        self._connection.moves_on(commit or self._start)
        return int(done)


def fast_forward(connection: Connection, branch: str, start: str, commit: str) -> None:
    """Move ``branch`` and its working set from ``start`` to the commit that follows it, or change nothing.

    Raises:
        HeadMoved: the branch is not at ``start``.
        NeedsBranch: something is there that is in no commit.
        ConnectionLost: nobody says whether it was moved.
    """
    ((found,),) = connection.query("CALL flyte_fast_forward(%s, %s, %s)", branch, start, commit)
    if found == "elsewhere":
        raise HeadMoved(f"Cannot {attempted()}: it was moved meanwhile.", branch=branch)
    if found:
        raise NeedsBranch(found)
