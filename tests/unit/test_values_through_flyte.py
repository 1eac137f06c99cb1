"""What travels between tasks without a repository: configs, policies and references arrive as they are."""

from __future__ import annotations

import typing

import pandas as pd
import pytest
from flytekit import task, workflow
from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.type_engine import TypeEngine, TypeTransformerFailedError
from flytekit.models.literals import Literal

from flytekitplugins.dolt import Branch, DoltConfig, DoltTable, NewBranch, SerialBranch
from flytekitplugins.dolt.flyte.value_types import DoltTableTransformer
from flytekitplugins.dolt.schema import Commit


def through_flyte(value: object, kind: type, mode: ExecutionState.Mode | None = None) -> typing.Any:
    """Return what a task of the given type gets when another returned ``value``."""
    ctx = FlyteContextManager.current_context()
    if mode is not None:
        assert ctx.execution_state is not None
        ctx = ctx.with_execution_state(ctx.execution_state.with_params(mode=mode)).build()
    literal = TypeEngine.to_literal(ctx, value, kind, TypeEngine.to_literal_type(kind))
    literal = Literal.from_flyte_idl(literal.to_flyte_idl())
    return TypeEngine.to_python_value(ctx, literal, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (DoltConfig("foo", "t"), DoltConfig),
        (DoltConfig("foo", sql="select 1", branch_conf=NewBranch("run/1", base="main")), DoltConfig),
        (DoltConfig("foo", "t", branch_conf=SerialBranch("dev"), primary_key=["id"]), DoltConfig),
        (DoltConfig("foo", "t", io_args={"primary_key": ["a", "b"]}), DoltConfig),
        (NewBranch("run/1"), NewBranch),
        (SerialBranch(), SerialBranch),
        (SerialBranch("dev"), Branch),
        (NewBranch("dev"), Branch),
        (NewBranch("dev"), NewBranch | SerialBranch),
        (SerialBranch("dev"), NewBranch | SerialBranch),
        (NewBranch("dev"), NewBranch | None),
        (DoltTable(config=DoltConfig("foo", "t")), DoltTable),
        (DoltTable(config=DoltConfig("foo", "t")).at(Commit("a" * 32, branch="main")), DoltTable),
        ([DoltConfig("foo", "t")], list[DoltConfig]),
    ],
    ids=str,
)
def test_each_value_arrives_equal_and_in_its_class(value: typing.Any, kind: typing.Any) -> None:
    """A config, branch policy or reference is the same value, of the same class, in the next task."""
    arrived = through_flyte(value, kind)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize("given", [pd.DataFrame({"a": [1]}), DoltConfig("foo", "t"), "foo", None], ids=type)
def test_what_is_no_table_is_refused_with_the_ways_to_make_one(given: object) -> None:
    """The message names what was given, without its content, and the ways out."""
    with pytest.raises(TypeTransformerFailedError, match=f"{type(given).__name__}") as refused:
        DoltTableTransformer().assert_type(DoltTable, typing.cast(DoltTable, given))
    assert "DoltTable(config, frame)" in str(refused.value)
    assert ("DoltTable(config)" if isinstance(given, DoltConfig) else "dolt_frame(config)") in str(refused.value)


def test_a_task_that_returns_a_plain_frame_as_a_table_learns_what_to_return() -> None:
    """Flytekit puts the message in the error of the task."""

    @task
    def unnamed() -> DoltTable:
        return pd.DataFrame({"a": [1]})  # type: ignore[return-value]

    with pytest.raises(TypeError, match="DataFrame.*DoltTable"):
        unnamed()


def test_a_config_with_a_new_branch_comes_out_of_a_task() -> None:
    """A task may return a DoltConfig, and the next one gets it with the right branch class."""

    @task
    def make() -> DoltConfig:
        return DoltConfig("foo", "t", branch_conf=NewBranch("run/1"))

    @task
    def name(conf: DoltConfig, default: DoltConfig = DoltConfig("bar", "u")) -> str:  # noqa: B008
        return f"{type(conf.branch_conf).__name__} {conf.tablename} {default.tablename}"

    @workflow
    def wf() -> str:
        return name(conf=make())

    assert wf() == "NewBranch t u"


def test_the_type_is_guessed_back_from_an_interface() -> None:
    """Tools that only have the interface of a task find our types again."""
    for kind in (DoltTable, DoltConfig, NewBranch, SerialBranch, Branch):
        assert TypeEngine.guess_python_type(TypeEngine.to_literal_type(kind)) is kind


def test_the_literal_is_canonical() -> None:
    """Equal values are equal bytes, which is what a Flyte cache compares."""
    ctx = FlyteContextManager.current_context()
    one = DoltConfig("foo", "t", branch_conf=NewBranch("b", base="main"))
    two = DoltConfig.from_dict(dict(reversed(list(one.to_dict().items()))))
    of = TypeEngine.to_literal_type(DoltConfig)
    literals = [TypeEngine.to_literal(ctx, c, DoltConfig, of).to_flyte_idl() for c in (one, two)]
    assert literals[0].SerializeToString() == literals[1].SerializeToString()
