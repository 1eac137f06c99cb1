"""What is obeyed of a value that only arrived: where passwords go, how they are protected, which functions are called.

A literal, JSON text or ``dolt://`` address can name any host, secret and function, and anybody who starts an execution
can write one. So the texts in it that name a place or a function are `Arrived`, and stay that wherever the value is
copied to; what the program's own code writes is plain text. What a plain text names is remembered, because a config
that the code has built comes back from Flyte as a value that arrived. `schema` marks and names, `credentials` and
`repository` ask before a password is read or a server is reached, `observers` before anything is told. No I/O.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from ...doltdb.patterns import pattern
from ..errors import InvalidConfig, UntrustedInput
from . import location

if TYPE_CHECKING:
    from ..schema import DoltConfig, Secret

TRUSTED_HOSTS = "FLYTE_DOLT_TRUSTED_HOSTS"
"""The variable with patterns of hosts, each with or without a port, to which passwords may be sent."""

_F = TypeVar("_F", bound=Callable[..., Any])

_MARKED = ("db_path", "fn", "read_from", "url")
"""The fields, of whichever class, whose texts name a place or a function."""

# Nothing that Python's and Go's readers of URLs, or the resolver behind them, could understand in two ways.
_HOST = pattern(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Arrived(str):
    """A text that came from outside of the program. It is equal to, and shown as, the plain text."""

    __slots__ = ()


def arrived(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a value that is read from text, with what names a place or a function marked."""
    return {name: _marked(value) if name in _MARKED else value for name, value in fields.items()}


def _marked(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_marked(each) for each in value]
    return Arrived(value) if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """Return the value of a field without the mark, as it is written into a literal."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Arrived) else value


# ------------------------------------------------------------------------------------------------------------- places


class Target(NamedTuple):
    """Where a password may be sent: what names it, and what that means."""

    text: str
    host: str
    port: int
    protection: str
    """How others on the way are kept out, where that is not by TLS with a certificate that this machine trusts."""

    is_server: bool
    """Whether a server is logged in to, which gets the answer to a challenge; a remote gets the password itself."""

    @property
    def address(self) -> str:
        """The place as it is compared and shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        return location.is_loopback(self.host)


def servers(db_path: str | os.PathLike[str], read_from: Sequence[str] = ()) -> list[Target]:
    """Return the server that a URL names, and its replicas; none if it is a folder.

    Raises:
        InvalidConfig: it is no URL of a server.
    """
    if not isinstance(db_path, str) or not location.is_url(db_path):
        return []
    primary = location.server(db_path, read_from=read_from)
    named = zip((db_path, *read_from), (primary, *primary.replicas), strict=True)
    return [Target(text, each.host.lower(), each.port, _protection(each.tls), is_server=True) for text, each in named]


def _protection(tls: location.Tls | None) -> str:
    """Return nothing for the default, so that whose certificates count is not for a value that arrives to say."""
    return "" if tls == location.Tls() else repr(tls)


def remote(url: str) -> list[Target]:
    """Return the host that the URL of a remote names; none if it names a folder."""
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        return []
    host, port = location.without_password(url), 0  # what is no plain URL is only what it is
    try:
        split = urlsplit(url)
        if split.hostname and "\\" not in url:
            host, port = split.hostname, split.port or _DEFAULT_PORTS.get(scheme, 0)
    except ValueError:
        pass
    return [Target(url, host.lower(), port, "http" if scheme == "http" else "", is_server=False)]


# --------------------------------------------------------------------------------------------- what the code has named


class _Named:
    """What this program's own code has named until now. It only grows, and only code adds to it."""

    def __init__(self) -> None:
        self.places: set[str] = set()
        self.protections: set[tuple[str, str]] = set()
        self.functions: dict[str, Any] = {}
        self.homes: dict[Secret, frozenset[str]] = {}

    def add(self, targets: Iterable[Target]) -> None:
        for target in targets:
            self.places.add(target.address)
            self.protections.add((target.address, target.protection))


_named = _Named()


def name_server(db_path: Any, read_from: Any = None) -> None:
    """Remember the servers that a config names in texts of the code's own."""
    _named.add(target for target in _servers(db_path, read_from) if not isinstance(target.text, Arrived))


def _servers(db_path: Any, read_from: Any) -> list[Target]:
    texts = [db_path, *read_from] if isinstance(read_from, (list, tuple)) else [db_path]
    try:
        return servers(texts[0], texts[1:]) if all(isinstance(text, str) for text in texts) else []
    except InvalidConfig:
        return []  # what is wrong is said when the config is used


def name_remote(url: str) -> None:
    """Remember the host that a remote names in a text of the code's own."""
    _named.add(remote(url) if not isinstance(url, Arrived) else [])


def name_function(fn: Any) -> None:
    """Remember the function that the code gives, or whose place it writes."""
    if isinstance(fn, Arrived):
        return
    place = fn if isinstance(fn, str) else place_of(fn)
    if isinstance(fn, str):
        _named.functions.setdefault(place, None)  # imported when it is called
    elif "<" not in place:
        _named.functions[place] = fn


def vouch(config: DoltConfig) -> list[Target]:
    """Remember, and return, the places of a config that the code itself hands over: it may be from the code's files."""
    found = _servers(config.db_path, config.read_from)
    found += remote(config.remote_conf.url) if config.remote_conf is not None else []
    _named.add(found)
    return found


def bind(secret: Secret, targets: Iterable[Target]) -> None:
    """Remember that a secret is requested for these places."""
    _named.homes[secret] = _named.homes.get(secret, frozenset()) | {target.address for target in targets}


# ---------------------------------------------------------------------------------------------------------- functions


def allow_callbacks(fn: _F, *others: Callable[..., Any]) -> _F:
    """Let values that arrive name these functions in a `CallbackMeta`; return the first, so that it can decorate.

    It belongs into the module of the task, at its top level, where it runs before any input is read. A function that
    the code gives to a `CallbackMeta` there is allowed by that.

    >>> def noted(entry):
    ...     print(entry["kind"], entry["tablename"])
    >>> allow_callbacks(noted) is noted
    True

    Raises:
        InvalidConfig: it is no function that another process could find by its name, as a lambda is none.
    """
    for each in (fn, *others):
        if not callable(each) or "<" in place_of(each):
            raise InvalidConfig(f"Cannot allow {each!r} to be called: it is no function of a module. Give one that is.")
        name_function(each)
    return fn


def place_of(fn: Any) -> str:
    """Return what names a function for others, ``module:name``; with a ``<`` in it if they cannot find it by that."""
    return f"{getattr(fn, '__module__', None) or '<'}:{getattr(fn, '__qualname__', '<')}"


def function(place: Arrived) -> Any:
    """Return the function that a text which arrived names; None if the code has written that very text.

    Raises:
        UntrustedInput: the code has not named it. Nothing is imported to find out.
    """
    if place not in _named.functions:
        name = str(place).rpartition(":")[2]
        raise UntrustedInput(
            f"Cannot call {str(place)!r}: a value that arrived names it, and this task's code does not allow that. "
            f"If it is to be told of loads and saves, put allow_callbacks({name}) of flytekitplugins.dolt into the "
            "task's module, or leave meta_conf out of the value.",
            function=str(place),
        )
    return _named.functions[place]


# ---------------------------------------------------------------------------------------------------------- passwords


def check_protected(targets: Iterable[Target]) -> None:
    """Raise if a value that arrived says how a host elsewhere is protected, unless the code says just that, too.

    On this machine a server may be reached in any way, and a remote, which gets the password itself, may not.

    Raises:
        UntrustedInput: it has ``ssl_disabled``, ``ssl_verify_identity=false``, certificates of its own, or ``http://``.
    """
    for target in targets:
        is_told = target.protection and isinstance(target.text, Arrived)
        is_harmless = target.is_here and target.is_server
        if is_told and not is_harmless and (target.address, target.protection) not in _named.protections:
            raise UntrustedInput(
                f"Cannot connect to {target.address!r} without verified TLS: a value that arrived asks for that, or "
                "chooses the certificates, and only the task's own code may. Leave http:// and the options that begin "
                "with ssl_ out of the value, or build a config or Remote with them in the task's module.",
                place=target.address,
            )


def check_login(
    secret: Secret | None, targets: Iterable[Target], *, requested: Callable[[], Sequence[Secret] | None]
) -> None:
    """Raise if a value that arrived would send a password to a place that nobody but itself names.

    ``secret`` is None for a password of the environment, and ``requested`` says which secrets the running task asks
    for, and is called only where nobody names the place. A request that was made for a place holds for that place, and
    for a stand-in of it on this machine. Where no task runs it says None: a script which reads a config from a text,
    and connects, has decided that itself, unless the setting is made.

    Raises:
        UntrustedInput: the place is in no config of the code's, fits no pattern of the setting, and is not one for
            which the task requests this secret.
    """
    for target in targets:
        if isinstance(target.text, Arrived) and not _is_named(target):
            requests = requested()
            asked_for = secret in (requests or ())
            if any(_patterns()) or not (requests is None or (asked_for and _is_requested_for(secret, target))):
                raise _untrusted(secret, target, asked_for=asked_for)


def _is_named(target: Target) -> bool:
    if target.address in _named.places:
        return True
    if not _HOST.fullmatch(target.host):
        return False
    names = (target.host, f"{target.host}:{target.port}")
    return any(fnmatchcase(name, pattern) for name in names for pattern in _patterns())


def _patterns() -> list[str]:
    return re.split(r"[,\s]+", os.environ.get(TRUSTED_HOSTS, "").strip().lower())


def _is_requested_for(secret: Secret | None, target: Target) -> bool:
    homes = _homes(secret)
    # Who has named only servers elsewhere runs against a copy on this machine; who has named one here means that one.
    is_copy = target.is_here and target.is_server and not any(_is_here(home) for home in homes)
    return not homes or is_copy


def _homes(secret: Secret | None) -> frozenset[str]:
    return _named.homes.get(secret, frozenset()) if secret is not None else frozenset()


def _is_here(address: str) -> bool:
    return location.is_loopback(address.rpartition(":")[0].strip("[]"))


def _untrusted(secret: Secret | None, target: Target, *, asked_for: bool) -> UntrustedInput:
    what = "the password in DOLT_REMOTE_PASSWORD"
    found = f"a value that arrived names that place, and neither the task's code nor {TRUSTED_HOSTS} does"
    way = ""
    if secret is not None:
        what = f"the secret with group {secret.group!r} and key {secret.key!r}"
        way = ", request the secret with @task(secret_requests=secret_requests(config))"
        homes = ", ".join(map(repr, sorted(_homes(secret)))) or "places that the setting names"
        found += f"; the task requests it for {homes}" if asked_for else ", nor does the task request it"
    return UntrustedInput(
        f"Cannot send {what} to {target.address!r}: {found}. If that place is right, build a config for it in the "
        f"task's module{way}, or set {TRUSTED_HOSTS} to a pattern like {target.host!r}.",
        place=target.address,
        secret=secret,
    )
