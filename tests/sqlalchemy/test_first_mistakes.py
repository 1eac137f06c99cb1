"""What those meet who write their first SQL tasks: placeholders, names, several statements, uncommitted work."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flytekit import Secret
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.tools.translator import get_serializable
from servers import DATABASE, PASSWORD, USER, Server
from sql_tasks import run, task_on, uri

from flytekitplugins.dolt import DoltConfig, read
from flytekitplugins.dolt.errors import TableNotFound
from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask
from flytekitplugins.sqlalchemy.errors import InvalidTask, SyntaxRefused, UncommittedChanges

SETTINGS = SerializationSettings(
    project="p", domain="d", version="v", image_config=ImageConfig(default_image=Image("i", "example.com/i", "1"))
)
LITE = "sqlite://"
PUBLIC = "postgresql://reader:open-to-all@db.example/rna"


def test_a_url_is_no_config() -> None:
    """Where the config belongs, a URL is refused in one sentence, in which its password does not stand."""
    with pytest.raises(InvalidTask, match=r"'t'.* str\. Give SQLAlchemyConfig\(uri=") as caught:
        SQLAlchemyTask("t", "select 1 as a", "mysql://me:hop@localhost/db")  # type: ignore[arg-type]
    assert "hop" not in str(caught.value)


@pytest.fixture(params=["mariadb", "dolt_server", "postgres", LITE])
def place(request: pytest.FixtureRequest) -> Server | str:
    """Give each kind of server in turn."""
    return str(request.param) if request.param == LITE else request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    "comment", ["-- {{ .inputs.name }}\n", "/* {{ .input.name }} */", "-- where a = {{ .inputs.a }}\n"]
)
def test_placeholders_in_comments_are_left_there(place: Server | str, comment: str) -> None:
    """They need no input, whether spelt well or not, and change no other placeholder."""
    frame = run(place, f"select {{{{ .inputs.b }}}} {comment} as b", inputs={"b": (int, 3)})
    assert int(frame["b"][0]) == 3


@pytest.mark.parametrize("query", ["select '--', {{ .inputs.name }}", "select '/*' , {{ .inputs.name }} , '*/'"])
def test_other_placeholders_need_one(query: str) -> None:
    """What only looks like a comment is none."""
    with pytest.raises(InvalidTask, match="'name'"):
        task_on(LITE, query)


def test_a_missing_input_is_named(place: Server | str) -> None:
    """A call by hand that leaves one out is told which; nothing is sent."""
    task = task_on(place, "select {{ .inputs.a }} as a, {{ .inputs.b }} as b", inputs={"a": (int, 1), "b": (int, 1)})
    with pytest.raises(InvalidTask, match="no value is given for input 'b'"):
        task(a=1)


def test_a_missing_input_of_the_message_is_named(dolt_server: Server) -> None:
    """So is one that only the commit's message has."""
    message = "of {{ .inputs.who }}"
    task = task_on(dolt_server, "select 1 as a", inputs={"who": (str, "")}, dolt_commit_message=message)
    with pytest.raises(InvalidTask, match="no value is given for input 'who'"):
        task()


@pytest.mark.parametrize(
    "query", ["select * from {{ .inputs.table }}", "select * from '{{ .inputs.table }}' where 1 = 1"]
)
def test_a_value_as_a_table_says_identifier(place: Server | str, query: str) -> None:
    """The error names what to write; a value that is meant behind FROM stays one."""
    with pytest.raises(SyntaxRefused, match=r"write \{\{ \.inputs\.table \| identifier \}\}"):
        run(place, query, inputs={"table": (str, "r")})
    if place != LITE:
        found = run(place, "select extract(year from {{ .inputs.d }}) as y", inputs={"d": (dt.datetime, NOON)})
        assert int(found["y"][0]) == 2024


NOON = dt.datetime(2024, 5, 7, 12)


def test_another_syntax_error_does_not(place: Server | str) -> None:
    """Where no value stands for a table nothing is said of names."""
    with pytest.raises(SyntaxRefused) as caught:
        run(place, "selec {{ .inputs.a }} as a", inputs={"a": (int, 1)})
    assert "identifier" not in str(caught.value)


@pytest.mark.parametrize("output", [pd.DataFrame, None])
@pytest.mark.parametrize(
    "query", ["select 1 as a; select 2 as a", "select 1 as a;\n-- then\nselect {{ .inputs.b }} as b"]
)
def test_several_statements_are_one_sentence(place: Server | str, query: str, output: Any) -> None:
    """On every server the same one, for every kind of task."""
    inputs = {"b": (int, 1)} if "inputs" in query else None
    with pytest.raises(
        SyntaxRefused, match=r"the query has several statements, and a task runs one\. Make a task of each"
    ):
        run(place, query, output=output, inputs=inputs)


@pytest.mark.parametrize("end", [";", " ;\n", "; -- done; really", " /* a; b */;"])
def test_one_statement_with_an_end_is_one(place: Server | str, end: str) -> None:
    """A semicolon at the end, in a text or in a comment makes no second statement."""
    assert run(place, f"select 'a;b' as a{end}")["a"].tolist() == ["a;b"]


def test_bodies_are_a_part_of_their_statement(server: Server, tmp_path: Path) -> None:
    """Procedures and triggers have statements within."""
    server.sql("drop procedure if exists body")
    run(server, "create procedure body() begin select 1 as a; end", output=None)
    assert run(server, "call body()")["a"].tolist() == [1]
    lite = f"sqlite:///{tmp_path}/f.db"
    run(lite, "create table t (a int)", output=None)
    run(lite, "create trigger tr after insert on t begin delete from t; select 1; end", output=None)


# ------------------------------------------------------------------------------------------------------------ on Dolt


def test_what_is_left_uncommitted_is_said_once(dolt_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The first run of a task says which tables have changes in no commit; reads, commits and reruns say nothing."""
    dolt_server.sql(
        "call dolt_reset('--hard')", "drop table if exists loose", "call dolt_commit('-A', '-m', 'x', '--skip-empty')"
    )
    make = task_on(dolt_server, "create table loose as select 1 as id", name="makes-loose", output=None)
    more = task_on(dolt_server, "insert into loose values (2)", name="adds-to-loose", output=None)
    make(), more(), more(), run(dolt_server, "select * from loose")
    said = [record.getMessage() for record in caplog.records if "in no commit" in record.getMessage()]
    assert [text.split("'")[1] for text in said] == ["makes-loose", "adds-to-loose"]
    assert all("'loose' on branch 'main'" in text and "dolt_commit_message" in text for text in said)
    caplog.clear()
    task_on(dolt_server, "call dolt_commit('-Am', 'all')", name="commits", output=None)()
    run(dolt_server, "insert into loose values (3)", name="notes", dolt_commit_message="three", output=None)
    assert not [record for record in caplog.records if "in no commit" in record.getMessage()]


def test_a_table_in_no_commit_is_named(dolt_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `DoltTable` of it says that it is there, and in no commit; one that is nowhere, does not."""
    monkeypatch.setenv("_FSEC_SQL_PW", PASSWORD)
    from flytekitplugins.dolt import Secret as DoltSecret

    dolt_server.sql("call dolt_reset('--hard')", "drop table if exists Unseen")
    dolt_server.sql("call dolt_commit('-A', '-m', 'x', '--skip-empty')", "create table Unseen (id int)")
    url = f"mysql+pymysql://{USER}@127.0.0.1:{dolt_server.port}/{DATABASE}"
    try:
        with pytest.raises(TableNotFound, match=r"On branch 'main' there is 'Unseen', in no commit.*dolt_commit"):
            read(DoltConfig(url, "unseen", secret=DoltSecret("sql", "pw")))
        with pytest.raises(TableNotFound) as caught:
            read(DoltConfig(url, "nowhere", secret=DoltSecret("sql", "pw")))
        assert "in no commit" not in str(caught.value)
    finally:
        dolt_server.sql("drop table Unseen")


def test_an_ignored_table_is_committed(dolt_server: Server) -> None:
    """With a message it is in a commit after the first run, and the second run is let in."""
    dolt_server.sql("call dolt_reset('--hard')")
    ((before,),) = dolt_server.sql("select dolt_hashof('HEAD')")
    dolt_server.sql(
        "replace into dolt_ignore values ('own_%', true)", "call dolt_commit('-A', '-m', 'x', '--skip-empty')"
    )
    task_on(dolt_server, "create table own_a (id int)", dolt_commit_message="made", output=None)()
    for number in (1, 2):
        task_on(dolt_server, f"insert into own_a values ({number})", dolt_commit_message="more", output=None)()
        assert run(dolt_server, "select count(*) as n from own_a as of 'HEAD'")["n"].tolist() == [number]
    dolt_server.sql("create table own_b (id int)")
    task_on(dolt_server, "insert into own_a values (0)", dolt_commit_message="not theirs", output=None)()
    assert dolt_server.sql("select table_name from dolt_status_ignored where ignored") == [("own_b",)]
    with pytest.raises(UncommittedChanges, match="'own_b', which dolt_ignore names"):
        task_on(dolt_server, "insert into own_b values (3)", dolt_commit_message="more", output=None)()
    assert dolt_server.sql("select * from own_b") == []
    dolt_server.sql("create table other_work (id int)")
    try:
        with pytest.raises(UncommittedChanges, match="'other_work'"):
            task_on(dolt_server, "insert into own_a values (3)", dolt_commit_message="more", output=None)()
    finally:
        dolt_server.sql("drop table other_work, own_b", f"call dolt_reset('--hard', '{before}')")


# ------------------------------------------------------------------------------------------------- passwords and noise


def test_a_password_that_is_public_is_registered() -> None:
    """Only where the config says so, which the error names; it is shown in no text."""
    with pytest.raises(InvalidTask, match="public_password=True"):
        get_serializable(OrderedDict(), SETTINGS, task_on(PUBLIC, "select 1 as a"))
    config = SQLAlchemyConfig(PUBLIC, public_password=True)
    custom = get_serializable(
        OrderedDict(), SETTINGS, task_on(PUBLIC, "select 1", public_password=True)
    ).template.custom
    assert custom["uri"] == PUBLIC
    assert "open-to-all" not in repr(config)
    assert "public_password=True" in repr(config)


@pytest.mark.parametrize(
    ("where", "more"),
    [
        (PUBLIC, {"connect_args": {"password": "s3cret"}}),
        (PUBLIC, {"connect_args": {"ssl": {"password": "s3cret"}}}),
        (f"{PUBLIC}?sslpassword=s3cret", {}),
        (f"{PUBLIC}?passfile=password%3Ds3cret", {}),
    ],
)
def test_no_other_password_is(where: str, more: dict[str, Any]) -> None:
    """What stands beside a public password is refused as ever, and is in no template."""
    task = task_on(where, "select 1 as a", public_password=True, **more)
    with pytest.raises(InvalidTask, match="hold a password") as caught:
        get_serializable(OrderedDict(), SETTINGS, task)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in str(task.task_config.to_custom())


def test_it_means_the_password_of_the_uri() -> None:
    """Without one there, or beside a secret for it, it makes no sense."""
    with pytest.raises(InvalidTask, match="public_password"):
        SQLAlchemyConfig("postgresql://reader@db.example/rna", public_password=True)
    with pytest.raises(InvalidTask, match="public_password"):
        SQLAlchemyConfig(PUBLIC, public_password=True, secret_connect_args={"password": Secret(group="g", key="k")})


def test_a_public_password_logs_in_from_the_template(postgres: Server) -> None:
    """A container, which has the template only, connects with it; a wrong one is hidden in the error."""
    task = task_on(postgres, "select 1 as a", public_password=True)
    template = get_serializable(OrderedDict(), SETTINGS, task).template
    assert task.executor.execute_from_model(template) is not None
    wrong = task_on(uri(postgres, password="wr0ng-one"), "select 1 as a", public_password=True)
    template = get_serializable(OrderedDict(), SETTINGS, wrong).template
    with pytest.raises(Exception, match="Check user and password") as caught:
        wrong.executor.execute_from_model(template)
    assert "wr0ng-one" not in str(caught.value)


def test_an_error_is_printed_once(tmp_path: Path) -> None:
    """A script that fails says so on one stream, with one line of ours in the traceback."""
    program = tmp_path / "program.py"
    program.write_text(
        "import pandas as pd\n"
        "from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask\n"
        "config = SQLAlchemyConfig(uri='sqlite://')\n"
        "SQLAlchemyTask('t', 'select * from n' 'ope', config, output_schema_type=pd.DataFrame)()\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("no such table: nope") == 1
    assert len([line for line in done.stderr.splitlines() if "/flytekitplugins/" in line]) == 1
