package presence

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"
)

// beatEvery is how often a node appends a beat, by which the others know that it lives.
const beatEvery = time.Second

// beats are the times of the last three beats of a run, the last one first. Zero means
// none. The beginning of a run counts as a beat.
type beats [3]micros

// add adds a beat at a time. Beats at nearly the same time count as one: they were due while
// the log was away.
func (b *beats) add(now micros) {
	switch {
	case now-b[0] < toMicros(beatEvery/2):
		b[0] = now
	case isOutage(b[0], now):
		*b = beats{now} // the log was away, also from the others
	default:
		*b = beats{now, b[0], b[1]}
	}
}

// beat says that the node of a run lives, and what its state was at a place. It ends the
// runs that have had no beat since the third last one of this run.
type beat struct {
	Place  int64  `cbor:"1,keyasint,omitempty"`
	Digest []byte `cbor:"2,keyasint,omitempty"`

	dead []string // the nodes whose runs it has ended
}

func (op *beat) apply(b *batch) error {
	b.changeRun(b.run, func(r *run) { r.count++; r.beats.add(b.now) })
	third := b.runs[b.run].beats[2]
	for _, id := range slices.Sorted(maps.Keys(b.runs)) {
		if r := b.runs[id]; r.beats[0] < third {
			op.dead = append(op.dead, r.node)
			b.endRun(id)
		}
	}
	return nil
}

// beat proposes a beat each second, but none before the last one is applied.
func (n *node) beat() {
	for ticks := time.Tick(beatEvery); n.pause(ticks); {
		m := n.svc.applied()
		n.w.submit(&beat{Place: m.place, Digest: m.digest})
	}
}

// moveAway ends all sessions, and the feeds that are not stored, when no entry of this node was
// applied for awayAfter, so that their clients connect elsewhere. New ones may be opened.
func (n *node) moveAway() {
	n.svc.update(func(m *model) { m.endAll(false) })
}

// placeDigest is the digest at a place.
type placeDigest struct {
	place  int64
	digest []byte
}

// digestsKept is for how many places the node remembers its digest.
const digestsKept = 4096

// compareDigest compares the state with that of another node at the same place. It returns
// an error once the beats that differ outnumber those that agree by three more than there are
// nodes. So a node whose database is damaged stops, and the others go on, although some of
// them may be away for a few seconds.
func (n *node) compareDigest(other string, op *beat) error {
	switch known := n.digests[op.Place%digestsKept]; {
	case op.Place == 0 || known.place != op.Place:
		return nil
	case bytes.Equal(known.digest, op.Digest):
		n.differing = max(0, n.differing-1)
		return nil
	}
	n.svc.log.Error("another node has another state: one of the two databases is damaged", "node", other, "entry", op.Place)
	if n.differing++; n.differing < 3+len(n.w.model.runs) {
		return nil
	}
	return fmt.Errorf("at the entry %d of the log, the node %q has another state than %s, which is probably damaged: "+
		"move this file away, and the node copies the state from the log", op.Place, other, n.path)
}
