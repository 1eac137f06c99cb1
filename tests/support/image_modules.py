"""Modules of an image: files in a folder that a test makes, imported here as those who start the image import them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def added(folder: Path, name: str, source: str) -> ModuleType:
    """Write ``source`` as the module ``name`` into a folder, made where there is none, and return the module."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
