"""What `doctor` and the command line say of installations and repositories, good and bad ones."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
from users_server import users_server

from flytekitplugins.dolt import DoltConfig, binary, doctor, server, write
from flytekitplugins.dolt.__main__ import main

Captured = pytest.CaptureFixture[str]


def contents(folder: Path) -> dict[Path, bytes]:
    """Read every file of a repository but the index, which any Dolt command may write anew."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "journal.idx"}


# The installation


def test_python_packages_and_the_dolt_in_use_are_named() -> None:
    """The report holds what a maintainer would ask for first."""
    found = "\n".join(doctor.examine().findings)
    assert sys.executable in found
    for name in ("flytekit", "pandas", "pyarrow", "connectorx", "pymysql", "doltcli"):
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
    assert any("Mend or unset DOLT_BIN" in line for line in diagnosis.advice)


def test_a_good_installation_is_well(capsys: Captured, repo: Path) -> None:
    """Nothing to do means status 0 and saying so in the last line."""
    if not any(metadata.distributions(name=doctor.DISTRIBUTION)):
        pytest.skip("this package runs from its sources without being installed")
    assert main(["doctor", "--db", str(repo)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All is well."


# The earlier plugins


def install_like_pip(site: Path, *, name: str, version: str, files: dict[str, bytes]) -> None:
    """Put files and the record of them into a folder of packages, as pip does."""
    noted = []
    for path, content in files.items():
        file = site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        noted.append(f"{path},sha256={digest},{len(content)}")
    notes = site / f"{name.replace('-', '_')}-{version}.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (notes / "RECORD").write_text("\n".join([*noted, f"{notes.name}/RECORD,,"]) + "\n")


OURS = {
    f"flytekitplugins/dolt/{name}": (Path(doctor.__file__).parent / name).read_bytes()
    for name in ("__main__.py", "binary.py", "builder.py", "doctor.py", "errors.py", "schema.py")
} | {"flytekitplugins/dolt/__init__.py": b""}
THEIRS = {"flytekitplugins/dolt/schema.py": b"theirs = 1\n", "flytekitplugins/dolt/__init__.py": b"theirs = 2\n"}


def ask_in(site: Path, code: str) -> str:
    """Run Python code with a folder of packages first on its path."""
    argv = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=100).stdout


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of packages that comes first on the path, and in which `doctor` takes itself to be."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(doctor, "__file__", str(folder / "flytekitplugins" / "dolt" / "doctor.py"))
    return folder


@pytest.mark.serial
def test_no_other_distribution_costs_next_to_nothing() -> None:
    """Absent is the normal case, and it is looked up whenever the package is imported."""
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        assert doctor.conflicting_distributions() == []
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.004


@pytest.mark.parametrize(("last", "winner"), [("theirs", "flytekitplugins-dolt"), ("ours", "flytekitplugins-doltdb")])
def test_of_two_distributions_in_one_folder_the_later_wins(site: Path, last: str, winner: str) -> None:
    """One sentence says whose files are on disk, and how to end the mixture."""
    install_like_pip(site, name="flytekitplugins-doltdb", version="0.1.0", files=OURS)
    install_like_pip(site, name="flytekitplugins-dolt", version="1.16.31", files=THEIRS)
    if last == "ours":
        for path, content in OURS.items():
            (site / path).write_bytes(content)
    (said,) = doctor.conflicting_distributions()
    assert f"the schema.py of '{winner}' wins" in said
    assert "flytekitplugins-dolt' 1.16.31" in said
    assert "pip uninstall flytekitplugins-dolt`" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("last", "winner"), [("theirs", "flytekitplugins-sqlalchemy"), ("ours", "flytekitplugins-doltdb")]
)
def test_the_earlier_sqlalchemy_plugin_is_told_apart_likewise(site: Path, last: str, winner: str) -> None:
    """Its task.py has the name of ours, so the same sentence is said of it, and only of it."""
    task = "flytekitplugins/sqlalchemy/task.py"
    install_like_pip(site, name="flytekitplugins-doltdb", version="0.1.0", files=OURS | {task: b"ours = 1\n"})
    install_like_pip(site, name="flytekitplugins-sqlalchemy", version="1.16.31", files={task: b"theirs = 1\n"})
    if last == "ours":
        (site / task).write_bytes(b"ours = 1\n")
    (said,) = doctor.conflicting_distributions()
    assert f"the task.py of '{winner}' wins" in said
    assert "pip uninstall flytekitplugins-sqlalchemy`" in said


def test_two_distributions_in_two_folders_are_told_apart(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the other one is only shadowed, removing it is all there is to do."""
    install_like_pip(site, name="flytekitplugins-doltdb", version="0.1.0", files=OURS)
    install_like_pip(tmp_path / "b", name="flytekitplugins-dolt", version="1.16.31", files=THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path / "b"))
    (said,) = doctor.conflicting_distributions()
    assert said.endswith("so run `pip uninstall flytekitplugins-dolt`.")
    assert f"in '{site / 'flytekitplugins' / 'dolt'}' win" in said


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_files_that_are_not_those_of_the_installer_are_named(site: Path, damage: str) -> None:
    """Without another distribution to blame, the report names them and how to get them back."""
    install_like_pip(site, name="flytekitplugins-doltdb", version="0.1.0", files=OURS)
    schema = site / "flytekitplugins" / "dolt" / "schema.py"
    schema.write_text("changed = 1\n") if damage == "changed" else schema.unlink()
    diagnosis = doctor.examine()
    assert "files of this package that are missing or were changed: schema.py" in diagnosis.findings
    assert any("pip install --force-reinstall --no-deps flytekitplugins-doltdb" in line for line in diagnosis.advice)


def test_a_missing_package_is_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package needs and is not installed is named, with the command that installs it."""
    monkeypatch.setattr(doctor, "_NEEDED", ("flytekit", "no-such-package"))
    diagnosis = doctor.examine()
    assert "no-such-package is not installed" in diagnosis.findings
    assert "Install the missing package: `pip install no-such-package`." in diagnosis.advice


def test_files_that_the_other_distribution_took_along_are_missed(tmp_path: Path) -> None:
    """After `pip uninstall flytekitplugins-dolt` the report names what is gone and how to get it back."""
    install_like_pip(tmp_path, name="flytekitplugins-doltdb", version="0.1.0", files=OURS)
    (tmp_path / "flytekitplugins" / "dolt" / "schema.py").unlink()
    said = ask_in(tmp_path, "from flytekitplugins.dolt import doctor; print(doctor.examine())")
    assert "files of this package that are missing or were changed: schema.py" in said
    assert "pip install --force-reinstall --no-deps flytekitplugins-doltdb" in said


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


def test_a_shallow_clone_cannot_be_checked(repo: Path, tmp_path: Path) -> None:
    """What `dolt fsck` misses there is the history that was left out, which is no damage."""
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [1]}))
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"n": [2]}))
    server.release(repo)
    binary.run(["remote", "add", "origin", f"file://{tmp_path}/remote"], cwd=repo)
    binary.run(["push", "origin", "main"], cwd=repo)
    binary.run(["clone", "--depth", "1", f"file://{tmp_path}/remote", "shallow"], cwd=tmp_path)
    diagnosis = doctor.examine(tmp_path / "shallow")
    assert "  dolt fsck: cannot check this one, a shallow clone" in diagnosis.findings
    assert not any("Stop writing" in line for line in diagnosis.advice)


def test_files_of_dolt_that_are_broken_are_named(repo: Path) -> None:
    """A lock that is not there and a server's file without sense are told, and are no error."""
    (repo / ".dolt" / "noms" / "LOCK").unlink()
    (repo / ".dolt" / "sql-server.info").write_text("nonsense")
    findings = doctor.examine(repo).findings
    assert any(line.startswith("  its lock cannot be tried: ") for line in findings)
    assert "  has a .dolt/sql-server.info that cannot be read" in findings


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
    assert capsys.readouterr().out == f"{binary.find()} is here and fits; nothing to do.\n"


def test_install_builds_nothing_that_a_setting_would_hide(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong DOLT_BIN must be mended first, and install says so at once."""
    monkeypatch.setenv("DOLT_BIN", "/nonexistent/dolt")
    assert main(["install"]) == 1
    assert "Mend or unset DOLT_BIN" in capsys.readouterr().err


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    """``python -m`` reaches the same commands and hands on the status."""
    argv = [sys.executable, "-W", "ignore", "-m", "flytekitplugins.dolt", "doctor", "--db", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "What to do:" in done.stdout
    assert done.stderr == ""
