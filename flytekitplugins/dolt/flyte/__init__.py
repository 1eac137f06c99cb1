"""The border to Flyte. Importing it registers our types, frames and addresses, and the runtime of Flyte's tasks.

flytekit imports it by its entry point; the package imports it where flytekit is there already. The only package that
imports flytekit. It must stay cheap: it loads neither pandas nor Arrow nor a driver.
"""

from __future__ import annotations

from ..model import runtime
from . import context, dataframes, value_types, wiring
from .task_runtime import FlyteRuntime

context.watch_tasks()
value_types.register()
dataframes.register()
wiring.register()
runtime.register(FlyteRuntime())
