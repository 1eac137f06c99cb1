"""Which repository a command line means: what ``--db`` names, or the one that the working folder is in, as Git has it.

It knows of folders, servers and remotes, and gives the config that all functions take. It opens nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import RepositoryNotFound, RepositoryReadOnly
from ..model import location
from ..model.configs import DoltConfig, Remote
from ..server import binary

_ADVICE = "type it when it is asked for, or set DOLT_PASSWORD"


def named(given: str | None) -> DoltConfig:
    """Return a config of the repository that ``given`` names; None is the one that the working folder is in.

    Raises:
        RepositoryNotFound: the working folder is in none.
        RepositoryReadOnly: the one above a folder belongs to somebody else.
        InvalidConfig: it is a URL with a password in it, or of nothing that is known.
    """
    error = location.refusal(given, advice=_ADVICE)
    if error is not None:
        given = None
        raise error
    if given is not None and location.is_url(given):
        return _at_url(given)
    if given is None:
        return DoltConfig(str(_working_repository()))
    start = Path(os.path.realpath(os.path.expanduser(given)))
    above = _above(start)
    return DoltConfig(given if above in (None, start) else str(_own(above)))


def working() -> DoltConfig | None:
    """Return a config of the repository that the working folder is in, None where there is none of this user's."""
    try:
        return named(None)
    except (RepositoryNotFound, RepositoryReadOnly):
        return None


def _at_url(url: str) -> DoltConfig:
    scheme, split = url.partition("://")[0], urlsplit(url)
    if scheme in location.SCHEMES:
        return DoltConfig(url)
    return DoltConfig(Path(split.path).name or "repository", remote_conf=Remote(url))


def _working_repository() -> Path:
    try:
        here = Path.cwd()
    except OSError as error:  # it was removed
        raise RepositoryNotFound(
            f"Cannot find a Dolt repository: the working folder is not there ({error.strerror}). Go to another one, or "
            "give --db PATH, which is a folder or the URL of a server."
        ) from error
    found = _above(here)
    if found is None:
        raise RepositoryNotFound(
            f"Cannot find a Dolt repository: neither {str(here)!r} nor a folder above it is one. Go into one, or give "
            "--db PATH, which is a folder or the URL of a server.",
            path=here,
        )
    return _own(found)


def _above(start: Path) -> Path | None:
    """Return the innermost repository that a folder is, or is in."""
    try:
        folders = (start, *start.parents) if start.is_dir() else ()
    except OSError:  # too long, or not for this user; who opens it says so
        return None
    return next((folder for folder in folders if binary.is_repository(folder)), None)


def _own(found: Path | None) -> Path:
    """Return a repository that nobody has named, unless somebody else could have put it there."""
    assert found is not None  # noqa: S101  # for the type checker: the callers have looked
    if found.stat().st_uid != os.getuid():
        raise RepositoryReadOnly(
            f"Cannot take the repository {str(found)!r} for the one that is meant: it belongs to another user. Name it "
            "with --db, if it is.",
            path=found,
        )
    return found
