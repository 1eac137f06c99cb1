"""A small cluster: each task of a serialised workflow runs through `pyflyte-execute` in a process of its own.

A pod has a working folder and a HOME of its own, its inputs and outputs are files, its code comes from the "image", and
only the secrets that its task asked for are mounted. So whatever a task leaves in memory, in its folder or in its home
is gone for the next one. What a real cluster adds (propeller, admin, the network between machines) is not here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import image_modules
import msgpack
from flyteidl.core import errors_pb2, literals_pb2
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.base_task import PythonTask
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.core.utils import load_proto_from_file, write_proto_to_file
from flytekit.core.workflow import WorkflowBase
from flytekit.models.literals import Binary, BindingData, Literal, LiteralCollection, LiteralMap, Scalar
from flytekit.tools.translator import Options, get_serializable

PROJECT, DOMAIN, VERSION = "animals", "testing", "v1"
_serialising = Lock()


class PodFailed(AssertionError):
    """A task ended with an error; `message` is what it reported, `recoverable` whether Flyte would run it again."""

    def __init__(self, message: str, *, recoverable: bool, log: str) -> None:
        super().__init__(f"{message}\n{log[-3000:]}")
        self.message, self.recoverable, self.log = message, recoverable, log


@dataclass
class Cluster:
    """Where pods run: an object store and scratch folders below ``folder``, and secrets for those who ask."""

    folder: Path
    secrets: dict[tuple[str, str], str] = field(default_factory=dict)
    """Values by group and key."""

    environment: dict[str, str] = field(default_factory=dict)
    """What every pod finds in its environment."""

    pods: list[Path] = field(default_factory=list)
    """The folder of each pod that ran."""

    def image(self, name: str, source: str) -> Any:
        """Put ``source`` as the module ``name`` into the image that all pods have, and return the module.

        The name has to be one of its own in the whole test session, since flytekit looks modules up by it.
        """
        return image_modules.added(self.folder / "image", name, source)

    def run(self, entity: PythonTask | WorkflowBase, execution: str, **inputs: Any) -> tuple[Any, ...]:
        """Run a task, or each task of a workflow, in pods of their own, and return the outputs as Python values."""
        interface = entity.python_interface
        ctx = FlyteContextManager.current_context()
        given = {
            name: TypeEngine.to_literal(ctx, value, interface.inputs[name], entity.interface.inputs[name].type)
            for name, value in inputs.items()
        }
        if isinstance(entity, WorkflowBase):
            made = self._workflow(entity, execution, given)
        else:
            made = self.pod(entity, execution, given)
        return tuple(TypeEngine.to_python_value(ctx, made[name], kind) for name, kind in interface.outputs.items())

    def _workflow(self, workflow: WorkflowBase, execution: str, inputs: dict[str, Literal]) -> dict[str, Literal]:
        """Run the nodes of a workflow of tasks in their order (which is one in which they can run)."""
        spec = get_serializable({}, self._settings(), workflow, Options())
        known = {"": inputs}
        for node, planned in zip(workflow.nodes, spec.template.nodes, strict=True):
            bound = {binding.var: _value(binding.binding, known) for binding in planned.inputs}
            run = self.map if isinstance(node.flyte_entity, ArrayNodeMapTask) else self.pod
            known[planned.id] = run(node.flyte_entity, execution, bound, node=planned.id)
        return {binding.var: _value(binding.binding, known) for binding in spec.template.outputs}

    def map(
        self, task: ArrayNodeMapTask, execution: str, inputs: Mapping[str, Literal], *, node: str = "n0"
    ) -> dict[str, Literal]:
        """Run each index of a map task in a pod of its own, all at the same time; the outputs are lists."""
        many = [len(given.collection.literals) for name, given in inputs.items() if name not in task.bound_inputs]
        with ThreadPoolExecutor(max_workers=many[0]) as pool:
            runs = [pool.submit(self.pod, task, execution, inputs, node=node, index=index) for index in range(many[0])]
            made = [run.result() for run in runs]
        return {name: Literal(collection=LiteralCollection([one[name] for one in made])) for name in made[0]}

    def pod(
        self,
        task: PythonTask,
        execution: str,
        inputs: Mapping[str, Literal],
        *,
        node: str = "n0",
        attempt: int = 0,
        index: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Literal]:
        """Run one attempt of one task, or of one ``index`` of a map task, and return its outputs as literals.

        Raises:
            PodFailed: it reported an error, or ended without outputs.
        """
        with _serialising:
            template = get_serializable({}, self._settings(), task).template
            pod = self.folder / f"pod{len(self.pods)}"
            self.pods.append(pod)
        prefix = self.folder / "store" / execution / node / "data"
        prefix = prefix if index is None else prefix / "0" / str(index)
        outputs = prefix / str(attempt)
        outputs.mkdir(parents=True)
        write_proto_to_file(LiteralMap(dict(inputs)).to_flyte_idl(), str(prefix / "inputs.pb"))
        write_proto_to_file(template.to_flyte_idl(), str(outputs / "task_template.pb"))
        for part in ("home", "work", "tmp"):
            (pod / part).mkdir(parents=True)
        which = {} if index is None else {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "INDEX", "INDEX": str(index)}
        done = subprocess.run(
            _filled(template, prefix / "inputs.pb", outputs, pod),
            cwd=pod / "work",
            env=self._environment(template, execution, attempt, pod) | which | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=240,
        )
        return _outcome(outputs, done.stdout + done.stderr)

    def _environment(self, template: Any, execution: str, attempt: int, pod: Path) -> dict[str, str]:
        asked = template.security_context.secrets if template.security_context else None
        mounted = {
            "_FSEC_" + "_".join([secret.group, secret.key]).upper(): self.secrets[secret.group, secret.key]
            for secret in asked or []
        }
        return {
            "PATH": os.environ["PATH"],
            "DOLT_BIN": os.environ["DOLT_BIN"],
            "PYTHONPATH": str(self.folder / "image"),
            "HOME": str(pod / "home"),
            "TMPDIR": str(pod / "tmp"),
            "FLYTE_INTERNAL_EXECUTION_ID": execution,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": PROJECT,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": DOMAIN,
            "FLYTE_INTERNAL_TASK_NAME": template.id.name,
            "FLYTE_INTERNAL_TASK_PROJECT": PROJECT,
            "FLYTE_INTERNAL_TASK_DOMAIN": DOMAIN,
            "FLYTE_INTERNAL_TASK_VERSION": VERSION,
            "FLYTE_ATTEMPT_NUMBER": str(attempt),
            **self.environment,
            **mounted,
        }

    @staticmethod
    def _settings() -> SerializationSettings:
        image = Image("default", "example.org/image", "v1")
        return SerializationSettings(
            project=PROJECT, domain=DOMAIN, version=VERSION, image_config=ImageConfig(image, [image])
        )


def counted() -> dict[str, str]:
    """Return the environment in which the lines that a pod runs are counted, if those of the tests are.

    That costs each pod a half as long again; most run what tasks run in the tests' own process, too.
    """
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def _filled(template: Any, inputs: Path, outputs: Path, pod: Path) -> list[str]:
    values = {
        "{{.input}}": str(inputs),
        "{{.outputPrefix}}": str(outputs),
        "{{.rawOutputDataPrefix}}": str(pod / "raw"),
        "{{.checkpointOutputPrefix}}": str(pod / "checkpoints"),
        "{{.prevCheckpointPrefix}}": '""',
        "{{.taskTemplatePath}}": str(outputs / "task_template.pb"),
    }
    command, *args = [values.get(arg, arg) for arg in template.container.args]
    assert command in ("pyflyte-execute", "pyflyte-map-execute")
    return [str(Path(sys.executable).with_name(command)), *args]


def _outcome(outputs: Path, log: str) -> dict[str, Literal]:
    if (outputs / "error.pb").exists():
        error = load_proto_from_file(errors_pb2.ErrorDocument, str(outputs / "error.pb")).error
        recoverable = error.kind == errors_pb2.ContainerError.RECOVERABLE
        raise PodFailed(error.message, recoverable=recoverable, log=log)
    if not (outputs / "outputs.pb").exists():
        raise PodFailed("the pod left neither outputs nor an error", recoverable=False, log=log)
    made = load_proto_from_file(literals_pb2.LiteralMap, str(outputs / "outputs.pb"))
    return dict(LiteralMap.from_flyte_idl(made).literals)


def _value(binding: BindingData, known: Mapping[str, Mapping[str, Literal]]) -> Literal:
    if binding.promise is not None:
        node = binding.promise.node_id if binding.promise.node_id != "start-node" else ""
        return _part(known[node][binding.promise.var], binding.promise.attr_path or [])
    if binding.collection is not None:
        return Literal(collection=LiteralCollection([_value(item, known) for item in binding.collection.bindings]))
    if binding.map is not None:
        return Literal(map=LiteralMap({name: _value(item, known) for name, item in binding.map.bindings.items()}))
    return Literal(scalar=binding.scalar)


def _part(whole: Literal, path: Sequence[str | int]) -> Literal:
    """Return what stands at ``path`` in a list, a dictionary, or a dataclass or model, as propeller does."""
    for position, step in enumerate(path):
        if whole.scalar is not None:
            value = msgpack.unpackb(whole.scalar.binary.value)
            for step in path[position:]:
                value = value[step]
            return Literal(scalar=Scalar(binary=Binary(value=msgpack.packb(value), tag="msgpack")))
        whole = (whole.map or whole.collection).literals[step]
    return whole
