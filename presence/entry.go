package presence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// proposal is a batch of requests whose operations are one entry of a log. Its exported
// fields are what is encoded. A later level may add operations, and change nothing here.
type proposal struct {
	_          struct{} `cbor:",toarray"`
	Level      int      // the level of operations that a node must know to read the entry
	Run        int64    // the run that proposes it; zero means that its only operation begins one
	Number     int64    // counts the entries of the run from 1
	Operations []encoded

	data     []byte // the encoded form; set by the node that proposes the entry
	requests []*request
	landed   chan []*request // receives void when the entry is applied; has a buffer of one

	// The fields below are set when the entry is applied.
	own  bool       // its run is that of this node
	void []*request // have no effect, because the entry was appended twice or its run has ended
}

// decodeEntry returns an entry with requests for which nobody waits.
func (c *codec) decodeEntry(data []byte) (*proposal, error) {
	p := &proposal{landed: make(chan []*request, 1)}
	err := c.decoder.Unmarshal(data, p)
	if err == nil && p.Level > c.level {
		return nil, fmt.Errorf("the log has operations of level %d, and this release knows level %d: upgrade this node", p.Level, c.level)
	}
	for i := 0; i < len(p.Operations) && err == nil; i++ {
		r := new(request)
		r.op, err = c.decode(p.Operations[i])
		p.requests = append(p.requests, r)
	}
	if err != nil {
		return nil, fmt.Errorf("an entry of the log can't be read (%w): the command presence cluster accept makes the log go on from this database", err)
	}
	return p, nil
}

// mark is how far a node has applied the log, as it is stored with each entry.
type mark struct {
	log string // its ID; empty without one
	placeDigest
	at       micros // when the entry was appended, by the clock of the engine
	entry    []byte // the SHA-256 of the entry
	nonce    int64  // that of the run that this node has begun or proposed last
	proposed []byte // the settings that this node has proposed last
}

// applied returns how far the log is applied.
func (s *Service) applied() mark {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.applied
}

// entryHash returns the SHA-256 of an entry.
func entryHash(e *LogEntry) []byte {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixMicro())), e.Data...))
	return sum[:]
}

// logTime returns the time of an entry that was appended at at, where the last one was
// appended at lastAt and got the time last. That is at, unless the clock of the engine was
// set back: then the time goes on from the last one.
func logTime(last, lastAt, at micros) micros {
	if passed := at - lastAt; at < last && passed > 0 && passed <= toMicros(longestGap) {
		return last + passed
	}
	return max(at, last)
}

// saveMark stores the mark of the batch.
func (b *batch) saveMark() {
	m := b.mark
	m.digest = b.digest()
	b.exec("UPDATE node SET place = ?, at = ?, entry = ?, digest = ?, nonce = ?, proposed = ifnull(?, x'')", m.place, m.at, m.entry, m.digest, m.nonce, m.proposed)
}

// digest returns the digest of the state after the batch: a hash of the previous digest, of
// the runs, and of every account that the batch has changed. All nodes have the same digest
// at the same place.
func (b *batch) digest() []byte {
	form := []any{b.mark.digest, b.mark.place, b.now, b.version, b.nextUser, b.lastRun}
	for _, id := range slices.Sorted(maps.Keys(b.runs)) {
		form = append(form, id, b.runs[id].beats[0])
	}
	for _, id := range b.changed() {
		form = append(form, id)
		if a := b.accounts[id]; a != nil {
			said := a.said.orNothing()
			form = append(form, a.userID, a.own.version, a.own.statusType, a.public.version, a.public.statusType, len(a.devices), a.revokedAt,
				said.text, said.availability)
		}
	}
	sum := sha256.Sum256(b.codec.marshal(form))
	return sum[:]
}
