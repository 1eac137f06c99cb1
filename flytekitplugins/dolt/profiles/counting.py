"""The values of a column, or of one column in two tables, counted: each distinct value once, in order. Pure.

Everything that is said of a column follows from these counts, so it does not depend on the order of rows, and it is
exact: integers and decimals are never turned into floats where that would change them.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Kind: TypeAlias = Literal["number", "time", "text", "flag", "other"]
"""What a column holds: numbers; dates, moments, times of day and durations; text and categories; booleans; or what has
no order that means anything (bytes, JSON, nested values, nothing but NULL)."""

ORDERED: tuple[Kind, ...] = ("number", "time")
"""The kinds whose values have an order and distances."""

_EXACT_IN_FLOAT = 2**53


@dataclass(frozen=True)
class Values:
    """One column: its values that are not missing, in one Arrow type for all values of a kind."""

    kind: Kind
    type: str
    """The type of the column as text."""
    rows: int
    """How many rows it has, missing ones included."""
    present: pa.Array
    """The values that are not missing. NULL is missing, and so is NaN."""
    is_text: bool = False
    """Whether the values are text of their own, and not levels of a category."""

    @property
    def missing(self) -> int:
        """How many rows have no value."""
        return self.rows - len(self.present)


def values_of(column: pa.ChunkedArray | pa.Array, type_text: str | None = None) -> Values:
    """Return the values of an Arrow column.

    ``type_text`` is what its type is called, such as the SQL type of the column; None is the name of its Arrow type.
    """
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    called = type_text or str(chunked.type)
    kind, plain = _plain(chunked)
    if called.lower().startswith("json"):
        kind = "other"
    present = plain.drop_null()
    if pa.types.is_floating(present.type):
        present = present.filter(pc.invert(pc.is_nan(present)))
    is_text = kind == "text" and not pa.types.is_dictionary(chunked.type)
    return Values(kind, called, len(chunked), _one(present), is_text)


def _one(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):  # what early versions return, and text that is too long for one array
        found = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], found.type)
    return found


def _plain(column: pa.ChunkedArray) -> tuple[Kind, pa.ChunkedArray]:
    """Return the kind of a column, and its values in the type in which that kind is counted."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    for is_of, counted_as, cast in _KINDS:
        if is_of(kind):
            return counted_as, cast(column)
    return "other", _as_json(column)


def _as_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    narrow = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
    return narrow.cast(pa.float64())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _as_text(levels: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return levels.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _as_json(levels)


def _as_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values of any type as text that is the same for equal values, whatever the order of their keys."""
    said = [None if value is None else json.dumps(value, sort_keys=True, default=repr) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(said, pa.large_string())])


def _as_it_is(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], Kind, Callable[[pa.ChunkedArray], pa.ChunkedArray]], ...] = (
    (pa.types.is_dictionary, "text", lambda column: _as_text(column.cast(column.type.value_type))),
    (pa.types.is_boolean, "flag", _as_it_is),
    (pa.types.is_floating, "number", _as_floats),
    (pa.types.is_integer, "number", _as_it_is),
    (pa.types.is_decimal, "number", _as_it_is),
    (pa.types.is_date64, "time", lambda column: column.cast(pa.date32())),
    (pa.types.is_interval, "other", _as_json),
    (pa.types.is_temporal, "time", _as_it_is),
    (_is_text, "text", lambda column: column.cast(pa.large_string())),
    (_is_bytes, "other", lambda column: column.cast(pa.large_binary())),
)
"""Of which types a column is of which kind, the first that fits, and what it is turned into."""


# ------------------------------------------------------------------------------------------------------------- counted


@dataclass(frozen=True)
class Counted:
    """The distinct values of a column in one or more tables, and how often each table has each of them."""

    values: Any
    """The distinct values, in ascending order where their kind has one; numbers for times.
    An array of numpy or Arrow, or a list."""
    counts: tuple[np.ndarray[Any, np.dtype[np.int64]], ...]
    """For each table how often it has each value."""
    shown: Callable[[Any], Any]
    """Returns a value as Python has it, from what stands in ``values``."""

    def of(self, side: int) -> Counted:
        """Return the same of one table only; values that it does not have are counted 0."""
        return Counted(self.values, (self.counts[side],), self.shown)

    def at(self, position: int) -> Any:
        """Return a value as it is counted: int, float, Decimal, str, bytes or bool."""
        value = self.values[position]
        return value.as_py() if isinstance(value, pa.Scalar) else value.item() if hasattr(value, "item") else value

    def show(self, position: int) -> Any:
        """Return a value as Python has it."""
        return self.shown(self.at(position))

    def below(self, bound: Any) -> int:
        """Return how many of the distinct values are below ``bound``, which is a value as it is counted."""
        return bisect_left(range(len(self.values)), bound, key=self.at)


def counted(sides: Sequence[Values]) -> Counted | None:
    """Return the values of columns of one kind, counted; None where they have nothing in common to compare.

    These are columns of two kinds, and a day or moment beside a time of day or a duration.
    """
    kinds = {side.kind for side in sides if len(side.present)}
    if len(kinds) > 1:
        return None
    arrays = [side.present for side in sides if len(side.present)]
    if not arrays:
        return Counted([], tuple(np.zeros(0, np.int64) for _ in sides), _same)
    found = _COUNTERS[kinds.pop()](arrays)
    if found is None:
        return None
    empty, counts = np.zeros(len(found.values), np.int64), iter(found.counts)
    return Counted(found.values, tuple(next(counts) if len(s.present) else empty for s in sides), found.shown)


def _same(value: Any) -> Any:
    return value


def _numbers(arrays: Sequence[pa.Array]) -> Counted | None:
    as_numpy = _in_one_dtype(arrays)
    if as_numpy is not None:
        return _of_numpy(as_numpy, _same)
    kinds = {array.type for array in arrays}
    return _of_arrow(arrays, sort=True) if len(kinds) == 1 else _of_objects(arrays)


def _in_one_dtype(arrays: Sequence[pa.Array]) -> list[np.ndarray[Any, Any]] | None:
    """Return numbers in one dtype of numpy that holds all of them exactly; None where there is none."""
    types = [array.type for array in arrays]
    if any(pa.types.is_decimal(kind) for kind in types):
        return None
    if all(pa.types.is_floating(kind) for kind in types):
        fits = pa.float64()
    else:
        fits = _fitting([array for array in arrays if pa.types.is_integer(array.type)], alone=_all_integers(types))
    return None if fits is None else [array.cast(fits).to_numpy(zero_copy_only=False) for array in arrays]


def _all_integers(types: Sequence[pa.DataType]) -> bool:
    return all(pa.types.is_integer(kind) for kind in types)


def _fitting(integers: Sequence[pa.Array], *, alone: bool) -> pa.DataType | None:
    """Return the type that holds integers exactly, beside floats unless they are ``alone``; None if there is none."""
    bounds = [pc.min_max(array).as_py() for array in integers]
    low, high = min(bound["min"] for bound in bounds), max(bound["max"] for bound in bounds)
    if not alone:
        return pa.float64() if low >= -_EXACT_IN_FLOAT and high <= _EXACT_IN_FLOAT else None
    if high < 2**63:
        return pa.int64()
    return pa.uint64() if low >= 0 else None


def _times(arrays: Sequence[pa.Array]) -> Counted | None:
    spans = {pa.types.is_time(array.type) or pa.types.is_duration(array.type) for array in arrays}
    if len(spans) > 1:
        return None
    kind = arrays[0].type if len({array.type for array in arrays}) == 1 else _common(arrays, is_span=spans.pop())
    cast = [_as_kind(array, kind) for array in arrays]
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    numbers = [array.view(width).cast(pa.int64()).to_numpy(zero_copy_only=False) for array in cast]

    def shown(number: int) -> Any:
        return _python(pa.scalar(number, pa.int64()).cast(width), kind)

    return _of_numpy(numbers, shown)


def _common(arrays: Sequence[pa.Array], *, is_span: bool) -> pa.DataType:
    """Return the type in which times of several types are compared: as fine as they are, if years allow it."""
    fine = any(getattr(array.type, "unit", "") == "ns" for array in arrays)
    kind = pa.duration if is_span else pa.timestamp
    try:
        for array in arrays if fine else ():
            _as_kind(array, kind("ns"))
    except pa.ArrowInvalid:
        fine = False
    return kind("ns" if fine else "us")


def _as_kind(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    if pa.types.is_time(array.type):  # Arrow casts no time of day to a duration; both count from zero
        width = pa.int32() if array.type.bit_width == 32 else pa.int64()
        array = array.view(width).cast(pa.int64()).view(pa.duration(array.type.unit))
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = array.view(pa.timestamp(array.type.unit))  # moments, whatever zone they are shown in
    return array.cast(kind, safe=str(kind).endswith("[ns]"))


def _python(number: pa.Scalar, kind: pa.DataType) -> Any:
    """Return a time as Python has it; as text where Python has no such time."""
    one = pa.array([number.as_py()], number.type).view(kind)
    try:
        return one[0].as_py()
    except (OverflowError, ValueError):
        return str(one.to_numpy(zero_copy_only=False)[0])


def _others(arrays: Sequence[pa.Array]) -> Counted | None:
    if len({array.type for array in arrays}) > 1:
        return None
    return _of_arrow(arrays, sort=False)


def _flags(arrays: Sequence[pa.Array]) -> Counted:
    return _of_numpy([array.cast(pa.int8()).to_numpy(zero_copy_only=False) for array in arrays], bool)


_COUNTERS: dict[Kind, Callable[[Sequence[pa.Array]], Counted | None]] = {
    "number": _numbers,
    "time": _times,
    "text": _others,
    "flag": _flags,
    "other": _others,
}


def _of_numpy(arrays: Sequence[np.ndarray[Any, Any]], shown: Callable[[Any], Any]) -> Counted:
    parts = [np.unique(array, return_counts=True) for array in arrays]
    if len(parts) == 1:
        return Counted(parts[0][0], (parts[0][1],), shown)
    values = np.unique(np.concatenate([part for part, _ in parts]))
    counts = []
    for part, often in parts:
        found = np.zeros(len(values), np.int64)
        found[np.searchsorted(values, part)] = often
        counts.append(found)
    return Counted(values, tuple(counts), shown)


def _of_arrow(arrays: Sequence[pa.Array], *, sort: bool) -> Counted:
    parts = [pc.value_counts(array) for array in arrays]
    coded = pa.concat_arrays([part.field("values") for part in parts]).dictionary_encode()
    codes, values = coded.indices.to_numpy(zero_copy_only=False), coded.dictionary
    counts, start = [], 0
    for part in parts:
        found = np.zeros(len(values), np.int64)
        found[codes[start : start + len(part)]] = part.field("counts").to_numpy(zero_copy_only=False)
        counts.append(found)
        start += len(part)
    if not sort:
        return Counted(values, tuple(counts), _same)
    listed = values.to_pylist()
    order = sorted(range(len(listed)), key=listed.__getitem__)
    return Counted([listed[place] for place in order], tuple(found[order] for found in counts), _same)


def _of_objects(arrays: Sequence[pa.Array]) -> Counted:
    """Count numbers of several types, which Python compares exactly, and hashes alike where they are equal."""
    found: dict[Any, list[int]] = {}
    for number, array in enumerate(arrays):
        parts = pc.value_counts(array)
        for value, often in zip(parts.field("values").to_pylist(), parts.field("counts").to_pylist(), strict=True):
            found.setdefault(value, [0] * len(arrays))[number] += often
    values = sorted(found)
    counts = tuple(np.array([found[value][n] for value in values], np.int64) for n in range(len(arrays)))
    return Counted(values, counts, _same)


def most_frequent(found: Counted, *, most: int, weights: np.ndarray[Any, Any]) -> list[int]:
    """Return the positions of the values of the greatest weights, greatest first, equal ones by value."""
    kept = np.flatnonzero(weights)
    if not len(kept):
        return []
    values = found.values
    shown = values.take(pa.array(kept)) if isinstance(values, pa.Array) else pa.array(np.asarray(values)[kept])
    rows = pa.table({"value": shown, "weight": weights[kept], "place": kept})
    first = pc.select_k_unstable(
        rows, k=min(most, len(kept)), sort_keys=[("weight", "descending"), ("value", "ascending")]
    )
    return [int(kept[place]) for place in first.to_pylist()]
