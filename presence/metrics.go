package presence

import (
	"sync/atomic"
	"time"
)

// Metrics are the numbers of a [Service] for monitoring. They contain no user IDs and
// no custom statuses.
type Metrics struct {
	// The fields of this group describe the present.

	Users         UserCounts
	Availability  AvailabilityCounts
	Streams       int           // the open sessions and feeds
	Version       int64         // the last version issued
	Queue         int           // the operations that wait for the writer
	QueueCapacity int           // the length of Queue at which calls return [ErrOverloaded]
	Overdue       time.Duration // how long ago the earliest deadline passed that is not applied yet; zero means that there is none
	WriteError    error         // why the last write failed; nil means that it succeeded
	DatabaseBytes int64         // the size of the database file
	WALBytes      int64         // the size of its write-ahead log
	DiskFreeBytes int64         // the space on its disk that this process can use; -1 means unknown

	// The fields of this group count since Open.

	Opened       uint64            // the sessions and feeds that were opened
	Ended        map[Ending]uint64 // the sessions and feeds that ended, by reason; it has a key for every [Ending]
	Changes      uint64            // the visible changes; each got a version
	Conflated    uint64            // the changes that a newer one replaced while they waited for a session
	WriteErrors  uint64            // the batches that could not be committed; none of their operations took effect
	WriteErrorAt time.Time         // when that last happened; the zero time means never

	// EventStatuses counts the statuses in each [EventUpdated].
	EventStatuses Histogram

	// DeliveryDelay is the time in seconds from when a change became durable until
	// an [EventUpdated] with it was returned, for the oldest change in each event.
	// It includes the wait for Settings.BatchWindow, and the time in which nobody
	// polls the session. It leaves out what a session sends because it resumes.
	DeliveryDelay Histogram

	// Commit is the time in seconds to apply a batch of operations and make it
	// durable, and BatchOperations the number of operations in each. Both leave
	// out batches that wrote nothing.
	Commit          Histogram
	BatchOperations Histogram

	// Lateness is the time in seconds from a deadline until its effect was
	// durable. It leaves out deadlines that passed before Open.
	Lateness Histogram
}

// Ending is the reason why a session or feed ended.
type Ending string

// The reasons why a session or feed ended. The four values of [KickReason] are reasons as
// well.
const (
	EndedClosed     Ending = "closed"     // the reader closed it, usually because the client disconnected
	EndedSuperseded Ending = "superseded" // the device opened a newer session
	EndedDrained    Ending = "drained"    // the service was drained
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

// writerMeter counts what the writer does.
type writerMeter struct {
	opened     time.Time // that of meters
	openedAt   micros    // the same by the service's clock, but once the state is read
	commit     histogram
	operations histogram
	lateness   histogram
	failures   atomic.Uint64
	failedAt   atomic.Int64 // microseconds since 1970; zero means never
}

// meters count what the sessions do.
type meters struct {
	opened time.Time // just before the service was opened, so that no later time measured from it is zero

	// Many sessions count at the same time, so they share several meters.
	sessions [16]sessionMeter
}

type sessionMeter struct {
	statuses histogram
	delay    histogram
	_        [64]byte // keeps meters in different cache lines, so that they don't slow each other down
}

// modelMeter is guarded by Service.mu.
type modelMeter struct {
	committed time.Duration // when the last batch was committed, since meters.opened
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

// waits records that one more change waits for s. If as many users wait as before, the
// change replaced an earlier one of the same user.
func (m *modelMeter) waits(s *Session, before int) {
	if len(s.waiting) == before {
		m.conflated++
	}
	if before == 0 || s.waitingSince == 0 {
		s.waitingSince = m.committed
	}
}

// handedOut measures an event with n statuses, returned at now. The oldest of its changes
// became durable at since, measured from opened; zero means unknown. reader selects the
// meter.
func (m *meters) handedOut(reader int64, n int, since time.Duration, now time.Time) {
	meter := &m.sessions[reader%int64(len(m.sessions))]
	meter.statuses.observe(&sizes, int64(n))
	if since != 0 {
		meter.delay.observe(&times, int64(max(0, now.Sub(m.opened)-since)))
	}
}

// closing returns the reason for the end of a session that its reader closes.
func (s *Session) closing(at micros) Ending {
	if !s.expires.IsZero() && s.expires.UnixMicro() <= at {
		return Ending(KickedExpired)
	}
	return EndedClosed
}

// durable measures a batch of operations that was committed.
func (m *writerMeter) durable(b *batch, operations int, began time.Time) {
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

func (m *writerMeter) failed(at micros) {
	m.failures.Add(1)
	m.failedAt.Store(at)
}

// Metrics returns the numbers as they are now. It doesn't read the database, only the
// sizes of files.
func (s *Service) Metrics() Metrics {
	var m Metrics
	s.writer.read(&m)
	s.meters.read(&m)
	s.readModel(&m)
	m.DatabaseBytes, m.WALBytes, m.DiskFreeBytes = s.store.Sizes()
	return m
}

func (w *writer) read(to *Metrics) {
	to.Queue, to.QueueCapacity = len(w.queue), cap(w.queue)
	if err := w.lastError.Load(); err != nil {
		to.WriteError = err
	}
	m := &w.meter
	to.WriteErrors, to.WriteErrorAt = m.failures.Load(), toTime(m.failedAt.Load())
	to.Commit = m.commit.read(&times)
	to.BatchOperations = m.operations.read(&sizes)
	to.Lateness = m.lateness.read(&times)
}

func (m *meters) read(to *Metrics) {
	for i := range m.sessions {
		to.EventStatuses.add(m.sessions[i].statuses.read(&sizes))
		to.DeliveryDelay.add(m.sessions[i].delay.read(&times))
	}
}

// delivered returns how many statuses were sent as events.
func (m *meters) delivered() (n int64) {
	for i := range m.sessions {
		n += m.sessions[i].statuses.sum.Load()
	}
	return n
}

func (s *Service) readModel(to *Metrics) {
	now := s.clock.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := &s.model
	to.Users = m.userCounts()
	to.Availability = m.availabilityCounts()
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
