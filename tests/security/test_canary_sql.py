"""No password is seen that a SQL task is given, by its address, its arguments or a secret, whatever its server does."""

from __future__ import annotations

import logging
import pickle
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from canaries import Canary, canary, leaks
from factor import FACTOR, SEED
from flytekit import kwtypes
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.models.security import Secret
from flytekit.tools.translator import get_serializable
from hostile_server import Answer, hangs_up, lets_in_and_refuses, refuses, says_nonsense, serving

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask, connections
from flytekitplugins.sqlalchemy.errors import SQLTaskError

SETTINGS = SerializationSettings(
    project="p", domain="d", version="v", image_config=ImageConfig(default_image=Image("i", "example.com/i", "1"))
)

HOSTILE: dict[str, Callable[[str], Answer]] = {
    "refuses": lambda p: refuses(1045, f"no login with {p} here"),
    "refuses, quoted": lambda p: refuses(1045, f"no login with {p!r} here"),
    "no such database": lambda p: refuses(1049, f"Unknown database '{p}'"),
    "lets in, refuses later": lambda p: lets_in_and_refuses(1064, f"syntax error near {p}"),
    "says nonsense": lambda p: says_nonsense,
    "hangs up": lambda p: hangs_up,
}

Given = Callable[[str, str], dict[str, Any]]
GIVEN: dict[str, Given] = {
    "in the uri": lambda p, at: {"uri": f"mysql://me:{quote(p, safe='')}@{at}/db"},
    "in the query": lambda p, at: {"uri": f"mysql://me@{at}/db?password={quote(p, safe='')}"},
    "in connect_args": lambda p, at: {"uri": f"mysql://me@{at}/db", "connect_args": {"password": p}},
    "deep in connect_args": lambda p, at: {
        "uri": f"mysql://me:x@{at}/db",
        "connect_args": {"ssl": {"ca": "/nowhere.pem", "password": p}},
    },
    "as a secret": lambda p, at: {
        "uri": f"mysql://me@{at}/db",
        "secret_connect_args": {"password": Secret(group="vault", key="password")},
    },
    "as a secret port": lambda p, at: {
        "uri": f"mysql://me@{at}/db",
        "secret_connect_args": {"port": Secret(group="vault", key="password")},
    },
    "as a secret database": lambda p, at: {
        "uri": f"mysql://me@{at}/",
        "secret_connect_args": {"database": Secret(group="vault", key="password")},
    },
}
"""Where a password can stand; a secret's is in the environment."""


PAIRS = [
    (where, how)
    for row, where in enumerate(GIVEN)
    for column, how in enumerate(HOSTILE)
    if FACTOR > 1 or (column - row) % len(HOSTILE) in (0, 3)
]
"""All of them at night; else each place with two of the servers, and each server with two of the places or more."""


@pytest.fixture(params=range(FACTOR))
def bird(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """Give a canary, which is the value of a secret, too."""
    made = canary(random.Random(f"{SEED} {request.node.originalname} {request.param}"), odd=request.param % 2 == 0)
    monkeypatch.setenv("_FSEC_VAULT_PASSWORD", made.value)
    monkeypatch.setattr(connections, "_PAUSE_S", 0.001)
    return made


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)


def task_of(config: SQLAlchemyConfig) -> SQLAlchemyTask:
    return SQLAlchemyTask(
        name="t", query_template="select {{ .inputs.a }} as a", inputs=kwtypes(a=int), task_config=config
    )


@pytest.mark.parametrize(("where", "how"), PAIRS)
def test_a_server_does_not_make_it_be_seen(
    where: str, how: str, bird: Canary, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Error, chain, frames with variables, pickles and logs have no piece of it."""
    with serving(HOSTILE[how](bird.value)) as port:
        task = task_of(SQLAlchemyConfig(**GIVEN[where](bird.value, f"127.0.0.1:{port}")))
        with pytest.raises(SQLTaskError, match="Cannot ") as caught:
            task(a=1)
    said = capfd.readouterr()
    shown = [caplog.text, said.out, said.err, repr(pickle.dumps(caught.value))]
    assert leaks(bird, error=caught.value, texts=shown) == []


@pytest.mark.parametrize("where", GIVEN)
def test_what_is_made_of_a_config_does_not_show_it(where: str, bird: Canary, caplog: pytest.LogCaptureFixture) -> None:
    """Neither config nor task print it, and a template that would need it is refused without it."""
    config = SQLAlchemyConfig(**GIVEN[where](bird.value, "h.example:3306"))
    task = task_of(config)
    texts = [repr(one) + str(one) for one in (config, task, task.executor, config.to_custom())]
    if where.startswith("as a"):
        texts.append(str(get_serializable(OrderedDict(), SETTINGS, task).template))
        assert leaks(bird, texts=texts) == []
        return
    with pytest.raises(SQLTaskError, match="hold a password") as caught:
        get_serializable(OrderedDict(), SETTINGS, task)
    assert leaks(bird, error=caught.value, texts=[*texts, caplog.text]) == []


@pytest.mark.parametrize("where", [name for name in GIVEN if not name.startswith("as a")])
@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": -1},
        {"dolt_commit_message": " "},
        {"secret_connect_args": {"user": "x"}},
        {"uri": "no address of {}"},
        {"uri": "mysql://me:{}@h:port/db"},
    ],
)
def test_a_config_that_makes_no_sense_does_not_show_it(where: str, wrong: dict[str, Any], bird: Canary) -> None:
    """It is refused for something else, in words and frames that do not have it."""
    given = {**GIVEN[where](bird.value, "h.example"), **wrong}
    given["uri"] = given["uri"].format(bird.value) if "uri" in wrong else given["uri"]
    with pytest.raises(SQLTaskError, match="Cannot use") as caught:
        SQLAlchemyConfig(**given)
    assert leaks(bird, error=caught.value) == []


def test_a_task_that_makes_no_sense_does_not_show_it(bird: Canary) -> None:
    """Nor where the task around the config is wrong."""
    config = SQLAlchemyConfig(uri=f"nosuch://me:{quote(bird.value, safe='')}@h/db")
    with pytest.raises(SQLTaskError, match="driver") as caught:
        task_of(config)(a=1)
    assert leaks(bird, error=caught.value) == []
    with pytest.raises(SQLTaskError, match="inputs") as caught:
        SQLAlchemyTask(name="t", query_template="select {{ .inputs.a }}", task_config=config)
    assert leaks(bird, error=caught.value) == []
