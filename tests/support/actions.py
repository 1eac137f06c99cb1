"""Tasks of Flyte 2 in containers, as far as there are any without a cluster: each in a process of its own, by `a0`.

An action has a working folder and a HOME of its own, its inputs and outputs are files, and its code comes from the
"image". So whatever a task leaves in memory, in its folder or in its home is gone for the next one.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import image_modules
from flyte._internal.runtime.convert import convert_from_native_to_inputs
from flyte.types import TypeEngine
from flyteidl2.core import execution_pb2
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.task import common_pb2

PROJECT, DOMAIN, VERSION, RUN = "animals", "testing", "v1", "r1"


class ActionFailed(AssertionError):
    """An action ended with an error; the fields are those of its error file, and ``code`` is None where it has none."""

    def __init__(self, code: str | None, message: str, *, recoverable: bool, log: str) -> None:
        super().__init__(f"{code}: {message}\n{log[-3000:]}")
        self.code, self.message, self.recoverable, self.log = code, message, recoverable, log


@dataclass
class Container:
    """Where actions run."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    """What every action finds in its environment."""

    def image(self, name: str, source: str) -> Any:
        """Put ``source`` as the module ``name`` into the image that all actions have, and return the module."""
        return image_modules.added(self.folder / "image", name, source)

    def run(self, task: Any, action: str, *, attempt: int = 0, **inputs: Any) -> dict[str, Literal]:
        """Run a task as an action, and return the literals of its outputs; an input may be the output of another."""
        folder = self.folder / f"{action}-{attempt}"
        for name in ("out", "home", "work", "raw", "base"):
            (folder / name).mkdir(parents=True)
        (folder / "in.pb").write_bytes(_inputs(task, inputs).SerializeToString())
        done = self._a0(task, action, attempt, folder)
        error = folder / "out" / "error.pb"
        if error.exists():
            found = execution_pb2.ErrorDocument.FromString(error.read_bytes()).error
            recoverable = found.kind == execution_pb2.ContainerError.RECOVERABLE
            raise ActionFailed(found.code, found.message, recoverable=recoverable, log=done.stdout)
        if done.returncode != 0:
            raise ActionFailed(None, f"it exited with {done.returncode}", recoverable=True, log=done.stdout)
        outputs = common_pb2.Outputs.FromString((folder / "out" / "outputs.pb").read_bytes())
        return {each.name: each.value for each in outputs.literals}

    def _a0(self, task: Any, action: str, attempt: int, folder: Path) -> subprocess.CompletedProcess[str]:
        function = task.func
        # fmt: off
        argv = [
            str(Path(sys.executable).with_name("a0")),
            "--inputs", str(folder / "in.pb"), "--outputs-path", str(folder / "out"), "--version", VERSION,
            "--run-base-dir", str(folder / "base"), "--raw-data-path", str(folder / "raw"), "--run-name", RUN,
            "--name", action, "--project", PROJECT, "--domain", DOMAIN, "--org", "o",
            "--resolver", "flyte._internal.resolvers.default.DefaultTaskResolver",
            "mod", function.__module__, "instance", function.__name__,
        ]
        # fmt: on
        environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "PYTHONPATH": str(self.folder / "image"),
            "FLYTE_ATTEMPT_NUMBER": str(attempt),
            **self.environment,
        }
        return subprocess.run(
            argv,
            cwd=folder / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )


def _inputs(task: Any, given: Mapping[str, Any]) -> common_pb2.Inputs:
    plain = {name: value for name, value in given.items() if not isinstance(value, Literal)}
    literals = [common_pb2.NamedLiteral(name=n, value=v) for n, v in given.items() if isinstance(v, Literal)]
    if plain:
        made = asyncio.run(convert_from_native_to_inputs(_only(task.native_interface, plain), **plain))
        literals += list(made.proto_inputs.literals)
    return common_pb2.Inputs(literals=literals)


def _only(interface: Any, names: Mapping[str, Any]) -> Any:
    """Return an interface with these inputs alone, since Flyte asks for all that have no default."""
    return type(interface)(inputs={n: t for n, t in interface.inputs.items() if n in names}, outputs={})


def value(literal: Literal, declared: Any) -> Any:
    """Return the value of a literal outside of any task."""
    return asyncio.run(TypeEngine.to_python_value(literal, declared))
