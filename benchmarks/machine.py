"""What the measurements are made on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pandas as pd
import pyarrow as pa

from flytekitplugins.dolt.server import binary

KIB_IN_GIB = 2**20


def machine() -> str:
    """Return processor, memory and versions in one line."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "unknown CPU")
    memory_kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    dolt = ".".join(map(str, binary.version(binary.find())))
    python = platform.python_version()
    return (
        f"{os.cpu_count()} cores of {cpu}, {memory_kib / KIB_IN_GIB:.0f} GiB; Dolt {dolt}, Python {python}, "
        f"pandas {pd.__version__}, Arrow {pa.__version__}"
    )


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []
