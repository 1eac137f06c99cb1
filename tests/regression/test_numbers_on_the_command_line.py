"""A number of rows beyond 64 bits ended `show` and others in a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, write
from flytekitplugins.dolt.__main__ import main

Config = Callable[..., DoltConfig]


@pytest.mark.parametrize(
    "verb", [("show", "t", "-n"), ("log", "-n"), ("versions", "t", "-n"), ("diff", "HEAD~1", "--limit")]
)
def test_any_number_is_taken(repo: Path, config: Config, capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    """One that is larger than any number of rows shows all."""
    write(config("t"), pd.DataFrame({"n": [12345]}))
    shown = []
    for number in ("1000", "9" * 20, "9" * 400):
        assert main([*verb, number, "--db", str(repo)]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0]
    assert shown == shown[:1] * 3
