"""A page as a browser has it after loading."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deck_screenshot import BROWSER

PATIENT = "--virtual-time-budget=2000"


def seen(page: str, folder: Path) -> str:
    """Return the page as a browser has it after loading, scripts run."""
    file = folder / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><title>mine</title>{page}")
    done = subprocess.run(
        [*BROWSER, PATIENT, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout
