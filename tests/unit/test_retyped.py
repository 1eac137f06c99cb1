"""Values in another type: the same ones, of the same nature, or none at all."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

from flytekitplugins.dolt.tables.retyped import as_text, in_one_type

NUMBERS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(allow_nan=False, allow_infinity=False, width=32),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.decimal256(9, 2): st.decimals(-(10**7) + 1, 10**7 - 1, places=2),
    pa.decimal256(65, 30): st.decimals(-(10**9), 10**9, places=30),
}


def column(value: Any, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([value], kind)])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), was=st.sampled_from(list(NUMBERS)), now=st.sampled_from(list(NUMBERS)))
def test_a_number_is_no_other_one(data: st.DataObject, was: pa.DataType, now: pa.DataType) -> None:
    """What is given is the very number, but for a decimal between the digits of a float; its text is it, too."""
    value = data.draw(NUMBERS[was])
    both = in_one_type(column(value, was), pa.chunked_array([], now))
    if both is not None:
        (found,) = both[0].to_pylist()
        assert both[0].type == now
        if pa.types.is_floating(was) is pa.types.is_floating(now):
            assert found == value
        back = in_one_type(both[0], pa.chunked_array([], was))
        assert back is not None
        assert str(back[0].to_pylist()[0]) == str(column(value, was).to_pylist()[0])
    (text,) = as_text(column(value, was)).to_pylist()
    assert column(text, pa.string()).cast(pa.float64())[0].as_py() == pytest.approx(float(value))


@pytest.mark.parametrize(
    ("value", "was", "now"),
    [
        (-0.0, pa.float64(), pa.int64()),
        (5, pa.int32(), pa.date32()),
        (5, pa.int64(), pa.timestamp("us")),
        (5, pa.int64(), pa.time64("us")),
        (5, pa.int64(), pa.duration("us")),
        (2**53 + 1, pa.int64(), pa.float64()),
        ("nan", pa.string(), pa.float64()),
        ("1", pa.string(), pa.bool_()),
        (b"\xff", pa.binary(), pa.string()),
        (datetime.datetime(2024, 1, 1, 1), pa.timestamp("us"), pa.date32()),
        (datetime.timedelta(hours=25), pa.duration("us"), pa.time64("us")),
        (Decimal("0.333"), pa.decimal256(9, 3), pa.decimal256(9, 2)),
    ],
    ids=str,
)
def test_what_is_another_value_there(value: Any, was: pa.DataType, now: pa.DataType) -> None:
    """There is no type for both, and the text is the old value."""
    assert in_one_type(column(value, was), pa.chunked_array([], now)) is None


def test_types_that_hang_on_the_values() -> None:
    """TINYINT(1) and TIME arrive in one of two types; where the column is the same, either will do."""
    time, span = column(datetime.time(1), pa.time64("us")), column(datetime.timedelta(hours=-1), pa.duration("us"))
    for was, now in ((time, span), (span, time), (column(True, pa.bool_()), column(2, pa.int8()))):
        both = in_one_type(was, now, of_one_column=True)
        assert both is not None
        assert both[0].type == both[1].type
    assert as_text(span).to_pylist() == ["-01:00:00"]
    assert in_one_type(span, time) is None
