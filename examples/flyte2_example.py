"""The same tables in Flyte 2: tasks that return tables and plain frames, a parent, and what the log says of it.

It needs ``pip install "flytekitplugins-doltdb[flyte2]"``.

    $ python flyte2_example.py
    3 trees, 8 metres in all
    2 trees have grown
    grown was made of: trees
"""

import asyncio
from pathlib import Path
from typing import Annotated

import flyte
import pandas as pd

from flyteplugins.dolt import DoltConfig, DoltTable, create_repository, diff, dolt_frame, lineage, pin

REPOSITORY = str(Path(__file__).resolve().parent / "flyte2")
trees = DoltConfig(REPOSITORY, "trees", primary_key=["name"])
grown = DoltConfig(REPOSITORY, "grown", primary_key=["name"])
env = flyte.TaskEnvironment(name="forest")


@env.task
async def plant(n: int) -> DoltTable:
    """Return trees; that they are committed to Dolt is what the type DoltTable means."""
    return DoltTable(trees, pd.DataFrame({"name": ["ash", "elm", "oak"], "height": [n, 2 * n, 3 * n]}))


@env.task
def grow(table: DoltTable, metres: int) -> Annotated[pd.DataFrame, dolt_frame(grown)]:
    """Return a plain frame, which the annotation makes a table; a sync task works, too."""
    frame = table.data
    return frame.assign(height=frame["height"] + metres * (frame["name"] != "ash"))


@env.task
async def total(frame: pd.DataFrame) -> int:
    """Take a plain frame: it comes from Dolt, by the address that the parent hands on."""
    return int(frame["height"].sum())


@env.task
async def forest(n: int) -> str:
    """Call the others. The rows of the table stay where they are, and the frame is not written again."""
    planted = await plant(n)
    await grow.aio(planted, 0)
    before = await asyncio.to_thread(pin, grown)
    frame = await grow.aio(planted, 1)
    after = await asyncio.to_thread(pin, grown)
    changed = await asyncio.to_thread(diff, before, after)
    return f"{len(frame)} trees, {await total(frame)} metres in all\n{changed.modified} trees have grown"


if __name__ == "__main__":
    create_repository(REPOSITORY)
    flyte.init()
    print(flyte.with_runcontext(mode="local").run(forest, n=1).outputs()[0])
    print("grown was made of:", *(link.read.table for link in lineage(pin(grown)).above))
