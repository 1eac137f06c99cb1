"""What docs/sqlalchemy.md says of types, errors, names and Dolt is so; its blocks are run by ../test_pages.py."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pymysql
import pytest
from conftest import run, uri
from flytekit.exceptions.base import FlyteRecoverableException
from servers import DATABASE, PASSWORD, USER, Server

import flytekitplugins.sqlalchemy
from flytekitplugins.sqlalchemy import errors
from flytekitplugins.sqlalchemy.task import IMAGE_VARIABLE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sqlalchemy.md").read_text()
DOCUMENTS_EXAMPLE = """\
from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask

task = SQLAlchemyTask(
    name="test-task",
    query_template="select * from my_table",
    task_config=SQLAlchemyConfig(
        uri="mysql://user:password@localhost/db",
    ),
)
"""
LITERALS = {
    "BIT(1)": "1",
    "BIT(8)": "1",
    "DATE": "'2020-01-02'",
    "DATETIME": "'2020-01-02 03:04:05'",
    "DATETIME(6)": "'2020-01-02 03:04:05.000006'",
    "TIMESTAMP": "'2020-01-02 03:04:05'",
    "TIME": "'-26:01:02'",
    "TIME(6)": "'838:59:58.000001'",
    "YEAR": "2020",
}


def rows(first: str) -> list[list[str]]:
    """Return the rows of the table of the page whose head begins with this column."""
    body = PAGE.partition(f"\n| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]


def plain(cell: str) -> str:
    """Return the name that a cell begins with."""
    return re.match(r"`([^`]+)`", cell)[1]  # type: ignore[index]


TYPES = [
    (kind, plain(value), plain(missing), plain(arrow))
    for kinds, value, missing, arrow in rows("columns")
    for kind in re.findall(r"`([^`]+)`", kinds)
]


def test_the_documents_example_runs_as_printed(mariadb: Server) -> None:
    """The page opens with the document's example; its own words make the task, which reads the table."""
    assert DOCUMENTS_EXAMPLE in PAGE
    mariadb.sql("create or replace table my_table (a int)", "insert into my_table values (7)")
    names: dict[str, Any] = {}
    ours = DOCUMENTS_EXAMPLE.replace("mysql://user:password@localhost/db", uri(mariadb))
    exec(compile(ast.parse(ours), "page", "exec"), names)
    assert names["task"]().open().all()["a"].tolist() == [7]


@pytest.mark.parametrize(("kind", "value", "missing", "arrow"), TYPES, ids=[kind for kind, *_ in TYPES])
def test_a_column_comes_back_as_the_page_says(server: Server, kind: str, value: str, missing: str, arrow: str) -> None:
    """The table of types holds on both servers, in pandas with and without missing values, and in Arrow."""
    server.sql("drop table if exists kinds", f"create table kinds (full {kind}, missing {kind} null)")
    server.sql(
        f"insert into kinds values ({LITERALS.get(kind, repr('1') if value in ('str', 'object') else '1')}, null)"
    )
    text = str(pd.Series(["x"]).dtype)
    dtypes = {name: str(dtype) for name, dtype in run(server, "select * from kinds").dtypes.items()}
    assert dtypes == {"full": value.replace("str", text), "missing": missing.replace("str", text)}
    assert str(run(server, "select * from kinds", output=pa.Table).schema.field("full").type) == arrow


def test_the_page_has_every_error() -> None:
    """Each class has a row, in the order of the tree, and its row says truly whether Flyte may try again."""
    found = [(plain(error), recoverable) for error, _, recoverable, _ in rows("error")]
    classes = re.findall(r"^ +[├└]── (\w+) ", errors.__doc__ or "", re.MULTILINE)
    kinds = [(name, issubclass(getattr(errors, name), FlyteRecoverableException)) for name in classes]
    assert found == [(name, "yes" if may else "no") for name, may in kinds]
    assert {*classes, "SQLTaskError"} == set(errors.__all__)


def test_the_reference_names_every_public_name() -> None:
    """docs/reference has each name that a user can import, and the errors."""
    text = (ROOT / "docs" / "reference" / "sqlalchemy.rst").read_text()
    named = set(re.findall(r"^\.\. auto(?:class|exception):: (\w+)$", text, re.MULTILINE))
    assert named == set(flytekitplugins.sqlalchemy.__all__) - {"SQLTaskError"}
    assert ".. automodule:: flytekitplugins.sqlalchemy.errors" in text


def test_the_page_names_the_variable_of_the_image() -> None:
    """A setting that the code reads is documented."""
    assert f"`{IMAGE_VARIABLE}`" in PAGE


class Client:
    """One connection of PyMySQL alone, which knows nothing of this package."""

    def __init__(self, server: Server) -> None:
        self.connection = pymysql.connect(
            host="127.0.0.1", port=server.port, user=USER, password=PASSWORD, database=DATABASE, autocommit=None
        )

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def test_dolt_escapes_whatever_the_mode_says(dolt_server: Server) -> None:
    """NO_BACKSLASH_ESCAPES is taken and ignored; when this fails, templates.grammar can be simpler for Dolt."""
    client = Client(dolt_server)
    client("set sql_mode = 'NO_BACKSLASH_ESCAPES'")
    assert client("select @@sql_mode, 'it\\'s'") == [("NO_BACKSLASH_ESCAPES", "it's")]
    client.connection.close()


def test_dolt_refuses_inserts_only_in_a_transaction_that_is_read_only(dolt_server: Server) -> None:
    """The session's setting is ignored; START TRANSACTION READ ONLY stops INSERT, not DDL and not procedures."""
    dolt_server.sql("drop table if exists quirks", "create table quirks (a int)")
    client = Client(dolt_server)
    client("set session transaction read only")
    client("insert into quirks values (1)")
    client("rollback")
    client("start transaction read only")
    with pytest.raises(pymysql.err.OperationalError, match="cannot execute statement in a READ ONLY transaction"):
        client("insert into quirks values (1)")
    client("create table more_quirks (a int)")
    client("drop table more_quirks")
    client("call dolt_commit('--allow-empty', '-m', 'in a read-only transaction')")
    assert client("select message from dolt_log limit 1") == [("in a read-only transaction",)]
    client.connection.close()


def test_dolt_has_no_limit_on_a_statements_time(dolt_server: Server) -> None:
    """`max_execution_time` of 100 ms lets a second pass."""
    client = Client(dolt_server)
    client("set max_execution_time = 100")
    assert client("select sleep(1)") == [(0,)]
    client.connection.close()


def test_dolt_greets_as_if_autocommit_were_off(dolt_server: Server) -> None:
    """A client that believes the greeting loses nothing on ROLLBACK: the row is there."""
    dolt_server.sql("drop table if exists quirks", "create table quirks (a int)")
    client = Client(dolt_server)
    assert client.connection.get_autocommit() is False
    assert client("select @@autocommit") == [(1,)]
    client("insert into quirks values (1)")
    client("rollback")
    assert client("select * from quirks") == [(1,)]
    client.connection.close()
