"""What docs/sqlalchemy.md says of types, errors, names and Dolt is so; its blocks are run by ../docs/test_pages.py."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pymysql
import pytest
import servers
from certificates import Authority
from flytekit.exceptions.base import FlyteRecoverableException
from servers import DATABASE, PASSWORD, USER, Server
from sql_tasks import run, uri

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


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, Path]]:
    """Give a MariaDB that offers TLS, the authority that signed its certificate, and another one."""
    folder = tmp_path_factory.mktemp("tls")
    authority, other = Authority(folder), Authority(folder, "other")
    signed = authority.sign("127.0.0.1")
    with servers.mariadb(folder, f"--ssl-cert={signed.certificate}", f"--ssl-key={signed.key}") as server:
        yield server, authority.ca, other.ca


CIPHER = "select variable_value as v from information_schema.session_status where variable_name = 'ssl_cipher'"


def test_tls_is_used_where_it_is_offered_and_verified_where_an_authority_is_given(
    with_tls: tuple[Server, Path, Path], mariadb: Server
) -> None:
    """By the URI or by connect_args; a certificate of another authority is refused, and so is a server without TLS."""
    server, ca, other = with_tls
    assert run(server, CIPHER)["v"][0].startswith("TLS_")
    assert run(server, CIPHER, connect_args={"ssl": {"ca": str(ca)}})["v"][0].startswith("TLS_")
    assert run(f"{uri(server)}?ssl_ca={ca}", CIPHER)["v"][0].startswith("TLS_")
    assert run(server, CIPHER, connect_args={"ssl_disabled": True})["v"][0] == ""
    with pytest.raises(errors.ServerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        run(server, CIPHER, connect_args={"ssl": {"ca": str(other)}})
    by_name = uri(server).replace("127.0.0.1", "localhost")
    with pytest.raises(errors.ServerUnreachable, match="Hostname mismatch"):
        run(by_name, CIPHER, connect_args={"ssl": {"ca": str(ca)}})
    with pytest.raises(errors.StatementFailed, match="SSL is required"):
        run(mariadb, "select 1 as a", connect_args={"ssl": {"ca": str(ca)}})


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


def test_dolt_explains_in_words_where_it_announces_numbers(dolt_server: Server) -> None:
    """EXPLAIN gives the text NULL in a column of numbers, which no frame holds."""
    with pytest.raises(errors.UnreadableResult, match="'NULL'"):
        run(dolt_server, "explain select 1")
