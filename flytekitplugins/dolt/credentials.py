"""Passwords by the name under which Flyte keeps them: their values when a task connects, and how a task asks for them.

The value goes from here to the connection and nowhere else. It must stay cheap to import, because ``import flytekit``
does so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytekit.core.context_manager import SecretsManager
from flytekit.models.security import Secret as FlyteSecret

from .errors import SecretNotFound
from .redaction import Password
from .schema import Secret

if TYPE_CHECKING:
    from .schema import DoltConfig


def read(secret: Secret) -> str:
    """Return the value of ``secret``, from where Flyte mounts it or, in a local run, from the environment.

    Raises:
        SecretNotFound: it is in none of these places, or is no text.
    """
    manager = SecretsManager()
    try:
        return Password(manager.get(secret.group, secret.key, secret.version))
    except ValueError as error:
        is_no_text = isinstance(error, UnicodeDecodeError)
    # Out here, because the error of flytekit, or of the file that is no text, would be shown along with this one.
    variable = manager.get_secrets_env_var(secret.group, secret.key, secret.version)
    found = "what is there is no UTF-8 text" if is_no_text else "it is not here"
    raise SecretNotFound(
        f"Cannot read the secret with group {secret.group!r} and key {secret.key!r}: {found}. A task asks "
        "for it with @task(secret_requests=secret_requests(config)), secret_requests of flytekitplugins.dolt; "
        f"outside a cluster, set the environment variable {variable}.",
        group=secret.group,
        key=secret.key,
    )


def secret_requests(*configs: DoltConfig) -> list[FlyteSecret]:
    """Return the secrets that ``configs`` need, for ``@task(secret_requests=...)``: Flyte mounts what a task asks for.

    A type cannot ask on behalf of the task that uses it, so each task that reads or writes with such a config does.

    >>> secret_requests(DoltConfig("mysql+pymysql://me@db.example/foo", "t", secret=Secret("dolt", "password")))[0].key
    'password'
    """
    needed = [config.secret for config in configs if config.secret is not None]
    needed += [config.remote_conf.secret for config in configs if config.remote_conf and config.remote_conf.secret]
    unique = dict.fromkeys(Secret.of(secret) for secret in needed)
    return [FlyteSecret(group=secret.group, key=secret.key, group_version=secret.version) for secret in unique]
