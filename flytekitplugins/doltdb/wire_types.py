"""Columns of results as servers of MySQL's family announce them, by the protocol's own names of their types. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BINARY_CHARSET = 63
"""The character set number by which MySQL marks bytes."""


@dataclass(frozen=True)
class Column:
    """A column of a result, as the server announces it."""

    name: str
    wire: str
    """MySQL's name of the type on the wire, for example ``LONGLONG`` or ``NEWDECIMAL``."""
    unsigned: bool
    binary: bool
    length: int
    scale: int
    not_null: bool = False
    """Whether the server says that there is no NULL; behind an outer join Dolt 1.83 says so wrongly."""
