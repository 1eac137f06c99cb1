"""What must not be shown as it is: passwords in addresses and in values, and what commands a terminal.

`masked` is the one place that knows where an address can hold a password; what it changes is refused wherever it would
travel (`places.refusal`). Addresses are taken as people write them: in any scheme, percent-encoded or not, with signs
in users and passwords that should have been encoded, one within the other. In doubt too much is hidden. Pure.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote

from .hiding import MASK, hide
from .patterns import pattern

IN_AN_ADDRESS = (
    *("table", "sql", "commit", "branch", "new_branch", "base"),
    *("branch_conf", "meta_conf", "remote_conf", "primary_key", "mode", "on_schema_change", "index", "keep_order"),
    *("lock_timeout_s", "order_by", "columns", "as_of", "changes", "tag", "params", "secret", "read_from", "triggers"),
    *("message", "on_moved"),
)
"""What a ``dolt://`` address may say, by name; here to know where a value ends that was not percent-encoded."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_V = TypeVar("_V")
_E = TypeVar("_E", bound=BaseException)

_SECRET_BY_NAME = pattern(
    r"pass(word|wd|phrase|code|key)?$|_pass|^pw$|pwd$|secret|token|credential|signature|^sig$|^auth(orization)?$"
    r"|(private|api|access|account|shared)[_-]?key",
    re.IGNORECASE,
)
# One slash is what is left of two in a path; the length is bounded for the sake of long words.
_START = pattern(
    r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}(?:://|%(?:25)*3A%(?:25)*2F%(?:25)*2F)"
    r"|(?:(?<![^/'\"])|(?<=\s))[A-Za-z][A-Za-z0-9+.-]{1,30}:/(?!/))",
    re.IGNORECASE,
)
_PROPER = pattern(r"(?:(?P<user>[^:@/?#]*)@)?(?P<host>\[[^\]@/]*\]|[^:@/?#\[\]]*)(?P<port>:[0-9]{0,5})?(?=[/?#]|\Z)")
_QUERY = pattern(r"\?(?=[\w.%-]+=)")
_PARAMETER = pattern(r"[?&;#]([\w.%+-]+)=")
_NAME = f"(?:{'|'.join(IN_AN_ADDRESS)})="
_DOLT_QUERY, _DOLT_PARAMETER = pattern(rf"\?(?={_NAME})"), pattern(rf"&(?={_NAME})")
_TEXT_OF_OTHERS = ("sql", "params")
_MOST_WITHIN = 100
"""Addresses within one address; one that has more is hidden whole, so that looking through it ends soon."""


class Password(str):
    """A password, or an address that may hold one, which does not show itself in tracebacks with variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class Environment(dict[str, str]):
    """Variables for another program, which do not show themselves in tracebacks with variables."""

    def __repr__(self) -> str:
        return f"<{len(self)} variables>"


def masked(text: str) -> str:
    """Return text with stars in the place of every password in an address; without any it is the same.

    >>> masked("mysql://me:s3cret@db.example/foo"), masked("https://h/x?token=abc")
    ('mysql://me:***@db.example/foo', 'https://h/x?token=***')
    >>> masked("no route to 'mysql://a:b@c/d' and 'mysql://me@h:3306/d'")
    "no route to 'mysql://a:***@c/d' and 'mysql://me@h:3306/d'"
    """
    if ":/" not in text and "%" not in text:
        return text
    try:
        return _masked(text)
    except RecursionError:  # addresses within addresses, thousands of times
        return MASK


def _masked(text: str) -> str:
    found = _START.search(text)
    if found is None:
        return text
    if not text[: found.start()].strip():
        return text[: found.start()] + _address(text[found.start() :])
    parts, end = [], 0
    while found is not None:
        parts.append(text[end : found.start()])
        end = _end(text, found)
        parts.append(_address(text[found.start() : end]))
        found = _START.search(text, end)
    return "".join([*parts, text[end:]])


def shown(value: _V) -> _V:
    """Return a value as it may be shown: `masked`, however deep texts stand in it, without what a password's name has.

    >>> shown({"url": "https://me:pw@h", "password": "pw", "tables": ["t"]})
    {'url': 'https://***@h', 'password': '***', 'tables': ['t']}
    """
    found: Any = value
    if isinstance(value, str):
        text = masked(value)
        found = value if text == value else text
    elif isinstance(value, bytes):
        text = value.decode(errors="surrogateescape")
        found = value if masked(text) == text else masked(text).encode(errors="surrogateescape")
    elif isinstance(value, Path):
        text = masked(str(value))
        found = value if text == str(value) else Path(text)
    elif isinstance(value, Mapping):
        given: Mapping[Any, Any] = value
        found = {shown(key): _entry(key, inner) for key, inner in given.items()}
    elif type(value) in (list, tuple, set, frozenset):
        found = type(value)(map(shown, found))  # type: ignore[call-arg]
    return found  # type: ignore[no-any-return]


def _entry(key: object, value: Any) -> Any:
    is_text = isinstance(value, (str, bytes)) and value
    return MASK if is_text and isinstance(key, str) and is_secret_by_name(key) else shown(value)


def is_secret_by_name(name: str) -> bool:
    """Whether what goes by ``name`` is a password or the like.

    >>> is_secret_by_name("ssl_password"), is_secret_by_name("ssl_key"), is_secret_by_name("primary_key")
    (True, False, False)
    """
    return _SECRET_BY_NAME.search(unquote(name)) is not None


# ----------------------------------------------------------------------------------------------------- one address


def _end(text: str, start: re.Match[str]) -> int:
    """Return where an address within other text ends: at the quote that it began with, else at white space."""
    before = text[start.start() - 1]
    if before in "'\"`":
        closing = re.compile(rf"(?<!\\){before}").search(text, start.end())
        return closing.start() if closing is not None else len(text)
    space = pattern(r"\s").search(text, start.end())
    return space.start() if space is not None else len(text)


def _address(text: str) -> str:
    start = _START.match(text)
    assert start is not None  # noqa: S101  # for the type checker: it was found there
    if text.count("://") + text.lower().count("%2f%2f") > _MOST_WITHIN:
        return start[0] + MASK
    if "%" in start[0]:
        decoded = unquote(text)
        return _unless_same(text, decoded, masked(decoded))
    scheme, lead = start[0].partition(":")[0].lower(), start[0]
    if scheme == "file" and not lead.endswith("//"):
        lead = lead[:-1]  # the slash that is left is the path's
    rest = text[len(lead) :]
    return lead + (_of_dolt(rest) if scheme == "dolt" else _of_others(scheme, rest))


def _unless_same(text: str, decoded: str, result: str) -> str:
    """Return what was found in the decoded text, or the text as it was where nothing was."""
    return text if result == decoded else result


def _of_others(scheme: str, rest: str) -> str:
    if _START.match(rest):
        return _address(rest)
    is_token = scheme.endswith(("http", "https"))
    query = _QUERY.search(rest)
    head = rest[: query.start()] if query is not None and _is_query(rest, query) else rest
    first = _password_at(scheme, head, is_token=is_token)
    if first is not None:
        last, named = rest.rindex("@"), _named(rest)
        if named is not None and named.start() < first:
            return rest[: named.end()] + MASK
        start = rest[:first] + (MASK if first == 0 else f":{MASK}")
        is_within = named is not None and named.end() <= last  # then nobody can say where the password ends
        return start if is_within else f"{start}@{_tail(rest[last + 1 :])}"
    end = _PROPER.match(rest)
    at = end.end() if end is not None else 0
    return rest[:at] + _tail(rest[at:])


def _is_query(rest: str, query: re.Match[str]) -> bool:
    """Whether what looks like a query is one, and no part of a user or password that was not encoded."""
    before, after = rest[: query.start()], rest[query.end() :]
    return "@" in before or "@" not in after or after.startswith("ssl_")


def _password_at(scheme: str, head: str, *, is_token: bool) -> int | None:
    """Return where in an address, behind its scheme, the colon before a password is, 0 for a token, None for none."""
    last = head.rfind("@")
    if last < 0 or (scheme == "file" and head.startswith("/")):
        return None
    proper = _PROPER.match(head)
    if proper is None:
        first = head.find(":")
    elif proper["user"] is not None:
        if is_token and proper["user"]:
            return 0
        first = head.find(":", proper.end())  # a user with a slash in it
    else:
        is_host = proper["port"] is None or re.search(r"[.\[]|^localhost$|^$", proper["host"])
        first = head.find(":", proper.end() if is_host else proper.start("port"))
    if not 0 <= first < last:
        return None
    return 0 if is_token else first


def _tail(text: str) -> str:
    """Return what follows the host without the passwords in parameters, and in addresses that are parameters."""
    named = _named(text)
    nested = _START.search(text)
    if nested is not None and (named is None or nested.start() < named.start()):
        before = text[: nested.start()]
        return before + _address(text[nested.start() :])
    if named is not None:
        return text[: named.end()] + MASK
    decoded = unquote(text)
    return text if decoded == text else _unless_same(text, decoded, _tail(decoded))


def _named(text: str) -> re.Match[str] | None:
    """Return the first parameter that is a password by its name; what follows it may be a part of it."""
    return next((found for found in _PARAMETER.finditer(text) if _is_secret(text, found)), None)


def _is_secret(text: str, named: re.Match[str]) -> bool:
    value = unquote(text[named.end() :]).lstrip()
    is_name_of_one = named[1] == "secret" and value.startswith("{")  # of a Secret, by group and key
    return is_secret_by_name(named[1]) and not is_name_of_one and bool(value) and not value.startswith("&")


def _of_dolt(rest: str) -> str:
    query = _DOLT_QUERY.search(rest)
    place, given = (rest, "") if query is None else (rest[: query.start()], rest[query.end() :])
    fields = [_field(field) for field in _DOLT_PARAMETER.split(given)] if given else []
    decoded = unquote(place)
    result = masked(decoded) if _START.match(decoded) else _folder(decoded)
    mark = "?" if query is not None else ""
    return _unless_same(place, decoded, result) + mark + "&".join(fields)


def _folder(place: str) -> str:
    """Return a folder, or what should have been the address of a server and has no scheme."""
    found = re.match(r"([^/:@?]*):[^/].*@", place, re.DOTALL)
    return _tail(place) if found is None else f"{found[1]}:{MASK}@{_tail(place[found.end() :])}"


def _field(field: str) -> str:
    name, _, value = field.partition("=")
    decoded = unquote(value)
    if name in _TEXT_OF_OTHERS:
        return field
    if name == "secret" and not decoded.lstrip().startswith("{"):
        return f"{name}={MASK}"
    result = masked(decoded)
    return f"{name}={_tail(_unless_same(value, decoded, result))}"


# ---------------------------------------------------------------------------------------------- values and tracebacks


def stripped(error: _E, *secrets: str) -> _E:
    """Return somebody else's error without what must not be seen: its frames, whose variables hold the password.

    What it was raised of goes as well, and the secrets out of its words. So it can be the cause of one of this
    package's.
    """
    error.args = tuple(hide(part, secrets) if isinstance(part, str) else part for part in error.args)
    error.__dict__.clear()
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def discreet(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have what a function raises come without its frames, which hold what it was called with.

    For what takes values apart that may have a password in them; a whole sentence says what is wrong.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # it is raised below, whatever it is
            found = error
        args, kwargs = (), {}  # type: ignore[assignment]
        raise without_frames(found)

    return call


def without_frames(error: _E) -> _E:
    """Return an error, and those that it comes of, without the frames that were left for it until now."""
    at: BaseException | None = error
    while at is not None and at.__traceback__ is not None:
        at.__traceback__ = None
        at = at.__cause__ or at.__context__
    return error


# ------------------------------------------------------------------------------------------------ control characters


def visible(text: str, *, lines: bool = True) -> str:
    """Return text whose control characters, and those that turn its direction, are shown instead of obeyed.

    Without ``lines`` a line break is shown as well: for what has to stay one line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c == "\n") else _spelled(c) for c in text)


def visible_json(text: str) -> str:
    """Return JSON that means the same and is `visible`."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _spelled(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
