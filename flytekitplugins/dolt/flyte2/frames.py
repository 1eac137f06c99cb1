"""Plain frames, and Flyte 2's `flyte.io.DataFrame`, as tables in Dolt: by annotation, or by a ``dolt://`` address.

Flyte 2 stores a frame as Parquet wherever nobody says otherwise. A frame that it has read from Dolt, and that is handed
on as it is, travels as the reference that it came by. The libraries of frames are met when they are there, and so is
Flyte's own engine for them, which takes 0.2 s to import.
"""

from __future__ import annotations

import functools
import sys
import typing
from typing import TYPE_CHECKING, Annotated, Any

from flyte.types import TypeEngine, TypeTransformer, TypeTransformerFailedError
from flyteidl2.core.literals_pb2 import Literal, Scalar, StructuredDataset, StructuredDatasetMetadata
from flyteidl2.core.types_pb2 import LiteralType, StructuredDatasetType

from ..api.table import DoltTable, has_unsaved_rows, kept_of, pinned
from ..api.typed_frames import LIBRARIES, frame_of
from ..api.uri import PROTOCOL, dolt_uri, from_uri, is_dolt_uri
from ..errors import InvalidUri
from ..model import trust
from ..model.by_identity import ByIdentity
from ..model.configs import CallbackMeta, DoltConfig
from . import context, values
from .faults import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ENGINE = "flyte.io._dataframe"
_ENGINE_NAME = "DataFrame Transformer"
_OF_FLYTEKIT = "flytekitplugins.dolt.flyte.dataframes"


def dolt_frame(config: DoltConfig) -> DoltFrame:
    """Make a dataframe in a task's signature a table in Dolt.

    It stands in an annotation: ``-> Annotated[pd.DataFrame, dolt_frame(DoltConfig("foo", "users"))]``. An output is
    committed to the table of ``config``, as the data of a `DoltTable` is. An input is read at the commit that its value
    names; ``columns`` and ``order_by`` of ``config`` say how, and a frame that is given to it by hand is committed
    first. The class in the annotation may be pandas', Arrow's or one of Polars'. The config is taken as it is now: a
    later change of it changes nothing here.

    Raises:
        InvalidConfig: the config contradicts itself.
    """
    if context.in_task() is None:  # in one it may be of a value that arrived
        trust.vouch(config)
        if isinstance(config.meta_conf, CallbackMeta):
            trust.name_function(trust.plain(config.meta_conf.fn))
    return DoltFrame(config)


class DoltFrame(TypeTransformer[Any]):
    """The annotation that `dolt_frame` makes. Two of equal configs are equal."""

    def __init__(self, config: DoltConfig) -> None:
        config.check()
        # The name of Flyte's own transformer, because the variants of a Union are told apart by it.
        super().__init__(_ENGINE_NAME, object, enable_type_assertions=False)
        self._config = DoltConfig.from_dict(config.to_dict())

    @property
    def config(self) -> DoltConfig:
        """A copy of the config."""
        return DoltConfig.from_dict(self._config.to_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DoltFrame) and self._config == other._config

    def __hash__(self) -> int:
        return hash(self._config.to_json())

    def __repr__(self) -> str:
        return f"dolt_frame({getattr(self, '_config', None)!r})"

    def get_literal_type(self, t: Any) -> LiteralType:
        """Return the literal type that the frame has without this annotation, so that it can be bound to plain ones."""
        kind: LiteralType = _engine().get_literal_type(_plain(t))
        return kind

    async def to_literal(self, python_val: Any, python_type: Any, expected: LiteralType) -> Literal:
        """Commit the frame, or return the reference to the table that is given in its place or that it came from.

        Raises:
            TypeTransformerFailedError: it is a value of another type, which tells a Union to try its next variant.
            NotInTask: there is a frame to store, and no task is running.
            DoltError: it could not be stored; nothing was changed.
        """
        kind = _class_of(python_type)
        if _is_flyte_dataframe(python_val):
            found: Literal = await _engine().to_literal(python_val, type(python_val), expected)
            return found
        with marked():
            table = await self._table(python_val, kind)
        literal = _literal(dolt_uri(table), expected)
        if values.has_content_hash(python_type) and isinstance(table, DoltTable):
            literal.hash = await values.content_digest(table)
        return literal

    async def _table(self, given: Any, kind: type[Any]) -> DoltTable | DoltConfig:
        if isinstance(given, DoltConfig):
            return given
        if isinstance(given, DoltTable):
            return await values.stored(given)
        origin = await _handed_on(given)
        if origin is None and not isinstance(given, kind):
            raise TypeTransformerFailedError(
                f"Cannot use a {type(given).__name__} where a {kind.__module__.partition('.')[0]} {kind.__name__} of "
                "dolt_frame(...) is declared."
            )
        return origin if origin is not None else await _committed(DoltTable(self.config), given)

    async def to_python_value(self, lv: Literal, expected_python_type: Any) -> Any:
        """Return the frame at the commit that the literal names; one that is not in Dolt is read as Flyte does.

        Raises:
            DoltError: it cannot be read there.
        """
        given, plain = lv.scalar.structured_dataset, _plain(expected_python_type)
        if not is_dolt_uri(given.uri):
            return await _engine().to_python_value(lv, plain)
        own = self._config.options()
        wanted = _names(_engine().get_literal_type(plain).structured_dataset_type)
        columns = wanted or own.get("columns") or _names(given.metadata.structured_dataset_type)
        return await _read_frame(given.uri, _class_of(plain), columns, order_by=own.get("order_by"))


def _engine() -> Any:
    from flyte.io.extend import DataFrameTransformerEngine

    return DataFrameTransformerEngine()


def _is_flyte_dataframe(value: object) -> bool:
    module = sys.modules.get(_ENGINE)
    return module is not None and isinstance(value, module.DataFrame)


def _plain(t: Any) -> Any:
    """Return an annotation without this package's."""
    if typing.get_origin(t) is not Annotated:
        return t
    base, *others = typing.get_args(t)
    for other in others:
        if not isinstance(other, TypeTransformer) and type(other).__module__ != _OF_FLYTEKIT:
            base = Annotated[base, other]
    return base


def _class_of(t: Any) -> type[Any]:
    found: type[Any] = typing.get_args(t)[0] if typing.get_origin(t) is Annotated else t
    return found


def _names(kind: StructuredDatasetType) -> list[str]:
    return [column.name for column in kind.columns]


def _dataset(uri: str, kind: StructuredDatasetType | None) -> StructuredDataset:
    columns = kind.columns if kind is not None else []
    metadata = StructuredDatasetMetadata(structured_dataset_type=StructuredDatasetType(columns=columns, format=""))
    return StructuredDataset(uri=uri, metadata=metadata)


def _literal(uri: str, expected: LiteralType | None) -> Literal:
    kind = expected.structured_dataset_type if expected is not None else None
    return Literal(scalar=Scalar(structured_dataset=_dataset(uri, kind)))


# ---------------------------------------------------------------------------------------------------- write and read


class _Origin(typing.NamedTuple):
    """Where a frame came from, and what tells whether it was changed since."""

    table: DoltTable
    kept: Any


_came_from: ByIdentity[_Origin] = ByIdentity()


async def _committed(table: DoltTable, frame: Any) -> DoltTable:
    """Store ``frame`` as the table's data, and return the reference to what was written."""
    table.data = frame
    stored = await values.stored(table)
    assert stored.commit is not None  # noqa: S101  # for the type checker: that is what storing does
    return stored.at(stored.commit)


async def _handed_on(frame: Any) -> DoltTable | None:
    """Return the reference that a frame came by, where a task gives it to another one as it is; else None."""
    now, origin = context.running(), _came_from.of(frame)
    if origin is None or now is None or not (now.is_handing_on or not now.is_in_task):
        return None
    return None if await values.in_thread(_is_changed, origin, frame) else origin.table


def _is_changed(origin: _Origin, frame: Any) -> bool:
    kind = type(frame)
    if kind.__module__.partition(".")[0] == "pyarrow" or kind.__name__ == "LazyFrame":
        return False  # nobody can change one
    if kind.__module__.partition(".")[0] == "polars":
        return not origin.kept.equals(frame)
    table = origin.table.at(pinned(origin.table).commit)
    table.holds(frame, origin.kept)
    return has_unsaved_rows(table)


async def _read_frame(uri: str, kind: type[Any], columns: Sequence[str] | None, *, order_by: Any = None) -> Any:
    """Return the rows at an address as a frame of the class ``kind``, and remember where it came from."""
    with marked():
        return await values.in_thread(_read, from_uri(uri), kind, columns, order_by)


def _read(table: DoltTable, kind: type[Any], columns: Sequence[str] | None, order_by: Any) -> Any:
    now = context.running()
    if table.config.order_by is None:
        table.config.order_by = order_by
    table = values.resolved(now, table) if now is not None else _resolved_in_script(table)
    frame = frame_of(table, kind, columns)
    if now is not None and now.is_in_task:
        now.attempt.run.note_read(table.config, pinned(table).commit)
        now.attempt.run.note_rows(table.config, pinned(table).commit, columns)
    if not columns:  # a part of a table is not handed on as the whole
        _came_from.note(frame, _Origin(table, _kept(frame, table)))
    return frame


def _resolved_in_script(table: DoltTable) -> DoltTable:
    from ..api.table import resolve

    return resolve(table)


def _kept(frame: Any, table: DoltTable) -> Any:
    if type(frame).__module__.partition(".")[0] == "polars":
        return frame.clone() if type(frame).__name__ == "DataFrame" else None
    return kept_of(frame, table.config)


# -------------------------------------------------------------------------------------------------- Flyte's own engine


def _handlers() -> tuple[type[Any], type[Any]]:
    """Return the classes that write frames to ``dolt://`` addresses and read them; their bases take 0.2 s to import."""
    from flyte.io.extend import DataFrameDecoder, DataFrameEncoder

    class DoltEncoder(DataFrameEncoder[Any]):
        """Writes frames of one class to ``dolt://`` addresses."""

        async def encode(self, dataframe: Any, structured_dataset_type: StructuredDatasetType) -> StructuredDataset:
            """Commit the frame to the table at the address; one that names a commit is an `InvalidUri`."""
            with marked():
                table = from_uri(dataframe.uri)
                if table.commit is not None:
                    raise InvalidUri(
                        f"Cannot write to {dataframe.uri!r}: it names a commit, and a commit never changes. Leave out "
                        "the commit, and name a branch if it is not the checked-out one.",
                        uri=dataframe.uri,
                    )
                written = await _committed(table, dataframe.val)
            return _dataset(dolt_uri(written), structured_dataset_type)

    class DoltDecoder(DataFrameDecoder[Any]):
        """Reads frames of one class from ``dolt://`` addresses."""

        async def decode(self, flyte_value: StructuredDataset, current_task_metadata: Any) -> Any:
            """Return the rows at the address, with only the columns that the task declares."""
            columns = _names(current_task_metadata.structured_dataset_type)
            return await _read_frame(flyte_value.uri, self.python_type, columns)

    return DoltEncoder, DoltDecoder


class _PlugIn:
    """Our part in Flyte's engine for frames, once that is there."""

    def __init__(self) -> None:
        self.handlers: tuple[type[Any], type[Any]] | None = None
        self.known: set[type[Any]] = set()

    def meet(self) -> None:
        """Plug in, and register for the libraries that are imported by now."""
        module: Any = sys.modules.get(_ENGINE)
        if module is None or not hasattr(module, "lazy_import_dataframe_handler"):
            return
        if self.handlers is None:
            self.handlers = _handlers()
            _wrap_engine(module.DataFrameTransformerEngine)
            module.lazy_import_dataframe_handler = _followed_by(module.lazy_import_dataframe_handler, self.meet)
        for library, names in LIBRARIES.items():
            for name in names:
                kind = getattr(_imported(library), name, None)
                if kind is not None and kind not in self.known:
                    self.known.add(kind)
                    self._register(module, kind)

    def _register(self, module: Any, kind: type[Any]) -> None:
        assert self.handlers is not None  # noqa: S101  # for the type checker: `meet` has made them
        registry, engine = TypeEngine._REGISTRY, module.DataFrameTransformerEngine
        before = registry.get(kind)
        for handler in self.handlers:
            engine.register(handler(kind, PROTOCOL), override=True)
        # A class that Flyte had no engine for, as those of Polars, travels as it did: the engine could not store it.
        if kind.__module__.partition(".")[0] not in ("pandas", "pyarrow"):
            registry.pop(kind, None)
            if before is not None:
                registry[kind] = before


def _imported(library: str) -> Any:
    """Return a module that is imported; what Flyte puts in its place until somebody uses it is none."""
    module = sys.modules.get(library)
    return None if object.__getattribute__(module, "__class__").__name__ == "_LazyModule" else module


_plug_in = _PlugIn()


def _followed_by(original: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def both(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        then()
        return found

    return both


def _wrap_engine(engine: Any) -> None:
    """Have Flyte's engine see our annotations and addresses, which it would pass over in silence."""
    write, read, open_as = engine.to_literal, engine.to_python_value, engine.open_as

    @functools.wraps(write)
    async def to_literal(self: Any, python_val: Any, python_type: Any, expected: Any) -> Literal:
        ours = _of_flytekit(python_type)
        if ours is not None:
            return await ours.to_literal(python_val, python_type, expected)
        with marked():
            table = await _in_place_of_a_frame(python_val, python_type)
        return (
            _literal(dolt_uri(table), expected)
            if table is not None
            else await write(self, python_val, python_type, expected)
        )

    @functools.wraps(read)
    async def to_python_value(self: Any, lv: Literal, expected_python_type: Any) -> Any:
        ours = _of_flytekit(expected_python_type)
        if ours is not None:
            return await ours.to_python_value(lv, expected_python_type)
        return await read(self, lv, expected_python_type)

    @functools.wraps(open_as)
    async def open_as_(self: Any, sd: StructuredDataset, df_type: Any, updated_metadata: Any) -> Any:
        if not is_dolt_uri(sd.uri):
            return await open_as(self, sd, df_type, updated_metadata)
        # Flyte makes an error about cloud storage of each OSError, as some of ours are.
        return await self.get_decoder(df_type, PROTOCOL, "").decode(sd, updated_metadata)

    engine.to_literal, engine.to_python_value, engine.open_as = to_literal, to_python_value, open_as_


async def _in_place_of_a_frame(value: Any, declared: Any) -> DoltTable | None:
    """Return what is at an address already, where a plain frame is declared: a table, or a frame that came from one."""
    if isinstance(value, DoltTable):
        return await values.stored(value)
    return None if _is_flyte_dataframe(value) else await _handed_on(value)


def _of_flytekit(declared: Any) -> DoltFrame | None:
    """Return our annotation in place of the one for flytekit, which Flyte 2 does not look at."""
    for other in typing.get_args(declared)[1:] if typing.get_origin(declared) is Annotated else ():
        if type(other).__module__ == _OF_FLYTEKIT:
            return DoltFrame(other.config)
    return None


def register() -> None:
    """Have ``dolt://`` known for each library of frames as soon as it is imported and Flyte's engine is."""
    lazily: Any = TypeEngine.lazy_import_transformers
    original = lazily.__func__

    @functools.wraps(original)
    def lazy_import_transformers(cls: Any) -> None:
        original(cls)
        _plug_in.meet()

    TypeEngine.lazy_import_transformers = classmethod(lazy_import_transformers)
    _plug_in.meet()
