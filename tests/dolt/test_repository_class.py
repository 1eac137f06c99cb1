"""`Repository` does what the functions do, on a folder, a server and a remote, and is a value."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from dolt_server import PASSWORD, VARIABLE, DoltServer
from remote_folder import RemoteFolder

import flytekitplugins.dolt as dolt
from flytekitplugins.dolt import DoltConfig, NewBranch, Repository, Secret, errors, read, write

ONE_REPOSITORY = True

USERS = pd.DataFrame({"id": [1, 2], "n": [1, 1]})
CHANGED = pd.DataFrame({"id": [1, 2, 3], "n": [1, 2, 3]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoltServer]:
    """Give a Dolt server of its own."""
    with pytest.MonkeyPatch.context() as patch, DoltServer(tmp_path_factory.mktemp("class") / "shop") as running:
        patch.setenv(VARIABLE, PASSWORD)
        yield running


@pytest.fixture(params=["folder", "server"])
def place(request: pytest.FixtureRequest, repo: Path) -> DoltConfig:
    """Give a config of a table that is not there yet, in a repository of each form that can be written in every way."""
    if request.param == "folder":
        return DoltConfig(str(repo), "users", primary_key=["id"])
    running: DoltServer = request.getfixturevalue("server")
    return running.config("users", primary_key=["id"])


def test_its_methods_say_what_the_functions_say(place: DoltConfig) -> None:
    """Reading, comparing, tagging, merging and going back: one object, the same answers as by the functions."""
    here = Repository(place)
    first = write(here.config("users", primary_key=["id"]), USERS)
    write(here.config("users", branch_conf=NewBranch("run/1")), CHANGED)
    assert first.commit is not None
    head = first.commit.hash
    main = str(first.commit.branch)
    assert here.table("users").data.to_dict("list") == USERS.to_dict("list")
    assert here.branches()[main] == head
    assert here.log(limit=1)[0].hash == head
    assert here.log("run/1", table="users", limit=1)[0].hash == here.branches()["run/1"]
    found = here.diff(main, "run/1", table="users")
    assert (found.added, found.modified, found.removed) == (1, 1, 0)
    assert [branch.name for branch in here.run_branches()] == ["run/1"]
    assert here.tag("v1", at=main).commit.hash == head
    assert [tag.name for tag in here.tags()] == [tag.name for tag in dolt.tags(place)] == ["v1"]
    merged = here.merge("run/1", into=main)
    assert read(place).to_dict("list") == CHANGED.to_dict("list")
    assert [str(table.commit and table.commit.hash) for table in here.versions("users", last=9)][-1] == head
    assert here.versions("users", last=1)[0].commit == dolt.versions(place, last=1)[0].commit
    assert here.first_appeared("users").hash == head
    assert here.lineage(merged) == dolt.lineage(merged, db_path=place)
    assert here.lineage(merged).start.commit.hash == merged.hash
    assert here.execution_of("v1") is None
    assert here.commits_of("nobody") == ()
    assert here.restore("users", "v1").data.to_dict("list") == USERS.to_dict("list")
    assert [branch.name for branch in here.delete_run_branches(older_than=timedelta(0))] == ["run/1"]
    assert here.delete_tag("v1").name == "v1"
    assert here.tags() == []
    with pytest.raises(errors.RevisionNotFound, match="'v1'"):
        here.delete_tag("v1")


def test_a_remote_is_looked_at_in_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read and written, the log and differences are those of the remote; what is not pushed is refused."""
    remote = RemoteFolder.made(tmp_path)
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(remote.machine("here")))
    here = Repository(remote.config())
    write(here.config("log"), pd.DataFrame({"number": [1]}))
    write(here.config("log"), pd.DataFrame({"number": [2]}))
    assert here.table("log").data["number"].tolist() == [2]
    assert [commit.hash for commit in here.log(limit=2)] == remote.commits()[:2]
    assert here.branches() == {"main": remote.commits()[0]}
    newest, before = here.versions("log", last=2)
    assert str(here.diff(before, newest)) == str(here.diff("HEAD~1", "HEAD", table="log"))
    assert str(here.diff("HEAD~1", "HEAD", table="log")) == "log: 1 added, 0 modified, 1 removed"
    assert len(here.versions("log")) == 2
    with pytest.raises(errors.InvalidConfig, match="remote_conf"):
        here.tag("v1")
    remote.let_go()


def test_it_is_a_value(repo: Path) -> None:
    """Equal by what it names, whichever table it was taken from; it travels, and has no room for a password."""
    here = Repository(repo)
    assert here == Repository(str(repo)) == Repository(DoltConfig(str(repo), "users", columns=["id"]))
    assert len({here, Repository(str(repo))}) == 1
    assert here != Repository(repo.parent)
    assert here != str(repo)
    assert pickle.loads(pickle.dumps(here)) == here
    assert repr(here) == f"Repository({str(repo)!r})"
    url = "mysql+pymysql://ann@db.example/shop"
    assert (
        repr(Repository(DoltConfig(url, secret=Secret("g", "k"))))
        == f"Repository({url!r}, secret={Secret('g', 'k')!r})"
    )
    with pytest.raises(errors.InvalidConfig, match="db.example") as refused:
        Repository(url.replace("ann", "ann:hunter2"))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("given", [5, None, b"foo", ["foo"], ""])
def test_what_names_no_repository_is_refused(given: object) -> None:
    """The error says what was given and what is taken."""
    with pytest.raises(errors.InvalidConfig, match="DoltConfig") as refused:
        Repository(given)  # type: ignore[arg-type]
    assert repr(given) in str(refused.value)


def test_what_is_not_there_is_told_when_it_is_looked_at(tmp_path: Path) -> None:
    """Making one asks nothing; a folder without a repository, and an option that no config has, are clear errors."""
    here = Repository(tmp_path)
    with pytest.raises(errors.RepositoryNotFound, match="dolt init") as found:
        here.branches()
    assert str(tmp_path) in str(found.value)
    with pytest.raises(TypeError, match="keys"):
        here.config("users", keys=["id"])
    with pytest.raises(TypeError, match="keys"):
        here.table("users", keys=["id"])
