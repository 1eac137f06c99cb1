package native

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/util/tempfiles"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
)

// pairs gives keys with their values, and io.EOF behind the last one. The value is nil of a key that goes.
type pairs interface {
	next() (key, value val.Tuple, err error)
}

// arena is a val.BuffPool whose pieces come from blocks, which spares the collector. A block lives as long as a piece.
type arena struct{ block []byte }

const arenaBlock = 1 << 18

func (a *arena) Get(size uint64) []byte {
	if uint64(len(a.block)) < size {
		a.block = make([]byte, max(size, arenaBlock))
	}
	piece := a.block[:size:size]
	a.block = a.block[size:]
	return piece
}

func (a *arena) GetSlices(size uint64) [][]byte { return make([][]byte, size) }

var errUnsorted = useSQL("the keys do not ascend")

const rowsPerCheck = 1 << 10 // of whether the session was ended

// checkedPairs is a prolly.TupleIter over pairs, of which each key has to come behind the one before. What ended it early
// is in err.
type checkedPairs struct {
	pairs
	order  *val.TupleDesc
	unique *val.TupleDesc // of a part of the key that may be there once, unless it has a NULL
	sameAs *prolly.Map    // whose equal keys have to have the same bytes
	count  int64          // of the pairs that came
	first  val.Tuple      // key
	last   val.Tuple
	err    error
}

// Next is that of prolly.TupleIter.
func (c *checkedPairs) Next(ctx context.Context) (val.Tuple, val.Tuple) {
	if c.count%rowsPerCheck == 0 {
		c.err = ctx.Err()
	}
	var key, value val.Tuple
	if c.err == nil {
		key, value, c.err = c.next()
	}
	if c.err == nil {
		c.err = c.check(ctx, key)
	}
	if c.err != nil {
		if errors.Is(c.err, io.EOF) {
			c.err = nil
		}
		return nil, nil
	}
	if c.last = key; c.count == 0 {
		c.first = key
	}
	c.count++
	return key, value
}

func (c *checkedPairs) check(ctx context.Context, key val.Tuple) error {
	if c.last != nil {
		if err := inOrder(ctx, c.order, c.last, key); err != nil {
			return err
		}
		if c.unique != nil && !c.unique.HasNulls(key) && c.unique.Compare(ctx, c.last, key) == 0 {
			return useSQL("a unique index has a value twice")
		}
	}
	if c.sameAs == nil {
		return nil
	}
	return c.sameAs.Get(ctx, key, func(found, _ val.Tuple) error {
		if found != nil && string(found) != string(key) {
			return useSQL("a key equals one that is written in another way")
		}
		return nil
	})
}

// inOrder refuses a key that does not come behind the one before.
func inOrder(ctx context.Context, order *val.TupleDesc, before, key val.Tuple) error {
	switch found := order.Compare(ctx, before, key); {
	case found == 0:
		return useSQL("a key is there twice")
	case found > 0:
		return errUnsorted
	}
	return nil
}

// counted gives the rows of a table without a primary key, each once, with how often it is there: in the pairs, which
// come in order, and in the table before.
type counted struct {
	pairs
	ctx   context.Context
	old   prolly.Map
	ahead *pair
	total int64
}

func (c *counted) next() (key, value val.Tuple, err error) {
	if c.ahead == nil {
		if key, value, err = c.pairs.next(); err != nil {
			return nil, nil, err
		}
	} else {
		key, value = c.ahead.key, c.ahead.value
	}
	times := uint64(1)
	for c.ahead = nil; c.ahead == nil; {
		following, same, err := c.pairs.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if bytes.Equal(following, key) {
			times++
		} else {
			c.ahead = &pair{key: following, value: same}
		}
	}
	c.total += int64(times)
	err = c.old.Get(c.ctx, key, func(found, before val.Tuple) error {
		if found != nil {
			times += val.ReadKeylessCardinality(before)
		}
		return nil
	})
	binary.LittleEndian.PutUint64(value, times) // its first field
	return key, value, err
}

// sorter sorts pairs by key. Those that do not fit into memory wait in temporary files, which have no name any more.
type sorter struct {
	keyOrder
	waiting []pair
	bytes   int
	files   []*os.File
}

type pair struct {
	rank       uint64
	key, value val.Tuple
}

const (
	sortBytes = 64 << 20 // of pairs in memory
	pairBytes = 56       // that a pair needs beside its content
	fewPairs  = 1 << 17  // beyond which there is room for as many as fit
)

// newSorter returns a sorter of keys whose first column is of the SQL type first; nil is the hash of rows without a key.
func newSorter(ctx context.Context, order *val.TupleDesc, first sql.Type) *sorter {
	s := &sorter{keyOrder: keyOrder{ctx: ctx, desc: order}}
	s.setRank(first)
	return s
}

// keyOrder compares keys. Of two with another rank the lower comes first, which spares most of the comparisons; so does
// it to compare the first columns as bytes, where that is their order.
type keyOrder struct {
	ctx     context.Context
	desc    *val.TupleDesc
	rank    func(first []byte) uint64
	byBytes bool
}

func (o keyOrder) pairOf(key, value val.Tuple) pair {
	p := pair{key: key, value: value}
	if first := o.desc.GetField(0, key); first != nil { // NULL comes before all others
		p.rank = o.rank(first)
	}
	return p
}

func (o keyOrder) compare(a, b *pair) int {
	if order := cmp.Compare(a.rank, b.rank); order != 0 {
		return order
	}
	if o.byBytes { // the zero byte behind a text is below all others
		if order := bytes.Compare(o.desc.GetField(0, a.key), o.desc.GetField(0, b.key)); order != 0 {
			return order
		}
	}
	return o.desc.Compare(o.ctx, a.key, b.key)
}

// setRank finds what of keys can be compared quickly, when their first column is of the type of.
func (o *keyOrder) setRank(of sql.Type) {
	encoding := o.desc.Types[0].Enc
	stored, isInteger := storedNumbers[encoding]
	text, isText := of.(sql.StringType)
	inline := encoding == val.StringEnc || encoding == val.ByteStringEnc
	switch {
	case encoding == val.DatetimeEnc || encoding == val.TimeEnc:
		stored, isInteger = number{8, true}, true
	case encoding == val.DateEnc:
		stored, isInteger = number{4, false}, true
	case encoding == val.Hash128Enc && of == nil,
		isText && inline && (text.Collation() == sql.Collation_binary || text.Collation() == sql.Collation_Default):
		o.byBytes, o.rank = true, firstBytes
		return
	case encoding == val.Float64Enc:
		o.rank = rankOfDouble
		return
	}
	if !isInteger {
		o.rank = func([]byte) uint64 { return 0 }
		return
	}
	o.rank = func(first []byte) uint64 {
		value, _ := stored.at(first, 0)
		if stored.signed {
			value ^= 1 << 63
		}
		return value
	}
}

func firstBytes(field []byte) uint64 {
	var head [8]byte
	copy(head[:], field)
	return binary.BigEndian.Uint64(head[:])
}

func rankOfDouble(field []byte) uint64 {
	value := binary.LittleEndian.Uint64(field)
	switch {
	case value == 1<<63: // -0.0 equals 0.0
		return 1 << 63
	case value>>63 == 1:
		return ^value
	}
	return value | 1<<63
}

func (s *sorter) close() {
	for _, file := range s.files {
		file.Close()
	}
}

func (s *sorter) addAll(from pairs) error {
	for {
		key, value, err := from.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.add(key, value)
		}
		if err != nil {
			return err
		}
	}
}

func (s *sorter) add(key, value val.Tuple) error {
	if len(s.waiting) == fewPairs { // at once: what a slice grows out of stays in memory until it is collected
		s.waiting = slices.Grow(s.waiting, sortBytes/(s.bytes/fewPairs)-fewPairs)
	}
	s.waiting = append(s.waiting, s.pairOf(key, value))
	s.bytes += pairBytes + len(key) + len(value)
	if len(s.waiting)%rowsPerCheck == 0 && s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if s.bytes < sortBytes {
		return nil
	}
	return s.spill()
}

// sorted gives all pairs in their order; nothing may be added any more.
func (s *sorter) sorted() (pairs, error) {
	if len(s.files) == 0 {
		s.sortWaiting()
		return &pairsInMemory{s.waiting}, nil
	}
	if err := s.spill(); err != nil {
		return nil, err
	}
	s.waiting = nil
	return newMerge(s.keyOrder, s.files)
}

func (s *sorter) sortWaiting() {
	slices.SortFunc(s.waiting, func(a, b pair) int { return s.compare(&a, &b) })
}

// spill moves what waits to a file.
func (s *sorter) spill() error {
	if len(s.waiting) == 0 {
		return nil
	}
	s.sortWaiting()
	file, err := tempfiles.MovableTempFileProvider.NewFile("", "flyte_rows_")
	if err != nil {
		return err
	}
	s.files = append(s.files, file)
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	out := bufio.NewWriterSize(file, 1<<18)
	var head [8]byte
	for _, p := range s.waiting {
		binary.LittleEndian.PutUint32(head[:4], uint32(len(p.key)))
		binary.LittleEndian.PutUint32(head[4:], uint32(len(p.value))) // 0 is nil: an empty tuple has 2 bytes
		for _, piece := range [][]byte{head[:], p.key, p.value} {
			if _, err := out.Write(piece); err != nil {
				return err
			}
		}
	}
	clear(s.waiting)
	s.waiting, s.bytes = s.waiting[:0], 0
	return out.Flush()
}

type pairsInMemory struct{ left []pair }

func (m *pairsInMemory) next() (val.Tuple, val.Tuple, error) {
	if len(m.left) == 0 {
		return nil, nil, io.EOF
	}
	first := m.left[0]
	m.left[0] = pair{}
	m.left = m.left[1:]
	return first.key, first.value, nil
}

// pairsInFile gives the pairs that a sorter wrote to a file.
type pairsInFile struct {
	in   *bufio.Reader
	pool *arena
	head [8]byte
}

func (f *pairsInFile) next() (val.Tuple, val.Tuple, error) {
	if _, err := io.ReadFull(f.in, f.head[:]); err != nil {
		return nil, nil, err // io.EOF only before the first byte
	}
	size := binary.LittleEndian.Uint32(f.head[:4])
	both := f.pool.Get(uint64(size) + uint64(binary.LittleEndian.Uint32(f.head[4:])))
	if _, err := io.ReadFull(f.in, both); err != nil {
		return nil, nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	key, value := both[:size:size], both[size:]
	if len(value) == 0 {
		value = nil
	}
	return key, value, nil
}

// merge gives the pairs of files in one order; it is a heap of the first pair of each.
type merge struct {
	keyOrder
	heads []mergeHead
}

type mergeHead struct {
	pair
	rest *pairsInFile
}

func newMerge(order keyOrder, files []*os.File) (*merge, error) {
	m := &merge{keyOrder: order}
	pool := &arena{}
	for _, file := range files {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		rest := &pairsInFile{in: bufio.NewReaderSize(file, 1<<18), pool: pool}
		key, value, err := rest.next()
		if err != nil {
			return nil, err
		}
		m.heads = append(m.heads, mergeHead{m.pairOf(key, value), rest})
	}
	heap.Init(m)
	return m, nil
}

func (m *merge) next() (val.Tuple, val.Tuple, error) {
	if len(m.heads) == 0 {
		return nil, nil, io.EOF
	}
	head := &m.heads[0]
	first := head.pair
	switch key, value, err := head.rest.next(); {
	case err == nil:
		head.pair = m.pairOf(key, value)
		heap.Fix(m, 0)
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		heap.Pop(m)
	default:
		return nil, nil, err
	}
	return first.key, first.value, nil
}

// Len, Less, Swap, Push and Pop are those of heap.Interface.
func (m *merge) Len() int           { return len(m.heads) }
func (m *merge) Less(i, j int) bool { return m.compare(&m.heads[i].pair, &m.heads[j].pair) < 0 }
func (m *merge) Swap(i, j int)      { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merge) Push(any)           {}
func (m *merge) Pop() any {
	m.heads = m.heads[:len(m.heads)-1]
	return nil
}
