"""The second door to Flyte: plain dataframes as tables in Dolt, by annotation or by a ``dolt://`` address.

`dolt_frame(config)` in an annotation makes frames of that input or output tables; flytekit's own `StructuredDataset` is
written to and read from ``dolt://`` by encoders and decoders for pandas, Arrow and Polars. What is written, how, and
under which message is decided where it is for a `DoltTable`: this file turns frames into tables, literals into frames.
It must stay cheap to import, because ``import flytekit`` does so: the frames' libraries are met when they are there.
"""

from __future__ import annotations

import copyreg
import functools
import sys
import typing
import uuid
from contextvars import ContextVar
from html import escape
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any

import flytekit.types.structured as flytekit_structured
from flytekit.core.context_manager import FlyteContext
from flytekit.core.type_engine import AsyncTypeTransformer, TypeTransformer
from flytekit.deck.renderer import ArrowRenderer
from flytekit.extend import TypeEngine
from flytekit.lazy_import.lazy_module import is_imported
from flytekit.models import literals
from flytekit.models.literals import Literal, Scalar, StructuredDatasetMetadata
from flytekit.models.types import LiteralType, StructuredDatasetType
from flytekit.types.structured.structured_dataset import (
    StructuredDataset,
    StructuredDatasetDecoder,
    StructuredDatasetEncoder,
    StructuredDatasetTransformerEngine,
    flyte_dataset_transformer,
)

from ..api.table import DoltTable, pinned
from ..api.typed_frames import LIBRARIES, frame_of
from ..api.uri import PROTOCOL, dolt_uri, from_uri, is_dolt_uri
from ..errors import DoltError, InvalidUri
from ..model import runtime, trust
from ..model.by_identity import ByIdentity
from ..model.configs import CallbackMeta, DoltConfig, refuse_other_than_config
from . import context
from .value_types import error_in_literal, kind_of, raise_or_defer, store, table_in, task_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

one_of_several: ContextVar[bool] = ContextVar("one_of_several", default=False)
"""Whether flytekit is trying the variants of a Union, of which only one may take a value."""


def dolt_frame(config: DoltConfig) -> DoltFrame:
    """Make a dataframe in a task's signature a table in Dolt.

    It stands in an annotation: ``-> Annotated[pd.DataFrame, dolt_frame(DoltConfig("foo", "users"))]``. An output is
    committed to the table of ``config``, as the data of a `DoltTable` is. An input is read at the commit that its value
    names; ``columns`` and ``order_by`` of ``config`` say how, and a frame that is given to it by hand is committed
    first. The class in the annotation may be pandas', Arrow's or one of Polars'. The config is taken as it is now: a
    later change of it changes nothing here.

    Raises:
        InvalidConfig: the config is none, or contradicts itself.
    """
    refuse_other_than_config(config)
    if not context.running_tasks():  # in one it may be of a value that arrived
        trust.vouch(config)
        if isinstance(config.meta_conf, CallbackMeta):
            trust.name_function(trust.plain(config.meta_conf.fn))
    return DoltFrame(config)


class DoltFrame(AsyncTypeTransformer[Any]):
    """The annotation that `dolt_frame` makes. Two of equal configs are equal."""

    def __init__(self, config: DoltConfig) -> None:
        config.check()
        # The name of flytekit's own transformer, because the variants of a Union are told apart by it.
        super().__init__(flyte_dataset_transformer.name, object, enable_type_assertions=False)
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

    def __reduce__(self) -> tuple[Any, ...]:
        # flytekit remembers literals by the pickled value and type on one of its paths, and a write must not be skipped
        # for that: no two pickles of an annotation are the same.
        return _unpickled, (self._config, uuid.uuid4().hex)

    def get_literal_type(self, t: Any) -> LiteralType:
        """Return the literal type that the frame has without this annotation, so that it can be bound to plain ones."""
        return flyte_dataset_transformer.get_literal_type(_plain(t))

    async def async_to_literal(
        self, ctx: FlyteContext, python_val: Any, python_type: Any, expected: LiteralType
    ) -> Literal:
        """Commit the frame, or return the reference to the table or query that is given in its place.

        Raises:
            TypeError: it is a value of another type, which tells a Union to try its next variant.
            NotInTask: there is a frame to store, and no task is running.
            DoltError: it could not be stored; nothing was changed. In a Union it is raised out of what is returned.
        """
        plain = _plain(python_type)
        if isinstance(python_val, StructuredDataset):
            return await flyte_dataset_transformer.async_to_literal(ctx, python_val, StructuredDataset, expected)
        if not isinstance(python_val, (DoltConfig, DoltTable, _class_of(plain))):
            raise TypeError(f"{_title(type(python_val))} was given where {_title(_class_of(plain))} is declared")
        try:
            return _literal(self._uri(ctx, python_val), expected)
        except DoltError as error:
            return raise_or_defer(error, expected)

    def _uri(self, ctx: FlyteContext, value: Any) -> str:
        """Return the address of what is given, a frame being committed first."""
        if isinstance(value, DoltTable):
            value = DoltTable.from_dict(value._serialize())  # refuses what no commit holds
        if isinstance(value, (DoltConfig, DoltTable)):
            return dolt_uri(value)
        return _committed(ctx, DoltTable(config=self.config), value)

    async def async_to_python_value(self, ctx: FlyteContext, lv: Literal, expected_python_type: Any) -> Any:
        """Return the frame at the commit that the literal names; one that is not in Dolt is read as flytekit does.

        Raises:
            DoltError: it cannot be read there.
        """
        plain, lv = _plain(expected_python_type), at_address(lv)
        given = lv.scalar.structured_dataset if lv.scalar is not None else None
        if given is None or not is_dolt_uri(given.uri):
            return await flyte_dataset_transformer.async_to_python_value(ctx, lv, plain)
        with error_in_literal(lv):
            return self._read(ctx, given, plain)

    def _read(self, ctx: FlyteContext, given: literals.StructuredDataset, plain: Any) -> Any:
        wanted = flyte_dataset_transformer.get_literal_type(plain).structured_dataset_type
        table = from_uri(given.uri)
        own = self._config.options()
        if table.config.order_by is None:
            table.config.order_by = own.get("order_by")
        table = task_inputs.table(ctx, table)
        columns = _names(wanted) or own.get("columns") or _names(given.metadata.structured_dataset_type)
        context.note_rows(table.config, pinned(table).commit, columns, ctx=ctx)
        frame = frame_of(table, _class_of(plain), columns)
        _read.note(frame, table)
        return frame

    def to_html(self, ctx: Any, python_val: Any = None, expected_python_type: Any = None) -> str:
        """Return what a deck shows of a frame: that of the table which holds it.

        flytekit takes an annotation with a method of this name for a renderer, and then calls it with the frame alone.
        """
        frame = ctx if expected_python_type is None else python_val
        if isinstance(frame, StructuredDataset):
            return _html_of_dataset(frame)
        given = DoltTable(config=frame) if isinstance(frame, DoltConfig) else frame
        table = given if isinstance(given, DoltTable) else _written.of(frame) or _read.of(frame)
        return _html(table) if table is not None else _html_of_flytekit(frame)


class _Columns:
    """What `DoltFrame` has in place of annotations: none, and an error for a Flyte that does not know what it is.

    Flyte 2 asks each annotation of a frame for these, as columns, and stores the frame as Parquet.
    """

    def __get__(self, instance: DoltFrame | None, owner: type[DoltFrame]) -> dict[str, Any]:
        if instance is None:
            return {}
        runtime.current()  # raises where a task of Flyte 2 runs that does not know of this package
        raise AttributeError("__annotations__")


DoltFrame.__annotations__ = _Columns()  # type: ignore[assignment]


def _unpickled(config: DoltConfig, _: str) -> DoltFrame:
    return DoltFrame(config)


def _plain(t: Any) -> Any:
    """Return an annotation without this package's."""
    if typing.get_origin(t) is not Annotated:
        return t
    base, *others = typing.get_args(t)
    for other in others:
        if not isinstance(other, DoltFrame):
            base = Annotated[base, other]
    return base


def _class_of(t: Any) -> type[Any]:
    found: type[Any] = typing.get_args(t)[0] if typing.get_origin(t) is Annotated else t
    return found


def _title(kind: type[Any]) -> str:
    library = kind.__module__.partition(".")[0]
    return f"a {kind.__qualname__}" if library == "builtins" else f"a {library} {kind.__qualname__}"


def _names(kind: StructuredDatasetType | None) -> list[str]:
    return [column.name for column in kind.columns or ()] if kind is not None else []


def _literal(uri: str, expected: LiteralType | None) -> Literal:
    kind = expected.structured_dataset_type if expected is not None else None
    return Literal(scalar=Scalar(structured_dataset=_dataset(uri, kind)))


def at_address(lv: Literal) -> Literal:
    """Return the literal of a table as that of a dataset at the table's address; any other as it is."""
    return lv if one_of_several.get() or kind_of(lv) != "DoltTable" else address_of(table_in(lv))


def address_of(table: DoltTable) -> Literal:
    """Return a table as the literal of a dataset at its address."""
    return _literal(dolt_uri(table), None)


def title_of(declared: Any) -> str:
    """Return what errors call the class of frames that is declared."""
    return _title(_class_of(declared))


def _dataset(uri: str, kind: StructuredDatasetType | None) -> literals.StructuredDataset:
    columns = kind.columns if kind is not None else []
    metadata = StructuredDatasetMetadata(structured_dataset_type=StructuredDatasetType(columns=columns, format=""))
    return literals.StructuredDataset(uri=uri, metadata=metadata)


# ------------------------------------------------------------------------------------------------- write and read


_written: ByIdentity[DoltTable] = ByIdentity()
"""Which table holds a frame that a task has written, for what comes after: its deck, its hash."""

_read: ByIdentity[DoltTable] = ByIdentity()
"""Apart from what was written, because a frame can be changed after it was read; for decks of inputs only."""


def table_of(frame: Any) -> DoltTable | None:
    """Return the table at the commit that a frame was last written to by a task, or None."""
    if isinstance(frame, StructuredDataset):
        uri = frame.literal.uri if frame.literal is not None else frame.uri
        return from_uri(uri) if is_dolt_uri(uri) else None
    return _written.of(frame)


def _committed(ctx: FlyteContext, table: DoltTable, frame: Any) -> str:
    """Store ``frame`` as the table's data, and return the address of what was written."""
    table.data = frame
    store(ctx, table)
    commit = table.commit
    assert commit is not None  # noqa: S101  # for the type checker: that is what store does
    reference = table.at(commit)
    reference.wrote_nothing, reference.rows_went = table.wrote_nothing, table.rows_went
    _written.note(frame, reference)
    return dolt_uri(reference)


# ---------------------------------------------------------------------------------------------------------- decks


def _html(table: DoltTable) -> str:
    transformer = TypeEngine.get_transformer(DoltTable)
    return str(transformer.to_html(FlyteContext.current_context(), table, DoltTable))


def _html_of_flytekit(value: Any) -> str:
    return str(flyte_dataset_transformer.to_html(FlyteContext.current_context(), value, type(value)))


def _html_of_dataset(dataset: StructuredDataset) -> str:
    try:
        table = table_of(dataset)
    except InvalidUri as error:  # a deck never fails a task, and this one has not looked at that address
        from ..report import page

        return page.note(str(error))
    if table is None:
        return _html_of_flytekit(dataset)
    return _html(task_inputs.as_read(FlyteContext.current_context(), table))


class _Datasets(StructuredDatasetTransformerEngine):
    """flytekit's own transformer for `StructuredDataset`, but for the deck of one at a ``dolt://`` address.

    flytekit chooses what a deck shows by the class of the frame inside, and looks at no address; and of a dataset that
    was only taken, so that no frame is inside, it shows an empty table.
    """

    def to_html(self, ctx: FlyteContext, python_val: Any, expected_python_type: Any) -> str:
        """Return the deck of the table that the dataset is, or what flytekit shows of other datasets."""
        return _html_of_dataset(python_val)


def _reduced(dataset: StructuredDataset) -> tuple[Any, ...]:
    """Return what a dataset is pickled as; no two pickles of one that is still to be written are the same.

    flytekit remembers literals by the pickled value on one of its paths, and a write must not be skipped for that.
    """
    reduced: Any = object.__reduce_ex__(dataset, 2)
    make, arguments, state = reduced[:3]
    if dataset.dataframe is not None and is_dolt_uri(dataset.uri):
        state = {**state, "_once": uuid.uuid4().hex}
    return make, arguments, state


_MAX_TEXT = 200_000
"""The most characters of a printed frame that a deck shows."""


class _AsText:
    """Shows a frame in decks as its library prints it.

    flytekit shows an Arrow table so, too, but lets names and values in it be HTML; it has nothing to show a Polars
    frame with, and fails the task.
    """

    def to_html(self, python_value: Any) -> str:
        from ...doltdb.redaction import visible

        return f"<pre>{escape(visible(str(python_value)[:_MAX_TEXT]))}</pre>"


_PRINT_VALUES = {"builtins", "pandas", "pyarrow", "polars", "pydantic", "flytekit", "flytekitplugins"}
"""The packages whose classes print what is in them, which is text. Others may mean what they print to be a page."""


def _is_text(value: object) -> bool:
    """Whether what ``value`` prints is text to flytekit's decks, whatever signs are in it."""
    printing = next(kind for kind in type(value).__mro__ if "__str__" in vars(kind))
    return not isinstance(value, str) and printing.__module__.partition(".")[0] in _PRINT_VALUES


def _escape_what_is_printed() -> None:
    """Have what is in lists, dictionaries, dataclasses, configs and optional frames shown as the text that it is.

    flytekit prints every value for which a type has no page of its own, and puts that into the deck as HTML.
    """
    original: Callable[..., str] = TypeTransformer.to_html
    if getattr(original, "of_dolt", False):
        return

    @functools.wraps(original)
    def to_html(self: Any, ctx: Any, python_val: Any, expected_python_type: Any) -> str:
        page = original(self, ctx, python_val, expected_python_type)
        return escape(page) if _is_text(python_val) else page

    to_html.of_dolt = True  # type: ignore[attr-defined]
    TypeTransformer.to_html = to_html


# --------------------------------------------------------------------------------------------- StructuredDataset


class DoltEncoder(StructuredDatasetEncoder):
    """Writes frames of one class to ``dolt://`` addresses."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, PROTOCOL)

    def encode(
        self, ctx: FlyteContext, structured_dataset: StructuredDataset, structured_dataset_type: StructuredDatasetType
    ) -> literals.StructuredDataset:
        """Commit the frame to the table at the dataset's address.

        Raises:
            InvalidUri: the address cannot be read, or names a commit.
            DoltError: the frame could not be stored; nothing was changed.
        """
        table = from_uri(structured_dataset.uri)
        if table.commit is not None:
            raise InvalidUri(
                f"Cannot write to {structured_dataset.uri!r}: it names a commit, and a commit never changes. Leave out "
                "the commit, and name a branch if it is not the checked-out one.",
                uri=structured_dataset.uri,
            )
        return _dataset(_committed(ctx, table, structured_dataset.dataframe), structured_dataset_type)


class DoltDecoder(StructuredDatasetDecoder):
    """Reads frames of one class from ``dolt://`` addresses."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, PROTOCOL)

    def decode(
        self,
        ctx: FlyteContext,
        flyte_value: literals.StructuredDataset,
        current_task_metadata: StructuredDatasetMetadata,
    ) -> Any:
        """Return the rows at the address, with only the columns that the task declares.

        Raises:
            InvalidUri: the address cannot be read.
            DoltError: there is nothing to read there.
        """
        columns = _names(current_task_metadata.structured_dataset_type)
        table = task_inputs.table(ctx, from_uri(flyte_value.uri))
        context.note_rows(table.config, pinned(table).commit, columns, ctx=ctx)
        return frame_of(table, self.python_type, columns)


class _PolarsAsParquet(StructuredDatasetEncoder):
    """Writes a plain Polars frame as flytekit writes Arrow, where the package for Polars is not installed."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, None, "parquet")

    def encode(
        self, ctx: FlyteContext, structured_dataset: StructuredDataset, structured_dataset_type: StructuredDatasetType
    ) -> literals.StructuredDataset:
        from flytekit.types.structured.basic_dfs import ArrowToParquetEncodingHandler

        frame = structured_dataset.dataframe
        frame = frame.collect() if hasattr(frame, "collect") else frame
        arrow = StructuredDataset(dataframe=frame.to_arrow(), uri=structured_dataset.uri)
        return ArrowToParquetEncodingHandler().encode(ctx, arrow, structured_dataset_type)


class _PolarsFromParquet(StructuredDatasetDecoder):
    """Reads a plain Polars frame as flytekit reads Arrow, where the package for Polars is not installed."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, None, "parquet")

    def decode(
        self,
        ctx: FlyteContext,
        flyte_value: literals.StructuredDataset,
        current_task_metadata: StructuredDatasetMetadata,
    ) -> Any:
        import polars
        from flytekit.types.structured.basic_dfs import ParquetToArrowDecodingHandler

        arrow = ParquetToArrowDecodingHandler().decode(ctx, flyte_value, current_task_metadata)
        frame: Any = polars.from_arrow(arrow)
        return frame.lazy() if self.python_type.__name__ == "LazyFrame" else frame


def _register_what_is_imported() -> None:
    for library, names in LIBRARIES.items():
        if is_imported(library):
            for name in names:
                kind = getattr(sys.modules[library], name, None)
                if kind is not None and PROTOCOL not in StructuredDatasetTransformerEngine.DECODERS.get(kind, {}):
                    _register(kind)


def _register(kind: type[Any]) -> None:
    engine, before = StructuredDatasetTransformerEngine, TypeEngine._REGISTRY.get(kind)
    if kind.__module__.startswith("polars.") and "fsspec" not in engine.ENCODERS.get(kind, {}):
        # A class of frames that flytekit knows is not pickled any more, so it needs a way to travel without an address.
        engine.register(_PolarsAsParquet(kind), default_format_for_type=True)
        engine.register(_PolarsFromParquet(kind), default_format_for_type=True)
    if kind.__module__.partition(".")[0] != "pandas" and type(engine.Renderers.get(kind)) in (NoneType, ArrowRenderer):
        engine.register_renderer(kind, _AsText())
    engine.register(DoltEncoder(kind))
    engine.register(DoltDecoder(kind))
    if before is not None:  # registering handlers puts flytekit's engine in the place of whatever was there
        TypeEngine._REGISTRY[kind] = before


def _register_datasets() -> None:
    """Have our decks for `StructuredDataset`, unless somebody else has put a transformer in the place of flytekit's."""
    if type(TypeEngine._REGISTRY.get(StructuredDataset)) is StructuredDatasetTransformerEngine:
        TypeEngine.register_additional_type(_Datasets(), StructuredDataset, override=True)


def register() -> None:
    """Have ``dolt://`` known for each library of frames as soon as it is imported; the second call changes nothing.

    flytekit registers its own handlers in one function, which it calls before it looks for any; it offers no other way
    to register for a library that is not imported yet.
    """
    original: Callable[[], None] = flytekit_structured.lazy_import_structured_dataset_handler
    if getattr(original, "of_dolt", False):
        return

    @functools.wraps(original)
    def with_dolt() -> None:
        original()
        _register_what_is_imported()

    _register_datasets()
    _escape_what_is_printed()
    copyreg.pickle(StructuredDataset, _reduced)
    with_dolt.of_dolt = True  # type: ignore[attr-defined]
    flytekit_structured.lazy_import_structured_dataset_handler = with_dolt
