"""The connection is cut in the middle of a write: before or after any statement, once or for good.

Whatever is lost, a write is there once or not at all, and where it is not the caller is told so.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
import ways
from factor import FACTOR, SEED
from letting_go import is_sound
from proxy import Once, Proxy, Verdict, between
from waiting import eventually

from flytekitplugins.dolt import Changes, DoltConfig, NewBranch, api
from flytekitplugins.dolt.errors import ConnectionLost, DoltError, OutcomeUnknown
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import branch_locks, refs
from flytekitplugins.dolt.server import local_server
from flytekitplugins.dolt.tables import reading


@pytest.fixture
def proxy(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Give the proxy that this process reaches the repository by."""
    api.write(DoltConfig(str(repo), "log"), row(-1))
    with ways.counted() as went, between(repo, monkeypatch) as made:
        yield made
    assert set(went) <= {ways.expected()}
    assert is_sound(repo)


def row(number: int) -> pd.DataFrame:
    return pd.DataFrame({"number": [number]})


def append(repo: Path, number: int, branch: str | None = None) -> str:
    """Append a row, and return the commit that is said to hold it; it is asked what the table looks like, each time."""
    reading._at_commits.clear()
    policy = NewBranch(branch) if branch is not None else None
    config = DoltConfig(str(repo), "log", mode="append", branch_conf=policy)
    written = api.write(config, row(number), message=f"append {number}").commit
    assert written is not None
    return written.hash


def numbers(repo: Path, revision: str = "main") -> list[int]:
    with refs.connect(repo) as connection:
        found = connection.query(f"SELECT number FROM log AS OF '{revision}' ORDER BY number")
        return [number for (number,) in found]


def left_over(repo: Path) -> list[tuple[object, ...]]:
    """Return scratch branches and uncommitted changes."""
    with refs.connect(repo) as connection:
        scratch = connection.query("SELECT name FROM dolt_branches WHERE name LIKE 'flyte-tmp/%%'")
        return scratch + connection.query("SELECT table_name, staged, status FROM dolt_status")


def is_swept(repo: Path) -> bool:
    """Write once more, and say whether nothing is left: the server may not know yet that it lost the last one."""
    publishing._swept_at.clear()
    append(repo, 3000)
    return left_over(repo) == []


@pytest.mark.slow
@pytest.mark.timeout(300 * FACTOR)
def test_cut_right_after_the_commit_was_sent(repo: Path, proxy: Proxy) -> None:
    """A hundred times a commit or the move of the branch is sent and its answer lost: there is one commit each."""
    chance = random.Random(SEED)
    natively = ["flyte_commit_rows", "flyte_fast_forward", "flyte_fast_forward"]
    words = natively if ways.expected() == ways.NATIVELY else ["DOLT_COMMIT", "DOLT_MERGE", "COMMIT", "DOLT_MERGE"]
    told = {}
    for number in range(100 * FACTOR):
        word = chance.choice(words)
        proxy.rule = rule = Once(chance.choice(["cut after", "cut after", "cut before"]), word=word)
        told[number] = append(repo, number)
        assert rule.was_used
    proxy.rule = lambda statement: "pass"
    log = refs.log(repo)
    by_message = [(commit.message, commit.hash) for commit in reversed(log[:-2])]
    assert by_message == [(f"append {number}", hash_) for number, hash_ in told.items()]
    assert numbers(repo) == list(range(-1, 100 * FACTOR))
    assert eventually(lambda: is_swept(repo), within_s=20), left_over(repo)


def statements_of_a_write(repo: Path, proxy: Proxy, branch: str | None) -> list[str]:
    """Return what one write says to the server, from a connection that was used before."""
    append(repo, 1000, "warm" if branch is not None else None)
    proxy.statements.clear()
    append(repo, 1001, branch)
    puts = "flyte_commit_rows" if branch is None else "flyte_import"
    assert any(puts in said for said in proxy.statements) == (ways.expected() == ways.NATIVELY)
    return list(proxy.statements)


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["cut before", "cut after"])
@pytest.mark.parametrize("branch", [None, "run/"], ids=["existing branch", "new branch"])
def test_cut_at_every_statement(repo: Path, proxy: Proxy, verdict: Verdict, branch: str | None) -> None:
    """Before and after each statement of a write the connection is cut once: the write is there, once, all the same."""
    said = statements_of_a_write(repo, proxy, None if branch is None else f"{branch}first")
    assert len(said) > 10
    for number in range(1, len(said) + 1):
        where = f"{verdict} {number}: {said[number - 1][:80]}"
        target = None if branch is None else f"{branch}{number}"
        proxy.rule = rule = Once(verdict, number=number)
        hash_ = append(repo, number, target)
        proxy.rule = lambda statement: "pass"
        assert rule.was_used, where
        log = refs.log(repo, target)
        assert [commit.hash for commit in log if commit.message == f"append {number}"] == [hash_], where
        assert numbers(repo, target or "main").count(number) == 1, where
        append(repo, 2000 + number)  # the next one finds the lock free, and sweeps
    assert eventually(lambda: is_swept(repo), within_s=20), left_over(repo)


@pytest.mark.parametrize("verdict", ["cut before", "cut after"])
@pytest.mark.parametrize("kind", ["table", "query", "changes"])
def test_what_only_reads_is_done_again(repo: Path, proxy: Proxy, verdict: Verdict, kind: str) -> None:
    """Before and after each statement the connection is cut once: the commit is found, and its rows are read."""
    append(repo, 1)
    config = {
        "table": DoltConfig(str(repo), "log"),
        "query": DoltConfig(str(repo), sql="SELECT number FROM log ORDER BY number"),
        "changes": DoltConfig(str(repo), "log", changes=Changes("HEAD~1", "HEAD")),
    }[kind]
    expected = api.read(config)
    for number in range(1, 100):
        reading._at_commits.clear()
        proxy.rule = rule = Once(verdict, number=number)
        assert api.read(config).equals(expected), number
        proxy.rule = lambda statement: "pass"
        if not rule.was_used:
            break
    assert number > 4


class ForGood(Once):
    """A rule that cuts as `Once` does, and closes the proxy."""

    def __init__(self, proxy: Proxy, verdict: Verdict, *, number: int) -> None:
        super().__init__(verdict, number=number)
        self.proxy = proxy

    def __call__(self, statement: str) -> Verdict:
        verdict = super().__call__(statement)
        self.proxy.is_open = not self.was_used
        return verdict


def outcome(repo: Path, number: int) -> str:
    """Append a row, and return what the caller is told."""
    try:
        append(repo, number)
    except OutcomeUnknown:
        return "unknown"
    except ConnectionLost:
        return "not written"
    return "written"


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["cut before", "cut after"])
def test_server_that_is_gone_for_good(
    repo: Path, proxy: Proxy, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From each statement on nobody answers any more: the error says whether the commit may be there, and is right."""
    monkeypatch.setattr(publishing, "MAX_LOST", 2)
    told = []
    for number in range(1, 100):
        before = numbers(repo)
        proxy.rule = rule = ForGood(proxy, verdict, number=number)
        told.append(outcome(repo, number))
        proxy.is_open, proxy.rule = True, lambda statement: "pass"
        # The server finishes what it was told before the connection was cut.
        with refs.connect(repo) as connection:
            with branch_locks.held(connection, "main", timeout_s=60, place=repo):
                after = numbers(repo)
        if not rule.was_used:
            break
        allowed = {"written": [[*before, number]], "not written": [before], "unknown": [before, [*before, number]]}
        assert after in [sorted(numbers) for numbers in allowed[told[-1]]], proxy.statements[-1]
    # First nothing was said yet that matters; then the branch is moved; at last only cleaning up is left.
    assert [answer for answer, _ in groupby(told)] == ["not written", "unknown", "written"]
    assert 1 <= told.count("unknown") <= 2


@pytest.mark.parametrize("error", [KeyboardInterrupt("stop"), MemoryError("full"), ValueError("bug")])
def test_exception_at_every_statement(repo: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception out of any statement of a write passes as it is; the table is old or new, and nobody is held up."""
    api.write(DoltConfig(str(repo), "log"), row(0))
    connection_type = refs.Connection
    calls = [0, 0]

    def failing(original):  # type: ignore[no-untyped-def]
        def call(self, *args, **options):  # type: ignore[no-untyped-def]
            calls[0] += 1
            if calls[0] == calls[1]:
                raise error
            return original(self, *args, **options)

        return call

    for name in ("execute", "execute_ahead", "query"):
        monkeypatch.setattr(connection_type, name, failing(getattr(connection_type, name)))
    config = DoltConfig(str(repo), "log")
    for number in range(1, 100):
        calls[:] = [0, number]
        with suppress(type(error)):
            api.write(config, row(number))
        if calls[0] < number:
            break
        calls[:] = [0, 0]
        assert numbers(repo) in ([number], [number - 1]), number
        api.write(DoltConfig(str(repo), "log", lock_timeout_s=20), row(number))
    assert number > (5 if ways.expected() == ways.NATIVELY else 15)
    calls[:] = [0, 0]
    local_server.release(repo)
    assert eventually(lambda: is_swept(repo), within_s=20), left_over(repo)
    assert is_sound(repo)


def test_errors_of_the_write_path_are_ours(repo: Path, proxy: Proxy) -> None:
    """With the server gone before anything was said, the error is a DoltError that names what was attempted."""
    proxy.is_open = False
    with pytest.raises(DoltError, match="dolt sql-server"):
        append(repo, 1)
    proxy.is_open = True
    assert numbers(repo) == [-1]
