"""Passwords stay here: a server that has not proved who it is gets answers to its challenges, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from certificates import Authority
from dolt_server import PASSWORD, SECRET, USER, VARIABLE, DoltServer
from flytekit.types.structured import StructuredDataset
from thief import Thief, listening

from flytekitplugins.dolt import DoltConfig, dolt_uri, read, write
from flytekitplugins.dolt.errors import DoltError, ServerFailed, UntrustedServer
from flytekitplugins.dolt.repository import connections, hosts

FULL = b"\x01\x04"
"""What follows an answer by which caching_sha2_password wants the password itself."""

WAYS: dict[str, dict[str, Any]] = {
    "clear": {"switches_to": "mysql_clear_password"},
    "clear at once": {"greets_with": "mysql_clear_password", "switches_to": "mysql_clear_password"},
    "dialog": {"switches_to": "dialog"},
    "sha256": {"switches_to": "sha256_password"},
    "sha256 at once": {"greets_with": "sha256_password", "switches_to": "sha256_password"},
    "old": {"switches_to": "mysql_old_password"},
    "full": {"greets_with": "caching_sha2_password", "goes_on": FULL},
    "switched to full": {"switches_to": "caching_sha2_password", "goes_on": FULL},
    "native and more": {"goes_on": FULL},
    "unknown": {"switches_to": "\x1b[2Jplease"},
}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test the secret that its configs name, as Flyte mounts it."""
    monkeypatch.setenv(VARIABLE, PASSWORD)


def config_for(thief: Thief, options: str = "") -> DoltConfig:
    """Return a config whose URL leads to the thief."""
    return DoltConfig(f"mysql+pymysql://{USER}@127.0.0.1:{thief.port}/shop{options}", "t", secret=SECRET)


def by_address(config: DoltConfig) -> None:
    """Read what a ``dolt://`` text names, as a task does with a dataset from anywhere."""
    StructuredDataset(uri=dolt_uri(config)).open(pd.DataFrame).all()


DOORS: dict[str, Callable[[DoltConfig], object]] = {
    "read": read,
    "write": lambda config: write(config, pd.DataFrame({"n": [1]})),
    "address": by_address,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_only_asks(way: str, door: str) -> None:
    """Whatever it asks for beyond a challenge, it is refused, and has nothing of the password."""
    with listening(Thief(**WAYS[way])) as thief:
        with pytest.raises(UntrustedServer, match="TLS") as no:
            DOORS[door](config_for(thief))
        assert thief.heard
        assert thief.logins == 0
        assert PASSWORD.encode() not in thief.has
        assert PASSWORD not in str(no.value)
        assert "\x1b" not in str(no.value)


@pytest.mark.parametrize(
    "way",
    [
        {},
        {"greets_with": ""},
        {"switches_to": "caching_sha2_password", "goes_on": b"\x01\x03"},
        {"greets_with": "odd", "switches_to": "mysql_native_password"},
    ],
    ids=["native", "unnamed", "fast", "another default"],
)
def test_a_challenge_is_answered(way: dict[str, Any]) -> None:
    """The ways of every day, in which the password stays here, let in."""
    with listening(Thief(**way)) as thief:
        with pytest.raises(DoltError, match="Dolt's|dolt sql-server"):
            read(config_for(thief))
        assert thief.logins > 0
        assert PASSWORD.encode() not in thief.has


def test_a_server_without_tls_where_it_was_asked_for() -> None:
    """It gets no login at all."""
    with listening(Thief(switches_to="mysql_clear_password")) as thief:
        with pytest.raises(UntrustedServer, match="TLS"):
            read(config_for(thief, "?ssl_verify_identity=true"))
        assert thief.heard == []


@pytest.mark.parametrize("way", ["clear", "sha256 at once", "full", "dialog"])
def test_tls_with_a_certificate_of_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """One that this machine trusts, but for another host, is no proof, where the host is not to be compared."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with listening(Thief(**WAYS[way], certificate=authority.sign("else.example"))) as thief:
        with pytest.raises(UntrustedServer, match="address mismatch"):
            read(config_for(thief, "?ssl_verify_identity=true"))
        with pytest.raises(UntrustedServer, match="TLS"):
            read(config_for(thief, "?ssl_verify_identity=false"))
        assert PASSWORD.encode() not in thief.has


@pytest.mark.parametrize("options", ["", "&ssl_verify_identity=false"], ids=["its host", "its authority"])
@pytest.mark.parametrize("way", ["clear", "sha256 at once", "full"])
def test_a_server_that_has_proved_who_it_is(tmp_path: Path, way: str, options: str) -> None:
    """Behind TLS with the certificate that was asked for, these ways are open, as for tokens of a cloud."""
    authority = Authority(tmp_path)
    signed = authority.sign("127.0.0.1" if not options else "else.example")
    with listening(Thief(**WAYS[way], certificate=signed)) as thief:
        with pytest.raises(DoltError, match="Dolt's|dolt sql-server"):
            read(config_for(thief, f"?ssl_ca={authority.ca}{options}"))
        assert thief.logins > 0
        assert PASSWORD.encode() in thief.has


def test_dolt_asks_in_full_and_gets_it_behind_tls_only(tmp_path: Path) -> None:
    """A user of a real server who is IDENTIFIED WITH caching_sha2_password comes in by verified TLS, as before."""
    authority = Authority(tmp_path)
    with DoltServer(tmp_path / "shop", certificate=authority.sign("127.0.0.1")) as shop:
        shop.sql("CREATE USER sha IDENTIFIED WITH caching_sha2_password BY %s", PASSWORD)
        shop.sql("GRANT ALL ON shop.* TO sha")
        config = shop.config("t", at=shop.url(f"?ssl_ca={authority.ca}", user="sha"))
        write(config, pd.DataFrame({"n": [1]}))
        assert read(config)["n"].tolist() == [1]
        with pytest.raises(DoltError, match="Cannot connect to the dolt sql-server of "):
            read(shop.config("t", at=shop.url("?ssl_disabled=true", user="sha")))


NO_GREETINGS = [
    b"\n",
    b"\n8.0\0",
    b"\nx.y.z\0" + b"\xff" * 60,
    b"HTTP/1.1 400 Bad Request",
    b"\xff\x10\x04",
    b"\0" * 80,
]


@pytest.mark.parametrize("says", NO_GREETINGS)
def test_who_says_something_else_is_no_server(says: bytes) -> None:
    """What cannot be read as a greeting is an error of ours."""
    with listening(Thief(says=says)) as thief, pytest.raises(DoltError, match="^Cannot connect to the dolt sql-server"):
        read(config_for(thief))


def test_no_file_is_sent(tmp_path: Path) -> None:
    """A server that answers a statement with the wish for a file of this machine gets none."""
    (tmp_path / "private").write_text("diary")
    with listening(Thief(wants=str(tmp_path / "private"))) as thief:
        with pytest.raises(ServerFailed, match="Dolt's"):
            read(config_for(thief))
        assert thief.logins > 0
        assert b"diary" not in thief.has


# ---------------------------------------------------------------------------------- the session that fetches the rows


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_asks_the_second_session_only(way: str) -> None:
    """Who let the first session pass gets nothing from the one that fetches the rows, either."""
    with listening(Thief()) as polite, listening(Thief(**WAYS[way])) as thief:
        first = hosts.Endpoint("127.0.0.1", polite.port, USER, PASSWORD)
        with closing(connections._open(first)) as raw:
            connection = connections.Connection(raw, replace(first, port=thief.port), "shop")
            with (
                pytest.raises(UntrustedServer, match="TLS"),
                connection.arrow_batches("SELECT 1", batch_rows=1),
            ):
                pass
        assert thief.heard
        assert PASSWORD.encode() not in thief.has


def test_rows_are_the_same_without_a_password(tmp_path: Path) -> None:
    """Who needs none logs in without one, and gets the same rows."""
    with DoltServer(tmp_path / "shop") as shop:
        shop.add_user("anybody", "", "ALL")
        frame = pd.DataFrame({"n": [1, 2], "s": ["a", None], "t": pd.to_datetime(["2024-01-01", None])})
        write(shop.config("t", primary_key=["n"]), frame)
        open_to_all = read(shop.config("t", at=shop.url(user="anybody"), secret=None))
        pd.testing.assert_frame_equal(read(shop.config("t")), open_to_all)
