"""Tables and queries as ``dolt://`` addresses, and back: what a StructuredDataset literal carries. Pure text, no I/O.

    dolt://REPOSITORY?table=NAME&commit=HASH&branch=NAME
    dolt://REPOSITORY?sql=STATEMENT&...

``REPOSITORY`` is the config's ``db_path``, as it is there. ``commit`` and ``branch`` are what a written or resolved
table has. An address that is written by hand says ``branch=NAME`` for ``SerialBranch``, ``new_branch=NAME`` (and
``base=NAME``) for ``NewBranch``, and each further field of `DoltConfig` by its own name; a list is the same name
several times, and what is neither text nor a list is JSON. What means something in an address is percent-encoded UTF-8.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ...doltdb import redaction
from ..errors import DoltError, InvalidUri
from ..model.configs import Branch, Commit, DoltConfig, NewBranch, SerialBranch
from ..model.naming import is_hash
from ..model.nesting import MAX_CONFIG, is_deep
from .table import DoltTable

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL = "dolt"

_START = f"{PROTOCOL}://"
_LISTS = ("primary_key", "order_by", "columns", "read_from")
_FIELDS = {f.name for f in dataclasses.fields(DoltConfig)} - {"db_path", "tablename", "sql", "io_args"}
_MOOT = {
    "primary_key",
    "mode",
    "on_schema_change",
    "index",
    "keep_order",
    "on_moved",
    "lock_timeout_s",
    "meta_conf",
    "as_of",
    "triggers",
    "message",
}
"""Fields that say nothing more about a table which is at a commit already."""
_OF_A_BRANCH = ("commit", "branch", "new_branch", "base")


def dolt_uri(table: DoltTable | DoltConfig) -> str:
    """Return the address of a table or query, in the one form that it has.

    A table at a commit has an address that says nothing about how it was written, so that equal rows are equal text.

    >>> dolt_uri(DoltConfig("foo", "users", branch_conf=NewBranch("run/1"), mode="append"))
    'dolt://foo?table=users&new_branch=run/1&mode=append'

    Raises:
        InvalidConfig: the config contradicts itself, or the table has data that no commit holds.
    """
    if not isinstance(table, DoltTable):
        table = DoltTable(config=table)
    table.config.check()
    table.to_dict()  # refuses data that no commit holds
    parameters = "&".join(f"{name}={quote(value, safe='/')}" for name, value in _parameters(table))
    return f"{_START}{quote(os.fspath(table.config.db_path), safe='/:@+~')}?{parameters}"


def _of_policy(policy: Branch | None) -> list[tuple[str, str | None]]:
    """Return the parameters that stand for a branch policy; none for one that has no parameters of its own."""
    if type(policy) is SerialBranch and policy.branch is not None:
        return [("branch", policy.branch)]
    if type(policy) is NewBranch:
        return [("new_branch", policy.branch), ("base", policy.base)]
    return []


def _parameters(table: DoltTable) -> Iterator[tuple[str, str]]:
    config, commit = table.config, table.commit
    yield ("table", config.tablename) if config.tablename is not None else ("sql", config.sql or "")
    given = {k: v for k, v in config.to_dict().items() if k in _FIELDS} | config.options()
    if commit is not None:
        state = [("commit", commit.hash), ("branch", commit.branch)]
        given = {k: v for k, v in given.items() if k not in _MOOT and k != "branch_conf"}
    else:
        state = _of_policy(config.policy)
        if state:
            del given["branch_conf"]
    yield from ((name, value) for name, value in state if value is not None)
    for name in sorted(given):
        yield from ((name, _to_text(value)) for value in _values(given[name]))


def _values(given: Any) -> list[Any]:
    """Return what stands behind one name: a list has an entry for each of its values, an empty one an empty entry."""
    return given or [""] if isinstance(given, list) else [given]


def _to_text(value: Any) -> str:
    if isinstance(value, str) and _from_text(value) == value:
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _from_text(text: str) -> Any:
    if is_deep(text, MAX_CONFIG):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_dolt_uri(text: object) -> bool:
    """Whether ``text`` means to be a `dolt://` address."""
    return isinstance(text, str) and text.startswith(_START)


def from_uri(text: str) -> DoltTable:
    """Return the table or query at an address: at its commit if it names one, else to be resolved or written.

    >>> from_uri("dolt://foo?table=users&commit=0o5jmq18cmrop7u1otc9mppo2bgraecc")
    DoltTable('users' in 'foo', at 0o5jmq18)

    Raises:
        InvalidUri: the text is no such address, or has a password in it; the message says which part of it is wrong.
    """
    shown = redaction.shown(text)
    if shown != text:
        text = shown  # a traceback may show the variables
        raise _invalid(
            text,
            "it has a password in it, which would be stored and shown. Leave it out; a server's is named by "
            "secret, and a ':' or '@' within another name is written %253A or %2540",
        )
    if not is_dolt_uri(text):
        raise _invalid(text, f"it does not start with {_START!r}")
    place, _, query = text[len(_START) :].partition("?")
    if not place:
        raise _invalid(text, "it names no repository")
    given = _split(text, query)
    commit = _commit(text, given)
    try:
        table = DoltTable(config=_config(text, _unquoted(text, place), given))
        table.config.check()
    except InvalidUri:
        raise
    except DoltError as error:
        raise _invalid(text, f"what it describes is refused. {error}") from error
    return table if commit is None else table.at(commit)


def _split(text: str, query: str) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise _invalid(text, f"{part!r} has no '='")
        given.setdefault(_unquoted(text, name), []).append(_unquoted(text, value))
    known = ["table", "sql", *_OF_A_BRANCH, *sorted(_FIELDS)]
    for name, values in given.items():
        if name not in known:
            raise _invalid(text, f"it has a {name!r}, and known are {', '.join(known)}")
        if len(values) > 1 and name not in _LISTS:
            raise _invalid(text, f"it has {name!r} {len(values)} times")
    return given


def _unquoted(text: str, part: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", part):
        raise _invalid(text, f"{part!r} has a '%' without two hexadecimal digits behind it; a '%' itself is '%25'")
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise _invalid(text, f"{part!r} is not UTF-8") from error


def _commit(text: str, given: dict[str, list[str]]) -> Commit | None:
    if "commit" not in given:
        return None
    (found,) = given["commit"]
    if not is_hash(found):
        raise _invalid(text, f"its commit is {found!r}, and a commit is 32 characters of 0-9a-v")
    if "new_branch" in given or "branch_conf" in given:
        raise _invalid(text, "what is at a commit is only read, and has no branch policy")
    return Commit(found, branch=given["branch"][0] if "branch" in given else None)


def _config(text: str, place: str, given: dict[str, list[str]]) -> DoltConfig:
    one = {name: values[0] for name, values in given.items()}
    fields: dict[str, Any] = {name: _from_text(one[name]) for name in one.keys() & _FIELDS}
    lists = {name: given[name] if given[name] != [""] else [] for name in given.keys() & set(_LISTS)}
    fields |= {name: [_from_text(value) for value in values] for name, values in lists.items()}
    policies = [name for name in ("branch", "new_branch", "branch_conf") if name in one]
    if len(policies) > 1 or ("base" in one and "new_branch" not in one):
        raise _invalid(text, f"{' and '.join([*policies, 'base'][:2])} do not go together")
    if "commit" not in one and "branch" in one:
        fields["branch_conf"] = SerialBranch(one["branch"]).to_dict()
    elif "new_branch" in one:
        fields["branch_conf"] = NewBranch(one["new_branch"], base=one.get("base")).to_dict()
    return DoltConfig.from_dict({"db_path": place, "tablename": one.get("table"), "sql": one.get("sql"), **fields})


def _invalid(text: object, found: str) -> InvalidUri:
    return InvalidUri(
        f"Cannot read {text!r} as the address of a Dolt table: {found.rstrip('.')}. It has the form "
        "dolt://REPOSITORY?table=NAME; dolt_uri(config) makes it.",
        uri=text,
    )
