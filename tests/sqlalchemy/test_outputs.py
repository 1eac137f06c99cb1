"""What becomes of rows: every kind of output, columns that a type declares, large results, large rows, many at once."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import servers
from flytekit import dynamic, kwtypes, map_task, task, workflow
from flytekit.types.schema import FlyteSchema
from flytekit.types.structured.structured_dataset import StructuredDataset
from servers import PASSWORD, Server
from sql_tasks import run, task_on, uri

from flytekitplugins.sqlalchemy.errors import InvalidTask, StatementFailed, UnreadableResult

MANY = 302_500
"""Rows of a large result: 550 times 550."""


@pytest.fixture
def rows(server: Server) -> Server:
    """Give a server with a table of three rows."""
    server.sql("drop table if exists three", "create table three (id int primary key, name varchar(20))")
    server.sql("insert into three values (1, 'Alice'), (2, null), (3, 'George')")
    return server


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (FlyteSchema[kwtypes(id=int)], lambda got: list(got.open().all().columns)),
        (Annotated[pd.DataFrame, kwtypes(id=int)], lambda got: list(got.columns)),
        (Annotated[StructuredDataset, kwtypes(id=int)], lambda got: list(got.open(pd.DataFrame).all().columns)),
        (Annotated[pa.Table, kwtypes(id=int)], lambda got: got.column_names),
        (Annotated[pl.DataFrame, kwtypes(id=int)], lambda got: got.columns),
    ],
    ids=["FlyteSchema", "pandas", "StructuredDataset", "Arrow", "Polars"],
)
def test_declared_columns_have_to_be_there(rows: Server, kind: Any, names: Callable[[Any], list[str]]) -> None:
    """Columns that the output's type declares arrive; a query without one of them is refused by name."""
    assert "id" in names(run(rows, "select id, name from three", output=kind))
    with pytest.raises(UnreadableResult, match="'id'") as caught:
        run(rows, "select name from three", output=kind)
    assert caught.value.columns == ["id"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [int, dict, list[int], str])
def test_outputs_that_are_no_frames(mariadb: Server, kind: Any) -> None:
    """A type that holds no rows is refused when the task is made, before anything is sent."""
    with pytest.raises(InvalidTask, match="FlyteSchema"):
        task_on(mariadb, "select 1 as a", output=kind)


EFFECTS = [
    ("create table made (id int primary key, n int)", 0),
    ("insert into made values (1, 1), (2, 2), (3, null)", 3),
    ("insert into made select id + 10, n from made", 3),
    ("update made set n = 5 where id > 2", 4),
    ("delete from made where id > 10", 3),
    ("replace into made values (1, 7)", 2),
    ("alter table made add column x int", 0),
    ("drop table made", 0),
]


def test_effects_are_kept_and_counted(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """DDL, INSERT, UPDATE, DELETE without an output are committed, and the log has the number of affected rows."""
    server.sql("drop table if exists made")
    with caplog.at_level(logging.INFO, logger="flytekit"):
        for statement, count in EFFECTS:
            caplog.clear()
            assert run(server, statement, output=None, name="effect") is None
            said = [record.getMessage() for record in caplog.records]
            if not statement.startswith(("create", "alter", "drop")):
                assert f"Task 'effect' affected {count} rows" in said
            if statement.startswith("replace"):
                assert sorted(server.sql("select id, n from made")) == [(1, 7), (2, 2), (3, 5)]
    assert server.sql("show tables like 'made'") in ([], ())


def test_the_log_has_the_number_of_rows_read(rows: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Reading logs how many rows came, and never a value of an input."""
    with caplog.at_level(logging.INFO, logger="flytekitplugins"), caplog.at_level(logging.INFO, logger="flytekit"):
        run(rows, "select * from three where name <> '{{ .inputs.x }}'", inputs={"x": (str, "x")}, name="reading")
    assert "Task 'reading' read 2 rows" in [record.getMessage() for record in caplog.records]


def test_rows_that_nobody_wants(rows: Server) -> None:
    """A SELECT without an output is run, and its rows are let go; one with an output has to give columns."""
    assert run(rows, "select * from three", output=None) is None
    with pytest.raises(InvalidTask, match="output_schema_type=None"):
        run(rows, "update three set name = 'x'")
    assert rows.sql("select count(*) from three where name = 'x'") in ([(0,)], ((0,),))


def test_procedures(mariadb: Server) -> None:
    """CALL gives the rows of its one result; several, or none, are refused where a frame is wanted."""
    for name, body in (("one", "select 1 as a"), ("two", "select 1 as a; select 2 as a"), ("none", "set @x = 1")):
        mariadb.sql(f"drop procedure if exists give_{name}", f"create procedure give_{name}() begin {body}; end")
        assert run(mariadb, f"call give_{name}()", output=None) is None
    assert run(mariadb, "call give_one()")["a"].tolist() == [1]
    with pytest.raises(UnreadableResult, match="procedure"):
        run(mariadb, "call give_two()")
    with pytest.raises(InvalidTask, match="rows"):
        run(mariadb, "call give_none()")


def test_rows_of_an_insert(mariadb: Server) -> None:
    """INSERT ... RETURNING gives its rows, and is kept."""
    mariadb.sql("drop table if exists returned", "create table returned (id int auto_increment primary key, v int)")
    assert run(mariadb, "insert into returned (v) values (7), (8) returning id, v")["v"].tolist() == [7, 8]
    assert mariadb.sql("select count(*) from returned") in ([(2,)], ((2,),))


PEAK = """
    import re, sys
    from pathlib import Path
    import pyarrow.parquet as pq
    from flytekit.types.structured.structured_dataset import StructuredDataset
    from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask

    def peak_mb():
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

    def read(query):
        task = SQLAlchemyTask("t", query, SQLAlchemyConfig(sys.argv[1]), output_schema_type=StructuredDataset)
        return task()._literal_sd.uri

    read(sys.argv[2] + " limit 1")
    before = peak_mb()
    uri = read(sys.argv[2])
    after = peak_mb()
    print(uri, after - before)
"""
"""A process that reads a large result into a file, and says by how many megabytes that made it larger."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("place", ["mariadb", "dolt_server", "postgres"])
def test_a_large_result_is_never_in_memory(request: pytest.FixtureRequest, place: str, tmp_path: Path) -> None:
    """Reading 3e5 rows of 150 MB takes a process that grows by less than half of that, and loses none."""
    server: Server = request.getfixturevalue(place)
    where = uri(server)
    run(where, "drop table if exists numbers", output=None)
    run(where, "create table numbers (i int)", output=None)
    values = ", ".join(f"({number})" for number in range(550))
    run(where, f"insert into numbers values {values}", output=None)
    query = "select a.i * 550 + b.i as id, repeat('x', 480) as v, a.i / 7.0 as f from numbers a cross join numbers b"
    program = tmp_path / "peak.py"
    program.write_text(textwrap.dedent(PEAK))
    done = subprocess.run(
        [sys.executable, str(program), where, query], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    folder, grown_mb = done.stdout.split()
    assert float(grown_mb) < 75
    ids = pq.read_table(folder, columns=["id"])["id"]
    assert (len(ids), ids.combine_chunks().to_numpy().sum()) == (MANY, MANY * (MANY - 1) // 2)
    size = sum(group.nbytes for group in pq.ParquetFile(next(Path(folder).rglob("0*"))).iter_batches(columns=["v"]))
    assert size > 140e6


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a MariaDB that takes and sends packets of 128 MB."""
    with servers.mariadb(tmp_path_factory.mktemp("roomy"), "--max-allowed-packet=128M") as server:
        yield server


EDGE = 0xFFFFFF
"""Bytes of the protocol's longest packet; a longer row goes on in the next one."""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["roomy", "dolt_server"])
@pytest.mark.parametrize("size", [EDGE - 7, EDGE - 6, EDGE - 5, EDGE - 4, EDGE, EDGE + 1, 2 * EDGE - 6, 2 * EDGE + 9])
def test_rows_around_the_longest_packet(request: pytest.FixtureRequest, place: str, size: int) -> None:
    """Rows that just fit, just fill, or overflow one packet or two come whole, and so do those before and after."""
    server: Server = request.getfixturevalue(place)
    query = f"select 1 as n, repeat('x', {size}) as v, 2 as m union all select 3, 'y', 4 union all select 5, null, 6"
    table = run(server, query, output=pa.Table)
    assert (table["n"].to_pylist(), table["m"].to_pylist()) == ([1, 3, 5], [2, 4, 6])
    first, *rest = table["v"].to_pylist()
    assert (len(first), set(first), rest) == (size, {"x"}, ["y", None])


@pytest.mark.slow
def test_floats_around_the_longest_packet(roomy: Server) -> None:
    """Rows with a FLOAT, which come in another form, come whole in the same sizes."""
    for size in (EDGE - 12, EDGE - 11, EDGE - 10, EDGE + 1, 2 * EDGE):
        query = f"select cast(0.1 as float) as f, repeat('x', {size}) as v union all select 16777215, 'y'"
        table = run(roomy, query, output=pa.Table)
        assert table["f"].to_pylist() == [0.10000000149011612, 16777215.0]
        assert [len(value) for value in table["v"].to_pylist()] == [size, 1]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["roomy", "dolt_server"])
def test_a_value_of_24_megabytes_goes_there_and_back(request: pytest.FixtureRequest, place: str) -> None:
    """A text that is sent in three packets is stored and read as it is."""
    server: Server = request.getfixturevalue(place)
    value = "é'\\" * 6_000_000
    server.sql("drop table if exists large", "create table large (v longtext)")
    run(server, "insert into large values ({{ .inputs.x }})", inputs={"x": (str, value)}, output=None)
    assert run(server, "select v from large", output=pa.Table)["v"].to_pylist() == [value]
    server.sql("drop table large")


@pytest.mark.slow
@pytest.mark.parametrize("output", [pd.DataFrame, None])
def test_a_value_that_the_server_does_not_take(mariadb: Server, output: type | None) -> None:
    """A value above the server's max_allowed_packet is refused with the name of the limit, before it is sent."""
    most = mariadb.sql("select @@max_allowed_packet")[0][0]
    with pytest.raises(StatementFailed, match=f"20000017.*max_allowed_packet.*{most}"):
        run(mariadb, "select length({{ .inputs.x }})", inputs={"x": (str, "x" * 20_000_000)}, output=output)


def test_types_that_change_on_the_way(dolt_server: Server) -> None:
    """A result that needs a wider type, or has its first NULL, in a late piece is one file of one exact type."""
    where = uri(dolt_server)
    run(where, "drop table if exists many", output=None)
    run(where, "create table many (i int primary key, n int, v longtext)", output=None)
    values = ", ".join(f"({i}, {'null' if i == 30 else i}, repeat('x', 100000))" for i in range(31))
    run(where, f"insert into many values {values}", output=None)
    query = "select n, n / 3 as third, v from many order by i"
    frame = run(where, query)
    assert (str(frame["n"].dtype), frame["n"].isna().tolist()) == ("Int64", [False] * 30 + [True])
    assert frame["n"].iloc[:30].tolist() == list(range(30))
    assert frame["v"].str.len().tolist() == [100_000] * 31
    assert run(where, query, output=pa.Table)["third"].to_pylist()[-2:] == [
        run(where, "select 29 / 3 as third", output=pa.Table)["third"].to_pylist()[0],
        None,
    ]


def test_many_tasks_at_once(server: Server) -> None:
    """Twelve threads read and write at once; every one gets its own rows, and every effect is kept."""
    server.sql("drop table if exists kept", "create table kept (id int primary key, v varchar(20))")
    write = task_on(
        server,
        "insert into kept values ({{ .inputs.n }}, {{ .inputs.v }})",
        inputs={"n": (int, 0), "v": (str, "")},
        output=None,
    )
    read = task_on(server, "select {{ .inputs.n }} as n from numbers_of_threads", inputs={"n": (int, 0)})
    server.sql("drop table if exists numbers_of_threads", "create table numbers_of_threads (i int)")
    server.sql("insert into numbers_of_threads values " + ", ".join(["(1)"] * 1000))

    def both(number: int) -> list[int]:
        write(n=number, v=f"v{number}")
        return list(read(n=number)["n"])

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(both, range(36)))
    assert found == [[number] * 1000 for number in range(36)]
    stored = server.sql("select id, v from kept order by id")
    assert list(stored) == [(number, f"v{number}") for number in range(36)]


def test_in_a_workflow(mariadb: Server, dolt_server: Server) -> None:
    """A task's rows go on to a task that takes frames of pandas, Arrow and Polars and a FlyteSchema."""
    for server in (mariadb, dolt_server):
        server.sql("drop table if exists counted", "create table counted (n int)")
    write = task_on(
        mariadb, "insert into counted values ({{ .inputs.n }})", name="write", inputs={"n": (int, 0)}, output=None
    )
    frame = task_on(mariadb, "select n, 'é' as name from counted", name="frame")
    dataset = task_on(dolt_server, "select 3 as n", name="dataset", output=StructuredDataset)
    schema = task_on(dolt_server, "select 4 as n", name="schema", output=FlyteSchema)

    @task
    def total(a: pd.DataFrame, b: pa.Table, c: pl.DataFrame, d: pd.DataFrame, e: FlyteSchema) -> int:
        assert list(a.columns) == ["n", "name"]
        numbers = [*a["n"], *b["n"].to_pylist(), *c["n"], *d["n"], *e.open().all()["n"]]
        return int(sum(numbers))

    @workflow
    def wf(n: int) -> int:
        written = write(n=n)
        read = frame()
        written >> read
        return total(a=read, b=read, c=read, d=dataset(), e=schema())

    assert wf(n=10) == 10 * 3 + 3 + 4


def test_one_task_for_each_of_many_inputs(mariadb: Server) -> None:
    """A @dynamic workflow runs the task once for each value (flytekit's map_task takes only functions)."""
    square = task_on(mariadb, "select {{ .inputs.n }} * {{ .inputs.n }} as n", name="square", inputs={"n": (int, 0)})

    @task
    def only(frame: pd.DataFrame) -> int:
        return int(frame["n"].iloc[0])

    @dynamic
    def squares(numbers: list[int]) -> list[int]:
        return [only(frame=square(n=number)) for number in numbers]

    assert squares(numbers=[1, 2, 3]) == [1, 4, 9]
    with pytest.raises(ValueError, match="PythonFunctionTask"):
        map_task(square)


def test_notes_are_on_every_kind_of_output(dolt_server: Server) -> None:
    """The commit that was read is in pandas' attrs, in Arrow's metadata, and in the file for whoever opens it later."""
    ((head,),) = dolt_server.sql("select dolt_hashof('HEAD')")
    assert run(dolt_server, "select 1 as a").attrs["dolt_commit"] == head
    assert run(dolt_server, "select 1 as a", output=FlyteSchema).open().all().attrs["dolt_commit"] == head
    dataset = run(dolt_server, "select 1 as a", output=StructuredDataset)
    assert dataset.open(pa.Table).all().schema.metadata[b"dolt_commit"] == head.encode()
    assert dataset.open(pd.DataFrame).all().attrs["dolt_commit"] == head


def test_passwords_are_in_no_output(server: Server) -> None:
    """The file's metadata do not say with which password the rows were read."""
    assert PASSWORD not in str(run(server, "select 1 as a", output=pa.Table).schema.metadata)
