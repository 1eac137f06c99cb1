"""Statements that tests try: those that only read, those that are refused for a piece of theirs, and pieces."""

from __future__ import annotations

import re

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

OTHER_STATEMENTS = re.findall(
    r"\S+",
    """
insert update delete replace drop create alter truncate rename call set use grant revoke load lock unlock begin commit
rollback start savepoint release prepare execute deallocate do handler kill flush reset analyze optimize check repair
import shutdown xa signal purge change stop install uninstall CREATE Insert dRoP nonsense
""",
)

REFUSED = [
    *[(text, "") for text in ("", " ", ";", "-- only a comment", "/* */", ";;", "\n\t")],
    *[(f"{first} something", first) for first in OTHER_STATEMENTS],
    ("drop table shop.orders", "drop"),
    ("'a text'", "'a text'"),
    ("select 1; select 2", ";"),
    ("select 1; drop table orders", ";"),
    ("select 1;;select 2", ";"),
    ("select ';'; delete from orders", ";"),
    ("select 1 -- x\n; delete from orders", ";"),
    ("select `a;b` from t; delete from orders", ";"),
    ("CALL DOLT_RESET('--hard')", "CALL"),
    ("call dolt_commit('-Am', 'x')", "call"),
    ("select dolt_commit('-Am', 'x')", "DOLT_COMMIT"),
    ("select * from dolt_clean()", "DOLT_CLEAN"),
    ("select `dolt_reset` ('--hard')", "DOLT_RESET"),
    ("select 1 into outfile '/tmp/x'", "into"),
    ("select 1 into dumpfile '/tmp/x'", "into"),
    ("select * from orders into @x", "@"),
    ("select * into orders2 from orders", "into"),
    ("select 1 union select 2 into outfile 'x'", "into"),
    ("select * from orders for update", "LOCK"),
    ("select * from orders for share", "LOCK"),
    ("select * from orders lock in share mode", "LOCK"),
    ("select * from (select * from orders for update) q", "LOCK"),
    ("with x as (delete from orders) select 1", "DELETE"),
    ("with x as (insert into orders values (1)) select 1", "into"),
    ("with x as (select 1) delete from orders", "DELETE"),
    ("with x as (select 1) update orders set id = 1", "UPDATE"),
    ("explain delete from orders", "from"),
    ("explain update orders set id = 1", "orders"),
    ("describe", ""),
    ("explain analyze insert into orders values (1)", "into"),
    ("select @x := 1", "@"),
    ("select @@secure_file_priv", "@"),
    ("select @`x`", "@"),
    ("select ?", "?"),
    ("select load_file('/etc/passwd')", "LOAD_FILE"),
    ("select LOAD_FILE /* x */ ('/etc/passwd')", "LOAD_FILE"),
    ("select `load_file`('/etc/passwd')", "LOAD_FILE"),
    ("select * from orders as of load_file('/etc/passwd')", "LOAD_FILE"),
    ("select * from orders where id = sleep(10)", "SLEEP"),
    ("select benchmark(1000000, md5('a'))", "BENCHMARK"),
    ("select get_lock('a', 1)", "GET_LOCK"),
    ("select release_lock('a')", "RELEASE_LOCK"),
    ("select release_all_locks()", "RELEASE_ALL_LOCKS"),
    ("select last_insert_id(5)", "LAST_INSERT_ID"),
    ("select * from dolt_test_run()", "DOLT_TEST_RUN"),
    ("select * from dolt_preview_merge_conflicts_summary('a', 'b')", "DOLT_PREVIEW_MERGE_CONFLICTS_SUMMARY"),
    ("select shop.dolt_version()", "DOLT_VERSION"),
    ("select /*! 1 */", "/*"),
    ("select /*!50000 load_file('x') */", "/*"),
    ("select /*M! 1 */", "/*"),
    ("/*! drop table orders */", "/*"),
    ("select 5--1", "--"),
    ("select 1 // 2", "//"),
    ("select 'abc", "'"),
    ('select "abc', '"'),
    ("select 'it\\'", "'"),
    ("select `abc", "`"),
    ("select 1 /* no end", "/*"),
    ("select $x", "$"),
    ("select {d '2024-01-01'}", "{"),
    ("select é", "é"),
    ("select\x0b1", "\x0b"),
    ("select\u00a01", "\xa0"),
    ("select '\0'", "\x00"),
    ("select x from", None),
    ("select * fro t", None),
    ("select (1", None),
    ("select 1)", None),
    ("select * from orders procedure analyse()", None),
    ("select " + "(" * 3000 + "1" + ")" * 3000, None),
    ("select * from information_schema.tables", "information_schema"),
    ("select * from INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA"),
    ("select * from `mysql`.`user`", "mysql"),
    ("select * from performance_schema.x", "performance_schema"),
    ("select * from other.orders", "other"),
    ("select * from orders where id in (select id from other.orders)", "other"),
    ("select * from `shop/main`.orders", "shop/main"),
    ("select `shop/main`.orders.id from orders", "shop/main"),
    ("select * from `shop/v1` . orders", "shop/v1"),
    ("select * from `shop@main`.orders", "shop@main"),
    ("with q as (select * from `shop/main`.orders) select * from q", "shop/main"),
    ("select a.b.c.d from orders", "a.b.c.d"),
    ("table other.orders", "other"),
    ("describe other.orders", "other"),
    ("describe `shop/main`.orders", "shop/main"),
    ("show columns from mysql.user", "mysql"),
    ("show columns from orders from mysql", "from"),
    ("show tables from mysql", "from"),
    ("show tables in `shop/main`", "in"),
    ("show tables where tables_in_shop in (select 1)", "select"),
    ("show tables; drop table orders", ";"),
    ("show processlist", "SHOW PROCESSLIST"),
    ("show grants", "SHOW GRANTS"),
    ("show variables like 'secure%'", "SHOW VARIABLES"),
    ("show databases", "SHOW DATABASES"),
    ("show create procedure p", "SHOW CREATE"),
    ("show master status", "SHOW MASTER"),
    ("show", "SHOW"),
    ("show create table", ""),
    ("show tables nonsense", "nonsense"),
    ("select * from orders as of 'WORKING'", "WORKING"),
    ("select * from orders as of `STAGED`", "STAGED"),
    ("select * from dolt_diff('HEAD', 'WORKING', 'orders')", "WORKING"),
    ("select * from dolt_diff('main..WORKING', 'orders')", "WORKING"),
    ("select * from dolt_diff_stat('STAGED', 'main')", "STAGED"),
    ("select * from orders as of", "AS OF"),
    ("select * from orders as of (select 'main')", "("),
    ("select * from orders as of concat((select 'main'))", "concat((select 'main'))"),
    ("select * from orders as of -1", "-"),
    ("select * from orders as of 20240101", "20240101"),
    ("select * from orders as of timestamp '2024-01-01'", "timestamp"),
    ("select * from orders as of a.b", "a"),
    ("select hashof(name) from dolt_branches", "name"),
    ("select hashof(concat('ma', 'in'))", "concat('ma', 'in')"),
    ("select * from dolt_diff(hashof('main'), lower('V1'), 'orders')", "lower('V1')"),
    ("select * from dolt_query_diff(lower('select 1'), 'select 1')", "lower('select 1')"),
    ("select * from dolt_query_diff('drop table orders', 'select 1')", "drop"),
    ("select * from dolt_query_diff('select 1', 'select * from mysql.user')", "mysql"),
    ("select :nope", ":nope"),
    ("select :a, :b", ":a, :b"),
    ("select ::a", ":"),
]

PIECES = re.findall(
    r"\S+",
    """
select insert update delete drop table orders from where into outfile 'x' " ` ; -- # /* */ /*! ( ) , . * as of 'main'
shop call dolt_commit set @x := 1 union with q for show describe explain create view grant load data id = 1 and or limit
call :a ' '' \\ `shop`.`orders` `shop/main` @@autocommit truncate replace values
""",
)
