"""Two spellings of a table's name are one table, and its stored name is used everywhere; a view can only be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
from flytekit import task

from flytekitplugins.dolt import (
    LAST_CONSUMED,
    Changes,
    DoltConfig,
    DoltTable,
    MergeBranch,
    NewBranch,
    Repository,
    content_hash,
    diff,
    errors,
    first_appeared,
    lineage,
    merge,
    pin,
    read,
    restore,
    versions,
    write,
)
from flytekitplugins.dolt.api.table import store
from flytekitplugins.dolt.history import diffs, lineages
from flytekitplugins.dolt.model import provenance
from flytekitplugins.dolt.report import collect
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]


def frame(*ids: int, v: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids), "v": [v] * len(ids)})


def sql(repo: Path, *statements: str) -> str:
    """Do as somebody else would, commit it, and return the commit."""
    with connect(repo) as connection:
        for statement in statements:
            connection.execute(statement)
        return str(connection.query("CALL DOLT_COMMIT('-Am', 'theirs')")[0][0])


def names(repo: Path) -> list[str]:
    with connect(repo) as connection:
        return [str(name) for (name,) in connection.query("SHOW TABLES")]


def hash_of(table: DoltTable) -> str | None:
    return content_hash.calculate(table)


@pytest.fixture
def users(repo: Path, config: Config) -> DoltTable:
    """Give a table at its first version."""
    return write(config("Users", primary_key=["id"]), frame(1, 2))


# ------------------------------------------------------------------------------------------------- one table, two names


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, [2, 3]),
        ({"mode": "append"}, [1, 2, 3, 4]),
        ({"mode": "upsert"}, [1, 2, 3]),
        ({"mode": "delete"}, [1]),
        ({"on_schema_change": "replace"}, [2, 3]),
        ({"branch_conf": MergeBranch("run/1", into="main")}, [2, 3]),
    ],
    ids=["replace", "append", "upsert", "delete", "new_schema", "merge"],
)
def test_a_write_goes_to_the_table(repo: Path, config: Config, users: DoltTable, options: Any, ids: list[int]) -> None:
    """In each mode the table that is there is written, whose name stands in the reference."""
    new = frame(3, 4) if options.get("mode") == "append" else frame(2, 3)
    if "on_schema_change" in options:
        new = new.assign(v=["a", "b"])
    written = write(config("uSERS", **options), new)
    assert written.config.tablename == "Users"
    assert names(repo) == ["Users"]
    assert read(config("USERS"))["id"].tolist() == ids
    assert diffs.last_change(written).table == "Users"


def test_a_tasks_output_has_the_stored_name(repo: Path, config: Config, users: DoltTable) -> None:
    """The literal and the trailers have it, so that equal tables are equal values; what was given stays as it was."""
    given = config("users", mode="append")

    @task
    def add(table: DoltTable, branch: str) -> Annotated[DoltTable, content_hash]:
        assert (table.config.tablename, len(table.data)) == ("Users", 2)
        given.branch_conf = MergeBranch(branch, into="main")
        return DoltTable(given, frame(3))

    table = add(table=DoltTable(config("USERS")), branch="run/1")
    assert table.config.tablename == "Users"
    assert given.tablename == "users"
    for commit in refs.log(repo, limit=2):
        origin = provenance.parse(commit.message)
        assert [write.table for write in origin.writes] == ["Users"]
        assert [read.table for read in origin.reads] == ["Users"]
    assert table.commit is not None
    found = lineage(table.commit, db_path=repo, direction="up")
    assert {link.read.table for link in found.above} == {"Users"}


def test_a_write_that_was_done_before(repo: Path, config: Config, users: DoltTable) -> None:
    """It is the same value, also where a table of that name is in no commit of the branch."""
    first = write(config("users", mode="append"), frame(3), key="k1")
    with connect(repo) as connection:
        connection.execute("CREATE TABLE new (id INT PRIMARY KEY)")
    again = write(config("USERS", mode="append"), frame(3), key="k1")
    assert (again.config.tablename, again.commit) == ("Users", first.commit)
    assert first.config == again.config
    with pytest.raises(errors.TableNotFound, match="'new'"):
        read(config("new"))


def test_old_trailers_are_followed(repo: Path, config: Config, users: DoltTable) -> None:
    """Messages with another spelling, as they were written before, lead to the commits of the table."""
    head = write(config("other"), frame(1)).commit
    assert head is not None
    origin = provenance.Provenance(
        writes=(provenance.WriteRecord("third"),),
        reads=(provenance.ReadRecord(head.hash, provenance.HERE, table="uSeRs"),),
    )
    third = store(DoltTable(config("third"), frame(1)), message=provenance.compose("by hand", origin))
    assert users.commit is not None
    assert [link.of for link in lineages.lineage(third, direction="up").above] == [users.commit.hash]


@pytest.mark.parametrize("name", ["Users", "users", "USERS"])
def test_reads_find_it(repo: Path, config: Config, users: DoltTable, name: str) -> None:
    """Its rows, past, first commit and hash are the same under each spelling."""
    write(config(name, mode="append"), frame(3))
    assert len(read(config(name))) == 3
    assert len(read(config(name, as_of="HEAD~1"))) == 2
    found = versions(config(name))
    assert [table.config.tablename for table in found] == ["Users", "Users"]
    assert found[1].commit.hash == users.commit.hash == first_appeared(config(name)).hash
    assert [commit.hash for commit in refs.log(repo, table=name)] == [table.commit.hash for table in found]
    assert hash_of(DoltTable(config(name)).at(users.commit)) == hash_of(users) != hash_of(pin(config(name)))
    assert diff(config("Users", as_of="HEAD~1"), config(name)).added == 1
    assert Repository(repo).diff("HEAD~1", "HEAD", table=name).table == "Users"
    assert read(config(name, changes=Changes(since="HEAD~1")))["id"].tolist() == [3]


def test_each_change_is_consumed_once(repo: Path, config: Config, users: DoltTable) -> None:
    """However source and target are spelt, the position is that of these two tables."""

    def new(source: str, target: str) -> DoltTable:
        return pin(config(source, changes=Changes(since=LAST_CONSUMED, into=config(target, mode="append"))))

    write(config("Totals", mode="append"), pd.DataFrame({"n": [2]}), consumed=new("users", "totals"))
    for source in ("Users", "users"):
        for target in ("Totals", "totals"):
            assert len(new(source, target).data) == 0

    @task
    def count(unread: DoltTable) -> DoltTable:
        return DoltTable(config("tOTALS", mode="append"), pd.DataFrame({"n": [len(unread.data)]}))

    write(config("users", mode="append"), frame(7))
    assert len(new("users", "totals").data) == 1
    count(unread=DoltTable(new("USERS", "TOTALS").config))
    assert len(new("users", "totals").data) == 0


def test_restore_puts_the_one_table_back(repo: Path, config: Config, users: DoltTable) -> None:
    """It has the name and rows that it had, and no second table is beside it."""
    sql(repo, "DROP TABLE Users", "CREATE TABLE users (id BIGINT PRIMARY KEY)")
    restored = restore(config("USERS"), users)
    assert (restored.config.tablename, names(repo)) == ("Users", ["Users"])
    assert read(config("users"))["id"].tolist() == [1, 2]


def test_a_table_that_was_spelt_otherwise(repo: Path, config: Config, users: DoltTable) -> None:
    """Its history goes on before that, and rows are paired by key across it."""
    sql(
        repo,
        "DROP TABLE Users",
        "CREATE TABLE users (id BIGINT PRIMARY KEY, v BIGINT)",
        "INSERT INTO users VALUES (2, 0), (3, 0)",
    )
    write(config("USERS", mode="append"), frame(4))
    found = versions(config("Users"))
    assert [table.config.tablename for table in found] == ["users", "users", "Users"]
    assert [len(table.data) for table in found] == [3, 2, 2]
    assert first_appeared(config("users")).hash == users.commit.hash
    change = diff(users, config("users"))
    assert (change.table, change.added, change.modified, change.removed) == ("users", 2, 0, 1)
    assert diffs.changed_tables("HEAD~1", "HEAD~2", db_path=repo) == ["Users"]


def test_a_table_that_is_gone(repo: Path, config: Config, users: DoltTable) -> None:
    """Its past is found under each spelling, too."""
    sql(repo, "DROP TABLE Users")
    assert [table.commit.hash for table in versions(config("users"))] == [users.commit.hash]
    restore(config("users"), "HEAD~1")
    assert names(repo) == ["Users"]


def test_letters_as_dolt_folds_them(repo: Path, config: Config) -> None:
    """Letters with accents have two cases; the micro sign is not the Greek letter, and sharp s not two letters."""
    write(config("Mü"), frame(1))
    assert write(config("MÜ", mode="append"), frame(2)).config.tablename == "Mü"
    for one, other in (("a\u00b5", "a\u03bc"), ("ß1", "ss1")):
        write(config(one), frame(1))
        assert write(config(other), frame(1)).config.tablename == other


def test_a_merge_does_not_make_two_of_one(repo: Path, config: Config, users: DoltTable) -> None:
    """Both sides made the table, each in its spelling: that is a conflict, and both branches are as they were."""
    write(config("Orders", branch_conf=NewBranch("run/1")), frame(1))
    write(config("orders"), frame(2))
    before = refs.branches(repo)
    with pytest.raises(errors.MergeConflict, match="'Orders' and 'orders'") as caught:
        merge("run/1", db_path=repo, into="main")
    assert [(found.kind, found.table) for found in caught.value.conflicts] == [("schema", "Orders")]
    assert refs.branches(repo) == before


def test_two_tables_that_differ_in_case(repo: Path, config: Config, users: DoltTable) -> None:
    """Dolt lets others make them and opens any of them: they are refused; all other tables work, and merge."""
    sql(repo, "CREATE TABLE users (id BIGINT PRIMARY KEY)")
    before = refs.log(repo)
    for doing in (read, versions, lambda own: write(own, frame(1)), lambda own: restore(own, "HEAD~1")):
        for name in ("users", "Users", "uSers"):
            with pytest.raises(errors.InvalidName, match="'Users' and 'users'"):
                doing(config(name))
    assert refs.log(repo) == before
    write(config("other", branch_conf=MergeBranch("run/1", into="main")), frame(1))
    assert len(read(config("other"))) == 1
    sql(repo, "DROP TABLE users")
    assert names(repo) == ["Users", "other"]
    assert read(config("users"))["id"].tolist() == [1, 2]
    assert versions(config("users"))[-1].commit.hash == users.commit.hash


# ---------------------------------------------------------------------------------------------------------------- views


@pytest.fixture
def view(repo: Path, users: DoltTable) -> str:
    """Give the name of a view of the table, which has a version since."""
    sql(repo, "CREATE VIEW Many AS SELECT id FROM Users WHERE id > 1", "INSERT INTO Users VALUES (3, 0)")
    return sql(repo, "INSERT INTO Users VALUES (4, 0)")


def test_a_view_is_read_at_any_commit(repo: Path, config: Config, view: str) -> None:
    """Its rows are those of the commit, under each spelling and in a task; its name and commit make its hash."""
    for name in ("Many", "many"):
        assert read(config(name))["id"].tolist() == [2, 3, 4]
        assert read(config(name, as_of="HEAD~1"))["id"].tolist() == [2, 3]
        assert read(config(name, as_of=view, columns=["id"], order_by=["id"]))["id"].tolist() == [2, 3, 4]
        assert sum(len(part) for part in pin(config(name, as_of="HEAD~1")).iter(1)) == 2

    @task
    def count(table: DoltTable) -> int:
        return len(table.data)

    assert count(table=DoltTable(config("many"))) == 3
    card = collect.card(pin(config("many")))
    assert (card.title, card.commit.hash, card.change) == ("many", view, None)

    @task
    def change(table: DoltTable) -> DoltTable:
        table.data.loc[0, "id"] = 9
        return table

    with pytest.raises(Exception, match="'many' is a view"):
        change(table=DoltTable(config("many")))
    old, new = pin(config("Many", as_of="HEAD~1")), pin(config("many"))
    assert hash_of(old) != hash_of(new) == hash_of(pin(config("MANY")))
    with pytest.raises(errors.TableNotFound, match="'many'"):
        read(config("many", as_of="HEAD~2"))


@pytest.mark.parametrize(
    "doing",
    [
        *(lambda own, mode=mode: write(own(mode=mode), frame(1)) for mode in ("replace", "append", "upsert", "delete")),
        lambda own: write(own(on_schema_change="replace"), frame(1)),
        lambda own: write(own(branch_conf=NewBranch("run/1")), frame(1)),
        lambda own: diff("HEAD~1", own()),
        lambda own: diffs.last_change(own()),
        lambda own: read(own(changes=Changes(since="HEAD~1"))),
        lambda own: pin(own(changes=Changes())),
        lambda own: restore(own(), "HEAD~1"),
        lambda own: versions(own()),
        lambda own: first_appeared(own()),
        lambda own: Repository(own().db_path).log(table="MANY"),
    ],
)
def test_elsewhere_it_is_called_a_view(repo: Path, config: Config, view: str, doing: Callable[..., Any]) -> None:
    """The error says in one sentence that it is a view, and nothing is changed."""
    before = refs.branches(repo)
    with pytest.raises(errors.InvalidConfig, match=r"^Cannot [^.]*any'[^.]* is a view[^.]*\.$"):
        doing(lambda **options: config("many", **options))
    assert refs.branches(repo) == before
    assert names(repo) == ["Users", "many"]
