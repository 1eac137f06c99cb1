"""What a query may be: real statements run and change nothing, everything else is refused before it is sent."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgpack
import numpy as np
import pandas as pd
import pymysql
import pytest
from letting_go import let_go
from statements import PIECES, REFUSED, STATEMENTS
from users_server import users_server

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    NewBranch,
    SerialBranch,
    api,
    create_repository,
    errors,
    read,
    write,
)
from flytekitplugins.dolt.api.table import resolve
from flytekitplugins.dolt.history import query_pinning
from flytekitplugins.dolt.query import tokens
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server

Run = Callable[..., DoltTable]

CUSTOMERS = pd.DataFrame(
    {
        "id": range(1, 7),
        "name": ["Ann", "Bob", "it's", 'say "hi"', "back\\slash", "Zoë"],
        "city": ["Rome", "Oslo", "Rome", None, "Bern", "Oslo"],
        "born": pd.to_datetime(["1980-01-02", "1990-05-06", "1975-12-31", "2000-02-29", "1999-01-01", "1960-07-08"]),
        "note": ['{"a": 1, "tags": ["x", "y"]}', '{"a": 2}', '{"a": null}', "{}", '{"a": [1, 2]}', '{"b": {"c": 3}}'],
    }
)
ORDERS = pd.DataFrame(
    {
        "id": range(1, 13),
        "customer": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 1, 2],
        "amount": [10.5, 20.0, 5.25, 7.0, 100.0, 1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 70.0],
        "day": pd.date_range("2024-01-01", periods=12, freq="10D"),
        "paid": [True, False] * 6,
    }
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a repository with history, branches, tags, a view, an odd name, and work of the user's in no commit."""
    path = create_repository(tmp_path_factory.mktemp("shop") / "shop", name="Ann", email="ann@x.org")
    config = {"db_path": str(path), "primary_key": ["id"]}
    write(DoltConfig(tablename="customers", **config), CUSTOMERS)
    write(DoltConfig(tablename="orders", **config), ORDERS.head(6))
    write(DoltConfig(tablename="orders", **config), ORDERS)
    write(DoltConfig(tablename="orders", branch_conf=NewBranch("run/1"), **config), ORDERS.assign(amount=0.0))
    with connect(path) as connection:
        for statement in (
            "CREATE VIEW big AS SELECT * FROM orders WHERE amount > 20",
            "CREATE TABLE `odd name; --` (`a b` INT, `sel``ect` INT)",
            "INSERT INTO `odd name; --` VALUES (1, 2), (3, NULL)",
            "CALL DOLT_COMMIT('-Am', 'odd things', '--author', 'Ann <ann@x.org>')",
            "CALL DOLT_TAG('v1', 'HEAD~2')",
            "INSERT INTO orders VALUES (99, 1, 1e6, '2024-01-01', 1)",
            "CREATE TABLE staged (n INT)",
            "CALL DOLT_ADD('staged')",
        ):
            connection.execute(statement)
    yield path
    local_server.release(path)


def state(path: Path) -> list[tuple[object, ...]]:
    """Return hashes of all the user has: each branch, what is committed, staged and uncommitted, users, locks."""
    with connect(path) as connection:
        found = connection.query("SELECT dolt_hashof_db('HEAD'), dolt_hashof_db('STAGED'), dolt_hashof_db('WORKING')")
        found += connection.query("SELECT name, hash FROM dolt_branches ORDER BY name")
        found += connection.query("SELECT tag_name, tag_hash FROM dolt_tags ORDER BY 1")
        return found + connection.query("SHOW DATABASES")[:1]


@pytest.fixture
def run(shop: Path) -> Run:
    """Give a function that resolves a query as a task's start does."""

    def resolved(sql: str, branch: str | None = None, **params: object) -> DoltTable:
        policy = SerialBranch(branch) if branch else None
        return api.pin(DoltConfig(str(shop), sql=sql, params=params or None, branch_conf=policy))

    return resolved


# ------------------------------------------------------------------------------------------------------ what runs

UNLIKE_THE_SERVER = ("v1...main", "dolt_merge_base", "'HEAD'", "dolt_hashof_db('v1')", "active_branch", "shop", "now(")
"""What the server refuses where no branch is, or reads with uncommitted rows, or reads at another time."""


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_real_statement_runs_and_changes_nothing(shop: Path, run: Run, sql: str) -> None:
    """It gives what the server gives for the user's own text at that commit, and nothing in the repository moves."""
    before = state(shop)
    table = run(sql)
    frame, commit = table.data, table.commit
    assert frame is not None
    assert commit is not None
    assert state(shop) == before
    if not any(part in sql for part in UNLIKE_THE_SERVER):
        with refs.at(shop, commit) as connection:
            fields, columns = connection.text_rows(sql if "--" in sql else sql.rstrip("; "))
        assert len(frame) == len(columns[0])
        if not any(sign in sql for sign in ("--", "/*", "#")):  # to the server comments are part of a name
            assert list(map(str, frame.columns)) == [field.name.removesuffix(f"/{commit.hash}") for field in fields]


def test_there_are_enough_of_them() -> None:
    """The corpus is not thinned out unseen."""
    assert len(set(STATEMENTS)) >= 190


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select count(*) from shop.orders", [(12,)]),
        ("select max(`shop`.`orders`.id) from `shop`.orders", [(12,)]),
        ("select max(`shop`.orders.amount) from SHOP.orders join customers c on c.id = shop.orders.id", [(100.0,)]),
        ("select count(*) from dolt_diff_orders where to_commit = 'WORKING'", [(0,)]),
        ("select count(*) from dolt_status", [(0,)]),
        ("show tables like 'staged'", []),
        ("select count(*) from orders as of 'v1'", [(6,)]),
        ("select to_id from dolt_diff('HEAD~2', 'HEAD', 'orders') where to_id > 11", [(12,)]),
        ("select a.id from customers a left join customers b on b.id = a.id + 5 where b.id is null and a.id = 2",
         [(2,)]),
    ],
)  # fmt: skip
def test_uncommitted_rows_are_not_read(run: Run, sql: str, expected: list[tuple[object, ...]]) -> None:
    """A query sees its commit and nothing of the working set, also where names carry the database's name."""
    assert list(run(sql).data.itertuples(index=False, name=None)) == expected


# --------------------------------------------------------------------------------------------------- what does not


def test_what_does_more_than_read_is_refused(shop: Path) -> None:
    """Each is refused with its piece and an advice, before anything is sent, and nothing in the repository moves."""
    before = state(shop)
    head = refs.resolve(shop, None)
    with connect(shop) as connection:
        for sql, piece in REFUSED:
            with pytest.raises(errors.QueryRefused, match=r"(?s)^Cannot run the query .*: .*\. [A-Z].*\.$") as caught:
                query_pinning.pin(connection, head, sql)
            assert caught.value.piece == piece, sql
    for sql, piece in REFUSED[::10]:
        with pytest.raises(errors.QueryRefused) as caught:
            read(DoltConfig(str(shop), sql=sql))
        assert (caught.value.sql, caught.value.piece) == (sql, piece)
    assert state(shop) == before


def test_a_literal_is_no_way_around(shop: Path) -> None:
    """A table that comes with a commit, from wherever, is checked when it is read, too."""
    commit = {"hash": refs.resolve(shop, None).hash}

    def forged(sql: str) -> DoltTable:
        return DoltTable.from_dict({"config": {"db_path": str(shop), "sql": sql}, "commit": commit})

    with pytest.raises(errors.QueryRefused, match="'delete'"):
        _ = forged("delete from orders").data
    assert forged("select count(*) from `shop`.orders").data.iloc[0, 0] == 12
    assert forged("select count(*) from orders as of 'v1'").data.iloc[0, 0] == 6


@pytest.mark.parametrize("seed", range(4))
def test_pieces_in_any_order_never_change_anything(shop: Path, seed: int) -> None:
    """Statements thrown together from keywords, names, quotes and comments are refused or only read."""
    chance = random.Random(seed)
    before = state(shop)
    for _ in range(150):
        start = chance.choice(["select ", "select ", "", "show ", "with ", "explain "])
        sql = start + " ".join(chance.choices(PIECES, k=chance.randint(1, 9)))
        with contextlib.suppress(errors.DoltError):  # most are refused, some read; none is anything else
            read(DoltConfig(str(shop), sql=sql))
    assert state(shop) == before


# ------------------------------------------------------------------------------------------------------ references

MOVING = [
    "select * from t as of 'main'",
    "select * from t as of `run/1`",
    "select * from t as of 'v1' where id in (select id from t as of 'main')",
    "select * from t as of 'run/1~1'",
    "select * from t as of 'refs/heads/main'",
    "select * from t as of hashof('main')",
    "select * from t as of timestamp(concat('2100', '-01-01'))",
    "select * from t as of now()",
    "select * from t as of current_timestamp",
    "select * from t as of date_sub(now(), interval 0 second)",
    "select hashof('main'), dolt_hashof('run/1'), dolt_merge_base('main', 'run/1')",
    "select has_ancestor('run/1', 'v1'), dolt_hashof_db('main'), active_branch()",
    "select to_id, from_id, diff_type from dolt_diff('v1', 'main', 't') order by 1, 2",
    "select to_id, from_id, diff_type from dolt_diff('main...run/1', 't') order by 1, 2",
    "select commit_hash from dolt_log('main')",
    "select commit_hash from dolt_log('main..run/1')",
    "select commit_hash from dolt_log('main', '--not', 'v1')",
    "select commit_hash from dolt_log",
    "select count(*) from dolt_history_t",
    "select diff_type from dolt_query_diff('select * from t as of ''v1''', 'select * from t as of ''main''')",
    "select now(), now(6) six, current_timestamp(3) three, curdate(), curtime(6), unix_timestamp(), current_date d",
    "select utc_timestamp(6), utc_date(), utc_time(6), localtime, sysdate(6)",
    "show tables as of 'main'",
    "describe t as of 'v1'",
    "select * from foo.t",
    "with a as (select * from t as of 'main') select (select count(*) from t as of 'v1') n, a.id from a order by 2",
    "select * from t",
]


def test_a_resolved_query_means_the_same_for_ever(repo: Path) -> None:
    """Branches and tags move, the clock goes on: the reference, and what comes of its literal, give the same rows."""

    def put(ids: list[int], **policy: object) -> None:
        config = DoltConfig(str(repo), "t", primary_key=["id"], **policy)  # type: ignore[arg-type]
        write(config, pd.DataFrame({"id": ids}))

    for ids in ([1], [1, 2], [1, 2, 3]):
        put(ids)
    put([1, 3], branch_conf=NewBranch("run/1"))
    with connect(repo) as connection:
        connection.execute("CALL DOLT_TAG('v1', 'HEAD~1')")
    kept = []
    for sql in MOVING:
        table = api.pin(DoltConfig(str(repo), sql=sql))
        assert resolve(DoltTable.from_dict(table.to_dict())).to_dict() == table.to_dict()
        kept.append((sql, table.to_dict(), table.data))
    put([7, 8, 9])
    put([4, 5], branch_conf=SerialBranch("run/1"))
    with connect(repo) as connection:
        connection.execute("CALL DOLT_TAG('-d', 'v1')")
        connection.execute("CALL DOLT_TAG('v1', 'main')")
    for _, reference, frame in kept:
        again = DoltTable.from_dict(msgpack.unpackb(msgpack.packb(reference)))
        pd.testing.assert_frame_equal(again.data, frame)
    anew = [read(DoltConfig(str(repo), sql=sql)).equals(frame) for sql, _, frame in kept]
    assert anew.count(False) > 15  # otherwise this test could not fail


def test_only_what_moves_is_replaced(run: Run) -> None:
    """The rest of the text is the user's, comments and spaces included, and a column keeps its name."""
    sql = "SELECT  /* mine */ hashof( 'main' ),\n\tid -- why\nFROM `shop` . orders  AS OF 'v1'  x where 1 ; -- end"
    table = run(sql)
    assert table.commit is not None
    v1 = run("select hashof('v1') h").data.h[0]
    assert table.config.sql == (
        f"SELECT  /* mine */ '{table.commit.hash}' AS `hashof( 'main' )`,\n\tid -- why\n"
        f"FROM orders  AS OF '{v1}'  x where 1"
    )
    assert list(table.data.columns) == ["hashof( 'main' )", "id"]


def test_what_does_not_move_stays(run: Run) -> None:
    """A hash, a text that looks like a reference, and a column called like a function are nobody's reference."""
    first = run("select commit_hash from dolt_log order by date limit 1").data.iloc[0, 0]
    for sql in (
        f"select count(*) from dolt_log as of '{first}'",
        "select 'as of now()', \"hashof('main')\", `x` from (select 1 as `x`) q",
        "select q.`now` from (select 1 as `now`) q",
        "select `as`, `of` from (select 1 `as`, 2 `of`) q",
        f"select * from dolt_log('{first}')",
        "select unix_timestamp('2024-01-01'), year('2024-01-01')",
    ):
        table = run(sql)
        assert table.config.sql == sql
        assert len(table.data) > 0


def test_a_query_is_read_at_its_branch(run: Run) -> None:
    """HEAD, the log and the tables are those of the branch in the config, whatever is checked out."""
    assert run("select sum(amount) from orders", branch="run/1").data.iloc[0, 0] == 0
    assert run("select sum(amount) from orders as of 'HEAD'", branch="run/1").data.iloc[0, 0] == 0
    first = run("select count(*) n, max(id) m from orders as of 'HEAD~1'", branch="run/1").data
    assert run("select hashof('HEAD^') h", branch="run/1").data.h[0] == run("select hashof('run/1~1') h").data.h[0]
    assert first.n[0] == 12
    late = run("select sum(amount) s from orders as of timestamp('2100-01-01')", branch="run/1").data
    assert late.s[0] == 0
    assert run("select active_branch() b", branch="run/1").data.b[0] == "run/1"
    hashes = run("select hashof('HEAD') a, hashof('run/1') b", branch="run/1").data
    assert hashes.a[0] == hashes.b[0]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select * from orders as of 'nope'", "branch not found: nope"),
        ("select * from orders as of nope", "branch not found: nope"),
        ("select hashof('nope')", "nope"),
        ("select * from dolt_log('nope..main')", "branch not found: nope"),
        ("select * from orders as of timestamp('1999-01-01')", "no commit as early as timestamp.'1999-01-01'.. Name a"),
        ("select * from orders as of 'HEAD~99'", "invalid ancestor spec"),
        ("select * from orders as of '00000000000000000000000000000000'", "target commit not found"),
    ],
)
def test_a_revision_that_is_not_there_is_said(run: Run, sql: str, reason: str) -> None:
    """The error names the query and the revision."""
    with pytest.raises(errors.RevisionNotFound, match=f"{reason}"):
        _ = run(sql).data


# ------------------------------------------------------------------------------------------------------ parameters

VALUES: list[object] = [
    "", "plain", "it's", 'say "hi"', "back\\slash", "\\'", "'; drop table orders; --", "100%", "%s %(x)s %%",
    "a\nb\r\tc", "nul\0nul", "\x1a", "é🐎", ":a", "?", "`", "/* */", "--", "#", "\\0", "null", "NULL", "\u2028",
    "𝒳" * 50, "x" * 20_000, 0, 1, -1, 2**63 - 1, -(2**63), 2**64 - 1, True, False,
    0.0, 1.5, -2.25, 1e300, 5e-324, 1e16, 0.1,
    Decimal("1.50"), Decimal("-0.00001"), Decimal("12345678901234567890.123456789"), Decimal("1E+5"),
    b"", b"abc", bytes(range(256)), b"\\'\"",
    dt.date(2024, 2, 29), dt.date(1000, 1, 1), dt.datetime(2024, 5, 7, 12, 38, 3), dt.datetime(2024, 5, 7, 1, 2, 3, 4),
    dt.time(1, 2, 3), dt.time(23, 59, 59, 999999), dt.timedelta(hours=30), dt.timedelta(hours=-1, microseconds=-5),
    None,
]  # fmt: skip


def test_a_value_comes_back_as_it_was_bound(run: Run) -> None:
    """Whatever is in it: it is a value, and never a part of the statement."""
    for value in VALUES:
        frame = run("select 1 as one, :v as v, 'end' as e", v=value).data
        assert (frame.one[0], frame.e[0]) == (1, "end")
        found, expected = frame.v[0], value
        if isinstance(value, dt.time):
            expected = dt.datetime.combine(dt.date.min, value) - dt.datetime.min
        assert pd.isna(found) if value is None else found == expected, repr(value)[:80]


def test_values_are_compared_as_values(run: Run) -> None:
    """They stand in WHERE, LIKE, IN, BETWEEN, LIMIT, functions and behind a minus."""

    def ids(sql: str, **params: object) -> list[int]:
        found: list[int] = run(f"select id from customers where {sql} order by id", **params).data.id.tolist()
        return found

    assert ids("name = :n", n="it's") == [3]
    assert ids("name = :n or name = :n", n='say "hi"') == [4]
    assert ids("name like :n", n="%\\\\%") == [5]
    assert ids("id between :a and :b", a=2, b=3) == [2, 3]
    assert ids("id >= 5 -:n", n=-1) == [6]
    assert ids("id >= 5 - :n", n=1) == [4, 5, 6]
    assert ids("born < :d", d=dt.date(1976, 1, 1)) == [3, 6]
    assert ids("born = :d", d=dt.datetime(1980, 1, 2)) == [1]
    assert ids("born = :d", d=pd.Timestamp("1980-01-02 02:00", tz="Etc/GMT-2")) == [1]
    assert ids("city <=> :c", c=None) == [4]
    assert ids("id in :ids", ids=[1, 3, 99]) == [1, 3]
    assert ids("id in (:ids)", ids=(2, 4)) == [2, 4]
    assert ids("name in :names and id not in (:ids)", names=["it's", "Ann"], ids=[1]) == [3]
    assert ids("id in :ids", ids=[]) == []
    assert ids("id in (:ids)", ids=[]) == []
    assert ids("id not in :ids", ids=[]) == [1, 2, 3, 4, 5, 6]
    assert ids("city not in (:c) or city is null", c=[]) == [1, 2, 3, 4, 5, 6]
    assert ids("id in (:a, :b)", a=1, b=np.int64(2)) == [1, 2]
    assert len(run("select id from customers order by id limit :n offset :m", n=2, m=1).data) == 2
    assert run("select ':a', `id` from customers where id = :a -- :a", a=1).data.iloc[0, 0] == ":a"


def test_a_parameter_can_name_the_revision(run: Run) -> None:
    """AS OF and the functions of revisions take them; one that is resolved leaves the parameters."""

    def count(source: str, **params: object) -> int:
        return int(run(f"select count(*) n from {source}", **params).data.n[0])

    table = run("select count(*) n from orders as of :r where amount > :a", r="v1", a=5)
    assert (table.data.n[0], table.config.params) == (5, {"a": 5})
    late = dt.datetime(2100, 1, 1)
    assert count("orders as of :t", t=late) == count("orders as of :t", t=late.date()) == 12
    assert count("orders as of date_sub(:t, interval 1 day)", t=late) == 12
    assert count("dolt_diff(:a, :b, 'orders')", a="v1", b="main") == 6
    assert count("orders as of hashof(:r)", r="v1") == 6
    with pytest.raises(errors.QueryRefused, match="5") as caught:
        run("select * from orders as of :r", r=5)
    assert caught.value.piece == ":r"
    for hostile in ("v1' or '1'='1", "main'; drop table orders; --", "x\\", "v1`", "--all"):
        with pytest.raises(errors.RevisionNotFound, match="query"):
            run("select * from orders as of :r", r=hostile)


def test_parameters_travel_canonically(shop: Path, run: Run) -> None:
    """Through msgpack and JSON each value is the same again, and equal parameters are equal bytes."""
    for value in [*VALUES, [1, "a", None, Decimal("1.0")], 2**70]:
        config = DoltConfig(str(shop), sql="select :v", params={"v": value})
        packed = msgpack.packb(config.to_dict())
        for back in (DoltConfig.from_dict(msgpack.unpackb(packed)), DoltConfig.from_json(config.to_json())):
            assert back.params == {"v": value}
            assert type(back.params["v"]) is type(value)
            assert msgpack.packb(back.to_dict()) == packed
    one, other = (DoltConfig("foo", sql="select :a, :b", params=p) for p in ({"a": 1, "b": (2,)}, {"b": [2], "a": 1}))
    assert msgpack.packb(one.to_dict()) == msgpack.packb(other.to_dict())
    table = run("select :x as x", x=Decimal("1.50"))
    assert DoltTable.from_dict(table.to_dict()).data.x[0] == Decimal("1.50")


def test_parameters_belong_to_a_query(shop: Path) -> None:
    """A table takes none, each one is used, and what is no parameter's literal is not read as one."""
    with pytest.raises(errors.InvalidConfig, match="params"):
        DoltConfig("foo", "t", params={"a": 1}).check()
    with pytest.raises(errors.InvalidConfig, match="params"):
        DoltConfig("foo", sql="select 1", params=[1]).check()  # type: ignore[arg-type]
    with pytest.raises(errors.QueryRefused, match="'b'.*:name"):
        read(DoltConfig(str(shop), sql="select :a", params={"a": 1, "b": 2}))
    for plain in ({"a": {"nonsense": "1"}}, {"a": {"date": "x"}}, {"a": {}}, {"a": {"bytes": 5}}):
        with pytest.raises(errors.InvalidConfig, match="params"):
            DoltConfig.from_dict({"db_path": "foo", "sql": "select :a", "params": plain})


def test_a_value_is_not_shown_in_errors(run: Run) -> None:
    """An error shows the query as it was written."""
    with pytest.raises(errors.QueryFailed, match="select nope.:secret") as caught:
        _ = run("select nope(:secret)", secret="hunter2hunter2").data
    assert "hunter2" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- tokens


def test_tokens_are_all_of_the_text() -> None:
    """Between the tokens there are spaces and comments only, and no edit means the same text."""
    for sql in STATEMENTS:
        found = tokens.scan(sql)
        assert all(sql[token.start : token.end] == token.text for token in found)
        edges = [0, *[edge for token in found for edge in (token.start, token.end)], len(sql)]
        gaps = [sql[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]
        assert all(gap == "" or gap.startswith(("--", "/*", "#")) for gap in gaps), sql
        assert tokens.edited(sql, []) == sql


def test_a_text_is_what_the_server_makes_of_it(shop: Path) -> None:
    """Escapes and doubled quotes are read as the server reads them."""
    texts = ["''", "'it''s'", r"'it\'s'", '"a""b"', r"'a\n\t\\\0\Z\x'", r'"\"\'"', "'\"'", "\"''\"", "'\\\\'"]
    with connect(shop) as connection:
        for text in texts:
            (token,) = tokens.scan(text)
            assert connection.query(f"SELECT {text}")[0][0] == token.value, text


# ---------------------------------------------------------------------------------------------------------- reader


def test_queries_run_as_a_user_who_may_only_read(shop: Path, run: Run) -> None:
    """On our own server the second line of defence is the server's: even a statement that got through is denied."""
    assert run("select user() u").data.u[0] == "flyte_reader@localhost"
    before = state(shop)
    with connect(shop) as connection, connection.read_only_session() as reading:
        for statement in (
            "INSERT INTO orders (id) VALUES (1000)", "DELETE FROM orders", "UPDATE orders SET id = 1 WHERE id = 2",
            "DROP TABLE orders", "CREATE TABLE x (n INT)", "ALTER TABLE orders ADD x INT", "TRUNCATE orders",
            "CREATE VIEW v AS SELECT 1", "CREATE DATABASE other", "DROP DATABASE shop", "CALL DOLT_ADD('-A')",
            "CALL DOLT_COMMIT('-Am', 'x')", "CALL DOLT_BRANCH('x')", "CALL DOLT_RESET('--hard')", "CALL DOLT_GC()",
            "CALL DOLT_CHECKOUT('run/1')", "CALL DOLT_TAG('x')", "CREATE USER x", "GRANT ALL ON *.* TO root",
            "CALL DOLT_REMOTE('add', 'x', 'file:///tmp/x')", "CALL DOLT_PUSH('file:///tmp/x', 'main')", "KILL 1",
        ):  # fmt: skip
            with pytest.raises(errors.DoltError, match="(?i)command denied|access denied|read only"):
                reading.execute(statement)
        assert reading.query("SELECT LOAD_FILE('/etc/passwd')") == [(None,)]
    assert state(shop) == before


def test_rows_in_bulk_come_to_that_user_too(shop: Path) -> None:
    """The session that fetches them logs in as the same user."""
    with connect(shop) as connection, connection.read_only_session() as reading:
        with reading.arrow_batches("SELECT user() u", batch_rows=10) as batches:
            assert next(batches).column("u").to_pylist() == ["flyte_reader@localhost"]


def test_nobody_logs_in_without_the_password(shop: Path) -> None:
    """The reader has a password that only those know who may read the server's own notice."""
    with connect(shop) as connection, connection.read_only_session():
        port = connection._endpoint.port
    for password in ("", "flyte_reader", "x"):
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            pymysql.connect(host="127.0.0.1", port=port, user="flyte_reader", password=password, ssl_disabled=True)


def test_a_server_of_somebody_else_gets_no_user(repo: Path) -> None:
    """There, queries are still parsed and read at a commit, and nothing is left in the user's folder."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1, 2]}))
    let_go(repo)
    with users_server(repo):
        assert read(DoltConfig(str(repo), sql="select count(*) from t where n > :n", params={"n": 1})).iloc[0, 0] == 1
        assert read(DoltConfig(str(repo), sql="select user() u")).u[0] != "flyte_reader@localhost"
        with pytest.raises(errors.QueryRefused, match="'drop'"):
            read(DoltConfig(str(repo), sql="drop table t"))
        with connect(repo) as connection:
            users = connection.query("SELECT user FROM mysql.user")
        assert ("flyte_reader",) not in users
        local_server.release(repo)
    assert b"flyte_reader" not in b"".join(file.read_bytes() for file in repo.rglob("*") if file.is_file())


def test_our_own_server_leaves_no_user_behind(repo: Path) -> None:
    """The user lives in the server's private folder; the repository's own folder knows nothing of it."""
    assert read(DoltConfig(str(repo), sql="select user() u")).u[0] == "flyte_reader@localhost"
    let_go(repo)
    assert b"flyte_reader" not in b"".join(file.read_bytes() for file in repo.rglob("*") if file.is_file())
    assert not [name for name in os.listdir(repo) if name != ".dolt"]


@pytest.mark.slow
def test_processes_share_the_user(repo: Path) -> None:
    """Six processes that run their first query at once all get their rows."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    code = (
        "import sys; from flytekitplugins.dolt import read, DoltConfig;"
        "print(read(DoltConfig(sys.argv[1], sql='select n, user() u from t')).values.tolist())"
    )
    argv = [sys.executable, "-c", code, str(repo)]
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            for _ in range(6)
        ]
        said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert said == ["[[1, 'flyte_reader@localhost']]"] * 6
