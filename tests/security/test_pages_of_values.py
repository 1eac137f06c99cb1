"""What comes out of a table is text to the deck that flytekit makes of a task, whatever kind of frame it is in."""

import dataclasses
import html
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any, Optional

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from browser import seen
from flytekit import FlyteContextManager, task
from flytekit.core.type_engine import TypeEngine
from flytekit.deck import deck as flytekit_deck
from flytekit.types.structured.structured_dataset import StructuredDataset, StructuredDatasetTransformerEngine

from flytekitplugins.dolt import DoltConfig, DoltTable, dolt_frame, dolt_uri, write
from flytekitplugins.dolt.flyte import dataframes

Config = Callable[..., DoltConfig]
SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = [
    SCRIPT,
    "<img src=x onerror=alert(1)>",
    "</pre></td></table><svg onload=alert(1)>",
    "' onmouseover='x",
    "<b>&lt;",
]
NAMES = ["<img src=x onerror=alert(1)>", "</pre><script>alert(1)</script>", "</th><svg/onload=alert(1)>"]


class Tags(HTMLParser):
    """Collects the tags and attributes of a page, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))

    def handle_data(self, data: str) -> None:
        self.text += data


def frame(*, hostile: bool) -> pd.DataFrame:
    """Return a frame with hostile names, values, levels and index, or one of the same shape without."""
    texts = HOSTILE if hostile else [f"text {n}" for n in range(len(HOSTILE))]
    first, second, index = NAMES if hostile else ("a", "b", "c")
    columns = {first: texts, second: pd.Categorical(texts), "lists": [[text] for text in texts]}
    return pd.DataFrame({**columns, "id": range(len(texts)), index: texts}).set_index(index)


@pytest.fixture
def decks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the whole pages that flytekit makes of the tasks' decks."""
    pages: list[str] = []
    real = flytekit_deck._get_deck

    def noted(*args: Any, **options: Any) -> Any:
        pages.append(real(*args, **options))
        return pages[-1]

    monkeypatch.setattr(flytekit_deck, "_get_deck", noted)
    return pages


def deck_of(table: DoltTable, decks: list[str]) -> str:
    """Return the whole page of a task that takes a table in every form and gives the frames back."""
    decks.clear()
    kind = Annotated[pa.Table, dolt_frame(table.config)]

    @task(enable_deck=True)
    def show(
        frame: pd.DataFrame,
        arrow: pa.Table,
        eager: pl.DataFrame,
        lazy: pl.LazyFrame,
        dataset: StructuredDataset,
        annotated: kind,  # type: ignore[valid-type]
        itself: DoltTable,
        config: DoltConfig,
        tables: list[DoltTable],
    ) -> tuple[pd.DataFrame, pa.Table, pl.DataFrame, pl.LazyFrame, Optional[pa.Table], list[pa.Table]]:  # noqa: UP045
        return frame, arrow.slice(1), eager, lazy, arrow, [arrow]

    given = StructuredDataset(uri=dolt_uri(table))
    show(
        frame=given, arrow=given, eager=given, lazy=given, dataset=given, annotated=given, itself=table,
        config=table.config, tables=[table],
    )  # fmt: skip
    return decks[-1]


@pytest.mark.slow
def test_the_deck_of_a_task_has_only_flytekits_tags_and_ours(config: Config, decks: list[str]) -> None:
    """A table whose names and values are tags makes a page of the tags that a harmless one of its shape makes."""
    harmless = Tags(deck_of(write(config("harmless", primary_key=["id"]), frame(hostile=False)), decks))
    page = deck_of(write(config("hostile", primary_key=["id"]), frame(hostile=True), message=SCRIPT), decks)
    hostile = Tags(page)
    assert set(hostile.tags) == set(harmless.tags)
    assert [hostile.tags.count((tag, ())) for tag in ("script", "b", "img", "svg")] == [
        harmless.tags.count((tag, ())) for tag in ("script", "b", "img", "svg")
    ]
    for text in (SCRIPT, *NAMES):
        assert text not in page
        assert text in hostile.text


FRAME = frame(hostile=True).reset_index()
ARROW = pa.table(FRAME.astype({NAMES[1]: str}))
VALUES: dict[str, tuple[Any, Any]] = {
    "pandas": (FRAME, pd.DataFrame),
    "pandas with hostile names of index and columns": (
        FRAME.set_index([NAMES[0], NAMES[1]]).rename_axis(columns=NAMES[2]), pd.DataFrame,
    ),
    "arrow": (ARROW, pa.Table),
    "arrow with levels": (ARROW.set_column(0, NAMES[0], ARROW[NAMES[0]].dictionary_encode()), pa.Table),
    "arrow with a hostile type": (pa.table({"v": pa.array([{NAMES[0]: 1}])}), pa.Table),
    "arrow with metadata": (ARROW.replace_schema_metadata({NAMES[0]: NAMES[1]}), pa.Table),
    "polars": (pl.from_arrow(ARROW), pl.DataFrame),
    "polars enum": (pl.DataFrame({"e": pl.Series([HOSTILE[-1]], dtype=pl.Enum([HOSTILE[-1]]))}), pl.DataFrame),
    "lazy polars": (pl.DataFrame({NAMES[0]: [SCRIPT]}).lazy().filter(pl.col(NAMES[0]) == SCRIPT), pl.LazyFrame),
    "dataset": (StructuredDataset(dataframe=ARROW), StructuredDataset),
    "optional pandas": (FRAME, Optional[pd.DataFrame]),  # noqa: UP045
    "optional arrow": (ARROW, Optional[pa.Table]),  # noqa: UP045
    "list of arrow": ([ARROW], list[pa.Table]),
    "dictionary of pandas": ({SCRIPT: FRAME}, dict[str, pd.DataFrame]),
    "table": (DoltTable(config=DoltConfig(SCRIPT, NAMES[0])), DoltTable),
    "config": (DoltConfig(SCRIPT, NAMES[0]), DoltConfig),
    "query": (DoltConfig("foo", sql=f"select '{SCRIPT}'"), DoltConfig),
    "list of tables": ([DoltTable(config=DoltConfig("foo", NAMES[0]))], list[DoltTable]),
    "optional table": (DoltConfig("foo", NAMES[0]), Optional[DoltConfig]),  # noqa: UP045
}  # fmt: skip


@dataclasses.dataclass
class Report:
    """A value of a user's with one of ours in it."""

    config: DoltConfig
    text: str


@pytest.mark.parametrize(("value", "kind"), [*VALUES.values(), (Report(DoltConfig("foo", NAMES[0]), SCRIPT), Report)])
def test_no_value_of_a_kind_becomes_a_tag(value: Any, kind: Any) -> None:
    """Frames, tables and configs, also inside others, are shown as text, and with nothing but a table's tags."""
    page = TypeEngine.to_html(FlyteContextManager.current_context(), value, kind)
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "pre", "div", "p", "style"}
    assert {tag for tag, _ in Tags(page).tags} <= allowed
    assert {name for _, names in Tags(page).tags for name in names} <= {"class", "border", "style", "valign", "halign"}
    assert any(sign in Tags(page).text for sign in (*NAMES, *HOSTILE))


def test_a_page_of_a_users_own_stays_one() -> None:
    """A text that a task returns, and what a user's class prints, is shown as flytekit shows it."""

    class Page:
        def __str__(self) -> str:
            return "<h1>mine</h1>"

    context = FlyteContextManager.current_context()
    assert TypeEngine.to_html(context, "<h1>mine</h1>", str) == "<h1>mine</h1>"
    assert TypeEngine.to_html(context, Page(), Page) == "<h1>mine</h1>"


def test_a_renderer_of_a_users_own_stays() -> None:
    """Whoever registers another renderer for Arrow tables keeps it."""

    class Mine:
        def to_html(self, table: pa.Table) -> str:
            return "mine"

    engine = StructuredDatasetTransformerEngine
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(engine.Renderers, pa.Table, Mine())
        patch.setitem(engine.ENCODERS, pa.Table, {})
        patch.setitem(engine.DECODERS, pa.Table, {})
        dataframes._register(pa.Table)
        assert engine.Renderers[pa.Table].to_html(ARROW) == "mine"


@pytest.mark.slow
def test_a_browser_runs_nothing_of_it(config: Config, decks: list[str], tmp_path: Path) -> None:
    """In a real browser the page of the task has no picture, no script of the table's, and flytekit's own title."""
    page = deck_of(write(config("hostile", primary_key=["id"]), frame(hostile=True)), decks)
    dom = seen(page, tmp_path)
    assert "<title>User Content</title>" in dom
    assert "owned" not in dom.partition("<title>")[2].partition("</title>")[0]
    assert "<img" not in dom
    assert "<svg onload" not in dom
    assert html.escape(NAMES[0], quote=False) in dom
