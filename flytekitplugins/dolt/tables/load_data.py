"""Arrow columns as text that the server turns into exactly the same values: lines for LOAD DATA, VALUES for INSERT.

Pure, and Arrow does the work: no Python object is made per value, but for bytes. Only the types that `codec.encode`
gives are known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..model.sql_text import quote

_CHUNK_ROWS = 64 * 1024
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def with_empty_text(arrow: pa.Table) -> list[str]:
    """Return the columns of text that have an empty one; to an ENUM or SET, LOAD DATA takes that for no value."""
    return [
        name
        for name, column in zip(arrow.column_names, arrow.columns, strict=True)
        if pa.types.is_string(column.type) and pc.any(pc.equal(column, "")).as_py()
    ]


def load_clause(arrow: pa.Table, *, told_apart: Collection[str] = ()) -> str:
    """Return what follows ``INTO TABLE t`` in the LOAD DATA statement for `lines`.

    ``told_apart`` are columns whose empty texts have to be told from NULL; it is slower.
    """
    names, sets = [], []
    prefix = "@c"
    while any(name.lower().startswith(prefix) for name in arrow.column_names):
        prefix += "c"  # Dolt takes a column of that name, even quoted, for the variable
    for number, (name, marks) in enumerate(zip(arrow.column_names, _marks(arrow, told_apart), strict=True)):
        if marks:
            variable = f"{prefix}{number}"
            names.append(variable)
            sets.append(f"{quote(name)} = {_without_prefix(variable, arrow.column(name).type)}")
        else:
            names.append(quote(name))
    clause = f"CHARACTER SET utf8mb4 ({', '.join(names)})"
    return f"{clause} SET {', '.join(sets)}" if sets else clause


def lines(arrow: pa.Table, *, told_apart: Collection[str] = ()) -> Iterator[pa.Buffer]:
    r"""Give the rows as tab-separated lines, some 64 thousand to a buffer, NULL as ``\N``."""
    marked = _marks(arrow, told_apart)
    for batch in arrow.to_batches(max_chunksize=_CHUNK_ROWS):
        if batch.num_rows:
            fields = [
                _prefixed_field(column) if marks else _field(column)
                for column, marks in zip(batch.columns, marked, strict=True)
            ]
            yield _joined(fields)


def insert_statements(table: str, arrow: pa.Table, *, replacing: bool = False, size: int = 1 << 20) -> Iterator[str]:
    """Give INSERT (or REPLACE) statements of about ``size`` characters: each value is a string literal, or NULL."""
    names = ", ".join(map(quote, arrow.column_names))
    head = f"{'REPLACE' if replacing else 'INSERT'} INTO {quote(table)} ({names}) VALUES "
    batch: list[str] = []
    length = 0
    for row in _values(arrow):
        batch.append(row)
        length += len(row)
        if length > size:
            yield head + ",".join(batch)
            batch, length = [], 0
    if batch:
        yield head + ",".join(batch)


def _values(arrow: pa.Table) -> Iterator[str]:
    for batch in arrow.to_batches(max_chunksize=_CHUNK_ROWS):
        literals = [_literal(column) for column in batch.columns]
        for row in zip(*(column.to_pylist() for column in literals), strict=True):
            yield f"({','.join(row)})"


def _text(column: pa.Array) -> pa.Array:
    """Return each value as the text from which the server makes exactly that value; bytes as hexadecimal digits."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.string())
    if pa.types.is_binary(kind):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def _field(column: pa.Array) -> pa.Array:
    text = _text(column)
    return pc.fill_null(_escaped(text) if pa.types.is_string(column.type) else text, "\\N")


def _prefixed_field(column: pa.Array) -> pa.Array:
    return pc.fill_null(pc.binary_join_element_wise("=", _escaped(_text(column)), ""), "!")


def _marks(arrow: pa.Table, told_apart: Collection[str]) -> list[bool]:
    """Say for each column whether it goes by a variable; Dolt takes a quoted name with an @ before it for one."""
    return [
        name.startswith("@") or name in told_apart or _needs_null_prefix(arrow.column(name))
        for name in arrow.column_names
    ]


def _needs_null_prefix(column: pa.ChunkedArray) -> bool:
    """Whether LOAD DATA needs help: it reads the very text ``NULL`` as no value, and bytes go as digits."""
    if pa.types.is_binary(column.type):
        return True
    return pa.types.is_string(column.type) and bool(pc.any(pc.equal(column, "NULL")).as_py())


def _without_prefix(variable: str, kind: pa.DataType) -> str:
    value = f"SUBSTRING({variable}, 2)"
    return f"IF({variable} = '!', NULL, {f'UNHEX({value})' if pa.types.is_binary(kind) else value})"


def _escaped(text: pa.Array) -> pa.Array:
    for character, escape in _ESCAPES:
        if pc.any(pc.match_substring(text, character)).as_py():
            text = pc.replace_substring(text, character, escape)
    return text


def _joined(fields: list[pa.Array]) -> pa.Buffer:
    row = pc.binary_join_element_wise(*fields, "\t") if len(fields) > 1 else fields[0]
    ended = pc.binary_join_element_wise(row, "", "\n")
    # The lines stand one behind the other in the data buffer already: no copy into one text.
    return ended.buffers()[2]


def _literal(column: pa.Array) -> pa.Array:
    text = _text(column)
    if pa.types.is_binary(column.type):
        literal = pc.binary_join_element_wise("UNHEX('", text, "')", "")
    else:
        if pa.types.is_string(column.type):
            text = pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), "'", "\\'")
        literal = pc.binary_join_element_wise("'", text, "'", "")
    return pc.fill_null(literal, "NULL")
