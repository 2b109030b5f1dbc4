package presence

import (
	"context"
	"runtime"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// request is one operation that waits for the writer.
type request struct {
	op   operation
	err  error
	done chan struct{} // it is answered; holds one
}

func newRequest() *request { return &request{done: make(chan struct{}, 1)} }

func (r *request) answer() { r.done <- struct{}{} }

const (
	// queueLength bounds the operations that wait: far less than a second of
	// work, and more than 10,000 streams that come back at once.
	queueLength = 16384

	// batchLength bounds the operations of one transaction.
	batchLength = 1024
)

// do has the operation applied, and returns once it is durable and announced,
// or has failed. ctx is looked at before it is queued and not after: an
// operation begun is never left half told.
func (s *Service) do(ctx context.Context, op operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.wait() > maxWait {
		return ErrOverloaded
	}
	return s.submit(op)
}

// submit is do for what can't come back later.
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

// writeLoop is the writer: it ends when the queue is closed and empty.
func (s *Service) writeLoop() {
	batch := make([]*request, 0, batchLength)
	for first := range s.queue {
		runtime.Gosched() // those about to enqueue come along, and share the fsync
		batch = s.gather(append(batch[:0], first))
		s.write(batch)
		clear(batch)
		s.store.Wrote(s.batch.written)
	}
}

// gather adds what waits already: the more callers wait, the more share one
// fsync.
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

// write applies, commits, publishes and answers, in that order.
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

// publish brings the batch into memory, and wakes sessions without the lock.
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

// refuse answers a batch that could not be made durable: nothing of it was
// done. The reason is kept for Ready until a write succeeds.
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

// probe writes without changing anything, to see whether that works again.
type probe struct{}

func (probe) apply(b *batch) error {
	b.exec("UPDATE service SET clock = ?", b.now)
	return nil
}

// Ready returns nil while the service can do all its work, else the reason as
// an [*Error] with CodeUnavailable. After a failed write it tries another.
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

// retryDelay is how long to wait before proposing again what failed.
const retryDelay = time.Second
