"""What a URL says about a server, and what a config says about secrets and remotes: values only, no connection."""

from __future__ import annotations

import flytekit
import pytest

from flytekitplugins.dolt import DoltConfig, Remote, Secret, secret_requests
from flytekitplugins.dolt.errors import InvalidConfig, SecretNotFound
from flytekitplugins.dolt.flyte import secrets
from flytekitplugins.dolt.model.location import ServerLocation, Tls, server

URL = "mysql+pymysql://me@db.example:3307/foo"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (URL, ServerLocation("db.example", 3307, "me", "foo", tls=Tls())),
        ("mysql://me@db.example/foo", ServerLocation("db.example", 3306, "me", "foo", tls=Tls())),
        ("mysql://me@localhost/foo", ServerLocation("localhost", 3306, "me", "foo")),
        ("mysql://me@127.1.2.3/foo", ServerLocation("127.1.2.3", 3306, "me", "foo")),
        ("mysql://me@[::1]:1/foo", ServerLocation("::1", 1, "me", "foo")),
        ("mysql://a%40b@localhost/f%20o", ServerLocation("localhost", 3306, "a@b", "f o")),
        (f"{URL}?ssl_ca=/ca.pem", ServerLocation("db.example", 3307, "me", "foo", tls=Tls("/ca.pem"))),
        ("mysql://me@localhost/foo?ssl_ca=/c", ServerLocation("localhost", 3306, "me", "foo", tls=Tls("/c"))),
        (f"{URL}?ssl_disabled=true", ServerLocation("db.example", 3307, "me", "foo")),
        (
            f"{URL}?ssl_cert=/c&ssl_key=/k&ssl_verify_identity=false",
            ServerLocation("db.example", 3307, "me", "foo", tls=Tls(cert="/c", key="/k", verify_identity=False)),
        ),
    ],
)
def test_a_url_names_a_server(url: str, place: ServerLocation) -> None:
    """Host, port, user and database are as written; TLS is on unless the host is loopback or the URL says otherwise."""
    assert server(url) == place
    assert server(str(place)).database == place.database


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me@h/foo", "'postgresql' is no way to a server"),
        ("mysql://h/foo", "names not just a user"),
        ("mysql://me@h", "names no database"),
        ("mysql://me@h/a/b", "names not just one database"),
        ("mysql://me@/foo", "names not just a host"),
        ("mysql://me@h:x/foo", "Port could not be cast"),
        ("mysql://me@h/foo?charset=x", "the option 'charset'. Known are ssl_ca"),
        ("mysql://me@h/foo?ssl_disabled=maybe", "ssl_disabled is 'maybe'"),
    ],
)
def test_a_url_that_names_no_server_is_refused(url: str, words: str) -> None:
    """The error says what is missing and shows how such a URL looks."""
    with pytest.raises(InvalidConfig, match=rf"{words}.*mysql\+pymysql://user@host:3306/database"):
        server(url)


def test_replicas_are_like_their_primary() -> None:
    """A replica's URL needs its host only; user, database, password and TLS are the primary's."""
    place = server(f"{URL}?ssl_ca=/ca.pem", password="s3cret", read_from=["mysql://r1.example", "mysql://r2:3308/bar"])
    assert place.replicas == (
        ServerLocation("r1.example", 3306, "me", "foo", "s3cret", Tls("/ca.pem")),
        ServerLocation("r2", 3308, "me", "bar", "s3cret", Tls("/ca.pem")),
    )


def test_no_text_holds_a_password() -> None:
    """Neither str nor repr of a place shows the password it was given."""
    place = server(URL, password="s3cret", read_from=["mysql://r1.example"])
    assert "s3cret" not in f"{place} {place!r}"
    assert str(place) == URL


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    """It would travel with the config: check, to_dict and Remote refuse it, and no text repeats it."""
    config = DoltConfig("mysql://me:s3cret@h/foo", "t")
    assert "s3cret" not in repr(config)
    for use in (config.check, config.to_dict, lambda: Remote("https://me:s3cret@h/foo")):
        with pytest.raises(InvalidConfig, match=r"secret=Secret\(group.*key\)") as caught:
            use()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        DoltConfig(URL, "t", secret=Secret("g", "k"), read_from=["mysql://r1.example"]),
        DoltConfig("foo", "t", remote_conf=Remote("file:///x")),
        DoltConfig("foo", "t", remote_conf=Remote("https://h/x", user="u", branch="dev", secret=Secret("g", "k", "v"))),
    ],
)
def test_it_travels_whole(config: DoltConfig) -> None:
    """What a config says about servers, secrets and remotes comes back from its dictionary."""
    config.check()
    assert DoltConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Remote(""), "URL"),
        (lambda: Remote("--force"), "URL"),
        (lambda: Remote("file:///x", secret=Secret("g", "k")), "secret.*user"),
        (lambda: Secret(), "group.*key"),
        (lambda: Secret("", "k\n"), "group.*key"),
        (lambda: Secret.of("password"), "str.*secret"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, words: str) -> None:
    """An invalid remote or secret cannot be built."""
    with pytest.raises(InvalidConfig, match=words):
        make()  # type: ignore[operator]


def test_secrets_are_asked_for_once() -> None:
    """`secret_requests` gives each secret of the configs, of servers and remotes, once, as flytekit's own."""
    ours, flytes = Secret("g", "k"), flytekit.Secret(group="g", key="k")
    configs = [
        DoltConfig(URL, "t", secret=ours),
        DoltConfig(URL, "u", secret=flytes),  # type: ignore[arg-type]  # taken, too
        DoltConfig("foo", "t", remote_conf=Remote("https://h/x", user="u", secret=Secret("h", "k"))),
        DoltConfig("foo", "t"),
    ]
    assert [(s.group, s.key) for s in secret_requests(*configs)] == [("g", "k"), ("h", "k")]
    assert configs[1].to_dict()["secret"] == ours.to_dict()


def test_a_secret_is_read_where_flyte_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value comes from Flyte's environment variable; a missing one is an error that says how to ask for it."""
    monkeypatch.setenv("_FSEC_GROUP_KEY", "s3cret")
    assert secrets.value(Secret("group", "key")) == "s3cret"
    with pytest.raises(SecretNotFound, match=r"secret_requests=secret_requests\(config\).*_FSEC_GROUP_OTHER"):
        secrets.value(Secret("group", "other"))
