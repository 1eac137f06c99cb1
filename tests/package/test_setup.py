"""What `make setup` does: packages by uv or by pip, only those that are wanted, while Dolt is built.

Packages are really installed, from an index of one package on this machine and from the one that pip knows.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from flytekitplugins.dolt.server import binary

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "tools" / "install.sh"
SETTINGS = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "CONSTRAINT", "NO_INDEX", "CONFIG_FILE")
NOWHERE = "http://127.0.0.1:1/simple"


def write_wheel(folder: Path, *, name: str = "stand_in") -> Path:
    """Write the wheel of a package that no public index has, and return its path."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """Serve an index that has the stand-in and nothing else; give its address."""
    folder = tmp_path / "index"
    wheel = write_wheel(folder / "simple" / "stand-in")
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty environment and return its folder."""
    folder = tmp_path_factory.mktemp("setup") / "venv"
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which neither pip nor uv is told anything, but where certificates are."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.removeprefix("PIP_") not in SETTINGS and not name.startswith("UV_")
    }
    return {**kept, "HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home" / ".config")}


def install(venv: Path, env: dict[str, str], *args: str, ok: bool = True) -> str:
    """Install into the environment by tools/install.sh and return what it said."""
    argv = [str(INSTALL), str(venv / "bin" / "python"), *args]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=240)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stderr


def installer(venv: Path, name: str) -> str:
    """Return the program that installed a package, as it has noted itself."""
    (packages,) = venv.glob("lib/python*/site-packages")
    (found,) = metadata.distributions(name=name, path=[str(packages)])
    return (found.read_text("INSTALLER") or "").strip()


def uninstall(venv: Path, name: str) -> None:
    """Take a package out again."""
    argv = [str(venv / "bin" / "python"), "-m", "pip", "uninstall", "--quiet", "--yes", name]
    subprocess.run(argv, check=True, timeout=60)


@pytest.mark.slow
def test_uv_installs_where_pip_is_told_nothing(venv: Path, env: dict[str, str], tmp_path: Path) -> None:
    """A package of the public index comes by uv, also where a folder of links is named that holds no package."""
    empty = tmp_path / "links"
    empty.mkdir()
    said = install(venv, {**env, "PIP_FIND_LINKS": str(empty), "PIP_NO_INDEX": "0"}, "six")
    assert said.splitlines() == ["packages: installing with uv"]
    assert installer(venv, "six") == "uv"
    uninstall(venv, "six")


@pytest.mark.parametrize("setting", ["index-url", "extra-index-url", "find-links"])
def test_pip_installs_where_its_file_says_from_where(
    venv: Path, env: dict[str, str], tmp_path: Path, index: str, setting: str
) -> None:
    """A package that only the named place has is installed, by pip."""
    value = str(write_wheel(tmp_path / "links").parent) if setting == "find-links" else index
    file = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text(f"[global]\n{setting} = {value}\n")
    said = install(venv, env, "stand-in")
    assert f"with pip, since its configuration has {setting}" in said
    assert installer(venv, "stand-in") == "pip"
    uninstall(venv, "stand-in")


@pytest.mark.parametrize(
    "setting",
    [{"PIP_INDEX_URL": NOWHERE}, {"PIP_CONSTRAINT": "bounds.txt"}, {"PIP_NO_INDEX": "1"}],
    ids=lambda setting: "".join(setting),
)
def test_pip_is_asked_where_a_variable_tells_it(
    venv: Path, env: dict[str, str], tmp_path: Path, setting: dict[str, str]
) -> None:
    """What pip refuses by its settings is not taken by uv from elsewhere."""
    bounds = tmp_path / "bounds.txt"
    bounds.write_text("six==0.0.1\n")
    values = {name: value.replace("bounds.txt", str(bounds)) for name, value in setting.items()}
    said = install(venv, {**env, **values, "PIP_RETRIES": "0"}, "six", ok=False)
    assert "with pip, since its configuration has" in said
    assert "packages: failed." in said.splitlines()


def test_a_file_that_pip_cannot_read_is_left_to_pip(venv: Path, env: dict[str, str], tmp_path: Path) -> None:
    """The user reads pip's own words about it."""
    (tmp_path / "pip.conf").write_text("index-url = nowhere\n")
    said = install(venv, {**env, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}, "six", ok=False)
    assert "a file that pip cannot read" in said
    assert "contains no section headers" in said


@pytest.mark.slow
def test_pip_installs_where_uv_fails(venv: Path, env: dict[str, str]) -> None:
    """An index that uv alone is led to, and that does not answer, costs nothing but time."""
    said = install(venv, {**env, "UV_DEFAULT_INDEX": NOWHERE, "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}, "six")
    assert "packages: installing with pip, since uv failed" in said
    assert installer(venv, "six") == "pip"
    uninstall(venv, "six")


# Sets of extras, and the build beside them

PROJECT = """
from setuptools import setup

setup(name="stand-in-project", version="1", py_modules=[], extras_require={"more": [], "most": []})
"""

BUILDER = """
import pathlib, sys

if pathlib.Path("refused").exists():
    sys.exit("no compiler")
pathlib.Path("began").write_text(str(sorted(path.name for path in pathlib.Path(".venv").glob("packages-installed*"))))
"""


@pytest.fixture
def project(tmp_path: Path, venv: Path) -> Path:
    """Make a small project that has our scripts, an environment, and a builder that notes when it began."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "setup.py").write_text(PROJECT)
    (folder / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools>=68"]\n')
    builder = folder / "flytekitplugins" / "dolt" / "server" / "builder.py"
    builder.parent.mkdir(parents=True)
    builder.write_text(BUILDER)
    # what the package itself would do, which this project lacks: it says where dolt is
    (builder.parents[1] / "__main__.py").write_text("")
    (builder.parent / "binary.py").write_text(f"def find():\n    return {str(binary.find())!r}\n")
    (folder / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / part).symlink_to(venv / part)
    return folder


def set_up(project: Path, env: dict[str, str], *extras: str, ok: bool = True) -> str:
    """Run the project's set-up and return what it said."""
    clear = {name: value for name, value in env.items() if name != "DOLT_BIN"}
    programs = [folder for folder in env["PATH"].split(os.pathsep) if not (Path(folder) / "dolt").exists()]
    argv = [str(project / "tools" / "setup.sh"), *extras]
    clear["PATH"] = os.pathsep.join(programs)
    done = subprocess.run(argv, cwd=project, env=clear, capture_output=True, text=True, timeout=240)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stderr


def stamps(project: Path) -> list[str]:
    """List the sets of extras that were installed."""
    return sorted(path.name for path in (project / ".venv").glob("packages-installed*"))


@pytest.mark.slow
def test_each_set_of_extras_is_installed_once(project: Path, env: dict[str, str]) -> None:
    """A set is installed when first asked for; a part of one that is there is not, until setup.py changes."""
    (project / ".venv" / "bin" / "uv").symlink_to(Path(sys.prefix) / "bin" / "uv")
    assert "installing" in set_up(project, env)
    assert stamps(project) == ["packages-installed"]
    assert (project / "began").read_text() == "[]", "the build began when packages were installed"
    assert set_up(project, env) == ""
    assert "installing" in set_up(project, env, "more", "most")
    assert stamps(project) == ["packages-installed", "packages-installed+more+most"]
    assert set_up(project, env, "most") == ""
    assert set_up(project, env, "most", "more") == ""
    newer = (project / ".venv" / "packages-installed+more+most").stat().st_mtime + 10
    os.utime(project / "setup.py", (newer, newer))
    assert "installing" in set_up(project, env)
    (project / ".venv" / "bin" / "uv").unlink()


@pytest.mark.slow
def test_a_build_that_fails_ends_the_set_up(project: Path, env: dict[str, str]) -> None:
    """It says so after the packages, which stay, and the next try builds again."""
    (project / "refused").touch()
    said = set_up(project, env, ok=False)
    assert "no compiler" in said
    assert "setup: dolt could not be built." in said.splitlines()
    assert stamps(project) == ["packages-installed"]
    (project / "refused").unlink()
    set_up(project, env)
    assert (project / ".venv" / "dolt-path").read_text().strip() == str(binary.find())


def test_packages_that_fail_end_the_build(project: Path, env: dict[str, str]) -> None:
    """Nothing that was started goes on when the set-up has ended."""
    (project / "flytekitplugins" / "dolt" / "server" / "builder.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(300)\n"
    )
    said = set_up(project, {**env, "PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "0"}, ok=False)
    assert "setup: the packages could not be installed." in said.splitlines()
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(int((project / "pid").read_text()), 0)
