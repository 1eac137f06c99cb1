"""What a notebook shows of a value: small pieces of HTML. Pure.

Every text is escaped and cut, rows, columns and lines are bounded, and nothing is read for it: what is not in memory is
not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import masked, visible

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 20
"""The most rows of a frame that are shown."""

MAX_COLUMNS = 20
"""The most columns of a row that are shown."""

MAX_CELL = 60
"""Characters of a value; the rest is cut off."""

MAX_ADDRESS = 500
"""Characters behind what is shown in which the end of a password is looked for."""

MAX_LINES = 200
"""The most lines of a text that are shown."""

MAX_LINE = 500
"""Characters of one of them; the rest is cut off."""


def text(value: object, limit: int = MAX_LINE) -> str:
    """Return a value as escaped text on one line, cut off where it is too long."""
    return escape(shown(value, limit))


def shown(value: object, limit: int = MAX_LINE) -> str:
    """Return a value as text on one line, cut off where it is too long, which is yet to be escaped."""
    said = masked(str(value)[: limit + MAX_ADDRESS])  # an address that begins in what is shown is known as one
    return visible(said if len(said) <= limit else f"{said[: limit - 1]}…", lines=False)


def block(title: str, *parts: str) -> str:
    """Return a title, which is text, with the HTML that stands below it."""
    return f"<div><code>{text(title)}</code>{''.join(parts)}</div>"


def lines(given: Iterable[str]) -> str:
    """Return lines of text as they are, the first of them."""
    found = list(islice(given, MAX_LINES + 1))
    shown = [text(line) for line in found[:MAX_LINES]]
    return f"<pre>{chr(10).join(shown)}</pre>{_more('more lines') if len(found) > MAX_LINES else ''}"


def table(frame: pd.DataFrame, *, rows: int | None = None) -> str:
    """Return the first rows of a frame as a table.

    ``rows`` is how many there are of which the frame may hold only the first; None is as many as it holds.
    """
    part = frame.iloc[:MAX_ROWS, :MAX_COLUMNS]
    head = "".join(f"<th>{text(_name(name), MAX_CELL)}</th>" for name in part.columns)
    columns = [part.iloc[:, number].tolist() for number in range(part.shape[1])]
    body = "".join(_row(row) for row in zip(*columns, strict=True))
    left = [
        (len(frame) if rows is None else rows) - len(part),
        frame.shape[1] - part.shape[1],
    ]
    said = "".join(_more(f"{n:,} more {what}") for n, what in zip(left, ("rows", "columns"), strict=True) if n > 0)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{said}"


def facts(frame: pd.DataFrame) -> str:
    """Return what is known of columns as a table: six digits of a float, and nothing where a fact does not apply."""
    return table(frame.astype(object).apply(lambda column: column.map(_fact)))


def _fact(value: object) -> str:
    if _is_missing(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(values: Sequence[Any]) -> str:
    return f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in values)}</tr>"


def _cell(value: object) -> str:
    return "<i>NULL</i>" if _is_missing(value) else text(value, MAX_CELL)


def _is_missing(value: object) -> bool:
    return value is None or str(value) in ("<NA>", "NaT") or (isinstance(value, float) and value != value)


def _name(name: object) -> object:
    return " / ".join(map(str, name)) if isinstance(name, tuple) else name


def _more(what: str) -> str:
    return f"<p>and {escape(what)}</p>"
