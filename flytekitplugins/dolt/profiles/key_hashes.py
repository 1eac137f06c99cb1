"""Rows drawn by their keys: each row with the same chance, and of the same key in every state of a table. Pure.

A key is hashed together with a seed to 64 bits, a column after the other, with whole arrays of numpy. The hash is not
one that resists who looks for collisions: it only has to be even over keys that are alike, such as numbers in a row or
texts that begin alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

Words: TypeAlias = np.ndarray[Any, Any]
"""Unsigned integers of 64 bits, one for each row."""

_HASHES = 2**64
"""How many hashes there are."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_BYTES = 8
"""How many bytes a word has."""


def drawn(keys: Iterable[Sequence[pa.Array]], *, rows: int, of: int, seed: int) -> np.ndarray[Any, Any]:
    """Return the numbers, ascending, of the rows whose hash is below a bound: about ``rows`` of ``of``.

    Args:
        keys: the columns of the key, for one batch of rows after the other.
        rows: how many rows are wanted, fewer than ``of``.
        of: how many rows there are in all batches.
        seed: another one draws other rows.
    """
    bound, start, found = np.uint64(_HASHES * rows // of), 0, []
    for batch in keys:
        hashed = hashes(batch, seed=seed)
        found.append(start + np.flatnonzero(hashed < bound))
        start += len(hashed)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def hashes(key: Sequence[pa.Array], *, seed: int) -> Words:
    """Return a hash of each row's key, whose columns have the types of files of rows, and no NULL."""
    found = np.full(len(key[0]), _mixed(np.array([seed % _HASHES], np.uint64))[0])
    for column in key:
        found = _with_column(found, column)
    return found


def _mixed(words: Words) -> Words:
    """Return words in which each bit depends on all bits of the one given.

    It is the output function of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    2014), a bijection: different words stay different.
    """
    words = words + _STEP
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed


def _with_column(found: Words, column: pa.Array) -> Words:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _with_bytes(found, column)
    for words in _decimal_words(column) if pa.types.is_decimal(kind) else [_word(column)]:
        found = _mixed(found ^ words)
    return found


def _word(column: pa.Array) -> Words:
    """Return a word for each number or time, the same for equal ones, also where a column has become wider."""
    kind = column.type
    if pa.types.is_floating(kind):
        floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return _words(floats + 0.0)  # -0.0 is 0.0
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_temporal(kind):
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    numbers = column.to_numpy(zero_copy_only=False)
    return _words(numbers.astype(np.uint64 if numbers.dtype.kind == "u" else np.int64))


def _words(numbers: np.ndarray[Any, Any]) -> Words:
    """Return the bits of numbers that have 64 of them."""
    bits: Words = numbers.view(np.uint64)
    return bits


def _decimal_words(column: pa.Array) -> list[Words]:
    width = column.type.bit_width // 64
    end = column.offset + len(column)
    words = np.frombuffer(column.buffers()[1], np.uint64, width * end)[width * column.offset :]
    return list(words.reshape(-1, width).T)


def _with_bytes(found: Words, column: pa.Array) -> Words:
    """Return hashes with those of texts or bytes: of their lengths, and of eight bytes after the other."""
    end = column.offset + len(column)
    offsets = np.frombuffer(column.buffers()[1], np.int32, end + 1)[column.offset :].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    content = np.zeros(last - first + _BYTES, np.uint8)  # so that eight bytes can be taken at the last one
    if last > first:
        content[: last - first] = np.frombuffer(column.buffers()[2], np.uint8)[first:last]
    at_each = np.ndarray((last - first + 1,), np.dtype("<u8"), buffer=content, strides=(1,))
    starts, lengths = offsets[:-1] - first, np.diff(offsets)
    found = _mixed(found ^ lengths.view(np.uint64))
    rows = np.flatnonzero(lengths)
    for done in range(0, int(lengths.max(initial=0)), _BYTES):
        rows = rows[lengths[rows] > done]
        words = at_each[starts[rows] + done].astype(np.uint64) & _mask(lengths[rows] - done)
        found[rows] = _mixed(found[rows] ^ words)
    return found


def _mask(left: np.ndarray[Any, Any]) -> Words:
    """Return what keeps, of the eight bytes of a word, as many as are left of a text."""
    unused = _BYTES * (_BYTES - np.minimum(left, _BYTES))
    mask: Words = np.uint64(_HASHES - 1) >> unused.astype(np.uint64)
    return mask
