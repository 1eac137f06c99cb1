"""Who changed a table: the execution that did, and not the one whose commit happens to be the newest."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.
import html
import json
import logging
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest
from flytekit import task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    MergeBranch,
    NewBranch,
    Repository,
    errors,
    execution_of,
    merge,
    pin,
    versions,
    versions_frame,
    write,
)
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.repository import refs

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]


@pytest.fixture
def run(repo: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give a function that runs a verb of the command line on the repository and returns what it prints."""

    def call(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments, "--db", str(repo)]) == 0
        return capsys.readouterr().out

    return call


@task
def ingest(conf: DoltConfig, rows: int) -> DoltTable:
    return DoltTable(conf, pd.DataFrame({"id": range(rows)}))


@task
def features(conf: DoltConfig, raw: DoltTable, k: int) -> DoltTable:
    return DoltTable(conf, raw.data.assign(x=raw.data["id"] * k))


@workflow
def wf(raw: DoltConfig, made: DoltConfig, k: int) -> tuple[DoltTable, DoltTable]:
    first = ingest(conf=raw, rows=2)
    return first, features(conf=made, raw=first, k=k)


def who(table: DoltTable) -> str:
    """Return the name of the task that changed a table last, or nothing where it was none."""
    found = execution_of(table)
    return (found.task or "").rpartition(".")[2] if found is not None else ""


def deck(table: DoltTable) -> str:
    """Return the words of the deck of a table."""
    transformer = TypeEngine.get_transformer(DoltTable)
    page = transformer.to_html(FlyteContextManager.current_context(), table, DoltTable)
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


def test_after_a_run_that_changed_nothing(config: Config, repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The table is still what its own task made; the deck and the log say that no commit was made for it."""
    raw, made = config("raw", primary_key=["id"]), config("feats", primary_key=["id"])
    first, _ = wf(raw=raw, made=made, k=1)
    commits = refs.log(repo)
    with caplog.at_level(logging.INFO, logger="flytekitplugins.dolt"):
        again, changed = wf(raw=raw, made=made, k=2)
    assert len(refs.log(repo)) == len(commits) + 1
    assert again.commit != first.commit
    assert (who(first), who(again), who(changed)) == ("ingest", "ingest", "features")
    assert Repository(repo).execution_of(again) == execution_of(first)
    assert again.commit is not None
    assert execution_of(again.commit, repo) != execution_of(again)  # what a commit says is what that commit says
    told = [record.getMessage() for record in caplog.records if "'raw'" in record.getMessage()]
    assert [again.commit.hash in text and "no commit" in text for text in told] == [True]
    assert "features" not in deck(again)
    assert re.search(rf"Last changed\s+{first.commit!s}.*ingest of ex:local:local:local", deck(again))


def test_the_deck_of_the_task_itself(config: Config) -> None:
    """The table that a task returned without any news says so; one with news does not."""
    told = []
    for _ in range(2):
        table = DoltTable(config("t"), pd.DataFrame({"id": [1]}))
        write_as_an_output(table)
        told.append("no commit was made" in deck(table))
    assert told == [False, True]


def write_as_an_output(table: DoltTable) -> None:
    """Store a table as the output of a task is."""

    @task
    def give() -> DoltTable:
        return table

    give()


def test_a_change_by_others_is_nobodys(config: Config, dolt: Dolt) -> None:
    """Neither a script's nor a user's own change of the table is said to be that of the task before."""
    conf = config("t", primary_key=["id"])
    ingest(conf=conf, rows=2)
    dolt("sql", "-q", "insert into t values (7)")
    dolt("commit", "-am", "by hand")
    assert who(pin(conf)) == ""
    ingest(conf=conf, rows=3)
    assert who(pin(conf)) == "ingest"
    write(conf, pd.DataFrame({"id": [9]}))
    assert who(pin(conf)) == ""
    ingest(conf=config("other"), rows=1)
    assert who(pin(conf)) == ""
    assert re.search(r"Last changed.*by Bojack Horseman", deck(pin(conf)))


def test_a_table_that_came_by_a_merge(config: Config, repo: Path) -> None:
    """A merge that took the table whole changed nothing in it; one of rows from both sides is a change of its own."""
    conf, branch = config("t", primary_key=["id"]), NewBranch("run/1")
    ingest(conf=conf, rows=2)
    features(conf=config("t", primary_key=["id"], branch_conf=branch, on_schema_change="evolve"), raw=pin(conf), k=2)
    write(config("other"), pd.DataFrame({"id": [1]}))
    merge("run/1", db_path=repo)
    assert who(pin(conf)) == "features"
    assert who(pin(config("other"))) == ""
    ingest(conf=config("t", branch_conf=MergeBranch("run/2"), mode="append"), rows=0)
    assert who(pin(conf)) == "features"


def test_a_table_that_never_was(config: Config, repo: Path) -> None:
    """It is not found, instead of being said to be whoever's."""
    ingest(conf=config("t"), rows=2)
    with pytest.raises(errors.TableNotFound, match="'nope'"):
        execution_of(DoltTable(config("nope")).at(refs.log(repo)[0]))


def test_a_query_is_its_commit(config: Config) -> None:
    """A query has no table of its own, so it is who made the commit at which it is read."""
    ingest(conf=config("t"), rows=2)
    assert who(pin(config(sql="select * from t"))) == "ingest"
    write(config("u"), pd.DataFrame({"id": [1]}))
    assert who(pin(config(sql="select * from t"))) == ""


def test_the_versions_of_a_table(config: Config, run: Callable[..., str], repo: Path) -> None:
    """Each version has its task, rows, moment and line, as a frame, as text and as JSON; other tables' have no part."""
    conf = config("t", primary_key=["id"], message="{rows} rows")
    began = datetime.now(timezone.utc)
    first = ingest(conf=conf, rows=2)
    ingest(conf=config("other"), rows=1)
    ingest(conf=conf, rows=2)  # changes nothing
    write(config("t"), pd.DataFrame({"id": [0, 5]}), message="by hand\n\nand more")
    frame = versions_frame(conf)
    assert frame["commit"].tolist() == [table.commit.hash for table in versions(conf) if table.commit]
    assert frame["commit"][1] == first.commit.hash  # type: ignore[union-attr]
    assert frame[["added", "modified", "removed"]].to_numpy().tolist() == [[1, 0, 1], [2, 0, 0]]
    assert frame["message"].tolist() == ["by hand", "2 rows"]
    assert frame["task"].fillna("").str.rpartition(".")[2].tolist() == ["", "ingest"]
    assert frame["execution"].fillna("").tolist() == ["", "ex:local:local:local"]
    assert str(frame["date"].dtype) == "datetime64[us, UTC]"
    assert all(began <= date <= datetime.now(timezone.utc) for date in frame["date"])
    assert Repository(repo).versions_frame("t", last=1)["message"].tolist() == ["by hand"]

    text = run("versions", "t").splitlines()
    assert [line.split("  ")[2] for line in text] == ["+1 ~0 -1", "+2 ~0 -0"]
    assert re.search(r"ingest of ex:local:local:local  2 rows$", text[1])
    plain = json.loads(run("versions", "t", "--json"))
    assert [(each["added"], each["removed"], each["line"]) for each in plain] == [(1, 1, "by hand"), (2, 0, "2 rows")]
    assert [datetime.fromisoformat(each["date"].replace("Z", "+00:00")) for each in plain] == frame["date"].tolist()
    log = run("log", "--table", "t")
    assert re.search(r"^Task:   .*ingest of ex:local:local:local\nRows:   2 added, 0 modified", log, re.MULTILINE)
    assert len(re.findall("^Task: ", run("log"), re.MULTILINE)) == 2


def test_a_merge_among_the_versions(config: Config, repo: Path) -> None:
    """The version is the merge, and who changed the table is who did so on the branch that was merged."""
    conf = config("t", primary_key=["id"])
    ingest(conf=conf, rows=2)
    ingest(conf=config("t", primary_key=["id"], branch_conf=NewBranch("run/1")), rows=5)
    write(config("other"), pd.DataFrame({"id": [1]}))
    merged = merge("run/1", db_path=repo, message="take it")
    newest = versions_frame(conf, last=1).iloc[0]
    assert (newest["commit"], newest["message"], newest["added"]) == (merged.hash, "take it", 3)
    assert str(newest["task"]).endswith("ingest")
