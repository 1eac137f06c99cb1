"""Makes docs/images/deck.png: the deck of a table that a task has changed, as a browser shows it.

`python tools/deck_screenshot.py [light|dark] [FILE]`, with Debian's chromium on PATH.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from flytekit import task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository

ROOT = Path(__file__).resolve().parent.parent
BROWSER = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""A browser that shows nothing, keeps nothing and talks to nobody."""


@task
def count_rabbits(config: DoltConfig, names: list[str], step: int) -> DoltTable:
    """Return a table of rabbits."""
    return DoltTable(config, pd.DataFrame({"name": names, "count": [step * (n + 1) for n in range(len(names))]}))


@workflow
def wf(config: DoltConfig, names: list[str], step: int) -> DoltTable:
    """Write the rabbits."""
    return count_rabbits(config=config, names=names, step=step)


def example_deck(folder: Path) -> str:
    """Return the deck of the last of some runs on one table."""
    os.chdir(create_repository(folder / "foo", name="Bojack Horseman", email="bojack@horseman.com").parent)
    config = DoltConfig("foo", "rabbits", primary_key=["name"])
    names = ["Alice", "Bo", "Clover", "Dot", "Elm", "Fern", "George", "Hazel"]
    for rows in (2, 4, 3, 6):
        wf(config=config, names=names[:rows], step=1)
    table = wf(config=config, names=[*names[:2], *names[3:5], *names[6:]], step=2)
    return str(TypeEngine.get_transformer(DoltTable).to_html(FlyteContextManager.current_context(), table, DoltTable))


def screenshot(html: str, file: Path, *, scheme: str = "light", size: str = "900,1120") -> None:
    """Let a browser show a page and store what is seen."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "deck.html"
        background = "#161b22" if scheme == "dark" else "#ffffff"
        page.write_text(f"<!doctype html><meta charset='utf-8'><body style='margin:0;background:{background}'>{html}")
        dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
        subprocess.run(
            [
                *BROWSER,
                "--hide-scrollbars",
                "--force-device-scale-factor=1",
                *dark,
                f"--user-data-dir={folder}/p",
                f"--window-size={size}",
                f"--screenshot={file}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


if __name__ == "__main__":
    scheme = sys.argv[1] if len(sys.argv) > 1 else "light"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "images" / "deck.png"
    target = target.resolve()
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        screenshot(example_deck(Path(place)), target, scheme=scheme)
