"""Lists and structures were added to columns of another nested type, and came back as JSON text or as other values."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, errors, pin, read, write
from flytekitplugins.dolt.api import frames

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]

INTEGERS, FLOATS, SINGLES = pa.list_(pa.int64()), pa.list_(pa.float64()), pa.list_(pa.float32())
STRUCTURE, SINGLE_IN_STRUCTURE = pa.struct({"a": pa.int64()}), pa.struct({"a": pa.float32()})
NEVER_MISSING = pa.list_(pa.field("item", pa.int64(), nullable=False))
TEXT_AND_NUMBER = pa.struct({"b": pa.string(), "a": pa.int64()})


def of_arrow(values: list[Any], kind: pa.DataType) -> Any:
    """Return a table of Arrow."""
    return pa.table({"id": pa.array(range(len(values)), pa.int64()), "v": pa.array(values, kind)})


def of_pandas(values: list[Any], kind: pa.DataType) -> Any:
    """Return a frame with an `ArrowDtype`."""
    return pd.DataFrame({"id": range(len(values)), "v": pd.array(pa.array(values, kind), dtype=pd.ArrowDtype(kind))})


def of_polars(values: list[Any], kind: pa.DataType) -> Any:
    """Return a frame of Polars."""
    return pl.from_arrow(of_arrow(values, kind))


def of_objects(values: list[Any], _: pa.DataType) -> Any:
    """Return a frame with lists and dictionaries of Python."""
    return pd.DataFrame({"id": range(len(values)), "v": pd.Series(values, dtype=object)})


def later(frame: Any) -> Any:
    """Return the same frame with the keys 100, 101, ..."""
    if isinstance(frame, pl.DataFrame):
        return frame.with_columns(id=pl.col("id") + 100)
    if isinstance(frame, pd.DataFrame):
        return frame.assign(id=frame["id"] + 100)
    return frame.set_column(0, "id", pa.array([n + 100 for n in frame["id"].to_pylist()]))


def in_arrow(config: DoltConfig) -> pa.ChunkedArray:
    """Return the column as Arrow has it."""
    return frames.load(pin(config)).to_arrow()["v"]


MAKERS = {"arrow": of_arrow, "pandas": of_pandas, "polars": of_polars}
TYPED = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
TYPED_ADDING = pytest.mark.parametrize(
    ("mode", "make"),
    [("append", of_arrow), ("upsert", of_pandas), ("append", of_polars)],
    ids=["append-arrow", "upsert-pandas", "append-polars"],
)
ADDING = pytest.mark.parametrize("mode", ["append", "upsert"])

TAKEN: dict[str, tuple[pa.DataType, pa.DataType, list[Any]]] = {
    "floats that fit": (SINGLES, FLOATS, [[0.5, None], [], None]),
    "narrower floats": (FLOATS, SINGLES, [[0.1]]),
    "integers into floats": (FLOATS, INTEGERS, [[1, 2**53]]),
    "whole floats into integers": (INTEGERS, FLOATS, [[1.0, 2.0]]),
    "narrower integers": (INTEGERS, pa.list_(pa.int8()), [[1]]),
    "nothing but missing": (INTEGERS, pa.list_(pa.null()), [[None], []]),
    "in a structure": (SINGLE_IN_STRUCTURE, pa.struct({"a": pa.float64()}), [{"a": 0.5}, {"a": None}]),
    "in another order": (pa.struct({"a": pa.int64(), "b": pa.string()}), TEXT_AND_NUMBER, [{"b": "x", "a": 1}]),
}
FIRST: dict[pa.DataType, Any] = {
    INTEGERS: [7],
    FLOATS: [0.25],
    SINGLES: [0.25],
    STRUCTURE: {"a": 1},
    SINGLE_IN_STRUCTURE: {"a": 0.25},
    NEVER_MISSING: [7],
    pa.struct({"a": pa.int64(), "b": pa.string()}): {"a": 7, "b": None},
}


@TYPED_ADDING
@pytest.mark.parametrize(("there", "added", "values"), TAKEN.values(), ids=TAKEN)
def test_values_that_are_exact_are_taken(
    config: Config, mode: str, make: Any, there: pa.DataType, added: pa.DataType, values: list[Any]
) -> None:
    """They are read in the table's type, by pandas as by Arrow."""
    write(config("t", primary_key=["id"]), make([FIRST[there]], there))
    kind = in_arrow(config("t")).type
    write(config("t", mode=mode), later(make(values, added)))
    found = in_arrow(config("t"))
    assert (found.type, found.to_pylist()) == (kind, [FIRST[there], *pa.array(values, added).to_pylist()])
    dtype = read(config("t"))["v"].dtype
    in_pandas = (
        pa.Table.from_pandas(read(config("t")))["v"].to_pylist() if dtype != "object" else read(config("t"))["v"]
    )
    assert repr(list(in_pandas)) == repr(found.to_pylist())


MISFITS: dict[str, tuple[pa.DataType, pa.DataType, list[Any], str, bool]] = {
    "finer floats": (SINGLES, FLOATS, [[0.5], [0.1]], r"double.*float>.*'\[0.1\]' in row 1", True),
    "large integers": (FLOATS, INTEGERS, [[1], [2**53 + 1]], r"'\[9007199254740993\]' in row 1", False),
    "floats": (INTEGERS, FLOATS, [[1.0], [1.5]], r"'\[1.5\]' in row 1", True),
    "negative zero": (INTEGERS, FLOATS, [[-0.0]], r"'\[-0.0\]' in row 0", True),
    "booleans": (INTEGERS, pa.list_(pa.bool_()), [None, [True]], r"'\[true\]' in row 1", False),
    "booleans in floats": (FLOATS, pa.list_(pa.bool_()), [[True]], r"'\[true\]' in row 0", False),
    "text": (INTEGERS, pa.list_(pa.string()), [["1"]], "'v'.*in row 0", False),
    "one field more": (STRUCTURE, TEXT_AND_NUMBER, [{"b": None, "a": 1}], "'v'.*in row 0", False),
    "another field": (STRUCTURE, pa.struct({"b": pa.int64()}), [{"b": 1}], "'v'.*in row 0", False),
    "a finer field": (SINGLE_IN_STRUCTURE, pa.struct({"a": pa.float64()}), [{"a": 0.1}], "'v'.*in row 0", True),
    "no list": (INTEGERS, pa.int64(), [1], "'v' has plain values.*in row 0", False),
    "no list but its text": (INTEGERS, pa.string(), ["[1.5]"], "'v' has plain values.*in row 0", False),
    "a duration": (INTEGERS, pa.duration("us"), [1], r"'v' has durations.*in row 0", False),
    "a list in a structure": (STRUCTURE, INTEGERS, [[1]], "'v'.*in row 0", False),
}


@TYPED_ADDING
@pytest.mark.parametrize(("there", "added", "values", "words", "can_evolve"), MISFITS.values(), ids=MISFITS)
def test_others_are_refused(
    config: Config,
    mode: str,
    make: Any,
    there: pa.DataType,
    added: pa.DataType,
    values: list[Any],
    words: str,
    can_evolve: bool,
) -> None:
    """The error names column and row, the table stays, and `evolve` is advised where it can help."""
    first = make([FIRST[there]], there)
    commit = write(config("t", primary_key=["id"]), first).commit
    with pytest.raises(errors.SchemaMismatch, match=words) as caught:
        write(config("t", mode=mode), later(make(values, added)))
    assert ("'evolve'" in str(caught.value)) is can_evolve
    assert write(config("t"), first).commit == commit


@TYPED_ADDING
@pytest.mark.parametrize(("there", "added", "values", "words", "can_evolve"), MISFITS.values(), ids=MISFITS)
def test_evolve_takes_a_type_for_both(
    config: Config,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    make: Any,
    there: pa.DataType,
    added: pa.DataType,
    values: list[Any],
    words: str,
    can_evolve: bool,
) -> None:
    """All values come back in it, and where there is none, it is refused as without."""
    write(config("t", primary_key=["id"]), make([FIRST[there]], there))
    evolving, frame = config("t", mode=mode, on_schema_change="evolve"), later(make(values, added))
    if not can_evolve:
        with pytest.raises(errors.SchemaMismatch, match=words):
            write(evolving, frame)
        return
    with caplog.at_level(logging.WARNING, "flytekitplugins.dolt"):
        write(evolving, frame)
        found = in_arrow(config("t"))
    assert "float" not in str(found.type)
    assert "double" in str(found.type)
    assert found.to_pylist() == [FIRST[there], *values]
    assert math.copysign(1, _number(found[-1].as_py())) == math.copysign(1, _number(values[-1]))
    assert not caplog.records


def _number(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value["a"])


def test_evolve_keeps_integers_that_no_float_is(config: Config) -> None:
    """Values that are there count as well as those that are added."""
    write(config("t", primary_key=["id"]), of_arrow([[2**53 + 1]], INTEGERS))
    with pytest.raises(errors.SchemaMismatch, match=r"'\[0.5\]' in row 0") as caught:
        write(config("t", mode="append", on_schema_change="evolve"), later(of_arrow([[0.5]], FLOATS)))
    assert "on_schema_change" not in str(caught.value)
    assert in_arrow(config("t")).to_pylist() == [[2**53 + 1]]


def test_objects_among_values_of_a_type(config: Config) -> None:
    """Lists of Python are held against the table's type, and widen it."""
    write(config("t", primary_key=["id"]), of_arrow([[1]], INTEGERS))
    with pytest.raises(errors.SchemaMismatch, match=r"'\[1.5\]' in row 1"):
        write(config("t", mode="append"), later(of_objects([[2], [1.5]], INTEGERS)))
    write(config("t", mode="append", on_schema_change="evolve"), later(of_objects([[2], [1.5]], INTEGERS)))
    assert in_arrow(config("t")).to_pylist() == [[1.0], [2.0], [1.5]]


@TYPED
def test_values_of_a_type_among_objects(config: Config, make: Any) -> None:
    """A column of Python's lists and dictionaries takes all of them, each as it is."""
    write(config("t", primary_key=["id"]), of_objects([[1, "x"], {"a": None}], INTEGERS))
    write(config("t", mode="append"), later(make([[1.0], [-0.0]], FLOATS)))
    assert repr(read(config("t"))["v"].tolist()) == "[[1, 'x'], {'a': None}, [1.0], [-0.0]]"


def test_a_missing_value_where_the_type_has_none(config: Config) -> None:
    """A type that says that no value inside is missing keeps its word."""
    write(config("t", primary_key=["id"]), of_arrow([[7]], NEVER_MISSING))
    with pytest.raises(errors.SchemaMismatch, match=r"'\[null\]' in row 1"):
        write(config("t", mode="append"), later(of_arrow([[1], [None]], INTEGERS)))
    write(config("t", mode="append", on_schema_change="evolve"), later(of_arrow([[1], [None]], INTEGERS)))
    assert in_arrow(config("t")).type == INTEGERS
    assert in_arrow(config("t")).to_pylist() == [[7], [1], [None]]


@pytest.mark.parametrize("make", [of_arrow, of_polars])
def test_evolve_gives_lists_without_any_value_a_type(config: Config, make: Any) -> None:
    """It is that of the first values."""
    write(config("t", primary_key=["id"]), make([[], [None]], pa.list_(pa.null())))
    write(config("t", mode="append", on_schema_change="evolve"), later(make([["x"]], pa.list_(pa.string()))))
    found = in_arrow(config("t"))
    assert found.to_pylist() == [[], [None], ["x"]]
    assert pa.types.is_string(found.type.value_type) or pa.types.is_large_string(found.type.value_type)


@TYPED
@pytest.mark.parametrize(
    ("there", "added", "values"), [TAKEN["narrower floats"], TAKEN["in a structure"]], ids=["lists", "structures"]
)
def test_a_rewrite_keeps_the_frames_own_type(
    config: Config, make: Any, there: pa.DataType, added: pa.DataType, values: list[Any]
) -> None:
    """What the table had before does not matter to rows that take its place."""
    write(config("t", primary_key=["id"]), make([FIRST[there]], there))
    write(config("other", primary_key=["id"]), make(values, added))
    write(config("t"), make(values, added))
    assert in_arrow(config("t")).equals(in_arrow(config("other")))
    pd.testing.assert_frame_equal(read(config("t")), read(config("other")))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.list_(pa.timestamp("ms")), [0]),
        (pa.list_(pa.duration("ns")), [1]),
        (pa.list_(pa.decimal128(5, 2)), ["1.50"]),
        (pa.map_(pa.string(), pa.int64()), [("a", 1)]),
        (pa.list_(pa.binary()), [b"x"]),
    ],
    ids=str,
)
@ADDING
def test_values_without_an_exact_json_form_are_refused_in_every_mode(
    config: Config, mode: str, kind: pa.DataType, value: Any
) -> None:
    """Times, spans, decimals, bytes and maps are not stored inside of others: neither first nor later."""
    array = pa.array([value]).cast(kind) if isinstance(value[0], str) else pa.array([value], kind)
    frame = pa.table({"id": [1], "v": array})
    with pytest.raises(errors.UnsupportedFrame, match=r"'v'.*row 0"):
        write(config("new", primary_key=["id"]), frame)
    write(config("t", primary_key=["id"]), of_arrow([[7]], INTEGERS))
    with pytest.raises(errors.UnsupportedFrame, match=r"'v'.*row 0"):
        write(config("t", mode=mode), frame)
    assert in_arrow(config("t")).to_pylist() == [[7]]


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame])
def test_a_dictionary_of_lists_is_refused(config: Config, make: Any) -> None:
    """Arrow makes no dictionary of lists again, so it would come back as something else."""
    lists = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([[1]], INTEGERS))
    column = pd.array(lists, dtype=pd.ArrowDtype(lists.type)) if make is pd.DataFrame else lists
    with pytest.raises(errors.UnsupportedFrame, match="'v'.*levels are list<item: int64>.*without a dictionary"):
        write(config("t"), make({"v": column}))


@pytest.mark.parametrize("text", ["[null]", '[["a",1]]', '{"a":1}', '[{"key":"a","value":1}]'])
@pytest.mark.parametrize("depth", [0, 1])
def test_entries_of_maps_are_none_of_ours(config: Config, dolt: Callable[..., str], text: str, depth: int) -> None:
    """Maps without entries come back; with such a row, Arrow ended the process of the reader and of the writer."""
    kind, empty = pa.map_(pa.string(), pa.int64()), []
    kind, text = (pa.list_(kind), f"[{text}]") if depth else (kind, text)
    write(config("t", primary_key=["id"]), of_arrow([empty, None], kind))
    assert in_arrow(config("t")).equals(of_arrow([empty, None], kind)["v"])
    with pytest.raises(errors.SchemaMismatch, match="'v'.*in row 0"):
        write(config("t", mode="append"), later(of_objects([json.loads(text)], kind)))
    dolt("sql", "-q", f"insert into t values (7, '{text}'); call dolt_commit('-am', 'theirs')")
    assert in_arrow(config("t")).to_pylist() == ["[]", None, text]


@TYPED_ADDING
@pytest.mark.parametrize(
    ("there", "added", "first", "value"),
    [
        (pa.list_(pa.int32()), INTEGERS, [1], [2**40, None]),
        (pa.struct({"a": pa.int32(), "b": pa.string()}), TEXT_AND_NUMBER, {"a": 1, "b": "x"}, {"a": 2**40, "b": None}),
        (pa.list_(pa.struct({"a": pa.int8()})), pa.list_(STRUCTURE), [{"a": 1}], [{"a": 2**40}]),
    ],
    ids=["lists", "structures", "lists of structures"],
)
def test_evolve_takes_wider_integers(
    config: Config, mode: str, make: Any, there: pa.DataType, added: pa.DataType, first: Any, value: Any
) -> None:
    """Lists and fields of 32 bits take those of 64, at any depth; the rows that were there stay, as does the type."""
    write(config("t", primary_key=["id"]), make([first], there))
    frame = later(make([value], added))
    with pytest.raises(errors.SchemaMismatch, match="'v'.*1099511627776.*'evolve'"):
        write(config("t", mode=mode), frame)
    write(config("t", mode=mode, on_schema_change="evolve"), frame)
    found = in_arrow(config("t"))
    assert "int64" in str(found.type)
    assert found.to_pylist() == [first, value]
    write(config("t", mode="append"), later(frame))
    assert in_arrow(config("t")).type == found.type
