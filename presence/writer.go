package presence

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// writer applies all operations, in the order in which they are submitted. It commits
// those that wait together as one batch, and passes the batch to publish. Only then does
// it answer the callers.
type writer struct {
	store   *store.DB
	codec   *codec
	clock   *clock
	log     *slog.Logger
	model   *model       // the committed state, which only publish changes
	publish func(*batch) // brings a committed batch into the model, and notifies the sessions
	meter   writerMeter
	pace    *pace
	node    *node // nil without a log

	lastError atomic.Pointer[Error] // the error of the last write; nil means that it succeeded

	mu       sync.RWMutex // held for writing only to close the queue
	closed   bool
	queue    chan *request
	requests sync.Pool     // requests that were answered, for reuse
	done     chan struct{} // closed when the goroutine has ended

	// The fields below belong to the goroutine, and before start to its starter.
	own       int64  // the run of this service; zero means that it has not begun
	lastBatch micros // the time of the last batch
	batch     *batch // the last batch, whose memory the next one reuses
}

// newWriter returns the writer of a service whose state is read. lastBatch is the time
// of the last batch that is stored.
func newWriter(s *Service, lastBatch micros) *writer {
	return &writer{
		store:     s.store,
		codec:     s.codec,
		clock:     s.clock,
		log:       s.log,
		model:     &s.model,
		node:      s.node,
		publish:   s.publish,
		meter:     writerMeter{opened: s.meters.opened, openedAt: s.clock.now()},
		pace:      newPace(),
		queue:     make(chan *request, queueLength),
		requests:  sync.Pool{New: func() any { return newRequest(nil) }},
		done:      make(chan struct{}),
		lastBatch: lastBatch,
	}
}

// start starts the goroutine, which close ends.
func (w *writer) start() {
	go func() {
		defer close(w.done)
		w.run()
	}()
}

// close makes do and submit return ErrClosed, and waits until the operations that were
// queued are answered. It reports false, and does nothing, if the writer was closed before.
func (w *writer) close() bool {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return false
	}
	w.closed = true
	close(w.queue)
	w.mu.Unlock()
	<-w.done
	return true
}

// request is an operation that waits for the writer.
type request struct {
	op    operation
	then  func(*model) // see doThen; may be nil
	err   error
	done  chan struct{} // receives when the request is answered; has a buffer of one; nil if nobody waits
	taken atomic.Bool   // see take
}

func newRequest(op operation) *request { return &request{op: op, done: make(chan struct{}, 1)} }

// answer lets the caller return, if one waits.
func (r *request) answer() {
	if r.done != nil {
		r.done <- struct{}{}
	}
}

// take reports whether the caller is the first. With a log, either whoever waits takes a
// request, and so gives it up, or whoever answers it.
func (r *request) take() bool { return r.taken.CompareAndSwap(false, true) }

const (
	// queueLength is the maximum number of operations that wait. They are far
	// less than a second of work, and enough for 10,000 clients that reconnect
	// at the same time.
	queueLength = 16384

	// batchLength is the maximum number of operations in one transaction.
	batchLength = 1024
)

// do submits the operation. It returns once the operation is durable and announced, or
// has failed. ctx is checked only before the operation is queued, so that the caller
// always learns the outcome of an operation that was begun.
func (w *writer) do(ctx context.Context, op operation) error { return w.doThen(ctx, op, nil) }

// doThen is do for an operation with an effect in memory that is not part of it, such as
// a session that is opened. If the operation succeeds, publish calls then after the
// operation's own changes of the model, and before those of any later operation.
func (w *writer) doThen(ctx context.Context, op operation, then func(*model)) error {
	if err := w.admit(ctx); err != nil {
		return err
	}
	return w.send(op, then, false)
}

// admit returns an error if an operation of a caller must not be queued now.
func (w *writer) admit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.wait() > maxWait {
		return ErrOverloaded
	}
	return nil
}

// submit is do without a limit of the waiting time, for operations that the service
// itself submits.
func (w *writer) submit(op operation) error { return w.send(op, nil, true) }

func (w *writer) send(op operation, then func(*model), patient bool) error {
	r := w.requests.Get().(*request)
	r.op, r.then, r.err = op, then, nil
	r.taken.Store(false)
	if err := w.enqueue(r); err != nil {
		return err
	}
	if w.node != nil && !patient {
		return w.node.await(r, maxWait) // r may be in use afterwards
	}
	<-r.done
	err := r.err
	r.op, r.then = nil, nil
	w.requests.Put(r)
	return err
}

func (w *writer) enqueue(r *request) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case w.queue <- r:
		return nil
	default:
		return ErrOverloaded
	}
}

// doFirst applies operations as one batch, before start.
func (w *writer) doFirst(ops ...operation) error {
	var batch []*request
	for _, op := range ops {
		batch = append(batch, newRequest(op))
	}
	w.write(batch)
	var errs []error
	for _, r := range batch {
		errs = append(errs, r.err)
	}
	return errors.Join(errs...)
}

// run returns when the queue is closed and empty.
func (w *writer) run() {
	batch := make([]*request, 0, batchLength)
	for first := range w.queue {
		runtime.Gosched() // callers about to enqueue join this batch and share its fsync
		batch = w.gather(append(batch[:0], first))
		if w.node != nil {
			w.node.propose(batch)
		} else {
			w.write(batch)
			w.store.Wrote(w.batch.written)
		}
		clear(batch)
	}
}

// gather adds the requests that wait already. The more callers wait, the more of them
// share one fsync.
func (w *writer) gather(batch []*request) []*request {
	for len(batch) < batchLength {
		select {
		case r, ok := <-w.queue:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// write applies the operations, commits them, publishes the result and answers the
// callers, in that order.
func (w *writer) write(requests []*request) {
	b := w.newBatch(w.clock.now())
	if err := w.perform(b, requests); err != nil {
		w.refuse(requests, w.unwritable(err))
		return
	}
	w.own = b.run
	for _, r := range requests {
		r.answer()
	}
}

// perform applies the operations to a batch, commits it, and publishes the result. After
// an error, nothing took effect.
func (w *writer) perform(b *batch, requests []*request) error {
	began := time.Now()
	w.pace.begin(began.Sub(w.meter.opened))
	defer func() { w.pace.end(time.Since(w.meter.opened)) }()
	for _, r := range requests {
		if r.err = r.op.apply(b); r.err == nil && r.then != nil {
			b.after(r.then)
		}
	}
	if err := b.commit(); err != nil {
		return err
	}
	w.meter.durable(b, len(requests), began)
	if b.begun && w.lastError.Swap(nil) != nil {
		w.log.Info("database can be written again")
	}
	w.publish(b)
	return nil
}

// refuse answers the requests with an error.
func (w *writer) refuse(requests []*request, err error) {
	for _, r := range requests {
		r.err = err
		r.answer()
	}
}

// unwritable records that a batch could not be committed, of which nothing took effect, and
// returns the error for the callers. Ready reports it until a write succeeds.
func (w *writer) unwritable(err error) *Error {
	reason := unwritable(store.Diagnose(w.store.Path(), err))
	w.meter.failed(w.lastBatch)
	if w.lastError.Swap(reason) == nil {
		w.log.Error("database can't be written", "error", reason.Cause)
	}
	return reason
}

// newBatch returns an empty batch at the time read, or just after the previous batch if
// that is later. There is only one at a time, so it reuses the
// memory of the previous one.
func (w *writer) newBatch(read micros) *batch {
	before := w.lastBatch
	w.lastBatch = max(read, before+1)
	last := w.batch
	if last == nil || len(last.accounts) > manyChanged {
		last = new(batch)
	}
	clear(last.announced)
	clear(last.follow)
	w.batch = &batch{
		overlay:   last.overlay,
		now:       w.lastBatch,
		read:      read,
		before:    before,
		run:       w.own,
		store:     w.store,
		codec:     w.codec,
		announced: last.announced[:0],
		follow:    last.follow[:0],
	}
	w.batch.overlay.reset(w.model)
	return w.batch
}

// manyChanged is the number of accounts above which the memory of a batch is not
// reused, because clearing it would cost more than allocating a new one.
const manyChanged = 256
