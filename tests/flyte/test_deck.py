"""Decks: what a person sees of a commit, in a real browser; nothing that is in a table can break out of the page."""

from __future__ import annotations

import html
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import pytest
import ways
from browser import PATIENT, seen
from deck_screenshot import BROWSER
from flytekit import task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine

from flytekitplugins.dolt import Commit, DoltConfig, DoltTable, Remote, dolt_frame, read, write
from flytekitplugins.dolt.history import diffs
from flytekitplugins.dolt.report import collect, page
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import local_server, procedures

Config = Callable[..., DoltConfig]
HOSTILE = [
    "<script>document.title='owned'</script>",
    "</td></table><img src=x onerror=\"document.title='owned'\">",
    "' onmouseover='x",
    "&lt;b&gt;",
    "\u202eright to left",
    "a\0b\x1b[31m",
    "</style><b>",
]


def shown(table: DoltTable) -> str:
    """Return the deck of a table as flytekit gets it."""
    transformer = TypeEngine.get_transformer(DoltTable)
    return str(transformer.to_html(FlyteContextManager.current_context(), table, DoltTable))


def words(page: str) -> str:
    """Return the text of a page without its tags and styles."""
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


@pytest.fixture
def rabbits(config: Config) -> DoltTable:
    """Give a table at its third version: one row added, one changed, one removed."""
    keyed = config("rabbits", primary_key=["name"])
    write(keyed, pd.DataFrame({"name": ["Alice", "Bo"], "count": [1, 2]}))
    write(keyed, pd.DataFrame({"name": ["Alice", "Bo", "Dot"], "count": [1, 2, 3]}))
    return write(
        keyed, pd.DataFrame({"name": ["Alice", "Dot", "Elm"], "count": [1, 4, 5]}), message="the third\n\nx: y"
    )


def test_it_shows_commit_counts_rows_schema_and_sizes(rabbits: DoltTable, repo: Path) -> None:
    """Everything that a reader asks of a commit stands there, with the values of the repository itself."""
    text = words(shown(rabbits))
    card = collect.card(rabbits)
    assert rabbits.commit is not None
    for expected in (
        str(repo),
        rabbits.commit.hash,
        card.commit.parents[0],
        "main",
        "Bojack Horseman <bojack@horseman.com>",
        "the third",
        "+1 added",
        "~1 modified",
        "-1 removed",
        "CREATE TABLE `rabbits`",
        "Rows over the last 3 versions",
    ):
        assert expected in text, expected
    assert [size.rows for size in card.history] == [2, 3, 3]
    page = shown(rabbits)
    assert "<del>3</del> <ins>4</ins>" in page
    assert re.search(r'<tr class="removed"><th>-</th><td>Bo</td><td>2</td></tr>', page)
    assert re.search(r'<tr class="added"><th>\+</th><td>Elm</td><td>5</td></tr>', page)


def test_a_change_of_schema_is_said(config: Config) -> None:
    """New columns and widened types are listed; what a new column is before is not made up."""
    keyed = config("t", primary_key=["id"], on_schema_change="evolve")
    write(keyed, pd.DataFrame({"id": [1, 2], "v": pd.array([1, 2], dtype="int8")}))
    page = shown(write(keyed, pd.DataFrame({"id": [1, 2], "v": [1, 3000], "w": ["a", "b"]})))
    assert "new column &#x27;w&#x27;" in page
    assert "column &#x27;v&#x27; tinyint is now bigint" in page
    assert "<del>2</del> <ins>3000</ins>" in page
    assert '<del><i class="null">' not in page


@pytest.mark.slow
def test_a_browser_shows_hostile_values_as_text(config: Config, tmp_path: Path) -> None:
    """No value, name or message becomes a tag, a script or an attribute."""
    frame = pd.DataFrame({"id": range(len(HOSTILE)), "</th><script>": [v.replace("\0", "") for v in HOSTILE]})
    table = write(config("t", primary_key=["id"]), frame, message=HOSTILE[0])
    dom = seen(shown(table), tmp_path)
    assert "<title>mine</title>" in dom
    assert "<script" not in dom
    assert "<img" not in dom
    assert " onmouseover=" not in re.sub(r">[^<]*<", "><", dom)
    assert "\u202e" not in dom
    assert "&lt;script&gt;document.title=" in dom


@pytest.mark.slow
def test_a_browser_shows_it_in_light_and_dark(rabbits: DoltTable, tmp_path: Path) -> None:
    """The page takes its colours from what the reader prefers."""
    probe = (
        "<script>document.title=getComputedStyle(document.querySelector('.dolt-deck')).backgroundColor"
        "+'/'+getComputedStyle(document.querySelector('.dolt-deck')).color</script>"
    )
    titles = []
    for scheme in ("1", "0"):  # of Chromium's setting: light, dark
        file = tmp_path / f"{scheme}.html"
        file.write_text(f"<!doctype html><meta charset='utf-8'>{shown(rabbits)}{probe}")
        command = [
            *BROWSER,
            PATIENT,
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--user-data-dir={tmp_path / scheme}",
        ]
        done = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120)
        titles += re.findall(r"<title>(rgb.*?)</title>", done.stdout)
    assert titles == ["rgb(255, 255, 255)/rgb(28, 36, 48)", "rgb(22, 27, 34)/rgb(228, 233, 240)"]


def test_it_stays_small_and_says_what_it_leaves_out(config: Config) -> None:
    """However wide, long and deep a table is, the page is a few hundred KiB, and counts what is not on it."""
    wide = pd.DataFrame({"id": range(500)} | {f"c{n}": ['"' * 300] * 500 for n in range(60)})
    table = write(config("t", primary_key=["id"]), wide, message="<" * 100_000)
    before = len(shown(table))
    again = write(config("t", primary_key=["id"]), wide.replace('"' * 300, "'" * 300), message="<" * 100_000)
    page = shown(again)
    assert max(before, len(page)) < 400 * 1024
    assert "and 480 more rows" in words(page)
    assert "and 41 more columns" in words(page)


def test_what_a_table_was_made_of_is_drawn(config: Config) -> None:
    """The deck of an output has the picture of the tables that went into it; one made of nothing has none."""

    @task
    def load() -> DoltTable:
        return DoltTable(config("users"), pd.DataFrame({"n": [1, 2]}))

    @task
    def select(users: DoltTable) -> DoltTable:
        return DoltTable(config("big_users"), users.data.head(1))

    @workflow
    def wf() -> tuple[DoltTable, DoltTable]:
        users = load()
        return users, select(users=users)

    users, big_users = wf()
    assert "<h3>Made of</h3>" not in shown(users)
    page = shown(big_users)
    assert "<h3>Made of</h3><figure" in page
    picture = page[page.index("<figure") : page.index("</figure>")]
    assert picture.count('<g class="node ') == 4
    assert picture.count('<path class="edge"') == 3
    assert {"users", "big_users", "test_deck.select"} <= {text.strip() for text in words(picture).split("  ")}
    assert not re.search(r"https?:|src=|href=|@import|url\(|<script", page)


def test_a_table_that_grew_says_so_beside_later_commits(config: Config) -> None:
    """Appended rows are made of what was there; a later commit to another table does not hide that."""

    @task
    def add(n: int) -> DoltTable:
        return DoltTable(config("t", mode="append"), pd.DataFrame({"n": [n]}))

    for number in range(13):
        table = add(n=number)
    other = write(config("other"), pd.DataFrame({"n": [1]}))
    page = shown(table.at(Commit(str(other.commit and other.commit.hash), branch="main")))
    assert "13 versions to" in page
    assert "12 runs to" in page


def test_nothing_is_fetched_from_anywhere(rabbits: DoltTable) -> None:
    """The page names no address of a style, a script, a font or a picture."""
    assert not re.search(r"https?:|src=|href=|@import|url\(|<script", shown(rabbits))


def test_a_query_is_shown_with_its_commit(config: Config, rabbits: DoltTable) -> None:
    """A query has no changes of its own: statement and commit are shown."""
    query = replace(config(None), sql="select name from rabbits where `count` > 1")
    page = words(shown(DoltTable(config=query).at(Commit(str(rabbits.commit and rabbits.commit.hash), branch="main"))))
    assert "select name from rabbits where `count` > 1" in page
    assert str(rabbits.commit) in page


def test_a_keyless_table_and_a_table_with_names_like_ours(config: Config) -> None:
    """Columns called `diff_type` and `before_v` are columns like others."""
    keyed = config("t", primary_key=["id"])
    frame = pd.DataFrame({"id": [1], "diff_type": ["x"], "v": [1], "before_v": ["y"]})
    write(keyed, frame)
    page = shown(write(keyed, frame.assign(v=2)))
    assert "<td>1</td><td>x</td><td><del>1</del> <ins>2</ins></td><td>y</td>" in page
    keyless = config("k")
    write(keyless, pd.DataFrame({"v": [1, 2]}))
    assert '<tr class="removed"><th>-</th><td>2</td></tr>' in shown(write(keyless, pd.DataFrame({"v": [1, 3]})))


def test_what_cannot_be_shown_never_fails_a_task(
    config: Config, rabbits: DoltTable, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit that is not there (any more) makes a page that says so, and a line in the log."""
    gone = DoltTable(config=rabbits.config).at(Commit("0" * 32))
    assert "Nothing more can be shown" in words(shown(gone))
    assert "Cannot show" in caplog.text
    assert "no commit holds it" in words(shown(DoltTable(config=rabbits.config)))


def test_a_task_with_decks_has_one(config: Config, repo: Path) -> None:
    """With decks switched on flytekit asks for the page of an output; the task's result is what it was."""
    pages: list[str] = []
    original = page.page

    @task(enable_deck=True)
    def count(n: int) -> DoltTable:
        return DoltTable(config("t"), pd.DataFrame({"n": [n]}))

    @workflow
    def wf(n: int) -> DoltTable:
        return count(n=n)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "page", lambda card: pages.append(original(card)) or pages[-1])
        table = wf(n=3)
    local_server.release(repo)
    assert read(config("t"))["n"].tolist() == [3]
    assert len(pages) == 1
    assert table.commit is not None
    assert table.commit.hash in pages[0]
    assert "+1 added" in words(pages[0])


HOSTILE_COLUMN = ", `</footer><script>` int not null default 5"
WAYS: dict[str, tuple[str, str | None, dict[str, object], str]] = {
    "replace": ("1", "", {}, "natively"),
    "a new table": ("1", None, {"primary_key": ["k"]}, "natively"),
    "append": ("1", "", {"mode": "append"}, "natively"),
    "upsert": ("1", "", {"mode": "upsert"}, "natively"),
    "delete": ("1", "", {"mode": "delete"}, "natively"),
    "off": ("0", "", {}, "by SQL: FLYTE_DOLT_NATIVE is 0"),
    "off, a new table": ("0", None, {"primary_key": ["k"]}, "by SQL: FLYTE_DOLT_NATIVE is 0"),
    "off, upsert": ("0", "", {"mode": "upsert"}, "by SQL: FLYTE_DOLT_NATIVE is 0"),
    "off, delete": ("0", "", {"mode": "delete"}, "by SQL: FLYTE_DOLT_NATIVE is 0"),
    "a rule": ("1", ", constraint c check (v > 0)", {}, "by SQL: the table has CONSTRAINT"),
    "a rule, append": ("1", ", constraint c check (v > 0)", {"mode": "append"}, "by SQL: the table has CONSTRAINT"),
    "a rule, delete": ("1", ", constraint c check (v > 0)", {"mode": "delete"}, "by SQL: the table has CONSTRAINT"),
    "a column less": (
        "1",
        HOSTILE_COLUMN,
        {"mode": "upsert"},
        "by SQL: of the table's columns the rows have no '</footer><script>'",
    ),
}


@pytest.mark.usefixtures("our_program")
@pytest.mark.parametrize("kind", WAYS)
def test_which_way_the_rows_went(repo: Path, config: Config, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The last line says it of rows that were written just now, and the reason of SQL; a reader's deck has none."""
    switch, columns, options, expected = WAYS[kind]
    if columns is not None:
        with refs.connect(repo) as connection:
            connection.execute(f"create table t (k bigint primary key, v bigint{columns})")
            connection.execute("insert into t (k, v) values (1, 1), (2, 2)")
            connection.execute("call dolt_commit('-Am', 'made')")
    monkeypatch.setenv(procedures.SWITCH, switch)
    table = write(config("t", **options), pd.DataFrame({"k": [7 if options.get("mode") == "append" else 1], "v": [3]}))
    page = shown(table)
    assert page.endswith(f'<footer class="more">Rows went {html.escape(expected)}.</footer></div>')
    assert table.rows_went == expected
    assert table.commit is not None
    assert "<footer" not in shown(table.at(table.commit))
    table.data = pd.DataFrame({"k": [1]})
    assert table.rows_went is None


@pytest.mark.usefixtures("our_program")
def test_which_way_the_rows_of_a_frame_went(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that a task returns has the same line as a table; a write that was done before has none."""
    frame = pd.DataFrame({"k": [1]})
    pages: list[str] = []
    original = page.page

    def made() -> pd.DataFrame:
        return frame

    made.__annotations__["return"] = Annotated[pd.DataFrame, dolt_frame(config("t"))]
    monkeypatch.setattr(page, "page", lambda card: pages.append(original(card)) or pages[-1])
    task(made, enable_deck=True)()
    assert f"Rows went {ways.expected()}" in words(pages[-1])
    write(config("t"), frame.assign(k=2), key="once")
    assert "Rows went" not in words(shown(write(config("t"), frame.assign(k=2), key="once")))


def test_keys_that_were_not_there_are_counted(rabbits: DoltTable) -> None:
    """A task that deletes rows gives on the table as it is then, and its deck says how many keys it did not find."""
    pages: list[str] = []

    @task(enable_deck=True)
    def delete(names: list[str]) -> DoltTable:
        return DoltTable(replace(rabbits.config, mode="delete"), pd.DataFrame({"name": names}))

    @task
    def names_of(table: DoltTable) -> list[str]:
        return table.data["name"].tolist()

    @workflow
    def wf(names: list[str]) -> list[str]:
        return names_of(table=delete(names=names))

    original = page.page
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "page", lambda card: pages.append(original(card)) or pages[-1])
        assert wf(names=["Dot", "Fay", "Gil"]) == ["Alice", "Elm"]
        assert wf(names=["Fay"]) == ["Alice", "Elm"]
    text, unchanged = map(words, pages)
    assert ("-1 removed" in text, "2 keys not there" in text, "Flyte-Write: rabbits delete" in text) == (True,) * 3
    assert "1 keys not there" in unchanged


def test_the_counts_are_those_of_the_diff(rabbits: DoltTable) -> None:
    """A deck says what `last_change` says, for all its rows."""
    change = diffs.last_change(rabbits)
    card = collect.card(rabbits)
    assert card.change == change
    assert change.rows is not None
    assert len(change.rows) == 3


def test_a_table_on_a_remote_is_shown_with_one_fetch_at_most(
    tmp_path: Path, dolt: Callable[..., str], fetches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wrote the table fetches nothing for its deck, another pod once; the page names the remote, not the clone."""
    url = f"file://{tmp_path / 'remote'}"
    dolt("remote", "add", "origin", url)
    dolt("push", "origin", "main")
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "one"))
    config = DoltConfig("foo", "t", primary_key=["id"], remote_conf=Remote(url))
    write(config, pd.DataFrame({"id": [1]}))
    table = write(config, pd.DataFrame({"id": [1, 2]}))
    fetches.clear()
    page = shown(table)
    assert fetches == []
    assert url in page
    assert "+1 added" in words(page)
    assert "Rows over the last 2 versions" in words(page)
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "two"))
    assert shown(table) == page
    write(config, pd.DataFrame({"id": [1, 2, 3]}))  # through the second clone, and the first does not know of it
    newest = write(config, pd.DataFrame({"id": [1, 2, 3, 4]}))
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "one"))
    fetches.clear()
    assert "+1 added" in words(shown(newest))
    assert len(fetches) == 1
    for clone in tmp_path.glob("*/*/foo"):
        local_server.release(clone)
