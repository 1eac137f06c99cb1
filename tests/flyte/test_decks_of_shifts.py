"""Decks of changed tables: how far each column has moved, as a picture that also has its words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import devtools
import numpy as np
import pandas as pd
import pytest
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine

from flytekitplugins.dolt import DoltConfig, DoltTable, write
from flytekitplugins.dolt.profiles import charts
from flytekitplugins.dolt.report import collect

Config = Callable[..., DoltConfig]
TITLE = "<h3>How far the columns have moved</h3>"


def shown(table: DoltTable) -> str:
    """Return the deck of a table as flytekit gets it."""
    transformer = TypeEngine.get_transformer(DoltTable)
    return str(transformer.to_html(FlyteContextManager.current_context(), table, DoltTable))


def prices(rows: int, *, seed: int, around: float) -> pd.DataFrame:
    """Return prices with a key, a kind of missing value, a time and a text that hostile people have chosen."""
    rng = np.random.default_rng(seed)
    places = np.array(
        ["DE", "FR", "<script>document.title='owned'</script>", "\u202eevil", "W" * 80, "漢字" * 40, None]
    )
    return pd.DataFrame(
        {
            "id": range(rows),
            "price": np.where(rng.random(rows) < 0.02 * around, np.nan, rng.normal(around, 3, rows)),
            "at": pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 50_000 * int(around), rows), "s"),
            "place": rng.choice(places[: 3 + int(around) // 4], rows),
            "sold": rng.random(rows) < around / 30,
        }
    )


@pytest.fixture
def moved(config: Config) -> DoltTable:
    """Give a table that has just been written, and whose columns have moved."""
    keyed = config("prices", primary_key=["id"])
    write(keyed, prices(400, seed=1, around=8))
    return write(keyed, prices(500, seed=2, around=16))


def test_columns_that_have_moved_are_drawn(moved: DoltTable) -> None:
    """A table that was just written has a picture of each column that has moved, the furthest first."""
    page = shown(moved)
    assert TITLE in page
    names = re.findall(r"<figcaption><b>(.*?)</b>", page)
    shift = collect.card(moved).shift
    assert not isinstance(shift, str)
    assert shift is not None
    assert names == [column.name for column in shift.columns if charts.has_moved(column)]
    assert set(names) == {"id", "price", "at", "place", "sold"}
    assert re.search(r"missing 1\d(\.\d)? % → 3\d(\.\d)? %", page)


def test_who_only_reads_has_no_picture(moved: DoltTable) -> None:
    """A table that a task takes was compared when it was written, and costs nothing more."""
    assert moved.commit is not None
    assert TITLE not in shown(moved.at(moved.commit))


def test_small_changes_are_not_looked_through(config: Config) -> None:
    """Where few rows differ one line says so; a new table, and one that is the same, have none."""
    keyed = config("t", primary_key=["id"])
    frame = pd.DataFrame({"id": range(300), "v": range(300)})
    assert TITLE not in shown(write(keyed, frame))
    assert TITLE not in shown(write(keyed, frame))
    frame.loc[0, "v"] = 7
    page = shown(write(keyed, frame))
    assert (
        f'{TITLE}<p class="more">fewer than 1% of the rows differ, so shifts of columns are not looked for</p>' in page
    )


def test_large_tables_are_drawn_from(moved: DoltTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more values than are compared a part is drawn, which the picture says with its error."""
    monkeypatch.setattr(collect, "MAX_COMPARED", 5 * 200)
    monkeypatch.setattr(collect, "LEAST_SAMPLE", 100)
    shift = collect.card(moved).shift
    assert shift is not None
    assert not isinstance(shift, str)
    price = shift["price"]
    assert (shift.rows_before, shift.rows_after) == (400, 500)
    assert price.before is not None
    assert price.before.rows == 200
    assert 0.1 < price.error < 0.3
    assert f"± {price.error:.3f} (sampled)" in shown(moved)


def test_huge_tables_are_not_read(moved: DoltTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take long to read is left out, and one line says how to see it."""
    monkeypatch.setattr(collect, "MAX_READ", 100)
    monkeypatch.setattr(collect, "MAX_READ_BY_SQL", 100)
    page = shown(moved)
    assert "500 rows are more than are looked through for a deck" in page
    assert "<figure>" not in page
    assert "Changed rows" in page


def test_an_error_while_drawing_is_one_line(
    moved: DoltTable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All else of the page is there, and a warning is logged."""

    def broken(*_: object) -> None:
        raise MemoryError("no room <b>")

    monkeypatch.setattr(collect.shifts, "between", broken)
    page = shown(moved)
    assert "how the columns have moved cannot be shown: no room &lt;b&gt;" in page
    assert "Rows over the last 2 versions" in page
    assert "no room" in caplog.text


def test_changed_schemas_are_drawn(config: Config) -> None:
    """Columns that are new or of another type stand beside the others."""
    keyed = config("t", primary_key=["id"], on_schema_change="evolve")
    write(keyed, pd.DataFrame({"id": range(50), "v": pd.array(range(50), dtype="int8")}))
    table = write(keyed, pd.DataFrame({"id": range(50), "v": np.arange(50) * 1000, "new": "x"}))
    page = shown(table)
    assert "a new column" in page
    assert "column &#x27;v&#x27; tinyint is now bigint" in page


def test_a_wide_table_stays_a_small_page(config: Config) -> None:
    """However wide a table and however hostile its names, pictures add less than 300 KB."""
    rng = np.random.default_rng(0)
    keyed = config("t", primary_key=["id"])
    names = [f'c{number}"<&>' for number in range(120)]
    for seed in range(2):
        frame = pd.DataFrame({name: rng.choice([f"{n}'<&\x01" * 8 for n in range(seed, 20)], 60) for name in names})
        table = write(keyed, frame.assign(id=range(60)))
    page = shown(table)
    start = page.index(TITLE)
    assert page.count("<figure>") > 10
    assert page.index("<h3>Schema</h3>") - start < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 420])
def test_a_browser_shows_whole_words_on_nothing_else(moved: DoltTable, tmp_path: Path, scheme: str, width: int) -> None:
    """No label lies on another or on a bar, none is cut, and each picture has its words for who does not see it."""
    with devtools.shown(shown(moved), tmp_path, scheme=scheme, width=width) as page:
        assert page.value(devtools.OVERLAPS) == []
        pictures = [name for role, name in page.read_out() if role == "image"]
        ink = page.value("getComputedStyle(document.querySelector('figure text')).fill")
        assert page.value("document.title") == "mine"
        assert page.value("document.querySelectorAll('script, img').length") == 0
        assert page.value("document.documentElement.scrollWidth") <= width
    assert len(pictures) == 6
    assert all(pictures)
    assert sum(name.startswith("Rows over the last 2 versions: 400 at first, 500 now") for name in pictures) == 1
    assert ink == {"light": "rgb(28, 36, 48)", "dark": "rgb(228, 233, 240)"}[scheme]


@pytest.mark.slow
def test_a_long_path_makes_a_page_no_wider(repo: Path, moved: DoltTable, tmp_path: Path) -> None:
    """It is broken where there is no room; some folders of tests were long enough to scroll by three pixels."""
    html = shown(moved)
    assert str(repo) in html
    with devtools.shown(html.replace(str(repo), "/" + "folder" * 30), tmp_path, width=420) as page:
        assert page.value("document.documentElement.scrollWidth") <= 420
