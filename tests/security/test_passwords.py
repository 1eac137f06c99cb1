"""Passwords are seen by nobody: not in logs, errors, values, literals, decks, commits, or the list of processes."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pymysql
import pytest
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from users_server import users_server

from flytekitplugins.dolt import (
    DoltConfig,
    DoltError,
    DoltTable,
    NewBranch,
    Secret,
    create_repository,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.model import location
from flytekitplugins.dolt.report import collect, page
from flytekitplugins.dolt.repository import connections, refs, remotes
from flytekitplugins.dolt.server import local_server

SECRET = "Tr0ub4dor-and-3-horses"
USERS = pd.DataFrame({"id": [1, 2], "name": ["Ann", "Bob"]})


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoltConfig]:
    """Give a config for somebody else's server, which asks for a password that is a secret of Flyte's."""
    folder = create_repository(tmp_path / "shop", name="Ann", email="ann@x.org")
    with users_server(folder):
        found = local_server.running(folder)
        assert found is not None
        with pymysql.connect(host="127.0.0.1", port=found.port, user=found.user, password=found.password) as admin:
            admin.cursor().execute(f"CREATE USER 'flyte'@'%' IDENTIFIED BY '{SECRET}'")
            admin.cursor().execute("GRANT ALL ON *.* TO 'flyte'@'%'")
        monkeypatch.setenv("_FSEC_SHOP_PASSWORD", SECRET)  # not before: this server would inherit it
        url = f"mysql+pymysql://flyte@127.0.0.1:{found.port}/shop"
        yield DoltConfig(url, "users", secret=Secret("shop", "password"), branch_conf=NewBranch("work"))


def use(config: DoltConfig) -> list[str]:
    """Write, read, query and fail with a config; return all the texts that came of it."""
    table = write(config, USERS)
    query = DoltConfig(config.db_path, sql="SELECT * FROM users ORDER BY id", secret=config.secret)
    query.branch_conf = config.branch_conf
    assert read(query).equals(USERS)
    context = FlyteContextManager.current_context()
    literals = [
        TypeEngine.to_literal(context, value, type(value), TypeEngine.to_literal_type(type(value)))
        for value in (pin(config), config)
    ]
    assert isinstance(table, DoltTable)
    shown = page.page(collect.card(table))
    place = remotes.locate(config)
    messages = [str(commit) + repr(commit) for commit in refs.log(place)]
    return [*map(str, literals), repr(table), repr(config), config.to_json(), shown, str(place), repr(place), *messages]


def failures(*attempts: Callable[[], object]) -> Iterator[str]:
    """Give what the errors of some failing attempts say, with their facts and causes."""
    for attempt in attempts:
        with pytest.raises(DoltError, match="Cannot") as caught:
            attempt()
        error: BaseException | None = caught.value
        while error is not None:
            yield f"{error!s} {error!r} {vars(error)!r}"
            error = error.__cause__ or error.__context__


def processes() -> Iterator[str]:
    """Give the command line and the environment of every process of this machine but this one."""
    own = {str(Path("/proc/self").resolve().name)}
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name in own:
            continue
        for name in ("cmdline", "environ"):
            try:
                yield (folder / name).read_text(errors="replace")
            except OSError:  # it is gone, or another user's
                continue


@pytest.mark.serial
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_passwords_are_nowhere(
    repo: Path, served: DoltConfig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of three passwords (of our server, of its reader, of somebody else's server) is shown or logged anywhere."""
    for name in (None, *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    local = DoltConfig(str(repo), "users", branch_conf=NewBranch("work"))
    said = [*use(local), *use(served)]

    address = local_server.running(repo)
    assert address is not None
    with connections.connect(repo) as connection, connection.read_only_session() as reader:
        passwords = {SECRET, address.password, reader._endpoint.password}
        said += [repr(each) for each in (address, connection, reader, reader._endpoint, connection._endpoint)]
        said += [str(reader.query("SELECT * FROM information_schema.processlist"))]
    assert len(passwords) == 3
    assert all(len(password) > 10 for password in passwords)

    wrong = DoltConfig(served.db_path.replace("flyte@", "nobody@"), "users", secret=served.secret)
    inside = served.db_path.replace("flyte@", f"flyte:{SECRET}@")
    said += failures(
        lambda: read(wrong),
        lambda: read(DoltConfig(str(repo), "nothing")),
        lambda: read(DoltConfig(str(repo), sql="SELECT nothing FROM users")),
        lambda: read(DoltConfig(served.db_path + "x", "users", secret=served.secret)),
        lambda: read(DoltConfig(inside, "users")),
        lambda: read(DoltConfig(inside)),
        lambda: read(DoltConfig(inside, "users", secret=served.secret, mode="no")),
        lambda: location.server(inside.replace(SECRET, f"a/{SECRET}")),
    )
    said += [record.getMessage() for record in caplog.records] + [caplog.text]
    said += processes()
    said += [repr(each) for each in gc.get_objects() if str(type(each).__module__).startswith("flytekitplugins.dolt")]
    for password in passwords:
        assert [text[:300] for text in said if password in text] == []
