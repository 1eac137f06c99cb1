"""An upsert that lacks columns keeps the sign of zero, of what is there and of what it brings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, read, write

ONE_REPOSITORY = True


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_stay(config: Callable[..., DoltConfig], dtype: str) -> None:
    """The server completes such rows, and Dolt 1.83 copies -0.0 as 0.0."""
    tiny = float(np.finfo(dtype).smallest_subnormal)
    kept = np.array([-0.0, 0.0, -0.0, 0.1, tiny], dtype=dtype)
    given = np.array([1.0, 2.0, 3.0, 4.0, 5.0], dtype=dtype)
    write(config("t", primary_key=["id"]), pd.DataFrame({"id": range(5), "kept": kept, "given": given}))
    some = pd.DataFrame({"id": [0, 1, 3, 4, 9], "given": np.array([0.0, -0.0, -0.0, 1 / 3, -0.0], dtype=dtype)})
    write(config("t", primary_key=["id"], mode="upsert"), some)
    found = read(config("t"))
    want = {
        "kept": [*kept, np.array(np.nan, dtype=dtype)],
        "given": np.array([0.0, -0.0, 3.0, -0.0, 1 / 3, -0.0], dtype=dtype),
    }
    for name, values in want.items():
        expected = np.array(values, dtype=dtype)
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], expected)
        held = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[name][held]), np.signbit(expected[held]))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_stay_where_the_frame_has_the_key_alone(config: Callable[..., DoltConfig], dtype: str, rows: int) -> None:
    """Of one row, too: there Dolt 1.83 stores 0.0 where an UPDATE of a join sets -0.0."""
    kept = pd.DataFrame({"id": range(rows), "kept": np.full(rows, -0.0, dtype)})
    write(config("t", primary_key=["id"]), kept)
    write(config("t", mode="upsert"), kept[["id"]])
    assert np.signbit(read(config("t"))["kept"]).all()
