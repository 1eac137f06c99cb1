"""Repositories that are cloned and pushed to: what several machines do with one remote, and all that can go wrong.

A machine is a folder for clones of its own. What a remote holds is asked of the `dolt` command line in a new clone.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from remote_folder import RemoteFolder, clones, dolt, is_left, is_shallow, values

from flytekitplugins.dolt import (
    Commit,
    DoltConfig,
    DoltTable,
    MergeBranch,
    NewBranch,
    Remote,
    SerialBranch,
    pin,
    read,
    remotes,
    restore,
    tag,
    write,
)
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    ConnectionLost,
    HeadMoved,
    InvalidConfig,
    RepositoryBusy,
    RepositoryNotFound,
    RepositoryReadOnly,
    RevisionNotFound,
    SchemaMismatch,
)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteFolder]:
    """Give a new remote with an empty branch `main`; the test is on the machine "here"."""
    made = RemoteFolder.made(tmp_path)
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(made.machine("here")))
    yield made
    made.let_go()


def rows(*numbers: int) -> pd.DataFrame:
    return pd.DataFrame({"number": list(numbers)})


def put(config: DoltConfig, *numbers: int) -> str:
    """Write rows and return the commit that is said to hold them."""
    commit = write(config, rows(*numbers), message=f"put {numbers}").commit
    assert commit is not None
    return commit.hash


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


WRITER = """\
import sys
import pandas as pd
from flytekitplugins.dolt import DoltConfig, Remote, read, write
url, me, how_often = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = DoltConfig("foo", "log", remote_conf=Remote(url), mode="append")
read(config)
print("ready", flush=True)
input()
for number in range(how_often):
    print(write(config, pd.DataFrame({"number": [100 * me + number]}), message="put").commit.hash, flush=True)
"""


def write_at_once(remote: RemoteFolder, machines: list[str], *, how_often: int) -> dict[str, int]:
    """Let a process on each machine append rows from the same moment on, and return what each commit is said to add."""
    started = []
    for me, name in enumerate(machines):
        environment = os.environ | {"FLYTE_DOLT_CLONES": str(remote.machine(name))}
        argv = [sys.executable, "-c", WRITER, remote.url, str(me), str(how_often)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(argv, env=environment, **pipes))  # type: ignore[call-overload]
    try:
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=200)[0].split() for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * len(machines)
    return {commit: 100 * me + number for me, commits in enumerate(said) for number, commit in enumerate(commits)}


@pytest.mark.slow
@pytest.mark.parametrize("machines", [["a", "b"], ["a", "a"], ["a", "a", "b", "b"]], ids="-".join)
def test_sixteen_pushes_at_once(remote: RemoteFolder, machines: list[str]) -> None:
    """Of 16 pushes at once, from two clones or from processes that share one, 16 land, each with its own row only."""
    first = put(remote.config(), -1)
    said = write_at_once(remote, machines, how_often=16 // len(machines))
    assert len(said) == 16
    with remote.cloned() as clone:
        log = values(clone, "SELECT commit_hash FROM dolt_log")
        assert log[-2] == first
        assert set(log[:-2]) == set(said)
        assert len(log) == 18
        for commit, number in said.items():
            changed = f"FROM dolt_diff('{commit}~1', '{commit}', 'log')"
            assert values(clone, f"SELECT CONCAT(diff_type, ' ', to_number) {changed}") == [f"added {number}"]
        assert values(clone, "SELECT number FROM log ORDER BY number") == sorted([-1, *said.values()])


class Rival:
    """Somebody on another machine who pushes just before each of our own pushes, ``times`` times."""

    def __init__(self, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
        self.remote, self.times, self.pushes, self.rejected = remote, times, 0, 0
        self._push = remotes._push
        monkeypatch.setattr(remotes, "_push", self.push)

    def push(self, origin: remotes.Origin, clone: Path, branch: str) -> None:
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


def test_redoing_has_an_end(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loses every race is told so; the others' commits stand, nothing of ours is pushed or read."""
    put(remote.config(), 0)
    monkeypatch.setattr(remotes, "MAX_ATTEMPTS", 3)
    rival = Rival(remote, monkeypatch, times=3)
    with pytest.raises(HeadMoved, match=r"each of 3 attempts failed.*NewBranch") as caught:
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
        patch.setattr(remotes, "_push", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt("now")))
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
    push, lost = remotes._push, []

    def losing(origin: remotes.Origin, clone: Path, branch: str) -> None:
        push(origin, clone, branch)
        monkeypatch.setattr(remotes, "_push", push)
        if others_push:
            with remote.on("other"):
                put(remote.config("another"), 7)
        lost.append(branch)
        raise ConnectionLost("Cannot push: the connection broke.")

    monkeypatch.setattr(remotes, "_push", losing)
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
    with pytest.raises(RevisionNotFound, match=f"the remote '{remote.url}' does not hold it"):
        _ = table.data


def test_a_branch_that_was_deleted_is_not_read(remote: RemoteFolder) -> None:
    """A branch that is gone from the remote is gone for tables and queries, whatever the clone remembers."""
    put(remote.config(), 1)
    put(remote.config(branch_conf=NewBranch("run/1")), 2)
    with remote.cloned() as clone:
        dolt("push", "origin", ":run/1", cwd=clone)
    with pytest.raises(BranchNotFound, match=r"Cannot read branch 'run/1'.*The branches are 'main'"):
        numbers(remote.config(branch_conf=SerialBranch("run/1")))
    with pytest.raises(BranchNotFound, match="Cannot read branch 'run/1'"):
        by_query(remote, branch_conf=SerialBranch("run/1"))
    assert sorted(remotes.repository.branches(remotes.place_of(remote.config()))) == ["main"]


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
    with pytest.raises(BranchNotFound, match="it has no branch 'nope'"):
        read(remote.config(remote=Remote(remote.url, branch="nope")))
    with pytest.raises(BranchNotFound, match=r"'maim'.* Did you mean 'main'\?"):
        read(remote.config(branch_conf=SerialBranch("maim")))


# ------------------------------------------------------------------------------------------------------------- clones


def test_the_clones_are_private(remote: RemoteFolder) -> None:
    """Clones lie in folders that nobody else can look into; one that others may write to is refused."""
    machine = remote.machine("here")
    put(remote.config(), 1)
    made = [machine, *machine.iterdir()]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * len(made)
    machine.chmod(0o777)
    with pytest.raises(RepositoryReadOnly, match="others may write to that folder"):
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
    monkeypatch.setattr(remotes, "_ENDING_S", 0.2)
    holder = "import fcntl,os,sys; f=os.open(sys.argv[1],0); fcntl.flock(f,fcntl.LOCK_SH); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(clone / ".dolt")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (clone / PARTS["manifest"]).unlink()
        with pytest.raises(RepositoryBusy, match="out of date or damaged, and another process has it open"):
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
        os.utime(file, (time.time() - remotes.UNUSED_S - 60,) * 2)
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
        with remotes._branch_lock(clone, "main", 5):
            is_held.set()
            may_end.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(5)
        with pytest.raises(RepositoryBusy, match=r"another process of this machine has been at it for 0\.2 s"):
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
@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_a_folder_without_a_repository(remote: RemoteFolder, there: str, door: int) -> None:
    """Where nothing was pushed yet is RepositoryNotFound, said by Dolt or before; no folder is made for it."""
    place = remote.folder / "elsewhere"
    if there != "nothing":
        place.mkdir()
    found = "there is no such folder" if there == "nothing" else "remote at that url contains no Dolt data"
    with pytest.raises(RepositoryNotFound, match=rf"elsewhere': .*{found}\. Check the URL, or push a repository there"):
        doors(remote.config(remote=Remote(f"file://{place}")))[door]()  # type: ignore[operator]
    assert place.exists() is (there != "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("door", [0, 1], ids=["read", "write"])
@pytest.mark.parametrize(
    ("url", "words"),
    [("http://nowhere.invalid/foo", "no such host"), ("http://127.0.0.1:1/foo", "connection refused")],
)
def test_nobody_is_there(remote: RemoteFolder, url: str, words: str, door: int) -> None:
    """A host that does not exist, or a port that nobody listens on, is ConnectionLost with Dolt's words."""
    with pytest.raises(ConnectionLost, match=f"Cannot clone '{url}': .*code = Unavailable.*{words}"):
        doors(remote.config(remote=Remote(url)))[door]()  # type: ignore[operator]


def test_other_schemes(remote: RemoteFolder) -> None:
    """What is no URL of a remote is InvalidConfig, said by Dolt or before."""
    with pytest.raises(InvalidConfig, match=r"unknown url scheme: 'ftp'\. A remote is file://"):
        read(remote.config(remote=Remote("ftp://x.example/foo")))
    with pytest.raises(InvalidConfig, match=r"it is a path.*Write it as file:///folder"):
        Remote(str(remote.path))


def test_what_is_refused_on_a_remote(remote: RemoteFolder) -> None:
    """MergeBranch, tags and restoring are refused before anything is written."""
    put(remote.config(), 1)
    before = remote.commits()
    merging = remote.config(branch_conf=MergeBranch("run/1", into="main"))
    with pytest.raises(InvalidConfig, match="only NewBranch and SerialBranch are offered with a remote"):
        put(merging, 2)
    words = "only writes of tables are pushed to a remote, and no tags"
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
