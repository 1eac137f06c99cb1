"""What is attempted completes "Cannot ..." in errors, and nobody hands it down."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest

from flytekitplugins.doltdb.attempts import attempted, attempting

SQL_PLUGIN = Path(__file__).parents[2] / "flytekitplugins" / "sqlalchemy"


def test_the_innermost_counts() -> None:
    """An inner block has its own words, and those of the outer one are back behind it, after an error too."""
    before = attempted()
    with attempting("write table 't'"):
        with pytest.raises(KeyError), attempting("take the lock"):
            assert attempted() == "take the lock"
            raise KeyError
        assert attempted() == "write table 't'"
    assert attempted() == before


def test_each_thread_has_its_own() -> None:
    """What one thread attempts is not said of the errors of another."""
    before, found = attempted(), []
    with attempting("write table 't'"):
        thread = threading.Thread(target=lambda: found.append(attempted()))
        thread.start()
        thread.join()
    assert found == [before]


def test_no_function_is_told() -> None:
    """In the SQL plugin it is no parameter and no attribute."""
    trees = [ast.walk(ast.parse(path.read_text())) for path in SQL_PLUGIN.glob("*.py")]
    names = {getattr(node, "arg", None) or getattr(node, "attr", None) for tree in trees for node in tree}
    assert "where" in names
    assert "attempt" not in names
