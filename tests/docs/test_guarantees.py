"""The pages of promises name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADS = ("| promise", "| threat", "|---")


@pytest.mark.parametrize("page", ["guarantees", "security"])
def test_every_promise_names_tests_that_exist(page: str) -> None:
    """Each row of the table names at least one test, and each named test is there."""
    lines = (ROOT / "docs" / f"{page}.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(HEADS)]
    assert len(rows) > 5
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"
