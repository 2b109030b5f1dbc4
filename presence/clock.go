package presence

import (
	"sync"
	"time"
)

// clock tells the time of the service. It begins with the machine's, or with
// the last batch's if that is later, and from then on only counts what really
// passes: a machine whose clock is set forward or back brings no deadline nearer
// and none further away. While the machine is suspended, time passes too.
type clock struct {
	began  time.Time // with a monotonic reading
	origin micros    // the time then

	suspended func() time.Duration
	base      time.Duration // of suspended, at began
	mu        sync.Mutex
	asleep    time.Duration // suspended since then, as far as it is known
}

// exactness is how well it is known for how long the machine was suspended.
const exactness = time.Millisecond

// machine tells what Go's own clock doesn't.
type machine struct {
	// suspended returns for how long the machine has been suspended since it
	// started.
	suspended func() time.Duration

	// onClockSet calls f each time the machine's clock is set, and when it
	// returns from being suspended, until stop is called.
	onClockSet func(f func()) (stop func(), err error)
}

// simulatedMachine is the one of a program whose time is simulated, as package
// testing/synctest does: it is never suspended, and nobody sets its clock. To wait
// for that would keep simulated time from passing, because the wait is for the
// kernel.
func simulatedMachine() machine {
	return machine{
		suspended:  func() time.Duration { return 0 },
		onClockSet: func(func()) (stop func(), err error) { return func() {}, nil },
	}
}

// newClock returns a clock that is never behind atLeast.
func newClock(atLeast micros, suspended func() time.Duration) *clock {
	c := &clock{suspended: suspended, base: suspended(), began: time.Now()}
	c.origin = max(atLeast, c.began.UnixMicro())
	return c
}

func (c *clock) now() micros {
	now, _ := c.read()
	return now
}

// read returns the time, and the machine's at that moment, to measure from.
func (c *clock) read() (micros, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asleep = max(c.asleep, (c.suspended() - c.base).Truncate(10*exactness))
	now := time.Now()
	return c.origin + toMicros(now.Sub(c.began)+c.asleep), now
}

// machineNow is the time as the machine's clock is set, if that can be.
func machineNow() micros { return min(time.Now().UnixMicro(), lastClock) }

// Now returns the time of the service, which never goes back. It is the
// machine's, unless that was set meanwhile.
func (s *Service) Now() time.Time { return toTime(s.clock.now()) }
