"""The server form: a user's own `dolt sql-server`, and what goes wrong on the way to it and back.

Each is the right result or an error that says what to do, nothing is written twice, and what the server holds is asked
of the `dolt` command line.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dolt_program
import pandas as pd
import pytest
import servers
import writers
from certificates import Authority
from dolt_server import PASSWORD, VARIABLE, DoltServer, free_port
from factor import FACTOR, SEED
from flytekit.exceptions.base import FlyteRecoverableException
from log_table import put
from proxy import Once, Proxy, apart
from waiting import eventually

from flytekitplugins.dolt import (
    Changes,
    DoltConfig,
    DoltTable,
    MergeBranch,
    NewBranch,
    Secret,
    delete_run_branches,
    delete_tag,
    diff,
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
from flytekitplugins.dolt.errors import (
    AccessDenied,
    ConnectionLost,
    DoltError,
    InvalidConfig,
    OutcomeUnknown,
    RepositoryNotFound,
    RepositoryReadOnly,
    SecretNotFound,
    ServerFailed,
    UntrustedServer,
)
from flytekitplugins.dolt.history import publishing
from flytekitplugins.dolt.model import location
from flytekitplugins.dolt.model.location import ServerLocation
from flytekitplugins.dolt.report import collect, page
from flytekitplugins.dolt.repository import connections, refs


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test the secret that its configs name, as Flyte mounts it."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    monkeypatch.setenv("_FSEC_SHOP_WRONG", "not the password")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoltServer]:
    """Give one server for the tests that leave it running."""
    with DoltServer(tmp_path_factory.mktemp("servers") / "shop") as server:
        write_with_secret(server.config(), -1)
        yield server


def write_with_secret(config: DoltConfig, number: int) -> str:
    """Write a row before a test has its environment, and return the commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, PASSWORD)
        return put(config, number)


def commits(server: DoltServer, branch: str = "main") -> list[str]:
    """Return the hashes of a branch, newest first."""
    return [hash_ for (hash_,) in server.sql("SELECT commit_hash FROM DOLT_LOG(%s)", branch)]


def place_of(server: DoltServer) -> ServerLocation:
    """Return what a config for the server comes to."""
    return location.server(server.url(), password=PASSWORD)


def doing(config: DoltConfig, action: str) -> None:
    """Read or write with a config."""
    if action == "read":
        read(config)
    else:
        put(config, 1)


# -------------------------------------------------------------------------------------------------- who may come in

BOTH = pytest.mark.parametrize("action", ["read", "write"])


@BOTH
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"secret": Secret("shop", "wrong")}, AccessDenied, "Access denied for user 'flyte'"),
        ({"secret": None}, AccessDenied, "Access denied for user 'flyte'.*secret=Sec"),
        ({"secret": Secret("shop", "absent")}, SecretNotFound, "_FSEC_SHOP_ABSENT"),
        ({"user": "nobody"}, AccessDenied, "//nobody@.*Access denied for user 'nobody'"),
        ({"database": "Shop"}, RepositoryNotFound, "'Shop'.*'shop'.*'shop'"),
        ({"database": "other"}, RepositoryNotFound, "'other'.*'shop'"),
        ({"database": "mysql"}, RepositoryNotFound, "'mysql'.*'shop'"),
        ({"options": "?ssl_verify_identity=true"}, UntrustedServer, r"TLS\)"),
        ({"options": "?ssl_ca=/nowhere.pem"}, InvalidConfig, r"/nowhere\.pem"),
    ],
    ids=["wrong", "no secret", "absent secret", "nobody", "case", "database", "system", "no tls", "no ca"],
)
def test_who_may_not_come_in_is_told_why(
    shop: DoltServer, action: str, options: dict[str, object], error: type[DoltError], words: str
) -> None:
    """A wrong or missing password, user, database or certificate is named, and nothing happens on the server."""
    before, url = commits(shop), shop.url(str(options.get("options", "")), user=str(options.get("user", "flyte")))
    url = url.replace("/shop", f"/{options.get('database', 'shop')}")
    given = {"secret": options["secret"]} if "secret" in options else {}
    with pytest.raises(error, match=words) as caught:
        doing(shop.config(at=url, **given), action)
    assert type(caught.value) is error
    assert "not the password" not in str(caught.value)
    assert commits(shop) == before


def test_a_user_who_may_only_read_reads(shop: DoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SELECT alone tables, queries, versions and the past are read; a write is AccessDenied and leaves nothing."""
    shop.add_user("reader", "r", "SELECT")
    monkeypatch.setenv("_FSEC_SHOP_READER", "r")
    url, mine, before = shop.url(user="reader"), Secret("shop", "reader"), commits(shop)
    assert read(shop.config(at=url, secret=mine))["number"].tolist() == [-1]
    assert read(DoltConfig(url, sql="SELECT number + 1 AS next FROM log", secret=mine))["next"].tolist() == [0]
    assert [table.commit.hash for table in versions(shop.config(at=url, secret=mine)) if table.commit] == before[:1]
    assert read(shop.config(at=url, secret=mine, as_of=before[0]))["number"].tolist() == [-1]
    with pytest.raises(AccessDenied, match="command denied to user 'reader'@'%'"):
        put(shop.config(at=url, secret=mine), 1)
    assert commits(shop) == before
    assert "flyte-tmp" not in shop.dolt("branch")


def test_rights_on_the_one_database_are_enough(tmp_path: Path) -> None:
    """A user with rights on this database alone writes to new, merged and existing branches, and is told what is not.

    To such a user Dolt says "access denied" for every revision that is not there.
    """
    with DoltServer(tmp_path / "shop") as server:
        first = put(server.config(mode="append"), 1)
        put(server.config(mode="append", branch_conf=NewBranch("run/1")), 2)
        put(server.config(mode="append", branch_conf=MergeBranch("run/2", into="main")), 3)
        assert server.values("SELECT number FROM log AS OF 'run/1' ORDER BY number") == ["1", "2"]
        assert server.values("SELECT number FROM log ORDER BY number") == ["1", "3"]
        assert read(server.config(as_of=first))["number"].tolist() == [1]
        since = server.config(changes=Changes(since=first))
        assert read(since)["number"].tolist() == [3]
        assert diff(pin(server.config(as_of=first)), pin(server.config())).added == 1
        assert "number" in page.page(collect.card(pin(server.config())))
        with pytest.raises(DoltError, match="'run/9'"):
            read(server.config(branch_conf=NewBranch("run/9")))
        with pytest.raises(DoltError, match="'0{32}'"):
            read(server.config(as_of="0" * 32))


def test_rows_are_deleted_by_key(tmp_path: Path) -> None:
    """A user with rights on this database alone deletes rows by their keys."""
    with DoltServer(tmp_path / "shop") as server:
        write(server.config(primary_key=["number"]), pd.DataFrame({"number": [1, 2, 3], "f": [0.1, 0.2, 0.3]}))
        assert write(server.config(mode="delete"), pd.DataFrame({"number": [3, 4, 1]})).missing_keys == 1
        assert server.values("SELECT number FROM log") == ["2"]


def test_what_takes_a_repository_takes_a_config_with_its_secret(tmp_path: Path) -> None:
    """Branches are merged, commits tagged and run branches deleted on a server that asks for a password."""
    with DoltServer(tmp_path / "shop") as server:
        put(server.config(), 1)
        head = put(server.config(mode="append", branch_conf=NewBranch("run/1")), 2)
        where = server.config()
        merged = merge("run/1", db_path=where, into="main", checks={"none below": "SELECT * FROM log WHERE number < 1"})
        assert commits(server)[0] == merged.hash
        assert server.values("SELECT number FROM log ORDER BY number") == ["1", "2"]
        assert tag("v1", pin(where)).commit.hash == merged.hash
        assert [found.name for found in tags(where)] == ["v1"]
        assert delete_tag("v1", db_path=where).commit.hash == merged.hash
        assert [found.head.hash for found in run_branches(where)] == [head]
        assert [found.name for found in delete_run_branches(where, older_than=timedelta(0))] == ["run/1"]
        assert server.values("SELECT name FROM dolt_branches") == ["main"]
        assert [step.commit.hash for step in lineage(pin(where)).steps] == [head]  # which the merge took as it was
        with pytest.raises(AccessDenied, match="secret=Secret"):
            tags(server.url())


def test_branches_that_others_may_write_to(tmp_path: Path) -> None:
    """Where Dolt's branch permissions keep a user off a branch, that is AccessDenied, and another branch is written."""
    with DoltServer(tmp_path / "shop") as server:
        first = put(server.config(), 1)
        server.sql("DELETE FROM dolt_branch_control")
        for branch, user in (("%", "root"), ("flyte-tmp/%", "flyte"), ("run/%", "flyte")):
            server.sql("INSERT INTO dolt_branch_control VALUES ('%%', %s, %s, '%%', 'admin')", branch, user)
        with pytest.raises(AccessDenied, match="`main`"):
            put(server.config(mode="append"), 2)
        put(server.config(mode="append", branch_conf=NewBranch("run/1")), 3)
        assert commits(server)[0] == first
        assert server.values("SELECT number FROM log AS OF 'run/1' ORDER BY number") == ["1", "3"]
        assert server.dolt("branch").split() == ["*", "main", "run/1"]


def test_a_server_that_takes_no_writes(log: DoltServer) -> None:
    """One that is started read-only is read; a write there is RepositoryReadOnly, and changes nothing."""
    before = commits(log)
    log.stop()
    log.behavior["read_only"] = True
    log.start()
    assert read(log.config())["number"].tolist() == [-1]
    with pytest.raises(RepositoryReadOnly, match="server is set to read only mode"):
        put(log.config(), 1)
    assert commits(log) == before


@pytest.mark.slow
@pytest.mark.parametrize("what", ["configs", "a table at a commit"])  # apart: Dolt hangs up on who waits for a minute
def test_a_server_that_is_full(log: DoltServer, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Where all connections are taken that is ConnectionLost after a while, which Flyte may try again."""
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(publishing, "MAX_LOST", 1)
    config = log.config()
    table = pin(config)
    connections.disconnect(place_of(log))
    log.stop()
    log.listener["max_connections"] = 1
    log.start()
    merging, restoring = (lambda: merge("main", db_path=config)), (lambda: restore(config, "HEAD~1"))
    in_parts, as_arrow = (lambda: next(table.iter())), (lambda: table.open().__enter__())
    attempts = {
        "configs": (lambda: read(config), lambda: pin(config), lambda: put(config, 1), merging, restoring),
        "a table at a commit": (lambda: table.data, in_parts, as_arrow),
    }
    with closing(log.operated()):
        for attempt in attempts[what]:
            with pytest.raises(ConnectionLost, match="timed out") as caught:
                attempt()
            assert isinstance(caught.value, FlyteRecoverableException)
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 30)
    log.stop()
    log.listener.clear()
    log.start()
    assert read(log.config())["number"].tolist() == [-1]


# ------------------------------------------------------------------------------------------- nobody, or somebody else


@pytest.mark.slow
@BOTH
def test_a_port_where_nobody_listens(shop: DoltServer, action: str) -> None:
    """A closed port is ConnectionLost, which Flyte may try again, and says to look at the URL."""
    with pytest.raises(ConnectionLost, match="refused.*URL"):
        doing(shop.config(at=shop.url(port=free_port())), action)


@pytest.mark.slow
def test_a_host_that_nobody_knows(shop: DoltServer) -> None:
    """An unknown name is ConnectionLost, too: names of a cluster come and go."""
    with pytest.raises(ConnectionLost, match="host.*URL"):
        read(shop.config(at=shop.url(host="dolt.invalid")))


@pytest.mark.slow
def test_a_mariadb_is_no_dolt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another maker's server is ServerFailed before anything is asked of its tables."""
    with servers.mariadb(tmp_path) as server:
        monkeypatch.setenv("_FSEC_SHOP_MARIADB", servers.PASSWORD)
        url = f"mysql+pymysql://{servers.USER}@127.0.0.1:{server.port}/{servers.DATABASE}"
        for action in ("read", "write"):
            with pytest.raises(ServerFailed, match="Dolt.*URL"):
                doing(DoltConfig(url, "log", secret=Secret("shop", "mariadb")), action)
        assert server.sql("SHOW TABLES") == []


def test_something_that_never_says_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the connection and stays silent is given up as one that does not answer: it does not hang."""
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"mysql+pymysql://me@127.0.0.1:{listener.getsockname()[1]}/shop"
        with pytest.raises(ConnectionLost, match="dolt sql-server.*timed out"):
            read(DoltConfig(url, "log"))


def test_statements_may_take_longer_than_connecting(shop: DoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that connecting may take does not end a statement that is at work."""
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 2)  # so much a busy machine may need for it
    connections.disconnect(place_of(shop))  # so that it connects now
    with connections.connect(place_of(shop)) as connection:
        assert connection.query("SELECT SLEEP(2.5)") == [(0,)]


# ---------------------------------------------------------------------------------------------------------------- TLS


def this_machine() -> str:
    """Return an address of this machine that is not loopback by its name, so that TLS is on by default."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))  # nothing is sent
        except OSError:
            return "0.0.0.0"  # no network: this reaches the machine itself, too
        address: str = probe.getsockname()[0]
        return address


HERE = this_machine()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give the authority that the servers' certificates are of, which this machine does not know."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[DoltServer]:
    """Give a server on the network that lets nobody in without TLS."""
    certificate = authority.sign(HERE, "localhost")
    listener = {"require_secure_transport": True}
    with DoltServer(tmp_path_factory.mktemp("safe") / "shop", certificate, host=HERE, listener=listener) as server:
        yield server


def test_written_and_read_over_verified_tls(safe: DoltServer, authority: Authority) -> None:
    """With the authority named in the URL a table of every type and a query come back over TLS as they were."""
    config = safe.config("kinds", at=safe.url(f"?ssl_ca={authority.ca}"), primary_key=["id"])
    frame = pd.DataFrame(
        {
            "id": range(70_000),
            "text": [f"{number} naïve 🐎" if number % 7 else None for number in range(70_000)],
            "at": pd.Timestamp("2024-02-29 23:59:59.999999") + pd.to_timedelta(range(70_000), unit="s"),
            "part": [number / 7 for number in range(70_000)],
        }
    )
    write(config, frame)
    pd.testing.assert_frame_equal(read(config), frame)
    query = DoltConfig(config.db_path, sql="SELECT id FROM kinds WHERE id < 3 ORDER BY id", secret=config.secret)
    assert read(query)["id"].tolist() == [0, 1, 2]
    assert safe.values("SELECT COUNT(*) FROM kinds") == ["70000"]


@pytest.mark.parametrize(
    ("certified", "options", "words"),
    [
        ([HERE], "", r"(local issuer|self.signed) certificate.*\. Fix the server's certificate, or name the auth"),
        ([HERE], "?ssl_ca={stranger}", r"(local issuer|self.signed) certificate.*\?ssl_ca=/path/of/ca"),
        (["expired", HERE], "?ssl_ca={ca}", r"certificate has expired\)"),
        (["db.example"], "?ssl_ca={ca}", r"IP address mismatch.*'.*'\)"),
        ([], "?ssl_ca={ca}", r"IP address mismatch.*'.*'\)"),
        (None, "?ssl_ca={ca}", r"TLS\).*\?ssl_disabled=true"),
        (None, "", r"TLS\)"),
    ],
    ids=["unknown authority", "another authority", "expired", "another host", "no host", "no TLS", "no TLS, no option"],
)
def test_a_server_that_cannot_prove_who_it_is(
    tmp_path: Path, authority: Authority, certified: list[str] | None, options: str, words: str
) -> None:
    """It is UntrustedServer, and neither the password nor a statement is sent there."""
    good_for = timedelta(days=-1) if certified and certified[0] == "expired" else timedelta(days=1)
    certificate = authority.sign(*certified, name="bad", good_for=good_for) if certified is not None else None
    url = options.format(ca=authority.ca, stranger=Authority(tmp_path, "stranger").ca)
    with DoltServer(tmp_path / "shop", certificate, host=HERE) as server:
        before, asked = commits(server), len(server.statements)
        for action in ("read", "write"):
            with pytest.raises(UntrustedServer, match=words):
                doing(server.config(at=server.url(url)), action)
        assert len(server.statements) == asked
        assert commits(server) == before


@pytest.mark.parametrize("options", ["?ssl_ca={ca}&ssl_verify_identity=false", "?ssl_disabled=true"])
def test_what_is_not_to_be_proved(tmp_path: Path, authority: Authority, options: str) -> None:
    """A certificate for another name, or none, is good enough where the URL says so."""
    with DoltServer(tmp_path / "shop", authority.sign("db.example", name="other"), host=HERE) as server:
        hash_ = put(server.config(at=server.url(options.format(ca=authority.ca))), 1)
        assert commits(server)[0] == hash_


@BOTH
def test_a_server_that_wants_tls(safe: DoltServer, action: str) -> None:
    """Where only TLS is let in, a connection in the clear is UntrustedServer, and the error says how to ask for TLS."""
    before = commits(safe)
    words = r"does not allow insecure connections.*Take ssl_disabled out of the URL, or, on loopback, add \?ssl_ca="
    with pytest.raises(UntrustedServer, match=rf"(?s){words}"):
        doing(safe.config(at=safe.url("?ssl_disabled=true")), action)
    assert commits(safe) == before


def test_a_server_that_asks_for_certificates(tmp_path: Path, authority: Authority) -> None:
    """A client's own certificate lets it in, and without one it is an error before anything is done."""
    mine = authority.sign(name="client")
    listener = {"require_client_cert": True, "ca_cert": str(authority.ca)}
    certificate = authority.sign(HERE, name="asking")
    with DoltServer(tmp_path / "shop", certificate, host=HERE, listener=listener, operator=mine) as server:
        ours = f"?ssl_ca={authority.ca}&ssl_cert={mine.certificate}&ssl_key={mine.key}"
        hash_ = put(server.config(at=server.url(ours)), 1)
        assert read(server.config(at=server.url(ours)))["number"].tolist() == [1]
        with pytest.raises(UntrustedServer, match=r"certificate.*\?ssl_cert="):
            put(server.config(at=server.url(f"?ssl_ca={authority.ca}")), 2)
        assert commits(server)[0] == hash_


# ------------------------------------------------------------------------------------- killed, restarted, cut: writes


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DoltServer]:
    """Give a server of the test's own, with one row in the table `log`."""
    with DoltServer(tmp_path / "shop") as server:
        put(server.config(), -1)
        yield server


class Killer:
    """Ends the server at one statement of this process, before or after it or while it runs, and starts it again."""

    def __init__(self, server: DoltServer, patch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.returns = True
        self._server, self._at, self._how = server, 0, "before"
        self._chance = random.Random(SEED)
        self._working: list[threading.Thread] = []
        for name in ("execute", "query"):
            patch.setattr(connections.Connection, name, self._around(getattr(connections.Connection, name)))

    def arm(self, number: int, how: str) -> None:
        """Strike at the ``number``-th statement from now on."""
        self.said, self._at, self._how = [], number, how

    def rest(self) -> bool:
        """Wait until the server is there again; say whether there was a strike."""
        struck, self._at = len(self.said) >= self._at > 0, 0
        while self._working:  # who strikes goes on with the start
            self._working.pop().join()
        return struck

    def _around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(connection: connections.Connection, sql: str, *values: object) -> Any:
            self.said.append(sql)
            is_now = len(self.said) == self._at
            if is_now and self._how == "before":
                self._strike()
            if is_now and self._how == "during":
                self._work(threading.Timer(self._chance.uniform(0, 0.004), self._strike))
            found = original(connection, sql, *values)
            if is_now and self._how == "after":
                self._strike()
            return found

        return call

    def _strike(self) -> None:
        self._server.kill()
        if self.returns:
            self._work(threading.Thread(target=self._server.start))

    def _work(self, thread: threading.Thread) -> None:
        self._working.append(thread)
        thread.start()


def patient(patch: pytest.MonkeyPatch) -> None:
    """Have a server that comes back waited for eight times as long: a busy machine may need seconds to start it."""
    connect = connections.connect.__wrapped__  # type: ignore[attr-defined]
    usual = connect.__kwdefaults__
    patch.setattr(connect, "__kwdefaults__", {**usual, "patience_s": 8 * usual["patience_s"]})


def told(server: DoltServer, number: int, branch: str | None = None) -> tuple[str, str | None]:
    """Append a row, and return what the caller is told, with the commit."""
    policy = NewBranch(branch) if branch is not None else None
    try:
        return "written", put(server.config(mode="append", branch_conf=policy), number)
    except FlyteRecoverableException as error:
        kinds = {OutcomeUnknown: "unknown", ConnectionLost: "not written"}
        return next(word for kind, word in kinds.items() if isinstance(error, kind)), getattr(error, "commit", None)


def named(server: DoltServer, branch: str = "main") -> list[tuple[str, str]]:
    """Return hash and message of every commit of the tests, oldest first, as the command line has them."""
    query = f"SELECT CONCAT(commit_hash, ' ', message) FROM DOLT_LOG('{branch}') WHERE message LIKE 'put %'"
    return [tuple(line.split(" ", 1)) for line in reversed(server.values(query))]


def numbers(server: DoltServer, branch: str = "main") -> list[int]:
    """Return the rows of the table as the command line has them."""
    return [int(n) for n in server.values(f"SELECT number FROM log AS OF '{branch}' ORDER BY number")]


def nothing_is_left(server: DoltServer) -> bool:
    """Whether there is no scratch branch and no uncommitted change, after one more write has looked."""
    publishing._swept_at.clear()
    put(server.config("other"), 1)
    return "flyte-tmp" not in server.dolt("branch") and "working tree clean" in server.dolt("status")


PUBLISHING = ("DOLT_COMMIT", "DOLT_MERGE", "'-m'", "COMMIT")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["existing branch", "new branch"])
def test_a_server_that_is_killed_and_started_again(log: DoltServer, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Killed at any statement of a write, and back a moment later: the write is there, once, as one commit."""
    patient(monkeypatch)
    killer, chance = Killer(log, monkeypatch), random.Random(SEED)
    is_new = kind == "new branch"
    told(log, 1000, "warm" if is_new else None)
    killer.arm(0, "before")
    told(log, 1001, "again" if is_new else None)
    said = list(killer.said)
    assert len(said) > 10
    points = [
        (number, how)
        for number, sql in enumerate(said, 1)
        for how in ("before", "during", "after")
        if any(word in sql for word in PUBLISHING) or chance.random() < 0.12 * FACTOR
    ]
    expected = {"main": named(log)}
    for number, how in points:
        branch = f"run/{number}/{how}" if is_new else None
        killer.arm(number, how)
        answer, hash_ = told(log, number, branch)
        assert killer.rest(), (number, how)
        assert answer == "written", (number, how, said[number - 1])
        start = expected["main"] if not is_new else named(log)
        expected[branch or "main"] = [*start, (str(hash_), f"put ({number},)")]
    for branch, line in expected.items():
        assert named(log, branch) == line
        assert len(numbers(log, branch)) == len(line)
    assert nothing_is_left(log)
    assert log.dolt("fsck").count("No problems found") == 1


@pytest.mark.slow
def test_a_server_that_does_not_come_back(log: DoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed for good, before, while and after the branch is moved: the error says whether the commit may be there."""
    monkeypatch.setattr(publishing, "MAX_LOST", 1)
    killer = Killer(log, monkeypatch)
    killer.returns = False
    told(log, 1000)
    killer.arm(0, "before")
    told(log, 1001)
    merge = next(number for number, sql in enumerate(killer.said, 1) if "DOLT_MERGE" in sql)
    answers = []
    for number, how in ((merge - 3, "before"), (merge, "before"), (merge, "after"), (merge + 1, "after")):
        told(log, 2000 + number)  # on a connection that is warm again
        before = named(log)
        killer.arm(number, how)
        answer, hash_ = told(log, number)
        assert killer.rest()
        log.start()
        mine = [hash_ for hash_, _ in named(log)[len(before) :]]
        assert mine in {"not written": [[]], "unknown": [[], [hash_]], "written": [[hash_]]}[answer]
        answers.append(answer)
    assert answers == ["not written", "unknown", "unknown", "written"]
    assert len(numbers(log)) == len(named(log))
    assert nothing_is_left(log)


def test_a_write_that_is_cut(log: DoltServer) -> None:
    """Cut before or after one of each three statements, and all that publish, a write is one commit."""
    with closing(Proxy(log.port)) as proxy:
        url = log.url(port=proxy.port)
        put(log.config(at=url, mode="append"), 1000)
        proxy.statements.clear()
        put(log.config(at=url, mode="append"), 1001)
        said, expected = list(proxy.statements), named(log)
        for number, sql in enumerate(said, 1):
            if number % 3 and not any(word in sql for word in PUBLISHING):
                continue
            for verdict in ("cut before", "cut after"):
                proxy.rule = rule = Once(verdict, number=number)
                hash_ = put(log.config(at=url, mode="append"), number)
                proxy.rule = lambda statement: "pass"
                assert rule.was_used
                expected.append((hash_, f"put ({number},)"))
        assert named(log) == expected
        assert len(numbers(log)) == len(expected)
        connections.disconnect(location.server(url, password=PASSWORD))
    assert nothing_is_left(log)


# -------------------------------------------------------------------------------------- killed, restarted, cut: reads

WIDE = pd.DataFrame({"n": range(100_000), "text": [f"{number:060d}" for number in range(100_000)]})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clear", "TLS"])
def test_a_read_that_breaks(tmp_path: Path, authority: Authority, kind: str) -> None:
    """Cut in the midst of 1e5 rows a read is done again; cut for good it is ConnectionLost, and never a part."""
    tls = kind == "TLS"
    certificate = authority.sign("127.0.0.1", name="reading") if tls else None
    with DoltServer(tmp_path / "shop", certificate) as server, apart(server.port, is_encrypted=tls) as proxy:
        options = f"?ssl_ca={authority.ca}" if tls else ""
        config = server.config("wide", at=server.url(options, port=proxy.port), primary_key=["n"])
        table = write(config, WIDE)
        for count in (1, 5_000, 1_000_000, 6_000_000):
            proxy.cut_after(count)
            pd.testing.assert_frame_equal(read(config), WIDE)
            assert proxy.has_cut()
        for count in (20_000, 6_000_000):
            found = unread(table)
            proxy.cut_after(count)
            with pytest.raises(ConnectionLost, match="'wide'"):
                assert sum(len(part) for part in found.iter(batch_rows=10_000)) == 100_000
            assert proxy.has_cut()
        proxy.cut_after(3_000_000, and_close=True)
        with pytest.raises(ConnectionLost, match=r"Cannot (read table 'wide'|connect to the dolt sql-server)"):
            read(config)


def unread(table: DoltTable) -> DoltTable:
    """Return the same reference with nothing fetched."""
    assert table.commit is not None
    return DoltTable(config=table.config).at(table.commit)


def test_a_collection_that_ends_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server may be told to: one in use says so, and the next use is well again."""
    monkeypatch.setenv("DOLT_GC_SAFEPOINT_CONTROLLER_CHOICE", "kill_connections")
    with DoltServer(tmp_path / "shop", behavior={"auto_gc_behavior": {"enable": False}}) as server:
        config = server.config("t", primary_key=["n"])
        write(config, WIDE.head(3))
        with pytest.raises(ConnectionLost, match="connection"), connections.connect(place_of(server)) as connection:
            assert dolt_program.run("sql", "-q", "CALL DOLT_GC()", cwd=server.folder).returncode == 0
            connection.query("SELECT 1")
        pd.testing.assert_frame_equal(read(config), WIDE.head(3))


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_is_read(log: DoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the midst of 1e5 rows and started again, a read gives them all; in parts it is ConnectionLost."""
    patient(monkeypatch)
    config = log.config("wide", primary_key=["n"])
    write(config, WIDE)
    for after_s in (0.01, 0.05, 0.1):
        with log.restarted(after_s):
            pd.testing.assert_frame_equal(read(config), WIDE)
    # 100 MB: what a dead server has handed to the kernel, and that is up to 4 MB there and 32 MB here, still arrives.
    longer = WIDE.assign(text=WIDE["text"].str.repeat(16))
    parts = unread(write(config, longer)).iter(batch_rows=1_000)
    found = len(next(parts))
    log.kill()
    with pytest.raises(ConnectionLost, match="'wide'"):
        found += sum(len(part) for part in parts)
    assert found < 100_000
    log.start()
    pd.testing.assert_frame_equal(read(config), longer)


# ------------------------------------------------------------------------------------------------------ many at once


def work(say: Callable[..., None], config: DoltConfig, me: int, count: int) -> None:
    """Write a row ``count`` times, as a process of its own that has the secret."""
    os.environ[VARIABLE] = PASSWORD
    with pytest.MonkeyPatch.context() as patch:
        patient(patch)
        writers.write_often(say, config, me, count, "row")


def at_once(tmp_path: Path, config: DoltConfig, count: int) -> list[writers.Writer]:
    """Start eight processes that write from the same moment on."""
    go = tmp_path / "go"
    started = [writers.start(work, tmp_path / f"{me}.txt", config, me, count, go=go) for me in range(8)]
    go.touch()
    return started


def added(server: DoltServer, table: str) -> dict[str, list[tuple[str, int, int]]]:
    """Return what each commit of a writer did to a table, by its hash, as Dolt's own diff has it."""
    rows = server.sql(
        f"SELECT to_commit, diff_type, to_writer, to_number FROM dolt_diff_{table} ORDER BY to_commit_date"
    )
    found: dict[str, list[tuple[str, int, int]]] = {}
    for commit, kind, writer, number in rows:
        found.setdefault(commit, []).append((kind, writer, number))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_eight_processes_write_at_once(log: DoltServer, tmp_path: Path, mode: str) -> None:
    """Each of 40 writes is one commit in one line, whose diff is just its own row."""
    config = log.config("t", mode=mode, primary_key=["writer"] if mode == "upsert" else ["writer", "number"])
    write(config, writers.rows_of("row", 99, 99))
    started = at_once(tmp_path, config, 5 * FACTOR)
    assert [writer.ended_well() for writer in started] == [True] * 8
    told = {commit: (int(me), int(number)) for w in started for commit, me, number in w.told()}
    assert len(told) == 40 * FACTOR
    changes = added(log, "t")
    for commit, mine in told.items():
        kind = "modified" if mode == "upsert" and mine[1] else "added"
        assert changes.pop(commit) == [(kind, *mine)]
    assert list(changes.values()) == [[("added", 99, 99)]]
    parents = log.sql("SELECT COUNT(*) FROM dolt_commit_ancestors WHERE parent_index > 0")
    assert parents == [(0,)]
    assert int(log.values("SELECT COUNT(*) FROM t")[0]) == (9 if mode == "upsert" else 1 + 40 * FACTOR)
    assert nothing_is_left(log)


@pytest.mark.slow
def test_eight_processes_write_while_the_server_is_killed(log: DoltServer, tmp_path: Path) -> None:
    """Killed three times under eight writers and started again: 40 of 40 land, once each."""
    config = log.config("t", mode="append")
    write(config, writers.rows_of("row", 99, 99))
    started = at_once(tmp_path, config, 5)
    for number in range(1, 4):
        assert started[0].has_told(number)
        log.kill()
        log.start()
    assert [writer.ended_well() for writer in started] == [True] * 8
    told = {commit: (int(me), int(number)) for w in started for commit, me, number in w.told()}
    changes = added(log, "t")
    assert {commit: changes[commit] for commit in told} == {c: [("added", *mine)] for c, mine in told.items()}
    assert sorted(told.values()) == [(me, number) for me in range(8) for number in range(5)]
    assert log.values("SELECT COUNT(*) FROM t") == ["41"]
    assert nothing_is_left(log)


# ------------------------------------------------------------------------------------------------- warm connections

SCRIPT = """
import sys
import pandas as pd
from flytekitplugins.dolt import DoltConfig, read, write
config = DoltConfig.from_json(sys.argv[1])
for number in range(3):
    write(config, pd.DataFrame({"number": [number]}))
    assert len(read(config)) == 1
print("warm", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["exit", "SIGKILL"])
def test_a_process_keeps_one_connection_and_leaves_none(log: DoltServer, end: str) -> None:
    """Writes and reads of a process go over one connection, which is gone from the server with the process."""
    connections.disconnect(place_of(log))
    assert eventually(lambda: log.connections == [], within_s=30)
    argv = [sys.executable, "-c", SCRIPT, log.config("t").to_json()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "warm\n"
        assert eventually(lambda: len(log.connections) == 1, within_s=30)
        assert [query for query in log.statements if "dolt_version()" in query] == ["SELECT dolt_version()"] * 2
        if end == "SIGKILL":
            process.kill()
        else:
            process.stdin.write("\n")
            process.stdin.flush()
        process.wait(30)
    assert eventually(lambda: log.connections == [], within_s=30)


def test_threads_have_a_connection_each_and_some_are_kept(log: DoltServer) -> None:
    """Twelve threads at once get connections of their own; of those that come back eight are kept."""
    connections.disconnect(place_of(log))
    together = threading.Barrier(12)

    def use() -> None:
        with connections.connect(place_of(log)):
            together.wait(30)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert eventually(lambda: len(log.connections) == 8, within_s=30)


# ----------------------------------------------------------------------------------------------------------- replicas


@dataclass(frozen=True)
class Pair:
    """A server, and one with a copy of its repository, from which its configs read where that is possible."""

    primary: DoltServer
    replica: DoltServer

    def config(self, table: str = "log", **options: Any) -> DoltConfig:
        return self.primary.config(table, **{"read_from": [self.replica.url()], **options})

    def who_gave(self, rows: Callable[[], pd.DataFrame], expected: list[int]) -> set[str]:
        """Read, and say which of the two was asked for the rows."""
        before = [len(server.statements) for server in (self.primary, self.replica)]
        assert rows()["number"].tolist() == expected
        asked = zip(("primary", "replica"), (self.primary, self.replica), before, strict=True)
        return {name for name, server, count in asked if any("FROM `log`" in q for q in server.statements[count:])}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Give a server with one row, and one with a copy of it; `shared` is the remote between the two."""
    shared = f"file://{tmp_path}/shared"
    for folder in ("primary", "replica", "shared"):
        (tmp_path / folder).mkdir()
    with DoltServer(tmp_path / "primary" / "shop") as primary:
        put(primary.config(), 1)
        primary.sql("CALL DOLT_REMOTE('add', 'shared', %s)", shared)
        primary.sql("CALL DOLT_PUSH('shared', 'main')")
        dolt_program.run("clone", shared, "shop", cwd=tmp_path / "replica").check_returncode()
        with DoltServer(tmp_path / "replica" / "shop") as replica:
            yield Pair(primary, replica)


def test_a_replica_that_lags(pair: Pair) -> None:
    """Rows of a commit that the replica lacks come from the primary; once it has pulled them, from the replica."""
    assert pair.who_gave(lambda: read(pair.config()), [1]) == {"replica"}
    put(pair.config(), 1, 2)
    assert pair.who_gave(lambda: read(pair.config()), [1, 2]) == {"primary"}
    pair.primary.sql("CALL DOLT_PUSH('shared', 'main')")
    assert pair.who_gave(lambda: read(pair.config()), [1, 2]) == {"primary"}
    pair.replica.sql("CALL DOLT_PULL('origin', 'main')")
    assert pair.who_gave(lambda: read(pair.config()), [1, 2]) == {"replica"}
    query = pair.config(None, sql="SELECT number FROM `log`")
    assert pair.who_gave(lambda: read(query), [1, 2]) == {"replica"}


def test_a_replica_that_follows_by_itself(pair: Pair) -> None:
    """Dolt's own read replica, which pulls what its primary has pushed, gives the rows as soon as it has them."""
    pair.replica.stop()
    for name, value in (("dolt_read_replica_remote", "origin"), ("dolt_replicate_all_heads", "1")):
        pair.replica.dolt("config", "--local", "--add", f"sqlserver.global.{name}", value)
    pair.replica.start()
    put(pair.config(), 1, 2)
    assert pair.who_gave(lambda: read(pair.config()), [1, 2]) == {"primary"}
    pair.primary.sql("CALL DOLT_PUSH('shared', 'main')")
    assert eventually(lambda: pair.replica.sql("SELECT COUNT(*) FROM log") == [(2,)], within_s=30)
    assert pair.who_gave(lambda: read(pair.config()), [1, 2]) == {"replica"}


def test_a_replica_that_is_away(pair: Pair) -> None:
    """A replica that is stopped is passed over; when the primary is away, a known commit is still read."""
    table = pin(pair.config())
    pair.primary.stop()
    assert unread(table).data["number"].tolist() == [1]
    pair.primary.start()
    pair.replica.stop()
    assert unread(table).data["number"].tolist() == [1]
    assert read(pair.config())["number"].tolist() == [1]


def test_a_replica_that_never_says_a_word(log: DoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lets its readers wait is waited for once, and then not asked for some time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port, real = silent.getsockname()[1], connections._open

        def waiting(endpoint: connections.Endpoint) -> Any:
            with monkeypatch.context() as patch:  # the one that answers may need longer where the machine is busy
                patch.setattr(connections, "CONNECT_TIMEOUT_S", 0.5 if endpoint.port == port else 30)
                return real(endpoint)

        monkeypatch.setattr(connections, "_open", waiting)
        config = log.config(read_from=[log.url(port=port)])
        assert read(config)["number"].tolist() == [-1]
        silent.settimeout(0.05)
        asked = 0
        with suppress(TimeoutError):
            while True:
                silent.accept()[0].close()
                asked += 1
        assert asked > 0
        assert read(config)["number"].tolist() == [-1]
        with pytest.raises(TimeoutError, match="timed out"):
            silent.accept()
        monkeypatch.setattr(refs, "AWAY_S", 0.0)
        assert read(config)["number"].tolist() == [-1]
        silent.accept()[0].close()


@pytest.mark.parametrize("user", ["nobody", "flyte"])
def test_a_replica_that_lets_nobody_in(pair: Pair, user: str) -> None:
    """A replica that refuses the user or the password is AccessDenied, and named: it would never be read from."""
    pair.replica.sql("DROP USER 'flyte'@'%%'")
    pair.replica.add_user("flyte", "another password", "ALL")
    with pytest.raises(AccessDenied, match=rf"//{user}@127.0.0.1:{pair.replica.port}/shop': Access denied for user"):
        read(pair.config(read_from=[pair.replica.url(user=user)]))


@pytest.mark.slow
def test_the_example_uses_a_server_that_it_is_told(log: DoltServer, tmp_path: Path) -> None:
    """With SERVER_URL the example's parts are commits on a new branch of that server, and `main` is as it was."""
    before = commits(log)
    environment = {**os.environ, "SERVER_URL": log.url(), "_FSEC_EXAMPLE_PASSWORD": PASSWORD}
    command = [sys.executable, str(Path(__file__).parents[2] / "examples" / "server_example.py"), "3"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 parts, 3 commits, 3 rows, sum of squares 5"
    (branch,) = log.values("SELECT name FROM dolt_branches WHERE name LIKE 'run/%'")
    assert log.values(f"SELECT square FROM squares AS OF '{branch}' ORDER BY part") == ["0", "1", "4"]
    assert commits(log) == before
