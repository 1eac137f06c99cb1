"""The verbs that look at a repository and what each takes, in words; `answer_of` finds who answers.

Who answers imports what it needs, pandas and drivers among it, which takes half a second. So nobody is imported here
before one verb is chosen: `--help`, `install` and `dolt` do not wait for what they do not use.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import pictures
from .arguments import bound, count, count_from_0, side

if TYPE_CHECKING:
    from .answers import Answer

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_REVISION = "branch, tag, commit, HEAD~1 or point in time; the checked-out branch where none is given"
_AT = f"at this {_REVISION}"


def answer_of(name: str) -> Callable[[argparse.Namespace], Answer]:
    """Return what answers a verb, imported now.

    Raises:
        ImportError: files are missing, or are those of an earlier plugin.
    """
    if name in ("tables", "branches", "show"):
        from .contents import ANSWERS
    elif name in ("profile", "shift"):
        from .profiles import ANSWERS
    else:
        from .commands import ANSWERS
    return ANSWERS[name]


def add_to(verbs: Verbs) -> None:
    """Add the verbs to a command line."""
    _add_log(verbs)
    _add_diff(verbs)
    _add_lineage(verbs)
    _add_versions(verbs)
    _add_merge(verbs)
    tables = _verb(verbs, "tables", "list the tables and views, with their numbers of rows")
    tables.add_argument("--at", metavar="REV", help=_AT)
    _verb(verbs, "branches", "list the branches with their newest commits")
    show = _verb(verbs, "show", "show the first rows of a table")
    show.add_argument("table", help="a table or view")
    show.add_argument("--at", metavar="REV", help=_AT)
    show.add_argument("-n", "--rows", type=count, default=20, metavar="N", help="the first N rows (default: 20)")
    _add_profile(verbs)
    _add_shift(verbs)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which repository is meant."""
    parser.add_argument(
        "--db",
        metavar="PATH",
        help="the repository: its folder or one inside, or the URL of a server or remote; where none is given it is "
        "the one that the working folder is in",
    )
    parser.add_argument(
        "--password-env",
        metavar="NAME",
        help="the environment variable with the server's password; DOLT_PASSWORD where none is given, and where there "
        "is none it is asked for on the terminal",
    )


def _verb(verbs: Verbs, name: str, words: str) -> argparse.ArgumentParser:
    """Add a verb with the options that all of them have."""
    parser = verbs.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, an error, too")
    return parser


def _add_log(verbs: Verbs) -> None:
    log = _verb(verbs, "log", "show the commits that lead to a revision, newest first")
    log.add_argument("revision", nargs="?", help=f"a {_REVISION}")
    log.add_argument("--table", help="only commits that changed this table")
    log.add_argument("-n", "--last", type=count, metavar="N", help="the newest N only")


def _add_diff(verbs: Verbs) -> None:
    diff = _verb(verbs, "diff", "show what differs between two revisions, row by row")
    diff.add_argument("before", help="a branch, tag, commit, HEAD~1 or point in time")
    diff.add_argument("after", nargs="?", help="the same; the checked-out branch where none is given")
    diff.add_argument("--table", help="this table; every changed one where none is given")
    words = "show the first N rows, 0 for the counts alone (default: 20)"
    diff.add_argument("--limit", type=count_from_0, default=20, metavar="N", help=words)


def _add_lineage(verbs: Verbs) -> None:
    line = _verb(verbs, "lineage", "show what a commit was made of, and what was made of it")
    line.add_argument("revision", nargs="?", help=f"a {_REVISION}")
    line.add_argument(
        "--direction",
        choices=("up", "down", "both"),
        default="both",
        help="up is what it was made of, down what was made of it; both where none is given",
    )
    line.add_argument(
        "--repository",
        "--also",
        dest="repositories",
        action="append",
        default=[],
        metavar="PATH",
        help="look in this repository, too (a folder or the URL of a server); give it once for each",
    )
    pictures.add_to(line)


def _add_versions(verbs: Verbs) -> None:
    versions = _verb(verbs, "versions", "show the newest versions of a table")
    versions.add_argument("table", help="a table")
    versions.add_argument("--branch", help="on this branch; the checked-out one where none is given")
    versions.add_argument("-n", "--last", type=count, default=5, metavar="N", help="the newest N (default: 5)")


def _add_merge(verbs: Verbs) -> None:
    merge = _verb(verbs, "merge", "merge a branch, whole or not at all")
    merge.add_argument("branch", help="the branch to merge")
    merge.add_argument("--into", help="the branch to merge into; the checked-out one where none is given")
    merge.add_argument(
        "--check", action="append", default=[], metavar="SQL", help="merge only if this query finds no row"
    )
    for name, words in (
        ("--max-shift", "merge only if this column has moved by no more than SHARE, from 0 to 1"),
        ("--max-missing", "merge only if no more than this SHARE of the column's values is missing"),
    ):
        merge.add_argument(name, action="append", type=bound, default=[], metavar="COLUMN=SHARE", help=words)
    merge.add_argument("--message", help="first line of the commit's message")
    merge.add_argument(
        "--strategy",
        type=side,
        action="append",
        default=[],
        metavar="[TABLE=]SIDE",
        help="conflicting rows become those of this side, ours or theirs; in one table only where it is named",
    )


def _add_profile(verbs: Verbs) -> None:
    profile = _verb(verbs, "profile", "show what each column of a table holds")
    profile.add_argument("table", help="a table or view")
    profile.add_argument("--at", metavar="REV", help=_AT)
    _add_columns(profile, "1000000; where rows come natively all are looked at, whatever N")


def _add_shift(verbs: Verbs) -> None:
    shift = _verb(verbs, "shift", "show how far the columns of a table have moved between two revisions")
    shift.add_argument("table", help="a table")
    shift.add_argument("before", metavar="FROM", help="a branch, tag, commit, HEAD~1 or point in time")
    shift.add_argument("after", metavar="TO", help="the same")
    _add_columns(shift, "10000000 where rows come natively, else 1000000")


def _add_columns(parser: argparse.ArgumentParser, most: str) -> None:
    parser.add_argument(
        "--column", action="append", dest="columns", metavar="NAME", help="this column; give it once for each"
    )
    words = f"draw about N rows of a table that has more (default: {most})"
    parser.add_argument("--sample", type=count, metavar="N", help=words)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draw them with this seed (default: 0)")
