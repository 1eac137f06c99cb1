"""What the verbs answer that look at the values of columns: profile, and shift."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..api import profiling
from ..history import diffs
from ..profiles.columns import EXACT_ROWS
from .answers import Answer, plain, rows_text
from .colours import CYAN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    import pandas as pd

_HEADS = {r"[\d,]+ rows|\d+ of \d+ columns": CYAN}


def _profile(chosen: argparse.Namespace) -> Answer:
    config = replace(chosen.db, tablename=chosen.table, as_of=chosen.at)
    found = profiling.profile(config, columns=chosen.columns, sample=chosen.sample or EXACT_ROWS, seed=chosen.seed)
    text = f"{found}\n{_table(found.to_frame())}"
    return Answer(text, {"table": chosen.table, "rows": found.rows, "columns": plain(found.columns)}, _HEADS)


def _shift(chosen: argparse.Namespace) -> Answer:
    table, found = diffs.shift_between(
        chosen.before,
        chosen.after,
        table=chosen.table,
        db_path=chosen.db,
        columns=chosen.columns,
        sample=chosen.sample or "auto",
        seed=chosen.seed,
    )
    columns = [plain(column) | {"is_sampled": column.is_sampled} for column in found]
    text = f"{found}\n{_table(found.to_frame())}"
    return Answer(text, {"table": table, **_facts(found), "columns": columns}, _HEADS)


def _facts(found: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(found) if field.name != "columns"]
    return {name: plain(getattr(found, name)) for name in names}


def _table(frame: pd.DataFrame) -> str:
    return rows_text(frame.reset_index().round(6))


ANSWERS: Mapping[str, Callable[[argparse.Namespace], Answer]] = {"profile": _profile, "shift": _shift}
"""Who answers each verb of this module."""
