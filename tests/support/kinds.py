"""Names for what fixtures of tests/conftest.py give."""

from __future__ import annotations

from collections.abc import Callable

Dolt = Callable[..., str]
"""Runs the user's ``dolt`` in the repository and returns what it prints."""
