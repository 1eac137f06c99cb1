"""What a statement may do is judged on the careful side: no write is taken for a read because of its first word."""

from __future__ import annotations

import pytest

from flytekitplugins.sqlalchemy.effects import effect
from flytekitplugins.sqlalchemy.templates import grammar

MYSQL, POSTGRES, SQLITE = grammar("mysql"), grammar("postgresql"), grammar("sqlite")


@pytest.mark.parametrize(
    "statement",
    [
        "explain analyze insert into t values (1)",
        "explain (analyze, buffers) delete from t",
        "analyze format=json update t set a = 1",
        "select 1; delete from t",
        "select 1 delete from t",
        "select * into backup from t",
        "select * from t into outfile '/tmp/t'",
        "select a from t limit 1 into @a",
        "table t into outfile '/tmp/t'",
        "select * from t for update",
        "select * from t for no key update",
        "select * from t where a = 1 for share",
        "select * from t lock in share mode",
        "select 1 /*! into outfile '/tmp/t' */",
        "select 1 /*M!100100 into outfile '/tmp/t' */",
        "select 'never closed",
        "call dolt_commit('-Am', 'x')",
        "create table t (a int)",
        "truncate t",
        "do sleep(1)",
        "load data infile '/tmp/t' into table t",
        "set global read_only = 0",
        "exec sp_rename 'a', 'b'",
        "pragma user_version = 3",
        "pragma user_version(3)",
        "pragma journal_mode = delete",
        "",
    ],
)
def test_it_may_do_anything(statement: str) -> None:
    """A statement that writes in the middle, several statements, and those that commit by themselves."""
    for language in (MYSQL, POSTGRES, SQLITE):
        if "/*" not in statement or language is MYSQL:
            assert effect(statement, language) == "anything", language


@pytest.mark.parametrize(
    "statement",
    [
        "select f()",
        "select a, `f` (a) from t",
        'select "F"(a) from t',
        "select shop.count(a) from t",
        "select shop . count (a) from t",
        "select f /* a comment */ (1)",
        "select {{ .inputs.f | identifier }}(1)",
        "values (nextval('s'))",
        "with x as (select setval('s', 1)) select * from x",
        "select * from dblink('delete from t') as (a int)",
        "select sleep(10)",
        "select get_lock('a', 1)",
        "explain analyze select f()",
    ],
)
def test_it_calls_what_is_not_known(statement: str) -> None:
    """A function that is not known to compute only may do something, in quotes and from another database, too."""
    for language in (MYSQL, POSTGRES):
        if '"' not in statement or language is POSTGRES:
            assert effect(statement, language) == "calls", language


@pytest.mark.parametrize(
    "statement",
    [
        "select * from my_table",
        "  \n(select 1) union (select 2)",
        "-- delete from t\nselect 1",
        "# delete from t\nselect 1",
        "/* insert */ select 'delete; into', `update`, count(*) from t; -- done",
        "select replace(a, 'x', 'y'), insert(a, 1, 2, 'z') from t",
        "select {{ .inputs.delete }} from t where a in ({{ .inputs.into }})",
        "with recursive x (n) as (select 1 union all select n + 1 from x where n < 9) select * from x",
        "select /*+ max_execution_time(1000) */ * from t as u where exists (select 1)",
        "select g.x from generate_series(1, 3) as g(x)",
        "select sum(a) over (partition by b order by c rows between 1 preceding and current row) from t",
        "select cast(a as decimal(9, 2)), convert(b, char(3)), date_add(c, interval (1) day) from t use index (i)",
        "select * from t as of dolt_hashof('main')",
        "select * from dolt_diff('main', 'dev', 't')",
        "select * from t as of 'HEAD~1' join u using (id)",
        "show create table t",
        "describe t",
        "explain select * from t",
        "explain analyze select count(*) from t",
        "values row(1, 2), row(3, 4)",
        "table t",
        "pragma table_info(t)",
        "pragma user_version",
    ],
)
def test_it_reads(statement: str) -> None:
    """What is known to read is said to read, whatever stands in texts, names and comments of it."""
    assert effect(statement, MYSQL) == "reads"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("insert into t (a, b) select a, f(b) from u", "changes"),
        ("replace into t values (1)", "changes"),
        ("update t set a = {{ .inputs.a }}", "changes"),
        ("with x as (select 1) delete from t where a in (select * from x)", "changes"),
        ("with x as (delete from t returning *) select * from x", "changes"),
        ("with x as (update t set a = 1 returning a), y as (select 1) select * from x, y", "changes"),
        ("with x as (select 1 as a) update (t join x on t.a = x.a) set t.b = 1", "changes"),
        ("insert into t values (1); insert into t values (2)", "anything"),
        ("insert into t values (1) commit", "anything"),
        ("insert into t exec p", "anything"),
    ],
)
def test_one_change_is_told_from_several(statement: str, found: str) -> None:
    """One statement that changes rows is undone with its transaction; several may have ended theirs."""
    assert effect(statement, POSTGRES) == found
