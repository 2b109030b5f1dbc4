package presence

import (
	"context"
	"errors"
	"fmt"
)

// follow applies the entries of the log until the node stops.
func (n *node) follow() {
	defer n.answerPending()
	for n.ctx.Err() == nil {
		entries, err := n.log.Next(n.ctx, n.place)
		if err != nil {
			err = n.awayWith(err)
			n.place = n.committed // in place of what was skipped after that, there may be something else now
		}
		for i := 0; i < len(entries) && err == nil; i++ {
			err = n.applyEntry(&entries[i])
		}
		if err != nil && n.ctx.Err() == nil {
			n.fail(err)
		}
	}
}

// awayWith waits until the log can be reached again, after an error of Next. It returns an
// error if the node can't go on.
func (n *node) awayWith(err error) error {
	for n.ctx.Err() == nil {
		switch {
		case err == nil || errors.Is(err, errLostLog):
			return err
		case errors.Is(err, ErrTrimmed):
			return errors.New("this node was away for longer than the log keeps its entries: start it again")
		case errors.Is(err, ErrLostEnd):
			return errLostEnd(n.w.store.Path(), n.place, n.place-1)
		}
		n.away(err)
		n.pause()
		err = n.verify()
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
		return fmt.Errorf("the log has the entry %d after %d", e.Place, n.place)
	}
	l, err := n.codec.decodeEntry(e.Data)
	if err != nil {
		return err
	}
	requests, err := n.codec.decodeAll(l.Operations)
	if err != nil {
		return err
	}
	at := logTime(n.w.lastBatch, n.at, e.At.UnixMicro())
	if isOutage(n.w.lastBatch, at) {
		n.outageEnded(at) // before the clock shows it
	}
	n.w.clock.follow(at, n.w.lastBatch)
	if !n.isRepeat(&l) {
		var own *proposed
		if l.Run != 0 && l.Run == n.currentRun() {
			own = n.takePending(l.Number)
		}
		err := n.perform(e, &l, own, requests)
		if err == nil {
			err = n.observe(&l, requests)
		}
		if err != nil {
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

// perform applies an entry in one transaction: the requests of own, or else those that were
// decoded. If that fails, it answers the callers and tries again until it succeeds, because
// the entry is durable and all other nodes apply it.
func (n *node) perform(e *LogEntry, l *logged, own *proposed, decoded []*request) error {
	n.remote(decoded, l.Run)
	requests := decoded
	if own != nil {
		requests = n.claim(own.requests, l.Run)
	}
	before := n.w.lastBatch
	for n.ctx.Err() == nil {
		err := n.performOnce(e, l, requests)
		answerClaimed(own, err)
		if err == nil {
			n.svc.janitor.streamEnded(n.unread...)
			return nil
		}
		own, requests, n.w.lastBatch = nil, decoded, before
		again, err := n.codec.decodeAll(l.Operations) // without the results of the attempt that failed
		if err != nil {
			return err
		}
		n.remote(again, l.Run)
		copy(decoded, again)
		n.pause()
	}
	return ErrClosed
}

func (n *node) performOnce(e *LogEntry, l *logged, requests []*request) error {
	n.unread = nil
	at := e.At.UnixMicro()
	b := n.w.newBatch(logTime(n.w.lastBatch, n.at, at))
	b.run = l.Run
	b.mark = &mark{place: e.Place, number: l.Number, at: at, entry: entryHash(e), before: n.digest}
	n.markOwn(b.mark, l.Run, requests)
	b.extendGraces()
	if err := n.w.perform(b, requests); err != nil {
		return n.w.unwritable(err)
	}
	n.digest, n.committed, n.at, n.entry = b.mark.digest, e.Place, at, b.mark.entry
	n.w.store.Wrote(b.written)
	n.keepDigest(b)
	return nil
}

// outageEnded makes the time of an outage that ended at at not count: neither for streams
// that have ended, nor for nodes, none of which could append its beats.
func (n *node) outageEnded(at micros) {
	n.svc.janitor.outageEnded(at)
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.missed)
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
		if !r.state.CompareAndSwap(requestProposed, requestApplying) {
			requests[i] = newRequest()
			requests[i].op = r.op
			n.remote(requests[i:i+1], run)
		}
	}
	return requests
}

// remote gives the requests of an entry the effects that they have in memory if no caller
// of this node waits for them: older sessions and feeds end. A login of this node whose
// caller has returned has no session, so its stream ends at once.
func (n *node) remote(requests []*request, run int64) {
	mine := run != 0 && run == n.currentRun()
	for _, r := range requests {
		switch op := r.op.(type) {
		case *connect:
			r.then = func(m *model) {
				u := m.byName[op.UserID]
				m.supersede(u, op.DeviceID, nil)
				if mine && u != nil {
					n.unread = append(n.unread, endedStream{User: u.id, DeviceID: op.DeviceID, Stream: op.Stream, at: n.svc.clock.now()})
				}
			}
		case *takeOver:
			if mine {
				r.then = op.endFailed
			}
		case *nameFeed:
			r.then = func(m *model) { m.endFeeds(func(name string) bool { return name == op.Name }) }
		}
	}
}

// answerClaimed answers the requests of an entry of this node. own may be nil.
func answerClaimed(own *proposed, err error) {
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
	if l.Run != 0 && l.Run == n.run {
		n.reached()
	}
	for _, r := range requests {
		switch op := r.op.(type) {
		case *beginRun:
			if op.Nonce == n.nonce && n.began != nil {
				if err := n.observeBegin(r.err); err != nil {
					return err
				}
			}
		case *configure:
			if n.opened && op.Settings != n.settings {
				n.svc.log.Warn("another node has changed the settings: they are not those of this node's configuration", "node", runs[l.Run].node)
			}
		case *beat:
			n.countBeat(l.Run)
			if err := n.compareDigest(l.Run, op); err != nil {
				return err
			}
		}
	}
	if _, live := runs[n.run]; n.run != 0 && !live {
		n.run, n.number = 0, 0
		for _, p := range n.pending {
			n.proposeAgain(p)
		}
		n.pending = nil
	}
	return nil
}

// observeBegin takes the run that this node has begun. refused is why it has not. n.mu is
// held.
func (n *node) observeBegin(refused error) error {
	if refused != nil {
		return refused
	}
	for id, r := range n.w.model.runs {
		if r.nonce == n.nonce {
			n.run, n.number = id, 0
		}
	}
	n.missed = make(map[int64]int)
	close(n.began)
	n.began = nil
	return nil
}

// arrived records that everything up to an entry is applied.
func (n *node) arrived(e *LogEntry) {
	n.place = e.Place
	n.mu.Lock()
	n.digests[e.Place%digestsKept] = placeDigest{e.Place, n.digest}
	n.applied = e.Place
	n.bytes += int64(len(e.Data))
	close(n.progress)
	n.progress = make(chan struct{})
	n.mu.Unlock()
}

// reached records that an entry of this node was applied. n.mu is held.
func (n *node) reached() {
	n.silent = 0
	if n.lost != nil {
		n.svc.log.Info("log can be reached again")
		n.lost = nil
	}
}

// away records that the log can't be reached, and logs it once.
func (n *node) away(err error) {
	if n.ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	first := n.lost == nil
	n.lost = err
	n.mu.Unlock()
	if first {
		n.svc.log.Error("log can't be reached", "error", err)
	}
}

// awaitPlace waits until everything up to a place is applied.
func (n *node) awaitPlace(place int64) error {
	for {
		n.mu.Lock()
		applied, progress := n.applied, n.progress
		n.mu.Unlock()
		if applied >= place {
			return nil
		}
		select {
		case <-progress:
		case <-n.ctx.Done():
			return n.reason()
		}
	}
}
