package presence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A requestState says who has a request of a node that shares a log.
const (
	requestWaiting  int32 = iota // it is in the queue; zero, so that a new request waits
	requestProposed              // it is in an entry that may be in the log already
	requestApplying              // its entry is being applied: it will be answered at once
	requestGivenUp               // its caller has returned
)

// proposed is a batch of requests that was appended, or may have been, and is not applied
// yet.
type proposed struct {
	number   int64
	requests []*request
}

// errLogAway is the error of a call that has waited for the log for too long.
var errLogAway = &Error{Code: CodeUnavailable, Message: "the log can't be reached"}

// whyLate returns the error of a call that has waited for too long.
func (n *node) whyLate() error {
	if err := n.w.lastError.Load(); err != nil {
		return err
	}
	return errLogAway
}

// await waits until a request is answered. After most it gives the request up. A request
// that was not proposed until then has no effect. One that was proposed may have its effect
// later.
func (n *node) await(r *request, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-r.done:
		return nil
	case <-timer.C:
	}
	for state := r.state.Load(); state != requestApplying; state = r.state.Load() {
		if r.state.CompareAndSwap(state, requestGivenUp) {
			return n.whyLate()
		}
	}
	<-r.done
	return nil
}

// propose appends requests to the log, in as few entries as possible.
func (n *node) propose(requests []*request) {
	var entry []*request
	var operations []encoded
	size := 0
	flush := func() {
		if len(entry) > 0 {
			n.append(entry, operations)
		}
		entry, operations, size = nil, nil, entryOverhead
	}
	flush()
	for _, r := range requests {
		if !r.state.CompareAndSwap(requestWaiting, requestProposed) {
			continue // given up
		}
		e, err := n.codec.encode(r.op)
		if err == nil {
			err = n.mayPropose(e)
		}
		if r.unwanted != nil && r.unwanted() {
			err = ErrClosed
		}
		if err != nil {
			r.err = err
			r.answer()
			continue
		}
		if size+len(e.Fields)+entryOverhead > maxEntry || len(entry) == batchLength {
			flush()
		}
		entry, operations, size = append(entry, r), append(operations, e), size+len(e.Fields)+entryOverhead
	}
	flush()
}

// mayPropose returns an error if an operation can't be in an entry now.
func (n *node) mayPropose(e encoded) error {
	if len(e.Fields)+2*entryOverhead > maxEntry {
		return &Error{Code: CodeLimit, Message: "the request is too long for the log"}
	}
	level := n.codec.levels[e.Code]
	if level == 0 {
		return nil // all releases know it
	}
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	for _, r := range n.svc.model.runs {
		if r.nonce != 0 && r.level < level {
			return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("the node %q has an earlier release, which can't do this: upgrade it", r.node)}
		}
	}
	return nil
}

// entryOverhead is more than an entry has for itself, and for each operation besides the
// fields.
const entryOverhead = 64

// append appends one entry, and returns once it is durable, or once its requests were
// answered or are to be proposed again.
func (n *node) append(requests []*request, operations []encoded) {
	p, run := n.begin(requests)
	if p == nil {
		answerAll(requests, n.reason())
		return
	}
	data := n.codec.encodeEntry(run, p.number, operations)
	for n.isPending(p) && n.appendOnce(data) != nil {
		n.pause()
	}
	if n.ctx.Err() != nil {
		n.answerPending()
	}
}

// begin gives the requests the next number of the node's run, and begins a run if there is
// none. It returns nil if the node stops.
func (n *node) begin(requests []*request) (p *proposed, run int64) {
	select {
	case <-n.mayBegin:
	case <-n.ctx.Done():
	}
	for n.ctx.Err() == nil {
		n.mu.Lock()
		leaving := n.leaving
		if n.run != 0 {
			n.number++
			p = &proposed{number: n.number, requests: requests}
			n.pending = append(n.pending, p)
			run = n.run
		}
		n.mu.Unlock()
		if p != nil || leaving {
			return p, run
		}
		n.beginRun()
		n.takeOverStreams()
	}
	return nil, 0
}

// beginRun appends the begin of a run, and waits until it is applied.
func (n *node) beginRun() {
	began := make(chan struct{})
	n.mu.Lock()
	op := &beginRun{Node: n.name, Nonce: rand.Int64N(maxCount-1) + 1, Level: n.codec.level, Agreement: n.agreement, Before: n.nonce, Start: !n.opened}
	n.nonce, n.began = op.Nonce, began
	n.mu.Unlock()
	e, err := n.codec.encode(op)
	if err != nil {
		panic(err) // it has a code
	}
	data := n.codec.encodeEntry(0, 0, []encoded{e})
	for n.ctx.Err() == nil && n.appendOnce(data) != nil {
		n.pause()
	}
	select {
	case <-began:
	case <-n.ctx.Done():
	}
}

// appendOnce appends an entry once, and reports whether it is durable.
func (n *node) appendOnce(data []byte) error {
	ctx, cancel := context.WithTimeout(n.ctx, maxWait)
	defer cancel()
	began := time.Now()
	err := n.log.Append(ctx, data)
	if err == nil {
		n.appends.observe(&times, int64(time.Since(began)))
		n.mu.Lock()
		n.proposed++
		n.mu.Unlock()
		return nil
	}
	n.away(err)
	return err
}

// retryEvery is the time after which a failed call of the log is repeated.
const retryEvery = 100 * time.Millisecond

func (n *node) pause() {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.ctx.Done():
	}
}

// isPending reports whether the node goes on and an entry is not applied yet.
func (n *node) isPending(p *proposed) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ctx.Err() == nil && slices.Contains(n.pending, p)
}

// takePending returns the entry with a number, which then is no longer pending, or nil. The
// requests of earlier entries are proposed again: the log has lost these, and if they
// arrive after all, they count as repeats.
func (n *node) takePending(number int64) *proposed {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.pending) > 0 && n.pending[0].number <= number {
		p := n.pending[0]
		n.pending = n.pending[1:]
		if p.number == number {
			return p
		}
		n.proposeAgain(p)
	}
	return nil
}

// proposeAgain queues the requests of an entry that has no effect. n.mu is held.
func (n *node) proposeAgain(p *proposed) {
	for _, r := range p.requests {
		if !r.state.CompareAndSwap(requestProposed, requestWaiting) {
			continue // given up
		}
		if err := n.w.enqueue(r); err != nil && r.state.CompareAndSwap(requestWaiting, requestApplying) {
			r.err = err
			r.answer()
		}
	}
}

// answerPending answers the callers that wait for entries which a node that stops won't
// apply.
func (n *node) answerPending() {
	n.mu.Lock()
	pending := n.pending
	n.pending = nil
	n.mu.Unlock()
	for _, p := range pending {
		answerAll(p.requests, n.reason())
	}
}

func answerAll(requests []*request, err error) {
	for _, r := range requests {
		if r.state.CompareAndSwap(requestProposed, requestApplying) || r.state.CompareAndSwap(requestWaiting, requestApplying) {
			r.err = err
			r.answer()
		}
	}
}

// reason returns the error of callers when the node has stopped.
func (n *node) reason() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed == nil {
		return ErrClosed
	}
	return &Error{Code: CodeUnavailable, Message: "the node has stopped", Cause: n.failed}
}
