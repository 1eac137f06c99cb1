package native

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb"
	"github.com/dolthub/dolt/go/libraries/doltcore/doltdb/durable"
	"github.com/dolthub/dolt/go/libraries/doltcore/schema"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqle/dsess"
	"github.com/dolthub/dolt/go/libraries/doltcore/sqlserver"
	"github.com/dolthub/dolt/go/store/hash"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// A batch is written when it has so many rows or bytes, and leaves are fetched so many at a time: these bound the
// memory, beside one row of whatever size.
const (
	batchRows  = 1 << 16
	batchBytes = 32 << 20
	fetchNodes = 128
)

// exportTable is flyte_export(table, file): it writes the rows of a table that the session sees, in the order of the
// clustered index, to a new file inside the folder of secure_file_priv, and answers how many there are. On an error
// there is no file.
func exportTable(_ *sql.Context, name, path string) (sql.RowIter, error) {
	return whenAsked(func(ctx *sql.Context) (int64, error) { return writeTable(ctx, name, path) })
}

func writeTable(ctx *sql.Context, name, path string) (int64, error) {
	if err := mayDo(ctx, name, sql.PrivilegeType_Select); err != nil {
		return 0, err
	}
	stored, err := storedTable(ctx, name)
	if err != nil {
		return 0, err
	}
	e, root, err := newExporter(ctx, stored)
	if err != nil {
		return 0, err
	}
	if err := writeRowsFile(path, e.fileColumns(), func(w *rowsWriter) error {
		e.out = w
		if err := e.node(root); err != nil {
			return err
		}
		return e.flush()
	}); err != nil {
		return 0, err
	}
	return int64(e.out.total), nil
}

// mayDo refuses who has not all of these rights to a table of the current database, whatever its revision.
func mayDo(ctx *sql.Context, name string, rights ...sql.PrivilegeType) error {
	server := sqlserver.GetRunningServer()
	if server == nil {
		return sql.ErrPrivilegeCheckFailed.New(ctx.Session.Client().User)
	}
	database, _, _ := strings.Cut(ctx.GetCurrentDatabase(), "/") // rights are those of a database, not of its revisions
	subject := sql.PrivilegeCheckSubject{Database: database, Table: name}
	wanted := sql.NewPrivilegedOperation(subject, rights...)
	if !server.Engine.Analyzer.Catalog.MySQLDb.UserHasPrivileges(ctx, wanted) {
		return sql.ErrPrivilegeCheckFailed.New(ctx.Session.Client().User)
	}
	return nil
}

// storedTable finds a table as SQL would, in the session's database, revision and transaction. What is no plain table
// is left to SQL, as is what is not there.
func storedTable(ctx *sql.Context, name string) (*doltdb.Table, error) {
	if err := refuseOverride(ctx); err != nil {
		return nil, err
	}
	database, err := dsess.DSessFromSess(ctx.Session).Provider().Database(ctx, ctx.GetCurrentDatabase())
	if err != nil {
		return nil, err
	}
	found, _, err := database.GetTableInsensitive(ctx, name)
	if err != nil {
		return nil, err
	}
	switch table := found.(type) {
	case *sqle.AlterableDoltTable:
		return table.DoltTable.DoltTable(ctx)
	case *sqle.WritableDoltTable:
		return table.DoltTable.DoltTable(ctx)
	case *sqle.DoltTable:
		return table.DoltTable(ctx)
	}
	return nil, useSQL("%q is no stored table here", name)
}

// refuseOverride leaves sessions to SQL that read tables with the schema of another commit.
func refuseOverride(ctx *sql.Context) error {
	if value, err := ctx.GetSessionVariable(ctx, dsess.DoltOverrideSchema); err != nil || (value != nil && value != "") {
		return useSQL("the schema is overridden (%v)", value)
	}
	return nil
}

// exportColumn says where the values of a column lie, and what they are in the file.
type exportColumn struct {
	fileColumn
	inKey    bool
	index    int // in the tuple of the key or of the value
	desc     *val.TupleDesc
	encoding val.Encoding
	bits     int
	scale    int32
}

// The encodings that are exact as they are, and their types in the file. Decimals and what lies elsewhere are apart.
var exportTypes = map[val.Encoding]string{
	val.Int8Enc: "int8", val.Int16Enc: "int16", val.Int32Enc: "int32", val.Int64Enc: "int64",
	val.Uint8Enc: "uint8", val.Uint16Enc: "uint16", val.Uint32Enc: "uint32", val.Uint64Enc: "uint64",
	val.Float32Enc: "float32", val.Float64Enc: "float64",
	val.DateEnc: "date32", val.DatetimeEnc: "timestamp[us]", val.TimeEnc: "duration[us]", val.YearEnc: "int16",
	val.StringEnc: "string", val.ByteStringEnc: "binary",
	val.StringAddrEnc: "string", val.BytesAddrEnc: "binary", val.JSONAddrEnc: "json",
}

// liesElsewhere says whether a tuple has only the address of a value.
func (c *exportColumn) liesElsewhere() bool {
	return val.IsAddrEncoding(c.encoding)
}

// exportColumns lists the columns of a table in their order.
func exportColumns(sch schema.Schema, key, value *val.TupleDesc) ([]exportColumn, error) {
	var found []exportColumn
	for _, column := range sch.GetAllCols().GetColumns() {
		if column.Virtual {
			return nil, useSQL("column %q is computed when it is read", column.Name)
		}
		c := exportColumn{inKey: column.IsPartOfPK, desc: value}
		c.Name = column.Name
		if c.inKey {
			c.index, _ = sch.GetPKCols().StoredIndexByTag(column.Tag)
			c.desc = key
		} else {
			c.index, _ = sch.GetNonPKCols().StoredIndexByTag(column.Tag)
			if schema.IsKeyless(sch) {
				c.index++ // behind the number of times that the row is there
			}
		}
		c.encoding = c.desc.Types[c.index].Enc
		if err := c.setType(column.TypeInfo.ToSqlType()); err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}

func (c *exportColumn) setType(of sql.Type) (err error) {
	decimal, isDecimal := of.(sql.DecimalType)
	switch {
	case c.encoding == val.DecimalEnc && isDecimal:
		c.scale = int32(decimal.Scale())
		c.Type = decimalType(int(decimal.Precision()), int(decimal.Scale()))
	case c.inKey && (types.IsTextBlob(of) || c.liesElsewhere()):
		return useSQL("column %q is a key of the type %s", c.Name, of)
	default:
		c.Type = exportTypes[c.encoding]
	}
	if c.Type == "" {
		return useSQL("column %q is of the type %s", c.Name, of)
	}
	c.bits, err = bitsOf(c.Type)
	return err
}

// exporter gathers the rows of a table in batches and writes them.
type exporter struct {
	ctx     *sql.Context
	nodes   tree.NodeStore
	columns []exportColumn
	sinks   []sink
	rows    int // in the batch
	keyless bool
	byRow   bool // a leaf may stand for more than fits into memory
	keys    []val.Tuple
	values  []val.Tuple // of the rows that are being added
	out     *rowsWriter
}

// newExporter returns an exporter of a table, and the root of the table's rows.
func newExporter(ctx *sql.Context, table *doltdb.Table) (*exporter, *tree.Node, error) {
	sch, rows, err := storedRows(ctx, table)
	if err != nil {
		return nil, nil, err
	}
	key, value := rows.Descriptors()
	columns, err := exportColumns(sch, key, value)
	if err != nil {
		return nil, nil, err
	}
	e := &exporter{ctx: ctx, nodes: &passing{NodeStore: rows.NodeStore()}, columns: columns, keyless: schema.IsKeyless(sch)}
	e.byRow = e.keyless
	for c := range columns {
		e.byRow = e.byRow || columns[c].liesElsewhere()
	}
	e.makeSinks()
	return e, rows.Node(), nil
}

// storedRows returns what a table looks like, and its rows.
func storedRows(ctx *sql.Context, table *doltdb.Table) (schema.Schema, prolly.Map, error) {
	sch, err := table.GetSchema(ctx)
	if err != nil {
		return nil, prolly.Map{}, err
	}
	index, err := table.GetRowData(ctx)
	if err != nil {
		return nil, prolly.Map{}, err
	}
	rows, err := durable.ProllyMapFromIndex(index)
	return sch, rows, err
}

func (e *exporter) makeSinks() {
	e.sinks = make([]sink, len(e.columns))
	for c := range e.sinks {
		e.sinks[c].reset(e.columns[c].bits)
	}
}

func (e *exporter) fileColumns() []fileColumn {
	found := make([]fileColumn, len(e.columns))
	for c := range found {
		found[c] = e.columns[c].fileColumn
	}
	return found
}

// node exports all rows under a node.
func (e *exporter) node(nd *tree.Node) error {
	if nd.IsLeaf() {
		return e.leaf(nd)
	}
	for from := 0; from < nd.Count(); from += fetchNodes {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		addresses := make(hash.HashSlice, 0, fetchNodes)
		for i := from; i < min(from+fetchNodes, nd.Count()); i++ {
			addresses = append(addresses, hash.New(nd.GetValue(i)))
		}
		children, err := e.nodes.ReadMany(e.ctx, addresses)
		if err != nil {
			return err
		}
		for _, child := range children {
			if err := e.node(child); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *exporter) leaf(nd *tree.Node) error {
	if !e.byRow {
		return e.span(nd, 0, nd.Count())
	}
	for i := range nd.Count() {
		times := uint64(1)
		if e.keyless {
			times = val.ReadKeylessCardinality(val.Tuple(nd.GetValue(i)))
		}
		for range times {
			if err := e.span(nd, i, i+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// span adds the rows of a leaf from one to before another to the batch, and writes it when it is full.
func (e *exporter) span(nd *tree.Node, from, to int) error {
	e.keys, e.values = e.keys[:0], e.values[:0]
	for i := from; i < to; i++ {
		e.keys = append(e.keys, val.Tuple(nd.GetKey(i)))
		e.values = append(e.values, val.Tuple(nd.GetValue(i)))
	}
	bytes := 0
	for c := range e.columns {
		column, into := &e.columns[c], &e.sinks[c]
		tuples := e.values
		if column.inKey {
			tuples = e.keys
		}
		if err := e.putAll(into, column, tuples); err != nil {
			return err
		}
		bytes += len(into.data)
	}
	e.rows += to - from
	if e.rows >= batchRows || bytes >= batchBytes {
		return e.flush()
	}
	return nil
}

// putAll adds the values that a column has in these tuples to the batch.
func (e *exporter) putAll(into *sink, column *exportColumn, tuples []val.Tuple) error {
	done := 0
	if into.nulls == 0 {
		done = into.fill(column, tuples)
	}
	for _, tuple := range tuples[done:] {
		if err := e.put(into, column, tuple); err != nil {
			return err
		}
	}
	if len(into.data) > maxVariable {
		return useSQL("column %q has a value that is too long", column.Name)
	}
	return nil
}

// put adds the value of a column, which the tuple has, to the batch.
func (e *exporter) put(into *sink, column *exportColumn, tuple val.Tuple) (err error) {
	field := column.desc.GetField(column.index, tuple)
	if field == nil {
		into.null(column.bits)
		return nil
	}
	switch column.encoding {
	case val.StringEnc, val.ByteStringEnc:
		into.data = append(into.data, field[:len(field)-1]...) // a zero byte is behind it
	case val.StringAddrEnc, val.BytesAddrEnc, val.JSONAddrEnc:
		into.data, err = e.appendFromElsewhere(into.data, column, tuple)
	case val.DecimalEnc:
		into.data, err = appendDecimal(into.data, column, field)
	case val.DateEnc:
		into.data, err = appendDate(into.data, column, field)
	case val.DatetimeEnc:
		into.data, err = appendDatetime(into.data, column, field)
	case val.YearEnc:
		into.data = appendYear(into.data, field)
	default: // the same bytes in both
		into.data = append(into.data, field...)
	}
	if err != nil {
		return err
	}
	if len(into.data) > maxVariable { // also before it is an offset
		return useSQL("column %q has a value that is too long", column.Name)
	}
	into.filled(column.bits)
	return nil
}

// flush writes the batch, unless it is empty, and begins another.
func (e *exporter) flush() error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	batch := make([]columnData, len(e.sinks))
	for c := range e.sinks {
		kind := e.columns[c].Type
		if (kind == "string" || kind == "json") && !e.sinks[c].isText() {
			return useSQL("column %q has bytes that are no UTF-8", e.columns[c].Name)
		}
		batch[c] = e.sinks[c].columnData
	}
	if err := e.out.writeBatch(e.rows, batch); err != nil {
		return err
	}
	e.rows = 0
	for c := range e.sinks {
		e.sinks[c].reset(e.columns[c].bits)
	}
	return nil
}

// sink gathers the values of a column.
type sink struct {
	columnData
	rows int
}

var zeros [32]byte

// reset makes the sink empty; buffers of an unusual size are given back.
func (s *sink) reset(bits int) {
	*s = sink{columnData: columnData{validity: s.validity[:0], offsets: s.offsets[:0], data: s.data[:0]}}
	if cap(s.data) > 2*batchBytes {
		s.data = nil
	}
	if bits == 0 {
		s.offsets = append(s.offsets, zeros[:4]...)
	}
}

func (s *sink) null(bits int) {
	if s.nulls == 0 { // all rows before it have values
		s.validity = s.validity[:0]
		for range (s.rows + 7) / 8 {
			s.validity = append(s.validity, 0xff)
		}
		if used := s.rows & 7; used > 0 {
			s.validity[s.rows>>3] = 1<<used - 1
		}
	}
	s.nulls++
	s.data = append(s.data, zeros[:bits/8]...)
	s.ended(bits, 0)
}

// fill adds values as put does, for as long as they are of the most usual types and none is NULL, and returns how many.
// A batch has no NULL yet.
func (s *sink) fill(column *exportColumn, tuples []val.Tuple) int {
	before := s.rows
	switch column.encoding {
	case val.StringEnc, val.ByteStringEnc:
		s.fillTexts(column.index, tuples)
	case val.Int64Enc, val.Uint64Enc, val.Float64Enc, val.TimeEnc:
		s.fillWords(column.index, tuples, math.MinInt64, math.MaxInt64)
	case val.DatetimeEnc:
		s.fillWords(column.index, tuples, firstMicros, lastMicros)
	case val.Int8Enc, val.Uint8Enc:
		for _, tuple := range tuples {
			field := tuple.GetField(column.index)
			if field == nil {
				break
			}
			s.data = append(s.data, field[0])
			s.rows++
		}
	}
	return s.rows - before
}

// fillTexts adds values, each of which has a zero byte behind it.
func (s *sink) fillTexts(index int, tuples []val.Tuple) {
	for _, tuple := range tuples {
		field := tuple.GetField(index)
		if field == nil || len(s.data)+len(field) > maxVariable {
			return
		}
		s.data = append(s.data, field[:len(field)-1]...)
		s.offsets = binary.LittleEndian.AppendUint32(s.offsets, uint32(len(s.data)))
		s.rows++
	}
}

// fillWords adds values of 64 bits, none of which, as a number with a sign, is outside of these.
func (s *sink) fillWords(index int, tuples []val.Tuple, first, last int64) {
	s.data = slices.Grow(s.data, 8*len(tuples))
	for _, tuple := range tuples {
		field := tuple.GetField(index)
		if field == nil {
			return
		}
		word := binary.LittleEndian.Uint64(field)
		if int64(word) < first || int64(word) > last {
			return
		}
		s.data = binary.LittleEndian.AppendUint64(s.data, word)
		s.rows++
	}
}

// filled ends a row whose value was added to the data.
func (s *sink) filled(bits int) {
	s.ended(bits, 1)
}

func (s *sink) ended(bits int, valid byte) {
	if s.nulls > 0 {
		if s.rows&7 == 0 {
			s.validity = append(s.validity, 0)
		}
		s.validity[s.rows>>3] |= valid << (s.rows & 7)
	}
	s.rows++
	if bits == 0 {
		s.offsets = binary.LittleEndian.AppendUint32(s.offsets, uint32(len(s.data)))
	}
}

// isText says whether each value is UTF-8: all of them together are, and none begins in the middle of a character.
func (c *columnData) isText() bool {
	if !utf8.Valid(c.data) {
		return false
	}
	for at := 0; at < len(c.offsets); at += 4 {
		begin := binary.LittleEndian.Uint32(c.offsets[at:])
		if int(begin) < len(c.data) && !utf8.RuneStart(c.data[begin]) {
			return false
		}
	}
	return true
}
