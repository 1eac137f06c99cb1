"""Writers in processes of their own, started from one that has everything imported: what they did is in a file each.

A writer notes a commit only after the call that made it returned, so what its file names was promised to be durable,
however the writer ended.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ways
from flytekit import task

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, api

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pymysql", "writers"])

util.get_temp_dir()
"""The folder of the socket of the process that all are forked from: paths of tests' folders are too long for one."""

ROWS = 200
"""Rows of the table that is always written whole."""


@dataclass(frozen=True)
class Writer:
    """A process that writes, and the file of what it was told is committed."""

    process: BaseProcess
    file: Path

    def told(self) -> list[list[str]]:
        """Return what was acknowledged until now; a line that was cut by the process's end does not count."""
        text = self.file.read_text() if self.file.exists() else ""
        return [line.split() for line in text.split("\n")[:-1]]

    def ways(self) -> set[str]:
        """Return which ways its rows went until now."""
        return ways.told(_ways(self.file))

    def has_told(self, count: int, *, within_s: float = 60) -> bool:
        """Whether ``count`` commits are acknowledged before the time is over or the process ends."""
        deadline = time.monotonic() + within_s
        while len(self.told()) < count:
            if time.monotonic() > deadline or not self.process.is_alive():
                return len(self.told()) >= count
            time.sleep(0.002)
        return True

    def ended_well(self, *, within_s: float = 120) -> bool:
        """Wait for the end, and say whether it was a good one."""
        self.process.join(within_s)
        return self.process.exitcode == 0


def _ways(file: Path) -> Path:
    return file.with_suffix(".ways")


def start(work: Callable[..., None], file: Path, *args: Any, go: Path | None = None) -> Writer:
    """Start ``work(say, *args)`` in a process of its own; with ``go``, it begins when that file is there."""
    _prepare()
    process = PROCESSES.Process(target=_run, args=(work, file, tempfile.gettempdir(), go, args), daemon=True)
    process.start()
    return Writer(process, file)


def _prepare() -> None:
    """Start the process that all are forked from, which finds what it preloads by the environment only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        forkserver.ensure_running()


def _run(work: Callable[..., None], file: Path, temp: str, go: Path | None, args: Sequence[Any]) -> None:
    os.environ["TMPDIR"] = tempfile.tempdir = temp  # the process that all are forked from has another test's
    with open(file, "a", buffering=1) as out, open(_ways(file), "a", buffering=1) as went:

        def say(*words: object) -> None:
            out.write(" ".join(map(str, words)) + "\n")

        while go is not None and not go.exists():
            time.sleep(0.001)
        with ways.noted(lambda way: went.write(f"{way}\n")):
            work(say, *args)


def whole(number: int) -> pd.DataFrame:
    """Return a frame of which every row says the same number, so that a part of it is known as one."""
    return pd.DataFrame({"n": range(ROWS), "generation": [number] * ROWS})


def write_both(say: Callable[..., None], repo: str, me: str, count: int, first: int) -> None:
    """Replace one table whole, with another content each time from ``first`` on, and append to another, by turns."""
    for number in range(count):
        table = api.write(
            DoltConfig(repo, "whole", primary_key=["n"]), whole(first + number), message=f"{me} {number} whole"
        )
        say(_hash(table), me, number, "whole")
        row = pd.DataFrame({"writer": [me], "number": [number]})
        table = api.write(DoltConfig(repo, "log", mode="append"), row, message=f"{me} {number} log")
        say(_hash(table), me, number, "log")


@task
def replace(repo: str, number: int) -> DoltTable:
    """Return the table that is always written whole."""
    return DoltTable(data=whole(number), config=DoltConfig(repo, "whole", primary_key=["n"]))


@task
def append(repo: str, me: str, number: int) -> DoltTable:
    """Return one row for the table that grows."""
    row = pd.DataFrame({"writer": [me], "number": [number]})
    return DoltTable(data=row, config=DoltConfig(repo, "log", mode="append"))


def run_tasks(say: Callable[..., None], repo: str, me: str, count: int, first: int) -> None:
    """Do what `write_both` does in tasks, as a workflow that runs locally does."""
    for number in range(count):
        say(_hash(replace(repo=repo, number=first + number)), me, number, "whole")
        say(_hash(append(repo=repo, me=me, number=number)), me, number, "log")


def write_often(say: Callable[..., None], config: DoltConfig, me: int, count: int, kind: str) -> None:
    """Write ``count`` times: a row that names the writer and the number, or a whole table that does."""
    for number in range(count):
        say(_hash(api.write(config, rows_of(kind, me, number), message=f"{me} {number}")), me, number)


def write_to_new_branches(say: Callable[..., None], repo: Path, me: int, count: int) -> None:
    """Make a table on a new branch ``count`` times, as each execution of a workflow does."""
    for number in range(count):
        branch = f"run/{me}-{number}"
        config = DoltConfig(str(repo), "t", branch_conf=NewBranch(branch), mode="append")
        say(_hash(api.write(config, rows_of("row", me, number))), branch)


def write_quietly(file: str, repo: str, me: int) -> None:
    """Append three rows, in a process that was started in any way."""
    with open(file, "w") as out:
        write_often(lambda *words: print(*words, file=out), DoltConfig(repo, "t", mode="append"), me, 3, "row")


def rows_of(kind: str, me: int, number: int) -> pd.DataFrame:
    """Return what one write of a writer brings: ``whole`` is a table of three rows, anything else one row."""
    if kind == "whole":
        return pd.DataFrame({"place": [0, 1, 2], "writer": [me] * 3, "number": [number] * 3})
    return pd.DataFrame({"writer": [me], "number": [number]})


def _hash(table: DoltTable) -> str:
    assert table.commit is not None
    return table.commit.hash
