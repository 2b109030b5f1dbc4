package presence

import (
	"context"
	"io"
	"iter"
	"slices"
	"time"
)

// FromNow is the cursor of a feed that sends only later changes.
const FromNow int64 = -1

// Feed is a stream of the changes of all users, for programs that have to know who
// comes and goes. It sends what the server side sees, and ignores the switches of
// [Settings]. It has no device, so it makes nobody ONLINE.
//
// A feed keeps no queue. It is a place in the list of all users in order of version, and
// sends the current status of those who follow in the list. A program that reads
// slowly receives fewer and fresher statuses, always including the latest of each
// user. A feed that nobody reads costs nothing, except that the service remembers a
// deleted user until all feeds have sent the deletion.
//
// One goroutine may call Next in a loop. A program that serves many feeds with few
// goroutines uses Notify and Poll instead. A Feed must be closed. Notify and Close may
// be called from any goroutine.
type Feed struct {
	svc   *Service
	waker waker
	name  string // that of a stored feed; empty for all others

	// Guarded by Service.mu. next is the first user in the list that the feed has
	// not sent; nil means that it has sent all of them. The goroutine that polls
	// changes next while it holds the read lock.
	next    *user
	seeking bool // Follow is still looking for next, which is too new
	ended   endingKind
	since   time.Duration // when next became durable, measured from meters.opened; zero means unknown

	// skipped is the version up to which deleted users are not sent, because a
	// program that resumes without a stored feed doesn't need them.
	skipped int64

	// The fields below belong to the one goroutine that calls Next or Poll.
	// cursor is also read by the writer, while it holds the lock.
	cursor     int64 // that of the last event
	greeted    bool
	unfinished bool // the last event was a part of what there was to send
	keepalive  time.Duration
	lastEvent  time.Time
	lastUpdate time.Time
	batch      []Status
}

// Follow opens a feed. It first sends the current status of every user whose version
// is above cursor, and then all later changes. Zero means every user; a cursor that this
// database never issued counts as zero. [FromNow], like every negative number, means
// later changes only. Users who were deleted in the meantime are not sent; those deleted
// later are, as [Unknown].
//
// Errors: [ErrClosed] once the service drains.
func (s *Service) Follow(cursor int64) (*Feed, error) {
	return s.follow(&Feed{svc: s, cursor: cursor})
}

// follow opens a feed from its cursor.
func (s *Service) follow(f *Feed) (*Feed, error) {
	f.waker.start()
	var err error
	s.update(func(m *model) { err = m.openFeed(f) })
	if err != nil {
		return nil, err
	}
	for f.seek() {
	}
	return f, nil
}

// openFeed adds a feed. An open feed of the same name ends.
func (m *model) openFeed(f *Feed) error {
	if m.draining {
		return ErrClosed
	}
	switch {
	case f.cursor < 0:
		f.cursor = m.version
	case !m.jumps.issued(f.cursor, m.version):
		f.cursor = 0
	}
	if f.isStored() {
		m.endFeeds(func(name string) bool { return name == f.name })
	} else {
		f.skipped = m.version
	}
	m.feeds = append(m.feeds, f)
	m.streams++
	m.meter.opened++
	switch {
	case f.cursor == 0:
		f.next = m.order.oldest
	case f.isOwed(m.order.newest):
		f.next, f.seeking = m.order.newest, true
	}
	return nil
}

// isOwed reports whether the feed has to send u, which may be nil, or a user after u.
func (f *Feed) isOwed(u *user) bool { return u != nil && u.own.version > f.cursor }

// seekStep is how many users seek passes before it releases the lock.
const seekStep = 4096

// seek moves next towards the first user that the feed has to send, and reports whether
// it has to go on. The feed isn't polled meanwhile.
func (f *Feed) seek() (more bool) {
	f.svc.mu.Lock()
	defer f.svc.mu.Unlock()
	if f.seeking {
		f.seeking = f.stepBack(seekStep)
	}
	return f.seeking
}

// stepBack moves next back by at most most users that the feed has to send. It reports
// whether there may be more.
func (f *Feed) stepBack(most int) (more bool) {
	for ; f.next != nil && f.isOwed(f.next.placed.older); most-- {
		if most == 0 {
			return true
		}
		f.next = f.next.placed.older
	}
	return false
}

// notifyFeeds gives each feed that has sent everything the first user of what the batch
// has changed.
func (m *model) notifyFeeds() {
	for _, f := range m.feeds {
		if f.next != nil || !f.isOwed(m.order.newest) {
			continue
		}
		f.next = m.order.newest
		if !f.seeking {
			f.stepBack(len(m.users))
		}
		f.since = m.meter.committed
		m.woken = append(m.woken, &f.waker)
	}
	m.pruneGone()
}

// endFeed ends a feed.
func (m *model) endFeed(f *Feed, why endingKind) {
	i := slices.Index(m.feeds, f)
	if i < 0 {
		return
	}
	m.feeds = slices.Delete(m.feeds, i, i+1)
	m.streams--
	m.meter.ended[ending{kind: why}.name()]++
	f.ended, f.next, f.seeking = why, nil, false
	m.woken = append(m.woken, &f.waker)
	m.pruneGone()
}

// Close ends the feed. Closing a feed that has ended already does nothing.
func (f *Feed) Close() {
	f.svc.update(func(m *model) { m.endFeed(f, endByReader) })
	f.waker.alarm.Stop()
}

// Next waits for the next event and returns it. The first is an EventReady. Each
// EventUpdated has statuses in ascending order of version. Only one goroutine may call
// Next or Poll at a time. The error is
//
//   - that of ctx, once ctx is done; the feed stays open.
//   - [io.EOF] after Close; for a stored feed also after [Service.FollowAs] opened the
//     same name again, and after [Service.ForgetFeeds] forgot it.
//   - [ErrClosed] after [Service.Drain] or [Service.Close].
func (f *Feed) Next(ctx context.Context) (Event, error) { return f.waker.next(ctx, f.Poll) }

// Notify registers a function as [Session.Notify] does.
func (f *Feed) Notify(notify func()) { f.waker.register(notify) }

// Poll is Next without waiting, as [Session.Poll] is.
func (f *Feed) Poll() (event Event, more bool, err error) {
	now := time.Now()
	event, due, err := f.poll(now)
	if err != nil {
		return event, false, err
	}
	return event, f.waker.polled(now, due), nil
}

// Statuses returns an iterator over the statuses that the feed sends, in ascending
// order of version. It waits for the next one, and ends when the loop does or with the
// error of Next. The feed stays open.
func (f *Feed) Statuses(ctx context.Context) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		for {
			event, err := f.Next(ctx)
			if err != nil {
				yield(Status{}, err)
				return
			}
			for _, status := range event.Statuses {
				if !yield(status, nil) {
					return
				}
			}
		}
	}
}

// poll returns the event that is due at now, if there is one, and when the next one will
// be due if nothing changes. The zero time means immediately.
func (f *Feed) poll(now time.Time) (event Event, due time.Time, err error) {
	f.svc.mu.RLock()
	defer f.svc.mu.RUnlock()
	m := &f.svc.model
	switch {
	case f.ended == endClosed:
		return Event{}, due, ErrClosed
	case f.ended != notEnded:
		return Event{}, due, io.EOF
	case !f.greeted:
		f.greeted, f.lastEvent, f.keepalive = true, now, m.settings.Keepalive
		return Event{Type: EventReady, Cursor: f.cursor, Version: m.version, Keepalive: f.keepalive}, due, nil
	}
	event, due = f.news(m, now)
	return event, due, nil
}

// news returns the event with the next part of what there is to send, or a KEEPALIVE, if
// one of them is due at now, and when the next event will be due. The parts of what
// there was to send at one time follow each other without delay.
func (f *Feed) news(m *model, now time.Time) (event Event, due time.Time) {
	f.skipGone()
	switch {
	case f.next != nil:
		if due := f.lastUpdate.Add(m.settings.BatchWindow); !f.unfinished && now.Before(due) {
			return Event{}, due
		}
		return f.updated(m, now), time.Time{}
	case !now.Before(f.lastEvent.Add(f.keepalive)):
		f.cursor, f.lastEvent = m.version, now
		event = Event{Type: EventKeepalive, Cursor: f.cursor}
	}
	f.unfinished = false
	return event, f.lastEvent.Add(f.keepalive)
}

// skipGone passes the deleted users whom the feed doesn't send.
func (f *Feed) skipGone() {
	for f.next != nil && f.next.own.statusType == Unknown && f.next.own.version <= f.skipped {
		f.next = f.next.placed.newer
	}
}

// updated returns an event with as many of the statuses that the feed has to send as fit
// into it.
func (f *Feed) updated(m *model, now time.Time) Event {
	if len(f.batch) > manyWaiting && !f.unfinished {
		f.batch = nil
	}
	f.batch = f.batch[:0]
	for size := 0; f.next != nil; f.skipGone() {
		status := m.status(f.next, nil)
		size += status.sizeJSON() + len(",")
		if size > maxPart && len(f.batch) > 0 {
			break
		}
		f.batch = append(f.batch, status)
		f.next = f.next.placed.newer
	}
	f.svc.meters.handedOut(0, len(f.batch), f.since, now)
	f.unfinished, f.lastEvent, f.lastUpdate = f.next != nil, now, now
	f.cursor, f.since = m.version, 0
	if f.unfinished {
		f.cursor = f.batch[len(f.batch)-1].Version
	}
	return Event{Type: EventUpdated, Cursor: f.cursor, Statuses: f.batch, More: f.unfinished}
}
