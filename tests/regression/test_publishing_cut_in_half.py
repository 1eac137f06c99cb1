"""A server that is killed while it moves a branch may leave the working set where it was, as if staged by the user.

Dolt 1.83 writes the branch's head and its working set one after the other. The state between the two is made here by a
soft reset, which moves the head alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, api
from flytekitplugins.dolt.api import scripts
from flytekitplugins.dolt.errors import UncommittedChanges
from flytekitplugins.dolt.repository import refs, scratch_branches

Ask = Callable[..., list[tuple[object, ...]]]

DEAD = "flyte-tmp/0-999999/ann/build-3/4711/20240507T123800Z/script/c0ffee"
"""The name of a killed writer's branch, without the commit where it began."""


@pytest.fixture
def ask(repo: Path) -> Ask:
    """Give a function that runs a statement on the checked-out branch, or on another one."""

    def run(sql: str, *parameters: object, on: str | None = None) -> list[tuple[object, ...]]:
        with refs.connect(repo) as connection, connection.at(on):
            return connection.query(sql, *parameters)

    return run


def put(repo: Path, table: str, *numbers: int) -> str:
    written = api.write(DoltConfig(str(repo), table), pd.DataFrame({"n": list(numbers)})).commit
    assert written is not None
    return written.hash


def cut_in_half(repo: Path, ask: Ask, *, staged: bool, dead: str = DEAD) -> None:
    """Leave `main` at a commit to `old` and `fresh` with the working set of before, and a user's change in `other`."""
    put(repo, "old", 1)
    dead = f"{dead}-{put(repo, 'other', 1)[:8]}"
    ask("CALL DOLT_BRANCH(%s)", dead)
    ask("INSERT INTO old VALUES (2)", on=dead)
    ask("CREATE TABLE fresh (n INT)", on=dead)
    ask("CALL DOLT_COMMIT('-A', '-m', 'moved')", on=dead)
    ask("INSERT INTO other VALUES (2)")
    ask("CALL DOLT_RESET('--soft', %s)", dead)
    if staged:
        ask("CALL DOLT_ADD('old', 'fresh')")


@pytest.mark.parametrize("staged", [True, False])
def test_next_write_brings_the_working_set_up(repo: Path, ask: Ask, staged: bool) -> None:
    """The next write finds the commit whole and the user's own change kept, and does its work."""
    cut_in_half(repo, ask, staged=staged)
    assert len(ask("SELECT * FROM dolt_status")) == 3
    scratch_seen = put(repo, "third", 3)
    assert ask("SELECT table_name, status FROM dolt_status") == [("other", "modified")]
    assert ask("SELECT n FROM old ORDER BY n") == [(1,), (2,)]
    assert ask("SELECT n FROM other ORDER BY n") == [(1,), (2,)]
    assert ask("SELECT * FROM fresh") == []
    assert [commit.message for commit in refs.log(repo, limit=2)] == [scripts.SCRIPT_MESSAGE, "moved"]
    assert refs.log(repo, limit=1)[0].hash == scratch_seen
    assert ask("SELECT name FROM dolt_branches") == [("main",)]


def test_garbage_was_collected_since(repo: Path, ask: Ask) -> None:
    """Dolt's log of references is empty then; the next write finishes the move all the same."""
    cut_in_half(repo, ask, staged=True)
    ask("CALL DOLT_GC()")
    put(repo, "third", 3)
    assert ask("SELECT table_name, status FROM dolt_status") == [("other", "modified")]
    assert ask("SELECT n FROM old ORDER BY n") == [(1,), (2,)]


def test_the_number_of_the_killed_is_somebody_elses_now(repo: Path, ask: Ask) -> None:
    """A server that is started again counts its connections from one; the killed writer's is found out all the same."""
    put(repo, "old", 1)
    with refs.connect(repo) as other:
        cut_in_half(repo, ask, staged=True, dead=DEAD.replace("999999", str(other.number)))
        put(repo, "third", 3)
    assert ask("SELECT table_name, status FROM dolt_status") == [("other", "modified")]
    assert ask("SELECT n FROM old ORDER BY n") == [(1,), (2,)]
    assert [commit.message for commit in refs.log(repo, limit=2)] == [scripts.SCRIPT_MESSAGE, "moved"]


def test_what_the_user_changed_since_is_left_alone(repo: Path, ask: Ask) -> None:
    """A table that the user has changed meanwhile is not touched; a write to that branch is refused as ever."""
    cut_in_half(repo, ask, staged=True)
    ask("INSERT INTO old VALUES (7)")
    with pytest.raises(UncommittedChanges, match="'old'"):
        put(repo, "third", 3)
    assert ask("SELECT n FROM old ORDER BY n") == [(1,), (7,)]


def test_users_own_revert_is_no_half_publishing(repo: Path, ask: Ask) -> None:
    """A staged revert of the last commit looks the same; without a dead writer's branch that made it, it is sacred."""
    put(repo, "old", 1)
    head = put(repo, "old", 1, 2)
    dead = f"{DEAD}-{head[:8]}"
    ask("CALL DOLT_BRANCH(%s)", dead)  # of a writer that died before it had done anything
    ask("DELETE FROM old WHERE n = 2")
    ask("CALL DOLT_ADD('old')")
    with refs.connect(repo) as connection:
        assert scratch_branches.sweep(connection) == [dead]
    assert ask("SELECT table_name, staged FROM dolt_status") == [("old", 1)]
    with pytest.raises(UncommittedChanges, match="'old'"):
        put(repo, "old", 9)
    assert refs.branches(repo) == {"main": head}
