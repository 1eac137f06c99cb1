package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"slices"
	"testing"

	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
)

var (
	diffKey   = val.NewTupleDescriptor(val.Type{Enc: val.Float64Enc}, val.Type{Enc: val.Int32Enc})
	diffValue = val.NewTupleDescriptor(val.Type{Enc: val.StringEnc, Nullable: true}, val.Type{Enc: val.Float64Enc, Nullable: true})
)

// content is what a row has beside its key.
type content struct {
	text   string
	number float64
}

// tuples gives rows in the order of their keys.
type tuples struct {
	keys   []int
	rows   map[int]content
	t      *testing.T
	memory arena
}

func (s *tuples) Next(context.Context) (val.Tuple, val.Tuple) {
	if len(s.keys) == 0 {
		return nil, nil
	}
	number := s.keys[0]
	s.keys = s.keys[1:]
	key, value := val.NewTupleBuilder(diffKey, nil), val.NewTupleBuilder(diffValue, nil)
	key.PutFloat64(0, float64(number/7))
	key.PutInt32(1, int32(number%7))
	if row := s.rows[number]; row.text != "" {
		if err := value.PutString(0, row.text); err != nil {
			s.t.Fatal(err)
		}
		value.PutFloat64(1, row.number)
	}
	k, keyErr := key.Build(&s.memory)
	v, valueErr := value.Build(&s.memory)
	if keyErr != nil || valueErr != nil {
		s.t.Fatal(keyErr, valueErr)
	}
	return k, v
}

func storedTuples(t *testing.T, nodes tree.NodeStore, rows map[int]content) prolly.Map {
	t.Helper()
	given := &tuples{rows: rows, t: t}
	for key := range rows {
		given.keys = append(given.keys, key)
	}
	slices.Sort(given.keys)
	made, err := prolly.NewMapFromTupleIter(context.Background(), nodes, diffKey, diffValue, given)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// byDolt lists what differs as Dolt's own comparison finds it.
func byDolt(t *testing.T, from, to prolly.Map) (found []tree.Diff) {
	t.Helper()
	err := prolly.DiffMaps(context.Background(), from, to, false, func(_ context.Context, d tree.Diff) error {
		found = append(found, d)
		return nil
	})
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return found
}

// byStretches lists what differs as the walker finds it, with so many nodes in a stretch.
func byStretches(t *testing.T, from, to prolly.Map, most int) (found []tree.Diff) {
	t.Helper()
	w := &walker{nodes: from.NodeStore(), key: diffKey, value: diffValue, most: most}
	w.each = func(ctx context.Context, part stretch) error {
		if len(part.from) > most+1 || len(part.to) > most+1 {
			t.Errorf("%d and %d leaves at once, of at most %d", len(part.from), len(part.to), most+1)
		}
		rows, err := w.differences(ctx, part)
		found = append(found, rows...)
		return err
	}
	if err := w.walk(context.Background(), from, to); err != nil {
		t.Fatal(err)
	}
	return found
}

func sameDiff(a, b tree.Diff) bool {
	return a.Type == b.Type && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.From, b.From) && bytes.Equal(a.To, b.To)
}

func assertAsDolt(t *testing.T, from, to prolly.Map) {
	t.Helper()
	expected := byDolt(t, from, to)
	for _, most := range []int{1, 2, 5, stretchNodes} {
		if found := byStretches(t, from, to, most); !slices.EqualFunc(found, expected, sameDiff) {
			t.Errorf("with %d nodes: %d rows differ, and %d for Dolt", most, len(found), len(expected))
		}
	}
}

// Changes of rows, from few to nearly all; what they may do to a row is in the names.
func TestWhatDiffersIsWhatDoltFinds(t *testing.T) {
	drawn := rand.New(rand.NewSource(1))
	for _, count := range []int{0, 1, 40, 3_000, 50_000} {
		for name, change := range map[string]func(map[int]content, int){
			"number":  func(rows map[int]content, key int) { rows[key] = content{rows[key].text, rows[key].number + 1} },
			"length":  func(rows map[int]content, key int) { rows[key] = content{rows[key].text + "x", 0} },
			"null":    func(rows map[int]content, key int) { rows[key] = content{} },
			"removed": func(rows map[int]content, key int) { delete(rows, key) },
			"added": func(rows map[int]content, key int) {
				rows[2*count+key] = content{"new", 1}
				rows[key/2] = content{"a", 2}
			},
			"between": func(rows map[int]content, key int) { rows[2*key+1] = content{"between", 3} },
		} {
			for _, share := range []float64{0, 0.001, 0.02, 0.9} {
				t.Run(fmt.Sprintf("%d rows %s %v", count, name, share), func(t *testing.T) {
					nodes := tree.NewTestNodeStore()
					before := map[int]content{}
					for key := range count {
						before[2*key] = content{fmt.Sprintf("text %d", drawn.Intn(1e9)), drawn.Float64()}
					}
					after := map[int]content{}
					for key, row := range before {
						after[key] = row
					}
					for range int(share * float64(count)) {
						change(after, drawn.Intn(2*count))
					}
					from, to := storedTuples(t, nodes, before), storedTuples(t, nodes, after)
					assertAsDolt(t, from, to)
					assertAsDolt(t, to, from)
				})
			}
		}
	}
}

func TestTreesOfOtherHeightsAndRanges(t *testing.T) {
	nodes := tree.NewTestNodeStore()
	trees := map[string]prolly.Map{}
	for name, keys := range map[string][2]int{"none": {0, 0}, "one": {30_000, 30_001}, "few": {20_000, 20_100}, "low": {0, 30_000},
		"high": {30_000, 60_000}, "all": {0, 60_000}, "middle": {20_000, 40_000}} {
		rows := map[int]content{}
		for key := keys[0]; key < keys[1]; key++ {
			rows[key] = content{fmt.Sprintf("row %d of all", key), float64(key)}
		}
		trees[name] = storedTuples(t, nodes, rows)
	}
	for first, from := range trees {
		for second, to := range trees {
			t.Run(first+" "+second, func(t *testing.T) { assertAsDolt(t, from, to) })
		}
	}
}

func TestEqualValuesOfOtherBytesAreNoChange(t *testing.T) {
	nodes := tree.NewTestNodeStore()
	zero, negative := map[int]content{}, map[int]content{}
	for key := range 500 {
		zero[key], negative[key] = content{"zero", 0}, content{"zero", math.Copysign(0, -1)}
	}
	negative[77] = content{"more", 1}
	from, to := storedTuples(t, nodes, zero), storedTuples(t, nodes, negative)
	assertAsDolt(t, from, to)
	if found := byStretches(t, from, to, 3); len(found) != 1 {
		t.Errorf("%d rows differ", len(found))
	}
}
