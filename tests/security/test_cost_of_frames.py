"""What arrives costs what its size says: nothing is quadratic in columns, or nested deeper than we follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgpack
import pandas as pd
import pyarrow as pa
import pytest
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import Binary, Literal, Scalar
from google.protobuf.struct_pb2 import Struct

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, errors
from flytekitplugins.dolt.api import uri
from flytekitplugins.dolt.codec import arrow_tables, pandas_frames
from flytekitplugins.dolt.codec.pandas_frames import Note, Notes
from flytekitplugins.dolt.model import nesting
from flytekitplugins.dolt.tables import agreeing, fitting

DEPTH = 100_000


def nested(depth: int, *, of: type[list[Any]] | type[dict[str, Any]] = list) -> Any:
    """Return lists in lists, or dictionaries in dictionaries."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if of is list else {"a": value}
    return value


class Counted(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


WIDE = 3000


@pytest.mark.parametrize("doubled", [False, True])
def test_names_are_looked_at_a_few_times_each(doubled: bool) -> None:
    """Whether names are all different, or each is there twice, a comparison or two for each of them is enough."""
    names = [Counted(f"c{n // (1 + doubled)}") for n in range(WIDE)]
    Counted.compared = 0
    if doubled:
        with pytest.raises(errors.UnsupportedFrame, match="'c0'.* 2 "):
            pandas_frames.check_names(names)
    else:
        pandas_frames.check_names(names)
    assert Counted.compared < 10 * WIDE


def test_columns_are_found_by_name() -> None:
    """Whether a wide frame fits its table takes a few comparisons for each column, and so does how it adds to it."""
    table = pa.table({f"c{n}": pa.array([1]) for n in range(WIDE)})
    existing = [fitting.Column(Counted(name), "bigint", nullable=True, key=False) for name in table.column_names]
    Counted.compared = 0
    fitting.fit(table, existing, table="t", new_types={})
    agreeing.agree(pandas_frames.Encoded(table, Notes()), Notes(), [column.name for column in existing])
    pandas_frames.merged(
        Notes({name: Note(json=True) for name in table.column_names}), Notes(), [c.name for c in existing]
    )
    assert Counted.compared < 10 * WIDE


@pytest.mark.parametrize("of", [list, dict])
@pytest.mark.parametrize("depth", [nesting.MAX_CELL + 1, 5000, DEPTH])
def test_a_value_nested_too_deep_is_refused(of: Any, depth: int) -> None:
    """The error names column and row, however deep it is."""
    frame = pd.DataFrame({"v": pd.Series([[1], nested(depth, of=of)], dtype=object)})
    with pytest.raises(errors.UnsupportedFrame, match=r"'v'.* row 1 .* 500 "):
        pandas_frames.encode(frame)


def test_one_that_holds_itself_is_refused() -> None:
    """A list without an end is no JSON either."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(errors.UnsupportedFrame, match="'v'.* row 0 "):
        pandas_frames.encode(pd.DataFrame({"v": pd.Series([value], dtype=object)}))


@pytest.mark.parametrize("of", [list, dict])
def test_what_may_be_stored_comes_back(of: Any) -> None:
    """The deepest value that is stored can be read, and brackets in texts count for nothing."""
    value = nested(nesting.MAX_CELL, of=of)
    encoded = pandas_frames.encode(pd.DataFrame({"v": pd.Series([value, ["[" * 9000 + '\\"{']], dtype=object)}))
    assert pandas_frames.decode(encoded.arrow, encoded.notes).v.tolist() == [value, ["[" * 9000 + '\\"{']]


def test_what_others_stored_comes_as_text(caplog: pytest.LogCaptureFixture) -> None:
    """A text that is nested too deep to be a value stays the text that it is, with a line in the log."""
    texts = pa.table({"v": pa.array(["[1]", "[" * DEPTH + "]" * DEPTH])})
    told = pandas_frames.field_to_text(pa.field("", pa.list_(pa.int64())))
    for table, note, decode in (
        ("one", Note(json=True), pandas_frames.decode),
        ("two", Note(type=told), arrow_tables.decode),
        ("three", Note(arrow=told), pandas_frames.decode),
    ):
        back = decode(texts, Notes({"v": note}, table=table))["v"]
        assert [str(value) for value in back] == texts["v"].to_pylist()
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [
        f"the comment of table {table!r}" for table in ("one", "two", "three")
    ]


def test_a_type_nested_too_deep_is_refused() -> None:
    """Types are nested no deeper than a note of them can be read."""

    def deep(depth: int) -> pa.DataType:
        kind = pa.int64()
        for _ in range(depth):
            kind = pa.list_(kind)
        return kind

    column = pa.array([None, nested(20)], deep(20))
    encoded = arrow_tables.encode(pa.table({"v": column}))
    assert arrow_tables.decode(encoded.arrow, encoded.notes)["v"].to_pylist() == column.to_pylist()
    with pytest.raises(errors.UnsupportedFrame, match="'v'.* 32 "):
        arrow_tables.encode(pa.table({"v": pa.array([None], deep(500))}))
    with pytest.raises(errors.UnsupportedFrame, match="'v'.* 32 "):
        pandas_frames.encode(pd.DataFrame({"v": pd.array([None], dtype=pd.ArrowDtype(deep(60)))}))


KINDS: list[Any] = [DoltConfig, DoltTable, NewBranch]
CLOSED = '{"config":' * DEPTH + "1" + "}" * DEPTH
TEXTS = [CLOSED, "[" * DEPTH + "]" * DEPTH, '{"db_path":' + "[" * DEPTH + "]" * DEPTH + "}"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS, ids=["entries", "lists", "an entry"])
def test_json_nested_too_deep_is_refused(kind: Any, text: str) -> None:
    """What is to become a value of ours is refused with a sentence."""
    with pytest.raises(errors.InvalidConfig, match=f"{kind.__name__}.* 50 "):
        kind.from_json(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [60, 900, DEPTH])
def test_dictionaries_nested_too_deep_are_refused(kind: Any, depth: int) -> None:
    """Whoever takes values of ours apart on the way, what it gives back is not followed to its end."""
    with pytest.raises(errors.InvalidConfig, match=f"{kind.__name__}.* 50 "):
        kind.from_dict({"config": {"db_path": nested(depth), "branch_conf": nested(depth, of=dict)}})


@pytest.mark.parametrize("name", ["branch_conf", "params", "remote_conf"])
@pytest.mark.parametrize(
    "part", ["[" * 20_000 + "]" * 20_000, '{"into":' * 20_000, "[" * 60 + "]" * 60], ids=["lists", "no end", "few"]
)
def test_an_address_nested_too_deep_is_refused(name: str, part: str) -> None:
    """A part of an address that is nested too deep is a text, and none of these may be one."""
    with pytest.raises(errors.InvalidUri, match="what it describes is refused"):
        uri.from_uri(f"dolt://foo?table=t&{name}={quote(part)}")


def _struct(depth: int) -> Struct:
    found = Struct()
    inner = found
    for _ in range(depth):
        inner = inner.fields["config"].struct_value
    inner.fields["x"].string_value = "x"
    return found


def _packed(depth: int) -> bytes:
    one, last = msgpack.packb({"config": None})[:-1], msgpack.packb(1)
    return bytes(one * depth + last)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [60, 400, DEPTH])
def test_a_literal_nested_too_deep_is_refused(kind: Any, depth: int) -> None:
    """A literal of any making is refused with a sentence, before anything is made of it."""
    context = FlyteContextManager.current_context()
    given = [Literal(scalar=Scalar(binary=Binary(value=_packed(depth), tag="msgpack")))]
    given += [Literal(scalar=Scalar(generic=_struct(depth)))] if depth < DEPTH else []  # protobuf itself has an end
    for literal in given:
        with pytest.raises(errors.InvalidConfig, match=kind.__name__):
            TypeEngine.get_transformer(kind).to_python_value(context, literal, kind)


def test_what_is_not_deep_is_read(config: Callable[..., DoltConfig]) -> None:
    """Every value of ours is far from that limit."""
    given = config("t", branch_conf=NewBranch("x"), primary_key=["a"])
    assert DoltConfig.from_json(given.to_json()) == given
    assert not nesting.is_nested_deep(given.to_dict(), 5)
    assert not nesting.is_deep(json.dumps(given.to_dict()), 5)
