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
	case <-time.After(most):
		if r.take() {
			return n.whyLate()
		}
		<-r.done
	}
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
		requests = append(n.enter(p), rest...)
	}
}

// fill returns a proposal with as many requests as fit into one entry, and the rest. It
// leaves out those that were given up, and refuses those that can't be in an entry.
func (n *node) fill(requests []*request) (p *proposal, rest []*request) {
	p, size := &proposal{Level: 1, landed: make(chan []*request, 1)}, entryOverhead
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
		p.Level = max(p.Level, n.svc.codec.levels[o.Code])
	}
	return p, nil
}

// entryOverhead is more than an entry has for itself, and for each operation besides the
// fields.
const entryOverhead = 64

// encode returns the operation of a request. It returns an error if the operation can't be
// in an entry now.
func (n *node) encode(r *request) (encoded, error) {
	o, err := n.svc.codec.encode(r.op)
	switch {
	case err != nil:
		return o, err
	case len(o.Fields)+2*entryOverhead > maxEntry:
		return o, &Error{Code: CodeLimit, Message: "the request is too long for the log"}
	}
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	for _, other := range n.svc.model.runs {
		if other.level < n.svc.codec.levels[o.Code] {
			return o, &Error{Code: CodeUnavailable, Message: fmt.Sprintf("the node %q has an earlier release, which can't do this: upgrade it", other.node)}
		}
	}
	return o, nil
}

// begin begins a run of this node, and takes over the devices whose streams are open here.
func (n *node) begin() {
	last, next := n.nonce.Load(), rand.Int64N(maxCount-1)+1
	r := &request{op: &beginRun{
		Node: n.name, Nonce: next, Level: n.svc.codec.level, Agreement: *n.agreement.Load(), Before: n.svc.applied().nonce, Start: last == 0,
	}}
	n.nonce.Store(next)
	if last != 0 {
		n.svc.log.Warn("the other nodes have considered this node dead: it begins a new run, and takes its streams over")
	}
	p, _ := n.fill([]*request{r})
	n.enter(p)
	if r.err != nil {
		n.fail(r.err)
	}
	n.takeOverStreams()
}

// enter appends an entry until follow has reached it, and returns the requests that are to
// be proposed again, because it had no effect. Only one entry is under way at a time. One
// that was appended is appended again if it doesn't arrive, because the log may lose what no
// node has applied.
func (n *node) enter(p *proposal) (again []*request) {
	if len(p.requests) == 0 {
		return nil
	}
	p.data = n.svc.codec.marshal(p)
	n.underWay.Store(p)
	for {
		began, wait := time.Now(), retryEvery
		if n.call(func(ctx context.Context) error { return n.log.Append(ctx, p.data) }) {
			n.appends.observe(&times, int64(time.Since(began)))
			wait = maxWait
		}
		select {
		case again := <-p.landed:
			return again
		case <-time.After(wait):
		case <-n.ctx.Done():
			if n.underWay.CompareAndSwap(p, nil) {
				return p.requests
			}
			return <-p.landed
		}
	}
}

// call makes a call of the log, for at most maxWait, and reports whether it succeeded.
func (n *node) call(f func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(n.ctx, maxWait)
	defer cancel()
	err := f(ctx)
	if err != nil {
		n.away(err)
	}
	return err == nil
}

// retryEvery is the time after which a failed call of the log is repeated.
const retryEvery = 100 * time.Millisecond

// try makes a call of the log until it succeeds, and returns an error if the node stops.
func (n *node) try(f func(context.Context) error) error {
	for !n.call(f) && n.pause(time.After(retryEvery)) {
	}
	return context.Cause(n.ctx)
}

// pause waits for a tick, and reports whether the node still runs.
func (n *node) pause(tick <-chan time.Time) bool {
	select {
	case <-tick:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// reportEvery is how often a node says that it can't reach the log.
const reportEvery = time.Minute

// fatal is an error after which a node can't go on.
type fatal struct{ error }

// away records that the log can't be reached, and logs it at once and then once a minute. It
// stops the node if trying again is of no use.
func (n *node) away(err error) {
	if _, isFatal := errors.AsType[fatal](err); isFatal || errors.Is(err, ErrLogUnusable) && !n.opened.Load() {
		n.fail(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() == nil && (n.lost == nil || time.Since(n.reported) >= reportEvery) {
		n.reported = time.Now()
		n.svc.log.Error("log can't be reached", "error", err)
	}
	n.lost = err
}
