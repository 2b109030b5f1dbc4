package presence

import (
	"context"
	"io"
	"time"
)

// Device identifies the device that connects, and how it does.
type Device struct {
	// UserID is the user. [CheckID] says which IDs are valid.
	UserID string

	// ID distinguishes the devices of one user. It must be valid by [CheckID].
	// Empty means that the session gets a random ID; see [Session.DeviceID].
	ID string

	// Platform is the kind of device. Empty means [Web].
	Platform Platform

	// Resume means that the device had an earlier session, and Cursor is the
	// cursor of the last event that it received there. The new session then
	// first sends what the device missed. A cursor that this database never
	// issued counts as zero. Zero means that the device missed everything.
	// Cursor is ignored if Resume is false.
	Resume bool
	Cursor int64

	// IssuedAt is when the credentials of the device were issued. Connect
	// refuses them if the user was kicked, renamed or deleted at that time or later.
	// The zero time means that they are never refused for that reason.
	IssuedAt time.Time

	// ExpiresAt is when the credentials expire, which ends the session with
	// KICKED_OUT. The zero time means that they never do.
	ExpiresAt time.Time

	// Key names what the credentials are verified with, such as one of several
	// secrets, for [Service.Expire]. Empty means that they stay valid.
	Key string
}

// EventType is the type of an [Event], by its name in the public protocol.
type EventType string

// The types of events. The first event of a session or feed is always EventReady. An
// EventKickedOut is always the last of its session; a feed has none.
const (
	EventReady     EventType = "READY"               // the session has begun
	EventUpdated   EventType = "USER_STATUS_UPDATED" // the statuses of users changed
	EventKeepalive EventType = "KEEPALIVE"           // nothing changed for Settings.Keepalive
	EventKickedOut EventType = "KICKED_OUT"          // the device must not reconnect by itself
)

// Event is an event of a session or a feed, as Next and Poll return it.
type Event struct {
	Type EventType

	// Cursor is the version up to which this device or feed has now received
	// everything that concerns it. A device that returns it in Device.Cursor, and
	// a feed that is opened with it, resume from here.
	Cursor int64

	// Statuses is set only in an EventUpdated. They are in ascending order of
	// version. A status that this user may see only since a later change, such as
	// a new friendship, has its place by the version of that change. Their JSON has at most about 32 KiB,
	// unless a single status is longer. The slice is valid until the next call
	// of Next or Poll.
	Statuses []Status

	// Kick is set only in an EventKickedOut.
	Kick KickReason

	// Keepalive is set only in an EventReady. It is how long the session or feed
	// may be silent before it sends an EventKeepalive.
	Keepalive time.Duration

	// DeviceID and Self are set only in the EventReady of a session. Self is the
	// status of the device's own user.
	DeviceID string
	Self     Status

	// Version is set only in the EventReady of a feed. It is the current version.
	Version int64

	// More is set only in an EventUpdated of a feed. It means that the event is a
	// part of what there was to send, and that the next event follows at once.
	More bool
}

// ending is why the service ended a session.
type ending struct {
	kind endingKind
	kick KickReason
}

type endingKind int8

const (
	notEnded      endingKind = iota
	endSuperseded            // the device has a newer session
	endKicked
	endByReader // Close was called
	endClosed   // the service drains
)

// Session is one stream of events to one device. It keeps the set of users who
// changed since its last event instead of a queue of events, so it must be polled.
// One goroutine may call Next in a loop. A program that serves many sessions with
// few goroutines uses Notify and Poll instead.
//
// A Session must be closed. DeviceID, Notify and Close may be called from any
// goroutine.
type Session struct {
	svc      *Service
	stream   int64
	deviceID string
	key      string
	waker    waker

	// Guarded by Service.mu.
	user     *user    // nil until the session is open
	login    *request // nil unless the session is open before its login is applied
	replaces int64    // the stream that the device had when the session opened before its login; zero if it had none
	expires  time.Time
	ending   ending
	waiting  waiting

	// waitingSince, guarded by Service.mu as well, is when the oldest waiting
	// change that no round has taken became durable, measured from meters.opened.
	// Zero means that no such change waits.
	waitingSince time.Duration

	// The fields below belong to the one goroutine that calls Next or Poll.
	resuming   bool
	cursor     int64 // that of the last event; before READY, that of the login or of the device
	greeted    bool
	keepalive  time.Duration
	over       bool
	lastEvent  time.Time
	lastUpdate time.Time
	round      round
	batch      []Status
}

// DeviceID returns the ID of the session's device.
func (s *Session) DeviceID() string { return s.deviceID }

// Next waits for the next event and returns it. Only one goroutine may call Next
// or Poll at a time. The error is
//
//   - that of ctx, once ctx is done; the session stays open.
//   - [io.EOF] after an EventKickedOut, after Close, and after the device opened a
//     newer session.
//   - [ErrClosed] after [Service.Drain] or [Service.Close].
func (s *Session) Next(ctx context.Context) (Event, error) {
	return s.waker.next(ctx, s.Poll)
}

// Notify registers f and calls it immediately. f is called again whenever Poll may
// have something after reporting that it had nothing. A later call replaces f.
//
// f may be called from any goroutine. It must not block, and must not call methods
// of the session. Next registers a function of its own, so a program uses either
// Next or Notify.
func (s *Session) Notify(f func()) {
	s.waker.register(f)
}

// Poll is Next without waiting. If there is no event now, the event has an empty
// Type. If more is true, another event may be ready, and Poll should be called
// again; otherwise the function registered with Notify is called when one may be.
// Only one goroutine may call Next or Poll at a time. The errors are those of Next.
func (s *Session) Poll() (event Event, more bool, err error) {
	now := time.Now()
	event, next, err := s.poll(now)
	if err != nil {
		return event, false, err
	}
	return event, s.waker.polled(now, next), nil
}

// poll returns the event that is due at now, if there is one, and when the next
// one will be due if nothing changes. The zero time means immediately.
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

// news returns the event with the next part of what waits, or a KEEPALIVE, if one
// of them is due at now, and when the next event will be due. The parts of one
// round follow each other without delay.
func (s *Session) news(m *model, now time.Time) (event Event, next time.Time, err error) {
	inRound := s.skip(m)
	if !inRound && s.round.buffer != nil { // all that was left of the round has become void
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
	case len(s.waiting) > 0: // changes made after the round began
		return event, s.orExpires(now.Add(window)), nil
	}
	return event, s.orExpires(s.lastEvent.Add(s.keepalive)), nil
}

// orExpires returns the earlier of t and the time when the session expires.
func (s *Session) orExpires(t time.Time) time.Time {
	if !s.expires.IsZero() && s.expires.Before(t) {
		return s.expires
	}
	return t
}

func (s *Session) ready(m *model, now time.Time) Event {
	s.greeted, s.lastEvent = true, now
	s.keepalive = m.settings.Keepalive // the client counts on it, even if Configure changes the setting
	if !s.resuming {
		delete(s.waiting, s.user) // Self is at least as new
		if len(s.waiting) == 0 {
			s.waiting = nil
		}
	}
	return Event{
		Type:      EventReady,
		Cursor:    s.cursor,
		DeviceID:  s.deviceID,
		Self:      m.status(s.user, s.user),
		Keepalive: s.keepalive,
	}
}

func (s *Session) kickedOut(why KickReason) Event {
	s.over = true
	return Event{Type: EventKickedOut, Cursor: s.cursor, Kick: why}
}

// Close ends the session. The device still counts as connected for
// Settings.ReconnectGrace; use [Service.Logout] to log it out immediately. Closing
// a session that has ended already does nothing.
func (s *Session) Close() {
	s.svc.mu.Lock()
	attached, ended := s.svc.model.detach(s), s.endedStream()
	if attached {
		s.svc.model.meter.ended[s.closing(s.svc.clock.now())]++
		s.ending = ending{kind: endSuperseded}
		clear(s.waiting)
	}
	s.svc.mu.Unlock()
	s.waker.alarm.Stop()
	s.waker.rouse()
	if attached {
		s.svc.janitor.streamsEnded(ended)
	}
}

// endedStream returns the stream of the session, for an operation that is about its end. The
// caller holds Service.mu.
func (s *Session) endedStream() endedStream {
	return endedStream{User: s.user.id, DeviceID: s.deviceID, Stream: s.stream}
}
