#!/usr/bin/env bash
# Makes sure that a MariaDB server is on this machine: the tests of the SQLAlchemy plugin start one of their own.
set -euo pipefail

say() { printf 'mariadb: %s\n' "$*" >&2; }

PATH="$PATH:/usr/sbin"
if command -v mariadbd >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    say "the program mariadbd is missing, and apt-get too. Install MariaDB's server with this system's package manager."
    exit 1
fi
if [[ $(id -u) -ne 0 ]]; then
    say "the program mariadbd is missing. Run once: sudo apt-get install mariadb-server"
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "installing Debian's mariadb-server; a minute or two"
# Its own service is not wanted: a policy that forbids to start services lasts for this installation only.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$log" "$policy"' EXIT
fi
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mariadb-server; } >"$log" 2>&1; then
    tail -n 25 "$log" >&2
    say "apt-get failed; its last words are above. It needs the network and Debian's package lists."
    exit 1
fi
command -v mariadbd >/dev/null || { say "apt-get said it was done, but mariadbd is still missing."; exit 1; }
say "installed $(mariadbd --version)"
