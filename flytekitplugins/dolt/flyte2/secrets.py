"""Passwords by the name under which Flyte 2 keeps them: their values, and how a task asks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import flyte

from ...doltdb.redaction import Password
from ..errors import InvalidConfig, SecretNotFound
from ..model import trust
from ..model.configs import Secret
from . import context

if TYPE_CHECKING:
    from ..model.configs import DoltConfig

_MOUNTED = Path("/etc/flyte/secrets")

_requested: dict[Secret, None] = {}
"""What the program has asked for by `secret_requests`; Flyte 2 does not tell a task what it requests."""


def requested() -> list[Secret] | None:
    """Return the secrets that this program's tasks ask for; None where Flyte 2 runs nothing in this process."""
    return list(_requested) if context.is_of_flyte() else None


def value(secret: Secret) -> Password:
    """Return the value of ``secret``, from the variable or the file that Flyte 2 makes of it.

    Raises:
        SecretNotFound: it is in neither.
    """
    variable = _variable(secret)
    if variable in os.environ:
        return Password(os.environ[variable])
    file = _MOUNTED.joinpath(*(part for part in (secret.group, secret.key) if part))
    if file.is_file():
        return Password(file.read_text("utf-8"))
    raise SecretNotFound(
        f"Cannot read the secret with group {secret.group!r} and key {secret.key!r}: it is not here. A task asks for "
        "it with flyte.TaskEnvironment(secrets=secret_requests(config)), secret_requests of flyteplugins.dolt; outside "
        f"a cluster, set the environment variable {variable}.",
        group=secret.group,
        key=secret.key,
    )


def _variable(secret: Secret) -> str:
    return str(flyte.Secret(key=secret.key, group=secret.group).as_env_var)


def secret_requests(*configs: DoltConfig) -> list[flyte.Secret]:
    """Return the secrets that ``configs`` need, for ``flyte.TaskEnvironment(secrets=...)``.

    A type cannot ask on behalf of the task that uses it, so each environment whose tasks read or write with such a
    config does. The secrets are requested for the places of ``configs``: a value that arrives and names another gets
    none of them.

    Raises:
        InvalidConfig: a secret has a version, and those of Flyte 2 have none.
    """
    needed = [(config, config.secret) for config in configs if config.secret is not None]
    needed += [(c, c.remote_conf.secret) for c in configs if c.remote_conf and c.remote_conf.secret]
    for config, given in needed:
        secret = Secret.of(given)
        if secret.version is not None:
            raise InvalidConfig(
                f"Cannot request the secret with key {secret.key!r}: it has a version, and Flyte 2 knows none. Leave "
                "the version out."
            )
        if context.in_task() is None:  # in one it may be of a value that arrived
            trust.bind(secret, trust.vouch(config))
            _requested[secret] = None
    unique = dict.fromkeys(Secret.of(secret) for _, secret in needed)
    return [flyte.Secret(key=secret.key, group=secret.group) for secret in unique]
