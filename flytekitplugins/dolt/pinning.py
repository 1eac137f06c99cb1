"""The task `resolve`. People have registered it under this module's name, so it is made here; importing makes it."""

from .flyte.resolve_task import make_task

resolve = make_task(__name__)
