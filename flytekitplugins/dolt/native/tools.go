//go:build tools

package native

// The program that builder.py builds, so that `go mod tidy` keeps its requirements.
import _ "github.com/dolthub/dolt/go/cmd/dolt"
