package presence

import (
	"bytes"
	"fmt"
	"maps"
	"time"
)

// beatEvery is how often a node appends a beat, by which the others know that it lives.
const beatEvery = time.Second

// beatsToDeath is how many beats of another node make a node dead that had none meanwhile.
const beatsToDeath = 3

// beat says that the node of a run lives, and what its state was at a place.
type beat struct {
	Place  int64  `cbor:"1,keyasint,omitempty"`
	Digest []byte `cbor:"2,keyasint,omitempty"`
}

func (*beat) apply(b *batch) error {
	b.changeRun(b.run, func(r *run) { r.beats++ })
	return nil
}

// countBeat counts how many beats of this node each other run has missed. Beats that follow
// each other at once, because the log was away when they were due, count as one. n.mu is
// held.
func (n *node) countBeat(p *proposal) {
	if !p.own {
		delete(n.missed, p.run)
		return
	}
	passed := n.w.lastBatch - n.counted
	if passed < toMicros(beatEvery*9/10) {
		return
	}
	n.counted += passed
	if passed > toMicros(longestGap) {
		clear(n.missed) // the log was away, also from the others
	}
	for id := range n.w.model.runs {
		if id == p.run {
			continue
		}
		if n.missed[id]++; n.missed[id] >= beatsToDeath {
			n.svc.janitor.rouse()
		}
	}
}

// proposeEnd returns the operation that ends the run of a node that is dead, or nil.
func (n *node) proposeEnd() operation {
	n.svc.mu.RLock()
	runs := n.svc.model.runs
	n.svc.mu.RUnlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, missed := range n.missed {
		if r, live := runs[id]; !live {
			delete(n.missed, id)
		} else if missed >= beatsToDeath {
			delete(n.missed, id) // if the proposal has no effect, the node lives
			n.svc.log.Warn("node is dead: it has had no beat for 3 seconds", "node", r.node, "run", id)
			return &endRun{Run: id, Beats: r.beats}
		}
	}
	return nil
}

// digestsKept is for how many places the node remembers its digest.
const digestsKept = 4096

// compareDigest compares the state with that of another node at the same place. It returns
// an error unless most nodes have the state of this one. n.mu is held.
func (n *node) compareDigest(run int64, op *beat) error {
	known, runs := n.digests[op.Place%digestsKept], n.w.model.runs
	switch {
	case known.place != op.Place:
		return nil
	case bytes.Equal(known.digest, op.Digest):
		delete(n.differing, run)
		return nil
	case !n.differing[run]:
		n.svc.log.Error("another node has another state: one of the two databases is damaged", "node", runs[run].node, "entry", op.Place)
	}
	n.differing[run] = true
	maps.DeleteFunc(n.differing, func(id int64, _ bool) bool { _, live := runs[id]; return !live })
	if 2*len(n.differing) < len(runs) {
		return nil
	}
	return fmt.Errorf("at the entry %d of the log, the node %q has another state than %s, which is probably damaged: "+
		"move this file away, and the node copies the state from the log", op.Place, runs[run].node, n.w.store.Path())
}

// placeDigest is the digest at a place.
type placeDigest struct {
	place  int64
	digest []byte
}
