"""Fixtures: the real servers, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers
from servers import Server


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a MariaDB."""
    with servers.mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def dolt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a `dolt sql-server`."""
    with servers.dolt(tmp_path_factory.mktemp("dolt")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a PostgreSQL."""
    if not servers.has_postgres():
        pytest.skip("no PostgreSQL on this machine: tools/install_programs.sh installs it")
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(params=["mariadb", "dolt_server"])
def server(request: pytest.FixtureRequest) -> Server:
    """Give each server that speaks MySQL's protocol in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found
