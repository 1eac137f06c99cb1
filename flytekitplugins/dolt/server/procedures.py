"""The procedures that our Go package, `native/`, adds to Dolt's server: which version is known, and who has them.

``FLYTE_DOLT_NATIVE=0`` in the environment leaves them alone, so that all rows go by SQL.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import DoltError
from . import binary, builder

SWITCH = "FLYTE_DOLT_NATIVE"
VERSION = 4
"""The version of the procedures, and of the format of their files, that is known here."""
ASKS_VERSION = "CALL flyte_rows_version()"
THAT_READ = ("flyte_export", "flyte_query", "flyte_diff")
"""Those that only read: rows of a table, of a query, or that differ, as a file."""
THAT_CHANGE_NO_BRANCH = ("flyte_rows_version", "flyte_commit_rows")
"""Others after which all that anybody sees is as before."""


def unknown(version: int | None) -> str | None:
    """Say why rows go by SQL where the procedures have this version, None where there are none; else None."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH} is 0"
    if version is None:
        return "this dolt has none of our procedures"
    return None if version == VERSION else f"the procedures have version {version}, and {VERSION} is known"


def version_of_program() -> int | None:
    """Return the version of the procedures in the `dolt` that `binary.find` finds; None where it has none.

    It is started for that, which takes 0.2 s.
    """
    with builder.private_root() as env, tempfile.TemporaryDirectory() as empty:
        try:
            said = binary.run(["sql", "-q", ASKS_VERSION, "-r", "csv"], cwd=Path(empty), env=env)
        except DoltError:
            return None
    answer = said.split()[-1:]
    return int(answer[0]) if answer and answer[0].isdigit() else None
