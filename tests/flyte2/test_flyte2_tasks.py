"""What Flyte 2 tells of a running task, and what comes of it: lineage, write keys, errors, secrets, cache, pages."""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any

import flyte
import flyte.errors
import flyte.report
import pandas as pd
import pytest
from flyte.extend import AsyncFunctionTaskTemplate, TaskPluginRegistry

from flytekitplugins.dolt.api import content
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    ConnectionLost,
    DoltError,
    InvalidConfig,
    SecretNotFound,
    UntrustedInput,
)
from flytekitplugins.dolt.flyte2 import context, faults, secrets
from flytekitplugins.dolt.model import runtime
from flytekitplugins.dolt.model.provenance import Provenance, ReadRecord, WriteRecord, parse
from flytekitplugins.dolt.repository import refs
from flyteplugins.dolt import (
    DoltConfig,
    DoltTable,
    Remote,
    Secret,
    SerialBranch,
    content_hash,
    dolt_frame,
    pin,
    read,
    secret_requests,
    write,
)

ONE_REPOSITORY = True
Run = Callable[..., Any]
Config = Callable[..., DoltConfig]
env = flyte.TaskEnvironment(name="tasks")


def frame(*numbers: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(numbers)})


def origin(repo: Path, number: int = 0) -> Provenance:
    """Return what one of the newest commits says of itself."""
    return parse(refs.log(repo, "main", limit=number + 1)[number].message)


# ------------------------------------------------------------------------------------------------------------ lineage


def test_the_commit_names_each_input_at_its_commit(run: Run, config: Config, repo: Path) -> None:
    """Tables and queries that a task takes stand in its commit, also those whose rows it never looked at."""
    first, second = write(config("t"), frame(1)), write(config("u"), frame(2))

    @env.task
    async def join(looked_at: DoltTable, passed: DoltTable) -> DoltTable:
        return DoltTable(config("out"), looked_at.data)

    run(join, looked_at=first, passed=DoltTable(config("u")))
    found = origin(repo)
    assert set(found.reads) == {
        ReadRecord(first.commit.hash, ".", table="t"),
        ReadRecord(second.commit.hash, ".", table="u"),
    }
    assert found.writes == (WriteRecord("out"),)
    assert found.execution.id.startswith("ex:local:local:")
    assert (found.execution.task, found.execution.attempt) == ("tasks.join", None)
    assert found.execution.node
    assert found.execution.plugin.startswith("flytekitplugins-doltdb ")
    assert found.write_key


def test_a_frame_that_is_read_is_named(run: Run, config: Config, repo: Path) -> None:
    """An annotated input is as much of an input as a table."""
    given = write(config("t"), frame(1))

    @env.task
    async def copy(
        rows: Annotated[pd.DataFrame, dolt_frame(config("t"))],
    ) -> Annotated[pd.DataFrame, dolt_frame(config("u"))]:
        return rows * 2

    run(copy, rows=DoltTable(config("t")))
    assert origin(repo).reads == (ReadRecord(given.commit.hash, ".", table="t"),)


def test_what_a_child_gives_back_is_read_when_it_is_looked_at(run: Run, config: Config, repo: Path) -> None:
    """A parent that only passes a table on has not read it."""

    @env.task
    async def child(n: int) -> DoltTable:
        return DoltTable(config(f"child{n}"), frame(n))

    @env.task
    async def parent() -> DoltTable:
        looked_at, passed = await child(1), await child(2)
        assert passed.commit is not None
        return DoltTable(config("parent"), looked_at.data)

    run(parent)
    assert [read.table for read in origin(repo).reads] == ["child1"]


def test_tasks_that_run_at_once_do_not_mix(run: Run, config: Config, repo: Path) -> None:
    """Each commit names the inputs of its own task alone."""
    write(config("t1"), frame(1))
    write(config("t2"), frame(2))

    @env.task
    async def copy(table: DoltTable, n: int) -> DoltTable:
        return DoltTable(config(f"out{n}"), table.data)

    @env.task
    async def parent() -> None:
        await asyncio.gather(*(copy(DoltTable(config(f"t{n}")), n) for n in (1, 2)))

    run(parent)
    found = {origin(repo, number).writes[0].table: origin(repo, number).reads for number in (0, 1)}
    assert {table: [read.table for read in reads] for table, reads in found.items()} == {"out1": ["t1"], "out2": ["t2"]}


def test_the_bodys_own_reads_and_writes_are_signed(run: Run, config: Config, repo: Path) -> None:
    """`read` and `write` within a task know that it runs."""
    write(config("t"), frame(1))

    @env.task
    async def body() -> None:
        rows = await asyncio.to_thread(read, config("t"))
        await asyncio.to_thread(write, config("u"), rows)

    run(body)
    found = origin(repo)
    assert [read.table for read in found.reads] == ["t"]
    assert found.execution.node


def test_the_message_of_a_config_has_the_tasks_inputs(run: Run, config: Config, repo: Path) -> None:
    """Inputs may stand in braces, as with flytekit."""

    @env.task
    async def make(day: str) -> DoltTable:
        return DoltTable(config("t", message="rows of {day}"), frame(1))

    run(make, day="Monday")
    assert "rows of Monday" in refs.log(repo, "main", limit=1)[0].message


# --------------------------------------------------------------------------------------------------------- write keys


def test_a_second_attempt_finds_what_the_first_one_wrote(run: Run, config: Config, repo: Path) -> None:
    """An output and what is handed on are written once, though the task runs twice."""
    tries: list[str] = []

    @env.task
    async def child(table: DoltTable) -> str:
        return str(table.commit.hash)

    @env.task(retries=2)
    async def parent() -> str:
        tries.append(await child(DoltTable(config("t", mode="append"), frame(1))))
        if len(tries) < 2:
            raise RuntimeError("once more")
        return tries[-1]

    run(parent)
    assert tries[0] == tries[1]
    assert read(config("t"))["a"].tolist() == [1]


def test_keys_do_not_depend_on_which_coroutine_ends_first(run: Run, config: Config) -> None:
    """In the second attempt the same writes come in another order, and each finds its own commit."""
    orders = [list(range(6)), list(reversed(range(6)))]
    seen: list[dict[int, list[int]]] = []

    @env.task
    async def child(table: DoltTable) -> list[int]:
        return [int(table.commit.branch is not None), *pinned_rows(table)]

    def pinned_rows(table: DoltTable) -> list[int]:
        return sorted(int(a) for a in table.data["a"])

    @env.task(retries=1)
    async def parent() -> None:
        order = orders[len(seen)]
        turns = [asyncio.Event() for _ in order]
        turns[0].set()

        async def write_in_turn(i: int) -> tuple[int, list[int]]:
            place = order.index(i)
            await turns[place].wait()
            rows = await child(DoltTable(config("t", mode="append"), frame(i)))
            if place + 1 < len(turns):
                turns[place + 1].set()
            return i, rows[1:]

        seen.append(dict(await asyncio.gather(*map(write_in_turn, range(6)))))
        if len(seen) < 2:
            raise RuntimeError("once more")

    run(parent)
    assert seen[0][5] == [0, 1, 2, 3, 4, 5]
    assert seen[0] == seen[1]
    assert sorted(read(config("t"))["a"]) == list(range(6))


def test_equal_writes_have_keys_of_their_own(run: Run, config: Config) -> None:
    """The same rows that are appended twice are there twice."""

    @env.task
    async def child(table: DoltTable) -> None: ...

    @env.task
    async def parent() -> None:
        await asyncio.gather(*(child(DoltTable(config("t", mode="append"), frame(1))) for _ in range(2)))

    run(parent)
    assert read(config("t"))["a"].tolist() == [1, 1]


def test_one_table_for_two_tasks_is_written_once(run: Run, config: Config) -> None:
    """A table that is given to two tasks at once is one write."""

    @env.task
    async def child(table: DoltTable) -> str:
        return str(table.commit.hash)

    @env.task
    async def parent() -> list[str]:
        table = DoltTable(config("t", mode="append"), frame(1))
        return list(await asyncio.gather(child(table), child(table)))

    found = run(parent)
    assert found[0] == found[1]
    assert read(config("t"))["a"].tolist() == [1]


def test_runs_of_one_name_do_not_share_keys(config: Config) -> None:
    """The author of local runs may give them one name and one start; each writes its rows."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)

    @env.task
    async def make() -> DoltTable:
        return DoltTable(config("t", mode="append"), frame(1))

    for _ in range(2):
        flyte.with_runcontext(mode="local", name="mine", run_start_time=start).run(make)
    assert read(config("t"))["a"].tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["pandas", "arrow", "stream"])
def test_frames_are_digested_by_what_they_hold(kind: str) -> None:
    """Equal frames have one digest, others another, and what gives its rows once gives them still."""
    import pyarrow as pa

    def made(*numbers: int) -> Any:
        arrow = pa.table({"a": list(numbers)})
        kinds = {"pandas": arrow.to_pandas, "arrow": lambda: arrow, "stream": arrow.to_reader}
        return kinds[kind]()

    kept, digest = content.digest_of_frame(made(1, 2))
    assert content.digest_of_frame(made(1, 2))[1] == digest
    assert content.digest_of_frame(made(1, 3))[1] != digest
    assert content.digest_of_frame(kept)[1] == digest


# ------------------------------------------------------------------------------------------------------------- errors


def tries_of(run: Run, error: Callable[[], object]) -> tuple[int, BaseException]:
    """Return how often a task with three retries runs that does what ``error`` does, and with what it ends."""
    tries: list[int] = []

    @env.task(retries=flyte.RetryStrategy(count=3, backoff=flyte.Backoff(base=timedelta(milliseconds=10))))
    async def body() -> None:
        tries.append(1)
        await asyncio.to_thread(error)

    with pytest.raises(flyte.errors.RuntimeUserError) as caught:
        run(body)
    return len(tries), caught.value


def fails(error: DoltError) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("marked", [True, False])
def test_what_stays_wrong_is_not_repeated(run: Run, config: Config, *, marked: bool) -> None:
    """A permanent error ends the task at once, wherever in this package it was raised."""
    absent = config("t", branch_conf=SerialBranch("nosuch"))
    act = (lambda: read(absent)) if marked else fails(InvalidConfig("Cannot do that."))
    tries, error = tries_of(run, act)
    assert tries == 1
    assert error.code == ("BranchNotFound" if marked else "InvalidConfig")


def test_what_may_pass_is_repeated(run: Run) -> None:
    """A lost connection is tried as often as the task says."""
    tries, error = tries_of(run, fails(ConnectionLost("Cannot read: it went away.")))
    assert (tries, error.code) == (4, "ConnectionLost")


def test_an_error_is_ours_and_flytes(run: Run, config: Config) -> None:
    """Code in a task catches either class, and finds the facts."""
    caught: list[BaseException] = []

    @env.task
    async def body() -> None:
        try:
            await asyncio.to_thread(read, config("t", branch_conf=SerialBranch("nosuch")))
        except BranchNotFound as error:
            caught.append(error)

    run(body)
    (error,) = caught
    assert isinstance(error, flyte.errors.NonRecoverableError)
    assert (error.branch, error.code) == ("nosuch", "BranchNotFound")
    assert "nosuch" in str(error)


def test_outside_a_task_errors_are_as_they_were(config: Config) -> None:
    """A script gets no error of Flyte's."""
    with pytest.raises(BranchNotFound) as caught, faults.marked():
        read(config("t", branch_conf=SerialBranch("nosuch")))
    assert type(caught.value) is BranchNotFound


def test_an_input_that_is_wrong_is_said_in_the_body(run: Run, config: Config) -> None:
    """It gets as far as the task's code, which can catch it."""

    @env.task
    async def look(table: DoltTable, other: DoltTable | None) -> list[str]:
        found = []
        for each in (table, other):
            try:
                await asyncio.to_thread(lambda each=each: each.data)
            except BranchNotFound as error:
                found.append(str(error.branch))
        return found

    absent = DoltTable(config("t", branch_conf=SerialBranch("nosuch")))
    assert run(look, table=absent, other=absent) == ["nosuch", "nosuch"]


def test_a_frame_that_is_wrong_is_an_error_of_the_body(run: Run, config: Config) -> None:
    """A frame cannot wait until somebody looks at it; the task ends with the error, and its code does not run."""
    bodies: list[int] = []

    @env.task(retries=2)
    async def look(frame: Annotated[pd.DataFrame, dolt_frame(config("t"))]) -> None:
        bodies.append(len(frame))

    write(config("t"), frame(1))
    with pytest.raises(flyte.errors.RuntimeUserError, match="nosuch") as caught:
        run(look, frame=DoltTable(config("nosuch")))
    assert caught.value.code == "TableNotFound"
    assert bodies == []


def test_a_frame_that_may_come_later_is_tried_again(run: Run, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is lost while an input is read is as one that is lost in the task's code."""
    from flytekitplugins.dolt.flyte2 import frames

    tries: list[int] = []
    real = frames.frame_of

    def once_lost(*args: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionLost("Cannot read: it went away.")
        return real(*args)

    monkeypatch.setattr(frames, "frame_of", once_lost)

    @env.task(retries=flyte.RetryStrategy(count=3, backoff=flyte.Backoff(base=timedelta(milliseconds=10))))
    async def look(frame: Annotated[pd.DataFrame, dolt_frame(config("t"))]) -> int:
        return int(frame["a"].sum())

    assert run(look, frame=write(config("t"), frame(4))) == 4
    assert len(tries) == 2


# ------------------------------------------------------------------------------------------------------------ secrets

SERVER = "mysql+pymysql://me@db.example:3306/foo"
PASSWORD = Secret(group="dolt", key="my-password")


@pytest.fixture
def _no_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_requested", {})


@pytest.mark.usefixtures("_no_requests")
def test_a_secret_is_requested_and_read_as_flyte_keeps_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is the one that `flyte.Secret` names."""
    requests = secret_requests(DoltConfig(SERVER, "t", secret=PASSWORD), DoltConfig(SERVER, "u", secret=PASSWORD))
    assert requests == [flyte.Secret(key="my-password", group="dolt")]
    monkeypatch.setenv(requests[0].as_env_var, "s3cret")

    @flyte.TaskEnvironment(name="with_secrets", secrets=requests).task
    async def body() -> tuple[bool, bool]:
        found = runtime.current().secret(PASSWORD)
        return found == "s3cret", runtime.current().requested_secrets() == [PASSWORD]

    assert run(body) == (True, True)


@pytest.mark.usefixtures("_no_requests")
def test_a_missing_secret_says_how_to_ask(run: Run) -> None:
    """The words are Flyte 2's."""

    @env.task
    async def body() -> str:
        try:
            runtime.current().secret(Secret(group="no", key="such"))
        except SecretNotFound as error:
            return str(error)
        return ""

    assert "flyte.TaskEnvironment(secrets=secret_requests(config))" in run(body)
    assert "NO_SUCH" in run(body)


def test_a_secret_with_a_version_is_refused() -> None:
    """Flyte 2 has none, and another one would be read in silence."""
    remote = Remote("https://dolt.example/foo", user="me", secret=Secret(group="g", key="k", version="2"))
    with pytest.raises(InvalidConfig, match="'k'.*version"):
        secret_requests(DoltConfig("foo", "t", remote_conf=remote))


@pytest.mark.usefixtures("_no_requests")
def test_no_password_goes_to_a_place_that_only_arrived(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config that a task takes names a server that its code does not: that gets no password."""
    monkeypatch.setenv("DOLT_OTHER", "s3cret")
    other = DoltConfig.from_dict(
        {
            "db_path": "mysql+pymysql://me@thief.example/foo",
            "tablename": "t",
            "secret": {"group": "dolt", "key": "other"},
        }
    )

    @env.task
    async def body(config: DoltConfig) -> str:
        try:
            await asyncio.to_thread(read, config)
        except UntrustedInput as error:
            return str(error.place)
        return ""

    assert run(body, config=other) == "thief.example:3306"


# ------------------------------------------------------------------------------------------------------ cache, report


def test_equal_content_is_a_hit(run: Run, config: Config) -> None:
    """With `content_hash` a cached task runs again when the rows differ, and not when only the commit does."""
    runs: list[int] = []
    number = random.randrange(10**9)  # the cache outlives a test

    @env.task(cache=flyte.Cache("auto", version_override=f"v{number}"))
    async def total(table: Annotated[DoltTable, content_hash]) -> int:
        runs.append(1)
        return int(table.data["a"].sum())

    first = write(config("t"), frame(1, number))
    write(config("u"), frame(1))
    again = pin(config("t"))
    assert first.commit != again.commit
    assert run(total, table=first) == run(total, table=again) == number + 1
    assert len(runs) == 1
    assert run(total, table=write(config("t"), frame(2, number))) == number + 2
    assert len(runs) == 2


def test_frames_have_a_hash_of_their_content_too(run: Run, config: Config) -> None:
    """It stands behind `dolt_frame` in the annotation."""
    from flyte.types import TypeEngine

    declared = Annotated[pd.DataFrame, dolt_frame(config("t")), content_hash]
    table = write(config("t"), frame(1))
    literal = asyncio.run(TypeEngine.to_literal(table, declared, TypeEngine.to_literal_type(declared)))
    assert literal.hash == content.digest(table)
    assert repr(content_hash) == "content_hash"
    with pytest.raises(InvalidConfig, match="no commit"):
        content.digest(DoltTable(config("t")))


def test_a_report_has_a_tab_for_each_table(run: Run, config: Config) -> None:
    """The page that a deck of flytekit shows is a tab of Flyte 2's report, beside those of the task."""
    pages: list[Any] = []

    @env.task(report=True)
    async def make() -> list[DoltTable]:
        flyte.report.get_tab("mine").log("hello")
        pages.append(flyte.report.current_report())
        return [DoltTable(config("t"), frame(1)), DoltTable(config("u"), frame(2))]

    run(make)
    tabs = pages[0].tabs
    assert {"mine", "Dolt: t", "Dolt: u"} <= tabs.keys()
    assert "1 added" in tabs["Dolt: t"].get_html() or "new" in tabs["Dolt: t"].get_html()


def test_a_task_without_a_report_makes_no_page(run: Run, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would see it, and it takes as long as a small write; a task within one with a report has none either."""
    from flytekitplugins.dolt.report import collect

    shown: list[str] = []
    real = collect.card

    def card(table: DoltTable) -> Any:
        shown.append(table.config.tablename)
        return real(table)

    monkeypatch.setattr(collect, "card", card)

    @env.task
    async def child() -> DoltTable:
        return DoltTable(config("unseen"), frame(1))

    @env.task(report=True)
    async def parent() -> DoltTable:
        return DoltTable(config("seen"), (await child()).data)

    run(parent)
    assert shown == ["seen"]


def test_a_task_that_executes_itself_has_no_name(run: Run, config: Config, repo: Path) -> None:
    """Plugins may bring kinds of tasks that Flyte 2 does not execute; of these nothing but the name is missing."""

    class Kind:
        """Stands for what a plugin is configured by."""

    class Own(AsyncFunctionTaskTemplate[Any, Any, Any]):
        async def execute(self, *args: Any, **kwargs: Any) -> Any:
            return await self.func(*args, **kwargs)

    TaskPluginRegistry.register(Kind, Own)
    pages: list[Any] = []

    @flyte.TaskEnvironment(name="own", plugin_config=Kind()).task
    async def make() -> DoltTable:
        pages.append(flyte.report.current_report())
        return DoltTable(config("t"), frame(1))

    run(make)
    assert (origin(repo).execution.task, origin(repo).writes) == (None, (WriteRecord("t"),))
    assert "Dolt: t" in pages[0].tabs


def test_a_page_that_cannot_be_made_fails_no_task(
    run: Run, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows are committed by then, so that is only logged."""
    from flytekitplugins.dolt.report import collect

    monkeypatch.setattr(collect, "card", fails(InvalidConfig("no page")))

    @env.task(report=True)
    async def make() -> DoltTable:
        return DoltTable(config("t"), frame(1))

    assert run(make).commit is not None
    assert "Cannot show" in caplog.text


def test_who_runs_is_told_apart(run: Run) -> None:
    """The script around a local run is no task, and a thread of a task that has no context is none either."""
    assert context.running() is None
    found: list[bool] = []

    @env.task
    async def body() -> None:
        found.append(context.in_task() is not None)

    run(body)
    assert found == [True]
    assert dataclasses.is_dataclass(context.Running)
