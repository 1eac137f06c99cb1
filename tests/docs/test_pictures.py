"""The pictures in docs/images, as a browser shows them to readers of light and of dark pages.

``FLYTE_DOLT_PICTURES=1 pytest tests/docs/test_pictures.py`` writes them anew; else they are only looked at.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import devtools
import numpy as np
import pandas as pd
import pytest
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository, write
from flytekitplugins.dolt.server import local_server

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
WRITES = "FLYTE_DOLT_PICTURES"


def orders(rows: int, *, month: int) -> pd.DataFrame:
    """Return the orders of a shop, which in March sells more, dearer, and in another country."""
    rng = np.random.default_rng(month)
    places = ["Denmark", "Finland", "Iceland", "Norway", "Sweden"][: month + 2]
    grown = month - 2
    return pd.DataFrame(
        {
            "order": range(rows),
            "price": np.where(rng.random(rows) < 0.08 * grown, np.nan, rng.gamma(4 + 3 * grown, 6, rows).round(2)),
            "ordered": pd.Timestamp(2026, month, 1) + pd.to_timedelta(rng.integers(0, 28 * 86_400, rows), "s"),
            "country": rng.choice(places, rows, p=np.arange(len(places), 0, -1) / sum(range(len(places) + 1))),
            "express": rng.random(rows) < 0.2 + 0.3 * grown,
            "items": rng.integers(1, 9, rows),
        }
    )


@pytest.fixture(scope="module")
def deck_of_a_shift(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the deck of a table whose columns have moved."""
    folder = create_repository(tmp_path_factory.mktemp("shop") / "foo", name="Bojack Horseman", email="b@horseman.com")
    keyed = DoltConfig(str(folder), "orders", primary_key=["order"])
    for number in range(5):
        write(keyed, orders(500 + 70 * number, month=2))
    table = write(keyed, orders(1_100, month=3), message="Orders of March")
    page = TypeEngine.get_transformer(DoltTable).to_html(FlyteContextManager.current_context(), table, DoltTable)
    local_server.release(folder)
    return str(page)


@pytest.fixture(scope="module")
def deck_of_a_refusal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the deck that the example about drift leaves."""
    folder = tmp_path_factory.mktemp("drift")
    shutil.copy(ROOT / "examples" / "drift_example.py", folder)
    command = [sys.executable, "drift_example.py"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=280)
    return (folder / "drift" / "deck.html").read_text()


PICTURES: dict[str, tuple[str, str]] = {
    "shift": ("deck_of_a_shift", ".dolt-shift"),
    "refused": ("deck_of_a_refusal", ".dolt-deck"),
}
"""Which deck each shows, and which part of it."""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_whole_and_has_its_words(
    name: str, scheme: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No label lies on another, none is cut, each picture has a name, and docs/decks.md shows what was seen."""
    fixture, part = PICTURES[name]
    page: str = request.getfixturevalue(fixture)
    with devtools.shown(page, tmp_path, scheme=scheme, width=960) as shown:
        assert shown.value(devtools.OVERLAPS) == []
        names = [said for role, said in shown.read_out() if role == "image"]
        assert names
        assert all(names)
        assert shown.value("document.querySelectorAll('svg[role=img]').length") == len(names)
        seen = shown.picture(part, around=6 if part == ".dolt-shift" else 0)
    file = IMAGES / f"{name}-{scheme}.png"
    if os.environ.get(WRITES) == "1":
        file.write_bytes(seen)
    assert size_of(file.read_bytes())[0] == size_of(seen)[0]
    assert f"](images/{file.name})" in (ROOT / "docs" / "decks.md").read_text()


def size_of(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_browser_that_finds_an_overlap_says_so(tmp_path: Path) -> None:
    """The look at the labels is no empty one: what lies on another, on a bar or beyond the edge is found."""
    wrong = (
        "<svg viewBox='0 0 300 100' width='300' height='100'><text x='5' y='20'>first</text><text x='9' y='22'>second"
        "</text><rect class='bar' x='0' y='60' width='100' height='30'/><text x='5' y='80'>third</text>"
        "<text x='290' y='20'>fourth</text></svg>"
    )
    with devtools.shown(wrong, tmp_path) as page:
        found = page.value(devtools.OVERLAPS)
    assert found == ["cut: fourth", "first / second", "second / first", "third / a bar"]
