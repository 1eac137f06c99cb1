package native

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"time"

	"github.com/dolthub/dolt/go/store/prolly/tree"
	"github.com/dolthub/dolt/go/store/val"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// The moments that a frame and SQL both have. A year before 1000 is printed with fewer digits, which no reader takes.
var (
	firstMicros = time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastMicros  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

func appendDatetime(data []byte, column *exportColumn, field []byte) ([]byte, error) {
	if micros := int64(binary.LittleEndian.Uint64(field)); micros < firstMicros || micros > lastMicros {
		return nil, useSQL("column %q has a moment outside of the years 1000 to 9999", column.Name)
	}
	return append(data, field...), nil
}

func appendDate(data []byte, column *exportColumn, field []byte) ([]byte, error) {
	stored := binary.LittleEndian.Uint32(field)
	year, month, day := int(stored>>16), time.Month(stored>>8&0xff), int(stored&0xff)
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if year < 1000 || year > 9999 || date.Month() != month || date.Day() != day {
		return nil, useSQL("column %q has the date %04d-%02d-%02d", column.Name, year, month, day)
	}
	return binary.LittleEndian.AppendUint32(data, uint32(int32(date.Unix()/86400))), nil
}

// appendYear adds a YEAR, which is stored as the years since 1901, and as 255 for the year 0.
func appendYear(data, field []byte) []byte {
	year := uint16(0)
	if field[0] != 255 {
		year = uint16(field[0]) + 1901
	}
	return binary.LittleEndian.AppendUint16(data, year)
}

// What is above all digits of a decimal, and the upper and lower 64 bits of the narrow one.
var (
	narrowLimit = powerOfTen(narrowDigits)
	wideLimit   = powerOfTen(wideDigits)
)

const narrowHigh, narrowLow = 0x4b3b4ca85a86c47a, 0x098a224000000000

func powerOfTen(exponent int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(exponent)), nil)
}

// appendDecimal adds a decimal as the bits of its digits at the column's scale. It is stored as 32 bits of an exponent,
// 8 of a sign and the digits, with the highest bits first.
func appendDecimal(data []byte, column *exportColumn, field []byte) ([]byte, error) {
	exponent, negative, digits := int32(binary.LittleEndian.Uint32(field)), int8(field[4]) < 0, field[5:]
	if column.bits != 128 || exponent != -column.scale || len(digits) > 16 {
		number, err := rescaled(digits, exponent+column.scale)
		if err == nil {
			data, err = appendInteger(data, column.bits, number, negative)
		}
		if err != nil {
			return nil, useSQL("column %q has a decimal of %v", column.Name, err)
		}
		return data, nil
	}
	var high, low uint64
	for _, b := range digits {
		high, low = high<<8|low>>56, low<<8|uint64(b)
	}
	if high > narrowHigh || high == narrowHigh && low >= narrowLow {
		return nil, useSQL("column %q has a decimal of more than %d digits", column.Name, narrowDigits)
	}
	return appendInt128(data, high, low, negative), nil
}

// appendInt128 adds a number of 127 bits and its sign.
func appendInt128(data []byte, high, low uint64, negative bool) []byte {
	if negative {
		low = -low
		high = ^high
		if low == 0 {
			high++
		}
	}
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(data, low), high)
}

// appendInteger adds the digits of a decimal that has so many bits, and their sign.
func appendInteger(data []byte, bits int, number *big.Int, negative bool) ([]byte, error) {
	limit, most := narrowLimit, narrowDigits
	if bits == 256 {
		limit, most = wideLimit, wideDigits
	}
	if number.CmpAbs(limit) >= 0 {
		return nil, fmt.Errorf("more than %d digits", most)
	}
	var raw [32]byte
	flipped, carry := byte(0), 0
	if negative {
		flipped, carry = 0xff, 1
	}
	highestFirst := number.FillBytes(raw[:bits/8])
	for i := len(highestFirst) - 1; i >= 0; i-- {
		sum := int(highestFirst[i]^flipped) + carry
		data, carry = append(data, byte(sum)), sum>>8
	}
	return data, nil
}

// rescaled returns a number, of whose bytes the highest come first, times so many powers of ten.
func rescaled(digits []byte, powers int32) (*big.Int, error) {
	number := new(big.Int).SetBytes(digits)
	if powers < -100 || powers > 100 {
		return nil, fmt.Errorf("%d places that the type has not", powers)
	}
	if powers == 0 {
		return number, nil
	}
	factor := powerOfTen(int(max(powers, -powers)))
	if powers > 0 {
		number.Mul(number, factor)
	} else if _, rest := number.QuoRem(number, factor, new(big.Int)); rest.Sign() != 0 {
		return nil, fmt.Errorf("more places than the type has")
	}
	return number, nil
}

// appendFromElsewhere adds a value that the tuple has the address of; JSON as CAST(... AS CHAR) prints it.
func (e *exporter) appendFromElsewhere(data []byte, column *exportColumn, tuple val.Tuple) ([]byte, error) {
	value, err := tree.GetField(e.ctx, column.desc, column.index, tuple, e.nodes)
	if err != nil {
		return nil, err
	}
	if column.encoding == val.JSONAddrEnc {
		document, ok := value.(sql.JSONWrapper)
		if !ok {
			return nil, useSQL("column %q has a %T", column.Name, value)
		}
		printed, err := types.JsonToMySqlBytes(e.ctx, document)
		return append(data, printed...), err
	}
	if value, err = sql.UnwrapAny(e.ctx, value); err != nil {
		return nil, err
	}
	switch content := value.(type) {
	case string:
		return append(data, content...), nil
	case []byte:
		return append(data, content...), nil
	}
	return nil, useSQL("column %q has a %T", column.Name, value)
}
