package native

import (
	"bytes"
	"context"
	"sort"

	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/types"
	"github.com/dolthub/dolt/go/store/val"
)

// Two trees are compared a stretch of keys after the other, in each of which neither tree has more than so many nodes of
// a level, and the two at its ends. That bounds the memory, and what is read at once.
const stretchNodes = 64

// subtree is a node of a tree, and the last key in it. A root is there; what is below it was not read.
type subtree struct {
	address hash.Hash
	level   int
	last    val.Tuple
	root    *tree.Node
}

// stretch is what two trees have of the keys above one and up to another; nil is no bound. What both have of them in
// the same subtree may be left out. The first and last subtrees may have other keys, too.
type stretch struct {
	above, upTo val.Tuple
	from, to    []subtree
}

// walker finds where two trees of rows with the same columns differ.
type walker struct {
	nodes      tree.NodeStore
	key, value *val.TupleDesc
	most       int // nodes in a stretch
	each       func(context.Context, stretch) error
}

// walk calls each with the leaves of both trees, a stretch after the other. Subtrees that both have are left out: they
// are the same rows, and a key is in a tree only once.
func (w *walker) walk(ctx context.Context, from, to prolly.Map) error {
	whole := stretch{from: rootOf(from), to: rootOf(to)}
	level := 0
	for _, root := range append(whole.from[:len(whole.from):len(whole.from)], whole.to...) {
		level = max(level, root.level)
	}
	whole.from, whole.to = w.withoutCommon(ctx, whole.from, whole.to)
	return w.descend(ctx, whole, level)
}

func rootOf(rows prolly.Map) []subtree {
	root := rows.Node()
	if root.Count() == 0 {
		return nil
	}
	return []subtree{{rows.HashOf(), root.Level(), val.Tuple(root.GetKey(root.Count() - 1)), root}}
}

func (w *walker) descend(ctx context.Context, rest stretch, level int) error {
	for len(rest.from)+len(rest.to) > 0 {
		var part stretch
		part, rest = w.cut(ctx, rest)
		if level == 0 {
			if err := w.each(ctx, part); err != nil {
				return err
			}
			continue
		}
		var err error
		if part.from, err = w.children(ctx, part, part.from, level); err != nil {
			return err
		}
		if part.to, err = w.children(ctx, part, part.to, level); err != nil {
			return err
		}
		part.from, part.to = w.withoutCommon(ctx, part.from, part.to)
		if err := w.descend(ctx, part, level-1); err != nil {
			return err
		}
	}
	return nil
}

// cut cuts off the first stretch with no more than so many nodes of each tree, and one that goes on behind it.
func (w *walker) cut(ctx context.Context, whole stretch) (part, rest stretch) {
	upTo, isLast := whole.upTo, true
	for _, side := range [][]subtree{whole.from, whole.to} {
		if len(side) > w.most && (isLast || w.key.Compare(ctx, side[w.most-1].last, upTo) < 0) {
			upTo, isLast = side[w.most-1].last, false
		}
	}
	if isLast {
		return whole, stretch{}
	}
	part, rest = stretch{above: whole.above, upTo: upTo}, stretch{above: upTo, upTo: whole.upTo}
	part.from, rest.from = w.split(ctx, whole.from, upTo)
	part.to, rest.to = w.split(ctx, whole.to, upTo)
	return part, rest
}

// split returns the subtrees that may have keys up to one, and those that have keys above it, of which one may be both.
func (w *walker) split(ctx context.Context, side []subtree, key val.Tuple) (upTo, above []subtree) {
	at := sort.Search(len(side), func(i int) bool { return w.key.Compare(ctx, side[i].last, key) > 0 })
	if at == len(side) || (at > 0 && w.key.Compare(ctx, side[at-1].last, key) == 0) {
		return side[:at], side[at:]
	}
	return side[:at+1], side[at:]
}

// children replaces nodes of a level by those below them that may have keys of a stretch; others stay.
func (w *walker) children(ctx context.Context, of stretch, side []subtree, level int) ([]subtree, error) {
	var found []subtree
	for _, one := range side {
		if one.level < level {
			found = append(found, one)
			continue
		}
		node, err := w.read(ctx, one)
		if err != nil {
			return nil, err
		}
		for i := range node.Count() {
			found = append(found, subtree{hash.New(node.GetValue(i)), level - 1, val.Tuple(node.GetKey(i)), nil})
		}
	}
	if of.above != nil {
		_, found = w.split(ctx, found, of.above)
	}
	if of.upTo != nil {
		found, _ = w.split(ctx, found, of.upTo)
	}
	return found, nil
}

// read returns the node of a subtree. A root cannot be asked for: the table has it in itself, and in a clone, or after a
// garbage collection, it is nowhere else.
func (w *walker) read(ctx context.Context, one subtree) (*tree.Node, error) {
	if one.root != nil {
		return one.root, nil
	}
	return w.nodes.Read(ctx, one.address)
}

// withoutCommon leaves out the subtrees that both sides have, which then have the same last key.
func (w *walker) withoutCommon(ctx context.Context, from, to []subtree) (onlyFrom, onlyTo []subtree) {
	for len(from) > 0 && len(to) > 0 {
		if from[0].address == to[0].address {
			from, to = from[1:], to[1:]
			continue
		}
		order := w.key.Compare(ctx, from[0].last, to[0].last)
		if order <= 0 {
			onlyFrom, from = append(onlyFrom, from[0]), from[1:]
		}
		if order >= 0 {
			onlyTo, to = append(onlyTo, to[0]), to[1:]
		}
	}
	return append(onlyFrom, from...), append(onlyTo, to...)
}

// differences lists the rows that differ in a stretch of leaves, in the order of their keys, as prolly.DiffMaps does.
func (w *walker) differences(ctx context.Context, of stretch) ([]tree.Diff, error) {
	from, err := w.leaves(ctx, of, of.from)
	if err != nil {
		return nil, err
	}
	to, err := w.leaves(ctx, of, of.to)
	if err != nil {
		return nil, err
	}
	var found []tree.Diff
	for from.next() && to.next() {
		found = w.merge(ctx, &from.leaves[0], &to.leaves[0], found)
	}
	for ; from.next(); from.leaves[0].at++ {
		leaf := from.leaves[0]
		found = append(found, tree.Diff{Type: tree.RemovedDiff, Key: leaf.node.GetKey(leaf.at), From: leaf.node.GetValue(leaf.at)})
	}
	for ; to.next(); to.leaves[0].at++ {
		leaf := to.leaves[0]
		found = append(found, tree.Diff{Type: tree.AddedDiff, Key: leaf.node.GetKey(leaf.at), To: leaf.node.GetValue(leaf.at)})
	}
	return found, nil
}

// merge compares two leaves until one has no rows left.
func (w *walker) merge(ctx context.Context, from, to *leaf, found []tree.Diff) []tree.Diff {
	if from.at == to.at && from.end == to.end && sameButValues(from.node, to.node) {
		found = w.modified(ctx, from.node, to.node, from.at, from.end, found)
		from.at, to.at = from.end, to.end
		return found
	}
	for from.at < from.end && to.at < to.end {
		old, new := from.node.GetKey(from.at), to.node.GetKey(to.at)
		order := 0
		if !bytes.Equal(old, new) {
			order = w.key.Compare(ctx, val.Tuple(old), val.Tuple(new))
		}
		switch {
		case order < 0:
			found = append(found, tree.Diff{Type: tree.RemovedDiff, Key: old, From: from.node.GetValue(from.at)})
			from.at++
		case order > 0:
			found = append(found, tree.Diff{Type: tree.AddedDiff, Key: new, To: to.node.GetValue(to.at)})
			to.at++
		default:
			found = w.pair(ctx, old, from.node.GetValue(from.at), to.node.GetValue(to.at), found)
			from.at++
			to.at++
		}
	}
	return found
}

// pair adds a row that is in both trees, if its values differ; the bytes of equal values may differ.
func (w *walker) pair(ctx context.Context, key, was, is tree.Item, found []tree.Diff) []tree.Diff {
	if bytes.Equal(was, is) || w.value.Compare(ctx, val.Tuple(was), val.Tuple(is)) == 0 {
		return found
	}
	return append(found, tree.Diff{Type: tree.ModifiedDiff, Key: key, From: was, To: is})
}

// modified adds the rows with other values, from one to before another, of leaves that are the same but for these.
func (w *walker) modified(ctx context.Context, from, to *tree.Node, at, end int, found []tree.Diff) []tree.Diff {
	if at == end || bytes.Equal(valuesOf(from, at, end), valuesOf(to, at, end)) {
		return found
	}
	if end-at == 1 {
		return w.pair(ctx, from.GetKey(at), from.GetValue(at), to.GetValue(at), found)
	}
	middle := (at + end) / 2
	found = w.modified(ctx, from, to, at, middle, found)
	return w.modified(ctx, from, to, middle, end, found)
}

// sameButValues says whether two leaves have the same keys, and values that lie in the same places: so it is where all
// else in their messages is equal.
func sameButValues(a, b *tree.Node) bool {
	if a.Count() != b.Count() {
		return false
	}
	headOfA, tailOfA := aroundValues(a)
	headOfB, tailOfB := aroundValues(b)
	return bytes.Equal(headOfA, headOfB) && bytes.Equal(tailOfA, tailOfB) && a.Size() == b.Size()
}

// aroundValues returns what stands before and behind the values in the message of a leaf.
func aroundValues(leaf *tree.Node) (head, tail []byte) {
	message, values := []byte(tree.ValueFromNode(leaf).(types.SerialMessage)), valuesOf(leaf, 0, leaf.Count())
	start := cap(message) - cap(values)
	return message[:start], message[start+len(values):]
}

// valuesOf returns the values of rows from one to before another, which stand behind each other in a leaf's message.
func valuesOf(leaf *tree.Node, from, to int) []byte {
	first, last := leaf.GetValue(from), leaf.GetValue(to-1)
	return first[: cap(first)-cap(last)+len(last) : cap(first)]
}

// leaf is a leaf of which the rows from one to before another are wanted.
type leaf struct {
	node    *tree.Node
	at, end int
}

type leaves struct {
	leaves []leaf
}

// next makes the first leaf one that has rows left, and says whether there is one.
func (l *leaves) next() bool {
	for len(l.leaves) > 0 && l.leaves[0].at >= l.leaves[0].end {
		l.leaves = l.leaves[1:]
	}
	return len(l.leaves) > 0
}

// leaves reads the leaves of one side, without the rows outside of the stretch.
func (w *walker) leaves(ctx context.Context, of stretch, side []subtree) (*leaves, error) {
	found := make([]leaf, len(side))
	for i, one := range side {
		node, err := w.read(ctx, one)
		if err != nil {
			return nil, err
		}
		found[i] = leaf{node, 0, node.Count()}
	}
	if last := len(found) - 1; last >= 0 { // no others have keys outside of the stretch
		if of.above != nil {
			found[0].at = w.behind(ctx, found[0].node, of.above)
		}
		if of.upTo != nil {
			found[last].end = w.behind(ctx, found[last].node, of.upTo)
		}
	}
	return &leaves{found}, nil
}

// behind returns the number of the first row of a leaf whose key is above one.
func (w *walker) behind(ctx context.Context, node *tree.Node, key val.Tuple) int {
	return sort.Search(node.Count(), func(i int) bool { return w.key.Compare(ctx, val.Tuple(node.GetKey(i)), key) > 0 })
}
