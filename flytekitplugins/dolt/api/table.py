"""Tables as values of a workflow: a config, the commit that holds the rows, and the rows once they are there.

A `DoltTable` is what users write and read. It knows where its rows come from (`frames`), so it stands above everything
that reads and writes; what is below takes configs and commits, and never asks a table for its rows. Rows are fetched
when `DoltTable.data` is first touched. What only the running task knows is asked of `runtime`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ...doltdb import redaction
from ...doltdb.fields import described
from ...doltdb.redaction import discreet
from ..errors import InvalidConfig, NotInTask
from ..model import location, runtime
from ..model.configs import PUBLIC_MODULE, Commit, DoltConfig, Pinned, TableRef, refuse_other_than_config
from ..model.naming import lowered
from ..model.serialization import check_nesting, from_fields

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pandas as pd
    from pyarrow import RecordBatchReader

    from ..model.runtime import Basis
    from ..profiles.columns import TableProfile

    Frame = pd.DataFrame

    class _Data:
        """What `DoltTable.data` is to type checkers: anything may be given, a frame is what a task reads."""

        def __get__(self, table: object, owner: object) -> Frame: ...
        def __set__(self, table: object, frame: Frame | None) -> None: ...

else:
    Frame = Any  # flytekit looks at the hints of a dataclass at run time, and pandas is not loaded for that

_V = TypeVar("_V", bound="TableRef")


class _Rows(TableRef):
    """What a table knows beyond its fields. Not hints of the dataclass: flytekit visits each of those by name."""

    if TYPE_CHECKING:
        _frame: Frame | None
        _assigned: bool
        _kept: Frame | bytes | None
        missing_keys: int | None
        rows_went: str | None
    else:
        missing_keys = rows_went = None

    # Whether it could not be given its commit as an input; it is tried again, and said why not, when rows are read.
    resolution_failed = False

    # Whether its data was stored, and was there already: its commit is then somebody else's.
    wrote_nothing = False


@described
@dataclass(repr=False, eq=False)
class DoltTable(_Rows):
    """A table or a query result as a value of a workflow.

    With data, it is written when a task returns it. Without, it is a query (or a whole table) that is resolved to a
    commit when a task takes it as input. Once `commit` is set the table is a reference to that very commit: its rows
    are fetched when `data` is first touched, and passing it on writes nothing unless the rows were changed.

    `missing_keys` is for the table that was just written with ``mode="delete"``: how many keys of the frame it did not
    have. `rows_went` is for any that was just written: which way its rows went, ``natively``, or ``by SQL`` and why.
    Neither travels, and each is None otherwise.

    The config is kept as a copy: what becomes of the one that was given changes nothing here. `config` may be assigned,
    which takes a copy, too.

    `data` gives the rows or raises. Of a table that has neither data nor a commit it reads them: inside a task as an
    input would be, at the commit that the task found first; outside one at the commit that its branch has now, which is
    the table's from then on. While Flyte compiles a workflow nothing is read.

    >>> DoltTable(config=DoltConfig(db_path="foo", tablename="rabbits"))
    DoltTable('rabbits' in 'foo', not read yet)
    """

    class Config(_Rows.Config):
        """What mashumaro is told: the config in short, because it would look at each field of it again and again."""

        json_schema: ClassVar[dict[str, Any]] = _Rows.Config.json_schema | {
            "properties": {
                "config": {
                    "type": "object",
                    "title": "DoltConfig",
                    "properties": {f.name: {} for f in dataclasses.fields(DoltConfig)},
                    "required": ["db_path"],
                }
            }
        }

    config: DoltConfig
    """Where the rows are, or go. Example: ``DoltTable(DoltConfig("foo", "rabbits"))``."""

    if TYPE_CHECKING:
        data: _Data = _Data()
        """The rows as a frame: those that are written, or, fetched when first touched, those that are stored. Example:
        ``DoltTable(DoltConfig("foo", "rabbits"), pd.DataFrame({"count": [1]}))``."""
    else:
        data: InitVar[Frame | None] = None  # no field: code that visits all fields of a dataclass would fetch the rows

        def __post_init__(self, data: Frame | None) -> None:
            refuse_other_than_config(self.config)
            self.data = data

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "config" or not isinstance(value, DoltConfig):
            super().__setattr__(name, value)
            return
        before = self.__dict__.get("config")
        # A table is a value: a config that is changed for the next one must not change it.
        super().__setattr__(name, value._copied())
        if before is not None and _target(before) != _target(value):  # its rows are in no commit of that table
            self._commit, self._assigned, self._kept = None, self._frame is not None, None

    @property
    def is_loaded(self) -> bool:
        """Whether `data` holds a frame in memory already."""
        return self._frame is not None

    @property
    def is_assigned(self) -> bool:
        """Whether `data` was given by the user and is not written yet."""
        return self._assigned

    def at(self, commit: Commit) -> DoltTable:
        """Return a reference to the same table or query at ``commit``, with nothing fetched yet."""
        table = DoltTable(config=self.config)
        table._commit = commit
        return table

    def iter(self, batch_rows: int = 65_536, *, columns: Sequence[str] | None = None) -> Iterator[Frame]:
        """Give the rows as frames of about ``batch_rows`` rows, without holding them all in memory.

        Args:
            batch_rows: rows per frame; the last one may have fewer, and an empty table gives one frame without rows.
            columns: the columns to read, in this order; None is all.

        Raises:
            InvalidConfig: the table is not resolved to a commit, or is a query (whose rows come by `data`).
            DoltError: one of the others, see `flytekitplugins.dolt.errors`.
        """
        return _scan(self, batch_rows, columns)

    def open(
        self, batch_rows: int = 65_536, *, columns: Sequence[str] | None = None
    ) -> AbstractContextManager[RecordBatchReader]:
        """Give the rows as a `pyarrow.RecordBatchReader` in the types of the table, for use in a ``with`` block.

        Nothing that was noted about the frame (categories, time zones, index) is restored: `iter` and `data` do that.

        Raises:
            InvalidConfig: the table is not resolved to a commit, or is a query (whose rows come by `data`).
        """
        return _open(self, batch_rows, columns)

    def written(self, commit: Commit) -> None:
        """Note that `data` is now stored in ``commit``; for the code that stored it."""
        self._commit, self._assigned, self.resolution_failed, self._kept = (
            commit,
            False,
            False,
            kept_of(self._frame, self.config),
        )

    def holds(self, frame: Frame, kept: Frame | bytes | None) -> None:
        """Note that ``frame`` is what was fetched at the commit; ``kept`` is what `kept_of` said then."""
        self._frame, self._kept = frame, kept

    def to_dict(self) -> dict[str, Any]:
        """Return config and commit as plain values; never the rows.

        Raises:
            InvalidConfig: the table has data that no commit holds, which would be lost.
        """
        if self._assigned:
            raise InvalidConfig(
                f"Cannot turn {self!r} into a reference: its data is in no commit yet. Return the table itself from "
                "the task (not inside another value), or store it first with flytekitplugins.dolt.write(config, frame)."
            )
        reference = {"config": self.config.to_dict()}
        if self._commit is not None:
            reference["commit"] = {"hash": self._commit.hash}
            if self._commit.branch is not None:
                reference["commit"]["branch"] = self._commit.branch
        return reference

    @classmethod
    @discreet
    def from_dict(cls: type[_V], d: Mapping[str, Any]) -> _V:
        """Return the table that ``d`` refers to, with nothing fetched yet.

        Raises:
            InvalidConfig: ``d`` is no reference to a table.
        """
        check_nesting(cls, d)
        if not isinstance(d, Mapping) or not isinstance(d.get("config"), Mapping):
            raise InvalidConfig(
                f"Cannot read {redaction.shown(d)!r} as a DoltTable: it has no 'config'. Pass what to_dict() returned."
            )
        table = DoltTable(config=DoltConfig.from_dict(d["config"]))
        if d.get("commit"):
            table._commit = from_fields(Commit, d["commit"])
        return table  # type: ignore[return-value]

    def _serialize(self) -> dict[str, Any]:
        runtime.current()  # raises where flytekit does not know of tables, and takes them for any dataclass
        if not self._assigned and has_unsaved_rows(runtime.current().as_read(self)):
            raise InvalidConfig(
                f"Cannot turn {self!r} into a reference: its rows were changed in memory, and no commit holds that. "
                "Return the table itself from the task (not inside another value), or store the rows first with "
                "flytekitplugins.dolt.write(table.config, table.data)."
            )
        return self.to_dict()

    @classmethod
    @discreet
    def _deserialize(cls: type[_V], value: Any) -> _V:
        return runtime.current().resolve_nested(DoltTable.from_dict(value))  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        # On one of its paths flytekit remembers literals by the pickled value, and a write must not be skipped for
        # that: of a table with data that is not written yet, no two pickles are the same.
        state = {**self.__dict__, "_kept": None}
        if runtime.travelling.get():
            self._serialize()  # refuses what no commit holds
            state["_frame"] = None
        return {**state, "_pickle": uuid.uuid4().hex} if self._assigned else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "_pickle"})

    def __repr__(self) -> str:
        shown = redaction.shown(self.config.sql)
        what = repr(self.config.tablename) if shown is None else f"query {shown!r}"
        state = f"at {self._commit}" if self._commit else "not read yet" if self._frame is None else "not written yet"
        return f"DoltTable({what} in {location.without_password(str(self.config.db_path))!r}, {state})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table, and its first rows where they are in memory; nothing is read."""
        from ..model import notebooks

        frame: Any = self._frame
        pandas: Any = sys.modules.get("pandas")
        if pandas is not None and isinstance(frame, pandas.DataFrame):
            return notebooks.block(repr(self), notebooks.table(frame))
        return notebooks.block(repr(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DoltTable):
            return NotImplemented
        if (self.config, self._commit, self._assigned) != (other.config, other._commit, other._assigned):
            return False
        mine, theirs = self._frame, other._frame
        return not self._assigned or mine is theirs or (mine is not None and theirs is not None and mine.equals(theirs))

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dataclass with eq is


def _target(config: DoltConfig) -> tuple[object, ...]:
    return str(config.db_path), config.remote_conf, lowered(config.tablename or ""), config.sql


def _get_data(self: DoltTable) -> Frame | None:
    if self._frame is not None:
        return self._frame
    _refuse_while_compiling(self)
    if self._commit is None and not self.resolution_failed:
        # A task's own code may share this table with other runs, as the default of an input, so it is not pinned.
        found = runtime.current().resolve_in_task(self)
        return found.data if found is not None else _read_now(self)
    self._frame = fetch(self)
    self._kept = kept_of(self._frame, self.config)
    return self._frame


def _read_now(self: DoltTable) -> Frame:
    with runtime.current().retryable():
        found = resolve(self)
    frame = fetch(found)  # before the table is pinned: where there is nothing to read yet, there may be later
    self.config, self._commit, self._frame = found.config, found.commit, frame
    self._kept = kept_of(self._frame, self.config)
    return frame


def _refuse_while_compiling(table: DoltTable) -> None:
    if runtime.current().is_compiling():
        raise NotInTask(
            f"Cannot read {table!r}: Flyte is compiling a workflow, whose body runs before any task does. Pass the "
            "table to a task, and read it there."
        )


def _set_data(self: DoltTable, frame: Frame | None) -> None:
    if frame is None or frame is not self.__dict__.get("_frame"):
        self._frame, self._commit, self._assigned, self.resolution_failed = frame, None, frame is not None, False
        self._kept, self.missing_keys, self.rows_went = None, None, None


# A property under the name of what a dataclass is made with: it keeps its place and default in the signature, and rows
# are fetched only when somebody looks at them. Without the hint, because flytekit looks at everything that has one.
del DoltTable.__annotations__["data"]
DoltTable.data = property(_get_data, _set_data, doc="The rows as a frame; fetched when first touched.")  # type: ignore[assignment]
DoltTable.__annotations__ = {"config": DoltConfig}  # a hint in words would be looked for in the public module
DoltTable.__module__ = PUBLIC_MODULE


# --------------------------------------------------------------------------------------------------------------- rows


def resolve(table: DoltTable) -> DoltTable:
    """Return the table as a reference to one commit, by `frames.resolve`; one that has a commit stays as it is."""
    if table.commit is not None:
        return table
    from . import frames

    found = frames.resolve(table.config)
    runtime.current().note_resolved(found.config, found.commit)
    pinned_to = DoltTable(config=found.config)
    pinned_to._commit = found.commit
    return pinned_to


def store(table: DoltTable, *, message: str, key: str | None = None, basis: Basis | None = None) -> DoltTable:
    """Commit the table's data and note the commit on it; the same table is returned. See `frames.commit_table`."""
    from . import frames

    table.config.check()
    frame = table.data if table.is_loaded else None
    if frame is None:
        raise InvalidConfig(f"Cannot store {table!r}: it has no data. Give it a frame.")
    stored = frames.commit_table(table.config, frame, message=message, key=key, basis=basis)
    if stored.config.tablename != table.config.tablename:
        table.config = stored.config
    table.written(stored.result.commit)
    table.wrote_nothing, table.missing_keys = not stored.result.changed, stored.missing
    table.rows_went = stored.rows_went
    return table


def pinned(table: DoltTable) -> Pinned:
    """Return what is read of a table at its commit.

    Raises:
        InvalidConfig: it has none.
    """
    table.config.check()
    if table.commit is None:
        raise InvalidConfig(f"Cannot fetch {table!r}: it is not resolved to a commit. Use read(config).")
    return Pinned(table.config, table.commit)


def fetch(table: DoltTable) -> Frame:
    """Return the rows of a table at its commit, and note that the running task has read them."""
    from . import frames

    _resolve_postponed(table)
    with runtime.current().retryable():
        frame = frames.fetch(pinned(table))
    _note_read(table)
    return frame


def profile(table: DoltTable, *, columns: Sequence[str] | None, sample: int | None, seed: int) -> TableProfile:
    """Return what the columns of a table hold at its commit, and note that the running task has read it."""
    from . import frames

    _resolve_postponed(table)
    with runtime.current().retryable():
        found = frames.profile(pinned(table), columns=columns, sample=sample, seed=seed)
    _note_read(table)
    return found


def has_unsaved_rows(table: DoltTable) -> bool:
    """Whether memory holds rows of the table that no commit does."""
    if table.is_assigned or not table.is_loaded or table.commit is None:
        return table.is_assigned
    if _is_as_fetched(table):
        return False
    from . import frames

    return frames.has_unsaved_rows(pinned(table), table.data)


def _is_as_fetched(table: DoltTable) -> bool:
    """Whether the rows in memory are known to be those that were fetched or stored; False is "not known"."""
    kept, frame = table._kept, table._frame
    if kept is None or frame is None:
        return False
    return kept == fingerprint(frame) if isinstance(kept, bytes) else kept.equals(frame)


def kept_of(frame: Frame | None, config: DoltConfig) -> Frame | bytes | None:
    """Return what a frame is compared with later to see whether it was changed; None where the rows are read again.

    It is a copy that shares all values until somebody changes one, which pandas does from version 3 on. Objects could
    be changed from within: of a query, which may give other rows when it is run again, it is a fingerprint then.
    """
    pandas: Any = sys.modules.get("pandas")
    if frame is None or pandas is None or not isinstance(frame, pandas.DataFrame):
        return None
    if int(pandas.__version__.split(".")[0]) >= 3 and not any(str(dtype) == "object" for dtype in frame.dtypes):
        shared: Frame = frame.copy(deep=False)
        return shared
    return fingerprint(frame) if config.sql is not None else None


def fingerprint(frame: Frame) -> bytes:
    """Return what stays the same as long as nobody changes the frame or an object in it."""
    digest = hashlib.sha256()
    parts: list[Any] = [frame.columns, frame.index, *(frame.iloc[:, number] for number in range(frame.shape[1]))]
    for part in parts:
        digest.update(pickle.dumps((part.array, part.name, str(part.dtype)), protocol=5))
    return digest.digest()


def _scan(table: DoltTable, batch_rows: int, columns: Sequence[str] | None) -> Iterator[Frame]:
    from . import frames

    _refuse_while_compiling(table)
    _resolve_postponed(table)
    _note_read(table, columns)
    return _retryable(frames.iter_frames(pinned(table), batch_rows=batch_rows, columns=columns))


def _retryable(parts: Iterator[Frame]) -> Iterator[Frame]:
    with runtime.current().retryable():
        yield from parts


@contextmanager
def _open(table: DoltTable, batch_rows: int, columns: Sequence[str] | None) -> Iterator[RecordBatchReader]:
    from . import frames

    _refuse_while_compiling(table)
    _resolve_postponed(table)
    _note_read(table, columns)
    with (
        runtime.current().retryable(),
        frames.open_reader(pinned(table), batch_rows=batch_rows, columns=columns) as reader,
    ):
        yield reader


def _resolve_postponed(table: DoltTable) -> None:
    if table.resolution_failed:
        with runtime.current().retryable():
            found = resolve(table)
        table.config = found.config
        table.written(found.commit)  # type: ignore[arg-type]  # that is what resolve gives


def _note_read(table: DoltTable, columns: Sequence[str] | None = None) -> None:
    if table.commit is not None:
        runtime.current().note_read(table.config, table.commit, columns=columns)
