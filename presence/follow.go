package presence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// follow applies the entries of the log until the node stops.
func (n *node) follow() {
	for n.ctx.Err() == nil {
		entries, err := n.log.Next(n.ctx, n.place)
		if err != nil {
			if err := n.awayWith(err); err != nil {
				n.fail(err)
				return
			}
		}
		for i := range entries {
			if err := n.applyEntry(&entries[i]); err != nil {
				n.fail(err)
				return
			}
		}
	}
}

// awayWith waits until the log can be reached again, after an error of Next. It returns an
// error if the node can't go on.
func (n *node) awayWith(err error) error {
	if errors.Is(err, ErrTrimmed) {
		return errors.New("this node was away for longer than the log keeps its entries: start it again")
	}
	for n.ctx.Err() == nil {
		n.away(err)
		n.pause()
		if err = n.verify(); err == nil || errors.Is(err, errLostLog) {
			return err
		}
	}
	return nil
}

// verify checks that the log still is the one that the node has applied.
func (n *node) verify() error {
	ctx, cancel := context.WithTimeout(n.ctx, maxWait)
	defer cancel()
	state, err := n.log.State(ctx)
	if err == nil && state.ID != n.logID {
		return fmt.Errorf("%w: its tables were removed or replaced", errLostLog)
	}
	if err == nil {
		err = verify(ctx, n.log, n.w.store.Path(), n.committed, n.entry, &state)
	}
	return err
}

// applyEntry applies the next entry of the log. An error means that the node can't go on.
func (n *node) applyEntry(e *LogEntry) error {
	if e.Place != n.place+1 {
		return fmt.Errorf("presence: the log has the entry %d after %d", e.Place, n.place)
	}
	l, err := n.codec.decodeEntry(e.Data)
	if err != nil {
		return err
	}
	requests, err := n.codec.decodeAll(l.Operations)
	if err != nil {
		return err
	}
	n.w.clock.follow(e.At.UnixMicro())
	if !n.isRepeat(&l) {
		var own *proposed
		if l.Run != 0 && l.Run == n.currentRun() {
			own = n.takePending(l.Number)
		}
		if err := n.perform(e, &l, own, requests); err != nil {
			return err
		}
		if err := n.observe(&l, requests); err != nil {
			return err
		}
	}
	n.arrived(e)
	return nil
}

// isRepeat reports whether the entry has no effect: it was appended twice, or its run has
// ended.
func (n *node) isRepeat(l *logged) bool {
	if l.Run == 0 {
		return false // beginning the same run twice has no effect
	}
	r, live := n.w.model.runs[l.Run]
	return !live || l.Number <= r.number
}

// perform applies an entry in one transaction. If that fails, it answers the callers and
// tries again until it succeeds, because the entry is durable and all other nodes apply it.
func (n *node) perform(e *LogEntry, l *logged, own *proposed, others []*request) error {
	requests := n.remote(others, l.Run)
	if own != nil {
		requests = n.claim(own.requests, l.Run)
	}
	before := n.w.lastBatch
	for {
		b := n.w.newBatch(e.At.UnixMicro())
		b.run = l.Run
		b.mark = &mark{place: e.Place, number: l.Number, entry: entryHash(e), before: n.digest}
		n.markOwn(b.mark, l.Run, requests)
		b.extendGraces()
		err := n.w.perform(b, requests)
		if err == nil {
			n.digest, n.committed, n.entry = b.mark.digest, e.Place, b.mark.entry
			n.w.store.Wrote(b.written)
			n.keepDigest(b)
			break
		}
		reason := n.w.unwritable(err)
		n.answerClaimed(own, reason)
		own = nil
		if requests, err = n.codec.decodeAll(l.Operations); err != nil {
			return err
		}
		requests = n.remote(requests, l.Run)
		n.w.lastBatch = before
		n.pause()
		if n.ctx.Err() != nil {
			return ErrClosed
		}
	}
	n.answerClaimed(own, nil)
	return nil
}

// keepDigest keeps the digest after a batch that is the first one of a minute.
func (n *node) keepDigest(b *batch) {
	if minute := toMicros(time.Minute); b.now/minute != b.before/minute {
		n.mu.Lock()
		n.minute = placeDigest{b.mark.place, b.mark.digest}
		n.mu.Unlock()
	}
}

// markOwn adds to a mark what this node remembers of its own proposals.
func (n *node) markOwn(m *mark, run int64, requests []*request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range requests {
		switch op := r.op.(type) {
		case *beginRun:
			if op.Nonce == n.nonce {
				m.nonce = op.Nonce
			}
		case *configure:
			if run == n.run {
				m.proposed = n.codec.encodeSettings(op.Settings)
			}
		}
	}
}

// claim makes the requests unable to be given up. One that was given up already is replaced
// by one that nobody waits for.
func (n *node) claim(requests []*request, run int64) []*request {
	for i, r := range requests {
		if r.state.CompareAndSwap(requestProposed, requestApplying) {
			continue
		}
		requests[i] = newRequest()
		requests[i].op = r.op
		n.remote(requests[i:i+1], run)
	}
	return requests
}

// remote gives the requests of an entry the effects that they have in memory if no caller
// of this node waits for them: older sessions and feeds end. A login of this node whose
// caller has returned has no session, so its stream ends at once.
func (n *node) remote(requests []*request, run int64) []*request {
	mine := run != 0 && run == n.currentRun()
	for _, r := range requests {
		switch op := r.op.(type) {
		case *connect:
			r.then = func(m *model) {
				u := m.byName[op.UserID]
				m.supersede(u, op.DeviceID, nil)
				if mine && u != nil {
					n.svc.janitor.streamEnded(endedStream{User: u.id, DeviceID: op.DeviceID, Stream: op.Stream, at: n.svc.clock.now()})
				}
			}
		case *nameFeed:
			r.then = func(m *model) { m.endFeeds(func(name string) bool { return name == op.Name }) }
		}
	}
	return requests
}

// answerClaimed answers the requests of an entry of this node. own may be nil.
func (n *node) answerClaimed(own *proposed, err error) {
	if own == nil {
		return
	}
	for _, r := range own.requests {
		if err != nil {
			r.err = err
		}
		r.answer()
	}
}

// observe draws the node's own conclusions from an entry that was applied.
func (n *node) observe(l *logged, requests []*request) error {
	runs := n.w.model.runs // only this goroutine replaces it
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range requests {
		switch op := r.op.(type) {
		case *beginRun:
			if err := n.observeBegin(op); err != nil {
				return err
			}
		case *configure:
			if op.Settings != n.settings && l.Run != n.run {
				n.svc.log.Warn("another node has changed the settings: they are not those of this node's configuration", "node", runs[l.Run].node)
			}
		case *beat:
			if err := n.compareDigest(l.Run, op); err != nil {
				return err
			}
			n.countBeat(l.Run)
		}
	}
	if _, live := runs[n.run]; n.run != 0 && !live {
		n.ended = append(n.ended, n.run)
		n.run, n.number = 0, 0
		for _, p := range n.pending {
			n.proposeAgain(p.requests)
		}
		n.pending = nil
	}
	return nil
}

// observeBegin takes the run that this node has begun.
func (n *node) observeBegin(op *beginRun) error {
	if n.run != 0 || op.Nonce != n.nonce {
		return nil
	}
	for id, r := range n.w.model.runs {
		if r.nonce == op.Nonce {
			n.run, n.number = id, 0
			n.missed = make(map[int64]int)
			close(n.began)
			return nil
		}
	}
	for _, r := range n.w.model.runs {
		if r.nonce != 0 && r.agreement != op.Agreement {
			return &DisagreementError{Node: r.node}
		}
	}
	return nil
}

// proposeAgain proposes requests again that were in an entry without effect.
func (n *node) proposeAgain(requests []*request) {
	for _, r := range requests {
		if r.state.CompareAndSwap(requestProposed, requestWaiting) {
			n.again = append(n.again, r)
		}
	}
}

// countBeat counts how many beats of this node each other one has missed.
func (n *node) countBeat(run int64) {
	if run != n.run {
		delete(n.missed, run)
		return
	}
	for id := range n.w.model.runs {
		if id != run {
			if n.missed[id]++; n.missed[id] >= beatsToDeath {
				n.svc.janitor.rouse()
			}
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

// compareDigest returns an error if another node had another state at the same place.
func (n *node) compareDigest(run int64, op *beat) error {
	if known := n.digests[op.Place%digestsKept]; known.place != op.Place || bytes.Equal(known.digest, op.Digest) {
		return nil
	}
	other := n.w.model.runs[run].node
	return fmt.Errorf("presence: the state at the entry %d of the log is not the same here and on the node %q: "+
		"one of the two databases is damaged. Remove the database of this node to copy the state from the log, or that of the other", op.Place, other)
}

// placeDigest is the digest at a place.
type placeDigest struct {
	place  int64
	digest []byte
}

// arrived records that everything up to an entry is applied.
func (n *node) arrived(e *LogEntry) {
	n.place = e.Place
	n.mu.Lock()
	n.digests[e.Place%digestsKept] = placeDigest{e.Place, n.digest}
	n.applied, n.silent = e.Place, 0
	n.bytes += int64(len(e.Data))
	if n.lost != nil {
		n.svc.log.Info("log can be reached again")
		n.lost = nil
	}
	close(n.progress)
	n.progress = make(chan struct{})
	n.mu.Unlock()
}

// away records that the log can't be reached, and logs it once.
func (n *node) away(err error) {
	n.mu.Lock()
	first := n.lost == nil
	n.lost = err
	n.mu.Unlock()
	if first {
		n.svc.log.Error("log can't be reached", "error", err)
	}
}

// awaitPlace waits until everything up to a place is applied.
func (n *node) awaitPlace(ctx context.Context, place int64) error {
	for {
		n.mu.Lock()
		applied, progress, failed := n.applied, n.progress, n.failed
		n.mu.Unlock()
		if applied >= place || failed != nil {
			return failed
		}
		select {
		case <-progress:
		case <-n.stopped:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
