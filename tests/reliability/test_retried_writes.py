"""A write that is tried again under its key is one write; equal rows under other keys are others."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, api
from flytekitplugins.dolt.errors import InvalidConfig, RepositoryBusy
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import refs


def append(repo: Path, key: str | None, number: int = 1, branch: str | None = None) -> str:
    policy = NewBranch(branch) if branch is not None else None
    config = DoltConfig(str(repo), "log", mode="append", branch_conf=policy)
    written = api.write(config, pd.DataFrame({"number": [number]}), key=key).commit
    assert written is not None
    return written.hash


def count(repo: Path) -> int:
    return len(api.read(DoltConfig(str(repo), "log")))


def test_append_is_not_repeated(repo: Path) -> None:
    """The second write under a key returns the first one's commit, also after others have written."""
    first = append(repo, "nightly-1")
    other = append(repo, "nightly-11")
    assert append(repo, "nightly-1") == first != other
    assert append(repo, None) not in (first, other)
    assert count(repo) == 3


def test_key_counts_on_its_own_branch(repo: Path) -> None:
    """The same key on another branch is another write, unless that branch began after it."""
    head = refs.branches(repo)["main"]
    on_branch = append(repo, "k", branch="run/1")
    assert append(repo, "k") != on_branch
    assert append(repo, "k", branch="run/1") == on_branch
    assert head not in refs.branches(repo).values()


def test_set_back_branch_forgets_the_write(repo: Path) -> None:
    """A write that the user took out of the branch's log is not there any more, and is written again."""
    append(repo, "before")
    first = append(repo, "k")
    with refs.connect(repo) as connection:
        connection.execute("CALL DOLT_RESET('--hard', 'HEAD~')")
    assert append(repo, "k", 2) != first
    assert count(repo) == 2


def test_look_back_is_bounded(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is looked for in the newest LOOK_BACK commits, and no further."""
    monkeypatch.setattr(publishing, "LOOK_BACK", 2)
    first = append(repo, "k")
    append(repo, None)
    assert append(repo, "k") == first
    append(repo, None)
    assert append(repo, "k") != first


def test_two_attempts_at_once(repo: Path) -> None:
    """Attempts of one write that run at the same time make one commit."""
    append(repo, None)
    told: list[str] = []
    attempts = [threading.Thread(target=lambda: told.append(append(repo, "k"))) for _ in range(4)]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        attempt.join()
    assert len(told) == 4
    assert len(set(told)) == 1
    assert count(repo) == 2


@pytest.mark.parametrize("key", ["", "two words", "a\nb", "x" * 201])
def test_key_that_is_no_word(repo: Path, key: str) -> None:
    """A key that would not be one word of one line is refused, and nothing is written."""
    with pytest.raises(InvalidConfig, match="key"):
        append(repo, key)
    assert len(refs.log(repo)) == 1


def test_holder_of_the_lock_is_named(repo: Path) -> None:
    """Who waits in vain for a branch is told the process, host and execution of the writer that holds it."""
    append(repo, None)
    inside, go_on = threading.Event(), threading.Event()

    def work(connection: refs.Connection) -> None:
        inside.set()
        assert go_on.wait(timeout=60)

    message = "Generated\n\nFlyte-Execution: ex:proj:dev:abc"
    job = publishing.WriteJob("log", message, work)
    writer = threading.Thread(target=publishing.write, args=(repo, None, job))
    writer.start()
    try:
        assert inside.wait(timeout=60)
        config = DoltConfig(str(repo), "log", mode="append", lock_timeout_s=0.2)
        with pytest.raises(RepositoryBusy, match="'ex-proj-dev-abc'.*'.+'.*'.+'"):
            api.write(config, pd.DataFrame({"number": [1]}))
    finally:
        go_on.set()
        writer.join()
