"""Numbers and halves of surrogate pairs in JSON columns changed in silence, and control characters came back raw."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, Repository, diff, pin, read, write
from flytekitplugins.dolt.errors import SchemaMismatch
from flytekitplugins.dolt.server import procedures

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

CHANGED = [
    "9007199254740993",
    '{"id": [123456789012345678]}',
    "18446744073709551615",
    "-9223372036854775807",
    "18446744073709551616",
    "-0.0",
    "[-0.0]",
    r'"\ud800"',
    r'{"\udfff": 1}',
    "1" + "0" * 400,
]
KEPT = [
    "9007199254740992",
    "-9007199254740994",
    "123456789012345680",
    "4611686018427387904",
    "-9223372036854775808",
    "18446744073709552000",
    "1" + "0" * 21,
    "1.5",
    "[true, null, 0]",
    r'"\ud83d\ude00"',
    r'["\u0000\u0001\t\u001b[1m\u001f\u007f", "\\u0001"]',
    r'{"\u0002": 1}',
]


@pytest.fixture(params=["1", "0"], ids=["natively", "by SQL"])
def table(request: pytest.FixtureRequest, config: Config, dolt: Dolt, monkeypatch: pytest.MonkeyPatch) -> DoltConfig:
    """Give a table with a column of JSON, whose rows go one way."""
    dolt("sql", "-q", "create table t (id int primary key, j json); call dolt_commit('-Am', 'theirs')")
    monkeypatch.setenv(procedures.SWITCH, request.param)
    return config("t", mode="upsert")


def test_what_would_change_is_refused(table: DoltConfig) -> None:
    """Each is named with its row; nothing is written."""
    for text in CHANGED:
        with pytest.raises(SchemaMismatch, match=r"'j' has .* in row 1 that json cannot hold"):
            write(table, pd.DataFrame({"id": [1, 2], "j": ["1", text]}))
    assert not len(read(table))


def test_what_is_kept_comes_back_as_the_same_value(table: DoltConfig) -> None:
    """By each door it is JSON of the same value, and writing that is no commit."""
    frame = pd.DataFrame({"id": range(len(KEPT)), "j": KEPT})
    written = write(table, frame)
    values = [json.loads(text) for text in KEPT]
    came = read(table)
    assert [json.loads(text) for text in came["j"]] == values
    assert [json.loads(text) for part in pin(table).iter(5) for text in part["j"]] == values
    rows = diff("HEAD~1", "HEAD", db_path=table.db_path, table="t").rows
    assert rows is not None
    assert [json.loads(text) for text in rows.sort_values("id")["j"]] == values
    assert write(table, came).commit == written.commit
    assert Repository(table.db_path).log(table="t", limit=1)[0].hash == written.commit.hash  # type: ignore[union-attr]
