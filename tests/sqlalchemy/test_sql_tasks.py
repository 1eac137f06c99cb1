"""The task end to end on real servers: outputs, values, effects, secrets kept out, Dolt's commit."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from typing import Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pytest
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.models.security import Secret
from flytekit.tools.translator import get_serializable
from servers import PASSWORD, USER, Server
from sql_tasks import run, task_on, uri

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask
from flytekitplugins.sqlalchemy.errors import InvalidTask, TableNotFound

SETTINGS = SerializationSettings(
    project="p", domain="d", version="v", image_config=ImageConfig(default_image=Image("i", "example.com/i", "1"))
)


def test_the_documents_example_runs(server: Server) -> None:
    """The document's query on a URI that names no driver gives the table; only the port is the test's own."""
    server.sql("drop table if exists my_table", "create table my_table (name varchar(9), n int)")
    server.sql("insert into my_table values ('George', 1), ('Alice', null)")
    found = run(server, "select * from my_table order by name")
    assert list(found["name"]) == ["Alice", "George"]
    assert (str(found["n"].dtype), found["n"].isna().tolist()) == ("Int64", [True, False])


def test_values_stay_values(server: Server) -> None:
    """Quotes, marks, percent signs, lists and white space arrive as they are, in quotes and without."""
    inputs: dict[str, Any] = {
        "a": (str, "O'Brien :x %s \\"),
        "b": (str, "50%"),
        "ids": (list[int], [1, 2]),
        "at": (dt.datetime, dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)),
    }
    query = (
        "select {{ .inputs.a }} as a, '%{{ .inputs.b }}%' as b, 1 in ({{ .inputs.ids }}) as c, '  %s :y  ' as d,\n"
        "  {{ .inputs.at }} = '2020-01-01 00:00:00' as e -- the end"
    )
    (row,) = run(server, query, inputs=inputs).to_dict("records")
    assert row == {"a": "O'Brien :x %s \\", "b": "%50%%", "c": 1, "d": "  %s :y  ", "e": 1}


def test_an_effect_is_kept_and_a_failure_keeps_nothing(server: Server) -> None:
    """INSERT without an output is committed; a task that fails after its statement leaves no row, on Dolt too."""
    server.sql("drop table if exists effects", "create table effects (id int primary key)")
    assert run(server, "insert into effects values (1)", output=None) is None
    with pytest.raises(InvalidTask, match="output_schema_type=None"):
        run(server, "insert into effects values (2)")
    assert server.sql("select id from effects") in ([(1,)], ((1,),))


def test_an_error_names_query_and_server_and_no_password(server: Server) -> None:
    """A missing table is a typed error with the query as written."""
    with pytest.raises(TableNotFound, match="Query: select \\* from nope") as caught:
        run(server, "select * from nope where a = '{{ .inputs.a }}'", inputs={"a": (str, "a private value")})
    said = str(caught.value)
    assert f"{USER}@127.0.0.1:{server.port}" in said
    assert PASSWORD not in said
    assert "a private value" not in said


def test_the_template_holds_no_password_and_requests_the_secret(mariadb: Server) -> None:
    """A password in the URI is refused for a cluster; a secret is requested by the task itself."""
    with pytest.raises(InvalidTask, match="password"):
        get_serializable(OrderedDict(), SETTINGS, task_on(mariadb, "select 1 as a"))
    config = SQLAlchemyConfig(
        uri=f"mysql://{USER}@127.0.0.1:{mariadb.port}/db",
        secret_connect_args={"password": Secret(group="db", key="password")},
    )
    task = SQLAlchemyTask(name="t", query_template="select 1 as a", task_config=config)
    template = get_serializable(OrderedDict(), SETTINGS, task).template
    assert [(s.group, s.key) for s in template.security_context.secrets] == [("db", "password")]
    with_password = task_on(mariadb, "select 1 as a")
    with_password()
    said = repr(with_password.task_config) + str(template) + str(with_password.task_template.custom)
    assert PASSWORD not in said
    assert quote(PASSWORD, safe="") not in said
    assert USER in said


def test_a_dolt_read_says_its_commit(dolt_server: Server) -> None:
    """The frame's attrs and the Arrow table's metadata name the commit that was read."""
    ((head,),) = dolt_server.sql("select dolt_hashof('HEAD')")
    assert run(dolt_server, "select 1 as a").attrs["dolt_commit"] == head
    assert run(dolt_server, "select 1 as a", output=pa.Table).schema.metadata[b"dolt_commit"] == head.encode()


def test_a_dolt_commit_message_makes_one_commit(dolt_server: Server) -> None:
    """The statement's change is one commit with the message and the execution's id."""
    dolt_server.sql("drop table if exists noted", "create table noted (id int)", "call dolt_commit('-Am', 'start')")
    run(dolt_server, "insert into noted values (1)", output=None, dolt_commit_message="add a row")
    ((message,),) = dolt_server.sql("select message from dolt_log limit 1")
    assert message == "add a row\n\nGenerated by Flyte execution id: ex:local:local:local"


def test_an_input_that_no_placeholder_names_is_taken(mariadb: Server) -> None:
    """Such an input orders tasks: the query runs as it stands."""
    found = run(mariadb, "select 1 as a", inputs={"after": (str, "it is done")})
    pd.testing.assert_frame_equal(found, pd.DataFrame({"a": [1]}))


def test_other_servers(postgres: Server) -> None:
    """SQLite and PostgreSQL take values in the same way."""
    for where in ("sqlite://", uri(postgres)):
        found = run(where, "select 1 as a, {{ .inputs.b }} as b", inputs={"b": (str, "é'")})
        pd.testing.assert_frame_equal(found, pd.DataFrame({"a": [1], "b": ["é'"]}))
