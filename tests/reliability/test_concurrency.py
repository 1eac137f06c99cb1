"""Several processes on one repository at the same time: every run is right, every commit is there, nothing is mixed.

The processes are real ones, as users start them; the examples run from copies, because they make their repository
beside themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from factor import FACTOR
from letting_go import is_sound
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, SerialBranch, api
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ROUNDS = 4 * FACTOR

WRITER = """\
import sys
import pandas as pd
from flytekitplugins.dolt import DoltConfig, api
from flytekitplugins.dolt.server import local_server
from pathlib import Path
repo, me, how_often = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
input()
with local_server.using(repo):
    for number in range(how_often):
        frame = pd.DataFrame({"writer": [me], "number": [number]})
        table = api.write(DoltConfig(str(repo), f"table_{me}"), frame, message=f"{me} {number}")
        print(table.commit.hash, local_server.running(repo).pid, flush=True)
    input()  # until all have written: the server of one that is late would else be another
"""


def together(commands: Sequence[Sequence[str]], *, timeout_s: float = 120) -> list[tuple[int, str, str]]:
    """Start all commands, and return exit code, output and errors of each."""
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        said = [process.communicate(timeout=timeout_s) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *words) for process, words in zip(started, said, strict=True)]


def writers_at_once(repo: Path, names: Sequence[str], *, how_often: int) -> dict[str, list[list[str]]]:
    """Let processes write their own tables from the same moment on; return each one's commits and server pids."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", WRITER, str(repo), name, str(how_often)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    try:
        for process in started.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        _tell(started.values())
        said = {name: [_line(process) for _ in range(how_often)] for name, process in started.items()}
        _tell(started.values())
        ended = {name: process.wait(timeout=120) for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.communicate()
    assert ended == dict.fromkeys(names, 0)
    return {name: [line.split() for line in lines] for name, lines in said.items()}


def _tell(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Let processes go on that wait for a line."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Give a folder with copies of the examples."""
    for name in ("quickstart_example.py", "branch_example.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    return tmp_path


def rabbits(output: str) -> set[tuple[str, int]]:
    """Return the rows that the quickstart example printed."""
    return {(name, int(count)) for name, count in re.findall(r"^\d +(\w+(?: \w+)?) +(\d+)$", output, re.MULTILINE)}


def changes(repo: Path) -> dict[str, set[str]]:
    """Return for each commit on any branch the tables that it changes."""
    with refs.connect(repo) as connection:
        found: dict[str, set[str]] = {}
        for head in refs.branches(repo).values():
            with connection.at(head):
                for hash_, table in connection.query("SELECT commit_hash, table_name FROM dolt_diff"):
                    found.setdefault(hash_, set()).add(table)
        return found


def scratch_branches(repo: Path) -> list[tuple[object, ...]]:
    with refs.connect(repo) as connection:
        return connection.query("SELECT name FROM dolt_branches WHERE name LIKE 'flyte-tmp/%%'")


@pytest.mark.slow
def test_two_examples_at_the_same_time(examples: Path) -> None:
    """Again and again both examples run at once on one repository: each prints its result, and keeps its commits."""
    repo = examples / "foo"
    python = sys.executable
    for number in range(1, ROUNDS + 1):
        quick, branch = together(
            [
                [python, str(examples / "quickstart_example.py"), str(number)],
                [python, str(examples / "branch_example.py"), str(number)],
            ]
        )
        assert quick[0] == 0, f"round {number}: {quick[1]}{quick[2]}"
        assert branch[0] == 0, f"round {number}: {branch[1]}{branch[2]}"
        assert rabbits(quick[1]) == {("George", number), ("Alice", number * 2), ("Sugar Maple", number * 3)}
        big = sum(count > 5 for count in (number, number * 2, number * 3))
        assert branch[1].splitlines()[-2:] == [str(big), "<class 'int'>"]
    try:
        heads = refs.branches(repo)
        assert set(heads) == {"main", *(f"run/a_is_{number}" for number in range(1, ROUNDS + 1))}
        main = refs.log(repo, "main")
        assert len(main) == 1 + ROUNDS
        changed = changes(repo)
        assert [changed.get(commit.hash) for commit in main] == [{"rabbits"}] * ROUNDS + [None]
        for number in range(1, ROUNDS + 1):
            name = f"run/a_is_{number}"
            policy = SerialBranch(name)
            users = api.read(DoltConfig(str(repo), "users", branch_conf=policy))
            counts = {"George": number, "Alice": number * 2, "Stephanie": number * 3}
            assert dict(zip(users["name"], users["count"], strict=True)) == counts
            big_users = api.read(DoltConfig(str(repo), "big_users", branch_conf=policy))
            assert set(big_users["name"]) == {name for name, count in counts.items() if count > 5}
            own = [commit.hash for commit in refs.log(repo, name) if commit not in main]
            assert [changed[hash_] for hash_ in own[:2]] == [{"big_users"}, {"users"}]
            at = api.read(DoltConfig(str(repo), sql=f"select * from rabbits as of 'main~{ROUNDS - number}'"))
            assert set(at["count"]) == {number, number * 2, number * 3}
        assert scratch_branches(repo) == []
    finally:
        local_server.release(repo)


def test_same_example_twice_at_the_same_time(examples: Path) -> None:
    """Two runs that make the same branch at once: both are right, one made it, the other went on with it."""
    repo = examples / "foo"
    command = [sys.executable, str(examples / "branch_example.py"), "3"]
    for code, output, errors in together([command, command]):
        assert (code, output.splitlines()[-2:]) == (0, ["2", "<class 'int'>"]), output + errors
    try:
        assert set(refs.branches(repo)) == {"main", "run/a_is_3"}
        assert len(refs.log(repo, "run/a_is_3")) == 1 + 2  # the second one's content was there already
        assert scratch_branches(repo) == []
    finally:
        local_server.release(repo)


@pytest.mark.slow
def test_four_processes_on_one_branch(repo: Path) -> None:
    """Four processes write five times each to one branch: 20 commits in one line, each with its own table only."""
    said = writers_at_once(repo, ["a", "b", "c", "d"], how_often=5)
    log = refs.log(repo)
    assert len(log) == 1 + 20
    assert all(commit.parents == (older.hash,) for commit, older in pairwise(log))
    by_hash = {commit.hash: commit for commit in log}
    for name, lines in said.items():
        assert [by_hash[hash_].message for hash_, _ in lines] == [f"{name} {number}" for number in range(5)]
    with refs.connect(repo) as connection:
        for commit in log[:-1]:
            (name, number) = str(commit.message).split()
            stat = connection.query("SELECT table_name FROM DOLT_DIFF_STAT(%s, %s)", f"{commit.hash}^", commit.hash)
            assert stat == [(f"table_{name}",)]
            rows = connection.query(f"SELECT * FROM table_{name} AS OF '{commit.hash}'")
            assert rows == [(name, int(number))]
    changed = changes(repo)
    assert [changed[commit.hash] for commit in log[:-1]] == [{f"table_{str(c.message)[0]}"} for c in log[:-1]]
    assert scratch_branches(repo) == []
    assert is_sound(repo)


def test_four_processes_start_at_once(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processes whose first use falls on the same moment share one server, which is gone when they are."""
    temp = tmp_path / "tmp"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(temp))
    assert local_server.running(repo) is None
    said = writers_at_once(repo, ["a", "b", "c", "d"], how_often=1)
    assert len({pid for lines in said.values() for _, pid in lines}) == 1
    assert eventually(lambda: local_server.running(repo) is None, within_s=20)
    assert len(refs.log(repo)) == 1 + 4
