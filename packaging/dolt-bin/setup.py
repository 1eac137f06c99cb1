"""Builds a wheel for this platform that holds nothing but `dolt`, installed beside `python`.

On Linux the program is static, by zig and musl, so that one wheel serves every distribution of this kind of machine.

How Dolt is built, from which sources and with which tools, is `flytekitplugins/dolt/server/builder.py` of this
repository.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from setuptools import Distribution, setup  # isort: skip  # it brings the distutils that Python 3.12 has lost
from distutils.command.build_scripts import build_scripts

from setuptools.command.bdist_wheel import bdist_wheel

POST = 1
"""Which publication of this Dolt it is; it goes up when our procedures or the way of building change."""

BUILDER = Path(__file__).resolve().parents[2] / "flytekitplugins" / "dolt" / "server" / "builder.py"


def load_builder() -> ModuleType:
    """Load builder.py by its path: the package around it needs dependencies that a build environment lacks."""
    if not BUILDER.is_file():
        raise SystemExit(f"Cannot build dolt: {BUILDER} is not there. Build this folder inside its repository.")
    spec = importlib.util.spec_from_file_location("dolt_builder", BUILDER)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


builder = load_builder()
scratch = tempfile.TemporaryDirectory(prefix="dolt-wheel-")  # gone at exit, so that no 120 MB stay in the repository

LICENCES = Path(scratch.name) / "LICENSES"


class BuildDolt(build_scripts):
    """Builds dolt, with Go's own cache where Go is here, as the one script of this distribution."""

    def run(self) -> None:
        """Put the binary where setuptools collects scripts; unlike its own way, do not read it as text."""
        try:
            binary = builder.build(
                Path(scratch.name).absolute() / "fresh" / "dolt", plan=builder.static_plan, licences=LICENCES
            )
        except builder.BuildError as error:
            raise SystemExit(str(error)) from error
        target = Path(self.build_dir) / "dolt"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(binary, target)


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3 of this platform."""

    def finalize_options(self) -> None:
        """Say that the wheel is not pure."""
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag of this platform, for every Python 3; a static program runs with either C library of Linux."""
        platform = super().get_tag()[2]
        if platform.startswith("linux_"):
            machine = platform.removeprefix("linux_")
            platform = f"manylinux_2_17_{machine}.manylinux2014_{machine}.musllinux_1_1_{machine}"
        return "py3", "none", platform

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        """Add the licences of what is linked, which are known when it is built."""
        super().egg2dist(egginfo_path, distinfo_path)
        folder = Path(distinfo_path) / "licenses"
        folder.mkdir(exist_ok=True)
        shutil.copy(LICENCES, folder / LICENCES.name)


class BinaryDistribution(Distribution):
    """A distribution with one script that exists only after the build."""

    def has_scripts(self) -> bool:
        """Return True, so that `BuildDolt` runs."""
        return True


setup(
    name="flytekitplugins-doltdb-bin",
    version=f"{builder.DOLT_VERSION}.post{POST}",
    description="The Dolt binary for flytekitplugins-doltdb, built from its sources with procedures for rows",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10",
    packages=[],
    scripts=["dolt"],
    options={"build": {"build_base": scratch.name}},
    distclass=BinaryDistribution,
    cmdclass={"build_scripts": BuildDolt, "bdist_wheel": PlatformWheel},
)
