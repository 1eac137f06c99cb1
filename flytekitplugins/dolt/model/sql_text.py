"""Names and texts as they stand in an SQL statement."""

from __future__ import annotations


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return ``text`` as an SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
