"""What arrives is data: no function is called, and no password sent, because a literal, a text or an input says so."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import pandas as pd
import pydantic
import pytest
from dolt_server import free_port
from flytekit import Secret as FlyteSecret
from flytekit import map_task, task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import Binary, Literal, Scalar
from flytekit.types.structured import StructuredDataset
from kinds import Dolt
from mashumaro.mixins.json import DataClassJSONMixin
from pods import Cluster, PodFailed

from flytekitplugins.dolt import (
    CallbackMeta,
    DoltConfig,
    DoltMeta,
    DoltTable,
    NewBranch,
    Remote,
    Secret,
    allow_callbacks,
    dolt_frame,
    dolt_uri,
    errors,
    from_uri,
    merge,
    read,
    secret_requests,
    write,
)
from flytekitplugins.dolt.model import trust
from flytekitplugins.dolt.repository import refs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # flytekit asks click for its version in the old way
    from flytekit.interaction.click_types import JsonParamType

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
FRAME = pd.DataFrame({"n": [1]})
GROUP, PASSWORD = "vault", "Tr0ub4dor-and-3-horses"
TRUSTED = "FLYTE_DOLT_TRUSTED_HOSTS"

TOLD: list[tuple[str, str]] = []


def unheard(entry: dict[str, Any]) -> None:
    """Nobody allows this one."""
    TOLD.append(("unheard", entry["kind"]))


def allowed(entry: dict[str, Any]) -> None:
    """This one is allowed."""
    TOLD.append(("allowed", entry["kind"]))


def in_a_config(entry: dict[str, Any]) -> None:
    """This one stands in a config of the code's."""
    TOLD.append(("in_a_config", entry["kind"]))


def by_name(entry: dict[str, Any]) -> None:
    """This one stands in a config of the code's as text."""
    TOLD.append(("by_name", entry["kind"]))


@dataclasses.dataclass
class Mixed(DataClassJSONMixin):
    config: DoltConfig


Plain = dataclasses.make_dataclass("Plain", [("config", DoltConfig)])  # the command line takes no types as texts


class Model(pydantic.BaseModel):
    config: DoltConfig


def by_literal(given: dict[str, Any]) -> DoltConfig:
    import msgpack

    literal = Literal(scalar=Scalar(binary=Binary(value=msgpack.packb(given), tag="msgpack")))
    found: DoltConfig = TypeEngine.to_python_value(FlyteContextManager.current_context(), literal, DoltConfig)
    return found


def by_table_literal(given: dict[str, Any]) -> DoltConfig:
    import msgpack

    literal = Literal(scalar=Scalar(binary=Binary(value=msgpack.packb({"config": given}), tag="msgpack")))
    table: DoltTable = TypeEngine.to_python_value(FlyteContextManager.current_context(), literal, DoltTable)
    return table.config


def address(given: dict[str, Any]) -> str:
    """Return a ``dolt://`` address as somebody writes it by hand."""
    rest = {name: value for name, value in given.items() if name not in ("db_path", "tablename")}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in rest.items()}
    parts = [f"table={quote(given['tablename'])}", *(f"{name}={quote(text)}" for name, text in texts.items())]
    return f"dolt://{quote(given['db_path'], safe=':/@')}?{'&'.join(parts)}"


WAYS: dict[str, Callable[[dict[str, Any]], DoltConfig]] = {
    "dictionary": DoltConfig.from_dict,
    "JSON": lambda given: DoltConfig.from_json(json.dumps(given)),
    "literal": by_literal,
    "literal of a table": by_table_literal,
    "address": lambda given: from_uri(address(given)).config,
    "dataclass": lambda given: Mixed.from_json(json.dumps({"config": given})).config,
    "command line": lambda given: JsonParamType(Plain).convert(json.dumps({"config": given}), None, None).config,
    "pydantic": lambda given: Model.model_validate({"config": given}).config,
    "pickle of what arrived": lambda given: pickle.loads(pickle.dumps(DoltConfig.from_dict(given))),
    "copy of what arrived": lambda given: copy.deepcopy(DoltConfig.from_dict(given)),
    "changed copy": lambda given: dataclasses.replace(DoltConfig.from_dict(given), order_by=["n"]),
    "another config around its parts": lambda given: around(DoltConfig.from_dict(given)),
}
ways = pytest.mark.parametrize("arrive", WAYS.values(), ids=WAYS)


def around(arrived: DoltConfig) -> DoltConfig:
    """Return a config that a task's code builds of the parts of one that arrived."""
    return DoltConfig(
        arrived.db_path,
        arrived.tablename,
        secret=arrived.secret,
        read_from=arrived.read_from,
        meta_conf=arrived.meta_conf and dataclasses.replace(arrived.meta_conf),
        remote_conf=arrived.remote_conf and dataclasses.replace(arrived.remote_conf, branch=None),
    )


# ---------------------------------------------------------------------------------------------------------- functions


@pytest.fixture(autouse=True)
def _nobody_was_told() -> None:
    TOLD.clear()


def telling(repo: Path, function: str) -> dict[str, Any]:
    """Return a config as it arrives, which wants a function to be told."""
    return {"db_path": str(repo), "tablename": "t", "meta_conf": {"_type": "CallbackMeta", "fn": function}}


@ways
def test_a_function_that_only_arrived_is_not_called(
    config: Config, repo: Path, arrive: Callable[[dict[str, Any]], DoltConfig]
) -> None:
    """It is refused by its name, before anything is written or read, and the error says what to do."""
    write(config("t"), FRAME)
    before = refs.log(repo)
    given = arrive(telling(repo, f"{__name__}:unheard"))
    words = rf"Cannot call '{__name__}:unheard': a value that arrived names it.*put allow_callbacks\(unheard\)"
    for attempt in (lambda: write(given, pd.DataFrame({"n": [2]})), lambda: read(given)):
        with pytest.raises(errors.UntrustedInput, match=words) as caught:
            attempt()
        assert caught.value.function == f"{__name__}:unheard"
        assert not isinstance(caught.value, errors.TRANSIENT)
    assert TOLD == []
    assert refs.log(repo) == before


@ways
def test_a_function_that_is_allowed_is_called(repo: Path, arrive: Callable[[dict[str, Any]], DoltConfig]) -> None:
    """Wherever the value came by: `allow_callbacks` at the top of the module is all that is needed."""
    assert allow_callbacks(allowed) is allowed
    given = arrive(telling(repo, f"{__name__}:allowed"))
    write(given, FRAME)
    read(given)
    assert TOLD == [("allowed", "save"), ("allowed", "load")]


def test_nothing_is_imported_to_find_out(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a value names is not even imported, since importing runs it."""
    (tmp_path / "imported_by_a_value.py").write_text("def note(entry): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(errors.UntrustedInput, match="'imported_by_a_value:note'"):
        write(DoltConfig.from_dict(telling(repo, "imported_by_a_value:note")), FRAME)
    assert "imported_by_a_value" not in sys.modules


def test_what_is_called_is_what_was_allowed(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means something else by then does not count."""
    allow_callbacks(allowed)
    monkeypatch.setitem(globals(), "allowed", unheard)
    write(DoltConfig.from_dict(telling(repo, f"{__name__}:allowed")), FRAME)
    assert TOLD == [("allowed", "save")]


@pytest.mark.parametrize("function", [in_a_config, f"{__name__}:by_name"])
def test_a_config_of_the_code_goes_through_tasks(config: Config, function: Any) -> None:
    """A function that code has put into a config, itself or by its place, is told in the next task as well."""
    told = config("t", meta_conf=CallbackMeta(function))

    @task
    def make() -> DoltTable:
        return DoltTable(told, FRAME)

    @task
    def count(table: DoltTable) -> int:
        return len(table.data)

    @workflow
    def wf() -> int:
        return count(table=make())

    assert wf() == 1
    assert [kind for _, kind in TOLD] == ["save", "load"]


def test_what_cannot_be_named_cannot_be_allowed() -> None:
    """A lambda, a function within a function and what is none have no name by which a value could ask for them."""

    def inner(entry: dict[str, Any]) -> None: ...

    for given in (lambda entry: None, inner, "json:dumps"):
        with pytest.raises(errors.InvalidConfig, match="function"):
            allow_callbacks(given)  # type: ignore[type-var]


PROGRAM = textwrap.dedent(
    """
    import pandas as pd
    from flytekit import task, workflow
    from flytekit.types.structured import StructuredDataset
    from flytekitplugins.dolt import DoltConfig, DoltTable

    @task
    def count(table: DoltTable) -> int:
        return len(table.data)

    @task
    def store(conf: DoltConfig) -> DoltTable:
        return DoltTable(conf, pd.DataFrame({"n": [2]}))

    @task
    def plant(conf: DoltConfig) -> StructuredDataset:
        from flytekitplugins.dolt import dolt_uri
        return StructuredDataset(dataframe=pd.DataFrame({"n": [2]}), uri=dolt_uri(conf))
    """
)


@pytest.fixture
def kind_of_program(tmp_path: Path) -> tuple[Path, Path]:
    """Give a folder with a program ``kind``, which `subprocess.call` finds in an entry of ours, and what it makes."""
    folder, made = tmp_path / "bin", tmp_path / "it ran"
    folder.mkdir()
    (folder / "kind").write_text(f"#!/bin/sh\ntouch '{made}'\n")
    (folder / "kind").chmod(0o755)
    return folder, made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["count", "store", "plant"])
def test_pyflyte_run_starts_no_program(
    config: Config, repo: Path, tmp_path: Path, kind_of_program: tuple[Path, Path], name: str
) -> None:
    """An input whose ``meta_conf`` is `subprocess:call` runs nothing."""
    write(config("t"), FRAME)
    (tmp_path / "program.py").write_text(PROGRAM)
    folder, made = kind_of_program
    given = telling(repo, "subprocess:call")
    option = ["--table", json.dumps({"config": given})] if name == "count" else ["--conf", json.dumps(given)]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pyflyte")), "run", "program.py", name, *option],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not made.exists()
    assert done.returncode != 0
    assert "Cannot call 'subprocess:call'" in re.sub(r"[\s│]+", " ", done.stdout + done.stderr)


# ------------------------------------------------------------------------------------------------------------- secrets


class Listener:
    """Takes connections as a MySQL server does, notes what those send who log in, and lets nobody in."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._socket = socket.create_server((address, 0))
        self.port: int = self._socket.getsockname()[1]
        self.logins: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, options: str = "", *, host: str = "127.0.0.1") -> str:
        """Return what a config says to get here."""
        return f"mysql+pymysql://me@{host}:{self.port}/shop{options}"

    def close(self) -> None:
        """Take no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                with peer, suppress(OSError):
                    peer.settimeout(10)
                    self.logins.append(b"")  # somebody is here
                    peer.sendall(_packet(0, _greeting()))
                    self.logins[-1] = peer.recv(65536)
                    peer.sendall(_packet(2, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied for user 'me'"))


def _packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def _greeting() -> bytes:
    capabilities = 0x00000200 | 0x00008000 | 0x00080000 | 0x00000008  # 4.1, secure connection, plugins, with a database
    low, high = capabilities & 0xFFFF, capabilities >> 16
    start = b"\x0a8.0.33\0" + struct.pack("<I", 1) + b"abcdefgh\0" + struct.pack("<HBHH", low, 45, 2, high)
    return start + bytes([21]) + bytes(10) + b"ijklmnopqrst\0" + b"mysql_native_password\0"


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Listen at a place that no code has named: the system may give the port of an earlier test's server again."""
    monkeypatch.setattr(trust, "_named", trust._Named())
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Secret:
    """Give a secret that this process can read, which nobody else in the session has used."""
    made = Secret(GROUP, f"key{free_port()}_{len(os.urandom(1))}{os.urandom(3).hex()}")
    monkeypatch.setenv(f"_FSEC_{GROUP}_{made.key}".upper(), PASSWORD)
    return made


def asking(listener: Listener, secret: Secret, options: str = "") -> dict[str, Any]:
    """Return a config as it arrives, which wants a password to be sent to a host."""
    return {"db_path": listener.url(options), "tablename": "t", "secret": secret.to_dict()}


def in_a_task(action: Callable[[], Any], *requests: FlyteSecret) -> None:
    """Do something in a task, which requests secrets."""

    @task(secret_requests=list(requests))
    def run() -> None:
        action()

    run()


@ways
def test_no_secret_goes_to_a_host_that_only_arrived(
    listener: Listener, secret: Secret, arrive: Callable[[dict[str, Any]], DoltConfig]
) -> None:
    """It is refused before anybody is connected to; the error names both, and the three ways to allow it."""
    given = arrive(asking(listener, secret))
    words = (
        rf"Cannot send the secret with group 'vault' and key '{secret.key}' to '127.0.0.1:{listener.port}': .*"
        rf"build a config for it in the task's module, request the secret with @task\(secret_req.*or set {TRUSTED}"
    )
    for attempt in (
        lambda: write(given, FRAME),
        lambda: read(given),
        lambda: merge("run/1", db_path=given, into="main"),
    ):
        with pytest.raises(errors.UntrustedInput, match=words) as caught:
            in_a_task(attempt)
        assert caught.value.place == f"127.0.0.1:{listener.port}"
        assert PASSWORD not in str(caught.value)
    assert listener.logins == []


@ways
def test_a_secret_goes_to_a_host_that_code_names(
    listener: Listener, secret: Secret, arrive: Callable[[dict[str, Any]], DoltConfig]
) -> None:
    """A config or Remote for that place, anywhere in the program, is enough; so is one that travels only."""
    DoltConfig(listener.url(), "another")
    with pytest.raises(errors.AccessDenied, match="Access denied for user 'me'"):
        in_a_task(lambda: read(arrive(asking(listener, secret))))
    assert len(listener.logins) == 1


@pytest.mark.parametrize(
    ("pattern", "sent"),
    [
        ("127.0.0.1", True),
        ("db.example, 127.0.0.*", True),
        ("127.0.0.1:PORT", True),
        ("*:PORT", True),
        ("127.0.0.1:1", False),
        ("*.example.org", False),
        ("27.0.0.1", False),
        (" , ", False),
    ],
)
def test_a_secret_goes_to_a_host_that_the_setting_names(
    listener: Listener, secret: Secret, monkeypatch: pytest.MonkeyPatch, pattern: str, sent: bool
) -> None:
    """Its patterns stand for hosts, or hosts and ports, whole."""
    monkeypatch.setenv(TRUSTED, pattern.replace("PORT", str(listener.port)))
    error = errors.AccessDenied if sent else errors.UntrustedInput
    with pytest.raises(error, match="Access denied" if sent else "Cannot send the secret"):
        in_a_task(lambda: read(DoltConfig.from_dict(asking(listener, secret))))
    assert len(listener.logins) == sent


@pytest.mark.parametrize("host", ["evil.example%2e.good.example", "evil x.good.example", "evil\\.good.example"])
def test_a_host_that_can_be_read_in_two_ways_fits_no_pattern(
    secret: Secret, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Only a plain name or address is compared with the patterns."""
    monkeypatch.setenv(TRUSTED, "*.good.example")
    given = {"db_path": f"mysql://me@{host}/shop", "tablename": "t", "secret": secret.to_dict()}
    with pytest.raises(errors.UntrustedInput, match="secret"):
        in_a_task(lambda: read(DoltConfig.from_dict(given)))


def test_no_secret_goes_to_a_replica_that_only_arrived(listener: Listener, secret: Secret) -> None:
    """A replica gets the same password as its server, so it is asked for by itself."""
    mine = f"mysql+pymysql://me@127.0.0.1:{free_port()}/shop"
    DoltConfig(mine, "t")
    arrived = DoltConfig.from_dict({"db_path": mine, "tablename": "t", "read_from": [listener.url()]})
    for given in (
        dataclasses.replace(arrived, secret=secret),
        DoltConfig(mine, "t", secret=secret, read_from=arrived.read_from),
    ):
        with pytest.raises(errors.UntrustedInput, match=f"to '127.0.0.1:{listener.port}'"):
            in_a_task(lambda given=given: read(given))  # type: ignore[misc]
    assert listener.logins == []


def test_no_secret_goes_where_a_config_within_a_config_says(
    config: Config, repo: Path, listener: Listener, secret: Secret
) -> None:
    """The table that changes were consumed into is asked up to where, and is a place like any other."""
    write(config("t"), FRAME)
    changes = {"since": "last consumed", "into": asking(listener, secret)}
    given = DoltConfig.from_dict({"db_path": str(repo), "tablename": "t", "changes": changes})
    with pytest.raises(errors.UntrustedInput, match="secret"):
        in_a_task(lambda: read(given))
    assert listener.logins == []


@pytest.mark.slow
@pytest.mark.parametrize("with_secret", [True, False])
def test_no_password_goes_to_a_remote_that_only_arrived(
    listener: Listener, secret: Secret, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, with_secret: bool
) -> None:
    """Neither a secret nor the password that the environment has for remotes; one that code names is gone to."""
    monkeypatch.setenv("DOLT_REMOTE_PASSWORD", PASSWORD)
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path))
    url = f"http://127.0.0.1:{listener.port}/shop"
    remote = {"url": url, "user": "me"} | ({"secret": secret.to_dict()} if with_secret else {})
    given = {"db_path": "shop", "tablename": "t", "remote_conf": remote}
    what = f"'vault'.*'{secret.key}'" if with_secret else "DOLT_REMOTE_PASSWORD"
    for arrive in WAYS.values():
        with pytest.raises(errors.UntrustedInput, match=f"{what}.*'127.0.0.1:{listener.port}'"):
            in_a_task(lambda arrive=arrive: read(arrive(given)))  # type: ignore[misc]
    assert listener.logins == []
    Remote(url)
    with pytest.raises(errors.DoltError, match="clone") as caught:
        read(DoltConfig.from_dict(given))
    assert not isinstance(caught.value, errors.UntrustedInput)
    assert listener.logins != []


def test_folders_are_no_hosts(tmp_path: Path, secret: Secret) -> None:
    """A remote in a folder that arrived is looked for, login or not."""
    url = f"file://{tmp_path / 'nowhere'}"
    given = {"db_path": "x", "tablename": "t", "remote_conf": {"url": url, "user": "me", "secret": secret.to_dict()}}
    with pytest.raises(errors.RepositoryNotFound, match="clone"):
        in_a_task(lambda: read(DoltConfig.from_dict(given)))


# ------------------------------------------------------------------------------------- what the running task asks for


def reading(*requests: Any) -> Any:
    """Return a task that requests secrets and reads what it is given."""

    @task(secret_requests=list(requests))
    def rows(table: DoltTable) -> int:
        return len(table.data)

    return rows


def gets_it(run: Any, given: dict[str, Any]) -> bool:
    """Whether a task sends its secret to where a table that arrives is said to be; flytekit hides which error it is."""
    with pytest.raises(Exception, match="Access denied for user 'me'|Cannot send the secret") as caught:
        run(table=DoltTable.from_dict({"config": given}))
    return "Access denied" in str(caught.value)


def test_a_task_gets_the_secret_that_it_asks_for_by_hand(listener: Listener, secret: Secret) -> None:
    """A request that names no place holds for the one that arrives; one for another secret, or none, does not."""
    given = asking(listener, secret)
    other = FlyteSecret(group=GROUP, key="another")
    assert not gets_it(reading(), given)
    assert not gets_it(reading(other), given)
    assert not gets_it(reading(FlyteSecret(group=GROUP, key=secret.key, group_version="2")), given)
    assert listener.logins == []
    assert gets_it(reading(other, FlyteSecret(group=GROUP, key=secret.key)), given)
    assert len(listener.logins) == 1


def test_a_secret_that_is_asked_for_with_a_config_goes_to_its_place(listener: Listener, secret: Secret) -> None:
    """Not to another one, which an input names; to the config's own it goes, also where that was read from a file."""
    mine = DoltConfig(f"mysql+pymysql://me@127.0.0.1:{free_port()}/shop", "t", secret=secret)
    given = asking(listener, secret)
    assert not gets_it(reading(*secret_requests(mine)), given)
    assert listener.logins == []
    assert gets_it(reading(*secret_requests(DoltConfig.from_dict(given))), given)


def test_a_copy_on_this_machine_stands_in_for_a_server_elsewhere(
    listener: Listener, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose config is for a server elsewhere runs against one here; no other place elsewhere stands in."""
    requests = secret_requests(DoltConfig("mysql+pymysql://me@db.example/shop", "t", secret=secret))
    assert gets_it(reading(*requests), asking(listener, secret))
    given = {**asking(listener, secret), "db_path": "mysql+pymysql://me@evil.example/shop"}
    assert not gets_it(reading(*requests), given)
    monkeypatch.setenv(TRUSTED, "db.example")
    assert not gets_it(reading(*requests), asking(listener, secret))


def test_where_the_setting_is_made_a_request_names_no_place(
    listener: Listener, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs a cluster closes it by that, whatever its tasks request."""
    monkeypatch.setenv(TRUSTED, "*.good.example")
    by_hand = reading(FlyteSecret(group=GROUP, key=secret.key))
    assert not gets_it(by_hand, asking(listener, secret))
    assert listener.logins == []


def test_threads_and_map_tasks_have_the_requests_of_their_task(listener: Listener, secret: Secret) -> None:
    """A thread that a task starts, which has no context of Flyte's, and the parts of a map task."""
    conf = DoltConfig.from_dict(asking(listener, secret))
    found: list[BaseException] = []

    def attempt() -> None:
        try:
            read(conf)
        except errors.DoltError as error:
            found.append(error)

    @task(secret_requests=[FlyteSecret(group=GROUP, key=secret.key)])
    def threaded() -> int:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        return len(found)

    @task(secret_requests=[FlyteSecret(group=GROUP, key=secret.key)])
    def part(number: int, text: str) -> int:
        read(DoltConfig.from_json(text))
        return number

    @workflow
    def wf() -> list[int]:
        from functools import partial

        return map_task(partial(part, text=conf.to_json()))(number=[1])

    in_a_task(attempt)
    assert threaded() == 2
    assert [type(error) for error in found] == [errors.UntrustedInput, errors.AccessDenied]
    with pytest.raises(errors.AccessDenied, match="Access denied"):
        wf()


def test_a_script_decides_for_itself(listener: Listener, secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of Flyte a config may be read from a text and used, unless the setting is made; in a pod, nowhere."""
    given = DoltConfig.from_json(json.dumps(asking(listener, secret)))
    with pytest.raises(errors.AccessDenied, match="Access denied for user 'me'"):
        read(given)
    for variable, value in ((TRUSTED, "db.example"), ("FLYTE_INTERNAL_EXECUTION_ID", "f1")):
        with monkeypatch.context() as patch, pytest.raises(errors.UntrustedInput, match="secret"):
            patch.setenv(variable, value)
            read(given)
    assert len(listener.logins) == 1


def test_an_address_in_a_dataset_is_data(listener: Listener, secret: Secret) -> None:
    """A `StructuredDataset` or frame at a ``dolt://`` address sends no secret; with one in the annotation, it does."""

    @task
    def plain(frame: pd.DataFrame) -> int:
        return len(frame)

    @task
    def dataset(given: StructuredDataset) -> int:
        return len(given.open(pd.DataFrame).all())

    @task
    def written(uri: str) -> StructuredDataset:
        return StructuredDataset(dataframe=FRAME, uri=uri)

    uri = address(asking(listener, secret))
    runs: list[Callable[[], Any]] = [
        lambda: plain(frame=StructuredDataset(uri=uri)),
        lambda: dataset(given=StructuredDataset(uri=uri)),
        lambda: written(uri=uri),
    ]
    for run in runs:
        with pytest.raises(Exception, match="secret"):
            run()
    assert listener.logins == []

    mine = DoltConfig.from_dict(asking(listener, secret))  # as a module reads it from a file of its own

    def annotated(frame: Any) -> int:
        return len(frame)

    annotated.__annotations__["frame"] = Annotated[pd.DataFrame, dolt_frame(mine)]
    with pytest.raises(Exception, match="Access denied for user 'me'"):
        task(annotated)(frame=StructuredDataset(uri=dolt_uri(mine)))


# ----------------------------------------------------------------------------------------------------------------- TLS


def _here() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "0.0.0.0"  # no network: this reaches the machine itself, too
        found: str = probe.getsockname()[0]
        return found


@pytest.fixture
def outside() -> Iterator[Listener]:
    """Give a listener at an address that is not loopback."""
    made = Listener("0.0.0.0")
    yield made
    made.close()


@pytest.mark.parametrize("option", ["?ssl_disabled=true", "?ssl_verify_identity=false", "?ssl_ca=/tmp/theirs.pem"])
@pytest.mark.parametrize("with_secret", [True, False])
def test_only_code_turns_protection_off(
    outside: Listener, secret: Secret, monkeypatch: pytest.MonkeyPatch, option: str, with_secret: bool
) -> None:
    """Off loopback neither the setting nor a request allows it; a config of the code's that says so does."""
    host = _here()
    monkeypatch.setenv(TRUSTED, host)
    DoltConfig(outside.url(host=host), "t")  # with TLS
    given = {"db_path": outside.url(option, host=host), "tablename": "t"}
    given |= {"secret": secret.to_dict()} if with_secret else {}
    words = rf"Cannot connect to '{host}:{outside.port}' without verified TLS: a value that arrived asks for that"
    for arrive in WAYS.values():
        with pytest.raises(errors.UntrustedInput, match=words):
            read(arrive(given))
    noting = {"db_path": "x", "tablename": "t", "meta_conf": {"_type": "DoltMeta", "db_path": given["db_path"]}}
    with pytest.raises(errors.UntrustedInput, match=words):
        write(DoltConfig.from_dict(noting), FRAME)
    assert outside.logins == []

    DoltConfig(given["db_path"], "t")
    with pytest.raises(errors.DoltError, match="Cannot") as caught:
        read(DoltConfig.from_dict(given))
    assert not isinstance(caught.value, errors.UntrustedInput)
    assert (len(outside.logins) >= 1) == ("ssl_ca" not in option)  # that file is not there


def test_a_login_in_the_clear_at_a_remote_is_for_code(secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    """``http://`` sends the password in the clear, so a value that arrived may not ask for it elsewhere."""
    monkeypatch.setenv(TRUSTED, "hub.example")
    remote = {"url": "http://hub.example/shop", "user": "me", "secret": secret.to_dict()}
    with pytest.raises(errors.UntrustedInput, match="'hub.example:80'.*TLS"):
        read(DoltConfig.from_dict({"db_path": "shop", "tablename": "t", "remote_conf": remote}))


def test_a_remote_on_this_machine_is_no_copy_of_one_elsewhere(listener: Listener, secret: Secret) -> None:
    """A remote gets the password itself, so a secret that is asked for a place elsewhere goes to no port here."""
    base = DoltConfig("shop", "t", remote_conf=Remote("https://hub.example/shop", user="me", secret=secret))
    remote = {"url": f"http://127.0.0.1:{listener.port}/shop", "user": "me", "secret": secret.to_dict()}
    given = {"db_path": "shop", "tablename": "t", "remote_conf": remote}
    for requests in (secret_requests(base), [FlyteSecret(group=secret.group, key=secret.key)]):
        with pytest.raises(errors.UntrustedInput, match=f"'127.0.0.1:{listener.port}'"):
            in_a_task(lambda: read(DoltConfig.from_dict(given)), *requests)
    assert listener.logins == []


def test_what_a_task_does_with_an_input_names_nothing(repo: Path, listener: Listener, secret: Secret) -> None:
    """An annotation or a request that a running task makes of what arrived is no word of the module's code."""
    told = DoltConfig.from_dict(telling(repo, "os:getcwd"))
    asked = DoltConfig.from_dict(asking(listener, secret))
    in_a_task(lambda: (dolt_frame(told), dolt_frame(asked), secret_requests(asked)))
    with pytest.raises(errors.UntrustedInput, match="'os:getcwd'"):
        read(told)
    with pytest.raises(errors.UntrustedInput, match="secret"):
        in_a_task(lambda: read(asked))
    assert listener.logins == []


# ---------------------------------------------------------------------------------------------------------------- marks


def test_the_mark_is_not_to_be_seen(secret: Secret) -> None:
    """What arrived is equal to what code builds, is shown and hashed as it is, and goes on as the same plain text."""
    built = DoltConfig(
        "mysql+pymysql://me@db.example/shop",
        "t",
        secret=secret,
        read_from=["mysql+pymysql://r.example"],
        meta_conf=CallbackMeta("json:dumps"),
        branch_conf=NewBranch("x"),
    )
    arrived = DoltConfig.from_json(built.to_json())
    assert isinstance(arrived.db_path, trust.Arrived)
    assert (arrived, repr(arrived), arrived.to_json()) == (built, repr(built), built.to_json())
    assert dolt_uri(arrived) == dolt_uri(built)
    remote = Remote.from_dict({"url": "https://hub.example/shop"})
    assert hash(remote) == hash(Remote("https://hub.example/shop"))
    written = [arrived.to_dict(), remote.to_dict(), DoltMeta.from_dict({"db_path": "x"}).to_dict()]
    assert "Arrived" not in {type(value).__name__ for value in _values(written)}


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _values(each)
    yield value


# ---------------------------------------------------------------------------------------------------------------- pods

IN_PODS = textwrap.dedent(
    """
    import pandas as pd
    from flytekit import Secret as FlyteSecret
    from flytekit import task, workflow
    from flytekitplugins.dolt import (
        CallbackMeta, DoltConfig, DoltTable, Secret, allow_callbacks, secret_requests
    )

    password = Secret("vault", "password")
    shop = DoltConfig("mysql+pymysql://me@127.0.0.1:1/shop", "t", secret=password)

    def noted(entry):
        with open("TOLD", "a") as file:
            file.write(entry["kind"] + " ")

    allow_callbacks(noted)

    @task
    def make() -> DoltTable:
        conf = DoltConfig("REPO", "made", meta_conf=CallbackMeta(noted))
        return DoltTable(conf, pd.DataFrame({"n": [1]}))

    @task(secret_requests=secret_requests(shop))
    def count(table: DoltTable) -> int:
        return len(table.data)

    @task(secret_requests=[FlyteSecret(group="vault", key="password")])
    def store(conf: DoltConfig) -> DoltTable:
        return DoltTable(conf, pd.DataFrame({"n": [2]}))

    @workflow
    def wf() -> int:
        return count(table=make())
    """
)


@pytest.mark.slow
def test_pods_obey_their_own_code_only(
    config: Config,
    repo: Path,
    dolt: Dolt,
    tmp_path: Path,
    listener: Listener,
    kind_of_program: tuple[Path, Path],
) -> None:
    """On a cluster an input starts no program and gets no secret sent; what a task's code says goes through pods."""
    write(config("t"), FRAME)
    folder, made = kind_of_program
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    cluster = Cluster(tmp_path / "cluster", secrets={("vault", "password"): PASSWORD})
    cluster.folder.mkdir()
    told = tmp_path / "told"
    module = cluster.image("arriving_wf", IN_PODS.replace("TOLD", str(told)).replace("REPO", str(repo)))
    assert cluster.run(module.wf, "f1") == (1,)
    assert told.read_text() == "save load "

    ctx = FlyteContextManager.current_context()

    def literal(value: Any, kind: Any) -> Literal:
        found: Literal = TypeEngine.to_literal(ctx, value, kind, TypeEngine.to_literal_type(kind))
        return found

    hostile = DoltConfig.from_dict(telling(repo, "subprocess:call"))
    away = DoltConfig.from_dict(asking(listener, Secret("vault", "password")))
    attempts = [
        (module.count, {"table": literal(DoltTable(hostile), DoltTable)}, "Cannot call 'subprocess:call'"),
        (module.store, {"conf": literal(hostile, DoltConfig)}, "Cannot call 'subprocess:call'"),
        (module.count, {"table": literal(DoltTable(away), DoltTable)}, "Cannot send the secret"),
    ]
    for number, (entity, inputs, words) in enumerate(attempts):
        with pytest.raises(PodFailed, match=words) as caught:
            cluster.pod(entity, f"attack{number}", inputs, environment=environment)
        assert not caught.value.recoverable
    assert not made.exists()
    assert listener.logins == []
    assert "made" in dolt("ls")
