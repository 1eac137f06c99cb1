"""Lists of one size whose first one is missing: Polars was thought to have no such type, and gave their text."""

from pathlib import Path

import pandas as pd
import polars as pl
from polars.testing import assert_frame_equal

from flytekitplugins.dolt import DoltConfig, pin, write
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import pinned
from flytekitplugins.dolt.api.typed_frames import to_polars

ONE_REPOSITORY = True


def test_they_come_back(repo: Path) -> None:
    """Added by a frame without the column, and beside one that is there."""
    kind = pl.Array(pl.Int64, 2)
    config = DoltConfig(str(repo), "t", primary_key=["id"])
    write(config, pl.DataFrame({"id": [2], "c": pl.Series([[3, 4]], dtype=kind)}))
    write(DoltConfig(str(repo), "t", primary_key=["id"], mode="append"), pd.DataFrame({"id": [0, 1]}))
    found = to_polars(frames.load(pinned(pin(config))))
    assert_frame_equal(
        found, pl.DataFrame({"id": [0, 1, 2], "c": pl.Series([None, None, [3, 4]], dtype=kind)}), check_row_order=True
    )
