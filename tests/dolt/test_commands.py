"""The command line's verbs that look at versions: right answers as text and as JSON, one clear line where they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, read, write
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.repository import refs

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Run = Callable[..., str]


@pytest.fixture
def run(repo: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs a verb on the repository and returns what it prints; ``code`` is what it ends with."""

    def call(*arguments: str, code: int = 0) -> str:
        assert main([*arguments, "--db", str(repo)]) == code
        said = capsys.readouterr()
        assert (said.out if code else said.err) == ""
        return said.err if code else said.out

    return call


@pytest.fixture
def rabbits(config: Config) -> DoltConfig:
    """Give a table with two versions on main and another one on the branch ``run/1``."""
    keyed = config("rabbits", primary_key=["name"])
    write(keyed, pd.DataFrame({"name": ["Alice", "Bo"], "count": [1, 2]}), message="first")
    write(keyed, pd.DataFrame({"name": ["Alice", "Cloe"], "count": [2, 2]}), message="second")
    on_a_branch = replace(keyed, branch_conf=NewBranch("run/1"))
    write(on_a_branch, pd.DataFrame({"name": ["Alice", "Cloe", "Dot"], "count": [2, 2, 3]}), message="third")
    return keyed


def hashes(repo: Path, revision: str | None = None) -> list[str]:
    return [commit.hash for commit in refs.log(repo, revision)]


def test_log_tells_what_the_repository_has(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """Newest first, all of it or the last ones, on any branch; as JSON, too."""
    assert [line for line in run("log").splitlines() if line.startswith("commit ")] == [
        f"commit {commit}" for commit in hashes(repo)
    ]
    text = run("log", "run/1", "-n", "1")
    assert text.startswith(
        f"commit {hashes(repo, 'run/1')[0]}\nAuthor: Bojack Horseman <bojack@horseman.com>\nDate:   2"
    )
    assert text.endswith("\n\n    third\n")
    plain = json.loads(run("log", "--json"))
    assert [each["commit"] for each in plain] == hashes(repo)
    assert [each["message"] for each in plain][:2] == ["second", "first"]
    assert plain[0]["parents"] == [plain[1]["commit"]]


def test_log_of_a_table_leaves_out_what_did_not_change_it(run: Run, config: Config, rabbits: DoltConfig) -> None:
    """Commits of other tables are passed over; a table that never was is an error."""
    write(config("other"), pd.DataFrame({"n": [1]}), message="not of rabbits")
    found = json.loads(run("log", "--table", "rabbits", "--json"))
    assert [each["message"] for each in found] == ["second", "first"]
    assert [(each["added"], each["modified"], each["removed"]) for each in found] == [(1, 1, 1), (2, 0, 0)]
    assert "Rows:   1 added, 1 modified, 1 removed\n" in run("log", "--table", "rabbits", "-n", "1")
    assert "'nope'" in run("log", "--table", "nope", code=1)


def test_diff_tells_rows_and_counts(run: Run, rabbits: DoltConfig) -> None:
    """Every changed table, or one; up to the checked-out branch where no second revision is given."""
    text = run("diff", "HEAD~1")
    assert text.startswith("rabbits: 1 added, 1 modified, 1 removed\n")
    (plain,) = json.loads(run("diff", "main", "run/1", "--json"))
    assert (plain["added"], plain["modified"], plain["removed"]) == (1, 0, 0)
    assert plain["rows"] == [{"diff_type": "added", "name": "Dot", "count": 3, "before_count": None}]
    assert "and 2 more rows" in run("diff", "HEAD~1", "--limit", "1", "--table", "rabbits")
    assert run("diff", "main", "main") == "nothing differs\n"
    assert json.loads(run("diff", "main", "main", "--json")) == []


def test_versions_and_lineage(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """The versions of a table with hash, date, rows, task and line; the lineage begins with the commit itself."""
    lines = run("versions", "rabbits").splitlines()
    assert [line.split()[0] for line in lines] == hashes(repo)[:2]
    assert [line.split("  ")[2:] for line in lines] == [["+1 ~1 -1", "-", "second"], ["+2 ~0 -0", "-", "first"]]
    assert len(json.loads(run("versions", "rabbits", "--branch", "run/1", "-n", "1", "--json"))) == 1
    assert run("lineage").startswith(hashes(repo)[0][:8])
    plain = json.loads(run("lineage", "run/1", "--direction", "up", "--json"))
    assert plain["start"] == hashes(repo, "run/1")[0]
    assert plain["is_whole"] is True


def test_merge_merges_or_says_why_not(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """A check that finds rows keeps the branch out; without it the branch is in."""
    before = hashes(repo)
    refused = run("merge", "run/1", "--check", "select * from rabbits where name = 'Dot'", code=1)
    assert "check" in refused
    assert hashes(repo) == before
    merged = json.loads(run("merge", "run/1", "--message", "take it", "--json"))
    assert merged == {"commit": hashes(repo)[0], "branch": "main"}
    assert refs.log(repo, limit=1)[0].message.startswith("take it")
    assert run("versions", "rabbits", "-n", "1").startswith(merged["commit"])


def test_merge_takes_a_side(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """Conflicting rows are those of the side that is given, for all tables or for one; else it is one clear line."""
    for branch, count in ((NewBranch("run/2"), 70), (None, 80)):
        config = DoltConfig(str(repo), "rabbits", mode="upsert", branch_conf=branch)
        write(config, read(rabbits).head(1).assign(count=count))
    assert "strategy" in run("merge", "run/2", code=1)
    assert "'mine'" in run("merge", "run/2", "--strategy", "mine", code=1)
    assert "--strategy" in run("merge", "run/2", "--strategy", "ours", "--strategy", "rabbits=ours", code=1)
    run("merge", "run/2", "--strategy", "rabbits=theirs")
    assert read(rabbits)["count"].tolist()[0] == 70


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("log", "nope"), "nope"),
        (("diff", "nope"), "Cannot find revision 'nope'"),
        (("diff", "main", "--table", "nope"), "nope"),
        (("versions", "nope"), "nope"),
        (("merge", "nope"), "Cannot find revision 'nope'"),
        (("lineage", "nope"), "nope"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_not_there_is_one_clear_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """An error of ours goes to stderr as a sentence, without a traceback, and the exit code is 1."""
    said = run(*arguments, code=1)
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [("log",), ("diff", "--db", "x"), ("log", "--db", "x", "-n", "0"), ("nonsense",), ("versions", "--db", "x")],
)
def test_arguments_that_make_no_sense_end_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing or wrong is said with the usage."""
    with pytest.raises(SystemExit, match="2"):
        main(list(arguments))
    assert "usage: python -m flytekitplugins.dolt" in capsys.readouterr().err


def test_messages_cannot_command_a_terminal(run: Run, config: Config) -> None:
    """Control characters in a message are shown, not sent."""
    write(config("t"), pd.DataFrame({"n": [1]}), message="a\x1b[31mred\rb")
    assert "a\\x1b[31mred\\rb" in run("log", "-n", "1")
    assert "\x1b" not in run("versions", "t")


def test_a_reader_that_stops_early_is_no_error(repo: Path, rabbits: DoltConfig) -> None:
    """`... log | head -1` ends quietly."""
    log: Any = [sys.executable, "-m", "flytekitplugins.dolt", "log", "--db", str(repo)]
    with subprocess.Popen(log, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
