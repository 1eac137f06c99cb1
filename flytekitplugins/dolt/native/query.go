package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/rowexec"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	querypb "github.com/dolthub/vitess/go/vt/proto/query"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"github.com/dolthub/dolt/go/libraries/doltcore/sqlserver"
)

// queryTable is flyte_query(text, file): it runs one query that only reads, with the rights of the session's user and in
// the session's transaction, writes its rows to a new file inside the folder of secure_file_priv, and answers how many
// there are. On an error there is no file.
func queryTable(_ *sql.Context, text, path string) (sql.RowIter, error) {
	return whenAsked(func(ctx *sql.Context) (int64, error) { return writeQuery(ctx, text, path) })
}

func writeQuery(ctx *sql.Context, text, path string) (int64, error) {
	server := sqlserver.GetRunningServer()
	if server == nil {
		return 0, errors.New("flyte: there is no server")
	}
	if charset := ctx.GetCharacterSetResults(); charset != sql.CharacterSet_utf8mb4 {
		return 0, useSQL("the results of the session are in %s", charset.Name())
	}
	statement, text, err := parseQuery(ctx, server.Engine.Parser, text)
	if err != nil {
		return 0, err
	}
	analyzed, err := analyzeQuery(ctx, server.Engine, statement, text)
	if err != nil {
		return 0, err
	}
	if err := checkInner(ctx, server.Engine, text, analyzed.Schema()); err != nil {
		return 0, err
	}
	w, err := newResultWriter(ctx, analyzed.Schema())
	if err != nil {
		return 0, err
	}
	if err := writeRowsFile(path, w.fileColumns(), func(out *rowsWriter) error {
		w.out = out
		return w.writeAll(server.Engine, analyzed)
	}); err != nil {
		return 0, err
	}
	return int64(w.out.total), nil
}

func analyzeQuery(ctx *sql.Context, engine *sqle.Engine, statement sqlparser.Statement, text string) (sql.Node, error) {
	builder := planbuilder.New(ctx, engine.Analyzer.Catalog, engine.EventScheduler) // it also checks the user's rights
	bound, flags, err := builder.BindOnly(statement, text, nil)
	if err != nil {
		return nil, err
	}
	analyzed, err := engine.Analyzer.Analyze(ctx, bound, nil, flags)
	if err != nil {
		return nil, err
	}
	if !analyzed.IsReadOnly() {
		return nil, notAQuery("it writes")
	}
	return analyzed, nil
}

// checkInner leaves to SQL the queries whose columns have other names or types in a subquery, which is where SQL looks
// for them first: unnamed texts, and unions of texts with bytes.
func checkInner(ctx *sql.Context, engine *sqle.Engine, text string, schema sql.Schema) error {
	statement, text, err := parseQuery(ctx, engine.Parser, "SELECT * FROM (\n"+text+"\n) AS q")
	if err != nil {
		return nil // it cannot stand there, and SQL does not look then
	}
	analyzed, err := analyzeQuery(ctx, engine, statement, text)
	if err != nil {
		return nil
	}
	inner := analyzed.Schema()
	if len(inner) != len(schema) {
		return useSQL("there are %d columns, and %d in a subquery", len(schema), len(inner))
	}
	for i, column := range schema {
		if inner[i].Name != column.Name || isBytes(inner[i].Type) != isBytes(column.Type) {
			return useSQL("column %q is %q of the type %s in a subquery", column.Name, inner[i].Name, inner[i].Type)
		}
	}
	return nil
}

func isBytes(typ sql.Type) bool {
	return resultTypes[typ.Type()] == "binary"
}

func notAQuery(format string, args ...any) error {
	return fmt.Errorf("flyte: no query that only reads: "+format, args...)
}

// parseQuery returns the one query in a text and the text without spaces and semicolons at its end, or an error for
// every text that is anything else.
func parseQuery(ctx *sql.Context, parser sql.Parser, text string) (sqlparser.Statement, string, error) {
	if !utf8.ValidString(text) {
		return nil, "", notAQuery("it is no UTF-8")
	}
	statement, parsed, remainder, err := parser.ParseWithOptions(ctx, text, ';', true, sql.LoadSqlMode(ctx).ParserOptions())
	if err != nil {
		return nil, "", sql.ErrSyntaxError.New(err.Error())
	}
	if remainder != "" {
		if _, err := parser.ParseSimple(remainder); !errors.Is(err, sqlparser.ErrEmpty) {
			return nil, "", notAQuery("it holds a second statement")
		}
	}
	if _, ok := statement.(sqlparser.SelectStatement); !ok {
		return nil, "", notAQuery("it is a %T", statement)
	}
	return statement, parsed, eachNode(reflect.ValueOf(statement), checkNode)
}

// Functions that do more than give a value, or give one that depends on what the session did before.
var refusedFunctions = map[string]bool{
	"get_lock": true, "release_lock": true, "release_all_locks": true, "is_free_lock": true, "is_used_lock": true,
	"sleep": true, "benchmark": true, "load_file": true, "connection_id": true, "found_rows": true, "row_count": true,
	"last_insert_id": true, "last_insert_uuid": true,
	"dolt_test_run": true, // runs statements that are stored in a table
}

// checkNode refuses what a query that only reads does not have, wherever in the tree it is.
func checkNode(node any) error {
	switch node := node.(type) {
	case sqlparser.SelectStatement:
	case sqlparser.Statement:
		return notAQuery("it holds a %T", node)
	case *sqlparser.Into:
		return notAQuery("it has INTO")
	case *sqlparser.Lock:
		if node.Type != "" || len(node.Tables) > 0 { // it is there, and empty, in every union
			return notAQuery("it locks rows")
		}
	case *sqlparser.FuncExpr:
		return checkFunction(node.Name.Lowered())
	case *sqlparser.TableFuncExpr:
		return checkFunction(strings.ToLower(node.Name))
	}
	return nil
}

func checkFunction(name string) error {
	if name == "dolt_query_diff" { // it runs its arguments, which are not looked at here
		return useSQL("it calls %s", name)
	}
	if refusedFunctions[name] {
		return notAQuery("it calls %s", name)
	}
	return nil
}

// eachNode visits a pointer to each part of a syntax tree. The parser's own walk leaves some of them out.
func eachNode(value reflect.Value, visit func(any) error) error {
	switch value.Kind() {
	case reflect.Interface:
		if value.IsNil() {
			return nil
		}
		inner := value.Elem()
		if inner.Kind() == reflect.Struct { // which has no address there
			copied := reflect.New(inner.Type()).Elem()
			copied.Set(inner)
			inner = copied
		}
		return eachNode(inner, visit)
	case reflect.Pointer:
		if value.IsNil() {
			return nil
		}
		return eachNode(value.Elem(), visit)
	case reflect.Struct:
		if err := visit(value.Addr().Interface()); err != nil {
			return err
		}
		for i := range value.NumField() {
			if !value.Type().Field(i).IsExported() {
				continue
			}
			if err := eachNode(value.Field(i), visit); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return nil
		}
		for i := range value.Len() {
			if err := eachNode(value.Index(i), visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// resultTypes are the types in the file of a result's types, as Python's reader of printed results has them. Decimals are
// apart.
var resultTypes = map[querypb.Type]string{
	sqltypes.Int8: "int8", sqltypes.Int16: "int16", sqltypes.Int24: "int32", sqltypes.Int32: "int32",
	sqltypes.Int64: "int64", sqltypes.Uint8: "uint8", sqltypes.Uint16: "uint16", sqltypes.Uint24: "uint32",
	sqltypes.Uint32: "uint32", sqltypes.Uint64: "uint64", sqltypes.Bit: "uint64", sqltypes.Year: "int16",
	sqltypes.Float32: "float32", sqltypes.Float64: "float64",
	sqltypes.Date: "date32", sqltypes.Datetime: "timestamp[us]", sqltypes.Timestamp: "timestamp[us]",
	sqltypes.Time: "duration[us]",
	sqltypes.Char: "string", sqltypes.VarChar: "string", sqltypes.Text: "string", sqltypes.Enum: "string",
	sqltypes.Set: "string", sqltypes.Null: "string", // nothing but NULL
	sqltypes.Binary: "binary", sqltypes.VarBinary: "binary", sqltypes.Blob: "binary", sqltypes.TypeJSON: "json",
}

// resultWriter gathers the rows of a result in batches and writes them.
type resultWriter struct {
	exporter
	types  []sql.Type
	limits []*big.Int // above all digits that are announced for a decimal
}

func newResultWriter(ctx *sql.Context, schema sql.Schema) (*resultWriter, error) {
	w := &resultWriter{exporter: exporter{ctx: ctx, sinks: make([]sink, len(schema))}}
	for i, column := range schema {
		if !utf8.ValidString(column.Name) {
			return nil, useSQL("the name of column %d is no UTF-8", i)
		}
		c := exportColumn{fileColumn: fileColumn{Name: column.Name, Type: resultTypes[column.Type.Type()]}}
		var limit *big.Int
		if decimal, ok := column.Type.(sql.DecimalType); ok {
			limit = powerOfTen(int(decimal.Precision()))
			c.scale = int32(decimal.Scale())
			digits := narrowDigits // there may be more than are announced
			if decimal.Precision() > narrowDigits {
				digits = wideDigits
			}
			c.Type = decimalType(digits, int(c.scale))
		}
		if c.Type == "" {
			return nil, useSQL("column %q is of the type %s", c.Name, column.Type)
		}
		var err error
		if c.bits, err = bitsOf(c.Type); err != nil {
			return nil, err
		}
		w.columns = append(w.columns, c)
		w.types = append(w.types, column.Type)
		w.limits = append(w.limits, limit)
		w.sinks[i].reset(c.bits)
	}
	return w, nil
}

// writeAll runs a query and writes its rows. It is neither committed nor tracked by itself: the call that it is part of
// is.
func (w *resultWriter) writeAll(engine *sqle.Engine, analyzed sql.Node) (err error) {
	built, err := engine.Analyzer.ExecBuilder.Build(w.ctx, analyzed, nil)
	if err != nil {
		return err
	}
	tracked := plan.NewTrackedRowIter(analyzed, built, nil, nil) // which lets go of what the nodes keep, and no more
	rows := rowexec.AddExpressionCloser(analyzed, tracked)
	defer func() {
		if closing := rows.Close(w.ctx); err == nil {
			err = closing
		}
	}()
	for {
		row, err := rows.Next(w.ctx)
		if errors.Is(err, io.EOF) {
			return w.flush()
		}
		if err != nil {
			return err
		}
		if err := w.add(row); err != nil {
			return err
		}
	}
}

// add adds a row to the batch, and writes it when it is full.
func (w *resultWriter) add(row sql.Row) error {
	if len(row) != len(w.columns) {
		return useSQL("a row has %d values for %d columns", len(row), len(w.columns))
	}
	size := 0
	for c := range w.columns {
		into := &w.sinks[c]
		if err := w.putValue(into, c, row[c]); err != nil {
			return err
		}
		if len(into.data) > maxVariable {
			return useSQL("column %q has a value that is too long", w.columns[c].Name)
		}
		size += len(into.data)
	}
	w.rows++
	if w.rows >= batchRows || size >= batchBytes {
		return w.flush()
	}
	return nil
}

// putValue adds a value to a column. A value that is not plainly of the column's type is what the server would print.
func (w *resultWriter) putValue(into *sink, c int, value any) error {
	bits := w.columns[c].bits
	if value == nil {
		into.null(bits)
		return nil
	}
	if data, ok := w.appendPlain(into.data, c, value); ok {
		into.data = data
		into.filled(bits)
		return nil
	}
	printed, err := w.types[c].SQL(w.ctx, nil, value)
	if err != nil {
		return err
	}
	if printed.IsNull() {
		into.null(bits)
		return nil
	}
	data, err := appendPrinted(into.data, &w.columns[c], w.types[c].Type(), printed.ToBytes())
	if err != nil {
		return useSQL("column %q has the value %.60q: %v", w.columns[c].Name, printed.ToBytes(), err)
	}
	into.data = data
	into.filled(bits)
	return nil
}

// appendPlain adds a value whose Go type is that of the column; false means that it has to be printed.
func (w *resultWriter) appendPlain(data []byte, c int, value any) ([]byte, bool) {
	typ := w.types[c]
	base := typ.Type()
	switch v := value.(type) {
	case int8:
		return append(data, byte(v)), base == sqltypes.Int8
	case int16:
		return binary.LittleEndian.AppendUint16(data, uint16(v)), base == sqltypes.Int16
	case int32:
		return binary.LittleEndian.AppendUint32(data, uint32(v)), base == sqltypes.Int32
	case int64:
		return binary.LittleEndian.AppendUint64(data, uint64(v)), base == sqltypes.Int64
	case uint8:
		return append(data, v), base == sqltypes.Uint8
	case uint16:
		return binary.LittleEndian.AppendUint16(data, v), base == sqltypes.Uint16
	case uint32:
		return binary.LittleEndian.AppendUint32(data, v), base == sqltypes.Uint32
	case uint64:
		return binary.LittleEndian.AppendUint64(data, v), base == sqltypes.Uint64
	case float32:
		return binary.LittleEndian.AppendUint32(data, math.Float32bits(v)), base == sqltypes.Float32 && isFinite(float64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(data, math.Float64bits(v)), base == sqltypes.Float64 && isFinite(v)
	case string:
		_, isString := typ.(types.StringType)
		return append(data, v...), isString && !types.IsBinaryType(typ)
	case types.Timespan:
		return binary.LittleEndian.AppendUint64(data, uint64(v)), base == sqltypes.Time
	case time.Time:
		return appendMoment(data, typ, v)
	case storedDecimal:
		if w.limits[c] == nil || v.Exponent() != -w.columns[c].scale {
			return data, false
		}
		number := v.Coefficient()
		if number.CmpAbs(w.limits[c]) >= 0 {
			return data, false
		}
		added, err := appendInteger(data, w.columns[c].bits, number, number.Sign() < 0)
		return added, err == nil
	}
	return data, false
}

// storedDecimal is a decimal of the engine's.
type storedDecimal interface {
	Exponent() int32
	Coefficient() *big.Int
}

func isFinite(v float64) bool {
	return !math.IsInf(v, 0) && !math.IsNaN(v)
}

// appendMoment adds a moment that needs no rounding; outside of the years of DATETIME it is the printing that says what
// becomes of it.
func appendMoment(data []byte, typ sql.Type, v time.Time) ([]byte, bool) {
	declared, ok := typ.(sql.DatetimeType)
	if !ok || typ.Type() != sqltypes.Datetime || v.Location() != time.UTC || v.Year() < 1000 || v.Year() > 9999 {
		return data, false
	}
	unit := 1000 // nanoseconds
	for range 6 - declared.Precision() {
		unit *= 10
	}
	return binary.LittleEndian.AppendUint64(data, uint64(v.UnixMicro())), v.Nanosecond()%unit == 0
}

// appendPrinted adds a value that the server printed for a column of the type base.
func appendPrinted(data []byte, column *exportColumn, base querypb.Type, printed []byte) ([]byte, error) {
	text := string(printed)
	switch kind := column.Type; kind {
	case "string", "binary", "json":
		return append(data, printed...), nil
	case "int8", "int16", "int32", "int64":
		number, err := strconv.ParseInt(text, 10, column.bits)
		return appendBits(data, column.bits, uint64(number)), err
	case "uint8", "uint16", "uint32", "uint64":
		if base == sqltypes.Bit {
			return appendBits(data, 64, uintOf(printed)), nil
		}
		number, err := strconv.ParseUint(text, 10, column.bits)
		return appendBits(data, column.bits, number), err
	case "float32", "float64":
		number, err := strconv.ParseFloat(text, column.bits)
		if err == nil && !isFinite(number) {
			err = errors.New("not finite")
		}
		if kind == "float32" {
			return appendBits(data, 32, uint64(math.Float32bits(float32(number)))), err
		}
		return appendBits(data, 64, math.Float64bits(number)), err
	case "date32":
		date, err := time.Parse("2006-01-02", text)
		return appendBits(data, 32, uint64(date.Unix()/86400)), checkYear(date, err)
	case "timestamp[us]":
		moment, err := time.Parse("2006-01-02 15:04:05.999999", text)
		return appendBits(data, 64, uint64(moment.UnixMicro())), checkYear(moment, err)
	case "duration[us]":
		span, err := types.Time.ConvertToTimespan(text)
		return appendBits(data, 64, uint64(span)), err
	}
	return appendPrintedDecimal(data, column.bits, int(column.scale), printed)
}

func appendBits(data []byte, bits int, value uint64) []byte {
	for at := 0; at < bits; at += 8 {
		data = append(data, byte(value>>at))
	}
	return data
}

// uintOf returns a number of up to 64 bits, of which the highest come first.
func uintOf(raw []byte) (value uint64) {
	for _, b := range raw {
		value = value<<8 | uint64(b)
	}
	return value
}

func checkYear(moment time.Time, err error) error {
	if err == nil && moment.Year() < 1 {
		return errors.New("a year before 1")
	}
	return err
}

// appendPrintedDecimal adds a decimal as the bits of its digits at a scale that has all its places.
func appendPrintedDecimal(data []byte, bits, scale int, printed []byte) ([]byte, error) {
	unsigned, negative := bytes.CutPrefix(printed, []byte("-"))
	whole, places, _ := bytes.Cut(unsigned, []byte("."))
	if len(places) > scale {
		return nil, fmt.Errorf("more than %d places", scale)
	}
	digits := append(append(bytes.Clone(whole), places...), bytes.Repeat([]byte("0"), scale-len(places))...)
	if len(whole) == 0 || len(bytes.Trim(digits, "0123456789")) > 0 {
		return nil, errors.New("no decimal")
	}
	number, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return nil, errors.New("no decimal")
	}
	return appendInteger(data, bits, number, negative)
}
