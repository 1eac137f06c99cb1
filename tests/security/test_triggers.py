"""Triggers and events of a repository: they change nothing that is published, unless the config lets them run.

They are committed, so they come with any clone. What a server holds is asked of the `dolt` command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dolt_server import PASSWORD, VARIABLE, DoltServer
from waiting import eventually

from flytekitplugins.dolt import DoltConfig, dolt_uri, errors, from_uri, merge, read, restore, write
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.server import local_server

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

BEFORE, AFTER = pd.DataFrame({"id": [1], "v": ["a"]}), pd.DataFrame({"id": [1, 2], "v": ["b", "c"]})
NOTE = "INSERT INTO audit (what) VALUES ('seen')"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoltServer]:
    """Give a server of the user's own, with a table and one for what triggers note."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    with DoltServer(tmp_path / "shop") as running:
        write(running.config("t", primary_key=["id"]), BEFORE)
        running.sql("CREATE TABLE audit (n INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(10))")
        running.sql("CALL DOLT_COMMIT('-Am', 'audit')")
        yield running


def trigger(shop: DoltServer, body: str, when: str = "AFTER INSERT", table: str = "t") -> None:
    """Have the repository run something with the rows that are written."""
    shop.sql(f"CREATE TRIGGER guest {when} ON {table} FOR EACH ROW {body}")
    shop.sql("CALL DOLT_COMMIT('-Am', 'trigger')")


def state(shop: DoltServer) -> list[Any]:
    """Return what main holds, and every branch that there is."""
    return [
        shop.values(query)
        for query in (
            "SELECT DOLT_HASHOF('main')",
            "SELECT v FROM `shop/main`.t ORDER BY id",
            "SELECT what FROM `shop/main`.audit",
            "SELECT name FROM dolt_branches ORDER BY name",
        )
    ]


ATTACKS = {
    "commits": ("AFTER INSERT", "CALL DOLT_COMMIT('-Am', 'evil')"),
    "goes to main": ("BEFORE INSERT", "CALL DOLT_CHECKOUT('main')"),
    "resets": ("AFTER INSERT", "CALL DOLT_RESET('--hard', 'HEAD')"),
    "copies": ("BEFORE INSERT", "CALL DOLT_BACKUP('sync-url', 'file://{copy}')"),
    "changes values": ("BEFORE INSERT", "SET NEW.v = 'evil'"),
    "changes another table": ("AFTER INSERT", NOTE),
    "leads elsewhere": (
        "AFTER INSERT",
        "INSERT IGNORE INTO dolt_nonlocal_tables VALUES ('t', 'main', '', 'immediate')",
    ),
    "with what is deleted": ("BEFORE DELETE", NOTE),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_trigger_runs_on_a_server(shop: DoltServer, attack: str, tmp_path: Path) -> None:
    """A write that would start a trigger is refused by the triggers' names, before anything has run."""
    copy = tmp_path / "copy"
    when, body = ATTACKS[attack]
    trigger(shop, body.format(copy=copy), when)
    before = state(shop)
    with pytest.raises(errors.TriggersRefused, match=r"triggers of that table would run \('guest'\)") as caught:
        write(shop.config("t"), AFTER)
    assert (caught.value.table, caught.value.triggers) == ("t", ["guest"])  # type: ignore[attr-defined]
    assert state(shop) == before
    assert not copy.exists()


@pytest.mark.parametrize("attack", ["commits", "goes to main", "copies", "leads elsewhere"])
def test_triggers_that_are_let_run_do_not_move_the_branch(shop: DoltServer, attack: str, tmp_path: Path) -> None:
    """With triggers="run", what is not one commit on the head with all rows is not published, and no branch stays."""
    when, body = ATTACKS[attack]
    trigger(shop, body.format(copy=tmp_path / "copy"), when)
    before = state(shop)
    with pytest.raises(errors.WriteNotVerified, match="that it was written on was moved|has 0 rows instead of 1"):
        write(shop.config("t", triggers="run"), pd.DataFrame({"id": [1], "v": ["b"]}))
    assert state(shop) == before


def test_triggers_that_are_let_run(shop: DoltServer) -> None:
    """With triggers="run" they do their work, and what they do in other tables is in the same commit."""
    trigger(shop, NOTE)
    shop.sql("CREATE TRIGGER upper BEFORE INSERT ON t FOR EACH ROW SET NEW.v = UPPER(NEW.v)")
    shop.sql("CALL DOLT_COMMIT('-Am', 'another')")
    commit = write(shop.config("t", triggers="run"), AFTER).commit
    assert commit is not None
    assert state(shop)[:3] == [[commit.hash], ["B", "C"], ["seen", "seen"]]
    assert shop.values(f"SELECT table_name FROM dolt_diff WHERE commit_hash = '{commit.hash}' ORDER BY 1") == [
        "audit",
        "t",
    ]


@pytest.mark.parametrize(
    ("when", "mode"), [("AFTER DELETE", "append"), ("AFTER UPDATE", "replace"), ("AFTER UPDATE", "upsert")]
)
def test_triggers_that_a_write_does_not_start(shop: DoltServer, when: str, mode: str) -> None:
    """A trigger for statements that are not sent stands in nobody's way, and does not run."""
    trigger(shop, NOTE, when)
    rows = AFTER.iloc[1:] if mode == "append" else AFTER
    write(shop.config("t", mode=mode), rows.reset_index(drop=True))
    assert state(shop)[1:3] == [["a" if mode == "append" else "b", "c"], []]


def test_triggers_of_another_table(shop: DoltServer) -> None:
    """Triggers of a table that is not written are nothing to a write."""
    trigger(shop, NOTE, table="audit")
    write(shop.config("t"), AFTER)
    assert state(shop)[1:3] == [["b", "c"], []]


def by_hand(dolt: Dolt, *statements: str) -> None:
    """Run statements on the checked-out branch, and commit what they do."""
    dolt("sql", "-q", ";".join([*statements, "CALL DOLT_COMMIT('-Am', 'by hand')"]))


@pytest.fixture
def folder(config: Config, dolt: Dolt) -> Config:
    """Give configs of a repository in a folder, with a table and one for what triggers note."""
    write(config("t", primary_key=["id"]), BEFORE)
    by_hand(dolt, "CREATE TABLE audit (n INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(10))")
    return config


def noted(config: Config) -> int:
    """Return how often a trigger ran, as far as commits know."""
    return len(read(config("audit")))


@pytest.mark.parametrize("mode", ["replace", "append", "upsert"])
def test_triggers_of_inserts_do_not_run_in_a_folder(folder: Config, dolt: Dolt, mode: str) -> None:
    """There rows are loaded from a file, which starts no trigger: such a table is written as ever."""
    by_hand(dolt, f"CREATE TRIGGER guest AFTER INSERT ON t FOR EACH ROW {NOTE}")
    by_hand(dolt, "CREATE TRIGGER other BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'evil'")
    by_hand(dolt, f"CREATE TRIGGER third AFTER UPDATE ON t FOR EACH ROW {NOTE}")
    write(folder("t", mode=mode), AFTER.iloc[1:].reset_index(drop=True) if mode == "append" else AFTER)
    assert read(folder("t")).v.tolist() == ["a" if mode == "append" else "b", "c"]
    assert noted(folder) == 0


def test_triggers_of_deletes_in_a_folder(folder: Config, dolt: Dolt) -> None:
    """A trigger of what is deleted runs there, too: it is refused, but for writes that delete nothing."""
    by_hand(dolt, f"CREATE TRIGGER guest BEFORE DELETE ON t FOR EACH ROW {NOTE}")
    head = dolt("log", "--oneline", "-n", "1")
    with pytest.raises(errors.TriggersRefused, match=r"Cannot write table 't': triggers .* \('guest'\)"):
        write(folder("t"), AFTER)
    assert dolt("log", "--oneline", "-n", "1") == head
    assert noted(folder) == 0
    write(folder("t", mode="append"), pd.DataFrame({"id": [7], "v": ["x"]}))
    assert noted(folder) == 0
    write(folder("t", triggers="run"), AFTER)
    assert (read(folder("t")).v.tolist(), noted(folder)) == (["b", "c"], 2)


def test_a_restored_or_merged_table_starts_none(folder: Config, dolt: Dolt) -> None:
    """What is taken from another commit as it is starts no trigger, and is not refused for one."""
    by_hand(dolt, f"CREATE TRIGGER guest BEFORE DELETE ON t FOR EACH ROW {NOTE}")
    by_hand(dolt, "CALL DOLT_CHECKOUT('-b', 'side')", "UPDATE t SET v = 'side'")
    merge("side", into="main", db_path=folder().db_path)
    assert read(folder("t")).v.tolist() == ["side"]
    restore(folder("t"), "HEAD~2")
    assert (read(folder("t")).v.tolist(), noted(folder)) == (["a"], 0)


def test_a_table_that_is_replaced_by_a_new_one(folder: Config, dolt: Dolt) -> None:
    """Its triggers go with it, as its keys do, in the same commit."""
    by_hand(dolt, f"CREATE TRIGGER guest AFTER INSERT ON t FOR EACH ROW {NOTE}")
    write(folder("t", on_schema_change="replace"), pd.DataFrame({"n": [1]}))
    assert read(folder("t")).n.tolist() == [1]
    assert "guest" not in dolt("sql", "-q", "SHOW TRIGGERS")


WRONG = {
    "another table, too": ("INSERT INTO audit (what) VALUES ('x')", "'audit' differs, too"),
    "a commit": ("CALL DOLT_COMMIT('-Am', 'mine', '--allow-empty')", "the branch that it was written on was moved"),
    "a branch": ("CALL DOLT_CHECKOUT('main')", "the branch that it was written on was moved"),
    "rows": ("DELETE FROM t", "the table has 0 rows instead of 1"),
}


@pytest.mark.parametrize("found", WRONG)
def test_what_was_not_written_is_not_published(folder: Config, dolt: Dolt, repo: Path, found: str) -> None:
    """Whatever else happens on the way, a commit with anything but what was written is not published."""
    statement, said = WRONG[found]
    heads = dolt("branch", "-v", "-a")

    def work(connection: connections.Connection) -> int:
        connection.execute("UPDATE t SET v = 'z'")
        connection.execute(statement)
        return 1

    with pytest.raises(errors.WriteNotVerified, match=said):
        publishing.write(repo, None, publishing.WriteJob("t", "m", work))
    assert dolt("branch", "-v", "-a") == heads
    assert read(folder("t")).v.tolist() == ["a"]


def _on_main(connection: connections.Connection) -> None:
    connection.execute("USE `foo/main`")


def test_nothing_written_is_held_against_the_head(folder: Config, repo: Path) -> None:
    """A write that leaves everything as it is was done where it should be."""
    head = refs.resolve(repo, None)
    with pytest.raises(errors.WriteNotVerified, match="the branch that it was written on was moved"):
        publishing.write(repo, None, publishing.WriteJob("t", "m", _on_main))
    assert refs.resolve(repo, None) == head
    assert write(folder("t"), BEFORE).commit == head


def test_the_option_travels() -> None:
    """It is taken from a field, from io_args and from an address, and is one of two words."""
    config = DoltConfig("foo", "t", triggers="run")
    assert DoltConfig.from_dict(config.to_dict()) == config
    assert from_uri(dolt_uri(config)).config.options() == {"triggers": "run"}
    assert DoltConfig("foo", "t", io_args={"triggers": "run"}).options() == {"triggers": "run"}
    with pytest.raises(errors.InvalidConfig, match="triggers is one of 'refuse', 'run'"):
        DoltConfig("foo", "t", triggers="yes").check()


def test_events_do_not_run_in_a_folder(folder: Config, dolt: Dolt, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The private server starts no event that a repository brings along, be it in the name of the server's own user."""
    monkeypatch.setenv("DOLT_EVENT_SCHEDULER_PERIOD", "1")  # else it looks for them every 30 seconds
    monkeypatch.setattr(local_server, "_NOT_FOR_SERVERS", ("_FSEC_",))
    who = f"`{local_server.Address.user}`@`localhost`"
    by_hand(dolt, f"CREATE DEFINER={who} EVENT guest ON SCHEDULE EVERY 1 SECOND DO {NOTE}")
    local_server.replace(repo)
    with connections.connect(repo) as connection:
        count = "SELECT COUNT(*) FROM audit"
        made = connection.query(count)
        assert not eventually(lambda: connection.query(count) != made, within_s=4)
