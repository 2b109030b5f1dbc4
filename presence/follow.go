package presence

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"
)

// follow applies the entries of the log until the node stops.
func (n *node) follow() {
	defer n.silence.Stop()
	for n.ctx.Err() == nil {
		entries, err := n.log.Next(n.ctx, n.w.model.applied.place)
		if err != nil && n.try(n.verify) == nil {
			n.away(err)
			n.pause(time.After(retryEvery))
		}
		for i := 0; i < len(entries) && n.ctx.Err() == nil; i++ {
			if err := n.applyEntry(&entries[i]); err != nil {
				n.fail(err)
			}
		}
	}
}

// verify checks that the log still is the one that the node has applied.
func (n *node) verify(ctx context.Context) error {
	state, err := n.log.State(ctx)
	place := n.w.model.applied.place
	switch {
	case err != nil:
		return err
	case state.ID != n.state.ID:
		return fatal{fmt.Errorf("the log is not the one that this node has applied: its tables were removed or replaced after the entry %d", place)}
	case place+1 < state.First:
		return fatal{fmt.Errorf("%s was away for longer than the log keeps its entries: start this node again", n.path)}
	case place < state.First:
		return nil // there was none, or it was removed
	}
	if place <= state.Last {
		entries, err := n.log.Next(ctx, place-1)
		if err != nil || len(entries) > 0 && bytes.Equal(entryHash(&entries[0]), n.w.model.applied.entry) {
			return err
		}
	}
	return fatal{fmt.Errorf("%s has applied the entry %d of the log, and the log has lost it: the log ends, or goes on differently, after the entry %d. "+
		"The command presence cluster accept makes the log go on from this database; or move the file away to go on from the log",
		n.path, place, min(state.Last, place-1))}
}

// applyEntry applies the next entry of the log. An error means that the node can't go on.
// An entry that can't be written is tried again until it can, because it is durable and all
// other nodes apply it; those who wait for it get the error.
func (n *node) applyEntry(entry *LogEntry) error {
	if entry.Place != n.w.model.applied.place+1 {
		return fmt.Errorf("the log has the entry %d after %d", entry.Place, n.w.model.applied.place)
	}
	now := logTime(n.w.lastBatch, n.w.model.applied.at, entry.At.UnixMicro())
	if isOutage(n.w.lastBatch, now) {
		n.svc.janitor.outageEnded(now) // before the clock shows it
	}
	n.w.clock.follow(now, n.w.lastBatch)
	p, err := n.takeEntry(entry.Data)
	if err != nil {
		return err
	}
	proposed := p
	for ; !n.perform(entry, now, p); p, _ = n.takeEntry(entry.Data) { // without the results of the last attempt
		if !n.pause(time.After(retryEvery)) {
			proposed.landed <- proposed.void // it is in the log, and who waited is answered
			return n.ctx.Err()
		}
	}
	err = n.observe(entry, p)
	for _, r := range p.requests {
		r.answer()
	}
	proposed.landed <- proposed.void
	return err
}

// takeEntry returns what is to be applied of an entry of the log. If this node has proposed
// it, that is what is under way.
func (n *node) takeEntry(data []byte) (*proposal, error) {
	p := n.underWay.Load()
	if p == nil || !bytes.Equal(p.data, data) || !n.underWay.CompareAndSwap(p, nil) {
		var err error
		if p, err = n.svc.codec.decodeEntry(data); err != nil {
			return nil, err
		}
	}
	r, live := n.w.model.runs[p.Run]
	if p.Run != 0 && (!live || p.Number <= r.number) {
		p.Run, p.requests, p.void = 0, nil, p.requests
	}
	return p, nil
}

// perform applies an entry in one transaction, and reports whether that succeeded.
func (n *node) perform(entry *LogEntry, now micros, p *proposal) bool {
	p.own = p.Run != 0 && n.w.model.runs[p.Run].nonce == n.nonce.Load()
	m := n.w.model.applied
	m.place, m.at, m.entry, m.nonce = entry.Place, entry.At.UnixMicro(), entryHash(entry), cmp.Or(n.nonce.Load(), m.nonce)
	for i, r := range p.requests {
		if !r.take() { // it was given up, and its caller may still use the operation
			r.then = nil
			r.op, _ = n.svc.codec.decode(p.Operations[i])
		}
		if op, ok := r.op.(*configure); ok && p.own {
			m.proposed = n.svc.codec.marshal(op.Settings)
		}
	}
	b := n.w.newBatch(now)
	b.run, b.mark = p.Run, &m
	b.extendGraces()
	b.changeRun(b.run, func(r *run) { r.number = p.Number })
	if err := n.w.perform(b, p.requests); err != nil {
		if reason := n.w.unwritable(err); p.Run != 0 { // begin waits until it is written
			n.w.refuse(p.requests, reason)
		}
		n.w.lastBatch = b.before
		return false
	}
	n.w.store.Wrote(b.written)
	return true
}

// observe records that an entry was applied, and draws the node's own conclusions from it.
func (n *node) observe(entry *LogEntry, p *proposal) (err error) {
	n.digests[entry.Place%digestsKept] = n.w.model.applied.placeDigest
	n.grown.Add(int64(len(entry.Data)))
	n.mu.Lock()
	close(n.progress)
	n.progress = make(chan struct{})
	if p.own {
		n.lastOwn.Store(new(time.Now()))
		n.silence.Reset(awayAfter)
		if n.lost != nil {
			n.svc.log.Info("log can be reached again")
		}
		n.lost = nil
	}
	n.mu.Unlock()
	proposer := n.w.model.runs[p.Run].node
	for _, r := range p.requests {
		switch op := r.op.(type) {
		case *configure:
			if !p.own && n.opened.Load() && op.Settings != *n.settings.Load() {
				n.svc.log.Warn("another node has changed the settings: they are not those of this node's configuration", "node", proposer)
			}
		case *beat:
			if !p.own {
				err = cmp.Or(err, n.compareDigest(proposer, op))
				continue
			}
			for _, name := range op.dead {
				n.svc.log.Warn("node is dead: it had no beat while this node had three", "node", name)
			}
		}
	}
	return err
}
