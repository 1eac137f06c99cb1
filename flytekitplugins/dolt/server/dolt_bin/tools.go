//go:build tools

// Package tools pins the one program that builder.py builds, so that `go mod tidy` keeps its requirements.
package tools

import _ "github.com/dolthub/dolt/go/cmd/dolt"
