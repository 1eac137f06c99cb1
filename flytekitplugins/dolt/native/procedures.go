// Package native adds procedures to Dolt's SQL server by which whole tables and results travel as files of rows.
//
// It is built into one program with Dolt's own command line; see builder.py. A case that the SQL engine has to do is
// refused with an error that starts with "flyte: use SQL: ", and nothing is changed then.
package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dprocedures"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// rowsVersion is what flyte_rows_version() answers. It changes with the procedures and with the format of files.
const rowsVersion = 1

func init() {
	dprocedures.DoltProcedures = append(dprocedures.DoltProcedures,
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_rows_version", Schema: int64Schema("version"), Function: answerVersion, ReadOnly: true,
		},
	)
}

func int64Schema(name string) sql.Schema {
	return sql.Schema{{Name: name, Type: types.Int64}}
}

func oneInt64(value int64) sql.RowIter {
	return sql.RowsToRowIter(sql.Row{value})
}

func answerVersion(_ *sql.Context) (sql.RowIter, error) {
	return oneInt64(rowsVersion), nil
}

// filesFolder opens the folder of secure_file_priv, outside of which no file is opened, by whatever links or "..", and
// returns the name that a path inside it has there.
func filesFolder(path string) (*os.Root, string, error) {
	_, value, _ := sql.SystemVariables.GetGlobal("secure_file_priv")
	folder, _ := value.(string)
	if folder == "" {
		return nil, "", errors.New("flyte: secure_file_priv names no folder")
	}
	name, err := filepath.Rel(folder, path)
	if err != nil || !filepath.IsAbs(path) || !filepath.IsLocal(name) || name == "." {
		return nil, "", fmt.Errorf("flyte: %q is not inside the folder of secure_file_priv, %q", path, folder)
	}
	root, err := os.OpenRoot(folder)
	return root, name, err
}

// createFile makes a new file inside the folder of secure_file_priv; one that is there already is left alone.
func createFile(path string) (*os.File, error) {
	root, name, err := filesFolder(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// openFile opens a plain file inside the folder of secure_file_priv for reading, and returns its size.
func openFile(path string) (*os.File, int64, error) {
	root, name, err := filesFolder(path)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	looked, err := root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !looked.Mode().IsRegular() { // before it is opened, which waits on a FIFO
		return nil, 0, fmt.Errorf("flyte: %q is no plain file", path)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	found, err := file.Stat()
	if err == nil && !os.SameFile(looked, found) {
		err = fmt.Errorf("flyte: %q was exchanged while it was opened", path)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, found.Size(), nil
}
