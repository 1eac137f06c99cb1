"""Runs a program for flytekit on Flyte 2, by Flyte's own shim: `python migrated.py EXAMPLE ARGUMENTS...`.

The shim makes tasks of Flyte 2 of all tasks and workflows. flytekit runs a workflow here when it is called; Flyte 2 is
asked to, so what is called outside of a run is run locally.
"""

import logging
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flyte
import flyte_migrate  # noqa: F401  # it replaces flytekit's names
import flytekit


def run_here(shim: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator of the shim's whose tasks run here, by Flyte 2, where nothing of Flyte 2 runs yet."""

    def decorator(function: Any = None, **options: Any) -> Any:
        if function is None:
            return lambda function: decorator(function, **options)
        entity = shim(function, **options)
        inside = type(entity).__call__

        def called(self: Any, *args: Any, **inputs: Any) -> Any:
            if flyte.ctx():
                return inside(self, *args, **inputs)
            outputs = tuple(flyte.with_runcontext(mode="local").run(self, *args, **inputs).outputs())
            return outputs[0] if len(outputs) == 1 else outputs or None

        entity.__class__ = type(type(entity).__name__, (type(entity),), {"__call__": called})
        return entity

    return decorator


if __name__ == "__main__":
    flyte.init(log_level=logging.CRITICAL)
    flytekit.task, flytekit.workflow = run_here(flytekit.task), run_here(flytekit.workflow)
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent.resolve()))
    runpy.run_path(sys.argv[0], run_name="__main__")
