"""What importing and registering costs and brings along, and what is said where it failed; in fresh interpreters."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

LOADED = """
api api.table api.task_run api.typed_frames api.uri errors flyte2 flyte2.context flyte2.faults flyte2.frames
flyte2.pickles flyte2.secrets flyte2.task_runtime flyte2.values model model.by_identity model.configs model.location
model.naming model.nesting model.options model.query_parameters model.runtime model.serialization model.timepoints
model.trust schema
"""

REGISTERED = (
    "from flyte.types import TypeEngine; from flytekitplugins.dolt import DoltTable;"
    "print(type(TypeEngine.get_transformer(DoltTable)).__name__)"
)

HIDDEN = """
from importlib import metadata
found = metadata.entry_points
def others(**by):
    return found(**by) if by.get("group") != "flyte.plugins.types" else ()
class All(tuple):
    def select(self, **by):
        return others(**by)
metadata.entry_points = lambda **by: others(**by) if by else All()
"""


def python(code: str, *, ok: bool = True, folder: Path | None = None) -> str:
    """Run ``code`` in a fresh interpreter, and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=folder)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return (done.stdout + ("" if ok else done.stderr)).strip()


def test_registering_is_cheap() -> None:
    """It loads few modules of ours (a count, since a clock would be guessing), no flytekit and nothing heavy."""
    loads = (
        "import sys, flyte.types; flyte.types.TypeEngine.get_transformer(int);"
        "print(*sorted(m[21:] for m in sys.modules if m.startswith('flytekitplugins.dolt.')));"
        "print([m for m in ('flytekit', 'pandas._libs', 'pyarrow.lib', 'pymysql', 'sqlalchemy', 'flyte.io._dataframe',"
        " 'flyte.report') if m in sys.modules])"
    )
    ours, heavy = python(loads).splitlines()
    assert ours == " ".join(LOADED.split())
    assert heavy == python(HIDDEN + loads).splitlines()[-1]  # Flyte 2.7 itself loads its engine for frames


def test_the_entry_point_registers() -> None:
    """Flyte calls it before it first looks for a type."""
    code = (
        "import flyte.types; T = flyte.types.TypeEngine; T.get_transformer(int); import sys;"
        "print(type(T.get_transformer(sys.modules['flytekitplugins.dolt.schema'].DoltTable)).__name__)"
    )
    assert python(code) == "DoltTableTransformer"


@pytest.mark.parametrize(
    "order",
    ["import flyteplugins.dolt", "import flyte, flytekitplugins.dolt", "import flytekitplugins.dolt, flyte"],
)
def test_any_order_of_imports_registers(order: str) -> None:
    """Whichever is imported first, Flyte knows our types."""
    assert python(f"{order};{REGISTERED}") == "DoltTableTransformer"


def test_sources_on_the_path_register() -> None:
    """Without metadata there is no entry point; the package then registers where it finds Flyte 2 imported."""
    assert python(f"{HIDDEN}\nimport flyte, flytekitplugins.dolt;{REGISTERED}") == "DoltTableTransformer"


UNREGISTERED = """
import flytekitplugins.dolt as d, flyte, pandas as pd
from typing import Annotated

env = flyte.TaskEnvironment(name="e")

@env.task
async def make() -> d.DoltTable:
    return d.write(d.DoltConfig("foo", "t"), pd.DataFrame({"a": [1]}))

flyte.init()
flyte.with_runcontext(mode="local").run(make)
"""


def test_a_border_that_is_not_registered_says_so(tmp_path: Path) -> None:
    """Where Flyte 2 came last and found no entry point, a task says that nobody knows its tables."""
    said = python(HIDDEN + UNREGISTERED, ok=False, folder=tmp_path)
    assert "Flyte 2 does not know of flytekitplugins.dolt" in said
    assert "import flyteplugins.dolt" in said.replace("\n", " ")


OF_FLYTEKIT = """
from typing import Annotated
from flytekitplugins.dolt import DoltConfig, dolt_frame
import flyte, pandas as pd

env = flyte.TaskEnvironment(name="e")

@env.task
async def make() -> Annotated[pd.DataFrame, dolt_frame(DoltConfig("foo", "t"))]:
    return pd.DataFrame({"a": [1]})

flyte.init()
flyte.with_runcontext(mode="local").run(make)
"""


@pytest.mark.skipif(find_spec("flytekit") is None, reason="flytekit is not here")
def test_a_frame_is_not_stored_as_parquet_in_silence(tmp_path: Path) -> None:
    """Flyte 2 passes over an annotation that it does not know; ours says that it is not known."""
    assert "Flyte 2 does not know of flytekitplugins.dolt" in python(HIDDEN + OF_FLYTEKIT, ok=False, folder=tmp_path)


BROKEN = """
from flytekitplugins.dolt.flyte2 import frames
def broken():
    raise RuntimeError("broken")
frames.register = broken
"""


def test_a_border_that_broke_says_so(tmp_path: Path) -> None:
    """Flyte only logs what an entry point raises; the task that writes is told."""
    code = UNREGISTERED.replace("flytekitplugins.dolt as d, flyte", "flytekitplugins.dolt as d")
    said = python(BROKEN + code.replace("env =", "import flyte\nenv ="), ok=False, folder=tmp_path)
    assert "Flyte 2 does not know of flytekitplugins.dolt" in said


def test_the_names_of_both_packages_are_there() -> None:
    """`flyteplugins.dolt` has all public names; those that are of Flyte are in the form of Flyte 2."""
    import flytekitplugins.dolt as all_names
    import flyteplugins.dolt as names

    assert set(names.__all__) == (set(all_names.__all__) - {"resolve"})
    assert all(getattr(names, name) is not None for name in names.__all__)
    assert dir(names) == names.__all__
    assert names.DoltTable is all_names.DoltTable
    assert names.dolt_frame.__module__ == "flytekitplugins.dolt.flyte2.frames"
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = names.nonsense


def test_the_doctor_finds_all_well() -> None:
    """Where Flyte 2 is, flytekit and doltcli need not be."""
    done = subprocess.run([sys.executable, "-m", "flytekitplugins.dolt", "doctor"], capture_output=True, text=True)
    assert "flyte 2." in done.stdout
    assert [line for line in done.stdout.splitlines() if "pip install" in line] == []


@pytest.mark.skipif(find_spec("flytekit") is not None, reason="flytekit is here")
def test_without_flytekit_its_names_say_what_is_missing() -> None:
    """What is for tasks of flytekit alone is an ImportError that names it; all else works."""
    assert "flytekit" in python("from flytekitplugins.dolt import dolt_frame", ok=False)
    assert python("import flytekitplugins.dolt as d; print(d.DoltConfig('foo', 't').tablename)") == "t"
