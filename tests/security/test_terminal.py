"""What is data in a repository commands no terminal: it is shown, whoever wrote it and wherever it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flytekitplugins.dolt import create_repository, diff, lineage
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.tables.progress import Progress
from flytekitplugins.doltdb import redaction

SIGNS = "\x1b[31m\x1b]0;owned\x07\x9b2J\x7f\r\b\u202e\u2066\u200b"
"""Colours, the window's title, the screen cleared by a C1 sign, what is typed over, and text turned around."""

COMMANDS = [sign for sign in SIGNS if not sign.isprintable()]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Give a repository with those signs in author, message, table, columns, values and the folder's own name."""
    folder = create_repository(tmp_path / "foo", name="Ann", email="ann@x.org")
    with connect(folder) as connection:
        for statement in (
            f"CREATE TABLE `t{SIGNS}` (id INT PRIMARY KEY, `c{SIGNS}` TEXT)",
            f"INSERT INTO `t{SIGNS}` VALUES (1, 'v{SIGNS}')",
            "CREATE TABLE plain (id INT PRIMARY KEY)",
            f"CALL DOLT_COMMIT('-Am', 'm{SIGNS}', '--author', 'A{SIGNS} <a@x.org>')",
            f"UPDATE `t{SIGNS}` SET `c{SIGNS}` = 'w{SIGNS}'",
            f"ALTER TABLE `t{SIGNS}` ADD COLUMN `d{SIGNS}` INT",
            f"CALL DOLT_COMMIT('-Am', 'second {SIGNS}', '--author', 'B{SIGNS} <b@x.org>')",
        ):
            connection.execute(statement)
    return folder


def assert_harmless(text: str) -> None:
    assert [sign for sign in text if not sign.isprintable() and sign != "\n"] == []


VERBS = (
    ["log"],
    ["log", "--json"],
    ["diff", "HEAD~1"],
    ["diff", "HEAD~1", "--json"],
    ["lineage"],
    ["lineage", "--json"],
    ["lineage", "--svg", "-"],
    ["lineage", "--mermaid", "-"],
    ["lineage", "--dot", "-"],
    ["versions", "plain"],
    ["versions", "plain", "--json"],
    ["diff", "HEAD~1", "--table", f"t{SIGNS}"],
)
FAILING = (
    ["log", f"no{SIGNS}"],
    ["versions", f"no{SIGNS}"],
    ["merge", f"no{SIGNS}"],
    ["diff", f"no{SIGNS}"],
    ["merge", "main", "--check", f"select '{SIGNS}' from `t{SIGNS}`"],
)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: "-".join(verb)[:20].encode("unicode_escape").decode())
def test_no_verb_sends_them(hostile: Path, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Author, message, names and values are printed with their signs spelled out; JSON still means the same."""
    assert main([*verb, "--db", str(hostile)]) == 0
    said = capsys.readouterr()
    assert_harmless(said.out + said.err)
    assert "x1b" in said.out or "u001b" in said.out
    if "--json" in verb:
        assert SIGNS in str(list(_texts(json.loads(said.out))))


def _texts(plain: Any) -> Any:
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield _Raw(key)
            yield from _texts(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _texts(value)
    elif isinstance(plain, str):
        yield _Raw(plain)


class _Raw(str):
    """A text that is printed as it is."""

    def __repr__(self) -> str:
        return str(self)


@pytest.mark.parametrize("verb", FAILING, ids=lambda verb: verb[0])
def test_no_error_sends_them(hostile: Path, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An error that repeats a name, or what a server says of it, is one harmless line."""
    assert main([*verb, "--db", str(hostile)]) in (0, 1)
    said = capsys.readouterr()
    assert_harmless(said.out + said.err)
    assert said.out + said.err


def test_a_folder_and_arguments_do_not_send_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the name of a repository's folder, nor arguments that make no sense."""
    assert main(["doctor", "--db", str(tmp_path / f"no{SIGNS}")]) == 1
    assert main(["log", "--db", str(tmp_path / f"no{SIGNS}")]) == 1
    with pytest.raises(SystemExit, match="2"):
        main(["log", "--db", "x", f"a{SIGNS}", f"b{SIGNS}"])
    said = capsys.readouterr()
    assert_harmless(said.out + said.err)


@pytest.mark.slow
def test_the_program_sends_none(hostile: Path) -> None:
    """As a process of its own, byte for byte."""
    command = [sys.executable, "-m", "flytekitplugins.dolt", "log", "--db", str(hostile)]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert (done.returncode, b"\x1b" in done.stdout, b"\xc2\x9b" in done.stdout) == (0, False, False)
    assert rb"Author: B\x1b[31m" in done.stdout


def test_what_prints_itself_sends_none(hostile: Path) -> None:
    """Differences, lineages and the line of progress are printed by notebooks and scripts as they are."""
    found = diff("HEAD~1", "HEAD", table=f"t{SIGNS}", db_path=hostile, limit=1)
    for text in (found, lineage("HEAD", db_path=hostile), Progress(f"writing {SIGNS}"), refs.log(hostile)):
        assert_harmless(str(text))
        assert "\\x1b" in str(text) or "\\\\x1b" in str(text)


def test_one_helper_shows_them() -> None:
    """Each sign that is not printable is spelled out; line breaks stay where a text may have several lines."""
    for sign in map(chr, [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]):
        assert redaction.visible(f"a{sign}b", lines=False).isprintable()
        assert json.loads(redaction.visible_json(json.dumps(f"a{sign}b", ensure_ascii=False))) == f"a{sign}b"
    assert redaction.visible("a\nb") == "a\nb"
    assert redaction.visible("Ünï 漢字 😀") == "Ünï 漢字 😀"
