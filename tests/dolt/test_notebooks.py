"""What a notebook shows of tables, differences, versions and lineage: escaped, bounded, and read for nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, DoltTable, diff, lineage, pin, versions_frame, write
from flytekitplugins.dolt.model import notebooks

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
HOSTILE = "</td><script>alert(1)</script>\u202e\x1b[31m"


def words(page: str) -> list[str]:
    """Return the texts of a page, without its tags."""
    return [html.unescape(text) for text in re.split(r"<[^>]*>", page) if text.strip()]


def test_a_table(config: Config) -> None:
    """Its rows are shown once they are in memory, and not fetched for that."""
    conf = config("t", primary_key=["id"])
    write(conf, pd.DataFrame({"id": [1, 2], "n": ["a", None]}))
    table, loose = pin(conf), DoltTable(conf)
    assert words(table._repr_html_()) == [repr(table)]
    assert words(loose._repr_html_()) == [repr(loose)]
    assert (table.is_loaded, loose.is_loaded, loose.commit) == (False, False, None)
    _ = table.data
    assert words(table._repr_html_()) == [repr(table), "id", "n", "1", "a", "2", "NULL"]


def test_a_difference(config: Config) -> None:
    """It shows the counts, and of the changed rows those that were fetched, and how many there are."""
    conf = config("t", primary_key=["id"])
    write(conf, pd.DataFrame({"id": [1], "n": [1]}))
    write(conf, pd.DataFrame({"id": range(30), "n": range(30)}))
    place: dict[str, Any] = {"table": "t", "db_path": conf.db_path}
    found = diff("HEAD~1", "HEAD", **place, limit=2)
    assert words(found._repr_html_()) == [
        *(str(found), "diff_type", "id", "n", "before_n", "added", "0", "0", "NULL", "added", "2", "2", "NULL"),
        "and 27 more rows",
    ]
    assert repr(found) == "<TableDiff t: 29 added, 0 modified, 0 removed>"
    assert words(diff("HEAD", "HEAD", **place)._repr_html_()) == ["t: 0 added, 0 modified, 0 removed"]
    assert words(diff("HEAD~1", "HEAD", **place, limit=0)._repr_html_()) == [str(found)]


def test_versions_and_lineage(config: Config) -> None:
    """Versions are a frame, which notebooks show; lineage is the tree that it prints."""
    table = write(config("t"), pd.DataFrame({"a": [1]}), message=HOSTILE)
    shown = versions_frame(config("t"))._repr_html_()  # type: ignore[operator]
    assert str(table.commit.hash)[:8] in shown  # type: ignore[union-attr]
    assert "<script" not in shown
    found = lineage(table)
    assert repr(found) == f"<Lineage of {table.commit}: made of 0 commits, used for 0, gaps 0>"
    picture, _, tree = found._repr_html_().partition("</figure>")
    assert "\n".join(words(tree)) == str(found)
    assert picture.startswith("<figure")
    assert not set(picture) & {"\u202e", "\x1b"}
    assert "<script" not in picture


def test_nothing_in_it_is_obeyed(config: Config) -> None:
    """Names and values are text, whatever signs are in them."""
    frame = pd.DataFrame({"id": [1], HOSTILE.replace("\x1b", ""): [HOSTILE], "p": ["mysql://me:secret@host/d"]})
    table = write(config("t", primary_key=["id"]), frame)
    found = diff(None, table)
    for page in (table._repr_html_(), found._repr_html_(), DoltTable(config(sql=f"select '{HOSTILE}'"))._repr_html_()):
        assert "<script" not in page
        assert not set(page) & {"\u202e", "\x1b"}
        assert "secret" not in page
        assert "alert(1)" in page


@pytest.mark.parametrize("rows", [0, 1, 1_000])
def test_it_stays_small(rows: int) -> None:
    """However large a frame or text is, a notebook gets little of it and is told how much is missing."""
    frame = pd.DataFrame({f"c{number}": ["x" * 200] * rows for number in range(50)})
    page = notebooks.table(frame)
    assert len(page) < 50_000
    more = ["and 980 more rows"] if rows > notebooks.MAX_ROWS else []
    assert words(page)[-1 - len(more) :] == [*more, "and 30 more columns"]
    text = notebooks.lines(["y" * 1_000] * rows)
    assert len(text) < 150_000
    assert ("more lines" in text) == (rows > notebooks.MAX_LINES)
