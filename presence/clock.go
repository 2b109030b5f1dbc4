package presence

import (
	"sync"
	"time"
)

// clock tells the time of the service. It never goes back, whatever the
// machine's clock does: while that is behind, time goes on at its own pace.
type clock struct {
	mu     sync.Mutex
	last   micros
	lastAt time.Time // with a monotonic reading
}

func newClock(atLeast micros) *clock { return &clock{last: atLeast, lastAt: time.Now()} }

func (c *clock) now() micros {
	now, _ := c.read()
	return now
}

// read returns the time, and the machine's at that moment, to measure from.
func (c *clock) read() (micros, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.last = max(now.UnixMicro(), c.last+span(now.Sub(c.lastAt)))
	c.lastAt = now
	return c.last, now
}

// Now returns the time of the service, which never goes back.
func (s *Service) Now() time.Time { return moment(s.clock.now()) }
