"""Secrets reach every part of a URL and the driver, and nothing that people or Flyte get to see holds one of them."""

from __future__ import annotations

import logging
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pymysql
import pytest
from faults import assert_hidden, psql
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.models.security import Secret
from flytekit.tools.translator import get_serializable
from pods import Cluster, PodFailed, counted
from servers import DATABASE, PASSWORD, USER, Server
from waiting import eventually

from flytekitplugins.doltdb.hiding import spellings
from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask, connections
from flytekitplugins.sqlalchemy.errors import (
    AccessDenied,
    DatabaseNotFound,
    InvalidTask,
    SecretMissing,
    ServerUnreachable,
    SQLTaskError,
    StatementTimedOut,
    SyntaxRefused,
    TableNotFound,
)

GROUP = "vault"
SETTINGS = SerializationSettings(
    project="p", domain="d", version="v", image_config=ImageConfig(default_image=Image("i", "example.com/i", "1"))
)
HOSTILE_USER = "svc o'b:r%41/ü&\"x"
HOSTILE_PASSWORD = "p:a/s@s%w'o\"r\\d ж😀+#?"
HOSTILE_DATABASE = "shop's & böxes"


@dataclass(frozen=True)
class Vault:
    """The secrets of one server's account: every part of the URL, and an argument of the driver."""

    kind: str
    secrets: dict[str, str]
    """Values by the names that the config gives them; each is the key of its secret, too."""
    asked: str
    """A query that answers with the user, the database and what the argument set."""
    answer: list[Any] = field(default_factory=list)

    def config(self, **options: Any) -> SQLAlchemyConfig:
        """Return a config that takes everything from secrets."""
        return SQLAlchemyConfig(
            uri="postgresql://" if self.kind == "postgresql" else "mysql://",
            secret_connect_args={name: Secret(group=GROUP, key=name) for name in self.secrets},
            **options,
        )

    def task(self, query: str, **options: Any) -> SQLAlchemyTask:
        """Return a task that takes everything from secrets."""
        output = options.pop("output", pd.DataFrame)
        return SQLAlchemyTask(
            name="a-task",
            query_template=query,
            task_config=self.config(**options),
            output_schema_type=output,
            enable_deck=True,
        )

    def grep(self, text: str | bytes, *, but: tuple[str, ...] = ()) -> list[str]:
        """Return the names of the secrets that the text holds in some spelling; the port stands for too much else."""
        given = text.decode(errors="replace") if isinstance(text, bytes) else text
        names = [name for name in self.secrets if name != "port" and name not in but]
        return [name for name in names if any(form in given for form in spellings(self.secrets[name]))]


@pytest.fixture(params=["mariadb", "dolt_server", "postgres"])
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """Make an account with hostile names on each server in turn, and put its secrets where flytekit finds them."""
    server: Server = request.getfixturevalue(request.param)
    found = _postgres_vault(server) if server.kind == "postgresql" else _mysql_vault(server)
    for name, value in found.secrets.items():
        monkeypatch.setenv(f"_FSEC_{GROUP}_{name}".upper(), value)
    monkeypatch.setattr(connections, "_PAUSE_S", 0.01)
    return found


def _parts(server: Server) -> dict[str, str]:
    return {
        "user": HOSTILE_USER,
        "password": HOSTILE_PASSWORD,
        "host": "127.0.0.1",
        "port": str(server.port),
        "database": HOSTILE_DATABASE,
    }


def _mysql_vault(server: Server) -> Vault:
    user, password = HOSTILE_USER.replace("'", "''"), HOSTILE_PASSWORD.replace("\\", "\\\\").replace("'", "''")
    server.sql(f"create database if not exists `{HOSTILE_DATABASE}`", f"drop user if exists '{user}'")
    server.sql(f"create user '{user}' identified by '{password}'", f"grant all on *.* to '{user}'")
    secrets = {**_parts(server), "init_command": "set @token = 'tök''en of the argument'"}
    asked = "select current_user() as a, database() as b, @token as c"
    return Vault(server.kind, secrets, asked, [HOSTILE_USER, HOSTILE_DATABASE, "tök'en of the argument"])


def _postgres_vault(server: Server) -> Vault:
    with psql(server) as admin:
        name, database = HOSTILE_USER.replace('"', '""'), HOSTILE_DATABASE.replace('"', '""')
        if admin.execute("select 1 from pg_roles where rolname = %s", (HOSTILE_USER,)).fetchone() is None:
            password = HOSTILE_PASSWORD.replace("'", "''")
            admin.execute(f"create role \"{name}\" superuser login password '{password}'")  # type: ignore[arg-type]
            admin.execute(f'create database "{database}"')  # type: ignore[arg-type]
    secrets = {**_parts(server), "application_name": "tok'en of the argument"}
    asked = "select current_user::text as a, current_database()::text as b, current_setting('application_name') as c"
    return Vault(server.kind, secrets, asked, [HOSTILE_USER, HOSTILE_DATABASE, "tok'en of the argument"])


@contextmanager
def all_logs() -> Iterator[list[str]]:
    """Give what all loggers say inside the block, at the level DEBUG, with tracebacks."""
    said: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(logging.Formatter("%(name)s %(message)s %(exc_text)s").format(record))

    keeper = Keeper(logging.DEBUG)
    named = [logging.getLogger(name) for name in ("flytekit", "sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool")]
    known = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before = [(logger, logger.level) for logger in {logging.root, *known, *named}]
    ours = [logger for logger, _ in before if logger is logging.root or not logger.propagate]
    try:
        for logger, _ in before:
            logger.setLevel(logging.DEBUG)
        for logger in ours:
            logger.addHandler(keeper)
        yield said
    finally:
        for logger in ours:
            logger.removeHandler(keeper)
        for logger, level in before:
            logger.setLevel(level)


# -- they arrive -------------------------------------------------------------------------------------------------------


def test_every_part_comes_from_secrets(vault: Vault) -> None:
    """User, password, host, port, database and an argument of the driver are the secrets', character by character."""
    (found,) = vault.task(vault.asked)().itertuples(index=False)
    answered = [*found]
    if vault.kind != "postgresql":
        answered[0] = answered[0].rpartition("@")[0]
    assert answered == vault.answer


def test_the_task_asks_for_its_secrets(vault: Vault) -> None:
    """The template's security context names each secret once, besides those that the user asked for."""
    mine = Secret(group="other", key="key")
    task = SQLAlchemyTask(
        name="t", query_template="select 1 as a", task_config=vault.config(), secret_requests=[mine, vault_password()]
    )
    asked = get_serializable(OrderedDict(), SETTINGS, task).template.security_context.secrets
    expected = [("other", "key"), (GROUP, "password"), *((GROUP, name) for name in vault.secrets if name != "password")]
    assert [(secret.group, secret.key) for secret in asked] == expected


def vault_password() -> Secret:
    """Return where the password is."""
    return Secret(group=GROUP, key="password")


def test_a_secret_in_a_variable_of_its_own(mariadb: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret with ``env_var`` is read there; mounted as a file, the variable names the file."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    monkeypatch.setenv("DB_PASSWORD_FILE", str(tmp_path / "password"))
    for variable, kind in (("DB_PASSWORD", Secret.MountType.ENV_VAR), ("DB_PASSWORD_FILE", Secret.MountType.FILE)):
        secret = Secret(group="g", key="k", mount_requirement=kind, env_var=variable)
        config = SQLAlchemyConfig(
            uri=f"mysql://{USER}@127.0.0.1:{mariadb.port}/db", secret_connect_args={"password": secret}
        )
        task = SQLAlchemyTask(
            name="t", query_template="select 1 as a", task_config=config, output_schema_type=pd.DataFrame
        )
        assert task()["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("secret", "variable"),
    [
        (Secret(group="db", key="the-password"), "_FSEC_DB_THE-PASSWORD"),
        (Secret(group="db", key="k", group_version="v2"), "_FSEC_DB_V2_K"),
        (Secret(group="db", key="k", env_var="MY_PASSWORD"), "MY_PASSWORD"),
    ],
)
def test_a_missing_secret_is_named(secret: Secret, variable: str) -> None:
    """The error says which argument wants it, its group and key, and the variable that a local run looks for."""
    config = SQLAlchemyConfig(uri="mysql://u@127.0.0.1:1/d", secret_connect_args={"password": secret})
    task = SQLAlchemyTask(name="t", query_template="select 1 as a", task_config=config)
    with pytest.raises(SecretMissing, match=f"'password'.*{variable}") as caught:
        task()
    assert (caught.value.group, caught.value.key) == (secret.group, secret.key)
    assert f"(group {secret.group!r}, key {secret.key!r})" in str(caught.value)


def test_what_is_no_secret_is_refused() -> None:
    """A password in place of the reference to one is refused where the config is made, and not repeated."""
    with pytest.raises(InvalidTask, match="'password'") as caught:
        SQLAlchemyConfig(uri="mysql://u@h/d", secret_connect_args={"password": "hunter2"})  # type: ignore[dict-item]
    assert "hunter2" not in str(caught.value)


# -- they are not seen -------------------------------------------------------------------------------------------------


def test_no_log_holds_a_secret(vault: Vault) -> None:
    """At DEBUG, with all that SQLAlchemy and flytekit have to say, for a query, a failure and a write."""
    with all_logs() as said:
        vault.task(vault.asked)()
        vault.task("drop table if exists logged", output=None)()
        vault.task("create table logged (a int)", output=None)()
        with pytest.raises(TableNotFound, match="nope"):
            vault.task("select * from nope")()
    assert any("sqlalchemy.engine" in line for line in said)
    assert any("connects to" in line and "***" in line for line in said)
    assert vault.grep("\n".join(said)) == []


def _wrong_password(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    patch.setitem(vault.secrets, "password", "wr/ng pa'ss😀")
    return vault.task("select 1 as a")


def _wrong_host(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    patch.setitem(vault.secrets, "host", "no-such-host.invalid")
    return vault.task("select 1 as a")


def _closed_port(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    patch.setitem(vault.secrets, "port", "1")
    return vault.task("select 1 as a")


def _no_port(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    patch.setitem(vault.secrets, "port", "s3cret of the port")
    return vault.task("select 1 as a")


def _wrong_database(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    patch.setitem(vault.secrets, "database", "nö such d'b & more")
    return vault.task("select 1 as a")


def _refused_argument(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    patch.setitem(vault.secrets, "no_such_argument", "vàlue of it")
    return vault.task("select 1 as a")


def _missing_table(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    return vault.task("select * from nope")


def _syntax(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    return vault.task("selec 1")


def _too_long(vault: Vault, patch: pytest.MonkeyPatch) -> SQLAlchemyTask:
    return vault.task("select pg_sleep(9)" if vault.kind == "postgresql" else "select sleep(9)", timeout_s=0.5)


@pytest.mark.parametrize(
    ("made", "kind", "match"),
    [
        (_wrong_password, AccessDenied, "user.*password"),
        (_wrong_host, ServerUnreachable, "connection"),
        (_closed_port, ServerUnreachable, "connection"),
        (_no_port, InvalidTask, "port"),
        (_wrong_database, DatabaseNotFound, "Check the"),
        (_refused_argument, InvalidTask, "Correct"),
        (_missing_table, TableNotFound, "nope"),
        (_syntax, SyntaxRefused, "query"),
        (_too_long, StatementTimedOut, "timeout_s"),
    ],
)
def test_no_error_holds_a_secret(
    vault: Vault,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Vault, pytest.MonkeyPatch], SQLAlchemyTask],
    kind: type[SQLTaskError],
    match: str,
) -> None:
    """Message, facts, causes, traceback and pickle of each failure are free of them, and so is what is logged of it."""
    task = made(vault, monkeypatch)
    for name, value in vault.secrets.items():
        monkeypatch.setenv(f"_FSEC_{GROUP}_{name}".upper(), value)
    with all_logs() as said:
        with pytest.raises(kind, match=match) as caught:
            task()
    assert_hidden(caught.value, [value for name, value in vault.secrets.items() if name != "port"])
    assert vault.grep(str(caught.value) + repr(caught.value.__dict__) + "\n".join(said)) == []
    if made is _no_port:
        assert vault.secrets["port"] not in str(caught.value) + "\n".join(said)


def test_a_secret_command_that_fails_is_not_shown(mariadb: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB repeats the end of what it cannot parse; that is a piece of the secret."""
    monkeypatch.setenv("_FSEC_VAULT_COMMAND", "set @x = 'a' oops the private remainder of the command")
    config = SQLAlchemyConfig(
        uri=f"mysql://{USER}@127.0.0.1:{mariadb.port}/db",
        connect_args={"password": PASSWORD},
        secret_connect_args={"init_command": Secret(group=GROUP, key="command")},
    )
    task = SQLAlchemyTask(name="t", query_template="select 1 as a", task_config=config)
    with pytest.raises(SyntaxRefused, match=r"near '\*\*\*'") as caught:
        task()
    assert "remainder" not in str(caught.value)


def test_nothing_that_is_made_of_the_task_holds_a_secret(vault: Vault) -> None:
    """Template, as text and as bytes, config, task and executor, shown and pickled, after the task ran."""
    task = vault.task(vault.asked)
    task()
    template = get_serializable(OrderedDict(), SETTINGS, task).template
    shown = [str(template), repr(template.custom), str(template.to_flyte_idl())]
    shown += [repr(one) + str(one) for one in (task.task_config, task, task.executor, task.task_template.custom)]
    raw = [template.to_flyte_idl().SerializeToString(), pickle.dumps(task.task_config), cloudpickle.dumps(task)]
    assert [vault.grep(one) for one in shown + [one.decode(errors="replace") for one in raw]] == [[]] * 10
    assert all(value.encode() not in one for one in raw for name, value in vault.secrets.items() if name != "port")
    assert pickle.loads(raw[1]) == task.task_config


@pytest.mark.parametrize("where", ["in the uri", "in connect_args"])
def test_a_password_at_hand_runs_here_and_nowhere_else(mariadb: Server, where: str) -> None:
    """For trying things out a password may stand in the config; it is not shown, and no cluster gets it."""
    user, secret = HOSTILE_USER.replace("'", "''"), "at h@nd/пароль"
    mariadb.sql(f"drop user if exists '{user}'", f"create user '{user}' identified by '{secret}'")
    mariadb.sql(f"grant all on *.* to '{user}'")
    url = connections.sqlalchemy.engine.URL.create(
        "mysql", HOSTILE_USER, secret if where == "in the uri" else None, "127.0.0.1", mariadb.port, DATABASE
    )
    config = SQLAlchemyConfig(
        uri=url.render_as_string(hide_password=False),
        connect_args={"password": secret} if where == "in connect_args" else None,
    )
    task = SQLAlchemyTask(
        name="t", query_template="select 1 as a", task_config=config, output_schema_type=pd.DataFrame, enable_deck=True
    )
    with all_logs() as said:
        assert task()["a"].tolist() == [1]
    shown = "\n".join([*said, repr(config), repr(task), str(task.task_template.custom)])
    assert not [form for form in spellings(secret) if form in shown]
    with pytest.raises(InvalidTask, match="password") as caught:
        get_serializable(OrderedDict(), SETTINGS, task)
    assert_hidden(caught.value, [secret])


@pytest.mark.slow
def test_a_pod_leaves_no_secret_behind(vault: Vault, tmp_path: Path) -> None:
    """In a pod that has only the secrets it asked for: no file that it leaves, no log and no error holds one."""
    asked = {(GROUP, name): value for name, value in vault.secrets.items()}
    cluster = Cluster(tmp_path, secrets=asked, environment={"FLYTE_SDK_LOGGING_LEVEL": "10", **counted()})
    (found,) = cluster.run(vault.task("select 42 as a"), "good")
    assert found["a"].tolist() == [42]
    with pytest.raises(PodFailed, match="Query: select \\* from nope") as caught:
        cluster.run(vault.task("select * from nope"), "bad")
    assert not caught.value.recoverable
    assert "DEBUG" in caught.value.log
    assert vault.grep(caught.value.message + caught.value.log) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert any(path.name == "task_template.pb" for path in files)
    assert {str(path): vault.grep(path.read_bytes()) for path in files if vault.grep(path.read_bytes())} == {}


def test_a_running_task_shows_no_secret_to_other_users(mariadb: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server lists of a session, and the command line of this process, hold no password."""
    monkeypatch.setenv("_FSEC_DB_PASSWORD", PASSWORD)
    config = SQLAlchemyConfig(
        uri=f"mysql://{USER}@127.0.0.1:{mariadb.port}/db",
        secret_connect_args={"password": Secret(group="db", key="password")},
    )
    query = "select get_lock('shown', 60) as a"
    task = SQLAlchemyTask(name="t", query_template=query, task_config=config, output_schema_type=pd.DataFrame)
    found: list[pd.DataFrame] = []
    thread = threading.Thread(target=lambda: found.append(task()))
    with closing(pymysql.connect(host="127.0.0.1", port=mariadb.port, user=USER, password=PASSWORD)) as holder:
        holder.cursor().execute("select get_lock('shown', 0)")
        thread.start()
        try:
            assert eventually(lambda: query in str(mariadb.sql("show full processlist")), within_s=20)
            assert PASSWORD not in str(mariadb.sql("show full processlist"))
            assert PASSWORD not in Path("/proc/self/cmdline").read_text()
        finally:
            holder.cursor().execute("select release_lock('shown')")
            thread.join()
    assert found[0]["a"].tolist() == [1]
