package native

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
)

// interrupted is a node store in which something happens when so many nodes were read.
type interrupted struct {
	tree.NodeStore
	left atomic.Int64
	then func()
}

func (i *interrupted) Read(ctx context.Context, address hash.Hash) (*tree.Node, error) {
	if i.left.Add(-1) == 0 {
		i.then()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return i.NodeStore.Read(ctx, address)
}

// testDiffer compares two trees of tuples, whose nodes it reads from a store.
func testDiffer(ctx context.Context, nodes tree.NodeStore, from, to prolly.Map) *differ {
	columns := []exportColumn{
		{fileColumn: fileColumn{"a", "float64"}, inKey: true, index: 0, desc: diffKey, encoding: val.Float64Enc, bits: 64},
		{fileColumn: fileColumn{"b", "int32"}, inKey: true, index: 1, desc: diffKey, encoding: val.Int32Enc, bits: 32},
		{fileColumn: fileColumn{"s", "string"}, index: 0, desc: diffValue, encoding: val.StringEnc},
	}
	d := &differ{
		exporter: exporter{ctx: sql.NewContext(ctx), nodes: nodes, columns: diffColumns(columns, true)},
		from:     through(nodes, from), to: through(nodes, to), width: len(columns), most: -1,
	}
	for kind := range d.kinds {
		d.kinds[kind] = true
	}
	d.makeSinks()
	return d
}

// manyChanges gives two trees of many stretches that differ everywhere.
func manyChanges(t *testing.T) (from, to prolly.Map) {
	t.Helper()
	nodes, before, after := tree.NewTestNodeStore(), map[int]content{}, map[int]content{}
	for key := range 120_000 {
		if key%3 != 1 {
			before[key] = content{fmt.Sprintf("row %d", key), 0}
		}
		if key%3 != 2 {
			after[key] = content{fmt.Sprintf("row %d!", key), 0}
		}
	}
	return storedTuples(t, nodes, before), storedTuples(t, nodes, after)
}

func TestRowsThatDifferAreWrittenInTheirOrder(t *testing.T) {
	from, to := manyChanges(t)
	expected := byDolt(t, from, to)
	d := testDiffer(context.Background(), from.NodeStore(), from, to)
	var file bytes.Buffer
	out, err := newRowsWriter(&file, d.fileColumns())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.write(out), out.close()); err != nil {
		t.Fatal(err)
	}
	in, err := newRowsReader(&file, int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	number, batches := 0, 0
	for ; ; batches++ {
		rows, columns, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			assertRow(t, expected[number], columns, i)
			number++
		}
	}
	if number != len(expected) || batches < 2 {
		t.Errorf("%d of %d rows, in %d batches", number, len(expected), batches)
	}
	if counts := [...]int64{40_000, 40_000, 40_000}; [3]int64(d.counts[1:]) != counts {
		t.Errorf("counted %v", d.counts)
	}
}

// assertRow compares a row of the file with what Dolt finds: kind, key and text on both sides.
func assertRow(t *testing.T, expected tree.Diff, columns []columnData, i int) {
	t.Helper()
	if kind := string(columns[0].text(i)); kind != kindNames[expected.Type] {
		t.Fatalf("row %d is %q instead of %q", i, kind, kindNames[expected.Type])
	}
	for side, tuple := range map[int]tree.Item{1: expected.To, 4: expected.From} {
		for c := side; c < side+3; c++ {
			if columns[c].isNull(i) != (tuple == nil) {
				t.Fatalf("column %d of row %d: NULL is %v", c, i, columns[c].isNull(i))
			}
		}
		if tuple == nil {
			continue
		}
		key, _ := diffKey.GetFloat64(0, val.Tuple(expected.Key))
		text, _ := diffValue.GetString(0, val.Tuple(tuple))
		found := math.Float64frombits(binary.LittleEndian.Uint64(columns[side].data[8*i:]))
		if found != key || string(columns[side+2].text(i)) != text {
			t.Fatalf("row %d has %v, %q instead of %v, %q", i, found, columns[side+2].text(i), key, text)
		}
	}
}

func TestAComparisonEndsWithItsSession(t *testing.T) {
	from, to := manyChanges(t)
	for _, after := range []int64{1, 2, 10, 200, 500} {
		ctx, end := context.WithCancel(context.Background())
		nodes := &interrupted{NodeStore: from.NodeStore(), then: end}
		nodes.left.Store(after)
		d := testDiffer(ctx, nodes, from, to)
		out, err := newRowsWriter(io.Discard, d.fileColumns())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.write(out); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d nodes: %v", after, err)
		}
	}
}

func TestAPanicWhileTreesAreComparedIsAnError(t *testing.T) {
	from, to := manyChanges(t)
	for _, after := range []int64{1, 2, 10, 500} { // while it looks for stretches, and while it compares them
		nodes := &interrupted{NodeStore: from.NodeStore(), then: func() { panic("broken node") }}
		nodes.left.Store(after)
		d := testDiffer(context.Background(), nodes, from, to)
		out, err := newRowsWriter(io.Discard, d.fileColumns())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.write(out); err == nil || !strings.Contains(err.Error(), "broken node") {
			t.Errorf("after %d nodes: %v", after, err)
		}
	}
}
