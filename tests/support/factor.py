"""How many times as many rounds the tests with random moments do: 1 in CI, more at night (`make nightly`)."""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("FLYTE_DOLT_TEST_FACTOR", "1"))
SEED = int(os.environ.get("FLYTE_DOLT_TEST_SEED", "20240507"))
"""Where the random moments come from; a failing round prints its own."""
