#!/usr/bin/env bash
# Makes .venv with this package, its development tools and a dolt that fits. What is there already is left as it is, so
# a second run costs no time. Every step says what it does, every failure what is missing.
set -euo pipefail
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

# watched WORDS COMMAND...: run the command quietly, tell every 10 seconds that it goes on, show its last words if it fails
watched() {
    local words=$1 log pid code=0 begin=$SECONDS next
    shift
    log=$(mktemp)
    say "$words"
    "$@" >"$log" 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null; rm -f "$log"' EXIT
    next=$((SECONDS + 10))
    while kill -0 $pid 2>/dev/null; do
        if ((SECONDS >= next)); then
            say "$words ($((SECONDS - begin)) s)"
            next=$((next + 10))
        fi
        sleep 0.2
    done
    wait $pid || code=$?
    if ((code != 0)); then
        tail -n 25 "$log" >&2
        if grep -qiE 'name resolution|NewConnectionError|unreachable|No matching distribution' "$log"; then
            say "pip could not fetch a package: this step needs the network, or a mirror in pip's configuration."
        fi
        fail "$words: failed with status $code."
    fi
    trap - EXIT
    rm -f "$log"
}

make_venv() {
    "$python" -c '' 2>/dev/null && return
    local base
    base=$(find_python)
    say "making $venv with $base ($("$base" -V))"
    rm -rf "$venv"
    "$base" -m venv "$venv"
}

install_packages() {
    local stamp="$venv/packages-installed"
    [[ $stamp -nt setup.py && $stamp -nt pyproject.toml ]] && return
    watched "installing this package and its development tools; a first time takes one or two minutes" \
        "$python" -m pip install --disable-pip-version-check --progress-bar off --no-compile --editable '.[polars,sqlalchemy,docs,dev]'
    touch "$stamp"
}

get_dolt() {
    local stamp="$venv/dolt-path"
    [[ -s $stamp && -x $(<"$stamp") ]] && return
    "$python" -W ignore -m flytekitplugins.dolt install >&2
    "$python" -W ignore -c 'from flytekitplugins.dolt.server import binary; print(binary.find())' >"$stamp.new"
    mv "$stamp.new" "$stamp"
}

make_venv
install_packages
get_dolt
