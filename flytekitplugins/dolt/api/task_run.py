"""One run of one task: what it has read and written, and how its commits and its writes are named.

The borders to platforms keep one for each run of a task, and ask it for the trailers of a commit. It knows no platform,
looks at no rows and asks no server. Cheap to import, because ``import flytekit`` does so.
"""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..errors import QueryRefused
from ..model.runtime import RowsRead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..model.configs import Commit, DoltConfig
    from ..model.provenance import Consumed, Execution, ReadRecord

_DISTRIBUTION = "flytekitplugins-doltdb"


class TaskRun:
    """One run of one task in this process: numbers its writes, notes its reads, and is its identity locally."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        now = datetime.now(timezone.utc)
        self.began = now.replace(microsecond=now.microsecond // 1000 * 1000)  # Dolt keeps milliseconds of a commit
        self._lock = threading.Lock()
        self._writes: dict[str, int] = {}
        self._reads: dict[ReadRecord, None] = {}
        self._consumed: dict[tuple[str, str], dict[Consumed, None]] = {}
        self._resolved: set[tuple[str, str]] = set()
        self._rows: dict[tuple[str, str], dict[RowsRead, None]] = {}
        self._written: set[str] = set()

    def note_read(self, config: DoltConfig, commit: Commit) -> None:
        """Remember for the commits of the task that it has read ``config`` at ``commit``."""
        self.note(_reads(config, commit.hash))
        self.consume(config, commit.hash)

    def note_rows(self, config: DoltConfig, commit: Commit, columns: Sequence[str] | None) -> None:
        """Remember that the task has rows of ``config`` at ``commit``; those of the past are no branch's own."""
        if config.as_of is not None or (config.changes and config.changes.until):
            return
        is_whole = not (columns or config.sql or config.changes or config.options().get("columns"))
        self.take_rows(config, _tables(config), commit, is_whole=is_whole)

    def note_resolved(self, config: DoltConfig, commit: Commit) -> None:
        """Remember that the branch of ``config`` was at ``commit`` after the task began."""
        if config.as_of is None:
            self.resolve(config, commit.hash)

    def ordinal(self, target: str) -> int:
        """Return how many writes to ``target`` there were before this one."""
        with self._lock:
            number = self._writes.get(target, 0)
            self._writes[target] = number + 1
            return number

    def note(self, reads: list[ReadRecord]) -> None:
        """Remember what was read; again and again is once."""
        with self._lock:
            self._reads.update(dict.fromkeys(reads))

    def consume(self, config: DoltConfig, commit: str) -> None:
        """Remember that changes up to ``commit`` go into a table, if the config says into which."""
        from ..model import provenance

        if config.changes is not None and config.changes.into is not None:
            into = config.changes.into
            with self._lock:
                lines = self._consumed.setdefault(_target(into), {})
                lines[provenance.consumed_by(into, config, commit)] = None

    def consumed(self, config: DoltConfig) -> tuple[Consumed, ...]:
        """Return what was consumed to be written with ``config``."""
        with self._lock:
            return tuple(self._consumed.get(_target(config), {}))

    def resolve(self, config: DoltConfig, commit: str) -> None:
        """Remember that a branch was at ``commit`` after the task began."""
        from ..model import provenance

        with self._lock:
            self._resolved.add((provenance.address_of(config), commit))

    def take_rows(self, config: DoltConfig, tables: Iterable[str], commit: Commit, *, is_whole: bool) -> None:
        """Remember that the task has rows of ``tables`` as a branch had them at ``commit``."""
        from ..model import naming, provenance

        place = provenance.address_of(config)
        with self._lock:
            since = None if (place, commit.hash) in self._resolved else self.began
            read = RowsRead(commit.hash, commit.branch, is_whole, since)
            for table in tables:
                self._rows.setdefault((place, naming.lowered(table)), {})[read] = None

    def rows(self, config: DoltConfig) -> tuple[RowsRead, ...]:
        """Return what the task has of the table that ``config`` names."""
        with self._lock:
            return tuple(self._rows.get(_target(config), {}))

    def wrote(self, commit: str) -> None:
        """Remember a commit that the task made."""
        with self._lock:
            self._written.add(commit)

    def written(self) -> frozenset[str]:
        """Return the commits that the task has made until now."""
        with self._lock:
            return frozenset(self._written)

    def reads(self, here: str) -> tuple[ReadRecord, ...]:
        """Return what was read until now, with the repository ``here`` under its short name."""
        from ..model import provenance

        with self._lock:
            found = list(self._reads)
        return tuple(replace(read, repository=provenance.HERE) if read.repository == here else read for read in found)


def _target(config: DoltConfig) -> tuple[str, str]:
    """Return what is the same for all configs of one table, however its name is spelt."""
    from ..model import naming, provenance

    return provenance.address_of(config), naming.lowered(config.tablename or "")


def plugin() -> str | None:
    """Return name and version of this distribution; None where it is run from its sources."""
    try:
        return f"{_DISTRIBUTION} {metadata.version(_DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        return None


def _tables(config: DoltConfig) -> list[str]:
    """Return the tables that ``config`` reads as its branch has them."""
    if config.sql is None:
        return [str(config.tablename)]
    return [read.table for read in _reads(config, "") if read.table is not None and not read.commit]


def _reads(config: DoltConfig, commit: str) -> list[ReadRecord]:
    """Return what reading ``config`` at ``commit`` reads: its table, or the tables that its query names."""
    from ..model import provenance

    place = provenance.address_of(config)
    if config.sql is None:
        return [provenance.ReadRecord(commit, place, table=config.tablename)]
    from ..query import validation  # loads a parser

    query = provenance.digest(config.sql)
    try:
        sources = validation.sources(config.sql)
    except QueryRefused:
        sources = ()
    reads = [
        provenance.ReadRecord(source.commit or commit, place, table=source.table, query=query) for source in sources
    ]
    return reads or [provenance.ReadRecord(commit, place, query=query)]


def message(
    execution: Execution,
    config: DoltConfig,
    *,
    run: TaskRun | None,
    inputs: Mapping[str, Any] | None,
    first: str | None = None,
    write_key: str | None = None,
) -> str:
    """Return the commit message: one line for people, then Git-style trailers with all that is known for sure.

    ``run`` is None where no task runs, and so are its ``inputs``, which the config's own message may name.
    """
    from ..model import messages, provenance

    mode = config.options().get("mode", "replace")
    return provenance.compose(
        first,
        provenance.Provenance(
            execution=execution,
            writes=(provenance.WriteRecord(config.tablename, mode),) if config.tablename else (),
            reads=run.reads(provenance.address_of(config)) if run is not None else (),
            write_key=write_key,
            consumed=run.consumed(config) if run is not None else (),
        ),
        why=messages.rendered(config.message, inputs) if config.message else None,
    )


def write_key(run: TaskRun, config: DoltConfig, *, place: str, part: str = "") -> str:
    """Return what is the same for every attempt of this very write, and different for every other write.

    To be asked once for each write: the second one to the same target has another key. ``place`` names what is
    attempted, and ``part`` tells apart writes to one target whose order is not always the same.
    """
    branch = config.policy.to_dict() if config.policy is not None else ""
    target = f"{config.tablename}@{branch}@{os.fspath(config.db_path)}{part}"
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{place} {target} {run.ordinal(target)}").hex
