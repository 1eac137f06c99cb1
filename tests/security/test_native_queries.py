"""Every hostile query of the tests, given to the procedure that reads queries natively: nothing changes.

In the product, a text reaches it only after `query.validation` found it harmless. Here it is asked without that, as the
user who may only read, so that what the server's own look at a text and that user's rights keep out is seen.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from factor import FACTOR, SEED
from hostile import strings
from statements import OTHER_STATEMENTS, REFUSED

from flytekitplugins.dolt.errors import ConnectionLost, DoltError
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.server import binary, builder

sys.path.insert(0, str(Path(__file__).parent))
import test_pinned_queries
from test_doors import DENIED, LEFT
from test_statement_fuzzing import CORPUS, WRITING, Shop, mutated, shop, state

__all__ = ["shop"]  # a fixture

ROUNDS = 300 * FACTOR


@pytest.fixture(autouse=True)
def _our_program() -> None:
    """Leave the tests out where somebody's setting has another Dolt serve."""
    if binary.find() != builder.binary_path():
        pytest.skip("another dolt is found before the one of the builder")


@contextmanager
def reading(shop: Shop) -> Iterator[tuple[Connection, Path]]:
    """Give the session of the user who may only read, and the path for a file of rows."""
    with connect(shop.path) as connection, connection.read_only_session() as reader:
        folder = connection.shared_folder()
        assert folder is not None
        yield reader, folder / "hostile.rows"


def outcome(reader: Connection, path: Path, sql: str) -> str:
    """Return how a text ended: it is read, or refused by the look at the text, or by the server, without a file."""
    try:
        reader.query("CALL flyte_query(%s, %s)", sql, str(path))
    except ConnectionLost as error:
        raise AssertionError(f"the server breaks on {sql!r}") from error
    except DoltError as error:
        assert not path.exists(), sql
        return "refused" if "flyte: no query that only reads" in str(error) else "error"
    path.unlink()
    return "read"


def every_text() -> list[str]:
    """Return all texts that other tests find hostile, each once."""
    found = [*CORPUS, *(sql for sql, _ in REFUSED), *WRITING, *DENIED, *LEFT, *test_pinned_queries.REFUSED, *strings()]
    return list(dict.fromkeys([*found, *(f"{first} something" for first in OTHER_STATEMENTS)]))


@pytest.mark.timeout(300 * FACTOR)
def test_no_hostile_text_changes_anything(shop: Shop) -> None:
    """Each alone, and within what would be a query around it."""
    before, outcomes = state(shop), Counter[str]()
    with reading(shop) as (reader, path):
        for sql in every_text():
            for text in (sql, f"SELECT 1; {sql}", f"SELECT * FROM ({sql}) AS q", f"SELECT 1 /*! ; {sql} */"):
                outcomes[outcome(reader, path, text)] += 1
    assert state(shop) == before
    print(outcomes)
    assert min(outcomes["read"], outcomes["refused"], outcomes["error"]) > 100


@pytest.mark.timeout(300 * FACTOR)
def test_no_hostile_argument_of_a_comparison_changes_anything(shop: Shop) -> None:
    """Each text as a revision, as a table and as kinds: it is compared, or refused without a file."""
    before, outcomes = state(shop), Counter[str]()
    with reading(shop) as (reader, path):
        for text in every_text():
            for asked in (
                (text, "HEAD", "orders", "added", "both", -1),
                ("HEAD", text, "orders", "added", "both", -1),
                ("HEAD", "HEAD", text, "added", "both", -1),
                ("HEAD", "HEAD", "orders", text, "both", -1),
                ("HEAD", "HEAD", "orders", "added", text, -1),
            ):
                try:
                    reader.query("CALL flyte_diff(%s, %s, %s, %s, %s, %s, %s)", *asked, str(path))
                except ConnectionLost as error:
                    raise AssertionError(f"the server breaks on {asked!r}") from error
                except DoltError:
                    outcomes["refused"] += 1
                    assert not path.exists(), asked
                else:
                    outcomes["compared"] += 1
                    path.unlink()
    assert state(shop) == before
    assert min(outcomes["refused"], outcomes["compared"]) > 100, outcomes


@pytest.mark.timeout(300 * FACTOR)
def test_mutated_statements_change_nothing(shop: Shop) -> None:
    """Broken, glued together and disguised, from a seed that a failure prints."""
    chance, before = random.Random(SEED), state(shop)
    print(f"seed {SEED}, {ROUNDS} statements")
    with reading(shop) as (reader, path):
        for _ in range(ROUNDS):
            outcome(reader, path, mutated(chance))
    assert state(shop) == before


@pytest.mark.parametrize(
    "sql",
    [
        *(sql for sql in WRITING if not sql.startswith("select * from") or "into" in sql),
        "select 1 for update",
        "select * from orders for share",
        "select * from orders lock in share mode",
        "select * from (select * from orders for update) q",
        "with q as (select * from orders for update) select * from q",
        "select 1 union (select id from orders for update)",
        "select (select id from orders limit 1 for update)",
        "select * from orders where id in (select id from orders for update)",
        "select 1 into @x",
        "select 1 union select 2 into @x",
        "with q as (select 1) select * from q into @x",
        "select @x := 1",
        "select sleep(0)",
        "select 1 from orders where sleep(0)",
        "select * from orders order by sleep(0)",
        "select count(*) from orders group by sleep(0)",
        "select count(*) c from orders having sleep(0) = c",
        "select * from orders limit 1 offset 0 for update",
        "with q as (select sleep(0)) select * from q",
        "select 1 union select sleep(0)",
        "select row_number() over (order by sleep(0)) from orders",
        "select case when 1 then sleep(0) end",
        "values row(sleep(0))",
        "select * from orders as of sleep(0)",
        "select * from orders o join customers c on sleep(0)",
        "select json_object('a', get_lock('pwned', 0))",
        "select `get_lock`('pwned', 0)",
        "select GET_LOCK /* x */ ('pwned', 0)",
        "select release_all_locks()",
        "select last_insert_id(5)",
        "select * from dolt_test_run()",
        "select * from dolt_query_diff('drop table orders', 'select 1')",
        "call flyte_query('select 1', 'x')",
        "call flyte_export('orders', 'x')",
        "call flyte_diff('HEAD', 'HEAD', 'orders', 'added', 'both', -1, 'x')",
        "select 1; select 2",
        "",
        ";",
        "-- nothing",
    ],
)
def test_what_is_no_query_is_refused(shop: Shop, sql: str) -> None:
    """Also for the server's owner, who may do all of it: the look at the text alone keeps it out."""
    before = state(shop)
    with connect(shop.path) as connection:
        folder = connection.shared_folder()
        assert folder is not None
        assert outcome(connection, folder / "hostile.rows", sql) in ("refused", "error")
    assert state(shop) == before
