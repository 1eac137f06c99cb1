"""By SQL, writing what differs gives exactly what writing everything gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, create_repository, write
from flytekitplugins.dolt.codec import pandas_frames
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.server import procedures
from flytekitplugins.dolt.tables import reading, writing

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


@pytest.fixture(scope="module", autouse=True)
def _by_sql() -> Iterator[None]:
    """Have no rows go natively, where nothing is compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(procedures.SWITCH, "0")
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one repository for many examples."""
    return create_repository(tmp_path_factory.mktemp("changes") / "foo", name="A", email="a@b.c")


COUNTER = itertools.count()
KEYED = [writing.WriteOptions(key=("a",)), writing.WriteOptions(key=("c", "a"))]


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.001, 0.05, 0.15]),
    options=st.sampled_from(KEYED),
    shuffled=st.booleans(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_stored_content_is_that_of_a_full_rewrite(
    shared: Path, seed: int, share: float, options: writing.WriteOptions, shuffled: bool
) -> None:
    """dolt_hashof_table after writing what differs equals that of a table written anew."""
    random = np.random.default_rng(seed)
    old = frame(random, 3000)
    new = old.copy()
    hit = random.random(len(new)) < share
    new.loc[hit, "v"] = random.random(hit.sum())
    new = new[random.random(len(new)) >= share / 3]
    extra = frame(random, int(3000 * share / 3))
    extra["a"] += 10_000
    new = pd.concat([new, extra], ignore_index=True)
    if shuffled:
        new = new.sample(frac=1, random_state=seed % 1000).reset_index(drop=True)
    name = f"t{next(COUNTER)}"
    with connect(shared) as connection:
        writing.TableWrite.of(name, old, options).apply(connection)
        connection.execute("COMMIT")
        existing = reading.describe(connection, name)
        assert existing is not None
        found = writing._differences(connection, name, pandas_frames.encode(new).arrow, existing)
        assert found is not None, "this is not compared at all"
        assert found.count <= len(new) * (share * 2 + 0.01)
        writing.TableWrite.of(name, new, options).apply(connection)
        mine = hash_of(connection, name)
        connection.execute(f"DROP TABLE {name}")
        writing.TableWrite.of(name, new, options).apply(connection)
        assert hash_of(connection, name) == mine
        connection.execute(f"DROP TABLE {name}")


def frame(random: np.random.Generator, rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": random.permutation(rows),
            "c": random.choice(["", "a", "B", "é", "😀", "NULL", "x\ty"], rows),
            "v": np.where(random.random(rows) < 0.1, np.nan, random.random(rows)),
            "t": pd.to_datetime("2020-01-01") + pd.to_timedelta(random.integers(0, 10**12, rows), "us"),
            "b": random.random(rows) < 0.5,
        }
    )


def hash_of(connection: Any, name: str) -> str:
    return str(connection.query("SELECT dolt_hashof_table(%s)", name)[0][0])


def test_an_unchanged_frame_sends_no_row(repo: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the same frame again, in whatever order, sends the server no row and makes no commit."""
    random = np.random.default_rng(0)
    data = frame(random, 5000)
    sent: list[str] = []
    real = Connection.execute

    def run(self: Connection, sql: str, *parameters: object) -> int:
        sent.append(sql.split()[0])
        return real(self, sql, *parameters)

    monkeypatch.setattr(Connection, "execute", run)
    first = write(config("t", primary_key=["a"]), data)
    assert "LOAD" in sent
    sent.clear()
    assert write(config("t"), data.sample(frac=1, random_state=1).reset_index(drop=True)).commit == first.commit
    assert sent
    assert not {"LOAD", "INSERT", "REPLACE", "DELETE", "ALTER"} & set(sent)
    assert len(refs.log(repo)) == 2


def test_another_collation_is_written_anew(repo: Path, config: Config, dolt: Callable[..., str]) -> None:
    """Where the server sorts text in another way than Arrow, nothing is compared, and the result is right."""
    dolt(
        "sql", "-q",
        "create table t (k varchar(20) collate utf8mb4_0900_ai_ci primary key, v int); call dolt_commit('-Am', 'x')",
    )  # fmt: skip
    data = pd.DataFrame({"k": [f"{c}{n}" for n in range(1500) for c in "aB"], "v": 1})
    write(config("t"), data)
    data.loc[5, "v"] = 2
    write(config("t"), data)
    let_go(repo)
    assert dolt("sql", "-r", "csv", "-q", "select count(*), sum(v) from t").split() == ["count(*),sum(v)", "3000,3001"]
