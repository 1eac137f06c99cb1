package native

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
)

// What was written last is what is asked for next: the page of a task shows the rows that it changed, and the next task
// takes them. An import that changes a small part of a table passes them by anyway, so the server remembers them, and
// does not look for them again in two trees of which nearly every leaf differs when they are scattered.
const (
	rememberedBytes = 16 << 20 // of all rows that are remembered
	notedBytes      = 4 << 20  // of those of one import
)

// changes are the rows whose bytes differ from those of another table, in the order of their keys. The columns say whether
// the values differ, too: another table may have the same trees and read other values in them.
type changes struct {
	from, to hash.Hash // of the roots of their trees
	rows     []tree.Diff
	bytes    int
}

// memory holds the last changes, the newest at the end.
type memory struct {
	lock  sync.Mutex
	held  []*changes
	bytes int
}

var lately memory

func (m *memory) add(found *changes) {
	if found.from == found.to {
		return
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	m.held, m.bytes = append(m.held, found), m.bytes+found.bytes
	for m.bytes > rememberedBytes {
		m.bytes -= m.held[0].bytes
		m.held[0] = nil
		m.held = m.held[1:]
	}
}

// find returns what is remembered of two tables, by the roots of their trees, which say all about their rows.
func (m *memory) find(from, to hash.Hash) *changes {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, found := range slices.Backward(m.held) {
		if found.from == from && found.to == to {
			return found
		}
	}
	return nil
}

// noted gives pairs that are to change a map, and notes what each changes, until it gives up: where that is too much.
type noted struct {
	pairs
	ctx context.Context
	old lookup
	changes
	gaveUp bool
}

func noting(ctx context.Context, edits pairs, old prolly.Map) *noted {
	nodes := old.NodeStore()
	if counting, ok := nodes.(*passing); ok { // who changes the map reads the same nodes
		nodes = counting.NodeStore
	}
	return &noted{
		pairs: edits, ctx: ctx, changes: changes{from: old.HashOf(), bytes: diffBytes},
		old: lookup{nodes: nodes, root: old.Node(), order: old.KeyDesc()},
	}
}

func (n *noted) next() (val.Tuple, val.Tuple, error) {
	key, value, err := n.pairs.next()
	if err != nil || n.gaveUp {
		return key, value, err
	}
	stored, was, err := n.old.find(n.ctx, key)
	if err == nil {
		n.note(stored, key, was, value)
	}
	return key, value, err
}

// note notes a row that was and is so; nil is that it was not, or is not any more. The key may be stored with other bytes
// than those given: -0.0 deletes 0.0. Where it is put with other bytes (to append that is refused, but the trees may be
// those of another table, in which it is another key), nothing is remembered.
func (n *noted) note(stored, key, was, is val.Tuple) {
	kind := tree.ModifiedDiff
	switch {
	case was != nil && is != nil && !bytes.Equal(stored, key):
		n.giveUp()
		return
	case bytes.Equal(was, is) && (was == nil) == (is == nil):
		return
	case was == nil:
		kind = tree.AddedDiff
	case is == nil:
		kind = tree.RemovedDiff
	}
	if was != nil {
		key = stored
	}
	size := len(key) + len(was) + len(is)
	room := make([]byte, 0, size) // for all three beside each other, in which they are read again
	copied := func(of val.Tuple) tree.Item {
		if of == nil {
			return nil
		}
		start := len(room)
		room = append(room, of...)
		return tree.Item(room[start:len(room):len(room)])
	}
	n.rows = append(n.rows, tree.Diff{Type: kind, Key: copied(key), From: copied(was), To: copied(is)})
	if n.bytes += size + diffBytes; n.bytes > notedBytes {
		n.giveUp()
	}
}

func (n *noted) giveUp() {
	n.rows, n.gaveUp = nil, true
}

const diffBytes = 128 // of memory that a row takes beside its key and values, and so do changes beside their rows

// remember is called when all pairs were given and made this map. Only the changes are kept, not what was read for them.
func (n *noted) remember(changed prolly.Map) {
	if !n.gaveUp {
		found := n.changes
		found.to = changed.HashOf()
		lately.add(&found)
	}
}

// lookup finds the values of keys that ascend: the leaf of one often has the next one, too.
type lookup struct {
	nodes tree.NodeStore
	root  *tree.Node
	order *val.TupleDesc
	leaf  *tree.Node
	after int // the number in the leaf behind that of the last key
}

// find returns a key as it is stored, and its value, or nil if there is none.
func (l *lookup) find(ctx context.Context, key val.Tuple) (stored, value val.Tuple, err error) {
	if l.isBehind(ctx, key, l.root) {
		return nil, nil, nil
	}
	if l.leaf == nil || l.isBehind(ctx, key, l.leaf) {
		node := l.root
		for node.Level() > 0 {
			if node, err = l.nodes.Read(ctx, hash.New(node.GetValue(l.at(ctx, key, node)))); err != nil {
				return nil, nil, err
			}
		}
		l.leaf, l.after = node, 0
	}
	if at := l.after; at >= l.leaf.Count() || l.order.Compare(ctx, val.Tuple(l.leaf.GetKey(at)), key) != 0 {
		l.after = l.at(ctx, key, l.leaf)
		if l.order.Compare(ctx, val.Tuple(l.leaf.GetKey(l.after)), key) != 0 {
			return nil, nil, nil
		}
	}
	l.after++
	return val.Tuple(l.leaf.GetKey(l.after - 1)), val.Tuple(l.leaf.GetValue(l.after - 1)), nil
}

// isBehind says whether a key is above all those of a node.
func (l *lookup) isBehind(ctx context.Context, key val.Tuple, node *tree.Node) bool {
	last := node.Count() - 1
	return last < 0 || l.order.Compare(ctx, key, val.Tuple(node.GetKey(last))) > 0
}

// at returns the number of the first key of a node that is not below one; there is one.
func (l *lookup) at(ctx context.Context, key val.Tuple, node *tree.Node) int {
	return sort.Search(node.Count(), func(i int) bool { return l.order.Compare(ctx, val.Tuple(node.GetKey(i)), key) >= 0 })
}
