package presence

import (
	"context"
	"runtime"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// request is an operation that waits for the writer.
type request struct {
	op   operation
	err  error
	done chan struct{} // receives when the request is answered; has a buffer of one
}

func newRequest() *request { return &request{done: make(chan struct{}, 1)} }

func (r *request) answer() { r.done <- struct{}{} }

const (
	// queueLength is the maximum number of operations that wait. They are far
	// less than a second of work, and enough for 10,000 clients that reconnect
	// at the same time.
	queueLength = 16384

	// batchLength is the maximum number of operations in one transaction.
	batchLength = 1024
)

// do submits the operation to the writer. It returns once the operation is durable and
// announced, or has failed. ctx is checked only before the operation is queued, so that
// the caller always learns the outcome of an operation that was begun.
func (s *Service) do(ctx context.Context, op operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.wait() > maxWait {
		return ErrOverloaded
	}
	return s.submit(op)
}

// submit is do without the limit of the waiting time, for operations that the service
// itself submits.
func (s *Service) submit(op operation) error {
	r := s.requests.Get().(*request)
	r.op, r.err = op, nil
	if err := s.enqueue(r); err != nil {
		return err
	}
	<-r.done
	err := r.err
	r.op = nil
	s.requests.Put(r)
	return err
}

func (s *Service) enqueue(r *request) error {
	s.queueMu.RLock()
	defer s.queueMu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	select {
	case s.queue <- r:
		return nil
	default:
		return ErrOverloaded
	}
}

// writeLoop is the writer. It returns when the queue is closed and empty.
func (s *Service) writeLoop() {
	batch := make([]*request, 0, batchLength)
	for first := range s.queue {
		runtime.Gosched() // callers about to enqueue join this batch and share its fsync
		batch = s.gather(append(batch[:0], first))
		s.write(batch)
		clear(batch)
		s.store.Wrote(s.batch.written)
	}
}

// gather adds the requests that wait already. The more callers wait, the more of them
// share one fsync.
func (s *Service) gather(batch []*request) []*request {
	for len(batch) < batchLength {
		select {
		case r, ok := <-s.queue:
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
func (s *Service) write(requests []*request) {
	now, began := s.clock.read()
	s.pace.begin(began.Sub(s.meters.opened))
	s.lastBatch = max(now, s.lastBatch+1)
	b := s.newBatch(s.lastBatch)
	for _, r := range requests {
		r.err = r.op.apply(b)
	}
	if err := b.commit(); err != nil {
		s.pace.end(time.Since(s.meters.opened))
		s.refuse(requests, err)
		return
	}
	s.meters.durable(b, len(requests), began)
	if b.begun && s.fault.Swap(nil) != nil {
		s.log.Info("database can be written again")
	}
	s.publish(b)
	s.pace.end(time.Since(s.meters.opened))
	for _, r := range requests {
		r.answer()
	}
}

// publish brings the batch into memory, and then wakes the sessions without holding the
// lock.
func (s *Service) publish(b *batch) {
	s.mu.Lock()
	b.publish(&s.model)
	s.run, s.nextUser = b.run, b.nextUser
	woken := s.model.takeWoken()
	due, leftovers := s.model.nextDue(), s.model.deletions.leftovers
	s.mu.Unlock()
	rouse(woken)
	s.janitor.expect(due)
	if leftovers > 0 {
		s.janitor.rouse()
	}
}

// refuse answers the requests of a batch that could not be committed, of which nothing
// took effect. Ready reports the reason until a write succeeds.
func (s *Service) refuse(requests []*request, err error) {
	fault := unwritable(store.Diagnose(s.store.Path(), err))
	s.meters.fault(s.lastBatch)
	if s.fault.Swap(fault) == nil {
		s.log.Error("database can't be written", "error", fault.Cause)
	}
	for _, r := range requests {
		r.err = fault
		r.answer()
	}
}

// probe writes without changing anything, to test whether writing succeeds again.
type probe struct{}

func (probe) apply(b *batch) error {
	b.exec("UPDATE service SET clock = ?", b.now)
	return nil
}

// Ready returns nil if the service can do all its work. Otherwise it returns the reason
// as an [*Error] with CodeUnavailable. If the last write failed, Ready tries another.
func (s *Service) Ready(ctx context.Context) error {
	if s.isDraining() {
		return ErrClosed
	}
	if err := s.stuck(); err != nil {
		return err
	}
	if s.fault.Load() != nil {
		return s.do(ctx, probe{})
	}
	if err := s.store.Moved(); err != nil {
		return unwritable(err)
	}
	return nil
}

// retryDelay is how long the janitor waits before it submits an operation again that
// failed.
const retryDelay = time.Second
