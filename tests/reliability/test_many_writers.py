"""Eight processes write at once: every write is one commit with its own rows, in one line, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import ways
import writers
from factor import FACTOR
from letting_go import is_sound

from flytekitplugins.dolt import DoltConfig, NewBranch, api
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.schema import Commit

WRITERS = 8
COMMITS = 15 * FACTOR
NEW_BRANCHES = 50 * FACTOR

IN_BETWEEN = 5 * (WRITERS - 1)
"""The most commits of others between two of one writer; what it is told and does meanwhile is not in the queue."""

KINDS = {
    "append": {"mode": "append"},
    "append to a key": {"mode": "append", "primary_key": ["writer", "number"]},
    "upsert": {"mode": "upsert", "primary_key": ["writer"]},
    "whole": {"primary_key": ["place"]},
    "whole, no key": {},
}


def written(repo: Path, tmp_path: Path, configs: list[DoltConfig], kind: str) -> dict[tuple[int, int], str]:
    """Let a process write by each config from the same moment on; return the commit that each write was told."""
    started = at_once(tmp_path, writers.write_often, [(config, me, COMMITS, kind) for me, config in enumerate(configs)])
    told = {(int(me), int(number)): commit for w in started for commit, me, number in w.told()}
    assert len(told) == len(configs) * COMMITS
    return told


def at_once(tmp_path: Path, work: Callable[..., None], each: Sequence[tuple[object, ...]]) -> list[writers.Writer]:
    """Let processes do ``work`` from the same moment on, with arguments of their own; return them when all are done."""
    go = tmp_path / "go"
    started = [writers.start(work, tmp_path / f"{me}.txt", *args, go=go) for me, args in enumerate(each)]
    go.touch()
    assert [writer.ended_well(within_s=280) for writer in started] == [True] * len(started)
    assert set().union(*(writer.ways() for writer in started)) == {ways.expected()}
    return started


def overtaken(line: Sequence[int]) -> int:
    """Return the most commits of others that stand between two commits of one writer."""
    places: dict[int, list[int]] = {}
    for place, writer in enumerate(line):
        places.setdefault(writer, []).append(place)
    return max(after - before - 1 for own in places.values() for before, after in pairwise(own))


def changed_rows(repo: Path, log: list[Commit], table: str) -> dict[str, Counter[tuple[str, object, object]]]:
    """Return for each commit the rows that it added, changed or removed, as Dolt's own diff has them."""
    found: dict[str, Counter[tuple[str, object, object]]] = {}
    with refs.connect(repo) as connection:
        for commit, older in pairwise(log):
            rows = connection.query(
                "SELECT diff_type, COALESCE(to_writer, from_writer), COALESCE(to_number, from_number)"
                " FROM DOLT_DIFF(%s, %s, %s)",
                older.hash,
                commit.hash,
                table,
            )
            found[commit.hash] = Counter(rows)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_eight_processes_on_one_branch_and_table(repo: Path, tmp_path: Path, kind: str) -> None:
    """All writes are commits in one line, each with exactly its own rows; the end is what the line says."""
    config = DoltConfig(str(repo), "t", **KINDS[kind])  # type: ignore[arg-type]
    shape = "whole" if kind.startswith("whole") else "row"
    api.write(config, writers.rows_of(shape, 99, 99), message="99 99")
    told = written(repo, tmp_path, [config] * WRITERS, shape)
    log = refs.log(repo)
    assert all(commit.parents == (older.hash,) for commit, older in pairwise(log))
    by_hash = {commit.hash: str(commit.message) for commit in log}
    assert {by_hash[commit] for commit in told.values()} == {f"{me} {number}" for me, number in told}
    assert len(log) == 2 + WRITERS * COMMITS  # the repository's first commit, and the table's
    # In a fair queue the seven others stand between two commits of one writer; a starved one waits for nearly all.
    assert overtaken([int(by_hash[commit.hash].split()[0]) for commit in log[:-2]]) <= IN_BETWEEN
    for commit, rows in changed_rows(repo, log[:-1], "t").items():
        me, number = map(int, by_hash[commit].split())
        news = {kind: count for (kind, *whose), count in rows.items() if kind != "removed" and whose == [me, number]}
        assert sum(news.values()) == (3 if shape == "whole" else 1), (commit, rows)
        others = [key for key in rows if key[0] != "removed" and [*key[1:]] != [me, number]]
        assert others == [], (commit, rows)
        if kind.startswith("append"):
            assert not any(change == "removed" for change, *_ in rows), (commit, rows)
    end = sorted(zip(*(api.read(config)[name].tolist() for name in ("writer", "number")), strict=True))
    assert end == replayed([tuple(map(int, str(c.message).split())) for c in reversed(log[:-1])], kind)
    assert is_sound(repo)


def replayed(line: list[tuple[int, ...]], kind: str) -> list[tuple[int, ...]]:
    """Return what a table holds after the writes of a line were done one after the other."""
    if kind.startswith("whole"):
        return [line[-1]] * 3
    if kind == "upsert":
        return sorted({write[0]: write for write in line}.values())
    return sorted(line)


@pytest.mark.slow
def test_eight_processes_on_branches_of_their_own(repo: Path, tmp_path: Path) -> None:
    """Each branch has its own writer's commits and nothing else; main is as it was."""
    before = refs.log(repo, "main")
    configs = [DoltConfig(str(repo), "t", branch_conf=NewBranch(f"run/{me}"), mode="append") for me in range(WRITERS)]
    told = written(repo, tmp_path, configs, "row")
    assert refs.log(repo, "main") == before
    assert set(refs.branches(repo)) == {"main", *(f"run/{me}" for me in range(WRITERS))}
    for me, config in enumerate(configs):
        log = refs.log(repo, f"run/{me}")
        assert [commit.hash for commit in log[:-1]] == [told[me, number] for number in reversed(range(COMMITS))]
        frame = api.read(config)
        assert sorted(zip(frame["writer"], frame["number"], strict=True)) == [(me, n) for n in range(COMMITS)]
    assert is_sound(repo)


@pytest.mark.slow
def test_each_write_of_eight_processes_makes_a_branch(repo: Path, tmp_path: Path) -> None:
    """None gets in another's way: of 500 such writes one to four were once told that their new table was not there."""
    started = at_once(tmp_path, writers.write_to_new_branches, [(repo, me, NEW_BRANCHES) for me in range(WRITERS)])
    told = {branch: commit for writer in started for commit, branch in writer.told()}
    assert len(told) == WRITERS * NEW_BRANCHES
    assert {name: head for name, head in refs.branches(repo).items() if name != "main"} == told
    assert is_sound(repo)
