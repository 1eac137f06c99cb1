#!/usr/bin/env bash
# timed.sh NAME COMMAND...: run the command, then say how it ended and how long it took.
set -uo pipefail
name=$1
shift
printf '\n== %s\n' "$name"
SECONDS=0
"$@"
code=$?
if ((code == 0)); then word=ok; else word="failed with status $code"; fi
printf '== %s: %s in %s s\n' "$name" "$word" "$SECONDS"
exit $code
