"""What a verb of the command line answers, as text for people and as plain values for programs.

`__main__` prints it, or the error that came instead.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from ...doltdb.redaction import visible, visible_json
from ..errors import DoltError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Answer:
    """What a verb found, twice."""

    text: str
    """For people: what is data in it is on one line, or shown by `visible`; so is all that `__main__` prints."""
    plain: Any
    """The same as plain values."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of lines of the text, as patterns, and the colours that they have on a terminal."""

    def to_json(self) -> str:
        """Return the plain values as JSON, in which no control character commands the terminal."""
        return as_json(self.plain)


def as_json(plain: object) -> str:
    """Return plain values as JSON, in which no control character commands the terminal."""
    return visible_json(json.dumps(plain, indent=2, ensure_ascii=False, default=str))


def failure(error: Exception) -> str:
    """Return an error as JSON: its class, its message, and its facts where it has some."""
    facts = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    told = {"type": type(error).__name__, "message": str(error)}
    known = {"facts": plain(facts)} if isinstance(error, DoltError) and facts else {}
    return as_json({"error": told | known})


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers that JSON has not are None, bytes are hexadecimal digits."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return value.isoformat() if isinstance(value, (date, datetime, time)) else str(value)


def rows_text(frame: pd.DataFrame) -> str:
    """Return rows for people; what is missing is NULL, whatever the dtype."""
    shown = frame.copy(deep=False)
    for number in range(shown.shape[1]):
        column = shown.iloc[:, number]
        if column.isna().any():
            shown.isetitem(number, column.astype(object).where(column.notna(), math.nan))
    return visible(shown.to_string(index=False, na_rep="NULL", max_colwidth=60))
