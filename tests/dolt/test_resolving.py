"""Conflicts have a way out: one side, or the rows as they shall be; nothing else is touched, and nothing is guessed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, Repository, merge, read, write
from flytekitplugins.dolt.errors import (
    ConstraintViolated,
    DoltError,
    InvalidConfig,
    MergeConflict,
    SchemaMismatch,
    TableNotFound,
    UnsupportedFrame,
)
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.repository.refs import branches

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def put(config: DoltConfig, **columns: object) -> None:
    write(config, pd.DataFrame(columns))


def sql(repo: Path, *statements: str, on: str | None = None) -> None:
    """Run statements on a branch, and commit all."""
    with connect(repo) as connection, connection.at(on):
        for statement in statements:
            connection.execute(statement)
        connection.execute("CALL DOLT_COMMIT('-A', '-m', 'by hand', '--author', 'A <a@b.c>')")


def conflict_of(repo: Path, **options: Any) -> MergeConflict:
    with pytest.raises(MergeConflict) as caught:
        merge("side", db_path=repo, **options)
    return caught.value


@pytest.fixture
def table(config: Config) -> Iterator[Callable[..., DoltConfig]]:
    return lambda name="t", **options: config(name, primary_key=["id"], **options)


@pytest.fixture
def forked(repo: Path, table: Config) -> DoltConfig:
    """Give `t`: rows 1 to 3 in conflict (changed, deleted here, deleted there), 4 merged by cells, 5 and 6 added."""
    put(table(), id=[1, 2, 3, 4], v=[1, 2, 3, 4], w=["a", "b", "c", "d"])
    side = table(branch_conf=NewBranch("side"))
    put(side, id=[1, 2, 4, 6], v=[11, 12, 4, 6], w=["a", "b", "D", "f"])
    put(table(), id=[1, 3, 4, 5], v=[21, 23, 24, 5], w=["a", "c", "d", "e"])
    return table()


MERGED = {4: (24, "D"), 5: (5, "e"), 6: (6, "f")}
"""What becomes of the rows that are in no conflict."""


def rows(config: DoltConfig) -> dict[int, tuple[int, str]]:
    return {row.id: (row.v, row.w) for row in read(config).itertuples()}


class TestFrame:
    def test_it_has_all_three_sides(self, repo: Path, forked: DoltConfig) -> None:
        """The key once, each other column of base, ours and theirs, and what each side did; all rows are there."""
        error = conflict_of(repo)
        frame = error.frames["t"]
        assert list(frame.columns) == [
            "id",
            *("base_v", "our_v", "their_v", "base_w", "our_w", "their_w"),
            *("our_diff_type", "their_diff_type"),
        ]
        assert frame.id.tolist() == [1, 2, 3]
        assert frame.base_v.tolist() == [1, 2, 3]
        assert [None if pd.isna(v) else v for v in frame.our_v] == [21, None, 23]
        assert [None if pd.isna(v) else v for v in frame.their_v] == [11, 12, None]
        assert frame.our_diff_type.tolist() == ["modified", "removed", "modified"]
        assert frame.their_diff_type.tolist() == ["modified", "modified", "removed"]

    def test_values_have_their_dtypes(self, repo: Path, table: Config) -> None:
        """Zones, units and categories are those of the table on each side, as in any frame."""
        day = pd.Series(pd.to_datetime(["2024-06-01"])).dt.as_unit("us").dt.tz_localize("Europe/Berlin")
        put(table(), id=[1], at=day, c=pd.Categorical(["x"], ["x", "y", "z"]), n=pd.array([1], "Int16"))
        for config, days, level in ((table(branch_conf=NewBranch("side")), 1, "y"), (table(), 2, "z")):
            at = day + pd.Timedelta(days=days)
            put(config, id=[1], at=at, c=pd.Categorical([level], ["x", "y", "z"]), n=pd.array([days], "Int16"))
        frame = conflict_of(repo).frames["t"]
        assert frame.our_at[0] == pd.Timestamp("2024-06-03", tz="Europe/Berlin")
        assert str(frame.their_at.dtype) == "datetime64[us, Europe/Berlin]"
        assert (frame.our_c[0], frame.their_c[0], list(frame.base_c.cat.categories)) == ("z", "y", ["x", "y", "z"])
        assert str(frame.our_n.dtype) == "Int16"

    def test_columns_called_as_those_of_the_frame(self, repo: Path, table: Config) -> None:
        """The table's own names stay free, so that the rows can be put beside."""
        put(table(), id=[1], v=[1], our_v=[5], diff_type=["a"])
        put(table(branch_conf=NewBranch("side")), id=[1], v=[2], our_v=[5], diff_type=["b"])
        put(table(), id=[1], v=[3], our_v=[5], diff_type=["c"])
        frame = conflict_of(repo).frames["t"]
        assert (frame._our_v[0], frame.our_our_v[0], frame.our_diff_type[0], frame._our_diff_type[0]) == (
            *(3, 5, "c"),
            "modified",
        )
        given = frame.assign(v=4, our_v=6, diff_type="d")
        merge("side", db_path=repo, resolve=given)
        assert read(table()).to_dict("records") == [{"id": 1, "v": 4, "our_v": 6, "diff_type": "d"}]

    def test_a_column_that_both_have_renamed(self, repo: Path, forked: DoltConfig) -> None:
        """Dolt shows it on each side under the name that it had before."""
        for branch in ("main", "side"):
            with connect(repo) as connection, connection.at(branch):
                connection.execute("ALTER TABLE t RENAME COLUMN w TO x")
                connection.execute("CALL DOLT_COMMIT('-Am', 'renamed')")
                connection.execute("COMMIT")
        error = conflict_of(repo)
        assert error.frames["t"].id.tolist() == [1, 2, 3]
        assert error.frames["t"].base_v.tolist() == [1, 2, 3]

    def test_it_travels(self, repo: Path, forked: DoltConfig) -> None:
        """An error that was pickled has its frames; a frame that was changed changes no other."""
        error = pickle.loads(pickle.dumps(conflict_of(repo)))
        frame = error.frames["t"]
        frame["id"] = 0
        assert error.frames["t"].id.tolist() == [1, 2, 3]


class TestStrategy:
    @pytest.mark.parametrize("strategy", ["ours", {"t": "ours"}, {"T": "ours"}])
    def test_ours(self, repo: Path, forked: DoltConfig, strategy: Any) -> None:
        """Conflicting rows are those of the target, a deleted one stays deleted; all others are merged."""
        merge("side", db_path=repo, strategy=strategy)
        assert rows(forked) == {1: (21, "a"), 3: (23, "c"), **MERGED}

    def test_theirs(self, repo: Path, forked: DoltConfig) -> None:
        """Conflicting rows are those of the branch; the commit has two parents and merges once."""
        before = branches(repo)
        commit = Repository(repo).merge("side", strategy="theirs")
        assert rows(forked) == {1: (11, "a"), 2: (12, "b"), **MERGED}
        newest = refs.log(repo, "main", limit=1)[0]
        assert (newest.hash, list(newest.parents)) == (commit.hash, [before["main"], before["side"]])
        assert branches(repo)["side"] == before["side"]
        assert merge("side", db_path=repo, strategy="ours").hash == commit.hash

    def test_by_table(self, repo: Path, forked: DoltConfig, table: Config) -> None:
        """Each table has its own; one without stands against the merge, and only that one."""
        put(table("u"), id=[1], v=[1])
        with connect(repo) as connection:
            connection.execute("CALL DOLT_BRANCH('-D', 'side')")
            connection.execute("CALL DOLT_BRANCH('side')")
        for config, v in ((NewBranch("side"), 8), (None, 9)):
            put(table("t", branch_conf=config), id=[1], v=[v], w=["a"])
            put(table("u", branch_conf=config), id=[1], v=[v])
        error = conflict_of(repo, strategy={"t": "ours"})
        assert [conflict.table for conflict in error.conflicts] == ["u"]
        merge("side", db_path=repo, strategy={"t": "ours", "u": "theirs"})
        assert (read(table("t")).v.tolist(), read(table("u")).v.tolist()) == ([9], [8])

    def test_without_a_key(self, repo: Path, config: Config) -> None:
        """Rows of a table without a key are settled by a side, and by nothing else."""
        put(config("t"), v=[1, 2])
        write(config("t", branch_conf=NewBranch("side"), mode="append"), pd.DataFrame({"v": [5, 5, 6]}))
        write(config("t", mode="append"), pd.DataFrame({"v": [5]}))
        error = conflict_of(repo)
        frame = error.frames["t"]
        assert (frame.our_cardinality.tolist(), frame.their_cardinality.tolist()) == ([1], [2])
        with pytest.raises(InvalidConfig, match="'t'.*primary key"):
            merge("side", db_path=repo, resolve=pd.DataFrame({"v": [5]}))
        merge("side", db_path=repo, strategy="theirs")
        assert sorted(read(config("t")).v) == [1, 2, 5, 5, 6]

    @pytest.mark.parametrize(
        ("strategy", "error", "named"),
        [
            ("mine", InvalidConfig, "'mine'"),
            ({"t": "mine"}, InvalidConfig, "'mine'"),
            ({"tt": "ours"}, TableNotFound, "'tt'.*'t'"),
        ],
    )
    def test_what_is_none(
        self, repo: Path, forked: DoltConfig, strategy: Any, error: type[DoltError], named: str
    ) -> None:
        """A strategy that there is not, or for a table that there is not, is refused."""
        heads = branches(repo)
        with pytest.raises(error, match=named):
            merge("side", db_path=repo, strategy=strategy)
        assert branches(repo) == heads

    def test_what_no_rows_settle(self, repo: Path, table: Config) -> None:
        """Two units in one column are told with the rows, and stay a conflict, which says that no strategy helps."""
        spans = pd.Series(pd.to_timedelta([60], unit="s"))
        put(table(), id=[1], v=spans.dt.as_unit("us"))
        put(table(branch_conf=NewBranch("side"), on_schema_change="replace"), id=[1], v=spans.dt.as_unit("s") * 2)
        put(table(), id=[1], v=(spans * 3).dt.as_unit("us"))
        assert [(c.table, c.kind) for c in conflict_of(repo).conflicts] == [("t", "rows"), ("t", "schema")]
        error = conflict_of(repo, strategy="theirs")
        assert [(c.table, c.kind) for c in error.conflicts] == [("t", "schema")]
        assert "strategy" in str(error)

    @pytest.mark.parametrize(
        ("made", "ours", "theirs"),
        [
            (
                "create table t (id int primary key, u int unique)",
                "update t set u = 5 where id = 1; insert into t values (7, 6)",
                "update t set u = 6 where id = 1",
            ),
            (
                "create table t (id int primary key, u int)",
                "update t set u = 50 where id = 1; alter table t add check (u > 8)",
                "update t set u = 3 where id = 1",
            ),
        ],
        ids=["unique", "check"],
    )
    def test_a_side_that_breaks_a_constraint(self, repo: Path, made: str, ours: str, theirs: str) -> None:
        """What the chosen rows break is a conflict of constraints; both branches stay, and the other side will do."""
        sql(repo, made, "insert into t values (1, 10), (2, 20)")
        with connect(repo) as connection:
            connection.execute("CALL DOLT_BRANCH('side')")
        sql(repo, *ours.split("; "))
        sql(repo, theirs, on="side")
        heads = branches(repo)
        error = conflict_of(repo, strategy="theirs")
        assert [(c.table, c.kind) for c in error.conflicts] == [("t", "constraints")]
        assert branches(repo) == heads
        merge("side", db_path=repo, strategy="ours")


class TestResolve:
    @pytest.mark.parametrize("convert", [True, False], ids=["nullable", "floats"])
    def test_rows_as_they_shall_be(self, repo: Path, forked: DoltConfig, convert: bool) -> None:
        """A row that is given is there, one that is removed is not, and all others are merged."""
        given = pd.DataFrame(
            {"w": ["x", "y", None], "id": [1, 2, 3], "v": [100, 200, None], "diff_type": ["", None, "removed"]}
        )
        merge("side", db_path=repo, resolve={"t": given.convert_dtypes() if convert else given})
        assert rows(forked) == {1: (100, "x"), 2: (200, "y"), **MERGED}

    def test_the_frame_goes_back(self, repo: Path, forked: DoltConfig) -> None:
        """The conflict's own frame with the columns of the table beside is what resolves it, in any order."""
        frame = conflict_of(repo).frames["t"].iloc[::-1]
        frame["v"] = frame[["our_v", "their_v"]].max(axis=1)
        frame["w"] = frame.base_w
        merge("side", db_path=repo, resolve=frame)
        assert rows(forked) == {1: (21, "a"), 2: (12, "b"), 3: (23, "c"), **MERGED}

    def test_a_conflict_that_has_changed(self, repo: Path, forked: DoltConfig, table: Config) -> None:
        """A frame that shows what one side had before is refused, with the row; the newer value stays."""
        frame = conflict_of(repo).frames["t"].assign(v=0, w="")
        write(table(mode="upsert"), pd.DataFrame({"id": [1], "v": [99], "w": ["a"]}))
        heads = branches(repo)
        error = conflict_of(repo, resolve=frame)
        assert error.outdated == {"t": [{"id": 1}]}
        assert branches(repo) == heads

    @pytest.mark.parametrize("kind", ["Removed", "deleted", 7])
    def test_a_word_that_says_nothing(self, repo: Path, forked: DoltConfig, kind: Any) -> None:
        """A row that was to be deleted is not kept for a slip of the pen."""
        before = refs.log(repo)
        frame = pd.DataFrame({"id": [1, 2, 3], "v": [9, 9, 9], "w": [9, 9, 9], "diff_type": [kind, None, "modified"]})
        with pytest.raises(InvalidConfig, match="diff_type"):
            merge("side", into="main", db_path=repo, resolve={"t": frame})
        assert refs.log(repo) == before

    def test_other_rows_than_those_in_conflict(self, repo: Path, forked: DoltConfig) -> None:
        """Rows that are lacking, and rows in no conflict, are named."""
        heads = branches(repo)
        given = pd.DataFrame({"id": [1, 4, 77], "v": [0, 0, 0], "w": ["", "", ""]})
        error = conflict_of(repo, resolve={"t": given})
        assert error.missing == {"t": [{"id": 2}, {"id": 3}]}
        assert error.surplus == {"t": [{"id": 4}, {"id": 77}]}
        for fact in ("id=2", "id=77", "'t'"):
            assert fact in str(error)
        twice = pd.DataFrame({"id": [1, 1, 2, 3], "v": 0, "w": ""})
        assert "twice" in str(conflict_of(repo, resolve=twice))
        assert branches(repo) == heads

    def test_a_table_without_conflicts(self, repo: Path, forked: DoltConfig, table: Config) -> None:
        """Rows for a table in which nothing is in conflict are refused."""
        put(table("u"), id=[1], v=[1])
        error = conflict_of(repo, strategy="ours", resolve={"u": pd.DataFrame({"id": [1], "v": [7]})})
        assert error.surplus == {"u": [{"id": 1, "v": 7}]}
        assert read(table("u")).v.tolist() == [1]

    @pytest.mark.parametrize(
        ("given", "error", "named"),
        [
            (pd.DataFrame({"id": [1, 2, 3], "v": [1, 2, 3]}), SchemaMismatch, "'w'"),
            (pd.DataFrame({"v": [1, 2, 3], "w": ["", "", ""]}), SchemaMismatch, "'id'"),
            (pd.DataFrame({"id": ["a", "b", "c"], "v": 0, "w": ""}), SchemaMismatch, "'t'"),
            (pd.DataFrame({"id": [1, 2, 3], "v": ["x", "y", "z"], "w": ""}), SchemaMismatch, "'v'"),
            (pd.DataFrame({"id": [1, 2, 3], "v": 0, "w": "", "z": 0}), SchemaMismatch, "'z'"),
            (pd.DataFrame({"id": [1, 2, 3], "v": 0, "w": object()}), UnsupportedFrame, "'w'"),
            ({"t": {"id": [1]}}, InvalidConfig, "dict"),
            ([1, 2], InvalidConfig, "list"),
        ],
    )
    def test_frames_that_do_not_fit(
        self, repo: Path, forked: DoltConfig, given: Any, error: type[DoltError], named: str
    ) -> None:
        """What the table cannot take is refused as it is on writing, and both branches are as they were."""
        heads = branches(repo)
        with pytest.raises(error, match=named):
            merge("side", db_path=repo, resolve=given)
        assert branches(repo) == heads

    def test_values_have_the_meaning_of_the_table(self, repo: Path, table: Config) -> None:
        """A point in time in another zone is stored as the table's; a new level joins those of both sides."""
        day = pd.Series(pd.to_datetime(["2024-06-01"])).dt.as_unit("us").dt.tz_localize("UTC")
        put(table(), id=[1], at=day, c=pd.Categorical(["x"]))
        put(table(branch_conf=NewBranch("side")), id=[1], at=day + pd.Timedelta(1, "D"), c=pd.Categorical(["y"]))
        put(table(), id=[1], at=day + pd.Timedelta(2, "D"), c=pd.Categorical(["z"]))
        at = pd.Series(pd.to_datetime(["2024-06-07"])).dt.as_unit("us").dt.tz_localize("UTC")
        merge("side", db_path=repo, resolve=pd.DataFrame({"id": [1], "at": at, "c": pd.Categorical(["new"])}))
        found = read(table())
        assert found["at"][0] == pd.Timestamp("2024-06-07", tz="UTC")
        assert str(found["at"].dtype) == "datetime64[us, UTC]"
        assert found.c.tolist() == ["new"]
        assert {"y", "z", "new"} <= set(found.c.cat.categories)

    @pytest.mark.parametrize("action", ["restrict", "cascade"])
    def test_rows_that_break_a_constraint(self, repo: Path, action: str) -> None:
        """Rows that are given are checked as any; what refers to one that is removed is kept."""
        sql(repo, "create table p (id int primary key, v int)", "insert into p values (1, 1)")
        refers = f"foreign key (p) references p (id) on delete {action}"
        sql(repo, f"create table c (id int primary key, p int, {refers})")
        sql(repo, "insert into c values (1, 1)", "call dolt_branch('side')", "update p set v = 2")
        sql(repo, "update p set v = 3", on="side")
        heads = branches(repo)
        with pytest.raises(ConstraintViolated, match="Cannot merge.*'c' refer"):
            merge("side", db_path=repo, resolve=pd.DataFrame({"id": [1], "diff_type": ["removed"]}))
        assert branches(repo) == heads

    def test_columns_that_one_side_has_added(self, repo: Path, table: Config) -> None:
        """The rows have the columns of the merged table."""
        put(table(), id=[1, 2], v=[1, 2])
        put(table(branch_conf=NewBranch("side"), on_schema_change="evolve"), id=[1, 2], v=[8, 2], z=["a", "b"])
        put(table(), id=[1, 2], v=[9, 2])
        merge("side", db_path=repo, resolve=pd.DataFrame({"id": [1], "v": [7], "z": ["c"]}))
        assert read(table()).to_dict("list") == {"id": [1, 2], "v": [7, 2], "z": ["c", "b"]}

    def test_a_column_that_one_side_has_narrowed(self, repo: Path, table: Config) -> None:
        """Where Dolt cannot take the rows of theirs, the error says so, and the rows or ours do."""
        sql(repo, "create table t (id int primary key, v int)", "insert into t values (1, 1), (2, 2)")
        with connect(repo) as connection:
            connection.execute("CALL DOLT_BRANCH('side')")
        sql(repo, "update t set v = 5 where id = 1", "alter table t modify v int not null")
        sql(repo, "update t set v = 6 where id = 1", on="side")
        heads = branches(repo)
        assert "resolve=" in str(conflict_of(repo, strategy="theirs"))
        assert branches(repo) == heads
        merge("side", db_path=repo, resolve=pd.DataFrame({"id": [1], "v": [6]}))
        assert read(table()).v.tolist() == [6, 2]

    def test_rows_named_by_an_index(self, repo: Path, config: Config) -> None:
        """A key that is the frame's index may stay that."""
        for branch, v in ((None, 1), (NewBranch("side"), 2), (None, 3)):
            frame = pd.DataFrame({"v": [v, 0]}, index=pd.Index(["a", "b"], name="k"))
            write(config("t", primary_key=["k"], branch_conf=branch), frame)
        merge("side", db_path=repo, resolve=pd.DataFrame({"v": [7]}, index=pd.Index(["a"], name="k")))
        assert read(config("t")).v.to_dict() == {"a": 7, "b": 0}

    def test_what_no_frame_can_hold(self, repo: Path) -> None:
        """Rows with shapes are counted and named, and a side settles them."""
        sql(repo, "create table t (id int primary key, p point, v int)", "insert into t values (1, point(1, 2), 1)")
        with connect(repo) as connection:
            connection.execute("CALL DOLT_BRANCH('side')")
        sql(repo, "update t set v = 5")
        sql(repo, "update t set v = 6", on="side")
        error = conflict_of(repo)
        assert error.frames == {}
        assert (error.conflicts[0].count, error.conflicts[0].rows[0]["theirs"]["v"]) == (1, 6)
        with pytest.raises(InvalidConfig, match="'t'"):
            merge("side", db_path=repo, resolve=pd.DataFrame({"id": [1], "p": [b""], "v": [7]}))
        merge("side", db_path=repo, strategy="theirs")
        with connect(repo) as connection:
            assert connection.query("SELECT id, ST_X(p), v FROM t") == [(1, 1.0, 6)]

    def test_views_of_one_name(self, repo: Path) -> None:
        """A view that both sides have made is a row in conflict, too, which a side settles."""
        sql(repo, "create table z (id int)")
        with connect(repo) as connection:
            connection.execute("CALL DOLT_BRANCH('side')")
        sql(repo, "create view x as select 1 as one")
        sql(repo, "create view x as select 2 as one", on="side")
        assert [conflict.table for conflict in conflict_of(repo).conflicts] == ["dolt_schemas"]
        merge("side", db_path=repo, strategy={"dolt_schemas": "theirs"})
        with connect(repo) as connection:
            assert connection.query("SELECT one FROM x") == [(2,)]

    def test_with_checks(self, repo: Path, forked: DoltConfig) -> None:
        """Checks see the rows that were given."""
        given = pd.DataFrame({"id": [1, 2, 3], "v": -1, "w": ""})
        seen: list[int] = []
        merge(
            "side",
            db_path=repo,
            resolve=given,
            checks=[lambda query: seen.append(len(query("select * from t where v < 0")))],
        )
        assert seen == [3]
