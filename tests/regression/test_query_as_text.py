"""The text of a task's query, which flytekit's SQL tasks give by pasting values in, holds none."""

from __future__ import annotations

from typing import Any

import pytest

from flytekitplugins.sqlalchemy import SQLAlchemyConfig, SQLAlchemyTask
from flytekitplugins.sqlalchemy.errors import InvalidTask, InvalidValue

HOSTILE = "x' or '1' = '1"


def _task(query: str, uri: str = "mysql://u@h/d", **inputs: Any) -> SQLAlchemyTask:
    return SQLAlchemyTask(name="t", query_template=query, task_config=SQLAlchemyConfig(uri=uri), inputs=inputs or None)


def test_values_are_names() -> None:
    """Each value is the input's name, in quotes and in lists as well, and white space stays as written."""
    query = "select *\n  from t where a = {{ .inputs.a }} and b like '{{ .inputs.b }}%' and c in ({{.inputs.c}})"
    found = _task(query, a=str, b=str, c=list[int]).get_query(a=HOSTILE, b=HOSTILE, c=[1, 2])
    assert found == "select *\n  from t where a = :a and b like :b and c in (:c)"


@pytest.mark.parametrize(
    ("uri", "quoted"), [("mysql://u@h/d", "`a``b`"), ("postgresql://u@h/d", '"a`b"'), ("sqlite://", '"a`b"')]
)
def test_a_name_is_quoted_as_the_server_wants_it(uri: str, quoted: str) -> None:
    """The name of a table stands in the text as it is sent."""
    task = _task("select * from {{ .inputs.t | identifier }}", uri, t=str)
    assert task.get_query(t="a`b") == f"select * from {quoted}"
    with pytest.raises(InvalidValue, match="'t'"):
        task.get_query(t="")


def test_missing_and_other_inputs_are_refused() -> None:
    """As with flytekit's tasks, the inputs given have to be those of the task."""
    task = _task("select {{ .inputs.a }} as a", a=int)
    with pytest.raises(InvalidTask, match=r"\['a'\].*\['a', 'b'\]"):
        task.get_query(a=1, b=2)
    with pytest.raises(ValueError, match=r"\[\]"):
        task.get_query()


def test_pasting_is_refused() -> None:
    """flytekit's own way of filling a template in is closed, on the class, too."""
    with pytest.raises(InvalidTask, match="query"):
        SQLAlchemyTask.interpolate_query("select '{{ .inputs.a }}'", a=HOSTILE)
