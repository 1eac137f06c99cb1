"""The distribution as a user gets it: built, installed into empty environments, run there, beside other plugins.

These tests ask the package index for what the distribution needs, as `make setup` does.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from flytekitplugins.dolt.cli import doctor

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = {
    "flytekit.plugins": {"dolt": "flytekitplugins.dolt.flyte"},
    "flyte.plugins.types": {"dolt": "flytekitplugins.dolt.flyte2:register"},
}
"""Where flytekit and Flyte 2 look for plugins, and what of ours they find there."""

NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "foo")


def run(*argv: str | Path, cwd: Path | None = None, ok: bool = True) -> str:
    """Run a program outside the project's folder and return what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(arg) for arg in argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=900)
    assert not ok or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, with nothing of the project's on its path."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, *args: str | Path) -> str:
        """Install into it as `make setup` does."""
        return run(ROOT / "tools" / "install.sh", self.python, *args, cwd=self.folder)

    def pip(self, *args: str | Path) -> str:
        """Run pip in it."""
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *args, cwd=self.folder)

    def packages(self) -> Path:
        """Return the folder of its packages."""
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return Path(run(self.python, "-c", code, cwd=self.folder).strip())

    def quickstart(self, number: str) -> str:
        """Run a copy of the quickstart in it."""
        shutil.copy(ROOT / "examples" / "quickstart_example.py", self.folder)
        return run(self.python, "quickstart_example.py", number, cwd=self.folder)


def make_environment(folder: Path) -> Environment:
    """Make an empty environment of the Python that this one comes from."""
    run(getattr(sys, "_base_executable", sys.executable), "-m", "venv", folder)
    return Environment(folder)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both distributions from a copy of the sources; `build` makes the wheel out of the sdist."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=NOT_COPIED)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source")
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """Give the wheel."""
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel with everything it needs, as a user does."""
    environment = make_environment(tmp_path_factory.mktemp("clean") / "venv")
    environment.install(wheel)
    return environment


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Types, Dolt's build file and licences are in it; tests are not, and the namespace has no file of ours."""
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {path.parent.name for path in (ROOT / "flytekitplugins").glob("*/__init__.py")}
    for package in packages:
        assert f"flytekitplugins/{package}/py.typed" in names
    native = ROOT / "flytekitplugins" / "dolt" / "native"
    assert {f"flytekitplugins/dolt/native/{file.name}" for file in native.iterdir()} <= names
    assert {
        "flytekitplugins/dolt/flyte2/values.py",
        "flyteplugins/dolt/__init__.py",
        "flyteplugins/dolt/py.typed",
    } <= names
    assert not {"flytekitplugins/__init__.py", "flyteplugins/__init__.py"} & names
    archive = zipfile.ZipFile(wheel)
    (points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    declared = configparser.ConfigParser()
    declared.read_string(archive.read(points).decode())
    assert {name: dict(declared[name]) for name in declared.sections()} == ENTRY_POINTS
    notices = {name.rpartition("/")[2] for name in names if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE", "entry_points.txt"} <= notices
    assert {name.split("/")[0].partition("-")[0] for name in names} == {
        *("flytekitplugins", "flytekitplugins_doltdb", "flyteplugins")
    }


@pytest.mark.slow
def test_the_sdist_holds_what_a_developer_needs(dist: Path) -> None:
    """Sources, tests, examples, docs and tools are in it, and nothing that was made."""
    (found,) = dist.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "Makefile", "tests/conftest.py", "examples/quickstart_example.py", "tools/setup.sh"} <= names
    assert {"docs/types.md", "constraints/oldest.txt", "packaging/dolt-bin/setup.py", "NOTICE"} <= names
    assert {"flytekitplugins/dolt/flyte2/values.py", "flyteplugins/dolt/__init__.py"} <= names
    assert {"flyteplugins/dolt/py.typed", "tests/flyte2/conftest.py", "tools/test_flyte2.sh"} <= names
    assert "flyteplugins/__init__.py" not in names
    assert not [name for name in names if "__pycache__" in name or ".venv" in name]


@pytest.mark.slow
def test_the_wheel_installs_into_an_empty_environment_and_passes_the_quickstart(clean: Environment) -> None:
    """What setup.py names is all that is needed, and it fits together."""
    assert "No broken requirements" in clean.pip("check")
    assert "Sugar Maple" in clean.quickstart("1")
    assert "6" in clean.quickstart("2")
    assert "All is well." in run(clean.python, "-m", "flytekitplugins.dolt", "doctor", "--db", clean.folder / "foo")


@pytest.mark.slow
def test_the_sdist_installs_and_passes_the_quickstart(dist: Path, clean: Environment, tmp_path: Path) -> None:
    """Where no wheel can be had, the sources do. (What they need is borrowed from the other environment.)"""
    (sdist,) = dist.glob("*.tar.gz")
    environment = make_environment(tmp_path / "venv")
    environment.install("--no-deps", sdist)
    (environment.packages() / "borrowed.pth").write_text(f"{clean.packages()}\n")
    assert "Sugar Maple" in environment.quickstart("1")
    where = run(environment.python, "-c", "import flytekitplugins.dolt as d; print(d.__file__)", cwd=tmp_path)
    assert str(environment.folder) in where


@pytest.mark.slow
def test_it_lives_beside_another_plugin(clean: Environment) -> None:
    """The namespace is shared: flytekit's own plugin for Polars and this package work in one process."""
    clean.install("polars", "flytekitplugins-polars")
    code = "import flytekitplugins.polars, flytekitplugins.dolt as d, polars; print(d.DoltTable.__name__)"
    assert run(clean.python, "-W", "error::UserWarning", "-c", code, cwd=clean.folder).strip().endswith("DoltTable")
    assert "Sugar Maple" in clean.quickstart("1")


BESIDE = """
import warnings
warnings.simplefilter("ignore")
import flyte, flyteplugins, flyteplugins.polars, polars
import flyteplugins.dolt as d
from flyte.types import TypeEngine
kinds = (d.DoltTable, polars.DataFrame, polars.LazyFrame)
print(flyteplugins.__file__, d.__file__, *(type(TypeEngine.get_transformer(kind)).__name__ for kind in kinds))
"""


@pytest.mark.slow
def test_it_lives_beside_another_plugin_of_flyte_2(wheel: Path, clean: Environment, tmp_path: Path) -> None:
    """The namespace `flyteplugins` is shared, too, and both plugins register; also from sources in a folder."""
    clean.install("flyteplugins-polars", "flyte>=2.12,<3")
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=NOT_COPIED)
    for installed, place in (([wheel], clean.packages()), (["--editable", source], source)):
        clean.install("--force-reinstall", "--no-deps", *installed)
        assert run(clean.python, "-c", BESIDE, cwd=tmp_path).split() == [
            *("None", str(place / "flyteplugins" / "dolt" / "__init__.py")),
            *("DoltTableTransformer", "DataFrameTransformerEngine", "DataFrameTransformerEngine"),
        ]
    clean.install("--force-reinstall", "--no-deps", wheel)


@pytest.mark.slow
def test_beside_the_earlier_sqlalchemy_plugin_the_doctor_says_which_files_win(wheel: Path, clean: Environment) -> None:
    """Its files replace ours; doctor and a warning say so, and what they advise fixes it."""
    clean.install("--no-deps", "flytekitplugins-sqlalchemy")
    said = run(clean.python, "-m", "flytekitplugins.dolt", "doctor", cwd=clean.folder, ok=False)
    assert "the task.py of 'flytekitplugins-sqlalchemy' wins" in said
    assert "`pip uninstall flytekitplugins-sqlalchemy`" in said
    warned = run(clean.python, "-c", "import flytekitplugins.dolt", cwd=clean.folder)
    assert "the task.py of 'flytekitplugins-sqlalchemy' wins" in warned
    assert f"pip install --force-reinstall --no-deps {doctor.DISTRIBUTION}" in said
    clean.pip("uninstall", "--quiet", "--yes", "flytekitplugins-sqlalchemy")
    clean.install("--force-reinstall", "--no-deps", wheel)
    assert "All is well." in run(clean.python, "-m", "flytekitplugins.dolt", "doctor", cwd=clean.folder)


def bounds(name: str) -> dict[str, str]:
    """Return the pins of a file in constraints/ for this Python, the first one of each name."""
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints" / name).read_text().splitlines():
        if line and not line.startswith("#"):
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"python_version": "3.11"}):
                pins[need.name.lower()] = str(need.specifier).removeprefix("==")
    return pins


def test_the_oldest_versions_are_the_bounds_of_setup_py() -> None:
    """What setup.py allows is what `make test-oldest` and `tools/test_flyte2.sh oldest` install."""
    text = (ROOT / "setup.py").read_text()
    needed = re.findall(
        r'^        (?:"\w+": \[)?"([\w-]+)>=([\d.]+)', text[text.index("install_requires") :], re.MULTILINE
    )
    oldest = bounds("oldest.txt")
    assert len(needed) >= 8
    assert {"flyte", "polars"} <= {name for name, _ in needed}
    for name, bound in needed:
        pin = oldest[name].split(".")
        assert pin[: len(bound.split("."))] == bound.split("."), name
        assert set(pin[len(bound.split(".")) :]) <= {"0"}, name


def test_every_dependency_has_a_tested_version() -> None:
    """constraints/tested.txt pins each package that setup.py names, within its bounds."""
    said = run(sys.executable, ROOT / "tools" / "tested.py", "--check", cwd=ROOT)
    assert said == ""


def test_the_notice_names_the_licence_of_every_dependency() -> None:
    """NOTICE tells users and auditors what else `pip install` brings, as those packages say themselves."""
    notice = (ROOT / "NOTICE").read_text()
    for line in metadata.requires(doctor.DISTRIBUTION) or []:
        if "extra ==" not in line:
            assert re.search(rf"^- {Requirement(line).name}: .+", notice, re.MULTILINE | re.IGNORECASE), line
