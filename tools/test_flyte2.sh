#!/usr/bin/env bash
# Tests the border to Flyte 2 in environments of its own, which are made where they are missing:
#   .venv-flyte2         Flyte 2 without flytekit, which this package would bring along
#   .venv-flyte2-both    Flyte 2 beside flytekit, and what runs programs for flytekit on Flyte 2
#   .venv-flyte2-313     what pip installs on Python 3.13, where that is on this machine
#   .venv-flyte2-oldest  the oldest versions that setup.py allows, without flytekit
# test_flyte2.sh [alone|both|newest|oldest [PYTEST ARGUMENTS]]: all of them, or one, with its tests or those that are named.
set -euo pipefail
cd "$(dirname "$0")/.."

base=$(.venv/bin/python -c 'import sys; print(sys._base_executable)')
tests=(pytest pytest-timeout hypothesis coverage)

find_python_3_13() {
    local python
    for python in python3.13 "$(dirname "$base")"/../../3.13.*/bin/python3.13; do # pyenv has its versions side by side
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
}

# made VENV PYTHON ARGUMENTS...: whether there is an environment that is newer than what it is made from; else begin one
made() {
    [[ -x $1/bin/python ]] || "$2" -m venv "$1"
    [[ $1/packages-installed -nt setup.py && $1/packages-installed -nt tools/test_flyte2.sh ]]
}

without_flytekit() { # VENV ARGUMENTS...: what setup.py names but flytekit and doltcli, and then this package by itself
    local venv=$1
    shift
    made "$venv" "$base" && return
    local needed
    mapfile -t needed < <(.venv/bin/python - <<'PYTHON'
from importlib import metadata
from packaging.requirements import Requirement
for line in metadata.requires("flytekitplugins-doltdb"):
    need = Requirement(line)
    extra = next((e for e in ("", "flyte2", "polars") if need.marker is None or need.marker.evaluate({"extra": e})), None)
    if extra is not None and need.name not in ("flytekit", "doltcli"):
        print(f"{need.name}{need.specifier}")
PYTHON
    )
    tools/install.sh "$venv/bin/python" "$@" "${needed[@]}" "${tests[@]}"
    tools/install.sh "$venv/bin/python" --no-deps --editable .
    touch "$venv/packages-installed"
}

both() {
    made .venv-flyte2-both "$base" && return
    tools/install.sh .venv-flyte2-both/bin/python --editable '.[flyte2,polars]' flyte-migrate "${tests[@]}"
    touch .venv-flyte2-both/packages-installed
}

newest() {
    made .venv-flyte2-313 "$1" && return
    .venv-flyte2-313/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
        --editable '.[flyte2,polars]' "${tests[@]}"
    touch .venv-flyte2-313/packages-installed
}

say() { # which Python and packages the tests are run with
    "$1/bin/python" -c 'import sys; print(f"flyte2: Python {sys.version.split()[0]} in", sys.prefix)' >&2
}

# pytest is called by its path: run by -m, it would be a part of the tasks' names
case ${1:-} in
    alone)
        without_flytekit .venv-flyte2
        say .venv-flyte2
        shift
        (($# > 0)) || set -- tests/flyte2
        [[ -z ${FLYTE2_COUNTED:-} ]] || exec .venv-flyte2/bin/coverage run .venv-flyte2/bin/pytest -q "$@"
        exec .venv-flyte2/bin/pytest -q "$@"
        ;;
    both)
        both
        say .venv-flyte2-both
        shift
        (($# > 0)) || set -- tests/flyte2/test_flyte2_{import,beside,migrate}.py
        exec .venv-flyte2-both/bin/pytest -q "$@"
        ;;
    newest)
        python=$(find_python_3_13)
        if [[ -z $python ]]; then
            echo 'flyte2: no Python 3.13 on this machine, so it is not tried.' >&2
            exit 5 # as pytest, where nothing was chosen
        fi
        newest "$python"
        say .venv-flyte2-313
        shift
        (($# > 0)) || set -- -m 'not slow' tests/flyte2
        exec .venv-flyte2-313/bin/pytest -q "$@"
        ;;
    oldest)
        without_flytekit .venv-flyte2-oldest --constraint constraints/oldest.txt
        say .venv-flyte2-oldest
        shift
        (($# > 0)) || set -- -m 'not slow' tests/flyte2
        exec .venv-flyte2-oldest/bin/pytest -q "$@"
        ;;
    *)
        status=0
        for each in alone both newest oldest; do
            "$0" "$each" || status=$(($? == 5 ? status : 1))
        done
        exit $status
        ;;
esac
