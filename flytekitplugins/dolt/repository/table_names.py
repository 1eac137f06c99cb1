"""What the name of a table means at a commit: the table or view that Dolt opens for it, as it is stored there.

SQL finds a table whatever the case of its name, Dolt's functions for hashes, logs and differences only as it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..errors import InvalidConfig, InvalidName, RevisionNotFound, attempted
from ..model.naming import is_hash, lowered
from . import active_content

if TYPE_CHECKING:
    from .connections import Connection

_KEPT = 1_000
"""For how many commits it is remembered what is there."""


@dataclass(frozen=True)
class Named:
    """A table or view, as it is stored."""

    name: str
    is_view: bool


_Listed: TypeAlias = dict[str, tuple[Named, ...]]
"""All tables and views, by their names in lower case."""

# By commit, of whatever repository: the same hash is the same content.
_at_commit: dict[str, _Listed] = {}


def find(connection: Connection, name: str, *, commit: str | None = None) -> Named | None:
    """Return what ``name`` means where the connection is, or None where nothing is called so.

    What a commit holds is asked once. ``commit`` is one that `is_listed`, or that of a branch of our own that the
    connection is on, and that was just made there: on others there may be tables that are in no commit.

    Raises:
        InvalidName: there are two tables of that name, which differ in case only: Dolt opens any of them.
    """
    there = _there(connection, commit)
    if there is not None:
        found = there.get(lowered(name), ())
    else:
        found = (Named(name, False),) if active_content.hash_of_table(connection, name) is not None else ()
    if len(found) > 1:
        names = " and ".join(repr(each.name) for each in found)
        raise InvalidName(
            f"Cannot {attempted()}: there are {names}, whose names differ in case only, and Dolt does not tell them "
            "apart. Rename or drop one of them.",
            name=name,
        )
    return found[0] if found else None


def find_table(connection: Connection, name: str, *, commit: str | None = None) -> str | None:
    """Return as what a table is stored where the connection is, or None where there is none of that name.

    Raises:
        InvalidConfig: it is a view.
        InvalidName: there are two tables of that name, which differ in case only.
    """
    found = find(connection, name, commit=commit)
    if found is not None and found.is_view:
        raise InvalidConfig(
            f"Cannot {attempted()}: {found.name!r} is a view, which can only be read, by its name or in a query."
        )
    return None if found is None else found.name


def is_listed(commit: str) -> bool:
    """Whether it is known what a commit holds, so that `find` asks nobody for it."""
    return commit in _at_commit


def take_over(start: str, commit: str, table: str) -> None:
    """Note that ``commit``, which changes rows of one table from ``start``, holds what that holds, and the table."""
    before = _at_commit.get(start)
    if before is not None:
        named, others = Named(table, False), before.get(lowered(table), ())
        _remember(commit, before if named in others else {**before, lowered(table): (*others, named)})


def doubles(connection: Connection) -> list[tuple[str, ...]]:
    """Return the tables where the connection is whose names differ in case only."""
    there = _there(connection, None) or {}
    return [tuple(each.name for each in found) for found in there.values() if len(found) > 1]


def _there(connection: Connection, commit: str | None) -> _Listed | None:
    at = commit
    if at is None and connection.revision is not None and is_hash(connection.revision):
        at = connection.revision
    if at is None:
        return _listed(connection)
    if at in _at_commit:
        return _at_commit[at]
    found = _listed(connection)
    if found is not None:
        _remember(at, found)
    return found


def _remember(commit: str, there: _Listed) -> None:
    if len(_at_commit) >= _KEPT:
        _at_commit.clear()
    _at_commit[commit] = there


def _listed(connection: Connection) -> _Listed | None:
    """Return all tables and views; None where a row of ``dolt_nonlocal_tables`` leads nowhere, and Dolt lists none."""
    connection.see_done()
    try:
        shown = connection.query("SHOW FULL TABLES")
    except RevisionNotFound:
        return None
    there: _Listed = {}
    for name, kind in shown:
        there[lowered(name)] = (*there.get(lowered(name), ()), Named(str(name), str(kind).upper() == "VIEW"))
    return there
