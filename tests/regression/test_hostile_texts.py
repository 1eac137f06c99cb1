"""Texts that once led past the package's own errors, or to something else than what they name."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, errors, read, write
from flytekitplugins.dolt.model import location
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
USERS = pd.DataFrame({"id": [1, 2]})
HALF = "\ud800"


def test_a_branch_never_hides_another_one(config: Config, repo: Path) -> None:
    """NewBranch("MAIN") is refused where there is a 'main': Dolt would open the new one for both of them."""
    write(config("users"), USERS)
    with connect(repo) as connection:
        connection.execute("CREATE TABLE mine (n INT)")
    with pytest.raises(errors.InvalidName, match="'main'"):
        write(config("users", branch_conf=NewBranch("MAIN")), USERS.head(1))
    assert list(refs.branches(repo)) == ["main"]
    with connect(repo) as connection:
        assert connection.active_branch() == "main"
        assert connection.query("SELECT table_name FROM dolt_status") == [("mine",)]


@pytest.mark.parametrize("name", ["İ", "aİb"])
def test_a_column_that_dolt_would_lose(config: Config, name: str) -> None:
    """Dolt stores NULL under a name with 'İ' in it, whatever it is given; so such a name is refused."""
    with pytest.raises(errors.UnsupportedFrame, match="Dolt"):
        write(config("t"), pd.DataFrame({name: [1, 2]}))


@pytest.mark.parametrize("path", ["a\0b", HALF, "x" * 256, "x" * 5000, "~nobody-there/x"])
def test_a_path_that_no_folder_can_have(path: str) -> None:
    """It is a repository that is not found, and not an error of the operating system's or Python's."""
    with pytest.raises(errors.RepositoryNotFound, match="folder"):
        read(DoltConfig(path, "users"))


@pytest.mark.parametrize("url", ["mysql://[", "http://[::1"])
def test_a_url_that_is_none(url: str) -> None:
    """It is refused as a config."""
    with pytest.raises(errors.InvalidConfig, match="Cannot"):
        read(DoltConfig(url, "users"))


def test_a_password_with_signs_in_it() -> None:
    """A password that is not percent-encoded is seen, and not shown, whatever is in it."""
    for secret in ("p/ss", "p#ss", "p?ss", "p@ss", "p:ss", "p\nss"):
        url = f"mysql://me:{secret}@host/shop"
        assert location.has_password(url)
        assert location.without_password(url) == "mysql://me:***@host/shop"
    assert not location.has_password("mysql://me@host:3306/shop")


@pytest.mark.parametrize("as_of", ["9" * 5000 + " days ago", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_too_large(config: Config, as_of: str) -> None:
    """It is refused as a revision or a config, and not by Python's arithmetic."""
    write(config("users"), USERS)
    with pytest.raises((errors.RevisionNotFound, errors.InvalidConfig), match="Cannot"):
        read(config("users", as_of=as_of))


def test_a_datetime_before_the_first_year(config: Config) -> None:
    """The same as a value."""
    with pytest.raises(errors.InvalidConfig, match="1 .*9999"):
        config("users", as_of=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))


@pytest.mark.parametrize("half", [HALF, "\udcff", "a\udfffb"])
def test_half_a_character(config: Config, half: str) -> None:
    """It is refused in a message and in a query; the driver would send some of them as bytes that are no text."""
    with pytest.raises(errors.QueryFailed, match="character"):
        write(config("users"), USERS, message=half)
    write(config("users"), USERS)
    with pytest.raises(errors.QueryRefused, match="character"):
        read(config(sql=f"SELECT '{half}'"))


def test_a_loop_of_links(tmp_path: Path) -> None:
    """A path that leads to itself is a repository that is not found."""
    os.symlink(tmp_path / "a", tmp_path / "a")
    with pytest.raises(errors.RepositoryNotFound, match="Cannot"):
        read(DoltConfig(str(tmp_path / "a"), "users"))
