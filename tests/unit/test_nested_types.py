"""Which nested Arrow type holds the values of two others."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flytekitplugins.dolt.codec.nested_types import lacks_values, wider

NEVER_MISSING = pa.field("item", pa.int32(), nullable=False)
NEVER_MISSING_LONG = NEVER_MISSING.with_type(pa.int64())


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (pa.list_(pa.uint32()), pa.list_(pa.int8()), pa.list_(pa.int64())),
        (pa.list_(pa.int8()), pa.list_(pa.float32()), pa.list_(pa.float64())),
        (pa.list_(pa.float16()), pa.list_(pa.float32()), pa.list_(pa.float32())),
        (pa.list_(pa.null()), pa.list_(pa.string()), pa.list_(pa.string())),
        (pa.list_(pa.string()), pa.list_(pa.large_string()), pa.list_(pa.large_string())),
        (pa.list_(NEVER_MISSING), pa.list_(pa.int32()), pa.list_(pa.int32())),
        (pa.list_(NEVER_MISSING), pa.list_(NEVER_MISSING_LONG), pa.list_(NEVER_MISSING_LONG)),
        (pa.list_(pa.int8(), 2), pa.list_(pa.int16(), 2), pa.list_(pa.int16(), 2)),
        (pa.list_(pa.int8(), 2), pa.list_(pa.int16(), 3), pa.list_(pa.int16())),
        (pa.large_list(pa.int8()), pa.list_(pa.int16()), pa.large_list(pa.int16())),
        (pa.list_(pa.list_(pa.int8())), pa.list_(pa.list_(pa.int16())), pa.list_(pa.list_(pa.int16()))),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.float64()}), pa.struct({"a": pa.float64()})),
        (pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int16()), pa.map_(pa.string(), pa.int16())),
    ],
    ids=str,
)
def test_the_type_of_both(one: pa.DataType, other: pa.DataType, both: pa.DataType) -> None:
    """It is the wider one, part by part; a part may have missing values where that of either may."""
    assert wider(one, other) == both


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.list_(pa.int8()), pa.list_(pa.bool_())),
        (pa.list_(pa.int8()), pa.list_(pa.string())),
        (pa.list_(pa.int8()), pa.struct({"a": pa.int8()})),
        (pa.struct({"a": pa.int8()}), pa.struct({"b": pa.int8()})),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.int8(), "b": pa.int8()})),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.string()})),
        (pa.map_(pa.string(), pa.int8()), pa.map_(pa.int8(), pa.int8())),
    ],
    ids=str,
)
def test_there_is_none(one: pa.DataType, other: pa.DataType) -> None:
    """Values of another kind and other fields have no type in common, from either side."""
    assert wider(one, other) is None
    assert wider(other, one) is None


def test_what_is_missing_inside() -> None:
    """A missing value counts where the type has none, at any depth; a whole value may be missing."""
    kind = pa.struct([pa.field("a", pa.list_(NEVER_MISSING))])
    assert not lacks_values(pa.array([{"a": [1]}, None, {"a": None}], kind))
    assert lacks_values(pa.array([{"a": [1, None]}], kind))
    assert lacks_values(pa.array([{"a": None}], pa.struct([pa.field("a", pa.int8(), nullable=False)])))
