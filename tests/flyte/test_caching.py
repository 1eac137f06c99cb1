"""Flyte's cache over tables: equal content is a hit wherever it is, other content a miss; what moves is told."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
import pytest
from flytekit import task, workflow
from flytekit.core.local_cache import LocalTaskCache
from flytekit.types.structured import StructuredDataset
from letting_go import let_go

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    NewBranch,
    SerialBranch,
    content_hash,
    create_repository,
    dolt_frame,
    dolt_uri,
    errors,
    read,
    resolve,
    write,
)
from flytekitplugins.dolt.flyte.cache import content_digest
from flytekitplugins.dolt.server import local_server

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Give each test an empty local cache, and close the database of it."""
    LocalTaskCache.clear()
    yield
    LocalTaskCache._cache.close()
    LocalTaskCache._initialized = False


ran: list[str] = []


@task
def produce(conf: DoltConfig, rows: list[int]) -> Annotated[DoltTable, content_hash]:
    return DoltTable(config=conf, data=pd.DataFrame({"a": rows}))


@task
def produce_plainly(conf: DoltConfig, rows: list[int]) -> DoltTable:
    return DoltTable(config=conf, data=pd.DataFrame({"a": rows}))


@task(cache=True, cache_version="1")
def total(table: DoltTable) -> int:
    ran.append(str(table.commit))
    return int(table.data["a"].sum())


@workflow
def by_content(conf: DoltConfig, rows: list[int]) -> int:
    return total(table=produce(conf=conf, rows=rows))


@workflow
def by_commit(conf: DoltConfig, rows: list[int]) -> int:
    return total(table=produce_plainly(conf=conf, rows=rows))


@workflow
def pinned(conf: DoltConfig) -> int:
    return total(table=resolve(config=conf))


def runs() -> int:
    """Return how often `total` ran since this was asked last."""
    found = len(ran)
    ran.clear()
    return found


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    ran.clear()


def test_equal_content_is_a_hit_whichever_branch_or_commit_it_came_from(config: Config, dolt: Dolt) -> None:
    """A cached task is not run again for the same rows on another branch, in a later commit, or after a way back."""
    assert by_content(conf=config("t"), rows=[1, 2]) == 3
    assert by_content(conf=config("t", branch_conf=NewBranch("other")), rows=[1, 2]) == 3
    write(config("unrelated"), pd.DataFrame({"x": [1]}))
    assert by_content(conf=config("t"), rows=[1, 2]) == 3
    assert runs() == 1
    assert by_content(conf=config("t"), rows=[1, 2, 3]) == 6
    assert runs() == 1
    assert by_content(conf=config("t"), rows=[2, 1]) == 3
    assert runs() == 0
    assert dolt("diff", "main", "other", "t") == ""
    assert dolt("log", "main", "-n", "1") != dolt("log", "other", "-n", "1")


def test_without_the_hash_it_is_the_commit_that_counts(config: Config, dolt: Dolt) -> None:
    """The literal alone is a hit for the same commit, and a miss for another one with the same rows."""
    assert [by_commit(conf=config("t"), rows=[1]) for _ in range(2)] == [1, 1]
    assert runs() == 1
    assert by_commit(conf=config("t"), rows=[2]) == 2
    assert by_commit(conf=config("t"), rows=[1]) == 1
    assert runs() == 2
    assert dolt("sql", "-r", "csv", "-q", "select count(*) from dolt_log").split()[1] == "4"


def test_another_schema_is_other_content(config: Config) -> None:
    """The same numbers in another type are not the same table; another selection of columns is another value."""
    one = write(config("t"), pd.DataFrame({"a": [1]}))
    two = write(config("t", on_schema_change="replace"), pd.DataFrame({"a": [1.0]}))
    again = write(config("t", on_schema_change="replace"), pd.DataFrame({"a": [1]}))
    narrow = DoltTable(config("t", columns=["a"])).at(one.commit)  # type: ignore[arg-type]
    assert content_digest(one) != content_digest(two)
    assert content_digest(one) == content_digest(again)
    assert content_digest(narrow) != content_digest(one)


def test_a_frame_is_hashed_like_its_table(config: Config) -> None:
    """Plain frames and datasets in Dolt take the same annotation, and have the hash of the table."""
    kind = Annotated[pd.DataFrame, dolt_frame(config("t")), content_hash]
    other = Annotated[pa.Table, dolt_frame(config("t", branch_conf=NewBranch("other"))), content_hash]
    uri = dolt_uri(config("t", branch_conf=NewBranch("third")))

    @task
    def frame(rows: list[int]) -> kind:  # type: ignore[valid-type]
        return pd.DataFrame({"a": rows})

    @task
    def arrow(rows: list[int]) -> other:  # type: ignore[valid-type]
        return pa.table({"a": rows})

    @task
    def dataset(rows: list[int]) -> Annotated[StructuredDataset, content_hash]:
        return StructuredDataset(dataframe=pd.DataFrame({"a": rows}), uri=uri)

    @task(cache=True, cache_version="1")
    def count(frame: pd.DataFrame) -> int:
        ran.append("")
        return len(frame)

    @workflow
    def wf(rows: list[int]) -> tuple[int, int, int]:
        return count(frame=frame(rows=rows)), count(frame=arrow(rows=rows)), count(frame=dataset(rows=rows))

    assert wf(rows=[1, 2]) == (2, 2, 2)
    assert runs() == 1
    assert wf(rows=[1, 2, 3]) == (3, 3, 3)
    assert runs() == 1


def test_what_no_commit_holds_has_no_hash(config: Config) -> None:
    """A frame that went elsewhere, or a table that was not resolved, is refused with what to do."""
    with pytest.raises(errors.InvalidConfig, match="'DataFrame'"):
        content_digest(pd.DataFrame({"a": [1]}))
    with pytest.raises(errors.InvalidConfig, match="commit.*resolve"):
        content_digest(DoltTable(config("t")))


def test_a_cached_task_that_gets_a_query_is_stale_and_warned_about(config: Config, dolt: Dolt) -> None:
    """The first run says that the next ones will be stale, once; they are, which is why it says so."""
    write(config("t"), pd.DataFrame({"a": [1]}))
    query = DoltTable(config=config(sql="select * from t"))
    with pytest.warns(UserWarning, match=r"total.*commit.*resolve\(config"):
        assert total(table=query) == 1
    write(config("t"), pd.DataFrame({"a": [5]}))
    assert total(table=query) == 1
    assert dolt("sql", "-r", "csv", "-q", "select * from t").split()[1] == "5"
    assert runs() == 1


def test_no_warning_without_a_cache_or_with_a_commit(config: Config) -> None:
    """A task that is not cached, or a table that has a commit, is nothing to warn about (warnings are errors here)."""
    table = write(config("t"), pd.DataFrame({"a": [1]}))

    @task
    def uncached(table: DoltTable) -> int:
        return len(table.data)

    assert uncached(table=DoltTable(config=config("t"))) == 1
    assert total(table=table) == 1
    assert pinned(conf=config("t")) == 1


def test_resolve_pins_a_query_so_that_a_cached_task_is_right(config: Config, dolt: Dolt) -> None:
    """With `resolve` before it the cached task runs when the rows changed, and only then."""
    write(config("t"), pd.DataFrame({"a": [1]}))
    assert [pinned(conf=config("t")) for _ in range(2)] == [1, 1]
    assert runs() == 1
    write(config("unrelated"), pd.DataFrame({"x": [1]}))
    assert pinned(conf=config("t")) == 1
    assert runs() == 0
    write(config("t"), pd.DataFrame({"a": [5]}))
    assert pinned(conf=config("t")) == 5
    assert pinned(conf=config(sql="select a + 1 as a from t", branch_conf=SerialBranch("main"))) == 6
    assert runs() == 2
    assert dolt("branch").split() == ["*", "main"]


def test_resolve_is_a_task_of_an_importable_module(config: Config, repo: Path) -> None:
    """On a cluster the task is loaded by the name of its module, which is there wherever the package is."""
    assert resolve.name == "flytekitplugins.dolt.pinning.resolve"
    write(config("t"), pd.DataFrame({"a": [1]}))
    found = resolve(config=config("t"))
    assert found.commit is not None
    assert found.config.db_path == str(repo)


def test_a_cached_task_that_gets_a_config_is_warned_about(config: Config) -> None:
    """A config has no commit either, by itself and in a list; one whose `as_of` is a commit means the same for ever."""
    table = write(config("t"), pd.DataFrame({"a": [1]}))
    assert table.commit is not None

    @task(cache=True, cache_version="1")
    def first(conf: DoltConfig) -> int:
        return int(read(conf)["a"][0])

    @task(cache=True, cache_version="1")
    def firsts(confs: list[DoltConfig]) -> list[int]:
        return [int(read(conf)["a"][0]) for conf in confs]

    with pytest.warns(UserWarning, match=r"first.*config.*'t'.*commit.*resolve\(config"):
        assert first(conf=config("t")) == 1
    with pytest.warns(UserWarning, match=r"firsts.*config.*query.*commit"):
        assert firsts(confs=[config(sql="select a from t")]) == [1]
    assert first(conf=config("t", as_of=table.commit.hash)) == 1


@pytest.mark.parametrize("anew", [False, True])
def test_a_cached_table_of_a_repository_that_is_gone(tmp_path: Path, anew: bool) -> None:
    """The error names the cache, which still refers to the repository as it was, and how it is cleared."""
    path = create_repository(tmp_path / "gone")

    @task(cache=True, cache_version="1")
    def make(n: int) -> DoltTable:
        return DoltTable(DoltConfig(str(path), "t"), pd.DataFrame({"a": [n]}))

    @workflow
    def wf(n: int) -> DoltTable:
        return make(n=n)

    made = wf(n=1)
    let_go(path)
    shutil.rmtree(path)
    if anew:
        create_repository(path)
    kind = errors.RevisionNotFound if anew else errors.RepositoryNotFound
    with pytest.raises(kind, match="gone.*`pyflyte local-cache clear`") as caught:
        _ = wf(n=1).data
    assert made.commit is not None
    assert caught.value.revision == made.commit.hash if anew else caught.value.path == path
    with pytest.raises(kind, match="`pyflyte local-cache clear`"):
        list(wf(n=1).iter())
    if not anew:
        with pytest.raises(kind) as other:
            read(DoltConfig(str(path), "t"))
        assert "pyflyte" not in str(other.value)  # no cache has to do with that
    local_server.release(path)
