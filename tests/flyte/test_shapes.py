"""Tables in every shape that Flyte's values have: what is in the repository afterwards is asked of the `dolt` CLI."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.
import asyncio
import dataclasses
import functools
import json
import re
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
import pydantic
import pydantic.dataclasses
import pytest
from flytekit import LaunchPlan, conditional, dynamic, eager, map_task, task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.local_cache import LocalTaskCache
from flytekit.core.type_engine import LiteralsResolver, TypeEngine, TypeTransformer
from flytekit.exceptions.system import FlyteUploadDataException
from flytekit.models.interface import TypedInterface
from flytekit.models.literals import Literal
from flytekit.types.structured import StructuredDataset
from letting_go import let_go
from mashumaro.mixins.json import DataClassJSONMixin
from pods import Cluster

from flytekitplugins.dolt import (
    Branch,
    CallbackMeta,
    Changes,
    DoltConfig,
    DoltMeta,
    DoltTable,
    MergeBranch,
    NewBranch,
    Remote,
    Secret,
    SerialBranch,
    content_hash,
    dolt_frame,
    dolt_uri,
    errors,
    write,
)
from flytekitplugins.dolt.repository import branch_locks, refs
from flytekitplugins.dolt.schema import Commit, Meta

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # flytekit asks click for its version in the old way
    from flytekit.interaction.click_types import JsonParamType

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
FRAME = pd.DataFrame({"a": [1, 2]})
HASH = "a" * 32


def csv(dolt: Dolt, query: str) -> list[str]:
    """Return the lines that the user's `dolt` prints for a query, without the header."""
    return dolt("sql", "-r", "csv", "-q", query).split()[1:]


def commits(dolt: Dolt, branch: str = "main") -> int:
    """Return how many commits a branch has beyond the one that `dolt init` makes."""
    return int(csv(dolt, f"select count(*) from dolt_log('{branch}')")[0]) - 1


def through_flyte(value: typing.Any, kind: typing.Any) -> typing.Any:
    """Return what a task of the type ``kind`` gets when another returned ``value``."""
    ctx = FlyteContextManager.current_context()
    literal = TypeEngine.to_literal(ctx, value, kind, TypeEngine.to_literal_type(kind))
    return TypeEngine.to_python_value(ctx, Literal.from_flyte_idl(literal.to_flyte_idl()), kind)


@dataclass
class Report:
    table: DoltTable
    maybe: DoltTable | None = None
    many: list[DoltTable] = field(default_factory=list)
    named: dict[str, DoltTable] = field(default_factory=dict)
    conf: DoltConfig | None = None
    branch: Branch = field(default_factory=SerialBranch)
    meta: Meta | None = None


@dataclass
class MixedReport(DataClassJSONMixin):
    table: DoltTable
    maybe: DoltTable | None = None
    many: list[DoltTable] = field(default_factory=list)
    named: dict[str, DoltTable] = field(default_factory=dict)
    conf: DoltConfig | None = None
    branch: Branch = field(default_factory=SerialBranch)
    meta: Meta | None = None


class Model(pydantic.BaseModel):
    table: DoltTable
    maybe: DoltTable | None = None
    many: list[DoltTable] = []
    named: dict[str, DoltTable] = {}
    conf: DoltConfig | None = None
    branch: Branch = SerialBranch()
    meta: Meta | None = None


@pydantic.dataclasses.dataclass
class ModelDataclass:
    table: DoltTable
    maybe: DoltTable | None = None
    many: list[DoltTable] = field(default_factory=list)
    named: dict[str, DoltTable] = field(default_factory=dict)
    conf: DoltConfig | None = None
    branch: Branch = field(default_factory=SerialBranch)
    meta: Meta | None = None


HOLDERS: list[typing.Any] = [Report, MixedReport, Model, ModelDataclass]
holders = pytest.mark.parametrize("holder", HOLDERS, ids=lambda kind: kind.__name__)
guesses_fields = pytest.mark.skipif(
    not hasattr(TypeTransformer, "schema_match"),
    reason="flytekit before 1.16.15 cannot guess what is inside dataclasses",
)


def filled(holder: typing.Any, table: DoltTable) -> typing.Any:
    """Return a dataclass or model with the table in each of its fields, and a config and policies beside it."""
    options = {"columns": ["id"], "mode": "append", "keep_order": True}
    conf = DoltConfig("foo", "t", io_args=options, branch_conf=NewBranch("run/1", base="main"), primary_key=["id"])
    metas = {"branch": MergeBranch("dev", into="main"), "meta": DoltMeta("meta", "actions")}
    return holder(table=table, maybe=table, many=[table, table], named={"x": table}, conf=conf, **metas)


class TestInsideOtherValues:
    @holders
    @pytest.mark.parametrize("old_format", [False, True], ids=["msgpack", "json"])
    def test_a_reference_keeps_its_commit(
        self, holder: typing.Any, monkeypatch: pytest.MonkeyPatch, old_format: bool
    ) -> None:
        """Tables, configs and policies arrive equal and in their class, in both formats that flytekit has for them."""
        monkeypatch.setenv("FLYTE_USE_OLD_DC_FORMAT", str(old_format).lower())
        # Another value for each format, because flytekit remembers the literals of equal ones.
        given = filled(holder, DoltTable(DoltConfig(f"foo{old_format}", "t")).at(Commit(HASH, branch="main")))
        arrived = through_flyte(given, holder)
        assert arrived == given
        assert [type(arrived.branch), type(arrived.conf.branch_conf), type(arrived.meta)] == [
            MergeBranch,
            NewBranch,
            DoltMeta,
        ]
        assert arrived.many[1].commit.hash == HASH
        assert not arrived.table.is_loaded

    @holders
    def test_the_rows_are_read_in_the_next_task(self, config: Config, dolt: Dolt, holder: typing.Any) -> None:
        """A table that was written and put into a value is read at that commit, whatever the branch has by then."""

        @task
        def make() -> holder:
            return filled(holder, write(config("t"), FRAME))

        @task
        def use(value: holder) -> list[int]:
            write(config("t"), pd.DataFrame({"a": [99]}))
            tables = [value.table, value.maybe, *value.many, value.named["x"]]
            return [int(table.data["a"].sum()) for table in tables]

        @task
        def use_part(table: DoltTable, tables: list[DoltTable]) -> int:
            return sum(len(one.data) for one in (table, *tables))

        @workflow
        def wf() -> tuple[list[int], int]:
            value = make()
            return use(value=value), use_part(table=value.table, tables=value.many)

        assert wf() == ([3] * 5, 6)
        assert csv(dolt, "select * from t") == ["99"]
        assert csv(dolt, "select a from t as of 'HEAD~1' order by a") == ["1", "2"]

    @holders
    def test_unsaved_data_is_refused(self, config: Config, dolt: Dolt, holder: typing.Any) -> None:
        """Data that no commit holds, assigned or changed in place, is not lost in silence; an error says what to do."""
        saved = write(config("t"), FRAME)
        unsaved = DoltTable(config=config("u"), data=pd.DataFrame({"a": [1]}))
        changed = DoltTable(config=config("t")).at(saved.commit)  # type: ignore[arg-type]

        @task
        def make(where: str) -> holder:
            shapes = {"many": [unsaved], "named": {"x": unsaved}}
            return holder(**{"table": saved, where: shapes.get(where, unsaved)})

        @task
        def change() -> holder:
            changed.data.loc[0, "a"] = 7
            return holder(table=saved, maybe=changed)

        for where in ("table", "maybe", "many", "named"):
            with pytest.raises(Exception, match=r"dolt\.write\(config.*frame\)"):
                make(where=where)
        with pytest.raises(Exception, match=r"dolt\.write\(table\.config"):
            change()
        assert csv(dolt, "show tables") == ["t"]
        assert commits(dolt) == 1

    @holders
    def test_a_query_is_resolved_when_the_task_starts(self, config: Config, dolt: Dolt, holder: typing.Any) -> None:
        """A table without a commit gets one inside a value, too, and the commits of the task name it as read."""
        first = write(config("t"), FRAME)
        assert first.commit is not None
        query = DoltTable(config=config(sql="select sum(a) as a from t"))

        @task
        def use(value: holder) -> DoltTable:
            write(config("t"), pd.DataFrame({"a": [99]}))
            assert [value.table.commit, value.many[0].commit] == [first.commit, first.commit]
            total = value.table.data["a"].tolist() + value.many[0].data["a"].tolist()
            return DoltTable(config=config("u"), data=pd.DataFrame({"a": [int(a) for a in total]}))

        use(value=holder(table=DoltTable(config=config("t")), many=[query]))
        assert csv(dolt, "select * from u order by a") == ["1", "2", "3"]
        read = [line for line in dolt("log", "-n", "1").splitlines() if "Flyte-Read" in line]
        assert len([line for line in read if first.commit.hash in line]) == 2, dolt("log", "-n", "1")

    @holders
    def test_what_cannot_be_resolved_is_said_when_it_is_looked_at(self, config: Config, holder: typing.Any) -> None:
        """The error is ours in words, and not that of who unpacks the value; what nobody looks at hurts nobody."""
        write(config("t", branch_conf=NewBranch("run/one")), FRAME)
        missing = DoltTable(config=config("t", branch_conf=NewBranch("run/on")))

        @task
        def use(value: holder, look: str) -> int:
            table = value.table
            return {"no": lambda: 0, "data": lambda: len(table.data), "iter": lambda: len(next(table.iter()))}[look]()

        assert use(value=holder(table=missing), look="no") == 0
        for look in ("data", "iter"):
            with pytest.raises(Exception, match="'run/on'.*'run/one'"):
                use(value=holder(table=missing), look=look)

    def test_values_in_values(self, config: Config, dolt: Dolt) -> None:
        """A model in a list and in a dataclass in a dictionary is read as one that stands alone."""

        class Leaf(pydantic.BaseModel):
            tables: list[DoltTable]

        @dataclass
        class Branching:
            named: dict[str, list[DoltTable]]

        @dataclass
        class Tree:
            branching: Branching

        @task
        def make() -> tuple[list[Leaf], dict[str, Tree], dict[int, DoltTable]]:
            table = write(config("t"), FRAME)
            return [Leaf(tables=[table])], {"x": Tree(Branching({"y": [table]}))}, {7: table}

        @task
        def use(leaves: list[Leaf], trees: dict[str, Tree], numbered: dict[int, DoltTable]) -> list[int]:
            tables = [leaves[0].tables[0], trees["x"].branching.named["y"][0], numbered[7]]
            return [int(table.data["a"].sum()) for table in tables]

        @workflow
        def wf() -> list[int]:
            leaves, trees, numbered = make()
            return use(leaves=leaves, trees=trees, numbered=numbered)

        assert wf() == [3, 3, 3]
        assert csv(dolt, "select a from t order by a") == ["1", "2"]

    def test_a_dataset_in_a_dataclass_is_committed(self, config: Config, dolt: Dolt) -> None:
        """A dataset with an address in Dolt inside a dataclass becomes a commit, as flytekit uploads others."""

        @dataclass
        class Pair:
            left: StructuredDataset
            right: StructuredDataset

        @task
        def make() -> Pair:
            left, right = (StructuredDataset(dataframe=FRAME, uri=dolt_uri(config(name))) for name in "tu")
            return Pair(left, right)

        @task
        def use(pair: Pair) -> int:
            return int(pair.left.open(pd.DataFrame).all()["a"].sum()) + len(pair.right.open(pa.Table).all())

        @workflow
        def wf() -> int:
            return use(pair=make())

        assert wf() == 5
        assert csv(dolt, "select a from t order by a") == csv(dolt, "select a from u order by a") == ["1", "2"]
        assert "Flyte-Task: test_shapes.make" in dolt("log", "-n", "1")

    def test_what_no_value_can_hold_is_refused(self, config: Config, dolt: Dolt) -> None:
        """A frame in a dataclass, and a table where its type is not said, are errors and no commits."""

        @dataclass
        class Frames:
            frame: Annotated[pd.DataFrame, dolt_frame(config("t"))]

        @dataclass
        class Anything:
            value: typing.Any

        unsaved = DoltTable(config=config("t"), data=FRAME)
        for kind, value, message in (
            (Frames, Frames(FRAME), "is not serializable"),
            (Anything, Anything(unsaved), "can not serialize 'DoltTable'"),
            (dict, {"x": unsaved}, "can not serialize 'DoltTable'"),
        ):

            @task
            def make() -> kind:  # type: ignore[valid-type]
                return value  # noqa: B023

            with pytest.raises(Exception, match=message):
                make()
        assert commits(dolt) == 0

    @guesses_fields
    @holders
    def test_the_interface_has_a_schema_from_which_the_type_is_guessed(
        self, holder: typing.Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Who has the interface only (FlyteRemote, the console) finds the fields with their types, and no complaint."""
        literal_type = TypeEngine.to_literal_type(holder)
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        assert literal_type.metadata["properties"].keys() == {
            "table",
            "maybe",
            "many",
            "named",
            "conf",
            "branch",
            "meta",
        }
        guessed = TypeEngine.guess_python_type(literal_type)
        types = {one.name: one.type for one in dataclasses.fields(guessed)}
        assert types["table"] is DoltTable
        assert types["maybe"] == DoltTable | None
        assert types["conf"] == DoltConfig | None
        assert types["branch"] is Branch

    @guesses_fields
    def test_a_guessed_type_reads_and_writes_the_literal(self) -> None:
        """FlyteRemote gives a dataclass under the type that it guessed, and reads one, or a model."""

        @dataclass
        class Small:
            table: DoltTable
            branch: Branch

        table = DoltTable(DoltConfig("foo", "t")).at(Commit(HASH, branch="main"))
        guessed = TypeEngine.guess_python_type(TypeEngine.to_literal_type(Small))
        ctx, of = FlyteContextManager.current_context(), TypeEngine.to_literal_type(Small)
        literal = TypeEngine.to_literal(ctx, Small(table, NewBranch("b")), guessed, of)
        assert TypeEngine.to_python_value(ctx, literal, Small) == Small(table, NewBranch("b"))
        read = TypeEngine.to_python_value(ctx, literal, guessed)
        assert [read.table, read.branch] == [table, NewBranch("b")]
        of = TypeEngine.to_literal_type(Model)
        literal = TypeEngine.to_literal(ctx, Model(table=table, many=[table]), Model, of)
        read = TypeEngine.to_python_value(ctx, literal, TypeEngine.guess_python_type(of))
        assert [read.table, read.many, read.branch] == [table, [table], SerialBranch()]

    @holders
    def test_the_command_line_takes_it_as_json(self, holder: typing.Any) -> None:
        """`pyflyte run` reads a dataclass or model with tables at commits from JSON, and loses nothing."""
        given = filled(holder, DoltTable(DoltConfig("foo", "t")).at(Commit(HASH, branch="main")))
        text = pydantic.TypeAdapter(holder).dump_json(given).decode() if holder is not Report else None
        text = text or json.dumps({f.name: plain(getattr(given, f.name)) for f in dataclasses.fields(given)})
        assert JsonParamType(holder).convert(text, None, None) == given

    def test_a_shape_that_the_command_line_would_take_apart_is_refused(self) -> None:
        """Where dataclasses_json would drop the commit or the policy's class, the error says how to have it read."""

        @dataclass
        class Deep:
            named: dict[str, list[DoltTable]] = field(default_factory=dict)
            branches: dict[str, list[Branch]] = field(default_factory=dict)

        @dataclass
        class DeepMixed(DataClassJSONMixin):
            named: dict[str, list[DoltTable]] = field(default_factory=dict)
            branches: dict[str, list[Branch]] = field(default_factory=dict)

        table = DoltTable(DoltConfig("foo", "t")).at(Commit(HASH))
        for text in (
            json.dumps({"named": {"x": [table.to_dict()]}}),
            json.dumps({"branches": {"x": [NewBranch("b").to_dict()]}}),
        ):
            with pytest.raises(errors.InvalidConfig, match=r"mashumaro\.mixins"):
                JsonParamType(Deep).convert(text, None, None)
            assert JsonParamType(DeepMixed).convert(text, None, None) in (
                DeepMixed(named={"x": [table]}),
                DeepMixed(branches={"x": [NewBranch("b")]}),
            )


def plain(value: typing.Any) -> typing.Any:
    """Return what JSON holds of a value of ours, alone, in a list or in a dictionary."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value.to_dict()


@task
def produce(conf: DoltConfig, a: int) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"a": [a]}))


@task
def total(table: DoltTable) -> int:
    assert table.commit is not None
    return int(table.data["a"].sum())


class TestContainers:
    def test_lists_and_dictionaries(self, config: Config, dolt: Dolt) -> None:
        """Each table in a list or dictionary is a commit of its own, and is read at that commit in the next task."""

        @task
        def make(confs: list[DoltConfig]) -> tuple[list[DoltTable], dict[str, DoltTable], list[list[DoltTable]]]:
            tables = [DoltTable(config=conf, data=pd.DataFrame({"a": [i]})) for i, conf in enumerate(confs)]
            return tables[:2], {"x": tables[2]}, [[], [tables[3]]]

        @task
        def use(tables: list[DoltTable], named: dict[str, DoltTable], nested: list[list[DoltTable]]) -> list[int]:
            return [int(table.data["a"].sum()) for table in (*tables, named["x"], nested[1][0])]

        @workflow
        def wf(confs: list[DoltConfig]) -> list[int]:
            tables, named, nested = make(confs=confs)
            return use(tables=tables, named=named, nested=nested)

        assert wf(confs=[config(name) for name in "tuvw"]) == [0, 1, 2, 3]
        assert csv(dolt, " union all ".join(f"select a from {name}" for name in "tuvw")) == ["0", "1", "2", "3"]
        assert commits(dolt) == 4

    def test_tables_of_one_list_may_go_into_one_table(self, config: Config, dolt: Dolt) -> None:
        """Two appends of one task are two writes, in their order; each reference is at its own commit."""

        @task
        def make() -> list[DoltTable]:
            return [DoltTable(config("t", mode="append"), pd.DataFrame({"a": [a]})) for a in (1, 2, 3)]

        assert [len(table.data) for table in make()] == [1, 2, 3]
        assert csv(dolt, "select a from t order by a") == ["1", "2", "3"]

    def test_a_table_that_fails_in_a_list_is_named(self, config: Config, dolt: Dolt) -> None:
        """The error is that of the table that cannot be stored; those that could are, as with several outputs."""

        @task
        def make() -> list[DoltTable]:
            frames = [pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [float("inf")]})]
            return [DoltTable(config(name), frame) for name, frame in zip("tu", frames, strict=True)]

        with pytest.raises(Exception, match="'a'.*row 0.*inf"):
            make()
        assert csv(dolt, "show tables") == ["t"]

    def test_the_content_of_each_table_is_what_the_cache_compares(self, config: Config, dolt: Dolt) -> None:
        """A cached task over a list of tables with the hash of content runs again for other rows, and only then."""
        LocalTaskCache.clear()
        ran = []

        @task
        def make(confs: list[DoltConfig], a: int) -> list[Annotated[DoltTable, content_hash]]:
            return [DoltTable(conf, pd.DataFrame({"a": [a]})) for conf in confs]

        @task(cache=True, cache_version="1")
        def sizes(tables: list[DoltTable]) -> int:
            ran.append(len(tables))
            return sum(len(table.data) for table in tables)

        @workflow
        def wf(confs: list[DoltConfig], a: int) -> int:
            return sizes(tables=make(confs=confs, a=a))

        try:
            one, two = (config("t", branch_conf=NewBranch(name)) for name in ("one", "two"))
            results = [wf(confs=[config("t"), conf], a=a) for conf, a in ((one, 1), (two, 1), (two, 2))]
        finally:
            LocalTaskCache._cache.close()
            LocalTaskCache._initialized = False
        assert (results, ran) == ([2, 2, 2], [2, 2])
        assert csv(dolt, "select a from t union all select a from t as of 'one'") == ["2", "1"]

    def test_several_and_named_outputs(self, config: Config, dolt: Dolt) -> None:
        """Outputs of a NamedTuple are found by their names, and each is a commit of its own."""
        made = typing.NamedTuple("made", [("good", DoltTable), ("bad", DoltTable), ("count", int)])  # noqa: UP014

        @task
        def split(n: int) -> made:
            rows = pd.DataFrame({"a": range(n)})
            good, bad = rows[rows["a"] % 2 == 0], rows[rows["a"] % 2 == 1]
            conf = {"index": "drop"}
            return made(DoltTable(config("good", **conf), good), DoltTable(config("bad", **conf), bad), n)

        @workflow
        def wf(n: int) -> tuple[int, int, int]:
            parts = split(n=n)
            return total(table=parts.good), total(table=parts.bad), parts.count

        assert wf(n=5) == (6, 4, 5)
        assert csv(dolt, "select a from good order by a") == ["0", "2", "4"]
        assert csv(dolt, "select a from bad order by a") == ["1", "3"]
        assert commits(dolt) == 2


class TestUnions:
    def test_optional_tables(self, config: Config, dolt: Dolt) -> None:
        """A task may take or return no table; with one it is committed once, and None makes no commit."""

        @task
        def maybe(a: int) -> DoltTable | None:
            return DoltTable(config=config("t"), data=pd.DataFrame({"a": [a]})) if a else None

        @task
        def size(table: typing.Optional[DoltTable], default: DoltTable | None = None) -> int:  # noqa: UP045
            assert default is None
            return -1 if table is None else len(table.data)

        @workflow
        def wf(a: int) -> tuple[int, int]:
            return size(table=maybe(a=a)), size(table=produce(conf=config("u"), a=a))

        assert wf(a=0) == (-1, 1)
        assert csv(dolt, "show tables") == ["u"]
        assert wf(a=5) == (1, 1)
        assert csv(dolt, "select a from t union all select a from u") == ["5", "5"]
        assert commits(dolt) == 3

    def test_a_union_tells_its_types_apart(self, config: Config, dolt: Dolt) -> None:
        """A table, a config, a policy and a number come out of a Union as what went in."""
        write(config("t"), FRAME)
        kind = DoltTable | DoltConfig | NewBranch | SerialBranch | int

        @task
        def name(value: kind) -> str:
            return type(value).__name__ + (str(len(value.data)) if isinstance(value, DoltTable) else "")

        values = [DoltTable(config=config("t")), config("t"), NewBranch("b"), SerialBranch("b"), 3]
        assert [name(value=value) for value in values] == [
            "DoltTable2",
            "DoltConfig",
            "NewBranch",
            "SerialBranch",
            "int",
        ]

    def test_the_error_gets_out(self, config: Config, dolt: Dolt) -> None:
        """What is wrong with the right variant is said, though flytekit would only say that none fits."""
        write(config("t", branch_conf=NewBranch("run/one")), FRAME)

        @task
        def make() -> DoltTable | None:
            return DoltTable(config=config("t"), data=pd.DataFrame({"a": [float("inf")]}))

        @task
        def make_frame() -> Annotated[pd.DataFrame, dolt_frame(config("t"))] | None:
            return pd.DataFrame({"a": [float("inf")]})

        @task
        def make_list() -> list[DoltTable | None]:
            return [make.task_function()]

        @task
        def use(table: DoltTable | None) -> int:
            return 0

        @task
        def use_frame(frame: Annotated[pd.DataFrame, dolt_frame(config("t"))] | None) -> int:
            return 0

        for failing in (make, make_frame, make_list):
            with pytest.raises(Exception, match="'a'.*row 0.*inf"):
                failing()
        missing = config("t", branch_conf=NewBranch("run/on"))
        there_is_one = r"run/on.*(run/one|\[\.\.\.\])"  # the oldest flytekit cuts it
        with pytest.raises(Exception, match=there_is_one):
            use(table=DoltTable(config=missing))
        with pytest.raises(Exception, match=there_is_one):
            use_frame(frame=missing)
        assert commits(dolt) == 0

    @pytest.mark.parametrize("kind", ["table", "frame"])
    def test_an_error_that_may_go_away_is_still_one(self, config: Config, repo: Path, kind: str) -> None:
        """A writer that waited in vain has Flyte run the task again, in a Union, too."""
        busy = config("t", lock_timeout_s=0.1)
        declared = DoltTable if kind == "table" else Annotated[pd.DataFrame, dolt_frame(busy)]

        @task
        def make() -> declared | None:
            return DoltTable(config=busy, data=FRAME) if kind == "table" else FRAME

        with (
            refs.connect(repo) as connection,
            branch_locks.held(connection, "main", timeout_s=5, place=repo),
            pytest.raises(FlyteUploadDataException, match=r"0\.1 s"),
        ):
            make()

    def test_frames_in_unions_and_containers(self, config: Config, dolt: Dolt) -> None:
        """Annotated frames in Optional, NamedTuple, list and dict are committed one by one, and None makes nothing."""
        one = Annotated[pd.DataFrame, dolt_frame(config("one", mode="append"))]
        made = typing.NamedTuple("made", [("maybe", one | None), ("many", list[one]), ("named", dict[str, one])])  # noqa: UP014

        @task
        def make(a: int) -> made:
            frame = pd.DataFrame({"a": [a]})
            return made(frame if a else None, [frame, frame], {"x": frame})

        @task
        def use(maybe: pd.DataFrame | None, many: list[one], named: dict[str, pd.DataFrame]) -> list[int]:
            return [-1 if maybe is None else len(maybe), *map(len, many), len(named["x"])]

        @workflow
        def wf(a: int) -> list[int]:
            parts = make(a=a)
            return use(maybe=parts.maybe, many=parts.many, named=parts.named)

        assert sorted(wf(a=0)) == [-1, 1, 2, 3]
        assert commits(dolt) == 3
        assert sorted(wf(a=1)) == [4, 5, 6, 7]
        assert csv(dolt, "select a, count(*) from one group by a order by a") == ["0,3", "1,4"]


@task
def append(part: int, conf: DoltConfig) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"part": [part], "square": [part**2]}))


@task
def squares(parts: list[DoltTable]) -> int:
    last = max((len(part.data) for part in parts), default=0)
    return last * 1000 + int(pd.concat([part.data for part in parts])["square"].max())


DEFAULT = DoltConfig("nowhere", "t")


@task
def with_default(a: int, conf: DoltConfig = DEFAULT, branch: Branch = NewBranch("run/default")) -> DoltTable:  # noqa: B008
    return DoltTable(config=dataclasses.replace(conf, branch_conf=branch), data=pd.DataFrame({"a": [a]}))


@workflow
def inner(conf: DoltConfig, a: int = 4) -> DoltTable:
    return produce(conf=conf, a=a)


class TestWorkflows:
    def test_default_values(self, config: Config, dolt: Dolt, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A config or policy that is a default in a signature is used as it stands there, each time."""
        monkeypatch.setattr(DEFAULT, "db_path", str(repo))

        @workflow
        def wf(a: int, conf: DoltConfig = config("u")) -> tuple[DoltTable, DoltTable]:  # noqa: B008
            return with_default(a=a), with_default(a=a, conf=conf, branch=SerialBranch("main"))

        wf(a=1)
        wf(a=2)
        assert csv(dolt, "select a from t as of 'run/default'") == ["2"]
        assert csv(dolt, "select a from u") == ["2"]
        assert (commits(dolt, "run/default"), commits(dolt)) == (2, 2)

    def test_a_table_may_be_a_default(self, config: Config, dolt: Dolt) -> None:
        """A reference, or a query, as the default of an input is read when the task runs."""
        write(config("t"), FRAME)

        @task
        def count(table: DoltTable = DoltTable(config=config(sql="select * from t"))) -> str:  # noqa: B008
            before = len(table.data)
            write(config("t"), pd.DataFrame({"a": range(before + 1)}))
            return f"{before} {len(table.data)}"

        @workflow
        def wf(table: DoltTable = DoltTable(config=config("t"))) -> tuple[str, str]:  # noqa: B008
            first = count()
            second = count(table=table)
            first >> second
            return first, second

        assert wf() == ("2 2", "3 3")
        assert wf() == ("4 4", "5 5")
        assert csv(dolt, "select count(*) from t") == ["6"]
        assert len(DoltTable(config=config("t")).data) == 6

    def test_a_map_task_appends_partitions_to_one_table(self, config: Config, dolt: Dolt) -> None:
        """Each part is a commit of its own, and the task behind them gets all tables, each at its commit."""

        @workflow
        def wf(parts: list[int], conf: DoltConfig) -> int:
            return squares(parts=map_task(functools.partial(append, conf=conf))(part=parts))

        assert wf(parts=[1, 2, 3, 4], conf=config("t", mode="append")) == 4016
        assert csv(dolt, "select part, square from t order by part") == ["1,1", "2,4", "3,9", "4,16"]
        assert commits(dolt) == 4

    def test_a_map_task_over_tables_and_frames(self, config: Config, dolt: Dolt) -> None:
        """A map task may take tables, and take and return annotated frames."""
        kind = Annotated[pd.DataFrame, dolt_frame(config("sizes", mode="append"))]

        @workflow
        def wf(parts: list[int], conf: DoltConfig) -> list[int]:
            tables = map_task(functools.partial(append, conf=conf))(part=parts)
            return map_task(count_rows)(frame=map_task(size_of(kind))(table=tables))

        assert wf(parts=[1, 2, 3], conf=config("t", mode="append")) == [1, 2, 3]
        assert csv(dolt, "select size from sizes order by size") == ["1", "2", "3"]

    def test_a_map_task_that_may_fail_in_part(self, config: Config, dolt: Dolt) -> None:
        """With `min_success_ratio` the part that failed is None, and the others are in the table."""

        @task
        def picky(part: int) -> DoltTable:
            if part == 2:
                raise ValueError("two")
            return DoltTable(config=config("t", mode="append"), data=pd.DataFrame({"a": [part]}))

        @workflow
        def wf(parts: list[int]) -> list[DoltTable | None]:
            return map_task(picky, min_success_ratio=0.5)(part=parts)

        made = wf(parts=[1, 2, 3])
        assert [table is None for table in made] == [False, True, False]
        assert csv(dolt, "select a from t order by a") == ["1", "3"]

    def test_dynamic_workflows(self, config: Config, dolt: Dolt) -> None:
        """A dynamic task makes as many tables as it likes, takes one, and returns what its tasks made."""

        @dynamic
        def grow(seed: DoltTable, conf: DoltConfig) -> list[DoltTable]:
            return [append(part=int(a), conf=conf) for a in sorted(seed.data["a"])]

        @workflow
        def wf(conf: DoltConfig, parts: DoltConfig) -> int:
            return squares(parts=grow(seed=produce(conf=conf, a=7), conf=parts))

        assert wf(conf=config("seed"), parts=config("t", mode="append")) == 1049
        assert csv(dolt, "select part from t") == ["7"]

    def test_eager_workflows(self, config: Config, dolt: Dolt) -> None:
        """An eager workflow looks at the rows of one task before it runs the next; async tasks may run together."""

        @task
        async def slow(conf: DoltConfig, a: int) -> DoltTable:
            await asyncio.sleep(0)
            return DoltTable(config=conf, data=pd.DataFrame({"a": [a]}))

        @eager
        async def run(conf: DoltConfig, others: list[DoltConfig]) -> DoltTable:
            first = produce(conf=conf, a=3)
            n = int(first.data["a"].max())
            tables = await asyncio.gather(*(slow(conf=other, a=n) for other in others))
            return produce(conf=conf, a=sum(total(table=table) for table in tables))

        made = asyncio.run(run(conf=config("t"), others=[config("u"), config("v")]))
        assert made.data["a"].tolist() == [6]
        assert csv(dolt, "select a from t union all select a from u union all select a from v") == ["6", "3", "3"]
        tasks = re.findall(r"Flyte-Task: (\S+)", dolt("log"))
        assert sorted(tasks) == ["test_shapes.produce"] * 2 + ["test_shapes.slow"] * 2

    def test_conditions(self, config: Config, dolt: Dolt) -> None:
        """Only the branch of a condition that is taken writes, and its table goes on."""

        @task
        def other(conf: DoltConfig, a: int) -> DoltTable:
            return DoltTable(config=conf, data=pd.DataFrame({"a": [-a]}))

        @workflow
        def wf(conf: DoltConfig, a: int) -> int:
            found = (
                conditional("sign").if_(a > 2).then(produce(conf=conf, a=a)).else_().then(other(conf=conf, a=a))  # type: ignore[operator]
            )
            return total(table=found)

        assert [wf(conf=config("t"), a=3), wf(conf=config("t"), a=2)] == [3, -2]
        assert csv(dolt, "select a from t") == ["-2"]
        assert commits(dolt) == 2

    def test_subworkflows(self, config: Config, dolt: Dolt) -> None:
        """A workflow within a workflow takes a config and gives back its table."""

        @workflow
        def wf(conf: DoltConfig, other: DoltConfig) -> tuple[int, DoltTable]:
            table = inner(conf=conf)
            return total(table=table), inner(conf=other, a=5)

        count, table = wf(conf=config("t"), other=config("u"))
        assert (count, table.data["a"].tolist()) == (4, [5])
        assert csv(dolt, "select a from t union all select a from u") == ["4", "5"]

    def test_launch_plans(self, config: Config, dolt: Dolt) -> None:
        """A launch plan may fix a config, or give one that can be changed; data cannot be fixed."""
        fixed = LaunchPlan.create("fixed", inner, fixed_inputs={"conf": config("t", branch_conf=NewBranch("run/1"))})
        default = LaunchPlan.create("default", inner, default_inputs={"conf": config("u"), "a": 8})
        assert fixed(a=2).data["a"].tolist() == [2]
        assert default().data["a"].tolist() == [8]
        assert default(conf=config("v")).data["a"].tolist() == [8]
        assert csv(dolt, "select a from t as of 'run/1'") == ["2"]
        assert csv(dolt, "select a from u union all select a from v") == ["8", "8"]

        @workflow
        def takes(table: DoltTable) -> int:
            return total(table=table)

        write(config("w"), FRAME)
        assert LaunchPlan.create("query", takes, fixed_inputs={"table": DoltTable(config=config("w"))})() == 3
        with pytest.raises(Exception, match="tasks"):
            LaunchPlan.create("data", takes, fixed_inputs={"table": DoltTable(config=config("w"), data=FRAME)})


def size_of(kind: typing.Any) -> typing.Any:
    """Return a task that gives the number of rows of a table as a frame of the annotation."""

    @task
    def size(table: DoltTable) -> kind:
        return pd.DataFrame({"size": [len(table.data)]})

    return size


@task
def count_rows(frame: pd.DataFrame) -> int:
    return int(frame["size"].iloc[-1]) if len(frame) == 1 else len(frame)


PROGRAM = """
import typing
from dataclasses import dataclass

import pandas as pd
import pydantic
from flytekit import task, workflow
from flytekitplugins.dolt import Branch, DoltConfig, DoltTable, NewBranch

MADE = DoltConfig(db_path="PLACE", tablename="made", branch_conf=NewBranch("run/x"))
Tables = typing.List[DoltTable]


@dataclass
class Report:
    table: DoltTable
    many: typing.List[DoltTable]
    branch: Branch


class Model(pydantic.BaseModel):
    table: DoltTable
    conf: DoltConfig


@task
def produce(conf: DoltConfig, a: int) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"a": [a]}))


@task
def total(table: DoltTable) -> int:
    return int(table.data["a"].sum())


@task
def totals(tables: Tables, named: typing.Dict[str, DoltTable], maybe: typing.Optional[DoltTable]) -> str:
    return " ".join(str(table.data["a"].sum()) for table in (*tables, *named.values(), *([maybe] if maybe else [])))


@task
def inside(report: Report, model: Model) -> str:
    tables = [report.table, *report.many, model.table]
    return " ".join([type(report.branch).__name__, str(model.conf.tablename), *(str(len(t.data)) for t in tables)])


@workflow
def plain(a: int, conf: DoltConfig = MADE) -> int:
    return total(table=produce(conf=conf, a=a))


@workflow
def read(table: DoltTable) -> int:
    return total(table=table)


@workflow
def many(tables: Tables, named: typing.Dict[str, DoltTable], maybe: typing.Optional[DoltTable] = None) -> str:
    return totals(tables=tables, named=named, maybe=maybe)


@workflow
def held(report: Report, model: Model) -> str:
    return inside(report=report, model=model)
"""


@pytest.mark.slow
class TestCommandLine:
    @pytest.fixture
    def run(self, tmp_path: Path, repo: Path) -> Callable[..., str]:
        """Give a function that runs a workflow of the program with `pyflyte run`, and returns what it prints."""
        (tmp_path / "program.py").write_text(PROGRAM.replace("PLACE", str(repo)))

        def run(*args: str, ok: bool = True) -> str:
            command = [str(Path(sys.executable).with_name("pyflyte")), "run", "program.py", *args]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
            assert (done.returncode == 0) == ok, done.stdout + done.stderr
            let_go(repo)  # or a server that is just ending would be asked
            return done.stdout + done.stderr

        return run

    def test_values_and_configs(self, config: Config, dolt: Dolt, run: Callable[..., str]) -> None:
        """A number alone takes the default config; a config is given as JSON, with its branch policy."""
        assert printed(run("plain", "--a", "3")) == "3"
        assert csv(dolt, "select a from made as of 'run/x'") == ["3"]
        given = config("t", branch_conf=NewBranch("run/y"), primary_key=["a"])
        assert printed(run("plain", "--a", "4", "--conf", given.to_json())) == "4"
        assert csv(dolt, "select a from t as of 'run/y'") == ["4"]
        assert "PRIMARY KEY (`a`)" in dolt("sql", "-q", "use `foo/run/y`; show create table t")

    def test_tables(self, config: Config, run: Callable[..., str]) -> None:
        """A table is given as JSON, at its commit or as a query; so are lists, dictionaries and optional ones."""
        table = write(config("t"), FRAME)
        write(config("t"), pd.DataFrame({"a": [50]}))
        query = DoltTable(config=config(sql="select a + 1 as a from t")).to_dict()
        assert printed(run("read", "--table", table.to_json())) == "3"
        arguments = ["--tables", json.dumps([table.to_dict(), query]), "--named", json.dumps({"x": query})]
        assert printed(run("many", *arguments, "--maybe", table.to_json())) == "3 51 51 3"

    def test_dataclasses_and_models(self, config: Config, run: Callable[..., str]) -> None:
        """A dataclass or model with tables in it is given as JSON; the tables keep their commits."""
        table = write(config("t"), FRAME)
        write(config("t"), pd.DataFrame({"a": [50]}))
        report = {"table": table.to_dict(), "many": [table.to_dict()], "branch": NewBranch("b").to_dict()}
        model = {"table": table.to_dict(), "conf": config("u").to_dict()}
        found = run("held", "--report", json.dumps(report), "--model", json.dumps(model))
        assert printed(found) == "NewBranch u 2 2 2"

    def test_what_is_wrong_is_said(self, config: Config, run: Callable[..., str]) -> None:
        """A misspelt entry of a config names those that there are."""
        said = run("plain", "--a", "3", "--conf", json.dumps({"db_path": "foo", "table": "t"}), ok=False)
        assert "it has no 'table'. Known are db_path, tablename" in " ".join(re.sub("[^ -~\n]+", "", said).split())


def printed(output: str) -> str:
    """Return the result of a workflow out of what `pyflyte run` prints."""
    found = re.search(r"^Running Execution on local\.\n(.*)$", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


class TestGuessing:
    """FlyteRemote has the interface of a task as the cluster keeps it, and guesses the Python types of it."""

    def test_types_of_a_serialised_interface(self, config: Config, dolt: Dolt) -> None:
        """Inputs are guessed as what they are, literals made of them are those of the task, and outputs are read."""

        @task
        def shapes(
            table: DoltTable,
            conf: DoltConfig,
            branch: Branch,
            tables: list[DoltTable],
            named: dict[str, DoltTable],
            maybe: DoltTable | None,
            either: NewBranch | SerialBranch,
            nested: list[dict[str, DoltTable]],
        ) -> tuple[DoltTable, list[DoltTable], DoltTable | None]:
            return table, [*tables, *named.values(), nested[0]["y"]], maybe

        interface = TypedInterface.from_flyte_idl(shapes.interface.to_flyte_idl())
        guessed = TypeEngine.guess_python_types(interface.inputs)
        assert guessed == {  # with the names that flytekit has for lists and dictionaries
            "table": DoltTable,
            "conf": DoltConfig,
            "branch": Branch,
            "tables": typing.List[DoltTable],  # noqa: UP006
            "named": typing.Dict[str, DoltTable],  # noqa: UP006
            "maybe": DoltTable | None,
            "either": NewBranch | SerialBranch,
            "nested": typing.List[typing.Dict[str, DoltTable]],  # noqa: UP006
        }
        table = write(config("t"), FRAME)
        values = {
            "table": table,
            "conf": config("t"),
            "branch": NewBranch("b"),
            "tables": [table],
            "named": {"x": table},
            "maybe": table,
            "either": SerialBranch("s"),
            "nested": [{"y": table}],
        }
        ctx = FlyteContextManager.current_context()
        literals = {
            name: TypeEngine.to_literal(ctx, value, guessed[name], interface.inputs[name].type)
            for name, value in values.items()
        }
        assert {name: TypeEngine.to_python_value(ctx, one, guessed[name]) for name, one in literals.items()} == values
        outputs = LiteralsResolver(
            {"o0": literals["table"], "o1": literals["tables"], "o2": literals["maybe"]}, interface.outputs, ctx
        )
        assert [outputs["o0"], outputs["o1"], outputs["o2"]] == [table, [table], table]
        assert outputs["o0"].data["a"].sum() == 3
        assert csv(dolt, "select a from t order by a") == ["1", "2"]

    @pytest.mark.parametrize(
        "value",
        [
            Remote("https://example.org/x", user="me", secret=Secret("g", "k")),
            Secret("g", "k"),
            Changes(since="HEAD~1", kinds=("added",), into=DoltConfig("foo", "t")),
            DoltMeta("meta"),
            CallbackMeta("json:dumps"),
            MergeBranch("a", into="b"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_all_that_a_config_is_made_of_travels(self, value: typing.Any) -> None:
        """Each part of a config may be an input by itself, and is guessed as what it is."""
        kind = type(value)
        assert through_flyte(value, kind) == value
        assert TypeEngine.guess_python_type(TypeEngine.to_literal_type(kind)) is kind
        assert through_flyte(value, kind | None) == value


IN_PODS = """
import functools
import typing
from dataclasses import dataclass

import pandas as pd
import pydantic
from flytekit import map_task, task, workflow
from flytekitplugins.dolt import DoltConfig, DoltTable


@dataclass
class Report:
    longest: DoltTable
    query: DoltTable


class Model(pydantic.BaseModel):
    tables: typing.List[DoltTable]


@task
def append(part: int, conf: DoltConfig) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"part": [part]}))


@task
def report(parts: typing.List[DoltTable]) -> Report:
    longest = max(parts, key=lambda part: len(part.data))
    return Report(longest, DoltTable(DoltConfig(longest.config.db_path, sql="select max(part) as part from parts")))


@task
def model(table: DoltTable, held: Report) -> typing.Tuple[typing.Optional[Model], typing.Dict[str, DoltTable]]:
    assert held.query.commit is not None
    return Model(tables=[table, held.longest]), {"query": held.query}


@task
def say(model: typing.Optional[Model], named: typing.Dict[str, DoltTable], one: DoltTable) -> str:
    tables = [*model.tables, one, named["query"]]
    return " ".join(f"{len(table.data)}:{table.data['part'].max()}" for table in tables)


@workflow
def wf(parts: typing.List[int], conf: DoltConfig) -> str:
    held = report(parts=map_task(functools.partial(append, conf=conf))(part=parts))
    found, named = model(table=held.longest, held=held)
    return say(model=found, named=named, one=named["query"])
"""


@pytest.mark.slow
class TestPods:
    def test_shapes_travel_between_pods(self, tmp_path: Path, repo: Path, config: Config, dolt: Dolt) -> None:
        """Parts are appended by the pods of a map task at the same time, and every shape is read by another pod."""
        cluster = Cluster(tmp_path / "cluster")
        cluster.folder.mkdir()
        module = cluster.image("shapes_in_pods", IN_PODS)
        conf = config("parts", mode="append")
        assert cluster.run(module.wf, "f1", parts=[5, 6, 7], conf=conf) == ("3:7 3:7 1:7 1:7",)
        let_go(repo)  # or a server that is just ending would be asked
        assert csv(dolt, "select part from parts order by part") == ["5", "6", "7"]
        log = dolt("log")
        assert len(set(re.findall(r"Flyte-Write-Key: (\S+)", log))) == commits(dolt) == 3
        assert re.findall(r"execution id: (\S+)", log) == ["ex:animals:testing:f1"] * 3

    def test_an_index_that_is_tried_again_writes_once(
        self, tmp_path: Path, repo: Path, config: Config, dolt: Dolt
    ) -> None:
        """The second attempt of one index of a map task finds its own write, and not that of the other index."""
        cluster = Cluster(tmp_path / "cluster")
        cluster.folder.mkdir()
        module = cluster.image("shapes_again", IN_PODS)
        conf = config("parts", mode="append")
        ctx = FlyteContextManager.current_context()
        given = {"part": ([5, 6], list[int]), "conf": (conf, DoltConfig)}
        inputs = {
            name: TypeEngine.to_literal(ctx, value, kind, TypeEngine.to_literal_type(kind))
            for name, (value, kind) in given.items()
        }
        mapped = map_task(functools.partial(module.append, conf=conf))
        made = [cluster.pod(mapped, "f1", inputs, index=i, attempt=a) for i, a in ((0, 0), (1, 0), (0, 1))]
        assert made[0] == made[2] != made[1]
        let_go(repo)
        assert csv(dolt, "select part from parts order by part") == ["5", "6"]
        assert commits(dolt) == 2
