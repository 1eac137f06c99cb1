"""Merging a branch into another: three-way, whole or not at all, after the checks that somebody wants to pass first.

A merge is work like any other to `publishing.write`: it happens on a scratch branch at the target's head, and the
target is moved to its commit, under the same lock, refusals and retries. A conflict is therefore found where it harms
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ...doltdb.redaction import visible
from ..errors import ChecksFailed, DoltError, MergeConflict, UncommittedChanges, attempted, attempting
from ..model import provenance, runtime
from ..model.configs import Commit, MergeBranch, NewBranch, SerialBranch
from ..model.location import Location, refuses_passwords
from ..model.sql_text import quote
from ..repository import active_content, refs, remotes, table_names
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from ..repository.scratch_branches import Scratch
from ..tables import reading
from . import note_merging, publishing, revisions
from .publishing import WriteJob, WriteResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Check", "Conflict", "DoltTests", "merge"]

_MERGED = "in what is merged"

SHOWN = 5
"""How many conflicting rows of a table an error carries."""


@dataclass(frozen=True)
class DoltTests:
    """The tests that the repository's own table ``dolt_tests`` holds, as a check."""

    group: str = "*"
    """The group of tests, or the name of one; ``*`` is all."""


Query: TypeAlias = "Callable[[str], pd.DataFrame]"
"""What a check in Python gets: it runs one SQL query on the merged result and returns its rows."""

Check: TypeAlias = str | DoltTests | Callable[[Query], object]
"""A query for rows that are wrong (it passes when there are none), `DoltTests`, or a function that returns whether all
is well, given a function that runs a query on the merged result."""


@dataclass(frozen=True)
class Conflict:
    """What stands against a merge in one table."""

    table: str
    kind: str
    """``rows``, ``schema`` or ``constraints``."""
    count: int
    """How many rows (or, for a schema, columns or keys) are in conflict."""
    rows: tuple[dict[str, dict[str, Any]], ...] = ()
    """The first of them, each with what ``base``, ``ours`` and ``theirs`` have; None values where a side has no row."""
    description: str = ""

    def __str__(self) -> str:
        said = f": {self.description}" if self.description else ""
        first = f", first {_row_text(self.rows[0])}" if self.rows else ""
        what = {"rows": "conflicting rows", "schema": "schema conflicts", "constraints": "rows that break a constraint"}
        return visible(f"table {self.table!r} has {self.count} {what[self.kind]}{said}{first}", lines=False)


def _row_text(row: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{side} {dict(values)!r}" for side, values in row.items())[:500]


@refuses_passwords
def merge(
    branch: str,
    *,
    db_path: Where,
    into: str | None = None,
    checks: Mapping[str, Check] | Sequence[Check] = (),
    message: str | None = None,
) -> Commit:
    """Merge ``branch`` into another if the checks pass on the result, and return the commit that holds it.

    It makes one merge commit, whose first parent is the head of ``into``. Where ``branch`` is merged already nothing is
    done. ``branch`` itself stays as it is, whatever happens.

    Args:
        branch: the branch to merge, also a tag, a hash or another revision.
        db_path: folder or server of the repository, or a config of a table there, which brings the server's secret.
        into: the branch to merge into; None is the one that is checked out.
        checks: what has to hold, by name or in a list.
        message: first line of the commit message.

    Raises:
        ChecksFailed: one or more checks did not pass; nothing was merged.
        MergeConflict: both sides have changed the same; nothing was merged.
        UncommittedChanges: the user's own work on ``into`` stands in the way.
        BranchNotFound, RevisionNotFound: there is no such branch.
    """
    place = remotes.named_location(db_path)
    first = message or f"Merge {branch} into {into or 'the checked-out branch'}"
    first = provenance.compose(first, provenance.Provenance())
    with runtime.current().retryable():
        with connect(place) as connection:
            source = revisions.resolve(connection, branch)
        return _merged(place, source, branch, into, message=first, checks=_named(checks)).commit


def write(place: Location, policy: MergeBranch, job: WriteJob, *, base: str | None = None) -> WriteResult:
    """Write on the branch of ``policy`` and merge the result into its ``into``; see `publishing.write`.

    A missing branch starts at the commit ``base``; None is the head of ``into``.

    Raises:
        MergeConflict: the result does not merge; both branches are as they were.
    """

    def try_it(connection: Connection, commit: str) -> None:
        into = refs.head_of(connection, SerialBranch(policy.into))
        with Scratch(connection, into.hash):
            merge_here(connection, commit, policy.branch, str(into.branch))

    on_branch = NewBranch(policy.branch, base=base or policy.into)
    written = publishing.write(place, on_branch, replace(job, before_publishing=try_it))
    table = written.table or job.table
    message = provenance.respelt(job.message, job.table, table)
    first = f"Merge {policy.branch} into {policy.into or 'the checked-out branch'}\n\n{message}"
    merged = _merged(place, written.commit, policy.branch, policy.into, message=first, table=table)
    return WriteResult(merged.commit, changed=written.changed or merged.changed, table=written.table)


def _merged(
    place: Location,
    source: Commit,
    branch: str,
    into: str | None,
    *,
    message: str,
    checks: Mapping[str, Check] | None = None,
    table: str | None = None,
) -> WriteResult:
    def work(connection: Connection) -> None:
        merge_here(connection, source.hash, branch, target)
        _refuse_dirty(connection, branch, target)
        if checks:
            connection.execute("COMMIT")  # others, such as the checks, see it now
            _run_checks(connection, branch, target, checks, _rules(connection, source))

    with connect(place) as connection:
        target = str(refs.head_of(connection, SerialBranch(into)).branch)
    what = table or f"(merge of {branch})"
    statements = publishing.Statements(kinds=(), tables="any")
    return publishing.write(place, SerialBranch(target), WriteJob(what, message, work, statements))


def merge_here(connection: Connection, source: str, branch: str, target: str, *, squash: bool = False) -> None:
    """Merge a commit where the connection is, without a commit; leave no trace of a merge that fails.

    With ``squash`` the commit that follows has no second parent.
    """
    with attempting(f"merge branch {branch!r} into {target!r}"):
        connection.execute("START TRANSACTION")
        ((ours,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
        before = table_names.doubles(connection)
        kind = "--squash" if squash else "--no-ff"
        rows = connection.query("CALL DOLT_MERGE(%s, '--no-commit', %s)", kind, source)
        if rows[0][2]:
            conflicts = tuple(_conflicts(connection))
            said = "; ".join(map(str, conflicts)) or str(rows[0][3])
        else:
            conflicts = (*_doubled(connection, before), *_conflicting_notes(connection, str(ours), source))
            said = "; ".join(map(str, conflicts))
        if said:
            connection.execute("ROLLBACK")
            raise MergeConflict(
                f"Cannot {attempted()}: {said}. Both branches are as they were. Merge by hand, or change one side and "
                "merge again.",
                branch=branch,
                into=target,
                conflicts=conflicts,
            )


def _doubled(connection: Connection, before: Collection[tuple[str, ...]]) -> Iterator[Conflict]:
    """Give the tables that the sides have under names that differ in case only: Dolt would open any of them."""
    for names in table_names.doubles(connection):
        if names in before:
            continue
        described = f"there would be {' and '.join(map(repr, names))}, which Dolt does not tell apart"
        yield Conflict(names[0], "schema", len(names), description=described)


def _conflicting_notes(connection: Connection, ours: str, theirs: str) -> Iterator[Conflict]:
    """Bring the notes of the merged tables together, and give what cannot be."""
    found: dict[str, list[str]] = {}
    for table, problem in note_merging.merge_notes(connection, ours, theirs):
        found.setdefault(table, []).append(problem)
    for table, problems in found.items():
        yield Conflict(table, "schema", len(problems), description="; ".join(problems))


def _conflicts(connection: Connection) -> Iterator[Conflict]:
    for name, description in connection.query("SELECT table_name, description FROM dolt_schema_conflicts"):
        yield Conflict(str(name), "schema", 1, description=str(description))
    for name, count in connection.query("SELECT `table`, num_conflicts FROM dolt_conflicts"):
        if count:
            yield Conflict(str(name), "rows", int(count), tuple(_conflicting_rows(connection, str(name))))
    for name, count in connection.query("SELECT `table`, num_violations FROM dolt_constraint_violations"):
        system = quote(f"dolt_constraint_violations_{name}")
        rows = _dicts(connection, f"SELECT * FROM {system} LIMIT {SHOWN}")
        plain = [{k: v for k, v in row.items() if k not in ("from_root_ish", "violation_info")} for row in rows]
        kinds = sorted({str(row["violation_type"]) for row in rows})
        yield Conflict(str(name), "constraints", int(count), tuple({"theirs": row} for row in plain), ", ".join(kinds))


def _conflicting_rows(connection: Connection, table: str) -> Iterator[dict[str, dict[str, Any]]]:
    system = quote(f"dolt_conflicts_{table}")
    ours = {"our_diff_type", "our_cardinality", "their_diff_type", "their_cardinality", "base_cardinality"}
    for row in _dicts(connection, f"SELECT * FROM {system} LIMIT {SHOWN}"):
        yield {
            side: {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix) and k not in ours}
            for side, prefix in (("base", "base_"), ("ours", "our_"), ("theirs", "their_"))
        }


def _dicts(connection: Connection, statement: str) -> list[dict[str, Any]]:
    names = [found.name for found in connection.describe(statement)]
    return [dict(zip(names, row, strict=True)) for row in connection.query(statement)]


def _refuse_dirty(connection: Connection, branch: str, target: str) -> None:
    """Raise if a table that the merge changes has uncommitted changes on the target branch."""
    place = quote(f"{connection.database}/{target}")
    touched = {str(name).casefold() for (name,) in connection.query("SELECT table_name FROM dolt_status")}
    dirty = {str(name) for (name,) in connection.query(f"SELECT table_name FROM {place}.dolt_status")}
    in_the_way = sorted(name for name in dirty if name.casefold() in touched)
    if in_the_way:
        raise UncommittedChanges(
            f"Cannot merge branch {branch!r} into {target!r}: it has uncommitted changes of yours in "
            f"{', '.join(map(repr, in_the_way))}, which would be lost or mixed in. Commit or reset them first.",
            branch=target,
            tables=in_the_way,
        )


# -------------------------------------------------------------------------------------------------------------- checks


def _named(checks: Mapping[str, Check] | Sequence[Check]) -> dict[str, Check]:
    if isinstance(checks, Mapping):
        return dict(checks)
    return {_name(check): check for check in checks}


def _name(check: Check) -> str:
    if isinstance(check, DoltTests):
        return f"dolt_tests {check.group}"
    return check if isinstance(check, str) else str(getattr(check, "__name__", repr(check)))


def _rules(connection: Connection, source: Commit) -> tuple[active_content.Rule, ...]:
    """Return the names that lead elsewhere on either side of a merge that is on this scratch branch."""
    ((start,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
    found: list[active_content.Rule] = []
    for commit in (str(start), source.hash):
        found += active_content.rules_at(connection, commit)
    return tuple(found)


def _run_checks(
    connection: Connection, branch: str, target: str, checks: Mapping[str, Check], rules: Sequence[active_content.Rule]
) -> None:
    """Run all checks on the merged result, and raise with all that did not pass."""
    found = {name: _failure(connection, check, rules) for name, check in checks.items()}
    failed = {name: reason for name, reason in found.items() if reason is not None}
    if failed:
        reasons = "; ".join(f"{name!r} {reason}" for name, reason in failed.items())
        raise ChecksFailed(
            f"Cannot merge branch {branch!r} into {target!r}: {len(failed)} of {len(checks)} checks did not pass, "
            f"{reasons}. The branch is kept for inspection.",
            branch=branch,
            into=target,
            failed=failed,
        )


def _failure(connection: Connection, check: Check, rules: Sequence[active_content.Rule]) -> str | None:
    """Return why a check did not pass, or None."""
    if isinstance(check, DoltTests):
        query = "SELECT test_name, message FROM DOLT_TEST_RUN(%s) WHERE status <> 'PASS'"
        with attempting(f"run the tests {check.group!r} of the repository"):
            active_content.refuse_query(connection, rules, None, where=_MERGED)
            rows = connection.query(query, check.group)
            return "; ".join(f"{name}: {message}" for name, message in rows) or None
    if isinstance(check, str):
        wrong = _rows(connection, check, rules)
        return f"found {len(wrong)} rows, first {wrong.iloc[0].to_dict()!r}" if len(wrong) else None
    try:
        passed = check(lambda sql: _rows(connection, sql, rules))
    except AssertionError as error:
        return f"failed: {error}" if str(error) else "failed"
    except DoltError as error:
        return f"could not be run: {error}"
    return None if passed is None or bool(passed) else "returned False"


def _rows(connection: Connection, sql: str, rules: Sequence[active_content.Rule]) -> pd.DataFrame:
    """Return the rows of a check's query, which may do nothing but read: what it wrote would be merged as well."""
    from ..query import validation  # here, because it loads a parser, which only queries need

    query = validation.parse(sql, database=connection.database)
    read = None if query.references else validation.plain_tables(sql, own=_MERGED, commit=_MERGED)
    with attempting(f"run the query {sql!r}"):
        active_content.refuse_query(connection, rules, read, where=_MERGED)
        # What moves may move: a check compares with what other branches are now.
        return reading.query(connection, query.pinned([sql[at.start : at.end] for at in query.references])).to_frame()
