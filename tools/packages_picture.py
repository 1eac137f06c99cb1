"""Draws who may import whom into docs/architecture.md, out of the import contract in pyproject.toml.

`python tools/packages_picture.py` writes it; with `--check` it only says whether the page has it as it is now.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- packages -->\n", "<!-- /packages -->\n"
CONTAINER = "flytekitplugins.dolt"


def layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each.get("containers") == [CONTAINER])
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def picture() -> str:
    """Return the layers as boxes, one above the other, as a block of text."""
    rows = ["   ".join(f"[ {name} ]" for name in layer) for layer in layers()]
    width = max(map(len, rows))
    arrow = f"{'|':^{width}}".rstrip()
    lines = f"\n{arrow}\n".join(f"{row:^{width}}".rstrip() for row in rows)
    return f"{BEGIN}```text\n{lines}\n```\n{END}"


def drawn(page: str) -> str:
    """Return the page with the picture in its place."""
    before, rest = page.split(BEGIN)
    return before + picture() + rest.split(END)[1]


def main(arguments: list[str]) -> int:
    """Write the picture, or only compare."""
    page = PAGE.read_text()
    if "--check" in arguments:
        return int(page != drawn(page))
    PAGE.write_text(drawn(page))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
