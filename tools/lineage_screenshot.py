"""Makes docs/images/lineage.png: the picture of a lineage, as a browser shows it on a page.

`python tools/lineage_screenshot.py [light|dark] [FILE]`, with Debian's chromium on PATH.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
from deck_screenshot import ROOT, screenshot
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository, lineage, pin, write
from flytekitplugins.dolt.history.lineages import Lineage
from flytekitplugins.dolt.server import local_server

SIZE = "1170,225"


def _rows(*columns: str) -> pd.DataFrame:
    return pd.DataFrame({name: [1, 2] for name in columns})


@task
def load_users() -> DoltTable:
    """Return a table of users."""
    return DoltTable(DoltConfig("shop", "users"), _rows("user"))


@task
def load_orders(countries: DoltTable) -> DoltTable:
    """Return a table of orders."""
    return DoltTable(DoltConfig("shop", "orders"), countries.data.assign(order=1))


@task
def features(users: DoltTable, orders: DoltTable, prices: DoltTable) -> DoltTable:
    """Return what a model learns from."""
    return DoltTable(DoltConfig("shop", "features"), users.data.join([orders.data, prices.data]))


@task
def weekly(features: DoltTable) -> DoltTable:
    """Return a report."""
    return DoltTable(DoltConfig("shop", "report"), features.data[["user"]])


@workflow
def wf(countries: DoltTable, prices: DoltTable) -> tuple[DoltTable, DoltTable]:
    """Make features and a report."""
    made = features(users=load_users(), orders=load_orders(countries=countries), prices=prices)
    return made, weekly(features=made)


def example_lineage(folder: Path) -> Lineage:
    """Return the lineage of one table amid a workflow, with a table by hand and one of a repository not named."""
    for name in ("shop", "other"):
        create_repository(folder / name, name="Bojack Horseman", email="bojack@horseman.com")
    os.chdir(folder)
    write(DoltConfig("shop", "countries"), _rows("country"), message="countries, by hand")
    write(DoltConfig("other", "prices"), _rows("price"))
    made, _ = wf(countries=pin(DoltConfig("shop", "countries")), prices=pin(DoltConfig("other", "prices")))
    found = lineage(made)
    for name in ("shop", "other"):
        local_server.release(folder / name)
    return found


if __name__ == "__main__":
    scheme = sys.argv[1] if len(sys.argv) > 1 else "light"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "images" / "lineage.png"
    target = target.resolve()
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        screenshot(example_lineage(Path(place).resolve()).to_html(), target, scheme=scheme, size=SIZE)
