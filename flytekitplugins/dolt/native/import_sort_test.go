package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"testing"

	"github.com/dolthub/dolt/go/store/pool"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// exampleKeys are keys of one column that may be NULL, with limits and what lies close together.
func exampleKeys(t *testing.T) map[*val.TupleDesc]struct {
	of   sql.Type
	keys []val.Tuple
} {
	t.Helper()
	found := map[*val.TupleDesc]struct {
		of   sql.Type
		keys []val.Tuple
	}{}
	add := func(encoding val.Encoding, of sql.Type, count int, put func(*val.TupleBuilder, int)) {
		desc := val.NewTupleDescriptor(val.Type{Enc: encoding, Nullable: true})
		builder := val.NewTupleBuilder(desc, nil)
		keys := []val.Tuple{val.EmptyTuple}
		for i := range count {
			put(builder, i)
			key, err := builder.Build(pool.NewBuffPool())
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		found[desc] = struct {
			of   sql.Type
			keys []val.Tuple
		}{of, keys}
	}
	integers := []int64{math.MinInt64, -256, -1, 0, 1, 255, 256, math.MaxInt64}
	add(val.Int64Enc, types.Int64, len(integers), func(b *val.TupleBuilder, i int) { b.PutInt64(0, integers[i]) })
	add(val.Int8Enc, types.Int8, 256, func(b *val.TupleBuilder, i int) { b.PutInt8(0, int8(i)) })
	add(val.Uint16Enc, types.Uint16, 1<<10, func(b *val.TupleBuilder, i int) { b.PutUint16(0, uint16(i<<6)) })
	doubles := []float64{-math.MaxFloat64, -1, -5e-324, math.Copysign(0, -1), 0, 5e-324, 1, 2, math.MaxFloat64}
	add(val.Float64Enc, types.Float64, len(doubles), func(b *val.TupleBuilder, i int) { b.PutFloat64(0, doubles[i]) })
	texts := []string{"", "\x00", "a", "a\x00", "a\x00b", "ab", "abcdefgh", "abcdefgh\x00", "abcdefghi", "é", "\U0001f600", "\uffff"}
	add(val.StringEnc, types.Text, len(texts), func(b *val.TupleBuilder, i int) { _ = b.PutString(0, texts[i]) })
	add(val.ByteStringEnc, types.Blob, len(texts), func(b *val.TupleBuilder, i int) { b.PutByteString(0, []byte(texts[i])) })
	return found
}

func TestQuickComparisonsAgreeWithDolts(t *testing.T) {
	ctx := context.Background()
	for desc, example := range exampleKeys(t) {
		order := newSorter(ctx, desc, example.of)
		for _, left := range example.keys {
			for _, right := range example.keys {
				a, b := order.pairOf(left, nil), order.pairOf(right, nil)
				if expected, found := desc.Compare(ctx, left, right), order.compare(&a, &b); expected != found {
					t.Errorf("%s: %s and %s are %d, not %d", example.of, desc.Format(ctx, left), desc.Format(ctx, right), found, expected)
				}
			}
		}
	}
}

func TestPairsAreSortedInFilesToo(t *testing.T) {
	ctx := context.Background()
	desc := val.NewTupleDescriptor(val.Type{Enc: val.Int32Enc})
	sorter := newSorter(ctx, desc, types.Int32)
	defer sorter.close()
	const count = 5000
	for at, number := range rand.New(rand.NewSource(1)).Perm(count) {
		builder := val.NewTupleBuilder(desc, nil)
		builder.PutInt32(0, int32(number))
		key, err := builder.Build(&arena{})
		if err != nil {
			t.Fatal(err)
		}
		var value val.Tuple // nil of every third
		if number%3 > 0 {
			value = val.NewTuple(&arena{}, []byte(fmt.Sprint(number)))
		}
		if err := sorter.add(key, value); err != nil {
			t.Fatal(err)
		}
		if at%1900 == 1899 {
			if err := sorter.spill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	sorted, err := sorter.sorted()
	if err != nil {
		t.Fatal(err)
	}
	for number := range count {
		key, value, err := sorted.next()
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := desc.GetInt32(0, key); int(found) != number {
			t.Fatalf("%d instead of %d", found, number)
		}
		if number%3 == 0 && value != nil || number%3 > 0 && string(value.GetField(0)) != fmt.Sprint(number) {
			t.Fatalf("%d has the value %v", number, value)
		}
	}
	if _, _, err := sorted.next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}
