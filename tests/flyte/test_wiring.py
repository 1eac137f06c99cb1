"""What is wired to an input or output of another type is what it can only mean, or one line that says what to write."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.

import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flytekit import task, workflow
from flytekit.types.structured import StructuredDataset

from flytekitplugins.dolt import DoltConfig, DoltTable, dolt_frame, read, versions, write

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@task
def stored(conf: DoltConfig) -> DoltTable:
    return DoltTable(conf, FRAME)


@task
def as_pandas(df: pd.DataFrame) -> str:
    return f"{type(df).__module__.partition('.')[0]} {df.to_dict('list')}"


@task
def as_arrow(df: pa.Table) -> str:
    return f"{type(df).__module__.partition('.')[0]} {df.to_pydict()}"


@task
def as_polars(df: pl.DataFrame) -> str:
    return f"{type(df).__module__.partition('.')[0]} {df.to_dict(as_series=False)}"


@task
def as_optional(df: typing.Optional[pd.DataFrame]) -> str:  # noqa: UP045  # as users write it
    return as_pandas.task_function(df)


@task
def as_list(df: list[pd.DataFrame]) -> str:
    return as_pandas.task_function(df[0])


@task
def as_dataset(df: StructuredDataset) -> str:
    return as_pandas.task_function(df.open(pd.DataFrame).all())


ROWS = "{'a': [1, 2], 'b': ['x', 'y']}"


def test_a_table_that_a_task_returned_is_its_rows(config: Config) -> None:
    """In every class of frames, optional, in a list or as a dataset: the rows of the commit, whatever came after."""

    @workflow
    def wf(conf: DoltConfig) -> tuple[str, str, str, str, str, str]:
        table = stored(conf=conf)
        many = as_list(df=[table])
        return (
            as_pandas(df=table),
            as_arrow(df=table),
            as_polars(df=table),
            as_optional(df=table),
            many,
            as_dataset(df=table),
        )

    assert list(wf(conf=config("t"))) == [
        f"{library} {ROWS}" for library in ("pandas", "pyarrow", "polars", "pandas", "pandas", "pandas")
    ]


def test_it_is_read_at_its_commit(config: Config) -> None:
    """A table with a commit is that commit also where a frame is declared; one without is the branch as it is now."""
    old = write(config("t"), FRAME)
    write(config("t"), FRAME.assign(a=[3, 4]))
    assert as_pandas(df=old) == f"pandas {ROWS}"
    assert as_pandas(df=DoltTable(config("t"))) == f"pandas {ROWS.replace('1, 2', '3, 4')}"


def test_the_columns_of_an_annotation_are_those_that_are_read(config: Config) -> None:
    """`dolt_frame` keeps its say about columns where a table is given."""

    @task
    def one(df: Annotated[pd.DataFrame, dolt_frame(config("u", columns=["b"]))]) -> list[str]:
        return list(df.columns)

    @workflow
    def wf(conf: DoltConfig) -> list[str]:
        return one(df=stored(conf=conf))

    assert wf(conf=config("t")) == ["b"]


def test_a_table_with_data_is_stored_once(config: Config) -> None:
    """Where a frame is declared a table with data is committed first, as an output and as an input by hand."""

    @task
    def make() -> pd.DataFrame:
        return DoltTable(config("t", message="made"), FRAME)  # type: ignore[return-value]

    @workflow
    def wf() -> str:
        return as_pandas(df=make())

    assert wf() == f"pandas {ROWS}"
    assert as_pandas(df=DoltTable(config("t"), FRAME.assign(a=[5, 6]))) == f"pandas {ROWS.replace('1, 2', '5, 6')}"
    assert read(config("t"))["a"].tolist() == [5, 6]
    assert len(versions(config("t"))) == 2


def test_unions_stay_told_apart(config: Config) -> None:
    """A Union of a table and a frame gets what was given."""

    @task
    def name(value: typing.Union[pd.DataFrame, DoltTable]) -> str:  # noqa: UP007
        return type(value).__name__

    @task
    def framed(
        value: typing.Union[DoltTable, Annotated[pd.DataFrame, dolt_frame(config("t"))]],  # noqa: UP007
    ) -> str:
        return type(value).__name__

    @workflow
    def wf(conf: DoltConfig) -> tuple[str, str]:
        table = stored(conf=conf)
        return name(value=table), framed(value=table)

    assert tuple(wf(conf=config("t"))) == ("DoltTable", "DoltTable")
    assert [name(value=DoltTable(config("t"))), name(value=FRAME)] == ["DoltTable", "DataFrame"]


def mistakes(conf: DoltConfig) -> dict[str, Any]:
    """Return calls that cannot mean anything, by what one line says of them."""

    @task
    def table(value: DoltTable) -> int:
        return 0

    @task
    def forgotten(a: int) -> DoltTable:
        if a:
            return DoltTable(conf, FRAME)
        return None  # type: ignore[return-value]

    @task
    def lost() -> Annotated[pd.DataFrame, dolt_frame(conf)]:
        return None

    @task
    def only_config() -> DoltTable:
        return conf  # type: ignore[return-value]

    @workflow
    def wired() -> int:
        return table(value=forgotten(a=0))

    none, config_of = "Cannot use None where a {} is declared", "Cannot use a DoltConfig where a {} is declared"
    return {
        none.format("DoltTable") + " 1": lambda: forgotten(a=0),
        none.format("DoltTable") + " 2": wired,
        none.format("DoltTable") + " 3": lambda: table(value=None),
        none.format("pandas DataFrame of dolt_frame(...)"): lost,
        config_of.format("DoltTable") + " 1": lambda: table(value=conf),
        config_of.format("DoltTable") + " 2": only_config,
        config_of.format("pandas DataFrame"): lambda: as_pandas(df=conf),
    }


@pytest.mark.parametrize("number", range(7))
def test_a_mistake_is_one_line(config: Config, number: int) -> None:
    """The error has a line that says what was given, what is declared and what to write; no literal is printed."""
    said, call = list(mistakes(config("t")).items())[number]
    with pytest.raises(Exception, match="Cannot use") as caught:
        call()
    lines = [line for line in str(caught.value).splitlines() if said.rstrip(" 123") in line]
    assert len(lines) == 1
    assert "Give " in lines[0]
    assert "msgpack" not in str(caught.value)
    assert "Flyte Serialized object" not in str(caught.value)


def test_a_bare_config_in_an_annotation(config: Config) -> None:
    """flytekit takes it for columns, and says so in the words that two pages lead from."""
    conf, said = config("t"), "is currently not supported by StructuredDataset"

    def plain() -> Annotated[pd.DataFrame, conf]:
        return FRAME

    with pytest.raises(AssertionError, match=said):
        task(plain)
    for page in ("dataframes.md", "troubleshooting.md"):
        assert said in " ".join((Path(__file__).parents[2] / "docs" / page).read_text().split())


def test_none_is_an_optional_table(config: Config) -> None:
    """Where none may be there, none is."""

    @task
    def maybe(value: typing.Optional[DoltTable] = None) -> int:  # noqa: UP045
        return -1 if value is None else len(value.data)

    assert maybe() == maybe(value=None) == -1
