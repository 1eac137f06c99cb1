"""Scratch branches: what they are called, and that no session of this package's own is in the way of their new name."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, write
from flytekitplugins.dolt.errors import QueryFailed
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import Connection
from flytekitplugins.dolt.repository.scratch_branches import Owner, Scratch
from flytekitplugins.dolt.tables import reading

ONE_REPOSITORY = True


def test_names_have_no_capitals(connection: Connection) -> None:
    """Whatever the execution is called: at each statement on a branch with capitals, Dolt goes through all branches."""
    ((head,),) = connection.query("SELECT DOLT_HASHOF('HEAD')")
    with Scratch(connection, str(head), task="Nightly-Run7") as scratch:
        assert scratch.name == scratch.name.lower()
        owner = Owner.parse(scratch.name)
    assert owner is not None
    assert (owner.task, owner.connection) == ("nightly-run7", connection.number)


@pytest.mark.parametrize("order", [None, ["v"]], ids=["natively", "by SQL"])
def test_a_branch_that_was_read_can_be_renamed(repo: Path, connection: Connection, order: list[str] | None) -> None:
    """A session that has read a branch is on it no longer, whichever way the rows came."""
    write(DoltConfig(str(repo), "t", primary_key=["id"]), pd.DataFrame({"id": [1, 2], "v": [4, 3]}))
    connection.execute("CALL DOLT_BRANCH('old')")
    with connection.at("old"):
        assert reading.read(connection, "t", order_by=order).arrow.num_rows == 2
    with connection.at("old"), pytest.raises(QueryFailed):
        reading.query(connection, "SELECT missing FROM t")
    rename_once_free(connection, "old", "new")
    assert set(refs.branches(repo)) == {"main", "new"}


def rename_once_free(connection: Connection, old: str, new: str) -> None:
    """Rename a branch; a session that has hung up is on it until the server notices, which takes it a moment."""
    until = time.monotonic() + 60
    while True:
        try:
            connection.execute("CALL DOLT_BRANCH('-m', %s, %s)", old, new)
            return
        except QueryFailed as error:
            if "in use in other sessions" not in error.server_message or time.monotonic() > until:
                raise


def test_a_session_that_is_just_being_ended_is_waited_for(
    repo: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server renames no branch that a session is on; one that hangs up is gone for it a moment later."""
    refused = threading.Event()
    real = Connection.execute

    def execute(self: Connection, sql: str, *parameters: object) -> int:
        try:
            return real(self, sql, *parameters)
        except QueryFailed:
            refused.set()
            raise

    monkeypatch.setattr(Connection, "execute", execute)
    (head,) = connection.query("SELECT DOLT_HASHOF('main')")[0]
    with Scratch(connection, head) as scratch, refs.connect(repo) as other:
        with other.at(scratch.name):
            other.query("SELECT 1")
            becoming = threading.Thread(target=scratch.become, args=["new"])
            becoming.start()
            assert refused.wait(timeout=30)
            assert "new" not in refs.branches(repo)
        other.query("SELECT 1")  # which takes it elsewhere
        becoming.join(timeout=30)
    assert set(refs.branches(repo)) == {"main", "new"}
