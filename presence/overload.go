package presence

import (
	"fmt"
	"sync/atomic"
	"time"
)

// pace measures how fast the writer is. Only time in which this process runs counts,
// because the disk isn't slow while the machine is frozen or the process is stopped. So
// pace counts the ticks of a timer, of which at most one fires after such a pause.
type pace struct {
	began atomic.Int64 // when the current batch began, in nanoseconds since writerMeter.opened; zero means that there is none
	took  atomic.Int64 // how long the last batch took, in nanoseconds
	ticks atomic.Int64 // since the current batch began
	timer *time.Timer
}

const tick = maxWait / 20

func newPace() *pace {
	p := new(pace)
	p.timer = time.AfterFunc(time.Hour, func() {
		p.ticks.Add(1)
		if p.began.Load() != 0 {
			p.timer.Reset(tick)
		}
	})
	p.timer.Stop()
	return p
}

func (p *pace) begin(at time.Duration) {
	p.ticks.Store(0)
	p.began.Store(int64(at))
	p.timer.Reset(tick)
}

func (p *pace) end(now time.Duration) {
	p.took.Store(int64(p.underWay(now)))
	p.began.Store(0)
	p.timer.Stop()
}

// underWay returns how long the writer has worked on its current batch. Zero means that
// there is none.
func (p *pace) underWay(now time.Duration) time.Duration {
	began := p.began.Load()
	if began == 0 {
		return 0
	}
	return min(now-time.Duration(began), time.Duration(p.ticks.Load()+1)*tick)
}

// maxWait is the longest time for which an operation may have to wait for the disk. A
// client that is refused immediately and retries is better off than one that times out.
const maxWait = 5 * time.Second

// wait estimates how long an operation that is queued now will wait.
func (w *writer) wait() time.Duration {
	queued := len(w.queue)
	if w.pace.began.Load() == 0 && queued == 0 {
		return 0
	}
	batch := max(time.Duration(w.pace.took.Load()), w.pace.underWay(time.Since(w.meter.opened)))
	return batch * time.Duration(1+queued/batchLength)
}

// stuck returns an error if an operation would have to wait for the disk for too long.
func (w *writer) stuck() error {
	wait := w.wait()
	if wait <= maxWait {
		return nil
	}
	return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("the disk is too slow: writes wait for %s", wait.Round(time.Second))}
}
