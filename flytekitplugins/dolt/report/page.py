"""What a commit did to a table, as a page for people: plain HTML with its own styles, for Flyte's decks.

Pure: values in, text out. Every value is escaped, nothing is loaded from anywhere, no script is needed, and the page
stays under a few hundred KiB whatever is in the table. `collect` asks the repository for what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import visible
from ..model import provenance
from ..profiles import charts

if TYPE_CHECKING:
    from datetime import datetime

    from ..history.diffs import TableDiff
    from ..history.lineages import Lineage
    from ..model.audits import Audit, Outcome
    from ..model.configs import Commit
    from ..profiles.shifts import Shift

MAX_ROWS = 20
"""The most changed rows that are shown."""

MAX_COLUMNS = 20
"""The most columns of a row that are shown."""

MAX_CELL = 60
"""Characters of a value; the rest is cut off."""

MAX_TEXT = 2_000
"""Characters of a message or a query; the rest is cut off."""

MAX_PAGE = 400 * 1024
"""The most bytes of a page; the pictures of columns have the room that all else leaves."""

_FRAME = 4 * 1024
"""What stands around those pictures: headings, the legend, what is left out."""

MAX_TABLES = 4
"""The most tables of a merge whose columns are drawn."""

MAX_OUTCOMES = 100
"""The most checks of a merge that are shown."""

MAX_SCHEMA = 100
"""The most columns whose types are shown."""

MAX_PICTURE = 60_000
"""The most bytes of the picture of what the table was made of."""


@dataclass(frozen=True)
class Size:
    """How many rows a table had at a commit."""

    commit: str
    date: datetime | None
    rows: int


@dataclass(frozen=True)
class Card:
    """What is shown of one table at one commit."""

    title: str
    """Name of the table, or ``query``."""
    repository: str
    commit: Commit
    query: str | None = None
    """The statement, where the rows are those of a query."""
    change: TableDiff | None = None
    """What the commit did to the table, with its first rows."""
    shift: Shift | str | None = None
    """How far its columns have moved, or why that is not shown; None where there is nothing to compare."""
    history: tuple[Size, ...] = ()
    """The newest sizes of the table, oldest first."""
    missing_keys: int | None = None
    """How many keys the table did not have whose rows were to be deleted."""
    changed_by: Commit | None = None
    """The commit that made the table what it is: an earlier one where this commit changed other tables only."""
    wrote_nothing: bool = False
    """Whether the rows were stored, and were there already, so that no commit was made for them."""
    rows_went: str | None = None
    """Which way the rows went when they were stored just now: ``natively``, or ``by SQL`` and why."""
    lineage: Lineage | None = None
    """What the table was made of, where its commit says that it was made of something."""


def page(card: Card) -> str:
    """Return the card as HTML that can stand in any page."""
    above, below = [_head(card), _facts(card)], [_origin(card), _history(card.history), _way(card)]
    if card.query is not None:
        above.append(f"<h3>Query</h3><pre>{_text(card.query, MAX_TEXT)}</pre>")
    if card.change is not None:
        above.append(_rows(card.change))
        below.insert(0, _schema(card.change))
    taken = sum(len(part.encode()) for part in (_STYLE, charts.STYLE, *above, *below))
    shift = _shift(card.shift, room=min(charts.MAX_PAGE, MAX_PAGE - taken - _FRAME))
    return f'{_STYLE}<div class="dolt-deck">{"".join([*above, shift, *below])}</div>'


def audit(checked: Audit) -> str:
    """Return what the checks before a merge have found, in one table, as HTML that can stand in any page."""
    refused = sum(not outcome.passed for outcome in checked.outcomes)
    verdict = f"{refused:,} of {len(checked.outcomes):,} refused" if refused else "all passed"
    head = (
        f"<header><h2>{_text(checked.branch, 100)} into {_text(checked.into, 100)}</h2>"
        f'<span class="chip {"removed" if refused else "added"}">{verdict}</span></header>'
    )
    return f'{_STYLE}<div class="dolt-deck">{head}{_outcomes(checked.outcomes)}{_bounded(checked.shifts)}</div>'


def _bounded(shifts: Mapping[str, Shift]) -> str:
    """Return the columns that a bound of a merge was set for, as pictures, as far as they were compared."""
    parts = []
    for table, shift in list(shifts.items())[:MAX_TABLES]:
        compared = replace(shift, columns=tuple(column for column in shift.columns if column.before is not None))
        drawn = charts.multiples(compared, room=charts.MAX_PAGE // MAX_TABLES)
        parts.append(f"<h3>How far the columns of {_text(table, 100)} would move</h3>{drawn}" if drawn else "")
    return "".join(parts)


def _outcomes(outcomes: Sequence[Outcome]) -> str:
    """Return the refused ones first, since of many only the first are shown."""
    shown = sorted(outcomes, key=lambda outcome: outcome.passed)[:MAX_OUTCOMES]
    names = "".join(f"<th>{name}</th>" for name in ("", "Check", "What", "Value", "Bound"))
    rows = "".join(
        f'<tr class="{"passed" if found.passed else "removed"}"><th>{"passed" if found.passed else "refused"}</th>'
        + "".join(f"<td>{_text(said, 200)}</td>" for said in (found.name, found.what, found.value, found.bound))
        + "</tr>"
        for found in shown
    )
    left = _left_out(len(outcomes) - len(shown), "checks")
    return f'<div class="wide"><table class="rows"><tr>{names}</tr>{rows}</table></div>{left}'


def note(words: str) -> str:
    """Return a page that only says why there is none."""
    return f'{_STYLE}<div class="dolt-deck"><p>{_text(words, MAX_TEXT)}</p></div>'


def _text(value: object, limit: int) -> str:
    """Return a value as escaped text, cut off where it is too long."""
    text = str(value)
    return escape(visible(text if len(text) <= limit else text[: limit - 1] + "…"))


def _head(card: Card) -> str:
    branch = f'<span class="tag">{_text(card.commit.branch, 200)}</span>' if card.commit.branch else ""
    return (
        f"<header><h2>{_text(card.title, 100)}</h2>"
        f'<span class="tag hash">{_text(str(card.commit), 8)}</span>{branch}{_chips(card)}{_missing(card)}</header>'
    )


def _chips(card: Card) -> str:
    change = card.change
    if card.wrote_nothing:
        return '<span class="chip">nothing new: these rows were there already, and no commit was made</span>'
    if change is None:
        return ""
    if change.is_empty:
        return '<span class="chip">not changed by this commit</span>'
    counts = (("added", "+", change.added), ("modified", "~", change.modified), ("removed", "-", change.removed))
    return "".join(f'<span class="chip {kind}">{mark}{count:,} {kind}</span>' for kind, mark, count in counts)


def _missing(card: Card) -> str:
    return f'<span class="chip">{card.missing_keys:,} keys not there</span>' if card.missing_keys else ""


def _facts(card: Card) -> str:
    commit = card.commit
    facts = [
        ("Repository", f"<code>{_text(card.repository, 500)}</code>"),
        ("Commit", f"<code>{_text(commit.hash, 40)}</code>"),
        ("Parent", ", ".join(f"<code>{_text(parent, 40)}</code>" for parent in commit.parents[:3]) or "none"),
        ("Branch", _text(commit.branch or "not known", 300)),
        ("Author", _text(commit.author or "not known", 300)),
        ("Date", _text(_moment(commit.date), 40)),
        *([("Last changed", _last_change(card.changed_by))] if card.changed_by is not None else []),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts)
    said = (card.changed_by or commit).message  # what a commit says that changed other tables is of no use here
    message = f"<pre>{_text(said, MAX_TEXT)}</pre>" if said else ""
    return f'<table class="facts">{rows}</table>{message}'


def _last_change(commit: Commit) -> str:
    """Return who made the table what it is: the task and execution, or the author where it was none."""
    running = provenance.parse(commit.message).execution
    who = commit.author if running is None else f"{running.task or 'a task'} of {running.id}"
    when = f"{_moment(commit.date)}, by {who or 'nobody known'}"
    return f"<code>{_text(str(commit), 8)}</code> {_text(when, 500)}"


def _moment(date: datetime | None) -> str:
    return f"{date:%Y-%m-%d %H:%M:%S} UTC" if date else "not known"


# ----------------------------------------------------------------------------------------------------------- the rows


def _rows(change: TableDiff) -> str:
    frame = change.rows
    if frame is None or frame.empty:
        return ""
    own, before = _columns(change, list(frame.columns))
    head = "".join(f"<th>{_text(name, MAX_CELL)}</th>" for name in own[:MAX_COLUMNS])
    rows = [list(row) for row in frame.head(MAX_ROWS).itertuples(index=False, name=None)]
    places = [(1 + number, before.get(name)) for number, name in enumerate(own[:MAX_COLUMNS])]
    body = "".join(_row(row, places) for row in rows)
    return (
        f'<h3>Changed rows</h3><div class="wide"><table class="rows"><tr><th></th>{head}</tr>{body}</table></div>'
        f"{_left_out(change.changed - len(rows), 'rows')}{_left_out(len(own) - MAX_COLUMNS, 'columns')}"
    )


def _columns(change: TableDiff, names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the table's columns, and at which position of a row stands what was there before.

    By position, as `TableDiff.rows` is laid out: the kind, the columns, then for a table that kept its key what each
    column outside the key was before, but for new columns.
    """
    if not change.key_after or change.key_before != change.key_after:
        return list(names[1:]), {}
    fresh = {column.name for column in change.columns if column.before is None}
    count = (len(names) - 1 + len(fresh) + len(change.key_after)) // 2
    own = list(names[1 : 1 + count])
    paired = [name for name in own if name not in fresh and name not in change.key_after]
    return own, {name: 1 + count + number for number, name in enumerate(paired)}


def _row(row: Sequence[Any], places: Sequence[tuple[int, int | None]]) -> str:
    kind = str(row[0])
    mark = {"added": "+", "modified": "~", "removed": "-"}.get(kind, "")
    cells = "".join(f"<td>{_cell(row, now, before if kind == 'modified' else None)}</td>" for now, before in places)
    return f'<tr class="{escape(kind)}"><th>{mark}</th>{cells}</tr>'


def _cell(row: Sequence[Any], now: int, before: int | None) -> str:
    value = _value(row[now])
    if before is None or _value(row[before]) == value:
        return value
    return f"<del>{_value(row[before])}</del> <ins>{value}</ins>"


def _value(value: object) -> str:
    missing = value is None or value != value or str(value) in ("<NA>", "NaT")
    return '<i class="null">NULL</i>' if missing else _text(value, MAX_CELL)


def _left_out(count: int, what: str) -> str:
    return f'<p class="more">and {count:,} more {what}</p>' if count > 0 else ""


def _shift(found: Shift | str | None, *, room: int) -> str:
    """Return the columns that have moved, as pictures, or why there are none in one line."""
    if found is None:
        return ""
    said = f'<p class="more">{_text(found, 500)}</p>' if isinstance(found, str) else charts.multiples(found, room=room)
    return f"<h3>How far the columns have moved</h3>{said}" if said else ""


# ------------------------------------------------------------------------------------------------- schema and history


def _schema(change: TableDiff) -> str:
    if change.create_after is None:
        return "<h3>Schema</h3><p>The table is gone.</p>" if change.create_before is not None else ""
    news = [str(column) for column in change.columns[:MAX_SCHEMA]]
    if change.create_before is None:
        news.append("the table is new")
    elif change.key_before != change.key_after:
        news.append(f"the key is now {', '.join(change.key_after) or 'none'}")
    listed = "".join(f"<li>{_text(words, 300)}</li>" for words in news)
    lines = change.create_after.split("\n")
    kept = "\n".join(line[:300] for line in lines[:MAX_SCHEMA]) + ("\n…" if len(lines) > MAX_SCHEMA else "")
    return (
        f"<h3>Schema</h3>{f'<ul>{listed}</ul>' if listed else '<p>unchanged</p>'}"
        f"<details><summary>CREATE TABLE</summary><pre>{_text(kept, 20_000)}</pre></details>"
    )


def _history(sizes: Sequence[Size]) -> str:
    if len(sizes) < 2:
        return ""
    first, last = sizes[0], sizes[-1]
    what = f"Rows over the last {len(sizes)} versions: {first.rows:,} at first, {last.rows:,} now"
    labels = [f"{size.commit[:8]}, {_moment(size.date)}: {size.rows:,} rows" for size in sizes]
    return (
        f"<h3>Rows over the last {len(sizes)} versions</h3>"
        f"{charts.line([size.rows for size in sizes], labels, what=what)}"
        f'<p class="more">{first.rows:,} rows at {_text(first.commit[:8], 8)}, '
        f"{last.rows:,} rows at {_text(last.commit[:8], 8)}</p>"
    )


def _origin(card: Card) -> str:
    return f"<h3>Made of</h3>{card.lineage.to_html(MAX_PICTURE)}" if card.lineage is not None else ""


def _way(card: Card) -> str:
    return f'<footer class="more">Rows went {_text(card.rows_went, 500)}.</footer>' if card.rows_went else ""


_STYLE = """<style>
.dolt-deck { --ink: #1c2430; --soft: #5b6776; --line: #dfe4ea; --paper: #ffffff; --block: #f5f7f9; --accent: #2f6fed;
  --added: #1a7f4b; --added-bg: #e7f6ee; --modified: #8a5a00; --modified-bg: #fff6e0;
  --removed: #b3261e; --removed-bg: #fdeceb;
  font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); padding: 20px 24px;
  max-width: 1100px }
@media (prefers-color-scheme: dark) { .dolt-deck { --ink: #e4e9f0; --soft: #99a5b3; --line: #333c48; --paper: #161b22;
  --block: #1f2630; --accent: #7aa5ff; --added: #5fd39a; --added-bg: #12301f; --modified: #f0bd5c;
  --modified-bg: #33270d; --removed: #ff8f87; --removed-bg: #3a1715 } }
.dolt-deck header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-bottom: 12px }
.dolt-deck h2 { margin: 0 6px 0 0; font-size: 22px; color: inherit }
.dolt-deck h3 { margin: 22px 0 6px; font-size: 13px; letter-spacing: .04em; text-transform: uppercase;
  color: var(--soft) }
.dolt-deck .tag, .dolt-deck .chip { padding: 1px 10px; border-radius: 999px; background: var(--block);
  border: 1px solid var(--line) }
.dolt-deck .hash, .dolt-deck code, .dolt-deck pre { font-family: ui-monospace, monospace; font-size: 12.5px }
.dolt-deck .chip.added, .dolt-deck tr.added td, .dolt-deck ins { color: var(--added); background: var(--added-bg) }
.dolt-deck .chip.modified { color: var(--modified); background: var(--modified-bg) }
.dolt-deck .chip.removed, .dolt-deck tr.removed td, .dolt-deck del { color: var(--removed);
  background: var(--removed-bg) }
.dolt-deck ins { text-decoration: none } .dolt-deck del { opacity: .8 }
.dolt-deck table { border-collapse: collapse; color: inherit; background: transparent }
.dolt-deck th, .dolt-deck td { padding: 4px 12px 4px 0; text-align: left; vertical-align: top; color: inherit;
  background: transparent; border: 0 }
.dolt-deck .facts th { color: var(--soft); font-weight: 500 } .dolt-deck .facts td { overflow-wrap: anywhere }
.dolt-deck .rows { font-size: 13px } .dolt-deck .rows th { color: var(--soft); font-weight: 600 }
.dolt-deck .rows th, .dolt-deck .rows td { padding: 5px 12px; border-bottom: 1px solid var(--line);
  white-space: pre-wrap }
.dolt-deck .rows tr.passed th, .dolt-deck .rows tr.added th { color: var(--added) }
.dolt-deck .rows tr.removed th { color: var(--removed) }
.dolt-deck .rows tr.modified th { color: var(--modified) }
.dolt-deck .wide { overflow-x: auto } .dolt-deck .null { color: var(--soft) }
.dolt-deck .more { margin: 4px 0; color: var(--soft); font-size: 13px } .dolt-deck ul { margin: 0;
  padding-left: 20px }
.dolt-deck pre { margin: 10px 0; padding: 10px 14px; background: var(--block); color: inherit;
  border: 1px solid var(--line);
  border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere }
.dolt-deck .dolt-line { width: 100%; max-width: 600px; display: block }
.dolt-deck .dolt-line polyline { fill: none; stroke: var(--accent); stroke-width: 2 }
.dolt-deck .dolt-line circle { fill: var(--accent) } .dolt-deck .dolt-line path { stroke: var(--line) }
.dolt-deck .dolt-line text { font: 11px system-ui, sans-serif; fill: var(--soft) }
.dolt-deck summary { cursor: pointer; color: var(--soft); margin-top: 6px }
</style>"""
