"""Where a repository is: in a folder of this machine, or behind a Dolt server that somebody else runs.

A place is a value that says how to get there. `refs.locate` makes it, `connections.connect` opens it, and everybody
between the two only passes it on; its `str` is for messages and never holds a password. Nothing here does I/O.
"""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeAlias, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from ...doltdb import redaction
from ...doltdb.redaction import Password
from ..errors import InvalidConfig

SCHEMES = ("mysql+pymysql", "mysql")
"""How the URL of a server may begin."""

DEFAULT_PORT = 3306
"""The port of a server whose URL names none."""

_TLS_OPTIONS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_identity", "ssl_disabled")
_ADDRESSES = ("db_path", "read_from", "repositories", "repository", "path")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Tls(NamedTuple):
    """How the connection to a server is encrypted; the server's certificate is always verified."""

    ca: str | None = None
    """File with the certificates of a private authority; None (the default) trusts those that this machine trusts."""

    cert: str | None = None
    """File with this client's own certificate, for servers that ask for one."""

    key: str | None = None
    """File with the private key of `cert`."""

    verify_identity: bool = True
    """Whether the certificate has to be for the host that is connected to."""


@dataclass(frozen=True)
class ServerLocation:
    """One database of a ``dolt sql-server`` that is reached over TCP and somebody else starts and stops."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    """None is a connection in the clear, which is the default on loopback only."""

    replicas: tuple[ServerLocation, ...] = ()
    """Servers with copies of the same database, which may lag; for reads at a known commit only."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user, database = quote(self.user, safe=""), quote(self.database, safe="")
        return f"mysql+pymysql://{user}@{host}:{self.port}/{database}"


Location: TypeAlias = Path | ServerLocation
"""A resolved folder that holds a repository, or a server."""


def is_url(db_path: object) -> bool:
    """Whether ``db_path`` is a URL, and so not a folder."""
    return isinstance(db_path, str) and "://" in db_path


def has_password(url: object) -> bool:
    """Whether an address has a password in it, which would travel with the config and be shown."""
    return isinstance(url, str) and redaction.masked(url) != url


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    return redaction.masked(url)


def refusal(*addresses: object, advice: str = "") -> InvalidConfig | None:
    """Return the error for the first address that has a password in it, or None where none has.

    It is returned, because a frame that raises it must not have that address among its variables any more. What comes
    from outside is looked at here before it is taken apart, and before a word about it is said.
    """
    for address in addresses:
        if isinstance(address, (list, tuple)):
            found = refusal(*address, advice=advice)
            if found is not None:
                return found
        elif isinstance(address, (str, os.PathLike)) and has_password(os.fspath(address)):
            return InvalidConfig(
                f"Cannot use {redaction.masked(str(address))!r}: it has a password in it, which would be stored and "
                "shown with every value of the workflow. Leave it out, and "
                f"{advice or 'give the config secret=Secret(group, key)'}; a ':' or '@' that belongs to a name is "
                "written %3A or %40."
            )
    return None


def refuses_passwords(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function that takes addresses, by their names, refuse passwords in them before it begins.

    So no frame of it, of which a traceback may show the variables, has ever held one.
    """
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        error = refusal(*_addresses(names, args, kwargs))
        if error is None:
            return function(*args, **kwargs)
        args, kwargs = (), {}  # type: ignore[assignment]
        raise error

    return checked


def _addresses(names: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return [given[name] for name in _ADDRESSES if name in given]


def server(url: str, *, password: str = "", read_from: Sequence[str] = ()) -> ServerLocation:
    """Return the server that ``url`` names, ``mysql+pymysql://user@host:3306/database``.

    The options ``ssl_ca``, ``ssl_cert``, ``ssl_key``, ``ssl_verify_identity`` and ``ssl_disabled`` may follow as a
    query. The URLs of replicas in ``read_from`` take user, database and options that they do not give from ``url``.

    Raises:
        InvalidConfig: it is no such URL, or has a password in it.
    """
    error = refusal(url, read_from)
    if error is not None:
        url, read_from = "", ()
        raise error
    password = Password(password)
    primary = _server(url, password, None)
    replicas = tuple(_server(replica, password, primary) for replica in read_from)
    return replace(primary, replicas=replicas)


def _server(url: str, password: str, like: ServerLocation | None) -> ServerLocation:
    split = _split(url)
    user = unquote(split.username or "") or (like.user if like else "")
    database = unquote(split.path.strip("/")) or (like.database if like else "")
    if not split.hostname or not user or not database or "/" in database:
        missing = "a host" if not split.hostname else "a user" if not user else "one database"
        raise _unfit(url, f"it names not just {missing}" if database else f"it names no {missing.split()[-1]}")
    host = split.hostname
    return ServerLocation(host, split.port or DEFAULT_PORT, user, database, password, _tls(url, split, host, like))


def _split(url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError as error:
        raise _unfit(url, str(error)) from error
    if split.scheme not in SCHEMES:
        raise _unfit(url, f"{split.scheme!r} is no way to a server. Another repository is given as Remote(url=...)")
    return split


def _tls(url: str, split: SplitResult, host: str, like: ServerLocation | None) -> Tls | None:
    given = dict(parse_qsl(split.query, keep_blank_values=True))
    unknown = [name for name in given if name not in _TLS_OPTIONS]
    if unknown:
        raise _unfit(url, f"it has the option {unknown[0]!r}. Known are {', '.join(_TLS_OPTIONS)}")
    if not given and like is not None and not is_loopback(host):
        return like.tls or Tls()
    if _switch(url, given, "ssl_disabled", default=not given and is_loopback(host)):
        return None
    return Tls(
        ca=given.get("ssl_ca") or None,
        cert=given.get("ssl_cert") or None,
        key=given.get("ssl_key") or None,
        verify_identity=_switch(url, given, "ssl_verify_identity", default=True),
    )


def _switch(url: str, given: Mapping[str, str], name: str, *, default: bool) -> bool:
    word = given.get(name, "").lower()
    if name in given and word not in _WORDS:
        raise _unfit(url, f"its {name} is {word!r}, and can be true or false")
    return _WORDS.get(word, default)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its very name, so that nothing that is sent there leaves it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unfit(url: str, found: str) -> InvalidConfig:
    return InvalidConfig(
        f"Cannot use {without_password(url)!r} as a server: {found}. It is mysql+pymysql://user@host:3306/database."
    )
