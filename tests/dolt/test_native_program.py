"""The program that the builder makes: the whole of Dolt, and our procedures on its server."""

from __future__ import annotations

from pathlib import Path

import pytest

from flytekitplugins.dolt.errors import DoltError
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.server import binary, builder, procedures

pytestmark = pytest.mark.usefixtures("our_program")
ONE_REPOSITORY = True


def test_the_server_knows_the_version_of_our_procedures(repo: Path) -> None:
    """The version is that of our own, as one number, at the branch and at a commit; Dolt's stays Dolt's."""
    with refs.connect(repo) as connection:
        (head,) = connection.query("SELECT DOLT_HASHOF('HEAD')")[0]
        assert connection.query("CALL flyte_rows_version()") == [(procedures.VERSION,)]
        with connection.at(head):
            assert connection.query("CALL flyte_rows_version()") == [(procedures.VERSION,)]
        assert connection.query("SELECT DOLT_VERSION()") == [(builder.DOLT_VERSION,)]


def test_who_may_only_read_does_not_have_every_procedure(repo: Path) -> None:
    """Queries of users run as a user who is granted SELECT and three procedures that read; this is none of them."""
    with refs.connect(repo) as connection, connection.read_only_session() as reader:
        with pytest.raises(DoltError, match="denied"):
            reader.query("CALL flyte_rows_version()")
        assert reader.query("SELECT 1") == [(1,)]


def test_the_command_line_is_dolts_own(repo: Path) -> None:
    """What is no server works as in any other dolt."""
    assert "working tree clean" in binary.run(["status"], cwd=repo)
