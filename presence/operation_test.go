package presence

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// recode returns a function that encodes and decodes operations.
func recode(t *testing.T) func(operation) operation {
	c := newCodec()
	return func(op operation) operation {
		t.Helper()
		coded, err := c.encode(op)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.decode(coded)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
}

// sample returns an operation of a kind, every exported field of which has a value of its
// own.
func sample(kind operation) operation {
	op := reflect.New(reflect.TypeOf(kind).Elem())
	n := int64(0)
	fill(op.Elem(), &n)
	return op.Interface().(operation)
}

// fill gives v, or all exported fields of v, the next values after n.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint32:
		v.SetUint(uint64(*n))
	default:
		v.SetInt(*n)
	}
}

// TestEncodingIsStable compares the encoding of each operation with a file: nodes of
// several releases read the same log. A line of the file may never change. The encoding
// also survives being decoded.
func TestEncodingIsStable(t *testing.T) {
	const file = "testdata/operations.txt"
	c := newCodec()
	var lines []string
	for code, kind := range kinds {
		if kind == nil {
			continue
		}
		op := sample(kind)
		coded, err := c.encode(op)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%d %T %s\n", code, op, hex.EncodeToString(coded.Fields)))
		if again := recode(t)(op); !reflect.DeepEqual(again, op) {
			t.Errorf("%+v becomes %+v", op, again)
		}
	}
	got := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the encoding differs from %s, which -update rewrites; it is\n%s", file, got)
	}
}

// TestDecodingRefuses checks that what isn't an operation of this release is an error.
func TestDecodingRefuses(t *testing.T) {
	c := newCodec()
	unknown := uint64(len(kinds))
	for _, e := range []encoded{
		{Code: 0, Fields: []byte{0xa0}}, {Code: unknown, Fields: []byte{0xa0}},
		{Code: 3}, {Code: 3, Fields: []byte{0xa1}}, {Code: 3, Fields: []byte{0xff}}, {Code: 3, Fields: []byte{0xa0, 0xa0}},
		{Code: 3, Fields: []byte{0xa1, 0x18, 0x63, 0x01}}, // a field with the number 99
		{Code: 3, Fields: []byte{0xa1, 0x01, 0x01}},       // a user ID that is a number
	} {
		if op, err := c.decode(e); err == nil {
			t.Errorf("%d %x is decoded to %+v", e.Code, e.Fields, op)
		}
	}
	if _, err := c.encode(&probe{}); err == nil {
		t.Error("an operation without a code is encoded")
	}
}

// TestApplyChangesNoExportedField checks that an operation that is applied and one that
// waits to be appended again are the same.
func TestApplyChangesNoExportedField(t *testing.T) {
	adjust := func(s *Settings) { s.Subscriptions, s.Friends, s.DevicesPerPlatform = 3, 2, 2 }
	c := newCodec()
	w := open(t, adjust)
	applied := make(map[string]bool)
	applyScript(w, func(op operation) operation {
		return &callback{func(b *batch) {
			before, err := c.encode(op)
			w.must(err)
			op.apply(b)
			after, err := c.encode(op)
			w.must(err)
			if string(before.Fields) != string(after.Fields) {
				t.Errorf("%T was %x before, and is %x after", op, before.Fields, after.Fields)
			}
			applied[fmt.Sprintf("%T", op)] = true
		}}
	})
	for _, kind := range kinds {
		if kind != nil && !applied[fmt.Sprintf("%T", kind)] {
			t.Errorf("the script has no %T", kind)
		}
	}
}
