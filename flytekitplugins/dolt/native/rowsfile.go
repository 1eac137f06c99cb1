package native

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// A rows file, all numbers little-endian:
//
//   - the 8 bytes of the magic, 32 bits with the length of a header in JSON, the header, zeros to a multiple of 64;
//   - batches: 64 bits with the number of rows; for each column 64 bits with the number of NULLs and 64 with the length
//     of each of its buffers in Arrow's layout (validity, of the length 0 where nothing is NULL; offsets, only of types
//     with offsets; data); zeros to a multiple of 64; then the buffers, each with zeros to a multiple of 64;
//   - the end: 64 bits of 0, and 64 with the number of all rows.
//
// No batch is empty. A file that was cut off has no end, and is refused.
const (
	rowsMagic   = "DOLTROW1"
	rowsAlign   = 64
	maxHeader   = 1 << 24
	maxBatch    = 1 << 24 // rows
	maxVariable = math.MaxInt32
)

// fileColumn is a column of a rows file as its header names it.
type fileColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type rowsHeader struct {
	Columns []fileColumn `json:"columns"`
}

// columnData are the values of a column in one batch, in Arrow's layout.
type columnData struct {
	nulls    int
	validity []byte // a bit per row, 1 where there is a value; empty where nulls is 0
	offsets  []byte // rows + 1 numbers of 32 bits, only of types with offsets
	data     []byte
}

// isNull says whether row i has no value.
func (c *columnData) isNull(i int) bool {
	return c.nulls > 0 && c.validity[i>>3]&(1<<(i&7)) == 0
}

// text returns the bytes of row i, of a type with offsets.
func (c *columnData) text(i int) []byte {
	from := binary.LittleEndian.Uint32(c.offsets[4*i:])
	to := binary.LittleEndian.Uint32(c.offsets[4*i+4:])
	return c.data[from:to:to]
}

// rowsWriter writes a rows file; newRowsWriter and close write its beginning and end.
type rowsWriter struct {
	out     io.Writer
	at      int64
	bits    []int
	total   uint64
	scratch []byte
}

func newRowsWriter(out io.Writer, columns []fileColumn) (*rowsWriter, error) {
	w := &rowsWriter{out: out}
	for _, column := range columns {
		bits, err := bitsOf(column.Type)
		if err != nil {
			return nil, err
		}
		w.bits = append(w.bits, bits)
	}
	header, err := json.Marshal(rowsHeader{columns})
	if err != nil {
		return nil, err
	}
	if len(header) > maxHeader {
		return nil, useSQL("the names of the columns are longer than %d bytes", maxHeader)
	}
	head := binary.LittleEndian.AppendUint32([]byte(rowsMagic), uint32(len(header)))
	return w, w.padded(append(head, header...))
}

// writeBatch writes rows; their columns are those that newRowsWriter was given.
func (w *rowsWriter) writeBatch(rows int, columns []columnData) error {
	if rows == 0 {
		return nil
	}
	head := binary.LittleEndian.AppendUint64(w.scratch[:0], uint64(rows))
	for c := range columns {
		column := &columns[c]
		head = binary.LittleEndian.AppendUint64(head, uint64(column.nulls))
		for _, buffer := range column.buffers(w.bits[c]) {
			head = binary.LittleEndian.AppendUint64(head, uint64(len(buffer)))
		}
	}
	w.scratch = head
	if err := w.padded(head); err != nil {
		return err
	}
	for c := range columns {
		for _, buffer := range columns[c].buffers(w.bits[c]) {
			if err := w.padded(buffer); err != nil {
				return err
			}
		}
	}
	w.total += uint64(rows)
	return nil
}

// buffers lists the buffers in the order of Arrow's layout.
func (c *columnData) buffers(bits int) [][]byte {
	validity := c.validity
	if c.nulls == 0 {
		validity = nil
	}
	if bits == 0 {
		return [][]byte{validity, c.offsets, c.data}
	}
	return [][]byte{validity, c.data}
}

// close writes the end of the file; what it writes to stays open.
func (w *rowsWriter) close() error {
	end := binary.LittleEndian.AppendUint64(nil, 0)
	_, err := w.out.Write(binary.LittleEndian.AppendUint64(end, w.total))
	return err
}

var padding [rowsAlign]byte

func (w *rowsWriter) padded(piece []byte) error {
	for _, part := range [][]byte{piece, padding[:padOf(w.at+int64(len(piece)))]} {
		n, err := w.out.Write(part)
		w.at += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

func padOf(at int64) int64 {
	return (rowsAlign - at%rowsAlign) % rowsAlign
}

// rowsReader reads a rows file and trusts nothing in it: what it returns can be taken without looking at lengths again.
type rowsReader struct {
	in      io.Reader
	at      int64
	size    int64
	columns []fileColumn
	bits    []int
	from    uint64 // the first row that is wanted
	total   uint64
}

var errCutOff = errors.New("flyte: the rows file is cut off")

func damaged(format string, args ...any) error {
	return fmt.Errorf("flyte: the rows file is damaged: "+format, args...)
}

// newRowsReader reads the beginning of a file that has size bytes.
func newRowsReader(in io.Reader, size int64) (*rowsReader, error) {
	r := &rowsReader{in: in, size: size}
	head, err := r.take(uint64(len(rowsMagic)) + 4)
	if err != nil {
		return nil, err
	}
	if string(head[:len(rowsMagic)]) != rowsMagic {
		return nil, damaged("it starts with %q", head[:len(rowsMagic)])
	}
	length := binary.LittleEndian.Uint32(head[len(rowsMagic):])
	if length > maxHeader {
		return nil, damaged("a header of %d bytes", length)
	}
	text, err := r.take(uint64(length))
	if err != nil {
		return nil, err
	}
	var header rowsHeader
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&header); err != nil {
		return nil, damaged("its header: %v", err)
	}
	r.columns = header.Columns
	for _, column := range r.columns {
		bits, err := bitsOf(column.Type)
		if err != nil {
			return nil, err
		}
		r.bits = append(r.bits, bits)
	}
	return r, r.skipPadding()
}

// next returns the next batch, or io.EOF behind the last one; those that end before the row from are passed over. The
// buffers are the caller's.
func (r *rowsReader) next() (int, []columnData, error) {
	rows, lengths, err := r.head()
	for err == nil && r.total+rows <= r.from {
		if err = r.pass(rows, lengths); err == nil {
			rows, lengths, err = r.head()
		}
	}
	if err != nil {
		return 0, nil, err
	}
	columns := make([]columnData, len(r.columns))
	for c := range r.columns {
		if columns[c], err = r.column(c, int(rows), lengths[c]); err != nil {
			return 0, nil, err
		}
	}
	r.total += rows
	return int(rows), columns, nil
}

// head reads the head of a batch, or returns io.EOF behind the last one.
func (r *rowsReader) head() (uint64, [][]uint64, error) {
	head, err := r.take(8)
	if err != nil {
		return 0, nil, err
	}
	rows := binary.LittleEndian.Uint64(head)
	if rows == 0 {
		return 0, nil, r.end()
	}
	if rows > maxBatch {
		return 0, nil, damaged("a batch of %d rows", rows)
	}
	lengths := make([][]uint64, len(r.columns))
	for c := range r.columns {
		if lengths[c], err = r.lengths(c, rows); err != nil {
			return 0, nil, err
		}
	}
	return rows, lengths, r.skipPadding()
}

// lengths reads and checks the numbers of a column in the head of a batch: its NULLs and the lengths of its buffers.
func (r *rowsReader) lengths(c int, rows uint64) ([]uint64, error) {
	count := uint64(3)
	if r.bits[c] == 0 {
		count = 4
	}
	raw, err := r.take(8 * count)
	if err != nil {
		return nil, err
	}
	found := make([]uint64, count)
	for i := range found {
		found[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	nulls, data := found[0], found[count-1]
	fits := nulls <= rows && (nulls == 0 || found[1] == (rows+7)/8) && (nulls > 0 || found[1] == 0)
	if r.bits[c] == 0 {
		fits = fits && found[2] == 4*(rows+1) && data <= maxVariable
	} else {
		fits = fits && data == (rows*uint64(r.bits[c])+7)/8
	}
	if !fits {
		return nil, damaged("column %q has buffers of %v bytes for %d rows", r.columns[c].Name, found[1:], rows)
	}
	return found, nil
}

func (r *rowsReader) column(c, rows int, lengths []uint64) (columnData, error) {
	buffers := make([][]byte, 0, 3)
	for _, length := range lengths[1:] {
		buffer, err := r.take(length)
		if err == nil {
			err = r.skipPadding()
		}
		if err != nil {
			return columnData{}, err
		}
		buffers = append(buffers, buffer)
	}
	column := columnData{nulls: int(lengths[0]), validity: buffers[0], data: buffers[len(buffers)-1]}
	if r.bits[c] == 0 {
		column.offsets = buffers[1]
		if !ascending(column.offsets, len(column.data)) {
			return columnData{}, damaged("column %q has offsets outside of its data", r.columns[c].Name)
		}
	}
	return column, nil
}

// ascending says whether offsets begin with 0, never go down and end with the length of the data.
func ascending(offsets []byte, length int) bool {
	last := uint32(0)
	if binary.LittleEndian.Uint32(offsets) != 0 {
		return false
	}
	for at := 4; at < len(offsets); at += 4 {
		next := binary.LittleEndian.Uint32(offsets[at:])
		if next < last {
			return false
		}
		last = next
	}
	return uint64(last) == uint64(length)
}

// end reads what stands behind the last batch.
func (r *rowsReader) end() error {
	raw, err := r.take(8)
	if err != nil {
		return err
	}
	if total := binary.LittleEndian.Uint64(raw); total != r.total || r.at != r.size {
		return damaged("it says it has %d rows and has %d, and %d bytes follow", total, r.total, r.size-r.at)
	}
	return io.EOF
}

func (r *rowsReader) take(length uint64) ([]byte, error) {
	if length > uint64(r.size-r.at) {
		return nil, errCutOff
	}
	piece := make([]byte, length)
	n, err := io.ReadFull(r.in, piece)
	r.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errCutOff
	}
	return piece, err
}

// pass goes over the buffers of a batch.
func (r *rowsReader) pass(rows uint64, lengths [][]uint64) error {
	for c := range lengths {
		for _, length := range lengths[c][1:] {
			if length > uint64(r.size-r.at) {
				return errCutOff
			}
			passed, err := io.CopyN(io.Discard, r.in, int64(length))
			r.at += passed
			if err == nil {
				err = r.skipPadding()
			}
			if err != nil {
				return errors.Join(errCutOff, err)
			}
		}
	}
	r.total += rows
	return nil
}

func (r *rowsReader) skipPadding() error {
	_, err := r.take(uint64(padOf(r.at)))
	return err
}
