#!/usr/bin/env bash
# Checks the Go package: gofmt, go vet and its tests, with the settings of the build (builder.py), so that what that compiled is used again.
set -euo pipefail
cd "$(dirname "$0")/../flytekitplugins/dolt/native"

export CC="${CC:-cc}" GOTOOLCHAIN=local GOWORK=off GOFLAGS="-mod=readonly -tags=gms_pure_go -trimpath -buildvcs=false"
unformatted=$(gofmt -l .)
[[ -z $unformatted ]] || { printf 'not as gofmt has it: %s\n' "$unformatted" >&2; exit 1; }
go vet .
go test .
