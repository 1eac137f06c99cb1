"""What differs between a repository in a folder of this machine and one behind a server that somebody else runs.

`host` is the only place that tells the two apart; all others ask the `Host` that it returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from ..errors import RepositoryNotFound, ServerFailed, attempted, close_names
from ..model.location import Location, ServerLocation, Tls
from ..server import binary, local_server

DEFAULT_AUTHOR = "Flyte <flyte@localhost>"
"""Author of a commit where the user has told Dolt no name and email."""


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, and how to log in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Tls | None = None
    shares_files: bool = False
    """Whether the server is on this machine for sure, so that it may load files from here."""

    server: local_server.Address | None = None
    """The process that listens there, in a folder of this machine."""

    repository: Path | None = None
    """That folder."""

    others: tuple[str, ...] = field(default=(), repr=False)
    """Passwords with which the server itself logs in elsewhere."""

    @property
    def is_proved(self) -> bool:
        """Whether it is known without asking that this is who was meant: by the kernel, or by how one gets there."""
        return self.server is None or self.server.folder is not None

    def log_size(self) -> int:
        """Return how much a private server has logged; 0 where it is none."""
        folder = self._files
        return 0 if folder is None else local_server.log_size(folder)

    def panic_since(self, logged: int) -> local_server.Panic | None:
        """Return what a private server has logged about a panic since `log_size` was that."""
        folder = self._files
        if folder is None or self.repository is None:
            return None
        return local_server.panic_since(self.repository, folder, logged)

    @cached_property
    def _files(self) -> Path | None:
        folder = self.server.folder if self.server is not None else None
        return None if folder is None else folder / "data"

    @property
    def has_a_secret(self) -> bool:
        """Whether the password is somebody's own, and good for more than this very run of the server."""
        return bool(self.password) and not self.shares_files

    @property
    def passwords(self) -> tuple[str, ...]:
        """What a server may repeat and nobody may see."""
        return (self.password, *self.others)


class Host(Protocol):
    """Who serves a repository."""

    @property
    def replicas(self) -> Sequence[ServerLocation]:
        """Servers with copies of the repository, which may lag behind."""

    def reached(self) -> AbstractContextManager[Endpoint]:
        """Give where the server listens; it runs inside the block, if that is in our hands."""

    def is_still(self, endpoint: Endpoint) -> bool:
        """Whether what is proved of an endpoint is so at this moment: that of a session that was just logged in."""

    def patience_s(self, asked: float) -> float:
        """Return for how many of the seconds ``asked`` for a server that does not answer is tried again."""

    def database(self, served: Sequence[str]) -> str:
        """Return which of the databases that a server has is the repository.

        Raises:
            RepositoryNotFound, ServerFailed: none of them is.
        """

    def author(self) -> str:
        """Return the author of what is made here: the repository's or the user's Dolt identity, if there is one."""

    def on_release(self, close: Callable[[], None]) -> None:
        """Call ``close`` when this process lets go of the server."""

    def release(self) -> None:
        """Let go of the server."""

    def replace(self) -> None:
        """Let go of a server whose disk was full: Dolt 1.83 says so after there is space again; the next does not."""


def host(location: Location) -> Host:
    """Return who serves the repository at a location."""
    return _Server(location) if isinstance(location, ServerLocation) else _Folder(location)


def author_of(location: Location) -> str:
    """Return the author of what is made in a repository; see `Host.author`."""
    return host(location).author()


_last_found: dict[Path, Endpoint] = {}
"""The endpoint of the server that a folder had last."""


@dataclass(frozen=True)
class _Folder:
    """A folder of this machine, with a server of this package's own."""

    path: Path

    @property
    def replicas(self) -> Sequence[ServerLocation]:
        return ()

    @contextmanager
    def reached(self) -> Iterator[Endpoint]:
        with local_server.using(self.path) as found:
            yield self._endpoint(found, local_server.passwords(self.path))

    def _endpoint(self, found: local_server.Address, others: tuple[str, ...]) -> Endpoint:
        """Return the same object for the same server, which makes it cheap to compare and to look up."""
        last = _last_found.get(self.path)
        if last is None or last.server is not found or last.others != others:
            last = _last_found[self.path] = Endpoint(
                found.host,
                found.port,
                found.user,
                found.password,
                shares_files=True,
                server=found,
                repository=self.path,
                others=others,
            )
        return last

    def is_still(self, endpoint: Endpoint) -> bool:
        return endpoint.server is not None and local_server.is_served_by(self.path, endpoint.server)

    def patience_s(self, asked: float) -> float:
        return 0  # it was just started

    def database(self, served: Sequence[str]) -> str:
        folder = self.path.name
        if list(served) in ([], [""], [folder]) and (
            re.search("[:@]", folder) or folder in ("information_schema", "mysql")
        ):
            raise ServerFailed(
                f"Cannot {attempted()}: Dolt names the database for the folder, and a database called {folder!r} "
                "cannot be reached. Give the repository's folder a name without ':' and '@' that is not 'mysql' or "
                "'information_schema'.",
                path=self.path,
            )
        for name in (folder, folder.replace("-", "_")):
            if name in served:
                return name
        if len(served) == 1:
            return str(served[0])
        raise ServerFailed(
            f"Cannot {attempted()}: it serves the databases {', '.join(map(repr, served)) or 'none'}, and none of them "
            f"is {folder!r}. Start it in the repository's own folder."
        )

    def author(self) -> str:
        return binary.identity(self.path) or DEFAULT_AUTHOR

    def on_release(self, close: Callable[[], None]) -> None:
        local_server.on_release(self.path, close)

    def release(self) -> None:
        local_server.release(self.path)

    def replace(self) -> None:
        local_server.replace(self.path)


@dataclass(frozen=True)
class _Server:
    """A server that somebody else starts and stops."""

    location: ServerLocation

    @property
    def replicas(self) -> Sequence[ServerLocation]:
        return self.location.replicas

    @contextmanager
    def reached(self) -> Iterator[Endpoint]:
        found = self.location
        yield Endpoint(found.host, found.port, found.user, found.password, found.tls)

    def is_still(self, endpoint: Endpoint) -> bool:
        return True  # who it is was proved when it was logged in to, as far as the URL asks for that

    def patience_s(self, asked: float) -> float:
        return asked

    def database(self, served: Sequence[str]) -> str:
        name = self.location.database
        if name in served:
            return name
        raise RepositoryNotFound(
            f"Cannot open the database {name!r} of {str(self.location)!r}: this user sees "
            f"{', '.join(map(repr, sorted(served))) or 'none'} there.{close_names(name, served)} Make it with CREATE "
            "DATABASE, or check the URL and the user's rights.",
            path=self.location,
        )

    def author(self) -> str:
        return binary.identity(None) or DEFAULT_AUTHOR

    def on_release(self, close: Callable[[], None]) -> None:
        """Do nothing: it is never let go of."""

    def release(self) -> None:
        """Do nothing: somebody else stops it."""

    def replace(self) -> None:
        """Do nothing: those who run it have to."""
