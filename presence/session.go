package presence

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Device says who connects, with what.
type Device struct {
	UserID   string
	ID       string   // unique among the user's devices, as [CheckID] allows; "": a random one
	Platform Platform // "": Web

	// Resume says that the device had a stream before, up to Cursor: the
	// cursor of the last event it got. It is then first told what it missed.
	// A cursor that was never given out counts as 0, which asks for everything.
	Resume bool
	Cursor int64

	IssuedAt  time.Time // of the credentials: a later kick or deletion refuses them. Zero means that none does
	ExpiresAt time.Time // of the credentials: the session ends then. Zero: never
}

// EventType is what an [Event] tells, with the names of the wire.
type EventType string

// The events of a session. The first is always Ready, and nothing follows
// KickedOut.
const (
	EventReady     EventType = "READY"
	EventUpdated   EventType = "USER_STATUS_UPDATED"
	EventKeepalive EventType = "KEEPALIVE"
	EventKickedOut EventType = "KICKED_OUT"
)

// Event is what Next and Poll return.
type Event struct {
	Type EventType

	// Cursor is a version: everything that concerns this device up to it has
	// been told. Given back in Device.Cursor, it resumes here.
	Cursor int64

	// Statuses is set for Updated only. They are in order of the version of each
	// status, or of what made it visible to this user if that is later. Their JSON
	// has at most about 32 KiB, unless it is a single status. They are valid until
	// the next call of Next or Poll.
	Statuses []Status
	Kick     KickReason // of KickedOut

	// Of Ready.
	DeviceID  string
	Self      Status
	Keepalive time.Duration // a Keepalive follows each silence of this length
}

// ending is why a session can't go on.
type ending struct {
	kind endingKind
	kick KickReason
}

type endingKind int8

const (
	notEnded      endingKind = iota
	endSuperseded            // the device has a newer session
	endKicked
	endClosed // the service drains
)

// Session is one stream of one device. It is pulled: what changes while nobody
// asks waits as a set of users, not as a queue. One goroutine pulls with Next;
// who has many sessions to serve uses Notify and Poll instead.
type Session struct {
	svc      *Service
	stream   int64
	deviceID string
	expires  time.Time
	notify   atomic.Pointer[func()] // set by Notify

	// Guarded by Service.mu.
	user    *user
	ending  ending
	waiting waiting

	// waitingSince is guarded too. It is the time, since meters.opened, at which
	// the oldest waiting change that no round has taken became durable. Zero
	// means that there is none.
	waitingSince time.Duration

	// Of the one goroutine that calls Next or Poll.
	resuming   bool
	cursor     int64 // of the last event; before READY, where to start from
	greeted    bool
	keepalive  time.Duration
	over       bool
	lastEvent  time.Time
	lastUpdate time.Time
	alarm      *time.Timer // rouses it when something is due with time
	alarmAt    time.Time
	round      round
	batch      []Status
	wake       chan struct{} // Next is to look again; holds one
}

// DeviceID returns the ID of the session's device.
func (s *Session) DeviceID() string { return s.deviceID }

// Next waits for the next event and returns it. Only one goroutine may call it
// at a time. What it returns besides an event:
//
//   - ctx's error, once ctx is done; the session goes on.
//   - [io.EOF] after KICKED_OUT, after Close, and when the device has opened a
//     newer session.
//   - [ErrClosed] once the service drains.
func (s *Session) Next(ctx context.Context) (Event, error) {
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
		s.Notify(func() {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		})
	}
	for {
		event, _, err := s.Poll()
		if err != nil || event.Type != "" {
			return event, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Notify has f called at once, and from then on when there may be something for
// Poll after it said that there was no more. f is called from any goroutine; it
// must not wait, nor call the session. A session has one f, and with Next it has
// its own.
func (s *Session) Notify(f func()) {
	s.notify.Store(&f)
	f()
}

// Poll is Next without waiting: the event has no Type if there is nothing to
// tell now. more says that there may be, and Poll is to be called again. Not more
// than one goroutine may call it at a time.
func (s *Session) Poll() (event Event, more bool, err error) {
	now := time.Now()
	event, next, err := s.poll(now)
	if err != nil || next.IsZero() {
		return event, err == nil, err
	}
	s.setAlarm(now, next)
	return event, false, nil
}

// setAlarm has the session woken at next. An alarm that is set for earlier
// stays: waking once for nothing is cheaper than setting it with every event.
func (s *Session) setAlarm(now, next time.Time) {
	if s.alarmAt.After(now) && !next.Before(s.alarmAt) {
		return
	}
	s.alarmAt = next
	s.alarm.Reset(next.Sub(now))
}

// poll returns the event that is due at now, if there is one, and when the next
// one will be unless something happens: the zero time is at once.
func (s *Session) poll(now time.Time) (event Event, next time.Time, err error) {
	s.svc.mu.RLock()
	defer s.svc.mu.RUnlock()
	m := &s.svc.model
	switch {
	case s.over || s.ending.kind == endSuperseded:
		return Event{}, next, io.EOF
	case !s.greeted:
		return s.ready(m, now), next, nil
	case s.ending.kind == endClosed:
		return Event{}, next, ErrClosed
	case s.ending.kind == endKicked:
		return s.kickedOut(s.ending.kick), next, nil
	case !s.expires.IsZero() && !now.Before(s.expires):
		return s.kickedOut(KickedExpired), next, nil
	}
	return s.news(m, now)
}

// news returns the next part of what waits, or a KEEPALIVE, if one of them is due
// at now; and when the next event will be due. The parts of one round follow each
// other at once.
func (s *Session) news(m *model, now time.Time) (event Event, next time.Time, err error) {
	inRound := s.skip(m)
	if !inRound && s.round.buffer != nil { // what was left of it has become void
		s.release()
	}
	window := m.settings.BatchWindow
	switch {
	case len(s.waiting) > 0:
		if due := s.lastUpdate.Add(window); !inRound && now.Before(due) {
			return Event{}, s.orExpires(due), nil
		}
		event = s.updated(m, now, inRound)
	case !now.Before(s.lastEvent.Add(s.keepalive)):
		s.cursor, s.lastEvent = m.version, now
		event = Event{Type: EventKeepalive, Cursor: s.cursor}
	}
	switch {
	case s.round.left() > 0:
		return event, time.Time{}, nil
	case len(s.waiting) > 0: // what came after the round began
		return event, s.orExpires(now.Add(window)), nil
	}
	return event, s.orExpires(s.lastEvent.Add(s.keepalive)), nil
}

// orExpires returns t, or when the session expires if that is earlier.
func (s *Session) orExpires(t time.Time) time.Time {
	if !s.expires.IsZero() && s.expires.Before(t) {
		return s.expires
	}
	return t
}

func (s *Session) ready(m *model, now time.Time) Event {
	s.greeted, s.lastEvent = true, now
	s.keepalive = m.settings.Keepalive // as told now, whatever is configured later
	if !s.resuming {
		delete(s.waiting, s.user) // Self is newer
		if len(s.waiting) == 0 {
			s.waiting = nil
		}
	}
	return Event{
		Type:      EventReady,
		Cursor:    s.cursor,
		DeviceID:  s.deviceID,
		Self:      s.user.status(),
		Keepalive: s.keepalive,
	}
}

func (s *Session) kickedOut(why KickReason) Event {
	s.over = true
	return Event{Type: EventKickedOut, Cursor: s.cursor, Kick: why}
}

func (s *Session) rouse() {
	if f := s.notify.Load(); f != nil {
		(*f)()
	}
}

func rouse(sessions []*Session) {
	for _, s := range sessions {
		s.rouse()
	}
}

// Close ends the session. The device then has the reconnect grace to come
// back; Logout forgets it instead. Closing twice, or after the session ended
// by itself, does nothing.
func (s *Session) Close() {
	s.svc.mu.Lock()
	attached := s.svc.model.detach(s)
	ended := endedStream{user: s.user.id, deviceID: s.deviceID, stream: s.stream, at: s.svc.clock.now()}
	if attached {
		s.svc.model.meter.ended[s.closing(ended.at)]++
		s.ending = ending{kind: endSuperseded}
		clear(s.waiting)
	}
	s.svc.mu.Unlock()
	s.alarm.Stop()
	s.rouse()
	if attached {
		s.svc.janitor.streamEnded(ended)
	}
}
