"""Decks of merges: what a merge was checked for stands in the task's deck, and in that of a task that it fails."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import devtools
import pandas as pd
import pytest
from flytekit import task
from flytekit.core.context_manager import FlyteContextManager
from flytekit.deck import DeckField
from pods import Cluster, PodFailed

from flytekitplugins.dolt import DoltConfig, DoltTests, NewBranch, merge, write
from flytekitplugins.dolt.report import page
from flytekitplugins.dolt.repository import refs

Config = Callable[..., DoltConfig]
FIELDS = (DeckField.INPUT, DeckField.OUTPUT)


def rows(deck: str) -> list[list[str]]:
    """Return the cells of all rows of checks on a page."""
    found = re.findall(r'<tr class="(?:passed|removed)">(.*?)</tr>', deck)
    return [
        [html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall("<t[hd]>.*?</t[hd]>", row)] for row in found
    ]


def newest_deck() -> str:
    """Return the deck that was written last."""
    folder = Path(FlyteContextManager.current_context().file_access.local_sandbox_dir)
    return max(folder.glob("*/deck.html"), key=lambda file: file.stat().st_mtime_ns).read_text()


@pytest.fixture
def branch(config: Config, repo: Path) -> Iterator[str]:
    """Give a branch that has a price below zero, in a repository with tests of its own."""
    base = config("prices", primary_key=["item"])
    write(base, pd.DataFrame({"item": ["apple"], "price": [1]}))
    with refs.connect(repo) as connection:
        for values in ("('few', 'g', 'select * from prices', 'expected_rows', '<', '9')",):
            connection.execute(f"insert into dolt_tests values {values}")
        connection.execute("call dolt_commit('-Am', 'tests')")
    new = config("prices", primary_key=["item"], branch_conf=NewBranch("run/1"))
    write(new, pd.DataFrame({"item": ["apple", "<b>pear"], "price": [1, -2]}))
    return "run/1"


def test_all_checks_of_a_merge_stand_in_one_table(branch: str, repo: Path) -> None:
    """Queries, functions and the repository's own tests have name, kind, value, bound and verdict."""

    @task(enable_deck=True, deck_fields=FIELDS)
    def publish() -> str:
        checks = {
            "no zero": "select * from prices where price = 0",
            "enough": lambda query: len(query("select * from prices")) == 2,
            "own": DoltTests("g"),
        }
        return merge(branch, into="main", db_path=repo, checks=checks).hash

    publish()
    deck = newest_deck()
    assert "run/1 into main" in deck
    assert "all passed" in deck
    assert rows(deck) == [
        ["passed", "no zero", "rows of a query", "0 rows", "0 rows"],
        ["passed", "enough", "a function", "passed", "not False, no error"],
        ["passed", "few", "test of the repository", "as expected", "expected_rows < 9"],
    ]


def test_a_refused_merge_leaves_its_table(branch: str, repo: Path) -> None:
    """A local task that a check fails has a deck all the same; the refused checks come first."""

    @task(enable_deck=True, deck_fields=FIELDS)
    def refuse() -> str:
        checks = {"</td><script>": "select 1 where 0", "none below": "select * from prices where price < 0"}
        return merge(branch, into="main", db_path=repo, checks=checks).hash

    with pytest.raises(Exception, match="1 of 2 checks did not pass"):
        refuse()
    deck = newest_deck()
    assert "1 of 2 refused" in deck
    assert rows(deck) == [
        ["refused", "none below", "rows of a query", "1 rows", "0 rows"],
        ["passed", "</td><script>", "rows of a query", "0 rows", "0 rows"],
    ]


def test_a_merge_that_a_bound_refuses_shows_the_numbers_and_the_picture(
    branch: str, config: Config, repo: Path, tmp_path: Path
) -> None:
    """Bounds stand in the table of the checks, and the columns that they are for are drawn below it."""
    keyed = config("sales", primary_key=["id"])
    frame = pd.DataFrame({"id": range(40), "price": [float(number % 7) for number in range(40)], "note": "x"})
    write(keyed, frame)
    later = config("sales", primary_key=["id"], branch_conf=NewBranch("run/2"))
    write(later, frame.assign(price=frame["price"] + 5, note=[None] * 10 + ["x"] * 30))

    @task(enable_deck=True, deck_fields=FIELDS)
    def refuse() -> str:
        return merge(
            "run/2",
            into="main",
            db_path=repo,
            checks={"some": "select 1 where 0"},
            max_shift={"price": 0.2, "id": 0.5},
            max_missing={"note": 0.1},
        ).hash

    with pytest.raises(Exception, match="2 of 4 checks did not pass"):
        refuse()
    deck = newest_deck()
    assert rows(deck) == [
        ["refused", "max_shift price", "Kolmogorov-Smirnov of sales.price", "0.75", "at most 0.2"],
        ["refused", "max_missing note", "share of missing values of sales.note", "0.25", "at most 0.1"],
        ["passed", "some", "rows of a query", "0 rows", "0 rows"],
        ["passed", "max_shift id", "Kolmogorov-Smirnov of sales.id", "0", "at most 0.5"],
    ]
    assert "How far the columns of sales would move" in deck
    assert re.findall("<figcaption><b>(.*?)</b>", deck) == ["price"]
    with devtools.shown(deck, tmp_path) as shown:
        assert shown.value(devtools.OVERLAPS) == []


def test_without_decks_nothing_is_written(branch: str, repo: Path) -> None:
    """A task without a deck, and a script, have no page of a merge."""

    @task
    def publish() -> str:
        return merge(branch, into="main", db_path=repo, checks=["select 1 where 0"]).hash

    folder = Path(FlyteContextManager.current_context().file_access.local_sandbox_dir)
    before = set(folder.glob("*/deck.html"))
    publish()
    merge(branch, into="main", db_path=repo, checks=["select 1 where 0"])
    assert set(folder.glob("*/deck.html")) == before


def test_a_page_that_cannot_be_drawn_fails_nothing(
    branch: str, repo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The merge is done, and a warning says why there is no page."""

    def broken(_: object) -> str:
        raise RuntimeError("no ink")

    @task(enable_deck=True, deck_fields=FIELDS)
    def publish() -> str:
        return merge(branch, into="main", db_path=repo, checks=["select 1 where 0"]).hash

    monkeypatch.setattr(page, "audit", broken)
    assert publish()
    assert "no ink" in caplog.text


WORKFLOW = textwrap.dedent(
    """
    from flytekit import task
    from flytekitplugins.dolt import merge

    @task(enable_deck=True, deck_fields=())
    def publish(folder: str) -> str:
        checks = {"none below": "select * from prices where price < 0"}
        return merge("run/1", into="main", db_path=folder, checks=checks).hash
    """
)


@pytest.mark.slow
def test_a_pod_that_fails_uploads_the_table(branch: str, repo: Path, tmp_path: Path) -> None:
    """What Flyte's console shows of a task that a check has failed is that check, found and wanted."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    with pytest.raises(PodFailed, match="1 of 1 checks"):
        cluster.run(cluster.image("refused_wf", WORKFLOW).publish, "run1", folder=str(repo))
    (deck,) = (folder / "store").rglob("deck.html")
    assert rows(deck.read_text()) == [["refused", "none below", "rows of a query", "1 rows", "0 rows"]]
