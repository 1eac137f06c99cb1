"""The border to Flyte: `SQLAlchemyTask`, its config, and the executor that runs it from its serialised template.

What runs a statement is in `execution`; here stand what a user writes, what a task's template says (never a password),
where secrets come from, and how rows become the output. With `errors` the only module that imports flytekit.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, get_args, get_origin

from flytekit import current_context, kwtypes
from flytekit.configuration import SerializationSettings
from flytekit.configuration.default_images import DefaultImages, PythonVersion
from flytekit.core.base_sql_task import SQLTask
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.python_customized_container_task import PythonCustomizedContainerTask
from flytekit.core.shim_task import ShimTaskExecutor
from flytekit.exceptions.user import FlyteUserRuntimeException
from flytekit.image_spec.image_spec import ImageSpec
from flytekit.loggers import logger
from flytekit.models.security import Secret
from flytekit.types.schema import FlyteSchema
from flytekit.types.structured.structured_dataset import StructuredDataset

from ..doltdb.fields import described
from ..doltdb.redaction import discreet
from . import templates
from .errors import InvalidTask, SecretMissing, SQLTaskError
from .hiding import confidential, public

if TYPE_CHECKING:
    from flytekit.models.task import TaskTemplate

    from .connections import Target
    from .execution import RunResult

DISTRIBUTION = "flytekitplugins-doltdb"
IMAGE_VARIABLE = "FLYTE_SQLALCHEMY_IMAGE"
_RESULTS = "results"
_MOUNTED_FILE = Secret.MountType.FILE.value
_POLARS_DIGITS = 38  # of a DECIMAL; a wider one is not refused by Polars but makes it panic


class SQLAlchemyDefaultImages(DefaultImages):
    """The container image of tasks that name none: this distribution's, which its Dockerfile builds.

    Nobody publishes it: build it, push it where your cluster finds it, and give that name as ``container_image``, or
    for all tasks in the environment variable ``FLYTE_SQLALCHEMY_IMAGE``.
    """

    _DEFAULT_IMAGE_PREFIXES: ClassVar = {
        version: f"{DISTRIBUTION}:py{version.value[0]}.{version.value[1]}-sqlalchemy-" for version in PythonVersion
    }

    @classmethod
    def default_image(cls) -> str:
        """Return the image's name."""
        chosen = os.environ.get(IMAGE_VARIABLE)
        return chosen or str(super().default_image())

    @classmethod
    def get_version_suffix(cls) -> str:
        """Return this distribution's version."""
        try:
            return metadata.version(DISTRIBUTION)
        except metadata.PackageNotFoundError:
            return "latest"


@described
@dataclass
class SQLAlchemyConfig:
    """Where a task's statement runs, and how.

    >>> SQLAlchemyConfig(uri="mysql://user:password@localhost/db")
    SQLAlchemyConfig(uri='mysql://user:***@localhost/db')

    Raises:
        InvalidTask: a field makes no sense.
    """

    uri: str
    """SQLAlchemy's URL of the database. ``mysql://`` without a driver means PyMySQL. On Dolt the database may have a
    branch or commit: ``mysql://user@host/db/run/x``. For a cluster leave the password out (`secret_connect_args`).
    Example: ``SQLAlchemyConfig("mysql://reader@db.example/sales")``."""

    connect_args: dict[str, Any] | None = None
    """Arguments for the driver; names of parts of the URL replace them. Example:
    ``connect_args={"ssl": {"ca": "/ca.pem"}}``."""

    secret_connect_args: dict[str, Secret] | None = None
    """The same from Flyte's secrets; also user, host, port, database. The task requests them, so a cluster mounts them.
    Example: ``secret_connect_args={"password": Secret(group="db", key="password")}``."""

    connect_timeout_s: float = 10
    """How long to wait for a connection, in seconds. Example: ``connect_timeout_s=5``."""

    timeout_s: float | None = 3600
    """How long the statement may take and the server be silent, in seconds; None: as long as it takes. Example:
    ``timeout_s=600``."""

    read_only: bool = False
    """Whether statements that change something are refused, by the server too. Example: ``read_only=True``."""

    dolt_commit_message: str | None = None
    """On Dolt: make one commit of what the statement changed, with this message (placeholders of inputs are filled in)
    and the id of the execution. Nothing changed: no commit. Example:
    ``dolt_commit_message="{{ .inputs.name }} weighs more"``."""

    public_password: bool = False
    """Whether the password in `uri` is meant to be public, as that of a public database: the task is registered with
    it, and everybody who sees the task can read it. Others, in `connect_args` or in the URI's query, are refused as
    ever. Example: ``SQLAlchemyConfig("postgresql://reader:public@db.example/rna", public_password=True)``."""

    def __post_init__(self) -> None:
        for name, secret in (self.secret_connect_args or {}).items():
            if not isinstance(secret, Secret):
                raise InvalidTask(
                    f"Cannot use secret_connect_args: {name!r} is a {type(secret).__name__}. Give a flytekit.Secret."
                )
        for name in ("connect_timeout_s", "timeout_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise InvalidTask(f"Cannot use {name}={seconds!r}: a time is longer than 0 seconds.")
        if self.dolt_commit_message is not None and (self.read_only or not self.dolt_commit_message.strip()):
            raise InvalidTask(
                "Cannot use dolt_commit_message: it is empty, or the task is read_only and makes no commit."
            )
        self._shown_uri()
        self._check_public_password()

    def __repr__(self) -> str:
        from .connections import parsed

        shown = [f"uri={parsed(self.uri).set(query={}).render_as_string(hide_password=True)!r}"]
        shown += [
            f"{name}={sorted(value)}"
            for name in ("connect_args", "secret_connect_args")
            if (value := getattr(self, name))
        ]
        shown += [f"{name}=True" for name in ("read_only", "public_password") if getattr(self, name)]
        return f"SQLAlchemyConfig({', '.join(shown)})"

    def secret_connect_args_to_dicts(self) -> dict[str, dict[str, str | None]] | None:
        """Return where the secrets are, as the task's template says it."""
        if self.secret_connect_args is None:
            return None
        return {name: _secret_to_dict(secret) for name, secret in self.secret_connect_args.items()}

    def holds_password(self) -> bool:
        """Say whether a password or the like stands in the URI or in ``connect_args`` that is not said to be public."""
        from .connections import parsed

        url = parsed(self.uri)
        is_private = bool(url.password) and not self.public_password
        return is_private or any(True for _ in confidential([url.query, self.connect_args or {}]))

    def _check_public_password(self) -> None:
        from .connections import parsed

        secrets = self.secret_connect_args or {}
        if self.public_password and ("password" in secrets or not parsed(self.uri).password):
            raise InvalidTask(
                "Cannot use public_password: the uri has no password, or a secret takes its place. Keep one of them."
            )

    def _shown_uri(self) -> str:
        """Return the URI with nothing confidential in it; a password that is public is not."""
        from .connections import parsed, without_password

        url = parsed(self.uri) if self.public_password else without_password(parsed(self.uri))
        return url.set(query=public(url.query)).render_as_string(hide_password=False)

    def to_custom(self) -> dict[str, Any]:
        """Return the config as the task's template holds it, without passwords but one that is public."""
        return {
            "uri": self._shown_uri(),
            "connect_args": public(self.connect_args or {}),
            "secret_connect_args": self.secret_connect_args_to_dicts(),
            "connect_timeout_s": self.connect_timeout_s,
            "timeout_s": self.timeout_s,
            "read_only": self.read_only,
            "dolt_commit_message": self.dolt_commit_message,
        }


# What it is made with may have a password in it, and stands in the frame of its constructor.
SQLAlchemyConfig.__init__ = discreet(SQLAlchemyConfig.__init__)  # type: ignore[method-assign]


def _secret_to_dict(secret: Secret) -> dict[str, str | None]:
    return {
        "group": secret.group,
        "key": secret.key,
        "group_version": secret.group_version,
        "mount_requirement": secret.mount_requirement.value,
        "env_var": secret.env_var,
    }


class SQLAlchemyTask(PythonCustomizedContainerTask[SQLAlchemyConfig], SQLTask[SQLAlchemyConfig]):
    """One SQL statement as a Flyte task, on any server that SQLAlchemy knows.

    ``{{ .inputs.x }}`` in the template is the value of input ``x``, bound by the driver and never part of the text, in
    quotes or without; a list is for ``IN``. ``{{ .inputs.x | identifier }}`` is the name of a table or column. All else
    arrives at the server as it is written here.

    >>> SQLAlchemyTask(
    ...     name="test-task",
    ...     query_template="select * from my_table where id = {{ .inputs.id }}",
    ...     inputs=kwtypes(id=int),
    ...     task_config=SQLAlchemyConfig(uri="mysql://user:password@localhost/db"),
    ... ).name
    'test-task'

    Args:
        name: unique name of the task.
        query_template: the statement.
        task_config: where it runs, and how.
        inputs: the types of the inputs by name.
        output_schema_type: the output, called ``results``: FlyteSchema, pd.DataFrame, StructuredDataset, pa.Table,
            pl.DataFrame, or None for a statement that is run for its effect.
        container_image: the image that it runs in on a cluster: a name or an ImageSpec.
        kwargs: what other tasks take, too: metadata, requests, limits, environment, secret_requests.

    Raises:
        InvalidTask: template, inputs and config do not fit together.
    """

    _SQLALCHEMY_TASK_TYPE = "sqlalchemy"

    def __init__(
        self,
        name: str,
        query_template: str,
        task_config: SQLAlchemyConfig,
        inputs: dict[str, Any] | None = None,
        output_schema_type: Any = FlyteSchema,
        container_image: str | ImageSpec | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(task_config, SQLAlchemyConfig):
            raise InvalidTask(
                f"Cannot make task {name!r}: its task_config is a {type(task_config).__name__}. Give "
                "SQLAlchemyConfig(uri=...)."
            )
        requested = list(kwargs.pop("secret_requests", None) or [])
        for secret in (task_config.secret_connect_args or {}).values():
            if secret not in requested:
                requested.append(secret)
        super().__init__(
            name=name,
            task_config=task_config,
            executor_type=SQLAlchemyTaskExecutor,
            task_type=self._SQLALCHEMY_TASK_TYPE,
            query_template=query_template,
            container_image=container_image or SQLAlchemyDefaultImages.default_image(),
            inputs=inputs,
            outputs=kwtypes(**{_RESULTS: output_schema_type}) if output_schema_type else None,
            secret_requests=requested or None,
            **kwargs,
        )
        self._query_template = query_template  # flytekit's has all white space collapsed, in quotes as well
        self._output_schema_type = output_schema_type
        self._check(set(inputs or {}))

    def _check(self, inputs: set[str]) -> None:
        self._check_types()
        config = self.task_config
        try:
            named = templates.placeholders(self.query_template, templates.grammar(_dialect(config.uri)))
            used = named | templates.placeholders(config.dolt_commit_message or "")
            if "\\" not in self.query_template:  # else how the text is to be read depends on the session's sql_mode
                templates.parse(self.query_template, templates.grammar(_dialect(config.uri)))
        except InvalidTask as error:
            raise InvalidTask(f"{str(error).rstrip('.')}. (Task {self.name!r})") from None
        if used - inputs:
            raise InvalidTask(
                f"Cannot make task {self.name!r}: no inputs for the placeholders {sorted(used - inputs)}."
            )

    def _check_types(self) -> None:
        for name, kind in self.python_interface.inputs.items():
            if _may_be_a_date(kind):
                raise InvalidTask(
                    f"Cannot make task {self.name!r}: input {name!r} may be a date or something else, which flytekit "
                    "cannot tell apart in a task that runs from its template. Use datetime in place of date."
                )
        literal = self.interface.outputs[_RESULTS].type if self.interface.outputs else None
        is_frame = literal is None or literal.schema or literal.structured_dataset_type or self._output()
        if not is_frame:
            raise InvalidTask(
                f"Cannot make task {self.name!r}: output_schema_type={self._output_schema_type!r} is no frame. Give "
                "FlyteSchema, pd.DataFrame, StructuredDataset, pa.Table, pl.DataFrame, or None."
            )

    @property
    def output_columns(self) -> list[str] | None:
        """The names of the columns that the output's type declares, or None."""
        return _declared_columns(self.interface.outputs) or None

    def get_custom(self, settings: SerializationSettings) -> dict[str, Any]:
        """Return what the template says of the task; passwords are no part of it.

        Raises:
            InvalidTask: the task is serialised for a cluster, and could not connect there without the password.
        """
        custom = {
            **self.task_config.to_custom(),
            "query_template": self.query_template,
            "output": self._output(),
            "dates": [name for name, kind in self.python_interface.inputs.items() if _holds_dates(kind)],
        }
        if settings is not PythonCustomizedContainerTask.SERIALIZE_SETTINGS:  # those are a local run's
            self._assert_registrable(custom)
        return custom

    def _assert_registrable(self, custom: dict[str, Any]) -> None:
        if self.task_config.holds_password():
            raise InvalidTask(
                f"Cannot serialise task {self.name!r}: its uri or connect_args hold a password, which everybody could "
                "read who sees the task. Store it as a secret, and give secret_connect_args={'password': "
                "Secret(group=..., key=...)}. If everybody may know the one in the uri, say public_password=True."
            )
        try:
            json.dumps(custom)
        except (TypeError, ValueError) as error:
            raise InvalidTask(
                f"Cannot serialise task {self.name!r}: connect_args hold what JSON cannot ({error}). Give texts, "
                "numbers, lists and dicts."
            ) from None

    def _output(self) -> str | None:
        """Return the name of an output type that the template's interface does not tell."""
        kind = self._output_schema_type
        kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        module, name = getattr(kind, "__module__", "") or "", getattr(kind, "__name__", "")
        return "polars" if module.startswith("polars") and name in ("DataFrame", "LazyFrame") else None

    def get_query(self, **kwargs: Any) -> str:
        """Return the query for people to read: names filled in, values as ``:name``, which are never part of it.

        Raises:
            InvalidTask: an input is missing, or the task has no such input.
            InvalidValue: an input is no name where a name is wanted.
        """
        from .connections import quoter

        if set(kwargs) != set(self.interface.inputs):
            raise InvalidTask(
                f"Cannot show the query of task {self.name!r}: its inputs are {sorted(self.interface.inputs)}, and "
                f"those given are {sorted(kwargs)}."
            )
        uri = self.task_config.uri
        parts = templates.parse(self.query_template, templates.grammar(_dialect(uri)))
        return templates.readable(parts, kwargs, quote=quoter(uri))

    @classmethod
    def interpolate_query(cls, query_template: str, **kwargs: Any) -> str:
        """Refuse what flytekit's other SQL tasks do: paste values into the text.

        Raises:
            InvalidTask: always.
        """
        raise InvalidTask(
            "Cannot paste values into a query: a value could become part of the statement. Call the task, which binds "
            "them, or its get_query(...) to read the statement."
        )

    def execute(self, **kwargs: Any) -> Any:
        """Run the task here; unlike the template, the config at hand may hold a password."""
        config, executor, template = self.task_config, self.executor, self.task_template
        try:
            where = _target(template.custom, uri=config.uri, connect_args=config.connect_args or {})
            return executor.run(template, kwargs, where=where)
        except SQLTaskError as error:
            raise error.with_traceback(None) from None  # its message says all, and where the code found it says nothing


def _holds_dates(kind: Any) -> bool:
    """Say whether a type is a date, or a list of dates and the like: in a template they are datetimes."""
    return kind is dt.date or any(_holds_dates(inner) for inner in get_args(kind))


def _may_be_a_date(kind: Any) -> bool:
    """Say whether a type is Optional[date] or the like, anywhere in it."""
    arguments = get_args(kind)
    return (get_origin(kind) in (Union, UnionType) and dt.date in arguments) or any(map(_may_be_a_date, arguments))


def _as_dates(value: Any) -> Any:
    """Return dates for what flytekit has made datetimes of."""
    if isinstance(value, list):
        return [_as_dates(element) for element in value]
    return value.date() if isinstance(value, dt.datetime) else value


class _PrintedOnce(logging.Filter):
    """Leaves out of flytekit's log the errors of this package, which it then raises, and which are printed there."""

    def filter(self, record: logging.LogRecord) -> bool:
        raised = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        raised = raised.value if isinstance(raised, FlyteUserRuntimeException) else raised
        return not (isinstance(raised, SQLTaskError) and str(record.msg).startswith("Exception when executing"))


logger.addFilter(_PrintedOnce())


class SQLAlchemyTaskExecutor(ShimTaskExecutor[SQLAlchemyTask]):
    """Runs a task by what its template says, in a container or here."""

    def execute_from_model(self, tt: TaskTemplate, **kwargs: Any) -> Any:
        """Run the statement of the template ``tt`` with the inputs ``kwargs``, and return the output."""
        try:
            where = _target(tt.custom, uri=tt.custom["uri"], connect_args=_integers(tt.custom["connect_args"] or {}))
            return self.run(tt, kwargs, where=where)
        except Exception as error:
            # Else flytekit takes what such a task raises for a fault of the system, and repeats it whatever it was.
            raise FlyteUserRuntimeException(error) from error

    def run(self, tt: TaskTemplate, inputs: Mapping[str, Any], *, where: Target) -> Any:
        """Run it there; the place may hold a password, and does not show it."""
        from . import execution

        dates = tt.custom.get("dates") or ()
        inputs = {name: _as_dates(value) if name in dates else value for name, value in inputs.items()}
        order = execution.RunRequest(
            task=tt.id.name,
            template=tt.custom["query_template"],
            read_only=bool(tt.custom.get("read_only")),
            dolt_commit_message=_filled_in(tt.custom.get("dolt_commit_message"), inputs),
            execution=_execution_id(),
            columns=tuple(_declared_columns(tt.interface.outputs)),
            **({"most_digits": _POLARS_DIGITS} if tt.custom.get("output") == "polars" else {}),
        )
        logger.info(f"Task {order.task!r} connects to {where.name}")
        folder = Path(FlyteContextManager.current_context().file_access.get_random_local_directory())
        wants_rows = bool(tt.interface.outputs)
        used = {found[1] for found in templates.PLACEHOLDER.finditer(order.template)}
        outcome = execution.run(
            order,
            where=where,
            inputs={name: value for name, value in inputs.items() if name in used},
            file=folder / "00000" if wants_rows else None,
        )
        _report(order.task, outcome, wants_rows=wants_rows)
        return _output(tt, folder) if wants_rows else None


def _dialect(uri: str) -> str:
    from .connections import parsed

    return str(parsed(uri).drivername).partition("+")[0]


@discreet
def _target(custom: Mapping[str, Any], *, uri: str, connect_args: Mapping[str, Any]) -> Target:
    from . import connections

    timeout_s = custom.get("timeout_s")
    return connections.target_of(
        uri,
        connect_args=connect_args,
        secrets={name: _secret(name, where) for name, where in (custom.get("secret_connect_args") or {}).items()},
        connect_timeout_s=float(custom.get("connect_timeout_s") or 10),
        timeout_s=None if timeout_s is None else float(timeout_s),
    )


def _secret(name: str, where: Mapping[str, Any]) -> str:
    variable = where.get("env_var")
    if variable and variable in os.environ:
        given = os.environ[variable]
        return Path(given).read_text().strip() if where.get("mount_requirement") == _MOUNTED_FILE else given.strip()
    store, asked = current_context().secrets, {key: where.get(key) for key in ("group", "key", "group_version")}
    try:
        return str(store.get(**asked))
    except ValueError:
        raise SecretMissing(
            f"Cannot connect: the secret for {name!r} (group {asked['group']!r}, key {asked['key']!r}) is not there. "
            "Create it in the cluster's secret store; locally set the environment variable "
            f"{variable or store.get_secrets_env_var(**asked)}.",
            **asked,
        ) from None


def _integers(value: Any) -> Any:
    """Return the value with whole numbers as int: in a template all numbers have become floats."""
    if isinstance(value, Mapping):
        return {key: _integers(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _filled_in(message: str | None, inputs: Mapping[str, Any]) -> str | None:
    """Return the commit message with the values of its placeholders, which are plain text there."""
    if message is None:
        return None
    missing = templates.placeholders(message) - inputs.keys()
    if missing:
        raise InvalidTask(f"Cannot run the task: {templates.not_given(missing)}.")
    return templates.PLACEHOLDER.sub(lambda found: str(inputs[found[1]]), message)


def _execution_id() -> str:
    found = current_context().execution_id
    return f"ex:{found.project}:{found.domain}:{found.name}" if found is not None else "ex:::"


def _declared_columns(outputs: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that the type of the output declares; empty for any."""
    if _RESULTS not in outputs:
        return []
    literal = outputs[_RESULTS].type
    declared = literal.schema or literal.structured_dataset_type
    return [column.name for column in declared.columns] if declared is not None else []


@lru_cache(maxsize=1000)
def _say_once(text: str) -> None:
    # By a logger of our own: a script's output is its own, and flytekit's logger writes there.
    logging.getLogger(__name__).warning(text)


def _report(task: str, outcome: RunResult, *, wants_rows: bool) -> None:
    if outcome.uncommitted:
        _say_once(
            f"Task {task!r} leaves changes that are in no commit, in {', '.join(map(repr, outcome.uncommitted))} on "
            f"branch {outcome.notes['dolt_branch']!r}: DoltTable does not see them. "
            "SQLAlchemyConfig(dolt_commit_message=...) commits what a task changes."
        )
    if wants_rows:
        logger.info(f"Task {task!r} read {outcome.rows} rows")
    elif outcome.rows >= 0:
        logger.info(f"Task {task!r} affected {outcome.rows} rows")
    for name, value in outcome.notes.items():
        logger.info(f"Task {task!r}: {name} is {value}")


def _output(tt: TaskTemplate, folder: Path) -> Any:
    """Return the rows in ``folder`` as what the interface declares; flytekit uploads them from there."""
    if tt.custom.get("output") == "polars" and tt.interface.outputs[_RESULTS].type.structured_dataset_type is None:
        import polars

        return polars.read_parquet(folder / "00000")
    if tt.interface.outputs[_RESULTS].type.schema is not None:
        return FlyteSchema(local_path=str(folder))
    return StructuredDataset(uri=str(folder), file_format="parquet")
