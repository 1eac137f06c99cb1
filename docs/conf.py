"""How `make docs` builds the pages: the guide is Markdown as GitHub shows it, the reference comes from docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flytekitplugins.doltdb.fields import TITLE

project = "flytekitplugins-doltdb"
author = "the authors of flytekitplugins-doltdb"
copyright = f"{author}, Apache-2.0"  # noqa: A001  # Sphinx's name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "README.md"]  # README.md is the index on GitHub, index.md includes it here
html_theme = "furo"
html_title = project

myst_heading_anchors = 4  # links to headings work as on GitHub
default_role = "py:obj"  # `name` in a docstring is a link where there is such an object

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

_DOCS = Path(__file__).parent
_EXAMPLES = _DOCS.parent / "examples"
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)]*)\)")


def _prepare(_app: object, page: str, source: list[str]) -> None:
    """Put into two pages what GitHub shows elsewhere, and name the files that links lead to outside the pages."""
    if page == "index":
        source[0] = (_DOCS / "README.md").read_text() + source[0]
    if page == "cookbook":
        index = re.sub(r"\[([^\]]+)\]\(\1\)", r"`\1`", (_EXAMPLES / "README.md").read_text())
        index, following, last = index.replace("(../docs/", "(").rpartition("\nNext: ")
        source[0] = index + "".join(map(_listing, sorted(_EXAMPLES.glob("*_example.py")))) + following + last
    source[0] = _OUTSIDE.sub(
        lambda link: link[1] if link[2].rstrip("/") in link[1] else f"{link[1]} (`{link[2]}`)",
        source[0].replace("(../examples/README.md)", "(cookbook.md)"),
    )


def _listing(example: Path) -> str:
    return f"\n## {example.name}\n\n```{{literalinclude}} ../examples/{example.name}\n:language: python\n```\n"


def _without_fields(_app: object, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Leave out of a class's text what it says of its fields, which Sphinx shows by itself."""
    if TITLE in lines:
        del lines[lines.index(TITLE) :]


def setup(app: Any) -> None:
    """Hook into Sphinx."""
    app.connect("autodoc-process-docstring", _without_fields, priority=400)  # before napoleon
    app.connect("source-read", _prepare)
