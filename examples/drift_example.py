"""Drift: a run whose values have moved too far is kept back, and its deck shows by how much, as a picture.

    $ python drift_example.py
    Running drift_example.py main...
    run/monday: published, the mean of main is 15 degrees
    run/tuesday: kept, the mean of main is 15 degrees
    max_shift celsius: column 'celsius' of table 'weather': Kolmogorov-Smirnov 0.991714 is over the bound 0.3
    max_missing celsius: column 'celsius' of table 'weather': share of missing values 0.125 is over the bound 0.05
    Open drift/deck.html in a browser

On Tuesday the sensors report Fahrenheit, and every eighth fails. The branch `run/tuesday` stays for inspection. Running
it again prints the same.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from flytekit import FlyteContextManager, task, workflow
from flytekit.deck import DeckField

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, create_repository, merge, read
from flytekitplugins.dolt.errors import ShiftExceeded

folder = Path(__file__).parent / "drift"
weather = DoltConfig(db_path=str(folder / "foo"), tablename="weather", primary_key=["sensor"])
refused = []


def measured(day: str) -> pd.DataFrame:
    """Return what 1000 sensors have measured."""
    celsius = np.random.default_rng(1).normal(15, 6, 1000)
    if day == "tuesday":
        celsius = celsius * 9 / 5 + 32
        celsius[::8] = np.nan
    return pd.DataFrame({"sensor": range(1000), "celsius": celsius.round(1), "place": ["roof", "yard"] * 500})


@task
def load(day: str) -> DoltTable:
    """Write the values of a day on the run's branch."""
    return DoltTable(data=measured(day), config=replace(weather, branch_conf=NewBranch(f"run/{day}")))


@task(enable_deck=True, deck_fields=(DeckField.INPUT,))
def publish(table: DoltTable, day: str) -> str:
    """Merge the branch if the values are about as they were; the deck shows what was found, in either case."""
    try:
        bounds = {"max_shift": {"celsius": 0.3}, "max_missing": {"celsius": 0.05}}
        return merge(f"run/{day}", into="main", db_path=weather.db_path, **bounds).hash
    except ShiftExceeded as error:
        refused.append(error)  # flytekit gives what a task raises another class
        raise


@workflow
def wf(day: str) -> str:
    return publish(table=load(day=day), day=day)


def newest_deck() -> str:
    """Return the page that Flyte has written last; on a cluster its console shows it."""
    local = Path(FlyteContextManager.current_context().file_access.local_sandbox_dir)
    return max(local.glob("*/deck.html"), key=lambda page: page.stat().st_mtime_ns).read_text()


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not (folder / "foo" / ".dolt").is_dir():
        create_repository(folder / "foo")
    for day in ("monday", "tuesday"):
        try:
            wf(day=day)
            kept = "published"
        except Exception:  # noqa: BLE001  # as above
            kept = "kept"
        print(f"run/{day}: {kept}, the mean of main is {read(weather)['celsius'].mean():.0f} degrees")
    for name, reason in refused[-1].failed.items():
        print(f"{name}: {reason}")
    (folder / "deck.html").write_text(newest_deck())
    print("Open drift/deck.html in a browser")
