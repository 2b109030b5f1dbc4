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
		entries, err := n.log.Next(n.ctx, n.mark.place)
		if err != nil {
			err = n.reconnect(err)
		}
		for i := 0; i < len(entries) && err == nil; i++ {
			err = n.applyEntry(&entries[i])
		}
		if err != nil && n.ctx.Err() == nil {
			n.fail(err)
		}
	}
}

// reconnect waits until the log can be reached again, after an error of Next. It returns an
// error if the node can't go on.
func (n *node) reconnect(err error) error {
	for n.ctx.Err() == nil {
		switch {
		case err == nil || errors.Is(err, errLostLog):
			return err
		case errors.Is(err, ErrTrimmed):
			return errors.New("this node was away for longer than the log keeps its entries: start it again")
		case errors.Is(err, ErrLostEnd):
			return n.errLostEnd(n.mark.place - 1)
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
	place := n.mark.place
	switch {
	case err != nil:
		return err
	case state.ID != n.logID:
		return fmt.Errorf("%w: its tables were removed or replaced after the entry %d", errLostLog, place)
	case place > state.Last:
		return n.errLostEnd(state.Last)
	case place < state.First:
		return nil // there was none, or it was removed
	}
	entries, err := n.log.Next(ctx, place-1)
	if err != nil {
		return err // reconnect explains ErrLostEnd
	}
	if len(entries) == 0 || !bytes.Equal(entryHash(&entries[0]), n.mark.entry) {
		return n.errLostEnd(place - 1)
	}
	return nil
}

// errLostLog is matched by the errors of a node whose log isn't the one that it has applied.
var errLostLog = errors.New("the log is not the one that this node has applied")

func (n *node) errLostEnd(last int64) error {
	return fmt.Errorf("%w: %s has applied the entry %d of the log, and the log has lost it: the log ends, or goes on differently, after the entry %d. "+
		"The command presence cluster accept makes the log go on from this database; or move the file away to go on from the log",
		errLostLog, n.path, n.mark.place, last)
}

// applyEntry applies the next entry of the log. An error means that the node can't go on.
// An entry that can't be written is tried again until it can, because it is durable and all
// other nodes apply it; those who wait for it get the error.
func (n *node) applyEntry(entry *LogEntry) error {
	if entry.Place != n.mark.place+1 {
		return fmt.Errorf("the log has the entry %d after %d", entry.Place, n.mark.place)
	}
	now := logTime(n.w.lastBatch, n.mark.at, entry.At.UnixMicro())
	if isOutage(n.w.lastBatch, now) {
		n.svc.janitor.outageEnded(now) // before the clock shows it
	}
	n.w.clock.follow(now, n.w.lastBatch)
	p, err := n.takeEntry(entry.Data)
	if err != nil {
		return err
	}
	for proposed := p; !n.perform(entry, now, p); p.landed = proposed.landed {
		if n.pause(); n.ctx.Err() != nil {
			proposed.land(false)
			return n.ctx.Err()
		}
		p, _ = n.takeEntry(entry.Data) // without the results of the last attempt
	}
	err = n.observe(entry, p)
	p.answer(nil)
	p.land(true)
	return err
}

// takeEntry returns what is to be applied of an entry of the log. If this node has proposed
// it, that is what is under way.
func (n *node) takeEntry(data []byte) (p *proposal, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if u := n.underWay; u != nil && bytes.Equal(u.data, data) {
		n.underWay, p = nil, u
	} else if p, err = n.codec.decodeEntry(data); err != nil {
		return nil, err
	}
	if n.hasNoEffect(p) {
		p.land(false)
		return &proposal{}, nil
	}
	return p, nil
}

// hasNoEffect reports whether an entry was appended twice, or its run has ended.
func (n *node) hasNoEffect(p *proposal) bool {
	if p.run == 0 {
		return false // beginning the same run twice has no effect
	}
	r, live := n.w.model.runs[p.run]
	return !live || p.number <= r.number
}

// perform applies an entry in one transaction, and reports whether that succeeded.
func (n *node) perform(entry *LogEntry, now micros, p *proposal) bool {
	run, _ := n.w.model.runOf(n.nonce.Load())
	p.own = run != 0 && run == p.run
	m := &mark{place: entry.Place, number: p.number, at: entry.At.UnixMicro(), entry: entryHash(entry), before: n.mark.digest,
		ours: n.nonce.Load(), nonce: n.mark.nonce, proposed: n.mark.proposed}
	for _, r := range p.requests {
		if !r.take() {
			r.then = n.effect(r.op, p.own)
		}
		if op, ok := r.op.(*configure); ok && p.own {
			m.proposed = n.codec.encodeSettings(op.Settings)
		}
	}
	before := n.w.lastBatch
	b := n.w.newBatch(now)
	b.run, b.mark = p.run, m
	b.extendGraces()
	if err := n.w.perform(b, p.requests); err != nil {
		p.answer(n.w.unwritable(err))
		n.w.lastBatch = before
		return false
	}
	n.w.store.Wrote(b.written)
	n.mark = m
	return true
}

// effect returns what an operation changes in memory if nobody waits for it: older sessions
// and feeds end. A login of this node whose caller has returned has no session, so its
// stream ends at once.
func (n *node) effect(op operation, own bool) func(*model) {
	switch op := op.(type) {
	case *connect:
		return func(m *model) {
			m.supersede(m.byName[op.UserID], op.DeviceID, nil)
			if own {
				m.endStream(op, n.svc.clock.now())
			}
		}
	case *nameFeed:
		return func(m *model) { m.endFeeds(func(name string) bool { return name == op.Name }) }
	}
	return nil
}

// answer answers those who wait for the requests of the entry.
func (p *proposal) answer(err error) {
	for _, r := range p.requests {
		if r.done == nil {
			continue // decoded
		}
		if err != nil {
			r.err = err
		}
		r.answer()
	}
}

// land lets the node that has proposed the entry propose its next one. It does nothing on another.
func (p *proposal) land(applied bool) {
	if p.landed != nil {
		p.landed <- applied
	}
}

// observe records that an entry was applied, and draws the node's own conclusions from it.
func (n *node) observe(entry *LogEntry, p *proposal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.digests[entry.Place%digestsKept] = placeDigest{entry.Place, n.mark.digest}
	n.grown.Add(int64(len(entry.Data)))
	close(n.progress)
	n.progress = make(chan struct{})
	if p.own {
		n.lastOwn = time.Now()
		n.silence.Reset(awayAfter)
		if n.lost != nil {
			n.svc.log.Info("log can be reached again")
		}
		n.lost = nil
	}
	for _, r := range p.requests {
		switch op := r.op.(type) {
		case *configure:
			if !p.own && n.opened.Load() && op.Settings != n.settings {
				n.svc.log.Warn("another node has changed the settings: they are not those of this node's configuration", "node", n.w.model.runs[p.run].node)
			}
		case *beat:
			for _, name := range op.dead {
				if p.own {
					n.svc.log.Warn("node is dead: it had no beat while this node had three", "node", name)
				}
			}
			if err := n.compareDigest(p.run, op); err != nil {
				return err
			}
		}
	}
	if u := n.underWay; u != nil && n.hasNoEffect(u) {
		n.underWay = nil
		u.land(false)
	}
	return nil
}

// reportEvery is how often a node says that it can't reach the log.
const reportEvery = time.Minute

// away records that the log can't be reached, and logs it at once and then once a minute.
func (n *node) away(err error) {
	if n.ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost == nil || time.Since(n.reported) >= reportEvery {
		n.reported = time.Now()
		n.svc.log.Error("log can't be reached", "error", err)
	}
	n.lost = err
}

func (n *node) pause() {
	select {
	case <-time.After(retryEvery):
	case <-n.ctx.Done():
	}
}
