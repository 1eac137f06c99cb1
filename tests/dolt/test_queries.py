"""What a query may be: real statements run and change nothing, everything else is refused before it is sent."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import re
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
    references,
    repository,
    server,
    tokens,
    write,
)
from flytekitplugins.dolt.engine import connect
from flytekitplugins.dolt.table import resolve

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
            connection.run(statement, attempt="set up")
    yield path
    server.release(path)


def state(path: Path) -> list[tuple[object, ...]]:
    """Return hashes of all the user has: each branch, what is committed, staged and uncommitted, users, locks."""
    with connect(path) as connection:
        found = connection.rows(
            "SELECT dolt_hashof_db('HEAD'), dolt_hashof_db('STAGED'), dolt_hashof_db('WORKING')", attempt="look"
        )
        found += connection.rows("SELECT name, hash FROM dolt_branches ORDER BY name", attempt="look")
        found += connection.rows("SELECT tag_name, tag_hash FROM dolt_tags ORDER BY 1", attempt="look")
        return found + connection.rows("SHOW DATABASES", attempt="look")[:1]


@pytest.fixture
def run(shop: Path) -> Run:
    """Give a function that resolves a query as a task's start does."""

    def resolved(sql: str, branch: str | None = None, **params: object) -> DoltTable:
        policy = SerialBranch(branch) if branch else None
        return api.pin(DoltConfig(str(shop), sql=sql, params=params or None, branch_conf=policy))

    return resolved


# ------------------------------------------------------------------------------------------------------ what runs

STATEMENTS = """
select * from customers
select 1
SELECT 1 AS one, 'two' AS two, NULL AS nothing
select id, name from customers where id = 3
select * from customers where name = 'it''s'
select * from customers where name = 'it\\'s'
select * from customers where name = "say ""hi\"""
select * from customers where name = 'back\\\\slash'
select * from customers where name like '%o%' and city is not null
select * from customers where name not like 'A\\_%'
select distinct city from customers order by city
select all city from customers order by id
select count(*), count(city), count(distinct city) from customers
select city, count(*) as n from customers group by city having n > 1 order by n desc, city
select city, count(*) from customers group by 1 order by 1
select city, group_concat(name order by name separator '; ') from customers group by city order by city
select max(amount), min(amount), round(avg(amount), 2), sum(amount) from orders
select * from orders order by amount desc limit 3
select * from orders order by id limit 2, 3
select * from orders order by id limit 3 offset 2
select * from orders where amount between 5 and 50 and day >= '2024-02-01' order by id
select * from orders where id in (1, 2, 3) or id not in (4, 5, 6, 7) order by id
select * from orders where (id, customer) in ((1, 1), (2, 1)) order by id
select o.id, c.name from orders o join customers c on c.id = o.customer order by o.id
select o.id, c.name from orders as o inner join customers as c on (c.id = o.customer) order by 1
select c.name, o.id from customers c left join orders o on o.customer = c.id order by c.id, o.id
select c.name, o.id from orders o right join customers c on o.customer = c.id order by c.id, o.id
select c.name from customers c left join orders o on o.customer = c.id where o.id is null
select a.id, b.id from customers a cross join customers b order by a.id, b.id limit 4
select a.id, b.id from customers a, customers b where a.id < b.id order by 1, 2
select id from orders o join customers c using (id) order by id
select * from orders natural join (select id from customers) c order by id
select a.id from orders a straight_join customers b on a.id = b.id order by a.id
select customers.name, orders.amount from customers join orders on orders.customer = customers.id order by orders.id
select `c`.`name` from `customers` `c` where `c`.`id` = 1
select c.* from customers c order by c.id
select c.*, 1 from customers c order by c.id
select *, amount * 2 as twice from orders order by id
select id, amount, rank() over (order by amount desc) as r from orders order by id
select id, row_number() over (partition by customer order by amount) as r from orders order by id
select id, sum(amount) over (order by id rows between unbounded preceding and current row) from orders order by id
select id, avg(amount) over w from orders window w as (partition by customer) order by id
select id, lag(amount) over (order by id), lead(amount, 1) over (order by id) from orders order by id
select id, first_value(amount) over (partition by customer order by id) from orders order by id
select id, dense_rank() over (order by customer), ntile(3) over (order by id) from orders order by id
with big_ones as (select * from orders where amount > 20) select count(*) from big_ones
with a as (select 1 as n), b as (select n + 1 as n from a) select a.n, b.n from a, b
with recursive n(i) as (select 1 union all select i + 1 from n where i < 10) select i from n
with recursive days as (select date('2024-01-01') d union all select date_add(d, interval 1 day) from days where d < '2024-01-05') select count(*) from days
WITH totals AS (SELECT customer, SUM(amount) t FROM orders GROUP BY customer) SELECT c.name, t FROM totals JOIN customers c ON c.id = customer ORDER BY 1
select * from (select city, count(*) n from customers group by city) q where n = 2 order by city
select * from customers where id = (select max(customer) from orders)
select * from customers c where exists (select 1 from orders o where o.customer = c.id) order by id
select * from customers c where not exists (select 1 from orders o where o.customer = c.id)
select name, (select count(*) from orders o where o.customer = c.id) n from customers c order by c.id
select id from customers union select id from orders order by id
select id from customers union all select id from orders order by id
select id from orders intersect select id from customers order by id
select id from orders except select id from customers order by id
(select id from customers order by id limit 1) union (select id from orders order by id desc limit 1)
select case when amount > 50 then 'big' when amount > 10 then 'mid' else 'small' end c, count(*) from orders group by c order by c
select case city when 'Rome' then 1 else 0 end from customers order by id
select if(paid, 'yes', 'no'), ifnull(city, '?'), coalesce(city, name), nullif(city, 'Rome') from orders join customers using (id) order by id
select upper(name), lower(name), length(name), char_length(name), reverse(name) from customers order by id
select concat(name, ' of ', ifnull(city, 'nowhere')), concat_ws('-', id, name) from customers order by id
select left(name, 2), right(name, 2), substring(name, 2, 2), substr(name, 2), mid(name, 1, 1) from customers order by id
select substring(name from 2 for 2), trim(both 'A' from name), position('n' in name) from customers order by id
select replace(name, 'n', 'm'), insert(name, 1, 1, 'X'), repeat('ab', 2), lpad(id, 3, '0'), rpad('x', 3, '-') from customers order by id
select locate('n', name), instr(name, 'n'), strcmp(name, 'Bob'), ascii(name), hex(name) from customers order by id
select abs(-1), ceil(1.2), floor(1.8), round(1.255, 2), truncate(1.999, 1), mod(7, 3), 7 % 3, 7 mod 3, 7 div 2, power(2, 3), sqrt(9)
select 1 + 2 * 3 - 4 / 2, (1 + 2) * 3, -1, - 1, +1, 5 - -1, 1 << 3, 8 >> 1, 6 & 3, 6 | 1, 6 ^ 2
select 1 and 0, 1 or 0, not 1, 1 && 0, 1 xor 1, !0, 1 <=> null, null is null, 1 is not null, 1 <> 2, 1 != 2
select true, false, null, 1e3, 1.5e-3, .5, 0xff, x'4142', X'00', b'101', 'a' 'b', "c"
select greatest(1, 2, 3), least(1, 2, 3), sign(-3), pi() > 3, rand(5) < 1, crc32('a'), md5('a'), sha1('a'), sha2('a', 256)
select year(day), month(day), dayofmonth(day), dayofweek(day), dayname(day), quarter(day), week(day) from orders order by id
select date(day), date_format(day, '%Y-%m'), day + interval 1 month, day - interval 1 day, datediff(day, '2024-01-01') from orders order by id
select date_add(day, interval 1 week), date_sub(day, interval 2 hour), last_day(day), to_days(day) from orders order by id
select timestampdiff(day, '2024-01-01', day), timestampdiff(month, '2024-01-01', day), extract(year from day) from orders order by id
select str_to_date('01.02.2024', '%d.%m.%Y'), timestamp('2024-01-01'), date '2024-01-01', timestamp '2024-01-01 10:00:00'
select unix_timestamp('2024-01-01'), from_unixtime(0)
select cast(amount as signed), cast(amount as char), cast('12.50' as decimal(10, 2)), convert('7', signed), convert('x' using utf8mb4) from orders order by id
select cast('2024-01-01' as date), cast('2024-01-01 10:00:00' as datetime), cast('abc' as binary), cast('{"a": 1}' as json)
select json_extract(note, '$.a'), json_unquote(json_extract(note, '$.tags[0]')), note->'$.a', note->>'$.b.c' from (select cast(note as json) note, id from customers) q order by id
select json_object('id', id, 'name', name), json_array(id, name), json_valid(note), json_length(note) from customers order by id
select json_arrayagg(id), json_objectagg(id, city) from customers where id < 3
select jt.x from json_table('[{"x": 1}, {"x": 2}]', '$[*]' columns (x int path '$.x')) as jt
select json_contains('[1, 2]', '1'), json_keys('{"a": 1}'), json_type('1'), json_merge_patch('{}', '{"a": 1}')
select name regexp '^[A-M]', name rlike 'o', regexp_like(name, 'n'), regexp_replace(name, 'n', 'm') from customers order by id
select name collate utf8mb4_0900_ai_ci = 'ann', binary name = 'ann' from customers order by id
select _utf8mb4'x', n from (select 1 n) q
select * from customers use index (`primary`) where id = 1
select * from customers force index (`primary`) where id = 1
select * from customers ignore index (`primary`) where id = 1
select sql_no_cache * from customers where id = 1
select /*+ JOIN_ORDER(o, c) */ o.id from orders o join customers c on c.id = o.customer order by o.id
select /* a comment; drop table customers */ 1
select 1 -- a comment; drop table customers
select 1 # a comment
/* one */ select /* two */ 1 /* three */
select '-- no comment', '/* nor this */', '# nor this', ';', "select 1; drop table x"
select 1;
select 1 ; ;
select 'a:b', '12:30:00', ':name', "::", 'select @x', '`', '/*! no */'
select id as `drop table`, name as 'a name', city "a city" from customers order by id
select `a b`, `sel``ect` from `odd name; --` order by 1
select t.`a b` from `odd name; --` as t where t.`sel``ect` is null
select * from big order by id
select count(*) from big where amount > 50
select a.id from big a join big b on a.id = b.id order by 1
table customers
values row(1, 'a'), row(2, 'b')
select * from (values row(1, 2), row(3, 4)) as v(a, b)
select 1 from dual
select 1 where 1 = 1
select null where false
select * from customers where false
select * from customers limit 0
select any_value(name), city from customers group by city order by city
select id, id from customers order by 1
select stddev(amount), variance(amount), std(amount), bit_or(id), bit_and(id), bit_xor(id) from orders
select elt(2, 'a', 'b'), field('b', 'a', 'b'), find_in_set('b', 'a,b'), format(1234.5, 2), space(2), soundex('Ann'), quote('it''s')
select inet_aton('127.0.0.1'), is_ipv4('1.2.3.4'), bin(5), oct(8), conv('ff', 16, 10), unhex('41'), to_base64('a'), from_base64('YQ==')
select version() is not null, dolt_version() is not null, database() is not null, user() is not null
select isnull(city), city is null, city is not null from customers order by id
select count(*) from orders as of 'v1'
select count(*) from orders as of 'main'
select count(*) from orders AS OF 'HEAD~1' where amount > 5
select count(*) from orders as of HASHOF('run/1') where amount = 0
select count(*) from orders as of dolt_hashof('main') o join orders as of 'v1' p on o.id = p.id
select n.id from orders as of 'main' as n left join orders as of 'v1' as o on n.id = o.id where o.id is null order by n.id
select n.id from orders as of 'main' n left join orders as of 'v1' o using (id) where o.id is null order by n.id
select (select count(*) from orders as of 'main') - (select count(*) from orders as of 'v1') as added
with old as (select * from orders as of 'v1'), new as (select * from orders as of 'main') select count(*) from new where id not in (select id from old)
select * from orders as of `run/1` order by id
select count(*) from orders as of main
select count(*) from orders as of timestamp('2100-01-01 00:00:00')
select count(*) from orders as of cast('2100-01-01' as datetime)
select count(*) from orders as of date_add(now(), interval 1 day)
select count(*) from orders for system_time as of 'v1'
select count(*) from orders as of concat('ma', 'in')
select count(*) from orders as of 'v1' use index (`primary`) where id = 1
select count(*) from big as of 'main'
show tables
show tables as of 'v1'
show tables like 'cust%'
show full tables
show columns from orders
show columns from orders as of 'v1'
show full columns from orders where field = 'id'
show fields from orders like 'a%'
show create table orders
show create table orders as of 'v1'
show create view big
show index from orders
show keys from orders
show indexes in orders
show table status like 'orders'
describe orders
desc orders
describe orders as of 'v1'
explain select * from orders where id = 1
explain format=tree select * from orders as of 'v1' where id = 1
describe select 1
explain plan select * from orders
select * from dolt_log order by commit_order
select commit_hash, message from dolt_log limit 2
select * from dolt_log('main') limit 1
select * from dolt_log('v1..main') l
select message from dolt_log('main', '--not', 'v1', '--parents')
select count(*) from dolt_log('^v1', 'main', '--tables', 'orders')
select * from dolt_diff order by date, table_name
select count(*) from dolt_diff_orders
select to_id, from_id, diff_type from dolt_diff_orders where to_commit = hashof('main') order by to_id
select to_id, diff_type from dolt_diff('v1', 'main', 'orders') order by to_id
select to_id, diff_type from dolt_diff('v1..main', 'orders') order by to_id
select to_id, diff_type from dolt_diff('v1...main', 'orders') order by to_id
select * from dolt_diff('HEAD~2', 'HEAD', 'orders') d join customers c on c.id = d.to_customer order by d.to_id
select * from dolt_diff_stat('v1', 'main')
select * from dolt_diff_summary('v1', 'main', 'orders')
select * from dolt_schema_diff('v1', 'main')
select * from dolt_patch('v1', 'main') order by statement_order
select id, commit_hash from dolt_history_orders where id = 1 order by commit_date
select count(*) from dolt_history_orders as of 'v1'
select * from dolt_commit_diff_orders where from_commit = hashof('v1') and to_commit = hashof('main') order by to_id
select table_name, column_name from dolt_column_diff order by 1, 2 limit 3
select * from dolt_query_diff('select id, amount from orders as of ''v1''', 'select id, amount from orders')
select name, hash from dolt_branches order by name
select tag_name, tag_hash from dolt_tags
select count(*) from dolt_commits
select count(*) from dolt_commit_ancestors
select * from dolt_status
select type, name from dolt_schemas
select * from dolt_remotes
select hashof('main'), dolt_hashof('v1') as v
select dolt_merge_base('main', 'run/1'), has_ancestor('main', 'v1')
select dolt_hashof_table('orders'), dolt_hashof_db(), dolt_hashof_db('v1')
select active_branch()
select count(*) from shop.orders
select `shop`.`orders`.`id`, shop.orders.amount from `shop`.`orders` order by 1
select shop.o.id from shop.orders o order by 1
show columns from shop.orders
""".strip().splitlines()  # noqa: E501
STATEMENTS += ["-- first a comment; drop\nselect 1", "select\n  id,\r\n\tname\nfrom customers\norder by id\n;\n-- end"]
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
        with repository.at(shop, commit) as connection:
            fields, rows = connection.text_rows(sql if "--" in sql else sql.rstrip("; "), attempt="compare")
        assert len(frame) == len(rows)
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

OTHER_STATEMENTS = re.findall(
    r"\S+",
    """
insert update delete replace drop create alter truncate rename call set use grant revoke load lock unlock begin commit
rollback start savepoint release prepare execute deallocate do handler kill flush reset analyze optimize check repair
import shutdown xa signal purge change stop install uninstall CREATE Insert dRoP nonsense
""",
)
REFUSED = [
    *[(text, "there is nothing in it") for text in ("", " ", ";", "-- only a comment", "/* */", ";;", "\n\t")],
    *[(f"{first} something", f"it starts with '{first}'") for first in OTHER_STATEMENTS],
    ("drop table shop.orders", "it starts with 'drop'"),
    ("'a text'", "it starts with"),
    ("select 1; select 2", "a second statement"),
    ("select 1; drop table orders", "a second statement"),
    ("select 1;;select 2", "a second statement"),
    ("select ';'; delete from orders", "a second statement"),
    ("select 1 -- x\n; delete from orders", "a second statement"),
    ("select `a;b` from t; delete from orders", "a second statement"),
    ("CALL DOLT_RESET('--hard')", "it starts with 'CALL'"),
    ("call dolt_commit('-Am', 'x')", "it starts with 'call'"),
    ("select dolt_commit('-Am', 'x')", r"DOLT_COMMIT\(\) is not known to only read"),
    ("select * from dolt_clean()", r"DOLT_CLEAN\(\) is not known to only read"),
    ("select `dolt_reset` ('--hard')", r"DOLT_RESET\(\) is not known to only read"),
    ("select 1 into outfile '/tmp/x'", "it writes somewhere"),
    ("select 1 into dumpfile '/tmp/x'", "it writes somewhere"),
    ("select * from orders into @x", "a variable"),
    ("select * into orders2 from orders", "it writes somewhere"),
    ("select 1 union select 2 into outfile 'x'", "it writes somewhere"),
    ("select * from orders for update", "it locks rows"),
    ("select * from orders for share", "it locks rows"),
    ("select * from orders lock in share mode", "it locks rows"),
    ("select * from (select * from orders for update) q", "it locks rows"),
    ("with x as (delete from orders) select 1", "a statement of the kind 'delete'"),
    ("with x as (insert into orders values (1)) select 1", "it writes somewhere"),
    ("with x as (select 1) delete from orders", "is no query but a Delete"),
    ("with x as (select 1) update orders set id = 1", "is no query but a Update"),
    ("explain delete from orders", "only a query or a table can be described"),
    ("explain update orders set id = 1", "only a query or a table can be described"),
    ("describe", "there is no name of a table"),
    ("explain analyze insert into orders values (1)", "only a query or a table"),
    ("select @x := 1", "a variable"),
    ("select @@secure_file_priv", "a variable"),
    ("select @`x`", "a variable"),
    ("select ?", "has a '[?]'"),
    ("select load_file('/etc/passwd')", r"LOAD_FILE\(\) reads files"),
    ("select LOAD_FILE /* x */ ('/etc/passwd')", r"LOAD_FILE\(\) reads files"),
    ("select `load_file`('/etc/passwd')", r"LOAD_FILE\(\) reads files"),
    ("select * from orders as of load_file('/etc/passwd')", r"LOAD_FILE\(\) reads files"),
    ("select * from orders where id = sleep(10)", r"SLEEP\(\) only keeps the server busy"),
    ("select benchmark(1000000, md5('a'))", r"BENCHMARK\(\) only keeps"),
    ("select get_lock('a', 1)", r"GET_LOCK\(\) holds a lock"),
    ("select release_lock('a')", r"RELEASE_LOCK\(\) lets go"),
    ("select release_all_locks()", r"RELEASE_ALL_LOCKS\(\) lets go"),
    ("select last_insert_id(5)", r"LAST_INSERT_ID\(\) looks at what the session did"),
    ("select * from dolt_test_run()", r"DOLT_TEST_RUN\(\) runs statements"),
    ("select * from dolt_preview_merge_conflicts_summary('a', 'b')", "looks at branches as they are"),
    ("select shop.dolt_version()", "is called with a qualified name"),
    ("select /*! 1 */", "an executable comment"),
    ("select /*!50000 load_file('x') */", "an executable comment"),
    ("select /*M! 1 */", "an executable comment"),
    ("/*! drop table orders */", "an executable comment"),
    ("select 5--1", "'--' without a space"),
    ("select 1 // 2", "it has '//'"),
    ("select 'abc", "a text in it has no end"),
    ('select "abc', "a text in it has no end"),
    ("select 'it\\'", "a text in it has no end"),
    ("select `abc", "a name in it has no end"),
    ("select 1 /* no end", "an executable comment or one without an end"),
    ("select $x", "is no sign of SQL"),
    ("select {d '2024-01-01'}", "is no sign of SQL"),
    ("select é", "is no sign of SQL"),
    ("select\x0b1", "is no sign of SQL"),
    ("select\u00a01", "is no sign of SQL"),
    ("select '\0'", "a NUL character"),
    ("select x from", "cannot read it"),
    ("select * fro t", "cannot read it"),
    ("select (1", "cannot read it|has no end"),
    ("select 1)", "cannot read it"),
    ("select * from orders procedure analyse()", "cannot read it"),
    ("select " + "(" * 3000 + "1" + ")" * 3000, "nested too deep|cannot read it"),
    ("select * from information_schema.tables", "'information_schema' does not follow the commit"),
    ("select * from INFORMATION_SCHEMA.TABLES", "'INFORMATION_SCHEMA' does not follow"),
    ("select * from `mysql`.`user`", "'mysql' does not follow"),
    ("select * from performance_schema.x", "does not follow"),
    ("select * from other.orders", "the database 'other' is not the repository's"),
    ("select * from orders where id in (select id from other.orders)", "the database 'other' is not"),
    ("select * from `shop/main`.orders", "'shop/main' is a database at a revision"),
    ("select `shop/main`.orders.id from orders", "'shop/main' is a database at a revision"),
    ("select * from `shop/v1` . orders", "'shop/v1' is a database at a revision"),
    ("select * from `shop@main`.orders", "is a database at a revision"),
    ("with q as (select * from `shop/main`.orders) select * from q", "is a database at a revision"),
    ("select a.b.c.d from orders", "too many names"),
    ("table other.orders", "the database 'other' is not"),
    ("describe other.orders", "the database 'other' is not"),
    ("describe `shop/main`.orders", "is a database at a revision"),
    ("show columns from mysql.user", "'mysql' does not follow"),
    ("show columns from orders from mysql", "it names a database"),
    ("show tables from mysql", "it names a database"),
    ("show tables in `shop/main`", "it names a database"),
    ("show tables where tables_in_shop in (select 1)", "its WHERE holds a query"),
    ("show tables; drop table orders", "a second statement"),
    ("show processlist", "does not tell of tables"),
    ("show grants", "does not tell of tables"),
    ("show variables like 'secure%'", "does not tell of tables"),
    ("show databases", "does not tell of tables"),
    ("show create procedure p", "does not tell of tables"),
    ("show master status", "does not tell of tables"),
    ("show", "does not tell of tables"),
    ("show create table", "there is no name of a table"),
    ("show tables nonsense", "is not expected there"),
    ("select * from orders as of 'WORKING'", "is work that is in no commit"),
    ("select * from orders as of `STAGED`", "is work that is in no commit"),
    ("select * from dolt_diff('HEAD', 'WORKING', 'orders')", "is work that is in no commit"),
    ("select * from dolt_diff('main..WORKING', 'orders')", "is work that is in no commit"),
    ("select * from dolt_diff_stat('STAGED', 'main')", "is work that is in no commit"),
    ("select * from orders as of", "AS OF leads to nothing"),
    ("select * from orders as of (select 'main')", "AS OF leads to '[(]'"),
    ("select * from orders as of concat((select 'main'))", "has to be read first"),
    ("select * from orders as of -1", "AS OF leads to '-'"),
    ("select * from orders as of 20240101", "AS OF leads to '20240101'"),
    ("select * from orders as of timestamp '2024-01-01'", "AS OF leads to 'timestamp'"),
    ("select * from orders as of a.b", "AS OF leads to 'a'"),
    ("select hashof(name) from dolt_branches", "a revision is given as 'name'"),
    ("select hashof(concat('ma', 'in'))", "a revision is given as"),
    ("select * from dolt_diff(hashof('main'), lower('V1'), 'orders')", "a revision is given as"),
    ("select * from dolt_query_diff(lower('select 1'), 'select 1')", "a query that is no text"),
    ("select * from dolt_query_diff('drop table orders', 'select 1')", "it starts with 'drop'"),
    ("select * from dolt_query_diff('select 1', 'select * from mysql.user')", "'mysql' does not follow"),
    ("select :nope", "there is no value for :nope"),
    ("select :a, :b", "there is no value for :a, :b"),
    ("select ::a", "is no sign of SQL"),
]


def test_what_does_more_than_read_is_refused(shop: Path) -> None:
    """Each is refused with its reason and an advice, before anything is sent, and nothing in the repository moves."""
    before = state(shop)
    head = repository.resolve(shop, None)
    with connect(shop) as connection:
        for sql, reason in REFUSED:
            words = rf"(?s)^Cannot run the query .*({reason}).*\. [A-Z].*\.$"
            with pytest.raises(errors.QueryRefused, match=words):
                references.pin(connection, head, sql)
    for sql, reason in REFUSED[::10]:
        with pytest.raises(errors.QueryRefused, match=reason):
            read(DoltConfig(str(shop), sql=sql))
    assert state(shop) == before


def test_a_literal_is_no_way_around(shop: Path) -> None:
    """A table that comes with a commit, from wherever, is checked when it is read, too."""
    commit = {"hash": repository.resolve(shop, None).hash}

    def forged(sql: str) -> DoltTable:
        return DoltTable.from_dict({"config": {"db_path": str(shop), "sql": sql}, "commit": commit})

    with pytest.raises(errors.QueryRefused, match="'delete'"):
        _ = forged("delete from orders").data
    assert forged("select count(*) from `shop`.orders").data.iloc[0, 0] == 12
    assert forged("select count(*) from orders as of 'v1'").data.iloc[0, 0] == 6


PIECES = re.findall(
    r"\S+",
    """
select insert update delete drop table orders from where into outfile 'x' " ` ; -- # /* */ /*! ( ) , . * as of 'main'
shop call dolt_commit set @x := 1 union with q for show describe explain create view grant load data id = 1 and or limit
call :a ' '' \\ `shop`.`orders` `shop/main` @@autocommit truncate replace values
""",
)


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
        connection.run("CALL DOLT_TAG('v1', 'HEAD~1')", attempt="tag")
    kept = []
    for sql in MOVING:
        table = api.pin(DoltConfig(str(repo), sql=sql))
        assert resolve(DoltTable.from_dict(table.to_dict())).to_dict() == table.to_dict()
        kept.append((sql, table.to_dict(), table.data))
    put([7, 8, 9])
    put([4, 5], branch_conf=SerialBranch("run/1"))
    with connect(repo) as connection:
        connection.run("CALL DOLT_TAG('-d', 'v1')", attempt="tag")
        connection.run("CALL DOLT_TAG('v1', 'main')", attempt="tag")
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


@pytest.mark.parametrize("transport", ["fast", "text"])
def test_a_value_comes_back_as_it_was_bound(run: Run, transport: str) -> None:
    """Whatever is in it, through both transports: it is a value, and never a part of the statement."""
    for value in VALUES:
        # A column of type TIME is read by the text transport, whatever else there is.
        extra = ", cast('10:00:00' as time) t" if transport == "text" else ""
        frame = run(f"select 1 as one, :v as v, 'end' as e{extra}", v=value).data
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
    with pytest.raises(errors.QueryRefused, match="AS OF .*5"):
        run("select * from orders as of :r", r=5)
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
            assert connection.rows(f"SELECT {text}", attempt="ask")[0][0] == token.value, text


# ---------------------------------------------------------------------------------------------------------- reader


def test_queries_run_as_a_user_who_may_only_read(shop: Path, run: Run) -> None:
    """On our own server the second line of defence is the server's: even a statement that got through is denied."""
    assert run("select user() u").data.u[0] == "flyte_reader@localhost"
    before = state(shop)
    with connect(shop) as connection, connection.reading(attempt="try") as reading:
        for statement in (
            "INSERT INTO orders (id) VALUES (1000)", "DELETE FROM orders", "UPDATE orders SET id = 1 WHERE id = 2",
            "DROP TABLE orders", "CREATE TABLE x (n INT)", "ALTER TABLE orders ADD x INT", "TRUNCATE orders",
            "CREATE VIEW v AS SELECT 1", "CREATE DATABASE other", "DROP DATABASE shop", "CALL DOLT_ADD('-A')",
            "CALL DOLT_COMMIT('-Am', 'x')", "CALL DOLT_BRANCH('x')", "CALL DOLT_RESET('--hard')", "CALL DOLT_GC()",
            "CALL DOLT_CHECKOUT('run/1')", "CALL DOLT_TAG('x')", "CREATE USER x", "GRANT ALL ON *.* TO root",
            "CALL DOLT_REMOTE('add', 'x', 'file:///tmp/x')", "CALL DOLT_PUSH('file:///tmp/x', 'main')", "KILL 1",
        ):  # fmt: skip
            with pytest.raises(errors.DoltError, match="(?i)command denied|access denied|read only"):
                reading.run(statement, attempt="get through")
        assert reading.rows("SELECT LOAD_FILE('/etc/passwd')", attempt="read a file") == [(None,)]
    assert state(shop) == before


def test_the_fast_transport_is_that_user_too(shop: Path) -> None:
    """Both transports log in as the same user."""
    with connect(shop) as connection, connection.reading(attempt="try") as reading:
        with reading.arrow_batches("SELECT user() u", batch_rows=10, attempt="ask") as batches:
            assert next(batches).column("u").to_pylist() == ["flyte_reader@localhost"]


def test_nobody_logs_in_without_the_password(shop: Path) -> None:
    """The reader has a password that only those know who may read the server's own notice."""
    with connect(shop) as connection, connection.reading(attempt="try"):
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
            users = connection.rows("SELECT user FROM mysql.user", attempt="list users")
        assert ("flyte_reader",) not in users
        server.release(repo)
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
