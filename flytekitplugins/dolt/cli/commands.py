"""The verbs of the command line that look at versions: log, diff, lineage, versions, and merge.

Each takes what was typed and returns an answer that prints as text for people and as JSON for programs; `__main__`
parses and prints. What a verb does stands in the module of its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import visible, visible_json
from ..api import versions
from ..errors import InvalidConfig
from ..history import diffs, lineages, merging
from ..model import provenance, timepoints
from ..model.configs import Commit, DoltConfig, SerialBranch
from ..repository import refs

if TYPE_CHECKING:
    import argparse

    from ..api.versions import Version
    from ..history.diffs import TableDiff
    from ..model.provenance import Execution


@dataclass(frozen=True)
class Answer:
    """What a verb found, twice."""

    text: str
    """For people: what is data in it is on one line, or shown by `visible`; so is all that `__main__` prints."""
    plain: Any
    """The same as plain values."""

    def to_json(self) -> str:
        """Return the plain values as JSON, in which no control character commands the terminal."""
        return visible_json(json.dumps(self.plain, indent=2, ensure_ascii=False, default=str))


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to a command line; each leaves its function under ``answer``."""
    log = _verb(commands, "log", _log, "the commits that lead to a revision, newest first")
    log.add_argument("revision", nargs="?", help="a branch, tag or commit; the checked-out branch where none is given")
    log.add_argument("--table", help="only commits that changed this table")
    log.add_argument("-n", "--last", type=_count, metavar="N", help="the newest N only")
    diff = _verb(commands, "diff", _diff, "what differs between two revisions, row by row")
    diff.add_argument("before", help="a branch, tag, commit, HEAD~1 or point in time")
    diff.add_argument("after", nargs="?", help="the same; the checked-out branch where none is given")
    diff.add_argument("--table", help="this table; every changed one where none is given")
    diff.add_argument("--limit", type=_count, default=20, metavar="N", help="show the first N rows (default: 20)")
    line = _verb(commands, "lineage", _lineage, "what a commit was made of, and what was made of it")
    line.add_argument("revision", nargs="?", help="a branch, tag or commit; the checked-out branch where none is given")
    line.add_argument("--direction", choices=("up", "down", "both"), default="both", help="default: both")
    line.add_argument(
        "--repository",
        "--also",
        dest="repositories",
        action="append",
        default=[],
        metavar="PATH",
        help="look in this repository, too (a folder or the URL of a server); give it once for each",
    )
    versions = _verb(commands, "versions", _versions, "the newest versions of a table")
    versions.add_argument("table")
    versions.add_argument("--branch", help="on this branch; the checked-out one where none is given")
    versions.add_argument("-n", "--last", type=_count, default=5, metavar="N", help="the newest N (default: 5)")
    merge = _verb(commands, "merge", _merge, "merge a branch, whole or not at all")
    merge.add_argument("branch", help="the branch to merge")
    merge.add_argument("--into", help="the branch to merge into; the checked-out one where none is given")
    merge.add_argument(
        "--check", action="append", default=[], metavar="SQL", help="merge only if this query finds no row"
    )
    merge.add_argument("--message", help="first line of the commit's message")
    merge.add_argument(
        "--strategy",
        action="append",
        default=[],
        metavar="[TABLE=]SIDE",
        help="conflicting rows become those of this side, ours or theirs; in one table only where it is named",
    )


def _verb(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    answer: Callable[[argparse.Namespace], Answer],
    words: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words, description=f"Show {words}." if name != "merge" else words)
    parser.add_argument("--db", required=True, metavar="PATH", help="folder of the Dolt repository")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(answer=answer)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_count.__name__ = "number above 0"  # argparse says it


def _log(chosen: argparse.Namespace) -> Answer:
    place = refs.locate(chosen.db)
    commits = refs.log(place, chosen.revision, table=chosen.table, limit=chosen.last)
    if not commits:  # only of a table that never was there; what is asked next says so
        versions.first_appeared(DoltConfig(chosen.db, chosen.table, as_of=chosen.revision))
    if chosen.table:
        found = versions.described(DoltConfig(chosen.db, chosen.table), commits)
        return Answer(
            "\n\n".join(_commit_text(each.commit, each) for each in found), [_version(each) for each in found]
        )
    return Answer("\n\n".join(map(_commit_text, commits)), [_commit(commit) for commit in commits])


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
    after = chosen.after or refs.resolve(refs.locate(chosen.db), None)
    names = [chosen.table] if chosen.table else diffs.changed_tables(chosen.before, after, db_path=chosen.db)
    found = [diffs.diff(chosen.before, after, table=name, db_path=chosen.db, limit=chosen.limit) for name in names]
    return Answer("\n\n".join(map(_diff_text, found)) or "nothing differs", [_diff_plain(each) for each in found])


def _diff_text(found: TableDiff) -> str:
    lines = [visible(str(found), lines=False)]
    if found.rows is not None and len(found.rows):
        lines.append(visible(found.rows.to_string(index=False, na_rep="NULL", max_colwidth=60)))
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
    start = chosen.revision or refs.resolve(refs.locate(chosen.db), None)
    found = lineages.lineage(start, db_path=chosen.db, direction=chosen.direction, repositories=chosen.repositories)
    return Answer(str(found), found.to_dict())


def _versions(chosen: argparse.Namespace) -> Answer:
    policy = SerialBranch(chosen.branch) if chosen.branch else None
    config = DoltConfig(chosen.db, chosen.table, branch_conf=policy)
    commits = [table.commit for table in versions.versions(config, last=chosen.last) if table.commit is not None]
    found = versions.described(config, commits)
    return Answer("\n".join(map(_version_text, found)), [_version(each) for each in found])


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
    return {table: side for table, _, side in named} or None
