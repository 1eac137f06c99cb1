package native

import (
	"io"

	"github.com/dolthub/dolt/go/libraries/doltcore/schema"
	"github.com/dolthub/dolt/go/store/prolly"
	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// importColumn says where the values of a column are put, and where in the file they come from.
type importColumn struct {
	name  string
	inKey bool
	index int // in the tuple of the key or of the value
	typ   val.Type
	of    sql.Type
	from  int // which column of the file it is
	given string
}

// importColumns lists the columns of a table, or those of its key, which have to be the columns of the file.
func importColumns(sch schema.Schema, key, value *val.TupleDesc, file []fileColumn, keyOnly bool) ([]importColumn, error) {
	places := map[string]int{}
	for at, column := range file {
		places[column.Name] = at
	}
	wanted := sch.GetAllCols().GetColumns()
	if keyOnly {
		wanted = sch.GetPKCols().GetColumns()
	}
	if len(places) != len(file) || len(file) != len(wanted) {
		return nil, useSQL("the file has %d columns for %d of the table", len(file), len(wanted))
	}
	found := make([]importColumn, 0, len(wanted))
	for _, column := range wanted {
		at, ok := places[column.Name]
		if !ok {
			return nil, useSQL("the file has no column %q", column.Name)
		}
		c := importColumn{name: column.Name, inKey: column.IsPartOfPK, of: column.TypeInfo.ToSqlType(), from: at}
		c.given = file[at].Type
		if c.inKey {
			c.index, _ = sch.GetPKCols().StoredIndexByTag(column.Tag)
			c.typ = key.Types[c.index]
		} else {
			c.index, _ = sch.GetNonPKCols().StoredIndexByTag(column.Tag)
			if schema.IsKeyless(sch) {
				c.index++ // behind the number of times that the row is there
			}
			c.typ = value.Types[c.index]
		}
		if c.inKey && (types.IsTextBlob(c.of) || val.IsAddrEncoding(c.typ.Enc)) {
			return nil, useSQL("column %q is a key of the type %s", c.name, c.of)
		}
		found = append(found, c)
	}
	return found, nil
}

// keysMayDiffer says whether two keys of a table may be equal and have other bytes.
func keysMayDiffer(sch schema.Schema) bool {
	for _, column := range sch.GetPKCols().GetColumns() {
		of := column.TypeInfo.ToSqlType()
		text, isText := of.(sql.StringType)
		if types.IsFloat(of) || isText && text.Collation() != sql.Collation_binary {
			return true
		}
	}
	return false
}

// maxTupleBytes is safely below val.MaxTupleDataSize, beyond which the engine has an error.
const maxTupleBytes = 60_000

// fileRows gives the rows of a file as they are stored.
type fileRows struct {
	ctx        *sql.Context
	nodes      tree.NodeStore
	reader     *rowsReader
	columns    []importColumn
	deletes    bool
	keyless    bool
	encoders   []encoder
	data       []columnData
	rows, at   int
	until      uint64 // the row before which it ends, if not 0
	key, value [][]byte
	scratch    []byte
	pool       *arena
}

func newFileRows(ctx *sql.Context, reader *rowsReader, sch schema.Schema, into prolly.Map, deletes bool) (*fileRows, error) {
	key, value := into.Descriptors()
	columns, err := importColumns(sch, key, value, reader.columns, deletes)
	if err != nil {
		return nil, err
	}
	rows := &fileRows{
		ctx: ctx, nodes: into.NodeStore(), reader: reader, columns: columns, deletes: deletes,
		keyless: schema.IsKeyless(sch), encoders: make([]encoder, len(columns)), pool: &arena{},
		key: make([][]byte, key.Count()), value: make([][]byte, value.Count()),
	}
	if rows.keyless {
		rows.value[0] = zeros[:8]
	}
	return rows, nil
}

func (f *fileRows) next() (val.Tuple, val.Tuple, error) {
	if f.at == f.rows {
		if err := f.batch(); err != nil {
			return nil, nil, err
		}
	}
	keyBytes, valueBytes := 0, 0
	f.scratch = f.scratch[:0]
	for c := range f.columns {
		column := &f.columns[c]
		var field []byte
		if !f.data[column.from].isNull(f.at) {
			var err error
			if field, f.scratch, err = f.encoders[c](f.at, f.scratch); err != nil {
				return nil, nil, err
			}
		}
		if column.inKey {
			f.key[column.index] = field
			keyBytes += len(field)
		} else {
			f.value[column.index] = field
			valueBytes += len(field)
		}
	}
	if max(keyBytes, valueBytes) > maxTupleBytes {
		return nil, nil, useSQL("a row has %d bytes", max(keyBytes, valueBytes))
	}
	f.at++
	if f.deletes {
		return val.NewTuple(f.pool, f.key...), nil, nil
	}
	value := val.NewTuple(f.pool, f.value...)
	if f.keyless {
		return val.HashTupleFromValue(f.pool, value), value, nil
	}
	return val.NewTuple(f.pool, f.key...), value, nil
}

// batch reads the next batch, or returns io.EOF.
func (f *fileRows) batch() (err error) {
	if f.until > 0 && f.reader.total >= f.until {
		return io.EOF
	}
	if f.rows, f.data, err = f.reader.next(); err != nil {
		f.rows = f.at
		return err
	}
	f.at = 0
	first := f.reader.total - uint64(f.rows)
	if f.reader.from > first {
		f.at = int(f.reader.from - first)
	}
	if f.until > 0 {
		f.rows = int(min(uint64(f.rows), f.until-first))
	}
	for c := range f.columns {
		column := &f.columns[c]
		data := &f.data[column.from]
		if data.nulls > 0 && !column.typ.Nullable {
			return useSQL("column %q has a NULL", column.name)
		}
		if f.encoders[c], err = column.encoder(f.ctx, f.nodes, data); err != nil {
			return err
		}
	}
	return nil
}
