package presence

import "fmt"

// proposal is a batch of requests whose operations are one entry of a log.
type proposal struct {
	run      int64 // the run that proposes it; zero means that its only operation begins one
	number   int64 // counts the entries of the run from 1
	requests []*request
	own      bool // the run is that of this node; set when the entry is applied

	// The fields below are set only by the node that proposes the entry.
	operations []encoded
	data       []byte    // its encoded form
	landed     chan bool // receives whether the entry was applied; it isn't if its run has ended
}

// logged is the encoded form of an entry. A later level may add operations, and change
// nothing here.
type logged struct {
	_          struct{} `cbor:",toarray"`
	Level      int      // the level of operations that a node must know to read the entry
	Run        int64
	Number     int64
	Operations []encoded
}

func (c *codec) encodeEntry(p *proposal) []byte {
	l := logged{Level: 1, Run: p.run, Number: p.number, Operations: p.operations}
	for _, o := range p.operations {
		l.Level = max(l.Level, c.levels[o.Code])
	}
	data, err := c.encoder.Marshal(&l)
	if err != nil {
		panic(err) // the operations are encoded already
	}
	return data
}

// decodeEntry returns an entry with requests for which nobody waits.
func (c *codec) decodeEntry(data []byte) (*proposal, error) {
	var l logged
	if err := c.decoder.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("an entry of the log is malformed: %w", err)
	}
	if l.Level > c.level {
		return nil, fmt.Errorf("the log has operations of level %d, and this release knows level %d: upgrade this node", l.Level, c.level)
	}
	p := &proposal{run: l.Run, number: l.Number}
	for _, o := range l.Operations {
		op, err := c.decode(o)
		if err != nil {
			return nil, fmt.Errorf("an entry of the log can't be read (%w): the command presence cluster accept makes the log go on from this database", err)
		}
		r := &request{op: op}
		r.taken.Store(true)
		p.requests = append(p.requests, r)
	}
	return p, nil
}
