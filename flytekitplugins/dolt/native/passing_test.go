package native

import (
	"bytes"
	"context"
	"testing"

	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
)

// emptied is a node store that counts how often its cache is emptied.
type emptied struct {
	tree.NodeStore
	times int
}

func (e *emptied) PurgeCaches() {
	e.times++
	e.NodeStore.PurgeCaches()
}

func wholeRows(ctx context.Context, t *testing.T, rows prolly.Map) (count int) {
	t.Helper()
	iter, err := rows.IterAll(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := iter.Next(ctx); err != nil {
			return count
		}
		count++
	}
}

func TestTheCacheIsEmptiedWhenSoMuchHasPassed(t *testing.T) {
	ctx := context.Background()
	key, value := val.NewTupleDescriptor(val.Type{Enc: val.Int32Enc}), val.NewTupleDescriptor(val.Type{Enc: val.ByteStringEnc})
	text := bytes.Repeat([]byte{1}, 60_000)
	const left = 8 << 20 // of what may pass: it takes long to write as much as that
	for _, count := range []int{left / 2 / len(text), 2 * left / len(text)} {
		into := &emptied{NodeStore: tree.NewTestNodeStore()}
		empty, err := prolly.NewMapFromTuples(ctx, into, key, value)
		if err != nil {
			t.Fatal(err)
		}
		rows := &pairsInMemory{}
		for number := range count {
			id, content := val.NewTupleBuilder(key, nil), val.NewTupleBuilder(value, nil)
			id.PutInt32(0, int32(number))
			content.PutByteString(0, text)
			k, keyErr := id.Build(&arena{})
			v, valueErr := content.Build(&arena{})
			if keyErr != nil || valueErr != nil {
				t.Fatal(keyErr, valueErr)
			}
			rows.left = append(rows.left, pair{key: k, value: v})
		}
		nodes := &passing{NodeStore: into}
		nodes.bytes.Store(passingBytes - left)
		old := through(nodes, empty)
		written, err := prolly.NewMapFromTupleIter(ctx, old.NodeStore(), key, value, &checkedPairs{pairs: rows, order: key})
		if err != nil {
			t.Fatal(err)
		}
		large, byWriting := count*len(text) > left, into.times
		nodes.bytes.Store(passingBytes - left)
		if found := wholeRows(ctx, t, written); found != count {
			t.Fatalf("%d rows instead of %d", found, count)
		}
		if byReading := into.times - byWriting; (byWriting > 0) != large || (byReading > 0) != large {
			t.Errorf("%d rows: emptied %d times by writing and %d by reading", count, byWriting, byReading)
		}
	}
}
