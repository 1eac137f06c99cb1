"""Query templates: where in the SQL text the placeholders stand, and the text with bound parameters in their place.

Pure: no connection, no Flyte. A placeholder ``{{ .inputs.x }}`` stands for a value, which never becomes text of the
query; ``{{ .inputs.x | identifier }}`` stands for the name of a table or column, which is quoted. To tell code from
quotes and comments the text is read as the server will read it, so the server's ways of quoting are a `Grammar`.
Everything but the placeholders stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from .errors import InvalidTask, InvalidValue
from .values import as_text, is_list

PLACEHOLDER = re.compile(r"\{\{\s*\.(?ai:inputs)\.(\w+)\s*(?:\|\s*(\w+)\s*)?\}\}")
_LOOKS_LIKE_ONE = re.compile(r"\{\{\s*\.?\s*inputs?\b[^}]*\}?\}?", re.IGNORECASE)
_IDENTIFIER = "identifier"
_QUOTED = "'quoted'"
_WITH_BODY = re.compile(
    r"\s*(begin|declare|if|create\s(.*\s)?(procedure|function|trigger|event|package|rule)\s)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
"""How statements begin that may have others within."""
_BEFORE_TABLE = re.compile(r"\b(from|join|into|update|table|describe|desc)\s+\Z", re.IGNORECASE | re.ASCII)
_MYSQL = ("mysql", "mariadb")
_MYSQL_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": r"\%", "_": r"\_"}
_LONGEST_NAME = 64

BLANKS = " \t\n\r\f\v"
"""What is white space to servers; Python's own has much more."""
LETTERS = r"A-Za-z_\x80-\U0010ffff"
"""What a name may begin with to MySQL and PostgreSQL, as a part of a class of characters."""
_NOT_IN_NAME = rf"(?<![{LETTERS}0-9$])"


@dataclass(frozen=True)
class Grammar:
    """How a server tells code from quotes and comments."""

    is_mysql: bool = False
    """Whether ``#`` starts a comment, ``--`` only does before white space, and ``/*! */`` is code."""
    is_dolt: bool = False
    """Whether, other than to MySQL, ``--`` always starts a comment, and ``//`` too."""
    utf8: bool = True
    """Whether texts travel in UTF-8: in other character sets other characters are white space to MySQL."""
    backslash: bool = False
    """Whether a backslash escapes the next character in a text."""
    double_quoted_text: bool = False
    """Whether double quotes hold a text; else a name."""
    dollar_quotes: bool = False
    """Whether ``$tag$ ... $tag$`` is a text, letters before a quote mean something, and ``\\r`` ends a line, too."""
    backticks: bool = True
    """Whether backticks hold a name."""
    brackets: bool = False
    """Whether square brackets hold a name."""
    nested_comments: bool = False
    """Whether comments hold comments."""


def grammar(dialect: str, *, sql_mode: str = "", is_dolt: bool = False, utf8: bool = True) -> Grammar:
    """Return the grammar of a server of SQLAlchemy's ``dialect`` whose session has ``sql_mode`` (MySQL's variable).

    ``utf8`` says whether the session's character set is that; see `Grammar`.
    """
    if dialect in _MYSQL:
        modes = set(sql_mode.upper().split(","))
        # Dolt takes the mode NO_BACKSLASH_ESCAPES and goes on escaping.
        backslash = is_dolt or "NO_BACKSLASH_ESCAPES" not in modes
        quoted = not {"ANSI_QUOTES", "ANSI"} & modes
        return Grammar(is_mysql=True, is_dolt=is_dolt, utf8=utf8, backslash=backslash, double_quoted_text=quoted)
    if dialect == "postgresql":
        return Grammar(dollar_quotes=True, nested_comments=True, backticks=False)
    return Grammar(brackets=dialect in ("sqlite", "mssql"))


@dataclass(frozen=True)
class Value:
    """A placeholder for the value of an input."""

    name: str
    quoted: bool = False
    """Whether it stands alone in quotes, so that a number is meant as its text."""


@dataclass(frozen=True)
class Text:
    """A quoted text with placeholders in it: one value, put together."""

    parts: tuple[str | Value, ...]

    @property
    def first(self) -> str:
        """The name of the first placeholder in it."""
        return next(part.name for part in self.parts if isinstance(part, Value))


@dataclass(frozen=True)
class Name:
    """A placeholder for a name, which the input holds."""

    name: str


class Comment(str):
    """A comment, sent as it was written; what stands before it still stands before what follows."""


Part = str | Value | Text | Name


@dataclass(frozen=True)
class Rendered:
    """A statement for a driver: the text with marks, and the values in their order."""

    sql: str
    values: list[object] = field(repr=False)
    names: list[str] = field(default_factory=list)
    """The name of each value's input."""


def placeholders(template: str, language: Grammar | None = None) -> set[str]:
    """Return the names of the inputs that ``template`` has placeholders for; with ``language`` comments have none.

    >>> sorted(placeholders("select {{ .inputs.a }}, {{.inputs.b|identifier}} -- {{ .inputs.c }}", Grammar()))
    ['a', 'b']

    Raises:
        InvalidTask: something looks like a placeholder and is none.
    """
    if language is not None:
        template = " ".join(piece for kind, piece in pieces(template, language) if kind != "comment")
    for found in _LOOKS_LIKE_ONE.finditer(template):
        correct = PLACEHOLDER.match(template, found.start())
        if correct is None or (correct[2] or _IDENTIFIER) != _IDENTIFIER:
            raise InvalidTask(
                f"Cannot use the template: {found[0]!r} is no placeholder. Write {{{{ .inputs.name }}}} for a value, "
                "{{ .inputs.name | identifier }} for the name of a table or column."
            )
    return {found[1] for found in PLACEHOLDER.finditer(template)}


def parse(template: str, language: Grammar) -> list[Part]:
    """Return the parts of the template: text as written, and what stands for values and names.

    Raises:
        InvalidTask: a placeholder stands where no value can be: in a quoted name, an optimizer hint, an open quote; or
            a NUL character is in it, where some servers end it.
    """
    if "\0" in template:
        raise InvalidTask("Cannot use the template: it holds a NUL character, where some servers end it. Take it out.")
    parts: list[Part] = []
    for kind, piece in pieces(template, language):
        if kind == "comment":
            parts.append(Comment(piece))
        elif not PLACEHOLDER.search(piece):
            parts.append(piece)
        elif kind == "code":
            parts.extend(_of_code(piece))
        elif kind == "text":
            parts.append(_of_text(piece, language))
        else:
            raise _misplaced(piece, kind)
    return parts


def code(template: str, language: Grammar) -> str:
    """Return the template without comments and without what stands in quotes."""
    return "".join(piece if kind == "code" else " " for kind, piece in pieces(template, language))


def not_given(names: Iterable[str]) -> str:
    """Return what errors say of inputs without a value."""
    return f"no value is given for {', '.join(f'input {name!r}' for name in sorted(names))}; give the task one"


def has_several(template: str, language: Grammar) -> bool:
    """Say whether more than one statement is in the template; the body of a procedure or trigger is a part of its own.

    >>> has_several("select ';'; ", Grammar()), has_several("select 1; select 2", Grammar())
    (False, True)
    """
    other = {"comment": " "}
    read = (piece if kind == "code" else other.get(kind, _QUOTED) for kind, piece in pieces(template, language))
    first, _, others = "".join(read).partition(";")
    return bool(others.replace(";", " ").strip(BLANKS)) and _WITH_BODY.match(first) is None


def meant_as_names(template: str, language: Grammar) -> list[str]:
    """Return the names of values that stand where most statements have a table, as behind FROM.

    >>> meant_as_names("select * from {{ .inputs.t }} where a = {{ .inputs.a }}", Grammar())
    ['t']
    """
    parts = [part for part in parse(template, language) if not isinstance(part, Comment)]
    return [part.name for code, part in pairwise(parts) if isinstance(part, Value) and _BEFORE_TABLE.search(str(code))]


def render(
    parts: Sequence[Part],
    inputs: Mapping[str, object],
    *,
    paramstyle: str,
    quote: Callable[[str], str],
    arrays: bool = False,
) -> Rendered:
    """Return the statement with marks of the driver's ``paramstyle``, and the values.

    A list becomes as many marks as it has elements. ``quote`` quotes a name as the server wants it. With ``arrays`` the
    server has them, and a type for every empty list, as PostgreSQL.

    Raises:
        InvalidValue: an input cannot be what its placeholder wants.
    """
    has_values = any(isinstance(part, (Value, Text)) for part in parts)
    doubled = "%%" if has_values and paramstyle in ("format", "pyformat") else "%"
    rendered = Rendered("", [])
    sql: list[str] = []
    before = ""  # the last character that is neither space nor comment

    def mark(value: object, name: str) -> str:
        rendered.values.append(value)
        rendered.names.append(name)
        return _mark(paramstyle, len(rendered.values))

    for number, part in enumerate(parts, start=1):
        if isinstance(part, Value) and _is_empty(inputs[part.name]) and _is_listed(before, parts[number:]):
            raise _not_alone(part.name)
        if isinstance(part, str):
            sql.append(part.replace("%", doubled))
        elif isinstance(part, Name):
            sql.append(quote(checked_name(part.name, inputs[part.name])).replace("%", doubled))
        elif isinstance(part, Text):
            sql.append(mark(_joined(part, inputs), part.first))
        elif arrays and _is_empty(inputs[part.name]):
            sql = [_compared_to_empty_array("".join(sql), part.name)]
        else:
            sql.append(_marks(part, inputs[part.name], before, mark))
        if not isinstance(part, Comment):
            before = sql[-1].rstrip(BLANKS)[-1:] or before
    return Rendered("".join(sql), rendered.values, rendered.names)


def readable(parts: Sequence[Part], inputs: Mapping[str, object], *, quote: Callable[[str], str]) -> str:
    """Return the statement for people: names as they are sent, ``:name`` for each value.

    >>> readable(parse("select * from t where a = '{{ .inputs.a }}'", Grammar()), {"a": "x' or 1"}, quote=repr)
    'select * from t where a = :a'

    Raises:
        InvalidValue: an input is no name where a name is wanted.
    """

    def one(part: Part) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, Name):
            return quote(checked_name(part.name, inputs[part.name]))
        names = [part.name] if isinstance(part, Value) else [p.name for p in part.parts if isinstance(p, Value)]
        return ":" + "_".join(names)

    return "".join(one(part) for part in parts)


def checked_name(name: str, value: object) -> str:
    """Return the value of input ``name`` if a table or column may be called that.

    >>> checked_name("table", "users")
    'users'

    Raises:
        InvalidValue: it is no text, empty, longer than 64 characters, or holds a control character.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"Input {name!r} is to name a table or column, and is a {type(value).__name__}.", name=name)
    if not value or len(value) > _LONGEST_NAME or value != value.strip() or not value.isprintable():
        raise InvalidValue(
            f"Input {name!r} is to name a table or column: 1 to {_LONGEST_NAME} printable characters without spaces "
            "around them. For the name of a table in another database use two placeholders with a dot between them.",
            name=name,
        )
    return value


def _is_empty(value: object) -> bool:
    return is_list(value) and not value


def _is_listed(before: str, after: Sequence[Part]) -> bool:
    """Say whether what stands between these is one of several in a list."""
    written = (part.strip(BLANKS) if isinstance(part, str) else "?" for part in after if not isinstance(part, Comment))
    return before == "," or next(filter(None, written), "").startswith(",")


def _compared_to_empty_array(before: str, name: str) -> str:
    """Return the text ``before`` an empty list with the list: IN as the comparison that works for every type."""
    wanted = rf"{_NOT_IN_NAME}(?P<negated>not\s+)?in(?P<opened>\s*\(?\s*)\Z"
    found = re.search(wanted, before, re.IGNORECASE | re.ASCII)
    if found is None:
        raise _not_alone(name)
    comparison, opened = "<> all" if found["negated"] else "= any", found["opened"]
    return before[: found.start()] + comparison + (f"{opened}'{{}}'" if "(" in opened else f"{opened}('{{}}')")


def _not_alone(name: str) -> InvalidValue:
    return InvalidValue(
        f"Input {name!r} is an empty list, which cannot stand beside other values: IN needs it alone.", name=name
    )


def _marks(part: Value, value: object, opened: str, mark: Callable[[object, str], str]) -> str:
    def one(element: object) -> str:
        number = part.quoted and isinstance(element, (int, float, Decimal)) and not isinstance(element, bool)
        return mark(as_text(part.name, element) if number else element, part.name)

    if not is_list(value):
        return one(value)
    listed = ", ".join(one(element) for element in value)
    if not listed:
        listed = "select null from (select 1 as one) as empty_list where 1 = 0"
    return listed if opened in ("(", ",") else f"({listed})"


def _mark(paramstyle: str, number: int) -> str:
    return {
        "format": "%s",
        "pyformat": f"%(p{number})s",
        "qmark": "?",
        "named": f":p{number}",
        "numeric": f":{number}",
        "numeric_dollar": f"${number}",
    }[paramstyle]


def _joined(text: Text, inputs: Mapping[str, object]) -> str | None:
    """Return the text put together, or None if one of its values is None, as concatenating in SQL does."""
    parts = [part if isinstance(part, str) else as_text(part.name, inputs[part.name]) for part in text.parts]
    return None if None in parts else "".join(part for part in parts if part is not None)


def pieces(sql: str, language: Grammar) -> Iterator[tuple[str, str]]:
    """Give the text in pieces, each with its kind.

    Kinds are code, text, name, comment, hint, open (a quote never closed), and unclear: from there on it cannot be
    told what is code. The classes of characters are the servers' own; tests/security compares each with them.
    """
    openers, code, place = _openers(language), 0, 0
    while (found := openers.search(sql, place)) is not None:
        place = found.end()
        if found["word"]:
            continue
        start = place - 1 if found["prefix"] else found.start()
        yield "code", sql[code:start]
        kind, place = _end(sql, found, language)
        yield kind, sql[start:place]
        code = place
    yield "code", sql[code:]


@lru_cache
def _openers(language: Grammar) -> re.Pattern[str]:
    """Return what finds the next place where something else than code may begin, or a whole word, which hides it."""
    marks = ["'", '"', r"/\*"]
    marks += ["`"] * language.backticks + [r"\["] * language.brackets
    if not language.is_mysql:
        marks.append("--")
    elif language.is_dolt:
        marks += ["--", "//", r"\#"]
    else:
        marks += [r"--(?=[\x00-\x20\x7f]|\Z)", r"\#"]
        marks += [] if language.utf8 else [r"--(?=[\x7f-\U0010ffff])"]
    if not language.dollar_quotes:
        return re.compile(f"(?P<word>(?!))|(?P<prefix>(?!))|(?P<mark>{'|'.join(marks)})")
    marks.append(rf"\$(?:[{LETTERS}][{LETTERS}0-9]*)?\$")
    # 1e'x' is a number and E'x', or nothing, to PostgreSQL: only letters begin a word.
    prefix, word = "(?:[eEbBxXnN]|[uU]&)'", f"[{LETTERS}][{LETTERS}0-9$]*"
    return re.compile(f"(?P<prefix>{prefix})|(?P<word>{word})|(?P<mark>{'|'.join(marks)})")


def _end(sql: str, opener: re.Match[str], language: Grammar) -> tuple[str, int]:
    """Return what was opened and where it ends; what is not closed ends with the text, and is "open"."""
    start, opened = opener.start(), opener["mark"]
    if opener["prefix"]:
        kind, end = _end_of_quotes(sql, opener.end() - 1, "'", backslash=opener["prefix"][0] in "eE")
        return ("prefixed text" if kind == "quoted" else kind), end
    if opened == "/*":
        return _comment(sql, start, language)
    if opened in ("--", "//", "#"):
        return _line_comment(sql, start, opened, language)
    if opened.startswith("$"):
        close = sql.find(opened, opener.end())
        return ("dollar-quoted text", close + len(opened)) if close >= 0 else ("open", len(sql))
    if opened == "[":
        close = sql.find("]", start)
        return ("name", close + 1) if close >= 0 else ("open", len(sql))
    is_text = opened == "'" or (opened == '"' and language.double_quoted_text)
    kind, end = _end_of_quotes(sql, start, opened, backslash=is_text and language.backslash)
    return (kind if kind == "open" else "text" if is_text else "name"), end


def _line_comment(sql: str, start: int, opened: str, language: Grammar) -> tuple[str, int]:
    if opened == "--" and not language.utf8 and not language.is_dolt and sql[start + 2 : start + 3] > "\x7e":
        return "unclear", len(sql)
    line = re.compile("[\n\r]" if language.dollar_quotes else "\n").search(sql, start)
    return "comment", len(sql) if line is None else line.start()


def _end_of_quotes(sql: str, start: int, mark: str, *, backslash: bool) -> tuple[str, int]:
    plain = rf"[^{mark}\\]|\\." if backslash else f"[^{mark}]"
    whole = re.compile(f"{mark}(?:{plain}|{mark}{mark})*{mark}", re.DOTALL).match(sql, start)
    return ("open", len(sql)) if whole is None else ("quoted", whole.end())


def _comment(sql: str, start: int, language: Grammar) -> tuple[str, int]:
    end = _end_of_comment(sql, start, nested=language.nested_comments)
    if not sql.startswith(("/*!", "/*M!"), start):
        return "hint" if sql.startswith("/*+", start) else "comment", end
    # Whether it is run, and then where it ends, hangs on the server's version.
    if language.is_mysql and re.search(r"['\"`#]|--|//|/\*", sql[start + 2 : end]):
        return "unclear", len(sql)
    return "hint", end


def _end_of_comment(sql: str, start: int, *, nested: bool) -> int:
    depth, place = 1, start + 2
    while depth:
        found = re.compile(r"\*/|/\*" if nested else r"\*/").search(sql, place)
        if found is None:
            return len(sql)
        depth += -1 if found[0] == "*/" else 1
        place = found.end()
    return place


def _of_code(piece: str) -> Iterator[Part]:
    place = 0
    for found in PLACEHOLDER.finditer(piece):
        yield piece[place : found.start()]
        yield Name(found[1]) if found[2] else Value(found[1])
        place = found.end()
    yield piece[place:]


def _of_text(piece: str, language: Grammar) -> Part:
    parts = [part for part in _of_code(piece[1:-1]) if part != ""]
    for part in parts:
        if isinstance(part, Name):
            raise _misplaced(piece, "text")
    if len(parts) == 1 and isinstance(parts[0], Value):
        return Value(parts[0].name, quoted=True)
    plain = [part if isinstance(part, Value) else _unescaped(str(part), piece[0], language) for part in parts]
    return Text(tuple(plain))


def _unescaped(text: str, quote: str, language: Grammar) -> str:
    """Return the characters that a quoted text means."""
    if not language.backslash:
        return text.replace(quote * 2, quote)
    pattern = re.compile(rf"\\(.)|{quote}{quote}", re.DOTALL)
    return pattern.sub(lambda m: quote if m[1] is None else _MYSQL_ESCAPES.get(m[1], m[1]), text)


def _misplaced(piece: str, kind: str) -> InvalidTask:
    where = {
        "name": "a quoted name; write it without the quotes, as {{ .inputs.x | identifier }}",
        "text": "a quoted text; a name stands without quotes",
        "hint": "a comment that the server executes",
        "prefixed text": "a text with a letter before its quote, and E'...' cannot hold a placeholder",
        "open": "a quote that is never closed",
        "unclear": "a part of which servers disagree what is code: put a space behind '--', and neither quotes nor "
        "comments into /*! ... */",
    }.get(kind, f"a {kind}")
    found = PLACEHOLDER.search(piece)
    return InvalidTask(f"Cannot put a value in place of {found[0] if found else piece!r}: it stands in {where}.")
