"""Plain frames of Flyte 2's tasks as tables: by annotation, by address, and handed on without being written again."""

import asyncio
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import flyte
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flyte.io import DataFrame
from flyte.types import TypeEngine

from flytekitplugins.dolt.errors import InvalidUri, TableNotFound, UnsupportedFrame
from flytekitplugins.dolt.repository import refs
from flyteplugins.dolt import DoltConfig, DoltTable, dolt_frame, dolt_uri, read, write

ONE_REPOSITORY = True
Run = Callable[..., Any]
Config = Callable[..., DoltConfig]
env = flyte.TaskEnvironment(name="frames")
ROWS = pd.DataFrame({"a": [1, 2]})

MADE = {
    pd.DataFrame: lambda: ROWS.copy(),
    pa.Table: lambda: pa.table({"a": [1, 2]}),
    pl.DataFrame: lambda: pl.DataFrame({"a": [1, 2]}),
    pl.LazyFrame: lambda: pl.LazyFrame({"a": [1, 2]}),
}


def column(frame: Any) -> list[int]:
    frame = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    return list(frame["a"].to_pylist() if isinstance(frame, pa.Table) else frame["a"])


@pytest.mark.parametrize("taken", list(MADE), ids=str)
@pytest.mark.parametrize("made", list(MADE), ids=str)
def test_frames_of_any_class(run: Run, config: Config, saves: list[str], made: Any, taken: Any) -> None:
    """Whichever class one task returns, the next takes the class that it declares, and nothing is written again."""
    ours = dolt_frame(config("t"))

    @env.task
    async def make() -> Annotated[made, ours]:
        return MADE[made]()

    @env.task
    async def take(frame: Annotated[taken, ours]) -> list[int]:
        assert isinstance(frame, taken)
        return column(frame)

    @env.task
    async def both() -> list[int]:
        return await take(await make())

    assert run(both) == [1, 2]
    assert read(config("t"))["a"].tolist() == [1, 2]
    assert saves == ["t"]


def test_a_frame_that_was_changed_is_written(run: Run, config: Config, saves: list[str]) -> None:
    """What a parent has changed is another frame, also in place."""
    ours = dolt_frame(config("t"))

    @env.task
    async def make() -> Annotated[pd.DataFrame, ours]:
        return ROWS

    @env.task
    async def total(frame: Annotated[pd.DataFrame, ours]) -> int:
        return int(frame["a"].sum())

    @env.task
    async def both() -> int:
        frame = await make()
        frame.loc[0, "a"] = 10
        return await total(frame)

    assert run(both) == 12
    assert saves == ["t", "t"]


def test_an_output_is_written_to_the_table_of_its_config(run: Run, config: Config) -> None:
    """A task that returns what it took copies it: its signature says where to."""

    @env.task
    async def copy(
        frame: Annotated[pd.DataFrame, dolt_frame(config("t"))],
    ) -> Annotated[pd.DataFrame, dolt_frame(config("u"))]:
        return frame

    write(config("t"), ROWS)
    run(copy, frame=DoltTable(config("t")))
    assert read(config("u"))["a"].tolist() == [1, 2]


def test_a_plain_frame_travels_by_its_reference(run: Run, config: Config, saves: list[str]) -> None:
    """Also a task that declares no table gets the frame from Dolt, and no Parquet is written."""

    @env.task
    async def make() -> Annotated[pd.DataFrame, dolt_frame(config("t"))]:
        return ROWS

    @env.task
    async def where(frame: DataFrame) -> str:
        return str(frame.uri)

    @env.task
    async def total(frame: pd.DataFrame) -> int:
        return int(frame["a"].sum())

    @env.task
    async def both() -> tuple[int, str]:
        frame = await make()
        return await total(frame), await where(DataFrame.wrap_df(frame, uri=dolt_uri(config("copy"))))

    found, uri = run(both)
    assert found == 3
    assert uri.startswith("dolt://")
    assert saves == ["t", "copy"]


def test_a_table_is_its_rows_where_a_frame_is_declared(run: Run, config: Config) -> None:
    """A DoltTable is given to a task that takes a frame, with or without an annotation."""

    @env.task
    async def total(ours: Annotated[pd.DataFrame, dolt_frame(config("t"))], plain: pd.DataFrame) -> int:
        return int(ours["a"].sum() + plain["a"].sum())

    table = write(config("t"), ROWS)
    assert run(total, ours=table, plain=table) == 6


def test_flyte_dataframes_at_addresses(run: Run, config: Config) -> None:
    """Flyte's own class is written to a ``dolt://`` address, and opened as any class from there."""

    @env.task
    async def make() -> DataFrame:
        return DataFrame.wrap_df(ROWS, uri=dolt_uri(config("sd")))

    @env.task
    async def take(frame: DataFrame) -> tuple[str, int, int]:
        arrow = await frame.open(pa.Table).all()
        return str(frame.uri), len(arrow), len(await frame.open(pl.DataFrame).all())

    @env.task
    async def both() -> tuple[str, int, int]:
        return await take(await make())

    uri, rows, same = run(both)
    assert "commit=" in uri
    assert (rows, same) == (2, 2)
    assert run(take, frame=DataFrame(uri=dolt_uri(config("sd"))))[1] == 2


def test_optional_frames(run: Run, config: Config) -> None:
    """None, or a frame of ours."""
    ours = dolt_frame(config("t"))

    @env.task
    async def maybe(there: bool) -> Annotated[pd.DataFrame, ours] | None:
        return ROWS if there else None

    assert run(maybe, there=False) is None
    assert run(maybe, there=True)["a"].tolist() == [1, 2]


def test_an_error_in_a_union_is_ours(run: Run, config: Config) -> None:
    """Flyte tries all variants and says that none fits; what was wrong with ours gets through."""

    @env.task
    async def wrong() -> Annotated[pd.DataFrame, dolt_frame(config("t"))] | None:
        return pd.DataFrame({"a": [object()]})

    with pytest.raises(UnsupportedFrame, match="'a'"):
        run(wrong)


def test_columns_and_order_of_the_config(run: Run, config: Config) -> None:
    """An input is read as its config says."""
    write(config("t"), pd.DataFrame({"a": [2, 1], "b": ["x", "y"]}))

    @env.task
    async def read_it(frame: Annotated[pd.DataFrame, dolt_frame(config("t", columns=["a"], order_by=["a"]))]) -> str:
        return f"{list(frame.columns)} {frame['a'].tolist()}"

    assert run(read_it, frame=DoltTable(config("t"))) == "['a'] [1, 2]"


def test_a_frame_at_a_commit_is_not_written_to(run: Run, config: Config) -> None:
    """A commit never changes."""
    address = dolt_uri(write(config("t"), ROWS))

    @env.task
    async def wrong() -> DataFrame:
        return DataFrame.wrap_df(ROWS, uri=address)

    with pytest.raises(InvalidUri, match="names a commit"):
        run(wrong)


def test_our_error_reaches_the_task_that_opens_a_frame(run: Run, config: Config) -> None:
    """Flyte would make an error about cloud storage of it."""

    @env.task
    async def take(frame: DataFrame) -> str:
        try:
            await frame.open(pd.DataFrame).all()
        except TableNotFound as error:
            return str(error)
        return ""

    write(config("t"), ROWS)
    assert "nosuch" in run(take, frame=DataFrame(uri=dolt_uri(config("nosuch"))))


@pytest.mark.skipif(importlib.util.find_spec("flyteplugins.polars") is not None, reason="Flyte's plugin is there")
def test_plain_polars_frames_travel_as_before(run: Run, config: Config) -> None:
    """Without Flyte's own plugin for Polars its frames are pickled, and knowing of addresses changes nothing."""

    @env.task
    async def make() -> pl.DataFrame:
        return pl.DataFrame({"a": [5]})

    @env.task
    async def take(frame: pl.DataFrame) -> int:
        return int(frame["a"].sum())

    @env.task
    async def both() -> int:
        return await take(await make())

    assert run(both) == 5


def test_a_frame_of_another_class_is_refused_in_one_line(config: Config) -> None:
    """The frame is not in the message."""
    declared = Annotated[pd.DataFrame, dolt_frame(config("t"))]
    kind = TypeEngine.to_literal_type(declared)
    with pytest.raises(TypeError, match="Cannot use a dict where a pandas DataFrame of dolt_frame") as caught:
        asyncio.run(TypeEngine.to_literal({"a": 1}, declared, kind))
    assert "\n" not in str(caught.value)


def test_annotations_of_equal_configs_are_equal(config: Config) -> None:
    """They can be compared and shown, and keep the config that they were made with."""
    first, second = dolt_frame(config("t")), dolt_frame(config("t"))
    assert first == second
    assert hash(first) == hash(second)
    assert first != dolt_frame(config("u"))
    assert "'t'" in repr(first)
    assert first.config.tablename == "t"


def test_equal_rows_make_no_commit(run: Run, config: Config, repo: Path) -> None:
    """An annotated output that changes nothing is the commit that was there."""

    @env.task
    async def make() -> Annotated[pd.DataFrame, dolt_frame(config("t"))]:
        return ROWS

    run(make)
    before = len(refs.log(repo, "main"))
    run(make)
    assert len(refs.log(repo, "main")) == before
