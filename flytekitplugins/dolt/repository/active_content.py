"""What a commit holds that the server would obey by itself: names that lead elsewhere, and triggers.

Both come with any clone. A row of ``dolt_nonlocal_tables`` makes the name of a table mean one on another branch, for
reading, for writing, and for Dolt's own tables, too; a trigger runs with the rows that are written. Here they are
found, exactly and once for each commit, since what a commit holds never changes, and refused. That what was written is
what is published is checked in `history.publishing`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import (
    AccessDenied,
    QueryFailed,
    RevisionNotFound,
    ShallowClone,
    TableNotFound,
    TableRedirected,
    TriggersRefused,
    attempted,
)
from ..model.naming import is_hash, lowered

if TYPE_CHECKING:
    from .connections import Connection

RULES = "dolt_nonlocal_tables"
"""Dolt's table of names that lead elsewhere."""

_KEPT = 10_000
"""For how many commits it is remembered what was found."""

_ASCII = 127
_HASH = "DOLT_HASHOF_TABLE(%s)"


@dataclass(frozen=True)
class Rule:
    """A row of ``dolt_nonlocal_tables``."""

    pattern: str
    """Names of tables, in any case; ``*`` and ``%`` stand for any text, ``?`` for one character."""
    target: str
    """The branch or other revision that they lead to; empty is the own one."""
    table: str
    """The name there; empty is the same."""

    def matches(self, name: str) -> bool:
        """Whether Dolt would look for the table ``name`` elsewhere."""
        return _matches(lowered(self.pattern), lowered(name))

    @property
    def takes_dolts_own(self) -> bool:
        """Whether names of Dolt's own tables may be among those that lead elsewhere."""
        plain, *wild = re.split(r"[?*%]", lowered(self.pattern), maxsplit=1)
        return plain.startswith("dolt_") or (bool(wild) and "dolt_".startswith(plain))

    def __str__(self) -> str:
        return f"{self.pattern!r} to {self.table or 'the same name'!r} of {self.target or 'the same revision'!r}"


@dataclass(frozen=True)
class Trigger:
    """A trigger that a commit holds."""

    name: str
    event: str
    """``INSERT``, ``UPDATE`` or ``DELETE``."""
    table: str


@dataclass(frozen=True)
class _Held:
    """What a commit holds, as far as it was asked."""

    rules: tuple[Rule, ...]
    triggers: tuple[Trigger, ...] | None = None


# By commit, of whatever repository: the same hash is the same content.
_held: dict[str, _Held] = {}


def rules(connection: Connection, commit: str) -> tuple[Rule, ...]:
    """Return the names that lead elsewhere at ``commit``, where the connection is, or on a branch that is just there.

    Raises:
        TableRedirected: there may be some, and they cannot be read.
    """
    if commit not in _held:
        _remember(commit, _Held(_rules_at(connection, commit)))
    return _held[commit].rules


def rules_at(connection: Connection, commit: str) -> tuple[Rule, ...]:
    """Return what `rules` does, wherever the connection is.

    Raises:
        RevisionNotFound: there is no such commit.
        TableRedirected: there may be some, and they cannot be read.
    """
    if commit in _held or connection.revision == commit:
        return rules(connection, commit)
    with connection.at(commit):
        return rules(connection, commit)


def refuse_false_tables(connection: Connection) -> None:
    """Raise if names of Dolt's own tables lead elsewhere where the connection is, which is the checked-out branch.

    Raises:
        TableRedirected: they do, or it cannot be told.
    """
    here = hash_of_table(connection, RULES)
    if here is None:
        return
    ((head,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
    found = rules_at(connection, str(head))
    with connection.at(str(head)):
        is_committed = hash_of_table(connection, RULES) == here
    for rule in found if is_committed else (*found, *_added(connection, str(head), "WORKING")):
        if rule.takes_dolts_own:
            raise _redirected(rule, "on the checked-out branch", None)


def refuse_reading(connection: Connection, table: str) -> None:
    """Raise if ``table`` would be one of somewhere else at the commit that the connection is on.

    On a scratch branch it was asked before, by `refuse_writing`.

    Raises:
        TableRedirected: it would, or it cannot be told.
    """
    if connection.revision is not None and is_hash(connection.revision):
        found = rules(connection, connection.revision)
        _refuse(found, table, f"at commit {connection.revision}")


def refuse_query(connection: Connection, found: Sequence[Rule], tables: Iterable[str] | None, *, where: str) -> None:
    """Raise if a query of ``tables``, where the connection is, may read rows from elsewhere, as the rules say.

    Only tables that are tables are let pass: nobody says what a view reads. None is what cannot be told.

    Raises:
        TableRedirected: it may.
    """
    if not found:
        return
    for name in tables or ():
        _refuse(found, name, where)
    if tables is None or any(hash_of_table(connection, name) is None for name in tables):
        raise _redirected(found[0], where, None)


def refuse_writing(connection: Connection, commit: str, table: str, *, events: Collection[str], triggers: str) -> None:
    """Raise if rows for ``table`` would land elsewhere, or start a trigger, on a branch that is just at ``commit``.

    ``events`` are the kinds of statements that write them, and ``triggers`` is what the config says of triggers.

    Raises:
        TableRedirected: they would land elsewhere, or it cannot be told.
        TriggersRefused: one would run, and the config does not say ``triggers="run"``.
    """
    if commit not in _held:
        _look(connection, commit)
    _refuse(rules(connection, commit), table, f"at commit {commit}")
    if triggers == "run" or not events:
        return
    own = (each for each in _triggers_at(connection, commit) if each.table.casefold() == table.casefold())
    fired = sorted(each.name for each in own if each.event.upper() in events)
    if fired:
        raise TriggersRefused(
            f"Cannot {attempted()}: triggers of that table would run ({', '.join(map(repr, fired))}), and could change "
            'what is written, or do more. Drop them, or give the config triggers="run" if you know what they do.',
            table=table,
            triggers=fired,
        )


def has_triggers(commit: str, table: str) -> bool:
    """Whether ``table`` has triggers at ``commit``, as far as `refuse_writing` had to look for them."""
    held = _held.get(commit)
    return held is not None and any(each.table.casefold() == table.casefold() for each in held.triggers or ())


def take_over(start: str, commit: str) -> None:
    """Note that ``commit``, which changes one table of the user's from ``start``, holds the same rules and triggers."""
    if start in _held:
        _remember(commit, _held[start])


def _matches(pattern: str, name: str) -> bool:
    """Match without going back further than to the last ``*``: the pattern comes from the repository."""
    at = here = 0
    star, after = -1, 0
    while here < len(name):
        character = pattern[at] if at < len(pattern) else ""
        if character in ("*", "%") and character:
            star, after = at, here
            at += 1
        elif character == "?" or character == name[here] or ord(character or "a") > _ASCII:  # what Dolt makes of it
            at, here = at + 1, here + 1
        elif star >= 0:
            at, after = star + 1, after + 1
            here = after
        else:
            return False
    return not pattern[at:].strip("*%")


def _refuse(found: Sequence[Rule], table: str, where: str) -> None:
    for rule in found:
        if rule.matches(table) or rule.takes_dolts_own:
            raise _redirected(rule, where, table)


def _redirected(rule: Rule, where: str, table: str | None) -> TableRedirected:
    return TableRedirected(
        f"Cannot {attempted()}: {where} a row of {RULES!r} leads {rule}, and rows would be read from there, or land "
        f"there, instead of the branch's own table. Delete that row and commit, or name the branch that it leads to.",
        table=table,
        pattern=rule.pattern,
        target=rule.target,
    )


def _look(connection: Connection, commit: str) -> None:
    """Find out with one question that a commit has neither rules nor triggers, as is the rule."""
    nothing = f"SELECT IF((SELECT COUNT(*) FROM dolt_schemas WHERE type = 'trigger') > 0, NULL, {_HASH})"
    connection.see_done()
    try:
        connection.query(nothing, RULES)
    except (TableNotFound, QueryFailed) as error:
        if isinstance(error, TableNotFound) and RULES in str(error):
            _remember(commit, _Held((), ()))


def hash_of_table(connection: Connection, table: str) -> str | None:
    """Return the hash of a table that the revision has itself, or None: it looks nowhere else, and knows no views."""
    try:
        found = connection.query(f"SELECT {_HASH}", table)
    except TableNotFound:
        return None
    return str(found[0][0])


def _rules_at(connection: Connection, commit: str) -> tuple[Rule, ...]:
    """Return the rows of ``dolt_nonlocal_tables``, of which one may hide all of them from those who read that table.

    Dolt's function for changes reads the tables themselves: they are asked for as what was added since the beginning.
    """
    if hash_of_table(connection, RULES) is None:
        return ()
    first = _beginning(connection, commit)
    with connection.at(first):
        if hash_of_table(connection, RULES) is None:
            return _added(connection, first, commit)
    raise _unknown(commit)


def _beginning(connection: Connection, commit: str) -> str:
    """Return the first commit that led to this one; asked in steps, with a function that every user may call."""
    hashes = {0: commit}

    def ancestor(number: int) -> bool:
        try:
            found = connection.query("SELECT DOLT_HASHOF(%s)", f"{commit}~{number}")
        except (QueryFailed, RevisionNotFound, ShallowClone):
            return False
        hashes[number] = str(found[0][0])
        return True

    step = 1
    while ancestor(max(hashes) + step):
        step *= 2
    while step > 1:
        step //= 2
        ancestor(max(hashes) + step)
    return hashes[max(hashes)]


def _added(connection: Connection, before: str, after: str) -> tuple[Rule, ...]:
    """Return the rules that ``after`` has, and ``before`` had not, at which the connection may be."""
    asked = "SELECT to_table_name, to_target_ref, to_ref_table FROM DOLT_DIFF(%s, %s, %s) WHERE diff_type <> 'removed'"
    try:
        found = connection.query(asked, before, after, RULES)
    except AccessDenied:  # on a revision this takes rights on all databases; elsewhere rules that lead nowhere stop it
        try:
            with connection.at(None):
                found = connection.query(asked, before, after, RULES)
        except (AccessDenied, QueryFailed):
            raise _unknown(after) from None
    return tuple(Rule(str(pattern), str(target or ""), str(table or "")) for pattern, target, table in found)


def _unknown(commit: str) -> TableRedirected:
    return TableRedirected(
        f"Cannot read table {RULES!r} at {commit!r}: it may lead names of tables elsewhere, and what it holds cannot "
        "be told by this user, or in a clone without the history since before it. Use a whole clone, or delete its "
        "rows and commit.",
        table=None,
        pattern=None,
        target=None,
    )


def _triggers_at(connection: Connection, commit: str) -> tuple[Trigger, ...]:
    held = _held[commit]
    if held.triggers is None:
        shown = connection.query("SHOW TRIGGERS")
        found = tuple(Trigger(str(name), str(event), str(table)) for name, event, table, *_ in shown)
        held = replace(held, triggers=found)
        _remember(commit, held)
    return held.triggers or ()


def _remember(commit: str, held: _Held) -> None:
    if len(_held) >= _KEPT:
        _held.clear()
    _held[commit] = held
