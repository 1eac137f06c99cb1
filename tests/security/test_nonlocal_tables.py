"""A repository whose `dolt_nonlocal_tables` leads names of tables elsewhere: nothing is read from there or written to.

Its rows are committed, so they come with any clone. What stands on which branch is asked of the `dolt` command line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from dolt_server import PASSWORD, VARIABLE, DoltServer

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    DoltTests,
    NewBranch,
    Remote,
    SerialBranch,
    diff,
    errors,
    merge,
    pin,
    read,
    restore,
    write,
)
from flytekitplugins.dolt.repository import active_content

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

OURS, THEIRS = pd.DataFrame({"id": [1], "v": ["ours"]}), pd.DataFrame({"id": [1, 2], "v": ["theirs", "theirs"]})


def rule(pattern: str, target: str = "other", table: str = "", options: str = "immediate") -> str:
    """Return the statement that leads names elsewhere."""
    return f"INSERT INTO dolt_nonlocal_tables VALUES ('{pattern}', '{target}', '{table}', '{options}')"


def by_hand(dolt: Dolt, *statements: str) -> None:
    """Run statements on the checked-out branch, and commit what they do."""
    dolt("sql", "-q", ";".join([*statements, "CALL DOLT_COMMIT('-Am', 'by hand')"]))


def values(dolt: Dolt, state: str, table: str = "t") -> list[str]:
    """Return what a state's own table holds; Dolt's function for changes looks nowhere else."""
    # At a state of before, since rules that lead nowhere stop it.
    asked = f"USE `foo/begin`; SELECT to_v FROM DOLT_DIFF('begin', '{state}', '{table}') ORDER BY to_id"
    return [row["to_v"] for row in json.loads(dolt("sql", "-r", "json", "-q", asked) or "{}").get("rows", [])]


@contextmanager
def unchanged(dolt: Dolt) -> Iterator[None]:
    """Check that the block moves no branch and changes no table on them."""
    states = [values(dolt, state) for state in ("main", "other")]
    assert states == [["ours"], ["theirs", "theirs"]]
    heads = "SELECT DOLT_HASHOF('main'), DOLT_HASHOF('other')"
    at = dolt("sql", "-q", heads)
    yield
    assert [values(dolt, state) for state in ("main", "other")] == states
    assert dolt("sql", "-q", heads) == at


@pytest.fixture
def before(config: Config, dolt: Dolt) -> DoltTable:
    """Give table ``t`` of main as it is before anything leads elsewhere; branch ``other`` has rows of its own."""
    dolt("tag", "begin")
    write(config("u", primary_key=["id"]), pd.DataFrame({"id": [3], "v": ["u"]}))
    table = write(config("t", primary_key=["id"]), OURS)
    write(config("t", branch_conf=NewBranch("other", base="main")), THEIRS)
    return table


@pytest.mark.parametrize(
    "rules",
    [
        [rule("t")],
        [rule("T")],
        [rule("*")],
        [rule("?")],
        [rule("t%")],
        [rule("t", "other", "u")],
        [rule("t", "", "u")],
        [rule("t", "main")],
        [rule("t", "no such branch")],
        [rule("t", options="no such option")],
        # Each of these hides all of them from whoever reads that table.
        [rule("dolt_nonlocal_tables"), rule("t")],
        [rule("dolt_*"), rule("t")],
    ],
    ids=lambda rules: " ".join(rules).replace("INSERT INTO dolt_nonlocal_tables VALUES ", ""),
)
def test_a_table_that_is_led_elsewhere(config: Config, before: DoltTable, dolt: Dolt, rules: list[str]) -> None:
    """It is neither read nor written, and no branch has changed by the attempt."""
    by_hand(dolt, *reversed(rules))
    with unchanged(dolt):
        for attempt in (read, lambda given: write(given, THEIRS)):
            with pytest.raises(errors.TableRedirected, match="a row of 'dolt_nonlocal_tables' leads '"):
                attempt(config("t"))


@pytest.mark.parametrize(
    "attempt",
    [
        lambda config, _: write(config("t", mode="append"), pd.DataFrame({"id": [9], "v": ["x"]})),
        lambda config, _: write(config("t", mode="upsert"), OURS),
        lambda config, _: write(config("t", branch_conf=NewBranch("run/1", base="main")), THEIRS),
        lambda config, before: restore(config("t"), before),
        lambda config, _: next(pin(config("t")).iter()),
        lambda config, _: read(config(sql="SELECT * FROM t")),
    ],
    ids=["append", "upsert", "a new branch", "restore", "in parts", "a query"],
)
def test_every_way_there(
    config: Config, before: DoltTable, dolt: Dolt, attempt: Callable[[Config, DoltTable], object]
) -> None:
    """Each way of reading and writing is refused alike."""
    by_hand(dolt, rule("t"))
    with unchanged(dolt), pytest.raises(errors.TableRedirected, match="leads 't' to 'the same name' of 'other'"):
        attempt(config, before)


def test_what_the_error_says(config: Config, before: DoltTable, dolt: Dolt) -> None:
    """It names the table, the pattern and where it leads, for people and for programs."""
    by_hand(dolt, rule("T*", "other", "u"))
    commit = pin(config("t")).commit
    assert commit is not None
    said = (
        rf"Cannot read table 't': at commit {commit.hash} a row of 'dolt_nonlocal_tables' leads 'T\*' to 'u' of 'other'"
    )
    with pytest.raises(errors.TableRedirected, match=said) as caught:
        read(config("t"))
    assert vars(caught.value) == {"table": "t", "pattern": "T*", "target": "other"}


def test_what_was_pinned_does_not_move(config: Config, before: DoltTable, dolt: Dolt) -> None:
    """A table at a commit before the rule is what it was; at one with the rule it is refused."""
    by_hand(dolt, rule("t"))
    ruled = pin(config("t"))
    assert before.data.v.tolist() == pin(config("t", as_of="HEAD~1")).data.v.tolist() == ["ours"]
    for table in (ruled, pin(config("t", as_of="main"))):
        with pytest.raises(errors.TableRedirected, match="leads 't' to 'the same name' of 'other'"):
            assert table.data is not None


def test_other_tables_and_the_time_after(config: Config, before: DoltTable, dolt: Dolt) -> None:
    """What no rule names is read, queried and written as ever; so is all when the row is deleted."""
    by_hand(dolt, rule("t"))
    assert read(config("u")).v.tolist() == read(config(sql="SELECT * FROM u ORDER BY id")).v.tolist() == ["u"]
    write(config("u"), pd.DataFrame({"id": [4], "v": ["v"]}))
    assert values(dolt, "main", "u") == ["v"]
    by_hand(dolt, "DELETE FROM dolt_nonlocal_tables")
    write(config("t"), THEIRS)
    assert read(config("t")).v.tolist() == read(config(sql="SELECT * FROM t")).v.tolist() == ["theirs", "theirs"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM seen",
        "SELECT u.v FROM u JOIN seen ON TRUE",
        "SELECT * FROM T",
        "SELECT * FROM u WHERE EXISTS (SELECT 1 FROM t)",
        "SELECT * FROM t AS OF 'main'",
        "SELECT * FROM t AS OF 'ruled'",
        "SELECT * FROM dolt_history_t",
        "SHOW CREATE TABLE t",
        "SHOW TABLES",
    ],
)
def test_queries_that_may_read_elsewhere(config: Config, before: DoltTable, dolt: Dolt, sql: str) -> None:
    """A query that names such a table, or a view or what cannot be looked into, is refused where a name is led away."""
    by_hand(dolt, "CREATE VIEW seen AS SELECT v FROM t")
    by_hand(dolt, rule("t"))
    dolt("branch", "ruled")
    with pytest.raises(errors.TableRedirected, match="leads 't' to 'the same name' of 'other'"):
        read(config(sql=sql))


def test_a_commit_that_a_query_names(config: Config, before: DoltTable, dolt: Dolt) -> None:
    """The rules of each commit hold for what is read there, and for nothing else."""
    by_hand(dolt, rule("t", "other", "u"))
    dolt("branch", "ruled")
    by_hand(dolt, "DELETE FROM dolt_nonlocal_tables")
    assert read(config(sql="SELECT v FROM t AS OF 'HEAD~2'")).v.tolist() == ["ours"]
    assert read(config(sql="SELECT v FROM u AS OF 'ruled'")).v.tolist() == ["u"]
    with pytest.raises(errors.TableRedirected, match="leads 't' to 'u' of 'other'"):
        read(config(sql="SELECT v FROM t AS OF 'ruled'"))


@pytest.mark.parametrize("own", ["dolt_branches", "dolt_log"])
def test_dolts_own_tables(config: Config, before: DoltTable, dolt: Dolt, own: str) -> None:
    """A table that is put in the place of Dolt's list of branches, or of commits, is not believed."""
    fake = "CREATE TABLE fake AS SELECT 'main' AS name, DOLT_HASHOF('begin') AS hash, DOLT_HASHOF('begin') commit_hash"
    by_hand(dolt, fake, rule(own, "main", "fake"))
    for branch in (None, SerialBranch("main")):
        for attempt in (read, lambda given: write(given, OURS)):
            with pytest.raises(errors.TableRedirected, match=f"leads '{own}' to 'fake'"):
                attempt(config("u", branch_conf=branch))


@pytest.mark.parametrize("check", ["SELECT * FROM t WHERE v <> 'theirs'", "SELECT * FROM seen", DoltTests()])
def test_checks_of_a_merge(config: Config, before: DoltTable, dolt: Dolt, check: str | DoltTests) -> None:
    """A check is not passed by the rows of another branch."""
    by_hand(dolt, "CREATE VIEW seen AS SELECT * FROM t WHERE v <> 'theirs'")
    by_hand(dolt, "CALL DOLT_CHECKOUT('-b', 'asked')", rule("t"))
    with pytest.raises(errors.TableRedirected, match="in what is merged a row of 'dolt_nonlocal_tables' leads 't'"):
        merge("asked", into="main", db_path=config().db_path, checks=[check])
    assert "asked" not in dolt("log", "--oneline", "-n", "1")


def test_a_diff(config: Config, before: DoltTable, dolt: Dolt) -> None:
    """A comparison does not take the other branch's rows for a side."""
    by_hand(dolt, rule("t"))
    with pytest.raises(errors.TableRedirected, match="leads 't' to 'the same name' of 'other'"):
        diff(before, pin(config("t")))


def test_a_shallow_clone(config: Config, before: DoltTable, dolt: Dolt, tmp_path: Path) -> None:
    """A clone without the history in which the rules were made is not guessed at."""
    by_hand(dolt, rule("t"))
    origin = f"file://{tmp_path / 'origin'}"
    dolt("remote", "add", "origin", origin)
    dolt("push", "origin", "main")
    far = DoltConfig("foo", "t", remote_conf=Remote(origin))
    with pytest.raises(errors.TableRedirected, match="cannot be told by this user, or in a clone without"):
        read(far)
    with pytest.raises(errors.TableRedirected, match="leads 't' to|cannot be told"):
        write(far, THEIRS)


def test_a_pattern_that_takes_long() -> None:
    """Names are matched in a moment, whatever the pattern."""
    slow = active_content.Rule("*a" * 30_000 + "b", "other", "")
    assert not slow.matches("a" * 64)
    assert active_content.Rule("*a" * 60 + "*", "other", "").matches("a" * 64)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("t", "t", True),
        ("t", "tt", False),
        ("T?", "tt", True),
        ("t?", "t", False),
        ("*", "", True),
        ("%b%", "abc", True),
        ("a*c*e", "abcde", True),
        ("a*c*e", "abcdef", False),
        ("a.c", "abc", False),
        ("[a]", "a", False),
        ("\u0130d", "id", True),  # Go makes an i of it
        ("t_", "ta", False),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    """They match as in Dolt: whole names in any case, `*` and `%` any text, `?` one character, nothing else."""
    assert active_content.Rule(pattern, "other", "").matches(name) is matches


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoltServer]:
    """Give a server of the user's own."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    with DoltServer(tmp_path / "shop") as running:
        yield running


def test_on_a_server(shop: DoltServer) -> None:
    """On a user's own server it is the same, for a user who has rights on that database only."""
    write(shop.config("t", primary_key=["id"]), OURS)
    write(shop.config("t", branch_conf=NewBranch("other", base="main")), THEIRS)
    shop.sql(rule("t"))
    shop.sql("CALL DOLT_COMMIT('-Am', 'by hand')")
    for attempt in (read, lambda given: write(given, THEIRS)):
        with pytest.raises(errors.TableRedirected, match="leads 't' to 'the same name' of 'other'"):
            attempt(shop.config("t"))
    assert shop.values("SELECT v FROM `shop/other`.t") == ["theirs", "theirs"]
    assert [name for name in shop.values("SELECT name FROM dolt_branches") if name.startswith("flyte-tmp/")] == []
