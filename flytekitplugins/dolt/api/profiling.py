"""What the columns of a table, a query or a frame hold: `profile`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..codec import arrow_tables
from ..errors import InvalidConfig, SchemaMismatch, close_names
from ..model.configs import DoltConfig
from ..profiles import columns as column_profiles
from ..profiles.columns import EXACT_ROWS, TableProfile
from . import table as tables
from .scripts import pin
from .table import DoltTable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..codec.arrow_tables import Streams

__all__ = ["profile"]


def profile(
    table: DoltTable | DoltConfig | pd.DataFrame | Streams,
    *,
    columns: Sequence[str] | None = None,
    sample: int | None = EXACT_ROWS,
    seed: int = 0,
) -> TableProfile:
    """Return what each column holds: rows, missing and distinct values, range, mean, quantiles, frequent values.

    The same rows in another order have the same profile. Missing is NULL, which NaN, NaT, NA and None are as well.

    Args:
        table: a table, or a config of a table or query, as its branch has it now; or a frame of pandas, Arrow or
            Polars. A table that holds a frame which is not stored is that frame.
        columns: the columns to look at, in this order; None is all.
        sample: where a table with more rows goes by SQL, no more than this and one column are in memory at a time, and
            the quantiles are of about as many rows. Everything else is exact. None takes all rows at once. Where rows
            come natively one column is in memory at a time and all is exact, whatever this is.
        seed: what the rows are drawn with; the same seed draws the same rows of a table.

    Raises:
        InvalidConfig: ``table`` is none of these, ``columns`` is one text, or ``sample`` is below 1.
        SchemaMismatch: there is no such column.
        TableNotFound, BranchNotFound, QueryFailed: there is nothing to read there.
    """
    column_profiles.check_asked(columns, sample)
    if isinstance(table, DoltConfig):
        table = pin(table)
    if not isinstance(table, DoltTable):
        return column_profiles.profile_of(_some(table, columns), sample=sample, seed=seed)
    if table.is_assigned:
        return column_profiles.profile_of(_some(table.data, columns), sample=sample, seed=seed)
    return tables.profile(tables.resolve(table), columns=columns, sample=sample, seed=seed)


def _some(frame: pd.DataFrame | Streams, columns: Sequence[str] | None) -> pa.Table:
    import pandas as pd

    streamed = arrow_tables.table_of(frame)
    if streamed is None and not isinstance(frame, pd.DataFrame):
        raise InvalidConfig(
            f"Cannot profile a {type(frame).__name__}: give a DoltTable, a DoltConfig, or a frame of pandas, Arrow or "
            "Polars. A table goes by its config: profile(DoltConfig(db_path, tablename))."
        )
    table = column_profiles.arrow_of(frame if streamed is None else streamed)
    absent = [name for name in columns or () if name not in table.column_names]
    if absent:
        raise SchemaMismatch(
            f"Cannot profile {', '.join(map(repr, absent))} of a frame: it has the columns "
            f"{', '.join(map(repr, table.column_names))}.{close_names(absent[0], table.column_names)}",
            problems=absent,
        )
    return table if columns is None else table.select(list(columns))
