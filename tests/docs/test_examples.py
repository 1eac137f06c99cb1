"""The walk-through of the source document, command by command, on today's Dolt, with the outputs that it prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from flytekit import task, workflow
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, create_repository
from flytekitplugins.dolt.server import binary

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT_DTYPE = pd.Series(["x"]).dtype  # object, or str from pandas 3 on

QUICKSTART = """\
Running quickstart_example.py main...
Running wf(), returns dataframe
          name  count
0  Sugar Maple      {0}
1        Alice      {1}
2       George      {2}
name     object
count     int64
dtype: object
"""


class Walk:
    """A folder with the examples in it, in which commands are run as the document's reader does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.foo = folder, folder / "foo"
        for example in EXAMPLES.glob("*_example.py"):
            shutil.copy(example, folder)

    def python(self, *args: str) -> str:
        """Run ``python ...`` and return its standard output."""
        done = subprocess.run([sys.executable, *args], cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        let_go(self.foo)  # whose server ends with its last user, if not at once
        return done.stdout

    def dolt(self, *args: str) -> str:
        """Run ``dolt ...`` in foo and return its standard output without colours."""
        done = subprocess.run([str(binary.find()), *args], cwd=self.foo, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Give the folder in which the tests of this file go through the document, in its order."""
    return Walk(tmp_path_factory.mktemp("cookbook"))


def rows(table: str) -> set[str]:
    """Return the lines of a printed frame or table that hold data, without row numbers and spaces."""
    lines = [re.sub(r"^\d+\s+", "", line.strip()) for line in table.splitlines()]
    return {re.sub(r"[\s|]+", " ", line).strip() for line in lines if line and set(line) - set("+-")}


def same_but_for_order(printed: str, expected: str) -> None:
    """Compare two outputs line by line where rows may come in any order, and pandas names its text dtype as it does."""
    dtype = re.compile(r"^name +\S+$", re.MULTILINE)
    assert rows(dtype.sub("name TEXT", printed)) == rows(dtype.sub("name TEXT", expected))
    assert dtype.search(printed) is None or f"name {TEXT_DTYPE}" in re.sub(" +", " ", printed)


class TestQuickstart:
    def test_the_first_run_prints_the_documents_frame(self, walk: Walk) -> None:
        """`python quickstart_example.py 1` makes foo and prints three rabbits with their dtypes."""
        same_but_for_order(walk.python("quickstart_example.py", "1"), QUICKSTART.format(3, 2, 1))

    def test_the_second_run_prints_the_other_frame(self, walk: Walk) -> None:
        """`python quickstart_example.py 2` prints the doubled counts."""
        same_but_for_order(walk.python("quickstart_example.py", "2"), QUICKSTART.format(6, 4, 2))

    def test_the_diff_shows_the_six_rows(self, walk: Walk) -> None:
        """`dolt diff HEAD HEAD^ rabbits` shows what the second run changed, backwards, as the document has it."""
        printed = walk.dolt("diff", "HEAD", "HEAD^", "rabbits")
        assert {"- Alice 4", "- George 2", "- Sugar Maple 6", "+ Alice 2", "+ George 1", "+ Sugar Maple 3"} <= rows(
            printed
        )
        assert len([line for line in printed.splitlines() if re.match(r"\| +[-+] +\|", line)]) == 6

    def test_a_repeated_run_adds_no_commit(self, walk: Walk) -> None:
        """Running with the same number again changes nothing."""
        before = walk.dolt("log", "--oneline")
        walk.python("quickstart_example.py", "2")
        assert walk.dolt("log", "--oneline") == before


class TestBranching:
    def test_two_runs_print_one_and_two(self, walk: Walk) -> None:
        """Each value of the parameter gives the document's count."""
        expected = "Running branch_example.py main...\nRunning wf(), returns int\n{}\n<class 'int'>\n"
        assert walk.python("branch_example.py", "2") == expected.format(1)
        assert walk.python("branch_example.py", "3") == expected.format(2)

    def test_both_branches_are_there(self, walk: Walk) -> None:
        """`dolt branch` lists the default branch, still checked out, and the two runs: nothing else."""
        assert [line.strip() for line in walk.dolt("branch").splitlines()] == ["* main", "run/a_is_2", "run/a_is_3"]

    def test_the_diff_of_the_runs_shows_both_tables(self, walk: Walk) -> None:
        """`dolt diff run/a_is_2 run/a_is_3` shows the rows of the document."""
        big_users, users = walk.dolt("diff", "run/a_is_2", "run/a_is_3").split("diff --dolt")[1:]
        assert {"+ Alice"} <= rows(big_users)
        expected = {"- George 2", "- Stephanie 6", "+ George 3", "+ Stephanie 9", "+ Alice 6", "- Alice 4"}
        assert expected <= rows(users)

    def test_a_repeated_run_adds_no_commit(self, walk: Walk) -> None:
        """Dolt no-ops if a rerun creates no data mutations."""
        before = walk.dolt("log", "run/a_is_3", "--oneline")
        walk.python("branch_example.py", "3")
        assert walk.dolt("log", "run/a_is_3", "--oneline") == before

    def test_the_log_shows_the_execution_id(self, walk: Walk) -> None:
        """`dolt log run/a_is_3 -n 1` shows the commit with its author, date and message."""
        printed = walk.dolt("log", "run/a_is_3", "-n", "1")
        commit = walk.dolt("sql", "-r", "csv", "-q", "select HASHOF('run/a_is_3') as commit").split()[1]
        assert printed.startswith(f"commit {commit}")
        assert re.search(r"^Author: .+ <.+>$", printed, re.MULTILINE)
        assert re.search(r"^\s+Generated by Flyte execution id: ex:local:local:local$", printed, re.MULTILINE)


class TestTimeTravel:
    def test_as_of_returns_the_two_rows(self, walk: Walk) -> None:
        """The document's query, AS OF a branch's head, gives Stephanie and Alice."""
        query = "select * from users as of HASHOF('run/a_is_3') where `count` > 5"
        assert {"name count", "Stephanie 9", "Alice 6"} == rows(walk.dolt("sql", "--query", query))

    def test_the_same_without_backticks(self, walk: Walk) -> None:
        """In a shell the backticks are eaten; the query works without them."""
        printed = walk.dolt("sql", "-q", "select * from users as of HASHOF('run/a_is_3') where count > 5")
        assert {"Stephanie 9", "Alice 6"} <= rows(printed)


def test_the_printed_signature_of_generate_confs_works(tmp_path: Path) -> None:
    """The document declares three DoltConfigs and returns a DoltTable among them; that works as printed."""
    path = str(create_repository(tmp_path / "foo"))

    @task
    def generate_confs(a: int) -> tuple[DoltConfig, DoltConfig, DoltConfig]:
        users_conf = DoltConfig(db_path=path, tablename="users", branch_conf=NewBranch(f"run/a_is_{a}"))
        query_users = DoltTable(
            config=DoltConfig(
                db_path=path,
                sql="select * from users where `count` > 5",
                branch_conf=NewBranch(f"run/a_is_{a}"),
            ),
        )
        big_users_conf = DoltConfig(db_path=path, tablename="big_users", branch_conf=NewBranch(f"run/a_is_{a}"))
        return users_conf, query_users, big_users_conf  # type: ignore[return-value]  # as printed

    @task
    def populate_users(a: int, conf: DoltConfig) -> DoltTable:
        users = [("George", a), ("Alice", a * 2), ("Stephanie", a * 3)]
        return DoltTable(data=pd.DataFrame(users, columns=["name", "count"]), config=conf)

    @task
    def filter_users(a: int, all_users: DoltTable, filtered_users: DoltTable, conf: DoltConfig) -> DoltTable:
        return DoltTable(data=filtered_users.data[["name"]], config=conf)

    @task
    def count_users(users: DoltTable) -> int:
        return len(users.data)

    @workflow
    def wf(a: int) -> int:
        user_conf, query_conf, big_user_conf = generate_confs(a=a)
        users = populate_users(a=a, conf=user_conf)
        big_users = filter_users(a=a, all_users=users, filtered_users=query_conf, conf=big_user_conf)
        return count_users(users=big_users)

    assert (wf(a=2), wf(a=3)) == (1, 2)
