"""Times that no TIMESTAMP holds and large integers beside missing ones ended in the words of Dolt and of Arrow."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, read, write
from flytekitplugins.dolt.errors import SchemaMismatch
from flytekitplugins.dolt.server import procedures

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]


@pytest.mark.parametrize("way", ["1", "0"])
@pytest.mark.parametrize("change", ["refuse", "evolve"])
@pytest.mark.parametrize("kind", ["timestamp", "timestamp(6)"])
def test_times_that_no_timestamp_holds(
    config: Config, dolt: Dolt, monkeypatch: pytest.MonkeyPatch, kind: str, change: str, way: str
) -> None:
    """The column, its first such row and the value are named; the first and the last that it holds are stored."""
    monkeypatch.setenv(procedures.SWITCH, way)
    dolt("sql", "-q", f"create table t (id int primary key, v {kind}); call dolt_commit('-Am', 'theirs')")
    table = config("t", mode="append", on_schema_change=change)
    for late in ("1970-01-01 00:00:00", "2038-01-19 03:14:08", "1969-12-31 00:00:00", "2040-01-01 00:00:00"):
        times = pd.to_datetime(["2020-01-01 00:00:00", late])
        with pytest.raises(SchemaMismatch, match=rf"'v' has '{late}.*' in row 1 that {kind[:9]}"):
            write(table, pd.DataFrame({"id": [1, 2], "v": times}))
    frame = pd.DataFrame({"id": [1, 2], "v": pd.to_datetime(["1970-01-01 00:00:01", "2038-01-19 03:14:07"])})
    write(table, frame)
    assert read(table)["v"].tolist() == frame["v"].tolist()


def test_large_integers_beside_missing_ones(config: Config) -> None:
    """Objects that are integers of 64 bits without a sign come back, with None where none was."""
    values = [2**64 - 1, None, 0]
    write(config("t", keep_order=True), pd.DataFrame({"v": pd.Series(values, dtype=object)}))
    assert read(config("t"))["v"].tolist() == values
