"""How a branch or a table may be named here: what Dolt takes, without what would mean something else later.

Pure checks, which raise `errors.InvalidName`. The fields of `configs` are checked with them, and so is what `history`
calls a branch.
"""

from __future__ import annotations

import re

from ...doltdb.patterns import pattern
from ..errors import InvalidName

SCRATCH_PREFIX = "flyte-tmp/"
"""Branches under this name are this package's own, short-lived, and never a user's."""

HASH = "[0-9a-v]{32}"
"""Pattern of the hash of a commit, within a regular expression."""

_RESERVED_BRANCHES = {"HEAD", "WORKING", "STAGED", "@"}
_BRANCH_TRAPS = (
    (pattern(r"[^\x21-\x7e]"), "only printable ASCII without spaces is possible"),
    (pattern(r"[~^:?*\[\\]"), "the characters ~ ^ : ? * [ \\ are not possible"),
    (pattern(r"\.\.|@\{|//"), "'..', '@{' and '//' are not possible"),
    (pattern(r"^[-/.]|[/.]$"), "it may not start with - / . or end with / ."),
    (pattern(r"/\.|\.lock(/|$)"), "no part of it may start with '.' or end with '.lock'"),
    (pattern(r"^refs/"), "what begins with 'refs/' is a path within Dolt, which would make 'x' of 'refs/heads/x'"),
    (pattern(rf"^{HASH}$"), "32 characters of 0-9a-v would read as a commit hash"),
)
_TABLE_NAME = pattern(r"^[\w$](?:[\w$.-]*[\w$-])?\Z")


def is_hash(text: str) -> bool:
    """Whether a text is the whole hash of a commit, and nothing else.

    >>> is_hash("0o5jmq18cmrop7u1otc9mppo2bgraecc"), is_hash("0o5jmq18"), is_hash("main")
    (True, False, False)
    """
    return re.fullmatch(HASH, text) is not None


def folded(name: str) -> str:
    r"""Return a text that is equal for two names of columns just if Dolt takes them for one.

    Dolt folds each character to one: the micro sign (U+00B5) and the Greek letter (U+03BC) are the same, and both forms
    of a small sigma. No character becomes two, and accents count.

    >>> folded("\u00b5G") == folded("\u03bcg"), folded("\u00df") == folded("ss"), folded("\u00e9") == folded("e")
    (True, False, False)
    """
    if name.isascii():
        return name.lower()
    return "".join(char.casefold() if len(char.casefold()) == 1 else char.lower() for char in name)


def lowered(name: str) -> str:
    """Return a text that is equal for two names of tables just if Dolt takes them for one: lower case, sign by sign.

    >>> lowered("Users") == lowered("users"), lowered("M\u00dc") == lowered("m\u00fc"), lowered("\u00b5") == "\u03bc"
    (True, True, False)
    """
    return name.lower() if name.isascii() else "".join(character.lower()[0] for character in name)


def check_branch_name(name: object) -> str:
    """Return ``name`` if Dolt can hold a branch of that name and it means nothing else.

    Raises:
        InvalidName: it cannot; the message gives the rule that it breaks.

    Source: the refusals of ``dolt_branch`` in Dolt 1.83.2, each tried; ``WORKING``, ``STAGED`` and a leading dash are
    taken by Dolt but would be read as something else later.
    """
    found: str | None = None
    if not isinstance(name, str) or not name:
        found = "a name is a non-empty string"
    elif name.upper() in _RESERVED_BRANCHES:
        found = "that word has a meaning of its own"
    elif name.startswith(SCRATCH_PREFIX):
        found = f"names under {SCRATCH_PREFIX!r} are for this package's own scratch branches"
    else:
        found = next((rule for trap, rule in _BRANCH_TRAPS if trap.search(name)), None)
    if found is None and isinstance(name, str):
        return name
    raise InvalidName(
        f"Cannot use {name!r} as a branch name: {found}. Use letters, digits and - _ . / instead, "
        "for example 'run/2024-05-07T12.38'.",
        name=name,
    )


def check_revision(text: object) -> str:
    """Return ``text`` if it may name a state of a repository.

    Raises:
        InvalidName: it is empty, or one of this package's own scratch branches.
    """
    if isinstance(text, str) and text.strip() and not text.startswith(SCRATCH_PREFIX):
        return text
    raise InvalidName(
        f"Cannot use {text!r} to name a state of the repository. Give a branch, a tag, a hash or a table at a commit.",
        name=text,
    )


def check_table_name(name: object) -> str:
    """Return ``name`` if it can name a table in this package.

    Raises:
        InvalidName: it is empty, over 64 characters, starts with ``-`` or ``.``, or has a space, quote, backtick or
            other sign in it. (Such a table of somebody else's can still be read with ``sql=``.)
    """
    if isinstance(name, str) and len(name) <= 64 and _TABLE_NAME.match(name):
        return name
    raise InvalidName(
        f"Cannot use {name!r} as a table name: use 1 to 64 letters, digits, _ $ - or . and no - or . at the start. "
        'An existing table of another name can be read with sql="select * from `...`".',
        name=name,
    )


def check_tag_name(name: str) -> str:
    """Return ``name`` if Dolt can hold a tag of that name and it means nothing else; the rules of branches hold.

    Raises:
        InvalidName: it cannot.
    """
    try:
        return check_branch_name(name)
    except InvalidName as error:
        raise InvalidName(str(error).replace("as a branch name", "as the name of a tag", 1), name=name) from None
