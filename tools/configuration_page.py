"""Writes docs/configuration.md: each field of each public class, as its source says it. `--check` only compares."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import flytekitplugins.dolt
import flytekitplugins.sqlalchemy
from flytekitplugins.doltdb.fields import Described, fields_of

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"

FIRST = ["DoltConfig", "DoltTable", "SerialBranch", "NewBranch", "MergeBranch", "Changes", "Ago", "Remote", "Secret"]
"""The classes that users meet first; the others follow by name."""

HEAD = """# Configuration

**Which options are there, what does each take, and what holds where it is left out?**

Every field of every public class, with an example. Made by
`python tools/configuration_page.py` out of the code itself; do not edit. `help(DoltConfig)` and `DoltConfig?` in a notebook say
the same, and so does an editor when it shows a field. A field without a default has to be given. Examples that begin
with a field's name stand between the parentheses of their class, as in `DoltConfig("foo", "rabbits", mode="upsert")`.

"""

TAIL = "\nNext: [Types](types.md)\n"


def public_classes() -> list[type[Any]]:
    """Return the public dataclasses of both plugins that have fields."""
    found = {
        name: value
        for module in (flytekitplugins.dolt, flytekitplugins.sqlalchemy)
        for name in module.__all__
        if inspect.isclass(value := getattr(module, name)) and dataclasses.is_dataclass(value)
    }
    names = [name for name in FIRST if name in found] + sorted(set(found) - set(FIRST))
    return [found[name] for name in names if dataclasses.fields(found[name])]


def cell(text: str) -> str:
    """Return text of a docstring as it stands in a table of Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")


def row(field: Described) -> str:
    """Return the line of one field."""
    code = [f"`{text}`" if text else "" for text in (field.name, field.kind, field.default, field.example)]
    name, kind, default, example = map(cell, code)
    return f"| {name} | {kind} | {default} | {cell(field.text)} | {example} |\n"


def section(cls: type[Any]) -> str:
    """Return what the page says of one class."""
    first = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    rows = "".join(row(field) for field in fields_of(cls))
    return f"## {cls.__name__}\n\n{cell(first)}\n\n| field | type | default | what it does | example |\n|---|---|---|---|---|\n{rows}"


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(section(cls) for cls in public_classes()) + TAIL


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/configuration.md is not what the code says any more: run python tools/configuration_page.py")
