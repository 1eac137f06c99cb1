package native

import (
	"fmt"
	"strconv"
	"strings"
)

// useSQL returns the error of a case that has to go through the SQL engine.
func useSQL(format string, args ...any) error {
	return fmt.Errorf("flyte: use SQL: "+format, args...)
}

// The types that a column of a rows file may have, beside decimals; Python's list is in tables/rows_file.py.
// The number is how many bits a value has in Arrow's layout; 0 means that offsets of 32 bits say where each one ends.
var typeBits = map[string]int{
	"bool": 1,
	"int8": 8, "int16": 16, "int32": 32, "int64": 64,
	"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64,
	"float32": 32, "float64": 64,
	"date32":        32, // days since 1970-01-01
	"timestamp[us]": 64, // since 1970-01-01, without a zone
	"duration[us]":  64, // a TIME
	"string":        0,
	"binary":        0,
	"json":          0, // laid out as string
}

// The types of decimals, with the most digits that each may have. The name of a column's type has how many it has there
// and how many of them stand behind the point: decimal128(10, 2).
var decimalDigitsOf = map[string]int{
	"decimal128": narrowDigits,
	"decimal256": wideDigits,
}

const (
	narrowDigits = 38
	wideDigits   = 76
)

// bitsOf returns how many bits a value of a type has, 0 for one with offsets.
func bitsOf(typ string) (int, error) {
	if bits, ok := typeBits[typ]; ok {
		return bits, nil
	}
	if _, _, err := decimalDigits(typ); err != nil {
		return 0, fmt.Errorf("flyte: a rows file has no type %q", typ)
	}
	if strings.HasPrefix(typ, "decimal256") {
		return 256, nil
	}
	return 128, nil
}

// decimalType names the type of decimals of so many digits, of which scale stand behind the point.
func decimalType(precision, scale int) string {
	kind := "decimal128"
	if precision > narrowDigits {
		kind = "decimal256"
	}
	return fmt.Sprintf("%s(%d, %d)", kind, precision, scale)
}

// decimalDigits is the inverse of decimalType.
func decimalDigits(typ string) (precision, scale int, err error) {
	kind, inner, found := strings.Cut(typ, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	first, second, two := strings.Cut(inner, ", ")
	precision, err = strconv.Atoi(first)
	if err == nil {
		scale, err = strconv.Atoi(second)
	}
	fits := 1 <= precision && precision <= decimalDigitsOf[kind] && 0 <= scale && scale <= precision
	if !found || !closed || !two || err != nil || !fits {
		return 0, 0, fmt.Errorf("flyte: %q is no type of decimals", typ)
	}
	return precision, scale, nil
}
