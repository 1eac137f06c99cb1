"""What importing costs and brings along, asked in fresh interpreters."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import flytekitplugins.dolt


def python(code: str) -> str:
    """Run ``code`` in a fresh interpreter that treats warnings of ours as errors, and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["pandas._libs", "pyarrow.lib", "pymysql", "connectorx", "sqlalchemy", "doltcli"])
def test_importing_brings_nothing_heavy(module: str) -> None:
    """`import flytekit` imports this package, so neither pandas nor a driver may come with it."""
    assert python(f"import flytekit, flytekitplugins.dolt, sys; print({module!r} in sys.modules)") == "False"


def test_import_flytekit_registers_the_types() -> None:
    """The entry point makes the types known without an import by the user."""
    code = (
        "import flytekit, sys; from flytekit.core.type_engine import TypeEngine;"
        "print(sorted(t.__name__ for t in TypeEngine.get_available_transformers()"
        " if getattr(t, '__module__', '').startswith('flytekitplugins.dolt')))"
    )
    policies = ["Branch", "MergeBranch", "NewBranch", "SerialBranch"]
    others = ["CallbackMeta", "Changes", "DoltConfig", "DoltMeta", "DoltTable", "Meta", "Remote", "Secret"]
    assert python(code) == str(sorted(policies + others))


@pytest.mark.serial
def test_it_costs_little_beyond_flytekit() -> None:
    """The package adds few modules to flytekit's some thousand: a count, since a clock would be guessing."""
    code = (
        "import sys, flytekit; before = {m for m in sys.modules if not m.startswith('flytekitplugins')};"
        "import flytekitplugins.dolt; print(sorted(m for m in sys.modules if m.startswith('flytekitplugins.dolt.')))"
    )
    assert python(code) == str(
        [
            f"flytekitplugins.dolt.{name}"
            for name in (
                "credentials",
                "errors",
                "execution",
                "moments",
                "names",
                "options",
                "parameters",
                "places",
                "portable",
                "redaction",
                "schema",
                "structured",
                "trailers",
                "transformer",
                "trust",
                "uri",
            )
        ]
    )


def test_all_names_are_there() -> None:
    """Every name in ``__all__`` can be used, also those that are loaded at first use."""
    package = importlib.import_module("flytekitplugins.dolt")
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = package.nonsense


def test_every_public_name_is_documented() -> None:
    """Each public name says what it is."""
    undocumented = [n for n in flytekitplugins.dolt.__all__ if not getattr(flytekitplugins.dolt, n).__doc__]
    assert undocumented == []
