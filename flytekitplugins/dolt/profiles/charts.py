"""How the columns of a table have shifted, as pictures: one small SVG for each, and its numbers as a table. Pure.

Values in, text out. A picture needs no script, no address and no id, every text is escaped and cut, and the whole stays
below a size that is given. What was before is a pale area, what is after a bold line or a full bar, so that the two are
told apart without colours. What a shift is and how it is measured is said in `shifts`.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from html import escape
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import visible

if TYPE_CHECKING:
    from .columns import ColumnProfile
    from .shifts import ColumnShift, Shift

MAX_DRAWN = 30
"""The most columns that are drawn; the rest is a row each."""

MAX_LISTED = 200
"""The most columns that have such a row."""

MAX_PAGE = 280 * 1024
"""The most bytes of all that `multiples` gives."""

MAX_NAME = 60
"""Characters of a name or value; the rest is cut off."""

MAX_CATEGORIES = 10
"""The most categories that are drawn; the table behind the picture has all that were counted."""

NOISE = 0.03
"""Up to which value a shift of drawn rows is held to be chance, where its error is not smaller."""

WIDTH = 340
"""Width of a picture, in pixels of its own; it may be shown smaller."""


# ------------------------------------------------------------------------------------------------------- whole columns


def multiples(shift: Shift, *, room: int = MAX_PAGE) -> str:
    """Return the columns that have shifted, the furthest first: pictures of as many as fit, and the rest in rows.

    The answer has at most ``room`` bytes beside its styles, and is empty where no column could be compared.
    """
    moved = [column for column in shift.columns if has_moved(column)]
    still = len(shift.columns) - len(moved)
    figures, rest = _drawn(moved, room * 3 // 4)
    parts = [f'<div class="multiples">{"".join(figures)}</div>' if figures else ""]
    parts.append(_listed(rest, room // 5))
    if still:
        parts.append(f'<p class="more">{still:,} of {len(shift.columns):,} columns: not shifted</p>')
    said = "".join(parts)
    return f'{STYLE}<div class="dolt-shift">{_legend() if figures else ""}{said}</div>' if said else ""


def has_moved(column: ColumnShift) -> bool:
    """Return whether anything of a column is not as it was; of a sample, more than chance does."""
    before, after = _shares_missing(column)
    noise = min(column.error, NOISE)
    return column.value > noise or abs(before - after) > noise


def _drawn(columns: Sequence[ColumnShift], room: int) -> tuple[list[str], list[ColumnShift]]:
    """Return the pictures that fit, and the columns that have none."""
    figures: list[str] = []
    rest: list[ColumnShift] = []
    for column in columns:
        figure = multiple(column) if len(figures) < MAX_DRAWN and has_picture(column) else ""
        size = len(figure.encode())
        if figure and size <= room:
            figures.append(figure)
            room -= size
        else:
            rest.append(column)
    return figures, rest


def has_picture(column: ColumnShift) -> bool:
    """Return whether there is something to draw.

    There is nothing in bytes, nested values and values of another kind than before, nor where hardly two values are
    alike, as in a column of names of their own.
    """
    drawn = _shares(column)[:MAX_CATEGORIES]
    if column.edges or not drawn:
        return bool(column.edges)
    return max(sum(share.before for share in drawn), sum(share.after for share in drawn)) > 0.05


def _listed(columns: Sequence[ColumnShift], room: int) -> str:
    """Return a row for each column that has no picture, as many as there is room for."""
    rows: list[str] = []
    for column in columns[:MAX_LISTED]:
        said = "; ".join(filter(None, (_one_sided(column), _other_words(column))))
        row = _row(text(column.name), text(column.measure), _value(column), said)
        room -= len(row.encode())
        if room < 0:
            break
        rows.append(row)
    if not columns:
        return ""
    left = len(columns) - len(rows)
    more = f'<p class="more">and {left:,} more columns</p>' if left else ""
    head = "<tr><th>Column</th><th>Measure</th><th>Value</th><th>More of it</th></tr>"
    return f'<div class="wide"><table class="numbers words">{head}{"".join(rows)}</table></div>{more}'


def multiple(column: ColumnShift) -> str:
    """Return one column: its name, its shift in words, its picture, and behind it the numbers."""
    notes = "".join(f"<p>{words}</p>" for words in (in_words(column), _other_words(column)) if words)
    return (
        f"<figure><figcaption><b>{text(column.name)}</b>{notes}</figcaption>{picture(column)}"
        f"<details><summary>Numbers</summary>{_table(column)}</details></figure>"
    )


def in_words(column: ColumnShift) -> str:
    """Return measure and value of a shift, and what they mean, as escaped text."""
    measured = f"{text(column.measure)} {_value(column)}"
    one_sided = _one_sided(column)
    if one_sided:
        return f"{measured}: {one_sided}"
    part = percent(column.value)
    if column.measure == "Kolmogorov-Smirnov":
        return f"{measured}: up to some value, the shares of values differ by {part}"
    return f"{measured}: {part} of the values would have to change to be as before"


def _one_sided(column: ColumnShift) -> str:
    """Return why there is only one side, or nothing that can be compared; empty where both are there."""
    if column.before is None:
        return "a new column"
    if column.after is None:
        return "the column is gone"
    had, has = (profile.rows > profile.missing for profile in (column.before, column.after))
    if had and has:
        return "values of another kind than before" if column.before.kind != column.after.kind else ""
    return "" if not had and not has else "it has no values any more" if had else "it had no values before"


def _value(column: ColumnShift) -> str:
    said = f"{column.value:.2f}" if column.value >= 0.1 or not column.value else f"{column.value:.3f}"
    return f"{said} ± {column.error:.3f} (sampled)" if column.is_sampled else said


def _other_words(column: ColumnShift) -> str:
    said = [_missing_words(column)] if any(_shares_missing(column)) else []
    for what, values, count in (
        ("new", column.new_values, column.new_count),
        ("gone", column.gone_values, column.gone_count),
    ):
        if values:
            shown = ", ".join(text(value, 20) for value in values[:3])
            said.append(f"{what}: {shown}{f' and {count - 3:,} more' if count > 3 else ''}")
    return "; ".join(said)


def _missing_words(column: ColumnShift) -> str:
    before, after = _shares_missing(column)
    return f"missing {percent(before)} → {percent(after)}" if before or after else "none missing"


def _shares_missing(column: ColumnShift) -> tuple[float, float]:
    return column.missing_before or 0.0, column.missing_after or 0.0


# -------------------------------------------------------------------------------------------------------- the pictures


@dataclass(frozen=True)
class _Share:
    """The part of the values that one bin or category has, on both sides."""

    label: str
    before: float
    after: float
    mark: str = ""
    """What is to be said of it: ``new``, ``gone``, or nothing."""


def picture(column: ColumnShift) -> str:
    """Return one column as an SVG that has its words with it, for those who do not see it."""
    drawn, height = _histogram(column) if column.edges else _pairs(column)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{_title(column)}</title><desc>{_description(column)}'
        f"</desc>{drawn}</svg>"
    )


def _title(column: ColumnShift) -> str:
    return f"Column {text(column.name)} before and after: {text(column.measure)} {_value(column)}"


def _description(column: ColumnShift) -> str:
    """Return what the picture shows, in words: how many rows, and where most of them are on either side."""
    shares = _shares(column)
    said = [f"{_rows(column.before):,} rows before, {_rows(column.after):,} after"]
    for side, values in (("before", [s.before for s in shares]), ("after", [s.after for s in shares])):
        if values and max(values) > 0:
            most = max(range(len(values)), key=values.__getitem__)
            said.append(f"most {side}: {text(shares[most].label)} with {percent(values[most])}")
    other = _other_words(column)
    return ". ".join([*said, *([other] if other else [])]) + "."


def _rows(profile: ColumnProfile | None) -> int:
    return 0 if profile is None else profile.rows


_TOP, _BASE, _LEFT, _RIGHT = 16, 110, 2, WIDTH - 2
_MISSING_ROOM = 56


def _histogram(column: ColumnShift) -> tuple[str, int]:
    """Return two histograms over the same bins, one on the other, and at the right what is missing."""
    shares = _shares(column)
    missing = _shares_missing(column)
    right = _RIGHT - _MISSING_ROOM if any(missing) else _RIGHT
    most = max([*(s.before for s in shares), *(s.after for s in shares), 0.0]) or 1.0
    places = _places(column.edges, right)
    before = _steps(places, [_high(s.before, most) for s in shares])
    after = _steps(places, [_high(s.after, most) for s in shares])
    parts = [
        f'<text x="{_LEFT}" y="10">{percent(most)} of values</text>',
        f'<path class="area" d="{before}"/>',
        f'<path class="line" d="{after}"/>',
        f'<path class="axis" d="M{_LEFT},{_BASE}H{right}"/>',
        *_axis_labels(column.edges, places),
        *(_missing_bars(missing, right) if any(missing) else ()),
    ]
    return "".join(parts), _BASE + 18


def _high(share: float, most: float) -> float:
    return _BASE - (_BASE - _TOP) * share / most


def _places(edges: Sequence[Any], right: float) -> list[float]:
    """Return where the edges stand."""
    numbers = [_as_number(edge) for edge in edges]
    low, span = numbers[0], numbers[-1] - numbers[0]
    parts = [float((number - low) / span) for number in numbers] if span else [0.0, 1.0]
    return [_LEFT + (right - _LEFT) * part for part in parts]


def _steps(places: Sequence[float], heights: Sequence[float]) -> str:
    path = [f"M{places[0]:.1f},{_BASE}"]
    for height, right in zip(heights, places[1:], strict=True):
        path.append(f"V{height:.1f}H{right:.1f}")
    return "".join([*path, f"V{_BASE}"])


def _axis_labels(edges: Sequence[Any], places: Sequence[float]) -> Iterator[str]:
    """Give the first and the last edge, and the middle one where it has room."""
    middle = len(edges) // 2
    labels = short_values([edges[0], edges[middle], edges[-1]])
    widths = [text_width(label) for label in labels]
    y = _BASE + 14
    if labels[0] == labels[2]:
        yield f'<text class="mid" x="{(places[0] + places[-1]) / 2:.1f}" y="{y}">{escape(labels[0])}</text>'
        return
    yield f'<text x="{places[0]:.1f}" y="{y}">{escape(labels[0])}</text>'
    room = min(
        places[middle] - places[0] - widths[0] - widths[1] / 2, places[-1] - widths[2] - places[middle] - widths[1] / 2
    )
    if room > 8:
        yield f'<text class="mid" x="{places[middle]:.1f}" y="{y}">{escape(labels[1])}</text>'
    yield f'<text class="end" x="{places[-1]:.1f}" y="{y}">{escape(labels[2])}</text>'


def _missing_bars(missing: tuple[float, float], right: float) -> Iterator[str]:
    """Give two gauges of the part of the rows that is missing: the whole height is all rows."""
    x = right + 20
    for kind, share in zip(("area", "bar"), missing, strict=True):
        top = _high(share, 1.0)
        yield f'<rect class="{kind}" x="{x:.1f}" y="{top:.1f}" width="14" height="{_BASE - top:.1f}"/>'
        yield f'<rect class="axis" x="{x:.1f}" y="{_TOP}" width="14" height="{_BASE - _TOP}"/>'
        x += 17
    yield f'<text class="end" x="{_RIGHT}" y="{_BASE + 14}">missing</text>'


_ROW, _LABELS, _NUMBERS = 26, 118, 96
"""Height of a pair of bars; width of the labels on its left, and of the numbers on its right."""


def _pairs(column: ColumnShift) -> tuple[str, int]:
    """Return a pair of bars for each category, before above after."""
    shares = _shares(column)[:MAX_CATEGORIES]
    missing = _shares_missing(column)
    rest = _rest(column, shares)
    shares += [rest] if rest.before or rest.after else []
    shares += [_Share("missing", *missing, mark="none")] if any(missing) else []
    most = max([*(s.before for s in shares), *(s.after for s in shares), 0.0]) or 1.0
    parts = [_pair(share, most, number * _ROW) for number, share in enumerate(shares)]
    return "".join(parts), max(1, len(shares)) * _ROW


def _pair(share: _Share, most: float, y: int) -> str:
    room = WIDTH - _LABELS - _NUMBERS - 8
    bars = "".join(
        f'<rect class="{kind}" x="{_LABELS}" y="{y + top}" width="{room * part / most:.1f}" height="9"/>'
        for kind, top, part in (("area", 3, share.before), ("bar", 13, share.after))
    )
    mark = f"{share.mark}: " if share.mark in ("new", "gone") else ""
    label = _fitting(mark + share.label, _LABELS - 8)
    numbers = f"{percent(share.before).removesuffix(' %')} → {percent(share.after)}"
    style = ' class="mark"' if share.mark else ""
    return (
        f'{bars}<svg x="0" y="{y}" width="{_LABELS - 4}" height="{_ROW}"><text{style} x="0" y="17">{escape(label)}'
        f'</text></svg><text class="end" x="{WIDTH}" y="{y + 17}">{numbers}</text>'
    )


def _shares(column: ColumnShift) -> list[_Share]:
    """Return the bins or categories as parts of the values that are there."""
    totals = _totals(column) or (1, 1)
    new, gone = set(column.new_values), set(column.gone_values)
    return [
        _Share(label, before / totals[0], after / totals[1], "new" if label in new else "gone" if label in gone else "")
        for label, before, after in zip(_names(column), column.before_counts, column.after_counts, strict=True)
    ]


def _totals(column: ColumnShift) -> tuple[int, int] | None:
    """Return how many values were counted on each side, at least 1 each; None where none were."""
    before = sum(column.before_counts) + column.before_rest
    after = sum(column.after_counts) + column.after_rest
    return (max(1, before), max(1, after)) if before or after else None


def _rest(column: ColumnShift, shown: Sequence[_Share]) -> _Share:
    """Return what all values have that are not shown."""
    before, after = sum(share.before for share in shown), sum(share.after for share in shown)
    has = [sum(counts) + rest > 0 for counts, rest in _counted(column)]
    left = [max(0.0, 1 - part) if there else 0.0 for part, there in zip((before, after), has, strict=True)]
    before, after = (0.0 if part < 1e-9 else part for part in left)  # what rounding leaves of nothing
    return _Share("all others", before, after, mark="none")


def _counted(column: ColumnShift) -> tuple[tuple[Sequence[int], int], tuple[Sequence[int], int]]:
    return (column.before_counts, column.before_rest), (column.after_counts, column.after_rest)


def _names(column: ColumnShift) -> list[str]:
    if not column.edges:
        return [str(name) for name in column.categories]
    labels = short_values(column.edges)
    return [f"{low} to {high}" for low, high in pairwise(labels)]


# ------------------------------------------------------------------------------------------------------ a line of sizes

_LINE_WIDTH, _LINE_TOP, _LINE_BASE = 600, 24, 92


def line(counts: Sequence[int], labels: Sequence[str], *, what: str) -> str:
    """Return counts as a line from left to right, each a dot with its label, over a base of zero."""
    most = max([*counts, 1])
    step = (_LINE_WIDTH - 24) / max(1, len(counts) - 1)
    points = [
        (12 + number * step, _LINE_BASE - (_LINE_BASE - _LINE_TOP) * count / most)
        for number, count in enumerate(counts)
    ]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{text(label, 100)}</title></circle>'
        for (x, y), label in zip(points, labels, strict=True)
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<svg class="dolt-line" viewBox="0 0 {_LINE_WIDTH} {_LINE_BASE + 8}" role="img"><title>{text(what)}</title>'
        f"<desc>{text('; '.join(labels), 2_000)}</desc>"
        f'<text x="2" y="11">{short_number(most)}</text><path d="M2,{_LINE_BASE}H{_LINE_WIDTH - 2}"/>'
        f'<polyline points="{path}"/>{dots}</svg>'
    )


# -------------------------------------------------------------------------------------------------------- the numbers


def _table(column: ColumnShift) -> str:
    rows = [
        _row(
            text(share.label) + (f" <i>{share.mark}</i>" if share.mark else ""),
            f"{before:,}",
            percent(share.before),
            f"{after:,}",
            percent(share.after),
        )
        for share, before, after in zip(_shares(column), column.before_counts, column.after_counts, strict=True)
    ]
    if column.before_rest or column.after_rest:
        rows.append(_row("<i>all others</i>", f"{column.before_rest:,}", "", f"{column.after_rest:,}", ""))
    return f'<table class="numbers">{_HEAD}{"".join([*rows, *_profile_rows(column)])}</table>'


_HEAD = '<tr><th>Value</th><th colspan="2">Before</th><th colspan="2">After</th></tr>'


def _profile_rows(column: ColumnShift) -> Iterator[str]:
    """Give what is known of all values, below what was counted."""
    was, now = column.before, column.after
    yield _row(
        "<i>missing</i>",
        f"{was.missing:,}" if was else "",
        percent(was.missing_share) if was else "",
        f"{now.missing:,}" if now else "",
        percent(now.missing_share) if now else "",
    )
    yield _row("<i>rows</i>", f"{_rows(was):,}", "", f"{_rows(now):,}", "")
    if column.kind == "number":
        yield _row("<i>mean</i>", _mean(was), "", _mean(now), "")
    if column.psi is not None:
        yield f'<tr><th><i>PSI</i></th><td colspan="4">{column.psi:.3f}</td></tr>'


def _mean(profile: ColumnProfile | None) -> str:
    return "" if profile is None or profile.mean is None else f"{profile.mean:.6g}"


def _row(name: str, *cells: str) -> str:
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _legend() -> str:
    """Return what the two sides look like, said in words for those who do not see it."""
    return (
        '<p class="legend"><svg viewBox="0 0 26 12" aria-hidden="true"><rect class="area" x="1" y="2" width="24" '
        'height="9"/></svg> before (pale) <svg viewBox="0 0 26 12" aria-hidden="true"><path class="line" '
        'd="M1,11V3H13V7H25"/></svg> after (bold)</p>'
    )


# --------------------------------------------------------------------------------------------------- values as texts


def text(value: object, limit: int = MAX_NAME) -> str:
    """Return a value as escaped text on one line, cut off where it is too long."""
    return escape(_cut(visible(str(value)[: limit + 1], lines=False), limit))


def _cut(said: str, limit: int) -> str:
    return said if len(said) <= limit else f"{said[: limit - 1]}…"


def percent(share: float) -> str:
    """Return a part of all rows as short text; a part that is not none is never shown as none, nor as all.

    >>> [percent(share) for share in (0, 0.00001, 0.034, 0.5, 0.99999, 1)]
    ['0 %', '<0.1 %', '3.4 %', '50 %', '>99.9 %', '100 %']
    """
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 0.001:
        return "<0.1 %"
    return ">99.9 %" if share > 0.999 else f"{share * 100:.1f}".removesuffix(".0") + " %"


def short_values(values: Sequence[Any]) -> list[str]:
    """Return numbers or times as short texts that differ where the values do.

    >>> short_values([0, 1_234_567, 2_500_000])
    ['0', '1.23 M', '2.5 M']
    >>> short_values([1_000_000.1, 1_000_000.3])
    ['1.0000001 M', '1.0000003 M']
    >>> short_values([2**53, 2**53 + 1])
    ['9007199254740992', '+ 1']
    >>> short_values([datetime(2021, 3, 1), datetime(2021, 3, 9, 12)])
    ['2021-03-01', '2021-03-09']
    >>> short_values([datetime(2021, 3, 1), datetime(2021, 3, 1, 12)])
    ['2021-03-01 00:00', '03-01 12:00']
    >>> short_values([timedelta(0), timedelta(hours=36)])
    ['0:00:00', '1 day, 12:00:00']
    """
    if isinstance(values[0], date):
        return _short_times(values)
    if isinstance(values[0], (time, timedelta)):
        return [str(value) for value in values]
    different = len(set(values))
    for digits in range(3, 16):
        found = [short_number(value, digits) for value in values]
        if len(set(found)) == different:
            return found
    return [_cut(str(values[0]), 20), *(f"+ {value - values[0]}" for value in values[1:])]


_SUFFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def short_number(value: Any, digits: int = 3) -> str:
    """Return a number with some digits, and the letters that scientists give to thousands.

    >>> [short_number(value) for value in (0, 1987, 12_345, -1_234_567.8, 0.00012345, 3e40)]
    ['0', '1987', '12.3 k', '-1.23 M', '1.23e-4', '3e40']
    """
    if abs(value) >= 1e300 or value != value:  # more than a float holds, infinite, or no number
        return f"{Decimal(value):.{digits - 1}e}".lower()
    if value == int(value) and abs(value) < 10_000:
        return str(int(value))
    rounded = float(f"{value:.{digits - 1}e}")
    size = abs(rounded)
    if not 1e-3 <= size < 1e15:
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    unit, suffix = next(((unit, suffix) for unit, suffix in _SUFFIXES if size >= unit), (1.0, ""))
    places = max(0, digits - 1 - math.floor(math.log10(size / unit)))
    said = f"{rounded / unit:.{places}f}"
    return (said.rstrip("0").rstrip(".") if "." in said else said) + suffix


_TIMES = (
    ("%Y", "%Y", 4 * 365 * 86_400),
    ("%Y-%m", "%Y-%m", 90 * 86_400),
    ("%Y-%m-%d", "%Y-%m-%d", 4 * 86_400),
    ("%Y-%m-%d %H:%M", "%m-%d %H:%M", 6 * 3_600),
    ("%Y-%m-%d %H:%M:%S", "%H:%M:%S", 10),
    ("%Y-%m-%d %H:%M:%S.%f", "%H:%M:%S.%f", 0),
)
"""Ways to write the first time and the others, and from how many seconds on that are shown each is fine enough."""


def _short_times(values: Sequence[date]) -> list[str]:
    span = (max(values) - min(values)).total_seconds()
    found: list[str] = []
    for first, others in ((first, others) for first, others, lasting in _TIMES if span >= lasting):
        found = [values[0].strftime(first), *(value.strftime(others) for value in values[1:])]
        if len({value.strftime(others) for value in values}) == len(set(values)):
            break
    return found


def _as_number(value: Any) -> Decimal:
    """Return a number or a time as a number, exact enough to be drawn; times in seconds."""
    if isinstance(value, datetime):
        zone = timezone.utc if value.tzinfo else None
        value -= datetime(1970, 1, 1, tzinfo=zone)
    elif isinstance(value, date):
        value = timedelta(days=value.toordinal())
    elif isinstance(value, time):
        value = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return Decimal(value / timedelta(seconds=1)) if isinstance(value, timedelta) else Decimal(value)


_NARROW, _BROAD = set("iIjl.,:;'|!()[] ft-r"), set("mwMW@%…→")


def text_width(said: str) -> float:
    """Return how many pixels wide a text is at most, in the letters of the pictures."""
    return sum(map(_letter_width, said))


def _letter_width(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0
    if unicodedata.east_asian_width(letter) in "WF" or letter in _BROAD:
        return 12
    return 5 if letter in _NARROW else 7


def _fitting(said: str, room: float) -> str:
    """Return as much of a text as there is room for, on one line."""
    said = visible(said[: int(room / 4)], lines=False)
    upto = list(accumulate(map(_letter_width, said)))
    if not upto or upto[-1] <= room:
        return said
    return said[: bisect_right(upto, room - _letter_width("…"))] + "…"


STYLE = """<style>
.dolt-shift { --before: #cfd6de; --before-edge: #66727f; --after: #b3400a; --words: #5b6776 }
@media (prefers-color-scheme: dark) { .dolt-shift { --before: #3b4552; --before-edge: #8f9cab; --after: #ff9a57;
  --words: #99a5b3 } }
.dolt-shift .multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 20px 28px }
.dolt-shift figure { margin: 0; min-width: 0 }
.dolt-shift figcaption { overflow-wrap: anywhere; margin-bottom: 6px }
.dolt-shift figcaption p { margin: 0; font-size: 12px; color: var(--words) }
.dolt-shift svg { width: 100%; max-width: 480px; overflow: hidden; display: block }
.dolt-shift svg svg { width: 114px; max-width: none; overflow: hidden }
.dolt-shift text { font: 11px system-ui, sans-serif; fill: currentColor; direction: ltr; unicode-bidi: isolate }
.dolt-shift text.mid { text-anchor: middle } .dolt-shift text.end { text-anchor: end }
.dolt-shift text.mark { font-style: italic }
.dolt-shift .area { fill: var(--before); stroke: var(--before-edge); stroke-width: 1 }
.dolt-shift .line { fill: none; stroke: var(--after); stroke-width: 2.2; stroke-linejoin: round }
.dolt-shift .bar { fill: var(--after) } .dolt-shift .axis { stroke: currentColor; opacity: .5; fill: none }
.dolt-shift .legend { font-size: 12px; margin: 4px 0 12px }
.dolt-shift .legend svg { display: inline-block; width: 26px; height: 12px; vertical-align: -1px; margin-left: 6px }
.dolt-shift details { font-size: 12px } .dolt-shift summary { cursor: pointer; color: var(--words) }
.dolt-shift .numbers { border-collapse: collapse; font-size: 12px }
.dolt-shift .numbers th, .dolt-shift .numbers td { padding: 2px 10px 2px 0; text-align: right; font-weight: 400;
  white-space: nowrap }
.dolt-shift .numbers th:first-child { text-align: left; overflow-wrap: anywhere; white-space: normal }
.dolt-shift .words { margin-top: 18px }
.dolt-shift .words td, .dolt-shift .words th { text-align: left; white-space: normal }
.dolt-shift .more { font-size: 13px; color: var(--words) } .dolt-shift .wide { overflow-x: auto }
</style>"""
