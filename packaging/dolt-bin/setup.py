"""Builds a wheel for this platform that holds nothing but `dolt`, installed beside `python`.

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


class BuildDolt(build_scripts):
    """Builds dolt, or takes it from this user's cache, as the one script of this distribution."""

    def run(self) -> None:
        """Put the binary where setuptools collects scripts; unlike its own way, do not read it as text."""
        try:
            binary = builder.build()
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
        """Return the tag of this platform, for every Python 3."""
        return "py3", "none", super().get_tag()[2]


class BinaryDistribution(Distribution):
    """A distribution with one script that exists only after the build."""

    def has_scripts(self) -> bool:
        """Return True, so that `BuildDolt` runs."""
        return True


setup(
    name="flytekitplugins-doltdb-bin",
    version=builder.DOLT_VERSION,
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
