"""Where files of rows are, and writes them with types that are asked for; see ``native/rowsfile.go``."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from flytekitplugins.dolt.repository import connections
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.doltdb.redaction import Password

_ALIGN = 64


def folder_of(connection: Connection) -> Path:
    """Return the folder in which a private server makes and finds files."""
    folder = connection.shared_folder()
    assert folder is not None
    return folder


def as_user(connection: Connection, user: str) -> Connection:
    """Return a session of another user, whose password is ``x``, in the same place."""
    login = replace(connection.endpoint, user=user, password=Password("x"))
    return Connection(connections._open(login), login, connection.database)


def written(path: Path, rows: pa.Table, *, types: Mapping[str, str] | None = None, batch_rows: int = 1 << 16) -> Path:
    """Write ``rows`` to ``path`` and return it; ``types`` names those of columns that Arrow calls otherwise."""
    columns = [{"name": f.name, "type": (types or {}).get(f.name, _name(f.type))} for f in rows.schema]
    header = json.dumps({"columns": columns}).encode()
    with path.open("wb") as file:
        file.write(_padded(b"DOLTROW1" + struct.pack("<I", len(header)) + header))
        for batch in rows.combine_chunks().to_batches(max_chunksize=batch_rows):
            if batch.num_rows:
                file.write(_batch(batch))
        file.write(struct.pack("<QQ", 0, rows.num_rows))
    return path


def _name(kind: pa.DataType) -> str:
    return {"date32[day]": "date32", "time64[us]": "duration[us]", "float": "float32", "double": "float64"}.get(
        str(kind), str(kind)
    )


def _batch(batch: pa.RecordBatch) -> bytes:
    numbers, buffers = [batch.num_rows], []
    for column in batch.columns:
        found = pa.concat_arrays([column.slice(0, 0), column])  # from the start of its own buffers
        if found.offset:
            found = pa.array(column.to_pylist(), column.type)
        parts = [bytes(buffer) if buffer is not None else b"" for buffer in found.buffers()]
        parts[0] = parts[0][: -(-len(found) // 8)] if found.null_count else b""
        if len(parts) == 3:
            parts[1] = parts[1][: 4 * (len(found) + 1)]
            (end,) = struct.unpack_from("<I", parts[1], 4 * len(found))
            parts[2] = parts[2][:end]
        elif pa.types.is_boolean(found.type):
            parts[1] = parts[1][: -(-len(found) // 8)]
        else:
            parts[1] = parts[1][: len(found) * found.type.byte_width]
        numbers += [found.null_count, *map(len, parts)]
        buffers += parts
    return _padded(struct.pack(f"<{len(numbers)}Q", *numbers)) + b"".join(map(_padded, buffers))


def _padded(piece: bytes) -> bytes:
    return piece + bytes(-len(piece) % _ALIGN)
