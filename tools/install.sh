#!/usr/bin/env bash
# install.sh PYTHON ARGUMENTS: `pip install ARGUMENTS` into the environment of PYTHON, by uv where that may do it: it takes
# a seventh of pip's time. uv reads nothing of pip's configuration, so where that says which packages are to be taken, and
# where uv fails, pip does it. The ARGUMENTS are those that both know.
set -euo pipefail
set -m # what is started is a group of processes, which can be ended whole

python=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)

say() { printf 'packages: %s\n' "$*" >&2; }

log=$(mktemp)
scratch=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill -- -$pid 2>/dev/null; rm -rf "$log" "$scratch"' EXIT

# watched WORDS COMMAND...: run the command quietly and tell every 10 seconds that it goes on
watched() {
    local words=$1 code=0 begin=$SECONDS next
    shift
    say "$words"
    "$@" >"$log" 2>&1 &
    pid=$!
    next=$((SECONDS + 10))
    while kill -0 $pid 2>/dev/null; do
        if ((SECONDS >= next)); then
            say "$words ($((SECONDS - begin)) s)"
            next=$((next + 10))
        fi
        sleep 0.2
    done
    wait $pid || code=$?
    pid=
    return $code
}

has_packages() { # whether there may be a package at a place of links; a folder that holds none changes nothing
    local folder=${1#file://}
    [[ ! -d $folder ]] || compgen -G "$folder/*.whl" || compgen -G "$folder/*.tar.gz" || compgen -G "$folder/*.zip"
}

# Print the name of a setting of pip's that says which packages are taken, or from where; nothing if there is none.
pip_is_told() {
    local settings line name value place
    settings=$("$python" -m pip config list 2>/dev/null) || { echo "a file that pip cannot read"; return; }
    while IFS= read -r line; do
        [[ $line =~ ^(global|install|:env:)\.([a-z-]+)=[\'\"](.+)[\'\"]$ ]] || continue
        name=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]}
        case $name in
            index-url | extra-index-url | pypi-url | constraint | build-constraint) ;;
            only-binary | no-binary | proxy | client-cert | uploaded-prior-to) ;;
            no-index | require-hashes | pre) [[ ! $value =~ ^(0|no|off|false|n|f)$ ]] || continue ;;
            find-links)
                for place in ${value//\\n/ }; do
                    if has_packages "$place" >/dev/null; then echo "$name"; return; fi
                done
                continue
                ;;
            *) continue ;;
        esac
        echo "$name"
        return
    done <<<"$settings"
}

uv() {
    local program="$root/.venv/bin/uv"
    if [[ ! -x $program ]]; then # what is made for the quickstart alone has none; it is fetched for this one time
        program="$scratch/bin/uv"
        "$python" -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: --target "$scratch" uv
    fi
    "$program" pip install --python "$python" --system-certs --no-python-downloads --no-progress "$@"
}

by_pip() {
    watched "installing with pip, $1" "$python" -m pip install --disable-pip-version-check --progress-bar off --no-compile "${@:2}"
}

told=$(set -f; pip_is_told)
if [[ -n $told ]]; then
    by_pip "since its configuration has $told; one or two minutes" "$@" && exit
else
    watched "installing with uv" uv "$@" && exit
    tail -n 5 "$log" >&2
    by_pip "since uv failed" "$@" && exit
fi
tail -n 25 "$log" >&2
if grep -qiE 'name resolution|NewConnectionError|unreachable|No matching distribution' "$log"; then
    say "pip could not fetch a package: this step needs the network, or a mirror in pip's configuration."
fi
say "failed."
exit 1
