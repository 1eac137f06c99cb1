"""Passwords by the name under which Flyte keeps them: their values when a task connects, and how a task asks for them.

The value goes from here to the connection and nowhere else. It must stay cheap to import, because ``import flytekit``
does so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytekit.core.context_manager import SecretsManager
from flytekit.models.security import Secret as FlyteSecret

from ...doltdb.redaction import Password
from ..errors import SecretNotFound
from ..model import trust
from ..model.configs import Secret, refuse_other_than_config
from . import context

if TYPE_CHECKING:
    from ..model.configs import DoltConfig


def requested() -> list[Secret] | None:
    """Return the secrets that the running task asks for; None where none runs, be it in another process of a pod."""
    tasks = context.running_tasks()
    if not tasks and not context.is_of_flyte():
        return None
    contexts = (getattr(task, "security_context", None) for task in tasks)
    return [Secret.of(secret) for context in contexts if context is not None for secret in context.secrets or ()]


def value(secret: Secret) -> Password:
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
    The secrets are requested for the places of ``configs``: a value that arrives and names another gets none of them.

    >>> from flytekitplugins.dolt import DoltConfig
    >>> secret_requests(DoltConfig("mysql+pymysql://me@db.example/foo", "t", secret=Secret("dolt", "password")))[0].key
    'password'

    Raises:
        InvalidConfig: something else than a config is given.
    """
    for config in configs:
        refuse_other_than_config(config)
    needed = [(config, config.secret) for config in configs if config.secret is not None]
    needed += [(c, c.remote_conf.secret) for c in configs if c.remote_conf and c.remote_conf.secret]
    if not context.running_tasks():  # in one it may be of a value that arrived
        for config, secret in needed:
            trust.bind(Secret.of(secret), trust.vouch(config))
    unique = dict.fromkeys(Secret.of(secret) for _, secret in needed)
    return [FlyteSecret(group=secret.group, key=secret.key, group_version=secret.version) for secret in unique]
