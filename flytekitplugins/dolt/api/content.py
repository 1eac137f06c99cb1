"""What a table or a frame holds, as a short text that is the same for equal content."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ..codec import arrow_tables
from ..errors import InvalidConfig
from ..model import runtime
from . import frames
from .table import fingerprint, pinned

if TYPE_CHECKING:
    import pyarrow as pa

    from .table import DoltTable


def digest(table: DoltTable) -> str:
    """Return a text that is the same for equal content of a table, in any commit, branch or clone of the repository.

    A table is hashed by what Dolt keeps for it: columns, keys, comments and rows. A query is hashed by its text, and
    a view by its name, with the commit, because what it reads of the history cannot be told from its text.

    Raises:
        InvalidConfig: no commit holds it.
    """
    if table.commit is None:
        raise InvalidConfig(
            f"Cannot hash the content of {table!r}: no commit holds it. Hash what a task returns as a DoltTable or "
            "with dolt_frame(config), or what pin(config) returned."
        )
    options = table.config.options()
    content: dict[str, str | None]
    if table.config.sql is not None:
        content = {"sql": table.config.sql, "commit": table.commit.hash}
    else:
        with runtime.current().retryable():
            found = frames.table_hash(pinned(table))
        content = (
            {"table": found} if found is not None else {"view": table.config.tablename, "commit": table.commit.hash}
        )
    read = {name: options[name] for name in ("columns", "order_by") if name in options}
    return hashlib.sha256(json.dumps(content | read, sort_keys=True).encode()).hexdigest()[:32]


def digest_of_frame(frame: Any) -> tuple[Any, str]:
    """Return a frame and a text that is the same for equal frames of the same program.

    What gives its rows only once, or computes them, is returned as the Arrow table that it was read into.
    """
    streamed = arrow_tables.table_of(frame)
    if streamed is None:
        return frame, fingerprint(frame).hex()
    return (streamed if _is_read_once(frame) else frame), _digest_of_arrow(streamed)


def _is_read_once(frame: Any) -> bool:
    return not hasattr(frame, "schema") or type(frame).__name__ in ("LazyFrame", "RecordBatchReader")


def _digest_of_arrow(table: pa.Table) -> str:
    import pyarrow as pa

    found = hashlib.sha256()

    class Hashed:
        closed = False

        def write(self, data: bytes) -> int:
            found.update(data)
            return len(data)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    with pa.ipc.new_stream(pa.PythonFile(Hashed(), mode="w"), table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return found.hexdigest()
