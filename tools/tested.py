"""Writes constraints/tested.txt: the version of each package that the tests ran with here, one pin a line.

`python tools/tested.py` writes it, from the environment it runs in; `--check` only asks whether what setup.py names has
a pin within its bounds (tests/package/test_package.py does). The pins are of the form that tools which make a list of
software (an SBOM) read. `pip install -c constraints/tested.txt flytekitplugins-doltdb` installs exactly these.
"""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINS = Path(__file__).parent.parent / "constraints" / "tested.txt"
OURS = "flytekitplugins-doltdb"
EXTRAS = ("", "polars", "sqlalchemy", "docs", "dev")


def required(distribution: str, extras: tuple[str, ...] = ("",)) -> list[Requirement]:
    """Return what a distribution needs on this machine."""
    needed = [Requirement(line) for line in metadata.requires(distribution) or []]
    return [
        need
        for need in needed
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def closure() -> dict[str, str]:
    """Return name and version of everything that this package and its extras bring along."""
    found: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = required(OURS, EXTRAS)
    while waiting:
        need = waiting.pop()
        name, extras = canonicalize_name(need.name), ("", *sorted(need.extras))
        if (name, extras) not in seen:
            seen.add((name, extras))
            found[name] = metadata.version(name)
            waiting += required(name, extras)
    return found


def write() -> None:
    """Write the pins of this environment."""
    head = f"# Made by tools/tested.py: what the tests ran with, on Python {platform.python_version()}; do not edit.\n"
    PINS.write_text(head + "".join(f"{name}=={version}\n" for name, version in sorted(closure().items())))


def missing() -> list[str]:
    """Return what setup.py names and the pins lack, or have outside its bounds."""
    pins = dict(line.split("==") for line in PINS.read_text().splitlines() if not line.startswith("#"))
    return [
        str(need)
        for need in required(OURS, EXTRAS)
        if not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"))
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(f"constraints/tested.txt lacks {', '.join(missing())}: run python tools/tested.py" if missing() else 0)
    write()
