package native

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// An encoder returns the stored bytes of row i, which is not NULL. It may append them to scratch, and returns what that
// became.
type encoder func(i int, scratch []byte) (field, grown []byte, err error)

// encoder returns how the values of a batch are stored. What SQL would not store just as it is, is refused.
func (c *importColumn) encoder(ctx *sql.Context, nodes tree.NodeStore, data *columnData) (encoder, error) {
	if encode := c.numbers(data); encode != nil {
		return encode, nil
	}
	if (c.given == "string" || c.given == "json") && !data.isText() {
		return nil, useSQL("column %q has bytes that are no UTF-8", c.name)
	}
	var encode encoder
	switch {
	case c.given == "date32" && c.typ.Enc == val.DateEnc:
		encode = c.dates(data)
	case c.given == "timestamp[us]" && c.typ.Enc == val.DatetimeEnc:
		encode = c.moments(data)
	case c.given == "duration[us]" && c.typ.Enc == val.TimeEnc:
		encode = c.fixed(data, 8, isTime)
	case c.typ.Enc == val.DecimalEnc:
		encode = c.decimals(data)
	case c.given == "string" && (c.typ.Enc == val.StringEnc || c.typ.Enc == val.StringAddrEnc):
		encode = c.texts(ctx, nodes, data)
	case c.given == "binary" && (c.typ.Enc == val.ByteStringEnc || c.typ.Enc == val.BytesAddrEnc):
		encode = c.texts(ctx, nodes, data)
	case c.given == "string" && (c.typ.Enc == val.EnumEnc || c.typ.Enc == val.SetEnc):
		encode = c.converted(ctx, nodes, data)
	case (c.given == "string" || c.given == "json") && c.typ.Enc == val.JSONAddrEnc:
		encode = c.converted(ctx, nodes, data)
	}
	if encode == nil {
		return nil, useSQL("column %q is of the type %s, and %s in the file", c.name, c.of, c.given)
	}
	return encode, nil
}

func (c *importColumn) refused(what string) error {
	return useSQL("column %q has %s", c.name, what)
}

// fixed is of values whose stored bytes are those of the file; the engine may not take all of them.
func (c *importColumn) fixed(data *columnData, width int, fits func([]byte) bool) encoder {
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		field := data.data[i*width : (i+1)*width : (i+1)*width]
		if fits != nil && !fits(field) {
			return nil, scratch, c.refused("a value that its type has not")
		}
		return field, scratch, nil
	}
}

// number is an integer of a file or of a table: its bytes, and whether it has a sign.
type number struct {
	bytes  int
	signed bool
}

var (
	fileNumbers = map[string]number{
		"int8": {1, true}, "int16": {2, true}, "int32": {4, true}, "int64": {8, true},
		"uint8": {1, false}, "uint16": {2, false}, "uint32": {4, false}, "uint64": {8, false},
	}
	storedNumbers = map[val.Encoding]number{
		val.Int8Enc: {1, true}, val.Int16Enc: {2, true}, val.Int32Enc: {4, true}, val.Int64Enc: {8, true},
		val.Uint8Enc: {1, false}, val.Uint16Enc: {2, false}, val.Uint32Enc: {4, false}, val.Uint64Enc: {8, false},
	}
)

// numbers returns the encoder of a column of numbers, BOOLEAN or YEAR, and nil of others.
func (c *importColumn) numbers(data *columnData) encoder {
	given, isInteger := fileNumbers[c.given]
	stored, intoInteger := storedNumbers[c.typ.Enc]
	used := 8 * stored.bytes
	if c.of == types.Int24 || c.of == types.Uint24 { // stored in 32
		used = 24
	}
	if _, isBit := c.of.(types.BitType); isBit { // SQL takes a text for its bytes
		return nil
	}
	switch {
	case c.given == "float64" && c.typ.Enc == val.Float64Enc:
		return c.fixed(data, 8, isDouble)
	case c.given == "float32" && c.typ.Enc == val.Float32Enc:
		return c.fixed(data, 4, isFloat)
	case c.given == "bool" && intoInteger:
		return func(i int, scratch []byte) ([]byte, []byte, error) {
			n := len(scratch)
			scratch = append(append(scratch, data.data[i>>3]>>(i&7)&1), zeros[:stored.bytes-1]...)
			return scratch[n:], scratch, nil
		}
	case isInteger && c.typ.Enc == val.YearEnc:
		return c.years(data, given)
	case isInteger && given == stored && used == 8*stored.bytes:
		return c.fixed(data, given.bytes, nil)
	case isInteger && intoInteger:
		return c.integers(data, given, stored, used)
	}
	return nil
}

// at returns the 64 bits of an integer, and whether it is below zero.
func (n number) at(data []byte, i int) (uint64, bool) {
	var wide [8]byte
	copy(wide[:], data[i*n.bytes:(i+1)*n.bytes])
	value := binary.LittleEndian.Uint64(wide[:])
	if n.signed {
		unused := 64 - 8*n.bytes
		value = uint64(int64(value<<unused) >> unused)
	}
	return value, n.signed && int64(value) < 0
}

// integers is of those that have other bytes in the table than in the file, where so many bits may be used.
func (c *importColumn) integers(data *columnData, given, stored number, used int) encoder {
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		value, negative := given.at(data.data, i)
		fits := !negative && bits.Len64(value) <= used
		if stored.signed {
			fits = !negative && bits.Len64(value) < used || negative && bits.Len64(^value) < used
		}
		if !fits {
			return nil, scratch, c.refused("an integer that is out of range")
		}
		n := len(scratch)
		scratch = binary.LittleEndian.AppendUint64(scratch, value)[:n+stored.bytes]
		return scratch[n:], scratch, nil
	}
}

// years is the inverse of appendYear; SQL takes the text of other years for another one.
func (c *importColumn) years(data *columnData, given number) encoder {
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		year, negative := given.at(data.data, i)
		if negative || year < 1901 || year > 2155 {
			return nil, scratch, c.refused("a year outside of 1901 to 2155")
		}
		n := len(scratch)
		scratch = append(scratch, byte(year-1901))
		return scratch[n:], scratch, nil
	}
}

func isDouble(field []byte) bool {
	value := math.Float64frombits(binary.LittleEndian.Uint64(field))
	return !math.IsNaN(value) && !math.IsInf(value, 0)
}

// isFloat says what SQL takes: not the largest one of all, whose text it rounds up beyond the limit.
func isFloat(field []byte) bool {
	value := math.Float32frombits(binary.LittleEndian.Uint32(field))
	return -math.MaxFloat32 < value && value < math.MaxFloat32
}

const maxTimeMicros = (838*3600 + 59*60 + 59) * 1_000_000

func isTime(field []byte) bool {
	micros := int64(binary.LittleEndian.Uint64(field))
	return -maxTimeMicros <= micros && micros <= maxTimeMicros
}

var (
	firstDay       = int32(firstMicros / (86400 * 1_000_000))
	lastDay        = int32((lastMicros+1)/(86400*1_000_000)) - 1
	firstTimestamp = time.Unix(1, 0).UnixMicro()
	lastTimestamp  = time.Unix(math.MaxInt32, 999_999_000).UnixMicro()
)

func (c *importColumn) dates(data *columnData) encoder {
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		days := int32(binary.LittleEndian.Uint32(data.data[4*i:]))
		if days < firstDay || days > lastDay {
			return nil, scratch, c.refused("a date that is out of range")
		}
		year, month, day := time.Unix(int64(days)*86400, 0).UTC().Date()
		n := len(scratch)
		scratch = binary.LittleEndian.AppendUint32(scratch, uint32(year)<<16|uint32(month)<<8|uint32(day))
		return scratch[n:], scratch, nil
	}
}

// moments is of DATETIME and TIMESTAMP. More digits of a second than the type has are rounded by SQL.
func (c *importColumn) moments(data *columnData) encoder {
	of, ok := c.of.(sql.DatetimeType)
	if !ok {
		return nil
	}
	first, last := firstMicros, lastMicros
	if of.Type() == sqltypes.Timestamp {
		first, last = firstTimestamp, lastTimestamp
	}
	step := int64(1)
	for range 6 - of.Precision() {
		step *= 10
	}
	return c.fixed(data, 8, func(field []byte) bool {
		micros := int64(binary.LittleEndian.Uint64(field))
		return first <= micros && micros <= last && micros%step == 0
	})
}

// decimals is the inverse of appendDecimal: the digits are filled up to whole words of 8 bytes.
func (c *importColumn) decimals(data *columnData) encoder {
	precision, scale, err := decimalDigits(c.given)
	of, ok := c.of.(sql.DecimalType)
	if err != nil || !ok || scale != int(of.Scale()) || precision > int(of.Precision()) {
		return nil
	}
	size, err := bitsOf(c.given)
	if err != nil {
		return nil
	}
	width := size / 64
	limit := wordsOf(powerOfTen(precision))
	exponent := uint32(-int32(scale))
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		var number words
		for w := range width {
			number[len(number)-1-w] = binary.LittleEndian.Uint64(data.data[8*(i*width+w):])
		}
		used := number[len(number)-width:]
		sign := byte(1)
		if int64(used[0]) < 0 {
			sign = 0xff
			var borrow uint64
			for w := width - 1; w >= 0; w-- {
				used[w], borrow = bits.Sub64(0, used[w], borrow)
			}
		}
		if slices.Compare(number[:], limit[:]) >= 0 {
			return nil, scratch, c.refused("a decimal that is out of range")
		}
		for len(used) > 0 && used[0] == 0 {
			used = used[1:]
		}
		if len(used) == 0 {
			sign = 0
		}
		n := len(scratch)
		scratch = append(binary.LittleEndian.AppendUint32(scratch, exponent), sign)
		for _, word := range used {
			scratch = binary.BigEndian.AppendUint64(scratch, word)
		}
		return scratch[n:], scratch, nil
	}
}

// words are the bits of a decimal's digits, the highest ones first.
type words [4]uint64

func wordsOf(number *big.Int) (found words) {
	var raw [32]byte
	number.FillBytes(raw[:])
	for w := range found {
		found[w] = binary.BigEndian.Uint64(raw[8*w:])
	}
	return found
}

// texts is of text and bytes of whatever length, which are stored in the row or apart from it.
func (c *importColumn) texts(ctx *sql.Context, nodes tree.NodeStore, data *columnData) encoder {
	of, ok := c.of.(sql.StringType)
	if !ok || c.given == "string" && of.CharacterSet() != sql.CharacterSet_utf8mb4 {
		return nil
	}
	characters, size := int(of.MaxCharacterLength()), int(of.MaxByteLength())
	fill := 0
	if of.Type() == sqltypes.Binary {
		fill = characters
	}
	counted := c.given == "string" && !types.IsTextBlob(of) // by characters
	apart := val.IsAddrEncoding(c.typ.Enc)
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		text := data.text(i)
		if len(text) > size || counted && len(text) > characters && utf8.RuneCount(text) > characters {
			return nil, scratch, c.refused("a value that is too long")
		}
		n := len(scratch)
		if apart {
			_, address, err := tree.SerializeBytesToAddr(ctx, nodes, bytes.NewReader(text), len(text))
			if err != nil {
				return nil, scratch, err
			}
			scratch = append(scratch, address[:]...)
			return scratch[n:], scratch, nil
		}
		scratch = append(scratch, text...)
		for range fill - len(text) {
			scratch = append(scratch, 0)
		}
		scratch = append(scratch, 0)
		return scratch[n:], scratch, nil
	}
}

// converted is of values that the engine's own functions convert from text.
func (c *importColumn) converted(ctx *sql.Context, nodes tree.NodeStore, data *columnData) encoder {
	return func(i int, scratch []byte) ([]byte, []byte, error) {
		text := string(data.text(i))
		value, inRange, err := c.of.Convert(ctx, text)
		if err != nil || inRange != sql.InRange || text == "" {
			return nil, scratch, c.refused("a text that its type has not")
		}
		field, err := tree.Serialize(ctx, nodes, c.typ, value)
		return field, scratch, err
	}
}
