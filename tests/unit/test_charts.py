"""Pictures of shifts: every word is whole and harmless, the page is small whatever is in the table."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from decimal import Decimal
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from flytekitplugins.dolt.profiles import charts
from flytekitplugins.dolt.profiles.shifts import Shift, shift_of

HOSTILE = [
    "<script>document.title='owned'</script>",
    "]]></desc></title></svg>",
    "' onmouseover='x",
    '" onload="x',
    "&lt;b&gt;",
    "\u202eright to left",
    "a\0b\x1b[31m\x7f\n\t",
    "x" * 10_000,
]


def shares(name: str, before: list[object], after: list[object]) -> str:
    """Return the picture of one column."""
    (column,) = shift_of(pd.DataFrame({name: before}), pd.DataFrame({name: after})).columns
    return charts.multiple(column)


def svg_of(figure: str) -> ElementTree.Element:
    """Return the picture of a figure, which has to be well-formed."""
    return ElementTree.fromstring(re.findall(r"<svg.*</svg>", figure, flags=re.DOTALL)[0])  # ours


def texts(figure: str) -> list[str]:
    """Return all labels of a picture."""
    return [node.text or "" for node in svg_of(figure).iter("text")]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_and_values_are_text(name: str) -> None:
    """Whatever a column or value is called, it is shown in a few letters, and obeyed in none."""
    figure = shares(name, ["a", name, name], [name, "b", "b"])
    picture = svg_of(figure)
    assert {node.tag for node in picture.iter()} <= {"svg", "title", "desc", "rect", "text"}
    assert {key for node in picture.iter() for key in node.attrib} <= {
        *("viewBox", "role", "class", "x", "y", "width", "height")
    }
    assert (
        re.findall(
            r"<(?!/?(?:svg|title|desc|rect|text|figure|figcaption|b|p|i|details|summary|table|tr|th|td)\b)", figure
        )
        == []
    )
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", figure)
    assert len(figure) < 6_000


def test_a_picture_has_its_words() -> None:
    """Role, name and description say what is drawn, and the numbers stand in a table."""
    figure = shares("price", [1.0, 2.0, 3.0, None], [2.0, 3.0, 3.0, 3.0])
    picture = svg_of(figure)
    assert picture.get("role") == "img"
    assert picture.findtext("title") == "Column price before and after: Kolmogorov-Smirnov 0.42"
    assert picture.findtext("desc") == (
        "4 rows before, 4 after. most before: 1 to 1.1 with 33.3 %. most after: 2.9 to 3 with 75 %. missing 25 % → 0 %."
    )
    assert "Kolmogorov-Smirnov 0.42: up to some value, the shares of values differ by 41.7 %" in figure
    assert "<tr><th>2.9 to 3</th><td>1</td><td>33.3 %</td><td>3</td><td>75 %</td></tr>" in figure
    assert "<tr><th><i>missing</i></th><td>1</td><td>25 %</td><td>0</td><td>0 %</td></tr>" in figure
    assert texts(figure) == ["75 % of values", "1", "2", "3", "missing"]


def test_new_and_gone_categories_are_marked() -> None:
    """A category that one side alone has says so beside its name."""
    figure = shares("country", ["DE", "DE", "FR"], ["DE", "DE", "IT"])
    assert texts(figure) == ["DE", "66.7 → 66.7 %", "gone: FR", "33.3 → 0 %", "new: IT", "0 → 33.3 %"]
    assert "new: IT; gone: FR" in figure
    assert "33.3 % of the values would have to change to be as before" in figure


def test_before_and_after_differ_without_colours() -> None:
    """Before is an area, after a line or a full bar, and the legend says which is which."""
    numbers = svg_of(shares("v", [1, 2], [2, 3]))
    assert [node.get("class") for node in numbers.iter("path")] == ["area", "line", "axis"]
    flags = svg_of(shares("v", [True, False], [True, True]))
    assert [node.get("class") for node in flags.iter("rect")] == ["area", "bar"] * 2
    page = charts.multiples(shift_of(pd.DataFrame({"v": [1, 2]}), pd.DataFrame({"v": [2, 3]})))
    assert re.sub("<.*?>", "", page[page.index('<p class="legend">') :]).startswith(" before (pale)  after (bold)")


def one_sided() -> Shift:
    """Return shifts of columns that have nothing to compare."""
    before = pd.DataFrame({"gone": [1, 2], "emptied": [1, 2], "filled": [None, None], "kind": [1, 2]})
    after = pd.DataFrame({"new": [1, 2], "emptied": [None, None], "filled": [1, 2], "kind": [b"1", b"2"]})
    return shift_of(before, after)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("new", "a new column"),
        ("gone", "the column is gone"),
        ("emptied", "it has no values any more"),
        ("filled", "it had no values before"),
        ("kind", "values of another kind than before"),
    ],
)
def test_a_column_with_one_side_says_why(name: str, words: str) -> None:
    """A shift of 1 that nothing was compared for is told in words."""
    column = one_sided()[name]
    assert charts.in_words(column) == f"{column.measure} 1.00: {words}"
    assert re.sub("<.*?>", " ", charts.multiples(one_sided())).count(words) == 1


VALUES = {
    "small integers": [1, 2, 3],
    "beyond 53 bits": [2**53, 2**53 + 1],
    "beyond all floats": [Decimal("1e400"), Decimal("2e400")],
    "close floats": [1e6 + 0.1, 1e6 + 0.2],
    "huge and tiny": [-1e308, 5e-324, 1e308],
    "infinities": [float("inf"), 1.0, -float("inf"), 2.0],
    "decimals": [Decimal("1.10"), Decimal("1.11")],
    "dates": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "moments": [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01 00:00:00.000001")],
    "zoned": list(pd.to_datetime([1, 2], unit="s", utc=True).tz_convert("Asia/Tokyo")),
    "times of day": [dt.time(0), dt.time(23, 59, 59, 999999)],
    "durations": list(pd.to_timedelta([1, 1_000_000], "h")),
    "flags": [True, False],
    "one value": [7],
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_every_kind_are_drawn(name: str) -> None:
    """The first and the last label differ where the values do, and nothing is drawn outside."""
    values = VALUES[name]
    figure = shares("v", values, [*values, values[-1], None])
    labels = texts(figure)
    if name != "flags":
        shown = [label for label in labels if label != "missing" and not label.endswith("of values")]
        assert len(set(shown)) == len(shown) == (1 if name == "one value" else max(2, len(shown)))
    places = [float(place) for place in re.findall(r'(?<= x=")[\d.-]+', figure)]
    places += [
        float(place) for path in re.findall(r' d="(.*?)"', figure) for place in re.findall(r"[H]([\d.-]+)", path)
    ]
    assert all(0 <= place <= charts.WIDTH for place in places)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_numbers_of_two_types_are_drawn(is_swapped: bool) -> None:
    """A DECIMAL that became a DOUBLE, or back, lies on one axis, down to where the two differ in the last digit."""
    for decimals, floats in (([Decimal("0.1"), Decimal(3)], [0.5, 1e300]), ([Decimal("0.1")], [0.1])):
        sides = [pd.DataFrame({"v": decimals}), pd.DataFrame({"v": floats})]
        (column,) = shift_of(*(sides[::-1] if is_swapped else sides))
        assert {type(edge) for edge in column.edges} == {float}
        assert sum(column.before_counts) == len(sides[is_swapped])
        assert "<svg" in charts.multiple(column)


def test_what_has_no_place_is_a_row() -> None:
    """Infinities alone, and bytes, are not drawn; their shift is told all the same."""
    before = pd.DataFrame({"far": [float("inf"), -float("inf")], "raw": [b"1", b"2"]})
    page = charts.multiples(shift_of(before, before.iloc[:1]))
    assert "<svg" not in page
    assert page.count("<td>0.50</td>") == 2


def test_names_that_all_differ_are_a_row() -> None:
    """Where hardly two values are alike there is nothing to draw, and the row says how many are new."""
    before = pd.DataFrame({"name": [f"n{number:03}" for number in range(500)]})
    page = charts.multiples(shift_of(before, before.assign(name=before["name"].str.upper())))
    assert "<svg" not in page
    assert "new: N000, N001, N002 and 497 more; gone: n000, n001, n002 and 497 more" in page


@pytest.mark.parametrize("name", ["c", '"&<>\u202e' * 50, "漢😀" * 50], ids=["plain", "hostile", "wide"])
def test_many_columns_stay_a_small_page(name: str) -> None:
    """The furthest 30 are drawn, the next 200 listed, the others counted; what does not fit is counted, too."""
    values = [f"{number}{name * 40}" for number in range(30)]
    before = pd.DataFrame({"v": np.random.default_rng(0).choice(values, 60)})
    one = shift_of(before, before.iloc[:30])
    columns = tuple(replace(one["v"], name=f"{number}{name}") for number in range(400))
    page = charts.multiples(replace(one, columns=columns))
    drawn, listed = page.count("<figure>"), page.count("<td>total variation</td>")
    assert charts.MAX_PAGE / 4 < len(page.encode()) < charts.MAX_PAGE
    assert (drawn, listed) == (30, 200) or (name != "c" and 10 < drawn < 30 and 50 < listed <= 200)
    assert f"and {400 - drawn - listed:,} more columns" in page


def test_what_has_not_shifted_is_counted() -> None:
    """Equal tables have no picture at all; of others the columns that are as they were are counted."""
    frame = pd.DataFrame({"a": [1, 2], "b": [1, 2]})
    assert charts.multiples(shift_of(frame, frame)) == charts.multiples(shift_of(frame, frame[::-1]))
    assert "<svg" not in charts.multiples(shift_of(frame, frame))
    assert "1 of 2 columns: not shifted" in charts.multiples(shift_of(frame, frame.assign(b=[2, 3])))


def test_a_sample_says_so() -> None:
    """A measure of a part of the rows stands with its error."""
    frame = pd.DataFrame({"a": range(1000)})
    shift = shift_of(frame, frame + 500, sample=100)
    assert re.search(r"Kolmogorov-Smirnov 0\.\d+ ± 0\.\d+ \(sampled\)", charts.multiples(shift))


def test_a_notebook_shows_pictures_and_numbers() -> None:
    """A cell that ends with a shift shows the columns as pictures, and below them all numbers as rows."""
    before = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "<b>"]})
    shown = shift_of(before, before.iloc[:2])._repr_html_()
    assert shown.index("<figure>") < shown.index("<table><thead>")
    assert shown.count('role="img"') == 2
    assert "<td>a</td>" in shown
    assert "<b><" not in shown
