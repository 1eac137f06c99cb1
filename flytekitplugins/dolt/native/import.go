package native

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/dolthub/dolt/go/libraries/doltcore/branch_control"
	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb"
	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb/durable"
	"github.com/dolthub/dolt/go/libraries/doltcore/schema"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dsess"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/go-mysql-server/sql"
)

// importRows is flyte_import(table, file, mode): it puts the rows of a rows file into a table, or takes those with its
// keys out of it, in the session's transaction, and commits nothing. The mode is one of:
//
//   - "replace": the rows of the file are all that the table has then;
//   - "append": they are added, and none may have the key of another;
//   - "upsert": they are added, or take the place of those with their keys;
//   - "delete": the rows with the keys go; the file has the columns of the key and no others.
//
// A table without a primary key has the first two, and its rows may be there more than once.
//
// The answer is how many rows the file has, or how many were deleted.
//
// What is stored is byte for byte what the same rows would be by SQL, for which the rows that the engine would refuse,
// or would not store just as they are, are refused with "use SQL": keys that are there twice, by the collation of the
// key, NULL where it may not be, what is too long or out of range, a broken unique index. So the engine says what is
// wrong, and nothing was changed before.
func importRows(_ *sql.Context, name, path, mode string) (sql.RowIter, error) {
	return whenAsked(func(ctx *sql.Context) (int64, error) { return readRows(ctx, name, path, mode) })
}

func readRows(ctx *sql.Context, name, path, mode string) (int64, error) {
	if err := branch_control.CheckAccess(ctx, branch_control.Permissions_Write); err != nil {
		return 0, err
	}
	if err := mayDo(ctx, name, sql.PrivilegeType_Insert, sql.PrivilegeType_Update, sql.PrivilegeType_Delete); err != nil {
		return 0, err
	}
	session, database := dsess.DSessFromSess(ctx.Session), ctx.GetCurrentDatabase()
	target, err := importTarget(ctx, session, name)
	if err != nil {
		return 0, err
	}
	changed, answer, err := target.change(ctx, path, mode)
	if err != nil {
		return 0, err
	}
	root, err := target.root.PutTable(ctx, target.name, changed)
	if err != nil {
		return 0, err
	}
	return answer, session.SetWorkingRoot(ctx, database, root)
}

// target is a table of the session's working root.
type target struct {
	root  doltdb.RootValue
	name  doltdb.TableName
	table *doltdb.Table
	sch   schema.Schema
}

// importTarget finds a table for writing, and refuses it where more is to be done at a change of its rows than storing
// them and their indexes.
func importTarget(ctx *sql.Context, session *dsess.DoltSession, name string) (*target, error) {
	seen, err := storedTable(ctx, name) // as SQL finds it
	if err != nil {
		return nil, err
	}
	roots, ok := session.GetRoots(ctx, ctx.GetCurrentDatabase())
	if !ok {
		return nil, sql.ErrDatabaseNotFound.New(ctx.GetCurrentDatabase())
	}
	t := &target{root: roots.Working}
	t.table, t.name.Name, ok, err = doltdb.GetTableInsensitive(ctx, t.root, doltdb.TableName{Name: name})
	if err != nil {
		return nil, err
	}
	if !ok || doltdb.HasDoltPrefix(name) {
		return nil, useSQL("%q is no table of the working set", name)
	}
	if same, err := sameTable(seen, t.table); err != nil || !same {
		return nil, errors.Join(err, useSQL("%q is another table here", name))
	}
	if t.sch, err = t.table.GetSchema(ctx); err != nil {
		return nil, err
	}
	if err := refuseSchema(t.sch); err != nil {
		return nil, err
	}
	return t, t.refuseOthersRules(ctx, session)
}

func sameTable(one, other *doltdb.Table) (bool, error) {
	first, err := one.HashOf()
	if err != nil {
		return false, err
	}
	second, err := other.HashOf()
	return first == second, err
}

// refuseSchema refuses tables with values or rules that the engine works out.
func refuseSchema(sch schema.Schema) error {
	if sch.Checks() != nil && sch.Checks().Count() > 0 {
		return useSQL("the table has CHECK constraints")
	}
	if schema.HasAutoIncrement(sch) {
		return useSQL("the table has AUTO_INCREMENT")
	}
	for _, column := range sch.GetAllCols().GetColumns() {
		if column.Virtual || column.Generated != "" {
			return useSQL("column %q is generated", column.Name)
		}
		if column.OnUpdate != "" {
			return useSQL("column %q has ON UPDATE", column.Name)
		}
	}
	for _, index := range sch.Indexes().AllIndexes() {
		if index.IsSpatial() || index.IsFullText() || index.IsVector() || len(index.PrefixLengths()) > 0 {
			return useSQL("index %q is not one of whole columns", index.Name())
		}
		if index.IsUnique() && schema.IsKeyless(sch) {
			return useSQL("index %q is unique, and the table has no primary key", index.Name())
		}
	}
	return nil
}

// refuseOthersRules refuses a table about whose rows other parts of the database have a say: foreign keys either way,
// and triggers.
func (t *target) refuseOthersRules(ctx *sql.Context, session *dsess.DoltSession) error {
	keys, err := t.root.GetForeignKeyCollection(ctx)
	if err != nil {
		return err
	}
	if declared, referenced := keys.KeysForTable(t.name); len(declared)+len(referenced) > 0 {
		return useSQL("the table has foreign keys")
	}
	database, err := session.Provider().Database(ctx, ctx.GetCurrentDatabase())
	if err != nil {
		return err
	}
	withTriggers, ok := database.(sql.TriggerDatabase)
	if !ok {
		return useSQL("it is not known which triggers there are")
	}
	triggers, err := withTriggers.GetTriggers(ctx)
	if err == nil && len(triggers) > 0 {
		return useSQL("the database has triggers")
	}
	return err
}

// change returns the table as it is after an import, and what is answered.
func (t *target) change(ctx *sql.Context, path, mode string) (*doltdb.Table, int64, error) {
	switch mode {
	case "replace", "append", "upsert", "delete":
	default:
		return nil, 0, useSQL("there is no mode %q", mode)
	}
	keyless := schema.IsKeyless(t.sch)
	if keyless && (mode == "upsert" || mode == "delete") {
		return nil, 0, useSQL("the table has no primary key")
	}
	file, size, err := openFile(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	old, err := t.rows(ctx)
	if err != nil {
		return nil, 0, err
	}
	before, err := old.Count()
	if err != nil {
		return nil, 0, err
	}
	if mode == "replace" || before == 0 {
		if old, err = prolly.NewMapFromTuples(ctx, old.NodeStore(), old.KeyDesc(), old.ValDesc()); err != nil {
			return nil, 0, err
		}
		before = 0
	}
	in := &input{file: file, size: size, sch: t.sch, deletes: mode == "delete"}
	changed, given, err := in.applyTo(ctx, old, mode == "upsert")
	if err != nil {
		return nil, 0, err
	}
	after, err := changed.Count()
	if err != nil {
		return nil, 0, err
	}
	if mode == "append" && !keyless && int64(after) != int64(before)+given {
		return nil, 0, useSQL("a row has the key of another")
	}
	if mode == "delete" {
		given = int64(before - after)
	}
	table, err := t.withRows(ctx, old, changed)
	return table, given, err
}

func (t *target) rows(ctx *sql.Context) (prolly.Map, error) {
	index, err := t.table.GetRowData(ctx)
	if err != nil {
		return prolly.Map{}, err
	}
	rows, err := durable.ProllyMapFromIndex(index)
	if err != nil {
		return prolly.Map{}, err
	}
	return through(&passing{NodeStore: rows.NodeStore()}, rows), nil
}

// withRows returns the table with other rows, and its indexes with them. Where old is empty they are built anew.
func (t *target) withRows(ctx *sql.Context, old, changed prolly.Map) (*doltdb.Table, error) {
	table, err := t.table.UpdateRows(ctx, durable.IndexFromProllyMap(changed))
	if err != nil {
		return nil, err
	}
	for _, definition := range t.sch.Indexes().AllIndexes() {
		index := &secondaryIndex{table: t.table, name: t.name.Name, sch: t.sch, definition: definition}
		built, err := index.follow(ctx, old, changed)
		if err != nil {
			return nil, err
		}
		if table, err = table.SetIndexRows(ctx, definition.Name(), durable.IndexFromProllyMap(built)); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// input is the rows file of an import.
type input struct {
	file    *os.File
	size    int64
	sch     schema.Schema
	deletes bool
}

// applyTo returns a map with the changes of the file, and how many rows that has. Rows that come by ascending key go
// straight into the map; others are sorted first, for which the file is read again. With sameBytes a key that equals one
// of the map has to have the same bytes.
func (in *input) applyTo(ctx *sql.Context, old prolly.Map, sameBytes bool) (prolly.Map, int64, error) {
	if schema.IsKeyless(in.sch) {
		return in.addCounted(ctx, old)
	}
	edits := &checkedPairs{order: old.KeyDesc()}
	if sameBytes && keysMayDiffer(in.sch) {
		edits.sameAs = &old
	}
	fresh := old.Node().Count() == 0 && !in.deletes
	changed, given, err := in.applyAscending(ctx, old, *edits, fresh)
	if !errors.Is(err, errUnsorted) {
		return changed, given, err
	}
	sorter := newSorter(ctx, old.KeyDesc(), in.sch.GetPKCols().GetByIndex(0).TypeInfo.ToSqlType())
	defer sorter.close()
	if edits.pairs, err = in.sorted(ctx, old, sorter); err != nil {
		return prolly.Map{}, 0, err
	}
	changed, err = applyNoted(ctx, old, edits, fresh)
	return changed, edits.count, err
}

// applyAscending is applyTo of rows that come by ascending key; others are errUnsorted.
func (in *input) applyAscending(ctx *sql.Context, old prolly.Map, edits checkedPairs, fresh bool) (prolly.Map, int64, error) {
	if fresh && in.size >= halvesBytes {
		return in.inHalves(ctx, old)
	}
	rows, err := in.rows(ctx, old)
	if err != nil {
		return prolly.Map{}, 0, err
	}
	edits.pairs = rows
	changed, err := applyNoted(ctx, old, &edits, fresh)
	return changed, edits.count, err
}

// addCounted is applyTo of a table without a primary key. Its rows have a hash for a key, so they always are sorted.
func (in *input) addCounted(ctx *sql.Context, old prolly.Map) (prolly.Map, int64, error) {
	sorter := newSorter(ctx, old.KeyDesc(), nil)
	defer sorter.close()
	sorted, err := in.sorted(ctx, old, sorter)
	if err != nil {
		return prolly.Map{}, 0, err
	}
	rows := &counted{pairs: sorted, ctx: ctx, old: old}
	edits := &checkedPairs{pairs: rows, order: old.KeyDesc()}
	changed, err := applyEdits(ctx, old, edits, old.Node().Count() == 0)
	return changed, rows.total, err
}

// rows begins to read the file.
func (in *input) rows(ctx *sql.Context, old prolly.Map) (*fileRows, error) {
	whole := io.NewSectionReader(in.file, 0, in.size)
	reader, err := newRowsReader(bufio.NewReaderSize(whole, 1<<20), in.size)
	if err != nil {
		return nil, err
	}
	return newFileRows(ctx, reader, in.sch, old, in.deletes)
}

// total returns how many rows the file says at its end that it has, which is checked when that is reached.
func (in *input) total() (uint64, error) {
	var end [8]byte
	_, err := in.file.ReadAt(end[:], in.size-int64(len(end)))
	return binary.LittleEndian.Uint64(end[:]), err
}

func (in *input) sorted(ctx *sql.Context, old prolly.Map, sorter *sorter) (pairs, error) {
	rows, err := in.rows(ctx, old)
	if err == nil {
		err = sorter.addAll(rows)
	}
	if err != nil {
		return nil, err
	}
	return sorter.sorted()
}

// applyNoted is applyEdits of the rows of a table, which remembers what changed where it is not all.
func applyNoted(ctx *sql.Context, old prolly.Map, edits *checkedPairs, fresh bool) (prolly.Map, error) {
	if fresh {
		return applyEdits(ctx, old, edits, fresh)
	}
	rows := noting(ctx, edits.pairs, old)
	edits.pairs = rows
	changed, err := applyEdits(ctx, old, edits, fresh)
	if err == nil {
		rows.remember(changed)
	}
	return changed, err
}

// applyEdits returns a map with edits. Where it is fresh it is empty, and each edit adds a row.
func applyEdits(ctx *sql.Context, old prolly.Map, edits *checkedPairs, fresh bool) (changed prolly.Map, err error) {
	if fresh {
		changed, err = prolly.NewMapFromTupleIter(ctx, old.NodeStore(), old.KeyDesc(), old.ValDesc(), edits)
	} else {
		changed, err = prolly.MutateMapWithTupleIter(ctx, old, edits)
	}
	if edits.err != nil {
		err = edits.err
	}
	return changed, err
}
