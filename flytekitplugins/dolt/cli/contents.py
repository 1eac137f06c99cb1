"""What the verbs answer that are for a look without SQL: tables, branches, and show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import visible
from ..api import frames
from ..errors import attempting
from ..history import revisions
from ..model import provenance, timepoints
from ..model.configs import Commit
from ..model.naming import SCRATCH_PREFIX
from ..model.sql_text import quote
from ..repository import active_content, refs, remotes
from ..repository.connections import Connection, connect
from .answers import Answer, plain, rows_text
from .colours import CYAN, GREEN, YELLOW

if TYPE_CHECKING:
    import argparse

# -------------------------------------------------------------------------------------------------------------- tables


def _tables(chosen: argparse.Namespace) -> Answer:
    with attempting("list the tables"), connect(remotes.location_of(chosen.db)) as connection:
        commit = revisions.of_config(connection, replace(chosen.db, as_of=chosen.at))
        with refs.at_commit(connection, commit):
            found = [(str(name), kind == "VIEW") for name, kind in connection.query("SHOW FULL TABLES")]
            rows = _numbers_of_rows(connection, [name for name, is_view in found if not is_view])
    numbers = {name: "view" if is_view else f"{rows[name]:,} rows" for name, is_view in found}
    width = max(map(len, numbers.values()), default=0)
    listed = [
        {"table": name, "kind": "view" if is_view else "table", "rows": rows.get(name), "commit": commit.hash}
        for name, is_view in found
    ]
    text = "\n".join(f"{number:>{width}}  {visible(name, lines=False)}" for name, number in numbers.items())
    return Answer(text or "no tables", listed, colours={r" *[\d,]+ rows| *view": CYAN})


def _numbers_of_rows(connection: Connection, names: list[str]) -> dict[str, int]:
    for name in names:
        active_content.refuse_reading(connection, name)
    if not names:
        return {}
    counts = ", ".join(f"(SELECT COUNT(*) FROM {quote(name)})" for name in names)
    (found,) = connection.query(f"SELECT {counts}")
    return dict(zip(names, map(int, found), strict=True))


# ------------------------------------------------------------------------------------------------------------ branches


def _branches(chosen: argparse.Namespace) -> Answer:
    with attempting("list the branches"), connect(remotes.location_of(chosen.db)) as connection:
        current = connection.active_branch()
        rows = connection.query("SELECT name, hash, latest_commit_date, latest_commit_message FROM dolt_branches")
    found = [
        {
            "branch": str(name),
            "commit": str(head),
            "date": timepoints.utc_text(date),
            "line": provenance.line_of(str(message)),
            "is_checked_out": name == current,
        }
        for name, head, date, message in sorted(rows)
        if not name.startswith(SCRATCH_PREFIX)
    ]
    width = max(len(visible(each["branch"], lines=False)) for each in found)
    return Answer("\n".join(_branch_text(each, width) for each in found), found, colours={r"\* \S+": GREEN})


def _branch_text(found: dict[str, Any], width: int) -> str:
    mark = "*" if found["is_checked_out"] else " "
    name, line = (visible(found[part], lines=False) for part in ("branch", "line"))
    return f"{mark} {name:<{width}}  {found['commit']}  {found['date'][:19]}  {line}"


# ---------------------------------------------------------------------------------------------------------------- show


def _show(chosen: argparse.Namespace) -> Answer:
    table = frames.resolve(replace(chosen.db, tablename=chosen.table, as_of=chosen.at))
    found = frames.load(table, limit=chosen.rows + 1)
    is_complete = found.arrow.num_rows <= chosen.rows
    found = replace(found, arrow=found.arrow.slice(0, chosen.rows))
    known = {
        "table": table.config.tablename,
        "commit": table.commit.hash,
        "columns": found.arrow.column_names,
        "rows": plain(found.to_arrow().to_pylist()),
        "is_complete": is_complete,
    }
    lines = [_heading(str(table.config.tablename), table.commit), _rows_text(found.to_frame())]
    if not is_complete:
        lines.append(f"and more: these are the first {chosen.rows:,} rows")
    return Answer("\n".join(lines), known, colours={r"\S.* at [0-9a-v]{32}.*$": YELLOW})


def _heading(table: str, commit: Commit) -> str:
    branch = f" of {commit.branch}" if commit.branch else ""
    return visible(f"{table} at {commit.hash}{branch}", lines=False)


def _rows_text(frame: Any) -> str:
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    if not len(frame):
        return visible(f"no rows; the columns are {', '.join(map(str, frame.columns))}", lines=False)
    return rows_text(frame)


ANSWERS: Mapping[str, Callable[[argparse.Namespace], Answer]] = {
    "tables": _tables,
    "branches": _branches,
    "show": _show,
}
"""Who answers each verb of this module."""
