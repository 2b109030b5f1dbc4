package presence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// await waits until a request is answered, and returns its error. After most it gives the
// request up. A request that was not proposed until then has no effect. One that was proposed
// may have its effect later.
func (n *node) await(r *request, most time.Duration) error {
	select {
	case <-r.done:
		return r.err
	case <-time.After(most):
	}
	if r.take() {
		return n.whyLate()
	}
	<-r.done
	return r.err
}

// propose appends requests to the log, in as few entries as possible. It returns once all
// are applied, or the node stops. If the run of this node ends before an entry is applied,
// it proposes the requests again, except those that were given up meanwhile.
func (n *node) propose(requests []*request) {
	for len(requests) > 0 {
		id, r := n.svc.runOf(n.nonce.Load())
		switch {
		case n.ctx.Err() != nil || id == 0 && n.leaving.Load():
			n.w.refuse(requests, cmp.Or(context.Cause(n.ctx), error(ErrClosed)))
			return
		case id == 0:
			n.begin()
			continue
		}
		p, rest := n.fill(requests)
		p.Run, p.Number = id, r.number+1
		if again := p.requests; len(again) == 0 || n.enter(p) {
			requests = rest
		} else {
			requests = append(again, rest...) // without those that are answered: others may use them already
		}
	}
}

// fill returns a proposal with as many requests as fit into one entry, and the rest. It
// leaves out those that were given up, and refuses those that can't be in an entry.
func (n *node) fill(requests []*request) (p *proposal, rest []*request) {
	p = &proposal{landed: make(chan bool, 1)}
	size := entryOverhead
	for i, r := range requests {
		if r.taken.Load() {
			continue
		}
		o, err := n.encode(r)
		if err != nil {
			n.w.refuse(requests[i:i+1], err)
			continue
		}
		if size += len(o.Fields) + entryOverhead; size > maxEntry {
			return p, requests[i:]
		}
		p.requests, p.Operations = append(p.requests, r), append(p.Operations, o)
	}
	return p, nil
}

// entryOverhead is more than an entry has for itself, and for each operation besides the
// fields.
const entryOverhead = 64

// encode returns the operation of a request. It returns an error if the operation can't be
// in an entry now.
func (n *node) encode(r *request) (encoded, error) {
	o, err := n.codec.encode(r.op)
	switch {
	case err != nil:
		return o, err
	case len(o.Fields)+2*entryOverhead > maxEntry:
		return o, &Error{Code: CodeLimit, Message: "the request is too long for the log"}
	}
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	for _, other := range n.svc.model.runs {
		if other.level < n.codec.levels[o.Code] {
			return o, &Error{Code: CodeUnavailable, Message: fmt.Sprintf("the node %q has an earlier release, which can't do this: upgrade it", other.node)}
		}
	}
	return o, nil
}

// begin begins a run of this node, and takes over the devices whose streams are open here.
func (n *node) begin() {
	last := n.nonce.Load()
	op := &beginRun{
		Node: n.name, Nonce: rand.Int64N(maxCount-1) + 1, Level: n.codec.level, Agreement: *n.agreement.Load(),
		Before: cmp.Or(last, n.before), Start: last == 0,
	}
	n.nonce.Store(op.Nonce)
	if last != 0 {
		n.svc.log.Warn("the other nodes have considered this node dead: it begins a new run, and takes its streams over")
	}
	r := &request{op: op}
	p, _ := n.fill([]*request{r})
	switch {
	case len(p.requests) > 0 && !n.enter(p):
	case r.err != nil:
		n.fail(r.err)
	default:
		n.takeOverStreams()
	}
}

// enter appends an entry until follow has reached it, and reports whether it had an effect.
// Only one entry is under way at a time. One that was appended is appended again if it
// doesn't arrive, because the log may lose what no node has applied.
func (n *node) enter(p *proposal) (applied bool) {
	p.data = n.codec.encodeEntry(&p.logged)
	n.underWay.Store(p)
	for n.ctx.Err() == nil {
		err := n.try(func(ctx context.Context) error {
			if n.underWay.Load() != p {
				return nil // it has arrived, although the last attempt failed
			}
			began := time.Now()
			err := n.log.Append(ctx, p.data)
			if err == nil {
				n.appends.observe(&times, int64(time.Since(began)))
			}
			return err
		})
		if err != nil && n.ctx.Err() == nil {
			n.fail(err)
		}
		select {
		case applied := <-p.landed:
			return applied
		case <-time.After(maxWait):
		case <-n.ctx.Done():
		}
	}
	return !n.underWay.CompareAndSwap(p, nil) && <-p.landed
}

// retryEvery is the time after which a failed call of the log is repeated.
const retryEvery = 100 * time.Millisecond

// fatal is an error after which a node can't go on.
type fatal struct{ error }

// try calls f, which calls the log, until it succeeds, the node stops, or trying again is of
// no use.
func (n *node) try(f func(context.Context) error) error {
	for {
		ctx, cancel := context.WithTimeout(n.ctx, maxWait)
		err := f(ctx)
		cancel()
		_, isFatal := errors.AsType[fatal](err)
		if err == nil || isFatal || n.ctx.Err() != nil || errors.Is(err, ErrLogUnusable) && !n.opened.Load() {
			return err
		}
		n.away(err)
		n.pause(retryEvery)
	}
}

// pause waits, and reports whether the node still runs.
func (n *node) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-n.ctx.Done():
		return false
	}
}

// reportEvery is how often a node says that it can't reach the log.
const reportEvery = time.Minute

// away records that the log can't be reached, and logs it at once and then once a minute.
func (n *node) away(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost == nil || time.Since(n.reported) >= reportEvery {
		n.reported = time.Now()
		n.svc.log.Error("log can't be reached", "error", err)
	}
	n.lost = err
}
