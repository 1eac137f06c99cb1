"""The text of a query as tokens, exactly as Dolt cuts it, so that nothing hides from the rules in `queries`.

Pure. Where Dolt and MySQL would read the same characters differently (``5--1``, ``//``, ``/*! */``), the text is
refused instead of guessed at. Positions are those of the user's text, which is sent as it is but for what is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "name", "text", "number", "parameter", "mark"]

# Source: the lexer of Dolt 1.83.2 (vitess, token.go), and MySQL's rules where they are stricter. A doubled quote must
# not be cut in two, hence the look-ahead behind each closing quote.
_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r\n]+ | \#[^\n]* | --(?=[ \t\r\n]|\Z)[^\n]* | /\*(?!!|M!).*?\*/)
    | (?P<number>[xX]'[0-9a-fA-F]*' | [bB]'[01]*' | 0[xX][0-9a-fA-F]+(?![A-Za-z0-9_])
        | (?:[0-9]+(?:\.[0-9]*)? | \.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_]))
    | (?P<text>'(?:[^'\\]|''|\\.)*'(?!') | "(?:[^"\\]|""|\\.)*"(?!"))
    | (?P<name>`(?:[^`]|``)+`(?!`))
    | (?P<parameter>:[A-Za-z_][A-Za-z0-9_]*)
    | (?P<word>[A-Za-z0-9_]+)
    | (?P<mark><=>|->>|->|<=|>=|<>|!=|<<|>>|&&|\|\||[-+*/%^~=<>!(),.;&|])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}

_TRAPS = (
    ("/*", "it has an executable comment or one without an end", "Take the comment out"),
    (
        "--",
        "it has '--' without a space behind it, which is a comment to some servers",
        "Put a space behind or between",
    ),
    ("//", "it has '//', a comment to some servers only", "Use '-- ' or '#' for comments"),
    ("@", "it has a variable (@), which belongs to a session and to no commit", "Give values with params="),
    (":=", "it assigns a variable (:=)", "Use a window function or a CTE instead"),
    ("?", "it has a '?'", "Write :name in the query, and give the value with params={'name': ...}"),
    ("'", "a text in it has no end", "Close the quote"),
    ('"', "a text in it has no end", "Close the quote"),
    ("`", "a name in it has no end, or is empty", "Close the backtick"),
)


_HALVES = re.compile("[\ud800-\udfff]")
# What is a number to Dolt without all its digits: "1e-- x" is 1e-, a minus and x, and no comment.
_HALF_A_NUMBER = re.compile(
    r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE](?:[+-](?![0-9])|(?![A-Za-z0-9_+-]))"
    r"|0[xX](?![A-Za-z0-9_])|[xX]'(?![0-9a-fA-F]*')|[bB]'(?![01]*')",
    re.ASCII,
)
# Letters that Go takes for ASCII ones where it compares without regard to case.
_LIKE_ASCII = {ord("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"): "i", ord("\N{LATIN SMALL LETTER DOTLESS I}"): "i"}
_LIKE_ASCII |= {ord("\N{LATIN SMALL LETTER LONG S}"): "s", ord("\N{KELVIN SIGN}"): "k"}


class Unreadable(Exception):
    """The text cannot be cut into tokens; holds what was found, what to do, and the characters in question."""

    def __init__(self, found: str, advice: str, *, piece: str) -> None:
        super().__init__(found, advice)
        self.found, self.advice, self.piece = found, advice, piece


@dataclass(frozen=True)
class Token:
    """A piece of a statement; comments and spaces are none."""

    kind: Kind
    text: str
    """As it was written."""
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word in capital letters, or "" for anything else; a name in backticks is never a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def value(self) -> str:
        """What a text, a name or a parameter stands for: without quotes and escapes."""
        if self.kind == "text":
            return _unquoted(self.text)
        if self.kind == "name":
            return self.text[1:-1].replace("``", "`")
        return self.text[1:] if self.kind == "parameter" else self.text

    def is_mark(self, *marks: str) -> bool:
        """Whether it is one of these signs."""
        return self.kind == "mark" and self.text in marks


def scan(sql: str) -> list[Token]:
    """Return the tokens of ``sql``.

    Raises:
        Unreadable: something in it is no SQL, or does not mean the same to every server.
    """
    tokens, position = [], 0
    if "\0" in sql:
        raise Unreadable("it holds a NUL character", "Give such a value with params=", piece="\0")
    if half := _HALVES.search(sql):
        raise Unreadable("it holds half a character (a lone surrogate), which is no text", "Take it out", piece=half[0])
    while position < len(sql):
        if sql.startswith("//", position):
            raise _trap(sql, position)
        if number := _HALF_A_NUMBER.match(sql, position):
            said = f"a number in it lacks digits (at {_shown(sql[position:])})"
            raise Unreadable(said, "Write it in full", piece=number[0])
        found = _TOKEN.match(sql, position)
        if found is None or (found["mark"] == "-" and sql.startswith("--", position)):
            raise _trap(sql, position)
        if found.lastgroup == "mark" and sql.startswith("/*", position):
            raise _trap(sql, position)
        if found.lastgroup != "skip":
            tokens.append(Token(found.lastgroup, found[0], position, found.end()))  # type: ignore[arg-type]
        position = found.end()
    return tokens


def _trap(sql: str, position: int) -> Unreadable:
    rest = sql[position:]
    for start, found, advice in _TRAPS:
        if rest.startswith(start):
            return Unreadable(f"{found} (at {_shown(rest)})", advice, piece=start)
    return Unreadable(
        f"{rest[0]!r} is no sign of SQL (at {_shown(rest)})", "Put names that hold it in backticks", piece=rest[0]
    )


def _shown(rest: str) -> str:
    return repr(rest if len(rest) <= 20 else rest[:20] + "...")


def folded(name: str) -> str:
    """Return a name in small letters, as Dolt compares it: also with the letters that are like an ASCII one to it.

    >>> folded("GET_LOC\u212a")
    'get_lock'
    """
    return name.translate(_LIKE_ASCII).lower()


def function_name(name: str) -> str:
    """Return the name of a function in capital letters, which are ASCII; another name is none, and stays as it is."""
    small = folded(name)
    return small.upper() if small.isascii() else small


def _unquoted(text: str) -> str:
    quote = text[0]
    pieces = re.split(r"\\(.)", text[1:-1], flags=re.DOTALL)
    plain = [piece.replace(quote * 2, quote) for piece in pieces[::2]]
    # MySQL keeps the backslash of \% and \_ , which mean something to LIKE only.
    escaped = ["\\" + c if c in "%_" else _ESCAPES.get(c, c) for c in pieces[1::2]]
    return "".join(part for pair in zip(plain, [*escaped, ""], strict=True) for part in pair)


def closing(tokens: Sequence[Token], opening: int) -> int | None:
    """Return the index of the parenthesis that closes the one at ``opening``, or None if nothing does."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += tokens[index].is_mark("(") - tokens[index].is_mark(")")
        if depth == 0:
            return index
    return None


@dataclass(frozen=True)
class Edit:
    """A stretch of a text, and what stands in its place."""

    start: int
    end: int
    text: str


def edited(sql: str, edits: Iterable[Edit]) -> str:
    """Return ``sql`` with each stretch replaced; the rest is as it was, character by character."""
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [sql[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, sql[position:]])
