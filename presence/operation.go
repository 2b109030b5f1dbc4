package presence

import (
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// An operation is a change of state as a value. Its exported fields are all that apply
// depends on, besides the state, and apply doesn't change them. Its other fields are its
// result, for the caller. apply reads no clock, no randomness and no configuration: the
// batch has one time, the limits and the switches, so that the same operations in the
// same batches always lead to the same state.
//
// An error that apply returns is for the caller, and means that the operation changed
// nothing. An error of the database is kept in the batch, and fails all of it.
type operation interface {
	apply(*batch) error
}

// kinds are the operations that a log may contain. The code of each is its index, which
// never changes.
var kinds = [...]operation{
	1:  (*connect)(nil),
	2:  (*drop)(nil),
	3:  (*logout)(nil),
	4:  (*kick)(nil),
	5:  (*admit)(nil),
	6:  (*importUsers)(nil),
	7:  (*deleteUsers)(nil),
	8:  (*removeLeftovers)(nil),
	9:  (*renameUser)(nil),
	10: (*setEntry)(nil),
	11: (*setIdle)(nil),
	12: (*setVisibility)(nil),
	13: (*subscribe)(nil),
	14: (*unsubscribe)(nil),
	15: (*unsubscribeAll)(nil),
	16: (*befriend)(nil),
	17: (*unfriend)(nil),
	18: (*befriendPairs)(nil),
	19: (*setFriends)(nil),
	20: (*nameFeed)(nil),
	21: (*storeCursor)(nil),
	22: (*forgetFeeds)(nil),
	23: (*settle)(nil),
	24: (*endRuns)(nil),
	25: (*beginRun)(nil),
	26: (*configure)(nil),
	27: (*createDeletionKey)(nil),
	28: (*endRun)(nil),
	29: (*beat)(nil),
	30: (*takeOver)(nil),
	31: (*setAgreement)(nil),
}

// opLevel is the level of the operations of this release. A release that adds a kind, or a
// field of one, raises it. Its nodes use the new level once all nodes know it.
const opLevel = 1

// codec translates operations to CBOR (RFC 8949) and back. Equal operations have equal
// bytes.
type codec struct {
	encoder cbor.EncMode
	decoder cbor.DecMode
	codes   map[reflect.Type]uint64
	level   int            // the highest level of operations that it knows
	levels  map[uint64]int // the levels of operations by their codes, where they are above 1
}

func newCodec() *codec {
	encoder, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options contradict each other
	}
	decoder, err := cbor.DecOptions{
		UTF8:              cbor.UTF8DecodeInvalid, // the operation itself refuses a malformed ID
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxArrayElements:  maxEntry,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	c := &codec{encoder: encoder, decoder: decoder, codes: make(map[reflect.Type]uint64), level: opLevel}
	for code, kind := range kinds {
		if kind != nil {
			c.codes[reflect.TypeOf(kind)] = uint64(code)
		}
	}
	return c
}

// maxEntry is the maximum size of an entry of a log, in bytes.
const maxEntry = 1 << 20

// encoded is an operation with its code.
type encoded struct {
	_      struct{} `cbor:",toarray"`
	Code   uint64
	Fields cbor.RawMessage
}

// marshal returns a value as it is stored, or appended to a log.
func (c *codec) marshal(v any) []byte {
	data, err := c.encoder.Marshal(v)
	if err != nil {
		panic(err) // there is nothing in v that can't be encoded
	}
	return data
}

func (c *codec) decodeSettings(value []byte) (s Settings, err error) {
	err = c.decoder.Unmarshal(value, &s)
	return s, err
}

func (c *codec) encode(op operation) (encoded, error) {
	code, known := c.codes[reflect.TypeOf(op)]
	if !known {
		return encoded{}, fmt.Errorf("presence: %T has no code", op)
	}
	fields, err := c.encoder.Marshal(op)
	return encoded{Code: code, Fields: fields}, err
}

func (c *codec) decode(e encoded) (operation, error) {
	if e.Code == 0 || e.Code >= uint64(len(kinds)) {
		return nil, fmt.Errorf("presence: no operation has the code %d", e.Code)
	}
	op := reflect.New(reflect.TypeOf(kinds[e.Code]).Elem()).Interface().(operation)
	return op, c.decoder.Unmarshal(e.Fields, op)
}
