"""Merging a branch into another: three-way, whole or not at all, after the checks that somebody wants to pass first.

A merge is work like any other to `publishing.write`: it happens on a scratch branch at the target's head, and the
target is moved to its commit, under the same lock, refusals and retries. A conflict is therefore found where it harms
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from ...doltdb.fields import described
from ..errors import (
    ChecksFailed,
    DoltError,
    MergeConflict,
    QueryFailed,
    ShiftExceeded,
    UncommittedChanges,
    attempted,
    attempting,
)
from ..model import provenance, runtime
from ..model.audits import Audit, Outcome
from ..model.configs import Commit, MergeBranch, NewBranch, SerialBranch
from ..model.location import Location, refuses_passwords
from ..model.sql_text import quote
from ..repository import active_content, refs, remotes, table_names
from ..repository.clones import CloneSource
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from ..repository.scratch_branches import Scratch
from ..tables import reading
from . import conflicts, integrity, note_merging, publishing, pushing, revisions
from .conflicts import Conflict
from .gates import Gates, Measured
from .note_merging import MergeSides
from .publishing import WriteJob, WriteResult
from .resolving import Resolution, Strategy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Check", "Conflict", "DoltTests", "Strategy", "merge"]

_MERGED = "in what is merged"


@described
@dataclass(frozen=True)
class DoltTests:
    """The tests that the repository's own table ``dolt_tests`` holds, as a check."""

    group: str = "*"
    """The group of tests, or the name of one; ``*`` is all. Example: ``DoltTests("prices")``."""


Query: TypeAlias = "Callable[[str], pd.DataFrame]"
"""What a check in Python gets: it runs one SQL query on the merged result and returns its rows."""

Check: TypeAlias = str | DoltTests | Callable[[Query], object]
"""A query for rows that are wrong (it passes when there are none), `DoltTests`, or a function that returns whether all
is well, given a function that runs a query on the merged result."""


@refuses_passwords
def merge(
    branch: str,
    *,
    db_path: Where,
    into: str | None = None,
    checks: Mapping[str, Check] | Sequence[Check] | Check = (),
    max_shift: Mapping[str, float] | None = None,
    max_missing: Mapping[str, float] | None = None,
    sample: int | None = None,
    message: str | None = None,
    strategy: Strategy | Mapping[str, Strategy] | None = None,
    resolve: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
) -> Commit:
    """Merge ``branch`` into another if the checks pass on the result, and return the commit that holds it.

    It makes one merge commit, whose first parent is the head of ``into``. Where ``branch`` is merged already nothing is
    done. ``branch`` itself stays as it is, whatever happens.

    Args:
        branch: the branch to merge, also a tag, a hash or another revision.
        db_path: folder or server of the repository, or a config of a table there, which brings the server's secret. On
            a remote it is done in a clone and pushed, once more on the new head where another push was faster.
        into: the branch to merge into; None is the one that is checked out, of a remote its default one.
        checks: what has to hold: one check, or several by name or in a list.
        max_shift: how far columns may move from what ``into`` has, as ``{"price": 0.2}``; see `Gates`.
        max_missing: which share of rows may have no value, by column.
        sample: of tables with more rows about as many are drawn for ``max_shift``, unless that leaves open whether a
            bound holds; None compares all.
        message: first line of the commit message.
        strategy: what conflicting rows become: what ``ours`` (``into``) or ``theirs`` (``branch``) has, in all tables
            or by table. Rows that are not in conflict are merged as without it.
        resolve: the conflicting rows as they shall be, by table, or one frame where one table has conflicts: the key's
            columns and all others of the table but generated ones, in any order. A row whose ``diff_type`` is
            ``removed`` is deleted. ``base_``, ``our_`` and ``their_`` columns of `Conflict.frame` may be there too:
            then they have to be what is in conflict now.

    Raises:
        ChecksFailed, ShiftExceeded: a check did not pass, or a bound does not hold; nothing was merged.
        MergeConflict: both sides have changed the same, which nothing resolves, or the result would break a constraint;
            nothing was merged.
        InvalidConfig, SchemaMismatch, UnsupportedFrame: ``strategy``, ``resolve`` or a bound does not fit the tables.
        UncommittedChanges: the user's own work on ``into`` stands in the way.
        BranchNotFound, RevisionNotFound: there is no such branch.
    """
    gates, resolution = Gates.asked(max_shift, max_missing, sample), Resolution.asked(strategy, resolve)
    origin = remotes.origin_to_push(db_path)
    first = message or f"Merge {branch} into {into or 'the checked-out branch'}"
    first = provenance.compose(first, provenance.Provenance())
    with runtime.current().retryable():
        place = remotes.location_to_read(db_path)
        with connect(place) as connection:
            source = revisions.resolve(connection, branch)
        return _merged(
            place, source, branch, into, message=first, checks=checks, gates=gates, resolution=resolution, origin=origin
        ).commit


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
    checks: Mapping[str, Check] | Sequence[Check] | Check = (),
    gates: Gates | None = None,
    table: str | None = None,
    resolution: Resolution | None = None,
    origin: CloneSource | None = None,
) -> WriteResult:
    """Merge a commit into a branch at a place, which is a clone where there is an ``origin`` to push to."""

    def work(connection: Connection) -> None:
        merge_here(connection, source.hash, branch, target, resolution)
        _refuse_dirty(connection, branch, target)
        if checks or (gates and gates.names):
            connection.execute("COMMIT")  # others, such as the checks, see it now
            _run_checks(connection, branch, target, _named(checks), gates or Gates(), _rules(connection, source))

    default = None if origin is None else origin.remote.branch
    with connect(place) as connection:
        target = str(refs.head_of(connection, SerialBranch(into or default)).branch)
    what = table or f"(merge of {branch})"
    statements = publishing.Statements(kinds=(), tables="any")
    job = WriteJob(what, message, work, statements)
    if origin is not None:
        return pushing.publish(origin, SerialBranch(target), job)
    return publishing.write(place, SerialBranch(target), job)


def merge_here(
    connection: Connection,
    source: str,
    branch: str,
    target: str,
    resolution: Resolution | None = None,
    *,
    squash: bool = False,
) -> None:
    """Merge a commit where the connection is, without a commit; leave no trace of a merge that fails.

    With ``squash`` the commit that follows has no second parent.
    """
    with attempting(f"merge branch {branch!r} into {target!r}"):
        sides = MergeSides.of(connection, source)
        if sides.is_merged:
            return
        resolution = (resolution or Resolution()).spelled(connection, sides)
        found = conflicts.trapped(connection, sides)
        if found:
            _refuse(found, branch, target, _TRAP if found[0].kind == "rows" else None)
        connection.execute("START TRANSACTION")
        before = table_names.doubles(connection)
        try:
            found = _merge_three_ways(connection, sides, squash=squash)
            settled = resolution.settle(connection, found)
            if settled.left:
                _refuse([*settled.left, *_conflicting_notes(connection, sides, put=False)], branch, target)
            problems = _problems(connection, sides, before)
            if problems:
                _refuse(problems, branch, target)
            if found:  # else Dolt has held all rows against all constraints
                settled.put(connection)
                broken = integrity.broken_constraints(connection)
                if broken:
                    _refuse(broken, branch, target)
        except MergeConflict as error:
            connection.execute("ROLLBACK")
            error.branch, error.into = branch, target
            raise


def _doubled(connection: Connection, before: Collection[tuple[str, ...]]) -> Iterator[Conflict]:
    """Give the tables that the sides have under names that differ in case only: Dolt would open any of them."""
    for names in table_names.doubles(connection):
        if names in before:
            continue
        described = f"there would be {' and '.join(map(repr, names))}, which Dolt does not tell apart"
        yield Conflict(names[0], "schema", len(names), description=described)


_TRAP = (
    "Dolt cannot merge conflicts in a table with stored generated columns: make these rows the same on both sides, and "
    "merge again."
)


def _refuse(found: Sequence[Conflict], branch: str, target: str, advice: str | None = None) -> NoReturn:
    raise MergeConflict(
        f"Cannot {attempted()}: {'; '.join(map(str, found))}. Both branches are as they were. "
        f"{advice or conflicts.advice(found)}",
        branch=branch,
        into=target,
        conflicts=tuple(found),
    )


def _merge_three_ways(connection: Connection, sides: MergeSides, *, squash: bool) -> list[Conflict]:
    """Have Dolt merge, and return what it says stands against it."""
    kind = "--squash" if squash else "--no-ff"
    try:
        rows = connection.query("CALL DOLT_MERGE(%s, '--no-commit', %s)", kind, sides.theirs)
    except QueryFailed as error:
        return [conflicts.of_refusal(error.server_message, sides)]
    if not rows[0][2]:
        return []
    return list(conflicts.of_merge(connection, sides)) or [Conflict("?", "schema", 1, description=str(rows[0][3]))]


def _problems(connection: Connection, sides: MergeSides, doubles: Collection[tuple[str, ...]]) -> list[Conflict]:
    """Bring notes and counters of the merged tables together, and return what cannot be or cannot be used.

    ``doubles`` are the names that differ in case only and were there before.
    """
    tables = integrity.changed_tables(connection)
    problems = [*_doubled(connection, doubles)] or integrity.undescribable(connection, tables)
    problems = problems or list(conflicts.of_lost_constraints(connection, tables, sides))
    problems = problems or _conflicting_notes(connection, sides, put=True)
    if not problems:
        integrity.count_on(connection, tables)
    return problems


def _conflicting_notes(connection: Connection, sides: MergeSides, *, put: bool) -> list[Conflict]:
    """Return the tables whose notes cannot be brought together."""
    found: dict[str, list[str]] = {}
    for table, problem in note_merging.merge_notes(connection, sides, put=put):
        found.setdefault(table, []).append(problem)
    return [Conflict(t, "schema", len(said), description="; ".join(said)) for t, said in found.items()]


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


def _named(checks: Mapping[str, Check] | Sequence[Check] | Check) -> dict[str, Check]:
    if isinstance(checks, Mapping):
        return dict(checks)
    listed = checks if isinstance(checks, Iterable) and not isinstance(checks, str) else [checks]
    return {_name(check): check for check in listed}


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
    connection: Connection,
    branch: str,
    target: str,
    checks: Mapping[str, Check],
    gates: Gates,
    rules: Sequence[active_content.Rule],
) -> None:
    """Run all checks on the merged result, look at all bounds, have that shown, and raise with all that failed."""
    with attempting(f"merge branch {branch!r} into {target!r}"):
        measured = gates.measured(connection, rules, where=_MERGED)
    found = {name: _finding(connection, name, check, rules) for name, check in checks.items()}
    outcomes = [one for finding in found.values() for one in finding.outcomes]
    outcomes += [Outcome(*bound.in_words(name)) for name, bound in measured.bounds.items()]
    runtime.current().show_audit(Audit(branch, target, outcomes, measured.shifts))
    failed = {name: finding.reason for name, finding in found.items() if finding.reason is not None}
    failed |= {name: str(exceeded) for name, exceeded in measured.exceeded.items()}
    if failed:
        _refuse_failed(branch, target, failed, measured, of=len(checks) + len(gates.names))


def _refuse_failed(branch: str, target: str, failed: Mapping[str, str], measured: Measured, *, of: int) -> NoReturn:
    reasons = "; ".join(f"{name!r}: {reason}" for name, reason in failed.items())
    error = (ShiftExceeded if measured.exceeded else ChecksFailed)(
        f"Cannot merge branch {branch!r} into {target!r}: {len(failed)} of {of} checks did not pass. {reasons}. The "
        "branch is kept for inspection.",
        branch=branch,
        into=target,
        failed=failed,
    )
    if isinstance(error, ShiftExceeded):
        error.exceeded = tuple(measured.exceeded.values())
    raise error


@dataclass(frozen=True)
class _Finding:
    """What one check has found, and why it did not pass; of the tests of a repository there are many outcomes."""

    outcomes: Sequence[Outcome]
    reason: str | None


def _finding(connection: Connection, name: str, check: Check, rules: Sequence[active_content.Rule]) -> _Finding:
    if isinstance(check, DoltTests):
        return _tested(connection, check, rules)
    if isinstance(check, str):
        wrong = _rows(connection, check, rules)
        reason = f"found {len(wrong)} rows, first {wrong.iloc[0].to_dict()!r}" if len(wrong) else None
        return _Finding([Outcome(name, "rows of a query", f"{len(wrong):,} rows", "0 rows", reason is None)], reason)
    reason = _called(connection, check, rules)
    return _Finding([Outcome(name, "a function", reason or "passed", "not False, no error", reason is None)], reason)


def _tested(connection: Connection, check: DoltTests, rules: Sequence[active_content.Rule]) -> _Finding:
    """Run tests of the repository, each of which has an outcome."""
    query = (
        "SELECT ran.test_name, status, message, assertion_type, assertion_comparator, assertion_value "
        "FROM DOLT_TEST_RUN(%s) ran LEFT JOIN dolt_tests kept ON kept.test_name = ran.test_name"
    )
    with attempting(f"run the tests {check.group!r} of the repository"):
        active_content.refuse_query(connection, rules, None, where=_MERGED)
        rows = connection.query(query, check.group)
    outcomes = [
        Outcome(str(name), "test of the repository", str(message or "as expected"), _bound(*kept), status == "PASS")
        for name, status, message, *kept in rows
    ]
    failed = [f"{name}: {message}" for name, status, message, *_ in rows if status != "PASS"]
    return _Finding(outcomes, "; ".join(failed) or None)


def _bound(*kept: object) -> str:
    return " ".join(str(part) for part in kept if part is not None)


def _called(
    connection: Connection, check: Callable[[Query], object], rules: Sequence[active_content.Rule]
) -> str | None:
    """Return why a check in Python did not pass, or None."""
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
