"""What `doctor` and the command line say of a machine's `dolt` and of repositories, good and bad ones."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
from letting_go import let_go
from users_server import users_server

from flytekitplugins.dolt import DoltConfig, write
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.cli import doctor
from flytekitplugins.dolt.server import binary

Captured = pytest.CaptureFixture[str]


def contents(folder: Path) -> dict[Path, bytes]:
    """Read every file of a repository but the index, which any Dolt command may write anew."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "journal.idx"}


# The installation


def test_python_packages_and_the_dolt_in_use_are_named() -> None:
    """The report holds what a maintainer would ask for first."""
    found = "\n".join(doctor.examine().findings)
    assert sys.executable in found
    for name in ("flytekit", "pandas", "pyarrow", "pymysql", "doltcli"):
        assert f"{name} {metadata.version(name)}" in found
    version = ".".join(map(str, binary.version(binary.find())))
    assert f"{binary.find()} is version {version}, used" in found


def test_a_passed_over_dolt_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wonders why their `dolt` is not used finds it in the report, and the one that is used."""
    good = binary.find()
    for folder, body in (("beside", "echo dolt version 1.50.0"), ("path", f'exec "{good}" "$@"')):
        file = tmp_path / folder / "dolt"
        file.parent.mkdir()
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
    monkeypatch.delenv("DOLT_BIN")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}")
    found = doctor.examine().findings
    assert f"  beside this Python: {tmp_path / 'beside' / 'dolt'} is version 1.50.0, older than 1.83" in found
    assert any(line.startswith(f"  on PATH: {tmp_path / 'path' / 'dolt'} is version") for line in found)
    assert sum(line.endswith(", used") for line in found) == 1


def test_a_wrong_setting_is_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """With DOLT_BIN naming nothing, no other `dolt` counts as used, and the advice names the setting."""
    monkeypatch.setenv("DOLT_BIN", "/nonexistent/dolt")
    diagnosis = doctor.examine()
    assert not any(line.endswith(", used") for line in diagnosis.findings)
    assert any("Fix or unset DOLT_BIN" in line for line in diagnosis.advice)


def test_a_good_installation_is_well(capsys: Captured, repo: Path) -> None:
    """Nothing to do means status 0 and saying so in the last line."""
    if not any(metadata.distributions(name=doctor.DISTRIBUTION)):
        pytest.skip("this package runs from its sources without being installed")
    assert main(["doctor", "--db", str(repo)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All is well."


# A repository


def test_a_good_repository_is_described_and_left_alone(repo: Path) -> None:
    """Identity, lock, server and storage are told, and not a byte of its data changes."""
    before = contents(repo)
    diagnosis = doctor.examine(repo)
    found = "\n".join(diagnosis.findings)
    assert "commits as Bojack Horseman <bojack@horseman.com>" in found
    assert "is not held by any process" in found
    assert "has no .dolt/sql-server.info" in found
    assert "dolt fsck: no problems found" in found
    assert contents(repo) == before


def test_a_held_repository_is_not_checked(repo: Path) -> None:
    """While another process has the lock, the report says so and skips the long check."""
    with (repo / ".dolt" / "noms" / "LOCK").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = "\n".join(doctor.examine(repo).findings)
    assert "is held by another process" in found
    assert "dolt fsck: skipped" in found


@pytest.fixture
def served(repo: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the repository as its user would."""
    with users_server(repo) as process:
        yield process


def test_a_served_repository_names_its_server_but_no_secret(repo: Path, served: subprocess.Popen[bytes]) -> None:
    """Process and port help to find who holds the repository; the way in stays secret."""
    secret = (repo / ".dolt" / "sql-server.info").read_text().split(":")[2].strip()
    report = str(doctor.examine(repo))
    assert f".dolt/sql-server.info names process {served.pid} on port" in report
    assert "is held by another process" in report
    assert secret
    assert secret not in report


def test_what_a_killed_server_left_is_no_alarm(repo: Path, served: subprocess.Popen[bytes]) -> None:
    """The file of a server that is gone is told apart from that of one that runs."""
    served.kill()
    served.wait(60)
    diagnosis = doctor.examine(repo)
    assert any("that server was killed" in line for line in diagnosis.findings)
    assert "  dolt fsck: no problems found" in diagnosis.findings


def test_a_damaged_repository_is_something_to_do(repo: Path, capsys: Captured) -> None:
    """What `dolt fsck` finds is told with advice, and the status is 1."""
    journal = repo / ".dolt" / "noms" / ("v" * 32)
    content = bytearray(journal.read_bytes())
    for place in range(len(content) // 3, len(content) // 2):
        content[place] ^= 0xFF
    journal.write_bytes(bytes(content))
    assert main(["doctor", "--db", str(repo)]) == 1
    said = capsys.readouterr().out
    assert "dolt fsck: found a problem" in said
    assert f"Stop writing to '{repo}'" in said


def test_a_shallow_clone_cannot_be_checked(repo: Path, dolt: Callable[..., str], tmp_path: Path) -> None:
    """What `dolt fsck` misses there is the history that was left out, which is no damage."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [2]}))
    let_go(repo)
    dolt("remote", "add", "origin", f"file://{tmp_path}/remote")
    dolt("push", "origin", "main")
    dolt("clone", "--depth", "1", f"file://{tmp_path}/remote", "shallow", cwd=tmp_path)
    diagnosis = doctor.examine(tmp_path / "shallow")
    assert "  dolt fsck: cannot check this one, a shallow clone" in diagnosis.findings
    assert not any("Stop writing" in line for line in diagnosis.advice)


def test_files_of_dolt_that_are_broken_are_named(repo: Path) -> None:
    """A lock that is not there and a server's file without sense are told, and are no error."""
    (repo / ".dolt" / "noms" / "LOCK").unlink()
    (repo / ".dolt" / "sql-server.info").write_text("nonsense")
    findings = doctor.examine(repo).findings
    assert any(line.startswith("  its lock cannot be tried: ") for line in findings)
    assert "  has a .dolt/sql-server.info that cannot be read: it is none of Dolt's" in findings


def test_a_folder_that_is_no_repository_is_something_to_do(tmp_path: Path) -> None:
    """The report says what it looked for, and what to do."""
    diagnosis = doctor.examine(tmp_path)
    assert any("is not a Dolt repository" in line for line in diagnosis.findings)
    assert any("dolt init" in line for line in diagnosis.advice)


def test_a_repository_without_an_identity_is_something_to_do(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dolt's own commands would refuse to commit there."""
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    (repo / ".dolt" / "config.json").write_text("{}")
    diagnosis = doctor.examine(repo)
    assert "  has no identity to commit as" in diagnosis.findings
    assert any("dolt config --global --add user.name" in line for line in diagnosis.advice)


# The command line


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["doctor", "--nope"], ["install", "x"]])
def test_arguments_that_make_no_sense_are_status_2(arguments: list[str], capsys: Captured) -> None:
    """Usage goes to standard error, as everywhere."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m flytekitplugins.dolt" in capsys.readouterr().err


def test_install_builds_nothing_when_a_dolt_fits(capsys: Captured) -> None:
    """Minutes of building are for those who have no usable `dolt`."""
    assert main(["install"]) == 0
    assert f"{binary.find()} is here and fits; nothing to do.\n" in capsys.readouterr().err


def test_install_builds_nothing_that_a_setting_would_hide(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong DOLT_BIN must be fixed first, and install says so at once."""
    monkeypatch.setenv("DOLT_BIN", "/nonexistent/dolt")
    assert main(["install"]) == 1
    assert "Fix or unset DOLT_BIN" in capsys.readouterr().err


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    """``python -m`` reaches the same commands and hands on the status."""
    argv = [sys.executable, "-W", "ignore", "-m", "flytekitplugins.dolt", "doctor", "--db", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "What to do:" in done.stdout
    assert done.stderr == ""
