"""Colours for what people read on a terminal; elsewhere, and where ``NO_COLOR`` is set, there are none.

They are put on lines that are finished and harmless, by what a line begins with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TextIO

YELLOW, GREEN, RED, CYAN = "33", "32", "31", "36"


def wanted(stream: TextIO) -> bool:
    """Whether colours can be seen there, and nobody has said no to them (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def painted(text: str, colours: Mapping[str, str]) -> str:
    """Return text in which what fits a pattern, at the beginning of a line, has its colour."""
    for begins, colour in colours.items():
        text = re.sub(f"^(?:{begins})", rf"\033[{colour}m\g<0>\033[0m", text, flags=re.MULTILINE)
    return text
