package native

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb"
	"github.com/dolthub/dolt/go/libraries/doltcore/schema"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dsess"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
)

// How many stretches are compared beside each other, and wait to be written; rows that are added at once, which is one
// where a row has values of whatever size.
const (
	compareBeside = 2
	compareAhead  = 4
	spanRows      = 1 << 10
	usualText     = 16 // bytes
)

// The names of kinds of changes, as dolt_diff() has them.
var kindNames = [...]string{tree.AddedDiff: "added", tree.ModifiedDiff: "modified", tree.RemovedDiff: "removed"}

// diffTable is flyte_diff(from, to, table, kinds, sides, most, file): it compares a keyed table of two commits, writes the rows
// that differ, in the order of the key, to a new file inside the folder of secure_file_priv, and answers how many were
// added, modified and removed, and how many rows there were and are in all. A row has its kind, all columns as they are, and, with the sides
// "both" instead of "after", all as they were.
//
// Only rows of these kinds (names between commas) are written, and no more than most of them; below 0 is all. All are
// counted. On an error there is no file.
func diffTable(_ *sql.Context, from, to, name, kinds, sides string, most int64, path string) (sql.RowIter, error) {
	return &rowWhenAsked{work: func(ctx *sql.Context) (sql.Row, error) {
		if sides != "both" && sides != "after" {
			return nil, useSQL("there are no sides %q", sides)
		}
		d, err := newDiffer(ctx, from, to, name, sides == "both")
		if err != nil {
			return nil, err
		}
		for kind, name := range kindNames {
			d.kinds[kind] = slices.Contains(strings.Split(kinds, ","), name)
		}
		d.most = most
		if err := writeRowsFile(path, d.fileColumns(), d.write); err != nil {
			return nil, err
		}
		return d.answer()
	}}, nil
}

func (d *differ) answer() (sql.Row, error) {
	before, err := d.from.Count()
	if err != nil {
		return nil, err
	}
	after, err := d.to.Count()
	changed := d.counts
	return sql.Row{
		changed[tree.AddedDiff], changed[tree.ModifiedDiff], changed[tree.RemovedDiff], int64(before), int64(after),
	}, err
}

// differ gathers the rows that differ in batches and writes them.
type differ struct {
	exporter
	from, to prolly.Map
	width    int // how many columns the table has
	kinds    [len(kindNames)]bool
	most     int64
	counts   [len(kindNames)]int64
	was      []val.Tuple // of the rows that are added, beside the keys and values of them
}

func newDiffer(ctx *sql.Context, from, to, name string, asTheyWere bool) (*differ, error) {
	if err := mayDo(ctx, name, sql.PrivilegeType_Select); err != nil {
		return nil, err
	}
	if err := refuseOverride(ctx); err != nil {
		return nil, err
	}
	oldSchema, oldRows, err := rowsAt(ctx, from, name)
	if err != nil {
		return nil, err
	}
	newSchema, newRows, err := rowsAt(ctx, to, name)
	if err != nil {
		return nil, err
	}
	if !sameShape(oldSchema, newSchema, oldRows, newRows) {
		return nil, useSQL("table %q has another schema", name)
	}
	key, value := newRows.Descriptors()
	columns, err := exportColumns(newSchema, key, value)
	if err != nil {
		return nil, err
	}
	nodes := &passing{NodeStore: newRows.NodeStore()}
	d := &differ{
		exporter: exporter{ctx: ctx, nodes: nodes, columns: diffColumns(columns, asTheyWere)},
		from:     through(nodes, oldRows), to: through(nodes, newRows), width: len(columns),
	}
	for c := range columns {
		d.byRow = d.byRow || columns[c].liesElsewhere()
	}
	d.makeSinks()
	return d, nil
}

// rowsAt finds a table with a key in a commit of the session's database.
func rowsAt(ctx *sql.Context, revision, name string) (schema.Schema, prolly.Map, error) {
	session := dsess.DSessFromSess(ctx.Session)
	root, _, _, err := session.ResolveRootForRef(ctx, ctx.GetCurrentDatabase(), revision)
	if err != nil {
		return nil, prolly.Map{}, err
	}
	table, _, found, err := doltdb.GetTableInsensitive(ctx, root, doltdb.TableName{Name: name})
	if err != nil {
		return nil, prolly.Map{}, err
	}
	if !found {
		return nil, prolly.Map{}, useSQL("%q is no stored table at %s", name, revision)
	}
	sch, rows, err := storedRows(ctx, table)
	if err == nil && schema.IsKeyless(sch) {
		err = useSQL("%q has no key", name)
	}
	return sch, rows, err
}

// sameShape says whether rows of two tables have the same columns, stored in the same way.
func sameShape(a, b schema.Schema, rowsOfA, rowsOfB prolly.Map) bool {
	same := slices.EqualFunc(a.GetAllCols().GetColumns(), b.GetAllCols().GetColumns(), func(x, y schema.Column) bool {
		return x.Name == y.Name && x.Tag == y.Tag && x.IsPartOfPK == y.IsPartOfPK && x.TypeInfo.Equals(y.TypeInfo)
	})
	return same && slices.Equal(a.GetPkOrdinals(), b.GetPkOrdinals()) && a.GetCollation() == b.GetCollation() &&
		rowsOfA.KeyDesc().Equals(rowsOfB.KeyDesc()) && rowsOfA.ValDesc().Equals(rowsOfB.ValDesc())
}

// diffColumns lists the columns of the file: the kind, and those of the table as dolt_diff() names them.
func diffColumns(columns []exportColumn, asTheyWere bool) []exportColumn {
	found := []exportColumn{{fileColumn: fileColumn{Name: "diff_type", Type: "string"}}}
	sides := []string{"to_"}
	if asTheyWere {
		sides = append(sides, "from_")
	}
	for _, side := range sides {
		for _, column := range columns {
			column.Name = side + column.Name
			found = append(found, column)
		}
	}
	return found
}

// compared is a stretch of keys and what differs in it, once it was compared.
type compared struct {
	stretch
	found []tree.Diff
	err   error
	done  chan struct{}
}

// write writes what differs: what is remembered, or what stretches that are compared beside each other give, in their
// order.
func (d *differ) write(out *rowsWriter) error {
	d.out = out
	if found := lately.find(d.from.HashOf(), d.to.HashOf()); found != nil {
		rows := d.unequal(found.rows)
		d.reserve(len(rows))
		if err := d.add(rows); err != nil {
			return err
		}
		return d.flush()
	}
	ctx, stop := context.WithCancel(d.ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	waiting, inOrder := make(chan *compared), make(chan *compared, compareAhead)
	w := &walker{nodes: d.nodes, key: d.to.KeyDesc(), value: d.to.ValDesc(), most: stretchNodes}
	w.each = func(ctx context.Context, part stretch) error { return hand(ctx, part, inOrder, waiting) }
	var walking error
	running.Go(func() {
		defer close(inOrder)
		defer close(waiting)
		defer noPanic(&walking)
		walking = w.walk(ctx, d.from, d.to)
	})
	for range compareBeside {
		running.Go(func() {
			for part := range waiting {
				w.compare(ctx, part)
			}
		})
	}
	for part := range inOrder {
		<-part.done
		if part.err != nil {
			return part.err
		}
		if err := d.add(part.found); err != nil {
			return err
		}
	}
	if walking != nil {
		return walking
	}
	return d.flush()
}

// reserve makes room for so many rows, or a batch of them: columns that grow are copied again and again.
func (d *differ) reserve(rows int) {
	rows = min(rows, batchRows)
	if d.most >= 0 {
		rows = min(rows, int(min(d.most, batchRows)))
	}
	for c := range d.sinks {
		into, size := &d.sinks[c], d.columns[c].bits/8
		if size == 0 {
			into.offsets = slices.Grow(into.offsets, 4*rows)
			size = usualText
		}
		into.data = slices.Grow(into.data, size*rows)
	}
}

// unequal returns the rows of which the values differ as the table has them.
func (d *differ) unequal(rows []tree.Diff) []tree.Diff {
	value := d.to.ValDesc()
	return slices.DeleteFunc(slices.Clone(rows), func(row tree.Diff) bool {
		return row.Type == tree.ModifiedDiff && value.Compare(d.ctx, val.Tuple(row.From), val.Tuple(row.To)) == 0
	})
}

// hand hands a stretch on: to who writes, for the order, and to who compares.
func hand(ctx context.Context, of stretch, inOrder, waiting chan<- *compared) error {
	part := &compared{stretch: of, done: make(chan struct{})}
	for _, to := range []chan<- *compared{waiting, inOrder} {
		select {
		case to <- part:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *walker) compare(ctx context.Context, part *compared) {
	defer close(part.done)
	defer noPanic(&part.err)
	part.found, part.err = w.differences(ctx, part.stretch)
}

// noPanic makes a panic an error: the server looks for one only where it called us, and would end.
func noPanic(err *error) {
	if found := recover(); found != nil {
		*err = fmt.Errorf("flyte: panic: %v", found)
	}
}

// add counts rows that differ, and adds those that are wanted to the batch.
func (d *differ) add(found []tree.Diff) error {
	wanted := found[:0]
	for _, row := range found {
		d.counts[row.Type]++
		if d.most != 0 && d.kinds[row.Type] {
			d.most--
			wanted = append(wanted, row)
		}
	}
	step := spanRows
	if d.byRow {
		step = 1
	}
	for from := 0; from < len(wanted); from += step {
		if err := d.span(wanted[from:min(from+step, len(wanted))]); err != nil {
			return err
		}
	}
	return d.ctx.Err()
}

// span adds rows to the batch, those of one kind behind each other at once, and writes it when it is full.
func (d *differ) span(rows []tree.Diff) error {
	d.rows += len(rows)
	for len(rows) > 0 {
		kind, end := rows[0].Type, 1
		for end < len(rows) && rows[end].Type == kind {
			end++
		}
		if err := d.addAll(kind, rows[:end]); err != nil {
			return err
		}
		rows = rows[end:]
	}
	size := 0
	for c := range d.sinks {
		size += len(d.sinks[c].data)
	}
	if d.rows >= batchRows || size >= batchBytes {
		return d.flush()
	}
	return nil
}

// addAll adds rows of one kind to the batch, a column after the other.
func (d *differ) addAll(kind tree.DiffType, rows []tree.Diff) error {
	keys, was, is := d.keys[:0], d.was[:0], d.values[:0]
	for i := range rows {
		d.sinks[0].data = append(d.sinks[0].data, kindNames[kind]...)
		d.sinks[0].filled(0)
		keys, was, is = append(keys, val.Tuple(rows[i].Key)), append(was, val.Tuple(rows[i].From)), append(is, val.Tuple(rows[i].To))
	}
	d.keys, d.was, d.values = keys, was, is
	for c := 1; c < len(d.columns); c++ {
		column, values, absent := &d.columns[c], was, tree.AddedDiff
		if c <= d.width {
			values, absent = is, tree.RemovedDiff
		}
		if column.inKey {
			values = keys
		}
		if err := d.fillOrNull(c, kind == absent, values); err != nil {
			return err
		}
	}
	return nil
}

// fillOrNull adds the values of a column as it is or was, which there are none of where rows were removed or added.
func (d *differ) fillOrNull(c int, absent bool, of []val.Tuple) error {
	if !absent {
		return d.putAll(&d.sinks[c], &d.columns[c], of)
	}
	for range of {
		d.sinks[c].null(d.columns[c].bits)
	}
	return nil
}
