"""The default image's content: what the Dockerfile copies and installs, done in an empty environment, runs a task.

No image is built here, which needs Docker. The steps are those of the file itself, in a folder instead of a container,
and the command is the one that Flyte starts in the container.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections import OrderedDict
from pathlib import Path

import pandas as pd
import pytest
from flyteidl.core import literals_pb2
from flytekit import Literal, kwtypes
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.core.utils import load_proto_from_file, write_proto_to_file
from flytekit.models.literals import LiteralMap
from flytekit.tools.translator import get_serializable

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyDefaultImages, SQLAlchemyTask

ROOT = Path(__file__).parents[2]
STEPS = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
SETTINGS = SerializationSettings(
    project="p", domain="d", version="v", image_config=ImageConfig(default_image=Image("i", "example.com/i", "1"))
)


def steps(instruction: str) -> list[str]:
    """Return the arguments of the Dockerfile's lines of one kind."""
    return re.findall(rf"^{instruction} (.+)$", STEPS, re.MULTILINE)


def copied() -> dict[str, str]:
    """Return what is copied, and where to."""
    return {source: line.split()[-1] for line in steps("COPY") for source in line.split()[:-1]}


def installed() -> str:
    """Return the one pip command, without what is done after it."""
    (command,) = [line for line in steps("RUN") if line.startswith("pip install ")]
    return command


def test_what_is_copied_is_sent_to_the_builder() -> None:
    """Each source exists, and .dockerignore, which names what is sent, lets it through and nothing needless."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_what_is_copied_is_all_that_setup_reads() -> None:
    """What setup.py reads is among it, and the sdist has the Dockerfile, too."""
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "flytekitplugins"} == set(copied())
    manifest = (ROOT / "MANIFEST.in").read_text()
    assert {"Dockerfile", ".dockerignore"} <= set(re.findall(r"^include (.+)$", manifest, re.MULTILINE)[0].split())


def test_the_example_of_the_command_is_the_default_name() -> None:
    """What the file's head says to build is the name that tasks look for, on the Python that it starts from."""
    tag = re.search(r"--build-arg PYTHON=(\S+) --tag registry\.example/(\S+) \.$", STEPS, re.MULTILINE)
    assert tag is not None
    python, name = tag.groups()
    assert steps("ARG") == [f"PYTHON={python}"]
    ours = f"py{sys.version_info[0]}.{sys.version_info[1]}"
    assert name.replace(f"py{python}", ours) == SQLAlchemyDefaultImages.default_image()


def test_the_container_is_not_root() -> None:
    """The user is a number, as Kubernetes wants it, and the one that is made."""
    (user,) = steps("USER")
    assert int(user) > 0
    assert any(f"useradd --uid {user} " in line for line in steps("RUN"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty environment in which the steps of the Dockerfile were done."""
    folder = tmp_path_factory.mktemp("image")
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("**/")]
    for source, target in copied().items():
        place = folder / target.lstrip("/")
        if (ROOT / source).is_dir():
            skip = shutil.ignore_patterns(*(line.removeprefix("**/") for line in ignored))
            shutil.copytree(ROOT / source, place, ignore=skip)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    venv.create(folder / "env", with_pip=True)
    command = [word.replace("/tmp/", f"{folder}/tmp/") for word in shlex.split(installed())]
    # The one makes an image smaller, the other its starts quicker; both make this test slower.
    command[command.index("--no-cache-dir")] = "--no-compile"
    in_image(folder, *command)
    return folder


def in_image(folder: Path, *command: str) -> str:
    """Run a command with nothing of this environment around it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    env = {**kept, "PATH": f"{folder / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_images_content_runs_a_serialised_task(image: Path, tmp_path: Path) -> None:
    """`pyflyte-execute`, as the template of the task says it, reads a database there and writes the frame."""
    task = SQLAlchemyTask(
        name="in-the-image",
        query_template="select {{ .inputs.word }} as word, 2 as n",
        task_config=SQLAlchemyConfig(uri=f"sqlite:///{tmp_path}/db"),
        inputs=kwtypes(word=str),
        output_schema_type=pd.DataFrame,
    )
    template = get_serializable(OrderedDict(), SETTINGS, task).template
    context = FlyteContextManager.current_context()
    word: Literal = TypeEngine.to_literal(context, "O'Brien", str, TypeEngine.to_literal_type(str))
    write_proto_to_file(template.to_flyte_idl(), str(tmp_path / "template.pb"))
    write_proto_to_file(LiteralMap({"word": word}).to_flyte_idl(), str(tmp_path / "inputs.pb"))
    places = {
        "{{.input}}": "inputs.pb",
        "{{.outputPrefix}}": "outputs",
        "{{.rawOutputDataPrefix}}": "raw",
        "{{.taskTemplatePath}}": "template.pb",
    }
    command = [str(tmp_path / places[word]) if word in places else word for word in template.container.args]
    in_image(image, *command)
    outputs = load_proto_from_file(literals_pb2.LiteralMap, str(tmp_path / "outputs" / "outputs.pb"))
    found = TypeEngine.to_python_value(context, LiteralMap.from_flyte_idl(outputs).literals["results"], pd.DataFrame)
    assert found.to_dict("records") == [{"word": "O'Brien", "n": 2}]
    assert in_image(image, "pip", "check") == "No broken requirements found.\n"
    assert [name for name in ("polars", "psycopg") if name not in in_image(image, "pip", "list")] == []
