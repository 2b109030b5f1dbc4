package presence

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// mark is how far a node has applied the log, as it is stored with each entry.
type mark struct {
	place  int64
	number int64  // of the entry in its run
	at     micros // when the entry was appended, by the clock of the engine
	entry  []byte // the SHA-256 of the entry
	before []byte // the digest at the previous place
	digest []byte // the result: the digest at this place

	ours     int64  // the nonce that this node has proposed last; zero before the first
	nonce    int64  // that of the last run of this node
	proposed []byte // the settings that this node has proposed last
}

// entryHash returns the SHA-256 of an entry.
func entryHash(e *LogEntry) []byte {
	hash := sha256.New()
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixMicro())))
	hash.Write(e.Data)
	return hash.Sum(nil)
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
	if r := b.runs[b.run]; r.nonce != 0 && r.nonce == m.ours {
		m.nonce = m.ours
	}
	b.changeRun(b.run, func(r *run) { r.number = m.number })
	m.digest = b.digest()
	b.exec("UPDATE node SET place = ?, at = ?, entry = ?, digest = ?, nonce = ?, proposed = ifnull(?, x'')", m.place, m.at, m.entry, m.digest, m.nonce, m.proposed)
}

// digest returns the digest of the state after the batch: a hash of the previous digest, of
// the runs, and of every account that the batch has changed. All nodes have the same digest
// at the same place.
func (b *batch) digest() []byte {
	form := slices.Clone(b.mark.before)
	number := func(n int64) { form = binary.AppendVarint(form, n) }
	text := func(s string) { number(int64(len(s))); form = append(form, s...) }
	for _, n := range []int64{b.mark.place, b.now, b.version, int64(b.nextUser), b.lastRun} {
		number(n)
	}
	for _, id := range slices.Sorted(maps.Keys(b.runs)) {
		number(id)
		number(b.runs[id].beats[0])
	}
	for _, id := range b.changed() {
		number(int64(id))
		a := b.accounts[id]
		if a == nil {
			continue
		}
		text(a.userID)
		for _, v := range []view{a.own, a.public} {
			number(v.version)
			number(int64(v.statusType))
		}
		said := a.said.orNothing()
		text(said.text)
		number(int64(said.availability))
		number(int64(len(a.devices)))
		number(a.revokedAt)
	}
	sum := sha256.Sum256(form)
	return sum[:]
}
