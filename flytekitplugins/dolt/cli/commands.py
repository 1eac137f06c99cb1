"""What the verbs answer that look at versions: log, diff, lineage, versions, and merge.

Each takes what was typed, where `__main__` has put the config of the repository in the place of ``--db``, and returns
an answer. What a verb does stands in the module of its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import visible
from ..api import versions
from ..errors import InvalidConfig
from ..history import diffs, lineages, merging, revisions
from ..model import provenance, timepoints
from ..model.configs import Commit, SerialBranch
from ..repository import refs, remotes
from ..repository.connections import connect
from . import pictures
from .answers import Answer, rows_text
from .colours import CYAN, GREEN, RED, YELLOW

if TYPE_CHECKING:
    import argparse

    from ..api.versions import Version
    from ..history.diffs import TableDiff
    from ..model.location import Location
    from ..model.provenance import Execution

_HEADS = {r"(?:commit )?[0-9a-v]{32}\b": YELLOW}
_CHANGES = {r" *added\b.*": GREEN, r" *removed\b.*": RED, r" *modified\b.*": YELLOW, r"\S.*: \d+ added,.*": CYAN}


def _log(chosen: argparse.Namespace) -> Answer:
    place = remotes.location_of(chosen.db)
    revision = _commit_named(place, chosen.revision).hash if chosen.revision else None
    commits = refs.log(place, revision, table=chosen.table, limit=chosen.last)
    if not commits:  # only of a table that never was there; what is asked next says so
        versions.first_appeared(replace(chosen.db, tablename=chosen.table, as_of=revision))
    if chosen.table:
        found = versions.described(replace(chosen.db, tablename=chosen.table), commits)
        return Answer(
            "\n\n".join(_commit_text(each.commit, each) for each in found),
            [_version(each) for each in found],
            _HEADS,
        )
    return Answer("\n\n".join(map(_commit_text, commits)), [_commit(commit) for commit in commits], _HEADS)


def _commit_named(place: Location, revision: str | None) -> Commit:
    """Return the commit that a verb's revision names, or the head of the checked-out branch where there is none.

    Raises:
        RevisionNotFound: it names nothing; the message has the names that come close.
    """
    with connect(place) as connection:
        return revisions.resolve(connection, revision) if revision else refs.head_of(connection, None)


def _commit(commit: Commit) -> dict[str, Any]:
    running = provenance.parse(commit.message).execution
    return {
        "commit": commit.hash,
        "parents": list(commit.parents),
        "author": commit.author,
        "date": timepoints.utc_text(commit.date),
        "message": commit.message,
        "line": provenance.line_of(commit.message),
        "execution": running.id if running is not None else None,
        "task": running.task if running is not None else None,
    }


def _version(found: Version) -> dict[str, Any]:
    return _commit(found.commit) | {
        "execution": found.execution.id if found.execution is not None else None,
        "task": found.task,
        "added": found.added,
        "modified": found.modified,
        "removed": found.removed,
    }


def _commit_text(commit: Commit, found: Version | None = None) -> str:
    author = visible(str(commit.author), lines=False)
    lines = [f"commit {commit.hash}", f"Author: {author}", f"Date:   {timepoints.utc_text(commit.date)}"]
    running = provenance.parse(commit.message).execution if found is None else found.execution
    if running is not None:
        lines.append(f"Task:   {_who(running)}")
    if found is not None:
        lines.append(f"Rows:   {found.added:,} added, {found.modified:,} modified, {found.removed:,} removed")
    return "\n".join([*lines, "", *(f"    {line}".rstrip() for line in visible(commit.message or "").split("\n"))])


def _who(running: Execution | None) -> str:
    """Return which task of which execution it was, on one line; a dash for none."""
    return visible(f"{running.task or '?'} of {running.id}", lines=False) if running is not None else "-"


def _diff(chosen: argparse.Namespace) -> Answer:
    after = chosen.after or refs.resolve(remotes.location_of(chosen.db), None)
    names = [chosen.table] if chosen.table else diffs.changed_tables(chosen.before, after, db_path=chosen.db)
    found = [diffs.diff(chosen.before, after, table=name, db_path=chosen.db, limit=chosen.limit) for name in names]
    return Answer(
        "\n\n".join(map(_diff_text, found)) or "nothing differs", [_diff_plain(each) for each in found], _CHANGES
    )


def _diff_text(found: TableDiff) -> str:
    lines = [visible(str(found), lines=False)]
    if found.rows is not None and len(found.rows):
        lines.append(rows_text(found.rows))
        if not found.is_complete:
            lines.append(f"and {found.changed - len(found.rows):,} more rows")
    return "\n".join(lines)


def _diff_plain(found: TableDiff) -> dict[str, Any]:
    rows = [] if found.rows is None else json.loads(found.rows.to_json(orient="records", date_format="iso"))
    return {
        "table": found.table,
        "before": found.before.hash if found.before is not None else None,
        "after": found.after.hash if found.after is not None else None,
        "added": found.added,
        "modified": found.modified,
        "removed": found.removed,
        "columns": [{"name": c.name, "before": c.before, "after": c.after} for c in found.columns],
        "rows": rows,
        "is_complete": found.is_complete,
    }


def _lineage(chosen: argparse.Namespace) -> Answer:
    found = lineages.lineage(
        _commit_named(remotes.location_of(chosen.db), chosen.revision),
        db_path=chosen.db,
        direction=chosen.direction,
        repositories=chosen.repositories,
    )
    return pictures.drawn(found, chosen) or Answer(str(found), found.to_dict())


def _versions(chosen: argparse.Namespace) -> Answer:
    policy = SerialBranch(chosen.branch) if chosen.branch else None
    config = replace(chosen.db, tablename=chosen.table, branch_conf=policy)
    commits = [table.commit for table in versions.versions(config, last=chosen.last) if table.commit is not None]
    found = versions.described(config, commits)
    return Answer("\n".join(map(_version_text, found)), [_version(each) for each in found], _HEADS)


def _version_text(found: Version) -> str:
    when = (timepoints.utc_text(found.commit.date) or "")[:19]
    rows = f"+{found.added:,} ~{found.modified:,} -{found.removed:,}"
    return f"{found.commit.hash}  {when}  {rows}  {_who(found.execution)}  {visible(found.line)}"


def _merge(chosen: argparse.Namespace) -> Answer:
    checks: Sequence[Any] | Mapping[str, Any] = chosen.check
    commit = merging.merge(
        chosen.branch,
        db_path=chosen.db,
        into=chosen.into,
        checks=checks,
        max_shift=_once("--max-shift", chosen.max_shift),
        max_missing=_once("--max-missing", chosen.max_missing),
        message=chosen.message,
        strategy=_strategy(chosen.strategy),
    )
    where = f" of {visible(commit.branch, lines=False)}" if commit.branch else ""
    return Answer(
        f"{visible(chosen.branch, lines=False)} is in commit {commit.hash}{where}",
        {"commit": commit.hash, "branch": commit.branch},
    )


def _strategy(given: Sequence[str]) -> Any:
    """Return the side for all tables, or by table, as `merging.merge` takes it; that checks it, too."""
    named = [text.rpartition("=") for text in given]
    if len(given) == 1 and not named[0][1]:
        return given[0]
    alone = [side for _, mark, side in named if not mark]
    if alone:
        raise InvalidConfig(
            f"Cannot merge with --strategy {alone[0]} beside others: give one side for all tables, or each as "
            "TABLE=SIDE."
        )
    return _once("--strategy", [(table, side) for table, _, side in named]) or None


def _once(option: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return what is given by name; of a name that is given twice the last would hold in silence, so it is refused."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidConfig(f"Cannot merge with {option} {visible(twice, lines=False)}=... twice: give it once.")
    return dict(pairs)


ANSWERS: Mapping[str, Callable[[argparse.Namespace], Answer]] = {
    "log": _log,
    "diff": _diff,
    "lineage": _lineage,
    "versions": _versions,
    "merge": _merge,
}
"""Who answers each verb of this module."""
