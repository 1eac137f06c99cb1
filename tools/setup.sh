#!/usr/bin/env bash
# setup.sh [EXTRA...]: makes .venv with this package, these extras of it and a dolt that fits, which is built while the
# packages are installed. What is there already is left as it is, so a second run costs no time. Every step says what it
# does, every failure what is missing.
set -euo pipefail
set -m # what is started is a group of processes, which can be ended whole
cd "$(dirname "$0")/.."

venv=.venv
python="$venv/bin/python"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

fits() { # a Python that runs, is new enough and can make virtual environments with pip
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.12 python3.11 python3.13 python3.10 python3.14 python; do
        if fits "$name"; then command -v "$name"; return; fi
    done
    for name in ${PYTHON:-} python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            fail "$(command -v "$name") lacks the modules venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv."
        fi
    done
    fail "no Python of version 3.10 or newer is on PATH. Install one, or name one: make setup PYTHON=/path/to/python3."
}

make_venv() {
    "$python" -c 'import pip' 2>/dev/null && return # one that was interrupted has none
    local base
    base=$(find_python)
    say "making $venv with $base ($("$base" -V))"
    rm -rf "$venv"
    "$base" -m venv "$venv"
}

# Whether a set of extras that was installed has all of these. Each set has a stamp: packages-installed+docs+dev.
is_installed() {
    local stamp extra
    for stamp in "$venv"/packages-installed*; do
        [[ $stamp -nt setup.py && $stamp -nt pyproject.toml ]] || continue
        for extra in "$@"; do
            [[ ${stamp##*/}+ == *+"$extra"+* ]] || continue 2
        done
        return 0
    done
    return 1
}

install_packages() {
    local extras
    is_installed "$@" && return
    extras=$(IFS=,; echo "$*")
    tools/install.sh "$python" --editable ".${extras:+[$extras]}"
    touch "$venv/packages-installed${extras:+"+${extras//,/+}"}"
}

# Whether the dolt that was found last is there, and nothing has changed since of what is built into it.
dolt_is_known() {
    local sources=(flytekitplugins/dolt/native flytekitplugins/dolt/server/builder.py)
    [[ -s $venv/dolt-path && -x $(<"$venv/dolt-path") ]] &&
        [[ -z $(find "${sources[@]}" -type f -newer "$venv/dolt-path" -name '*.*' -print -quit 2>/dev/null) ]]
}

# The build needs nothing but a Python. Where some dolt is here, whether it fits is for the package to say (get_dolt).
build_dolt() {
    dolt_is_known || [[ -n ${DOLT_BIN:-} || -x $venv/bin/dolt ]] || command -v dolt >/dev/null ||
        exec "$python" flytekitplugins/dolt/server/builder.py >/dev/null
}

get_dolt() {
    dolt_is_known && return
    "$python" -W ignore -m flytekitplugins.dolt install >&2
    "$python" -W ignore -c 'from flytekitplugins.dolt.server import binary; print(binary.find())' >"$venv/dolt-path.new"
    mv "$venv/dolt-path.new" "$venv/dolt-path"
}

make_venv
build_dolt &
build=$!
install_packages "$@" &
packages=$!
trap 'kill -- -$build -$packages 2>/dev/null; wait' EXIT
wait $packages || fail "the packages could not be installed."
wait $build || fail "dolt could not be built."
trap - EXIT
get_dolt
