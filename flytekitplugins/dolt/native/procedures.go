// Package native adds procedures to Dolt's SQL server by which whole tables and results travel as files of rows.
//
// It is built into one program with Dolt's own command line; see builder.py. A case that the SQL engine has to do is
// refused with an error that starts with "flyte: use SQL: ", and nothing is changed then.
package native

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dprocedures"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// rowsVersion is what flyte_rows_version() answers. It changes with the procedures and with the format of files.
const rowsVersion = 4

func init() {
	dprocedures.DoltProcedures = append(dprocedures.DoltProcedures,
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_rows_version", Schema: int64Schema("version"), Function: answerVersion, ReadOnly: true,
		},
		// AdminOnly: a right to execute just this procedure is needed, one for all of a database is not enough.
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_export", Schema: int64Schema("rows"), Function: exportTable, ReadOnly: true, AdminOnly: true,
		},
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_query", Schema: int64Schema("rows"), Function: queryTable, ReadOnly: true, AdminOnly: true,
		},
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_diff", Schema: int64Schema("added", "modified", "removed", "before", "after"), Function: diffTable,
			ReadOnly: true, AdminOnly: true,
		},
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_import", Schema: int64Schema("rows"), Function: importRows, AdminOnly: true,
		},
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_commit_rows", Schema: commitRowsSchema, Function: commitRows, AdminOnly: true,
		},
		sql.ExternalStoredProcedureDetails{
			Name: "flyte_fast_forward", Schema: fastForwardSchema, Function: fastForward, AdminOnly: true,
		},
	)
}

func int64Schema(names ...string) sql.Schema {
	var found sql.Schema
	for _, name := range names {
		found = append(found, &sql.Column{Name: name, Type: types.Int64})
	}
	return found
}

// whenAsked answers the number that a procedure's work gives.
func whenAsked(count func(*sql.Context) (int64, error)) (sql.RowIter, error) {
	return &rowWhenAsked{work: func(ctx *sql.Context) (sql.Row, error) {
		found, err := count(ctx)
		return sql.Row{found}, err
	}}, nil
}

// rowWhenAsked does its work when its one row is asked for: it is not before that the server looks whether the client
// is still there, and cancels the context when it is not.
type rowWhenAsked struct {
	work func(*sql.Context) (sql.Row, error)
	done bool
}

func (i *rowWhenAsked) Next(ctx *sql.Context) (sql.Row, error) {
	if i.done {
		return nil, io.EOF
	}
	i.done = true
	return i.work(ctx)
}

func (i *rowWhenAsked) Close(*sql.Context) error {
	return nil
}

func answerVersion(_ *sql.Context) (sql.RowIter, error) {
	return sql.RowsToRowIter(sql.Row{int64(rowsVersion)}), nil
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

// writeRowsFile makes a new file inside the folder of secure_file_priv, whose rows are written by write; one that is
// there already is left alone. On an error, or a panic, none is left behind.
func writeRowsFile(path string, columns []fileColumn, write func(*rowsWriter) error) (err error) {
	root, name, err := filesFolder(path)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if closing := file.Close(); err == nil {
			err = closing
		}
		if !done || err != nil {
			_ = root.Remove(name)
		}
	}()
	buffered := bufio.NewWriterSize(file, 1<<16) // what is longer goes past it
	rows, err := newRowsWriter(buffered, columns)
	if err == nil {
		err = write(rows)
	}
	if err == nil {
		err = rows.close()
	}
	if err == nil {
		err = buffered.Flush()
	}
	done = true
	return err
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
