package native

import (
	"context"
	"sync/atomic"

	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
)

// passing is a node store through which a table passes once. Of a large one Dolt's cache of nodes is emptied time and
// again: else it keeps 256 MiB of nodes that nobody asks for again, and the collector lets the memory grow to twice what
// is kept. A small one stays in the cache.
type passing struct {
	tree.NodeStore
	bytes atomic.Int64
}

const (
	passingBytes = 96 << 20 // from which on a table is large
	cachedBytes  = 16 << 20 // of a large one
)

// through returns a map whose nodes, and those of the maps that are made of it, pass through a node store.
func through(nodes tree.NodeStore, rows prolly.Map) prolly.Map {
	return prolly.NewMap(rows.Node(), nodes, rows.KeyDesc(), rows.ValDesc())
}

func (p *passing) passed(bytes int) {
	if p.bytes.Add(int64(bytes)) >= passingBytes {
		p.bytes.Store(passingBytes - cachedBytes)
		p.PurgeCaches()
	}
}

// Read is that of tree.NodeStore, as are the others.
func (p *passing) Read(ctx context.Context, address hash.Hash) (*tree.Node, error) {
	node, err := p.NodeStore.Read(ctx, address)
	if err == nil {
		p.passed(node.Size())
	}
	return node, err
}

func (p *passing) ReadMany(ctx context.Context, addresses hash.HashSlice) ([]*tree.Node, error) {
	nodes, err := p.NodeStore.ReadMany(ctx, addresses)
	if err == nil {
		for _, node := range nodes {
			p.passed(node.Size())
		}
	}
	return nodes, err
}

func (p *passing) ReadBytes(ctx context.Context, address hash.Hash) ([]byte, error) {
	content, err := p.NodeStore.ReadBytes(ctx, address)
	p.passed(len(content))
	return content, err
}

func (p *passing) Write(ctx context.Context, node *tree.Node) (hash.Hash, error) {
	p.passed(node.Size())
	return p.NodeStore.Write(ctx, node)
}

func (p *passing) BlobBuilder() *tree.BlobBuilder {
	builder := p.NodeStore.BlobBuilder()
	builder.SetNodeStore(p)
	return builder
}
