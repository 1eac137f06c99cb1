"""Under pandas 2 a category with numbers as levels came back with objects, and floats beside None were refused."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, read, write

COLUMNS = {
    "levels that are floats": pd.Series(pd.Categorical([1.5, None], categories=[2.5, 1.5])),
    "no levels": pd.Series(pd.Categorical([None, None])),
    "floats beside None": pd.Series([1.5, None], dtype=object),
    "None before floats": pd.Series([None, 1.5], dtype=object),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_they_come_back_as_they_were(config: Callable[..., DoltConfig], column: pd.Series) -> None:
    """Both pandas 2 and 3 give dtype, levels and values back (make test-oldest runs it with pandas 2)."""
    frame = pd.DataFrame({"v": column})
    write(config("t", keep_order=True), frame)
    pd.testing.assert_frame_equal(read(config("t")), frame)


def test_integers_among_floats_are_still_refused(config: Callable[..., DoltConfig]) -> None:
    """What pandas 2 calls by the same name, but is two types, is refused whole."""
    with pytest.raises(ValueError, match="float, int"):
        write(config("t"), pd.DataFrame({"v": pd.Series([1.5, 2, None], dtype=object)}))
