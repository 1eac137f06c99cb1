package native

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
)

var exampleColumns = []fileColumn{{"n", "int64"}, {"b", "bool"}, {"t", "string"}, {"d", "decimal128(10, 2)"}, {"w", "decimal256(50, 2)"}}

func int32s(values ...uint32) []byte {
	var raw []byte
	for _, value := range values {
		raw = binary.LittleEndian.AppendUint32(raw, value)
	}
	return raw
}

func exampleBatch() (int, []columnData) {
	return 3, []columnData{
		{data: bytes.Repeat([]byte{1}, 24)},
		{nulls: 1, validity: []byte{0b101}, data: []byte{0b001}},
		{offsets: int32s(0, 2, 2, 5), data: []byte("abcde")},
		{nulls: 3, validity: []byte{0}, data: make([]byte, 48)},
		{data: bytes.Repeat([]byte{2}, 96)},
	}
}

func exampleFile(t *testing.T, batches int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := newRowsWriter(&out, exampleColumns)
	if err != nil {
		t.Fatal(err)
	}
	for range batches {
		rows, columns := exampleBatch()
		if err := w.writeBatch(rows, columns); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readAll(file []byte) (batches [][]columnData, columns []fileColumn, err error) {
	r, err := newRowsReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, nil, err
	}
	for {
		_, batch, err := r.next()
		if errors.Is(err, io.EOF) {
			return batches, r.columns, nil
		}
		if err != nil {
			return batches, r.columns, err
		}
		batches = append(batches, batch)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, count := range []int{0, 1, 3} {
		batches, columns, err := readAll(exampleFile(t, count))
		if err != nil || len(batches) != count || !reflect.DeepEqual(columns, exampleColumns) {
			t.Fatalf("%d batches of %v: %v", len(batches), columns, err)
		}
		_, want := exampleBatch()
		for _, batch := range batches {
			for c := range want {
				bits, _ := bitsOf(columns[c].Type)
				got, wanted := batch[c].buffers(bits), want[c].buffers(bits)
				for b := range wanted {
					if !bytes.Equal(got[b], wanted[b]) {
						t.Errorf("column %d, buffer %d: %v", c, b, got[b])
					}
				}
			}
			if batch[1].isNull(0) || !batch[1].isNull(1) || batch[2].isNull(1) || string(batch[2].text(2)) != "cde" {
				t.Error("values are not where they were")
			}
		}
	}
}

func TestBatchesBeforeARowArePassedOver(t *testing.T) {
	for from, want := range map[uint64]int{0: 4, 2: 4, 3: 3, 8: 2, 11: 1, 12: 0} {
		file := exampleFile(t, 4) // of three rows each
		r, err := newRowsReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		r.from = from
		found := 0
		for {
			_, batch, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || string(batch[2].text(2)) != "cde" {
				t.Fatal(err, batch)
			}
			found++
		}
		if found != want {
			t.Errorf("%d batches from row %d on", found, from)
		}
		for length := range len(file) {
			cut, err := newRowsReader(bytes.NewReader(file[:length]), int64(length))
			if err == nil {
				cut.from = 12
				_, _, err = cut.next()
			}
			if !errors.Is(err, errCutOff) {
				t.Fatalf("cut at %d of %d: %v", length, len(file), err)
			}
		}
	}
}

func TestBuffersStartAtMultiplesOf64(t *testing.T) {
	file := exampleFile(t, 1)
	if at := bytes.Index(file, []byte("abcde")); at%rowsAlign != 0 {
		t.Errorf("text starts at %d", at)
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	file := exampleFile(t, 2)
	for length := range len(file) {
		if _, _, err := readAll(file[:length]); !errors.Is(err, errCutOff) {
			t.Fatalf("cut at %d of %d: %v", length, len(file), err)
		}
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	good := exampleFile(t, 1)
	first := int(padOf(int64(len(rowsMagic)+4+len(`{"columns":[{"name":"n","type":"int64"},{"name":"b","type":"bool"},`+
		`{"name":"t","type":"string"},{"name":"d","type":"decimal128(10, 2)"},{"name":"w","type":"decimal256(50, 2)"}]}`)))) + 4 + len(rowsMagic) +
		int(binary.LittleEndian.Uint32(good[len(rowsMagic):]))
	for name, at := range map[string]int{
		"magic": 0, "length of the header": 10, "header": 12, "rows": first, "rows, high byte": first + 7,
		"NULLs": first + 8, "length of a buffer": first + 24, "offsets": bytes.Index(good, int32s(0, 2, 2, 5)) + 4,
		"all rows": len(good) - 8,
	} {
		file := bytes.Clone(good)
		file[at] ^= 0xf0
		if _, _, err := readAll(file); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	if _, _, err := readAll(append(good, 0)); err == nil {
		t.Error("something behind the end: read")
	}
}

func TestUnknownTypesAreRefused(t *testing.T) {
	for _, typ := range []string{"", "int65", "decimal128", "decimal64(5, 0)", "decimal128(39, 0)", "decimal256(77, 0)", "decimal128(0, 0)", "decimal128(2, 3)", "decimal128(a, b)", "list"} {
		if _, err := newRowsWriter(io.Discard, []fileColumn{{"x", typ}}); err == nil {
			t.Errorf("%q was taken", typ)
		}
	}
	for digits, name := range map[int]string{1: "decimal128(1, 1)", 38: "decimal128(38, 1)", 39: "decimal256(39, 1)", 76: "decimal256(76, 1)"} {
		if precision, scale, err := decimalDigits(name); precision != digits || scale != 1 || err != nil || decimalType(digits, 1) != name {
			t.Error(name, precision, scale, err)
		}
	}
}
