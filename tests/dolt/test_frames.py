"""The doors without Flyte: read, write, iterate; bad input is one clear error, and nothing has changed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import (
    DoltConfig,
    DoltTable,
    NewBranch,
    SerialBranch,
    api,
    create_repository,
    errors,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.api import frames
from flytekitplugins.dolt.api.table import has_unsaved_rows
from flytekitplugins.dolt.repository import refs

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
FRAME = pd.DataFrame({"name": ["George", "Alice"], "count": [1, 6]})


def test_write_returns_the_reference_and_read_gives_the_rows(config: Config) -> None:
    """What write returns names the commit; read gives the branch's rows as they are now."""
    table = write(config("t", primary_key=["name"]), FRAME)
    assert table.commit is not None
    assert (len(table.commit.hash), table.commit.branch) == (32, "main")
    write(config("t"), FRAME.assign(count=0))
    pd.testing.assert_frame_equal(
        DoltTable.from_dict(table.to_dict()).data, FRAME.sort_values("name", ignore_index=True)
    )
    assert read(config("t"))["count"].tolist() == [0, 0]


def test_the_name_of_the_columns_comes_back(config: Config) -> None:
    """A pivot names its columns; the same pivot again makes no commit."""
    long = pd.DataFrame({"day": ["x", "y"], "kind": ["a", "b"], "n": [1, 2]})
    wide = long.pivot(index="day", columns="kind", values="n")
    written = write(config("t", primary_key=["day"]), wide)
    pd.testing.assert_frame_equal(read(config("t")), wide)
    assert read(config("t")).columns.name == "kind"
    assert write(config("t"), read(config("t"))).commit == written.commit
    assert read(config("t", columns=["a"])).columns.name == "kind"


@pytest.mark.parametrize("freq", ["D", "B", "2h", "MS", "W-SUN", "30min"])
def test_the_frequency_of_the_index_comes_back(config: Config, freq: str) -> None:
    """It does so while it holds for the rows that are there, and no row is refused for it."""
    times = pd.date_range("2024-01-01", periods=4, freq=freq, name="at")
    frame = pd.DataFrame({"n": range(4)}, index=times)
    written = write(config("t", primary_key=["at"]), frame[:2])
    assert read(config("t")).index.freq == times.freq
    assert write(config("t"), read(config("t"))).commit == written.commit
    write(config("t", mode="append"), frame[2:3])
    assert read(config("t")).index.freq == times.freq
    write(config("t", mode="append"), pd.DataFrame({"n": [9]}, index=times[:1].rename("at") - pd.Timedelta("77s")))
    assert read(config("t")).index.freq is None
    assert read(config("t"))["n"].tolist() == [9, 0, 1, 2]


def test_the_frequency_of_spans_comes_back_and_a_calendar_does_not(config: Config) -> None:
    """The name of a frequency says nothing of the holidays that it leaves out."""
    spans = pd.DataFrame({"n": [1, 2]}, index=pd.timedelta_range("1h", periods=2, freq="h", name="after"))
    write(config("spans", primary_key=["after"]), spans)
    assert read(config("spans")).index.freq == spans.index.freq
    workdays = pd.offsets.CustomBusinessDay(holidays=["2024-01-02"])
    days = pd.DataFrame({"n": [1, 2]}, index=pd.date_range("2024-01-01", periods=2, freq=workdays, name="day"))
    write(config("days", primary_key=["day"]), days)
    assert read(config("days")).index.freq is None
    assert read(config("days")).index.tolist() == days.index.tolist()


@pytest.mark.skipif(int(pd.__version__.split(".")[0]) < 3, reason="before pandas 3 a copy shares what is changed")
def test_a_table_that_is_passed_on_is_not_read_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether rows were changed is known without reading them a second time; a change of any of them is seen."""
    frame = pd.DataFrame({"name": ["George", "Alice"], "level": pd.Categorical(["x", "y"]), "count": [1, 6]})
    written = write(config("t", primary_key=["name"]), frame)
    reads: list[object] = []
    load = frames.load
    monkeypatch.setattr(frames, "load", lambda *given, **options: reads.append(given) or load(*given, **options))
    table = pin(config("t"))
    for known in (written, table):
        assert len(known.data) == 2
        known_at = len(reads)
        assert not has_unsaved_rows(known)
        assert len(reads) == known_at
    table.data.loc[0, "level"] = "x"
    assert has_unsaved_rows(table)
    assert not has_unsaved_rows(pickle.loads(pickle.dumps(written)))


def test_the_message_can_be_given(config: Config, repo: Path) -> None:
    """A script names its commit, quotes and all."""
    write(config("t"), FRAME, message='it\'s "mine"; -- 100%\n\nreally')
    assert refs.log(repo, limit=1)[0].message == 'it\'s "mine"; -- 100%\n\nreally'


def test_a_branch_is_read_and_written_alone(config: Config) -> None:
    """Branches do not see each other's rows."""
    write(config("t"), FRAME)
    write(config("t", branch_conf=NewBranch("run/1")), FRAME.assign(count=9))
    assert read(config("t"))["count"].tolist() != [9, 9]
    assert read(config("t", branch_conf=SerialBranch("run/1")))["count"].tolist() == [9, 9]


@pytest.mark.parametrize(
    "call",
    [
        lambda config: write(FRAME, config),
        lambda config: DoltTable(FRAME, config),
        lambda config: write(FRAME, FRAME),
        lambda config: pin(FRAME),
        lambda config: read(FRAME),
    ],
    ids=["write", "DoltTable", "write twice", "pin", "read"],
)
def test_what_is_no_config_is_refused_with_the_order_of_arguments(config: Config, call: Callable[..., object]) -> None:
    """A frame where the config belongs is one clear error, and nothing is written."""
    with pytest.raises(errors.InvalidConfig, match=r"DataFrame.*DoltConfig\(db_path=\.\.\."):
        call(config("t"))
    with pytest.raises(errors.TableNotFound, match="'t'"):
        read(config("t"))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from t where `count` > 5", [("Alice", 6)]),
        ("select * from t where `count` > 5; ", [("Alice", 6)]),
        ("select name, count from t order by count desc limit 1 -- the most", [("Alice", 6)]),
        ("with q as (select * from t) select count(*) from q", [(2,)]),
        ("select t.name, u.count from t join t u on t.name = u.name where u.count = 1", [("George", 1)]),
        ("select name, sum(count) over () s from t where name = 'Alice'", [("Alice", 6)]),
        ("select name, name from t where count = 1", [("George", "George")]),
        ("select 1 union select 2", [(1,), (2,)]),
        ("show columns from t where field = 'count'", [("count", "bigint", "YES", "", None, "")]),
        ("select count(*) from t as of 'HEAD~1'", [(1,)]),
        ("select count(*) from t as of hashof('main')", [(2,)]),
        ("select message from dolt_log limit 1", [("Written by flytekitplugins.dolt",)]),
        ("select to_name, diff_type from dolt_diff_t where to_name = 'Alice'", [("Alice", "added")]),
        ("select cast('12.50' as decimal(10,2)) d, timediff('10:00:00', '08:30:00') t", [("12.50", "0 days 01:30:00")]),
        ("select * from t where false", []),
    ],
)  # fmt: skip
def test_a_query_gives_its_rows(config: Config, sql: str, expected: list[tuple[object, ...]]) -> None:
    """Any single statement that gives rows can be an input: CTE, joins, windows, AS OF, system tables, SHOW."""
    write(config("t"), FRAME.head(1))
    write(config("t"), FRAME)
    found = [tuple(row) for row in read(config(sql=sql)).astype(object).itertuples(index=False, name=None)]
    known = [
        tuple(None if v is None or v != v else v if isinstance(v, (int, str)) else str(v) for v in row) for row in found
    ]
    assert known == expected


def test_decimals_of_a_query_are_decimals(config: Config) -> None:
    """No digit is lost to a float on the way. (Dolt itself computes SUM and AVG as DOUBLE.)"""
    found = read(config(sql="select cast('12345678901234567890.0123456789' as decimal(38,10)) d"))
    assert str(found.d[0]) == "12345678901234567890.0123456789"


class TestIter:
    def test_it_gives_all_rows_in_parts(self, config: Config) -> None:
        """The parts together are the table, in its order, with its dtypes."""
        frame = pd.DataFrame({"id": range(10_000), "c": pd.Categorical(["a", "b"] * 5000)})
        table = write(config("t", primary_key=["id"]), frame)
        reference = DoltTable.from_dict(table.to_dict())
        parts = list(reference.iter(batch_rows=3000))
        assert len(parts) >= 3
        assert max(map(len, parts)) <= 3000
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), frame)
        assert not reference.is_loaded

    def test_columns_can_be_chosen(self, config: Config) -> None:
        """Only the columns that are asked for are read."""
        table = write(config("t"), FRAME)
        assert [list(part.columns) for part in table.iter(columns=["count"])] == [["count"]]

    def test_an_empty_table_gives_its_columns(self, config: Config) -> None:
        """Zero rows are one part without rows."""
        table = write(config("t"), FRAME.head(0))
        (part,) = table.iter()
        pd.testing.assert_frame_equal(part, FRAME.head(0))

    def test_leaving_early_leaves_nothing_open(self, config: Config) -> None:
        """A loop that breaks is no harm to what comes next."""
        table = write(config("t"), pd.DataFrame({"id": range(50_000)}))
        for part in table.iter(batch_rows=1000):
            assert len(part)
            break
        assert len(read(config("t"))) == 50_000

    def test_it_opens_as_arrow(self, config: Config) -> None:
        """open() gives a record batch reader with the rows in batches."""
        table = write(config("t", primary_key=["id"]), pd.DataFrame({"id": range(10_000), "s": "x"}))
        with table.open(batch_rows=3000, columns=["id"]) as reader:
            assert reader.schema.names == ["id"]
            assert reader.read_all().column("id").to_pylist() == list(range(10_000))

    def test_a_query_has_no_parts(self, config: Config) -> None:
        """The rows of a query come by data."""
        table = api.pin(config(sql="select 1"))
        with pytest.raises(errors.InvalidConfig, match="query"):
            next(table.iter())


class TestBadInput:
    @pytest.mark.parametrize("what", ["nothing", "empty", "inside", "file"])
    def test_what_is_no_repository_is_refused(self, tmp_path: Path, what: str) -> None:
        """A missing folder, an empty one, one inside somebody else's repository, a file: said, and nothing made."""
        place = tmp_path / "x"
        words = "folder"
        if what == "empty":
            place.mkdir()
            words = "Dolt repository"
        elif what == "inside":
            place = create_repository(tmp_path / "theirs", name="A", email="a@b.c") / "x"
            place.mkdir()
            words = "inside"
        elif what == "file":
            place.write_text("x")
            words = "Dolt repository"
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(errors.RepositoryNotFound, match=f"{words}.*create_repository"):
            write(DoltConfig(str(place), "t"), FRAME)
        assert sorted(tmp_path.rglob("*")) == before

    def test_an_unknown_table_is_refused(self, config: Config) -> None:
        """The error offers what is there."""
        write(config("rabbits"), FRAME)
        with pytest.raises(errors.TableNotFound, match="'rabbits'.*'rabbits'"):
            read(config("rabbit"))

    @pytest.mark.parametrize(
        ("sql", "error", "words"),
        [
            ("select * fro t", errors.QueryRefused, r"'select \* fro t'.*the parser.*'t'"),
            ("select nope(1)", errors.QueryFailed, r"'select nope\(1\)'"),
            ("select * from nope", errors.TableNotFound, "table not found: nope"),
            ("select * from t as of 'nope'", errors.RevisionNotFound, "branch not found"),
            ("select x from t", errors.QueryFailed, "x"),
        ],
    )
    def test_a_wrong_query_is_refused(self, config: Config, sql: str, error: type[Exception], words: str) -> None:
        """The error shows the query and what the server says."""
        write(config("t"), FRAME)
        with pytest.raises(error, match=words):
            read(config(sql=sql))

    def test_a_query_cannot_be_written(self, config: Config) -> None:
        """Data needs a table."""
        with pytest.raises(errors.InvalidConfig, match="sql"):
            write(config(sql="select 1"), FRAME)

    def test_what_is_no_frame_is_refused(self, config: Config) -> None:
        """Data is a pandas DataFrame."""
        with pytest.raises(errors.UnsupportedFrame, match="list"):
            write(config("t"), [1, 2])  # type: ignore[arg-type]

    def test_a_commit_of_another_clone_is_refused(self, config: Config) -> None:
        """A reference to a commit that the repository does not hold says so."""
        write(config("t"), FRAME)
        lost = DoltTable(config=config("t")).at(refs.Commit("0" * 32))
        with pytest.raises(errors.RevisionNotFound, match="clone"):
            _ = lost.data

    def test_zero_rows_are_data(self, config: Config) -> None:
        """An empty frame makes a table with its columns, and empties one that has rows."""
        write(config("t"), FRAME.head(0))
        pd.testing.assert_frame_equal(read(config("t")), FRAME.head(0))
        write(config("t"), FRAME)
        write(config("t"), FRAME.head(0))
        assert read(config("t")).empty


def test_a_warning_shows_the_users_line(config: Config) -> None:
    """It stands at the line that wrote the frame, whatever lies between."""
    frame = pd.DataFrame({"n": [3, 1]}, index=[5, 6])
    with pytest.warns(UserWarning, match="index") as index, pytest.warns(errors.RowOrderWarning) as order:
        write(config("warned_of"), frame)
    assert {Path(warning.filename).name for warning in (*index, *order)} == {Path(__file__).name}
