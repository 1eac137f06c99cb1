"""The passwords of servers that a command line names: from the environment, or asked for on the terminal.

They are in no argument, where every process of the machine could read them, and go to no server but their own. Configs
name them as secrets, as everywhere; `Given` is the runtime that knows these, while the command runs.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ...doltdb.redaction import Password, visible
from ..errors import InvalidConfig
from ..model import location, runtime
from ..model.configs import DoltConfig, Secret
from ..model.runtime import Runtime

VARIABLE = "DOLT_PASSWORD"
"""The environment variable that has the password where no other one is named."""


class Given(Runtime):
    """The runtime of a command: it has the passwords that its user gave."""

    def __init__(self, passwords: Mapping[Secret, Password]) -> None:
        self._passwords = passwords

    def secret_value(self, secret: Secret) -> Password:
        """Return the password of that name, else what a script would have."""
        found = self._passwords.get(secret)
        return super().secret_value(secret) if found is None else found


@contextmanager
def given(configs: Sequence[DoltConfig], *, variable: str | None) -> Iterator[list[DoltConfig]]:
    """Give the configs with the secrets of their servers, which are known inside the block.

    The password in the environment is for the server that is named first; who logs in elsewhere is asked.

    Raises:
        InvalidConfig: there is no such variable, or it is for no server.
    """
    waiting = _from_environment(variable)
    known: dict[tuple[str, int, str], Secret] = {}
    passwords: dict[Secret, Password] = {}
    named = []
    for config in configs:
        if location.is_url(config.db_path) and config.remote_conf is None:
            server = location.server(str(config.db_path))
            login = (server.host, server.port, server.user)
            if login not in known:
                password, waiting = (_asked(server) if waiting is None else waiting), None
                known[login] = Secret("the command line", str(len(known)))
                passwords[known[login]] = password
            if passwords[known[login]]:
                config = replace(config, secret=known[login])
        named.append(config)
    with runtime.registered(Given(passwords)):
        yield named


def _from_environment(variable: str | None) -> Password | None:
    name = VARIABLE if variable is None else variable
    if variable is not None and name not in os.environ:
        raise InvalidConfig(
            f"Cannot take the password from {name!r}, as --password-env says: there is no environment variable of that "
            "name. Set it."
        )
    return Password(os.environ[name]) if name in os.environ else None


def _asked(server: location.ServerLocation) -> Password:
    """Return what somebody at a terminal types, nothing where nobody is there.

    Raises:
        KeyboardInterrupt: it is not answered.
    """
    if not sys.stdin.isatty():
        return Password("")
    who = visible(f"{server.user} at {server.host}:{server.port}", lines=False)
    try:
        return Password(getpass.getpass(f"Password of {who} (empty for none): "))
    except EOFError:
        raise KeyboardInterrupt from None
