"""The value of a secret, which arrives as it should, is not seen whatever a server or program does with it."""

from __future__ import annotations

import json
import logging
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from canaries import Canary, canary, leaks
from dolt_server import DoltServer
from factor import FACTOR, SEED
from flytekit import task, workflow
from hostile_server import Answer, hangs_up, lets_in_and_refuses, refuses, says_nonsense, serving

from flytekitplugins.dolt import (
    DoltConfig,
    DoltError,
    DoltTable,
    NewBranch,
    Remote,
    Secret,
    pin,
    read,
    secret_requests,
    tags,
    write,
)
from flytekitplugins.dolt.model import runtime
from flytekitplugins.dolt.repository import connections, remotes
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import binary
from flytekitplugins.doltdb import redaction
from flytekitplugins.doltdb.hiding import hide

FRAME = pd.DataFrame({"a": [1, 2]})
VAULT = Secret("vault", "password")


@pytest.fixture(params=range(2 * FACTOR))
def bird(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """Give a canary that is the value of a secret: a plain one, then odd ones."""
    made = canary(random.Random(f"{SEED} {request.node.originalname} {request.param}"), odd=request.param > 0)
    monkeypatch.setenv("_FSEC_VAULT_PASSWORD", made.value)
    return made


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: f"no login with {text} here",
    "quoted": lambda text: f"no login with {text!r} here",
    "JSON": lambda text: f"no login with {json.dumps(text)} here",
    "in an address": lambda text: f"no login at mysql://me:{text}@h.example:3306/db",
    "doubled quotes": lambda text: "no login with '{}' here".format(text.replace("'", "''")),
}
"""What a server says that repeats the password."""

HOSTILE: dict[str, Callable[[str], Answer]] = {
    **{f"refuses, {how}": lambda p, say=say: refuses(1045, say(p)) for how, say in SPELLINGS.items()},  # type: ignore[misc]
    "no such database": lambda p: refuses(1049, f"Unknown database '{p}'"),
    "lets in, refuses later": lambda p: lets_in_and_refuses(1105, f"branch not found: {p}"),
    "says nonsense": lambda p: says_nonsense,
    "hangs up": lambda p: hangs_up,
}


def everything(error: BaseException, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    said = capfd.readouterr()
    return {"error": error, "texts": [caplog.text, said.out, said.err]}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_server_does_not_make_it_be_seen(
    how: str,
    bird: Canary,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever it says or does, error, chain, frames and logs of reading and writing there have no piece of it."""
    connect = connections.connect.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(connect, "__kwdefaults__", {**connect.__kwdefaults__, "patience_s": 0.0})
    with serving(HOSTILE[how](bird.value)) as port:
        config = DoltConfig(f"mysql://me@127.0.0.1:{port}/db", "t", secret=VAULT)
        with pytest.raises(DoltError, match="Cannot ") as caught:
            read(config)
        assert leaks(bird, **everything(caught.value, caplog, capfd)) == []
        with pytest.raises(DoltError, match="Cannot ") as caught:
            tags(config)
        assert leaks(bird, **everything(caught.value, caplog, capfd)) == []


def test_a_real_server_does_not_make_it_be_seen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In a workflow whose login is right, and where user, database, table, query or password are wrong."""
    bird = canary(random.Random(f"{SEED} real"), odd=False)
    with DoltServer(tmp_path / "shop") as server:
        server.add_user("ann", bird.value, "ALL")
        monkeypatch.setenv("_FSEC_VAULT_PASSWORD", bird.value)
        config = DoltConfig(server.url(user="ann"), "t", secret=VAULT, branch_conf=NewBranch("work"))

        @task(secret_requests=secret_requests(config))
        def produce() -> DoltTable:
            return DoltTable(config=config, data=FRAME)

        @workflow
        def wf() -> DoltTable:
            return produce()

        table = wf()
        query = DoltConfig(config.db_path, sql="SELECT a FROM t", secret=VAULT, branch_conf=config.branch_conf)
        assert read(query)["a"].tolist() == [1, 2]
        said = [repr(table), str(table.data), repr(pin(config)), table.to_json()]
        assert leaks(bird, texts=[*said, caplog.text]) == []
        url = config.db_path
        for wrong in (
            {"db_path": url.replace("ann@", "bob@")},
            {"db_path": f"{url}x"},
            {"db_path": f"{url}?ssl_ca=/nowhere.pem"},
            {"db_path": f"{url}?ssl_verify_identity=true"},
            {"tablename": "nothing"},
            {"tablename": None, "sql": "SELECT nothing FROM t"},
            {"tablename": None, "sql": "SELECT a FROM t WHERE a / 'x' > 'y' AND nothing()"},
            {"secret": Secret("vault", "wrong")},
        ):
            monkeypatch.setenv("_FSEC_VAULT_WRONG", f"x{bird.value}")
            with pytest.raises(DoltError, match="Cannot ") as caught:
                read(DoltConfig(**{**vars(config), **wrong}))
            assert leaks(bird, **everything(caught.value, caplog, capfd)) == []
        for sql in ("SELECT nothing FROM t", "SELECT a / 'x' FROM t GROUP BY"):  # by the way of rows in bulk
            with pytest.raises(DoltError, match="Cannot ") as caught, connect(remotes.locate(config)) as connection:
                with connection.arrow_batches(sql, batch_rows=1) as batches:
                    list(batches)
            assert leaks(bird, **everything(caught.value, caplog, capfd)) == []


@pytest.fixture
def repeating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a ``dolt`` that repeats the password of a remote, and fails."""
    program = tmp_path / "dolt"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = version ]; then echo dolt version 1.83.0; exit 0; fi\n'
        'echo "cannot log in with $DOLT_REMOTE_PASSWORD at https://me:$DOLT_REMOTE_PASSWORD@h" >&2; exit 1\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("DOLT_BIN", str(program))
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "clones"))


@pytest.mark.usefixtures("repeating")
@pytest.mark.parametrize("way", ["secret", "environment"])
def test_a_program_that_repeats_it_is_not_repeated(
    way: str,
    bird: Canary,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The password of a remote is in the environment of a program, and neither in its words nor in our frames."""
    value = bird.value.replace(":", ";").replace("'", "x")
    monkeypatch.setenv("_FSEC_VAULT_PASSWORD", value)
    monkeypatch.setenv("DOLT_REMOTE_PASSWORD", value)
    remote = Remote("http://127.0.0.1:1/x", user="me", secret=VAULT if way == "secret" else None)
    config = DoltConfig("foo", "t", remote_conf=remote)
    for attempt in (lambda: read(config), lambda: write(config, FRAME)):
        with pytest.raises(DoltError, match=r"Cannot clone 'http://127.0.0.1:1/x'.*\*\*\*") as caught:
            attempt()
        assert leaks(bird, **everything(caught.value, caplog, capfd)) == []


def test_a_password_that_dolt_cannot_take_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One with a ':' is refused before any program has it."""
    bird = canary(random.Random(f"{SEED} colon"), odd=False)
    monkeypatch.setenv("_FSEC_VAULT_PASSWORD", f"a:{bird.value}")
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "clones"))
    with pytest.raises(DoltError, match="password.*':'") as caught:
        read(DoltConfig("foo", "t", remote_conf=Remote("http://127.0.0.1:1/x", user="me", secret=VAULT)))
    assert leaks(bird, error=caught.value) == []


def test_a_program_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bird: Canary) -> None:
    """The frames of Python's own modules, which have the environment, are not in the chain."""
    monkeypatch.setenv("DOLT_REMOTE_PASSWORD", bird.value)
    missing = [str(tmp_path / "nowhere"), "clone"]
    environment = redaction.Environment({"DOLT_REMOTE_PASSWORD": bird.value})
    with pytest.raises(DoltError, match="No such file") as caught:
        binary._run(missing, cwd=tmp_path, env=environment, timeout_s=5)
    assert leaks(bird, error=caught.value) == []


def test_a_secret_that_is_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that is no UTF-8 is said to be so; Python's own error would show all of it."""
    bird = canary(random.Random(f"{SEED} bytes"), odd=False)
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "password").write_bytes(bird.value.encode() + b"\xff\xfe")
    monkeypatch.setenv("FLYTE_SECRETS_DEFAULT_DIR", str(tmp_path))
    with pytest.raises(DoltError, match="UTF-8") as caught:
        runtime.current().secret(VAULT)
    assert leaks(bird, error=caught.value) == []


def test_a_password_has_the_value_and_shows_stars() -> None:
    """It is a text like any other, and prints stars where a traceback prints variables."""
    password = redaction.Password("s3cret")
    assert (password == "s3cret", f"{password}", len(password)) == (True, "s3cret", 6)
    assert repr({"password": password}) == "{'password': '***'}"
    assert "s3cret" not in repr(redaction.Environment(X="s3cret"))


@pytest.mark.parametrize(("said", "shown"), [("r-x for r", "***-x for ***"), ("error", "error"), ("", "")])
def test_a_password_of_one_letter_spoils_no_words(said: str, shown: str) -> None:
    """It is hidden where it stands for itself."""
    assert hide(said, ["r", ""]) == shown
