#!/usr/bin/env bash
# Makes .venv-oldest with the oldest versions that setup.py allows and runs the tests that depend on other packages in
# it: types and dtypes, frames, tasks, values in every shape, queries, the examples of the source document.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-oldest
stamp="$venv/packages-installed"
python="$venv/bin/python"
base=$(.venv/bin/python -c 'import sys; print(sys._base_executable)')

[[ -x $python ]] || "$base" -m venv "$venv"
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] > (3, 12))'; then
    printf 'oldest: the oldest pandas has no wheel for this Python; use 3.10 to 3.12 (make setup PYTHON=...).\n' >&2
    exit 1
fi
if ! [[ $stamp -nt setup.py && $stamp -nt constraints/oldest.txt ]]; then
    tools/install.sh "$python" --constraint constraints/oldest.txt --editable '.[polars,sqlalchemy]' \
        pytest pytest-timeout hypothesis pydantic
    touch "$stamp"
fi
# by its path: in programs run by -m, flytekit takes the module for a part of the tasks' names
exec "$venv/bin/pytest" -q -m "not slow and not serial" tests/package/test_import.py tests/regression \
    tests/unit/test_schema.py tests/unit/test_addresses.py tests/unit/test_values_through_flyte.py \
    tests/unit/test_statements.py \
    tests/dolt/test_types.py tests/dolt/test_frames.py tests/dolt/test_gate.py tests/docs/test_examples.py \
    tests/flyte/test_transformer.py tests/flyte/test_shapes.py tests/flyte/test_shapes_of_frames.py \
    tests/flyte/test_structured.py tests/flyte/test_caching.py
