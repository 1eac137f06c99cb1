"""One set of tests over the three forms of a repository: a folder, a remote that is cloned, a running server.

A workflow's code is the same in all three, so what it does has to be. What is there afterwards is asked of the `dolt`
command line: in the folder, in a new clone of the remote, through the server.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dolt_server import PASSWORD, VARIABLE, DoltServer
from flytekit import kwtypes, map_task, task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.local_cache import LocalTaskCache
from flytekit.core.type_engine import TypeEngine
from flytekit.types.structured import StructuredDataset
from remote_folder import RemoteFolder, dolt

from flytekitplugins.dolt import (
    LAST_CONSUMED,
    Changes,
    DoltConfig,
    DoltTable,
    NewBranch,
    SerialBranch,
    content_hash,
    create_repository,
    diff,
    dolt_uri,
    execution_of,
    first_appeared,
    lineage,
    pin,
    read,
    resolve,
    versions,
    write,
)
from flytekitplugins.dolt.errors import (
    BranchNotFound,
    ConstraintViolated,
    DoltError,
    InvalidName,
    MergeConflict,
    QueryRefused,
    SchemaMismatch,
    TableNotFound,
)
from flytekitplugins.dolt.flyte.cache import content_digest as content_of
from flytekitplugins.dolt.server import local_server


@dataclass
class Place:
    """A repository of one form, with an empty branch `main`."""

    made: Path | RemoteFolder | DoltServer

    def config(self, table: str | None = "users", **options: Any) -> DoltConfig:
        """Return a config for a table or query there."""
        if isinstance(self.made, Path):
            return DoltConfig(str(self.made), table, **options)
        return self.made.config(table, **options)  # type: ignore[arg-type]

    def said(self, query: str, *, branch: str = "main") -> list[list[str]]:
        """Return the rows that the ``dolt`` command line answers on a branch."""
        if isinstance(self.made, RemoteFolder):
            with self.made.cloned() as clone:
                if branch != "main":
                    dolt("checkout", branch, cwd=clone)
                return rows_of(clone, query)
        folder = self.made if isinstance(self.made, Path) else self.made.folder
        return rows_of(folder, f"USE `{folder.name}/{branch}`; {query}")

    def log(self, branch: str = "main") -> list[str]:
        """Return the commits of a branch, newest first."""
        return [hash_ for (hash_,) in self.said("SELECT commit_hash FROM dolt_log", branch=branch)]

    def branches(self) -> list[str]:
        """Return the names of the branches."""
        if isinstance(self.made, RemoteFolder):
            names = self.said("SELECT name FROM dolt_remote_branches ORDER BY name")
            return [name.removeprefix("remotes/origin/") for (name,) in names]
        return [name for (name,) in self.said("SELECT name FROM dolt_branches ORDER BY name")]


def rows_of(folder: Path, query: str) -> list[list[str]]:
    printed = dolt("sql", "-r", "csv", "-q", query, cwd=folder).replace("Database changed\n", "")
    return list(csv.reader(io.StringIO(printed)))[1:]


@pytest.fixture(params=["folder", "remote", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Give a repository of each form."""
    if request.param == "folder":
        repository = create_repository(tmp_path / "foo", name="Ann", email="ann@x.org")
        yield Place(repository)
        local_server.release(repository)
    elif request.param == "remote":
        remote = RemoteFolder.made(tmp_path)
        monkeypatch.setenv("FLYTE_DOLT_CLONES", str(remote.machine("here")))
        yield Place(remote)
        remote.let_go()
    else:
        monkeypatch.setenv(VARIABLE, PASSWORD)
        with DoltServer(tmp_path / "foo") as running:
            yield Place(running)


USERS = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["George", None, "Zoë"],
        "score": [0.1, -1e300, 2.5],
        "is_new": [True, False, True],
        "at": [datetime(2024, 5, 7, 12, 38), datetime(1999, 12, 31), datetime(2030, 1, 1, 0, 0, 0, 123456)],
    }
)
PRINTED = [
    ["1", "George", "0.1", "1", "2024-05-07 12:38:00"],
    ["2", "", "-1e+300", "0", "1999-12-31 00:00:00"],
    ["3", "Zoë", "2.5", "1", "2030-01-01 00:00:00.123456"],
]


def put(config: DoltConfig, *numbers: int) -> str:
    """Write keyed rows and return the commit that is said to hold them."""
    frame = pd.DataFrame({"id": list(numbers), "square": [number**2 for number in numbers]})
    return hash_of(write(config, frame))


def hash_of(table: DoltTable) -> str:
    assert table.commit is not None
    return table.commit.hash


def test_written_and_read(place: Place) -> None:
    """A frame is one commit, which `dolt` shows with its rows, and comes back with its dtypes."""
    config = place.config(primary_key=["id"])
    commit = hash_of(write(config, USERS, message="Three users"))
    pd.testing.assert_frame_equal(read(config), USERS)
    assert hash_of(pin(config)) == commit
    assert place.said("SELECT * FROM users ORDER BY id") == PRINTED
    assert place.said("SELECT commit_hash, message FROM dolt_log LIMIT 1") == [[commit, "Three users"]]
    assert place.said("SELECT * FROM dolt_status") == []


def test_a_new_branch(place: Place) -> None:
    """A run's branch starts at main, has its own rows, and leaves main as it was."""
    main = put(place.config(), 1)
    config = place.config(branch_conf=NewBranch("run/1"))
    put(config, 2, 3)
    put(place.config(branch_conf=NewBranch("run/2", base="run/1"), mode="append"), 4)
    assert read(config)["id"].tolist() == [2, 3]
    assert place.branches() == ["main", "run/1", "run/2"]
    assert place.log()[0] == main
    assert place.log("run/1")[1:] == place.log()
    assert place.said("SELECT id FROM users ORDER BY id", branch="run/2") == [["2"], ["3"], ["4"]]
    with pytest.raises(BranchNotFound, match="'run/3'.*run/"):
        read(place.config(branch_conf=SerialBranch("run/3")))


def test_modes(place: Place) -> None:
    """Append adds rows, upsert changes those of the same key, replace leaves the new ones only: a commit each."""
    config = place.config(primary_key=["id"])
    said = [put(config, 1, 2), put(place.config(mode="append"), 3)]
    frame = pd.DataFrame({"id": [3, 4], "square": [0, 16]})
    said.append(hash_of(write(place.config(primary_key=["id"], mode="upsert"), frame)))
    assert place.said("SELECT * FROM users ORDER BY id") == [["1", "1"], ["2", "4"], ["3", "0"], ["4", "16"]]
    said.append(put(config, 9))
    assert place.said("SELECT * FROM users ORDER BY id") == [["9", "81"]]
    assert place.log()[:4] == said[::-1]


def test_a_query_with_parameters(place: Place) -> None:
    """Values are bound, and the rows are those of the config's branch; what does not only read is refused."""
    write(place.config(), USERS)
    write(place.config(branch_conf=NewBranch("run/1")), USERS.head(1))
    query: dict[str, Any] = {"sql": "SELECT name FROM users WHERE id IN :ids AND name <> :name ORDER BY id"}
    query["params"] = {"ids": [1, 2, 3], "name": "x' OR 1=1 --"}
    assert read(place.config(None, **query))["name"].tolist() == ["George", "Zoë"]
    assert read(place.config(None, branch_conf=SerialBranch("run/1"), **query))["name"].tolist() == ["George"]
    with pytest.raises(QueryRefused, match="DELETE"):
        read(place.config(None, sql="DELETE FROM users"))
    assert len(place.said("SELECT * FROM users")) == 3


def test_as_of(place: Place) -> None:
    """Past states are read by hash, ancestor and branch, for tables and queries; a pinned table stays what it was."""
    first = put(place.config(), 1)
    pinned = pin(place.config())
    put(place.config(branch_conf=NewBranch("run/1")), 7)
    put(place.config(), 2)
    for as_of, expected in ((first, [1]), ("HEAD~1", [1]), ("main", [2]), ("run/1", [7]), (first[:10], [1])):
        assert read(place.config(as_of=as_of))["id"].tolist() == expected
    assert read(place.config(None, sql="SELECT id FROM users", as_of=first))["id"].tolist() == [1]
    assert pinned.data["id"].tolist() == [1]
    with pytest.raises(TableNotFound, match="'others'"):
        read(place.config("others", as_of=first))


def test_equal_content_is_no_commit(place: Place) -> None:
    """The same rows again, in whatever order, make no commit, and the reference names the one that is there."""
    config = place.config(primary_key=["id"])
    first = put(config, 1, 2)
    assert put(config, 2, 1) == first
    assert hash_of(write(config, pd.DataFrame({"id": [1, 2], "square": [1, 4]}), message="again")) == first
    assert place.log()[0] == first


def test_a_key_is_written_once(place: Place) -> None:
    """A write that is tried again under its key is the commit of the first time."""
    config, frame = place.config(mode="append"), pd.DataFrame({"id": [1]})
    first = write(config, frame, key="attempt")
    assert hash_of(write(config, frame, key="attempt")) == hash_of(first)
    assert place.said("SELECT id FROM users") == [["1"]]


@pytest.mark.parametrize(
    ("frame", "options", "error", "words"),
    [
        (pd.DataFrame({"id": ["x"], "square": [1]}), {}, SchemaMismatch, "'users'"),
        (pd.DataFrame({"id": [1]}), {}, SchemaMismatch, "square"),
        (pd.DataFrame({"id": [1], "square": [5]}), {"mode": "append"}, ConstraintViolated, "duplicate"),
        (pd.DataFrame({"id": [5], "square": [5]}), {"branch_conf": SerialBranch("nope")}, BranchNotFound, "'nope'"),
        (pd.DataFrame({"id": [5], "square": [5]}), {"branch_conf": NewBranch("MAIN")}, InvalidName, "case"),
    ],
    ids=["type", "missing column", "key", "branch", "case"],
)
def test_a_refusal_changes_nothing(
    place: Place, frame: pd.DataFrame, options: dict[str, Any], error: type[DoltError], words: str
) -> None:
    """What does not fit is the same error everywhere; commits, branches and rows are what they were."""
    put(place.config(primary_key=["id"]), 1, 2)
    before = place.log()
    with pytest.raises(error, match=words):
        write(place.config(**{"primary_key": ["id"], **options}), frame)
    assert place.log() == before
    assert place.said("SELECT * FROM users ORDER BY id") == [["1", "1"], ["2", "4"]]
    assert place.branches() == ["main"]


@task
def populate(conf: DoltConfig, n: int) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"name": ["Alice", "George"], "count": [n, 2 * n]}))


@task
def double(users: DoltTable, conf: DoltConfig) -> DoltTable:
    return DoltTable(config=conf, data=users.data.assign(count=users.data["count"] * 2))


@workflow
def wf(users: DoltConfig, doubled: DoltConfig, n: int) -> DoltTable:
    return double(users=populate(conf=users, n=n), conf=doubled)


def test_lineage(place: Place) -> None:
    """What a table was made of, and by which execution, is followed to the commits, wherever they are."""
    branch = NewBranch("run/1")
    made = wf(users=place.config(branch_conf=branch), doubled=place.config("doubled", branch_conf=branch), n=2)
    found = lineage(made)
    assert [step.commit.hash for step in found.steps] == place.log("run/1")[:2]
    assert [(link.made, link.read.name) for link in found.above] == [(hash_of(made), "users")]
    assert found.gaps == ()
    execution = execution_of(made)
    assert execution is not None
    assert execution.id == "ex:local:local:local"


def test_two_tasks(place: Place) -> None:
    """A workflow's second task reads what the first has written; each output is a commit that names the execution."""
    branch = NewBranch("run/1")
    made = wf(users=place.config(branch_conf=branch), doubled=place.config("doubled", branch_conf=branch), n=2)
    assert sorted(made.data["count"]) == [4, 8]
    assert place.said("SELECT * FROM doubled ORDER BY name", branch="run/1") == [["Alice", "4"], ["George", "8"]]
    log = place.said("SELECT commit_hash, message FROM dolt_log LIMIT 2", branch="run/1")
    assert log[0][0] == hash_of(made)
    assert all("Generated by Flyte execution id: ex:local:local:local" in message for _, message in log)
    changed = place.said("SELECT table_name FROM dolt_diff LIMIT 2", branch="run/1")
    assert changed == [["doubled"], ["users"]]


KINDS = pd.DataFrame(
    {
        "id": range(3),
        "big": pd.Series([2**64 - 1, 0, 1], dtype="uint64"),
        "small": pd.Series([-128, 127, 0], dtype="int8"),
        "maybe": pd.Series([1, None, 2**53 + 1], dtype="Int64"),
        "single": pd.Series([0.1, -0.0, 1e30], dtype="float32"),
        "text": ["", None, "NULL\t\\N\n'\"\\ 🐇"],
        "bytes": [b"\x00\xff", None, b""],
        "exact": [Decimal("12345678901234567890.12"), None, Decimal("-0.01")],
        "day": [date(1000, 1, 1), None, date(9999, 12, 31)],
        "at": [time(23, 59, 59, 999999), None, time(0)],
        "moment": pd.to_datetime(["2024-03-31T01:30:00.000001Z", None, "1969-12-31T23:59:59.000000Z"], utc=True),
        "kind": pd.Categorical(["a", None, "b"], categories=["b", "a", "c"]),
    }
)


@pytest.mark.parametrize("library", ["pandas", "arrow", "polars"])
def test_types(place: Place, tmp_path: Path, library: str) -> None:
    """Values of every kind come back as they were, and make the very table that they make in any other place."""
    frames: dict[str, Any] = {"pandas": KINDS}
    frames["arrow"] = pa.Table.from_pandas(KINDS.drop(columns=["kind"]), preserve_index=False)
    frames["polars"] = pl.from_arrow(frames["arrow"])
    frame = frames[library]
    made = write(place.config(primary_key=["id"]), frame)
    reference = create_repository(tmp_path / "reference", name="Eve", email="eve@x.org")
    assert content_of(made) == content_of(write(DoltConfig(str(reference), "users", primary_key=["id"]), frame))
    local_server.release(reference)
    if library == "pandas":
        pd.testing.assert_frame_equal(read(place.config()), frame)
    else:
        found = TypeEngine.to_python_value(
            FlyteContextManager.current_context(),
            TypeEngine.to_literal(
                FlyteContextManager.current_context(),
                StructuredDataset(uri=dolt_uri(made)),
                StructuredDataset,
                TypeEngine.to_literal_type(StructuredDataset),
            ),
            type(frame),
        )
        found = found.cast(frame.schema) if library == "arrow" else found  # long text and short text are one
        assert found.equals(frame)
    assert place.said("SELECT big, HEX(bytes), exact, moment FROM users WHERE id = 0") == [
        ["18446744073709551615", "00FF", "12345678901234567890.12", "2024-03-31 01:30:00.000001"]
    ]


def test_rows_that_occur_twice(place: Place) -> None:
    """A table without a key keeps equal rows as often as they were given, in every mode."""
    config = place.config("log")
    write(config, pd.DataFrame({"a": [1, 1, 2]}))
    write(place.config("log", mode="append"), pd.DataFrame({"a": [1]}))
    assert place.said("SELECT a, COUNT(*) FROM `log` GROUP BY a ORDER BY a") == [["1", "3"], ["2", "1"]]
    write(config, pd.DataFrame({"a": [2, 2]}))
    assert read(config)["a"].tolist() == [2, 2]
    write(place.config("log"), pd.DataFrame({"a": pd.Series([], dtype="int64")}))
    assert read(config)["a"].tolist() == []
    assert place.said("SELECT COUNT(*) FROM `log`") == [["0"]]


def test_a_schema_that_grows(place: Place) -> None:
    """`evolve` adds columns and widens types, and the rows before it are read at their commit as they were."""
    before = write(place.config(primary_key=["id"]), pd.DataFrame({"id": [1], "n": pd.Series([1], dtype="int8")}))
    wide = pd.DataFrame({"id": [1, 2], "n": [1, 2**40], "note": [None, "new"]})
    write(place.config(on_schema_change="evolve"), wide)
    pd.testing.assert_frame_equal(read(place.config()), wide)
    assert list(DoltTable.from_json(before.to_json()).data) == ["id", "n"]
    columns = {row[0]: row[1] for row in place.said("DESCRIBE users")}
    assert columns["n"] == "bigint"
    assert list(columns) == ["id", "n", "note"]


def test_rows_in_parts(place: Place) -> None:
    """A large table is read in parts, in pandas and in Arrow, in the asked order and with the asked columns alone."""
    rows = pd.DataFrame({"id": range(2500), "square": [n * n for n in range(2500)]})
    config = place.config(primary_key=["id"])
    table = write(config, rows)
    parts = list(table.iter(batch_rows=1000))
    assert len(parts) > 1
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), rows)
    with table.open(columns=["square"]) as reader:
        assert reader.schema.names == ["square"]
        assert reader.read_all()["square"].to_pylist() == rows["square"].tolist()
    shuffled = read(place.config(columns=["id"], order_by=["square"]))
    assert shuffled.to_dict("list") == {"id": rows["id"].tolist()}


@task
def tall(trees: pl.LazyFrame, uri: str) -> StructuredDataset:
    return StructuredDataset(dataframe=trees.filter(pl.col("height") > 1), uri=uri)


@task
def names(plain: pd.DataFrame, arrow: pa.Table, narrow: Annotated[pl.DataFrame, kwtypes(name=str)]) -> str:
    return f"{plain['name'].tolist()} {arrow.num_rows} {narrow.columns}"


@workflow
def of_frames(trees: StructuredDataset, uri: str) -> str:
    made = tall(trees=trees, uri=uri)
    return names(plain=made, arrow=trees, narrow=made)


def test_plain_frames_by_address(place: Place) -> None:
    """Tasks that know of frames alone read and write by addresses; what is written is a commit of the execution."""
    write(place.config(primary_key=["name"]), pd.DataFrame({"name": ["elm", "oak"], "height": [1, 2]}))
    target = dolt_uri(place.config("tall", branch_conf=NewBranch("run/1")))
    assert of_frames(trees=StructuredDataset(uri=dolt_uri(place.config())), uri=target) == "['oak'] 2 ['name']"
    assert place.said("SELECT * FROM tall", branch="run/1") == [["oak", "2"]]
    ((message,),) = place.said("SELECT message FROM dolt_log LIMIT 1", branch="run/1")
    assert "ex:local:local:local" in message
    assert "Flyte-Read" in message


@task
def part(n: int, conf: DoltConfig) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"part": [n]}))


@workflow
def mapped(parts: list[int], conf: DoltConfig) -> list[DoltTable]:
    return map_task(functools.partial(part, conf=conf))(n=parts)


def test_a_map_task_and_threads(place: Place) -> None:
    """Indices of a map task, and threads at the same time, append to one table: a commit each, none lost or doubled."""
    config = place.config("parts", mode="append")
    made = mapped(parts=[0, 1, 2], conf=config)
    assert [len(table.data) for table in made] == [1, 2, 3]

    def append(n: int) -> str:
        return hash_of(write(place.config("parts", mode="append"), pd.DataFrame({"part": [n]})))

    with ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(append, range(3, 7)))
    assert place.said("SELECT part FROM parts ORDER BY part") == [[str(n)] for n in range(7)]
    assert sorted(place.log()[:7]) == sorted([*hashes, *map(hash_of, made)])


ran: list[int] = []


@task(cache=True, cache_version="1")
def total(table: DoltTable) -> int:
    ran.append(1)
    return int(table.data["square"].sum())


@task
def squares(conf: DoltConfig, numbers: list[int]) -> Annotated[DoltTable, content_hash]:
    return DoltTable(conf, pd.DataFrame({"id": numbers, "square": [n * n for n in numbers]}))


@workflow
def summed(conf: DoltConfig, numbers: list[int]) -> int:
    return total(table=squares(conf=conf, numbers=numbers))


@workflow
def pinned(conf: DoltConfig) -> int:
    return total(table=resolve(config=conf))


@pytest.fixture
def _cache() -> Iterator[None]:
    """Give an empty local cache, and close the database of it."""
    LocalTaskCache.clear()
    ran.clear()
    yield
    LocalTaskCache._cache.close()
    LocalTaskCache._initialized = False


@pytest.mark.usefixtures("_cache")
def test_cached_tasks(place: Place) -> None:
    """Equal content is a hit on any branch and other content a miss; a resolved query is a hit until rows change."""
    run = place.config(branch_conf=NewBranch("run/1"), primary_key=["id"])
    assert [summed(conf=conf, numbers=[1, 2]) for conf in (run, place.config(primary_key=["id"]), run)] == [5, 5, 5]
    assert len(ran) == 1
    assert summed(conf=run, numbers=[1, 3]) == 10
    assert len(ran) == 2
    query = place.config(None, sql="SELECT square FROM users")
    assert [pinned(conf=query), pinned(conf=query)] == [5, 5]
    assert len(ran) == 3
    put(place.config(), 4)
    assert pinned(conf=query) == 16
    assert len(ran) == 4


def test_changes_are_consumed_once(place: Place) -> None:
    """What is new since the last time is handed on, and each change is in the consumer's table exactly once."""
    sink = place.config("seen", mode="append")
    for numbers in ((1, 2), (1, 2), (1, 2, 3)):
        put(place.config(primary_key=["id"]), *numbers)
        new = pin(place.config(changes=Changes(since=LAST_CONSUMED, kinds=("added",), into=sink)))
        write(sink, new.data[["id"]], consumed=new)
    assert place.said("SELECT id FROM seen ORDER BY id") == [["1"], ["2"], ["3"]]


def test_versions_and_differences(place: Place) -> None:
    """The versions of a table, its first one, and what differs between two of them, are those that `dolt` has."""
    config = place.config(primary_key=["id"])
    hashes = [put(config, *numbers) for numbers in ((1, 2), (2, 3), (2, 3, 4))]
    put(place.config("others"), 1)
    found = versions(config)
    assert [hash_of(version) for version in found] == hashes[::-1]
    assert first_appeared(config).hash == hashes[0]
    changed = diff(found[2], found[0])
    assert (changed.added, changed.modified, changed.removed) == (2, 0, 1)
    said = place.said(f"SELECT diff_type, COUNT(*) FROM dolt_diff('{hashes[0]}', '{hashes[2]}', 'users') GROUP BY 1")
    assert sorted(said) == [["added", "2"], ["removed", "1"]]


def test_the_deck(place: Place) -> None:
    """A deck of a written table names its commit and what that changed."""
    put(place.config(primary_key=["id"]), 1)
    put(place.config(), 1, 2)
    page = TypeEngine.to_html(FlyteContextManager.current_context(), pin(place.config()), DoltTable)
    assert place.log()[0] in page
    assert "1 row added" in page or "+1" in page


def test_what_was_read_and_changed_meets_what_others_wrote(place: Place) -> None:
    """The row that is removed goes, the one that came meanwhile stays; a row that both changed is a conflict."""
    main = place.config(primary_key=["id"])
    write(main, pd.DataFrame({"id": [1, 2], "n": [10, 20]}))
    seen = pin(main)
    write(place.config(mode="append"), pd.DataFrame({"id": [3], "n": [30]}))
    write(main, seen.data.iloc[1:].reset_index(drop=True), based_on=seen)
    assert sorted(place.said("SELECT id, n FROM users")) == [["2", "20"], ["3", "30"]]
    write(place.config(mode="upsert"), pd.DataFrame({"id": [2], "n": [25]}))
    before = place.log()
    with pytest.raises(MergeConflict) as caught:
        write(main, pd.DataFrame({"id": [1, 2], "n": [10, 21]}), based_on=seen)
    (conflict,) = caught.value.conflicts
    assert [side["n"] for side in conflict.rows[0].values()] == [20, 25, 21]
    assert place.log() == before
