"""Plain dataframes and flytekit's StructuredDataset as tables: written, read, bound and shown as a DoltTable is."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.
import decimal
import json
import pickle
import subprocess
import sys
import typing
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import cloudpickle
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dolt_server import PASSWORD, SECRET, DoltServer
from flytekit import dynamic, kwtypes, task, workflow
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.tools.translator import get_serializable
from flytekit.types.structured import StructuredDataset
from flytekit.types.structured.structured_dataset import StructuredDatasetTransformerEngine
from letting_go import let_go
from pods import Cluster

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    NewBranch,
    content_hash,
    dolt_frame,
    dolt_uri,
    errors,
    from_uri,
    read,
    write,
)
from flytekitplugins.dolt.flyte import dataframes
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.server import procedures

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
FRAMES = {
    "pandas": pd.DataFrame({"id": [1, 2], "name": ["a", "b"]}),
    "arrow": pa.table({"id": [1, 2], "name": ["a", "b"]}),
    "polars": pl.DataFrame({"id": [1, 2], "name": ["a", "b"]}),
    "polars lazy": pl.LazyFrame({"id": [1, 2], "name": ["a", "b"]}),
}
ROWS = {"id": [1, 2], "name": ["a", "b"]}


def rows(frame: typing.Any) -> dict[str, list[typing.Any]]:
    """Return the columns of a frame of any kind."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame.to_dict(as_series=False)
    return frame.to_pydict() if isinstance(frame, pa.Table) else frame.to_dict("list")


def csv(dolt: Dolt, query: str) -> list[str]:
    """Return the lines that the user's `dolt` prints for a query, without the header."""
    return dolt("sql", "-r", "csv", "-q", query).split()[1:]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the statements by which rows are fetched in bulk."""
    found: list[str] = []
    real = connections.Connection.arrow_batches

    def noted(self: connections.Connection, statement: str, **options: typing.Any) -> typing.Any:
        found.append(statement)
        return real(self, statement, **options)

    monkeypatch.setattr(connections.Connection, "arrow_batches", noted)
    return found


class TestDoltFrame:
    @pytest.mark.parametrize("writer", FRAMES)
    def test_writers_and_readers_of_all_kinds_agree(self, config: Config, dolt: Dolt, writer: str) -> None:
        """Whatever kind of frame a task returns, the next one gets the same rows as its own kind, at that commit."""
        out = Annotated[type(FRAMES[writer]), dolt_frame(config("t", primary_key=["id"]))]

        @task
        def produce() -> out:  # type: ignore[valid-type]
            return FRAMES[writer]

        @task
        def disturb(frame: pd.DataFrame) -> bool:
            write(config("t"), pd.DataFrame({"id": [9], "name": ["z"]}))
            return rows(frame) == ROWS

        @task
        def consume(
            after: bool,
            frame: pd.DataFrame,
            table: pa.Table,
            eager: pl.DataFrame,
            lazy: pl.LazyFrame,
            annotated: Annotated[pl.DataFrame, dolt_frame(config("t"))],
        ) -> bool:
            kinds = [type(given) for given in (frame, table, eager, lazy, annotated)]
            assert kinds == [pd.DataFrame, pa.Table, pl.DataFrame, pl.LazyFrame, pl.DataFrame]
            return after and all(rows(given) == ROWS for given in (frame, table, eager, lazy, annotated))

        @workflow
        def wf() -> bool:
            frame = produce()
            after = disturb(frame=frame)
            return consume(after=after, frame=frame, table=frame, eager=frame, lazy=frame, annotated=frame)

        assert wf()
        assert csv(dolt, "select * from t as of 'HEAD~1' order by id") == ["1,a", "2,b"]
        assert csv(dolt, "select * from t") == ["9,z"]

    def test_the_commit_is_that_of_any_output(self, config: Config, dolt: Dolt) -> None:
        """The message names the execution and the task, the branch is made, and the input is named as read."""
        source = write(config("source"), FRAMES["pandas"])

        @task
        def copy(
            frame: pd.DataFrame,
        ) -> Annotated[pd.DataFrame, dolt_frame(config("t", branch_conf=NewBranch("run/1")))]:
            return frame

        copy(frame=StructuredDataset(uri=dolt_uri(source)))
        printed = dolt("log", "run/1", "-n", "1")
        assert "Generated by Flyte execution id: ex:local:local:local" in printed
        assert ".copy\n" in printed
        assert source.commit is not None
        assert source.commit.hash in printed
        assert csv(dolt, "select count(*) from t as of 'run/1'") == ["2"]

    def test_equal_frames_with_another_write_in_between_are_both_written(self, config: Config, dolt: Dolt) -> None:
        """flytekit remembers literals of equal values on one path; a write must not be skipped for that."""
        kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]
        of = TypeEngine.to_literal_type(kind)

        @task
        def produce(a: int) -> kind:  # type: ignore[valid-type]
            return pd.DataFrame({"a": [a]})

        @task
        def by_hand(a: int) -> str:
            ctx = FlyteContextManager.current_context()
            table = DoltTable(config=config("u"), data=pd.DataFrame({"a": [a]}))
            TypeEngine.to_literal(ctx, table, DoltTable, TypeEngine.to_literal_type(DoltTable))
            return str(TypeEngine.to_literal(ctx, pd.DataFrame({"a": [a]}), kind, of).scalar.structured_dataset.uri)

        for a in (1, 2, 1):
            produce(a=a)
        assert csv(dolt, "select * from t") == ["1"]
        assert csv(dolt, "select count(*) from dolt_log") == ["4"]
        assert len({by_hand(a=a) for a in (5, 6, 5)}) == 3
        assert csv(dolt, "select * from t") == ["5"]
        assert csv(dolt, "select count(*) from dolt_diff_u") == ["5"]

    def test_equal_datasets_with_another_write_in_between_are_both_written(self, config: Config, dolt: Dolt) -> None:
        """So are datasets in an Iterator, which go on the path that remembers; others are pickled as ever."""
        uri = dolt_uri(config("t"))

        @task
        def produce() -> typing.Iterator[StructuredDataset]:
            return iter([StructuredDataset(dataframe=pd.DataFrame({"a": [1]}), uri=uri)])

        for count in (1, 2):
            write(config("t"), pd.DataFrame({"a": [99]}))
            produce()
            assert csv(dolt, "select * from t") == ["1"]
            assert csv(dolt, "select count(*) from dolt_diff_t") == [str(4 * count - 1)]
        written = StructuredDataset(uri=uri)
        assert pickle.dumps(written) == pickle.dumps(StructuredDataset(uri=uri))
        copied = pickle.loads(pickle.dumps(StructuredDataset(dataframe=pd.DataFrame({"a": [1]}), uri=uri)))
        assert (copied.uri, copied.dataframe["a"].tolist()) == (uri, [1])

    def test_an_unchanged_frame_makes_no_commit(self, config: Config, dolt: Dolt) -> None:
        """Equal content is no change, and its literal is the same bytes."""
        kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]

        @task
        def produce() -> kind:  # type: ignore[valid-type]
            return pd.DataFrame({"a": [1]})

        produce()
        produce()
        assert csv(dolt, "select count(*) from dolt_log") == ["2"]

    def test_shapes(self, config: Config, dolt: Dolt) -> None:
        """Lists, dictionaries, optional and several outputs of annotated frames are committed one by one."""
        one, two = (Annotated[pd.DataFrame, dolt_frame(config(name, mode="append"))] for name in ("one", "two"))

        @task
        def produce() -> tuple[list[one], dict[str, two], one | None]:  # type: ignore[valid-type]
            frame = pd.DataFrame({"a": [1]})
            return [frame, frame], {"x": frame}, frame

        @task
        def consume(a: list[pd.DataFrame], b: dict[str, pd.DataFrame], c: pd.DataFrame | None) -> list[int]:
            assert c is not None
            return [*map(len, a), len(b["x"]), len(c)]

        @workflow
        def wf() -> list[int]:
            a, b, c = produce()
            return consume(a=a, b=b, c=c)

        assert sorted(wf()) == [1, 1, 2, 3]
        assert csv(dolt, "select count(*) from one union all select count(*) from two") == ["3", "1"]

    def test_a_reference_may_stand_for_an_input(self, config: Config) -> None:
        """A DoltTable, a query or a config given to an annotated input is read; a frame is committed first."""
        table = write(config("t", primary_key=["id"]), FRAMES["pandas"])

        @task
        def consume(
            frame: Annotated[pd.DataFrame, dolt_frame(config("given", columns=["id"], order_by=["id"]))],
        ) -> str:
            return str(rows(frame))

        only = str({"id": [1, 2]})
        assert consume(frame=table) == only
        assert consume(frame=config("t")) == only
        assert consume(frame=config(sql="select * from t where id > 1")) == str({"id": [2]})
        assert consume(frame=FRAMES["pandas"]) == only
        assert rows(read(config("given", order_by=["id"]))) == ROWS

    def test_what_is_no_such_frame_is_refused(self, config: Config) -> None:
        """A frame of another class than the annotation's, data while compiling, and a bad config are errors."""

        @task
        def produce() -> Annotated[pd.DataFrame, dolt_frame(config("t"))]:
            return pl.DataFrame({"a": [1]})  # type: ignore[return-value]

        with pytest.raises(Exception, match="polars DataFrame.*pandas DataFrame"):
            produce()
        with pytest.raises(errors.InvalidConfig, match="tablename.*sql"):
            dolt_frame(DoltConfig("foo"))

        @task
        def consume(frame: Annotated[pd.DataFrame, dolt_frame(config("t"))]) -> int:
            return len(frame)

        with pytest.raises(Exception, match="str.*pandas DataFrame"):
            consume(frame="dolt://foo?table=t")

        with pytest.raises(Exception, match="tasks"):

            @workflow
            def wf() -> int:
                return consume(frame=pd.DataFrame({"a": [1]}))

            wf.compile()

    def test_annotations_of_equal_configs_are_equal(self, config: Config) -> None:
        """The annotation is a value: it compares and hashes by its config, is pickled, and later changes stay out."""
        conf = config("t")
        one, two = dolt_frame(conf), dolt_frame(config("t"))
        assert (one, hash(one)) == (two, hash(two))
        assert one != dolt_frame(config("u"))
        assert cloudpickle.loads(cloudpickle.dumps(one)) == one
        conf.tablename = "u"
        assert one.config.tablename == "t"
        assert not hasattr(one, "__annotations__")
        assert repr(one).startswith("dolt_frame(DoltConfig(")

    def test_frames_that_are_not_in_dolt_are_read_as_ever(self, config: Config) -> None:
        """A frame that another task returned plainly goes into an annotated input, too."""

        @task
        def produce() -> pd.DataFrame:
            return FRAMES["pandas"]

        @task
        def consume(frame: Annotated[pd.DataFrame, dolt_frame(config("t"))]) -> int:
            return len(frame)

        @workflow
        def wf() -> int:
            return consume(frame=produce())

        assert wf() == 2

    def test_a_dynamic_task_may_use_them(self, config: Config, dolt: Dolt) -> None:
        """Frames pass through a dynamic task like others."""

        @task
        def produce(n: int) -> Annotated[pd.DataFrame, dolt_frame(config("t"))]:
            return pd.DataFrame({"a": range(n)})

        @task
        def count(frame: pa.Table) -> int:
            return int(frame.num_rows)

        @dynamic
        def dyn(n: int) -> int:
            return count(frame=produce(n=n))

        @workflow
        def wf(n: int) -> int:
            return dyn(n=n)

        assert wf(n=3) == 3
        assert csv(dolt, "select count(*) from t") == ["3"]

    def test_the_deck_is_that_of_the_table(self, config: Config) -> None:
        """What a deck shows of a written frame is what it shows of the table; of others it is what flytekit shows."""
        from flytekitplugins.dolt.flyte.dataframes import table_of

        kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]
        made = []

        @task
        def produce() -> kind:  # type: ignore[valid-type]
            made.append(pd.DataFrame({"a": [1]}))
            return made[0]

        produce()
        ctx, table = FlyteContextManager.current_context(), table_of(made[0])
        assert table is not None
        assert table.commit is not None
        assert not table.is_loaded
        shown = TypeEngine.to_html(ctx, made[0], kind)
        assert shown == TypeEngine.to_html(ctx, table, DoltTable)
        assert "<table" in TypeEngine.to_html(ctx, pd.DataFrame({"a": [1]}), kind)


class TestStructuredDataset:
    @pytest.mark.parametrize("writer", FRAMES)
    def test_it_is_written_and_opened(self, config: Config, dolt: Dolt, writer: str) -> None:
        """A dataset with a frame and an address is a commit, and opens as any kind of frame."""
        uri = dolt_uri(config("t", branch_conf=NewBranch("run/1"), primary_key=["id"]))

        @task
        def produce() -> StructuredDataset:
            return StructuredDataset(dataframe=FRAMES[writer], uri=uri)

        @task
        def consume(dataset: StructuredDataset) -> bool:
            return all(rows(dataset.open(type(frame)).all()) == ROWS for frame in FRAMES.values())

        @workflow
        def wf() -> bool:
            return consume(dataset=produce())

        assert wf()
        assert csv(dolt, "select * from t as of 'run/1' order by id") == ["1,a", "2,b"]
        assert "ex:local:local:local" in dolt("log", "run/1", "-n", "1")

    def test_an_address_without_commit_is_read_at_one_commit_in_a_task(self, config: Config) -> None:
        """Looking twice at an address sees the same rows, whatever happens to the branch meanwhile."""
        write(config("t", primary_key=["id"]), FRAMES["pandas"])

        @task
        def consume(dataset: StructuredDataset) -> str:
            first = rows(dataset.open(pd.DataFrame).all())
            write(config("t"), pd.DataFrame({"id": [9], "name": ["z"]}))
            return f"{first == rows(dataset.open(pa.Table).all())} {first == ROWS}"

        assert consume(dataset=StructuredDataset(uri=dolt_uri(config("t")))) == "True True"
        assert consume(dataset=StructuredDataset(uri=dolt_uri(config("t")))) == "True False"

    @pytest.mark.parametrize("kind", [pd.DataFrame, pa.Table, pl.DataFrame, pl.LazyFrame])
    def test_a_column_subset_is_all_that_is_asked_for(
        self, config: Config, asked: list[str], kind: type, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By SQL, columns that a task does not declare are not even read, of a table and of a query."""
        monkeypatch.setenv(procedures.SWITCH, "0")
        table = write(config("t"), FRAMES["pandas"])
        query = DoltTable(config=config(sql="select id, name from t order by id desc -- all"))

        @task
        def consume(frame: Annotated[kind, kwtypes(name=str)]) -> list[str]:  # type: ignore[valid-type]
            return list(rows(frame)["name"]) if len(rows(frame)) == 1 else []

        assert sorted(consume(frame=StructuredDataset(uri=dolt_uri(table)))) == ["a", "b"]
        assert consume(frame=StructuredDataset(uri=dolt_uri(query))) == ["b", "a"]
        selects = [statement for statement in asked if " t" in statement]
        assert selects
        assert all(statement.startswith("SELECT `name` FROM ") for statement in selects), selects

    def test_the_nearest_choice_of_columns_wins(self, config: Config) -> None:
        """Columns of the signature go before those of its annotation, and those before what the address says."""
        write(config("t"), pd.DataFrame({"a": [1], "b": [2], "c": [3]}))
        uri = dolt_uri(config("t", columns=["a", "b"]))
        annotated = Annotated[pd.DataFrame, dolt_frame(config("t", columns=["b"]))]

        @task
        def consume(
            plain: pd.DataFrame,
            annotated: annotated,  # type: ignore[valid-type]
            declared: Annotated[pd.DataFrame, dolt_frame(config("t", columns=["b"])), kwtypes(c=int)],
        ) -> list[list[str]]:
            return [list(plain), list(annotated), list(declared)]

        given = StructuredDataset(uri=uri)
        assert consume(plain=given, annotated=given, declared=given) == [["a", "b"], ["b"], ["c"]]

    def test_what_cannot_be_read_or_written_is_said(self, config: Config) -> None:
        """A column that is not there, and data for a query, are errors that name both."""
        uri = dolt_uri(write(config("t"), FRAMES["pandas"]))

        @task
        def consume(frame: Annotated[pd.DataFrame, kwtypes(nope=int)]) -> int:
            return len(frame)

        @task
        def produce() -> StructuredDataset:
            return StructuredDataset(dataframe=FRAMES["pandas"], uri=dolt_uri(config(sql="select 1")))

        with pytest.raises(Exception, match="'nope'.*'t'.*'id', 'name'"):
            consume(frame=StructuredDataset(uri=uri))
        with pytest.raises(errors.InvalidConfig, match="sql"):
            produce()

    @pytest.mark.skipif(find_spec("polars.io.plugins") is None, reason="this Polars takes no sources of others")
    def test_a_lazy_frame_asks_when_it_is_collected_and_only_for_what_it_needs(
        self, config: Config, asked: list[str]
    ) -> None:
        """The plan of a LazyFrame reaches the server: its columns and its limit, and nothing before it is collected."""
        table = write(config("t", primary_key=["id"]), FRAMES["pandas"])

        @task
        def consume(frame: pl.LazyFrame) -> str:
            before = [statement for statement in asked if "LIMIT 0" not in statement]
            found = frame.select("name").head(1).collect().to_dict(as_series=False)
            filtered = frame.filter(pl.col("id") == 2).select("name").collect()["name"].to_list()
            return f"{before} {found} {filtered}"

        assert consume(frame=StructuredDataset(uri=dolt_uri(table))) == "[] {'name': ['a']} ['b']"
        assert "SELECT `name` FROM `t` LIMIT 1" in asked

    def test_what_polars_has_no_type_for_is_the_same_value_in_another(self, config: Config) -> None:
        """Decimals get 38 digits, and moments of an offset are those moments in UTC, whoever reads them how."""
        at = pd.to_datetime(["2024-01-01T10:00:00+05:30", None])
        table = write(config("t"), pd.DataFrame({"price": [decimal.Decimal("1.10"), None], "at": at}))

        @task
        def eager(frame: pl.DataFrame) -> str:
            return str((frame.schema, frame.sort("at").rows()))

        @task
        def lazy(frame: pl.LazyFrame) -> str:
            return str((frame.collect_schema(), frame.collect().sort("at").rows()))

        expected = pl.DataFrame(
            {"price": [None, decimal.Decimal("1.10")], "at": [None, at[0].tz_convert("UTC").to_pydatetime()]},
            schema={"price": pl.Decimal(38, 2), "at": pl.Datetime(at.dtype.unit, "UTC")},
        )
        for reader in (eager, lazy):
            assert reader(frame=StructuredDataset(uri=dolt_uri(table))) == str((expected.schema, expected.rows()))

    def test_a_level_that_sql_added_is_read_by_polars(self, config: Config, dolt: Dolt) -> None:
        """A category that others gave another level is text with all its values, lazy and not."""
        write(config("t", primary_key=["id"]), pd.DataFrame({"id": [1, 2], "v": pd.Categorical(["new", "paid"])}))
        dolt("sql", "-q", "insert into t values (3, 'sent'); call dolt_commit('-am', 'theirs')")

        @task
        def eager(frame: pl.DataFrame) -> str:
            return str(frame.sort("id").rows())

        @task
        def lazy(frame: pl.LazyFrame) -> str:
            return str(frame.collect().sort("id").rows())

        for reader in (eager, lazy):
            found = reader(frame=StructuredDataset(uri=dolt_uri(config("t"))))
            assert found == str([(1, "new"), (2, "paid"), (3, "sent")])

    def test_a_decimal_of_more_digits_than_polars_has_is_said(self, config: Config) -> None:
        """The error names column, row and value, and the other columns can be read."""
        table = write(config("t"), pd.DataFrame({"k": [1, 2], "v": [decimal.Decimal(1), decimal.Decimal("1" * 40)]}))

        @task
        def eager(frame: pl.DataFrame) -> int:
            return len(frame)

        @task
        def lazy(frame: pl.LazyFrame) -> int:
            return len(frame.collect())

        @task
        def some(frame: Annotated[pl.DataFrame, kwtypes(k=int)]) -> int:
            return len(frame)

        for reader in (eager, lazy):
            with pytest.raises(Exception, match="'v' has 1{40} in row 1.*38 digits.*columns"):
                reader(frame=StructuredDataset(uri=dolt_uri(table)))
        assert some(frame=StructuredDataset(uri=dolt_uri(table))) == 2

    def test_a_commit_is_not_written_to(self, config: Config) -> None:
        """An address with a commit is read only."""
        uri = dolt_uri(write(config("t"), FRAMES["pandas"]))

        @task
        def produce() -> StructuredDataset:
            return StructuredDataset(dataframe=FRAMES["pandas"], uri=uri)

        with pytest.raises(Exception, match="commit"):
            produce()

    def test_flytekits_own_handlers_stay(self) -> None:
        """Neither flytekit's transformer for pandas nor its parquet handlers are replaced, and plain Polars travels."""
        assert type(TypeEngine.get_transformer(pd.DataFrame)) is StructuredDatasetTransformerEngine
        assert StructuredDatasetTransformerEngine.get_encoder(pd.DataFrame, "s3", "").supported_format == "parquet"

        @task
        def produce() -> pl.DataFrame:
            return FRAMES["polars"]

        @task
        def lazy(frame: pl.DataFrame) -> pl.LazyFrame:
            return frame.lazy()

        @task
        def consume(frame: pl.LazyFrame) -> bool:
            return rows(frame) == ROWS

        @workflow
        def wf() -> bool:
            return consume(frame=lazy(frame=produce()))

        assert wf()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[typing.Any, str]]:
    """Give the list of what flytekit shows in decks, each value's type with its page."""
    found: list[tuple[typing.Any, str]] = []
    real = TypeEngine.to_html

    def noted(ctx: typing.Any, value: typing.Any, kind: typing.Any) -> str:
        found.append((kind, real(ctx, value, kind)))
        return found[-1][1]

    monkeypatch.setattr(TypeEngine, "to_html", noted)
    return found


class TestDecks:
    def test_a_dataset_that_was_written_shows_its_table(self, config: Config, shown: list[typing.Any]) -> None:
        """Place, commit and changed rows of the table stand on the page, as for a DoltTable that is returned."""
        uri = dolt_uri(config("t", branch_conf=NewBranch("run/1"), primary_key=["id"]))

        @task(enable_deck=True)
        def produce() -> StructuredDataset:
            return StructuredDataset(dataframe=FRAMES["pandas"], uri=uri)

        produce()
        ((_, page),) = shown
        commit = refs.log(refs.locate(config("t").db_path), "run/1", limit=1)[0]
        for expected in (config("t").db_path, commit.hash, "run/1", "+2 added", "ex:local:local:local"):
            assert expected in page

    def test_a_dataset_that_is_taken_shows_the_commit_that_is_read(
        self, config: Config, shown: list[typing.Any]
    ) -> None:
        """An address without a commit shows the one that the task has read, whatever was written meanwhile."""
        read_at = write(config("t"), FRAMES["pandas"]).commit

        @task(enable_deck=True)
        def consume(dataset: StructuredDataset, unread: StructuredDataset, bad: StructuredDataset) -> None:
            dataset.open(pd.DataFrame).all()
            write(config("t"), pd.DataFrame({"id": [9], "name": ["z"]}))

        given = StructuredDataset(uri=dolt_uri(config("t")))
        unread = StructuredDataset(uri=dolt_uri(config("other")))
        consume(dataset=given, unread=unread, bad=StructuredDataset(uri="dolt://foo?nonsense=1"))
        assert read_at is not None
        pages = [page for _, page in shown]
        assert read_at.hash in pages[0]
        assert "no commit holds it" in pages[1]
        assert "it has a &#x27;nonsense&#x27;" in pages[2]

    def test_an_annotated_frame_shows_its_table_in_and_out(self, config: Config, shown: list[typing.Any]) -> None:
        """What was read is shown at the commit that was read; a reference in a frame's place is shown as itself."""
        table = write(config("t"), FRAMES["pandas"])
        kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]

        @task(enable_deck=True)
        def copy(frame: kind) -> Annotated[pd.DataFrame, dolt_frame(config("u"))]:  # type: ignore[valid-type]
            return frame.copy()

        @task(enable_deck=True)
        def refer() -> tuple[kind, kind]:  # type: ignore[valid-type]
            return table, config("t")

        copy(frame=StructuredDataset(uri=dolt_uri(config("t"))))
        refer()
        assert table.commit is not None
        pages = [page for _, page in shown]
        assert [table.commit.hash in page for page in pages] == [True, True, True, False]
        assert [page.count("<h2>t</h2>") for page in pages] == [1, 0, 1, 0]

    @pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame])
    def test_polars_frames_do_not_fail_a_task_with_decks(
        self, config: Config, shown: list[typing.Any], kind: type
    ) -> None:
        """flytekit has nothing to show a Polars frame with; where nothing of ours holds it, its own text is shown."""
        uri = dolt_uri(write(config("t"), pd.DataFrame({"id": [1], "name": ["<b>"]})))

        @task(enable_deck=True)
        def consume(
            plain: kind,  # type: ignore[valid-type]
            annotated: Annotated[kind, dolt_frame(config("t"))],  # type: ignore[valid-type]
        ) -> kind:  # type: ignore[valid-type]
            return plain

        consume(plain=StructuredDataset(uri=uri), annotated=StructuredDataset(uri=uri))
        plain, annotated, out = (page for _, page in shown)
        assert "dolt-deck" in annotated
        assert plain == out
        assert plain.startswith("<pre>")
        assert "<b>" not in plain
        assert ("&lt;b&gt;" in plain) == (kind is pl.DataFrame)

    def test_tables_inside_other_values_are_shown_as_text(self, config: Config, shown: list[typing.Any]) -> None:
        """flytekit asks no transformer of ours for a list or an optional value; its text names table and commit."""
        table = write(config("t"), FRAMES["pandas"])

        @task(enable_deck=True)
        def consume(tables: list[DoltTable], one: DoltTable | None) -> None:
            assert len(tables) == 1

        consume(tables=[table], one=table)
        where = f"in {config('t').db_path!r}, at {table.commit}"
        assert [where in page.replace("&#x27;", "'") for _, page in shown] == [True, True]

    def test_a_transformer_of_somebody_else_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only flytekit's own transformer for datasets makes room for ours, which is one of the same kind."""

        class Theirs(StructuredDatasetTransformerEngine):
            pass

        ours = TypeEngine.get_transformer(StructuredDataset)
        for before, after in ((Theirs(), Theirs), (StructuredDatasetTransformerEngine(), type(ours))):
            monkeypatch.setitem(TypeEngine._REGISTRY, StructuredDataset, before)
            dataframes._register_datasets()
            assert type(TypeEngine.get_transformer(StructuredDataset)) is after
        assert isinstance(ours, StructuredDatasetTransformerEngine)
        assert ours.name == StructuredDatasetTransformerEngine().name

    def test_what_is_not_in_dolt_is_shown_as_ever(self, shown: list[typing.Any]) -> None:
        """Other datasets and frames have flytekit's own decks."""

        @task(enable_deck=True)
        def produce() -> tuple[StructuredDataset, pd.DataFrame]:
            return StructuredDataset(dataframe=FRAMES["pandas"]), FRAMES["pandas"]

        produce()
        ours = StructuredDatasetTransformerEngine.Renderers[pd.DataFrame].to_html(FRAMES["pandas"])
        assert [page for _, page in shown] == [ours, ours]


def test_who_imports_nothing_of_ours_reads_it_too(config: Config, tmp_path: Path) -> None:
    """A task whose module knows only flytekit and pandas gets the frame: the handlers come with flytekit."""
    uri = dolt_uri(write(config("t"), FRAMES["pandas"]))
    program = tmp_path / "plain.py"
    program.write_text(
        "import sys, flytekit\n"
        "assert 'polars' not in sys.modules\n"
        "import pandas as pd\nfrom flytekit import task\nfrom flytekit.types.structured import StructuredDataset\n"
        "@task\ndef count(frame: pd.DataFrame) -> int:\n    return len(frame)\n"
        f"print(count(frame=StructuredDataset(uri={uri!r})))\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "2", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("workflow", ["plain", "annotated", "dataset"])
def test_pyflyte_run_takes_an_address(config: Config, tmp_path: Path, workflow: str) -> None:
    """On the command line an address stands for a frame of any annotation."""
    uri = dolt_uri(write(config("t"), FRAMES["pandas"]))
    (tmp_path / "program.py").write_text(
        "from typing import Annotated\nimport pandas as pd\nfrom flytekit import task, workflow\n"
        "from flytekit.types.structured import StructuredDataset\n"
        "from flytekitplugins.dolt import DoltConfig, dolt_frame\n"
        "@task\ndef count(frame: pd.DataFrame) -> int:\n    return 100 + len(frame)\n"
        "@workflow\ndef plain(frame: pd.DataFrame) -> int:\n    return count(frame=frame)\n"
        "@workflow\ndef dataset(frame: StructuredDataset) -> int:\n    return count(frame=frame)\n"
        "@workflow\ndef annotated(frame: Annotated[pd.DataFrame, dolt_frame(DoltConfig('foo', 't'))]) -> int:\n"
        "    return count(frame=frame)\n"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pyflyte")), "run", "program.py", workflow, "--frame", uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split()[-1:] == ["102"], done.stdout + done.stderr


PODS = """
import json
from typing import Annotated
import pandas as pd, polars as pl, pyarrow as pa
from flytekit import kwtypes, task, workflow
from flytekit.types.structured import StructuredDataset
from flytekitplugins.dolt import DoltConfig, dolt_frame, dolt_uri, secret_requests

def config(tablename, branch):
    return DoltConfig.from_dict(
        {"tablename": tablename, "branch_conf": {"_type": "NewBranch", "branch": branch}, "primary_key": ["id"]}
        | json.loads('PLACE')
    )

requests = secret_requests(config("any", "any"))

@task(enable_deck=True, secret_requests=requests)
def plant(n: int) -> Annotated[pd.DataFrame, dolt_frame(config("trees", "run/1"))]:
    return pd.DataFrame({"id": range(n), "kind": ["oak"] * n, "height": range(n)})

@task(enable_deck=True, secret_requests=requests)
def tall(trees: pl.LazyFrame) -> StructuredDataset:
    return StructuredDataset(dataframe=trees.filter(pl.col("height") > 0), uri=dolt_uri(config("tall", "run/2")))

@task(secret_requests=requests)
def kinds(tall: Annotated[pd.DataFrame, kwtypes(kind=str)], trees: pa.Table, again: StructuredDataset) -> str:
    assert again.open(pl.DataFrame).all().height == len(tall)
    return f"{trees.num_rows} {tall.to_dict('list')}"

@workflow
def wf(n: int) -> str:
    trees = plant(n=n)
    dataset = tall(trees=trees)
    return kinds(tall=dataset, trees=trees, again=dataset)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "remote", "server"])
def test_plain_frames_between_pods(tmp_path: Path, repo: Path, dolt: Dolt, form: str) -> None:
    """Each task in a pod of its own, over each form of place: every kind of frame reads the commit of another."""
    cluster = Cluster(tmp_path / "cluster", secrets={(str(SECRET.group), str(SECRET.key)): PASSWORD})
    cluster.folder.mkdir()
    place: dict[str, typing.Any] = {"db_path": str(repo)}
    with ExitStack() as stack:
        if form == "remote":
            url = f"file://{tmp_path / 'remote'}"
            dolt("remote", "add", "origin", url)
            dolt("push", "origin", "main")
            place = {"db_path": "foo", "remote_conf": {"url": url}}
        if form == "server":
            running = stack.enter_context(DoltServer(repo))
            place = {"db_path": running.url(), "secret": SECRET.to_dict()}
        wf = cluster.image(f"frames_{form}", PODS.replace("PLACE", json.dumps(place))).wf
        assert cluster.run(wf, "f1", n=3) == ("3 {'kind': ['oak', 'oak']}",)
    assert len(cluster.pods) == 3
    let_go(repo)  # or a server that is just ending would be asked
    if form == "remote":
        dolt("fetch", "origin")
    prefix = "origin/" if form == "remote" else ""
    assert csv(dolt, f"select count(*) from trees as of '{prefix}run/1'") == ["3"]
    assert csv(dolt, f"select id, kind, height from tall as of '{prefix}run/2' order by id") == ["1,oak,1", "2,oak,2"]
    assert "ex:animals:testing:f1" in dolt("log", f"{prefix}run/2", "-n", "1")


def test_values_are_bound_between_equal_literal_types(config: Config) -> None:
    """In the serialised workflow both ends of a binding have one type, annotated or not; a DoltTable needs a task."""
    kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]

    @task
    def produce() -> kind:  # type: ignore[valid-type]
        return FRAMES["pandas"]

    @task
    def plain(frame: pd.DataFrame) -> StructuredDataset:
        return StructuredDataset(dataframe=frame, uri=dolt_uri(config("u")))

    @task
    def arrow(dataset: pa.Table, again: Annotated[pl.DataFrame, dolt_frame(config("v"))]) -> DoltTable:
        return DoltTable(config=config("w"), data=again)  # type: ignore[arg-type]

    @task
    def unwrap(table: DoltTable) -> kind:  # type: ignore[valid-type]
        return table.data

    @workflow
    def good() -> pd.DataFrame:
        dataset = plain(frame=produce())
        return unwrap(table=arrow(dataset=dataset, again=dataset))

    @workflow
    def refused() -> StructuredDataset:
        return plain(frame=arrow(dataset=produce(), again=produce()))

    assert mismatches(good) == []
    assert mismatches(refused) == ["frame"]
    assert len(good()) == 2


def test_shapes_are_bound_between_equal_literal_types(config: Config, dolt: Dolt) -> None:
    """So are lists, dictionaries, optional values, Unions, configs and hashed ones, of frames and of tables."""
    kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]

    @task
    def many() -> list[kind]:  # type: ignore[valid-type]
        return [FRAMES["pandas"]]

    @task
    def named(frames: list[pd.DataFrame]) -> dict[str, kind]:  # type: ignore[valid-type]
        return {"x": frames[0]}

    @task
    def maybe(frames: dict[str, pa.Table]) -> kind | None:  # type: ignore[valid-type]
        return FRAMES["pandas"]

    @task
    def table(frame: pd.DataFrame | None) -> DoltTable | None:
        return DoltTable(config("u"), frame)  # type: ignore[arg-type]

    @task
    def either(table: DoltTable | None) -> tuple[DoltTable | int, DoltConfig]:
        return 1, config("u")

    @task
    def tables(either: DoltTable | int, conf: DoltConfig) -> list[DoltTable]:
        return [DoltTable(conf, FRAMES["pandas"])]

    @task
    def hashed(tables: list[DoltTable]) -> Annotated[DoltTable, content_hash]:
        return tables[0]

    @task
    def lazy(table: DoltTable) -> Annotated[pl.DataFrame, dolt_frame(config("v")), content_hash]:
        return pl.DataFrame({"id": [len(table.data)]})

    @task
    def plain(frame: StructuredDataset) -> int:
        return int(frame.open(pd.DataFrame).all()["id"].sum())

    @workflow
    def wf() -> int:
        one, conf = either(table=table(frame=maybe(frames=named(frames=many()))))
        return plain(frame=lazy(table=hashed(tables=tables(either=one, conf=conf))))

    assert mismatches(wf) == []
    assert wf() == 2
    assert csv(dolt, "select id from v") == ["2"]


def mismatches(wf: typing.Any) -> list[str]:
    """Return the inputs in a serialised workflow that are bound to an output of another type."""
    settings = SerializationSettings(
        image_config=ImageConfig(Image("x", "x", "x")), project="p", domain="d", version="v"
    )
    entities: OrderedDict[typing.Any, typing.Any] = OrderedDict()
    template = get_serializable(entities, settings, wf).template
    tasks = {str(e.template.id): e.template.interface for e in entities.values() if type(e).__name__ == "TaskSpec"}
    faces = {node.id: tasks[str(node.task_node.reference_id)] for node in template.nodes}

    def given(promise: typing.Any) -> typing.Any:
        if not promise.node_id:  # an input of the workflow itself
            return template.interface.inputs[promise.var].type
        return faces[promise.node_id].outputs[promise.var].type

    return [
        binding.var
        for node in template.nodes
        for binding in node.inputs
        if faces[node.id].inputs[binding.var].type != given(binding.binding.promise)
    ]


class TestAddresses:
    def test_a_written_table_has_a_canonical_address(self, config: Config, repo: Path) -> None:
        """How rows were written is no part of the address of where they are."""
        table = write(config("t", primary_key=["id"], mode="upsert", branch_conf=NewBranch("b")), FRAMES["pandas"])
        assert table.commit is not None
        assert dolt_uri(table) == f"dolt://{repo}?table=t&commit={table.commit.hash}&branch=b"
        assert from_uri(dolt_uri(table)).commit == table.commit

    def test_a_dataset_becomes_a_table_in_a_task(self, config: Config, dolt: Dolt) -> None:
        """From an address to a DoltTable, and from that to a frame, nothing is written: references are passed on."""
        table = write(config("t", primary_key=["id"]), FRAMES["pandas"])

        @task
        def as_table(dataset: StructuredDataset) -> DoltTable:
            return from_uri(dataset.literal.uri)

        @task
        def as_frame(table: DoltTable) -> Annotated[pd.DataFrame, dolt_frame(config("t"))]:
            return table  # type: ignore[return-value]  # the reference stands for the frame

        @workflow
        def wf(dataset: StructuredDataset) -> pd.DataFrame:
            return as_frame(table=as_table(dataset=dataset))

        before = dolt("log", "--oneline")
        assert rows(wf(dataset=StructuredDataset(uri=dolt_uri(table)))) == ROWS
        assert dolt("log", "--oneline") == before
        assert mismatches(wf) == []


def test_the_repository_holds_no_more_than_was_written(config: Config, repo: Path) -> None:
    """No scratch branch is left after frames were written through both doors."""
    kind = Annotated[pd.DataFrame, dolt_frame(config("t"))]

    @task
    def produce() -> tuple[kind, StructuredDataset]:  # type: ignore[valid-type]
        return FRAMES["pandas"], StructuredDataset(dataframe=FRAMES["polars"], uri=dolt_uri(config("u")))

    produce()
    assert list(refs.branches(refs.locate(repo))) == ["main"]
