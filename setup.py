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
    # flytekitplugins itself is a namespace shared with other distributions: no __init__.py, and nothing of ours in it.
    packages=find_namespace_packages(include=["flytekitplugins.*"], exclude=["*.__pycache__"]),
    package_data={
        "": ["py.typed"],
        "flytekitplugins.dolt.dolt_bin": ["go.mod", "go.sum", "*.go"],
    },
    include_package_data=False,
    entry_points={"flytekit.plugins": ["dolt = flytekitplugins.dolt"]},
    install_requires=[
        "flytekit>=1.16,<2",
        "pandas>=2.0",
        "pyarrow>=15",
        "pymysql>=1.1",
        "sqlalchemy>=2",
        "connectorx>=0.4",
        "doltcli>=0.1.18",
        "sqlglot>=26",
    ],
    extras_require={
        "polars": ["polars>=1"],  # pl.DataFrame and pl.LazyFrame in task signatures
        "dev": [
            "build",
            "hypothesis>=6",
            "import-linter>=2",
            "mypy>=1.11",
            "pandas-stubs",
            "polars>=1",
            "psycopg[binary]>=3",  # SQLAlchemyTask is tried on PostgreSQL, too
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-timeout>=2",
            "ruff>=0.9",
            "types-PyMySQL",
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
    ],
)
