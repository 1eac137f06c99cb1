"""The command line on a server with a password and on a remote: every verb, and where the password comes from."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from dolt_server import PASSWORD, USER, VARIABLE, DoltServer

from flytekitplugins.dolt import NewBranch, delete_tag, diff, lineage, merge, run_branches, tag, tags, write
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.cli import doctor
from flytekitplugins.dolt.errors import AccessDenied
from flytekitplugins.dolt.model import runtime

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoltServer]:
    """Give a server with a user and a password, and a table on it with two versions and a branch."""
    with DoltServer(tmp_path_factory.mktemp("server") / "shop", grants=("ALL",)) as served:
        served.sql(f"GRANT ALL ON *.* TO '{USER}'@'%%'")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(VARIABLE, PASSWORD)
            keyed = served.config("rabbits", primary_key=["name"])
            write(keyed, pd.DataFrame({"name": ["Alice"], "count": [1]}), message="first")
            write(keyed, pd.DataFrame({"name": ["Alice", "Bo"], "count": [1, 2]}), message="second")
            on_a_branch = served.config("rabbits", primary_key=["name"], branch_conf=NewBranch("run/1"))
            write(on_a_branch, pd.DataFrame({"name": ["Bo"], "count": [2]}), message="third")
        yield served


VERBS = (
    ["log"],
    ["log", "--table", "rabbits"],
    ["diff", "HEAD~1"],
    ["diff", "HEAD~1", "--table", "rabbits"],
    ["lineage"],
    ["versions", "rabbits"],
    ["tables"],
    ["branches"],
    ["show", "rabbits"],
    ["merge", "main"],
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_takes_a_password(
    server: DoltServer, verb: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From DOLT_PASSWORD, or from the variable that is named, which goes first; without one the error names both."""
    place = ["--db", server.url()]
    before = runtime.current()
    assert main([*verb, *place]) == 1
    assert "DOLT_PASSWORD" in capsys.readouterr().err
    monkeypatch.setenv("DOLT_PASSWORD", PASSWORD)
    assert main([*verb, *place, "--json"]) == 0
    plain = capsys.readouterr().out
    assert json.loads(plain)
    monkeypatch.setenv("DOLT_PASSWORD", "not this one")
    monkeypatch.setenv("SHOP", PASSWORD)
    assert main([*verb, *place, "--json", "--password-env", "SHOP"]) == 0
    assert capsys.readouterr().out == plain
    assert PASSWORD not in plain
    assert main([*verb, *place]) == 1
    assert main([*verb, *place, "--password-env", "NOPE"]) == 1
    said = capsys.readouterr().err
    assert "Access denied" in said
    assert "'NOPE'" in said
    assert "not this one" not in said
    assert runtime.current() is before


def test_functions_take_a_config(server: DoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever db_path= stands a config of a table there does, too, for its secret; a URL alone has no password."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    there = server.config("rabbits")
    assert diff("HEAD~1", "HEAD", table="rabbits", db_path=there).added == 1
    assert lineage("main", db_path=there).start.commit.message == "second"
    assert merge("main", db_path=there).branch == "main"
    tag("v1", db_path=there)
    assert [each.name for each in tags(there)] == ["v1"]
    delete_tag("v1", db_path=there)
    assert [each.name for each in run_branches(there)] == ["run/1"]
    with pytest.raises(AccessDenied, match="None was sent"):
        tags(server.url())


def test_doctor_looks_at_a_server(
    server: DoltServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the command line and as a function, with a URL or a config; what stands in the way is what is to be done."""
    assert main(["doctor", "--db", server.url()]) == 1
    assert "What to do:" in (said := capsys.readouterr().out)
    assert "DOLT_PASSWORD" in said
    monkeypatch.setenv("DOLT_PASSWORD", PASSWORD)
    monkeypatch.setenv("DOLT_ROOT_PATH", str(tmp_path))  # where nobody has told Dolt who he is
    assert main(["doctor", "--db", server.url()]) == 0  # writes from there have an author all the same
    said = capsys.readouterr().out
    assert "  commits from here are by Flyte <flyte@localhost>\n" in said
    assert f"Repository {server.url()}\n  has 2 branches, and 'main' is checked out\n  is served by Dolt 1." in said
    monkeypatch.setenv(VARIABLE, PASSWORD)
    assert "  has 2 branches, and 'main' is checked out" in doctor.examine(server.config()).findings
    assert "  cannot be used" in doctor.examine(server.url()).findings


def test_a_password_is_for_its_own_server(
    server: DoltServer, repo: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the environment goes to the server that is named first, whichever option names it, and to no other."""
    monkeypatch.setenv("DOLT_PASSWORD", PASSWORD)
    assert main(["lineage", "--db", str(repo), "--also", server.url()]) == 0
    assert main(["lineage", "--db", server.url(), "--also", server.url()]) == 0
    capsys.readouterr()
    other = server.url(host="localhost")
    assert main(["lineage", "--db", server.url(), "--also", other]) == 1
    assert "None was sent" in capsys.readouterr().err


def test_a_password_in_an_address_is_refused_with_what_to_do_here(capsys: Captured) -> None:
    """The advice is one for the command line."""
    assert main(["log", "--db", "mysql+pymysql://me:secret@h/db"]) == 1
    said = capsys.readouterr().err
    assert "DOLT_PASSWORD" in said
    assert "me:secret" not in said


def answered(server: DoltServer, answer: bytes) -> tuple[int, str]:
    """Run the program on a terminal, answer what it asks, and return its exit code and what was seen."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOLT_PASS")}
    argv = [sys.executable, "-W", "ignore", "-m", "flytekitplugins.dolt", "tables", "--db", server.url()]
    options = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "env": environment, "start_new_session": True}
    with subprocess.Popen(argv, **options) as process:  # type: ignore[call-overload]
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the end of what a terminal gives
            while piece := os.read(ours, 4096):
                seen += piece
                if seen.endswith(b"(empty for none): "):
                    os.write(ours, answer)
        os.close(ours)
    return process.returncode, seen.decode()


@pytest.mark.slow
def test_a_password_is_asked_for_on_a_terminal(server: DoltServer) -> None:
    """It is not seen while it is typed; a wrong one is an error, and no answer ends the command."""
    code, seen = answered(server, f"{PASSWORD}\n".encode())
    assert (code, "2 rows  rabbits" in seen, PASSWORD in seen) == (0, True, False), seen
    assert f"Password of {USER} at 127.0.0.1:{server.port}" in seen
    code, seen = answered(server, b"wrong\n")
    assert (code, "Access denied" in seen, "wrong" in seen) == (1, True, False), seen
    assert answered(server, b"\x04")[0] == 130
