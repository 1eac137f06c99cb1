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


@pytest.mark.parametrize("module", ["pandas._libs", "pyarrow.lib", "pymysql", "sqlalchemy", "doltcli"])
def test_importing_brings_nothing_heavy(module: str) -> None:
    """`import flytekit` imports this package, so neither pandas nor a driver may come with it."""
    assert python(f"import flytekit, flytekitplugins.dolt, sys; print({module!r} in sys.modules)") == "False"


HEAVY = {"pandas", "pyarrow", "numpy", "pymysql", "sqlalchemy", "flytekit"}


def brought_by(*arguments: str) -> set[str]:
    """Return what heavy the command line imports until it ends, or becomes `dolt`, with these arguments."""
    argv = [sys.executable, "-X", "importtime", "-m", "flytekitplugins.dolt", *arguments]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=120).stderr
    return {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")} & HEAVY


@pytest.mark.parametrize(
    "arguments", [("dolt", "version"), ("--help",), ("diff", "--help"), ("--version",), ("doctor",)]
)
def test_a_command_does_not_import_what_others_need(arguments: tuple[str, ...]) -> None:
    """Who runs `dolt` through us, or reads the help, does not wait for frames and drivers."""
    assert brought_by(*arguments) == set()


def test_a_verb_imports_what_it_needs_when_it_is_chosen() -> None:
    """What looks at rows needs Arrow, so what the test above looks at is there to be seen."""
    assert brought_by("tables", "--db", "/nonexistent") >= {"pyarrow", "pymysql"}


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


LOADED_WITH_FLYTEKIT = """
api api.table api.task_run api.typed_frames api.uri errors flyte flyte.context flyte.dataframes flyte.secrets
flyte.task_runtime flyte.unpinned_inputs flyte.value_types flyte.wiring model model.by_identity model.configs
model.location model.naming model.nesting model.options model.query_parameters model.runtime model.serialization
model.timepoints model.trust schema
"""


@pytest.mark.serial
def test_it_costs_little_beyond_flytekit() -> None:
    """The package adds few modules to flytekit's some thousand: a count, since a clock would be guessing."""
    code = "import sys, flytekit; print(sorted(m for m in sys.modules if m.startswith('flytekitplugins.dolt.')))"
    assert python(code) == str([f"flytekitplugins.dolt.{name}" for name in LOADED_WITH_FLYTEKIT.split()])


def test_the_package_alone_does_not_import_flytekit() -> None:
    """Scripts that read and write do not pay for flytekit."""
    assert python("import flytekitplugins.dolt, sys; print('flytekit' in sys.modules)") == "False"


@pytest.mark.parametrize("name", ["DoltTable", "Secret", "DoltConfig", "Commit"])
def test_nothing_is_put_onto_our_classes(name: str) -> None:
    """A class is the same before and after flytekit is imported."""
    code = (
        f"from flytekitplugins.dolt import {name} as C; before = dict(vars(C));"
        "import flytekit; print(dict(vars(C)) == before)"
    )
    assert python(code) == "True"


REGISTERED = (
    "from flytekit.core.type_engine import TypeEngine; from flytekitplugins.dolt import DoltTable;"
    "from flytekitplugins.dolt.model import runtime;"
    "print(type(TypeEngine.get_transformer(DoltTable)).__name__, type(runtime.current()).__name__)"
)


@pytest.mark.parametrize("order", ["import flytekit, flytekitplugins.dolt", "import flytekitplugins.dolt, flytekit"])
def test_either_order_of_imports_registers(order: str) -> None:
    """Where the package is installed, flytekit knows our types whichever is imported first."""
    assert python(f"{order};{REGISTERED}") == "DoltTableTransformer FlyteRuntime"


def without_metadata(code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` where the package is only on the path of modules, as its sources are, and not installed."""
    hide = (
        "from importlib import metadata; found = metadata.entry_points;"
        "metadata.entry_points = lambda **by: () if by.get('group') == 'flytekit.plugins' else found(**by)\n"
    )
    return subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, timeout=120)


def test_sources_on_the_path_register_where_flytekit_is_there_already() -> None:
    """Without metadata there is no entry point; the package then registers when it finds flytekit imported."""
    done = without_metadata(f"import flytekit, flytekitplugins.dolt;{REGISTERED}")
    assert (done.stdout.strip(), done.stderr) == ("DoltTableTransformer FlyteRuntime", "")


def test_a_border_that_is_not_registered_says_so() -> None:
    """Where flytekit came last and found no entry point, reading and writing say that it does not know our types."""
    code = "import flytekitplugins.dolt as d; import flytekit; d.read(d.DoltConfig('foo', 't'))"
    done = without_metadata(code)
    assert done.returncode == 1
    assert "NotRegistered" in done.stderr
    assert "flytekitplugins.dolt.flyte" in done.stderr


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
