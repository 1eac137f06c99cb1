"""The task as a cluster runs it: `pyflyte-execute` with the serialised template, in a process that has no code of ours.

A pod gets the template, its inputs and the secrets that it asked for as files and variables, and leaves outputs or an
error as a file. How its image is chosen is here as well; what is in the default image is tested where it is built.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.image_spec.image_spec import ImageSpec
from flytekit.models.security import Secret
from flytekit.tools.translator import get_serializable
from flytekit.types.schema import FlyteSchema
from pods import Cluster, PodFailed, counted
from servers import PASSWORD, USER, Server
from sql_tasks import task_on

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyDefaultImages, SQLAlchemyTask

IMAGE = Image("i", "example.com/i", "1")
SETTINGS = SerializationSettings(
    project="p", domain="d", version="v", image_config=ImageConfig(IMAGE, [IMAGE]), env={"Y": "2"}
)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Give a cluster whose secret store has the password."""
    return Cluster(tmp_path, secrets={("db", "password"): PASSWORD}, environment=counted())


def registrable(server: Server, query: str, **options: Any) -> SQLAlchemyTask:
    """Return a task as it is registered: with the password as a secret."""
    where = f"mysql://{USER}@127.0.0.1:{server.port}/db"
    secrets = {"password": Secret(group="db", key="password")}
    return task_on(where, query, secret_connect_args=secrets, **options)


def stored(server: Server) -> str:
    """Make a table with a value of each kind, and return the query for it."""
    server.sql("drop table if exists kept")
    server.sql(
        "create table kept (i bigint unsigned, d decimal(20, 4), t datetime(6), n time(6), b blob, s text, f bit)"
    )
    server.sql(
        "insert into kept values (18446744073709551615, 1.5, '1999-12-31 23:59:59.5', '-30:00', x'00ff', 'é😀', 1)"
    )
    server.sql("insert into kept values (null, null, null, null, null, null, null)")
    return "select * from kept order by i is null"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FlyteSchema, pd.DataFrame, pa.Table, pl.DataFrame])
def test_outputs_are_read_back(mariadb: Server, cluster: Cluster, kind: Any) -> None:
    """What a pod leaves in its outputs is, for whoever reads it, what a local run gives."""
    query = stored(mariadb)
    (found,) = cluster.run(registrable(mariadb, query, output=kind), "f1")
    here = task_on(mariadb, query, output=kind)()
    if kind is FlyteSchema:
        found, here = (frame.open(pd.DataFrame).all() for frame in (found, here))
    if isinstance(found, pd.DataFrame):
        pd.testing.assert_frame_equal(found, here)
        assert str(found["i"].dtype) == "UInt64"
        assert found["i"].iloc[0] == 2**64 - 1
    else:
        assert found.equals(here)
        assert type(found) is kind
    assert len(found) == 2


@pytest.mark.slow
def test_inputs_of_every_type_reach_a_pod(mariadb: Server, cluster: Cluster) -> None:
    """Values that travelled as a file are the same, dates among them, which a template knows as datetimes only."""
    inputs: dict[str, tuple[Any, Any]] = {
        "i": (int, -(2**63)),
        "f": (float, 0.1),
        "b": (bool, True),
        "s": (str, "it's {{ .inputs.i }} %s \\"),
        "t": (dt.datetime, dt.datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=dt.timezone.utc)),
        "d": (dt.date, dt.date(2020, 1, 2)),
        "u": (dt.timedelta, dt.timedelta(hours=-30)),
        "n": (str | None, None),
        "xs": (list[int], [1, 2]),
        "ds": (list[dt.date], [dt.date(2020, 1, 2)]),
        "e": (list[str], []),
        "m": (Decimal, Decimal("1.10")),
    }
    query = (
        "select {{ .inputs.i }} as i, {{ .inputs.f }} as f, {{ .inputs.b }} as b, '{{ .inputs.s }}' as s, "
        "{{ .inputs.t }} as t, 'on {{ .inputs.d }}' as d, {{ .inputs.u }} as u, {{ .inputs.n }} is null as n, "
        "2 in ({{ .inputs.xs }}) as xs, '2020-01-02' in ({{ .inputs.ds }}) as ds, 'x' in ({{ .inputs.e }}) as e, "
        "{{ .inputs.m }} as m"
    )
    task = registrable(mariadb, query, output=pa.Table, inputs=inputs)
    (found,) = cluster.run(task, "f1", **{name: value for name, (_, value) in inputs.items()})
    assert found.to_pylist() == [
        {
            "i": -(2**63),
            "f": 0.1,
            "b": 1,
            "s": "it's {{ .inputs.i }} %s \\",
            "t": "2020-01-02 03:04:05.678901",
            "d": "on 2020-01-02",
            "u": "-30:00:00",
            "n": 1,
            "xs": 1,
            "ds": 1,
            "e": 0,
            "m": Decimal("1.10"),
        }
    ]


@pytest.mark.slow
def test_a_workflow_of_pods(mariadb: Server, cluster: Cluster) -> None:
    """A statement without an output, a read and a Python task run one after the other in pods of their own."""
    mariadb.sql("drop table if exists steps", "create table steps (n int)")
    source = f"""
import pandas as pd
from flytekit import kwtypes, task, workflow
from flytekit.models.security import Secret
from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask

config = SQLAlchemyConfig(
    uri="mysql://{USER}@127.0.0.1:{mariadb.port}/db",
    secret_connect_args={{"password": Secret(group="db", key="password")}},
)
write = SQLAlchemyTask(
    name="write",
    query_template="insert into steps values ({{{{ .inputs.n }}}}), (1)",
    task_config=config,
    inputs=kwtypes(n=int),
    output_schema_type=None,
)
read = SQLAlchemyTask(
    name="read", query_template="select n from steps", task_config=config, output_schema_type=pd.DataFrame
)

@task
def total(frame: pd.DataFrame) -> int:
    return int(frame["n"].sum())

@workflow
def wf(n: int) -> int:
    written = write(n=n)
    rows = read()
    written >> rows
    return total(frame=rows)
"""
    assert cluster.run(cluster.image("sql_steps_wf", source).wf, "f1", n=41) == (42,)
    assert len(cluster.pods) == 3


@pytest.mark.slow
def test_an_error_is_reported(mariadb: Server, cluster: Cluster) -> None:
    """A pod that fails leaves an error with query and server, without values and password, not to be repeated."""
    query = "select * from nowhere where a = '{{ .inputs.x }}'"
    task = registrable(mariadb, query, inputs={"x": (str, "")})
    with pytest.raises(PodFailed, match="doesn't exist.*Query: select") as caught:
        cluster.run(task, "f1", x="a private value")
    assert not caught.value.recoverable
    assert query in caught.value.message
    assert f"{USER}@127.0.0.1:{mariadb.port}" in caught.value.message
    for hidden in (PASSWORD, "a private value"):
        assert hidden not in caught.value.message


@pytest.mark.slow
def test_a_polars_pod_refuses_wide_decimals(mariadb: Server, cluster: Cluster) -> None:
    """That an output is Polars is known in the pod, too, where a DECIMAL it cannot hold is refused."""
    query = "select cast('123456789' as decimal(65, 30)) as a"
    with pytest.raises(PodFailed, match="exactly"):
        cluster.run(registrable(mariadb, query, output=pl.DataFrame), "f1")


def container(**options: Any) -> Any:
    """Return the container of a serialised task."""
    config = SQLAlchemyConfig(uri="mysql://user@localhost/db")
    task = SQLAlchemyTask(name="t", query_template="select 1 as a", task_config=config, **options)
    return get_serializable(OrderedDict(), SETTINGS, task).template.container


def test_the_image_of_a_name() -> None:
    """A name is the image; flytekit's own placeholders for images are filled in."""
    assert container(container_image="registry.example/sql:1").image == "registry.example/sql:1"
    assert container(container_image="{{.image.i.fqn}}:{{.image.i.version}}").image == "example.com/i:1"


def test_the_image_of_a_spec() -> None:
    """An ImageSpec is asked for its name, and built by flytekit as for other tasks."""
    spec = ImageSpec(name="sql", base_image="registry.example/team/base:3", builder="noop")
    assert container(container_image=spec).image == "registry.example/team/base:3"


def test_the_default_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the image is this distribution's for the running Python, or what the environment says."""
    monkeypatch.delenv("FLYTE_SQLALCHEMY_IMAGE", raising=False)
    default = SQLAlchemyDefaultImages.default_image()
    assert default.startswith("flytekitplugins-doltdb:py3.")
    assert container().image == default
    monkeypatch.setenv("FLYTE_SQLALCHEMY_IMAGE", "registry.example/team/sql:7")
    assert container().image == "registry.example/team/sql:7"
    assert container(container_image="mine:1").image == "mine:1"


def test_the_command_and_the_template() -> None:
    """The container runs our executor by its name, with what the task was given of environment and resources."""
    config = SQLAlchemyConfig(uri="mysql://user@localhost/db", connect_args={"charset": "utf8mb4"}, timeout_s=None)
    task = SQLAlchemyTask(
        name="t", query_template="select   'a  b'", task_config=config, environment={"X": "1"}, container_image="i:1"
    )
    template = get_serializable(OrderedDict(), SETTINGS, task).template
    assert template.type == "sqlalchemy"
    assert template.container.args[0] == "pyflyte-execute"
    assert template.container.args[-1] == "flytekitplugins.sqlalchemy.task.SQLAlchemyTaskExecutor"
    assert template.container.env == {"X": "1", "Y": "2"}
    assert template.custom["query_template"] == "select   'a  b'"
    assert json.loads(json.dumps(template.custom))["timeout_s"] is None
