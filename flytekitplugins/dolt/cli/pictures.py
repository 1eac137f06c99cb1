"""The options that draw a lineage: as SVG, Mermaid or DOT, into a file or onto standard output."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...doltdb.redaction import masked, visible
from ..errors import InvalidConfig
from .answers import Answer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ..history.lineages import Lineage

_FORMATS = {
    "svg": "draw it as SVG into this file, for any browser; - prints that instead of the text",
    "mermaid": "the same as a flowchart in the text of Mermaid, which GitHub draws",
    "dot": "the same in the language of Graphviz",
}
_PRINTED = "-"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add an option for each format."""
    for name, words in _FORMATS.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=words)


def drawn(found: Lineage, chosen: argparse.Namespace) -> Answer | None:
    """Write the pictures that were asked for; return what is printed instead of the lineage, if one is.

    Raises:
        InvalidConfig: a file cannot be written, two pictures have one file, or two answers would be printed at once.
    """
    wanted = {name: getattr(chosen, name) for name in _FORMATS if getattr(chosen, name) is not None}
    printed = [name for name, file in wanted.items() if file == _PRINTED]
    _refuse_two_at_once([f"--{name}" for name in printed] + ["--json"] * chosen.json)
    _refuse_one_file_twice({name: file for name, file in wanted.items() if name not in printed})
    texts = {"svg": found.to_svg, "mermaid": found.to_mermaid, "dot": found.to_dot}
    for name, file in wanted.items():
        if name not in printed:
            _write(file, texts[name]())
    return Answer(texts[printed[0]]().rstrip("\n"), None) if printed else None


def _refuse_two_at_once(printed: Sequence[str]) -> None:
    if len(printed) > 1:
        raise InvalidConfig(f"Cannot print {' and '.join(printed)} at once: give a file to all but one.")


def _refuse_one_file_twice(files: Mapping[str, str]) -> None:
    if len(set(map(os.path.abspath, files.values()))) < len(files):
        names = " and ".join(f"--{name}" for name in files)
        raise InvalidConfig(f"Cannot write {names}: they name one file twice. Give each a file of its own.")


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidConfig(
            f"Cannot write the picture to {visible(masked(file), lines=False)!r}: {why}. Name a file in a folder that "
            "exists and that you may write to."
        ) from error
