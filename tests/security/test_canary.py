"""No password is seen that somebody gives to any entry of this package, in whatever position of whatever address."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pydantic
import pytest
from canaries import addresses, canary, leaks
from factor import FACTOR, SEED
from flytekit import StructuredDataset
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from mashumaro.mixins.json import DataClassJSONMixin

from flytekitplugins.dolt import (
    Changes,
    DoltConfig,
    DoltError,
    DoltMeta,
    DoltTable,
    NewBranch,
    Remote,
    Secret,
    commits_of,
    create_repository,
    delete_run_branches,
    delete_tag,
    diff,
    dolt_frame,
    dolt_uri,
    execution_of,
    first_appeared,
    from_uri,
    lineage,
    merge,
    pin,
    read,
    restore,
    run_branches,
    tag,
    tags,
    versions,
    write,
)
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.api import uri
from flytekitplugins.dolt.cli import doctor
from flytekitplugins.dolt.model import location, provenance
from flytekitplugins.doltdb import redaction

SERVER = "mysql+pymysql://me@h.example/db"
FRAME = pd.DataFrame({"a": [1]})
ROUNDS = 21 * FACTOR
Entry = Callable[[str], object]


@dataclass
class Holder(DataClassJSONMixin):
    """A dataclass of a user's own that has a config in it."""

    config: DoltConfig


class Model(pydantic.BaseModel):
    """A pydantic model of a user's own that has a config in it."""

    config: DoltConfig


def literal(value: Any) -> object:
    context, kind = FlyteContextManager.current_context(), type(value)
    return TypeEngine.to_literal(context, value, kind, TypeEngine.to_literal_type(kind))


def config(address: str, **options: Any) -> DoltConfig:
    return DoltConfig(address, "t", **options)


def in_json(address: str) -> str:
    return json.dumps({"config": {"db_path": address, "tablename": "t"}})


REFUSED: dict[str, Entry] = {
    "check": lambda a: config(a).check(),
    "check, with more that is wrong": lambda a: config(a, mode="no", index=3, lock_timeout_s=-1).check(),
    "to_dict": lambda a: config(a).to_dict(),
    "to_json": lambda a: config(a).to_json(),
    "path": lambda a: config(Path(a)).to_json() if ":/" in a else config(a).check(),
    "pickle": lambda a: pickle.dumps(config(a)),
    "deepcopy": lambda a: copy.deepcopy(config(a)),
    "read_from": lambda a: config(SERVER, read_from=["mysql://r1.example", a]).check(),
    "read_from to_dict": lambda a: config(SERVER, read_from=[a]).to_json(),
    "read_from of a folder": lambda a: config("foo", read_from=[a]).check(),
    "changes": lambda a: config("foo", changes=Changes(into=config(a))).check(),
    "literal of a config": lambda a: literal(config(a)),
    "literal of a table": lambda a: literal(DoltTable(config=config(a))),
    "table": lambda a: DoltTable(config=config(a)).to_json(),
    "dataclass": lambda a: Holder(config(a)).to_json(),
    "Remote": lambda a: Remote(a),
    "Remote, with more that is wrong": lambda a: Remote(a, branch="a..b", secret="x", user=""),  # type: ignore[arg-type]
    "Remote.from_dict": lambda a: Remote.from_dict({"url": a}),
    "Remote.from_json": lambda a: Remote.from_json(json.dumps({"url": a})),
    "DoltMeta": lambda a: DoltMeta(a, "actions"),
    "DoltMeta.from_dict": lambda a: DoltMeta.from_dict({"_type": "DoltMeta", "db_path": a}),
    "meta_conf in a dictionary": lambda a: DoltConfig.from_dict(
        {"db_path": "foo", "meta_conf": {"_type": "DoltMeta", "db_path": a}}
    ),
    "from_dict": lambda a: DoltConfig.from_dict({"db_path": a, "tablename": "t"}).check(),
    "from_json": lambda a: DoltTable.from_json(in_json(a)).config.check(),
    "dolt_uri": lambda a: dolt_uri(config(a)),
    "dolt_uri of a table": lambda a: dolt_uri(DoltTable(config=config(SERVER, read_from=[a]))),
    "from_uri": lambda a: from_uri(f"dolt://{a}?table=t"),
    "from_uri, nothing else": lambda a: from_uri(f"dolt://{a}"),
    "from_uri, quoted": lambda a: from_uri(f"dolt://{quote(a, safe='')}?table=t"),
    "from_uri, with more that is wrong": lambda a: from_uri(f"dolt://{a}?table=t&bogus=%zz"),
    "from_uri, read_from": lambda a: from_uri(f"dolt://{SERVER}?table=t&read_from={a}"),
    "from_uri, read_from quoted": lambda a: from_uri(f"dolt://{SERVER}?table=t&read_from={quote(a)}"),
    "from_uri, remote": lambda a: from_uri(f"dolt://foo?table=t&remote_conf={quote(json.dumps({'url': a}))}"),
    "dolt_frame": lambda a: dolt_frame(config(a)),
    "read": lambda a: read(config(a)),
    "write": lambda a: write(config(a), FRAME),
    "pin": lambda a: pin(config(a)),
    "versions": lambda a: versions(config(a)),
    "first_appeared": lambda a: first_appeared(config(a)),
    "restore": lambda a: restore(config(a), "main"),
    "tag": lambda a: tag("v1", db_path=a),
    "tag of a config": lambda a: tag("v1", config(a)),
    "tags": lambda a: tags(a),
    "delete_tag": lambda a: delete_tag("v1", db_path=a),
    "run_branches": lambda a: run_branches(a),
    "delete_run_branches": lambda a: delete_run_branches(a, older_than=timedelta(0)),
    "diff": lambda a: diff("main", "dev", table="t", db_path=a),
    "diff of configs": lambda a: diff(config(a), config(SERVER)),
    "merge": lambda a: merge("dev", db_path=a, into="main"),
    "lineage": lambda a: lineage("main", db_path=a),
    "lineage, others": lambda a: lineage("main", db_path="foo", repositories=[a]),
    "commits_of": lambda a: commits_of("ex:p:d:n", a),
    "execution_of": lambda a: execution_of("main", a),
    "create_repository": lambda a: create_repository(a),
    "places.server": lambda a: location.server(a),
    "places.server, replicas": lambda a: location.server(SERVER, read_from=[a]),
    "doctor": lambda a: doctor.examine(a),
}
"""What refuses an address with a password in it."""

REFUSED_VALUES: dict[str, tuple[Entry, str]] = {
    "secret": (lambda p: config(SERVER, secret=p).check(), "Cannot use a str as a secret"),
    "secret of a folder": (lambda p: config("foo", secret=p).to_json(), "Cannot use a str as a secret"),
    "secret, pickled": (lambda p: pickle.dumps(config(SERVER, secret=p)), "Cannot use a str as a secret"),
    "secret of a Remote": (lambda p: Remote("https://h/x", user="u", secret=p), "Cannot use a str as a secret"),  # type: ignore[arg-type]
    "secret in a dictionary": (
        lambda p: DoltConfig.from_dict({"db_path": SERVER, "tablename": "t", "secret": p}).to_dict(),
        "Cannot use a str as a secret",
    ),
    "io_args": (lambda p: config(SERVER, io_args={"password": p}).check(), "io_args has a password in it"),
    "unknown field": (lambda p: DoltConfig.from_dict({"db_path": "foo", "password": p}), "it has no 'password'"),
    "unknown field of a Remote": (lambda p: Remote.from_dict({"url": "https://h", "token": p}), "it has no 'token'"),
    "no config": (lambda p: DoltTable.from_dict({"secret": p}), "it has no 'config'"),
    "parameter of an address": (
        lambda p: from_uri(f"dolt://foo?table=t&password={quote(p, safe='')}"),
        "it has a password in it",
    ),
    "secret in an address": (
        lambda p: from_uri(f"dolt://foo?table=t&secret={quote(p, safe='')}"),
        "it has a password in it",
    ),
    "no kind": (lambda p: DoltMeta.from_dict({"_type": "X", "password": p}), "its '_type' is 'X'"),
}
"""What refuses a password that stands where none belongs, and what it says."""

SHOWN: dict[str, Entry] = {
    "repr": lambda a: repr(config(a)) + str(config(a)),
    "repr of a table": lambda a: repr(DoltTable(config=config(a))) + str(DoltTable(config=config(a, sql=None))),
    "repr, read_from": lambda a: repr(config(SERVER, read_from=["x", a])),
    "repr, changes": lambda a: repr(config("foo", changes=Changes(into=config(a)))),
    "repr of bytes": lambda a: repr(config("foo", params={"a": [a.encode()]})),
    "repr of a dataclass": lambda a: repr(Holder(config(a))),
    "repr of a model": lambda a: repr(Model(config=config(a))),
    "error": lambda a: str(DoltError(f"Cannot open {redaction.masked(a)!r}", uri=a, argv=["clone", a], found={"x": a})),
    "place in a commit": lambda a: provenance.redacted_address(a),
}
"""What prints something that may have a password in it."""


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take down what everybody logs, and work in a folder where nothing is."""
    for name in (None, *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.chdir(tmp_path)


def made(name: str, count: int = ROUNDS) -> list[Any]:
    return list(addresses(random.Random(f"{SEED} {name}"), count))


@pytest.mark.parametrize("name", REFUSED)
def test_an_address_with_a_password_is_refused_and_not_shown(
    name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each entry refuses it before anything else, in words, facts and frames that do not have it."""
    for bird, address in made(name):
        with pytest.raises(DoltError, match="it has a password in it") as caught:
            REFUSED[name](address)
        said = capsys.readouterr()
        assert leaks(bird, error=caught.value, texts=[caplog.text, said.out, said.err]) == [], address
        caplog.clear()


@pytest.mark.parametrize("name", REFUSED_VALUES)
def test_a_password_where_none_belongs_is_refused_and_not_shown(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """As a secret, an option or an unknown entry it is refused in words, facts and frames that do not have it."""
    rng, (entry, words) = random.Random(f"{SEED} {name}"), REFUSED_VALUES[name]
    for _ in range(5 * FACTOR):
        bird = canary(rng, odd=True)
        with pytest.raises(DoltError, match=words) as caught:
            entry(bird.value)
        assert leaks(bird, error=caught.value, texts=[caplog.text]) == [], bird.value


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_printed_shows_no_password(name: str) -> None:
    """The text is there, and without it."""
    for bird, address in made(name):
        assert leaks(bird, texts=[str(SHOWN[name](address))]) == [], address


@pytest.mark.parametrize("odd", [False, True])
def test_the_secret_of_an_error_in_a_model_is_not_shown(odd: bool) -> None:
    """What pydantic and mashumaro make of a refused config has it neither; its own input pydantic shows by itself."""
    bird = canary(random.Random(f"{SEED} model"), odd=odd)
    with pytest.raises(Exception, match="it has a password in it") as caught:
        Model(config=config(f"mysql://me:{bird.value}@h/db")).model_dump_json()
    assert leaks(bird, error=caught.value) == []


VERBS = (
    ["log"],
    ["diff", "main"],
    ["lineage"],
    ["lineage", "--also", "{}", "--db", "foo"],
    ["versions", "t"],
    ["merge", "dev"],
    ["doctor"],
    ["log", "--bogus"],
    ["log", "-n", "{}"],
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_command_line_shows_no_password(
    verb: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused with one line and an exit code, also where the arguments make no sense."""
    for bird, address in made(" ".join(verb), 3):
        given = [part.format(address) for part in verb]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            try:
                code = main(given if "--db" in given else [*given, "--db", address])
            except SystemExit as error:
                code = int(str(error.code))
        said = capsys.readouterr()
        assert code in (1, 2), (given, said)
        assert said.err
        assert leaks(bird, texts=[said.out, said.err, caplog.text]) == [], address


@pytest.mark.slow
def test_the_program_shows_no_password(tmp_path: Path) -> None:
    """As a process of its own, too."""
    for bird, address in made("program", 1)[:1]:
        command = [sys.executable, "-m", "flytekitplugins.dolt", "log", "--db", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 1
        assert "it has a password in it" in done.stderr
        assert leaks(bird, texts=[done.stdout, done.stderr]) == []


EVERYDAY = (
    "foo@bar",
    "a:b@c",
    "/home/a:b@c/foo",
    "mysql+pymysql://me@host/db",
    "mysql+pymysql://me@host:3306/db?ssl_ca=/home/a@b/ca.pem&ssl_key=/k.pem&ssl_verify_identity=false",
    "mysql://a%40b:@h/db".replace(":@", "@"),
    "mysql://a%3Ab@h/db",
    "mysql://r2:3308/bar",
    "mysql://me@[::1]:3306/db",
    "https://doltremoteapi.dolthub.com/me/rabbits",
    "https://dolt.example:8000/foo@bar",
    "http://[::1]:8000/x@y",
    "https://h.example/x?q=12:30&next=1",
    "git+ssh://git@github.com/a/b.git",
    "ssh://git@h.example:2222/~/x@y",
    "aws://[table:bucket]/db",
    "aws://[table:bucket]/d@b",
    "gs://bucket/a:b",
    "az://container/db",
    "file:///a@b",
    "file:///a:b@c/d",
    "dolt://foo@bar?table=t",
    "dolt:///home/a:b@c/foo?table=t",
    "dolt://mysql+pymysql://me@h:3306/db?table=t&read_from=mysql://r1:3306&read_from=mysql://r2@h:1/x",
    'dolt://foo?table=t&secret={"group": "g", "key": "password"}&tag=v1',
    "dolt://foo?sql=SELECT * FROM t WHERE at = '12:30' AND mail LIKE '%25@%25' AND a = :x",
    "dolt://mysql://a%253Ab@h/d?table=t",
    "Use mysql+pymysql://user@host:3306/database. See @task(secret_requests=secret_requests(config)).",
    "SELECT ':' || '@' FROM t -- ://",
)


@pytest.mark.parametrize("text", EVERYDAY)
def test_what_has_no_password_is_left_alone(text: str) -> None:
    """Everyday paths, addresses and texts are neither changed nor refused."""
    assert redaction.masked(text) == text
    assert redaction.shown([text, text.encode(), {"x": text}]) == [text, text.encode(), {"x": text}]
    assert location.refusal(text, [text], Path(text)) is None
    assert str(DoltError(text)) == text
    assert text in repr(DoltConfig(text, "t")) or repr(text) in repr(DoltConfig(text, "t"))


def test_an_everyday_config_goes_on() -> None:
    """With secrets, replicas, remotes and logs it is checked, copied, pickled and sent as before."""
    for one in (
        config(SERVER, secret=Secret("g", "password"), read_from=["mysql://r1.example:3307"]),
        config("foo@bar", remote_conf=Remote("https://h.example:8000/x@y", user="me", secret=Secret("g", "k"))),
        config("/home/a:b@c/foo", meta_conf=DoltMeta("/a@b/meta"), branch_conf=NewBranch("run/1")),
        config("foo", params=None, io_args={"primary_key": ["id"]}),
    ):
        one.check()
        assert pickle.loads(pickle.dumps(one)) == one == copy.deepcopy(one)
        assert DoltConfig.from_json(one.to_json()) == one
        assert from_uri(dolt_uri(replace(one, io_args=None))).config == replace(one, io_args=None)


def test_masking_ends() -> None:
    """A hostile text is masked in time that grows with its length, and addresses within addresses end somewhere."""
    for text in ("a:", "://", "x://a:b@", "'http://", "?a=", "http://h/&password=", "%25", "dolt://", "mysql://a?x="):
        assert isinstance(redaction.masked(f"http://{text * 2_000}"), str)
        assert isinstance(redaction.masked(text * 2_000), str)
        assert isinstance(redaction.masked(f"see {text * 2_000}"), str)


def test_what_an_address_may_say_is_known() -> None:
    """The names by which values of ``dolt://`` addresses are told apart are those of the addresses."""
    assert {"table", "sql", *uri._OF_A_BRANCH, *uri._FIELDS} <= set(redaction.IN_AN_ADDRESS)


def test_a_dataset_at_an_address_with_a_password(caplog: pytest.LogCaptureFixture) -> None:
    """A frame that goes to such an address is refused; flytekit's own frames have the dataset, and so its address."""
    bird = canary(random.Random(f"{SEED} dataset"), odd=True)
    dataset = StructuredDataset(dataframe=FRAME, uri=f"dolt://mysql://me:{bird.value}@h/db?table=t")
    with pytest.raises(Exception, match="it has a password in it") as caught:
        literal(dataset)
    assert [where for where in leaks(bird, error=caught.value) if not where.startswith("variables")] == []
    assert leaks(bird, texts=[caplog.text]) == []
