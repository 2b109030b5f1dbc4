package presence

import (
	"context"
	"crypto/rand"
	"database/sql"

	"github.com/presence-server/presence/presence/store"
)

// Connect logs the device in and returns its session, which must be closed. It
// registers a user who is unknown. The user is ONLINE while the session is open. An
// earlier session of the same device ends with [io.EOF].
//
// The session receives changes from the moment it is registered, and only then
// loads what the device missed, so that no change falls between the two.
//
// While the log of a node is away, a device that resumes gets its session after 3 seconds. The
// session shows what the node knows. Its login counts once the log is back, unless the
// session has ended before.
//
// Errors: an [*Error] with CodeMalformed for an invalid ID or platform, CodeRevoked
// for revoked credentials (see [Service.Admit]), CodeLimit if no more users can be
// registered, CodeUnavailable; a [*KickedError], which matches [ErrKicked].
func (s *Service) Connect(ctx context.Context, d Device) (*Session, error) {
	nameless := d.ID == ""
	if nameless {
		d.ID = rand.Text()
	}
	if d.Platform == "" {
		d.Platform = Web
	}
	if err := checkDevice(d); err != nil {
		return nil, err
	}
	if s.isDraining() {
		return nil, ErrClosed
	}
	session := s.newSession(d)
	if err := s.logIn(ctx, session, newConnect(d, nameless, session.stream)); err != nil {
		return nil, err
	}
	if err := s.load(ctx, session); err != nil {
		session.Close()
		return nil, unreadable(err)
	}
	return session, nil
}

// logIn logs a device in and opens its session.
func (s *Service) logIn(ctx context.Context, session *Session, op *connect) error {
	if s.node != nil && op.Resume {
		return s.node.logIn(ctx, session, op)
	}
	return s.writer.doThen(ctx, op, func(m *model) { m.open(session, op.UserID, op.version) })
}

func checkDevice(d Device) error {
	for _, id := range []string{d.UserID, d.ID} {
		if err := checkID(id); err != nil {
			return err
		}
	}
	if err := checkPlatform(d.Platform); err != nil {
		return err
	}
	return nil
}

func (s *Service) newSession(d Device) *Session {
	session := &Session{
		svc:      s,
		stream:   s.streams.Add(1),
		deviceID: d.ID,
		key:      d.Key,
		expires:  d.ExpiresAt,
		resuming: d.Resume,
		cursor:   d.Cursor,
	}
	session.waker.start()
	return session
}

// open attaches a new session to the user, and ends an older one of the same
// device: its connection has broken, but the server hadn't noticed yet. version is
// that of the login. The session starts from it and not from the batch's, because
// later operations of the batch may have changed something.
func (m *model) open(s *Session, userID string, version int64) {
	u := m.byName[userID]
	s.user = u
	if !s.resuming {
		s.cursor = version
	} else {
		s.cursor = m.jumps.orZero(s.cursor, m.version)
	}
	m.attach(u, s)
	if m.draining {
		m.end(s, ending{kind: endClosed})
	}
	for _, older := range u.ofDevice(s.deviceID) {
		if older != s {
			m.end(older, ending{kind: endSuperseded})
		}
	}
}

// endSessions ends all sessions of one device of a user, or of all devices if
// deviceID is empty. It does nothing if u is nil, because the user was deleted.
func (m *model) endSessions(u *user, deviceID string, why KickReason) {
	if u == nil {
		return
	}
	for _, s := range u.ofDevice(deviceID) {
		m.end(s, ending{kind: endKicked, kick: why})
	}
}

// ofDevice returns the sessions of one device, or of all devices if deviceID is
// empty.
func (u *user) ofDevice(deviceID string) []*Session {
	var found []*Session
	for _, s := range u.sessions() {
		if s.deviceID == deviceID || deviceID == "" {
			found = append(found, s)
		}
	}
	return found
}

// watch is one row of the database that makes a user a watcher of target.
type watch struct {
	rule   rule
	target uint32
	since  int64
}

// load reads the users that the session's user watches, and puts those on the
// waiting set whose changes since its cursor the session has missed. It reads again
// if the stored set changed while it read.
func (s *Service) load(ctx context.Context, session *Session) error {
	for {
		user, changes, needed := s.loading(session)
		if !needed {
			return nil
		}
		watches, err := s.readWatches(ctx, user)
		if err != nil {
			return err
		}
		if s.loaded(session, watches, changes) {
			return nil
		}
	}
}

func (s *Service) loading(session *Session) (user uint32, changes int, needed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if session.ending.kind != notEnded {
		return 0, 0, false
	}
	w := &session.user.live.watching
	return session.user.id, w.changes, session.resuming || !w.loaded
}

func (s *Service) loaded(session *Session, watches []watch, changes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session.ending.kind != notEnded {
		return true
	}
	u := session.user
	if u.live.watching.changes != changes {
		return false
	}
	if !u.live.watching.loaded {
		u.live.watching.makeRoom(watches)
	}
	for _, w := range watches {
		if t := s.model.user(w.target); t != nil {
			s.model.catchUp(session, t, w)
		}
	}
	u.live.watching.loaded = true
	if session.resuming && u.own.version > session.cursor {
		session.wait(u, u.own.version)
	}
	return true
}

// catchUp enters one watch, and puts t on the waiting set if the session has missed
// a change of it.
func (m *model) catchUp(s *Session, t *user, w watch) {
	if !s.user.live.watching.loaded {
		m.link(s.user, t, w.rule)
	}
	version := max(t.public.version, w.since, m.switches.since(w.rule))
	if version > s.cursor && m.watches(s.user, t) {
		s.wait(t, version)
	}
}

func (sw *switches) since(r rule) int64 {
	if r == byFriendship {
		return max(sw.userStatusSince, sw.friendNotificationsSince)
	}
	return sw.userStatusSince
}

// readWatches runs once for each stream that opens. Its statement is prepared and
// nothing is converted by reflection, because it is most of what a stream costs when
// all clients come back after a restart (bench, restart).
func (s *Service) readWatches(ctx context.Context, user uint32) ([]watch, error) {
	rows, err := s.watching.QueryContext(context.WithoutCancel(ctx), user) // a ctx that can end would cost a goroutine
	var byRule, target, since any
	return store.Collect(rows, err, func(rows *sql.Rows) (watch, error) {
		if err := rows.Scan(&byRule, &target, &since); err != nil {
			return watch{}, err
		}
		return watch{rule(byRule.(int64)), uint32(target.(int64)), since.(int64)}, nil
	})
}

const selectWatches = `SELECT 0, target, since FROM subscriptions WHERE user = ?1
	UNION ALL SELECT 1, friend, since FROM friends WHERE user = ?1`
