package native

import (
	"bytes"
	"context"
	"math/rand"
	"testing"

	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
)

// ascendingRows are rows whose texts are of so different lengths that nodes have many rows or one.
func ascendingRows(t *testing.T, random *rand.Rand, count, longest int, key, value *val.TupleDesc) []pair {
	t.Helper()
	rows := make([]pair, 0, count)
	for number := range count {
		id, content := val.NewTupleBuilder(key, nil), val.NewTupleBuilder(value, nil)
		id.PutInt32(0, int32(3*number))
		content.PutByteString(0, bytes.Repeat([]byte{byte(number)}, random.Intn(longest)))
		k, keyErr := id.Build(&arena{})
		v, valueErr := content.Build(&arena{})
		if keyErr != nil || valueErr != nil {
			t.Fatal(keyErr, valueErr)
		}
		rows = append(rows, pair{key: k, value: v})
	}
	return rows
}

func mapOf(t *testing.T, nodes tree.NodeStore, rows []pair, key, value *val.TupleDesc) (prolly.Map, *checkedPairs) {
	t.Helper()
	edits := &checkedPairs{pairs: &pairsInMemory{append([]pair{}, rows...)}, order: key}
	built, err := prolly.NewMapFromTupleIter(context.Background(), nodes, key, value, edits)
	if err != nil || edits.err != nil {
		t.Fatal(err, edits.err)
	}
	return built, edits
}

func TestJoinedHalvesAreTheTreeOfAllRows(t *testing.T) {
	ctx, random := context.Background(), rand.New(rand.NewSource(5))
	key, value := val.NewTupleDescriptor(val.Type{Enc: val.Int32Enc}), val.NewTupleDescriptor(val.Type{Enc: val.ByteStringEnc})
	for _, shape := range []struct{ count, longest, times int }{
		{1, 10, 1}, {2, 10, 2}, {20, 10, 20}, {3_000, 20, 30}, {300, 20_000, 30}, {60, 60_000, 30}, {200_000, 30, 3}, {20_000, 2_000, 4},
	} {
		rows := ascendingRows(t, random, shape.count, shape.longest, key, value)
		nodes := tree.NewTestNodeStore()
		whole, _ := mapOf(t, nodes, rows, key, value)
		for range shape.times {
			at := random.Intn(shape.count + 1)
			first, before := mapOf(t, nodes, rows[:at], key, value)
			second, behind := mapOf(t, nodes, rows[at:], key, value)
			joined, err := join(ctx, first, second, before, behind)
			if err != nil {
				t.Fatal(err)
			}
			if joined.HashOf() != whole.HashOf() {
				t.Errorf("%d rows of up to %d bytes, joined at %d: another tree", shape.count, shape.longest, at)
			}
			if found, err := joined.Count(); found != shape.count || err != nil {
				t.Errorf("%d rows instead of %d: %v", found, shape.count, err)
			}
		}
	}
}

func TestHalvesThatOverlapAreNotJoined(t *testing.T) {
	ctx, random := context.Background(), rand.New(rand.NewSource(6))
	key, value := val.NewTupleDescriptor(val.Type{Enc: val.Int32Enc}), val.NewTupleDescriptor(val.Type{Enc: val.ByteStringEnc})
	rows, nodes := ascendingRows(t, random, 100, 10, key, value), tree.NewTestNodeStore()
	for from, want := range map[int]error{49: useSQL("a key is there twice"), 20: errUnsorted} {
		first, before := mapOf(t, nodes, rows[:50], key, value)
		second, behind := mapOf(t, nodes, rows[from:], key, value)
		if _, err := join(ctx, first, second, before, behind); err == nil || err.Error() != want.Error() {
			t.Errorf("from %d on: %v", from, err)
		}
	}
}
