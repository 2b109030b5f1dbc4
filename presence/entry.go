package presence

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// logged is a batch of operations as an entry of a log.
type logged struct {
	_          struct{} `cbor:",toarray"`
	Level      int      // the level of operations that a node must know to read the entry
	Run        int64    // the run that proposes it; zero means that its only operation begins one
	Number     int64    // counts the entries of the run from 1
	Operations []encoded
}

// LevelError is why a node stops that meets an entry of a newer release.
type LevelError struct{ Level, Known int }

// Error returns a message that says what to do.
func (e *LevelError) Error() string {
	return fmt.Sprintf("the log has operations of level %d, and this release knows level %d: upgrade this node", e.Level, e.Known)
}

func (c *codec) encodeEntry(run, number int64, operations []encoded) ([]byte, error) {
	l := logged{Level: 1, Run: run, Number: number, Operations: operations}
	for _, e := range operations {
		l.Level = max(l.Level, c.levels[e.Code])
	}
	return c.encoder.Marshal(&l)
}

func (c *codec) decodeEntry(data []byte) (l logged, err error) {
	var parts []cbor.RawMessage
	if err := c.decoder.Unmarshal(data, &parts); err != nil || len(parts) == 0 {
		return l, fmt.Errorf("an entry of the log is malformed: %w", err)
	}
	if err := c.decoder.Unmarshal(parts[0], &l.Level); err != nil {
		return l, fmt.Errorf("an entry of the log has no level: %w", err)
	}
	if l.Level > c.level {
		return l, &LevelError{l.Level, c.level}
	}
	return l, c.decoder.Unmarshal(data, &l)
}

// decodeAll returns requests for the operations of an entry, which nobody waits for.
func (c *codec) decodeAll(all []encoded) ([]*request, error) {
	requests := make([]*request, 0, len(all))
	for _, e := range all {
		op, err := c.decode(e)
		if err != nil {
			return nil, err
		}
		requests = append(requests, &request{op: op})
	}
	return requests, nil
}
