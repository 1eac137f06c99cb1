"""A secret is hidden however a URL, a server or a driver spells it, and wherever a driver takes it from."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from flytekitplugins.doltdb.hiding import hide, spellings
from flytekitplugins.doltdb.redaction import stripped
from flytekitplugins.sqlalchemy import SQLAlchemyConfig
from flytekitplugins.sqlalchemy.connections import Target, target_of

HOSTILE = "a b/c:d@e%f'g\"h\\i&j=k?ü+ж"


def _place(uri: str, *, connect_args: dict[str, Any] | None = None, **secrets: str) -> Target:
    return target_of(uri, connect_args=connect_args or {}, secrets=secrets, connect_timeout_s=1, timeout_s=1)


@pytest.mark.parametrize("part", ["user", "host", "database", "password"])
def test_a_secret_part_is_not_in_the_name_of_the_place(part: str) -> None:
    """A secret user, host or database is stars in the server's name, and not the secret encoded for a URL."""
    name = _place("mysql://public@example.com/shop", **{part: HOSTILE}).name
    assert not [form for form in spellings(HOSTILE) if form in name]
    assert name.count("***") == 1 - (part == "password")


def test_a_secret_of_one_letter_is_hidden_in_the_name() -> None:
    """A part of the URL is hidden as a part, so a secret that other words contain does not spoil the name."""
    assert _place("mysql://u@mail.example.com/d", user="m", port="3307").name == (
        "mysql+pymysql://***@mail.example.com/d"
    )


@pytest.mark.parametrize("form", sorted(spellings(HOSTILE)))
def test_each_spelling_is_hidden(form: str) -> None:
    """What a server says is shown without the secret, as it is, quoted, escaped, encoded or as JSON."""
    assert hide(f"no database '{form}' here", [HOSTILE]) == "no database '***' here"


def test_a_secret_that_a_server_cuts_off_is_hidden() -> None:
    """Servers end a long name in the middle; what is left of it is hidden as well, each time."""
    secret = "warehouse_of_the_shop_in_the_north"
    said = hide(f"unknown database '{secret[:20]}', not '{secret[:12]}'", [secret])
    assert said == "unknown database '***', not '***'"


def test_the_dolt_plugin_hides_it_as_well() -> None:
    """An error of a driver that becomes a cause holds it neither cut off nor in another spelling."""
    error = stripped(RuntimeError(f"no {HOSTILE[:12]}, {quote(HOSTILE)}", 5), HOSTILE)
    assert error.args == ("no ***, ***", 5)


@pytest.mark.parametrize(
    ("uri", "connect_args"),
    [
        ("postgresql://u@h/d?password=s3cr3t%2Fx", {}),
        ("postgresql://u@h/d?sslpassword=s3cr3t%2Fx&sslmode=require", {}),
        ("mysql://u:s3cr3t%2Fx@h/d", {}),
        ("mysql://u@h/d", {"passwd": "s3cr3t/x"}),
        ("mysql://u@h/d", {"password": "s3cr3t/x"}),
        ("mysql://u@h/d", {"pw": "s3cr3t/x"}),
        ("mysql://u@h/d", {"authorization": "s3cr3t/x"}),
        ("postgresql://u@h/d", {"sslpassword": "s3cr3t/x"}),
        ("mysql://u@h/d", {"ssl": {"ca": "/ca.pem", "password": "s3cr3t/x"}}),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Du%3BPWD%3Ds3cr3t%2Fx%3BSERVER%3Dh", {}),
    ],
)
def test_a_password_is_found_wherever_a_driver_takes_it_from(uri: str, connect_args: dict[str, Any]) -> None:
    """In the URL, in its query or in connect_args: it is hidden in messages, and no part of a task's template."""
    where = _place(uri, connect_args=connect_args)
    assert where.shown("the driver says: s3cr3t/x and s3cr3t%2Fx") == "the driver says: *** and ***"
    config = SQLAlchemyConfig(uri=uri, connect_args=connect_args)
    assert config.holds_password()
    assert "s3cr3t" not in where.name + repr(where) + repr(config) + repr(config.to_custom())


def test_plain_arguments_are_no_passwords() -> None:
    """Paths, numbers and switches of a driver stay in the template, and hide nothing."""
    config = SQLAlchemyConfig(uri="mysql://u@h/d?charset=utf8mb4", connect_args={"ssl": {"ca": "/ca.pem"}, "port": 3})
    assert not config.holds_password()
    assert config.to_custom()["connect_args"] == {"ssl": {"ca": "/ca.pem"}, "port": 3}
    assert _place(config.uri, connect_args=config.connect_args).hidden == ()
