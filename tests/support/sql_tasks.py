"""Tasks of the SQLAlchemy plugin on servers of the tests."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pandas as pd
from servers import DATABASE, PASSWORD, USER, Server

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask


def uri(server: Server, database: str = DATABASE, *, password: str = PASSWORD) -> str:
    """Return the URI of a server's database."""
    kind = "postgresql" if server.kind == "postgresql" else "mysql"
    return f"{kind}://{USER}:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}"


def task_on(
    where: Server | str,
    query: str,
    *,
    name: str = "a-task",
    output: Any = pd.DataFrame,
    inputs: dict[str, Any] | None = None,
    database: str = DATABASE,
    **config: Any,
) -> SQLAlchemyTask:
    """Return a task with this query."""
    return SQLAlchemyTask(
        name=name,
        query_template=query,
        task_config=SQLAlchemyConfig(uri=where if isinstance(where, str) else uri(where, database), **config),
        inputs={key: kind for key, (kind, _) in (inputs or {}).items()} or None,
        output_schema_type=output,
    )


def run(where: Server | str, query: str, *, inputs: dict[str, Any] | None = None, **options: Any) -> Any:
    """Run a query as a task, as flytekit runs it locally; ``inputs`` are (type, value) by name."""
    return task_on(where, query, inputs=inputs, **options)(**{key: value for key, (_, value) in (inputs or {}).items()})
