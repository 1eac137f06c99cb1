"""Eight processes read, change and write one table at once, beside one that adds rows and one that removes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import ways
import writers
from factor import FACTOR, SEED
from letting_go import is_sound

from flytekitplugins.dolt import DoltConfig, api
from flytekitplugins.dolt.errors import MergeConflict
from flytekitplugins.dolt.repository import refs

WORKERS = 8
ROUNDS = 8 * FACTOR
ROWS = 40

Say = Callable[..., None]


def config(repo: str, mode: str | None = None) -> DoltConfig:
    return DoltConfig(repo, "t", primary_key=["id"], mode=mode)


def change(say: Say, repo: str, me: int, rounds: int) -> None:
    """Each time change one row in both of its columns, remove one and add one, and start again where that is refused.

    What is done stands in the message, so that the log tells what has to be there.
    """
    chosen = random.Random(SEED + me)
    for number in range(rounds):
        while True:
            seen = api.pin(config(repo))
            frame = seen.data
            changed, removed = chosen.sample(frame["id"].tolist(), 2)
            token = 1_000 * (me + 1) + number
            frame.loc[frame["id"] == changed, ["a", "b"]] = token
            frame = frame[frame["id"] != removed]
            added = pd.DataFrame({"id": [1_000_000 + token], "a": [token], "b": [token]})
            frame = pd.concat([frame, added], ignore_index=True)
            try:
                table = api.write(
                    config(repo),
                    frame,
                    based_on=seen,
                    message=f"change {changed} {removed} {1_000_000 + token} {token}",
                )
                break
            except MergeConflict as conflict:
                say("conflict", conflict.conflicts[0].count)
        assert table.commit is not None
        say("commit", table.commit.hash)


def add(say: Say, repo: str, rounds: int) -> None:
    """Append a row of a new key each time."""
    for number in range(rounds):
        row = pd.DataFrame({"id": [2_000_000 + number], "a": [number], "b": [number]})
        table = api.write(config(repo, "append"), row, message=f"add {2_000_000 + number} {number}")
        assert table.commit is not None
        say("commit", table.commit.hash)


def remove(say: Say, repo: str, rounds: int) -> None:
    """Remove a row each time, whatever the others have done to it."""
    chosen = random.Random(SEED)
    for _ in range(rounds):
        key = chosen.choice(api.read(config(repo))["id"].tolist())
        table = api.write(config(repo, "delete"), pd.DataFrame({"id": [key]}), message=f"remove {key}")
        assert table.commit is not None
        say("commit", table.commit.hash)


@pytest.mark.slow
@pytest.mark.timeout(300 * FACTOR)
def test_no_row_is_lost_revived_or_half_changed(repo: Path, tmp_path: Path) -> None:
    """Each commit has exactly the change that its message tells, and the table is what all of them make."""
    start = pd.DataFrame({"id": range(ROWS), "a": 0, "b": 0})
    api.write(config(str(repo)), start, message="start")
    go = tmp_path / "go"
    started = [
        *(writers.start(change, tmp_path / f"{me}.txt", str(repo), me, ROUNDS, go=go) for me in range(WORKERS)),
        writers.start(add, tmp_path / "add.txt", str(repo), ROUNDS, go=go),
        writers.start(remove, tmp_path / "remove.txt", str(repo), ROUNDS, go=go),
    ]
    go.touch()
    assert [writer.ended_well(within_s=280 * FACTOR) for writer in started] == [True] * len(started)
    told = [line[1] for writer in started for line in writer.told() if line[0] == "commit"]
    assert len(told) == ROUNDS * len(started)
    log = refs.log(repo)[:-1]
    assert all(commit.parents == (older.hash,) for commit, older in pairwise(log))
    rows: dict[int, tuple[int, int]] = dict.fromkeys(range(ROWS), (0, 0))
    assert str(log[-1].message) == "start"
    for commit in reversed(log[:-1]):
        assert commit.hash in told
        applied(rows, str(commit.message))
    found = api.read(config(str(repo)))
    assert {row.id: (row.a, row.b) for row in found.itertuples()} == rows
    assert set().union(*(writer.ways() for writer in started)) == {ways.expected()}
    assert is_sound(repo)


def applied(rows: dict[int, tuple[int, int]], message: str) -> None:
    """Do to the rows what a message tells; what it changes has to be there, what it adds must not."""
    kind, *numbers = message.split()
    if kind == "change":
        changed, removed, added, token = map(int, numbers)
        assert changed in rows
        rows[changed] = (token, token)
        rows.pop(removed, None)  # that another has removed it meanwhile, too, is no conflict
        assert added not in rows
        rows[added] = (token, token)
    elif kind == "add":
        key, value = map(int, numbers)
        assert key not in rows
        rows[key] = (value, value)
    else:
        rows.pop(int(numbers[0]), None)
