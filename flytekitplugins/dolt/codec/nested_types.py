"""Nested Arrow types: which one holds the values of two, and whether values keep to one. Pure."""

from __future__ import annotations

import pyarrow as pa


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type in which the values of two others are, or None where there is none.

    Whether each value is exact in it, only the values say. A structure keeps its fields: one more would be a value that
    the other rows do not have.

    >>> wider(pa.list_(pa.int8()), pa.list_(pa.float32())), wider(pa.list_(pa.null()), pa.list_(pa.string()))
    (ListType(list<item: double>), ListType(list<item: string>))
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if _is_list(one) and _is_list(other):
        return _list(one, other)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return _structure(one, other)
    if pa.types.is_map(one) and pa.types.is_map(other):
        return _map(one, other)
    return pa.large_string() if {one, other} == {pa.string(), pa.large_string()} else _number(one, other)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _field(one: pa.Field, other: pa.Field) -> pa.Field | None:
    kind = wider(one.type, other.type)
    return None if kind is None else one.with_type(kind).with_nullable(one.nullable or other.nullable)


def _list(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    held = _field(one.value_field, other.value_field)
    if held is None:
        return None
    if pa.types.is_large_list(one):
        return pa.large_list(held)
    is_of_one_size = pa.types.is_fixed_size_list(one) and one.list_size == getattr(other, "list_size", None)
    return pa.list_(held, one.list_size if is_of_one_size else -1)


def _map(one: pa.MapType, other: pa.MapType) -> pa.DataType | None:
    held = _field(one.item_field, other.item_field) if one.key_type == other.key_type else None
    return None if held is None else pa.map_(one.key_field, held, keys_sorted=one.keys_sorted)


def _structure(one: pa.StructType, other: pa.StructType) -> pa.DataType | None:
    fields = {field.name: field for field in other}
    if {field.name for field in one} != set(fields) or not one.num_fields == other.num_fields == len(fields):
        return None
    found = [_field(field, fields[field.name]) for field in one]
    return None if any(field is None for field in found) else pa.struct(found)


def _number(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    kinds = (one, other)
    if all(map(pa.types.is_integer, kinds)):
        is_alike = pa.types.is_signed_integer(one) == pa.types.is_signed_integer(other)
        return max(kinds, key=lambda kind: kind.bit_width) if is_alike else pa.int64()
    if all(map(pa.types.is_floating, kinds)):
        return max(kinds, key=lambda kind: kind.bit_width)
    return pa.float64() if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds) else None


def lacks_values(values: pa.Array) -> bool:
    """Whether a value is missing inside where the type says that none is; Arrow itself does not look."""
    kind = values.type
    if _is_list(kind):
        inner, fields = [values.flatten()], [kind.value_field]
    elif pa.types.is_struct(kind):
        inner, fields = values.drop_null().flatten(), list(kind)
    else:
        return False
    return any(
        (not field.nullable and part.null_count > 0) or lacks_values(part)
        for part, field in zip(inner, fields, strict=True)
    )
