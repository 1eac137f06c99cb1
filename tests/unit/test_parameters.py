"""Values and names of parameters, and the tables that a query reads: what is seen in its text alone."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, errors
from flytekitplugins.dolt.query import validation


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), Decimal("NaN"), pd.NaT, {"a": 1}, object(), [[1]], {1, 2}, "\ud800", 1j, pd.NA,
     np.array([1, 2]), dt.time(1, tzinfo=dt.timezone.utc), [float("nan")], len],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_without_a_literal_is_refused(value: object) -> None:
    """NaN, dictionaries, sets and objects are no values of SQL."""
    config = DoltConfig("foo", sql="select :v", params={"v": value})
    for use in (config.check, config.to_dict):
        with pytest.raises(errors.InvalidConfig, match=r"params\['v'"):
            use()


@pytest.mark.parametrize("name", ["", "1a", "a b", "a;b", "a`", "é", 5, "a-b", "a\n"])
def test_a_name_is_a_word(name: object) -> None:
    """What cannot stand behind a colon names no parameter."""
    with pytest.raises(errors.InvalidConfig, match=":name"):
        DoltConfig("foo", sql="select 1", params={name: 1}).check()  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select * from a", {("a", None)}),
        ("select a.x from a join `b c` on a.x = `b c`.x, d", {("a", None), ("b c", None), ("d", None)}),
        (f"select * from a as of '{'0' * 32}' o join a n on o.x = n.x", {("a", "0" * 32), ("a", None)}),
        ("with w as (select * from a) select * from w union select * from b", {("a", None), ("b", None)}),
        ("select (select max(x) from b) from a where x in (select x from c) -- from d", {(n, None) for n in "abc"}),
        ("select 'from b' from a where x = :x", {("a", None)}),
        ("select * from dolt_log", set()),
        ("select * from dolt_diff('HEAD~1', 'HEAD', 'a')", set()),
        ("show tables", set()),
        ("select 1", set()),
    ],
)
def test_the_tables_that_a_query_reads(sql: str, found: set[tuple[str, str | None]]) -> None:
    """Each table once, at its own commit where it names one; not a CTE, a system table or a word in a text."""
    assert {(source.table, source.commit) for source in validation.sources(sql)} == found
