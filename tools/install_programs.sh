#!/usr/bin/env bash
# Makes sure that the programs are on this machine which tests start beside Dolt: MariaDB and PostgreSQL (each test run
# has servers of its own, on private ports and folders) and a browser that shows a deck as a person sees it.
set -euo pipefail

say() { printf 'programs: %s\n' "$*" >&2; }

PATH="$PATH:/usr/sbin"
missing=()
command -v mariadbd >/dev/null || missing+=(mariadb-server)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
command -v chromium >/dev/null || missing+=(chromium)
((${#missing[@]})) || exit 0
if ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]} (Debian's names), and apt-get too. Install them with this system's package manager."
    exit 1
fi
if [[ $(id -u) -ne 0 ]]; then
    say "missing: ${missing[*]}. Run once: sudo apt-get install ${missing[*]}"
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "installing Debian's ${missing[*]}; a minute or two"
# Their own services are not wanted: a policy that forbids to start any lasts for this installation only.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$log" "$policy"' EXIT
fi
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 25 "$log" >&2
    say "apt-get failed; its last words are above. It needs the network and Debian's package lists."
    exit 1
fi
say "installed ${missing[*]}"
