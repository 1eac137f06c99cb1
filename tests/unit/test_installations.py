"""What `doctor` and the command line say of installations, also those with files of an earlier plugin."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from flytekitplugins.dolt import errors
from flytekitplugins.dolt.cli import doctor


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


PACKAGES = Path(errors.__file__).parents[2]

OURS = {
    str(path.relative_to(PACKAGES)): path.read_bytes()
    for package in ("dolt", "doltdb")
    for path in PACKAGES.glob(f"flytekitplugins/{package}/**/*.py")
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
    monkeypatch.setattr(doctor, "__file__", str(folder / "flytekitplugins" / "dolt" / "cli" / "doctor.py"))
    return folder


def test_no_other_distribution_costs_next_to_nothing() -> None:
    """Absent is the normal case, and it is looked up whenever the package is imported: by name, nothing is listed."""

    def look_up() -> None:
        with pytest.raises(metadata.PackageNotFoundError):
            metadata.distribution("there-is-no-such-distribution")

    assert doctor.conflicting_distributions() == []
    assert least_cpu(doctor.conflicting_distributions) < 6 * least_cpu(look_up)


def least_cpu(work: Callable[[], object]) -> float:
    """Return the seconds of the processor that ``work`` takes when nothing disturbs it."""
    took = []
    for _ in range(20):
        begin = time.process_time()
        work()
        took.append(time.process_time() - begin)
    return min(took)


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
    said = ask_in(tmp_path, "from flytekitplugins.dolt.cli import doctor; print(doctor.examine())")
    assert "files of this package that are missing or were changed: schema.py" in said
    assert "pip install --force-reinstall --no-deps flytekitplugins-doltdb" in said


def test_an_earlier_sql_plugin_is_said_once(tmp_path: Path) -> None:
    """Who imports the SQL plugin is warned of the earlier one, whose files have the same names, by one warning."""
    install_like_pip(tmp_path, name="flytekitplugins-sqlalchemy", version="1.16.0", files={})
    done = subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", "import flytekitplugins.sqlalchemy"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stderr.count("pip uninstall flytekitplugins-sqlalchemy") == 1, done.stderr
