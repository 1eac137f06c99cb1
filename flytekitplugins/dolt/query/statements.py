"""One statement as the server's own tokens: its calls, their arguments, what they stand for, and how it is refused.

Pure, and without rules: `moving_parts` and `validation` look at a statement through this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from ..errors import QueryRefused
from . import tokens

_SHOWN = 500


def refused(sql: str, found: str, advice: str, *, piece: str | None = None) -> QueryRefused:
    """Return the error for a statement, with its beginning."""
    shown = sql if len(sql) <= _SHOWN else sql[:_SHOWN] + "..."
    return QueryRefused(f"Cannot run the query {shown!r}: {found}. {advice}.", sql=sql, found=found, piece=piece)


class Statement:
    """A statement, cut into tokens; semicolons at its end are left out."""

    def __init__(self, sql: str, database: str, given: Mapping[str, object]) -> None:
        """Raise `QueryRefused` where the text cannot be cut."""
        self.sql = sql
        self.database = database
        self.given = given
        try:
            self.tokens = tokens.scan(sql)
        except tokens.Unreadable as error:
            raise refused(sql, error.found, error.advice, piece=error.piece) from error
        while self.tokens and self.tokens[-1].is_mark(";"):
            self.tokens.pop()

    def refuse(self, found: str, advice: str, *, piece: str | None = None) -> QueryRefused:
        """Return the error that refuses this statement."""
        return refused(self.sql, found, advice, piece=piece)

    def calls(self) -> Iterator[tuple[int, str]]:
        """Give the index of each name that stands before a parenthesis, and the name in capital letters."""
        for index, (token, after) in enumerate(pairwise(self.tokens)):
            if token.kind in ("word", "name") and after.is_mark("("):
                yield index, tokens.function_name(token.value)

    def closing(self, opening: int) -> int:
        """Return the index of the parenthesis that closes the one at ``opening``."""
        found = tokens.closing(self.tokens, opening)
        if found is None:
            raise self.refuse("a parenthesis in it has no end", "Close it", piece="(")
        return found

    def arguments(self, index: int) -> list[tuple[int, int]]:
        """Return the arguments of the call at ``index`` as ranges of tokens."""
        end = self.closing(index + 1)
        cuts = [index + 1, *self.commas(index + 2, end), end]
        found = [(left + 1, right) for left, right in pairwise(cuts)]
        return [argument for argument in found if argument[0] < argument[1]]

    def commas(self, start: int, end: int) -> list[int]:
        """Return the commas between two indices that are in no inner parentheses."""
        found, depth = [], 0
        for index in range(start, end):
            depth += self.tokens[index].is_mark("(") - self.tokens[index].is_mark(")")
            if depth == 0 and self.tokens[index].is_mark(","):
                found.append(index)
        return found

    def text(self, start: int, end: int) -> str:
        """Return a range of tokens as it was written."""
        return self.sql[self.tokens[start].start : self.tokens[end - 1].end]

    def value(self, start: int, end: int) -> object:
        """Return what a text (or several, which are one) or a parameter stands for; None for anything else."""
        part = self.tokens[start:end]
        if len(part) == 1 and part[0].kind == "parameter":
            return self.given[part[0].value]
        return "".join(token.value for token in part) if all(token.kind == "text" for token in part) else None

    def literal(self, start: int, end: int) -> str | None:
        """Return `value` where it is a text."""
        value = self.value(start, end)
        return value if isinstance(value, str) else None

    def revision(self, start: int, end: int) -> str:
        """Return the revision that an argument names."""
        value = self.literal(start, end)
        if value is None:
            given = self.text(start, end)
            raise self.refuse(
                f"a revision is given as {given!r}, which means another one for each row or day",
                "Write it as a text or a :parameter",
                piece=given,
            )
        return value
