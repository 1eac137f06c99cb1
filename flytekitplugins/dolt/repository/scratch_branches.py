"""Scratch branches: short-lived branches on which work happens, each named for its owner.

The name says who made it and for which connection of the server, so that everybody on that server can tell a writer
that is at work from one that was killed; what the latter left is swept. It is not for a user's branches.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ..errors import DoltError, HeadMoved, attempting
from ..model.naming import SCRATCH_PREFIX
from . import active_content

if TYPE_CHECKING:
    from .connections import Connection

MARK = "scratch-"
"""Prefix of the files in a private server's folder that name scratch branches; its supervisor removes those left."""

WRITER = "writer-"
"""Prefix of the files there that name those who write without a branch that says so."""

LOOK_EVERY_S = 60.0
"""Seconds after which a process looks again for what killed writers left on a server."""

YOUNG_S = 1.0
"""A mark that is younger than this belongs to a writer that is at work; nobody is asked about it."""

_START_LETTERS = 8
"""How much of the commit where a branch begins is in its name; names are files' names, too."""

_MAX_ATTEMPTS = 5
"""Times that a new branch is tried to be made while others of the server look at it."""

_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Owner:
    """Who works on a scratch branch, as its name says."""

    port: int
    """The port of a server on the owner's machine, which is another one after each start; 0 for other servers."""
    connection: int
    """The server's number of the connection; while the server has it, the owner is alive."""
    user: str
    host: str
    process: int
    since: str
    """When the branch was made, UTC, by the owner's clock."""
    task: str
    """The Flyte execution in lower case, or ``script``."""

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """Return the owner of a branch, or None when the name says none."""
        parts = name.removeprefix(SCRATCH_PREFIX).split("/")
        if not name.startswith(SCRATCH_PREFIX) or len(parts) != 7:
            return None
        session, user, host, process, since, task, _ = parts
        port, _, connection = session.partition("-")
        if not (port.isdigit() and connection.isdigit() and process.isdigit()):
            return None
        return cls(int(port), int(connection), user, host, int(process), since.upper(), task)

    def is_gone(self, connection: Connection, alive: Collection[int]) -> bool:
        """Whether this owner is not among those that the server of ``connection`` has, by their numbers."""
        here = connection.local_port
        return self.connection not in alive or (0 != self.port != here != 0)

    def __str__(self) -> str:
        who = "a script" if self.task == "script" else f"Flyte execution {self.task!r}"
        return f"{who}, process {self.process} of {self.user!r} on {self.host!r}, since {self.since}"


class Scratch:
    """A branch of our own at ``start``, with the connection on it inside the block, and gone afterwards.

    ``task`` is shown to those who wait for this writer. Where it is not made ``at_once`` the next statement waits for
    it, and raises what is wrong with it: HeadMoved, where another branch was faster.
    """

    def __init__(self, connection: Connection, start: str, *, task: str | None = None, at_once: bool = True) -> None:
        self._connection = connection
        self._start = start
        self._task = task or "script"
        self._take_name()
        self._at_once = at_once
        self._position = ExitStack()

    def _take_name(self) -> None:
        self.name = _name(self._connection, self._task, self._start)
        self._mark = _mark(self._connection, self.name)

    def __enter__(self) -> Scratch:
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                self._make()
                break
            except HeadMoved:
                # The server makes the branch, then its working set; its own workers may have made that already.
                with suppress(DoltError):
                    self._drop()
                self._forget_mark()
                if attempt == _MAX_ATTEMPTS:
                    raise
                self._take_name()
        self._position.enter_context(self._connection.at(self.name, at_once=False))
        return self

    def _make(self) -> None:
        self._connection.refuse_changes()
        if self._mark is not None:
            with suppress(OSError):  # without it the next writer removes the branch, instead of the supervisor
                self._mark.touch()
        run = self._connection.execute if self._at_once else self._connection.execute_ahead
        run("CALL DOLT_BRANCH(%s, %s)", self.name, self._start)

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self._position.close()
        # A branch that stays behind harms nobody; what was raised or returned before says all that matters.
        with suppress(DoltError):
            if failure is None:
                self._drop()
            else:
                with self._connection.at(None):  # where it was may be gone, too
                    self._connection.execute("ROLLBACK")
                    self._drop()
            self._forget_mark()

    def _forget_mark(self) -> None:
        if self._mark is not None:
            with suppress(OSError):
                self._mark.unlink()

    def _drop(self) -> None:
        self._connection.execute("CALL DOLT_BRANCH('-D', %s)", self.name)


@contextmanager
def announced(connection: Connection, task: str | None) -> Iterator[None]:
    """Have others find out who writes on a private server inside the block, where no branch says so."""
    folder = connection.shared_folder()
    if folder is None:
        yield
        return
    file = folder / f"{WRITER}{quote(_name(connection, task or 'script', ''), safe='')}"
    with suppress(OSError):  # the error of those who wait has a number then, and no name
        file.touch()
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()


def owner(connection: Connection, number: int) -> Owner | None:
    """Return who works with the server's connection ``number``, if a scratch branch or a file says so."""
    found = [*map(Owner.parse, _heads(connection)), *map(_announced, _files(connection, WRITER))]
    known = (owner for owner in found if owner is not None)
    return next((owner for owner in known if not owner.is_gone(connection, [number])), None)


def _announced(file: Path) -> Owner | None:
    return Owner.parse(unquote(file.name.removeprefix(WRITER)))


def sweep(connection: Connection) -> list[str]:
    """Remove the scratch branches whose owner has left the server, and return their names.

    Those of living writers stay, and so does what does not name an owner. To be called while ``connection`` has no
    scratch branch of its own. What cannot be removed is left to the next one that looks.
    """
    # In this order: a writer has its connection before it has its branch.
    heads = _heads(connection)
    announced = _files(connection, WRITER, older_than_s=YOUNG_S)
    alive = _alive(connection) if heads or announced else set()
    removed = _remove(connection, heads, alive)
    _forget_marks(connection, set(heads) - set(removed))
    for file in announced:
        left = _announced(file)
        if left is None or left.is_gone(connection, alive):
            with suppress(OSError):
                file.unlink()
    return removed


def _alive(connection: Connection) -> set[int]:
    """Return the server's numbers of the other connections."""
    found = connection.query("SELECT id FROM information_schema.processlist")
    return {int(number) for (number,) in found} - {connection.number}


def _remove(connection: Connection, heads: Mapping[str, str], alive: Collection[int]) -> list[str]:
    removed = []
    for name, head in heads.items():
        left = Owner.parse(name)
        if left is not None and left.is_gone(connection, alive):
            with suppress(DoltError):  # somebody else was faster, or this user may not
                _mend(connection, name, head)
                connection.execute("CALL DOLT_BRANCH('-D', %s)", name)
                removed.append(name)
    return removed


def finish_move(connection: Connection, head: str) -> bool:
    """Finish what a killed writer may have left half done on a branch at ``head``; say whether there was any.

    To be called with the branch's lock held: nobody who would move it is alive then. The numbers do not say so, since a
    server that is started again counts its connections from one, and somebody new has that of the killed writer's.
    """
    names = [name for name, commit in _heads(connection).items() if commit == head]
    for name in names:
        _mend(connection, name, head)
    return bool(names)


def _mend(connection: Connection, name: str, commit: str) -> None:
    """Bring the working set of a branch up to ``commit``, to which a server moved the branch while it was killed.

    Dolt moves the branch first and then its working set, in two writes. Between them the branch seems to have staged
    changes that take the commit back. Only tables are touched that the commit, which was made on the scratch branch
    ``name``, has changed, and that are still exactly as they were before it: nobody's work is in them.
    """
    with attempting(f"finish moving a branch to commit {commit}"):
        found = connection.query(
            "SELECT name FROM dolt_branches WHERE hash = %s AND dirty AND name <> %s", commit, name
        )
        for (branch,) in found if _was_made_on(name, commit) else []:
            with connection.at(branch):
                if connection.active_branch() == branch:
                    _catch_up(connection, commit)


def _was_made_on(name: str, commit: str) -> bool:
    """Whether the commit was made on the scratch branch, and is not just where it began: its name says where that was.

    Dolt's log of references does not tell: it is empty after each collection of garbage.
    """
    start = name.rpartition("/")[2].partition("-")[2]
    return start != "" and not commit.startswith(start)


def _catch_up(connection: Connection, commit: str) -> None:
    """Take the commit's tables from the branch that ``connection`` is on, where they are as before it."""
    ((before,),) = connection.query("SELECT DOLT_HASHOF(%s)", f"{commit}^")
    changed = connection.query("SELECT table_name FROM dolt_diff WHERE commit_hash = %s", commit)
    for (table,) in changed:
        # One change, staged or not: either the index or the working set is that of another state.
        status = connection.query("SELECT staged FROM dolt_status WHERE table_name = %s", table)
        now = active_content.hash_of_table(connection, table)
        with connection.at(before):
            is_as_before = now == active_content.hash_of_table(connection, table)
        if is_as_before and len(status) == 1:
            connection.execute("CALL DOLT_RESET(%s)", table)
            connection.execute("CALL DOLT_CHECKOUT(%s)", table)


def has_old_marks(connection: Connection) -> bool:
    """Whether marks lie in the private server's folder that are not those of a write of this very moment."""
    return bool(_old_marks(connection))


def _forget_marks(connection: Connection, names: Collection[str]) -> None:
    """Remove the marks of branches that are not among ``names``."""
    kept = {mark.name for name in names if (mark := _mark(connection, name)) is not None}
    for mark in _old_marks(connection):
        if mark.name not in kept:
            with suppress(OSError):
                mark.unlink()


def _old_marks(connection: Connection) -> list[Path]:
    return _files(connection, MARK, older_than_s=YOUNG_S)


def _files(connection: Connection, prefix: str, *, older_than_s: float = 0) -> list[Path]:
    """Return the files of a private server's folder whose names begin so."""
    folder = connection.shared_folder()
    if folder is None:
        return []
    old = time.time() - older_than_s
    with suppress(OSError), os.scandir(folder) as found:
        named = [each for each in found if each.name.startswith(prefix)]
        return [Path(each.path) for each in named if not older_than_s or each.stat().st_mtime < old]
    return []


def _heads(connection: Connection) -> dict[str, str]:
    statement = "SELECT name, hash FROM dolt_branches WHERE name LIKE %s"
    return dict(connection.query(statement, f"{SCRATCH_PREFIX}%"))


def _name(connection: Connection, task: str, start: str) -> str:
    since = time.strftime(_STAMP, time.gmtime())
    session = f"{connection.local_port}-{connection.number}"
    own = f"{secrets.token_hex(6)}-{start[:_START_LETTERS]}"
    parts = (session, _user(), socket.gethostname(), str(os.getpid()), since, task, own)
    return SCRATCH_PREFIX + "/".join(_plain(part) for part in parts)


def _plain(text: str) -> str:
    """Return ``text`` with only those characters that a part of a branch name may hold everywhere, in lower case.

    Of a branch with a capital in its name Dolt's server goes through all branches at each statement.
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:60] or "unknown"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        return str(os.getuid())


def _mark(connection: Connection, name: str) -> Path | None:
    folder = connection.shared_folder()
    return folder / f"{MARK}{quote(name, safe='')}" if folder is not None else None
