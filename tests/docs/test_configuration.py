"""Options can be found: by help, on their page, by completion; and every example of a field is one that works."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import inspect
import io
import rlcompleter
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from flytekit import Secret as FlyteSecret

import flytekitplugins.dolt
import flytekitplugins.sqlalchemy
from flytekitplugins.dolt import (
    ColumnProfile,
    ColumnShift,
    Commit,
    DoltConfig,
    Shift,
    TableDiff,
    TableProfile,
    create_repository,
    diff,
    profile,
    write,
)
from flytekitplugins.dolt.model import options
from flytekitplugins.dolt.profiles.shifts import shift_of
from flytekitplugins.dolt.repository import refs
from flytekitplugins.doltdb.fields import fields_of

TOOL = Path(__file__).parents[2] / "tools" / "configuration_page.py"


def tool() -> ModuleType:
    """Return the tool that writes the page, as a module."""
    spec = importlib.util.spec_from_file_location("configuration_page", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLASSES: list[type[Any]] = tool().public_classes()


def test_the_page_is_what_the_code_says() -> None:
    """docs/configuration.md is made out of the source, and nothing else."""
    done = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


def test_the_page_has_the_classes_that_are_public() -> None:
    """No public class with fields is missing."""
    modules = (flytekitplugins.dolt, flytekitplugins.sqlalchemy)
    public = [getattr(module, name) for module in modules for name in module.__all__]
    wanted = {kind for kind in public if inspect.isclass(kind) and getattr(kind, "__dataclass_fields__", None)}
    assert set(CLASSES) == wanted
    assert {"DoltConfig", "DoltTable", "TableDiff", "SQLAlchemyConfig"} <= {cls.__name__ for cls in CLASSES}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_is_described(cls: type[Any]) -> None:
    """Each has a text, an example and its default, and `help` shows them."""
    described = fields_of(cls)
    given = list(inspect.signature(cls).parameters)
    assert sorted(field.name for field in described) == sorted(given)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        help(cls)
    shown = " ".join(said.getvalue().replace("|", " ").split())
    for field in described:
        assert field.text, field.name
        assert field.example, field.name
        parameter = inspect.signature(cls).parameters[field.name]
        assert (field.default is None) == (parameter.default is inspect.Parameter.empty), field.name
        for part in (field.text, field.example):
            assert " ".join(part.replace("|", " ").split()) in shown


NAMES: dict[str, Any] = {
    **{name: getattr(flytekitplugins.dolt, name) for name in flytekitplugins.dolt.__all__},
    "SQLAlchemyConfig": flytekitplugins.sqlalchemy.SQLAlchemyConfig,
    "pd": pd,
}
NEEDS = {
    "sql": "DoltConfig('foo', {})",
    "params": "DoltConfig('foo', sql='select :least', {})",
    "secret": "DoltConfig('mysql+pymysql://me@dolt.example/foo', 'rabbits', {})",
    "read_from": "DoltConfig('mysql+pymysql://me@dolt.example/foo', 'rabbits', {})",
    "tablename": "DoltConfig('foo', {})",
    "connect_args": "SQLAlchemyConfig('mysql://db.example/sales', {})",
}
"""Into what an example is put that does not go with the usual."""

RESULTS = (Commit, TableDiff, TableProfile, ColumnProfile, Shift, ColumnShift)
"""Classes that are found, not made; their examples ask one for its field."""

EXAMPLES = [
    pytest.param(cls, field.name, field.example, id=f"{cls.__name__}.{field.name}")
    for cls in CLASSES
    if cls not in RESULTS
    for field in fields_of(cls)
]


@pytest.mark.parametrize(("cls", "name", "example"), EXAMPLES)
def test_every_example_makes_what_it_says(cls: type[Any], name: str, example: str) -> None:
    """It is an expression that makes a value of the class in which the field is set, and the value passes its check."""
    usual = (
        "SQLAlchemyConfig('mysql://db.example/sales', {})" if "SQL" in cls.__name__ else "DoltConfig('foo', 't', {})"
    )
    text = NEEDS.get(name, usual).format(example) if example.startswith(f"{name}=") and "(" not in name else example
    text = text if example.startswith(f"{name}=") else example
    made = eval(text, {**NAMES, "Secret": FlyteSecret if "SQL" in cls.__name__ else NAMES["Secret"]})
    assert isinstance(made, cls)
    assert getattr(made, name) is not None
    if isinstance(made, DoltConfig):
        made.check()


def test_examples_of_results_are_so(tmp_path: Path) -> None:
    """What is shown of commits and differences can be asked of real ones."""
    config = DoltConfig(str(create_repository(tmp_path / "foo")), "t", primary_key=["id"])
    for count in (1, 2):
        write(config, pd.DataFrame({"id": range(count)}))
    known = {
        "found": diff("HEAD~1", "HEAD", table="t", db_path=config.db_path),
        "commit": refs.log(refs.locate(config.db_path))[0],
    }
    for cls in (Commit, TableDiff):
        for field in fields_of(cls):
            assert eval(field.example, dict(known)) is not None or field.name in ("branch",), field.example


def test_examples_of_profiles_and_shifts_are_so() -> None:
    """What is shown of them can be asked of real ones; what does not apply to a column is None."""
    frame = pd.DataFrame({"id": [1, 2]})
    found, moved = profile(frame), shift_of(frame, frame)
    examples = {TableProfile: ("found", found), ColumnProfile: ("column", found["id"])}
    examples |= {Shift: ("found", moved), ColumnShift: ("column", moved["id"])}
    for cls, (name, value) in examples.items():
        for field in fields_of(cls):
            assert eval(field.example, {name: value}) is not None or field.default == "None", field.example


def test_completion_offers_what_is_public() -> None:
    """`dir`, which kernels complete by, gives the public names and nothing else; so does Python's own completion."""
    for module in (flytekitplugins.dolt, flytekitplugins.sqlalchemy):
        assert dir(module) == sorted(module.__all__)
    completer = rlcompleter.Completer({"dolt": flytekitplugins.dolt})
    offered = []
    while (found := completer.complete("dolt.", len(offered))) is not None:
        offered.append(found.removeprefix("dolt.").rstrip("()"))
    assert sorted(offered) == sorted(flytekitplugins.dolt.__all__)


def test_choices_are_types() -> None:
    """An option that takes one of some texts says which in its type, and refuses all others."""
    hints = typing.get_type_hints(DoltConfig)
    for name in ("mode", "on_schema_change", "index", "on_moved", "triggers"):
        texts = [part for part in typing.get_args(hints[name]) if typing.get_origin(part) is typing.Literal]
        for text in typing.get_args(texts[0]):
            assert DoltConfig("foo", "t", **{name: text}).options() == {name: text}
        with pytest.raises(flytekitplugins.dolt.errors.InvalidConfig, match=f"{name} is one of"):
            options.chosen(DoltConfig("foo", "t", **{name: "x"}))


def test_a_class_without_its_source_has_its_own_text() -> None:
    """Where only compiled modules are installed there are no texts of fields, and no error."""
    code = (
        "import inspect\n"
        "def none(*_): raise OSError\n"
        "inspect.getsource = none\n"
        "from flytekitplugins.dolt import DoltConfig\n"
        "print(DoltConfig.__doc__.splitlines()[0], 'Fields:' in DoltConfig.__doc__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "Which repository, which table or query, on which branch. False\n", done.stderr


def test_it_costs_nothing_on_import() -> None:
    """Sources are read when somebody asks, and not before."""
    code = "import flytekit, sys; from flytekitplugins.doltdb import fields; print(fields._read.cache_info().currsize)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0\n", done.stderr
    assert dataclasses.is_dataclass(DoltConfig)
