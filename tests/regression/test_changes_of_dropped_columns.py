"""Changes without what was before have the columns that are gone, too, as those with it have."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from flytekitplugins.dolt import Changes, DoltConfig, read, write
from flytekitplugins.dolt.server import procedures

ONE_REPOSITORY = True


@pytest.mark.parametrize("switch", ["0", "1"])
@pytest.mark.parametrize("key", [["id"], None])
@pytest.mark.parametrize("kinds", [("added",), ("modified",), ("added", "modified")])
def test_a_column_that_is_gone_is_empty(
    monkeypatch: pytest.MonkeyPatch,
    config: Callable[..., DoltConfig],
    kinds: tuple[str, ...],
    key: list[str] | None,
    switch: str,
) -> None:
    """With a key and without one, by SQL and natively."""
    monkeypatch.setenv(procedures.SWITCH, switch)
    replaced = config("t", primary_key=key, on_schema_change="replace")
    first = write(replaced, pd.DataFrame({"id": [1, 2], "gone": ["a", "b"], "x": [1, 2]}))
    write(replaced, pd.DataFrame({"id": [1, 3], "x": [5, 3]}))
    changes = Changes(since=first, kinds=kinds, before_values=False)  # type: ignore[arg-type]
    found = read(config("t", changes=changes))
    whole = read(config("t", changes=Changes(since=first, kinds=kinds)))  # type: ignore[arg-type]
    assert sorted(found) == ["diff_type", "gone", "id", "x"]
    pd.testing.assert_frame_equal(found, whole[list(found)])
