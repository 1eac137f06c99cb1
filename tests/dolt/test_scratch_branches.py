"""Scratch branches: what they are called, and that no session of this package's own is in the way of their new name."""

from __future__ import annotations

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
