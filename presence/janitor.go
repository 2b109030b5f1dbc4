package presence

import (
	"sync"
	"time"
)

// sweep is the maximum number of users or rows that one operation processes, so that
// none stalls the writer.
const sweep = 1000

// janitor submits the operations that no caller asks for: to record that a stream
// ended, to apply deadlines, and to remove what deleted users left. It changes nothing
// itself.
type janitor struct {
	svc  *Service
	wake chan struct{} // wakes the janitor; has a buffer of one
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	next  micros        // when it will wake by itself; zero means never
	ended []endedStream // streams whose end is not stored yet
	since micros        // when the last outage of the log ended; zero without one
}

func newJanitor(svc *Service) *janitor {
	return &janitor{svc: svc, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// expect makes the janitor wake at due at the latest. Zero means never.
func (j *janitor) expect(due micros) {
	j.mu.Lock()
	sooner := due != 0 && (j.next == 0 || due < j.next)
	j.mu.Unlock()
	if sooner {
		j.rouse()
	}
}

// streamsEnded makes the janitor store that streams have ended now.
func (j *janitor) streamsEnded(ended ...endedStream) {
	now := j.svc.clock.now()
	for i := range ended {
		ended[i].at = now
	}
	j.mu.Lock()
	j.ended = append(j.ended, ended...)
	j.mu.Unlock()
	j.rouse()
}

// outageEnded makes the streams that have ended before count as ended now, because no
// device could reconnect during an outage of the log.
func (j *janitor) outageEnded(now micros) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.since = now
}

func (j *janitor) rouse() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *janitor) run() {
	defer close(j.done)
	defer j.followClock()()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-j.wake:
		case <-timer.C:
		}
		wait := j.work()
		if wait >= 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// work submits operations until nothing is due, and returns how long to sleep. A
// negative duration means until woken.
func (j *janitor) work() time.Duration {
	for {
		op := j.propose()
		if op == nil {
			return j.sleep()
		}
		if err := j.svc.writer.submit(op); err != nil {
			j.takeBack(op)
			return retryDelay
		}
	}
}

// retryDelay is how long the janitor waits before it submits an operation again that
// failed. It is half of the lateness that the service promises, so that what becomes due
// just after a disk has room again is still in time.
const retryDelay = time.Second / 2

// propose returns the next operation, or nil if nothing is due.
func (j *janitor) propose() operation {
	now := j.svc.clock.now() // before since is read, so that the end of an outage is not missed
	j.mu.Lock()
	n, since := min(len(j.ended), sweep), j.since
	ended := j.ended[:n:n]
	j.ended = j.ended[n:]
	if len(j.ended) == 0 {
		j.ended = nil
	}
	j.mu.Unlock()
	if n > 0 {
		for i := range n {
			ended[i].Age = max(0, now-max(ended[i].at, since))
		}
		return &drop{Ended: ended}
	}
	if op := j.svc.proposeSettling(); op != nil {
		return op
	}
	return j.svc.proposeRemoval()
}

func (j *janitor) takeBack(op operation) {
	switch op := op.(type) {
	case *drop:
		j.mu.Lock()
		j.ended = append(j.ended, op.Ended...)
		j.mu.Unlock()
	case *settle:
		j.svc.mu.Lock()
		j.svc.model.sweepAgain()
		j.svc.mu.Unlock()
	}
}

func (j *janitor) sleep() time.Duration {
	j.mu.Lock() // held while reading the deadline, so that expect compares with the one that was read
	due := j.svc.nextDue()
	j.next = due
	j.mu.Unlock()
	if due == 0 {
		return -1
	}
	return max(0, time.Duration(due-j.svc.clock.batchTime())*time.Microsecond+j.svc.patience())
}

// followClock wakes the janitor, all sessions and all feeds whenever the machine's clock was set or
// the machine resumes from being suspended, because a suspension delays Go's timers by
// its own length.
func (j *janitor) followClock() (stop func()) {
	stop, err := j.svc.machine.onClockSet(func() {
		j.rouse()
		rouse(j.svc.allWakers())
	})
	if err != nil {
		j.svc.log.Warn("deadlines that pass while the machine is suspended will be applied late", "error", err)
		return func() {}
	}
	return stop
}

func (j *janitor) close() {
	close(j.stop)
	<-j.done
}

// nextDue returns the earliest deadline. Zero means that there is none.
func (m *model) nextDue() micros {
	return earliest(earliest(m.deadlines.first(), m.kicked.first()), m.sweepDue())
}

func (s *Service) nextDue() micros {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.nextDue()
}

// proposeSettling returns an operation that applies what is due now, or nil if nothing
// is.
func (s *Service) proposeSettling() operation {
	now := s.clock.batchTime() - toMicros(s.patience())
	s.mu.RLock()
	due, users := s.model.nextDue(), s.model.deadlines.dueBy(now, sweep)
	s.mu.RUnlock()
	if due == 0 || due > now {
		return nil
	}
	for more := len(users) == 0; more && len(users) == 0; {
		s.mu.Lock()
		users, more = s.model.sweepSome(now, sweep)
		s.mu.Unlock()
	}
	return &settle{Users: users}
}

// patience is how late a node proposes what is due: the node that leads proposes it at
// once, and the others a second later, if it is still due.
func (s *Service) patience() time.Duration {
	if s.Leads() {
		return 0
	}
	return time.Second
}

// Leads reports whether the service has to do what one of all nodes does. Without a log it
// always has to.
func (s *Service) Leads() bool { return s.node == nil || s.node.leads() }

// proposeRemoval returns an operation that removes what deleted users left, or nil if
// there is nothing left.
func (s *Service) proposeRemoval() operation {
	if !s.Leads() {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.model.deletions.leftovers == 0 {
		return nil
	}
	return &removeLeftovers{}
}

// settle applies the deadlines of users that have passed, and forgets kicks and ends of
// runs whose time is over.
type settle struct {
	Users []uint32 `cbor:"1,keyasint,omitempty"`
}

func (op *settle) apply(b *batch) error {
	for _, id := range op.Users {
		if due := b.dueSince(id); due != 0 && due <= b.now {
			b.due = append(b.due, due)
		}
		if a := b.peekByID(id); a != nil {
			b.change(a, func(*account) {})
		}
	}
	b.forgetKicks()
	b.forgetEnds()
	return nil
}
