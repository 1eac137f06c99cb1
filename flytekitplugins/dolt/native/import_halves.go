package native

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/message"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
)

const halvesBytes = 4 << 20 // of a file from which on it is worth a second goroutine

// inHalves is applyTo into an empty map, for a large file whose rows come by ascending key: its halves become maps beside
// each other, which are joined.
func (in *input) inHalves(ctx *sql.Context, empty prolly.Map) (prolly.Map, int64, error) {
	total, err := in.total()
	if err != nil {
		return prolly.Map{}, 0, err
	}
	beside, cancel := ctx.NewSubContext()
	middle := max(total/2, 1)
	first, second := &half{until: middle}, &half{from: middle}
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		defer second.caught()
		second.build(beside, cancel, in, empty)
	}()
	defer func() { // whatever becomes of the first half
		cancel()
		<-ready
	}()
	first.build(beside, cancel, in, empty)
	<-ready
	if err := firstFault(ctx, first, second); err != nil {
		return prolly.Map{}, 0, err
	}
	joined, err := join(ctx, first.rows, second.rows, first.edits, second.edits)
	return joined, first.edits.count + second.edits.count, err
}

// half is a part of the rows of a file: those before the row until, or from the row from on.
type half struct {
	from, until uint64
	edits       *checkedPairs
	rows        prolly.Map
	err         error
	panic       any
}

// build makes the map of the half, and ends the other one where it cannot.
func (h *half) build(ctx *sql.Context, endOther context.CancelFunc, in *input, empty prolly.Map) {
	rows, err := in.rows(ctx, empty)
	if err == nil {
		rows.reader.from, rows.until = h.from, h.until
		h.edits = &checkedPairs{pairs: rows, order: empty.KeyDesc()}
		h.rows, err = applyEdits(ctx, empty, h.edits, true)
	}
	if h.err = err; err != nil {
		endOther()
	}
}

// caught keeps a panic for the session's goroutine, which knows what to do with it; here it would end the server.
func (h *half) caught() {
	if found := recover(); found != nil {
		h.panic = fmt.Sprintf("%v\n%s", found, debug.Stack())
	}
}

// firstFault returns why the halves cannot be joined: rather what one of them found than that the other was ended for it.
func firstFault(ctx context.Context, halves ...*half) error {
	var ended error
	for _, half := range halves {
		if half.panic != nil {
			panic(half.panic)
		}
		if half.err != nil && !errors.Is(half.err, context.Canceled) {
			return half.err
		}
		ended = errors.Join(ended, half.err)
	}
	return errors.Join(ctx.Err(), ended)
}

// join returns a map with the rows of two, of which all of the second come behind those of the first. Their trees are
// joined by Dolt's way of merging, which takes over whole nodes: it is the tree that all the rows in one go would have.
func join(ctx context.Context, first, second prolly.Map, before, behind *checkedPairs) (prolly.Map, error) {
	if before.count == 0 || behind.count == 0 {
		if before.count == 0 {
			return second, nil
		}
		return first, nil
	}
	if err := inOrder(ctx, before.order, before.last, behind.first); err != nil {
		return prolly.Map{}, err
	}
	root := second.Node()
	address := root.HashOf()
	patches := &onePatch{tree.Patch{
		KeyBelowStart: tree.Item(before.last), EndKey: tree.Item(behind.last),
		To: address[:], SubtreeCount: uint64(behind.count), Level: root.Level() + 1,
	}}
	nodes := first.NodeStore()
	serializer := message.NewProllyMapSerializer(first.ValDesc(), nodes.Pool())
	joined, err := tree.ApplyPatches[val.Tuple](ctx, nodes, first.Node(), before.order, serializer, patches)
	if err != nil {
		return prolly.Map{}, err
	}
	return prolly.NewMap(joined, nodes, first.KeyDesc(), first.ValDesc()), nil
}

// onePatch is a tree.PatchIter.
type onePatch struct{ left tree.Patch }

// NextPatch returns the patch, and behind it one that is empty, which means the end.
func (p *onePatch) NextPatch(context.Context) (tree.Patch, error) {
	next := p.left
	p.left = tree.Patch{}
	return next, nil
}

// Close is that of tree.PatchIter.
func (p *onePatch) Close() error { return nil }
