package presence

import (
	"sync"
	"time"
)

// sweep bounds the users of one proposal, so that no sweep stalls the writer.
const sweep = 1000

// janitor proposes what time brings about: the end of a stream, and what has
// fallen due. It changes nothing itself.
type janitor struct {
	svc  *Service
	wake chan struct{} // there is something to look at; holds one
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	next  micros // when it will look by itself; 0: it waits to be woken
	ended []endedStream
}

func newJanitor(svc *Service) *janitor {
	return &janitor{svc: svc, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// expect makes the janitor look at due at the latest; 0 is never.
func (j *janitor) expect(due micros) {
	j.mu.Lock()
	sooner := due != 0 && (j.next == 0 || due < j.next)
	j.mu.Unlock()
	if sooner {
		j.rouse()
	}
}

// streamEnded hands over a stream whose end is to be stored.
func (j *janitor) streamEnded(e endedStream) {
	j.mu.Lock()
	j.ended = append(j.ended, e)
	j.mu.Unlock()
	j.rouse()
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

// work proposes all that is due, and returns how long to sleep: less than
// zero is until woken.
func (j *janitor) work() time.Duration {
	for {
		op := j.propose()
		if op == nil {
			return j.sleep()
		}
		if err := j.svc.submit(op); err != nil {
			j.takeBack(op)
			return retryDelay
		}
	}
}

// propose returns the next operation, or nil when nothing is due.
func (j *janitor) propose() operation {
	j.mu.Lock()
	n := min(len(j.ended), sweep)
	ended := j.ended[:n:n]
	j.ended = j.ended[n:]
	if len(j.ended) == 0 {
		j.ended = nil
	}
	j.mu.Unlock()
	if n > 0 {
		return &drop{ended: ended}
	}
	if op := j.svc.proposeSettling(); op != nil {
		return op
	}
	return j.svc.proposeRemoval()
}

func (j *janitor) takeBack(op operation) {
	if d, ok := op.(*drop); ok {
		j.mu.Lock()
		j.ended = append(j.ended, d.ended...)
		j.mu.Unlock()
	}
}

func (j *janitor) sleep() time.Duration {
	j.mu.Lock() // while looking, so that expect compares with what was seen
	due := j.svc.nextDue()
	j.next = due
	j.mu.Unlock()
	if due == 0 {
		return -1
	}
	return max(0, time.Duration(due-j.svc.clock.now())*time.Microsecond)
}

// followClock has everyone look at the time again whenever it was set, or has
// passed while the machine was suspended, which delays Go's timers by as long.
func (j *janitor) followClock() (stop func()) {
	stop, err := j.svc.machine.onClockSet(func() {
		j.rouse()
		rouse(j.svc.allSessions())
	})
	if err != nil {
		j.svc.log.Warn("what falls due while the machine is suspended will be late", "error", err)
		return func() {}
	}
	return stop
}

func (j *janitor) close() {
	close(j.stop)
	<-j.done
}

// nextDue returns the earliest deadline, or 0.
func (m *model) nextDue() micros { return earliest(m.deadlines.first(), m.kicked.first()) }

func (s *Service) nextDue() micros {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.nextDue()
}

// proposeSettling returns an operation for what is due now, or nil.
func (s *Service) proposeSettling() operation {
	now := s.clock.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if due := s.model.nextDue(); due == 0 || due > now {
		return nil
	}
	return &settle{users: s.model.deadlines.dueBy(now, sweep)}
}

// proposeRemoval returns an operation while something is left of deleted users,
// or nil.
func (s *Service) proposeRemoval() operation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.model.deletions.leftovers == 0 {
		return nil
	}
	return removeLeftovers{}
}

// settle applies what is due to users, and forgets kicks that are over.
type settle struct{ users []uint32 }

func (op *settle) apply(b *batch) error {
	for _, id := range op.users {
		if due := b.dueSince(id); due != 0 && due <= b.now {
			b.due = append(b.due, due)
		}
		if a := b.accountByID(id); a != nil {
			b.change(a, func() {})
		}
	}
	b.forgetKicks()
	return nil
}
