package native

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
)

// given lists rows as the pairs of an import; those that are to be removed have no value.
func given(t *testing.T, rows map[int]content, removed []int) []pair {
	t.Helper()
	source := &tuples{rows: rows, t: t}
	for key := range rows {
		source.keys = append(source.keys, key)
	}
	source.keys = append(source.keys, removed...)
	slices.Sort(source.keys)
	found := make([]pair, 0, len(source.keys))
	for _, number := range slices.Clone(source.keys) {
		key, value := source.Next(context.Background())
		if slices.Contains(removed, number) {
			value = nil
		}
		found = append(found, pair{key: key, value: value})
	}
	return found
}

// imported applies pairs to a map, and returns what it is then and what was noted.
func imported(t *testing.T, old prolly.Map, rows []pair) (prolly.Map, *noted) {
	t.Helper()
	ctx := context.Background()
	noting := noting(ctx, &pairsInMemory{rows}, old)
	edits := &checkedPairs{pairs: noting, order: old.KeyDesc()}
	changed, err := prolly.MutateMapWithTupleIter(ctx, old, edits)
	if err != nil || edits.err != nil {
		t.Fatal(err, edits.err)
	}
	noting.remember(changed)
	return changed, noting
}

func TestWhatAnImportChangesIsRemembered(t *testing.T) {
	drawn := rand.New(rand.NewSource(3))
	for _, count := range []int{0, 1, 300, 20_000} {
		for _, touched := range []int{1, 20, 3_000} {
			t.Run(fmt.Sprintf("%d of %d rows", touched, count), func(t *testing.T) {
				before := map[int]content{}
				for key := range count {
					before[2*key] = content{fmt.Sprintf("text %d", drawn.Intn(1e9)), float64(drawn.Intn(2))}
				}
				old := storedTuples(t, tree.NewTestNodeStore(), before)
				after, removed := map[int]content{}, map[int]bool{}
				for range touched {
					switch key := drawn.Intn(2*count + 9); drawn.Intn(4) {
					case 0:
						removed[key] = true
					case 1:
						after[key] = before[key] // as it is, or all NULL
					case 2:
						after[key] = content{before[key].text, math.Copysign(before[key].number, -1)} // maybe an equal value
					default:
						after[key] = content{"new", drawn.Float64()}
					}
				}
				gone := []int{}
				for key := range removed {
					delete(after, key)
					gone = append(gone, key)
				}
				changed, _ := imported(t, old, given(t, after, gone))
				if old.HashOf() == changed.HashOf() {
					return
				}
				found := lately.find(old.HashOf(), changed.HashOf())
				if found == nil {
					t.Fatal("nothing is remembered")
				}
				rows := testDiffer(context.Background(), old.NodeStore(), old, changed).unequal(found.rows)
				if expected := byDolt(t, old, changed); !slices.EqualFunc(rows, expected, sameDiff) {
					t.Errorf("%d rows are remembered, and %d differ", len(rows), len(expected))
				}
			})
		}
	}
}

func TestManyChangesAreNotRemembered(t *testing.T) {
	before, after := map[int]content{}, map[int]content{}
	for key := range 60_000 {
		before[key], after[key] = content{"before", 1}, content{"after", 1}
	}
	old := storedTuples(t, tree.NewTestNodeStore(), before)
	changed, noted := imported(t, old, given(t, after, nil))
	if noted.rows != nil || lately.find(old.HashOf(), changed.HashOf()) != nil {
		t.Error("60,000 changed rows are remembered")
	}
}

// A table of integers may have the same trees as one of floats, in which -0.0 is 0.0.
func TestEqualValuesOfOtherBytesAreRemembered(t *testing.T) {
	old := storedTuples(t, tree.NewTestNodeStore(), map[int]content{1: {"x", 0}, 2: {"y", 1}})
	changed, noted := imported(t, old, given(t, map[int]content{1: {"x", math.Copysign(0, -1)}, 2: {"y", 1}}, nil))
	if len(noted.rows) != 1 || old.HashOf() == changed.HashOf() {
		t.Errorf("%d rows are noted", len(noted.rows))
	}
	if rows := testDiffer(context.Background(), old.NodeStore(), old, changed).unequal(noted.rows); len(rows) > 0 {
		t.Errorf("%d rows differ", len(rows))
	}
}

// What an import reads its file with has a buffer of a megabyte.
func TestOnlyTheChangesAreKept(t *testing.T) {
	old := storedTuples(t, tree.NewTestNodeStore(), map[int]content{1: {"was", 0}})
	changed, noted := imported(t, old, given(t, map[int]content{1: {"is", 0}}, nil))
	kept := weak.Make(noted)
	runtime.GC()
	if kept.Value() != nil {
		t.Error("what notes changes is kept")
	}
	if lately.find(old.HashOf(), changed.HashOf()) == nil {
		t.Error("nothing is remembered")
	}
}

func TestTheOldestIsForgotten(t *testing.T) {
	var m memory
	number := func(n int) (h hash.Hash) { h[0], h[1] = byte(n), byte(n>>8); return h }
	for n := range 100 {
		m.add(&changes{from: number(n), to: number(n + 1), bytes: rememberedBytes / 10})
	}
	if m.bytes > rememberedBytes || len(m.held) != 10 {
		t.Errorf("%d bytes of %d changes", m.bytes, len(m.held))
	}
	for n, held := range map[int]bool{0: false, 89: false, 90: true, 99: true} {
		if found := m.find(number(n), number(n+1)); (found != nil) != held {
			t.Errorf("change %d: %v", n, found)
		}
	}
	if m.find(number(99), number(99)) != nil || m.find(number(100), number(99)) != nil {
		t.Error("something else is found")
	}
}
