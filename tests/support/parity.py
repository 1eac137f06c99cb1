"""What holds for tasks of both SDKs: one list of cases, each of which is run by flytekit and by Flyte 2.

A case says what is to come of it, and not what one SDK made of it: what the task gives or which error ends it, the rows
of the table ``t`` on main, and how many commits main has gained. It uses an SDK through `Sdk` alone. Where Flyte 2
differs, it says so in `Case.differs`, and docs/flyte2.md has that as a row.
"""

# Tasks have annotations that are made within functions, so annotations must not be postponed here.
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional, Protocol

import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
from remote_folder import RemoteFolder

from flytekitplugins.dolt import (
    Changes,
    DoltConfig,
    DoltError,
    DoltTable,
    MergeBranch,
    NewBranch,
    Remote,
    SerialBranch,
    dolt_uri,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.errors import BranchNotFound, TableNotFound
from flytekitplugins.dolt.repository import refs


class Sdk(Protocol):
    """What a case uses of an SDK."""

    dataset: type[Any]
    """The SDK's own class for frames."""

    names: Any
    """The module that users of this SDK import our names from."""

    def task(self, function: Callable[..., Any]) -> Any:
        """Make a task of a function."""

    def parent(self, function: Callable[..., Any]) -> Any:
        """Make of a function what calls tasks: a workflow, or a task."""

    def run(self, entity: Any, **inputs: Any) -> Any:
        """Run it here, and return its output."""

    def ours(self, config: DoltConfig) -> Any:
        """Make the annotation of a plain frame: `dolt_frame` of this SDK."""

    def at(self, uri: str, frame: Any = None) -> Any:
        """Make a value of `dataset` at an address, with a frame or without."""

    def address(self, dataset: Any) -> str:
        """Return where a value of `dataset` is that a task gave."""

    def opened(self, dataset: Any, kind: type[Any]) -> Any:
        """Return the frame of a value of `dataset`."""

    def launched(self, script: Path, table: str) -> str:
        """Have the command line run the task ``rows`` of a script here with a table as JSON; return what it prints."""

    header: str
    """The lines that a script for `launched` begins with; they define ``task``."""


@dataclass(frozen=True)
class Where:
    """Where a case works."""

    repo: Path
    folder: Path
    """An empty folder."""

    def config(self, table: str | None = "t", **options: Any) -> DoltConfig:
        """Return a config for a table of the repository."""
        return DoltConfig(str(self.repo), table, **options)

    def commits(self) -> int:
        """Return how many commits main has."""
        return len(refs.log(self.repo, "main"))


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    gives: Any
    """What its task gives, or the name of the class of the error that ended it."""
    rows: list[int] | None
    """The column ``a`` of ``t`` on main, sorted; None where there is no such table."""
    commits: int
    """How many commits main has gained."""


@dataclass(frozen=True)
class Case:
    """One door and one form of going through it."""

    door: str
    form: str
    act: Callable[[Sdk, Where], Any]
    expected: Outcome
    differs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What of `expected` is another in Flyte 2."""
    reason: str = ""
    """Why, as the page says it."""

    def of(self, *, flyte2: bool) -> Outcome:
        """Return what is expected with one of the SDKs."""
        return dataclasses.replace(self.expected, **self.differs) if flyte2 else self.expected

    def row(self) -> str:
        """Return the row of docs/flyte2.md."""
        return f"| {self.door} | {self.form} | {self.reason or 'the same'} |"


CASES: list[Case] = []


def case(
    door: str,
    form: str,
    *,
    gives: Any = None,
    rows: list[int] | None = None,
    commits: int = 0,
    differs: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Callable[[Callable[[Sdk, Where], Any]], None]:
    """Add a function to the cases."""

    def add(act: Callable[[Sdk, Where], Any]) -> None:
        CASES.append(Case(door, form, act, Outcome(gives, rows, commits), differs or {}, reason))

    return add


def outcome(case: Case, sdk: Sdk, where: Where) -> Outcome:
    """Run a case, and return what came of it."""
    before = where.commits()
    try:
        gives = case.act(sdk, where)
    except Exception as error:  # noqa: BLE001  # any error is an outcome
        gives = name_of(error)
    try:
        rows = column(read(where.config()))
    except TableNotFound:
        rows = None
    return Outcome(gives, rows, where.commits() - before)


def name_of(error: BaseException) -> str:
    """Return the name of the class of our error, also where an SDK made its own error of it; else that of the error."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, DoltError):
        seen = seen.__cause__ or seen.__context__  # flytekit does not name the cause of what fails with an input
    name = type(seen or error).__name__
    code = getattr(error, "code", None)
    return "TypeError" if isinstance(error, TypeError) and seen is None else str(code or name)


def numbers(*values: int) -> pd.DataFrame:
    """Return a frame of one column."""
    return pd.DataFrame({"a": list(values)})


def column(frame: Any) -> list[int]:
    """Return the sorted column ``a`` of a frame of any class."""
    frame = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    return sorted(int(a) for a in (frame["a"].to_pylist() if isinstance(frame, pa.Table) else frame["a"]))


# ------------------------------------------------------------------------------------------------ a DoltTable that goes


def put(sdk: Sdk, config: DoltConfig, *values: int, frame: pd.DataFrame | None = None) -> DoltTable:
    """Run a task that returns a table with rows."""
    rows = numbers(*values) if frame is None else frame

    def make() -> DoltTable:
        return DoltTable(config, rows)

    table: DoltTable = sdk.run(sdk.task(make))
    return table


@case("`DoltTable` out", "new rows", gives=[1, 2], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    return column(put(sdk, where.config(), 1, 2).data)


@case("`DoltTable` out", "equal rows", gives=True, rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    return put(sdk, where.config(), 1, 2).commit == put(sdk, where.config(), 1, 2).commit


@case("`DoltTable` out", "`mode='append'`", gives=[1, 2], rows=[1, 2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    put(sdk, where.config(mode="append"), 1)
    return column(put(sdk, where.config(mode="append"), 2).data)


KEYED = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@case("`DoltTable` out", "`mode='upsert'`", gives=["x", "z", "w"], rows=[1, 2, 3], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    put(sdk, where.config(primary_key=["a"]), frame=KEYED)
    changed = pd.DataFrame({"a": [2, 3], "b": ["z", "w"]})
    table = put(sdk, where.config(primary_key=["a"], mode="upsert"), frame=changed)
    return table.data.sort_values("a")["b"].tolist()


@case("`DoltTable` out", "`mode='delete'`", gives=[2], rows=[2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    put(sdk, where.config(primary_key=["a"]), frame=KEYED)
    return column(put(sdk, where.config(primary_key=["a"], mode="delete"), 1).data)


@case("`DoltTable` out", "`NewBranch`", gives=["run/1", [1]])
def _(sdk: Sdk, where: Where) -> Any:
    table = put(sdk, where.config(branch_conf=NewBranch("run/1")), 1)
    assert table.commit is not None
    return [table.commit.branch, column(table.data)]


@case("`DoltTable` out", "`MergeBranch`", gives=[1, 2], rows=[1, 2], commits=3)
def _(sdk: Sdk, where: Where) -> Any:
    put(sdk, where.config(primary_key=["a"]), 1)
    merged = where.config(primary_key=["a"], mode="append", branch_conf=MergeBranch("run/1", into="main"))
    return column(put(sdk, merged, 2).data)


@case("`DoltTable` out", "a branch that is not there", gives="BranchNotFound")
def _(sdk: Sdk, where: Where) -> Any:
    return put(sdk, where.config(branch_conf=SerialBranch("nosuch")), 1)


@case("`DoltTable` out", "a frame that has no columns in SQL", gives="UnsupportedFrame")
def _(sdk: Sdk, where: Where) -> Any:
    return put(sdk, where.config(), frame=pd.DataFrame({"a": [object()]}))


@case("`DoltTable` out", "another schema", gives="SchemaMismatch", rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    return put(sdk, where.config(mode="append"), frame=pd.DataFrame({"a": ["x"]}))


@case("`DoltTable` out", "a remote", gives=[[1], [1]])
def _(sdk: Sdk, where: Where) -> Any:
    remote = RemoteFolder.made(where.folder)
    with remote.on("here"):
        config = DoltConfig("foo", "t", remote_conf=Remote(remote.url))
        found = [column(put(sdk, config, 1).data), column(take(sdk, DoltTable(config)))]
    remote.let_go()
    return found


# ----------------------------------------------------------------------------------------------- a DoltTable that comes


def take(sdk: Sdk, table: DoltTable) -> Any:
    """Run a task that takes a table, and return the frame that it sees."""
    seen: list[Any] = []

    def look(table: DoltTable) -> None:
        seen.append(table.data)

    sdk.run(sdk.task(look), table=table)
    return seen[0]


@case("`DoltTable` in", "at a commit", gives=[1], rows=[2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    first = write(where.config(), numbers(1))
    write(where.config(), numbers(2))
    return column(take(sdk, first))


@case("`DoltTable` in", "of a branch, resolved when the task starts", gives=[1], rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    return column(take(sdk, DoltTable(where.config())))


@case("`DoltTable` in", "`as_of`", gives=[1], rows=[2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    write(where.config(), numbers(2))
    return column(take(sdk, DoltTable(where.config(as_of="HEAD~1"))))


@case("`DoltTable` in", "`sql` with `params`, on a branch", gives=[2, 3], rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    write(where.config(branch_conf=NewBranch("run/1")), numbers(1, 2, 3))
    query = {"sql": "SELECT a FROM t WHERE a > :least", "params": {"least": 1}}
    return column(take(sdk, DoltTable(where.config(None, branch_conf=SerialBranch("run/1"), **query))))


@case("`DoltTable` in", "`columns` and `order_by`", gives=[["b"], ["x", "y"]], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(primary_key=["a"]), KEYED)
    found = take(sdk, DoltTable(where.config(columns=["b"], order_by=["b"])))
    return [list(found.columns), found["b"].tolist()]


@case("`DoltTable` in", "`Changes`", gives=[2], rows=[1, 2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(primary_key=["a"]), numbers(1))
    write(where.config(primary_key=["a"], mode="append"), numbers(2))
    return column(take(sdk, DoltTable(where.config(changes=Changes(since="HEAD~1", kinds=("added",))))))


@case("`DoltTable` in", "a branch that is not there", gives="BranchNotFound")
def _(sdk: Sdk, where: Where) -> Any:
    return take(sdk, DoltTable(where.config(branch_conf=SerialBranch("nosuch"))))


@case("`DoltTable` in", "a query that writes", gives="QueryRefused", rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    return take(sdk, DoltTable(where.config(None, sql="DELETE FROM t")))


@case(
    "`DoltTable` in",
    "an error that the task catches",
    gives="BranchNotFound",
    differs={"gives": "caught"},
    reason="the error comes where the rows are looked at, so the task can catch it; with flytekit it comes before",
)
def _(sdk: Sdk, where: Where) -> Any:
    def look(table: DoltTable) -> str:
        try:
            return str(table.data)
        except BranchNotFound:
            return "caught"

    return sdk.run(sdk.task(look), table=DoltTable(where.config(branch_conf=SerialBranch("nosuch"))))


@case("`DoltTable` in", "a frame, which is none", gives="TypeError")
def _(sdk: Sdk, where: Where) -> Any:
    return take(sdk, numbers(1))  # type: ignore[arg-type]


@case("`DoltTable` from task to task", "changed on the way", gives=[2], rows=[2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    config = where.config()

    def make() -> DoltTable:
        return DoltTable(config, numbers(1))

    def add(table: DoltTable) -> DoltTable:
        return DoltTable(table.config, table.data + 1)

    first, second = sdk.task(make), sdk.task(add)

    def both() -> DoltTable:
        return second(table=first())

    return column(sdk.run(sdk.parent(both)).data)


# --------------------------------------------------------------------------------------------------- within other types


@case("`Optional`", "a table, and None", gives=[None, [1]], rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    config = where.config()

    def maybe(table: Optional[DoltTable], there: bool) -> Optional[DoltTable]:  # noqa: UP045
        return DoltTable(config, numbers(1)) if there else table

    entity = sdk.task(maybe)
    return [sdk.run(entity, table=None, there=False), column(sdk.run(entity, table=None, there=True).data)]


@case("`list`", "tables that are written, and that come", gives=[[0], [1]], rows=[0], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    configs = [where.config("t"), where.config("u")]

    def make(tables: list[DoltTable]) -> list[DoltTable]:
        return [DoltTable(config, numbers(i + len(tables))) for i, config in enumerate(configs)]

    def same(tables: list[DoltTable]) -> list[DoltTable]:
        return tables

    return [column(table.data) for table in sdk.run(sdk.task(same), tables=sdk.run(sdk.task(make), tables=[]))]


@case("`dict`", "tables that are written, and that come", gives={"x": [1]}, rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    config = where.config()

    def make() -> dict[str, DoltTable]:
        return {"x": DoltTable(config, numbers(1))}

    def same(tables: dict[str, DoltTable]) -> dict[str, DoltTable]:
        return tables

    found = sdk.run(sdk.task(same), tables=sdk.run(sdk.task(make)))
    return {name: column(table.data) for name, table in found.items()}


@dataclass
class Report:
    """A table and a number."""

    table: DoltTable
    rows: int


class Model(pydantic.BaseModel):
    """The same in pydantic."""

    table: DoltTable
    rows: int


def counted(sdk: Sdk, kind: Any, table: DoltTable) -> Any:
    """Run a task that takes and returns a table within another value."""

    def count(value: kind) -> kind:
        return kind(table=value.table, rows=len(value.table.data))

    return sdk.run(sdk.task(count), value=kind(table=table, rows=0))


@case("a dataclass", "a table at a commit, and of a branch", gives=[2, 2], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    table = write(where.config(), numbers(1, 2))
    return [counted(sdk, Report, table).rows, counted(sdk, Report, DoltTable(where.config())).rows]


@case("a dataclass", "rows that no commit holds", gives="InvalidConfig")
def _(sdk: Sdk, where: Where) -> Any:
    return counted(sdk, Report, DoltTable(where.config(), numbers(1)))


@case("a pydantic model", "a table at a commit, and of a branch", gives=[2, 2], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    table = write(where.config(), numbers(1, 2))
    return [counted(sdk, Model, table).rows, counted(sdk, Model, DoltTable(where.config())).rows]


@case("defaults", "a table and a config", gives="[1] u", rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    asked, place = DoltTable(where.config()), where.config("u")

    def look(table: DoltTable = asked, config: DoltConfig = place) -> str:
        return f"{column(table.data)} {config.tablename}"

    return sdk.run(sdk.task(look))


@case("configs and policies", "as inputs and outputs", gives=True)
def _(sdk: Sdk, where: Where) -> Any:
    given = where.config(branch_conf=NewBranch("run/1"), changes=Changes(since="HEAD~1"))

    def same(config: DoltConfig) -> DoltConfig:
        return config

    def policy(branch: NewBranch) -> NewBranch:
        return branch

    return sdk.run(sdk.task(same), config=given) == given and sdk.run(
        sdk.task(policy), branch=NewBranch("b")
    ) == NewBranch("b")


SCRIPT = """
from flytekitplugins.dolt import DoltTable

@task
def rows(table: DoltTable) -> str:
    return f"rows: {table.data['a'].tolist()}"
"""


@case("the command line", "a table as JSON", gives=True, rows=[4], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(4))
    script = where.folder / "launched.py"
    script.write_text(sdk.header + SCRIPT)
    said = sdk.launched(script, json.dumps({"config": where.config().to_dict()}))
    return "rows: [4]" in said or said


# -------------------------------------------------------------------------------------------------------- plain frames

MADE: dict[type[Any], Callable[[], Any]] = {
    pd.DataFrame: lambda: numbers(1, 2),
    pa.Table: lambda: pa.table({"a": [1, 2]}),
    pl.DataFrame: lambda: pl.DataFrame({"a": [1, 2]}),
    pl.LazyFrame: lambda: pl.LazyFrame({"a": [1, 2]}),
}


def through(sdk: Sdk, config: DoltConfig, made: type[Any], taken: type[Any]) -> Any:
    """Return what a task gets as ``taken`` of a frame that another returned as ``made``."""
    ours = sdk.ours(config)

    def make() -> Annotated[made, ours]:  # type: ignore[valid-type]
        return MADE[made]()

    def look(frame: Annotated[taken, ours]) -> list[int]:  # type: ignore[valid-type]
        assert isinstance(frame, taken)
        return column(frame)

    first, second = sdk.task(make), sdk.task(look)

    def both() -> list[int]:
        found: list[int] = second(frame=first())
        return found

    return sdk.run(sdk.parent(both))


NEXT = dict(zip(MADE, [*list(MADE)[1:], pd.DataFrame], strict=True))
NAMES = {pd.DataFrame: "pandas", pa.Table: "Arrow", pl.DataFrame: "Polars", pl.LazyFrame: "lazy Polars"}

for _made, _taken in NEXT.items():

    @case("`dolt_frame`", f"{NAMES[_made]} out, {NAMES[_taken]} in", gives=[1, 2], rows=[1, 2], commits=1)
    def _(sdk: Sdk, where: Where, made: Any = _made, taken: Any = _taken) -> Any:
        return through(sdk, where.config(), made, taken)


@case("`dolt_frame`", "`mode='append'`", gives=[1, 1, 2, 2], rows=[1, 1, 2, 2], commits=2)
def _(sdk: Sdk, where: Where) -> Any:
    through(sdk, where.config(mode="append"), pd.DataFrame, pd.DataFrame)
    return through(sdk, where.config(mode="append"), pd.DataFrame, pd.DataFrame)


@case("`dolt_frame`", "`NewBranch`", gives=[1, 2])
def _(sdk: Sdk, where: Where) -> Any:
    return through(sdk, where.config(branch_conf=NewBranch("run/1")), pd.DataFrame, pa.Table)


def take_frame(sdk: Sdk, config: DoltConfig, given: Any) -> Any:
    """Run a task that takes a plain frame, and return what it sees."""
    seen: list[Any] = []

    def look(frame: Annotated[pd.DataFrame, sdk.ours(config)]) -> None:
        seen.append(frame)

    sdk.run(sdk.task(look), frame=given)
    return seen[0]


@case("`dolt_frame`", "`columns` of its config", gives=["b"], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    table = write(where.config(primary_key=["a"]), KEYED)
    return list(take_frame(sdk, where.config(columns=["b"]), table).columns)


@case("`dolt_frame`", "a `DoltTable` in its place, of a query", gives=[2], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1, 2))
    query = pin(where.config(None, sql="SELECT a FROM t WHERE a > 1"))
    return column(take_frame(sdk, where.config(), query))


@case("`dolt_frame`", "a table that is not there", gives="TableNotFound", rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    return take_frame(sdk, where.config(), DoltTable(where.config("nosuch")))


@case("`dolt_frame`", "a frame that has no columns in SQL", gives="UnsupportedFrame")
def _(sdk: Sdk, where: Where) -> Any:
    def make() -> Annotated[pd.DataFrame, sdk.ours(where.config())]:
        return pd.DataFrame({"a": [object()]})

    return sdk.run(sdk.task(make))


@case("`dolt_frame`", "within `Optional`", gives=[None, [1]], rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    ours = sdk.ours(where.config())

    def maybe(there: bool) -> Optional[Annotated[pd.DataFrame, ours]]:  # noqa: UP045
        return numbers(1) if there else None

    entity = sdk.task(maybe)
    return [sdk.run(entity, there=False), column(sdk.run(entity, there=True))]


@case(
    "a plain frame",
    "Polars declared, where another task returned pandas with `dolt_frame`",
    gives=True,
    rows=[1],
    commits=1,
    differs={"gives": False},
    reason="it stays pandas: Flyte 2 pickles plain Polars frames; with `dolt_frame` there, too, it is Polars",
)
def _(sdk: Sdk, where: Where) -> Any:
    def make() -> Annotated[pd.DataFrame, sdk.ours(where.config())]:
        return numbers(1)

    def look(frame: pl.DataFrame) -> bool:
        return isinstance(frame, pl.DataFrame)

    first, second = sdk.task(make), sdk.task(look)

    def both() -> bool:
        found: bool = second(frame=first())
        return found

    return sdk.run(sdk.parent(both))


@case(
    "`resolve`",
    "a query that a workflow pins",
    gives=[1],
    rows=[1],
    commits=1,
    differs={"gives": "AttributeError"},
    reason="not there: a parent is a task, and calls `pin(config)`",
)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))

    def both(config: DoltConfig) -> DoltTable:
        found: DoltTable = sdk.names.resolve(config=config)
        return found

    sdk.names.resolve  # noqa: B018  # before anything is made of it
    return column(sdk.run(sdk.parent(both), config=where.config(None, sql="SELECT a FROM t")).data)


# -------------------------------------------------------------------------------------------- the SDKs' own class


DATASET = "`StructuredDataset`, `flyte.io.DataFrame`"


def make_at(sdk: Sdk, uri: str) -> Any:
    """Run a task that returns a value of the SDK's own class."""

    def make() -> sdk.dataset:
        return sdk.at(uri, numbers(1, 2))

    return sdk.run(sdk.task(make))


def take_at(sdk: Sdk, uri: str, kind: type[Any]) -> Any:
    """Run a task that takes one, and return the column that it sees."""

    def look(frame: sdk.dataset) -> list[int]:
        return column(sdk.opened(frame, kind))

    return sdk.run(sdk.task(look), frame=sdk.at(uri))


@case(DATASET, "written at an address", gives=True, rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    return "commit=" in sdk.address(make_at(sdk, dolt_uri(where.config())))


@case(DATASET, "read at an address", gives=[1, 2], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1, 2))
    return take_at(sdk, dolt_uri(where.config()), pa.Table)


@case(DATASET, "a query at an address", gives=[2], rows=[1, 2], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1, 2))
    return take_at(sdk, dolt_uri(where.config(None, sql="SELECT a FROM t WHERE a > 1")), pd.DataFrame)


@case(DATASET, "written at an address with a commit", gives="InvalidUri", rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    return make_at(sdk, dolt_uri(write(where.config(), numbers(1))))


@case(DATASET, "read where no table is", gives="TableNotFound", rows=[1], commits=1)
def _(sdk: Sdk, where: Where) -> Any:
    write(where.config(), numbers(1))
    return take_at(sdk, dolt_uri(where.config("nosuch")), pd.DataFrame)


BEGIN, END = "<!-- parity -->", "<!-- /parity -->"


def table() -> str:
    """Return the table of docs/flyte2.md."""
    return "\n".join([BEGIN, "| door | form | with Flyte 2 |", "|---|---|---|", *(each.row() for each in CASES), END])


def rows_of(page: str) -> str:
    """Return what stands on a page in place of that."""
    return BEGIN + page.partition(BEGIN)[2].partition(END)[0] + END
