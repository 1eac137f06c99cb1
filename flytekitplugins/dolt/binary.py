"""Finding and running dolt, at the import path that examples have shown. Nothing is defined here."""

from __future__ import annotations

from .server.binary import create_repository, find, run, version

__all__ = ["create_repository", "find", "run", "version"]
