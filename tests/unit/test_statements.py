"""The corpus of statements, read without a server: `make test-oldest` reads it with the oldest sqlglot, too."""

from __future__ import annotations

import pytest
from statements import REFUSED, STATEMENTS

from flytekitplugins.dolt import errors
from flytekitplugins.dolt.query import validation

CLOCKS = ["utc_timestamp", "localtime", "localtimestamp", "current_timestamp", "current_date", "current_time"]

# Where the table stands in each statement.
TABLE_STATEMENTS = [
    "table {}",
    "(table {})",
    "table {} order by 1 limit 2",
    "explain table {}",
    "select * from (table {}) q",
    "select 1 union table {}",
    "select 1 union all table {}",
    "select 1 union distinct table {}",
    "select 1 intersect table {}",
    "select 1 except table {}",
    "select * from (select 1 union table {}) q",
    "with q as (table {}) select * from q",
    "with q as (select 1) table {}",
    "select exists (table {})",
    "select 1 where 1 in (table {})",
    "select 1 where 1 = any (table {})",
    "select (/* a comment */ table {}) n",
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_what_only_reads_is_read(sql: str) -> None:
    """Each is found harmless."""
    assert validation.parse(sql, database="shop").sql in sql


@pytest.mark.parametrize(("sql", "piece"), REFUSED)
def test_what_does_more_is_refused(sql: str, piece: str | None) -> None:
    """Each is refused for its own piece."""
    with pytest.raises(errors.QueryRefused, match="Cannot run the query") as caught:
        validation.parse(sql, database="shop")
    assert caught.value.piece == piece


@pytest.mark.parametrize("sql", TABLE_STATEMENTS)
def test_a_table_statement_names_a_table(sql: str) -> None:
    """Where a query may stand, TABLE may, and its table is checked and found as that of a SELECT."""
    assert validation.parse(sql.format("shop.orders"), database="shop").fixed[0].text == ""
    if not sql.startswith("explain"):
        assert validation.Source("orders", None) in validation.sources(sql.format("orders"))
    with pytest.raises(errors.QueryRefused, match="'dolt_stashes'"):
        validation.parse(sql.format("dolt_stashes"), database="shop")
    with pytest.raises(errors.QueryRefused, match="'mysql'"):
        validation.parse(sql.format("mysql.user"), database="shop")


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_without_parentheses_keeps_its_name(clock: str) -> None:
    """The column of a pinned clock is called as the clock was; a column in backticks is no clock."""
    query = validation.parse(f"select {clock}, `{clock}` from t", database="shop")
    assert query.pinned(["'then'"]) == f"select 'then' AS `{clock}`, `{clock}` from t"
