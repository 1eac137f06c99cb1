"""`meta_conf`: each load and save is told, as a row of a table or as a call; the earlier plugin's objects are taken."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import doltcli
import pandas as pd
import pytest
from flytekit import task, workflow

from flytekitplugins.dolt import (
    CallbackMeta,
    DoltConfig,
    DoltMeta,
    DoltTable,
    MergeBranch,
    NewBranch,
    Remote,
    SerialBranch,
    create_repository,
    errors,
    read,
    write,
)
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

ENTRIES: list[dict[str, Any]] = []


def remember(entry: dict[str, Any]) -> None:
    """Keep what is told."""
    ENTRIES.append(entry)


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Path]:
    """Give another repository, for the log."""
    path = create_repository(tmp_path / "meta", name="A", email="a@b.c")
    yield path
    local_server.release(path)


def test_loads_and_saves_become_rows(config: Config, repo: Path, meta: Path, dolt: Dolt) -> None:
    """Each has its kind, table, commits, branch and execution; the data's own log is not touched."""
    told = config("users", meta_conf=DoltMeta(str(meta)))

    @task
    def users(n: int) -> DoltTable:
        return DoltTable(told, pd.DataFrame({"n": range(n)}))

    @task
    def count(table: DoltTable) -> int:
        return len(table.data)

    @workflow
    def wf(n: int) -> int:
        return count(table=users(n=n))

    assert wf(n=3) == 3
    wf(n=3)  # nothing changes, and that is told, too
    rows = read(DoltConfig(str(meta), "actions")).sort_values("timestamp")
    head, first = (commit.hash for commit in refs.log(repo))
    assert sorted(rows["kind"]) == ["load", "load", "save", "save"]
    assert set(rows["to_commit"]) == {head}
    assert rows[rows["kind"] == "save"]["from_commit"].tolist() == [first, head]
    assert set(rows["branch"]) == {"main"}
    assert set(rows["tablename"]) == {"users"}
    assert set(rows[rows["kind"] == "save"]["context_id"]) == {"ex:local:local:local"}
    assert "actions" not in dolt("ls")


def test_a_function_is_called(config: Config) -> None:
    """It gets a dictionary; a query is told with its text."""
    ENTRIES.clear()
    write(config("t", meta_conf=CallbackMeta(remember)), pd.DataFrame({"n": [1]}))
    read(DoltConfig(config("t").db_path, sql="select n from t", meta_conf=CallbackMeta(remember)))
    assert [(entry["kind"], entry["tablename"], entry["sql"]) for entry in ENTRIES] == [
        ("save", "t", None),
        ("load", None, "select n from t"),
    ]
    assert ENTRIES[0]["context_id"] is None


def test_a_save_that_changes_nothing_is_told_of_who_saved(config: Config) -> None:
    """The commit that is there already is that of a task, and the script that saves the same again is none."""
    ENTRIES.clear()
    told = config("t", meta_conf=CallbackMeta(remember))

    @task
    def make() -> DoltTable:
        return DoltTable(told, pd.DataFrame({"n": [1]}))

    made = make()
    again = write(told, pd.DataFrame({"n": [1]}))
    assert again.commit == made.commit
    assert [entry["context_id"] for entry in ENTRIES] == ["ex:local:local:local", None]


def test_on_a_remote_a_note_fetches_nothing_more(
    dolt: Dolt, tmp_path: Path, fetches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clone that was written, or the shallow one that was read, says what there is to say of the commit."""
    url = f"file://{tmp_path / 'remote'}"
    dolt("remote", "add", "origin", url)
    dolt("push", "origin", "main")
    counts: list[list[int]] = []
    for meta in (None, CallbackMeta(remember)):
        config = DoltConfig("foo", "t", remote_conf=Remote(url), meta_conf=meta)
        counts.append([])
        for pod, step in (("one", lambda c: write(c, pd.DataFrame({"n": [len(counts)]}))), ("two", read)):
            monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / f"{pod}{len(counts)}"))
            fetches.clear()
            ENTRIES.clear()
            step(config)
            counts[-1].append(len(fetches))
    assert counts[0] == counts[1]
    head = refs.log(next(tmp_path.glob("one2/*/foo")), limit=1)[0]
    assert [(entry["kind"], entry["to_commit"]) for entry in ENTRIES] == [("load", head.hash)]
    for clone in tmp_path.glob("*/*/foo"):
        local_server.release(clone)


def test_they_travel(config: Config) -> None:
    """Both come back from a literal's dictionary; a lambda cannot be sent, and the error says why."""
    for given in (DoltMeta("meta", "log"), CallbackMeta("json:dumps")):
        assert DoltConfig.from_json(config("t", meta_conf=given).to_json()).meta_conf == given
    sent = config("t", meta_conf=CallbackMeta(remember)).to_dict()["meta_conf"]
    assert sent == {"_type": "CallbackMeta", "fn": f"{__name__}:remember"}
    with pytest.raises(errors.InvalidConfig, match="import"):
        config("t", meta_conf=CallbackMeta(lambda entry: None)).to_dict()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (lambda: CallbackMeta("nonsense_module:f"), errors.InvalidConfig, "'nonsense_module:f'"),
        (lambda: CallbackMeta("json:nope"), errors.InvalidConfig, "'json:nope'"),
        (lambda: DoltMeta("/nowhere/at/all"), errors.RepositoryNotFound, "'/nowhere/at/all'"),
        (lambda: "words", errors.InvalidConfig, "meta_conf"),
    ],
)
def test_who_cannot_be_told_stops_a_write(
    config: Config, repo: Path, given: Callable[[], Any], error: type[errors.DoltError], words: str
) -> None:
    """It is noticed before anything is written."""
    before = refs.log(repo)
    with pytest.raises(error, match=words):
        write(config("t", meta_conf=given()), pd.DataFrame({"n": [1]}))
    assert refs.log(repo) == before


def test_nonsense_is_refused() -> None:
    """A function is a function or its place, a table has a table's name."""
    with pytest.raises(errors.InvalidConfig, match="fn"):
        CallbackMeta("no colon")
    with pytest.raises(errors.InvalidName, match="table"):
        DoltMeta("meta", "a b")
    with pytest.raises(errors.InvalidConfig, match="'_type'.*'Nope'.*CallbackMeta, DoltMeta"):
        DoltConfig.from_dict({"db_path": "x", "tablename": "t", "meta_conf": {"_type": "Nope"}})


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Give a stand-in for `dolt_integrations.core.interface`: classes of the same names and fields, at the same place.

    The package itself needs an old dataclasses_json; what counts here is where a class says it is from, and its fields.
    """
    module = types.ModuleType("dolt_integrations.core.interface")
    fields = {
        "NewBranch": ("branch",),
        "SerialBranch": ("branch",),
        "MergeBranch": ("branch_from", "merge_to"),
        "Remote": ("name", "url", "force"),
        "DoltMeta": ("db", "tablename", "branch_config"),
        "CallbackMeta": ("fn",),
    }
    for name, names in fields.items():

        def init(self: Any, *values: Any, names: tuple[str, ...] = names) -> None:
            self.__dict__.update(dict.fromkeys(names) | dict(zip(names, values, strict=False)))

        setattr(module, name, type(name, (), {"__init__": init, "__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_objects_of_the_earlier_plugin_are_taken(earlier: Any, repo: Path, meta: Path) -> None:
    """They become ours, also when they are assigned later, and the config works as with ours."""

    log = earlier.DoltMeta(doltcli.Dolt(str(meta)), "log")
    config = DoltConfig(str(repo), "t", branch_conf=earlier.NewBranch("run/1"), meta_conf=log)
    assert config.branch_conf == NewBranch("run/1")
    assert config.meta_conf == DoltMeta(str(meta), "log")
    write(config, pd.DataFrame({"n": [1]}))
    assert read(DoltConfig(str(meta), "log"))["branch"].tolist() == ["run/1"]
    config.branch_conf = earlier.SerialBranch("main")
    config.check()
    assert config.branch_conf == SerialBranch("main")
    config.branch_conf = earlier.MergeBranch("run/1", "main")
    assert config.to_dict()["branch_conf"] == MergeBranch("run/1", into="main").to_dict()
    assert DoltConfig("x", "t", meta_conf=earlier.CallbackMeta(remember)).meta_conf == CallbackMeta(remember)
    assert DoltConfig("x", "t", remote_conf=earlier.Remote(None, "file:///r")).remote_conf == Remote("file:///r")
    with pytest.raises(errors.InvalidConfig, match="force"):
        DoltConfig("x", "t", remote_conf=earlier.Remote("origin", "file:///r", True))
