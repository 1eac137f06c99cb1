package native

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb"
	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb/durable"
	"github.com/dolthub/dolt/go/libraries/doltcore/schema"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/index"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
)

// secondaryIndex is an index of whole columns. Its map has a key for each row, of the indexed columns and what the
// primary key has beside them, and no values; also of rows that have NULL there.
//
// Dolt's own function for building an index leaves rows with NULL out of a unique one, where INSERT does not.
type secondaryIndex struct {
	table      *doltdb.Table
	name       string
	sch        schema.Schema
	definition schema.Index
	keys       index.SecondaryKeyBuilder
}

// follow returns the map of the index when the rows of the table change. Where there were none it is built anew.
func (x *secondaryIndex) follow(ctx *sql.Context, old, changed prolly.Map) (prolly.Map, error) {
	fresh := old.Node().Count() == 0
	stored, err := x.start(ctx, changed.NodeStore(), fresh)
	if err != nil {
		return prolly.Map{}, err
	}
	order := stored.KeyDesc()
	x.keys, err = index.NewSecondaryKeyBuilder(ctx, x.name, x.sch, x.definition, order, &arena{}, changed.NodeStore())
	if err != nil {
		return prolly.Map{}, err
	}
	column, _ := x.definition.GetColumn(x.definition.IndexedColumnTags()[0])
	sorter := newSorter(ctx, order, column.TypeInfo.ToSqlType())
	defer sorter.close()
	if fresh {
		err = x.addRows(ctx, changed, sorter)
	} else {
		err = x.addDifferences(ctx, old, changed, sorter)
	}
	if err != nil {
		return prolly.Map{}, err
	}
	sorted, err := sorter.sorted()
	if err != nil {
		return prolly.Map{}, err
	}
	edits := &checkedPairs{pairs: sorted, order: order}
	unique := order.PrefixDesc(x.definition.Count())
	if x.definition.IsUnique() && fresh {
		edits.unique = unique
	}
	built, err := applyEdits(ctx, stored, edits, fresh)
	if err == nil && x.definition.IsUnique() && !fresh {
		err = checkUnique(ctx, stored, built, unique)
	}
	return built, err
}

// start returns the map as it is stored, or an empty one.
func (x *secondaryIndex) start(ctx *sql.Context, ns tree.NodeStore, fresh bool) (prolly.Map, error) {
	stored, err := x.table.GetIndexRowData(ctx, x.definition.Name())
	if fresh {
		stored, err = durable.NewEmptyIndexFromTableSchema(ctx, x.table.ValueReadWriter(), ns, x.definition, x.sch)
	}
	if err != nil {
		return prolly.Map{}, err
	}
	keys, err := durable.ProllyMapFromIndex(stored)
	if err != nil {
		return prolly.Map{}, err
	}
	return through(ns, keys), nil
}

func (x *secondaryIndex) addRows(ctx *sql.Context, rows prolly.Map, into *sorter) error {
	iter, err := rows.IterAll(ctx)
	if err != nil {
		return err
	}
	for {
		key, value, err := iter.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			key, err = x.keys.SecondaryKeyFromRow(ctx, key, value)
		}
		if err == nil {
			err = into.add(key, val.EmptyTuple)
		}
		if err != nil {
			return err
		}
	}
}

// addDifferences adds the keys of rows that are no more, without a value, and those of new ones.
func (x *secondaryIndex) addDifferences(ctx *sql.Context, old, changed prolly.Map, into *sorter) error {
	return eachDifference(ctx, old, changed, func(diff tree.Diff) error {
		var gone, added val.Tuple
		var err error
		if diff.Type != tree.AddedDiff {
			if gone, err = x.keys.SecondaryKeyFromRow(ctx, val.Tuple(diff.Key), val.Tuple(diff.From)); err != nil {
				return err
			}
		}
		if diff.Type != tree.RemovedDiff {
			if added, err = x.keys.SecondaryKeyFromRow(ctx, val.Tuple(diff.Key), val.Tuple(diff.To)); err != nil {
				return err
			}
		}
		if bytes.Equal(gone, added) {
			return nil
		}
		// Of two that are equal for the index, though not in their bytes, the second takes the place of the first.
		if gone != nil && (added == nil || into.desc.Compare(ctx, gone, added) != 0) {
			if err := into.add(gone, nil); err != nil {
				return err
			}
		}
		if added == nil {
			return nil
		}
		return into.add(added, val.EmptyTuple)
	})
}

// eachDifference calls work with each difference of two maps, also of values that a collation takes for equal.
func eachDifference(ctx *sql.Context, old, changed prolly.Map, work func(tree.Diff) error) error {
	err := tree.DiffOrderedTrees(ctx, old.Tuples(), changed.Tuples(), false, func(_ context.Context, diff tree.Diff) error {
		return work(diff)
	})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// checkUnique refuses an index that has a value twice, of the values that it had not before. Equal ones are neighbours.
func checkUnique(ctx *sql.Context, old, changed prolly.Map, unique *val.TupleDesc) error {
	count, err := changed.Count()
	if err != nil {
		return err
	}
	return eachDifference(ctx, old, changed, func(diff tree.Diff) error {
		key := val.Tuple(diff.Key)
		if diff.Type == tree.RemovedDiff || unique.HasNulls(key) {
			return nil
		}
		at, err := changed.GetOrdinalForKey(ctx, key)
		if err != nil {
			return err
		}
		around, err := changed.IterOrdinalRange(ctx, at-min(at, 1), min(at+2, uint64(count)))
		for same := 0; err == nil; {
			var neighbour val.Tuple
			if neighbour, _, err = around.Next(ctx); err == nil && unique.Compare(ctx, neighbour, key) == 0 {
				same++
			}
			if same > 1 {
				return useSQL("a unique index has a value twice")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
}
