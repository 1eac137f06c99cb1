"""The distribution `flytekitplugins-doltdb`; the settings of the tools are in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_namespace_packages, setup

README = Path(__file__).with_name("README.md")

setup(
    name="flytekitplugins-doltdb",
    version="0.1.0",
    description="Versioned tables for Flyte tasks, on Dolt: a task's frame becomes a commit, and comes back",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10",
    # flytekitplugins and flyteplugins are namespaces shared with other distributions: no __init__.py, nothing of ours.
    packages=find_namespace_packages(include=["flytekitplugins.*", "flyteplugins.*"], exclude=["*.__pycache__"]),
    package_data={
        "": ["py.typed"],
        "flytekitplugins.dolt.native": ["go.mod", "go.sum", "*.go"],
    },
    include_package_data=False,
    entry_points={
        "flytekit.plugins": ["dolt = flytekitplugins.dolt.flyte"],
        "flyte.plugins.types": ["dolt = flytekitplugins.dolt.flyte2:register"],
    },
    # The lower bounds are the oldest versions with which the tests of `make test-oldest` pass (constraints/oldest.txt).
    install_requires=[
        "flytekit>=1.16,<2; python_version < '3.13'",  # the tasks of Flyte 1; it has no release for 3.13
        "mashumaro>=3.15",  # our values inside dataclasses, without flytekit, too; flytekit asks for the same
        "pandas>=2.0.3",  # 2.0 is the first with datetimes that are not in nanoseconds; 2.0.0 lacks structs of Arrow
        "pyarrow>=16",  # 16 is the first that tells string views from strings
        "pymysql>=1.2.4,<2",  # statements and rows; 1.2.0 quotes negative durations and bytes wrongly
        "sqlalchemy>=2",  # SQLAlchemyTask
        # runs `dolt`, and the set_dolt_path that users know; what it needs cannot be built for 3.13
        "doltcli>=0.1.18; python_version < '3.13'",
        "sqlglot>=28,<31",  # the structure of queries; 27 cannot read MOD, and each major version changes trees
    ],
    extras_require={
        # the tasks of Flyte 2, another package with another type system; 2.6.7 is the first whose flyte.io.DataFrame
        # opens in sync tasks (docs/decisions/0016 says what earlier ones lack)
        "flyte2": ["flyte>=2.6.7,<3"],
        "polars": ["polars>=1"],  # pl.DataFrame and pl.LazyFrame in task signatures
        "sqlalchemy": ["psycopg[binary]>=3"],  # SQLAlchemyTask on PostgreSQL; MariaDB, MySQL and Dolt need nothing more
        # Dolt as a wheel, with the procedures in it; packaging/dolt-bin makes it, and it has to be published first
        "bin": ["flytekitplugins-doltdb-bin==1.83.2.*"],
        "docs": [
            "furo",  # the pages' look
            "myst-parser>=3",  # the guide is Markdown, as GitHub shows it
            "sphinx>=7",  # the reference is made from docstrings
        ],
        # the table formats that `make bench` compares with, as new as they were tried; neither tests nor CI need them
        "bench": [
            "deltalake>=1.6",  # Delta Lake
            "pyiceberg[pyarrow,pyiceberg-core,sql-sqlite]>=0.12",  # Iceberg, with a catalog in a file
            "pylance>=14",  # Lance
        ],
        # what the tests need beside all the other extras
        "dev": [
            "basedpyright>=1.20",  # the second type checker that users have; brings its own Node.js
            "build",  # sdist and wheel
            "connectorx>=0.4.6",  # what benchmarks hold reads against; earlier ones do not know ssl-mode
            "coverage>=7.10",  # which lines no test ran; earlier ones count no subprocesses
            "cryptography>=42",  # certificates of the servers that are tested
            "hypothesis>=6",  # properties of values and names
            "import-linter>=2",  # who may import whom
            "mypy>=1.11",
            "pandas-stubs",  # types for mypy, as types-PyMySQL
            "pydantic>=2",  # models that hold tables
            "pytest-timeout>=2",  # a hung server fails its test instead of stopping the run
            "pytest>=8",
            "radon>=6",  # how branched functions are
            "ruff>=0.9",
            "scipy>=1.10",  # what shifts of columns are held against
            "types-PyMySQL",
            "uv>=0.13",  # installs packages into the environments that tests make
        ],
    },
    classifiers=[
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Database",
        "Topic :: Software Development :: Version Control",
        "Typing :: Typed",
    ],
)
