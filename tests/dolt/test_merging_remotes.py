"""Merging and tidying up on a remote: done in a clone, pushed, and seen by everybody who clones it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from dolt_server import PASSWORD, SECRET, VARIABLE, DoltServer, free_port
from remote_folder import RemoteFolder, dolt

from flytekitplugins.dolt import (
    DoltConfig,
    MergeBranch,
    NewBranch,
    Remote,
    delete_run_branches,
    merge,
    read,
    run_branches,
    tag,
    write,
)
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    ChecksFailed,
    InvalidConfig,
    MergeConflict,
    RepositoryNotFound,
    RevisionNotFound,
)
from flytekitplugins.dolt.history import pushing
from flytekitplugins.dolt.repository import remotes


def put(remote: RemoteFolder, numbers: list[int], **options: object) -> DoltConfig:
    """Write rows to the remote's table, as a machine of their own would, and return the config."""
    config = remote.config(primary_key=["number"], **options)
    write(config, pd.DataFrame({"number": numbers, "twice": [2 * number for number in numbers]}))
    return config


def test_a_merge_is_pushed(remote: RemoteFolder) -> None:
    """A fresh clone has one commit more with two parents, and the rows of both sides; the branch stays as it is."""
    main_ = put(remote, [1])
    put(remote, [1, 2], branch_conf=NewBranch("run/1"))
    put(remote, [1, 3])
    before, other = remote.commits(), remote.commits("run/1")
    commit = merge("run/1", db_path=main_, message="take it")
    assert commit.branch == "main"
    assert remote.rows() == [1, 2, 3]
    assert remote.commits()[0] == commit.hash
    assert set(remote.commits()) == {commit.hash, *before, *other}
    assert remote.values("SELECT message FROM dolt_log('remotes/origin/main') LIMIT 1")[0].startswith("take it")
    assert remote.commits("run/1") == other
    with remote.on("another"):
        assert sorted(read(main_)["number"]) == [1, 2, 3]
        assert merge("run/1", db_path=main_) == commit  # it is in already: nothing is pushed
    assert remote.commits()[0] == commit.hash


def test_a_merge_goes_into_any_branch(remote: RemoteFolder) -> None:
    """One that is named, the one of the config's remote, or the default one; what is not there is an error."""
    config = put(remote, [1])
    put(remote, [1], branch_conf=NewBranch("release"))
    put(remote, [1, 2], branch_conf=NewBranch("run/1"))
    assert merge("run/1", db_path=config, into="release").branch == "release"
    assert (remote.rows("release"), remote.rows()) == ([1, 2], [1])
    put(remote, [1, 2, 3], branch_conf=NewBranch("run/2"))
    on_release = replace(config, remote_conf=Remote(remote.url, branch="release"))
    assert merge("run/2", db_path=on_release).branch == "release"
    assert (remote.rows("release"), remote.rows()) == ([1, 2, 3], [1])
    with pytest.raises(BranchNotFound, match="'nope'"):
        merge("run/2", db_path=config, into="nope")
    with pytest.raises(RevisionNotFound, match="'nope'"):
        merge("nope", db_path=config)


def test_what_does_not_merge_is_not_pushed(remote: RemoteFolder) -> None:
    """Conflicts and checks that do not pass leave the remote as it is; a side or rows settle them as elsewhere."""
    config = put(remote, [1])
    keyed = remote.config(mode="upsert")
    write(replace(keyed, branch_conf=NewBranch("run/1")), pd.DataFrame({"number": [1], "twice": [70]}))
    write(keyed, pd.DataFrame({"number": [1], "twice": [80]}))
    before = remote.commits()
    with pytest.raises(MergeConflict, match="'log' has 1 conflicting rows") as conflict:
        merge("run/1", db_path=config)
    with pytest.raises(ChecksFailed, match="found 1 rows"):
        merge("run/1", db_path=config, strategy="theirs", checks=["select * from log where twice = 70"])
    with remote.on("another"):
        with pytest.raises(MergeConflict, match="'log'"):
            merge("run/1", db_path=config)
    assert remote.commits() == before
    rows = conflict.value.frames["log"]
    rows["twice"] = 75
    merge(
        "run/1",
        db_path=config,
        resolve=rows,
        checks={"75": lambda query: list(query("select twice from log").twice) == [75]},
    )
    assert remote.values("SELECT twice FROM log AS OF 'remotes/origin/main'") == [75]


def test_a_merge_is_done_again_when_a_push_was_faster(remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result has what the other push brought, too: it is that of one after the other."""
    config = put(remote, [1])
    put(remote, [1, 2], branch_conf=NewBranch("run/1"))
    send, faster = pushing._send, [3]

    def behind(*given: object) -> None:
        if faster:
            with remote.on("another"):
                number = faster.pop()
                write(remote.config(mode="append"), pd.DataFrame({"number": [number], "twice": [2 * number]}))
        send(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(pushing, "_send", behind)
    commit = merge("run/1", db_path=config)
    assert faster == []
    assert remote.rows() == [1, 2, 3]
    assert remote.commits()[0] == commit.hash


def test_old_branches_are_listed_and_deleted(remote: RemoteFolder) -> None:
    """Those under the prefix, on the remote itself; who deletes them elsewhere meanwhile has deleted them."""
    config = put(remote, [1])
    for number in (1, 2):
        put(remote, [1, number + 1], branch_conf=NewBranch(f"run/{number}"))
    put(remote, [1, 9], branch_conf=NewBranch("keep"))
    assert [each.name for each in run_branches(config)] == ["run/1", "run/2"]
    assert delete_run_branches(config, older_than=timedelta(days=1)) == []
    heads = remote.values("SELECT name FROM dolt_remote_branches")
    assert len(heads) == 4
    with remote.on("another"):
        assert [each.name for each in run_branches(config)] == ["run/1", "run/2"]
        head = next(each.head.hash for each in run_branches(config) if each.name == "run/2")
    with remote.cloned() as clone:
        dolt("push", "origin", ":run/1", cwd=clone)
    assert [each.name for each in delete_run_branches(config, older_than=timedelta(0))] == ["run/2"]
    assert sorted(remote.values("SELECT name FROM dolt_remote_branches")) == [
        "remotes/origin/keep",
        "remotes/origin/main",
    ]
    assert run_branches(config) == []
    assert remote.rows("keep") == [1, 9]
    put(remote, [1, 5], branch_conf=NewBranch("run/2"))
    assert not pushing.delete(remotes.origin_to_push(config), "run/2", head)  # type: ignore[arg-type]
    assert remote.rows("run/2") == [1, 5]


def test_what_is_not_offered_says_what_does(remote: RemoteFolder) -> None:
    """A task that merges by itself, and tags."""
    config = put(remote, [1])
    with pytest.raises(InvalidConfig, match=r"NewBranch.*merge\("):
        write(replace(config, branch_conf=MergeBranch("run/1", into="main")), pd.DataFrame({"number": [1]}))
    with pytest.raises(InvalidConfig, match="without remote_conf"):
        tag("v1", db_path=config)


def test_the_command_line_takes_a_remote(remote: RemoteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Its URL stands where a folder would."""
    put(remote, [1])
    put(remote, [1, 2], branch_conf=NewBranch("run/1"))
    assert main(["merge", "run/1", "--db", remote.url]) == 0
    assert remote.rows() == [1, 2]
    capsys.readouterr()
    assert main(["show", "log", "--db", remote.url]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["      1      2", "      2      4"]
    assert main(["doctor", "--db", remote.url]) in (0, 1)
    assert "  has 2 branches, and 'main' is checked out" in capsys.readouterr().out


def test_a_remote_without_a_first_push_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and one that is not there."""
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "clones"))
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(RepositoryNotFound, match="dolt push"):
            read(DoltConfig("foo", "log", remote_conf=Remote(f"file://{tmp_path / name}")))


def test_a_servers_own_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges and deletions of branches are pushed to it as tables are; work that is in no commit there stays."""
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "clones"))
    monkeypatch.setenv(VARIABLE, PASSWORD.replace(":", ""))
    with DoltServer(tmp_path / "shop", remotes_port=free_port()) as server:
        server.add_user("pusher", PASSWORD.replace(":", ""))
        server.sql("GRANT ALL ON *.* TO 'pusher'@'%%' WITH GRANT OPTION")
        url = f"http://127.0.0.1:{server.remotes_port}/{server.database}"
        config = DoltConfig("foo", "log", remote_conf=Remote(url, user="pusher", secret=SECRET))
        write(config, pd.DataFrame({"number": [1]}))
        write(replace(config, branch_conf=NewBranch("run/1")), pd.DataFrame({"number": [1, 2]}))
        commit = merge("run/1", db_path=config)
        assert server.sql("SELECT DOLT_HASHOF('main')") == [(commit.hash,)]
        assert [each.name for each in delete_run_branches(config, older_than=timedelta(0))] == ["run/1"]
        assert server.sql("SELECT name FROM dolt_branches") == [("main",)]
        write(replace(config, branch_conf=NewBranch("run/2")), pd.DataFrame({"number": [1, 2]}))
        with closing(server.operated()) as operator, operator.cursor() as cursor:
            cursor.execute("CALL DOLT_CHECKOUT('run/2')")
            cursor.execute("INSERT INTO log VALUES (9)")
            operator.commit()
        assert delete_run_branches(config, older_than=timedelta(0)) == []  # somebody works on it
        assert server.sql("SELECT name FROM dolt_branches WHERE dirty") == [("run/2",)]
