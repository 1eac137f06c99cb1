"""The table of numbers that tests of remotes and of servers write to, a row or some at a time."""

from __future__ import annotations

import pandas as pd

from flytekitplugins.dolt import DoltConfig, write


def rows(*numbers: int) -> pd.DataFrame:
    return pd.DataFrame({"number": list(numbers)})


def put(config: DoltConfig, *numbers: int) -> str:
    """Write rows and return the commit that is said to hold them."""
    commit = write(config, rows(*numbers), message=f"put {numbers}").commit
    assert commit is not None
    return commit.hash
