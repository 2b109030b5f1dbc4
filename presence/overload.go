package presence

import (
	"fmt"
	"sync/atomic"
	"time"
)

// pace is how fast the writer gets on.
type pace struct {
	began atomic.Int64 // when the batch under way did, in nanoseconds since meters.opened; 0: none is
	took  atomic.Int64 // how long the last one took, in nanoseconds
}

// maxWait is how long an operation may have to wait for the disk: a client who
// is told at once to come back is better off than one who gives up waiting.
const maxWait = 5 * time.Second

// wait estimates how long an operation that is queued now will wait.
func (s *Service) wait() time.Duration {
	queued, began := len(s.queue), time.Duration(s.pace.began.Load())
	if began == 0 && queued == 0 {
		return 0
	}
	batch := time.Duration(s.pace.took.Load())
	if began != 0 {
		batch = max(batch, time.Since(s.meters.opened)-began)
	}
	return batch * time.Duration(1+queued/batchLength)
}

func (s *Service) beginBatch(at time.Time) { s.pace.began.Store(int64(at.Sub(s.meters.opened))) }

func (s *Service) endBatch(began time.Time) {
	s.pace.took.Store(int64(time.Since(began)))
	s.pace.began.Store(0)
}

// stuck returns an error when the disk doesn't keep up.
func (s *Service) stuck() error {
	wait := s.wait()
	if wait <= maxWait {
		return nil
	}
	return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("the disk is too slow: writes wait for %s", wait.Round(time.Second))}
}
