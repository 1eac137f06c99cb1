"""The command line's verbs that look at versions: right answers as text and as JSON, one clear line where they fail."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, read, write
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

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
    assert run("log", "HEAD~1", "-n", "1").startswith(f"commit {hashes(repo)[1]}\n")
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
    assert run("diff", "HEAD~1", "--limit", "0") == "rabbits: 1 added, 1 modified, 1 removed\n"
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
    assert "--strategy" in run("merge", "run/2", "--strategy", "ours", "--strategy", "rabbits=ours", code=1)
    twice = ("--strategy", "rabbits=ours", "--strategy", "rabbits=theirs")
    assert "rabbits=... twice" in run("merge", "run/2", *twice, code=1)
    run("merge", "run/2", "--strategy", "rabbits=theirs")
    assert read(rabbits)["count"].tolist()[0] == 70


def test_tables_are_listed(run: Run, repo: Path, config: Config, rabbits: DoltConfig) -> None:
    """With their numbers of rows; views are said to be some; at an earlier state it is what was there."""
    write(config("more"), pd.DataFrame({"n": [1, 2, 3]}))
    with connect(repo) as connection:
        connection.execute("CREATE VIEW few AS SELECT name FROM rabbits")
        connection.execute("CALL DOLT_COMMIT('-Am', 'a view')")
    assert run("tables").splitlines() == ["  view  few", "3 rows  more", "2 rows  rabbits"]
    plain = json.loads(run("tables", "--json"))
    assert [(each["table"], each["kind"], each["rows"]) for each in plain] == [
        ("few", "view", None),
        ("more", "table", 3),
        ("rabbits", "table", 2),
    ]
    assert run("tables", "--at", "run/1") == "3 rows  rabbits\n"
    assert run("tables", "--at", hashes(repo)[-1]) == "no tables\n"
    assert "'nope'" in run("tables", "--at", "nope", code=1)


def test_branches_are_listed(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """With their newest commits; the one that is checked out is marked, and this package's own are left out."""
    with connect(repo) as connection:
        connection.execute("CALL DOLT_BRANCH('flyte-tmp/x/y')")
    heads = {"main": hashes(repo)[0], "run/1": hashes(repo, "run/1")[0]}
    text = re.sub(r"  \d{4}-\S+", "", run("branches"))
    assert text == f"* main   {heads['main']}  second\n  run/1  {heads['run/1']}  third\n"
    plain = json.loads(run("branches", "--json"))
    assert {each["branch"]: each["commit"] for each in plain} == heads
    assert [(each["line"], each["is_checked_out"]) for each in plain] == [("second", True), ("third", False)]


def test_a_table_is_shown(run: Run, repo: Path, config: Config, rabbits: DoltConfig) -> None:
    """Its first rows, at any state, on which its values are what they are; more rows than are shown are told of."""
    assert run("show", "RABBITS").splitlines() == [
        f"rabbits at {hashes(repo)[0]} of main",
        " name  count",
        "Alice      2",
        " Cloe      2",
    ]
    assert run("show", "rabbits", "-n", "1").splitlines()[1:] == [
        " name  count",
        "Alice      2",
        "and more: these are the first 1 rows",
    ]
    assert " Bo " in run("show", "rabbits", "--at", "HEAD~1")
    odd = pd.DataFrame({"d": [Decimal("1.50"), None], "b": [b"\xff", b""], "f": [float("nan"), 0.5]}, index=[5, 7])
    write(config("odd"), odd.rename_axis("key"))
    shown = json.loads(run("show", "odd", "--json"))
    assert shown["rows"] == [
        {"key": 5, "d": "1.50", "b": "ff", "f": None},
        {"key": 7, "d": None, "b": "", "f": 0.5},
    ]
    assert (shown["commit"], shown["is_complete"]) == (hashes(repo)[0], True)
    assert [line.split() for line in run("show", "odd").splitlines()[1:]] == [
        ["key", "d", "b", "f"],
        ["5", "1.50", "b'\\xff'", "NULL"],
        ["7", "NULL", "b''", "0.5"],
    ]
    write(config("whole"), pd.DataFrame({"n": pd.Series([1, None], dtype="Int64"), "s": ["a", None]}))
    assert [line.split() for line in run("show", "whole").splitlines()[2:]] == [["1", "a"], ["NULL", "NULL"]]
    write(config("none"), pd.DataFrame({"n": pd.Series([], dtype="int64")}))
    assert run("show", "none").splitlines()[1:] == ["no rows; the columns are n"]


def on_a_terminal(repo: Path, *arguments: str, **variables: str) -> str:
    """Return what the program prints on a terminal."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    argv = [sys.executable, "-W", "ignore", "-m", "flytekitplugins.dolt", *arguments]
    with subprocess.Popen(
        argv, cwd=repo, stdout=theirs, stderr=subprocess.PIPE, env=environment | variables
    ) as process:
        os.close(theirs)
        printed = b""
        with suppress(OSError):  # the end of what a terminal gives
            while piece := os.read(ours, 4096):
                printed += piece
        os.close(ours)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    return printed.decode()


@pytest.mark.slow
def test_columns_are_profiled(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """Each column is a line, at any revision; as JSON it has all facts."""
    text = run("profile", "rabbits")
    assert text.startswith("2 rows, 2 columns\n")
    assert re.search(r"^ *count +bigint +number ", text, re.MULTILINE)
    found = json.loads(run("profile", "rabbits", "--at", "HEAD~1", "--column", "count", "--json"))
    assert (found["table"], found["rows"]) == ("rabbits", 2)
    (column,) = found["columns"]
    assert (column["name"], column["minimum"], column["maximum"], column["distinct"]) == ("count", 1, 2, 2)
    assert "'x'" in run("profile", "rabbits", "--column", "x", code=1)


def test_shifts_are_shown(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """The column that has moved most comes first; as JSON it has all facts."""
    text = run("shift", "rabbits", "HEAD~1", "HEAD")
    assert text.startswith("2 of 2 columns have shifted; 2 rows, now 2\n")
    found = json.loads(run("shift", "rabbits", "HEAD~1", "HEAD", "--json"))
    assert [each["name"] for each in found["columns"]] == ["name", "count"]
    assert found["columns"][1]["value"] == 0.5
    assert found["columns"][0]["new_values"] == ["Cloe"]
    assert (found["added"], found["rows_before"]) == ([], 2)
    assert "nowhere" in run("shift", "nowhere", "HEAD~1", "HEAD", code=1)


def test_merge_holds_bounds(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """A bound that does not hold is one clear line, and JSON has its numbers."""
    said = run("merge", "run/1", "--max-shift", "name=0.3", code=1)
    assert re.search(r"'name' of table 'rabbits': total variation 0\.333333 is over the bound 0\.3", said)
    assert "'x'" in run("merge", "run/1", "--max-missing", "x=0.3", code=1)
    for option in ("--max-shift", "--max-missing"):
        assert f"{option} name=... twice" in run("merge", "run/1", option, "name=0", option, "name=1", code=1)
    assert "commit" in run("merge", "run/1", "--max-shift", "name=0.34", "--max-missing", "name=0")
    with pytest.raises(SystemExit, match="2"):
        run("merge", "run/1", "--max-shift", "name=2")


def test_colours_are_for_terminals(run: Run, repo: Path, rabbits: DoltConfig) -> None:
    """There are none in a file, where NO_COLOR is set, and in JSON; what is printed is the same without them."""
    text = run("diff", "HEAD~1")
    coloured = on_a_terminal(repo, "diff", "HEAD~1").replace("\r\n", "\n")
    assert re.sub("\x1b\\[[0-9]*m", "", coloured) == text
    assert {line.split("m", 1)[0] for line in coloured.splitlines() if " added" in line} >= {"\x1b[36", "\x1b[32"}
    assert "\x1b" not in text
    assert "\x1b" not in on_a_terminal(repo, "diff", "HEAD~1", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(repo, "diff", "HEAD~1", "--json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "nope"), "'nope'"),
        (("show", "rabbits", "--at", "nope"), "'nope'"),
        (("log", "nope"), "Cannot find revision 'nope'"),
        (("log", "mian"), "Did you mean 'main'"),
        (("log", "mian", "--table", "rabbits"), "Did you mean 'main'"),
        (("diff", "nope"), "Cannot find revision 'nope'"),
        (("diff", "main", "--table", "nope"), "nope"),
        (("versions", "nope"), "nope"),
        (("merge", "nope"), "Cannot find revision 'nope'"),
        (("lineage", "nope"), "Cannot find revision 'nope'"),
        (("lineage", "mian"), "Did you mean 'main'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_not_there_is_one_clear_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """An error of ours goes to stderr as a sentence, without a traceback, and the exit code is 1."""
    said = run(*arguments, code=1)
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "command"),
        (("diff",), "before"),
        (("log", "-n", "0"), "above 0.*'0'"),
        (("nonsense",), "'nonsense'.*log"),
        (("versions", "t", "--what"), "--what"),
        (("log", "--table"), "--table"),
        (("lineage", "--direction", "x"), "'x'"),
        (("log", "--json=1"), "--json"),
        (("merge", "run/1", "--strategy", "mine"), "'mine'"),
        (("diff", "HEAD", "--limit", "few"), "'few'"),
        (("--db", "foo", "log"), "--db.*before"),
        (("--db=foo", "log"), "--db.*before"),
    ],
)
def test_arguments_that_make_no_sense_end_with_2(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing or wrong is said in a sentence below the usage; with --json that is an object."""
    with pytest.raises(SystemExit, match="2"):
        main(list(arguments))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: python -m flytekitplugins.dolt")
    assert re.search(f"^Cannot .*{words}.*--help`", said.err, re.MULTILINE)
    assert not re.search("argument |arguments|invalid|choice", said.err.partition("\nCannot ")[2])
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["type"] == "Misuse"
    assert "Cannot " in told["message"]


def test_what_a_command_does_not_take_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence, the usage and the help that it names are those of the command that was given."""
    with pytest.raises(SystemExit, match="2"):
        main(["doctor", "--limit", "3"])
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m flytekitplugins.dolt doctor ")
    assert re.search(r"^Cannot run `doctor`: .*--limit 3.*doctor --help`", said, re.MULTILINE)


def test_the_repository_is_found_from_the_working_folder(
    repo: Path, rabbits: DoltConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the innermost one that the folder is in; --db understands a folder inside, too; else it is said."""
    inside = repo / "notes" / "old"
    inside.mkdir(parents=True)
    for folder, given in ((repo, []), (inside, []), (inside, ["--db", ".."]), (tmp_path, ["--db", str(inside)])):
        monkeypatch.chdir(folder)
        assert main(["log", "-n", "1", *given]) == 0
        assert capsys.readouterr().out.startswith(f"commit {hashes(repo)[0]}\n")
    (tmp_path / "link").symlink_to(inside)
    monkeypatch.chdir(tmp_path)
    assert main(["log", "-n", "1", "--db", "link"]) == 0
    capsys.readouterr()
    long = "x" * 5000
    for given, words in (
        ([], "--db"),
        (["--db", str(inside / "nope")], "no such folder"),
        (["--db", long], "too long"),
    ):
        assert main(["log", *given]) == 1
        assert words in capsys.readouterr().err
    monkeypatch.chdir(inside)
    shutil.rmtree(repo / "notes")
    assert main(["log"]) == 1
    assert "--db" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)


def test_a_repository_above_that_somebody_else_made_is_not_taken(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder for all, such as that for temporary files, anybody can put one; who names it has decided that."""
    monkeypatch.chdir(repo)
    monkeypatch.setattr(os, "getuid", lambda: os.stat(repo).st_uid + 1)
    assert main(["log"]) == 1
    assert "another user" in capsys.readouterr().err


def test_doctor_looks_at_the_repository_that_one_is_in(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --db, too; elsewhere it looks at the installation alone."""
    monkeypatch.chdir(repo)
    main(["doctor"])
    assert f"Repository {repo}" in capsys.readouterr().out
    monkeypatch.chdir("/")
    main(["doctor"])
    assert "Repository" not in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """That of this package and that of the dolt in use, on one line."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert re.fullmatch(r"flytekitplugins-doltdb \S+, dolt \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_errors_are_json_where_answers_are(repo: Path, rabbits: DoltConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json a failure is an object with class, message and facts on standard output, and the exit code is 1."""
    write(replace(rabbits, branch_conf=NewBranch("run/3")), read(rabbits).assign(count=[70, 2]))
    write(rabbits, read(rabbits).assign(count=[80, 2]))
    told = {}
    for branch in ("nope", "run/3"):
        assert main(["merge", branch, "--db", str(repo), "--json"]) == 1
        said = capsys.readouterr()
        assert said.err == ""
        told[branch] = json.loads(said.out)["error"]
    assert told["nope"]["type"] == "RevisionNotFound"
    assert "'nope'" in told["nope"]["message"]
    assert told["nope"]["facts"]["revision"] == "nope"
    (conflict,) = told["run/3"]["facts"]["conflicts"]
    assert (conflict["table"], conflict["rows"][0]["ours"]["count"], conflict["rows"][0]["theirs"]["count"]) == (
        "rabbits",
        80,
        70,
    )


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
