"""The one way in which anything is ever written.

`write` does work on a scratch branch that starts at the target's head, commits it there, and moves the target forward
to that very commit; where rows are all that changes, the commit is made without a branch. Nothing is checked out, so
what the user has in the working set stays; nobody sees half a table; and when another writer was faster the work is
done again on the new head, so that the result is always that of one writer after the other. The work is rows for a
table (`tables.writing.TableWrite`), a merge or a table put back.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

from ..errors import (
    BranchNotFound,
    ConnectionLost,
    DoltError,
    HeadMoved,
    InvalidConfig,
    OutcomeUnknown,
    QueryFailed,
    RevisionNotFound,
    TableNotFound,
    UncommittedChanges,
    WriteNotVerified,
    attempted,
    attempting,
)
from ..model import provenance
from ..model.configs import Branch, Commit, MergeBranch, NewBranch
from ..model.location import Location
from ..model.sql_text import literal, quote
from ..repository import active_content, branch_locks, hosts, scratch_branches, table_names
from ..repository.connections import ACTIVE_BRANCH, Connection, Panics, connect
from ..repository.refs import branch_of, find_head, heads, is_free, no_branch, refuse_double
from ..repository.rows_commits import NeedsBranch, RowsCommit, fast_forward
from ..repository.scratch_branches import Scratch
from ..tables import native, reading
from ..tables.writing import STATEMENTS
from . import revisions, tagging

MAX_ATTEMPTS = 20
"""How often work is done again because the head moved, before giving up."""

MAX_LOST = 4
"""How often work is done again because the server went away, before giving up."""

LOOK_BACK = 10_000
"""How many commits of a branch are searched for the key of a write; 1,000 of them cost about 4 ms."""

KEY_TRAILER = "Flyte-Write-Key"
"""The line of a commit message that names the write; what is written again under the same key is not written twice."""


Work = Callable[[Connection], "int | None"]
"""What is done on a scratch branch; it returns how many rows its table has to have then, or None if it cannot say."""


@dataclass(frozen=True)
class Statements:
    """How work puts rows into its table."""

    kinds: Collection[str] = STATEMENTS
    """Which of `STATEMENTS` it sends; none is sent where Dolt takes whole tables from another commit."""
    triggers: Literal["refuse", "run"] = "refuse"
    """What happens where they would start triggers of the table."""
    tables: Literal["one", "any"] = "one"
    """What may differ afterwards: the ``one`` table, or ``any``."""

    @property
    def are_alone(self) -> bool:
        """Whether nothing but them changes anything."""
        return self.tables == "one" and self.triggers == "refuse"


@dataclass(frozen=True)
class WriteJob:
    """What is written, with everything that each attempt needs."""

    table: str
    """The table that changes; or words about what does, where that is more than one."""
    message: str
    work: Work
    """It gets a connection on the scratch branch, or on the commit that the write starts from where the job
    `puts_rows`, and may be called again when the head has moved or the server went away. It changes `table` only and
    keeps nothing of the connection."""
    statements: Statements = Statements()
    puts_rows: bool = False
    """Whether the work may do nothing but put rows into the table, which needs no branch to be done on. Where it turns
    out to do more it is called once again, on one."""
    key: str | None = None
    """What names the write: one that the branch's newest `LOOK_BACK` commits have is not done again. Without a key each
    call is a write of its own."""
    tag: str | None = None
    """The tag that the commit is going to have, which no other commit may have yet."""
    lock_timeout_s: float = branch_locks.TIMEOUT_S
    before_publishing: Callable[[Connection, str], None] | None = None
    """Called with the commit that is about to be published, and stops that by raising."""
    is_done_again: bool = False
    """Whether it is done for the second time, as what the server had said was not there; that nothing differs is then
    taken for the truth."""

    @property
    def task(self) -> str | None:
        """Return the execution that the message names, for those who wait for this writer."""
        found = re.search(r"^Flyte-Execution: (.+)$", self.message, re.MULTILINE)
        return found[1] if found else None


@dataclass(frozen=True)
class WriteResult:
    """What `write` did."""

    commit: Commit
    """The commit that holds the result: a new one, or the head as it was when nothing changed."""
    changed: bool
    table: str | None = field(default=None, compare=False)
    """As what the table is stored; None where that was not asked."""


def write(repository: Location, policy: Branch | None, job: WriteJob) -> WriteResult:
    """Do the job on a scratch branch, and move the branch of ``policy`` forward to one commit with its changes.

    The author is the repository's or the user's Dolt identity. Before the commit is published it is held against what
    was written.

    Raises:
        BranchNotFound: the branch (or the base of a new one) does not exist.
        UncommittedChanges: the user's work on the target branch stands in the way; nothing was changed.
        RepositoryBusy: another writer held the branch for the job's ``lock_timeout_s`` seconds.
        TableRedirected, TriggersRefused: the rows would land elsewhere, or start triggers; nothing was written.
        WriteNotVerified: the commit is not just what was written; it was not published.
        TagExists: another commit has the job's tag.
        HeadMoved: other writers, which do not use this package's lock, won `MAX_ATTEMPTS` times in a row.
        ConnectionLost: the server went away `MAX_LOST` times before the branch was moved.
        ServerFailed: the work makes the server panic, and did so again when nothing else used it.
        OutcomeUnknown: the server went away while the branch was being moved, and does not come back to say whether it
            was.
    """
    if job.key is not None:
        job = replace(job, message=_with_key(job.message, job.key))
    author = hosts.author_of(repository)
    panics = Panics()
    for lost in range(1, MAX_LOST + 1):
        try:
            with panics.noticed(), connect(repository, asks=_first_question(policy)) as connection:
                return _write(connection, repository, policy, job, author)
        except OutcomeUnknown as unknown:
            if _is_published(repository, unknown, job.lock_timeout_s):
                return WriteResult(Commit(unknown.commit, branch=unknown.branch), changed=True)
            fault = ConnectionLost(
                f"Cannot publish table {job.table!r} on branch {unknown.branch!r}: the server went away before it "
                "moved it. Try again."
            )
            fault.__cause__ = unknown
            panics.refuse(fault)
        except ConnectionLost as error:
            fault = error
        if lost < MAX_LOST:
            time.sleep(random.uniform(0.02, 0.1 * 2**lost))  # noqa: S311  # jitter, no secret
    raise fault


def differs(
    repository: Location, commit: Commit, *, table: str, work: Work, statements: Statements = Statements()
) -> bool:
    """Whether ``work``, done on ``commit``, would change anything; nothing is kept of it.

    Raises:
        TableRedirected, TriggersRefused: it would be done elsewhere, or start triggers.
        InvalidConfig: it is a view.
    """
    with attempting(f"compare with commit {commit.hash}"):
        with connect(repository) as connection, Scratch(connection, commit.hash):
            table_names.find_table(connection, table, commit=commit.hash)
            _refuse_what_is_obeyed(connection, commit.hash, table, statements)
            work(connection)
            connection.execute("CALL DOLT_ADD('-A', '--force')")
            return bool(connection.query("SELECT 1 FROM dolt_status LIMIT 1"))


@dataclass(frozen=True)
class _Target:
    branch: str
    is_made: bool = False
    """Whether a branch that is missing is made."""
    base: str | None = None
    """Where a missing branch starts; None is at the head of the one that the repository has checked out."""


def _first_question(policy: Branch | None) -> str | None:
    """Return what `_target` asks, if anything."""
    is_named = isinstance(policy, (MergeBranch, NewBranch)) or branch_of(policy) is not None
    return None if is_named else ACTIVE_BRANCH


def _target(connection: Connection, policy: Branch | None) -> _Target:
    branch = branch_of(policy)
    if isinstance(policy, MergeBranch):
        return _Target(policy.branch, is_made=True, base=branch)
    if isinstance(policy, NewBranch):
        return _Target(policy.branch, is_made=True, base=policy.base)
    return _Target(branch or connection.active_branch())


# By connection: a new one may mean that the server was started again, and that our own scratch branch is left there.
_swept_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()


def _write(
    connection: Connection, repository: Location, policy: Branch | None, job: WriteJob, author: str
) -> WriteResult:
    """Do the job on one connection, under the lock of its branch, again and again while others move the branch."""
    target = _target(connection, policy)
    _sweep_when_due(connection)
    with branch_locks.held(connection, target.branch, timeout_s=job.lock_timeout_s, place=repository):
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 5)))  # noqa: S311  # jitter, no secret
            try:
                return _write_for_sure(connection, target, job, author)
            except HeadMoved:
                continue
    raise HeadMoved(
        f"Cannot commit table {job.table!r} to branch {target.branch!r}: the branch moved under each of {MAX_ATTEMPTS} "
        "attempts. Somebody writes to it without pause; give the task a NewBranch(...) of its own.",
        branch=target.branch,
        attempts=MAX_ATTEMPTS,
    )


def _sweep_when_due(connection: Connection) -> None:
    """Remove what killed writers left, at the first write of a connection and then now and then.

    Not each time, because the server goes through all branches to answer.
    """
    last = _swept_at.get(connection)
    if (
        last is None
        or time.monotonic() - last > scratch_branches.LOOK_EVERY_S
        or scratch_branches.has_old_marks(connection)
    ):
        with suppress(DoltError):  # not what the caller asked for
            scratch_branches.sweep(connection)
        _swept_at[connection] = time.monotonic()


def start_of(connection: Connection, policy: Branch | None) -> str:
    """Return the commit that a write with ``policy`` starts from now.

    Raises:
        BranchNotFound: the branch (or the base of a new one) does not exist.
    """
    target = _target(connection, policy)
    return find_head(connection, target.branch) or _start(connection, target)


def _write_for_sure(connection: Connection, target: _Target, job: WriteJob, author: str) -> WriteResult:
    """Do the job, and once more where the server may have forgotten some of it, though it said that it was done.

    So it may be with Dolt 1.83 while somebody renames or deletes a branch: to see that nobody is on that it looks into
    all sessions, and one that just begins a transaction may go on with what the other sees.
    """
    connection.said_changed = False
    try:
        return _write_once(connection, target, job, author)
    except (TableNotFound, WriteNotVerified):
        return _write_once(connection, target, replace(job, is_done_again=True), author)


def _write_once(connection: Connection, target: _Target, job: WriteJob, author: str) -> WriteResult:
    with _on(connection, target.branch, key=job.key, may_be_new=target.is_made) as state:
        if state is None:
            return _write_on_branch(connection, target.branch, _start(connection, target), job, author, makes=True)
        if state.written is not None:
            return WriteResult(Commit(state.written, branch=target.branch), changed=True)
        _refuse_early(connection, state, target.branch, job.table)
        if state.is_clean and _is_of_rows(connection, job):
            with suppress(NeedsBranch):
                return _write_rows(connection, target.branch, state.head, job, author)
        return _write_on_branch(connection, target.branch, state.head, job, author)


def _write_on_branch(
    connection: Connection, target: str, start: str, job: WriteJob, author: str, *, makes: bool = False
) -> WriteResult:
    """Do a job on a scratch branch, and move the branch ``target`` to its commit, or make it there."""
    with Scratch(connection, start, task=job.task, at_once=False) as branch:
        job = _respelt(connection, job, start)
        if job.statements.are_alone:
            connection.begins_as(start)
        _refuse_what_is_obeyed(connection, start, job.table, job.statements)
        rows = job.work(connection)
        if job.tag is not None:
            tagging.refuse_taken_tag(connection, job.tag)
        commit = commit_all(connection, job.message, author)
        if commit is None and connection.said_changed and not job.is_done_again:
            raise _not_verified(job, "nothing differs")
        _verify(connection, job, branch.name, start, commit, rows)
        if job.before_publishing is not None:
            job.before_publishing(connection, commit or start)
        if makes:
            _create(connection, target, start, commit or start)
        elif commit is not None:
            _fast_forward(connection, target, start, branch.name, commit, job.table)
    return WriteResult(Commit(commit or start, branch=target), changed=commit is not None, table=job.table)


def _is_of_rows(connection: Connection, job: WriteJob) -> bool:
    """Whether the job may need no branch to be done on."""
    may = job.puts_rows and job.statements.are_alone and job.before_publishing is None
    return may and native.unavailable(connection) is None


def _write_rows(connection: Connection, branch: str, start: str, job: WriteJob, author: str) -> WriteResult:
    """Do a job of rows alone: make the commit, which the server holds against ``start``, and move ``branch`` to it.

    Raises:
        NeedsBranch: it changes more than rows, or the user has something on ``branch``; nothing was changed.
        WriteNotVerified: the table does not have as many rows as it has to have.
    """
    with connection.at(start, at_once=False):  # the branch is moved from here, where the session is already
        with scratch_branches.announced(connection, job.task), RowsCommit(connection, start, author=author) as made:
            job = _respelt(connection, job, start)
            if table_names.find_table(connection, job.table, commit=start) is None:
                raise NeedsBranch("the table is to be made")
            made.message = job.message
            _refuse_what_is_obeyed(connection, start, job.table, job.statements)
            rows = job.work(connection)
            if job.tag is not None:
                tagging.refuse_taken_tag(connection, job.tag, changed=made.commit is not None)
        if not made.is_made:
            raise NeedsBranch("no rows were put")
        if rows != made.rows and None not in (rows, made.rows):
            raise _not_verified(job, f"the table has {made.rows} rows instead of {rows}")
        commit = made.commit
        if commit is not None:
            _know_ahead(connection, job, start, commit)
            reading.take_over(connection, start, commit, job.table)
            with attempting(f"publish table {job.table!r} on branch {branch!r}"):
                _move_rows(connection, branch, start, commit, job.table)
    return WriteResult(Commit(commit or start, branch=branch), changed=commit is not None, table=job.table)


def _move_rows(connection: Connection, branch: str, start: str, commit: str, table: str) -> None:
    """Move ``branch`` to a commit of rows. What fails says nothing of whether it was moved before."""
    try:
        fast_forward(connection, branch, start, commit)
    except ConnectionLost as error:
        raise _unknown(branch, start, commit, table) from error
    except QueryFailed as error:  # as where somebody has ended the statement
        unknown = _unknown(branch, start, commit, table)
        try:
            is_moved = _leads_to(connection, unknown)
        except DoltError:
            raise unknown from error
        if not is_moved:
            raise


def _respelt(connection: Connection, job: WriteJob, start: str) -> WriteJob:
    """Return the job with the name under which its table is stored at ``start``, where a new branch is just at.

    Raises:
        InvalidConfig: it is a view.
        InvalidName: there are two tables of that name, which differ in case only.
    """
    if job.statements.tables != "one":
        return job
    with attempting(f"write table {job.table!r}"):
        stored = table_names.find_table(connection, job.table, commit=start) or job.table
    if not job.statements.kinds:
        return job  # it is going to be what it is in another commit
    return replace(job, table=stored, message=provenance.respelt(job.message, job.table, stored))


def _refuse_what_is_obeyed(connection: Connection, start: str, table: str, statements: Statements) -> None:
    """Raise if the repository itself has it that rows for ``table`` land elsewhere, or start triggers."""
    # Files that are loaded start none, no matter who runs the server.
    silent = {"INSERT"} if connection.shared_folder() is not None else set()
    kinds = set(statements.kinds) - silent
    active_content.refuse_writing(connection, start, table, events=kinds, triggers=statements.triggers)


def _verify(
    connection: Connection, job: WriteJob, branch: str, start: str, commit: str | None, rows: int | None
) -> None:
    """Raise unless the scratch branch is one commit ahead of ``start``, with what was written and nothing else.

    Raises:
        WriteNotVerified: it is not.
    """
    found = _found(connection, job, branch, commit, rows)
    on, head, parent, is_whole, there, _ = found[0]
    changed = {str(row[-1]) for row in found if row[-1] is not None}
    wrong = None
    if on != branch or head != (commit or start) or parent != (start if commit else None):
        wrong = "the branch that it was written on was moved meanwhile, as triggers can do"
    elif not is_whole:
        wrong = "the commit does not hold all of it"
    elif others := sorted(changed - _of_the_table(job, start, changed)):
        wrong = f"{', '.join(map(repr, others))} differs, too"
    elif rows != there:
        wrong = f"the table has {there} rows instead of {rows}"
    if wrong is not None:
        raise _not_verified(job, wrong)
    if commit is not None:
        _look_ahead(connection, job, start, commit, changed)


def _not_verified(job: WriteJob, wrong: str) -> WriteNotVerified:
    return WriteNotVerified(
        f"Cannot publish table {job.table!r}: what was committed is not just what was written, {wrong}. Nothing was "
        f"published. Look at the repository's triggers, and at its table {active_content.RULES!r}.",
        table=job.table,
        found=wrong,
    )


def _found(
    connection: Connection, job: WriteJob, branch: str, commit: str | None, rows: int | None
) -> list[tuple[Any, ...]]:
    """Say where the connection is and what is there, with a row for each table that the commit has changed."""
    parent = "DOLT_HASHOF('HEAD^')" if commit is not None else "NULL"  # it is an error where there is none
    count = f"(SELECT COUNT(*) FROM {quote(job.table)})" if rows is not None else "NULL"
    on = "active_branch()"  # for which Dolt goes through all branches
    if job.statements.triggers == "refuse":  # nothing but our own statements says where the session is
        on = f"IF(DATABASE() = {literal(f'{connection.database}/{branch}')}, {literal(branch)}, {on})"
    told = f"{on}, DOLT_HASHOF('HEAD'), {parent}, DOLT_HASHOF_DB('HEAD') = DOLT_HASHOF_DB('WORKING'), {count}"
    if commit is None or not job.statements.are_alone:
        return connection.query(f"SELECT {told}, NULL")
    # An outer join, as Dolt leaves out a table whose key has changed. No bound value: a name may have a % in it.
    changed = f"(SELECT 1) one LEFT JOIN dolt_diff d ON d.commit_hash = {literal(commit)}"
    return connection.query(f"SELECT {told}, d.table_name FROM {changed}")


def _of_the_table(job: WriteJob, start: str, changed: set[str]) -> set[str]:
    """Return those of the changed tables that are what the work is on: triggers go with a table that is replaced.

    So do the tables in which Dolt keeps the words of the table's FULLTEXT indexes.
    """
    own = {job.table.casefold()} | ({"dolt_schemas"} if active_content.has_triggers(start, job.table) else set())
    words = re.compile(rf"dolt_{re.escape(job.table)}_(.*_)?fts_[a-z_]+", re.IGNORECASE | re.DOTALL)
    return {name for name in changed if name.casefold() in own or words.fullmatch(name)}


def _look_ahead(connection: Connection, job: WriteJob, start: str, commit: str, changed: set[str]) -> None:
    """Know what the new commit has the server obey, so that nobody has to ask, or refuse what triggers have put in."""
    if job.statements.triggers == "run":
        active_content.refuse_writing(connection, commit, job.table, events=(), triggers="run")
    elif job.statements.are_alone and "dolt_schemas" not in changed:
        _know_ahead(connection, job, start, commit)
        if connection.looks_as == start:
            reading.take_over(connection, start, commit, job.table)


def _know_ahead(connection: Connection, job: WriteJob, start: str, commit: str) -> None:
    """Know of the new commit what was asked of ``start``, from which it differs in the job's table alone."""
    active_content.take_over(start, commit)
    if job.statements.kinds:
        table_names.take_over(start, commit, job.table)


def _refuse_early(connection: Connection, state: BranchState, branch: str, table: str) -> None:
    """Refuse before the work; moving the branch asks again. What a killed server left half done is no user's work."""
    try:
        _refuse_if_in_the_way(state, branch, table)
    except UncommittedChanges:
        if scratch_branches.finish_move(connection, state.head):
            scratch_branches.sweep(connection)
        # The writer whose session was lost may finish it itself meanwhile; so it is looked at again in any case.
        _refuse_if_in_the_way(_state(connection, branch), branch, table)


def _start(connection: Connection, target: _Target) -> str:
    """Return the commit that a missing branch starts from."""
    if not target.is_made:
        raise no_branch(connection, target.branch, "write to")
    head = _head_of_base(connection, target)
    if not is_free(connection, target.branch):
        refuse_double(target.branch, heads(connection))
    return head


def _head_of_base(connection: Connection, target: _Target) -> str:
    """Return the commit that a missing branch's base names, a branch or another revision."""
    base = target.base
    if base is None:
        ((head,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")  # to name its branch, Dolt goes through all of them
        return str(head)
    found = find_head(connection, base)
    if found is not None:
        return found
    try:
        return revisions.resolve(connection, base).hash
    except RevisionNotFound as error:
        raise no_branch(connection, base, f"start {target.branch!r} from") from error


def _with_key(message: str, key: str) -> str:
    """Return the message with the line that names the write, which may be there already."""
    if not re.fullmatch(r"[A-Za-z0-9._:/@+=-]{1,200}", key):
        raise InvalidConfig(
            f"Cannot use {key!r} as the key of a write: use 1 to 200 letters, digits and . _ : / @ + = - in one word."
        )
    line = f"{KEY_TRAILER}: {key}"
    lines = message.rstrip().split("\n")
    if line in lines:
        return message
    has_trailers = len(lines) > 1 and re.match(r"[A-Za-z-]+: ", lines[-1])
    return "\n".join([*lines, *([] if has_trailers else [""]), line])


def _create(connection: Connection, branch: str, start: str, commit: str) -> None:
    """Make ``branch`` at ``commit``, or change nothing where somebody else made one.

    The scratch branch is not renamed: to see that nobody is on it Dolt looks into all sessions of the server, and those
    that are just between two transactions lose what they have changed.
    """
    try:
        with attempting(f"create branch {branch!r}"), connection.at(None):
            connection.execute("CALL DOLT_BRANCH(%s, %s)", branch, commit)
    except ConnectionLost as error:
        raise OutcomeUnknown(
            f"Cannot say whether branch {branch!r} was created at commit {commit}: the server went away. Look "
            "whether `dolt branch -v` shows it; if it does not, run the task again.",
            commit=commit,
            branch=branch,
            start=start,
        ) from error
    except DoltError as error:
        with connection.at(None):  # the scratch branch may be gone
            head = find_head(connection, branch)
        if head == commit != start:
            return  # Dolt makes it in several steps: this was one of the later ones, and the commit is ours alone
        if head is not None:
            raise HeadMoved(f"Cannot create branch {branch!r}: another writer was faster.", branch=branch) from error
        raise


def _is_published(repository: Location, unknown: OutcomeUnknown, lock_timeout_s: float) -> bool:
    """Ask the branch itself whether what was being published when the connection broke is there.

    A commit that is there stays there. One that is not may still be on its way: the broken session holds the branch's
    lock until the server has done with it, so only a look under that lock says no.

    Raises:
        OutcomeUnknown: nobody answers.
    """
    try:
        with connect(repository) as connection:
            found = _leads_to(connection, unknown)
            if not found:
                with branch_locks.held(connection, unknown.branch, timeout_s=max(lock_timeout_s, 1), place=repository):
                    found = _leads_to(connection, unknown)
            if found:
                with suppress(DoltError):  # what is published is published
                    scratch_branches.sweep(connection)
            return found
    except DoltError as error:
        raise unknown from error


def _leads_to(connection: Connection, unknown: OutcomeUnknown) -> bool:
    """Whether the branch was moved to the commit, or beyond it."""
    head = find_head(connection, unknown.branch)
    if head is None or head == unknown.start:
        return False
    with attempting(f"look for commit {unknown.commit}"):
        since = "SELECT 1 FROM DOLT_LOG(%s) WHERE commit_hash = %s LIMIT 1"
        return bool(connection.query(since, f"{unknown.start}..{head}", unknown.commit))


def commit_all(connection: Connection, message: str, author: str) -> str | None:
    """Commit everything on the scratch branch and return the hash, or None when nothing is different."""
    save = "CALL DOLT_COMMIT('-A', '--skip-empty', '--author', %s, '-m', %s)"
    rows = connection.query(save, author, message)
    if not rows:
        # Nothing is different, or the user's dolt_ignore names the table: it was asked for by name, so it is taken.
        connection.execute("CALL DOLT_ADD('-A', '--force')")
        rows = connection.query(save.replace("'-A', ", ""), author, message)
    # Dolt's commit leaves the transaction open, and the connection would go on seeing the branches of its beginning.
    connection.execute_ahead("COMMIT")
    return str(rows[0][0]) if rows else None


def _fast_forward(connection: Connection, branch: str, start: str, source: str, commit: str, table: str) -> None:
    """Move ``branch`` from ``start`` to ``commit``, which ``source`` points to, or change nothing."""
    with attempting(f"publish table {table!r} on branch {branch!r}"):
        connection.execute_ahead("START TRANSACTION")
        with _on(connection, branch) as state:
            if state is None:
                raise HeadMoved(f"Cannot {attempted()}: the branch was deleted meanwhile.", branch=branch)
            if state.head != start:  # also when it was set back: Dolt would move it forward again
                raise HeadMoved(f"Cannot {attempted()}: it was moved meanwhile.", branch=branch)
            _refuse_if_in_the_way(state, branch, table)
            _refuse_uncommitted_keys(connection, state, branch, table)
            _move(connection, branch, start, source, commit, table)


def _move(connection: Connection, branch: str, start: str, source: str, commit: str, table: str) -> None:
    """Let Dolt move ``branch``, which the connection is on and whose state was found to allow it."""
    try:
        connection.execute("CALL DOLT_MERGE('--ff-only', %s)", source)
        connection.execute("COMMIT")
    except ConnectionLost as error:
        raise _unknown(branch, start, commit, table) from error
    except UncommittedChanges as error:
        _refuse_if_in_the_way(_state(connection, branch), branch, table)
        _refuse_what_has_no_status(connection, branch, table)
        # The working set is clean now: what Dolt saw was another writer half way through moving the branch.
        raise HeadMoved(f"Cannot {attempted()}: another writer was faster.", branch=branch) from error


def _unknown(branch: str, start: str, commit: str, table: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"Cannot say whether table {table!r} was published on branch {branch!r}: the server went away while the branch "
        f"was moved to commit {commit}. Look whether `dolt log` shows that commit there; if it does not, run the task "
        "again.",
        commit=commit,
        branch=branch,
        start=start,
    )


@dataclass(frozen=True)
class BranchState:
    """What a branch is like, from one question."""

    head: str
    is_clean: bool
    """Whether its working set is just what its head holds, tables included that ``dolt_ignore`` names."""
    status: list[tuple[str, object, str]]
    """Name, "is staged" and kind of each change that is in no commit."""
    written: str | None
    """The commit that has the key that was asked for."""


@contextmanager
def _on(
    connection: Connection, branch: str, *, key: str | None = None, may_be_new: bool = False
) -> Iterator[BranchState | None]:
    """Be on ``branch`` inside the block, and give what it is like; None, on no other branch, where there is none.

    Of one that ``may_be_new`` it is asked first whether it is there: to go to a branch that is not has the server look
    through all that are.
    """
    with ExitStack() as stack:
        state = None
        with suppress(RevisionNotFound):
            if not may_be_new or find_head(connection, branch) is not None:
                stack.enter_context(connection.at(branch, at_once=False))
                state = _state(connection, branch, key=key)
        if state is None:
            stack.close()  # on a branch that was deleted, every other question fails as well
        yield state


def _state(connection: Connection, branch: str, *, key: str | None = None) -> BranchState | None:
    """Return what ``branch`` is like, which the connection is on, or None when there is none of exactly that name.

    Raises:
        BranchNotFound: Dolt opens another branch for it, whose name differs in case.
    """
    # One question for all of it, because the branch must be just this one: Dolt finds branches without regard to case.
    found = connection.query(
        "SELECT active_branch(), DOLT_HASHOF('HEAD'), DOLT_HASHOF_DB('HEAD') = DOLT_HASHOF_DB('WORKING'), one.written,"
        " s.table_name, s.staged, s.status"
        f" FROM (SELECT {'NULL' if key is None else _WITH_KEY} AS written) one LEFT JOIN dolt_status s ON TRUE",
        *([] if key is None else [LOOK_BACK, f"\n{KEY_TRAILER}: {key}\n"]),
    )
    opened, head, is_clean, written = found[0][:4]
    if opened == branch:
        status = [row[4:] for row in found if row[4] is not None]
        return BranchState(head, bool(is_clean) and not status, status, written)
    if find_head(connection, branch) is None:
        return None
    raise BranchNotFound(
        f"Cannot write to branch {branch!r}: Dolt opens {opened!r} for it, whose name differs in case only. "
        "Rename one of them.",
        branch=branch,
    )


_WITH_KEY = (
    "(SELECT commit_hash FROM (SELECT commit_hash, message FROM dolt_log LIMIT %s) l"
    " WHERE INSTR(CONCAT(message, '\n'), %s) LIMIT 1)"
)


def _refuse_uncommitted_keys(connection: Connection, state: BranchState, branch: str, table: str) -> None:
    """Raise if the user has added or dropped foreign keys, in any table: Dolt 1.83 forgets that in a fast-forward."""
    changed = [
        name
        for name, _, _ in state.status
        if _foreign_keys(connection, name, "") != _foreign_keys(connection, name, " AS OF 'HEAD'")
    ]
    if changed:
        raise UncommittedChanges(
            f"Cannot commit table {table!r} to branch {branch!r}: it has uncommitted foreign keys of yours in "
            f"{', '.join(map(repr, changed))}, which Dolt loses when the branch moves. Commit or reset them, or give "
            "the task a NewBranch(...) to write to.",
            branch=branch,
            tables=changed,
        )


def _foreign_keys(connection: Connection, table: str, revision: str) -> list[str]:
    try:
        shown = connection.query(f"SHOW CREATE TABLE {quote(table)}{revision}")
    except TableNotFound:
        return []
    return re.findall(r"^  CONSTRAINT .* FOREIGN KEY .*$", str(shown[0][1]).replace(",\n", "\n"), re.MULTILINE)


def _refuse_what_has_no_status(connection: Connection, branch: str, table: str) -> None:
    """Raise if the user is in the middle of a merge, or has a table of that name that ``dolt_ignore`` hides.

    Dolt shows neither among the changes of a branch.
    """
    if connection.query("SELECT 1 FROM dolt_merge_status WHERE is_merging"):
        raise UncommittedChanges(
            f"Cannot commit table {table!r} to branch {branch!r}: you are in the middle of a merge there. Commit it, "
            "end it with `dolt merge --abort`, or give the task a NewBranch(...) to write to.",
            branch=branch,
            tables=[],
        )
    tables = "SHOW TABLES"
    here = {str(name).casefold() for (name,) in connection.query(tables)}
    committed = connection.query(f"{tables} AS OF 'HEAD'")
    if table.casefold() in here - {str(name).casefold() for (name,) in committed}:
        raise UncommittedChanges(
            f"Cannot commit table {table!r} to branch {branch!r}: you have a table of that name there that is in no "
            "commit, since dolt_ignore names it. Rename or drop it, or give the task a NewBranch(...) to write to.",
            branch=branch,
            tables=[table],
        )


def _refuse_if_in_the_way(state: BranchState | None, branch: str, table: str) -> None:
    """Raise if the user's work on ``branch`` would be lost or swept in by moving it.

    Staged tables stop every write: Dolt unstages them when the branch moves, and no other way keeps them.
    """
    status = state.status if state is not None else []
    staged = sorted({name for name, is_staged, _ in status if is_staged})
    # Dolt 1.83 fails to move a branch under a dropped or renamed table: "chunk 000... required but not found".
    dirty = sorted(
        {name for name, _, kind in status if name.casefold() == table.casefold() or kind in ("deleted", "renamed")}
    )
    what = "staged" if staged else "uncommitted" if dirty else None
    if what:
        tables = staged or dirty
        raise UncommittedChanges(
            f"Cannot commit table {table!r} to branch {branch!r}: it has {what} changes of yours in "
            f"{', '.join(map(repr, tables))}, which would be lost or mixed in. Commit or reset them, or give the task "
            "a NewBranch(...) to write to.",
            branch=branch,
            tables=tables,
        )
    _refuse_what_a_move_breaks(status, branch, table)


_OF_THE_DATABASE = "__DATABASE__"
"""Begins the name under which Dolt's status has the settings of the database itself."""


def _refuse_what_a_move_breaks(status: list[tuple[str, object, str]], branch: str, table: str) -> None:
    """Raise for work on ``branch``, of whatever table, under which Dolt 1.83 does not move a branch as it should.

    An uncommitted collation of the database is forgotten. With rows that are noted to break a rule the branch is moved,
    and its working set is not, since the server refuses that transaction.
    """
    rules = sorted({name for name, _, kind in status if kind == "constraint violation"})
    what = None
    if rules:
        what = f"rows that break a key or rule in {', '.join(map(repr, rules))}, with which Dolt moves no branch"
    elif any(name.startswith(_OF_THE_DATABASE) for name, _, _ in status):
        what = "an uncommitted collation of the database, which Dolt loses when the branch moves"
    if what is not None:
        raise UncommittedChanges(
            f"Cannot commit table {table!r} to branch {branch!r}: it has {what}. Commit or reset that, or give the "
            "task a NewBranch(...) to write to.",
            branch=branch,
            tables=rules,
        )
