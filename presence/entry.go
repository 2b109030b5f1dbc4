package presence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// proposal is a batch of requests whose operations are one entry of a log.
type proposal struct {
	logged
	data     []byte // the encoded form; set by the node that proposes the entry
	requests []*request
	landed   chan bool // receives whether the entry had an effect; has a buffer of one

	// The fields below are set when the entry is applied.
	own  bool // its run is that of this node
	void bool // it has no effect, because it was appended twice or its run has ended
}

// logged is what is encoded of an entry. A later level may add operations, and change
// nothing here.
type logged struct {
	_          struct{} `cbor:",toarray"`
	Level      int      // the level of operations that a node must know to read the entry
	Run        int64    // the run that proposes it; zero means that its only operation begins one
	Number     int64    // counts the entries of the run from 1
	Operations []encoded
}

func (c *codec) encodeEntry(l *logged) []byte {
	l.Level = 1
	for _, o := range l.Operations {
		l.Level = max(l.Level, c.levels[o.Code])
	}
	data, err := c.encoder.Marshal(l)
	if err != nil {
		panic(err) // the operations are encoded already
	}
	return data
}

// decodeEntry returns an entry with requests for which nobody waits.
func (c *codec) decodeEntry(data []byte) (*proposal, error) {
	p := &proposal{landed: make(chan bool, 1)}
	if err := c.decoder.Unmarshal(data, &p.logged); err != nil {
		return nil, fmt.Errorf("an entry of the log is malformed: %w", err)
	}
	if p.Level > c.level {
		return nil, fmt.Errorf("the log has operations of level %d, and this release knows level %d: upgrade this node", p.Level, c.level)
	}
	for _, o := range p.Operations {
		op, err := c.decode(o)
		if err != nil {
			return nil, fmt.Errorf("an entry of the log can't be read (%w): the command presence cluster accept makes the log go on from this database", err)
		}
		p.requests = append(p.requests, &request{op: op})
	}
	return p, nil
}

// mark is how far a node has applied the log, as it is stored with each entry.
type mark struct {
	placeDigest
	number   int64  // of the entry in its run
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

// saveMark stores the mark of the batch, and counts the entry for its run.
func (b *batch) saveMark() {
	m := b.mark
	b.changeRun(b.run, func(r *run) { r.number = m.number })
	m.digest = b.digest()
	b.exec("UPDATE node SET place = ?, at = ?, entry = ?, digest = ?, nonce = ?, proposed = ifnull(?, x'')", m.place, m.at, m.entry, m.digest, m.nonce, m.proposed)
}

// digest returns the digest of the state after the batch: a hash of the previous digest, of
// the runs, and of every account that the batch has changed. All nodes have the same digest
// at the same place.
func (b *batch) digest() []byte {
	form := slices.Clone(b.mark.digest) // the previous one
	add := func(text string, numbers ...int64) {
		for _, n := range numbers {
			form = binary.AppendVarint(form, n)
		}
		form = append(binary.AppendVarint(form, int64(len(text))), text...)
	}
	add("", b.mark.place, b.now, b.version, int64(b.nextUser), b.lastRun)
	for _, id := range slices.Sorted(maps.Keys(b.runs)) {
		add("", id, b.runs[id].beats[0])
	}
	for _, id := range b.changed() {
		add("", int64(id))
		if a := b.accounts[id]; a != nil {
			said := a.said.orNothing()
			add(a.userID, a.own.version, int64(a.own.statusType), a.public.version, int64(a.public.statusType), int64(len(a.devices)), a.revokedAt)
			add(said.text, int64(said.availability))
		}
	}
	sum := sha256.Sum256(form)
	return sum[:]
}
