"""Starts the supervisor of a private server with its lines counted, when the tests run under `coverage`.

It is run by path, isolated and without site-packages, so it would not be counted by itself; see `conftest`.
"""

import os
import runpy
import sys

SUPERVISOR = "FLYTE_DOLT_TEST_SUPERVISOR"
PACKAGES = "FLYTE_DOLT_TEST_PACKAGES"

if __name__ == "__main__":
    sys.path.append(os.environ[PACKAGES])
    import coverage

    coverage.process_startup()
    runpy.run_path(os.environ[SUPERVISOR], run_name="__main__")
