"""The border to Flyte 2, the SDK that is imported as ``flyte``. Users import `flyteplugins.dolt`.

Flyte 2 calls `register` by its entry point before it first looks for a type. With its sibling for flytekit it shares
what is below and nothing else: it does not import flytekit, which may be absent. It must stay cheap: registering loads
neither pandas nor Arrow nor a driver.
"""

from __future__ import annotations

_done: list[bool] = []


def register() -> None:
    """Make our types, frames and addresses known to Flyte 2, and its tasks to what reads and writes; once."""
    if _done:
        return
    from ..model import runtime
    from . import faults, frames, pickles, values
    from .context import watch_inputs
    from .task_runtime import Flyte2Runtime

    watch_inputs()
    values.register()
    faults.register()
    pickles.register()
    frames.register()
    runtime.register(Flyte2Runtime())  # last: where something failed, which Flyte only logs, nothing is read or written
    _done.append(True)
