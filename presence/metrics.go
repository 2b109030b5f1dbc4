package presence

import (
	"sync/atomic"
	"time"
)

// Metrics are numbers about a [Service]: what is so now, and what it has done
// since it was opened. They name no user and hold no text of any.
//
// DeliveryDelay is that of the oldest change in an event. It holds what
// Settings.BatchWindow asks for, and the time for which a reader doesn't read,
// but not what a session is told because it resumes. Lateness holds no deadline
// that passed before the service was opened.
type Metrics struct {
	// Now.

	Users         UserCounts
	Streams       int           // open sessions
	Version       int64         // the last one given out
	Queue         int           // operations that wait for the writer
	QueueCapacity int           // more than that are refused with [ErrOverloaded]
	Overdue       time.Duration // how long the earliest work of the janitor is due already; 0: none is
	Fault         error         // why the last write failed; nil: it didn't
	DatabaseBytes int64         // the file's size
	WALBytes      int64         // the size of its write-ahead log
	DiskFreeBytes int64         // what the disk under it has left for us; -1: not known

	// Since Open.

	Opened      uint64            // sessions
	Ended       map[Ending]uint64 // sessions, by why; every [Ending] is there
	Changes     uint64            // that were visible: each got a version
	Conflated   uint64            // changes replaced by a newer one while they waited for a session
	WriteFaults uint64            // batches that could not be made durable: nothing of them was done
	FaultAt     time.Time         // of the last of these; zero: none

	EventStatuses   Histogram // statuses in each [EventUpdated] that a session handed out
	DeliveryDelay   Histogram // seconds from a change being durable to its [EventUpdated]
	Commit          Histogram // seconds to apply a batch and make it durable
	BatchOperations Histogram // operations in each of these batches
	Lateness        Histogram // seconds from a deadline to its effect being durable
}

// Ending is why a session ended.
type Ending string

// The endings: these, and the four of [KickReason].
const (
	EndedClosed     Ending = "closed"     // by its reader, whose client has gone
	EndedSuperseded Ending = "superseded" // the device has a newer session
	EndedDrained    Ending = "drained"    // the service was closing
)

func (e ending) name() Ending {
	switch e.kind {
	case endKicked:
		return Ending(e.kick)
	case endSuperseded:
		return EndedSuperseded
	case endClosed:
		return EndedDrained
	}
	return EndedClosed
}

// meters count for Metrics.
type meters struct {
	opened     time.Time // just before the service was, so that no moment since is 0
	openedAt   micros
	commit     histogram
	operations histogram
	lateness   histogram
	faults     atomic.Uint64
	faultAt    atomic.Int64 // microseconds since 1970

	// Sessions count in several places, because many do at once.
	sessions [16]sessionMeter
}

type sessionMeter struct {
	statuses histogram
	delay    histogram
	_        [64]byte // two in one cache line would slow each other down
}

// modelMeter is guarded by Service.mu.
type modelMeter struct {
	committed time.Duration // when the last batch was, since meters.opened
	opened    uint64
	ended     map[Ending]uint64
	changes   uint64
	conflated uint64
}

func newModelMeter() modelMeter {
	m := modelMeter{ended: make(map[Ending]uint64)}
	for _, e := range []Ending{
		EndedClosed, EndedSuperseded, EndedDrained,
		Ending(KickedByAdmin), Ending(KickedMultipleDevice), Ending(KickedExpired), Ending(KickedLogout),
	} {
		m.ended[e] = 0
	}
	return m
}

// waits notes that s has one more change waiting, or a newer one of the same
// user, when as many as before wait.
func (m *modelMeter) waits(s *Session, before int) {
	if len(s.waiting) == before {
		m.conflated++
	}
	if before == 0 || s.waitingSince == 0 {
		s.waitingSince = m.committed
	}
}

// handedOut notes that a part of what waited is in an event.
func (s *Session) handedOut(now time.Time) {
	meters := &s.svc.meters
	m := &meters.sessions[s.stream%int64(len(meters.sessions))]
	m.statuses.observe(&sizes, int64(len(s.batch)))
	if s.round.since != 0 {
		m.delay.observe(&times, int64(max(0, now.Sub(meters.opened)-s.round.since)))
	}
}

// closing is why a session that its reader closes at a time ends.
func (s *Session) closing(at micros) Ending {
	if !s.expires.IsZero() && s.expires.UnixMicro() <= at {
		return Ending(KickedExpired)
	}
	return EndedClosed
}

// durable measures a batch of operations that is.
func (m *meters) durable(b *batch, operations int, began time.Time) {
	took := time.Since(began)
	b.committed = began.Sub(m.opened) + took
	if !b.begun {
		return
	}
	m.commit.observe(&times, int64(took))
	m.operations.observe(&sizes, int64(operations))
	for _, due := range b.due {
		if due >= m.openedAt {
			late := time.Duration(b.now-due) * time.Microsecond
			m.lateness.observe(&times, int64(late+took))
		}
	}
}

func (m *meters) fault(at micros) {
	m.faults.Add(1)
	m.faultAt.Store(at)
}

// Metrics returns the numbers as they are now. It doesn't wait for the disk,
// but asks for the sizes of files.
func (s *Service) Metrics() Metrics {
	m := s.meters.read()
	s.readModel(&m)
	m.Queue, m.QueueCapacity = len(s.queue), cap(s.queue)
	if fault := s.fault.Load(); fault != nil {
		m.Fault = fault
	}
	m.DatabaseBytes, m.WALBytes, m.DiskFreeBytes = s.store.Sizes()
	return m
}

func (m *meters) read() Metrics {
	read := Metrics{
		WriteFaults:     m.faults.Load(),
		FaultAt:         toTime(m.faultAt.Load()),
		Commit:          m.commit.read(&times),
		BatchOperations: m.operations.read(&sizes),
		Lateness:        m.lateness.read(&times),
	}
	for i := range m.sessions {
		read.EventStatuses.add(m.sessions[i].statuses.read(&sizes))
		read.DeliveryDelay.add(m.sessions[i].delay.read(&times))
	}
	return read
}

func (s *Service) readModel(to *Metrics) {
	now := s.clock.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := &s.model
	to.Users = m.userCounts()
	to.Streams, to.Version = m.streams, m.version
	if due := m.nextDue(); due != 0 {
		to.Overdue = time.Duration(max(0, now-due)) * time.Microsecond
	}
	to.Opened, to.Changes, to.Conflated = m.meter.opened, m.meter.changes, m.meter.conflated
	to.Ended = make(map[Ending]uint64, len(m.meter.ended))
	for why, n := range m.meter.ended {
		to.Ended[why] = n
	}
}
