package presence

import (
	"sync"
	"time"
)

// clock is the clock of the service, which nobody can set. It starts from the machine's
// clock, or from the time of the last batch if that is later, and then adds the time
// that really passes, including the time during which the machine is suspended. So
// setting the machine's clock moves no deadline.
type clock struct {
	began  time.Time // with a monotonic reading
	origin micros    // the service's time at began

	suspended func() time.Duration
	base      time.Duration // what suspended returned at began
	mu        sync.Mutex
	floor     micros        // the latest time before follow was called last; zero without a log
	batch     micros        // the time of the last batch or earlier; zero without a log
	asleep    time.Duration // for how long the machine has been suspended since began
}

// exactness is the precision of machine.suspended.
const exactness = time.Millisecond

// machine is what the clock of the Go runtime doesn't report about the machine.
type machine struct {
	// suspended returns for how long the machine has been suspended since it
	// started.
	suspended func() time.Duration

	// onClockSet calls f each time the machine's clock is set and each time the
	// machine resumes from being suspended, until stop is called.
	onClockSet func(f func()) (stop func(), err error)
}

// simulatedMachine returns the machine of a program with simulated time, as in package
// testing/synctest. It is never suspended, and nobody sets its clock. Waiting for the
// kernel to report that would keep simulated time from passing.
func simulatedMachine() machine {
	return machine{
		suspended:  func() time.Duration { return 0 },
		onClockSet: func(func()) (stop func(), err error) { return func() {}, nil },
	}
}

// newClock returns a clock that starts at atLeast or later.
func newClock(atLeast micros, suspended func() time.Duration) *clock {
	c := &clock{suspended: suspended, base: suspended(), began: time.Now()}
	c.origin = max(atLeast, c.began.UnixMicro())
	return c
}

func (c *clock) now() micros {
	now, _ := c.read()
	return now
}

// read returns the service's time, and the machine's at the same moment, for measuring
// durations.
func (c *clock) read() (micros, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asleep = max(c.asleep, (c.suspended() - c.base).Truncate(10*exactness))
	now := time.Now()
	return max(c.floor, c.origin+toMicros(now.Sub(c.began)+c.asleep)), now
}

// follow sets the clock by the time of an entry of the log that has just arrived, after a
// batch at the time before. The clock never goes back: if the entry is earlier, it stands
// still for as long. The first entry sets it back too, because until then it shows the
// machine's time, which nobody has seen and which may be wrong.
func (c *clock) follow(at, before micros) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.origin + toMicros(time.Since(c.began)+c.asleep)
	if c.batch != 0 {
		c.floor = max(c.floor, now)
	}
	c.origin += at - now
	c.batch = max(at, before)
}

// batchTime returns the time that a batch has at least which is submitted now. It is
// earlier than now while the clock stands still.
func (c *clock) batchTime() micros {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.batch == 0 {
		return now
	}
	return max(c.batch, c.origin+toMicros(time.Since(c.began)+c.asleep))
}

// machineNow returns the time by the machine's clock, but not later than lastClock.
func machineNow() micros { return min(time.Now().UnixMicro(), lastClock) }

// Now returns the time by the service's clock, which never goes back. It equals the
// machine's time, unless the machine's clock was set since Open or was behind then.
func (s *Service) Now() time.Time { return toTime(s.clock.now()) }
