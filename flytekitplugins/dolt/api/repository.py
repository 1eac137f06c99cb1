"""A repository as an object: what the functions of this package do with one, as methods."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..errors import InvalidConfig
from ..model.configs import Commit, DoltConfig
from ..model.location import refuses_passwords
from .table import DoltTable

if TYPE_CHECKING:
    import pandas as pd

    from ..history.diffs import TableDiff
    from ..history.lineages import Direction, Lineage, Step
    from ..history.merging import Check, Strategy
    from ..history.revisions import Revision
    from ..history.run_branches import RunBranch
    from ..history.tagging import Tag
    from ..model.configs import TableRef
    from ..model.provenance import Execution

_PLACE = ("secret", "read_from", "remote_conf")
"""The options of a config that belong to the repository, and not to a table of it."""


class Repository:
    """A Dolt repository: a folder, a database of a Dolt server, or a remote.

    It holds no connection: each method looks at the repository as it is then, and may be called from any thread.

    >>> Repository("foo").config("rabbits", as_of="v1")
    DoltConfig(db_path='foo', tablename='rabbits', as_of='v1')

    Args:
        db_path: the folder of a repository, the URL of a database of a Dolt server, or a config of any table there,
            which brings the server's secret, its replicas and the remote. What else the config says is left out.

    Raises:
        InvalidConfig: it is none of these, or the address has a password in it.
    """

    @refuses_passwords
    def __init__(self, db_path: str | os.PathLike[str] | DoltConfig) -> None:
        if not isinstance(db_path, (str, os.PathLike, DoltConfig)) or db_path == "":
            raise InvalidConfig(
                f"Cannot use {db_path!r} as a repository: give a folder, a server's URL, or a DoltConfig."
            )
        given = db_path if isinstance(db_path, DoltConfig) else DoltConfig(os.fspath(db_path))
        self._config = DoltConfig(given.db_path, **{name: getattr(given, name) for name in _PLACE})

    def __repr__(self) -> str:
        given = [
            f"{name}={getattr(self._config, name)!r}" for name in _PLACE if getattr(self._config, name) is not None
        ]
        return f"Repository({', '.join([repr(self._config.db_path), *given])})"

    def __eq__(self, other: object) -> bool:
        return self._config == other._config if isinstance(other, Repository) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._config.db_path)

    def config(self, tablename: str | None = None, **options: Any) -> DoltConfig:
        """Return a config of a table or query here, as `flytekitplugins.dolt.write` and task signatures take it.

        ``options`` are those of `DoltConfig`.

        Raises:
            TypeError: there is no option of that name.
        """
        return replace(self._config, tablename=tablename, **options)

    def table(self, name: str, **options: Any) -> DoltTable:
        """Return a table at the commit that it has now, or at that of ``as_of=``; its rows are fetched when asked for.

        ``options`` are those of `DoltConfig`.

        Raises:
            TypeError: there is no option of that name.
            BranchNotFound, RevisionNotFound: there is no such commit.
            TableNotFound: the table did not exist at ``as_of``; without that, ``.data`` says so.
        """
        from .scripts import pin

        return pin(self.config(name, **options))

    def log(self, revision: str | None = None, *, table: str | None = None, limit: int | None = None) -> list[Commit]:
        """Return the commits that lead to ``revision``, newest first; with ``table``, those that changed it.

        Args:
            revision: a branch, tag or hash; None is the checked-out branch.
            table: a table; None is all commits.
            limit: the most commits that are returned; None is all.

        Raises:
            RevisionNotFound: there is nothing of this name.
            ShallowClone: ``table`` is given, and the clone does not have all of its history.
        """
        from ..repository import refs, remotes

        return refs.log(remotes.location_of(self._config), revision, table=table, limit=limit)

    def branches(self) -> dict[str, str]:
        """Return the name of every branch and the hash of its head."""
        from ..repository import refs, remotes

        return refs.branches(remotes.location_of(self._config))

    def diff(
        self,
        before: TableRef | Commit | Revision | None,
        after: TableRef | Commit | Revision | None,
        *,
        table: str | None = None,
        limit: int | None = None,
    ) -> TableDiff:
        """Return what differs in ``table`` between two states; see `flytekitplugins.dolt.diff`.

        Where one of them is a table at a commit, as a version is, it need not be named.
        """
        from ..history import diffs

        return diffs.diff(before, after, table=table, db_path=self._config, limit=limit)

    def merge(
        self,
        branch: str,
        *,
        into: str | None = None,
        checks: Mapping[str, Check] | Sequence[Check] | Check = (),
        max_shift: Mapping[str, float] | None = None,
        max_missing: Mapping[str, float] | None = None,
        sample: int | None = None,
        message: str | None = None,
        strategy: Strategy | Mapping[str, Strategy] | None = None,
        resolve: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    ) -> Commit:
        """Merge ``branch`` into another if the checks pass; see `flytekitplugins.dolt.merge`."""
        from ..history import merging

        return merging.merge(
            branch,
            db_path=self._config,
            into=into,
            checks=checks,
            max_shift=max_shift,
            max_missing=max_missing,
            sample=sample,
            message=message,
            strategy=strategy,
            resolve=resolve,
        )

    def versions(self, table: str, *, last: int = 5) -> list[DoltTable]:
        """Return the newest versions of a table, newest first; see `flytekitplugins.dolt.versions`."""
        from . import versions

        return versions.versions(self.config(table), last=last)

    def versions_frame(self, table: str, *, last: int = 5) -> pd.DataFrame:
        """Return the newest versions of a table as a frame; see `flytekitplugins.dolt.versions_frame`."""
        from . import versions

        return versions.versions_frame(self.config(table), last=last)

    def first_appeared(self, table: str) -> Commit:
        """Return the first commit that has the table; see `flytekitplugins.dolt.first_appeared`."""
        from . import versions

        return versions.first_appeared(self.config(table))

    def restore(self, table: str, as_of: Revision | Commit | DoltTable, *, message: str | None = None) -> DoltTable:
        """Put a table back to what it was, as a new commit; see `flytekitplugins.dolt.restore`."""
        from . import versions

        return versions.restore(self.config(table), as_of, message=message)

    def tag(self, name: str, *, at: Revision = "HEAD", message: str = "") -> Tag:
        """Give a commit a name; see `flytekitplugins.dolt.tag`."""
        from ..history import tagging

        return tagging.tag(name, db_path=self._config, at=at, message=message)

    def tags(self) -> list[Tag]:
        """Return the tags, by name."""
        from ..history import tagging

        return tagging.tags(self._config)

    def delete_tag(self, name: str) -> Tag:
        """Remove a tag and return what it was; its commit stays.

        Raises:
            RevisionNotFound: there is no such tag.
        """
        from ..history import tagging

        return tagging.delete_tag(name, db_path=self._config)

    def run_branches(self, *, older_than: timedelta = timedelta(0), prefix: str = "run/") -> list[RunBranch]:
        """Return the branches of old runs, oldest first; see `flytekitplugins.dolt.run_branches`."""
        from ..history import run_branches

        return run_branches.run_branches(self._config, older_than=older_than, prefix=prefix)

    def delete_run_branches(self, *, older_than: timedelta, prefix: str = "run/") -> list[RunBranch]:
        """Delete the branches of old runs; see `flytekitplugins.dolt.delete_run_branches`."""
        from ..history import run_branches

        return run_branches.delete_run_branches(self._config, older_than=older_than, prefix=prefix)

    def lineage(
        self,
        commit: TableRef | Commit | str,
        *,
        direction: Direction = "both",
        repositories: Sequence[str | os.PathLike[str] | DoltConfig] = (),
        limit: int | None = None,
    ) -> Lineage:
        """Return what ``commit`` was made of and what was made of it; see `flytekitplugins.dolt.lineage`."""
        from ..history import lineages

        most = lineages.MAX_STEPS if limit is None else limit
        return lineages.lineage(
            commit, db_path=self._config, direction=direction, repositories=repositories, limit=most
        )

    def commits_of(self, execution_id: str) -> tuple[Step, ...]:
        """Return the commits that an execution made, oldest first; see `flytekitplugins.dolt.commits_of`."""
        from ..history import lineages

        return lineages.commits_of(execution_id, self._config)

    def execution_of(self, commit: TableRef | Commit | str) -> Execution | None:
        """Return the execution that made a commit or last changed a table; see `flytekitplugins.dolt.execution_of`."""
        from ..history import lineages

        return lineages.execution_of(commit, self._config)
