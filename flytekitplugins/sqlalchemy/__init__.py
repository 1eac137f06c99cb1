"""
.. currentmodule:: flytekitplugins.sqlalchemy

One SQL statement as a Flyte task: the same select on MySQL, MariaDB, Dolt, or any server that SQLAlchemy knows.

.. autosummary::
   :template: custom.rst
   :toctree: generated/

   SQLAlchemyConfig
   SQLAlchemyDefaultImages
   SQLAlchemyTask
   SQLAlchemyTaskExecutor
"""

from __future__ import annotations

import warnings
from importlib import metadata

from .errors import SQLTaskError
from .task import SQLAlchemyConfig, SQLAlchemyDefaultImages, SQLAlchemyTask, SQLAlchemyTaskExecutor

__all__ = [
    "SQLAlchemyConfig",
    "SQLAlchemyDefaultImages",
    "SQLAlchemyTask",
    "SQLAlchemyTaskExecutor",
    "SQLTaskError",
]


def _warn_of_conflict() -> None:
    """Say so if the earlier plugin, whose files have the same names, is installed as well."""
    try:
        metadata.distribution("flytekitplugins-sqlalchemy")
    except metadata.PackageNotFoundError:
        return
    warnings.warn(
        "flytekitplugins-sqlalchemy is installed beside flytekitplugins-doltdb, and both bring the package "
        "flytekitplugins.sqlalchemy: run `pip uninstall flytekitplugins-sqlalchemy`, then reinstall "
        "flytekitplugins-doltdb.",
        stacklevel=3,
    )


_warn_of_conflict()
