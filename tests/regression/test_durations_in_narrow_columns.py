"""Durations whose numbers fit into a narrow integer column of an existing table came back as plain integers."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest

from flytekitplugins.dolt import DoltConfig, read, write

DURATION = pd.ArrowDtype(pa.duration("ms"))


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([5, None], dtype="timedelta64[us]"),
        pd.Series(pd.array(pa.array([5, None], pa.duration("ms")), dtype=DURATION)),
        pd.Series([pd.Timedelta(5, "us").to_pytimedelta(), None], dtype=object),
    ],
    ids=["numpy", "arrow", "objects"],
)
def test_a_duration_stays_one_in_any_integer_column(config: Callable[..., DoltConfig], series: pd.Series) -> None:
    """What SQL cannot say is noted, whatever the width of the column that holds the number."""
    write(config("t", keep_order=True), pd.DataFrame({"v": pd.Series([1, 2], dtype="uint16")}))
    frame = pd.DataFrame({"v": series})
    write(config("t", keep_order=True), frame)
    pd.testing.assert_frame_equal(read(config("t")), frame)
