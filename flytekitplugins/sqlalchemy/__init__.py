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

from .errors import SQLTaskError
from .task import SQLAlchemyConfig, SQLAlchemyDefaultImages, SQLAlchemyTask, SQLAlchemyTaskExecutor

__all__ = [
    "SQLAlchemyConfig",
    "SQLAlchemyDefaultImages",
    "SQLAlchemyTask",
    "SQLAlchemyTaskExecutor",
    "SQLTaskError",
]


def __dir__() -> list[str]:
    """Return the public names, which completion then offers."""
    return sorted(__all__)
