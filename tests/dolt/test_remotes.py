"""Repositories that are cloned and pushed to: what several machines do with one remote, and all that can go wrong.

A machine is a folder for clones of its own. What a remote holds is asked of the `dolt` command line in a new clone.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import random
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from certificates import Authority
from dolt_server import DoltServer, free_port
from factor import FACTOR, SEED
from letting_go import is_left
from log_table import put, rows
from proxy import Cutter
from remote_folder import RemoteFolder, clones, dolt, is_shallow, values

from flytekitplugins.dolt import (
    Commit,
    DoltConfig,
    DoltTable,
    MergeBranch,
    NewBranch,
    Remote,
    Secret,
    SerialBranch,
    create_repository,
    pin,
    read,
    restore,
    tag,
    write,
)
from flytekitplugins.dolt.errors import (
    AccessDenied,
    BranchNotFound,
    ConnectionLost,
    HeadMoved,
    InvalidConfig,
    OutcomeUnknown,
    RepositoryBusy,
    RepositoryNotFound,
    RepositoryReadOnly,
    RevisionNotFound,
    SchemaMismatch,
    SecretNotFound,
    UncommittedChanges,
    UntrustedServer,
)
from flytekitplugins.dolt.history import pushing
from flytekitplugins.dolt.repository import remotes
from flytekitplugins.dolt.repository.clones import UNUSED_S, branch_lock


def numbers(config: DoltConfig) -> list[int]:
    return sorted(read(config)["number"])


def by_query(remote: RemoteFolder, **options: object) -> list[int]:
    """Return the numbers as a query gives them, which is done in a whole clone."""
    return numbers(DoltConfig("foo", sql="select number from log", remote_conf=Remote(remote.url), **options))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ writing


def test_machines_take_turns(remote: RemoteFolder) -> None:
    """What one machine writes the next one reads and adds to; the remote has a commit each, in their order."""
    said = []
    for number in range(6):
        with remote.on("ab"[number % 2]):
            said.append(put(remote.config(mode="append"), number))
            assert numbers(remote.config()) == list(range(number + 1))
    assert remote.commits()[:-1] == said[::-1]
    assert remote.rows() == list(range(6))


def test_rows_are_deleted_by_key(remote: RemoteFolder) -> None:
    """What one machine deletes is gone for all; keys that are not there push nothing."""
    keyed = remote.config(primary_key=["number"])
    write(keyed, pd.DataFrame({"number": [1, 2, 3]}))
    with remote.on("a"):
        assert write(remote.config(mode="delete"), pd.DataFrame({"number": [2, 9]})).missing_keys == 1
        assert write(remote.config(mode="delete"), pd.DataFrame({"number": [9]})).missing_keys == 1
    assert remote.rows() == [1, 3]
    assert len(remote.commits()) == 3


def test_a_table_has_one_name(remote: RemoteFolder) -> None:
    """A machine that spells it otherwise reads and writes the remote's table, under the name that it has there."""
    first = write(remote.config(), pd.DataFrame({"number": [1]}))
    other = replace(remote.config(mode="append"), tablename="LOG")
    with remote.on("a"):
        assert (pin(other).config.tablename, numbers(other)) == ("log", [1])
        written = write(other, pd.DataFrame({"number": [2]}), key="k1")
    with remote.on("b"):
        again = write(other, pd.DataFrame({"number": [2]}), key="k1")
    assert first.config.tablename == written.config.tablename == again.config.tablename == "log"
    assert remote.rows() == [1, 2]


WRITER = """\
import pickle
import sys
import pandas as pd
from flytekitplugins.dolt import read, write
config, me, how_often = pickle.loads(bytes.fromhex(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
read(config)
print("ready", flush=True)
input()
for number in range(how_often):
    print(write(config, pd.DataFrame({"number": [100 * me + number]}), message="put").commit.hash, flush=True)
"""


def started(config: DoltConfig, machine: Path, me: int, how_often: int) -> subprocess.Popen[str]:
    """Start a process on a machine that appends rows, as soon as it is told to."""
    environment = os.environ | {"FLYTE_DOLT_CLONES": str(machine)}
    argv = [sys.executable, "-c", WRITER, pickle.dumps(config).hex(), str(me), str(how_often)]
    return subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def write_at_once(config: DoltConfig, machines: list[Path], *, how_often: int) -> dict[str, int]:
    """Let a process on each machine append rows from the same moment on, and return what each commit is said to add."""
    writers = [started(config, machine, me, how_often) for me, machine in enumerate(machines)]
    try:
        for process in writers:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in writers:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=200)[0].split() for process in writers]
    finally:
        for process in writers:
            process.kill()
    assert [process.returncode for process in writers] == [0] * len(machines)
    return {commit: 100 * me + number for me, commits in enumerate(said) for number, commit in enumerate(commits)}


def check_sixteen(repository: Path, first: str, said: dict[str, int]) -> None:
    """Look whether 16 commits stand on the first one, each with its own row only."""
    assert len(said) == 16
    log = values(repository, "SELECT commit_hash FROM dolt_log")
    assert log[16] == first
    assert set(log[:16]) == set(said)
    for commit, number in said.items():
        changed = f"SELECT CONCAT(diff_type, ' ', to_number) FROM dolt_diff('{commit}~1', '{commit}', 'log')"
        assert values(repository, changed) == [f"added {number}"]
    assert sorted(map(int, values(repository, "SELECT number FROM log"))) == sorted([-1, *said.values()])


@pytest.mark.slow
@pytest.mark.parametrize("machines", [["a", "b"], ["a", "a"], ["a", "a", "b", "b"]], ids="-".join)
def test_sixteen_pushes_at_once(remote: RemoteFolder, machines: list[str]) -> None:
    """Of 16 pushes at once, from two clones or from processes that share one, 16 land, each with its own row only."""
    config = remote.config(mode="append")
    first = put(config, -1)
    folders = [remote.machine(name) for name in machines]
    said = write_at_once(config, folders, how_often=16 // len(machines))
    with remote.cloned() as clone:
        check_sixteen(clone, first, said)


KILLED = 6 * FACTOR
"""How many writers are killed."""


@pytest.mark.slow
@pytest.mark.timeout(300 * FACTOR)
def test_killed_at_random_moments(remote: RemoteFolder) -> None:
    """Writers that are killed, in whatever they are at, leave what they said is pushed, nothing twice or in half."""
    config, chance, told = remote.config(mode="append"), random.Random(SEED), []
    put(config, -1)
    for me in range(KILLED):
        with started(config, remote.machine("doomed"), me, 50) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            if me % 3:  # the others are still cloning
                assert process.stdout.readline() == "ready\n"
                process.stdin.write("\n")
                process.stdin.flush()
                told.append(process.stdout.readline().strip())
            time.sleep(chance.uniform(0, 0.3 if me % 3 else 2))
            process.kill()
            told += [line.strip() for line in process.stdout if line.endswith("\n") and line != "ready\n"]
    with remote.on("doomed") as machine:
        put(config, -2)
    (whole,) = [clone for clone in clones(machine) if not is_shallow(clone)]
    assert not [name for name in os.listdir(whole.parent) if name.startswith(".new-")]
    with remote.cloned() as clone:
        log = values(clone, "SELECT commit_hash FROM dolt_log")
        assert set(told) <= set(log)
        found = values(clone, "SELECT number FROM log")
        assert len(found) == len(set(found)) == len(log) - 1


class Rival:
    """Somebody on another machine who pushes just before each of our own pushes, ``times`` times."""

    def __init__(self, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
        self.remote, self.times, self.pushes, self.rejected = remote, times, 0, 0
        self._push = pushing._push
        monkeypatch.setattr(pushing, "_push", self.push)

    def push(self, origin: remotes.CloneSource, clone: Path, branch: str) -> None:
        with self.remote.cloned() as rivals:
            if self.pushes < self.times:
                self.pushes += 1
                dolt("sql", "-q", f"CREATE TABLE rival_{self.pushes} (n INT PRIMARY KEY)", cwd=rivals)
                dolt("add", "-A", cwd=rivals)
                dolt("commit", "-m", f"rival {self.pushes}", "--author", "Ben <ben@x.org>", cwd=rivals)
                dolt("push", "origin", branch, cwd=rivals)
        try:
            self._push(origin, clone, branch)
        except HeadMoved as error:
            self.rejected += "[rejected]" in str(error)
            raise


def test_a_rejected_push_is_done_again(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another push is faster the write is done on top of it: both commits are there, in a row."""
    rival = Rival(remote, monkeypatch, times=2)
    commit = put(remote.config(), 1)
    assert rival.rejected == 2
    with remote.cloned() as clone:
        assert values(clone, "SELECT message FROM dolt_log")[:3] == ["put (1,)", "rival 2", "rival 1"]
        assert values(clone, "SELECT commit_hash FROM dolt_log")[0] == commit
        assert values(clone, "SELECT table_name FROM dolt_diff WHERE message = 'put (1,)'") == ["log"]


def test_a_push_to_a_remote_that_is_locked_is_done_again(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dolt waits a moment for the lock that another push holds, and gives up; the write is pushed all the same."""
    put(remote.config(), 0)
    real, refused = pushing._push, []

    def push(*arguments: Any) -> None:
        if refused:
            real(*arguments)
            return
        with (remote.path / "LOCK").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                real(*arguments)
            except RepositoryBusy as error:
                refused.append(error)
                raise

    monkeypatch.setattr(pushing, "_push", push)
    commit = put(remote.config(), 1)
    assert len(refused) == 1
    assert remote.values("SELECT commit_hash FROM dolt_log")[0] == commit
    assert remote.values("SELECT message FROM dolt_log")[:2] == ["put (1,)", "put (0,)"]


def test_redoing_has_an_end(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loses every race is told so; the others' commits stand, nothing of ours is pushed or read."""
    put(remote.config(), 0)
    monkeypatch.setattr(pushing, "MAX_ATTEMPTS", 3)
    rival = Rival(remote, monkeypatch, times=3)
    with pytest.raises(HeadMoved, match="3 attempts.*NewBranch") as caught:
        put(remote.config(), 1)
    assert (caught.value.branch, caught.value.attempts, rival.rejected) == ("main", 3, 3)
    assert remote.values("SELECT message FROM dolt_log")[:4] == ["rival 3", "rival 2", "rival 1", "put (0,)"]
    assert remote.rows() == numbers(remote.config()) == by_query(remote) == [0]
    put(remote.config(), 2)
    assert remote.rows() == [2]


def test_a_users_own_commits_stand(remote: RemoteFolder) -> None:
    """What somebody pushed with `dolt` between two writes is kept, also when it takes the table's rows away."""
    put(remote.config(), 1, 2)
    with remote.cloned() as clone:
        dolt("sql", "-q", "DELETE FROM log WHERE number = 1; CREATE TABLE mine (n INT PRIMARY KEY)", cwd=clone)
        dolt("add", "-A", cwd=clone)
        dolt("commit", "-m", "mine", "--author", "Ben <ben@x.org>", cwd=clone)
        dolt("push", "origin", "main", cwd=clone)
    put(remote.config(mode="append"), 3)
    assert remote.rows() == [2, 3]
    assert remote.values("SHOW TABLES") == ["log", "mine"]
    assert remote.values("SELECT message FROM dolt_log")[:3] == ["put (3,)", "mine", "put (1, 2)"]


def test_a_history_that_was_rewritten_is_followed(remote: RemoteFolder) -> None:
    """Where somebody has set the branch back by force, the next write starts there; nothing is forced by us."""
    put(remote.config(mode="append"), 1)
    put(remote.config(mode="append"), 2)
    with remote.cloned() as clone:
        dolt("reset", "--hard", "HEAD~1", cwd=clone)
        dolt("push", "--force", "origin", "main", cwd=clone)
    assert numbers(remote.config()) == by_query(remote) == [1]
    put(remote.config(mode="append"), 3)
    assert remote.rows() == [1, 3]


def test_branches(remote: RemoteFolder) -> None:
    """A new branch starts at its base and goes on where it is, from any machine; main stays as it is."""
    main = put(remote.config(), 1)
    with remote.on("a"):
        put(remote.config(mode="append", branch_conf=NewBranch("run/1")), 2)
    with remote.on("b"):
        put(remote.config(mode="append", branch_conf=NewBranch("run/1")), 3)
        put(remote.config(mode="append", branch_conf=NewBranch("run/2", base="run/1")), 4)
        put(remote.config(mode="append", branch_conf=SerialBranch("run/2")), 5)
    assert remote.commits()[0] == main
    assert (remote.rows("run/1"), remote.rows("run/2")) == ([1, 2, 3], [1, 2, 3, 4, 5])
    assert by_query(remote, branch_conf=NewBranch("run/1")) == [1, 2, 3]
    assert numbers(remote.config(branch_conf=NewBranch("run/2"))) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("between", ["a branch from main", "a query"])
def test_what_others_do_in_the_clone_between_commit_and_push(
    remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    """Whatever another task of the machine does in the clone just before a push, what is said to be pushed is."""
    put(remote.config(), 1)
    push = pushing._push

    def interrupted(*args: object) -> None:
        monkeypatch.setattr(pushing, "_push", push)
        if between == "a query":
            monkeypatch.setattr(remotes.branch_locks, "TIMEOUT_S", 0.1)
            with pytest.raises(RepositoryBusy, match="process"):
                by_query(remote)
        else:
            put(remote.config(mode="append", branch_conf=NewBranch("run/1")), 7)
        push(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pushing, "_push", interrupted)
    commit = put(remote.config(mode="append"), 2)
    assert remote.commits()[0] == commit
    assert remote.rows() == [1, 2]
    if between != "a query":
        assert remote.rows("run/1") == [1, 7]


def test_nothing_new_is_not_pushed(remote: RemoteFolder) -> None:
    """Equal content makes no commit, and the reference names the head as it is on the remote."""
    first = put(remote.config(), 1)
    with remote.on("other"):
        assert put(remote.config(), 1) == first
    assert remote.commits()[0] == first


def test_what_does_not_fit_changes_nothing(remote: RemoteFolder) -> None:
    """A frame of another schema is refused as anywhere, and the remote is as it was."""
    put(remote.config(), 1)
    before = remote.commits()
    with pytest.raises(SchemaMismatch, match="number"):
        write(remote.config(), pd.DataFrame({"number": ["x"]}))
    assert remote.commits() == before
    assert numbers(remote.config()) == [1]


@pytest.mark.parametrize("branch", ["main", "run/1"])
def test_what_was_not_pushed_is_never_read(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch, branch: str) -> None:
    """A writer that ends between its commit and its push leaves nothing: not for a query, not for the next write."""
    put(remote.config(), 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="now"):
        patch.setattr(pushing, "_push", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt("now")))
        put(remote.config(mode="append", branch_conf=NewBranch(branch)), 2)
    (clone,) = clones(remote.machine("here"))
    assert [int(number) for number in values(clone, f"SELECT number FROM log AS OF '{branch}'")] == [1, 2]
    if branch == "main":
        assert by_query(remote) == [1]
    else:
        with pytest.raises(BranchNotFound, match="'run/1'"):
            by_query(remote, branch_conf=NewBranch(branch))
    put(remote.config(mode="append", branch_conf=NewBranch(branch)), 3)
    assert remote.rows(branch) == by_query(remote, branch_conf=NewBranch(branch)) == [1, 3]


@pytest.mark.parametrize("others_push", [False, True])
def test_a_lost_answer_is_looked_up(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch, others_push: bool) -> None:
    """A push that arrived, though nobody said so, is found on the remote and not repeated, also under another one."""
    push, lost = pushing._push, []

    def losing(origin: remotes.CloneSource, clone: Path, branch: str) -> None:
        push(origin, clone, branch)
        monkeypatch.setattr(pushing, "_push", push)
        if others_push:
            with remote.on("other"):
                put(remote.config("another"), 7)
        lost.append(branch)
        raise ConnectionLost("Cannot push: the connection broke.")

    monkeypatch.setattr(pushing, "_push", losing)
    commit = put(remote.config(mode="append"), 1)
    assert lost == ["main"]
    assert remote.commits()[int(others_push)] == commit
    assert len(remote.commits()) == 2 + others_push
    assert remote.rows() == [1]


# ------------------------------------------------------------------------------------------------------------ reading


def here(remote: RemoteFolder) -> list[bool]:
    """Return of each clone of this machine whether it is shallow."""
    return sorted(is_shallow(clone) for clone in clones(remote.machine("here")))


def test_a_shallow_clone_for_a_table_and_a_whole_one_for_a_query(remote: RemoteFolder) -> None:
    """A table is read from one shallow clone, also after it changed; a query or a past state makes a whole one."""
    with remote.on("other"):
        for number in range(3):
            put(remote.config(), number)
    assert numbers(remote.config()) == [2]
    assert here(remote) == [True]
    with remote.on("other"):
        put(remote.config(), 3)
    assert numbers(remote.config()) == [3]
    assert here(remote) == [True]
    assert by_query(remote) == [3]
    assert here(remote) == [False, True]
    assert numbers(remote.config(as_of="HEAD~2")) == [1]
    assert here(remote) == [False, True]


def test_a_pinned_table_is_read_after_its_branch_moved(remote: RemoteFolder) -> None:
    """A machine that has no clone yet reads a commit that is not the head any more, as it was."""
    with remote.on("other"):
        put(remote.config(), 1)
        pinned = pin(remote.config())
        for number in range(2, 5):
            put(remote.config(), number)
    assert sorted(pinned.data["number"]) == [1]
    assert numbers(remote.config()) == [4]


def test_a_commit_that_the_remote_does_not_have(remote: RemoteFolder) -> None:
    """A reference to another repository's commit is RevisionNotFound, which names the remote."""
    put(remote.config(), 1)
    table = DoltTable(config=remote.config()).at(Commit("0" * 32, branch="main"))
    with pytest.raises(RevisionNotFound, match=f"'{remote.url}'"):
        _ = table.data


def test_a_branch_that_was_deleted_is_not_read(remote: RemoteFolder) -> None:
    """A branch that is gone from the remote is gone for tables, queries and writes, whatever the clone remembers."""
    put(remote.config(), 1)
    put(remote.config(branch_conf=NewBranch("run/1")), 2)
    with remote.cloned() as clone:
        dolt("push", "origin", ":run/1", cwd=clone)
    with pytest.raises(BranchNotFound, match="'run/1'.*'main'"):
        numbers(remote.config(branch_conf=SerialBranch("run/1")))
    with pytest.raises(BranchNotFound, match="'run/1'"):
        put(remote.config(branch_conf=SerialBranch("run/1")), 3)
    with pytest.raises(BranchNotFound, match="'run/1'"):
        by_query(remote, branch_conf=SerialBranch("run/1"))
    assert sorted(remotes.refs.branches(remotes.location_of(remote.config()))) == ["main"]
    put(remote.config(mode="append", branch_conf=NewBranch("run/1")), 3)
    assert remote.rows("run/1") == [1, 3]


def test_another_default_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is meant without a branch is what `dolt clone` takes, or that of the `Remote`, also after it was renamed."""
    remote = RemoteFolder.made(tmp_path, branch="trunk")
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(remote.machine("here")))
    put(remote.config(), 1)
    put(remote.config(branch_conf=NewBranch("dev")), 2)
    dev = Remote(remote.url, branch="dev")
    assert (numbers(remote.config()), numbers(remote.config(remote=dev))) == ([1], [2])
    put(remote.config(remote=dev), 3)
    with remote.cloned() as clone:
        assert values(clone, "SELECT number FROM log AS OF 'remotes/origin/dev'") == [3]
        dolt("branch", "main", "remotes/origin/trunk", cwd=clone)
        dolt("push", "origin", "main", cwd=clone)
        dolt("push", "origin", ":trunk", cwd=clone)
    assert by_query(remote) == [1]
    assert numbers(remote.config()) == [1]
    remote.let_go()
    with pytest.raises(BranchNotFound, match="'nope'"):
        read(remote.config(remote=Remote(remote.url, branch="nope")))
    with remote.on("fresh"), pytest.raises(BranchNotFound, match="'maim'"):
        read(remote.config(branch_conf=SerialBranch("maim")))
    with pytest.raises(BranchNotFound, match="'maim'.*'main'"):
        read(remote.config(branch_conf=SerialBranch("maim")))


# ------------------------------------------------------------------------------------------------------------- clones


def test_the_clones_are_private(remote: RemoteFolder) -> None:
    """Clones lie in folders that nobody else can look into; one that others may write to is refused."""
    machine = remote.machine("here")
    put(remote.config(), 1)
    made = [machine, *machine.iterdir()]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * len(made)
    machine.chmod(0o777)
    with pytest.raises(RepositoryReadOnly, match="folder"):
        numbers(remote.config())
    machine.chmod(0o700)
    assert numbers(remote.config()) == [1]


def test_the_clones_are_in_the_temporary_folder(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word about where, they are below the temporary folder, in a folder with the user's number."""
    monkeypatch.delenv("FLYTE_DOLT_CLONES")
    monkeypatch.setattr("tempfile.tempdir", str(remote.folder))
    put(remote.config(), 1)
    machine = remote.machine(f"flyte-dolt-clones-{os.getuid()}")
    assert len(clones(machine)) == 1
    assert stat.S_IMODE(machine.stat().st_mode) == 0o700


PARTS = {
    "repo_state.json": ".dolt/repo_state.json",
    "manifest": ".dolt/noms/manifest",
    "journal": ".dolt/noms/" + "v" * 32,
    "table files": ".dolt/noms/*.darc",
    "noms": ".dolt/noms",
    ".dolt": ".dolt",
    "all": ".",
}


@pytest.mark.parametrize(
    ("door", "part"), [*(("read", part) for part in PARTS), ("query", "journal"), ("write", "journal")]
)
def test_a_damaged_clone_is_made_anew(remote: RemoteFolder, part: str, door: str) -> None:
    """A clone of which a cleaner of temporary folders has removed a part is made again; nothing is lost."""
    put(remote.config(), 1)
    remove(remote, PARTS[part])
    if door == "read":
        assert numbers(remote.config()) == [1]
    elif door == "query":
        assert by_query(remote) == [1]
    else:
        put(remote.config(mode="append"), 2)
    assert remote.rows() == ([1, 2] if door == "write" else [1])


def remove(remote: RemoteFolder, pattern: str) -> None:
    """Remove a part of this machine's clone, which nobody has open any more."""
    (clone,) = clones(remote.machine("here"))
    assert is_left(clone)
    found = [clone] if pattern == "." else list(clone.glob(pattern))
    assert found
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_damaged_clone_that_another_process_has_open(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left to that process, and the error says so."""
    put(remote.config(), 1)
    (clone,) = clones(remote.machine("here"))
    assert is_left(clone)
    monkeypatch.setattr("flytekitplugins.dolt.repository.clones._ENDING_S", 0.2)
    holder = "import fcntl,os,sys; f=os.open(sys.argv[1],0); fcntl.flock(f,fcntl.LOCK_SH); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(clone / ".dolt")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (clone / PARTS["manifest"]).unlink()
        with pytest.raises(RepositoryBusy, match="process"):
            read(remote.config(as_of="HEAD"))
        process.communicate(b"\n")
    assert numbers(remote.config(as_of="HEAD")) == [1]


def test_old_clones_are_removed(remote: RemoteFolder) -> None:
    """A clone that nobody used for a day goes when another is made; one in use, and what is not ours, stays."""
    machine = remote.machine("here")
    put(remote.config(), 1)
    (old,) = clones(machine)
    assert is_left(old)
    put(DoltConfig("used", "log", remote_conf=Remote(remote.url)), 2)
    (used,) = {*clones(machine)} - {old}
    mine = machine / "mine"
    mine.mkdir()
    for file in (old.parent / ".lock", used.parent / ".lock", mine):
        os.utime(file, (time.time() - UNUSED_S - 60,) * 2)
    put(DoltConfig("new", "log", remote_conf=Remote(remote.url)), 3)
    assert not old.parent.exists()
    assert used.exists()
    assert mine.exists()


def test_one_writer_of_a_machine_waits_for_the_other_with_an_end(remote: RemoteFolder) -> None:
    """Who waits in vain for another writer of the same clone and branch is told so after `lock_timeout_s`."""
    put(remote.config(), 1)
    (clone,) = clones(remote.machine("here"))
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with branch_lock(clone, "main", 5):
            is_held.set()
            may_end.wait(120)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(60)
        with pytest.raises(RepositoryBusy, match=r"0\.2 s"):
            put(remote.config(lock_timeout_s=0.2), 2)
        put(remote.config(lock_timeout_s=0.2, branch_conf=NewBranch("run/1")), 3)
    finally:
        may_end.set()
        thread.join()
    assert (remote.rows(), remote.rows("run/1")) == ([1], [3])


@pytest.mark.parametrize(
    "db_path", ["root", "lock", ".hidden", "a b:c@d", "mysql", "information_schema", "/x/y/foo", ".."]
)
def test_any_db_path_names_a_clone(remote: RemoteFolder, db_path: str) -> None:
    """`db_path` is but a name beside a remote: nothing is opened there, and any will do."""
    config = DoltConfig(db_path, "log", remote_conf=Remote(remote.url))
    put(config, 1)
    assert numbers(config) == remote.rows() == [1]


def test_the_users_home_is_left_alone(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dolt's settings and credentials are those of the user's home, whichever it is, and nothing is written there."""
    for name in ("ann", "ben"):
        home = remote.folder / name
        (home / ".dolt" / "creds").mkdir(parents=True)
        (home / ".dolt" / "config_global.json").write_text(json.dumps({"user.name": name, "user.email": "x@x.org"}))
        before = sorted(home.rglob("*"))
        monkeypatch.setenv("HOME", str(home))
        put(remote.config(mode="append"), 1)
        assert sorted(home.rglob("*")) == before
        (root,) = remote.machine("here").glob("*/.root/.dolt")
        assert (root / "creds").resolve() == home / ".dolt" / "creds"
    assert remote.values("SELECT committer FROM dolt_log LIMIT 2") == ["ben", "ann"]


# ------------------------------------------------------------------------------------------------------------- errors


def doors(config: DoltConfig) -> list[object]:
    return [lambda: read(config), lambda: put(config, 1)]


@pytest.mark.parametrize("door", [0, 1], ids=["read", "write"])
@pytest.mark.parametrize(
    ("there", "found"),
    [
        ("nothing", "there is no such folder.*URL"),
        ("an empty folder", "contains no Dolt data.*URL"),
        ("a repository", "repository to work in.*db_path"),
    ],
)
def test_a_folder_without_a_repository(remote: RemoteFolder, there: str, found: str, door: int) -> None:
    """Where nothing was pushed yet is RepositoryNotFound; neither the folder nor anything in it is made."""
    place = remote.folder / "elsewhere"
    if there == "a repository":
        create_repository(place, name="Bo", email="bo@example.com")
    elif there != "nothing":
        place.mkdir()
    before = set(place.glob("*"))
    with pytest.raises(RepositoryNotFound, match=f"elsewhere'.*{found}"):
        doors(remote.config(remote=Remote(f"file://{place}")))[door]()  # type: ignore[operator]
    assert place.exists() is (there != "nothing")
    assert set(place.glob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "door", "words"),
    [("http://nowhere.invalid/foo", 0, "no such host"), ("http://127.0.0.1:1/foo", 1, "connection refused")],
)
def test_nobody_is_there(remote: RemoteFolder, url: str, door: int, words: str) -> None:
    """A host that does not exist, or a port that nobody listens on, is ConnectionLost with Dolt's words."""
    with pytest.raises(ConnectionLost, match=f"'{url}'.*code = Unavailable.*{words}"):
        doors(remote.config(remote=Remote(url)))[door]()  # type: ignore[operator]


def test_other_schemes(remote: RemoteFolder) -> None:
    """What is no URL of a remote is InvalidConfig, said by Dolt or before."""
    with pytest.raises(InvalidConfig, match="unknown url scheme: 'ftp'.*file://"):
        read(remote.config(remote=Remote("ftp://x.example/foo")))
    with pytest.raises(InvalidConfig, match="file:///folder"):
        Remote(str(remote.path))


def test_what_is_refused_on_a_remote(remote: RemoteFolder) -> None:
    """MergeBranch, tags and restoring are refused before anything is written."""
    put(remote.config(), 1)
    before = remote.commits()
    merging = remote.config(branch_conf=MergeBranch("run/1", into="main"))
    with pytest.raises(InvalidConfig, match="NewBranch.*SerialBranch"):
        put(merging, 2)
    words = "remote.*tags"
    with pytest.raises(InvalidConfig, match=words):
        put(remote.config(tag="v1"), 2)
    with pytest.raises(InvalidConfig, match=words):
        tag("v1", pin(remote.config()))
    with pytest.raises(InvalidConfig, match=words):
        restore(remote.config(), "HEAD~1")
    assert remote.commits() == before
    with remote.cloned() as clone:
        assert values(clone, "SELECT name FROM dolt_remote_branches") == ["remotes/origin/main"]
        assert values(clone, "SELECT tag_name FROM dolt_tags") == []


READ_ONLY = """
import sys
import pandas as pd
from flytekitplugins.dolt import DoltConfig, Remote, read, write
config = DoltConfig("foo", "log", remote_conf=Remote(sys.argv[1]))
print(read(config)["number"].tolist())
try:
    write(config, pd.DataFrame({"number": [2]}))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_remote_that_may_only_be_read(remote: RemoteFolder) -> None:
    """A share that is mounted read-only is read as any other; a write to it is RepositoryReadOnly."""
    put(remote.config(), 1)
    path = remote.path
    mount = f"mount --bind '{path}' '{path}' && mount -o remount,ro,bind '{path}' && exec \"$@\""
    wrapper = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*wrapper, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    environment = os.environ | {"FLYTE_DOLT_CLONES": str(remote.machine("reader"))}
    argv = [*wrapper, sys.executable, "-c", READ_ONLY, remote.url]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers, said = done.stdout.splitlines()
    assert numbers == "[1]"
    assert said.startswith(f"RepositoryReadOnly Cannot push branch 'main' to '{remote.url}': ")
    assert remote.rows() == [1]


# ------------------------------------------------------------------------------------------- a server's own endpoint

USERS = {
    "pusher": ("k9-right", "GRANT ALL ON *.* TO 'pusher'@'%' WITH GRANT OPTION"),
    "cloner": ("k9-right", "GRANT CLONE_ADMIN ON *.* TO 'cloner'@'%'"),
    "nobody": ("k9-right", None),
    "colon": ("k9:colon", "GRANT ALL ON *.* TO 'colon'@'%' WITH GRANT OPTION"),
}
SECRETS = {"RIGHT": "k9-right", "WRONG": "k9-wrong", "COLON": "k9:colon"}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in SECRETS.items():
        monkeypatch.setenv(f"_FSEC_REMOTE_{key}", value)


class Hub:
    """A server that is a remote, and how its users say so."""

    def __init__(self, server: DoltServer, machine: Path) -> None:
        self.server, self.machine = server, machine
        for name, (password, grant) in USERS.items():
            server.sql(f"CREATE USER '{name}'@'%%' IDENTIFIED BY %s", password)
            if grant is not None:
                server.sql(grant)

    def remote(
        self, user: str | None = "pusher", key: str | None = "right", *, port: int = 0, database: str = "foo"
    ) -> Remote:
        """Return the remote with the user's password, or another one."""
        secret = Secret("remote", key) if key is not None else None
        return Remote(f"http://127.0.0.1:{port or self.server.remotes_port}/{database}", user=user, secret=secret)

    def config(self, table: str = "log", *, remote: Remote | None = None, **options: object) -> DoltConfig:
        """Return a config for a table there."""
        return DoltConfig("foo", table, remote_conf=remote or self.remote(), **options)  # type: ignore[arg-type]

    def rows(self, branch: str = "main", *, table: str = "log") -> list[int]:
        """Return the numbers in a table, as the server's operator sees them."""
        found = self.server.sql(f"SELECT number FROM `{table}` AS OF '{branch}' ORDER BY number")
        return [number for (number,) in found]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Give a server that is a remote; the test is on a machine of its own."""
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "here"))
    with DoltServer(tmp_path / "foo", remotes_port=free_port()) as server:
        yield Hub(server, tmp_path / "here")
    for clone in clones(tmp_path / "here"):
        assert is_left(clone)


@pytest.mark.slow
def test_written_and_read_over_http(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A superuser pushes to a server's own endpoint: new branch and old, and another machine reads both."""
    said = [put(hub.config(mode="append"), number) for number in range(2)]
    said.append(put(hub.config(mode="append", branch_conf=NewBranch("run/1")), 2))
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(hub.machine / "other"))
    assert (numbers(hub.config()), numbers(hub.config(branch_conf=SerialBranch("run/1")))) == ([0, 1], [0, 1, 2])
    assert numbers(DoltConfig("foo", sql="select number from log", remote_conf=hub.remote())) == [0, 1]
    for clone in clones(hub.machine / "other"):
        assert is_left(clone)
    assert hub.server.values("SELECT commit_hash FROM dolt_log('run/1')")[:3] == said[::-1]
    assert hub.server.values("SELECT commit_hash FROM dolt_log")[:2] == said[1::-1]
    assert hub.server.values("SELECT table_name FROM dolt_status") == []


@pytest.mark.slow
def test_sixteen_pushes_to_a_server(hub: Hub) -> None:
    """As many land when the remote is a server, whose users see them as they come."""
    config = hub.config(mode="append")
    first = put(config, -1)
    said = write_at_once(config, [hub.machine / "a", hub.machine / "b"], how_often=8)
    check_sixteen(hub.server.folder, first, said)


@pytest.mark.slow
@pytest.mark.parametrize("door", [0, 1], ids=["read", "write"])
def test_who_is_not_let_in(hub: Hub, door: int) -> None:
    """Wrong, missing and impossible passwords and missing rights are AccessDenied with the reason and what to do."""
    cases = [
        ("pusher", "wrong", "Unauthenticated"),
        ("stranger", "right", "Unauthenticated"),
        ("nobody", "right", "PermissionDenied"),
        ("pusher", None, r"must set DOLT_REMOTE_PASSWORD.*Remote\(url, user=..., secret="),
        ("colon", "colon", "password.*':'"),
    ]
    for user, key, words in cases:
        with pytest.raises(AccessDenied, match=words) as caught:
            doors(hub.config(remote=hub.remote(user, key)))[door]()  # type: ignore[operator]
        assert not [value for value in SECRETS.values() if value in str(caught.value)]
    with pytest.raises(SecretNotFound, match="_FSEC_REMOTE_LOST"):
        doors(hub.config(remote=hub.remote("pusher", "lost")))[door]()  # type: ignore[operator]
    assert hub.server.values("SHOW TABLES") == []


@pytest.mark.slow
def test_a_password_is_asked_for_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the right password a wrong one does not go through, and one that was changed does."""
    put(hub.config(), 1)
    for wrong in (hub.remote("pusher", "wrong"), hub.remote("pusher", None)):
        with pytest.raises(AccessDenied, match="Unauthenticated|must set"):
            numbers(hub.config(remote=wrong))
    hub.server.sql("ALTER USER 'pusher'@'%%' IDENTIFIED BY %s", "new")
    with pytest.raises(AccessDenied, match="Unauthenticated"):
        put(hub.config(), 2)
    monkeypatch.setenv("_FSEC_REMOTE_RIGHT", "new")
    put(hub.config(), 3)
    assert hub.rows() == [3]
    monkeypatch.setenv("DOLT_REMOTE_PASSWORD", "new")
    assert numbers(hub.config(remote=hub.remote("pusher", None))) == [3]


@pytest.mark.slow
def test_who_may_clone_only(hub: Hub) -> None:
    """CLONE_ADMIN reads; its push is AccessDenied, and what it could not push is not read either."""
    put(hub.config(), 1)
    cloner = hub.remote("cloner")
    assert numbers(hub.config(remote=cloner)) == [1]
    with pytest.raises(AccessDenied, match="'main'.*PermissionDenied.*SuperUser"):
        put(hub.config(remote=cloner), 2)
    assert hub.rows() == [1]
    assert numbers(DoltConfig("foo", sql="select number from log", remote_conf=cloner)) == [1]


@pytest.mark.slow
def test_uncommitted_work_on_the_server(hub: Hub) -> None:
    """A branch on which somebody works on the server is not pushed over: UncommittedChanges; other branches are."""
    put(hub.config(), 1)
    hub.server.sql("CREATE TABLE draft (n INT PRIMARY KEY)")
    with pytest.raises(UncommittedChanges, match="'main'.*NewBranch"):
        put(hub.config(), 2)
    put(hub.config(branch_conf=NewBranch("run/1")), 2)
    assert (hub.rows(), hub.rows("run/1")) == ([1], [2])
    assert hub.server.values("SELECT table_name FROM dolt_status") == ["draft"]


@pytest.mark.slow
def test_a_database_that_the_server_does_not_have(hub: Hub) -> None:
    """Another database's name in the URL is RepositoryNotFound."""
    with pytest.raises(RepositoryNotFound, match="desc = database not found: bar.*URL"):
        read(hub.config(remote=hub.remote(database="bar")))


@pytest.mark.slow
def test_a_server_that_was_stopped(hub: Hub) -> None:
    """While it is stopped each door is ConnectionLost, with nothing written; afterwards all goes on."""
    put(hub.config(), 1)
    hub.server.stop()
    for door in doors(hub.config()):
        with pytest.raises(ConnectionLost, match="'main'.*code = Unavailable.*connection refused"):
            door()  # type: ignore[operator]
    hub.server.start()
    put(hub.config(mode="append"), 2)
    assert hub.rows() == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("is_back", [False, True], ids=["for good", "and back at once"])
def test_a_server_that_is_killed_before_the_push(hub: Hub, monkeypatch: pytest.MonkeyPatch, is_back: bool) -> None:
    """Killed between fetch and push: written once if it is back, else OutcomeUnknown, and once when tried again."""
    put(hub.config(), 1)
    push = pushing._push

    def killing(*args: object) -> None:
        monkeypatch.setattr(pushing, "_push", push)
        hub.server.kill()
        if is_back:
            hub.server.start()
        push(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pushing, "_push", killing)
    config = hub.config(mode="append")
    if not is_back:
        with pytest.raises(OutcomeUnknown, match=r"commit \w+"):
            write(config, rows(2), key="second")
        hub.server.start()
        assert hub.rows() == [1]
    write(config, rows(2), key="second")
    write(config, rows(2), key="second")
    assert hub.rows() == [1, 2]


@pytest.fixture
def cut(hub: Hub) -> Iterator[Cutter]:
    """Give a proxy before the server's endpoint."""
    with closing(Cutter(hub.server.remotes_port)) as cutter:
        yield cutter


def pieces(hub: Hub, cut: Cutter, config: DoltConfig) -> int:
    """Return in how many pieces the server answers one write."""
    put(config, -2)
    cut.cut_at(0)
    put(config, -1)
    return cut.passed


@pytest.mark.slow
@pytest.mark.timeout(300 * FACTOR)
def test_cut_once_anywhere(hub: Hub, cut: Cutter) -> None:
    """Whichever piece of the server's answers is lost, in fetching and in pushing, the write is there once."""
    config, chance = hub.config(mode="append", remote=hub.remote(port=cut.port)), random.Random(SEED)
    count = pieces(hub, cut, config)
    said, used = [], 0
    while len(said) < 8 * FACTOR or used <= 4 * FACTOR:
        number = len(said)
        assert number < 40 * FACTOR
        cut.cut_at(chance.randrange(1, count // 2) if number % 2 else chance.randrange(max(1, count - 12), count))
        said.append(put(config, number))
        used += cut.was_used
        if not cut.was_used:  # where the machine is busy, more comes in one piece
            count = cut.passed
    cut.cut_at(0)
    assert hub.rows() == [-2, -1, *range(len(said))]
    assert hub.server.values("SELECT commit_hash FROM dolt_log")[: len(said)] == said[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["at once", "as the push ends"])
def test_cut_for_good(hub: Hub, cut: Cutter, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """From a piece on nobody answers any more: the error says whether the commit may be there, and is right."""
    config = hub.config(mode="append", remote=hub.remote(port=cut.port))
    push, before, at = pushing._push, 0, 0

    def pushed(*arguments: Any) -> None:
        nonlocal before, at
        before = cut.passed
        if at:  # counted from here, as there may be more or less pieces before the push each time
            cut.cut_at(at, for_good=True)
            at = 0
        push(*arguments)

    monkeypatch.setattr(pushing, "_push", pushed)
    count = pieces(hub, cut, config)
    if moment == "at once":
        cut.cut_at(1, for_good=True)
    else:
        at = 1 + int(0.8 * (count - before))
    try:
        write(config, rows(1), key="once")
        told = "written"
    except OutcomeUnknown:
        told = "unknown"
    except ConnectionLost:
        told = "not written"
    assert told == "not written" if moment == "at once" else told in ("unknown", "written")
    allowed = {"written": ([-2, -1, 1],), "not written": ([-2, -1],), "unknown": ([-2, -1], [-2, -1, 1])}
    assert hub.rows() in allowed[told]
    cut.cut_at(0)
    write(config, rows(1), key="once")
    assert hub.rows() == [-2, -1, 1]


@pytest.mark.slow
def test_a_server_that_hangs_up(hub: Hub) -> None:
    """What breaks off in the middle is ConnectionLost, in whichever words Dolt says it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()

    threading.Thread(target=hang_up, daemon=True).start()
    try:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionLost, match=f":{port}/foo"):
            read(hub.config(remote=hub.remote(port=port)))
    finally:
        listener.close()


@pytest.mark.slow
def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`https://` is verified: a private authority has to be named in SSL_CERT_FILE, and an expired one is refused."""
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "here"))
    authority = Authority(tmp_path)
    for name, good_for, works in (("good", timedelta(days=1), True), ("expired", timedelta(days=-1), False)):
        signed = authority.sign("localhost", name=name, good_for=good_for)
        with DoltServer(tmp_path / name, certificate=signed, remotes_port=free_port()) as server:
            hub = Hub(server, tmp_path / "here")
            remote = Remote(
                f"https://localhost:{server.remotes_port}/{name}", user="pusher", secret=Secret("remote", "right")
            )
            config = DoltConfig("foo", "log", remote_conf=remote)
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
            if works:
                with monkeypatch.context() as patch:
                    patch.delenv("SSL_CERT_FILE")
                    with pytest.raises(UntrustedServer, match="tls: .*x509: "):
                        read(config)
                put(config, 1)
                assert numbers(config) == hub.rows() == [1]
            else:
                with pytest.raises(UntrustedServer, match=r"x509: certificate has expired"):
                    read(config)
    for clone in clones(tmp_path / "here"):
        assert is_left(clone)
